//! Rules that tie a block to its parent and need no execution, and how fast blocks are made.

use crate::{block::ChainBlock, epochs};
use alloy_consensus::Header;
use alloy_primitives::{B256, U256};
use commonware_consensus::{Heightable as _, types::Height};
use commonware_glue::dkg::types::EpochOutcome;
use core::{num::NonZeroU64, time::Duration};
use tacit_ledger::Chain;

/// Parameters that all validators share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Parameters of the ledger.
    pub chain: Chain,
    /// Most seconds between a block's timestamp and its parent's. A child further ahead is invalid, whatever the clock
    /// says; after a long halt, the chain's time catches up in steps of this.
    pub timestamp_step_s_max: u64,
    /// Seconds by which a timestamp may be ahead of a validator's clock. Beyond that, the validator withholds its vote
    /// until its clock is there, for `timestamp_step_s_max` at the most.
    pub clock_ahead_s_max: u64,
    /// A block whose height is a multiple of this may carry the root of the flat state as it was [half as many](Self::checkpoint)
    /// blocks before, from which others can begin; honest leaders put it there.
    pub checkpoint_blocks: NonZeroU64,
}

/// A rule that a block breaks, with its parent alone as witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleViolation {
    /// Not the parent's hash.
    #[error("block does not follow its parent")]
    Parent,
    /// Not one more than the parent's number.
    #[error("number {got} does not follow {parent}")]
    Number {
        /// Parent's.
        parent: u64,
        /// Given.
        got: u64,
    },
    /// Not one more than the parent's height.
    #[error("height {got} does not follow {parent}")]
    Height {
        /// Parent's.
        parent: Height,
        /// Given.
        got: Height,
    },
    /// Before the parent's.
    #[error("timestamp {got} is before the parent's {parent}")]
    TimestampBack {
        /// Parent's.
        parent: u64,
        /// Given.
        got: u64,
    },
    /// Further after the parent's than one step.
    #[error("timestamp {got} is more than {step} s after the parent's {parent}")]
    TimestampStep {
        /// Most seconds.
        step: u64,
        /// Parent's.
        parent: u64,
        /// Given.
        got: u64,
    },
    /// Not the chain's.
    #[error("gas limit {got}, expected {expected}")]
    GasLimit {
        /// The chain's.
        expected: u64,
        /// Given.
        got: u64,
    },
    /// Not what the parent's gas makes it.
    #[error("base fee {got:?}, expected {expected}")]
    BaseFee {
        /// Due.
        expected: u64,
        /// Given.
        got: Option<u64>,
    },
    /// A checkpoint where none is due, or one of another block.
    #[error("checkpoint of block {got}, expected {expected:?}")]
    Checkpoint {
        /// Number of the block that is due.
        expected: Option<u64>,
        /// Given.
        got: u64,
    },
    /// Not the number of dealings that have failed.
    #[error("mixHash {got}, expected {expected}")]
    MixHash {
        /// Due.
        expected: B256,
        /// Given.
        got: B256,
    },
}

impl Rules {
    /// Checks a block against its parent. Everything that needs execution is left to whoever executes.
    ///
    /// # Errors
    /// The first rule that is broken. It is broken for good: the clock has no part in it.
    pub fn check(&self, parent: &ChainBlock, block: &ChainBlock) -> Result<(), RuleViolation> {
        let (above, header) = (&parent.block().header, &block.block().header);
        if header.parent_hash != parent.hash() {
            return Err(RuleViolation::Parent);
        }
        if Some(header.number) != above.number.checked_add(1) {
            return Err(RuleViolation::Number { parent: above.number, got: header.number });
        }
        if block.height() != parent.height().next() {
            return Err(RuleViolation::Height { parent: parent.height(), got: block.height() });
        }
        let (step, got) = (self.timestamp_step_s_max, header.timestamp);
        if got < above.timestamp {
            return Err(RuleViolation::TimestampBack { parent: above.timestamp, got });
        }
        if got > above.timestamp.saturating_add(step) {
            return Err(RuleViolation::TimestampStep { step, parent: above.timestamp, got });
        }
        if header.gas_limit != self.chain.gas_limit {
            return Err(RuleViolation::GasLimit { expected: self.chain.gas_limit, got: header.gas_limit });
        }
        let expected = self.chain.next_base_fee(above);
        if header.base_fee_per_gas != Some(expected) {
            return Err(RuleViolation::BaseFee { expected, got: header.base_fee_per_gas });
        }
        let expected = Self::mix_hash(parent);
        if header.mix_hash != expected {
            return Err(RuleViolation::MixHash { expected, got: header.mix_hash });
        }
        let expected = self.checkpoint(block.height(), header.number);
        // A leader that has no root to name may leave it out: where nothing becomes final, nobody has one.
        if let Some(got) = block.seal().checkpoint.map(|checkpoint| checkpoint.number)
            && Some(got) != expected
        {
            return Err(RuleViolation::Checkpoint { expected, got });
        }
        Ok(())
    }

