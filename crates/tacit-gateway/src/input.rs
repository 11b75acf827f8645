//! A question as a person or file writes it: a shape and numbers, or a row with names.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tacit_graph::{Columns, Graph, RawValue, RawValueError, RowError};

/// One row.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub enum Input {
    /// Numbers in order. JSON: `{"shape":[64],"data":[0,0.5,…]}`; `[1,64]` is the same row.
    Tensor {
        /// Lengths of each dimension.
        shape: Vec<u64>,
        /// Numbers, row-major.
        data: Vec<Number>,
    },
    /// The model's columns by name. JSON: `{"row":{"age":35,"purpose":"new car",…}}`.
    Row(NamedRow),
}

/// Names and texts of a row, in the order given. JSON: an object of numbers, words and truth values; a number keeps the digits it was
/// written with. What they mean is for [`Columns`] to say.
#[derive(Clone, PartialEq, Eq)]
pub struct NamedRow(pub Vec<(String, String)>);

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
    /// A row with names that the model does not take.
    #[error(transparent)]
    Row(#[from] RowError),
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
        Ok(Self::Tensor { shape: shape.to_vec(), data })
    }

    /// An input of raw values, in units of `2^-24`.
    pub(crate) fn from_raw(values: &[i64]) -> Self {
        let data: Vec<Number> = values.iter().map(|value| Number(RawValue::from_raw(*value))).collect();
        Self::Tensor { shape: vec![u64::try_from(data.len()).unwrap_or(u64::MAX)], data }
    }

    /// What can be refused before the model is known: numbers that are not one row.
    ///
    /// # Errors
    /// [`InputReject`].
    pub fn check(&self) -> Result<(), InputReject> {
        let Self::Tensor { shape, data } = self else { return Ok(()) };
        let cells = shape.iter().try_fold(1_u64, |cells, length| cells.checked_mul(*length));
        if shape.is_empty() || cells != u64::try_from(data.len()).ok() {
            return Err(InputReject::ShapeMismatch { shape: shape.clone(), got: data.len() });
        }
        let (_, outer) = shape.split_last().unwrap_or((&0, &[]));
        if outer.iter().any(|length| *length != 1) {
            return Err(InputReject::ManyRows { shape: shape.clone() });
        }
        Ok(())
    }

    /// The raw values that the graph takes.
    ///
    /// # Errors
    /// [`InputReject`].
    pub fn values(&self, graph: &Graph) -> Result<Vec<i64>, InputReject> {
        self.check()?;
        match self {
            Self::Tensor { data, .. } => {
                let (expected, got) = (graph.features.len(), data.len());
                if expected != got {
                    return Err(InputReject::Features { expected, got });
                }
                Ok(data.iter().map(|number| number.0.get()).collect())
            }
            Self::Row(row) => Ok(row.values(&Columns::new(&graph.features)?)?),
        }
    }

    /// Takes up all that makes it this input and no other.
    pub(crate) fn hash_into(&self, hasher: &mut blake3::Hasher) {
        match self {
            Self::Tensor { data, .. } => data.iter().for_each(|number| {
                hasher.update(&number.0.get().to_le_bytes());
            }),
            Self::Row(NamedRow(cells)) => {
                let mut cells: Vec<_> = cells.iter().collect();
                cells.sort_unstable();
                for text in cells.iter().flat_map(|(name, text)| [name, text]) {
                    hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
                }
            }
        }
    }
}

impl NamedRow {
    /// The raw values that they are in these columns.
    ///
    /// # Errors
    /// [`RowError`].
    pub fn values(&self, columns: &Columns<'_>) -> Result<Vec<i64>, RowError> {
        Ok(columns.row(&self.0)?.into_iter().map(RawValue::get).collect())
    }
}

impl InputReject {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Row(error) => error.hint(),
            _ => "send one row: {\"shape\":[n],\"data\":[…]}, or {\"row\":{…}} with the model's names",
        }
    }
}

/// The JSON of an input before it is known which of the two it is.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shape: Option<Vec<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Vec<Number>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    row: Option<NamedRow>,
}

/// The JSON of an input is neither of its two forms.
#[derive(Debug, thiserror::Error)]
#[error("an input is a shape with data, or a row")]
struct Neither;

impl TryFrom<Fields> for Input {
    type Error = Neither;

    fn try_from(fields: Fields) -> Result<Self, Neither> {
        match fields {
            Fields { shape: Some(shape), data: Some(data), row: None } => Ok(Self::Tensor { shape, data }),
            Fields { shape: None, data: None, row: Some(row) } => Ok(Self::Row(row)),
            _ => Err(Neither),
        }
    }
}

impl From<Input> for Fields {
    fn from(input: Input) -> Self {
        match input {
            Input::Tensor { shape, data } => Self { shape: Some(shape), data: Some(data), row: None },
            Input::Row(row) => Self { shape: None, data: None, row: Some(row) },
        }
    }
}

impl Serialize for NamedRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, text)| (name, text)))
    }
}

impl<'de> Deserialize<'de> for NamedRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Cells;
        impl<'de> de::Visitor<'de> for Cells {
            type Value = Vec<(String, String)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a number or a word for each column")
            }

            // A name given twice is kept twice, so that it is refused.
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut cells = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, serde_json::Value>()? {
                    let text = match value {
                        serde_json::Value::String(text) => text,
                        serde_json::Value::Number(number) => number.as_str().to_owned(),
                        serde_json::Value::Bool(value) => value.to_string(),
                        _ => {
                            let name: String = name.chars().take(NAME_CHARS_SHOWN).collect();
                            return Err(de::Error::custom(format!(
                                "{name:?} is neither a number nor a word"
                            )));
                        }
                    };
                    cells.push((name, text));
                }
                Ok(cells)
            }
        }
        deserializer.deserialize_map(Cells).map(Self)
    }
}

