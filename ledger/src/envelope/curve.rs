//! Points of edwards25519, the curve −x² + y² = 1 + d·x²·y² (RFC 8032 §5.1), in extended coordinates.
//!
//! Formulas: Hisil, Wong, Carter, Dawson: *Twisted Edwards Curves Revisited*, ASIACRYPT 2008, §3.1 and §3.3; they hold
//! for all pairs of points, as −1 is a square modulo p and d is none. Like the field, for public values only.

use super::field::{Element, Sum, invert_all};

/// A point as `(X : Y : Z : T)` with `x = X/Z`, `y = Y/Z`, `x·y = T/Z`.
#[derive(Clone, Copy)]
pub struct Point {
    x: Element,
    y: Element,
    z: Element,
    t: Element,
}

/// A point that has no denominator, made ready to be added: `(y − x)/2`, `(y + x)/2` and `d·x·y`.
///
/// With the halves, all coordinates of a sum come out a quarter of the formula's, which is the same point, and `2·Z`
/// need not be made.
#[derive(Clone, Copy)]
pub struct Addend {
    y_less_x: Sum,
    y_plus_x: Sum,
    dxy: Sum,
}

/// `d = −121665/121666`.
fn d() -> Element {
    (-Element::small(121_665)) * Element::small(121_666).invert()
}

impl Point {
    /// The neutral element.
    pub const IDENTITY: Self = Self { x: Element::ZERO, y: Element::ONE, z: Element::ONE, t: Element::ZERO };

    /// The point of an encoding (RFC 8032 §5.1.3), none if it isn't canonical.
    pub fn decode(encoding: &[u8; 32]) -> Option<Self> {
        let y = Element::from_bytes(encoding);
        let yy = y.square();
        let x = ((yy - Element::ONE) * (d() * yy + Element::ONE).carry().invert()).sqrt()?;
        let x = if x.is_odd() == (encoding[31] >> 7 == 1) { x } else { (-x).carry() };
        let point = Self { x, y, z: Element::ONE, t: x * y };
        (encode_all(&[point]) == [*encoding]).then_some(point)
    }

    pub fn negate(self) -> Self {
        Self { x: (-self.x).carry(), t: (-self.t).carry(), ..self }
    }

    pub fn double(self) -> Self {
        let (xx, yy) = (self.x.square(), self.y.square());
        let zz = self.z.square();
        let h = (xx + yy).carry();
        let x_plus_y = self.x + self.y;
        let e = h - x_plus_y * x_plus_y;
        let g = (xx - yy).carry();
        let f = (zz + g).carry() + zz;
        Self { x: e * f, y: g * h, z: f * g, t: e * h }
    }

    /// The sum with a point, or with its negative.
    pub fn add(&self, other: &Addend, negative: bool) -> Self {
        let (less, plus) =
            if negative { (&other.y_plus_x, &other.y_less_x) } else { (&other.y_less_x, &other.y_plus_x) };
        let a = (self.y - self.x) * *less;
        let b = (self.y + self.x) * *plus;
        let c = other.dxy * self.t;
        let (e, h) = (b - a, b + a);
        let (f, g) = if negative { (self.z + c, self.z - c) } else { (self.z - c, self.z + c) };
        Self { x: e * f, y: g * h, z: f * g, t: e * h }
    }
}

impl Addend {
    /// The points divided by their Z, all with one inversion.
    pub fn all(points: &[Point]) -> Vec<Self> {
        let (half, d) = (Element::small(2).invert(), d());
        let addend = |(point, inverse): (&Point, Element)| {
            let (x, y) = (point.x * inverse, point.y * inverse);
            Self { y_less_x: (half * (y - x)).into(), y_plus_x: (half * (y + x)).into(), dxy: (d * (x * y)).into() }
        };
        points.iter().zip(inverse_zs(points)).map(addend).collect()
    }
}

