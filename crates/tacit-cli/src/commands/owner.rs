//! `tacit worker status`, `drain`, `resume`, `withdraw`: what an owner wants of a worker that runs, and of its stake.

use crate::args::{WorkerDrain, WorkerOrder, WorkerWithdraw};
use crate::commands::wallet::load;
use crate::failure::{Context, Failure};
use crate::network;
use crate::output::{Output, Style};
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tacit_wire::http::{HttpError, JsonClient};
use tacit_wire::message::WorkerInfo;
use tacit_wire::owner::{LanguageReport, Occupied, OwnerAction, OwnerReport, OwnerRequest, Waiting};
use tacit_wire::{Amount, Wallet};

const TIMEOUT: Duration = Duration::from_secs(30);
const REPLY_BYTES_MAX: usize = 4 << 20;
/// How often a worker that drains is asked whether it is done.
const POLL: Duration = Duration::from_secs(1);

/// A worker, and the key that it takes orders from.
struct Owned {
    http: JsonClient,
    url: String,
    wallet: Wallet,
    chain_id: u64,
}

impl Owned {
    async fn find(order: &WorkerOrder) -> Result<Self, Failure> {
        let wallet = load(&order.key)?;
        let http = JsonClient::new(TIMEOUT).failed("worker", "HTTP", "")?;
        let url = order.worker.trim_end_matches('/').to_owned();
        let info: WorkerInfo =
            http.get(&format!("{url}/v1/status"), REPLY_BYTES_MAX).await.map_err(|error| refused(&error))?;
        if info.worker != wallet.address() {
            let message = format!(
                "the worker at {url} is {}, and the key is that of {}",
                info.worker,
                wallet.address()
            );
            return Err(Failure::new("not_owner", message, "give the worker's own key: --key"));
        }
        Ok(Self { http, url, wallet, chain_id: info.chain_id })
    }

    async fn order(&self, action: OwnerAction) -> Result<OwnerReport, Failure> {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let now_ms = u64::try_from(now_ms).unwrap_or(u64::MAX);
        let request = OwnerRequest::sign(&self.wallet, self.chain_id, action, now_ms);
        let url = format!("{}/v1/owner", self.url);
        self.http.post(&url, &request, REPLY_BYTES_MAX).await.map_err(|error| refused(&error))
    }
}

fn refused(error: &HttpError) -> Failure {
    match error {
        HttpError::Refused { body, .. } => Failure::new(&body.code, &body.message, &body.hint),
        error => Failure::new("worker_unreachable", error, "name the address at which it listens: --worker"),
    }
}

pub(crate) async fn status(order: &WorkerOrder, output: Output) -> Result<(), Failure> {
    let report = Owned::find(order).await?.order(OwnerAction::Status).await?;
    output.data(&report, || text(&report, output));
    Ok(())
}

pub(crate) async fn resume(order: &WorkerOrder, output: Output) -> Result<(), Failure> {
    let report = Owned::find(order).await?.order(OwnerAction::Resume).await?;
    output.data(&report, || {
        "the worker takes requests again, and asks for its models on the ledger".to_owned()
    });
    Ok(())
}

pub(crate) async fn drain(drain: &WorkerDrain, output: Output) -> Result<(), Failure> {
    let worker = Owned::find(&drain.order).await?;
    let mut report = worker.order(OwnerAction::Drain).await?;
    let mut told = None;
    while drain.wait && !report.safe_to_stop {
        if told.as_ref() != Some(&report.waiting_for) {
            output.note(waiting(&report));
            told = Some(report.waiting_for.clone());
        }
        tokio::time::sleep(POLL).await;
        report = worker.order(OwnerAction::Status).await?;
        if report.drained_since_s.is_none() {
            let hint = "somebody said `tacit worker resume` meanwhile";
            return Err(Failure::new("not_drained", "the worker takes requests again", hint));
        }
    }
    output.data(&report, || {
        let state = match report.safe_to_stop {
            true => "it may be stopped: nothing runs, everything is settled and anchored".to_owned(),
            false => format!("{}; ask again: tacit worker status, or wait: --wait", waiting(&report)),
        };
        format!(
            "the worker takes nothing new, also when it is started again (tacit worker resume)\n{state}\n{}",
            stake(&report)
        )
    });
    Ok(())
}

fn waiting(report: &OwnerReport) -> String {
    let word = |what: &Waiting| match what {
        Waiting::Asks => "its asks are still on the ledger".to_owned(),
        Waiting::Requests => "requests still run".to_owned(),
        Waiting::Settlement => format!("{} coins are to be settled", report.money.unsettled),
        Waiting::Anchors => format!("{} receipts are to be anchored", report.money.unanchored),
        Waiting::Disputes => match report.audits.until_s {
            Some(until_s) if report.audits.open == 0 => format!(
                "answers that it gave may be disputed for another {}",
                span(until_s.saturating_sub(report.now_s))
            ),
            _ => format!("{} challenges are open", report.audits.open),
        },
        Waiting::Ledger => "the ledger does not answer".to_owned(),
    };
    let words: Vec<String> = report.waiting_for.iter().map(word).collect();
    format!("not yet to be stopped: {}", words.join(", "))
}

fn span(seconds: u64) -> String {
    format!("{} h {} min", seconds / 3600, seconds % 3600 / 60)
}

