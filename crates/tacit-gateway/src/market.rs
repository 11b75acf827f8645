//! Finds a model and those who serve it.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use tacit_abi::{Evidence, IAsks, IModels, Privacy};
use tacit_encrypt::OfferReject;
use tacit_verify::VerifyingModel;
use tacit_wire::{
    Amount, LedgerError, Revert,
    http::{origin, printable},
    ledger::Listing,
    message::ModelInfo,
};

use crate::{error::GatewayError, gateway::Gateway, keys::EncryptedTerms, store::JobRecord};

/// A worker's ask, with the mode as a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) worker: Address,
    pub(crate) price: Amount,
    pub(crate) sealing_key: B256,
    pub(crate) endpoint: String,
    /// What is bonded for the worker; smallest units.
    pub(crate) bonded: u128,
    /// Id of the evidence of the session whose key this is, where it is one's.
    pub(crate) attested: Option<B256>,
}

pub(crate) const MODEL_BYTES_MAX: usize = 8 * 1024 * 1024;

impl Gateway {
    /// Id of a model by name or by id.
    pub(crate) async fn resolve(&self, model: &str) -> Result<B256, GatewayError> {
        let unknown = || GatewayError::UnknownModel { model: model.to_owned() };
        if model.starts_with("0x") {
            return model.parse().map_err(|_| unknown());
        }
        self.ledger.model_by_name(model).await.map_err(|error| unpublished(error, unknown))
    }

    /// The ledger's record of a model, and everything that is asked for it.
    pub(crate) async fn listing(&self, name: &str, model_id: B256) -> Result<Listing, GatewayError> {
        let unknown = || GatewayError::UnknownModel { model: name.to_owned() };
        self.ledger.listing(model_id).await.map_err(|error| unpublished(error, unknown))
    }

    /// Asks for a model in one mode, cheapest first. The ledger's record of the model comes with them.
    pub(crate) async fn offers(
        &self,
        name: &str,
        model_id: B256,
        privacy: Privacy,
        evidence: Evidence,
    ) -> Result<(IModels::Model, Vec<Offer>), GatewayError> {
        let listing = self.listing(name, model_id).await?;
        let mode = (privacy as u8, evidence as u8);
        let mut offers: Vec<Offer> = listing
            .asks
            .into_iter()
            .filter(|ask| (ask.terms.privacy, ask.terms.evidence) == mode)
            .filter_map(offer_of)
            .collect();
        offers.sort_by_key(|offer| (offer.price, offer.worker));
        Ok((listing.model, offers))
    }

    /// Where the worker of a job is now: a worker that came back elsewhere says so in its asks. Where it was, if the
    /// ledger does not say.
    pub(crate) async fn whereabouts(&self, job: &JobRecord) -> String {
        let header = &job.request.header;
        let model_id = job.purchase.as_ref().map_or(header.model_id, |purchase| purchase.model_id);
        self.endpoint_of(model_id, header.worker, &job.endpoint).await
    }

    /// Where a worker that serves a model is now, or where it was.
    pub(crate) async fn endpoint_of(&self, model_id: B256, worker: Address, before: &str) -> String {
        let listing = self.ledger.listing(model_id).await;
        let asks = listing.map(|listing| listing.asks).unwrap_or_default();
        let of_worker = asks.iter().filter(|ask| ask.worker == worker);
        of_worker.filter_map(|ask| origin(&ask.terms.endpoint)).next().unwrap_or_else(|| before.to_owned())
    }

    /// The model behind an id: from memory, from disk, or from the worker, in which case its id is recomputed.
    pub(crate) async fn known_model(
        &self,
        model_id: B256,
        offer: &Offer,
    ) -> Result<Arc<VerifyingModel>, GatewayError> {
        if let Some(model) = self.cached_model(model_id) {
            return Ok(model);
        }
        let mismatch = || GatewayError::ModelMismatch { worker: offer.worker, expected: model_id };
        let kept = self.store.model(model_id)?;
        let info = match &kept {
            Some(info) => info.clone(),
            None => self.fetch_model(model_id, offer).await?,
        };
        let model = Arc::new(recompute(model_id, &info).ok_or_else(mismatch)?);
        if kept.is_none() {
            if let Some(Ok(said)) = info.offer.as_deref().map(|said| decode(&model, said)) {
                self.keep_encrypted_offer(offer.worker, model_id, said);
            }
            // What a worker says of the model besides is its own word, and another worker's may differ.
            self.store.put_model(&ModelInfo { model_id, offer: None, misfit: None, ..info })?;
        }
        self.cache_model(model_id, &model);
        Ok(model)
    }

