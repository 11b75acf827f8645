//! Four validators on loopback sockets and real disks.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use alloy_consensus::{
    Receipt, ReceiptEnvelope, SignableTransaction as _, TxEip1559, TxEnvelope,
    crypto::secp256k1::{recover_signer_unchecked, sign_message},
    transaction::Recovered,
};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_sol_types::SolCall as _;
use std::{
    net::{SocketAddr, TcpListener},
    num::NonZeroUsize,
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tacit_abi::{
    IBeacons::{self, IBeaconsErrors},
    beacons,
};
use tacit_consensus::{ChainBlock, GenesisFailure, Pace, Rules, StartError, Timing};
use tacit_ledger::{Chain, Founder, Genesis, GenesisAccount};
use tacit_light::{
    Certificate, CertificateKind, Finality, GroupKey, LightProof, Trust, prove_receipt, verify,
};
use tacit_node::{FirstBlock, Node, NodeConfig};
use tacit_validator::{
    Group, GroupError, NodeValidator, Peer, Reach, RunError, RunningValidator, ShareKey, ValidatorAddress,
    ValidatorConfig, ValidatorKey, deal_group, first_block, start,
};
use tacit_wire::{Amount, KeyFileError, LedgerClient, LedgerError, Revert, Wallet};
use tempfile::TempDir;

const CHAIN: Chain = Chain { chain_id: 1337, gas_limit: 60_000_000, base_fee_floor: 7, certifier: None };
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
        first_state: None,
        origin: None,
        staking: tacit_ledger::Staking::default(),
    }
}

/// One validator of a network and its node.
struct Member {
    node: Node,
    running: RunningValidator,
}

/// A network on this machine.
struct Network {
    home: TempDir,
    genesis: Genesis,
    first: FirstBlock,
    peers: Vec<Peer>,
    group: Group,
}

impl Network {
    fn new(genesis: Genesis) -> Self {
        let home = tempfile::tempdir().unwrap();
        let peers: Vec<Peer> = ports()
            .into_iter()
            .enumerate()
            .map(|(i, address)| {
                let key = ValidatorKey::create(&home.path().join(format!("{i}.key"))).unwrap();
                Peer { key: key.address(), address }
            })
            .collect();
        let keys: Vec<_> = peers.iter().map(|peer| peer.key.clone()).collect();
        let mut genesis = genesis;
        let stake = genesis.staking.parameters.stake_min;
        let founder = |(i, key): (u8, &ValidatorAddress)| {
            let owner = Address::repeat_byte(0xa0 + i);
            Founder { key: key.bytes(), owner, stake, payer: None }
        };
        genesis.staking.founders = (0..).zip(&keys).map(founder).collect();
        let (group, shares) = deal_group(keys.iter().cloned()).unwrap();
        for (validator, share) in shares {
            let i = keys.iter().position(|key| *key == validator).unwrap();
            share.create(&home.path().join(format!("{i}.share"))).unwrap();
        }
        let group: Group = group.to_string().parse().unwrap();
        let first = first_block(&genesis, &group, &home.path().join("scratch")).unwrap();
        Self { home, genesis, first, peers, group }
    }

    fn data(&self, i: usize) -> PathBuf {
        self.home.path().join(i.to_string())
    }

    fn config(&self, i: usize) -> ValidatorConfig {
        ValidatorConfig {
            key: ValidatorKey::load(&self.home.path().join(format!("{i}.key"))).unwrap(),
            group: self.group.clone(),
            share: Some(ShareKey::load(&self.home.path().join(format!("{i}.share"))).unwrap()),
            validators: self.peers.clone(),
            listen: self.peers[i].address,
            reached: self.peers[i].address,
            reach: Reach::Local,
            data_dir: self.data(i).join("consensus"),
            evidence_dir: self.data(i).join("evidence"),
            genesis: self.genesis.clone(),
            anchor: None,
            rules: Rules {
                chain: CHAIN,
                timestamp_step_s_max: 30,
                clock_ahead_s_max: 2,
                checkpoint_blocks: core::num::NonZeroU64::new(4).unwrap(),
            },
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
        }
    }

    fn node(&self, i: usize) -> Node {
        let config = NodeConfig::network(self.genesis.clone(), self.first.clone());
        Node::open(config.with_data_dir(Some(self.data(i)))).unwrap()
    }

    fn boot(&self, i: usize) -> Member {
        let node = self.node(i);
        let running = start(self.config(i), node.clone()).unwrap();
        Member { node, running }
    }
}

fn wait(what: &str, done: impl Fn() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}: not in a minute");
        sleep(Duration::from_millis(20));
    }
}

