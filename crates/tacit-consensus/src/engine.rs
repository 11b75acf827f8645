//! The engine: consensus, dissemination, archives, state and application of one validator, put together once for any runtime.
//!
//! ```text
//!            votes, certificates                    blocks
//!   simplex ──┬────────────────── Deferred ── marshal ── broadcast, backfill
//!      │      │ one for each epoch    │            │
//!      │   Witness ── EvidenceSink    │            │
//!   orchestrator                   reshare ────────┤ final blocks, in order, acknowledged when durable
//!      │                              │  dealings  │
//!      └── whose turn it is ──────────┤            │
//!                                 stateful ────────┘
//!                                     │
//!                          Ledger ── QMDB ── BlockSink ── certifier ── aggregation ── signatures
//! ```
//!
//! # Parts
//! - **simplex** agrees on block hashes. It signs votes with the validator's ed25519 key, and writes each down before it is sent.
//! - **marshal** keeps final blocks and their certificates for good, fetches what is missing, and delivers in order.
//! - **stateful** keeps a batch of the state database per pending block, and applies that of the final one.
//! - **orchestrator** runs the simplex of the epoch that the last final block is in, and tracks its peers; **reshare** hands the group's
//!   key on to the next epoch's committee (`epochs`).
//! - **aggregation** makes threshold certificates of blocks that the sink has; **certifier** keeps them.
//!
//! Whoever has the blocks can follow, with any key; who is in an epoch's committee votes in it.
//!
//! All votes are single signatures: who signs two for one view is shown by the two, to the ledger's `validators` module too.

use crate::{
    application::Ledger,
    block::{BlockHash, ChainBlock, PARTICIPANTS_MAX},
    certify::{self, CertifierMailbox, Group, GroupError, GroupShare, Launch, Progress},
    epochs::{Committees, Participants, Secrets, SecretsError, ShareSchemes, VoteSchemes, Watch},
    evidence::{Watched, Witness},
    genesis::{self, GenesisFailure},
    ports::{BlockSink, EvidenceSink, TransactionSource},
    rules::{Pace, Rules},
    state::{Key, StateDb, Value},
};
use alloy_primitives::{Address, B256};
use commonware_broadcast::buffered;
use commonware_codec::FixedSize as _;
use commonware_consensus::{
    Reporters, aggregation,
    marshal::{
        self, Identifier,
        core::{Actor as Marshal, Mailbox as MarshalMailbox},
        resolver::p2p as marshal_resolver,
        standard::{Deferred, Standard},
    },
    simplex::{
        ForwardPolicy, SkipBudget, SkipPolicy, elector::RoundRobin, scheme::ed25519::Scheme,
        types::Finalization,
    },
    types::{FixedEpocher, Height, ViewDelta},
};
use commonware_cryptography::{
    Digested, Digestible as _, Hasher as _, Sha256, Signer as _,
    bls12381::{dkg::feldman_desmedt::Reveal, primitives::sharing::Mode, primitives::variant::MinSig},
    ed25519::{PrivateKey, PublicKey},
    sha256,
};
use commonware_glue::{
    dkg::{self, fence::Fence, network::Manager, orchestrator, reshare, state_sync::Plan as EpochPlan},
    stateful::{
        Config as StatefulConfig, Mailbox as StatefulMailbox, PruneConfig, Stateful, SyncPlan,
        db::{Shared, SyncEngineConfig, p2p as state_resolver},
    },
};
use commonware_p2p::{Blocker, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Handle, Metrics, Network, Spawner, Storage, buffer::paged::CacheRef};
use commonware_storage::{
    archive::{self, immutable},
    journal::contiguous::fixed::Config as LogConfig,
    merkle::mmr,
    mmr::full::Config as MerkleConfig,
    qmdb::any::{FixedConfig, unordered::fixed},
    translator::{EightCap, Hashed},
};
use commonware_utils::{NZDuration, NZU64, NZUsize, ordered::Set, sequence::Unit, sync::Mutex};
use core::{
    fmt,
    num::{NonZeroU64, NonZeroUsize},
    time::Duration,
};
use futures::channel::mpsc;
use rand_core::CryptoRng;
use std::sync::Arc;
use tacit_ledger::Genesis;
use tacit_light::certificate_namespace;

