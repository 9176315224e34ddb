//! Multiples of a point that stays the same: one table look-up and one addition for every few bits of the scalar.
//!
//! The scalar in signed digits, a table for each digit's place with the multiples of the point that it may call for:
//! no doublings are left (Brickell, Gordon, McCurley, Wilson: *Fast Exponentiation with Precomputation*, EUROCRYPT '92;
//! with signed digits, Bernstein, Duif, Lange, Schwabe, Yang: *High-speed high-security signatures*, CHES 2011, §4).
//! Unlike there a look-up reads the one entry, so that time tells which: for public scalars only.

use super::curve::{Addend, Point};
use curve25519_dalek::scalar::Scalar;

/// Scalars are below the group's order, and so below 2^253.
const SCALAR_BITS: usize = 253;

/// The multiples of a point that digits of `BITS` bits (2 to 16) call for.
///
/// That many times 2^(`BITS` − 1) are 253/`BITS` entries of 120 bytes: 165 kB for 6 bits, 491 kB for 8.
pub struct Multiples<const BITS: usize> {
    /// For each digit's place `i`: the point times `2^(BITS·i)` times 1, 2, … `LARGEST`.
    entries: Vec<Addend>,
}

/// What a sum is made of: entries of tables, and whether each is to be subtracted.
///
/// They are copied out of the tables before the first addition: so the processor waits for memory once rather than at
/// each of them, which takes a third off where many keys' tables are in use.
pub type Terms = Vec<(Addend, bool)>;

impl<const BITS: usize> Multiples<BITS> {
    /// A digit's largest magnitude.
    const LARGEST: usize = 1 << (BITS - 1);
    /// Digits in a scalar.
    pub const DIGITS: usize = SCALAR_BITS.div_ceil(BITS);

    /// The multiples of a point.
    pub fn of(point: Point) -> Self {
        let next = |place: &Point| Some((0..BITS).fold(*place, |power, _| power.double()));
        let places: Vec<_> = std::iter::successors(Some(point), next).take(Self::DIGITS).collect();
        let multiples = |(place, addend): (&Point, Addend)| {
            std::iter::successors(Some(*place), move |multiple| Some(multiple.add(&addend, false))).take(Self::LARGEST)
        };
        let points: Vec<_> = places.iter().zip(Addend::all(&places)).flat_map(multiples).collect();
        Self { entries: Addend::all(&points) }
    }

    /// Adds to the terms those whose sum is `scalar` times the point.
    pub fn look_up(&self, scalar: &Scalar, terms: &mut Terms) {
        for (digit, entries) in digits::<BITS>(scalar).zip(self.entries.chunks_exact(Self::LARGEST)) {
            if let Some(index) = (digit.unsigned_abs() as usize).checked_sub(1) {
                terms.push((entries[index], digit < 0));
            }
        }
    }
}

/// The sum of some terms.
pub fn sum(terms: &Terms) -> Point {
    terms.iter().fold(Point::IDENTITY, |sum, (entry, negative)| sum.add(entry, *negative))
}

/// A scalar's digits to the base 2^`BITS`, the lowest first, each from −2^(`BITS` − 1) to 2^(`BITS` − 1).
fn digits<const BITS: usize>(scalar: &Scalar) -> impl Iterator<Item = i32> {
    let mut bytes = [0; 35];
    bytes[..32].copy_from_slice(scalar.as_bytes());
    let mut carry = 0;
    (0..SCALAR_BITS).step_by(BITS).map(move |bit| {
        let [low, middle, high] = [0, 1, 2].map(|offset| i32::from(bytes[bit / 8 + offset]));
        let bits = ((low | middle << 8 | high << 16) >> (bit % 8)) & ((1 << BITS) - 1);
        let digit = bits + carry;
        carry = i32::from(digit > 1 << (BITS - 1));
        digit - (carry << BITS)
    })
}

#[cfg(test)]
mod tests {
    use super::super::curve::encode_all;
    use super::*;
    use curve25519_dalek::EdwardsPoint;
    use proptest::prelude::*;

