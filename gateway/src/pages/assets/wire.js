// Protobuf as canonical as the ledger asks: fields ascending, what is zero or empty left out. See docs/formats.md.

const text = new TextEncoder();

/** The bytes of a list of byte arrays, one after the other. */
export function concat(parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function varint(value) {
  const out = [];
  let left = BigInt(value);
  while (left > 127n) {
    out.push(Number(left & 127n) | 128);
    left >>= 7n;
  }
  out.push(Number(left));
  return Uint8Array.from(out);
}

const tag = (field, type) => varint((BigInt(field) << 3n) | BigInt(type));

/** A number; left out if zero. */
export const uint = (field, value) => (BigInt(value) === 0n ? [] : [tag(field, 0), varint(value)]);

/** Bytes; left out if empty. */
export const bytes = (field, value) => (value.length === 0 ? [] : [tag(field, 2), varint(value.length), value]);

/** A string; left out if empty. */
export const string = (field, value) => bytes(field, text.encode(value));

/** A message, there even if it is empty. */
export const message = (field, value) => [tag(field, 2), varint(value.length), value];

/** The bytes of a message from its fields, which must come in ascending order. */
export const encode = (...fields) => concat(fields.flat());

/** Numbers packed into one field, as proto3 does with repeated ones. */
export const packed = (field, values) => (values.length === 0 ? [] : bytes(field, concat(values.map(varint))));

export const hex = (value) => Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join("");

export function unhex(value) {
  return Uint8Array.from(value.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

export function base64url(value) {
  return btoa(String.fromCharCode(...value)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
