//! `tacit receipt` for receipts of streams: a line of the list, a saved file, and what is to be said of one.

use crate::client::GatewayClient;
use crate::commands::light;
use crate::commands::receipt::{guest, refused};
use crate::failure::{Context, Failure};
use crate::network;
use crate::output::{Output, short};
use crate::tensor_file::{read_limited, write_private};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tacit_gateway::fraud::FRAUD_BYTES_MAX;
use tacit_gateway::openai::{StreamAudit, Verdict};
use tacit_gateway::receipt::BUNDLE_BYTES_MAX;
use tacit_gateway::stream_receipt::{FalseAccount, Judgement, StreamFigures};
use tacit_gateway::view::ReceiptEntry;
use tacit_gateway::{BundleReject, StreamBundle, VerifiedStream, verify_stream};
use tacit_wire::Amount;
use tacit_wire::language::{TOKENIZER_BYTES_MAX, TokenBill, TokenCount};

/// What tells a receipt of a stream from others.
#[derive(serde::Deserialize)]
struct Kind {
    bill: Option<serde::de::IgnoredAny>,
}

/// Whether a file holds a receipt of a stream.
pub(crate) fn is_one(file: &Path) -> Result<bool, Failure> {
    let bytes = read_limited(file, FRAUD_BYTES_MAX as u64)?;
    Ok(matches!(serde_json::from_slice(&bytes), Ok(Kind { bill: Some(_) })))
}

/// Writes a receipt to a file and its model's tokenizer beside it, and says what is in them.
pub(crate) async fn save(
    gateway: &GatewayClient,
    entry: &ReceiptEntry,
    file: &Path,
) -> Result<String, Failure> {
    let bundle = gateway.get(&format!("/tacit/v1/receipts/{}/bundle", entry.receipt)).await?;
    let path = format!("/tacit/v1/tokenizers/{}", entry.model_id);
    let tokenizer = gateway.file(&path, TOKENIZER_BYTES_MAX).await?;
    write_private(file, bundle.to_string().as_bytes())?;
    let beside = tokenizer_beside(file);
    write_private(&beside, &tokenizer)?;
    Ok(format!(
        "\nsaved to {}, with request and answer in the clear; the model's tokenizer, which counts them, to {}",
        file.display(),
        beside.display()
    ))
}

/// Where the tokenizer is that a saved receipt is counted with.
fn tokenizer_beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".tokenizer");
    name.into()
}

/// A line of the list.
pub(crate) fn line(entry: &ReceiptEntry, figures: &StreamFigures, place: &str) -> String {
    let StreamFigures { claimed: TokenCount { prompt, completion }, fault, audit, .. } = figures;
    let audit = audit.as_ref().map_or_else(String::new, |audit| format!("  ({})", audit_words(audit)));
    let fault = fault.as_ref().map_or_else(String::new, |fault| format!("  FALSE: {fault}"));
    format!(
        "{}  {}  {prompt} + {completion} tokens  {} to {}  {place}{audit}{fault}",
        entry.receipt,
        entry.model,
        if fault.is_empty() { format!("paid {}", entry.price) } else { format!("not paid {}", entry.price) },
        short(&entry.worker.to_string())
    )
}

/// What an audit found, in words.
fn audit_words(audit: &StreamAudit) -> String {
    match audit {
        StreamAudit::Compared { with, whole, places, distance, gap, verdict } => {
            let gap = gap.map_or_else(String::new, |gap| format!(", gap {gap:.3}"));
            let verdict = match verdict {
                Verdict::Undecided => "the two were not compared often enough yet to judge",
                Verdict::Alike => "over their newest answers the two are alike",
                Verdict::Unlike => {
                    "over their newest answers the two are unlike, and nothing shows which is false"
                }
            };
            let with = short(&with.to_string());
            let how = if *whole { "compared with the answer of" } else { "computed again by" };
            format!("{places} places {how} {with}: distance {distance:.3}{gap}; {verdict}")
        }
        StreamAudit::Unlike { reason } => format!("not what an honest engine says: {reason}"),
        StreamAudit::Unsupported { reason } => format!("cannot be audited: {reason}"),
        StreamAudit::Failed { reason } => format!("an audit came to nothing: {reason}"),
    }
}

