//! Evaluation keys on their way to a worker.
//!
//! A client of models with look-ups sends its public evaluation keys once, some 15 to 31 MB, to each worker: `PUT /v1/keys/{id}` with the bytes, and
//! with two headers that say over which channel the client pays this worker, and that the channel's signer allows it. So the worker knows, before
//! it reads the first byte, that they come from somebody with a deposit.

use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::SolStruct;
use serde::{Deserialize, Serialize};

use crate::{
    Wallet, job,
    wallet::{self, SignatureReject},
};

/// Header with the channel's id.
pub const CHANNEL_HEADER: &str = "tacit-channel";
/// Header with the signature of [`KeyGrant`].
pub const SIGNATURE_HEADER: &str = "tacit-signature";

alloy_sol_types::sol! {
    /// What a channel's signer authorises.
    struct EvaluationKeys {
        bytes32 keyId;
        bytes32 channelId;
        address worker;
    }
}

/// Allows a worker to keep keys for whoever pays over a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyGrant {
    /// Hash of the keys.
    pub key_id: B256,
    /// A channel to the worker.
    pub channel_id: B256,
    /// Who keeps them.
    pub worker: Address,
}

/// What a worker keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyReply {
    /// Hash of the keys.
    pub key_id: B256,
    /// Their length.
    pub bytes: u64,
}

impl KeyGrant {
    fn digest(&self, chain_id: u64) -> B256 {
        let Self { key_id, channel_id, worker } = *self;
        EvaluationKeys { keyId: key_id, channelId: channel_id, worker }
            .eip712_signing_hash(&job::domain(chain_id))
    }

    /// Signs it.
    #[must_use]
    pub fn sign(&self, wallet: &Wallet, chain_id: u64) -> Bytes {
        wallet.sign_digest(self.digest(chain_id))
    }

    /// Who signed it.
    ///
    /// # Errors
    /// [`SignatureReject`].
    pub fn signer(&self, signature: &Bytes, chain_id: u64) -> Result<Address, SignatureReject> {
        wallet::recover(self.digest(chain_id), signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_for_these_keys_this_channel_this_worker_and_this_ledger() {
        let wallet = Wallet::from_hex(&"07".repeat(32)).unwrap();
        let grant = KeyGrant {
            key_id: B256::repeat_byte(1),
            channel_id: B256::repeat_byte(2),
            worker: Address::repeat_byte(3),
        };
        let signature = grant.sign(&wallet, 5);
        assert_eq!(grant.signer(&signature, 5).unwrap(), wallet.address());
        let others = [
            KeyGrant { key_id: B256::repeat_byte(9), ..grant },
            KeyGrant { channel_id: B256::repeat_byte(9), ..grant },
            KeyGrant { worker: Address::repeat_byte(9), ..grant },
        ];
        assert!(others.iter().all(|other| other.signer(&signature, 5) != Ok(wallet.address())));
        assert_ne!(grant.signer(&signature, 6), Ok(wallet.address()));
        assert!(grant.signer(&Bytes::from_static(b"none"), 5).is_err());
    }
}
