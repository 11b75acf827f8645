//! Building and verifying blocks: what is included, what is left out and why, what a false header gives away.

use crate::support::{CHAIN_ID, COIN, Draft, Net, address, genesis, key, sign};
use alloy_consensus::{
    Block, SignableTransaction, Transaction, TxEip2930, TxEip4844, TxEip7702, TxEnvelope, TxLegacy,
    crypto::secp256k1::sign_message, proofs::calculate_receipt_root, transaction::Recovered,
};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, bytes, hex};
use tacit_ledger::{
    Attributes, EXTRA_DATA_MAX, ExecuteError, HaltReason, HeaderField, Rejection, TRANSACTION_GAS_MAX,
    VerifyError, build, verify,
};

/// The only candidate of a block and why it was left out.
fn rejected(net: &mut Net, transaction: Recovered<TxEnvelope>) -> Rejection {
    let head = net.head.hash();
    let built = net.mine(vec![transaction]);
    assert!(built.executed.outcomes.is_empty());
    assert_eq!(built.block.header.parent_hash, head);
    assert_eq!(built.executed.rejected[0].index, 0);
    built.executed.rejected[0].reason.clone()
}

#[test]
fn a_transfer_moves_coin_and_pays_for_gas() {
    let mut net = Net::new();
    let before = net.balance(address(1));
    let outcome = net.send(1, address(2), COIN, Bytes::new());
    assert!(outcome.receipt.status());
    assert_eq!(outcome.gas_used, 21_000);
    let base_fee = u128::from(net.head.base_fee_per_gas.unwrap());
    assert_eq!(outcome.effective_gas_price, base_fee + 5);
    let paid = U256::from(COIN + 21_000 * (base_fee + 5));
    assert_eq!(net.balance(address(1)), before - paid);
    assert_eq!(net.balance(address(2)), before + U256::from(COIN));
    // The tip goes to the beneficiary, the base fee to nobody.
    assert_eq!(net.balance(Address::repeat_byte(0xfe)), U256::from(21_000 * 5));
    assert_eq!(net.nonce(1), 1);
}

#[test]
fn all_four_transaction_types_run_in_one_block() {
    let mut net = Net::new();
    let to = TxKind::Call(address(4));
    let legacy = TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce: 0,
        gas_price: 2_000,
        gas_limit: 21_000,
        to,
        value: U256::ONE,
        input: Bytes::new(),
    };
    let access = TxEip2930 {
        chain_id: CHAIN_ID,
        nonce: 1,
        gas_price: 2_000,
        gas_limit: 30_000,
        to,
        value: U256::ONE,
        access_list: Default::default(),
        input: Bytes::new(),
    };
    let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: address(4), nonce: 0 };
    let signature = sign_message(key(3).0, authorization.signature_hash()).unwrap();
    let delegating = TxEip7702 {
        chain_id: CHAIN_ID,
        nonce: 3,
        gas_limit: 100_000,
        max_fee_per_gas: 2_000,
        max_priority_fee_per_gas: 1,
        to: address(4),
        value: U256::ONE,
        access_list: Default::default(),
        authorization_list: vec![authorization.into_signed(signature)],
        input: Bytes::new(),
    };
    let built = net.mine(vec![
        sign(1, legacy),
        sign(1, access),
        Draft { to, value: 1, ..Draft::new(1, 2) }.sign(),
        sign(1, delegating),
    ]);
    assert!(built.executed.rejected.is_empty(), "{:?}", built.executed.rejected);
    let kinds: Vec<u8> = built.executed.outcomes.iter().map(|o| o.receipt.tx_type() as u8).collect();
    assert_eq!(kinds, [0, 1, 2, 4]);
    assert!(built.executed.outcomes.iter().all(|outcome| outcome.receipt.status()));
    // Person 3 now runs person 4's (empty) code.
    let delegated = net.state.accounts[&address(3)];
    assert_eq!(delegated.nonce, 1);
    assert_eq!(net.state.code[&delegated.code_hash][..3], hex!("ef0100"));
}

#[test]
fn cumulative_gas_bloom_and_roots_are_those_of_the_receipts() {
    let mut net = Net::new();
    let candidates = (0..5).map(|nonce| Draft::new(1, nonce).sign()).collect();
    let built = net.mine(candidates);
    let cumulative: Vec<u64> =
        built.executed.outcomes.iter().map(|outcome| outcome.receipt.cumulative_gas_used()).collect();
    assert_eq!(cumulative, [21_000, 42_000, 63_000, 84_000, 105_000]);
    assert_eq!(built.block.header.gas_used, 105_000);
    let receipts: Vec<_> = built.executed.outcomes.iter().map(|o| o.receipt.clone()).collect();
    assert_eq!(built.block.header.receipts_root, calculate_receipt_root(&receipts));
}

