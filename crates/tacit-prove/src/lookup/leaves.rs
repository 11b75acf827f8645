//! The leaves: fractions that columns and tables stand for.
//!
//! In front are uses, in blocks long enough for a whole group: numerator one, denominator `base - input - beta * output`. They
//! stay columns of base elements until the first round over them is done. Sums and products of two or four of them are
//! combinations, with coefficients that are the same for the whole segment, of a few products of base elements.

use p3_field::{BasedVectorSpace, PackedValue, PrimeCharacteristicRing};
use tacit_graph::Graph;
use tacit_verify::{
    field::{EF_DEGREE, Ef, Fp, embed},
    lookup::{BLOCK_VARS, Fingerprint},
    plan::{LeafKind, LookupInput, Plan, TableKind, TablePlan},
};

use super::level::{BLOCK, GROUP, Level, PAIR, Sum, Weights, add_blocks};
use crate::{
    poly::{PackedEf, PackedFp, pack, sum_lanes},
    prove::Run,
    sumcheck::send_round,
    transcript::Transcript,
};

/// All leaves.
pub(super) struct Leaves<'a> {
    vars: usize,
    beta: Ef,
    segments: Vec<Segment<'a>>,
    /// Numerators and denominators of all leaves behind the segments.
    rest: (Vec<PackedEf>, Vec<PackedEf>),
}

/// Uses of one table by one column, a multiple of a group.
struct Segment<'a> {
    base: Ef,
    input: &'a [PackedFp],
    output: Option<&'a [PackedFp]>,
}

impl<'a> Leaves<'a> {
    pub(super) fn new(
        plan: &Plan,
        graph: &Graph,
        vars: usize,
        run: &'a Run,
        fingerprint: Fingerprint,
    ) -> Self {
        let front = |block: &&tacit_verify::plan::LeafBlock| {
            block.vars >= BLOCK_VARS + 2 && block.kind != LeafKind::Rows
        };
        let fronts = plan.leaves.iter().take_while(front).count();
        let mut segments = Vec::with_capacity(fronts);
        let mut rest = Rest::default();
        for (index, block) in plan.leaves.iter().enumerate() {
            let table = &plan.tables[block.table];
            let base = fingerprint.base(table.tag);
            match block.kind {
                LeafKind::Uses { input, output } => {
                    let input = match input {
                        LookupInput::Column(column) => &run.witness.columns[column],
                        LookupInput::Virtual(place) => &run.virtuals[place],
                    };
                    let output = output.map(|output| run.witness.columns[output].as_slice());
                    if index < fronts {
                        let (input, output) = (PackedFp::pack_slice(input), output.map(PackedFp::pack_slice));
                        segments.push(Segment { base, input, output });
                    } else {
                        rest.add(base, fingerprint.beta, input, output, None);
                    }
                }
                LeafKind::Rows => {
                    let (input, output) = table_rows(table, graph);
                    let count = &run.witness.columns[table.count];
                    rest.add(base, fingerprint.beta, &input, output.as_deref(), Some(count));
                }
            }
        }
        Self { vars, beta: fingerprint.beta, segments, rest: rest.blocks() }
    }

    /// The leaves as a level, if none of them are better left as they are.
    pub(super) fn into_level(self) -> Result<Level, Self> {
        if self.segments.is_empty() {
            let (p, q) = self.rest;
            return Ok(Level::new(self.vars, p, q));
        }
        Err(self)
    }

    /// The level above.
    pub(super) fn parents(&self) -> Level {
        let blocks = self.segments.iter().map(|segment| segment.input.len() / PAIR).sum::<usize>();
        let mut p = Vec::with_capacity(blocks * BLOCK + self.rest.0.len() / 2 + PAIR);
        let mut q = Vec::with_capacity(blocks * BLOCK + self.rest.0.len() / 2 + PAIR);
        for segment in &self.segments {
            segment.parents(self.beta, &mut p, &mut q);
        }
        let rest = add_blocks(&self.rest.0, &self.rest.1);
        p.extend(rest.0);
        q.extend(rest.1);
        Level::new(self.vars - 1, p, q)
    }

