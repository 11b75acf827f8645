//! The inner argument: committed secrets satisfy one linear equation and a list of products.
//!
//! Source: Ligero (Ames, Hazay, Ishai, Venkitasubramaniam, CCS 2017; eprint 2022/1608), zero-knowledge form. Deviations: the linear and the quadratic
//! test are one polynomial; its blinding polynomial is cut into rows of the same code, so that proximity covers it.
//!
//! # Protocol
//! Rows of `l` secrets are polynomials of degree below `k = l + t`: `p = w + (X^l - 1) r`, with `w` the interpolation on the subgroup `Z` of
//! order `l` and `r` random. All are evaluated on a coset of `H` points and committed as columns of one matrix, before anything else.
//!
//! 1. `theta` combines all equations into `sum c_i secret_i = -c_0`, `kappa` weighs the products `alpha_j beta_j - gamma_j = 0`, which join it.
//! 2. A point `psi` and `phi`. The prover sends `v = sum_r eq(psi, r) p_r` over all rows, the blinding row `u_0` the last (degree below `k`), and `Q = u + phi (sum_r c_r p_r + sum_r k_r alpha_r beta_r)`,
//!    where `c_r`, `k_r` interpolate the public weights and `u = sum_i X^(i l) u_i` is made of the blinding rows, `sum_Z u = 0`.
//! 3. The verifier checks `sum_Z Q = -phi c_0`, opens columns and checks both identities there.
//!
//! # Soundness
//! [`InnerShape::security`].
//!
//! # Zero knowledge
//! Opened columns are uniform, `t` exceeds their number. `v` is covered by `u_0`, `Q` by `u`; neighbouring pieces of `u` overlap by `t`
//! coefficients, so `Q` tells nothing of their columns.

use p3_field::{Field, PrimeCharacteristicRing, TwoAdicField, batch_multiplicative_inverse};

use crate::{
    commitment::Challenger,
    context::{draw, observe},
    field::{EF_BYTES, Ef, Fp},
    inner_shape::InnerShape,
    masked::{Counts, Relation, Secret},
    multilinear::eq_table,
    oracle::{OpenedRows, row_to_extension},
    reader::Reader,
    reject::Reject,
};

/// One equation and the products, with public weights.
#[must_use = "an equation is worth nothing until it is proved"]
#[derive(Debug, Clone)]
pub struct Equation {
    /// `c_0`.
    pub constant: Ef,
    /// Weights of the secrets, row by row. Shape `[secret_rows][slots]`.
    pub weights: Vec<Vec<Ef>>,
    /// Weights of the products `alpha_j beta_j`. Shape `[product_rows][slots]`.
    pub product_weights: Vec<Vec<Ef>>,
}

/// Combines a relation into one equation. `factors` are the covered factors of the products.
pub fn combine(
    shape: &InnerShape,
    relation: &Relation,
    factors: &[(Ef, Ef)],
    challenger: &mut Challenger,
) -> Equation {
    let theta = draw(challenger);
    let kappa = draw(challenger);
    let Counts { masks, products } = shape.counts;
    let mut constant = Ef::ZERO;
    let mut of_mask = vec![Ef::ZERO; masks];
    let mut of_product = vec![Ef::ZERO; products];
    let mut of_alpha = vec![Ef::ZERO; products];
    let mut of_beta = vec![Ef::ZERO; products];
    let mut power = Ef::ONE;
    let mut add = |value: &crate::masked::Linear, weight: Ef, constant: &mut Ef| {
        *constant += weight * value.public_part();
        for (secret, by) in value.secret_part() {
            let slot = match *secret {
                Secret::Mask(index) => of_mask.get_mut(index),
                Secret::Product(index) => of_product.get_mut(index),
            };
            if let Some(slot) = slot {
                *slot += weight * *by;
            }
        }
    };
    for assertion in &relation.assertions {
        add(assertion, power, &mut constant);
        power *= theta;
    }
    // `a - A + alpha = 0` and `b - B + beta = 0`.
    for (((a, b), (covered_a, covered_b)), (alpha, beta)) in
        relation.products.iter().zip(factors).zip(of_alpha.iter_mut().zip(&mut of_beta))
    {
        add(a, power, &mut constant);
        constant -= power * *covered_a;
        *alpha += power;
        power *= theta;
        add(b, power, &mut constant);
        constant -= power * *covered_b;
        *beta += power;
        power *= theta;
    }
    // `a b = A B - A beta - B alpha + gamma`, and `kappa` weighs `alpha beta - gamma`.
    let mut of_gamma = vec![Ef::ZERO; products];
    let mut of_square = vec![Ef::ZERO; products];
    let mut power = kappa;
    for (index, (a, b)) in factors.iter().enumerate() {
        let weight = of_product.get(index).copied().unwrap_or_default();
        constant += weight * *a * *b;
        if let (Some(alpha), Some(beta), Some(gamma), Some(square)) = (
            of_alpha.get_mut(index),
            of_beta.get_mut(index),
            of_gamma.get_mut(index),
            of_square.get_mut(index),
        ) {
            *alpha -= weight * *b;
            *beta -= weight * *a;
            *gamma += weight - power;
            *square = power;
        }
        power *= kappa;
    }
    let mut weights = Vec::with_capacity(shape.secret_rows());
    for secrets in [of_mask, of_alpha, of_beta, of_gamma] {
        weights.extend(in_rows(&secrets, shape.slots));
    }
    Equation { constant, weights, product_weights: in_rows(&of_square, shape.slots) }
}

