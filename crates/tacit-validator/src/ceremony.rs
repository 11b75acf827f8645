//! A founder on a real machine: it makes the group's key together with the others, before there is a ledger.
//!
//! # Files
//! Whatever is dealt lies in a folder of its own, which only its owner can look into; the share that comes of it goes to a share file.
//! A founder that is stopped, in whatever way, goes on from there.

use crate::{
    key::{ShareKey, ValidatorAddress, ValidatorKey},
    network::{NetworkFile, Plan},
    run::{CHANNEL_QUOTA, RunError, STACK_BYTES, first_block, own_folder, storage},
    transport::Line,
};
use alloy_primitives::hex;
use commonware_codec::Encode as _;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::authenticated::discovery::Network;
use commonware_runtime::{
    Runner as _, Supervisor as _,
    tokio::{Config as RuntimeConfig, Context, Runner},
};
use commonware_utils::{NZU32, NZUsize, ordered::Set};
use core::{net::SocketAddr, num::NonZeroUsize, time::Duration};
use futures::channel::oneshot;
use std::{
    io,
    path::{Path, PathBuf},
    thread,
};
use tacit_consensus::{
    Ceremony, CeremonyChannels, CeremonyConfig, CeremonyError, Dealt, StorageConfig, ceremony_message_bytes,
};
use tacit_ledger::GenesisError;
use tacit_node::FirstBlock;
use tacit_wire::KeyFileError;

/// What a founder's part in a ceremony takes.
pub struct CeremonySettings {
    /// The key that will vote.
    pub key: ValidatorKey,
    /// What the founders agreed on.
    pub plan: Plan,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where the others reach this founder.
    pub reached: SocketAddr,
    /// Where to keep what is dealt.
    pub data_dir: PathBuf,
    /// Where the share goes: a new file, or the one that an earlier attempt wrote.
    pub share: PathBuf,
    /// How long to wait for founders who are not there before it goes on without them.
    pub patience: Duration,
}

impl core::fmt::Debug for CeremonySettings {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CeremonySettings").field("key", &self.key.address()).finish_non_exhaustive()
    }
}