/// What is at stake, and how it comes home.
fn stake(report: &OwnerReport) -> String {
    let Some(stake) = &report.stake else { return "stake: the ledger does not answer".to_owned() };
    let home = match stake.release_at_s {
        Some(at) if stake.unbonding > Amount::ZERO => {
            format!(
                ", {} on the way home for another {}",
                stake.unbonding,
                span(at.saturating_sub(report.now_s))
            )
        }
        _ => String::new(),
    };
    let backing = format!("{} of it behind {} asks", stake.backing, stake.asks);
    let end = if report.drained_since_s.is_some() { " (home: tacit worker withdraw)" } else { "" };
    let more = span(stake.period_ends_s.saturating_sub(report.now_s));
    let covers = match stake.covered {
        Amount::ZERO => String::new(),
        covered => {
            format!(
                "\ncovers: {covered} of {} coins that clients may pay for audited answers; the next period is in {more}",
                stake.coverable
            )
        }
    };
    format!("stake: {} coins, {backing}{home}{end}{covers}", stake.bonded)
}

fn text(report: &OwnerReport, output: Output) -> String {
    let mut lines =
        vec![format!("worker {}, up {}", report.worker, span(report.now_s.saturating_sub(report.started_s)))];
    if report.drained_since_s.is_some() {
        lines.push(match report.safe_to_stop {
            true => "drained: it may be stopped".to_owned(),
            false => format!("drained; {}", waiting(report)),
        });
    }
    let head = format!(
        "{:<32} {:>9} {:>6} {:>10} {:>14} {:>14}",
        "model", "places", "busy", "requests", "first byte p50", "p99"
    );
    lines.push(output.paint(Style::Dim, &head));
    for model in &report.languages {
        let LanguageReport { name, places: Occupied { taken, most }, utilisation, requests, .. } = model;
        let wait = |ms: Option<f64>| ms.map_or("-".to_owned(), |ms| format!("{ms:.0} ms"));
        let away = if model.available { "" } else { "  its engine does not answer" };
        lines.push(format!(
            "{name:<32} {:>9} {:>4.0} % {requests:>10} {:>14} {:>14}{away}",
            format!("{taken}/{most}"),
            utilisation * 100.0,
            wait(model.first_byte_p50_ms),
            wait(model.first_byte_p99_ms)
        ));
    }
    lines.push(format!("jobs: {} of {} run or wait", report.jobs.taken, report.jobs.most));
    let refused: Vec<String> = report.refused.iter().map(|(code, count)| format!("{code} {count}")).collect();
    lines.push(format!(
        "refused: {}",
        if refused.is_empty() { "nothing".to_owned() } else { refused.join(", ") }
    ));
    let money = &report.money;
    let last = money.settled_at_s.map_or("not since it runs".to_owned(), |at| {
        format!("{} ago", span(report.now_s.saturating_sub(at)))
    });
    lines.push(format!(
        "coins: {} promised, {} settled (last: {last}), {} to be settled, {} given and not promised; {} receipts to be anchored",
        money.promised, money.settled, money.unsettled, money.unpromised, money.unanchored
    ));
    let audits = &report.audits;
    let until = audits.until_s.filter(|until| *until >= report.now_s).map_or(String::new(), |until| {
        format!("; answers may be disputed for another {}", span(until.saturating_sub(report.now_s)))
    });
    lines.push(format!("challenges: {} open, {} lost{until}", audits.open, audits.lost));
    lines.push(stake(report));
    lines.join("\n")
}

/// Takes the stake home: first asks for all of it, later takes what has waited long enough.
pub(crate) async fn withdraw(arguments: &WorkerWithdraw, output: Output) -> Result<(), Failure> {
    let wallet = load(&arguments.key)?;
    let worker = wallet.address();
    let ledger = network::ledger(&arguments.ledger.url).await?;
    let asks = ledger.asks_of(worker).await.map_err(network::failure)?.len();
    if asks > 0 {
        let hint = "tacit worker drain takes the asks back, settles and anchors; withdraw after it";
        let message = format!("{asks} asks of this worker are on the ledger, and the stake is behind them");
        return Err(Failure::new("not_drained", message, hint));
    }
    let stake = ledger.stake_of(worker).await.map_err(network::failure)?;
    // A ledger on which nothing happens makes no blocks: its last one may be old.
    let here = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = ledger.block_time_s().await.map_err(network::failure)?.max(here);
    let (mut home, mut asked) = (Amount::ZERO, Amount::ZERO);
    let (bonded, unbonding) = (Amount(stake.bonded), Amount(stake.unbonding));
    if unbonding > Amount::ZERO && stake.releaseAt <= now {
        ledger.withdraw_stake(&wallet).await.map_err(network::failure)?;
        home = unbonding;
    }
    if bonded > Amount::ZERO {
        ledger.unbond(&wallet, bonded).await.map_err(network::failure)?;
        asked = bonded;
    }
    let left = ledger.stake_of(worker).await.map_err(network::failure)?;
    let release_at = (left.unbonding > 0).then_some(left.releaseAt);
    let result = json!({
        "worker": worker, "came_home": home, "asked_back": asked, "unbonding": Amount(left.unbonding), "release_at": release_at,
    });
    output.data(&result, || match release_at {
        None if home > Amount::ZERO => format!("{home} coins came home; nothing is at stake any more"),
        None => "nothing is at stake".to_owned(),
        Some(at) => format!(
            "{} coins come home in {}: say `tacit worker withdraw` again then. Until then they are lost if the worker is convicted of a false answer",
            Amount(left.unbonding),
            span(at.saturating_sub(now))
        ),
    });
    Ok(())
}
