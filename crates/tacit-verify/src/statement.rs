//! Statements and how they are believed.

use p3_blake3::Blake3;
use tacit_graph::{Graph, GraphError, ModelId, encode_graph, model_id};

use crate::{
    commitment::{Challenger, Scheme},
    context::Plain,
    field::MAX_MAGNITUDE,
    opening,
    plan::Plan,
    protocol::{self, Public},
    reader::Reader,
    reject::Reject,
    security::{self, SecurityBits},
    zero_knowledge::{self, ZERO_KNOWLEDGE_VERSION},
};

/// First byte of a proof.
pub const PROOF_VERSION: u8 = 1;

/// What a proof claims: the model, run on these rows, gives those rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Raw values in units of `2^-24`. Shape `[rows][features]`.
    pub inputs: Vec<Vec<i64>>,
    /// Last accumulators. Shape `[rows][outputs]`.
    pub outputs: Vec<Vec<i32>>,
}

/// A model as its users know it: the public graph and the commitment to the weights.
#[derive(Debug, Clone)]
pub struct VerifyingModel {
    graph: Graph,
    weight_root: [u8; 32],
    id: ModelId,
    outputs: usize,
}

impl VerifyingModel {
    /// Checks the graph and names the model.
    ///
    /// # Errors
    /// Refuses an invalid graph.
    pub fn new(graph: Graph, weight_root: [u8; 32]) -> Result<Self, GraphError> {
        let outputs = graph.validate()?.outputs();
        let id = model_id(&encode_graph(&graph), &weight_root);
        Ok(Self { graph, weight_root, id, outputs })
    }

    /// The name of the model.
    #[must_use]
    pub fn id(&self) -> ModelId {
        self.id
    }

    /// The graph.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The commitment to the weights.
    #[must_use]
    pub fn weight_root(&self) -> &[u8; 32] {
        &self.weight_root
    }
}

/// Proof that a statement was checked. Only [`verify`] makes one.
#[must_use = "a statement is believed by what demands this token"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    model: ModelId,
    statement: [u8; 32],
    security: SecurityBits,
    zero_knowledge: bool,
}

impl Verified {
    /// The model that was run.
    #[must_use]
    pub fn model(&self) -> ModelId {
        self.model
    }

    /// Digest of model, inputs and outputs. Guessable inputs make it guessable: never publish it bare.
    #[must_use]
    pub fn statement_digest(&self) -> &[u8; 32] {
        &self.statement
    }

    /// Bits of security the proof has at least.
    #[must_use]
    pub fn security_bits(&self) -> u8 {
        self.security.bits()
    }

    /// Whether the proof shows nothing but its statement. Who demands that MUST look here: a proof says itself of which kind
    /// it is.
    #[must_use]
    pub fn zero_knowledge(&self) -> bool {
        self.zero_knowledge
    }
}

/// Checks `proof` at [`SecurityBits::DEFAULT`].
///
/// # Errors
/// Any false statement and any malformed proof give a [`Reject`]; no input makes this panic.
pub fn verify(model: &VerifyingModel, statement: &Statement, proof: &[u8]) -> Result<Verified, Reject> {
    verify_at(model, statement, proof, SecurityBits::DEFAULT)
}

/// Checks `proof` at a level of security.
///
/// # Errors
/// As [`verify`].
pub fn verify_at(
    model: &VerifyingModel,
    statement: &Statement,
    proof: &[u8],
    security: SecurityBits,
) -> Result<Verified, Reject> {
    let inputs = check_statement(model, statement)?;
    let mut reader = Reader::new(proof);
    let statement_digest = digest(&model.id, statement);
    let zero_knowledge = read_header(&mut reader, security)? == ZERO_KNOWLEDGE_VERSION;
    if zero_knowledge {
        let claim = zero_knowledge::Claim {
            graph: &model.graph,
            weight_root: &model.weight_root,
            digest: &statement_digest,
            inputs: &inputs,
            outputs: &statement.outputs,
            security,
        };
        zero_knowledge::verify(claim, reader)?;
    } else {
        verify_plain(model, statement, &inputs, &statement_digest, reader, security)?;
    }
    Ok(Verified { model: model.id, statement: statement_digest, security, zero_knowledge })
}

