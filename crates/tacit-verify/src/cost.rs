//! What checking one proof takes, counted from public sizes before any of it is done.
//!
//! A ledger that verifies proofs inside transactions charges for the work first, and a hostile proof must not cost
//! more than it paid for. Every loop of the verifier is bounded by the graph, the number of rows or the bytes of the
//! proof; [`verification_cost`] adds those bounds up in four counters, and whoever charges gives each counter a price.
//! The counters are upper bounds: a proof that fails early has done less.
//!
//! Two steps, since laying out a proof is work too: [`planning_steps`] is read off the graph, [`verification_cost`] off
//! the plan.

use tacit_graph::{
    Graph, Operator,
    graph::{Right, View},
};

use crate::{
    plan::{BiasPlan, LeafKind, Plan, PlanError, RightPlan, Step, TableKind},
    views::{GroupPlan, ViewPlan},
};

/// Upper bounds on the work of [`crate::verify`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerificationCost {
    /// Inputs and outputs: each is range-checked or encoded, and hashed.
    pub statement_values: u64,
    /// Products in the extension field outside the openings, products with small integers counted like them.
    pub products: u64,
    /// Challenges drawn outside the openings.
    pub challenges: u64,
    /// Bytes of the proof: each is parsed and hashed at most a few times, and the openings do work in proportion.
    pub proof_bytes: u64,
}

/// Steps of laying out a proof for `graph`: a share for each part of a node and each entry of a table, and a search among
/// nodes and tables for each node.
#[must_use]
pub fn planning_steps(graph: &Graph) -> u64 {
    let view = |view: &View| {
        let strides = view.groups.iter().map(|group| group.strides.len().saturating_add(4));
        strides.fold(4, usize::saturating_add)
    };
    let parts = graph.nodes.iter().map(|node| match node {
        Operator::Contract { axes, summed, left, right, .. } => {
            let right = match right {
                Right::Weights { axes } => axes.len(),
                Right::View(right) => view(right),
            };
            axes.len().saturating_add(summed.len()).saturating_add(view(left)).saturating_add(right)
        }
        Operator::Combine { terms, .. } => {
            terms.iter().map(|term| view(&term.view)).fold(4, usize::saturating_add)
        }
        Operator::Maximum { left, right, .. } => view(left).saturating_add(view(right)),
        Operator::Requantise { .. } => 16,
    });
    let parts = parts.fold(0, usize::saturating_add);
    let entries = graph.tables.iter().map(|table| table.values.len()).fold(0, usize::saturating_add);
    let searched = graph.nodes.len().saturating_mul(2).saturating_add(graph.tables.len());
    count(parts)
        .saturating_mul(PART_STEPS)
        .saturating_add(count(graph.features.len()).saturating_mul(4))
        .saturating_add(count(entries))
        .saturating_add(count(graph.nodes.len()).saturating_mul(count(searched)).div_euclid(4))
}

/// The work of checking a proof of `proof_bytes` bytes that `graph` was run on `rows` public rows.
///
/// # Errors
/// Refuses what cannot be proved.
pub fn verification_cost(
    graph: &Graph,
    rows: usize,
    proof_bytes: usize,
) -> Result<VerificationCost, PlanError> {
    let plan = Plan::new(graph, rows)?;
    let outputs = plan.tensors.last().map_or(0, |tensor| tensor.sizes.iter().product());
    let width = count(graph.features.len()).saturating_add(count(outputs));
    let cost = VerificationCost {
        statement_values: count(rows).saturating_mul(width),
        proof_bytes: count(proof_bytes),
        ..VerificationCost::default()
    };
    let mut walk = Walk {
        plan: &plan,
        cost,
        pending: plan.tensors.iter().map(|_| 0).collect(),
        witness_claims: plan.columns.len(),
    };
    walk.look_ups();
    walk.outputs(outputs);
    for (node, step) in plan.steps.iter().enumerate().rev() {
        walk.step(node, step);
    }
    for _ in 0..walk.pending.first().copied().unwrap_or(0) {
        walk.evaluation(graph.features.len());
    }
    walk.batches();
    Ok(walk.cost)
}

/// The way of [`crate::protocol::verify`] through a plan, counted instead of gone.
struct Walk<'a> {
    plan: &'a Plan,
    cost: VerificationCost,
    /// Claims about each tensor.
    pending: Vec<usize>,
    witness_claims: usize,
}

