//! Multiples of a point that stays the same: one table look-up and one addition for every few bits of the scalar.
//!
//! The scalar in signed digits, a table for each digit's place with the multiples of the point that it may call for:
//! no doublings are left (Brickell, Gordon, McCurley, Wilson: *Fast Exponentiation with Precomputation*, EUROCRYPT '92;
//! with signed digits, Bernstein, Duif, Lange, Schwabe, Yang: *High-speed high-security signatures*, CHES 2011).
//! Unlike there a look-up reads the one entry, so that time tells which: for public scalars only.

use super::curve::{Addend, Point};
use curve25519_dalek::scalar::Scalar;

/// Scalars are below the group's order, and so below 2^253.
const SCALAR_BITS: usize = 253;

/// The multiples of a point that the `DIGITS` digits of a scalar, of `BITS` bits each (2 to 16), call for.
///
/// That many times 2^(`BITS` − 1) + 1 entries of 120 bytes: 170 kB for 6 bits, 495 kB for 8.
pub struct Multiples<const BITS: usize, const DIGITS: usize> {
    /// For each digit's place `i`: the point times `2^(BITS·i)` times 0, 1, … 2^(`BITS` − 1).
    entries: Vec<Addend>,
}

/// An entry of a table, and whether it is to be subtracted.
pub type Term = (Addend, bool);

impl<const BITS: usize, const DIGITS: usize> Multiples<BITS, DIGITS> {
    /// Magnitudes of a digit, zero among them.
    const MAGNITUDES: usize = (1 << (BITS - 1)) + 1;

    /// The multiples of a point.
    pub fn of(point: Point) -> Self {
        const { assert!(DIGITS == SCALAR_BITS.div_ceil(BITS), "the digits that make up a scalar") };
        let next = |place: &Point| Some((0..BITS).fold(*place, |power, _| power.double()));
        let places: Vec<_> = std::iter::successors(Some(point), next).take(DIGITS).collect();
        let multiples = |addend: Addend| {
            let next = move |multiple: &Point| Some(multiple.add(&addend, false));
            std::iter::successors(Some(Point::IDENTITY), next).take(Self::MAGNITUDES)
        };
        let points: Vec<_> = Addend::all(&places).into_iter().flat_map(multiples).collect();
        Self { entries: Addend::all(&points) }
    }

    /// The terms whose sum is `scalar` times the point.
    ///
    /// They are copied out of the table before the first addition: so the processor waits for memory once rather than
    /// at each of them, which takes a third off where many keys' tables are in use.
    pub fn look_up(&self, scalar: &Scalar) -> [Term; DIGITS] {
        let digits = digits::<BITS, DIGITS>(scalar);
        std::array::from_fn(|place| {
            let magnitude = digits[place].unsigned_abs() as usize;
            (self.entries[place * Self::MAGNITUDES + magnitude], digits[place] < 0)
        })
    }
}

/// The sum of some terms.
pub fn sum<'a>(terms: impl IntoIterator<Item = &'a Term>) -> Point {
    terms.into_iter().fold(Point::IDENTITY, |sum, (entry, negative)| sum.add(entry, *negative))
}

/// A scalar's digits to the base 2^`BITS`, the lowest first, each from −2^(`BITS` − 1) to 2^(`BITS` − 1).
fn digits<const BITS: usize, const DIGITS: usize>(scalar: &Scalar) -> [i32; DIGITS] {
    let mut bytes = [0; 35];
    bytes[..32].copy_from_slice(scalar.as_bytes());
    let mut carry = 0;
    std::array::from_fn(|place| {
        let bit = place * BITS;
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
    fn look_up_every_entry<const BITS: usize, const DIGITS: usize>() {
        let point = EdwardsPoint::mul_base(&Scalar::from(123_u64));
        let table = Multiples::<BITS, DIGITS>::of(Point::decode(&point.compress().to_bytes()).unwrap());
        let product = |scalar: Scalar| sum(&table.look_up(&scalar));
        let (mut sums, mut expected) = (Vec::new(), Vec::new());
        let (mut place, mut at_place) = (Scalar::ONE, point);
        for _ in 0..DIGITS {
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
        look_up_every_entry::<2, 127>();
        look_up_every_entry::<6, 43>();
        look_up_every_entry::<8, 32>();
    }

    fn make_up_the_scalar<const BITS: usize, const DIGITS: usize>(scalar: &Scalar) {
        let base = Scalar::from(1_u64 << BITS);
        let with = |above: Scalar, digit: &i32| {
            assert!(digit.unsigned_abs() <= 1 << (BITS - 1), "{digit} of {scalar:?} in {BITS} bits");
            let magnitude = Scalar::from(digit.unsigned_abs());
            above * base + if *digit < 0 { -magnitude } else { magnitude }
        };
        assert_eq!(digits::<BITS, DIGITS>(scalar).iter().rev().fold(Scalar::ZERO, with), *scalar);
    }

    fn digits_make_up(scalar: &Scalar) {
        make_up_the_scalar::<2, 127>(scalar);
        make_up_the_scalar::<5, 51>(scalar);
        make_up_the_scalar::<6, 43>(scalar);
        make_up_the_scalar::<7, 37>(scalar);
        make_up_the_scalar::<8, 32>(scalar);
        make_up_the_scalar::<11, 23>(scalar);
        make_up_the_scalar::<16, 16>(scalar);
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