/// Cuts values into rows, the last filled up with zeros.
#[must_use]
pub fn in_rows(values: &[Ef], slots: usize) -> Vec<Vec<Ef>> {
    values
        .chunks(slots.max(1))
        .map(|chunk| {
            let mut row = chunk.to_vec();
            row.resize(slots, Ef::ZERO);
            row
        })
        .collect()
}

/// Reads the covered factors of the products and binds them.
///
/// # Errors
/// When the proof ends early.
pub fn read_factors(
    products: usize,
    challenger: &mut Challenger,
    reader: &mut Reader<'_>,
) -> Result<Vec<(Ef, Ef)>, Reject> {
    let factors = reader.list(products, EF_BYTES.saturating_mul(2), |reader| {
        Ok((reader.extension()?, reader.extension()?))
    })?;
    for (a, b) in &factors {
        observe(challenger, *a);
        observe(challenger, *b);
    }
    Ok(factors)
}

/// Checks that the secrets behind `root` satisfy `relation`.
///
/// # Errors
/// The first check that fails.
///
/// # Soundness
/// The caller MUST have absorbed `root` before the first challenge of the protocol that made `relation`.
pub fn verify(
    shape: &InnerShape,
    root: &[u8; 32],
    relation: &Relation,
    challenger: &mut Challenger,
    reader: &mut Reader<'_>,
) -> Result<(), Reject> {
    let got = Counts { masks: relation.masks, products: relation.products.len() };
    if got != shape.counts {
        let total = |counts: Counts| counts.masks.saturating_add(counts.products);
        return Err(Reject::MaskCount { expected: total(shape.counts), got: total(got) });
    }
    let factors = read_factors(shape.counts.products, challenger, reader)?;
    let equation = combine(shape, relation, &factors, challenger);
    let challenges = Challenges::draw(shape, challenger);
    let mut read = |len: usize| -> Result<Vec<Ef>, Reject> {
        let polynomial = reader.list(len, EF_BYTES, Reader::extension)?;
        polynomial.iter().for_each(|value| observe(challenger, *value));
        Ok(polynomial)
    };
    let sent = Sent { combination: read(shape.row_len())?, sum: read(shape.sum_len())? };
    let opened = OpenedRows::read(shape.oracle(), shape.queries, challenger, reader)?;
    if !opened.check(root) {
        return Err(Reject::OracleRows);
    }
    check(shape, &equation, &challenges, &sent, opened.iter())
}

/// Challenges that both polynomials depend on.
#[derive(Debug, Clone)]
pub struct Challenges {
    /// What each row weighs in the combination. Shape `[rows]`.
    pub weights: Vec<Ef>,
    /// Weighs the sum against what blinds it.
    pub phi: Ef,
}

impl Challenges {
    /// Draws a point, one coordinate after the other, whose `eq` weighs the rows, and `phi`.
    pub fn draw(shape: &InnerShape, challenger: &mut Challenger) -> Self {
        let psi: Vec<Ef> = (0..shape.row_vars()).map(|_| draw(challenger)).collect();
        let mut weights = eq_table(&psi);
        weights.truncate(shape.rows());
        Self { weights, phi: draw(challenger) }
    }
}

