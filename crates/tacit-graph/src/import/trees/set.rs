//! Sets of raw values, and functions of a raw value that change at some of them.

use crate::{graph::RAW_FRACTION_BITS, raw::RawValue};

/// Raw values: whether the lowest of all is one, and the ascending values from which on that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    lowest: bool,
    changes: Vec<i64>,
}

impl Set {
    pub(super) fn none() -> Self {
        Self { lowest: false, changes: Vec::new() }
    }

    /// Everything from a value on.
    pub(super) fn from(start: Option<i64>) -> Self {
        match start {
            None => Self::none(),
            Some(i64::MIN) => Self::none().not(),
            Some(start) => Self { lowest: false, changes: vec![start] },
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::none()
    }

    pub(super) fn changes(&self) -> &[i64] {
        &self.changes
    }

    pub(super) fn contains(&self, value: i64) -> bool {
        let passed = self.changes.partition_point(|change| *change <= value);
        self.lowest != (passed % 2 == 1)
    }

    pub(super) fn not(&self) -> Self {
        Self { lowest: !self.lowest, changes: self.changes.clone() }
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        let mut changes = Vec::new();
        let lowest = self.lowest && other.lowest;
        let mut inside = lowest;
        for start in starts([self.changes(), other.changes()]).into_iter().skip(1) {
            let now = self.contains(start) && other.contains(start);
            if now != inside {
                changes.push(start);
                inside = now;
            }
        }
        Self { lowest, changes }
    }

    pub(super) fn or(&self, other: &Self) -> Self {
        self.not().and(&other.not()).not()
    }
}

/// Where pieces between changes start, the first at the lowest raw value.
pub(super) fn starts<'a>(changes: impl IntoIterator<Item = &'a [i64]>) -> Vec<i64> {
    let mut starts = vec![i64::MIN];
    starts.extend(changes.into_iter().flatten());
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// A function of a raw value: what it is from each value on, the first of which is the lowest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pieces<T> {
    pieces: Vec<(i64, T)>,
}

