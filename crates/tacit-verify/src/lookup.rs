//! Look-up verifier: every value looked up is in its table.
//!
//! Source: Papini and Haböck, "Improving logarithmic derivative lookups using GKR" (eprint 2023/1284).
//! Deviations: one tree for all tables, told apart by a tag in the fingerprint; rounds leave out the public factor `eq`
//! (see [`crate::sumcheck`]); leaves are added up neighbour by neighbour, in blocks (see [`leaf_point`]).
//!
//! # Protocol
//! Challenges `alpha, beta`. A row `(tag, in, out)` has fingerprint `in + beta * out + beta^2 * tag`; a use of it is
//! the fraction `1 / (alpha - fingerprint)`, its row in the table `-count / (alpha - fingerprint)`. All fractions
//! add up to zero. They are the leaves of a binary tree of fraction additions, `0/1` filling up a power of two; GKR
//! walks from the root to a claim about numerators and denominators of all leaves at one random point, which the
//! columns and uncommitted look-ups, claimed at suffixes of that point, and the tables, evaluated here, must explain.
//!
//! # Soundness
//! With `N = 2^n` leaves: `2 N / |F|` for `alpha, beta` (a rational identity of degree at most `2 N`),
//! `sum_k (3 k + 3) / |F|` for the layers. Counts stay far below `p`. The caller MUST have absorbed the witness
//! commitment before, and MUST check the column claims against it.

use p3_field::PrimeCharacteristicRing;
use tacit_graph::Graph;

use crate::{
    context::{Context, Value},
    field::{Ef, Fp},
    multilinear::{eq_corner, eval_i16, eval_index},
    plan::{LeafBlock, LeafKind, LookupInput, Plan, TableKind, TablePlan},
    reject::Reject,
    sumcheck::{Rounds, line},
};

/// Claims about the columns; worth nothing until they are checked against the witness commitment.
#[must_use = "look-ups are sound only once the column claims are checked"]
#[derive(Debug, Clone)]
pub struct ColumnClaims<V> {
    /// Point over the leaves. Column `c` is claimed at the last `vars(c)` coordinates.
    pub point: Vec<Ef>,
    /// One value per column, zero for those that no look-up reads ([`looked_up`]).
    pub values: Vec<V>,
    /// One value per look-up of something uncommitted.
    pub virtuals: Vec<V>,
}

impl<V: Value> ColumnClaims<V> {
    /// The point of a column of `2^vars` values.
    pub fn suffix(&self, vars: usize) -> &[Ef] {
        suffix(&self.point, vars)
    }

    /// The claim about a column.
    #[must_use]
    pub fn value(&self, column: usize) -> V {
        self.values.get(column).cloned().unwrap_or_else(|| V::constant(Ef::ZERO))
    }

    /// The claim about something uncommitted.
    #[must_use]
    pub fn virtual_value(&self, place: usize) -> V {
        self.virtuals.get(place).cloned().unwrap_or_else(|| V::constant(Ef::ZERO))
    }
}

/// Columns that look-ups read or count. Committed rows and their salts are in the columns before: those may be longer than
/// the look-up tree, and are claimed where the rows are tied to the argument.
#[must_use]
pub fn looked_up(plan: &Plan) -> core::ops::Range<usize> {
    let rows = if plan.salts.is_empty() { 0 } else { plan.salts.len().saturating_add(1) };
    rows..plan.columns.len()
}

/// The point over the leaves, most significant bit of their index first, that the tree ends at: from the leaves on it
/// splits bits `4, 5, ..` up to the highest, then `3, 2, 1, 0`.
///
/// Neighbouring blocks of 16 leaves are so added up, and the padding behind the last leaf stays behind the last fraction of
/// every level, where nobody has to compute with it.
#[must_use]
pub fn leaf_point(mut point: Vec<Ef>) -> Vec<Ef> {
    let blocks = point.len().saturating_sub(BLOCK_VARS);
    if let Some(blocks) = point.get_mut(..blocks) {
        blocks.reverse();
    }
    point
}

/// Base-two logarithm of the leaves of a block: as many as the widest vector register has lanes.
pub const BLOCK_VARS: usize = 4;

/// The last `vars` coordinates of a point.
pub fn suffix(point: &[Ef], vars: usize) -> &[Ef] {
    point.get(point.len().saturating_sub(vars)..).unwrap_or_default()
}

/// Challenges of the fingerprint.
#[derive(Debug, Clone, Copy)]
pub struct Fingerprint {
    /// Where the rational functions are compared.
    pub alpha: Ef,
    /// Separates the parts of a row.
    pub beta: Ef,
}

impl Fingerprint {
    /// `alpha` less the public part of a fingerprint.
    pub fn base(&self, tag: u32) -> Ef {
        self.alpha - self.beta * self.beta * Fp::from_u32(tag)
    }
}

