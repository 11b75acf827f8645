//! `audits`: disputes about answers whose evidence is `audited`.

use crate::{
    Receipt,
    stakes::{REWARD_PARTS, UNBONDING_S, burned},
};
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

/// Longest that an answer is unsettled: while it may be challenged, and the longest dispute after.
pub const UNSETTLED_S: u64 = CHALLENGE_WINDOW_S + MAX_STEPS * (STEP_S + 60);
/// Seconds of a period; number 0 begins in 1970. A cover is good in the period in which it is given, and counts in the next one too: as long as any answer
/// under it is unsettled.
pub const PERIOD_S: u64 = 40 * 3600;
/// One part in so many of what would be burned of a worker's stake is the most that may be covered.
pub const EXPOSURE_PARTS: u128 = 4;

const _: () = assert!(UNSETTLED_S <= PERIOD_S);
// A stake that is unbonded once a cover is given is there until the last answer under it is settled.
const _: () = assert!(PERIOD_S + UNSETTLED_S < UNBONDING_S);

/// The most that may be covered by so much that is bonded: a part of what is burned of it.
#[must_use]
pub const fn exposure_max(bonded: u128) -> u128 {
    burned(bonded) / EXPOSURE_PARTS
}

/// What must be bonded for so much to be covered, at least. `None`: more than there are coins.
#[must_use]
pub fn stake_for(covered: u128) -> Option<u128> {
    // Each division loses less than one of its parts.
    let burned = covered.checked_mul(EXPOSURE_PARTS)?;
    burned.checked_mul(REWARD_PARTS)?.div_ceil(REWARD_PARTS - 1).checked_add(1)
}

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
