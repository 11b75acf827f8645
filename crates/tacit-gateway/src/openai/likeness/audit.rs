//! An audit, from the coin to the comparison.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy_primitives::{Address, B256, keccak256};
use rand::{RngCore, seq::index};
use tacit_market::Ratio;
use tacit_wire::{Amount, JobId, meter::Route};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{
    LikenessView,
    answer::{self, Claim, ClaimReject},
    book::{Book, Compared, News},
    compare::{at_place, beside},
    question::Asked,
};
use crate::{
    gateway::Gateway,
    openai::{
        added::Watch,
        attempt::{ANSWER_BYTES_MAX, Asker, Commitment, PIECES_MAX, Piece, Try},
        caps::Caps,
        door::DAY_S,
        error::ApiError,
        link::now_s,
        market::{Offered, TokenAsk},
        request::{ApiRequest, Preferences},
    },
    store::{Exchange, StreamAudit},
};

/// Which answers are audited, and what was found.
#[derive(Debug)]
pub(crate) struct LanguageAudits {
    rate: Ratio,
    whole: Ratio,
    places: Arc<Semaphore>,
    book: Mutex<Book>,
}

/// An answer that was selected.
struct Selected {
    job_id: JobId,
    commitment: Commitment,
    model_id: B256,
    model: String,
    worker: Address,
    /// What the request wanted of workers: an auditor has to fit it too.
    provider: Preferences,
    /// Most that the request might have cost: no question to an auditor costs more.
    limit: Amount,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// What all questions of an audit have in common.
struct Control<'a> {
    asked: &'a Asked,
    model_id: B256,
    model: &'a str,
    asker: Asker,
}

/// Places of an answer that are computed again.
const PLACES_MAX: usize = 6;
/// Audits at once.
const AUDITS_MAX: usize = 4;
/// Longest that one may take, of a few places and of a whole answer.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(60);
const WHOLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest answer of an auditor's: a few tokens, and those they might have been.
const AGAIN_BYTES_MAX: usize = 256 * 1024;
/// Workers that are asked, one after the other, for one that goes on where a text ends.
const AUDITORS_MAX: usize = 3;
/// Tokens of the answer that a new auditor is asked to go on with.
const CONTROL_TOKENS: u32 = 8;
/// An engine that goes on with its own words finds the next one about as likely as when it said it, much closer than this; one that begins anew does not.
const CONTROL_DISTANCE_MAX: f64 = 1.0;
/// What audits spend is counted under this name, as if it was a key's.
const KEY: &[u8] = b"tacit audits of language models";

impl LanguageAudits {
    pub(crate) fn new(rate: Ratio, whole: Ratio) -> Self {
        Self { rate, whole, places: Arc::new(Semaphore::new(AUDITS_MAX)), book: Mutex::default() }
    }

    /// Whether any answer is audited.
    pub(crate) fn is_on(&self) -> bool {
        self.rate > Ratio::ZERO
    }

