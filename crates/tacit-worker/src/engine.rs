//! What computes an answer and its evidence.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use alloy_primitives::B256;
use rand::TryRngCore;
use tacit_abi::Evidence;
use tacit_encrypt::{
    Offer,
    server::{EncryptedModel, EvaluationKeys},
};
use tacit_graph::{
    Trace,
    trace::{
        Hash, Node, Openings as TraceOpenings, Question, TraceTree, WeightsTree, check_auditable, width,
    },
};
use tacit_prove::{CommittedModel, Seed};
use tacit_verify::{RowSalt, plan::Plan};
use tacit_wire::{AnswerSeed, JobHeader, Output, RowProof, TraceEvidence};
use zeroize::Zeroizing;

/// A job whose input is well-formed.
#[expect(missing_debug_implementations, reason = "it holds the client's input")]
pub struct OpenedJob {
    /// Public terms.
    pub header: JobHeader,
    /// What there is to compute on.
    pub input: JobInput,
}

/// What there is to compute on: the input itself, or, in an encrypted job, what nobody but the client can read.
#[expect(missing_debug_implementations, reason = "it holds the client's input")]
pub enum JobInput {
    /// Raw values in units of `2^-24`, one per feature of the model.
    Values(Zeroizing<Vec<i64>>),
    /// A query for the model's offer.
    Query {
        /// Its bytes.
        bytes: Vec<u8>,
        /// What the answer's randomness is drawn from.
        seed: AnswerSeed,
        /// The client's public keys, where the query names some.
        keys: Option<Arc<EvaluationKeys>>,
    },
}

/// What an engine gives back.
#[derive(Clone, PartialEq, Eq)]
pub struct EngineAnswer {
    /// Logits; a ciphertext of them in an encrypted job.
    pub output: Output,
    /// The proof; none when the header's evidence needs none.
    pub proof: Option<RowProof>,
    /// The run's trace; none but for evidence `audited` of what can be read.
    pub trace: Option<TraceEvidence>,
}

/// What lies under a node of a run's trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revealed {
    /// The hashes of one step of a dispute.
    Hashes(Vec<Hash>),
    /// The bytes of the tile, where the node is a leaf.
    Tile(Vec<u8>),
}

/// Why an engine gave no answer.
#[derive(Debug, thiserror::Error)]
#[error("the engine failed: {0}")]
pub struct EngineError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Computes answers for one model. Runs on a blocking thread.
pub trait Engine: Send + Sync + 'static {
    /// Answers one job with the evidence its header asks for.
    ///
    /// # Errors
    /// [`EngineError`]; the job then costs nothing.
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError>;

    /// What clients need to ask under encryption; none where that cannot be done.
    fn offer(&self) -> Option<&Offer> {
        None
    }

    /// Most jobs with evidence `proved` that one proof may answer.
    fn together_max(&self) -> usize {
        1
    }

    /// Answers up to [`Self::together_max`] jobs with evidence `proved`, in their order.
    ///
    /// # Errors
    /// [`EngineError`]; each job may then still be answered alone.
    fn answer_together(&self, jobs: &[&OpenedJob]) -> Result<Vec<EngineAnswer>, EngineError> {
        jobs.iter().map(|job| self.answer(job)).collect()
    }

    /// Root of the tree over the model's weights, where its runs can be disputed; none where they cannot, or this engine does no run again.
    fn weights_root(&self) -> Option<B256> {
        None
    }

    /// Does the run of a row with evidence `audited` again, and gives what lies under a node of the trace that its receipt commits to.
    ///
    /// # Errors
    /// [`EngineError`].
    fn reveal(&self, values: &[i64], node: Node) -> Result<Revealed, EngineError> {
        let _ = (values, node);
        Err(EngineError("this engine does no run again".into()))
    }

    /// What one element of such a run is made of, and what opens that in the trace and in the weights; `None` if there is no such element.
    ///
    /// # Errors
    /// [`EngineError`].
    fn opened(&self, values: &[i64], node: u32, element: u32) -> Result<Option<TraceOpenings>, EngineError> {
        let _ = (values, node, element);
        Err(EngineError("this engine does no run again".into()))
    }
}

