//! Commits to polynomials so that openings show nothing of them (see [`tacit_verify::hiding`]).

use p3_field::{BasedVectorSpace, PackedValue, PrimeCharacteristicRing, TwoAdicField};
use tacit_verify::{
    field::{EF_DEGREE, Ef, Fp},
    hiding_shape::HidingShape,
    multilinear::eq_table,
};

use crate::{
    oracle::{Oracle, flatten},
    poly::{LOG_WIDTH, PackedEf, PackedFp, Poly, WIDTH, dot, dot_packed, eq_packed, eq_scaled, pack, unpack},
    private::Private,
    randomness::Randomness,
    sumcheck::prove_product_rounds,
    transcript::Transcript,
};

/// A polynomial behind a hiding commitment.
pub(crate) struct Hidden {
    /// Its `2^vars` values; the random ones come last.
    pub(crate) values: Private<Fp>,
    pub(crate) oracle: Oracle,
}

/// The polynomial at a point outside the domain of its oracle.
pub(crate) struct Outside {
    /// The variables that number rows, and those that number columns.
    high: Vec<Ef>,
    low: Vec<Ef>,
    /// Every column, its rows bound to the point.
    columns: Vec<Ef>,
    pub(crate) value: Ef,
}

impl Hidden {
    /// Commits to `values`; those from [`HidingShape::free`] on are replaced by random ones.
    pub(crate) fn commit(shape: &HidingShape, mut values: Vec<Fp>, random: &mut Randomness) -> Option<Self> {
        values.resize(1 << shape.vars, Fp::ZERO);
        for value in &mut values[shape.free()..] {
            *value = random.base();
        }
        let oracle = Oracle::encode(shape.oracle(0), values.clone())?;
        Some(Self { values: values.into(), oracle })
    }

    /// Answers at a point outside the domain.
    pub(crate) fn outside(&self, shape: &HidingShape, point: &[Ef]) -> Outside {
        let (high, low) = point.split_at(shape.vars - shape.rounds[0].fold);
        let columns = fold_rows(&self.values, 1 << low.len(), high);
        let value = eq_table(low).iter().zip(&columns).map(|(weight, value)| *weight * *value).sum();
        Outside { high: high.to_vec(), low: low.to_vec(), columns, value }
    }

    /// Opens the polynomial at `point`, in step with [`tacit_verify::hiding::verify`].
    pub(crate) fn open(
        &self,
        shape: &HidingShape,
        outside: &Outside,
        point: &[Ef],
        random: &mut Randomness,
        transcript: &mut Transcript,
    ) -> Option<()> {
        let first = shape.rounds[0];
        let (high, low) = point.split_at(shape.vars - first.fold);
        let gamma = transcript.challenge();
        // The first rounds bind only the variables within a row: the others are summed out before. Which of the two claims is one more variable,
        // never bound.
        let columns = fold_rows(&self.values, 1 << first.fold, high);
        let factors = interleave(eq_table(low), eq_scaled(&outside.low, gamma));
        let columns = interleave(columns, outside.columns.iter().copied());
        let (mut bound, scales, _) =
            prove_product_rounds(Poly::new(factors), Poly::new(columns), first.fold, transcript);
        let scales = scales.into_scalars();
        let mut values = fold_columns(&self.values, &bound);
        let mut weights = vec![Ef::ZERO; 1 << high.len()];
        for (high, scale) in [high, &outside.high].into_iter().zip(scales) {
            add_eq(&mut weights, high, scale);
        }
        let mut later: Option<Folding> = None;
        for (index, round) in shape.rounds.iter().enumerate() {
            if index > 0 {
                let (point, a, b) =
                    prove_product_rounds(Poly::new(weights), Poly::new(values), round.fold, transcript);
                (weights, values, bound) = (a.into_scalars(), b.into_scalars(), point);
            }
            let current = later.take();
            if let Some(current) = &current {
                let table = eq_table(&bound);
                for row in &current.randomness {
                    transcript.send(row.iter().zip(&table).map(|(value, weight)| *value * *weight).sum());
                }
            }
            let mut answered = None;
            if index + 1 < shape.rounds.len() {
                let next = Folding::commit(shape, index + 1, &values, random)?;
                transcript.send_root(&next.oracle.root);
                later = Some(next);
                let table = eq_table(&transcript.challenge_point(round.message_vars));
                transcript.send(table.iter().zip(&values).map(|(weight, value)| *weight * *value).sum());
                answered = Some(table);
            } else {
                values.iter().for_each(|value| transcript.send(*value));
            }
            let oracle = current.as_ref().map_or(&self.oracle, |current| &current.oracle);
            let positions = oracle.open(round.queries, transcript);
            let eta = transcript.challenge();
            // Nobody asks for the factor once the last polynomial is sent.
            if let Some(table) = answered {
                weights.iter_mut().zip(table).for_each(|(sum, weight)| *sum += eta * weight);
                let generator = Fp::two_adic_generator(round.log_height);
                let bases = positions.iter().map(|position| generator.exp_u64(*position as u64));
                add_powers(&mut weights, &bases.collect::<Vec<_>>(), eta);
            }
        }
        Some(())
    }
}

