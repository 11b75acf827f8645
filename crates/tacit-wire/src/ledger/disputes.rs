//! The module `audits`: weights, challenges, and the logs that tell of them.

use alloy_primitives::{Address, B256, Bytes, LogData, U256, keccak256};
use alloy_sol_types::{SolCall, SolEvent, SolStruct};
use serde::Deserialize;
use serde_json::{Value, json};
use tacit_abi::{
    IAudits, Receipt,
    audits::{self, CHALLENGE_BOND, SignedVerdict},
    receipts::{self, SignedReceipt},
};

use super::{LedgerClient, LedgerError, Mined};
use crate::{Amount, Wallet};

/// Blocks that one request for logs spans.
pub const LOG_PAGE_BLOCKS: u64 = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Log {
    pub(super) topics: Vec<B256>,
    data: Bytes,
    pub(super) block_number: U256,
    pub(super) transaction_hash: B256,
}

#[derive(Deserialize)]
struct Head {
    timestamp: U256,
}

/// Digest of a receipt: what `audits` knows it by.
#[must_use]
pub fn receipt_digest(receipt: &Receipt, chain_id: u64) -> B256 {
    receipt.eip712_signing_hash(&receipts::domain(chain_id))
}

/// Id of the challenge that this account may open about a receipt.
#[must_use]
pub fn challenge_id(receipt_digest: B256, challenger: Address) -> B256 {
    keccak256([receipt_digest.0, challenger.into_word().0].concat())
}

