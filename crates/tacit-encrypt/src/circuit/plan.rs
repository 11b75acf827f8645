//! From a circuit to numbers on the torus, and what they cost: scales, weights, windows of tables, noise and failures.
//!
//! # Scales
//! A number of a query is multiplied by one scale, and a look-up's result by another. A *reader*, a look-up or the outputs, has a *circumference*:
//! how many units of its sum go once round the torus. It weights what it reads by integers, so that one unit of its sum becomes one part of
//! its circumference.
//!
//! *Exact*: the scale is one over the largest circumference; the others divide it, rounded down, and multiply their weights by the
//! quotient. Nothing is rounded. If each reader's margin, half a unit, is at least [`EXACT_DEVIATIONS`] of its noise, every integer comes out
//! right with the probability that [`Plan::failure_log2`] states. *Approximate* otherwise: weights are rounded to the power of two
//! that makes rounding and noise together least.
//!
//! # Windows
//! A bootstrap's table covers half the torus, and the other half is its negative. So what is looked up is the value less the mean of
//! those at both ends of the reach, `-d` at the low end and `d` at the high end. The low end's run goes on below the window as the negative
//! of the high end's, and the other way round: half a circumference has to reach from the first change of the function to the highest
//! sum, and from the lowest sum to the last change, no further. In an exact circuit sums never leave the reach, so nothing wraps to a wrong value.
//!
//! Hundreds of inputs never add up to nearly their reach, and a window for it would leave nothing of what they do add up to. An approximate
//! reader's half circumference goes no further than [`CLIP_WIDTHS`] times the width of the changes, or [`CLIP_DEVIATIONS`] deviations
//! of the sum for a row that is uniform in its ranges, beyond them. Only a row that is like nothing the tables were made for comes
//! to a sum outside, and gets a wrong value there.

use super::{
    compile::{Circuit, Lookup, Misfit},
    layout::{Layout, MAX_OUTPUTS, Moments},
    noise::{log2_outside, power, square},
    parameters::{Parameters, SETS},
    steps::Steps,
    value::{Atom, Part, Value},
};

/// Longest chain of look-ups.
pub const MAX_DEPTH: usize = 4;
/// Fewest bits of a sum, or of an output, that noise may leave in an approximate circuit: log2 of its deviation over that of noise.
pub(crate) const MIN_PRECISION_BITS: u32 = 2;
/// How many deviations of noise those of a sum, and of an output, have to be for an approximate circuit to be content with parameters.
const WANTED: (f64, f64) = (8.0, 5.0);
/// Deviations of noise within an exact reader's margin: beyond them with a probability under `2^-64`.
pub const EXACT_DEVIATIONS: f64 = 9.2;
/// Circumferences of approximate readers are larger than they need to be by one part in this many, so that noise at an end stays inside.
const SLACK: f64 = 16.0;
/// See *Windows*.
pub const CLIP_WIDTHS: f64 = 2.0;
/// See *Windows*.
pub const CLIP_DEVIATIONS: f64 = 8.0;

/// What an encrypted question costs, and how sure its answer is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Parameters of the keys.
    pub parameters: &'static Parameters,
    /// Bootstraps: look-ups of the circuit.
    pub bootstraps: usize,
    /// Longest chain of them.
    pub depth: usize,
    /// Numbers that are encrypted.
    pub slots: usize,
    /// Outputs.
    pub outputs: usize,
    /// Whether every output is the graph's, but for a failure. Otherwise the circuit is *approximate*.
    pub exact: bool,
    /// Log2 of the probability that some output of an answer is not the graph's, from above; zero if approximate.
    pub failure_log2: f64,
    /// The fewest bits that noise leaves of any look-up's sum: log2 of its deviation, for rows that are uniform in their ranges, over that of
    /// noise.
    pub sum_bits: f64,
    /// The same for an output.
    pub output_bits: f64,
    /// Log2 of the flood's half-width over the deviation of the noise that it hides; none where there is no room.
    pub flood_bits: Option<f64>,
    /// Bytes of the keys, sent once.
    pub key_bytes: usize,
    /// Bytes of a query.
    pub query_bytes: usize,
    /// Bytes of an answer.
    pub answer_bytes: usize,
}

