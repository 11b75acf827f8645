//! The error budget of one proof, term by term.
//!
//! Every term is `-log2` of a probability that a false statement passes one step, in the random oracle model, with
//! proven bounds only. Interactive terms hold per polynomial the commitments may stand for, so each is raised by
//! the two list sizes (Johnson bound); the openings account for their own lists. Totals add probabilities.

use tacit_graph::Graph;

use crate::{
    bits::Bits,
    commitment::{OpeningSecurity, Scheme, SetupError},
    field::EF_BITS,
    plan::{Plan, PlanError, RightPlan, Step, log2_ceil},
    views::ViewPlan,
};

/// Security levels a proof can be asked for, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecurityBits(u8);

impl SecurityBits {
    /// The default: 100 bits.
    pub const DEFAULT: Self = Self(100);

    /// A level of `bits`. Whether a batch reaches it is known once its plan is.
    #[must_use]
    pub fn new(bits: u8) -> Self {
        Self(bits)
    }

    /// The level.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }
}

impl Default for SecurityBits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// One source of error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// Which step.
    pub name: &'static str,
    /// `-log2` of its error.
    pub bits: Bits,
}

/// All sources of error of one proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityReport {
    /// Each step.
    pub terms: Vec<Term>,
    /// `-log2` of the sum of all errors.
    pub total: Bits,
    /// What was asked for.
    pub target: SecurityBits,
}

