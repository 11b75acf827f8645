use super::*;
use alloy_consensus::{
    BlockBody, SignableTransaction as _, TxEip1559, TxEnvelope, constants::EMPTY_ROOT_HASH,
    crypto::secp256k1::sign_message,
};
use alloy_primitives::{Bytes as RawBytes, TxKind, U256};
use commonware_codec::{Decode as _, DecodeExt as _};
use commonware_consensus::types::{Epoch, Round, View};
use commonware_cryptography::{
    Digest as _, Signer as _,
    bls12381::{
        dkg::feldman_desmedt::{self, Dealer, Info, Output, Reveal},
        primitives::sharing::Mode,
    },
    ed25519::{PrivateKey, PublicKey},
};
use commonware_glue::dkg::types::EpochOutcome;
use commonware_utils::{N3f1, TestRng, ordered::Set};

fn transaction(nonce: u64) -> TxEnvelope {
    let draft = TxEip1559 {
        chain_id: 1337,
        nonce,
        gas_limit: 21_000,
        to: TxKind::Call([7; 20].into()),
        value: U256::ONE,
        ..TxEip1559::default()
    };
    let signature = sign_message(B256::with_last_byte(1), draft.signature_hash()).unwrap();
    draft.into_signed(signature).into()
}

fn seal() -> Seal {
    let context = Context {
        round: Round::new(Epoch::zero(), View::new(300)),
        leader: ed25519::PrivateKey::from_seed(3).public_key(),
        parent: (View::new(299), keccak256::Digest([5; 32])),
    };
    Seal {
        context,
        height: Height::new(4),
        range: NonEmptyRange::new(Location::new(2)..Location::new(700)).unwrap(),
        checkpoint: Some(Checkpoint { number: 300, root: B256::repeat_byte(8) }),
        payload: None,
    }
}

/// Members, and the group they are.
fn group(count: u64) -> (Set<PublicKey>, Output<MinSig, PublicKey>) {
    let keys = Set::from_iter_dedup((0..count).map(|seed| PrivateKey::from_seed(seed).public_key()));
    let dealt = feldman_desmedt::deal::<MinSig, _, N3f1>(TestRng::new(1), Mode::NonZeroCounter, keys.clone());
    (keys, dealt.unwrap().0)
}

fn record(count: u64) -> Payload {
    let (keys, output) = group(count);
    Payload::EpochInfo(EpochRecord {
        outcome: EpochOutcome::Success,
        epoch: Epoch::new(u64::MAX),
        output,
        players: keys.clone(),
        next_players: keys,
        directory: Unit,
    })
}

fn log(count: u64) -> Payload {
    let (keys, _) = group(count);
    let mode = Mode::NonZeroCounter;
    let info = Info::new::<N3f1>(b"t", 0, None, mode, Reveal::V1, keys.clone(), keys).unwrap();
    let dealer = Dealer::start::<N3f1>(TestRng::new(2), info, PrivateKey::from_seed(0), None).unwrap().0;
    Payload::DealerLog(dealer.finalize::<N3f1>())
}

fn parts(transactions: Vec<TxEnvelope>) -> (Seal, Block) {
    parts_with(None, transactions)
}

fn parts_with(payload: Option<Payload>, transactions: Vec<TxEnvelope>) -> (Seal, Block) {
    let seal = Seal { payload, ..seal() };
    let header = Header {
        number: 400,
        parent_hash: B256::new([5; 32]),
        extra_data: RawBytes::copy_from_slice(seal.commitment().as_slice()),
        transactions_root: calculate_transaction_root(&transactions),
        withdrawals_root: Some(EMPTY_ROOT_HASH),
        base_fee_per_gas: Some(7),
        ..Header::default()
    };
    let body = BlockBody { transactions, ommers: Vec::new(), withdrawals: Some(Vec::new().into()) };
    (seal, Block { header, body })
}

fn honest() -> ChainBlock {
    let (seal, block) = parts(vec![transaction(0), transaction(1)]);
    ChainBlock::new(seal, block).unwrap()
}

fn encode(seal: &Seal, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    seal.write(&mut bytes);
    Bytes::copy_from_slice(body).write(&mut bytes);
    bytes
}

fn rejection(bytes: Vec<u8>) -> BlockError {
    match ChainBlock::decode(bytes).unwrap_err() {
        CodecError::Wrapped("block", error) => *error.downcast::<BlockError>().unwrap(),
        other => panic!("{other}"),
    }
}

