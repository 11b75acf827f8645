//! Shares, dealings and the seeds of dealings, on the validator's own disk.
//!
//! One small store, written whole and synced with each change. Whoever reads `2f + 1` validators' stores of one epoch has the
//! group's key; the data folder is its owner's alone (`tacit-validator`).

use crate::application::halt;
use bytes::BufMut;
use commonware_codec::{Buf, Copying, EncodeSize, Error as CodecError, RangeCfg, Read, Write};
use commonware_consensus::types::Epoch;
use commonware_cryptography::{
    Hasher as _, PublicKey, Sha256,
    bls12381::{dkg::feldman_desmedt::DealerPrivMsg, primitives::group::Share},
    transcript::Summary,
};
use commonware_glue::dkg::SecretStore;
use commonware_storage::{
    Context as StorageContext,
    metadata::{self, Metadata},
};
use commonware_utils::sequence::FixedBytes;
use zeroize::Zeroizing;

/// Kind ‖ epoch (8, big endian) ‖ whose (32).
type Name = FixedBytes<NAME_BYTES>;

/// Why a secret is not to be had. It ends the validator: who forgets what it dealt may deal something else.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretsError {
    /// The store failed.
    #[error("store of shares")]
    Store(#[from] metadata::Error),
    /// What was read is not what is written.
    #[error("stored share is malformed")]
    Malformed(#[source] CodecError),
    /// A write was given up half way.
    #[error("store of shares was lost in a write")]
    Lost,
}

/// Bytes that are gone from memory when they are dropped.
struct Secret(Zeroizing<Vec<u8>>);

impl Write for Secret {
    fn write(&self, buf: &mut impl BufMut) {
        self.0.len().write(buf);
        buf.put_slice(&self.0);
    }
}

impl EncodeSize for Secret {
    fn encode_size(&self) -> usize {
        self.0.len().encode_size() + self.0.len()
    }
}

impl Read for Secret {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, CodecError> {
        let length = usize::read_cfg(buf, &RangeCfg::from(..=SECRET_BYTES_MAX))?;
        let mut bytes = Zeroizing::new(vec![0; length]);
        if buf.remaining() < length {
            return Err(CodecError::EndOfBuffer);
        }
        buf.copy_to_slice(&mut bytes);
        Ok(Self(bytes))
    }
}

/// The store of one validator.
pub(crate) struct Secrets<E: StorageContext> {
    /// Away only while it is written.
    store: Option<Metadata<E, Name, Secret>>,
}

impl<E: StorageContext> Secrets<E> {
    /// Opens the store; `share`, that of epoch 0, is put there unless one is there already.
    pub(crate) async fn open(
        context: E,
        partition: &str,
        share: Option<Share>,
    ) -> Result<Self, SecretsError> {
        let config = metadata::Config { partition: format!("{partition}-secrets"), codec_config: () };
        let mut secrets = Self { store: Some(Metadata::init(context, config).await?) };
        let first = name(SHARE, Epoch::zero(), &[0; 32]);
        if let Some(share) = share
            && secrets.read::<Share>(&first)?.is_none()
        {
            secrets.write(first, &share).await?;
        }
        Ok(secrets)
    }

    async fn write<T: Write + EncodeSize>(&mut self, name: Name, secret: &T) -> Result<(), SecretsError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(secret.encode_size()));
        secret.write(&mut *bytes);
        let store = self.store.take().ok_or(SecretsError::Lost)?;
        self.store = Some(store.put_sync(name, Secret(bytes)).await?);
        Ok(())
    }

    fn read<T: Read<Cfg = ()>>(&self, name: &Name) -> Result<Option<T>, SecretsError> {
        let store = self.store.as_ref().ok_or(SecretsError::Lost)?;
        let Some(Secret(bytes)) = store.get(name) else { return Ok(None) };
        let secret = T::read_cfg(&mut Copying(bytes), &()).map_err(SecretsError::Malformed)?;
        Ok(Some(secret))
    }

    async fn forget(&mut self, before: Epoch) -> Result<(), SecretsError> {
        let mut store = self.store.take().ok_or(SecretsError::Lost)?;
        let before = before.get().to_be_bytes();
        let count = store.keys().count();
        store.retain(|name, _| name[1..9] >= before[..]);
        if store.keys().count() < count {
            store = store.sync().await?;
        }
        self.store = Some(store);
        Ok(())
    }
}

