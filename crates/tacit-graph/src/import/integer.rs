//! The integer graph while it is being made, with what it computes on the calibration rows.

use rayon::prelude::*;

use super::{
    program::{Part, Values, cells},
    run,
};
use crate::{
    graph::{Graph, LayerWeights, MAX_BIAS, Operator, Right, Table, TensorId, Term, View},
    reach::{Reach, rounding_shift},
};

/// Operators so far, bounds and calibration values of their tensors.
pub(super) struct Integers {
    nodes: Vec<Operator>,
    layers: Vec<LayerWeights>,
    shapes: Vec<Vec<u32>>,
    reach: Reach,
    /// For each tensor, one row of numbers for each calibration row; emptied when no longer read.
    rows: Vec<Vec<Vec<i32>>>,
}

impl Integers {
    pub(super) fn new(graph: &Graph, inputs: Vec<Vec<i32>>) -> Self {
        Self {
            nodes: Vec::new(),
            layers: Vec::new(),
            shapes: vec![graph.input_axes.clone()],
            reach: Reach::new(graph),
            rows: vec![inputs],
        }
    }

    pub(super) fn reach(&self, tensor: TensorId) -> (i64, i64) {
        let bounds = self.reach.of(tensor);
        (bounds.low, bounds.high)
    }

    pub(super) fn shape(&self, TensorId(tensor): TensorId) -> &[u32] {
        self.shapes.get(tensor as usize).map_or(&[], Vec::as_slice)
    }

    pub(super) fn rows(&self, TensorId(tensor): TensorId) -> &[Vec<i32>] {
        self.rows.get(tensor as usize).map_or(&[], Vec::as_slice)
    }