/// What the prover sends in the clear.
#[derive(Debug, Clone)]
pub struct Sent {
    /// `v`. Shape `[row_len]`.
    pub combination: Vec<Ef>,
    /// `Q`. Shape `[sum_len]`.
    pub sum: Vec<Ef>,
}

/// The algebraic checks: of the sum over the subgroup and of every opened column.
///
/// # Errors
/// [`Reject::InnerSum`], [`Reject::InnerCombination`] or [`Reject::InnerColumn`].
pub fn check<'r>(
    shape: &InnerShape,
    equation: &Equation,
    challenges: &Challenges,
    sent: &Sent,
    columns: impl IntoIterator<Item = (usize, &'r [Fp])>,
) -> Result<(), Reject> {
    let over_subgroup = sent.sum.iter().step_by(shape.slots.max(1)).fold(Ef::ZERO, |sum, value| sum + *value);
    let slots = Fp::from_u64(u64::try_from(shape.slots).unwrap_or(0));
    if over_subgroup * slots + challenges.phi * equation.constant != Ef::ZERO {
        return Err(Reject::InnerSum);
    }
    let lagrange = Lagrange::new(shape.slots);
    for (position, row) in columns {
        let x = domain_point(shape, position);
        check_column(shape, equation, &row_to_extension(row), x, challenges, sent, &lagrange)?;
    }
    Ok(())
}

/// The `position`-th point of the coset.
pub fn domain_point(shape: &InnerShape, position: usize) -> Fp {
    Fp::GENERATOR
        * Fp::two_adic_generator(shape.log_height).exp_u64(u64::try_from(position).unwrap_or(u64::MAX))
}

fn check_column(
    shape: &InnerShape,
    equation: &Equation,
    column: &[Ef],
    x: Fp,
    challenges: &Challenges,
    sent: &Sent,
    lagrange: &Lagrange,
) -> Result<(), Reject> {
    let rows = column.get(..column.len().saturating_sub(1)).unwrap_or_default();
    let weighed = column.iter().zip(&challenges.weights);
    let expected = weighed.fold(Ef::ZERO, |sum, (value, weight)| sum + *value * *weight);
    if horner(&sent.combination, x) != expected {
        return Err(Reject::InnerCombination);
    }
    let (secrets, blinds) = rows.split_at(shape.secret_rows().min(rows.len()));
    let at_x = lagrange.at(x);
    let weight = |weights: &[Ef]| {
        weights.iter().zip(&at_x).fold(Ef::ZERO, |sum, (weight, basis)| sum + *weight * *basis)
    };
    let mut total =
        secrets.iter().zip(&equation.weights).fold(Ef::ZERO, |sum, (value, row)| sum + *value * weight(row));
    let products = shape.product_rows();
    let alpha = secrets.iter().skip(shape.mask_rows());
    let beta = alpha.clone().skip(products);
    for ((alpha, beta), row) in alpha.zip(beta).zip(&equation.product_weights) {
        total += *alpha * *beta * weight(row);
    }
    let step = x.exp_u64(u64::try_from(shape.slots).unwrap_or(0));
    let blind = blinds.iter().rev().fold(Ef::ZERO, |sum, value| sum * step + *value);
    if horner(&sent.sum, x) != blind + challenges.phi * total {
        return Err(Reject::InnerColumn);
    }
    Ok(())
}

fn horner(polynomial: &[Ef], x: Fp) -> Ef {
    polynomial.iter().rev().fold(Ef::ZERO, |sum, coefficient| sum * x + *coefficient)
}

/// Interpolation on the subgroup of a power-of-two order.
struct Lagrange {
    points: Vec<Fp>,
    inverse_order: Fp,
}

impl Lagrange {
    fn new(order: usize) -> Self {
        let log = usize::try_from(order.max(1).ilog2()).unwrap_or(0);
        let points = Fp::two_adic_generator(log).powers().take(order).collect();
        let inverse_order = Fp::from_u64(u64::try_from(order).unwrap_or(1)).try_inverse().unwrap_or(Fp::ONE);
        Self { points, inverse_order }
    }

