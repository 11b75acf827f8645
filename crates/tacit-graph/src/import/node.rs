//! A node of the ONNX graph with its inputs looked up.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    build::Builder,
    error::NodeReason,
    lower::Value,
    onnx::{AttributeProto, Constant, NodeProto},
    operators,
    tensor::Real,
};

/// What an operator makes.
pub(super) type Made = Result<Vec<Value>, NodeReason>;

/// A node with its inputs looked up.
pub(super) struct Node<'a> {
    pub(super) proto: &'a NodeProto,
    pub(super) inputs: &'a [Option<&'a Value>],
    uses: &'a BTreeMap<&'a str, usize>,
    pub(super) opset: i64,
}

impl<'a> Node<'a> {
    pub(super) fn new(
        proto: &'a NodeProto,
        inputs: &'a [Option<&'a Value>],
        uses: &'a BTreeMap<&'a str, usize>,
        opset: i64,
    ) -> Self {
        Self { proto, inputs, uses, opset }
    }

    pub(super) fn operator(&self) -> &'a str {
        &self.proto.op_type
    }

    /// The same node with other inputs.
    pub(super) fn with<'b>(&self, inputs: &'b [Option<&'b Value>]) -> Node<'b>
    where
        'a: 'b,
    {
        Node { proto: self.proto, inputs, uses: self.uses, opset: self.opset }
    }

    /// Whether only this node reads an input.
    pub(super) fn alone(&self, input: usize) -> bool {
        let name = self.proto.input.get(input).map(String::as_str).unwrap_or_default();
        self.uses.get(name) == Some(&1)
    }

    pub(super) fn optional(&self, input: usize) -> Option<&'a Value> {
        self.inputs.get(input).copied().flatten()
    }

    pub(super) fn value(&self, input: usize) -> Result<&'a Value, NodeReason> {
        self.optional(input).ok_or(NodeReason::MissingInput { input })
    }

    /// A value computed from the network's input.
    pub(super) fn real(&self, input: usize, builder: &mut Builder) -> Result<Real, NodeReason> {
        match self.value(input)? {
            value @ (Value::Real(_) | Value::Softmax(_) | Value::Pair(_)) => {
                operators::real_of(value, builder)
            }
            Value::Winner(decision) => super::reduce::winner(decision, builder),
            Value::Features { .. } => Err(NodeReason::BesideTrees),
            _ => Err(NodeReason::NeedsRow { input }),
        }
    }

    pub(super) fn constant(&self, input: usize) -> Result<&'a Constant, NodeReason> {
        match self.value(input)? {
            Value::Constant(constant) => Ok(constant),
            _ => Err(NodeReason::NeedsConstant { input }),
        }
    }

    pub(super) fn optional_constant(&self, input: usize) -> Result<Option<&'a Constant>, NodeReason> {
        self.optional(input).map(|_| self.constant(input)).transpose()
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.proto.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub(super) fn int(&self, name: &'static str, default: i64) -> i64 {
        self.attribute(name).and_then(|attribute| attribute.i).unwrap_or(default)
    }

    pub(super) fn ints(&self, name: &str) -> Option<&'a [i64]> {
        self.attribute(name).map(|attribute| attribute.ints.as_slice())
    }

    pub(super) fn text(&self, name: &'static str, default: &'static str) -> Result<&'a str, NodeReason> {
        match self.attribute(name).and_then(|attribute| attribute.s.as_deref()) {
            None => Ok(default),
            Some(bytes) => core::str::from_utf8(bytes).map_err(|_| NodeReason::NotUtf8),
        }
    }

    pub(super) fn float(&self, name: &'static str, default: f64) -> Result<f64, NodeReason> {
        let value = self.attribute(name).and_then(|attribute| attribute.f).map_or(default, f64::from);
        if value.is_finite() { Ok(value) } else { Err(NodeReason::NotFinite) }
    }

    pub(super) fn floats(&self, name: &str) -> Vec<f64> {
        let floats = self.attribute(name).map(|attribute| attribute.floats.as_slice()).unwrap_or_default();
        floats.iter().map(|value| f64::from(*value)).collect()
    }

    pub(super) fn strings(&self, name: &str) -> Result<Vec<String>, NodeReason> {
        let strings = self.attribute(name).map(|attribute| attribute.strings.as_slice()).unwrap_or_default();
        strings.iter().map(|text| String::from_utf8(text.clone()).map_err(|_| NodeReason::NotUtf8)).collect()
    }

    pub(super) fn labels(
        &self,
        ints: &'static str,
        strings: &'static str,
    ) -> Result<Vec<String>, NodeReason> {
        let numbers = self.ints(ints).unwrap_or_default();
        let labels = self.strings(strings)?;
        match (numbers.is_empty(), labels.is_empty()) {
            (false, true) => Ok(numbers.iter().map(i64::to_string).collect()),
            (true, false) => Ok(labels),
            _ => Err(NodeReason::Attribute { name: strings }),
        }
    }

    /// Whole numbers from an input, or from an attribute in older opsets.
    pub(super) fn whole(&self, input: usize, attribute: &str) -> Result<Option<Vec<i64>>, NodeReason> {
        match self.optional_constant(input)? {
            Some(constant) => Ok(Some(constant.whole()?)),
            None => Ok(self.ints(attribute).map(<[i64]>::to_vec)),
        }
    }

    /// An axis of a value of `rank` axes.
    pub(super) fn axis(&self, name: &'static str, default: i64, rank: usize) -> Result<usize, NodeReason> {
        axis(self.int(name, default), rank).ok_or(NodeReason::Attribute { name })
    }
}

/// An axis counted from the front, or from the back when negative.
pub(super) fn axis(axis: i64, rank: usize) -> Option<usize> {
    let rank_signed = i64::try_from(rank).ok()?;
    let axis = if axis < 0 { axis.checked_add(rank_signed)? } else { axis };
    usize::try_from(axis).ok().filter(|axis| *axis < rank)
}

pub(super) fn axes(axes: &[i64], rank: usize) -> Result<Vec<usize>, NodeReason> {
    axes.iter().map(|at| axis(*at, rank).ok_or(NodeReason::Attribute { name: "axes" })).collect()
}

pub(super) fn real(made: Result<Real, NodeReason>) -> Made {
    Ok(vec![Value::Real(made?)])
}

pub(super) fn constant(made: Constant) -> Made {
    Ok(vec![Value::Constant(Arc::new(made))])
}
