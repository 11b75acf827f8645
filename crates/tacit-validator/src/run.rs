//! From a configuration to a validator that runs.

use crate::{
    erased::{SharedSink, SharedSource},
    key::{ShareKey, ValidatorAddress, ValidatorKey},
};
use alloy_primitives::Address;
use commonware_cryptography::{ChaCha20Poly1305, ed25519::PublicKey};
use commonware_p2p::{
    AddressableManager as _,
    authenticated::lookup::{self, Network},
};
use commonware_runtime::{
    Quota, Runner as _, Supervisor as _,
    buffer::paged::CacheRef,
    tokio::{Config as RuntimeConfig, Context, Runner},
};
use commonware_stream::{
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::{
    NZU16, NZU32, NZU64, NZUsize,
    ordered::{Map, Set},
};
use core::{fmt, num::NonZeroUsize, time::Duration};
use futures::{
    channel::oneshot,
    executor::block_on,
    future::{Either, select},
    pin_mut,
};
use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, thread};
use tacit_consensus::{
    BlockSink, Certification, Channels, EngineConfig, Group, Rules, StartError, StorageConfig, Timing,
    TransactionSource, Validator, max_message_bytes,
};
use tacit_ledger::Genesis;

/// The engine as it is instantiated here.
pub type NodeValidator = Validator<Context, SharedSource, SharedSink>;

/// A validator and where it is reached.
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
    /// The key that votes. On one machine only.
    pub key: ValidatorKey,
    /// The group of all validators, as their network's description has it; `None` where there are no threshold certificates.
    pub group: Option<Group>,
    /// This validator's share of the group's key. Without one it collects certificates and signs none.
    pub share: Option<ShareKey>,
    /// All validators, this one too.
    pub validators: Vec<Peer>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where the validators are.
    pub reach: Reach,
    /// Where chain and state are kept. One validator only.
    pub data_dir: PathBuf,
    /// The first block.
    pub genesis: Genesis,
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
    /// A share signs nothing without the group that it is of.
    #[error("a share of a group that is not given")]
    ShareWithoutGroup,
    /// The system has no thread to give.
    #[error("no thread for the validator")]
    Thread(#[source] io::Error),
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
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
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
        // Dropping the sender says stop.
        self.stop.take();
        self.thread.take().map_or(Ok(()), |thread| thread.join().map_err(|_| RunError::Halted))
    }
}

impl Drop for RunningValidator {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = self.end();
    }
}

/// Starts a validator on threads of its own; returns once it has joined.
///
/// # Errors
/// The configuration is refused, or a store or thread is not to be had.
pub fn start(
    config: ValidatorConfig,
    source: impl TransactionSource,
    sink: impl BlockSink,
) -> Result<RunningValidator, RunError> {
    let (source, sink) = (SharedSource::new(source), SharedSink::new(sink));
    let peers: Vec<(PublicKey, commonware_p2p::Address)> =
        config.validators.iter().map(|peer| (peer.key.0.clone(), peer.address.into())).collect();
    let peers: Map<PublicKey, commonware_p2p::Address> =
        peers.try_into().map_err(|_| RunError::ListedTwice)?;
    if peers.get_value(&config.key.address().0).is_none() {
        return Err(RunError::Start(StartError::NotValidator));
    }
    if config.share.is_some() && config.group.is_none() {
        return Err(RunError::ShareWithoutGroup);
    }
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
                .start(|context| serve(context, config, peers, source, sink, started_sender, stopped));
        })
        .map_err(RunError::Thread)?;
    match block_on(started) {
        Ok(Ok(validator)) => {
            Ok(RunningValidator { validator: Arc::new(validator), stop: Some(stop), thread: Some(thread) })
        }
        Ok(Err(error)) => Err(RunError::Start(error)),
        Err(oneshot::Canceled) => Err(RunError::Halted),
    }
}

