//! The state after a checkpoint, from one node to another: the same as by replay, or refused.

use std::path::Path;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256};
use serde_json::{Value, json};
use tacit_ledger::Account;
use tacit_light::{Checkpoint, DecodeError, Finality, LightError, SealError};
use tacit_node::{
    Node, RawBlock, StoreError,
    follower::{Answer, BeginError, Chunks, FollowTiming, Follower, Source, Unanswered, begin},
    snapshot::{Decoder, Frame, FrameError, Head, Refused, SnapshotReject, Taking, encode},
    store::{Filling, MadeBy, RedbStore},
};

use crate::{
    followers::{honest, submit},
    signers::{Honest, Signers, commitment, parts, seal, source},
    support::{Client, address, message, sign, transfer},
};

const BYTES_MAX: u64 = 1 << 20;

/// Whether nothing is left that could be taken for a chain.
fn is_empty(data_dir: &Path) -> bool {
    !Filling::is_done(data_dir) && matches!(tacit_node::export(data_dir), Err(StoreError::Absent { .. }))
}

/// What becomes of a snapshot with these bytes.
fn take(signers: &Signers, bytes: &[u8]) -> Result<u64, SnapshotReject> {
    let directory = tempfile::tempdir().unwrap();
    let mut taking = Taking::begin(directory.path(), &signers.genesis, signers.trust(), BYTES_MAX).unwrap();
    let outcome = bytes.chunks(999).try_for_each(|part| taking.take(part)).and_then(|()| taking.finish());
    match outcome {
        Ok(number) => Ok(number),
        Err(Refused::Snapshot(reject)) => {
            assert!(is_empty(directory.path()), "{reject}: something is left");
            Err(reject)
        }
        Err(other) => panic!("{other}"),
    }
}

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
    decoder.push(bytes);
    while let Some(frame) = decoder.next_frame().unwrap() {
        frames.push(frame);
    }
    decoder.finish().unwrap();
    frames
}

#[tokio::test]
async fn a_node_that_begins_with_a_checkpoint_has_the_state_of_one_that_replays() {
    let signers = Signers::new(1);
    let (honest, _home) = honest(&signers, 30).await;
    let sources = vec![source(honest.clone())];
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // The newest checkpoint is that of block 20, in block 24.
    let begun = begin(new.path(), &signers.genesis, &signers.trust(), &sources, BYTES_MAX).await;
    assert_eq!(begun.unwrap(), 20);
    let again = begin(new.path(), &signers.genesis, &signers.trust(), &sources, BYTES_MAX).await;
    assert!(matches!(again, Err(BeginError::Store(StoreError::Present { .. }))));
    let mut nodes = Vec::new();
    for home in [&old, &new] {
        let node = Node::open(signers.config(home.path())).unwrap();
        assert_eq!(node.has_blocks(), node.head().number == 0);
        let follower = Follower::new(node.clone(), signers.trust(), sources.clone(), FollowTiming::default());
        tokio::spawn(follower.run());
        nodes.push(Honest::serve(node).await);
    }
    for one in &nodes {
        assert_eq!(one.node.state_root(30).await.unwrap(), signers.root(30));
    }
    // Both go on alike: the state that the newer began with is read, changed and looked back at.
    let contract = address(0).create(0);
    submit(&honest.node, &[sign(message(4, contract, &[]), 0), sign(transfer(2), 1)]).await;
    for number in 31..=36 {
        signers.advance(&honest.node, (number == 32).then_some(28)).await;
    }
    let [old_client, new_client] = [0, 1].map(|index| Client::new(nodes[index].url()));
    for one in &nodes {
        assert_eq!(one.node.state_root(36).await.unwrap(), signers.root(36));
    }
    let people: Vec<Address> = (0..10).map(address).chain([contract, address(1).create(1)]).collect();
    for block in ["0x15", "0x1e", "0x1f", "latest"] {
        for who in &people {
            for (method, params) in [
                ("eth_getBalance", json!([who, block])),
                ("eth_getTransactionCount", json!([who, block])),
                ("eth_getCode", json!([who, block])),
                ("eth_getStorageAt", json!([who, "0x0", block])),
            ] {
                let expected = old_client.rpc(method, params.clone()).await;
                assert_eq!(new_client.rpc(method, params.clone()).await, expected, "{method} {params}");
            }
        }
        let number = json!([block, true]);
        let expected = old_client.rpc("eth_getBlockByNumber", number.clone()).await;
        assert_eq!(new_client.rpc("eth_getBlockByNumber", number).await, expected);
    }
    assert_eq!(
        new_client.rpc("eth_getStorageAt", json!([contract, "0x0", "0x15"])).await,
        json!(B256::with_last_byte(7))
    );

    // What is not here is not made up.
    for early in ["0x0", "0x1", "0x14", "earliest"] {
        assert_eq!(
            new_client.rpc("eth_getBlockByNumber", json!([early, false])).await,
            Value::Null,
            "{early}"
        );
        let (code, _) = new_client.error("eth_getBalance", json!([people[0], early])).await;
        assert_eq!(code, -32001, "{early}");
        let logs = json!([{ "fromBlock": early, "toBlock": "latest", "address": contract }]);
        let (code, text) = new_client.error("eth_getLogs", logs).await;
        assert_eq!(code, 4444, "{text}");
        assert!(text.contains("began with the state after block 20"), "{text}");
    }
    let logs = json!([{ "fromBlock": "0x15", "toBlock": "latest", "address": contract }]);
    let expected = old_client.rpc("eth_getLogs", logs.clone()).await;
    assert_eq!(expected.as_array().unwrap().len(), 1);
    assert_eq!(new_client.rpc("eth_getLogs", logs).await, expected);
    assert_eq!(new_client.rpc("eth_capabilities", json!([])).await["blocks"]["oldestBlock"], "0x15");

    // A store that began with a checkpoint is opened again, gives its own snapshot, and another node begins with that.
    let third = tempfile::tempdir().unwrap();
    let from = vec![source(nodes[1].clone())];
    let begun = begin(third.path(), &signers.genesis, &signers.trust(), &from, BYTES_MAX).await;
    assert_eq!(begun.unwrap(), 28);
    let node = Node::open(signers.config(third.path())).unwrap();
    assert_eq!(node.state_root(28).await.unwrap(), signers.root(28));
    drop(node);
    let store = RedbStore::resume(third.path(), MadeBy::Validators).unwrap();
    store.audit().unwrap();
}

