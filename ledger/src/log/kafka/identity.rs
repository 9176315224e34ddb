//! A topic's id, which is another one each time that a topic of that name is made. The safe API of rdkafka does not
//! tell it.
#![allow(unsafe_code)]

use rdkafka::ClientContext;
use rdkafka::bindings as rd;
use rdkafka::client::Client;
use std::ffi::{CStr, CString};
use std::time::Duration;

/// The id, in base64 as Kafka's own tools print it; none if the brokers do not tell, or in time.
pub(super) fn topic_id<C: ClientContext>(client: &Client<C>, topic: &str, timeout: Duration) -> Option<String> {
    let name = CString::new(topic).ok()?;
    // SAFETY: every handle is used on this thread between its creation and the one call that destroys it, and `client`
    // outlives them all. What the result points to is read before the event that owns it is destroyed.
    unsafe {
        let handle = client.native_ptr();
        let queue = rd::rd_kafka_queue_new(handle);
        let topics = rd::rd_kafka_TopicCollection_of_topic_names(&mut name.as_ptr(), 1);
        rd::rd_kafka_DescribeTopics(handle, topics, std::ptr::null(), queue);
        let event = rd::rd_kafka_queue_poll(queue, i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX));
        let id = (!event.is_null()).then(|| id_of(event)).flatten();
        if !event.is_null() {
            rd::rd_kafka_event_destroy(event);
        }
        rd::rd_kafka_TopicCollection_destroy(topics);
        rd::rd_kafka_queue_destroy(queue);
        id
    }
}

/// # Safety
/// `event` is a live event.
unsafe fn id_of(event: *mut rd::rd_kafka_event_t) -> Option<String> {
    // SAFETY: `event` is live by contract; each pointer is looked at only if the call gave one.
    unsafe {
        let result = rd::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return None;
        }
        let mut count = 0;
        let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if topics.is_null() || count != 1 {
            return None;
        }
        let described = *topics;
        let error = rd::rd_kafka_TopicDescription_error(described);
        if !error.is_null() && rd::rd_kafka_error_code(error) != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        let id = rd::rd_kafka_TopicDescription_topic_id(described);
        if id.is_null() {
            return None;
        }
        let text = rd::rd_kafka_Uuid_base64str(id);
        if text.is_null() {
            return None;
        }
        let text = CStr::from_ptr(text).to_str().ok()?;
        // All zeroes where the brokers are too old to have ids.
        (!text.is_empty() && text.chars().any(|letter| letter != 'A')).then(|| text.to_owned())
    }
}
