//! `tacit policy`: what evidence of hardware is accepted, and how that changes.

use crate::args::{Policy as Command, PolicySigned};
use crate::commands::wallet::load;
use crate::failure::{Context, Failure};
use crate::network;
use crate::output::{Output, short};
use crate::tensor_file::read_limited;
use alloy_primitives::{B256, Bytes, U256};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use tacit_abi::IPolicies::IPoliciesErrors;
use tacit_abi::policies::{line_id, proposal_id};
use tacit_attest::{
    AmdPolicy, Fingerprint, GpuPolicy, ImageId, IntelPolicy, POLICY_BYTES_MAX, Policy, Product, TcbStatus,
    Versions,
};
use tacit_wire::ledger::Mined;
use tacit_wire::{Amount, LedgerClient, LedgerError, Revert};

/// Proposals that are shown, newest first.
const SHOWN_MAX: u32 = 16;
const DAY_S: u64 = 24 * 3600;
const JSON_BYTES_MAX: u64 = 1 << 20;

pub(crate) async fn policy(command: &Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Make { file, output: to } => make(file, to, output),
        Command::Show { name, ledger } => show(name, &ledger.url, output).await,
        Command::Open { file, delay, quorum, signed } => {
            let policy = read(file)?;
            let (wallet, ledger) = sender(signed).await?;
            let delay = delay.saturating_mul(DAY_S);
            let opened = ledger.open_policy_line(&wallet, policy.encode().into(), delay, *quorum).await;
            let line = line_id(policy.id(), delay, *quorum);
            let result = json!({"line": line, "policy": policy.id()});
            told(opened, result, output, || format!("line {line} begins with policy {}", policy.id()))
        }
        Command::Propose { line, file, signed } => {
            let (line, policy) = (name(line)?, read(file)?);
            let (wallet, ledger) = sender(signed).await?;
            let index = ledger.policy_line(line).await.map_err(network::failure)?.proposals;
            let proposed = ledger.propose_policy(&wallet, line, policy.encode().into()).await;
            // Somebody else's may have come between: what was made says which it is.
            let proposal = match proposed {
                Ok(_) => mine(&ledger, line, index, policy.id(), wallet.address()).await?,
                Err(_) => B256::ZERO,
            };
            let result = json!({"proposal": proposal, "line": line, "policy": policy.id()});
            told(proposed, result, output, || {
                format!(
                    "proposal {proposal}: validators approve it with tacit policy approve {proposal} --key KEY"
                )
            })
        }
        Command::Approve { proposal, signed } => {
            let (id, (wallet, ledger)) = (name(proposal)?, sender(signed).await?);
            let sent = ledger.approve_policy(&wallet, id).await;
            after(sent, &ledger, id, output).await
        }
        Command::TakeBack { proposal, signed } => {
            let (id, (wallet, ledger)) = (name(proposal)?, sender(signed).await?);
            let sent = ledger.take_back_policy(&wallet, id).await;
            after(sent, &ledger, id, output).await
        }
        Command::Settle { proposal, signed } => {
            let (id, (wallet, ledger)) = (name(proposal)?, sender(signed).await?);
            let sent = ledger.settle_policy(&wallet, id).await;
            after(sent, &ledger, id, output).await
        }
    }
}

fn make(file: &Path, to: &Path, output: Output) -> Result<(), Failure> {
    let bytes = read_limited(file, JSON_BYTES_MAX)?;
    let hint = "see the form: tacit policy show FILE --json";
    let text: Text = serde_json::from_slice(&bytes).failed("bad_policy", file.display(), hint)?;
    let policy = text.policy()?;
    std::fs::write(to, policy.encode()).failed("cannot_write", to.display(), "check the folder")?;
    output.data(&json!({"policy": policy.id(), "bytes": policy.encode().len()}), || {
        format!("policy {} is in {}", policy.id(), to.display())
    });
    Ok(())
}

async fn show(name: &str, url: &str, output: Output) -> Result<(), Failure> {
    let Ok(id) = name.parse::<B256>() else {
        let policy = read(Path::new(name))?;
        return shown(&policy, Value::Null, String::new(), output);
    };
    let ledger = network::ledger(url).await?;
    match ledger.policy_bytes(id).await {
        Ok(bytes) => return shown(&decoded(&bytes, id)?, Value::Null, String::new(), output),
        Err(LedgerError::Reverted(Revert::Policies(IPoliciesErrors::UnknownPolicy(_)))) => {}
        Err(error) => return Err(network::failure(error)),
    }
    let line = ledger.policy_line(id).await.map_err(network::failure)?;
    if line_id(line.first, line.delay, line.quorum) != id {
        return Err(Failure::new("false_policy", "the node gives another line", "use another ledger node"));
    }
    let policy = decoded(&ledger.policy_bytes(line.policy).await.map_err(network::failure)?, line.policy)?;
    let mut proposals = Vec::new();
    let mut text = format!(
        "line {id}\npolicy {} is in force since time {}, version {}; what validators accept waits {} days",
        line.policy,
        line.since,
        line.version,
        line.delay / DAY_S
    );
    for index in (line.proposals.saturating_sub(SHOWN_MAX)..line.proposals).rev() {
        let proposal = proposal_id(id, index);
        let (value, words) = describe(&ledger, proposal).await?;
        proposals.push(value);
        text += &format!("\n{words}");
    }
    let value = json!({
        "line": id, "in_force": line.policy, "since": line.since, "version": line.version, "delay_s": line.delay,
        "quorum": line.quorum, "proposals": proposals,
    });
    shown(&policy, value, text + "\n", output)
}