    /// The sum over the leaves, from the claim about the level above at `point`; gives its rounds and ends.
    pub(super) fn prove(self, point: &[Ef], lambda: Ef, transcript: &mut Transcript) -> (Vec<Ef>, [Ef; 4]) {
        let (p, q) = self.rest;
        let mut sum = Sum::new(p, q, point, lambda);
        let weights = sum.weights();
        let front: usize = self.segments.iter().map(|segment| segment.input.len() / GROUP).sum();
        let (mut at_zero, mut square) = sum.behind(front, &weights);
        let mut first = 0;
        for segment in &self.segments {
            let part = segment.round(first, self.beta, lambda, &weights);
            at_zero += part.0;
            square += part.1;
            first += segment.input.len() / GROUP;
        }
        let mut rounds = Vec::new();
        let r = send_round(at_zero, square, &mut rounds, transcript);
        let mut ones = Vec::with_capacity(front * PAIR);
        for segment in &self.segments {
            segment.bind(r, self.beta, lambda, &mut ones);
        }
        sum.ones_bound(ones, r);
        let ends = sum.prove(&mut rounds, transcript);
        (rounds, ends)
    }
}

impl Segment<'_> {
    /// `1 / q0 + 1 / q1` for every two blocks.
    fn parents(&self, beta: Ef, p: &mut Vec<PackedEf>, q: &mut Vec<PackedEf>) {
        let (twice, square) = (PackedEf::from(self.base.double()), PackedEf::from(self.base.square()));
        let Some(output) = self.output else {
            let base = PackedEf::from(self.base);
            for input in self.input.chunks_exact(PAIR) {
                for lane in 0..BLOCK {
                    let (a, b) = (input[lane], input[BLOCK + lane]);
                    p.push(twice - (a + b));
                    q.push(square - base * (a + b) + a * b);
                }
            }
            return;
        };
        let packed_beta = PackedEf::from(beta);
        let coefficients = transpose([-self.base, -self.base * beta, beta, beta * beta]);
        for (input, output) in self.input.chunks_exact(PAIR).zip(output.chunks_exact(PAIR)) {
            for lane in 0..BLOCK {
                let (a, b) = (input[lane], input[BLOCK + lane]);
                let (c, d) = (output[lane], output[BLOCK + lane]);
                p.push(twice - packed_beta * (c + d) - (a + b));
                let cross = PackedFp::dot_product(&[a, b], &[d, c]);
                q.push(square + combine(&[a + b, c + d, cross, c * d], &coefficients) + a * b);
            }
        }
    }

    /// Its part of the first round polynomial: value at zero and leading coefficient. With `g = q0 + q1 + lambda q0 q1`.
    fn round(&self, first: usize, beta: Ef, lambda: Ef, weights: &Weights) -> (Ef, Ef) {
        let groups = self.input.len() / GROUP;
        // Sums of input, of products of inputs at zero and of leading coefficients; then those that have outputs in them.
        let mut inputs = [PackedEf::ZERO; 3];
        let mut outputs = [PackedEf::ZERO; 5];
        weights.runs(first, groups, |groups, outer, inner| {
            let range = groups.start * GROUP..groups.end * GROUP;
            let outer = PackedEf::from(outer);
            let input = &self.input[range.clone()];
            match self.output {
                None => add_scaled(&mut inputs, outer, sums_of_inputs(input, inner)),
                Some(output) => {
                    let sums = sums_of_pairs(input, &output[range], inner);
                    add_scaled(&mut inputs, outer, sums.0);
                    add_scaled(&mut outputs, outer, sums.1);
                }
            }
        });
        let mass = weights.below(first + groups) - weights.below(first);
        let [sum, product, leading] = inputs.map(sum_lanes);
        let [out_sum, cross, out_product, leading_cross, leading_out] = outputs.map(sum_lanes);
        let scale = Ef::ONE + lambda * self.base;
        let at_zero = mass * (self.base + self.base * scale) - scale * (sum + beta * out_sum)
            + lambda * (product + beta * (cross + beta * out_product));
        (at_zero, lambda * (leading + beta * (leading_cross + beta * leading_out)))
    }

    /// `1 + lambda q` for all denominators, their first variable bound.
    fn bind(&self, r: Ef, beta: Ef, lambda: Ef, ones: &mut Vec<PackedEf>) {
        let constant = PackedEf::from(Ef::ONE + lambda * self.base);
        let Some(output) = self.output else {
            let coefficients = transpose([-lambda, -lambda * r]);
            for input in self.input.chunks_exact(GROUP) {
                let values = |lane: usize| {
                    let low = input[lane];
                    constant + combine(&[low, input[PAIR + lane] - low], &coefficients)
                };
                ones.extend((0..PAIR).map(values));
            }
            return;
        };
        let coefficients = transpose([-lambda, -lambda * r, -lambda * beta, -lambda * beta * r]);
        for (input, output) in self.input.chunks_exact(GROUP).zip(output.chunks_exact(GROUP)) {
            let values = |lane: usize| {
                let (a, b) = (input[lane], output[lane]);
                let parts = [a, input[PAIR + lane] - a, b, output[PAIR + lane] - b];
                constant + combine(&parts, &coefficients)
            };
            ones.extend((0..PAIR).map(values));
        }
    }
}

