//! Canonical bytes of graphs and weights.
//!
//! Every integer is little-endian and of fixed width, every list is a count and its items, and there is exactly
//! one encoding of each value: decoding and encoding again gives the same bytes. Decoders refuse what they would
//! not write: unknown versions and tags, counts over the limits of [`crate::graph`], trailing bytes, and graphs
//! that [`Graph::validate`] refuses.
//!
//! ```text
//! graph   "TCTG" version:u16
//!         features:u32 { name:text offset:i64 multiplier:i32 shift:u8 }*
//!         nodes:u32    { 0 input:u32 inputs:u32 outputs:u32 | 1 input:u32 shift:u8 table:u16 }*
//!         tables:u32   { bits:u8 values:i8[2^bits] }*
//!         decoder      { 0 fraction_bits:i8 labels:u32 text* | 1 fraction_bits:i8 text text | 2 fraction_bits:i8 }
//! weights "TCTW" version:u16 layers:u32 { outputs:u32 bias:i32* weights:u32 matrix:i8* }*
//! text    bytes:u16 utf8*
//! ```

use crate::{
    bytes::{Reader, put_count, put_text},
    graph::{
        Decoder, DenseWeights, Feature, Graph, MAX_NODES, MAX_PARAMETERS, MAX_TABLE_BITS, MAX_TABLES,
        MAX_TEXT_BYTES, MAX_WIDTH, Operator, Table, TensorId, Weights,
    },
    validate::GraphError,
};

/// Why bytes are refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodingError {
    /// The bytes end too early.
    #[error("{needed} bytes needed, {left} left")]
    Truncated {
        /// Bytes the next item takes.
        needed: usize,
        /// Bytes there are.
        left: usize,
    },
    /// Bytes after the end.
    #[error("{left} bytes after the end")]
    Trailing {
        /// How many.
        left: usize,
    },
    /// Another kind of file.
    #[error("these bytes start with {got:02x?}, not {expected:02x?}")]
    Magic {
        /// First bytes of this kind.
        expected: [u8; 4],
        /// First bytes given.
        got: [u8; 4],
    },
    /// Another version of the format.
    #[error("version {got} of the format; this program reads version {expected}")]
    Version {
        /// Version this program reads.
        expected: u16,
        /// Version given.
        got: u16,
    },
    /// A count or length over its limit.
    #[error("at most {limit} allowed, got {got}")]
    OverLimit {
        /// The limit.
        limit: usize,
        /// The count.
        got: usize,
    },
    /// An unknown tag.
    #[error("unknown tag {got}")]
    Tag {
        /// The tag.
        got: u8,
    },
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// A report with a number that is none.
    #[error("a score of the report is not a finite number")]
    ScoreNotFinite,
    /// The file's checksum does not match.
    #[error("the file is damaged: its checksum does not match")]
    Checksum,
    /// The parts are readable but make no model.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// Canonical bytes of a graph. For a valid graph, [`decode_graph`] gives it back.
#[must_use]
pub fn encode_graph(graph: &Graph) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(GRAPH_MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    put_count(&mut out, graph.features.len());
    for feature in &graph.features {
        put_text(&mut out, &feature.name);
        out.extend_from_slice(&feature.offset.to_le_bytes());
        out.extend_from_slice(&feature.multiplier.to_le_bytes());
        out.push(feature.shift);
    }
    put_count(&mut out, graph.nodes.len());
    for node in &graph.nodes {
        match node {
            Operator::Dense { input, inputs, outputs } => {
                out.push(0);
                out.extend_from_slice(&input.0.to_le_bytes());
                out.extend_from_slice(&inputs.to_le_bytes());
                out.extend_from_slice(&outputs.to_le_bytes());
            }
            Operator::Requantise { input, shift, table } => {
                out.push(1);
                out.extend_from_slice(&input.0.to_le_bytes());
                out.push(*shift);
                out.extend_from_slice(&table.to_le_bytes());
            }
        }
    }
    put_count(&mut out, graph.tables.len());
    for table in &graph.tables {
        out.push(table.bits);
        out.extend(table.values.iter().map(|value| value.to_le_bytes()[0]));
    }
    match &graph.decoder {
        Decoder::ArgMax { labels, fraction_bits } => {
            out.extend_from_slice(&[0, fraction_bits.to_le_bytes()[0]]);
            put_count(&mut out, labels.len());
            labels.iter().for_each(|label| put_text(&mut out, label));
        }
        Decoder::Threshold { labels, fraction_bits } => {
            out.extend_from_slice(&[1, fraction_bits.to_le_bytes()[0]]);
            labels.iter().for_each(|label| put_text(&mut out, label));
        }
        Decoder::Values { fraction_bits } => out.extend_from_slice(&[2, fraction_bits.to_le_bytes()[0]]),
    }
    out
}

