//! What goes beyond linear models: keys that a client sends once and a worker computes with, by their names.
//!
//! Names and sizes are here in every build, so that services carry keys without knowing what is in them; what makes, expands and uses them is
//! behind the feature `pbs`.

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