/// Sends payments with these nonces to one member and waits until `others` have them all.
fn pay_through(member: &Member, nonces: core::ops::Range<u64>, others: &[&Member]) {
    let end = nonces.end;
    wait("the network is met", || member.node.has_caught_up());
    for nonce in nonces {
        futures::executor::block_on(member.node.submit(pay(nonce))).unwrap();
    }
    let paid = |member: &Member| member.node.nonce(address(1)).unwrap() == end;
    wait("payments are final", || others.iter().all(|member| paid(member)));
}

#[test]
fn four_on_loopback_finalise_lose_one_and_take_it_back() {
    let network = Network::new(genesis());
    let mut members: Vec<Member> = (0..4).map(|i| network.boot(i)).collect();
    let all: Vec<&Member> = members.iter().collect();
    pay_through(&members[0], 0..50, &all);
    assert_eq!(members[0].running.validator().genesis().hash(), network.first.header.hash_slow());
    assert!(members[0].running.metrics()().contains("finalized"), "measurements are served");

    let away = members.remove(2);
    away.running.stop().unwrap();
    let left = away.node.head().number;
    drop(away.node);
    pay_through(&members[1], 50..100, &members.iter().collect::<Vec<_>>());
    let reached = members[0].node.head();
    assert!(reached.number > left);

    let back = network.boot(2);
    wait("the one that was away catches up", || back.node.head().number >= reached.number);
    let block = futures::executor::block_on(back.running.validator().block(reached.number)).unwrap();
    assert_eq!(block.hash(), reached.hash());
    // It can be paid through as before, and everybody hears of it.
    let mut all: Vec<&Member> = members.iter().collect();
    all.push(&back);
    pay_through(&back, 100..110, &all);
    // The one that was away certifies again, the others did all along.
    for member in members.iter().chain([&back]) {
        let engine = member.running.validator();
        let newest = member.node.head().number;
        let blocks = (0..=newest).rev();
        let blocks = blocks.filter_map(|number| futures::executor::block_on(engine.block(number)));
        let paid = blocks.into_iter().find(|block| !is_empty(block)).unwrap();
        check_light(engine, &paid, network.group.key());
    }
    for member in members.into_iter().chain([back]) {
        assert!(member.running.is_running());
        member.running.stop().unwrap();
    }
}

