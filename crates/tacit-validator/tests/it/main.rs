//! Four validators on loopback sockets and real disks.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use alloy_consensus::{
    Header, Receipt, ReceiptEnvelope, SignableTransaction as _, Transaction as _, TxEip1559, TxEnvelope,
    crypto::secp256k1::{recover_signer_unchecked, sign_message},
    transaction::Recovered,
};
use alloy_primitives::{Address, B256, Bytes, TxHash, TxKind, U256};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::{pending, ready},
    net::{SocketAddr, TcpListener},
    num::NonZeroUsize,
    path::Path,
    sync::{Arc, Mutex},
    thread::sleep,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tacit_consensus::{
    BlockSink, CandidateLimits, ChainBlock, GenesisFailure, Pace, Rules, StartError, Timing,
    TransactionSource,
};
use tacit_ledger::{Chain, Genesis, GenesisAccount};
use tacit_light::{CertificateKind, GroupKey, LightProof, Trust, prove_receipt, verify};
use tacit_validator::{
    Group, GroupError, NodeValidator, Peer, Reach, RunError, RunningValidator, ShareKey, ValidatorConfig,
    ValidatorKey, deal_group, start,
};
use tacit_wire::KeyFileError;

const CHAIN: Chain = Chain { chain_id: 1337, gas_limit: 60_000_000, base_fee_floor: 7 };
const COIN: u128 = 1_000_000_000_000_000_000;

fn address(person: u8) -> Address {
    let signature = sign_message(B256::with_last_byte(person), B256::ZERO).unwrap();
    recover_signer_unchecked(&signature, B256::ZERO).unwrap()
}

fn pay(nonce: u64) -> Recovered<TxEnvelope> {
    let draft = TxEip1559 {
        chain_id: CHAIN.chain_id,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 100_000,
        to: TxKind::Call(address(2)),
        value: U256::from(COIN),
        ..TxEip1559::default()
    };
    let signature = sign_message(B256::with_last_byte(1), draft.signature_hash()).unwrap();
    Recovered::new_unchecked(draft.into_signed(signature).into(), address(1))
}

/// Everybody's pool, and one journal for all: a second block at a height is seen at once.
#[derive(Clone, Default)]
struct World {
    waiting: Arc<Mutex<BTreeMap<u64, Recovered<TxEnvelope>>>>,
    blocks: Arc<Mutex<BTreeMap<u64, ChainBlock>>>,
}

impl TransactionSource for World {
    async fn ready(&self) {
        if self.waiting.lock().unwrap().is_empty() { pending().await } else { ready(()).await }
    }

    async fn candidates(&self, _: &Header, _: CandidateLimits) -> Vec<Recovered<TxEnvelope>> {
        self.waiting.lock().unwrap().values().take(100).cloned().collect()
    }

    fn sender(&self, _: &TxHash) -> Option<Address> {
        None
    }
}

impl BlockSink for World {
    type Error = Infallible;

    async fn finalized(&self, block: &ChainBlock) -> Result<(), Infallible> {
        let known = self.blocks.lock().unwrap().insert(block.block().header.number, block.clone());
        assert!(known.is_none_or(|known| known.hash() == block.hash()), "a fork");
        for transaction in &block.block().body.transactions {
            self.waiting.lock().unwrap().remove(&transaction.nonce());
        }
        Ok(())
    }
}

impl World {
    fn wait(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !done(self) {
            assert!(started.elapsed() < Duration::from_secs(60), "{what}: not in a minute");
            sleep(Duration::from_millis(20));
        }
    }

    fn height(&self) -> u64 {
        self.blocks.lock().unwrap().last_key_value().map_or(0, |(number, _)| *number)
    }
}

/// Four ports that nobody listens on.
fn ports() -> Vec<SocketAddr> {
    let listeners: Vec<_> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap()).collect()
}

fn genesis() -> Genesis {
    let account = GenesisAccount { balance: U256::from(1_000 * COIN), ..GenesisAccount::default() };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    Genesis {
        chain: CHAIN,
        timestamp: now,
        base_fee: 1_000,
        extra_data: Bytes::new(),
        alloc: [(address(1), account)].into(),
    }
}

