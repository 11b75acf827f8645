//! A group's matrix at a point, without its entries.
//!
//! `sum over indices and positions of prod eq(axis point, index) eq(source point, position) [position = offset + sum stride index]` is summed bit by bit,
//! lowest first, as one adds by hand: the strides of the indices' bits and what was carried give a bit of the position and the next carry. What has to be known of all lower
//! bits is the carry, of which there are no more than the strides add up to, and for each index and the position whether its bits so far are above those of the largest that is
//! allowed. So a row of a long convolution costs some thousand products, however long it is. (A read-once branching program in the
//! sense of Holmgren and Rothblum, *Delegating computations with (almost) minimal time and space overhead*, section 4, eprint 2018/850.)

#![cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        reason = "sizes and strides come from a validated graph under the limits of the plan, never from a proof"
    )
)]

use p3_field::PrimeCharacteristicRing;

use crate::{field::Ef, plan::log2_ceil};

/// An axis that the sum runs over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis<'a> {
    pub(crate) stride: i64,
    pub(crate) size: usize,
    /// Highest variable first; none where every index weighs one.
    pub(crate) point: Option<&'a [Ef]>,
}

impl Axis<'_> {
    /// Bits of an index.
    fn vars(&self) -> usize {
        self.point.map_or_else(|| log2_ceil(self.size), <[Ef]>::len)
    }
}

