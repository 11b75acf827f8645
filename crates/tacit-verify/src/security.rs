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
    plan::{Plan, PlanError},
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
        let coordinates =
            &mut plan.requantise.iter().map(|node| node.log_width.saturating_add(plan.log_rows));
        add("requantisation: accumulators at the look-up point", sum(coordinates));
    }
    let layers = &plan.weights.layers;
    add(
        "outputs: random point",
        layers.last().map_or(0, |layer| layer.log_outputs).saturating_add(plan.log_rows),
    );
    add("dense: product sumchecks", sum(&mut layers.iter().map(|layer| layer.log_inputs.saturating_mul(2))));
    add("weights: batching and sumcheck", layers.len().saturating_add(plan.weights.vars).saturating_mul(2));
    if let Some(vars) = plan.witness_vars {
        let claims = plan.columns.len().saturating_add(layers.len());
        add("witness: batching and sumcheck", claims.saturating_add(vars.saturating_mul(2)));
    }
    terms
}
