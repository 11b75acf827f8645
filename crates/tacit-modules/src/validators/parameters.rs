//! Rules of stake, fixed at genesis, and what storage and coin the module starts with.

use crate::{
    dispatch::{Failure, revert},
    host::{Host, HostError},
    slots::Slots,
    storage::{Packed, offset},
    validators::{
        record::{Record, Status, WEIGHTS},
        roster, signature,
    },
};
use alloy_primitives::{Address, B256, U256, uint};
use core::convert::Infallible;
use std::collections::BTreeMap;
use tacit_abi::IValidators::{self, Seat};

/// Most validators of a set.
pub const SEATS_MAX: u16 = 128;
/// Most candidates for one.
pub const CANDIDATES_MAX: u16 = 256;

/// Least blocks of an epoch for each seat. In the second half of an epoch, each validator that hands its share on has to lead a
/// block that becomes final; this gives everybody two turns there, one for those who are away.
pub const BLOCKS_PER_SEAT: u64 = 4;

/// Rules of stake. No message changes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Parameters {
    /// Blocks of an epoch, at least [`BLOCKS_PER_SEAT`] for each seat.
    pub epoch_blocks: u64,
    /// Seconds from leaving until the stake may be withdrawn.
    pub unbonding_seconds: u64,
    /// Epochs from the first without the validator until its stake may be withdrawn.
    pub unbonding_epochs: u32,
    /// Most validators of a set, 1 to [`SEATS_MAX`].
    pub seats: u16,
    /// Most candidates for a set, from as many as there are seats to [`CANDIDATES_MAX`].
    pub candidates: u16,
    /// Least stake of a candidate, more than zero; the coin's smallest unit.
    #[serde(with = "quantity")]
    pub stake_min: u128,
}

impl Default for Parameters {
    /// An hour's epochs at a block a second, three weeks of unbonding, 64 seats, 100 coins.
    fn default() -> Self {
        Self {
            epoch_blocks: 3_600,
            unbonding_seconds: 21 * 24 * 3_600,
            unbonding_epochs: 24,
            seats: 64,
            candidates: CANDIDATES_MAX,
            stake_min: 100_000_000_000_000_000_000,
        }
    }
}

/// A validator that a network begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Founder {
    /// The ed25519 key that votes.
    pub key: B256,
    /// Whose the stake is.
    pub owner: Address,
    /// Coin that is bonded from the start; the coin's smallest unit.
    #[serde(with = "quantity")]
    pub stake: u128,
    /// In a chain that goes on, whose coin becomes the stake: the owner's where nobody is named. In a new one the stake is coin beside all
    /// accounts', and nobody may be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<Address>,
}

/// What a network begins with.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Staking {
    /// Rules for good.
    #[serde(default)]
    pub parameters: Parameters,
    /// First validators, in any order.
    #[serde(default)]
    pub founders: Vec<Founder>,
}

/// Why a network cannot begin like that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StakingError {
    /// A number lies outside its range.
    #[error("{0} is out of range")]
    Parameter(&'static str),
    /// In so short an epoch, not every validator gets its turns to hand on its share of the group's key.
    #[error("an epoch of {blocks} blocks is too short for {seats} seats, which take {least}")]
    Epoch {
        /// Given.
        blocks: u64,
        /// Given.
        seats: u16,
        /// Least blocks for so many seats.
        least: u64,
    },
    /// More founders than candidates.
    #[error("{got} founders, at most {limit} are allowed")]
    Founders {
        /// Given.
        got: usize,
        /// Candidates allowed.
        limit: u16,
    },
    /// Not a point of the curve, or of small order.
    #[error("{0} is no key")]
    Key(B256),
    /// The key voted twice in the chain that goes on.
    #[error("{0} is barred")]
    Barred(B256),
    /// Two founders have one key.
    #[error("{0} stands twice")]
    KeyTwice(B256),
    /// No owner, or one that owns two validators.
    #[error("{0} cannot own this validator")]
    Owner(Address),
    /// In a new chain nobody has coin to pay a stake with.
    #[error("{0} pays a stake in a chain that does not go on")]
    Payer(Address),
    /// Less than the least stake.
    #[error("stake {stake} is below the least {least}")]
    Stake {
        /// Given.
        stake: u128,
        /// Asked.
        least: u128,
    },
}

