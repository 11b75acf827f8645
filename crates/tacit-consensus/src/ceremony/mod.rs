//! How those who begin a network make the key that they hold together, and nobody deals it.
//!
//! Every member deals to every member (Feldman and Desmedt); what came of it is agreed on by a chain of its own, of one epoch, which the
//! library brings (`glue::dkg::bootstrap`). Before and after that, members call a **roll**: they tell each other that they are there, and at the
//! end sign what the network is called. Formats and adversary: `specs/0007-light.md`.
//!
//! # Life
//! 1. [`Ceremony::begin`] waits for all members, or, when patience is over, for more than two thirds of them, and starts to deal.
//! 2. [`Ceremony::dealt`] gives the group, and this member's share of its key.
//! 3. [`Ceremony::agree`] collects the members' signatures of one statement. It ends once all have signed, or, when patience is over,
//!    more than two thirds; until then, this member serves the chain to those who lag.
//!
//! # Restart
//! Whatever a member has dealt, acknowledged and been dealt is on its disk before others know of it; started again, it goes on. A
//! member that has its share already waits for nobody to tell it.
//!
//! # Invariants
//! - Nobody ever has the secret: each adds up what it was dealt, and has one point of a polynomial that is the sum of all members'.
//! - Everything that is signed is bound to the ceremony's id: members with another plan do not hear each other.

mod roll;
mod secrets;

use crate::{
    block::PARTICIPANTS_MAX,
    certify::{Group, GroupError, GroupShare},
    engine::StorageConfig,
    epochs::{Secrets, SecretsError},
};
use alloy_primitives::B256;
use commonware_consensus::types::Epoch;
use commonware_cryptography::{
    Signer as _, Verifier as _,
    bls12381::{
        dkg::feldman_desmedt::Reveal,
        primitives::{
            sharing::{Mode, ModeVersion},
            variant::MinSig,
        },
    },
    ed25519::{PrivateKey, PublicKey, Signature},
};
use commonware_glue::dkg::{
    SecretStore as _,
    bootstrap::{self, Completion, Engine},
    network::Manager,
};
use commonware_macros::select;
use commonware_p2p::{Blocker, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Handle, Metrics, Spawner};
use commonware_storage::Context as StorageContext;
use commonware_utils::{NZDuration, NZU64, NZUsize, channel::oneshot, ordered::Set, sequence::Unit};
use core::{fmt, num::NonZeroU64, num::NonZeroUsize, time::Duration};
use rand_core::CryptoRng;
use roll::Roll;
use secrets::SharedSecrets;
use tracing::info;

/// One member of a ceremony.
pub struct CeremonyConfig {
    /// The key that will vote. On one machine only.
    pub key: PrivateKey,
    /// Everybody who is to hold the key.
    pub members: Set<PublicKey>,
    /// What the ceremony is about: a hash of everything that the members agreed on beforehand.
    pub id: B256,
    /// How long to wait for members who are not there before it goes on without them.
    pub patience: Duration,
    /// Where to keep what is dealt: another partition than the validator's.
    pub storage: StorageConfig,
}

impl fmt::Debug for CeremonyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CeremonyConfig")
            .field("key", &self.key.public_key())
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The network, one pair of ends per purpose. The order is that of the channel numbers, from 0.
#[derive(Debug)]
pub struct CeremonyChannels<S, R> {
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
    /// Dealings.
    pub dealings: (S, R),
    /// Who is there, and what they sign.
    pub roll: (S, R),
}

