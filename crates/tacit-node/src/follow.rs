//! What a validator or a follower needs of the node: transactions to propose, a place for final blocks, and what others need
//! to follow.

use std::sync::Arc;

use alloy_consensus::{Block, BlockBody, Header, TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, B256, Bytes};
use tacit_light::{Finality, HEADERS_MAX};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{
    node::Node,
    pool::Proposal,
    store::{At, StoreError},
    writer::{Command, FinalBlock, WriteError},
};

impl Node {
    /// Takes a block that validators made final; when this returns it is durable and visible. One that is here already is
    /// taken again.
    ///
    /// # Errors
    /// The block does not follow, is executed to another result, or the store fails.
    pub async fn append(&self, block: FinalBlock) -> Result<(), WriteError> {
        self.command(|reply| Command::Append { block: Box::new(block), reply }).await
    }

    /// Whether this node has the final blocks that its network had when it joined. Until then it takes no transactions: what it
    /// knows of an account's nonce may be old, and a client would send again what is in a block already.
    #[must_use]
    pub fn has_caught_up(&self) -> bool {
        self.shared().has_caught_up()
    }

    /// Whether the head's block is here: not so at once where the store began with a checkpoint.
    #[must_use]
    pub fn has_blocks(&self) -> bool {
        let head = self.head().number;
        self.shared().store.view().and_then(|view| view.header(head)).is_ok_and(|header| header.is_some())
    }

    /// From now on, transactions are taken.
    pub fn catch_up(&self) {
        self.shared().catch_up();
    }

    /// Resolves when there is something to propose that is in no block yet, as far as this node knows.
    pub async fn ready(&self) {
        let shared = self.shared();
        let (mut admitted, mut heads) = (shared.admitted(), shared.watch());
        loop {
            let head = shared.head();
            if shared.pool().has_ready(head.number, shared.chain.next_base_fee(&head)) {
                return;
            }
            // A lagging receiver has missed some, which is as good as one.
            tokio::select! {
                taken = admitted.recv() => if matches!(taken, Err(RecvError::Closed)) { std::future::pending().await },
                moved = heads.changed() => if moved.is_err() { std::future::pending().await },
            }
        }
    }

    /// Transactions for a block on top of `parent`, best first: at most `gas_max` by their own limits, at most `bytes_max` as
    /// EIP-2718 encodes them. They count as in flight until a block of that number is final.
    #[must_use]
    pub fn propose(&self, parent: &Header, gas_max: u64, bytes_max: usize) -> Vec<Recovered<TxEnvelope>> {
        let shared = self.shared();
        let head = shared.head().number;
        let base_fee = shared.chain.next_base_fee(parent);
        shared.pool().propose(&Proposal { head, parent: parent.number, base_fee, gas_max, bytes_max })
    }

    /// The sender of a transaction whose signature was checked here before.
    #[must_use]
    pub fn sender(&self, hash: &B256) -> Option<Address> {
        self.shared().sender(hash)
    }

    /// Transactions that an account has sent, at the head.
    ///
    /// # Errors
    /// When the store fails.
    pub fn nonce(&self, account: Address) -> Result<u64, StoreError> {
        let view = self.shared().store.view()?;
        Ok(view.account(account, At::Head)?.unwrap_or_default().nonce)
    }

    /// Whether a transaction waits here or was proposed lately.
    #[must_use]
    pub fn knows(&self, hash: &B256) -> bool {
        self.shared().sender(hash).is_some()
    }

    /// Tells that a block of this number was proposed, here or elsewhere, and that its signatures were checked.
    pub fn seen(&self, number: u64, transactions: &[Recovered<TxEnvelope>]) {
        self.shared().seen(number, transactions);
    }

    /// What clients of this node send from now on, in batches, for other nodes to know.
    #[must_use]
    pub fn taken(&self) -> Taken {
        Taken(self.shared().taken())
    }

