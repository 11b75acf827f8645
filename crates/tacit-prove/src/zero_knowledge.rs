//! Proofs that show nothing but their statement (see [`tacit_verify::zero_knowledge`]).

use std::sync::atomic::{AtomicU32, Ordering};

use tacit_graph::Model;
use tacit_verify::{
    RowSalt, SecurityBits,
    field::Fp,
    hiding_shape::HidingShape,
    masked::Trees,
    plan::Plan,
    protocol::{Public, Rows},
    reader::Reader,
    security::BudgetError,
    statement::{KIND_ZERO_KNOWLEDGE, PROOF_VERSION},
    zero_knowledge::{Header, HidingPlan, Roots, outside_point, replay, transcript},
};

use crate::{
    argue::argue,
    hiding::{Hidden, Outside},
    inner::Secrets,
    model::{CommitError, CommittedModel, Weights, stack},
    prove::{ProveError, Proved, ProvedBatch, Run},
    randomness::{Randomness, Seed},
    transcript::Transcript,
};

/// How a commitment is to hide.
#[derive(Debug)]
pub struct Hiding {
    /// Proofs it is made for: each shows some rows of the code, and there is randomness for so many. More make it larger.
    pub openings_max: u32,
    /// Proofs already made with this seed and these weights.
    pub openings_used: u32,
    /// Where its randomness comes from. With the same seed, weights and number of openings the root is the same.
    pub seed: Seed,
}

/// Weights behind a hiding commitment, and how often they were opened.
pub(crate) struct HiddenWeights {
    openings: u32,
    used: AtomicU32,
    shape: HidingShape,
    hidden: Hidden,
    outside: Outside,
}

impl HiddenWeights {
    /// Commits; gives the root that names the model.
    pub(crate) fn commit(
        model: &Model,
        security: SecurityBits,
        hiding: Hiding,
    ) -> Result<(Self, [u8; 32]), CommitError> {
        let openings = hiding.openings_max;
        // A model of which no row can be proved is refused here, before anyone relies on its root.
        let plan = HidingPlan::new(model.graph(), Plan::new(model.graph(), 1)?, openings, security)?;
        let shape = plan.weights;
        let values = stack(&plan.plan.weights, model);
        let mut random = Randomness::new(
            &hiding.seed,
            WEIGHTS_CONTEXT,
            &[&openings.to_le_bytes(), &[security.bits()], &weights_digest(&values)],
        );
        let hidden = Hidden::commit(&shape, values, &mut random).ok_or(CommitError::Library)?;
        let used = AtomicU32::new(hiding.openings_used.min(openings));
        let point = outside_point(openings, security, &hidden.oracle.root, shape.vars);
        let outside = hidden.outside(&shape, &point);
        let made = Self { openings, used, shape, hidden, outside };
        let root = made.header(0).weight_root(security);
        Ok((made, root))
    }

    pub(crate) fn values(&self) -> &[Fp] {
        &self.hidden.values
    }

    pub(crate) fn openings_used(&self) -> u32 {
        self.used.load(Ordering::SeqCst)
    }

    pub(crate) fn openings_left(&self) -> u32 {
        self.openings.saturating_sub(self.openings_used())
    }

    /// Spends an opening; gives its index.
    fn take_opening(&self) -> Result<u32, ProveError> {
        self.used
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
                (used < self.openings).then(|| used.saturating_add(1))
            })
            .map_err(|_| ProveError::OpeningsSpent { openings: self.openings })
    }

    fn header(&self, opening: u32) -> Header {
        Header {
            openings: self.openings,
            opening,
            weight_oracle: self.hidden.oracle.root,
            weight_answer: self.outside.value,
        }
    }
}

/// Runs the model on raw rows, in units of `2^-24`, and proves the run without showing anything else.
///
/// Spends one opening of the commitment to the weights, also when it fails after it has begun to draw challenges.
///
/// # Errors
/// Refuses rows that do not fit, batches that cannot be proved, commitments that do not hide and those that are spent.
pub fn prove_zk(model: &CommittedModel, inputs: &[Vec<i64>], seed: &Seed) -> Result<Proved, ProveError> {
    let run = Run::new(model, inputs)?;
    let proof = prove_run_zk(model, &run, seed)?;
    Ok(Proved { outputs: run.statement.outputs, proof })
}

