//! What is proved, laid out: which columns are committed, where they sit, which look-ups they make.
//!
//! The plan is a pure function of the public graph and the number of rows. Prover and verifier build the same
//! one, so a proof carries no shape of its own.
//!
//! # Tensors
//! Every axis is padded to a power of two. Contractions and combinations are *virtual*: never committed, zero in their
//! padding, and claims about them become claims about what they read. A requantisation commits its image.
//!
//! # Committed columns
//! For each requantisation of `x` with shift `s` and table `T`, over all padded rows and axes: quotient `u` (none
//! when `s = 0`: it is `x`), image `y`, and the remainder `r` as limbs `r = sum_i 2^(offset_i) * limb_i`, where
//!
//! ```text
//! x + half = 2^s * u + r,   half = 2^(s-1) (0 when s = 0),   (u, y) in T,   limb_i < 2^(bits_i)
//! ```
//!
//! For each maximum of `a` and `b`: the image `m` of `d = a - b`, `(d, m)` in the table of `max(d, 0)`; the maximum is
//! `b + m`. For each table, how often each of its rows is used. Rows are padded to a power of two by repeating the
//! last row: padding is an honest run too.
//!
//! Where rows are committed instead of public, so are the encoded inputs and a salt for each row.
//!
//! # Uniqueness
//! `(u, r)` is determined by `x mod p` because the pairs span `2^(s + bits) <= 2^30 < p` integers; graphs with a
//! wider table are refused ([`PlanError::TableTooWide`]).
//!
//! # Stacking
//! Columns are sorted by length, longest first, and laid end to end: every column is then aligned to its length.
//! Weight tensors are stacked the same way, by the length of their last axis, padded to a power of two; their other axes are
//! not padded.

#![cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        reason = "indices and sizes come from a validated graph under the limits below, never from a proof"
    )
)]

use core::ops::Range;

use tacit_graph::{
    Graph, GraphError, Operator, TensorId,
    graph::{MAX_BIAS, Right, View},
};

use crate::{
    field::{EF_DEGREE, Ef},
    views::ViewPlan,
};

/// Most rows of one proof.
pub const MAX_ROWS: usize = 1 << 12;
/// Most look-up leaves and most committed witness values of one proof, as a power of two.
pub const MAX_WITNESS_VARS: usize = 24;
/// Most committed weights, as a power of two.
pub const MAX_WEIGHT_VARS: usize = 26;
/// Commitments to fewer values are padded to this power of two.
pub const MIN_COMMITTED_VARS: usize = 8;
/// Most rows of all weight tensors together, as a power of two: what the verifier keeps an element for.
pub const MAX_WEIGHT_ROW_VARS: usize = 22;
/// Most variables that a batching sumcheck binds first.
const MAX_LOW_VARS: usize = 10;
/// Widest range table.
pub const MAX_RANGE_BITS: usize = 16;
/// Bits that a quotient and its remainder may span together.
pub const MAX_SPAN_BITS: usize = 30;
/// Tags of range tables start here, above those of activation tables.
const RANGE_TAG: u32 = 1 << 17;
/// Tags of tables of `max(d, 0)`.
const POSITIVE_TAG: u32 = 1 << 18;

/// Why a graph or a batch cannot be proved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The graph is not valid.
    #[error("the graph is not valid")]
    Graph(#[from] GraphError),
    /// Shift and table together exceed what the field can tell apart.
    #[error("node {node} spans {got} bits of accumulator, a proof covers {MAX_SPAN_BITS}")]
    TableTooWide {
        /// The requantisation.
        node: usize,
        /// Its shift plus its table bits.
        got: usize,
    },
    /// A maximum of values further apart than a table is wide.
    #[error("node {node} compares values that differ by up to {got} bits, a table has {MAX_RANGE_BITS}")]
    MaximumTooWide {
        /// The maximum.
        node: usize,
        /// Bits that the difference may need.
        got: usize,
    },
    /// No rows, or more than [`MAX_ROWS`].
    #[error("a proof covers 1 to {MAX_ROWS} rows, got {got}")]
    Rows {
        /// Rows asked for.
        got: usize,
    },
    /// More witness than [`MAX_WITNESS_VARS`] allows.
    #[error("the witness needs 2^{got} values, a proof holds 2^{MAX_WITNESS_VARS}")]
    WitnessTooLarge {
        /// Base-two logarithm of what is needed.
        got: usize,
    },
    /// More rows of weights than [`MAX_WEIGHT_ROW_VARS`] allows.
    #[error("the weights have {got} rows, a proof holds 2^{MAX_WEIGHT_ROW_VARS}")]
    WeightRows {
        /// Rows of all tensors of weights.
        got: usize,
    },
    /// More weights than [`MAX_WEIGHT_VARS`] allows.
    #[error("the weights need 2^{got} values, a commitment holds 2^{MAX_WEIGHT_VARS}")]
    WeightsTooLarge {
        /// Base-two logarithm of what is needed.
        got: usize,
    },
}

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
    fn new(sizes: &[u32], kind: TensorKind) -> Self {
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

/// Where the weights sit in their commitment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightPlan {
    /// Matrices and biases, in node order, the matrix of a node first.
    pub tensors: Vec<WeightTensor>,
    /// The commitment holds `2^vars` values.
    pub vars: usize,
    /// How many of its last variables the batching sumcheck binds first.
    pub low: usize,
}

