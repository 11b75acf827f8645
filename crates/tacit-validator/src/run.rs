//! From a configuration to a validator that runs.

use crate::{
    evidence::{EvidenceBox, EvidenceCounters},
    gossip,
    home::{self, HomeError},
    key::{ShareKey, ValidatorAddress, ValidatorKey},
    ports::Ports,
    sync::consensus_has_begun,
    transport::Line,
};
use alloy_primitives::{Address, B256};
use commonware_p2p::authenticated::discovery::Network;
use commonware_runtime::{
    Clock as _, Metrics as _, Quota, Runner as _, Spawner as _, Supervisor as _,
    buffer::paged::CacheRef,
    tokio::{Config as RuntimeConfig, Context, Runner},
};
use commonware_utils::{NZU16, NZU32, NZU64, NZUsize, ordered::Set};
use core::{
    fmt,
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};
use futures::{
    channel::oneshot,
    executor::block_on,
    future::{BoxFuture, Either, select},
    pin_mut,
};
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};
use tacit_consensus::{
    Anchor, Channels, EngineConfig, GenesisFailure, Group, Rules, StartError, StorageConfig, Timing,
    Validator, max_message_bytes, prepare_genesis,
};
use tacit_ledger::Genesis;
use tacit_light::{CertificateKind, Finality};
use tacit_node::{FirstBlock, Node};

/// The engine as it is instantiated here.
pub type NodeValidator = Validator<Context, Ports, Ports>;

/// One of the first validators, and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its public key.
    pub key: ValidatorAddress,
    /// Its address, seen from the others.
    pub address: SocketAddr,
}

/// Where the validators of a network are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// On one machine or one private network: private addresses are allowed, reconnecting is fast, many may share an address.
    Local,
    /// On the public network.
    Public,
}

/// Everything a validator needs to know.
pub struct ValidatorConfig {
    /// The key that votes, once it is in an epoch's committee. On one machine only.
    pub key: ValidatorKey,
    /// The group of the first validators, as their network's description has it.
    pub group: Group,
    /// This validator's share of the group's key, if it is one of the first. Later ones are handed theirs.
    pub share: Option<ShareKey>,
    /// The first validators: whom to call first. They need not be validators any more.
    pub validators: Vec<Peer>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where others reach this validator. It tells them.
    pub reached: SocketAddr,
    /// Where the validators are.
    pub reach: Reach,
    /// Where chain and state are kept. One validator only.
    pub data_dir: PathBuf,
    /// Where evidence against validators is kept.
    pub evidence_dir: PathBuf,
    /// The first block.
    pub genesis: Genesis,
    /// Where it begins, if its folder is empty and it is not to fetch every block. The node must have that block.
    pub anchor: Option<Anchor>,
    /// Rules of the network.
    pub rules: Rules,
    /// Who gets the priority fees of this validator's blocks.
    pub beneficiary: Address,
    /// How long things may take.
    pub timing: Timing,
    /// Bytes of memory for pages of state. State that does not fit costs a disk read per key.
    pub state_cache_bytes: NonZeroUsize,
    /// Threads of the runtime.
    pub worker_threads: NonZeroUsize,
}

impl fmt::Debug for ValidatorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidatorConfig")
            .field("key", &self.key.address())
            .field("listen", &self.listen)
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}

/// Why a validator does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// One key stands twice in the list of validators.
    #[error("a validator is listed twice")]
    ListedTwice,
    /// Its folder cannot be made, or not be kept from others.
    #[error("cannot make {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its key does not vote from this folder.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The system has no thread to give.
    #[error("no thread for the validator")]
    Thread(#[source] io::Error),
    /// Consensus and node begin with different blocks.
    #[error("the network's first block is not that of its genesis and validators")]
    FirstBlock,
    /// It did not start.
    #[error("the validator did not start")]
    Start(#[source] StartError),
    /// Its runtime ended; the reason was printed by the panic that ended it.
    #[error("the validator halted")]
    Halted,
}

/// A validator that runs until it is stopped or dropped.
pub struct RunningValidator {
    validator: Arc<NodeValidator>,
    metrics: Arc<Context>,
    evidence: EvidenceCounters,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
    /// Writes evidence down.
    keeper: Option<thread::JoinHandle<()>>,
}

impl fmt::Debug for RunningValidator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningValidator").field("validator", &self.validator).finish_non_exhaustive()
    }
}

impl RunningValidator {
    /// The validator, for questions about blocks and state.
    #[must_use]
    pub fn validator(&self) -> &Arc<NodeValidator> {
        &self.validator
    }

    /// Reads the measurements of consensus, network, storage and runtime, in Prometheus' text format, for as long as the
    /// reader is kept.
    pub fn metrics(&self) -> impl Fn() -> String + Send + Sync + use<> {
        let (context, evidence) = (Arc::clone(&self.metrics), self.evidence.clone());
        move || context.encode() + &evidence.text()
    }

