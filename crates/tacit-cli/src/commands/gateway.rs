//! `tacit gateway`: the local door.

use crate::args::{self, GatewayCommand, GatewayKey};
use crate::commands::node::{bind, url};
use crate::commands::worker::open_wallet;
use crate::failure::{Context, Failure};
use crate::output::Output;
use crate::{lifetime, network, question};
use core::time::Duration;
use serde_json::json;
use std::path::Path;
use tacit_gateway::openai::{ApiKey, ApiKeys};
use tacit_gateway::{
    Attestation, AuditPolicy, CanaryPolicy, DoorConfig, Gateway, GatewayConfig, Ratio, Spending, Store,
    StoreError, UnlinkablePolicy,
};
use tacit_wire::Amount;

const KEYS_FILE: &str = "keys.json";

pub(crate) async fn gateway(arguments: &args::Gateway, output: Output) -> Result<(), Failure> {
    let run = &arguments.run;
    match (&arguments.command, &run.key, &run.data) {
        (Some(GatewayCommand::Key(command)), ..) => key(command, output),
        (None, Some(key), Some(data)) => serve(run, key, data, output).await,
        // The reader of arguments asks for those that are needed.
        (None, ..) => Err(Failure::new("usage", "--key and --data are needed", "tacit gateway --help")),
    }
}

/// Keys are changed in a file that only the gateway's owner can write.
fn key(command: &GatewayKey, output: Output) -> Result<(), Failure> {
    const HINT: &str = "see the keys there are: tacit gateway key list --data DIR";
    match command {
        GatewayKey::New { name, per_request, per_day, data } => {
            std::fs::create_dir_all(&data.data).failed("cannot_write", data.data.display(), "")?;
            let made = keys(&data.data).create(name, *per_request, *per_day).failed(
                "key",
                "no key was made",
                HINT,
            )?;
            let said =
                json!({"name": name, "key": made.as_str(), "per_request": per_request, "per_day": per_day});
            output.data(&said, || made.as_str().to_owned());
            Ok(())
        }
        GatewayKey::List { data } => {
            let list = keys(&data.data).list().failed("key", "cannot list keys", "")?;
            output.data(&json!({"keys": list}), || {
                let cap = |cap: Option<Amount>| cap.map_or("-".to_owned(), |cap| cap.to_string());
                let line = |key: &ApiKey| {
                    format!(
                        "{}  per request {}  per day {}",
                        key.name,
                        cap(key.per_request),
                        cap(key.per_day)
                    )
                };
                list.iter().map(line).collect::<Vec<_>>().join("\n")
            });
            Ok(())
        }
        GatewayKey::Revoke { name, data } => {
            keys(&data.data).revoke(name).failed("key", "no key was revoked", HINT)?;
            output.data(&json!({"revoked": name}), || format!("{name} may not ask any more"));
            Ok(())
        }
    }
}

fn keys(data: &Path) -> ApiKeys {
    ApiKeys::at(&data.join(KEYS_FILE))
}

/// What audited answers are done again with.
fn audits(arguments: &args::GatewayRun) -> Result<AuditPolicy, Failure> {
    let mut audits = AuditPolicy::default();
    if arguments.audit_alone {
        audits = audits.alone();
    }
    if arguments.audit_shown {
        audits = audits.shown();
    }
    for file in &arguments.audit_model {
        audits = audits.with_model(question::read_model(file)?.model);
    }
    Ok(match arguments.audit_rate {
        Some(rate) => audits.with_rate(rate),
        None => audits,
    })
}

async fn serve(arguments: &args::GatewayRun, key: &Path, data: &Path, output: Output) -> Result<(), Failure> {
    if !arguments.listen.ip().is_loopback() {
        return Err(Failure::new(
            "not_local",
            format!("a gateway spends its owner's coins, so it does not listen on {}", arguments.listen),
            "listen on 127.0.0.1, and put something that knows its users before it",
        ));
    }
    let wallet = open_wallet(key)?;
    let ledger = network::ledger(&arguments.ledger.url).await?;
    std::fs::create_dir_all(data).failed(
        "cannot_write",
        data.display(),
        "check the folder and its permissions",
    )?;
    let file = data.join("gateway.redb");
    let store = lifetime::once_free(|| Store::open(&file), StoreError::is_in_use).await.failed(
        "gateway",
        format!("cannot open {}", data.display()),
        "another gateway may be using it; check the folder and its permissions",
    )?;
    let canaries =
        CanaryPolicy { rate: arguments.canary_rate, rows: arguments.canary_rows, ..CanaryPolicy::default() };
    let spending = Spending {
        max_price_default: arguments.per_request,
        key_day_max: arguments.per_key_day,
        day_max: arguments.per_day,
        deposit: arguments.deposit,
    };
    let door = DoorConfig {
        api_keys: Some(data.join(KEYS_FILE)),
        kept_bytes: arguments.keep_answers.saturating_mul(1 << 20),
        audit_language: arguments.audit_language.unwrap_or(Ratio::ZERO),
        ..DoorConfig::default()
    };
    let audits = audits(arguments)?;
    let attestation = arguments.policy.map(Attestation::new).transpose();
    let attestation = attestation.failed("gateway", "the roots of hardware vendors", "")?;
    let unlinkable = UnlinkablePolicy {
        relay: arguments.relay.clone(),
        key_age: Duration::from_secs(arguments.token_key_age),
    };
    let config =
        GatewayConfig { wallet, ledger, store, spending, canaries, audits, unlinkable, door, attestation };
    let gateway = Gateway::open(config).failed("gateway", "the gateway cannot start", "")?;
    let listener = bind(arguments.listen, "gateway").await?;
    let url = url(&listener)?;
    let result = json!({"role": "gateway", "url": url, "client": gateway.address()});
    output
        .data(&result, || format!("gateway at {url} pays from {}; its page is at {url}/", gateway.address()));
    gateway.serve(listener, lifetime::ended(arguments.lifetime.with_parent)).await.failed(
        "gateway",
        "the gateway stopped",
        "",
    )
}
