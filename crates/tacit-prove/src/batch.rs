//! Many claims become one opening (see [`tacit_verify::batch`]).

use p3_field::PrimeCharacteristicRing;
use tacit_verify::{
    field::{Ef, Fp},
    multilinear::{eq_range, eq_table},
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

/// Where a layer is claimed.
#[derive(Debug)]
pub(crate) struct WeightClaim {
    pub(crate) layer: usize,
    pub(crate) row_point: Vec<Ef>,
    pub(crate) column_point: Vec<Ef>,
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
        let layer = &plan.layers[claim.layer];
        let mut rows: Vec<Ef> =
            eq_range(&claim.row_point, 0, layer.inputs).into_iter().map(|row| row * power).collect();
        rows.push(power * gamma);
        power *= gamma * gamma;
        let offset = layer.first_row << layer.log_outputs;
        if layer.log_outputs < LOG_WIDTH {
            let columns = eq_table(&claim.column_point);
            let block: Vec<Ef> = rows.iter().flat_map(|row| columns.iter().map(move |c| *row * *c)).collect();
            weights.add_scalars(offset, &block);
        } else {
            let columns = eq_packed(&claim.column_point, Ef::ONE);
            for (index, row) in rows.into_iter().enumerate() {
                weights.add_scaled(offset + (index << layer.log_outputs), &columns, row);
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
