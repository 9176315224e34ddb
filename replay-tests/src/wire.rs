//! Protocol buffers as a tree of fields, to be changed in ways that no generated type allows: fields twice, gone, out
//! of order, unknown, cut.
//!
//! Without a schema a length-delimited field is taken for a message wherever it reads as one.

use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    number: u32,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Varint(u64),
    Bytes(Vec<u8>),
    Message(Vec<Field>),
}

/// A change of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A number becomes this one; a text this one's bytes.
    Number(u64),
    /// A bit of a text is turned; a number is set to this.
    Turn(u16),
    /// A text is cut after so many bytes; a number becomes 0.
    Cut(u8),
    /// A text grows by these bytes; a number by their count.
    Grow(Vec<u8>),
    /// The field stands twice.
    Twice,
    /// The field is gone.
    Gone,
    /// The field and the next one beside it change places.
    Swap,
    /// Behind the field stands one more, of this number and empty.
    Beside(u32),
}

/// Reads fields; none where the bytes are no message, or use groups or fixed-width numbers, which no event does.
pub fn parse(mut bytes: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let (number, wire) = decode_key(&mut bytes).ok()?;
        let content = match wire {
            WireType::Varint => Content::Varint(decode_varint(&mut bytes).ok()?),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut bytes).ok()?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                match parse(value) {
                    // Only what encodes to the same bytes again may be taken for a message.
                    Some(inner) if !inner.is_empty() && encode(&inner) == value => Content::Message(inner),
                    _ => Content::Bytes(value.to_vec()),
                }
            }
            _ => return None,
        };
        fields.push(Field { number, content });
    }
    Some(fields)
}

/// Writes fields as they stand.
pub fn encode(fields: &[Field]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let put = |number, value: &[u8], bytes: &mut Vec<u8>| {
        encode_key(number, WireType::LengthDelimited, bytes);
        encode_varint(value.len() as u64, bytes);
        bytes.extend(value);
    };
    for Field { number, content } in fields {
        match content {
            Content::Varint(value) => {
                encode_key(*number, WireType::Varint, &mut bytes);
                encode_varint(*value, &mut bytes);
            }
            Content::Bytes(value) => put(*number, value, &mut bytes),
            Content::Message(inner) => put(*number, &encode(inner), &mut bytes),
        }
    }
    bytes
}

/// Changes the field at an index, counted through the tree from its top, modulo how many there are.
pub fn change(fields: &mut Vec<Field>, at: usize, change: &Change) {
    let count = count(fields);
    if count > 0 {
        let mut left = at % count;
        apply(fields, &mut left, change);
    }
}

fn count(fields: &[Field]) -> usize {
    let inner = |f: &Field| if let Content::Message(inner) = &f.content { count(inner) } else { 0 };
    fields.iter().map(|f| 1 + inner(f)).sum()
}

/// Whether the field was among these.
fn apply(fields: &mut Vec<Field>, left: &mut usize, change: &Change) -> bool {
    for place in 0..fields.len() {
        if *left == 0 {
            alter(fields, place, change);
            return true;
        }
        *left -= 1;
        if let Content::Message(inner) = &mut fields[place].content
            && apply(inner, left, change)
        {
            return true;
        }
    }
    false
}

fn alter(fields: &mut Vec<Field>, place: usize, change: &Change) {
    match change {
        Change::Twice => fields.insert(place, fields[place].clone()),
        Change::Gone => {
            fields.remove(place);
        }
        Change::Swap => {
            let other = (place + 1) % fields.len();
            fields.swap(place, other);
        }
        Change::Beside(number) => {
            fields.insert(place + 1, Field { number: *number, content: Content::Bytes(Vec::new()) });
        }
        Change::Number(_) | Change::Turn(_) | Change::Cut(_) | Change::Grow(_) => {
            fields[place].content = altered(&fields[place].content, change);
        }
    }
}

fn altered(content: &Content, change: &Change) -> Content {
    let mut bytes = match (content, change) {
        (Content::Varint(_), Change::Number(number)) => return Content::Varint(*number),
        (Content::Varint(_), Change::Turn(number)) => return Content::Varint(u64::from(*number)),
        (Content::Varint(_), Change::Cut(_)) => return Content::Varint(0),
        (Content::Varint(number), Change::Grow(by)) => return Content::Varint(number.wrapping_add(by.len() as u64)),
        (Content::Varint(number), _) => return Content::Varint(*number),
        (Content::Bytes(bytes), _) => bytes.clone(),
        (Content::Message(inner), _) => encode(inner),
    };
    match change {
        Change::Number(number) => bytes = number.to_be_bytes().to_vec(),
        Change::Turn(bit) => {
            let bit = usize::from(*bit) % (bytes.len() * 8).max(1);
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
        Change::Cut(length) => bytes.truncate(usize::from(*length)),
        Change::Grow(by) => bytes.extend(by),
        Change::Twice | Change::Gone | Change::Swap | Change::Beside(_) => {}
    }
    Content::Bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{World, ingested, sign};
    use attestune_proto::v1::Envelope;
    use prost::Message as _;

    #[test]
    fn what_is_read_is_written_again_and_each_change_changes_it() {
        let mut world = World::new();
        let event = world.draft("sten", ingested("tickets", 3));
        let value = sign(&event, &["sten"]);
        let payload = Envelope::decode(value.as_slice()).unwrap().payload;
        let fields = parse(&payload).unwrap();
        assert_eq!(encode(&fields), payload);
        let changes = [
            Change::Number(7),
            Change::Turn(1),
            Change::Cut(0),
            Change::Grow(vec![1]),
            Change::Twice,
            Change::Gone,
            Change::Beside(60),
        ];
        for what in changes {
            for at in 0..count(&fields) {
                let mut changed = fields.clone();
                change(&mut changed, at, &what);
                assert_ne!(encode(&changed), payload, "field {at}, {what:?}");
            }
        }
        let mut swapped = fields.clone();
        change(&mut swapped, 0, &Change::Swap);
        assert_eq!((swapped[0].number, swapped[1].number), (2, 1));
    }

    #[test]
    fn what_is_no_message_is_not_read() {
        for bytes in [&b"hello"[..], &[0x0a], &[0x0a, 5, 1], &[0x09, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(parse(bytes), None, "{bytes:?}");
        }
    }
}
