//! Tensors and nodes, laid out: what each reads and commits to.

use core::ops::Range;

use tacit_graph::{
    Graph, Operator, TensorId,
    graph::{Right, View},
};

use super::{
    MAX_RANGE_BITS, MAX_SPAN_BITS, Plan, PlanError, log2_ceil,
    ranges::{difference_bits, ranges},
};
use crate::{field::Ef, views::ViewPlan};

/// A tensor, without its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorPlan {
    /// Sizes of its axes.
    pub sizes: Vec<usize>,
    /// Base-two logarithms of the padded sizes.
    pub logs: Vec<usize>,
    /// Where its values come from.
    pub kind: TensorKind,
}

/// Where the values of a tensor come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TensorKind {
    /// The public input.
    Input,
    /// A witness column.
    Column(usize),
    /// What its node makes of other tensors.
    Virtual,
}

impl TensorPlan {
    pub(super) fn new(sizes: &[u32], kind: TensorKind) -> Self {
        let sizes: Vec<usize> = sizes.iter().map(|size| *size as usize).collect();
        let logs = sizes.iter().map(|size| log2_ceil(*size)).collect();
        Self { sizes, logs, kind }
    }

    /// Base-two logarithm of its padded elements.
    #[must_use]
    pub fn vars(&self) -> usize {
        self.logs.iter().sum()
    }
}

/// A sum of products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractPlan {
    /// Tensor made.
    pub output: usize,
    /// Sizes of the output axes, then of the summed ones.
    pub sizes: Vec<usize>,
    /// How many of them are output axes.
    pub outputs: usize,
    /// First factor.
    pub left: ViewPlan,
    /// Second factor.
    pub right: RightPlan,
    /// What is added.
    pub bias: Option<BiasPlan>,
    /// Output axes that both factors use.
    pub shared: Vec<usize>,
}

impl ContractPlan {
    /// Whether both factors have rows.
    #[must_use]
    pub fn shares_rows(&self) -> bool {
        matches!(self.right, RightPlan::View(_))
    }

    /// Summed axes.
    #[must_use]
    pub fn summed(&self) -> Range<usize> {
        self.outputs..self.sizes.len()
    }
}

/// The second factor of a contraction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RightPlan {
    /// Committed weights.
    Weights {
        /// Index into [`super::WeightPlan::tensors`].
        tensor: usize,
        /// The operator's axis of each of its axes.
        axes: Vec<usize>,
    },
    /// Another tensor.
    View(ViewPlan),
}

/// A vector added along some output axes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BiasPlan {
    /// Index into [`super::WeightPlan::tensors`].
    pub tensor: usize,
    /// The operator's axis of each of its axes; none for a scalar.
    pub axes: Vec<usize>,
}

impl BiasPlan {
    fn new(axes: Option<&[u8]>, weights: &mut usize) -> Option<Self> {
        let axes = axes?.iter().map(|axis| usize::from(*axis)).collect();
        Some(Self { tensor: next(weights), axes })
    }

    /// The point over the tensor's axes at points over the operator's output axes.
    #[must_use]
    pub fn points(&self, axes: &[Vec<Ef>]) -> Vec<Vec<Ef>> {
        if self.axes.is_empty() {
            return vec![Vec::new()];
        }
        self.axes.iter().filter_map(|axis| axes.get(*axis).cloned()).collect()
    }
}

/// A sum of views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CombinePlan {
    /// Tensor made.
    pub output: usize,
    /// Sizes of the output axes.
    pub sizes: Vec<usize>,
    /// What is added up.
    pub terms: Vec<TermPlan>,
    /// Added everywhere.
    pub constant: i32,
    /// What is added besides.
    pub bias: Option<BiasPlan>,
}

/// One summand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermPlan {
    /// Its factor.
    pub coefficient: i32,
    /// What it reads.
    pub view: ViewPlan,
    /// How many axes it sums over.
    pub summed: usize,
}

/// The larger of two views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaximumPlan {
    /// Tensor made.
    pub output: usize,
    /// One side.
    pub left: ViewPlan,
    /// The other.
    pub right: ViewPlan,
    /// Bits of the table of `max(d, 0)`.
    pub bits: usize,
    /// Place of the difference in [`Plan::virtuals`].
    pub difference: usize,
    /// Column of what the table makes of the difference.
    pub image: usize,
}

/// One requantisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequantisePlan {
    /// Tensor read.
    pub input: usize,
    /// Tensor made.
    pub output: usize,
    /// Rounding right shift.
    pub shift: usize,
    /// Index into the graph's tables.
    pub table: usize,
    /// Place of `u` in [`Plan::virtuals`].
    pub quotient: usize,
    /// Column of `y`.
    pub image: usize,
    /// Columns of `r`, low bits first; none when the shift is zero.
    pub limbs: Vec<Limb>,
}

impl RequantisePlan {
    /// What is added before the shift.
    #[must_use]
    pub fn half(&self) -> i32 {
        if self.shift == 0 { 0 } else { 1 << (self.shift - 1) }
    }
}

/// Part of a remainder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limb {
    /// Its column.
    pub column: usize,
    /// Its lowest bit.
    pub offset: usize,
    /// Its length.
    pub bits: usize,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Sum of products.
    Contract(ContractPlan),
    /// Sum of views.
    Combine(CombinePlan),
    /// Larger of two views.
    Maximum(MaximumPlan),
    /// Through a table.
    Requantise(RequantisePlan),
}