    /// The basis polynomials at a point outside the subgroup: `(x^l - 1) z_i / (l (x - z_i))`.
    fn at(&self, x: Fp) -> Vec<Fp> {
        let differences: Vec<Fp> = self.points.iter().map(|point| x - *point).collect();
        let order = u64::try_from(self.points.len()).unwrap_or(0);
        let scale = (x.exp_u64(order) - Fp::ONE) * self.inverse_order;
        batch_multiplicative_inverse(&differences)
            .into_iter()
            .zip(&self.points)
            .map(|(inverse, point)| scale * inverse * *point)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hiding, hiding_shape::HidingShape, masked::Linear};

    fn element(seed: u64) -> Ef {
        Ef::new(core::array::from_fn(|index| Fp::from_u64(seed * 977 + index as u64 * 31 + 5).exp_u64(77)))
    }

    /// Columns and polynomials that fit a relation nobody has a solution of: everything is drawn at random but one blinding entry of each
    /// column for each identity, and one coefficient of the sum. So a transcript tells nothing but that the relation was proved.
    #[test]
    fn transcripts_are_simulated_without_secrets() {
        let shape = InnerShape::new(Counts { masks: 100, products: 7 }, 40).unwrap();
        let mut counter = 0;
        let mut random = || {
            counter += 1;
            element(counter)
        };
        let mut equation = Equation {
            constant: random(),
            weights: Vec::new(),
            product_weights: vec![(0..shape.slots).map(|_| random()).collect(); shape.product_rows()],
        };
        for _ in 0..shape.secret_rows() {
            equation.weights.push((0..shape.slots).map(|_| random()).collect());
        }
        let weights: Vec<Ef> = (0..shape.rows()).map(|_| random()).collect();
        let challenges = Challenges { weights, phi: random() };
        let mut sent = Sent {
            combination: (0..shape.row_len()).map(|_| random()).collect(),
            sum: (0..shape.sum_len()).map(|_| random()).collect(),
        };
        let over: Ef = sent.sum.iter().step_by(shape.slots).skip(1).copied().sum();
        sent.sum[0] = -over - challenges.phi * equation.constant * Fp::from_u64(shape.slots as u64).inverse();
        let lagrange = Lagrange::new(shape.slots);
        for position in 0..shape.queries {
            let x = domain_point(&shape, position * 7);
            let mut column: Vec<Ef> = (0..shape.rows()).map(|_| random()).collect();
            let fits =
                |column: &[Ef]| check_column(&shape, &equation, column, x, &challenges, &sent, &lagrange);
            assert_eq!(fits(&column), Err(Reject::InnerCombination));
            // The first blinding row answers for the sum, the last row for the combination.
            let first = shape.secret_rows();
            column[first] = Ef::ZERO;
            let at_x = lagrange.at(x);
            let weight = |row: &[Ef]| row.iter().zip(&at_x).map(|(a, b)| *a * *b).sum::<Ef>();
            let mut total: Ef = column.iter().zip(&equation.weights).map(|(a, row)| *a * weight(row)).sum();
            let alpha = shape.mask_rows();
            for (row, weights) in equation.product_weights.iter().enumerate() {
                total += column[alpha + row] * column[alpha + shape.product_rows() + row] * weight(weights);
            }
            let step = x.exp_u64(shape.slots as u64);
            let blinds = &column[first..shape.rows() - 1];
            let blind = blinds.iter().rev().fold(Ef::ZERO, |sum, value| sum * step + *value);
            column[first] = horner(&sent.sum, x) - challenges.phi * total - blind;
            let last = shape.rows() - 1;
            column[last] = Ef::ZERO;
            let combined: Ef = column.iter().zip(&challenges.weights).map(|(a, b)| *a * *b).sum();
            column[last] = (horner(&sent.combination, x) - combined) * challenges.weights[last].inverse();
            assert_eq!(fits(&column), Ok(()));
            column[first] += Ef::ONE;
            column[last] -= challenges.weights[first] * challenges.weights[last].inverse();
            assert_eq!(
                check_column(&shape, &equation, &column, x, &challenges, &sent, &lagrange),
                Err(Reject::InnerColumn)
            );
        }
    }

