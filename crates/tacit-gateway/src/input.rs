//! A question as a person or file writes it: a shape and numbers.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tacit_graph::{RawValue, RawValueError};

/// One row of numbers. JSON: `{"shape":[64],"data":[0,0.5,…]}`; `[1,64]` is the same row.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Lengths of each dimension.
    pub shape: Vec<u64>,
    /// Numbers, row-major.
    pub data: Vec<Number>,
}

/// A number, converted exactly to a raw value; it is refused while it is read when it has none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Number(pub RawValue);

/// Why an input is refused. It was shown to nobody and cost nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputReject {
    /// The shape and the number of values disagree.
    #[error("shape {shape:?} does not hold {got} values")]
    ShapeMismatch {
        /// The shape.
        shape: Vec<u64>,
        /// Values given.
        got: usize,
    },
    /// More than one row.
    #[error("one question is one row, and shape {shape:?} has more")]
    ManyRows {
        /// The shape.
        shape: Vec<u64>,
    },
    /// Another number of values than the model takes.
    #[error("the model takes {expected} values, not {got}")]
    Features {
        /// What the model takes.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// NaN, infinite or too large.
    #[error("value {index}: {reason}")]
    Value {
        /// Position in the data.
        index: usize,
        /// Why it has no raw value.
        reason: RawValueError,
    },
}

impl Input {
    /// An input from floats.
    ///
    /// # Errors
    /// [`InputReject::Value`] for the first that is NaN, infinite or too large.
    pub fn from_floats(shape: &[u64], data: &[f64]) -> Result<Self, InputReject> {
        let convert = |(index, value): (usize, &f64)| {
            RawValue::from_f64(*value).map(Number).map_err(|reason| InputReject::Value { index, reason })
        };
        let data = data.iter().enumerate().map(convert).collect::<Result<_, _>>()?;
        Ok(Self { shape: shape.to_vec(), data })
    }

    /// The row's raw values, if it is one row.
    ///
    /// # Errors
    /// [`InputReject`].
    pub fn row(&self) -> Result<Vec<i64>, InputReject> {
        let cells = self.shape.iter().try_fold(1_u64, |cells, length| cells.checked_mul(*length));
        if self.shape.is_empty() || cells != u64::try_from(self.data.len()).ok() {
            return Err(InputReject::ShapeMismatch { shape: self.shape.clone(), got: self.data.len() });
        }
        let (_, outer) = self.shape.split_last().unwrap_or((&0, &[]));
        if outer.iter().any(|length| *length != 1) {
            return Err(InputReject::ManyRows { shape: self.shape.clone() });
        }
        Ok(self.data.iter().map(|number| number.0.get()).collect())
    }
}

// The numbers are what the user came here to hide.
impl core::fmt::Debug for Input {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Input(shape {:?})", self.shape)
    }
}

impl core::fmt::Debug for Number {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Number(..)")
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.to_f64())
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The digits as written, not a float of them.
        let number = serde_json::Number::deserialize(deserializer)?;
        number.as_str().parse().map(Self).map_err(|error: RawValueError| de::Error::custom(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Input, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn one_row_in_either_shape_is_read_exactly() {
        let one = 1_i64 << 24;
        for shape in ["[3]", "[1,3]", "[1,1,3]"] {
            let input = parse(&format!("{{\"shape\":{shape},\"data\":[1,-0.5,2e0]}}")).unwrap();
            assert_eq!(input.row(), Ok(vec![one, -one / 2, 2 * one]));
        }
        assert_eq!(Input::from_floats(&[1], &[0.25]).unwrap().row(), Ok(vec![one / 4]));
    }

    #[test]
    fn what_is_not_one_row_is_refused() {
        let row = |shape: &[u64], count: usize| Input::from_floats(shape, &vec![0.0; count]).unwrap().row();
        assert!(matches!(row(&[2, 3], 6), Err(InputReject::ManyRows { .. })));
        assert!(matches!(row(&[3], 2), Err(InputReject::ShapeMismatch { .. })));
        assert!(matches!(row(&[], 1), Err(InputReject::ShapeMismatch { .. })));
        assert!(matches!(row(&[u64::MAX, 2], 2), Err(InputReject::ShapeMismatch { .. })));
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        for value in [f64::NAN, f64::INFINITY, 1e300] {
            assert!(matches!(Input::from_floats(&[1], &[value]), Err(InputReject::Value { index: 0, .. })));
        }
        for data in ["NaN", "\"1\"", "null", "1e999", "true", "[1]"] {
            assert!(parse(&format!("{{\"shape\":[1],\"data\":[{data}]}}")).is_err(), "{data}");
        }
        assert!(parse("{\"shape\":[1],\"data\":[1],\"more\":1}").is_err());
    }

    #[test]
    fn an_input_does_not_print_its_numbers() {
        let input = Input::from_floats(&[1], &[1234.0]).unwrap();
        assert!(!format!("{input:?}").contains("1234"));
    }
}
