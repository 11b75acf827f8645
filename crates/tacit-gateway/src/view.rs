//! What the gateway tells its user: answers, receipts, models, channels.

use core::time::Duration;

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use tacit_abi::{Evidence, IAsks, Privacy, receipts};
use tacit_encrypt::{Approximation, Closeness};
use tacit_graph::{LabelScore, LabelScores};
use tacit_wire::{
    Amount, JobId,
    http::HttpError,
    message::{AnchorProof, AskTerms, ReceiptInfo},
};
use tokio::time::Instant;

use crate::{
    ask::Asked,
    channel::Delivery,
    error::GatewayError,
    gateway::Gateway,
    page::Verification,
    receipt::{self, BUNDLE_VERSION, Bundle, BundleReject, EncryptedMessages},
    store::{AnswerRecord, Audit, Canaries, ChannelRecord, JobRecord, JobState, Purpose, Shown},
    stream_receipt::{StreamBundle, StreamFigures},
};

/// An answer that was checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskAnswer {
    /// Name of the job.
    pub job_id: JobId,
    /// Model as it was asked for.
    pub model: String,
    /// Its id.
    pub model_id: B256,
    /// The label, when the model gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// How sure the label is: each label with its score, or for a threshold the label above it with the one score.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<ScoreEntry>,
    /// How far the label leads: before the next one, or from the threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// The values, when the model gives values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<f64>>,
    /// Who could see the input.
    pub privacy: Privacy,
    /// Why the answer is believed.
    pub evidence: Evidence,
    /// Whether a proof was verified; `false` means that the worker said so.
    pub verified: bool,
    /// Who answered.
    pub worker: Address,
    /// How long the engine worked, as the worker says.
    pub prove_ms: f64,
    /// Processor time of the worker's process meanwhile, shared among the jobs that one proof answers, as the worker says.
    pub prove_cpu_ms: f64,
    /// Processor time of all our checks.
    pub verify_cpu_ms: f64,
    /// Length of the proof.
    pub proof_bytes: u64,
    /// Jobs that the proof answers, this one among them; none without a proof.
    #[serde(default)]
    pub proved_together: u32,
    /// Length of the question as it was sent.
    #[serde(default)]
    pub bytes_up: u64,
    /// Length of the answer as it came.
    #[serde(default)]
    pub bytes_down: u64,
    /// Length of the evaluation keys that the question is under, sent once to each worker; none where it has a key of its own.
    #[serde(default)]
    pub key_bytes: u64,
    /// How near the answer is to the model's, where the worker's way of computing under encryption does not always give the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approximate: Option<Approximate>,
    /// Hidden questions about this model that the worker was asked, and that were compared with proved answers; counted for audited answers.
    #[serde(default)]
    pub canaries_asked: u64,
    /// Those of them that it answered rightly.
    #[serde(default)]
    pub canaries_passed: u64,
    /// What was paid.
    pub price: Amount,
    /// What was paid beside it now: for hidden questions and the proofs that they are compared with, or for the same question to a second worker.
    #[serde(default)]
    pub canary_price: Amount,
    /// Whether the worker has acknowledged the voucher.
    pub paid: bool,
    /// Hash of the receipt.
    pub receipt: B256,
    /// Block that anchors the receipt, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
    /// What became of its audit; none where there is none to make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
}

/// What a worker says about answers that are only near the model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approximate {
    /// Distance from the model's outputs that answers keep to: root mean square over an answer's outputs, in units of the integer graph's.
    pub tolerance: u32,
    /// Held-out rows that it asked itself.
    pub rows: u32,
    /// How many labels were the model's.
    pub agreed: u32,
}

impl Approximate {
    fn of(closeness: Closeness) -> Option<Self> {
        let Closeness::Approximate(Approximation { tolerance, agreement: Some(agreement) }) = closeness
        else {
            return None;
        };
        Some(Self { tolerance, rows: agreement.rows, agreed: agreement.agreed })
    }
}

