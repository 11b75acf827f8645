//! Runs a committed model and proves the run.

use p3_multilinear_util::point::Point;
use p3_sumcheck::PrescribedPointPcs;
use tacit_graph::{AnswerError, ExecuteError, execute};
use tacit_verify::{
    PlanError, Reject, RowSalt, Statement,
    commitment::{Challenger, OpeningProof, Pcs, Scheme, SetupError},
    field::{Ef, Fp, embed},
    opening,
    plan::Plan,
    security,
    statement::{KIND_COMMITTED, PROOF_VERSION, batch_digest, digest, transcript},
};

use crate::{
    argue::argue,
    model::{Committed, CommittedModel, Weights, commit},
    part::Part,
    tensors::Tensors,
    transcript::Transcript,
    witness::Witness,
};

/// Why a run cannot be proved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// An input row does not fit the graph.
    #[error("input row {row} does not fit the graph")]
    Input {
        /// Row number.
        row: usize,
        /// Why.
        source: AnswerError,
    },
    /// The model does not run on this batch.
    #[error("the model does not run on this batch")]
    Execute(#[from] ExecuteError),
    /// Another number of salts than rows.
    #[error("{expected} rows need as many salts, got {got}")]
    Salts {
        /// Rows.
        expected: usize,
        /// Salts given.
        got: usize,
    },
    /// The batch cannot be proved.
    #[error("the batch cannot be proved")]
    Plan(#[from] PlanError),
    /// The batch cannot be proved at this security.
    #[error("the batch cannot be proved at this security")]
    Setup(#[from] SetupError),
    /// The library refused its own parameters.
    #[error("the commitment library refused")]
    Library,
    /// The commitment to the weights hides them; only proofs that hide them too can be made.
    #[error("the weights are behind a hiding commitment: prove in zero knowledge")]
    Hiding,
    /// The commitment to the weights does not hide them.
    #[error("the weights are not behind a hiding commitment")]
    NotHiding,
    /// All openings that the commitment was made for are spent; one more could show weights.
    #[error("all {openings} openings of the commitment are spent: commit again with a fresh seed")]
    OpeningsSpent {
        /// Openings it was made for.
        openings: u32,
    },
    /// The prover's own proof does not replay: nothing is given out.
    #[error("the proof does not replay")]
    Replay(#[from] Reject),
    /// Values and masks do not match one to one: nothing is given out.
    #[error("values and masks do not match")]
    Masks,
}

/// Outputs and why to believe them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved {
    /// Last accumulators. Shape `[rows][outputs]`.
    pub outputs: Vec<Vec<i32>>,
    /// For [`tacit_verify::verify`].
    pub proof: Vec<u8>,
}

/// A run that is ready to be proved.
#[derive(Debug, Clone)]
pub struct Run {
    /// Layout of its proof.
    pub plan: Plan,
    /// What is claimed.
    pub statement: Statement,
    /// Committed columns.
    pub witness: Witness,
    /// Padded values of tensors that are read and not committed; empty for the others.
    pub tensors: Vec<Vec<Fp>>,
    /// What is looked up and not committed, in the order of [`Plan::virtuals`].
    pub virtuals: Vec<Vec<Fp>>,
    /// The last tensor, padded.
    pub output: Vec<Fp>,
    /// Encoded rows. Shape `[rows][features]`.
    pub encoded: Vec<Vec<i16>>,
    /// Digest of every row's salt; none when the rows are public.
    pub salts: Vec<[u8; 32]>,
}

/// Outputs of strangers' rows and one proof for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvedBatch {
    /// Last accumulators. Shape `[rows][outputs]`.
    pub outputs: Vec<Vec<i32>>,
    /// For [`tacit_verify::verify_batch`].
    pub proof: Vec<u8>,
}

/// Runs the model on raw rows and proves the run without making the rows part of the statement: each is tied to the
/// proof by a salt, which whoever asked needs to check that the proof is about it. Salts MUST be uniform and new.
///
/// # Errors
/// As [`prove`]; [`ProveError::Salts`] unless there is one for each row.
pub fn prove_batch(
    model: &CommittedModel,
    inputs: &[Vec<i64>],
    salts: &[RowSalt],
) -> Result<ProvedBatch, ProveError> {
    let run = Run::committed(model, inputs, salts)?;
    let proof = prove_run(model, &run)?;
    Ok(ProvedBatch { outputs: run.statement.outputs, proof })
}

/// Runs the model on raw rows, in units of `2^-24`, and proves the run.
///
/// # Errors
/// Refuses rows that do not fit, and batches that cannot be proved.
pub fn prove(model: &CommittedModel, inputs: &[Vec<i64>]) -> Result<Proved, ProveError> {
    let run = Run::new(model, inputs)?;
    let proof = prove_run(model, &run)?;
    Ok(Proved { outputs: run.statement.outputs, proof })
}

impl Run {
    /// Runs the model on raw rows.
    ///
    /// # Errors
    /// Refuses rows that do not fit, and batches that cannot be proved.
    pub fn new(model: &CommittedModel, inputs: &[Vec<i64>]) -> Result<Self, ProveError> {
        let plan = Plan::new(model.model().graph(), inputs.len())?;
        Self::of(model, plan, inputs, &[])
    }

    /// Runs the model on raw rows that the proof commits to.
    ///
    /// # Errors
    /// As [`Self::new`]; [`ProveError::Salts`] unless there is a salt for each row.
    pub fn committed(
        model: &CommittedModel,
        inputs: &[Vec<i64>],
        salts: &[RowSalt],
    ) -> Result<Self, ProveError> {
        if salts.len() != inputs.len() {
            return Err(ProveError::Salts { expected: inputs.len(), got: salts.len() });
        }
        let plan = Plan::committed(model.model().graph(), inputs.len())?;
        Self::of(model, plan, inputs, salts)
    }

    fn of(
        model: &CommittedModel,
        plan: Plan,
        inputs: &[Vec<i64>],
        salts: &[RowSalt],
    ) -> Result<Self, ProveError> {
        let graph = model.model().graph();
        let mut encoded = Vec::with_capacity(inputs.len());
        for (row, values) in inputs.iter().enumerate() {
            encoded.push(graph.encode_input(values).map_err(|source| ProveError::Input { row, source })?);
        }
        let trace = execute(model.model(), &encoded.concat(), inputs.len())?;
        let width = model.model().shapes().outputs();
        let outputs = trace.logits().chunks_exact(width).map(<[i32]>::to_vec).collect();
        let tensors = Tensors::new(&plan, graph, &trace);
        let (witness, virtuals) = Witness::new(&plan, graph, &tensors, salts);
        let statement = Statement { inputs: inputs.to_vec(), outputs };
        let output = tensors.get(plan.steps.len()).iter().map(|value| embed(*value)).collect();
        let salts = salts.iter().map(|salt| salt.digest()).collect();
        Ok(Self {
            statement,
            witness,
            tensors: tensors.into_read(&plan),
            virtuals,
            output,
            salts,
            encoded,
            plan,
        })
    }
}

impl Run {
    /// The digest of what is claimed, and the kind of a plain proof of it.
    pub(crate) fn statement_digest(&self, model: &CommittedModel) -> ([u8; 32], u8) {
        if self.plan.salts.is_empty() {
            (digest(&model.model_id(), &self.statement), 0)
        } else {
            (batch_digest(&model.model_id(), &self.salts), KIND_COMMITTED)
        }
    }
}

/// Proves a run as it stands, true or false.
///
/// # Errors
/// Refuses batches that cannot be proved at this security.
pub fn prove_run(model: &CommittedModel, run: &Run) -> Result<Vec<u8>, ProveError> {
    prove_run_observed(model, run, &mut |_| {})
}

/// [`prove_run`], telling before each part which one it is.
///
/// # Errors
/// As [`prove_run`].
pub fn prove_run_observed(
    model: &CommittedModel,
    run: &Run,
    observe: &mut dyn FnMut(Part),
) -> Result<Vec<u8>, ProveError> {
    let plan = &run.plan;
    let security = model.security();
    let Weights::Plain { scheme: weight_scheme, committed: weight_data } = model.commitment() else {
        return Err(ProveError::Hiding);
    };
    let scheme = plan.witness_vars.map(|vars| Scheme::new(vars, u32::from(security.bits()))).transpose()?;
    security::report(plan, weight_scheme, scheme.as_ref(), security)?;

    let (statement, kind) = run.statement_digest(model);
    let mut proof = vec![PROOF_VERSION, security.bits(), kind];
    proof.extend(run.salts.as_flattened());
    let mut transcript = Transcript::plain(transcript(&statement, security, kind), proof);
    weight_scheme.observe(&model.weight_root(), &mut transcript.challenger);
    observe(Part::Witness);
    let mut committed = None;
    let mut stack = Vec::new();
    if let Some(scheme) = &scheme {
        stack = run.witness.stack(plan, scheme.vars());
        let (root, data) = commit(scheme, stack.clone()).ok_or(ProveError::Library)?;
        transcript.proof.extend_from_slice(&root);
        scheme.observe(&root, &mut transcript.challenger);
        committed = Some(data);
    }

    let points = argue(plan, model.model().graph(), model.weights(), run, &stack, &mut transcript, observe);
    observe(Part::WeightOpening);
    let weights =
        open(weight_scheme, weight_data.as_ref().clone(), &points.weights, &mut transcript.challenger)
            .ok_or(ProveError::Library)?;
    transcript.proof.extend_from_slice(&opening::encode(&weights));
    observe(Part::WitnessOpening);
    if let (Some(scheme), Some(data)) = (&scheme, committed) {
        let witness =
            open(scheme, data, &points.witness, &mut transcript.challenger).ok_or(ProveError::Library)?;
        transcript.proof.extend_from_slice(&opening::encode(&witness));
    }
    observe(Part::End);
    Ok(transcript.proof)
}

fn open(scheme: &Scheme, data: Committed, point: &[Ef], challenger: &mut Challenger) -> Option<OpeningProof> {
    let points = [Point::new(point.to_vec())];
    <Pcs as PrescribedPointPcs<Ef, Challenger>>::open_at(
        scheme.pcs(),
        data,
        scheme.protocol(),
        &points,
        challenger,
    )
    .ok()
}
