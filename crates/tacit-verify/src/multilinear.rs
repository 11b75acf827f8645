//! Multilinear extensions of public data.
//!
//! A point lists its coordinates most significant first: entry `i` of a vector of `2^n` values sits at the
//! corner whose coordinates are the bits of `i`, high bit first. Vectors shorter than `2^n` are read as if
//! zeros followed.

use p3_field::PrimeCharacteristicRing;

use crate::field::{EF_DEGREE, Ef, Fp, coefficients, ef_from_coefficients, embed};

/// `eq(point, corner)` for every corner. Shape `[2^n]`.
#[must_use]
pub fn eq_table(point: &[Ef]) -> Vec<Ef> {
    let mut table = vec![Ef::ONE];
    for coordinate in point {
        let mut next = Vec::with_capacity(table.len().saturating_mul(2));
        for value in table {
            let high = value * *coordinate;
            next.push(value - high);
            next.push(high);
        }
        table = next;
    }
    table
}

/// `eq(point, corner)` for the corners `start .. start + len`, in `O(len + n)` products.
///
/// Corners from `2^n` on are left out.
#[must_use]
pub fn eq_range(point: &[Ef], start: usize, len: usize) -> Vec<Ef> {
    let Some(last) = start.checked_add(len).and_then(|end| end.checked_sub(1)) else {
        return Vec::new();
    };
    if len == 0 {
        return Vec::new();
    }
    // After `depth` coordinates the table holds the ancestors of the wanted corners at that depth.
    let mut table = vec![Ef::ONE];
    let mut first = 0usize;
    for (done, coordinate) in point.iter().enumerate() {
        let below = point.len().saturating_sub(done).saturating_sub(1);
        let low = checked_shr(start, below);
        let high = checked_shr(last, below);
        let mut next = Vec::with_capacity(high.saturating_sub(low).saturating_add(1));
        for (parent, value) in (first..).zip(table) {
            let one = value * *coordinate;
            for (child, weight) in
                [(parent.saturating_mul(2), value - one), (parent.saturating_mul(2).saturating_add(1), one)]
            {
                if (low..=high).contains(&child) {
                    next.push(weight);
                }
            }
        }
        table = next;
        first = low;
    }
    table.truncate(len);
    table
}

fn checked_shr(value: usize, by: usize) -> usize {
    u32::try_from(by).ok().and_then(|by| value.checked_shr(by)).unwrap_or(0)
}

/// `eq(point, corner)` for one corner; bits of `corner` above the point's length are ignored.
pub fn eq_corner(point: &[Ef], corner: usize) -> Ef {
    let mut product = Ef::ONE;
    for (bit, coordinate) in point.iter().rev().enumerate() {
        let factor = if checked_shr(corner, bit) & 1 == 1 { *coordinate } else { Ef::ONE - *coordinate };
        product *= factor;
    }
    product
}

/// `eq(a, b)` for two points of one length.
pub fn eq_points(a: &[Ef], b: &[Ef]) -> Ef {
    a.iter().zip(b).fold(Ef::ONE, |product, (x, y)| {
        let both = *x * *y;
        product * (Ef::ONE - *x - *y + both.double())
    })
}

/// The multilinear extension of `0, 1, 2, ..` at `point`.
pub fn eval_index(point: &[Ef]) -> Ef {
    point.iter().fold(Ef::ZERO, |value, coordinate| value.double() + *coordinate)
}

/// The multilinear extension of `values` at `point`.
pub fn eval_i8(values: &[i8], point: &[Ef]) -> Ef {
    let low_vars = point.len().div_ceil(2);
    let (high, low) = point.split_at(point.len().saturating_sub(low_vars));
    let low = IntegerWeights::new(&eq_table(low));
    let chunk = low.len().max(1);
    eq_table(high)
        .into_iter()
        .zip(values.chunks(chunk))
        .fold(Ef::ZERO, |sum, (weight, values)| sum + weight * low.dot(values))
}

/// The multilinear extension of a padded matrix: `rows` repeated by its last row up to `2^len(row_point)`
/// rows, each row followed by zeros up to `2^len(column_point)` entries.
pub fn eval_rows_i8(rows: &[Vec<i8>], row_point: &[Ef], column_point: &[Ef]) -> Ef {
    let columns = IntegerWeights::new(&eq_table(column_point));
    fold_rows(rows, row_point, |row| columns.dot(row))
}

/// [`eval_rows_i8`] for 32-bit entries under [`crate::field::MAX_MAGNITUDE`].
pub fn eval_rows_i32(rows: &[Vec<i32>], row_point: &[Ef], column_point: &[Ef]) -> Ef {
    let columns = eq_table(column_point);
    fold_rows(rows, row_point, |row| {
        row.iter().zip(&columns).fold(Ef::ZERO, |sum, (value, weight)| sum + *weight * embed(*value))
    })
}

