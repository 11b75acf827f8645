//! The error budget of one proof, term by term.
//!
//! Every term is `-log2` of a probability that a false statement passes one step, in the random oracle model, with
//! proven bounds only. Interactive terms hold per polynomial the commitments may stand for, so each is raised by
//! the two list sizes (Johnson bound); the openings account for their own lists. Totals add probabilities.

use tacit_graph::Graph;

use crate::{
    commitment::{OpeningSecurity, Scheme, SetupError},
    field::EF_BITS,
    plan::Plan,
    reject::Reject,
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
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// Which step.
    pub name: String,
    /// `-log2` of its error.
    pub bits: f64,
}

/// All sources of error of one proof.
#[derive(Debug, Clone, PartialEq)]
pub struct SecurityReport {
    /// Each step.
    pub terms: Vec<Term>,
    /// `-log2` of the sum of all errors.
    pub total_bits: f64,
    /// What was asked for.
    pub target_bits: u8,
}

/// The budget of a proof that `graph` was run on `rows` rows.
///
/// # Errors
/// Refuses what cannot be proved, and levels that are not reached.
pub fn security_report(graph: &Graph, rows: usize, security: SecurityBits) -> Result<SecurityReport, Reject> {
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
    terms.push(Term { name: "weights: opening".into(), bits: weight_opening.bits });
    if let Some(opening) = witness_opening {
        terms.push(Term { name: "witness: opening".into(), bits: opening.bits });
    }
    let error: f64 = terms.iter().map(|term| (-term.bits).exp2()).sum();
    let total_bits = -error.log2();
    if total_bits.is_nan() || total_bits < f64::from(target) {
        return Err(SetupError::BelowTarget { bits: target, got: whole_bits(total_bits) });
    }
    Ok(SecurityReport { terms, total_bits, target_bits: security.bits() })
}

fn whole_bits(bits: f64) -> u32 {
    (0..256u32).rev().find(|whole| f64::from(*whole) <= bits).unwrap_or(0)
}

#[cfg_attr(
    not(test),
    expect(clippy::as_conversions, reason = "counts are far below 2^53, so they are exact as floats")
)]
fn interactive_terms(plan: &Plan, weights: &OpeningSecurity, witness: Option<&OpeningSecurity>) -> Vec<Term> {
    let lists = weights.list_bits + witness.map_or(0.0, |opening| opening.list_bits);
    let mut terms = Vec::new();
    // A step fails with probability at most `roots / |F|` per pair of candidates.
    let mut add = |name: &str, roots: f64| {
        if roots > 0.0 {
            terms.push(Term { name: name.into(), bits: EF_BITS - roots.log2() - lists });
        }
    };
    let rows = plan.log_rows as f64;
    if let Some(vars) = plan.leaf_vars {
        let vars = vars as f64;
        add("look-ups: fingerprints and poles", (vars + 1.0).exp2() + vars.exp2());
        // Layer `k` has `k` rounds of degree 3, one batching and one line over two claims.
        add("look-ups: tree", 1.5 * vars * vars + 3.0 * vars);
        let accumulators = plan.requantise.iter().map(|node| rows + node.log_width as f64).sum::<f64>();
        add("requantisation: accumulators at the look-up point", accumulators);
    }
    let outputs = plan.weights.layers.last().map_or(0.0, |layer| layer.log_outputs as f64);
    add("outputs: random point", rows + outputs);
    add(
        "dense: product sumchecks",
        plan.weights.layers.iter().map(|layer| 2.0 * layer.log_inputs as f64).sum(),
    );
    add(
        "weights: batching and sumcheck",
        2.0 * plan.weights.layers.len() as f64 + 2.0 * plan.weights.vars as f64,
    );
    if let Some(vars) = plan.witness_vars {
        let claims = plan.columns.len().saturating_add(plan.weights.layers.len());
        add("witness: batching and sumcheck", claims as f64 + 2.0 * vars as f64);
    }
    terms
}
