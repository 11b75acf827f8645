//! Arrays whose axes are folded one after the other.
//!
//! A claim about a factor of a contraction fixes some of its axes at random points and leaves others to the
//! sumcheck. Views are products of one small matrix per group of axes, so the factor is reached by multiplying one axis
//! at a time by its matrix, the one that shrinks the array most first; convolution never meets its patches.

use p3_field::{PackedValue, PrimeCharacteristicRing};
use tacit_verify::field::{Ef, Fp};

use crate::poly::{Lane, PackedEf, PackedFp, WIDTH, pack, sum_lanes, unpack};

/// A sparse matrix that an axis is multiplied by.
#[derive(Debug, Clone)]
pub(crate) struct AxisMap {
    /// New length of the axis.
    pub(crate) length: usize,
    /// `(new index, old index, coefficient)`.
    pub(crate) entries: Vec<(usize, usize, Ef)>,
}

impl AxisMap {
    /// Folds an axis to one element.
    pub(crate) fn fold(weights: Vec<Ef>) -> Self {
        Self { length: 1, entries: weights.into_iter().enumerate().map(|(old, c)| (0, old, c)).collect() }
    }
}

/// What becomes of an axis; `None` leaves it as it is.
pub(crate) type AxisMaps = Vec<Option<AxisMap>>;

/// Multiplies every axis of a row-major array by its map. Gives the values and their new axes.
pub(crate) fn apply(values: &[Fp], dims: &[usize], mut maps: AxisMaps) -> (Vec<Ef>, Vec<usize>) {
    let mut dims = dims.to_vec();
    let Some(first) = strongest(&dims, &maps) else {
        return (values.iter().map(|value| Ef::from(*value)).collect(), dims);
    };
    let Some(map) = maps[first].take() else { return (Vec::new(), dims) };
    let mut current = apply_base(values, &dims, first, &map);
    dims[first] = map.length;
    while let Some(axis) = strongest(&dims, &maps) {
        let Some(map) = maps[axis].take() else { break };
        current = apply_extension(&current, &dims, axis, &map);
        dims[axis] = map.length;
    }
    (current, dims)
}

/// The axis whose map shrinks the array most for its work.
fn strongest(dims: &[usize], maps: &AxisMaps) -> Option<usize> {
    // Work per element now, and the length that is left, both over the length of the axis: a fraction.
    let loss = |axis: usize| {
        let map = maps[axis].as_ref()?;
        Some((map.entries.len() + 4 * map.length, dims[axis].max(1)))
    };
    (0..dims.len())
        .filter_map(|axis| Some((axis, loss(axis)?)))
        .min_by(|(_, (a, b)), (_, (c, d))| (a * d).cmp(&(c * b)))
        .map(|(axis, _)| axis)
}

fn around(dims: &[usize], axis: usize) -> (usize, usize) {
    (dims[..axis].iter().product(), dims[axis + 1..].iter().product())
}

fn apply_base(values: &[Fp], dims: &[usize], axis: usize, map: &AxisMap) -> Vec<Ef> {
    let (before, after) = around(dims, axis);
    let old = dims[axis];
    if after % WIDTH == 0 {
        let after = after / WIDTH;
        let values = PackedFp::pack_slice(values);
        let mut out = vec![PackedEf::ZERO; before * map.length * after];
        for outer in 0..before {
            let source = &values[outer * old * after..];
            let target = &mut out[outer * map.length * after..];
            for (new, old, coefficient) in &map.entries {
                let coefficient = PackedEf::from(*coefficient);
                let row = &source[old * after..(old + 1) * after];
                for (slot, value) in target[new * after..(new + 1) * after].iter_mut().zip(row) {
                    *slot += coefficient * *value;
                }
            }
        }
        return unpack(&out);
    }
    if after == 1 && old.is_multiple_of(WIDTH) && map.length == 1 && map.entries.len() * 2 > old {
        let mut weights = vec![Ef::ZERO; old];
        for (_, index, coefficient) in &map.entries {
            weights[*index] += *coefficient;
        }
        let weights = pack(&weights);
        return PackedFp::pack_slice(values)
            .chunks_exact(old / WIDTH)
            .map(|row| {
                let mut sum = PackedEf::ZERO;
                for (weight, value) in weights.iter().zip(row) {
                    sum += *weight * *value;
                }
                sum_lanes(sum)
            })
            .collect();
    }
    let mut out = vec![Ef::ZERO; before * map.length * after];
    for outer in 0..before {
        for (new, index, coefficient) in &map.entries {
            let row = &values[(outer * old + index) * after..][..after];
            let target = &mut out[(outer * map.length + new) * after..][..after];
            for (slot, value) in target.iter_mut().zip(row) {
                *slot += *coefficient * *value;
            }
        }
    }
    out
}

