//! Every dependency must offer terms that an MIT/Apache project can pass on.

use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::Path;

/// Accepted SPDX identifiers; of an `OR` one must be here, of an `AND` all.
const ACCEPTED: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "CC0-1.0",
    "Unlicense",
    "0BSD",
    "BSL-1.0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "CDLA-Permissive-2.0",
];

/// Crates whose terms grant no patent rights and that are behind an option nobody gets without asking, with those terms (see NOTICE).
const OPTIONAL: &[&str] = &[
    "tfhe",
    "tfhe-csprng",
    "tfhe-fft",
    "tfhe-ntt",
    "tfhe-safe-serialize",
    "tfhe-versionable",
    "tfhe-versionable-derive",
];
const OPTIONAL_TERMS: &str = "BSD-3-Clause-Clear";
/// The option: a package and its feature.
const OPTION: (&str, &str) = ("tacit-encrypt", "pbs");

/// `cargo tree` rather than `cargo metadata`: the latter also lists packages behind options nobody turned on.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let mut findings = findings(&tree(root, &["--workspace"])?, &[]);
    let (package, feature) = OPTION;
    findings.extend(self::findings(&tree(root, &["--package", package, "--features", feature])?, OPTIONAL));
    Ok(findings)
}

/// Packages with their terms, one a line.
fn tree(root: &Path, which: &[&str]) -> Result<String> {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--target", "all", "--edges", "normal,build,dev", "--locked"])
        .args(["--prefix", "none", "--format", "{p}\t{l}"])
        .args(which)
        .current_dir(root)
        .output()
        .context("running cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Packages without terms that are accepted, or that are allowed to be `optional`.
fn findings(tree: &str, optional: &[&str]) -> Vec<String> {
    let lines: BTreeSet<&str> = tree.lines().filter(|line| !line.is_empty()).collect();
    let findings = lines.iter().filter_map(|line| {
        let (package, expression) = line.trim_end_matches(" (*)").split_once('\t')?;
        let name = package.split(' ').next().unwrap_or_default();
        let allowed = optional.contains(&name) && expression == OPTIONAL_TERMS;
        (!acceptable(expression) && !allowed).then(|| format!("{package} is licensed {expression:?}"))
    });
    findings.collect()
}

/// Evaluates `A OR (B AND C)`, with the old `/` for `OR`.
fn acceptable(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens = Vec::<String>::new();
    for word in spaced.split_whitespace() {
        match (word, tokens.last_mut()) {
            ("WITH", Some(last)) => last.push_str(" WITH"),
            (word, Some(last)) if last.ends_with(" WITH") => {
                last.push(' ');
                last.push_str(word);
            }
            (word, _) => tokens.push(word.to_owned()),
        }
    }
    let mut at = 0;
    any_of(&tokens, &mut at) && at == tokens.len()
}

fn any_of(tokens: &[String], at: &mut usize) -> bool {
    let mut accepted = all_of(tokens, at);
    while tokens.get(*at).is_some_and(|token| token == "OR") {
        *at += 1;
        accepted |= all_of(tokens, at);
    }
    accepted
}

fn all_of(tokens: &[String], at: &mut usize) -> bool {
    let mut accepted = single(tokens, at);
    while tokens.get(*at).is_some_and(|token| token == "AND") {
        *at += 1;
        accepted &= single(tokens, at);
    }
    accepted
}

fn single(tokens: &[String], at: &mut usize) -> bool {
    let Some(token) = tokens.get(*at) else { return false };
    *at += 1;
    if token != "(" {
        return ACCEPTED.contains(&token.as_str());
    }
    let accepted = any_of(tokens, at);
    let closed = tokens.get(*at).is_some_and(|token| token == ")");
    *at += 1;
    accepted && closed
}

#[cfg(test)]
mod tests {
    use super::{acceptable, findings};

    #[test]
    fn terms_without_patents_are_for_an_option_alone() {
        let tree = "tfhe v1.8.2\tBSD-3-Clause-Clear\nserde v1\tMIT OR Apache-2.0\nother v1\tBSD-3-Clause-Clear (*)\n";
        let named = |found: Vec<String>, names: &[&str]| {
            assert_eq!(found.len(), names.len(), "{found:?}");
            assert!(found.iter().zip(names).all(|(found, name)| found.starts_with(name)), "{found:?}");
        };
        named(findings(tree, &[]), &["other v1", "tfhe v1.8.2"]);
        named(findings(tree, &["tfhe"]), &["other v1"]);
        // With other terms it is like any other package.
        named(findings("tfhe v2\tGPL-3.0", &["tfhe"]), &["tfhe v2"]);
    }

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        assert!(acceptable("MIT OR Apache-2.0"));
        assert!(acceptable("MIT/Apache-2.0"));
        assert!(acceptable("GPL-3.0 OR MIT"));
        assert!(acceptable("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(acceptable("CC0-1.0 OR Apache-2.0 OR Apache-2.0 WITH LLVM-exception"));
        assert!(!acceptable("GPL-3.0-only"));
        assert!(!acceptable("MIT AND GPL-3.0"));
        assert!(!acceptable("(MIT OR GPL-3.0) AND MPL-2.0"));
        assert!(!acceptable(""));
    }
}
