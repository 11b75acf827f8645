//! An audit, from the coin to the comparison.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy_primitives::{Address, B256, keccak256};
use rand::{RngCore, seq::index};
use tacit_market::{
    Ratio,
    likeness::{Likely, Step, likeness},
};
use tacit_wire::{Amount, meter::Route};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{
    LikenessView,
    answer::{self, Candidate, Claim, Token, is_nameless},
    book::{Book, Compared, News},
    question::Asked,
};
use crate::{
    gateway::Gateway,
    openai::{
        added::Watch,
        attempt::{Asker, PIECES_MAX, Piece, Try},
        caps::Caps,
        door::DAY_S,
        error::ApiError,
        link::now_s,
        market::{Offered, TokenAsk},
        request::{ApiRequest, Preferences},
    },
    store::Exchange,
};

/// Which answers are audited, and what was found.
#[derive(Debug)]
pub(crate) struct LanguageAudits {
    rate: Ratio,
    places: Arc<Semaphore>,
    book: Mutex<Book>,
}

/// An answer that was selected.
struct Selected {
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

/// Places of an answer that are computed again.
const PLACES_MAX: usize = 6;
/// Audits at once.
const AUDITS_MAX: usize = 4;
/// Longest that one may take.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest answer of an auditor's: one token, and those it might have been.
const AGAIN_BYTES_MAX: usize = 64 * 1024;
/// What audits spend is counted under this name, as if it was a key's.
const KEY: &[u8] = b"tacit audits of language models";

impl LanguageAudits {
    pub(crate) fn new(rate: Ratio) -> Self {
        Self { rate, places: Arc::new(Semaphore::new(AUDITS_MAX)), book: Mutex::default() }
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

    /// What was found.
    pub(crate) fn view(&self) -> LikenessView {
        let rate = self.rate.0 as f64 / Ratio::ONE.0 as f64;
        self.book().view(rate)
    }

    /// A fresh coin, tossed when all that it is about is signed.
    fn selects(&self) -> bool {
        u64::from(rand::rng().next_u32()) < self.rate.0
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gateway {
    /// Has an answer audited beside everything else, if the coin says so. Its receipt is checked, and what it costs is promised.
    pub(crate) fn audit_soon(
        self: &Arc<Self>,
        request: &ApiRequest,
        one: &Try,
        exchange: &Exchange,
        limit: Amount,
    ) {
        if !request.is_audited || !self.likeness.selects() {
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
            model_id: one.offered.model_id,
            model: one.offered.name.clone(),
            worker: one.ask.worker,
            provider: request.provider.clone(),
            limit,
            request: exchange.request.clone(),
            answer: exchange.answer.clone(),
        };
        runtime.spawn(Arc::clone(self).audit_language(selected, place));
    }

    async fn audit_language(self: Arc<Self>, mut selected: Selected, _place: OwnedSemaphorePermit) {
        let answer = core::mem::take(&mut selected.answer);
        // It may be long.
        let read = tokio::task::spawn_blocking(move || Claim::read(&answer)).await;
        let Selected { model_id, worker, .. } = selected;
        let model = selected.model.clone();
        let claim = match read {
            Ok(Ok(claim)) => claim,
            Ok(Err(answer::ClaimReject::Empty)) => return,
            Ok(Err(reject)) => {
                let mut book = self.likeness.book();
                book.select(model_id, &model, worker);
                let news = book.refuse(model_id, &model, worker, reject.to_string(), reject.is_blamed());
                drop(book);
                if reject.is_blamed() {
                    tracing::warn!(%worker, model, "its answer does not say what it should: {reject}");
                }
                return tell(&model, &news);
            }
            Err(_) => return self.likeness.book().fail(),
        };
        self.likeness.book().select(model_id, &model, worker);
        let found = tokio::time::timeout(AUDIT_TIMEOUT, self.compute_again(selected, &claim)).await;
        let news = match found {
            Ok(Ok(Some((auditor, steps)))) if !steps.is_empty() => {
                self.likeness.book().compare(model_id, &model, [worker, auditor], &steps)
            }
            Ok(Ok(None)) => {
                let reason = "no place of it can be computed again".to_owned();
                self.likeness.book().refuse(model_id, &model, worker, reason, false)
            }
            other => {
                if let Ok(Err(error)) = other {
                    tracing::debug!(%worker, model, %error, "an audit came to nothing");
                }
                return self.likeness.book().fail();
            }
        };
        tell(&model, &news);
    }

    /// Has another worker compute an answer again at some places, one after another; none if it has no such places.
    async fn compute_again(
        self: &Arc<Self>,
        selected: Selected,
        claim: &Claim,
    ) -> Result<Option<(Address, Vec<Compared>)>, ApiError> {
        let asked = Asked::read(selected.request).ok_or(ApiError::Internal)?;
        let places = claim.places();
        if places.is_empty() {
            return Ok(None);
        }
        let chosen = index::sample(&mut rand::rng(), places.len(), places.len().min(PLACES_MAX));
        // Drawn as others are, and never the first: by price, among those whom the request might have gone to.
        let mut provider = Preferences { order: Vec::new(), sort: None, ..selected.provider };
        provider.ignore.push(selected.worker);
        let spending = self.spending;
        let caps = Caps { request: selected.limit, key_day: spending.key_day_max, day: spending.day_max };
        let asker = Asker { key: keccak256(KEY), caps, day: now_s() / DAY_S };
        let (mut auditor, mut steps) = (None, Vec::new());
        for at in chosen {
            let place = places.get(at).and_then(|place| claim.at(*place));
            let (before, token) = place.ok_or(ApiError::Internal)?;
            let body = asked.again(selected.model_id, before).ok_or(ApiError::Internal)?;
            let mut request = ApiRequest::read(Route::ChatCompletions, body)?;
            request.provider = provider.clone();
            let (worker, bytes) = self.ask_auditor(request, asker).await?;
            if auditor.is_none() {
                // All of an answer's places go to one.
                auditor = Some(worker);
                provider.only = Some(vec![worker]);
                provider.allow_fallbacks = Some(false);
            }
            let again = answer::read(&bytes).ok().and_then(|(_, tokens)| tokens.into_iter().next());
            steps.extend(again.and_then(|again| compare(token, &again, asked.is_greedy)));
        }
        Ok(auditor.map(|auditor| (auditor, steps)))
    }

    /// Asks over the ordinary way.
    async fn ask_auditor(
        self: &Arc<Self>,
        request: ApiRequest,
        asker: Asker,
    ) -> Result<(Address, Vec<u8>), ApiError> {
        let (sender, mut pieces) = mpsc::channel(PIECES_MAX);
        tokio::spawn(Arc::clone(self).answer(request, asker, sender, Watch::begin()));
        let (mut asked, mut bytes) = (None, Vec::new());
        while let Some(piece) = pieces.recv().await {
            match piece {
                Piece::Begun { status, worker, .. } if status < 400 => asked = Some(worker),
                Piece::Data(more) if bytes.len().saturating_add(more.len()) <= AGAIN_BYTES_MAX => {
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

/// Compares what two workers say of one place; none where the auditor names nothing.
fn compare(said: &Token, again: &Token, is_greedy: bool) -> Option<Compared> {
    let mut names = Names::default();
    let step = Step {
        token: names.number(&said.bytes),
        committed: names.likely(&said.likely),
        again: names.likely(&again.likely),
    };
    if step.again.is_empty() {
        return None;
    }
    let found = likeness(core::slice::from_ref(&step))?;
    Some(Compared { distance: found.distance, gap: is_greedy.then_some(found.gap) })
}

/// Tokens by number, as the comparison has them.
#[derive(Default)]
struct Names<'a>(HashMap<&'a [u8], u32>);

impl<'a> Names<'a> {
    fn number(&mut self, bytes: &'a [u8]) -> u32 {
        // Two lists of one place: far fewer than there are numbers.
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        *self.0.entry(bytes).or_insert(next)
    }

    /// Those that engines call by the same name.
    fn likely(&mut self, listed: &'a [Candidate]) -> Vec<Likely> {
        let named = listed.iter().filter(|(bytes, _)| !is_nameless(bytes));
        named.map(|(bytes, logprob)| (self.number(bytes), *logprob)).collect()
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

    fn token(text: &str, likely: &[(&str, f64)]) -> Token {
        let likely = likely.iter().map(|(text, logprob)| (text.as_bytes().to_vec(), *logprob)).collect();
        Token { bytes: text.as_bytes().to_vec(), likely }
    }

    #[test]
    fn two_are_compared_by_the_text_of_tokens() {
        let said = token("a", &[("a", -0.5), ("b", -1.0), ("<|end|>", -2.0), ("\u{fffd}", -3.0)]);
        let again = token("b", &[("b", -0.75), ("a", -1.0), ("", -1.5), ("c", -2.0)]);
        let found = compare(&said, &again, true).unwrap();
        assert_eq!((found.distance, found.gap), (0.375, Some(0.25)));
        assert_eq!(compare(&said, &again, false).unwrap().gap, None);
        assert_eq!(compare(&said, &token("", &[("", -0.1)]), true), None);
        // A worker that names nothing is as unlike as can be.
        assert!(compare(&token("a", &[("", -0.5)]), &again, false).unwrap().distance >= 10.0);
    }

    #[test]
    fn the_coin_falls_as_often_as_it_should() {
        let toss = |rate| {
            let audits = LanguageAudits::new(rate);
            (0..4_096).filter(|_| audits.selects()).count()
        };
        assert_eq!((toss(Ratio::ZERO), toss(Ratio::ONE)), (0, 4_096));
        assert!((700..1_350).contains(&toss(Ratio::percent(25))));
    }
}
