//! Receipts of streams as files: everything that a third party needs to judge what a worker said that it counted, offline and without asking anybody.
//!
//! A file holds request and answer in the clear, as the receipt commits to them, and the **bill** that it commits to as its evidence: tokens and prices
//! (`specs/0010-streams.md`), and where a guest answered, what vouched for it. [`verify_stream`] recomputes the model's id, recovers the worker's signature, judges the guest
//! as of the time of the answer, opens the three commitments, folds the inclusion proof, and, with the tokenizer that the manifest names, counts again. A receipt that holds may still be a false account: [`Judgement::False`].
//!
//! # Soundness
//! All that an honest worker is judged by is signed by it: bytes of request and answer, tokens, prices, and, through the model's id, the tokenizer. So nobody who saves a
//! file can make it false. Only how the answer is framed (one JSON value or events) is not: both are counted, and the higher count is believed.
//! What a receipt cannot show is that the engine refused (a status from 400 on, for which nothing is owed), or that the prices were not those of the worker's ask: the client that was there judges these.

use core::time::Duration;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use tacit_abi::{
    Evidence, Privacy, Receipt,
    receipts::{self, SignedReceipt},
};
use tacit_attest::Trust;
use tacit_wire::{
    Amount, JobId, LedgerClient, Salts, SignatureReject,
    language::{GUEST_MODE, LanguageManifest, MODE, ManifestReject, TokenBill, TokenCount, TokenPrices},
    message::{AnchorProof, ReceiptInfo, base64_bytes, receipt_json},
    meter::{Framing, Meter, MeterReject, Route},
    stream::EndReason,
    wallet::receipt_signer,
};

use crate::{
    attested::{AttestedMessages, AttestedSummary},
    check::AnswerReject,
    error::GatewayError,
    gateway::Gateway,
    receipt::{self, Anchored, BUNDLE_BYTES_MAX, BundleReject},
    store::{Exchange, StreamAudit, StreamRecord},
    view::{ReceiptEntry, ReceiptKind},
};

/// A receipt of a stream with all that it commits to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamBundle {
    /// Version of this format.
    pub version: u32,
    /// Ledger that the receipt is for.
    pub chain_id: u64,
    /// The receipt as the worker signed it.
    #[serde(with = "receipt_json")]
    pub receipt: SignedReceipt,
    /// Manifest bytes, whose hash is the model's id.
    #[serde(with = "base64_bytes")]
    pub manifest: Vec<u8>,
    /// Which door of the engine was asked.
    pub route: Route,
    /// The request's body as it travelled.
    #[serde(with = "base64_bytes")]
    pub request: Vec<u8>,
    /// The answer as it came.
    #[serde(with = "base64_bytes")]
    pub answer: Vec<u8>,
    /// Tokens that the worker says it counted, and its prices.
    pub bill: TokenBill,
    /// Opens the commitment to the request.
    pub input_salt: B256,
    /// Opens the commitment to the answer.
    pub output_salt: B256,
    /// Opens the commitment to the bill, and to the evidence of a guest.
    pub evidence_salt: B256,
    /// What vouched for the guest that answered, where the evidence is `attested`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested: Option<AttestedMessages>,
    /// Hash of the change that came with the answer, where tokens paid for it: the receipt's evidence is about it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<B256>,
    /// Inclusion in an anchored batch, once it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<AnchorProof>,
}

/// A receipt of a stream that was checked offline. Only [`verify_stream`] makes one; what it says of the count is its [`Judgement`].
#[must_use = "a receipt is believed by what demands this value"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedStream {
    receipt: Receipt,
    hash: B256,
    model: String,
    bill: TokenBill,
    judgement: Judgement,
    attested: Option<AttestedSummary>,
    anchor: Option<AnchorProof>,
}

/// What is to be said of a worker's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Judgement {
    /// The price is what tokens and prices on the bill make, at most; nobody counted.
    Uncounted,
    /// Counted again, and not less came than the worker says.
    True {
        /// What was counted.
        counted: TokenCount,
    },
    /// The worker signed what its own bytes contradict.
    #[serde(rename = "false_account")]
    False(FalseAccount),
}

