//! Answers in JSON: any message of `attestune.v1`, by its descriptor.
//!
//! Proto3's JSON with three differences that suit scripts: fields keep their names in the `.proto`, bytes are
//! lowercase hex, and 64-bit numbers are numbers. Enum values have their names, fields without presence always stand.

use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value};
use serde_json::{Map, Value as Json, json};
use std::sync::LazyLock;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(attestune_proto::DESCRIPTORS).expect("the descriptors were made by protox at build time")
});

/// A message as JSON. `name` is its name in the package, such as `Receipt`.
///
/// # Errors
/// If the package has no message of that name.
pub fn message(name: &str, message: &impl prost::Message) -> anyhow::Result<Json> {
    let descriptor = POOL
        .get_message_by_name(&format!("attestune.v1.{name}"))
        .ok_or_else(|| anyhow::anyhow!("attestune.v1 has no message {name}"))?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    Ok(of_message(&dynamic))
}

fn of_message(message: &DynamicMessage) -> Json {
    let mut object = Map::new();
    for field in message.descriptor().fields() {
        if !field.supports_presence() || message.has_field(&field) {
            object.insert(field.name().to_owned(), of_value(&message.get_field(&field), &field));
        }
    }
    Json::Object(object)
}

fn of_value(value: &Value, field: &FieldDescriptor) -> Json {
    match value {
        Value::Bool(value) => json!(value),
        Value::I32(value) => json!(value),
        Value::I64(value) => json!(value),
        Value::U32(value) => json!(value),
        Value::U64(value) => json!(value),
        Value::F32(value) => json!(value),
        Value::F64(value) => json!(value),
        Value::String(value) => json!(value),
        Value::Bytes(value) => json!(hex::encode(value)),
        Value::EnumNumber(number) => match field.kind() {
            Kind::Enum(of) => of.get_value(*number).map_or(json!(number), |value| json!(value.name())),
            _ => json!(number),
        },
        Value::Message(value) => of_message(value),
        Value::List(values) => values.iter().map(|value| of_value(value, field)).collect(),
        Value::Map(values) => {
            Json::Object(values.iter().map(|(key, value)| (of_key(key), of_value(value, field))).collect())
        }
    }
}

fn of_key(key: &MapKey) -> String {
    match key {
        MapKey::String(key) => key.clone(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestune_proto::v1::{Receipt, RefusalInfo, Verdict};

    #[test]
    fn bytes_are_hex_enums_are_names_and_absent_messages_are_left_out() {
        let receipt = Receipt {
            position: u64::from(u32::MAX) + 1,
            verdict: Verdict::Refused.into(),
            leaf_hash: vec![0, 255],
            ..Receipt::default()
        };
        let json = message("Receipt", &receipt).unwrap();
        assert_eq!(json["position"], json!(4_294_967_296_u64));
        assert_eq!(json["verdict"], "VERDICT_REFUSED");
        assert_eq!(json["leaf_hash"], "00ff");
        assert_eq!(json["first_position"], 0);
        assert!(json.get("refusal").is_none());
        let refused =
            Receipt { refusal: Some(RefusalInfo { code: "id-used".into(), ..RefusalInfo::default() }), ..receipt };
        assert_eq!(message("Receipt", &refused).unwrap()["refusal"]["code"], "id-used");
    }

    #[test]
    fn a_name_that_is_none_is_an_error() {
        assert!(message("Nothing", &Receipt::default()).is_err());
    }
}
