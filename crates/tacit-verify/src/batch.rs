//! Many claims about one committed polynomial become one.
//!
//! # Protocol
//! Each claim says `sum_x g_i(x) f(x) = v_i` for a public `g_i`. A challenge `gamma` weighs them by its powers; one
//! product sumcheck over `sum_i gamma^i g_i(x) f(x)` ends at a random point `z`, where the prover sends `f(z)` and
//! the verifier evaluates every `g_i` itself. The last few variables are bound first (`low` in the plan), the others
//! after them.
//!
//! - Witness claim: column `c` at a point, `g = eq` on the block of `c`, zero elsewhere.
//! - Weight claim: tensor of weights at a point over each axis; `g` is the product of `eq` over the axes, on the rows of
//!   the tensor.
//!
//! # Soundness
//! `(claims - 1 + 2 n) / |F|`. The caller MUST check the opening left over against the commitment.

use p3_field::PrimeCharacteristicRing;

use crate::{
    context::{Context, Value},
    field::Ef,
    lookup::suffix,
    multilinear::{eq_corner, eq_points, eq_range, eq_rows},
    plan::Plan,
    reject::Reject,
    sumcheck::Rounds,
};

/// A claim about one column of the witness.
#[derive(Debug, Clone)]
pub struct WitnessClaim<V> {
    /// Which column.
    pub column: usize,
    /// Where. Shape `[vars(column)]`.
    pub point: Vec<Ef>,
    /// What.
    pub value: V,
}

/// A claim about one tensor of weights.
#[derive(Debug, Clone)]
pub struct WeightClaim<V> {
    /// Which tensor.
    pub tensor: usize,
    /// Over each of its axes.
    pub points: Vec<Vec<Ef>>,
    /// What.
    pub value: V,
}

/// `f(point) = value`, to be checked against the commitment to `f`.
#[must_use = "a claim is worth nothing until the commitment is opened to it"]
#[derive(Debug, Clone)]
pub struct Opening<V> {
    /// Shape `[vars]` of the commitment.
    pub point: Vec<Ef>,
    /// Claimed value.
    pub value: V,
}

/// Reduces claims about the witness to one opening of its `2^vars` values.
///
/// # Errors
/// [`Reject::WitnessBatch`] when the claims are not those of the value received.
pub fn verify_witness<C: Context>(
    plan: &Plan,
    vars: usize,
    claims: &[WitnessClaim<C::Value>],
    context: &mut C,
) -> Result<Opening<C::Value>, Reject> {
    let gamma = context.challenge();
    let sum = combine(claims.iter().map(|claim| &claim.value), gamma);
    reduce(vars, plan.witness_low, sum, Reject::WitnessBatch, context, |z| {
        claims.iter().rev().fold(Ef::ZERO, |sum, claim| {
            let Some(column) = plan.columns.get(claim.column) else { return sum };
            let prefix = z.get(..vars.saturating_sub(column.vars)).unwrap_or_default();
            let block = eq_corner(prefix, shifted(column.offset, column.vars));
            sum * gamma + block * eq_points(&claim.point, suffix(z, column.vars))
        })
    })
}

/// Reduces claims about the weights to one opening of their `2^vars` values.
///
/// # Errors
/// [`Reject::WeightBatch`] when the claims are not those of the value received.
pub fn verify_weights<C: Context>(
    plan: &Plan,
    claims: &[WeightClaim<C::Value>],
    context: &mut C,
) -> Result<Opening<C::Value>, Reject> {
    let vars = plan.weights.vars;
    let gamma = context.challenge();
    let sum = combine(claims.iter().map(|claim| &claim.value), gamma);
    reduce(vars, plan.weights.low, sum, Reject::WeightBatch, context, |z| {
        claims.iter().rev().fold(Ef::ZERO, |sum, claim| {
            let Some(tensor) = plan.weights.tensors.get(claim.tensor) else { return sum };
            // A bias over no axis is one element: points of no coordinates.
            let (last, others) =
                claim.points.split_last().map_or((&[][..], &[][..]), |(l, o)| (l.as_slice(), o));
            let high = z.get(..vars.saturating_sub(tensor.log_row())).unwrap_or_default();
            let rows = eq_range(high, tensor.first_row, tensor.rows());
            let wanted = eq_rows(others, &tensor.sizes);
            let rows = rows.iter().zip(&wanted).fold(Ef::ZERO, |sum, (a, b)| sum + *a * *b);
            sum * gamma + rows * eq_points(last, suffix(z, tensor.log_row()))
        })
    })
}

fn shifted(value: usize, by: usize) -> usize {
    u32::try_from(by).ok().and_then(|by| value.checked_shr(by)).unwrap_or(0)
}

/// `sum_i gamma^i value_i`.
fn combine<'v, V: Value + 'v>(values: impl DoubleEndedIterator<Item = &'v V>, gamma: Ef) -> V {
    values.rev().fold(V::constant(Ef::ZERO), |sum, value| sum.scale(gamma).plus(value))
}

fn reduce<C: Context>(
    vars: usize,
    low: usize,
    sum: C::Value,
    reject: Reject,
    context: &mut C,
    weight: impl FnOnce(&[Ef]) -> Ef,
) -> Result<Opening<C::Value>, Reject> {
    let Rounds { mut point, value: claim } = Rounds::product(vars, sum, context)?;
    // The low variables were bound first.
    point.rotate_left(low.min(vars));
    let value = context.receive()?;
    let expected = value.scale(weight(&point));
    context.assert_zero(&expected.minus(&claim), reject)?;
    Ok(Opening { point, value })
}
