//! The `.tacit` file: one model with its name, weight root and import report.
//!
//! ```text
//! "TCTM" version:u16 name:text weight_root:u8[32]
//! hiding            0 | 1 openings:u32 seed:u8[32]
//! graph:u32 bytes   weights:u32 bytes
//! report            task:u8 params:u64 macs:u64 operators:u32 text* rows:u64
//!                   float_score:score integer_score:score agreement:score
//!                   encrypted 0 | 1 rows:u32 agreed:u32
//! checksum:u8[32]   BLAKE3 of everything before
//! score             0 | 1 f64
//! ```
//!
//! The checksum finds damage, not malice: a reader that cares computes the weight root again and compares the
//! [`ModelId`] with the one it was told.

use crate::{
    bytes::{Reader, check_limit, put_count, put_text},
    encoding::{EncodingError, decode_graph, decode_weights, encode_graph, encode_weights},
    graph::{MAX_NODES, MAX_TEXT_BYTES},
    id::{ModelId, model_id},
    model::Model,
};

/// A model as it is kept on disk.
#[derive(Debug, Clone)]
pub struct ModelFile {
    /// Name shown to people; cut to [`MAX_TEXT_BYTES`] when it is written.
    pub name: String,
    /// Hiding commitment to the weights, computed by the prover.
    pub weight_root: [u8; 32],
    /// What the commitment was made with, if it hides the weights.
    pub hiding: Option<HidingKey>,
    /// The model.
    pub model: Model,
    /// How it came about and how well it does.
    pub report: ImportReport,
}

/// What a hiding commitment is made with. As secret as the weights: with it, openings show them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HidingKey {
    /// Proofs that the commitment serves.
    pub openings: u32,
    /// Where its randomness comes from.
    pub seed: [u8; 32],
}

impl core::fmt::Debug for HidingKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HidingKey").field("openings", &self.openings).finish_non_exhaustive()
    }
}

/// What the importer measured.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ImportReport {
    /// Whether scores are accuracy or explained variance.
    pub task: Task,
    /// Weights and biases.
    pub params: u64,
    /// Multiply-accumulates of one row.
    pub macs: u64,
    /// The integer operators, in order.
    pub operators: Vec<String>,
    /// Score of the float network on the held-out rows, if their labels were given: the share of right labels, or
    /// the coefficient of determination.
    pub float_score: Option<f64>,
    /// The same of the integer graph.
    pub integer_score: Option<f64>,
    /// Share of rows on which both give the same label; for values, the mean absolute difference between them.
    pub agreement: Option<f64>,
    /// Rows that these were measured on.
    pub rows: u64,
    /// How often labels under encryption were the integer graph's, where that is not always so and was measured.
    pub encrypted: Option<Agreement>,
}

/// On how many rows two ways to compute a model gave the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Rows asked about, one at least.
    pub rows: u32,
    /// Rows with the same answer.
    pub agreed: u32,
}

impl Agreement {
    /// Whether it can have been measured.
    #[must_use]
    pub fn is_sound(self) -> bool {
        self.rows > 0 && self.agreed <= self.rows
    }
}

/// What a model's scores mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Answers are labels.
    Classification,
    /// Answers are values.
    Regression,
}

impl ImportReport {
    /// The report of a model about which nothing was measured.
    #[must_use]
    pub fn unmeasured(model: &Model) -> Self {
        let task = match model.graph().decoder {
            crate::graph::Decoder::Values { .. } => Task::Regression,
            _ => Task::Classification,
        };
        Self {
            task,
            params: model.shapes().parameters(),
            macs: model.shapes().macs(),
            operators: model.graph().describe(),
            float_score: None,
            integer_score: None,
            agreement: None,
            rows: 0,
            encrypted: None,
        }
    }
}

impl ModelFile {
    /// Name of the model in the network.
    #[must_use]
    pub fn id(&self) -> ModelId {
        model_id(&encode_graph(self.model.graph()), &self.weight_root)
    }