    /// Operators so far.
    pub(super) fn count(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn drop_rows(&mut self, TensorId(tensor): TensorId) {
        if let Some(rows) = self.rows.get_mut(tensor as usize) {
            *rows = Vec::new();
        }
    }

    pub(super) fn into_parts(self) -> (Vec<Operator>, Vec<LayerWeights>) {
        (self.nodes, self.layers)
    }

    /// Whether every sum of the operator stays within the graph's bound, with room for corrected biases.
    pub(super) fn fits(&self, operator: &Operator, layer: &LayerWeights, tables: &[Table]) -> bool {
        let (_, bounds) = self.reach.bounds(operator, Some(layer), tables);
        bounds.magnitude < SUM_MOST - SUM_MOST / 16
    }

    /// Adds an operator and runs it; none if its values would leave the graph's bound.
    pub(super) fn push(
        &mut self,
        operator: Operator,
        layer: Option<LayerWeights>,
        tables: &[Table],
    ) -> Option<TensorId> {
        let (_, bounds) = self.reach.bounds(&operator, layer.as_ref(), tables);
        if bounds.magnitude >= SUM_MOST {
            return None;
        }
        let rows = match &operator {
            Operator::Requantise { input, shift, table } => {
                let table = tables.get(usize::from(*table))?;
                let read = self.rows(*input);
                read.par_iter().map(|row| row.iter().map(|x| look_up(*x, *shift, table)).collect()).collect()
            }
            operator => self.run(operator, layer.as_ref()),
        };
        self.push_run(operator, layer, tables, rows)
    }

    /// Adds an operator that has been run already.
    pub(super) fn push_run(
        &mut self,
        operator: Operator,
        layer: Option<LayerWeights>,
        tables: &[Table],
        rows: Vec<Vec<i32>>,
    ) -> Option<TensorId> {
        let (_, bounds) = self.reach.bounds(&operator, layer.as_ref(), tables);
        if bounds.magnitude >= SUM_MOST {
            return None;
        }
        self.reach.push(&operator, layer.as_ref(), tables);
        let shape = match &operator {
            Operator::Contract { axes, .. }
            | Operator::Combine { axes, .. }
            | Operator::Maximum { axes, .. } => axes.clone(),
            Operator::Requantise { input, .. } => self.shape(*input).to_vec(),
        };
        self.nodes.push(operator);
        self.layers.extend(layer);
        self.shapes.push(shape);
        self.rows.push(rows);
        Some(TensorId(u32::try_from(self.nodes.len()).ok()?))
    }

    /// What an operator of sums makes of each calibration row.
    pub(super) fn run(&self, operator: &Operator, layer: Option<&LayerWeights>) -> Vec<Vec<i32>> {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        (0..count).into_par_iter().map(|row| self.run_row(operator, layer, row)).collect()
    }

    fn run_row(&self, operator: &Operator, layer: Option<&LayerWeights>, row: usize) -> Vec<i32> {
        let given = |view: &View| {
            let data = self.rows(view.tensor).get(row).map_or(&[][..], Vec::as_slice);
            run::Given { shape: self.shape(view.tensor), data }
        };
        let bias_of = |bias: &'_ Option<Vec<u8>>| -> Option<(Vec<u8>, &[i32])> {
            Some((bias.clone()?, layer?.bias.as_slice()))
        };
        match operator {
            Operator::Contract { axes, summed, left, right, bias } => {
                let mut out = vec![0; cells(axes)];
                let bias = bias_of(bias);
                run::start(&mut out, axes, 0, bias.as_ref().map(|(axes, data)| run::Table { axes, data }));
                match right {
                    Right::View(view) => {
                        run::contract(
                            &mut out,
                            axes,
                            summed,
                            (left, given(left)),
                            run::Right::View(view, given(view)),
                        );
                    }
                    Right::Weights { axes: chosen } => {
                        let data: Vec<i32> = layer
                            .map_or(vec![], |layer| layer.matrix.iter().map(|w| i32::from(*w)).collect());
                        let table = run::Right::Table(run::Table { axes: chosen, data: &data });
                        run::contract(&mut out, axes, summed, (left, given(left)), table);
                    }
                }
                out
            }
            Operator::Combine { axes, terms, constant, bias } => {
                let mut out = vec![0; cells(axes)];
                let bias = bias_of(bias);
                run::start(
                    &mut out,
                    axes,
                    *constant,
                    bias.as_ref().map(|(axes, data)| run::Table { axes, data }),
                );
                for term in terms {
                    run::add(&mut out, axes, &term.summed, term.coefficient, (&term.view, given(&term.view)));
                }
                out
            }
            Operator::Maximum { axes, left, right } => {
                let mut out = vec![0; cells(axes)];
                run::maximum(&mut out, axes, (left, given(left)), (right, given(right)), 0);
                out
            }
            Operator::Requantise { .. } => Vec::new(),
        }
    }
}

fn look_up(value: i32, shift: u8, table: &Table) -> i32 {
    let half = 1i64 << (table.bits - 1);
    let at = rounding_shift(i64::from(value), shift).clamp(-half, half - 1) + half;
    usize::try_from(at).ok().and_then(|at| table.values.get(at)).map_or(0, |entry| i32::from(*entry))
}

/// A sum of terms, each in a unit of its own.
pub(super) struct Sum<'a> {
    pub(super) axes: &'a [u32],
    pub(super) terms: &'a [Part],
    pub(super) tensors: Vec<TensorId>,
    pub(super) factors: &'a [f64],
}

