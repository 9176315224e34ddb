//! The field of edwards25519, the integers modulo p = 2^255 − 19, in the arithmetic of Fiat-Crypto.
//!
//! That code is generated together with a proof, which holds while limbs stay within stated bounds (Erbsen, Philipoom,
//! Gross, Sloan, Chlipala: *Simple High-Level Code for Cryptographic Arithmetic*, IEEE S&P 2019). The types carry the
//! bounds: an [`Element`] may be added and multiplied, a [`Sum`] of two only multiplied.
//!
//! For public values only: nothing here hides what it computes with.

use fiat_crypto::curve25519_64::{
    fiat_25519_add, fiat_25519_carry, fiat_25519_carry_mul, fiat_25519_carry_square, fiat_25519_from_bytes,
    fiat_25519_loose_field_element, fiat_25519_opp, fiat_25519_relax, fiat_25519_sub, fiat_25519_tight_field_element,
    fiat_25519_to_bytes,
};
use std::ops::{Add, Mul, Neg, Sub};

/// An element of the field, its limbs reduced ("tight").
#[derive(Clone, Copy)]
pub struct Element(fiat_25519_tight_field_element);

/// A sum or difference of two elements, its limbs not reduced ("loose").
#[derive(Clone, Copy)]
pub struct Sum(fiat_25519_loose_field_element);

impl Element {
    pub const ZERO: Self = Self::small(0);
    pub const ONE: Self = Self::small(1);

    /// A small number.
    pub const fn small(number: u32) -> Self {
        Self(fiat_25519_tight_field_element([number as u64, 0, 0, 0, 0]))
    }

    /// The element of 32 bytes, the lowest first; the highest bit counts for nothing.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut bytes = *bytes;
        bytes[31] &= 0x7f;
        let mut out = Self::ZERO;
        fiat_25519_from_bytes(&mut out.0, &bytes);
        out
    }

    /// The canonical encoding: a number below p, the lowest byte first.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut out = [0; 32];
        fiat_25519_to_bytes(&mut out, &self.0);
        out
    }

    /// Whether the number below p is odd: the sign of x in RFC 8032 §5.1.2.
    pub fn is_odd(self) -> bool {
        self.to_bytes()[0] & 1 == 1
    }

    pub fn square(self) -> Self {
        let mut out = Self::ZERO;
        fiat_25519_carry_square(&mut out.0, &Sum::from(self).0);
        out
    }

    /// `1 / self` as `self^(p − 2)`, and so zero for zero.
    pub fn invert(self) -> Self {
        // p − 2 = 2^255 − 21 = (2^250 − 1)·2^5 + 8 + 2 + 1
        self.power_of_ones(250).square_times(5) * (self.square_times(3) * (self.square() * self))
    }

    /// A square root, if there is one (RFC 8032 §5.1.3).
    pub fn sqrt(self) -> Option<Self> {
        // (p + 3)/8 = 2^252 − 2 = (2^250 − 1)·2^2 + 2, and (p − 1)/4 = 2^253 − 5 = (2^250 − 1)·2^3 + 3.
        let candidate = self.power_of_ones(250).square_times(2) * self.square();
        let two = Self::small(2);
        let sqrt_of_minus_one = two.power_of_ones(250).square_times(3) * Self::small(8);
        [candidate, candidate * sqrt_of_minus_one].into_iter().find(|root| root.square() == self)
    }

    /// `self^(2^times)`.
    fn square_times(self, times: u32) -> Self {
        (0..times).fold(self, |power, _| power.square())
    }

    /// `self^(2^count − 1)`: the exponent is `count` ones.
    fn power_of_ones(self, count: u32) -> Self {
        match count {
            0 => Self::ONE,
            odd if odd % 2 == 1 => self.power_of_ones(odd - 1).square() * self,
            even => {
                let half = self.power_of_ones(even / 2);
                half.square_times(even / 2) * half
            }
        }
    }
}

/// The inverses of elements that aren't zero, for one inversion and three multiplications each (Montgomery's trick:
/// *Speeding the Pollard and Elliptic Curve Methods of Factorization*, 1987, §10.3.1).
pub fn invert_all(elements: &[Element]) -> Vec<Element> {
    let mut product = Element::ONE;
    let mut inverses = Vec::with_capacity(elements.len());
    for element in elements {
        inverses.push(product);
        product = product * *element;
    }
    let mut rest = product.invert();
    for (inverse, element) in inverses.iter_mut().zip(elements).rev() {
        *inverse = *inverse * rest;
        rest = rest * *element;
    }
    inverses
}

impl Sum {
    /// Reduces the limbs.
    pub fn carry(self) -> Element {
        let mut out = Element::ZERO;
        fiat_25519_carry(&mut out.0, &self.0);
        out
    }

