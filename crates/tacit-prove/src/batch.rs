//! Many claims become one opening (see [`tacit_verify::batch`]).

use p3_field::PrimeCharacteristicRing;
use tacit_verify::{
    field::{Ef, Fp},
    multilinear::{eq_rows, eq_table},
    plan::{Plan, WeightPlan},
};

use crate::{
    poly::{LOG_WIDTH, PackedEf, Poly, WIDTH, eq_packed, eq_scaled, pack, unpack},
    sumcheck::prove_product_base,
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
    let mut weights = Functional::new(vars);
    let mut power = Ef::ONE;
    for claim in claims {
        let layout = &plan.columns[claim.column];
        if layout.vars < LOG_WIDTH {
            weights.add_scalars(layout.offset, &eq_scaled(&claim.point, power));
        } else {
            weights.add_packed(layout.offset, &eq_packed(&claim.point, power));
        }
        power *= gamma;
    }
    finish(weights, stack, transcript)
}

/// Reduces claims about the weights; returns the point of the opening.
pub(crate) fn prove_weights(
    plan: &WeightPlan,
    stack: &[Fp],
    claims: &[WeightClaim],
    transcript: &mut Transcript,
) -> Vec<Ef> {
    let gamma = transcript.challenge();
    let mut weights = Functional::new(plan.vars);
    let mut power = Ef::ONE;
    for claim in claims {
        let tensor = &plan.tensors[claim.tensor];
        let (last, others) = claim.points.split_last().map_or((&[][..], &[][..]), |(l, o)| (l.as_slice(), o));
        let rows: Vec<Ef> = eq_rows(others, &tensor.sizes).into_iter().map(|row| row * power).collect();
        power *= gamma;
        let (offset, log_row) = (tensor.offset(), tensor.log_row());
        if log_row < LOG_WIDTH {
            let columns = eq_table(last);
            let block: Vec<Ef> = rows.iter().flat_map(|row| columns.iter().map(move |c| *row * *c)).collect();
            weights.add_scalars(offset, &block);
        } else {
            let columns = eq_packed(last, Ef::ONE);
            for (index, row) in rows.into_iter().enumerate() {
                weights.add_scaled(offset + (index << log_row), &columns, row);
            }
        }
    }
    finish(weights, stack, transcript)
}

fn finish(weights: Functional, stack: &[Fp], transcript: &mut Transcript) -> Vec<Ef> {
    let (point, _, value) = prove_product_base(weights.into_poly(), stack, transcript);
    transcript.send(value);
    point
}

/// The public polynomial of a batch, built block by block.
#[derive(Debug)]
struct Functional {
    packed: Vec<PackedEf>,
}

impl Functional {
    /// Commitments are never shorter than two registers.
    fn new(vars: usize) -> Self {
        Self { packed: vec![PackedEf::ZERO; (1usize << vars) / WIDTH] }
    }

    fn add_packed(&mut self, offset: usize, values: &[PackedEf]) {
        for (slot, value) in self.packed[offset / WIDTH..].iter_mut().zip(values) {
            *slot += *value;
        }
    }

    fn add_scaled(&mut self, offset: usize, values: &[PackedEf], scale: Ef) {
        let scale = PackedEf::from(scale);
        for (slot, value) in self.packed[offset / WIDTH..].iter_mut().zip(values) {
            *slot += scale * *value;
        }
    }

    /// Adds values at an offset that need not start a register.
    fn add_scalars(&mut self, offset: usize, values: &[Ef]) {
        let first = offset / WIDTH;
        let end = (offset + values.len()).div_ceil(WIDTH);
        let mut scalars = unpack(&self.packed[first..end]);
        for (slot, value) in scalars[offset - first * WIDTH..].iter_mut().zip(values) {
            *slot += *value;
        }
        self.packed[first..end].copy_from_slice(&pack(&scalars));
    }

    fn into_poly(self) -> Poly {
        Poly::from_packed(self.packed)
    }
}
