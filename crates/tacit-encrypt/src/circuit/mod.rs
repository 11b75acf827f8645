//! Models with look-ups under encryption: one bootstrap for each look-up. Behind the feature `pbs`.
//!
//! A graph is compiled to a circuit of sums and look-ups (`compile`). The client encrypts the inputs, or steps of them, as numbers (`layout`) under
//! a small key; the worker adds them up with cleartext weights, and bootstraps each sum through a table, which gives ciphertexts under
//! a large key with fresh noise; sums of those are the outputs, or are switched back to the small key and looked up again.
//! `plan` chooses scales and parameters, says what all of it costs and whether it is *exact* or *approximate*, and computes how
//! likely a wrong answer is.
//!
//! Sources: Chillotti, Gama, Georgieva and Izabachène, *TFHE: Fast Fully Homomorphic Encryption over the Torus* (eprint 2018/421), for bootstraps through a
//! table. Bergerat, Boura, Ballandras et al., *New Secret Keys for Enhanced Performance in (T)FHE* (eprint 2023/979), for partial
//! keys: the polynomial that a query is encrypted under has the bits of the small key as its first coefficients and zeros after them, so that a coefficient
//! of a product is a ciphertext under the small key and no switch of keys is needed.
//!
//! What stands for the bootstraps themselves is the library behind `backend`; everything else is here.
//!
//! # Examples
//! ```no_run
//! use tacit_encrypt::{Seed, circuit::{ClientKeys, CircuitModel, EvaluationKeys, Offer, Variant, encrypt}};
//!
//! let model = tacit_graph::synthetic_mlp(&[64, 32, 10], 1)?;
//! let server = CircuitModel::new(&model, Variant::Fast)?;
//! assert_eq!(server.plan().bootstraps, 32);
//!
//! // Once.
//! let offer = Offer::decode(model.graph(), &server.offer().encode())?;
//! let (keys, bytes) = ClientKeys::generate(offer.parameters(), &Seed::new([1; 32]));
//! let evaluation = EvaluationKeys::decode(&bytes, offer.variant())?;
//!
//! let (secret, query) = encrypt(&offer, &[0; 64], &Seed::new([2; 32]), &keys)?;
//! let answer = server.answer(&query, &evaluation, &Seed::new([3; 32]))?;
//! let logits = secret.decrypt(&answer)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backend;
#[cfg(feature = "client")]
mod client;
mod compile;
mod keys;
mod layout;
mod lwe;
mod noise;
mod offer;
mod pack;
mod parameters;
mod plan;
mod polynomial;
mod server;
mod simulate;
mod steps;
#[cfg(test)]
mod tests;
mod value;
mod wire;

#[cfg(feature = "client")]
pub use client::{ClientKeys, EncryptReject, Secret, encrypt};
pub use compile::{MAX_LEVELS, MAX_LOOKUPS, MAX_WORK, Misfit};
pub use keys::{EvaluationKeys, check as check_keys, key_bytes};
pub use layout::{MAX_OUTPUTS, MAX_SLOTS};
pub(crate) use offer::TIER;
pub use offer::{MAX_OFFER_BYTES, Offer, OfferReject};
pub use parameters::{Parameters, SETS};
pub use plan::{CLIP_DEVIATIONS, CLIP_WIDTHS, EXACT_DEVIATIONS, MAX_DEPTH, Plan};
pub use server::CircuitModel;
pub use wire::WireReject;

pub use crate::evaluation::{Approximation, Closeness, KeyId, KeyReject, Variant};
