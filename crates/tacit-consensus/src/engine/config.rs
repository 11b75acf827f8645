//! What a validator is told, and what all of a network share: ports, times, sizes, the namespace of votes.

use crate::{
    block::{BlockHash, ChainBlock, PARTICIPANTS_MAX},
    certify::{self, Group, GroupError, GroupShare},
    epochs::SecretsError,
    genesis::GenesisFailure,
    rules::{Pace, Rules},
    state::{Key, Value},
    sync::{Anchor, BeginError},
};
use alloy_primitives::{Address, B256};
use commonware_codec::FixedSize as _;
use commonware_consensus::{
    aggregation,
    marshal::{self, standard::Standard},
    simplex::{ForwardPolicy, SkipBudget, SkipPolicy, elector::RoundRobin, scheme::ed25519::Scheme},
    types::ViewDelta,
};
use commonware_cryptography::{
    Sha256, Signer as _,
    bls12381::primitives::variant::MinSig,
    ed25519::{PrivateKey, PublicKey},
    sha256,
};
use commonware_glue::{
    dkg::{self, orchestrator},
    stateful::db::p2p as state_resolver,
};
use commonware_parallel::Sequential;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_storage::{
    archive::{self, immutable},
    journal::contiguous::fixed::Config as LogConfig,
    merkle::mmr,
    mmr::full::Config as MerkleConfig,
    qmdb::any::{FixedConfig, unordered::fixed},
    translator::{EightCap, Hashed},
};
use commonware_utils::{NZDuration, NZU64, NZUsize, ordered::Set};
use core::{
    fmt,
    num::{NonZeroU64, NonZeroUsize},
    time::Duration,
};
use tacit_ledger::Genesis;

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
    /// Where to begin if nothing has begun here yet: without one, at the first block. The sink must have this block. In a directory
    /// that has begun it is not looked at.
    pub anchor: Option<Anchor>,
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
    /// It cannot begin where it should, or go on from where it did.
    #[error(transparent)]
    Begin(#[from] BeginError),
    /// An archive could not be opened.
    #[error("archive")]
    Archive(#[from] archive::Error),
}

impl Timing {
    pub(super) fn simplex(&self, storage: &StorageConfig) -> orchestrator::SimplexConfig<RoundRobin<Sha256>> {
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

    pub(super) fn is_consistent(&self) -> bool {
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

pub(super) const MAILBOX: NonZeroUsize = NZUsize!(1024);
pub(super) const FETCH_RETRY_DELAY: Duration = Duration::from_millis(100);
pub(super) const VIEWS_KEPT: ViewDelta = ViewDelta::new(256);
pub(super) const STATE_OPERATIONS_MAX: NonZeroU64 = NZU64!(1024);
const STATE_INIT_CACHE: NonZeroUsize = NZUsize!(1 << 16);
const STATE_INIT_BUFFER: NonZeroUsize = NZUsize!(1 << 21);
const ARCHIVE_RESIZE_FREQUENCY: u8 = 4;
const ARCHIVE_RESIZE_CHUNK: u32 = 1 << 14;
const ARCHIVE_VALUE_BYTES: u64 = 1 << 30;
