//! What a question to a model looks like, and what a receipt says in full.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tacit_abi::receipts::SignedReceipt;
use tacit_graph::{Columns, Decoder, Feature, Graph, columns::Content};
use tacit_verify::VerifyingModel;
use tacit_wire::{
    Amount, JobId,
    message::{AnchorProof, receipt_json},
};

use crate::{
    ask::Asked,
    channel::Delivery,
    error::GatewayError,
    gateway::Gateway,
    market::offer_of,
    view::{AskAnswer, ModelEntry, ask_entry},
};

/// A model with what its questions look like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelDetail {
    /// Name, owner, asks.
    pub model: ModelEntry,
    /// Its graph, fetched and checked to have the model's id; none for language models, and where nobody serves it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<GraphView>,
}

/// A graph as its questions and answers see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphView {
    /// Numbers in a question.
    pub inputs: usize,
    /// How they are arranged.
    pub axes: Vec<u32>,
    /// Columns by name; none when the model does not name its inputs.
    pub columns: Vec<ColumnView>,
    /// Least and greatest number that any input tells apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
    /// Labels that it answers; none when it answers values.
    pub labels: Vec<String>,
    /// Operators of the graph.
    pub operators: usize,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnView {
    /// Its name.
    pub name: String,
    /// What may stand in it, if that is a word.
    pub kinds: Vec<String>,
    /// Least and greatest number that it tells apart, if it takes a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
}

/// A receipt with everything that it is about, as far as it can be shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReceiptDetail {
    /// The answer with its figures.
    pub answer: AskAnswer,
    /// The receipt as the worker signed it.
    #[serde(with = "receipt_json")]
    pub signed: SignedReceipt,
    /// The ledger that it is for.
    pub chain_id: u64,
    /// Its place in an anchored batch, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<AnchorProof>,
    /// What was asked, in the model's units.
    pub input: Vec<f64>,
    /// When it was asked, seconds since 1970.
    pub sent_at: u64,
}

/// Columns of a model that are named to a page.
const COLUMNS_MAX: usize = 256;
/// Raw values are in units of `2^-24`.
const RAW_UNITS: f64 = 16_777_216.0;

impl Gateway {
    /// A model by name or id.
    ///
    /// # Errors
    /// [`GatewayError::UnknownModel`], [`GatewayError::Ledger`]. A worker that cannot be asked for the graph is none.
    pub async fn model_detail(&self, name: &str) -> Result<ModelDetail, GatewayError> {
        let model_id = self.resolve(name).await?;
        let listing = self.listing(name, model_id).await?;
        let mut graph = None;
        for offer in listing.asks.iter().cloned().filter_map(offer_of).take(crate::ask::WORKERS_TRIED_MAX) {
            if let Ok(model) = self.known_model(model_id, &offer).await {
                graph = Some(GraphView::of(&model));
                break;
            }
        }
        let model = ModelEntry {
            model_id,
            name: listing.model.name,
            owner: listing.model.owner,
            block: listing.model.block,
            asks: listing.asks.into_iter().filter_map(ask_entry).collect(),
        };
        Ok(ModelDetail { model, graph })
    }

    /// One receipt in full.
    ///
    /// # Errors
    /// [`GatewayError::UnknownReceipt`].
    pub fn receipt_detail(&self, job_id: JobId) -> Result<ReceiptDetail, GatewayError> {
        let (job, kept) = self.answered_job(job_id)?;
        let header = &job.request.header;
        let channel = self.store.channel(header.channel_id)?;
        let delivered = channel.is_some_and(|channel| header.cumulative <= channel.delivered);
        let delivery = if delivered { Delivery::Acknowledged } else { Delivery::Pending };
        let answer = self.view_answer(job_id, &Asked { delivery, spent: Amount::ZERO })?;
        Ok(ReceiptDetail {
            answer,
            signed: kept.receipt,
            chain_id: header.chain_id,
            anchor: kept.anchor,
            input: job.values.iter().map(|value| units(*value)).collect(),
            sent_at: job.sent_at,
        })
    }
}

impl GraphView {
    fn of(model: &Arc<VerifyingModel>) -> Self {
        let graph = model.graph();
        let columns = Columns::new(&graph.features);
        let columns = columns.as_ref().map_or(&[][..], Columns::as_slice);
        Self {
            inputs: graph.features.len(),
            axes: graph.input_axes.clone(),
            columns: columns
                .iter()
                .take(COLUMNS_MAX)
                .map(|column| match &column.content {
                    Content::Number(index) => ColumnView {
                        name: column.name.to_owned(),
                        kinds: Vec::new(),
                        range: graph.features.get(*index).and_then(|feature| range(graph, feature)),
                    },
                    Content::Kinds(kinds) => ColumnView {
                        name: column.name.to_owned(),
                        kinds: kinds.iter().map(|(kind, _)| (*kind).to_owned()).collect(),
                        range: None,
                    },
                })
                .collect(),
            range: graph.features.iter().filter_map(|feature| range(graph, feature)).reduce(|a, b| {
                let ([low, high], [lower, higher]) = (a, b);
                [low.min(lower), high.max(higher)]
            }),
            labels: match &graph.decoder {
                Decoder::ArgMax { labels, .. } => labels.clone(),
                Decoder::Threshold { labels, .. } => labels.to_vec(),
                Decoder::Values { .. } => Vec::new(),
            },
            operators: graph.nodes.len(),
        }
    }
}

/// Numbers below and above are taken for these: the encoder of a feature, undone at both ends of what it can give.
fn range(graph: &Graph, feature: &Feature) -> Option<[f64; 2]> {
    if let (Some(first), Some(last)) = (feature.steps.first(), feature.steps.last()) {
        return Some([units(*first), units(*last)]);
    }
    if feature.multiplier == 0 {
        return None;
    }
    let most = 2_f64.powi(i32::from(graph.input_bits).saturating_sub(1)) - 1.0;
    let scale = 2_f64.powi(i32::from(feature.shift)) / f64::from(feature.multiplier) / RAW_UNITS;
    let (a, b) = (-most * scale - units(feature.offset), most * scale - units(feature.offset));
    Some([a.min(b), a.max(b)])
}

/// As people write it. Shown only; exact below `2^53` units.
fn units(raw: i64) -> f64 {
    raw as f64 / RAW_UNITS
}
