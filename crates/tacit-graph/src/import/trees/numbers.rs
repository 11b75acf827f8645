//! Leaves as whole numbers in one unit.

use super::{
    groups::{Group, Single},
    set::{Pieces, starts},
};
use crate::{
    graph::{MAX_BIAS, MAX_FRACTION_BITS, MAX_TABLE_BITS},
    import::error::NodeReason,
};

/// Fewest bits of what a leaf adds that may be asked for.
const MIN_LEAF_BITS: u8 = 4;

/// What is added to which scores.
pub(super) type Amounts = Vec<(usize, f64)>;

/// The same in whole units.
pub(super) type Counts = Vec<(usize, i64)>;

/// What leaves add to scores, sparse.
#[derive(Debug, Clone, Default)]
pub(super) struct Leaves {
    pub(super) values: Vec<Amounts>,
    /// What each leaf's tree adds in any case, and its leaves only make up the difference to.
    pub(super) usual: Vec<Amounts>,
    /// The same for whole trees.
    pub(super) trees: Vec<Amounts>,
    /// Added to the scores at the end.
    pub(super) base: Vec<f64>,
}

/// The same in units of `2^-fraction_bits`.
#[derive(Debug, Clone)]
pub(super) struct Whole {
    pub(super) fraction_bits: i8,
    /// What each leaf adds beyond what its tree does, sparse.
    pub(super) leaves: Vec<Counts>,
    pub(super) base: Vec<i32>,
}

impl Leaves {
    /// Scores that each leaf adds something to beyond what its tree does.
    pub(super) fn outputs(&self) -> Vec<Vec<usize>> {
        let of = |(values, usual): (&Amounts, &Amounts)| differing(values, usual);
        self.values.iter().zip(&self.usual).map(of).collect()
    }

    /// The finest unit in which every sum of `groups` and of each feature's `singles` fits a table and `bits_max`, and `cells` of them
    /// fit a sum.
    pub(super) fn whole(
        &self,
        groups: &[&Group],
        singles: &[Single],
        cells: usize,
        bits_max: u8,
    ) -> Result<Whole, NodeReason> {
        let entry = i64::from(i16::MAX) >> MAX_TABLE_BITS.saturating_sub(bits_max.max(MIN_LEAF_BITS));
        let most = entry.min(SUM_MOST / i64::try_from(cells.max(1)).unwrap_or(i64::MAX));
        let largest = self.values.iter().flatten().chain(self.trees.iter().flatten()).map(|(_, v)| v.abs());
        let largest = largest.chain(self.base.iter().map(|base| base.abs())).fold(0.0, f64::max);
        // A base may take more bits than an entry, a difference one more than a leaf.
        let finest = if largest > 0.0 { 30 - largest.log2().floor() as i32 } else { 0 };
        let limit = i32::from(MAX_FRACTION_BITS);
        for bits in (-limit..=finest.clamp(-limit, limit)).rev() {
            if let Some(whole) = self.in_unit(bits)
                && groups.iter().flat_map(|group| entries(group, &whole.leaves)).all(|entry| entry <= most)
                && features(singles, &whole.leaves, self.base.len())
                    .iter()
                    .flat_map(|function| function.values.iter().flat_map(Pieces::iter))
                    .all(|(_, entry)| entry.abs() <= most)
            {
                return Ok(whole);
            }
        }
        Err(NodeReason::TooLarge)
    }

    fn in_unit(&self, bits: i32) -> Option<Whole> {
        let round = |value: f64| (value * f64::from(bits).exp2()).round();
        let leaf = |(values, usual): (&Amounts, &Amounts)| {
            let of = |list: &[(usize, f64)], output: usize| {
                round(list.iter().filter(|(other, _)| *other == output).map(|(_, v)| v).sum()) as i64
            };
            let one = |output: usize| (output, of(values, output) - of(usual, output));
            differing(values, usual).into_iter().map(one).collect::<Vec<_>>()
        };
        let mut base: Vec<f64> = self.base.iter().map(|base| round(*base)).collect();
        for (output, value) in self.trees.iter().flatten() {
            if let Some(base) = base.get_mut(*output) {
                *base += round(*value);
            }
        }
        let leaves: Vec<Counts> = self.values.iter().zip(&self.usual).map(leaf).collect();
        let small = leaves.iter().flatten().all(|(_, count)| count.unsigned_abs() <= COUNT_MOST);
        let fits = small && base.iter().all(|base| base.abs() <= f64::from(MAX_BIAS));
        fits.then(|| Whole {
            fraction_bits: i8::try_from(bits).unwrap_or(0),
            leaves,
            base: base.into_iter().map(|base| base as i32).collect(),
        })
    }
}

