//! Who serves which language model, and for how much: asks with prices of tokens, read from the ledger and kept for some seconds.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256};
use tacit_abi::{Evidence, IAsks, Privacy};
use tacit_market::routing;
use tacit_wire::{
    Amount,
    language::{GUEST_MODE, MODE, TokenPrices},
    ledger::Listing,
};

use super::error::ApiError;
use crate::{error::GatewayError, gateway::Gateway};

/// One worker's ask with prices of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenAsk {
    pub(crate) worker: Address,
    pub(crate) endpoint: String,
    pub(crate) privacy: Privacy,
    pub(crate) evidence: Evidence,
    pub(crate) prices: TokenPrices,
    pub(crate) session_key_hash: B256,
    /// What the worker has at stake, shared by all its asks.
    pub(crate) bonded: Amount,
}

impl TokenAsk {
    /// Whether whoever answers must be a guest that hardware vouches for.
    pub(crate) fn is_guests(&self) -> bool {
        (self.privacy, self.evidence) == GUEST_MODE
    }

    /// What of it decides whether it is asked, and when.
    pub(crate) fn for_routing(&self) -> routing::Ask {
        let TokenPrices { request, prompt, completion } = self.prices;
        routing::Ask {
            worker: self.worker,
            privacy: self.privacy,
            evidence: self.evidence,
            prices: routing::Prices { request: request.0, prompt: prompt.0, completion: completion.0 },
            bonded: self.bonded.0,
        }
    }
}

/// A model that somebody serves by the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) model_id: B256,
    pub(crate) name: String,
    pub(crate) owner: Address,
    pub(crate) asks: Vec<TokenAsk>,
}

/// Every model that is served by the token.
type OfferedList = Arc<Vec<Arc<Offered>>>;

/// What was read last.
#[derive(Debug, Default)]
pub(crate) struct Market {
    models: Mutex<HashMap<String, Kept<Arc<Offered>>>>,
    list: Mutex<Option<Kept<OfferedList>>>,
}

#[derive(Debug, Clone)]
struct Kept<T> {
    value: T,
    read_at: Instant,
    /// Somebody reads it anew while the others use this.
    refreshing: bool,
}

/// Asks are read again after this.
const FRESH: Duration = Duration::from_secs(5);
/// And not used any more after this.
const STALE: Duration = Duration::from_secs(60);
const MODELS_KEPT_MAX: usize = 1_024;

impl Gateway {
    /// A model by name or id, with those who serve it.
    pub(crate) async fn offered(&self, model: &str) -> Result<Arc<Offered>, ApiError> {
        let usable = {
            let mut models = self.market.models.lock().unwrap_or_else(PoisonError::into_inner);
            models.get_mut(model).and_then(Kept::take)
        };
        if let Some(offered) = usable {
            return Ok(offered);
        }
        let read = self.read_offered(model).await;
        let mut models = self.market.models.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(offered) => {
                if models.len() >= MODELS_KEPT_MAX {
                    models.clear();
                }
                models.insert(model.to_owned(), Kept::new(Arc::clone(&offered)));
                Ok(offered)
            }
            Err(error) => {
                if let Some(kept) = models.get_mut(model) {
                    kept.refreshing = false;
                }
                Err(error)
            }
        }
    }

    /// All models that somebody serves by the token.
    pub(crate) async fn all_offered(&self) -> Result<Arc<Vec<Arc<Offered>>>, ApiError> {
        let usable = {
            let mut list = self.market.list.lock().unwrap_or_else(PoisonError::into_inner);
            list.as_mut().and_then(Kept::take)
        };
        if let Some(offered) = usable {
            return Ok(offered);
        }
        let read = self.ledger.listings().await;
        let mut list = self.market.list.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(listings) => {
                let served = listings.into_iter().map(|listing| Arc::new(offered(listing)));
                let served = Arc::new(served.filter(|model| !model.asks.is_empty()).collect());
                *list = Some(Kept::new(Arc::clone(&served)));
                Ok(served)
            }
            Err(error) => {
                if let Some(kept) = list.as_mut() {
                    kept.refreshing = false;
                }
                Err(error.into())
            }
        }
    }

    /// Has the ledger asked anew: a worker says other prices than its ask.
    pub(crate) fn forget_offered(&self, model: &str) {
        self.market.models.lock().unwrap_or_else(PoisonError::into_inner).remove(model);
    }

    async fn read_offered(&self, model: &str) -> Result<Arc<Offered>, ApiError> {
        let unknown = || ApiError::UnknownModel { model: model.to_owned() };
        let model_id = self.resolve(model).await.map_err(|error| match error {
            GatewayError::UnknownModel { .. } => unknown(),
            error => ApiError::from(error),
        })?;
        let listing = self.listing(model, model_id).await.map_err(|error| match error {
            GatewayError::UnknownModel { .. } => unknown(),
            error => ApiError::from(error),
        })?;
        Ok(Arc::new(offered(listing)))
    }
}

impl<T: Clone> Kept<T> {
    fn new(value: T) -> Self {
        Self { value, read_at: Instant::now(), refreshing: false }
    }

    /// The value, unless it is for the caller to read it anew.
    fn take(&mut self) -> Option<T> {
        let age = self.read_at.elapsed();
        if age < FRESH || (age < STALE && self.refreshing) {
            return Some(self.value.clone());
        }
        self.refreshing = true;
        None
    }
}

fn offered(listing: Listing) -> Offered {
    let Listing { model, asks } = listing;
    Offered {
        model_id: model.modelId,
        name: model.name,
        owner: model.owner,
        asks: asks.into_iter().filter_map(token_ask).collect(),
    }
}

/// An ask with prices of tokens, in a mode that language models are asked in: anyone can write others. What has one price is for a graph.
pub(crate) fn token_ask(ask: IAsks::Ask) -> Option<TokenAsk> {
    let IAsks::Ask { worker, bonded, terms, .. } = ask;
    let by_token = terms.promptPrice != 0 || terms.completionPrice != 0;
    let (privacy, evidence) = (Privacy::from_u8(terms.privacy)?, Evidence::from_u8(terms.evidence)?);
    let is_mode = [MODE, GUEST_MODE].contains(&(privacy, evidence));
    (by_token && is_mode).then_some(TokenAsk {
        worker,
        endpoint: tacit_wire::http::origin(&terms.endpoint)?,
        privacy,
        evidence,
        prices: TokenPrices {
            request: Amount(terms.price),
            prompt: Amount(terms.promptPrice),
            completion: Amount(terms.completionPrice),
        },
        session_key_hash: terms.sealingKey,
        bonded: Amount(bonded),
    })
}
