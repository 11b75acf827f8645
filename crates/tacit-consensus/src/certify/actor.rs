//! What stands between the engine that signs and the rest of the validator.

use super::Scheme;
use crate::{
    application::halt,
    block::{BlockHash, ChainBlock},
    ports::BlockSink,
};
use alloy_primitives::B256;
use commonware_actor::Feedback;
use commonware_codec::Encode as _;
use commonware_consensus::{
    Automaton, IndexSubscription, Monitor, Reporter,
    aggregation::types::{Activity, Certificate},
    marshal::{core::Mailbox as MarshalMailbox, standard::Standard},
    simplex::scheme::ed25519,
    types::{Epoch, Height},
};
use commonware_runtime::{Handle, Spawner};
use commonware_storage::{
    Context as StorageContext,
    archive::{Archive as _, Identifier, immutable},
};
use commonware_utils::{
    NZUsize,
    channel::{oneshot, ring},
    sequence::FixedBytes,
    sync::Mutex,
};
use futures::{StreamExt as _, channel::mpsc};
use std::{collections::BTreeMap, sync::Arc};
use tacit_light::GroupSignature;

pub(crate) type Marshal = MarshalMailbox<ed25519::Scheme, Standard<ChainBlock>>;
type Store<E> = immutable::Archive<E, BlockHash, FixedBytes<48>>;

enum Message {
    /// The engine wants to sign this height.
    Digest { height: u64, response: oneshot::Sender<BlockHash> },
    /// The sink has the block of this height.
    Taken(u64),
    /// The engine formed a certificate.
    Certified { height: u64, hash: BlockHash, signature: FixedBytes<48> },
    /// Somebody wants the first certificate from this height on.
    Next { from: u64, response: oneshot::Sender<Option<(u64, GroupSignature)>> },
}

/// Sends to the [`Certifier`]. What waits there is bounded: one request for each height of the engine's window, a message
/// for each block and each certificate, and questions, whose askers wait.
#[derive(Clone)]
pub(crate) struct CertifierMailbox(mpsc::UnboundedSender<Message>);

impl CertifierMailbox {
    /// The first certificate from a height on; `None` when there is none here.
    pub(crate) async fn next(&self, from: u64) -> Option<(u64, GroupSignature)> {
        let (response, answer) = oneshot::channel();
        self.0.unbounded_send(Message::Next { from, response }).ok()?;
        answer.await.ok().flatten()
    }
}

impl Automaton for CertifierMailbox {
    type Context = Height;
    type Digest = BlockHash;

    async fn propose(&mut self, height: Height) -> oneshot::Receiver<BlockHash> {
        let (response, answer) = oneshot::channel();
        // When the actor has ended, so has the validator.
        let _ = self.0.unbounded_send(Message::Digest { height: height.get(), response });
        answer
    }

    /// The engine asks no such thing; what it signs comes from here.
    async fn verify(&mut self, _: Height, _: BlockHash) -> oneshot::Receiver<bool> {
        oneshot::channel().1
    }
}

impl Reporter for CertifierMailbox {
    type Activity = Activity<Scheme, BlockHash>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        let Activity::Certified(Certificate { item, certificate }) = activity else { return Feedback::Ok };
        // A signature has this length; the engine gives no other.
        let Ok(signature) = <[u8; 48]>::try_from(&certificate.encode()[..]) else { return Feedback::Ok };
        let (height, hash, signature) = (item.height.get(), item.digest, FixedBytes::new(signature));
        match self.0.unbounded_send(Message::Certified { height, hash, signature }) {
            Ok(()) => Feedback::Ok,
            Err(_) => Feedback::Closed,
        }
    }
}

/// A sink that tells the [`Certifier`] what the sink behind it has taken.
#[derive(Clone)]
pub(crate) struct Progress<S> {
    sink: S,
    certifier: CertifierMailbox,
}

impl<S> Progress<S> {
    pub(crate) fn new(sink: S, certifier: CertifierMailbox) -> Self {
        Self { sink, certifier }
    }
}

impl<S: BlockSink> BlockSink for Progress<S> {
    type Error = S::Error;

    fn head(&self) -> u64 {
        self.sink.head()
    }

    async fn finalized(&self, block: &ChainBlock) -> Result<(), S::Error> {
        self.sink.finalized(block).await?;
        // When the actor has ended, so has the validator.
        let _ = self.certifier.0.unbounded_send(Message::Taken(block.seal().height.get()));
        Ok(())
    }

