//! Secret keys stay with the client: what is built for workers and ledger nodes holds no code that encrypts or decrypts.
//!
//! A command that is both client and worker, as `tacit` is, has the feature on for both; what is checked here is each crate alone.
//! So is that a light client carries no runtime: beside a validator, features of the libraries that they share bring one in.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// Crates that serve strangers.
pub(crate) const WITHOUT_SECRETS: &[&str] = &["tacit-worker", "tacit-node"];

/// The crate with secret keys in it, and the features that bring them in.
const ENCRYPT: &str = "tacit-encrypt";
const SECRET_FEATURES: &[&str] = &["client", "default"];
/// What may not be depended on directly: the client's door, and the library behind encrypted look-ups.
const FORBIDDEN: &[&str] = &["tacit-gateway", "tfhe"];

/// Crates that are pure functions when they are built alone, and what they must not carry then. Together with others, the library of curves brings more.
const PURE: &[(&str, &[&str])] = &[
    ("tacit-light", &["tokio", "rayon", "commonware-runtime"]),
    ("tacit-ledger", &["tokio", "commonware-runtime"]),
];

/// What pure crates carry all the same.
pub(crate) fn check_pure(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for (name, impure) in PURE {
        findings.extend(impurities(name, &tree(root, name)?, impure));
    }
    Ok(findings)
}

fn impurities(name: &str, tree: &str, impure: &[&str]) -> Vec<String> {
    let carried = |line: &str| line.split(' ').nth(1).is_some_and(|dependency| impure.contains(&dependency));
    let found = tree.lines().filter(|line| carried(line));
    let mut found: Vec<String> = found
        .map(|line| {
            format!("{name} carries {}: it is a pure function", line.split(' ').nth(1).unwrap_or_default())
        })
        .collect();
    found.dedup();
    found
}

pub(crate) fn check(root: &Path, crates: &[&str]) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for name in crates {
        findings.extend(findings_of(name, &tree(root, name)?)?);
    }
    Ok(findings)
}

/// Normal dependencies of one crate with the features that it alone gives them, as `depth name version …|features`.
fn tree(root: &Path, name: &str) -> Result<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", name, "--edges", "normal", "--prefix", "depth"])
        .args(["--format", " {p}|{f}", "--target", "all"])
        .current_dir(root)
        .output()
        .context("running cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).context("reading cargo tree")
}

fn findings_of(name: &str, tree: &str) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for line in tree.lines() {
        let (depth, rest) = line.split_once(' ').context("a line without depth")?;
        let (package, features) = rest.rsplit_once('|').context("a line without features")?;
        let dependency = package.split(' ').next().context("a line without a name")?;
        // A crate that appears again ends in a star.
        let enabled = features.trim_end_matches(" (*)").split(',');
        if depth == "0" && dependency != name {
            bail!("cargo tree speaks of {dependency}, not of {name}");
        }
        if depth == "1" && FORBIDDEN.contains(&dependency) {
            findings.push(format!("{name} depends on {dependency}: secrets stay with the client"));
        }
        if dependency == ENCRYPT {
            for feature in enabled.filter(|feature| SECRET_FEATURES.contains(feature)) {
                findings.push(format!("{name} enables {feature} of {ENCRYPT}: secrets stay with the client"));
            }
        }
    }
    findings.sort();
    findings.dedup();
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_below_a_pure_crate_is_found() {
        let lines = ["0 tacit-light v0.1.0 (/x)|", "1 bytes v1.0.0|std", "2 tokio v1.54.1|rt"];
        let found = impurities("tacit-light", &lines.join("\n"), &["tokio"]);
        assert_eq!(found, ["tacit-light carries tokio: it is a pure function"]);
        assert!(impurities("tacit-light", &lines[..2].join("\n"), &["tokio"]).is_empty());
    }

    #[test]
    fn a_secret_feature_is_found_wherever_it_is_enabled() {
        let lines = [
            "0 tacit-worker v0.1.0 (/x)|",
            "1 tacit-encrypt v0.1.0 (/x)|",
            "1 tacit-wire v0.1.0 (/x)|",
            "2 tacit-encrypt v0.1.0 (/x)| (*)",
        ];
        assert!(findings_of("tacit-worker", &lines.join("\n")).unwrap().is_empty());
        for (at, line) in
            [(1, "1 tacit-encrypt v0.1.0 (/x)|client,pbs"), (3, "2 tacit-encrypt v0.1.0 (/x)|default (*)")]
        {
            let mut lines = lines;
            lines[at] = line;
            assert_eq!(findings_of("tacit-worker", &lines.join("\n")).unwrap().len(), 1, "{line}");
        }
        for (line, expected) in [("1 tfhe v1.8.2|", 1), ("2 tfhe v1.8.2|", 0), ("1 tacit-gateway v0.1.0|", 1)]
        {
            let tree = [lines[0], line].join("\n");
            assert_eq!(findings_of("tacit-worker", &tree).unwrap().len(), expected, "{line}");
        }
        assert!(findings_of("tacit-node", lines[0]).is_err(), "another crate's tree says nothing");
    }

    /// The gateway is the client's: if the check did not see the feature there, it would not see it in a worker.
    #[test]
    fn the_check_sees_the_gateways_secrets_and_none_in_workers_and_nodes() {
        let root = crate::workspace_root().unwrap();
        assert_eq!(check(&root, WITHOUT_SECRETS).unwrap(), [] as [String; 0]);
        let found = check(&root, &["tacit-gateway"]).unwrap();
        assert_eq!(found, ["tacit-gateway enables client of tacit-encrypt: secrets stay with the client"]);
    }
}
