//! A whole log folded in memory; with the replica's own parallel checks of signatures where there are threads.

use crate::rules::Folded;
#[cfg(not(feature = "store"))]
use crate::rules::decode::decode;
use crate::state::{MemoryState, ReadFailed};
use attestune_proto::v1::Decided;

/// Entries folded at once.
#[cfg(feature = "store")]
const WINDOW: usize = 1024;

/// Folds entries from nothing; `seen` is told of each.
///
/// # Errors
/// If a row of the fold's own does not decode.
#[cfg(feature = "store")]
pub fn fold(entries: &[Decided], mut seen: impl FnMut(&Decided, &Folded) + Send) -> Result<MemoryState, ReadFailed> {
    use crate::log::Entry;
    use crate::replica::verify::{KnownKeys, Waiting, check_window};
    use crate::state::Keys;
    use attestune_proto::v1::KeyRow;
    use prost::Message as _;

    let (keys, waiting) = (KnownKeys::default(), Waiting::default());
    let check = |window: &[Decided]| {
        let entry = |d: &Decided| Entry { position: d.position, time_ms: d.time_ms, value: d.envelope.clone() };
        check_window(&keys, &waiting, window.iter().map(entry).collect())
    };
    let mut state = MemoryState::new();
    let mut windows = entries.chunks(WINDOW).peekable();
    let mut checked = windows.peek().map(|first| check(first)).unwrap_or_default();
    while let Some(window) = windows.next() {
        let next = windows.peek().copied().unwrap_or_default();
        let fold = || -> Result<(), ReadFailed> {
            for (decided, (entry, check)) in window.iter().zip(checked) {
                let verify: crate::rules::decode::Verify<'_> = &mut |e, key, index| check.verify(e, key, index);
                let folded = state.push_decoded(entry.time_ms, entry.value, &check.decoded, verify)?;
                let rows = folded.effects.writes().iter().filter(|write| write.row.first() == Some(&Keys::ID));
                rows.filter_map(|write| KeyRow::decode(write.value.as_slice()).ok()).for_each(|key| keys.insert(&key));
                seen(decided, &folded);
            }
            Ok(())
        };
        // The next window's signatures are judged while this one is folded: only keys registered in it are not known yet.
        let (folded, next) = rayon::join(fold, || check(next));
        folded?;
        checked = next;
    }
    Ok(state)
}

/// Folds entries from nothing; `seen` is told of each.
///
/// # Errors
/// If a row of the fold's own does not decode.
#[cfg(not(feature = "store"))]
pub fn fold(entries: &[Decided], mut seen: impl FnMut(&Decided, &Folded) + Send) -> Result<MemoryState, ReadFailed> {
    let mut state = MemoryState::new();
    for decided in entries {
        let decoded = decode(&decided.envelope);
        let verify: crate::rules::decode::Verify<'_> = &mut |e, key, index| crate::envelope::verify(e, key, index);
        let folded = state.push_decoded(decided.time_ms, decided.envelope.clone(), &decoded, verify)?;
        seen(decided, &folded);
    }
    Ok(state)
}
