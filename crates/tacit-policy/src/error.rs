//! Why bytes are no evidence or no policy, and why there can be no such policy: one variant per check.

/// Why bytes are no evidence or no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// They end too early.
    #[error("the bytes end too early")]
    Short,
    /// They go on.
    #[error("{got} bytes too many")]
    Trailing {
        /// How many.
        got: usize,
    },
    /// Of a version that is not known.
    #[error("version {got}")]
    Version {
        /// What they say.
        got: u8,
    },
    /// Of a kind that is not known.
    #[error("kind {got}")]
    Kind {
        /// What they say.
        got: u8,
    },
    /// Something is longer than it may be.
    #[error("{field}: {got}, at most {max}")]
    Length {
        /// What.
        field: &'static str,
        /// How long it may be.
        max: usize,
        /// How long it is.
        got: usize,
    },
    /// Text that is not UTF-8.
    #[error("{field} is not text")]
    Text {
        /// What.
        field: &'static str,
    },
    /// Hashes that do not ascend.
    #[error("{field} are not in order")]
    Order {
        /// What.
        field: &'static str,
    },
    /// A status that is not known.
    #[error("a status that is not known")]
    Status,
    /// No policy that could be made.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// Why there can be no such policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// It would accept nothing.
    #[error("a policy that accepts nothing")]
    Empty,
    /// It would accept too many things.
    #[error("a policy that is too long")]
    Length,
    /// Two rules for the same.
    #[error("two rules for one product")]
    Twice,
    /// It would accept a platform whose keys are known to others.
    #[error("a policy that accepts revoked platforms")]
    Revoked,
}