/// A label's score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreEntry {
    /// The label.
    pub label: String,
    /// Its score, in the model's units.
    pub score: f64,
}

/// A receipt, briefly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReceiptEntry {
    /// Hash of the receipt.
    pub receipt: B256,
    /// The job it is about.
    pub job_id: JobId,
    /// Model as it was asked for.
    pub model: String,
    /// Its id.
    pub model_id: B256,
    /// Who answered.
    pub worker: Address,
    /// Who could see the input.
    pub privacy: Privacy,
    /// Why the answer is believed.
    pub evidence: Evidence,
    /// Who asked, and what for.
    #[serde(default)]
    pub kind: ReceiptKind,
    /// What was paid.
    pub price: Amount,
    /// When the worker says that it answered, seconds since 1970.
    pub completed_at: u64,
    /// Block that anchors it, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
    /// What became of its audit; none where there is none to make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// Whether the ledger counts that it passed; none where nobody wants to show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<Shown>,
    /// Tokens, where a language model was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamFigures>,
}

/// What a receipt's question was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptKind {
    /// The user asked.
    #[default]
    Question,
    /// The gateway asked, to audit the worker.
    Canary,
    /// The gateway asked for a proof to compare such an answer with.
    KnownRow,
    /// The gateway asked the same as the user, to compare another worker's run with this one's.
    Second,
    /// A program asked a language model.
    Stream,
}

/// A receipt with all that it commits to, whatever it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum AnyBundle {
    /// Of a job.
    Job(Box<Bundle>),
    /// Of a stream.
    Stream(Box<StreamBundle>),
}

/// What a text names.
enum Named {
    Job(JobId),
    Stream(JobId),
}

/// A published model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelEntry {
    /// Its id.
    pub model_id: B256,
    /// Its name.
    pub name: String,
    /// Who published it.
    pub owner: Address,
    /// In which block.
    pub block: u64,
    /// What is asked for it.
    pub asks: Vec<AskEntry>,
}

/// One worker's ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskEntry {
    /// Who asks.
    pub worker: Address,
    /// Mode and price.
    #[serde(flatten)]
    pub terms: AskTerms,
    /// Where the worker is.
    pub endpoint: String,
}

/// The gateway, briefly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The account that pays.
    pub address: Address,
    /// What it holds outside channels.
    pub balance: Amount,
    /// The ledger.
    pub chain_id: u64,
    /// Channels, open and retired.
    pub channels: Vec<ChannelEntry>,
}

/// A channel, briefly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelEntry {
    /// Which.
    pub channel_id: B256,
    /// Who is paid.
    pub worker: Address,
    /// Promised in all.
    pub signed: Amount,
    /// The job whose answer is awaited.
    pub in_flight: Option<JobId>,
    /// Closed or to be closed.
    pub retired: bool,
    /// Why its worker is not asked again, if it is not.
    pub distrust: Option<String>,
}

/// Channels, open and retired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channels {
    /// Each as in [`Status`].
    pub channels: Vec<ChannelEntry>,
}

const RECEIPTS_LISTED_MAX: usize = 1_000;
const RECEIPT_BYTES_MAX: usize = 64 * 1024;
/// Longest that a worker, once paid, can hold up whoever looks at a receipt.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(5);
const ANCHOR_POLL: Duration = Duration::from_millis(50);

impl Gateway {
    /// Published models with what is asked for them.
    ///
    /// # Errors
    /// [`GatewayError::Ledger`].
    pub async fn models(&self) -> Result<Vec<ModelEntry>, GatewayError> {
        let listings = self.ledger.listings().await?;
        let entry = |listing: tacit_wire::ledger::Listing| ModelEntry {
            model_id: listing.model.modelId,
            name: listing.model.name,
            owner: listing.model.owner,
            block: listing.model.block,
            asks: listing.asks.into_iter().filter_map(ask_entry).collect(),
        };
        Ok(listings.into_iter().map(entry).collect())
    }