/// The module's account before the first block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FirstState {
    /// Slots that are not zero.
    pub slots: BTreeMap<U256, U256>,
    /// Coin: the founders' stakes, exactly.
    pub balance: U256,
}

/// What becomes of a module's account where a chain goes on with founders of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beginning {
    /// Slots written over those of before, zeros among them.
    pub slots: BTreeMap<U256, U256>,
    /// Stakes of before, which leave the module, by owner.
    pub returned: BTreeMap<Address, U256>,
    /// Coin that becomes founders' stakes, by payer.
    pub taken: BTreeMap<Address, U256>,
}

impl Staking {
    /// Storage and coin of the module at genesis. `namespace` is what the network's votes are bound to.
    ///
    /// # Errors
    /// One [`StakingError`] for each rule broken.
    pub fn first_state(&self, namespace: B256) -> Result<FirstState, StakingError> {
        let founders = self.checked()?;
        if let Some(payer) = founders.values().find_map(|founder| founder.payer) {
            return Err(StakingError::Payer(payer));
        }
        let balance = founders.values().map(|founder| U256::from(founder.stake)).sum();
        let mut host = Slots::new(|_| Ok(U256::ZERO));
        self.write(&mut host, namespace, 0, &founders)?;
        let mut slots = host.into_writes();
        slots.retain(|_, value| !value.is_zero());
        Ok(FirstState { slots, balance })
    }

    /// How the module begins anew where a chain goes on whose storage of the module is `read`: every stake of before goes back to its
    /// owner, founders' stakes come out of their payers' coin, epochs count from `first_block`. Barred keys stay barred. `owners` are all
    /// accounts there are.
    ///
    /// # Errors
    /// One [`StakingError`] for each rule broken.
    pub fn begin_anew(
        &self,
        namespace: B256,
        first_block: u64,
        owners: impl IntoIterator<Item = Address>,
        read: impl Fn(U256) -> U256,
    ) -> Result<Beginning, StakingError> {
        let founders = self.checked()?;
        let mut host = Slots::new(|slot| Ok(read(slot)));
        // Neither reading nor writing a map can fail.
        let storage = |_| StakingError::Parameter("storage");
        let returned = dissolve(&mut host, owners).map_err(storage)?;
        for founder in founders.values() {
            if Record::load(&mut host, founder.key).map_err(storage)?.status == Status::Barred {
                return Err(StakingError::Barred(founder.key));
            }
        }
        self.write(&mut host, namespace, first_block, &founders)?;
        let mut taken = BTreeMap::<Address, U256>::new();
        for founder in founders.values() {
            let sum = taken.entry(founder.payer.unwrap_or(founder.owner)).or_default();
            // As many stakes as there are keys, of 128 bits each.
            *sum = sum.saturating_add(U256::from(founder.stake));
        }
        Ok(Beginning { slots: host.into_writes(), returned, taken })
    }

    /// Founders by key, with everything checked.
    fn checked(&self) -> Result<BTreeMap<B256, Founder>, StakingError> {
        self.parameters.check()?;
        let limit = self.parameters.candidates;
        if self.founders.len() > usize::from(limit) {
            return Err(StakingError::Founders { got: self.founders.len(), limit });
        }
        self.sorted()
    }