#[tokio::test]
async fn no_byte_of_a_snapshot_can_be_changed_or_left_out() {
    let signers = Signers::new(1);
    let (honest, _home) = honest(&signers, 9).await;
    let bytes = honest.snapshot_bytes().await.unwrap();
    assert_eq!(take(&signers, &bytes), Ok(4));
    // Every place of an entry in one entry or another, and some of the headers.
    let head = 1 + frames(&bytes)[0].encode().len();
    let places = (0..bytes.len()).filter(|place| match *place {
        place if place < head => place % 97 == 0,
        place => place % 11 == 0,
    });
    for place in places {
        let mut changed = bytes.clone();
        changed[place] ^= 1 << (place % 8);
        assert!(take(&signers, &changed).is_err(), "byte {place}");
        if place % 29 == 0 {
            let cut = take(&signers, &bytes[..place]);
            assert_eq!(cut, Err(SnapshotReject::Frame(FrameError::Short)), "{place}");
        }
    }
    let longer = take(&signers, &[&bytes[..], &[0]].concat());
    assert_eq!(longer, Err(SnapshotReject::Frame(FrameError::Trailing)));
}

/// A snapshot with something changed in it, and its frames whole.
struct Altered<'a> {
    signers: &'a Signers,
    frames: Vec<Frame>,
}

impl Altered<'_> {
    fn take(&self, change: impl FnOnce(&mut Vec<Frame>)) -> SnapshotReject {
        let mut frames = self.frames.clone();
        change(&mut frames);
        take(self.signers, &encode(&frames)).unwrap_err()
    }

    fn head(&self, change: impl FnOnce(&mut Head)) -> SnapshotReject {
        self.take(|frames| match &mut frames[0] {
            Frame::Head(head) => change(head),
            other => panic!("{other:?}"),
        })
    }

    fn accounts(&self, change: impl FnOnce(&mut Vec<(Address, Account)>)) -> SnapshotReject {
        self.take(|frames| {
            let found = frames.iter_mut().find_map(|frame| match frame {
                Frame::Accounts(accounts) => Some(accounts),
                _ => None,
            });
            change(found.unwrap());
        })
    }

    fn slots(&self, change: impl FnOnce(&mut Vec<(Address, U256, U256)>)) -> SnapshotReject {
        self.take(|frames| {
            let found = frames.iter_mut().find_map(|frame| match frame {
                Frame::Slots(slots) => Some(slots),
                _ => None,
            });
            change(found.unwrap());
        })
    }
}

