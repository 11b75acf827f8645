//! Shows the ledger that an answer passed its audit, where the ledger's beacon says which answers count (`specs/0011-audits.md`, *Audits that third parties see*).
//!
//! An audit that its client tossed a coin for says nothing to others. So once a receipt is anchored, and the beacon of that block is known, whoever wants to looks whether it selects
//! the receipt; if so a second worker is asked the same, unless one was already, signs that it came to the same run, and the ledger counts one more passed audit for the first. It
//! costs what the second asks for, and gas; and it shows everyone the receipt: who asked which model, when, and for how much. So a gateway does it only if its owner says so.
//!
//! # What survives a crash
//! What became of each answer is on disk. Everything before the end can be done again: the second worker's answer is kept as any answer is, a verdict is signed again, and a beacon that is
//! posted or a receipt that has passed are refused as such by the ledger.

use alloy_primitives::B256;
use tacit_abi::{
    IAudits::IAuditsErrors,
    IBeacons::IBeaconsErrors,
    Verdict,
    audits::{CHALLENGE_WINDOW_S, SignedVerdict},
    stakes::burned,
};
use tacit_market::{Policy, selection::is_selected};
use tacit_wire::{
    JobId, LedgerError, Revert, WalkAnswer, WalkQuestion, WalkRequest, WalkResponse,
    ledger::{receipt_digest, unix_time_s},
    walk::WALK_RESPONSE_BYTES_MAX,
    wallet::verdict_signer,
};

use crate::{
    error::GatewayError,
    gateway::Gateway,
    store::{AnswerRecord, Audit, JobRecord, Other, Shown},
};

/// What comes next of an answer that is to be shown.
enum Next {
    /// Nothing yet: something else is waited for.
    Later,
    /// This is its end.
    End(Shown),
}

impl Gateway {
    /// Takes the next step for every answer of which it is not known yet whether it is to be shown. [`Self::serve`] does this every few seconds.
    ///
    /// # Errors
    /// The first [`GatewayError`]; what is left is taken up next time.
    pub async fn show_audits(&self) -> Result<(), GatewayError> {
        if !self.audits.is_shown() {
            return Ok(());
        }
        let mut result = Ok(());
        for job_id in self.store.unshown()? {
            let step = match self.next_shown(job_id).await {
                Ok(Next::Later) => Ok(()),
                Ok(Next::End(shown)) => Ok(self.store.put_shown(job_id, &shown)?),
                Err(error) => Err(error),
            };
            result = result.and(step);
        }
        result
    }

    async fn next_shown(&self, job_id: JobId) -> Result<Next, GatewayError> {
        let (job, answer) = self.answered_job(job_id)?;
        let receipt = &answer.receipt.receipt;
        if unix_time_s() > receipt.completedAt.saturating_add(CHALLENGE_WINDOW_S) {
            return Ok(Next::End(Shown::not("nothing came of it within a day")));
        }
        let Some(block) = self.fetch_anchor(job_id).await? else { return Ok(Next::Later) };
        let beacon = match self.ledger.beacon_of(block).await? {
            Some(beacon) => beacon,
            None => match self.ledger.beacon_ahead(block).await {
                Ok(beacon) => beacon,
                Err(LedgerError::NotCertified { .. }) => return Ok(Next::Later),
                Err(error) => return Err(error.into()),
            },
        };
        let passed = self.ledger.audit_history_of(receipt.worker).await?.passed;
        let bonded = self.ledger.stake_of(receipt.worker).await?.bonded;
        let probability = Policy::NETWORK.probability(burned(bonded), receipt.price, passed);
        let digest = receipt_digest(receipt, job.request.header.chain_id);
        if !is_selected(beacon, digest, probability) {
            return Ok(Next::End(Shown::NotSelected));
        }
        match self.store.audit(job_id)? {
            Some(Audit::Agreed { with }) => self.show(&job, &answer, with, block).await,
            Some(Audit::NotDrawn | Audit::Passed) => {
                self.store.put_audit(job_id, &Audit::Asking { seconds: Vec::new() })?;
                Ok(Next::Later)
            }
            Some(Audit::Due | Audit::Asking { .. } | Audit::Differs { .. }) => Ok(Next::Later),
            Some(Audit::NoSecondWorker { reason }) => Ok(Next::End(Shown::not(&reason))),
            Some(Audit::NoWeights) => Ok(Next::End(Shown::not("this gateway asks no second worker"))),
            _ => Ok(Next::End(Shown::not("it did not pass"))),
        }
    }