/// The network, one pair of ends per purpose. The order is that of the channel numbers, from 0.
#[derive(Debug)]
pub struct Channels<S, R> {
    /// Votes.
    pub votes: (S, R),
    /// Certificates.
    pub certificates: (S, R),
    /// Certificates asked for.
    pub resolver: (S, R),
    /// Final blocks asked for.
    pub backfill: (S, R),
    /// Proposed blocks.
    pub broadcast: (S, R),
    /// State asked for.
    pub state: (S, R),
    /// Signatures with shares.
    pub signatures: (S, R),
    /// Shares for the next epoch's committee.
    pub dealings: (S, R),
}

/// How long things may take. All validators of a network should agree within a factor of two or so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How fast this validator proposes.
    pub pace: Pace,
    /// How long others wait for a leader's proposal: longer than [`Pace::idle`] by what building and sending take.
    pub leader_timeout: Duration,
    /// How long a view may take until it is given up; longer than `leader_timeout`.
    pub certification_timeout: Duration,
    /// How often giving up is repeated while a view is stuck.
    pub retry: Duration,
    /// How long a request to a peer may take.
    pub fetch_timeout: Duration,
}

/// Sizes of stores. Those marked *fixed* must stay as they are for the life of a data directory.
#[derive(Clone)]
pub struct StorageConfig {
    /// Prefix of every partition of this validator.
    pub partition: String,
    /// Page cache of the state database and its log. State that does not fit costs a disk read per key.
    pub state_cache: CacheRef,
    /// Page cache of journals and archives.
    pub block_cache: CacheRef,
    /// Operations in one file of the state log (*fixed*).
    pub state_items_per_blob: NonZeroU64,
    /// Blocks in one section of an archive (*fixed*).
    pub archive_items_per_section: NonZeroU64,
    /// How many blocks back the state log still serves a validator that syncs. Older operations that no longer matter are
    /// removed now and then.
    pub state_blocks_kept: usize,
    /// Slots of an archive's table at the start, a power of two.
    pub archive_table_size: u32,
    /// Bytes of each write and replay buffer.
    pub buffer_bytes: NonZeroUsize,
    /// How the index of the state database hashes keys in memory: at random, or in simulations from a seed.
    pub index_seed: Option<u64>,
}

impl fmt::Debug for StorageConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageConfig").field("partition", &self.partition).finish_non_exhaustive()
    }
}

/// One validator.
pub struct EngineConfig {
    /// The key that votes. On one machine only: a key that runs twice signs against itself.
    pub key: PrivateKey,
    /// The first block.
    pub genesis: Genesis,
    /// The first validators, and what is public of the key that they hold together. The same for all: validators that differ in it
    /// cut each other off.
    pub group: Group,
    /// This validator's share of that key, if it is one of the first. Without one it collects certificates and signs none.
    pub share: Option<GroupShare>,
    /// Rules of the network.
    pub rules: Rules,
    /// Who gets the priority fees of this validator's blocks.
    pub beneficiary: Address,
    /// How long things may take.
    pub timing: Timing,
    /// Sizes of stores.
    pub storage: StorageConfig,
}

impl fmt::Debug for EngineConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineConfig").field("key", &self.key.public_key()).finish_non_exhaustive()
    }
}

