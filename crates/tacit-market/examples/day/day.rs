//! What happens, one event after another.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use alloy_primitives::{Address, B256, Keccak256};
use anyhow::{Context, Result};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tacit_market::{
    Facts, Policy, Ratio, Reputation, Terms, reputation,
    reputation::Settlement,
    routing::{self, Candidate},
    selection::{self, Auditor},
};

use crate::{
    money::{Account, COIN, Money},
    report::{Hour, Slot},
    world::{self, GATEWAYS, Gateway, Model, REGIONS, Size, Strategy, Worker},
};

pub(crate) const HOUR_MS: u64 = 3_600_000;
pub(crate) const DAY_MS: u64 = 24 * HOUR_MS;
/// Of the plots.
pub(crate) const SLOT_MS: u64 = 10 * 60_000;
/// From an answer until it cannot be found wrong any more. Verdicts take at most half as long.
const SETTLED_AFTER_MS: u64 = HOUR_MS;
const VERDICT_MS: (u64, u64) = (5 * 60_000, 30 * 60_000);
const REPRICE_MS: u64 = 20 * 60_000;
const PROBE_MS: u64 = 30 * 60_000;
/// Of those with little to do, share that looks for another model when it thinks about its price.
const MOVES: f64 = 0.05;
/// Utilisation from which a model is worth moving to.
const SCARCE: f64 = 0.6;
/// There and back.
const ROUND_TRIP_MS: f64 = 80.0;
/// Until a worker that is down is given up.
const CONNECT_MS: f64 = 1_000.0;
/// A prompt is read so much faster than an answer is written.
const PREFILL: f64 = 20.0;
const TRIES_MAX: usize = 64;
const REGION_DOWN_MS: (u64, u64) = (14 * HOUR_MS, 14 * HOUR_MS + 25 * 60_000);
const REGION_DOWN: usize = 3;
const EXIT_AT_MS: u64 = 18 * HOUR_MS;
/// Thousandths of each price that are burnt, and that pay auditors.
const LEVY: (u128, u128) = (5, 40);
/// What an auditor gets, and what looking costs it, against the audited price and the cost of the answer.
const AUDIT_FEE: u128 = 2;
const AUDIT_COST: f64 = 0.3;
/// Unix time of midnight.
const MIDNIGHT_S: u64 = 1_800_000_000;

/// Something that happens at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    /// An answer is complete, if its worker was up until now.
    End {
        job: usize,
    },
    Verdict {
        audit: usize,
    },
    Fails {
        worker: usize,
    },
    Reprice {
        worker: usize,
    },
    Probe,
    /// A worker that deals with itself asks itself.
    SelfAsk {
        worker: usize,
    },
}

/// An answer on its way.
#[derive(Debug, Clone, Copy)]
struct Job {
    worker: usize,
    gateway: usize,
    price: u128,
    prompt: u64,
    completion: u64,
    began_ms: u64,
    took_s: f64,
    stake: u128,
    is_wrong: bool,
}

/// An answer that was selected, or a wrong one that auditors are shown to see whether they look.
#[derive(Debug, Clone)]
struct Audit {
    job: Job,
    auditors: Vec<usize>,
    /// Shown to this auditor.
    decoy_for: Option<usize>,
    fee: u128,
}

/// A day under some terms.
#[derive(Debug)]
pub(crate) struct Day {
    pub(crate) name: &'static str,
    pub(crate) size: Size,
    policy: Policy,
    /// For auditors, whose job is to look: a wrong answer that is shown to them is certain to tell.
    watching: Policy,
    random: StdRng,
    pub(crate) models: Vec<Model>,
    pub(crate) workers: Vec<Worker>,
    gateways: Vec<Gateway>,
    pub(crate) money: Money,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    numbered: u64,
    now_ms: u64,
    jobs: Vec<Job>,
    free_jobs: Vec<usize>,
    audits: Vec<Audit>,
    index: BTreeMap<Address, usize>,
    receipts: u64,
    hour: Hour,
    hours: u64,
    pub(crate) slots: Vec<Slot>,
    pub(crate) totals: Hour,
}