/// What a worker signed, and what it could have signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FalseAccount {
    /// Tokens that it says it counted.
    pub claimed: TokenCount,
    /// Tokens that there are; none where tokens and price on the receipt contradict each other without counting.
    pub counted: Option<TokenCount>,
    /// What it charged.
    pub charged: Amount,
    /// What it could charge at its own prices, at most.
    pub due: Amount,
}

/// Tokens on a receipt of a stream, briefly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamFigures {
    /// What the worker says that it counted.
    pub claimed: TokenCount,
    /// What the gateway counted.
    pub counted: TokenCount,
    /// How it ended, as the worker says.
    pub reason: EndReason,
    /// Whether request and answer are kept, so that it can be shown to others.
    pub is_kept: bool,
    /// What an audit by another worker found of the answer, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<StreamAudit>,
    /// What is wrong with it, if something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// Version of the format.
pub const STREAM_BUNDLE_VERSION: u32 = 1;
/// Longest that a worker can hold up whoever looks at a receipt.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(5);
const RECEIPT_BYTES_MAX: usize = 64 * 1024;

impl StreamBundle {
    /// Reads a file.
    ///
    /// # Errors
    /// [`BundleReject`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, BundleReject> {
        let (limit, got) = (BUNDLE_BYTES_MAX, bytes.len());
        if got > limit {
            return Err(BundleReject::TooLong { limit, got });
        }
        let bundle: Self = serde_json::from_slice(bytes)?;
        bundle.check_version().map(|()| bundle)
    }

    fn check_version(&self) -> Result<(), BundleReject> {
        let (expected, got) = (STREAM_BUNDLE_VERSION, self.version);
        if expected == got { Ok(()) } else { Err(BundleReject::Version { expected, got }) }
    }
}

impl core::fmt::Debug for StreamBundle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("StreamBundle").field("receipt", &self.receipt).finish_non_exhaustive()
    }
}

/// Checks a file without a network: CPU, GPUs, image, model and key of the guest that answered, where one did, by the policy in the file, of which the
/// reader says whether it is acceptable; signature, request and answer; with the model's tokenizer (`tokenizer.json`), whose hash must be the manifest's, also what was counted.
///
/// Whoever published the model chose the tokenizer: building it may take long, or panic, so that this belongs on a thread of its own where one is given.
///
/// # Errors
/// [`BundleReject`]: the file shows nothing, neither for nor against its worker.
pub fn verify_stream(
    bundle: &StreamBundle,
    tokenizer: Option<&[u8]>,
) -> Result<VerifiedStream, BundleReject> {
    // Roots are parsed where there is evidence under them only.
    let trust = bundle.attested.as_ref().map(|_| Trust::vendors()).transpose();
    verify_under(bundle, tokenizer, trust.map_err(|_| BundleReject::Attestation)?.as_ref())
}

/// The same where evidence of hardware is judged under these roots, instead of those of Intel, AMD and NVIDIA.
///
/// # Errors
/// As [`verify_stream`].
pub fn verify_stream_under(
    bundle: &StreamBundle,
    tokenizer: Option<&[u8]>,
    trust: &Trust,
) -> Result<VerifiedStream, BundleReject> {
    verify_under(bundle, tokenizer, Some(trust))
}