    fn write(
        &self,
        host: &mut dyn Host,
        namespace: B256,
        first_block: u64,
        founders: &BTreeMap<B256, Founder>,
    ) -> Result<(), StakingError> {
        let written =
            Rules { parameters: self.parameters, first_block }.store(host, namespace).and_then(|()| {
                for founder in founders.values() {
                    let mut record = Record::new(host, founder.key)?;
                    record.owner = founder.owner;
                    record.status = Status::Active;
                    record.stake = founder.stake;
                    record.weights = [founder.stake; WEIGHTS];
                    roster::append(host, &mut record)?;
                    record.store(host)?;
                    roster::set_key_of(host, founder.owner, founder.key)?;
                }
                let count = u16::try_from(founders.len()).unwrap_or(self.parameters.candidates);
                roster::set_active(host, count)
            });
        written.map_err(|_| StakingError::Parameter("storage"))
    }

    /// The set of epoch 0.
    ///
    /// # Errors
    /// One [`StakingError`] for each rule that founders and parameters break by themselves.
    pub fn first_set(&self) -> Result<Vec<Seat>, StakingError> {
        let founders = self.checked()?;
        let mut host = Slots::new(|_| Ok(U256::ZERO));
        self.write(&mut host, B256::ZERO, 0, &founders)?;
        let slots = host.into_writes();
        let read = |slot| Ok::<_, Infallible>(slots.get(&slot).copied().unwrap_or_default());
        roster::validator_set(0, 0, read).map_err(|_| StakingError::Parameter("storage"))
    }

    /// Founders by key, each checked.
    fn sorted(&self) -> Result<BTreeMap<B256, Founder>, StakingError> {
        let least = self.parameters.stake_min;
        let mut sorted = BTreeMap::new();
        for founder in &self.founders {
            let Founder { key, owner, stake, .. } = *founder;
            if !signature::is_sound(key) {
                return Err(StakingError::Key(key));
            }
            if stake < least {
                return Err(StakingError::Stake { stake, least });
            }
            if owner.is_zero() || sorted.values().any(|other: &Founder| other.owner == owner) {
                return Err(StakingError::Owner(owner));
            }
            if sorted.insert(key, *founder).is_some() {
                return Err(StakingError::KeyTwice(key));
            }
        }
        Ok(sorted)
    }
}

impl Parameters {
    fn check(&self) -> Result<(), StakingError> {
        let refuse = |name| Err(StakingError::Parameter(name));
        if self.seats == 0 || self.seats > SEATS_MAX {
            return refuse("seats");
        }
        if self.candidates < self.seats || self.candidates > CANDIDATES_MAX {
            return refuse("candidates");
        }
        if self.stake_min == 0 {
            return refuse("stakeMin");
        }
        let least = BLOCKS_PER_SEAT.saturating_mul(u64::from(self.seats));
        if self.epoch_blocks < least {
            return Err(StakingError::Epoch { blocks: self.epoch_blocks, seats: self.seats, least });
        }
        Ok(())
    }

    /// What a reporter gets: a share of the least stake, not of the stake, so that nobody steals from a large pool by
    /// reporting the key that it was trusted with.
    #[must_use]
    pub fn reward(&self) -> u128 {
        self.stake_min / REWARD_DIVISOR
    }
}

/// Rules as they are stored: with the network's first block, from which epochs are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) parameters: Parameters,
    /// Its number.
    pub(super) first_block: u64,
}

impl Rules {
    /// Reads the rules.
    pub(super) fn load(host: &mut dyn Host) -> Result<Self, Failure> {
        let first = Packed(host.sload(PARAMETERS)?);
        let second = Packed(host.sload(offset(PARAMETERS, 1))?);
        let parameters = Parameters {
            epoch_blocks: first.u64(EPOCH_BLOCKS),
            unbonding_seconds: first.u64(UNBONDING_SECONDS),
            unbonding_epochs: first.u32(UNBONDING_EPOCHS),
            seats: first.u16(SEATS),
            candidates: first.u16(CANDIDATES),
            stake_min: second.u128(0),
        };
        if parameters.epoch_blocks == 0 {
            return Err(revert(IValidators::NotConfigured {}));
        }
        Ok(Self { parameters, first_block: first.u64(FIRST_BLOCK) })
    }

