//! Statements and how they are believed.

use p3_blake3::Blake3;
use tacit_graph::{Graph, GraphError, ModelId, encode_graph, model_id};

use crate::{
    commitment::{Challenger, Scheme},
    context::Plain,
    field::MAX_MAGNITUDE,
    opening,
    plan::Plan,
    protocol::{self, Public, Rows},
    reader::Reader,
    reject::Reject,
    rows::{Fingerprints, Row},
    security::{self, SecurityBits},
    zero_knowledge,
};

/// First byte of a proof.
pub const PROOF_VERSION: u8 = 3;
/// Bit of the third byte of a proof about committed rows.
pub const KIND_COMMITTED: u8 = 1;
/// Bit of the third byte of a proof that shows nothing but its statement.
pub const KIND_ZERO_KNOWLEDGE: u8 = 2;

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

    /// Whether the proof shows nothing but its statement. Who demands that MUST look here: a proof says itself of which
    /// kind it is.
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
    let statement_digest = digest(&model.id, statement);
    let rows = Rows::Public { inputs: &inputs, outputs: &statement.outputs };
    let mut reader = Reader::new(proof);
    let zero_knowledge = read_header(&mut reader, security, false)?;
    let plan = Plan::new(&model.graph, statement.inputs.len())?;
    let claim = Claim { model, plan, rows, digest: &statement_digest, security };
    claim.check(reader, zero_knowledge)?;
    Ok(Verified { model: model.id, statement: statement_digest, security, zero_knowledge })
}

/// A checked proof about committed rows; whose rows they are is for [`VerifiedBatch::row`] to say.
#[must_use = "a batch says nothing about a question before its row is checked"]
#[derive(Debug, Clone)]
pub struct VerifiedBatch<'a> {
    model: &'a VerifyingModel,
    plan: Plan,
    salts: Vec<[u8; 32]>,
    fingerprints: Fingerprints,
    security: SecurityBits,
    zero_knowledge: bool,
}

impl VerifiedBatch<'_> {
    /// Checks that row `index` of the batch is this one.
    ///
    /// # Errors
    /// [`Reject::Salt`] or [`Reject::Fingerprint`] when it is another, and what is wrong with a row that cannot be one.
    pub fn row(&self, index: usize, row: Row<'_>) -> Result<Verified, Reject> {
        if self.salts.get(index) != Some(&row.salt.digest()) {
            return Err(Reject::Salt { row: index });
        }
        self.fingerprints.check(&self.model.graph, &self.plan, index, row)?;
        let alone = Statement { inputs: vec![row.input.to_vec()], outputs: vec![row.output.to_vec()] };
        let statement = digest(&self.model.id, &alone);
        let (security, zero_knowledge) = (self.security, self.zero_knowledge);
        Ok(Verified { model: self.model.id, statement, security, zero_knowledge })
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.plan.rows
    }
}

/// Checks `proof` about `rows` committed rows at [`SecurityBits::DEFAULT`].
///
/// # Errors
/// As [`verify`].
pub fn verify_batch<'a>(
    model: &'a VerifyingModel,
    rows: usize,
    proof: &[u8],
) -> Result<VerifiedBatch<'a>, Reject> {
    verify_batch_at(model, rows, proof, SecurityBits::DEFAULT)
}

/// Checks `proof` about `rows` committed rows at a level of security.
///
/// # Errors
/// As [`verify`].
pub fn verify_batch_at<'a>(
    model: &'a VerifyingModel,
    rows: usize,
    proof: &[u8],
    security: SecurityBits,
) -> Result<VerifiedBatch<'a>, Reject> {
    let mut reader = Reader::new(proof);
    let zero_knowledge = read_header(&mut reader, security, true)?;
    let plan = Plan::committed(&model.graph, rows)?;
    let salts = reader.list(rows, 32, Reader::array)?;
    let statement = batch_digest(&model.id, &salts);
    let claim = Claim { model, plan: plan.clone(), rows: Rows::Committed, digest: &statement, security };
    let fingerprints = claim.check(reader, zero_knowledge)?.ok_or(Reject::Kind { committed: false })?;
    Ok(VerifiedBatch { model, plan, salts, fingerprints, security, zero_knowledge })
}

