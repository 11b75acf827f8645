//! A network of one validator whose key the tests have: blocks with seals and certificates, and nodes that serve them.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use alloy_consensus::{Header, Sealed, TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, B256, Bytes, FixedBytes, U256};
use commonware_cryptography::{Hasher as _, Sha256, Signer as _, ed25519::PrivateKey};
use tacit_ledger::{Attributes, Genesis, LtHash, MemoryState, StateCommitment as _, build};
use tacit_light::{Certificate, Checkpoint, GroupKey, Trust, ValidatorKey, Votes};
use tacit_node::{
    FinalBlock, FirstBlock, Node, NodeConfig, RawBlock,
    follower::{Answer, Chunks, Source, Unanswered},
};
use tokio::net::TcpListener;

use crate::support::config;

/// The validators' state root is none that a node could check.
const ROOT: B256 = B256::repeat_byte(0x55);
const NAMESPACE: B256 = B256::repeat_byte(0x5a);

pub(crate) struct Signers {
    key: PrivateKey,
    pub(crate) genesis: Genesis,
    pub(crate) first: FirstBlock,
    made: Mutex<Made>,
}

struct Made {
    head: Sealed<Header>,
    state: MemoryState,
    sum: LtHash,
    roots: Vec<B256>,
}

/// A group whose secret everybody knows: one. Its key is the generator of G2.
pub(crate) fn group() -> GroupKey {
    let key = "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e\
               024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8";
    key.parse().unwrap()
}

impl Signers {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(seed, [])
    }

    /// With more accounts than those everybody knows.
    pub(crate) fn with(seed: u64, more: impl IntoIterator<Item = (Address, U256)>) -> Self {
        let genesis = NodeConfig::dev_with_public_accounts(more).genesis;
        let genesis = Genesis { extra_data: Default::default(), ..genesis };
        let built = genesis.build(LtHash::default()).unwrap();
        let mut state = MemoryState::default();
        state.apply(&built.changes);
        let extra_data = [u8::try_from(seed).unwrap(); 32].into();
        let header = Header { state_root: ROOT, extra_data, ..built.block.header.clone() };
        let hash = header.hash_slow();
        state.block_hashes.insert(0, hash);
        let root = built.commitment.root();
        let head = Sealed::new_unchecked(header.clone(), hash);
        let made = Made { head, state, sum: built.commitment, roots: vec![root] };
        let first = FirstBlock { header, state: built.first_state, group: group() };
        Self { key: PrivateKey::from_seed(seed), genesis, first, made: Mutex::new(made) }
    }

    pub(crate) fn config(&self, data_dir: &Path) -> NodeConfig {
        NodeConfig::network(self.genesis.clone(), self.first.clone()).with_data_dir(Some(data_dir.to_owned()))
    }

    pub(crate) fn trust(&self) -> Trust {
        let key = ValidatorKey::new(B256::from_slice(self.key.public_key().as_ref())).unwrap();
        let genesis = self.first.header.hash_slow();
        Trust::new(self.genesis.chain.chain_id, genesis).with_group(group()).with_validators(NAMESPACE, [key])
    }

    /// Root of the state after a block.
    pub(crate) fn root(&self, number: u64) -> B256 {
        self.made.lock().unwrap().roots[usize::try_from(number).unwrap()]
    }

    pub(crate) fn head(&self) -> Sealed<Header> {
        self.made.lock().unwrap().head.clone()
    }

    pub(crate) fn certify(&self, hash: B256) -> Certificate {
        let namespace = [NAMESPACE.as_slice(), b"_FINALIZE"].concat();
        let message = [&[0, 1, 0], hash.as_slice()].concat();
        let signature = FixedBytes::from_slice(self.key.sign(&namespace, &message).as_ref());
        Certificate::Votes(Votes::new((0, 1, 0), 1, [(0, signature)]))
    }

    /// The next block, certified; with the checkpoint of an earlier one.
    pub(crate) fn make(
        &self,
        transactions: Vec<Recovered<TxEnvelope>>,
        checkpoint: Option<u64>,
    ) -> FinalBlock {
        let checkpoint = checkpoint.map(|number| Checkpoint { number, root: self.root(number) });
        self.make_with(transactions, checkpoint, |_| ())
    }

    /// The same with anything in the seal, and with whatever a quorum of liars changes in the header.
    pub(crate) fn make_with(
        &self,
        transactions: Vec<Recovered<TxEnvelope>>,
        checkpoint: Option<Checkpoint>,
        change: impl FnOnce(&mut Header),
    ) -> FinalBlock {
        let mut made = self.made.lock().unwrap();
        let seal = seal(checkpoint);
        let attributes = Attributes {
            timestamp: made.head.timestamp + 1,
            beneficiary: Address::repeat_byte(0xbe),
            extra_data: commitment(&seal),
            ..Attributes::default()
        };
        let chain = self.genesis.chain;
        let built = build(&chain, &made.head, &attributes, &made.state, &made.sum, transactions).unwrap();
        assert!(built.executed.rejected.is_empty());
        made.state.apply(&built.executed.changes);
        made.sum = built.commitment;
        let root = made.sum.root();
        made.roots.push(root);
        let block = built.executed.seal(&made.head, &attributes, ROOT).into_inner();
        let mut header = block.header;
        change(&mut header);
        let hash = header.hash_slow();
        made.state.block_hashes.insert(header.number, hash);
        made.head = Sealed::new_unchecked(header, hash);
        FinalBlock {
            header: made.head.clone(),
            transactions: block.body.transactions,
            seal: Some(seal.into()),
            certificate: Some(self.certify(hash)),
        }
    }

    /// What a node offers, in the next block, which it takes.
    pub(crate) async fn advance(&self, node: &Node, checkpoint: Option<u64>) {
        let offered = node.propose(&self.head(), 60_000_000, 1 << 20);
        node.append(self.make(offered, checkpoint)).await.unwrap();
    }
}

