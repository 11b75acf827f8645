//! Modules as Solidity contracts meet them: calls that revert, run dry, borrow or only read.

use crate::support::{CHAIN_ID, COIN, Net, address, bytecode, key};
use alloy_consensus::crypto::secp256k1::sign_message;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolError, SolEvent, SolStruct};
use tacit_abi::{
    IAsks, IChannels, IModels, IModule, IReceipts, IStakes, Voucher, asks,
    channels::{self, GRACE_S, channel_id},
    models, receipts, stakes, validators,
};
use tacit_ledger::{CallRequest, HaltReason};

alloy_sol_types::sol! {
    #[derive(Debug)]
    interface ICaller {
        event Before();
        error ChangedMind();

        function counter() external view returns (uint256);
        function open(address channels, address worker, address signer, bytes32 salt) external payable returns (bytes32);
        function openThenRevert(address channels, address worker, bytes32 salt) external payable;
        function openAndSurvive(address channels, address worker, bytes32 salt) external payable returns (bytes memory reason);
        function tryCall(address target, uint256 gasLimit, bytes calldata data) external payable returns (bool ok, bytes memory out, uint256 used);
        function tryStatic(address target, bytes calldata data) external view returns (bool, bytes memory);
        function tryDelegate(address target, bytes calldata data) external returns (bool, bytes memory);
        function size(address target) external view returns (uint256);
    }
}

const SALT: B256 = B256::repeat_byte(0x5a);

fn net_with_caller() -> (Net, Address) {
    let mut net = Net::new();
    let caller = net.deploy(1, &bytecode("Caller"));
    (net, caller)
}

fn voucher(secret: B256, channel: B256, cumulative: u128) -> Bytes {
    let digest = Voucher { channelId: channel, cumulative }.eip712_signing_hash(&channels::domain(CHAIN_ID));
    sign_message(secret, digest).unwrap().as_bytes().into()
}

fn open(net: &mut Net) -> B256 {
    let call = IChannels::openCall { worker: address(2), signer: Address::ZERO, salt: SALT };
    let outcome = net.send(1, channels::ADDRESS, COIN, call.abi_encode());
    assert!(outcome.receipt.status());
    IChannels::openCall::abi_decode_returns_validate(&outcome.output).unwrap()
}

#[test]
fn a_channel_lives_its_whole_life_on_the_ledger() {
    let mut net = Net::new();
    let id = open(&mut net);
    assert_eq!(id, channel_id(CHAIN_ID, address(1), address(2), address(1), SALT));
    assert_eq!(net.balance(channels::ADDRESS), U256::from(COIN));

    let signature = voucher(key(1).0, id, COIN / 4);
    let settle = IChannels::settleCall { channelId: id, cumulative: COIN / 4, signature };
    let before = net.balance(address(2));
    let outcome = net.send(3, channels::ADDRESS, 0, settle.abi_encode());
    assert!(outcome.receipt.status());
    assert_eq!(net.balance(address(2)), before + U256::from(COIN / 4));
    let log = &outcome.receipt.logs()[0];
    let settled = IChannels::Settled::decode_log_validate(log).unwrap();
    assert_eq!((log.address, settled.paid), (channels::ADDRESS, COIN / 4));
    assert!(net.head.logs_bloom.contains_log(log));

    let outcome = net.send(3, channels::ADDRESS, 0, settle.abi_encode());
    assert!(!outcome.receipt.status());
    let stale = IChannels::StaleVoucher { settled: COIN / 4, cumulative: COIN / 4 };
    assert_eq!(outcome.output, stale.abi_encode());

    let request = IChannels::requestCloseCall { channelId: id };
    assert!(net.send(1, channels::ADDRESS, 0, request.abi_encode()).receipt.status());
    let close = IChannels::closeCall { channelId: id }.abi_encode();
    assert!(!net.send(1, channels::ADDRESS, 0, close.clone()).receipt.status());
    let mut attributes = net.attributes();
    attributes.timestamp += GRACE_S;
    let _ = net.mine_with(&attributes, Vec::new());
    assert!(net.send(1, channels::ADDRESS, 0, close).receipt.status());
    assert_eq!(net.balance(channels::ADDRESS), U256::ZERO);
    let record = net.view(channels::ADDRESS, &IChannels::channelCall { channelId: id });
    assert!(!record.open);
    assert_eq!(record.settled, COIN / 4);
}

