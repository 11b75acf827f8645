//! Calls and gas estimates.

use crate::support::{COIN, Net, address, bytecode};
use alloy_primitives::{Address, B256, Bytes, U256, bytes};
use alloy_sol_types::{SolCall, SolError};
use std::collections::BTreeMap;
use tacit_abi::{IAsks, IChannels, IModels, IStakes, asks, channels, models, receipts, stakes};
use tacit_ledger::{
    AccountOverride, BlockContext, CallError, CallOutcome, CallRequest, CallStatus, EstimateError,
    HaltReason, NoCode, OverrideError, Overrides, Rejection, StorageOverride, call, estimate_gas,
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
    assert!(matches!(refused, Err(CallError::Override(OverrideError::Code(at))) if at == address(9)));
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

/// Each of Ethereum's precompiles answers with its pure-Rust backend: known results on simple inputs.
#[test]
fn ethereum_precompiles_answer() {
    let net = Net::new();
    let run = |number: u16, input: Bytes| {
        let at = Address::from_word(U256::from(number).into());
        let outcome = attempt(&net, &to(at, input), &Overrides::new()).unwrap();
        assert_eq!(outcome.status, CallStatus::Success, "precompile {number:#x}");
        outcome.output
    };
    let one = U256::ONE.to_be_bytes::<32>();
    let zeros = |len: usize| Bytes::from(vec![0; len]);
    assert!(run(0x01, zeros(128)).is_empty(), "no signature, no address");
    let sha256_empty = bytes!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(run(0x02, Bytes::new()), sha256_empty);
    assert_eq!(run(0x03, Bytes::new())[12..], bytes!("9c1185a5c5e9fc54612808977ee8f548b2258d31")[..]);
    assert_eq!(run(0x04, sha256_empty.clone()), sha256_empty);
    // 3^2 mod 5
    let modexp = [one, one, one].concat().into_iter().chain([3, 2, 5]).collect::<Vec<u8>>();
    assert_eq!(run(0x05, modexp.into()), bytes!("04"));
    assert_eq!(run(0x06, zeros(128)), zeros(64));
    assert_eq!(run(0x07, zeros(96)), zeros(64));
    assert_eq!(run(0x08, Bytes::new())[..], one);
    assert_eq!(run(0x09, zeros(213)).len(), 64);
    // KZG: the zero polynomial is zero everywhere; commitment and proof are the point at infinity.
    let infinity = [&[0xc0][..], &[0; 47]].concat();
    let mut hash = run(0x02, infinity.clone().into()).to_vec();
    hash[0] = 1;
    let kzg = [&hash[..], &[0; 64], &infinity, &infinity].concat();
    assert_eq!(run(0x0a, kzg.into()).len(), 64);
    assert_eq!(run(0x0b, zeros(256)), zeros(128));
    assert_eq!(run(0x0c, zeros(160)), zeros(128));
    assert_eq!(run(0x0d, zeros(512)), zeros(256));
    assert_eq!(run(0x0e, zeros(288)), zeros(256));
    assert_eq!(run(0x0f, zeros(384))[..], one);
    assert_eq!(run(0x10, zeros(64)).len(), 128);
    assert_eq!(run(0x11, zeros(128)).len(), 256);
    assert!(run(0x100, zeros(160)).is_empty(), "no P-256 signature");
}

/// At every gas limit a module call either succeeds at one fixed price or takes the whole limit.
#[test]
fn running_dry_never_costs_less() {
    let net = Net::new();
    let open = IChannels::openCall { worker: address(2), signer: Address::ZERO, salt: B256::ZERO };
    let request = CallRequest { value: U256::from(COIN), ..to(channels::ADDRESS, open.abi_encode()) };
    let price = attempt(&net, &request, &Overrides::new()).unwrap().gas_used;
    let mut failures = 0;
    for gas in (23_000..price + 5_000).step_by(499) {
        let limited = CallRequest { gas: Some(gas), ..request.clone() };
        let outcome = attempt(&net, &limited, &Overrides::new()).unwrap();
        match outcome.status {
            CallStatus::Success => assert_eq!(outcome.gas_used, price),
            CallStatus::Halt(HaltReason::OutOfGas(_)) => {
                failures += 1;
                assert_eq!(outcome.gas_used, gas);
            }
            other => panic!("{gas}: {other:?}"),
        }
    }
    assert!(failures > 100);
}

/// Clearing slots earns the EVM's refund, capped at a fifth of the gas (EIP-3529).
#[test]
fn refunds_of_a_module_reach_the_sender() {
    let mut net = Net::new();
    let id = B256::repeat_byte(1);
    let publish = IModels::publishCall { modelId: id, weightRoot: id, name: "m".into() };
    let terms = IAsks::Terms {
        privacy: 0,
        evidence: 0,
        price: 1,
        promptPrice: 1,
        completionPrice: 1,
        capacity: 1,
        validUntil: net.head.timestamp + 1_000,
        sealingKey: id,
        endpoint: "http://w".into(),
    };
    net.send(1, models::ADDRESS, 0, publish.abi_encode());
    net.send(1, stakes::ADDRESS, COIN, IStakes::bondCall {}.abi_encode());
    net.send(1, asks::ADDRESS, 0, IAsks::setCall { modelId: id, terms }.abi_encode());
    let remove = IAsks::removeCall { modelId: id, privacy: 0, evidence: 0 };
    let outcome = net.call(asks::ADDRESS, remove.abi_encode());
    assert_eq!(outcome.status, CallStatus::Success);
    assert_eq!(outcome.gas_refunded, (outcome.gas_used + outcome.gas_refunded) / 5);
}

/// Instructions that only the newest rules know: `CLZ` (Osaka), `MCOPY` and `TLOAD` (Cancun), `PUSH0` (Shanghai).
#[test]
fn the_newest_rules_are_in_force() {
    let net = Net::new();
    let run = |code: Bytes| {
        let at = Address::repeat_byte(0x55);
        let change = AccountOverride { code: Some(code), ..AccountOverride::default() };
        let outcome = attempt(&net, &to(at, Bytes::new()), &[(at, change)].into()).unwrap();
        assert_eq!(outcome.status, CallStatus::Success);
        U256::from_be_slice(&outcome.output)
    };
    // MSTORE(0, CLZ(1)) RETURN(0, 32)
    assert_eq!(run(bytes!("60011e5f5260205ff3")), U256::from(255));
    // TSTORE(0, 7) MSTORE(32, TLOAD(0)) MCOPY(0, 32, 32) RETURN(0, 32)
    assert_eq!(run(bytes!("60075f5d5f5c6020526020602060005e60205ff3")), U256::from(7));
}