fn verify_under(
    bundle: &StreamBundle,
    tokenizer: Option<&[u8]>,
    trust: Option<&Trust>,
) -> Result<VerifiedStream, BundleReject> {
    bundle.check_version()?;
    let receipt = &bundle.receipt.receipt;
    let mode = Privacy::from_u8(receipt.privacy).zip(Evidence::from_u8(receipt.evidence));
    let mode = mode.filter(|mode| [MODE, GUEST_MODE].contains(mode)).ok_or(BundleReject::Mode)?;
    if bundle.attested.is_some() != (mode == GUEST_MODE) {
        return Err(BundleReject::Attestation);
    }
    // A guest is asked over a channel.
    if bundle.change.is_some() && mode != MODE {
        return Err(BundleReject::Mode);
    }
    let manifest = LanguageManifest::read(&bundle.manifest, receipt.modelId)?;
    if receipt_signer(&bundle.receipt, bundle.chain_id)? != receipt.worker {
        return Err(BundleReject::Signer);
    }
    let judge = |messages: &AttestedMessages| {
        let trust = trust.ok_or(BundleReject::Attestation)?;
        let (worker, model_id, at) = (receipt.worker, receipt.modelId, receipt.completedAt);
        let judged = messages.verify(bundle.chain_id, worker, model_id, trust, at);
        let attested = judged.map_err(|reject| AnswerReject::from(Box::new(reject)))?;
        Ok::<_, BundleReject>(AttestedMessages::summary(&attested))
    };
    let attested = bundle.attested.as_ref().map(judge).transpose()?;
    let [input, output, evidence] =
        [bundle.input_salt, bundle.output_salt, bundle.evidence_salt].map(|salt| salt.0);
    let salts = Salts { input, output, evidence };
    if receipt.inputCommitment != salts.commit_request(bundle.route, &bundle.request) {
        return Err(BundleReject::Request);
    }
    let mut answer = salts.output_commitment();
    answer.push(&bundle.answer);
    if receipt.outputCommitment != answer.finish() {
        return Err(BundleReject::Reply);
    }
    let id = attested.as_ref().map(|shown| shown.evidence).or(bundle.change);
    if receipt.evidenceHash != salts.commit_evidence(&bundle.bill.committed(id)) {
        return Err(BundleReject::Bill);
    }
    let hash = receipts::leaf(receipt, bundle.chain_id);
    if let Some(anchor) = &bundle.anchor {
        receipt::check_inclusion(hash, anchor)?;
    }
    let counted = tokenizer.map(|tokenizer| count(bundle, &manifest, tokenizer)).transpose()?;
    Ok(VerifiedStream {
        receipt: receipt.clone(),
        hash,
        model: manifest.name,
        bill: bundle.bill,
        judgement: judgement(bundle, counted),
        attested,
        anchor: bundle.anchor.clone(),
    })
}

/// Tokens of request and answer, the latter in whichever framing has more.
fn count(
    bundle: &StreamBundle,
    manifest: &LanguageManifest,
    tokenizer: &[u8],
) -> Result<TokenCount, BundleReject> {
    if blake3::hash(tokenizer).as_bytes() != &manifest.tokenizer.0 {
        return Err(BundleReject::Tokenizer);
    }
    let meter = Meter::new(tokenizer, manifest.message_tokens)?;
    let prompt = meter.prompt(&bundle.request)?;
    let completion = |framing| -> Result<u64, MeterReject> {
        let mut answer = meter.answer(framing);
        answer.feed(&bundle.answer)?;
        answer.tokens()
    };
    // Bytes that cannot be counted in one framing did not come in it.
    let completion = match (completion(Framing::Json), completion(Framing::Events)) {
        (Ok(json), Ok(events)) => json.max(events),
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => one,
        (Err(reject), Err(_)) => return Err(reject.into()),
    };
    Ok(TokenCount { prompt, completion })
}

fn judgement(bundle: &StreamBundle, counted: Option<TokenCount>) -> Judgement {
    let TokenBill { tokens: claimed, prices } = bundle.bill;
    let charged = Amount(bundle.receipt.receipt.price);
    // What is more than any amount explains any.
    let cost = |tokens: TokenCount, prices: TokenPrices| prices.cost(tokens).unwrap_or(Amount(u128::MAX));
    let billed = cost(claimed, prices);
    let Some(counted) = counted else {
        return match charged > billed {
            true => Judgement::False(FalseAccount { claimed, counted: None, charged, due: billed }),
            false => Judgement::Uncounted,
        };
    };
    // An answer that never began costs nothing.
    let due = if bundle.answer.is_empty() { Amount::ZERO } else { cost(counted, prices).min(billed) };
    let more = claimed.prompt > counted.prompt || claimed.completion > counted.completion;
    if charged > due || more {
        let due = if bundle.answer.is_empty() { due } else { cost(counted, prices) };
        return Judgement::False(FalseAccount { claimed, counted: Some(counted), charged, due });
    }
    Judgement::True { counted }
}

