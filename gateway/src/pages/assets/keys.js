// This browser's keys: made here, kept in IndexedDB, never to be exported.

const NAME = "attestune";

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore("keys", { keyPath: "keyid" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function store(mode, use) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const request = use(database.transaction("keys", mode).objectStore("keys"));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  } finally {
    database.close();
  }
}

/** The keys that this browser holds for a ledger. */
export async function keys(ledger) {
  const all = await store("readonly", (keys) => keys.getAll());
  return all.filter((key) => key.ledger === ledger);
}

/** The newest key of an actor that this browser holds for a ledger. */
export async function keyOf(ledger, actor) {
  const held = (await keys(ledger)).filter((key) => key.actor === actor);
  return held.sort((one, other) => other.made - one.made)[0];
}

export const keep = (key) => store("readwrite", (keys) => keys.put(key));

/** A new key pair whose private half can't leave the browser. */
export async function make() {
  const pair = await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"]);
  const publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  return { privateKey: pair.privateKey, publicKey };
}

/** A public key's id: the first 16 bytes of its SHA-256, in hex. */
export async function keyid(publicKey) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", publicKey));
  return Array.from(digest.slice(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
