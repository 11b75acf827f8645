//! An epoch: weights are committed to, revealed, and closed.

use crate::{
    dispatch::{Failure, revert},
    host::{Host, HostError},
    subnets::{
        MILLION, gas, people,
        record::SubnetRecord,
        seats,
        seats::{ValidatorRecord, WorkerRecord},
    },
};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;
use tacit_abi::{ISubnets, subnets::Commitment};
use tacit_yuma::{Epoch, Outcome, Validator, epoch};

pub(super) fn commit(host: &mut dyn Host, id: u64, epoch: u64, commitment: B256) -> Result<(), Failure> {
    let subnet = SubnetRecord::load(host, id)?;
    let current = subnet.epoch(host.context().now);
    if epoch != current {
        return Err(revert(ISubnets::WrongEpoch { epoch: current }));
    }
    // A slot that is zero is one where nothing was committed to.
    if commitment.is_zero() {
        return Err(revert(ISubnets::NoCommitment {}));
    }
    let validator = own_seat(host, id)?;
    validator.commit(host, epoch, commitment)?;
    let committed = ISubnets::Committed { id, epoch, validator: validator.account, commitment };
    Ok(host.emit(committed.encode_log_data())?)
}

/// The caller's seat as a validator.
fn own_seat(host: &mut dyn Host, id: u64) -> Result<ValidatorRecord, Failure> {
    let seat = seats(host, id)?.validator.ok_or_else(|| revert(ISubnets::NotValidator {}))?;
    Ok(ValidatorRecord::load(host, id, seat)?)
}

pub(super) fn reveal(host: &mut dyn Host, call: ISubnets::revealCall) -> Result<(), Failure> {
    let ISubnets::revealCall { id, epoch, salt, mut weights } = call;
    let subnet = SubnetRecord::load(host, id)?;
    let context = host.context();
    let (from, until) = (subnet.end(epoch), subnet.reveal_until(epoch));
    if !(from..=until).contains(&context.now) {
        return Err(revert(ISubnets::NotInWindow { from, until }));
    }
    let limit = subnet.terms.workersMax;
    if weights.len() > usize::from(limit) {
        return Err(revert(ISubnets::TooManyWeights { limit }));
    }
    let validator = own_seat(host, id)?;
    let committed = validator.committed(host, epoch)?.ok_or_else(|| revert(ISubnets::NoCommitment {}))?;
    if committed.revealed {
        return Err(revert(ISubnets::AlreadyRevealed {}));
    }
    let (chain_id, account) = (context.chain_id, validator.account);
    let said = Commitment { chain_id, id, epoch, validator: account, salt, weights: &weights };
    if host.keccak(&said.preimage())? != committed.commitment {
        return Err(revert(ISubnets::BadReveal {}));
    }
    weights.resize(usize::from(limit), 0);
    committed.reveal(host, &weights)?;
    let revealed = ISubnets::Revealed { id, epoch, validator: account, weights };
    Ok(host.emit(revealed.encode_log_data())?)
}

pub(super) fn close(host: &mut dyn Host, id: u64, epoch: u64) -> Result<(), Failure> {
    let mut subnet = SubnetRecord::load(host, id)?;
    let now = host.context().now;
    let oldest = subnet.oldest(subnet.epoch(now));
    if epoch != oldest {
        return Err(revert(ISubnets::WrongEpoch { epoch: oldest }));
    }
    let until = subnet.reveal_until(epoch);
    if now <= until {
        return Err(revert(ISubnets::NotInWindow { from: until.saturating_add(1), until: u64::MAX }));
    }
    let said = Said::load(host, &subnet, epoch)?;
    host.charge(gas::epoch(said.validators.len(), said.workers.len()))?;
    let outcome = said.outcome(&subnet)?;
    let heard = said.is_quorum(&subnet);
    let agreed = heard && outcome.agreed;
    let share = U256::from(subnet.pool).saturating_mul(U256::from(subnet.terms.payout));
    let share = u128::try_from(share.checked_div(U256::from(MILLION)).unwrap_or_default());
    // At most the pool: the terms' share is at most a million millionths.
    let share = share.map_err(|_| HostError::Payment)?;
    // Where too few were heard, they change nothing either.
    subnet.paid = if heard { said.settle(host, &outcome, if agreed { share } else { 0 })? } else { 0 };
    // Credits beyond the pool would be of others' coins: then nothing of this happens.
    subnet.pool = subnet.pool.checked_sub(subnet.paid).ok_or(HostError::Payment)?;
    subnet.next = epoch.saturating_add(1);
    subnet.store(host)?;
    let closed = ISubnets::Closed { id, epoch, agreed, paid: subnet.paid };
    Ok(host.emit(closed.encode_log_data())?)
}

/// What an epoch is made of, for the seats that are taken.
struct Said {
    workers: Vec<WorkerRecord>,
    /// Whether somebody else had the seat when bonds were last written.
    fresh: Vec<bool>,
    validators: Vec<Row>,
}

