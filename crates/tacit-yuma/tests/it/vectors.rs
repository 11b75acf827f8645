//! Reading `vectors/yuma/`.

use serde_json::Value;
use std::str::FromStr;

/// A vector of any numbers written as strings.
pub(crate) fn row<T: FromStr<Err: core::fmt::Debug>>(value: &Value) -> Vec<T> {
    let texts = value.as_array().unwrap().iter();
    texts.map(|text| text.as_str().unwrap().parse().unwrap()).collect()
}

/// A matrix of them.
pub(crate) fn rows<T: FromStr<Err: core::fmt::Debug>>(value: &Value) -> Vec<Vec<T>> {
    value.as_array().unwrap().iter().map(row).collect()
}

/// Steps of `2^-32` that a printed number stands for: ten decimals name one of them.
pub(crate) struct Steps(pub(crate) u64);

impl FromStr for Steps {
    type Err = core::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let scaled: u128 = format!("{whole}{decimals:0<10}").parse()?;
        Ok(Self(u64::try_from(((scaled << 32) + 5_000_000_000) / 10_000_000_000).unwrap()))
    }
}