/// Why there is no budget.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// The batch cannot be proved.
    #[error("the batch cannot be proved")]
    Plan(#[from] PlanError),
    /// Not at this security.
    #[error("the batch cannot be proved at this security")]
    Setup(#[from] SetupError),
}

/// The budget of a proof that `graph` was run on `rows` rows.
///
/// # Errors
/// Refuses what cannot be proved, and levels that are not reached.
pub fn security_report(
    graph: &Graph,
    rows: usize,
    security: SecurityBits,
) -> Result<SecurityReport, BudgetError> {
    let plan = Plan::new(graph, rows)?;
    let bits = u32::from(security.bits());
    let weights = Scheme::new(plan.weights.vars, bits)?;
    let witness = plan.witness_vars.map(|vars| Scheme::new(vars, bits)).transpose()?;
    Ok(report(&plan, &weights, witness.as_ref(), security)?)
}

/// The budget of a proof by this plan and these schemes.
///
/// # Errors
/// [`SetupError::BelowTarget`].
pub fn report(
    plan: &Plan,
    weights: &Scheme,
    witness: Option<&Scheme>,
    security: SecurityBits,
) -> Result<SecurityReport, SetupError> {
    let target = u32::from(security.bits());
    let opened = |scheme: &Scheme| scheme.security().ok_or(SetupError::BelowTarget { bits: target, got: 0 });
    let weight_opening = opened(weights)?;
    let witness_opening = witness.map(opened).transpose()?;
    let mut terms = interactive_terms(plan, &weight_opening, witness_opening.as_ref());
    terms.push(Term { name: "weights: opening", bits: weight_opening.bits });
    if let Some(opening) = witness_opening {
        terms.push(Term { name: "witness: opening", bits: opening.bits });
    }
    let total = Bits::of_sum(terms.iter().map(|term| term.bits));
    if total < Bits::whole(security.bits()) {
        return Err(SetupError::BelowTarget { bits: target, got: total.floor() });
    }
    Ok(SecurityReport { terms, total, target: security })
}

pub(crate) fn interactive_terms(
    plan: &Plan,
    weights: &OpeningSecurity,
    witness: Option<&OpeningSecurity>,
) -> Vec<Term> {
    let lists = witness.map_or(weights.list_bits, |opening| opening.list_bits.more(weights.list_bits));
    let mut terms = Vec::new();
    // A step fails with probability at most `roots / |F|` for each pair of candidates.
    let mut add = |name, roots: usize| {
        if let Ok(roots @ 1..) = u128::try_from(roots) {
            terms.push(Term { name, bits: EF_BITS.less(Bits::of_count(roots)).less(lists) });
        }
    };
    let sum = |counts: &mut dyn Iterator<Item = usize>| counts.fold(0usize, usize::saturating_add);
    if let Some(vars) = plan.leaf_vars {
        let leaves = u32::try_from(vars).ok().and_then(|vars| 1usize.checked_shl(vars)).unwrap_or(usize::MAX);
        add("look-ups: fingerprints and poles", leaves.saturating_mul(3));
        // Layer `k` has `k` rounds of degree 3, one batching and one line over two claims.
        add("look-ups: tree", sum(&mut (1..=vars).map(|layer| layer.saturating_mul(3).saturating_add(3))));
        let coordinates = &mut plan.leaves.iter().map(|block| block.vars);
        add("look-ups: columns at one point", sum(coordinates));
    }
    let output_vars = plan.tensor_vars(plan.steps.len());
    if plan.salts.is_empty() {
        add("outputs: random point", output_vars);
    } else {
        // The fingerprint of every row, and all of them at one point.
        let each = output_vars.saturating_add(plan.tensor_vars(0)).saturating_add(1);
        add("rows: fingerprints", each.saturating_mul(plan.rows));
    }
    let claims = Claims::count(plan);
    add("contractions", claims.contractions);
    add("views", claims.views);
    add("merged claims", claims.merges);
    add("weights: batching and sumcheck", claims.weights.saturating_add(plan.weights.vars.saturating_mul(2)));
    if let Some(vars) = plan.witness_vars {
        add("witness: batching and sumcheck", claims.witness.saturating_add(vars.saturating_mul(2)));
    }
    terms
}

/// How many roots the nodes' sums have, and how many claims reach the two batches.
#[derive(Debug, Default)]
struct Claims {
    contractions: usize,
    views: usize,
    merges: usize,
    witness: usize,
    weights: usize,
}

impl Claims {
    /// Walks the nodes as [`crate::protocol`] does.
    fn count(plan: &Plan) -> Self {
        let mut counted = Self { witness: crate::lookup::looked_up(plan).len(), ..Self::default() };
        let mut pending: Vec<usize> = plan.tensors.iter().map(|_| 0).collect();
        let add = |pending: &mut Vec<usize>, tensor: usize, claims: usize| {
            if let Some(slot) = pending.get_mut(tensor) {
                *slot = slot.saturating_add(claims);
            }
        };
        for node in plan.requantisations() {
            add(&mut pending, node.input, 1);
        }
        add(&mut pending, plan.steps.len(), 1);
        if !plan.salts.is_empty() {
            add(&mut pending, 0, 1);
            counted.witness = counted.witness.saturating_add(plan.salts.len());
        }
        for (node, step) in plan.steps.iter().enumerate().rev() {
            let tensor = node.saturating_add(1);
            let claims = pending.get(tensor).copied().unwrap_or(0);
            let mut read = |view: &ViewPlan, views: &mut usize| {
                *views = views.saturating_add(view.sum_vars().saturating_mul(2));
                add(&mut pending, view.tensor, 1);
            };
            if let Step::Requantise(_) = step {
                counted.witness = counted.witness.saturating_add(claims);
                continue;
            }
            if claims > 1 {
                let vars = plan.tensor_vars(tensor).saturating_mul(2);
                counted.merges = counted.merges.saturating_add(claims).saturating_add(vars);
            }
            match step {
                Step::Contract(step) => {
                    let vars = |axis: &usize| step.sizes.get(*axis).map_or(0, |size| log2_ceil(*size));
                    let rows = if step.shares_rows() { plan.log_rows } else { 0 };
                    let shared = step.shared.iter().map(vars).fold(rows, usize::saturating_add);
                    let summed = step.summed().map(|axis| vars(&axis)).fold(0, usize::saturating_add);
                    let roots = shared.saturating_mul(3).saturating_add(summed.saturating_mul(2));
                    counted.contractions = counted.contractions.saturating_add(roots);
                    read(&step.left, &mut counted.views);
                    match &step.right {
                        RightPlan::View(view) => read(view, &mut counted.views),
                        RightPlan::Weights { .. } => counted.weights = counted.weights.saturating_add(1),
                    }
                    counted.weights = counted.weights.saturating_add(usize::from(step.bias.is_some()));
                }
                Step::Combine(step) => {
                    step.terms.iter().for_each(|term| read(&term.view, &mut counted.views));
                    counted.weights = counted.weights.saturating_add(usize::from(step.bias.is_some()));
                }
                Step::Maximum(step) => {
                    for view in [&step.left, &step.right, &step.right] {
                        read(view, &mut counted.views);
                    }
                    counted.witness = counted.witness.saturating_add(1);
                }
                Step::Requantise(_) => {}
            }
        }
        if !plan.salts.is_empty() {
            counted.witness = counted.witness.saturating_add(pending.first().copied().unwrap_or(0));
        }
        counted
    }
}