fn fold_rows<T>(rows: &[Vec<T>], row_point: &[Ef], evaluate: impl Fn(&[T]) -> Ef) -> Ef {
    let mut weights = eq_table(row_point);
    // The last row stands for every padding row too.
    let padding: Ef = weights.drain(rows.len().min(weights.len())..).sum();
    if let Some(last) = weights.last_mut() {
        *last += padding;
    }
    rows.iter().zip(weights).fold(Ef::ZERO, |sum, (row, weight)| sum + weight * evaluate(row))
}

/// Extension weights as integers, for dot products with small integers without a reduction per term.
#[derive(Debug)]
struct IntegerWeights {
    /// One row per coefficient. Each entry is in `0..p`.
    planes: [Vec<i64>; EF_DEGREE],
}

impl IntegerWeights {
    fn new(weights: &[Ef]) -> Self {
        let mut planes: [Vec<i64>; EF_DEGREE] = core::array::from_fn(|_| Vec::with_capacity(weights.len()));
        for weight in weights {
            for (plane, coefficient) in planes.iter_mut().zip(coefficients(weight)) {
                plane.push(coefficient);
            }
        }
        Self { planes }
    }

    fn len(&self) -> usize {
        self.planes.first().map_or(0, Vec::len)
    }

    fn dot(&self, values: &[i8]) -> Ef {
        let mut sums = [Fp::ZERO; EF_DEGREE];
        for (sum, plane) in sums.iter_mut().zip(&self.planes) {
            // Chunks of 2^20 terms keep the sum under 2^58.
            for (weights, values) in plane.chunks(1 << 20).zip(values.chunks(1 << 20)) {
                let total = weights
                    .iter()
                    .zip(values)
                    .fold(0i64, |total, (w, v)| total.wrapping_add(w.wrapping_mul(i64::from(*v))));
                *sum += Fp::from_i64(total);
            }
        }
        ef_from_coefficients(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(n: usize) -> Vec<Ef> {
        (0..n)
            .map(|i| {
                Ef::new(core::array::from_fn(|k| Fp::from_u64((i * 97 + k * 31 + 5) as u64).exp_u64(77)))
            })
            .collect()
    }

    fn naive(values: &[i64], point: &[Ef]) -> Ef {
        (0..1usize << point.len()).fold(Ef::ZERO, |sum, corner| {
            sum + eq_corner(point, corner) * Fp::from_i64(values.get(corner).copied().unwrap_or(0))
        })
    }

    #[test]
    fn tables_agree_with_corners() {
        let point = point(5);
        let table = eq_table(&point);
        for (corner, value) in table.iter().enumerate() {
            assert_eq!(*value, eq_corner(&point, corner));
        }
        for start in 0..32 {
            for len in 0..=(32 - start) {
                assert_eq!(eq_range(&point, start, len), table[start..start + len]);
            }
        }
        assert_eq!(eq_range(&[], 0, 1), vec![Ef::ONE]);
    }

    #[test]
    fn evaluations_agree_with_the_definition() {
        let values: Vec<i8> = (0..29).map(|i: i32| (i * i * 7 % 256 - 128) as i8).collect();
        let wide: Vec<i64> = values.iter().map(|v| i64::from(*v)).collect();
        let five = point(5);
        assert_eq!(eval_i8(&values, &five), naive(&wide, &five));
        assert_eq!(eval_index(&five), naive(&(0..32).collect::<Vec<_>>(), &five));
        assert_eq!(eq_points(&five, &five), eq_table(&five).iter().map(|v| *v * *v).sum::<Ef>());
        assert_eq!(eval_i8(&[9], &[]), Ef::from(embed(9)));
    }

    #[test]
    fn padding_rows_repeat_the_last() {
        let rows = vec![vec![1i8, -2, 3], vec![4, 5, -6], vec![7, 8, 127]];
        let (row_point, column_point) = (point(2), point(3)[1..].to_vec());
        let flat: Vec<i64> = [0, 1, 2, 2]
            .iter()
            .flat_map(|row: &usize| rows[*row].iter().map(|v| i64::from(*v)).chain([0]))
            .collect();
        let full: Vec<Ef> = row_point.iter().chain(&column_point).copied().collect();
        assert_eq!(eval_rows_i8(&rows, &row_point, &column_point), naive(&flat, &full));
        let wide: Vec<Vec<i32>> =
            rows.iter().map(|row| row.iter().map(|v| i32::from(*v) * 1_000_003).collect()).collect();
        let flat: Vec<i64> = flat.iter().map(|v| v * 1_000_003).collect();
        assert_eq!(eval_rows_i32(&wide, &row_point, &column_point), naive(&flat, &full));
    }
}