fn apply_extension(values: &[Ef], dims: &[usize], axis: usize, map: &AxisMap) -> Vec<Ef> {
    let (before, after) = around(dims, axis);
    if after % WIDTH == 0 {
        unpack(&multiply(&pack(values), before, dims[axis], after / WIDTH, map))
    } else {
        multiply(values, before, dims[axis], after, map)
    }
}

fn multiply<E: Lane>(values: &[E], before: usize, old: usize, after: usize, map: &AxisMap) -> Vec<E> {
    let mut out = vec![E::ZERO; before * map.length * after];
    for outer in 0..before {
        for (new, index, coefficient) in &map.entries {
            let coefficient = E::from(*coefficient);
            let row = &values[(outer * old + index) * after..][..after];
            let target = &mut out[(outer * map.length + new) * after..][..after];
            for (slot, value) in target.iter_mut().zip(row) {
                *slot += coefficient * *value;
            }
        }
    }
    out
}

/// Reorders the axes of a row-major array: axis `i` of the result is axis `order[i]`; each is padded to a power of two
/// by zeros.
pub(crate) fn arrange(values: Vec<Ef>, dims: &[usize], order: &[usize]) -> Vec<Ef> {
    let in_order = order.iter().enumerate().all(|(new, old)| new == *old);
    if in_order && order.len() == dims.len() && dims.iter().all(|size| size.is_power_of_two()) {
        return values;
    }
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    let sizes: Vec<usize> = order.iter().map(|axis| dims[*axis]).collect();
    let padded: Vec<usize> = sizes.iter().map(|size| size.next_power_of_two()).collect();
    let mut out = vec![Ef::ZERO; padded.iter().product()];
    let mut index = vec![0usize; sizes.len()];
    if sizes.contains(&0) {
        return out;
    }
    loop {
        let from: usize = index.iter().zip(order).map(|(index, axis)| index * strides[*axis]).sum();
        let to = index.iter().zip(&padded).fold(0, |to, (index, size)| to * size + index);
        out[to] = values[from];
        let mut axis = sizes.len();
        loop {
            if axis == 0 {
                return out;
            }
            axis -= 1;
            index[axis] += 1;
            if index[axis] < sizes[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(seed: usize) -> Ef {
        Ef::from_u64((seed * 2_654_435_761 % 1_000_003) as u64)
    }

    #[test]
    fn maps_in_any_order_agree_with_the_sum_they_stand_for() {
        let dims = [3, 4, 2 * WIDTH, 5];
        let len: usize = dims.iter().product();
        let values: Vec<Fp> = (0..len).map(|i| Fp::from_u64((i * 77 + 3) as u64)).collect();
        let map = |length: usize, old: usize, salt: usize| AxisMap {
            length,
            entries: (0..length)
                .flat_map(|new| (0..old).map(move |index| (new, index, element(new * 31 + index + salt))))
                .collect(),
        };
        let maps = vec![Some(map(1, 3, 1)), None, Some(map(3, 2 * WIDTH, 2)), Some(map(2, 5, 3))];
        let (got, new) = apply(&values, &dims, maps.clone());
        assert_eq!(new, [1, 4, 3, 2]);
        let coefficient = |axis: usize, new: usize, old: usize| match &maps[axis] {
            Some(map) => map.entries.iter().find(|(n, o, _)| (*n, *o) == (new, old)).unwrap().2,
            None => Ef::from_bool(new == old),
        };
        for (flat, value) in got.iter().enumerate() {
            let at = [0, flat / 6 % 4, flat / 2 % 3, flat % 2];
            let mut expected = Ef::ZERO;
            for (source, x) in values.iter().enumerate() {
                let from =
                    [source / (len / 3), source / (10 * WIDTH) % 4, source / 5 % (2 * WIDTH), source % 5];
                if from[1] == at[1] {
                    let product = (0..4)
                        .fold(Ef::ONE, |product, axis| product * coefficient(axis, at[axis], from[axis]));
                    expected += product * *x;
                }
            }
            assert_eq!(*value, expected, "element {flat}");
        }
    }

    #[test]
    fn arranging_transposes_and_pads() {
        let values: Vec<Ef> = (0..6).map(element).collect();
        let got = arrange(values.clone(), &[2, 3], &[1, 0]);
        let zero = Ef::ZERO;
        let expected = [values[0], values[3], values[1], values[4], values[2], values[5], zero, zero];
        assert_eq!(got, expected);
        assert_eq!(arrange(values[..4].to_vec(), &[2, 2], &[0, 1]), values[..4]);
    }
}
