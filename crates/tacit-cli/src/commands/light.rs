//! `tacit receipt prove` and `tacit receipt verify --light`: what a transaction did, for those who have no node.

use crate::failure::{Context, Failure};
use crate::network;
use crate::output::Output;
use crate::tensor_file::read_limited;
use alloy_primitives::{B256, Bytes, hex};
use alloy_sol_types::SolEvent as _;
use serde_json::{Value, json};
use std::path::Path;
use tacit_abi::{IReceipts, Receipt, receipts};
use tacit_gateway::{Bundle, verify_bundle};
use tacit_light::{LightProof, PROOF_BYTES_MAX, VerifiedReceipt};
use tacit_validator::NetworkFile;
use tacit_wire::message::AnchorProof;

/// Saves what proves a transaction's receipt.
pub(crate) async fn prove(transaction: &str, rpc: &str, file: &Path, output: Output) -> Result<(), Failure> {
    let hash: B256 = transaction.parse().failed(
        "bad_usage",
        format!("{transaction:?} is no transaction"),
        "a hash is 0x and 64 hex digits",
    )?;
    let ledger = network::ledger(rpc).await?;
    let found: Option<Bytes> = ledger.receipt_proof(hash).await.map_err(network::failure)?;
    let proof = found.ok_or_else(|| {
        Failure::new(
            "no_proof",
            format!("{rpc} has no proof of {hash}"),
            "the transaction is in no block yet, or that node has no certificate of its block: ask another one, or again in a moment",
        )
    })?;
    std::fs::write(file, &proof).failed(
        "cannot_write",
        file.display(),
        "check the folder and its permissions",
    )?;
    output.data(&json!({"transaction": hash, "output": file, "bytes": proof.len()}), || {
        format!(
            "{} bytes in {}; whoever has the network's file checks them: tacit receipt verify --light {} --network network.toml",
            proof.len(),
            file.display(),
            file.display()
        )
    });
    Ok(())
}

/// Checks a proof, offline, and says what it proves; with a saved receipt, that the transaction anchored it.
pub(crate) fn verify(
    proof: &Path,
    network: &Path,
    saved: Option<&Path>,
    output: Output,
) -> Result<(), Failure> {
    let verified = verified(proof, network)?;
    let job = saved.map(|saved| anchored(&verified, saved)).transpose()?;
    tell(&verified, job, output);
    Ok(())
}

/// Says what a proof proves, and of which job receipt it proves that it is anchored.
pub(crate) fn tell(verified: &VerifiedReceipt, job: Option<B256>, output: Output) {
    let logs = verified
        .logs()
        .iter()
        .map(|log| json!({"address": log.address, "topics": log.topics(), "data": log.data.data}));
    let batches: Vec<IReceipts::Anchored> = batches(verified).collect();
    let mut result = json!({
        "verified": true, "chain_id": verified.chain_id(), "block": verified.block_number(),
        "block_hash": verified.block_hash(), "timestamp_s": verified.timestamp(),
        "transaction": verified.transaction(), "index": verified.index(), "succeeded": verified.succeeded(),
        "logs": logs.collect::<Vec<Value>>(),
        "anchored": batches.iter().map(|batch| {
            json!({"root": batch.root, "worker": batch.worker, "count": batch.count})
        }).collect::<Vec<_>>(),
    });
    let mut text = sentence(verified);
    for batch in &batches {
        text += &format!(
            "\nit anchored batch {} of {} job receipts of worker {}",
            batch.root, batch.count, batch.worker
        );
    }
    if let Some(job) = job {
        text += &format!("\nthe job receipt {job} is in that batch, so it existed when the block was made");
        result["receipt"] = json!(job);
    }
    output.data(&result, || text);
}

fn sentence(verified: &VerifiedReceipt) -> String {
    let transaction = match verified.transaction() {
        Some(hash) => format!("transaction {hash}"),
        None => format!("transaction {}, which the proof does not name,", verified.index()),
    };
    let done = if verified.succeeded() { "succeeded" } else { "failed" };
    format!(
        "{transaction} {done} in block {} {} of chain {}, made at {} s since 1970, with {} logs",
        verified.block_number(),
        verified.block_hash(),
        verified.chain_id(),
        verified.timestamp(),
        verified.logs().len(),
    )
}

pub(crate) fn verified(proof: &Path, network: &Path) -> Result<VerifiedReceipt, Failure> {
    let hint = "`tacit node init-network` wrote this file and the genesis beside it; take both from whoever made the network";
    let network = NetworkFile::load(network).failed("bad_config", "cannot read the network's file", hint)?;
    let trust = network.trust();
    // Hex digits, a prefix and a line's end at most.
    let bytes = read_limited(proof, 2 * PROOF_BYTES_MAX as u64 + 4)?;
    let bytes = match std::str::from_utf8(&bytes).ok().map(|text| hex::decode(text.trim())) {
        Some(Ok(decoded)) => decoded,
        _ => bytes,
    };
    let hint =
        "the file has the bytes of tacit_getReceiptProof, or their hex digits: tacit receipt prove writes it";
    let decoded = LightProof::decode(&bytes).failed("bad_proof", proof.display(), hint)?;
    tacit_light::verify(&trust, &decoded).failed(
        "proof_rejected",
        "the proof proves nothing",
        "it is of another network than the file says, it was changed, or whoever served it lied",
    )
}

/// Batches of job receipts that the transaction anchored.
fn batches(verified: &VerifiedReceipt) -> impl Iterator<Item = IReceipts::Anchored> {
    let module = verified.logs().iter().filter(|log| log.address == receipts::ADDRESS);
    module.filter_map(|log| IReceipts::Anchored::decode_log_data(&log.data).ok())
}

/// Checks that the transaction anchored a saved receipt; gives its hash.
fn anchored(verified: &VerifiedReceipt, saved: &Path) -> Result<B256, Failure> {
    let bytes = read_limited(saved, tacit_gateway::fraud::FRAUD_BYTES_MAX as u64)?;
    let refused = |reject| crate::commands::receipt::refused(&reject);
    let job = Bundle::from_json(&bytes).and_then(|bundle| verify_bundle(&bundle)).map_err(refused)?;
    in_batch(verified, job.receipt(), job.anchor()).map(|()| job.hash())
}

/// Checks that the transaction anchored the batch of a receipt.
pub(crate) fn in_batch(
    verified: &VerifiedReceipt,
    receipt: &Receipt,
    anchor: Option<&AnchorProof>,
) -> Result<(), Failure> {
    let anchor = anchor.ok_or_else(|| {
        Failure::new(
            "receipt_rejected",
            "the saved receipt does not say in which batch it is",
            "save it again once its worker has anchored it: tacit receipt show ID -o FILE",
        )
    })?;
    let found = tacit_light::anchored(verified, receipt, &anchor.siblings);
    found.map(|_| ()).failed(
        "proof_rejected",
        "the transaction did not anchor this receipt",
        "is the proof that of the transaction which anchored the receipt's batch?",
    )
}
