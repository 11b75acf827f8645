//! Encrypted inference: a worker computes on what it cannot read, and only the client reads the answer.
//!
//! Tier 1, always built: models that are linear in their input (linear and logistic regression, nearest neighbours and embeddings by scalar
//! product, any chain of linear layers). One ciphertext goes up, one comes down for each group of outputs, no evaluation keys. What is decrypted
//! equals the outputs of the graph, bit for bit. Tier 2, behind the feature `pbs`: models with look-ups (`circuit`), under evaluation keys that
//! a client sends once.
//!
//! The scheme is textbook ring learning with errors (Lyubashevsky, Peikert and Regev, eprint 2012/230) over `Z_q[X]/(X^2048 + 1)`;
//! `specs/0004-encrypted.md` states parameters, noise, what each side learns, and the formats.
//!
//! [`client`] and [`server`] share no type that holds a secret: [`client::Secret`] alone decrypts, and [`server::EncryptedModel`] has no
//! secret at all. `client` is behind a feature of that name, which workers and ledger nodes are built without.
//!
//! # Examples
//! ```
//! use tacit_encrypt::{Offer, Seed, client, server::EncryptedModel};
//!
//! let model = tacit_graph::synthetic_mlp(&[4, 3], 1)?;
//! let server = EncryptedModel::new(&model)?;
//!
//! let offer = Offer::decode(model.graph(), &server.offer().encode())?;
//! let row = [1i16, -2, 3, 4];
//! let (secret, query) = client::encrypt(&offer, &row, &Seed::new([1; 32]), None)?;
//! let answer = server.answer(&query, None, &Seed::new([2; 32]))?;
//! assert_eq!(secret.decrypt(&answer)?, tacit_graph::execute(&model, &row, 1)?.logits());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

#[cfg(feature = "pbs")]
pub mod circuit;
#[cfg(feature = "client")]
pub mod client;
pub mod evaluation;
pub mod linear;
pub mod offer;
pub mod plan;
mod ring;
mod sample;
pub mod server;
#[cfg(test)]
#[cfg(feature = "client")]
mod tests;
pub mod wire;

pub use evaluation::{
    Approximation, Closeness, KeyId, KeyReject, MAX_KEY_BYTES, ParametersId, Variant, check_keys,
};
pub use offer::{Offer, OfferReject, fits};
pub use plan::Misfit;
pub use sample::Seed;
pub use wire::WireError;

/// Security of a query against whoever sees it, by published tables (see `specs/0004-encrypted.md`).
pub const SECURITY_BITS: u8 = 128;
