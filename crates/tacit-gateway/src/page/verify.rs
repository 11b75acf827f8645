//! Checks a kept receipt once more, from its bytes, as anybody with its file does.
//!
//! What is believed is [`verify_bundle_under`] or, of a stream, [`verify_stream_under`], the functions behind `tacit receipt verify`. The parts of it that can be told apart are done before it
//! by themselves, so that each has its time, and a receipt that was tampered with is refused by the check that sees it.

use core::time::Duration;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use tacit_abi::{Evidence, receipts::SignedReceipt};
use tacit_attest::Trust;
use tacit_wire::{
    Amount, JobId, Output, Salts,
    language::{LanguageManifest, TokenCount},
    message::AnchorProof,
    wallet::receipt_signer,
};
use tokio::time::Instant;

use crate::{
    attested::AttestedSummary,
    error::GatewayError,
    gateway::Gateway,
    market,
    receipt::{self, Anchored, Bundle, BundleReject, VerifiedReceipt, verify_bundle_under},
    stream_receipt::{Judgement, StreamBundle, VerifiedStream, verify_stream_under},
};

/// What was checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// The job.
    pub job_id: JobId,
    /// Hash of the receipt, if it is believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<B256>,
    /// Whether every check passed that could be made.
    pub verified: bool,
    /// Each check, in the order in which they were made.
    pub checks: Vec<Check>,
    /// All of it.
    pub took_ms: f64,
    /// Bits of security of the proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_bits: Option<u8>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Which.
    pub name: CheckName,
    /// What came out.
    pub outcome: CheckOutcome,
    /// What it took.
    pub took_ms: f64,
    /// What was found, in words.
    pub detail: String,
}

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckName {
    /// Graph and weight root, or the manifest, give the model id that the receipt names.
    Model,
    /// The receipt is signed by the worker that it names.
    Signature,
    /// The input commitment opens to the question, or request.
    Input,
    /// The output commitment opens to the answer.
    Output,
    /// Everything that can be checked offline, the proof or whatever the evidence is among it; of a stream, the count.
    Evidence,
    /// The Merkle path leads from the receipt to the root of its batch.
    Path,
    /// The ledger anchored that root.
    Anchor,
}

/// What came out of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// There is nothing to check, or nobody to ask.
    Open,
}

use CheckOutcome::{Failed, Open, Passed};

impl Gateway {
    /// Reads a receipt of a job from the disk and checks all of it again.
    ///
    /// # Errors
    /// [`GatewayError::UnknownReceipt`], or the disk fails; what is wrong with the receipt is in the answer.
    pub async fn verify_receipt(&self, job_id: JobId) -> Result<Verification, GatewayError> {
        // Its place on the ledger may have come since.
        if let Err(error) = self.fetch_anchor(job_id).await {
            tracing::debug!(%error, "the receipt's place is not known yet");
        }
        let bundle = self.bundle_with_keys(job_id)?;
        let trust = self.trust()?;
        let begun = Instant::now();
        let (bundle, mut checks, believed) = tokio::task::spawn_blocking(move || {
            let (checks, believed) = check_offline(&bundle, &trust);
            (bundle, checks, believed)
        })
        .await
        .map_err(|_| GatewayError::Internal)?;
        if let Some(believed) = &believed {
            let asked = Instant::now();
            let found = match receipt::same_chain(&bundle, self.ledger()) {
                Ok(()) => receipt::check_anchor(self.ledger(), believed).await,
                Err(reject) => Err(reject),
            };
            checks.push(anchor_check(asked, found));
        }
        let mut verification =
            verification(job_id, begun, checks, believed.as_ref().map(VerifiedReceipt::hash));
        verification.security_bits = believed.as_ref().and_then(VerifiedReceipt::security_bits);
        Ok(verification)
    }

    /// The same for a receipt of a stream; what came is counted again too.
    ///
    /// # Errors
    /// [`GatewayError::UnknownReceipt`]; [`GatewayError::Forgotten`] where request and answer are not kept any more; or the disk fails.
    pub async fn verify_stream_receipt(&self, job_id: JobId) -> Result<Verification, GatewayError> {
        if let Err(error) = self.fetch_stream_anchor(job_id).await {
            tracing::debug!(%error, "the receipt's place is not known yet");
        }
        let bundle = self.stream_bundle(job_id)?;
        let (tokenizer, trust) = (self.kept_tokenizer(bundle.receipt.receipt.modelId)?, self.trust()?);
        let begun = Instant::now();
        // The model's publisher chose the tokenizer: if it panics, that ends here.
        let (bundle, mut checks, believed) = tokio::task::spawn_blocking(move || {
            let (checks, believed) = check_stream_offline(&bundle, &tokenizer, &trust);
            (bundle, checks, believed)
        })
        .await
        .map_err(|_| GatewayError::Internal)?;
        if let Some(believed) = &believed {
            let asked = Instant::now();
            let found = believed.check_anchor(&bundle, self.ledger()).await;
            checks.push(anchor_check(asked, found));
        }
        Ok(verification(job_id, begun, checks, believed.as_ref().map(VerifiedStream::hash)))
    }
}

