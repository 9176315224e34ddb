// The review desk by keyboard: decisions are collected, then signed together.

import { act, BODIES } from "./events.js";
import { keyOf } from "./keys.js";
import { unhex } from "./wire.js";

const APPROVE = 1;
const REJECT = 2;
const REDACT = 3;
const REASONS = { 1: "no personal data", 2: "personal data", 3: "fictitious", 4: "wrong label", 5: "unsuitable" };
const WORDS = { [APPROVE]: "approve", [REJECT]: "reject", [REDACT]: "redact" };
/** What a person marks that no detector found. */
const OWN = "personal-data";
/** What the decisions of one event may take, in bytes. */
const EVENT_BYTES = 56_000;

const tag = (entity) => `<${entity.toUpperCase().replaceAll("-", "_")}>`;

/** One field with spans replaced by their tags; the field begins at code point `offset` of the text that was scanned. */
function redactField(text, offset, spans) {
  const chars = Array.from(text);
  const within = spans
    .map(({ entity, start, end }) => ({ entity, start: Math.max(start - offset, 0), end: Math.min(end - offset, chars.length) }))
    .filter(({ start, end }) => start < end)
    .sort((one, other) => one.start - other.start || one.end - other.end || (one.entity < other.entity ? -1 : 1));
  let out = "";
  let hiddenTo = 0;
  let next = 0;
  for (let at = 0; at < chars.length; at += 1) {
    for (; next < within.length && within[next].start <= at; next += 1) {
      if (at >= hiddenTo) out += tag(within[next].entity);
      hiddenTo = Math.max(hiddenTo, within[next].end);
    }
    if (at >= hiddenTo) out += chars[at];
  }
  return out;
}

/** An example with spans hidden, as it is sealed: JSON of prompt and answer. */
export function redact({ prompt, answer }, spans) {
  const answerAt = Array.from(prompt).length + 1;
  return JSON.stringify({ prompt: redactField(prompt, 0, spans), answer: redactField(answer, answerAt, spans) });
}

/** Where words stand in the text that was scanned, each time they do. */
export function places({ prompt, answer }, words) {
  const chars = Array.from(`${prompt}\n${answer}`);
  const wanted = Array.from(words);
  const found = [];
  for (let at = 0; wanted.length > 0 && at + wanted.length <= chars.length; at += 1) {
    if (wanted.every((char, offset) => chars[at + offset] === char)) {
      found.push({ entity: OWN, start: at, end: at + wanted.length, score_ppm: 0 });
    }
  }
  return found;
}

async function post(path, body, type) {
  const response = await fetch(path, { method: "POST", body, headers: { "content-type": type } });
  const told = await response.json();
  if (!response.ok) throw new Error(`${told.code}: ${told.message}`);
  return told;
}

/** Claims what waits, for the policy's time; what somebody else took meanwhile is left alone. */
export async function take(ledger, actor, fields) {
  const key = await keyOf(ledger, actor);
  if (!key) throw new Error(`this browser holds no key of ${actor}: pair it first`);
  const { claims } = await post("/review/next", fields.toString(), "application/x-www-form-urlencoded");
  for (const claim of claims) {
    const told = await act(key, BODIES.claim({ ...claim, reviewer: actor }));
    const theirs = ["lease-held", "assigned-to-another", "reviewed-before"].includes(told.code);
    if (told.verdict !== "accepted" && !theirs) throw new Error(`${told.verdict}: ${told.code}: ${told.message}`);
  }
}

/** Seals what the redactions of a batch leave, and gives each its commitment. */
async function sealed(decisions) {
  const redactions = decisions.filter((one) => one.verdict === REDACT);
  if (redactions.length === 0) return { pack: new Uint8Array(0), decisions };
  const contents = redactions.map((one) => redact(one.item, one.hidden));
  const { pack, commitments } = await post("/review/seal", JSON.stringify({ contents }), "application/json");
  redactions.forEach((one, at) => (one.redacted = unhex(commitments[at])));
  return { pack: unhex(pack), decisions };
}

/** Signs decisions by one signature, or as few as they fit under; tells of those that others gave before. */
export async function sign(key, decisions, refused) {
  let left = [...decisions].sort((one, other) => one.item.batch - other.item.batch || one.item.index - other.item.index);
  while (left.length > 0) {
    const batches = new Map();
    for (const one of left) batches.set(one.item.batch, [...(batches.get(one.item.batch) ?? []), one]);
    const reviews = [];
    for (const [batch, ofBatch] of batches) reviews.push({ batch, ...(await sealed(ofBatch)) });
    const body = BODIES.review(reviews);
    if (body[1].length > EVENT_BYTES && left.length > 1) {
      const half = Math.ceil(left.length / 2);
      await sign(key, left.slice(0, half), refused);
      return sign(key, left.slice(half), refused);
    }
    const told = await act(key, body);
    if (told.verdict === "accepted") return told;
    const { batch, index } = told.figures;
    const one = left.find(({ item }) => String(item.batch) === batch && String(item.index) === index);
    if (!one) throw new Error(`${told.verdict} at ${told.position}: ${told.code}: ${told.message}`);
    refused.push(`${batch}/${index}: ${told.message}`);
    left = left.filter((other) => other !== one);
  }
  return undefined;
}

