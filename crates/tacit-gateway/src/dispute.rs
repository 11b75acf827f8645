//! Audits of answers that were not encrypted: the run is done again here, and a worker that committed to another one loses its stake.
//!
//! # Who is audited
//! After an answer was checked and paid, a coin decides, with the probability that [`tacit_market::policy`] gives for the price and for the part of the worker's stake
//! that is burned when it is convicted. The coin is 32 fresh random bytes of the gateway's own, drawn once the receipt is on disk: its worker could not foresee it. It protects
//! whoever tossed it, and tells third parties nothing; audits that others can rely on need the ledger's beacon (`specs/0011-audits.md`).
//!
//! # What it takes
//! The model's weights, in a file of the gateway's own. They count if the graph is the model's and the root of their tree is the registered one, which
//! is what a worker is convicted by. A gateway without them audits nothing, and says so with each answer.
//!
//! # A dispute
//! What is to be done next follows from the challenge on the ledger and the hashes that its logs hold, so a step that a crash cut off is taken again. The ledger gives an hour for each:
//! a gateway that is off for longer loses its bond, and the worker keeps its stake.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use rand::TryRngCore;
use tacit_abi::{
    Evidence,
    IAudits::{self, IAuditsErrors},
    Privacy,
    stakes::REWARD_PARTS,
};
use tacit_graph::{
    Graph, Model, Trace, encode_graph,
    trace::{Challenger, Conviction, Hash, Kind, Layout, Opening, TraceTree, WeightsTree, fold},
};
use tacit_market::{
    Ratio,
    policy::{Policy, Terms},
    selection::is_selected,
};
use tacit_wire::{
    JobId, LedgerError, Revert, TraceEvidence,
    ledger::{challenge_id, receipt_digest, unix_time_s},
};

use crate::{
    error::GatewayError,
    gateway::Gateway,
    store::{AnswerRecord, Audit, JobRecord},
};

/// Which answers are audited, and with what.
#[derive(Clone, Default)]
pub struct AuditPolicy {
    models: Vec<Arc<AuditModel>>,
    rate: Option<Ratio>,
}

/// Weights to do runs again with.
struct AuditModel {
    model: Model,
    graph: Vec<u8>,
    weights_root: B256,
}

/// One's own audits: whoever does the run again bit for bit takes no right answer for wrong, and is in league with nobody. No worker is asked for more than
/// one answer at a time, which keeps what a gateway itself leaves unsettled small; what others do is not known.
pub const TERMS: Terms = Terms {
    intensity: Ratio::percent(200),
    exposure: Ratio::percent(10),
    gain: Ratio::ONE,
    detection: Ratio::ONE,
    false_alarm: Ratio::ZERO,
    collusion: Ratio::ZERO,
    auditors: 1,
    margin: Ratio::percent(10),
    probation_audits: 0,
    surcharge: Ratio::ONE,
};

/// Code of a worker that is not asked again.
pub(crate) const FALSE_RUN: &str = "false_run";

/// Turns of a challenge, as the ledger numbers them.
const REVEAL: u8 = 1;
const CHOOSE: u8 = 2;
const CONVICT: u8 = 3;
const WON: u8 = 4;

impl AuditPolicy {
    /// Also audits answers of this model.
    #[must_use]
    pub fn with_model(mut self, model: Model) -> Self {
        let graph = encode_graph(model.graph());
        let weights_root = WeightsTree::new(&model).tree().root().into();
        self.models.push(Arc::new(AuditModel { model, graph, weights_root }));
        self
    }

    /// Audits so many of the answers, whatever the stake; [`Ratio::ONE`] for all.
    #[must_use]
    pub fn with_rate(mut self, rate: Ratio) -> Self {
        self.rate = Some(rate);
        self
    }

    /// With which probability an answer of this price is audited whose worker has bonded so much.
    #[must_use]
    pub fn probability(&self, bonded: u128, price: u128) -> Ratio {
        let burned = bonded.saturating_sub(bonded / REWARD_PARTS);
        self.rate.unwrap_or_else(|| {
            Policy::new(TERMS).map_or(Ratio::ONE, |policy| policy.probability(burned, price, 0))
        })
    }
}

impl core::fmt::Debug for AuditPolicy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "AuditPolicy({} models, {:?})", self.models.len(), self.rate)
    }
}

/// Whether answers in this mode commit to a trace.
pub(crate) fn is_traced(privacy: Privacy, evidence: Evidence) -> bool {
    privacy != Privacy::Encrypted && evidence == Evidence::Audited
}

