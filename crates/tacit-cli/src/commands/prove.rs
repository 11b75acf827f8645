//! `tacit prove` and `tacit verify`: answers with their proof in one file that anyone can check offline.

use crate::args;
use crate::commands::model::{Opened, open};
use crate::failure::{Context, Failure};
use crate::input_file::InputFile;
use crate::measure;
use crate::memory;
use crate::output::{Output, bytes};
use crate::question::{self, Told};
use crate::tensor_file::{read_limited, write_private};
use rand::TryRngCore;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::Path;
use tacit_graph::ModelId;
use tacit_prove::{ProveError, Seed};
use tacit_verify::{Statement, VerifyingModel};
use tacit_wire::message::base64_bytes;
use tacit_worker::Openings;

/// Everything a verifier needs: the public half of the model, the statement, the proof.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProofFile {
    format: String,
    model_id: String,
    #[serde(with = "base64_bytes")]
    graph: Vec<u8>,
    #[serde(with = "base64_bytes")]
    weight_root: Vec<u8>,
    /// Raw values in units of 2^-24.
    inputs: Vec<Vec<i64>>,
    /// Logits.
    outputs: Vec<Vec<i32>>,
    #[serde(with = "base64_bytes")]
    proof: Vec<u8>,
}

pub(crate) fn prove(arguments: &args::Prove, output: Output) -> Result<(), Failure> {
    let file = question::read_model(&arguments.model)?;
    let graph = file.model.graph();
    let inputs = InputFile::read(&arguments.input)?.values(graph, arguments.row)?;
    if arguments.zk && file.hiding.is_none() {
        return Err(Failure::new(
            "not_hiding",
            format!("the weights of {} are not hidden", file.name),
            "commit to them with `tacit model rerandomise`",
        ));
    }
    let memory_mib = memory::ensure(&file, inputs.len())?;
    if memory_mib > MEMORY_MIB_QUIET {
        output.note(format!("proving, with up to {memory_mib} MiB of memory …"));
    }
    let Opened { committed, openings } = open(&file, &arguments.model, output)?;
    let (cost, proved) = match &openings {
        Some(_) => {
            let mut seed = [0; 32];
            OsRng.try_fill_bytes(&mut seed).failed(
                "no_randomness",
                "this machine gives no random numbers",
                "",
            )?;
            let seed = Seed::new(seed);
            measure::cost_once(|| tacit_prove::prove_zk(&committed, &inputs, &seed))
        }
        None => measure::cost_once(|| tacit_prove::prove(&committed, &inputs)),
    };
    let proved = proved.map_err(|error| {
        let hint = match &error {
            ProveError::OpeningsSpent { .. } => "commit to the model anew with `tacit model rerandomise`",
            _ => "give fewer rows at once",
        };
        Failure::new("cannot_prove", format!("the answer cannot be proved: {error}"), hint)
    })?;
    if let Some(openings) = &openings {
        openings.record(committed.openings_used().unwrap_or(u32::MAX)).failed(
            "openings",
            "the proof cannot be counted, so it is not given out",
            "check the folder of the model",
        )?;
    }
    let answers = answers(&file.model.graph().clone(), &proved.outputs)?;
    let proof_bytes = proved.proof.len();
    let saved = ProofFile {
        format: FORMAT.to_owned(),
        model_id: file.id().to_string(),
        graph: tacit_graph::encode_graph(graph),
        weight_root: committed.weight_root().to_vec(),
        inputs,
        outputs: proved.outputs,
        proof: proved.proof,
    };
    let text =
        serde_json::to_string(&saved).failed("cannot_write", "the proof cannot be written as JSON", "")?;
    write_private(&arguments.output, text.as_bytes())?;
    let result = json!({
        "model_id": saved.model_id, "answers": answers, "proof_bytes": proof_bytes, "zk": openings.is_some(), "memory_mib_max": memory_mib, "openings_left": committed.openings_left(), "prove_cpu_ms": measure::round(cost.user_cpu_ms),
        "prove_ms": measure::round(cost.wall_ms), "output": arguments.output,
    });
    output.data(&result, || {
        format!(
            "{}\nproved in {:.0} ms, {}, written to {}",
            lines(&answers),
            cost.wall_ms,
            bytes(proof_bytes),
            arguments.output.display()
        )
    });
    Ok(())
}