    /// Finds what proves to a light client that a block is final, by a certificate of the kind that is wanted, for as long as it is kept.
    pub fn finality(
        &self,
    ) -> impl Fn(u64, Option<CertificateKind>) -> BoxFuture<'static, Option<Finality>> + Send + Sync + use<>
    {
        let validator = Arc::clone(&self.validator);
        move |number, kind| {
            let validator = Arc::clone(&validator);
            Box::pin(async move {
                if kind.is_some() {
                    return validator.finality(number, kind).await;
                }
                // The group's signature where there is one: who follows the network may know no more than the group.
                match validator.finality(number, Some(CertificateKind::Threshold)).await {
                    None => validator.finality(number, None).await,
                    found => found,
                }
            })
        }
    }

    /// Whether it still runs: a store that failed has ended it.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Ends it and waits until it has let go of its files and sockets.
    ///
    /// # Errors
    /// It had halted by itself.
    pub fn stop(mut self) -> Result<(), RunError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), RunError> {
        let halted = self.thread.as_ref().is_some_and(thread::JoinHandle::is_finished);
        // Dropping the sender says stop.
        self.stop.take();
        let ended = match self.thread.take().map(thread::JoinHandle::join) {
            Some(Err(_)) if halted => Err(RunError::Halted),
            // The library's tasks expect each other; one that still begins when others end already is cut off, as by `kill -9`.
            Some(Err(_)) => {
                tracing::warn!("a task was cut off while the validator ended");
                Ok(())
            }
            Some(Ok(())) | None => Ok(()),
        };
        if let Some(keeper) = self.keeper.take() {
            // It has no reason to panic, and nothing depends on it.
            let _ = keeper.join();
        }
        ended
    }
}

impl Drop for RunningValidator {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = self.end();
    }
}

/// Starts a validator on threads of its own; returns once it has joined. It proposes what `node` has, and hands it every final
/// block.
///
/// # Errors
/// The configuration is refused, or a store or thread is not to be had.
pub fn start(config: ValidatorConfig, node: Node) -> Result<RunningValidator, RunError> {
    let listed = config.validators.len();
    if Set::from_iter_dedup(config.validators.iter().map(|peer| peer.key.0.clone())).len() < listed {
        return Err(RunError::ListedTwice);
    }
    own_folder(&config.data_dir)
        .map_err(|source| RunError::Folder { path: config.data_dir.clone(), source })?;
    home::settle(&config.key.file, &config.data_dir, config.anchor.is_some(), || {
        consensus_has_begun(&config.data_dir)
    })?;
    let first = node.genesis_hash();
    let (evidence, counters, keeper) =
        EvidenceBox::open(config.evidence_dir.clone()).map_err(RunError::Thread)?;
    let (started_sender, started) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    let thread = thread::Builder::new()
        .name("validator".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let runtime = RuntimeConfig::new()
                .with_storage_directory(&config.data_dir)
                .with_worker_threads(config.worker_threads.get());
            Runner::new(runtime)
                .start(|context| serve(context, config, first, node, evidence, started_sender, stopped));
        })
        .map_err(RunError::Thread)?;
    match block_on(started) {
        Ok(Ok((validator, metrics))) => {
            let right = validator.genesis().hash() == first;
            let running = RunningValidator {
                validator,
                metrics: Arc::new(metrics),
                evidence: counters,
                stop: Some(stop),
                thread: Some(thread),
                keeper: Some(keeper),
            };
            if right { Ok(running) } else { Err(RunError::FirstBlock) }
        }
        Ok(Err(error)) => Err(RunError::Start(error)),
        Err(oneshot::Canceled) => Err(RunError::Halted),
    }
}

async fn serve(
    context: Context,
    config: ValidatorConfig,
    first: B256,
    node: Node,
    evidence: EvidenceBox,
    started: oneshot::Sender<Result<(Arc<NodeValidator>, Context), StartError>>,
    stopped: oneshot::Receiver<()>,
) {
    let (mut network, oracle) = Network::new(context.child("network"), line(&config, first).config());
    let mut channel = 0;
    // So many messages of a peer at once; a channel keeps room for that of every peer there may be.
    let mut register = |burst: NonZeroU32| {
        let ends = network.register(channel, CHANNEL_QUOTA.allow_burst(burst));
        channel += 1;
        ends
    };
    let channels = Channels {
        votes: register(NZU32!(16)),
        certificates: register(NZU32!(8)),
        resolver: register(NZU32!(16)),
        backfill: register(NZU32!(32)),
        broadcast: register(NZU32!(8)),
        state: register(NZU32!(16)),
        signatures: register(NZU32!(16)),
        dealings: register(NZU32!(4)),
    };
    let (transactions_out, transactions_in) = register(NZU32!(16));
    let running = network.start();
    let out = node.clone();
    context.child("tell").spawn(move |_| gossip::tell(out, transactions_out));
    let (inbox, chain, blocker) = (node.clone(), config.rules.chain, oracle.clone());
    context.child("hear").spawn(move |_| gossip::hear(inbox, chain, transactions_in, blocker));
    let ports = Ports(node.clone());
    let begun = node.head().number;
    let engine = EngineConfig {
        key: config.key.secret,
        genesis: config.genesis,
        group: config.group,
        share: config.share.map(|share| share.secret),
        anchor: config.anchor,
        rules: config.rules,
        beneficiary: config.beneficiary,
        timing: config.timing,
        storage: storage(config.state_cache_bytes),
    };
    let validator = Validator::start(
        context.child("engine"),
        engine,
        channels,
        oracle.clone(),
        oracle,
        ports.clone(),
        ports,
        evidence,
    );
    // On the heap: the runtime passes what it runs from hand to hand.
    let validator = Box::pin(validator).await;
    // Whoever started this may have gone; then `stopped` is ready too.
    let validator = validator.map(Arc::new);
    let ending = validator.as_ref().ok().map(Arc::clone);
    if let Ok(validator) = &validator {
        let (validator, clock) = (Arc::clone(validator), context.child("catch_up"));
        context.child("watch").spawn(move |_| catch_up(clock, validator, node, begun));
    }
    let metrics = context.child("metrics");
    if started.send(validator.map(|validator| (validator, metrics))).is_err() {
        return;
    }
    // The network ends only when it fails, and takes the validator with it.
    pin_mut!(running);
    match select(stopped, running).await {
        Either::Left(_) | Either::Right(_) => {}
    }
    if let Some(validator) = ending {
        validator.end().await;
    }
}

