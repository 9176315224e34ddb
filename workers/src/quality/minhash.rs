//! MinHash signatures (Broder, "On the resemblance and containment of documents", 1997): the
//! share of equal places in two signatures estimates the Jaccard likeness of two sets, here of
//! the five-letter pieces of two texts.

/// Places in a signature. The estimate's standard error is √(j(1−j)/128).
const PLACES: usize = 128;
/// Letters in a piece: short enough that a changed word leaves the pieces around it.
const PIECE_CHARS: usize = 5;
/// Places in a band. Two texts of likeness j share one of the 32 bands with the probability
/// 1 − (1 − j⁴)³²: 0.87 at 0.5, 0.99 at 0.6, all but 5 in 10⁸ at 0.8.
const BAND_PLACES: usize = 4;

/// The bands of a signature: it is found through any one of them.
pub(super) const BANDS: usize = PLACES / BAND_PLACES;

/// A text's signature: for each of 128 hash functions, the least value over its pieces.
#[derive(Clone)]
pub(super) struct Signature(Box<[u32; PLACES]>);

impl Signature {
    /// The signature of a text; an empty text has one of its own.
    pub(super) fn of(text: &str) -> Self {
        let mut least = Box::new([u32::MAX; PLACES]);
        for piece in pieces(text) {
            let piece = fnv1a(piece.as_bytes());
            let mut seed = 0x4154_5445_5354_554e; // fixed for ever: the letters ATTESTUN
            for place in least.iter_mut() {
                // The gamma of SplitMix64, so that the seeds are its sequence.
                seed = u64::wrapping_add(seed, 0x9e37_79b9_7f4a_7c15);
                *place = (*place).min((mix(piece ^ mix(seed)) >> 32) as u32);
            }
        }
        Self(least)
    }

    /// The estimated likeness to another, in parts per million.
    pub(super) fn likeness_ppm(&self, other: &Self) -> u32 {
        let equal = self.0.iter().zip(other.0.iter()).filter(|(a, b)| a == b).count();
        (equal * 1_000_000 / PLACES) as u32
    }

    /// A hash of each band's places.
    pub(super) fn bands(&self) -> [u64; BANDS] {
        std::array::from_fn(|band| {
            let places = &self.0[band * BAND_PLACES..][..BAND_PLACES];
            let fold = |hash, place: &u32| mix(hash ^ u64::from(*place));
            places.iter().fold(band as u64, fold)
        })
    }
}

/// Every run of five letters, or the whole text where it is shorter.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    bounds.push(text.len());
    let last = bounds.len() - 1;
    let count = (last + 1).saturating_sub(PIECE_CHARS).max(1);
    (0..count).map(move |at| &text[bounds[at]..bounds[(at + PIECE_CHARS).min(last)]])
}

/// FNV-1a with 64 bits (RFC 9923).
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, &b: &u8| (hash ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood, 2014).
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_hashes_are_the_published_ones() {
        // From the test vectors of the FNV draft, and the first output of SplitMix64 seeded 0.
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn pieces_are_runs_of_five_letters_of_any_width() {
        assert_eq!(pieces("äbcdéf").collect::<Vec<_>>(), ["äbcdé", "bcdéf"]);
        assert_eq!(pieces("abc").collect::<Vec<_>>(), ["abc"]);
        assert_eq!(pieces("").collect::<Vec<_>>(), [""]);
    }

    #[test]
    fn the_estimate_stays_within_four_standard_errors_of_the_likeness() {
        let text: String = (0..400u64).map(|n| char::from(b'a' + (mix(n) % 26) as u8)).collect();
        let set = |text: &str| pieces(text).map(str::to_owned).collect::<BTreeSet<_>>();
        for kept in [400, 350, 300, 200, 100] {
            let other = &text[..kept];
            let (a, b) = (set(&text), set(other));
            let likeness = a.intersection(&b).count() as f64 / a.union(&b).count() as f64;
            let estimate = Signature::of(&text).likeness_ppm(&Signature::of(other));
            let error = (likeness * (1.0 - likeness) / PLACES as f64).sqrt();
            assert!((f64::from(estimate) / 1e6 - likeness).abs() <= 4.0 * error, "at {kept}");
        }
    }

    #[test]
    fn a_signature_never_changes() {
        // A changed hash or seed would silently give other duplicates than those on record.
        let bands = Signature::of("where is my card").bands();
        assert_eq!(bands.iter().fold(0, |all, band| mix(all ^ band)), 5_697_791_646_000_943_751);
    }
}
