//! Models with look-ups under encryption: one bootstrap for each look-up. Behind the feature `pbs`.
//!
//! A graph is compiled to a circuit of sums and look-ups ([`compile`]). The client encrypts the inputs, or steps of them, as numbers ([`mod@layout`]) under
//! a small key; the worker adds them up with cleartext weights, and bootstraps each sum through a table, which gives ciphertexts under
//! a large key with fresh noise; sums of those are the outputs, or are switched back to the small key and looked up again.
//! [`mod@plan`] chooses scales and parameters, says what all of it costs and whether it is *exact* or *approximate*, and computes how
//! likely a wrong answer is.
//!
//! Sources: Chillotti, Gama, Georgieva and Izabachène, *TFHE: Fast Fully Homomorphic Encryption over the Torus* (eprint 2018/421), for bootstraps through a
//! table. Bergerat, Boura, Ballandras et al., *New Secret Keys for Enhanced Performance in (T)FHE* (eprint 2023/979), for partial
//! keys: the polynomial that a query is encrypted under has the bits of the small key as its first coefficients and zeros after them, so that a coefficient
//! of a product is a ciphertext under the small key and no switch of keys is needed.
//!
//! What stands for the bootstraps themselves is the library behind [`backend`]; everything else is here.

mod compile;
mod layout;
mod noise;
mod parameters;
mod plan;
#[cfg(test)]
mod simulate;
mod steps;
#[cfg(test)]
mod tests;
mod value;

pub use compile::{MAX_LEVELS, MAX_LOOKUPS, MAX_WORK, Misfit};
pub use layout::{MAX_OUTPUTS, MAX_SLOTS};
pub use parameters::{Parameters, SETS};
pub use plan::{CLIP_DEVIATIONS, CLIP_WIDTHS, EXACT_DEVIATIONS, MAX_DEPTH, Plan};
