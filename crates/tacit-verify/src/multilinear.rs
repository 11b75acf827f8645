//! Multilinear extensions of public data.
//!
//! A point lists its coordinates most significant first: entry `i` of a vector of `2^n` values sits at the
//! corner whose coordinates are the bits of `i`, high bit first. Vectors shorter than `2^n` are read as if
//! zeros followed.

use p3_field::PrimeCharacteristicRing;

use crate::field::{EF_DEGREE, Ef, Fp, coefficients, ef_from_coefficients};

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

/// `sum_(i < len) eq(point, i)`, in `O(n)` products.
pub fn eq_below(point: &[Ef], len: usize) -> Ef {
    if u32::try_from(point.len()).ok().and_then(|vars| 1usize.checked_shl(vars)).is_some_and(|all| len >= all)
    {
        return Ef::ONE;
    }
    let (mut sum, mut path) = (Ef::ZERO, Ef::ONE);
    for (done, coordinate) in point.iter().enumerate() {
        let below = point.len().saturating_sub(done).saturating_sub(1);
        let one = path * *coordinate;
        if checked_shr(len, below) & 1 == 1 {
            sum += path - one;
            path = one;
        } else {
            path -= one;
        }
    }
    sum
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

/// `prod_axis eq(points[axis], index[axis])` for every index over axes of these sizes, row-major, not padded. Sizes
/// beyond the points are left out.
#[must_use]
pub fn eq_rows(points: &[Vec<Ef>], sizes: &[usize]) -> Vec<Ef> {
    points.iter().zip(sizes).fold(vec![Ef::ONE], |rows, (point, size)| {
        let axis = eq_range(point, 0, *size);
        rows.iter().flat_map(|row| axis.iter().map(move |value| *row * *value)).collect()
    })
}

/// The multilinear extension of `values` at `point`.
pub fn eval_i16(values: &[i16], point: &[Ef]) -> Ef {
    let low_vars = point.len().div_ceil(2);
    let (high, low) = point.split_at(point.len().saturating_sub(low_vars));
    let low = IntegerWeights::new(&eq_table(low));
    let chunk = low.len().max(1);
    eq_table(high)
        .into_iter()
        .zip(values.chunks(chunk))
        .fold(Ef::ZERO, |sum, (weight, values)| sum + weight * low.dot(values))
}

/// The multilinear extension of rows of a tensor with these axes, each axis padded by zeros to a power of two, rows
/// padded by repeating the last one. Values stay under [`crate::field::MAX_MAGNITUDE`].
pub fn eval_rows<T: Copy + Into<i64>>(
    rows: &[Vec<T>],
    sizes: &[u32],
    row_point: &[Ef],
    axes: &[Vec<Ef>],
) -> Ef {
    let sizes: Vec<usize> = sizes.iter().map(|size| usize::try_from(*size).unwrap_or(0)).collect();
    let (Some((last, points)), Some((length, _))) = (axes.split_last(), sizes.split_last()) else {
        return fold_rows(rows, row_point, |row| {
            row.first().map_or(Ef::ZERO, |v| Ef::from(Fp::from_i64((*v).into())))
        });
    };
    let high = eq_rows(points, &sizes);
    let low = IntegerWeights::new(&eq_range(last, 0, *length));
    fold_rows(rows, row_point, |row| {
        row.chunks(low.len().max(1))
            .zip(&high)
            .fold(Ef::ZERO, |sum, (values, weight)| sum + *weight * low.dot(values))
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

    fn dot<T: Copy + Into<i64>>(&self, values: &[T]) -> Ef {
        let mut sums = [Fp::ZERO; EF_DEGREE];
        // Weights are under 2^31: with values of 16 bits, or of 31, this many terms stay under 2^63.
        let chunk = if core::mem::size_of::<T>() <= 2 { 1 << 15 } else { 2 };
        for (sum, plane) in sums.iter_mut().zip(&self.planes) {
            for (weights, values) in plane.chunks(chunk).zip(values.chunks(chunk)) {
                let total = weights
                    .iter()
                    .zip(values)
                    .fold(0i64, |total, (w, v)| total.wrapping_add(w.wrapping_mul((*v).into())));
                *sum += Fp::from_i64(total);
            }
        }
        ef_from_coefficients(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::embed;

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
        for len in 0..=32 {
            assert_eq!(eq_below(&point, len), table[..len].iter().copied().sum::<Ef>());
        }
        assert_eq!((eq_below(&[], 0), eq_below(&[], 1)), (Ef::ZERO, Ef::ONE));
    }

    #[test]
    fn evaluations_agree_with_the_definition() {
        let values: Vec<i16> = (0..29).map(|i: i32| (i * i * 7001 % 65536 - 32768) as i16).collect();
        let wide: Vec<i64> = values.iter().map(|v| i64::from(*v)).collect();
        let five = point(5);
        assert_eq!(eval_i16(&values, &five), naive(&wide, &five));
        assert_eq!(eval_index(&five), naive(&(0..32).collect::<Vec<_>>(), &five));
        assert_eq!(eq_points(&five, &five), eq_table(&five).iter().map(|v| *v * *v).sum::<Ef>());
        assert_eq!(eval_i16(&[9], &[]), Ef::from(embed(9)));
    }

    #[test]
    fn padding_rows_repeat_the_last() {
        let rows = vec![vec![1i16, -2, 3], vec![4, 5, -6], vec![7, 8, 127]];
        let (row_point, column_point) = (point(2), point(3)[1..].to_vec());
        let flat: Vec<i64> = [0, 1, 2, 2]
            .iter()
            .flat_map(|row: &usize| rows[*row].iter().map(|v| i64::from(*v)).chain([0]))
            .collect();
        let full: Vec<Ef> = row_point.iter().chain(&column_point).copied().collect();
        assert_eq!(
            eval_rows(&rows, &[3], &row_point, core::slice::from_ref(&column_point)),
            naive(&flat, &full)
        );
        let wide: Vec<Vec<i32>> =
            rows.iter().map(|row| row.iter().map(|v| i32::from(*v) * 1_000_003).collect()).collect();
        let flat: Vec<i64> = flat.iter().map(|v| v * 1_000_003).collect();
        assert_eq!(
            eval_rows(&wide, &[3], &row_point, core::slice::from_ref(&column_point)),
            naive(&flat, &full)
        );
    }
}
