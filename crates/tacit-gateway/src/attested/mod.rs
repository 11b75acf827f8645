//! Sessions with guests: a policy to judge by, evidence that satisfies it, and a key to seal to, in this order.
//!
//! A question with privacy `enclave` is sealed to no key but one of a session, or under a secret agreed with one where it is a language model's, and a session is made of
//! nothing but an [`Attested`], which only [`tacit_attest::verify`] makes: CPU, GPUs, image, model and key are checked in one call, offline, before anything of the question leaves.
//! Evidence, policy, key and nonce are kept beside the receipt ([`AttestedMessages`]), so that the same call can be made again, years later.
//!
//! # Invariants
//! - The policy is the one whose id the user named, by its hash; or the one in force in the line that the user named, whose id is a hash of
//!   how it began. A ledger node can withhold either, and pass off nothing else as a policy that was named by its own hash.
//! - A session is used for one worker and model, no longer than [`SESSION_USED_S`], and only under the policy that it was judged by: once another is in
//!   force, the next question begins another session.
//! - Whose evidence is refused is not asked again under this policy for [`REFUSED_S`]. It saw nothing and is paid nothing.
//!
//! **Boundary:** evidence is the worker's; collateral in it is believed as far as vendors signed it.

mod messages;
mod policy;

pub use messages::{AttestedMessages, AttestedReject, AttestedSummary};

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::{Address, B256};
use rand::RngCore as _;
use tacit_attest::{Attested, EVIDENCE_BYTES_MAX, Policy, Trust, TrustError};
use tacit_wire::{
    http::HttpError,
    ledger::unix_time_s,
    message::{AttestRequest, AttestResponse, GuestKey},
    session::SESSION_KEY_BYTES,
};

use crate::{check::AnswerReject, deliver::check_between, error::GatewayError, gateway::Gateway};

/// What a gateway judges evidence by.
#[derive(Debug, Clone)]
pub struct Attestation {
    policy: B256,
    trust: Trust,
    clock: fn() -> u64,
}

/// A guest that was judged, and what judged it.
pub(crate) struct Session {
    chain_id: u64,
    pub(crate) attested: Attested,
    pub(crate) messages: AttestedMessages,
}

/// Whom to ask for a session, about what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) worker: Address,
    pub(crate) endpoint: &'a str,
    pub(crate) model_id: B256,
    pub(crate) kind: GuestKey,
}

/// By worker, model and policy.
type Refusals = HashMap<(Address, B256, B256), (u64, String)>;
/// By worker and model.
type Turns = HashMap<(Address, B256), Arc<tokio::sync::Mutex<()>>>;

/// Policies, sessions and refusals, and what they are judged by.
pub(crate) struct Attesting {
    pub(crate) config: Attestation,
    /// Policies that were read, by id.
    policies: Mutex<HashMap<B256, Arc<Policy>>>,
    sessions: Mutex<HashMap<(Address, B256), Arc<Session>>>,
    /// One at a time begins a session with a worker about a model: the others use it.
    turns: Mutex<Turns>,
    /// Until when a worker is not asked for a session about a model under a policy, and why.
    refused: Mutex<Refusals>,
}

/// How long a session is used, in seconds: less than workers keep it.
pub const SESSION_USED_S: u64 = 600;
/// How long a worker whose evidence was refused is not asked for other.
pub const REFUSED_S: u64 = 3600;
const KEPT_MAX: usize = 1024;
/// Base64 of the longest evidence, the longest key in hexadecimal, and the envelope.
const RESPONSE_BYTES_MAX: usize = EVIDENCE_BYTES_MAX / 3 * 4 + 2 * SESSION_KEY_BYTES + 4096;

impl Attestation {
    /// Judges by a policy, or by the line, of this name, under the roots of Intel, AMD and NVIDIA and by the system's clock.
    ///
    /// # Errors
    /// None with the roots that are built in.
    pub fn new(policy: B256) -> Result<Self, TrustError> {
        Ok(Self::trusting(policy, Trust::vendors()?, unix_time_s))
    }

    /// The same under other roots and by another clock: whoever has the roots' keys can make any evidence. For tests; no command of this
    /// repository reaches it.
    #[must_use]
    pub fn trusting(policy: B256, trust: Trust, clock: fn() -> u64) -> Self {
        Self { policy, trust, clock }
    }

    /// Roots that are believed.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    pub(crate) fn now_s(&self) -> u64 {
        (self.clock)()
    }
}

impl Attesting {
    pub(crate) fn new(config: Attestation) -> Self {
        let (policies, sessions, refused) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { config, policies, sessions, turns: Mutex::default(), refused }
    }

