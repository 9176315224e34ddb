// Events, built and signed in this browser: the server gets the finished envelope and can only append it or not.

import { bytes, concat, encode, message, packed, string, uint, unhex } from "./wire.js";

const NONE = new Uint8Array(0);
const EVENT = "application/vnd.attestune.event.v1+protobuf";
const TOKEN = "application/vnd.attestune.token.v1+protobuf";
const text = new TextEncoder();

/** What is done, by name: the field of its body in Event, and the body's bytes from what a form says. */
export const BODIES = {
  "promotion-approved": (form) => [97, encode(uint(1, form.promotion), uint(2, form.meaning))],
  "promotion-rejected": (form) => [98, encode(uint(1, form.promotion), uint(2, form.reason))],
  "promotion-withdrawn": (form) => [99, encode(uint(1, form.promotion))],
  "alert-acknowledged": (form) => [122, encode(uint(1, form.alert), uint(2, form.action))],
  "evidence-exported": (draft) => [
    48,
    encode(
      uint(1, draft.kind),
      uint(2, draft.purpose),
      string(3, draft.model),
      uint(4, draft.version),
      uint(5, draft.size),
      bytes(6, unhex(draft.manifest)),
      packed(7, draft.positions),
    ),
  ],
  claim: ({ batch, indices, reviewer }) => [55, encode(uint(1, batch), packed(2, indices), string(3, reviewer), uint(5, 1))],
  review: (reviews) => [56, encode(...reviews.map((review) => message(1, batchReview(review))))],
};

const batchReview = ({ batch, decisions, pack }) =>
  encode(uint(1, batch), ...decisions.map((one) => message(2, decision(one))), bytes(3, pack));

const decision = ({ item, verdict, reason, redacted, hidden }) =>
  encode(
    uint(1, item.index),
    uint(2, verdict),
    uint(3, reason),
    bytes(4, redacted ?? NONE),
    ...hidden.map((span) => message(5, finding(span))),
  );

const finding = ({ entity, start, end, score_ppm: score }) =>
  encode(string(1, entity), uint(2, start), uint(3, end), uint(4, score));

/** A UUIDv7 (RFC 9562), 16 bytes. */
export function uuid7(ms) {
  const id = crypto.getRandomValues(new Uint8Array(16));
  let time = BigInt(ms);
  for (let at = 5; at >= 0; at -= 1) {
    id[at] = Number(time & 255n);
    time >>= 8n;
  }
  id[6] = (id[6] & 0x0f) | 0x70;
  id[8] = (id[8] & 0x3f) | 0x80;
  return id;
}

/** The bytes of an event. */
export function event({ id, ledger, actor, now_ms: now, size, root }, [field, body]) {
  return encode(
    bytes(1, id),
    bytes(2, unhex(ledger)),
    string(3, actor),
    uint(4, now),
    message(5, encode(uint(1, size), bytes(2, unhex(root)))),
    message(field, body),
  );
}

/** DSSE's pre-authentication encoding. */
export function pae(type, payload) {
  return concat([text.encode(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload]);
}

async function envelope(key, type, payload) {
  const sig = new Uint8Array(await crypto.subtle.sign("Ed25519", key.privateKey, pae(type, payload)));
  return encode(bytes(1, payload), string(2, type), message(3, encode(bytes(1, sig), string(2, key.keyid))));
}

/** What a signer has before it, by the server's word. */
export async function seen() {
  const response = await fetch("/act/seen");
  if (!response.ok) throw new Error((await response.json()).message);
  return response.json();
}

/** Signs a token that is good for nearly an hour by the server's clock. */
export async function token(key) {
  const { ledger, now_ms: now } = await seen();
  if (ledger !== key.ledger) throw new Error("this key is for another ledger");
  const notAfter = now + 3_590_000;
  const payload = encode(bytes(1, unhex(ledger)), string(2, key.actor), string(3, "attestune"), uint(4, notAfter));
  return envelope(key, TOKEN, payload);
}

/** Signs what is done and appends it; answers with what the rules made of it. */
export async function act(key, body) {
  const head = await seen();
  if (head.ledger !== key.ledger) throw new Error("this key is for another ledger");
  const payload = event({ ...head, actor: key.actor, id: uuid7(Date.now()), now_ms: Date.now() }, body);
  const response = await fetch("/act/append", {
    method: "POST",
    headers: { "content-type": "application/octet-stream" },
    body: await envelope(key, EVENT, payload),
  });
  const told = await response.json();
  if (!response.ok) throw new Error(`${told.code}: ${told.message}`);
  return told;
}
