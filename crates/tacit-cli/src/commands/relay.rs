//! `tacit relay`: passes questions on that it cannot read.

use crate::args;
use crate::commands::node::{bind, url};
use crate::failure::{Context, Failure};
use crate::output::Output;
use crate::{lifetime, network};
use serde_json::json;
use tacit_relay::{Rate, Relay, RelayConfig};

pub(crate) async fn relay(arguments: &args::Relay, output: Output) -> Result<(), Failure> {
    let ledger = network::ledger(&arguments.ledger.url).await?;
    let config = RelayConfig {
        private_networks: arguments.private_networks,
        rate: Rate { burst: arguments.burst.get(), ..Rate::default() },
        ..RelayConfig::new(ledger)
    };
    let relay = Relay::new(config).failed("relay", "the relay cannot start", "")?;
    let listener = bind(arguments.listen, "relay").await?;
    let url = url(&listener)?;
    output.data(&json!({"role": "relay", "url": url}), || format!("relay at {url}"));
    relay.serve(listener, lifetime::ended(arguments.lifetime.with_parent)).await.failed(
        "relay",
        "the relay stopped",
        "",
    )
}
