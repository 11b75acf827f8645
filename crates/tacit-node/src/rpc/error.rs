//! JSON-RPC errors: one variant for each reason, one table of codes.
//!
//! Codes follow JSON-RPC 2.0, EIP-1474 and the habits of existing Ethereum clients, because wallets branch on them:
//! `3` carries revert data, `4444` says that history is not kept (EIP-4444), `-32000` is a refusal by the chain, `-32602` a malformed parameter, `-38010` and on are those of `eth_simulateV1`.

use alloy_primitives::{Bytes, hex};
use serde_json::{Value, json};
use thiserror::Error;

use super::simulate::Unsimulated;
use crate::{pool::Rejected, store::StoreError, writer::WriteError};

/// Why a request has no result.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RpcError {
    /// The body is not JSON.
    #[error("parse error: {0}")]
    Parse(String),
    /// The JSON is not a JSON-RPC 2.0 request.
    #[error("invalid request: {0}")]
    InvalidRequest(&'static str),
    /// A batch holds more requests than allowed.
    #[error("batch too large: {got} requests, at most {limit}")]
    BatchTooLarge {
        /// Requests in the batch.
        got: usize,
        /// Requests allowed.
        limit: usize,
    },
    /// The body is longer than allowed.
    #[error("request body too large: at most {limit} bytes")]
    BodyTooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// The answer to a batch outgrew its limit.
    #[error("response too large: at most {limit} bytes")]
    ResponseTooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// No method of this name.
    #[error("the method {0} does not exist or is not available")]
    MethodNotFound(String),
    /// The method is known and deliberately not served.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A parameter is missing, of the wrong type or out of range.
    #[error("invalid params: {0}")]
    InvalidParams(String),
    /// The named block does not exist here.
    #[error("header not found")]
    UnknownBlock,
    /// The blocks are from before the checkpoint that this node began with.
    #[error(
        "blocks up to {began} are not here: this node began with the state after block {began}; ask one with the whole chain"
    )]
    Before {
        /// Number of the checkpoint's block.
        began: u64,
    },
    /// A named input (a filter, a snapshot) does not exist.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// A log query covers too many blocks or gives too many logs.
    #[error("{0}")]
    LimitExceeded(String),
    /// The pool refused a transaction.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// A call or an estimate reverted.
    #[error("execution reverted{}", reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default())]
    Reverted {
        /// The decoded reason, for `Error(string)` and `Panic(uint256)`.
        reason: Option<String>,
        /// What the contract returned.
        data: Bytes,
    },
    /// A call or an estimate could not run, or halted.
    #[error("{0}")]
    Execution(String),
    /// Blocks cannot be simulated as asked.
    #[error(transparent)]
    Simulation(#[from] Unsimulated),
    /// A transaction was accepted but not mined in the time given.
    #[error("the transaction was added to the pool but was not mined in time")]
    Timeout {
        /// Its hash.
        hash: alloy_primitives::B256,
    },
    /// The store failed.
    #[error("internal error: {0}")]
    Store(#[from] StoreError),
    /// A result could not be encoded, or a task of this node ended early.
    #[error("internal error: {0}")]
    Internal(&'static str),
    /// The node does not have its network's blocks yet.
    #[error("the node is catching up with its network; ask another one, or again in a moment")]
    CatchingUp,
    /// The store failed; nothing more is accepted until the node is started again.
    #[error("the node has stopped because its store failed")]
    Halted,
    /// The node is closing.
    #[error("the node is shutting down")]
    Closing,
}

impl RpcError {
    /// The JSON-RPC error code.
    #[must_use]
    pub fn code(&self) -> i64 {
        match self {
            Self::Reverted { .. } => 3,
            Self::Timeout { .. } => 4,
            Self::Simulation(why) => why.code(),
            Self::Parse(_) => -32700,
            Self::InvalidRequest(_) | Self::BatchTooLarge { .. } | Self::BodyTooLarge { .. } => -32600,
            Self::MethodNotFound(_) => -32601,
            Self::InvalidParams(_) => -32602,
            Self::Store(_) | Self::Internal(_) | Self::Halted => -32603,
            Self::UnknownBlock | Self::NotFound(_) => -32001,
            Self::Before { .. } => 4444,
            Self::ResponseTooLarge { .. } | Self::CatchingUp | Self::Closing => -32002,
            Self::Unsupported(_) => -32004,
            Self::LimitExceeded(_) => -32005,
            Self::Rejected(_) | Self::Execution(_) => -32000,
        }
    }

    /// The error object of a response.
    #[must_use]
    pub fn object(&self) -> Value {
        let mut object = json!({ "code": self.code(), "message": self.to_string() });
        let data = match self {
            Self::Reverted { data, .. } => Some(hex::encode_prefixed(data)),
            Self::Timeout { hash } => Some(hash.to_string()),
            _ => None,
        };
        if let (Some(data), Some(map)) = (data, object.as_object_mut()) {
            map.insert("data".to_owned(), Value::String(data));
        }
        object
    }
}

impl From<WriteError> for RpcError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Rejected(why) => Self::Rejected(why),
            WriteError::Store(why) => Self::Store(why),
            WriteError::Timestamp { .. } => Self::InvalidParams(error.to_string()),
            WriteError::Execution(why) => Self::Execution(why),
            // Nobody appends blocks over RPC.
            WriteError::Gap { .. }
            | WriteError::Differs { .. }
            | WriteError::Seal { .. }
            | WriteError::Checkpoint { .. } => Self::Execution(error.to_string()),
            WriteError::CatchingUp => Self::CatchingUp,
            WriteError::Halted => Self::Halted,
            WriteError::Closing => Self::Closing,
        }
    }
}