    /// `mixHash` of the children of `parent`: how many dealings have failed before their epoch, which the ledger wants to know before it pays a
    /// stake out. Nobody chooses it, and it is no beacon.
    #[must_use]
    pub fn mix_hash(parent: &ChainBlock) -> B256 {
        let before = parent.block().header.mix_hash;
        let failed = epochs::record(parent).is_some_and(|record| record.outcome == EpochOutcome::Failure);
        // As many epochs are not reached.
        let now = U256::from_be_bytes(before.0).saturating_add(U256::from(u8::from(failed)));
        now.into()
    }

    /// Number of the block whose state the block of this height and number may name, if any. It lies so far back that every
    /// validator that keeps up has executed it.
    #[must_use]
    pub fn checkpoint(&self, height: Height, number: u64) -> Option<u64> {
        let every = self.checkpoint_blocks.get();
        let due = !height.is_zero() && height.get().is_multiple_of(every);
        due.then(|| number.checked_sub(every.div_ceil(2))).flatten()
    }

    /// The timestamp of a proposal made at `now_s`: the clock's, held within what the parent allows.
    #[must_use]
    pub fn timestamp(&self, parent: &Header, now_s: u64) -> u64 {
        now_s.clamp(parent.timestamp, parent.timestamp.saturating_add(self.timestamp_step_s_max))
    }

    /// How long a vote on a block with `timestamp` waits, at `now` since 1970.
    #[must_use]
    pub fn wait(&self, timestamp: u64, now: Duration) -> Duration {
        Duration::from_secs(timestamp.saturating_sub(self.clock_ahead_s_max)).saturating_sub(now)
    }
}

