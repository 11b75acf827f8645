//! The algebraic part of a proof, in step with [`tacit_verify::protocol`].

use p3_field::{PackedValue, PrimeCharacteristicRing};
use tacit_graph::Graph;
use tacit_verify::{
    field::{Ef, Fp},
    multilinear::{eq_range, eq_table},
    plan::{
        BiasPlan, CombinePlan, ContractPlan, MaximumPlan, Plan, RightPlan, Step, TensorKind, WeightTensor,
    },
    protocol::{join_point, split_point},
    rows,
    views::{AxisPoint, ViewPlan},
};

use crate::{
    batch::{self, WeightClaim, WitnessClaim},
    grid::{AxisMap, apply, arrange},
    lookup,
    part::Part,
    poly::{LOG_WIDTH, PackedFp, Poly, dot, dot_packed, eq_packed, eq_scaled},
    prove::Run,
    sumcheck::{prove_product_base, prove_weighted},
    transcript::Transcript,
    views::{self, TensorClaim},
};

/// Points of the two openings; that of the witness is empty when there is none.
#[derive(Debug)]
pub(crate) struct OpeningPoints {
    pub(crate) witness: Vec<Ef>,
    pub(crate) weights: Vec<Ef>,
}

/// Proves everything but the two openings.
pub(crate) fn argue(
    plan: &Plan,
    graph: &Graph,
    weights: &[Fp],
    run: &Run,
    stack: &[Fp],
    transcript: &mut Transcript,
    observe: &mut dyn FnMut(Part),
) -> OpeningPoints {
    let mut prover = Prover {
        plan,
        run,
        weights,
        pending: plan.tensors.iter().map(|_| Vec::new()).collect(),
        witness_claims: Vec::new(),
        weight_claims: Vec::new(),
    };
    let mut differences: Vec<Option<TensorClaim>> = vec![None; plan.virtuals.len()];
    observe(Part::Lookups);
    if let Some(leaf_vars) = plan.leaf_vars {
        let claims = lookup::prove(plan, graph, leaf_vars, run, transcript);
        let suffix = |vars: usize| tacit_verify::lookup::suffix(&claims.point, vars);
        for node in plan.requantisations() {
            let (rows, axes) = split_point(plan, node.input, suffix(plan.tensor_vars(node.input)));
            prover.pending[node.input].push(TensorClaim { rows, axes });
        }
        for node in &plan.virtuals {
            if let Step::Maximum(step) = &plan.steps[*node] {
                let (rows, axes) = split_point(plan, step.output, suffix(plan.tensor_vars(step.output)));
                differences[step.difference] = Some(TensorClaim { rows, axes });
            }
        }
        for (column, layout) in
            plan.columns.iter().enumerate().skip(tacit_verify::lookup::looked_up(plan).start)
        {
            prover.witness_claims.push(WitnessClaim { column, point: suffix(layout.vars).to_vec() });
        }
    }
    observe(Part::Rows);
    if plan.salts.is_empty() {
        let output = plan.steps.len();
        let point = transcript.challenge_point(plan.tensor_vars(output));
        let (rows, axes) = split_point(plan, output, &point);
        prover.pending[output].push(TensorClaim { rows, axes });
    } else {
        prover.committed_rows(transcript);
    }

    for (node, step) in plan.steps.iter().enumerate().rev() {
        observe(Part::Node(node));
        if let Step::Maximum(step) = step
            && let Some(claim) = differences[step.difference].take()
        {
            prover.difference(step, claim, transcript);
        }
        match step {
            Step::Requantise(step) => {
                for claim in core::mem::take(&mut prover.pending[node + 1]) {
                    let point = join_point(&claim.rows, &claim.axes);
                    prover.witness_claims.push(WitnessClaim { column: step.image, point });
                }
            }
            Step::Contract(step) => {
                if let Some(claim) = prover.merged(node + 1, transcript) {
                    prover.contract(step, claim, transcript);
                }
            }
            Step::Combine(step) => {
                if let Some(claim) = prover.merged(node + 1, transcript) {
                    prover.combine(step, claim, transcript);
                }
            }
            Step::Maximum(step) => {
                if let Some(claim) = prover.merged(node + 1, transcript) {
                    prover.maximum(step, claim, transcript);
                }
            }
        }
    }
    if let TensorKind::Column(column) = plan.tensors[0].kind {
        for claim in core::mem::take(&mut prover.pending[0]) {
            let point = join_point(&claim.rows, &claim.axes);
            prover.witness_claims.push(WitnessClaim { column, point });
        }
    }
    let Prover { witness_claims, weight_claims, .. } = prover;
    observe(Part::WitnessBatch);
    let witness = match plan.witness_vars {
        Some(vars) => batch::prove_witness(plan, vars, stack, &witness_claims, transcript),
        None => Vec::new(),
    };
    observe(Part::WeightBatch);
    let weights = batch::prove_weights(&plan.weights, weights, &weight_claims, transcript);
    OpeningPoints { witness, weights }
}

