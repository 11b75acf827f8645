//! Many claims become one opening (see [`tacit_verify::batch`]).
//!
//! The public factor of a claim about a long block is a product of a function of the high variables and one of the low
//! ones, and low variables are bound first. So the committed values are read twice, each time with one product of a base
//! and an extension element: once folded along the high variables, once along the low ones. Everything that is summed in
//! between is small.

use p3_field::{PackedFieldExtension, PackedValue, PrimeCharacteristicRing};
use rayon::prelude::*;
use tacit_verify::{
    field::{Ef, Fp},
    multilinear::{eq_rows, eq_table},
    plan::{Plan, WeightPlan},
};

use crate::{
    poly::{PackedEf, PackedFp, Poly, WIDTH, bind, dot, dot_packed, pack, sum_lanes, unpack},
    sumcheck::{prove_product, round, send_round},
    transcript::Transcript,
};

/// Where a column is claimed.
#[derive(Debug)]
pub(crate) struct WitnessClaim {
    pub(crate) column: usize,
    pub(crate) point: Vec<Ef>,
}

/// Where a tensor of weights is claimed.
#[derive(Debug)]
pub(crate) struct WeightClaim {
    pub(crate) tensor: usize,
    pub(crate) points: Vec<Vec<Ef>>,
}

/// Reduces claims about the witness; returns the point of the opening.
pub(crate) fn prove_witness(
    plan: &Plan,
    vars: usize,
    stack: &[Fp],
    claims: &[WitnessClaim],
    transcript: &mut Transcript,
) -> Vec<Ef> {
    let gamma = transcript.challenge();
    let low = plan.witness_low;
    let mut functional = Functional::new(low);
    let mut power = Ef::ONE;
    for claim in claims {
        let layout = &plan.columns[claim.column];
        if layout.vars < low {
            let values = eq_table(&claim.point).into_iter().map(|value| value * power).collect();
            functional.plain.push((layout.offset, values));
        } else {
            let (high, low) = claim.point.split_at(layout.vars - low);
            let rows = eq_table(high).into_iter().map(|row| row * power).collect();
            functional.add(layout.offset, rows, low);
        }
        power *= gamma;
    }
    functional.prove(vars, stack, transcript)
}

/// Reduces claims about the weights; returns the point of the opening.
pub(crate) fn prove_weights(
    plan: &WeightPlan,
    stack: &[Fp],
    claims: &[WeightClaim],
    transcript: &mut Transcript,
) -> Vec<Ef> {
    let gamma = transcript.challenge();
    let low = plan.low;
    let mut functional = Functional::new(low);
    let mut power = Ef::ONE;
    for claim in claims {
        let tensor = &plan.tensors[claim.tensor];
        let Some((last, others)) = claim.points.split_last() else { continue };
        let rows = eq_rows(others, &tensor.sizes);
        let scaled = |high: &[Ef]| {
            let high = eq_table(high);
            rows.iter()
                .flat_map(|row| {
                    let row = *row * power;
                    high.iter().map(move |high| row * *high)
                })
                .collect::<Vec<Ef>>()
        };
        if tensor.log_row() < low {
            functional.plain.push((tensor.offset(), scaled(last)));
        } else {
            let (high, low) = last.split_at(tensor.log_row() - low);
            functional.add(tensor.offset(), scaled(high), low);
        }
        power *= gamma;
    }
    functional.prove(plan.vars, stack, transcript)
}

/// The public factor of a batch.
#[derive(Debug)]
struct Functional {
    low: usize,
    /// Functions of the low variables.
    columns: Vec<Vec<Ef>>,
    /// The points they belong to, to use each only once.
    points: Vec<Vec<Ef>>,
    blocks: Vec<Block>,
    /// Factors of short blocks: where they start, and every value.
    plain: Vec<(usize, Vec<Ef>)>,
}

/// A function of the high variables from one value of them on, times one of the low variables.
#[derive(Debug)]
struct Block {
    first: usize,
    rows: Vec<Ef>,
    columns: usize,
}

impl Functional {
    fn new(low: usize) -> Self {
        Self { low, columns: Vec::new(), points: Vec::new(), blocks: Vec::new(), plain: Vec::new() }
    }

    fn add(&mut self, offset: usize, rows: Vec<Ef>, low: &[Ef]) {
        let columns = self.points.iter().position(|point| point == low).unwrap_or_else(|| {
            self.points.push(low.to_vec());
            self.columns.push(eq_table(low));
            self.points.len() - 1
        });
        self.blocks.push(Block { first: offset >> self.low, rows, columns });
    }

