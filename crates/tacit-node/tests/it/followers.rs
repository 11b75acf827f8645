//! Followers believe nobody: one lie per test case, and an honest source beside the liar gets them on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use alloy_consensus::{Block, Header, TxEnvelope};
use alloy_primitives::{B256, Bytes};
use alloy_rlp::Decodable as _;
use serde_json::json;
use tacit_light::{Checkpoint, DecodeError, Finality, LightError, SealError};
use tacit_node::{
    Node, RawBlock, WriteError,
    follower::{
        Answer, Chunks, FollowTiming, Follower, Lie, Source, Unanswered, check_blocks, check_certificate,
    },
};
use tempfile::TempDir;

use crate::{
    signers::{Honest, Signers, source},
    support::{Client, address, deployment, message, sign, transfer},
};

const TIMING: FollowTiming = FollowTiming {
    poll: Duration::from_millis(5),
    rest: Duration::from_millis(20),
    rest_max: Duration::from_millis(100),
    shunned: Duration::from_secs(600),
    head_max: Duration::from_millis(300),
    blocks_max: Duration::from_millis(900),
    resend: Duration::from_millis(100),
};

/// Submits raw transactions.
pub(crate) async fn submit(node: &Node, raw: &[String]) {
    node.catch_up();
    for raw in raw {
        let bytes = alloy_primitives::hex::decode(raw).unwrap();
        let chain = tacit_node::NodeConfig::dev([]).genesis.chain;
        node.submit(tacit_node::admission::decode(&bytes, &chain).unwrap()).await.unwrap();
    }
}

/// A node with some blocks: transfers, a contract, what it did, and a checkpoint of block 4 in block 8.
pub(crate) async fn honest(signers: &Signers, blocks: u64) -> (Honest, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(signers.config(directory.path())).unwrap();
    let contract = address(0).create(0);
    for number in 1..=blocks {
        let work = match number {
            1 => vec![sign(deployment(0), 0), sign(transfer(0), 1)],
            2 => vec![sign(message(1, contract, &[]), 0)],
            4 => vec![sign(transfer(2), 0)],
            5 => vec![sign(message(3, contract, &[]), 0), sign(deployment(1), 1)],
            _ => Vec::new(),
        };
        submit(&node, &work).await;
        signers.advance(&node, (number % 8 == 0).then(|| number - 4)).await;
    }
    (Honest::serve(node).await, directory)
}

async fn wait(what: &str, done: impl Fn() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(30), "{what}: not in half a minute");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a liar changes. What is left alone is an honest node's.
#[derive(Clone, Default)]
struct Lies {
    head: Option<fn(u64) -> u64>,
    finality: Option<fn(Option<Bytes>) -> Option<Bytes>>,
    blocks: Option<fn(Vec<RawBlock>) -> Vec<RawBlock>>,
    /// Says nothing when it is asked how far it is, or for blocks.
    silent: Option<&'static str>,
}

struct Liar {
    honest: Honest,
    lies: Lies,
    asked: Arc<AtomicUsize>,
}

impl Liar {
    async fn hang(&self, asked: &str) {
        if self.lies.silent == Some(asked) {
            std::future::pending::<()>().await;
        }
    }
}

impl Source for Liar {
    fn name(&self) -> &str {
        "liar"
    }

    fn head(&self) -> Answer<'_, u64> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            self.hang("head").await;
            let head = self.honest.head().await?;
            Ok(self.lies.head.map_or(head, |lie| lie(head)))
        })
    }

    fn blocks(&self, first: u64, count: u64) -> Answer<'_, Vec<RawBlock>> {
        Box::pin(async move {
            self.hang("blocks").await;
            let blocks = self.honest.blocks(first, count).await?;
            Ok(self.lies.blocks.map_or(blocks.clone(), |lie| lie(blocks)))
        })
    }

    fn finality(&self, number: u64) -> Answer<'_, Option<Bytes>> {
        Box::pin(async move {
            let found = self.honest.finality(number).await?;
            Ok(self.lies.finality.map_or(found.clone(), |lie| lie(found)))
        })
    }

    fn send(&self, _: Vec<Bytes>) -> Answer<'_, ()> {
        Box::pin(async { Err(Unanswered("no".into())) })
    }

    fn snapshot(&self) -> Answer<'_, Box<dyn Chunks>> {
        Box::pin(async { Err(Unanswered("no".into())) })
    }
}

/// A block with something changed in it.
fn altered(raw: &RawBlock, change: impl FnOnce(&mut Block<TxEnvelope>)) -> RawBlock {
    let mut block = Block::<TxEnvelope>::decode(&mut &raw.block[..]).unwrap();
    change(&mut block);
    RawBlock { block: alloy_rlp::encode(block).into(), seal: raw.seal.clone() }
}