#[tokio::test]
async fn each_lie_about_the_state_is_named() {
    let signers = Signers::new(1);
    let (honest, _home) = honest(&signers, 9).await;
    let frames = frames(&honest.snapshot_bytes().await.unwrap());
    let altered = Altered { signers: &signers, frames: frames.clone() };
    let is_root =
        |reject| matches!(reject, SnapshotReject::Root { expected, .. } if expected == signers.root(4));
    assert!(is_root(altered.accounts(|all| all.truncate(1))), "an account left out");
    let nobody = Account { balance: U256::ONE, ..Account::default() };
    assert!(is_root(altered.accounts(|all| all.push((Address::repeat_byte(0xff), nobody)))), "one too many");
    assert!(is_root(altered.accounts(|all| all[0].1.balance += U256::ONE)), "another balance");
    assert!(is_root(altered.accounts(|all| all[0].1.nonce += 1)), "another nonce");
    assert!(is_root(altered.slots(|all| all[0].2 += U256::ONE)), "another value");
    assert!(is_root(altered.slots(|all| all[0].1 += U256::from(100))), "another slot");
    let last = Address::repeat_byte(0xff);
    assert!(is_root(altered.slots(|all| all.push((last, U256::ONE, U256::ONE)))), "a slot of nobody");
    assert!(is_root(altered.take(|all| all.retain(|frame| !matches!(frame, Frame::Slots(_))))), "no slots");
    // Those of another block, though it is certified as well.
    let zero = altered.slots(|all| all.push((last, U256::ONE, U256::ZERO)));
    assert_eq!(zero, SnapshotReject::ZeroSlot { address: last, slot: U256::ONE });

    // Code that is not what an account's hash says is code that is missing.
    let missing = |reject| matches!(reject, SnapshotReject::Code { .. });
    let code = |frame: &Frame| matches!(frame, Frame::Code(_));
    assert!(missing(altered.take(|all| all.retain(|frame| !code(frame)))));
    for at in (0..frames.len()).filter(|at| code(&frames[*at])) {
        let one = altered.take(|all| drop(all.remove(at)));
        assert!(missing(one), "code {at}");
        let Frame::Code(bytes) = &frames[at] else { panic!("no code") };
        let mut other = bytes.to_vec();
        other.push(0);
        let changed = altered.take(|all| all[at] = Frame::Code(other.into()));
        assert!(missing(changed) || changed == SnapshotReject::Order, "code {at}: {changed}");
    }

    // Order.
    let order = SnapshotReject::Order;
    assert_eq!(altered.take(|all| drop(all.remove(0))), order, "no head");
    assert_eq!(altered.take(|all| all.insert(1, all[0].clone())), order, "two heads");
    assert_eq!(altered.accounts(|all| all.swap(0, 1)), order);
    assert_eq!(altered.accounts(|all| all.insert(0, all[0])), order, "an account twice");
    assert_eq!(altered.slots(|all| all.insert(0, all[0])), order, "a slot twice");
    for at in 1..frames.len() - 1 {
        let twice = altered.take(|all| all.insert(at, all[at].clone()));
        assert_eq!(twice, order, "frame {at} twice");
    }
    assert_eq!(altered.take(|all| all.swap(frames.len() - 3, frames.len() - 2)), order, "slots first");
    assert_eq!(take(&signers, &encode(&[Frame::End])), Err(order));
}