/// Tells the node when it has every final block that its network had when this validator joined: once a block has become final
/// since, and the node has all up to the newest that is known.
async fn catch_up(clock: Context, validator: Arc<NodeValidator>, node: Node, begun: u64) {
    loop {
        let latest = validator.latest().await.unwrap_or(0);
        if latest > begun && node.head().number >= latest {
            return node.catch_up();
        }
        clock.sleep(CATCH_UP_POLL).await;
    }
}

pub(crate) fn storage(state_cache_bytes: NonZeroUsize) -> StorageConfig {
    let state_pages = state_cache_bytes.get() / usize::from(PAGE_BYTES.get());
    StorageConfig {
        partition: PARTITION.into(),
        state_cache: CacheRef::new(PAGE_BYTES, NonZeroUsize::new(state_pages).unwrap_or(NonZeroUsize::MIN)),
        block_cache: CacheRef::new(PAGE_BYTES, BLOCK_PAGES),
        state_items_per_blob: NZU64!(1 << 20),
        archive_items_per_section: NZU64!(1 << 16),
        state_blocks_kept: 1024,
        archive_table_size: 1 << 16,
        buffer_bytes: NZUsize!(1 << 20),
        index_seed: None,
    }
}

/// Makes a folder that only its owner can look into: shares lie there.
pub(crate) fn own_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// The first block of a network: its genesis with the state root and seal that its first validators give it, who are the members of
/// `group`. It needs a scratch folder for their database, which is empty before and left to the caller afterwards.
///
/// # Errors
/// The genesis is refused, or the folder cannot be used.
pub fn first_block(genesis: &Genesis, group: &Group, scratch: &Path) -> Result<FirstBlock, RunError> {
    let runtime = RuntimeConfig::new().with_storage_directory(scratch).with_worker_threads(1);
    let block = Runner::new(runtime).start(|context| async move {
        let storage = storage(GENESIS_CACHE);
        prepare_genesis(context, &storage.partition, storage.database(), genesis, group).await
    });
    let block = block.map_err(StartError::from).map_err(RunError::Start)?;
    let state = genesis.first_root();
    let state = state.map_err(GenesisFailure::from).map_err(StartError::from).map_err(RunError::Start)?;
    Ok(FirstBlock { header: block.block().header.clone(), state, group: group.key() })
}

fn line(config: &ValidatorConfig, first: B256) -> Line<'_> {
    // Those who keep an epoch, those of the next and those of the one after; and this validator.
    let seats = usize::from(config.genesis.staking.parameters.seats).max(config.group.members().len());
    Line {
        key: &config.key,
        peers: &config.validators,
        listen: config.listen,
        reached: config.reached,
        reach: config.reach,
        namespace: [TRANSPORT_NAMESPACE, first.as_slice()].concat(),
        peers_max: NonZeroUsize::MIN.saturating_add(seats.saturating_mul(3)),
        message_bytes_max: max_message_bytes()
            .max(u32::try_from(gossip::MESSAGE_BYTES_MAX).unwrap_or(u32::MAX)),
    }
}

/// Where consensus keeps its stores.
pub(crate) const PARTITION: &str = "ledger";
const CATCH_UP_POLL: Duration = Duration::from_millis(20);
/// The first block's hash follows: an address is told for one network.
const TRANSPORT_NAMESPACE: &[u8] = b"tacit/transport/2";
/// The engine's parts are large while they are put together, in builds without optimisation above all.
pub(crate) const STACK_BYTES: usize = 16 << 20;
pub(crate) const CHANNEL_QUOTA: Quota = Quota::per_second(NZU32!(1024));
const GENESIS_CACHE: NonZeroUsize = NZUsize!(64 << 20);
const PAGE_BYTES: core::num::NonZeroU16 = NZU16!(4096);
const BLOCK_PAGES: NonZeroUsize = NZUsize!(4096);