    /// Proves the sum of the functional times the committed values, and sends the value at the point it ends at.
    fn prove(self, vars: usize, stack: &[Fp], transcript: &mut Transcript) -> Vec<Ef> {
        let width = 1usize << self.low;
        let plain_start = self.plain.iter().map(|(offset, _)| offset >> self.low).min();
        let plain_end =
            self.plain.iter().map(|(offset, values)| (offset + values.len()).div_ceil(width)).max();
        let plain = plain_start.unwrap_or(0)..plain_end.unwrap_or(0);

        // Arrays over `[low][functions of the low variables, then plain rows]`.
        let stride = (self.columns.len() + plain.len()).next_multiple_of(WIDTH);
        let mut a = vec![Ef::ZERO; stride * width];
        let mut b = vec![Ef::ZERO; stride * width];
        for (index, columns) in self.columns.iter().enumerate() {
            for (low, value) in columns.iter().enumerate() {
                a[low * stride + index] = *value;
            }
            for (low, value) in self.fold_high(index, stack).into_iter().enumerate() {
                b[low * stride + index] = value;
            }
        }
        for (offset, values) in &self.plain {
            for (at, value) in (*offset..).zip(values) {
                let row = (at >> self.low) - plain.start;
                a[(at % width) * stride + self.columns.len() + row] += *value;
            }
        }
        for (row, high) in plain.clone().enumerate() {
            for low in 0..width {
                b[low * stride + self.columns.len() + row] = Ef::from(stack[high * width + low]);
            }
        }
        let (mut a, mut b) = (pack(&a), pack(&b));
        let mut point = Vec::new();
        for _ in 0..self.low {
            let (at_zero, square) = round(&a, &b);
            let r = send_round(sum_lanes(at_zero), sum_lanes(square), &mut point, transcript);
            bind(&mut a, r);
            bind(&mut b, r);
        }
        let (a, b) = (unpack(&a), unpack(&b));

        let mut factor = vec![Ef::ZERO; 1 << (vars - self.low)];
        for block in &self.blocks {
            let column = a[block.columns];
            for (slot, row) in factor[block.first..].iter_mut().zip(&block.rows) {
                *slot += *row * column;
            }
        }
        let mut values = fold_low(stack, &point);
        for (row, high) in plain.enumerate() {
            factor[high] += a[self.columns.len() + row];
            values[high] = b[self.columns.len() + row];
        }
        let (rest, _, value) = prove_product(Poly::new(factor), Poly::new(values), transcript);
        transcript.send(value);
        rest.into_iter().chain(point).collect()
    }

    /// `sum over high of factor(high) * value(high, low)` for all blocks with one function of the low variables.
    fn fold_high(&self, columns: usize, stack: &[Fp]) -> Vec<Ef> {
        let width = 1usize << self.low;
        let blocks = self.blocks.iter().filter(|block| block.columns == columns);
        let tasks = blocks.flat_map(|block| {
            block.rows.chunks(ROWS_PER_TASK).enumerate().map(|(task, rows)| {
                let first = (block.first + task * ROWS_PER_TASK) * width;
                (&stack[first..first + rows.len() * width], rows)
            })
        });
        let tasks: Vec<(&[Fp], &[Ef])> = tasks.collect();
        if width < WIDTH {
            let mut sums = vec![Ef::ZERO; width];
            for (values, rows) in tasks {
                for (values, row) in values.chunks_exact(width).zip(rows) {
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum += *row * *value;
                    }
                }
            }
            return sums;
        }
        let zero = || vec![PackedEf::ZERO; width / WIDTH];
        let sums = tasks
            .into_par_iter()
            .fold(zero, |mut sums, (values, rows)| {
                for (values, row) in PackedFp::pack_slice(values).chunks_exact(width / WIDTH).zip(rows) {
                    let row = PackedEf::from(*row);
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum += row * *value;
                    }
                }
                sums
            })
            .reduce(zero, |mut sums, other| {
                for (sum, other) in sums.iter_mut().zip(other) {
                    *sum += other;
                }
                sums
            });
        unpack(&sums)
    }
}

/// Binds the low variables of committed values.
fn fold_low(stack: &[Fp], point: &[Ef]) -> Vec<Ef> {
    let weights = eq_table(point);
    let width = weights.len();
    if width < WIDTH {
        return stack.chunks_exact(width).map(|values| dot(&weights, values)).collect();
    }
    let weights: Vec<PackedEf> = weights.chunks_exact(WIDTH).map(PackedEf::from_ext_slice).collect();
    PackedFp::pack_slice(stack)
        .par_chunks_exact(weights.len())
        .with_min_len(ROWS_PER_TASK)
        .map(|values| dot_packed(&weights, values))
        .collect()
}

/// Rows of a block that one task folds.
const ROWS_PER_TASK: usize = 64;
