//! Arrows between crates point down only.

use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Lowest first; a crate may depend on crates of strictly lower layers, and on `SIBLINGS`.
const LAYERS: &[&[&str]] = &[
    &["tacit-graph", "tacit-abi", "tacit-policy", "tacit-nvidia", "tacit-yuma"],
    &["tacit-verify", "tacit-encrypt", "tacit-attest", "tacit-light", "tacit-market"],
    &["tacit-prove", "tacit-modules"],
    &["tacit-ledger"],
    &["tacit-consensus"],
    &["tacit-wire", "tacit-node", "tacit-web"],
    &["tacit-worker", "tacit-gateway", "tacit-relay", "tacit-validator"],
    &["tacit-cli", "tacit-init"],
];

/// What must be unreachable through normal dependencies, and why.
const UNREACHABLE: &[(&str, &str, &str)] = &[
    ("tacit-verify", "tacit-prove", "a verifier carries no prover"),
    ("tacit-gateway", "tacit-prove", "the client's door checks proofs, it makes none"),
    ("tacit-encrypt", "tacit-verify", "encryption and proofs are independent engines"),
    ("tacit-nvidia", "tokio", "a verifier is a pure function"),
    ("tacit-attest", "tokio", "a verifier is a pure function"),
    ("tacit-attest", "reqwest", "evidence is checked offline"),
    ("tacit-init", "tokio", "the first process of an image does a few things in order"),
    ("tacit-graph", "tokio", "the meaning of a model knows no runtime"),
    ("tacit-verify", "tokio", "a verifier is a pure function"),
    ("tacit-yuma", "alloy-primitives", "consensus on weights is arithmetic, it knows no ledger"),
    ("tacit-modules", "tacit-prove", "the ledger checks proofs, it makes none"),
    ("tacit-modules", "revm", "modules know their host, not the EVM"),
    ("tacit-modules", "tacit-attest", "the ledger compares policies, it judges no evidence"),
    (
        "tacit-policy",
        "x509-cert",
        "a policy is names and numbers: whoever compares two needs no certificates",
    ),
    ("tacit-modules", "commonware-cryptography", "modules judge votes, they know no engine"),
    ("tacit-ledger", "redb", "the executor knows no disk"),
    ("tacit-ledger", "axum", "the executor knows no network"),
    ("tacit-ledger", "commonware-runtime", "the executor knows no consensus"),
    ("tacit-relay", "redb", "a relay writes nothing down"),
    ("tacit-light", "tacit-modules", "a light client knows the interfaces, not the modules"),
    ("tacit-light", "revm", "a light client executes nothing"),
    ("tacit-light", "commonware-consensus", "a light client takes no part in consensus"),
    ("tacit-market", "tokio", "the market's rules are pure functions"),
    ("tacit-market", "tacit-modules", "the rules take what the ledger says, they do not read it"),
    ("tacit-consensus", "tacit-prove", "the ledger checks proofs, it makes none"),
    ("tacit-consensus", "redb", "queries are served behind a sink, not from consensus"),
    ("tacit-gateway", "tacit-ledger", "clients know the interfaces, not the executor"),
    ("tacit-worker", "tacit-ledger", "workers know the interfaces, not the executor"),
];

pub(crate) fn check(metadata: &Value) -> Result<Vec<String>> {
    let graph = normal_dependencies(metadata)?;
    let mut findings = Vec::new();
    let layer = |name: &str| LAYERS.iter().position(|crates| crates.contains(&name));
    for (name, dependencies) in &graph {
        if !name.starts_with("tacit-") {
            continue;
        }
        let Some(own) = layer(name) else {
            findings.push(format!("{name} has no layer: add it to xtask/src/layers.rs"));
            continue;
        };
        for dependency in dependencies {
            if layer(dependency).is_some_and(|other| other >= own) {
                findings.push(format!("{name} depends on {dependency}, which is not below it"));
            }
        }
    }
    for (from, to, why) in UNREACHABLE {
        if reaches(&graph, from, to) {
            findings.push(format!("{from} reaches {to}: {why}"));
        }
    }
    Ok(findings)
}

fn reaches(graph: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> bool {
    let (mut seen, mut queue) = (BTreeSet::new(), vec![from]);
    while let Some(name) = queue.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name) {
            queue.extend(graph.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    false
}

/// Package name to the names it depends on in normal (not dev, not build) builds, as resolved.
fn normal_dependencies(metadata: &Value) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let names: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .context("packages")?
        .iter()
        .filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?)))
        .collect();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().context("nodes")? {
        let name = node["id"].as_str().and_then(|id| names.get(id)).context("node")?;
        let entry = graph.entry((*name).to_owned()).or_default();
        for dependency in node["deps"].as_array().context("deps")? {
            let kinds = dependency["dep_kinds"].as_array().context("dep_kinds")?;
            if kinds.iter().any(|kind| kind["kind"].is_null()) {
                let target = dependency["pkg"].as_str().and_then(|id| names.get(id)).context("dep")?;
                entry.insert((*target).to_owned());
            }
        }
    }
    Ok(graph)
}
