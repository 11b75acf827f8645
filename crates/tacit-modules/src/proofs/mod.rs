//! `proofs`: what a committed model answers, checked inside a transaction.
//!
//! A contract hands over inputs, outputs and a proof, and goes on only if the model with this id gives these outputs on these
//! inputs. Nobody is asked and nobody is trusted: whoever has the proof may bring it.
//!
//! # State
//! | slot | field |
//! |---|---|
//! | 0 | `mapping(bytes32 => Record) models`, `Record { bytes32 weightRoot; bytes32[] parts; }` |
//!
//! The bytes of graphs are no slots but code, a sixteenth of the price to read: part `h` is the code, with a zero byte (`STOP`) in
//! front, of the account at the `CREATE2` address of (this module, salt 0, init-code hash `h`), and `h` is the code's
//! Keccak-256. Modules never `CREATE2`, so no account but a part can be there.
//!
//! # Messages
//! `store`, `register`, and the views `isRegistered`, `describe`, `graph`, `verificationGas`, `verify`, `answer`. Inputs and outputs are flat arrays,
//! row by row: nested ones would let a few words of calldata stand for a large statement.
//!
//! # Invariants
//! - A part has the hash it is stored under and never changes or disappears.
//! - The parts of a registered model are the canonical encoding of a valid graph, and its id is the BLAKE3 hash of them and the
//!   weight root. It is registered once; so it does not matter who did.
//! - `verify` and `answer` return only for statements whose proof [`tacit_verify::verify`] accepts at
//!   [`SecurityBits::DEFAULT`], under the id asked for. They read state, and nothing else than state and arguments decides
//!   what they return: there is no cache.
//! - A refused proof reverts with `Rejected` and the name of the check; no input panics.
//!
//! # Gas
//! EVM prices for slots and code, and for the work on graphs and proofs the prices in [`mod@gas`]: a linear function of public sizes,
//! charged before the work, from measured worst cases. `verificationGas` says it beforehand for a plain proof.

pub mod gas;
mod record;

use crate::{
    dispatch::{Access, Failure, check_name, decode, revert},
    host::{CODE_BYTES_MAX, Host, as_module},
};
use alloy_primitives::{B256, Bytes};
use alloy_sol_types::{SolCall, SolEvent};
use record::Record;
use tacit_abi::{
    IProofs::{self, IProofsCalls},
    proofs::ADDRESS,
};
use tacit_graph::{Answer, Decoder, Graph, decode_graph, feature_count};
use tacit_verify::{
    BudgetError, Reject, SecurityBits, Statement, VerificationCost, VerifyingModel, security_report,
    statement::KIND_ZERO_KNOWLEDGE, verification_cost, verify,
};

/// Longest part: an account's longest code, less the byte in front.
pub const MAX_PART_BYTES: usize = CODE_BYTES_MAX - 1;
/// Most parts of a graph, 1.5 MB.
pub const MAX_PARTS: usize = 64;

/// Runs one call.
///
/// # Errors
/// [`Failure::Revert`] with an ABI-encoded error of [`IProofs`] or [`tacit_abi::IModule`], or [`Failure::Halt`].
pub fn run(host: &mut dyn Host, input: &[u8]) -> Result<Bytes, Failure> {
    let call = decode::<IProofsCalls>(host, input, |call| match call {
        IProofsCalls::store(_) | IProofsCalls::register(_) => Access::Write,
        IProofsCalls::isRegistered(_)
        | IProofsCalls::describe(_)
        | IProofsCalls::graph(_)
        | IProofsCalls::verificationGas(_)
        | IProofsCalls::verify(_)
        | IProofsCalls::answer(_) => Access::View,
    })?;
    Ok(match call {
        IProofsCalls::store(call) => IProofs::storeCall::abi_encode_returns(&store(host, &call.part)?),
        IProofsCalls::register(call) => {
            IProofs::registerCall::abi_encode_returns(&register(host, call.parts, call.weightRoot)?)
        }
        IProofsCalls::isRegistered(call) => {
            IProofs::isRegisteredCall::abi_encode_returns(&Record::exists(host, call.modelId)?)
        }
        IProofsCalls::describe(call) => {
            IProofs::describeCall::abi_encode_returns(&describe(host, call.modelId)?)
        }
        IProofsCalls::graph(call) => {
            let (_, graph) = read(host, call.modelId)?;
            IProofs::graphCall::abi_encode_returns(&graph.into())
        }
        IProofsCalls::verificationGas(call) => {
            let (record, graph_bytes) = read(host, call.modelId)?;
            let model = decode_graph_charged(host, &graph_bytes, record.weight_root)?;
            let (rows, proof_bytes) = (size(call.rows), size(call.proofBytes));
            let cost = cost(host, model.graph(), rows, proof_bytes)?;
            let gas = gas::reading(graph_bytes.len())
                .saturating_add(gas::decoding(count(model.graph().features.len())))
                .saturating_add(gas::planning(model.graph()))
                .saturating_add(gas::checking(&cost));
            IProofs::verificationGasCall::abi_encode_returns(&gas)
        }
        IProofsCalls::verify(call) => {
            let checked = check(host, call.modelId, &call.inputs, &call.outputs, &call.proof)?;
            IProofs::verifyCall::abi_encode_returns(&checked.digest)
        }
        IProofsCalls::answer(call) => {
            let checked = check(host, call.modelId, &call.inputs, &call.outputs, &call.proof)?;
            IProofs::answerCall::abi_encode_returns(&checked.labels()?)
        }
    }
    .into())
}

