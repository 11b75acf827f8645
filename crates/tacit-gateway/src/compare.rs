//! Which of two workers is false that committed to different runs of one row, for a gateway that has neither the weights nor a run of its own.
//!
//! # The walk
//! Both are asked what lies under the same nodes of their trees, down to the leftmost leaf in which they differ, and one of them what the element in it is made of
//! ([`tacit_graph::trace::Walk`], [`tacit_wire::walk`]). Everything said is checked against the root that the worker's receipt commits to, weights against the registered root, and kept on disk. The
//! element is computed here, with the ledger's code, and whoever's value does not follow is convicted on the ledger by one transaction, for which nothing more is needed from anybody.
//!
//! # Who does not answer
//! A worker that refuses, or says what is not in its tree, is challenged on the ledger at once, one that says nothing after a while. There it answers or loses its stake; what it reveals
//! there counts in the walk like what it would have said here, and the other's tree is what the challenge is played with. What the gateway risks is the bond of that challenge: it is
//! lost if it turns out that the challenged one was right and the other false, or if the other does not go on.
//!
//! # What survives a crash
//! Which answers differ, what was said, and what convicts whom. What is to be done next follows from that and from the challenges on the ledger.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use alloy_sol_types::SolCall;
use tacit_abi::{
    IAudits::{self, Challenge, IAuditsErrors},
    audits::CHALLENGE_WINDOW_S,
};
use tacit_graph::trace::{Convictions, Hash, Side, Walk, WalkError};
use tacit_verify::VerifyingModel;
use tacit_wire::{
    JobId, LedgerError, Revert, WalkAnswer, WalkQuestion, WalkReject, WalkRequest, WalkResponse,
    http::HttpError,
    ledger::{challenge_id, receipt_digest, unix_time_s},
    walk::WALK_RESPONSE_BYTES_MAX,
};
use tokio::time::{Instant, timeout_at};

use crate::{
    dispute::{CHOOSE, CONVICT, FALSE_RUN, REVEAL, WON, committed_top, signed},
    error::GatewayError,
    gateway::Gateway,
    second::{other_of, turn_of},
    store::{AnswerRecord, Audit, AuditFault, JobRecord, Other},
};

/// Why something that a worker was asked about its run is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalkFault {
    /// It does not answer, or not in time, or is too busy.
    #[error("it does not say what its run is made of: {0}")]
    Silent(String),
    /// It refuses.
    #[error("it refuses to say what its run is made of: {0}")]
    Refused(String),
    /// What it says is too long or not what was asked for.
    #[error("what it says of its run is none: {0}")]
    Malformed(String),
    /// What it says is under another key, or no answer.
    #[error("what it says of its run does not open: {0}")]
    Sealed(WalkReject),
    /// What it says is of another kind than what was asked.
    #[error("it says something else of its run than it was asked")]
    Kind,
    /// What it says is not in the trace that it committed to, or not in the registered weights.
    #[error("what it says of its run is false: {0}")]
    False(WalkError),
}

impl WalkFault {
    /// Stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Silent(_) => "walk_silent",
            Self::Refused(_) => "walk_refused",
            Self::Malformed(_) => "walk_malformed",
            Self::Sealed(_) => "walk_sealed",
            Self::Kind => "walk_kind",
            Self::False(_) => "walk_false",
        }
    }

    /// Whether the worker may answer another time.
    fn may_pass(&self) -> bool {
        matches!(self, Self::Silent(_))
    }
}

/// One of the two answers, and what the ledger tells of it.
struct Run {
    job: JobRecord,
    answer: AnswerRecord,
    /// Of its receipt.
    digest: B256,
    leaves: u32,
    top: Hash,
    /// Of the challenge that this gateway may open about it.
    challenge_id: B256,
    challenge: Option<Challenge>,
    convicted: bool,
    /// What was revealed in the challenge.
    steps: Vec<Vec<B256>>,
    tile: Option<Bytes>,
}

/// How far a walk came.
struct Walked {
    /// Which child was chosen in each step.
    chosen: Vec<u8>,
    /// Who has to say more.
    faults: [Option<WalkFault>; 2],
    /// Whether that is only what the element is made of, which the ledger makes nobody say.
    parted: bool,
    convictions: Option<Convictions>,
}

