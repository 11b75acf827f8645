//! `tacit receipt`: list, show, verify. What `--light` and `prove` do is in `light`.

use crate::args::Receipt as Command;
use crate::client::GatewayClient;
use crate::commands::ask::audit_words;
use crate::commands::{light, stream_receipt};
use crate::failure::{Context, Failure};
use crate::network;
use crate::output::{Output, short};
use crate::question::Told;
use crate::tensor_file::{read_limited, write_private};
use alloy_primitives::B256;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tacit_gateway::AttestedSummary;
use tacit_gateway::fraud::{FRAUD_BYTES_MAX, FraudEntry};
use tacit_gateway::receipt;
use tacit_gateway::view::{ReceiptEntry, ReceiptKind, score_entries};
use tacit_gateway::{
    Bundle, FraudBundle, FraudEntries, SentKeys, Shown, VerifiedReceipt, verify_bundle, verify_fraud,
};

pub(crate) async fn receipt(command: &Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::List { gateway } => {
            let reply = GatewayClient::new(&gateway.url)?.get("/tacit/v1/receipts").await?;
            let entries: Vec<ReceiptEntry> = read(reply.clone())?;
            output.data(&json!({"receipts": reply}), || {
                if entries.is_empty() {
                    return "no receipts yet".to_owned();
                }
                entries.iter().map(line).collect::<Vec<_>>().join("\n")
            });
            Ok(())
        }
        Command::Show { id, output: file, for_audit, with_keys, gateway } => {
            let id: B256 = id.parse().failed(
                "bad_receipt_id",
                format!("{id:?}"),
                "an id is 0x and 64 hex digits: tacit receipt list",
            )?;
            let gateway = GatewayClient::new(&gateway.url)?;
            let reply = gateway.get(&format!("/tacit/v1/receipts/{id}")).await?;
            let entry: ReceiptEntry = read(reply.clone())?;
            let saved = match file {
                Some(file) if entry.stream.is_some() => {
                    if *for_audit || *with_keys {
                        let hint = "leave --for-audit and --with-keys out: there is nothing encrypted in it";
                        return Err(Failure::new("not_encrypted", "this is the receipt of a stream", hint));
                    }
                    Some(stream_receipt::save(&gateway, &entry, file).await?)
                }
                Some(file) => Some(save(&gateway, &id, file, *for_audit, *with_keys).await?),
                None => None,
            };
            output.data(&reply, || line(&entry) + &saved.unwrap_or_default());
            Ok(())
        }
        Command::Evidence { id, output: file, gateway } => {
            let gateway = GatewayClient::new(&gateway.url)?;
            match (id, file) {
                (Some(id), Some(file)) => save_evidence(&gateway, id, file, output).await,
                _ => list_evidence(&gateway, output).await,
            }
        }
        Command::Audit(arguments) => crate::commands::audit::audit(arguments, output),
        Command::Verify { file, tokenizer, ledger, light, network } => match (light, network, file) {
            (Some(proof), Some(network), Some(file)) if stream_receipt::is_one(file)? => {
                stream_receipt::verify_light(proof, network, file, tokenizer.as_deref(), output).await
            }
            (Some(proof), Some(network), file) => light::verify(proof, network, file.as_deref(), output),
            (_, _, Some(file)) if stream_receipt::is_one(file)? => {
                stream_receipt::verify(file, tokenizer.as_deref(), ledger.as_deref(), output).await
            }
            (_, _, Some(file)) => verify(file, ledger.as_deref(), output).await,
            _ => Err(Failure::new("bad_usage", "no file is given", "tacit receipt verify --help")),
        },
        Command::Prove { transaction, ledger, output: file } => {
            light::prove(transaction, &ledger.url, file, output).await
        }
    }
}

