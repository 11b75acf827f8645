//! A running node.

use std::{
    io,
    path::Path,
    pin::Pin,
    sync::{Arc, OnceLock},
    thread::JoinHandle,
};

use alloy_consensus::{Header, Sealed, TxEnvelope, transaction::Recovered};
use alloy_primitives::B256;
use tacit_ledger::{Chain, GenesisError};
use tacit_light::{CertificateKind, Finality};
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
    store::{First, Identity, MadeBy, RedbStore, Store, StoreError},
    writer::{Command, WriteError, Writer},
};

/// Why a node could not start or had to stop.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The first block that the validators agreed on is not that of the genesis.
    #[error("the network's first block does not belong to its genesis")]
    FirstBlock,
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

type FindFinality = Box<
    dyn Fn(u64, Option<CertificateKind>) -> Pin<Box<dyn Future<Output = Option<Finality>> + Send>>
        + Send
        + Sync,
>;

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
    metrics: OnceLock<Box<dyn Fn() -> String + Send + Sync>>,
    finality: OnceLock<FindFinality>,
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
        let genesis = &config.genesis;
        let (header, made_by) = match &config.validators {
            Some(first) => {
                let own = genesis.header(first.header.state_root)?;
                let header = first.header.clone();
                if own != (Header { extra_data: own.extra_data.clone(), ..header.clone() }) {
                    return Err(NodeError::FirstBlock);
                }
                (header, MadeBy::Validators)
            }
            None => (genesis.found().finish()?.block.into_inner().header, MadeBy::Development),
        };
        let hash = header.hash_slow();
        let certifier = config.validators.as_ref().map(|first| first.certifier(genesis.chain.chain_id));
        let identity = Identity { chain: Chain { certifier, ..genesis.chain }, genesis: hash, made_by };
        let first = First { genesis, hash, header: &header };
        let store = RedbStore::open(config.data_dir.as_deref(), identity, &first);
        let store = store.map_err(|error| match error {
            StoreError::Genesis(GenesisError::FirstState { .. }) => NodeError::FirstBlock,
            StoreError::Genesis(error) => NodeError::Genesis(error),
            error => NodeError::Store(error),
        })?;
        Self::with_store(Box::new(store), &config)
    }

    /// Goes on with the chain in `data_dir`, whichever it is, in development mode.
    ///
    /// # Errors
    /// [`StoreError::Absent`] when there is none; else as [`Node::open`].
    pub fn resume(data_dir: &Path, config: &NodeConfig) -> Result<Self, NodeError> {
        let store = RedbStore::resume(data_dir, MadeBy::Development)?;
        Self::with_store(Box::new(store), config)
    }

    /// A node on a store that is open already. Chain and first block are the store's.
    ///
    /// # Errors
    /// When the store or the system fails.
    pub fn with_store(store: Box<dyn Store>, config: &NodeConfig) -> Result<Self, NodeError> {
        let (head, commitment) = {
            let view = store.view()?;
            let (hash, header) = view.head()?;
            (Sealed::new_unchecked(header, hash), view.accumulator()?)
        };
        let Identity { chain, genesis, .. } = store.identity();
        let pool = Pool::new(config.pool);
        let shared = Arc::new(Shared::new(chain, config.beneficiary, store, pool, head));
        let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
        let mut writer = Writer::new(Arc::clone(&shared), commitment);
        writer.reload()?;
        let thread =
            std::thread::Builder::new().name("tacit-writer".into()).spawn(|| writer.run(receiver))?;
        let writer = Some((sender, thread));
        let inner = Inner {
            shared,
            limits: config.rpc,
            genesis,
            writer,
            metrics: OnceLock::new(),
            finality: OnceLock::new(),
        };
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

    /// Hash of the first block.
    #[must_use]
    pub fn genesis_hash(&self) -> B256 {
        self.inner.genesis
    }

    /// The newest block's header under its hash.
    #[must_use]
    pub fn head(&self) -> Arc<Sealed<Header>> {
        self.inner.shared.head()
    }

    /// Adds measurements of somebody else to `/metrics`, in Prometheus' text format; only the first call counts.
    pub fn add_metrics(&self, read: impl Fn() -> String + Send + Sync + 'static) {
        // A second reader has no place.
        let _ = self.inner.metrics.set(Box::new(read));
    }

    /// Serves proofs for light clients, with certificates that `find` knows by the number of a block and the kind that is wanted, if
    /// one is; only the first call counts.
    pub fn add_finality<F>(&self, find: impl Fn(u64, Option<CertificateKind>) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Option<Finality>> + Send + 'static,
    {
        // A second finder has no place.
        let _ = self.inner.finality.set(Box::new(move |number, kind| Box::pin(find(number, kind))));
    }

    /// What proves that a block is final, from whoever was given to [`Node::add_finality`], else from the store; `None` where
    /// nobody signs blocks, or no certificate is here.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn finality(&self, number: u64) -> Result<Option<Finality>, StoreError> {
        match self.inner.finality.get() {
            Some(find) => Ok(find(number, None).await),
            None => self.stored_finality(number),
        }
    }

    /// The votes that made a block final, or one of its next descendants; `None` where no votes are kept: followers keep none.
    pub async fn votes(&self, number: u64) -> Option<Finality> {
        self.inner.finality.get()?(number, Some(CertificateKind::Votes)).await
    }

    pub(crate) fn extra_metrics(&self) -> String {
        self.inner.metrics.get().map(|read| read()).unwrap_or_default()
    }

    /// Takes a transaction; returns when its block is durable, or when it waits, for earlier ones or for validators.
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

    /// Queues a command that nobody waits for.
    pub(crate) async fn tell(&self, command: Command) {
        if let Some((commands, _)) = &self.inner.writer {
            // A node that is closing takes nothing more.
            let _ = commands.send(command).await;
        }
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
