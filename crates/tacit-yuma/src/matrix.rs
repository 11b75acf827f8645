//! Rows of validators over columns of workers.

use crate::fixed::Fixed;

/// One row for each validator, all of one length.
pub(crate) type Matrix = Vec<Vec<Fixed>>;

/// Divides by the sum, if there is one.
pub(crate) fn normalise(values: &mut [Fixed]) {
    let sum: Fixed = values.iter().copied().sum();
    divide(values, sum);
}

/// Divides by `divisor`, if it is not nothing.
pub(crate) fn divide(values: &mut [Fixed], divisor: Fixed) {
    if divisor != Fixed::ZERO {
        for value in values {
            *value = value.over(divisor);
        }
    }
}

/// Makes each column a whole.
pub(crate) fn normalise_columns(matrix: &mut Matrix) {
    divide_columns(matrix, Fixed::plus);
}

/// Makes the largest of each column one.
pub(crate) fn upscale_columns(matrix: &mut Matrix) {
    divide_columns(matrix, Ord::max);
}

/// Divides each column by its fold.
fn divide_columns(matrix: &mut Matrix, fold: impl Fn(Fixed, Fixed) -> Fixed) {
    let mut divisors = vec![Fixed::ZERO; matrix.first().map_or(0, Vec::len)];
    for row in matrix.iter() {
        for (divisor, value) in divisors.iter_mut().zip(row) {
            *divisor = fold(*divisor, *value);
        }
    }
    for row in matrix {
        for (value, divisor) in row.iter_mut().zip(&divisors) {
            if *divisor != Fixed::ZERO {
                *value = value.over(*divisor);
            }
        }
    }
}

/// `sum_i scale_i * matrix_ij` for each column `j`.
pub(crate) fn weighted_columns(matrix: &Matrix, scales: &[Fixed]) -> Vec<Fixed> {
    let mut sums = vec![Fixed::ZERO; matrix.first().map_or(0, Vec::len)];
    for (row, scale) in matrix.iter().zip(scales) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum = sum.plus(scale.times(*value));
        }
    }
    sums
}

/// `sum_j matrix_ij * scale_j` for each row `i`.
pub(crate) fn weighted_rows(matrix: &Matrix, scales: &[Fixed]) -> Vec<Fixed> {
    let row_sum = |row: &Vec<Fixed>| row.iter().zip(scales).map(|(value, scale)| value.times(*scale)).sum();
    matrix.iter().map(row_sum).collect()
}

/// Each element of two matrices.
pub(crate) fn zip(one: &Matrix, other: &Matrix, with: impl Fn(Fixed, Fixed) -> Fixed) -> Matrix {
    let row = |(one, other): (&Vec<Fixed>, &Vec<Fixed>)| {
        one.iter().zip(other).map(|(one, other)| with(*one, *other)).collect()
    };
    one.iter().zip(other).map(row).collect()
}