fn boot(
    home: &Path,
    i: usize,
    peers: &[Peer],
    group: Option<&Group>,
    genesis: &Genesis,
    world: &World,
) -> RunningValidator {
    let config = ValidatorConfig {
        key: ValidatorKey::load(&home.join(format!("{i}.key"))).unwrap(),
        group: group.cloned(),
        share: group.map(|_| ShareKey::load(&home.join(format!("{i}.share"))).unwrap()),
        validators: peers.to_vec(),
        listen: peers[i].address,
        reach: Reach::Local,
        data_dir: home.join(i.to_string()),
        genesis: genesis.clone(),
        rules: Rules { chain: CHAIN, timestamp_step_s_max: 30, clock_ahead_s_max: 2 },
        beneficiary: Address::repeat_byte(0xfe),
        timing: Timing {
            pace: Pace { busy: Duration::from_millis(50), idle: Duration::from_millis(500) },
            leader_timeout: Duration::from_secs(3),
            certification_timeout: Duration::from_secs(6),
            retry: Duration::from_secs(3),
            fetch_timeout: Duration::from_secs(2),
        },
        state_cache_bytes: NonZeroUsize::new(1 << 24).unwrap(),
        worker_threads: NonZeroUsize::new(2).unwrap(),
    };
    start(config, world.clone(), world.clone()).unwrap()
}

#[test]
fn four_on_loopback_finalise_lose_one_and_take_it_back() {
    let home = tempfile::tempdir().unwrap();
    let genesis = genesis();
    let peers: Vec<Peer> = ports()
        .into_iter()
        .enumerate()
        .map(|(i, address)| {
            let key = ValidatorKey::create(&home.path().join(format!("{i}.key"))).unwrap();
            Peer { key: key.address(), address }
        })
        .collect();
    let (group, shares) = deal_group(peers.iter().map(|peer| peer.key.clone())).unwrap();
    for (validator, share) in shares {
        let i = peers.iter().position(|peer| peer.key == validator).unwrap();
        share.create(&home.path().join(format!("{i}.share"))).unwrap();
    }
    let group: Group = group.to_string().parse().unwrap();
    let world = World::default();
    let mut running: Vec<Option<RunningValidator>> =
        (0..4).map(|i| Some(boot(home.path(), i, &peers, Some(&group), &genesis, &world))).collect();
    for nonce in 0..50 {
        world.waiting.lock().unwrap().insert(nonce, pay(nonce));
    }
    world.wait("transfers are final", |world| world.waiting.lock().unwrap().is_empty());

    running[2].take().unwrap().stop().unwrap();
    for nonce in 50..100 {
        world.waiting.lock().unwrap().insert(nonce, pay(nonce));
    }
    world.wait("three go on", |world| world.waiting.lock().unwrap().is_empty());
    let reached = world.height();

    running[2] = Some(boot(home.path(), 2, &peers, Some(&group), &genesis, &world));
    for validator in running.iter().flatten() {
        assert!(validator.is_running());
        let engine = validator.validator();
        let started = Instant::now();
        let block = loop {
            if let Some(block) = futures::executor::block_on(engine.block(reached)) {
                break block;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "the block does not arrive");
            sleep(Duration::from_millis(50));
        };
        assert_eq!(block.hash(), world.blocks.lock().unwrap()[&reached].hash());
    }
    // The one that was away certifies again, the others did all along.
    let paid = world.blocks.lock().unwrap().values().rev().find(|block| !is_empty(block)).unwrap().clone();
    world.wait("blocks", |world| world.height() >= reached + 5);
    let late = world.blocks.lock().unwrap()[&(reached + 5)].clone();
    for (i, validator) in running.iter().flatten().enumerate() {
        let block = if i == 2 { &late } else { &paid };
        check_light(validator.validator(), block, group.key());
    }
    for validator in running.into_iter().flatten() {
        validator.stop().unwrap();
    }
}

fn is_empty(block: &ChainBlock) -> bool {
    block.block().body.transactions.is_empty()
}

/// A light client that knows the group key believes the block, and the receipt of its first transaction.
fn check_light(engine: &NodeValidator, block: &ChainBlock, key: GroupKey) {
    let started = Instant::now();
    let number = block.block().header.number;
    let finality = loop {
        let finality = engine.finality(number, Some(CertificateKind::Threshold));
        if let Some(finality) = futures::executor::block_on(finality) {
            break finality;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "no certificate");
        sleep(Duration::from_millis(50));
    };
    let trust = Trust::new(CHAIN.chain_id, engine.genesis()).with_group(key);
    assert_eq!(finality.verify(&trust).unwrap().hash(), block.hash());
    let receipts: Vec<ReceiptEnvelope> = (1_u64..)
        .zip(&block.block().body.transactions)
        .map(|(count, _)| {
            let receipt =
                Receipt { status: true.into(), cumulative_gas_used: 21_000 * count, logs: Vec::new() };
            ReceiptEnvelope::Eip1559(receipt.with_bloom())
        })
        .collect();
    if is_empty(block) {
        return;
    }
    let proof = prove_receipt(finality, &receipts, 0).unwrap();
    let proof = proof.with_transaction(&block.block().body.transactions).unwrap();
    let bytes = proof.encode();
    assert!(bytes.len() <= 3_000, "{} bytes", bytes.len());
    let verified = verify(&trust, &LightProof::decode(&bytes).unwrap()).unwrap();
    assert_eq!(verified.transaction(), Some(*block.block().body.transactions[0].tx_hash()));
    assert!(verified.succeeded());
}

