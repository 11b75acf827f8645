//! The integer graph: operators, ONNX import, calibration, exact executor, canonical encoding, model id.

pub mod graph;

pub use graph::{Decoder, DenseWeights, Feature, Graph, Operator, Table, TensorId, Weights};
