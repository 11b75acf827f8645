//! What is proved, laid out: which columns are committed, where they sit, which look-ups they make.
//!
//! The plan is a pure function of the public graph and the number of rows. Prover and verifier build the same
//! one, so a proof carries no shape of its own.
//!
//! # Committed columns
//! For each requantisation with accumulator `acc`, shift `s` and table `T`, over all rows of the batch:
//! quotient `u`, image `y`, and the remainder `r` as limbs `r = sum_i 2^(offset_i) * limb_i`, where
//!
//! ```text
//! acc + half = 2^s * u + r,   half = 2^(s-1) (0 when s = 0),   (u, y) in T,   limb_i < 2^(bits_i)
//! ```
//!
//! so `acc` itself is virtual. For each table, how often each of its rows is used. Rows are padded to a power of
//! two by repeating the last row, widths by zeros *before* requantisation: padding is an honest run too.
//!
//! # Uniqueness
//! `(u, r)` is determined by `acc mod p` because the pairs span `2^(s + bits) <= 2^30 < p` integers; graphs with a
//! wider table are refused ([`PlanError::TableTooWide`]).
//!
//! # Stacking
//! Columns are sorted by length, longest first, and laid end to end: every column is then aligned to its length.
//! Weights are stacked the same way, by row length: `inputs` rows of a matrix and one row of bias per layer, each
//! row padded to a power of two, the number of rows not padded.

#![cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        reason = "indices and sizes come from a validated graph under the limits below, never from a proof"
    )
)]

use tacit_graph::{Graph, GraphError, Operator, TensorId};

/// Most rows of one proof.
pub const MAX_ROWS: usize = 1 << 12;
/// Most look-up leaves and most committed witness values of one proof, as a power of two.
pub const MAX_WITNESS_VARS: usize = 24;
/// Most committed weights, as a power of two.
pub const MAX_WEIGHT_VARS: usize = 26;
/// Commitments to fewer values are padded to this power of two.
pub const MIN_COMMITTED_VARS: usize = 8;
/// Widest range table.
pub const MAX_RANGE_BITS: usize = 16;
/// Bits that a quotient and its remainder may span together.
pub const MAX_SPAN_BITS: usize = 30;
/// Tags of range tables start here, above those of activation tables.
const RANGE_TAG: u32 = 1 << 17;

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
    /// More weights than [`MAX_WEIGHT_VARS`] allows.
    #[error("the weights need 2^{got} values, a commitment holds 2^{MAX_WEIGHT_VARS}")]
    WeightsTooLarge {
        /// Base-two logarithm of what is needed.
        got: usize,
    },
}

/// Where the weights sit in their commitment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightPlan {
    /// One for each dense layer, in layer order.
    pub layers: Vec<LayerPlan>,
    /// The commitment holds `2^vars` values.
    pub vars: usize,
}

/// One dense layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerPlan {
    /// Tensor read.
    pub input: usize,
    /// Tensor made.
    pub output: usize,
    /// Rows of the matrix.
    pub inputs: usize,
    /// Columns of the matrix.
    pub outputs: usize,
    /// Base-two logarithm of the padded `inputs`.
    pub log_inputs: usize,
    /// Base-two logarithm of the padded `outputs`, the row length in the stack.
    pub log_outputs: usize,
    /// Where the layer starts in the stack, in rows of its own length; the bias row follows the matrix.
    pub first_row: usize,
}

/// One requantisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequantisePlan {
    /// Tensor read.
    pub input: usize,
    /// Tensor made.
    pub output: usize,
    /// Row length.
    pub width: usize,
    /// Base-two logarithm of the padded row length.
    pub log_width: usize,
    /// Rounding right shift.
    pub shift: usize,
    /// Index into the graph's tables.
    pub table: usize,
    /// Column of `u`.
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

/// A node, as an index into the plan of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Index into [`WeightPlan::layers`].
    Dense(usize),
    /// Index into [`Plan::requantise`].
    Requantise(usize),
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
        /// Column looked up.
        input: usize,
        /// Column of what is found.
        output: Option<usize>,
    },
    /// The table's own rows.
    Rows,
}