/// Replays the look-up argument over `2^leaf_vars` leaves.
///
/// # Errors
/// The first check that fails.
pub fn verify<C: Context>(
    plan: &Plan,
    graph: &Graph,
    leaf_vars: usize,
    context: &mut C,
) -> Result<ColumnClaims<C::Value>, Reject> {
    let fingerprint = Fingerprint { alpha: context.challenge(), beta: context.challenge() };
    let (point, numerator, denominator) = verify_tree(leaf_vars, context)?;
    let point = leaf_point(point);

    let mut values = vec![C::Value::constant(Ef::ZERO); plan.columns.len()];
    for value in values.get_mut(looked_up(plan)).unwrap_or_default() {
        *value = context.receive()?;
    }
    let mut virtuals = Vec::with_capacity(plan.virtuals.len());
    for _ in &plan.virtuals {
        virtuals.push(context.receive()?);
    }
    let claims = ColumnClaims { point, values, virtuals };
    let mut numerators = C::Value::constant(Ef::ZERO);
    let mut denominators = C::Value::constant(Ef::ZERO);
    let mut covered = Ef::ZERO;
    for block in &plan.leaves {
        let Some(table) = plan.tables.get(block.table) else { continue };
        let prefix_vars = leaf_vars.saturating_sub(block.vars);
        let prefix = claims.point.get(..prefix_vars).unwrap_or_default();
        let weight = eq_corner(prefix, block_index(block));
        covered += weight;
        let (top, bottom) = leaf(&claims, block, table, graph, fingerprint);
        numerators = numerators.plus(&top.scale(weight));
        denominators = denominators.plus(&bottom.scale(weight));
    }
    // Leaves after the last block are `0 / 1`.
    denominators = denominators.offset(Ef::ONE - covered);
    context.assert_zero(&numerators.minus(&numerator), Reject::LookupNumerators)?;
    context.assert_zero(&denominators.minus(&denominator), Reject::LookupDenominators)?;
    Ok(claims)
}

fn block_index(block: &LeafBlock) -> usize {
    u32::try_from(block.vars).ok().and_then(|vars| block.offset.checked_shr(vars)).unwrap_or(0)
}

/// Point over the leaves in the order of the tree, numerator and denominator there.
type LeafClaim<V> = (Vec<Ef>, V, V);

/// From the root, where all fractions add up to zero, to the leaves.
fn verify_tree<C: Context>(leaf_vars: usize, context: &mut C) -> Result<LeafClaim<C::Value>, Reject> {
    let [p0, p1, q0, q1] = context.receive_array()?;
    let sum = context.multiply(&p0, &q1).plus(&context.multiply(&p1, &q0));
    context.assert_zero(&sum, Reject::LookupSum)?;
    let product = context.multiply(&q0, &q1);
    let inverse = context.receive()?;
    let unit = context.multiply(&product, &inverse).offset(-Ef::ONE);
    context.assert_zero(&unit, Reject::LookupPole)?;

    let r = context.challenge();
    let (mut numerator, mut denominator) = (line(&p0, &p1, r), line(&q0, &q1, r));
    let mut point = vec![r];
    for layer in 1..leaf_vars {
        let lambda = context.challenge();
        let claim = numerator.plus(&denominator.scale(lambda));
        let rounds = Rounds::weighted(&point, claim, context)?;
        let [p0, p1, q0, q1] = context.receive_array()?;
        let sum = context
            .multiply(&p0, &q1)
            .plus(&context.multiply(&p1, &q0))
            .plus(&context.multiply(&q0, &q1).scale(lambda));
        context.assert_zero(&sum.minus(&rounds.value), Reject::LookupLayer { layer })?;
        let r = context.challenge();
        (numerator, denominator) = (line(&p0, &p1, r), line(&q0, &q1, r));
        point = core::iter::once(r).chain(rounds.point).collect();
    }
    Ok((point, numerator, denominator))
}

/// Numerator and denominator of a block of leaves at the claimed point.
fn leaf<V: Value>(
    claims: &ColumnClaims<V>,
    block: &LeafBlock,
    table: &TablePlan,
    graph: &Graph,
    fingerprint: Fingerprint,
) -> (V, V) {
    let base = V::constant(fingerprint.base(table.tag));
    match block.kind {
        LeafKind::Uses { input, output } => {
            let input = match input {
                LookupInput::Column(column) => claims.value(column),
                LookupInput::Virtual(place) => claims.virtual_value(place),
            };
            let mut bottom = base.minus(&input);
            if let Some(output) = output {
                bottom = bottom.minus(&claims.value(output).scale(fingerprint.beta));
            }
            (V::constant(Ef::ONE), bottom)
        }
        LeafKind::Rows => {
            let point = claims.suffix(block.vars);
            let row = match table.kind {
                TableKind::Range => eval_index(point),
                TableKind::Positive => {
                    // `d = i - 2^(bits-1)` is the low bits of `i` where it is not negative.
                    let first = Ef::from(Fp::TWO.exp_u64(u64::try_from(block.vars).unwrap_or(0))).halve();
                    let positive = match point.split_first() {
                        Some((sign, low)) => *sign * eval_index(low),
                        None => Ef::ZERO,
                    };
                    eval_index(point) - first + fingerprint.beta * positive
                }
                TableKind::Activation(table) => {
                    let values = graph.tables.get(table).map_or(&[][..], |table| &table.values);
                    let first = Ef::from(Fp::TWO.exp_u64(u64::try_from(block.vars).unwrap_or(0))).halve();
                    eval_index(point) - first + fingerprint.beta * eval_i16(values, point)
                }
            };
            (claims.value(table.count).scale(-Ef::ONE), base.offset(-row))
        }
    }
}