impl<E: StorageContext + Send + Sync + 'static> SecretStore for Secrets<E> {
    async fn put_share(&mut self, epoch: Epoch, share: Share) {
        done(self.write(name(SHARE, epoch, &[0; 32]), &share).await);
    }

    async fn get_share(&mut self, epoch: Epoch) -> Option<Share> {
        done(self.read(&name(SHARE, epoch, &[0; 32])))
    }

    async fn put_seed(&mut self, epoch: Epoch, seed: Summary) {
        done(self.write(name(SEED, epoch, &[0; 32]), &seed).await);
    }

    async fn get_seed(&mut self, epoch: Epoch) -> Option<Summary> {
        done(self.read(&name(SEED, epoch, &[0; 32])))
    }

    async fn put_dealing<P: PublicKey>(&mut self, epoch: Epoch, dealer: P, private: DealerPrivMsg) {
        done(self.write(name(DEALING, epoch, &whose(&dealer)), &private).await);
    }

    async fn get_dealing<P: PublicKey>(&mut self, epoch: Epoch, dealer: &P) -> Option<DealerPrivMsg> {
        done(self.read(&name(DEALING, epoch, &whose(dealer))))
    }

    async fn prune(&mut self, min: Epoch) {
        done(self.forget(min).await);
    }
}

fn done<T>(result: Result<T, SecretsError>) -> T {
    result.unwrap_or_else(|error| halt(&error))
}

fn whose(dealer: &impl PublicKey) -> [u8; 32] {
    Sha256::hash(&[&dealer.encode()]).0
}

fn name(kind: u8, epoch: Epoch, whose: &[u8; 32]) -> Name {
    let mut bytes = [kind; NAME_BYTES];
    bytes[1..9].copy_from_slice(&epoch.get().to_be_bytes());
    bytes[9..].copy_from_slice(whose);
    Name::new(bytes)
}

const NAME_BYTES: usize = 41;
const SHARE: u8 = 0;
const SEED: u8 = 1;
const DEALING: u8 = 2;
/// More than any secret takes.
const SECRET_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use commonware_cryptography::{Signer as _, bls12381::primitives::group::Private, ed25519::PrivateKey};
    use commonware_runtime::{
        Runner as _, Supervisor as _,
        deterministic::{Context, Runner},
    };
    use commonware_utils::Participant;

    /// What these 32 bytes are.
    fn small<T: Read<Cfg = ()>>(last: u8) -> T {
        let mut bytes = [0; 32];
        bytes[31] = last;
        T::read_cfg(&mut Copying(&bytes), &()).unwrap()
    }

    fn share(last: u8) -> Share {
        Share::new(Participant::new(3), small::<Private>(last))
    }

    #[test]
    fn what_is_kept_is_there_after_a_crash_until_its_epoch_is_forgotten() {
        let ((), checkpoint) = Runner::default().start_and_recover(|context| async move {
            let mut secrets = Secrets::open(context.child("a"), "v", Some(share(1))).await.unwrap();
            let dealer = PrivateKey::from_seed(1).public_key();
            secrets.put_share(Epoch::new(1), share(2)).await;
            secrets.put_seed(Epoch::new(1), small(3)).await;
            secrets.put_dealing(Epoch::new(1), dealer, small(4)).await;
        });
        Runner::from(checkpoint).start(|context| async move {
            // The first share is put there once.
            let mut secrets = Secrets::open(context.child("b"), "v", Some(share(9))).await.unwrap();
            assert_eq!(secrets.get_share(Epoch::zero()).await, Some(share(1)));
            assert_eq!(secrets.get_share(Epoch::new(1)).await, Some(share(2)));
            assert_eq!(secrets.get_share(Epoch::new(2)).await, None);
            assert_eq!(secrets.get_seed(Epoch::new(1)).await, Some(small(3)));
            assert_eq!(secrets.get_seed(Epoch::zero()).await, None);
            let dealer = |seed| PrivateKey::from_seed(seed).public_key();
            assert!(secrets.get_dealing(Epoch::new(1), &dealer(1)).await == Some(small(4)));
            assert!(secrets.get_dealing(Epoch::new(1), &dealer(2)).await.is_none());
            secrets.prune(Epoch::new(1)).await;
            assert_eq!(secrets.get_share(Epoch::zero()).await, None);
            assert_eq!(secrets.get_share(Epoch::new(1)).await, Some(share(2)));
            secrets.prune(Epoch::new(2)).await;
            assert_eq!(secrets.get_share(Epoch::new(1)).await, None);
            assert!(secrets.get_seed(Epoch::new(1)).await.is_none());
            assert!(secrets.get_dealing(Epoch::new(1), &dealer(1)).await.is_none());
        });
    }

    #[test]
    fn a_share_that_is_none_is_told() {
        Runner::default().start(|context: Context| async move {
            let mut secrets = Secrets::open(context.child("a"), "v", None).await.unwrap();
            let first = name(SHARE, Epoch::zero(), &[0; 32]);
            secrets.write(first, &[0_u8; 3]).await.unwrap();
            drop(secrets);
            let refused =
                Secrets::open(context.child("b"), "v", Some(share(1))).await.map(|_| ()).unwrap_err();
            assert!(matches!(refused, SecretsError::Malformed(_)), "{refused}");
        });
    }
}