impl VerifiedStream {
    /// The receipt.
    #[must_use]
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Its hash: its leaf on the ledger.
    #[must_use]
    pub fn hash(&self) -> B256 {
        self.hash
    }

    /// Name of the model, as its manifest says.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What the worker signed that it counted, and at which prices.
    #[must_use]
    pub fn bill(&self) -> &TokenBill {
        &self.bill
    }

    /// What is to be said of that.
    #[must_use]
    pub fn judgement(&self) -> Judgement {
        self.judgement
    }

    /// What the hardware showed of the guest that answered, where the receipt stands on that.
    #[must_use]
    pub fn attested(&self) -> Option<&AttestedSummary> {
        self.attested.as_ref()
    }

    /// The batch that the receipt belongs to, if the file says; whether a ledger anchored it is for [`Self::check_anchor`] to say.
    #[must_use]
    pub fn anchor(&self) -> Option<&AnchorProof> {
        self.anchor.as_ref()
    }

    /// Asks the ledger of `bundle`, which this was made from, whether the receipt is anchored there.
    ///
    /// # Errors
    /// As [`receipt::check_anchor`], and [`BundleReject::OtherChain`].
    pub async fn check_anchor(
        &self,
        bundle: &StreamBundle,
        ledger: &LedgerClient,
    ) -> Result<Anchored, BundleReject> {
        let (expected, got) = (bundle.chain_id, ledger.chain_id());
        if expected != got {
            return Err(BundleReject::OtherChain { expected, got });
        }
        receipt::check_place(ledger, self.hash, self.anchor.as_ref()).await
    }
}

impl Gateway {
    /// Receipts of streams, newest first, at most `limit`.
    pub(crate) fn stream_entries(&self, limit: usize) -> Result<Vec<ReceiptEntry>, GatewayError> {
        self.store.streams(limit)?.into_iter().map(|record| self.stream_entry(record)).collect()
    }

    pub(crate) fn stream_entry(&self, record: StreamRecord) -> Result<ReceiptEntry, GatewayError> {
        let terms = &record.receipt.receipt;
        let job_id = JobId(terms.jobId);
        let is_kept = match &record.fault {
            Some(fault) => fault.whole,
            None => self.store.exchange(job_id)?.is_some(),
        };
        Ok(ReceiptEntry {
            receipt: receipts::leaf(terms, self.ledger.chain_id()),
            job_id,
            model_id: terms.modelId,
            worker: terms.worker,
            privacy: record.privacy,
            evidence: record.evidence,
            kind: ReceiptKind::Stream,
            price: Amount(terms.price),
            completed_at: terms.completedAt,
            block: record.anchor.as_ref().map(|anchor| anchor.block),
            audit: None,
            shown: None,
            stream: Some(StreamFigures {
                claimed: record.claimed,
                counted: record.counted,
                reason: record.reason,
                is_kept,
                audit: self.store.stream_audit(job_id)?,
                fault: record.fault.map(|fault| fault.message),
            }),
            model: record.model,
        })
    }