/// What is left to do about one of the two on the ledger.
#[derive(PartialEq, Eq)]
enum Left {
    /// Nothing: nobody disputes it.
    Nothing,
    /// Its challenge is not over.
    Open,
    /// Its challenge is over, and it has its stake.
    Lost,
    /// It has lost its stake.
    Convicted,
}

impl Run {
    fn left(&self) -> Left {
        match self.challenge.as_ref().map(|challenge| challenge.turn) {
            _ if self.convicted => Left::Convicted,
            None => Left::Nothing,
            Some(REVEAL | CHOOSE | CONVICT) => Left::Open,
            Some(WON) => Left::Convicted,
            Some(_) => Left::Lost,
        }
    }

    fn job_id(&self) -> JobId {
        self.job.request.header.job_id
    }

    fn other(&self) -> Other {
        other_of(&self.job, &self.answer)
    }
}

impl Gateway {
    /// Takes the next step towards knowing which of two workers is false.
    ///
    /// # Errors
    /// [`GatewayError`]; it is taken another time.
    pub(crate) async fn compare(&self, first: JobId) -> Result<(), GatewayError> {
        let _turn = self.job_turn(turn_of(first)).await;
        let Some(Audit::Differs { with, from_block, since_s }) = self.store.audit(first)? else {
            return Ok(());
        };
        let (job, _) = self.answered_job(first)?;
        let model = self.kept_model(job.request.header.model_id)?;
        let mut runs = [
            self.run_of(&model, first, from_block).await?,
            self.run_of(&model, with.job_id, from_block).await?,
        ];
        self.end_silence(&mut runs).await?;
        if runs.iter().any(|run| run.left() == Left::Convicted) {
            return self.end_by_ledger(&runs);
        }
        let walked = self.walk(&model, &runs).await?;
        if let Some(convictions) = walked.convictions {
            return self.judge(&runs, convictions);
        }
        let mut ended = None;
        for (side, fault) in Side::BOTH.into_iter().zip(&walked.faults) {
            let run = side.of(&runs);
            let waits = unix_time_s() <= since_s.saturating_add(self.audits.silence_s());
            match (run.left(), fault) {
                (Left::Open, _) => self.choose_next(run, &walked.chosen).await?,
                (Left::Nothing, Some(fault)) if !walked.parted && (!fault.may_pass() || !waits) => {
                    ended = ended.or(self.challenge_run(run, fault).await?);
                }
                (Left::Lost, Some(fault)) => ended = ended.or(Some(fault.to_string())),
                _ => {}
            }
        }
        let over = runs.iter().all(|run| {
            let until = run.answer.receipt.receipt.completedAt.saturating_add(CHALLENGE_WINDOW_S);
            run.left() != Left::Open && unix_time_s() > until
        });
        match ended.or_else(|| over.then(|| "a day has passed".to_owned())) {
            Some(reason) => self.leave_undecided(&runs, reason),
            None => Ok(()),
        }
    }

    async fn run_of(
        &self,
        model: &VerifyingModel,
        job_id: JobId,
        from_block: u64,
    ) -> Result<Run, GatewayError> {
        let (job, answer) = self.answered_job(job_id)?;
        let digest = receipt_digest(&answer.receipt.receipt, job.request.header.chain_id);
        let (leaves, top) = committed_top(model.graph(), &job, &answer)?;
        let challenge_id = challenge_id(digest, self.address());
        let challenge = self.ledger.challenge_of(challenge_id).await?;
        let convicted = self.ledger.is_convicted(digest).await?;
        let (steps, tile) = match &challenge {
            Some(_) => self.ledger.revealed_in(challenge_id, from_block).await?,
            None => (Vec::new(), None),
        };
        Ok(Run { job, answer, digest, leaves, top, challenge_id, challenge, convicted, steps, tile })
    }

