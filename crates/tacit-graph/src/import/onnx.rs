//! The part of the ONNX format that imports read: protobuf messages and constant tensors.
//!
//! Field numbers are those of `onnx.proto` (ONNX 1.16). Fields that mean nothing here are skipped by the decoder,
//! which also bounds nesting.

use prost::Message;

use super::error::NodeReason;

#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelProto {
    #[prost(message, optional, tag = "7")]
    pub(super) graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub(super) opset_import: Vec<OpsetProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OpsetProto {
    #[prost(string, tag = "1")]
    pub(super) domain: String,
    #[prost(int64, tag = "2")]
    pub(super) version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub(super) node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    pub(super) initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub(super) input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub(super) output: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub(super) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) attribute: Vec<AttributeProto>,
    #[prost(string, tag = "7")]
    pub(super) domain: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AttributeProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(float, optional, tag = "2")]
    pub(super) f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub(super) i: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(super) s: Option<Vec<u8>>,
    #[prost(message, optional, tag = "5")]
    pub(super) t: Option<TensorProto>,
    #[prost(float, repeated, tag = "7")]
    pub(super) floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    pub(super) ints: Vec<i64>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub(super) strings: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub(super) dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(super) data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub(super) float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub(super) int32_data: Vec<i32>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub(super) string_data: Vec<Vec<u8>>,
    #[prost(int64, repeated, tag = "7")]
    pub(super) int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub(super) name: String,
    #[prost(bytes = "vec", optional, tag = "9")]
    pub(super) raw_data: Option<Vec<u8>>,
    #[prost(double, repeated, tag = "10")]
    pub(super) double_data: Vec<f64>,
    #[prost(uint64, repeated, tag = "11")]
    pub(super) uint64_data: Vec<u64>,
    #[prost(int32, tag = "14")]
    pub(super) data_location: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "2")]
    pub(super) r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub(super) tensor_type: Option<TensorTypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorTypeProto {
    #[prost(int32, tag = "1")]
    pub(super) elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) shape: Option<ShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub(super) dim: Vec<DimensionProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DimensionProto {
    #[prost(int64, optional, tag = "1")]
    pub(super) dim_value: Option<i64>,
}

/// A tensor that does not depend on the model's input.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constant {
    pub(super) dims: Vec<usize>,
    pub(super) data: Data,
    /// ONNX's number for the element type: quantised operators take their range from it.
    pub(super) data_type: i32,
    /// The numbers are whole multiples of this, at most 255 of them.
    pub(super) grid: Option<f64>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

impl Constant {
    pub(super) fn scalar(value: f64, data_type: i32) -> Self {
        Self { dims: Vec::new(), data: Data::Numbers(vec![value]), data_type, grid: None }
    }

    pub(super) fn vector(values: Vec<f64>, data_type: i32) -> Self {
        Self { dims: vec![values.len()], data: Data::Numbers(values), data_type, grid: None }
    }

    /// Numbers of any shape.
    pub(super) fn array(dims: Vec<usize>, values: Vec<f64>, data_type: i32) -> Self {
        Self { dims, data: Data::Numbers(values), data_type, grid: None }
    }

    pub(super) fn texts(values: Vec<String>) -> Self {
        Self { dims: vec![values.len()], data: Data::Texts(values), data_type: STRING, grid: None }
    }