impl Plan {
    /// Seconds of one thread, from those of one bootstrap as measured.
    #[must_use]
    pub fn seconds(&self, seconds_of_bootstrap: f64) -> f64 {
        self.bootstraps as f64 * seconds_of_bootstrap
    }
}

/// What a look-up reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Query,
    Lookups,
}

/// A sum of ciphertexts with integer weights, and what is added to its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) terms: Vec<(usize, i64)>,
    pub(crate) constant: u64,
}

/// One bootstrap.
#[derive(Clone)]
pub(crate) struct Bootstrap {
    pub(crate) source: Source,
    pub(crate) sum: Sum,
    /// Units of the form in one turn of the torus.
    circumference: f64,
    lookup: Lookup,
    /// Half the scale of results.
    half_unit: u64,
}

/// A circuit as bootstraps and sums of ciphertexts.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) plan: Plan,
    /// The least quotients of deviations of sums, and of outputs, over those of their noise.
    precision: (f64, f64),
    pub(crate) layout: Layout,
    /// What a number of a query is multiplied by.
    pub(crate) input_unit: u64,
    pub(crate) bootstraps: Vec<Bootstrap>,
    /// Bootstraps of each depth, in order.
    pub(crate) stages: Vec<Vec<usize>>,
    pub(crate) outputs: Vec<Sum>,
    pub(crate) reading: Reading,
    /// The flood is uniform on `-2^b .. 2^b` in units of `2^-64`.
    pub(crate) flood: Option<u32>,
}

/// How outputs are read off phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The output at phase zero.
    pub(crate) centre: i32,
    /// One unit of output.
    pub(crate) unit: u64,
    /// Bits of each number of an answer.
    pub(crate) bits: u32,
}

// As with circuits.
impl core::fmt::Debug for Program {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Program").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// Who reads a sum, before scales are chosen.
struct Reader {
    source: Source,
    /// Whether it is a look-up; an output otherwise.
    looks_up: bool,
    terms: Vec<(usize, i64)>,
    circumference: f64,
    /// Of the sum, for a row that is uniform in its ranges.
    deviation: f64,
}

/// Chosen for all readers of one source.
struct Scale {
    /// One unit of what is read, in `2^-64`.
    unit: u64,
    /// Noise of what is read.
    variance: f64,
    /// Of each number that is read.
    moments: Vec<Moments>,
    /// Of each reader, in its order.
    circumferences: Vec<f64>,
    weights: Vec<Vec<i64>>,
}

struct Scales {
    query: Scale,
    lookups: Scale,
}

impl Scales {
    fn of(&self, source: Source) -> &Scale {
        match source {
            Source::Query => &self.query,
            Source::Lookups => &self.lookups,
        }
    }
}

impl Program {
    /// Chooses the cheapest parameters for which the circuit is exact; if it is for none, those with enough precision, and
    /// the most if none has enough.
    pub(crate) fn new(circuit: &Circuit) -> Result<Self, Misfit> {
        let mut best: Option<Self> = None;
        let mut refusal = None;
        for parameters in SETS {
            match Self::with(circuit, parameters) {
                Ok(program) if program.plan.exact => return Ok(program),
                Ok(program) => {
                    if best.as_ref().is_none_or(|best| best.content() < program.content().min(1.0)) {
                        best = Some(program);
                    }
                }
                Err(misfit) => refusal = Some(misfit),
            }
        }
        best.ok_or(refusal.unwrap_or(Misfit::Linear))
    }

    /// How near to what is wanted the precision is: one or more is enough.
    fn content(&self) -> f64 {
        (self.precision.0 / WANTED.0).min(self.precision.1 / WANTED.1)
    }

