//! Dense layers: one product sumcheck for each claim about an accumulator (Thaler 2013).

use p3_field::{PackedValue, PrimeCharacteristicRing};
use tacit_verify::{
    field::{Ef, Fp},
    multilinear::eq_table,
    plan::LayerPlan,
};

use crate::{
    poly::{LOG_WIDTH, PackedEf, PackedFp, Poly, WIDTH, dot, dot_packed, eq_packed, unpack},
    sumcheck::prove_product,
    transcript::Transcript,
};

/// A claim about one tensor at `(rows, columns)`.
#[derive(Debug, Clone)]
pub(crate) struct TensorClaim {
    pub(crate) row_point: Vec<Ef>,
    pub(crate) column_point: Vec<Ef>,
}

/// The values a layer reads, padded. Shape `[2^log_rows][2^log_inputs]`.
#[derive(Debug)]
pub(crate) struct LayerInput<'a> {
    pub(crate) values: &'a [Fp],
    /// Whether the verifier knows them.
    pub(crate) public: bool,
}

/// Proves one claim about the accumulator of `layer`; returns the point over its inputs.
pub(crate) fn prove(
    layer: &LayerPlan,
    weights: &[Fp],
    input: &LayerInput<'_>,
    claim: &TensorClaim,
    transcript: &mut Transcript,
) -> Vec<Ef> {
    let start = layer.first_row << layer.log_outputs;
    let len = (layer.inputs + 1) << layer.log_outputs;
    let mut columns = fold_columns(&weights[start..start + len], &claim.column_point);
    let bias = columns.pop().unwrap_or_default();
    transcript.send(bias);
    columns.resize(1 << layer.log_inputs, Ef::ZERO);
    let rows = fold_rows(input.values, 1 << layer.log_inputs, &claim.row_point);
    let (point, input_value, matrix) = prove_product(Poly::new(rows), Poly::new(columns), transcript);
    if !input.public {
        transcript.send(input_value);
    }
    transcript.send(matrix);
    point
}

/// Binds the columns of a row-major matrix; one value per row.
fn fold_columns(matrix: &[Fp], point: &[Ef]) -> Vec<Ef> {
    if point.len() < LOG_WIDTH {
        let weights = eq_table(point);
        return matrix.chunks_exact(weights.len()).map(|row| dot(&weights, row)).collect();
    }
    let weights = eq_packed(point, Ef::ONE);
    PackedFp::pack_slice(matrix).chunks_exact(weights.len()).map(|row| dot_packed(&weights, row)).collect()
}

/// Binds the rows of a row-major matrix; one value per column.
fn fold_rows(matrix: &[Fp], width: usize, point: &[Ef]) -> Vec<Ef> {
    let weights = eq_table(point);
    if width < WIDTH {
        let mut sums = vec![Ef::ZERO; width];
        for (row, weight) in matrix.chunks_exact(width).zip(weights) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += weight * *value;
            }
        }
        return sums;
    }
    let mut sums = vec![PackedEf::ZERO; width / WIDTH];
    for (row, weight) in PackedFp::pack_slice(matrix).chunks_exact(width / WIDTH).zip(weights) {
        let weight = PackedEf::from(weight);
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += weight * *value;
        }
    }
    unpack(&sums)
}