#[tokio::test]
async fn each_lie_about_the_checkpoint_is_named() {
    let signers = Signers::new(1);
    let (honest, _home) = honest(&signers, 9).await;
    let frames = frames(&honest.snapshot_bytes().await.unwrap());
    let altered = Altered { signers: &signers, frames: frames.clone() };
    let bytes = altered.head(|head| head.finality = Bytes::new());
    assert_eq!(bytes, SnapshotReject::Finality(DecodeError::Format { expected: 1, got: None }));
    // The very same snapshot means nothing in another network.
    let other = Signers::new(2);
    let foreign = take(&other, &encode(&frames));
    assert_eq!(foreign, Err(SnapshotReject::Light(LightError::Vote { validator: 0 })));
    assert_eq!(
        altered.head(|head| drop(head.headers.pop())),
        SnapshotReject::Headers,
        "not up to the certified"
    );
    assert_eq!(altered.head(|head| head.headers.clear()), SnapshotReject::Headers);
    assert_eq!(altered.head(|head| drop(head.headers.remove(3))), SnapshotReject::Headers, "a hole");
    for at in 0..8 {
        let reject = altered.head(|head| head.headers[at].timestamp += 1);
        assert_eq!(reject, SnapshotReject::Headers, "header {at}");
    }
    let late = altered.head(|head| drop(head.headers.remove(0)));
    assert_eq!(late, SnapshotReject::Oldest { expected: 0, got: 1 });
    let early = altered.head(|head| {
        let before = Header::default();
        head.headers.insert(0, before);
    });
    assert_eq!(early, SnapshotReject::Headers);
    for place in [0, 40, 75, 100] {
        let reject = altered.head(|head| {
            let mut seal = head.seal.to_vec();
            seal[place] ^= 1;
            head.seal = seal.into();
        });
        assert_eq!(reject, SnapshotReject::Seal(SealError::Commitment), "byte {place}");
    }
    // A certified block without a checkpoint.
    let reject = altered.head(|head| {
        let block = honest.node.blocks(9, 1).unwrap().remove(0);
        let header = signers.head().into_inner();
        head.finality =
            Finality { headers: vec![header.clone()], certificate: signers.certify(header.hash_slow()) }
                .encode()
                .into();
        head.headers.push(header);
        head.seal = block.seal;
    });
    assert_eq!(reject, SnapshotReject::NoCheckpoint);
    // The validators certify whatever this network's key signs, but not where it began.
    let reject = altered.head(|head| {
        let root = signers.root(4);
        let seal = seal(Some(Checkpoint { number: 4, root }));
        let mut headers: Vec<Header> = Vec::new();
        for number in 0..9 {
            let parent_hash = headers.last().map_or(B256::ZERO, Header::hash_slow);
            let extra_data = commitment(&seal);
            headers.push(Header { number, parent_hash, extra_data, ..Header::default() });
        }
        let last = headers.last().unwrap().clone();
        let certificate = signers.certify(last.hash_slow());
        head.finality = Finality { headers: vec![last], certificate }.encode().into();
        head.headers = headers;
        head.seal = seal.into();
    });
    assert!(matches!(reject, SnapshotReject::OtherNetwork { .. }), "{reject}");
}

/// A node that serves bytes of its own making.
struct Serving(&'static str, Vec<u8>);

impl Source for Serving {
    fn name(&self) -> &str {
        self.0
    }
    fn head(&self) -> Answer<'_, u64> {
        Box::pin(async { Ok(0) })
    }
    fn blocks(&self, _: u64, _: u64) -> Answer<'_, Vec<RawBlock>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn finality(&self, _: u64) -> Answer<'_, Option<Bytes>> {
        Box::pin(async { Ok(None) })
    }
    fn send(&self, _: Vec<Bytes>) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
    fn snapshot(&self) -> Answer<'_, Box<dyn Chunks>> {
        Box::pin(async { Ok(parts(self.1.clone())) })
    }
}

/// It ends in the middle, without an end.
struct Broken(Honest);

impl Source for Broken {
    fn name(&self) -> &str {
        "broken"
    }
    fn head(&self) -> Answer<'_, u64> {
        self.0.head()
    }
    fn blocks(&self, first: u64, count: u64) -> Answer<'_, Vec<RawBlock>> {
        self.0.blocks(first, count)
    }
    fn finality(&self, number: u64) -> Answer<'_, Option<Bytes>> {
        self.0.finality(number)
    }
    fn send(&self, _: Vec<Bytes>) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
    fn snapshot(&self) -> Answer<'_, Box<dyn Chunks>> {
        Box::pin(async {
            let mut bytes = self.0.snapshot_bytes().await.map_err(Unanswered)?;
            bytes.truncate(bytes.len() - 100);
            Ok(Box::new(Breaking(Some(bytes.into()))) as Box<dyn Chunks>)
        })
    }
}

struct Breaking(Option<Bytes>);

impl Chunks for Breaking {
    fn next(&mut self) -> Answer<'_, Option<Bytes>> {
        let next = self.0.take();
        Box::pin(async move { next.map(Some).ok_or_else(|| Unanswered("the connection broke".into())) })
    }
}

