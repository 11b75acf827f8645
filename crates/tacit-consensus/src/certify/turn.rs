//! One end of a channel for one engine after the other.

use commonware_cryptography::ed25519::PublicKey;
use commonware_macros::select;
use commonware_p2p::{Message, Receiver};
use commonware_utils::{channel::oneshot, sync::AsyncMutex};
use core::{fmt, num::NonZeroUsize};
use std::sync::Arc;

/// A receiver that whoever has the turn receives from.
pub(crate) struct Shared<R> {
    receiver: Arc<AsyncMutex<R>>,
    capacity: NonZeroUsize,
}

impl<R: Receiver<PublicKey = PublicKey>> Shared<R> {
    pub(crate) fn new(receiver: R) -> Self {
        let capacity = receiver.capacity();
        Self { receiver: Arc::new(AsyncMutex::new(receiver)), capacity }
    }

    /// A turn, and what ends it when it is dropped.
    pub(crate) fn turn(&self) -> (Turn<R>, oneshot::Sender<()>) {
        let (end, over) = oneshot::channel();
        (Turn { receiver: Arc::clone(&self.receiver), capacity: self.capacity, over }, end)
    }
}

/// Receives until its turn is over, then fails for good.
pub(crate) struct Turn<R> {
    receiver: Arc<AsyncMutex<R>>,
    capacity: NonZeroUsize,
    over: oneshot::Receiver<()>,
}

/// Why nothing is received any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TurnError<E> {
    /// Another has the turn.
    #[error("the turn is over")]
    Over,
    /// The network has ended.
    #[error(transparent)]
    Network(E),
}

impl<R> fmt::Debug for Turn<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").finish_non_exhaustive()
    }
}

impl<R: Receiver<PublicKey = PublicKey>> Receiver for Turn<R> {
    type Error = TurnError<R::Error>;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<Message<PublicKey>, Self::Error> {
        if self.over.is_terminated() {
            return Err(TurnError::Over);
        }
        let receiver = Arc::clone(&self.receiver);
        select! {
            _ = &mut self.over => Err(TurnError::Over),
            message = async { receiver.lock().await.recv().await } => message.map_err(TurnError::Network),
        }
    }

    fn capacity(&self) -> NonZeroUsize {
        self.capacity
    }
}
