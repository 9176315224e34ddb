// What a page can do with script: copy hashes, pair, sign in, sign. Reading needs none of it.

import { BODIES, act, token } from "./events.js";
import { evidence } from "./evidence.js";
import { keyOf, keys } from "./keys.js";
import { pair } from "./pair.js";
import { desk, take } from "./review.js";
import { base64url } from "./wire.js";

const { actor, ledger } = document.body.dataset;

function reveal(selector) {
  const found = [...document.querySelectorAll(selector)];
  for (const element of found) element.hidden = false;
  return found;
}

/** Runs what may fail; says why beside it, in words. */
async function tell(status, work) {
  try {
    await work();
  } catch (error) {
    status.textContent = `✗ ${error.message}`;
    status.classList.add("bad");
  }
}

for (const button of reveal("button.copy")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "copied";
  });
}

for (const form of reveal("form.pair")) {
  const status = form.querySelector(".status");
  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    status.classList.remove("bad");
    tell(status, async () => {
      const name = await pair(form.elements.code.value, (said) => (status.textContent = said));
      status.textContent = `✓ This browser signs as ${name} from now on.`;
      location.assign("/sign-in");
    });
  });
}

for (const section of document.querySelectorAll("section.sign-in")) {
  const status = section.querySelector(".status");
  tell(status, async () => {
    const held = await keys(ledger);
    for (const key of held) {
      const button = document.createElement("button");
      button.textContent = `Sign in as ${key.actor}`;
      button.addEventListener("click", () =>
        tell(status, async () => {
          const form = document.querySelector("form[action='/sign-in']");
          form.elements.token.value = base64url(await token(key));
          form.requestSubmit();
        }),
      );
      const item = document.createElement("li");
      item.append(button, ` key ${key.keyid.slice(0, 8)}…`);
      section.querySelector(".keys").append(item);
    }
    section.hidden = held.length === 0;
  });
}

for (const form of reveal("form.sign")) {
  const status = form.querySelector(".status");
  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    status.classList.remove("bad");
    status.textContent = "Signing …";
    tell(status, async () => {
      const key = await keyOf(ledger, actor);
      if (!key) throw new Error(`this browser holds no key of ${actor}: pair it first`);
      const said = { ...form.dataset, ...Object.fromEntries(new FormData(form)) };
      const told = await act(key, BODIES[form.dataset.kind](said));
      if (told.verdict !== "accepted") throw new Error(`${told.verdict} at ${told.position}: ${told.code}: ${told.message}`);
      status.textContent = `✓ accepted at position ${told.position}`;
      location.reload();
    });
  });
}

for (const form of reveal("form.take")) {
  const status = form.querySelector(".status");
  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    status.classList.remove("bad");
    status.textContent = "Claiming …";
    tell(status, async () => {
      await take(ledger, actor, new URLSearchParams(new FormData(form)));
      form.submit();
    });
  });
}

for (const form of reveal("form.export")) evidence(form, ledger, actor, tell);

for (const root of document.querySelectorAll("[data-desk]")) desk(root, ledger, actor);
