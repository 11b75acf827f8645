//! What goes beyond linear models: keys that a client sends once and a worker computes with, by their names, and answers that are near.
//!
//! Names and sizes are here in every build, so that services carry keys without knowing what is in them; what makes, expands and uses them is
//! behind the feature `pbs`.

use tacit_graph::Agreement;

/// Names keys by their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 32]);

/// Names parameters of keys. Public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParametersId(pub u8);

/// How bootstraps compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// With floating-point numbers. Two machines may differ in the noise of an answer.
    Fast,
    /// With integers alone: the same bits on every machine, some four times as slow.
    Reproducible,
}

/// How near answers are to the graph's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closeness {
    /// They are the graph's, bit for bit.
    Exact,
    /// They are not always.
    Approximate(Approximation),
}

/// What is said about answers that are only near.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approximation {
    /// The distance from the graph's outputs that answers keep to: root mean square over an answer's outputs, in units of the outputs. One at least.
    pub tolerance: u32,
    /// How often the label was the graph's on held-out rows, where that was measured. Nobody is asked whose answers were not.
    pub agreement: Option<Agreement>,
}

/// Why bytes are not evaluation keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyReject {
    /// Another version.
    #[error("evaluation keys of version {got}, this is version {KEY_VERSION}")]
    Version {
        /// The first byte.
        got: u8,
    },
    /// Parameters that this program does not know.
    #[error("evaluation keys for parameters {got}, which this program does not have")]
    Parameters {
        /// The second byte.
        got: u8,
    },
    /// Too short or too long.
    #[error("evaluation keys have {expected} bytes, got {got}")]
    Length {
        /// Bytes of keys for these parameters.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
}

/// Longest evaluation keys.
pub const MAX_KEY_BYTES: usize = 31_000_000;
pub(crate) const KEY_VERSION: u8 = 1;

impl KeyId {
    /// The id of encoded keys.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::derive_key("tacit 2026 encrypted evaluation keys id v1", bytes))
    }
}

/// The parameters of encoded keys, once version and length are theirs. Expanding them is more work.
///
/// # Errors
/// [`KeyReject`].
pub fn check_keys(bytes: &[u8]) -> Result<ParametersId, KeyReject> {
    #[cfg(feature = "pbs")]
    return crate::circuit::check_keys(bytes).map(|parameters| ParametersId(parameters.id));
    #[cfg(not(feature = "pbs"))]
    match bytes {
        [KEY_VERSION, got, ..] => Err(KeyReject::Parameters { got: *got }),
        [got, ..] => Err(KeyReject::Version { got: *got }),
        [] => Err(KeyReject::Length { expected: 2, got: 0 }),
    }
}

impl Closeness {
    /// Whether outputs can be an honest answer where the graph's are `expected`.
    #[must_use]
    pub fn admits(&self, expected: &[i32], got: &[i32]) -> bool {
        match self {
            Self::Exact => expected == got,
            Self::Approximate(Approximation { tolerance, .. }) => {
                let most = u128::from(*tolerance).pow(2) * expected.len() as u128;
                expected.len() == got.len() && square_distance(expected, got) <= most
            }
        }
    }
}

/// Sum of the squares of differences. Under `2^66` for each of the outputs.
pub(crate) fn square_distance(expected: &[i32], got: &[i32]) -> u128 {
    let square = |(a, b): (&i32, &i32)| u128::from(a.abs_diff(*b)).pow(2);
    expected.iter().zip(got).map(square).sum()
}

impl Variant {
    #[cfg(feature = "pbs")]
    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Fast => 0,
            Self::Reproducible => 1,
        }
    }

    #[cfg(feature = "pbs")]
    pub(crate) fn of(byte: u8) -> Option<Self> {
        [Self::Fast, Self::Reproducible].into_iter().find(|variant| variant.byte() == byte)
    }
}

impl core::fmt::Display for Variant {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Fast => "fast",
            Self::Reproducible => "reproducible",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_by_the_root_mean_square_and_exact_is_the_same() {
        let near = |tolerance| Closeness::Approximate(Approximation { tolerance, agreement: None });
        assert!(Closeness::Exact.admits(&[1, -2], &[1, -2]) && !Closeness::Exact.admits(&[1, -2], &[1, -1]));
        // Root mean square of 3, 4 and 0, 0: 2.5.
        let (expected, got) = ([10, 20, 30, 40], [13, 16, 30, 40]);
        assert!(near(3).admits(&expected, &got) && !near(2).admits(&expected, &got));
        assert!(!near(3).admits(&expected, &got[..3]) && !near(3).admits(&expected[..3], &got));
        let ends = ([i32::MIN; 2], [i32::MAX; 2]);
        assert!(near(u32::MAX).admits(&ends.0, &ends.1) && !near(u32::MAX - 1).admits(&ends.0, &ends.1));
    }
}
