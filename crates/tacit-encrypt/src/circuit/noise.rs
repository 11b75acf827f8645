//! Variances of noise on the torus, by formula; tests measure every one of them.
//!
//! Sources: Chillotti, Gama, Georgieva and Izabachène, *TFHE* (eprint 2018/421), for external products; Bergerat, Boura, Ballandras et al.
//! (eprint 2023/979) for partial keys; Bernard, Joye, Smart and Walter, *Drifting Towards Better Error Probabilities* (eprint 2024/1718),
//! for the mean that a modulus switch can take off. Terms are taken as independent and Gaussian by number.

use super::parameters::Parameters;

/// Uniform on `-2^bits ..= 2^bits` with ends half as likely, in units of `2^-64`.
pub(crate) fn t_uniform(bits: u32) -> f64 {
    (square(power(bits)) * 2.0 + 1.0) / 6.0 * square(power(64).recip())
}

/// Rounding to `bits` bits.
pub(crate) fn rounding(bits: u32) -> f64 {
    square(power(bits).recip()) / 12.0
}

impl Parameters {
    /// Of a bootstrap's result.
    pub(crate) fn bootstrap_variance(&self) -> f64 {
        let (small, large) = (self.small as f64, self.large() as f64);
        let base = power(self.base_log);
        let digits = self.digits as f64;
        let row = t_uniform(self.large_noise_bits) + rounding(self.key_bits) + TRANSFORM;
        let products = digits * (large + self.degree() as f64) * (square(base) + 2.0) / 12.0 * row;
        let kept = self.base_log * self.digits as u32;
        // Only bits of the small key that are set bring the rounding of what they are multiplied by.
        let cut = (1.0 + large / 2.0) * rounding(kept) / 2.0;
        small * (products + cut)
    }

    /// Of what a bootstrap adds to the ciphertext that it reads, when it rounds it to as many parts as the table has, twice over.
    pub(crate) fn switch_variance(&self) -> f64 {
        switched(self.small, self.log_degree + 1)
    }

    /// Of an answer's rounding to `bits` bits.
    pub(crate) fn answer_variance(&self, bits: u32) -> f64 {
        switched(self.large(), bits)
    }

    /// Of a switch from the large key to the small one.
    pub(crate) fn key_switch_variance(&self) -> f64 {
        let large = self.large() as f64;
        let base = power(self.switch_base_log);
        let row = t_uniform(self.small_noise_bits) + rounding(super::parameters::QUERY_BITS);
        let products = self.switch_digits as f64 * (square(base) + 2.0) / 12.0 * row;
        large * (products + rounding(self.switch_base_log * self.switch_digits as u32) / 2.0)
    }

    /// Of a fresh zero under the large key, made from the public key.
    pub(crate) fn zero_variance(&self) -> f64 {
        let fresh = t_uniform(self.large_noise_bits);
        let row = fresh + rounding(self.key_bits);
        let large = self.large() as f64;
        // The public zeros' noise times a ternary secret, fresh noise times the large key, and fresh noise.
        row * large * 2.0 / 3.0 + fresh * (large / 2.0 + 1.0)
    }
}

/// What transforms in double precision do to a row of a key: measured, about as much as its own noise. Integers do not.
const TRANSFORM: f64 = 1.8e-29;

/// Rounding all coefficients to `bits` bits, under a binary key of `dimension`, with the mean taken off the body.
fn switched(dimension: usize, bits: u32) -> f64 {
    rounding(bits) * (dimension as f64 / 4.0 + 1.0)
}

/// Log2 of the probability that noise of a deviation leaves `-margin ..= margin`, from above.
pub(crate) fn log2_outside(margin: f64, deviation: f64) -> f64 {
    let z = margin / deviation;
    if z.is_nan() || z < 1.0 {
        return 0.0;
    }
    // erfc(z / sqrt(2)) < 2 exp(-z^2 / 2) / (z sqrt(2 pi))
    1.0 - z * z / 2.0 * core::f64::consts::LOG2_E - (z * 2.506_628_274_631_000_5).log2()
}

/// `2^bits`, exactly.
pub(crate) fn power(bits: u32) -> f64 {
    // A float's exponent is a field of eleven bits, offset by 1023.
    f64::from_bits((1023 + u64::from(bits.min(1000))) << 52)
}

pub(crate) fn square(x: f64) -> f64 {
    x * x
}