/// Scores to which two lists add something else.
fn differing(a: &[(usize, f64)], b: &[(usize, f64)]) -> Vec<usize> {
    let sum = |list: &[(usize, f64)], output: usize| {
        list.iter().filter(|(other, _)| *other == output).map(|(_, value)| value).sum::<f64>()
    };
    let mut outputs: Vec<usize> = a.iter().chain(b).map(|(output, _)| *output).collect();
    outputs.sort_unstable();
    outputs.dedup();
    outputs.retain(|output| sum(a, *output) != sum(b, *output));
    outputs
}

/// What a value of a group's sum adds to a score.
pub(super) fn entry(leaves: &[usize], numbers: &[Counts], output: usize) -> i64 {
    let of = leaves.iter().filter_map(|leaf| numbers.get(*leaf)).flatten();
    of.filter(|(other, _)| *other == output).map(|(_, value)| value).sum()
}

/// Magnitudes of all that a group adds to any score.
fn entries(group: &Group, numbers: &[Counts]) -> Vec<i64> {
    let mut made = Vec::new();
    for leaves in &group.leaves {
        let outputs =
            leaves.iter().filter_map(|leaf| numbers.get(*leaf)).flatten().map(|(output, _)| *output);
        made.extend(outputs.map(|output| entry(leaves, numbers, output).abs()));
    }
    made
}

/// What a feature alone adds to each score.
#[derive(Debug, Clone)]
pub(super) struct Function {
    pub(super) feature: usize,
    pub(super) values: Vec<Pieces<i64>>,
}

/// Leaves decided by one feature, added up feature by feature.
pub(super) fn features(singles: &[Single], numbers: &[Counts], outputs: usize) -> Vec<Function> {
    let mut names: Vec<usize> = singles.iter().map(|single| single.feature).collect();
    names.sort_unstable();
    names.dedup();
    let one = |feature: usize| {
        let of_feature = || singles.iter().filter(|single| single.feature == feature);
        // Differences at each change; the first piece starts at the lowest value.
        let mut steps: Vec<(i64, usize, i64)> = Vec::new();
        for single in of_feature() {
            let mut before = None;
            for (start, leaf) in single.leaves.iter() {
                let numbers = |leaf: Option<usize>| {
                    leaf.and_then(|leaf| numbers.get(leaf)).map_or([].as_slice(), Vec::as_slice)
                };
                steps.extend(numbers(before).iter().map(|(output, value)| (*start, *output, -value)));
                steps.extend(numbers(*leaf).iter().map(|(output, value)| (*start, *output, *value)));
                before = *leaf;
            }
        }
        steps.sort_unstable();
        let function = |output: usize| {
            let own: Vec<(i64, i64)> = steps
                .iter()
                .filter(|(_, of, _)| *of == output)
                .map(|(start, _, add)| (*start, *add))
                .collect();
            let places: Vec<i64> = own.iter().map(|(start, _)| *start).collect();
            let mut sum = 0;
            let sums: Vec<i64> = own
                .iter()
                .map(|(_, add)| {
                    sum += add;
                    sum
                })
                .collect();
            let value = |at: i64| {
                let passed = places.partition_point(|place| *place <= at);
                passed.checked_sub(1).and_then(|last| sums.get(last)).copied().unwrap_or(0)
            };
            Pieces::new(&starts([places.as_slice()]), value)
        };
        Function { feature, values: (0..outputs).map(function).collect() }
    };
    names.into_iter().map(one).collect()
}

/// Most that a leaf may add to a score: far more than any graph takes, and so little that sums of all leaves stay in 64 bits.
const COUNT_MOST: u64 = 1 << 40;
/// Most that all look-ups together may add to a score: half of what a sum may be.
const SUM_MOST: i64 = 1 << 29;