/// Bytes of a seal.
pub(crate) fn seal(checkpoint: Option<Checkpoint>) -> Vec<u8> {
    let mut seal = [&[0, 1][..], &[4; 32], &[0], &[5; 32], &[1, 0, 1]].concat();
    match checkpoint {
        None => seal.push(0),
        Some(Checkpoint { number, root }) => {
            assert!(number < 128, "one byte as a varint");
            seal.extend([1, u8::try_from(number).unwrap()]);
            seal.extend(root);
        }
    }
    seal
}

/// What `extraData` must be.
pub(crate) fn commitment(seal: &[u8]) -> Bytes {
    Sha256::hash(&[b"tacit/seal/2".as_slice(), seal]).0.to_vec().into()
}

/// An honest node, as others reach it.
#[derive(Clone)]
pub(crate) struct Honest {
    pub(crate) node: Node,
    url: String,
}

impl Honest {
    /// Serves `node` for as long as the test runs.
    pub(crate) async fn serve(node: Node) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = node.clone();
        tokio::spawn(async move { served.serve(listener, std::future::pending()).await });
        Self { node, url }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Bytes of its snapshot, or what it says instead.
    pub(crate) async fn snapshot_bytes(&self) -> Result<Vec<u8>, String> {
        let response = reqwest::get(format!("{}/snapshot", self.url)).await.unwrap();
        let (status, bytes) = (response.status(), response.bytes().await.unwrap().to_vec());
        if status.is_success() { Ok(bytes) } else { Err(String::from_utf8(bytes).unwrap()) }
    }
}

struct Parts(Vec<u8>);

/// Bytes in parts of a size that fits nothing.
pub(crate) fn parts(bytes: Vec<u8>) -> Box<dyn Chunks> {
    Box::new(Parts(bytes))
}

impl Chunks for Parts {
    fn next(&mut self) -> Answer<'_, Option<Bytes>> {
        let length = self.0.len().min(1_237);
        let part: Bytes = self.0.drain(..length).collect::<Vec<u8>>().into();
        Box::pin(async move { Ok((!part.is_empty()).then_some(part)) })
    }
}

impl Source for Honest {
    fn name(&self) -> &str {
        "honest"
    }

    fn head(&self) -> Answer<'_, u64> {
        Box::pin(async { Ok(self.node.head().number) })
    }

    fn blocks(&self, first: u64, count: u64) -> Answer<'_, Vec<RawBlock>> {
        Box::pin(async move { Ok(self.node.blocks(first, count).unwrap()) })
    }

    fn finality(&self, number: u64) -> Answer<'_, Option<Bytes>> {
        Box::pin(async move {
            let found = self.node.finality(number).await.unwrap();
            Ok(found.map(|finality| finality.encode().into()))
        })
    }

    fn send(&self, transactions: Vec<Bytes>) -> Answer<'_, ()> {
        Box::pin(async move {
            for bytes in transactions {
                let transaction = tacit_node::admission::decode(&bytes, &config(None).genesis.chain).unwrap();
                // Sent again: it is known.
                let _ = self.node.submit(transaction).await;
            }
            Ok(())
        })
    }

    fn snapshot(&self) -> Answer<'_, Box<dyn Chunks>> {
        Box::pin(async { self.snapshot_bytes().await.map(parts).map_err(Unanswered) })
    }
}

/// As sources are wanted.
pub(crate) fn source(source: impl Source) -> Arc<dyn Source> {
    Arc::new(source)
}
