//! Engine and actor, put together.

use super::{
    ACTIVITY_KEPT, Certifier, CertifierMailbox, Scheme,
    actor::{Epochs, Marshal},
};
use crate::{
    block::BlockHash,
    engine::{StorageConfig, Timing},
};
use commonware_consensus::{
    aggregation::{self, Engine},
    types::{Epoch, EpochDelta},
};
use commonware_cryptography::{certificate::ConstantProvider, ed25519::PublicKey};
use commonware_p2p::{Blocker, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Metrics, Spawner, Storage};
use commonware_storage::archive::{self, immutable};
use commonware_utils::{NZDuration, NZU64};
use core::num::NonZeroU64;
use rand_core::CryptoRng;

/// All that signing final blocks takes.
pub(crate) struct Launch<B> {
    pub(crate) scheme: Scheme,
    pub(crate) genesis: BlockHash,
    pub(crate) marshal: Marshal,
    pub(crate) blocker: B,
    pub(crate) timing: Timing,
    pub(crate) storage: StorageConfig,
}

impl<B: Blocker<PublicKey = PublicKey>> Launch<B> {
    /// Starts in tasks below `context`.
    ///
    /// # Errors
    /// The archive cannot be opened.
    pub(crate) async fn start<E, N, R>(
        self,
        context: E,
        network: (N, R),
    ) -> Result<CertifierMailbox, archive::Error>
    where
        E: Spawner + Clock + Metrics + Storage + CryptoRng,
        N: Sender<PublicKey = PublicKey>,
        R: Receiver<PublicKey = PublicKey>,
    {
        let Self { scheme, genesis, marshal, blocker, timing, storage } = self;
        let store =
            immutable::Archive::init(context.child("archive"), storage.archive("threshold", ())).await?;
        let (mailbox, inbox) = CertifierMailbox::new();
        Certifier::start(context.child("certifier"), inbox, store, marshal, genesis);
        let engine = Engine::new(
            context.child("aggregation"),
            aggregation::Config {
                monitor: Epochs::default(),
                provider: ConstantProvider::<Scheme, Epoch>::new(scheme),
                automaton: mailbox.clone(),
                reporter: mailbox.clone(),
                blocker,
                priority_acks: false,
                rebroadcast_timeout: NZDuration!(timing.retry),
                epoch_bounds: (EpochDelta::zero(), EpochDelta::zero()),
                window: WINDOW,
                activity_timeout: ACTIVITY_KEPT,
                journal_partition: format!("{}-signatures", storage.partition),
                journal_write_buffer: storage.buffer_bytes,
                journal_replay_buffer: storage.buffer_bytes,
                journal_heights_per_section: HEIGHTS_PER_SECTION,
                journal_compression: None,
                journal_page_cache: storage.block_cache,
                strategy: Sequential,
            },
        );
        engine.start(network);
        Ok(mailbox)
    }
}

/// Takes what comes and does nothing with it, so that peers who sign are not kept waiting.
pub(crate) fn drain<E: Spawner, R: Receiver>(context: E, mut receiver: R) {
    context.spawn(move |_| async move { while receiver.recv().await.is_ok() {} });
}

/// Heights that are signed at once. After a halt or a change of keys, this many are under way.
const WINDOW: NonZeroU64 = NZU64!(64);
const HEIGHTS_PER_SECTION: NonZeroU64 = NZU64!(64);