#[test]
fn an_honest_block_comes_back_and_its_digest_is_the_ethereum_hash() {
    let block = honest();
    let bytes = block.encode();
    assert_eq!(bytes.len(), block.encode_size());
    assert!(bytes.len() <= ChainBlock::max_encode_size(&()));
    let back = ChainBlock::decode(bytes).unwrap();
    assert_eq!(back, block);
    assert_eq!(back.digest().0, block.block().header.hash_slow().0);
    assert_eq!(back.height(), Height::new(4));
    assert_eq!(back.parent(), keccak256::Digest([5; 32]));
    assert_eq!(back.context(), block.seal().context);
}

#[test]
fn payloads_come_back() {
    for payload in [record(1), record(4), log(1), log(4)] {
        let (seal, block) = parts_with(Some(payload.clone()), Vec::new());
        let block = ChainBlock::new(seal, block).unwrap();
        let bytes = block.encode();
        assert_eq!(bytes.len(), block.encode_size());
        let back = ChainBlock::decode(bytes).unwrap();
        assert_eq!(back, block);
        assert!(back.payload() == Some(payload));
        let (plain, _) = parts(Vec::new());
        assert_ne!(back.seal().commitment(), plain.commitment());
    }
}

#[test]
fn a_payload_other_than_the_header_s_is_refused() {
    let (seal, block) = parts_with(Some(record(1)), Vec::new());
    let body = alloy_rlp::encode(&block);
    for payload in [None, Some(record(2)), Some(log(1))] {
        let other = Seal { payload, ..seal.clone() };
        assert_eq!(rejection(encode(&other, &body)), BlockError::Seal);
    }
}

#[test]
fn no_byte_of_a_payload_can_be_changed_under_its_digest() {
    for payload in [record(1), log(1)] {
        let (seal, block) = parts_with(Some(payload), Vec::new());
        unchangeable(&ChainBlock::new(seal, block).unwrap());
    }
}

/// Longer than any payload: refused before it is read.
#[test]
fn a_payload_that_is_too_long_is_refused() {
    let mut bytes = vec![FORMAT];
    seal().write(&mut bytes);
    bytes.pop();
    (PAYLOAD_BYTES_MAX + 1).write(&mut bytes);
    bytes.resize(bytes.len() + PAYLOAD_BYTES_MAX + 1, 0);
    let refused = ChainBlock::decode(bytes).unwrap_err();
    assert!(matches!(refused, CodecError::InvalidLength(length) if length == PAYLOAD_BYTES_MAX + 1));
}

#[test]
fn payloads_of_all_seats_fit_the_bound() {
    assert_eq!(PARTICIPANTS_MAX.get(), u32::from(tacit_ledger::SEATS_MAX));
    let most = Payload::max_encode_size(PARTICIPANTS_MAX);
    assert!(most <= PAYLOAD_BYTES_MAX, "{most}");
    for payload in [record(128), log(128)] {
        assert!(payload.encode_size() <= most);
    }
    let (seal, block) = parts_with(Some(record(129)), Vec::new());
    let bytes = ChainBlock::new(seal, block).unwrap().encode();
    assert!(ChainBlock::decode(bytes).is_err(), "more members than seats");
}

#[test]
fn no_byte_of_a_block_can_be_changed_under_its_digest() {
    unchangeable(&honest());
}