    /// Without rounding of weights, whether that is exact or not.
    #[cfg(test)]
    pub(crate) fn unrounded(circuit: &Circuit, parameters: &'static Parameters) -> Self {
        let layout = Layout::of(circuit).unwrap();
        let moments = moments(circuit, &layout);
        Draft { circuit, parameters, layout: &layout, depth: 1, moments }.program(true)
    }

    /// For parameters that are given.
    pub(crate) fn with(circuit: &Circuit, parameters: &'static Parameters) -> Result<Self, Misfit> {
        let outputs = circuit.outputs.len();
        if outputs == 0 || outputs > MAX_OUTPUTS {
            return Err(Misfit::Outputs { got: outputs });
        }
        let depths = circuit.depths();
        let depth = depths.iter().copied().max().unwrap_or(0);
        if depth > MAX_DEPTH {
            return Err(Misfit::Depth { got: depth });
        }
        let layout = Layout::of(circuit)?;
        let moments = moments(circuit, &layout);
        let draft = Draft { circuit, parameters, layout: &layout, depth, moments };
        let exact = draft.program(true);
        let program = if exact.plan.exact { exact } else { draft.program(false) };
        let (sums, outputs) = program.precision;
        if !program.plan.exact && sums.min(outputs) < power(MIN_PRECISION_BITS) {
            let Plan { sum_bits, output_bits, .. } = program.plan;
            let (bits, what) = if sum_bits < output_bits {
                (sum_bits, "a sum before a look-up")
            } else {
                (output_bits, "an output")
            };
            return Err(Misfit::Noise { got: bits.floor() as i32, what });
        }
        Ok(program)
    }
}

struct Draft<'a> {
    circuit: &'a Circuit,
    parameters: &'static Parameters,
    layout: &'a Layout,
    depth: usize,
    /// Of each look-up's result.
    moments: Vec<Moments>,
}