    #[test]
    fn the_sum_over_the_subgroup_is_checked() {
        let shape = InnerShape::new(Counts { masks: 3, products: 0 }, 40).unwrap();
        let equation = Equation { constant: Ef::ONE, weights: Vec::new(), product_weights: Vec::new() };
        let sent = Sent { combination: Vec::new(), sum: vec![Ef::ZERO; shape.sum_len()] };
        let challenges = Challenges { weights: Vec::new(), phi: Ef::TWO };
        assert_eq!(check(&shape, &equation, &challenges, &sent, []), Err(Reject::InnerSum));
    }

    #[test]
    fn an_assertion_about_public_values_is_checked_at_once() {
        use crate::context::{Context, Value};
        let mut challenger = Challenger::from_hasher(Vec::new(), p3_blake3::Blake3);
        let mut reader = Reader::new(&[]);
        let mut context =
            crate::masked::Masked::new(&mut challenger, &mut reader, crate::masked::Trees::Checked);
        assert_eq!(context.assert_zero(&Linear::constant(Ef::ZERO), Reject::Input), Ok(()));
        assert_eq!(context.assert_zero(&Linear::constant(Ef::ONE), Reject::Input), Err(Reject::Input));
    }

    #[test]
    fn every_part_of_the_equation_has_a_weight_of_its_own() {
        let combined = |relation: &Relation, factors: &[(Ef, Ef)]| {
            let counts = Counts { masks: 3, products: factors.len() };
            let shape = InnerShape::new(counts, 40).unwrap();
            let mut challenger = Challenger::from_hasher(Vec::new(), p3_blake3::Blake3);
            (combine(&shape, relation, factors, &mut challenger), shape)
        };
        let constant = |value: Ef| <Linear as crate::context::Value>::constant(value);
        // Two assertions that fail and cancel each other.
        let assertions = vec![constant(Ef::ONE), constant(-Ef::ONE)];
        let relation = Relation { masks: 3, assertions, ..Relation::default() };
        assert_ne!(combined(&relation, &[]).0.constant, Ef::ZERO);
        // Both factors of two products.
        let products = vec![(constant(Ef::ZERO), constant(Ef::ZERO)); 2];
        let relation = Relation { masks: 3, products, ..Relation::default() };
        let (equation, shape) = combined(&relation, &[(Ef::ZERO, Ef::ZERO); 2]);
        let (alpha, beta) = (shape.mask_rows(), shape.mask_rows() + shape.product_rows());
        let weights = [alpha, beta].map(|row| [equation.weights[row][0], equation.weights[row][1]]);
        let [a, b, c, d] = [weights[0][0], weights[0][1], weights[1][0], weights[1][1]];
        assert!(a != b && a != c && a != d && b != c && b != d && c != d);
        let squares = &equation.product_weights[0];
        assert!(squares[0] != squares[1] && squares[0] != Ef::ONE);
    }

    #[test]
    fn a_run_with_more_values_than_masks_is_refused() {
        let shape = InnerShape::new(Counts { masks: 3, products: 0 }, 40).unwrap();
        let mut challenger = Challenger::from_hasher(Vec::new(), p3_blake3::Blake3);
        let relation = Relation { masks: 4, ..Relation::default() };
        let reject = verify(&shape, &[0; 32], &relation, &mut challenger, &mut Reader::new(&[]));
        assert_eq!(reject, Err(Reject::MaskCount { expected: 3, got: 4 }));
    }

    #[test]
    fn an_opening_at_a_point_of_another_size_is_refused() {
        let shape = HidingShape::new(9, crate::hiding_shape::Lifetime::OneProof, 40).unwrap();
        let mut challenger = Challenger::from_hasher(Vec::new(), p3_blake3::Blake3);
        let mut reader = Reader::new(&[]);
        let mut context =
            crate::masked::Masked::new(&mut challenger, &mut reader, crate::masked::Trees::Checked);
        let value = <Linear as crate::context::Value>::constant(Ef::ONE);
        let short = crate::batch::Opening { point: vec![Ef::ONE], value: value.clone() };
        let fitting = crate::batch::Opening { point: vec![Ef::ONE; shape.vars], value };
        for (outside, opening) in [(&short, &fitting), (&fitting, &short)] {
            let reject = hiding::verify(&shape, &[0; 32], outside, opening, &mut context).unwrap_err();
            assert_eq!(reject, Reject::HidingOpening);
        }
    }
}