#[test]
fn the_block_survives_its_encoding() {
    let mut net = Net::new();
    let built = net.mine(vec![Draft::new(1, 0).sign()]);
    let bytes = alloy_rlp::encode(&*built.block);
    let decoded: Block<TxEnvelope> = alloy_rlp::Decodable::decode(&mut bytes.as_slice()).unwrap();
    assert_eq!(decoded, *built.block);
    assert_eq!(decoded.header.hash_slow(), built.block.hash());
}

#[test]
fn a_used_nonce_is_left_out() {
    let mut net = Net::new();
    net.send(1, address(2), 1, Bytes::new());
    let reason = rejected(&mut net, Draft::new(1, 0).sign());
    assert_eq!(reason, Rejection::NonceTooLow { expected: 1, got: 0 });
}

#[test]
fn a_nonce_gap_is_left_out() {
    let mut net = Net::new();
    let reason = rejected(&mut net, Draft::new(1, 5).sign());
    assert_eq!(reason, Rejection::NonceTooHigh { expected: 0, got: 5 });
}

#[test]
fn a_sender_without_funds_is_left_out() {
    let mut net = Net::new();
    let draft = Draft { value: 2_000 * COIN, gas: 21_000, ..Draft::new(1, 0) };
    let reason = rejected(&mut net, draft.sign());
    let balance = U256::from(1_000 * COIN);
    let needed = U256::from(2_000 * COIN + 21_000 * 1_000_000);
    assert_eq!(reason, Rejection::InsufficientFunds { needed, balance });
}

#[test]
fn a_cost_that_overflows_is_left_out() {
    let mut net = Net::new();
    let legacy = TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce: 0,
        gas_price: u128::MAX,
        gas_limit: 21_000,
        to: TxKind::Call(address(2)),
        value: U256::MAX,
        input: Bytes::new(),
    };
    assert_eq!(rejected(&mut net, sign(1, legacy)), Rejection::CostOverflow);
}

#[test]
fn a_fee_below_the_base_fee_is_left_out() {
    let mut net = Net::new();
    let draft = Draft { fee: 10, tip: 0, ..Draft::new(1, 0) };
    let base_fee = net.chain.next_base_fee(&net.head);
    assert_eq!(rejected(&mut net, draft.sign()), Rejection::FeeBelowBase { base_fee });
}

#[test]
fn a_tip_above_the_fee_is_left_out() {
    let mut net = Net::new();
    let draft = Draft { fee: 2_000, tip: 2_001, ..Draft::new(1, 0) };
    assert_eq!(rejected(&mut net, draft.sign()), Rejection::TipAboveFee);
}

#[test]
fn gas_above_the_cap_is_left_out() {
    let mut net = Net::new();
    let got = TRANSACTION_GAS_MAX + 1;
    let reason = rejected(&mut net, Draft { gas: got, ..Draft::new(1, 0) }.sign());
    assert_eq!(reason, Rejection::GasAboveCap { limit: TRANSACTION_GAS_MAX, got });
}

#[test]
fn what_no_longer_fits_the_block_is_left_out() {
    let mut genesis = genesis();
    genesis.chain.gas_limit = 50_000;
    let mut net = Net::from(&genesis);
    let draft = |nonce| Draft { gas: 29_001, ..Draft::new(1, nonce) }.sign();
    let built = net.mine(vec![draft(0), draft(1)]);
    assert_eq!(built.executed.outcomes.len(), 1);
    let rejected = &built.executed.rejected[0];
    assert_eq!((rejected.index, &rejected.reason), (1, &Rejection::BlockFull { left: 29_000, got: 29_001 }));
}

#[test]
fn too_little_gas_to_begin_is_left_out() {
    let mut net = Net::new();
    let reason = rejected(&mut net, Draft { gas: 20_999, ..Draft::new(1, 0) }.sign());
    assert_eq!(reason, Rejection::IntrinsicGas { needed: 21_000, got: 20_999 });
    // EIP-7623: a thousand non-zero bytes have a floor of their own.
    let input = Bytes::from(vec![1; 1_000]);
    let reason = rejected(&mut net, Draft { gas: 40_000, input, ..Draft::new(1, 0) }.sign());
    assert_eq!(reason, Rejection::IntrinsicGas { needed: 61_000, got: 40_000 });
}