    /// Limbs to be written over.
    const fn blank() -> Self {
        Self(fiat_25519_loose_field_element([0; 5]))
    }
}

// Inlined by force: limbs that go through memory from call to call make the sum of two points a tenth slower.
impl From<Element> for Sum {
    #[inline(always)]
    fn from(element: Element) -> Self {
        let mut out = Self::blank();
        fiat_25519_relax(&mut out.0, &element.0);
        out
    }
}

impl Add for Element {
    type Output = Sum;

    #[inline(always)]
    fn add(self, other: Self) -> Sum {
        let mut out = Sum::blank();
        fiat_25519_add(&mut out.0, &self.0, &other.0);
        out
    }
}

impl Sub for Element {
    type Output = Sum;

    #[inline(always)]
    fn sub(self, other: Self) -> Sum {
        let mut out = Sum::blank();
        fiat_25519_sub(&mut out.0, &self.0, &other.0);
        out
    }
}

impl Neg for Element {
    type Output = Sum;

    #[inline(always)]
    fn neg(self) -> Sum {
        let mut out = Sum::blank();
        fiat_25519_opp(&mut out.0, &self.0);
        out
    }
}

impl<T: Into<Sum>> Mul<T> for Sum {
    type Output = Element;

    #[inline(always)]
    fn mul(self, other: T) -> Element {
        let mut out = Element::ZERO;
        fiat_25519_carry_mul(&mut out.0, &self.0, &other.into().0);
        out
    }
}

impl<T: Into<Sum>> Mul<T> for Element {
    type Output = Element;

    #[inline(always)]
    fn mul(self, other: T) -> Element {
        Sum::from(self) * other
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.to_bytes() == other.to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_bigint::BigUint;
    use proptest::prelude::*;

    fn p() -> BigUint {
        (BigUint::from(1_u8) << 255) - 19_u8
    }

    fn number(element: Element) -> BigUint {
        BigUint::from_bytes_le(&element.to_bytes())
    }

    /// Bytes of elements; those at either end of what 255 bits hold, which are next to p too, likelier than by chance.
    fn elements() -> impl Strategy<Value = [u8; 32]> {
        let ends = (0..40_u8, any::<bool>()).prop_map(|(small, high)| {
            let mut bytes = [if high { 0xff } else { 0 }; 32];
            bytes[0] ^= small;
            bytes
        });
        prop_oneof![any::<[u8; 32]>(), ends]
    }

    /// A number below p as both.
    fn both(mut bytes: [u8; 32]) -> (BigUint, Element) {
        let element = Element::from_bytes(&bytes);
        bytes[31] &= 0x7f;
        (BigUint::from_bytes_le(&bytes) % p(), element)
    }

    proptest! {
        #[test]
        fn arithmetic_is_that_of_integers_modulo_p(a in elements(), b in elements()) {
            let (p, (a, our_a), (b, our_b)) = (p(), both(a), both(b));
            prop_assert_eq!(number(our_a), a.clone());
            prop_assert_eq!(number((our_a + our_b).carry()), (&a + &b) % &p);
            prop_assert_eq!(number((our_a - our_b).carry()), (&a + &p - &b) % &p);
            prop_assert_eq!(number((-our_a).carry()), (&p - &a) % &p);
            prop_assert_eq!(number(our_a * our_b), (&a * &b) % &p);
            prop_assert_eq!(number((our_a + our_b) * (our_a - our_b)), (&a + &b) * (&a + &p - &b) % &p);
            prop_assert_eq!(number(our_a.square()), (&a * &a) % &p);
            prop_assert_eq!(number(our_a.invert()), a.modpow(&(&p - 2_u8), &p));
            prop_assert_eq!(our_a.is_odd(), a.bit(0));
            prop_assert_eq!(our_a == our_b, a == b);
        }

        #[test]
        fn a_root_is_found_where_there_is_one(a in elements()) {
            let (a, our_a) = both(a);
            let half = (p() - 1_u8) / 2_u8;
            let is_square = a.modpow(&half, &p()) != &p() - 1_u8;
            let root = our_a.sqrt();
            prop_assert_eq!(root.is_some(), is_square);
            prop_assert!(root.is_none_or(|root| root.square() == our_a));
        }

        #[test]
        fn inverses_made_together_are_those_made_alone(all in proptest::collection::vec(elements(), 0..9)) {
            let all: Vec<_> = all.iter().map(Element::from_bytes).filter(|element| *element != Element::ZERO).collect();
            let inverses: Vec<_> = invert_all(&all).into_iter().map(number).collect();
            prop_assert_eq!(inverses, all.iter().map(|element| number(element.invert())).collect::<Vec<_>>());
        }
    }
}
