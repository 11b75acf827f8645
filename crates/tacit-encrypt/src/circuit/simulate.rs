//! Circuits in the clear; and programs in the clear, with noise drawn from the formulas: what encryption would give, without its cost.

use super::{
    compile::Circuit,
    noise::power,
    parameters::Parameters,
    plan::{Program, Source, Sum},
    value::{Atom, Part, Value},
};

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