impl Day {
    pub(crate) fn new(name: &'static str, size: Size, policy: Policy) -> Result<Self> {
        let mut random = StdRng::seed_from_u64(size.seed);
        let models = world::models(&mut random, size);
        let (workers, stakes) = world::workers(&mut random, &models, size);
        let gateways = world::gateways(&mut random, &models, size.workers);
        let wallets = vec![COIN; size.workers];
        let money = Money::new(10_000_000 * COIN, 100 * COIN, wallets, stakes);
        let index = workers.iter().enumerate().map(|(at, worker)| (worker.address, at)).collect();
        let watching =
            Terms { detection: Ratio::ONE, collusion: Ratio::ZERO, auditors: 1, ..*policy.terms() };
        let mut day = Self {
            name,
            size,
            policy,
            watching: Policy::new(watching)?,
            random,
            models,
            workers,
            gateways,
            money,
            events: BinaryHeap::new(),
            numbered: 0,
            now_ms: 0,
            jobs: Vec::new(),
            free_jobs: Vec::new(),
            audits: Vec::new(),
            index,
            receipts: 0,
            hour: Hour::default(),
            hours: 0,
            slots: Vec::new(),
            totals: Hour::default(),
        };
        day.begin();
        Ok(day)
    }

    fn begin(&mut self) {
        self.push(0, Event::Arrival);
        self.push(PROBE_MS, Event::Probe);
        for worker in 0..self.workers.len() {
            let at = self.random.random_range(0..REPRICE_MS);
            self.push(at, Event::Reprice { worker });
            let at = self.wait_ms(self.workers[worker].mtbf_s);
            self.push(at, Event::Fails { worker });
            if self.workers[worker].strategy == Strategy::SelfDeal {
                self.push(0, Event::SelfAsk { worker });
            }
        }
        let models = &mut self.models;
        for model in models {
            let workers = &self.workers;
            model
                .workers
                .sort_by_key(|worker| (workers[*worker].prices.completion, workers[*worker].address));
        }
    }

    /// Runs an hour; none once the day is over.
    pub(crate) fn hour(&mut self) -> Result<Option<Value>> {
        if self.hours == 24 {
            return Ok(None);
        }
        let end = (self.hours + 1) * HOUR_MS;
        while let Some(Reverse((at, _, event))) = self.events.peek().copied() {
            if at >= end {
                break;
            }
            self.events.pop();
            self.now_ms = at;
            self.happen(event)?;
        }
        self.now_ms = end;
        if self.hours == 23 {
            self.settle_rest()?;
        }
        self.money.check()?;
        let alive = self.standing();
        let row = self.hour.row(self, self.hours, &alive);
        self.totals.add(&self.hour);
        self.hour = Hour::default();
        self.hours += 1;
        Ok(Some(row))
    }

