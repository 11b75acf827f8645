//! Who takes part: models, workers and gateways, drawn from a seed.

use std::collections::VecDeque;

use alloy_primitives::{Address, U256};
use rand::{Rng, rngs::StdRng};
use tacit_abi::{Evidence, Privacy};
use tacit_market::{
    health::Seen,
    reputation::Settlement,
    routing::{Ask, MaxPrice, Prices, Sort, Wishes},
};

use crate::money::COIN;

/// How large a day is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) seed: u64,
    pub(crate) workers: usize,
    pub(crate) requests: u64,
}

/// A language model.
#[derive(Debug)]
pub(crate) struct Model {
    /// Thousand millions of parameters that a token uses.
    pub(crate) size: f64,
    /// Share of all requests.
    pub(crate) demand: f64,
    /// What a token of a completion costs an average worker; smallest units.
    pub(crate) token_cost: f64,
    /// Tokens a second of an average worker.
    pub(crate) speed: f64,
    /// Mean utilisation of its workers, of late.
    pub(crate) utilisation: f64,
    /// Who serves it, cheapest first.
    pub(crate) workers: Vec<usize>,
}

/// What a worker is up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strategy {
    Honest,
    /// Runs a model a tenth as large.
    Swap,
    /// Runs the model with coarser weights.
    Quantise,
    /// Reads half of the prompt.
    Truncate,
    /// Runs a smaller model for every answer for which that pays, by the public terms.
    Rational,
    /// Honest until six in the evening, and then runs a smaller model for all it can get, because it leaves at midnight.
    Exit,
    /// Serves honestly, and audits without looking.
    Lazy,
    /// Runs a smaller model, and passes its friends' answers as an auditor.
    Collude,
    /// Asks itself, to have a history.
    SelfDeal,
}

/// One worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) address: Address,
    pub(crate) model: usize,
    pub(crate) region: usize,
    pub(crate) strategy: Strategy,
    /// Tokens a second.
    pub(crate) speed: f64,
    /// What a token of a completion costs it; smallest units.
    pub(crate) token_cost: f64,
    pub(crate) prices: Prices,
    /// Mean time between failures.
    pub(crate) mtbf_s: f64,
    pub(crate) down_until_ms: u64,
    pub(crate) busy: bool,
    pub(crate) busy_ms: u64,
    pub(crate) is_convicted: bool,
    /// Passed audits, those of earlier days included.
    pub(crate) passed: u32,
    /// Answers that may still be found wrong: when they settle, and their prices.
    pub(crate) unsettled: VecDeque<(u64, u128)>,
    pub(crate) unsettled_sum: u128,
    pub(crate) settlements: Vec<Settlement>,
    pub(crate) probes_asked: u32,
    pub(crate) probes_answered: u32,
    pub(crate) books: Books,
}

/// What one worker earned and spent, apart from coins: computing is paid elsewhere.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Books {
    pub(crate) answers: u64,
    pub(crate) wrong: u64,
    /// From clients, after the levy; coins.
    pub(crate) income: f64,
    /// Of computing; coins.
    pub(crate) cost: f64,
    /// Of computing that was left out; coins.
    pub(crate) saved: f64,
    /// Of a stake; coins.
    pub(crate) lost: f64,
    /// For audits, less what they cost; coins.
    pub(crate) audits: f64,
    /// Paid by clients for wrong answers; coins.
    pub(crate) damage: f64,
    pub(crate) convicted_at_h: Option<f64>,
}

/// One client's door: what it has seen of workers, and what it wants.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) seen: Vec<Seen>,
    pub(crate) wishes: Wishes,
    pub(crate) suffix: Option<Sort>,
}

pub(crate) const REGIONS: usize = 8;
pub(crate) const GATEWAYS: usize = 40;
/// A token of a prompt against one of a completion.
pub(crate) const PROMPT_SHARE: f64 = 0.25;

/// Parameters a token uses, and weights of demand.
const MODELS: [(f64, f64); 10] = [
    (8.0, 26.0),
    (32.0, 18.0),
    (3.0, 14.0),
    (14.0, 11.0),
    (70.0, 9.0),
    (1.0, 7.0),
    (24.0, 6.0),
    (120.0, 4.0),
    (12.0, 3.0),
    (0.5, 2.0),
];

/// Of ten thousand workers.
const DISHONEST: [(Strategy, usize); 8] = [
    (Strategy::Swap, 100),
    (Strategy::Quantise, 100),
    (Strategy::Truncate, 100),
    (Strategy::Rational, 200),
    (Strategy::Exit, 100),
    (Strategy::Lazy, 200),
    (Strategy::Collude, 150),
    (Strategy::SelfDeal, 50),
];

/// Every strategy, honest first.
pub(crate) const STRATEGIES: [Strategy; 9] = [
    Strategy::Honest,
    Strategy::Swap,
    Strategy::Quantise,
    Strategy::Truncate,
    Strategy::Rational,
    Strategy::Exit,
    Strategy::Lazy,
    Strategy::Collude,
    Strategy::SelfDeal,
];

impl Strategy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Honest => "honest",
            Self::Swap => "swap",
            Self::Quantise => "quantise",
            Self::Truncate => "truncate",
            Self::Rational => "rational",
            Self::Exit => "exit",
            Self::Lazy => "lazy",
            Self::Collude => "collude",
            Self::SelfDeal => "self_deal",
        }
    }

    /// Share of computing that its way of cheating saves.
    pub(crate) fn saves(self) -> f64 {
        match self {
            Self::Swap | Self::Rational | Self::Exit | Self::Collude => 0.85,
            Self::Quantise => 0.35,
            Self::Truncate => 0.25,
            Self::Honest | Self::Lazy | Self::SelfDeal => 0.0,
        }
    }

    /// How surely an auditor that looks finds one of its wrong answers.
    pub(crate) fn detection(self) -> f64 {
        match self {
            Self::Quantise => 0.95,
            Self::Truncate => 0.9,
            _ => 1.0,
        }
    }
}

