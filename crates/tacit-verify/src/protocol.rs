//! The whole argument, from public rows to openings of two commitments.
//!
//! # Protocol
//! 1. All look-ups ([`crate::lookup`]) give claims about every witness column at one random point; for each
//!    requantisation they add up to a claim about what it reads, `x = 2^s u + sum_i 2^(offset_i) limb_i - half`.
//! 2. The public outputs, evaluated at a fresh random point, are a claim about the last tensor; where rows are
//!    committed, a fingerprint of each row ties input, output and salt together ([`crate::rows`]).
//! 3. Nodes, last first, turn claims about what they make into claims about what they read:
//!    - several claims about one uncommitted tensor are first merged into one;
//!    - a contraction is a sum over the axes both factors share (weighted by `eq`) and the summed axes, which leaves
//!      a claim about each factor (Thaler 2013, for matrix products);
//!    - a combination is a sum of claims about its views;
//!    - a maximum of `a` and `b` is `b` plus a witness column;
//!    - a requantisation's image is a witness column.
//!
//!    A claim about a view becomes one about its tensor by one sumcheck over the axes it does not read as they are
//!    ([`crate::views`]); claims about the input are checked against the public rows.
//! 4. All claims about the witness become one opening, all claims about the weights another ([`crate::batch`]).
//!
//! # Soundness
//! Error terms are listed in [`crate::security`]. The caller MUST have absorbed the statement and both commitments
//! before, and MUST check both openings.

use p3_field::{Field, PrimeCharacteristicRing};
use tacit_graph::Graph;

use crate::{
    batch::{self, Opening, WeightClaim, WitnessClaim},
    context::{Context, Value},
    field::{Ef, Fp, embed},
    lookup,
    multilinear::{eq_points, eval_rows},
    plan::{
        BiasPlan, CombinePlan, ContractPlan, MaximumPlan, Plan, RequantisePlan, RightPlan, Step, TensorKind,
    },
    reject::Reject,
    rows::{self, Fingerprints},
    sumcheck::Rounds,
    views::{AxisPoint, ViewPlan, inside},
};

/// What both sides know.
#[derive(Debug, Clone, Copy)]
pub struct Public<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// Its plan for this batch.
    pub plan: &'a Plan,
    /// What is known of the rows.
    pub rows: Rows<'a>,
}

/// What a verifier knows of the rows.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    /// Everything.
    Public {
        /// Encoded rows. Shape `[rows][features]`.
        inputs: &'a [Vec<i16>],
        /// Last accumulators. Shape `[rows][outputs]`.
        outputs: &'a [Vec<i32>],
    },
    /// A fingerprint each (see [`crate::rows`]).
    Committed,
}

/// Openings left over.
#[must_use = "the argument is sound only once both commitments are opened"]
#[derive(Debug, Clone)]
pub struct Openings<V> {
    /// Of the witness, unless there is none.
    pub witness: Option<Opening<V>>,
    /// Of the weights.
    pub weights: Opening<V>,
    /// What the argument says of each row, unless the rows are public.
    pub fingerprints: Option<Fingerprints>,
}

/// A claim about one tensor.
#[derive(Debug, Clone)]
pub struct TensorClaim<V> {
    /// Over the rows.
    pub rows: Vec<Ef>,
    /// Over each axis.
    pub axes: Vec<Vec<Ef>>,
    /// What is claimed.
    pub value: V,
}

/// A claim about a view, at points over its operator's axes.
#[derive(Debug, Clone)]
pub struct ViewClaim<V> {
    /// Over the rows.
    pub rows: Vec<Ef>,
    /// Over each axis of the operator.
    pub points: Vec<AxisPoint>,
    /// What is claimed.
    pub value: V,
}

/// Splits a point over a tensor's rows and axes.
pub fn split_point(plan: &Plan, tensor: usize, point: &[Ef]) -> (Vec<Ef>, Vec<Vec<Ef>>) {
    let (rows, mut rest) = point.split_at(plan.log_rows.min(point.len()));
    let logs = plan.tensors.get(tensor).map_or(&[][..], |tensor| tensor.logs.as_slice());
    let axes = logs
        .iter()
        .map(|log| {
            let (axis, after) = rest.split_at((*log).min(rest.len()));
            rest = after;
            axis.to_vec()
        })
        .collect();
    (rows.to_vec(), axes)
}

