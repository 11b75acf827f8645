//! `cargo xtask mutate`: does some test fail when a check of the proof verifier is gone?
//!
//! Every check of `tacit-verify` is found in its source by the patterns below and made conditional in a copy of the
//! crates under the target directory: `if on(17) { check }`. The copy is compiled once; then the tests of the verifier
//! and the prover run once for each check, with that check switched off by the environment. A mutant is caught when
//! a test fails. `docs/mutation.md` lists all of them; a survivor that [`EQUIVALENT`] does not explain is an error.
//!
//! # Patterns
//! Each matches a whole statement by how it starts, outside `#[cfg(test)]`:
//! - *demand*: a call whose value is dropped, `f(..)?;` (all `assert_zero`, `finish`, `report`): its error is ignored;
//! - *refusal*: `return Err(..);` is skipped, and an `Err(..)` that a function ends with becomes `Ok` of a default;
//! - *inverse*: `.try_inverse().ok_or(..)?` becomes zero when there is none;
//! - *absorption*: a statement that feeds a hash or the transcript is skipped;
//! - *claim*: a statement that queues a claim to be checked later is skipped;
//! - *factor*: `name *= ..;` and `name += ..;` are skipped.
//!
//! Refusals that only exist because a type demands a value (`let .. else`, `ok_or` of a reader) cannot be removed and are
//! not counted.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, mpsc::RecvTimeoutError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// Why one of two checks can be switched off.
const SAME_COUNT: &str =
    "there are as many leaves as committed values, so that either check refuses what the other does";

/// Mutants that change nothing that a test could see: function, part of the statement, why.
const EQUIVALENT: &[(&str, &str, &str)] = &[
    ("place_columns", "WitnessTooLarge", SAME_COUNT),
    ("place_leaves", "WitnessTooLarge", SAME_COUNT),
    ("lay_out", "place_columns", SAME_COUNT),
    ("lay_out", "place_leaves", SAME_COUNT),
    (
        "committed_rows",
        "gamma.try_inverse()",
        "a challenge of zero has probability 2^-155 and cannot be produced by a test",
    ),
    ("combine", "last.coefficient", "a valid graph has no coefficient that is zero in the field"),
    ("batch_digest", "salts.len()", "digests are of one length and end where the hash ends"),
    (
        "list",
        "Reject::Truncated",
        "a list ends where the bytes end all the same; asking first saves the time, and memory is not taken before",
    ),
];

/// One check that can be switched off.
#[derive(Debug)]
struct Site {
    number: usize,
    file: String,
    function: String,
    kind: &'static str,
    text: String,
}

/// Tests of one crate.
#[derive(Debug)]
struct Suite {
    program: PathBuf,
    folder: PathBuf,
}

/// Finds, switches off, runs, reports.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let jobs = match arguments {
        [_] => 2,
        [_, flag, jobs] if flag == "--jobs" => jobs.parse::<usize>().context("--jobs takes a number")?,
        _ => bail!("usage: cargo xtask mutate [--jobs N]"),
    };
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let copy = target.join("mutation");
    let sites = copy_workspace(root, &copy)?;
    let suites = build(&copy, &target)?;
    if let Some(test) = failure(&suites, 0, MOST)? {
        bail!("{test} fails with every check in place");
    }
    let started = Instant::now();
    let queue: Mutex<VecDeque<&Site>> = Mutex::new(sites.iter().collect());
    let caught: Mutex<Vec<(usize, Option<String>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| -> Result<()> {
        let work = || -> Result<()> {
            loop {
                let next = queue.lock().ok().and_then(|mut queue| queue.pop_front());
                let Some(site) = next else { return Ok(()) };
                let likely = likely(&site.file);
                let passes = [likely, MOST, REST];
                let test = passes.iter().find_map(|pass| failure(&suites, site.number, pass).transpose());
                let test = test.transpose()?;
                if let Ok(mut caught) = caught.lock() {
                    caught.push((site.number, test));
                }
            }
        };
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(_) => bail!("a worker panicked"),
        })
    })?;
    let mut caught = caught.into_inner().unwrap_or_default();
    caught.sort_unstable_by_key(|(number, _)| *number);
    let (report, unexplained) = report(&sites, &caught);
    fs::write(root.join("docs/mutation.md"), report)?;
    if unexplained.is_empty() {
        return Ok(());
    }
    bail!("after {:?}, nobody misses:\n  {}", started.elapsed(), unexplained.join("\n  "))
}