    /// Goes as far down as both say what lies there.
    async fn walk(&self, model: &Arc<VerifyingModel>, runs: &[Run; 2]) -> Result<Walked, GatewayError> {
        let [first, second] = runs;
        let model_id = first.job.request.header.model_id;
        let weights_root = self.ledger.weights_of(model_id).await?.ok_or(GatewayError::Internal)?;
        let until = Instant::now() + self.audits.patience();
        let shapes = model.graph().validate().map_err(|_| GatewayError::Internal)?;
        let tops = runs.each_ref().map(|run| run.top);
        let mut walk = Walk::new(&shapes, tops).ok_or(GatewayError::Internal)?;
        let mut walked =
            Walked { chosen: Vec::new(), faults: [None, None], parted: false, convictions: None };
        while walk.node().level > 0 {
            let step = walked.chosen.len();
            let said = tokio::join!(
                self.hashes(first, Side::First, &walk, step, until),
                self.hashes(second, Side::Second, &walk, step, until),
            );
            match (said.0?, said.1?) {
                (Ok(first), Ok(second)) => {
                    let chosen = walk.step([&first, &second]).map_err(|_| GatewayError::Internal)?;
                    walked.chosen.push(chosen);
                }
                (first, second) => {
                    walked.faults = [first.err(), second.err()];
                    return Ok(walked);
                }
            }
        }
        let said = tokio::join!(
            self.tile(first, Side::First, &walk, until),
            self.tile(second, Side::Second, &walk, until),
        );
        let tiles = match (said.0?, said.1?) {
            (Ok(first), Ok(second)) => [first, second],
            (first, second) => {
                walked.faults = [first.err(), second.err()];
                return Ok(walked);
            }
        };
        let parting = walk.part(model.graph(), tiles.each_ref().map(Vec::as_slice));
        let parting = parting.map_err(|_| GatewayError::Internal)?;
        (walked.parted, walked.convictions) = (true, parting.malformed());
        let question = WalkQuestion::Element { node: parting.node(), element: parting.element() };
        for (run, fault) in runs.iter().zip(&mut walked.faults) {
            if walked.convictions.is_some() {
                break;
            }
            let opened = self.ask_about(run, question.clone(), until, |said| match said {
                WalkAnswer::Openings(opened) => {
                    parting.judge(&opened, &weights_root.0).map_err(WalkFault::False)
                }
                _ => Err(WalkFault::Kind),
            });
            match opened.await? {
                Ok(convictions) => walked.convictions = Some(convictions),
                Err(said) => *fault = Some(said),
            }
        }
        if walked.convictions.is_some() {
            walked.faults = [None, None];
        }
        Ok(walked)
    }

    async fn hashes(
        &self,
        run: &Run,
        side: Side,
        walk: &Walk,
        step: usize,
        until: Instant,
    ) -> Result<Result<Vec<Hash>, WalkFault>, GatewayError> {
        if let Some(revealed) = run.steps.get(step) {
            let revealed: Vec<Hash> = revealed.iter().map(|hash| hash.0).collect();
            if walk.check(side, &revealed).is_ok() {
                return Ok(Ok(revealed));
            }
        }
        self.ask_about(run, WalkQuestion::Under(walk.node()), until, |said| match said {
            WalkAnswer::Hashes(hashes) => {
                walk.check(side, &hashes).map_err(WalkFault::False)?;
                Ok(hashes)
            }
            _ => Err(WalkFault::Kind),
        })
        .await
    }

    async fn tile(
        &self,
        run: &Run,
        side: Side,
        walk: &Walk,
        until: Instant,
    ) -> Result<Result<Vec<u8>, WalkFault>, GatewayError> {
        if let Some(tile) = run.tile.as_ref().filter(|tile| walk.check_tile(side, tile).is_ok()) {
            return Ok(Ok(tile.to_vec()));
        }
        self.ask_about(run, WalkQuestion::Under(walk.node()), until, |said| match said {
            WalkAnswer::Tile(tile) => {
                walk.check_tile(side, &tile).map_err(WalkFault::False)?;
                Ok(tile)
            }
            _ => Err(WalkFault::Kind),
        })
        .await
    }

    /// What a worker says of its run, from the disk if it said so before; `check` says whether it counts.
    async fn ask_about<T>(
        &self,
        run: &Run,
        question: WalkQuestion,
        until: Instant,
        check: impl Fn(WalkAnswer) -> Result<T, WalkFault>,
    ) -> Result<Result<T, WalkFault>, GatewayError> {
        let asked = question.encode();
        if let Some(kept) = self.store.walked(run.job_id(), &asked)?
            && let Ok(said) = WalkAnswer::decode(&kept)
            && let Ok(checked) = check(said)
        {
            return Ok(Ok(checked));
        }
        let said = match self.ask_worker_about(run, question, until).await {
            Ok(said) => said,
            Err(fault) => return Ok(Err(fault)),
        };
        let encoded = said.encode();
        Ok(match (check(said), encoded) {
            (Ok(checked), Some(encoded)) => {
                self.store.put_walked(run.job_id(), &asked, &encoded)?;
                Ok(checked)
            }
            (Ok(_), None) => Err(WalkFault::Kind),
            (Err(fault), _) => Err(fault),
        })
    }

