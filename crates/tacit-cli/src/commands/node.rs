//! `tacit node`: the ledger, as one process or as one validator of many.

use crate::args::{InitNetwork, Lifetime, Node as Command};
use crate::commands::{follow, found, network, validators};
use crate::failure::{Context, Failure};
use crate::lifetime;
use crate::output::Output;
use alloy_primitives::{Address, U256};
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use tacit_node::{DEV_BALANCE, Node, NodeConfig, NodeError, StoreError};
use tokio::net::TcpListener;

pub(crate) async fn node(command: &Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Dev { data, listen, fund, lifetime } => {
            dev(data.as_deref(), *listen, fund, lifetime, output).await
        }
        Command::InitNetwork(arguments) => {
            // The engine's database brings a runtime of its own.
            let arguments = arguments.clone();
            let init: fn(&InitNetwork, Output) -> Result<(), Failure> =
                if arguments.members.is_empty() { network::init } else { found::plan };
            let written = tokio::task::spawn_blocking(move || init(&arguments, output)).await;
            written.failed("node", "the network was not written", "")?
        }
        Command::Run { config, begin, lifetime } => network::run(config, begin, lifetime, output).await,
        Command::Follow(arguments) => follow::follow(arguments, output).await,
        Command::Ceremony(arguments) => found::ceremony(arguments, output).await,
        Command::Report { file, from, ledger } => network::report(file, from, &ledger.url, output).await,
        Command::NewValidator(arguments) => validators::new(arguments, output),
        Command::Join { key, owner, stake, ledger } => {
            validators::join(key, owner, stake, &ledger.url, output).await
        }
        Command::Leave { owner, ledger } => validators::leave(owner, &ledger.url, output).await,
        Command::Withdraw { owner, ledger } => validators::withdraw(owner, &ledger.url, output).await,
        Command::Validators { ledger } => validators::show(&ledger.url, output).await,
        Command::Export(arguments) => network::export(arguments, output),
    }
}

async fn dev(
    data: Option<&Path>,
    listen: SocketAddr,
    fund: &[String],
    lifetime: &Lifetime,
    output: Output,
) -> Result<(), Failure> {
    let fund = fund
        .iter()
        .map(|text| {
            text.parse().failed(
                "bad_address",
                format!("{text:?} is no address"),
                "an address is 0x and 40 hex digits",
            )
        })
        .collect::<Result<Vec<Address>, _>>()?;
    let node = open(data, &fund).await?;
    let listener = bind(listen, "ledger").await?;
    let url = url(&listener)?;
    let result = json!({"role": "ledger", "url": url, "chain_id": node.chain_id()});
    output.data(&result, || {
        format!("ledger: JSON-RPC at {url}, chain {}\nctrl-c stops it; the accounts of the public test mnemonic have coins", node.chain_id())
    });
    node.serve(listener, lifetime::ended(lifetime.with_parent)).await.failed("node", "the ledger stopped", "")
}

/// Opens a development ledger with funded accounts: the public test ones and `fund`. A folder that validators filled is gone on
/// with as it is.
async fn open(data: Option<&Path>, fund: &[Address]) -> Result<Node, Failure> {
    let alloc: Vec<(Address, U256)> = fund.iter().map(|address| (*address, DEV_BALANCE)).collect();
    let place = data.map_or_else(|| "memory".to_owned(), |data| data.display().to_string());
    let config =
        || NodeConfig::dev_with_public_accounts(alloc.clone()).with_data_dir(data.map(Path::to_owned));
    let in_use = |error: &NodeError| matches!(error, NodeError::Store(StoreError::Locked { .. }));
    let opened = lifetime::once_free(|| Node::open(config()), in_use).await;
    let opened = match (opened, data) {
        (
            Err(NodeError::Store(StoreError::OtherChain { .. } | StoreError::OtherGenesis { .. })),
            Some(data),
        ) if fund.is_empty() && data.join("consensus").exists() => Node::resume(data, &config()),
        (opened, _) => opened,
    };
    let hint = match &opened {
        Err(NodeError::Store(StoreError::Format { .. })) => network::OTHER_FORMAT,
        _ => "another process may be using it, or it was begun with other accounts: choose another folder",
    };
    opened.failed("node", format!("cannot open the ledger in {place}"), hint)
}

/// Listens on an address.
pub(crate) async fn bind(listen: SocketAddr, role: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(listen).await.failed(
        "cannot_listen",
        format!("the {role} cannot listen on {listen}"),
        "stop what uses the port, or choose another (port 0 takes a free one)",
    )
}

/// `http://` address of a listener.
pub(crate) fn url(listener: &TcpListener) -> Result<String, Failure> {
    let address = listener.local_addr().failed("cannot_listen", "the listening address is unknown", "")?;
    Ok(format!("http://{address}"))
}