/// One point over rows and axes.
pub fn join_point(rows: &[Ef], axes: &[Vec<Ef>]) -> Vec<Ef> {
    rows.iter().chain(axes.iter().flatten()).copied().collect()
}

/// Replays the argument.
///
/// # Errors
/// The first check that fails.
pub fn verify<C: Context>(public: Public<'_>, context: &mut C) -> Result<Openings<C::Value>, Reject> {
    let plan = public.plan;
    let mut state = State::<C::Value>::new(plan);
    // Claims about what maxima look up, by the node's place among the virtual look-ups.
    let mut differences = vec![None; plan.virtuals.len()];
    if let Some(leaf_vars) = plan.leaf_vars {
        let columns = lookup::verify(plan, public.graph, leaf_vars, context)?;
        for node in plan.requantisations() {
            let (rows, axes) = split_point(plan, node.input, columns.suffix(plan.tensor_vars(node.input)));
            let value = requantised(node, &columns);
            state.push(node.input, TensorClaim { rows, axes, value });
        }
        for (slot, node) in differences.iter_mut().zip(&plan.virtuals) {
            if let Some(Step::Maximum(node)) = plan.steps.get(*node) {
                let (rows, axes) =
                    split_point(plan, node.output, columns.suffix(plan.tensor_vars(node.output)));
                *slot = Some(TensorClaim { rows, axes, value: columns.virtual_value(node.difference) });
            }
        }
        for (column, layout) in plan.columns.iter().enumerate().skip(lookup::looked_up(plan).start) {
            let point = columns.suffix(layout.vars).to_vec();
            state.witness.push(WitnessClaim { column, point, value: columns.value(column) });
        }
    }
    let mut fingerprints = None;
    match public.rows {
        Rows::Public { outputs, .. } => state.push(plan.steps.len(), output_claim(public, outputs, context)),
        Rows::Committed => fingerprints = Some(committed_rows(&mut state, context)?),
    }

    for (node, step) in plan.steps.iter().enumerate().rev() {
        let tensor = node.saturating_add(1);
        match step {
            Step::Contract(step) => {
                if let Some(claim) = state.merged(tensor, context)? {
                    contract(&mut state, node, step, claim, context)?;
                }
            }
            Step::Combine(step) => {
                if let Some(claim) = state.merged(tensor, context)? {
                    combine(&mut state, node, step, claim, context)?;
                }
            }
            Step::Maximum(step) => {
                if let Some(claim) = differences.get_mut(step.difference).and_then(Option::take) {
                    difference(&mut state, node, step, claim, context)?;
                }
                if let Some(claim) = state.merged(tensor, context)? {
                    maximum(&mut state, node, step, claim, context)?;
                }
            }
            Step::Requantise(step) => {
                for claim in state.take(tensor) {
                    let point = join_point(&claim.rows, &claim.axes);
                    state.witness.push(WitnessClaim { column: step.image, point, value: claim.value });
                }
            }
        }
    }
    for claim in state.take(0) {
        match (public.rows, plan.tensors.first().map(|tensor| tensor.kind)) {
            (Rows::Public { inputs, .. }, _) => {
                let value = eval_rows(inputs, &public.graph.input_axes, &claim.rows, &claim.axes);
                context.assert_zero(&claim.value.offset(-value), Reject::Input)?;
            }
            (Rows::Committed, Some(TensorKind::Column(column))) => {
                let point = join_point(&claim.rows, &claim.axes);
                state.witness.push(WitnessClaim { column, point, value: claim.value });
            }
            // A plan commits to the rows when they are not public.
            (Rows::Committed, _) => return Err(Reject::Input),
        }
    }

    let witness = match plan.witness_vars {
        Some(vars) => Some(batch::verify_witness(plan, vars, &state.witness, context)?),
        None => None,
    };
    let weights = batch::verify_weights(plan, &state.weights, context)?;
    Ok(Openings { witness, weights, fingerprints })
}

/// Claims that wait for the node that explains them.
#[derive(Debug)]
struct State<'a, V> {
    plan: &'a Plan,
    pending: Vec<Vec<TensorClaim<V>>>,
    witness: Vec<WitnessClaim<V>>,
    weights: Vec<WeightClaim<V>>,
}

impl<'a, V: Value> State<'a, V> {
    fn new(plan: &'a Plan) -> Self {
        let pending = plan.tensors.iter().map(|_| Vec::new()).collect();
        Self { plan, pending, witness: Vec::new(), weights: Vec::new() }
    }

