//! What computes an answer and its evidence.

use rand::TryRngCore;
use tacit_abi::Evidence;
use tacit_wire::JobHeader;
use zeroize::Zeroizing;

/// A job whose input the worker could read and found well-formed.
#[expect(missing_debug_implementations, reason = "it holds the client's input")]
pub struct OpenedJob {
    /// Public terms.
    pub header: JobHeader,
    /// Raw values in units of `2^-24`, one per feature of the model.
    pub values: Zeroizing<Vec<i64>>,
}

/// What an engine gives back.
#[derive(Clone, PartialEq, Eq)]
pub struct EngineAnswer {
    /// Logits.
    pub output: Vec<i32>,
    /// Proof bytes; empty when the header's evidence needs none.
    pub proof: Vec<u8>,
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
pub struct GraphEngine {
    model: std::sync::Arc<tacit_prove::CommittedModel>,
    openings: Option<std::sync::Arc<dyn Openings>>,
}

impl GraphEngine {
    /// An engine for a committed model.
    #[must_use]
    pub fn new(model: std::sync::Arc<tacit_prove::CommittedModel>) -> Self {
        Self { model, openings: None }
    }

    /// An engine for a model whose commitment hides, and where its openings are counted.
    #[must_use]
    pub fn hiding(
        model: std::sync::Arc<tacit_prove::CommittedModel>,
        openings: std::sync::Arc<dyn Openings>,
    ) -> Self {
        Self { model, openings: Some(openings) }
    }

    fn prove(&self, values: &[i64]) -> Result<tacit_prove::Proved, EngineError> {
        let rows = [values.to_vec()];
        let Some(openings) = &self.openings else {
            return tacit_prove::prove(&self.model, &rows).map_err(failed);
        };
        let mut seed = Zeroizing::new([0; 32]);
        rand::rngs::OsRng.try_fill_bytes(seed.as_mut_slice()).map_err(failed)?;
        let proved =
            tacit_prove::prove_zk(&self.model, &rows, &tacit_prove::Seed::new(*seed)).map_err(failed)?;
        openings.record(self.model.openings_used().unwrap_or(u32::MAX)).map_err(failed)?;
        Ok(proved)
    }

    fn execute(&self, values: &[i64]) -> Result<Vec<i32>, EngineError> {
        let model = self.model.model();
        let encoded = model.graph().encode_input(values).map_err(failed)?;
        let trace = tacit_graph::execute(model, &encoded, 1).map_err(failed)?;
        Ok(trace.logits().to_vec())
    }
}

impl Engine for GraphEngine {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        if job.header.evidence != Evidence::Proved {
            return Ok(EngineAnswer { output: self.execute(&job.values)?, proof: Vec::new() });
        }
        let proved = self.prove(&job.values)?;
        let output = proved.outputs.into_iter().next().unwrap_or_default();
        Ok(EngineAnswer { output, proof: proved.proof })
    }
}

impl core::fmt::Debug for GraphEngine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("GraphEngine(..)")
    }
}

impl core::fmt::Debug for EngineAnswer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "EngineAnswer({} logits, {} proof bytes)", self.output.len(), self.proof.len())
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> EngineError {
    EngineError(Box::new(error))
}