/// The three crates that a proof takes, in a workspace of their own, with every check of the verifier conditional.
fn copy_workspace(root: &Path, copy: &Path) -> Result<Vec<Site>> {
    let mut sites = Vec::new();
    let mut written = BTreeSet::new();
    for folder in CRATES.iter().map(|name| Path::new("crates").join(name)) {
        for file in files_under(&root.join(&folder))? {
            let name = file.strip_prefix(root)?;
            let mut bytes = fs::read(&file)?;
            if let Ok(source) = name.strip_prefix("crates/tacit-verify/src")
                && source.file_name().is_some_and(|name| name != "tests.rs")
            {
                let code = rewrite(&String::from_utf8(bytes)?, &source.to_string_lossy(), &mut sites);
                bytes = code.replacen("pub mod batch;", "mod mutant;\npub mod batch;", 1).into_bytes();
            }
            written.insert(put(copy, name, &bytes)?);
        }
    }
    written.insert(put(copy, Path::new("crates/tacit-verify/src/mutant.rs"), MUTANT.as_bytes())?);
    for stale in files_under(&copy.join("crates"))?.iter().filter(|file| !written.contains(*file)) {
        fs::remove_file(stale)?;
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let lines = manifest.lines().map(|line| match line.split(' ').next() {
        Some("members") => "members = [\"crates/*\"]",
        Some("default-members") => "",
        _ => line,
    });
    put(copy, Path::new("Cargo.toml"), lines.collect::<Vec<_>>().join("\n").as_bytes())?;
    put(copy, Path::new("Cargo.lock"), &fs::read(root.join("Cargo.lock"))?)?;
    // With the flags of the workspace, so that dependencies compiled for it are taken as they are.
    let flags = Path::new(".cargo/config.toml");
    put(copy, flags, &fs::read(root.join(flags))?)?;
    Ok(sites)
}

/// Writes a file unless it is there already: what has not changed is not compiled again.
fn put(copy: &Path, name: &Path, bytes: &[u8]) -> Result<PathBuf> {
    let target = copy.join(name);
    if fs::read(&target).ok().as_deref() != Some(bytes) {
        fs::create_dir_all(target.parent().context("a file lies in a folder")?)?;
        fs::write(&target, bytes)?;
    }
    Ok(target)
}

fn files_under(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "fuzz") {
                files.extend(files_under(&path)?);
            }
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Makes every check of a source file conditional.
fn rewrite(source: &str, file: &str, sites: &mut Vec<Site>) -> String {
    let tests = source.find("#[cfg(test)]\nmod tests").unwrap_or(source.len());
    let (code, tests) = source.split_at(tests);
    let mut out = String::new();
    let mut function = String::new();
    let mut rest = code;
    while !rest.is_empty() {
        let line = rest.split_inclusive('\n').next().unwrap_or(rest);
        if let Some(name) = function_name(line) {
            function = name.to_owned();
        }
        let start = line.trim_start();
        let length = statement(rest.trim_start_matches(' ')).map(|length| length + line.len() - start.len());
        if let (Some(kind), Some(length)) = (kind(start, &rest[..length.unwrap_or(0)], &out), length) {
            let text = rest[..length].trim();
            let number = add(sites, file, &function, kind, text);
            let on = format!("crate::mutant::on({number})");
            match kind {
                "demand" => {
                    let call = text.strip_suffix("?;").unwrap_or(text);
                    let _ = write!(out, "if {on} {{ {text} }} else {{ let _ = {call}; }}");
                }
                _ => {
                    let _ = write!(out, "if {on} {{ {text} }}");
                }
            }
            rest = &rest[length..];
            continue;
        }
        out.push_str(&within(line, file, &function, sites));
        rest = &rest[line.len()..];
    }
    out + tests
}

fn add(sites: &mut Vec<Site>, file: &str, function: &str, kind: &'static str, text: &str) -> usize {
    let number = sites.len() + 1;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    sites.push(Site { number, file: file.to_owned(), function: function.to_owned(), kind, text });
    number
}

fn function_name(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let visible = ["pub(crate) ", "pub(super) ", "pub "].iter().find_map(|words| line.strip_prefix(words));
    visible.unwrap_or(line).strip_prefix("fn ")?.split(['(', '<']).next()
}

/// Length of the statement that starts here, up to its semicolon; `None` when it is no simple statement.
fn statement(code: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, character) in code.char_indices() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            ';' if depth == 0 => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Which pattern a statement matches, if any; `before` is the code in front of it.
fn kind(start: &str, whole: &str, before: &str) -> Option<&'static str> {
    let whole = whole.trim();
    // Not in the middle of an expression.
    let code =
        before.trim_end().lines().rev().find(|line| !line.trim_start().starts_with("//")).unwrap_or("");
    if !code.is_empty() && !code.trim_end().ends_with([';', '{', '}']) || whole.contains("{\n") {
        return None;
    }
    if start.starts_with("return Err(") {
        // The other half of a `let` has to leave.
        let of_let = code.contains("let ") && code.trim_end().ends_with("else {") && !code.contains("if ");
        return (!of_let).then_some("refusal");
    }
    if ABSORPTIONS.iter().any(|prefix| start.starts_with(prefix)) {
        return Some("absorption");
    }
    if CLAIMS.iter().any(|prefix| start.starts_with(prefix)) {
        return Some("claim");
    }
    let name: String = start.chars().take_while(|c| c.is_alphanumeric() || "_.:".contains(*c)).collect();
    let after = &start[name.len()..];
    if name.is_empty() || !name.starts_with(|c: char| c.is_lowercase()) {
        return None;
    }
    if after.starts_with(" *= ") || after.starts_with(" += ") {
        return Some("factor");
    }
    (after.starts_with('(') && whole.ends_with(")?;")).then_some("demand")
}