/// One tensor of weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightTensor {
    /// Index into the layers of the weights.
    pub layer: usize,
    /// Whether it is the bias of the layer.
    pub bias: bool,
    /// Sizes of its axes.
    pub sizes: Vec<usize>,
    /// Base-two logarithms of the padded sizes.
    pub logs: Vec<usize>,
    /// Where it starts in the stack, in rows of its own length.
    pub first_row: usize,
}

impl WeightTensor {
    /// A scalar is an axis of one element.
    fn new(layer: usize, bias: bool, mut sizes: Vec<usize>) -> Self {
        if sizes.is_empty() {
            sizes.push(1);
        }
        let logs = sizes.iter().map(|size| log2_ceil(*size)).collect();
        Self { layer, bias, sizes, logs, first_row: 0 }
    }

    /// Number of its rows: everything but the last axis, not padded.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.sizes.iter().rev().skip(1).product()
    }

    /// Base-two logarithm of its padded row length.
    #[must_use]
    pub fn log_row(&self) -> usize {
        self.logs.last().copied().unwrap_or(0)
    }

    /// Base-two logarithm of its elements, every axis padded.
    #[must_use]
    pub fn vars(&self) -> usize {
        self.logs.iter().sum()
    }

    /// Where it starts in the stack.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.first_row << self.log_row()
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
        /// Index into [`WeightPlan::tensors`].
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
    /// Index into [`WeightPlan::tensors`].
    pub tensor: usize,
    /// The operator's axis of each of its axes; none for a scalar.
    pub axes: Vec<usize>,
}

impl BiasPlan {
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
    /// Column of `u`; none when the shift is zero.
    pub quotient: Option<usize>,
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

/// A column of the witness commitment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Base-two logarithm of its length.
    pub vars: usize,
    /// Where it starts, a multiple of its length.
    pub offset: usize,
}

/// A table that look-ups go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TablePlan {
    /// What it holds.
    pub kind: TableKind,
    /// Base-two logarithm of its rows.
    pub vars: usize,
    /// Tells it apart from the other tables.
    pub tag: u32,
    /// Column that counts its uses.
    pub count: usize,
}

/// What a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// Rows `(u, y)` of one of the graph's tables, by its index.
    Activation(usize),
    /// Rows `(i, 0)` for `i < 2^bits`.
    Range,
    /// Rows `(d, max(d, 0))` for `-2^(bits-1) <= d < 2^(bits-1)`.
    Positive,
}

/// Consecutive leaves of the look-up tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafBlock {
    /// What they stand for.
    pub kind: LeafKind,
    /// Index into [`Plan::tables`].
    pub table: usize,
    /// Base-two logarithm of their number.
    pub vars: usize,
    /// Where they start, a multiple of their number.
    pub offset: usize,
}

/// What leaves stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeafKind {
    /// Look-ups of `(input, output)`; the output is zero where there is no column.
    Uses {
        /// What is looked up.
        input: LookupInput,
        /// Column of what is found.
        output: Option<usize>,
    },
    /// The table's own rows.
    Rows,
}

/// What is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupInput {
    /// A witness column.
    Column(usize),
    /// What the node of this number looks up and does not commit to, by its place in [`Plan::virtuals`].
    Virtual(usize),
}