    /// Every entry of a table, added and subtracted: for each place all that its digit may be.
    fn look_up_every_entry<const BITS: usize>() {
        let point = EdwardsPoint::mul_base(&Scalar::from(123_u64));
        let table = Multiples::<BITS>::of(Point::decode(&point.compress().to_bytes()).unwrap());
        let product = |scalar: Scalar| {
            let mut terms = Terms::new();
            table.look_up(&scalar, &mut terms);
            sum(&terms)
        };
        let (mut sums, mut expected) = (Vec::new(), Vec::new());
        let (mut place, mut at_place) = (Scalar::ONE, point);
        for _ in 0..Multiples::<BITS>::DIGITS {
            let base = Scalar::from(1_u64 << BITS);
            let (next, at_next) = (place * base, at_place * base);
            let (mut multiple, mut at_multiple) = (place, at_place);
            for _ in 0..1 << (BITS - 1) {
                sums.extend([product(multiple), product(next - multiple)]);
                expected.extend([at_multiple, at_next - at_multiple]);
                (multiple, at_multiple) = (multiple + place, at_multiple + at_place);
            }
            (place, at_place) = (next, at_next);
        }
        let expected = EdwardsPoint::compress_batch_alloc(&expected);
        assert!(encode_all(&sums).into_iter().eq(expected.into_iter().map(|encoding| encoding.0)));
    }

    #[test]
    fn every_entry_is_the_multiple_of_the_point_that_it_stands_for() {
        look_up_every_entry::<2>();
        look_up_every_entry::<6>();
        look_up_every_entry::<8>();
    }

    fn make_up_the_scalar<const BITS: usize>(scalar: &Scalar) {
        let digits: Vec<_> = digits::<BITS>(scalar).collect();
        assert_eq!(digits.len(), Multiples::<BITS>::DIGITS);
        let base = Scalar::from(1_u64 << BITS);
        let with = |above: Scalar, digit: &i32| {
            assert!(digit.unsigned_abs() <= 1 << (BITS - 1), "{digit} of {scalar:?} in {BITS} bits");
            let magnitude = Scalar::from(digit.unsigned_abs());
            above * base + if *digit < 0 { -magnitude } else { magnitude }
        };
        assert_eq!(digits.iter().rev().fold(Scalar::ZERO, with), *scalar);
    }

    fn digits_make_up(scalar: &Scalar) {
        make_up_the_scalar::<2>(scalar);
        make_up_the_scalar::<5>(scalar);
        make_up_the_scalar::<6>(scalar);
        make_up_the_scalar::<7>(scalar);
        make_up_the_scalar::<8>(scalar);
        make_up_the_scalar::<11>(scalar);
        make_up_the_scalar::<16>(scalar);
    }

    #[test]
    fn digits_make_up_the_scalars_at_their_limits() {
        let largest = Scalar::ZERO - Scalar::ONE;
        let two_to_252 = Scalar::from(1_u128 << 126) * Scalar::from(1_u128 << 126);
        for scalar in [Scalar::ZERO, Scalar::ONE, largest, largest - Scalar::ONE, two_to_252, two_to_252 - Scalar::ONE]
        {
            digits_make_up(&scalar);
        }
        // Every digit at its largest, one less, one more (and so the smallest), and each bit on its own.
        for bits in 2..=16 {
            let base = Scalar::from(1_u64 << bits);
            for digit in [(1_u64 << (bits - 1)) - 1, 1 << (bits - 1), (1 << (bits - 1)) + 1, (1 << bits) - 1] {
                digits_make_up(&(0..252 / bits).fold(Scalar::ZERO, |above, _| above * base + Scalar::from(digit)));
            }
        }
        (0..252).fold(Scalar::ONE, |power, _| {
            digits_make_up(&power);
            power + power
        });
    }

    proptest! {
        #[test]
        fn digits_make_up_any_scalar(bytes in any::<[u8; 32]>()) {
            digits_make_up(&Scalar::from_bytes_mod_order(bytes));
        }
    }
}