#[test]
fn models_and_receipts_work_on_the_ledger() {
    let mut net = Net::new();
    let id = B256::repeat_byte(0xd1);
    let publish = IModels::publishCall { modelId: id, weightRoot: SALT, name: "digits".into() };
    assert!(net.send(1, models::ADDRESS, 0, publish.abi_encode()).receipt.status());
    let endpoint = format!("http://{}", "w".repeat(60));
    assert!(net.send(2, stakes::ADDRESS, COIN, IStakes::bondCall {}.abi_encode()).receipt.status());
    let ask = IAsks::setCall { modelId: id, terms: terms(&net, &endpoint) };
    assert!(net.send(2, asks::ADDRESS, 0, ask.abi_encode()).receipt.status());
    assert_eq!(net.view(models::ADDRESS, &IModels::byNameCall { name: "digits".into() }), id);
    let listed = net.view(asks::ADDRESS, &IAsks::pageCall { modelId: id, from: 0, limit: 8 });
    assert_eq!((listed.len(), listed[0].worker, listed[0].bonded), (1, address(2), COIN));
    assert_eq!(listed[0].terms.endpoint, endpoint);
    assert_eq!(net.balance(stakes::ADDRESS), U256::from(COIN));
    assert_eq!(net.view(models::ADDRESS, &IModels::modelAtCall { index: 0 }).block, 1);

    let leaves = [B256::repeat_byte(1), B256::repeat_byte(2), B256::repeat_byte(3)];
    let root = receipts::root(&leaves).unwrap();
    let anchor = IReceipts::anchorCall { root, count: 3 };
    assert!(net.send(2, receipts::ADDRESS, 0, anchor.abi_encode()).receipt.status());
    let proof = receipts::proof(&leaves, 2).unwrap();
    assert!(net.view(receipts::ADDRESS, &IReceipts::includedCall { root, leaf: leaves[2], proof }));
}

#[test]
fn solidity_sees_a_contract_and_reads_what_it_wrote() {
    let (mut net, caller) = net_with_caller();
    assert_eq!(net.view(caller, &ICaller::sizeCall { target: channels::ADDRESS }), U256::ONE);
    let call =
        ICaller::openCall { channels: channels::ADDRESS, worker: address(2), signer: address(1), salt: SALT };
    let outcome = net.send(1, caller, COIN, call.abi_encode());
    assert!(outcome.receipt.status());
    // The contract is the client, its person the signer.
    let id = channel_id(CHAIN_ID, caller, address(2), address(1), SALT);
    assert_eq!(*outcome.output, id[..]);
    let record = net.view(channels::ADDRESS, &IChannels::channelCall { channelId: id });
    assert_eq!((record.client, record.signer, record.deposit), (caller, address(1), COIN));
}

#[test]
fn a_solidity_revert_takes_back_writes_logs_and_coin() {
    let (mut net, caller) = net_with_caller();
    let call = ICaller::openThenRevertCall { channels: channels::ADDRESS, worker: address(2), salt: SALT };
    let before = net.state.clone();
    let outcome = net.send(1, caller, COIN, call.abi_encode());
    assert!(!outcome.receipt.status());
    assert_eq!(outcome.output, ICaller::ChangedMind {}.abi_encode());
    assert!(outcome.receipt.logs().is_empty());
    assert_eq!(net.state.storage, before.storage);
    assert_eq!(net.balance(channels::ADDRESS), U256::ZERO);
    let cost = U256::from(u128::from(outcome.gas_used) * outcome.effective_gas_price);
    assert_eq!(net.balance(address(1)) + cost, before.accounts[&address(1)].balance);
}

#[test]
fn a_caught_revert_takes_back_the_inner_call_only() {
    let (mut net, caller) = net_with_caller();
    let call = ICaller::openAndSurviveCall { channels: channels::ADDRESS, worker: address(2), salt: SALT };
    let outcome = net.send(1, caller, COIN, call.abi_encode());
    assert!(outcome.receipt.status(), "{}", outcome.output);
    assert!(outcome.receipt.logs().is_empty());
    assert_eq!(net.view(caller, &ICaller::counterCall {}), U256::ONE);
    assert_eq!(net.balance(channels::ADDRESS), U256::ZERO);
    assert_eq!(net.balance(caller), U256::from(COIN));
    assert!(net.state.storage.keys().all(|(address, _)| [caller, validators::ADDRESS].contains(address)));
}