    /// Has the second worker sign, and the ledger count.
    async fn show(
        &self,
        job: &JobRecord,
        answer: &AnswerRecord,
        with: Other,
        block: u64,
    ) -> Result<Next, GatewayError> {
        let verdict = match self.ask_verdict(job, answer, with).await? {
            Ok(verdict) => verdict,
            Err(reason) => {
                tracing::info!(%reason, worker = %with.worker, "a second worker does not sign what it came to");
                return Ok(Next::Later);
            }
        };
        match self.ledger.post_beacon(&self.wallet, block).await {
            Ok(_) | Err(LedgerError::Reverted(Revert::Beacons(IBeaconsErrors::AlreadyPosted(_)))) => {}
            // The validators have not signed the block yet.
            Err(
                LedgerError::NotCertified { .. }
                | LedgerError::Reverted(Revert::Beacons(IBeaconsErrors::SignatureLength(_))),
            ) => return Ok(Next::Later),
            Err(LedgerError::Reverted(reason)) => return Ok(Next::End(Shown::not(&reason.to_string()))),
            Err(error) => return Err(error.into()),
        }
        let Some(anchor) = &answer.anchor else { return Ok(Next::Later) };
        let path = (anchor.root, anchor.siblings.clone());
        let sent = self.ledger.pass_audit(&self.wallet, &answer.receipt, path, with.worker, &verdict).await;
        match sent {
            Ok(_) | Err(LedgerError::Reverted(Revert::Audits(IAuditsErrors::AlreadyPassed(_)))) => {
                Ok(Next::End(Shown::Passed { by: with.worker }))
            }
            // More was bonded, or passed, since it was looked at.
            Err(LedgerError::Reverted(Revert::Audits(IAuditsErrors::NotSelected(_)))) => {
                Ok(Next::End(Shown::NotSelected))
            }
            Err(LedgerError::Reverted(reason)) => Ok(Next::End(Shown::not(&reason.to_string()))),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks a worker to sign that the receipt of another one is of the run that it came to itself; why not, if it does not.
    async fn ask_verdict(
        &self,
        job: &JobRecord,
        answer: &AnswerRecord,
        with: Other,
    ) -> Result<Result<SignedVerdict, String>, GatewayError> {
        let (second, own) = self.answered_job(with.job_id)?;
        let chain_id = job.request.header.chain_id;
        let [first_digest, own_digest] =
            [answer, &own].map(|answer| receipt_digest(&answer.receipt.receipt, chain_id));
        let question = WalkQuestion::Verdict {
            salt: B256::from(answer.salts.evidence),
            receipt: Box::new(answer.receipt.receipt.clone()),
        };
        let made = WalkRequest::new(&own.salts.evidence, own_digest, question);
        let (request, keys) = made.map_err(|_| GatewayError::Internal)?;
        let url = format!("{}/v1/walks", self.whereabouts(&second).await);
        let asked = self.http.post::<_, WalkResponse>(&url, &request, WALK_RESPONSE_BYTES_MAX);
        let said = match tokio::time::timeout(self.audits.patience(), asked).await {
            Ok(Ok(response)) => keys.open(&response).map_err(|reject| reject.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it does not answer in time".to_owned()),
        };
        let signature = match said {
            Ok(WalkAnswer::Verdict(signature)) => signature,
            Ok(_) => return Ok(Err("it says something else".to_owned())),
            Err(reason) => return Ok(Err(reason)),
        };
        let verdict = Verdict { receipt: first_digest, own: own_digest };
        let signed = SignedVerdict { verdict, signature: signature.into() };
        Ok(if verdict_signer(&signed, chain_id) == Ok(with.worker) {
            Ok(signed)
        } else {
            Err("the signature is not its own".to_owned())
        })
    }
}
