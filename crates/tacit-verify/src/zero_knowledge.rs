//! Proofs that show nothing but their statement.
//!
//! The protocol is that of [`crate::protocol`], run in the [`crate::masked`] context; both openings are those of
//! [`crate::hiding`]; [`crate::inner`] proves what the verifier would have checked. Written down in `specs/0003-zero-knowledge.md`.

use p3_blake3::Blake3;
use tacit_graph::Graph;

use crate::{
    batch::Opening,
    bits::Bits,
    commitment::{Challenger, OpeningSecurity, SetupError},
    context::{Context, Value, draw},
    field::{EF_BYTES, Ef, ef_to_bytes},
    hiding,
    hiding_shape::{HidingShape, Lifetime},
    inner,
    inner_shape::InnerShape,
    masked::{Counts, Linear, Masked, Relation, Trees},
    oracle::observe_root,
    plan::{Plan, WeightTensor},
    protocol::{self, Public, Rows},
    reader::Reader,
    reject::Reject,
    rows::Fingerprints,
    security::{BudgetError, SecurityBits, SecurityReport, Term, interactive_terms},
    statement::{Claim, KIND_ZERO_KNOWLEDGE, PROOF_VERSION, kind},
};

/// Most openings a commitment can be made for.
pub const MAX_OPENINGS: u32 = 1 << 16;

/// A plan whose commitments hide.
#[derive(Debug, Clone)]
pub struct HidingPlan {
    /// The plan, with commitments as large as the hiding ones.
    pub plan: Plan,
    /// Shape of the commitment to the weights.
    pub weights: HidingShape,
    /// Shape of the commitment to the witness, if there is one.
    pub witness: Option<HidingShape>,
    /// Shape of the inner argument.
    pub inner: InnerShape,
    /// The level it is made for.
    pub security: SecurityBits,
}

impl HidingPlan {
    /// Makes the commitments of `plan` hide, against a commitment to the weights made for `openings` openings.
    ///
    /// # Errors
    /// Refuses what cannot be proved, and levels that are not reached: there is no plan that falls short of its own.
    pub fn new(
        graph: &Graph,
        mut plan: Plan,
        openings: u32,
        security: SecurityBits,
    ) -> Result<Self, BudgetError> {
        let bits = u32::from(security.bits());
        let weights = weight_shape(&plan, openings, security)?;
        plan.weights.vars = weights.vars;
        let witness = match plan.witness_vars {
            Some(_) => {
                let shape = HidingShape::new(witness_len(&plan), Lifetime::OneProof, bits)?;
                plan.witness_vars = Some(shape.vars);
                Some(shape)
            }
            None => None,
        };
        let counts = counts(graph, &plan, &weights, witness.as_ref());
        let inner = InnerShape::new(counts, bits)?;
        let hiding = Self { plan, weights, witness, inner, security };
        Ok(report(&hiding).map(|_| hiding)?)
    }
}

/// The shape of a hiding commitment to weights.
///
/// # Errors
/// Refuses what does not fit the field, no openings and too many.
pub fn weight_shape(plan: &Plan, openings: u32, security: SecurityBits) -> Result<HidingShape, SetupError> {
    let bits = u32::from(security.bits());
    if openings == 0 || openings > MAX_OPENINGS {
        return Err(SetupError::Openings { got: openings });
    }
    HidingShape::new(weight_len(plan), Lifetime::Openings(openings), bits)
}

/// Values of the weight commitment in use.
fn weight_len(plan: &Plan) -> usize {
    let end = |tensor: &WeightTensor| {
        let rows = tensor.first_row.saturating_add(tensor.rows());
        u32::try_from(tensor.log_row()).ok().and_then(|log| rows.checked_shl(log)).unwrap_or(usize::MAX)
    };
    plan.weights.tensors.iter().map(end).max().unwrap_or(0)
}

/// Values of the witness commitment in use.
fn witness_len(plan: &Plan) -> usize {
    let end = |column: &crate::plan::Column| {
        let len = u32::try_from(column.vars).ok().and_then(|vars| 1usize.checked_shl(vars));
        column.offset.saturating_add(len.unwrap_or(usize::MAX))
    };
    plan.columns.iter().map(end).max().unwrap_or(0)
}

/// How many values and products a proof by this plan has.
fn counts(graph: &Graph, plan: &Plan, weights: &HidingShape, witness: Option<&HidingShape>) -> Counts {
    let mut counts = Counts::default();
    let rows =
        if plan.salts.is_empty() { Rows::Public { inputs: &[], outputs: &[] } } else { Rows::Committed };
    let public = Public { graph, plan, rows };
    // A count cannot be rejected: nothing is missing and nothing is checked.
    let _ = protocol::verify(public, &mut counts);
    // The witness answers outside the domain under a mask.
    let of_witness = |shape: &HidingShape| shape.messages().saturating_add(1);
    let openings = weights.messages().saturating_add(witness.map_or(0, of_witness));
    counts.masks = counts.masks.saturating_add(openings);
    counts
}

