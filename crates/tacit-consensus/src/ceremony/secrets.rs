//! One store of secrets for two: the engine that fills it, and the ceremony that takes the share from it.

use crate::epochs::Secrets;
use commonware_consensus::types::Epoch;
use commonware_cryptography::{
    PublicKey,
    bls12381::{dkg::feldman_desmedt::DealerPrivMsg, primitives::group::Share},
    transcript::Summary,
};
use commonware_glue::dkg::SecretStore;
use commonware_storage::Context as StorageContext;
use futures::lock::Mutex;
use std::sync::Arc;

/// Clones are one store.
pub(super) struct SharedSecrets<E: StorageContext>(Arc<Mutex<Secrets<E>>>);

impl<E: StorageContext> SharedSecrets<E> {
    pub(super) fn new(secrets: Secrets<E>) -> Self {
        Self(Arc::new(Mutex::new(secrets)))
    }
}

impl<E: StorageContext> Clone for SharedSecrets<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E: StorageContext + Send + Sync + 'static> SecretStore for SharedSecrets<E> {
    async fn put_share(&mut self, epoch: Epoch, share: Share) {
        self.0.lock().await.put_share(epoch, share).await;
    }

    async fn get_share(&mut self, epoch: Epoch) -> Option<Share> {
        self.0.lock().await.get_share(epoch).await
    }

    async fn put_seed(&mut self, epoch: Epoch, seed: Summary) {
        self.0.lock().await.put_seed(epoch, seed).await;
    }

    async fn get_seed(&mut self, epoch: Epoch) -> Option<Summary> {
        self.0.lock().await.get_seed(epoch).await
    }

    async fn put_dealing<P: PublicKey>(&mut self, epoch: Epoch, dealer: P, private: DealerPrivMsg) {
        self.0.lock().await.put_dealing(epoch, dealer, private).await;
    }

    async fn get_dealing<P: PublicKey>(&mut self, epoch: Epoch, dealer: &P) -> Option<DealerPrivMsg> {
        self.0.lock().await.get_dealing(epoch, dealer).await
    }

    async fn prune(&mut self, min: Epoch) {
        self.0.lock().await.prune(min).await;
    }
}