/// Refusals and inverses inside a line.
fn within(line: &str, file: &str, function: &str, sites: &mut Vec<Site>) -> String {
    if line.trim_start().starts_with("//") {
        return line.to_owned();
    }
    if let Some(at) = line.find(".try_inverse().ok_or(") {
        let number = add(sites, file, function, "inverse", line);
        let (head, tail) = line.split_at(at + ".try_inverse()".len());
        return format!("{head}.or_else(|| crate::mutant::zero({number})){tail}");
    }
    let demand = line.trim();
    if demand.starts_with("context.assert_zero(") && demand.ends_with(')') {
        let number = add(sites, file, function, "demand", line);
        return format!("if crate::mutant::on({number}) {{ {demand} }} else {{ Ok(()) }}\n");
    }
    for pattern in ["Err(Reject::", "Err(reject)"] {
        let Some(at) = line.find(pattern) else { continue };
        let (head, tail) = line.split_at(at);
        let Some(length) = closing(tail) else { continue };
        if head.contains("return ") || head.contains("let ") || head.contains("map_err") {
            continue;
        }
        let number = add(sites, file, function, "refusal", line);
        let (error, tail) = tail.split_at(length);
        let on = format!("crate::mutant::on({number})");
        return format!("{head}if {on} {{ {error} }} else {{ Ok(Default::default()) }}{tail}");
    }
    line.to_owned()
}