impl Draft<'_> {
    fn program(&self, exact: bool) -> Program {
        let circuit = self.circuit;
        let slack = if exact { 1.0 } else { 1.0 + 1.0 / SLACK };
        let mut readers: Vec<Reader> =
            circuit.lookups.iter().map(|lookup| self.reader(lookup, exact)).collect();
        let (low, high) = self.output_range();
        // Half a unit of noise on either side of as many values, and half a unit more, as the centre is a whole number.
        let turn = ((high - low) as f64 + 2.0) * slack;
        readers.extend(circuit.outputs.iter().map(|output| {
            let terms = lookup_terms(output.parts.iter());
            let deviation = deviation(&terms, &self.moments);
            Reader { source: Source::Lookups, looks_up: false, terms, circumference: turn, deviation }
        }));
        let scales = Scales {
            query: self.scale(&readers, Source::Query, exact),
            lookups: self.scale(&readers, Source::Lookups, exact),
        };
        let mut of_query = scales.query.circumferences.iter().zip(&scales.query.weights);
        let mut of_results = scales.lookups.circumferences.iter().zip(&scales.lookups.weights);
        let mut chosen = Vec::with_capacity(readers.len());
        for reader in &readers {
            let next = match reader.source {
                Source::Query => of_query.next(),
                Source::Lookups => of_results.next(),
            };
            chosen.extend(next.map(|(circumference, weights)| (*circumference, weights.as_slice())));
        }
        let far = f64::INFINITY;
        let mut noise =
            Noise { parameters: self.parameters, exact, failure_log2: -far, failures: 0.0, sums: far };
        let half_unit = scales.lookups.unit / 2;
        let mut bootstraps = Vec::with_capacity(circuit.lookups.len());
        for ((lookup, reader), (circumference, weights)) in circuit.lookups.iter().zip(&readers).zip(&chosen)
        {
            let variance = self.variance(reader, weights, *circumference, &scales);
            noise.sum(variance, *circumference, reader.deviation);
            let start = lookup.steps.window_start(*circumference);
            let sum = self.sum(reader, weights, *circumference, &scales, start);
            let lookup = lookup.clone();
            bootstraps.push(Bootstrap {
                source: reader.source,
                sum,
                circumference: *circumference,
                lookup,
                half_unit,
            });
        }
        let centre = (low + high).div_euclid(2);
        let mut outputs = Vec::with_capacity(circuit.outputs.len());
        let of_outputs = readers.iter().zip(&chosen).skip(circuit.lookups.len());
        let (mut unit, mut worst, mut signal) = (0.0, 0.0, f64::INFINITY);
        for ((reader, (circumference, weights)), output) in of_outputs.zip(&circuit.outputs) {
            unit = circumference.recip();
            // An output that is always the same has nothing to lose.
            if !reader.terms.is_empty() {
                signal = f64::min(signal, reader.deviation * unit);
            }
            worst = f64::max(worst, self.variance(reader, weights, *circumference, &scales));
            let start = (centre - output.constant) as f64;
            outputs.push(self.sum(reader, weights, *circumference, &scales, start));
        }
        let made = noise.outputs(worst, unit, signal, outputs.len());
        let centre = i32::try_from(centre).unwrap_or(0);
        let reading = Reading { centre, unit: word(unit), bits: made.bits };
        let plan = Plan {
            parameters: self.parameters,
            bootstraps: bootstraps.len(),
            depth: self.depth,
            slots: self.layout.slots(),
            outputs: outputs.len(),
            exact: noise.exact,
            failure_log2: if exact { noise.failure_log2 + noise.failures.log2() } else { 0.0 },
            sum_bits: noise.sums.log2(),
            output_bits: made.ratio.log2(),
            flood_bits: made.flood.map(|(_, ratio)| ratio.log2()),
            key_bytes: 0,
            query_bytes: 0,
            answer_bytes: 0,
        };
        Program {
            plan,
            precision: (noise.sums, made.ratio),
            layout: self.layout.clone(),
            input_unit: scales.query.unit,
            bootstraps,
            stages: self.stages(),
            outputs,
            reading,
            flood: made.flood.map(|(bits, _)| bits),
        }
    }

    fn reader(&self, lookup: &Lookup, exact: bool) -> Reader {
        let inputs = lookup.form.iter().any(|(atom, _)| matches!(atom, Atom::Input(_)));
        let (source, terms, moments) = if inputs {
            (Source::Query, self.layout.terms(&lookup.form), &self.layout.moments())
        } else {
            let terms = lookup_terms(lookup.form.iter().map(|(atom, part)| (atom, part)));
            (Source::Lookups, terms, &self.moments)
        };
        let deviation = deviation(&terms, moments);
        let (low, high) = (lookup.steps.low(), lookup.steps.high());
        let (first, last) = lookup.steps.changes().unwrap_or((low, high));
        let half = window(&lookup.steps) as f64;
        let width = (last - (first - 1)) as f64;
        let clipped = width + (CLIP_WIDTHS * width).max(CLIP_DEVIATIONS * deviation);
        let half = if exact { half } else { half.min(clipped) * (1.0 + 1.0 / SLACK) };
        Reader { source, looks_up: true, terms, circumference: 2.0 * half, deviation }
    }

    fn output_range(&self) -> (i64, i64) {
        let range = |output: &Value| {
            lookup_terms(output.parts.iter()).iter().fold(
                (output.constant, output.constant),
                |(low, high), (lookup, times)| {
                    let (least, most) = self.image(*lookup);
                    let (a, b) = (times * least, times * most);
                    (low + a.min(b), high + a.max(b))
                },
            )
        };
        let ranges = || self.circuit.outputs.iter().map(range);
        (ranges().map(|(low, _)| low).min().unwrap_or(0), ranges().map(|(_, high)| high).max().unwrap_or(0))
    }

    fn image(&self, lookup: usize) -> (i64, i64) {
        self.circuit.lookups.get(lookup).map_or((0, 0), |lookup| lookup.steps.image())
    }

    /// The scale of one source, and what its readers make of it.
    fn scale(&self, readers: &[Reader], source: Source, exact: bool) -> Scale {
        let readers: Vec<&Reader> = readers.iter().filter(|reader| reader.source == source).collect();
        let (variance, moments) = match source {
            Source::Query => (self.parameters.query_variance(), self.layout.moments()),
            Source::Lookups => (self.parameters.bootstrap_variance(), self.moments.clone()),
        };
        let largest = readers.iter().map(|reader| reader.circumference).fold(1.0, f64::max);
        if exact {
            let times = |reader: &&Reader| (largest / reader.circumference).floor();
            let weights = |reader: &&Reader| {
                reader.terms.iter().map(|(_, weight)| weight * times(reader) as i64).collect()
            };
            return Scale {
                unit: even(word(largest.recip())),
                variance,
                moments,
                circumferences: readers.iter().map(|reader| largest / times(reader)).collect(),
                weights: readers.iter().map(weights).collect(),
            };
        }
        // One unit is a power of two: from as coarse as half the torus for one of what is read, to fine.
        let mut best: (f64, u32) = (f64::INFINITY, 1);
        for log in 1..FINEST_UNIT {
            let error = |reader: &&Reader| {
                let factor = power(log) / reader.circumference;
                let term = |(index, own): &(usize, i64)| {
                    let exact = *own as f64 * factor;
                    let own = moments.get(*index).copied().unwrap_or_default();
                    let left = (exact.round() - exact) / power(log);
                    square(exact.round()) * variance + square(left) * own.variance
                };
                reader.terms.iter().map(term).sum()
            };
            let worst = readers.iter().map(error).fold(0.0, f64::max);
            if worst < best.0 {
                best = (worst, log);
            }
        }
        let weights = |reader: &&Reader| {
            let factor = power(best.1) / reader.circumference;
            reader.terms.iter().map(|(_, own)| (*own as f64 * factor).round() as i64).collect()
        };
        Scale {
            unit: word(power(best.1).recip()),
            variance,
            moments,
            circumferences: readers.iter().map(|reader| reader.circumference).collect(),
            weights: readers.iter().map(weights).collect(),
        }
    }

    /// Of a reader's sum, rounded weights included.
    fn variance(&self, reader: &Reader, weights: &[i64], turn: f64, scales: &Scales) -> f64 {
        let scale = scales.of(reader.source);
        let fraction = scale.unit as f64 / power(64);
        let factor = (fraction * turn).recip();
        let terms = reader.terms.iter().zip(weights).map(|((index, own), weight)| {
            let left = *weight as f64 - *own as f64 * factor;
            let moments = scale.moments.get(*index).copied().unwrap_or_default();
            square(*weight as f64) * scale.variance + square(left * fraction) * moments.variance
        });
        let switch = match reader.source {
            Source::Lookups if reader.looks_up => self.parameters.key_switch_variance(),
            _ => 0.0,
        };
        terms.sum::<f64>() + switch
    }

    /// The ciphertexts that a reader adds up, with `start` at phase zero.
    fn sum(&self, reader: &Reader, weights: &[i64], turn: f64, scales: &Scales, start: f64) -> Sum {
        let scale = scales.of(reader.source);
        let terms: Vec<(usize, i64)> =
            reader.terms.iter().zip(weights).map(|((index, _), weight)| (*index, *weight)).collect();
        let fraction = scale.unit as f64 / power(64);
        let factor = (fraction * turn).recip();
        // Rounded weights are right at the mean of what they multiply.
        let left = reader.terms.iter().zip(weights).map(|((index, own), weight)| {
            let mean = scale.moments.get(*index).map_or(0.0, |moments| moments.mean);
            (*weight as f64 - *own as f64 * factor) * mean
        });
        let mut constant = word(-(start / turn + left.sum::<f64>() * fraction));
        if reader.source == Source::Lookups {
            // Results are twice the value less the sum of its ends, times half a unit.
            for (lookup, weight) in &terms {
                let ends = self.circuit.lookups.get(*lookup).map_or((0, 0), |lookup| lookup.steps.ends());
                let back = weight.wrapping_mul(ends.0 + ends.1).cast_unsigned();
                constant = constant.wrapping_add(back.wrapping_mul(scale.unit / 2));
            }
        }
        Sum { terms, constant }
    }

    fn stages(&self) -> Vec<Vec<usize>> {
        let depths = self.circuit.depths();
        let of = |depth: usize| {
            let at = |(index, own): (usize, &usize)| (*own == depth).then_some(index);
            depths.iter().enumerate().filter_map(at).collect()
        };
        (1..=self.depth).map(of).collect()
    }
}

