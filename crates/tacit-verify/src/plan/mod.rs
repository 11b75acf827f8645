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
//! For each requantisation of `x` with shift `s` and table `T`, over all padded rows and axes: image `y` and the remainder
//! `r` as limbs `r = sum_i 2^(offset_i) * limb_i`, where
//!
//! ```text
//! x + half = 2^s * u + r,   half = 2^(s-1) (0 when s = 0),   (u, y) in T,   limb_i < 2^(bits_i)
//! ```
//!
//! The quotient `u` is not committed: `x` and `r` determine it.
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

mod lookups;
mod ranges;
mod steps;
mod weights;

use tacit_graph::{Graph, GraphError, graph::MAX_SPAN_BITS};

use crate::field::EF_DEGREE;

pub use self::{
    lookups::{Column, LeafBlock, LeafKind, LookupInput, TableKind, TablePlan},
    steps::{
        BiasPlan, CombinePlan, ContractPlan, Limb, MaximumPlan, RequantisePlan, RightPlan, Step, TensorKind,
        TensorPlan, TermPlan,
    },
    weights::{WeightPlan, WeightTensor},
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
    /// Nodes whose look-ups take uncommitted values: requantisations their quotients, maxima their differences.
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

    /// Requantisations in node order.
    pub fn requantisations(&self) -> impl Iterator<Item = &RequantisePlan> {
        self.steps.iter().filter_map(|step| match step {
            Step::Requantise(node) => Some(node),
            Step::Contract(_) | Step::Combine(_) | Step::Maximum(_) => None,
        })
    }
}

#[cfg(test)]
mod tests;