/// The canonical encodings of points (RFC 8032 §5.1.2), all with one inversion.
pub fn encode_all(points: &[Point]) -> Vec<[u8; 32]> {
    let encode = |(point, inverse): (&Point, Element)| {
        let mut encoding = (point.y * inverse).to_bytes();
        encoding[31] |= u8::from((point.x * inverse).is_odd()) << 7;
        encoding
    };
    points.iter().zip(inverse_zs(points)).map(encode).collect()
}

fn inverse_zs(points: &[Point]) -> Vec<Element> {
    invert_all(&points.iter().map(|point| point.z).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::{EdwardsPoint, Scalar, constants::EIGHT_TORSION};
    use proptest::prelude::*;

    fn bytes(point: &EdwardsPoint) -> [u8; 32] {
        point.compress().to_bytes()
    }

    fn ours(point: &EdwardsPoint) -> Point {
        Point::decode(&bytes(point)).unwrap()
    }

    fn encoded(point: Point) -> [u8; 32] {
        encode_all(&[point])[0]
    }

    /// Any point, of small order included, as a multiple of the base point and which of the eight is added.
    fn points() -> impl Strategy<Value = ([u8; 32], usize)> {
        (prop_oneof![Just([0; 32]), any::<[u8; 32]>()], 0..8_usize)
    }

    fn both((scalar, torsion): ([u8; 32], usize)) -> (EdwardsPoint, Point) {
        let point = EdwardsPoint::mul_base(&Scalar::from_bytes_mod_order(scalar)) + EIGHT_TORSION[torsion];
        (point, ours(&point))
    }

    proptest! {
        #[test]
        fn sums_differences_and_doubles_are_those_of_dalek(a in points(), b in points()) {
            let ((a, our_a), (b, our_b)) = (both(a), both(b));
            let addend = Addend::all(&[our_b])[0];
            prop_assert_eq!(encoded(our_a.add(&addend, false)), bytes(&(a + b)));
            prop_assert_eq!(encoded(our_a.add(&addend, true)), bytes(&(a - b)));
            prop_assert_eq!(encoded(our_a.double()), bytes(&(a + a)));
            prop_assert_eq!(encoded(our_a.negate()), bytes(&-a));
            // Z is no longer 1, and T must fit it.
            let far = our_a.double().negate().add(&addend, true).double().add(&addend, false);
            prop_assert_eq!(encoded(far), bytes(&-(a + a + a + a + b)));
            prop_assert_eq!(encoded(our_a.add(&Addend::all(&[far])[0], false)), bytes(&-(a + a + a + b)));
            let itself = Addend::all(&[our_a])[0];
            prop_assert_eq!(encoded(our_a.add(&itself, false)), bytes(&(a + a)));
            prop_assert_eq!(encoded(our_a.add(&itself, true)), bytes(&(a - a)));
        }

        #[test]
        fn an_encoding_is_decoded_if_it_is_one_for_dalek_and_canonical(encoding in any::<[u8; 32]>()) {
            let theirs = curve25519_dalek::edwards::CompressedEdwardsY(encoding).decompress();
            let canonical = theirs.is_some_and(|point| bytes(&point) == encoding);
            let point = Point::decode(&encoding);
            prop_assert_eq!(point.is_some(), canonical);
            prop_assert!(point.is_none_or(|point| encoded(point) == encoding));
        }
    }

    #[test]
    fn the_points_of_small_order_are_decoded_and_other_encodings_of_theirs_are_not() {
        for point in EIGHT_TORSION {
            assert_eq!(encoded(ours(&point)), bytes(&point));
        }
        for low in [0xed, 0xee] {
            let mut encoding = [0xff; 32];
            (encoding[0], encoding[31]) = (low, 0x7f);
            assert!(Point::decode(&encoding).is_none(), "y = p or p + 1");
        }
        let mut minus_zero = [0; 32];
        (minus_zero[0], minus_zero[31]) = (1, 0x80);
        assert!(Point::decode(&minus_zero).is_none(), "x = 0 has no sign");
    }
}
