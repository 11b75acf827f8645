//! The fields of the protocol and how integers enter them.
//!
//! Base field: KoalaBear, `p = 2^31 - 2^24 + 1`. Challenges and claims live in its quintic extension
//! `Fp[x] / (x^5 + x^2 - 1)` of about `2^154.9` elements. A signed integer `v` stands for `v mod p`; every
//! integer of the graph is under `3 * 2^28` in magnitude, less than `p / 2`, so the map is injective on them.

use p3_field::{BasedVectorSpace, PrimeField32, integers::QuotientMap};

use crate::bits::Bits;

/// Base field.
pub type Fp = p3_koala_bear::KoalaBear;
/// Extension field of degree [`EF_DEGREE`].
pub type Ef = p3_field::extension::QuinticTrinomialExtensionField<Fp>;

/// Degree of [`Ef`] over [`Fp`].
pub const EF_DEGREE: usize = 5;
/// Bytes of an encoded [`Ef`].
pub const EF_BYTES: usize = 20;
/// A lower bound on `log2 |Ef|`: 154.9375, in sixty-fourths.
pub const EF_BITS: Bits = Bits::from_steps(9916);
/// Integers of the graph stay under this in magnitude; so must claimed outputs. It is `(p - 1) / 2`: the integers below
/// it are all different in the field, and those below `2^30` are not.
pub const MAX_MAGNITUDE: i32 = (1 << 30) - (1 << 23);

/// The field element that stands for `value`.
pub fn embed(value: i32) -> Fp {
    Fp::from_int(value)
}

/// Little-endian canonical bytes, coefficient of `x^0` first.
#[must_use]
pub fn ef_to_bytes(value: &Ef) -> [u8; EF_BYTES] {
    let mut bytes = [0; EF_BYTES];
    let coefficients: &[Fp] = value.as_basis_coefficients_slice();
    for (chunk, coefficient) in bytes.chunks_exact_mut(4).zip(coefficients) {
        chunk.copy_from_slice(&coefficient.as_canonical_u32().to_le_bytes());
    }
    bytes
}

/// The element with these canonical coefficients, lowest degree first.
pub fn ef_from_coefficients(coefficients: [Fp; EF_DEGREE]) -> Ef {
    Ef::new(coefficients)
}

/// Canonical coefficients, each in `0..p`, lowest degree first.
#[must_use]
pub fn coefficients(value: &Ef) -> [i64; EF_DEGREE] {
    let mut out = [0; EF_DEGREE];
    let coefficients: &[Fp] = value.as_basis_coefficients_slice();
    for (slot, coefficient) in out.iter_mut().zip(coefficients) {
        *slot = i64::from(coefficient.as_canonical_u32());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_integers_in_range_are_one_element() {
        // The bound was 2^30, which is more than p / 2: near it, `v` and `v - p` were both taken for outputs, so weights
        // made for it could prove two answers to one question.
        let most = i64::from(MAX_MAGNITUDE) - 1;
        assert!(2 * most < i64::from(Fp::ORDER_U32));
        assert_ne!(embed(MAX_MAGNITUDE - 1), embed(1 - MAX_MAGNITUDE));
        assert_eq!(MAX_MAGNITUDE, tacit_graph::graph::MAX_ACCUMULATOR);
    }
}
