//! Fixed-point numbers.

use core::iter::Sum;

/// A number from 0 to `2^32`, in steps of `2^-32`. Arithmetic saturates, as upstream's does; within the limits of an epoch nothing comes near.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fixed(u64);

impl Fixed {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One.
    pub const ONE: Self = Self(1 << 32);

    /// So many steps of `2^-32`.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// In steps of `2^-32`.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// A whole number.
    pub(crate) fn whole(number: u16) -> Self {
        Self(u64::from(number) << 32)
    }

    /// `part / 65535`, rounded down.
    pub(crate) fn proportion(part: u16) -> Self {
        Self::whole(part).over(Self::whole(u16::MAX))
    }

    /// So many of 65535, rounded down; 65535 for more than one.
    #[must_use]
    pub fn to_u16(self) -> u16 {
        u16::try_from(self.times(Self::whole(u16::MAX)).0 >> 32).unwrap_or(u16::MAX)
    }

    /// So many millionths, rounded down.
    #[must_use]
    pub fn to_millionths(self) -> u64 {
        u64::try_from((u128::from(self.0).saturating_mul(1_000_000)) >> 32).unwrap_or(u64::MAX)
    }

    /// So much of an amount, rounded down; saturates.
    #[must_use]
    pub fn of(self, amount: u128) -> u128 {
        let raw = u128::from(self.0);
        let high = (amount >> 32).saturating_mul(raw);
        // Under 2^32 times under 2^64.
        let low = (amount & u128::from(u32::MAX)).saturating_mul(raw) >> 32;
        high.saturating_add(low)
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or nothing.
    pub(crate) fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    pub(crate) fn times(self, other: Self) -> Self {
        Self::narrow(self.product(other) >> 32)
    }

    /// The product, rounded up.
    pub(crate) fn times_up(self, other: Self) -> Self {
        Self::narrow(self.product(other).saturating_add(u128::from(u32::MAX)) >> 32)
    }

    /// The quotient, or nothing where the divisor is nothing.
    pub(crate) fn over(self, divisor: Self) -> Self {
        Self::narrow((u128::from(self.0) << 32).checked_div(u128::from(divisor.0)).unwrap_or(0))
    }

    fn product(self, other: Self) -> u128 {
        // 64 bits times 64.
        u128::from(self.0).saturating_mul(u128::from(other.0))
    }

    fn narrow(raw: u128) -> Self {
        Self(u64::try_from(raw).unwrap_or(u64::MAX))
    }
}

impl Sum for Fixed {
    fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
        terms.fold(Self::ZERO, Self::plus)
    }
}

#[cfg(test)]
mod tests {
    use super::Fixed;
    use proptest::prelude::*;

    #[test]
    fn a_product_and_a_quotient_round_down() {
        let third = Fixed::ONE.over(Fixed::whole(3));
        assert_eq!(third.raw(), 0x5555_5555);
        assert_eq!(third.times(Fixed::whole(3)).raw(), 0xffff_ffff);
        assert_eq!(third.times_up(third).raw(), third.times(third).raw() + 1);
        assert_eq!(Fixed::ONE.over(Fixed::ZERO), Fixed::ZERO);
        assert_eq!((Fixed::ONE.to_u16(), Fixed::whole(2).to_u16(), third.to_u16()), (65535, 65535, 21844));
    }

    proptest! {
        /// A share of an amount is the whole product shifted, for all amounts.
        #[test]
        fn shares_are_exact(raw in 0_u64..=1 << 32, amount: u128) {
            let (high, low) = (amount >> 64, amount & u128::from(u64::MAX));
            let product = (high * u128::from(raw)) << 32;
            let expected = product.saturating_add((low * u128::from(raw)) >> 32);
            prop_assert_eq!(Fixed::from_raw(raw).of(amount), expected);
        }
    }
}