/// What one validator said.
struct Row {
    record: ValidatorRecord,
    /// What counts: the least that it had since it committed; none if it did not reveal.
    stake: Option<u128>,
    weights: Vec<u16>,
    bonds: Vec<u16>,
}

impl Said {
    fn load(host: &mut dyn Host, subnet: &SubnetRecord, epoch: u64) -> Result<Self, Failure> {
        let workers = WorkerRecord::all(host, subnet)?;
        let seats = workers.len();
        // Seats that are free are columns too, of zeros: they keep places and cost little.
        let was_there = |worker: &WorkerRecord| !worker.is_free() && worker.since < epoch;
        let last = subnet.next.checked_sub(1);
        let fresh =
            workers.iter().map(|worker| last.is_none_or(|last| worker.is_free() || worker.since >= last));
        let fresh = fresh.collect();
        let mut validators = Vec::new();
        for record in ValidatorRecord::all(host, subnet)? {
            if record.is_free() {
                continue;
            }
            let committed = record.committed(host, epoch)?.filter(|committed| committed.revealed);
            let mut weights = match committed {
                Some(committed) => committed.weights(host, seats)?,
                None => vec![0; seats],
            };
            for (weight, worker) in weights.iter_mut().zip(&workers) {
                if !was_there(worker) {
                    *weight = 0;
                }
            }
            let stake = committed.map(|committed| committed.stake.min(record.stake));
            let bonds = record.bonds(host, seats)?;
            validators.push(Row { record, stake, weights, bonds });
        }
        Ok(Self { workers, fresh, validators })
    }

    /// Whether enough of all stake was heard.
    fn is_quorum(&self, subnet: &SubnetRecord) -> bool {
        let sum = |stakes: &mut dyn Iterator<Item = u128>| {
            stakes.map(U256::from).fold(U256::ZERO, U256::saturating_add)
        };
        let heard = sum(&mut self.validators.iter().filter_map(|row| row.stake));
        let all = sum(&mut self.validators.iter().map(|row| row.record.stake));
        // Sums of sixteen numbers of 128 bits, times 16 bits.
        heard.saturating_mul(U256::from(u16::MAX)) >= all.saturating_mul(U256::from(subnet.terms.quorum))
    }

    fn outcome(&self, subnet: &SubnetRecord) -> Result<Outcome, Failure> {
        let own = |account| self.workers.iter().position(|worker| worker.account == account);
        let rows: Vec<Validator<'_>> = self
            .validators
            .iter()
            .map(|row| Validator {
                stake: row.stake.unwrap_or(row.record.stake),
                active: row.stake.is_some(),
                own: own(row.record.account),
                weights: &row.weights,
                bonds: &row.bonds,
            })
            .collect();
        let input = Epoch { terms: &subnet.rules(), validators: &rows, fresh: &self.fresh };
        // Only stakes that together exceed all coin there is could be refused.
        epoch(&input).map_err(|_| revert(ISubnets::AmountTooLarge {}))
    }

    /// Writes what came out, and credits what is paid; how much that is.
    fn settle(&self, host: &mut dyn Host, outcome: &Outcome, amount: u128) -> Result<u128, Failure> {
        let payments = outcome.split(amount);
        let mut paid = 0_u128;
        let scores = outcome.consensus.iter().zip(&outcome.ranks).zip(&outcome.trust).zip(&outcome.incentive);
        for ((worker, (((consensus, rank), trust), incentive)), reward) in
            self.workers.iter().zip(scores).zip(&payments.workers)
        {
            if worker.is_free() {
                continue;
            }
            let (consensus, rank) = (consensus.raw(), rank.raw());
            let (trust, incentive) = (trust.raw(), incentive.raw());
            WorkerRecord { consensus, rank, trust, incentive, reward: *reward, ..*worker }.store(host)?;
            paid = pay(host, paid, worker.account, *reward)?;
        }
        let scores = outcome.validator_trust.iter().zip(&outcome.dividends).zip(&outcome.bonds);
        for ((row, ((trust, dividends), bonds)), reward) in
            self.validators.iter().zip(scores).zip(&payments.validators)
        {
            let (trust, dividends) = (trust.raw(), dividends.raw());
            ValidatorRecord { trust, dividends, reward: *reward, ..row.record }.store(host)?;
            if *bonds != row.bonds {
                row.record.set_bonds(host, bonds)?;
            }
            paid = pay(host, paid, row.record.account, *reward)?;
        }
        Ok(paid)
    }
}

/// Credits one, and adds to what was paid, which is at most what was to be.
fn pay(host: &mut dyn Host, paid: u128, account: Address, reward: u128) -> Result<u128, Failure> {
    if reward > 0 {
        people::credit(host, account, reward)?;
    }
    Ok(paid.checked_add(reward).ok_or(HostError::Payment)?)
}