    async fn ask_worker_about(
        &self,
        run: &Run,
        question: WalkQuestion,
        until: Instant,
    ) -> Result<WalkAnswer, WalkFault> {
        let made = WalkRequest::new(&run.answer.salts.evidence, run.digest, question);
        let (request, keys) = made.map_err(WalkFault::Sealed)?;
        let late = || WalkFault::Silent("the time is over".to_owned());
        let url = timeout_at(until, self.whereabouts(&run.job)).await.map_err(|_| late())?;
        let url = format!("{url}/v1/walks");
        let asked = self.http.post::<_, WalkResponse>(&url, &request, WALK_RESPONSE_BYTES_MAX);
        match timeout_at(until, asked).await.map_err(|_| late())? {
            Ok(response) => keys.open(&response).map_err(WalkFault::Sealed),
            Err(error) => Err(fault_of(&error)),
        }
    }

    /// Ends challenges whose hour has passed: the stake of a worker that let it pass is taken, and a bond that is lost is the worker's.
    async fn end_silence(&self, runs: &mut [Run; 2]) -> Result<(), GatewayError> {
        for run in runs {
            let Some(challenge) = &run.challenge else { continue };
            let open = matches!(challenge.turn, REVEAL | CHOOSE | CONVICT);
            let late = unix_time_s().max(self.ledger.block_time_s().await?) > challenge.deadline;
            if !open || !(late || run.convicted) {
                continue;
            }
            match self.ledger.settle_challenge(&self.wallet, run.challenge_id).await {
                // Our clock is ahead of the ledger's.
                Err(LedgerError::Reverted(Revert::Audits(IAuditsErrors::StillOpen(_)))) => continue,
                settled => {
                    settled?;
                }
            }
            run.challenge = self.ledger.challenge_of(run.challenge_id).await?;
            run.convicted = self.ledger.is_convicted(run.digest).await?;
        }
        Ok(())
    }

    /// One has lost its stake, by its silence or to somebody else. The other is right as far as anybody knows, once nothing is open about it.
    fn end_by_ledger(&self, runs: &[Run; 2]) -> Result<(), GatewayError> {
        if runs.iter().any(|run| run.left() == Left::Open) {
            return Ok(());
        }
        let [first, second] = runs;
        let audit = |run: &Run, against: &Run| match run.left() {
            Left::Convicted => Audit::Convicted,
            _ => Audit::Upheld { against: against.other() },
        };
        self.put_verdict(runs, [audit(first, second), audit(second, first)])
    }

    /// Goes on with a challenge, if it is the gateway's turn and the walk came as far.
    async fn choose_next(&self, run: &Run, chosen: &[u8]) -> Result<(), GatewayError> {
        let turn = run.challenge.as_ref().map(|challenge| challenge.turn);
        let revealed = run.steps.len().checked_sub(1);
        let step = revealed.and_then(|last| run.steps.get(last).zip(chosen.get(last)));
        if let Some((children, child)) = step.filter(|_| turn == Some(CHOOSE)) {
            self.ledger.choose(&self.wallet, run.challenge_id, children.clone(), *child).await?;
        }
        Ok(())
    }

    /// Challenges a worker that does not say what its run is made of, and asks it no more; why nothing can come of it, if so.
    async fn challenge_run(&self, run: &Run, fault: &WalkFault) -> Result<Option<String>, GatewayError> {
        let challenged =
            self.ledger.challenge(&self.wallet, signed(&run.answer), run.leaves, run.top.into()).await;
        let reason = match challenged {
            // Known at the next step.
            Err(LedgerError::Reverted(Revert::Audits(
                IAuditsErrors::AlreadyConvicted(_) | IAuditsErrors::AlreadyChallenged(_),
            ))) => None,
            Err(LedgerError::Reverted(
                revert @ Revert::Audits(IAuditsErrors::TooLate(_) | IAuditsErrors::NothingAtStake(_)),
            )) => Some(format!("{fault}; {revert}")),
            challenged => {
                challenged?;
                None
            }
        };
        let message = fault.to_string();
        tracing::warn!(worker = %run.job.request.header.worker, %message, "a worker is challenged");
        self.store.put_fault(&AuditFault { job: &run.job, code: fault.code(), message: &message })?;
        Ok(reason)
    }