#[test]
fn a_sender_with_code_is_left_out() {
    let mut genesis = genesis();
    genesis.alloc.held().unwrap().get_mut(&address(1)).unwrap().code = bytes!("00");
    let mut net = Net::from(&genesis);
    assert_eq!(rejected(&mut net, Draft::new(1, 0).sign()), Rejection::SenderHasCode);
}

#[test]
fn another_chains_transaction_is_left_out() {
    let mut net = Net::new();
    let draft = Draft { chain_id: 1, ..Draft::new(1, 0) };
    assert_eq!(rejected(&mut net, draft.sign()), Rejection::WrongChain);
}

#[test]
fn overlong_init_code_is_left_out() {
    let mut net = Net::new();
    let input = Bytes::from(vec![0; 49_153]);
    let draft = Draft { to: TxKind::Create, gas: 10_000_000, input, ..Draft::new(1, 0) };
    assert_eq!(rejected(&mut net, draft.sign()), Rejection::InitCodeTooLong);
}

#[test]
fn blobs_are_left_out() {
    let mut net = Net::new();
    let blob = TxEip4844 {
        chain_id: CHAIN_ID,
        nonce: 0,
        gas_limit: 100_000,
        max_fee_per_gas: 10_000,
        max_priority_fee_per_gas: 1,
        to: address(2),
        value: U256::ZERO,
        access_list: Default::default(),
        blob_versioned_hashes: vec![B256::with_last_byte(1)],
        max_fee_per_blob_gas: 10,
        input: Bytes::new(),
    };
    let signature = sign_message(key(1).0, blob.signature_hash()).unwrap();
    let signed = blob.into_signed(signature);
    let envelope = TxEnvelope::Eip4844(signed.map(Into::into));
    assert_eq!(rejected(&mut net, Recovered::new_unchecked(envelope, address(1))), Rejection::Blob);
}

#[test]
fn a_delegation_without_authorizations_is_left_out() {
    let mut net = Net::new();
    let empty = TxEip7702 {
        chain_id: CHAIN_ID,
        nonce: 0,
        gas_limit: 100_000,
        max_fee_per_gas: 10_000,
        max_priority_fee_per_gas: 1,
        to: address(2),
        value: U256::ZERO,
        access_list: Default::default(),
        authorization_list: Vec::new(),
        input: Bytes::new(),
    };
    assert_eq!(rejected(&mut net, sign(1, empty)), Rejection::NoAuthorization);
}

#[test]
fn the_last_nonce_cannot_be_used() {
    let mut genesis = genesis();
    genesis.alloc.held().unwrap().get_mut(&address(1)).unwrap().nonce = u64::MAX;
    let mut net = Net::from(&genesis);
    assert_eq!(rejected(&mut net, Draft::new(1, u64::MAX).sign()), Rejection::NonceOverflow);
}

#[test]
fn a_left_out_candidate_does_not_hold_up_the_next() {
    let mut net = Net::new();
    let built = net.mine(vec![Draft::new(1, 3).sign(), Draft::new(1, 0).sign(), Draft::new(2, 0).sign()]);
    assert_eq!(built.executed.transactions.len(), 2);
    assert_eq!(built.executed.transactions[1].signer(), address(2));
}

#[test]
fn a_failed_transaction_pays_and_changes_nothing_else() {
    let mut net = Net::new();
    // PUSH1 0 PUSH1 0 REVERT, and INVALID, as init code.
    for (code, halts) in [(bytes!("60006000fd"), false), (bytes!("fe"), true)] {
        let before = net.balance(address(1));
        let draft = Draft { to: TxKind::Create, input: code, value: 9, ..Draft::new(1, net.nonce(1)) };
        let built = net.mine(vec![draft.sign()]);
        let outcome = &built.executed.outcomes[0];
        assert!(!outcome.receipt.status());
        assert_eq!(outcome.halt.is_some(), halts);
        assert_eq!(outcome.created, None);
        let cost = U256::from(u128::from(outcome.gas_used) * outcome.effective_gas_price);
        assert_eq!(net.balance(address(1)), before - cost);
    }
    assert_eq!(net.nonce(1), 2);
}

#[test]
fn deployed_code_cannot_pass_for_a_module() {
    let mut net = Net::new();
    // MSTORE8(0, 0xEF) RETURN(0, 1)
    let input = bytes!("60ef60005360016000f3");
    let built = net.mine(vec![Draft { to: TxKind::Create, input, ..Draft::new(1, 0) }.sign()]);
    assert_eq!(built.executed.outcomes[0].halt, Some(HaltReason::CreateContractStartingWithEF));
}