    /// Address, balance and channels.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn status(&self) -> Result<Status, GatewayError> {
        let channels = self.channels()?;
        let balance = self.ledger.balance(self.address()).await?;
        Ok(Status { address: self.address(), balance, chain_id: self.ledger.chain_id(), channels })
    }

    /// Channels, open and retired.
    ///
    /// # Errors
    /// [`GatewayError::Store`].
    pub fn channels(&self) -> Result<Vec<ChannelEntry>, GatewayError> {
        let entry = |(channel_id, channel): (B256, ChannelRecord)| {
            Ok(ChannelEntry {
                channel_id,
                worker: channel.worker,
                signed: channel.signed,
                in_flight: channel.in_flight,
                retired: channel.retired,
                distrust: self.store.distrust(channel.worker)?.map(|distrust| distrust.message),
            })
        };
        self.store.channels()?.into_iter().map(entry).collect()
    }

    /// Receipts of jobs and of streams, newest first.
    ///
    /// # Errors
    /// [`GatewayError::Store`].
    pub fn receipts(&self) -> Result<Vec<ReceiptEntry>, GatewayError> {
        let jobs = self.store.answered(RECEIPTS_LISTED_MAX)?;
        let jobs: Vec<_> = jobs.into_iter().map(|job_id| self.receipt(job_id)).collect::<Result<_, _>>()?;
        let mut jobs = jobs.into_iter().peekable();
        let mut streams = self.stream_entries(RECEIPTS_LISTED_MAX)?.into_iter().peekable();
        // Each list stays in the order in which it came, whatever time workers say it was.
        let newest = core::iter::from_fn(|| match (jobs.peek(), streams.peek()) {
            (Some(job), Some(stream)) if stream.completed_at > job.completed_at => streams.next(),
            (None, _) => streams.next(),
            _ => jobs.next(),
        });
        Ok(newest.take(RECEIPTS_LISTED_MAX).collect())
    }

    /// One receipt.
    ///
    /// # Errors
    /// [`GatewayError::UnknownReceipt`].
    pub fn receipt(&self, job_id: JobId) -> Result<ReceiptEntry, GatewayError> {
        let (job, answer) = self.answered_job(job_id)?;
        let header = &job.request.header;
        Ok(ReceiptEntry {
            receipt: receipts::leaf(&answer.receipt.receipt, header.chain_id),
            job_id,
            model: job.model.clone(),
            model_id: header.model_id,
            worker: header.worker,
            privacy: header.privacy,
            evidence: header.evidence,
            kind: job.purpose.into(),
            price: header.price,
            completed_at: answer.receipt.receipt.completedAt,
            block: answer.anchor.as_ref().map(|anchor| anchor.block),
            audit: self.store.audit(job_id)?,
            shown: self.store.shown(job_id)?,
            stream: None,
        })
    }

    /// The receipt that a text names, with its block once anchored.
    ///
    /// # Errors
    /// [`GatewayError::UnknownReceipt`], or the ledger cannot be asked.
    pub async fn find_entry(&self, id: &str) -> Result<ReceiptEntry, GatewayError> {
        match self.find_any(id)? {
            Named::Job(job_id) => {
                self.fetch_anchor(job_id).await?;
                self.receipt(job_id)
            }
            Named::Stream(job_id) => {
                self.fetch_stream_anchor(job_id).await?;
                let unknown = || GatewayError::UnknownReceipt { id: job_id.to_string() };
                self.stream_entry(self.store.stream(job_id)?.ok_or_else(unknown)?)
            }
        }
    }

    /// Everything needed to check the receipt that a text names elsewhere.
    ///
    /// # Errors
    /// [`GatewayError::UnknownReceipt`], or the ledger cannot be asked.
    pub async fn find_bundle(&self, id: &str) -> Result<AnyBundle, GatewayError> {
        match self.find_any(id)? {
            Named::Job(job_id) => {
                self.fetch_anchor(job_id).await?;
                self.bundle(job_id).map(|bundle| AnyBundle::Job(Box::new(bundle)))
            }
            Named::Stream(job_id) => {
                self.fetch_stream_anchor(job_id).await?;
                self.stream_bundle(job_id).map(|bundle| AnyBundle::Stream(Box::new(bundle)))
            }
        }
    }

    /// Checks the receipt that a text names once more, whatever it is of.
    ///
    /// # Errors
    /// [`GatewayError::UnknownReceipt`], [`GatewayError::Forgotten`], or the disk fails.
    pub async fn verify_any(&self, id: &str) -> Result<Verification, GatewayError> {
        match self.find_any(id)? {
            Named::Job(job_id) => self.verify_receipt(job_id).await,
            Named::Stream(job_id) => self.verify_stream_receipt(job_id).await,
        }
    }

    fn find_any(&self, id: &str) -> Result<Named, GatewayError> {
        let unknown = || GatewayError::UnknownReceipt { id: id.chars().take(80).collect() };
        let hash: B256 = id.parse().map_err(|_| unknown())?;
        let job_id = self.store.job_of_receipt(hash)?.unwrap_or(JobId(hash));
        match self.store.stream(job_id)? {
            Some(_) => Ok(Named::Stream(job_id)),
            None => self.find_receipt(id).map(Named::Job),
        }
    }

    /// The job that a text names: a receipt hash or a job id.
    ///
    /// # Errors
    /// [`GatewayError::UnknownReceipt`].
    pub fn find_receipt(&self, id: &str) -> Result<JobId, GatewayError> {
        let unknown = || GatewayError::UnknownReceipt { id: id.chars().take(80).collect() };
        let hash: B256 = id.parse().map_err(|_| unknown())?;
        if let Some(job_id) = self.store.job_of_receipt(hash)? {
            return Ok(job_id);
        }
        self.store.answer(JobId(hash))?.map(|_| JobId(hash)).ok_or_else(unknown)
    }

    /// Everything needed to check a receipt elsewhere.
    ///
    /// # Errors
    /// [`GatewayError::UnknownReceipt`].
    pub fn bundle(&self, job_id: JobId) -> Result<Bundle, GatewayError> {
        self.answered_job(job_id)?;
        self.kept_bundle(job_id)
    }

    /// The same with what makes the keys of a job that is under some: whoever has the file reads every question under them.
    ///
    /// # Errors
    /// [`GatewayError::UnknownReceipt`].
    pub fn bundle_with_keys(&self, job_id: JobId) -> Result<Bundle, GatewayError> {
        let mut bundle = self.bundle(job_id)?;
        if let Some(messages) = &mut bundle.encrypted
            && let Some(id) = messages.question.keys
        {
            messages.keys = self.store.keys(id)?;
        }
        Ok(bundle)
    }

    /// The same for any answer that was kept, paid or not.
    pub(crate) fn kept_bundle(&self, job_id: JobId) -> Result<Bundle, GatewayError> {
        let unknown = || GatewayError::UnknownReceipt { id: job_id.to_string() };
        let job = self.store.job(job_id)?.ok_or_else(unknown)?;
        let answer = self.store.answer(job_id)?.ok_or_else(unknown)?;
        let header = &job.request.header;
        let model = self.store.model(header.model_id)?.ok_or(GatewayError::Internal)?;
        let encrypted = job.encrypted.zip(answer.encrypted);
        let encrypted = encrypted.map(|(question, answer)| {
            let query = job.request.payload.body().to_vec();
            EncryptedMessages { question, query, answer, keys: None }
        });
        Ok(Bundle {
            version: BUNDLE_VERSION,
            chain_id: header.chain_id,
            receipt: answer.receipt,
            model,
            input: job.values,
            output: answer.output,
            input_salt: B256::from(answer.salts.input),
            output_salt: B256::from(answer.salts.output),
            evidence_salt: B256::from(answer.salts.evidence),
            proof: answer.proof,
            trace: answer.trace,
            attested: job.attested.map(|evidence| self.store.session(evidence)).transpose()?.flatten(),
            encrypted,
            anchor: answer.anchor,
        })
    }

    /// Fetches a receipt's place on the ledger from its worker, checks it against the ledger, and keeps it. `None`
    /// while it is not anchored.
    ///
    /// # Errors
    /// [`GatewayError::UnknownReceipt`], or the ledger cannot be asked.
    pub async fn fetch_anchor(&self, job_id: JobId) -> Result<Option<u64>, GatewayError> {
        let (job, answer) = self.answered_job(job_id)?;
        if let Some(anchor) = &answer.anchor {
            return Ok(Some(anchor.block));
        }
        let asked = self.ask_for_receipt(&job, job_id);
        let Ok(asked) = tokio::time::timeout(RECEIPT_TIMEOUT, asked).await else { return Ok(None) };
        let info = match asked {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, "the receipt's place is not known yet");
                return Ok(None);
            }
        };
        let header = &job.request.header;
        let leaf = receipts::leaf(&answer.receipt.receipt, header.chain_id);
        let Some(anchor) = self.checked_anchor(header.worker, leaf, info.anchor).await? else {
            return Ok(None);
        };
        self.store.put_anchor(job_id, &anchor)?;
        Ok(Some(anchor.block))
    }

    /// Through the relay, where the job went through it: whoever asks for a receipt is whoever asked the question.
    async fn ask_for_receipt(&self, job: &JobRecord, job_id: JobId) -> Result<ReceiptInfo, HttpError> {
        let path = format!("/v1/receipts/{job_id}");
        if job.prepaid.is_none() {
            let url = format!("{}{path}", self.whereabouts(job).await);
            return self.http.get(&url, RECEIPT_BYTES_MAX).await;
        }
        match self.unlinked_worker(job).await {
            Ok(worker) => worker.get(&path, RECEIPT_BYTES_MAX).await,
            Err(error) => Err(HttpError::Relay { url: path, detail: error.to_string() }),
        }
    }

    /// A place that a worker named, with the ledger's block, if the ledger says so too.
    pub(crate) async fn checked_anchor(
        &self,
        worker: Address,
        leaf: B256,
        named: Option<AnchorProof>,
    ) -> Result<Option<AnchorProof>, GatewayError> {
        let Some(mut anchor) = named else { return Ok(None) };
        if let Err(error) = receipt::check_inclusion(leaf, &anchor) {
            tracing::warn!(%error, %worker, "a worker gave a false inclusion proof");
            return Ok(None);
        }
        match receipt::anchored(&self.ledger, leaf, &anchor).await {
            Ok(anchored) => anchor.block = anchored.block,
            Err(BundleReject::Ledger(error)) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, %worker, "a worker named a root that is not anchored");
                return Ok(None);
            }
        }
        Ok(Some(anchor))
    }

    /// Waits until a receipt is anchored, at most `wait`.
    ///
    /// # Errors
    /// As [`Self::fetch_anchor`].
    pub async fn wait_for_anchor(&self, job_id: JobId, wait: Duration) -> Result<Option<u64>, GatewayError> {
        let end = Instant::now() + wait;
        loop {
            let found = self.fetch_anchor(job_id).await?;
            if found.is_some() || Instant::now() + ANCHOR_POLL > end {
                return Ok(found);
            }
            tokio::time::sleep(ANCHOR_POLL).await;
        }
    }

    pub(crate) fn view_answer(&self, job_id: JobId, asked: &Asked) -> Result<AskAnswer, GatewayError> {
        let entry = self.receipt(job_id)?;
        let (job, answer) = self.answered_job(job_id)?;
        let model = self.kept_model(entry.model_id)?;
        let decoded = model.graph().decode_output(&answer.output).map_err(|_| GatewayError::Internal)?;
        let (label, values) = match decoded {
            tacit_graph::Answer::Label { label, .. } => (Some(label), None),
            tacit_graph::Answer::Values(scores) => {
                (None, Some(scores.into_iter().map(tacit_graph::Score::to_f64).collect()))
            }
        };
        let (scores, margin) = score_entries(model.graph().label_scores(&answer.output));
        let proof = answer.proof.as_ref();
        let offer = job.encrypted.as_ref().and_then(|question| question.offer(model.graph()).ok());
        let canaries = match entry.evidence {
            Evidence::Audited => self.store.canaries(entry.worker, entry.model_id)?,
            _ => Canaries::default(),
        };
        Ok(AskAnswer {
            job_id,
            model: entry.model,
            model_id: entry.model_id,
            label,
            scores,
            margin,
            values,
            privacy: entry.privacy,
            evidence: entry.evidence,
            // An answer with this evidence is on disk only if its proof was verified.
            verified: entry.evidence == Evidence::Proved,
            worker: entry.worker,
            prove_ms: milliseconds(answer.time.wall_us),
            prove_cpu_ms: milliseconds(answer.time.cpu_us),
            verify_cpu_ms: milliseconds(answer.verify_cpu_us),
            proof_bytes: proof.map_or(0, |proof| length(&proof.proof)),
            proved_together: proof.map_or(0, |proof| proof.rows),
            bytes_up: length(job.request.payload.body()),
            bytes_down: answer.answer_bytes,
            key_bytes: offer.as_ref().map_or(0, |offer| u64::try_from(offer.key_bytes()).unwrap_or(u64::MAX)),
            approximate: offer.as_ref().and_then(|offer| Approximate::of(offer.closeness())),
            canaries_asked: canaries.judged(),
            canaries_passed: canaries.right,
            price: entry.price,
            canary_price: asked.spent,
            paid: asked.delivery == Delivery::Acknowledged,
            receipt: entry.receipt,
            block: entry.block,
            audit: entry.audit,
        })
    }

    pub(crate) fn answered_job(&self, job_id: JobId) -> Result<(JobRecord, AnswerRecord), GatewayError> {
        let unknown = || GatewayError::UnknownReceipt { id: job_id.to_string() };
        let job = self.store.job(job_id)?.filter(|job| job.state == JobState::Signed).ok_or_else(unknown)?;
        Ok((job, self.store.answer(job_id)?.ok_or_else(unknown)?))
    }
}

