//! Rows with names: from what a person writes down to the raw values that a graph takes.
//!
//! The names of a graph's features say which columns a row has. A feature named `column=kind` (split at the first `=`, both sides
//! there) is one kind of the column `column`: the row names its kind, that feature becomes 1 and those of the other kinds 0. Any other name
//! is a column of numbers. A row gives every column once, in any order.

use std::collections::BTreeMap;

use crate::{
    graph::Feature,
    raw::{RawValue, RawValueError},
};

/// The columns of a graph.
#[derive(Debug, Clone)]
pub struct Columns<'a> {
    columns: Vec<Column<'a>>,
    /// Names to places in `columns`.
    places: BTreeMap<&'a str, usize>,
    features: usize,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column<'a> {
    /// What a row calls it.
    pub name: &'a str,
    /// What stands in it.
    pub content: Content<'a>,
}

/// What stands in a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<'a> {
    /// A number, for this feature.
    Number(usize),
    /// One of these kinds, each with its feature; at least one, in the order of the features.
    Kinds(Vec<(&'a str, usize)>),
}

/// Why a row with names is refused. Names and values are shown cut to [`SHOWN_BYTES_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// A feature without a name.
    #[error("the model does not name its inputs")]
    Unnamed,
    /// Two features of one name, or a number and a kind.
    #[error("the model gives {column:?} two meanings")]
    Ambiguous {
        /// Name of the column.
        column: String,
    },
    /// A column given more than once.
    #[error("the row gives {column:?} twice")]
    Twice {
        /// Name of the column.
        column: String,
    },
    /// A name that is no column's.
    #[error("there is no column {column:?}{}", guess(nearest.as_deref(), columns, *count))]
    Unknown {
        /// As given.
        column: String,
        /// What was probably meant.
        nearest: Option<String>,
        /// The first columns, in the order of the model.
        columns: Vec<String>,
        /// How many there are.
        count: usize,
    },
    /// Columns that the row does not give.
    #[error("the row lacks {}", list(columns, *count))]
    Missing {
        /// The first of them, in the order of the model.
        columns: Vec<String>,
        /// How many they are.
        count: usize,
    },
    /// A text that is no kind of its column.
    #[error("{column:?} is {got:?}, which is none of {}", list(kinds, *count))]
    Kind {
        /// Name of the column.
        column: String,
        /// As given.
        got: String,
        /// The first of its kinds; the likeliest one comes first.
        kinds: Vec<String>,
        /// How many kinds there are.
        count: usize,
    },
    /// A text that is no number.
    #[error("{column:?} is {got:?}: {reason}")]
    Number {
        /// Name of the column.
        column: String,
        /// As given.
        got: String,
        /// What is wrong with it.
        reason: RawValueError,
    },
}

impl<'a> Columns<'a> {
    /// Reads columns off the names of features.
    ///
    /// # Errors
    /// [`RowError::Unnamed`], [`RowError::Ambiguous`].
    pub fn new(features: &'a [Feature]) -> Result<Self, RowError> {
        let mut columns: Vec<Column<'a>> = Vec::new();
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, feature) in features.iter().enumerate() {
            let (name, kind) = split(&feature.name);
            if name.is_empty() {
                return Err(RowError::Unnamed);
            }
            let ambiguous = RowError::Ambiguous { column: shown(name) };
            match (places.get(name).and_then(|place| columns.get_mut(*place)), kind) {
                (None, kind) => {
                    places.insert(name, columns.len());
                    let content = match kind {
                        None => Content::Number(index),
                        Some(kind) => Content::Kinds(vec![(kind, index)]),
                    };
                    columns.push(Column { name, content });
                }
                (Some(Column { content: Content::Kinds(kinds), .. }), Some(kind)) => {
                    kinds.push((kind, index))
                }
                (Some(_), _) => return Err(ambiguous),
            }
        }
        for column in &columns {
            let Content::Kinds(kinds) = &column.content else { continue };
            let mut names: Vec<&str> = kinds.iter().map(|(kind, _)| *kind).collect();
            names.sort_unstable();
            if names.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
                return Err(RowError::Ambiguous { column: shown(column.name) });
            }
        }
        Ok(Self { columns, places, features: features.len() })
    }

    /// In the order in which the features name them first.
    #[must_use]
    pub fn as_slice(&self) -> &[Column<'a>] {
        &self.columns
    }

    /// Raw values of a row of names and texts. Numbers are read exactly, as [`RawValue`] reads decimals.
    ///
    /// # Errors
    /// [`RowError`]; a name that is wrong is told before one that is missing, both before a wrong text.
    pub fn row(&self, given: &[(impl AsRef<str>, impl AsRef<str>)]) -> Result<Vec<RawValue>, RowError> {
        let mut texts: Vec<Option<&str>> = vec![None; self.columns.len()];
        for (name, text) in given {
            let name = name.as_ref();
            let Some(slot) = self.places.get(name).and_then(|place| texts.get_mut(*place)) else {
                return Err(self.unknown(name));
            };
            if slot.replace(text.as_ref()).is_some() {
                return Err(RowError::Twice { column: shown(name) });
            }
        }
        let cells = || self.columns.iter().zip(&texts);
        let missing = || cells().filter(|(_, text)| text.is_none()).map(|(column, _)| shown(column.name));
        let count = missing().count();
        if count > 0 {
            return Err(RowError::Missing { columns: missing().take(LISTED_MAX).collect(), count });
        }
        let mut row = vec![RawValue::from_raw(0); self.features];
        for (column, text) in cells() {
            let (feature, value) = column.read(text.unwrap_or_default())?;
            if let Some(slot) = row.get_mut(feature) {
                *slot = value;
            }
        }
        Ok(row)
    }

    fn unknown(&self, name: &str) -> RowError {
        let names = || self.columns.iter().map(|column| column.name);
        RowError::Unknown {
            column: shown(name),
            nearest: nearest(name, names()).map(shown),
            columns: names().take(LISTED_MAX).map(shown).collect(),
            count: self.columns.len(),
        }
    }
}