pub(crate) fn models(random: &mut StdRng, size: Size) -> Vec<Model> {
    let all: f64 = MODELS.iter().map(|(_, weight)| weight).sum();
    let model = |(size, weight): (f64, f64)| Model {
        size,
        demand: weight / all,
        // Two hundredths of a coin for a million tokens of a thousand million parameters.
        token_cost: 0.02 * size.powf(0.9) * 1e-6 * COIN as f64,
        speed: 28.0 / size.powf(0.4),
        utilisation: 0.5,
        workers: Vec::new(),
    };
    let mut models: Vec<Model> = MODELS.into_iter().map(model).collect();
    // Supply follows what there is to do, roughly: some models have too many workers and others too few.
    let loads: Vec<f64> =
        models.iter().map(|model| model.demand / model.speed * random.random_range(0.6..1.6)).collect();
    let load: f64 = loads.iter().sum();
    for worker in 0..size.workers {
        let mut drawn = random.random_range(0.0..load);
        let at = loads.iter().position(|one| {
            drawn -= one;
            drawn < 0.0
        });
        models[at.unwrap_or(0)].workers.push(worker);
    }
    models
}

pub(crate) fn workers(random: &mut StdRng, models: &[Model], size: Size) -> (Vec<Worker>, Vec<u128>) {
    let mut strategies = vec![Strategy::Honest; size.workers];
    let mut next = 0;
    for (strategy, count) in DISHONEST {
        // Spread over all workers.
        for _ in 0..count * size.workers / 10_000 {
            let at = (next * 7_919 + 13) % size.workers;
            strategies[at] = strategy;
            next += 1;
        }
    }
    let mut of = vec![0; size.workers];
    for (model, workers) in models.iter().enumerate() {
        for worker in &workers.workers {
            of[*worker] = model;
        }
    }
    let mut stakes = Vec::with_capacity(size.workers);
    let workers = (0..size.workers).map(|at| {
        let model = &models[of[at]];
        // Whoever serves larger jobs stakes more.
        let stake = 0.4 * (model.size / 8.0).powf(0.9) * spread(random, 0.6);
        stakes.push((stake * COIN as f64) as u128);
        let token_cost = model.token_cost * spread(random, 0.25);
        let mut worker = Worker {
            address: Address::from_word(U256::from(at + 1).into()),
            model: of[at],
            region: random.random_range(0..REGIONS),
            strategy: strategies[at],
            speed: model.speed * spread(random, 0.35),
            token_cost,
            prices: Prices::default(),
            mtbf_s: 3_600.0 * 20.0 * spread(random, 1.0),
            down_until_ms: 0,
            busy: false,
            busy_ms: 0,
            is_convicted: false,
            // One in seven is new.
            passed: if random.random_bool(0.15) { 0 } else { random.random_range(5..80) },
            unsettled: VecDeque::new(),
            unsettled_sum: 0,
            settlements: Vec::new(),
            probes_asked: 0,
            probes_answered: 0,
            books: Books::default(),
        };
        let price = token_cost * random.random_range(1.1..2.5);
        worker.set_price(price);
        worker
    });
    let workers = workers.collect();
    (workers, stakes)
}

pub(crate) fn gateways(random: &mut StdRng, models: &[Model], workers: usize) -> Vec<Gateway> {
    let dearest = models.iter().map(|model| model.token_cost).fold(0.0, f64::max);
    let gateway = |at: usize| {
        let mut wishes = Wishes { evidence: Some(Evidence::Audited), ..Wishes::default() };
        let mut suffix = None;
        match at % 10 {
            0 => suffix = Some(Sort::Price),
            1 => suffix = Some(Sort::Throughput),
            2 => wishes.sort = Some(Sort::Latency),
            3 => wishes.min_stake = Some(COIN / 3),
            4 => {
                let most = Some((dearest * random.random_range(1.2..2.0) * 1e6) as u128);
                wishes.max_price = Some(MaxPrice { completion: most, ..MaxPrice::default() });
            }
            _ => {}
        }
        Gateway { seen: vec![Seen::default(); workers], wishes, suffix }
    };
    (0..GATEWAYS).map(gateway).collect()
}

impl Worker {
    pub(crate) fn set_price(&mut self, token: f64) {
        // One ratio between the prices of all, so that who is cheaper is cheaper for every request.
        let quarter = (token / 4.0).max(1.0) as u128;
        self.prices = Prices { request: 0, prompt: quarter, completion: quarter * 4 };
    }

    pub(crate) fn ask(&self, bonded: u128) -> Ask {
        Ask {
            worker: self.address,
            privacy: Privacy::Sealed,
            evidence: Evidence::Audited,
            prices: self.prices,
            bonded,
        }
    }

    pub(crate) fn is_up(&self, now_ms: u64) -> bool {
        now_ms >= self.down_until_ms
    }

    /// What it costs to compute an answer; smallest units.
    pub(crate) fn cost(&self, prompt: u64, completion: u64) -> f64 {
        self.token_cost * (PROMPT_SHARE * prompt as f64 + completion as f64)
    }
}

/// One, times or divided by about `e` to this.
pub(crate) fn spread(random: &mut StdRng, sigma: f64) -> f64 {
    // Twelve uniform numbers are normal enough.
    let normal: f64 = (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
    (normal * sigma).exp()
}