/// Why a validator did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The ledger begins with other validators than the configuration names.
    #[error("the validators are not those that the genesis names")]
    OtherValidators,
    /// Timeouts are zero, or not in the order that [`Timing`] names.
    #[error("timeouts contradict each other")]
    Timing,
    /// An epoch has no blocks.
    #[error("an epoch needs blocks")]
    Epoch,
    /// Group, validators and share do not fit together.
    #[error("keys for certificates")]
    Group(#[from] GroupError),
    /// Shares cannot be kept.
    #[error("shares")]
    Secrets(#[from] SecretsError),
    /// The first block could not be made.
    #[error(transparent)]
    Genesis(#[from] GenesisFailure),
    /// An archive could not be opened.
    #[error("archive")]
    Archive(#[from] archive::Error),
}

/// A running validator.
pub struct Validator<E, T, S>
where
    E: Spawner + Clock + Metrics + Storage,
    T: TransactionSource,
    S: BlockSink,
{
    marshal: MarshalMailbox<Scheme, Standard<ChainBlock>>,
    stateful: StatefulMailbox<E, Ledger<T, Progress<S>>>,
    pub(crate) certifier: CertifierMailbox,
    genesis: Arc<ChainBlock>,
    /// Who takes the end of their channels for a failure.
    tasks: Mutex<Vec<Handle<()>>>,
}

impl<E, T, S> fmt::Debug for Validator<E, T, S>
where
    E: Spawner + Clock + Metrics + Storage,
    T: TransactionSource,
    S: BlockSink,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validator").field("genesis", &self.genesis.hash()).finish_non_exhaustive()
    }
}

impl<E, T, S> Validator<E, T, S>
where
    E: Spawner + Clock + Metrics + Storage + Network + CryptoRng,
    T: TransactionSource,
    S: BlockSink,
{
    /// Opens the stores, recovers, and joins consensus. Everything runs in tasks below `context` and ends with it.
    ///
    /// `peers` is told the peers of each epoch, `blocker` cuts off whoever sends what no honest validator sends.
    ///
    /// # Errors
    /// The configuration is of no validator, or a store cannot be opened.
    #[expect(clippy::too_many_arguments, reason = "each is a port of its own")]
    pub async fn start<N, R, P, B, V>(
        context: E,
        config: EngineConfig,
        channels: Channels<N, R>,
        peers: P,
        blocker: B,
        source: T,
        sink: S,
        evidence: V,
    ) -> Result<Self, StartError>
    where
        N: Sender<PublicKey = PublicKey>,
        R: Receiver<PublicKey = PublicKey>,
        P: Manager<PublicKey = PublicKey, Directory = Unit> + Sync,
        B: Blocker<PublicKey = PublicKey>,
        V: EvidenceSink,
    {
        let EngineConfig { key, genesis, group, share, rules, beneficiary, timing, storage } = config;
        if !timing.is_consistent() {
            return Err(StartError::Timing);
        }
        let me = key.public_key();
        let validators = group.members().clone();
        let staking = genesis.staking.parameters;
        let epoch_blocks = NonZeroU64::new(staking.epoch_blocks).ok_or(StartError::Epoch)?;
        let namespace = namespace(&genesis, &validators)?;
        let share = group.share_of(&validators, &me, share)?;
        let database = storage.database();
        let genesis = genesis::prepare(
            context.child("genesis"),
            &storage.partition,
            database.clone(),
            &genesis,
            &group,
        )
        .await?;
        let certificates = certificate_namespace(rules.chain.chain_id, genesis.hash());
        let (to_certify, certified_epochs) = mpsc::unbounded();
        let (to_watch, watched_epochs) = mpsc::unbounded();
        let listeners = vec![to_certify, to_watch];
        let votes = namespace.to_vec();
        let committees = Committees::new(key.clone(), votes, certificates.to_vec(), listeners);
        let voters = VoteSchemes(committees.clone());
        let witness = Witness::new(namespace, move |epoch, member| voters.member(epoch, member), evidence);
        let secrets = Secrets::open(context.child("secrets"), &storage.partition, share).await?;

        let resolver = marshal_resolver::init(
            context.child("backfill"),
            marshal_resolver::Config {
                public_key: me.clone(),
                peer_provider: peers.clone(),
                blocker: blocker.clone(),
                mailbox_size: MAILBOX,
                fetch_timeout: NZDuration!(timing.fetch_timeout),
                fetch_retry_delay: FETCH_RETRY_DELAY,
                priority_requests: false,
                priority_responses: false,
            },
            channels.backfill,
        );
        let (broadcast, buffer) = buffered::Engine::new(
            context.child("broadcast"),
            buffered::Config {
                public_key: me.clone(),
                mailbox_size: MAILBOX,
                deque_size: BROADCAST_KEPT,
                priority: false,
                codec_config: (),
                peer_provider: peers.clone(),
                strategy: Sequential,
            },
        );
        broadcast.start(channels.broadcast);

        let certificates = immutable::Archive::<_, BlockHash, Finalization<Scheme, BlockHash>>::init(
            context.child("certificates"),
            storage.archive("certificates", VALIDATORS_MAX),
        )
        .await?;
        let blocks = immutable::Archive::<_, BlockHash, Arc<ChainBlock>>::init(
            context.child("blocks"),
            storage.archive("blocks", ()),
        )
        .await?;
        let plan = SyncPlan::init(context.child("plan"), storage.partition.clone()).await;
        let digested = Digested::precomputed(genesis.clone(), genesis.digest());
        let (marshal, marshal_mailbox, floor) = Marshal::<_, Standard<ChainBlock>, _, _, _, _, _>::init(
            context.child("marshal"),
            certificates,
            blocks,
            marshal::Config {
                provider: VoteSchemes(committees.clone()),
                epocher: FixedEpocher::new(epoch_blocks),
                start: plan.marshal_start(digested),
                partition_prefix: storage.partition.clone(),
                mailbox_size: MAILBOX,
                view_retention: VIEWS_KEPT,
                prunable_items_per_section: storage.archive_items_per_section,
                page_cache: storage.block_cache.clone(),
                replay_buffer: storage.buffer_bytes,
                key_write_buffer: storage.buffer_bytes,
                value_write_buffer: storage.buffer_bytes,
                block_codec_config: (),
                max_repair: REPAIR_MAX,
                max_pending_acks: PENDING_ACKS_MAX,
                strategy: Sequential,
            },
        )
        .await;

        let (state_server, state_client) =
            state_resolver::Actor::<_, PublicKey, _, _, mmr::Family, StateDb<E>>::new(
                context.child("state_resolver"),
                state_resolver::Config {
                    peer_provider: peers.clone(),
                    blocker: blocker.clone(),
                    database: None,
                    mailbox_size: MAILBOX,
                    me: Some(me.clone()),
                    fetch_timeout: NZDuration!(timing.fetch_timeout),
                    fetch_retry_delay: FETCH_RETRY_DELAY,
                    max_serve_ops: STATE_OPERATIONS_MAX,
                    priority_requests: false,
                    priority_responses: false,
                },
            );
        state_server.start(channels.state);

        let digest = genesis.digest();
        let launch = Launch {
            schemes: ShareSchemes(committees.clone()),
            epochs: certified_epochs,
            genesis: digest,
            marshal: marshal_mailbox.clone(),
            blocker: blocker.clone(),
            timing,
            storage: storage.clone(),
        };
        let certifier = Box::pin(launch.start(context.child("certify"), channels.signatures)).await?;
        let sink = Progress::new(sink, certifier.clone());
        let genesis = Arc::new(genesis);
        let ledger = Ledger::new(rules, timing.pace, beneficiary, Arc::clone(&genesis), source, sink);
        let (stateful, stateful_mailbox) = Stateful::new(
            context.child("stateful"),
            StatefulConfig {
                application: ledger,
                db_config: database,
                provider: (),
                marshal: (marshal_mailbox.clone(), floor),
                mailbox_size: MAILBOX,
                plan,
                resolvers: state_client,
                sync_config: SyncEngineConfig {
                    fetch_batch_size: STATE_OPERATIONS_MAX,
                    apply_batch_size: STATE_APPLY,
                    max_outstanding_requests: STATE_REQUESTS_MAX,
                },
                prune_config: Some(PruneConfig {
                    maintenance_interval: PRUNE_INTERVAL,
                    // The archives never forget; this bounds what the engine may ask them to. So the block that began an
                    // epoch, which is read at each start, is there, however long ago that was.
                    retained_marshal_blocks: storage.state_blocks_kept,
                    retained_qmdb_blocks: storage.state_blocks_kept,
                }),
                strategy: Sequential,
            },
        );
        let (fence, gate) = Fence::new();
        let participants = Participants {
            context: context.child("participants"),
            stateful: stateful_mailbox.clone(),
            marshal: marshal_mailbox.clone(),
            epoch_blocks,
            first_number: genesis.block().header.number,
        };
        let (reshare_actor, reshare_mailbox) = reshare::Actor::new(
            context.child("reshare"),
            reshare::Config {
                signer: key,
                manager: peers.clone(),
                blocker: blocker.clone(),
                participants_provider: participants,
                secret_store: secrets,
                strategy: Sequential,
                registrar: committees.clone(),
                marshal: marshal_mailbox.clone(),
                state_sync: EpochPlan::disabled(),
                fence,
                namespace: dealing_namespace(namespace.as_slice()),
                sharing_mode: Mode::NonZeroCounter,
                reveal: Reveal::V1,
                mailbox_size: MAILBOX,
                partition_prefix: format!("{}-dealings", storage.partition),
                page_cache: storage.block_cache.clone(),
                write_buffer: storage.buffer_bytes,
                replay_buffer: storage.buffer_bytes,
                max_participants: PARTICIPANTS_MAX,
                blocks_per_epoch: epoch_blocks,
            },
        );
        let application =
            reshare::Application::new(stateful_mailbox.clone(), reshare_mailbox.clone(), epoch_blocks);
        let deferred = Deferred::new(
            context.child("deferred"),
            application,
            marshal_mailbox.clone(),
            FixedEpocher::new(epoch_blocks),
        );
        let votes = format!("{}-votes", storage.partition);
        let (orchestrator, orchestrator_mailbox) = orchestrator::Actor::new(
            context.child("orchestrator"),
            orchestrator::Config {
                oracle: blocker,
                manager: peers,
                provider: VoteSchemes(committees),
                marshal: marshal_mailbox.clone(),
                application: Watched { application: deferred, witness },
                strategy: Sequential,
                simplex: timing.simplex(&storage),
                gate,
                state_sync: EpochPlan::disabled(),
                blocks_per_epoch: epoch_blocks,
                mailbox_size: MAILBOX,
                partition_prefix: votes.clone(),
            },
        );
        let reporters = Reporters::from((
            stateful_mailbox.clone(),
            Reporters::from((orchestrator_mailbox, reshare_mailbox)),
        ));
        marshal.start(reporters, buffer, resolver);
        stateful.start();
        let reshare = reshare_actor.start(channels.dealings);
        let watch = Watch {
            me,
            marshal: marshal_mailbox.clone(),
            epoch_blocks,
            unbonding_epochs: staking.unbonding_epochs,
            votes,
        };
        watch.start(context.child("epochs"), watched_epochs);
        let orchestrator = orchestrator.start(channels.votes, channels.certificates, channels.resolver);
        let tasks = Mutex::new(vec![orchestrator, reshare]);
        Ok(Self { marshal: marshal_mailbox, stateful: stateful_mailbox, certifier, genesis, tasks })
    }

    /// The first block.
    pub fn genesis(&self) -> &ChainBlock {
        &self.genesis
    }

    /// Height in consensus of the block with this number.
    fn height(&self, number: u64) -> Option<Height> {
        number.checked_sub(self.genesis.block().header.number).map(Height::new)
    }

    /// A final block, from the archive; `None` when it is not final yet, or not here.
    pub async fn block(&self, number: u64) -> Option<ChainBlock> {
        self.marshal.get_block(self.height(number)?).await.map(|block| block.inner().clone())
    }

    /// Number of the newest block that is known to be final; those before it may still be on their way.
    pub async fn latest(&self) -> Option<u64> {
        let (height, _) = self.marshal.get_info(Identifier::Latest).await?;
        self.genesis.block().header.number.checked_add(height.get())
    }

    /// The certificate that made a block final.
    pub async fn certificate(&self, number: u64) -> Option<Finalization<Scheme, BlockHash>> {
        self.marshal.get_finalization(self.height(number)?).await
    }

    /// The state database, for reads. It follows the final blocks.
    pub async fn state(&self) -> Shared<StateDb<E>> {
        self.stateful.subscribe_databases().await
    }

    /// Ends voting and dealing; the rest ends with the runtime. To be called before the network goes, which would look like a failure.
    pub async fn end(&self) {
        let tasks = core::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            task.abort();
            // An error means that it was stopped.
            let _ = task.await;
        }
    }
}