    /// Answers that run at midnight end, and verdicts that are due come: nobody is paid or caught a day later.
    fn settle_rest(&mut self) -> Result<()> {
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if matches!(event, Event::End { .. } | Event::Verdict { .. }) {
                self.now_ms = at;
                self.happen(event)?;
            }
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Arrival => self.arrival(),
            Event::End { job } => self.end(job),
            Event::Verdict { audit } => self.verdict(audit),
            Event::Fails { worker } => {
                self.fails(worker);
                Ok(())
            }
            Event::Reprice { worker } => {
                self.reprice(worker);
                Ok(())
            }
            Event::Probe => {
                let now_ms = self.now_ms;
                for worker in &mut self.workers {
                    worker.probes_asked += 1;
                    worker.probes_answered += u32::from(is_reachable(worker, now_ms));
                }
                self.push(now_ms + PROBE_MS, Event::Probe);
                Ok(())
            }
            Event::SelfAsk { worker } => self.self_ask(worker),
        }
    }

    /// Somebody asks: workers are tried in the crate's order until one begins.
    fn arrival(&mut self) -> Result<()> {
        let mean = DAY_MS as f64 / self.size.requests as f64 / diurnal(self.now_ms);
        let next = self.now_ms as f64 + -(1.0 - self.random.random::<f64>()).ln() * mean;
        // Several may come in a millisecond.
        let next = next + self.random.random::<f64>();
        self.push(next as u64, Event::Arrival);

        let mut drawn = self.random.random::<f64>();
        let model = self.models.iter().position(|model| {
            drawn -= model.demand;
            drawn < 0.0
        });
        let model = model.unwrap_or(0);
        let gateway = self.random.random_range(0..GATEWAYS);
        let prompt = (600.0 * world::spread(&mut self.random, 1.0)).clamp(4.0, 32_000.0) as u64;
        let completion = (2_500.0 * world::spread(&mut self.random, 0.8)).clamp(8.0, 16_000.0) as u64;
        let order = self.order(gateway, model, prompt, completion);
        let slot = self.slot();
        self.hour.requests += 1;
        self.slots[slot].requests += 1;

        let (mut waited_ms, mut begun) = (0.0, None);
        let tried = order.iter().take(TRIES_MAX);
        for (number, (at, cost)) in tried.enumerate() {
            let now_ms = self.now_ms + waited_ms as u64;
            self.unsettle(*at);
            let stake = self.money.of(Account::Stake(*at));
            let worker = &self.workers[*at];
            let seen = &mut self.gateways[gateway].seen[*at];
            if !is_reachable(worker, self.now_ms) {
                waited_ms += CONNECT_MS;
                seen.failed(now_ms);
                self.hour.unreachable += 1;
            } else if worker.busy {
                waited_ms += ROUND_TRIP_MS;
                seen.failed(now_ms);
                self.hour.busy += 1;
            } else if self.policy.admit(stake, worker.unsettled_sum, *cost, worker.passed).is_err() {
                waited_ms += ROUND_TRIP_MS;
                self.hour.not_admitted += 1;
            } else {
                begun = Some((*at, *cost, number, stake));
                break;
            }
        }
        let Some((at, price, number, stake)) = begun else {
            self.hour.unanswered += 1;
            self.slots[slot].unanswered += 1;
            return Ok(());
        };
        let (speed, token_price) = (self.workers[at].speed, self.workers[at].prices.completion);
        let searched_ms = waited_ms as u32;
        waited_ms += ROUND_TRIP_MS + prompt as f64 / (speed * PREFILL) * 1_000.0;
        self.gateways[gateway].seen[at].began(waited_ms);
        self.hour.first_try += u64::from(number == 0);
        self.hour.first_byte_ms.push(waited_ms as u32);
        self.hour.searched_ms.push(searched_ms);
        let index = token_price as f64 / self.models[model].token_cost;
        let slot = &mut self.slots[slot];
        slot.first_try += u64::from(number == 0);
        slot.searched_ms.push(searched_ms);
        slot.price.push((model, index));
        let took_s = completion as f64 / speed;
        let job = Job {
            worker: at,
            gateway,
            price,
            prompt,
            completion,
            began_ms: self.now_ms,
            took_s,
            stake,
            is_wrong: false,
        };
        self.start(job, (waited_ms + took_s * 1_000.0) as u64);
        Ok(())
    }

    /// Whom to ask, and what it costs there.
    fn order(&mut self, gateway: usize, model: usize, prompt: u64, completion: u64) -> Vec<(usize, u128)> {
        let draw = self.random.random();
        let (workers, money) = (&self.workers, &self.money);
        let Gateway { seen, wishes, suffix } = &self.gateways[gateway];
        let ask = |worker: &usize| workers[*worker].ask(money.of(Account::Stake(*worker)));
        let Ok(left) = routing::eligible(&self.models[model].workers, ask, wishes) else { return Vec::new() };
        let candidate = |worker: usize| {
            let prices = workers[worker].prices;
            let cost = prices.prompt * u128::from(prompt) + prices.completion * u128::from(completion);
            Candidate {
                offer: worker,
                worker: workers[worker].address,
                cost,
                seen: seen[worker],
                reputation: 0,
            }
        };
        let candidates = left.into_iter().map(candidate).collect();
        let order = routing::order(candidates, wishes, *suffix, self.now_ms, draw);
        order.into_iter().take(TRIES_MAX).map(|candidate| (candidate.offer, candidate.cost)).collect()
    }

    fn start(&mut self, mut job: Job, takes_ms: u64) {
        job.is_wrong = self.cheats(&job);
        let worker = &mut self.workers[job.worker];
        worker.busy = true;
        worker.busy_ms += takes_ms;
        // What runs is at risk from its beginning, since the answer may be wrong.
        worker.unsettled.push_back((self.now_ms + takes_ms + SETTLED_AFTER_MS, job.price));
        worker.unsettled_sum += job.price;
        let at = match self.free_jobs.pop() {
            Some(at) => {
                self.jobs[at] = job;
                at
            }
            None => {
                self.jobs.push(job);
                self.jobs.len() - 1
            }
        };
        self.push(self.now_ms + takes_ms, Event::End { job: at });
    }

    /// Whether a worker answers wrongly.
    fn cheats(&self, job: &Job) -> bool {
        let worker = &self.workers[job.worker];
        match worker.strategy {
            Strategy::Honest | Strategy::Lazy | Strategy::SelfDeal => false,
            Strategy::Swap | Strategy::Quantise | Strategy::Truncate | Strategy::Collude => true,
            Strategy::Exit => self.now_ms >= EXIT_AT_MS,
            Strategy::Rational => {
                // It knows the terms, and what it would do once it knew that it will be found: the rest as well.
                let saved = worker.strategy.saves() * worker.cost(job.prompt, job.completion);
                let share = (saved / job.price as f64).min(1.0);
                let chance = self.policy.probability(job.stake, job.price, worker.passed);
                let found = real(chance) * (1.0 - real(self.policy.terms().collusion).powi(2));
                let room = self.policy.unsettled_max(job.stake).saturating_sub(worker.unsettled_sum) as f64;
                saved + found * (share * room - job.stake as f64) > 0.0
            }
        }
    }

    /// An answer is complete: it is paid, committed to, and perhaps selected.
    fn end(&mut self, at: usize) -> Result<()> {
        let job = self.jobs[at];
        self.free_jobs.push(at);
        let slot = self.slot();
        let worker = &mut self.workers[job.worker];
        worker.busy = false;
        if worker.is_convicted || broke_off(worker, &job, self.now_ms) {
            self.hour.broke_off += 1;
            self.slots[slot].broke_off += 1;
            let now_ms = self.now_ms;
            self.gateways[job.gateway].seen[job.worker].failed(now_ms);
            return Ok(());
        }
        self.gateways[job.gateway].seen[job.worker].ended(job.completion, job.took_s);
        let (burnt, fund) = (job.price * LEVY.0 / 1_000, job.price * LEVY.1 / 1_000);
        let left = job.price - burnt - fund;
        self.money.pay(Account::Clients, Account::Wallet(job.worker), left)?;
        self.money.pay(Account::Clients, Account::Burnt, burnt)?;
        self.money.pay(Account::Clients, Account::Fund, fund)?;
        let at_s = MIDNIGHT_S + self.now_ms / 1_000;
        let (strategy, cost) = (worker.strategy, worker.cost(job.prompt, job.completion) / COIN as f64);
        let saved = if job.is_wrong { cost * strategy.saves() } else { 0.0 };
        let paid = coins(job.price);
        worker.settlements.push(Settlement { at_s, burnt });
        let books = &mut worker.books;
        books.answers += 1;
        books.income += coins(left);
        books.cost += cost - saved;
        books.saved += saved;
        if job.is_wrong {
            books.wrong += 1;
            books.damage += paid;
            self.hour.wrong += 1;
        }
        self.hour.answered += 1;
        self.hour.paid += paid;
        self.slots[slot].answered += 1;
        self.slots[slot].paid += paid;
        self.select(job)
    }

    /// The beacon of this second, which nobody knew when the answer was committed to.
    fn beacon(&self) -> B256 {
        hash(b"beacon", self.size.seed, self.now_ms / 1_000)
    }

    fn select(&mut self, job: Job) -> Result<()> {
        self.receipts += 1;
        let (beacon, receipt) = (self.beacon(), hash(b"receipt", self.size.seed, self.receipts));
        let worker = &self.workers[job.worker];
        let chance = self.policy.probability(job.stake, job.price, worker.passed);
        self.hour.chances += real(chance);
        if !selection::is_selected(beacon, receipt, chance) {
            return Ok(());
        }
        let (address, model) = (worker.address, worker.model);
        let crowd: Vec<Auditor> = self.models[model]
            .workers
            .iter()
            .map(|at| Auditor {
                address: self.workers[*at].address,
                stake: self.money.of(Account::Stake(*at)),
            })
            .collect();
        let count = self.policy.terms().auditors;
        let drawn = selection::auditors(beacon, receipt, address, &crowd, count);
        let auditors: Vec<usize> =
            drawn.iter().filter_map(|address| self.index.get(address).copied()).collect();
        let fee = job.price / AUDIT_FEE;
        // Each audit is followed by a decoy as often as the auditor's own stake needs.
        for auditor in &auditors {
            let stake = self.money.of(Account::Stake(*auditor));
            let shown = real(self.watching.probability(stake, fee, u32::MAX));
            if self.random.random_bool(shown) {
                self.audits.push(Audit { job, auditors: vec![*auditor], decoy_for: Some(*auditor), fee });
                let at = self.now_ms + self.random.random_range(VERDICT_MS.0..VERDICT_MS.1);
                self.push(at, Event::Verdict { audit: self.audits.len() - 1 });
            }
        }
        self.hour.audits += 1;
        self.audits.push(Audit { job, auditors, decoy_for: None, fee });
        let at = self.now_ms + self.random.random_range(VERDICT_MS.0..VERDICT_MS.1);
        self.push(at, Event::Verdict { audit: self.audits.len() - 1 });
        Ok(())
    }

    fn verdict(&mut self, at: usize) -> Result<()> {
        let Audit { job, auditors, decoy_for, fee } = self.audits[at].clone();
        let cost = self.workers[job.worker].cost(job.prompt, job.completion) / COIN as f64 * AUDIT_COST;
        let mut found = false;
        for auditor in &auditors {
            if self.workers[*auditor].is_convicted {
                continue;
            }
            let strategy = self.workers[*auditor].strategy;
            let looks = strategy != Strategy::Lazy;
            // Friends are passed; what a decoy hides behind is a stranger, mostly.
            let is_friend =
                strategy == Strategy::Collude && self.workers[job.worker].strategy == Strategy::Collude;
            self.money.pay(Account::Fund, Account::Wallet(*auditor), fee)?;
            let books = &mut self.workers[*auditor].books;
            books.audits += coins(fee) - if looks { cost } else { 0.0 };
            if !looks {
                books.saved += cost;
            }
            self.hour.audit_fees += coins(fee);
            if let Some(shown) = decoy_for {
                self.hour.decoys += 1;
                if !looks {
                    self.convict(shown)?;
                }
            } else if job.is_wrong && looks && !is_friend {
                let detection = self.workers[job.worker].strategy.detection();
                found |= self.random.random_bool(detection);
            }
        }
        if decoy_for.is_none() && !self.workers[job.worker].is_convicted {
            if found {
                self.hour.failed_audits += 1;
                self.convict(job.worker)?;
            } else {
                self.workers[job.worker].passed += 1;
            }
        }
        Ok(())
    }

    /// The whole stake is burnt, and nobody asks the worker any more.
    fn convict(&mut self, at: usize) -> Result<()> {
        let stake = self.money.of(Account::Stake(at));
        self.money.pay(Account::Stake(at), Account::Burnt, stake)?;
        let hour = self.now_ms as f64 / HOUR_MS as f64;
        let worker = &mut self.workers[at];
        worker.is_convicted = true;
        worker.books.lost += coins(stake);
        worker.books.convicted_at_h = Some(hour.min(24.0));
        *self.hour.convicted.entry(worker.strategy).or_default() += 1;
        let model = worker.model;
        self.models[model].workers.retain(|other| *other != at);
        Ok(())
    }

    fn fails(&mut self, at: usize) {
        let repair_ms = self.wait_ms(600.0) + 10_000;
        self.workers[at].down_until_ms = self.now_ms + repair_ms;
        let next = self.now_ms + repair_ms + self.wait_ms(self.workers[at].mtbf_s);
        self.push(next, Event::Fails { worker: at });
    }

    /// Dearer where there is much to do, cheaper where there is little, never below cost.
    fn reprice(&mut self, at: usize) {
        let worker = &mut self.workers[at];
        let utilisation = worker.busy_ms as f64 / REPRICE_MS as f64;
        worker.busy_ms = 0;
        let factor = match utilisation {
            low if low < 0.4 => 0.97,
            high if high > 0.65 => 1.03,
            _ => 1.0,
        };
        // Who saves costs by cheating can go lower; it does not show how much.
        let saves = if worker.strategy == Strategy::Exit || worker.strategy == Strategy::Rational {
            0.0
        } else {
            worker.strategy.saves() / 2.0
        };
        let floor = worker.token_cost * (1.0 - saves) * 1.08;
        let price = (worker.prices.completion as f64 * factor).clamp(floor, worker.token_cost * 20.0);
        worker.set_price(price);
        let model = worker.model;
        let seen = &mut self.models[model].utilisation;
        *seen += 0.005 * (utilisation - *seen);
        if utilisation < 0.3 && self.random.random_bool(MOVES) {
            self.move_to_scarcest(at);
        }
        let worker = &self.workers[at];
        let key = (worker.prices.completion, worker.address);
        let to = worker.model;
        let workers = &self.workers;
        let list = &mut self.models[model].workers;
        if let Some(place) = list.iter().position(|other| *other == at) {
            list.remove(place);
            let list = &mut self.models[to].workers;
            let place = list
                .partition_point(|other| (workers[*other].prices.completion, workers[*other].address) < key);
            list.insert(place, at);
        }
        let up = is_reachable(&self.workers[at], self.now_ms) && !self.workers[at].is_convicted;
        let slot = self.slot();
        if up {
            self.slots[slot].utilisation.push(utilisation.min(1.0));
        }
        self.push(self.now_ms + REPRICE_MS, Event::Reprice { worker: at });
    }

    /// A worker with little to do loads the model whose workers have most to do.
    fn move_to_scarcest(&mut self, at: usize) {
        let scarcest = (0..self.models.len())
            .max_by(|a, b| self.models[*a].utilisation.total_cmp(&self.models[*b].utilisation));
        let (Some(to), from) = (scarcest, self.workers[at].model) else { return };
        if self.models[to].utilisation < SCARCE || self.workers[at].busy {
            return;
        }
        let (from, to_model) = (&self.models[from], &self.models[to]);
        let (cost, speed) = (to_model.token_cost / from.token_cost, to_model.speed / from.speed);
        let worker = &mut self.workers[at];
        worker.model = to;
        worker.token_cost *= cost;
        worker.speed *= speed;
        let price = worker.prices.completion as f64 * cost;
        worker.set_price(price);
    }

    /// A job of a worker for itself: it pays itself, and what the levy takes does not come back.
    fn self_ask(&mut self, at: usize) -> Result<()> {
        self.push(self.now_ms + 3 * 60_000, Event::SelfAsk { worker: at });
        self.unsettle(at);
        let stake = self.money.of(Account::Stake(at));
        let worker = &self.workers[at];
        let (prompt, completion) = (600, 2_500);
        let price =
            worker.prices.prompt * u128::from(prompt) + worker.prices.completion * u128::from(completion);
        let admitted = self.policy.admit(stake, worker.unsettled_sum, price, worker.passed).is_ok();
        if worker.busy || !is_reachable(worker, self.now_ms) || !admitted {
            return Ok(());
        }
        // Nobody computes anything. Its client is an account of its own.
        self.money.pay(Account::Wallet(at), Account::Clients, price)?;
        let cost = worker.cost(prompt, completion) / COIN as f64;
        let books = &mut self.workers[at].books;
        books.income -= coins(price);
        books.cost -= cost;
        let job = Job {
            worker: at,
            gateway: 0,
            price,
            prompt,
            completion,
            began_ms: self.now_ms,
            took_s: 0.0,
            stake,
            is_wrong: false,
        };
        self.hour.self_dealt += 1;
        self.hour.requests += 1;
        self.start(job, 1_000);
        Ok(())
    }

    /// What is old enough is not at risk any more.
    fn unsettle(&mut self, at: usize) {
        let now_ms = self.now_ms;
        let worker = &mut self.workers[at];
        while let Some((settles_at, price)) = worker.unsettled.front().copied() {
            if settles_at > now_ms {
                break;
            }
            worker.unsettled.pop_front();
            worker.unsettled_sum -= price;
        }
    }

    /// Workers that were not convicted, by strategy.
    pub(crate) fn standing(&self) -> BTreeMap<Strategy, usize> {
        let mut standing = BTreeMap::new();
        for worker in &self.workers {
            *standing.entry(worker.strategy).or_default() += usize::from(!worker.is_convicted);
        }
        standing
    }

    /// What the crate's formula makes of the day, for a worker.
    pub(crate) fn reputation(&self, at: usize) -> Reputation {
        let worker = &self.workers[at];
        let now_s = MIDNIGHT_S + 24 * 3_600 + 7_200;
        let failed_at_s = worker.books.convicted_at_h.map(|hour| MIDNIGHT_S + (hour * 3_600.0) as u64);
        let facts = Facts {
            bonded: self.money.of(Account::Stake(at)),
            settlements: worker.settlements.clone(),
            passed_at_s: vec![MIDNIGHT_S; worker.passed.try_into().unwrap_or_default()],
            failed_at_s,
            // What a beat says of an hour, a probe says of its moment.
            hours_covered: worker.probes_asked,
            hours_beaten: worker.probes_answered,
        };
        reputation(&facts, now_s)
    }

    pub(crate) fn summary(&self) -> Result<Value> {
        self.money.check().context("at the end of the day")?;
        Ok(json!({
            "day": self.name,
            "seed": self.size.seed,
            "workers": self.size.workers,
            "intensity": real(self.policy.terms().intensity),
            "exposure": real(self.policy.terms().exposure),
            "totals": self.totals.summary(self),
            "strategies": crate::report::strategies(self),
            "reputation": crate::report::reputations(self),
            "money_conserved": true,
        }))
    }

    pub(crate) fn slot(&mut self) -> usize {
        let last = (DAY_MS / SLOT_MS - 1) as usize;
        let at = usize::try_from(self.now_ms / SLOT_MS).unwrap_or(last).min(last);
        while self.slots.len() <= at {
            let standing = self.standing();
            self.slots.push(Slot { standing, ..Slot::default() });
        }
        at
    }

    /// Exponential, with this mean.
    fn wait_ms(&mut self, mean_s: f64) -> u64 {
        (-(1.0 - self.random.random::<f64>()).ln() * mean_s * 1_000.0) as u64
    }

    fn push(&mut self, at: u64, event: Event) {
        self.numbered += 1;
        self.events.push(Reverse((at, self.numbered, event)));
    }
}