/// Steps that [`evaluate`] takes at most.
pub(crate) fn steps(axes: &[Axis<'_>], vars: usize) -> usize {
    let carries = axes.iter().map(|axis| axis.stride.unsigned_abs() as usize).sum::<usize>() + 2;
    let each = u32::try_from(2 * axes.len() + 1).ok().and_then(|bits| 1usize.checked_shl(bits));
    carries.saturating_mul(each.unwrap_or(usize::MAX)).saturating_mul(levels(axes, vars))
}

fn levels(axes: &[Axis<'_>], vars: usize) -> usize {
    axes.iter().map(Axis::vars).fold(vars, usize::max)
}

/// The sum over all indices that read one of `length` positions; `source` has its highest variable first.
pub(crate) fn evaluate(offset: i64, axes: &[Axis<'_>], source: &[Ef], length: usize) -> Ef {
    if length == 0 || axes.iter().any(|axis| axis.size == 0) {
        return Ef::ZERO;
    }
    let flags = 1usize << (axes.len() + 1);
    let bits = 1usize << axes.len();
    // Carries from `low` on, each with every combination of flags.
    let mut low = offset;
    let mut states = vec![Ef::ZERO; flags];
    states[0] = Ef::ONE;
    for level in 0..levels(axes, source.len()) {
        let live: Vec<bool> = axes.iter().map(|axis| level < axis.vars()).collect();
        let strides = || axes.iter().zip(&live).filter(|(_, live)| **live).map(|(axis, _)| axis.stride);
        let high = low + (states.len() / flags) as i64 - 1;
        let next_low = (low + strides().map(|stride| stride.min(0)).sum::<i64>()).div_euclid(2);
        let next_high = (high + strides().map(|stride| stride.max(0)).sum::<i64>()).div_euclid(2);
        let mut next = vec![Ef::ZERO; (next_high - next_low + 1) as usize * flags];
        // Bits of the indices that are there at this level, what they weigh and add, and the flags they set and clear.
        let choices: Vec<Choice> =
            (0..bits).filter_map(|chosen| Choice::new(axes, &live, chosen, level)).collect();
        let source = source.len().checked_sub(level + 1).map(|at| source[at]);
        let limit = Flag::new(length, level);
        for (state, value) in states.iter().enumerate().filter(|(_, value)| **value != Ef::ZERO) {
            let (carry, flag) = (low + (state / flags) as i64, state % flags);
            for choice in &choices {
                let sum = carry + choice.adds;
                let bit = sum.rem_euclid(2) == 1;
                let weight = match source {
                    Some(point) if bit => choice.weight * point,
                    Some(point) => choice.weight * (Ef::ONE - point),
                    None if bit => continue,
                    None => choice.weight,
                };
                let above = limit.after(flag >> axes.len() & 1 == 1, bit);
                let flag = choice.after(flag & (bits - 1)) | usize::from(above) << axes.len();
                let carry = (sum.div_euclid(2) - next_low) as usize;
                next[carry * flags + flag] += *value * weight;
            }
        }
        (low, states) = (next_low, next);
    }
    usize::try_from(-low).ok().and_then(|carry| states.get(carry * flags)).copied().unwrap_or(Ef::ZERO)
}

/// One bit of every index.
struct Choice {
    weight: Ef,
    adds: i64,
    flags: Vec<(Flag, bool)>,
}

impl Choice {
    fn new(axes: &[Axis<'_>], live: &[bool], chosen: usize, level: usize) -> Option<Self> {
        let mut choice = Self { weight: Ef::ONE, adds: 0, flags: Vec::with_capacity(axes.len()) };
        for (index, axis) in axes.iter().enumerate() {
            let bit = chosen >> index & 1 == 1;
            if bit && !live[index] {
                return None;
            }
            if let Some(point) = axis.point.filter(|_| live[index]) {
                let coordinate = point[point.len() - 1 - level];
                choice.weight *= if bit { coordinate } else { Ef::ONE - coordinate };
            }
            choice.adds += if bit { axis.stride } else { 0 };
            choice.flags.push((Flag::new(axis.size, level), bit));
        }
        Some(choice)
    }

    fn after(&self, flags: usize) -> usize {
        let after = |(index, (flag, bit)): (usize, &(Flag, bool))| {
            usize::from(flag.after(flags >> index & 1 == 1, *bit)) << index
        };
        self.flags.iter().enumerate().map(after).sum()
    }
}

/// Whether the bits of a number so far, the lowest first, are above those of the largest that is allowed.
#[derive(Clone, Copy)]
struct Flag {
    allowed: bool,
}

impl Flag {
    fn new(size: usize, level: usize) -> Self {
        Self { allowed: (size - 1).checked_shr(level as u32).unwrap_or(0) & 1 == 1 }
    }

    fn after(self, above: bool, bit: bool) -> bool {
        if bit == self.allowed { above } else { bit }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{field::Fp, multilinear::eq_table};

    fn point(vars: usize, seed: u64) -> Vec<Ef> {
        let coordinate = |index: u64| {
            Ef::new(core::array::from_fn(|at| Fp::from_u64(seed * 977 + index * 31 + at as u64).cube()))
        };
        (0..vars as u64).map(coordinate).collect()
    }

    /// By the definition.
    fn naive(offset: i64, axes: &[Axis<'_>], source: &[Ef], length: usize) -> Ef {
        let Some((axis, rest)) = axes.split_first() else {
            let position = usize::try_from(offset).ok().filter(|position| *position < length);
            return position.map_or(Ef::ZERO, |position| eq_table(source)[position]);
        };
        let weights = axis.point.map(eq_table);
        (0..axis.size)
            .map(|index| {
                let weight = weights.as_ref().map_or(Ef::ONE, |weights| weights[index]);
                weight * naive(offset + axis.stride * index as i64, rest, source, length)
            })
            .sum()
    }

    proptest! {
        #[test]
        fn sums_are_those_of_the_definition(
            offset in -40i64..60,
            shapes in proptest::collection::vec((-6i64..7, 1usize..12, any::<bool>()), 0..=3),
            length in 1usize..50,
            seed: u32,
        ) {
            let points: Vec<Vec<Ef>> = shapes
                .iter()
                .zip(1..)
                // Now and then with more variables than the size asks for.
                .map(|((_, size, at), axis)| {
                    point(log2_ceil(*size) + usize::from(*at && size % 3 == 0), u64::from(seed) + axis)
                })
                .collect();
            let axes: Vec<Axis<'_>> = shapes
                .iter()
                .zip(&points)
                .map(|((stride, size, at), point)| Axis {
                    stride: *stride,
                    size: *size,
                    point: at.then_some(point.as_slice()),
                })
                .collect();
            let source = point(log2_ceil(length), u64::from(seed));
            prop_assert_eq!(evaluate(offset, &axes, &source, length), naive(offset, &axes, &source, length));
        }
    }

    #[test]
    fn a_long_row_takes_few_steps() {
        let (outputs, taps) = (point(15, 1), point(8, 2));
        let axes = [
            Axis { stride: 2, size: 21_922, point: Some(&outputs) },
            Axis { stride: 1, size: 256, point: Some(&taps) },
        ];
        assert!(steps(&axes, 16) < 4000);
        let source = point(16, 3);
        let length = 44_100;
        let (outputs, taps, source_table) = (eq_table(&outputs), eq_table(&taps), eq_table(&source));
        let mut expected = Ef::ZERO;
        for (output, weight) in outputs.iter().enumerate().take(21_922) {
            let reads = taps.iter().enumerate().take(256).filter(|(tap, _)| 2 * output + tap >= 128);
            let reads = reads.filter(|(tap, _)| 2 * output + tap - 128 < length);
            let sum: Ef = reads.map(|(tap, tapped)| *tapped * source_table[2 * output + tap - 128]).sum();
            expected += *weight * sum;
        }
        assert_eq!(evaluate(-128, &axes, &source, length), expected);
    }
}
