//! What a transaction must satisfy before the pool takes it.
//!
//! [`decode`] looks at the bytes alone and may run anywhere; [`check`] needs the sender's account. The executor checks
//! everything again: these checks only keep out early what would be refused later, with the messages that client
//! libraries look for.

use alloy_consensus::{
    Transaction, TxEnvelope,
    transaction::{Recovered, SignerRecoverable},
};
use alloy_eips::eip2718::Decodable2718;
use tacit_ledger::{Account, Chain, Rejection, intrinsic_check};

use crate::pool::{Rejected, cost};

/// Most bytes of a transaction. Other clients stop at 128 KiB; here a proof of a large network has to fit, as far as the gas of
/// one transaction pays for calldata.
pub const TRANSACTION_BYTES_MAX: usize = 512 << 10;
/// Most bytes of creation code (EIP-3860).
pub const INIT_CODE_BYTES_MAX: usize = 49_152;
const BLOB_TYPE: u8 = 3;

/// Decodes a signed transaction and recovers its sender.
///
/// # Errors
/// One [`Rejected`] for each rule that needs no state.
pub fn decode(bytes: &[u8], chain: &Chain) -> Result<Recovered<TxEnvelope>, Rejected> {
    if bytes.len() > TRANSACTION_BYTES_MAX {
        return Err(Rejected::Oversized { got: bytes.len(), limit: TRANSACTION_BYTES_MAX });
    }
    if bytes.first() == Some(&BLOB_TYPE) {
        return Err(Rejected::TypeNotSupported);
    }
    let mut rest = bytes;
    let transaction = TxEnvelope::decode_2718(&mut rest).map_err(|_| Rejected::Malformed)?;
    if !rest.is_empty() {
        return Err(Rejected::Malformed);
    }
    match transaction.chain_id() {
        None => return Err(Rejected::Unprotected),
        Some(got) if got != chain.chain_id => {
            return Err(Rejected::WrongChain { expected: chain.chain_id, got });
        }
        Some(_) => {}
    }
    intrinsic_check(&transaction, chain.gas_limit).map_err(refused)?;
    if transaction.max_priority_fee_per_gas().is_some_and(|tip| tip > transaction.max_fee_per_gas()) {
        return Err(Rejected::TipAboveFee);
    }
    if transaction.nonce() == u64::MAX {
        return Err(Rejected::NonceMax);
    }
    if transaction.is_create() && transaction.input().len() > INIT_CODE_BYTES_MAX {
        return Err(Rejected::InitCodeTooLong { got: transaction.input().len(), limit: INIT_CODE_BYTES_MAX });
    }
    if transaction.authorization_list().is_some_and(<[_]>::is_empty) {
        return Err(Rejected::MalformedSetCode);
    }
    let sender = transaction.recover_signer().map_err(|_| Rejected::InvalidSender)?;
    Ok(Recovered::new_unchecked(transaction, sender))
}

/// Checks a decoded transaction against its sender's account. `delegates` says whether the sender's code only points
/// elsewhere (EIP-7702), in which case it may still send.
///
/// # Errors
/// One [`Rejected`] for each rule.
pub fn check(
    transaction: &Recovered<TxEnvelope>,
    account: &Account,
    delegates: bool,
    base_fee: u64,
) -> Result<(), Rejected> {
    if account.has_code() && !delegates {
        return Err(Rejected::SenderNotEoa);
    }
    if transaction.nonce() < account.nonce {
        return Err(Rejected::NonceTooLow { expected: account.nonce, got: transaction.nonce() });
    }
    if transaction.max_fee_per_gas() < u128::from(base_fee) {
        return Err(Rejected::FeeTooLow { base_fee, got: transaction.max_fee_per_gas() });
    }
    let cost = cost(transaction);
    if cost > account.balance {
        return Err(Rejected::InsufficientFunds { balance: account.balance, cost });
    }
    Ok(())
}

/// The executor's refusal in the words of the pool.
#[must_use]
pub fn refused(reason: Rejection) -> Rejected {
    match reason {
        Rejection::NonceTooLow { expected, got } => Rejected::NonceTooLow { expected, got },
        Rejection::InsufficientFunds { needed, balance } => {
            Rejected::InsufficientFunds { balance, cost: needed }
        }
        Rejection::GasAboveCap { limit, got } | Rejection::BlockFull { left: limit, got } => {
            Rejected::GasLimitTooHigh { limit, got }
        }
        Rejection::IntrinsicGas { needed, got } => Rejected::IntrinsicGas { needed, got },
        Rejection::SenderHasCode => Rejected::SenderNotEoa,
        Rejection::Blob => Rejected::TypeNotSupported,
        Rejection::TipAboveFee => Rejected::TipAboveFee,
        Rejection::NoAuthorization => Rejected::MalformedSetCode,
        other => Rejected::Invalid(other),
    }
}
