//! Multilinear polynomials as vectors, in vector registers while they are long enough.
//!
//! Order as in [`tacit_verify::multilinear`]: the first variable is the most significant bit of the index, so
//! binding it pairs the two halves of a vector.

use p3_field::{Algebra, ExtensionField, Field, PackedFieldExtension, PackedValue, PrimeCharacteristicRing};
use tacit_verify::{
    field::{Ef, Fp},
    multilinear::eq_table,
};

/// Base field elements in one register.
pub(crate) type PackedFp = <Fp as Field>::Packing;
/// As many extension elements.
pub(crate) type PackedEf = <Ef as ExtensionField<Fp>>::ExtensionPacking;

/// Elements in one register.
pub(crate) const WIDTH: usize = <PackedFp as PackedValue>::WIDTH;
/// Its base-two logarithm.
pub(crate) const LOG_WIDTH: usize = WIDTH.trailing_zeros() as usize;

/// One register or one element.
pub(crate) trait Lane: Copy + Send + Sync + Algebra<Ef> {}
impl<T: Copy + Send + Sync + Algebra<Ef>> Lane for T {}

/// Values on the corners of a cube; packed from `2 * WIDTH` values on.
#[derive(Debug, Clone)]
pub(crate) enum Poly {
    /// At least two registers.
    Packed(Vec<PackedEf>),
    /// Single elements.
    Scalar(Vec<Ef>),
}

impl Poly {
    /// Packs values when there are enough.
    pub(crate) fn new(values: Vec<Ef>) -> Self {
        if values.len() < 2 * WIDTH { Self::Scalar(values) } else { Self::Packed(pack(&values)) }
    }

    /// From registers; unpacks a single one.
    pub(crate) fn from_packed(values: Vec<PackedEf>) -> Self {
        if values.len() < 2 { Self::Scalar(unpack(&values)) } else { Self::Packed(values) }
    }

    /// The values, one by one.
    pub(crate) fn into_scalars(self) -> Vec<Ef> {
        match self {
            Self::Packed(values) => unpack(&values),
            Self::Scalar(values) => values,
        }
    }

    #[cfg(test)]
    pub(crate) fn to_scalars(&self) -> Vec<Ef> {
        match self {
            Self::Packed(values) => unpack(values),
            Self::Scalar(values) => values.clone(),
        }
    }
}

/// Packs a multiple of [`WIDTH`] elements.
pub(crate) fn pack(values: &[Ef]) -> Vec<PackedEf> {
    values.chunks_exact(WIDTH).map(PackedEf::from_ext_slice).collect()
}

/// The elements of registers, in order.
pub(crate) fn unpack(values: &[PackedEf]) -> Vec<Ef> {
    let mut out = vec![Ef::ZERO; values.len() * WIDTH];
    for (value, slots) in values.iter().zip(out.chunks_exact_mut(WIDTH)) {
        value.to_ext_slice(slots);
    }
    out
}

/// Sum of the elements of a register.
pub(crate) fn sum_lanes(value: PackedEf) -> Ef {
    (0..WIDTH).map(|lane| value.extract(lane)).sum()
}

/// `scale * eq(point, corner)` for every corner, packed. The point has at least [`LOG_WIDTH`] coordinates.
pub(crate) fn eq_packed(point: &[Ef], scale: Ef) -> Vec<PackedEf> {
    let (high, low) = point.split_at(point.len() - LOG_WIDTH);
    let lanes: Vec<Ef> = eq_table(low).into_iter().map(|value| value * scale).collect();
    let mut table = Vec::with_capacity(1 << high.len());
    table.push(PackedEf::from_ext_slice(&lanes));
    // Each coordinate further left doubles the table.
    for coordinate in high.iter().rev() {
        let coordinate = PackedEf::from(*coordinate);
        let len = table.len();
        for index in 0..len {
            let one = table[index] * coordinate;
            table[index] -= one;
            table.push(one);
        }
    }
    table
}

/// `scale * eq(point, corner)` for every corner.
pub(crate) fn eq_scaled(point: &[Ef], scale: Ef) -> Vec<Ef> {
    eq_table(point).into_iter().map(|value| value * scale).collect()
}

/// Binds the first variable of `values` to `r`, in place.
pub(crate) fn bind<E: Lane>(values: &mut Vec<E>, r: Ef) {
    let r = E::from(r);
    let half = values.len() / 2;
    let (low, high) = values.split_at_mut(half);
    for (low, high) in low.iter_mut().zip(high) {
        *low += r * (*high - *low);
    }
    values.truncate(half);
}

/// `sum_c weights[c] * row[c]`, packed rows.
pub(crate) fn dot_packed(weights: &[PackedEf], row: &[PackedFp]) -> Ef {
    let mut sum = PackedEf::ZERO;
    for (weight, value) in weights.iter().zip(row) {
        sum += *weight * *value;
    }
    sum_lanes(sum)
}

/// `sum_c weights[c] * row[c]`.
pub(crate) fn dot(weights: &[Ef], row: &[Fp]) -> Ef {
    weights.iter().zip(row).map(|(weight, value)| *weight * *value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_tables_agree_with_scalar_ones() {
        let point: Vec<Ef> = (0..LOG_WIDTH + 3).map(|i| Ef::from_u64(i as u64 * 77 + 5)).collect();
        assert_eq!(unpack(&eq_packed(&point, Ef::TWO)), eq_scaled(&point, Ef::TWO));
        let values = eq_table(&point);
        assert_eq!(Poly::new(values.clone()).to_scalars(), values);
        let (mut packed, mut scalar) = (pack(&values), values);
        bind(&mut packed, Ef::from_u64(9));
        bind(&mut scalar, Ef::from_u64(9));
        assert_eq!(unpack(&packed), scalar);
    }
}