fn verification(job_id: JobId, begun: Instant, checks: Vec<Check>, receipt: Option<B256>) -> Verification {
    Verification {
        job_id,
        receipt,
        verified: receipt.is_some() && checks.iter().all(|check| check.outcome != Failed),
        checks,
        took_ms: milliseconds(begun.elapsed()),
        security_bits: None,
    }
}

fn anchor_check(begun: Instant, found: Result<Anchored, BundleReject>) -> Check {
    let (outcome, detail) = match found {
        Ok(anchored) => {
            (Passed, format!("block {} of this ledger, by worker {}", anchored.block, anchored.by))
        }
        Err(reject @ (BundleReject::NotAnchored | BundleReject::Ledger(_))) => (Open, reject.to_string()),
        Err(reject) => (Failed, reject.to_string()),
    };
    Check { name: CheckName::Anchor, outcome, took_ms: milliseconds(begun.elapsed()), detail }
}

/// A check by itself: what was found, or what is wrong, in words.
type Part<B> = fn(&B) -> Result<String, String>;

fn check_parts<B>(bundle: &B, parts: [(CheckName, Part<B>); 4]) -> Vec<Check> {
    parts.map(|(name, part)| check(name, || part(bundle))).into()
}

fn check(name: CheckName, part: impl FnOnce() -> Result<String, String>) -> Check {
    let begun = Instant::now();
    let (outcome, detail) = match part() {
        Ok(detail) => (Passed, detail),
        Err(detail) => (Failed, detail),
    };
    Check { name, outcome, took_ms: milliseconds(begun.elapsed()), detail }
}

/// Everything that needs no network. What cannot be believed ends it.
fn check_offline(bundle: &Bundle, trust: &Trust) -> (Vec<Check>, Option<VerifiedReceipt>) {
    let mut checks = check_parts(
        bundle,
        [
            (CheckName::Model, check_model),
            (CheckName::Signature, |bundle| check_signature(&bundle.receipt, bundle.chain_id)),
            (CheckName::Input, check_input),
            (CheckName::Output, check_output),
        ],
    );
    let begun = Instant::now();
    let verdict = verify_bundle_under(bundle, trust);
    let evidence = |believed: &VerifiedReceipt| Ok(evidence_words(bundle.receipt.receipt.evidence, believed));
    let believed = conclude(&mut checks, begun, verdict, evidence);
    if let Some(believed) = &believed {
        checks.push(check_path(bundle.anchor.as_ref(), believed.hash()));
    }
    (checks, believed)
}

/// The same for a stream.
fn check_stream_offline(
    bundle: &StreamBundle,
    tokenizer: &[u8],
    trust: &Trust,
) -> (Vec<Check>, Option<VerifiedStream>) {
    let mut checks = check_parts(
        bundle,
        [
            (CheckName::Model, check_manifest),
            (CheckName::Signature, |bundle| check_signature(&bundle.receipt, bundle.chain_id)),
            (CheckName::Input, check_request),
            (CheckName::Output, check_reply),
        ],
    );
    let begun = Instant::now();
    let verdict = verify_stream_under(bundle, Some(tokenizer), trust);
    let believed = conclude(&mut checks, begun, verdict, count_words);
    if let Some(believed) = &believed {
        checks.push(check_path(bundle.anchor.as_ref(), believed.hash()));
    }
    (checks, believed)
}

/// The verdict on the whole of it, as the check of the evidence.
fn conclude<V>(
    checks: &mut Vec<Check>,
    begun: Instant,
    verdict: Result<V, BundleReject>,
    evidence: impl FnOnce(&V) -> Result<String, String>,
) -> Option<V> {
    let took_ms = milliseconds(begun.elapsed());
    let (found, believed) = match verdict {
        Ok(believed) => (evidence(&believed), Some(believed)),
        // The last thing that is checked: all else passed.
        Err(reject @ (BundleReject::Inclusion | BundleReject::InclusionLength { .. })) => {
            let whole = || Ok("what the receipt commits to".to_owned());
            checks.push(Check { took_ms, ..check(CheckName::Evidence, whole) });
            checks.push(check(CheckName::Path, || Err(reject.to_string())));
            return None;
        }
        Err(reject) => (Err(reject.to_string()), None),
    };
    checks.push(Check { took_ms, ..check(CheckName::Evidence, || found) });
    believed
}

fn count_words(believed: &VerifiedStream) -> Result<String, String> {
    let tokens = |count: TokenCount| format!("{} + {} tokens", count.prompt, count.completion);
    let charged = Amount(believed.receipt().price);
    match believed.judgement() {
        Judgement::True { counted } => {
            let claimed = tokens(believed.bill().tokens);
            let guest =
                believed.attested().map_or_else(String::new, |shown| format!("; {}", guest_words(shown)));
            Ok(format!(
                "counted again: {}; the worker says {claimed}, and charged {charged}{guest}",
                tokens(counted)
            ))
        }
        // Never with a tokenizer.
        Judgement::Uncounted => Err("nobody counted".to_owned()),
        Judgement::False(account) => {
            let counted = account.counted.map_or_else(|| "fewer".to_owned(), tokens);
            let (claimed, due) = (tokens(account.claimed), account.due);
            Err(format!(
                "the worker signed {claimed} and {charged}; there are {counted}, worth {due} at most"
            ))
        }
    }
}

