//! Sessions with a guest: keys that never leave its memory, and hardware that vouches for them.
//!
//! A client that begins a session ([`Worker::attest`]) sends a nonce and gets a key made for it alone, with evidence whose report data is a hash of chain, worker,
//! key, model and nonce ([`tacit_attest::Binding`]). What is sealed to that key can be opened here and nowhere else, until the session ends or the worker
//! does; nothing of it is on disk. The receipt of a job or stream that came over a session commits to the id of the session's evidence. Jobs are sealed to the key itself;
//! streams agree on secrets with it, as with the worker's own key otherwise.
//!
//! # Invariants
//! - Without an [`Attester`] no ask names the modes `enclave` and `attested`, and no session begins. Nor does one about a language model whose weights were not
//!   hashed here ([`LanguageModel::in_guest`](crate::LanguageModel::in_guest)).
//! - A session's secret key is in memory only, and forgotten after [`SESSION_S`].
//! - Hardware is asked once at a time, no more often than [`SESSIONS_PER_SECOND_MAX`], for no more clients than [`SESSIONS_WAITING_MAX`]; the next is
//!   refused and costs nothing.
//!
//! **Boundary:** nothing here judges evidence: clients do, by their policies, and believe no worker's word on it.

mod collateral;
mod error;
mod gpu;
mod tsm;

pub use error::AttestError;
pub use gpu::GpuCommand;
pub use tsm::{TSM_REPORTS, TsmAttester};

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::{B256, Bytes};
use tacit_attest::{Binding, Evidence};
use tacit_wire::{
    SealingKey,
    language::GUEST_MODE,
    message::{AttestRequest, AttestResponse, GuestKey},
    session::{SessionKey, session_key_hash},
};
use tokio::sync::Semaphore;

use crate::{reject::JobReject, worker::Worker};

/// Has hardware vouch for this guest. Runs on a blocking thread, once at a time.
pub trait Attester: Send + Sync + 'static {
    /// Evidence with this report data of the CPU, and of GPUs that answer this nonce.
    ///
    /// # Errors
    /// [`AttestError`].
    fn attest(&self, report_data: &[u8; 64], gpu_nonce: &[u8; 32]) -> Result<Evidence, AttestError>;
}

/// How long a session lasts, in seconds.
pub const SESSION_S: u64 = 900;
/// Sessions that begin in a second.
pub const SESSIONS_PER_SECOND_MAX: u32 = 8;
/// Clients that wait for a session to begin.
pub const SESSIONS_WAITING_MAX: usize = 16;
/// Sessions at once: as many as can begin while one lasts.
const SESSIONS_MAX: usize = 8 * 900;

/// Sessions that last, and what makes more of them.
pub(crate) struct Sessions {
    attester: Arc<dyn Attester>,
    open: Mutex<HashMap<B256, Session>>,
    /// The second that it is, and sessions that began in it.
    begun: Mutex<(u64, u32)>,
    waiting: Semaphore,
    turn: tokio::sync::Mutex<()>,
}

/// A session of a client with this guest.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) key: Key,
    /// Id of what vouches for it.
    pub(crate) evidence: B256,
    /// What it is about, and nothing else.
    pub(crate) model: B256,
    /// When it ends, seconds since 1970.
    pub(crate) until_s: u64,
}

/// The secret key of a session.
#[derive(Clone)]
pub(crate) enum Key {
    Jobs(Arc<SealingKey>),
    Streams(Arc<SessionKey>),
}

impl Key {
    fn random(kind: GuestKey) -> Self {
        match kind {
            GuestKey::Jobs => Self::Jobs(Arc::new(SealingKey::random())),
            GuestKey::Streams => Self::Streams(Arc::new(SessionKey::random())),
        }
    }

    /// The public half, and how clients name it.
    fn public(&self) -> (Bytes, B256) {
        match self {
            Self::Jobs(key) => (key.public().into(), key.public()),
            Self::Streams(key) => {
                let public = key.public();
                let name = session_key_hash(&public);
                (public.into(), name)
            }
        }
    }
}