#[test]
fn configurations_that_cannot_be_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let key = ValidatorKey::create(&home.path().join("0.key")).unwrap();
    let peers = [Peer { key: key.address(), address: ports()[0] }];
    let world = World::default();
    let mut genesis = genesis();
    let first = genesis.clone();
    boot(home.path(), 0, &peers, None, &genesis, &world).stop().unwrap();
    genesis.timestamp += 1;
    let config = |key| ValidatorConfig {
        key,
        group: None,
        share: None,
        validators: peers.to_vec(),
        listen: peers[0].address,
        reach: Reach::Local,
        data_dir: home.path().join("0"),
        genesis: genesis.clone(),
        rules: Rules { chain: CHAIN, timestamp_step_s_max: 30, clock_ahead_s_max: 2 },
        beneficiary: Address::ZERO,
        timing: Timing {
            pace: Pace { busy: Duration::ZERO, idle: Duration::from_millis(1) },
            leader_timeout: Duration::from_secs(1),
            certification_timeout: Duration::from_secs(2),
            retry: Duration::from_secs(1),
            fetch_timeout: Duration::from_secs(1),
        },
        state_cache_bytes: NonZeroUsize::MIN,
        worker_threads: NonZeroUsize::MIN,
    };
    let honest = |key| ValidatorConfig { genesis: first.clone(), ..config(key) };
    let refused = start(config(key), world.clone(), world.clone()).unwrap_err();
    assert!(matches!(refused, RunError::Start(StartError::Genesis(GenesisFailure::OtherChain))), "{refused}");
    let load = || ValidatorKey::load(&home.path().join("0.key")).unwrap();
    let mut hasty = config(load());
    hasty.timing.leader_timeout = hasty.timing.pace.idle;
    let refused = start(hasty, world.clone(), world.clone()).unwrap_err();
    assert!(matches!(refused, RunError::Start(StartError::Timing)), "{refused}");
    let others = ValidatorKey::create(&home.path().join("1.key")).unwrap().address();
    let (group, _) = deal_group([others]).unwrap();
    let refused =
        start(ValidatorConfig { group: Some(group), ..honest(load()) }, world.clone(), world.clone());
    let refused = refused.unwrap_err();
    assert!(matches!(refused, RunError::Start(StartError::Certification(GroupError::Members))), "{refused}");
    let (_, mut shares) = deal_group([load().address()]).unwrap();
    let share = shares.pop().map(|(_, share)| share);
    let refused = start(ValidatorConfig { share, ..config(load()) }, world.clone(), world.clone());
    assert!(matches!(refused.unwrap_err(), RunError::ShareWithoutGroup));
    let mut twice = config(load());
    twice.validators.push(peers[0].clone());
    let refused = start(twice, world.clone(), world.clone()).unwrap_err();
    assert!(matches!(refused, RunError::ListedTwice), "{refused}");
    let stranger = ValidatorKey::create(&home.path().join("stranger.key")).unwrap();
    let refused = start(
        ValidatorConfig { data_dir: home.path().join("other"), ..config(stranger) },
        world.clone(),
        world,
    );
    assert!(matches!(refused.unwrap_err(), RunError::Start(StartError::NotValidator)));
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("key");
    let address = ValidatorKey::create(&path).unwrap().address();
    assert_eq!(ValidatorKey::load(&path).unwrap().address(), address);
    assert_eq!(address.to_string().parse(), Ok(address.clone()));
    let (_, shares) = deal_group([address]).unwrap();
    let share = home.path().join("share");
    shares[0].1.create(&share).unwrap();
    assert!(ShareKey::load(&share).is_ok());
    assert!(matches!(shares[0].1.create(&share), Err(KeyFileError::Exists { .. })));
    std::fs::set_permissions(&share, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(ShareKey::load(&share), Err(KeyFileError::Exposed { .. })));
    let none = home.path().join("none");
    std::fs::write(&none, "f".repeat(64)).unwrap();
    std::fs::set_permissions(&none, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(ShareKey::load(&none), Err(KeyFileError::Malformed { .. })));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(ValidatorKey::load(&path), Err(KeyFileError::Exposed { .. })));
    assert!(matches!(ValidatorKey::create(&path), Err(KeyFileError::Exists { .. })));
}