/// Adds up what can go wrong.
struct Noise {
    parameters: &'static Parameters,
    exact: bool,
    /// Log2 of the probability of the likeliest failure, and how many there are.
    failure_log2: f64,
    failures: f64,
    /// The least quotient of the deviation of a sum and that of its noise.
    sums: f64,
}

/// What outputs are made with.
struct Outputs {
    /// Bits of an answer's numbers.
    bits: u32,
    /// Log2 of the half-width of the flood, and that over the noise that it hides.
    flood: Option<(u32, f64)>,
    /// The least quotient of the deviation of an output and that of its noise.
    ratio: f64,
}

impl Noise {
    fn check(&mut self, margin: f64, deviation: f64) {
        self.exact &= margin >= EXACT_DEVIATIONS * deviation;
        self.failure_log2 = self.failure_log2.max(log2_outside(margin, deviation));
        self.failures += 1.0;
    }

    /// A look-up's sum of this variance.
    fn sum(&mut self, variance: f64, circumference: f64, signal: f64) {
        let deviation = (variance + self.parameters.switch_variance()).sqrt();
        // Places in the table are whole.
        let place = power(self.parameters.log_degree + 1).recip();
        self.check(0.5 / circumference - place, deviation);
        self.sums = self.sums.min(signal / circumference / deviation);
    }

