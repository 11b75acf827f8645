//! Engine and actor, put together; one engine for each epoch, since it takes no sets of different sizes.
//!
//! All of them go on from one journal, and one comes after the other: what an epoch left unsigned, the next one's committee signs.

use super::{
    ACTIVITY_KEPT, Certifier, CertifierMailbox,
    actor::{Marshal, OneEpoch},
    turn::Shared,
};
use crate::{
    block::BlockHash,
    engine::{StorageConfig, Timing},
    epochs::ShareSchemes,
};
use commonware_consensus::{
    aggregation::{self, Engine},
    types::{Epoch, EpochDelta},
};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Blocker, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Handle, Metrics, Spawner, Storage};
use commonware_storage::archive::{self, immutable};
use commonware_utils::{NZDuration, NZU64, channel::oneshot};
use core::num::NonZeroU64;
use futures::{StreamExt as _, channel::mpsc};
use rand_core::CryptoRng;

/// All that signing final blocks takes.
pub(crate) struct Launch<B> {
    pub(crate) schemes: ShareSchemes,
    /// Each epoch as it begins.
    pub(crate) epochs: mpsc::UnboundedReceiver<Epoch>,
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
        (sender, receiver): (N, R),
    ) -> Result<CertifierMailbox, archive::Error>
    where
        E: Spawner + Clock + Metrics + Storage + CryptoRng,
        N: Sender<PublicKey = PublicKey>,
        R: Receiver<PublicKey = PublicKey>,
    {
        let store =
            immutable::Archive::init(context.child("archive"), self.storage.archive("threshold", ())).await?;
        let (mailbox, inbox) = CertifierMailbox::new();
        let (marshal, genesis) = (self.marshal.clone(), self.genesis);
        Certifier::start(context.child("certifier"), inbox, store, marshal, genesis);
        let signer = mailbox.clone();
        context.child("turns").spawn(move |context| self.turns(context, sender, receiver, signer));
        Ok(mailbox)
    }

    /// One engine after the other, for as long as epochs begin.
    async fn turns<E, N, R>(mut self, context: E, sender: N, receiver: R, mailbox: CertifierMailbox)
    where
        E: Spawner + Clock + Metrics + Storage + CryptoRng,
        N: Sender<PublicKey = PublicKey>,
        R: Receiver<PublicKey = PublicKey>,
    {
        let receiver = Shared::new(receiver);
        let mut running: Option<(Handle<()>, oneshot::Sender<()>)> = None;
        while let Some(epoch) = self.epochs.next().await {
            if let Some((handle, end)) = running.take() {
                drop(end);
                // It syncs its journal before it ends; an error means that the runtime is stopping.
                let _ = handle.await;
            }
            let context = context.child("aggregation").with_attribute("epoch", epoch);
            let (turn, end) = receiver.turn();
            let handle = self.engine(context, epoch, mailbox.clone()).start((sender.clone(), turn));
            running = Some((handle, end));
        }
    }

    fn engine<E>(&self, context: E, epoch: Epoch, mailbox: CertifierMailbox) -> EngineOf<E, B>
    where
        E: Spawner + Clock + Metrics + Storage + CryptoRng,
    {
        Engine::new(
            context,
            aggregation::Config {
                monitor: OneEpoch::new(epoch),
                provider: self.schemes.clone(),
                automaton: mailbox.clone(),
                reporter: mailbox,
                blocker: self.blocker.clone(),
                priority_acks: false,
                rebroadcast_timeout: NZDuration!(self.timing.retry),
                // Who is about to enter the epoch may still sign for the one before.
                epoch_bounds: (EpochDelta::new(1), EpochDelta::zero()),
                window: WINDOW,
                activity_timeout: ACTIVITY_KEPT,
                journal_partition: format!("{}-signatures", self.storage.partition),
                journal_write_buffer: self.storage.buffer_bytes,
                journal_replay_buffer: self.storage.buffer_bytes,
                journal_heights_per_section: HEIGHTS_PER_SECTION,
                journal_compression: None,
                journal_page_cache: self.storage.block_cache.clone(),
                strategy: Sequential,
            },
        )
    }
}

type EngineOf<E, B> =
    Engine<E, ShareSchemes, BlockHash, CertifierMailbox, CertifierMailbox, OneEpoch, B, Sequential>;

/// Heights that are signed at once. After a halt or a change of keys, this many are under way.
const WINDOW: NonZeroU64 = NZU64!(64);
const HEIGHTS_PER_SECTION: NonZeroU64 = NZU64!(64);