/// What came of a ceremony.
#[derive(Debug, Clone)]
pub struct Founded {
    /// The network, with the founders' signatures.
    pub network: NetworkFile,
    /// Its first block.
    pub first_block: FirstBlock,
    /// Whether this founder has a share. Without one it votes and signs no certificates, until the second epoch.
    pub has_share: bool,
    /// Founders who were not there to be dealt to: everybody can compute their shares.
    pub revealed: Vec<ValidatorAddress>,
    /// Founders who have not signed.
    pub unsigned: Vec<ValidatorAddress>,
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FoundingError {
    /// One key stands twice in the plan.
    #[error("a founder is listed twice")]
    ListedTwice,
    /// Too few founders are there.
    #[error("{here} founders are there, and {needed} are needed")]
    Missing {
        /// More than two thirds.
        needed: usize,
        /// How many there are, this one counted.
        here: usize,
        /// Who is missing.
        missing: Vec<ValidatorAddress>,
    },
    /// The ceremony has no end.
    #[error(transparent)]
    Ceremony(CeremonyError),
    /// The genesis is refused.
    #[error("genesis")]
    Genesis(#[from] GenesisError),
    /// Its folder cannot be made, or not be kept from others.
    #[error("cannot make {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The share's file cannot be written or read.
    #[error("share")]
    Share(#[from] KeyFileError),
    /// The share's file holds another share.
    #[error("{} holds another share", path.display())]
    OtherShare {
        /// The file.
        path: PathBuf,
    },
    /// The first block cannot be made.
    #[error("first block")]
    FirstBlock(#[source] RunError),
    /// The system has no thread to give.
    #[error("no thread for the ceremony")]
    Thread(#[source] io::Error),
    /// Its runtime ended; the reason was printed by the panic that ended it.
    #[error("the ceremony halted")]
    Halted,
}

impl From<CeremonyError> for FoundingError {
    fn from(error: CeremonyError) -> Self {
        match error {
            CeremonyError::Missing { needed, here, missing } => {
                Self::Missing { needed, here, missing: missing.into_iter().map(ValidatorAddress).collect() }
            }
            other => Self::Ceremony(other),
        }
    }
}

/// Takes part in a ceremony until it is over, on threads of its own.
///
/// # Errors
/// Too few founders come, they disagree, or the disk fails. What was reached is kept.
pub fn hold_ceremony(settings: CeremonySettings) -> Result<Founded, FoundingError> {
    let founders = &settings.plan.founders;
    if Set::from_iter_dedup(founders.iter().map(|peer| peer.key.0.clone())).len() < founders.len() {
        return Err(FoundingError::ListedTwice);
    }
    own_folder(&settings.data_dir)
        .map_err(|source| FoundingError::Folder { path: settings.data_dir.clone(), source })?;
    let thread = thread::Builder::new().name("ceremony".into()).stack_size(STACK_BYTES).spawn(move || {
        let runtime =
            RuntimeConfig::new().with_storage_directory(&settings.data_dir).with_worker_threads(THREADS);
        Runner::new(runtime).start(|context| Box::pin(attend(context, settings)))
    });
    thread.map_err(FoundingError::Thread)?.join().unwrap_or(Err(FoundingError::Halted))
}

async fn attend(context: Context, settings: CeremonySettings) -> Result<Founded, FoundingError> {
    let CeremonySettings { key, plan, listen, reached, data_dir, share, patience } = settings;
    let id = plan.id()?;
    let line = Line {
        key: &key,
        peers: &plan.founders,
        listen,
        reached,
        reach: plan.reach,
        namespace: [TRANSPORT_NAMESPACE, id.as_slice()].concat(),
        peers_max: NonZeroUsize::MIN.saturating_add(plan.founders.len()),
        message_bytes_max: ceremony_message_bytes(),
    };
    let (mut network, oracle) = Network::new(context.child("network"), line.config());
    let mut channel = 0;
    let mut register = || {
        let ends = network.register(channel, CHANNEL_QUOTA.allow_burst(NZU32!(32)));
        channel += 1;
        ends
    };
    let channels = CeremonyChannels {
        votes: register(),
        certificates: register(),
        resolver: register(),
        backfill: register(),
        broadcast: register(),
        dealings: register(),
        roll: register(),
    };
    let running = network.start();
    let members: Set<PublicKey> = Set::from_iter_dedup(plan.founders.iter().map(|peer| peer.key.0.clone()));
    let config = CeremonyConfig {
        key: key.secret,
        members: members.clone(),
        id,
        patience,
        storage: StorageConfig { partition: "ceremony".into(), ..storage(CACHE) },
    };
    let begun = Ceremony::begin(context.child("ceremony"), config, channels, oracle.clone(), oracle).await;
    let mut ceremony = begun?;
    let Dealt { group, share: dealt, revealed, .. } = ceremony.dealt().await?;
    let has_share = dealt.is_some();
    if let Some(secret) = dealt {
        keep_share(&ShareKey { secret }, &share)?;
    }
    // It has a runtime of its own.
    let (sender, made) = oneshot::channel();
    let (genesis, group_of, scratch) = (plan.genesis.clone(), group.clone(), data_dir.join("scratch"));
    thread::Builder::new()
        .name("first block".into())
        .spawn(move || {
            // Half of an earlier attempt may lie there, or nothing.
            let _ = std::fs::remove_dir_all(&scratch);
            let first = first_block(&genesis, &group_of, &scratch);
            let _ = std::fs::remove_dir_all(&scratch);
            // Whoever waited may have gone.
            let _ = sender.send(first);
        })
        .map_err(FoundingError::Thread)?;
    let first = made.await.map_err(|_| FoundingError::Halted)?.map_err(FoundingError::FirstBlock)?;
    let mut file = plan.file.begun(&first, &group);
    let statement = file.statement(plan.genesis.chain.chain_id);
    let signatures = ceremony.agree(statement).await?;
    ceremony.end().await;
    running.abort();
    for (peer, founder) in file.validators.iter_mut().zip(&plan.founders) {
        let signed = signatures.iter().find(|(member, _)| *member == founder.key.0);
        peer.signature = signed.map(|(_, signature)| hex::encode(signature.encode()));
    }
    let unsigned = members.iter().filter(|member| signatures.iter().all(|(signer, _)| signer != *member));
    let unsigned = unsigned.cloned().map(ValidatorAddress).collect();
    let revealed = revealed.iter().cloned().map(ValidatorAddress).collect();
    Ok(Founded { network: file, first_block: first, has_share, revealed, unsigned })
}

/// Writes the share, unless an earlier attempt did.
fn keep_share(share: &ShareKey, path: &Path) -> Result<(), FoundingError> {
    if !path.exists() {
        return Ok(share.create(path)?);
    }
    let kept = ShareKey::load(path)?;
    if *kept.secret.bytes() == *share.secret.bytes() {
        return Ok(());
    }
    Err(FoundingError::OtherShare { path: path.to_owned() })
}

/// The ceremony's id follows.
const TRANSPORT_NAMESPACE: &[u8] = b"tacit/ceremony/transport/1";
const THREADS: usize = 2;
const CACHE: NonZeroUsize = NZUsize!(4 << 20);
