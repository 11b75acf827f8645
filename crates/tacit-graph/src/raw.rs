//! Raw input values: numbers as people and files write them, in units of `2^-24`.
//!
//! Conversion is integer arithmetic on the bits or digits, so that two machines cannot disagree:
//! `raw = floor(value * 2^24 + 1/2)`, exactly.

use crate::graph::RAW_FRACTION_BITS;

/// A raw value: `get() * 2^-24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawValue(i64);

/// Why a number is no raw value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RawValueError {
    /// Not a number.
    #[error("the value is not a number")]
    NotANumber,
    /// Infinity.
    #[error("the value is infinite")]
    Infinite,
    /// At least about `2^39` in magnitude.
    #[error("the value is out of range: its magnitude must stay under 2^39")]
    TooLarge,
    /// Text that is no decimal number.
    #[error("the text is not a decimal number")]
    Syntax,
    /// A decimal of more than [`MAX_DECIMAL_BYTES`].
    #[error("a decimal has at most {MAX_DECIMAL_BYTES} bytes")]
    TooLong,
}

impl RawValue {
    /// A value already in units of `2^-24`.
    #[must_use]
    pub fn from_raw(raw: i64) -> Self {
        Self(raw)
    }

    /// The value in units of `2^-24`.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }

    /// Rounds a float.
    ///
    /// # Errors
    /// Refuses what is no number, infinite, or too large.
    pub fn from_f64(value: f64) -> Result<Self, RawValueError> {
        let bits = value.to_bits();
        let exponent = i64::try_from((bits >> 52) & 0x7ff).unwrap_or(0x7ff);
        let fraction = i64::try_from(bits & ((1 << 52) - 1)).unwrap_or(0);
        if exponent == 0x7ff {
            return Err(if fraction == 0 { RawValueError::Infinite } else { RawValueError::NotANumber });
        }
        // value = mantissa * 2^(power - 24)
        let (mantissa, biased) = if exponent == 0 { (fraction, 1) } else { (fraction | (1 << 52), exponent) };
        let power = biased - 1075 + i64::from(RAW_FRACTION_BITS);
        let mantissa = i128::from(if bits >> 63 == 1 { -mantissa } else { mantissa });
        let rounded = match power {
            0..=11 => mantissa << power,
            12.. if mantissa == 0 => 0,
            12.. => return Err(RawValueError::TooLarge),
            // Below half a unit whatever the mantissa: it rounds to zero, ties included, as the floor of 1/2 is 0.
            ..=-60 => 0,
            _ => (mantissa + (1 << (-power - 1))) >> -power,
        };
        i64::try_from(rounded).map(Self).map_err(|_| RawValueError::TooLarge)
    }

    /// Rounds a single-precision float.
    ///
    /// # Errors
    /// As [`RawValue::from_f64`].
    pub fn from_f32(value: f32) -> Result<Self, RawValueError> {
        Self::from_f64(f64::from(value))
    }

    /// The nearest float, for display and for the importer's float model.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / f64::from(1u32 << RAW_FRACTION_BITS)
    }
}

impl From<i32> for RawValue {
    fn from(value: i32) -> Self {
        Self(i64::from(value) << RAW_FRACTION_BITS)
    }
}

/// Reads a decimal as JSON writes it (`-12.5e-1`); a leading `+` is allowed too. Exact, without a float between.
impl core::str::FromStr for RawValue {
    type Err = RawValueError;

    fn from_str(text: &str) -> Result<Self, RawValueError> {
        if text.len() > MAX_DECIMAL_BYTES {
            return Err(RawValueError::TooLong);
        }
        let (negative, body) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (digits, point) = split_decimal(body)?;
        decimal_to_raw(&digits, point, negative).map(Self)
    }
}

/// All digits of a decimal, and how many of them stand before the point once the exponent is applied.
fn split_decimal(body: &[u8]) -> Result<(Vec<u8>, i64), RawValueError> {
    let (number, exponent) = match body.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => {
            let (number, rest) = body.split_at(at);
            let text =
                core::str::from_utf8(rest.get(1..).unwrap_or(&[])).map_err(|_| RawValueError::Syntax)?;
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(RawValueError::Syntax);
            }
            // An exponent this long moves the point beyond every digit the length limit allows.
            let exponent = text.trim_start_matches('+').parse::<i64>();
            let far = if text.starts_with('-') { -EXPONENT_FAR } else { EXPONENT_FAR };
            (number, exponent.unwrap_or(far).clamp(-EXPONENT_FAR, EXPONENT_FAR))
        }
        None => (body, 0),
    };
    let mut parts = number.split(|b| *b == b'.');
    let (whole, part, more) = (parts.next().unwrap_or(&[]), parts.next(), parts.next());
    if whole.is_empty() || part.is_some_and(<[u8]>::is_empty) || more.is_some() {
        return Err(RawValueError::Syntax);
    }
    let mut digits = whole.to_vec();
    digits.extend_from_slice(part.unwrap_or(&[]));
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(RawValueError::Syntax);
    }
    let point = i64::try_from(whole.len()).map_err(|_| RawValueError::TooLong)? + exponent;
    Ok((digits, point))
}

/// `floor(±0.d1d2… * 10^point * 2^24 + 1/2)`.
///
/// Keeps [`FRACTION_DIGITS`] digits after the point and whether any other was not zero. Every tie is a multiple of
/// `2^-25`, which has 25 decimal places, so what is dropped can only decide on which side of a kept tie we are.
fn decimal_to_raw(digits: &[u8], point: i64, negative: bool) -> Result<i64, RawValueError> {
    let (mut kept, mut dropped) = (0u128, false);
    for (index, digit) in digits.iter().enumerate() {
        let digit = u128::from(digit.wrapping_sub(b'0'));
        let place = point - 1 - i64::try_from(index).map_err(|_| RawValueError::TooLong)?;
        if digit == 0 {
            continue;
        }
        if place >= WHOLE_DIGITS {
            return Err(RawValueError::TooLarge);
        }
        match u32::try_from(place + FRACTION_DIGITS) {
            Ok(power) => kept += digit * 10u128.pow(power),
            Err(_) => dropped = true,
        }
    }
    let one = 10u128.pow(25);
    let (whole, part) = (kept / one, kept % one);
    let scaled = part << RAW_FRACTION_BITS;
    let (mut unit, rest) = (scaled / one, scaled % one);
    // Halves go up: away from zero for positive values, towards zero for negative ones unless more was dropped.
    if rest * 2 > one || (rest * 2 == one && (!negative || dropped)) {
        unit += 1;
    }
    let magnitude =
        i128::try_from((whole << RAW_FRACTION_BITS) + unit).map_err(|_| RawValueError::TooLarge)?;
    i64::try_from(if negative { -magnitude } else { magnitude }).map_err(|_| RawValueError::TooLarge)
}

/// Longest decimal, in bytes.
pub const MAX_DECIMAL_BYTES: usize = 400;
/// Digits before the point of the largest raw value.
const WHOLE_DIGITS: i64 = 12;
/// Digits after the point that can decide a rounding.
const FRACTION_DIGITS: i64 = 25;
/// An exponent that decides alone whether a value is too large or rounds to zero.
const EXPONENT_FAR: i64 = 100_000;
