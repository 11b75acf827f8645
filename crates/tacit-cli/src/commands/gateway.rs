//! `tacit gateway`: the local door.

use crate::args;
use crate::commands::node::{bind, url};
use crate::commands::worker::open_wallet;
use crate::failure::{Context, Failure};
use crate::output::Output;
use crate::{lifetime, network};
use serde_json::json;
use tacit_gateway::{CanaryPolicy, Gateway, GatewayConfig, Spending, Store, StoreError};

pub(crate) async fn gateway(arguments: &args::Gateway, output: Output) -> Result<(), Failure> {
    if !arguments.listen.ip().is_loopback() {
        return Err(Failure::new(
            "not_local",
            format!("a gateway spends its owner's coins, so it does not listen on {}", arguments.listen),
            "listen on 127.0.0.1, and put something that knows its users before it",
        ));
    }
    let wallet = open_wallet(&arguments.key)?;
    let ledger = network::ledger(&arguments.ledger.url).await?;
    let data = &arguments.data;
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
    let config = GatewayConfig { wallet, ledger, store, spending: Spending::default(), canaries };
    let gateway = Gateway::open(config).failed("gateway", "the gateway cannot start", "")?;
    let listener = bind(arguments.listen, "gateway").await?;
    let url = url(&listener)?;
    let result = json!({"role": "gateway", "url": url, "client": gateway.address()});
    output.data(&result, || format!("gateway at {url} pays from {}", gateway.address()));
    gateway.serve(listener, lifetime::ended(arguments.lifetime.with_parent)).await.failed(
        "gateway",
        "the gateway stopped",
        "",
    )
}