    fn push(&mut self, tensor: usize, claim: TensorClaim<V>) {
        if let Some(claims) = self.pending.get_mut(tensor) {
            claims.push(claim);
        }
    }

    fn take(&mut self, tensor: usize) -> Vec<TensorClaim<V>> {
        self.pending.get_mut(tensor).map(core::mem::take).unwrap_or_default()
    }

    /// All claims about an uncommitted tensor as one, by a sumcheck over `sum_i gamma^i eq(point_i, x) t(x)`.
    fn merged<C: Context<Value = V>>(
        &mut self,
        tensor: usize,
        context: &mut C,
    ) -> Result<Option<TensorClaim<V>>, Reject> {
        let mut claims = self.take(tensor);
        if claims.len() < 2 {
            return Ok(claims.pop());
        }
        let gamma = context.challenge();
        let sum =
            claims.iter().rev().fold(V::constant(Ef::ZERO), |sum, claim| sum.scale(gamma).plus(&claim.value));
        let rounds = Rounds::product(self.plan.tensor_vars(tensor), sum, context)?;
        let weight = claims.iter().rev().fold(Ef::ZERO, |sum, claim| {
            sum * gamma + eq_points(&join_point(&claim.rows, &claim.axes), &rounds.point)
        });
        let value = context.receive()?;
        context.assert_zero(&value.scale(weight).minus(&rounds.value), Reject::Merge { tensor })?;
        let (rows, axes) = split_point(self.plan, tensor, &rounds.point);
        Ok(Some(TensorClaim { rows, axes, value }))
    }

    /// A claim about a view becomes one about its tensor.
    fn view<C: Context<Value = V>>(
        &mut self,
        node: usize,
        view: &ViewPlan,
        claim: ViewClaim<V>,
        context: &mut C,
    ) -> Result<(), Reject> {
        let ViewClaim { rows, points, value } = claim;
        let factor = view.unused_factor(&points);
        let vars = view.sum_vars();
        let direct = |axis: usize| match points.get(axis) {
            Some(AxisPoint::At(point)) => Some(point.clone()),
            _ => None,
        };
        if view.passes() {
            let axes = view.groups.iter().filter_map(|group| direct(group.direct?)).collect();
            self.push(view.tensor, TensorClaim { rows, axes, value });
            return Ok(());
        }
        let rounds = Rounds::product(vars, value, context)?;
        let (mut factor, mut rest) = (factor, rounds.point.as_slice());
        let mut axes = Vec::new();
        for group in &view.groups {
            if let Some(point) = group.direct.and_then(direct) {
                axes.push(point);
                continue;
            }
            let (source, after) = rest.split_at(group.vars().min(rest.len()));
            rest = after;
            factor *= group.evaluate(&points, source);
            let logs =
                self.plan.tensors.get(view.tensor).and_then(|tensor| tensor.logs.get(group.axes.clone()));
            let mut source = source;
            for log in logs.unwrap_or_default() {
                let (axis, after) = source.split_at((*log).min(source.len()));
                source = after;
                axes.push(axis.to_vec());
            }
        }
        let read = context.receive()?;
        context.assert_zero(&read.scale(factor).minus(&rounds.value), Reject::View { node })?;
        self.push(view.tensor, TensorClaim { rows, axes, value: read });
        Ok(())
    }

    /// Receives the bias at a point and gives what it adds there.
    fn bias<C: Context<Value = V>>(
        &mut self,
        bias: &BiasPlan,
        sizes: &[usize],
        axes: &[Vec<Ef>],
        context: &mut C,
    ) -> Result<V, Reject> {
        let value = context.receive()?;
        let points = bias.points(axes);
        self.weights.push(WeightClaim { tensor: bias.tensor, points, value: value.clone() });
        let others = axes.iter().zip(sizes).enumerate().filter(|(axis, _)| !bias.axes.contains(axis));
        let mask = others.fold(Ef::ONE, |mask, (_, (point, size))| mask * inside(point, *size));
        Ok(value.scale(mask))
    }
}

/// `x = 2^s u + sum_i 2^(offset_i) limb_i - half` at the point of the look-ups.
fn requantised<V: Value>(node: &RequantisePlan, columns: &lookup::ColumnClaims<V>) -> V {
    let power = |bits: usize| Ef::from(Fp::TWO.exp_u64(u64::try_from(bits).unwrap_or(0)));
    let quotient = columns.virtual_value(node.quotient);
    let value = quotient.scale(power(node.shift)).offset(-Ef::from(embed(node.half())));
    node.limbs
        .iter()
        .fold(value, |value, limb| value.plus(&columns.value(limb.column).scale(power(limb.offset))))
}

