//! A whole network on this machine: ledger, worker and gateway as processes of their own, kept in one folder.

use crate::args::EngineModel;
use crate::commands::worker::open_wallet;
use crate::failure::{Context, Failure};
use crate::output::Output;
use crate::role::Role;
use crate::shipped::Shipped;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tacit_graph::ModelFile;

/// Where the roles listen; port 0 takes a free one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listen {
    pub(crate) ledger: SocketAddr,
    pub(crate) worker: SocketAddr,
    pub(crate) gateway: SocketAddr,
    /// None: no relay, and nothing unlinkable.
    pub(crate) relay: Option<SocketAddr>,
}

impl Listen {
    /// Free ports on the loopback address.
    pub(crate) fn free() -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { ledger: free, worker: free, gateway: free, relay: None }
    }
}

/// A model the network's worker serves.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) shipped: &'static Shipped,
    pub(crate) file: ModelFile,
    path: PathBuf,
}

/// Running roles; dropping it ends them.
#[derive(Debug)]
pub(crate) struct LocalNetwork {
    pub(crate) ledger: Role,
    pub(crate) worker: Role,
    pub(crate) gateway: Role,
    pub(crate) relay: Option<Role>,
}

/// Imports the shipped models and writes them to the folder.
pub(crate) fn offers(data: &Path, output: Output) -> Result<Vec<Offer>, Failure> {
    let folder = data.join("models");
    std::fs::create_dir_all(&folder).failed(
        "cannot_write",
        folder.display(),
        "check the folder and its permissions",
    )?;
    Shipped::ALL
        .iter()
        .map(|shipped| {
            output.note(format!("importing {} and committing to its weights …", shipped.name));
            let file = shipped.import()?;
            let path = folder.join(format!("{}.tacit", shipped.name));
            std::fs::write(&path, file.encode()).failed(
                "cannot_write",
                path.display(),
                "check the folder",
            )?;
            Ok(Offer { shipped, file, path })
        })
        .collect()
}

/// Starts the ledger; worker and client have coins from the start.
pub(crate) async fn start_ledger(data: &Path, listen: SocketAddr) -> Result<Role, Failure> {
    start_ledger_with(data, listen, &["worker", "client"]).await
}

/// Starts the ledger; these owners of keys in the folder have coins from the start.
pub(crate) async fn start_ledger_with(
    data: &Path,
    listen: SocketAddr,
    funded: &[&str],
) -> Result<Role, Failure> {
    let mut arguments = words(&["node", "dev", "--listen", &listen.to_string(), "--data"]);
    arguments.push(data.join("ledger").into());
    for owner in funded {
        let address = open_wallet(&key(data, owner))?.address().to_string();
        arguments.extend(words(&["--fund", &address]));
    }
    Role::start("ledger", &arguments).await
}

/// Starts the worker; it publishes its models and prices, and those of a language model, before it says that it is ready. Where there is to be a relay, it sells tokens.
pub(crate) async fn start_worker(
    data: &Path,
    listen: Listen,
    ledger: &Role,
    offers: &[Offer],
    engine: Option<&EngineModel>,
) -> Result<Role, Failure> {
    let mut arguments =
        words(&["worker", "--audited", "--ledger", &ledger.url(), "--listen", &listen.worker.to_string()]);
    if listen.relay.is_some() {
        arguments.extend(words(&["--token-price", TOKEN_PRICE]));
    }
    arguments.extend(engine.map(EngineModel::words).unwrap_or_default());
    for offer in offers {
        let mut model = OsString::from("--model=");
        model.push(&offer.path);
        model.push(format!("={}", offer.shipped.price));
        arguments.push(model);
    }
    push_folder(&mut arguments, data, "worker", "worker");
    Role::start("worker", &arguments).await
}

/// Starts a relay that goes to this machine's workers.
pub(crate) async fn start_relay(listen: SocketAddr, ledger: &Role) -> Result<Role, Failure> {
    let arguments =
        ["relay", "--private-networks", "--ledger", &ledger.url(), "--listen", &listen.to_string()];
    Role::start("relay", &words(&arguments)).await
}

/// Starts the gateway, which has the models and so can do answers again.
pub(crate) async fn start_gateway(
    data: &Path,
    listen: SocketAddr,
    ledger: &Role,
    offers: &[Offer],
    relay: Option<&Role>,
) -> Result<Role, Failure> {
    let mut arguments = words(&["gateway", "--ledger", &ledger.url(), "--listen", &listen.to_string()]);
    for offer in offers {
        arguments.extend(["--audit-model".into(), offer.path.clone().into()]);
    }
    if let Some(relay) = relay {
        // There is nobody else to hide among.
        arguments.extend(words(&["--relay", &relay.url(), "--token-key-age", "0"]));
    }
    push_folder(&mut arguments, data, "client", "gateway");
    Role::start("gateway", &arguments).await
}

impl LocalNetwork {
    /// Resolves with the name of the first role that ends by itself.
    pub(crate) async fn first_to_end(&mut self) -> &'static str {
        tokio::select! {
            () = self.ledger.ended() => "ledger",
            () = self.worker.ended() => "worker",
            () = self.gateway.ended() => "gateway",
            () = ended(self.relay.as_mut()) => "relay",
        }
    }

    /// Stops every role, clients first, and waits for it.
    pub(crate) async fn stop(self) {
        self.gateway.stop().await;
        if let Some(relay) = self.relay {
            relay.stop().await;
        }
        self.worker.stop().await;
        self.ledger.stop().await;
    }
}

async fn ended(role: Option<&mut Role>) {
    match role {
        Some(role) => role.ended().await,
        None => core::future::pending().await,
    }
}

/// What a token of the local worker is good for, in coins: two pay for an answer of the digits model.
const TOKEN_PRICE: &str = "0.0001";

fn push_folder(arguments: &mut Vec<OsString>, data: &Path, owner: &str, folder: &str) {
    arguments.push("--key".into());
    arguments.push(key(data, owner).into());
    arguments.push("--data".into());
    arguments.push(data.join(folder).into());
}

/// Key file of a role in a data folder.
pub(crate) fn key(data: &Path, owner: &str) -> PathBuf {
    data.join("keys").join(format!("{owner}.key"))
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}