#[test]
fn block_hashes_and_block_facts_reach_contracts() {
    let mut net = Net::new();
    let _ = net.mine(Vec::new());
    let parent = net.head.hash();
    // MSTORE(0, BLOCKHASH(NUMBER - 1)) RETURN(0, 32), run as init code of a call.
    let code = bytes!("6001430340600052" "60206000f3");
    let built = net.mine(vec![Draft { to: TxKind::Create, input: code, ..Draft::new(1, 0) }.sign()]);
    let created = built.executed.outcomes[0].created.unwrap();
    let account = net.state.accounts[&created];
    assert_eq!(net.state.code[&account.code_hash], Bytes::copy_from_slice(parent.as_slice()));
}

#[test]
fn a_contract_made_and_destroyed_in_one_transaction_leaves_nothing() {
    let mut net = Net::new();
    // SSTORE(0, 1) SELFDESTRUCT(CALLER) as init code.
    let code = bytes!("600160005533ff");
    let before = net.state.clone();
    let built =
        net.mine(vec![Draft { to: TxKind::Create, input: code, value: 5, ..Draft::new(1, 0) }.sign()]);
    assert!(built.executed.outcomes[0].receipt.status());
    assert!(built.executed.changes.storage.is_empty());
    assert_eq!(net.state.accounts.len(), before.accounts.len() + 1, "only the beneficiary is new");
}

#[test]
fn base_fee_follows_use_and_respects_the_floor() {
    let mut genesis = genesis();
    genesis.chain.gas_limit = 100_000;
    let mut net = Net::from(&genesis);
    let full = net.mine(vec![
        Draft { gas: 21_000, ..Draft::new(1, 0) }.sign(),
        Draft { gas: 21_000, ..Draft::new(1, 1) }.sign(),
        Draft { gas: 21_000, ..Draft::new(1, 2) }.sign(),
        Draft { gas: 21_000, ..Draft::new(1, 3) }.sign(),
    ]);
    let base_fee = full.block.header.base_fee_per_gas.unwrap();
    assert_eq!(base_fee, 875, "an empty genesis lowers it by an eighth");
    let _ = net.mine(Vec::new());
    assert!(net.head.base_fee_per_gas.unwrap() > base_fee);
    for _ in 0..60 {
        let _ = net.mine(Vec::new());
    }
    assert_eq!(net.head.base_fee_per_gas, Some(net.chain.base_fee_floor));
}

#[test]
fn attributes_are_checked() {
    let net = Net::new();
    let attempt = |attributes: &Attributes| {
        build(&net.chain, &net.head, attributes, &net.state, &net.commitment, Vec::new()).map(|_| ())
    };
    let long = Attributes { extra_data: vec![0; EXTRA_DATA_MAX + 1].into(), ..net.attributes() };
    assert!(matches!(attempt(&long), Err(ExecuteError::ExtraData { limit: 32, got: 33 })));
    let early = Attributes { timestamp: net.head.timestamp - 1, ..net.attributes() };
    assert!(matches!(attempt(&early), Err(ExecuteError::Timestamp { .. })));
    let same = Attributes { timestamp: net.head.timestamp, ..net.attributes() };
    attempt(&same).unwrap();
}

#[test]
fn heights_end() {
    let mut net = Net::new();
    let mut header = net.head.inner().clone();
    header.number = u64::MAX;
    net.head = alloy_consensus::Sealed::new_unchecked(header, B256::ZERO);
    let attempt = build(&net.chain, &net.head, &net.attributes(), &net.state, &net.commitment, Vec::new());
    assert!(matches!(attempt, Err(ExecuteError::Height)));
}

// ---- verification ----

/// A valid block on top of a fresh chain, and the chain.
fn valid() -> (Net, Block<TxEnvelope>) {
    let net = Net::new();
    let candidates = vec![Draft { value: 7, ..Draft::new(1, 0) }.sign(), Draft::new(2, 0).sign()];
    let built =
        build(&net.chain, &net.head, &net.attributes(), &net.state, &net.commitment, candidates).unwrap();
    (net, built.block.inner().clone())
}

fn check(net: &Net, block: &Block<TxEnvelope>) -> Result<(), VerifyError<tacit_ledger::NoCode>> {
    verify(&net.chain, &net.head, block, &net.state, &net.commitment).map(|_| ())
}

