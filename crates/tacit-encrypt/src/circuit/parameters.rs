//! Parameter sets.
//!
//! Every set joins a pair (dimension, noise) for the small key with one for the large key, each published as 128 bits of security against
//! classical attackers for binary secrets: by Zama in the parameters of `tfhe` 1.8.2 (`shortint/parameters`, names below), which are
//! computed with the lattice estimator (Albrecht, Player and Scott, eprint 2015/046). Each pair is justified alone, so that any two
//! may be joined.

use super::noise::{rounding, t_uniform};

/// Numbers that decide security, noise and sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Names the set in formats.
    pub id: u8,
    /// For people.
    pub name: &'static str,
    /// Dimension of the small key: bootstraps read ciphertexts under it.
    pub small: usize,
    /// Noise under the small key is uniform on `-2^b ..= 2^b` in units of `2^-64`, both ends half as likely.
    pub small_noise_bits: u32,
    /// Polynomials of the large key.
    pub polynomials: usize,
    /// Log2 of the coefficients of a polynomial.
    pub log_degree: u32,
    /// Noise under the large key, as `small_noise_bits`.
    pub large_noise_bits: u32,
    /// Log2 of the base in which a bootstrap writes coefficients.
    pub base_log: u32,
    /// Digits that it keeps.
    pub digits: usize,
    /// Bits of each number of an encoded bootstrap key.
    pub key_bits: u32,
    /// Log2 of the base in which a switch of keys writes coefficients.
    pub switch_base_log: u32,
    /// Digits that it keeps.
    pub switch_digits: usize,
}

impl Parameters {
    /// Coefficients of a polynomial of the large key.
    #[must_use]
    pub const fn degree(&self) -> usize {
        1 << self.log_degree
    }

    /// Dimension of the large key: bootstraps give ciphertexts under it.
    #[must_use]
    pub const fn large(&self) -> usize {
        self.polynomials << self.log_degree
    }

    /// Ciphertexts of a bootstrap key, each with one polynomial that is sent.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.small * self.digits * (self.polynomials + 1)
    }

    /// Numbers of the key that switches from the large key to the small one.
    #[must_use]
    pub const fn switch_rows(&self) -> usize {
        self.large() * self.switch_digits
    }

    /// The set of that id.
    #[must_use]
    pub fn of(id: u8) -> Option<&'static Self> {
        SETS.iter().find(|set| set.id == id)
    }

    /// Variance of a number of a query, on the torus.
    pub(crate) fn query_variance(&self) -> f64 {
        t_uniform(self.small_noise_bits) + rounding(QUERY_BITS)
    }
}

/// Bits of each number of a query and of a key that switches: its noise is far above what is cut off.
pub(crate) const QUERY_BITS: u32 = 32;

/// All sets, the one with the cheapest bootstrap first.
///
/// Large key: dimension 2048 with noise of 17 bits, of `V1_4_PARAM_MESSAGE_2_CARRY_2_KS_PBS_TUNIFORM_2M128` as one polynomial and of
/// `V1_0_PARAM_MULTI_BIT_GROUP_2_MESSAGE_1_CARRY_1_KS_PBS_TUNIFORM_2M40` as two. Small keys: each set says.
pub const SETS: &[Parameters] = &[
    // 839 with 47 bits: V1_1_PARAM_MESSAGE_2_CARRY_2_KS_PBS_TUNIFORM_2M40. For wide sums; results have some ten bits.
    Parameters {
        id: 1,
        name: "839-2x1024-1",
        small: 839,
        small_noise_bits: 47,
        polynomials: 2,
        log_degree: 10,
        large_noise_bits: 17,
        base_log: 23,
        digits: 1,
        key_bits: 48,
        switch_base_log: 3,
        switch_digits: 5,
    },
    // 800 with 48 bits: V1_1_PARAM_MULTI_BIT_GROUP_2_MESSAGE_1_CARRY_1_KS_PBS_TUNIFORM_2M128. For sums of eight values exactly.
    Parameters {
        id: 2,
        name: "800-2x1024-2",
        small: 800,
        small_noise_bits: 48,
        polynomials: 2,
        log_degree: 10,
        large_noise_bits: 17,
        base_log: 15,
        digits: 2,
        key_bits: 45,
        switch_base_log: 3,
        switch_digits: 5,
    },
    // 664 with a deviation of 6.68e-5 (V1_1_PARAM_MULTI_BIT_GROUP_4_MESSAGE_1_CARRY_0_KS_PBS_GAUSSIAN_2M64); 51 bits are 7.05e-5,
    // more. For sums of sixteen values exactly.
    Parameters {
        id: 3,
        name: "664-1x2048-2",
        small: 664,
        small_noise_bits: 51,
        polynomials: 1,
        log_degree: 11,
        large_noise_bits: 17,
        base_log: 15,
        digits: 2,
        key_bits: 45,
        switch_base_log: 3,
        switch_digits: 5,
    },
];