impl Timing {
    fn simplex(&self, storage: &StorageConfig) -> orchestrator::SimplexConfig<RoundRobin<Sha256>> {
        orchestrator::SimplexConfig {
            elector: RoundRobin::default(),
            mailbox_size: MAILBOX,
            replay_buffer: storage.buffer_bytes,
            write_buffer: storage.buffer_bytes,
            page_cache: storage.block_cache.clone(),
            leader_timeout: self.leader_timeout,
            certification_timeout: self.certification_timeout,
            timeout_retry: self.retry,
            fetch_timeout: NZDuration!(self.fetch_timeout),
            fetch_retry_delay: FETCH_RETRY_DELAY,
            view_retention: VIEWS_KEPT,
            skip: SkipPolicy::Enabled {
                timeout: self.certification_timeout.saturating_add(self.retry).saturating_mul(2),
                budget: SkipBudget::Participants,
            },
            // A vote that comes late may still contradict one that was counted.
            track_historical_votes: true,
            forward: ForwardPolicy::SilentLeader,
        }
    }

    fn is_consistent(&self) -> bool {
        self.pace.busy <= self.pace.idle
            && self.pace.idle < self.leader_timeout
            && self.leader_timeout < self.certification_timeout
            && !self.retry.is_zero()
            && !self.fetch_timeout.is_zero()
    }
}