fn store(host: &mut dyn Host, part: &[u8]) -> Result<B256, Failure> {
    if part.is_empty() || part.len() > MAX_PART_BYTES {
        let limit = u32::try_from(MAX_PART_BYTES).unwrap_or(u32::MAX);
        return Err(revert(IProofs::PartLength { length: count(part.len()), limit }));
    }
    let (id, is_new) = record::store_part(host, part)?;
    if is_new {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        host.emit(IProofs::Stored { part: id, length }.encode_log_data())?;
    }
    Ok(id)
}

fn register(host: &mut dyn Host, parts: Vec<B256>, weight_root: B256) -> Result<B256, Failure> {
    if parts.is_empty() || parts.len() > MAX_PARTS {
        let limit = u32::try_from(MAX_PARTS).unwrap_or(u32::MAX);
        return Err(revert(IProofs::PartCount { count: count(parts.len()), limit }));
    }
    let record = Record { weight_root, parts };
    let bytes = record.graph_bytes(host)?;
    let model = decode_graph_charged(host, &bytes, weight_root)?;
    let id = model_id(&model);
    if Record::exists(host, id)? {
        return Err(revert(IProofs::AlreadyRegistered { modelId: id }));
    }
    // A model of which not one row can be proved is refused here, before a contract relies on it.
    let least = cost(host, model.graph(), 1, 0)?;
    host.charge(gas::checking(&least))?;
    security_report(model.graph(), 1, SecurityBits::DEFAULT).map_err(|error| match error {
        BudgetError::Plan(error) => rejected(&error.into()),
        BudgetError::Setup(error) => rejected(&error.into()),
        _ => revert(IProofs::NotAGraph {}),
    })?;
    record.create(host, id)?;
    let graph_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let registered = IProofs::Registered { modelId: id, weightRoot: weight_root, graphBytes: graph_bytes };
    host.emit(registered.encode_log_data())?;
    Ok(id)
}

fn describe(host: &mut dyn Host, id: B256) -> Result<IProofs::Description, Failure> {
    let (record, bytes) = read(host, id)?;
    let model = decode_graph_charged(host, &bytes, record.weight_root)?;
    let graph = model.graph();
    let (decoder, fraction_bits, labels) = match &graph.decoder {
        Decoder::ArgMax { labels, fraction_bits } => (0, fraction_bits, labels.clone()),
        Decoder::Threshold { labels, fraction_bits } => (1, fraction_bits, labels.to_vec()),
        Decoder::Values { fraction_bits } => (2, fraction_bits, Vec::new()),
    };
    Ok(IProofs::Description {
        weightRoot: record.weight_root,
        graphBytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        features: u32::try_from(graph.features.len()).unwrap_or(u32::MAX),
        outputs: u32::try_from(outputs(graph)?).unwrap_or(u32::MAX),
        decoder,
        fractionBits: *fraction_bits,
        labels,
    })
}

/// A statement that was proved. Only [`check`] makes one.
struct Checked {
    digest: B256,
    model: VerifyingModel,
    outputs: Vec<Vec<i32>>,
}

