//! Calls and gas estimates.

use crate::support::{COIN, Net, address, bytecode};
use alloy_primitives::{Address, B256, Bytes, U256, bytes};
use alloy_sol_types::{SolCall, SolError};
use std::collections::BTreeMap;
use tacit_abi::{IChannels, channels, receipts};
use tacit_ledger::{
    AccountOverride, BlockContext, CallError, CallOutcome, CallRequest, CallStatus, EstimateError,
    HaltReason, NoCode, Overrides, Rejection, StorageOverride, call, estimate_gas,
};

fn attempt(
    net: &Net,
    request: &CallRequest,
    overrides: &Overrides,
) -> Result<CallOutcome, CallError<NoCode>> {
    call(&net.chain, &BlockContext::of(&net.head), &net.state, request, overrides)
}

fn estimate(net: &Net, request: &CallRequest) -> Result<u64, EstimateError<NoCode>> {
    estimate_gas(&net.chain, &BlockContext::of(&net.head), &net.state, request, &Overrides::new())
}

fn to(to: Address, input: impl Into<Bytes>) -> CallRequest {
    CallRequest { from: address(1), to: Some(to), input: input.into(), ..CallRequest::default() }
}

/// Returns slot 0.
const READER: Bytes = bytes!("60005460005260206000f3");

#[test]
fn a_call_leaves_nothing_behind() {
    let net = Net::new();
    let before = net.state.clone();
    let open = IChannels::openCall { worker: address(2), signer: Address::ZERO, salt: B256::ZERO };
    let request = CallRequest { value: U256::from(COIN), ..to(channels::ADDRESS, open.abi_encode()) };
    let outcome = attempt(&net, &request, &Overrides::new()).unwrap();
    assert_eq!(outcome.status, CallStatus::Success);
    assert_eq!(outcome.logs.len(), 1);
    assert_eq!(net.state, before);
}

#[test]
fn a_revert_carries_its_reason() {
    let net = Net::new();
    let settle = IChannels::settleCall { channelId: B256::ZERO, cumulative: 1, signature: Bytes::new() };
    let outcome = net.call(channels::ADDRESS, settle.abi_encode());
    assert_eq!(outcome.status, CallStatus::Revert);
    assert_eq!(outcome.output, IChannels::UnknownChannel { channelId: B256::ZERO }.abi_encode());
}

#[test]
fn a_halt_says_why() {
    let net = Net::new();
    let mut overrides = Overrides::new();
    let code = Some(bytes!("fe"));
    overrides.insert(address(9), AccountOverride { code, ..AccountOverride::default() });
    let outcome = attempt(&net, &to(address(9), Bytes::new()), &overrides).unwrap();
    assert_eq!(outcome.status, CallStatus::Halt(HaltReason::InvalidFEOpcode));
}

#[test]
fn a_caller_needs_no_funds_for_gas_but_for_value() {
    let net = Net::new();
    let poor = Address::repeat_byte(0x99);
    let free = CallRequest { from: poor, ..to(address(2), Bytes::new()) };
    assert_eq!(attempt(&net, &free, &Overrides::new()).unwrap().status, CallStatus::Success);
    let paid = CallRequest { value: U256::ONE, ..free.clone() };
    let refused = attempt(&net, &paid, &Overrides::new());
    assert!(matches!(refused, Err(CallError::Rejected(Rejection::InsufficientFunds { .. }))), "{refused:?}");
    let mut overrides = Overrides::new();
    overrides.insert(poor, AccountOverride { balance: Some(U256::ONE), ..AccountOverride::default() });
    assert_eq!(attempt(&net, &paid, &overrides).unwrap().status, CallStatus::Success);
}

#[test]
fn a_contract_may_be_the_caller() {
    let mut net = Net::new();
    let caller = net.deploy(1, &bytecode("Caller"));
    let request = CallRequest { from: caller, ..to(address(2), Bytes::new()) };
    assert_eq!(attempt(&net, &request, &Overrides::new()).unwrap().status, CallStatus::Success);
}

#[test]
fn overrides_replace_code_and_storage() {
    let net = Net::new();
    let at = Address::repeat_byte(0x55);
    let read = |storage| {
        let change = AccountOverride { code: Some(READER), storage, ..AccountOverride::default() };
        let outcome = attempt(&net, &to(at, Bytes::new()), &[(at, change)].into()).unwrap();
        U256::from_be_slice(&outcome.output)
    };
    let slots = |value: u64| BTreeMap::from([(U256::ZERO, U256::from(value))]);
    assert_eq!(read(None), U256::ZERO);
    assert_eq!(read(Some(StorageOverride::All(slots(5)))), U256::from(5));
    assert_eq!(read(Some(StorageOverride::Some(slots(6)))), U256::from(6));
}