/// What the header of a proof says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Openings that the weight commitment is made for.
    pub openings: u32,
    /// Which of them this proof uses, from zero.
    pub opening: u32,
    /// Root of the weight oracle.
    pub weight_oracle: [u8; 32],
    /// The weights at the point outside the domain that follows from the root.
    pub weight_answer: Ef,
}

impl Header {
    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(EF_BYTES.saturating_add(40));
        bytes.extend_from_slice(&self.openings.to_le_bytes());
        bytes.extend_from_slice(&self.opening.to_le_bytes());
        bytes.extend_from_slice(&self.weight_oracle);
        bytes.extend_from_slice(&ef_to_bytes(&self.weight_answer));
        bytes
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Reject> {
        Ok(Self {
            openings: reader.u32()?,
            opening: reader.u32()?,
            weight_oracle: reader.array()?,
            weight_answer: reader.extension()?,
        })
    }

    /// The root that names the model: it binds the number of openings and the level, which decide the shape, and the answer outside the domain, which decides
    /// which of the polynomials near the oracle the weights are.
    #[must_use]
    pub fn weight_root(&self, security: SecurityBits) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(WEIGHT_ROOT_CONTEXT);
        hasher.update(&self.openings.to_le_bytes());
        hasher.update(&[security.bits()]);
        hasher.update(&self.weight_oracle);
        hasher.update(&ef_to_bytes(&self.weight_answer));
        *hasher.finalize().as_bytes()
    }

    /// What the weight oracle answered outside the domain.
    fn outside(&self, hiding: &HidingPlan) -> Opening<Linear> {
        let point = outside_point(self.openings, hiding.security, &self.weight_oracle, hiding.weights.vars);
        Opening { point, value: Linear::constant(self.weight_answer) }
    }
}

/// The point outside the domain at which a weight oracle of `2^vars` values answers once and for all.
#[must_use]
pub fn outside_point(
    openings: u32,
    security: SecurityBits,
    weight_oracle: &[u8; 32],
    vars: usize,
) -> Vec<Ef> {
    let mut state = OUTSIDE_DOMAIN.to_vec();
    state.extend_from_slice(&openings.to_le_bytes());
    state.push(security.bits());
    let mut challenger = Challenger::from_hasher(state, Blake3);
    observe_root(weight_oracle, &mut challenger);
    (0..vars).map(|_| draw(&mut challenger)).collect()
}

/// Roots of a proof, in the order they are bound.
#[derive(Debug, Clone, Copy)]
pub struct Roots {
    /// Weights.
    pub weights: [u8; 32],
    /// Witness, if there is one.
    pub witness: Option<[u8; 32]>,
    /// Masks.
    pub masks: [u8; 32],
}

/// The sponge of a proof: format, security, header and statement, then all roots.
#[must_use]
pub fn transcript(
    statement_digest: &[u8; 32],
    security: SecurityBits,
    kind: u8,
    header: &Header,
    roots: &Roots,
) -> Challenger {
    let mut state = TRANSCRIPT_DOMAIN.to_vec();
    state.extend_from_slice(&[PROOF_VERSION, security.bits(), kind]);
    state.extend_from_slice(&header.to_bytes());
    state.extend_from_slice(statement_digest);
    let mut challenger = Challenger::from_hasher(state, Blake3);
    for root in [Some(&roots.weights), roots.witness.as_ref(), Some(&roots.masks)].into_iter().flatten() {
        observe_root(root, &mut challenger);
    }
    challenger
}

/// Replays protocol and openings; gives what is left to be proved of the secrets.
///
/// # Errors
/// The first check that fails.
pub fn replay(
    public: Public<'_>,
    hiding: &HidingPlan,
    header: &Header,
    roots: &Roots,
    challenger: &mut Challenger,
    reader: &mut Reader<'_>,
    trees: Trees,
) -> Result<(Relation, Option<Fingerprints>), Reject> {
    let mut context = Masked::new(challenger, reader, trees);
    // The witness is one polynomial before anything is asked of it.
    let witness = match (&hiding.witness, &roots.witness) {
        (Some(shape), Some(root)) => {
            let point = context.challenge_point(shape.vars);
            Some((shape, root, Opening { point, value: context.receive()? }))
        }
        _ => None,
    };
    let openings = protocol::verify(public, &mut context)?;
    let outside = header.outside(hiding);
    hiding::verify(&hiding.weights, &header.weight_oracle, &outside, &openings.weights, &mut context)?;
    if let (Some((shape, root, outside)), Some(opening)) = (&witness, &openings.witness) {
        hiding::verify(shape, root, outside, opening, &mut context)?;
    }
    Ok((context.finish(), openings.fingerprints))
}