impl StorageConfig {
    /// Where and how the state database lies.
    #[must_use]
    pub fn database(&self) -> FixedConfig<Hashed<EightCap>, Sequential> {
        let partition = &self.partition;
        FixedConfig {
            merkle_config: MerkleConfig {
                journal_partition: format!("{partition}-state-merkle"),
                // Not `…-merkle-metadata`: the journal above takes that name for itself.
                metadata_partition: format!("{partition}-state-pinned"),
                items_per_blob: self.state_items_per_blob,
                write_buffer: self.buffer_bytes,
                replay_buffer: self.buffer_bytes,
                strategy: Sequential,
                page_cache: self.state_cache.clone(),
            },
            journal_config: LogConfig {
                partition: format!("{partition}-state-log"),
                items_per_blob: self.state_items_per_blob,
                page_cache: self.state_cache.clone(),
                write_buffer: self.buffer_bytes,
                replay_buffer: self.buffer_bytes,
            },
            translator: self
                .index_seed
                .map_or_else(|| Hashed::new(EightCap), |seed| Hashed::from_seed(seed, EightCap)),
            init_cache: Some(STATE_INIT_CACHE),
            init_buffer: STATE_INIT_BUFFER,
            init_concurrency: (),
        }
    }

    pub(crate) fn archive<C>(&self, name: &str, codec_config: C) -> immutable::Config<C> {
        let part = |part: &str| format!("{}-{name}-{part}", self.partition);
        immutable::Config {
            metadata_partition: part("commits"),
            freezer_table_partition: part("table"),
            freezer_table_initial_size: self.archive_table_size,
            freezer_table_resize_frequency: ARCHIVE_RESIZE_FREQUENCY,
            freezer_table_resize_chunk_size: ARCHIVE_RESIZE_CHUNK,
            freezer_key_partition: part("keys"),
            freezer_key_page_cache: self.block_cache.clone(),
            freezer_value_partition: part("values"),
            freezer_value_target_size: ARCHIVE_VALUE_BYTES,
            freezer_value_compression: None,
            ordinal_partition: part("ordinal"),
            items_per_section: self.archive_items_per_section,
            freezer_key_write_buffer: self.buffer_bytes,
            freezer_value_write_buffer: self.buffer_bytes,
            ordinal_write_buffer: self.buffer_bytes,
            replay_buffer: self.buffer_bytes,
            codec_config,
        }
    }
}

