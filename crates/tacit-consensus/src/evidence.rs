//! Votes that contradict each other, as the ledger's `validators` module takes them.
//!
//! The engine tells of every vote and certificate that it sees, of most before their signatures are checked, and of two single
//! votes that contradict each other. It does not look into certificates: a leader that sends two blocks to two halves of
//! its peers shows each of them one vote alone, and the other vote in the certificate that comes later. So the votes of the
//! last rounds are kept here, those in certificates too, and compared.
//!
//! # Invariants
//! - What is reported was accepted by the module's own decoder, under the namespace and the key that signed.
//! - A key is reported for so many rounds at most: one is enough to bar it.
//! - Votes of [`ROUNDS_KEPT`] rounds are kept, three a validator.

use crate::{block::BlockHash, ports::EvidenceSink};
use alloy_primitives::B256;
use commonware_actor::Feedback;
use commonware_codec::Encode as _;
use commonware_consensus::{
    Automaton, CertifiableAutomaton, Epochable as _, Handoff, Relay, Reporter, Viewable as _,
    simplex::{
        scheme::ed25519::Scheme,
        types::{
            Activity, Attributable as _, ConflictingFinalize, ConflictingNotarize, Finalize, Notarize,
            Nullify, NullifyFinalize, Vote,
        },
    },
    types::{Epoch, Participant, Round},
};
use commonware_cryptography::{certificate::Attestation, ed25519::certificate::Certificate};
use commonware_utils::channel::oneshot;
use core::fmt;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tacit_ledger::{Evidence, EvidenceError, Fault};
use tracing::debug;

type Act = Activity<Scheme, BlockHash>;
type Ballot = Vote<Scheme, BlockHash>;

/// The key of a member of an epoch's committee, where that committee is known.
type Members = Arc<dyn Fn(Epoch, Participant) -> Option<B256> + Send + Sync>;

/// Finds contradicting votes in what the engine tells. Clones share what they have seen.
#[derive(Clone)]
pub(crate) struct Witness<V> {
    namespace: B256,
    members: Members,
    book: Arc<Mutex<Book>>,
    sink: V,
}

impl<V> fmt::Debug for Witness<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// What is kept.
#[derive(Default)]
struct Book {
    rounds: BTreeMap<Round, BTreeMap<Participant, Vec<Ballot>>>,
    /// For how many rounds each was reported.
    reported: BTreeMap<B256, usize>,
}

impl<V: EvidenceSink> Witness<V> {
    /// For votes under `namespace`, of the `members` of each epoch.
    pub(crate) fn new(
        namespace: B256,
        members: impl Fn(Epoch, Participant) -> Option<B256> + Send + Sync + 'static,
        sink: V,
    ) -> Self {
        Self { namespace, members: Arc::new(members), book: Arc::default(), sink }
    }

    fn see(&self, vote: Ballot) {
        let (round, signer) = (Round::new(vote.epoch(), vote.view()), signer(&vote));
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let Book { rounds, reported } = &mut *book;
        let held = rounds.entry(round).or_default().entry(signer).or_default();
        let pair = held.iter().find_map(|earlier| conflict(earlier, &vote));
        let verdict = pair.map(|pair| self.judge(reported, round.epoch(), signer, &pair));
        match held.iter_mut().find(|earlier| phase(earlier) == phase(&vote)) {
            None => held.push(vote),
            // What turns out not to be signed makes room for what may be.
            Some(earlier) if verdict == Some(Err(EvidenceError::FirstSignature)) => *earlier = vote,
            Some(_) => {}
        }
        while rounds.len() > ROUNDS_KEPT {
            rounds.pop_first();
        }
    }

    /// Reports a pair if the module would take it.
    fn judge(
        &self,
        reported: &mut BTreeMap<B256, usize>,
        epoch: Epoch,
        signer: Participant,
        pair: &Act,
    ) -> Result<(), EvidenceError> {
        let key = (self.members)(epoch, signer).ok_or(EvidenceError::Signers)?;
        let evidence = pair.encode();
        let fault = self.check(key, &evidence).inspect_err(|error| {
            debug!(%key, %error, "two votes that show nothing");
        })?;
        let times = reported.entry(key).or_default();
        if *times < REPORTS_MAX {
            *times = times.saturating_add(1);
            self.sink.report(key, fault, evidence);
        }
        Ok(())
    }

    fn check(&self, key: B256, evidence: &[u8]) -> Result<Fault, EvidenceError> {
        Evidence::decode(evidence)?.check(self.namespace, key)
    }

    /// Sees each vote that a certificate is made of.
    fn open(&self, certificate: &Certificate, vote: impl Fn(Attestation<Scheme>) -> Ballot) {
        for (signer, signature) in certificate.signers.iter().zip(&certificate.signatures) {
            self.see(vote(Attestation { signer, signature: signature.clone() }));
        }
    }
}

impl<V: EvidenceSink> Reporter for Witness<V> {
    type Activity = Act;

