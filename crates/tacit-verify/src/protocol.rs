//! The whole argument, from public rows to openings of two commitments.
//!
//! # Protocol
//! 1. All look-ups ([`crate::lookup`]) give claims about every witness column at one random point; for each
//!    requantisation they add up to a claim about its accumulator, `acc = 2^s u + sum_i 2^(offset_i) limb_i - half`.
//! 2. The public outputs, evaluated at a fresh random point, are a claim about the last accumulator.
//! 3. Dense layers, last first: a claim about `acc` at `(rows, columns)` is, less the bias, a sum over `k` of
//!    `x(rows, k) w(k, columns)` (Thaler 2013, matrix multiplication): one product sumcheck leaves a claim about the
//!    input, public or a witness column, and one about the weights.
//! 4. All claims about the witness become one opening, all claims about the weights another ([`crate::batch`]).
//!
//! # Soundness
//! Error terms are listed in [`crate::security`]. The caller MUST have absorbed the statement and both commitments
//! before, and MUST check both openings.

use p3_field::PrimeCharacteristicRing;
use tacit_graph::Graph;

use crate::{
    batch::{self, Opening, WeightClaim, WitnessClaim},
    context::{Context, Value},
    field::{Ef, Fp, embed},
    lookup,
    multilinear::{eval_rows_i8, eval_rows_i32},
    plan::{LayerPlan, Plan, RequantisePlan, Step},
    reject::Reject,
    sumcheck::Rounds,
};

/// What both sides know.
#[derive(Debug, Clone, Copy)]
pub struct Public<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// Its plan for this batch.
    pub plan: &'a Plan,
    /// Encoded rows. Shape `[rows][features]`.
    pub inputs: &'a [Vec<i8>],
    /// Last accumulators. Shape `[rows][outputs]`.
    pub outputs: &'a [Vec<i32>],
}

/// Openings left over.
#[must_use = "the argument is sound only once both commitments are opened"]
#[derive(Debug, Clone)]
pub struct Openings<V> {
    /// Of the witness, unless there is none.
    pub witness: Option<Opening<V>>,
    /// Of the weights.
    pub weights: Opening<V>,
}

/// A claim about one tensor.
#[derive(Debug, Clone)]
struct TensorClaim<V> {
    row_point: Vec<Ef>,
    column_point: Vec<Ef>,
    value: V,
}

/// Replays the argument.
///
/// # Errors
/// The first check that fails.
pub fn verify<C: Context>(public: Public<'_>, context: &mut C) -> Result<Openings<C::Value>, Reject> {
    let plan = public.plan;
    let mut pending: Vec<Vec<TensorClaim<C::Value>>> = Vec::new();
    pending.resize_with(plan.steps.len().saturating_add(1), Vec::new);
    let mut witness_claims = Vec::new();
    let mut weight_claims = Vec::new();

    if let Some(leaf_vars) = plan.leaf_vars {
        let columns = lookup::verify(plan, public.graph, leaf_vars, context)?;
        for node in &plan.requantise {
            push(&mut pending, node.input, accumulator_claim(plan, node, &columns));
        }
        for (column, layout) in plan.columns.iter().enumerate() {
            let point = columns.suffix(layout.vars).to_vec();
            witness_claims.push(WitnessClaim { column, point, value: columns.value(column) });
        }
    }
    push(&mut pending, plan.steps.len(), output_claim(public, context));

    for step in plan.steps.iter().rev() {
        match *step {
            Step::Dense(index) => {
                let Some(layer) = plan.weights.layers.get(index) else { continue };
                for claim in take(&mut pending, layer.output) {
                    let (input, weights) = verify_dense(public, index, layer, claim, context)?;
                    if let Some(input) = input {
                        push(&mut pending, layer.input, input);
                    }
                    weight_claims.push(weights);
                }
            }
            Step::Requantise(index) => {
                let Some(node) = plan.requantise.get(index) else { continue };
                for claim in take(&mut pending, node.output) {
                    let point = claim.row_point.into_iter().chain(claim.column_point).collect();
                    witness_claims.push(WitnessClaim { column: node.image, point, value: claim.value });
                }
            }
        }
    }

    let witness = match plan.witness_vars {
        Some(vars) => Some(batch::verify_witness(plan, vars, &witness_claims, context)?),
        None => None,
    };
    let weights = batch::verify_weights(plan, &weight_claims, context)?;
    Ok(Openings { witness, weights })
}

fn push<V>(pending: &mut [Vec<TensorClaim<V>>], tensor: usize, claim: TensorClaim<V>) {
    if let Some(claims) = pending.get_mut(tensor) {
        claims.push(claim);
    }
}

fn take<V>(pending: &mut [Vec<TensorClaim<V>>], tensor: usize) -> Vec<TensorClaim<V>> {
    pending.get_mut(tensor).map(core::mem::take).unwrap_or_default()
}

/// `acc = 2^s u + sum_i 2^(offset_i) limb_i - half` at the point of the look-ups.
fn accumulator_claim<V: Value>(
    plan: &Plan,
    node: &RequantisePlan,
    columns: &lookup::ColumnClaims<V>,
) -> TensorClaim<V> {
    let power = |bits: usize| Ef::from(Fp::TWO.exp_u64(u64::try_from(bits).unwrap_or(0)));
    let mut value =
        columns.value(node.quotient).scale(power(node.shift)).offset(-Ef::from(embed(node.half())));
    for limb in &node.limbs {
        value = value.plus(&columns.value(limb.column).scale(power(limb.offset)));
    }
    let point = columns.suffix(plan.log_rows.saturating_add(node.log_width));
    let (row_point, column_point) = point.split_at(plan.log_rows.min(point.len()));
    TensorClaim { row_point: row_point.to_vec(), column_point: column_point.to_vec(), value }
}

/// The public outputs at a fresh point.
fn output_claim<C: Context>(public: Public<'_>, context: &mut C) -> TensorClaim<C::Value> {
    let plan = public.plan;
    let row_point = context.challenge_point(plan.log_rows);
    let column_vars = plan.weights.layers.last().map_or(0, |layer| layer.log_outputs);
    let column_point = context.challenge_point(column_vars);
    let value = eval_rows_i32(public.outputs, &row_point, &column_point);
    TensorClaim { row_point, column_point, value: C::Value::constant(value) }
}

type DenseClaims<V> = (Option<TensorClaim<V>>, WeightClaim<V>);

/// One product sumcheck; the claim about a public input is checked here.
fn verify_dense<C: Context>(
    public: Public<'_>,
    index: usize,
    layer: &LayerPlan,
    claim: TensorClaim<C::Value>,
    context: &mut C,
) -> Result<DenseClaims<C::Value>, Reject> {
    let TensorClaim { row_point, column_point, value } = claim;
    let bias = context.receive()?;
    let rounds = Rounds::product(layer.log_inputs, value.minus(&bias), context)?;
    let (input, product) = if layer.input == 0 {
        let input = eval_rows_i8(public.inputs, &row_point, &rounds.point);
        let matrix = context.receive()?;
        (None, (matrix.clone(), matrix.scale(input)))
    } else {
        let input = context.receive()?;
        let matrix = context.receive()?;
        let product = context.multiply(&input, &matrix);
        let claim = TensorClaim { row_point, column_point: rounds.point.clone(), value: input };
        (Some(claim), (matrix, product))
    };
    let (matrix, product) = product;
    context.assert_zero(&product.minus(&rounds.value), Reject::DenseProduct { layer: index })?;
    Ok((input, WeightClaim { layer: index, row_point: rounds.point, column_point, matrix, bias }))
}
