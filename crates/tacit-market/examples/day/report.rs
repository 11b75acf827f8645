//! What a day is summed up in: rows, a summary, pictures.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    day::{Day, SLOT_MS, coins, diurnal},
    money::Account,
    plot::{Frame, Line, bars, lines},
    world::{STRATEGIES, Strategy},
};

/// What happened in an hour, or in a day.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hour {
    pub(crate) requests: u64,
    pub(crate) answered: u64,
    pub(crate) first_try: u64,
    pub(crate) unreachable: u64,
    pub(crate) busy: u64,
    pub(crate) not_admitted: u64,
    pub(crate) unanswered: u64,
    pub(crate) broke_off: u64,
    pub(crate) wrong: u64,
    /// By clients; coins.
    pub(crate) paid: f64,
    /// Sum of the probabilities with which answers were audited.
    pub(crate) chances: f64,
    pub(crate) audits: u64,
    pub(crate) failed_audits: u64,
    pub(crate) decoys: u64,
    pub(crate) audit_fees: f64,
    pub(crate) self_dealt: u64,
    pub(crate) first_byte_ms: Vec<u32>,
    /// From a request until a worker took it.
    pub(crate) searched_ms: Vec<u32>,
    pub(crate) convicted: BTreeMap<Strategy, u64>,
}

/// A mean that grows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mean {
    sum: f64,
    count: u64,
}

/// Means of price over cost, by model.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paid(BTreeMap<usize, Mean>);

/// Ten minutes, for pictures.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slot {
    pub(crate) requests: u64,
    pub(crate) first_try: u64,
    pub(crate) answered: u64,
    pub(crate) unanswered: u64,
    pub(crate) broke_off: u64,
    pub(crate) paid: f64,
    /// From a request until a worker took it.
    pub(crate) searched_ms: Vec<u32>,
    pub(crate) price: Paid,
    pub(crate) utilisation: Mean,
    pub(crate) standing: BTreeMap<Strategy, usize>,
}

impl Mean {
    pub(crate) fn push(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn value(self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }
}

impl Paid {
    pub(crate) fn push(&mut self, (model, price): (usize, f64)) {
        self.0.entry(model).or_default().push(price);
    }

    fn of(&self, model: usize) -> f64 {
        self.0.get(&model).copied().unwrap_or_default().value()
    }
}

impl Hour {
    pub(crate) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.answered += other.answered;
        self.first_try += other.first_try;
        self.unreachable += other.unreachable;
        self.busy += other.busy;
        self.not_admitted += other.not_admitted;
        self.unanswered += other.unanswered;
        self.broke_off += other.broke_off;
        self.wrong += other.wrong;
        self.paid += other.paid;
        self.chances += other.chances;
        self.audits += other.audits;
        self.failed_audits += other.failed_audits;
        self.decoys += other.decoys;
        self.audit_fees += other.audit_fees;
        self.self_dealt += other.self_dealt;
        self.first_byte_ms.extend(&other.first_byte_ms);
        self.searched_ms.extend(&other.searched_ms);
        for (strategy, count) in &other.convicted {
            *self.convicted.entry(*strategy).or_default() += count;
        }
    }

    pub(crate) fn row(&self, day: &Day, hour: u64, standing: &BTreeMap<Strategy, usize>) -> Value {
        let mut row = self.fields();
        row.insert("day".into(), day.name.into());
        row.insert("hour".into(), hour.into());
        row.insert("standing".into(), by_name(standing.iter().map(|(strategy, count)| (*strategy, *count))));
        let from = (hour * 6) as usize;
        let slots = day.slots.get(from..day.slots.len().min(from + 6)).unwrap_or_default();
        let prices: Map<String, Value> = (0..day.models.len())
            .map(|model| {
                let mean =
                    slots.iter().map(|slot| slot.price.of(model)).sum::<f64>() / slots.len().max(1) as f64;
                (format!("{}b", day.models[model].size), rounded(mean, 3))
            })
            .collect();
        row.insert("price_over_cost".into(), prices.into());
        let utilisation =
            slots.iter().map(|slot| slot.utilisation.value()).sum::<f64>() / slots.len().max(1) as f64;
        row.insert("utilisation".into(), rounded(utilisation, 3));
        row.insert("burnt".into(), rounded(coins(day.money.of(Account::Burnt)), 3));
        row.insert("fund".into(), rounded(coins(day.money.of(Account::Fund)), 3));
        row.into()
    }

    pub(crate) fn summary(&self, day: &Day) -> Value {
        let mut row = self.fields();
        let mut answers: Vec<f64> = day.workers.iter().map(|worker| worker.books.answers as f64).collect();
        answers.sort_by(|a, b| b.total_cmp(a));
        let all: f64 = answers.iter().sum();
        let squares: f64 = answers.iter().map(|one| one * one).sum();
        let tenth: f64 = answers.iter().take(answers.len() / 10).sum();
        row.insert("effective_workers".into(), rounded(all * all / squares, 0));
        row.insert("share_of_busiest_tenth".into(), rounded(tenth / all, 3));
        row.insert("audit_overhead".into(), rounded(self.audit_fees / self.paid, 5));
        row.into()
    }