impl Sessions {
    pub(crate) fn new(attester: Arc<dyn Attester>) -> Self {
        Self {
            attester,
            open: Mutex::default(),
            begun: Mutex::default(),
            waiting: Semaphore::new(SESSIONS_WAITING_MAX),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Counts one more session in this second.
    fn admit(&self, now_s: u64) -> Result<(), JobReject> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if begun.0 != now_s {
            *begun = (now_s, 0);
        }
        if begun.1 >= SESSIONS_PER_SECOND_MAX {
            return Err(JobReject::Busy);
        }
        begun.1 = begun.1.saturating_add(1);
        Ok(())
    }

    fn open(&self) -> MutexGuard<'_, HashMap<B256, Session>> {
        // The map is whole after every operation on it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, name: B256, session: Session, now_s: u64) {
        let mut open = self.open();
        open.retain(|_, session| session.until_s > now_s);
        if open.len() < SESSIONS_MAX {
            open.insert(name, session);
        }
    }
}

impl Worker {
    /// Begins a session: a key for this client and model alone, and what vouches for it.
    ///
    /// # Errors
    /// [`JobReject`]: a model or a mode that is not served, no place now, or hardware that gives no evidence.
    pub async fn attest(&self, request: AttestRequest) -> Result<AttestResponse, JobReject> {
        let AttestRequest { model_id, nonce, kind } = request;
        let (privacy, evidence) = GUEST_MODE;
        let served = match kind {
            GuestKey::Jobs => {
                self.models.get(&model_id).map(|model| model.price(privacy, evidence).is_some())
            }
            GuestKey::Streams => self.languages.is_in_guest(model_id),
        };
        let served = served.ok_or(JobReject::UnknownModel { model_id })?;
        let Some(sessions) = self.sessions.as_ref().filter(|_| served) else {
            return Err(JobReject::UnsupportedMode { privacy, evidence });
        };
        if self.is_drained() {
            return Err(JobReject::Draining);
        }
        sessions.admit(self.clock.unix_time_s())?;
        let _place = sessions.waiting.try_acquire().map_err(|_| JobReject::Busy)?;
        let _turn = sessions.turn.lock().await;
        let key = Key::random(kind);
        let (public, name) = key.public();
        let binding = Binding::new(self.ledger.chain_id(), self.address(), &public, model_id, nonce);
        let attester = Arc::clone(&sessions.attester);
        let attesting = tokio::task::spawn_blocking(move || {
            attester.attest(&binding.report_data(), &binding.gpu_nonce())
        });
        let evidence = attesting.await.map_err(|_| JobReject::Internal)?.map_err(JobReject::Attest)?;
        let now_s = self.clock.unix_time_s();
        let until_s = now_s.saturating_add(SESSION_S);
        let session = Session { key, evidence: evidence.id(), model: model_id, until_s };
        sessions.keep(name, session, now_s);
        Ok(AttestResponse { key: public, evidence: evidence.encode() })
    }

    /// The session whose key is named so, if it lasts.
    pub(crate) fn session(&self, key: B256) -> Result<Session, JobReject> {
        let found = self.sessions.as_ref().and_then(|sessions| sessions.open().get(&key).cloned());
        let now_s = self.clock.unix_time_s();
        found.filter(|session| session.until_s > now_s).ok_or(JobReject::NoSession { key })
    }

    /// The one that a job about a model is sealed to.
    pub(crate) fn session_for_job(
        &self,
        key: B256,
        model_id: B256,
    ) -> Result<(Arc<SealingKey>, B256), JobReject> {
        match self.session(key)? {
            Session { key: Key::Jobs(secret), evidence, model, .. } if model == model_id => {
                Ok((secret, evidence))
            }
            _ => Err(JobReject::NoSession { key }),
        }
    }
}
