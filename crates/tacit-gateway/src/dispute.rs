//! Audits of answers that were not encrypted: the run is done again here, and a worker that committed to another one loses its stake.
//!
//! # Who is audited
//! After an answer was checked and paid, a coin decides, with the probability that [`tacit_market::policy`] gives for the price and for the part of the worker's stake
//! that is burned when it is convicted. The coin is 32 fresh random bytes of the gateway's own, drawn once the receipt is on disk: its worker could not foresee it. It protects
//! whoever tossed it, and tells third parties nothing; audits that others can rely on need the ledger's beacon (`specs/0011-audits.md`).
//!
//! # What it takes
//! The model's weights, in a file of the gateway's own. They count if the graph is the model's and the root of their tree is the registered one, which
//! is what a worker is convicted by. A gateway without them asks a second worker the same (`second`), and where the two committed to
//! different runs finds out which of them is false (`compare`).
//!
//! # A dispute
//! What is to be done next follows from the challenge on the ledger and the hashes that its logs hold, so a step that a crash cut off is taken again. The ledger gives an hour for each:
//! a gateway that is off for longer loses its bond, and the worker keeps its stake.

use core::time::Duration;
use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use rand::TryRngCore;
use tacit_abi::{
    Evidence,
    IAudits::{self, IAuditsErrors},
    Privacy,
    stakes::burned,
};
use tacit_graph::{
    Graph, Model, Trace, encode_graph,
    trace::{Challenger, Conviction, Hash, Opening, TraceTree, WeightsTree, faces_top},
};
use tacit_market::{Policy, Ratio, selection::is_selected};
use tacit_wire::{
    Amount, JobId, LedgerError, Revert, TraceEvidence,
    ledger::{challenge_id, receipt_digest, unix_time_s},
};

use crate::{
    error::GatewayError,
    gateway::Gateway,
    store::{AnswerRecord, Audit, JobRecord, Shown},
};

/// Which answers are audited, and with what.
#[derive(Clone, Default)]
pub struct AuditPolicy {
    models: Vec<Arc<AuditModel>>,
    rate: Option<Ratio>,
    alone: bool,
    shown: bool,
    patience: Option<(Duration, Duration)>,
}

/// Weights to do runs again with.
struct AuditModel {
    model: Model,
    graph: Vec<u8>,
    weights_root: B256,
}

/// How long a worker may take to say what is asked about a run, all of it together, when nobody says.
const PATIENCE_DEFAULT: Duration = Duration::from_secs(30);
/// How long a worker may say nothing before it is disputed on the ledger: it may be starting again.
const SILENCE_DEFAULT: Duration = Duration::from_secs(300);

/// Code of a worker that is not asked again.
pub(crate) const FALSE_RUN: &str = "false_run";

