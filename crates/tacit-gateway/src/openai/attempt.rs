//! Asks worker after worker until one begins to answer, which is then followed to its end ([`super::follow`]).
//!
//! Runs on a task of its own, at the other end of a channel from whoever asked. Once anything was given out, no other worker is asked.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256};
use rand::RngCore;
use tacit_market::routing::{self, Candidate, Sort};
use tacit_wire::{
    Amount, JobId,
    http::{Download, HttpError, printable},
    language::{CHUNK_TOKENS, LanguageKind, TokenCount},
    message::GuestKey,
    meter::Route,
    stream::{Envelope, StreamHead, seal_request},
};
use tokio::sync::mpsc;

use super::{
    account::{Terms, Wish},
    added::Watch,
    caps::{Caps, Want},
    error::ApiError,
    follow::{Frames, Stream},
    language::{Language, Way},
    link::{Link, Running, Session},
    market::{Offered, TokenAsk},
    request::{ApiRequest, with_commitment},
};
use crate::{
    attested::{Session as Guest, Wanted},
    error::GatewayError,
    gateway::Gateway,
};

/// What whoever asked is told, in this order: a beginning, data, and an end.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A worker's engine began to answer.
    Begun { status: u16, content_type: String, worker: Address },
    /// Bytes of the engine's.
    Data(Vec<u8>),
    /// All is said.
    Done(Outcome),
    /// Nothing more comes.
    Failed(ApiError),
}

/// What an answer cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) worker: Address,
    pub(crate) price: Amount,
    pub(crate) tokens: TokenCount,
    pub(crate) receipt: B256,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) key: B256,
    pub(crate) caps: Caps,
    pub(crate) day: u64,
}

/// Why one worker did not answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: ApiError,
    /// Another worker may do better.
    pub(crate) next: bool,
    /// It counts against the worker.
    pub(crate) blame: bool,
    /// What the worker wants to be promised first.
    pub(crate) demand: Option<Amount>,
    /// Its engine refused what was asked with log-probabilities for the gateway's audits.
    pub(crate) is_of_commitment: bool,
}

/// Whether an answer is to say how likely its tokens are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commitment {
    /// It is not audited, whatever it says.
    None,
    /// Whoever asked wants that itself.
    Own,
    /// The gateway asks for it.
    Added,
    /// The gateway would, and the worker's engine refuses it.
    Refused,
}

/// One worker to ask for one model.
pub(crate) struct Try {
    pub(crate) offered: Arc<Offered>,
    pub(crate) language: Arc<Language>,
    pub(crate) body: Arc<Vec<u8>>,
    /// The same without what the gateway's audits added to it.
    plain: Arc<Vec<u8>>,
    pub(crate) commitment: Commitment,
    pub(crate) prompt_tokens: u64,
    pub(crate) ask: TokenAsk,
}

impl Try {
    /// The same for an engine that refuses what audits added.
    fn refused(self) -> Self {
        Self { body: Arc::clone(&self.plain), commitment: Commitment::Refused, ..self }
    }
}

/// Whoever asked.
#[derive(Clone, Copy)]
struct Told<'a> {
    pieces: &'a mpsc::Sender<Piece>,
    watch: &'a Arc<Watch>,
    /// No other worker is asked after this one.
    is_last: bool,
}

/// Longest answer.
pub(crate) const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Pieces that wait for whoever asked.
pub(crate) const PIECES_MAX: usize = 64;
/// Prompts longer than this are counted on a thread of their own.
const PROMPT_INLINE_BYTES: usize = 32 * 1024;
/// What a request that does not say how long its answer may be is expected to take, to compare prices by.
const COMPLETION_EXPECTED: u64 = 256;
/// Tokens that both sides may count above what an engine counts.
const SLACK_TOKENS: u64 = 32;

impl Failure {
    pub(crate) fn dishonest(worker: Address, detail: String) -> Self {
        Self::of_worker(ApiError::Dishonest { worker, detail })
    }

