//! The witness: what the trace of a run looks like in the committed columns.

use p3_field::PrimeCharacteristicRing;
use tacit_graph::{Graph, Tensor, Trace};
use tacit_verify::{
    field::{Fp, embed},
    plan::{Plan, TableKind},
};

/// Committed columns, in the order of the plan, each padded to its length.
///
/// [`Witness::from_trace`] makes the honest one. The prover believes whatever it is given; a false witness makes a
/// proof that no verifier accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Shape `[columns][2^vars]`.
    pub columns: Vec<Vec<Fp>>,
}

impl Witness {
    /// Columns of an honest run.
    #[must_use]
    pub fn from_trace(plan: &Plan, graph: &Graph, trace: &Trace) -> Self {
        let mut columns: Vec<Vec<Fp>> = vec![Vec::new(); plan.columns.len()];
        let mut counts: Vec<Vec<u32>> = plan.tables.iter().map(|table| vec![0; 1 << table.vars]).collect();
        let count_of = |tag_kind: TableKind, vars: usize| {
            plan.tables.iter().position(|table| table.kind == tag_kind && table.vars == vars)
        };
        for node in &plan.requantise {
            let Some(Tensor::I32(accumulators)) = trace.tensors.get(node.input) else { continue };
            let table = &graph.tables[node.table];
            let padded = 1usize << node.log_width;
            let len = padded << plan.log_rows;
            let first = -(1i32 << (table.bits - 1));
            let (half, mask) = (node.half(), (1i32 << node.shift) - 1);
            let activation = count_of(TableKind::Activation(node.table), usize::from(table.bits));
            let mut quotient = Vec::with_capacity(len);
            let mut image = Vec::with_capacity(len);
            let mut limbs: Vec<Vec<Fp>> = node.limbs.iter().map(|_| Vec::with_capacity(len)).collect();
            let ranges: Vec<Option<usize>> =
                node.limbs.iter().map(|limb| count_of(TableKind::Range, limb.bits)).collect();
            for row in 0..1usize << plan.log_rows {
                let start = row.min(plan.rows - 1) * node.width;
                let values = accumulators.get(start..start + node.width).unwrap_or_default();
                for index in 0..padded {
                    let sum = values.get(index).copied().unwrap_or(0) + half;
                    let (u, r) = (sum >> node.shift, sum & mask);
                    // Out of range only for a trace no valid model makes; the proof is then refused.
                    let entry = usize::try_from(u - first).unwrap_or(0).min(table.values.len() - 1);
                    quotient.push(embed(u));
                    image.push(embed(i32::from(table.values[entry])));
                    if let Some(table) = activation {
                        counts[table][entry] += 1;
                    }
                    for ((limb, column), range) in node.limbs.iter().zip(&mut limbs).zip(&ranges) {
                        let part = (r >> limb.offset) & ((1 << limb.bits) - 1);
                        column.push(embed(part));
                        if let Some(table) = range {
                            counts[*table][part as usize] += 1;
                        }
                    }
                }
            }
            columns[node.quotient] = quotient;
            columns[node.image] = image;
            for (limb, column) in node.limbs.iter().zip(limbs) {
                columns[limb.column] = column;
            }
        }
        for (table, counts) in plan.tables.iter().zip(counts) {
            columns[table.count] = counts.into_iter().map(Fp::from_u32).collect();
        }
        Self { columns }
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