/// Writes a receipt to a file, and says what is in it.
async fn save(
    gateway: &GatewayClient,
    id: &B256,
    file: &Path,
    for_audit: bool,
    with_keys: bool,
) -> Result<String, Failure> {
    let part = if with_keys { "bundle/keys" } else { "bundle" };
    let bundle = gateway.get(&format!("/tacit/v1/receipts/{id}/{part}")).await?;
    if !for_audit {
        write_private(file, bundle.to_string().as_bytes())?;
        let opens = match with_keys {
            true => ", and what reads every question under the same keys",
            false => "",
        };
        let file = file.display();
        return Ok(format!(
            "\nsaved with its evidence to {file}; it holds the question and the answer in the clear{opens}"
        ));
    }
    let bundle: Bundle = read(bundle)?;
    let key_id = bundle.encrypted.as_ref().and_then(|messages| messages.question.keys);
    let for_audit = bundle.for_audit().failed(
        "not_encrypted",
        id,
        "only an encrypted job can be done again by an auditor who must not see the question",
    )?;
    let json = serde_json::to_vec(&for_audit).failed("cannot_write", file.display(), "")?;
    write_private(file, &json)?;
    let keys = match key_id {
        Some(key_id) => {
            let sent: SentKeys = read(gateway.get(&format!("/tacit/v1/keys/{key_id}")).await?)?;
            let beside = keys_beside(file);
            write_private(&beside, &sent.keys)?;
            format!(", the public keys it was asked under to {}", beside.display())
        }
        None => String::new(),
    };
    Ok(format!("\nsaved for an auditor to {}{keys}; the question cannot be read from it", file.display()))
}

/// Where the keys are that a receipt for an auditor needs.
pub(crate) fn keys_beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".keys");
    name.into()
}

async fn list_evidence(gateway: &GatewayClient, output: Output) -> Result<(), Failure> {
    let reply = gateway.get("/tacit/v1/evidence").await?;
    let entries: FraudEntries = read(reply.clone())?;
    output.data(&reply, || {
        let line = |entry: &FraudEntry| {
            let worker = short(&entry.worker.to_string());
            format!("{}  {}  answered falsely by {worker}", entry.job_id, entry.model)
        };
        match entries.false_answers.as_slice() {
            [] => "no hidden question was answered falsely".to_owned(),
            entries => entries.iter().map(line).collect::<Vec<_>>().join("\n"),
        }
    });
    Ok(())
}

async fn save_evidence(
    gateway: &GatewayClient,
    id: &str,
    file: &Path,
    output: Output,
) -> Result<(), Failure> {
    let hint = "an id is 0x and 64 hex digits: tacit receipt evidence";
    let id: B256 = id.parse().failed("bad_receipt_id", format!("{id:?}"), hint)?;
    let evidence = gateway.get(&format!("/tacit/v1/evidence/{id}")).await?;
    let bundle: FraudBundle = read(evidence.clone())?;
    write_private(file, evidence.to_string().as_bytes())?;
    let worker = bundle.answer.receipt.receipt.worker;
    output.data(&json!({"job_id": id, "worker": worker}), || {
        format!("what convicts worker {worker} is saved to {}; the row in it is nobody's", file.display())
    });
    Ok(())
}

/// Checks evidence of a false answer.
fn verify_evidence(bytes: &[u8], output: Output) -> Result<(), Failure> {
    let fraud = FraudBundle::from_json(bytes).and_then(|bundle| verify_fraud(&bundle));
    let hint = "it convicts nobody";
    let fraud = fraud.map_err(|reject| Failure::new("evidence_rejected", &reject, hint))?;
    let result = json!({
        "verified": true, "worker": fraud.worker, "model_id": fraud.model_id, "receipt": fraud.receipt,
        "answered": answer(&fraud.answered), "proved": answer(&fraud.proved),
        "security_bits": fraud.security_bits,
    });
    output.data(&result, || {
        format!(
            "worker {} answered falsely: it signed receipt {} for {}, and {} is proved at {} bits for model {}",
            fraud.worker,
            fraud.receipt,
            result["answered"],
            result["proved"],
            fraud.security_bits,
            fraud.model_id
        )
    });
    Ok(())
}

