//! Canonical bytes of graphs and weights.
//!
//! Every integer is little-endian and of fixed width, every list is a count and its items, and there is exactly
//! one encoding of each value: decoding and encoding again gives the same bytes. Decoders refuse what they would
//! not write: unknown versions and tags, counts over the limits of [`crate::graph`], trailing bytes, and graphs
//! that [`Graph::validate`] refuses.
//!
//! ```text
//! graph   "TCTG" version:u16 input_bits:u8 input_axes:sizes
//!         features:u32 { count:u32 name:text offset:i64 multiplier:i32 shift:u8 }*
//!         nodes:u32    { 0 axes:sizes summed:sizes view { 0 axes:numbers | 1 view } bias
//!                      | 1 axes:sizes terms:u32 { coefficient:i32 summed:sizes view }* constant:i32 bias
//!                      | 2 axes:sizes view view
//!                      | 3 input:u32 shift:u8 table:u16 }*
//!         tables:u32   { bits:u8 values:i16[2^bits] }*
//!         decoder      { 0 fraction_bits:i8 labels:u32 text* | 1 fraction_bits:i8 text text | 2 fraction_bits:i8 }
//! view    tensor:u32 groups:u8 { span:u8 offset:i32 strides:u8 { axis:u8 stride:i32 }* divisor:u32 exact:u8 }*
//! bias    { 0 | 1 axes:numbers }
//! sizes   count:u8 u32*         numbers  count:u8 u8*         text  bytes:u16 utf8*
//! weights "TCTW" version:u16 layers:u32 { bias:u32 i32* matrix:u32 i8* }*
//! ```
//!
//! `features` are the maximal runs of equal ones, so that an image costs as little as a number. A graph whose features have
//! steps is of version 3, in which every run ends in `steps:u32 i64*` and a feature with steps is a run of its own, so that
//! what is held is never much longer than what is read; a graph without steps is of version 2.

