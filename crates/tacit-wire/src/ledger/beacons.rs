//! The module `beacons`: random values of final blocks.

use alloy_primitives::{B256, Bytes, U64};
use alloy_sol_types::SolCall as _;
use serde::Deserialize;
use serde_json::json;
use tacit_abi::{IBeacons, beacons};
use tacit_light::{Certificate, FINALITY_BYTES_MAX, Finality};

use super::{LedgerClient, LedgerError, Mined};
use crate::{Amount, Wallet};

#[derive(Deserialize)]
struct Block {
    hash: B256,
}

impl LedgerClient {
    /// The beacon of a block; `None` while it is not posted.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn beacon_of(&self, number: u64) -> Result<Option<B256>, LedgerError> {
        let beacon = self.call(beacons::ADDRESS, &IBeacons::beaconOfCall { number }).await?;
        Ok(Some(beacon).filter(|beacon| !beacon.is_zero()))
    }

    /// The beacon that [`Self::post_beacon`] would post, whether it is posted or not: on the word of the node, which the module does not take.
    ///
    /// # Errors
    /// As [`Self::post_beacon`]'s.
    pub async fn beacon_ahead(&self, number: u64) -> Result<B256, LedgerError> {
        let (hash, signature) = self.certificate(number).await?;
        Ok(match <&[u8; 48]>::try_from(signature.as_ref()) {
            Ok(signature) => beacons::of_signature(signature),
            Err(_) => beacons::of_development(hash),
        })
    }

    /// Posts the beacon of a final block: with the validators' signature that the node has of it, or on a development ledger with none, for one of its last 256 blocks.
    ///
    /// # Errors
    /// [`LedgerError::NotCertified`] where the node has no signature of this very block (another node may); [`LedgerError::Reverted`] with `AlreadyPosted` where somebody was
    /// first, and with `SignatureLength` where validators keep the ledger and have not signed the block yet.
    pub async fn post_beacon(&self, wallet: &Wallet, number: u64) -> Result<Mined, LedgerError> {
        let (hash, signature) = self.certificate(number).await?;
        let call = IBeacons::postCall { number, blockHash: hash, signature };
        self.send(wallet, beacons::ADDRESS, Amount::ZERO, call.abi_encode()).await
    }

    /// A block's hash, and the signature over it; no bytes where the node keeps no certificate. Neither is checked here, but by the module.
    async fn certificate(&self, number: u64) -> Result<(B256, Bytes), LedgerError> {
        let params = json!([U64::from(number)]);
        // Two digits a byte.
        let found: Option<Bytes> = self.rpc.ask(FINALITY, params.clone(), 3 * FINALITY_BYTES_MAX).await?;
        let Some(bytes) = found else {
            let block: Block = self.request("eth_getBlockByNumber", json!([params[0], false])).await?;
            return Ok((block.hash, Bytes::new()));
        };
        let finality = Finality::decode(&bytes).map_err(|_| LedgerError::Malformed { method: FINALITY })?;
        match (finality.headers.as_slice(), finality.certificate) {
            ([header], Certificate::Threshold(signature)) => {
                Ok((header.hash_slow(), Bytes::copy_from_slice(signature.as_slice())))
            }
            _ => Err(LedgerError::NotCertified { number }),
        }
    }
}

const FINALITY: &str = "tacit_getFinality";
