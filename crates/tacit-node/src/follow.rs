//! What a validator needs of the node: transactions to propose, and a place for final blocks.

use std::sync::Arc;

use alloy_consensus::{Header, TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, B256};
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

    /// Takes what another node passed on. What is refused is left out in silence: the other node answers for it.
    pub async fn hear(&self, transactions: Vec<Recovered<TxEnvelope>>) {
        self.tell(Command::Hear { transactions }).await;
    }
}

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