/// What a challenger does next.
enum Move {
    Choose(Vec<B256>, u8),
    Convict(Box<Conviction>),
}

/// What a dispute is about.
struct Case {
    job: JobRecord,
    answer: AnswerRecord,
    trace: TraceEvidence,
    model: Arc<AuditModel>,
}

impl Gateway {
    /// Whether anybody could be held to an audited answer about a model.
    pub(crate) async fn check_auditable(&self, model_id: B256) -> Result<(), GatewayError> {
        match self.ledger.weights_of(model_id).await? {
            Some(_) => Ok(()),
            None => Err(GatewayError::NotAuditable { model_id }),
        }
    }

    /// Audits an answer that was paid, if it is to be and was not yet.
    ///
    /// # Errors
    /// [`GatewayError::FalseRun`] where the worker's run is not the model's.
    pub(crate) async fn audit(&self, job_id: JobId) -> Result<(), GatewayError> {
        match self.decide(job_id).await {
            Ok(()) => {}
            // It stays due: the answer is checked and paid, and the ledger may be asked later.
            Err(error @ GatewayError::Ledger(_)) => {
                tracing::warn!(%error, "an answer is not audited yet");
            }
            Err(error) => return Err(error),
        }
        match self.store.audit(job_id)? {
            Some(Audit::Disputed { .. }) => {
                if let Err(error) = self.pursue(job_id).await {
                    tracing::warn!(%error, %job_id, "a false run is not disputed yet");
                }
            }
            Some(Audit::Convicted | Audit::Unpunished { .. }) => {}
            _ => return Ok(()),
        }
        let (job, _) = self.answered_job(job_id)?;
        Err(GatewayError::FalseRun { worker: job.request.header.worker, job_id })
    }

    /// Decides on audits that are due, and takes the next step of every dispute. [`Self::serve`] does this every few seconds.
    ///
    /// # Errors
    /// The first [`GatewayError`]; what is left is taken up next time.
    pub async fn pursue_audits(&self) -> Result<(), GatewayError> {
        let mut result = Ok(());
        for job_id in self.store.open_audits()? {
            let done = match self.store.audit(job_id)? {
                Some(Audit::Due) => self.decide(job_id).await,
                Some(Audit::Disputed { .. }) => self.pursue(job_id).await,
                _ => Ok(()),
            };
            result = result.and(done);
        }
        result
    }

    /// Tosses the coin, and does the run again if it says so.
    async fn decide(&self, job_id: JobId) -> Result<(), GatewayError> {
        let _alone = self.deciding.lock().await;
        if self.store.audit(job_id)? != Some(Audit::Due) {
            return Ok(());
        }
        let (job, answer) = self.answered_job(job_id)?;
        let header = &job.request.header;
        let Some(model) = self.audit_model(header.model_id).await? else {
            return Ok(self.store.put_audit(job_id, &Audit::NoWeights)?);
        };
        let bonded = self.ledger.stake_of(header.worker).await?.bonded;
        let probability = self.audits.probability(bonded, header.price.0);
        let mut coin = [0; 32];
        rand::rngs::OsRng.try_fill_bytes(&mut coin).map_err(|_| GatewayError::Internal)?;
        let receipt = tacit_abi::receipts::leaf(&answer.receipt.receipt, header.chain_id);
        if !is_selected(B256::from(coin), receipt, probability) {
            return Ok(self.store.put_audit(job_id, &Audit::NotDrawn)?);
        }
        let claimed = answer.trace.as_ref().ok_or(GatewayError::Internal)?.root;
        let values = job.values.clone();
        let own = tokio::task::spawn_blocking(move || {
            let trace = run(&model.model, &values)?;
            Some(TraceTree::new(model.model.shapes(), &trace, 0)?.tree().root())
        });
        let own = own.await.map_err(|_| GatewayError::Internal)?.ok_or(GatewayError::Internal)?;
        if claimed.0 == own {
            return Ok(self.store.put_audit(job_id, &Audit::Passed)?);
        }
        let from_block = self.ledger.block_number().await?;
        let false_run = GatewayError::FalseRun { worker: header.worker, job_id };
        Ok(self.store.put_false_run(&job, FALSE_RUN, &false_run.to_string(), from_block)?)
    }

    /// The weights of a model, if they are here and are those that are registered.
    async fn audit_model(&self, model_id: B256) -> Result<Option<Arc<AuditModel>>, GatewayError> {
        let info = self.store.model(model_id)?.ok_or(GatewayError::Internal)?;
        if self.audits.models.iter().all(|model| model.graph != info.graph) {
            return Ok(None);
        }
        let registered = self.ledger.weights_of(model_id).await?;
        let mut models = self.audits.models.iter();
        let found = models.find(|model| model.graph == info.graph && Some(model.weights_root) == registered);
        Ok(found.cloned())
    }

