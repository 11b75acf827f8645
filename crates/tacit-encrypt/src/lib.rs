//! Encrypted inference: a worker computes on what it cannot read, and only the client reads the answer.
//!
//! Today: models that are linear in their input (linear and logistic regression, nearest neighbours and embeddings by scalar
//! product, any chain of linear layers). One ciphertext goes up, one comes down for each group of outputs, no evaluation keys. What is decrypted
//! equals the outputs of the graph, bit for bit.
//!
//! The scheme is textbook ring learning with errors (Lyubashevsky, Peikert and Regev, eprint 2012/230) over `Z_q[X]/(X^2048 + 1)`;
//! `specs/0004-encrypted.md` states parameters, noise, what each side learns, and the formats.
//!
//! [`client`] and [`server`] share no type that holds a secret: [`client::Secret`] alone decrypts, and [`server::Server`] has no key at all.
//!
//! # Examples
//! ```
//! use tacit_encrypt::{Seed, client, linear::LinearModel, server::Server};
//!
//! let model = tacit_graph::synthetic_mlp(&[4, 3], 1)?;
//! let linear = LinearModel::new(&model)?;
//! let plan = *linear.plan();
//! let server = Server::new(&linear);
//!
//! let row = [1i16, -2, 3, 4];
//! let (secret, query) = client::encrypt(&plan, &row, &Seed::new([1; 32]))?;
//! let answer = server.answer(&query, &Seed::new([2; 32]))?;
//! assert_eq!(secret.decrypt(&answer)?, tacit_graph::execute(&model, &row, 1)?.logits());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod client;
pub mod linear;
pub mod plan;
mod ring;
mod sample;
pub mod server;
#[cfg(test)]
mod tests;
pub mod wire;

pub use sample::Seed;

/// Security of a query against whoever sees it, by published tables (see `specs/0004-encrypted.md`).
pub const SECURITY_BITS: u8 = 128;