    fn store(&self, host: &mut dyn Host, namespace: B256) -> Result<(), HostError> {
        let parameters = &self.parameters;
        host.sstore(NAMESPACE, namespace.into())?;
        let mut first = Packed::default();
        first.set(EPOCH_BLOCKS, 64, U256::from(parameters.epoch_blocks));
        first.set(UNBONDING_SECONDS, 64, U256::from(parameters.unbonding_seconds));
        first.set(UNBONDING_EPOCHS, 32, U256::from(parameters.unbonding_epochs));
        first.set(SEATS, 16, U256::from(parameters.seats));
        first.set(CANDIDATES, 16, U256::from(parameters.candidates));
        first.set(FIRST_BLOCK, 64, U256::from(self.first_block));
        host.sstore(PARAMETERS, first.0)?;
        host.sstore(offset(PARAMETERS, 1), U256::from(parameters.stake_min))
    }

    /// Epoch of block `number`.
    pub(super) fn epoch_of(&self, number: u64) -> u64 {
        number.saturating_sub(self.first_block).checked_div(self.parameters.epoch_blocks).unwrap_or(0)
    }

    /// As callers see it.
    pub(super) fn into_abi(self) -> IValidators::Parameters {
        let Parameters { epoch_blocks, unbonding_seconds, unbonding_epochs, seats, candidates, stake_min } =
            self.parameters;
        IValidators::Parameters {
            epochBlocks: epoch_blocks,
            unbondingSeconds: unbonding_seconds,
            unbondingEpochs: unbonding_epochs,
            seats,
            candidates,
            firstBlock: self.first_block,
            stakeMin: stake_min,
        }
    }
}

/// Gives back every stake and empties the list of candidates; barred keys stay barred.
fn dissolve(
    host: &mut dyn Host,
    owners: impl IntoIterator<Item = Address>,
) -> Result<BTreeMap<Address, U256>, HostError> {
    let mut returned = BTreeMap::new();
    // Keys that left are listed for some epochs only; their owners know them until they have their coin.
    for owner in owners {
        let key = roster::key_of(host, owner)?;
        if key.is_zero() {
            continue;
        }
        let mut record = Record::load(host, key)?;
        if record.stake > 0 {
            returned.insert(owner, U256::from(record.stake));
        }
        record.status = Status::Gone;
        record.stake = 0;
        record.store(host)?;
        roster::set_key_of(host, owner, B256::ZERO)?;
    }
    // From the end, so that none moves.
    for mut record in roster::all(host)?.into_iter().rev() {
        (record.epoch, record.weights) = (0, [0; WEIGHTS]);
        roster::remove(host, &mut record)?;
        record.store(host)?;
    }
    Ok(returned)
}

/// What every vote of the network is bound to.
pub(super) fn namespace(host: &mut dyn Host) -> Result<B256, HostError> {
    Ok(host.sload(NAMESPACE)?.into())
}

/// Amounts in JSON: hexadecimal, as in the rest of a genesis.
mod quantity {
    use alloy_primitives::U256;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        U256::from(*value).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        u128::try_from(U256::deserialize(deserializer)?).map_err(|_| D::Error::custom("more than 128 bits"))
    }
}

/// The reporter's share of the least stake.
const REWARD_DIVISOR: u128 = 20;

/// Slots of the module's fields; the rest is in `roster` and `record`.
const NAMESPACE: U256 = U256::ZERO;
const PARAMETERS: U256 = uint!(1_U256);
/// Bit positions in the first slot of the parameters.
const EPOCH_BLOCKS: usize = 0;
const UNBONDING_SECONDS: usize = 64;
const UNBONDING_EPOCHS: usize = 128;
const SEATS: usize = 160;
const CANDIDATES: usize = 176;
const FIRST_BLOCK: usize = 192;