struct Prover<'a> {
    plan: &'a Plan,
    run: &'a Run,
    /// The stack of weights.
    weights: &'a [Fp],
    pending: Vec<Vec<TensorClaim>>,
    witness_claims: Vec<WitnessClaim>,
    weight_claims: Vec<WeightClaim>,
}

impl<'a> Prover<'a> {
    /// Padded values of a tensor that some view reads.
    fn values(&self, tensor: usize) -> &'a [Fp] {
        match self.plan.tensors[tensor].kind {
            TensorKind::Column(column) => &self.run.witness.columns[column],
            TensorKind::Input | TensorKind::Virtual => &self.run.tensors[tensor],
        }
    }

    /// Publishes every row's fingerprint.
    fn committed_rows(&mut self, transcript: &mut Transcript) {
        let plan = self.plan;
        let output = plan.steps.len();
        let input_point = transcript.challenge_point(plan.tensor_vars(0) - plan.log_rows);
        let output_point = transcript.challenge_point(plan.tensor_vars(output) - plan.log_rows);
        let gamma = transcript.challenge();
        let columns = &self.run.witness.columns;
        let inputs = fold_columns(self.values(0), &input_point);
        let outputs = fold_columns(&self.run.output, &output_point);
        let mut values: Vec<Ef> = inputs.iter().zip(&outputs).map(|(x, y)| *x + gamma * *y).collect();
        for (degree, column) in plan.salts.iter().enumerate() {
            for (value, salt) in values.iter_mut().zip(&columns[*column]) {
                *value += rows::basis(degree) * *salt;
            }
        }
        for value in &values[..plan.rows] {
            transcript.send_public(*value);
        }
        let row_point = transcript.challenge_point(plan.log_rows);
        let weights = eq_table(&row_point);
        transcript.send(weights.iter().zip(&inputs).map(|(weight, x)| *weight * *x).sum());
        for column in &plan.salts {
            transcript.send(dot(&weights, &columns[*column]));
            self.witness_claims.push(WitnessClaim { column: *column, point: row_point.clone() });
        }
        for (tensor, point) in [(0, input_point), (output, output_point)] {
            let point: Vec<Ef> = row_point.iter().chain(&point).copied().collect();
            let (rows, axes) = split_point(plan, tensor, &point);
            self.pending[tensor].push(TensorClaim { rows, axes });
        }
    }

    fn merged(&mut self, tensor: usize, transcript: &mut Transcript) -> Option<TensorClaim> {
        let mut claims = core::mem::take(&mut self.pending[tensor]);
        if claims.len() < 2 {
            return claims.pop();
        }
        let gamma = transcript.challenge();
        let values = self.values(tensor);
        let mut weights = vec![Ef::ZERO; values.len()];
        let mut power = Ef::ONE;
        for claim in &claims {
            for (slot, value) in
                weights.iter_mut().zip(eq_scaled(&join_point(&claim.rows, &claim.axes), power))
            {
                *slot += value;
            }
            power *= gamma;
        }
        let (point, _, value) = prove_product_base(Poly::new(weights), values, transcript);
        transcript.send(value);
        let (rows, axes) = split_point(self.plan, tensor, &point);
        Some(TensorClaim { rows, axes })
    }

    fn view(&mut self, view: &ViewPlan, rows: &[Ef], points: &[AxisPoint], transcript: &mut Transcript) {
        let claim = if view.passes() {
            views::pass(view, rows, points)
        } else {
            let prepared = views::prepare(self.plan, view, self.values(view.tensor), rows, points);
            views::prove(self.plan, view, prepared, rows, points, transcript)
        };
        self.pending[view.tensor].push(claim);
    }

    /// Like [`Self::view`], for a view whose value the verifier has to be told first.
    fn told_view(&mut self, view: &ViewPlan, rows: &[Ef], points: &[AxisPoint], transcript: &mut Transcript) {
        let prepared = views::prepare(self.plan, view, self.values(view.tensor), rows, points);
        transcript.send(prepared.value());
        let claim = if view.passes() {
            views::pass(view, rows, points)
        } else {
            views::prove(self.plan, view, prepared, rows, points, transcript)
        };
        self.pending[view.tensor].push(claim);
    }

    fn bias(&mut self, bias: &BiasPlan, axes: &[Vec<Ef>], transcript: &mut Transcript) {
        let points = bias.points(axes);
        let tensor = &self.plan.weights.tensors[bias.tensor];
        let maps = tensor
            .sizes
            .iter()
            .zip(&points)
            .map(|(size, point)| Some(AxisMap::fold(eq_range(point, 0, *size))))
            .collect();
        let (value, _) = apply(stacked(tensor, self.weights), &stacked_dims(tensor), maps);
        transcript.send(value.first().copied().unwrap_or_default());
        self.weight_claims.push(WeightClaim { tensor: bias.tensor, points });
    }

    fn contract(&mut self, step: &ContractPlan, claim: TensorClaim, transcript: &mut Transcript) {
        let TensorClaim { rows, axes } = claim;
        if let Some(bias) = &step.bias {
            self.bias(bias, &axes, transcript);
        }
        let mut points: Vec<AxisPoint> = axes.iter().cloned().map(AxisPoint::At).collect();
        // Summed axes are never folded: any point does.
        points.extend(step.summed().map(|_| AxisPoint::Sum));
        let kept: Vec<usize> = step.shared.iter().copied().chain(step.summed()).collect();
        let folded_rows = (!step.shares_rows()).then_some(rows.as_slice());
        let left =
            views::factor(self.plan, &step.left, self.values(step.left.tensor), folded_rows, &points, &kept);
        let right = match &step.right {
            RightPlan::Weights { tensor, axes: chosen } => {
                self.weight_factor(&self.plan.weights.tensors[*tensor], chosen, &axes, &kept)
            }
            RightPlan::View(view) => {
                views::factor(self.plan, view, self.values(view.tensor), None, &points, &kept)
            }
        };
        let mut weights = if step.shares_rows() { rows.clone() } else { Vec::new() };
        weights.extend(step.shared.iter().flat_map(|axis| axes[*axis].iter().copied()));
        let (point, left, right) = prove_weighted(&weights, left, right, transcript);
        transcript.send(left);
        transcript.send(right);

        let mut rest = point.as_slice();
        let mut take = |log: usize| {
            let (point, after) = rest.split_at(log);
            rest = after;
            point.to_vec()
        };
        let rows = if step.shares_rows() { take(rows.len()) } else { rows };
        for axis in &step.shared {
            points[*axis] = AxisPoint::At(take(axes[*axis].len()));
        }
        for axis in step.summed() {
            points[axis] = AxisPoint::At(take(tacit_verify::plan::log2_ceil(step.sizes[axis])));
        }
        self.view(&step.left, &rows, &points, transcript);
        match &step.right {
            RightPlan::Weights { tensor, axes } => {
                let at = |axis: &usize| match &points[*axis] {
                    AxisPoint::At(point) => point.clone(),
                    AxisPoint::Sum => Vec::new(),
                };
                let points = axes.iter().map(at).collect();
                self.weight_claims.push(WeightClaim { tensor: *tensor, points });
            }
            RightPlan::View(view) => self.view(view, &rows, &points, transcript),
        }
    }

    /// Weights with the axes folded that only they have, the axes `kept` left in that order.
    fn weight_factor(
        &self,
        tensor: &WeightTensor,
        chosen: &[usize],
        axes: &[Vec<Ef>],
        kept: &[usize],
    ) -> Vec<Ef> {
        let values = stacked(tensor, self.weights);
        let own: Vec<bool> = chosen.iter().map(|axis| !kept.contains(axis)).collect();
        let folds = own.iter().filter(|own| **own).count();
        // The usual case, and the one that touches most weights: rows of outputs, folded by packed dot products.
        let (values, dims) = if folds == 1 && own.last() == Some(&true) {
            let point = &axes[chosen[chosen.len() - 1]];
            let mut dims = stacked_dims(tensor);
            if let Some(last) = dims.last_mut() {
                *last = 1;
            }
            (fold_columns(values, point), dims)
        } else {
            let maps = chosen
                .iter()
                .zip(&own)
                .zip(&tensor.sizes)
                .map(|((axis, own), size)| own.then(|| AxisMap::fold(eq_range(&axes[*axis], 0, *size))))
                .collect();
            apply(values, &stacked_dims(tensor), maps)
        };
        let order: Vec<usize> =
            kept.iter().filter_map(|axis| chosen.iter().position(|other| other == axis)).collect();
        arrange(values, &dims, &order)
    }

    fn combine(&mut self, step: &CombinePlan, claim: TensorClaim, transcript: &mut Transcript) {
        let TensorClaim { rows, axes } = claim;
        if let Some(bias) = &step.bias {
            self.bias(bias, &axes, transcript);
        }
        let points: Vec<AxisPoint> = axes.into_iter().map(AxisPoint::At).collect();
        for (index, term) in step.terms.iter().enumerate() {
            let mut points = points.clone();
            points.extend((0..term.summed).map(|_| AxisPoint::Sum));
            if index + 1 < step.terms.len() {
                self.told_view(&term.view, &rows, &points, transcript);
            } else {
                self.view(&term.view, &rows, &points, transcript);
            }
        }
    }

    fn difference(&mut self, step: &MaximumPlan, claim: TensorClaim, transcript: &mut Transcript) {
        let TensorClaim { rows, axes } = claim;
        let points: Vec<AxisPoint> = axes.into_iter().map(AxisPoint::At).collect();
        // The verifier subtracts: it needs the left value before either view is proved.
        self.told_view(&step.left, &rows, &points, transcript);
        self.view(&step.right, &rows, &points, transcript);
    }

    fn maximum(&mut self, step: &MaximumPlan, claim: TensorClaim, transcript: &mut Transcript) {
        let TensorClaim { rows, axes } = claim;
        let point = join_point(&rows, &axes);
        let column = &self.run.witness.columns[step.image];
        transcript.send(evaluate(column, &point));
        self.witness_claims.push(WitnessClaim { column: step.image, point });
        let points: Vec<AxisPoint> = axes.into_iter().map(AxisPoint::At).collect();
        self.view(&step.right, &rows, &points, transcript);
    }
}

