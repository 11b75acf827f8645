//! Every reason for which a session or a request to a language model is refused.

use tacit_wire::{
    Amount, SignatureReject, language::TokenPrices, message::ErrorBody, meter::MeterReject,
    sealing::SealReject, splice::SpliceReject, stream::StreamReject,
};

use crate::{reject::JobReject, store::StoreError};

/// Why nothing was given. Nothing is owed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamRefusal {
    /// What is refused for jobs as well, in the same words.
    #[error(transparent)]
    Job(#[from] JobReject),
    /// The session is none of ours, or has ended.
    #[error("this worker does not know the session")]
    UnknownSession,
    /// The client's clock and ours differ, or the request to open a session is old.
    #[error("the session was opened at {opened_at}, and it is {now} here")]
    Clock {
        /// By the client.
        opened_at: u64,
        /// By us, seconds since 1970.
        now: u64,
    },
    /// The name was used.
    #[error("a session of this name was opened")]
    SessionReused,
    /// The secret cannot be agreed on.
    #[error("the session is refused: {0}")]
    Secret(#[source] SealReject),
    /// The number was used, or is far below the highest.
    #[error("number {number} of the session was used")]
    NumberUsed {
        /// The number.
        number: u64,
    },
    /// The request does not open, or is none.
    #[error(transparent)]
    Request(#[from] StreamReject),
    /// Not what the worker asks.
    #[error("the prices are {} for a request, {} for a token of a prompt, {} for one of a completion", expected.request, expected.prompt, expected.completion)]
    StalePrices {
        /// What it asks.
        expected: TokenPrices,
    },
    /// A voucher of another channel than the session's.
    #[error("the voucher is for another channel")]
    WrongChannel,
    /// The channel pays for jobs.
    #[error("the channel pays for jobs, and cannot pay for streams")]
    ChannelForJobs,
    /// More must be promised before the request begins.
    #[error("the account has no room for this request: {demand} must be promised")]
    PaymentRequired {
        /// Cumulative amount of the voucher that makes room.
        demand: Amount,
    },
    /// The prompt alone costs more than the request may.
    #[error("the prompt costs {cost}, and the request may cost {limit}")]
    OverLimit {
        /// Of request and prompt.
        cost: Amount,
        /// Of the client.
        limit: Amount,
    },
    /// The body is no request that can be counted.
    #[error(transparent)]
    Prompt(#[from] MeterReject),
    /// The body is no object whose model can be named.
    #[error("the request cannot be passed on: {0}")]
    Body(#[from] SpliceReject),
    /// Too much is being answered.
    #[error("the worker is busy")]
    Busy,
    /// The worker is closing down.
    #[error("the worker is closing down")]
    Draining,
    /// The engine does not answer.
    #[error("the model's engine does not answer")]
    EngineUnavailable,
}

impl StreamRefusal {
    /// Stable name, HTTP status and hint.
    #[must_use]
    pub fn describe(&self) -> (&'static str, u16, &'static str) {
        match self {
            Self::Job(reject) => reject.describe(),
            Self::UnknownSession => ("unknown_session", 410, "open a session: POST /v1/sessions"),
            Self::Clock { .. } => ("wrong_clock", 409, "set the clock and open another session"),
            Self::SessionReused => ("session_reused", 409, "open a session under a new name"),
            Self::Secret(_) => ("bad_secret", 422, "agree with the key that the worker's ask names"),
            Self::NumberUsed { .. } => ("number_used", 409, "use the next number of the session"),
            Self::Request(_) => ("bad_seal", 400, "seal the request under the session's secret"),
            Self::StalePrices { .. } => ("stale_prices", 409, "read the asks on the ledger again"),
            Self::WrongChannel => ("wrong_channel", 409, "send a voucher of the session's channel"),
            Self::ChannelForJobs => ("channel_for_jobs", 409, "open another channel for streams"),
            Self::PaymentRequired { .. } => ("payment_required", 402, "promise what is owed and ask again"),
            Self::OverLimit { .. } => ("over_limit", 402, "raise the limit or send a shorter prompt"),
            Self::Prompt(_) | Self::Body(_) => ("bad_request", 422, "send what the engine's interface takes"),
            Self::Busy => ("busy", 503, "try again, or ask another worker"),
            Self::Draining => ("draining", 503, "ask another worker"),
            Self::EngineUnavailable => ("engine_unavailable", 503, "try again later, or ask another worker"),
        }
    }

    /// The body to send.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        if let Self::Job(reject) = self {
            return reject.body();
        }
        let (code, _, hint) = self.describe();
        let demand = match self {
            Self::PaymentRequired { demand } => Some(*demand),
            Self::OverLimit { cost, .. } => Some(*cost),
            _ => None,
        };
        let (code, hint) = (code.to_owned(), hint.to_owned());
        ErrorBody { code, message: self.to_string(), hint, demand, opens_at: None }
    }
}

impl From<StoreError> for StreamRefusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::OtherUse { .. } => Self::ChannelForJobs,
            error => Self::Job(JobReject::from(error)),
        }
    }
}

impl From<SignatureReject> for StreamRefusal {
    fn from(reject: SignatureReject) -> Self {
        Self::Job(JobReject::Signature(reject))
    }
}
