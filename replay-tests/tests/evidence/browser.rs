//! The page that checks a bundle in a browser, run by Node: its WebAssembly says what the verifier says. Without Node the
//! test says SKIPPED and ends.

use crate::house::{House, company};
use attestune_ledger::evidence::{Anchors, CHECKER, Report, Standing, verify};
use std::process::Command;

/// What the page's script does, and prints what it is told: whether it holds, the claims, the failures.
const SCRIPT: &str = r#"
const fs = require("fs");
const [page, bundle, ledger] = process.argv.slice(1);
const packed = /<script id="wasm"[^>]*>([^<]*)</.exec(fs.readFileSync(page, "utf8"))[1];
const module = new WebAssembly.Module(Buffer.from(packed, "base64"));
const nothing = {};
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  nothing[from] ??= {};
  nothing[from][name] = () => { throw new Error(name); };
}
WebAssembly.instantiate(module, nothing).then(({ exports: wasm }) => {
  const put = (bytes) => {
    const at = wasm.reserve(bytes.length);
    new Uint8Array(wasm.memory.buffer, at, bytes.length).set(bytes);
    return [at, bytes.length];
  };
  const at = wasm.verify(...put(fs.readFileSync(bundle)), ...put(Buffer.from(ledger)));
  const length = new DataView(wasm.memory.buffer).getUint32(at, true);
  const told = JSON.parse(Buffer.from(wasm.memory.buffer, at + 4, length).toString());
  if (told.unfit) return console.log(told.unfit);
  console.log(`${told.holds} ${told.origin} ${told.ledger}`);
  for (const claim of told.claims) console.log(`${claim.standing} ${claim.by || ""} ${claim.text}`);
  for (const failure of told.failures) console.log(`${failure.place}: ${failure.what}`);
});
"#;

fn by_the_page(bundle: &[u8], ledger: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (page, file) = (folder.path().join("check.html"), folder.path().join("bundle.zip"));
    std::fs::write(&page, CHECKER).unwrap();
    std::fs::write(&file, bundle).unwrap();
    let output = Command::new("node").args(["-e", SCRIPT]).arg(page).arg(file).arg(ledger).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn by_the_verifier(bundle: &[u8], ledger: Option<[u8; 32]>) -> String {
    let report = verify(bundle, &Anchors { ledger, ..Anchors::default() });
    let Report { origin_known, claims, failures, .. } = &report;
    let mut told =
        format!("{} {} {}\n", report.holds(), if *origin_known { "known" } else { "unknown" }, report.ledger);
    if report.holds() && *origin_known {
        for claim in claims {
            told += &match &claim.standing {
                Standing::Proven => format!("proven  {}\n", claim.text),
                Standing::Attested(by) => format!("attested {by} {}\n", claim.text),
                Standing::Asserted(by) => format!("asserted {by} {}\n", claim.text),
            };
        }
    }
    failures.iter().for_each(|failure| told += &format!("{failure}\n"));
    told
}

#[test]
fn the_page_in_a_browser_tells_what_the_verifier_tells() {
    if Command::new("node").arg("--version").output().is_err() {
        eprintln!("SKIPPED: node is not installed, which runs the WebAssembly of the page that checks bundles");
        return;
    }
    let mut house = House::of(company());
    let ledger = house.world.ledger;
    let last = house.last();
    let drafts = [house.complete(last), house.slice(last), house.complete(40)];
    for draft in drafts {
        let mut bundle = house.take_out(&draft);
        for altered in [false, true] {
            if altered {
                let middle = bundle.len() / 2;
                bundle[middle] ^= 1;
            }
            for (known, typed) in
                [(Some(ledger), hex::encode(ledger)), (None, String::new()), (Some([7; 32]), "07".repeat(32))]
            {
                let expected = by_the_verifier(&bundle, known);
                assert_eq!(by_the_page(&bundle, &typed), expected);
                let holds = !altered && known != Some([7; 32]);
                assert!(expected.starts_with(&holds.to_string()), "{expected}");
            }
        }
    }
    assert_eq!(by_the_page(b"", "no id"), "the ledger's id has 64 characters, 0-9 and a-f\n");
    assert_eq!(by_the_page(b"no zip", ""), by_the_verifier(b"no zip", None));
}