/// The public outputs at a fresh point.
fn output_claim<C: Context>(
    public: Public<'_>,
    outputs: &[Vec<i32>],
    context: &mut C,
) -> TensorClaim<C::Value> {
    let plan = public.plan;
    let tensor = plan.steps.len();
    let point = context.challenge_point(plan.tensor_vars(tensor));
    let (rows, axes) = split_point(plan, tensor, &point);
    let value = rows::outputs_at(public.graph, plan, outputs, &rows, &axes);
    TensorClaim { rows, axes, value: C::Value::constant(value) }
}

/// Every row's fingerprint, tied to the committed inputs and salts and to the last tensor.
fn committed_rows<C: Context>(
    state: &mut State<'_, C::Value>,
    context: &mut C,
) -> Result<Fingerprints, Reject> {
    let plan = state.plan;
    let output = plan.steps.len();
    let input_vars = plan.tensor_vars(0).saturating_sub(plan.log_rows);
    let output_vars = plan.tensor_vars(output).saturating_sub(plan.log_rows);
    let input = context.challenge_point(input_vars);
    let last = context.challenge_point(output_vars);
    let gamma = context.challenge();
    let mut values = Vec::with_capacity(plan.rows);
    for _ in 0..plan.rows {
        values.push(context.receive_public()?);
    }
    let rows = context.challenge_point(plan.log_rows);
    let read = context.receive()?;
    let mut salt = C::Value::constant(Ef::ZERO);
    for (degree, column) in plan.salts.iter().enumerate() {
        let value = context.receive()?;
        salt = salt.plus(&value.scale(rows::basis(degree)));
        state.witness.push(WitnessClaim { column: *column, point: rows.clone(), value });
    }
    let sum = C::Value::constant(rows::interpolate(&values, &rows)).minus(&read).minus(&salt);
    let made = sum.scale(gamma.try_inverse().ok_or(Reject::DegenerateChallenge)?);
    let point = |axes: &[Ef]| rows.iter().chain(axes).copied().collect::<Vec<Ef>>();
    let (claim_rows, axes) = split_point(plan, 0, &point(&input));
    state.push(0, TensorClaim { rows: claim_rows, axes, value: read });
    let (claim_rows, axes) = split_point(plan, output, &point(&last));
    state.push(output, TensorClaim { rows: claim_rows, axes, value: made });
    Ok(Fingerprints { input, output: last, gamma, values })
}

/// What every tensor holds in its padding: zero, but for images of requantisations.
#[must_use]
pub fn padding_values(graph: &Graph, plan: &Plan) -> Vec<i32> {
    let mut padding = vec![0i32; plan.tensors.len()];
    for node in plan.requantisations() {
        let Some(table) = graph.tables.get(node.table) else { continue };
        let read = padding.get(node.input).copied().unwrap_or(0);
        let shift = u32::try_from(node.shift).unwrap_or(0);
        let quotient = read.saturating_add(node.half()).checked_shr(shift).unwrap_or(0);
        let half = i32::try_from(table.values.len() / 2).unwrap_or(0);
        let entry = usize::try_from(quotient.saturating_add(half)).unwrap_or(0);
        if let Some(slot) = padding.get_mut(node.output) {
            *slot = table.values.get(entry).copied().map_or(0, i32::from);
        }
    }
    padding
}