    /// The element is computed: whoever's value does not follow is convicted.
    fn judge(&self, runs: &[Run; 2], convictions: Convictions) -> Result<(), GatewayError> {
        let [first, second] = runs;
        let false_ones = convictions.each_ref().map(Option::is_some);
        for (run, conviction) in runs.iter().zip(convictions) {
            if let Some(conviction) = conviction {
                let call = self.convict_call(&run.job, &run.answer, conviction)?;
                self.store.put_conviction(run.job_id(), &call.abi_encode())?;
            }
        }
        let audit = |is_false: bool, against: &Run| match is_false {
            true => Audit::Convicting,
            false => Audit::Upheld { against: against.other() },
        };
        let [first_is, second_is] = false_ones;
        self.put_verdict(runs, [audit(first_is, second), audit(second_is, first)])
    }

    fn put_verdict(&self, runs: &[Run; 2], audits: [Audit; 2]) -> Result<(), GatewayError> {
        let faults = runs.each_ref().map(|run| {
            let (worker, job_id) = (run.job.request.header.worker, run.job_id());
            GatewayError::FalseRun { worker, job_id }.to_string()
        });
        let at_fault = runs.iter().zip(&faults).zip(&audits).filter_map(|((run, message), audit)| {
            let code = FALSE_RUN;
            matches!(audit, Audit::Convicting | Audit::Convicted).then_some(AuditFault {
                job: &run.job,
                code,
                message,
            })
        });
        let at_fault: Vec<AuditFault<'_>> = at_fault.collect();
        let ([first, second], [one, other]) = (runs, &audits);
        let pair = [(first.job_id(), one), (second.job_id(), other)];
        Ok(self.store.put_pair(pair, &at_fault)?)
    }

    fn leave_undecided(&self, runs: &[Run; 2], reason: String) -> Result<(), GatewayError> {
        let [first, second] = runs;
        let audits = [
            Audit::Undecided { with: second.other(), reason: reason.clone() },
            Audit::Undecided { with: first.other(), reason },
        ];
        self.put_verdict(runs, audits)
    }

    /// Convicts a worker on the ledger by what is on disk.
    pub(crate) async fn convict(&self, job_id: JobId) -> Result<(), GatewayError> {
        let _alone = self.disputing.lock().await;
        if self.store.audit(job_id)? != Some(Audit::Convicting) {
            return Ok(());
        }
        let (job, answer) = self.answered_job(job_id)?;
        let digest = receipt_digest(&answer.receipt.receipt, job.request.header.chain_id);
        let mut ended = Audit::Convicted;
        if !self.ledger.is_convicted(digest).await? {
            let bytes = self.store.conviction(job_id)?.ok_or(GatewayError::Internal)?;
            let call = IAudits::convictCall::abi_decode(&bytes).map_err(|_| GatewayError::Internal)?;
            match self.ledger.convict(&self.wallet, &call).await {
                Err(LedgerError::Reverted(Revert::Audits(IAuditsErrors::AlreadyConvicted(_)))) => {}
                Err(LedgerError::Reverted(revert)) => {
                    ended = Audit::Unpunished { reason: revert.to_string() };
                }
                convicted => {
                    convicted?;
                }
            }
        }
        let id = challenge_id(digest, self.address());
        let challenge = self.ledger.challenge_of(id).await?;
        let open = challenge.is_some_and(|challenge| matches!(challenge.turn, REVEAL | CHOOSE | CONVICT));
        if open && ended == Audit::Convicted {
            self.ledger.settle_challenge(&self.wallet, id).await?;
        }
        Ok(self.store.put_convicted(job_id, &ended)?)
    }
}

/// What an exchange that failed says of the worker.
fn fault_of(error: &HttpError) -> WalkFault {
    let text = error.to_string();
    match error {
        HttpError::TooLong { .. } | HttpError::Malformed { .. } => WalkFault::Malformed(text),
        HttpError::Refused { status, .. }
        | HttpError::Told { status, .. }
        | HttpError::Status { status, .. }
            if *status < 500 =>
        {
            WalkFault::Refused(text)
        }
        _ => WalkFault::Silent(text),
    }
}