/// Checks the bytes that follow version, level, kind and salts; gives the fingerprints of committed rows.
pub(crate) fn verify(claim: Claim<'_>, mut reader: Reader<'_>) -> Result<Option<Fingerprints>, Reject> {
    let Claim { model, plan, rows, digest, security } = claim;
    let header = Header::read(&mut reader)?;
    if header.weight_root(security) != *model.weight_root() {
        return Err(Reject::WeightRoot);
    }
    if header.opening >= header.openings {
        return Err(Reject::OpeningIndex { got: header.opening, openings: header.openings });
    }
    let hiding = HidingPlan::new(model.graph(), plan, header.openings, security)?;
    let witness = if hiding.witness.is_some() { Some(reader.array()?) } else { None };
    let roots = Roots { weights: header.weight_oracle, witness, masks: reader.array()? };
    let kind = kind(rows) | KIND_ZERO_KNOWLEDGE;
    let mut challenger = transcript(digest, security, kind, &header, &roots);
    let public = Public { graph: model.graph(), plan: &hiding.plan, rows };
    let (relation, fingerprints) =
        replay(public, &hiding, &header, &roots, &mut challenger, &mut reader, Trees::Checked)?;
    inner::verify(&hiding.inner, &roots.masks, &relation, &mut challenger, &mut reader)?;
    reader.finish()?;
    Ok(fingerprints)
}

/// The budget of a proof that shows nothing, `rows` rows against a commitment made for `openings` openings.
///
/// # Errors
/// Refuses what cannot be proved, and levels that are not reached.
pub fn zero_knowledge_report(
    graph: &Graph,
    rows: usize,
    openings: u32,
    security: SecurityBits,
) -> Result<SecurityReport, BudgetError> {
    Ok(report(&HidingPlan::new(graph, Plan::new(graph, rows)?, openings, security)?)?)
}

/// The budget of a proof by this plan.
///
/// # Errors
/// [`SetupError::BelowTarget`].
pub fn report(hiding: &HidingPlan) -> Result<SecurityReport, SetupError> {
    let security = hiding.security;
    // Weights and witness are one polynomial each once they have answered outside the domain; the masks are one of a short list.
    let list_bits = hiding.inner.list_bits();
    let masks = OpeningSecurity { bits: Bits::whole(u8::MAX), list_bits };
    let mut terms = interactive_terms(&hiding.plan, &masks, None);
    terms.push(Term { name: "weights: opening", bits: hiding.weights.security().less(list_bits) });
    if let Some(witness) = &hiding.witness {
        terms.push(Term { name: "witness: opening", bits: witness.security().less(list_bits) });
    }
    let Counts { masks, products } = hiding.inner.counts;
    let equations = masks.saturating_add(products.saturating_mul(2));
    terms.push(Term { name: "masks: inner argument", bits: hiding.inner.security(equations) });
    let total = Bits::of_sum(terms.iter().map(|term| term.bits));
    if total < Bits::whole(security.bits()) {
        return Err(SetupError::BelowTarget { bits: u32::from(security.bits()), got: total.floor() });
    }
    Ok(SecurityReport { terms, total, target: security })
}

const WEIGHT_ROOT_CONTEXT: &str = "tacit 2026 hiding weight root v2";
const OUTSIDE_DOMAIN: &[u8] = b"tacit hiding weights outside the domain v1";
const TRANSCRIPT_DOMAIN: &[u8] = b"tacit proof transcript";

#[cfg(test)]
mod tests {
    use tacit_graph::synthetic_mlp;

    use super::*;

    #[test]
    fn a_plan_with_a_query_too_few_falls_short_of_its_level() {
        let model = synthetic_mlp(&[30, 20, 5], 1).unwrap();
        let plan = Plan::new(model.graph(), 1).unwrap();
        let honest = HidingPlan::new(model.graph(), plan, 2, SecurityBits::DEFAULT).unwrap();
        assert!(report(&honest).unwrap().total >= Bits::whole(100));
        let short = |shorten: &dyn Fn(&mut HidingPlan)| {
            let mut hiding = honest.clone();
            shorten(&mut hiding);
            assert!(matches!(report(&hiding), Err(SetupError::BelowTarget { bits: 100, .. })));
        };
        for round in 0..honest.weights.rounds.len() {
            short(&|hiding| hiding.weights.rounds[round].queries -= 8);
        }
        for round in 0..honest.witness.as_ref().unwrap().rounds.len() {
            short(&|hiding| hiding.witness.as_mut().unwrap().rounds[round].queries -= 8);
        }
        short(&|hiding| hiding.inner.queries -= 8);
    }
}