/// Checks a saved receipt of a stream, and says so, or that it is a false account.
pub(crate) async fn verify(
    file: &Path,
    tokenizer: Option<&Path>,
    ledger: Option<&str>,
    output: Output,
) -> Result<(), Failure> {
    let (bundle, verified) = checked(file, tokenizer).await?;
    let mut result = result(&verified);
    let mut text = sentence(&verified);
    if let Some(url) = ledger {
        let ledger = network::ledger(url).await?;
        let place = verified.check_anchor(&bundle, &ledger).await;
        // Whoever signed a false account has no reason to anchor it.
        let place = match place {
            Err(BundleReject::NotAnchored) if is_false(&verified) => None,
            place => Some(place.map_err(|reject| refused(&reject))?),
        };
        result["block"] = json!(place.map(|place| place.block));
        text += &place.map_or_else(String::new, |place| format!("; anchored in block {}", place.block));
    }
    tell(&verified, result, text, output)
}

/// Checks a saved receipt of a stream and the proof that a transaction anchored it, both offline.
pub(crate) async fn verify_light(
    proof: &Path,
    network: &Path,
    file: &Path,
    tokenizer: Option<&Path>,
    output: Output,
) -> Result<(), Failure> {
    let transaction = light::verified(proof, network)?;
    let (_, verified) = checked(file, tokenizer).await?;
    light::in_batch(&transaction, verified.receipt(), verified.anchor())?;
    if is_false(&verified) {
        return tell(&verified, result(&verified), sentence(&verified), output);
    }
    light::tell(&transaction, Some(verified.hash()), output);
    Ok(())
}

async fn checked(file: &Path, tokenizer: Option<&Path>) -> Result<(StreamBundle, VerifiedStream), Failure> {
    let bytes = read_limited(file, BUNDLE_BYTES_MAX as u64)?;
    let bundle = StreamBundle::from_json(&bytes).map_err(|reject| refused(&reject))?;
    let beside = tokenizer_beside(file);
    let tokenizer = tokenizer.or_else(|| beside.exists().then_some(beside.as_path()));
    let tokenizer =
        tokenizer.map(|tokenizer| read_limited(tokenizer, TOKENIZER_BYTES_MAX as u64)).transpose()?;
    // Whoever published the model chose the tokenizer: building it may panic.
    let checking = tokio::task::spawn_blocking(move || {
        let verified = verify_stream(&bundle, tokenizer.as_deref());
        verified.map(|verified| (bundle, verified))
    });
    let hint = "its publisher chose it; the rest of the receipt can be checked without it";
    let checked = checking.await.failed("bad_tokenizer", "the tokenizer makes its reader fail", hint)?;
    checked.map_err(|reject| refused(&reject))
}

fn is_false(verified: &VerifiedStream) -> bool {
    matches!(verified.judgement(), Judgement::False(_))
}

fn tell(verified: &VerifiedStream, result: Value, text: String, output: Output) -> Result<(), Failure> {
    if is_false(verified) {
        let hint = "the worker signed it: whoever has this file and the tokenizer can show so, offline";
        return Err(Failure::new("false_account", text, hint).with(result));
    }
    output.data(&result, || text);
    Ok(())
}

fn result(verified: &VerifiedStream) -> Value {
    let receipt = verified.receipt();
    let TokenBill { tokens, prices } = verified.bill();
    json!({
        "verified": !is_false(verified), "receipt": verified.hash(), "model": verified.model(), "model_id": receipt.modelId,
        "worker": receipt.worker, "client": receipt.client, "job_id": receipt.jobId, "price": Amount(receipt.price),
        "tokens": tokens, "prices": prices, "account": verified.judgement(), "completed_at": receipt.completedAt,
        "attested": verified.attested(), "anchored_in": verified.anchor().map(|anchor| anchor.root),
    })
}

fn sentence(verified: &VerifiedStream) -> String {
    let receipt = verified.receipt();
    let (hash, worker, price) = (verified.hash(), receipt.worker, Amount(receipt.price));
    let tokens = |count: TokenCount| format!("{} + {} tokens", count.prompt, count.completion);
    let claimed = verified.bill().tokens;
    match verified.judgement() {
        Judgement::False(FalseAccount { counted: Some(counted), due, .. }) => format!(
            "receipt {hash} is a false account: worker {worker} signed {} for {price}, and its own bytes have {}, at its own prices at most {due}",
            tokens(claimed),
            tokens(counted)
        ),
        Judgement::False(FalseAccount { due, .. }) => format!(
            "receipt {hash} is a false account: worker {worker} signed {} for {price}, and at the prices it signed they cost {due}",
            tokens(claimed)
        ),
        judgement => format!(
            "receipt {hash} holds: {} by {}, for {price}, signed by worker {worker}{}; {}",
            tokens(claimed),
            verified.model(),
            guest(verified.attested()),
            match judgement {
                Judgement::True { .. } => "counted again, and it is so",
                _ => "nobody counted again (--tokenizer)",
            }
        ),
    }
}