impl Walk<'_> {
    fn look_ups(&mut self) {
        let plan = self.plan;
        let Some(vars) = plan.leaf_vars else { return };
        // Layer `k` of the tree has `k` rounds, and a root of its own.
        for layer in 1..=vars {
            self.rounds(layer.saturating_add(2));
        }
        for block in &plan.leaves {
            self.products(count(vars).saturating_add(4));
            let kind = plan.tables.get(block.table).map(|table| table.kind);
            if block.kind == LeafKind::Rows && matches!(kind, Some(TableKind::Activation(_))) {
                self.products(power(block.vars));
            }
        }
        self.products(count(plan.columns.len().saturating_add(plan.virtuals.len())));
        for node in plan.requantisations() {
            self.claim(node.input);
            self.products(count(node.limbs.len()).saturating_add(1));
        }
    }

    fn outputs(&mut self, outputs: usize) {
        let last = self.plan.steps.len();
        self.challenges(self.plan.tensor_vars(last));
        self.evaluation(outputs);
        // What the padding holds is followed through all nodes.
        self.products(count(last));
        self.claim(last);
    }

    fn step(&mut self, node: usize, step: &Step) {
        let tensor = node.saturating_add(1);
        let claims = self.pending.get(tensor).copied().unwrap_or(0);
        if let Step::Requantise(_) = step {
            self.witness_claims = self.witness_claims.saturating_add(claims);
            return;
        }
        if claims > 1 {
            let vars = self.plan.tensor_vars(tensor);
            self.rounds(vars);
            self.challenges(1);
            self.products(count(claims).saturating_mul(count(vars)).saturating_mul(3));
        }
        match step {
            Step::Contract(step) if claims > 0 => {
                self.bias(step.bias.as_ref(), &step.sizes);
                self.rounds(self.plan.log_rows);
                for size in &step.sizes {
                    self.rounds(log(*size));
                }
                self.view(&step.left);
                if let RightPlan::View(view) = &step.right {
                    self.view(view);
                }
            }
            Step::Combine(step) if claims > 0 => {
                self.bias(step.bias.as_ref(), &step.sizes);
                self.weights(&step.sizes);
                step.terms.iter().for_each(|term| self.view(&term.view));
            }
            Step::Maximum(step) => {
                self.view(&step.left);
                self.view(&step.right);
                if claims > 0 {
                    self.witness_claims = self.witness_claims.saturating_add(1);
                    self.view(&step.right);
                }
            }
            Step::Contract(_) | Step::Combine(_) | Step::Requantise(_) => {}
        }
    }

    /// A claim about a view becomes one about its tensor.
    fn view(&mut self, view: &ViewPlan) {
        for (_, size) in &view.unused {
            self.products(count(*size));
        }
        self.rounds(view.sum_vars());
        view.groups.iter().filter(|group| group.direct.is_none()).for_each(|group| self.group(group));
        self.claim(view.tensor);
    }

    /// The wiring of a group over all positions it is read over, and over all it takes.
    fn group(&mut self, group: &GroupPlan) {
        self.weights(&group.sizes);
        let positions = group.sizes.iter().fold(1, |product: u64, size| product.saturating_mul(count(*size)));
        let factors = count(group.sizes.len().saturating_add(group.source.len())).saturating_add(1);
        self.products(positions.saturating_mul(factors));
        self.products(power(group.vars()).saturating_mul(2));
    }

    fn bias(&mut self, bias: Option<&BiasPlan>, sizes: &[usize]) {
        if bias.is_some() {
            self.weights(sizes);
        }
    }

    /// The weight of every index of some axes.
    fn weights(&mut self, sizes: &[usize]) {
        for size in sizes {
            self.products(count(*size).saturating_add(count(log(*size))));
        }
    }

    /// All values of some public rows at a point.
    fn evaluation(&mut self, values: usize) {
        let weights = power(self.plan.log_rows).saturating_add(count(values).saturating_mul(3));
        self.products(count(self.plan.rows).saturating_mul(count(values)).saturating_add(weights));
    }

    fn batches(&mut self) {
        let plan = self.plan;
        if let Some(vars) = plan.witness_vars {
            self.rounds(vars.saturating_add(1));
            self.products(count(self.witness_claims).saturating_mul(count(vars)).saturating_mul(3));
        }
        let vars = plan.weights.vars;
        self.rounds(vars.saturating_add(1));
        for tensor in &plan.weights.tensors {
            self.weights(&tensor.sizes);
            // `eq` on its rows in the stack and on its own, and their product.
            self.products(
                count(tensor.rows()).saturating_mul(6).saturating_add(count(vars).saturating_mul(6)),
            );
        }
    }

    fn claim(&mut self, tensor: usize) {
        if let Some(claims) = self.pending.get_mut(tensor) {
            *claims = claims.saturating_add(1);
        }
    }

    fn products(&mut self, more: u64) {
        self.cost.products = self.cost.products.saturating_add(more);
    }

    fn challenges(&mut self, more: usize) {
        self.cost.challenges = self.cost.challenges.saturating_add(count(more));
    }

    /// Rounds of a sumcheck: a challenge each, and the evaluation of a polynomial of low degree.
    fn rounds(&mut self, rounds: usize) {
        self.challenges(rounds);
        self.products(count(rounds).saturating_mul(8));
    }
}

fn log(size: usize) -> usize {
    crate::plan::log2_ceil(size)
}

fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn power(exponent: usize) -> u64 {
    u32::try_from(exponent).ok().and_then(|exponent| 1u64.checked_shl(exponent)).unwrap_or(u64::MAX)
}

/// What laying out a part of a node costs, counted in searches past four nodes.
const PART_STEPS: u64 = 16;
