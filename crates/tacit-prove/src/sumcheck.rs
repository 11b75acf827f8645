//! Sumcheck prover for sums of products of two multilinear polynomials.

use p3_field::{PackedValue, PrimeCharacteristicRing};
use tacit_verify::{
    field::{Ef, Fp},
    multilinear::eq_table,
};

use crate::{
    poly::{Lane, PackedEf, PackedFp, Poly, WIDTH, bind, pack, sum_lanes, unpack},
    transcript::Transcript,
};

/// Proves `sum_x a(x) b(x)`; returns the point and both values there.
pub(crate) fn prove_product(a: Poly, b: Poly, transcript: &mut Transcript) -> (Vec<Ef>, Ef, Ef) {
    let mut point = Vec::new();
    let (a, b) = match (a, b) {
        (Poly::Packed(mut a), Poly::Packed(mut b)) => {
            while a.len() > 1 {
                let (at_zero, square) = round(&a, &b);
                let r = send_round(sum_lanes(at_zero), sum_lanes(square), &mut point, transcript);
                bind(&mut a, r);
                bind(&mut b, r);
            }
            (unpack(&a), unpack(&b))
        }
        (a, b) => (a.into_scalars(), b.into_scalars()),
    };
    finish(a, b, point, transcript)
}

/// The first `rounds` rounds of [`prove_product`]; returns the point and what is left of both polynomials.
pub(crate) fn prove_product_rounds(
    mut a: Poly,
    mut b: Poly,
    rounds: usize,
    transcript: &mut Transcript,
) -> (Vec<Ef>, Poly, Poly) {
    let mut point = Vec::new();
    for _ in 0..rounds {
        (a, b) = match (a, b) {
            (Poly::Packed(mut a), Poly::Packed(mut b)) => {
                let (at_zero, square) = round(&a, &b);
                let r = send_round(sum_lanes(at_zero), sum_lanes(square), &mut point, transcript);
                bind(&mut a, r);
                bind(&mut b, r);
                (Poly::from_packed(a), Poly::from_packed(b))
            }
            (a, b) => {
                let (mut a, mut b) = (a.into_scalars(), b.into_scalars());
                let (at_zero, square) = round(&a, &b);
                let r = send_round(at_zero, square, &mut point, transcript);
                bind(&mut a, r);
                bind(&mut b, r);
                (Poly::Scalar(a), Poly::Scalar(b))
            }
        };
    }
    (point, a, b)
}

/// [`prove_product`] when `b` is given in the base field.
pub(crate) fn prove_product_base(a: Poly, b: &[Fp], transcript: &mut Transcript) -> (Vec<Ef>, Ef, Ef) {
    let Poly::Packed(mut a) = a else {
        return prove_product(a, Poly::Scalar(b.iter().map(|value| Ef::from(*value)).collect()), transcript);
    };
    let b = PackedFp::pack_slice(b);
    let (low, high) = b.split_at(b.len() / 2);
    let (a_low, a_high) = a.split_at(low.len());
    let (mut at_zero, mut square) = (PackedEf::ZERO, PackedEf::ZERO);
    for ((a0, a1), (b0, b1)) in a_low.iter().zip(a_high).zip(low.iter().zip(high)) {
        at_zero += *a0 * *b0;
        square += (*a1 - *a0) * (*b1 - *b0);
    }
    let mut point = Vec::new();
    let r = send_round(sum_lanes(at_zero), sum_lanes(square), &mut point, transcript);
    bind(&mut a, r);
    let r = PackedEf::from(r);
    let b = low.iter().zip(high).map(|(b0, b1)| r * (*b1 - *b0) + *b0).collect();
    let (rest, a, b) = prove_product(Poly::from_packed(a), Poly::from_packed(b), transcript);
    point.extend(rest);
    (point, a, b)
}

