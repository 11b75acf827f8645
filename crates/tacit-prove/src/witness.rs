//! The witness: what a run looks like in the committed columns.

use p3_field::PrimeCharacteristicRing;
use tacit_graph::Graph;
use tacit_verify::{
    RowSalt,
    field::{Fp, embed},
    plan::{MaximumPlan, Plan, RequantisePlan, Step, TableKind, TensorKind},
};

use crate::tensors::Tensors;

/// Committed columns, in the order of the plan, each padded to its length.
///
/// The prover believes whatever it is given; a false witness makes a proof that no verifier accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Shape `[columns][2^vars]`.
    pub columns: Vec<Vec<Fp>>,
}

/// Columns and counts while nodes fill them.
struct Filling<'a> {
    plan: &'a Plan,
    columns: Vec<Vec<Fp>>,
    counts: Vec<Vec<u32>>,
}

impl Witness {
    /// Columns of an honest run, and what it looks up without committing to it.
    pub(crate) fn new(
        plan: &Plan,
        graph: &Graph,
        tensors: &Tensors,
        salts: &[RowSalt],
    ) -> (Self, Vec<Vec<Fp>>) {
        let mut filling = Filling {
            plan,
            columns: vec![Vec::new(); plan.columns.len()],
            counts: plan.tables.iter().map(|table| vec![0; 1 << table.vars]).collect(),
        };
        let mut virtuals = vec![Vec::new(); plan.virtuals.len()];
        for step in &plan.steps {
            match step {
                Step::Requantise(step) => {
                    virtuals[step.quotient] = filling.requantise(step, graph, tensors);
                }
                Step::Maximum(step) => virtuals[step.difference] = filling.maximum(step, tensors),
                Step::Contract(_) | Step::Combine(_) => {}
            }
        }
        let Filling { mut columns, counts, .. } = filling;
        if let TensorKind::Column(column) = plan.tensors[0].kind {
            columns[column] = tensors.get(0).iter().map(|value| embed(*value)).collect();
        }
        for (degree, column) in plan.salts.iter().enumerate() {
            let salt = |row: usize| salts[row.min(salts.len() - 1)].coefficients()[degree];
            columns[*column] = (0..1 << plan.log_rows).map(salt).collect();
        }
        for (table, counts) in plan.tables.iter().zip(counts) {
            columns[table.count] = counts.into_iter().map(Fp::from_u32).collect();
        }
        (Self { columns }, virtuals)
    }

    /// All columns in one vector of `2^vars` values.
    pub(crate) fn stack(&self, plan: &Plan, vars: usize) -> Vec<Fp> {
        let mut stack = vec![Fp::ZERO; 1 << vars];
        for (layout, column) in plan.columns.iter().zip(&self.columns) {
            stack[layout.offset..layout.offset + column.len()].copy_from_slice(column);
        }
        stack
    }
}

impl Filling<'_> {
    fn table(&self, kind: TableKind, vars: usize) -> Option<usize> {
        self.plan.tables.iter().position(|table| table.kind == kind && table.vars == vars)
    }

    /// Fills the columns of a requantisation; gives the quotients it looks up.
    fn requantise(&mut self, node: &RequantisePlan, graph: &Graph, tensors: &Tensors) -> Vec<Fp> {
        let values = tensors.get(node.input);
        let table = &graph.tables[node.table];
        let first = -(1i32 << (table.bits - 1));
        let (half, mask) = (node.half(), (1i32 << node.shift) - 1);
        let images: Vec<Fp> = table.values.iter().map(|value| embed(i32::from(*value))).collect();
        let mut quotient = Vec::with_capacity(values.len());
        let mut image = Vec::with_capacity(values.len());
        let activation = self.table(TableKind::Activation(node.table), usize::from(table.bits));
        let mut counts = activation.map(|table| core::mem::take(&mut self.counts[table])).unwrap_or_default();
        for value in values {
            let u = value.saturating_add(half) >> node.shift;
            // Out of range only for a trace no valid model makes; the proof is then refused.
            let entry = usize::try_from(u - first).unwrap_or(0).min(images.len() - 1);
            quotient.push(embed(u));
            image.push(images[entry]);
            counts[entry] += 1;
        }
        if let Some(table) = activation {
            self.counts[table] = counts;
        }
        for limb in &node.limbs {
            let parts: Vec<Fp> = (0..1 << limb.bits).map(embed).collect();
            let range = self.table(TableKind::Range, limb.bits);
            let mut counts = range.map(|table| core::mem::take(&mut self.counts[table])).unwrap_or_default();
            let mut column = Vec::with_capacity(values.len());
            for value in values {
                let part = ((value.saturating_add(half) & mask) >> limb.offset) & ((1 << limb.bits) - 1);
                column.push(parts[part as usize]);
                counts[part as usize] += 1;
            }
            if let Some(table) = range {
                self.counts[table] = counts;
            }
            self.columns[limb.column] = column;
        }
        self.columns[node.image] = image;
        quotient
    }

    /// Fills the column of a maximum; gives the differences it looks up.
    fn maximum(&mut self, node: &MaximumPlan, tensors: &Tensors) -> Vec<Fp> {
        let sizes = &self.plan.tensors[node.output].sizes;
        let left = tensors.view(self.plan, &node.left, sizes);
        let right = tensors.view(self.plan, &node.right, sizes);
        let half = 1i32 << (node.bits - 1);
        let mut image = Vec::with_capacity(left.len());
        let mut differences = Vec::with_capacity(left.len());
        let table = self.table(TableKind::Positive, node.bits);
        for (left, right) in left.into_iter().zip(right) {
            let difference = left.saturating_sub(right);
            differences.push(embed(difference));
            image.push(embed(difference.max(0)));
            if let Some(table) = table {
                let entry = usize::try_from(difference.saturating_add(half)).unwrap_or(0);
                let counts = &mut self.counts[table];
                let last = counts.len() - 1;
                counts[entry.min(last)] += 1;
            }
        }
        self.columns[node.image] = image;
        differences
    }
}
