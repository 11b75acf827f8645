//! `tacit receipt audit`: does an encrypted job again, for whoever has the model and the seed.

use crate::args;
use crate::commands::model;
use crate::commands::receipt::keys_beside;
use crate::failure::{Context, Failure};
use crate::output::{Output, bytes};
use crate::question;
use crate::tensor_file::read_limited;
use alloy_primitives::{Address, B256, hex};
use serde_json::json;
use tacit_wire::audit_file::RECEIPT_FILE_BYTES_MAX;
use tacit_wire::{AnswerSeed, AuditFile, AuditKey, AuditedJob};
use tacit_worker::audit::{Comparison, Difference, ReexecutionReject, SeedSource, reexecute};
use tacit_worker::{KEY_BYTES_DEFAULT, KeyShelf};

pub(crate) fn audit(arguments: &args::Audit, output: Output) -> Result<(), Failure> {
    let file = read_limited(&arguments.file, RECEIPT_FILE_BYTES_MAX as u64)?;
    let job = AuditFile::from_json(&file).and_then(AuditFile::check).failed(
        "receipt_rejected",
        arguments.file.display(),
        "save it with: tacit receipt show ID --for-audit -o FILE",
    )?;
    let file = question::read_model(&arguments.model)?;
    // No proof is made, so no opening of the commitment is counted, and a worker that serves the model goes on.
    let committed = model::commit(&file, 0, output)?;
    let seed = seed(arguments, &job)?;
    let source = match &seed {
        Found::Key(key) => SeedSource::Key(key),
        Found::Given(seed) => SeedSource::Given(seed),
    };
    let compared = match reexecute(&committed, &job, source, None) {
        Err(ReexecutionReject::NoKeys { key_id }) => {
            let keys = keys(arguments, job.receipt().receipt.client, key_id)?;
            reexecute(&committed, &job, source, Some(&keys))
        }
        compared => compared,
    };
    let receipt = &job.receipt().receipt;
    match compared.map_err(|reject| refused(&reject))? {
        Comparison::Equal => {}
        Comparison::Different(difference) => return Err(differs(&difference, &job)),
    }
    let mut result = json!({
        "equal": true, "receipt": job.hash(), "job_id": receipt.jobId, "model_id": receipt.modelId,
        "worker": receipt.worker, "answer_bytes": job.ciphertext().len(),
    });
    let mut text = format!(
        "worker {} answered as {} does: done again, all {} of the encrypted answer are the same",
        receipt.worker,
        file.name,
        bytes(job.ciphertext().len()),
    );
    if let (Found::Key(key), true) = (&seed, arguments.give_seed) {
        let seed = hex::encode_prefixed(job.seed(key).to_bytes().as_slice());
        text += &format!("\nseed {seed}, for other auditors; the client must not have it");
        result["seed"] = json!(seed);
    }
    output.data(&result, || text);
    Ok(())
}

/// Where the seed comes from.
enum Found {
    Key(AuditKey),
    Given(AnswerSeed),
}

fn seed(arguments: &args::Audit, job: &AuditedJob) -> Result<Found, Failure> {
    if let Some(seed) = &arguments.seed {
        let hint = "a seed is 64 hex digits: tacit receipt audit FILE --data DIR --give-seed";
        let seed: B256 = seed.parse().failed("bad_seed", "this is no seed", hint)?;
        return Ok(Found::Given(AnswerSeed::from_bytes(seed.0)));
    }
    let data = arguments.data.clone().unwrap_or_default();
    let hint = format!("give the data folder of worker {}", job.receipt().receipt.worker);
    AuditKey::load(&data.join("audit.key")).map(Found::Key).failed("key_file", data.display(), &hint)
}

/// The evaluation keys of the client: those that are given, those beside the file, or those that the worker has kept.
fn keys(arguments: &args::Audit, client: Address, key_id: B256) -> Result<Vec<u8>, Failure> {
    let beside = keys_beside(&arguments.file);
    let given = arguments.keys.clone().or_else(|| beside.exists().then_some(beside));
    if let Some(file) = given {
        return read_limited(&file, tacit_encrypt::MAX_KEY_BYTES as u64);
    }
    let hint = "give the client's public keys with --keys: tacit receipt show ID --for-audit writes them";
    let Some(data) = &arguments.data else {
        return Err(Failure::new("no_keys", format!("evaluation keys {key_id} are needed"), hint));
    };
    let shelf =
        KeyShelf::open(&data.join("keys"), KEY_BYTES_DEFAULT).failed("no_keys", data.display(), hint)?;
    shelf.bytes(client, key_id).failed("no_keys", data.display(), hint)
}

fn refused(reject: &ReexecutionReject) -> Failure {
    let (code, hint) = match reject {
        ReexecutionReject::Model { .. } => {
            ("wrong_model", "give the file of the model that the receipt names")
        }
        ReexecutionReject::Key => ("wrong_key", "give the data folder of the worker that signed the receipt"),
        ReexecutionReject::Seed => ("wrong_seed", "ask whoever has the worker's key for this job's seed"),
        ReexecutionReject::NotReproducible => (
            "not_reproducible",
            "a worker that is started with --reproducible gives answers that can be done again",
        ),
        ReexecutionReject::NoKeys { .. }
        | ReexecutionReject::OtherKeys { .. }
        | ReexecutionReject::Keys(_) => {
            ("wrong_keys", "tacit receipt show ID --for-audit writes the keys beside the receipt")
        }
        ReexecutionReject::Query(_) => ("bad_query", "an honest worker answers no such query"),
        _ => ("does_not_fit", ""),
    };
    Failure::new(code, reject, hint)
}

fn differs(difference: &Difference, job: &AuditedJob) -> Failure {
    let Difference { expected_bytes, got_bytes, differing, first } = difference;
    let length = if expected_bytes == got_bytes {
        format!("of {expected_bytes}")
    } else {
        format!("(it has {got_bytes}, the model's {expected_bytes})")
    };
    Failure::new(
        "answer_differs",
        format!(
            "worker {} signed for another answer than the model gives: {differing} bytes {length} differ, from byte {first} on",
            job.receipt().receipt.worker
        ),
        "keep the receipt: it is the worker's signature under a false answer",
    )
}