    async fn fetch_model(&self, model_id: B256, offer: &Offer) -> Result<ModelInfo, GatewayError> {
        let url = format!("{}/v1/models/{model_id}", offer.endpoint);
        let unreachable = |source| GatewayError::Unreachable {
            worker: offer.worker,
            job_id: None,
            source: Box::new(source),
        };
        self.http.get::<ModelInfo>(&url, MODEL_BYTES_MAX).await.map_err(unreachable)
    }

    /// What a worker says it takes to ask a model under encryption, checked against the model's graph. It is asked once.
    async fn encrypted_offer(
        &self,
        model_id: B256,
        model: &VerifyingModel,
        offer: &Offer,
    ) -> Result<tacit_encrypt::Offer, GatewayError> {
        let worker = offer.worker;
        if let Some(said) = self.kept_encrypted_offer(worker, model_id) {
            return Ok(said);
        }
        let said = self.fetch_model(model_id, offer).await?.offer;
        let said = decode(model, &said.ok_or(GatewayError::NoOffer { worker })?)
            .map_err(|reject| GatewayError::BadOffer { worker, reject })?;
        self.keep_encrypted_offer(worker, model_id, said.clone());
        Ok(said)
    }

    /// The same with the keys to ask under.
    pub(crate) async fn encrypted_terms(
        &self,
        model_id: B256,
        model: &VerifyingModel,
        offer: &Offer,
    ) -> Result<EncryptedTerms, GatewayError> {
        let said = self.encrypted_offer(model_id, model, offer).await?;
        let keys = self.current_keys(&said).await?;
        Ok(EncryptedTerms { offer: said, keys })
    }

    /// Why nobody offers a model under encryption, if its graph says why, or one of those who serve it.
    pub(crate) async fn why_not_encrypted(&self, model_id: B256) -> Option<GatewayError> {
        let asks = self.ledger.listing(model_id).await.ok()?.asks;
        let anyone = asks.into_iter().filter_map(offer_of).next()?;
        let model = self.known_model(model_id, &anyone).await.ok()?;
        if let Err(misfit) = tacit_encrypt::fits(model.graph()) {
            return Some(GatewayError::DoesNotFit(misfit));
        }
        // What depends on weights only a worker can say.
        let reason = self.fetch_model(model_id, &anyone).await.ok()?.misfit?;
        Some(GatewayError::NotOffered { worker: anyone.worker, reason: printable(&reason) })
    }

    /// The model behind an id that was known before.
    pub(crate) fn kept_model(&self, model_id: B256) -> Result<Arc<VerifyingModel>, GatewayError> {
        if let Some(model) = self.cached_model(model_id) {
            return Ok(model);
        }
        let info = self.store.model(model_id)?.ok_or(GatewayError::Internal)?;
        let model = Arc::new(recompute(model_id, &info).ok_or(GatewayError::Internal)?);
        self.cache_model(model_id, &model);
        Ok(model)
    }
}

fn decode(model: &VerifyingModel, said: &[u8]) -> Result<tacit_encrypt::Offer, OfferReject> {
    tacit_encrypt::Offer::decode(model.graph(), said)
}

/// An ask of one price, as it is for a graph. What asks for tokens is for another kind of model.
pub(crate) fn offer_of(ask: IAsks::Ask) -> Option<Offer> {
    let flat = ask.terms.promptPrice == 0 && ask.terms.completionPrice == 0;
    if flat { seller_of(ask) } else { None }
}

/// An ask for whoever wants something else of its worker than an answer: of either kind.
pub(crate) fn seller_of(ask: IAsks::Ask) -> Option<Offer> {
    let IAsks::Ask { worker, bonded, terms, .. } = ask;
    let endpoint = origin(&terms.endpoint)?;
    let (price, sealing_key) = (Amount(terms.price), terms.sealingKey);
    Some(Offer { worker, price, sealing_key, endpoint, bonded, attested: None })
}

/// The model, if graph and weight root give this id.
pub(crate) fn recompute(model_id: B256, info: &ModelInfo) -> Option<VerifyingModel> {
    let graph = tacit_graph::decode_graph(&info.graph).ok()?;
    let model = VerifyingModel::new(graph, info.weight_root.0).ok()?;
    (B256::from(*model.id().as_bytes()) == model_id).then_some(model)
}

fn unpublished(error: LedgerError, unknown: impl Fn() -> GatewayError) -> GatewayError {
    match error {
        LedgerError::Reverted(Revert::Models(
            IModels::IModelsErrors::UnknownModel(_) | IModels::IModelsErrors::BadName(_),
        )) => unknown(),
        error => error.into(),
    }
}