    /// Takes the next step of a dispute, if it is the gateway's.
    async fn pursue(&self, job_id: JobId) -> Result<(), GatewayError> {
        let _alone = self.disputing.lock().await;
        let Some(Audit::Disputed { from_block }) = self.store.audit(job_id)? else { return Ok(()) };
        let (job, answer) = self.answered_job(job_id)?;
        let digest = receipt_digest(&answer.receipt.receipt, job.request.header.chain_id);
        let id = challenge_id(digest, self.address());
        let Some(challenge) = self.ledger.challenge_of(id).await? else {
            return self.open_dispute(&self.case(job, answer).await?).await;
        };
        let ended = match challenge.turn {
            REVEAL | CHOOSE | CONVICT => self.ledger.is_convicted(digest).await?,
            WON => return Ok(self.store.put_audit(job_id, &Audit::Convicted)?),
            _ => {
                let reason = "the gateway missed a deadline of the dispute".to_owned();
                return Ok(self.store.put_audit(job_id, &Audit::Unpunished { reason })?);
            }
        };
        if ended {
            self.ledger.settle_challenge(&self.wallet, id).await?;
            return Ok(self.store.put_audit(job_id, &Audit::Convicted)?);
        }
        if challenge.turn == REVEAL {
            return self.settle_silence(id, job_id, challenge.deadline).await;
        }
        let case = self.case(job, answer).await?;
        let (steps, tile) = self.ledger.revealed_in(id, from_block).await?;
        let tile = tile.filter(|_| challenge.turn == CONVICT);
        match next_move(&case, steps, tile).await? {
            Move::Choose(children, child) => {
                self.ledger.choose(&self.wallet, id, children, child).await?;
            }
            Move::Convict(conviction) => {
                let call = self.convict_call(&case, *conviction)?;
                self.ledger.convict(&self.wallet, &call).await?;
                self.ledger.settle_challenge(&self.wallet, id).await?;
                self.store.put_audit(job_id, &Audit::Convicted)?;
            }
        }
        Ok(())
    }

    async fn case(&self, job: JobRecord, answer: AnswerRecord) -> Result<Case, GatewayError> {
        let model_id = job.request.header.model_id;
        let model = self.audit_model(model_id).await?;
        let model = model.ok_or(GatewayError::NoAuditModel { model_id })?;
        let trace = answer.trace.clone().ok_or(GatewayError::Internal)?;
        Ok(Case { job, answer, trace, model })
    }

    /// Opens a challenge, which stakes the bond.
    async fn open_dispute(&self, case: &Case) -> Result<(), GatewayError> {
        let (leaves, top) = case.top()?;
        let job_id = case.job.request.header.job_id;
        let audit = match self.ledger.challenge(&self.wallet, case.signed(), leaves, top.into()).await {
            Err(LedgerError::Reverted(Revert::Audits(IAuditsErrors::AlreadyConvicted(_)))) => {
                Audit::Convicted
            }
            Err(LedgerError::Reverted(
                revert @ Revert::Audits(IAuditsErrors::TooLate(_) | IAuditsErrors::NothingAtStake(_)),
            )) => Audit::Unpunished { reason: revert.to_string() },
            opened => {
                opened?;
                return Ok(());
            }
        };
        Ok(self.store.put_audit(job_id, &audit)?)
    }

    /// Takes the stake of a worker that did not answer in time.
    async fn settle_silence(&self, id: B256, job_id: JobId, deadline: u64) -> Result<(), GatewayError> {
        if unix_time_s().max(self.ledger.block_time_s().await?) <= deadline {
            return Ok(());
        }
        match self.ledger.settle_challenge(&self.wallet, id).await {
            // Our clock is ahead of the ledger's.
            Err(LedgerError::Reverted(Revert::Audits(IAuditsErrors::StillOpen(_)))) => Ok(()),
            settled => {
                settled?;
                Ok(self.store.put_audit(job_id, &Audit::Convicted)?)
            }
        }
    }

    fn convict_call(&self, case: &Case, shown: Conviction) -> Result<IAudits::convictCall, GatewayError> {
        let info = self.store.model(case.job.request.header.model_id)?.ok_or(GatewayError::Internal)?;
        let opening = |opening: Opening| IAudits::Opening {
            tiles: opening.tiles.into(),
            siblings: opening.siblings.into_iter().map(B256::from).collect(),
        };
        Ok(IAudits::convictCall {
            signed: case.signed(),
            graph: info.graph.into(),
            weightRoot: info.weight_root,
            node: shown.node,
            element: shown.element,
            tile: shown.tile.into(),
            trace: opening(shown.trace),
            weights: opening(shown.weights),
        })
    }
}