/// Proves `sum_(g, k) eq(weights, g) a(g, k) b(g, k)`: rounds over `g` without the public factor, then plain rounds
/// over `k`; returns the point and both values there.
pub(crate) fn prove_weighted(
    weights: &[Ef],
    mut a: Vec<Ef>,
    mut b: Vec<Ef>,
    transcript: &mut Transcript,
) -> (Vec<Ef>, Ef, Ef) {
    let Some((_, later)) = weights.split_first() else {
        return prove_product(Poly::new(a), Poly::new(b), transcript);
    };
    let summed = a.len() >> weights.len();
    // Each weight stands for all summed elements of its index, so that it lines up with half of either factor.
    let mut eq: Vec<Ef> =
        eq_table(later).into_iter().flat_map(|value| core::iter::repeat_n(value, summed)).collect();
    let mut point = Vec::new();
    let mut left = weights.len();
    if a.len() >= 4 * WIDTH {
        let (mut pa, mut pb, mut pe) = (pack(&a), pack(&b), pack(&eq));
        while left > 0 && pe.len() > 1 {
            let (at_zero, square) = weighted_round(&pa, &pb, &pe);
            let r = send_round(sum_lanes(at_zero), sum_lanes(square), &mut point, transcript);
            bind(&mut pa, r);
            bind(&mut pb, r);
            left -= 1;
            if left > 0 {
                halve(&mut pe);
            }
        }
        (a, b, eq) = (unpack(&pa), unpack(&pb), unpack(&pe));
    }
    while left > 0 {
        let (at_zero, square) = weighted_round(&a, &b, &eq);
        let r = send_round(at_zero, square, &mut point, transcript);
        bind(&mut a, r);
        bind(&mut b, r);
        left -= 1;
        if left > 0 {
            halve(&mut eq);
        }
    }
    let (rest, a, b) = prove_product(Poly::new(a), Poly::new(b), transcript);
    point.extend(rest);
    (point, a, b)
}

fn weighted_round<E: Lane>(a: &[E], b: &[E], weights: &[E]) -> (E, E) {
    let (a0, a1) = a.split_at(a.len() / 2);
    let (b0, b1) = b.split_at(b.len() / 2);
    let (mut at_zero, mut square) = (E::ZERO, E::ZERO);
    for (((a0, a1), (b0, b1)), weight) in a0.iter().zip(a1).zip(b0.iter().zip(b1)).zip(weights) {
        at_zero += *weight * *a0 * *b0;
        square += *weight * (*a1 - *a0) * (*b1 - *b0);
    }
    (at_zero, square)
}

/// Sums the first variable out of weights.
pub(crate) fn halve<E: Lane>(weights: &mut Vec<E>) {
    let half = weights.len() / 2;
    let (low, high) = weights.split_at_mut(half);
    for (low, high) in low.iter_mut().zip(high) {
        *low += *high;
    }
    weights.truncate(half);
}

fn finish(
    mut a: Vec<Ef>,
    mut b: Vec<Ef>,
    mut point: Vec<Ef>,
    transcript: &mut Transcript,
) -> (Vec<Ef>, Ef, Ef) {
    while a.len() > 1 {
        let (at_zero, square) = round(&a, &b);
        let r = send_round(at_zero, square, &mut point, transcript);
        bind(&mut a, r);
        bind(&mut b, r);
    }
    (point, a.first().copied().unwrap_or_default(), b.first().copied().unwrap_or_default())
}

/// Value at zero and leading coefficient of the first variable's round.
pub(crate) fn round<E: Lane>(a: &[E], b: &[E]) -> (E, E) {
    let (a0, a1) = a.split_at(a.len() / 2);
    let (b0, b1) = b.split_at(b.len() / 2);
    let (mut at_zero, mut square) = (E::ZERO, E::ZERO);
    for ((a0, a1), (b0, b1)) in a0.iter().zip(a1).zip(b0.iter().zip(b1)) {
        at_zero += *a0 * *b0;
        square += (*a1 - *a0) * (*b1 - *b0);
    }
    (at_zero, square)
}

pub(crate) fn send_round(at_zero: Ef, square: Ef, point: &mut Vec<Ef>, transcript: &mut Transcript) -> Ef {
    transcript.send(at_zero);
    transcript.send(square);
    let r = transcript.challenge();
    point.push(r);
    r
}
