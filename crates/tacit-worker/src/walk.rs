//! Answers whoever compares a run with another worker's (`specs/0011-audits.md`): what lies under a node of its tree, and what one element is made of.
//!
//! Whoever asks knows the salt of the receipt's commitment to evidence: the client, or somebody to whom the client gave it. What is said here is what a dispute on the
//! ledger would show as well, so there is nothing in it for the worker to keep; a worker that does not answer is disputed there. Whoever shows that another worker committed to
//! the same run gets that signed. How often a run is asked about
//! is counted on disk, and it is done again no more than once for each time that another one came between.

use std::sync::Arc;

use alloy_primitives::B256;
use tacit_abi::{Receipt, Verdict, audits};
use tacit_graph::trace::evidence_commitment;
use tacit_wire::{WalkAnswer, WalkQuestion, WalkRequest, WalkResponse, ledger::receipt_digest};

use crate::{engine::Revealed, reject::JobReject, store::RunRecord, worker::Worker};

impl Worker {
    /// Answers a question about a run that this worker committed to.
    ///
    /// # Errors
    /// [`JobReject`].
    pub async fn walk(&self, request: WalkRequest) -> Result<WalkResponse, JobReject> {
        let run = self.store.run(request.receipt)?.ok_or(JobReject::NoSuchRun)?;
        let salt = run.salt.filter(|_| run.until_s >= self.clock.unix_time_s());
        let salt = salt.ok_or(JobReject::NoSuchRun)?;
        let (question, keys) = request.open(&salt.0).map_err(|_| JobReject::NoSuchRun)?;
        let model = self.models.get(&run.model_id).ok_or(JobReject::NoSuchRun)?;
        let element = match question {
            WalkQuestion::Under(_) | WalkQuestion::Verdict { .. } => None,
            WalkQuestion::Element { node, element } => Some((node, element)),
        };
        if !self.store.count_walk(request.receipt, element)? {
            return Err(JobReject::WalkedEnough);
        }
        if let WalkQuestion::Verdict { salt, receipt } = &question {
            let signature = self.verdict(&run, *salt, receipt)?;
            return keys.seal(&WalkAnswer::Verdict(signature)).map_err(|_| JobReject::Internal);
        }
        let place = Arc::clone(&self.walking).acquire_owned().await.map_err(|_| JobReject::Internal)?;
        let engine = Arc::clone(model.engine());
        let answering = tokio::task::spawn_blocking(move || {
            // Held while the work lasts, also when nobody waits for it any more.
            let _place = place;
            let answer = match question {
                WalkQuestion::Under(node) => match engine.reveal(&run.values, node)? {
                    Revealed::Hashes(hashes) => (!hashes.is_empty()).then_some(WalkAnswer::Hashes(hashes)),
                    Revealed::Tile(tile) => Some(WalkAnswer::Tile(tile)),
                },
                WalkQuestion::Element { node, element } => {
                    let opened = engine.opened(&run.values, node, element)?;
                    opened.map(|opened| WalkAnswer::Openings(Box::new(opened)))
                }
                WalkQuestion::Verdict { .. } => None,
            };
            let nothing =
                || JobReject::Malformed { detail: "the run has no such node or element".to_owned() };
            let answer = answer.ok_or_else(nothing)?;
            keys.seal(&answer).map_err(|_| JobReject::Internal)
        });
        answering.await.map_err(|_| JobReject::Internal)?
    }
    /// Signs that another worker's receipt is of the same run as one of this worker's, if the salt shows it.
    fn verdict(&self, run: &RunRecord, salt: B256, receipt: &Receipt) -> Result<[u8; 65], JobReject> {
        let root = run.root.ok_or(JobReject::NoSuchRun)?;
        let same = receipt.modelId == run.model_id
            && receipt.worker != self.address()
            && receipt.evidenceHash == evidence_commitment(&salt.0, &root.0);
        if !same {
            return Err(JobReject::OtherRun);
        }
        let chain_id = self.ledger.chain_id();
        let verdict = Verdict { receipt: receipt_digest(receipt, chain_id), own: run.receipt };
        let signature = self.wallet.sign_typed(&verdict, &audits::domain(chain_id));
        signature.as_ref().try_into().map_err(|_| JobReject::Internal)
    }
}
