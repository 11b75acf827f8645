//! All parts put together, and the validator that comes of it.

use super::config::{
    Channels, EngineConfig, FETCH_RETRY_DELAY, MAILBOX, STATE_OPERATIONS_MAX, StartError, VIEWS_KEPT,
    namespace,
};
use crate::{
    application::Ledger,
    block::{BlockHash, ChainBlock, PARTICIPANTS_MAX},
    certify::{CertifierMailbox, Launch, Progress},
    epochs::{Committees, Memory, Participants, Secrets, ShareSchemes, VoteSchemes, Watch},
    evidence::{Watched, Witness},
    genesis,
    ports::{BlockSink, EvidenceSink, TransactionSource},
    rules::Rules,
    state::StateDb,
    sync::{Beginning, Whole, begin},
};
use commonware_broadcast::buffered;
use commonware_consensus::{
    Reporters,
    marshal::{
        self, Identifier,
        core::{Actor as Marshal, Mailbox as MarshalMailbox},
        resolver::p2p as marshal_resolver,
        standard::{Deferred, Standard},
    },
    simplex::{scheme::ed25519::Scheme, types::Finalization},
    types::{FixedEpocher, Height},
};
use commonware_cryptography::{
    Digested, Digestible as _, Hasher as _, Sha256, Signer as _,
    bls12381::{dkg::feldman_desmedt::Reveal, primitives::sharing::Mode},
    ed25519::PublicKey,
};
use commonware_glue::{
    dkg::{fence::Fence, network::Manager, orchestrator, reshare},
    stateful::{
        Config as StatefulConfig, Mailbox as StatefulMailbox, PruneConfig, Stateful,
        db::{Shared, SyncEngineConfig, p2p as state_resolver},
    },
};
use commonware_p2p::{Blocker, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Handle, Metrics, Network, Spawner, Storage};
use commonware_storage::{archive::immutable, merkle::mmr};
use commonware_utils::{NZDuration, NZU64, NZUsize, sequence::Unit, sync::Mutex};
use core::{
    fmt,
    num::{NonZeroU64, NonZeroUsize},
};
use futures::channel::mpsc;
use rand_core::CryptoRng;
use std::sync::Arc;
use tacit_ledger::Chain;
use tacit_light::{Certifier, certificate_namespace};

/// A running validator.
pub struct Validator<E, T, S>
where
    E: Spawner + Clock + Metrics + Storage,
    T: TransactionSource,
    S: BlockSink,
{
    marshal: MarshalMailbox<Scheme, Standard<ChainBlock>>,
    stateful: StatefulMailbox<E, Ledger<T, Progress<Whole<S>>>>,
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
        let EngineConfig { key, genesis, group, share, anchor, rules, beneficiary, timing, storage } = config;
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
        let certifier = Certifier {
            chain_id: rules.chain.chain_id,
            genesis: genesis.hash(),
            first: genesis.block().header.number,
            group: group.key(),
        };
        // The ledger's modules check certificates by it: from here and from nowhere else, or validators would execute differently.
        let rules = Rules { chain: Chain { certifier: Some(certifier), ..rules.chain }, ..rules };
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
        let Beginning { state: plan, epochs, begun } =
            begin(&context.child("beginning"), &storage.partition, anchor, &sink).await?;
        if let Some(begun) = &begun {
            committees.expect(&begun.record);
        }
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
        let first = genesis.block().header.number;
        let sink = Progress::new(Whole::new(sink, marshal_mailbox.clone(), first), certifier.clone());
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
            first_number: first,
            begun: begun.as_ref().map(|begun| begun.record.clone()),
        };
        let memory = Memory {
            committees: committees.clone(),
            marshal: marshal_mailbox.clone(),
            epoch_blocks,
            begins_s: begun.map(|begun| begun.since_s.saturating_add(rules.clock_ahead_s_max)),
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
                registrar: memory,
                marshal: marshal_mailbox.clone(),
                state_sync: epochs.clone(),
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
                state_sync: epochs,
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

/// What dealings of a network are bound to. The library wants it for good: 32 bytes that a validator's process keeps to its end.
fn dealing_namespace(votes: &[u8]) -> &'static [u8] {
    Sha256::hash(&[b"tacit/dealing/1", votes]).0.to_vec().leak()
}

/// Blocks kept per peer until they are asked for.
const BROADCAST_KEPT: usize = 16;
const REPAIR_MAX: NonZeroUsize = NZUsize!(64);
/// One block at a time: its effects are durable before the next one's begin.
const PENDING_ACKS_MAX: NonZeroUsize = NZUsize!(1);
/// [`PARTICIPANTS_MAX`], as decoders of certificates take it.
const VALIDATORS_MAX: usize = 128;
const STATE_APPLY: NonZeroU64 = NZU64!(4096);
const STATE_REQUESTS_MAX: NonZeroUsize = NZUsize!(16);
/// Blocks between two removals of old operations.
const PRUNE_INTERVAL: NonZeroUsize = NZUsize!(16);