impl<T: Clone + PartialEq> Pieces<T> {
    pub(super) fn new(starts: &[i64], value: impl Fn(i64) -> T) -> Self {
        let mut pieces: Vec<(i64, T)> = Vec::new();
        for start in starts {
            let value = value(*start);
            if pieces.last().is_none_or(|(_, last)| *last != value) {
                pieces.push((*start, value));
            }
        }
        Self { pieces }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(i64, T)> {
        self.pieces.iter()
    }

    /// Where it changes.
    pub(super) fn changes(&self) -> impl Iterator<Item = i64> {
        self.pieces.iter().skip(1).map(|(start, _)| *start)
    }

    /// What it is for a raw value, if it is anything.
    pub(super) fn at(&self, value: i64) -> Option<&T> {
        let passed = self.pieces.partition_point(|(start, _)| *start <= value);
        passed.checked_sub(1).and_then(|at| self.pieces.get(at)).map(|(_, value)| value)
    }
}

/// The least raw value that counts as at least `threshold`, or as more than it (`beyond`); none where no raw value does.
pub(super) fn least(threshold: f64, beyond: bool, single: bool) -> Option<i64> {
    let counts = |raw: i64| {
        let x = if single { f64::from(raw as f32) } else { raw as f64 };
        let x = x / f64::from(1u32 << RAW_FRACTION_BITS);
        if beyond { x > threshold } else { x >= threshold }
    };
    let found = first(counts);
    match (beyond, own(threshold, single)) {
        (_, None) => found,
        (false, Some((lowest, _))) => Some(found.map_or(lowest, |found| found.min(lowest))),
        (true, Some((_, highest))) => {
            let after = highest.checked_add(1)?;
            found.map(|found| found.max(after))
        }
    }
}

/// Lowest and highest raw value that stands for a threshold itself: those of numbers that round to it.
fn own(threshold: f64, single: bool) -> Option<(i64, i64)> {
    let raw = |x: f64| RawValue::from_f64(x).ok().map(RawValue::get);
    // From one half on every float of single precision is a raw value.
    if !single || threshold.abs() >= 0.5 {
        return raw(threshold).map(|raw| (raw, raw));
    }
    let middle = |other: f32| f64::midpoint(threshold, f64::from(other));
    let threshold = threshold as f32;
    Some((raw(middle(threshold.next_down()))?, raw(middle(threshold.next_up()))?))
}

/// The first raw value for which a condition holds that goes on holding.
fn first(holds: impl Fn(i64) -> bool) -> Option<i64> {
    if !holds(i64::MAX) {
        return None;
    }
    let (mut low, mut high) = (i64::MIN, i64::MAX);
    while low < high {
        // The mean of the two, rounded down, without a sum that could overflow.
        let middle = (low & high) + ((low ^ high) >> 1);
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(lowest: bool, mut changes: Vec<i64>) -> Set {
        changes.sort_unstable();
        changes.dedup();
        Set { lowest, changes }
    }

    fn sets() -> impl Strategy<Value = Set> {
        (any::<bool>(), prop::collection::vec(-20i64..20, 0..6))
            .prop_map(|(lowest, changes)| set(lowest, changes))
    }

    proptest! {
        #[test]
        fn sets_are_what_they_contain(a in sets(), b in sets()) {
            let (and, or, not) = (a.and(&b), a.or(&b), a.not());
            for value in (-25..25).chain([i64::MIN, i64::MAX]) {
                prop_assert_eq!(and.contains(value), a.contains(value) && b.contains(value));
                prop_assert_eq!(or.contains(value), a.contains(value) || b.contains(value));
                prop_assert_eq!(not.contains(value), !a.contains(value));
            }
            prop_assert!(and.changes().windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(a.and(&a.not()).is_empty());
        }

        /// Every raw value compares with a threshold as its rounded float does, but those that stand for the threshold.
        #[test]
        fn steps_are_those_of_the_runtime(
            bits in any::<u32>(), near in -4i64..5, far in any::<i64>(), beyond in any::<bool>(),
        ) {
            let threshold = f32::from_bits(bits);
            prop_assume!(!threshold.is_nan());
            let step = least(f64::from(threshold), beyond, true);
            let own = own(f64::from(threshold), true);
            let around = own.map_or(far, |own| own.0).saturating_add(near);
            for raw in [around, far, i64::MIN, i64::MAX] {
                let passed = step.is_some_and(|step| raw >= step);
                let x = raw as f32 / (1u32 << 24) as f32;
                let expected = if beyond { x > threshold } else { x >= threshold };
                if own.is_some_and(|(lowest, highest)| (lowest..=highest).contains(&raw)) {
                    prop_assert_eq!(passed, !beyond);
                } else {
                    prop_assert_eq!(passed, expected, "{} {}", raw, threshold);
                }
            }
        }

        /// Every input of single precision that is a raw value, or is the threshold, compares as in the runtime.
        #[test]
        fn inputs_of_single_precision(bits in any::<u32>(), ulps in -3i32..4, beyond in any::<bool>()) {
            let threshold = f32::from_bits(bits);
            prop_assume!(threshold.abs() < 1e11);
            let x = f32::from_bits(bits.wrapping_add_signed(ulps));
            prop_assume!(x.abs() < 1e11);
            let raw = RawValue::from_f32(x).unwrap();
            let is_raw = |x: f32| (f64::from(x) * f64::from(1u32 << 24)).fract() == 0.0;
            if x == threshold || is_raw(x) && is_raw(threshold) {
                let passed = least(f64::from(threshold), beyond, true).is_some_and(|step| raw.get() >= step);
                prop_assert_eq!(passed, if beyond { x > threshold } else { x >= threshold });
            }
        }
    }

    proptest! {
        /// Any number that rounds to the threshold is the threshold.
        #[test]
        fn decimals_that_round_to_the_threshold(bits in any::<u32>(), part in -0.5f64..=0.5, beyond in any::<bool>()) {
            let threshold = f32::from_bits(bits);
            prop_assume!(threshold.abs() < 0.5);
            let next = if part > 0.0 { threshold.next_up() } else { threshold.next_down() };
            let x = f64::from(threshold) + part.abs() * (f64::from(next) - f64::from(threshold));
            prop_assume!(x as f32 == threshold);
            let raw = RawValue::from_f64(x).unwrap().get();
            let passed = least(f64::from(threshold), beyond, true).is_some_and(|step| raw >= step);
            prop_assert_eq!(passed, !beyond);
        }
    }

    #[test]
    fn thresholds_at_the_ends() {
        for single in [true, false] {
            for beyond in [true, false] {
                assert_eq!(least(f64::INFINITY, beyond, single), None);
                assert_eq!(least(f64::NEG_INFINITY, beyond, single), Some(i64::MIN));
                assert_eq!(least(1e30, beyond, single), None);
                assert_eq!(least(-1e30, beyond, single), Some(i64::MIN));
            }
        }
        // 0.1 in single precision is no raw value: the one it rounds to stands for it.
        let tenth = f64::from(0.1f32);
        assert_eq!(least(tenth, false, true), Some(1_677_722));
        assert_eq!(least(tenth, true, true), Some(1_677_723));
        // In double precision a raw value is far finer than the next float in single precision.
        assert_eq!(least(1000.0, true, false), Some((1000 << 24) + 1));
        assert_eq!(least(1000.0, true, true), Some((1000 << 24) + 513));
        assert_eq!(least(1000.0, false, true), Some((1000 << 24) - 512));
    }
}