/** The desk: its items, what is decided, and the keys. */
export function desk(root, ledger, actor) {
  const items = [...root.querySelectorAll("article.item")].map((element) => ({ element, item: JSON.parse(element.dataset.item) }));
  const made = new Map();
  const form = root.querySelector("form.sign-all");
  const status = form.querySelector(".status");
  let at = 0;

  const say = (text, bad = false) => {
    status.textContent = text;
    status.classList.toggle("bad", bad);
  };
  const show = (number) => {
    at = Math.max(0, Math.min(number, items.length - 1));
    items[at].element.focus();
    items[at].element.scrollIntoView({ block: "nearest" });
  };
  const tell = () => {
    for (const [number, { element }] of items.entries()) {
      const one = made.get(number);
      element.querySelector(".decided").textContent = one ? `✓ ${WORDS[one.verdict]}: ${REASONS[one.reason]}` : "not decided";
      element.classList.toggle("is-decided", Boolean(one));
    }
    form.querySelector(".tally").textContent = `${made.size} of ${items.length} decided`;
  };
  const hidden = ({ element, item }) => {
    const ticked = [...element.querySelectorAll(".hiding input[type=checkbox]:checked")].map((box) => item.findings[Number(box.value)]);
    const own = places(item, element.querySelector(".more").value.trim());
    return [...ticked, ...own].sort((one, other) => one.start - other.start || one.end - other.end);
  };
  const decide = (verdict, wanted, exactly) => {
    const { item } = items[at];
    const taken = item.reasons[verdict];
    const reason = taken.includes(wanted) || exactly ? wanted : taken[0];
    if (!taken.includes(reason)) return say(`the policy does not take “${REASONS[reason]}” as a reason to ${WORDS[verdict]}`, true);
    const spans = verdict === REDACT ? hidden(items[at]) : [];
    if (verdict === REDACT && spans.length === 0) return say("nothing is ticked to be hidden", true);
    made.delete(at);
    made.set(at, { item, verdict, reason, hidden: spans });
    say("");
    tell();
    const open = items.findIndex((_, number) => number > at && !made.has(number));
    const next = open >= 0 ? open : items.findIndex((_, number) => !made.has(number));
    if (next >= 0) show(next);
    else say("All are decided: s signs.");
    return undefined;
  };
  const another = () => {
    const one = made.get(at);
    if (!one) return say("decide first: then e changes the reason", true);
    const taken = one.item.reasons[one.verdict];
    one.reason = taken[(taken.indexOf(one.reason) + 1) % taken.length];
    return tell();
  };
  const undo = () => {
    const last = [...made.keys()].pop();
    if (last === undefined) return say("there is nothing to take back", true);
    made.delete(last);
    tell();
    return show(last);
  };
  const finish = async () => {
    if (made.size === 0) return say("nothing is decided yet", true);
    say("Signing …");
    try {
      const key = await keyOf(ledger, actor);
      if (!key) throw new Error(`this browser holds no key of ${actor}: pair it first`);
      const refused = [];
      const told = await sign(key, [...made.values()], refused);
      for (const number of made.keys()) items[number].element.remove();
      const left = items.filter((_, number) => !made.has(number));
      items.splice(0, items.length, ...left);
      made.clear();
      tell();
      const taken = told ? `✓ signed, at position ${told.position}. ` : "";
      say(taken + (refused.length > 0 ? `Not taken: ${refused.join("; ")}` : ""));
    } catch (error) {
      say(`✗ ${error.message}`, true);
    }
    return undefined;
  };
  const keys = {
    a: () => decide(APPROVE, items[at].item.findings.length > 0 ? 3 : 1, false),
    n: () => decide(APPROVE, 1, true),
    r: () => decide(REJECT, 2, false),
    x: () => decide(REDACT, 2, false),
    e: another,
    u: undo,
    j: () => show(at + 1),
    k: () => show(at - 1),
    s: finish,
    m: () => items[at].element.querySelector(".more").focus(),
  };

  document.addEventListener("keydown", (event) => {
    const writing = event.target.matches("input:not([type=checkbox]), textarea, select");
    if (event.key === "Escape" && writing) items[at].element.focus();
    if (writing || event.ctrlKey || event.metaKey || event.altKey || items.length === 0) return;
    const box = /^[1-9]$/.test(event.key) && items[at].element.querySelectorAll(".hiding input[type=checkbox]")[Number(event.key) - 1];
    const does = box ? () => box.click() : keys[event.key];
    if (!does) return;
    event.preventDefault();
    does();
  });
  for (const [number, { element }] of items.entries()) {
    element.addEventListener("focusin", () => {
      const now = items.findIndex((other) => other.element === element);
      if (now >= 0) at = now;
    });
    element.querySelector(".choice").hidden = false;
    for (const button of element.querySelectorAll("[data-key]")) {
      button.addEventListener("click", () => {
        at = items.findIndex((other) => other.element === element);
        keys[button.dataset.key]();
      });
    }
    if (number === 0) show(0);
  }
  form.hidden = false;
  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    finish();
  });
}