/// Runs the model on raw rows that the proof commits to, each with its salt, and shows nothing else.
///
/// # Errors
/// As [`prove_zk`] and [`crate::prove_batch`].
pub fn prove_batch_zk(
    model: &CommittedModel,
    inputs: &[Vec<i64>],
    salts: &[RowSalt],
    seed: &Seed,
) -> Result<ProvedBatch, ProveError> {
    let run = Run::committed(model, inputs, salts)?;
    let proof = prove_run_zk(model, &run, seed)?;
    Ok(ProvedBatch { outputs: run.statement.outputs, proof })
}

/// Proves a run as it stands, true or false.
///
/// # Errors
/// As [`prove_zk`].
pub fn prove_run_zk(model: &CommittedModel, run: &Run, seed: &Seed) -> Result<Vec<u8>, ProveError> {
    let Weights::Hiding(weights) = model.commitment() else { return Err(ProveError::NotHiding) };
    let security = model.security();
    let graph = model.model().graph();
    let hiding = HidingPlan::new(graph, run.plan.clone(), weights.openings, security).map_err(budget)?;
    let plan: &Plan = &hiding.plan;
    let header = weights.header(weights.take_opening()?);

    let (statement, kind) = run.statement_digest(model);
    let kind = kind | KIND_ZERO_KNOWLEDGE;
    let header_bytes = header.to_bytes();
    // What is proved decides the masks too: one seed used twice does not give two transcripts under the same masks.
    let drawn = |context| Randomness::new(seed, context, &[&header_bytes, &statement]);
    let mut random = drawn(PROOF_CONTEXT);
    let secrets = Secrets::commit(hiding.inner, &mut drawn(MASKS_CONTEXT)).ok_or(ProveError::Library)?;
    let witness = match &hiding.witness {
        Some(shape) => {
            let stack = run.witness.stack(plan, shape.vars);
            Some((shape, Hidden::commit(shape, stack, &mut random).ok_or(ProveError::Library)?))
        }
        None => None,
    };
    let roots = Roots {
        weights: header.weight_oracle,
        witness: witness.as_ref().map(|(_, hidden)| hidden.oracle.root),
        masks: secrets.oracle.root,
    };

    let mut proof = vec![PROOF_VERSION, security.bits(), kind];
    proof.extend(run.salts.as_flattened());
    proof.extend_from_slice(&header_bytes);
    roots.witness.iter().for_each(|root| proof.extend_from_slice(root));
    proof.extend_from_slice(&roots.masks);
    let start = proof.len();
    let challenger = transcript(&statement, security, kind, &header, &roots);
    let mut transcript = Transcript::masked(challenger.clone(), proof, &secrets.masks);
    let witness = witness.map(|(shape, hidden)| {
        let outside = hidden.outside(shape, &transcript.challenge_point(shape.vars));
        transcript.send(outside.value);
        (shape, hidden, outside)
    });
    let stack = witness.as_ref().map_or(&[][..], |(_, hidden, _)| &hidden.values);
    let points = argue(plan, graph, model.weights(), run, stack, &mut transcript, &mut |_| {});
    weights
        .hidden
        .open(&weights.shape, &weights.outside, &points.weights, &mut random, &mut transcript)
        .ok_or(ProveError::Library)?;
    if let Some((shape, hidden, outside)) = &witness {
        hidden
            .open(shape, outside, &points.witness, &mut random, &mut transcript)
            .ok_or(ProveError::Library)?;
    }
    if !transcript.masks_used() {
        return Err(ProveError::Masks);
    }

    // What is left to be proved is what the verifier finds in these bytes.
    let rows = if plan.salts.is_empty() {
        Rows::Public { inputs: &run.encoded, outputs: &run.statement.outputs }
    } else {
        Rows::Committed
    };
    let public = Public { graph, plan, rows };
    let mut challenger = challenger;
    let mut reader = Reader::new(transcript.proof.get(start..).unwrap_or_default());
    let (relation, _) =
        replay(public, &hiding, &header, &roots, &mut challenger, &mut reader, Trees::Trusted)?;
    secrets.prove(&relation, &mut transcript);
    Ok(transcript.proof)
}

fn budget(error: BudgetError) -> ProveError {
    match error {
        BudgetError::Plan(error) => ProveError::Plan(error),
        BudgetError::Setup(error) => ProveError::Setup(error),
        _ => ProveError::Library,
    }
}