    /// The asks of workers that may be asked about a model.
    pub(crate) fn asked<'a>(&self, offered: &'a Offered) -> Cow<'a, [TokenAsk]> {
        if self.is_on() { self.book().asked(offered) } else { Cow::Borrowed(&offered.asks) }
    }

    /// Why a worker is not asked about some model, if it is outvoted.
    pub(crate) fn why_not(&self, worker: Address) -> Option<String> {
        let book = self.book();
        let models = book.outvoted(worker);
        (!models.is_empty()).then(|| format!("others answer otherwise, and alike: {}", models.join(", ")))
    }

    /// Whether a worker's engine is known to refuse to say how likely its tokens are.
    pub(crate) fn refuses(&self, model_id: B256, worker: Address) -> bool {
        self.book().refuses(model_id, worker)
    }

    /// A worker's engine refused to say that, and answered without.
    pub(crate) fn mark_refuses(&self, offered: &Offered, worker: Address) {
        self.book().mark_refuses(offered.model_id, &offered.name, worker);
    }

    /// What was found.
    pub(crate) fn view(&self) -> LikenessView {
        let rate = self.rate.0 as f64 / Ratio::ONE.0 as f64;
        self.book().view(rate)
    }

    /// A fresh coin, tossed when all that it is about is signed.
    fn selects(&self) -> bool {
        toss(self.rate)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn toss(rate: Ratio) -> bool {
    u64::from(rand::rng().next_u32()) < rate.0
}

impl Gateway {
    /// Has an answer audited beside everything else, if the coin says so. Its receipt is checked, and what it costs is promised.
    pub(crate) fn audit_soon(
        self: &Arc<Self>,
        request: &ApiRequest,
        one: &Try,
        job_id: JobId,
        exchange: &Exchange,
        limit: Amount,
    ) {
        if one.commitment == Commitment::None || !self.likeness.selects() {
            return;
        }
        // A runtime that is being torn down audits nothing any more.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let Ok(place) = Arc::clone(&self.likeness.places).try_acquire_owned() else {
            let mut book = self.likeness.book();
            book.dropped = book.dropped.saturating_add(1);
            return;
        };
        let selected = Selected {
            job_id,
            model_id: one.offered.model_id,
            model: one.offered.name.clone(),
            worker: one.ask.worker,
            commitment: one.commitment,
            provider: request.provider.clone(),
            limit,
            request: exchange.request.clone(),
            answer: exchange.answer.clone(),
        };
        runtime.spawn(Arc::clone(self).audit_language(selected, place));
    }

    async fn audit_language(self: Arc<Self>, selected: Selected, _place: OwnedSemaphorePermit) {
        let job_id = selected.job_id;
        let Some(found) = self.audit_one(selected).await else { return };
        let gateway = Arc::clone(&self);
        let written = tokio::task::spawn_blocking(move || gateway.store.put_stream_audit(job_id, &found));
        if let Ok(Err(error)) = written.await {
            tracing::error!(%error, "what an audit found cannot be written");
        }
    }

    /// Audits an answer; none where it says nothing.
    async fn audit_one(self: &Arc<Self>, mut selected: Selected) -> Option<StreamAudit> {
        let answer = core::mem::take(&mut selected.answer);
        let Selected { model_id, worker, commitment, .. } = selected;
        let model = selected.model.clone();
        // It may be long.
        let read = tokio::task::spawn_blocking(move || match commitment {
            Commitment::Refused => Err(ClaimReject::Refused),
            _ => Claim::read(&answer),
        });
        let claim = match read.await {
            Ok(Ok(claim)) => claim,
            Ok(Err(ClaimReject::Empty)) => return None,
            Ok(Err(reject)) => {
                let mut book = self.likeness.book();
                book.select(model_id, &model, worker);
                let reason = reject.to_string();
                let news = book.refuse(model_id, &model, worker, reason.clone(), reject.is_blamed());
                drop(book);
                tell(&model, &news);
                if !reject.is_blamed() {
                    return Some(StreamAudit::Unsupported { reason });
                }
                tracing::warn!(%worker, model, "its answer does not say what it should: {reject}");
                return Some(StreamAudit::Unlike { reason });
            }
            Err(_) => return Some(self.failed("it could not be read")),
        };
        self.likeness.book().select(model_id, &model, worker);
        let whole = toss(self.likeness.whole);
        let found = if whole {
            tokio::time::timeout(WHOLE_TIMEOUT, self.ask_beside(selected, &claim)).await
        } else {
            tokio::time::timeout(AUDIT_TIMEOUT, self.compute_again(selected, &claim)).await
        };
        let (auditor, steps) = match found {
            Ok(Ok(Some((auditor, steps)))) if !steps.is_empty() => (auditor, steps),
            Ok(Ok(None)) => {
                let reason = "no place of it can be computed again".to_owned();
                let news = self.likeness.book().refuse(model_id, &model, worker, reason.clone(), false);
                tell(&model, &news);
                return Some(StreamAudit::Unsupported { reason });
            }
            Ok(Ok(Some(_))) => return Some(self.failed("its auditor says nothing of its tokens")),
            Ok(Err(error)) => return Some(self.failed(&error.to_string())),
            Err(_) => return Some(self.failed("its auditor took too long")),
        };
        let mut book = self.likeness.book();
        let news = book.compare(model_id, &model, [worker, auditor], &steps);
        let found = book.compared_with(model_id, [worker, auditor], auditor, whole, &steps);
        drop(book);
        tell(&model, &news);
        found
    }

    /// An audit came to nothing.
    fn failed(&self, reason: &str) -> StreamAudit {
        tracing::debug!(reason, "an audit came to nothing");
        self.likeness.book().fail();
        StreamAudit::Failed { reason: reason.to_owned() }
    }

    /// Counts what an audit spends, none of whose questions costs more than so much.
    fn auditing(&self, limit: Amount) -> Asker {
        let spending = self.spending;
        let caps = Caps { request: limit, key_day: spending.key_day_max, day: spending.day_max };
        Asker { key: keccak256(KEY), caps, day: now_s() / DAY_S }
    }

    /// Drawn as others are, and never the first: by price, among those whom the request might have gone to.
    fn auditors(&self, selected: &Selected, whole: bool) -> Preferences {
        let mut provider = Preferences { order: Vec::new(), sort: None, ..selected.provider.clone() };
        provider.ignore.push(selected.worker);
        provider.ignore.extend(self.likeness.book().no_auditors(selected.model_id, whole));
        provider
    }

    /// Asks another worker the very same, and compares both answers as far as they go together.
    ///
    /// It is a request like every other: neither of the two can tell whose answer a program waits for. So what it says is judged by itself too, as an answer's is.
    async fn ask_beside(
        self: &Arc<Self>,
        selected: Selected,
        claim: &Claim,
    ) -> Result<Option<(Address, Vec<Compared>)>, ApiError> {
        let (model_id, model) = (selected.model_id, selected.model.clone());
        let (asker, provider) = (self.auditing(selected.limit), self.auditors(&selected, true));
        let asked = Asked::read(selected.request).ok_or(ApiError::Internal)?;
        let temperature = asked.temperature;
        let mut request = ApiRequest::read(Route::ChatCompletions, asked.into_body())?;
        request.provider = provider;
        let (auditor, bytes) = self.ask_auditor(request, asker, ANSWER_BYTES_MAX).await?;
        let read = tokio::task::spawn_blocking(move || Claim::read(&bytes)).await;
        let other = match read.map_err(|_| ApiError::Internal)? {
            Ok(other) => other,
            Err(reject) => {
                if reject.is_blamed() {
                    tracing::warn!(worker = %auditor, model, "its answer does not say what it should: {reject}");
                }
                let mut book = self.likeness.book();
                book.select(model_id, &model, auditor);
                let news = book.refuse(model_id, &model, auditor, reject.to_string(), reject.is_blamed());
                drop(book);
                tell(&model, &news);
                return Err(ApiError::Upstream { detail: format!("of the other's answer: {reject}") });
            }
        };
        let steps = beside(claim.tokens(), other.tokens(), temperature);
        let chosen = index::sample(&mut rand::rng(), steps.len(), steps.len().min(PLACES_MAX));
        Ok(Some((auditor, chosen.into_iter().filter_map(|at| steps.get(at).copied()).collect())))
    }

    /// Has another worker compute an answer again at some places, one after another; none if it has no such places.
    async fn compute_again(
        self: &Arc<Self>,
        selected: Selected,
        claim: &Claim,
    ) -> Result<Option<(Address, Vec<Compared>)>, ApiError> {
        let (asker, mut provider) = (self.auditing(selected.limit), self.auditors(&selected, false));
        let asked = Asked::read(selected.request).ok_or(ApiError::Internal)?;
        let places = claim.places();
        if places.is_empty() {
            return Ok(None);
        }
        let chosen = index::sample(&mut rand::rng(), places.len(), places.len().min(PLACES_MAX));
        let control = Control { asked: &asked, model_id: selected.model_id, model: &selected.model, asker };
        let (mut auditor, mut steps) = (None, Vec::new());
        for at in chosen {
            let place = places.get(at).and_then(|place| claim.at(*place));
            let (before, token) = place.ok_or(ApiError::Internal)?;
            let bytes = if auditor.is_none() {
                let (worker, bytes) = self.auditor(&control, &mut provider, before).await?;
                auditor = Some(worker);
                bytes
            } else {
                self.ask_to_go_on(&control, &provider, before, 1).await?.1
            };
            let again = answer::read(&bytes).ok().and_then(|(_, tokens)| tokens.into_iter().next());
            steps.extend(again.and_then(|again| at_place(token, &again, asked.temperature)));
        }
        Ok(auditor.map(|auditor| (auditor, steps)))
    }

    /// Asks for the token after a text, and has all that follows go to who answers: one whose engine goes on where a text ends. One that begins an answer anew instead says nothing of an answer's
    /// places, and would be taken for another model; so whoever never audited is asked for an answer of its own too, and to go on in the middle of it.
    async fn auditor(
        self: &Arc<Self>,
        control: &Control<'_>,
        provider: &mut Preferences,
        before: &str,
    ) -> Result<(Address, Vec<u8>), ApiError> {
        for _ in 0..AUDITORS_MAX {
            let (worker, bytes) = self.ask_to_go_on(control, provider, before, 1).await?;
            let one =
                Preferences { only: Some(vec![worker]), allow_fallbacks: Some(false), ..provider.clone() };
            let known = self.likeness.book().continues(control.model_id, worker);
            let continues = match known {
                Some(continues) => continues,
                None => {
                    let continues = self.goes_on(control, &one).await?;
                    let mut book = self.likeness.book();
                    book.mark_continues(control.model_id, control.model, worker, continues);
                    continues
                }
            };
            if continues {
                *provider = one;
                return Ok((worker, bytes));
            }
            tracing::info!(%worker, model = control.model, "its engine does not go on where a text ends: it audits nobody");
            provider.ignore.push(worker);
        }
        Err(ApiError::Upstream { detail: "nobody goes on where a text ends".to_owned() })
    }

    /// Whether a worker says of the last place of an answer of its own what it said when it answered.
    async fn goes_on(self: &Arc<Self>, control: &Control<'_>, one: &Preferences) -> Result<bool, ApiError> {
        let unknown =
            || ApiError::Upstream { detail: "an auditor's answer has no place to go on".to_owned() };
        let (_, answer) = self.ask_to_go_on(control, one, "", CONTROL_TOKENS).await?;
        let claim = match Claim::read(&answer) {
            Ok(claim) => claim,
            Err(ClaimReject::Empty) => return Err(unknown()),
            Err(_) => return Ok(false),
        };
        let last = claim.places().last().and_then(|place| claim.at(*place));
        let (before, token) = last.filter(|(before, _)| !before.is_empty()).ok_or_else(unknown)?;
        let (_, bytes) = self.ask_to_go_on(control, one, before, 1).await?;
        let again = answer::read(&bytes).ok().and_then(|(_, tokens)| tokens.into_iter().next());
        let found = again.and_then(|again| at_place(token, &again, Some(0.0)));
        Ok(found.is_some_and(|found| found.distance <= CONTROL_DISTANCE_MAX))
    }

    /// Asks a worker for so many tokens after a text.
    async fn ask_to_go_on(
        self: &Arc<Self>,
        control: &Control<'_>,
        provider: &Preferences,
        before: &str,
        tokens: u32,
    ) -> Result<(Address, Vec<u8>), ApiError> {
        let body = control.asked.again(control.model_id, before, tokens).ok_or(ApiError::Internal)?;
        let mut request = ApiRequest::read(Route::ChatCompletions, body)?;
        request.provider = provider.clone();
        self.ask_auditor(request, control.asker, AGAIN_BYTES_MAX).await
    }

    /// Asks over the ordinary way.
    async fn ask_auditor(
        self: &Arc<Self>,
        request: ApiRequest,
        asker: Asker,
        bytes_max: usize,
    ) -> Result<(Address, Vec<u8>), ApiError> {
        let (sender, mut pieces) = mpsc::channel(PIECES_MAX);
        tokio::spawn(Arc::clone(self).answer(request, asker, sender, Watch::begin()));
        let (mut asked, mut bytes) = (None, Vec::new());
        while let Some(piece) = pieces.recv().await {
            match piece {
                Piece::Begun { status, worker, .. } if status < 400 => asked = Some(worker),
                Piece::Data(more) if bytes.len().saturating_add(more.len()) <= bytes_max => {
                    bytes.extend_from_slice(&more);
                }
                Piece::Done(_) => return asked.map(|worker| (worker, bytes)).ok_or(ApiError::Internal),
                Piece::Failed(error) => return Err(error),
                Piece::Begun { status, .. } => {
                    return Err(ApiError::Upstream { detail: format!("an auditor answered with {status}") });
                }
                Piece::Data(_) => {
                    return Err(ApiError::Upstream { detail: "an auditor's answer has no end".to_owned() });
                }
            }
        }
        Err(ApiError::Internal)
    }
}

impl Book {
    fn fail(&mut self) {
        self.failed = self.failed.saturating_add(1);
    }
}

/// Says what is new.
fn tell(model: &str, news: &News) {
    if let Some([one, other]) = news.unlike {
        tracing::warn!(%one, %other, model, "two workers do not run the same model; nothing shows which is false");
    }
    for worker in &news.outvoted {
        tracing::warn!(%worker, model, "a worker is not asked about the model again: others answer otherwise, and alike");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coin_falls_as_often_as_it_should() {
        let toss = |rate| {
            let audits = LanguageAudits::new(rate, Ratio::ZERO);
            (0..4_096).filter(|_| audits.selects()).count()
        };
        assert_eq!((toss(Ratio::ZERO), toss(Ratio::ONE)), (0, 4_096));
        assert!((700..1_350).contains(&toss(Ratio::percent(25))));
    }
}
