//! A model that a worker serves, with its terms.

use std::sync::Arc;

use alloy_primitives::B256;
use tacit_abi::{Evidence, Privacy};
use tacit_encrypt::Offer;
use tacit_graph::{Graph, GraphError};
use tacit_wire::{
    Amount,
    message::{AskTerms, ModelInfo, ModelTerms},
};

use crate::{engine::Engine, quota::Quota};

/// A model, the engine that computes it, and what is asked for it.
#[derive(Clone)]
pub struct ServedModel {
    info: ModelInfo,
    features: usize,
    offer: Option<Offer>,
    engine: Arc<dyn Engine>,
    asks: Vec<AskTerms>,
    quota: Quota,
}

impl ServedModel {
    /// Serves the model with this graph and weight root under `name`, in no mode yet. What the engine offers to answer under
    /// encryption is published with the model.
    ///
    /// # Errors
    /// A graph that is none.
    pub fn new(
        name: &str,
        graph: &Graph,
        weight_root: [u8; 32],
        engine: Arc<dyn Engine>,
    ) -> Result<Self, GraphError> {
        let features = graph.validate()?.inputs();
        let graph = tacit_graph::encode_graph(graph);
        let model_id = B256::from(*tacit_graph::model_id(&graph, &weight_root).as_bytes());
        let offer = engine.offer().cloned();
        let info = ModelInfo {
            model_id,
            name: name.to_owned(),
            graph,
            weight_root: B256::from(weight_root),
            offer: offer.as_ref().map(Offer::encode),
            misfit: None,
        };
        Ok(Self { info, features, offer, engine, asks: Vec::new(), quota: Quota::default() })
    }

    /// Also serves this mode at this price; a later price for the same mode replaces the earlier. Modes that nobody could serve are left
    /// out: encrypted ones where the engine has no offer, and `proved` beside them; and `audited` of what can be read where the engine's runs
    /// cannot be disputed, because a worker that could not answer a challenge would lose its stake (`specs/0011-audits.md`); `enclave` without
    /// `attested`, and `attested` without it. Both together are asked for only by a worker with an [`Attester`](crate::Attester).
    #[must_use]
    pub fn ask(mut self, privacy: Privacy, evidence: Evidence, price: Amount) -> Self {
        if privacy == Privacy::Encrypted && (self.offer.is_none() || evidence == Evidence::Proved) {
            return self;
        }
        if (privacy == Privacy::Enclave) != (evidence == Evidence::Attested) {
            return self;
        }
        if may_be_disputed(privacy, evidence) && self.engine.weights_root().is_none() {
            return self;
        }
        self.asks.retain(|ask| (ask.privacy, ask.evidence) != (privacy, evidence));
        self.asks.push(AskTerms { privacy, evidence, price });
        self
    }

    /// Not asked for in modes that only hardware can vouch for.
    pub(crate) fn unattested(mut self) -> Self {
        self.asks.retain(|ask| ask.evidence != Evidence::Attested);
        self
    }

    /// Answers no more questions in a day than this.
    #[must_use]
    pub fn with_quota(mut self, quota: Quota) -> Self {
        self.quota = quota;
        self
    }

    /// Says why the model is not offered under encryption.
    #[must_use]
    pub fn with_misfit(mut self, misfit: Option<String>) -> Self {
        self.info.misfit = misfit;
        self
    }

    /// Another engine for the same model.
    #[must_use]
    pub fn with_engine(mut self, engine: Arc<dyn Engine>) -> Self {
        self.engine = engine;
        self
    }

    /// The model's id.
    #[must_use]
    pub fn model_id(&self) -> B256 {
        self.info.model_id
    }

    /// What `GET /v1/models/{id}` says.
    #[must_use]
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Modes and prices.
    #[must_use]
    pub fn asks(&self) -> &[AskTerms] {
        &self.asks
    }

    /// Model and terms, briefly.
    #[must_use]
    pub fn terms(&self) -> ModelTerms {
        ModelTerms { model_id: self.info.model_id, name: self.info.name.clone(), asks: self.asks.clone() }
    }

    /// What clients need to ask under encryption, where the engine does that.
    #[must_use]
    pub fn offer(&self) -> Option<&Offer> {
        self.offer.as_ref()
    }

    /// Most questions in a day.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// Whether it is asked for in a mode whose runs may be disputed.
    #[must_use]
    pub fn is_disputable(&self) -> bool {
        self.asks.iter().any(|ask| may_be_disputed(ask.privacy, ask.evidence))
    }

    pub(crate) fn features(&self) -> usize {
        self.features
    }

    pub(crate) fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    pub(crate) fn price(&self, privacy: Privacy, evidence: Evidence) -> Option<Amount> {
        self.asks.iter().find(|ask| (ask.privacy, ask.evidence) == (privacy, evidence)).map(|ask| ask.price)
    }
}

/// Whether receipts in this mode commit to a trace.
pub(crate) fn may_be_disputed(privacy: Privacy, evidence: Evidence) -> bool {
    privacy != Privacy::Encrypted && evidence == Evidence::Audited
}

impl core::fmt::Debug for ServedModel {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ServedModel")
            .field("model_id", &self.info.model_id)
            .field("name", &self.info.name)
            .field("asks", &self.asks)
            .finish_non_exhaustive()
    }
}
