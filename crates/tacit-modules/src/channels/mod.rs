//! `channels`: one deposit, many vouchers, two transactions.
//!
//! A client deposits coin towards one worker and then pays by signing ever larger cumulative vouchers off the
//! ledger. Whoever holds a voucher may settle it; nobody can settle more than was signed, nor more than was deposited.
//!
//! # State
//! `mapping(bytes32 => Channel)` at slot 0; the id is [`tacit_abi::channels::channel_id`]. A closed channel keeps its
//! record, so that an id, and with it a voucher, is never live twice.
//!
//! # Messages
//! `open` (payable), `topUp` (payable, anyone), `settle` (anyone), `requestClose` and `close` (client), `closeByWorker`
//! (worker), and the views `channel` and `channelId`.
//!
//! # Invariants
//! - `settled <= deposit`, and `settled` only grows.
//! - The module's balance covers the sum of `deposit - settled` over open channels; it is larger only by coin that was
//!   forced on it outside any method (block rewards, `SELFDESTRUCT`).
//! - `settle` pays exactly the growth of `settled`, so the same voucher never pays twice, and an older one never pays.
//! - A voucher counts on one chain, one module and one channel only (EIP-712 domain, channel id), in one encoding only
//!   (65 bytes, `v` 27 or 28, low `s`).
//! - The client gets back only what no settled voucher claims, and not before [`tacit_abi::channels::GRACE_S`] seconds
//!   after saying so; the worker may settle until the moment of closing.
//! - The signer is a key. A contract that opens a channel names one; with no signer named, its vouchers could never be
//!   signed, and its deposit comes back by closing.
//! - Paying runs no code: a payee that is a contract is credited without its `receive` being called.
//!
//! # Gas
//! Storage, logs, hashing and coin moves at EVM prices; 3000 for a signature. `open` writes four fresh slots, `settle` reads
//! four and writes one.

mod record;

use crate::{
    dispatch::{Access, Failure, decode, revert},
    host::{Host, HostError, as_module},
    signature,
};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolEvent, SolStruct};
use record::Record;
use tacit_abi::{
    IChannels::{self, IChannelsCalls},
    Voucher,
    channels::{ADDRESS, GRACE_S, channel_id, domain},
};

/// Runs one call.
///
/// # Errors
/// [`Failure::Revert`] with an ABI-encoded error of [`IChannels`] or [`tacit_abi::IModule`], or [`Failure::Halt`].
pub fn run(host: &mut dyn Host, input: &[u8]) -> Result<Bytes, Failure> {
    let call = decode::<IChannelsCalls>(host, input, |call| match call {
        IChannelsCalls::open(_) | IChannelsCalls::topUp(_) => Access::Payable,
        IChannelsCalls::settle(_)
        | IChannelsCalls::requestClose(_)
        | IChannelsCalls::close(_)
        | IChannelsCalls::closeByWorker(_) => Access::Write,
        IChannelsCalls::channel(_) | IChannelsCalls::channelId(_) => Access::View,
    })?;
    match call {
        IChannelsCalls::open(call) => {
            open(host, &call).map(|id| IChannels::openCall::abi_encode_returns(&id).into())
        }
        IChannelsCalls::topUp(call) => top_up(host, call.channelId).map(|()| Bytes::new()),
        IChannelsCalls::settle(call) => {
            settle(host, call.channelId, call.cumulative, &call.signature).map(|()| Bytes::new())
        }
        IChannelsCalls::requestClose(call) => request_close(host, call.channelId).map(|()| Bytes::new()),
        IChannelsCalls::close(call) => close(host, call.channelId).map(|()| Bytes::new()),
        IChannelsCalls::closeByWorker(call) => {
            close_by_worker(host, call.channelId, call.cumulative, &call.signature).map(|()| Bytes::new())
        }
        IChannelsCalls::channel(call) => {
            let record = Record::load(host, call.channelId)?;
            Ok(IChannels::channelCall::abi_encode_returns(&record.into_abi()).into())
        }
        IChannelsCalls::channelId(call) => {
            let signer = signer_or(call.signer, call.client);
            let id = identify(host, call.client, call.worker, signer, call.salt)?;
            Ok(IChannels::channelIdCall::abi_encode_returns(&id).into())
        }
    }
}

/// Whom an open channel pays. For other modules.
pub(crate) fn payee(host: &mut dyn Host, id: B256) -> Result<Option<Address>, HostError> {
    as_module(host, ADDRESS, |host| Record::payee(host, id))
}

fn open(host: &mut dyn Host, call: &IChannels::openCall) -> Result<B256, Failure> {
    let context = host.context();
    // The module itself as payee would break the balance invariant, and could never spend.
    if call.worker.is_zero() || call.worker == ADDRESS {
        return Err(revert(IChannels::ZeroWorker {}));
    }
    let deposit = sent(host)?;
    let signer = signer_or(call.signer, context.caller);
    let id = identify(host, context.caller, call.worker, signer, call.salt)?;
    let base = Record::slot(host, id)?;
    if Record::exists(host, base)? {
        return Err(revert(IChannels::ChannelExists { channelId: id }));
    }
    let record = Record {
        base,
        client: context.caller,
        worker: call.worker,
        signer,
        deposit,
        settled: 0,
        close_at: 0,
        open: true,
    };
    record.create(host)?;
    let (client, worker) = (record.client, record.worker);
    host.emit(IChannels::Opened { channelId: id, client, worker, signer, deposit }.encode_log_data())?;
    Ok(id)
}

