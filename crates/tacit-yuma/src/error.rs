//! What makes an epoch impossible.

/// Why [`crate::epoch`] refuses. Each is a mistake of the caller: what validators say cannot cause one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// More rows than [`crate::VALIDATORS_MAX`].
    #[error("{got} validators, the limit is {limit}")]
    TooManyValidators {
        /// Most there may be.
        limit: usize,
        /// How many there are.
        got: usize,
    },
    /// More columns than [`crate::WORKERS_MAX`].
    #[error("{got} workers, the limit is {limit}")]
    TooManyWorkers {
        /// Most there may be.
        limit: usize,
        /// How many there are.
        got: usize,
    },
    /// A row of weights is not as long as the list of workers.
    #[error("validator {validator} weighs {got} workers of {expected}")]
    WeightCount {
        /// Whose row.
        validator: usize,
        /// Workers.
        expected: usize,
        /// Weights.
        got: usize,
    },
    /// A row of bonds is not as long as the list of workers.
    #[error("validator {validator} has {got} bonds for {expected} workers")]
    BondCount {
        /// Whose row.
        validator: usize,
        /// Workers.
        expected: usize,
        /// Bonds.
        got: usize,
    },
    /// A validator is said to be a worker that is not in the list.
    #[error("validator {validator} is no worker number {worker}")]
    NoSuchWorker {
        /// Which validator.
        validator: usize,
        /// Which worker.
        worker: usize,
    },
    /// All stakes together do not fit 128 bits.
    #[error("stakes overflow")]
    StakeOverflow,
    /// The moving average of bonds is above one.
    #[error("bonds average of {got} millionths, the limit is {limit}")]
    BondsAverage {
        /// One, in millionths.
        limit: u32,
        /// What was given.
        got: u32,
    },
    /// The lowest rate of liquid alpha is above the highest.
    #[error("liquid alpha from {low} to {high}")]
    AlphaRange {
        /// Lowest rate, of 65535.
        low: u16,
        /// Highest rate, of 65535.
        high: u16,
    },
}
