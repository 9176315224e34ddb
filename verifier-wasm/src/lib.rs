//! The verifier of evidence bundles for browsers: the same pure core that `attestune verify` runs, as WebAssembly that
//! is given nothing of the browser: what a dependency names (randomness, for archives that are written) is answered by an
//! error, so it can neither read nor send anything but what its page hands it.
//!
//! The page writes its arguments to places that [`reserve`] gives, calls [`verify`], and reads a length (4 bytes, little
//! endian) and that many bytes of JSON, as `attestune verify --json` prints it.
#![warn(missing_docs)]

use attestune_ledger::evidence::{self, Anchors, Report, Standing};
use serde_json::{Value, json};

/// A place for `length` bytes, which is never taken back: a page checks a few files and is closed.
#[unsafe(no_mangle)]
pub extern "C" fn reserve(length: usize) -> *mut u8 {
    Box::leak(vec![0; length].into_boxed_slice()).as_mut_ptr()
}

/// Checks a bundle against the ledger's id, in hex, or nothing where that is not known. Answers the place of a length
/// and the JSON.
///
/// # Safety
/// Both places must be of [`reserve`], with these lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn verify(bundle: *const u8, length: usize, ledger: *const u8, ledger_length: usize) -> *const u8 {
    // SAFETY: the caller's promise; WebAssembly has one thread, and nobody writes while this runs.
    let (bundle, ledger) =
        unsafe { (std::slice::from_raw_parts(bundle, length), std::slice::from_raw_parts(ledger, ledger_length)) };
    let told = match anchors(ledger) {
        Ok(anchors) => report(&evidence::verify(bundle, &anchors)),
        Err(what) => json!({ "unfit": what }),
    };
    let told = told.to_string();
    let mut bytes = (told.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(told.as_bytes());
    Box::leak(bytes.into_boxed_slice()).as_ptr()
}

fn anchors(ledger: &[u8]) -> Result<Anchors, &'static str> {
    let text = std::str::from_utf8(ledger).map_err(|_| "the ledger's id is no text")?.trim();
    if text.is_empty() {
        return Ok(Anchors::default());
    }
    let mut id = [0; 32];
    hex::decode_to_slice(text, &mut id).map_err(|_| "the ledger's id has 64 characters, 0-9 and a-f")?;
    Ok(Anchors { ledger: Some(id), ..Anchors::default() })
}

fn report(report: &Report) -> Value {
    let claims = report.claims.iter().map(|claim| {
        let (standing, by) = match &claim.standing {
            Standing::Proven => ("proven", None),
            Standing::Attested(by) => ("attested", Some(by)),
            Standing::Asserted(by) => ("asserted", Some(by)),
        };
        json!({ "standing": standing, "by": by, "text": claim.text })
    });
    let failures = report.failures.iter().map(|f| json!({ "place": f.place, "what": f.what }));
    // Where the origin is unknown or something does not hold, no claim counts.
    let counts = report.holds() && report.origin_known;
    json!({
        "holds": report.holds(),
        "origin": if report.origin_known { "known" } else { "unknown" },
        "ledger": report.ledger,
        "claims": if counts { claims.collect::<Vec<_>>() } else { Vec::new() },
        "failures": failures.collect::<Vec<_>>(),
    })
}