impl Checked {
    /// Index of each row's label.
    fn labels(&self) -> Result<Vec<u32>, Failure> {
        let label = |row: &Vec<i32>| match self.model.graph().decode_output(row) {
            Ok(Answer::Label { index, .. }) => Ok(u32::try_from(index).unwrap_or(u32::MAX)),
            Ok(Answer::Values(_)) | Err(_) => Err(revert(IProofs::NoLabels {})),
        };
        self.outputs.iter().map(label).collect()
    }
}

fn check(
    host: &mut dyn Host,
    id: B256,
    inputs: &[i64],
    outputs: &[i32],
    proof: &[u8],
) -> Result<Checked, Failure> {
    let (record, graph_bytes) = read(host, id)?;
    let model = decode_graph_charged(host, &graph_bytes, record.weight_root)?;
    // Registration saw to it; a digest decides all the same.
    if model_id(&model) != id {
        return Err(revert(IProofs::UnknownModel { modelId: id }));
    }
    let statement = statement(model.graph(), inputs, outputs)?;
    let cost = cost(host, model.graph(), statement.inputs.len(), proof.len())?;
    host.charge(gas::checking(&cost))?;
    if proof.get(2).is_some_and(|kind| kind & KIND_ZERO_KNOWLEDGE != 0) {
        host.charge(gas::hiding(&cost))?;
    }
    let verified = verify(&model, &statement, proof).map_err(|error| rejected(&error))?;
    let digest = B256::from(*verified.statement_digest());
    Ok(Checked { digest, model, outputs: statement.outputs })
}

/// Cuts flat rows; the verifier checks their values.
fn statement(graph: &Graph, inputs: &[i64], outputs: &[i32]) -> Result<Statement, Failure> {
    let (features, width) = (graph.features.len(), self::outputs(graph)?);
    let rows = inputs.len().checked_div(features).unwrap_or(0);
    if rows == 0 || inputs.len() != rows.saturating_mul(features) {
        let features = u32::try_from(features).unwrap_or(u32::MAX);
        return Err(revert(IProofs::InputCount { values: count(inputs.len()), features }));
    }
    let expected = rows.saturating_mul(width);
    if outputs.len() != expected {
        let (values, expected) = (count(outputs.len()), count(expected));
        return Err(revert(IProofs::OutputCount { values, expected }));
    }
    Ok(Statement {
        inputs: inputs.chunks(features.max(1)).map(<[i64]>::to_vec).collect(),
        outputs: outputs.chunks(width.max(1)).map(<[i32]>::to_vec).collect(),
    })
}

/// The record of a registered model and the bytes of its graph.
fn read(host: &mut dyn Host, id: B256) -> Result<(Record, Vec<u8>), Failure> {
    let record = Record::load(host, id)?;
    let bytes = record.graph_bytes(host)?;
    Ok((record, bytes))
}

/// The encoding of a registered model's graph, and its weight root. For other modules.
pub(crate) fn registered(host: &mut dyn Host, id: B256) -> Result<(Vec<u8>, B256), Failure> {
    as_module(host, ADDRESS, |host| read(host, id).map(|(record, bytes)| (bytes, record.weight_root)))
}

fn decode_graph_charged(
    host: &mut dyn Host,
    bytes: &[u8],
    weight_root: B256,
) -> Result<VerifyingModel, Failure> {
    host.charge(gas::reading(bytes.len()))?;
    let features = feature_count(bytes).map_err(|_| revert(IProofs::NotAGraph {}))?;
    host.charge(gas::decoding(features))?;
    let graph = decode_graph(bytes).map_err(|_| revert(IProofs::NotAGraph {}))?;
    VerifyingModel::new(graph, weight_root.0).map_err(|_| revert(IProofs::NotAGraph {}))
}

/// Counts the work of a check, charging for the counting.
fn cost(
    host: &mut dyn Host,
    graph: &Graph,
    rows: usize,
    proof_bytes: usize,
) -> Result<VerificationCost, Failure> {
    host.charge(gas::planning(graph))?;
    verification_cost(graph, rows, proof_bytes).map_err(|error| rejected(&error.into()))
}

fn rejected(reject: &Reject) -> Failure {
    revert(IProofs::Rejected { check: check_name(reject) })
}

fn model_id(model: &VerifyingModel) -> B256 {
    B256::from(*model.id().as_bytes())
}

/// Logits of one row.
fn outputs(graph: &Graph) -> Result<usize, Failure> {
    graph.validate().map(|shapes| shapes.outputs()).map_err(|_| revert(IProofs::NotAGraph {}))
}

fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn size(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