/// What every signature of a network is bound to: everything in its genesis, so that two networks that differ in anything
/// cannot take each other's votes.
///
/// It is the one that the `validators` module knows, which judges these votes. `validators` must be the founders, the set of epoch 0.
///
/// # Errors
/// [`StartError::OtherValidators`], or a genesis that is refused.
pub fn namespace(genesis: &Genesis, validators: &Set<PublicKey>) -> Result<B256, StartError> {
    let refused = |error| StartError::Genesis(GenesisFailure::Invalid(error));
    let network = genesis.namespace().map_err(refused)?;
    let set = genesis.staking.first_set().map_err(|error| refused(error.into()))?;
    let mut named: Vec<&[u8]> = set.iter().map(|seat| seat.key.as_slice()).collect();
    named.sort_unstable();
    if !validators.iter().map(AsRef::as_ref).eq(named) {
        return Err(StartError::OtherValidators);
    }
    Ok(network)
}

/// What dealings of a network are bound to. The library wants it for good: 32 bytes that a validator's process keeps to its end.
fn dealing_namespace(votes: &[u8]) -> &'static [u8] {
    Sha256::hash(&[b"tacit/dealing/1", votes]).0.to_vec().leak()
}

/// Longest message that a validator sends: what the transport must take.
#[must_use]
pub fn max_message_bytes() -> u32 {
    let state = state_resolver::max_payload_size::<mmr::Family, sha256::Digest>(
        STATE_OPERATIONS_MAX,
        fixed::Operation::<mmr::Family, Key, Value>::SIZE,
    );
    let validators = PARTICIPANTS_MAX.get();
    commonware_p2p::max_message_size(&[
        orchestrator::max_payload_size::<Scheme, BlockHash>(validators),
        marshal::max_payload_size::<Standard<ChainBlock>, Scheme>(validators, &()),
        state,
        aggregation::max_payload_size::<certify::Scheme, BlockHash>(),
        dkg::max_payload_size::<MinSig, PublicKey>(PARTICIPANTS_MAX),
    ])
}