    pub(super) fn from_proto(tensor: &TensorProto) -> Result<Self, NodeReason> {
        if tensor.data_location != 0 {
            return Err(NodeReason::ExternalData);
        }
        let dims = tensor
            .dims
            .iter()
            .map(|dim| usize::try_from(*dim).map_err(|_| NodeReason::TensorShape))
            .collect::<Result<Vec<_>, _>>()?;
        // An empty list is a constant; an axis of none beside huge ones is not.
        if dims.contains(&0) && dims.len() > 1 {
            return Err(NodeReason::TensorShape);
        }
        let cells = dims.iter().try_fold(1usize, |cells, dim| cells.checked_mul(*dim));
        let data = if tensor.data_type == STRING {
            let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).map_err(|_| NodeReason::NotUtf8);
            Data::Texts(tensor.string_data.iter().map(text).collect::<Result<_, _>>()?)
        } else {
            Data::Numbers(numbers(tensor)?)
        };
        let constant = Self { dims, data, data_type: tensor.data_type, grid: None };
        if cells == Some(constant.len()) { Ok(constant) } else { Err(NodeReason::TensorShape) }
    }

    pub(super) fn numbers(&self) -> Result<&[f64], NodeReason> {
        match &self.data {
            Data::Numbers(values) => Ok(values),
            Data::Texts(_) => Err(NodeReason::NeedsNumbers),
        }
    }

    /// Elements.
    pub(super) fn len(&self) -> usize {
        match &self.data {
            Data::Numbers(values) => values.len(),
            Data::Texts(values) => values.len(),
        }
    }

    /// The only number.
    pub(super) fn number(&self) -> Result<f64, NodeReason> {
        match self.numbers()? {
            [value] => Ok(*value),
            _ => Err(NodeReason::NeedsScalar),
        }
    }

    /// Whole numbers, as axes and shapes are given.
    pub(super) fn whole(&self) -> Result<Vec<i64>, NodeReason> {
        Ok(self.numbers()?.iter().map(|value| *value as i64).collect())
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(self.data_type, UINT8 | INT8 | UINT16 | INT16 | INT32 | INT64)
    }

    /// Every element as people read it; whole numbers without a point.
    pub(super) fn labels(&self) -> Vec<String> {
        match &self.data {
            Data::Numbers(values) => values.iter().map(f64::to_string).collect(),
            Data::Texts(values) => values.clone(),
        }
    }
}

fn numbers(tensor: &TensorProto) -> Result<Vec<f64>, NodeReason> {
    let raw = tensor.raw_data.as_deref().filter(|raw| !raw.is_empty());
    let values = match (tensor.data_type, raw) {
        (FLOAT, Some(raw)) => packed(raw, |b| f64::from(f32::from_le_bytes(b)))?,
        (FLOAT, None) => tensor.float_data.iter().map(|v| f64::from(*v)).collect(),
        (DOUBLE, Some(raw)) => packed(raw, f64::from_le_bytes)?,
        (DOUBLE, None) => tensor.double_data.clone(),
        (UINT32, Some(raw)) => packed(raw, |b| f64::from(u32::from_le_bytes(b)))?,
        (UINT64, Some(raw)) => packed(raw, |b| u64::from_le_bytes(b) as f64)?,
        (UINT32 | UINT64, None) => tensor.uint64_data.iter().map(|v| *v as f64).collect(),
        (INT64, Some(raw)) => packed(raw, |b| i64::from_le_bytes(b) as f64)?,
        (INT64, None) => tensor.int64_data.iter().map(|v| *v as f64).collect(),
        (INT32, Some(raw)) => packed(raw, |b| f64::from(i32::from_le_bytes(b)))?,
        (INT16, Some(raw)) => packed(raw, |b| f64::from(i16::from_le_bytes(b)))?,
        (UINT16, Some(raw)) => packed(raw, |b| f64::from(u16::from_le_bytes(b)))?,
        (INT8, Some(raw)) => packed(raw, |b| f64::from(i8::from_le_bytes(b)))?,
        (UINT8 | BOOL, Some(raw)) => packed(raw, |b| f64::from(u8::from_le_bytes(b)))?,
        (INT32 | INT16 | UINT16 | INT8 | UINT8 | BOOL, None) => {
            tensor.int32_data.iter().map(|v| f64::from(*v)).collect()
        }
        (data_type, _) => return Err(NodeReason::TensorType { data_type }),
    };
    // A lone infinity is a bound that cuts nothing off; operators that would compute with it refuse it.
    let bound = matches!(values.as_slice(), [value] if value.is_infinite());
    if bound || values.iter().all(|value| value.is_finite()) {
        Ok(values)
    } else {
        Err(NodeReason::NotFinite)
    }
}

fn packed<const N: usize>(raw: &[u8], read: impl Fn([u8; N]) -> f64) -> Result<Vec<f64>, NodeReason> {
    let (items, rest) = raw.as_chunks::<N>();
    if rest.is_empty() {
        Ok(items.iter().map(|item| read(*item)).collect())
    } else {
        Err(NodeReason::TensorShape)
    }
}

pub(super) const FLOAT: i32 = 1;
pub(super) const UINT8: i32 = 2;
pub(super) const INT8: i32 = 3;
pub(super) const UINT16: i32 = 4;
pub(super) const INT16: i32 = 5;
pub(super) const INT32: i32 = 6;
pub(super) const INT64: i32 = 7;
pub(super) const STRING: i32 = 8;
pub(super) const BOOL: i32 = 9;
pub(super) const DOUBLE: i32 = 11;
pub(super) const UINT32: i32 = 12;
pub(super) const UINT64: i32 = 13;
