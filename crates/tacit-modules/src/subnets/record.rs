//! Subnets in storage.

use crate::{
    dispatch::{Failure, revert},
    host::{Host, HostError},
    storage::{Packed, mapping, offset, read_string, write_string},
};
use alloy_primitives::{B256, U256, uint};
use tacit_abi::{ISubnets, subnets::TEXT_MAX};
use tacit_yuma::{Bonds, LiquidAlpha, Terms};

/// Number of subnets.
pub(super) fn count(host: &mut dyn Host) -> Result<u64, HostError> {
    Ok(host.sload(COUNT)?.saturating_to())
}

/// Key of a mapping by number.
pub(super) fn number_key(number: u64) -> B256 {
    U256::from(number).into()
}

/// A subnet, without its text: five slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SubnetRecord {
    pub(super) id: u64,
    base: U256,
    /// The text is left empty.
    pub(super) terms: ISubnets::Terms,
    pub(super) pool: u128,
    pub(super) start: u64,
    pub(super) paid: u128,
    /// The last epoch that was closed, plus one.
    pub(super) next: u64,
}

impl SubnetRecord {
    pub(super) fn create(host: &mut dyn Host, terms: ISubnets::Terms, start: u64) -> Result<u64, HostError> {
        let id = count(host)?;
        // As many as are ever paid for.
        host.sstore(COUNT, U256::from(id.saturating_add(1)))?;
        let base = mapping(host, SUBNETS, number_key(id))?;
        let subnet = Self { id, base, terms, pool: 0, start, paid: 0, next: 0 };
        host.sstore(base, subnet.terms.task.into())?;
        host.sstore(offset(base, RULES_SLOT), pack_rules(&subnet.terms))?;
        let mut amounts = Packed::default();
        amounts.set(FEE, 128, U256::from(subnet.terms.fee));
        amounts.set(STAKE_MIN, 128, U256::from(subnet.terms.stakeMin));
        host.sstore(offset(base, AMOUNTS_SLOT), amounts.0)?;
        subnet.store(host)?;
        write_string(host, offset(base, TEXT_SLOT), &subnet.terms.text)?;
        Ok(id)
    }

    pub(super) fn load(host: &mut dyn Host, id: u64) -> Result<Self, Failure> {
        let base = mapping(host, SUBNETS, number_key(id))?;
        let rules = Packed(host.sload(offset(base, RULES_SLOT))?);
        if rules == Packed::default() {
            return Err(revert(ISubnets::UnknownSubnet { id }));
        }
        let task = host.sload(base)?.into();
        let amounts = Packed(host.sload(offset(base, AMOUNTS_SLOT))?);
        let pool = Packed(host.sload(offset(base, POOL_SLOT))?);
        let clock = Packed(host.sload(offset(base, CLOCK_SLOT))?);
        let terms = ISubnets::Terms {
            task,
            text: String::new(),
            kappa: rules.u16(KAPPA),
            bondsPenalty: rules.u16(PENALTY),
            bondsAverage: rules.u32(AVERAGE),
            rule: rules.u8(RULE),
            alphaLow: rules.u16(ALPHA_LOW),
            alphaHigh: rules.u16(ALPHA_HIGH),
            alphaSteepness: rules.u16(STEEPNESS),
            quorum: rules.u16(QUORUM),
            workersMax: rules.u16(WORKERS_MAX),
            validatorsMax: rules.u16(VALIDATORS_MAX),
            epochSeconds: rules.u32(EPOCH_SECONDS),
            revealSeconds: rules.u32(REVEAL_SECONDS),
            payout: pool.u32(PAYOUT),
            fee: amounts.u128(FEE),
            stakeMin: amounts.u128(STAKE_MIN),
        };
        let (pool, start) = (pool.u128(POOL), pool.u64(START));
        Ok(Self { id, base, terms, pool, start, paid: clock.u128(PAID), next: clock.u64(NEXT) })
    }

    /// What changes: pool and clock.
    pub(super) fn store(&self, host: &mut dyn Host) -> Result<(), HostError> {
        let mut pool = Packed::default();
        pool.set(POOL, 128, U256::from(self.pool));
        pool.set(START, 64, U256::from(self.start));
        pool.set(PAYOUT, 32, U256::from(self.terms.payout));
        host.sstore(offset(self.base, POOL_SLOT), pool.0)?;
        let mut clock = Packed::default();
        clock.set(PAID, 128, U256::from(self.paid));
        clock.set(NEXT, 64, U256::from(self.next));
        host.sstore(offset(self.base, CLOCK_SLOT), clock.0)
    }