/// What a proof is checked against.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) model: &'a VerifyingModel,
    pub(crate) plan: Plan,
    pub(crate) rows: Rows<'a>,
    pub(crate) digest: &'a [u8; 32],
    pub(crate) security: SecurityBits,
}

impl Claim<'_> {
    /// Replays a proof from behind its header; gives the fingerprints of committed rows.
    fn check(self, reader: Reader<'_>, zero_knowledge: bool) -> Result<Option<Fingerprints>, Reject> {
        if zero_knowledge { zero_knowledge::verify(self, reader) } else { check_plain(&self, reader) }
    }
}

fn check_plain(claim: &Claim<'_>, mut reader: Reader<'_>) -> Result<Option<Fingerprints>, Reject> {
    let Claim { model, plan, rows, digest, security } = claim;
    let (rows, security) = (*rows, *security);
    let bits = u32::from(security.bits());
    let weights = Scheme::new(plan.weights.vars, bits)?;
    let witness = plan.witness_vars.map(|vars| Scheme::new(vars, bits)).transpose()?;
    security::report(plan, &weights, witness.as_ref(), security)?;

    let witness_root = if witness.is_some() { Some(reader.array()?) } else { None };
    let mut challenger = transcript(digest, security, kind(rows));
    weights.observe(&model.weight_root, &mut challenger);
    if let (Some(scheme), Some(root)) = (&witness, &witness_root) {
        scheme.observe(root, &mut challenger);
    }

    let public = Public { graph: &model.graph, plan, rows };
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
    Ok(openings.fingerprints)
}

/// Shapes and ranges; gives the encoded rows.
fn check_statement(model: &VerifyingModel, statement: &Statement) -> Result<Vec<Vec<i16>>, Reject> {
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

/// Reads version, level and kind; says whether the proof is in zero knowledge.
fn read_header(reader: &mut Reader<'_>, security: SecurityBits, committed: bool) -> Result<bool, Reject> {
    let got = reader.byte()?;
    if got != PROOF_VERSION {
        return Err(Reject::Version { got });
    }
    let got = reader.byte()?;
    if got != security.bits() {
        return Err(Reject::Security { expected: u32::from(security.bits()), got });
    }
    let got = reader.byte()?;
    if got & !(KIND_COMMITTED | KIND_ZERO_KNOWLEDGE) != 0 {
        return Err(Reject::UnknownKind { got });
    }
    if (got & KIND_COMMITTED != 0) != committed {
        return Err(Reject::Kind { committed: !committed });
    }
    Ok(got & KIND_ZERO_KNOWLEDGE != 0)
}

/// The third byte of a plain proof about these rows.
pub(crate) fn kind(rows: Rows<'_>) -> u8 {
    match rows {
        Rows::Public { .. } => 0,
        Rows::Committed => KIND_COMMITTED,
    }
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

/// BLAKE3, in a context of its own, of the model id, the number of committed rows and the digests of their salts.
#[must_use]
pub fn batch_digest(model: &ModelId, salts: &[[u8; 32]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(BATCH_CONTEXT);
    hasher.update(model.as_bytes());
    length(&mut hasher, salts.len());
    for salt in salts {
        hasher.update(salt);
    }
    *hasher.finalize().as_bytes()
}

fn length(hasher: &mut blake3::Hasher, value: usize) {
    hasher.update(&u64::try_from(value).unwrap_or(u64::MAX).to_le_bytes());
}

/// The sponge of a proof: format, security and statement, before anything else.
#[must_use]
pub fn transcript(statement_digest: &[u8; 32], security: SecurityBits, kind: u8) -> Challenger {
    let mut state = TRANSCRIPT_DOMAIN.to_vec();
    state.extend_from_slice(&[PROOF_VERSION, security.bits(), kind]);
    state.extend_from_slice(statement_digest);
    Challenger::from_hasher(state, Blake3)
}

const STATEMENT_CONTEXT: &str = "tacit 2026 proof statement v1";
const BATCH_CONTEXT: &str = "tacit 2026 proof of committed rows v1";
const TRANSCRIPT_DOMAIN: &[u8] = b"tacit proof transcript";
