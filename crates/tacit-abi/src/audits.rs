//! `audits`: disputes about answers whose evidence is `audited`.

use crate::{Receipt, stakes::UNBONDING_S};
use alloy_primitives::{Address, Bytes, address};
use alloy_sol_types::Eip712Domain;

/// Where the module lives on every Tacit ledger.
pub const ADDRESS: Address = address!("7ac1700000000000000000000000000000000008");

/// What a challenger risks: a hundredth of a coin, for a worker that has to answer a false challenge.
pub const CHALLENGE_BOND: u128 = 10_u128.pow(16);
/// Seconds after `completedAt` in which a receipt may be challenged: a day. So long a worker keeps what it needs to do the run again.
pub const CHALLENGE_WINDOW_S: u64 = 24 * 3600;
/// Seconds that each side has for each step.
pub const STEP_S: u64 = 3600;
/// Most leaves of a trace that is disputed.
pub const MAX_LEAVES: u32 = 1 << 23;
/// Most steps of a dispute from `challenge` to the conviction, both counted: for 23 levels, six times hashes and a choice, a tile, and these two.
pub const MAX_STEPS: u64 = 15;

// Whatever is unbonded the moment before a dispute begins is still there when it ends.
const _: () = assert!(CHALLENGE_WINDOW_S + MAX_STEPS * (STEP_S + 60) < UNBONDING_S);

alloy_sol_types::sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "solidity/IAudits.sol");

alloy_sol_types::sol! {
    /// What an auditor says that was asked the same: it came to the trace of this receipt, and signed a receipt of its `own` for that. Both are EIP-712 digests, as `audits`
    /// names receipts.
    #[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct Verdict {
        bytes32 receipt;
        bytes32 own;
    }
}

/// EIP-712 domain of [`Verdict`].
#[must_use]
pub fn domain(chain_id: u64) -> Eip712Domain {
    alloy_sol_types::eip712_domain! {
        name: "Tacit Audits",
        version: "1",
        chain_id: chain_id,
        verifying_contract: ADDRESS,
    }
}

/// A verdict with its 65-byte `r || s || v` signature.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SignedVerdict {
    /// What is said.
    pub verdict: Verdict,
    /// By the auditor over the EIP-712 digest.
    pub signature: Bytes,
}

impl From<Receipt> for IAudits::Receipt {
    fn from(receipt: Receipt) -> Self {
        let Receipt { jobId, modelId, channelId, client, worker, privacy, evidence, .. } = receipt;
        let Receipt {
            inputCommitment, outputCommitment, evidenceHash, price, cumulative, completedAt, ..
        } = receipt;
        Self {
            jobId,
            modelId,
            channelId,
            client,
            worker,
            privacy,
            evidence,
            inputCommitment,
            outputCommitment,
            evidenceHash,
            price,
            cumulative,
            completedAt,
        }
    }
}

impl From<IAudits::Receipt> for Receipt {
    fn from(receipt: IAudits::Receipt) -> Self {
        let IAudits::Receipt { jobId, modelId, channelId, client, worker, privacy, evidence, .. } = receipt;
        let IAudits::Receipt {
            inputCommitment,
            outputCommitment,
            evidenceHash,
            price,
            cumulative,
            completedAt,
            ..
        } = receipt;
        Self {
            jobId,
            modelId,
            channelId,
            client,
            worker,
            privacy,
            evidence,
            inputCommitment,
            outputCommitment,
            evidenceHash,
            price,
            cumulative,
            completedAt,
        }
    }
}