/// One sumcheck over shared and summed axes; leaves a claim about each factor.
fn contract<C: Context>(
    state: &mut State<'_, C::Value>,
    node: usize,
    step: &ContractPlan,
    claim: TensorClaim<C::Value>,
    context: &mut C,
) -> Result<(), Reject> {
    let TensorClaim { rows, axes, mut value } = claim;
    if let Some(bias) = &step.bias {
        value = value.minus(&state.bias(bias, &step.sizes, &axes, context)?);
    }
    let mut weights = if step.shares_rows() { rows.clone() } else { Vec::new() };
    weights.extend(step.shared.iter().filter_map(|axis| axes.get(*axis)).flatten().copied());
    let weighted = Rounds::weighted(&weights, value, context)?;
    let summed: Vec<usize> = step
        .summed()
        .map(|axis| step.sizes.get(axis).map_or(0, |size| crate::plan::log2_ceil(*size)))
        .collect();
    let plain = Rounds::product(summed.iter().sum(), weighted.value, context)?;

    let mut rest = weighted.point.as_slice();
    let mut take = |log: usize| {
        let (point, after) = rest.split_at(log.min(rest.len()));
        rest = after;
        point.to_vec()
    };
    let rows = if step.shares_rows() { take(rows.len()) } else { rows };
    let mut points: Vec<AxisPoint> = axes.into_iter().map(AxisPoint::At).collect();
    for axis in &step.shared {
        if let Some(AxisPoint::At(point)) = points.get_mut(*axis) {
            *point = take(point.len());
        }
    }
    let mut rest = plain.point.as_slice();
    for log in summed {
        let (point, after) = rest.split_at(log.min(rest.len()));
        rest = after;
        points.push(AxisPoint::At(point.to_vec()));
    }
    let [left, right] = context.receive_array()?;
    let product = context.multiply(&left, &right);
    context.assert_zero(&product.minus(&plain.value), Reject::Product { node })?;
    let left = ViewClaim { rows: rows.clone(), points: points.clone(), value: left };
    state.view(node, &step.left, left, context)?;
    match &step.right {
        RightPlan::Weights { tensor, axes } => {
            let points = axes
                .iter()
                .filter_map(|axis| match points.get(*axis) {
                    Some(AxisPoint::At(point)) => Some(point.clone()),
                    _ => None,
                })
                .collect();
            state.weights.push(WeightClaim { tensor: *tensor, points, value: right });
        }
        RightPlan::View(view) => state.view(node, view, ViewClaim { rows, points, value: right }, context)?,
    }
    Ok(())
}

fn combine<C: Context>(
    state: &mut State<'_, C::Value>,
    node: usize,
    step: &CombinePlan,
    claim: TensorClaim<C::Value>,
    context: &mut C,
) -> Result<(), Reject> {
    let TensorClaim { rows, axes, mut value } = claim;
    if let Some(bias) = &step.bias {
        value = value.minus(&state.bias(bias, &step.sizes, &axes, context)?);
    }
    if step.constant != 0 {
        let mask =
            axes.iter().zip(&step.sizes).fold(Ef::ONE, |mask, (point, size)| mask * inside(point, *size));
        value = value.offset(-mask * embed(step.constant));
    }
    let points: Vec<AxisPoint> = axes.into_iter().map(AxisPoint::At).collect();
    // The last view's value follows from the others.
    let Some((last, others)) = step.terms.split_last() else { return Ok(()) };
    for term in others {
        let read = context.receive()?;
        value = value.minus(&read.scale(Ef::from(embed(term.coefficient))));
        let mut points = points.clone();
        points.extend((0..term.summed).map(|_| AxisPoint::Sum));
        state.view(node, &term.view, ViewClaim { rows: rows.clone(), points, value: read }, context)?;
    }
    let inverse = Ef::from(embed(last.coefficient)).try_inverse().ok_or(Reject::DegenerateChallenge)?;
    let mut points = points;
    points.extend((0..last.summed).map(|_| AxisPoint::Sum));
    state.view(node, &last.view, ViewClaim { rows, points, value: value.scale(inverse) }, context)
}

/// `d = left - right`.
fn difference<C: Context>(
    state: &mut State<'_, C::Value>,
    node: usize,
    step: &MaximumPlan,
    claim: TensorClaim<C::Value>,
    context: &mut C,
) -> Result<(), Reject> {
    let TensorClaim { rows, axes, value } = claim;
    let points: Vec<AxisPoint> = axes.into_iter().map(AxisPoint::At).collect();
    let left = context.receive()?;
    let right = left.minus(&value);
    state.view(
        node,
        &step.left,
        ViewClaim { rows: rows.clone(), points: points.clone(), value: left },
        context,
    )?;
    state.view(node, &step.right, ViewClaim { rows, points, value: right }, context)
}

/// `y = right + m`.
fn maximum<C: Context>(
    state: &mut State<'_, C::Value>,
    node: usize,
    step: &MaximumPlan,
    claim: TensorClaim<C::Value>,
    context: &mut C,
) -> Result<(), Reject> {
    let TensorClaim { rows, axes, value } = claim;
    let image = context.receive()?;
    let right = value.minus(&image);
    let point = join_point(&rows, &axes);
    state.witness.push(WitnessClaim { column: step.image, point, value: image });
    let points = axes.into_iter().map(AxisPoint::At).collect();
    state.view(node, &step.right, ViewClaim { rows, points, value: right }, context)
}
