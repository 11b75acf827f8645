//! Tables of the integer graph, shared between layers.

use super::expr::Expr;
use crate::{
    graph::{MAX_REQUANTISE_SHIFT, MAX_SPAN_BITS, MAX_TABLES, Table},
    reach::rounding_shift,
};

/// Tables so far and what each stands for.
#[derive(Debug, Default)]
pub(super) struct Tables {
    list: Vec<Table>,
    keys: Vec<Key>,
    /// Largest shift before each.
    shifts: Vec<u8>,
}

/// What a table computes: `clamp(round(function(unit * u) / step), low, high)`.
#[derive(Debug, Clone, PartialEq)]
struct Key {
    function: Expr,
    unit: f64,
    step: f64,
    low: i64,
    high: i64,
    /// Whether several arguments share an entry, which is then their mean.
    shared: bool,
}

/// Calibration values and their range on both sides of a function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) before: (&'a [f64], (f64, f64)),
    pub(super) after: (&'a [f64], (f64, f64)),
}

/// Largest magnitude of an entry, and most bits of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) levels: i64,
    pub(super) bits_max: u8,
}

/// A requantisation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen {
    pub(super) shift: u8,
    pub(super) table: u16,
    /// What one of the result stands for.
    pub(super) step: f64,
}

impl Tables {
    pub(super) fn list(&self) -> &[Table] {
        &self.list
    }

    pub(super) fn into_list(self) -> Vec<Table> {
        self.list
    }

    /// Chooses shift, step and table for sums of `unit` within `reach`.
    pub(super) fn choose(
        &mut self,
        unit: f64,
        reach: (i64, i64),
        function: &Expr,
        seen: Seen<'_>,
        limits: Limits,
    ) -> Option<Chosen> {
        let (before, after) = (seen.before, seen.after);
        let Limits { levels, bits_max } = limits;
        // The least shift at which the table still covers every reachable sum.
        let least = (0..=MAX_REQUANTISE_SHIFT).find(|shift| bits_for(reach, *shift) <= bits_max)?;
        if bits_for(reach, least) + least > MAX_SPAN_BITS {
            return None;
        }
        if let Some((scale, zero, low, high)) = function.grid() {
            let shift = finest(unit, scale / 8.0).max(least);
            let key = Key {
                function: function.clone(),
                unit: unit * exp2(shift),
                step: scale,
                low: (low - zero) as i64,
                high: (high - zero) as i64,
                shared: shift > 0,
            };
            return self.get(key, shift, reach);
        }
        if function.is_homogeneous() {
            let step = best_shift(unit, after, levels);
            let shift = step.max(least);
            // In steps, all layers' functions are the same.
            let key = Key {
                function: function.clone(),
                unit: exp2(shift - step),
                step: 1.0,
                low: -levels,
                high: levels,
                shared: false,
            };
            let chosen = self.get(key, shift, reach)?;
            return Some(Chosen { step: unit * exp2(step), ..chosen });
        }
        let step = power_step(after, levels);
        let (low, high) = before.1;
        // Where the function jumps, nothing is fine enough; where it is flat, its ends still have to be told apart.
        let target = if function.jumps() {
            0.0
        } else {
            (step / slope(function, before).max(1e-9)).min((high - low).max(unit) / 256.0)
        };
        let shift = finest(unit, target).max(least);
        let (unit, shared) = (unit * exp2(shift), shift > 0);
        let key = Key { function: function.clone(), unit, step, low: -levels, high: levels, shared };
        self.get(key, shift, reach)
    }

    /// The table for a key, made or made larger as needed.
    fn get(&mut self, key: Key, shift: u8, reach: (i64, i64)) -> Option<Chosen> {
        let (bits, step) = (bits_for(reach, shift), key.step);
        // A table may grow for one layer only as far as the shifts of the others let it.
        let room = |at: usize, bits: u8| {
            self.shifts.get(at).is_some_and(|most| bits + shift.max(*most) <= MAX_SPAN_BITS)
        };
        let grown = |at: usize| self.list.get(at).map_or(bits, |table| table.bits.max(bits));
        let mut keys = self.keys.iter().enumerate();
        let known = keys.position(|(at, known)| *known == key && room(at, grown(at)));
        let table = match known {
            Some(table) => {
                if let Some(slot) = self.list.get_mut(table).filter(|table| table.bits < bits) {
                    *slot = key.table(bits);
                }
                table
            }
            None => {
                let made = key.table(bits);
                // Functions that differ only where nothing is read make one table.
                let mut tables = self.list.iter().enumerate();
                if let Some(same) = tables.position(|(at, table)| *table == made && room(at, bits)) {
                    same
                } else {
                    if self.list.len() >= MAX_TABLES {
                        return None;
                    }
                    self.list.push(made);
                    self.keys.push(key);
                    self.shifts.push(shift);
                    self.list.len() - 1
                }
            }
        };
        if let Some(most) = self.shifts.get_mut(table) {
            *most = shift.max(*most);
        }
        Some(Chosen { shift, table: u16::try_from(table).ok()?, step })
    }
}

