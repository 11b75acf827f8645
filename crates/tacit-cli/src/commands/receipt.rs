//! `tacit receipt`: list, show, verify.

use crate::args::Receipt as Command;
use crate::client::GatewayClient;
use crate::failure::{Context, Failure};
use crate::network;
use crate::output::{Output, short};
use crate::question::Told;
use crate::tensor_file::{read_limited, write_private};
use alloy_primitives::B256;
use serde_json::{Value, json};
use std::path::Path;
use tacit_gateway::receipt::{self, BUNDLE_BYTES_MAX};
use tacit_gateway::view::{ReceiptEntry, score_entries};
use tacit_gateway::{Bundle, VerifiedReceipt, verify_bundle};

pub(crate) async fn receipt(command: &Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::List { gateway } => {
            let reply = GatewayClient::new(&gateway.url)?.get("/v1/receipts").await?;
            let entries: Vec<ReceiptEntry> = read(reply.clone())?;
            output.data(&json!({"receipts": reply}), || {
                if entries.is_empty() {
                    return "no receipts yet".to_owned();
                }
                entries.iter().map(line).collect::<Vec<_>>().join("\n")
            });
            Ok(())
        }
        Command::Show { id, output: file, gateway } => {
            let id: B256 = id.parse().failed(
                "bad_receipt_id",
                format!("{id:?}"),
                "an id is 0x and 64 hex digits: tacit receipt list",
            )?;
            let gateway = GatewayClient::new(&gateway.url)?;
            let reply = gateway.get(&format!("/v1/receipts/{id}")).await?;
            let entry: ReceiptEntry = read(reply.clone())?;
            if let Some(file) = file {
                let bundle = gateway.get(&format!("/v1/receipts/{id}/bundle")).await?;
                write_private(file, bundle.to_string().as_bytes())?;
            }
            output.data(&reply, || {
                let saved = file.as_ref().map(|file| {
                    format!(
                        "\nsaved with its evidence to {}; it holds the question and the answer in the clear",
                        file.display()
                    )
                });
                line(&entry) + &saved.unwrap_or_default()
            });
            Ok(())
        }
        Command::Verify { file, ledger } => verify(file, ledger.as_deref(), output).await,
    }
}

async fn verify(file: &Path, ledger: Option<&str>, output: Output) -> Result<(), Failure> {
    let bytes = read_limited(file, BUNDLE_BYTES_MAX as u64)?;
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
        None => ", on the worker's word".to_owned(),
    };
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

/// A checked receipt for programs.
pub(crate) fn result(verified: &VerifiedReceipt) -> Value {
    let answer = match verified.answer() {
        tacit_graph::Answer::Label { label, .. } => json!(label),
        tacit_graph::Answer::Values(scores) => {
            json!(scores.iter().map(|score| score.to_f64()).collect::<Vec<_>>())
        }
    };
    let receipt = verified.receipt();
    let (scores, margin) = score_entries(verified.scores().cloned());
    json!({
        "verified": true, "receipt": verified.hash(), "answer": answer, "scores": scores,
        "margin": margin, "model_id": receipt.modelId,
        "worker": receipt.worker, "client": receipt.client, "job_id": receipt.jobId,
        "price": tacit_wire::Amount(receipt.price), "security_bits": verified.security_bits(),
        "completed_at": receipt.completedAt,
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
    format!(
        "{}  {}  {} + {}  paid {} to {}  {place}",
        entry.receipt,
        entry.model,
        entry.privacy,
        entry.evidence,
        entry.price,
        short(&entry.worker.to_string())
    )
}