    /// Bytes of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        put_text(&mut out, &self.name[..self.name.floor_char_boundary(MAX_TEXT_BYTES)]);
        out.extend_from_slice(&self.weight_root);
        match &self.hiding {
            None => out.push(0),
            Some(key) => {
                out.push(1);
                out.extend_from_slice(&key.openings.to_le_bytes());
                out.extend_from_slice(&key.seed);
            }
        }
        for part in [encode_graph(self.model.graph()), encode_weights(self.model.weights())] {
            put_count(&mut out, part.len());
            out.extend_from_slice(&part);
        }
        self.report.put(&mut out);
        let checksum = blake3::hash(&out);
        out.extend_from_slice(checksum.as_bytes());
        out
    }

    /// Reads a file and checks everything but the weight root.
    ///
    /// # Errors
    /// Anything that [`ModelFile::encode`] would not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, EncodingError> {
        check_limit(bytes.len(), MAX_FILE_BYTES)?;
        let mut reader = Reader::new(bytes);
        reader.header(MAGIC, VERSION)?;
        let body_len = bytes.len().saturating_sub(CHECKSUM_BYTES);
        let (body, checksum) = bytes.split_at_checked(body_len).unwrap_or((bytes, &[]));
        if blake3::hash(body).as_bytes().as_slice() != checksum {
            return Err(EncodingError::Checksum);
        }
        let mut reader = Reader::new(body);
        reader.header(MAGIC, VERSION)?;
        let name = reader.text(MAX_TEXT_BYTES)?;
        let weight_root = reader.array()?;
        let hiding = match reader.u8()? {
            0 => None,
            1 => Some(HidingKey { openings: reader.u32()?, seed: reader.array()? }),
            got => return Err(EncodingError::Tag { got }),
        };
        let len = reader.count(MAX_FILE_BYTES, 1)?;
        let graph = decode_graph(reader.take(len)?)?;
        let len = reader.count(MAX_FILE_BYTES, 1)?;
        let weights = decode_weights(reader.take(len)?)?;
        let report = ImportReport::read(&mut reader)?;
        reader.finish()?;
        Ok(Self { name, weight_root, hiding, model: Model::new(graph, weights)?, report })
    }
}

impl ImportReport {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(match self.task {
            Task::Classification => 0,
            Task::Regression => 1,
        });
        out.extend_from_slice(&self.params.to_le_bytes());
        out.extend_from_slice(&self.macs.to_le_bytes());
        put_count(out, self.operators.len());
        self.operators.iter().for_each(|operator| put_text(out, operator));
        out.extend_from_slice(&self.rows.to_le_bytes());
        for score in [self.float_score, self.integer_score, self.agreement] {
            match score.filter(|score| score.is_finite()) {
                None => out.push(0),
                Some(score) => {
                    out.push(1);
                    out.extend_from_slice(&score.to_bits().to_le_bytes());
                }
            }
        }
        match self.encrypted.filter(|agreement| agreement.is_sound()) {
            None => out.push(0),
            Some(Agreement { rows, agreed }) => {
                out.push(1);
                out.extend_from_slice(&rows.to_le_bytes());
                out.extend_from_slice(&agreed.to_le_bytes());
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, EncodingError> {
        let task = match reader.u8()? {
            0 => Task::Classification,
            1 => Task::Regression,
            got => return Err(EncodingError::Tag { got }),
        };
        let (params, macs) = (reader.u64()?, reader.u64()?);
        let count = reader.count(MAX_NODES, 2)?;
        let operators = (0..count).map(|_| reader.text(MAX_TEXT_BYTES)).collect::<Result<_, _>>()?;
        let rows = reader.u64()?;
        let mut score = || match reader.u8()? {
            0 => Ok(None),
            1 => {
                let score = f64::from_bits(reader.u64()?);
                if score.is_finite() { Ok(Some(score)) } else { Err(EncodingError::ScoreNotFinite) }
            }
            got => Err(EncodingError::Tag { got }),
        };
        let (float_score, integer_score, agreement) = (score()?, score()?, score()?);
        let encrypted = match reader.u8()? {
            0 => None,
            1 => {
                let agreement = Agreement { rows: reader.u32()?, agreed: reader.u32()? };
                Some(agreement.is_sound().then_some(agreement).ok_or(EncodingError::Agreement)?)
            }
            got => return Err(EncodingError::Tag { got }),
        };
        Ok(Self { task, params, macs, operators, float_score, integer_score, agreement, rows, encrypted })
    }
}

/// Largest file: the largest weights and as much again for everything else.
pub const MAX_FILE_BYTES: usize = 1 << 30;
const MAGIC: &[u8; 4] = b"TCTM";
const VERSION: u16 = 3;
const CHECKSUM_BYTES: usize = 32;
