//! Source rules: no floats or hash-order in the crates that must agree everywhere, no roots of hardware but the vendors' in the commands, no
//! unfinished-work markers anywhere.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Folders whose non-test code must give the same answer on every machine.
const DETERMINISTIC: &[&str] = &[
    "crates/tacit-graph/src",
    "crates/tacit-verify/src",
    "crates/tacit-abi/src",
    "crates/tacit-yuma/src",
    "crates/tacit-modules/src",
    "crates/tacit-ledger/src",
    "crates/tacit-light/src",
    "crates/tacit-nvidia/src",
    "crates/tacit-attest/src",
    "crates/tacit-policy/src",
    "crates/tacit-consensus/src",
    "crates/tacit-market/src",
];

/// What would have hardware believed under other roots than the vendors', or at another time: for tests. No command may name it.
const ROOTS: &[&str] = &["trusting", "verify_bundle_under", "verify_stream_under", "with_nvidia"];
const COMMANDS: &str = "crates/tacit-cli/src";

/// Where floats are the subject: reading float models, choosing scales, reporting scores; figures of security in bits; in which order workers are asked, and measuring
/// answers of float engines.
/// Nothing in these files decides what a published graph computes or whether a proof is accepted.
const FLOAT_EDGES: &[&str] = &[
    "tacit-graph/src/import/",
    "tacit-graph/src/raw.rs",
    "tacit-graph/src/answer.rs",
    "tacit-graph/src/file.rs",
    "tacit-market/src/health.rs",
    "tacit-market/src/likeness.rs",
    "tacit-market/src/routing.rs",
];

pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for folder in ["crates", "xtask/src"] {
        for file in rust_files(&root.join(folder))? {
            let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
            let deterministic =
                DETERMINISTIC.iter().any(|folder| name.starts_with(folder)) && !name.contains("/tests");
            let float_edge = FLOAT_EDGES.iter().any(|edge| name.contains(edge));
            for (number, line) in text.lines().enumerate() {
                if line.trim_start().starts_with("#[cfg(test)]") {
                    break;
                }
                let code = line.split("//").next().unwrap_or_default();
                let place = || format!("{name}:{}", number + 1);
                if deterministic && !float_edge && ["f32", "f64"].iter().any(|word| has_word(code, word)) {
                    findings.push(format!("{} uses a float", place()));
                }
                if deterministic && ["HashMap", "HashSet"].iter().any(|word| has_word(code, word)) {
                    findings
                        .push(format!("{} uses a hash map, whose order differs from run to run", place()));
                }
                if name.starts_with(COMMANDS) && ROOTS.iter().any(|word| has_word(code, word)) {
                    findings.push(format!("{} believes hardware under roots of its own", place()));
                }
                if ["TODO", "FIXME", "XXX"].iter().any(|word| has_word(line, word))
                    && !name.starts_with("xtask")
                {
                    findings.push(format!("{} holds an unfinished-work marker", place()));
                }
            }
        }
    }
    Ok(findings)
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let before = line[..start].chars().next_back().is_some_and(is_name);
        let after = line[start + word.len()..].chars().next().is_some_and(is_name);
        !before && !after
    })
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut queue) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = queue.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() && path.file_name().is_none_or(|name| name != "target" && name != "node_modules")
            {
                queue.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