    /// All outputs, the worst of this variance.
    fn outputs(&mut self, variance: f64, unit: f64, signal: f64, count: usize) -> Outputs {
        let variance = variance + self.parameters.zero_variance();
        let fine = |bits: &u32| self.parameters.answer_variance(*bits) <= variance / 16.0;
        let bits = (8..MOST_ANSWER_BITS).find(fine).unwrap_or(MOST_ANSWER_BITS);
        let deviation = (variance + self.parameters.answer_variance(bits)).sqrt();
        let room = unit / 2.0 - EXACT_DEVIATIONS * deviation;
        let width = |bits: u32| power(bits) / power(64);
        let widest = (0..63).rev().find(|bits| width(*bits) <= room);
        let hides = |bits: &u32| self.exact && width(*bits) >= variance.sqrt();
        let flood = widest.filter(hides).map(|bits| (bits, width(bits) / variance.sqrt()));
        let margin = unit / 2.0 - flood.map_or(0.0, |(bits, _)| width(bits));
        for _ in 0..count {
            self.check(margin, deviation);
        }
        Outputs { bits, flood, ratio: signal / deviation }
    }
}

impl Bootstrap {
    /// The table, as coefficients of a polynomial of that many.
    pub(crate) fn table(&self, degree: usize) -> Vec<u64> {
        (0..degree).map(|place| self.entry(degree, place)).collect()
    }

    pub(crate) fn entry(&self, degree: usize, place: usize) -> u64 {
        let entry = self.lookup.steps.entry(self.circumference, degree, place);
        entry.cast_unsigned().wrapping_mul(self.half_unit)
    }
}