/// A column at a point.
fn evaluate(column: &[Fp], point: &[Ef]) -> Ef {
    if point.len() < LOG_WIDTH {
        dot(&eq_table(point), column)
    } else {
        dot_packed(&eq_packed(point, Ef::ONE), PackedFp::pack_slice(column))
    }
}

/// The part of the stack that a tensor of weights takes.
fn stacked<'s>(tensor: &WeightTensor, stack: &'s [Fp]) -> &'s [Fp] {
    &stack[tensor.offset()..tensor.offset() + (tensor.rows() << tensor.log_row())]
}

/// Its axes there: only the last is padded.
fn stacked_dims(tensor: &WeightTensor) -> Vec<usize> {
    let mut dims = tensor.sizes.clone();
    if let Some(last) = dims.last_mut() {
        *last = 1 << tensor.log_row();
    }
    dims
}

/// Binds the columns of a row-major matrix; one value per row.
fn fold_columns(matrix: &[Fp], point: &[Ef]) -> Vec<Ef> {
    if point.len() < LOG_WIDTH {
        let weights = eq_table(point);
        return matrix.chunks_exact(weights.len()).map(|row| dot(&weights, row)).collect();
    }
    let weights = eq_packed(point, Ef::ONE);
    PackedFp::pack_slice(matrix).chunks_exact(weights.len()).map(|row| dot_packed(&weights, row)).collect()
}