fn first_altered(mut blocks: Vec<RawBlock>, change: fn(&mut Block<TxEnvelope>)) -> Vec<RawBlock> {
    blocks[0] = altered(&blocks[0], change);
    blocks
}

fn flipped(bytes: &Bytes, place: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[place] ^= 1;
    bytes.into()
}

/// Every lie, with what an honest follower makes of it.
fn lies() -> Vec<(&'static str, Lies)> {
    let blocks = |lie| Lies { blocks: Some(lie), ..Lies::default() };
    let finality = |lie| Lies { finality: Some(lie), ..Lies::default() };
    vec![
        (
            "a transaction missing",
            blocks(|all| first_altered(all, |block| drop(block.body.transactions.pop()))),
        ),
        ("a changed header", blocks(|all| first_altered(all, |block| block.header.timestamp += 1))),
        ("an ommer", blocks(|all| first_altered(all, |block| block.body.ommers.push(Header::default())))),
        (
            "blocks in another order",
            blocks(|mut all| {
                all.reverse();
                all
            }),
        ),
        ("more than asked for", blocks(|all| all.iter().cycle().take(100).cloned().collect())),
        (
            "a changed seal",
            blocks(|mut all| {
                all[0].seal = flipped(&all[0].seal, 3);
                all
            }),
        ),
        (
            "no seal",
            blocks(|mut all| {
                all[0].seal = Bytes::new();
                all
            }),
        ),
        (
            "garbage for a block",
            blocks(|mut all| {
                all[0].block = Bytes::from_static(&[0xc3, 1]);
                all
            }),
        ),
        (
            "a longer encoding",
            blocks(|mut all| {
                all[0].block = [&all[0].block[..], &[0x80]].concat().into();
                all
            }),
        ),
        ("withheld blocks", blocks(|_| Vec::new())),
        ("garbage for a certificate", finality(|found| found.map(|_| Bytes::from_static(b"certificate")))),
        ("a changed certificate", finality(|found| found.map(|bytes| flipped(&bytes, bytes.len() - 9)))),
        (
            "another network's certificate",
            finality(|found| {
                let mut finality = Finality::decode(&found?).unwrap();
                finality.certificate = Signers::new(2).certify(finality.headers[0].hash_slow());
                Some(finality.encode().into())
            }),
        ),
        ("no certificate", finality(|_| None)),
        ("a head that is too far", Lies { head: Some(|_| u64::MAX), ..finality(|_| None) }),
        ("silence for a head", Lies { silent: Some("head"), ..Lies::default() }),
        ("silence for blocks", Lies { silent: Some("blocks"), ..Lies::default() }),
        ("a head that stays behind", Lies { head: Some(|_| 0), ..Lies::default() }),
    ]
}

#[tokio::test]
async fn no_lie_is_believed_and_an_honest_source_is_enough() {
    let signers = Signers::new(1);
    let (honest, _home) = honest(&signers, 20).await;
    for (name, lies) in lies() {
        let directory = tempfile::tempdir().unwrap();
        let node = Node::open(signers.config(directory.path())).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let liar = || Liar { honest: honest.clone(), lies: lies.clone(), asked: Arc::clone(&asked) };
        let alone = Follower::new(node.clone(), signers.trust(), vec![source(liar())], TIMING);
        let alone = tokio::spawn(alone.run());
        wait(name, || asked.load(Ordering::Relaxed) > 0).await;
        tokio::time::sleep(Duration::from_millis(40)).await;
        alone.abort();
        let _ = alone.await;
        assert_eq!(node.head().number, 0, "{name}: believed");

        let sources = vec![source(liar()), source(honest.clone())];
        let both = tokio::spawn(Follower::new(node.clone(), signers.trust(), sources, TIMING).run());
        wait(name, || node.head().number == 20).await;
        assert_eq!(node.head().hash(), signers.head().hash(), "{name}");
        assert_eq!(node.state_root(20).await.unwrap(), signers.root(20), "{name}");
        wait("it has caught up", || node.has_caught_up()).await;
        both.abort();
    }
}

/// What verifiably is not so costs a source its place for a while; what may be a fault does not.
#[tokio::test]
async fn a_liar_is_not_asked_again() {
    let signers = Signers::new(1);
    let (honest, _home) = honest(&signers, 3).await;
    for (name, lies) in lies() {
        let directory = tempfile::tempdir().unwrap();
        let node = Node::open(signers.config(directory.path())).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let liar = Liar { honest: honest.clone(), lies, asked: Arc::clone(&asked) };
        let follower = tokio::spawn(Follower::new(node, signers.trust(), vec![source(liar)], TIMING).run());
        // The silent ones are waited for as long as they may take.
        let patience = if name.starts_with("silence") { 2_500 } else { 250 };
        tokio::time::sleep(Duration::from_millis(patience)).await;
        let asked = asked.load(Ordering::Relaxed);
        let silent = name.starts_with("silence") || name.starts_with("a head");
        let proved = !["withheld blocks", "no certificate"].contains(&name) && !silent;
        assert_eq!(asked == 1, proved, "{name}: asked {asked} times");
        follower.abort();
    }
}