impl LedgerClient {
    /// Time of the latest block, seconds since 1970.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn block_time_s(&self) -> Result<u64, LedgerError> {
        let head: Head = self.request("eth_getBlockByNumber", json!(["latest", false])).await?;
        u64::try_from(head.timestamp).map_err(|_| LedgerError::Malformed { method: "eth_getBlockByNumber" })
    }

    /// Fixes the root of the tree over a model's weights, as the model's owner.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn register_weights(
        &self,
        wallet: &Wallet,
        model_id: B256,
        root: B256,
    ) -> Result<Mined, LedgerError> {
        self.send_audits(wallet, Amount::ZERO, &IAudits::registerWeightsCall { modelId: model_id, root })
            .await
    }

    /// The registered root of the tree over a model's weights; `None` while there is none.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn weights_of(&self, model_id: B256) -> Result<Option<B256>, LedgerError> {
        let root = self.call(audits::ADDRESS, &IAudits::weightsOfCall { modelId: model_id }).await?;
        Ok(Some(root).filter(|root| !root.is_zero()))
    }

    /// What audits say of a worker.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn audit_history_of(&self, worker: Address) -> Result<IAudits::History, LedgerError> {
        self.call(audits::ADDRESS, &IAudits::historyOfCall { worker }).await
    }

    /// Has the ledger keep that a receipt passed an audit: `siblings` lead from its leaf to a `root` that its worker anchored, in a block whose beacon is posted and selects it, and
    /// `auditor` signed the verdict. Its digest of the receipt is not sent: the ledger makes it of the receipt.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn pass_audit(
        &self,
        wallet: &Wallet,
        signed: &SignedReceipt,
        (root, siblings): (B256, Vec<B256>),
        auditor: Address,
        said: &SignedVerdict,
    ) -> Result<Mined, LedgerError> {
        let verdict =
            IAudits::SignedVerdict { auditor, own: said.verdict.own, signature: said.signature.clone() };
        let receipt = signed.receipt.clone().into();
        let signature = signed.signature.clone();
        let call = IAudits::passCall { receipt, signature, root, siblings, verdict };
        self.send_audits(wallet, Amount::ZERO, &call).await
    }

    /// Disputes the trace that a receipt commits to, for the bond.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn challenge(
        &self,
        wallet: &Wallet,
        signed: IAudits::SignedReceipt,
        leaves: u32,
        top: B256,
    ) -> Result<Mined, LedgerError> {
        let call = IAudits::challengeCall { signed, leaves, top };
        self.send_audits(wallet, Amount(CHALLENGE_BOND), &call).await
    }

    /// Shows the hashes under the disputed node.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn reveal(&self, wallet: &Wallet, id: B256, children: Vec<B256>) -> Result<Mined, LedgerError> {
        self.send_audits(wallet, Amount::ZERO, &IAudits::revealCall { id, children }).await
    }

    /// Goes on with one of the hashes that were shown.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn choose(
        &self,
        wallet: &Wallet,
        id: B256,
        children: Vec<B256>,
        child: u8,
    ) -> Result<Mined, LedgerError> {
        self.send_audits(wallet, Amount::ZERO, &IAudits::chooseCall { id, children, child }).await
    }

    /// Shows the tile of the disputed leaf.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn reveal_tile(&self, wallet: &Wallet, id: B256, tile: Bytes) -> Result<Mined, LedgerError> {
        self.send_audits(wallet, Amount::ZERO, &IAudits::revealTileCall { id, tile }).await
    }

    /// Shows a value of a committed trace wrong.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn convict(&self, wallet: &Wallet, call: &IAudits::convictCall) -> Result<Mined, LedgerError> {
        self.send_audits(wallet, Amount::ZERO, call).await
    }

    /// Ends a challenge whose receipt is convicted or whose deadline has passed.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn settle_challenge(&self, wallet: &Wallet, id: B256) -> Result<Mined, LedgerError> {
        self.send_audits(wallet, Amount::ZERO, &IAudits::settleCall { id }).await
    }

    /// A challenge as it stands; `None` when there is none.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn challenge_of(&self, id: B256) -> Result<Option<IAudits::Challenge>, LedgerError> {
        use crate::Revert;
        use IAudits::IAuditsErrors::UnknownChallenge;
        match self.call(audits::ADDRESS, &IAudits::challengeOfCall { id }).await {
            Ok(challenge) => Ok(Some(challenge)),
            Err(LedgerError::Reverted(Revert::Audits(UnknownChallenge(_)))) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a stake was taken for the receipt with this digest.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn is_convicted(&self, receipt: B256) -> Result<bool, LedgerError> {
        self.call(audits::ADDRESS, &IAudits::isConvictedCall { receipt }).await
    }

    /// Challenges of a worker's receipts that were opened in these blocks, both included; at most [`LOG_PAGE_BLOCKS`] of them are asked for at once.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn challenges_of(
        &self,
        worker: Address,
        from: u64,
        to: u64,
    ) -> Result<Vec<IAudits::Challenged>, LedgerError> {
        let topics = [Some(IAudits::Challenged::SIGNATURE_HASH), None, None, Some(worker.into_word())];
        let (mut found, mut first) = (Vec::new(), from);
        while first <= to {
            let last = first.saturating_add(LOG_PAGE_BLOCKS.saturating_sub(1)).min(to);
            found.extend(self.logs::<IAudits::Challenged>(&topics, first, last).await?);
            first = last.saturating_add(1);
        }
        Ok(found)
    }

    /// What a worker revealed in a challenge since this block: hashes, step by step, and the tile at last.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn revealed_in(
        &self,
        id: B256,
        from: u64,
    ) -> Result<(Vec<Vec<B256>>, Option<Bytes>), LedgerError> {
        let to = self.block_number().await?;
        let hashes = [Some(IAudits::Revealed::SIGNATURE_HASH), Some(id)];
        let tiles = [Some(IAudits::TileRevealed::SIGNATURE_HASH), Some(id)];
        let steps = self.logs::<IAudits::Revealed>(&hashes, from, to).await?;
        let tile = self.logs::<IAudits::TileRevealed>(&tiles, from, to).await?;
        let steps = steps.into_iter().map(|revealed| revealed.children).collect();
        Ok((steps, tile.into_iter().next().map(|revealed| revealed.tile)))
    }

    async fn logs<E: SolEvent>(
        &self,
        topics: &[Option<B256>],
        from: u64,
        to: u64,
    ) -> Result<Vec<E>, LedgerError> {
        let logs = self.raw_logs(audits::ADDRESS, &json!(topics), from, to).await?;
        let decoded = |Log { topics, data, .. }: Log| {
            let log = LogData::new(topics, data).and_then(|log| E::decode_log_data_validate(&log).ok());
            log.ok_or(LedgerError::Malformed { method: "eth_getLogs" })
        };
        logs.into_iter().map(decoded).collect()
    }

    /// Logs of a module with these topics, in these blocks, both included.
    pub(super) async fn raw_logs(
        &self,
        address: Address,
        topics: &Value,
        from: u64,
        to: u64,
    ) -> Result<Vec<Log>, LedgerError> {
        let filter = json!([{
            "address": address, "topics": topics,
            "fromBlock": U256::from(from), "toBlock": U256::from(to),
        }]);
        self.request("eth_getLogs", filter).await
    }

    pub(super) async fn send_audits<C: SolCall + Sync>(
        &self,
        wallet: &Wallet,
        value: Amount,
        call: &C,
    ) -> Result<Mined, LedgerError> {
        self.send(wallet, audits::ADDRESS, value, call.abi_encode()).await
    }
}
