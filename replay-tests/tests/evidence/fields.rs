//! Every field of an answer and of a manifest, each made another by an exporter who writes a sound bundle around it and
//! signs for it.

use crate::house::{House, company, told};
use attestune_ledger::evidence::{self, Manifest, verify};
use attestune_proto::v1::{BundleKind, EvidenceExported, ExportPurpose, WhyInForceResponse};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Value};
use std::collections::BTreeSet;

/// A message with one leaf made another, for each leaf, by the leaf's name; list elements without their numbers.
fn altered(message: &DynamicMessage) -> Vec<(String, DynamicMessage)> {
    let mut all = Vec::new();
    for (field, value) in message.fields() {
        let mut with = |name: String, value: Value| {
            let mut other = message.clone();
            other.set_field(&field, value);
            all.push((name, other));
        };
        match value {
            Value::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    for (name, item) in altered_value(&field, item) {
                        let mut items = items.clone();
                        items[at] = item;
                        with(name, Value::List(items));
                    }
                }
                let fewer = items[..items.len() - 1].to_vec();
                with(format!("{} less", field.name()), Value::List(fewer));
            }
            value => altered_value(&field, value).into_iter().for_each(|(name, value)| with(name, value)),
        }
    }
    all
}

fn altered_value(field: &FieldDescriptor, value: &Value) -> Vec<(String, Value)> {
    let value = match value {
        Value::Message(message) => {
            let inner = altered(message).into_iter();
            return inner.map(|(name, other)| (format!("{}.{name}", field.name()), Value::Message(other))).collect();
        }
        Value::Bool(value) => Value::Bool(!value),
        Value::I32(value) => Value::I32(value ^ 1),
        Value::U32(value) => Value::U32(value ^ 1),
        Value::U64(value) => Value::U64(value ^ 1),
        Value::EnumNumber(value) => Value::EnumNumber(value ^ 1),
        Value::String(value) => Value::String(format!("{value}x")),
        Value::Bytes(value) => Value::Bytes([&value[..], b"x"].concat().into()),
        other => unreachable!("no answer holds {other:?}"),
    };
    vec![(field.name().to_owned(), value)]
}

fn answers(answer: &WhyInForceResponse) -> Vec<(String, WhyInForceResponse)> {
    let pool = DescriptorPool::decode(attestune_proto::DESCRIPTORS).unwrap();
    let descriptor = pool.get_message_by_name("attestune.v1.WhyInForceResponse").unwrap();
    let message = DynamicMessage::decode(descriptor, answer.encode_to_vec().as_slice()).unwrap();
    let of = |message: DynamicMessage| WhyInForceResponse::decode(message.encode_to_vec().as_slice()).unwrap();
    altered(&message).into_iter().map(|(name, message)| (name, of(message))).collect()
}

/// What of a slice's answer rests on the exporter's word alone, as docs/evidence.md says.
const EXPORTERS_WORD: [&str; 11] = [
    "as_of_ms",
    "since_ms",
    "approvals.time_ms",
    "rollback.time_ms",
    "evaluations.attempts",
    "scans.detector.name",
    "scans.detector.version",
    "scans.examples",
    "scans.scanned",
    "scans.flagged",
    "scans less",
];

#[test]
fn no_field_of_a_slices_answer_can_be_another_but_those_that_are_the_exporters_word() {
    let mut house = House::of(company());
    let at = house.last();
    let (disclosed, members, notes) = (house.slice_entries(at), house.members(at), house.notes());
    let mut believed = BTreeSet::new();
    let all = answers(&house.answer(at));
    assert!(all.len() > 150, "{}", all.len());
    for (field, answer) in all {
        let (request, members) = (house.request(at), members.clone());
        let Ok(draft) = evidence::slice(&disclosed, &notes.0, &notes.1, &answer, members, &request) else { continue };
        let bundle = house.take_out(&draft);
        let report = verify(&bundle, &house.anchors());
        if report.holds() {
            believed.insert(field);
        } else {
            assert!(report.failures.iter().all(|f| !f.place.is_empty() && !f.what.is_empty()), "{field}");
        }
    }
    let words: BTreeSet<String> = EXPORTERS_WORD.iter().map(|field| (*field).to_owned()).collect();
    let more: Vec<_> = believed.difference(&words).collect();
    let fewer: Vec<_> = words.difference(&believed).collect();
    assert!(more.is_empty() && fewer.is_empty(), "believed, too: {more:?}; said to be believed, but not: {fewer:?}");
}

#[test]
fn no_field_of_a_complete_bundles_answer_can_be_another() {
    let mut house = House::of(company());
    let at = house.last();
    let draft = house.complete(at);
    let mut seen = 0;
    // They are all held against the same: the answer made again. So some will do.
    for (field, answer) in answers(&house.answer(at)).into_iter().step_by(9) {
        let bundle = crate::lies::signed(&mut house, &draft, |parts| {
            *crate::lies::part(parts, "answer") = answer.encode_to_vec();
        });
        let told = told(&verify(&bundle, &house.anchors()));
        assert!(told.contains("answer: the log gives another answer"), "{field}: {told}");
        seen += 1;
    }
    assert!(seen > 15, "{seen}");
}

/// The head of a manifest and the event that names it, line by line.
#[test]
fn no_line_of_a_manifest_can_be_another() {
    type Change = fn(&mut Manifest);
    let changes: [(&str, Change); 12] = [
        ("kind", |m| {
            m.kind = if m.kind == BundleKind::Slice { BundleKind::Complete } else { BundleKind::Slice };
        }),
        ("purpose", |m| m.purpose = ExportPurpose::Internal),
        ("exporter", |m| m.exporter = "ella".into()),
        ("ledger", |m| m.ledger.0[0] ^= 1),
        ("name", |m| m.name = "other".into()),
        ("origin", |m| m.origin = "attestune/other/0000000000000000".parse().unwrap()),
        ("size", |m| m.size -= 1),
        ("model", |m| m.model = "bought".into()),
        ("at", |m| m.at -= 1),
        ("version", |m| m.version = 2),
        ("sample", |m| m.sample = 1),
        ("parts", |m| drop(m.parts.pop())),
    ];
    let mut house = House::of(company());
    for slice in [false, true] {
        let at = house.last();
        let draft = if slice { house.slice(at) } else { house.complete(at) };
        let honest = house.take_out(&draft);
        assert_eq!(told(&verify(&honest, &house.anchors())), "");
        for (line, change) in changes {
            let mut parts = crate::altered::parts(&honest);
            let mut manifest: Manifest = std::str::from_utf8(&parts[0].1).unwrap().parse().unwrap();
            change(&mut manifest);
            // The exporter signs for it as it is, with an event that says the same wherever the rules let it.
            let body = EvidenceExported { manifest: manifest.digest().0.to_vec(), ..draft.event() };
            let body = match line {
                "purpose" => EvidenceExported { purpose: manifest.purpose.into(), ..body },
                "size" => EvidenceExported { size: manifest.size, ..body },
                "version" => EvidenceExported { version: manifest.version, ..body },
                _ => body,
            };
            parts[0].1 = manifest.to_string().into_bytes();
            let exported = house.sign(body);
            let end = parts.len() - 2;
            parts.truncate(end);
            parts.extend(crate::lies::export_parts(&draft, &exported));
            let told = told(&verify(&crate::altered::packed(&parts), &house.anchors()));
            assert!(!told.is_empty(), "{line}, slice {slice}");
            assert!(told.contains(": "), "{line}: {told}");
        }
    }
}