/// Weighed sums of `a + b`, of `a b` and of `da db`, for the even and odd children `a, b`.
fn sums_of_inputs(input: &[PackedFp], weights: &[PackedEf]) -> [PackedEf; 3] {
    let mut sums = [PackedEf::ZERO; 3];
    for (input, weights) in input.chunks_exact(GROUP).zip(weights.chunks_exact(BLOCK)) {
        for lane in 0..BLOCK {
            let (weight, a, b) = (weights[lane], input[lane], input[BLOCK + lane]);
            let (da, db) = (input[PAIR + lane] - a, input[PAIR + BLOCK + lane] - b);
            sums[0] += weight * (a + b);
            sums[1] += weight * (a * b);
            sums[2] += weight * (da * db);
        }
    }
    sums
}

/// The same, and with the outputs `c, d`: of `c + d`, `a d + b c`, `c d`, `da dd + db dc` and `dc dd`.
fn sums_of_pairs(
    input: &[PackedFp],
    output: &[PackedFp],
    weights: &[PackedEf],
) -> ([PackedEf; 3], [PackedEf; 5]) {
    let mut inputs = [PackedEf::ZERO; 3];
    let mut outputs = [PackedEf::ZERO; 5];
    let groups = input.chunks_exact(GROUP).zip(output.chunks_exact(GROUP));
    for ((input, output), weights) in groups.zip(weights.chunks_exact(BLOCK)) {
        for lane in 0..BLOCK {
            let weight = weights[lane];
            let (a, b) = (input[lane], input[BLOCK + lane]);
            let (c, d) = (output[lane], output[BLOCK + lane]);
            let (da, db) = (input[PAIR + lane] - a, input[PAIR + BLOCK + lane] - b);
            let (dc, dd) = (output[PAIR + lane] - c, output[PAIR + BLOCK + lane] - d);
            inputs[0] += weight * (a + b);
            inputs[1] += weight * (a * b);
            inputs[2] += weight * (da * db);
            outputs[0] += weight * (c + d);
            outputs[1] += weight * PackedFp::dot_product(&[a, b], &[d, c]);
            outputs[2] += weight * (c * d);
            outputs[3] += weight * PackedFp::dot_product(&[da, db], &[dd, dc]);
            outputs[4] += weight * (dc * dd);
        }
    }
    (inputs, outputs)
}

fn add_scaled<const N: usize>(sums: &mut [PackedEf; N], scale: PackedEf, more: [PackedEf; N]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += scale * more;
    }
}

/// Coefficients by power of the extension's generator, in every lane.
fn transpose<const N: usize>(values: [Ef; N]) -> [[PackedFp; N]; EF_DEGREE] {
    core::array::from_fn(|power| {
        values.map(|value| {
            let coefficients: &[Fp] = value.as_basis_coefficients_slice();
            PackedFp::from(coefficients[power])
        })
    })
}

/// `sum_i coefficients[i] * values[i]`.
fn combine<const N: usize>(values: &[PackedFp; N], coefficients: &[[PackedFp; N]; EF_DEGREE]) -> PackedEf {
    PackedEf::from_basis_coefficients_fn(|power| PackedFp::dot_product(values, &coefficients[power]))
}

/// Leaves that are written down: whole blocks, then what is shorter than a block.
#[derive(Default)]
struct Rest {
    blocks: (Vec<PackedEf>, Vec<PackedEf>),
    tail: (Vec<Ef>, Vec<Ef>),
}