async fn serve(
    context: Context,
    config: ValidatorConfig,
    peers: Map<PublicKey, commonware_p2p::Address>,
    source: SharedSource,
    sink: SharedSink,
    started: oneshot::Sender<Result<NodeValidator, StartError>>,
    stopped: oneshot::Receiver<()>,
) {
    let (mut network, mut oracle) = Network::new(context.child("network"), transport(&config));
    let validators = Set::from_iter_dedup(peers.keys().iter().cloned());
    oracle.track(0, peers);
    let mut channel = 0;
    let mut register = || {
        let ends = network.register(channel, CHANNEL_QUOTA);
        channel += 1;
        ends
    };
    let channels = Channels {
        votes: register(),
        certificates: register(),
        resolver: register(),
        backfill: register(),
        broadcast: register(),
        state: register(),
        signatures: register(),
    };
    let running = network.start();
    let state_pages = config.state_cache_bytes.get() / usize::from(PAGE_BYTES.get());
    let share = config.share.map(|share| share.secret);
    let certification = config.group.map(|group| Certification { group, share });
    let engine = EngineConfig {
        key: config.key.secret,
        validators,
        genesis: config.genesis,
        certification,
        rules: config.rules,
        beneficiary: config.beneficiary,
        timing: config.timing,
        storage: StorageConfig {
            partition: "ledger".into(),
            state_cache: CacheRef::new(
                PAGE_BYTES,
                NonZeroUsize::new(state_pages).unwrap_or(NonZeroUsize::MIN),
            ),
            block_cache: CacheRef::new(PAGE_BYTES, BLOCK_PAGES),
            state_items_per_blob: NZU64!(1 << 20),
            archive_items_per_section: NZU64!(1 << 16),
            state_blocks_kept: 1024,
            archive_table_size: 1 << 16,
            buffer_bytes: NZUsize!(1 << 20),
            index_seed: None,
        },
    };
    let validator =
        Validator::start(context.child("engine"), engine, channels, oracle.clone(), oracle, source, sink);
    // On the heap: the runtime passes what it runs from hand to hand.
    let validator = Box::pin(validator).await;
    // Whoever started this may have gone; then `stopped` is ready too.
    if started.send(validator).is_err() {
        return;
    }
    // The network ends only when it fails, and takes the validator with it.
    pin_mut!(running);
    match select(stopped, running).await {
        Either::Left(_) | Either::Right(_) => {}
    }
}

fn transport(
    config: &ValidatorConfig,
) -> lookup::Config<Cups<Sake<commonware_cryptography::ed25519::PrivateKey>, ChaCha20Poly1305>> {
    let signer = config.key.secret.clone();
    let handshake = Cups::<_, ChaCha20Poly1305>::new(
        Sake {
            signer,
            synchrony_bound: SYNCHRONY_BOUND,
            max_handshake_age: HANDSHAKE_AGE_MAX,
            version: sake::Version::V1,
        },
        cups::Version::V1,
    );
    let count = NonZeroUsize::new(config.validators.len()).unwrap_or(NonZeroUsize::MIN);
    let message = max_message_bytes(u32::try_from(count.get()).unwrap_or(u32::MAX));
    let make = match config.reach {
        Reach::Local => lookup::Config::local,
        Reach::Public => lookup::Config::recommended,
    };
    make(handshake, TRANSPORT_NAMESPACE, config.listen, count, message, MAILBOX)
}

const TRANSPORT_NAMESPACE: &[u8] = b"tacit/transport/1";
/// The engine's parts are large while they are put together, in builds without optimisation above all.
const STACK_BYTES: usize = 16 << 20;
const SYNCHRONY_BOUND: Duration = Duration::from_secs(5);
const HANDSHAKE_AGE_MAX: Duration = Duration::from_secs(10);
const MAILBOX: NonZeroUsize = NZUsize!(1024);
const CHANNEL_QUOTA: Quota = Quota::per_second(NZU32!(1024));
const PAGE_BYTES: core::num::NonZeroU16 = NZU16!(4096);
const BLOCK_PAGES: NonZeroUsize = NZUsize!(4096);
