//! Why a request to the OpenAI interface gets no answer: OpenAI's envelope, statuses that its SDKs map to their exceptions.

use alloy_primitives::Address;
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tacit_wire::{Amount, LedgerError, http::printable};

use crate::error::GatewayError;

/// Why a request gets no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The content type is not JSON.
    #[error("send the request as JSON, with content-type: application/json")]
    NotJson,
    /// Longer than any request may be.
    #[error("the request has more than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// The body does not come.
    #[error("the request did not arrive in time")]
    Broken,
    /// A field is missing or wrong.
    #[error("{detail}")]
    Field {
        /// Which, if one is to blame.
        param: Option<&'static str>,
        /// What is wrong.
        detail: String,
    },
    /// A key is needed, and none or a wrong one came.
    #[error("{}", if *.given { "this key is not known here, or was revoked" } else { "a key is needed: Authorization: Bearer tk-…" })]
    Key {
        /// Whether one came.
        given: bool,
    },
    /// Another site's page, or a name that is not this machine's.
    #[error("requests from other origins are refused: talk to the gateway at localhost")]
    ForeignOrigin,
    /// Not an address of this interface.
    #[error("there is nothing at this address")]
    NotFound,
    /// No such model.
    #[error("the model {model:?} does not exist")]
    UnknownModel {
        /// As it was asked for.
        model: String,
    },
    /// Nobody who serves it fits the request's wishes.
    #[error("nobody serves {model:?} as asked: {reason}")]
    NoWorker {
        /// As it was asked for.
        model: String,
        /// Which wish leaves nobody.
        reason: String,
    },
    /// The request may cost more than a cap leaves.
    #[error("the request may cost {needed}, and {left} is left {cap}")]
    Cap {
        /// What it may cost.
        needed: Amount,
        /// What is left.
        left: Amount,
        /// Which cap.
        cap: &'static str,
    },
    /// The wallet cannot pay for the channel.
    #[error("{address} holds {balance}, and the channel needs {needed}: send coins to this address")]
    NoFunds {
        /// The wallet.
        address: Address,
        /// What it holds.
        balance: Amount,
        /// Deposit and gas.
        needed: Amount,
    },
    /// Too many at once.
    #[error("too many requests at once")]
    Busy,
    /// Every worker refused for now.
    #[error("every worker of this model is busy: {detail}")]
    Crowded {
        /// What the last one said.
        detail: String,
    },
    /// No worker gave an answer.
    #[error("no worker answered: {detail}")]
    Upstream {
        /// What the last one did.
        detail: String,
    },
    /// A worker began, and did not end.
    #[error("worker {worker} broke off: {detail}")]
    BrokeOff {
        /// Who.
        worker: Address,
        /// How.
        detail: String,
    },
    /// A worker did what no honest one does.
    #[error("worker {worker} is not asked again: {detail}")]
    Dishonest {
        /// Who.
        worker: Address,
        /// What it did.
        detail: String,
    },
    /// Nothing says which hardware and software a guest may be.
    #[error("guests are judged by a policy, and {detail}: tacit gateway --policy NAME")]
    NoPolicy {
        /// What is missing.
        detail: String,
    },
    /// A worker's hardware does not show what the policy asks for. Nothing was sent to it.
    #[error("{detail}")]
    NotAttested {
        /// Who, and what is missing.
        detail: String,
    },
    /// It cannot be asked so that nobody can join it to a payment.
    #[error("it cannot be asked unlinkably: {detail}")]
    NotUnlinkable {
        /// Why.
        detail: String,
    },
    /// Not enough tokens of a worker.
    #[error(
        "{needed} tokens of worker {worker} are needed and {held} are there: tacit tokens buy {model} --worker {worker} --count {}, and ask later",
        needed.saturating_sub(*held)
    )]
    NoTokens {
        /// Whose.
        worker: Address,
        /// By which name the model was asked.
        model: String,
        /// As many as the limit takes.
        needed: usize,
        /// As many as there are for this question.
        held: usize,
    },
    /// The answer reached what the request may cost.
    #[error("the answer ends here: more would cost more than {limit}")]
    Limit {
        /// What it may cost.
        limit: Amount,
    },
    /// Nothing came in time.
    #[error("worker {worker} did not answer in time")]
    Timeout {
        /// Who.
        worker: Address,
    },
    /// The ledger cannot be asked.
    #[error("the ledger cannot be asked: {0}")]
    Ledger(String),
    /// The gateway's own disk or wallet.
    #[error("the gateway failed")]
    Internal,
}

impl ApiError {
    pub(crate) fn field(param: &'static str, detail: impl ToString) -> Self {
        Self::Field { param: Some(param), detail: detail.to_string() }
    }

