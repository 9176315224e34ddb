// Taking evidence out: what it would disclose is shown first; the signature stands on the log before there is a file.

import { act, BODIES } from "./events.js";
import { keyOf } from "./keys.js";

/** The form: shows what a bundle discloses, then signs for it and fetches it. */
export function evidence(form, ledger, actor, tell) {
  const status = form.querySelector(".status");
  const disclosed = form.querySelector(".disclosed");
  let draft;

  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    status.classList.remove("bad");
    status.textContent = "Making it …";
    disclosed.hidden = true;
    tell(status, async () => {
      const { model, at } = form.dataset;
      const fields = new URLSearchParams([...new FormData(form), ["model", model], ["at", at]]);
      const response = await fetch("/evidence/draft", { method: "POST", body: fields });
      const told = await response.json();
      if (!response.ok) throw new Error(told.message);
      draft = told;
      disclosed.querySelector(".told").textContent = `It covers ${draft.size} entries, and discloses:`;
      const items = draft.discloses.map((text) => Object.assign(document.createElement("li"), { textContent: text }));
      disclosed.querySelector("ol").replaceChildren(...items);
      disclosed.hidden = false;
      status.textContent = "";
    });
  });

  form.querySelector(".sign-for").addEventListener("click", () =>
    tell(status, async () => {
      status.classList.remove("bad");
      const key = await keyOf(ledger, actor);
      if (!key) throw new Error(`this browser holds no key of ${actor}: pair it first`);
      const told = await act(key, BODIES["evidence-exported"](draft));
      if (told.verdict !== "accepted") throw new Error(`${told.verdict} at ${told.position}: ${told.code}: ${told.message}`);
      status.textContent = `✓ taken out, at position ${told.position}`;
      disclosed.hidden = true;
      location.assign(`/evidence/${draft.bundle}/${told.position}`);
    }),
  );
}