/// Reads a graph and validates it.
///
/// # Errors
/// Anything that [`encode_graph`] would not write for a valid graph.
pub fn decode_graph(bytes: &[u8]) -> Result<Graph, EncodingError> {
    let mut reader = Reader::new(bytes);
    reader.header(GRAPH_MAGIC, VERSION)?;
    let features = list(&mut reader, MAX_WIDTH as usize, 15, read_feature)?;
    let nodes = list(&mut reader, MAX_NODES, 8, read_node)?;
    let tables = list(&mut reader, MAX_TABLES, 3, read_table)?;
    let decoder = read_decoder(&mut reader)?;
    reader.finish()?;
    let graph = Graph { features, nodes, tables, decoder };
    graph.validate()?;
    Ok(graph)
}

/// Canonical bytes of weights.
#[must_use]
pub fn encode_weights(weights: &Weights) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(WEIGHTS_MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    put_count(&mut out, weights.layers.len());
    for layer in &weights.layers {
        put_count(&mut out, layer.bias.len());
        out.extend(layer.bias.iter().flat_map(|bias| bias.to_le_bytes()));
        put_count(&mut out, layer.matrix.len());
        out.extend(layer.matrix.iter().map(|weight| weight.to_le_bytes()[0]));
    }
    out
}

/// Reads weights; whether they fit a graph is for [`crate::Model::new`] to say.
///
/// # Errors
/// Anything that [`encode_weights`] would not write for weights within the limits.
pub fn decode_weights(bytes: &[u8]) -> Result<Weights, EncodingError> {
    let mut reader = Reader::new(bytes);
    reader.header(WEIGHTS_MAGIC, VERSION)?;
    let layers = list(&mut reader, MAX_NODES, 8, |reader| {
        let bias = list(reader, MAX_WIDTH as usize, 4, Reader::i32)?;
        let len = reader.count(usize::try_from(MAX_PARAMETERS).unwrap_or(usize::MAX), 1)?;
        let matrix = signed(reader.take(len)?);
        Ok(DenseWeights { matrix, bias })
    })?;
    reader.finish()?;
    Ok(Weights { layers })
}

fn list<'a, T>(
    reader: &mut Reader<'a>,
    limit: usize,
    item_bytes: usize,
    mut item: impl FnMut(&mut Reader<'a>) -> Result<T, EncodingError>,
) -> Result<Vec<T>, EncodingError> {
    let count = reader.count(limit, item_bytes)?;
    (0..count).map(|_| item(reader)).collect()
}

fn read_feature(reader: &mut Reader<'_>) -> Result<Feature, EncodingError> {
    let name = reader.text(MAX_TEXT_BYTES)?;
    Ok(Feature { name, offset: reader.i64()?, multiplier: reader.i32()?, shift: reader.u8()? })
}

fn read_node(reader: &mut Reader<'_>) -> Result<Operator, EncodingError> {
    match reader.u8()? {
        0 => Ok(Operator::Dense {
            input: TensorId(reader.u32()?),
            inputs: reader.u32()?,
            outputs: reader.u32()?,
        }),
        1 => Ok(Operator::Requantise {
            input: TensorId(reader.u32()?),
            shift: reader.u8()?,
            table: reader.u16()?,
        }),
        got => Err(EncodingError::Tag { got }),
    }
}

fn read_table(reader: &mut Reader<'_>) -> Result<Table, EncodingError> {
    let bits = reader.u8()?;
    if bits == 0 || bits > MAX_TABLE_BITS {
        return Err(EncodingError::OverLimit { limit: usize::from(MAX_TABLE_BITS), got: usize::from(bits) });
    }
    Ok(Table { bits, values: signed(reader.take(1 << bits)?) })
}

fn read_decoder(reader: &mut Reader<'_>) -> Result<Decoder, EncodingError> {
    let tag = reader.u8()?;
    let fraction_bits = i8::from_le_bytes(reader.array()?);
    match tag {
        0 => {
            let labels = list(reader, MAX_WIDTH as usize, 2, |reader| reader.text(MAX_TEXT_BYTES))?;
            Ok(Decoder::ArgMax { labels, fraction_bits })
        }
        1 => {
            let labels = [reader.text(MAX_TEXT_BYTES)?, reader.text(MAX_TEXT_BYTES)?];
            Ok(Decoder::Threshold { labels, fraction_bits })
        }
        2 => Ok(Decoder::Values { fraction_bits }),
        got => Err(EncodingError::Tag { got }),
    }
}

fn signed(bytes: &[u8]) -> Vec<i8> {
    bytes.iter().map(|byte| i8::from_le_bytes([*byte])).collect()
}

const GRAPH_MAGIC: &[u8; 4] = b"TCTG";
const WEIGHTS_MAGIC: &[u8; 4] = b"TCTW";
const VERSION: u16 = 1;
