//! Any message as nested names and values, by its descriptor: nothing that an event says is left out.

use super::ask::Ask;
use super::text::{at, hash, shown};
use attestune_ledger::draft::plain;
use maud::{Markup, html};
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};
use std::sync::LazyLock;

/// Most values of a list that are shown.
const LIST: usize = 64;

/// Fields that hold a position on the log.
const POSITIONS: [&str; 17] = [
    "cause",
    "documents",
    "batch",
    "at",
    "dataset",
    "suite",
    "run",
    "base",
    "evaluation",
    "promotion",
    "previous",
    "token",
    "chosen",
    "runs",
    "experiment",
    "erasure",
    "schedule",
];

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(attestune_proto::DESCRIPTORS).unwrap_or_default());

/// The fields of a message of the package that are set.
pub fn fields(ask: &Ask, name: &str, message: &impl prost::Message) -> Markup {
    let descriptor = POOL.get_message_by_name(&format!("attestune.v1.{name}"));
    let bytes = message.encode_to_vec();
    match descriptor.and_then(|descriptor| DynamicMessage::decode(descriptor, bytes.as_slice()).ok()) {
        Some(message) => of_message(ask, &message),
        None => html! { p.empty { "This server does not know the message." } },
    }
}

fn of_message(ask: &Ask, message: &DynamicMessage) -> Markup {
    let descriptor = message.descriptor();
    let set: Vec<_> = descriptor.fields().filter(|field| message.has_field(field)).collect();
    html! {
        dl.fields { @for field in set {
            div { dt { (field.name().replace('_', " ")) } dd { (of_value(ask, &message.get_field(&field), &field)) } }
        } }
    }
}

fn of_value(ask: &Ask, value: &Value, field: &FieldDescriptor) -> Markup {
    match value {
        Value::Message(message) => of_message(ask, message),
        Value::List(values) => html! {
            ol { @for value in values.iter().take(LIST) { li { (of_value(ask, value, field)) } } }
            @if values.len() > LIST { p { "… and " (values.len() - LIST) " more" } }
        },
        Value::U64(position) if POSITIONS.contains(&field.name()) => at(ask, *position),
        Value::EnumNumber(number) => html! { (enumeration(*number, field)) },
        Value::Bytes(bytes) => hash(bytes),
        Value::String(text) => shown(text),
        Value::Bool(value) => html! { @if *value { "yes" } @else { "no" } },
        Value::I32(value) => html! { (value) },
        Value::I64(value) => html! { (value) },
        Value::U32(value) => html! { (value) },
        Value::U64(value) => html! { (value) },
        Value::F32(value) => html! { (value) },
        Value::F64(value) => html! { (value) },
        Value::Map(_) => html! { "a map" },
    }
}

/// `RECORD_KIND_ONE` of `RecordKind` as `one`.
fn enumeration(number: i32, field: &FieldDescriptor) -> String {
    let Kind::Enum(of) = field.kind() else { return number.to_string() };
    let Some(value) = of.get_value(number) else { return number.to_string() };
    let prefix = of.name().chars().fold(String::new(), |mut prefix, char| {
        if char.is_uppercase() && !prefix.is_empty() {
            prefix.push('_');
        }
        prefix.extend(char.to_uppercase());
        prefix
    });
    let name = value.name().strip_prefix(&prefix).unwrap_or(value.name());
    name.trim_start_matches('_').to_ascii_lowercase().replace('_', "-")
}

/// A kind of event as people write it.
pub fn kind_name(kind: attestune_proto::v1::Kind) -> String {
    plain(kind.as_str_name(), "KIND_")
}