impl Key {
    /// The function at `unit * u`, or its mean over all arguments that are rounded there, where that is another number.
    fn entry(&self, u: f64) -> f64 {
        if self.function.jumps() || self.function.grid().is_some() {
            return self.function.apply(self.unit * u);
        }
        let at = |u: f64| self.function.apply(self.unit * u);
        let (below, middle, above) = (at(u - 0.5), at(u), at(u + 0.5));
        if !self.shared || (above - below).abs() <= self.step {
            return middle;
        }
        let points = (0..POINTS).map(|point| at(u - 0.5 + (f64::from(point) + 0.5) / f64::from(POINTS)));
        let points: Vec<f64> = points.filter(|y| y.is_finite()).collect();
        if points.is_empty() { middle } else { points.iter().sum::<f64>() / points.len() as f64 }
    }

    fn table(&self, bits: u8) -> Table {
        let half = 1i64 << (bits - 1);
        let entry = |u: i64| {
            let value = (self.entry(u as f64) / self.step).round();
            // No number, as from the root of a negative one, counts as zero: nothing reaches it in a sound network.
            let value = if value.is_nan() { 0 } else { value as i64 };
            value.clamp(self.low, self.high).clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16
        };
        Table { bits, values: (-half..half).map(entry).collect() }
    }
}

/// Bits of a table that covers `reach` after a shift.
fn bits_for((low, high): (i64, i64), shift: u8) -> u8 {
    let (low, high) = (rounding_shift(low, shift), rounding_shift(high, shift));
    (1..64).find(|bits| low >= -(1i64 << (bits - 1)) && high < 1i64 << (bits - 1)).unwrap_or(64)
}

fn exp2(shift: u8) -> f64 {
    f64::from(shift).exp2()
}

/// The largest shift that keeps `unit` at or under `target`.
fn finest(unit: f64, target: f64) -> u8 {
    let shift = (target / unit * (1.0 + 1e-9)).log2().floor();
    let shift = if shift.is_nan() { 0.0 } else { shift };
    shift.clamp(0.0, f64::from(MAX_REQUANTISE_SHIFT)) as u8
}

/// The shift whose step loses least on the calibration values: to rounding, and to cutting at the largest level.
fn best_shift(unit: f64, after: (&[f64], (f64, f64)), levels: i64) -> u8 {
    let (_, (low, high)) = after;
    let most = low.abs().max(high.abs()).max(f64::MIN_POSITIVE);
    let exact =
        (most / (unit * levels as f64)).log2().ceil().clamp(0.0, f64::from(MAX_REQUANTISE_SHIFT)) as u8;
    let candidates = [exact, exact.saturating_sub(1)];
    let loss = |shift: &u8| loss(after, unit * exp2(*shift), levels);
    candidates.into_iter().min_by(|a, b| loss(a).total_cmp(&loss(b))).unwrap_or(exact)
}

/// The power of two that loses least as a step.
fn power_step(after: (&[f64], (f64, f64)), levels: i64) -> f64 {
    let (_, (low, high)) = after;
    let most = low.abs().max(high.abs());
    let most = if most > 0.0 && most.is_finite() { most } else { 1.0 };
    let exact = (most / levels as f64).log2().ceil();
    let steps = [exact.exp2(), (exact - 1.0).exp2()];
    let loss = |step: &f64| loss(after, *step, levels);
    steps.into_iter().min_by(|a, b| loss(a).total_cmp(&loss(b))).unwrap_or_else(|| exact.exp2())
}

/// Squared error of rounding values to a step and cutting them at the largest level.
fn loss((values, (low, high)): (&[f64], (f64, f64)), step: f64, levels: i64) -> f64 {
    let limit = step * levels as f64;
    let cut = |x: f64| (x.abs() - limit).max(0.0);
    let cuts: f64 = values.iter().map(|x| cut(*x) * cut(*x)).sum();
    // The extremes were seen as well, and unseen rows go further.
    let extremes = 4.0 * (cut(low) * cut(low) + cut(high) * cut(high));
    let rounding = step * step / 12.0 * (values.len() as f64 + 8.0);
    cuts + extremes + rounding
}

/// The steepest that a function gets where calibration values lie.
fn slope(function: &Expr, (values, (low, high)): (&[f64], (f64, f64))) -> f64 {
    let width = (high - low).max(high.abs().max(low.abs()) / 16.0).max(f64::MIN_POSITIVE);
    let small = width / 4096.0;
    let at = |x: f64| {
        let rise = function.apply(x + small) - function.apply(x - small);
        (rise / (2.0 * small)).abs()
    };
    let mut slopes: Vec<f64> = values.iter().map(|x| at(*x)).filter(|slope| slope.is_finite()).collect();
    slopes.extend([at(low), at(high)].into_iter().filter(|slope| slope.is_finite()));
    slopes.into_iter().fold(0.0, f64::max)
}

/// Points of an entry's arguments that a mean is taken over.
const POINTS: u32 = 16;