#[tokio::test]
async fn another_source_is_asked_and_what_a_liar_left_is_gone() {
    let signers = Signers::new(1);
    let (honest, _home) = honest(&signers, 9).await;
    let frames = frames(&honest.snapshot_bytes().await.unwrap());
    let mut poorer = frames.clone();
    for frame in &mut poorer {
        if let Frame::Accounts(accounts) = frame {
            accounts.pop();
        }
    }
    // Addresses that go up for ever.
    let endless = (0_u64..30_000).map(|number| {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        (Address::from(bytes), Account::default())
    });
    let endless: Vec<(Address, Account)> = endless.collect();
    let endless = encode(&[frames[0].clone(), Frame::Accounts(endless)]);
    assert!(endless.len() as u64 > BYTES_MAX);
    let (genesis, trust) = (&signers.genesis, signers.trust());
    let directory = tempfile::tempdir().unwrap();
    let (home, poorer) = (directory.path(), encode(&poorer));
    for (bad, told) in [
        (source(Serving("poorer", poorer)), "root"),
        (source(Serving("endless", endless)), "more than 1048576 bytes"),
        (source(Serving("silent", Vec::new())), "cut short"),
        (source(Broken(honest.clone())), "the connection broke"),
    ] {
        let refused = begin(home, genesis, &trust, std::slice::from_ref(&bad), BYTES_MAX).await.unwrap_err();
        let text = refused.to_string();
        assert!(text.contains(told) && text.contains(bad.name()), "{text}");
        assert!(is_empty(home), "{text}");
        let other = tempfile::tempdir().unwrap();
        let sources = [bad, source(honest.clone())];
        let begun = begin(other.path(), genesis, &trust, &sources, BYTES_MAX).await;
        assert_eq!(begun.unwrap(), 4);
    }
    // A process that ends while it fills leaves a file under another name; the next begins anew.
    let mut taking = Taking::begin(home, genesis, trust.clone(), BYTES_MAX).unwrap();
    let bytes = encode(&frames);
    taking.take(&bytes[..bytes.len() - 20]).unwrap();
    let locked = begin(home, genesis, &trust, &[source(honest.clone())], BYTES_MAX).await;
    assert!(matches!(locked, Err(BeginError::Store(StoreError::Locked { .. }))));
    drop(taking);
    assert!(is_empty(home));
    let begun = begin(home, genesis, &trust, &[source(honest.clone())], BYTES_MAX).await;
    assert_eq!(begun.unwrap(), 4);
    assert!(matches!(begin(home, genesis, &trust, &[], BYTES_MAX).await, Err(BeginError::NoSources)));
}

#[tokio::test]
async fn snapshots_are_served_a_few_at_a_time_or_not_at_all() {
    let signers = Signers::new(1);
    let (young, _home) = honest(&signers, 7).await;
    let told = young.snapshot_bytes().await.unwrap_err();
    assert!(told.contains("no certified checkpoint yet"), "{told}");

    let directory = tempfile::tempdir().unwrap();
    let mut config = signers.config(directory.path());
    config.rpc.snapshots_max = 0;
    let told = Honest::serve(Node::open(config.clone()).unwrap()).await.snapshot_bytes().await.unwrap_err();
    assert!(told.contains("serves no snapshots"), "{told}");

    // A reader that reads nothing, of a state that does not fit what waits on the way.
    let many = (0_u64..60_000).map(|number| (Address::from_word(B256::from(U256::from(number))), U256::ONE));
    let signers = Signers::with(3, many.skip(1_000));
    let directory = tempfile::tempdir().unwrap();
    let mut config = signers.config(directory.path());
    config.rpc.snapshots_max = 1;
    let node = Node::open(config).unwrap();
    for number in 1..=8 {
        signers.advance(&node, (number == 8).then_some(4)).await;
    }
    let served = Honest::serve(node).await;
    let first = reqwest::get(format!("{}/snapshot", served.url())).await.unwrap();
    assert!(first.status().is_success());
    let told = served.snapshot_bytes().await.unwrap_err();
    assert!(told.contains("1 snapshots are being served already"), "{told}");
    // Its place is free again once it has been given.
    let whole = first.bytes().await.unwrap();
    assert!(whole.len() > 5_000_000, "{}", whole.len());
    let mut again = served.snapshot_bytes().await;
    for _ in 0..100 {
        if again.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        again = served.snapshot_bytes().await;
    }
    assert_eq!(again.unwrap(), whole.to_vec());
}