#[test]
fn running_dry_inside_a_module_takes_everything_back_and_all_its_gas() {
    let (mut net, caller) = net_with_caller();
    let open = IChannels::openCall { worker: address(2), signer: Address::ZERO, salt: SALT }.abi_encode();
    let attempt = |net: &Net, gas: u64| {
        let call = ICaller::tryCallCall {
            target: channels::ADDRESS,
            gasLimit: U256::from(gas),
            data: open.clone().into(),
        };
        let request = CallRequest {
            from: address(1),
            to: Some(caller),
            value: U256::from(COIN),
            input: call.abi_encode().into(),
            ..CallRequest::default()
        };
        let outcome = net.request(&request);
        let returned = ICaller::tryCallCall::abi_decode_returns_validate(&outcome.output).unwrap();
        (returned, outcome.logs.len())
    };
    let (full, logs) = attempt(&net, 1_000_000);
    assert!(full.ok);
    assert_eq!(logs, 1);
    let overhead = 9_000 - 2_300 + 2_000;
    let needed: u64 = full.used.to::<u64>() - overhead;
    let mut failures = 0;
    // The call itself adds a stipend of 2300 to the limit.
    for gas in (0..needed).step_by(1_511) {
        let (tried, logs) = attempt(&net, gas);
        if tried.ok {
            continue;
        }
        failures += 1;
        assert!(tried.out.is_empty(), "running dry says nothing");
        assert_eq!(logs, 0);
        assert!(tried.used >= U256::from(gas), "all gas of the call is gone");
    }
    assert!(failures > 40, "{failures}");
    // In a real transaction, too: nothing of the inner call remains and the outer call keeps the coin.
    let call =
        ICaller::tryCallCall { target: channels::ADDRESS, gasLimit: U256::from(60_000), data: open.into() };
    let outcome = net.send(1, caller, COIN, call.abi_encode());
    assert!(outcome.receipt.status());
    assert!(outcome.receipt.logs().is_empty());
    assert_eq!(net.balance(caller), U256::from(COIN));
    assert!(net.state.storage.keys().all(|(address, _)| *address != channels::ADDRESS));
}

#[test]
fn a_transaction_that_runs_dry_in_a_module_uses_its_whole_limit() {
    let mut net = Net::new();
    let input = IChannels::openCall { worker: address(2), signer: Address::ZERO, salt: SALT }.abi_encode();
    let draft = crate::support::Draft {
        to: alloy_primitives::TxKind::Call(channels::ADDRESS),
        value: COIN,
        gas: 60_000,
        input: input.into(),
        ..crate::support::Draft::new(1, 0)
    };
    let built = net.mine(vec![draft.sign()]);
    let outcome = &built.executed.outcomes[0];
    assert!(matches!(outcome.halt, Some(HaltReason::OutOfGas(_))), "{:?}", outcome.halt);
    assert_eq!(outcome.gas_used, 60_000);
    assert_eq!(net.balance(channels::ADDRESS), U256::ZERO);
}

#[test]
fn a_static_call_reads_but_does_not_write() {
    let (mut net, caller) = net_with_caller();
    let id = open(&mut net);
    let read = IChannels::channelCall { channelId: id }.abi_encode();
    let call = ICaller::tryStaticCall { target: channels::ADDRESS, data: read.into() };
    let returned = net.view(caller, &call);
    assert!(returned._0);
    assert!(IChannels::channelCall::abi_decode_returns_validate(&returned._1).unwrap().open);
    let write = IChannels::requestCloseCall { channelId: id }.abi_encode();
    let returned =
        net.view(caller, &ICaller::tryStaticCall { target: channels::ADDRESS, data: write.into() });
    assert!(!returned._0);
    assert_eq!(returned._1, IModule::StaticCall {}.abi_encode());
}

#[test]
fn a_module_is_not_borrowed() {
    let (net, caller) = net_with_caller();
    for data in [
        IChannels::channelCall { channelId: SALT }.abi_encode(),
        IChannels::openCall { worker: address(2), signer: address(1), salt: SALT }.abi_encode(),
    ] {
        let returned =
            net.view(caller, &ICaller::tryDelegateCall { target: channels::ADDRESS, data: data.into() });
        assert!(!returned._0);
        assert_eq!(returned._1, IModule::DelegateCall {}.abi_encode());
    }
}