    fn fields(&self) -> Map<String, Value> {
        let mut waits = self.first_byte_ms.clone();
        waits.sort_unstable();
        let mut searched = self.searched_ms.clone();
        searched.sort_unstable();
        let asked = (self.requests - self.self_dealt).max(1) as f64;
        let fields = json!({
            "requests": self.requests,
            "self_dealt": self.self_dealt,
            "answered": self.answered,
            "first_try": rounded(self.first_try as f64 / asked, 4),
            "unanswered": rounded(self.unanswered as f64 / asked, 5),
            "broke_off": rounded(self.broke_off as f64 / asked, 5),
            "refused_busy": self.busy,
            "refused_not_admitted": self.not_admitted,
            "unreachable": self.unreachable,
            "search_p50_ms": percentile(&searched, 50),
            "search_p95_ms": percentile(&searched, 95),
            "first_byte_p50_ms": percentile(&waits, 50),
            "first_byte_p95_ms": percentile(&waits, 95),
            "first_byte_p99_ms": percentile(&waits, 99),
            "paid": rounded(self.paid, 3),
            "wrong": self.wrong,
            "audits": self.audits,
            "audits_expected": rounded(self.chances, 1),
            "audits_failed": self.failed_audits,
            "decoys": self.decoys,
            "audit_fees": rounded(self.audit_fees, 4),
            "convicted": by_name(self.convicted.iter().map(|(strategy, count)| (*strategy, *count))),
        });
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }
}

/// What each strategy earned, saved and lost.
pub(crate) fn strategies(day: &Day) -> Value {
    by_name(STRATEGIES.into_iter().map(|strategy| {
        let of = Sums::of(day, strategy);
        let per = |sum: f64| rounded(sum / of.workers.max(1) as f64, 5);
        let value = json!({
            "workers": of.workers,
            "convicted": of.convicted,
            "answers": of.answers,
            "wrong": of.wrong,
            "income_each": per(of.income),
            "cost_each": per(of.cost),
            "audits_each": per(of.audits),
            "saved": rounded(of.saved, 3),
            "lost": rounded(of.lost, 3),
            "profit_each": per(of.income - of.cost + of.audits - of.lost),
            "paid_for_wrong": rounded(of.damage, 3),
            "mean_hours_to_conviction": rounded(of.convicted_after.value(), 2),
        });
        (strategy, value)
    }))
}

/// What reputations came out, and what they cost those who deal with themselves.
pub(crate) fn reputations(day: &Day) -> Value {
    by_name(STRATEGIES.into_iter().map(|strategy| {
        let of = day.workers.iter().enumerate().filter(|(_, worker)| worker.strategy == strategy);
        let (mut coins_of, mut burnt, mut answers) = (0, 0, 0);
        for (at, worker) in of {
            coins_of += day.reputation(at).coins;
            burnt += worker.settlements.iter().map(|settlement| settlement.burnt).sum::<u128>();
            answers += worker.books.answers;
        }
        let value = json!({
            "reputation": rounded(coins(coins_of), 5),
            "burnt": rounded(coins(burnt), 5),
            "answers": answers,
        });
        (strategy, value)
    }))
}

#[derive(Debug, Default)]
struct Sums {
    workers: usize,
    convicted: usize,
    answers: u64,
    wrong: u64,
    income: f64,
    cost: f64,
    audits: f64,
    saved: f64,
    lost: f64,
    damage: f64,
    convicted_after: Mean,
}

impl Sums {
    fn of(day: &Day, strategy: Strategy) -> Self {
        let mut sums = Self::default();
        for worker in day.workers.iter().filter(|worker| worker.strategy == strategy) {
            let books = &worker.books;
            sums.workers += 1;
            sums.convicted += usize::from(worker.is_convicted);
            sums.answers += books.answers;
            sums.wrong += books.wrong;
            sums.income += books.income;
            sums.cost += books.cost;
            sums.audits += books.audits;
            sums.saved += books.saved;
            sums.lost += books.lost;
            sums.damage += books.damage;
            if let Some(hour) = books.convicted_at_h {
                sums.convicted_after.push(hour);
            }
        }
        sums
    }
}

const FAILURES: &str = "Requests that failed; one region of eight is down at 14:00";