pub(crate) fn verify(arguments: &args::Verify, output: Output) -> Result<(), Failure> {
    let expected = match &arguments.model {
        Some(id) => Some(id.parse::<ModelId>().failed(
            "bad_model_id",
            format!("{id:?}"),
            "an id is 0x and 64 hex digits",
        )?),
        None => None,
    };
    let file = read(&arguments.proof)?;
    let damaged = |what: &str, reason: &dyn std::fmt::Display| {
        Failure::new(
            "bad_proof_file",
            format!("{what} in {}: {reason}", arguments.proof.display()),
            "ask for it again",
        )
    };
    let graph = tacit_graph::decode_graph(&file.graph).map_err(|error| damaged("the graph", &error))?;
    let weight_root = <[u8; 32]>::try_from(file.weight_root.as_slice())
        .map_err(|error| damaged("the weight root", &error))?;
    let model = VerifyingModel::new(graph, weight_root).map_err(|error| damaged("the graph", &error))?;
    if let Some(expected) = expected.filter(|expected| *expected != model.id()) {
        return Err(Failure::new(
            "wrong_model",
            format!("the proof is about model {}, not {expected}", model.id()),
            "somebody ran another model than you asked for",
        ));
    }
    if file.model_id != model.id().to_string() {
        return Err(damaged("the model id", &"it is not that of the graph and weight root beside it"));
    }
    let statement = Statement { inputs: file.inputs, outputs: file.outputs };
    let (cost, verified) = measure::cost_once(|| tacit_verify::verify(&model, &statement, &file.proof));
    let verified = verified.failed("proof_rejected", "the proof does not hold", "do not use this answer")?;
    let answers = answers(model.graph(), &statement.outputs)?;
    let result = json!({
        "verified": true, "model_id": verified.model().to_string(), "answers": answers,
        "security_bits": verified.security_bits(), "zk": verified.zero_knowledge(), "proof_bytes": file.proof.len(),
        "verify_cpu_ms": measure::round(cost.user_cpu_ms), "verify_ms": measure::round(cost.wall_ms),
    });
    output.data(&result, || {
        format!(
            "{}\nverified in {:.0} ms at {} bits: model {} gives this for the input in the file",
            lines(&answers),
            cost.wall_ms,
            verified.security_bits(),
            verified.model()
        )
    });
    Ok(())
}

fn read(path: &Path) -> Result<ProofFile, Failure> {
    let bytes = read_limited(path, PROOF_FILE_BYTES_MAX)?;
    let file: ProofFile = serde_json::from_slice(&bytes).failed(
        "bad_proof_file",
        format!("{} is not a proof file", path.display()),
        "make one with `tacit prove`",
    )?;
    if file.format == FORMAT {
        return Ok(file);
    }
    Err(Failure::new(
        "bad_proof_file",
        format!("format {:?} is unknown", file.format),
        "is this version of tacit too old?",
    ))
}

fn answers(graph: &tacit_graph::Graph, outputs: &[Vec<i32>]) -> Result<Vec<Told>, Failure> {
    outputs.iter().map(|logits| question::answer(graph, logits)).collect()
}

fn lines(answers: &[Told]) -> String {
    answers.iter().map(Told::line).collect::<Vec<_>>().join("\n")
}

/// Memory that nobody needs to be told of.
const MEMORY_MIB_QUIET: u64 = 256;
const FORMAT: &str = "tacit-proof-1";
const PROOF_FILE_BYTES_MAX: u64 = 256 << 20;