#[tokio::test]
async fn each_lie_is_named() {
    let signers = Signers::new(1);
    let (honest, _home) = honest(&signers, 4).await;
    let genesis = Node::open(signers.config(tempfile::tempdir().unwrap().path())).unwrap().head();
    let trust = signers.trust();
    let bytes = |number| {
        let honest = honest.clone();
        async move { honest.finality(number).await.unwrap().unwrap() }
    };
    let (second, fourth) = (bytes(2).await, bytes(4).await);
    let finality = check_certificate(&trust, 4, &fourth).unwrap();
    assert_eq!(check_certificate(&trust, 4, &second), Err(Lie::NotAsked { expected: 4, got: 2 }));
    let error = DecodeError::Format { expected: 1, got: None };
    assert_eq!(check_certificate(&trust, 4, &[]), Err(Lie::Certificate { number: 4, error }));
    let foreign = Signers::new(2).trust();
    let error = LightError::Vote { validator: 0 };
    assert_eq!(check_certificate(&foreign, 4, &fourth), Err(Lie::Final { number: 4, error }));

    let blocks = honest.blocks(1, 4).await.unwrap();
    let good = check_blocks(&genesis, finality.clone(), blocks.clone()).unwrap();
    assert_eq!(good.len(), 4);
    assert_eq!(good.iter().filter(|block| block.certificate.is_some()).count(), 1);
    let refused = |blocks| check_blocks(&genesis, finality.clone(), blocks).unwrap_err();
    assert_eq!(refused(Vec::new()), Lie::Unlinked { number: 0 });
    assert_eq!(refused(blocks[..3].to_vec()), Lie::Unlinked { number: 3 });
    assert_eq!(refused(blocks[1..].to_vec()), Lie::Unlinked { number: 1 });
    for at in 0..4 {
        let number = at as u64 + 1;
        let with = |raw: RawBlock| {
            let mut blocks = blocks.clone();
            blocks[at] = raw;
            refused(blocks)
        };
        // The child of a changed block names another parent; after the last one there is the certificate.
        let next = number.saturating_add(1).min(4);
        let header = with(altered(&blocks[at], |block| block.header.timestamp += 1));
        assert_eq!(header, Lie::Unlinked { number: next });
        let body = with(altered(&blocks[at], |block| {
            let extra = Block::<TxEnvelope>::decode(&mut &blocks[0].block[..]).unwrap().body.transactions;
            block.body.transactions.extend(extra);
        }));
        assert_eq!(body, Lie::Transactions { number });
        let ommers = with(altered(&blocks[at], |block| block.body.ommers.push(Header::default())));
        assert_eq!(ommers, Lie::Malformed { number });
        for place in 0..blocks[at].seal.len() {
            let seal = with(RawBlock { seal: flipped(&blocks[at].seal, place), ..blocks[at].clone() });
            assert_eq!(seal, Lie::Seal { number, error: SealError::Commitment }, "byte {place}");
        }
        // Whatever byte of a block is changed.
        for place in 0..blocks[at].block.len() {
            with(RawBlock { block: flipped(&blocks[at].block, place), ..blocks[at].clone() });
        }
    }
}

/// A quorum that lies about an execution is not outvoted by one's own, but it is not followed either.
#[tokio::test]
async fn what_validators_certify_and_execution_denies_stops_the_node() {
    for (name, other) in [("another receipts root", false), ("another state in a checkpoint", true)] {
        let signers = Signers::new(1);
        let (honest, _home) = honest(&signers, 2).await;
        let directory = tempfile::tempdir().unwrap();
        let node = Node::open(signers.config(directory.path())).unwrap();
        let lie = Checkpoint { number: 1, root: B256::ZERO };
        let block = if other {
            signers.make_with(Vec::new(), Some(lie), |_| ())
        } else {
            signers.make_with(Vec::new(), None, |header| header.receipts_root = B256::ZERO)
        };
        let serving = Forged { honest, block };
        let follower = Follower::new(node.clone(), signers.trust(), vec![source(serving)], TIMING);
        let why = tokio::time::timeout(Duration::from_secs(20), follower.run()).await.unwrap();
        let expected = match other {
            true => matches!(why, WriteError::Checkpoint { number: 1, .. }),
            false => matches!(why, WriteError::Differs { number: 3, .. }),
        };
        assert!(expected, "{name}: {why}");
        assert_eq!(node.head().number, 2, "{name}");
        let again = node.append(signers.make(Vec::new(), None)).await;
        assert!(matches!(again, Err(WriteError::Halted)), "{name}");
    }
}