    /// Everything needed to check a receipt of a stream elsewhere.
    ///
    /// # Errors
    /// [`GatewayError::UnknownReceipt`]; [`GatewayError::Forgotten`] where request and answer are not kept any more.
    pub fn stream_bundle(&self, job_id: JobId) -> Result<StreamBundle, GatewayError> {
        let record = self.stream_record(job_id)?;
        let exchange = match record.fault {
            Some(fault) if fault.whole => Some(Exchange { request: fault.request, answer: fault.answer }),
            Some(_) => None,
            None => self.store.exchange(job_id)?,
        };
        let Exchange { request, answer } = exchange.ok_or(GatewayError::Forgotten { job_id })?;
        let model_id = record.receipt.receipt.modelId;
        let language = self.store.language(model_id)?.ok_or(GatewayError::Internal)?;
        Ok(StreamBundle {
            version: STREAM_BUNDLE_VERSION,
            chain_id: self.ledger.chain_id(),
            manifest: language.manifest,
            route: record.route,
            request,
            answer,
            bill: TokenBill { tokens: record.claimed, prices: record.prices },
            input_salt: B256::from(record.salts.input),
            output_salt: B256::from(record.salts.output),
            evidence_salt: B256::from(record.salts.evidence),
            attested: record.attested.map(|evidence| self.store.session(evidence)).transpose()?.flatten(),
            change: record.change,
            receipt: record.receipt,
            anchor: record.anchor,
        })
    }

    /// The tokenizer of a model that was asked.
    ///
    /// # Errors
    /// [`GatewayError::UnknownModel`].
    pub fn kept_tokenizer(&self, model_id: B256) -> Result<Vec<u8>, GatewayError> {
        let unknown = || GatewayError::UnknownModel { model: model_id.to_string() };
        let language = self.store.language(model_id)?.ok_or_else(unknown)?;
        let manifest = LanguageManifest::read(&language.manifest, model_id).map_err(|_| unknown())?;
        self.store.tokenizer(manifest.tokenizer)?.ok_or_else(unknown)
    }

    /// Fetches a receipt's place on the ledger from its worker, checks it against the ledger, and keeps it.
    ///
    /// # Errors
    /// [`GatewayError::UnknownReceipt`], or the ledger cannot be asked.
    pub(crate) async fn fetch_stream_anchor(&self, job_id: JobId) -> Result<(), GatewayError> {
        let record = self.stream_record(job_id)?;
        if record.anchor.is_some() {
            return Ok(());
        }
        let terms = &record.receipt.receipt;
        let asked = self.ask_for_stream_receipt(&record, job_id);
        let anchor = match tokio::time::timeout(RECEIPT_TIMEOUT, asked).await {
            Ok(Ok(info)) => info.anchor,
            _ => None,
        };
        let leaf = receipts::leaf(terms, self.ledger.chain_id());
        if let Some(anchor) = self.checked_anchor(terms.worker, leaf, anchor).await? {
            self.store.put_stream_anchor(job_id, &anchor)?;
        }
        Ok(())
    }

    /// Through the relay, where tokens paid: whoever asks for a receipt is whoever asked the question.
    async fn ask_for_stream_receipt(
        &self,
        record: &StreamRecord,
        job_id: JobId,
    ) -> Result<ReceiptInfo, GatewayError> {
        let Receipt { modelId: model_id, worker, .. } = record.receipt.receipt;
        let path = format!("/v1/receipts/{job_id}");
        if record.change.is_none() {
            let endpoint = self.endpoint_of(model_id, worker, &record.endpoint).await;
            let url = format!("{endpoint}{path}");
            return self.http.get(&url, RECEIPT_BYTES_MAX).await.map_err(GatewayError::Http);
        }
        let unlinked = self.unlinked_streams_of(worker, model_id, None).await?;
        unlinked.get(&path, RECEIPT_BYTES_MAX).await.map_err(GatewayError::Http)
    }

    fn stream_record(&self, job_id: JobId) -> Result<StreamRecord, GatewayError> {
        let unknown = || GatewayError::UnknownReceipt { id: job_id.to_string() };
        self.store.stream(job_id)?.ok_or_else(unknown)
    }
}

impl From<ManifestReject> for BundleReject {
    fn from(_: ManifestReject) -> Self {
        Self::Model
    }
}

impl From<SignatureReject> for BundleReject {
    fn from(reject: SignatureReject) -> Self {
        Self::Signature(reject)
    }
}