/// The narrowest window that is right for every sum within reach: half a circumference.
pub(crate) fn window(steps: &Steps) -> i64 {
    let (low, high) = (steps.low(), steps.high());
    // Nothing is read where nothing changes, so there is a change.
    let (first, last) = steps.changes().unwrap_or((low, high));
    (high - (first - 1)).max(last - low)
}

impl Steps {
    /// Where the window starts: all changes lie in it, as far from both ends as can be.
    pub(crate) fn window_start(&self, circumference: f64) -> f64 {
        let (first, last) = self.changes().unwrap_or((self.low(), self.high()));
        ((first + last) as f64 - 1.0) / 2.0 - circumference / 4.0
    }

    /// Twice the value less those at both ends, at one of so many places of the window.
    pub(crate) fn entry(&self, circumference: f64, degree: usize, place: usize) -> i64 {
        let (low, high) = self.ends();
        let unit = circumference / (2.0 * degree as f64);
        let v = (self.window_start(circumference) + place as f64 * unit).round();
        2 * self.value(v as i64) - low - high
    }
}

/// What results of look-ups are like for a row that is uniform in its ranges, if sums were Gaussian.
fn moments(circuit: &Circuit, layout: &Layout) -> Vec<Moments> {
    let slots = layout.moments();
    let mut moments: Vec<Moments> = Vec::with_capacity(circuit.lookups.len());
    for lookup in &circuit.lookups {
        let of_slots = layout.terms(&lookup.form);
        let of_lookups = lookup_terms(lookup.form.iter().map(|(atom, part)| (atom, part)));
        let mean = mean_of(&of_slots, &slots) + mean_of(&of_lookups, &moments);
        let deviation = square(deviation(&of_slots, &slots)) + square(deviation(&of_lookups, &moments));
        let deviation = deviation.sqrt();
        let at = |quantile: f64| lookup.steps.value((mean + deviation * quantile).round() as i64) as f64;
        let values: Vec<f64> = NORMAL.iter().flat_map(|quantile| [at(*quantile), at(-quantile)]).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|value| square(value - mean)).sum::<f64>() / values.len() as f64;
        moments.push(Moments { mean, variance });
    }
    moments
}

fn mean_of(terms: &[(usize, i64)], moments: &[Moments]) -> f64 {
    terms.iter().map(|(index, times)| moments.get(*index).map_or(0.0, |own| own.mean) * *times as f64).sum()
}

fn deviation(terms: &[(usize, i64)], moments: &[Moments]) -> f64 {
    let one = |(index, times): &(usize, i64)| {
        moments.get(*index).map_or(0.0, |own| own.variance) * square(*times as f64)
    };
    terms.iter().map(one).sum::<f64>().sqrt()
}

/// Middles of the eighths of the upper half of a Gaussian.
const NORMAL: [f64; 8] = [0.0784, 0.2373, 0.4023, 0.5791, 0.7764, 1.0100, 1.3180, 1.8627];

fn lookup_terms<'a>(parts: impl Iterator<Item = (&'a Atom, &'a Part)>) -> Vec<(usize, i64)> {
    let term = |(atom, part): (&Atom, &Part)| match (atom, part) {
        (Atom::Lookup(lookup), Part::Times(times)) => Some((*lookup as usize, *times)),
        _ => None,
    };
    parts.filter_map(term).collect()
}

/// A fraction of the torus in units of `2^-64`; whole turns do not count.
fn word(fraction: f64) -> u64 {
    let inside = fraction - fraction.floor();
    // Less than one, so less than 2^64, and a cast of what rounds up to it saturates.
    (inside * power(64)) as u64
}

/// Without its lowest bit.
fn even(word: u64) -> u64 {
    word & !1
}

/// Finest unit that is tried: `2^-40`.
const FINEST_UNIT: u32 = 40;
/// Most bits of each number of an answer.
const MOST_ANSWER_BITS: u32 = 40;