/// Why a ceremony has no end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CeremonyError {
    /// The key is none of the members', or there are too many of them.
    #[error("this validator is not one of the {members} members, or they are more than {PARTICIPANTS_MAX}")]
    Members {
        /// How many there are.
        members: usize,
    },
    /// Patience is over, and too few are there.
    #[error("{here} members are there, and {needed} are needed")]
    Missing {
        /// More than two thirds.
        needed: usize,
        /// How many are there, this one counted.
        here: usize,
        /// Who is not.
        missing: Vec<PublicKey>,
    },
    /// Too few have dealt as they should. It cannot be held again under this id.
    #[error("the ceremony made no key: too few members dealt as they should")]
    NoKey,
    /// Others sign that the network is another one.
    #[error("{} members have signed another network", others.len())]
    Contradiction {
        /// Who.
        others: Vec<PublicKey>,
    },
    /// What was made is no group of the members.
    #[error("group")]
    Group(#[from] GroupError),
    /// What is dealt cannot be kept.
    #[error("shares")]
    Secrets(#[from] SecretsError),
    /// The network or the engine has ended.
    #[error("the ceremony was stopped")]
    Stopped,
}

/// What was dealt.
pub struct Dealt {
    /// What is public of the key. The same for all.
    pub group: Group,
    /// This member's share, if it was there or could make it from what was published.
    pub share: Option<GroupShare>,
    /// Members whose share everybody can compute, since they were not there to be dealt to. It is nobody's secret until the network's first
    /// epoch is over.
    pub revealed: Set<PublicKey>,
    /// Members who dealt.
    pub dealers: Set<PublicKey>,
}

impl fmt::Debug for Dealt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dealt")
            .field("group", &self.group)
            .field("revealed", &self.revealed)
            .finish_non_exhaustive()
    }
}

/// A ceremony that is being held. Dropped, it ends; begun again on the same disk, it goes on.
pub struct Ceremony<E: StorageContext, S, R, B> {
    context: E,
    key: PrivateKey,
    members: Set<PublicKey>,
    patience: Duration,
    secrets: SharedSecrets<E>,
    roll: Roll<S, R, B>,
    engine: Handle<()>,
    completion: oneshot::Receiver<Completion<MinSig>>,
}

impl<E: StorageContext, S, R, B> fmt::Debug for Ceremony<E, S, R, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ceremony").field("key", &self.key.public_key()).finish_non_exhaustive()
    }
}

impl<E: StorageContext, S, R, B> Drop for Ceremony<E, S, R, B> {
    fn drop(&mut self) {
        self.engine.abort();
    }
}