/// Keeps count of the openings of a hiding commitment, where a restart finds it.
pub trait Openings: Send + Sync + 'static {
    /// Records that so many openings are spent. Returns once that is on disk.
    ///
    /// # Errors
    /// When it cannot be written; the proof that spent the opening is then not given out.
    fn record(&self, used: u32) -> std::io::Result<()>;
}

/// The honest engine: the exact graph, and its proof, in zero knowledge where the commitment to the weights hides them.
///
/// Every proof commits to its rows, one job's or many, so that it says nothing of a row to whoever does not know it
/// already, and there is one way to check an answer. Only proofs in zero knowledge are about several jobs: what a plain
/// proof shows of its rows is one client's business, not that of strangers.
pub struct GraphEngine {
    model: Arc<CommittedModel>,
    hiding: Option<Hidden>,
    encrypted: Option<EncryptedModel>,
    /// Computed when it is first asked for.
    weights_root: OnceLock<Option<B256>>,
    /// The run that was done again last: whoever disputes one asks about it several times.
    again: Mutex<Option<Again>>,
}

/// A run that was done again.
struct Again {
    /// Hash of its row.
    row: blake3::Hash,
    tree: Arc<TraceTree<'static>>,
}

/// What proofs against a hiding commitment need besides.
struct Hidden {
    openings: Arc<dyn Openings>,
    /// Highest count that is on disk. Proofs may end in another order than they began; the count never goes back.
    recorded: Mutex<u32>,
    together_max: usize,
}

/// Most jobs in one proof: more of them no longer make each one noticeably cheaper.
pub const TOGETHER_MAX: usize = 64;
/// Memory that proofs of several jobs keep to when nobody says how much there is.
pub const TOGETHER_BYTES_DEFAULT: u64 = 1 << 30;
/// Look-ups, as a power of two, that strangers' rows may bring into a proof: about a tenth of a second's work, so that
/// nobody's answer waits long for theirs.
const TOGETHER_LOOKUP_VARS_MAX: usize = 20;
/// Tiles of the longest run that is kept in memory after it was done again: with its hashes about 80 MiB at most.
const AGAIN_TILES_MAX: u64 = 1 << 18;

impl GraphEngine {
    /// An engine for a committed model.
    #[must_use]
    pub fn new(model: Arc<CommittedModel>) -> Self {
        Self { model, hiding: None, encrypted: None, weights_root: OnceLock::new(), again: Mutex::new(None) }
    }

    /// An engine for a model whose commitment hides, and where its openings are counted.
    #[must_use]
    pub fn hiding(model: Arc<CommittedModel>, openings: Arc<dyn Openings>) -> Self {
        let hiding = Some(Hidden { openings, recorded: Mutex::new(0), together_max: 1 });
        Self { hiding, ..Self::new(model) }.together(TOGETHER_MAX, TOGETHER_BYTES_DEFAULT)
    }

    /// Also answers encrypted jobs about the same model.
    #[must_use]
    pub fn encrypted(mut self, model: EncryptedModel) -> Self {
        self.encrypted = Some(model);
        self
    }