#[test]
fn full_override_hides_stored_slots() {
    let mut net = Net::new();
    let at = Address::repeat_byte(0x55);
    net.state.storage.insert((at, U256::ZERO), U256::from(7));
    let code = Some(READER);
    let mut change = AccountOverride { code, ..AccountOverride::default() };
    let outcome = attempt(&net, &to(at, Bytes::new()), &[(at, change.clone())].into()).unwrap();
    assert_eq!(U256::from_be_slice(&outcome.output), U256::from(7));
    change.storage = Some(StorageOverride::All(BTreeMap::new()));
    let outcome = attempt(&net, &to(at, Bytes::new()), &[(at, change)].into()).unwrap();
    assert_eq!(U256::from_be_slice(&outcome.output), U256::ZERO);
}

#[test]
fn nonce_override_moves_the_created_address() {
    let net = Net::new();
    let create = CallRequest { to: None, ..to(Address::ZERO, bytes!("00")) };
    let plain = attempt(&net, &create, &Overrides::new()).unwrap().created.unwrap();
    assert_eq!(plain, address(1).create(0));
    let change = AccountOverride { nonce: Some(8), ..AccountOverride::default() };
    let moved = attempt(&net, &create, &[(address(1), change)].into()).unwrap().created.unwrap();
    assert_eq!(moved, address(1).create(8));
}

#[test]
fn malformed_override_code_is_refused() {
    let net = Net::new();
    let code = Some(bytes!("ef0100"));
    let overrides = [(address(9), AccountOverride { code, ..AccountOverride::default() })].into();
    let refused = attempt(&net, &to(address(9), Bytes::new()), &overrides);
    assert!(matches!(refused, Err(CallError::Code(at)) if at == address(9)));
}

#[test]
fn a_transfer_is_estimated_exactly() {
    let net = Net::new();
    assert_eq!(estimate(&net, &to(address(2), Bytes::new())).unwrap(), 21_000);
    let priced = CallRequest { gas_price: 10_000, value: U256::ONE, ..to(address(2), Bytes::new()) };
    assert_eq!(estimate(&net, &priced).unwrap(), 21_000);
}

#[test]
fn an_estimate_is_enough_and_hardly_more() {
    let mut net = Net::new();
    let caller = net.deploy(1, &bytecode("Caller"));
    alloy_sol_types::sol! {
        function open(address channels, address worker, address signer, bytes32 salt) external payable returns (bytes32);
    }
    let direct = IChannels::openCall { worker: address(2), signer: Address::ZERO, salt: B256::ZERO };
    let nested =
        openCall { channels: channels::ADDRESS, worker: address(2), signer: address(3), salt: B256::ZERO };
    for (at, input) in [(channels::ADDRESS, direct.abi_encode()), (caller, nested.abi_encode())] {
        let request = CallRequest { value: U256::from(COIN), ..to(at, input) };
        let gas = estimate(&net, &request).unwrap();
        let with = |gas| {
            let limited = CallRequest { gas: Some(gas), ..request.clone() };
            attempt(&net, &limited, &Overrides::new()).unwrap().status
        };
        assert_eq!(with(gas), CallStatus::Success);
        assert_ne!(with(gas - gas / 50), CallStatus::Success, "{gas} is far too much");
    }
}

#[test]
fn estimates_fail_with_the_reason() {
    let net = Net::new();
    let unknown = tacit_abi::IReceipts::anchorOfCall { root: B256::ZERO };
    let refused = estimate(&net, &to(receipts::ADDRESS, unknown.abi_encode()));
    assert!(matches!(refused, Err(EstimateError::Revert(reason)) if !reason.is_empty()));
    let infinite = CallRequest { to: None, ..to(Address::ZERO, bytes!("5b600056")) };
    assert!(matches!(estimate(&net, &infinite), Err(EstimateError::Halt(HaltReason::OutOfGas(_)))));
    let poor = CallRequest {
        from: Address::repeat_byte(0x99),
        gas_price: 1,
        value: U256::ONE,
        ..to(address(2), Bytes::new())
    };
    let refused = estimate(&net, &poor);
    assert!(matches!(
        refused,
        Err(EstimateError::Call(CallError::Rejected(Rejection::InsufficientFunds { .. })))
    ));
}