/// Length up to the bracket that closes the first one.
fn closing(code: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, character) in code.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Compiles the tests of the copy.
fn build(copy: &Path, target: &Path) -> Result<Vec<Suite>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "test",
            "--offline",
            "--no-run",
            "--message-format=json",
            "-p",
            "tacit-verify",
            "-p",
            "tacit-prove",
        ])
        .args(["--lib", "--test", "soundness", "--test", "it"])
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", target)
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo")?;
    let (mut suites, mut errors) = (Vec::new(), String::new());
    for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let message: serde_json::Value = serde_json::from_slice(line)?;
        if message["message"]["level"] == "error" {
            errors.push_str(message["message"]["rendered"].as_str().unwrap_or_default());
        }
        let (Some(program), Some(manifest)) =
            (message["executable"].as_str(), message["manifest_path"].as_str())
        else {
            continue;
        };
        let folder = Path::new(manifest).parent().context("a manifest has a folder")?.to_path_buf();
        let attacks = message["target"]["name"] == "soundness";
        let suite = Suite { program: PathBuf::from(program), folder };
        // Attacks find most.
        suites.insert(if attacks { 0 } else { suites.len() }, suite);
    }
    if !output.status.success() || suites.len() != 4 {
        bail!("the copy does not compile:\n{errors}");
    }
    Ok(suites)
}

/// Runs the tests with one check off; gives the first test that fails.
fn failure(suites: &[Suite], number: usize, tests: &[&str]) -> Result<Option<String>> {
    for suite in suites {
        let mut child = Command::new(&suite.program)
            .args(tests)
            .args(["--test-threads", "1"])
            .current_dir(&suite.folder)
            .env("TACIT_MUTANT", number.to_string())
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = child.stdout.take().context("piped")?;
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // Ends when the program does, or when nobody listens.
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut found = None;
        while found.is_none() {
            found = match lines.recv_timeout(LONGEST) {
                Ok(line) => line
                    .strip_prefix("test ")
                    .and_then(|line| line.strip_suffix(" ... FAILED"))
                    .map(str::to_owned),
                Err(RecvTimeoutError::Timeout) => Some("no end".to_owned()),
                Err(RecvTimeoutError::Disconnected) => break,
            };
        }
        if found.is_some() {
            child.kill()?;
        }
        let status = child.wait()?;
        if found.is_some() || !status.success() {
            return Ok(Some(found.unwrap_or_else(|| "a test that ends the program".to_owned())));
        }
    }
    Ok(None)
}

/// The tests that are likely to miss a check of this file.
fn likely(file: &str) -> &'static [&'static str] {
    match file {
        file if file.starts_with("plan/") => &["plan::"],
        "bits.rs" => &["bits::", "the_budget"],
        "multilinear.rs" => &["multilinear::"],
        "reader.rs" => &["reader::", "field_elements"],
        "sumcheck.rs" => &["sumcheck::"],
        "rows.rs" => &["committed::", "batches::", "transcript::"],
        "statement.rs" => {
            &["transcript::", "committed::", "batches::", "statements", "headers", "a_level", "extended"]
        }
        "commitment.rs" | "context.rs" => &["transcript::"],
        "cost.rs" => &["cost"],
        "masked.rs" | "inner.rs" | "inner_shape.rs" | "hiding.rs" | "hiding_shape.rs" | "oracle.rs"
        | "proximity.rs" | "zero_knowledge.rs" => &[
            "inner::",
            "hiding",
            "proximity::",
            "zero_knowledge::tests::",
            "zero_knowledge::a_proof",
            "zero_knowledge::an_",
            "zero_knowledge::every_column",
            "zero_knowledge::more",
            "zero_knowledge::parts",
            "zero_knowledge::the_",
        ],
        _ => &["operators::", "--skip", "every_byte_is_bound"],
    }
}

