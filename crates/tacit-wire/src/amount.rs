//! Exact amounts of the native coin.
//!
//! An amount is a whole number of smallest units (10^-18 coin). Text is a decimal number of coins, exact, without
//! exponent: `0.0002`. JSON carries that text as a string, because a JSON number would be rounded by many readers.

use core::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Decimal places of one coin.
pub const DECIMALS: usize = 18;

const UNIT: u128 = 1_000_000_000_000_000_000;
/// The longest text of a `u128` with a point, and some zeros to spare.
const TEXT_BYTES_MAX: usize = 64;

/// An amount of the native coin in smallest units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(pub u128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Whole coins.
    #[must_use]
    pub const fn coins(count: u64) -> Self {
        Self((count as u128).saturating_mul(UNIT))
    }

    /// Sum, or `None` on overflow.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Difference, or `None` when `other` is larger.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

/// Not an exact amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountReject {
    /// Empty, signed, exponent or other characters.
    #[error("an amount is a decimal number of coins such as 0.0002")]
    Syntax,
    /// Finer than the smallest unit.
    #[error("an amount has at most {DECIMALS} decimal places")]
    TooFine,
    /// Does not fit.
    #[error("the amount is too large")]
    TooLarge,
}

impl fmt::Display for Amount {
    /// Shortest exact text; a precision asks for at least that many decimal places.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / UNIT, self.0 % UNIT);
        let digits = format!("{fraction:018}");
        let mut digits = digits.trim_end_matches('0').to_owned();
        let least = f.precision().unwrap_or(0).min(DECIMALS);
        while digits.len() < least {
            digits.push('0');
        }
        if digits.is_empty() { write!(f, "{whole}") } else { write!(f, "{whole}.{digits}") }
    }
}

impl FromStr for Amount {
    type Err = AmountReject;

    fn from_str(text: &str) -> Result<Self, AmountReject> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(AmountReject::Syntax);
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(AmountReject::Syntax);
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > DECIMALS {
            return Err(AmountReject::TooFine);
        }
        let whole: u128 = whole.parse().map_err(|_| AmountReject::TooLarge)?;
        let fraction: u128 = format!("{fraction:0<18}").parse().map_err(|_| AmountReject::Syntax)?;
        whole
            .checked_mul(UNIT)
            .and_then(|units| units.checked_add(fraction))
            .map(Self)
            .ok_or(AmountReject::TooLarge)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_exact_and_short() {
        for (units, text) in
            [(0, "0"), (1, "0.000000000000000001"), (200_000_000_000_000, "0.0002"), (UNIT, "1")]
        {
            assert_eq!(Amount(units).to_string(), text);
            assert_eq!(text.parse(), Ok(Amount(units)));
        }
        assert_eq!(format!("{:.6}", Amount(200_000_000_000_000)), "0.000200");
        assert_eq!("1.50".parse(), Ok(Amount(UNIT / 2 * 3)));
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "NaN", "0x1", "1 ", "1,5", "１"] {
            assert_eq!(text.parse::<Amount>(), Err(AmountReject::Syntax), "{text:?}");
        }
        assert_eq!("0.0000000000000000001".parse::<Amount>(), Err(AmountReject::TooFine));
        assert_eq!("340282366920938463464".parse::<Amount>(), Err(AmountReject::TooLarge));
        assert_eq!("9".repeat(60).parse::<Amount>(), Err(AmountReject::TooLarge));
    }

    proptest! {
        #[test]
        fn every_amount_survives_text_and_json(units in any::<u128>()) {
            let amount = Amount(units);
            prop_assert_eq!(amount.to_string().parse(), Ok(amount));
            let json = serde_json::to_string(&amount).unwrap();
            prop_assert_eq!(serde_json::from_str::<Amount>(&json).unwrap(), amount);
        }
    }
}