    pub(crate) fn unreachable(error: &HttpError) -> Self {
        Self::of_worker(ApiError::Upstream { detail: error.to_string() })
    }

    pub(crate) fn of_worker(error: ApiError) -> Self {
        Self { error, next: true, blame: true, demand: None, is_of_commitment: false }
    }

    pub(crate) fn unusable(error: &dyn core::fmt::Display) -> Self {
        Self::of_worker(ApiError::Upstream { detail: error.to_string() })
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self { error, next: false, blame: false, demand: None, is_of_commitment: false }
    }
}

impl Gateway {
    /// Answers a request into `pieces`; its last piece is the last.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: ApiRequest,
        asker: Asker,
        pieces: mpsc::Sender<Piece>,
        watch: Arc<Watch>,
    ) {
        if let Err(error) = self.try_all(&request, asker, &pieces, &watch).await {
            // Whoever left is told nothing.
            let _ = pieces.send(Piece::Failed(error)).await;
        }
    }

    async fn try_all(
        self: &Arc<Self>,
        request: &ApiRequest,
        asker: Asker,
        pieces: &mpsc::Sender<Piece>,
        watch: &Arc<Watch>,
    ) -> Result<(), ApiError> {
        if request.provider.unlinkable && self.unlinkable.relay.is_none() {
            return Err(GatewayError::NoRelay.into());
        }
        let mut last = None;
        let tries = self.tries(request).await?;
        let count = tries.len();
        for (at, mut one) in tries.into_iter().enumerate() {
            if pieces.is_closed() {
                return Ok(());
            }
            let is_last = at.saturating_add(1) >= count;
            let told = Told { pieces, watch, is_last };
            let mut tried = self.try_one(request, asker, &one, told).await;
            if matches!(&tried, Err(failure) if failure.is_of_commitment) {
                // Once: the same without what audits added.
                one = one.refused();
                tried = self.try_one(request, asker, &one, told).await;
            }
            match tried {
                Ok(()) => return Ok(()),
                Err(failure) => {
                    if failure.blame {
                        self.health.failed(one.ask.worker);
                    }
                    tracing::debug!(worker = %one.ask.worker, error = %failure.error, "a worker did not answer");
                    if !failure.next {
                        return Err(failure.error);
                    }
                    // Of workers that were not even asked the first says most.
                    if failure.blame || last.is_none() || !request.provider.unlinkable {
                        last = Some(failure.error);
                    }
                }
            }
        }
        Err(last.unwrap_or(ApiError::Internal))
    }

    /// Whom to ask, in order, model after model.
    async fn tries(&self, request: &ApiRequest) -> Result<Vec<Try>, ApiError> {
        let (mut tries, mut refusal) = (Vec::new(), None);
        for wanted in &request.models {
            let found = match self.offered(&wanted.name).await {
                Ok(offered) => self.tries_of(request, &offered, wanted.sort).await,
                Err(error) => Err(error),
            };
            match found {
                Ok(more) => tries.extend(more),
                // Of a list of models the first that is there is asked.
                Err(error @ (ApiError::UnknownModel { .. } | ApiError::NoWorker { .. })) => {
                    refusal = refusal.or(Some(error));
                }
                Err(error) => return Err(error),
            }
        }
        match refusal {
            Some(error) if tries.is_empty() => Err(error),
            _ => Ok(tries),
        }
    }

    async fn tries_of(
        &self,
        request: &ApiRequest,
        offered: &Arc<Offered>,
        suffix: Option<Sort>,
    ) -> Result<Vec<Try>, ApiError> {
        let (preferences, wishes) = (&request.provider, request.provider.wishes());
        let nobody =
            |reason: &str| ApiError::NoWorker { model: offered.name.clone(), reason: reason.to_owned() };
        let asks = self.likeness.asked(offered);
        let asks = routing::eligible(&asks, TokenAsk::for_routing, &wishes).map_err(nobody)?;
        let way = if preferences.unlinkable { Way::Relayed } else { Way::Direct };
        let mut described = None;
        let mut reason = String::new();
        for ask in &asks {
            match self.language(offered.model_id, ask, way).await {
                Ok(language) => {
                    described = Some(language);
                    break;
                }
                Err(error) => {
                    self.health.failed(ask.worker);
                    reason = error.to_string();
                }
            }
        }
        let language = described.ok_or(ApiError::Upstream { detail: reason })?;
        let kind =
            if request.route == Route::Embeddings { LanguageKind::Embedding } else { LanguageKind::Language };
        if language.manifest.kind != kind {
            let detail = format!("{:?} is not a model for this kind of request", offered.name);
            return Err(ApiError::field("model", detail));
        }
        let quantisation = &language.manifest.quantisation;
        if let Some(allowed) = &preferences.quantizations
            && !allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(quantisation))
        {
            return Err(nobody("quantizations"));
        }
        let plain = Arc::new(request.body_for(&offered.name)?);
        // What it adds is not text, and counts for nothing.
        let added = if request.is_audited { with_commitment(&plain)?.map(Arc::new) } else { None };
        let prompt_tokens = count_prompt(&language, &plain).await?;
        let context = u64::from(language.manifest.context_tokens);
        if prompt_tokens > context.saturating_add(context / 16).saturating_add(SLACK_TOKENS) {
            let detail = format!("the prompt has {prompt_tokens} tokens, and the model takes {context}");
            return Err(ApiError::field("messages", detail));
        }
        let completion =
            request.longest.unwrap_or(COMPLETION_EXPECTED).min(context).saturating_mul(request.answers);
        let count = TokenCount { prompt: prompt_tokens, completion };
        let by_reputation = suffix.or(wishes.sort) == Some(Sort::Reputation);
        let candidates = asks.into_iter().filter_map(|ask| {
            let (worker, seen, cost) = (ask.worker, self.health.of(ask.worker), ask.prices.cost(count)?.0);
            let standing = by_reputation.then(|| self.reputations.of(worker)).flatten();
            let reputation = standing.map_or(0, |standing| standing.reputation.0);
            Some(Candidate { worker, offer: ask, seen, cost, reputation })
        });
        let (now_ms, draw) = (self.health.now_ms(), rand::rng().next_u64());
        let order = routing::order(candidates.collect(), &wishes, suffix, now_ms, draw);
        let one = |candidate: Candidate<TokenAsk>| {
            let ask = candidate.offer;
            let (body, commitment) = match &added {
                Some(_) if self.likeness.refuses(offered.model_id, ask.worker) => {
                    (&plain, Commitment::Refused)
                }
                Some(added) => (added, Commitment::Added),
                None if request.is_audited => (&plain, Commitment::Own),
                None => (&plain, Commitment::None),
            };
            Try {
                offered: Arc::clone(offered),
                language: Arc::clone(&language),
                body: Arc::clone(body),
                plain: Arc::clone(&plain),
                commitment,
                prompt_tokens,
                ask,
            }
        };
        Ok(order.into_iter().map(one).collect())
    }

    async fn try_one(
        self: &Arc<Self>,
        request: &ApiRequest,
        asker: Asker,
        one: &Try,
        told: Told<'_>,
    ) -> Result<(), Failure> {
        let Told { pieces, watch, is_last } = told;
        if request.provider.unlinkable {
            return self.try_unlinked(request, asker, one, pieces, is_last).await;
        }
        // A guest is judged before anything is opened, promised or sealed.
        let mut guest = self.guest(one).await?;
        let link = self.link(&one.ask).await?;
        let terms = terms(one)?;
        // A session is opened again once. Others that run may use up what this request promised before it arrives.
        let (mut forgotten, mut demands) = (false, 0);
        loop {
            let opened = self.session(&link, one.offered.model_id, &one.ask, guest.as_deref()).await?;
            let Some(session) = opened else {
                if forgotten {
                    return Err(Failure::unusable(&"it forgets its sessions at once"));
                }
                forgotten = true;
                guest = self.guest_again(one, guest.as_ref()).await?;
                continue;
            };
            let want = want(request, one, terms)?;
            let reservation = self.budget.reserve(&self.store, asker.day, asker.key, asker.caps, want)?;
            self.raise_budget_soon(asker);
            let mut running = self.begin(&link, &one.ask, terms, reservation).await?;
            let started = Instant::now();
            let (job_id, sent) = self.send(request, one, &link, &session, &running, watch).await?;
            match sent {
                Ok(download) => {
                    let frames = Frames::new(download, session.secret.opener(job_id.1), watch);
                    let (link, guest) = (&link, guest.as_deref());
                    let stream =
                        Stream { request, one, link, guest, job_id: job_id.0, pieces, is_last, started };
                    let followed = self.follow(stream, running, frames).await;
                    match followed {
                        Err(Failure { demand: Some(demand), .. }) if demands < DEMANDS_MAX => {
                            demands += 1;
                            link.bring_again();
                            self.meet(link, terms, demand).await?;
                        }
                        followed => return followed,
                    }
                }
                Err(HttpError::Refused { status: 410, .. }) if !forgotten => {
                    // It began nothing: the next one of its sessions does.
                    running.refuse();
                    link.forget_session(&session);
                    forgotten = true;
                    guest = self.guest_again(one, guest.as_ref()).await?;
                }
                Err(error) => {
                    let refused = matches!(error, HttpError::Refused { status, .. } if status < 500);
                    let unsent = !error.outcome_unknown();
                    if refused || unsent {
                        running.refuse()
                    } else {
                        running.broke_off()
                    }
                    return Err(match error {
                        HttpError::Refused { status: 429 | 503, body } => crowded(&body.message),
                        HttpError::Stalled { .. } => {
                            Failure::of_worker(ApiError::Timeout { worker: link.worker })
                        }
                        error => Failure::unreachable(&error),
                    });
                }
            }
        }
    }

    /// The guest behind an ask, judged by the policy in force; none behind an ask that names none.
    async fn guest(&self, one: &Try) -> Result<Option<Arc<Guest>>, Failure> {
        if !one.ask.is_guests() {
            return Ok(None);
        }
        let (worker, endpoint, model_id) = (one.ask.worker, one.ask.endpoint.as_str(), one.offered.model_id);
        let wanted = Wanted { worker, endpoint, model_id, kind: GuestKey::Streams };
        self.guest_session(wanted).await.map(Some).map_err(|error| match error {
            GatewayError::Refused { code, message, .. } if code == "busy" => crowded(&message),
            GatewayError::Refused { .. } | GatewayError::Unreachable { .. } => Failure::unusable(&error),
            // It saw nothing, and nothing is held against it: where its hardware is not asked for, it may answer.
            GatewayError::EvidenceRefused { .. } | GatewayError::NotAttested { .. } => {
                Failure { blame: false, ..Failure::of_worker(error.into()) }
            }
            error => ApiError::from(error).into(),
        })
    }

    /// The same once the one that was judged is not known any more: it was restarted, and its keys are gone with it.
    async fn guest_again(&self, one: &Try, gone: Option<&Arc<Guest>>) -> Result<Option<Arc<Guest>>, Failure> {
        if let Some(gone) = gone {
            self.forget_guest(gone);
        }
        self.guest(one).await
    }

    /// Has what may be spent written down before it is reached, on a thread that may wait for the disk.
    pub(super) fn raise_budget_soon(self: &Arc<Self>, Asker { key, caps, day }: Asker) {
        if self.budget.is_low(day, key, caps) {
            let gateway = Arc::clone(self);
            tokio::task::spawn_blocking(move || gateway.budget.raise_ahead(&gateway.store, day, key, caps));
        }
    }

    /// Sends the request; gives its name and number.
    async fn send(
        &self,
        request: &ApiRequest,
        one: &Try,
        link: &Link,
        session: &Session,
        running: &Running,
        watch: &Arc<Watch>,
    ) -> Result<((JobId, u64), Result<Download, HttpError>), Failure> {
        let (job_id, sequence) = (JobId::random(), session.next());
        let voucher = link.undelivered();
        let promised = voucher.as_ref().map(|signed| signed.voucher.cumulative);
        let head = StreamHead {
            job_id,
            model_id: one.offered.model_id,
            route: request.route,
            privacy: one.ask.privacy,
            evidence: one.ask.evidence,
            prices: one.ask.prices,
            limit: running.limit(),
            voucher,
        };
        let envelope = Envelope { session_id: session.id, sequence };
        let sealed = seal_request(&session.secret, envelope, &head, &one.body)
            .map_err(|_| ApiError::TooLong { limit: tacit_wire::stream::BODY_BYTES_MAX })?;
        let url = format!("{}/v1/streams", one.ask.endpoint);
        let watch = Arc::clone(watch);
        let sent = self.streams.stream(&url, sealed, self.patience, move || watch.sent()).await;
        if sent.is_ok()
            && let Some(promised) = promised
        {
            link.delivered(promised);
        }
        Ok(((job_id, sequence), sent))
    }

    /// A worker does not take a request before so much is promised: promises it, once what runs explains it.
    async fn meet(&self, link: &Link, terms: Terms, demand: Amount) -> Result<(), ApiError> {
        // The request itself is off the account by now.
        let of_others = Amount(demand.0.saturating_sub(terms.prompt.0));
        let moved = link.moved.notified();
        let wish = link.account().explain(of_others);
        if wish == Wish::Explained {
            return self.promise(link, demand);
        }
        // What is on its way explains it, or nothing does, and it is asked again in vain.
        let _ = tokio::time::timeout(DEMAND_WAIT, moved).await;
        Ok(())
    }
}

