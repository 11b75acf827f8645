//! Validators and workers of a simulated subnet.

use tacit_yuma::{Epoch, Fixed, Outcome, Terms, Validator, epoch};

/// One course of epochs.
pub(crate) struct World {
    pub(crate) terms: Terms,
    pub(crate) attack: Attack,
    /// How much what a worker can do moves in an epoch, in thousandths.
    pub(crate) change: u64,
    /// How far a measurement is off at most, in thousandths.
    pub(crate) noise: u64,
    pub(crate) seed: u64,
}

/// What the last validator does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Attack {
    /// With a tenth of all stake, says what consensus was so many epochs ago.
    Copy { delay: usize },
    /// With so many percent of all stake, gives so many percent of its weight to its own workers, and copies the last epoch with the rest.
    Vote { stake: u64, own: u64 },
}

/// What was paid.
pub(crate) struct Figures {
    pub(crate) paid: u128,
    /// To whoever attacked, its workers included.
    pub(crate) attacker: u128,
    /// To the attacker as a validator.
    dividends: u128,
    /// To all honest validators.
    honest: u128,
    stake: u64,
}

impl Figures {
    /// Dividends per coin of stake, in percent of what an honest validator gets.
    pub(crate) fn percent(&self) -> u64 {
        let own = self.dividends * u128::from(100 - self.stake) * 100;
        u64::try_from(
            (own + self.honest * u128::from(self.stake) / 2) / (self.honest * u128::from(self.stake)),
        )
        .unwrap()
    }

    pub(crate) fn return_percent(&self) -> String {
        self.percent().to_string()
    }

    /// Share of all that was paid, in percent with one decimal.
    pub(crate) fn share_tenths_percent(&self) -> String {
        let tenths = (self.attacker * 1000 + self.paid / 2) / self.paid;
        format!("{}.{} %", tenths / 10, tenths % 10)
    }
}

impl World {
    pub(crate) fn run(&self) -> Figures {
        let mut random = Random(self.seed);
        let stake = match self.attack {
            Attack::Copy { .. } => 10,
            Attack::Vote { stake, .. } => stake,
        };
        let mut ability: Vec<u64> = (0..WORKERS).map(|_| 200 + random.below(800)).collect();
        let mut bonds = vec![vec![0_u16; WORKERS]; HONEST + 1];
        let mut agreed: Vec<Vec<u16>> = vec![vec![1; WORKERS]];
        let mut figures = Figures { paid: 0, attacker: 0, dividends: 0, honest: 0, stake };
        for now in 0..EPOCHS {
            for able in &mut ability {
                let (steps, up) = (*able * random.below(self.change + 1) / 1000, random.below(2) == 0);
                *able = if up { *able + steps } else { *able - steps }.clamp(100, 1000);
            }
            let mut rows: Vec<Vec<u16>> = (0..HONEST).map(|_| self.measure(&ability, &mut random)).collect();
            // What the others agree on in this epoch, which only they know before they reveal.
            let others = self.epoch(&rows, &bonds[..HONEST], stake);
            agreed.push(scaled(&others.consensus));
            rows.push(match self.attack {
                Attack::Copy { delay } => agreed[agreed.len() - 1 - delay].clone(),
                Attack::Vote { own, .. } => votes(own, &agreed[agreed.len() - 2]),
            });
            let outcome = self.epoch(&rows, &bonds, stake);
            if now >= EPOCHS_LEFT_OUT {
                figures.add(&outcome, matches!(self.attack, Attack::Vote { .. }));
            }
            bonds = outcome.bonds;
        }
        figures
    }

    /// What an honest validator sees. The attacker's own workers do nothing, where it votes for them.
    fn measure(&self, ability: &[u64], random: &mut Random) -> Vec<u16> {
        let votes = matches!(self.attack, Attack::Vote { .. });
        let see = |(worker, able): (usize, &u64)| {
            if votes && worker < OWN {
                return 0;
            }
            let error = 1000 - self.noise + random.below(2 * self.noise + 1);
            u16::try_from(able * error / 1000 * 10).unwrap()
        };
        ability.iter().enumerate().map(see).collect()
    }

    fn epoch(&self, rows: &[Vec<u16>], bonds: &[Vec<u16>], attacker: u64) -> Outcome {
        let honest = (100 - attacker) * 1000 / u64::try_from(HONEST).unwrap();
        let validators: Vec<Validator<'_>> = rows
            .iter()
            .zip(bonds)
            .enumerate()
            .map(|(number, (weights, bonds))| {
                let stake = if number == HONEST { attacker * 1000 } else { honest };
                Validator { stake: u128::from(stake), active: true, own: None, weights, bonds }
            })
            .collect();
        epoch(&Epoch { terms: &self.terms, validators: &validators, fresh: &[false; WORKERS] }).unwrap()
    }
}

impl Figures {
    fn add(&mut self, outcome: &Outcome, owns_workers: bool) {
        let paid = outcome.split(PAID);
        let own: u128 = if owns_workers { paid.workers[..OWN].iter().sum() } else { 0 };
        self.paid += paid.workers.iter().chain(&paid.validators).sum::<u128>();
        self.dividends += paid.validators[HONEST];
        self.attacker += paid.validators[HONEST] + own;
        self.honest += paid.validators[..HONEST].iter().sum::<u128>();
    }
}

/// So many percent of weight for the first workers, the rest as others agreed on the rest.
fn votes(own: u64, agreed: &[u16]) -> Vec<u16> {
    let rest: u64 = agreed[OWN..].iter().map(|weight| u64::from(*weight)).sum();
    let part = |(worker, weight): (usize, &u16)| {
        let parts = if worker < OWN {
            own * 600 / u64::try_from(OWN).unwrap()
        } else {
            (100 - own) * 600 * u64::from(*weight) / rest
        };
        u16::try_from(parts).unwrap()
    };
    agreed.iter().enumerate().map(part).collect()
}

/// Weights as they are said.
fn scaled(consensus: &[Fixed]) -> Vec<u16> {
    consensus.iter().map(|value| value.to_u16()).collect()
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Under a bound that is small, so that the remainder is as good as uniform.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

const HONEST: usize = 7;
const WORKERS: usize = 16;
/// Workers of a cartel.
const OWN: usize = 2;
const EPOCHS: usize = 200;
const EPOCHS_LEFT_OUT: usize = 50;
const PAID: u128 = 1_000_000_000;
