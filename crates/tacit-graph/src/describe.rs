//! Operators that have a name of their own, and what to call any of them.

use crate::{
    graph::{Graph, Group, Operator, Right, Stride, TensorId, View},
    shapes::product,
};

impl Operator {
    /// A dense layer with weights `[inputs][outputs]` and a bias, on a tensor of one axis.
    #[must_use]
    pub fn dense(input: TensorId, inputs: u32, outputs: u32) -> Self {
        let group = Group {
            span: 1,
            offset: 0,
            strides: vec![Stride { axis: 1, stride: 1 }],
            divisor: 1,
            exact: false,
        };
        Self::Contract {
            axes: vec![outputs],
            summed: vec![inputs],
            left: View { tensor: input, groups: vec![group] },
            right: Right::Weights { axes: vec![1, 0] },
            bias: Some(vec![0]),
        }
    }
}

impl Graph {
    /// One line for each operator: what it is, the axes of what it makes, and what it sums over.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        self.nodes.iter().map(|node| self.describe_node(node)).collect()
    }

    fn describe_node(&self, node: &Operator) -> String {
        match node {
            Operator::Contract { axes, summed, left, right: Right::Weights { .. }, .. } => {
                let output = |stride: &Stride| usize::from(stride.axis) < axes.len();
                let window =
                    |group: &Group| group.strides.iter().any(output) && !group.strides.iter().all(output);
                if left.groups.iter().any(window) {
                    format!("convolution {} over {}", by(axes), by(summed))
                } else if summed.is_empty() {
                    format!("scale {}", by(axes))
                } else {
                    format!("dense {}x{}", product(summed), by(axes))
                }
            }
            Operator::Contract { axes, summed, right: Right::View(_), .. } => {
                let over = if summed.is_empty() { String::new() } else { format!(" over {}", by(summed)) };
                format!("product {}{over}", by(axes))
            }
            Operator::Combine { axes, terms, .. } => match terms.as_slice() {
                [_] => format!("combine {}", by(axes)),
                terms => format!("combine {} of {} terms", by(axes), terms.len()),
            },
            Operator::Maximum { axes, .. } => format!("maximum {}", by(axes)),
            Operator::Requantise { shift, table, .. } => {
                let bits = self.tables.get(usize::from(*table)).map_or(0, |table| table.bits);
                format!("requantise shift {shift} table {table} of {bits} bits")
            }
        }
    }
}

fn by(axes: &[u32]) -> String {
    let sizes: Vec<String> = axes.iter().map(u32::to_string).collect();
    sizes.join("x")
}
