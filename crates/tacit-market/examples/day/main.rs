//! A day of the market: ten thousand workers, some of them dishonest, under the crate's own routing, admission, audits and reputation. Seeded; the same seed gives the same day.
//!
//! ```text
//! cargo run --release -p tacit-market --example day -- --plots docs/market
//! ```
//!
//! prints one JSON object for each hour and a summary, for two days that differ in one thing: the terms of audits. In the first they are such that honesty is the best policy; in the second somebody
//! took cheating to save a twentieth of a price, where it saves most of it. `--seed N`, `--workers N`, `--requests N` choose another day. What the model is, and what it leaves out, is said in `docs/market.md`.

mod day;
mod money;
mod plot;
mod report;
mod world;

use std::{io::Write, path::PathBuf};

use anyhow::{Context, Result, bail};
use tacit_market::{Policy, Ratio, Terms};

use crate::{day::Day, world::Size};

fn main() -> Result<()> {
    let (size, plots) = arguments()?;
    let mut days = Vec::new();
    for (name, policy) in [("sound", sound()?), ("weak", weak()?)] {
        let mut day = Day::new(name, size, policy)?;
        let mut out = std::io::stdout().lock();
        while let Some(hour) = day.hour()? {
            writeln!(out, "{hour}")?;
        }
        writeln!(out, "{}", day.summary()?)?;
        days.push(day);
    }
    if let Some(folder) = plots {
        std::fs::create_dir_all(&folder)?;
        for (name, picture) in report::pictures(&days) {
            std::fs::write(folder.join(name), picture)?;
        }
    }
    Ok(())
}

/// What workers are audited by.
fn sound() -> Result<Policy> {
    Ok(Policy::new(Terms {
        intensity: Ratio::percent(400),
        exposure: Ratio::percent(50),
        gain: Ratio::ONE,
        detection: Ratio::percent(90),
        false_alarm: Ratio::ZERO,
        collusion: Ratio::percent(20),
        auditors: 2,
        margin: Ratio::percent(5),
        probation_audits: 20,
        surcharge: Ratio::percent(400),
    })?)
}

/// The same, by somebody who took cheating to save little.
fn weak() -> Result<Policy> {
    let terms = Terms { intensity: Ratio::percent(10), gain: Ratio::percent(5), ..*sound()?.terms() };
    Ok(Policy::new(terms)?)
}

fn arguments() -> Result<(Size, Option<PathBuf>)> {
    let mut size = Size { seed: 1, workers: 10_000, requests: 1_200_000 };
    let mut plots = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--seed" => size.seed = value.parse()?,
            "--workers" => size.workers = value.parse()?,
            "--requests" => size.requests = value.parse()?,
            "--plots" => plots = Some(PathBuf::from(value)),
            _ => bail!("usage: day [--seed N] [--workers N] [--requests N] [--plots FOLDER]"),
        }
    }
    if size.workers < 100 {
        bail!("a market of fewer than 100 workers is none");
    }
    Ok((size, plots))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const SMALL: Size = Size { seed: 7, workers: 500, requests: 30_000 };

    fn summary(policy: Policy) -> Value {
        let mut day = Day::new("test", SMALL, policy).unwrap();
        while day.hour().unwrap().is_some() {}
        day.summary().unwrap()
    }

    fn of(summary: &Value, strategy: &str, what: &str) -> f64 {
        summary["strategies"][strategy][what].as_f64().unwrap()
    }

    #[test]
    fn under_sound_terms_nobody_who_counts_cheats_and_who_does_loses() {
        let day = summary(sound().unwrap());
        assert_eq!(of(&day, "rational", "wrong"), 0.0);
        assert_eq!(of(&day, "honest", "convicted"), 0.0);
        for strategy in ["swap", "quantise", "truncate", "collude"] {
            assert!(of(&day, strategy, "saved") < of(&day, strategy, "lost"), "{strategy}");
        }
        assert_eq!(day["money_conserved"], true);
    }

    #[test]
    fn under_weak_terms_whoever_counts_cheats() {
        let day = summary(weak().unwrap());
        assert!(of(&day, "rational", "wrong") > of(&day, "rational", "answers") / 2.0);
        assert_eq!(of(&day, "honest", "convicted"), 0.0);
    }

    #[test]
    fn the_same_seed_gives_the_same_day() {
        assert_eq!(summary(sound().unwrap()), summary(sound().unwrap()));
    }
}
