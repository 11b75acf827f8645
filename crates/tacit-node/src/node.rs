//! A running node.

use std::{io, sync::Arc, thread::JoinHandle};

use alloy_consensus::{Header, Sealed, TxEnvelope, transaction::Recovered};
use alloy_primitives::B256;
use tacit_ledger::{GenesisError, LtHash};
use thiserror::Error;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};

use crate::{
    config::{NodeConfig, RpcLimits},
    pool::Pool,
    rpc,
    shared::Shared,
    store::{Identity, NewBlock, RedbStore, Store, StoreError},
    writer::{Command, WriteError, Writer},
};

/// Why a node could not start or had to stop.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The genesis breaks a rule.
    #[error("invalid genesis: {0}")]
    Genesis(#[from] GenesisError),
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system gave no thread, or the listener failed.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// A ledger in this process. Clones share it; the store closes when the last one is gone.
#[derive(Debug, Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    limits: RpcLimits,
    genesis: B256,
    writer: Option<(mpsc::Sender<Command>, JoinHandle<()>)>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("chain", &self.shared.chain)
            .field("head", &self.shared.head().number)
            .finish()
    }
}

impl Drop for Inner {
    /// Waits for the block in work, so that the data directory can be opened again at once.
    fn drop(&mut self) {
        if let Some((commands, thread)) = self.writer.take() {
            drop(commands);
            if thread.join().is_err() {
                tracing::error!("the writer thread panicked");
            }
        }
    }
}

impl Node {
    /// Opens the chain, or begins it.
    ///
    /// # Errors
    /// Refuses an invalid genesis and a data directory that is in use, of another chain or format, or damaged.
    pub fn open(config: NodeConfig) -> Result<Self, NodeError> {
        let chain = config.genesis.chain;
        let genesis = config.genesis.build(LtHash::default())?;
        let identity = Identity { chain_id: chain.chain_id, genesis: genesis.block.hash() };
        let first = NewBlock {
            hash: genesis.block.hash(),
            header: &genesis.block.header,
            transactions: &[],
            receipts: &[],
            changes: &genesis.changes,
            accumulator: &genesis.commitment,
        };
        let store = RedbStore::open(config.data_dir.as_deref(), identity, &first)?;
        Self::with_store(Box::new(store), config, identity.genesis)
    }

    /// A node on a store that is open already and holds the chain of `config`.
    ///
    /// # Errors
    /// When the store or the system fails.
    pub fn with_store(store: Box<dyn Store>, config: NodeConfig, genesis: B256) -> Result<Self, NodeError> {
        let (head, commitment) = {
            let view = store.view()?;
            let (hash, header) = view.head()?;
            (Sealed::new_unchecked(header, hash), view.accumulator()?)
        };
        let pool = Pool::new(config.pool);
        let shared = Arc::new(Shared::new(config.genesis.chain, config.beneficiary, store, pool, head));
        let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
        let writer = Writer::new(Arc::clone(&shared), commitment);
        let thread =
            std::thread::Builder::new().name("tacit-writer".into()).spawn(|| writer.run(receiver))?;
        let inner = Inner { shared, limits: config.rpc, genesis, writer: Some((sender, thread)) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Answers JSON-RPC on `listener` until `shutdown` ends; requests in work are finished first.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), NodeError> {
        rpc::serve(self.clone(), listener, shutdown).await?;
        Ok(())
    }

    /// EIP-155 chain id.
    #[must_use]
    pub fn chain_id(&self) -> u64 {
        self.inner.shared.chain.chain_id
    }

    /// Hash of block zero.
    #[must_use]
    pub fn genesis_hash(&self) -> B256 {
        self.inner.genesis
    }

    /// The newest block's header under its hash.
    #[must_use]
    pub fn head(&self) -> Arc<Sealed<Header>> {
        self.inner.shared.head()
    }

    /// Takes a transaction; returns when its block is durable, or when it waits for earlier ones.
    ///
    /// # Errors
    /// When it is refused, or the store fails.
    pub async fn submit(&self, transaction: Recovered<TxEnvelope>) -> Result<(), WriteError> {
        self.command(|reply| Command::Submit { transaction: Box::new(transaction), reply }).await
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    pub(crate) fn limits(&self) -> &RpcLimits {
        &self.inner.limits
    }

    /// Queues a command; the answer comes through the receiver, so that several can be in work.
    pub(crate) async fn enqueue<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, WriteError>>) -> Command,
    ) -> Result<oneshot::Receiver<Result<T, WriteError>>, WriteError> {
        let Some((commands, _)) = &self.inner.writer else { return Err(WriteError::Closing) };
        let (reply, answer) = oneshot::channel();
        commands.send(command(reply)).await.map_err(|_| WriteError::Closing)?;
        Ok(answer)
    }

    pub(crate) async fn command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, WriteError>>) -> Command,
    ) -> Result<T, WriteError> {
        self.enqueue(command).await?.await.unwrap_or(Err(WriteError::Closing))
    }
}

/// Commands waiting for the writer; more senders wait themselves.
const COMMANDS_MAX: usize = 4096;
