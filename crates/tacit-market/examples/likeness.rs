//! How well auditors tell answers of the right model from others: reads records of `bench/likeness/measure.py`, and prints one JSON object for each auditor's engine and each kind of worker.
//!
//! ```text
//! cargo run --release -p tacit-market --example likeness -- RECORDS.jsonl...
//! ```
//!
//! Thresholds are one and a half times the largest figures of honest workers under all engines that are in the files, whatever the auditor's, over even prompts; detection is over odd ones, so that no answer
//! is judged by a threshold that it made.

use std::{collections::BTreeMap, io::Write};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::json;
use tacit_market::likeness::{Likeness, Step, Thresholds, likeness};

#[derive(Deserialize)]
struct Record {
    auditor: String,
    variant: String,
    prompt: u64,
    positions: Vec<Position>,
}

#[derive(Deserialize)]
struct Position {
    token: u32,
    committed: Vec<(u32, f64)>,
    again: Vec<(u32, f64)>,
}

/// Of honest workers' largest figures.
const ROOM: f64 = 1.5;

fn main() -> Result<()> {
    let mut all: BTreeMap<(String, String), Vec<(u64, Likeness)>> = BTreeMap::new();
    for file in std::env::args().skip(1) {
        for line in std::fs::read_to_string(file)?.lines() {
            let Record { auditor, variant, prompt, positions } = serde_json::from_str(line)?;
            let step = |Position { token, committed, again }: Position| Step { token, committed, again };
            let steps: Vec<Step> = positions.into_iter().map(step).collect();
            let found = likeness(&steps).context("an answer without steps")?;
            all.entry((auditor, variant)).or_default().push((prompt, found));
        }
    }
    anyhow::ensure!(!all.is_empty(), "usage: likeness RECORDS.jsonl...");
    let honest = |name: &str| name.starts_with("honest");
    let figures = all.iter().filter(|((_, name), _)| honest(name)).flat_map(|(_, answers)| answers);
    let figures: Vec<Likeness> =
        figures.filter(|(prompt, _)| prompt % 2 == 0).map(|(_, likeness)| *likeness).collect();
    let largest = |of: &dyn Fn(&Likeness) -> f64| figures.iter().map(of).fold(0.0, f64::max) * ROOM;
    let thresholds =
        Thresholds { distance_max: largest(&|one| one.distance), gap_max: largest(&|one| one.gap) };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", json!({"distance_max": thresholds.distance_max, "gap_max": thresholds.gap_max}))?;
    for ((auditor, name), answers) in &all {
        let judged: Vec<Likeness> =
            answers.iter().filter(|(prompt, _)| prompt % 2 == 1).map(|(_, likeness)| *likeness).collect();
        let share = |found: &dyn Fn(&Likeness) -> bool| {
            judged.iter().filter(|one| found(one)).count() as f64 / judged.len().max(1) as f64
        };
        let detection = share(&|one| !one.passes(thresholds));
        // Of workers that answer so one time in ten, after so many audits.
        let caught = |audits: i32| 1.0 - (1.0 - 0.1 * detection).powi(audits);
        let median = |of: &dyn Fn(&Likeness) -> f64| {
            let mut values: Vec<f64> = judged.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        let row = json!({
            "auditor": auditor,
            "worker": name,
            "answers": judged.len(),
            "distance_median": median(&|one| one.distance),
            "distance_max": judged.iter().map(|one| one.distance).fold(0.0, f64::max),
            "gap_median": median(&|one| one.gap),
            "gap_max": judged.iter().map(|one| one.gap).fold(0.0, f64::max),
            "found_by_distance": share(&|one| one.distance > thresholds.distance_max),
            "found_by_gap": share(&|one| one.gap > thresholds.gap_max),
            "found": detection,
            "caught_at_one_in_ten": {"10": caught(10), "47": caught(47), "100": caught(100)},
        });
        writeln!(out, "{row}")?;
    }
    Ok(())
}