    /// Root of the flat state after the block of this number, by the ledger's own commitment; waits until the block is here.
    ///
    /// # Errors
    /// When the store fails, or began after that block.
    pub async fn state_root(&self, number: u64) -> Result<B256, WriteError> {
        let mut heads = self.shared().watch();
        heads.wait_for(|head| head.number >= number).await.map_err(|_| WriteError::Closing)?;
        let root = self.shared().store.view()?.root(number)?;
        root.ok_or(WriteError::Store(StoreError::Corrupt("root")))
    }

    /// Hash of the block of this number; `None` where it is not here.
    ///
    /// # Errors
    /// When the store fails.
    pub fn hash(&self, number: u64) -> Result<Option<B256>, StoreError> {
        Ok(self.shared().store.view()?.header(number)?.map(|(hash, _)| hash))
    }

    /// Final blocks from `first` on with their seals: at most `count`, and not more than one answer can have.
    ///
    /// # Errors
    /// When the store fails.
    pub fn blocks(&self, first: u64, count: u64) -> Result<Vec<RawBlock>, StoreError> {
        let view = self.shared().store.view()?;
        let (mut blocks, mut bytes) = (Vec::new(), 0_usize);
        for number in (first..).take(usize::try_from(count.min(BLOCKS_MAX)).unwrap_or_default()) {
            let Some((_, header)) = view.header(number)? else { break };
            let transactions = view.transactions(number)?.into_iter().map(Recovered::into_inner).collect();
            let withdrawals = header.withdrawals_root.map(|_| Default::default());
            let body = BlockBody::<TxEnvelope> { transactions, ommers: Vec::new(), withdrawals };
            let block = Bytes::from(alloy_rlp::encode(Block { header, body }));
            let seal = view.seal(number)?.unwrap_or_default();
            bytes = bytes.saturating_add(block.len()).saturating_add(seal.len());
            if bytes > BLOCKS_BYTES_MAX && !blocks.is_empty() {
                break;
            }
            blocks.push(RawBlock { block, seal });
        }
        Ok(blocks)
    }

    /// The certificate of a block that this node keeps itself: of that block, or of one soon after.
    pub(crate) fn stored_finality(&self, number: u64) -> Result<Option<Finality>, StoreError> {
        let view = self.shared().store.view()?;
        let last = number.saturating_add(HEADERS_MAX as u64 - 1);
        let Some((certified, certificate)) = view.certificate(number, last)? else { return Ok(None) };
        let headers = (number..=certified).map(|number| view.header(number));
        let headers = headers.collect::<Result<Option<Vec<_>>, _>>()?;
        let headers = headers.map(|headers| headers.into_iter().map(|(_, header)| header).collect());
        Ok(headers.map(|headers| Finality { headers, certificate }))
    }

    /// What waits here for a block, at most `limit` transactions.
    #[must_use]
    pub fn waiting(&self, limit: usize) -> Vec<Recovered<TxEnvelope>> {
        self.shared().pool().iter().take(limit).cloned().collect()
    }

    /// Takes what another node passed on. What is refused is left out in silence: the other node answers for it.
    pub async fn hear(&self, transactions: Vec<Recovered<TxEnvelope>>) {
        self.tell(Command::Hear { transactions }).await;
    }
}

/// A final block as it goes to those who follow.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawBlock {
    /// RLP of the Ethereum block.
    pub block: Bytes,
    /// What consensus binds to it; empty where it is not known.
    pub seal: Bytes,
}

/// Blocks in one answer, at most.
pub const BLOCKS_MAX: u64 = 64;
/// Bytes of blocks in one answer, at most, unless the first is longer.
pub const BLOCKS_BYTES_MAX: usize = 2 << 20;

/// Batches of transactions that clients of a node sent.
#[derive(Debug)]
pub struct Taken(Receiver<Arc<[Recovered<TxEnvelope>]>>);

impl Taken {
    /// The next batch; `None` when the node has closed. A listener that falls far behind misses some.
    pub async fn next(&mut self) -> Option<Arc<[Recovered<TxEnvelope>]>> {
        loop {
            match self.0.recv().await {
                Ok(batch) => return Some(batch),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
