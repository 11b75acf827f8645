//! Checks a kept receipt once more, from its bytes, as anybody with its file does.
//!
//! What is believed is [`verify_bundle`], the function behind `tacit receipt verify`. The parts of it that can be told apart are done before it
//! by themselves, so that each has its time, and a receipt that was tampered with is refused by the check that sees it.

use core::time::Duration;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use tacit_abi::Evidence;
use tacit_wire::{JobId, Output, Salts, wallet::receipt_signer};
use tokio::time::Instant;

use crate::{
    error::GatewayError,
    gateway::Gateway,
    market,
    receipt::{self, Bundle, BundleReject, VerifiedReceipt, verify_bundle},
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
    /// Graph and weight root give the model id that the receipt names.
    Model,
    /// The receipt is signed by the worker that it names.
    Signature,
    /// The input commitment opens to the question.
    Input,
    /// The output commitment opens to the answer.
    Output,
    /// Everything that can be checked offline, the proof or whatever the evidence is among it.
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
    /// Reads a receipt from the disk and checks all of it again.
    ///
    /// # Errors
    /// [`GatewayError::UnknownReceipt`], or the disk fails; what is wrong with the receipt is in the answer.
    pub async fn verify_receipt(&self, job_id: JobId) -> Result<Verification, GatewayError> {
        // Its place on the ledger may have come since.
        if let Err(error) = self.fetch_anchor(job_id).await {
            tracing::debug!(%error, "the receipt's place is not known yet");
        }
        let bundle = self.bundle_with_keys(job_id)?;
        let begun = Instant::now();
        let (bundle, mut checks, believed) = tokio::task::spawn_blocking(move || {
            let (checks, believed) = check_offline(&bundle);
            (bundle, checks, believed)
        })
        .await
        .map_err(|_| GatewayError::Internal)?;
        if let Some(believed) = &believed {
            checks.push(self.check_on_ledger(&bundle, believed).await);
        }
        let verified = believed.is_some() && checks.iter().all(|check| check.outcome != Failed);
        Ok(Verification {
            job_id,
            receipt: believed.as_ref().map(VerifiedReceipt::hash),
            verified,
            checks,
            took_ms: milliseconds(begun.elapsed()),
            security_bits: believed.as_ref().and_then(VerifiedReceipt::security_bits),
        })
    }

    async fn check_on_ledger(&self, bundle: &Bundle, believed: &VerifiedReceipt) -> Check {
        let begun = Instant::now();
        let found = match receipt::same_chain(bundle, self.ledger()) {
            Ok(()) => receipt::check_anchor(self.ledger(), believed).await,
            Err(reject) => Err(reject),
        };
        let (outcome, detail) = match found {
            Ok(anchored) => {
                (Passed, format!("block {} of this ledger, by worker {}", anchored.block, anchored.by))
            }
            Err(reject @ BundleReject::NotAnchored) => (Open, reject.to_string()),
            Err(reject @ BundleReject::Ledger(_)) => (Open, reject.to_string()),
            Err(reject) => (Failed, reject.to_string()),
        };
        Check { name: CheckName::Anchor, outcome, took_ms: milliseconds(begun.elapsed()), detail }
    }
}

/// A check by itself: what was found, or what is wrong, in words.
type Part = fn(&Bundle) -> Result<String, String>;

/// Everything that needs no network. What cannot be believed ends it.
fn check_offline(bundle: &Bundle) -> (Vec<Check>, Option<VerifiedReceipt>) {
    let receipt = &bundle.receipt.receipt;
    let parts: [(CheckName, Part); 4] = [
        (CheckName::Model, check_model),
        (CheckName::Signature, check_signature),
        (CheckName::Input, check_input),
        (CheckName::Output, check_output),
    ];
    let mut checks = Vec::new();
    for (name, part) in parts {
        let begun = Instant::now();
        let (outcome, detail) = match part(bundle) {
            Ok(detail) => (Passed, detail),
            Err(detail) => (Failed, detail),
        };
        checks.push(Check { name, outcome, took_ms: milliseconds(begun.elapsed()), detail });
    }
    let begun = Instant::now();
    let verdict = verify_bundle(bundle);
    let took_ms = milliseconds(begun.elapsed());
    let evidence = |outcome, detail| Check { name: CheckName::Evidence, outcome, took_ms, detail };
    let path = |outcome, detail| Check { name: CheckName::Path, outcome, took_ms: 0.0, detail };
    match verdict {
        Ok(believed) => {
            checks.push(evidence(Passed, evidence_words(receipt.evidence, &believed)));
            checks.push(check_path(bundle, believed.hash()));
            (checks, Some(believed))
        }
        // The last thing that is checked: all else passed.
        Err(reject @ (BundleReject::Inclusion | BundleReject::InclusionLength { .. })) => {
            checks.push(evidence(Passed, "what the receipt commits to".to_owned()));
            checks.push(path(Failed, reject.to_string()));
            (checks, None)
        }
        Err(reject) => {
            checks.push(evidence(Failed, reject.to_string()));
            (checks, None)
        }
    }
}

fn evidence_words(evidence: u8, believed: &VerifiedReceipt) -> String {
    match (believed.security_bits(), Evidence::from_u8(evidence)) {
        (Some(bits), _) => format!("the proof holds for this model, question and answer, at {bits} bits"),
        (None, Some(Evidence::Audited)) if believed.opened() => {
            "the run that the worker committed to begins with this question and ends with this answer"
                .to_owned()
        }
        (None, _) => "the worker's word, and it is bound to it".to_owned(),
    }
}

fn check_model(bundle: &Bundle) -> Result<String, String> {
    let model_id = bundle.receipt.receipt.modelId;
    let model = market::recompute(model_id, &bundle.model).ok_or_else(|| BundleReject::Model.to_string())?;
    Ok(format!("graph of {} operators and weight root give this id", model.graph().nodes.len()))
}

fn check_signature(bundle: &Bundle) -> Result<String, String> {
    let signer = receipt_signer(&bundle.receipt, bundle.chain_id).map_err(|reject| reject.to_string())?;
    if signer == bundle.receipt.receipt.worker {
        Ok(format!("signed by {signer} for chain {}", bundle.chain_id))
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

fn check_path(bundle: &Bundle, leaf: B256) -> Check {
    let begun = Instant::now();
    let (outcome, detail) = match &bundle.anchor {
        None => (Open, BundleReject::NotAnchored.to_string()),
        Some(anchor) => match receipt::check_inclusion(leaf, anchor) {
            Ok(()) => (Passed, format!("{} steps to root {}", anchor.siblings.len(), anchor.root)),
            Err(reject) => (Failed, reject.to_string()),
        },
    };
    Check { name: CheckName::Path, outcome, took_ms: milliseconds(begun.elapsed()), detail }
}

fn salts(bundle: &Bundle) -> Salts {
    Salts { input: bundle.input_salt.0, output: bundle.output_salt.0, evidence: bundle.evidence_salt.0 }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
