//! Why the pool refuses a transaction.

use alloy_primitives::U256;
use tacit_ledger::Rejection;
use thiserror::Error;

/// Why a transaction was refused. Messages are those of existing clients, because libraries look for them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Rejected {
    /// The bytes are not a transaction.
    #[error("failed to decode signed transaction")]
    Malformed,
    /// The transaction is longer than allowed.
    #[error("oversized data: transaction size {got}, limit {limit}")]
    Oversized {
        /// Its bytes.
        got: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Blob transactions are not part of this chain.
    #[error("transaction type not supported")]
    TypeNotSupported,
    /// The signature recovers no sender.
    #[error("invalid sender")]
    InvalidSender,
    /// Signed for another chain.
    #[error("invalid chain id for signer: have {got} want {expected}")]
    WrongChain {
        /// This chain.
        expected: u64,
        /// The transaction's.
        got: u64,
    },
    /// Signed for no chain in particular.
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    Unprotected,
    /// The nonce was used before.
    #[error("nonce too low: next nonce {expected}, tx nonce {got}")]
    NonceTooLow {
        /// The account's next nonce.
        expected: u64,
        /// The transaction's.
        got: u64,
    },
    /// The largest nonce can never be used (EIP-2681).
    #[error("nonce has max value")]
    NonceMax,
    /// More gas than a block or a transaction may use.
    #[error("exceeds block gas limit: gas {got}, limit {limit}")]
    GasLimitTooHigh {
        /// Gas allowed.
        limit: u64,
        /// The transaction's limit.
        got: u64,
    },
    /// Less gas than the transaction costs before it runs.
    #[error("intrinsic gas too low: gas {got}, minimum needed {needed}")]
    IntrinsicGas {
        /// Gas needed.
        needed: u64,
        /// The transaction's limit.
        got: u64,
    },
    /// The tip exceeds the maximal fee.
    #[error("max priority fee per gas higher than max fee per gas")]
    TipAboveFee,
    /// The maximal fee does not cover the next block's base fee.
    #[error("max fee per gas less than block base fee: maxFeePerGas: {got}, baseFee: {base_fee}")]
    FeeTooLow {
        /// The next block's base fee.
        base_fee: u64,
        /// The transaction's maximal fee.
        got: u128,
    },
    /// The account cannot pay value and gas, beside those of its earlier transactions that wait.
    #[error("insufficient funds for gas * price + value: balance {balance}, tx cost {cost}")]
    InsufficientFunds {
        /// What the account holds.
        balance: U256,
        /// What the transaction may cost, and those.
        cost: U256,
    },
    /// The sender is a contract (EIP-3607).
    #[error("sender not an eoa")]
    SenderNotEoa,
    /// The creation code is longer than allowed (EIP-3860).
    #[error("max initcode size exceeded: code size {got}, limit {limit}")]
    InitCodeTooLong {
        /// Its bytes.
        got: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// An EIP-7702 transaction without authorizations, or creating a contract.
    #[error("EIP-7702 transaction with empty auth list or without destination")]
    MalformedSetCode,
    /// The same transaction waits already.
    #[error("already known")]
    AlreadyKnown,
    /// Another transaction has this nonce and the new one does not pay a tenth more.
    #[error("replacement transaction underpriced")]
    Underpriced,
    /// The sender has too many transactions waiting.
    #[error("account limit exceeded: {limit} transactions waiting")]
    SenderFull {
        /// Transactions allowed.
        limit: usize,
    },
    /// The pool holds as much as it may, all of it worth as much as this or more.
    #[error("txpool is full")]
    PoolFull,
    /// The executor refused it for a reason of its own.
    #[error(transparent)]
    Invalid(Rejection),
}