/// A policy, and the line that it is in.
fn shown(policy: &Policy, line: Value, text: String, output: Output) -> Result<(), Failure> {
    let form = serde_json::to_value(Text::of(policy)).failed("policy", "the policy", "")?;
    let words = serde_json::to_string_pretty(&form).failed("policy", "the policy", "")?;
    output.data(&json!({"id": policy.id(), "policy": form, "line": line}), || {
        format!("{text}policy {}\n{words}", policy.id())
    });
    Ok(())
}

async fn describe(ledger: &LedgerClient, proposal: B256) -> Result<(Value, String), Failure> {
    let (found, tally) = ledger.policy_proposal(proposal).await.map_err(network::failure)?;
    let status = match found.status {
        1 => "open",
        2 => "waiting",
        3 => "in_force",
        4 => "lapsed",
        5 => "taken_back",
        _ => "outdated",
    };
    let [approving, objecting, total] = [tally.approving, tally.objecting, tally.total].map(Amount);
    let words = format!(
        "proposal {proposal}: policy {}{}, {status} until time {}; {approving} of {total} approve, {objecting} object",
        short(&found.policy.to_string()),
        if found.narrows { ", which only takes away" } else { "" },
        found.until,
    );
    let value = json!({
        "proposal": proposal, "policy": found.policy, "proposer": found.proposer, "status": status,
        "narrows": found.narrows, "until": found.until, "follows_version": found.version,
        "approving": approving, "objecting": objecting, "total": total,
    });
    Ok((value, words))
}

/// What a vote or a settlement came to.
async fn after(
    sent: Result<Mined, LedgerError>,
    ledger: &LedgerClient,
    proposal: B256,
    output: Output,
) -> Result<(), Failure> {
    let mined = sent.map_err(network::failure)?;
    let (mut value, words) = describe(ledger, proposal).await?;
    value["transaction"] = json!(mined.hash);
    value["block"] = json!(mined.block);
    output.data(&value, || words);
    Ok(())
}

fn told(
    sent: Result<Mined, LedgerError>,
    mut value: Value,
    output: Output,
    words: impl FnOnce() -> String,
) -> Result<(), Failure> {
    let mined = sent.map_err(network::failure)?;
    value["transaction"] = json!(mined.hash);
    value["block"] = json!(mined.block);
    output.data(&value, words);
    Ok(())
}

/// The first proposal from this number on that is this account's for this policy.
async fn mine(
    ledger: &LedgerClient,
    line: B256,
    from: u32,
    policy: B256,
    proposer: alloy_primitives::Address,
) -> Result<B256, Failure> {
    let last = ledger.policy_line(line).await.map_err(network::failure)?.proposals;
    for index in from..last {
        let id = proposal_id(line, index);
        let (found, _) = ledger.policy_proposal(id).await.map_err(network::failure)?;
        if (found.policy, found.proposer) == (policy, proposer) {
            return Ok(id);
        }
    }
    Err(Failure::new("ledger_failed", "the proposal is not to be found yet", "tacit policy show LINE"))
}

async fn sender(signed: &PolicySigned) -> Result<(tacit_wire::Wallet, LedgerClient), Failure> {
    Ok((load(&signed.key)?, network::ledger(&signed.ledger.url).await?))
}

fn name(text: &str) -> Result<B256, Failure> {
    text.parse().failed("bad_usage", format!("{text:?}"), "a name is 0x and 64 hex digits")
}

fn read(file: &Path) -> Result<Policy, Failure> {
    let bytes = read_limited(file, u64::try_from(POLICY_BYTES_MAX).unwrap_or(u64::MAX))?;
    let hint = "tacit policy make FILE.json -o FILE writes one";
    Policy::decode(&bytes).failed("bad_policy", file.display(), hint)
}

fn decoded(bytes: &Bytes, id: B256) -> Result<Policy, Failure> {
    let policy = Policy::decode(bytes).ok().filter(|policy| policy.id() == id);
    policy.ok_or_else(|| {
        Failure::new(
            "false_policy",
            "the node gives another policy than the hash names",
            "use another ledger node",
        )
    })
}