fn top_up(host: &mut dyn Host, id: B256) -> Result<(), Failure> {
    let mut record = Record::load_open(host, id)?;
    let amount = sent(host)?;
    record.deposit =
        record.deposit.checked_add(amount).ok_or_else(|| revert(IChannels::DepositTooLarge {}))?;
    record.store_amounts(host)?;
    let deposit = record.deposit;
    Ok(host.emit(IChannels::ToppedUp { channelId: id, amount, deposit }.encode_log_data())?)
}

fn settle(host: &mut dyn Host, id: B256, cumulative: u128, signature: &[u8]) -> Result<(), Failure> {
    let mut record = Record::load_open(host, id)?;
    let paid = claim(host, &mut record, id, cumulative, signature)?;
    record.store_amounts(host)?;
    host.pay(record.worker, U256::from(paid))?;
    let worker = record.worker;
    Ok(host.emit(IChannels::Settled { channelId: id, worker, paid, cumulative }.encode_log_data())?)
}

fn request_close(host: &mut dyn Host, id: B256) -> Result<(), Failure> {
    let context = host.context();
    let mut record = Record::load_open(host, id)?;
    if context.caller != record.client {
        return Err(revert(IChannels::NotClient { caller: context.caller }));
    }
    if record.close_at != 0 {
        return Err(revert(IChannels::CloseAlreadyRequested { closeAt: record.close_at }));
    }
    // A clock that far ahead would mean a close that never comes: refuse in the terms of the message.
    record.close_at = context
        .now
        .checked_add(GRACE_S)
        .ok_or_else(|| revert(IChannels::GraceRunning { closeAt: u64::MAX }))?;
    record.store_status(host)?;
    let closing = IChannels::CloseRequested { channelId: id, closeAt: record.close_at };
    Ok(host.emit(closing.encode_log_data())?)
}

fn close(host: &mut dyn Host, id: B256) -> Result<(), Failure> {
    let context = host.context();
    let record = Record::load_open(host, id)?;
    if context.caller != record.client {
        return Err(revert(IChannels::NotClient { caller: context.caller }));
    }
    if record.close_at == 0 || context.now < record.close_at {
        return Err(revert(IChannels::GraceRunning { closeAt: record.close_at }));
    }
    finish(host, record, id, 0)
}

fn close_by_worker(host: &mut dyn Host, id: B256, cumulative: u128, signature: &[u8]) -> Result<(), Failure> {
    let context = host.context();
    let mut record = Record::load_open(host, id)?;
    if context.caller != record.worker {
        return Err(revert(IChannels::NotWorker { caller: context.caller }));
    }
    let nothing_new = signature.is_empty() && cumulative == record.settled;
    let paid = if nothing_new { 0 } else { claim(host, &mut record, id, cumulative, signature)? };
    if paid > 0 {
        record.store_amounts(host)?;
        host.pay(record.worker, U256::from(paid))?;
    }
    finish(host, record, id, paid)
}

/// Checks a voucher and moves `settled` up to it; the caller MUST store the record and pay what this returns.
#[must_use = "the record is not stored and the worker is not paid yet"]
fn claim(
    host: &mut dyn Host,
    record: &mut Record,
    id: B256,
    cumulative: u128,
    signature: &[u8],
) -> Result<u128, Failure> {
    let settled = record.settled;
    let paid = cumulative
        .checked_sub(settled)
        .filter(|paid| *paid > 0)
        .ok_or_else(|| revert(IChannels::StaleVoucher { settled, cumulative }))?;
    if cumulative > record.deposit {
        return Err(revert(IChannels::ExceedsDeposit { deposit: record.deposit, cumulative }));
    }
    if !is_signed(host, record.signer, Voucher { channelId: id, cumulative }, signature)? {
        return Err(revert(IChannels::BadSignature {}));
    }
    record.settled = cumulative;
    Ok(paid)
}

/// Marks the channel closed for good and returns the rest to the client.
fn finish(host: &mut dyn Host, mut record: Record, id: B256, paid: u128) -> Result<(), Failure> {
    let refunded = record.deposit.checked_sub(record.settled).ok_or_else(|| {
        revert(IChannels::ExceedsDeposit { deposit: record.deposit, cumulative: record.settled })
    })?;
    record.open = false;
    record.store_status(host)?;
    if refunded > 0 {
        host.pay(record.client, U256::from(refunded))?;
    }
    let worker = record.worker;
    Ok(host.emit(IChannels::Closed { channelId: id, worker, paid, refunded }.encode_log_data())?)
}

fn is_signed(
    host: &mut dyn Host,
    signer: Address,
    voucher: Voucher,
    signature: &[u8],
) -> Result<bool, Failure> {
    host.charge(DIGEST_GAS)?;
    let digest = voucher.eip712_signing_hash(&domain(host.context().chain_id));
    Ok(signature::signer(host, digest, signature)? == Some(signer))
}

fn identify(
    host: &mut dyn Host,
    client: Address,
    worker: Address,
    signer: Address,
    salt: B256,
) -> Result<B256, Failure> {
    host.charge(crate::host::keccak_gas(6 * 32))?;
    Ok(channel_id(host.context().chain_id, client, worker, signer, salt))
}

fn signer_or(signer: Address, client: Address) -> Address {
    if signer.is_zero() { client } else { signer }
}

fn sent(host: &mut dyn Host) -> Result<u128, Failure> {
    let value = host.context().value;
    if value.is_zero() {
        return Err(revert(IChannels::ZeroDeposit {}));
    }
    u128::try_from(value).map_err(|_| revert(IChannels::DepositTooLarge {}))
}

/// Gas for building the EIP-712 digest of a voucher: seven hashes over eighteen words in all.
const DIGEST_GAS: u64 = 7 * 30 + 6 * 18;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