impl<E, S, R, B> Ceremony<E, S, R, B>
where
    E: Spawner + Clock + Metrics + StorageContext + CryptoRng,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
    B: Blocker<PublicKey = PublicKey>,
{
    /// Waits for the members, and starts to deal. `peers` is told the members once.
    ///
    /// # Errors
    /// The configuration is of no member, too few come, or the disk fails.
    pub async fn begin<P>(
        context: E,
        config: CeremonyConfig,
        channels: CeremonyChannels<S, R>,
        mut peers: P,
        blocker: B,
    ) -> Result<Self, CeremonyError>
    where
        P: Manager<PublicKey = PublicKey, Directory = Unit> + Sync,
    {
        let CeremonyConfig { key, members, id, patience, storage } = config;
        let me = key.public_key();
        let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
        if members.position(&me).is_none() || count > PARTICIPANTS_MAX.get() {
            return Err(CeremonyError::Members { members: members.len() });
        }
        let secrets = Secrets::open(context.child("secrets"), &storage.partition, None).await?;
        let secrets = SharedSecrets::new(secrets);
        // The engine tells it the same again; before that, nobody would be called.
        let told = peers.track(Epoch::zero(), members.clone().into(), &Unit);
        told.map_err(|_| CeremonyError::Stopped)?;
        let CeremonyChannels { votes, certificates, resolver, backfill, broadcast, dealings, roll } =
            channels;
        let mut roll = Roll::new(me, members.clone(), roll, blocker.clone(), context.current());
        if secrets.clone().get_share(Epoch::zero()).await.is_none() {
            roll.gather(&context, patience).await?;
        }
        info!(members = members.len(), "the ceremony begins");
        let engine = Engine::<_, MinSig, _, _, _, _>::new(
            context.child("bootstrap"),
            bootstrap::Config {
                signer: key.clone(),
                manager: peers,
                blocker,
                secret_store: secrets.clone(),
                strategy: Sequential,
                // The library wants it for good: 32 bytes that the process keeps to its end.
                namespace: id.to_vec().leak(),
                sharing_mode: Mode::NonZeroCounter,
                reveal: Reveal::V1,
                max_supported_mode: ModeVersion::v0(),
                partition_prefix: format!("{}-chain", storage.partition),
                page_cache: storage.block_cache,
                write_buffer: storage.buffer_bytes,
                replay_buffer: storage.buffer_bytes,
                mailbox_size: MAILBOX,
                fetch_timeout: NZDuration!(FETCH_TIMEOUT),
                fetch_retry_delay: FETCH_RETRY_DELAY,
                items_per_section: NZU64!(1024),
                participants: members.clone(),
                directory: Unit,
                blocks_per_epoch: blocks(count),
            },
        );
        let (engine, completion) = engine.start(votes, certificates, resolver, backfill, broadcast, dealings);
        Ok(Self { context, key, members, patience, secrets, roll, engine, completion })
    }

    /// Waits until the key is made.
    ///
    /// # Errors
    /// Too few members are there for so long that patience is over, or too few dealt as they should.
    pub async fn dealt(&mut self) -> Result<Dealt, CeremonyError> {
        let mut lonely_since = self.context.current();
        let completion = loop {
            select! {
                completion = &mut self.completion => break completion.map_err(|_| CeremonyError::Stopped)?,
                heard = self.roll.step(&self.context) => heard?,
            };
            let now = self.context.current();
            if self.roll.has_quorum(now) {
                lonely_since = now;
            }
            if now.duration_since(lonely_since).unwrap_or_default() > self.patience {
                return Err(self.roll.missing(now));
            }
        };
        let info = completion.info.ok_or(CeremonyError::NoKey)?;
        let (revealed, dealers) = (info.output.revealed().clone(), info.output.dealers().clone());
        let group = Group::of_ceremony(info.output, &self.members)?;
        let share = self.secrets.get_share(Epoch::zero()).await.map(GroupShare::from);
        Ok(Dealt { group, share, revealed, dealers })
    }

    /// Signs `statement`, and collects the members' signatures of it, this one's among them: those of all, or, when patience is over, of
    /// more than two thirds.
    ///
    /// # Errors
    /// Too few sign, or they sign something else.
    pub async fn agree(&mut self, statement: B256) -> Result<Vec<(PublicKey, Signature)>, CeremonyError> {
        let signature = self.key.sign(STATEMENT_NAMESPACE, statement.as_slice());
        self.roll.collect(&self.context, statement, signature, self.patience).await
    }

    /// Ends it, before the network goes, which would look like a failure.
    pub async fn end(mut self) {
        self.engine.abort();
        // An error means that it was stopped.
        let _ = (&mut self.engine).await;
    }
}

/// Longest message of a ceremony: what the transport must take.
#[must_use]
pub fn ceremony_message_bytes() -> u32 {
    let engine = bootstrap::max_payload_size::<MinSig, Unit>(PARTICIPANTS_MAX, ModeVersion::v0());
    commonware_p2p::max_message_size(&[engine, roll::MESSAGE_BYTES_MAX])
}

/// Whether a member signed a statement at the end of a ceremony.
#[must_use]
pub fn is_agreed(member: &PublicKey, statement: B256, signature: &Signature) -> bool {
    member.verify(STATEMENT_NAMESPACE, statement.as_slice(), signature)
}

/// Blocks of the chain that a ceremony is held on: the first half for dealing, where whoever reconnects needs time, the second with two
/// turns for each member at the least.
fn blocks(members: u32) -> NonZeroU64 {
    BLOCKS_MIN.max(BLOCKS_PER_MEMBER.saturating_mul(NonZeroU64::MIN.saturating_add(u64::from(members))))
}

/// What members sign at the end is bound to.
const STATEMENT_NAMESPACE: &[u8] = b"tacit/network/1";
const MAILBOX: NonZeroUsize = NZUsize!(1024);
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
const FETCH_RETRY_DELAY: Duration = Duration::from_millis(100);
const BLOCKS_MIN: NonZeroU64 = NZU64!(256);
const BLOCKS_PER_MEMBER: NonZeroU64 = NZU64!(8);
