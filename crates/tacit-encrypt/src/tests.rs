//! Noise against its formula.

use p3_field::PrimeCharacteristicRing;

use crate::{
    Seed, client,
    linear::LinearModel,
    plan::{KEY_CUT, NOISE_BITS, Plan, QUERY_CUT, Sizes, scale},
    ring::{Element, N, Transform, centred, element, multiply_add},
    sample::public,
    server::Server,
};

const INPUTS: usize = 16;
const OUTPUTS: usize = 256;

/// A matrix whose entries all have this size. No plan looks at how much noise that makes.
fn linear(weight: i64, flood_bits: u32) -> LinearModel {
    // Without a pattern, so that the noise of one output says little about the next.
    let sign = |index: usize| match (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 {
        0 => 1,
        _ => -1,
    };
    let line = |output| (0..INPUTS).map(|input| sign((output * 977 + input) * 31 + 7) * weight).collect();
    let sizes = Sizes { inputs: INPUTS, outputs: OUTPUTS, input_bits: 8, output_bits: 12 };
    let plan = Plan { sizes, flood_bits, margin: 0 };
    let constants = (0..OUTPUTS as i64).map(|output| output * 3 - 100).collect();
    LinearModel { matrix: (0..OUTPUTS).map(line).collect(), constants, plan }
}

/// Noise of every output of one question, before the modulus is switched.
fn noise(linear: &LinearModel, row: &[i16], seed: u8) -> Vec<i64> {
    let sizes = linear.plan().sizes();
    let server = Server::new(linear);
    let (secret, query) = client::encrypt_linear(sizes, row, &Seed::new([seed; 32])).unwrap();
    let mut bodies = vec![server.values(&query.key, KEY_CUT)];
    bodies.extend(query.ciphertexts.iter().map(|b| server.values(b, QUERY_CUT)));
    let ciphertexts: Vec<_> = public(&query.seed, bodies.len()).into_iter().zip(bodies).collect();
    let mut stream = Seed::new([seed; 32]).stream("tacit 2026 test of noise v1");
    let layout = sizes.layout();
    let transform = Transform::default();
    let mut noise = Vec::new();
    for product in 0..layout.products {
        let (mask, outputs) = server.product(product, &ciphertexts, &mut stream);
        let mut masked = vec![Element::ZERO; N];
        multiply_add(&mut masked, &transform.values(mask), &secret.elements());
        let masked = transform.coefficients(masked);
        for (index, output) in outputs.iter().enumerate() {
            let (line, constant) = (&linear.matrix[noise.len()], linear.constants[noise.len()]);
            let exact = line.iter().zip(row).map(|(w, x)| w * i64::from(*x)).sum::<i64>() + constant;
            let exact = Element::new(scale(sizes.output_bits)) * element(exact);
            noise.push(centred(*output - masked[layout.position(index)] - exact));
        }
    }
    noise
}

/// Root mean square of the noise of some thousand outputs, over what the formula of the plan's documentation says.
fn ratio(weight: i64, flood_bits: u32) -> f64 {
    let linear = linear(weight, flood_bits);
    let mut square = 0.0;
    let mut count = 0.0;
    for seed in 0..40 {
        let row: Vec<i16> = (0..INPUTS as i16).map(|x| x * 16 - 128).collect();
        for noise in noise(&linear, &row, seed) {
            square += (noise as f64) * (noise as f64);
            count += 1.0;
        }
    }
    let uniform = |bits: u32| (f64::from(bits) * 2.0).exp2() / 3.0;
    let n = N as f64;
    let norm2 = (weight * weight) as f64 * (N / INPUTS * INPUTS) as f64;
    let expected = (uniform(NOISE_BITS) + uniform(QUERY_CUT - 1)) * norm2
        + (uniform(NOISE_BITS) + uniform(KEY_CUT - 1)) * n * 2.0 / 3.0
        + uniform(NOISE_BITS) * n * 2.0 / 3.0
        + uniform(flood_bits);
    (square / count / expected).sqrt()
}

#[test]
fn noise_of_the_key_is_as_computed() {
    assert!((0.95..1.05).contains(&ratio(1, 0)), "{}", ratio(1, 0));
}

#[test]
fn noise_of_the_weights_is_as_computed() {
    assert!((0.95..1.05).contains(&ratio(1 << 20, 0)), "{}", ratio(1 << 20, 0));
}

#[test]
fn the_flood_covers_both() {
    assert!((0.95..1.05).contains(&ratio(100, 42)), "{}", ratio(100, 42));
}

/// The worst that the plan allows for is never seen, and is less than forty times what is.
#[test]
fn bounds_hold_and_are_not_far_off() {
    let linear = linear(127, 0);
    let row = [-128; INPUTS];
    let most = (0..12).flat_map(|seed| noise(&linear, &row, seed)).map(i64::unsigned_abs).max().unwrap();
    let root = |square: f64| square.sqrt();
    let half = f64::from(1u32 << NOISE_BITS);
    let bound = 11.0 * half / root(3.0) * 127.0 * root(N as f64)
        + f64::from(1u32 << (QUERY_CUT - 1)) * 127.0 * N as f64
        + 11.0 * (half + f64::from(1u32 << (KEY_CUT - 1))) * root(N as f64)
        + 11.0 * half / root(3.0) * root(N as f64);
    assert!((most as f64) < bound && bound < 40.0 * most as f64, "{most} {bound}");
}