/// The whole layout of one proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Rows of the batch.
    pub rows: usize,
    /// Base-two logarithm of the padded rows.
    pub log_rows: usize,
    /// Every tensor.
    pub tensors: Vec<TensorPlan>,
    /// Nodes in order; node `i` makes tensor `i + 1`.
    pub steps: Vec<Step>,
    /// The weight commitment.
    pub weights: WeightPlan,
    /// Witness columns.
    pub columns: Vec<Column>,
    /// Columns of salts, one element of each a row; none when the rows are public.
    pub salts: Vec<usize>,
    /// Nodes whose look-ups take uncommitted values: requantisations without a shift, and maxima.
    pub virtuals: Vec<usize>,
    /// Tables looked up.
    pub tables: Vec<TablePlan>,
    /// Leaves of the look-up tree, in order; fractions `0 / 1` follow.
    pub leaves: Vec<LeafBlock>,
    /// The look-up tree has `2^leaf_vars` leaves; `None` when nothing is looked up.
    pub leaf_vars: Option<usize>,
    /// The witness commitment holds `2^witness_vars` values; `None` when there is no witness.
    pub witness_vars: Option<usize>,
    /// How many of its last variables the batching sumcheck binds first.
    pub witness_low: usize,
}

/// Smallest `n` with `2^n >= value`.
#[must_use]
pub fn log2_ceil(value: usize) -> usize {
    value.next_power_of_two().trailing_zeros() as usize
}

impl WeightPlan {
    /// Lays out the weights of `graph`.
    ///
    /// # Errors
    /// Refuses an invalid graph and more weights than a commitment holds.
    pub fn new(graph: &Graph) -> Result<Self, PlanError> {
        graph.validate()?;
        let mut tensors = Vec::new();
        let mut layer = 0;
        for operator in &graph.nodes {
            let before = tensors.len();
            let (sizes, matrix, bias) = match operator {
                Operator::Contract { axes, summed, right, bias, .. } => {
                    let matrix = match right {
                        Right::Weights { axes } => Some(axes),
                        Right::View(_) => None,
                    };
                    (axes.iter().chain(summed).copied().collect::<Vec<u32>>(), matrix, bias.as_ref())
                }
                Operator::Combine { axes, bias, .. } => (axes.clone(), None, bias.as_ref()),
                Operator::Maximum { .. } | Operator::Requantise { .. } => continue,
            };
            for (chosen, bias) in [(matrix, false), (bias, true)] {
                if let Some(chosen) = chosen {
                    let sizes = chosen.iter().map(|axis| sizes[usize::from(*axis)] as usize).collect();
                    tensors.push(WeightTensor::new(layer, bias, sizes));
                }
            }
            layer += usize::from(tensors.len() > before);
        }
        let rows = tensors.iter().map(WeightTensor::rows).fold(0usize, usize::saturating_add);
        if rows > 1 << MAX_WEIGHT_ROW_VARS {
            return Err(PlanError::WeightRows { got: rows });
        }
        let mut order: Vec<usize> = (0..tensors.len()).collect();
        order.sort_by_key(|tensor| core::cmp::Reverse(tensors[*tensor].log_row()));
        let mut end = 0usize;
        for tensor in order {
            let tensor = &mut tensors[tensor];
            tensor.first_row = end >> tensor.log_row();
            end += tensor.rows() << tensor.log_row();
        }
        let vars = log2_ceil(end).max(MIN_COMMITTED_VARS);
        if vars > MAX_WEIGHT_VARS {
            return Err(PlanError::WeightsTooLarge { got: vars });
        }
        let blocks = tensors.iter().map(|tensor| (tensor.offset(), tensor.log_row()));
        let low = low_vars(vars, end, blocks);
        Ok(Self { tensors, vars, low })
    }

    /// The tensor of a layer's matrix or bias.
    fn position(&self, layer: usize, bias: bool) -> usize {
        self.tensors.iter().position(|tensor| (tensor.layer, tensor.bias) == (layer, bias)).unwrap_or(0)
    }
}

impl Plan {
    /// Lays out a proof that `graph` was run on `rows` rows.
    ///
    /// # Errors
    /// Refuses what cannot be proved.
    pub fn new(graph: &Graph, rows: usize) -> Result<Self, PlanError> {
        Self::lay_out(graph, rows, false)
    }

    /// Lays out a proof in which the rows are committed, with a salt each, instead of public.
    ///
    /// # Errors
    /// Refuses what cannot be proved.
    pub fn committed(graph: &Graph, rows: usize) -> Result<Self, PlanError> {
        Self::lay_out(graph, rows, true)
    }