/// Requests at a time of day against their mean: few at four in the morning, most at four in the afternoon.
pub(crate) fn diurnal(now_ms: u64) -> f64 {
    let turn = now_ms as f64 / DAY_MS as f64 * core::f64::consts::TAU;
    1.0 - 0.6 * (turn - core::f64::consts::TAU / 6.0).cos()
}

pub(crate) fn real(ratio: Ratio) -> f64 {
    ratio.0 as f64 / Ratio::ONE.0 as f64
}

pub(crate) fn coins(amount: u128) -> f64 {
    amount as f64 / COIN as f64
}

fn is_reachable(worker: &Worker, now_ms: u64) -> bool {
    let region_down =
        worker.region == REGION_DOWN % REGIONS && (REGION_DOWN_MS.0..REGION_DOWN_MS.1).contains(&now_ms);
    worker.is_up(now_ms) && !region_down
}

/// Whether its worker was down at some time between an answer's beginning and now.
fn broke_off(worker: &Worker, job: &Job, now_ms: u64) -> bool {
    let region_down = worker.region == REGION_DOWN % REGIONS
        && job.began_ms < REGION_DOWN_MS.1
        && now_ms >= REGION_DOWN_MS.0;
    worker.down_until_ms > job.began_ms || region_down
}

fn hash(label: &[u8], seed: u64, number: u64) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(label);
    hasher.update(seed.to_be_bytes());
    hasher.update(number.to_be_bytes());
    hasher.finalize()
}