/// Checks the bytes that follow version and level.
fn verify_plain(
    model: &VerifyingModel,
    statement: &Statement,
    inputs: &[Vec<i8>],
    statement_digest: &[u8; 32],
    mut reader: Reader<'_>,
    security: SecurityBits,
) -> Result<(), Reject> {
    let plan = Plan::new(&model.graph, statement.inputs.len())?;
    let bits = u32::from(security.bits());
    let weights = Scheme::new(plan.weights.vars, bits)?;
    let witness = plan.witness_vars.map(|vars| Scheme::new(vars, bits)).transpose()?;
    security::report(&plan, &weights, witness.as_ref(), security)?;

    let witness_root = if witness.is_some() { Some(reader.array()?) } else { None };
    let mut challenger = transcript(statement_digest, security);
    weights.observe(&model.weight_root, &mut challenger);
    if let (Some(scheme), Some(root)) = (&witness, &witness_root) {
        scheme.observe(root, &mut challenger);
    }

    let public = Public { graph: &model.graph, plan: &plan, inputs, outputs: &statement.outputs };
    let openings = protocol::verify(public, &mut Plain::new(&mut challenger, &mut reader))?;

    // The whole proof is read before any of it costs a hash tree.
    let weight_proof = opening::decode(&mut reader, &weights, openings.weights.value)?;
    let witness_proof = match (&witness, &witness_root, openings.witness) {
        (Some(scheme), Some(root), Some(opened)) => {
            Some((scheme, root, opening::decode(&mut reader, scheme, opened.value)?, opened.point))
        }
        _ => None,
    };
    reader.finish()?;
    if !weights.verify(&model.weight_root, &weight_proof, &openings.weights.point, &mut challenger) {
        return Err(Reject::WeightOpening);
    }
    if let Some((scheme, root, proof, point)) = witness_proof
        && !scheme.verify(root, &proof, &point, &mut challenger)
    {
        return Err(Reject::WitnessOpening);
    }
    Ok(())
}

/// Shapes and ranges; gives the encoded rows.
fn check_statement(model: &VerifyingModel, statement: &Statement) -> Result<Vec<Vec<i8>>, Reject> {
    let (inputs, outputs) = (statement.inputs.len(), statement.outputs.len());
    if inputs != outputs {
        return Err(Reject::RowCount { inputs, outputs });
    }
    for (row, values) in statement.outputs.iter().enumerate() {
        let (expected, got) = (model.outputs, values.len());
        if expected != got {
            return Err(Reject::OutputLength { row, expected, got });
        }
        // `v` and `v ± p` are one element of the field; only one of them is an accumulator.
        if let Some(got) = values.iter().find(|value| value.unsigned_abs() >= MAX_MAGNITUDE.unsigned_abs()) {
            return Err(Reject::OutputRange { row, got: *got });
        }
    }
    let expected = model.graph.features.len();
    let encode = |(row, values): (usize, &Vec<i64>)| {
        model.graph.encode_input(values).map_err(|_| Reject::InputLength { row, expected, got: values.len() })
    };
    statement.inputs.iter().enumerate().map(encode).collect()
}

/// Gives the version.
fn read_header(reader: &mut Reader<'_>, security: SecurityBits) -> Result<u8, Reject> {
    let got = reader.byte()?;
    if got != PROOF_VERSION && got != ZERO_KNOWLEDGE_VERSION {
        return Err(Reject::Version { got });
    }
    let version = got;
    let got = reader.byte()?;
    if got != security.bits() {
        return Err(Reject::Security { expected: u32::from(security.bits()), got });
    }
    Ok(version)
}

/// BLAKE3, in a context of its own, of the model id, the number of rows and all values.
#[must_use]
pub fn digest(model: &ModelId, statement: &Statement) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(STATEMENT_CONTEXT);
    hasher.update(model.as_bytes());
    let mut row = Vec::new();
    length(&mut hasher, statement.inputs.len());
    for values in &statement.inputs {
        row.clear();
        row.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        length(&mut hasher, values.len());
        hasher.update(&row);
    }
    length(&mut hasher, statement.outputs.len());
    for values in &statement.outputs {
        row.clear();
        row.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        length(&mut hasher, values.len());
        hasher.update(&row);
    }
    *hasher.finalize().as_bytes()
}

fn length(hasher: &mut blake3::Hasher, value: usize) {
    hasher.update(&u64::try_from(value).unwrap_or(u64::MAX).to_le_bytes());
}

/// The sponge of a proof: format, security and statement, before anything else.
#[must_use]
pub fn transcript(statement_digest: &[u8; 32], security: SecurityBits) -> Challenger {
    let mut state = TRANSCRIPT_DOMAIN.to_vec();
    state.extend_from_slice(&[PROOF_VERSION, security.bits()]);
    state.extend_from_slice(statement_digest);
    Challenger::from_hasher(state, Blake3)
}

const STATEMENT_CONTEXT: &str = "tacit 2026 proof statement v1";
const TRANSCRIPT_DOMAIN: &[u8] = b"tacit proof transcript";