/// `a[0], b[0], a[1], b[1], ..`
fn interleave(a: Vec<Ef>, b: impl IntoIterator<Item = Ef>) -> Vec<Ef> {
    a.into_iter().zip(b).flat_map(|(a, b)| [a, b]).collect()
}

/// Adds `scale * eq(point, x)` to the value at every `x`.
fn add_eq(weights: &mut [Ef], point: &[Ef], scale: Ef) {
    // Halves of the point, so that the tables stay short.
    let (high, low) = point.split_at(point.len() / 2);
    let low = eq_table(low);
    for (chunk, high) in weights.chunks_exact_mut(low.len()).zip(eq_scaled(high, scale)) {
        for (sum, weight) in chunk.iter_mut().zip(&low) {
            *sum += high * *weight;
        }
    }
}

/// A folded polynomial's oracle.
struct Folding {
    oracle: Oracle,
    /// Shape `[randomness][2^fold]`.
    randomness: Vec<Private<Ef>>,
}

impl Folding {
    /// Chunks of `values` are the columns, each followed by fresh random coefficients.
    fn commit(shape: &HidingShape, index: usize, values: &[Ef], random: &mut Randomness) -> Option<Self> {
        let round = shape.rounds[index];
        let (width, len) = (1 << round.fold, 1 << round.message_vars);
        let mut columns = Vec::with_capacity((width * EF_DEGREE) << round.log_height);
        for row in 0..len {
            columns.extend(flatten((0..width).map(|chunk| values[chunk * len + row])));
        }
        let randomness: Vec<Private<Ef>> =
            (0..round.randomness).map(|_| random.extensions(width).into()).collect();
        for row in &randomness {
            columns.extend(flatten(row.iter().copied()));
        }
        Some(Self { oracle: Oracle::encode(shape.oracle(index), columns)?, randomness })
    }
}

/// Adds `sum_q eta^(q + 2) base_q^x` to the value at every `x`.
fn add_powers(weights: &mut [Ef], bases: &[Fp], eta: Ef) {
    // `base^x` splits at half the bits of `x`, so that only the low half is a table.
    let low = weights.len().next_power_of_two().trailing_zeros().div_ceil(2);
    let low = (1usize << low).max(WIDTH).min(weights.len());
    let tables: Vec<Vec<Fp>> = bases.iter().map(|base| base.powers().take(low).collect()).collect();
    let mut terms: Vec<Ef> = eta.shifted_powers(eta * eta).take(bases.len()).collect();
    let steps: Vec<Fp> = bases.iter().map(|base| base.exp_u64(low as u64)).collect();
    if !low.is_multiple_of(WIDTH) {
        for chunk in weights.chunks_mut(low) {
            for (term, table) in terms.iter().zip(&tables) {
                for (sum, power) in chunk.iter_mut().zip(table) {
                    *sum += *term * *power;
                }
            }
            terms.iter_mut().zip(&steps).for_each(|(term, step)| *term *= *step);
        }
        return;
    }
    // For every register of exponents the powers of all bases, filled up with zeros.
    let queries = bases.len().next_multiple_of(BLOCK);
    let mut powers = vec![PackedFp::ZERO; low / WIDTH * queries];
    for (query, table) in tables.iter().enumerate() {
        for (index, power) in PackedFp::pack_slice(table).iter().enumerate() {
            powers[index * queries + query] = *power;
        }
    }
    terms.resize(queries, Ef::ZERO);
    for chunk in weights.chunks_mut(low) {
        let factors: Vec<Factors> = terms.chunks_exact(BLOCK).map(factors).collect();
        let mut sums = pack(chunk);
        for (sum, powers) in sums.iter_mut().zip(powers.chunks_exact(queries)) {
            let mut products = [PackedFp::ZERO; EF_DEGREE];
            for (factors, powers) in factors.iter().zip(powers.as_chunks().0) {
                add_products(&mut products, factors, powers);
            }
            *sum += PackedEf::from_basis_coefficients_fn(|index| products[index]);
        }
        chunk.copy_from_slice(&unpack(&sums));
        terms.iter_mut().zip(&steps).for_each(|(term, step)| *term *= *step);
    }
}

