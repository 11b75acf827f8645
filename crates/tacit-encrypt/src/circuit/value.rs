//! What a tensor's element is, as a function of the encoded inputs and of look-ups: a constant and a sum of parts, one for each
//! thing that it depends on.

use std::{collections::BTreeMap, sync::Arc};

/// Something that an element depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Atom {
    /// An encoded input, by its index.
    Input(u32),
    /// The result of a look-up, by its index.
    Lookup(u32),
}

/// How an element depends on one atom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// That many times the atom.
    Times(i64),
    /// A value for each of an input's, from the lowest; the first is zero. Never what [`Part::Times`] could say.
    Table(Arc<[i64]>),
}

/// Values that an encoded input takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Levels {
    pub(crate) low: i64,
    pub(crate) high: i64,
}

impl Levels {
    pub(crate) fn count(self) -> usize {
        usize::try_from(self.high - self.low + 1).unwrap_or(0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Value {
    pub(crate) constant: i64,
    pub(crate) parts: BTreeMap<Atom, Part>,
}

impl Value {
    pub(crate) fn constant(constant: i64) -> Self {
        Self { constant, parts: BTreeMap::new() }
    }

    pub(crate) fn atom(atom: Atom) -> Self {
        Self { constant: 0, parts: BTreeMap::from([(atom, Part::Times(1))]) }
    }

    /// A function of one input, by its values from the lowest.
    pub(crate) fn function(input: u32, levels: Levels, values: &[i64]) -> Self {
        let mut made = Self::default();
        let first = values.first().copied().unwrap_or(0);
        let table = Part::Table(values.iter().map(|value| value - first).collect());
        made.constant = first;
        made.parts.insert(Atom::Input(input), table);
        made.tidy(&|_| levels);
        made
    }

    /// Adds `factor * other`. Leaves parts untidy.
    pub(crate) fn add(&mut self, other: &Self, factor: i64, levels: &impl Fn(u32) -> Levels) {
        if factor == 0 {
            return;
        }
        self.constant += factor * other.constant;
        for (atom, part) in &other.parts {
            match (self.parts.get_mut(atom), part) {
                (Some(Part::Times(times)), Part::Times(more)) => *times += factor * more,
                (Some(own), part) => {
                    let levels = if let Atom::Input(input) = atom { levels(*input) } else { NONE };
                    let table = own.table(levels).zip(part.table(levels));
                    let sum = table.map(|(left, right)| left + factor * right).collect();
                    self.constant += levels.low * (own.outside() + factor * part.outside());
                    *own = Part::Table(sum);
                }
                (None, Part::Times(times)) => {
                    self.parts.insert(*atom, Part::Times(factor * times));
                }
                (None, Part::Table(values)) => {
                    let values = values.iter().map(|value| factor * value).collect();
                    self.parts.insert(*atom, Part::Table(values));
                }
            }
        }
    }

    /// Drops parts that are zero, and makes products of tables that are such.
    pub(crate) fn tidy(&mut self, levels: &impl Fn(u32) -> Levels) {
        let mut constant = self.constant;
        for (atom, part) in &mut self.parts {
            if let (Atom::Input(input), Part::Table(values)) = (atom, &*part) {
                let step = values.get(1).copied().unwrap_or(0);
                if values.iter().zip(0..).all(|(value, index)| *value == index * step) {
                    constant -= step * levels(*input).low;
                    *part = Part::Times(step);
                }
            }
        }
        self.constant = constant;
        self.parts.retain(|_, part| *part != Part::Times(0));
    }

    /// The input and its part, if this depends on no more than one input and no look-up.
    pub(crate) fn only_input(&self) -> Option<(u32, &Part)> {
        match (self.parts.len(), self.parts.first_key_value()) {
            (1, Some((Atom::Input(input), part))) => Some((*input, part)),
            _ => None,
        }
    }

    /// The look-up and how often it counts, if this depends on nothing else.
    pub(crate) fn only_lookup(&self) -> Option<(u32, i64)> {
        match (self.parts.len(), self.parts.first_key_value()) {
            (1, Some((Atom::Lookup(lookup), Part::Times(times)))) => Some((*lookup, *times)),
            _ => None,
        }
    }

    /// Values for each of one input's, if this depends on nothing else.
    pub(crate) fn values(&self, input: u32, levels: Levels) -> Option<Vec<i64>> {
        match self.only_input() {
            None if self.parts.is_empty() => Some(vec![self.constant; levels.count()]),
            Some((only, part)) if only == input => {
                let start = self.constant + levels.low * part.outside();
                Some(part.table(levels).map(|value| start + value).collect())
            }
            _ => None,
        }
    }
}

impl Part {
    /// Values from the lowest level, less the first.
    pub(crate) fn table(&self, levels: Levels) -> impl Iterator<Item = i64> + '_ {
        let values: &[i64] = if let Self::Table(values) = self { values } else { &[] };
        let step = self.outside();
        (0..levels.count()).map(move |index| {
            // As many levels as fit a table fit an `i64`.
            values.get(index).copied().unwrap_or(0) + step * index as i64
        })
    }

    /// What one more of the atom adds, for a part that is a product.
    fn outside(&self) -> i64 {
        if let Self::Times(times) = self { *times } else { 0 }
    }

    /// Lowest and highest value of the part, given those of its atom.
    pub(crate) fn range(&self, low: i64, high: i64) -> (i64, i64) {
        match self {
            Self::Times(times) => {
                let (a, b) = (times * low, times * high);
                (a.min(b), a.max(b))
            }
            Self::Table(values) => {
                (values.iter().copied().min().unwrap_or(0), values.iter().copied().max().unwrap_or(0))
            }
        }
    }

    /// The greatest common divisor of `so_far` and of all that the part can add.
    pub(crate) fn divisor(&self, so_far: i64) -> i64 {
        match self {
            Self::Times(times) => gcd(so_far, *times),
            Self::Table(values) => values.iter().fold(so_far, |divisor, value| gcd(divisor, *value)),
        }
    }

    pub(crate) fn divided(&self, divisor: i64) -> Self {
        match self {
            Self::Times(times) => Self::Times(times / divisor),
            Self::Table(values) => Self::Table(values.iter().map(|value| value / divisor).collect()),
        }
    }
}

/// Levels of what is no input: only inputs have tables.
const NONE: Levels = Levels { low: 0, high: -1 };

fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.abs(), b.abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: Levels = Levels { low: -2, high: 3 };

    fn at(value: &Value, x: i64) -> i64 {
        value.values(0, LEVELS).unwrap()[usize::try_from(x - LEVELS.low).unwrap()]
    }

    #[test]
    fn sums_of_functions_of_one_input_are_functions_of_it() {
        let x = Value::atom(Atom::Input(0));
        let square: Vec<i64> = (-2..=3).map(|x| x * x).collect();
        let square = Value::function(0, LEVELS, &square);
        for (a, b) in [(3, -5), (1, 1), (0, 2), (-4, 0)] {
            for (left, right) in [(&x, &square), (&square, &x)] {
                let mut sum = Value::constant(7);
                sum.add(left, a, &|_| LEVELS);
                sum.add(right, b, &|_| LEVELS);
                sum.tidy(&|_| LEVELS);
                for v in -2..=3 {
                    assert_eq!(at(&sum, v), 7 + a * at(left, v) + b * at(right, v));
                }
            }
        }
    }

    #[test]
    fn a_table_that_is_a_product_becomes_one() {
        let line: Vec<i64> = (-2..=3).map(|x| 4 * x - 9).collect();
        let line = Value::function(0, LEVELS, &line);
        assert_eq!(line.parts.values().collect::<Vec<_>>(), [&Part::Times(4)]);
        assert_eq!(line.constant, -9);
        let same = Value::function(0, LEVELS, &[5; 6]);
        assert_eq!((same.constant, same.parts.len()), (5, 0));
    }

    #[test]
    fn divisors_and_ranges() {
        let table = Part::Table(Arc::from([0, 6, -9]));
        assert_eq!((Part::Times(12).divisor(0), table.divisor(12)), (12, 3));
        assert_eq!(table.divided(3), Part::Table(Arc::from([0, 2, -3])));
        assert_eq!((table.range(0, 2), Part::Times(-3).range(-1, 2)), ((-9, 6), (-6, 3)));
    }
}