const MAILBOX: NonZeroUsize = NZUsize!(1024);
/// Blocks kept per peer until they are asked for.
const BROADCAST_KEPT: usize = 16;
const FETCH_RETRY_DELAY: Duration = Duration::from_millis(100);
const VIEWS_KEPT: ViewDelta = ViewDelta::new(256);
const REPAIR_MAX: NonZeroUsize = NZUsize!(64);
/// One block at a time: its effects are durable before the next one's begin.
const PENDING_ACKS_MAX: NonZeroUsize = NZUsize!(1);
/// [`PARTICIPANTS_MAX`], as decoders of certificates take it.
const VALIDATORS_MAX: usize = 128;
const STATE_OPERATIONS_MAX: NonZeroU64 = NZU64!(1024);
const STATE_APPLY: NonZeroU64 = NZU64!(4096);
const STATE_REQUESTS_MAX: NonZeroUsize = NZUsize!(16);
/// Blocks between two removals of old operations.
const PRUNE_INTERVAL: NonZeroUsize = NZUsize!(16);
const STATE_INIT_CACHE: NonZeroUsize = NZUsize!(1 << 16);
const STATE_INIT_BUFFER: NonZeroUsize = NZUsize!(1 << 21);
const ARCHIVE_RESIZE_FREQUENCY: u8 = 4;
const ARCHIVE_RESIZE_CHUNK: u32 = 1 << 14;
const ARCHIVE_VALUE_BYTES: u64 = 1 << 30;