/// Products that are added up before they are reduced.
const BLOCK: usize = 4;
/// The coefficients of [`BLOCK`] extension elements, each in all lanes.
type Factors = [[PackedFp; BLOCK]; EF_DEGREE];

fn factors(elements: &[Ef]) -> Factors {
    let coefficients = |element: usize| -> &[Fp] { elements[element].as_basis_coefficients_slice() };
    core::array::from_fn(|index| core::array::from_fn(|element| coefficients(element)[index].into()))
}

/// Adds `sum_i factor_i value_i` to an element given by its coefficients.
fn add_products(sums: &mut [PackedFp; EF_DEGREE], factors: &Factors, values: &[PackedFp; BLOCK]) {
    for (sum, factors) in sums.iter_mut().zip(factors) {
        *sum += PackedFp::dot_product(factors, values);
    }
}

/// Binds the rows of a row-major matrix to `point`; one value per column.
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
    let registers = width / WIDTH;
    let mut sums = vec![[PackedFp::ZERO; EF_DEGREE]; registers];
    let matrix = PackedFp::pack_slice(matrix);
    let blocks = matrix.chunks_exact(BLOCK * registers);
    // Fewer than a block of rows is all of a very small matrix.
    let rest = blocks.remainder().chunks_exact(registers);
    for (rows, weights) in blocks.zip(weights.chunks_exact(BLOCK)) {
        let factors = factors(weights);
        for (column, sum) in sums.iter_mut().enumerate() {
            let values = core::array::from_fn(|row| rows[row * registers + column]);
            add_products(sum, &factors, &values);
        }
    }
    let mut sums: Vec<PackedEf> =
        sums.iter().map(|sum| PackedEf::from_basis_coefficients_fn(|index| sum[index])).collect();
    for (row, weight) in rest.zip(weights) {
        let weight = PackedEf::from(weight);
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += weight * *value;
        }
    }
    unpack(&sums)
}

/// Binds the columns of a row-major matrix to `point`; one value per row.
fn fold_columns(matrix: &[Fp], point: &[Ef]) -> Vec<Ef> {
    if point.len() < LOG_WIDTH {
        let weights = eq_table(point);
        return matrix.chunks_exact(weights.len()).map(|row| dot(&weights, row)).collect();
    }
    let weights = eq_packed(point, Ef::ONE);
    PackedFp::pack_slice(matrix).chunks_exact(weights.len()).map(|row| dot_packed(&weights, row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(seed: usize) -> Ef {
        Ef::from_basis_coefficients_fn(|index| Fp::from_u64((seed * 5 + index + 3) as u64).exp_u64(1 << 20))
    }

    #[test]
    fn powers_of_all_bases_are_added_with_their_weights() {
        for (vars, queries) in [(0, 1), (2, 3), (5, 4), (8, 1), (9, 7)] {
            let bases: Vec<Fp> = (0..queries).map(|query| Fp::from_u64(77 + 13 * query as u64)).collect();
            let before: Vec<Ef> = (0..1 << vars).map(element).collect();
            let mut weights = before.clone();
            let eta = element(999);
            add_powers(&mut weights, &bases, eta);
            for (x, (weight, before)) in weights.iter().zip(before).enumerate() {
                let terms = bases.iter().zip(eta.shifted_powers(eta * eta));
                let sum: Ef = terms.map(|(base, power)| power * base.exp_u64(x as u64)).sum();
                assert_eq!(*weight, before + sum, "{vars} {queries} {x}");
            }
        }
    }

    #[test]
    fn rows_are_folded_as_by_their_definition() {
        for (vars, log_width) in [(3, 3), (4, 3), (6, 2), (9, 5), (8, 1)] {
            let matrix: Vec<Fp> =
                (0..1u64 << vars).map(|seed| Fp::from_u64(seed * 31 + 7).exp_u64(5)).collect();
            let point: Vec<Ef> = (0..vars - log_width).map(element).collect();
            let table = eq_table(&point);
            let width = 1 << log_width;
            let expected: Vec<Ef> = (0..width)
                .map(|column| {
                    table.iter().enumerate().map(|(row, by)| *by * matrix[row * width + column]).sum()
                })
                .collect();
            assert_eq!(fold_rows(&matrix, width, &point), expected, "{vars} {log_width}");
            let mut sums = vec![Ef::ONE; 1 << vars];
            let point: Vec<Ef> = (0..vars).map(element).collect();
            add_eq(&mut sums, &point, Ef::TWO);
            for (sum, weight) in sums.into_iter().zip(eq_table(&point)) {
                assert_eq!(sum, Ef::ONE + weight.double());
            }
        }
    }
}