const NAME_CHARS_SHOWN: usize = 48;

// The numbers are what the user came here to hide.
impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor { shape, .. } => write!(f, "Input(shape {shape:?})"),
            Self::Row(row) => write!(f, "Input({row:?})"),
        }
    }
}

impl fmt::Debug for NamedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row of {} cells", self.0.len())
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

    fn graph(names: &[&str]) -> Graph {
        let mut graph = tacit_graph::synthetic_mlp(&[names.len() as u32, 2], 1).unwrap().graph().clone();
        for (feature, name) in graph.features.iter_mut().zip(names) {
            feature.name = (*name).to_owned();
        }
        graph
    }

    #[test]
    fn one_row_in_either_shape_is_read_exactly() {
        let one = 1_i64 << 24;
        let three = graph(&[""; 3]);
        for shape in ["[3]", "[1,3]", "[1,1,3]"] {
            let input = parse(&format!("{{\"shape\":{shape},\"data\":[1,-0.5,2e0]}}")).unwrap();
            assert_eq!(input.values(&three), Ok(vec![one, -one / 2, 2 * one]));
        }
        assert_eq!(Input::from_floats(&[1], &[0.25]).unwrap().values(&graph(&[""])), Ok(vec![one / 4]));
    }

    #[test]
    fn what_is_not_one_row_is_refused() {
        let check =
            |shape: &[u64], count: usize| Input::from_floats(shape, &vec![0.0; count]).unwrap().check();
        assert!(matches!(check(&[2, 3], 6), Err(InputReject::ManyRows { .. })));
        assert!(matches!(check(&[3], 2), Err(InputReject::ShapeMismatch { .. })));
        assert!(matches!(check(&[], 1), Err(InputReject::ShapeMismatch { .. })));
        assert!(matches!(check(&[u64::MAX, 2], 2), Err(InputReject::ShapeMismatch { .. })));
        let two = Input::from_floats(&[2], &[0.0; 2]).unwrap();
        assert_eq!(two.values(&graph(&[""; 3])), Err(InputReject::Features { expected: 3, got: 2 }));
    }

    const LOAN: [&str; 4] = ["age", "open", "purpose=car", "purpose=roof"];

    #[test]
    fn a_row_with_names_is_read_exactly() {
        let read = |row: &str| parse(&format!("{{\"row\":{row}}}")).unwrap().values(&graph(&LOAN));
        let one = 1_i64 << 24;
        assert_eq!(
            read(r#"{"purpose":"roof","age":35.5,"open":1e-2}"#),
            Ok(vec![one * 71 / 2, 167_772, 0, one])
        );
        // Digits in quotes, as tables give them.
        assert_eq!(read(r#"{"age":"549755813887.99999997","open":0,"purpose":"car"}"#).unwrap()[0], i64::MAX);
        let refused = |row: &str| match read(row).unwrap_err() {
            InputReject::Row(error) => error,
            other => panic!("{other}"),
        };
        assert!(matches!(refused(r#"{"age":1,"age":1}"#), RowError::Twice { .. }));
        assert!(matches!(refused(r#"{"age":1}"#), RowError::Missing { count: 2, .. }));
        assert!(matches!(refused(r#"{"age":1,"open":true,"purpose":"car"}"#), RowError::Number { .. }));
        assert!(matches!(refused(r#"{"age":1,"open":1,"purpose":1}"#), RowError::Kind { .. }));
        let row = parse(r#"{"row":{"age":1}}"#).unwrap();
        assert_eq!(row.values(&graph(&[""])), Err(InputReject::Row(RowError::Unnamed)));
    }

    #[test]
    fn an_input_is_one_of_two_things() {
        for json in [
            "{}",
            r#"{"row":null}"#,
            r#"{"shape":[1]}"#,
            r#"{"shape":[1],"data":[1],"row":{}}"#,
            r#"{"row":[1]}"#,
            r#"{"row":{"a":null}}"#,
            r#"{"row":{"a":[1]}}"#,
            r#"{"row":{"a":{"b":1}}}"#,
        ] {
            assert!(parse(json).is_err(), "{json}");
        }
        for json in [r#"{"shape":[2],"data":[1.0,-0.5]}"#, r#"{"row":{"a":"1","b":"x"}}"#] {
            assert_eq!(serde_json::to_string(&parse(json).unwrap()).unwrap(), json);
        }
    }

    #[test]
    fn only_the_order_of_names_is_no_matter() {
        let print = |json: &str| {
            let mut hasher = blake3::Hasher::new();
            parse(json).unwrap().hash_into(&mut hasher);
            hasher.finalize()
        };
        assert_eq!(print(r#"{"row":{"a":1,"b":2}}"#), print(r#"{"row":{"b":2,"a":1}}"#));
        for other in [
            r#"{"row":{"a":1,"b":3}}"#,
            r#"{"row":{"a":1}}"#,
            r#"{"row":{"a":2,"b":1}}"#,
            r#"{"row":{"a":"1b","":2}}"#,
        ] {
            assert_ne!(print(r#"{"row":{"a":1,"b":2}}"#), print(other), "{other}");
        }
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
        for json in [r#"{"shape":[1],"data":[1234]}"#, r#"{"row":{"age":1234}}"#] {
            assert!(!format!("{:?}", parse(json).unwrap()).contains("1234"));
        }
    }
}