/// The table, and the survivors that nothing explains.
fn report(sites: &[Site], caught: &[(usize, Option<String>)]) -> (String, Vec<String>) {
    let survivors: Vec<&Site> = sites
        .iter()
        .filter(|site| caught.iter().any(|(number, test)| *number == site.number && test.is_none()))
        .collect();
    let mut out = String::from(HEADER);
    let _ = writeln!(out, "{} checks, {} survive.\n", sites.len(), survivors.len());
    let mut unexplained = Vec::new();
    if !survivors.is_empty() {
        out.push_str("## Survivors\n\n| where | what | why that is right |\n|---|---|---|\n");
    }
    for site in &survivors {
        let reason = EQUIVALENT
            .iter()
            .find(|(function, text, _)| *function == site.function && site.text.contains(text))
            .map(|(_, _, reason)| *reason);
        if reason.is_none() {
            unexplained.push(format!("{} {}: {}", site.file, site.function, site.text));
        }
        let Site { file, function, .. } = site;
        let _ = writeln!(
            out,
            "| `{file}` `{function}` | `{}` | {} |",
            shown(&site.text),
            reason.unwrap_or("**not explained**")
        );
    }
    out.push_str("\n## All\n\n| where | kind | what | first test that fails |\n|---|---|---|---|\n");
    for site in sites {
        let test =
            caught.iter().find(|(number, _)| *number == site.number).and_then(|(_, test)| test.as_deref());
        let Site { file, function, kind, text, .. } = site;
        let _ = writeln!(
            out,
            "| `{file}` `{function}` | {kind} | `{}` | {} |",
            shown(text),
            test.map_or_else(|| "none".to_owned(), |test| format!("`{test}`"))
        );
    }
    (out, unexplained)
}

/// A statement short enough for a table.
fn shown(text: &str) -> String {
    let text = text.replace('|', "\\|");
    if text.chars().count() <= 90 { text } else { text.chars().take(89).chain(['…']).collect() }
}

const CRATES: &[&str] = &["tacit-graph", "tacit-verify", "tacit-prove"];
const ABSORPTIONS: &[&str] = &[
    "observe(",
    "weights.observe(",
    "scheme.observe(",
    "hasher.update(",
    "length(&mut hasher",
    "state.extend_from_slice(",
    "challenger.observe(",
    "polynomial.iter().for_each(|value| observe(",
    "FieldChallenger::",
    "<Pcs as MultilinearPcs",
];
const CLAIMS: &[&str] = &[
    "state.push(",
    "self.push(",
    "claims.push(",
    "state.witness.push(",
    "state.weights.push(",
    "self.witness.push(",
    "self.weights.push(",
];
/// Arguments of the test programs that leave out what takes long: loops over every byte and over random graphs, which
/// say less about one check than the tests that name it.
const MOST: &[&str] = &[
    "--skip",
    "every_byte_is_bound",
    "--skip",
    "every_part_is_bound",
    "--skip",
    "mutated_proofs_are_refused",
    "--skip",
    "arbitrary_bytes_are_refused",
    "--skip",
    "truncated_and_extended",
    "--skip",
    "random_graphs_are_proved",
    "--skip",
    "dense_networks_are_proved",
    "--skip",
    "every_row_of_a_batch",
    "--skip",
    "real_and_simulated",
    "--skip",
    "secrecy::",
    "--skip",
    "a_flood_of_siblings",
    "--skip",
    "shortened_and_lengthened",
    "--skip",
    "a_simulator_without_witness",
];
/// Those of them that are worth their time for what is left.
const REST: &[&str] = &[
    "a_flood_of_siblings",
    "shortened_and_lengthened",
    "a_simulator_without_witness",
    "every_part_is_bound",
];
/// Longer than any test takes, even on a busy machine.
const LONGEST: Duration = Duration::from_secs(240);
const HEADER: &str = "# Checks of the proof verifier\n\n\
    Written by `cargo xtask mutate`: each check of `tacit-verify` is switched off in turn, and some test of the verifier or \
    the prover has to fail. Patterns: `xtask/src/mutation.rs`.\n\n";
const MUTANT: &str = r#"//! Which check is off.

use std::sync::LazyLock;

static OFF: LazyLock<u32> =
    LazyLock::new(|| std::env::var("TACIT_MUTANT").ok().and_then(|number| number.parse().ok()).unwrap_or(0));

pub(crate) fn on(number: u32) -> bool {
    *OFF != number
}

pub(crate) fn zero<T: Default>(number: u32) -> Option<T> {
    (!on(number)).then(T::default)
}
"#;
