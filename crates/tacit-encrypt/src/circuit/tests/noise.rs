//! Every term of noise, measured for every set of parameters.

use super::Keys;
use crate::{
    Seed,
    circuit::{
        Variant,
        client::encrypt,
        lwe::Lwe,
        noise::power,
        parameters::{Parameters, SETS},
        plan::Sum,
        server::{CircuitModel, QuerySums, Zero},
        simulate::Random,
        wire::Query,
    },
};

fn phase(lwe: &Lwe, key: &[u64]) -> u64 {
    lwe.mask.iter().zip(key).fold(lwe.body, |phase, (a, s)| phase.wrapping_sub(a.wrapping_mul(*s)))
}

fn random_lwe(random: &mut Random, dimension: usize) -> Lwe {
    Lwe { mask: (0..dimension).map(|_| random.word()).collect(), body: random.word() }
}

/// Root mean square over its formula.
fn ratio(errors: impl Iterator<Item = u64>, variance: f64) -> f64 {
    let (mut square, mut count) = (0.0, 0.0);
    for error in errors {
        let error = error.cast_signed() as f64 / power(64);
        square += error * error;
        count += 1.0;
    }
    (square / count / variance).sqrt()
}

/// Errors of some coefficients of some bootstraps. With a table of one entry each of them is that, or less that. Neighbours share much of their
/// noise, and all share the key's, so bounds are wider than the number of samples would have them.
fn bootstrap_errors(variant: Variant, parameters: &'static Parameters, runs: usize) -> Vec<u64> {
    let keys = Keys::of(parameters);
    let (client, keys) = (&keys.client, keys.evaluation(variant));
    let mut random = Random(7);
    let inputs: Vec<_> = (0..runs)
        .map(|_| random_lwe(&mut random, parameters.small).switch(parameters.log_degree + 1))
        .collect();
    let entry = 1 << 61;
    let tables = vec![vec![entry; parameters.degree()]; runs];
    let mut errors = Vec::new();
    for words in keys.engine().bootstrap(&inputs, &tables) {
        let polynomials: Vec<&[u64]> = words.chunks(parameters.degree()).collect();
        let (body, masks) = polynomials.split_last().unwrap();
        for (at, body) in body.iter().enumerate().step_by(parameters.degree() / 16) {
            let phase = phase(&Lwe::coefficient(masks, *body, at), client.large());
            let sign = if phase.cast_signed() < 0 { entry.wrapping_neg() } else { entry };
            errors.push(phase.wrapping_sub(sign));
        }
    }
    errors
}

#[test]
fn bootstraps_are_as_noisy_as_computed() {
    for parameters in SETS {
        let ratio = ratio(
            bootstrap_errors(Variant::Fast, parameters, 32).into_iter(),
            parameters.bootstrap_variance(),
        );
        assert!((0.88..1.12).contains(&ratio), "{} {ratio}", parameters.name);
    }
}

#[test]
fn bootstraps_by_integers_are_as_noisy_as_computed() {
    for parameters in SETS {
        let errors = bootstrap_errors(Variant::Reproducible, parameters, 16);
        let ratio = ratio(errors.into_iter(), parameters.bootstrap_variance());
        // Less than for both variants together.
        assert!((0.75..1.1).contains(&ratio), "{} {ratio}", parameters.name);
    }
}

#[test]
fn switching_keys_is_as_noisy_as_computed() {
    for parameters in SETS {
        let Keys { client, fast: keys, .. } = Keys::of(parameters);
        let mut random = Random(8);
        let errors = (0..600).map(|_| {
            let large = random_lwe(&mut random, parameters.large());
            phase(&keys.to_small(&large), client.small()).wrapping_sub(phase(&large, client.large()))
        });
        let ratio = ratio(errors, parameters.key_switch_variance());
        assert!((0.85..1.15).contains(&ratio), "{} {ratio}", parameters.name);
    }
}

#[test]
fn zeros_are_as_noisy_as_computed() {
    for parameters in SETS {
        let Keys { client, fast: keys, .. } = Keys::of(parameters);
        let zeros: Vec<Zero> = (0..80).map(|seed| Zero::new(keys, &Seed::new([seed; 32]))).collect();
        let places = (0..parameters.degree()).step_by(50);
        let errors = places.flat_map(|at| zeros.iter().map(move |zero| (zero, at)));
        let errors = errors.map(|(zero, at)| phase(&zero.coefficient(at), client.large()));
        let ratio = ratio(errors, parameters.zero_variance());
        assert!((0.9..1.1).contains(&ratio), "{} {ratio}", parameters.name);
        // And no zero is like another.
        assert_ne!(zeros[0].coefficient(0), zeros[1].coefficient(0));
    }
}

/// Weighted sums of a query, with and without steps, in more than one ciphertext.
#[test]
fn queries_are_as_noisy_as_computed() {
    let model = tacit_graph::synthetic_mlp(&[2500, 4, 2], 1).unwrap();
    for parameters in SETS {
        let client = &Keys::of(parameters).client;
        // Whether this model fits these parameters does not matter.
        let mut offer = CircuitModel::new(&model, Variant::Fast).unwrap().offer().clone();
        offer.parameters = parameters;
        let row: Vec<i16> = (0..2500).map(|x| (x % 256) - 128).collect();
        let mut random = Random(11);
        let mut errors = Vec::new();
        for seed in 0..4 {
            let (_, query) = encrypt(&offer, &row, &Seed::new([seed; 32]), client).unwrap();
            let query = Query::decode(&offer, &query).unwrap();
            let sums = QuerySums::new(&query, parameters);
            for _ in 0..60 {
                let terms: Vec<(usize, i64)> =
                    (0..2500).step_by(7).map(|slot| (slot, (random.word() % 15) as i64 - 7)).collect();
                let norm: f64 = terms.iter().map(|(_, weight)| (weight * weight) as f64).sum();
                let exact: i64 = terms.iter().map(|(slot, weight)| weight * i64::from(row[*slot])).sum();
                let exact = exact.cast_unsigned().wrapping_mul(offer.input_unit);
                let sum = sums.sum(&Sum { terms, constant: 0 });
                let error = phase(&sum, client.small()).wrapping_sub(exact).cast_signed() as f64;
                errors.push(((error / norm.sqrt()) as i64).cast_unsigned());
            }
        }
        let ratio = ratio(errors.into_iter(), parameters.query_variance());
        assert!((0.85..1.15).contains(&ratio), "{} {ratio}", parameters.name);
    }
}