/// Binds the randomness of a commitment to what is committed: one seed for two models does not give both the same pads.
fn weights_digest(values: &[Fp]) -> [u8; 32] {
    use p3_field::PrimeField32;
    let mut hasher = blake3::Hasher::new();
    for chunk in values.chunks(256) {
        let bytes: Vec<u8> = chunk.iter().flat_map(|value| value.as_canonical_u32().to_le_bytes()).collect();
        hasher.update(&bytes);
    }
    *hasher.finalize().as_bytes()
}

const WEIGHTS_CONTEXT: &str = "tacit 2026 hiding weight randomness v1";
const PROOF_CONTEXT: &str = "tacit 2026 hiding proof randomness v1";
const MASKS_CONTEXT: &str = "tacit 2026 mask randomness v1";

#[cfg(test)]
mod tests {
    use p3_field::PrimeCharacteristicRing;
    use tacit_graph::synthetic_mlp;
    use tacit_verify::{Reject, VerifyingModel, verify};

    use tacit_verify::field::Ef;

    use super::*;
    use crate::transcript::lies;

    fn commit(openings: u32) -> (Model, HiddenWeights) {
        // Weights enough for an opening of two rounds, which has an answer outside the domain of a later oracle.
        let model = synthetic_mlp(&[64, 20, 3], 1).unwrap();
        let hiding = Hiding { openings_max: openings, openings_used: 0, seed: Seed::new([1; 32]) };
        let (hidden, _) = HiddenWeights::commit(&model, SecurityBits::DEFAULT, hiding).unwrap();
        (model, hidden)
    }

    /// Proves as whoever holds `hidden` does; gives what the verifier says.
    fn outcome(model: &Model, hidden: HiddenWeights) -> Result<(), Reject> {
        let root = hidden.header(0).weight_root(SecurityBits::DEFAULT);
        let verifying = VerifyingModel::new(model.graph().clone(), root).unwrap();
        let model = CommittedModel::hidden(model.clone(), verifying, SecurityBits::DEFAULT, hidden);
        let run = Run::new(&model, &[vec![1 << 24; 64]]).unwrap();
        let proof = prove_run_zk(&model, &run, &Seed::new([2; 32])).unwrap();
        verify(model.verifying_model(), &run.statement, &proof).map(|_| ())
    }

    #[test]
    fn one_wrong_message_is_refused_whichever_it_is() {
        let (model, hidden) = commit(40);
        let hiding =
            HidingPlan::new(model.graph(), Plan::new(model.graph(), 1).unwrap(), 40, SecurityBits::DEFAULT);
        let hiding = hiding.unwrap();
        assert!(hiding.weights.rounds.len() > 1, "{:?}", hiding.weights);
        assert_eq!(outcome(&model, hidden), Ok(()));
        let messages = hiding.inner.counts.masks;
        let opening = hiding.weights.messages() + hiding.witness.map_or(0, |shape| shape.messages());
        // Number 0 is the witness outside the domain. The folded randomness and the last polynomials are many of a kind.
        let protocol = messages - opening;
        let first = hiding.weights.rounds.iter().map(|round| 2 * round.fold).sum::<usize>() + 4;
        let all = (0..protocol)
            .step_by(3)
            .chain(protocol..protocol + first)
            .chain((protocol + first..messages).step_by(17));
        for lie in all {
            let (model, hidden) = commit(40);
            let got = lies::telling(lie, || outcome(&model, hidden));
            assert_eq!(got, Err(Reject::InnerSum), "message {lie} of {messages}");
        }
    }

    #[test]
    fn weights_that_answer_wrongly_outside_the_domain_are_never_opened() {
        let (model, mut hidden) = commit(2);
        hidden.outside.value += Ef::ONE;
        assert_eq!(outcome(&model, hidden), Err(Reject::InnerSum));
    }

    #[test]
    fn an_opening_of_another_polynomial_is_refused() {
        // The same weights, so that every claim of the argument is true; only a random value is not that of the oracle.
        let (model, mut hidden) = commit(2);
        *hidden.hidden.values.last_mut().unwrap() += Fp::ONE;
        let point = outside_point(2, SecurityBits::DEFAULT, &hidden.hidden.oracle.root, hidden.shape.vars);
        hidden.outside = hidden.hidden.outside(&hidden.shape, &point);
        assert_eq!(outcome(&model, hidden), Err(Reject::InnerSum));
    }
}