    /// Answers at most so many jobs by one proof, and fewer where that would take more memory than `bytes`.
    #[must_use]
    pub fn together(mut self, jobs_max: usize, bytes: u64) -> Self {
        let model = &self.model;
        let openings = model.openings_left().zip(model.openings_used()).map(|(left, used)| left + used);
        let fits = |rows: usize| {
            let graph = model.model().graph();
            Plan::committed(graph, rows).is_ok_and(|plan| {
                plan.leaf_vars.is_none_or(|vars| vars <= TOGETHER_LOOKUP_VARS_MAX)
                    && tacit_prove::peak_bytes(graph, plan, openings, model.security())
                        .is_ok_and(|peak| peak <= bytes)
            })
        };
        // Rows are padded to a power of two, so between two of them nothing more fits or fails to.
        let doubled = |rows: &usize| rows.checked_mul(2);
        let fitting = core::iter::successors(Some(1_usize), doubled)
            .take_while(|rows| *rows < jobs_max.clamp(1, TOGETHER_MAX).saturating_mul(2))
            .take_while(|rows| *rows == 1 || fits(*rows))
            .last();
        if let Some(hiding) = &mut self.hiding {
            hiding.together_max = fitting.unwrap_or(1).min(jobs_max.max(1));
        }
        self
    }

    /// One proof of all these jobs.
    fn prove(&self, jobs: &[&OpenedJob]) -> Result<Vec<EngineAnswer>, EngineError> {
        let rows = u32::try_from(jobs.len()).map_err(failed)?;
        let inputs = jobs.iter().map(|job| match &job.input {
            JobInput::Values(values) => Ok(values.to_vec()),
            JobInput::Query { .. } => Err(EngineError("what cannot be read cannot be proved".into())),
        });
        let inputs = Zeroizing::new(inputs.collect::<Result<Vec<_>, _>>()?);
        let salts = jobs.iter().map(|_| secret()).collect::<Result<Vec<_>, _>>()?;
        let row_salts: Vec<RowSalt> = salts.iter().map(|salt| RowSalt::new(**salt)).collect();
        let proved = match &self.hiding {
            None => tacit_prove::prove_batch(&self.model, &inputs, &row_salts).map_err(failed)?,
            Some(hiding) => {
                let seed = Seed::new(*secret()?);
                let proved = tacit_prove::prove_batch_zk(&self.model, &inputs, &row_salts, &seed);
                let proved = proved.map_err(failed)?;
                hiding.record(self.model.openings_used().unwrap_or(u32::MAX))?;
                proved
            }
        };
        let answer = |(index, (output, salt)): (u32, (Vec<i32>, Zeroizing<[u8; 32]>))| {
            let proof = RowProof { rows, index, salt: B256::from(*salt), proof: proved.proof.clone() };
            EngineAnswer { output: Output::Logits(output), proof: Some(proof), trace: None }
        };
        Ok((0..).zip(proved.outputs.into_iter().zip(salts)).map(answer).collect())
    }

    /// The answer without a proof; where it is to be audited, with the root of its trace.
    fn execute(&self, input: &JobInput, evidence: Evidence) -> Result<EngineAnswer, EngineError> {
        let (output, trace) = match input {
            JobInput::Values(values) => {
                let model = self.model.model();
                let encoded = model.graph().encode_input(values).map_err(failed)?;
                let trace = tacit_graph::execute(model, &encoded, 1).map_err(failed)?;
                let committed = if evidence == Evidence::Audited { Some(self.commit(&trace)?) } else { None };
                (Output::Logits(trace.logits()), committed)
            }
            JobInput::Query { bytes, seed, keys } => {
                let none = || EngineError("this model is not offered under encryption".into());
                let model = self.encrypted.as_ref().ok_or_else(none)?;
                let seed = tacit_encrypt::Seed::new(*seed.to_bytes());
                let answer = model.answer(bytes, keys.as_deref(), &seed);
                (answer.map(Output::Ciphertext).map_err(failed)?, None)
            }
        };
        Ok(EngineAnswer { output, proof: None, trace })
    }

    /// What a receipt commits to of a run that may be disputed.
    fn commit(&self, trace: &Trace) -> Result<TraceEvidence, EngineError> {
        check_auditable(self.model.model().graph()).map_err(failed)?;
        let tree = self.tree(trace)?;
        let faces = tree.faces().into_iter().map(B256::from).collect();
        Ok(TraceEvidence { root: tree.tree().root().into(), faces })
    }