impl Sum<'_> {
    /// The operator in a unit; none where a coefficient has no room.
    pub(super) fn operator(
        &self,
        unit: f64,
        constant: f64,
        bias: Option<&Values>,
    ) -> Option<(Operator, Option<LayerWeights>)> {
        let whole = |value: f64| {
            let value = (value / unit).round();
            (value.abs() <= f64::from(MAX_BIAS)).then_some(value as i32)
        };
        let mut terms = Vec::new();
        for ((part, tensor), factor) in self.terms.iter().zip(&self.tensors).zip(self.factors) {
            let coefficient = whole(*factor)?;
            if coefficient != 0 {
                let view = View { tensor: *tensor, groups: part.view.groups.clone() };
                terms.push(Term { coefficient, summed: part.summed.clone(), view });
            } else if *factor != 0.0 {
                return None;
            }
        }
        if terms.is_empty() {
            return None;
        }
        let layer = match bias {
            Some(bias) => {
                let bias = bias.data.iter().map(|value| whole(*value)).collect::<Option<_>>()?;
                Some(LayerWeights { matrix: Vec::new(), bias })
            }
            None => None,
        };
        let operator = Operator::Combine {
            axes: self.axes.to_vec(),
            terms,
            constant: whole(constant)?,
            bias: bias.map(|bias| bias.axes.clone()),
        };
        Some((operator, layer))
    }
}

/// Operators that the last one needs, with their weights and tables.
pub(super) fn without_unread(
    nodes: Vec<Operator>,
    layers: Vec<LayerWeights>,
    tables: Vec<Table>,
) -> (Vec<Operator>, Vec<LayerWeights>, Vec<Table>) {
    let mut needed = vec![false; nodes.len() + 1];
    if let Some(last) = needed.last_mut() {
        *last = true;
    }
    let mut used = vec![false; tables.len()];
    for (index, node) in nodes.iter().enumerate().rev() {
        if needed.get(index + 1) != Some(&true) {
            continue;
        }
        if let Operator::Requantise { table, .. } = node
            && let Some(used) = used.get_mut(usize::from(*table))
        {
            *used = true;
        }
        for TensorId(input) in inputs(node) {
            if let Some(needed) = needed.get_mut(input as usize) {
                *needed = true;
            }
        }
    }
    let renumbered = |kept: &[bool]| {
        let mut next = 0u32;
        let number = |kept: &bool| {
            let number = next;
            next += u32::from(*kept);
            number
        };
        kept.iter().map(number).collect::<Vec<u32>>()
    };
    if let Some(first) = needed.first_mut() {
        *first = true;
    }
    let (tensor_names, table_names) = (renumbered(&needed), renumbered(&used));
    let (mut kept_nodes, mut kept_layers, mut layers) = (Vec::new(), Vec::new(), layers.into_iter());
    for (index, mut node) in nodes.into_iter().enumerate() {
        let layer = if node.weight_lengths() == (0, 0) { None } else { layers.next() };
        if needed.get(index + 1) != Some(&true) {
            continue;
        }
        for tensor in inputs_mut(&mut node) {
            tensor.0 = tensor_names.get(tensor.0 as usize).copied().unwrap_or(0);
        }
        if let Operator::Requantise { table, .. } = &mut node {
            *table =
                table_names.get(usize::from(*table)).and_then(|name| u16::try_from(*name).ok()).unwrap_or(0);
        }
        kept_nodes.push(node);
        kept_layers.extend(layer);
    }
    let kept_tables =
        tables.into_iter().zip(used).filter(|(_, used)| *used).map(|(table, _)| table).collect();
    (kept_nodes, kept_layers, kept_tables)
}

fn inputs(node: &Operator) -> Vec<TensorId> {
    let mut node = node.clone();
    inputs_mut(&mut node).into_iter().map(|tensor| *tensor).collect()
}

fn inputs_mut(node: &mut Operator) -> Vec<&mut TensorId> {
    match node {
        Operator::Contract { left, right: Right::View(right), .. }
        | Operator::Maximum { left, right, .. } => {
            vec![&mut left.tensor, &mut right.tensor]
        }
        Operator::Contract { left, .. } => vec![&mut left.tensor],
        Operator::Combine { terms, .. } => terms.iter_mut().map(|term| &mut term.view.tensor).collect(),
        Operator::Requantise { input, .. } => vec![input],
    }
}

/// Most that a sum may reach: a proof of a look-up covers 30 bits with the sign, and rounding needs some room.
const SUM_MOST: i64 = (1 << 29) - (1 << 23);