/// Pictures of the first day, and of what cheating gave on each.
pub(crate) fn pictures(days: &[Day]) -> Vec<(&'static str, String)> {
    let Some(day) = days.first() else { return Vec::new() };
    let hours = |at: usize| (at as f64 + 0.5) * SLOT_MS as f64 / 3_600_000.0;
    let series = |name: &str, value: &dyn Fn(&Slot) -> f64| Line {
        name: name.to_owned(),
        points: day.slots.iter().enumerate().map(|(at, slot)| (hours(at), value(slot))).collect(),
    };
    let frame = |title, y, y_max| Frame { title, x: "hour of the day", y, x_max: 24.0, y_max };

    let models = [0, 1, 2, 3, 4, 7];
    let prices: Vec<Line> = models
        .iter()
        .map(|model| series(&format!("{}b", day.models[*model].size), &|slot| slot.price.of(*model)))
        .collect();
    let share = |part: u64, slot: &Slot| part as f64 / slot.requests.max(1) as f64;
    let load = [
        series("answered by the first asked", &|slot| share(slot.first_try, slot)),
        series("utilisation of workers", &|slot| slot.utilisation.value()),
        Line {
            name: "requests, share of peak".to_owned(),
            points: (0..day.slots.len())
                .map(|at| (hours(at), diurnal((hours(at) * 3_600_000.0) as u64) / 1.6))
                .collect(),
        },
    ];
    let failures = [
        series("broke off", &|slot| share(slot.broke_off, slot) * 100.0),
        series("nobody took it", &|slot| share(slot.unanswered, slot) * 100.0),
    ];
    let waits = |percent: usize| {
        move |slot: &Slot| {
            let mut waits = slot.searched_ms.clone();
            waits.sort_unstable();
            f64::from(percentile(&waits, percent)) / 1_000.0
        }
    };
    let search =
        [series("median", &waits(50)), series("95 of 100", &waits(95)), series("99 of 100", &waits(99))];
    let cheaters = [
        Strategy::Swap,
        Strategy::Quantise,
        Strategy::Truncate,
        Strategy::Collude,
        Strategy::Exit,
        Strategy::Lazy,
    ];
    let standing: Vec<Line> = cheaters
        .iter()
        .map(|strategy| {
            let all = day.workers.iter().filter(|worker| worker.strategy == *strategy).count().max(1);
            series(strategy.name(), &|slot| {
                slot.standing.get(strategy).copied().unwrap_or_default() as f64 / all as f64
            })
        })
        .collect();
    let mut pictures = vec![
        (
            "prices.svg",
            lines(&frame("Prices paid, over an average worker's cost", "price / cost", None), &prices),
        ),
        ("load.svg", lines(&frame("Load", "share", Some(1.0)), &load)),
        ("failures.svg", lines(&frame(FAILURES, "of 100 requests", None), &failures)),
        ("search.svg", lines(&frame("From a request until a worker takes it", "seconds", None), &search)),
        ("routes.svg", lorenz(day)),
        ("caught.svg", lines(&frame("Workers not yet convicted", "share", Some(1.0)), &standing)),
    ];
    for (day, name, title) in days.iter().zip(["gains-sound.svg", "gains-weak.svg"]).map(|(day, name)| {
        let title = if name.contains("sound") {
            "What cheating saved and cost, sound terms"
        } else {
            "What cheating saved and cost, weak terms"
        };
        (day, name, title)
    }) {
        let groups: Vec<(String, Vec<f64>)> = STRATEGIES
            .into_iter()
            .filter(|strategy| !matches!(strategy, Strategy::Honest | Strategy::SelfDeal))
            .map(|strategy| {
                let of = Sums::of(day, strategy);
                (strategy.name().to_owned(), vec![of.saved, of.lost])
            })
            .collect();
        let frame = Frame { title, x: "strategy", y: "coins", x_max: 1.0, y_max: None };
        pictures.push((name, bars(&frame, &["saved", "lost"], &groups)));
    }
    pictures
}

/// How answers are spread over workers of one model, busiest first, against an even spread.
fn lorenz(day: &Day) -> String {
    let curve = |model: usize| {
        let of = day.workers.iter().filter(|worker| worker.model == model);
        let mut answers: Vec<f64> = of.map(|worker| worker.books.answers as f64).collect();
        answers.sort_by(|a, b| b.total_cmp(a));
        let (all, count) = (answers.iter().sum::<f64>().max(1.0), answers.len().max(1) as f64);
        let mut points = vec![(0.0, 0.0)];
        let mut sum = 0.0;
        for (at, one) in answers.iter().enumerate() {
            sum += one;
            if at % (answers.len() / 200 + 1) == 0 || at + 1 == answers.len() {
                points.push(((at + 1) as f64 / count, sum / all));
            }
        }
        points
    };
    let mut curves: Vec<Line> = [0, 1, 2, 4]
        .into_iter()
        .map(|model| Line { name: format!("{}b", day.models[model].size), points: curve(model) })
        .collect();
    curves.push(Line { name: "evenly".to_owned(), points: vec![(0.0, 0.0), (1.0, 1.0)] });
    let frame = Frame {
        title: "Who answers: workers of a model, busiest first",
        x: "share of workers",
        y: "share of answers",
        x_max: 1.0,
        y_max: Some(1.0),
    };
    lines(&frame, &curves)
}

fn by_name<T: Into<Value>>(values: impl Iterator<Item = (Strategy, T)>) -> Value {
    let map: Map<String, Value> =
        values.map(|(strategy, value)| (strategy.name().to_owned(), value.into())).collect();
    map.into()
}

fn percentile(sorted: &[u32], percent: usize) -> u32 {
    sorted.get(sorted.len() * percent / 100).or(sorted.last()).copied().unwrap_or_default()
}

fn rounded(value: f64, places: i32) -> Value {
    let scale = 10.0_f64.powi(places);
    let value = (value * scale).round() / scale;
    // Not "-0".
    json!(value + 0.0)
}