    fn tree<'t>(&self, trace: &'t Trace) -> Result<TraceTree<'t>, EngineError> {
        let tree = TraceTree::new(self.model.model().shapes(), trace, 0);
        tree.ok_or_else(|| EngineError("a run of another model".into()))
    }

    /// Does a run again, unless it is the one that was done again last.
    fn again(&self, values: &[i64]) -> Result<Arc<TraceTree<'static>>, EngineError> {
        let mut hasher = blake3::Hasher::new();
        for value in values {
            hasher.update(&value.to_le_bytes());
        }
        let row = hasher.finalize();
        // One at a time: whoever waits finds it done.
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = again.as_ref().filter(|kept| kept.row == row) {
            return Ok(Arc::clone(&kept.tree));
        }
        let model = self.model.model();
        let encoded = model.graph().encode_input(values).map_err(failed)?;
        let trace = tacit_graph::execute(model, &encoded, 1).map_err(failed)?;
        let tree = TraceTree::owning(model.shapes(), trace, 0);
        let tree = Arc::new(tree.ok_or_else(|| EngineError("a run of another model".into()))?);
        *again = (tree.tree().leaves() <= AGAIN_TILES_MAX).then(|| Again { row, tree: Arc::clone(&tree) });
        Ok(tree)
    }
}

impl Hidden {
    fn record(&self, used: u32) -> Result<(), EngineError> {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if used > *recorded {
            self.openings.record(used).map_err(failed)?;
            *recorded = used;
        }
        Ok(())
    }
}

impl Engine for GraphEngine {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        if job.header.evidence != Evidence::Proved {
            return self.execute(&job.input, job.header.evidence);
        }
        self.prove(&[job])?.pop().ok_or_else(|| EngineError("a proof of one job has no row".into()))
    }

    fn offer(&self) -> Option<&Offer> {
        self.encrypted.as_ref().map(EncryptedModel::offer)
    }

    fn together_max(&self) -> usize {
        self.hiding.as_ref().map_or(1, |hiding| hiding.together_max)
    }

    fn answer_together(&self, jobs: &[&OpenedJob]) -> Result<Vec<EngineAnswer>, EngineError> {
        self.prove(jobs)
    }

    fn weights_root(&self) -> Option<B256> {
        *self.weights_root.get_or_init(|| {
            let model = self.model.model();
            check_auditable(model.graph()).ok().map(|()| WeightsTree::new(model).tree().root().into())
        })
    }

    fn reveal(&self, values: &[i64], node: Node) -> Result<Revealed, EngineError> {
        Ok(under(&*self.again(values)?, node))
    }

    fn opened(&self, values: &[i64], node: u32, element: u32) -> Result<Option<TraceOpenings>, EngineError> {
        let model = self.model.model();
        let Ok(question) = Question::new(model.graph(), node, element) else { return Ok(None) };
        let tree = self.again(values)?;
        Ok(Some(question.openings(&tree, &WeightsTree::new(model))))
    }
}

/// What lies under a node of a trace; nothing where there is no such node.
#[must_use]
pub fn under(tree: &TraceTree<'_>, node: Node) -> Revealed {
    if node.index >= width(tree.tree().leaves(), node.level) {
        return Revealed::Hashes(Vec::new());
    }
    match node.level {
        0 => Revealed::Tile(tree.tile(node.index)),
        _ => Revealed::Hashes(tree.tree().step(node)),
    }
}

impl core::fmt::Debug for GraphEngine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("GraphEngine(..)")
    }
}

impl core::fmt::Debug for EngineAnswer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "EngineAnswer({:?}, {:?})", self.output, self.proof)
    }
}

fn secret() -> Result<Zeroizing<[u8; 32]>, EngineError> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::rngs::OsRng.try_fill_bytes(bytes.as_mut_slice()).map_err(failed)?;
    Ok(bytes)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> EngineError {
    EngineError(Box::new(error))
}