/// EIP-7702: an account that points its code at a module runs the byte 0xEF, not the module.
#[test]
fn delegating_an_account_to_a_module_gives_it_nothing() {
    let mut net = Net::new();
    let authorization = alloy_eips::eip7702::Authorization {
        chain_id: U256::from(CHAIN_ID),
        address: channels::ADDRESS,
        nonce: 0,
    };
    let signature = sign_message(key(3).0, authorization.signature_hash()).unwrap();
    let transaction = alloy_consensus::TxEip7702 {
        chain_id: CHAIN_ID,
        nonce: 0,
        gas_limit: 500_000,
        max_fee_per_gas: 2_000,
        max_priority_fee_per_gas: 1,
        to: address(3),
        value: U256::from(COIN),
        access_list: Default::default(),
        authorization_list: vec![authorization.into_signed(signature)],
        input: IChannels::openCall { worker: address(2), signer: address(1), salt: SALT }.abi_encode().into(),
    };
    let built = net.mine(vec![crate::support::sign(1, transaction)]);
    assert_eq!(built.executed.outcomes[0].halt, Some(HaltReason::OpcodeNotFound));
    assert!(built.executed.changes.storage.is_empty());
    assert_eq!(net.balance(channels::ADDRESS), U256::ZERO);
}

#[test]
fn plain_coin_sent_to_a_module_comes_back() {
    let mut net = Net::new();
    let outcome = net.send(1, channels::ADDRESS, COIN, Bytes::new());
    assert!(!outcome.receipt.status());
    assert_eq!(outcome.output, IModule::UnknownSelector { selector: [0; 4].into() }.abi_encode());
    assert_eq!(net.balance(channels::ADDRESS), U256::ZERO);
}

fn terms(net: &Net, endpoint: &str) -> IAsks::Terms {
    IAsks::Terms {
        privacy: 1,
        evidence: 3,
        price: 200,
        promptPrice: 1,
        completionPrice: 2,
        capacity: 4,
        validUntil: net.head.timestamp + 1_000,
        sealingKey: SALT,
        endpoint: endpoint.to_owned(),
    }
}

/// Golden gas: these figures are consensus. A change here is a hard fork.
#[test]
fn gas_is_what_it_was() {
    let mut net = Net::new();
    let mut used = Vec::new();
    let id = B256::repeat_byte(0xd1);
    let open = IChannels::openCall { worker: address(2), signer: Address::ZERO, salt: SALT };
    let channel = channel_id(CHAIN_ID, address(1), address(2), address(1), SALT);
    let settle = |cumulative| IChannels::settleCall {
        channelId: channel,
        cumulative,
        signature: voucher(key(1).0, channel, cumulative),
    };
    let ask = IAsks::setCall { modelId: id, terms: terms(&net, "http://127.0.0.1:9") };
    let remove = IAsks::removeCall { modelId: id, privacy: 1, evidence: 3 };
    let publish = IModels::publishCall { modelId: id, weightRoot: SALT, name: "digits".into() };
    for (from, to, value, input) in [
        (1, models::ADDRESS, 0, publish.abi_encode()),
        (2, stakes::ADDRESS, COIN, IStakes::bondCall {}.abi_encode()),
        (2, asks::ADDRESS, 0, ask.abi_encode()),
        (2, asks::ADDRESS, 0, remove.abi_encode()),
        (3, asks::ADDRESS, 0, IAsks::beatCall {}.abi_encode()),
        (1, channels::ADDRESS, COIN, open.abi_encode()),
        (1, channels::ADDRESS, 1, IChannels::topUpCall { channelId: channel }.abi_encode()),
        (3, channels::ADDRESS, 0, settle(0x1111).abi_encode()),
        (3, channels::ADDRESS, 0, settle(0x2222).abi_encode()),
        (1, channels::ADDRESS, 0, IChannels::requestCloseCall { channelId: channel }.abi_encode()),
        (2, receipts::ADDRESS, 0, IReceipts::anchorCall { root: SALT, count: 3 }.abi_encode()),
    ] {
        let outcome = net.send(from, to, value, input);
        assert!(outcome.receipt.status());
        used.push(outcome.gas_used);
    }
    assert_eq!(used, GOLDEN_GAS);
    // A worker's first beat is dearer than those that follow.
    let mut attributes = net.attributes();
    attributes.timestamp += asks::HOUR_S;
    let _ = net.mine_with(&attributes, Vec::new());
    let beat = net.send(3, asks::ADDRESS, 0, IAsks::beatCall {}.abi_encode());
    assert!(beat.receipt.status());
    assert_eq!(beat.gas_used, BEAT_GAS);
}

/// A beat that is not the first.
const BEAT_GAS: u64 = 26_154;
/// publish, bond, set an ask, remove it, a first beat, open, topUp, settle twice, requestClose, anchor.
const GOLDEN_GAS: [u64; 11] =
    [157_932, 47_049, 230_442, 51_344, 43_254, 112_991, 34_567, 51_480, 51_480, 34_311, 45_632];