impl From<Purpose> for ReceiptKind {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Question { .. } => Self::Question,
            Purpose::Canary { .. } => Self::Canary,
            Purpose::KnownRow { .. } => Self::KnownRow,
            Purpose::Second { .. } => Self::Second,
        }
    }
}

/// Scores for people: each label with its score, and the margin.
#[must_use]
pub fn score_entries(found: Option<LabelScores>) -> (Vec<ScoreEntry>, Option<f64>) {
    let entry = |LabelScore { label, score }| ScoreEntry { label, score: score.to_f64() };
    found.map_or((Vec::new(), None), |LabelScores { scores, margin }| {
        (scores.into_iter().map(entry).collect(), Some(margin.to_f64()))
    })
}

pub(crate) fn ask_entry(ask: IAsks::Ask) -> Option<AskEntry> {
    let IAsks::Ask { worker, terms, .. } = ask;
    let endpoint = tacit_wire::http::origin(&terms.endpoint)?;
    let terms = AskTerms {
        privacy: Privacy::from_u8(terms.privacy)?,
        evidence: Evidence::from_u8(terms.evidence)?,
        price: Amount(terms.price),
    };
    Some(AskEntry { worker, terms, endpoint })
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn milliseconds(us: u64) -> f64 {
    core::time::Duration::from_micros(us).as_secs_f64() * 1_000.0
}