/// Turns of a challenge, as the ledger numbers them.
pub(crate) const REVEAL: u8 = 1;
pub(crate) const CHOOSE: u8 = 2;
pub(crate) const CONVICT: u8 = 3;
pub(crate) const WON: u8 = 4;

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

    /// Asks no second worker: nobody but the one that answers is shown the question, and without weights nothing is audited.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Shows passed audits on the ledger, where its beacon selects the answer: whoever reads the ledger reads the receipt.
    #[must_use]
    pub fn shown(mut self) -> Self {
        self.shown = true;
        self
    }

    pub(crate) fn is_shown(&self) -> bool {
        self.shown
    }

    /// Waits so long for all that a worker is asked about one run, and disputes one that says nothing for so long.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration, silence: Duration) -> Self {
        self.patience = Some((patience, silence));
        self
    }

    pub(crate) fn patience(&self) -> Duration {
        self.patience.map_or(PATIENCE_DEFAULT, |(patience, _)| patience)
    }

    /// How long a worker may say nothing.
    pub(crate) fn silence_s(&self) -> u64 {
        self.patience.map_or(SILENCE_DEFAULT, |(_, silence)| silence).as_secs()
    }

    /// With which probability an answer of this price is audited whose worker has bonded so much, and passed so many audits that the ledger knows of: by [`Policy::OWN`] with the model's weights, by [`Policy::NETWORK`]
    /// without.
    #[must_use]
    pub fn probability(&self, policy: &Policy, bonded: u128, price: u128, passed: u32) -> Ratio {
        self.rate.unwrap_or_else(|| policy.probability(burned(bonded), price, passed))
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

/// What an audit leaves.
pub(crate) struct Audited {
    /// The job whose answer may be given out.
    pub(crate) told: JobId,
    /// What a second worker was paid now.
    pub(crate) spent: Amount,
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

    /// Audits an answer that was paid, if it is to be and was not yet: which answer may be given out.
    ///
    /// # Errors
    /// [`GatewayError::FalseRun`] where the worker's run is not the model's and there is no other answer; [`GatewayError::RunsDiffer`] where
    /// it is not known yet whose is.
    pub(crate) async fn audit(&self, job_id: JobId) -> Result<Audited, GatewayError> {
        let mut spent = Amount::ZERO;
        // The answer is checked and paid: what cannot be done now stays due.
        if let Err(error) = self.step_audit(job_id, &mut spent).await {
            if !matches!(error, GatewayError::Ledger(_)) && self.store.audit(job_id)? == Some(Audit::Due) {
                return Err(error);
            }
            tracing::warn!(%error, %job_id, "the audit of an answer is not finished yet");
        }
        let told = match self.store.audit(job_id)? {
            Some(Audit::Differs { with, .. } | Audit::Undecided { with, .. }) => {
                let (job, _) = self.answered_job(job_id)?;
                let (worker, second) = (job.request.header.worker, with.worker);
                return Err(GatewayError::RunsDiffer { worker, second, job_id });
            }
            Some(
                Audit::Disputed { .. } | Audit::Convicting | Audit::Convicted | Audit::Unpunished { .. },
            ) => {
                let other = self.store.paired(job_id)?;
                let upheld = |other: &JobId| {
                    let audit = self.store.audit(*other);
                    audit.is_ok_and(|audit| matches!(audit, Some(Audit::Upheld { .. })))
                };
                match other.filter(upheld) {
                    Some(other) => other,
                    None => {
                        let (job, _) = self.answered_job(job_id)?;
                        return Err(GatewayError::FalseRun { worker: job.request.header.worker, job_id });
                    }
                }
            }
            _ => job_id,
        };
        Ok(Audited { told, spent })
    }

    /// Decides on audits that are due, and takes the next step of every other one. [`Self::serve`] does this every few seconds.
    ///
    /// # Errors
    /// The first [`GatewayError`]; what is left is taken up next time.
    pub async fn pursue_audits(&self) -> Result<(), GatewayError> {
        let mut result = Ok(());
        for job_id in self.store.open_audits()? {
            result = result.and(self.step_audit(job_id, &mut Amount::default()).await);
        }
        result
    }

    /// Does what is to be done next about an audit, and after that what follows from it. What is paid for it is added to `spent`.
    async fn step_audit(&self, job_id: JobId, spent: &mut Amount) -> Result<(), GatewayError> {
        if self.store.audit(job_id)? == Some(Audit::Due) {
            self.decide(job_id).await?;
        }
        if let Some(Audit::Asking { .. }) = self.store.audit(job_id)? {
            let paid = self.ask_second(job_id).await?;
            *spent = spent.checked_add(paid).ok_or(GatewayError::Overflow)?;
        }
        if let Some(Audit::Differs { .. }) = self.store.audit(job_id)? {
            self.compare(job_id).await?;
        }
        // Of a pair both may be false.
        for job_id in [Some(job_id), self.store.paired(job_id)?].into_iter().flatten() {
            if self.store.audit(job_id)? == Some(Audit::Convicting) {
                self.convict(job_id).await?;
            }
        }
        if let Some(Audit::Disputed { .. }) = self.store.audit(job_id)? {
            self.pursue(job_id).await?;
        }
        Ok(())
    }

    /// Tosses the coin, and does the run again if it says so and the weights are here.
    async fn decide(&self, job_id: JobId) -> Result<(), GatewayError> {
        let _alone = self.deciding.lock().await;
        if self.store.audit(job_id)? != Some(Audit::Due) {
            return Ok(());
        }
        if self.audits.shown && self.store.shown(job_id)?.is_none() {
            self.store.put_shown(job_id, &Shown::Due)?;
        }
        let (job, answer) = self.answered_job(job_id)?;
        let header = &job.request.header;
        let model = self.audit_model(header.model_id).await?;
        let (policy, passed) = match &model {
            Some(_) => (Policy::OWN, 0),
            None if self.audits.alone => return Ok(self.store.put_audit(job_id, &Audit::NoWeights)?),
            None => (Policy::NETWORK, self.ledger.audit_history_of(header.worker).await?.passed),
        };
        let bonded = self.ledger.stake_of(header.worker).await?.bonded;
        let probability = self.audits.probability(&policy, bonded, header.price.0, passed);
        let mut coin = [0; 32];
        rand::rngs::OsRng.try_fill_bytes(&mut coin).map_err(|_| GatewayError::Internal)?;
        let receipt = tacit_abi::receipts::leaf(&answer.receipt.receipt, header.chain_id);
        if !is_selected(B256::from(coin), receipt, probability) {
            return Ok(self.store.put_audit(job_id, &Audit::NotDrawn)?);
        }
        let Some(model) = model else {
            return Ok(self.store.put_audit(job_id, &Audit::Asking { seconds: Vec::new() })?);
        };
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
                let call = self.convict_call(&case.job, &case.answer, *conviction)?;
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
        Ok(Case { job, answer, model })
    }

    /// Opens a challenge, which stakes the bond.
    async fn open_dispute(&self, case: &Case) -> Result<(), GatewayError> {
        let (leaves, top) = case.top()?;
        let job_id = case.job.request.header.job_id;
        let audit = match self.ledger.challenge(&self.wallet, signed(&case.answer), leaves, top.into()).await
        {
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

    pub(crate) fn convict_call(
        &self,
        job: &JobRecord,
        answer: &AnswerRecord,
        shown: Conviction,
    ) -> Result<IAudits::convictCall, GatewayError> {
        let info = self.store.model(job.request.header.model_id)?.ok_or(GatewayError::Internal)?;
        let opening = |opening: Opening| IAudits::Opening {
            tiles: opening.tiles.into(),
            siblings: opening.siblings.into_iter().map(B256::from).collect(),
        };
        Ok(IAudits::convictCall {
            signed: signed(answer),
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
    /// Leaves and top node of the worker's tree.
    fn top(&self) -> Result<(u32, Hash), GatewayError> {
        committed_top(self.model.model.graph(), &self.job, &self.answer)
    }
}

/// A receipt as the ledger takes it.
pub(crate) fn signed(answer: &AnswerRecord) -> IAudits::SignedReceipt {
    let receipt = &answer.receipt;
    IAudits::SignedReceipt {
        receipt: receipt.receipt.clone().into(),
        signature: receipt.signature.clone(),
        evidenceSalt: B256::from(answer.salts.evidence),
    }
}

/// Leaves and top node of the tree that an answer commits to, whose faces were checked.
pub(crate) fn committed_top(
    graph: &Graph,
    job: &JobRecord,
    answer: &AnswerRecord,
) -> Result<(u32, Hash), GatewayError> {
    let TraceEvidence { root, faces } = answer.trace.as_ref().ok_or(GatewayError::Internal)?;
    let input = graph.encode_input(&job.values).map_err(|_| GatewayError::Internal)?;
    let faces: Vec<Hash> = faces.iter().map(|face| face.0).collect();
    let found = faces_top(graph, &input, &answer.output, &faces, &root.0);
    let (leaves, top) = found.map_err(|_| GatewayError::Internal)?;
    Ok((u32::try_from(leaves).map_err(|_| GatewayError::Internal)?, top))
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
    fn the_burned_part_counts_and_a_second_worker_needs_more_audits() {
        let audits = AuditPolicy::default();
        let price = 200_000_000_000_000;
        let own = |bonded| audits.probability(&Policy::OWN, bonded, price, 0);
        let expected = Policy::OWN.probability(ASK_STAKE / 4 * 3, price, 0);
        assert_eq!(own(ASK_STAKE), expected);
        assert!(expected > Policy::OWN.probability(ASK_STAKE, price, 0));
        // A second worker may be as bad as the first: there are a quarter more audits, of a newcomer twice as many.
        let second = |passed| audits.probability(&Policy::NETWORK, ASK_STAKE, price, passed);
        let quarter_more = expected.0 + expected.0 / 4;
        assert!(second(20).0.abs_diff(quarter_more) <= 2, "{:?} {quarter_more:?}", second(20));
        assert!(second(0).0.abs_diff(2 * quarter_more) <= 4, "{:?} {quarter_more:?}", second(0));
        // Who has nothing to lose is always audited.
        assert_eq!(own(0), Ratio::ONE);
        let never = audits.with_rate(Ratio::ZERO);
        assert_eq!(never.probability(&Policy::NETWORK, 0, price, 0), Ratio::ZERO);
    }
}