/// The whole layout of one proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Rows of the batch.
    pub rows: usize,
    /// Base-two logarithm of the padded rows.
    pub log_rows: usize,
    /// Nodes in order; node `i` makes tensor `i + 1`.
    pub steps: Vec<Step>,
    /// Dense layers and their commitment.
    pub weights: WeightPlan,
    /// Requantisations in node order.
    pub requantise: Vec<RequantisePlan>,
    /// Witness columns.
    pub columns: Vec<Column>,
    /// Tables looked up.
    pub tables: Vec<TablePlan>,
    /// Leaves of the look-up tree, in order; fractions `0 / 1` follow.
    pub leaves: Vec<LeafBlock>,
    /// The look-up tree has `2^leaf_vars` leaves; `None` when nothing is looked up.
    pub leaf_vars: Option<usize>,
    /// The witness commitment holds `2^witness_vars` values; `None` when there is no witness.
    pub witness_vars: Option<usize>,
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
        let mut layers = Vec::new();
        for (node, operator) in graph.nodes.iter().enumerate() {
            if let Operator::Dense { input: TensorId(input), inputs, outputs } = operator {
                let (inputs, outputs) = (*inputs as usize, *outputs as usize);
                layers.push(LayerPlan {
                    input: *input as usize,
                    output: node + 1,
                    inputs,
                    outputs,
                    log_inputs: log2_ceil(inputs),
                    log_outputs: log2_ceil(outputs),
                    first_row: 0,
                });
            }
        }
        let mut order: Vec<usize> = (0..layers.len()).collect();
        order.sort_by_key(|layer| core::cmp::Reverse(layers[*layer].log_outputs));
        let mut end = 0usize;
        for layer in order {
            let layer = &mut layers[layer];
            layer.first_row = end >> layer.log_outputs;
            end += (layer.inputs + 1) << layer.log_outputs;
        }
        let vars = log2_ceil(end).max(MIN_COMMITTED_VARS);
        if vars > MAX_WEIGHT_VARS {
            return Err(PlanError::WeightsTooLarge { got: vars });
        }
        Ok(Self { layers, vars })
    }
}

impl Plan {
    /// Lays out a proof that `graph` was run on `rows` rows.
    ///
    /// # Errors
    /// Refuses what cannot be proved.
    pub fn new(graph: &Graph, rows: usize) -> Result<Self, PlanError> {
        let weights = WeightPlan::new(graph)?;
        if rows == 0 || rows > MAX_ROWS {
            return Err(PlanError::Rows { got: rows });
        }
        let log_rows = log2_ceil(rows);
        let mut plan = Self {
            rows,
            log_rows,
            steps: Vec::new(),
            weights,
            requantise: Vec::new(),
            columns: Vec::new(),
            tables: Vec::new(),
            leaves: Vec::new(),
            leaf_vars: None,
            witness_vars: None,
        };
        plan.add_nodes(graph)?;
        plan.add_tables(graph);
        plan.place_columns()?;
        plan.place_leaves()?;
        Ok(plan)
    }

    fn add_nodes(&mut self, graph: &Graph) -> Result<(), PlanError> {
        let shapes = graph.validate()?;
        let mut layers = 0;
        for (node, operator) in graph.nodes.iter().enumerate() {
            match operator {
                Operator::Dense { .. } => {
                    self.steps.push(Step::Dense(layers));
                    layers += 1;
                }
                Operator::Requantise { input: TensorId(input), shift, table } => {
                    let (shift, table) = (usize::from(*shift), usize::from(*table));
                    let span = shift + usize::from(graph.tables[table].bits);
                    if span > MAX_SPAN_BITS {
                        return Err(PlanError::TableTooWide { node, got: span });
                    }
                    let width = shapes.tensors()[node + 1].width as usize;
                    let log_width = log2_ceil(width);
                    let vars = self.log_rows + log_width;
                    self.steps.push(Step::Requantise(self.requantise.len()));
                    let (quotient, image) = (self.add_column(vars), self.add_column(vars));
                    self.requantise.push(RequantisePlan {
                        input: *input as usize,
                        output: node + 1,
                        width,
                        log_width,
                        shift,
                        table,
                        quotient,
                        image,
                        limbs: Vec::new(),
                    });
                }
            }
        }
        let limb_bits = self.limb_bits();
        for index in 0..self.requantise.len() {
            let RequantisePlan { shift, log_width, .. } = self.requantise[index];
            let mut offset = 0;
            for bits in split(shift, limb_bits) {
                let column = self.add_column(self.log_rows + log_width);
                self.requantise[index].limbs.push(Limb { column, offset, bits });
                offset += bits;
            }
        }
        Ok(())
    }

    fn add_column(&mut self, vars: usize) -> usize {
        self.columns.push(Column { vars, offset: 0 });
        self.columns.len() - 1
    }

    /// The limb length for which remainders and range tables together take the fewest values.
    fn limb_bits(&self) -> usize {
        let cost = |bits: usize| {
            let mut widths = [false; MAX_RANGE_BITS + 1];
            let mut cost = 0;
            for node in &self.requantise {
                for limb in split(node.shift, bits) {
                    widths[limb] = true;
                    cost += 1usize << (self.log_rows + node.log_width);
                }
            }
            cost + (0..=MAX_RANGE_BITS).filter(|bits| widths[*bits]).map(|bits| 1usize << bits).sum::<usize>()
        };
        (1..=MAX_RANGE_BITS).rev().min_by_key(|bits| cost(*bits)).unwrap_or(1)
    }

