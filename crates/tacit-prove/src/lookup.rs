//! Look-up prover: builds the tree of fractions and walks it from the root (see [`tacit_verify::lookup`]).

use p3_field::{Field, PackedValue, PrimeCharacteristicRing};
use tacit_graph::Graph;
use tacit_verify::{
    field::{Ef, Fp, embed},
    lookup::{Fingerprint, looked_up, suffix},
    plan::{LeafKind, LookupInput, Plan, TableKind, TablePlan},
};

use crate::{
    poly::{
        Lane, PackedEf, PackedFp, Poly, WIDTH, bind, dot, dot_packed, eq_packed, pack, sum_lanes, unpack,
    },
    prove::Run,
    sumcheck::{halve, send_round},
    transcript::Transcript,
};

/// One level of the tree: numerators and denominators.
#[derive(Debug)]
struct Level {
    numerators: Poly,
    denominators: Poly,
}

/// Claims about all columns at suffixes of one point.
#[derive(Debug)]
pub(crate) struct ColumnClaims {
    pub(crate) point: Vec<Ef>,
}

/// Proves all look-ups of `run`.
pub(crate) fn prove(
    plan: &Plan,
    graph: &Graph,
    leaf_vars: usize,
    run: &Run,
    transcript: &mut Transcript,
) -> ColumnClaims {
    let fingerprint = Fingerprint { alpha: transcript.challenge(), beta: transcript.challenge() };
    let mut levels = vec![leaves(plan, graph, leaf_vars, run, fingerprint)];
    for _ in 1..leaf_vars {
        if let Some(level) = levels.last() {
            levels.push(level.parent());
        }
    }
    let point = prove_tree(levels, transcript);
    let mut tables: Vec<Option<Vec<PackedEf>>> = vec![None; leaf_vars + 1];
    let columns = &run.witness.columns[looked_up(plan)];
    for values in columns.iter().chain(&run.virtuals).map(Vec::as_slice) {
        let vars = values.len().trailing_zeros() as usize;
        let point = suffix(&point, vars);
        let value = if values.len() < WIDTH {
            dot(&tacit_verify::multilinear::eq_table(point), values)
        } else {
            let table = tables[vars].get_or_insert_with(|| eq_packed(point, Ef::ONE));
            dot_packed(table, PackedFp::pack_slice(values))
        };
        transcript.send(value);
    }
    ColumnClaims { point }
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

fn leaves(plan: &Plan, graph: &Graph, leaf_vars: usize, run: &Run, fingerprint: Fingerprint) -> Level {
    let len = 1usize << leaf_vars;
    let mut tail = (Vec::new(), Vec::new());
    let mut numerators = Vec::with_capacity(len / WIDTH);
    let mut denominators = Vec::with_capacity(len / WIDTH);
    for block in &plan.leaves {
        let table = &plan.tables[block.table];
        let base = fingerprint.base(table.tag);
        let rows;
        let (input, output, count): (&[Fp], Option<&[Fp]>, Option<&[Fp]>) = match block.kind {
            LeafKind::Uses { input, output } => {
                let input = match input {
                    LookupInput::Column(column) => &run.witness.columns[column],
                    LookupInput::Virtual(place) => &run.virtuals[place],
                };
                (input, output.map(|output| run.witness.columns[output].as_slice()), None)
            }
            LeafKind::Rows => {
                rows = table_rows(table, graph);
                (&rows.0, rows.1.as_deref(), Some(&run.witness.columns[table.count]))
            }
        };
        // Blocks come longest first, so once one is shorter than a register, so is the rest.
        if input.len() < WIDTH {
            for (index, value) in input.iter().enumerate() {
                let output = output.map_or(Fp::ZERO, |output| output[index]);
                tail.0.push(count.map_or(Ef::ONE, |count| -Ef::from(count[index])));
                tail.1.push(base - *value - fingerprint.beta * output);
            }
            continue;
        }
        let (base, beta) = (PackedEf::from(base), PackedEf::from(fingerprint.beta));
        let input = PackedFp::pack_slice(input);
        match output.map(PackedFp::pack_slice) {
            Some(output) => {
                denominators
                    .extend(input.iter().zip(output).map(|(input, output)| base - beta * *output - *input));
            }
            None => denominators.extend(input.iter().map(|input| base - *input)),
        }
        match count.map(PackedFp::pack_slice) {
            Some(count) => numerators.extend(count.iter().map(|count| -PackedEf::from(*count))),
            None => numerators.resize(denominators.len(), PackedEf::ONE),
        }
    }
    let left = len - denominators.len() * WIDTH;
    if len < 2 * WIDTH {
        let (mut top, mut bottom) = (unpack(&numerators), unpack(&denominators));
        top.extend(tail.0);
        bottom.extend(tail.1);
        top.resize(len, Ef::ZERO);
        bottom.resize(len, Ef::ONE);
        return Level { numerators: Poly::Scalar(top), denominators: Poly::Scalar(bottom) };
    }
    let packed_tail = tail.0.len().next_multiple_of(WIDTH).min(left);
    tail.0.resize(packed_tail, Ef::ZERO);
    tail.1.resize(packed_tail, Ef::ONE);
    numerators.extend(pack(&tail.0));
    denominators.extend(pack(&tail.1));
    numerators.resize(len / WIDTH, PackedEf::ZERO);
    denominators.resize(len / WIDTH, PackedEf::ONE);
    Level { numerators: Poly::Packed(numerators), denominators: Poly::Packed(denominators) }
}

impl Level {
    /// Adds fractions `i` and `i + half`.
    fn parent(&self) -> Self {
        match (&self.numerators, &self.denominators) {
            (Poly::Packed(p), Poly::Packed(q)) => {
                let (p, q) = add_halves(p, q);
                Self { numerators: Poly::from_packed(p), denominators: Poly::from_packed(q) }
            }
            (Poly::Scalar(p), Poly::Scalar(q)) => {
                let (p, q) = add_halves(p, q);
                Self { numerators: Poly::Scalar(p), denominators: Poly::Scalar(q) }
            }
            _ => Self { numerators: Poly::Scalar(Vec::new()), denominators: Poly::Scalar(Vec::new()) },
        }
    }
}

fn add_halves<E: Lane>(p: &[E], q: &[E]) -> (Vec<E>, Vec<E>) {
    let (p0, p1) = p.split_at(p.len() / 2);
    let (q0, q1) = q.split_at(q.len() / 2);
    let pairs = p0.iter().zip(p1).zip(q0.iter().zip(q1));
    pairs.map(|((p0, p1), (q0, q1))| (*p0 * *q1 + *p1 * *q0, *q0 * *q1)).unzip()
}

fn prove_tree(mut levels: Vec<Level>, transcript: &mut Transcript) -> Vec<Ef> {
    let Some(root) = levels.pop() else { return Vec::new() };
    // Where registers hold one element (no vector unit), even the root comes packed.
    let (p, q) = (scalars(root.numerators), scalars(root.denominators));
    for value in p.iter().chain(&q) {
        transcript.send(*value);
    }
    let product: Ef = q.into_iter().product();
    // A zero denominator has no inverse; the verifier refuses whatever stands here.
    transcript.send(product.try_inverse().unwrap_or_default());
    let mut point = vec![transcript.challenge()];
    while let Some(level) = levels.pop() {
        let lambda = transcript.challenge();
        let (rounds, ends) = match (level.numerators, level.denominators) {
            (Poly::Packed(p), Poly::Packed(q)) if p.len() >= 4 => {
                prove_packed(p, q, &point, lambda, transcript)
            }
            (p, q) => {
                let (p, q) = (scalars(p), scalars(q));
                let weights = tacit_verify::multilinear::eq_table(&point[1..]);
                let mut rounds = Vec::new();
                let layer = Layer::new(p, q, weights, lambda);
                let ends = layer.finish(&mut rounds, transcript);
                (rounds, ends)
            }
        };
        let [weighted, p1, q0, q1] = ends;
        for value in [weighted - lambda * q0, p1, q0, q1] {
            transcript.send(value);
        }
        let r = transcript.challenge();
        point = core::iter::once(r).chain(rounds).collect();
    }
    point
}

fn scalars(poly: Poly) -> Vec<Ef> {
    match poly {
        Poly::Packed(values) => unpack(&values),
        Poly::Scalar(values) => values,
    }
}

fn prove_packed(
    p: Vec<PackedEf>,
    q: Vec<PackedEf>,
    point: &[Ef],
    lambda: Ef,
    transcript: &mut Transcript,
) -> (Vec<Ef>, [Ef; 4]) {
    let mut layer = Layer::new(p, q, eq_packed(&point[1..], Ef::ONE), lambda);
    let mut rounds = Vec::new();
    loop {
        let (at_zero, square) = layer.round();
        let r = send_round(sum_lanes(at_zero), sum_lanes(square), &mut rounds, transcript);
        layer.bind(r);
        if layer.q0.len() < 2 {
            break;
        }
        layer.drop_weight();
    }
    let mut weights = unpack(&layer.weights);
    halve(&mut weights);
    let arrays = [layer.weighted, layer.p1, layer.q0, layer.q1].map(|values| unpack(&values));
    let [weighted, p1, q0, q1] = arrays;
    let layer = Layer { weighted, p1, q0, q1, weights };
    let ends = layer.finish(&mut rounds, transcript);
    (rounds, ends)
}

/// The four halves of a level and the public weights, while a sumcheck binds them.
#[derive(Debug)]
struct Layer<E> {
    /// `p0 + lambda q0`.
    weighted: Vec<E>,
    p1: Vec<E>,
    q0: Vec<E>,
    q1: Vec<E>,
    /// `eq` over the variables after the one being bound: half as long as the others.
    weights: Vec<E>,
}

impl<E: Lane> Layer<E> {
    fn new(mut p: Vec<E>, mut q: Vec<E>, weights: Vec<E>, lambda: Ef) -> Self {
        let lambda = E::from(lambda);
        let half = p.len() / 2;
        let (p1, q1) = (p.split_off(half), q.split_off(half));
        for (p, q) in p.iter_mut().zip(&q) {
            *p += lambda * *q;
        }
        Self { weighted: p, p1, q0: q, q1, weights }
    }

    /// Value at zero and leading coefficient of the round polynomial without its public factor.
    fn round(&self) -> (E, E) {
        let half = self.q0.len() / 2;
        let (a0, a1) = self.weighted.split_at(half);
        let (b0, b1) = self.p1.split_at(half);
        let (c0, c1) = self.q0.split_at(half);
        let (d0, d1) = self.q1.split_at(half);
        let (mut at_zero, mut square) = (E::ZERO, E::ZERO);
        for index in 0..half {
            let weight = self.weights[index];
            let (a, b, c, d) = (a0[index], b0[index], c0[index], d0[index]);
            at_zero += weight * (a * d + b * c);
            let (a, b, c, d) = (a1[index] - a, b1[index] - b, c1[index] - c, d1[index] - d);
            square += weight * (a * d + b * c);
        }
        (at_zero, square)
    }

    fn bind(&mut self, r: Ef) {
        for values in [&mut self.weighted, &mut self.p1, &mut self.q0, &mut self.q1] {
            bind(values, r);
        }
    }

    /// Sums the next variable out of the weights.
    fn drop_weight(&mut self) {
        halve(&mut self.weights);
    }
}

impl Layer<Ef> {
    fn finish(mut self, rounds: &mut Vec<Ef>, transcript: &mut Transcript) -> [Ef; 4] {
        while self.q0.len() > 1 {
            let (at_zero, square) = self.round();
            let r = send_round(at_zero, square, rounds, transcript);
            self.bind(r);
            self.drop_weight();
        }
        [&self.weighted, &self.p1, &self.q0, &self.q1]
            .map(|values| values.first().copied().unwrap_or_default())
    }
}