    fn lay_out(graph: &Graph, rows: usize, committed: bool) -> Result<Self, PlanError> {
        let weights = WeightPlan::new(graph)?;
        if rows == 0 || rows > MAX_ROWS {
            return Err(PlanError::Rows { got: rows });
        }
        let mut plan = Self {
            rows,
            log_rows: log2_ceil(rows),
            tensors: Vec::new(),
            steps: Vec::new(),
            weights,
            columns: Vec::new(),
            salts: Vec::new(),
            virtuals: Vec::new(),
            tables: Vec::new(),
            leaves: Vec::new(),
            leaf_vars: None,
            witness_vars: None,
            witness_low: 0,
        };
        plan.tensors.push(TensorPlan::new(&graph.input_axes, TensorKind::Input));
        if committed {
            plan.tensors[0].kind = TensorKind::Column(plan.add_column(plan.tensor_vars(0)));
            plan.salts = (0..EF_DEGREE).map(|_| plan.add_column(plan.log_rows)).collect();
        }
        plan.add_nodes(graph)?;
        plan.add_limbs();
        plan.add_tables(graph);
        plan.place_columns()?;
        plan.place_leaves()?;
        Ok(plan)
    }

    /// Base-two logarithm of a tensor's padded rows and elements.
    #[must_use]
    pub fn tensor_vars(&self, tensor: usize) -> usize {
        self.log_rows + self.tensors.get(tensor).map_or(0, TensorPlan::vars)
    }

