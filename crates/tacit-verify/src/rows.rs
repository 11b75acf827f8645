//! Rows that are committed instead of public: a batch of strangers' questions in one proof.
//!
//! # Protocol
//! The prover publishes a digest of each row's salt, commits to all encoded inputs and to the element that each salt
//! stands for, runs the argument, and publishes for each row `fingerprint = x(a) + gamma * y(b) + element` at random
//! points `a, b` over the axes of input and output and a random `gamma`, all drawn after that. The argument ties the fingerprints to the committed rows. Whoever knows
//! a row, its answer and its salt computes the fingerprint and compares; nobody else needs to know any row to check
//! the proof itself.
//!
//! # Soundness
//! Two different (input, output, salt) have one fingerprint with probability at most `(vars + 1) / |F|`, for points
//! drawn after both are fixed. The digests fix the salts: without them, whoever reads a proof could choose an answer
//! first and the salt that makes it fit afterwards.
//!
//! # Secrecy
//! The element of a salt is uniform in the field of the fingerprint and used once, so fingerprints are uniform whatever
//! the rows. Element and digest come from one 256-bit secret by different random functions, so a guess of the row, which
//! gives its element, is not confirmed by the digest.
//! That the rest of the proof tells nothing of the rows is the business of zero knowledge.

use p3_field::PrimeCharacteristicRing;
use tacit_graph::Graph;

use crate::{
    field::{EF_DEGREE, Ef, Fp, MAX_MAGNITUDE, ef_from_coefficients},
    multilinear::{eq_table, eval_rows},
    plan::Plan,
    protocol::{padding_values, split_point},
    reject::Reject,
    views::inside,
};

/// What hides the fingerprint of one row: 32 uniform bytes, used once. Known to the prover and to whoever asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RowSalt([u8; 32]);

impl core::fmt::Debug for RowSalt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("RowSalt")
    }
}

impl RowSalt {
    /// Bytes MUST be uniform, new for each row, and secret.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// What is added to the fingerprint, lowest degree first: each coefficient is the remainder of 128 bits.
    pub fn coefficients(self) -> [Fp; EF_DEGREE] {
        let mut hasher = blake3::Hasher::new_derive_key(ELEMENT_CONTEXT);
        hasher.update(&self.0);
        let mut bytes = [0; 16 * EF_DEGREE];
        hasher.finalize_xof().fill(&mut bytes);
        let mut element = [Fp::ZERO; EF_DEGREE];
        for (slot, chunk) in element.iter_mut().zip(bytes.chunks_exact(16)) {
            let wide = chunk.iter().rev().fold(0u128, |wide, byte| (wide << 8) | u128::from(*byte));
            let rest = wide.checked_rem(u128::from(ORDER)).and_then(|rest| u32::try_from(rest).ok());
            *slot = Fp::from_u32(rest.unwrap_or(0));
        }
        element
    }

    /// What the proof publishes of it before any challenge is drawn.
    #[must_use]
    pub fn digest(self) -> [u8; 32] {
        blake3::derive_key(DIGEST_CONTEXT, &self.0)
    }
}

/// What a proof says of each of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprints {
    /// Over the axes of the input.
    pub input: Vec<Ef>,
    /// Over the axes of the output.
    pub output: Vec<Ef>,
    /// Separates input and output.
    pub gamma: Ef,
    /// One per row.
    pub values: Vec<Ef>,
}

/// A question, its answer and the salt between them and a proof.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Raw values in units of `2^-24`.
    pub input: &'a [i64],
    /// Logits.
    pub output: &'a [i32],
    /// The row's salt.
    pub salt: RowSalt,
}

impl Fingerprints {
    /// Checks that row `index` is this one.
    ///
    /// # Errors
    /// [`Reject::Fingerprint`] when it is another, and what is wrong with a row that cannot be one.
    pub fn check(&self, graph: &Graph, plan: &Plan, index: usize, row: Row<'_>) -> Result<(), Reject> {
        let expected = plan.tensors.last().map_or(0, |tensor| tensor.sizes.iter().product());
        if row.output.len() != expected {
            return Err(Reject::OutputLength { row: index, expected, got: row.output.len() });
        }
        if let Some(got) =
            row.output.iter().find(|value| value.unsigned_abs() >= MAX_MAGNITUDE.unsigned_abs())
        {
            return Err(Reject::OutputRange { row: index, got: *got });
        }
        let input = graph.encode_input(row.input).map_err(|_| Reject::InputLength {
            row: index,
            expected: graph.features.len(),
            got: row.input.len(),
        })?;
        let axes = |tensor: usize, point: &[Ef]| {
            let rows = vec![Ef::ZERO; plan.log_rows];
            split_point(plan, tensor, &rows.iter().chain(point).copied().collect::<Vec<Ef>>()).1
        };
        let read = eval_rows(&[input], &graph.input_axes, &[], &axes(0, &self.input));
        let output = axes(plan.steps.len(), &self.output);
        let made = outputs_at(graph, plan, &[row.output.to_vec()], &[], &output);
        let salt = ef_from_coefficients(row.salt.coefficients());
        if self.values.get(index) == Some(&(read + self.gamma * made + salt)) {
            Ok(())
        } else {
            Err(Reject::Fingerprint { row: index })
        }
    }
}

/// Output rows as the last tensor holds them, padding included, at a point.
pub fn outputs_at(graph: &Graph, plan: &Plan, outputs: &[Vec<i32>], rows: &[Ef], axes: &[Vec<Ef>]) -> Ef {
    let size = plan.tensors.last().and_then(|tensor| tensor.sizes.first()).copied().unwrap_or(0);
    let value = eval_rows(outputs, &[u32::try_from(size).unwrap_or(0)], rows, axes);
    match padding_values(graph, plan).last() {
        Some(0) | None => value,
        Some(fill) => {
            let outside = Ef::ONE - axes.first().map_or(Ef::ONE, |point| inside(point, size));
            value + outside * Ef::from(crate::field::embed(*fill))
        }
    }
}

/// The multilinear extension of values, the last one repeated, at a point.
pub fn interpolate(values: &[Ef], point: &[Ef]) -> Ef {
    let last = values.last().copied().unwrap_or(Ef::ZERO);
    let padded = values.iter().copied().chain(core::iter::repeat(last));
    eq_table(point).into_iter().zip(padded).fold(Ef::ZERO, |sum, (weight, value)| sum + weight * value)
}

/// The element `x^degree`.
pub fn basis(degree: usize) -> Ef {
    let mut coefficients = [Fp::ZERO; EF_DEGREE];
    if let Some(slot) = coefficients.get_mut(degree) {
        *slot = Fp::ONE;
    }
    ef_from_coefficients(coefficients)
}

const ELEMENT_CONTEXT: &str = "tacit 2026 proof row salt element v1";
const DIGEST_CONTEXT: &str = "tacit 2026 proof row salt digest v1";
const ORDER: u32 = <Fp as p3_field::PrimeField32>::ORDER_U32;