fn check_manifest(bundle: &StreamBundle) -> Result<String, String> {
    let manifest = LanguageManifest::read(&bundle.manifest, bundle.receipt.receipt.modelId)
        .map_err(|reject| reject.to_string())?;
    Ok(format!("the manifest of {}, which names weights and tokenizer, gives this id", manifest.name))
}

fn check_request(bundle: &StreamBundle) -> Result<String, String> {
    let commitment = salts_of([bundle.input_salt, bundle.output_salt, bundle.evidence_salt])
        .commit_request(bundle.route, &bundle.request);
    if commitment == bundle.receipt.receipt.inputCommitment {
        Ok(format!("{} bytes", bundle.request.len()))
    } else {
        Err("the receipt commits to another request".to_owned())
    }
}

fn check_reply(bundle: &StreamBundle) -> Result<String, String> {
    let mut answer =
        salts_of([bundle.input_salt, bundle.output_salt, bundle.evidence_salt]).output_commitment();
    answer.push(&bundle.answer);
    if answer.finish() == bundle.receipt.receipt.outputCommitment {
        Ok(format!("{} bytes", bundle.answer.len()))
    } else {
        Err("the receipt commits to another answer".to_owned())
    }
}

fn evidence_words(evidence: u8, believed: &VerifiedReceipt) -> String {
    match (believed.security_bits(), Evidence::from_u8(evidence)) {
        (Some(bits), _) => format!("the proof holds for this model, question and answer, at {bits} bits"),
        (None, Some(Evidence::Audited)) if believed.opened() => {
            "the run that the worker committed to begins with this question and ends with this answer"
                .to_owned()
        }
        (None, Some(Evidence::Attested)) => believed.attested().map_or_else(String::new, guest_words),
        (None, _) => "the worker's word, and it is bound to it".to_owned(),
    }
}

fn guest_words(shown: &AttestedSummary) -> String {
    format!(
        "{}, {} GPUs, image {}, model and key, by policy {}",
        shown.cpu, shown.gpus, shown.image, shown.policy
    )
}

fn check_model(bundle: &Bundle) -> Result<String, String> {
    let model_id = bundle.receipt.receipt.modelId;
    let model = market::recompute(model_id, &bundle.model).ok_or_else(|| BundleReject::Model.to_string())?;
    Ok(format!("graph of {} operators and weight root give this id", model.graph().nodes.len()))
}

fn check_signature(receipt: &SignedReceipt, chain_id: u64) -> Result<String, String> {
    let signer = receipt_signer(receipt, chain_id).map_err(|reject| reject.to_string())?;
    if signer == receipt.receipt.worker {
        Ok(format!("signed by {signer} for chain {chain_id}"))
    } else {
        Err(format!("signed by {signer}, and the receipt names another worker"))
    }
}

fn check_input(bundle: &Bundle) -> Result<String, String> {
    let salts = salts(bundle);
    let (commitment, words) = match &bundle.encrypted {
        Some(messages) => (salts.commit_query(&messages.query), "the encrypted question".to_owned()),
        None => (salts.commit_input(&bundle.input), format!("{} values", bundle.input.len())),
    };
    if commitment == bundle.receipt.receipt.inputCommitment {
        Ok(words)
    } else {
        Err("the receipt commits to another question".to_owned())
    }
}

fn check_output(bundle: &Bundle) -> Result<String, String> {
    let (output, words) = match &bundle.encrypted {
        Some(messages) => {
            (Output::Ciphertext(messages.answer.ciphertext.clone()), "the encrypted answer".to_owned())
        }
        None => (Output::Logits(bundle.output.clone()), format!("{} values", bundle.output.len())),
    };
    if salts(bundle).commit_output(&output) == bundle.receipt.receipt.outputCommitment {
        Ok(words)
    } else {
        Err("the receipt commits to another answer".to_owned())
    }
}

fn check_path(anchor: Option<&AnchorProof>, leaf: B256) -> Check {
    let begun = Instant::now();
    let (outcome, detail) = match anchor {
        None => (Open, BundleReject::NotAnchored.to_string()),
        Some(anchor) => match receipt::check_inclusion(leaf, anchor) {
            Ok(()) => (Passed, format!("{} steps to root {}", anchor.siblings.len(), anchor.root)),
            Err(reject) => (Failed, reject.to_string()),
        },
    };
    Check { name: CheckName::Path, outcome, took_ms: milliseconds(begun.elapsed()), detail }
}

fn salts(bundle: &Bundle) -> Salts {
    salts_of([bundle.input_salt, bundle.output_salt, bundle.evidence_salt])
}

fn salts_of(salts: [B256; 3]) -> Salts {
    let [input, output, evidence] = salts.map(|salt| salt.0);
    Salts { input, output, evidence }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
