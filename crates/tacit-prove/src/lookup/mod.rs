//! Look-up prover: builds the tree of fractions and walks it from the root (see [`tacit_verify::lookup`]).
//!
//! # Cost
//! Leaves are never written down. Most have numerator one and a denominator that is affine in one or two base elements
//! ([`leaves`]), so the first level is made, and the first round over it proved, mostly in the base field; after
//! that a leaf is one extension element, not two. Padding is left out of every level ([`level`]).

mod leaves;
mod level;

use p3_field::{Field, PackedValue, PrimeCharacteristicRing};
use tacit_graph::Graph;
use tacit_verify::{
    field::Ef,
    lookup::{Fingerprint, leaf_point, looked_up, suffix},
    multilinear::eq_table,
    plan::Plan,
};

use self::{
    leaves::Leaves,
    level::{Level, Sum, prove_scalars},
};
use crate::{
    poly::{PackedEf, PackedFp, WIDTH, dot, dot_packed, eq_packed},
    prove::Run,
    transcript::Transcript,
};

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
    let leaves = Leaves::new(plan, graph, leaf_vars, run, fingerprint);
    let point = leaf_point(prove_tree(leaves, transcript));
    let mut tables: Vec<Option<Vec<PackedEf>>> = vec![None; leaf_vars + 1];
    let columns = &run.witness.columns[looked_up(plan)];
    for values in columns.iter().chain(&run.virtuals).map(Vec::as_slice) {
        let vars = values.len().trailing_zeros() as usize;
        let point = suffix(&point, vars);
        let value = if values.len() < WIDTH {
            dot(&eq_table(point), values)
        } else {
            let table = tables[vars].get_or_insert_with(|| eq_packed(point, Ef::ONE));
            dot_packed(table, PackedFp::pack_slice(values))
        };
        transcript.send(value);
    }
    ColumnClaims { point }
}

/// What of the tree is still to be proved, the root last.
enum Stage<'a> {
    Level(Level),
    Leaves(Leaves<'a>),
}

fn prove_tree(leaves: Leaves<'_>, transcript: &mut Transcript) -> Vec<Ef> {
    let mut stages = Vec::new();
    let mut level = match leaves.into_level() {
        Ok(level) => level,
        Err(leaves) => {
            let parents = leaves.parents();
            stages.push(Stage::Leaves(leaves));
            parents
        }
    };
    while level.vars() > 1 {
        let parent = level.parent();
        stages.push(Stage::Level(level));
        level = parent;
    }
    let (p, q) = level.into_scalars();
    for value in p.iter().chain(&q) {
        transcript.send(*value);
    }
    let product: Ef = q.into_iter().product();
    // A zero denominator has no inverse; the verifier refuses whatever stands here.
    transcript.send(product.try_inverse().unwrap_or_default());
    let mut point = vec![transcript.challenge()];
    while let Some(stage) = stages.pop() {
        let lambda = transcript.challenge();
        let (rounds, ends) = match stage {
            Stage::Leaves(leaves) => leaves.prove(&point, lambda, transcript),
            Stage::Level(Level::Scalars { p, q }) => prove_scalars(p, q, &point, lambda, transcript),
            Stage::Level(Level::Blocks { p, q, .. }) => {
                let mut rounds = Vec::new();
                let ends = Sum::new(p, q, &point, lambda).prove(&mut rounds, transcript);
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
