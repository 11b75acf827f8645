//! Witness columns and look-ups, laid out.

use std::collections::BTreeMap;

use tacit_graph::Graph;

use super::{
    MAX_LOW_VARS, MAX_RANGE_BITS, MAX_WITNESS_VARS, MIN_COMMITTED_VARS, POSITIVE_TAG, Plan, PlanError,
    RANGE_TAG, log2_ceil,
    steps::{Limb, Step},
};

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
    /// What a node looks up and does not commit to, by its place in [`Plan::virtuals`].
    Virtual(usize),
}

impl Plan {
    pub(super) fn add_column(&mut self, vars: usize) -> usize {
        self.columns.push(Column { vars, offset: 0 });
        self.columns.len() - 1
    }

    pub(super) fn add_virtual(&mut self, node: usize) -> usize {
        self.virtuals.push(node);
        self.virtuals.len() - 1
    }

    pub(super) fn add_limbs(&mut self) {
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

    pub(super) fn add_tables(&mut self, graph: &Graph) {
        let mut uses: Vec<(TableKind, usize, u32, LeafBlock)> = Vec::new();
        for (node, step) in self.steps.iter().enumerate() {
            let vars = self.tensor_vars(node + 1);
            let block = |kind| LeafBlock { kind, table: 0, vars, offset: 0 };
            match step {
                Step::Requantise(plan) => {
                    let bits = usize::from(graph.tables[plan.table].bits);
                    let input = LookupInput::Virtual(plan.quotient);
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
                    let input = LookupInput::Virtual(plan.difference);
                    let found = LeafKind::Uses { input, output: Some(plan.image) };
                    let tag = POSITIVE_TAG + plan.bits as u32;
                    uses.push((TableKind::Positive, plan.bits, tag, block(found)));
                }
                Step::Contract(_) | Step::Combine(_) => {}
            }
        }
        let mut known = BTreeMap::new();
        for (kind, vars, tag, block) in uses {
            let table = *known.entry(tag).or_insert_with(|| {
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

    pub(super) fn place_columns(&mut self) -> Result<(), PlanError> {
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

    pub(super) fn place_leaves(&mut self) -> Result<(), PlanError> {
        // Uses before tables of their length, so that a prover finds as many numerators of one as there can be in front.
        self.leaves.sort_by_key(|block| (core::cmp::Reverse(block.vars), block.kind == LeafKind::Rows));
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

/// How many low variables to bind first in a batch of claims over `blocks` of `(offset, variables)`, up to `end`.
///
/// On a block with at least that many variables a claim is a product of a function of the high variables and one of
/// the low ones, so two passes over the committed values replace a sumcheck over all of them; shorter blocks and
/// everything after the first of them are summed as they are. The choice minimises an estimate of the work.
pub(super) fn low_vars(
    vars: usize,
    end: usize,
    blocks: impl Iterator<Item = (usize, usize)> + Clone,
) -> usize {
    let work = |low: usize| {
        let plain = blocks.clone().filter(|(_, block)| *block < low).map(|(offset, _)| end - offset).max();
        let long = blocks.clone().filter(|(_, block)| *block >= low).count();
        plain.unwrap_or(0).saturating_add(1 << (vars - low)).saturating_add(long << low)
    };
    (0..=vars.min(MAX_LOW_VARS)).min_by_key(|low| work(*low)).unwrap_or(0)
}

/// Splits `bits` into as few, as even parts of at most `most` as possible, longer parts first.
pub(super) fn split(bits: usize, most: usize) -> impl Iterator<Item = usize> {
    let parts = bits.div_ceil(most.max(1));
    let (each, longer) = (bits.checked_div(parts).unwrap_or(0), bits.checked_rem(parts).unwrap_or(0));
    (0..parts).map(move |part| each + usize::from(part < longer))
}