    async fn state_root(&self, number: u64) -> Result<B256, S::Error> {
        self.sink.state_root(number).await
    }
}

/// The only epoch of an engine. Subscriptions last as long as this.
#[derive(Clone)]
pub(crate) struct OneEpoch {
    epoch: Epoch,
    subscribed: Arc<Mutex<Vec<ring::Sender<Epoch>>>>,
}

impl OneEpoch {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self { epoch, subscribed: Arc::default() }
    }
}

impl Monitor for OneEpoch {
    type Index = Epoch;

    async fn subscribe(&mut self) -> (Epoch, IndexSubscription<Epoch>) {
        let (sender, subscription) = ring::channel(NZUsize!(1));
        self.subscribed.lock().push(sender);
        (self.epoch, subscription)
    }
}

/// Tells the engine which blocks are final here, keeps its certificates and finds them again.
pub(crate) struct Certifier<E: StorageContext> {
    inbox: mpsc::UnboundedReceiver<Message>,
    store: Store<E>,
    unsynced: usize,
    marshal: Marshal,
    genesis: BlockHash,
    /// Highest block that the sink has.
    taken: u64,
    waiting: BTreeMap<u64, Vec<oneshot::Sender<BlockHash>>>,
}

impl CertifierMailbox {
    /// Where to send, and what [`Certifier::start`] receives from.
    pub(crate) fn new() -> (Self, Inbox) {
        let (sender, inbox) = mpsc::unbounded();
        (Self(sender), Inbox(inbox))
    }
}

/// The other end of a [`CertifierMailbox`].
pub(crate) struct Inbox(mpsc::UnboundedReceiver<Message>);

impl<E: Spawner + StorageContext> Certifier<E> {
    /// Runs in a task below `context`.
    pub(crate) fn start(
        context: E,
        inbox: Inbox,
        store: Store<E>,
        marshal: Marshal,
        genesis: BlockHash,
    ) -> Handle<()> {
        let certifier =
            Self { inbox: inbox.0, store, unsynced: 0, marshal, genesis, taken: 0, waiting: BTreeMap::new() };
        context.spawn(move |_| certifier.run())
    }

    async fn run(mut self) {
        // What the sink took in an earlier life does not come again.
        self.taken = self.marshal.get_processed().await.map_or(0, |processed| processed.height().get());
        while let Some(message) = self.inbox.next().await {
            match message {
                Message::Digest { height, response } => {
                    self.waiting.entry(height).or_default().push(response);
                    self.answer().await;
                }
                Message::Taken(height) => {
                    self.taken = self.taken.max(height);
                    self.answer().await;
                }
                Message::Certified { height, hash, signature } => {
                    self = self.keep(height, hash, signature).await;
                }
                Message::Next { from, response } => {
                    // Whoever asked may have gone.
                    let _ = response.send(self.find(from).await);
                }
            }
        }
    }

    /// Answers all requests for blocks that are final here.
    async fn answer(&mut self) {
        while let Some(entry) = self.waiting.first_entry()
            && *entry.key() <= self.taken
        {
            let (height, responses) = entry.remove_entry();
            let digest = match height {
                0 => Some(self.genesis),
                // Nothing where the archive begins later: others sign it, and the engine skips it with them.
                _ => self.marshal.get_info(Height::new(height)).await.map(|(_, digest)| digest),
            };
            for response in responses {
                // A height that the engine has skipped is not waited for any more.
                let _ = digest.map(|digest| response.send(digest));
            }
        }
    }

    async fn keep(mut self, height: u64, hash: BlockHash, signature: FixedBytes<48>) -> Self {
        let store = self.store.put(height, hash, &signature).await;
        self.store = store.unwrap_or_else(|error| halt(&error));
        self.unsynced += 1;
        if self.unsynced >= UNSYNCED_MAX {
            self.store = self.store.sync().await.unwrap_or_else(|error| halt(&error));
            self.unsynced = 0;
        }
        self
    }

    async fn find(&self, from: u64) -> Option<(u64, GroupSignature)> {
        let at = match self.store.next_gap(from) {
            (Some(_), _) => from,
            (None, next) => next?,
        };
        let signature = self.store.get(Identifier::Index(at)).await.unwrap_or_else(|error| halt(&error))?;
        Some((at, GroupSignature::from_slice(&signature)))
    }
}

/// Certificates between two syncs of the archive; well below what the engine's journal holds, which gives them again.
const UNSYNCED_MAX: usize = 32;