impl Rest {
    /// Adds uses, or rows with their counts. Longer ones come first.
    fn add(&mut self, base: Ef, beta: Ef, input: &[Fp], output: Option<&[Fp]>, count: Option<&[Fp]>) {
        if input.len() < 1 << BLOCK_VARS {
            for (index, value) in input.iter().enumerate() {
                let output = output.map_or(Fp::ZERO, |output| output[index]);
                self.tail.0.push(count.map_or(Ef::ONE, |count| -Ef::from(count[index])));
                self.tail.1.push(base - *value - beta * output);
            }
            return;
        }
        let (base, beta) = (PackedEf::from(base), PackedEf::from(beta));
        let (p, q) = &mut self.blocks;
        let input = PackedFp::pack_slice(input);
        match output.map(PackedFp::pack_slice) {
            Some(output) => {
                q.extend(input.iter().zip(output).map(|(input, output)| base - beta * *output - *input));
            }
            None => q.extend(input.iter().map(|input| base - *input)),
        }
        match count.map(PackedFp::pack_slice) {
            Some(count) => p.extend(count.iter().map(|count| -PackedEf::from(*count))),
            None => p.resize(q.len(), PackedEf::ONE),
        }
    }

    /// Everything in an even number of blocks.
    fn blocks(mut self) -> (Vec<PackedEf>, Vec<PackedEf>) {
        let tail = self.tail.0.len().next_multiple_of(1 << BLOCK_VARS);
        self.tail.0.resize(tail, Ef::ZERO);
        self.tail.1.resize(tail, Ef::ONE);
        let (mut p, mut q) = self.blocks;
        p.extend(pack(&self.tail.0));
        q.extend(pack(&self.tail.1));
        let len = p.len().next_multiple_of(PAIR);
        p.resize(len, PackedEf::ZERO);
        q.resize(len, PackedEf::ONE);
        (p, q)
    }
}

/// The rows of a table as columns.
fn table_rows(table: &TablePlan, graph: &Graph) -> (Vec<Fp>, Option<Vec<Fp>>) {
    let len = 1i32 << table.vars;
    match table.kind {
        TableKind::Range => ((0..len).map(embed).collect(), None),
        TableKind::Positive => (
            (-len / 2..len / 2).map(embed).collect(),
            Some((-len / 2..len / 2).map(|difference| embed(difference.max(0))).collect()),
        ),
        TableKind::Activation(index) => {
            let values = graph.tables[index].values.iter().map(|value| embed(i32::from(*value))).collect();
            ((-len / 2..len / 2).map(embed).collect(), Some(values))
        }
    }
}

#[cfg(test)]
mod tests {
    use p3_blake3::Blake3;
    use p3_field::PrimeCharacteristicRing;
    use tacit_verify::{
        commitment::Challenger, context::Plain, lookup::leaf_point, multilinear::eq_table, reader::Reader,
        sumcheck::Rounds,
    };

    use super::*;

    fn element(seed: usize) -> Ef {
        Ef::new(core::array::from_fn(|power| base(seed * 5 + power)))
    }

    fn base(seed: usize) -> Fp {
        Fp::from_u64(seed as u64 + 3).exp_u64(41)
    }

    /// The fraction at every leaf, in the order of the tree.
    fn in_tree_order(leaves: &[Ef], vars: usize) -> Vec<Ef> {
        (0..1usize << vars)
            .map(|index| {
                let bits = (0..vars).rev().map(|bit| Ef::from_bool(index >> bit & 1 == 1)).collect();
                let at = leaf_point(bits).iter().fold(0, |at, bit| 2 * at + usize::from(*bit == Ef::ONE));
                leaves[at]
            })
            .collect()
    }

    fn evaluate(values: &[Ef], point: &[Ef]) -> Ef {
        eq_table(point).iter().zip(values).map(|(weight, value)| *weight * *value).sum()
    }

