//! Circuits in the clear; and programs in the clear, with noise drawn from the formulas: what encryption would give, without its cost. How
//! far apart the two are is what an approximate circuit's offer says ([`Program::tolerance`]).

use super::{
    compile::Circuit,
    noise::power,
    parameters::Parameters,
    plan::{Program, Source, Sum},
    value::{Atom, Levels, Part, Value},
};

/// Rows that a tolerance is found with.
const ROWS: usize = 512;
/// How much further than the furthest of them an answer may be.
const MARGIN: f64 = 2.0;
const TOLERANCE_SEED: u64 = 0x7461_6369;

/// SplitMix64 (Steele, Lea, Flood, 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn unit(&mut self) -> f64 {
        ((self.word() >> 11) as f64 + 0.5) / power(53)
    }

    /// Gaussian noise of a variance on the torus.
    fn noise(&mut self, variance: f64) -> u64 {
        let gauss = (-2.0 * self.unit().ln()).sqrt() * (core::f64::consts::TAU * self.unit()).cos();
        ((gauss * variance.sqrt() * power(64)) as i64).cast_unsigned()
    }
}

impl Circuit {
    /// The outputs for an encoded row, in the clear.
    pub(crate) fn evaluate(&self, row: &[i64]) -> Vec<i64> {
        let mut looked_up: Vec<i64> = Vec::with_capacity(self.lookups.len());
        let part = |looked_up: &[i64], (atom, part): (&Atom, &Part)| match (atom, part) {
            (Atom::Input(input), Part::Times(times)) => {
                times * row.get(*input as usize).copied().unwrap_or(0)
            }
            (Atom::Input(input), Part::Table(values)) => {
                let low = self.inputs.get(*input as usize).map_or(0, |levels| levels.low);
                let index = row.get(*input as usize).copied().unwrap_or(0) - low;
                usize::try_from(index).ok().and_then(|index| values.get(index)).copied().unwrap_or(0)
            }
            (Atom::Lookup(lookup), part) => {
                let times = if let Part::Times(times) = part { *times } else { 0 };
                times * looked_up.get(*lookup as usize).copied().unwrap_or(0)
            }
        };
        for lookup in &self.lookups {
            let v = lookup.form.iter().map(|(atom, own)| part(&looked_up, (atom, own))).sum();
            looked_up.push(lookup.steps.value(v));
        }
        let output = |output: &Value| {
            output.constant + output.parts.iter().map(|own| part(&looked_up, own)).sum::<i64>()
        };
        self.outputs.iter().map(output).collect()
    }
}

impl Program {
    /// The distance from the graph's outputs that answers are promised to keep to: [`MARGIN`] times the largest that was met with [`ROWS`] rows, uniform
    /// in their ranges and the same each time. Root mean square over an answer's outputs, rounded up.
    ///
    /// Of outputs whose errors are independent and Gaussian it is over six deviations where there is one output, which an answer exceeds with a probability
    /// of some `2^-30`, and the more outputs there are, the rarer that is.
    pub(crate) fn tolerance(&self, circuit: &Circuit) -> u32 {
        let mut random = Random(TOLERANCE_SEED);
        let mut largest = 0.0;
        for _ in 0..ROWS {
            let one = |levels: &Levels| {
                let above = (random.unit() * levels.count() as f64) as i64;
                levels.low + above
            };
            let row: Vec<i64> = circuit.inputs.iter().map(one).collect();
            // Levels are among those of an encoder.
            let encoded: Vec<i16> = row.iter().map(|x| i16::try_from(*x).unwrap_or(0)).collect();
            let near = self.simulate(&encoded, true, &mut random);
            let square = |(a, b): (&i64, i64)| ((a - b) as f64).powi(2);
            let sum: f64 = near.iter().zip(circuit.evaluate(&row)).map(square).sum();
            largest = f64::max(largest, sum / near.len().max(1) as f64);
        }
        // A cast of what is larger than every integer gives the largest.
        ((MARGIN * largest.sqrt()).ceil() as u32).max(1)
    }

    /// Outputs for a row; `noisy` says whether there is any noise.
    pub(crate) fn simulate(&self, row: &[i16], noisy: bool, random: &mut Random) -> Vec<i64> {
        let parameters: &Parameters = self.plan.parameters;
        let mut noise = |variance: f64| if noisy { random.noise(variance) } else { 0 };
        let query: Vec<u64> = self
            .layout
            .encode(row)
            .iter()
            .map(|x| {
                x.cast_unsigned()
                    .wrapping_mul(self.input_unit)
                    .wrapping_add(noise(parameters.query_variance()))
            })
            .collect();
        let mut results: Vec<u64> = vec![0; self.bootstraps.len()];
        for index in self.stages.iter().flatten() {
            let bootstrap = &self.bootstraps[*index];
            let (read, switch) = match bootstrap.source {
                Source::Query => (&query, 0.0),
                Source::Lookups => (&results, parameters.key_switch_variance()),
            };
            let phase =
                phase(&bootstrap.sum, read).wrapping_add(noise(parameters.switch_variance() + switch));
            let log = parameters.log_degree + 1;
            let place = (phase.wrapping_add(1 << (63 - log)) >> (64 - log)) as usize;
            let degree = parameters.degree();
            let result = match place.checked_sub(degree) {
                None => bootstrap.entry(degree, place),
                Some(place) => bootstrap.entry(degree, place).wrapping_neg(),
            };
            results[*index] = result.wrapping_add(noise(parameters.bootstrap_variance()));
        }
        let read = |sum: &Sum| {
            let phase = phase(sum, &results).wrapping_add(noise(parameters.zero_variance()));
            let turns = (phase.cast_signed() as f64 / self.reading.unit as f64).round();
            i64::from(self.reading.centre) + turns as i64
        };
        self.outputs.iter().map(read).collect()
    }
}

fn phase(sum: &Sum, read: &[u64]) -> u64 {
    sum.terms.iter().fold(sum.constant, |phase, (index, weight)| {
        phase.wrapping_add(weight.cast_unsigned().wrapping_mul(read[*index]))
    })
}