/// The signature that four validators made of a block, given to the ledger as any client does, is its beacon on every node: consensus and the nodes, which execute blocks once
/// more, know the same key.
#[test]
fn the_validators_signature_of_a_block_becomes_its_beacon() {
    let network = Network::new(genesis());
    let members: Vec<Member> = (0..4).map(|i| network.boot(i)).collect();
    pay_through(&members[0], 0..3, &members.iter().collect::<Vec<_>>());
    let engine = members[1].running.validator();
    let number = members[1].node.head().number;
    let started = Instant::now();
    let (signature, hash) = loop {
        let found = futures::executor::block_on(engine.finality(number, Some(CertificateKind::Threshold)));
        let found = found.filter(|finality| finality.headers.len() == 1);
        if let Some(Finality { headers, certificate: Certificate::Threshold(signature) }) = found {
            break (signature, headers[0].hash_slow());
        }
        assert!(started.elapsed() < Duration::from_secs(60), "no certificate of block {number}");
        sleep(Duration::from_millis(50));
    };
    members[1].node.add_finality(members[1].running.finality());

    let beacon = keccak256(signature);
    let secret = B256::with_last_byte(1).to_string();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let serve = async |member: &Member| {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let node = member.node.clone();
            tokio::spawn(async move { node.serve(listener, core::future::pending()).await });
            LedgerClient::connect(&url).await.unwrap()
        };
        let wallet = Wallet::from_hex(&secret).unwrap();
        let ledger = serve(&members[1]).await;
        // What a development ledger would take.
        let bare = IBeacons::postCall { number, blockHash: hash, signature: Bytes::new() };
        let bare = ledger.send(&wallet, beacons::ADDRESS, Amount::ZERO, bare.abi_encode()).await;
        let refused =
            Revert::Beacons(IBeaconsErrors::SignatureLength(IBeacons::SignatureLength { expected: 48 }));
        assert!(matches!(bare, Err(LedgerError::Reverted(revert)) if revert == refused));
        assert_eq!(ledger.beacon_of(number).await.unwrap(), None);

        let posted = ledger.post_beacon(&wallet, number).await.unwrap();
        let again = ledger.post_beacon(&wallet, number).await;
        let refused = Revert::Beacons(IBeaconsErrors::AlreadyPosted(IBeacons::AlreadyPosted { number }));
        assert!(matches!(again, Err(LedgerError::Reverted(revert)) if revert == refused));
        for member in &members {
            wait("the beacon is final", || member.node.head().number >= posted.block);
            assert_eq!(serve(member).await.beacon_of(number).await.unwrap(), Some(beacon));
        }
    });
    for member in members {
        assert!(member.running.is_running());
        member.running.stop().unwrap();
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
    let trust = Trust::new(CHAIN.chain_id, engine.genesis().hash()).with_group(key);
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
fn all_stop_at_once_and_go_on_with_what_was_acknowledged() {
    let network = Network::new(genesis());
    let members: Vec<Member> = (0..4).map(|i| network.boot(i)).collect();
    pay_through(&members[0], 0..10, &members.iter().collect::<Vec<_>>());
    let head = members[0].node.head();
    // Taken by one that is alone, and durable there.
    let mut members = members.into_iter();
    let last = members.next().unwrap();
    for member in members {
        member.running.stop().unwrap();
    }
    futures::executor::block_on(last.node.submit(pay(10))).unwrap();
    last.running.stop().unwrap();
    drop(last.node);

    let members: Vec<Member> = (0..4).map(|i| network.boot(i)).collect();
    let paid = |member: &Member| member.node.nonce(address(1)).unwrap() == 11;
    wait("what was acknowledged is final", || members.iter().all(paid));
    for member in &members {
        let block = futures::executor::block_on(member.running.validator().block(head.number)).unwrap();
        assert_eq!(block.hash(), head.hash());
    }
}

fn stranger_key() -> ValidatorAddress {
    let home = tempfile::tempdir().unwrap();
    ValidatorKey::create(&home.path().join("key")).unwrap().address()
}

#[test]
fn configurations_that_cannot_be_are_refused() {
    let network = Network::new(genesis());
    // The validator whose key is the least begins the very same chain alone.
    let least = network.peers.iter().map(|peer| &peer.key).min();
    let me = usize::from(Some(&network.peers[0].key) == least);
    let node = network.node(me);
    start(network.config(me), node.clone()).unwrap().stop().unwrap();
    let refuse = |change: fn(&mut ValidatorConfig)| {
        let mut config = network.config(me);
        change(&mut config);
        start(config, node.clone()).unwrap_err()
    };
    let other = refuse(|config| config.genesis.timestamp += 1);
    assert!(matches!(other, RunError::Start(StartError::Genesis(GenesisFailure::OtherChain))), "{other}");
    let others = refuse(|config| {
        (config.group, config.share) = (deal_group([stranger_key()]).unwrap().0, None);
    });
    assert!(matches!(others, RunError::Start(StartError::OtherValidators)), "{others}");
    let elsewhere = refuse(|config| {
        config.genesis.timestamp += 1;
        config.data_dir.push("elsewhere");
        // A copy of the key that nobody knows of.
        let copy = config.data_dir.with_extension("key");
        std::fs::copy(config.evidence_dir.parent().unwrap().with_extension("key"), &copy).unwrap();
        config.key = ValidatorKey::load(&copy).unwrap();
    });
    assert!(matches!(elsewhere, RunError::FirstBlock), "{elsewhere}");
    let stolen = refuse(|config| {
        let home = tempfile::tempdir().unwrap();
        config.key = ValidatorKey::create(&home.path().join("key")).unwrap();
    });
    assert!(matches!(stolen, RunError::Start(StartError::Group(GroupError::Share))), "{stolen}");
    let hasty = refuse(|config| config.timing.leader_timeout = config.timing.pace.idle);
    assert!(matches!(hasty, RunError::Start(StartError::Timing)), "{hasty}");
    let twice = refuse(|config| config.validators.push(config.validators[0].clone()));
    assert!(matches!(twice, RunError::ListedTwice), "{twice}");
    let endless = refuse(|config| config.genesis.staking.parameters.epoch_blocks = 0);
    assert!(matches!(endless, RunError::Start(StartError::Epoch)), "{endless}");
    let no_folder = refuse(|config| {
        std::fs::write(config.data_dir.with_extension("file"), "").unwrap();
        config.data_dir = config.data_dir.with_extension("file");
    });
    assert!(matches!(no_folder, RunError::Folder { .. }), "{no_folder}");
}

#[test]
fn nobody_else_looks_into_the_folder_of_shares() {
    use std::os::unix::fs::PermissionsExt as _;
    let network = Network::new(genesis());
    std::fs::create_dir_all(network.config(0).data_dir).unwrap();
    let member = network.boot(0);
    let mode = std::fs::metadata(network.config(0).data_dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    member.running.stop().unwrap();
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