    /// Groups of segments with and without outputs, blocks behind them, and all leaves that there are room for.
    fn check(vars: usize, plain: usize, paired: usize, rest: usize) {
        let column = |seed: usize, groups: usize| -> Vec<Fp> {
            (0..groups << (BLOCK_VARS + 2)).map(|index| base(seed + index)).collect()
        };
        let (limbs, inputs, outputs) = (column(1, plain), column(2000, paired), column(5000, paired));
        let (beta, bases) = (element(1), [element(2), element(3)]);
        let mut p = vec![Ef::ONE; (plain + paired) << (BLOCK_VARS + 2)];
        let mut q: Vec<Ef> = limbs.iter().map(|value| bases[0] - *value).collect();
        q.extend(inputs.iter().zip(&outputs).map(|(input, output)| bases[1] - *input - beta * *output));
        let tail: Vec<(Ef, Ef)> =
            (0..rest << BLOCK_VARS).map(|index| (element(index + 60), element(index + 9000))).collect();
        p.extend(tail.iter().map(|tail| tail.0));
        q.extend(tail.iter().map(|tail| tail.1));
        assert!(p.len() <= 1 << vars);
        p.resize(1 << vars, Ef::ZERO);
        q.resize(1 << vars, Ef::ONE);
        let (p, q) = (in_tree_order(&p, vars), in_tree_order(&q, vars));

        let mut segments = Vec::new();
        for (base, input, output) in [(bases[0], &limbs, None), (bases[1], &inputs, Some(&outputs))] {
            if !input.is_empty() {
                let output = output.map(|output: &Vec<Fp>| PackedFp::pack_slice(output));
                segments.push(Segment { base, input: PackedFp::pack_slice(input), output });
            }
        }
        let tail = (tail.iter().map(|tail| tail.0).collect(), tail.iter().map(|tail| tail.1).collect());
        let rest = Rest { tail, ..Rest::default() }.blocks();
        let leaves = Leaves { vars, beta, segments, rest };

        let (p0, p1) = p.split_at(p.len() / 2);
        let (q0, q1) = q.split_at(q.len() / 2);
        let sums: Vec<Ef> = (0..p0.len()).map(|x| p0[x] * q1[x] + p1[x] * q0[x]).collect();
        let products: Vec<Ef> = q0.iter().zip(q1).map(|(a, b)| *a * *b).collect();

        let point: Vec<Ef> = (0..vars - 1).map(|index| element(index + 700)).collect();
        let lambda = element(7);
        let claim = evaluate(&sums, &point) + lambda * evaluate(&products, &point);
        let challenger = Challenger::from_hasher(vec![7], Blake3);
        let mut transcript = Transcript::plain(challenger.clone(), Vec::new());
        let (rounds, ends) = match leaves.into_level() {
            Ok(Level::Scalars { p, q }) => {
                super::super::level::prove_scalars(p, q, &point, lambda, &mut transcript)
            }
            Ok(Level::Blocks { p, q, .. }) => {
                let mut rounds = Vec::new();
                let ends = Sum::new(p, q, &point, lambda).prove(&mut rounds, &mut transcript);
                (rounds, ends)
            }
            Err(leaves) => {
                let (mut p, mut q) = leaves.parents().into_scalars();
                p.resize(1 << (vars - 1), Ef::ZERO);
                q.resize(1 << (vars - 1), Ef::ONE);
                assert_eq!(in_tree_order(&p, vars - 1), sums);
                assert_eq!(in_tree_order(&q, vars - 1), products);
                leaves.prove(&point, lambda, &mut transcript)
            }
        };
        let mut challenger = challenger;
        let mut reader = Reader::new(&transcript.proof);
        let checked = Rounds::weighted(&point, claim, &mut Plain::new(&mut challenger, &mut reader)).unwrap();
        let [weighted, end_p1, end_q0, end_q1] = ends;
        assert_eq!(checked.point, rounds);
        assert_eq!(checked.value, weighted * end_q1 + end_p1 * end_q0);
        let expected = [p0, p1, q0, q1].map(|values| evaluate(values, &rounds));
        assert_eq!([weighted - lambda * end_q0, end_p1, end_q0, end_q1], expected);
    }

    #[test]
    fn sums_are_those_of_the_definition() {
        for (vars, plain, paired, rest) in [
            (4, 0, 0, 1),
            (5, 0, 0, 1),
            (5, 0, 0, 2),
            (6, 0, 0, 3),
            (6, 1, 0, 0),
            (7, 1, 0, 0),
            (7, 1, 1, 0),
            (7, 0, 1, 3),
            (8, 1, 2, 1),
            (9, 0, 3, 0),
            (9, 3, 2, 7),
            (10, 4, 4, 0),
            (10, 8, 1, 5),
            (11, 13, 6, 9),
        ] {
            check(vars, plain, paired, rest);
        }
    }
}
