//! Who serves what, and whether they answer.

use core::time::Duration;
use std::collections::BTreeMap;

use alloy_primitives::Address;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tacit_abi::IAsks;
use tacit_wire::{
    Amount,
    http::origin,
    message::{LanguageStatus, ModelTally, WorkerInfo},
};
use tokio::time::Instant;

use crate::{error::GatewayError, gateway::Gateway, openai::WorkerHealth, reputations::Standing};

/// A worker with asks on the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerView {
    /// Who.
    pub worker: Address,
    /// Where it is, as its asks say.
    pub endpoint: String,
    /// Whether that is this machine.
    pub local: bool,
    /// What backs its asks.
    pub bonded: Amount,
    /// What its past is worth, once that was read; look again in a moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    /// When it last said that it is there, Unix seconds.
    pub last_beat_s: u64,
    /// How many asks it has on the models shown here.
    pub asks: u32,
    /// Names of the models that it serves.
    pub models: Vec<String>,
    /// Whether it answered just now.
    pub reachable: bool,
    /// How long that took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Models of other engines that it serves by the token, as it says.
    pub languages: Vec<LanguageStatus>,
    /// What its models brought by day, as it says.
    pub tallies: Vec<ModelTally>,
    /// How it did at the OpenAI interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<WorkerHealth>,
    /// Why it is not asked again, if it is not, or not about a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distrust: Option<String>,
    /// What this gateway has promised it on all channels.
    pub promised: Amount,
}

/// Workers that are asked how they are.
const WORKERS_ASKED_MAX: usize = 64;
const ASKED_AT_ONCE: usize = 8;
const PATIENCE: Duration = Duration::from_secs(2);
const STATUS_BYTES_MAX: usize = 512 * 1024;
const NAMES_MAX: usize = 32;
const TALLIES_MAX: usize = 366;

impl Gateway {
    /// Workers with asks, each asked how it is; of the first sixty-four only.
    ///
    /// # Errors
    /// [`GatewayError`]; a worker that does not answer is none.
    pub async fn market_view(&self) -> Result<Vec<WorkerView>, GatewayError> {
        let mut found: BTreeMap<Address, WorkerView> = BTreeMap::new();
        for listing in self.ledger.listings().await? {
            for ask in listing.asks {
                let known = found.len() < WORKERS_ASKED_MAX || found.contains_key(&ask.worker);
                let Some(endpoint) = origin(&ask.terms.endpoint).filter(|_| known) else { continue };
                let view = found.entry(ask.worker).or_insert_with(|| WorkerView::new(&ask, endpoint));
                view.asks = view.asks.saturating_add(1);
                if view.models.len() < NAMES_MAX && !view.models.contains(&listing.model.name) {
                    view.models.push(listing.model.name.clone());
                }
            }
        }
        let health = self.health.list();
        for channel in self.channels()? {
            if let Some(view) = found.get_mut(&channel.worker) {
                view.promised = view.promised.checked_add(channel.signed).ok_or(GatewayError::Overflow)?;
            }
        }
        for view in found.values_mut() {
            view.standing = self.reputations.of(view.worker);
            view.health = health.iter().find(|health| health.worker == view.worker).copied();
            let distrust = self.store.distrust(view.worker)?.map(|distrust| distrust.message);
            view.distrust = distrust.or_else(|| self.likeness.why_not(view.worker));
        }
        let asked = found.into_values().map(|view| self.ask_how_it_is(view));
        Ok(futures::stream::iter(asked).buffered(ASKED_AT_ONCE).collect().await)
    }

    async fn ask_how_it_is(&self, mut view: WorkerView) -> WorkerView {
        let url = format!("{}/v1/status", view.endpoint);
        let begun = Instant::now();
        let asked = self.quick.get::<WorkerInfo>(&url, STATUS_BYTES_MAX);
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(info)) if info.worker == view.worker => {
                view.reachable = true;
                view.round_trip_ms = Some(begun.elapsed().as_secs_f64() * 1_000.0);
                view.languages = info.languages.into_iter().take(NAMES_MAX).collect();
                let extra = info.tallies.len().saturating_sub(TALLIES_MAX);
                view.tallies = info.tallies.into_iter().skip(extra).collect();
            }
            Ok(Ok(_)) => view.trouble = Some("another worker answers at this address".to_owned()),
            Ok(Err(error)) => view.trouble = Some(error.to_string()),
            Err(_) => view.trouble = Some(format!("no answer in {} s", PATIENCE.as_secs())),
        }
        view
    }
}

impl WorkerView {
    fn new(ask: &IAsks::Ask, endpoint: String) -> Self {
        Self {
            worker: ask.worker,
            local: is_local(&endpoint),
            endpoint,
            bonded: Amount(ask.bonded),
            standing: None,
            last_beat_s: ask.lastBeat,
            asks: 0,
            models: Vec::new(),
            reachable: false,
            round_trip_ms: None,
            trouble: None,
            languages: Vec::new(),
            tallies: Vec::new(),
            health: None,
            distrust: None,
            promised: Amount::ZERO,
        }
    }
}

fn is_local(endpoint: &str) -> bool {
    let authority = endpoint.split_once("://").map_or(endpoint, |(_, authority)| authority);
    crate::http::local_authority(authority)
}
