// Pairing this browser: it makes a key, offers it under a code, and keeps it once it is registered.

import { keep, keyid, make } from "./keys.js";
import { concat, hex, unhex } from "./wire.js";

const text = new TextEncoder();

async function post(path, fields) {
  const response = await fetch(path, { method: "POST", body: new URLSearchParams(fields) });
  const told = await response.json();
  if (!response.ok) throw new Error(told.message);
  return told;
}

/** What a new key signs to show that it is held: see docs/formats.md, Proof of possession. */
function statement(ledger, actor, publicKey) {
  const zero = Uint8Array.of(0);
  return concat([text.encode("attestune key possession v1"), zero, unhex(ledger), zero, text.encode(actor), zero, publicKey]);
}

/** Pairs by a code; says what goes on through `say`. */
export async function pair(code, say) {
  const { ledger, actor } = await post("/pair/begin", { code });
  const { privateKey, publicKey } = await make();
  const possession = new Uint8Array(await crypto.subtle.sign("Ed25519", privateKey, statement(ledger, actor, publicKey)));
  await post("/pair/offer", { code, public_key: hex(publicKey), possession: hex(possession) });
  const id = await keyid(publicKey);
  say(`The key of this browser is ${id}. Compare it with what “attestune key pair” shows, and confirm it there.`);
  for (;;) {
    const { state } = await post("/pair/state", { code, keyid: id });
    if (state === "registered") break;
    if (state === "gone") throw new Error("the code has run out, and the key is not registered");
    await new Promise((resolve) => setTimeout(resolve, 700));
  }
  await keep({ keyid: id, ledger, actor, publicKey, privateKey, made: Date.now() });
  return actor;
}