    fn report(&mut self, activity: Act) -> Feedback {
        match activity {
            Activity::Notarize(vote) => self.see(Vote::Notarize(vote)),
            Activity::Nullify(vote) => self.see(Vote::Nullify(vote)),
            Activity::Finalize(vote) => self.see(Vote::Finalize(vote)),
            Activity::Notarization(made) => self.open(&made.certificate, |attestation| {
                Vote::Notarize(Notarize { proposal: made.proposal.clone(), attestation })
            }),
            Activity::Nullification(made) => self.open(&made.certificate, |attestation| {
                Vote::Nullify(Nullify { round: made.round, attestation })
            }),
            Activity::Finalization(made) => self.open(&made.certificate, |attestation| {
                Vote::Finalize(Finalize { proposal: made.proposal.clone(), attestation })
            }),
            pair @ (Activity::ConflictingNotarize(_)
            | Activity::ConflictingFinalize(_)
            | Activity::NullifyFinalize(_)) => self.take(&pair),
            // Says again what the notarization said.
            Activity::Certification(_) => {}
        }
        Feedback::Ok
    }
}

impl<V: EvidenceSink> Witness<V> {
    /// A pair that the engine has found.
    fn take(&self, pair: &Act) {
        let (epoch, signer) = match pair {
            Activity::ConflictingNotarize(pair) => (pair.epoch(), pair.signer()),
            Activity::ConflictingFinalize(pair) => (pair.epoch(), pair.signer()),
            Activity::NullifyFinalize(pair) => (pair.epoch(), pair.signer()),
            _ => return,
        };
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        // What is not accepted is told by the judge.
        let _ = self.judge(&mut book.reported, epoch, signer, pair);
    }
}

/// What consensus drives, under a witness of what it tells.
#[derive(Clone)]
pub(crate) struct Watched<A, V> {
    pub(crate) application: A,
    pub(crate) witness: Witness<V>,
}

impl<A: Automaton, V: EvidenceSink> Automaton for Watched<A, V>
where
    A::Context: Send,
{
    type Context = A::Context;
    type Digest = A::Digest;

    async fn propose(&mut self, context: A::Context) -> oneshot::Receiver<A::Digest> {
        self.application.propose(context).await
    }

    async fn verify(&mut self, context: A::Context, payload: A::Digest) -> oneshot::Receiver<bool> {
        self.application.verify(context, payload).await
    }
}

impl<A: CertifiableAutomaton, V: EvidenceSink> CertifiableAutomaton for Watched<A, V>
where
    A::Context: Send,
{
    async fn prepare(&mut self, context: A::Context) -> oneshot::Receiver<Handoff<A::Digest>> {
        self.application.prepare(context).await
    }

    async fn certify(&mut self, round: Round, payload: A::Digest) -> oneshot::Receiver<bool> {
        self.application.certify(round, payload).await
    }
}

impl<A: Relay, V: EvidenceSink> Relay for Watched<A, V> {
    type Digest = A::Digest;
    type PublicKey = A::PublicKey;
    type Plan = A::Plan;

    fn broadcast(&mut self, payload: A::Digest, plan: A::Plan) -> Feedback {
        self.application.broadcast(payload, plan)
    }
}

impl<A: Reporter<Activity = Act>, V: EvidenceSink> Reporter for Watched<A, V> {
    type Activity = Act;

    fn report(&mut self, activity: Act) -> Feedback {
        // It takes everything.
        let _ = self.witness.report(activity.clone());
        self.application.report(activity)
    }
}

/// The two votes as evidence, if no honest validator signs both. Round and signer are the same.
fn conflict(earlier: &Ballot, later: &Ballot) -> Option<Act> {
    match (earlier, later) {
        (Vote::Notarize(a), Vote::Notarize(b)) if a.proposal != b.proposal => {
            Some(Activity::ConflictingNotarize(ConflictingNotarize::new(a.clone(), b.clone())))
        }
        (Vote::Finalize(a), Vote::Finalize(b)) if a.proposal != b.proposal => {
            Some(Activity::ConflictingFinalize(ConflictingFinalize::new(a.clone(), b.clone())))
        }
        (Vote::Nullify(a), Vote::Finalize(b)) | (Vote::Finalize(b), Vote::Nullify(a)) => {
            Some(Activity::NullifyFinalize(NullifyFinalize::new(a.clone(), b.clone())))
        }
        _ => None,
    }
}

fn signer(vote: &Ballot) -> Participant {
    match vote {
        Vote::Notarize(vote) => vote.signer(),
        Vote::Nullify(vote) => vote.signer(),
        Vote::Finalize(vote) => vote.signer(),
    }
}

fn phase(vote: &Ballot) -> u8 {
    match vote {
        Vote::Notarize(_) => 0,
        Vote::Nullify(_) => 1,
        Vote::Finalize(_) => 2,
    }
}

/// Rounds whose votes are kept.
const ROUNDS_KEPT: usize = 256;
/// Rounds for which a key is reported while the validator runs.
const REPORTS_MAX: usize = 4;

#[cfg(test)]
mod tests;
