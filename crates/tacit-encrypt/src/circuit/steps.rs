//! Functions of one integer that are constant on runs: what a look-up computes, as far as its input can reach.

use tacit_graph::Table;

/// A function on `low..=high`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Steps {
    low: i64,
    high: i64,
    /// Where each run starts and its value; the first starts at `low`, and neighbours differ.
    runs: Vec<(i64, i64)>,
}

/// What a requantisation reads: `factor * v + constant`, for an integer `v`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Affine {
    pub(crate) factor: i64,
    pub(crate) constant: i64,
}

impl Steps {
    /// The integer itself. For ranges of few values.
    pub(crate) fn identity(low: i64, high: i64) -> Self {
        Self { low, high, runs: (low..=high).map(|v| (v, v)).collect() }
    }

    /// `table` after the rounding `shift` of `affine`, whose factor is not zero.
    pub(crate) fn requantise(low: i64, high: i64, affine: Affine, shift: u8, table: &Table) -> Self {
        let half = if shift == 0 { 0 } else { 1i64 << (shift - 1) };
        let unit = 1i64 << shift;
        let rounded = affine.constant + half;
        let mut runs = Vec::new();
        let mut start = low;
        while start <= high {
            let entry = (affine.factor * start + rounded).div_euclid(unit);
            push(&mut runs, start, entry_of(table, entry));
            // The first integer of the next entry.
            let next = if affine.factor > 0 {
                ceil((entry + 1) * unit - rounded, affine.factor)
            } else {
                (rounded - entry * unit).div_euclid(-affine.factor) + 1
            };
            start = next.max(start + 1);
        }
        Self { low, high, runs }
    }

    /// What `then` makes of each value.
    pub(crate) fn map(&self, then: impl Fn(i64) -> i64) -> Self {
        let mut runs = Vec::new();
        for (start, value) in &self.runs {
            push(&mut runs, *start, then(*value));
        }
        Self { low: self.low, high: self.high, runs }
    }

    /// The value at `v`; outside of the range, that at its nearer end.
    pub(crate) fn value(&self, v: i64) -> i64 {
        let run = self.runs.partition_point(|(start, _)| *start <= v).saturating_sub(1);
        self.runs.get(run).map_or(0, |(_, value)| *value)
    }

    pub(crate) fn low(&self) -> i64 {
        self.low
    }

    pub(crate) fn high(&self) -> i64 {
        self.high
    }

    /// Lowest and highest value.
    pub(crate) fn image(&self) -> (i64, i64) {
        let values = || self.runs.iter().map(|(_, value)| *value);
        (values().min().unwrap_or(0), values().max().unwrap_or(0))
    }

    /// The value, if there is only one.
    pub(crate) fn constant(&self) -> Option<i64> {
        if let [(_, value)] = self.runs.as_slice() { Some(*value) } else { None }
    }

    /// Values at the two ends.
    pub(crate) fn ends(&self) -> (i64, i64) {
        (self.value(self.low), self.value(self.high))
    }

    /// First and last place where the value changes: the first integer of the second run, and of the last.
    pub(crate) fn changes(&self) -> Option<(i64, i64)> {
        let (first, last) = (self.runs.get(1)?, self.runs.last()?);
        Some((first.0, last.0))
    }
}

/// Starts a run, or goes on with one of the same value.
fn push(runs: &mut Vec<(i64, i64)>, start: i64, value: i64) {
    if runs.last().is_none_or(|(_, last)| *last != value) {
        runs.push((start, value));
    }
}

/// The entry of a table at `u`, clamped.
pub(crate) fn entry_of(table: &Table, u: i64) -> i64 {
    let half = 1i64 << (table.bits.clamp(1, 16) - 1);
    let index = usize::try_from(u.clamp(-half, half - 1) + half).unwrap_or(0);
    table.values.get(index).map_or(0, |value| i64::from(*value))
}

fn ceil(numerator: i64, denominator: i64) -> i64 {
    -(-numerator).div_euclid(denominator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table() -> impl Strategy<Value = Table> {
        (1u8..7).prop_flat_map(|bits| {
            proptest::collection::vec(-3i16..4, 1 << bits).prop_map(move |values| Table { bits, values })
        })
    }

    proptest! {
        #[test]
        fn runs_are_the_definition(
            table in table(), low in -300i64..300, width in 0i64..400, factor in -9i64..10, constant in -500i64..500, shift in 0u8..7,
        ) {
            prop_assume!(factor != 0);
            let affine = Affine { factor, constant };
            let steps = Steps::requantise(low, low + width, affine, shift, &table);
            for v in low..=low + width {
                let x = factor * v + constant;
                let u = if shift == 0 { x } else { (x + (1 << (shift - 1))).div_euclid(1 << shift) };
                prop_assert_eq!(steps.value(v), entry_of(&table, u));
            }
            prop_assert!(steps.runs.windows(2).all(|pair| pair[0].1 != pair[1].1 && pair[0].0 < pair[1].0));
            let doubled = steps.map(|value| value / 2);
            for v in low..=low + width {
                prop_assert_eq!(doubled.value(v), steps.value(v) / 2);
            }
        }
    }

    #[test]
    fn a_range_of_two_to_the_thirty_is_a_few_runs() {
        let table = Table { bits: 2, values: vec![-1, 0, 0, 1] };
        let affine = Affine { factor: 1, constant: 0 };
        let steps = Steps::requantise(-(1 << 29), 1 << 29, affine, 28, &table);
        assert_eq!(steps.runs.len(), 3);
        assert_eq!((steps.low(), steps.high(), steps.image()), (-(1 << 29), 1 << 29, (-1, 1)));
        assert_eq!(steps.ends(), (-1, 1));
        assert_eq!(steps.changes(), Some((-(3 << 27), 1 << 27)));
        assert_eq!(steps.constant(), None);
        assert_eq!(Steps::identity(3, 3).constant(), Some(3));
    }
}