impl Column<'_> {
    /// The feature that a text sets, and to what.
    fn read(&self, text: &str) -> Result<(usize, RawValue), RowError> {
        let (column, got) = (|| shown(self.name), || shown(text));
        match &self.content {
            Content::Number(feature) => match text.parse() {
                Ok(value) => Ok((*feature, value)),
                Err(reason) => Err(RowError::Number { column: column(), got: got(), reason }),
            },
            Content::Kinds(kinds) => match kinds.iter().find(|(kind, _)| *kind == text) {
                Some((_, feature)) => Ok((*feature, RawValue::from(1))),
                None => {
                    let names = || kinds.iter().map(|(kind, _)| *kind);
                    let first = nearest(text, names());
                    let rest = names().filter(|kind| Some(*kind) != first);
                    let listed = first.into_iter().chain(rest).take(LISTED_MAX).map(shown).collect();
                    Err(RowError::Kind { column: column(), got: got(), kinds: listed, count: kinds.len() })
                }
            },
        }
    }
}

impl RowError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unnamed | Self::Ambiguous { .. } => {
                "give its numbers in order, {\"shape\":[n],\"data\":[…]}, or import it with names: --features"
            }
            Self::Twice { .. } => "give every column once",
            Self::Unknown { .. } | Self::Missing { .. } => "give every column of the model by its name",
            Self::Kind { .. } => "write the kind as the model does",
            Self::Number { .. } => "write digits with a point, such as 12.5",
        }
    }
}

/// A feature's name as a column and, where it has one, a kind.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.split_once('=') {
        Some((column, kind)) if !column.is_empty() && !kind.is_empty() => (column, Some(kind)),
        _ => (name, None),
    }
}

/// The name that a text was probably meant to be: at most a third of its letters wrong, case and separators aside.
fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let text = plain(text);
    let limit = (text.len() / 3).max(1);
    let distance = |name: &'a str| (distance(&text, &plain(name)), name);
    let (least, name) = names.take(COMPARED_MAX).map(distance).min_by_key(|(distance, _)| *distance)?;
    (least <= limit).then_some(name)
}

fn plain(text: &str) -> Vec<char> {
    let letters = text.chars().flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric());
    letters.take(COMPARED_CHARS_MAX).collect()
}

/// Letters to insert, to drop or to change (Levenshtein).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut line: Vec<usize> = (0..=b.len()).collect();
    for (row, x) in a.iter().enumerate() {
        let mut corner = row;
        let mut left = row + 1;
        for (slot, y) in line.iter_mut().skip(1).zip(b) {
            let changed = corner + usize::from(x != y);
            corner = *slot;
            left = changed.min(left + 1).min(*slot + 1);
            *slot = left;
        }
        if let Some(first) = line.first_mut() {
            *first = row + 1;
        }
    }
    line.last().copied().unwrap_or(0)
}

fn shown(text: &str) -> String {
    let cut = text.floor_char_boundary(SHOWN_BYTES_MAX);
    if cut < text.len() { format!("{}…", &text[..cut]) } else { text.to_owned() }
}

fn guess(nearest: Option<&str>, names: &[String], count: usize) -> String {
    match nearest {
        Some(name) => format!(": is it {name:?}?"),
        None => format!(", the model has {}", list(names, count)),
    }
}

/// `"a", "b" and 3 more`.
fn list(names: &[String], count: usize) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    match (count.saturating_sub(names.len()), quoted.split_last()) {
        (0, Some((last, rest))) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        (0, _) => quoted.join(", "),
        (more, _) => format!("{} and {more} more", quoted.join(", ")),
    }
}

/// Longest part of a name or value in an error.
pub const SHOWN_BYTES_MAX: usize = 48;
/// Names listed in an error.
const LISTED_MAX: usize = 24;
/// Names compared in search of what was meant.
const COMPARED_MAX: usize = 1 << 12;
/// Letters compared of each.
const COMPARED_CHARS_MAX: usize = 64;