/// An honest node with one more block, which it would not take itself.
struct Forged {
    honest: Honest,
    block: tacit_node::FinalBlock,
}

impl Source for Forged {
    fn name(&self) -> &str {
        "forged"
    }

    fn head(&self) -> Answer<'_, u64> {
        Box::pin(async { Ok(3) })
    }

    fn blocks(&self, first: u64, count: u64) -> Answer<'_, Vec<RawBlock>> {
        Box::pin(async move {
            let mut blocks = self.honest.blocks(first, count).await?;
            let body = alloy_consensus::BlockBody::<TxEnvelope> {
                transactions: self.block.transactions.clone(),
                ommers: Vec::new(),
                withdrawals: Some(Default::default()),
            };
            let block = Block { header: self.block.header.inner().clone(), body };
            let seal = self.block.seal.clone().unwrap();
            blocks.push(RawBlock { block: alloy_rlp::encode(block).into(), seal });
            Ok(blocks)
        })
    }

    fn finality(&self, number: u64) -> Answer<'_, Option<Bytes>> {
        Box::pin(async move {
            if number != 3 {
                return self.honest.finality(number).await;
            }
            let headers = vec![self.block.header.inner().clone()];
            let certificate = self.block.certificate.clone().unwrap();
            Ok(Some(Finality { headers, certificate }.encode().into()))
        })
    }

    fn send(&self, _: Vec<Bytes>) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn snapshot(&self) -> Answer<'_, Box<dyn Chunks>> {
        self.honest.snapshot()
    }
}

/// Many blocks, of which few have certificates; a follower of a follower; what clients send to the last of them is mined.
#[tokio::test]
async fn followers_are_followed_and_pass_transactions_on() {
    let signers = Arc::new(Signers::new(1));
    let (first, _home) = honest(&signers, 70).await;
    let mut homes = Vec::new();
    let mut sources: Vec<Honest> = vec![first.clone()];
    for _ in 0..2 {
        let directory = tempfile::tempdir().unwrap();
        let node = Node::open(signers.config(directory.path())).unwrap();
        homes.push(directory);
        let from = vec![source(sources.last().unwrap().clone())];
        tokio::spawn(Follower::new(node.clone(), signers.trust(), from, TIMING).run());
        wait("it has caught up", || node.has_caught_up() && node.head().number == 70).await;
        for number in 1..=70 {
            let finality = node.finality(number).await.unwrap().unwrap();
            assert_eq!(finality.verify(&signers.trust()).unwrap().number, number);
        }
        sources.push(Honest::serve(node).await);
    }
    let last = &sources[2];
    let client = Client::new(last.url());
    assert_eq!(client.rpc("eth_syncing", json!([])).await, json!(false));
    let raw = sign(transfer(4), 0);
    let hash = client.send(&raw).await;
    wait("it arrives", || !first.node.waiting(1).is_empty()).await;
    signers.advance(&first.node, None).await;
    wait("it is mined", || last.node.head().number == 71).await;
    let receipt = client.rpc("eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(receipt["blockNumber"], "0x47");
    let proof = client.rpc("tacit_getReceiptProof", json!([hash])).await;
    let bytes: Bytes = serde_json::from_value(proof).unwrap();
    let proof = tacit_light::LightProof::decode(&bytes).unwrap();
    assert!(tacit_light::verify(&signers.trust(), &proof).unwrap().succeeded());
    for one in &sources {
        assert_eq!(one.node.state_root(71).await.unwrap(), signers.root(71));
    }
}

/// Where nobody can be reached at first, and what was sent meanwhile is not lost.
#[tokio::test]
async fn transactions_are_sent_again_until_a_block_has_them() {
    let signers = Signers::new(1);
    let (honest, _home) = honest(&signers, 2).await;
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(signers.config(directory.path())).unwrap();
    let deaf = Liar { honest: honest.clone(), lies: Lies::default(), asked: Arc::default() };
    let sources = vec![source(deaf)];
    let alone = tokio::spawn(Follower::new(node.clone(), signers.trust(), sources, TIMING).run());
    wait("it has caught up", || node.has_caught_up()).await;
    submit(&node, &[sign(transfer(2), 0)]).await;
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert!(honest.node.waiting(1).is_empty());
    alone.abort();
    let _ = alone.await;
    let follower = Follower::new(node.clone(), signers.trust(), vec![source(honest.clone())], TIMING);
    tokio::spawn(follower.run());
    wait("it arrives", || honest.node.waiting(1).len() == 1).await;
    signers.advance(&honest.node, None).await;
    wait("it is mined", || node.head().number == 3 && node.waiting(1).is_empty()).await;
}
