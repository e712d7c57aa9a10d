//! Multiplication of points as X25519 does it (RFC 7748), at a third of the cost of its ladder: on the Edwards form of the curve, for
//! which there is vector code.
//!
//! All factors are clamped, so multiples of 8, and the order of a point of the curve divides 8ℓ. So what X25519 gives for factors
//! f_1, …, f_n one after the other is (f_1 ⋯ f_n / 8 mod ℓ) · 8P, also for points with a part of small order. The curve's twist has
//! another order; honest keys are never there, but half of all strings of bytes are. There the ladder is used.

use curve25519_dalek::scalar::{Scalar, clamp_integer};
use curve25519_dalek::{EdwardsPoint, MontgomeryPoint};
use std::sync::LazyLock;
use zeroize::{Zeroize, Zeroizing};

/// 8⁻¹ modulo the order ℓ of the base point.
static EIGHTH: LazyLock<Scalar> = LazyLock::new(|| Scalar::from(8_u8).invert());

/// A public key or the α of a header, as it came. Any bytes are one.
pub(super) struct Point {
    given: MontgomeryPoint,
    /// Eight times the point, if it is on the curve and not on the twist. The sign is lost, and does not matter: X25519 knows
    /// the u coordinate only.
    octuple: Option<EdwardsPoint>,
}

impl Point {
    pub(super) fn new(u: [u8; 32]) -> Point {
        let given = MontgomeryPoint(u);
        Point { given, octuple: given.to_edwards(0).map(|point| point.mul_by_cofactor()) }
    }
}

/// What points are multiplied by: one factor after the other.
pub(super) struct Factors {
    /// Each for itself, not yet clamped; never grown beyond its capacity.
    all: Zeroizing<Vec<[u8; 32]>>,
    /// Their product, clamped, modulo ℓ, an eighth of it.
    eighth: Zeroizing<Scalar>,
}

impl Factors {
    /// One factor, with room for `more`.
    pub(super) fn new(first: &[u8; 32], more: usize) -> Factors {
        let all = Zeroizing::new(Vec::with_capacity(1 + more));
        let mut factors = Factors { all, eighth: Zeroizing::new(*EIGHTH) };
        factors.push(first);
        factors
    }

    pub(super) fn push(&mut self, factor: &[u8; 32]) {
        debug_assert!(self.all.len() < self.all.capacity(), "a copy that nobody zeroises would be left behind");
        let mut scalar = Scalar::from_bytes_mod_order(clamp_integer(*factor));
        *self.eighth *= scalar;
        scalar.zeroize();
        self.all.push(*factor);
    }

    /// What X25519 with one factor after the other gives: zero for all points of small order, and for no others. Takes the same
    /// time for all factors.
    pub(super) fn times(&self, point: &Point) -> Zeroizing<[u8; 32]> {
        let product = match point.octuple {
            Some(octuple) => (octuple * *self.eighth).to_montgomery(),
            None => self.all.iter().fold(point.given, |point, factor| point.mul_clamped(*factor)),
        };
        Zeroizing::new(product.to_bytes())
    }
}

/// The public half of a secret key.
pub(super) fn public(secret: &[u8; 32]) -> [u8; 32] {
    EdwardsPoint::mul_base_clamped(*secret).to_montgomery().to_bytes()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use proptest::prelude::*;
    use x25519_dalek::{PublicKey, StaticSecret, x25519};

    /// What may be given for a public key.
    #[derive(Clone, Debug)]
    pub(in crate::onion) enum Given {
        /// That of a secret.
        Honest([u8; 32]),
        /// On the curve with a part of small order, as often as not; with the unused top bit, as often as not.
        Curve([u8; 32]),
        /// On the twist.
        Twist([u8; 32]),
        /// That of a secret and a point of small order, added.
        Torsion([u8; 32], usize),
    }

    fn on_curve(bytes: [u8; 32]) -> bool {
        Point::new(bytes).octuple.is_some()
    }

    /// The first string of bytes from `bytes` on that is a point of the curve, or of the twist.
    fn nearest(mut bytes: [u8; 32], curve: bool) -> [u8; 32] {
        while on_curve(bytes) != curve {
            bytes[1] = bytes[1].wrapping_add(1);
        }
        bytes
    }

    impl Given {
        pub(in crate::onion) fn bytes(&self) -> [u8; 32] {
            match *self {
                Given::Honest(secret) => PublicKey::from(&StaticSecret::from(secret)).to_bytes(),
                Given::Curve(bytes) => nearest(bytes, true),
                Given::Twist(bytes) => nearest(bytes, false),
                Given::Torsion(secret, of) => {
                    let honest = ED25519_BASEPOINT_POINT.mul_clamped(secret);
                    (honest + EIGHT_TORSION[of]).to_montgomery().to_bytes()
                }
            }
        }
    }

    /// All of them.
    pub(in crate::onion) fn given() -> impl Strategy<Value = Given> {
        prop_oneof![
            any::<[u8; 32]>().prop_map(Given::Honest),
            any::<[u8; 32]>().prop_map(Given::Curve),
            any::<[u8; 32]>().prop_map(Given::Twist),
            (any::<[u8; 32]>(), 0..8_usize).prop_map(|(secret, of)| Given::Torsion(secret, of)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_product_is_x25519s(given in given(), factors in prop::collection::vec(any::<[u8; 32]>(), 1..=5)) {
            let theirs = factors.iter().fold(given.bytes(), |point, factor| x25519(*factor, point));
            let mut ours = Factors::new(&factors[0], factors.len() - 1);
            factors[1..].iter().for_each(|factor| ours.push(factor));
            prop_assert_eq!(*ours.times(&Point::new(given.bytes())), theirs);
        }

        #[test]
        fn a_public_key_is_x25519s(secret: [u8; 32]) {
            prop_assert_eq!(public(&secret), Given::Honest(secret).bytes());
        }
    }

    /// A point of the curve is multiplied once, one of the twist by each factor: both kinds are among those above.
    #[test]
    fn points_of_both_curves_are_tried() {
        assert!(on_curve(Given::Curve([9; 32]).bytes()));
        assert!(!on_curve(Given::Twist([9; 32]).bytes()));
        let torsion = MontgomeryPoint(Given::Torsion([9; 32], 1).bytes()).to_edwards(0).unwrap();
        assert!(!torsion.is_torsion_free());
    }
}
