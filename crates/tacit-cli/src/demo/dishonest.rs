//! Four ways to cheat, each a real worker with one part exchanged.

use crate::commands::model::commit_as;
use crate::failure::{Context, Failure};
use std::sync::{Arc, Mutex, PoisonError};
use tacit_graph::{Model, ModelFile, Weights};
use tacit_wire::JobHeader;
use tacit_wire::Output;
use tacit_worker::{
    AskedPrice, Bill, Billing, Engine, EngineAnswer, EngineError, GraphEngine, OpenedJob, Openings,
};

/// How a worker cheats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cheat {
    ChangedOutput,
    OtherModel,
    ReplayedProof,
    Overcharge,
}

impl Cheat {
    pub(crate) const ALL: [Self; 4] =
        [Self::ChangedOutput, Self::OtherModel, Self::ReplayedProof, Self::Overcharge];

    /// Name for programs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ChangedOutput => "output_changed",
            Self::OtherModel => "proof_of_another_model",
            Self::ReplayedProof => "replayed_proof",
            Self::Overcharge => "overcharge",
        }
    }

    /// Name for people.
    pub(crate) fn story(self) -> &'static str {
        match self {
            Self::ChangedOutput => "runs and proves the model, then changes one number of the output",
            Self::OtherModel => "runs and proves a slightly different model",
            Self::ReplayedProof => "sends the answer and proof of an earlier question",
            Self::Overcharge => "answers well, then bills twice the agreed price",
        }
    }

    /// What the gateway must call it.
    pub(crate) fn refusal(self) -> &'static str {
        if self == Self::Overcharge { "overcharge" } else { "false_proof" }
    }

    /// What the gateway found, in plain words, with its own words behind.
    pub(crate) fn finding(self, reason: &str) -> String {
        match self {
            Self::ChangedOutput => format!("the proof is about another output ({reason})"),
            Self::OtherModel => {
                format!("the proof is about other weights than the published ones ({reason})")
            }
            Self::ReplayedProof => format!("the proof is about another question ({reason})"),
            Self::Overcharge => reason.to_owned(),
        }
    }

    /// The engine of a worker that cheats like this.
    pub(crate) fn engine(self, file: &ModelFile) -> Result<Arc<dyn Engine>, Failure> {
        let honest = graph_engine(file, file.model.clone())?;
        Ok(match self {
            Self::ChangedOutput => Arc::new(ChangedOutput(honest)),
            Self::OtherModel => Arc::new(graph_engine(file, altered(&file.model)?)?),
            Self::ReplayedProof => Arc::new(ReplayedProof { honest, first: Mutex::new(None) }),
            Self::Overcharge => Arc::new(honest),
        })
    }

    pub(crate) fn billing(self) -> Arc<dyn Billing> {
        if self == Self::Overcharge { Arc::new(TwicePrice) } else { Arc::new(AskedPrice) }
    }

    /// Honest questions a client asks before the cheat can happen: only a replay needs one.
    pub(crate) fn questions_before(self) -> usize {
        usize::from(self == Self::ReplayedProof)
    }
}

/// Proves `model` as the file says its own is committed to.
fn graph_engine(file: &ModelFile, model: Model) -> Result<GraphEngine, Failure> {
    let committed = Arc::new(commit_as(model, file.hiding, 0)?);
    Ok(match file.hiding {
        Some(_) => GraphEngine::hiding(committed, Arc::new(Uncounted)),
        None => GraphEngine::new(committed),
    })
}

/// Cheats do not care how often they open a commitment.
struct Uncounted;

impl Openings for Uncounted {
    fn record(&self, _: u32) -> std::io::Result<()> {
        Ok(())
    }
}

/// The same graph with one weight moved: cheap to prove, hard to notice by looking at answers.
fn altered(model: &Model) -> Result<Model, Failure> {
    let mut weights: Weights = model.weights().clone();
    let weight = weights
        .layers
        .iter_mut()
        .flat_map(|layer| layer.matrix.iter_mut())
        .find(|weight| **weight > 1)
        .ok_or_else(|| Failure::new("demo", "the model has no weight to alter", ""))?;
    *weight -= 1;
    Model::new(model.graph().clone(), weights).failed("demo", "the altered model is not valid", "")
}

struct ChangedOutput(GraphEngine);

impl Engine for ChangedOutput {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        let mut answer = self.0.answer(job)?;
        if let Output::Logits(logits) = &mut answer.output
            && let Some(logit) = logits.first_mut()
        {
            *logit = logit.saturating_add(1);
        }
        Ok(answer)
    }
}

struct ReplayedProof {
    honest: GraphEngine,
    first: Mutex<Option<EngineAnswer>>,
}

impl Engine for ReplayedProof {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = first.as_ref() {
            return Ok(answer.clone());
        }
        let answer = self.honest.answer(job)?;
        *first = Some(answer.clone());
        Ok(answer)
    }
}

struct TwicePrice;

impl Billing for TwicePrice {
    fn bill(&self, header: &JobHeader) -> Bill {
        let honest = AskedPrice.bill(header);
        let more = |amount: tacit_wire::Amount| amount.checked_add(honest.price).unwrap_or(amount);
        Bill { price: more(honest.price), cumulative: more(honest.cumulative) }
    }
}
