//! Runs a committed model and proves the run.

use p3_field::PrimeCharacteristicRing;
use p3_multilinear_util::point::Point;
use p3_sumcheck::PrescribedPointPcs;
use tacit_graph::{AnswerError, ExecuteError, execute};
use tacit_verify::{
    PlanError, Reject, Statement,
    commitment::{Challenger, OpeningProof, Pcs, Scheme, SetupError},
    field::{Ef, Fp, embed},
    opening,
    plan::{Plan, Step},
    security,
    statement::{PROOF_VERSION, digest, transcript},
};

use crate::{
    batch::{self, WeightClaim, WitnessClaim},
    dense::{self, LayerInput, TensorClaim},
    lookup,
    model::{Committed, CommittedModel, Weights, commit},
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
    /// Encoded rows. Shape `[rows][features]`.
    pub encoded: Vec<Vec<i8>>,
    /// Committed columns.
    pub witness: Witness,
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
        let graph = model.model().graph();
        let plan = Plan::new(graph, inputs.len())?;
        let mut encoded = Vec::with_capacity(inputs.len());
        for (row, values) in inputs.iter().enumerate() {
            encoded.push(graph.encode_input(values).map_err(|source| ProveError::Input { row, source })?);
        }
        let trace = execute(model.model(), &encoded.concat(), inputs.len())?;
        let width = model.model().shapes().outputs();
        let outputs = trace.logits().chunks_exact(width).map(<[i32]>::to_vec).collect();
        let witness = Witness::from_trace(&plan, graph, &trace);
        Ok(Self { plan, statement: Statement { inputs: inputs.to_vec(), outputs }, encoded, witness })
    }
}

/// Proves a run as it stands, true or false.
///
/// # Errors
/// Refuses batches that cannot be proved at this security.
pub fn prove_run(model: &CommittedModel, run: &Run) -> Result<Vec<u8>, ProveError> {
    let plan = &run.plan;
    let security = model.security();
    let Weights::Plain { scheme: weight_scheme, committed: weight_data } = model.commitment() else {
        return Err(ProveError::Hiding);
    };
    let scheme = plan.witness_vars.map(|vars| Scheme::new(vars, u32::from(security.bits()))).transpose()?;
    security::report(plan, weight_scheme, scheme.as_ref(), security)?;

    let statement = digest(&model.model_id(), &run.statement);
    let mut transcript =
        Transcript::plain(transcript(&statement, security), vec![PROOF_VERSION, security.bits()]);
    weight_scheme.observe(&model.weight_root(), &mut transcript.challenger);
    let mut committed = None;
    let mut stack = Vec::new();
    if let Some(scheme) = &scheme {
        stack = run.witness.stack(plan, scheme.vars());
        let (root, data) = commit(scheme, stack.clone()).ok_or(ProveError::Library)?;
        transcript.proof.extend_from_slice(&root);
        scheme.observe(&root, &mut transcript.challenger);
        committed = Some(data);
    }

    let (witness_point, weight_point) = argue(model, plan, run, &stack, &mut transcript);
    let weights =
        open(weight_scheme, weight_data.as_ref().clone(), &weight_point, &mut transcript.challenger)
            .ok_or(ProveError::Library)?;
    transcript.proof.extend_from_slice(&opening::encode(&weights));
    if let (Some(scheme), Some(data)) = (&scheme, committed) {
        let witness =
            open(scheme, data, &witness_point, &mut transcript.challenger).ok_or(ProveError::Library)?;
        transcript.proof.extend_from_slice(&opening::encode(&witness));
    }
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

/// The algebraic part, in step with [`tacit_verify::protocol`]; returns the points of both openings.
pub(crate) fn argue(
    model: &CommittedModel,
    plan: &Plan,
    run: &Run,
    stack: &[Fp],
    transcript: &mut Transcript,
) -> (Vec<Ef>, Vec<Ef>) {
    let mut pending: Vec<Vec<TensorClaim>> = vec![Vec::new(); plan.steps.len() + 1];
    let mut witness_claims = Vec::new();
    let mut weight_claims = Vec::new();
    if let Some(leaf_vars) = plan.leaf_vars {
        let claims = lookup::prove(plan, model.model().graph(), leaf_vars, &run.witness, transcript);
        for node in &plan.requantise {
            let point = tacit_verify::lookup::suffix(&claims.point, plan.log_rows + node.log_width);
            let (rows, columns) = point.split_at(plan.log_rows);
            pending[node.input]
                .push(TensorClaim { row_point: rows.to_vec(), column_point: columns.to_vec() });
        }
        for (column, layout) in plan.columns.iter().enumerate() {
            let point = tacit_verify::lookup::suffix(&claims.point, layout.vars).to_vec();
            witness_claims.push(WitnessClaim { column, point });
        }
    }
    let row_point = transcript.challenge_point(plan.log_rows);
    let column_vars = plan.weights.layers.last().map_or(0, |layer| layer.log_outputs);
    let column_point = transcript.challenge_point(column_vars);
    pending[plan.steps.len()].push(TensorClaim { row_point, column_point });

    let weights = model.weights();
    for step in plan.steps.iter().rev() {
        match *step {
            Step::Dense(index) => {
                let layer = &plan.weights.layers[index];
                let encoded;
                let made = plan.requantise.iter().find(|node| node.output == layer.input);
                let input = match made {
                    Some(node) => LayerInput { values: &run.witness.columns[node.image], public: false },
                    None => {
                        encoded = pad_inputs(&run.encoded, plan.log_rows, layer.log_inputs);
                        LayerInput { values: &encoded, public: true }
                    }
                };
                for claim in core::mem::take(&mut pending[layer.output]) {
                    let point = dense::prove(layer, weights, &input, &claim, transcript);
                    let TensorClaim { row_point, column_point } = claim;
                    pending[layer.input].push(TensorClaim { row_point, column_point: point.clone() });
                    weight_claims.push(WeightClaim { layer: index, row_point: point, column_point });
                }
            }
            Step::Requantise(index) => {
                let node = &plan.requantise[index];
                for claim in core::mem::take(&mut pending[node.output]) {
                    let point = claim.row_point.into_iter().chain(claim.column_point).collect();
                    witness_claims.push(WitnessClaim { column: node.image, point });
                }
            }
        }
    }
    let witness_point = match plan.witness_vars {
        Some(vars) => batch::prove_witness(plan, vars, stack, &witness_claims, transcript),
        None => Vec::new(),
    };
    let weight_point = batch::prove_weights(&plan.weights, weights, &weight_claims, transcript);
    (witness_point, weight_point)
}

/// Public rows as the first layer reads them.
fn pad_inputs(rows: &[Vec<i8>], log_rows: usize, log_width: usize) -> Vec<Fp> {
    let mut padded = vec![Fp::ZERO; 1 << (log_rows + log_width)];
    for (index, slots) in padded.chunks_exact_mut(1 << log_width).enumerate() {
        let Some(row) = rows.get(index).or(rows.last()) else { continue };
        for (slot, value) in slots.iter_mut().zip(row) {
            *slot = embed(i32::from(*value));
        }
    }
    padded
}