/// A policy as people write it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    images: Vec<B256>,
    models: Vec<B256>,
    #[serde(default)]
    revoked: Vec<B256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    intel: Option<Intel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    amd: Option<Amd>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gpu: Option<Gpu>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Intel {
    /// In Intel's words.
    statuses: Vec<String>,
    evaluation_min: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Amd {
    platform_required: U256,
    platform_refused: U256,
    vmpl_max: u8,
    /// By product: FMC, boot loader, TEE, SNP, microcode.
    versions_min: BTreeMap<String, [u8; 5]>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gpu {
    count_min: u8,
    references: Vec<B256>,
}

impl Text {
    fn of(policy: &Policy) -> Self {
        let prints = |prints: &std::collections::BTreeSet<Fingerprint>| {
            prints.iter().map(|print| B256::from(print.0)).collect()
        };
        Self {
            images: policy.images().iter().map(|image| image.0).collect(),
            models: policy.models().iter().copied().collect(),
            revoked: prints(policy.revoked()),
            intel: policy.intel().map(|rules| Intel {
                statuses: rules.statuses.iter().map(|status| format!("{status:?}")).collect(),
                evaluation_min: rules.evaluation_min,
            }),
            amd: policy.amd().map(|rules| Amd {
                platform_required: U256::from(rules.platform_required),
                platform_refused: U256::from(rules.platform_refused),
                vmpl_max: rules.vmpl_max,
                versions_min: rules
                    .versions_min
                    .iter()
                    .map(|(product, versions)| (format!("{product:?}"), versions.to_bytes()))
                    .collect(),
            }),
            gpu: policy
                .gpu()
                .map(|rules| Gpu { count_min: rules.count_min, references: prints(&rules.references) }),
        }
    }

    fn policy(self) -> Result<Policy, Failure> {
        let refused = |error: &dyn std::fmt::Display| Failure::new("bad_policy", error, "");
        let unknown = |what: &str, name: &str| {
            Failure::new(
                "bad_policy",
                format!("{name:?} is no {what}"),
                "tacit policy show FILE --json prints some",
            )
        };
        let prints = |hashes: Vec<B256>| hashes.into_iter().map(|hash| Fingerprint(hash.0));
        let made = Policy::new(self.images.into_iter().map(ImageId), self.models);
        let mut policy = made
            .and_then(|policy| policy.with_revoked(prints(self.revoked)))
            .map_err(|error| refused(&error))?;
        if let Some(Intel { statuses, evaluation_min }) = self.intel {
            let status = |name: &String| {
                let found = TcbStatus::ALL.into_iter().find(|status| format!("{status:?}") == *name);
                found.ok_or_else(|| unknown("status of Intel's", name))
            };
            let statuses = statuses.iter().map(status).collect::<Result<_, _>>()?;
            policy = policy
                .with_intel(IntelPolicy { statuses, evaluation_min })
                .map_err(|error| refused(&error))?;
        }
        if let Some(Amd { platform_required, platform_refused, vmpl_max, versions_min }) = self.amd {
            let versions = |(name, bytes): (&String, &[u8; 5])| {
                let found = Product::ALL.into_iter().find(|product| format!("{product:?}") == *name);
                let product = found.ok_or_else(|| unknown("product of AMD's", name))?;
                Ok((product, Versions::from_bytes(*bytes)))
            };
            let versions_min = versions_min.iter().map(versions).collect::<Result<_, Failure>>()?;
            let bits =
                |bits: U256| u64::try_from(bits).map_err(|_| unknown("set of 64 bits", &bits.to_string()));
            let (platform_required, platform_refused) = (bits(platform_required)?, bits(platform_refused)?);
            let rules = AmdPolicy { platform_required, platform_refused, vmpl_max, versions_min };
            policy = policy.with_amd(rules).map_err(|error| refused(&error))?;
        }
        if let Some(Gpu { count_min, references }) = self.gpu {
            let references = prints(references).collect();
            policy =
                policy.with_gpus(GpuPolicy { count_min, references }).map_err(|error| refused(&error))?;
        }
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_written_as_it_was_read() {
        let text = r#"{"images":["0x0101010101010101010101010101010101010101010101010101010101010101"],
            "models":["0x0202020202020202020202020202020202020202020202020202020202020202"],"revoked":[],
            "intel":{"statuses":["UpToDate"],"evaluation_min":17},
            "amd":{"platform_required":"0x20","platform_refused":"0x0","vmpl_max":0,"versions_min":{"Milan":[0,4,0,23,213]}},
            "gpu":{"count_min":1,"references":["0x0303030303030303030303030303030303030303030303030303030303030303"]}}"#;
        let policy = serde_json::from_str::<Text>(text).unwrap().policy().unwrap();
        let again = serde_json::to_value(Text::of(&policy)).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(serde_json::from_value::<Text>(again).unwrap().policy().unwrap().id(), policy.id());
        for (from, to) in [
            ("UpToDate", "Fine"),
            ("Milan", "Rome"),
            ("0x20", "0x10000000000000000"),
            ("UpToDate", "Revoked"),
        ] {
            let text = text.replacen(from, to, 1);
            assert!(serde_json::from_str::<Text>(&text).unwrap().policy().is_err(), "{to}");
        }
    }
}
