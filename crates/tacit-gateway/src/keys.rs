//! The client's keys for models with look-ups: made once for each set of parameters, sent once to each worker.
//!
//! What is kept is the seed, from which secret keys are made again, and the public evaluation keys' bytes, in one write before anything is sent
//! under them. Whoever has the seed reads every question that was ever asked under these keys, so it leaves this machine only in a receipt whose owner
//! says so ([`KeyOpening`]).
//!
//! A worker that is caught by a hidden question learns that something it did changed an answer, which may say something of the key. The next
//! question is therefore asked under new ones (`specs/0005-circuits.md`, *What may be told to a worker*).

use std::sync::Arc;

use alloy_primitives::B256;
use rand::TryRngCore;
use serde::{Deserialize, Serialize};
use tacit_encrypt::{
    KeyId, Offer, ParametersId, Seed,
    client::{ClientKeys, generate_keys, restore_keys},
};
use tacit_wire::keys::{CHANNEL_HEADER, KeyGrant, KeyReply, SIGNATURE_HEADER};

use crate::{encrypted::QuerySeed, error::GatewayError, gateway::Gateway, store::JobRecord};

/// What makes a client's secret keys. Whoever has it reads every question asked under them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyOpening {
    /// Which parameters.
    pub parameters: u8,
    /// Random bytes that the keys come from.
    pub seed: QuerySeed,
}

/// What it takes to ask one worker about one model under encryption.
#[derive(Debug, Clone)]
pub(crate) struct EncryptedTerms {
    pub(crate) offer: Offer,
    /// Where the offer needs some.
    pub(crate) keys: Option<Arc<ClientKeys>>,
}

const REPLY_BYTES_MAX: usize = 1024;

impl KeyOpening {
    /// The secret keys; that `id` names them is not checked.
    pub(crate) fn restore(&self, id: B256) -> Option<ClientKeys> {
        restore_keys(ParametersId(self.parameters), &self.seed.seed(), KeyId(id.0))
    }
}

impl core::fmt::Debug for KeyOpening {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("KeyOpening").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

impl Gateway {
    /// The keys to ask under, made when there are none; none for an offer that needs none.
    pub(crate) async fn current_keys(&self, offer: &Offer) -> Result<Option<Arc<ClientKeys>>, GatewayError> {
        let Some(parameters) = offer.parameters() else { return Ok(None) };
        // One at a time: two would be two clients to a worker, and twice the bytes.
        let _alone = self.making_keys.lock().await;
        if let Some(id) = self.store.current_keys(parameters.0)? {
            return self.kept_keys(id).map(Some);
        }
        let mut seed = [0; 32];
        rand::rngs::OsRng.try_fill_bytes(&mut seed).map_err(|_| GatewayError::Internal)?;
        let making = tokio::task::spawn_blocking(move || generate_keys(parameters, &Seed::new(seed)));
        // An offer names only parameters that this program has.
        let made = making.await.map_err(|_| GatewayError::Internal)?;
        let (keys, bytes) = made.ok_or(GatewayError::Internal)?;
        let id = B256::from(keys.id().0);
        let opening = KeyOpening { parameters: parameters.0, seed: QuerySeed::from(B256::from(seed)) };
        self.store.put_keys(id, &opening, &bytes)?;
        let keys = Arc::new(keys);
        self.keys().insert(id, Arc::clone(&keys));
        Ok(Some(keys))
    }

    /// Keys that were made before.
    pub(crate) fn kept_keys(&self, id: B256) -> Result<Arc<ClientKeys>, GatewayError> {
        if let Some(keys) = self.keys().get(&id) {
            return Ok(Arc::clone(keys));
        }
        let opening = self.store.keys(id)?.ok_or(GatewayError::Internal)?;
        let keys = Arc::new(opening.restore(id).ok_or(GatewayError::NotThisBuild)?);
        self.keys().insert(id, Arc::clone(&keys));
        Ok(keys)
    }

    /// The evaluation keys of a job that was asked under some: public, for whoever does the job again.
    ///
    /// # Errors
    /// [`GatewayError::UnknownReceipt`] for keys that are not this gateway's.
    pub fn evaluation_keys(&self, id: B256) -> Result<Vec<u8>, GatewayError> {
        self.store.key_bytes(id)?.ok_or_else(|| GatewayError::UnknownReceipt { id: id.to_string() })
    }

    /// Sends a worker the evaluation keys that a job is under.
    pub(crate) async fn send_keys(&self, job: &JobRecord, key_id: B256) -> Result<(), GatewayError> {
        let header = &job.request.header;
        let (worker, channel_id) = (header.worker, header.channel_id);
        let bytes = self.store.key_bytes(key_id)?.ok_or(GatewayError::Internal)?;
        let grant = KeyGrant { key_id, channel_id, worker };
        let signature = grant.sign(&self.wallet, header.chain_id);
        let headers = [(CHANNEL_HEADER, channel_id.to_string()), (SIGNATURE_HEADER, signature.to_string())];
        let url = format!("{}/v1/keys/{key_id}", job.endpoint);
        tracing::info!(%worker, %key_id, bytes = bytes.len(), "sending evaluation keys");
        let sent = self.http.put_bytes::<KeyReply>(&url, &headers, bytes, REPLY_BYTES_MAX).await;
        sent.map(|_| ()).map_err(|source| GatewayError::KeysNotTaken { worker, source: Box::new(source) })
    }
}