async fn verify(file: &Path, ledger: Option<&str>, output: Output) -> Result<(), Failure> {
    let bytes = read_limited(file, FRAUD_BYTES_MAX as u64)?;
    if let (Ok(Kind { truth: Some(_) }), None) = (serde_json::from_slice(&bytes), ledger) {
        return verify_evidence(&bytes, output);
    }
    let bundle = Bundle::from_json(&bytes).map_err(|reject| refused(&reject))?;
    let verified = verify_bundle(&bundle).map_err(|reject| refused(&reject))?;
    let mut result = result(&verified);
    let mut text = format!(
        "receipt {} holds: {} by model {}, signed by worker {}",
        verified.hash(),
        Told::new(verified.answer(), verified.scores().cloned()).line(),
        verified.receipt().modelId,
        verified.receipt().worker,
    );
    text += &match verified.security_bits() {
        Some(bits) => format!(", proved at {bits} bits"),
        None if verified.attested().is_some() => guest(verified.attested()),
        None => ", on the worker's word".to_owned(),
    };
    if !verified.opened() {
        text += ". The worker signed for these encrypted messages; that they hold this question and this answer is the word of whoever saved them, \
                 as their keys are not in the file (--with-keys)";
    }
    if let Some(url) = ledger {
        let ledger = network::ledger(url).await?;
        receipt::same_chain(&bundle, &ledger).map_err(|reject| refused(&reject))?;
        let anchored = receipt::check_anchor(&ledger, &verified).await.map_err(|reject| refused(&reject))?;
        result["block"] = json!(anchored.block);
        text += &format!(", anchored in block {}", anchored.block);
    }
    output.data(&result, || text);
    Ok(())
}

/// What tells evidence of a false answer from a receipt.
#[derive(serde::Deserialize)]
struct Kind {
    truth: Option<serde::de::IgnoredAny>,
}

fn answer(answer: &tacit_graph::Answer) -> Value {
    match answer {
        tacit_graph::Answer::Label { label, .. } => json!(label),
        tacit_graph::Answer::Values(scores) => {
            json!(scores.iter().map(|score| score.to_f64()).collect::<Vec<_>>())
        }
    }
}

/// A checked receipt for programs.
pub(crate) fn result(verified: &VerifiedReceipt) -> Value {
    let answer = answer(verified.answer());
    let receipt = verified.receipt();
    let (scores, margin) = score_entries(verified.scores().cloned());
    json!({
        "verified": true, "receipt": verified.hash(), "answer": answer, "scores": scores,
        "margin": margin, "model_id": receipt.modelId,
        "worker": receipt.worker, "client": receipt.client, "job_id": receipt.jobId,
        "price": tacit_wire::Amount(receipt.price), "opened": verified.opened(), "security_bits": verified.security_bits(),
        "completed_at": receipt.completedAt, "attested": verified.attested(),
    })
}

/// What hardware showed of whoever answered, where it did.
pub(crate) fn guest(shown: Option<&AttestedSummary>) -> String {
    shown.map_or_else(String::new, |shown| {
        format!(
            ", from image {} on {} and {} GPUs, as policy {} asks (hash of the key {}, at the time of the answer)",
            shown.image, shown.cpu, shown.gpus, shown.policy, shown.key
        )
    })
}

/// A refused receipt file.
pub(crate) fn refused(reject: &receipt::BundleReject) -> Failure {
    Failure::new(
        "receipt_rejected",
        reject,
        "do not rely on this receipt; ask who gave it to you for the original file",
    )
}

fn read<T: serde::de::DeserializeOwned>(reply: Value) -> Result<T, Failure> {
    serde_json::from_value(reply).failed(
        "gateway",
        "the gateway's answer cannot be read",
        "is it another version?",
    )
}

fn line(entry: &ReceiptEntry) -> String {
    let place = entry.block.map_or_else(|| "not anchored yet".to_owned(), |block| format!("block {block}"));
    let kind = match entry.kind {
        ReceiptKind::Question => "",
        ReceiptKind::Canary => "  (a hidden question)",
        ReceiptKind::KnownRow => "  (for hidden questions)",
        ReceiptKind::Second => "  (the same, to a second worker)",
        ReceiptKind::Stream => "",
    };
    if let Some(figures) = &entry.stream {
        return stream_receipt::line(entry, figures, &place);
    }
    let shown = match &entry.shown {
        Some(Shown::Passed { by }) => format!("; on the ledger, by the word of {by}"),
        Some(Shown::Not { reason }) => format!("; not on the ledger: {reason}"),
        Some(Shown::Due | Shown::NotSelected) | None => String::new(),
    };
    let words = |audit| format!("  ({}{shown})", audit_words(audit));
    let audit = entry.audit.as_ref().map_or_else(String::new, words);
    format!(
        "{}  {}  {} + {}  paid {} to {}  {place}{kind}{audit}",
        entry.receipt,
        entry.model,
        entry.privacy,
        entry.evidence,
        entry.price,
        short(&entry.worker.to_string())
    )
}