impl Case {
    fn signed(&self) -> IAudits::SignedReceipt {
        let receipt = &self.answer.receipt;
        IAudits::SignedReceipt {
            receipt: receipt.receipt.clone().into(),
            signature: receipt.signature.clone(),
            evidenceSalt: B256::from(self.answer.salts.evidence),
        }
    }

    /// Leaves and top node of the worker's tree.
    fn top(&self) -> Result<(u32, Hash), GatewayError> {
        let graph = self.model.model.graph();
        let input = graph.encode_input(&self.job.values).map_err(|_| GatewayError::Internal)?;
        let found = worker_top(graph, &input, &self.answer.output, &self.trace);
        found.ok_or(GatewayError::Internal)
    }
}

/// Leaves and top node of the tree whose faces were checked.
fn worker_top(graph: &Graph, input: &[i16], output: &[i32], trace: &TraceEvidence) -> Option<(u32, Hash)> {
    let shapes = graph.validate().ok()?;
    let layout = Layout::of_trace(&shapes);
    let input: Vec<i32> = input.iter().map(|value| i32::from(*value)).collect();
    let last = shapes.tensors().len().checked_sub(1)?;
    let mut leaves = Vec::new();
    for (run, values) in [(0, input.as_slice()), (last, output)] {
        for leaf in layout.tiles_of(run) {
            let tile = layout.tile(leaf)?;
            let first = usize::try_from(tile.first).ok()?;
            let count = usize::try_from(tile.count).ok()?;
            let values = values.get(first..first.checked_add(count)?)?;
            let bytes: Vec<u8> = values
                .iter()
                .flat_map(|value| value.to_le_bytes().into_iter().take(usize::from(tile.width)))
                .collect();
            leaves.push((leaf, Kind::Trace.leaf(leaf, &bytes)));
        }
    }
    let siblings: Vec<Hash> = trace.faces.iter().map(|face| face.0).collect();
    let top = fold(Kind::Trace, layout.leaves(), leaves, &siblings)?;
    let is_it = Kind::Trace.root(layout.leaves(), &top) == trace.root.0;
    is_it.then_some((u32::try_from(layout.leaves()).ok()?, top))
}

fn run(model: &Model, values: &[i64]) -> Option<Trace> {
    let encoded = model.graph().encode_input(values).ok()?;
    tacit_graph::execute(model, &encoded, 1).ok()
}

/// Follows what the worker revealed so far to where its run parts from the model's.
async fn next_move(case: &Case, steps: Vec<Vec<B256>>, tile: Option<Bytes>) -> Result<Move, GatewayError> {
    let (_, top) = case.top()?;
    let (model, values) = (Arc::clone(&case.model), case.job.values.clone());
    let moving = tokio::task::spawn_blocking(move || {
        let trace = run(&model.model, &values)?;
        let own = TraceTree::new(model.model.shapes(), &trace, 0)?;
        let mut challenger = Challenger::new(&own, top)?;
        let mut child = None;
        for step in &steps {
            let hashes: Vec<Hash> = step.iter().map(|hash| hash.0).collect();
            child = Some(challenger.choose(&hashes).ok()?);
        }
        let Some(tile) = tile else { return Some(Move::Choose(steps.last()?.clone(), child?)) };
        let weights = WeightsTree::new(&model.model);
        let shown = challenger.convict(model.model.graph(), &weights, &tile).ok()?;
        Some(Move::Convict(Box::new(shown)))
    });
    moving.await.map_err(|_| GatewayError::Internal)?.ok_or(GatewayError::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tacit_abi::asks::ASK_STAKE;

    #[test]
    fn the_terms_make_honesty_the_best_policy_and_the_burned_part_counts() {
        let policy = Policy::new(TERMS).unwrap();
        let audits = AuditPolicy::default();
        let price = 200_000_000_000_000;
        let expected = policy.probability(ASK_STAKE / 4 * 3, price, 0);
        assert_eq!(audits.probability(ASK_STAKE, price), expected);
        assert!(expected > policy.probability(ASK_STAKE, price, 0));
        // Who has nothing to lose is always audited.
        assert_eq!(audits.probability(0, price), Ratio::ONE);
        assert_eq!(audits.with_rate(Ratio::ZERO).probability(0, price), Ratio::ZERO);
    }
}
