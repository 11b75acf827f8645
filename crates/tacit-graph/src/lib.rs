//! The integer graph: operators, ONNX import, calibration, exact executor, canonical encoding, model id.
//!
//! - [`graph`] says what a model means; [`Graph::validate`] says which graphs are graphs.
//! - [`Model`] is a valid graph with weights that fit it; nothing else can be executed.
//! - [`columns`] reads rows with names.
//! - [`execute`] runs it fast, [`mod@reference`] runs it slowly, straight from the definitions.
//! - [`trace`] commits to a run, and computes one element of it alone, for whoever disputes it.
//! - [`encoding`] and [`mod@file`] are the canonical bytes, [`ModelId`] the name they give a model.
//!
//! ```
//! use tacit_graph::{Answer, RawValue, execute, synthetic_mlp};
//!
//! let model = synthetic_mlp(&[4, 8, 3], 1)?;
//! let raw: Vec<RawValue> = ["0", "12.5", "127", "3"].iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
//! let trace = execute(&model, &model.graph().encode_values(&raw)?, 1)?;
//! let answer = model.graph().decode_output(&trace.logits())?;
//! assert!(matches!(answer, Answer::Label { .. }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Everything that decides an answer is integer arithmetic. Floats appear only before a model exists (the
//! importer) and after its answer does ([`Score::to_f64`]).

#![forbid(unsafe_code)]

pub mod columns;
pub mod encoding;
pub mod file;
pub mod graph;
pub mod import;
pub mod reference;
pub mod trace;

mod answer;
mod bytes;
mod describe;
mod error;
mod execute;
mod id;
mod model;
mod raw;
mod reach;
mod shapes;
mod synthetic;
mod tensor;
mod validate;

pub use answer::{Answer, AnswerError, LabelScore, LabelScores, Score};
pub use columns::{Columns, RowError};
pub use encoding::{
    EncodingError, decode_graph, decode_weights, encode_graph, encode_weights, feature_count,
};
pub use error::{GraphError, Place};
pub use execute::{ExecuteError, MAX_TRACE_CELLS, execute, execute_observed};
pub use file::{Agreement, HidingKey, ImportReport, ModelFile, Task};
pub use graph::{
    Decoder, Feature, Graph, Group, LayerWeights, Operator, Right, Stride, Table, TensorId, Term, View,
    Weights,
};
pub use id::{ModelId, ModelIdError, model_id};
pub use model::Model;
pub use raw::{MAX_DECIMAL_BYTES, RawValue, RawValueError};
pub use reach::reach;
pub use shapes::{ElementType, Shapes, TensorShape};
pub use synthetic::{SyntheticNetwork, synthetic_mlp, synthetic_network};
#[doc(hidden)]
pub use synthetic::{random_inputs, random_model};
pub use tensor::{Tensor, Trace};
pub use validate::{MAX_FEATURES, MAX_GROUP, MAX_NAME_BYTES, MAX_STEP, MAX_WORK};
