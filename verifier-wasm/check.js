"use strict";
const byId = (id) => document.getElementById(id);
const element = (name, text, className) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
};

const packed = Uint8Array.from(atob(byId("wasm").textContent.trim()), (c) => c.charCodeAt(0));

// The verifier is given nothing of the browser: whatever a part of it names is answered by an error.
async function start() {
  const module = await WebAssembly.compile(packed);
  const nothing = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    nothing[from] ??= {};
    nothing[from][name] = () => { throw new Error(`${name} is not given`); };
  }
  return (await WebAssembly.instantiate(module, nothing)).exports;
}

const verifier = start();

async function verify(bundle, ledger) {
  const wasm = await verifier;
  const put = (bytes) => {
    const at = wasm.reserve(bytes.length);
    new Uint8Array(wasm.memory.buffer, at, bytes.length).set(bytes);
    return [at, bytes.length];
  };
  const at = wasm.verify(...put(bundle), ...put(new TextEncoder().encode(ledger)));
  const length = new DataView(wasm.memory.buffer).getUint32(at, true);
  return JSON.parse(new TextDecoder().decode(new Uint8Array(wasm.memory.buffer, at + 4, length)));
}

function told(report) {
  const parts = [];
  if (report.unfit) {
    parts.push(element("h2", "Not checked", "no"), element("p", report.unfit));
  } else if (!report.holds) {
    parts.push(element("h2", "✗ It does not verify", "no"));
    parts.push(element("p", "It was altered, is of another ledger, or the id is mistyped. Rely on nothing in it."));
    const list = element("ul");
    list.append(...report.failures.map((failure) => element("li", `${failure.place}: ${failure.what}`)));
    parts.push(list);
  } else if (report.origin !== "known") {
    parts.push(element("h2", "It fits together, its origin is unknown", "some"));
    parts.push(element("p", "Anyone can make such a file: it proves no claim. It says that it is of this ledger:"));
    parts.push(element("p", report.ledger, "id"));
    parts.push(element("p", "Type the ledger’s id as you have it from elsewhere, and check again."));
  } else {
    parts.push(element("h2", "✓ It verifies", "yes"));
    const table = element("table");
    const head = element("tr");
    head.append(...["Standing", "Claim", "Whose word"].map((name) => Object.assign(element("th", name), { scope: "col" })));
    table.append(element("caption", `Claims about ledger ${report.ledger}`), head);
    for (const claim of report.claims) {
      const row = element("tr");
      row.append(element("td", claim.standing, claim.standing), element("td", claim.text), element("td", claim.by || ""));
      table.append(row);
    }
    const wide = element("div", undefined, "wide");
    wide.append(table);
    parts.push(wide);
  }
  return parts;
}

byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [file] = byId("bundle").files;
  const result = byId("result");
  if (!file) return;
  result.dataset.state = "checking";
  result.replaceChildren(element("p", `Checking ${file.name}…`));
  // Lets the line above be seen before the work begins.
  await new Promise((done) => setTimeout(done, 20));
  try {
    const report = await verify(new Uint8Array(await file.arrayBuffer()), byId("ledger").value);
    result.replaceChildren(...told(report));
    result.dataset.state = report.unfit ? "unfit" : report.holds ? report.origin : "fails";
  } catch (error) {
    result.replaceChildren(element("h2", "Not checked", "no"), element("p", `This browser cannot run the check: ${error}`));
    result.dataset.state = "unfit";
  }
});
