//! Fractions with 32 binary places.

use alloy_primitives::U256;
use serde::{Deserialize, Serialize};

/// A number from 0 to `2^32`, in steps of `2^-32`. A probability or a share is one that is at most [`Ratio::ONE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ratio(pub u64);

impl Ratio {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One.
    pub const ONE: Self = Self(1 << 32);

    /// `numerator / denominator`, rounded down; none for a denominator of zero, or where it does not fit.
    #[must_use]
    pub fn new(numerator: u64, denominator: u64) -> Option<Self> {
        let scaled = u128::from(numerator).checked_mul(u128::from(Self::ONE.0))?;
        u64::try_from(scaled.checked_div(u128::from(denominator))?).ok().map(Self)
    }

    /// So many hundredths, rounded down.
    #[must_use]
    pub const fn percent(hundredths: u32) -> Self {
        #[expect(clippy::as_conversions, reason = "widens; `From` is not const")]
        let scaled = (hundredths as u64) << 32;
        Self(scaled / 100)
    }

    /// The product, rounded down; none where it does not fit.
    #[must_use]
    pub fn times(self, other: Self) -> Option<Self> {
        let product = u128::from(self.0).checked_mul(u128::from(other.0))?;
        u64::try_from(product >> 32).ok().map(Self)
    }

    /// The product, rounded up; none where it does not fit.
    #[must_use]
    pub fn times_up(self, other: Self) -> Option<Self> {
        let product = u128::from(self.0).checked_mul(u128::from(other.0))?;
        let up = product.checked_add(u128::from(u32::MAX))? >> 32;
        u64::try_from(up).ok().map(Self)
    }

    /// So much of an amount, rounded down; none where it does not fit.
    #[must_use]
    pub fn of(self, amount: u128) -> Option<u128> {
        // 64 and 128 bits: the product fits into 256.
        let product = self.wide().checked_mul(U256::from(amount))?;
        u128::try_from(product.wrapping_shr(32)).ok()
    }

    /// In steps of `2^-32`, with room for products of up to four of them.
    pub(crate) fn wide(self) -> U256 {
        U256::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fractions_round_down_and_have_limits() {
        assert_eq!(Ratio::new(1, 2), Some(Ratio(1 << 31)));
        assert_eq!(Ratio::new(1, 3), Some(Ratio(0x5555_5555)));
        assert_eq!(Ratio::new(1, 0), None);
        assert_eq!(Ratio::new(u64::MAX, 1), None);
        assert_eq!(Ratio::percent(150), Ratio::new(3, 2).unwrap());
        assert_eq!(Ratio(u64::MAX).times(Ratio(u64::MAX)), None);
        assert_eq!(Ratio(u64::MAX).of(u128::MAX), None);
        assert_eq!(Ratio::ONE.of(u128::MAX), Some(u128::MAX));
    }

    proptest! {
        #[test]
        fn products_are_rounded_as_said(a in any::<u32>(), b in any::<u32>()) {
            let exact = u128::from(a) * u128::from(b);
            let (a, b) = (Ratio(a.into()), Ratio(b.into()));
            let (down, up) = (a.times(b).unwrap(), a.times_up(b).unwrap());
            prop_assert!(u128::from(down.0) << 32 <= exact && exact <= u128::from(up.0) << 32);
            prop_assert!(up.0 - down.0 <= 1);
        }
    }
}