    fn turn(&self, worker: Address, model_id: B256) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() >= KEPT_MAX {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(turns.entry((worker, model_id)).or_default())
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<(Address, B256), Arc<Session>>> {
        // The map is whole after every operation on it, here and below.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> MutexGuard<'_, Refusals> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gateway {
    /// What attested answers are judged by, if anything.
    pub(crate) fn attesting(&self) -> Result<&Attesting, GatewayError> {
        self.attesting.as_ref().ok_or(GatewayError::NoPolicy)
    }

    /// Roots that evidence is judged under.
    pub(crate) fn trust(&self) -> Result<Trust, GatewayError> {
        match &self.attesting {
            Some(attesting) => Ok(attesting.config.trust.clone()),
            None => Trust::vendors().map_err(|_| GatewayError::Internal),
        }
    }

    /// What time it is for sessions, seconds since 1970: evidence is judged by the same clock.
    pub(crate) fn session_time_s(&self) -> u64 {
        self.attesting.as_ref().map_or_else(unix_time_s, |attesting| attesting.config.now_s())
    }

    /// Has the worker of a session begin another one when it is asked next.
    pub(crate) fn forget_guest(&self, session: &Arc<Session>) {
        let Some(attesting) = &self.attesting else { return };
        let binding = session.attested.binding();
        let (key, mut sessions) = ((binding.worker(), binding.model()), attesting.sessions());
        // Somebody else may have had it begin another one already.
        if sessions.get(&key).is_some_and(|kept| Arc::ptr_eq(kept, session)) {
            sessions.remove(&key);
        }
    }

    /// A session with a worker about a model, judged by the policy that is in force now.
    pub(crate) async fn guest_session(&self, wanted: Wanted<'_>) -> Result<Arc<Session>, GatewayError> {
        let attesting = self.attesting()?;
        let policy = self.policy_in_force(attesting).await?;
        let Wanted { worker, model_id, .. } = wanted;
        let (policy_id, now_s) = (policy.id(), attesting.config.now_s());
        let kept = || {
            let kept = attesting.sessions().get(&(worker, model_id)).cloned();
            kept.filter(|session| session.lasts(policy_id, now_s))
        };
        if let Some(session) = kept() {
            return Ok(session);
        }
        let turn = attesting.turn(worker, model_id);
        let _alone = turn.lock().await;
        if let Some(session) = kept() {
            return Ok(session);
        }
        let refusal = (worker, model_id, policy_id);
        if let Some((until_s, reason)) = attesting.refused().get(&refusal).cloned()
            && now_s < until_s
        {
            return Err(GatewayError::NotAttested { worker, reason });
        }
        match self.begin_session(attesting, &policy, wanted).await {
            Ok(session) => {
                let session = Arc::new(session);
                let mut sessions = attesting.sessions();
                if sessions.len() >= KEPT_MAX {
                    sessions.clear();
                }
                sessions.insert((worker, model_id), Arc::clone(&session));
                Ok(session)
            }
            Err(error) => {
                if let GatewayError::EvidenceRefused { reject, .. } = &error {
                    let mut refused = attesting.refused();
                    if refused.len() >= KEPT_MAX {
                        refused.clear();
                    }
                    refused.insert(refusal, (now_s.saturating_add(REFUSED_S), reject.to_string()));
                }
                Err(error)
            }
        }
    }

    async fn begin_session(
        &self,
        attesting: &Attesting,
        policy: &Arc<Policy>,
        wanted: Wanted<'_>,
    ) -> Result<Session, GatewayError> {
        let Wanted { worker, endpoint, model_id, kind } = wanted;
        let mut nonce = B256::ZERO;
        rand::rng().fill_bytes(nonce.as_mut_slice());
        let url = format!("{endpoint}/v1/attest");
        let request = AttestRequest { model_id, nonce, kind };
        let asked = self.http.post::<_, AttestResponse>(&url, &request, RESPONSE_BYTES_MAX);
        let AttestResponse { key, evidence } = asked.await.map_err(|error| no_session(worker, error))?;
        let refused = |reject| GatewayError::EvidenceRefused { worker, reject: Box::new(reject) };
        let (expected, got) = (kind.bytes(), key.len());
        if expected != got {
            return Err(refused(AttestedReject::Key { expected, got }));
        }
        let begun_s = attesting.config.now_s();
        let messages = AttestedMessages { key, nonce, evidence, policy: policy.encode(), begun_s };
        let (trust, chain_id) = (attesting.config.trust.clone(), self.ledger.chain_id());
        let judging = tokio::task::spawn_blocking(move || {
            let judged = messages.verify(chain_id, worker, model_id, &trust, begun_s);
            judged.map(|attested| Session { chain_id, attested, messages })
        });
        let judged = judging.await.map_err(|_| GatewayError::Internal)?;
        let session = judged.map_err(refused)?;
        self.store.put_session(session.attested.evidence(), &session.messages)?;
        Ok(session)
    }
}

impl Session {
    /// Whether it may be used under this policy now.
    fn lasts(&self, policy: B256, now_s: u64) -> bool {
        let end = self.messages.begun_s.saturating_add(SESSION_USED_S).min(self.attested.valid_until());
        self.attested.policy() == policy && now_s < end
    }

    /// Whether it vouches for an answer of this time: one of the session's, at which the evidence holds, as whoever has the receipt will judge it.
    pub(crate) fn check_time(&self, at_s: u64, now_s: u64, trust: &Trust) -> Result<(), AnswerReject> {
        let begun_s = self.messages.begun_s;
        check_between(at_s, begun_s, now_s)?;
        // It was judged at the beginning, and holds as long as it says; clocks may differ about either.
        if (begun_s..self.attested.valid_until()).contains(&at_s) {
            return Ok(());
        }
        let binding = self.attested.binding();
        let judged = self.messages.verify(self.chain_id, binding.worker(), binding.model(), trust, at_s);
        judged.map(drop).map_err(|reject| AnswerReject::from(Box::new(reject)))
    }
}

/// A worker that gives no session gave no evidence that could be judged; another may.
fn no_session(worker: Address, error: HttpError) -> GatewayError {
    match error {
        HttpError::Refused { body, .. } => GatewayError::Refused {
            worker,
            code: body.code,
            message: body.message,
            hint: body.hint,
            opens_at: body.opens_at,
        },
        source => GatewayError::Unreachable { worker, job_id: None, source: Box::new(source) },
    }
}