use crate::{
    bytes::{Reader, check_limit, put_count, put_text},
    error::GraphError,
    graph::{
        Decoder, Feature, Graph, Group, LayerWeights, MAX_AXES, MAX_AXIS, MAX_ENCODE_STEPS, MAX_NODES,
        MAX_PARAMETERS, MAX_TABLE_BITS, MAX_TABLES, MAX_TERMS, MAX_TEXT_BYTES, Operator, Right, Stride,
        Table, TensorId, Term, View, Weights,
    },
    validate::{MAX_FEATURES, MAX_NAME_BYTES},
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
    /// Two runs of features that make one, or a run of none.
    #[error("feature run {index} is empty or equal to the one before")]
    Run {
        /// Index of the run.
        index: usize,
    },
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// A report with a number that is none.
    #[error("a score of the report is not a finite number")]
    ScoreNotFinite,
    /// An agreement that nobody can have measured.
    #[error("the report says that more rows agreed than there were, or that there were none")]
    Agreement,
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
    let stepped = graph.features.iter().any(|feature| !feature.steps.is_empty());
    out.extend_from_slice(&(if stepped { STEPS_VERSION } else { VERSION }).to_le_bytes());
    out.push(graph.input_bits);
    put_sizes(&mut out, &graph.input_axes);
    let runs = graph.features.chunk_by(|a, b| a == b && a.steps.is_empty());
    put_count(&mut out, runs.clone().count());
    for (run, feature) in runs.filter_map(|run| Some((run, run.first()?))) {
        put_count(&mut out, run.len());
        put_text(&mut out, &feature.name);
        out.extend_from_slice(&feature.offset.to_le_bytes());
        out.extend_from_slice(&feature.multiplier.to_le_bytes());
        out.push(feature.shift);
        if stepped {
            put_count(&mut out, feature.steps.len());
            out.extend(feature.steps.iter().flat_map(|step| step.to_le_bytes()));
        }
    }
    put_count(&mut out, graph.nodes.len());
    graph.nodes.iter().for_each(|node| put_node(&mut out, node));
    put_count(&mut out, graph.tables.len());
    for table in &graph.tables {
        out.push(table.bits);
        out.extend(table.values.iter().flat_map(|value| value.to_le_bytes()));
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
    let stepped = graph_header(&mut reader)?;
    let (input_bits, input_axes) = (reader.u8()?, read_sizes(&mut reader)?);
    let features = read_features(&mut reader, stepped)?;
    let nodes = list(&mut reader, MAX_NODES, 8, read_node)?;
    let tables = list(&mut reader, MAX_TABLES, 5, read_table)?;
    let decoder = read_decoder(&mut reader)?;
    reader.finish()?;
    let graph = Graph { features, input_axes, input_bits, nodes, tables, decoder };
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
        let limit = usize::try_from(MAX_PARAMETERS).unwrap_or(usize::MAX);
        let bias = list(reader, limit, 4, Reader::i32)?;
        let len = reader.count(limit, 1)?;
        let matrix = reader.take(len)?.iter().map(|byte| i8::from_le_bytes([*byte])).collect();
        Ok(LayerWeights { matrix, bias })
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

fn put_node(out: &mut Vec<u8>, node: &Operator) {
    match node {
        Operator::Contract { axes, summed, left, right, bias } => {
            out.push(0);
            put_sizes(out, axes);
            put_sizes(out, summed);
            put_view(out, left);
            match right {
                Right::Weights { axes } => {
                    out.push(0);
                    put_numbers(out, axes);
                }
                Right::View(view) => {
                    out.push(1);
                    put_view(out, view);
                }
            }
            put_bias(out, bias.as_deref());
        }
        Operator::Combine { axes, terms, constant, bias } => {
            out.push(1);
            put_sizes(out, axes);
            put_count(out, terms.len());
            for Term { coefficient, summed, view } in terms {
                out.extend_from_slice(&coefficient.to_le_bytes());
                put_sizes(out, summed);
                put_view(out, view);
            }
            out.extend_from_slice(&constant.to_le_bytes());
            put_bias(out, bias.as_deref());
        }
        Operator::Maximum { axes, left, right } => {
            out.push(2);
            put_sizes(out, axes);
            put_view(out, left);
            put_view(out, right);
        }
        Operator::Requantise { input, shift, table } => {
            out.push(3);
            out.extend_from_slice(&input.0.to_le_bytes());
            out.push(*shift);
            out.extend_from_slice(&table.to_le_bytes());
        }
    }
}

fn put_view(out: &mut Vec<u8>, view: &View) {
    out.extend_from_slice(&view.tensor.0.to_le_bytes());
    put_short(out, view.groups.len());
    for Group { span, offset, strides, divisor, exact } in &view.groups {
        out.push(*span);
        out.extend_from_slice(&offset.to_le_bytes());
        put_short(out, strides.len());
        for Stride { axis, stride } in strides {
            out.push(*axis);
            out.extend_from_slice(&stride.to_le_bytes());
        }
        out.extend_from_slice(&divisor.to_le_bytes());
        out.push(u8::from(*exact));
    }
}

fn put_bias(out: &mut Vec<u8>, bias: Option<&[u8]>) {
    out.push(u8::from(bias.is_some()));
    if let Some(axes) = bias {
        put_numbers(out, axes);
    }
}

fn put_sizes(out: &mut Vec<u8>, sizes: &[u32]) {
    put_short(out, sizes.len());
    out.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
}

fn put_numbers(out: &mut Vec<u8>, numbers: &[u8]) {
    put_short(out, numbers.len());
    out.extend_from_slice(numbers);
}

/// Writes a count that validation has bounded by twice [`MAX_AXES`].
fn put_short(out: &mut Vec<u8>, count: usize) {
    out.push(u8::try_from(count).unwrap_or(u8::MAX));
}

/// Reads the magic bytes and the version; whether it is the one with steps.
fn graph_header(reader: &mut Reader<'_>) -> Result<bool, EncodingError> {
    match reader.version(GRAPH_MAGIC)? {
        VERSION => Ok(false),
        STEPS_VERSION => Ok(true),
        got => Err(EncodingError::Version { expected: STEPS_VERSION, got }),
    }
}

fn read_features(reader: &mut Reader<'_>, stepped: bool) -> Result<Vec<Feature>, EncodingError> {
    let runs = reader.count(MAX_FEATURES, FEATURE_RUN_BYTES)?;
    let (mut features, mut name_bytes) = (Vec::<Feature>::new(), 0usize);
    let mut steps_left = MAX_ENCODE_STEPS;
    for index in 0..runs {
        let count = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
        let name = reader.text(MAX_TEXT_BYTES)?;
        // A run is short to write and long to hold: its limits are checked before it is.
        check_limit(features.len().saturating_add(count), MAX_FEATURES)?;
        name_bytes = name_bytes.saturating_add(name.len().saturating_mul(count));
        check_limit(name_bytes, MAX_NAME_BYTES)?;
        let (offset, multiplier, shift) = (reader.i64()?, reader.i32()?, reader.u8()?);
        let steps = if stepped { list(reader, steps_left, 8, Reader::i64)? } else { Vec::new() };
        steps_left -= steps.len();
        let feature = Feature { name, offset, multiplier, shift, steps };
        let is_run = if feature.steps.is_empty() {
            count > 0 && features.last() != Some(&feature)
        } else {
            count == 1
        };
        if !is_run {
            return Err(EncodingError::Run { index });
        }
        features.extend(core::iter::repeat_n(feature, count));
    }
    if stepped && steps_left == MAX_ENCODE_STEPS {
        return Err(EncodingError::Version { expected: VERSION, got: STEPS_VERSION });
    }
    Ok(features)
}

/// How many features the runs of a graph's encoding stand for, without making them: what decoding costs beyond the length
/// of the bytes. Says nothing about whether the rest is a graph.
///
/// # Errors
/// As [`decode_graph`], for the part up to the features.
pub fn feature_count(bytes: &[u8]) -> Result<u64, EncodingError> {
    let mut reader = Reader::new(bytes);
    let stepped = graph_header(&mut reader)?;
    reader.u8()?;
    read_sizes(&mut reader)?;
    let runs = reader.count(MAX_FEATURES, FEATURE_RUN_BYTES)?;
    let mut features = 0u64;
    for _ in 0..runs {
        features = features.saturating_add(u64::from(reader.u32()?));
        reader.text(MAX_TEXT_BYTES)?;
        reader.i64()?;
        reader.i32()?;
        reader.u8()?;
        if stepped {
            let steps = reader.count(MAX_ENCODE_STEPS, 8)?;
            reader.take(steps.saturating_mul(8))?;
        }
    }
    Ok(features)
}

fn read_node(reader: &mut Reader<'_>) -> Result<Operator, EncodingError> {
    match reader.u8()? {
        0 => {
            let (axes, summed, left) = (read_sizes(reader)?, read_sizes(reader)?, read_view(reader)?);
            let right = match reader.u8()? {
                0 => Right::Weights { axes: read_numbers(reader)? },
                1 => Right::View(read_view(reader)?),
                got => return Err(EncodingError::Tag { got }),
            };
            Ok(Operator::Contract { axes, summed, left, right, bias: read_bias(reader)? })
        }
        1 => {
            let axes = read_sizes(reader)?;
            let terms = list(reader, MAX_TERMS, 10, |reader| {
                let (coefficient, summed) = (reader.i32()?, read_sizes(reader)?);
                Ok(Term { coefficient, summed, view: read_view(reader)? })
            })?;
            Ok(Operator::Combine { axes, terms, constant: reader.i32()?, bias: read_bias(reader)? })
        }
        2 => {
            let (axes, left) = (read_sizes(reader)?, read_view(reader)?);
            Ok(Operator::Maximum { axes, left, right: read_view(reader)? })
        }
        3 => Ok(Operator::Requantise {
            input: TensorId(reader.u32()?),
            shift: reader.u8()?,
            table: reader.u16()?,
        }),
        got => Err(EncodingError::Tag { got }),
    }
}

fn read_view(reader: &mut Reader<'_>) -> Result<View, EncodingError> {
    let tensor = TensorId(reader.u32()?);
    let groups = short_list(reader, MAX_AXES, |reader| {
        let (span, offset) = (reader.u8()?, reader.i32()?);
        let strides = short_list(reader, 2 * MAX_AXES, |reader| {
            Ok(Stride { axis: reader.u8()?, stride: reader.i32()? })
        })?;
        let divisor = reader.u32()?;
        let exact = match reader.u8()? {
            0 => false,
            1 => true,
            got => return Err(EncodingError::Tag { got }),
        };
        Ok(Group { span, offset, strides, divisor, exact })
    })?;
    Ok(View { tensor, groups })
}

fn read_bias(reader: &mut Reader<'_>) -> Result<Option<Vec<u8>>, EncodingError> {
    match reader.u8()? {
        0 => Ok(None),
        1 => Ok(Some(read_numbers(reader)?)),
        got => Err(EncodingError::Tag { got }),
    }
}

fn read_sizes(reader: &mut Reader<'_>) -> Result<Vec<u32>, EncodingError> {
    short_list(reader, MAX_AXES, Reader::u32)
}

fn read_numbers(reader: &mut Reader<'_>) -> Result<Vec<u8>, EncodingError> {
    short_list(reader, 2 * MAX_AXES, Reader::u8)
}

/// A list whose count is one byte.
fn short_list<'a, T>(
    reader: &mut Reader<'a>,
    limit: usize,
    mut item: impl FnMut(&mut Reader<'a>) -> Result<T, EncodingError>,
) -> Result<Vec<T>, EncodingError> {
    let count = usize::from(reader.u8()?);
    check_limit(count, limit)?;
    (0..count).map(|_| item(reader)).collect()
}

fn read_table(reader: &mut Reader<'_>) -> Result<Table, EncodingError> {
    let bits = reader.u8()?;
    if bits == 0 || bits > MAX_TABLE_BITS {
        return Err(EncodingError::OverLimit { limit: usize::from(MAX_TABLE_BITS), got: usize::from(bits) });
    }
    let (entries, _) = reader.take(2 << bits)?.as_chunks::<2>();
    Ok(Table { bits, values: entries.iter().map(|entry| i16::from_le_bytes(*entry)).collect() })
}

fn read_decoder(reader: &mut Reader<'_>) -> Result<Decoder, EncodingError> {
    let tag = reader.u8()?;
    let fraction_bits = i8::from_le_bytes(reader.array()?);
    match tag {
        0 => {
            let labels = list(reader, MAX_AXIS as usize, 2, |reader| reader.text(MAX_TEXT_BYTES))?;
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

/// Fewest bytes of a run of features.
const FEATURE_RUN_BYTES: usize = 19;
const GRAPH_MAGIC: &[u8; 4] = b"TCTG";
const WEIGHTS_MAGIC: &[u8; 4] = b"TCTW";
const VERSION: u16 = 2;
/// Version of a graph whose features have steps.
const STEPS_VERSION: u16 = 3;
