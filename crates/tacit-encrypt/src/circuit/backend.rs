//! The one thing that a library does for us: bootstraps. Whatever implements [`Backend`] can take the place of `tfhe`.
//!
//! A bootstrap key is a list of *rows*, each `polynomials + 1` polynomials: ciphertexts of the large key. For each bit `s_i` of the small
//! key, for each digit from the finest to the coarsest, the digit's unit being `2^(64 - base_log * place)`, and for each polynomial `S_c` of the
//! large key, a row of `-s_i S_c` times the unit; and one of `s_i` times the unit after those.

mod tfhe;

use super::{lwe::Switched, parameters::Parameters};
use crate::evaluation::Variant;

/// A way of bootstrapping.
pub(crate) trait Backend: Sized + Send + Sync {
    /// Prepares a key, given as all its rows one after the other.
    fn expand(parameters: &Parameters, rows: &[u64]) -> Self;

    /// For each input, modulo twice the degree, with a table: a ciphertext whose message is the table's entry at the input's phase, or less that
    /// entry in the second half of the torus; as all polynomials of a ciphertext, of which it is the lowest coefficient.
    fn bootstrap(&self, inputs: &[Switched], tables: &[Vec<u64>]) -> Vec<Vec<u64>>;
}

/// An expanded bootstrap key.
pub(crate) enum Engine {
    Fast(tfhe::Fourier),
    Reproducible(tfhe::Integers),
}

impl Engine {
    pub(crate) fn expand(variant: Variant, parameters: &Parameters, rows: &[u64]) -> Self {
        match variant {
            Variant::Fast => Self::Fast(tfhe::Fourier::expand(parameters, rows)),
            Variant::Reproducible => Self::Reproducible(tfhe::Integers::expand(parameters, rows)),
        }
    }

    pub(crate) fn bootstrap(&self, inputs: &[Switched], tables: &[Vec<u64>]) -> Vec<Vec<u64>> {
        match self {
            Self::Fast(engine) => engine.bootstrap(inputs, tables),
            Self::Reproducible(engine) => engine.bootstrap(inputs, tables),
        }
    }

    pub(crate) fn variant(&self) -> Variant {
        match self {
            Self::Fast(_) => Variant::Fast,
            Self::Reproducible(_) => Variant::Reproducible,
        }
    }
}