    pub(super) fn terms_with_text(mut self, host: &mut dyn Host) -> Result<ISubnets::Terms, HostError> {
        self.terms.text = read_string(host, offset(self.base, TEXT_SLOT), TEXT_MAX)?;
        Ok(self.terms)
    }

    /// The epoch that goes on at `now`.
    pub(super) fn epoch(&self, now: u64) -> u64 {
        now.saturating_sub(self.start).checked_div(u64::from(self.terms.epochSeconds)).unwrap_or(0)
    }

    /// When an epoch has ended, in Unix seconds.
    pub(super) fn end(&self, epoch: u64) -> u64 {
        self.start.saturating_add(self.terms.ends_after(epoch))
    }

    /// The last second in which weights of an epoch are revealed.
    pub(super) fn reveal_until(&self, epoch: u64) -> u64 {
        self.end(epoch).saturating_add(u64::from(self.terms.revealSeconds)).saturating_sub(1)
    }

    /// The earliest epoch that can still be closed: not closed, and its weights not written over, which those of the third next may do.
    pub(super) fn oldest(&self, current: u64) -> u64 {
        self.next.max(current.saturating_sub(2))
    }

    /// Rules of consensus; those of a subnet that was created are good.
    pub(super) fn rules(&self) -> Terms {
        rules(&self.terms).unwrap_or_default()
    }
}

/// Rules of consensus, if there is such a rule.
pub(super) fn rules(terms: &ISubnets::Terms) -> Option<Terms> {
    let bonds = match terms.rule {
        0 => Bonds::Classic,
        1 => Bonds::Yuma3 { liquid: None },
        2 => Bonds::Yuma3 {
            liquid: Some(LiquidAlpha {
                low: terms.alphaLow,
                high: terms.alphaHigh,
                steepness: terms.alphaSteepness,
            }),
        },
        _ => return None,
    };
    Some(Terms {
        kappa: terms.kappa,
        bonds_penalty: terms.bondsPenalty,
        bonds_average: terms.bondsAverage,
        bonds,
    })
}

fn pack_rules(terms: &ISubnets::Terms) -> U256 {
    let mut rules = Packed::default();
    rules.set(KAPPA, 16, U256::from(terms.kappa));
    rules.set(PENALTY, 16, U256::from(terms.bondsPenalty));
    rules.set(AVERAGE, 32, U256::from(terms.bondsAverage));
    rules.set(RULE, 8, U256::from(terms.rule));
    rules.set(ALPHA_LOW, 16, U256::from(terms.alphaLow));
    rules.set(ALPHA_HIGH, 16, U256::from(terms.alphaHigh));
    rules.set(STEEPNESS, 16, U256::from(terms.alphaSteepness));
    rules.set(QUORUM, 16, U256::from(terms.quorum));
    rules.set(WORKERS_MAX, 16, U256::from(terms.workersMax));
    rules.set(VALIDATORS_MAX, 16, U256::from(terms.validatorsMax));
    rules.set(EPOCH_SECONDS, 32, U256::from(terms.epochSeconds));
    rules.set(REVEAL_SECONDS, 32, U256::from(terms.revealSeconds));
    rules.0
}

/// Slots of the module's fields.
const COUNT: U256 = U256::ZERO;
const SUBNETS: U256 = uint!(1_U256);
/// Slots of a subnet, counted from its first, and bit positions in them.
const RULES_SLOT: u64 = 1;
const AMOUNTS_SLOT: u64 = 2;
const POOL_SLOT: u64 = 3;
const CLOCK_SLOT: u64 = 4;
const TEXT_SLOT: u64 = 5;
const KAPPA: usize = 0;
const PENALTY: usize = 16;
const AVERAGE: usize = 32;
const RULE: usize = 64;
const ALPHA_LOW: usize = 72;
const ALPHA_HIGH: usize = 88;
const STEEPNESS: usize = 104;
const QUORUM: usize = 120;
const WORKERS_MAX: usize = 136;
const VALIDATORS_MAX: usize = 152;
const EPOCH_SECONDS: usize = 168;
const REVEAL_SECONDS: usize = 200;
const FEE: usize = 0;
const STAKE_MIN: usize = 128;
const POOL: usize = 0;
const START: usize = 128;
const PAYOUT: usize = 192;
const PAID: usize = 0;
const NEXT: usize = 128;