/// How often a request is sent again because the worker wants more promised.
const DEMANDS_MAX: u32 = 16;
const DEMAND_WAIT: Duration = Duration::from_millis(200);

pub(crate) fn crowded(detail: &str) -> Failure {
    Failure::of_worker(ApiError::Crowded { detail: printable(detail) })
}

pub(super) fn terms(one: &Try) -> Result<Terms, ApiError> {
    let prompt = one.ask.prices.cost(TokenCount { prompt: one.prompt_tokens, completion: 0 });
    Ok(Terms { prompt: prompt.ok_or(ApiError::Internal)?, chunk: one.ask.prices.chunk() })
}

/// What the request may cost at this worker.
pub(super) fn want(request: &ApiRequest, one: &Try, terms: Terms) -> Result<Want, ApiError> {
    let context = u64::from(one.language.manifest.context_tokens);
    let longest = request.longest.unwrap_or(context).min(context);
    let slack = if longest == 0 { 0 } else { (longest / 16).saturating_add(SLACK_TOKENS) };
    let completion = longest.saturating_add(slack).saturating_mul(request.answers);
    let count = TokenCount { prompt: one.prompt_tokens, completion };
    let most =
        one.ask.prices.cost(count).ok_or_else(|| ApiError::field("max_tokens", "no amount is that large"))?;
    let chunk = if longest < CHUNK_TOKENS { Amount::ZERO } else { terms.chunk };
    let least = terms.prompt.checked_add(chunk).ok_or(ApiError::Internal)?.min(most);
    Ok(Want { least, most, bendable: request.longest.is_none() })
}

async fn count_prompt(language: &Arc<Language>, body: &Arc<Vec<u8>>) -> Result<u64, ApiError> {
    let counted = if body.len() <= PROMPT_INLINE_BYTES {
        language.meter.prompt(body)
    } else {
        let (language, body) = (Arc::clone(language), Arc::clone(body));
        let counting = tokio::task::spawn_blocking(move || language.meter.prompt(&body));
        counting.await.map_err(|_| ApiError::Internal)?
    };
    counted.map_err(|error| ApiError::Field { param: None, detail: error.to_string() })
}