#[test]
fn every_false_header_field_is_named() {
    let (net, good) = valid();
    check(&net, &good).unwrap();
    type Tamper = fn(&mut Block<TxEnvelope>);
    let cases: [(Tamper, HeaderField); 17] = [
        (|b| b.header.parent_hash.0[0] ^= 1, HeaderField::ParentHash),
        (|b| b.header.number += 1, HeaderField::Number),
        (|b| b.header.gas_limit += 1, HeaderField::GasLimit),
        (|b| b.header.base_fee_per_gas = Some(1), HeaderField::BaseFee),
        (|b| b.header.base_fee_per_gas = None, HeaderField::BaseFee),
        (|b| b.header.gas_used += 1, HeaderField::GasUsed),
        (|b| b.header.transactions_root.0[0] ^= 1, HeaderField::TransactionsRoot),
        (|b| b.header.receipts_root.0[0] ^= 1, HeaderField::ReceiptsRoot),
        (|b| b.header.logs_bloom.0[0] ^= 1, HeaderField::LogsBloom),
        (|b| b.header.state_root.0[0] ^= 1, HeaderField::StateRoot),
        (|b| b.header.beneficiary.0[0] ^= 1, HeaderField::StateRoot),
        (|b| b.header.ommers_hash.0[0] ^= 1, HeaderField::Constant),
        (|b| b.header.difficulty = U256::ONE, HeaderField::Constant),
        (|b| b.header.withdrawals_root = None, HeaderField::Constant),
        (|b| b.header.blob_gas_used = Some(1), HeaderField::Constant),
        (|b| b.header.parent_beacon_block_root = None, HeaderField::Constant),
        (|b| b.header.requests_hash = None, HeaderField::Constant),
    ];
    for (tamper, field) in cases {
        let mut block = good.clone();
        tamper(&mut block);
        match check(&net, &block) {
            Err(VerifyError::Header(got)) => assert_eq!(got, field),
            other => panic!("{field:?}: {other:?}"),
        }
    }
}

#[test]
fn a_body_that_is_not_ours_is_refused() {
    let (net, good) = valid();
    let mut with_ommer = good.clone();
    with_ommer.body.ommers.push(good.header.clone());
    assert!(matches!(check(&net, &with_ommer), Err(VerifyError::Body)));
    let mut without_list = good.clone();
    without_list.body.withdrawals = None;
    assert!(matches!(check(&net, &without_list), Err(VerifyError::Body)));
}

#[test]
fn a_left_out_transaction_changes_the_header() {
    let (net, good) = valid();
    let mut shorter = good.clone();
    shorter.body.transactions.pop();
    assert!(matches!(check(&net, &shorter), Err(VerifyError::Header(HeaderField::GasUsed))));
}

#[test]
fn an_invalid_transaction_is_named_by_place() {
    let (net, mut block) = valid();
    block.body.transactions.push(Draft::new(3, 9).sign().into_inner());
    match check(&net, &block) {
        Err(VerifyError::Transaction {
            index: 2,
            reason: Rejection::NonceTooHigh { expected: 0, got: 9 },
        }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_mirrored_transaction_signature_is_refused() {
    let (net, mut block) = valid();
    let TxEnvelope::Eip1559(signed) = &block.body.transactions[0] else { panic!("type 2") };
    let (transaction, signature, _) = signed.clone().into_parts();
    let order = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141".parse::<U256>().unwrap();
    let mirrored = alloy_primitives::Signature::new(signature.r(), order - signature.s(), !signature.v());
    assert_eq!(transaction.value(), U256::from(7));
    block.body.transactions[0] = transaction.into_signed(mirrored).into();
    assert!(matches!(check(&net, &block), Err(VerifyError::Signature { index: 0 })));
}

#[test]
fn a_block_from_before_its_parent_is_refused() {
    let (net, mut block) = valid();
    block.header.timestamp = net.head.timestamp - 1;
    let refused = check(&net, &block);
    assert!(matches!(refused, Err(VerifyError::Execute(ExecuteError::Timestamp { .. }))));
}

#[test]
fn a_store_that_fails_is_not_a_verdict() {
    let (mut net, block) = valid();
    // An account whose code the store has lost.
    let account = tacit_ledger::Account { nonce: 1, balance: U256::ZERO, code_hash: B256::repeat_byte(1) };
    net.state.accounts.insert(Address::repeat_byte(0xab), account);
    let refused = check(&net, &block);
    assert!(matches!(refused, Err(VerifyError::Execute(ExecuteError::State(_)))), "{refused:?}");
}

#[test]
fn a_store_that_holds_no_code_is_corrupt() {
    let (mut net, block) = valid();
    let hash = B256::repeat_byte(1);
    let account = tacit_ledger::Account { nonce: 1, balance: U256::ZERO, code_hash: hash };
    net.state.accounts.insert(Address::repeat_byte(0xab), account);
    net.state.code.insert(hash, bytes!("ef0100"));
    let refused = check(&net, &block);
    assert!(matches!(refused, Err(VerifyError::Execute(ExecuteError::Corrupt))), "{refused:?}");
}