fn unchangeable(block: &ChainBlock) {
    let bytes = block.encode().to_vec();
    for place in 0..bytes.len() {
        for flip in [1, 0x80] {
            let mut tampered = bytes.clone();
            tampered[place] ^= flip;
            if let Ok(other) = ChainBlock::decode(tampered) {
                assert_ne!(other.digest(), block.digest(), "byte {place} is not covered");
            }
        }
        assert!(ChainBlock::decode(bytes[..place].to_vec()).is_err(), "cut at {place}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(matches!(ChainBlock::decode(longer), Err(CodecError::ExtraData(1))));
}

#[test]
fn another_format_is_refused() {
    let mut bytes = honest().encode().to_vec();
    bytes[0] = 1;
    assert_eq!(rejection(bytes), BlockError::Format { got: 1 });
}

#[test]
fn a_body_that_is_not_rlp_is_refused() {
    assert!(matches!(rejection(encode(&seal(), &[0xc3, 1])), BlockError::Rlp(_)));
    assert!(matches!(rejection(encode(&seal(), &[])), BlockError::Rlp(_)));
}

#[test]
fn a_second_encoding_of_a_block_is_refused() {
    let (seal, block) = parts(Vec::new());
    let body = alloy_rlp::encode(&block);
    let with_tail = [&body[..], &[0x80]].concat();
    assert_eq!(rejection(encode(&seal, &with_tail)), BlockError::NotCanonical);
}

#[test]
fn a_body_with_ommers_or_without_withdrawals_is_refused() {
    let (seal, mut block) = parts(Vec::new());
    block.body.ommers.push(Header::default());
    assert_eq!(ChainBlock::new(seal.clone(), block.clone()), Err(BlockError::Body));
    assert_eq!(rejection(encode(&seal, &alloy_rlp::encode(&block))), BlockError::Body);
    block.body.ommers.clear();
    block.body.withdrawals = None;
    assert_eq!(ChainBlock::new(seal, block), Err(BlockError::Body));
}

#[test]
fn transactions_other_than_the_header_s_are_refused() {
    let (seal, mut block) = parts(vec![transaction(0), transaction(1)]);
    block.body.transactions.swap(0, 1);
    assert_eq!(rejection(encode(&seal, &alloy_rlp::encode(&block))), BlockError::Transactions);
}

#[test]
fn a_seal_other_than_the_header_s_is_refused() {
    let (seal, block) = parts(Vec::new());
    let body = alloy_rlp::encode(&block);
    let mut other = seal.clone();
    other.context.round = Round::new(Epoch::zero(), View::new(301));
    assert_eq!(rejection(encode(&other, &body)), BlockError::Seal);
    for checkpoint in [None, Some(Checkpoint { number: 4, root: B256::ZERO })] {
        let other = Seal { checkpoint, ..seal.clone() };
        assert_eq!(rejection(encode(&other, &body)), BlockError::Seal);
    }
    let mut other = seal;
    other.range = NonEmptyRange::new(Location::new(3)..Location::new(700)).unwrap();
    assert_eq!(rejection(encode(&other, &body)), BlockError::Seal);
}

#[test]
fn a_parent_other_than_the_seal_s_is_refused() {
    let (seal, mut block) = parts(Vec::new());
    block.header.parent_hash = B256::ZERO;
    assert_eq!(rejection(encode(&seal, &alloy_rlp::encode(&block))), BlockError::Parent);
}

#[test]
fn a_block_that_is_too_long_is_refused_before_it_is_read() {
    let draft = TxEip1559 { input: vec![0; BLOCK_BYTES_MAX].into(), ..TxEip1559::default() };
    let signature = sign_message(B256::with_last_byte(1), draft.signature_hash()).unwrap();
    let (seal, block) = parts(vec![draft.into_signed(signature).into()]);
    let got = block.length();
    let body = alloy_rlp::encode(&block);
    assert_eq!(ChainBlock::new(seal.clone(), block), Err(BlockError::Size { got }));
    let bytes = encode(&seal, &body);
    assert!(
        matches!(ChainBlock::decode_cfg(bytes, &()), Err(CodecError::InvalidLength(length)) if length == got)
    );
}

#[test]
fn the_longest_seal_fits_the_bound() {
    let context = Context {
        round: Round::new(Epoch::new(u64::MAX), View::new(u64::MAX)),
        leader: ed25519::PrivateKey::from_seed(3).public_key(),
        parent: (View::new(u64::MAX), BlockHash::EMPTY),
    };
    let seal = Seal {
        context,
        height: Height::new(u64::MAX),
        range: NonEmptyRange::new(Location::new(1 << 61)..Location::new((1 << 61) + 1)).unwrap(),
        checkpoint: Some(Checkpoint { number: u64::MAX, root: B256::ZERO }),
        payload: Some(record(128)),
    };
    assert!(seal.encode_size() <= Seal::MAX_ENCODE_SIZE);
}

/// Who follows the network reads seals without this crate.
#[test]
fn light_clients_read_the_same_checkpoint() {
    let block = honest();
    let (header, seal) = (&block.block().header, block.seal());
    assert_eq!(tacit_light::checkpoint(header, &seal.encode()), Ok(seal.checkpoint));
    let (_, plain) = parts(Vec::new());
    let without = Seal { checkpoint: None, ..seal.clone() };
    let header = Header { extra_data: without.commitment().to_vec().into(), ..plain.header };
    assert_eq!(tacit_light::checkpoint(&header, &without.encode()), Ok(None));
    const { assert!(Seal::MAX_ENCODE_SIZE <= tacit_light::SEAL_BYTES_MAX) };
}