    fn add_tables(&mut self, graph: &Graph) {
        let mut uses: Vec<(TableKind, usize, u32, LeafBlock)> = Vec::new();
        for node in &self.requantise {
            let vars = self.log_rows + node.log_width;
            let block = |kind| LeafBlock { kind, table: 0, vars, offset: 0 };
            let bits = usize::from(graph.tables[node.table].bits);
            let found = LeafKind::Uses { input: node.quotient, output: Some(node.image) };
            // Graphs have at most 2^16 tables, so tags below `RANGE_TAG` are theirs.
            uses.push((TableKind::Activation(node.table), bits, node.table as u32, block(found)));
            for limb in &node.limbs {
                let found = LeafKind::Uses { input: limb.column, output: None };
                uses.push((TableKind::Range, limb.bits, RANGE_TAG + limb.bits as u32, block(found)));
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

/// Splits `bits` into as few, as even parts of at most `most` as possible, longer parts first.
fn split(bits: usize, most: usize) -> impl Iterator<Item = usize> {
    let parts = bits.div_ceil(most.max(1));
    let (each, longer) = (bits.checked_div(parts).unwrap_or(0), bits.checked_rem(parts).unwrap_or(0));
    (0..parts).map(move |part| each + usize::from(part < longer))
}

#[cfg(test)]
mod tests {
    use tacit_graph::{Decoder, Feature, Table};

    use super::*;

    fn graph(widths: &[u32], shift: u8, bits: u8) -> Graph {
        let feature = Feature { name: String::new(), offset: 0, multiplier: 1, shift: 0 };
        let mut nodes = Vec::new();
        for pair in widths.windows(2) {
            if !nodes.is_empty() {
                nodes.push(Operator::Requantise { input: TensorId(nodes.len() as u32), shift, table: 0 });
            }
            nodes.push(Operator::Dense {
                input: TensorId(nodes.len() as u32),
                inputs: pair[0],
                outputs: pair[1],
            });
        }
        let tables = if nodes.len() < 2 { vec![] } else { vec![Table { bits, values: vec![0; 1 << bits] }] };
        Graph {
            features: vec![feature; widths[0] as usize],
            nodes,
            tables,
            decoder: Decoder::Values { fraction_bits: 0 },
        }
    }

    #[test]
    fn blocks_are_aligned_and_do_not_overlap() {
        for (rows, shift, bits) in [(1, 0, 4), (1, 9, 12), (3, 24, 6), (64, 13, 10), (1000, 17, 3)] {
            let plan = Plan::new(&graph(&[7, 33, 1, 130, 4], shift, bits), rows).unwrap();
            let blocks = |blocks: Vec<(usize, usize)>, vars: usize| {
                let mut end = 0;
                let mut sorted = blocks;
                sorted.sort_by_key(|(offset, _)| *offset);
                for (offset, vars) in sorted {
                    assert_eq!((offset, offset % (1 << vars)), (end, 0));
                    end += 1 << vars;
                }
                assert!(end <= 1 << vars);
            };
            blocks(plan.columns.iter().map(|c| (c.offset, c.vars)).collect(), plan.witness_vars.unwrap());
            blocks(plan.leaves.iter().map(|b| (b.offset, b.vars)).collect(), plan.leaf_vars.unwrap());
            for node in &plan.requantise {
                assert_eq!(node.limbs.iter().map(|limb| limb.bits).sum::<usize>(), node.shift);
                assert!(node.limbs.iter().all(|limb| limb.bits <= MAX_RANGE_BITS));
            }
            let mut rows_end = 0;
            let mut layers: Vec<_> = plan.weights.layers.iter().collect();
            layers.sort_by_key(|layer| layer.first_row << layer.log_outputs);
            for layer in layers {
                assert_eq!(layer.first_row << layer.log_outputs, rows_end);
                rows_end += (layer.inputs + 1) << layer.log_outputs;
            }
            assert!(rows_end <= 1 << plan.weights.vars);
        }
    }

    #[test]
    fn a_large_layer_does_not_pad_its_rows() {
        assert_eq!(WeightPlan::new(&graph(&[784, 128, 10], 8, 8)).unwrap().vars, 17);
    }

    #[test]
    fn what_cannot_be_proved_is_refused() {
        let refused = |graph: &Graph, rows| Plan::new(graph, rows).unwrap_err();
        let small = graph(&[4, 3, 2], 8, 8);
        assert_eq!(refused(&small, 0), PlanError::Rows { got: 0 });
        assert_eq!(refused(&small, MAX_ROWS + 1), PlanError::Rows { got: MAX_ROWS + 1 });
        assert_eq!(refused(&graph(&[4, 3, 2], 20, 11), 1), PlanError::TableTooWide { node: 1, got: 31 });
        let wide = graph(&[1, 1 << 15, 1], 8, 8);
        assert!(matches!(refused(&wide, MAX_ROWS), PlanError::WitnessTooLarge { got: 29 }));
        let heavy = graph(&[1 << 13, 1 << 13, 2], 8, 8);
        assert!(matches!(refused(&heavy, 1), PlanError::WeightsTooLarge { got: 27 }));
        let mut broken = small;
        broken.nodes.clear();
        assert!(matches!(refused(&broken, 1), PlanError::Graph(_)));
    }

    #[test]
    fn remainders_are_split_evenly() {
        assert_eq!(split(0, 8).count(), 0);
        assert_eq!(split(13, 6).collect::<Vec<_>>(), [5, 4, 4]);
        assert_eq!(split(8, 8).collect::<Vec<_>>(), [8]);
    }
}