impl Plan {
    pub(super) fn add_nodes(&mut self, graph: &Graph) -> Result<(), PlanError> {
        let shapes = graph.validate()?;
        let ranges = ranges(graph);
        // Weights are numbered as they are met.
        let mut weights = 0;
        for (node, operator) in graph.nodes.iter().enumerate() {
            let output = node + 1;
            let axes = shapes.tensors().get(output).map(|shape| shape.axes.clone()).unwrap_or_default();
            self.tensors.push(TensorPlan::new(&axes, TensorKind::Virtual));
            let step = match operator {
                Operator::Contract { .. } => self.contract(operator, output, &mut weights),
                Operator::Combine { .. } => self.combine(operator, output, &mut weights),
                Operator::Maximum { axes, left, right } => {
                    let sizes: Vec<usize> = axes.iter().map(|size| *size as usize).collect();
                    let view = |view: &View| {
                        ViewPlan::new(
                            view,
                            &self.tensors[view.tensor.0 as usize],
                            &sizes,
                            sizes.len(),
                            |_| true,
                            |_| false,
                        )
                    };
                    let (left, right) = (view(left), view(right));
                    let bits = difference_bits(ranges[left.tensor], ranges[right.tensor]);
                    if bits > MAX_RANGE_BITS {
                        return Err(PlanError::MaximumTooWide { node, got: bits });
                    }
                    let image = self.add_column(self.tensor_vars(output));
                    let difference = self.add_virtual(node);
                    Step::Maximum(MaximumPlan { output, left, right, bits, difference, image })
                }
                Operator::Requantise { input: TensorId(input), shift, table } => {
                    let (shift, table) = (usize::from(*shift), usize::from(*table));
                    let span = shift + usize::from(graph.tables[table].bits);
                    if span > usize::from(MAX_SPAN_BITS) {
                        return Err(PlanError::TableTooWide { node, got: span });
                    }
                    let quotient = self.add_virtual(node);
                    let image = self.add_column(self.tensor_vars(output));
                    self.tensors[output].kind = TensorKind::Column(image);
                    let input = *input as usize;
                    Step::Requantise(RequantisePlan {
                        input,
                        output,
                        shift,
                        table,
                        quotient,
                        image,
                        limbs: Vec::new(),
                    })
                }
            };
            self.steps.push(step);
        }
        Ok(())
    }

    fn contract(&self, operator: &Operator, output: usize, weights: &mut usize) -> Step {
        let Operator::Contract { axes, summed, left, right, bias } = operator else {
            return self.combine(operator, output, weights);
        };
        let sizes: Vec<usize> = axes.iter().chain(summed).map(|size| *size as usize).collect();
        let outputs = axes.len();
        let weighted = |axis: usize| match right {
            Right::Weights { axes } => axes.iter().any(|chosen| usize::from(*chosen) == axis),
            Right::View(_) => false,
        };
        let plan = |view: &View| {
            ViewPlan::new(view, &self.tensors[view.tensor.0 as usize], &sizes, outputs, |_| true, weighted)
        };
        let left = plan(left);
        let right = match right {
            Right::Weights { axes } => RightPlan::Weights {
                tensor: next(weights),
                axes: axes.iter().map(|axis| usize::from(*axis)).collect(),
            },
            Right::View(view) => RightPlan::View(plan(view)),
        };
        let shared = (0..outputs)
            .filter(|axis| {
                let right = match &right {
                    RightPlan::Weights { axes, .. } => axes.contains(axis),
                    RightPlan::View(view) => view.uses(*axis),
                };
                left.uses(*axis) && right
            })
            .collect();
        // An axis that only one factor uses does not change the other: only the user's own mask counts.
        let left = ViewPlan { unused: Vec::new(), ..left };
        let right = match right {
            RightPlan::View(view) => RightPlan::View(ViewPlan { unused: Vec::new(), ..view }),
            weights @ RightPlan::Weights { .. } => weights,
        };
        let bias = BiasPlan::new(bias.as_deref(), weights);
        Step::Contract(ContractPlan { output, sizes, outputs, left, right, bias, shared })
    }

    fn combine(&self, operator: &Operator, output: usize, weights: &mut usize) -> Step {
        let (axes, terms, constant, bias) = match operator {
            Operator::Combine { axes, terms, constant, bias } => {
                (axes.as_slice(), terms.as_slice(), *constant, bias.as_ref())
            }
            Operator::Contract { .. } | Operator::Maximum { .. } | Operator::Requantise { .. } => {
                (&[][..], &[][..], 0, None)
            }
        };
        let sizes: Vec<usize> = axes.iter().map(|size| *size as usize).collect();
        let terms = terms
            .iter()
            .map(|term| {
                let all: Vec<usize> = axes.iter().chain(&term.summed).map(|size| *size as usize).collect();
                let source = &self.tensors[term.view.tensor.0 as usize];
                let outputs = sizes.len();
                let view = ViewPlan::new(&term.view, source, &all, outputs, |axis| axis < outputs, |_| false);
                TermPlan { coefficient: term.coefficient, view, summed: term.summed.len() }
            })
            .collect();
        let bias = BiasPlan::new(bias.map(Vec::as_slice), weights);
        Step::Combine(CombinePlan { output, sizes, terms, constant, bias })
    }
}

/// The next tensor of weights.
fn next(weights: &mut usize) -> usize {
    let tensor = *weights;
    *weights += 1;
    tensor
}