    fn add_nodes(&mut self, graph: &Graph) -> Result<(), PlanError> {
        let shapes = graph.validate()?;
        let ranges = ranges(graph);
        let mut layer = 0;
        for (node, operator) in graph.nodes.iter().enumerate() {
            let output = node + 1;
            let axes = shapes.tensors().get(output).map(|shape| shape.axes.clone()).unwrap_or_default();
            self.tensors.push(TensorPlan::new(&axes, TensorKind::Virtual));
            let step = match operator {
                Operator::Contract { .. } => self.contract(operator, output, &mut layer),
                Operator::Combine { .. } => self.combine(operator, output, &mut layer),
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
                    self.virtuals.push(node);
                    Step::Maximum(MaximumPlan { output, left, right, bits, image })
                }
                Operator::Requantise { input: TensorId(input), shift, table } => {
                    let (shift, table) = (usize::from(*shift), usize::from(*table));
                    let span = shift + usize::from(graph.tables[table].bits);
                    if span > MAX_SPAN_BITS {
                        return Err(PlanError::TableTooWide { node, got: span });
                    }
                    let vars = self.tensor_vars(output);
                    let quotient = (shift > 0).then(|| self.add_column(vars));
                    if quotient.is_none() {
                        self.virtuals.push(node);
                    }
                    let image = self.add_column(vars);
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

    fn contract(&self, operator: &Operator, output: usize, layer: &mut usize) -> Step {
        let Operator::Contract { axes, summed, left, right, bias } = operator else {
            return self.combine(operator, output, layer);
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
                tensor: self.weights.position(*layer, false),
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
        let bias = self.bias(bias.as_ref(), *layer);
        *layer += usize::from(bias.is_some() || matches!(right, RightPlan::Weights { .. }));
        Step::Contract(ContractPlan { output, sizes, outputs, left, right, bias, shared })
    }

    fn combine(&self, operator: &Operator, output: usize, layer: &mut usize) -> Step {
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
        let bias = self.bias(bias, *layer);
        *layer += usize::from(bias.is_some());
        Step::Combine(CombinePlan { output, sizes, terms, constant, bias })
    }

    fn bias(&self, axes: Option<&Vec<u8>>, layer: usize) -> Option<BiasPlan> {
        let axes = axes?.iter().map(|axis| usize::from(*axis)).collect();
        Some(BiasPlan { tensor: self.weights.position(layer, true), axes })
    }

    /// Requantisations in node order.
    pub fn requantisations(&self) -> impl Iterator<Item = &RequantisePlan> {
        self.steps.iter().filter_map(|step| match step {
            Step::Requantise(node) => Some(node),
            Step::Contract(_) | Step::Combine(_) | Step::Maximum(_) => None,
        })
    }

    fn add_column(&mut self, vars: usize) -> usize {
        self.columns.push(Column { vars, offset: 0 });
        self.columns.len() - 1
    }

    fn add_limbs(&mut self) {
        let limb_bits = self.limb_bits();
        for index in 0..self.steps.len() {
            let Step::Requantise(node) = &self.steps[index] else { continue };
            let (shift, vars) = (node.shift, self.tensor_vars(node.output));
            let mut offset = 0;
            let mut limbs = Vec::new();
            for bits in split(shift, limb_bits) {
                limbs.push(Limb { column: self.add_column(vars), offset, bits });
                offset += bits;
            }
            if let Step::Requantise(node) = &mut self.steps[index] {
                node.limbs = limbs;
            }
        }
    }

    /// The limb length for which remainders and range tables together take the fewest values.
    fn limb_bits(&self) -> usize {
        let cost = |bits: usize| {
            let mut widths = [false; MAX_RANGE_BITS + 1];
            let mut cost = 0;
            for node in self.requantisations() {
                for limb in split(node.shift, bits) {
                    widths[limb] = true;
                    cost += 1usize << self.tensor_vars(node.output);
                }
            }
            cost + (0..=MAX_RANGE_BITS).filter(|bits| widths[*bits]).map(|bits| 1usize << bits).sum::<usize>()
        };
        (1..=MAX_RANGE_BITS).rev().min_by_key(|bits| cost(*bits)).unwrap_or(1)
    }

    fn add_tables(&mut self, graph: &Graph) {
        let mut uses: Vec<(TableKind, usize, u32, LeafBlock)> = Vec::new();
        let place = |node: usize| self.virtuals.iter().position(|other| *other == node).unwrap_or(0);
        for (node, step) in self.steps.iter().enumerate() {
            let vars = self.tensor_vars(node + 1);
            let block = |kind| LeafBlock { kind, table: 0, vars, offset: 0 };
            match step {
                Step::Requantise(plan) => {
                    let bits = usize::from(graph.tables[plan.table].bits);
                    let input = plan.quotient.map_or(LookupInput::Virtual(place(node)), LookupInput::Column);
                    let found = LeafKind::Uses { input, output: Some(plan.image) };
                    // Graphs have at most 2^16 tables, so tags below `RANGE_TAG` are theirs.
                    uses.push((TableKind::Activation(plan.table), bits, plan.table as u32, block(found)));
                    for limb in &plan.limbs {
                        let found = LeafKind::Uses { input: LookupInput::Column(limb.column), output: None };
                        let tag = RANGE_TAG + limb.bits as u32;
                        uses.push((TableKind::Range, limb.bits, tag, block(found)));
                    }
                }
                Step::Maximum(plan) => {
                    let input = LookupInput::Virtual(place(node));
                    let found = LeafKind::Uses { input, output: Some(plan.image) };
                    let tag = POSITIVE_TAG + plan.bits as u32;
                    uses.push((TableKind::Positive, plan.bits, tag, block(found)));
                }
                Step::Contract(_) | Step::Combine(_) => {}
            }
        }
        for (kind, vars, tag, block) in uses {
            let known = self.tables.iter().position(|table| table.tag == tag);
            let table = known.unwrap_or_else(|| {
                let count = self.add_column(vars);
                self.tables.push(TablePlan { kind, vars, tag, count });
                self.leaves.push(LeafBlock {
                    kind: LeafKind::Rows,
                    table: self.tables.len() - 1,
                    vars,
                    offset: 0,
                });
                self.tables.len() - 1
            });
            self.leaves.push(LeafBlock { table, ..block });
        }
    }

    fn place_columns(&mut self) -> Result<(), PlanError> {
        let mut order: Vec<usize> = (0..self.columns.len()).collect();
        order.sort_by_key(|column| core::cmp::Reverse(self.columns[*column].vars));
        let mut end = 0usize;
        for column in order {
            let column = &mut self.columns[column];
            column.offset = end;
            end += 1 << column.vars;
        }
        if end > 0 {
            let vars = log2_ceil(end).max(MIN_COMMITTED_VARS);
            if vars > MAX_WITNESS_VARS {
                return Err(PlanError::WitnessTooLarge { got: vars });
            }
            self.witness_vars = Some(vars);
            let blocks = self.columns.iter().map(|column| (column.offset, column.vars));
            self.witness_low = low_vars(vars, end, blocks);
        }
        Ok(())
    }

    fn place_leaves(&mut self) -> Result<(), PlanError> {
        self.leaves.sort_by_key(|block| core::cmp::Reverse(block.vars));
        let mut end = 0usize;
        for block in &mut self.leaves {
            block.offset = end;
            end += 1 << block.vars;
        }
        if end > 0 {
            let vars = log2_ceil(end);
            if vars > MAX_WITNESS_VARS {
                return Err(PlanError::WitnessTooLarge { got: vars });
            }
            self.leaf_vars = Some(vars);
        }
        Ok(())
    }
}

/// Bounds of every tensor that follow from the public graph alone, saturated.
fn ranges(graph: &Graph) -> Vec<(i64, i64)> {
    let half = 1i64 << (graph.input_bits - 1);
    let mut ranges = vec![(-half, half - 1)];
    let magnitude = |(low, high): (i64, i64)| low.saturating_abs().max(high.saturating_abs());
    let around = |bound: i64| (bound.saturating_neg(), bound);
    // Once for each table, not for each node that uses it: one large table may serve thousands.
    let extremes = |values: &[i16]| {
        let (low, high) = (values.iter().min(), values.iter().max());
        (i64::from(low.copied().unwrap_or(0)), i64::from(high.copied().unwrap_or(0)))
    };
    let bounds: Vec<(i64, i64)> = graph.tables.iter().map(|table| extremes(&table.values)).collect();
    for operator in &graph.nodes {
        // Zero is read outside a tensor and in padding.
        let range = |view: &View| {
            let (low, high) = ranges[view.tensor.0 as usize];
            (low.min(0), high.max(0))
        };
        let added = |bias: &Option<Vec<u8>>| if bias.is_some() { i64::from(MAX_BIAS) } else { 0 };
        let cells =
            |summed: &[u32]| summed.iter().fold(1i64, |cells, size| cells.saturating_mul(i64::from(*size)));
        let next = match operator {
            Operator::Contract { summed, left, right, bias, .. } => {
                let right = match right {
                    Right::Weights { .. } => 128,
                    Right::View(view) => magnitude(range(view)),
                };
                let product = magnitude(range(left)).saturating_mul(right).saturating_mul(cells(summed));
                around(product.saturating_add(added(bias)))
            }
            Operator::Combine { terms, constant, bias, .. } => {
                let start = (i64::from(*constant).min(0), i64::from(*constant).max(0));
                let sum = terms.iter().fold(start, |sum: (i64, i64), term| {
                    let factor = i64::from(term.coefficient).saturating_mul(cells(&term.summed));
                    let (low, high) = range(&term.view);
                    let (a, b) = (low.saturating_mul(factor), high.saturating_mul(factor));
                    (sum.0.saturating_add(a.min(b)), sum.1.saturating_add(a.max(b)))
                });
                (sum.0.saturating_sub(added(bias)), sum.1.saturating_add(added(bias)))
            }
            Operator::Maximum { left, right, .. } => {
                let (left, right) = (range(left), range(right));
                (left.0.max(right.0), left.1.max(right.1))
            }
            Operator::Requantise { table, .. } => bounds[usize::from(*table)],
        };
        ranges.push(next);
    }
    ranges
}

/// Bits of a signed integer that holds every difference of values in these ranges, zero among them.
fn difference_bits(left: (i64, i64), right: (i64, i64)) -> usize {
    let low = left.0.min(0).saturating_sub(right.1.max(0));
    let high = left.1.max(0).saturating_sub(right.0.min(0));
    (1..64).find(|bits| low >= -(1i64 << (bits - 1)) && high < 1i64 << (bits - 1)).unwrap_or(64)
}

/// How many low variables to bind first in a batch of claims over `blocks` of `(offset, variables)`, up to `end`.
///
/// On a block with at least that many variables a claim is a product of a function of the high variables and one of
/// the low ones, so two passes over the committed values replace a sumcheck over all of them; shorter blocks and
/// everything after the first of them are summed as they are. The choice minimises an estimate of the work.
fn low_vars(vars: usize, end: usize, blocks: impl Iterator<Item = (usize, usize)> + Clone) -> usize {
    let work = |low: usize| {
        let plain = blocks.clone().filter(|(_, block)| *block < low).map(|(offset, _)| end - offset).max();
        let long = blocks.clone().filter(|(_, block)| *block >= low).count();
        plain.unwrap_or(0).saturating_add(1 << (vars - low)).saturating_add(long << low)
    };
    (0..=vars.min(MAX_LOW_VARS)).min_by_key(|low| work(*low)).unwrap_or(0)
}

/// Splits `bits` into as few, as even parts of at most `most` as possible, longer parts first.
fn split(bits: usize, most: usize) -> impl Iterator<Item = usize> {
    let parts = bits.div_ceil(most.max(1));
    let (each, longer) = (bits.checked_div(parts).unwrap_or(0), bits.checked_rem(parts).unwrap_or(0));
    (0..parts).map(move |part| each + usize::from(part < longer))
}

#[cfg(test)]
mod tests;
