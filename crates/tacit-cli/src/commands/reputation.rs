//! `tacit worker reputation`: what a worker's past is worth, with every fact that it is made of, from the ledger alone.

use crate::args::WorkerReputation;
use crate::failure::{Context, Failure};
use crate::network;
use crate::output::Output;
use serde_json::{Value, json};
use tacit_wire::Amount;
use tacit_wire::ledger::{HistoryError, WorkerHistory};

pub(crate) async fn reputation(arguments: &WorkerReputation, output: Output) -> Result<(), Failure> {
    let WorkerReputation { worker, block, ledger } = arguments;
    let worker = worker.parse().failed(
        "bad_address",
        format!("{worker:?} is no address"),
        "an address is 0x and 40 hex digits: `tacit model list --json` names workers",
    )?;
    let ledger = network::ledger(&ledger.url).await?;
    let history = ledger.history_of(worker, *block).await.map_err(|error| match error {
        HistoryError::Ledger(error) => {
            let mut failure = network::failure(error);
            if failure.hint.is_empty() {
                failure.hint = HINT.to_owned();
            }
            failure
        }
        error => Failure::new("history", error, "name an earlier block: --block"),
    })?;
    output.data(&told(&history), || text(&history));
    Ok(())
}

const HINT: &str = "ask a node that has every block since the first: one that began with a state has not";

fn told(history: &WorkerHistory) -> Value {
    let (facts, liveness, worth) = (&history.facts, &history.liveness, history.reputation());
    let settlements: Vec<Value> = facts
        .settlements
        .iter()
        .map(|settlement| json!({ "at_s": settlement.at_s, "burnt": Amount(settlement.burnt) }))
        .collect();
    json!({
        "worker": history.worker, "block": history.block, "block_hash": history.block_hash, "time_s": history.time_s,
        "reputation": Amount(worth.coins), "history": Amount(worth.history),
        "bonded": Amount(facts.bonded), "settlements": settlements,
        "passed": worth.passed, "passed_at_s": facts.passed_at_s, "failed_at_s": facts.failed_at_s,
        "hours_covered": facts.hours_covered, "hours_beaten": facts.hours_beaten,
        "since_s": some(liveness.since), "last_beat_s": some(liveness.lastBeat),
    })
}

fn text(history: &WorkerHistory) -> String {
    let (facts, liveness, worth) = (&history.facts, &history.liveness, history.reputation());
    let ago = |at_s: u64| {
        let minutes = history.time_s.saturating_sub(at_s) / 60;
        format!("{} h {} min before", minutes / 60, minutes % 60)
    };
    let failed = facts.failed_at_s.map_or("none was failed".to_owned(), |at_s| {
        format!("the last failed one, {}, ended what was before", ago(at_s))
    });
    let beat = some(liveness.lastBeat)
        .map_or("it never beat".to_owned(), |at_s| format!("the last beat {}", ago(at_s)));
    [
        format!("worker {} at block {} ({})", history.worker, history.block, history.block_hash),
        format!("reputation  {} coins", Amount(worth.coins)),
        format!(
            "burnt       {} coins as they count at that block, by {} settlements",
            Amount(worth.history),
            facts.settlements.len()
        ),
        format!("bonded      {} coins: no more counts of what was burnt", Amount(facts.bonded)),
        format!("audits      {} passed; {failed}", worth.passed),
        format!("there       {} of {} hours; {beat}", facts.hours_beaten, facts.hours_covered),
    ]
    .join("\n")
}

fn some(at_s: u64) -> Option<u64> {
    Some(at_s).filter(|at_s| *at_s > 0)
}