/// How fast a leader proposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Least time between the start of a view and its proposal. Zero is as fast as the network goes.
    pub busy: Duration,
    /// How long a leader waits for a transaction before it proposes an empty block. Less than the leader timeout by what
    /// building takes.
    pub idle: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{BlockHash, Seal};
    use alloy_consensus::{BlockBody, constants::EMPTY_ROOT_HASH};
    use commonware_consensus::{
        simplex::types::Context,
        types::{Epoch, Round, View},
    };
    use commonware_cryptography::{Signer as _, ed25519::PrivateKey};
    use commonware_storage::mmr::Location;
    use commonware_utils::range::NonEmptyRange;
    use tacit_ledger::Block;
    use tacit_light::Checkpoint;

    const RULES: Rules = Rules {
        chain: Chain { chain_id: 1, gas_limit: 60_000_000, base_fee_floor: 7, certifier: None },
        timestamp_step_s_max: 30,
        clock_ahead_s_max: 2,
        checkpoint_blocks: NonZeroU64::new(8).unwrap(),
    };

    fn block(height: u64, change: impl FnOnce(&mut Header)) -> ChainBlock {
        sealed(height, None, change)
    }

    fn sealed(height: u64, checkpoint: Option<u64>, change: impl FnOnce(&mut Header)) -> ChainBlock {
        let mut header = Header {
            number: 10,
            timestamp: 1_000,
            gas_limit: 60_000_000,
            base_fee_per_gas: Some(7),
            transactions_root: EMPTY_ROOT_HASH,
            ..Header::default()
        };
        change(&mut header);
        let context = Context {
            round: Round::new(Epoch::zero(), View::new(1)),
            leader: PrivateKey::from_seed(0).public_key(),
            parent: (View::zero(), commonware_cryptography::keccak256::Digest(header.parent_hash.0)),
        };
        let range = NonEmptyRange::new(Location::new(0)..Location::new(1)).unwrap();
        let checkpoint = checkpoint.map(|number| Checkpoint { number, root: B256::ZERO });
        let seal = Seal { context, height: Height::new(height), range, checkpoint, payload: None };
        header.extra_data = seal.commitment().to_vec().into();
        let body = BlockBody { withdrawals: Some(Vec::new().into()), ..BlockBody::default() };
        ChainBlock::new(seal, Block { header, body }).unwrap()
    }

    fn check(change: impl FnOnce(&mut Header)) -> Result<(), RuleViolation> {
        check_at(4, change)
    }

    fn check_at(height: u64, change: impl FnOnce(&mut Header)) -> Result<(), RuleViolation> {
        let parent = block(3, |_| ());
        let child = block(height, |header| {
            header.number = 11;
            header.parent_hash = parent.hash();
            change(header);
        });
        RULES.check(&parent, &child)
    }

    #[test]
    fn a_child_that_keeps_the_rules_passes() {
        assert_eq!(check(|_| ()), Ok(()));
        assert_eq!(check(|header| header.timestamp = 1_030), Ok(()));
    }

    #[test]
    fn each_rule_is_checked() {
        use RuleViolation::{BaseFee, GasLimit, MixHash, Number, Parent, TimestampBack, TimestampStep};
        assert_eq!(check(|header| header.parent_hash = B256::ZERO), Err(Parent));
        assert_eq!(check(|header| header.number = 12), Err(Number { parent: 10, got: 12 }));
        assert_eq!(check(|header| header.number = 10), Err(Number { parent: 10, got: 10 }));
        assert_eq!(check(|header| header.timestamp = 999), Err(TimestampBack { parent: 1_000, got: 999 }));
        for got in [3, 5] {
            let height = RuleViolation::Height { parent: Height::new(3), got: Height::new(got) };
            assert_eq!(check_at(got, |_| ()), Err(height));
        }
        let step = TimestampStep { step: 30, parent: 1_000, got: 1_031 };
        assert_eq!(check(|header| header.timestamp = 1_031), Err(step));
        let gas = GasLimit { expected: 60_000_000, got: 60_000_001 };
        assert_eq!(check(|header| header.gas_limit = 60_000_001), Err(gas));
        assert_eq!(check(|header| header.base_fee_per_gas = None), Err(BaseFee { expected: 7, got: None }));
        let fee = BaseFee { expected: 7, got: Some(8) };
        assert_eq!(check(|header| header.base_fee_per_gas = Some(8)), Err(fee));
        let got = B256::with_last_byte(1);
        let mix_hash = MixHash { expected: B256::ZERO, got };
        assert_eq!(check(|header| header.mix_hash = got), Err(mix_hash));
    }

    #[test]
    fn checkpoints_are_where_they_are_due() {
        let check = |height: u64, checkpoint| {
            let parent = block(height - 1, |_| ());
            let child = sealed(height, checkpoint, |header| {
                header.number = 11;
                header.parent_hash = parent.hash();
            });
            RULES.check(&parent, &child)
        };
        let refused = |expected, got| Err(RuleViolation::Checkpoint { expected, got });
        for height in [7, 9, 15, 17] {
            assert_eq!(check(height, None), Ok(()));
            assert_eq!(check(height, Some(7)), refused(None, 7), "at {height}");
        }
        for height in [8, 16, 800] {
            assert_eq!((check(height, Some(7)), check(height, None)), (Ok(()), Ok(())));
            for got in [6, 8, 11] {
                assert_eq!(check(height, Some(got)), refused(Some(7), got), "at {height}");
            }
        }
        assert_eq!(RULES.checkpoint(Height::zero(), 20), None, "the first block");
        let every = Rules { checkpoint_blocks: NonZeroU64::MIN, ..RULES };
        assert_eq!(every.checkpoint(Height::new(1), 1), Some(0));
    }

    #[test]
    fn a_proposal_keeps_the_rules_whatever_the_clock_says() {
        let parent = block(3, |_| ());
        for (now, timestamp) in
            [(0, 1_000), (1_000, 1_000), (1_007, 1_007), (5_000, 1_030), (u64::MAX, 1_030)]
        {
            assert_eq!(RULES.timestamp(&parent.block().header, now), timestamp, "at {now}");
        }
    }

    #[test]
    fn votes_wait_for_the_clock_and_never_longer_than_a_step() {
        let at = |millis| Duration::from_millis(millis);
        assert_eq!(RULES.wait(1_000, at(1_000_000)), Duration::ZERO);
        assert_eq!(RULES.wait(1_002, at(1_000_000)), Duration::ZERO);
        assert_eq!(RULES.wait(1_003, at(1_000_500)), at(500));
        assert_eq!(RULES.wait(0, at(0)), Duration::ZERO);
    }

    #[test]
    fn the_empty_parent_is_the_engine_s_empty_digest() {
        use commonware_cryptography::Digest as _;
        assert_eq!(BlockHash::EMPTY.0, B256::ZERO.0);
    }
}