    /// HTTP status, OpenAI's type, and our stable code.
    #[must_use]
    pub const fn describe(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::NotJson => (415, "invalid_request_error", "not_json"),
            Self::TooLong { .. } => (413, "invalid_request_error", "body_too_long"),
            Self::Broken => (408, "invalid_request_error", "body_broken"),
            Self::Field { .. } => (400, "invalid_request_error", "invalid_value"),
            Self::Key { .. } => (401, "authentication_error", "invalid_api_key"),
            Self::ForeignOrigin => (403, "permission_error", "foreign_origin"),
            Self::NotFound => (404, "invalid_request_error", "not_found"),
            Self::UnknownModel { .. } => (404, "invalid_request_error", "model_not_found"),
            Self::NoWorker { .. } => (404, "invalid_request_error", "no_worker"),
            Self::Cap { .. } => (402, "insufficient_quota", "cap_reached"),
            Self::NoFunds { .. } => (402, "insufficient_quota", "no_funds"),
            Self::Limit { .. } => (402, "insufficient_quota", "limit_reached"),
            Self::Busy => (429, "rate_limit_error", "busy"),
            Self::Crowded { .. } => (429, "rate_limit_error", "workers_busy"),
            Self::NotUnlinkable { .. } => (400, "invalid_request_error", "not_unlinkable"),
            Self::NoTokens { .. } => (402, "insufficient_quota", "no_tokens"),
            Self::NoPolicy { .. } => (400, "invalid_request_error", "no_policy"),
            Self::NotAttested { .. } => (502, "api_error", "not_attested"),
            Self::Upstream { .. } => (502, "api_error", "no_answer"),
            Self::BrokeOff { .. } => (502, "api_error", "broke_off"),
            Self::Dishonest { .. } => (502, "api_error", "dishonest_worker"),
            Self::Timeout { .. } => (504, "api_error", "timeout"),
            Self::Ledger(_) => (503, "api_error", "ledger_failed"),
            Self::Internal => (500, "api_error", "internal"),
        }
    }

    /// OpenAI's envelope.
    #[must_use]
    pub fn envelope(&self) -> Value {
        let (_, kind, code) = self.describe();
        let param = match self {
            Self::Field { param, .. } => *param,
            Self::UnknownModel { .. } | Self::NoWorker { .. } => Some("model"),
            Self::NoPolicy { .. } | Self::NotUnlinkable { .. } => Some("provider"),
            _ => None,
        };
        json!({"error": {"message": printable(&self.to_string()), "type": kind, "param": param, "code": code}})
    }

    /// The event that ends a stream which cannot go on: SDKs raise it.
    #[must_use]
    pub fn event(&self) -> Vec<u8> {
        let mut event = self.envelope();
        if let Some(fields) = event.as_object_mut() {
            let choice = json!([{"index": 0, "delta": {}, "finish_reason": "error"}]);
            fields.insert("choices".to_owned(), choice);
        }
        format!("data: {event}\n\n").into_bytes()
    }

    /// Seconds after which the same request may succeed.
    const fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::Busy => Some(1),
            Self::Crowded { .. } | Self::Ledger(_) => Some(2),
            _ => None,
        }
    }
}

impl From<GatewayError> for ApiError {
    fn from(error: GatewayError) -> Self {
        match error {
            GatewayError::UnknownModel { model } => Self::UnknownModel { model },
            GatewayError::NoFunds { address, balance, needed } => Self::NoFunds { address, balance, needed },
            GatewayError::Distrusted { worker, reason } => Self::Dishonest { worker, detail: reason },
            GatewayError::Ledger(error) => Self::from(error),
            error @ (GatewayError::NoPolicy
            | GatewayError::UnknownPolicy { .. }
            | GatewayError::FalsePolicy { .. }) => Self::NoPolicy { detail: error.to_string() },
            error @ (GatewayError::EvidenceRefused { .. } | GatewayError::NotAttested { .. }) => {
                Self::NotAttested { detail: printable(&error.to_string()) }
            }
            error @ (GatewayError::NoRelay | GatewayError::NoTokenSale) => {
                Self::NotUnlinkable { detail: error.to_string() }
            }
            error => {
                tracing::error!(%error, "a request failed");
                Self::Internal
            }
        }
    }
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::InsufficientFunds { address, balance, needed } => {
                Self::NoFunds { address, balance, needed }
            }
            error => Self::Ledger(printable(&error.to_string())),
        }
    }
}

impl From<crate::store::StoreError> for ApiError {
    fn from(error: crate::store::StoreError) -> Self {
        tracing::error!(%error, "the gateway cannot use its disk");
        Self::Internal
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, ..) = self.describe();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.envelope())).into_response();
        if let Some(seconds) = self.retry_after_s() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
