//! `tacit wallet`: key files, balances, transfers.

use crate::args::Wallet as Command;
use crate::client::GatewayClient;
use crate::failure::{Context, Failure};
use crate::network;
use crate::output::{Output, short};
use serde_json::json;
use std::path::Path;
use tacit_wire::{Amount, Wallet};

pub(crate) async fn wallet(command: &Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::New { key } => new(key, output),
        Command::Show { key, ledger } => {
            let wallet = load(key)?;
            let ledger = network::ledger(&ledger.url).await?;
            let balance = ledger.balance(wallet.address()).await.map_err(network::failure)?;
            let result = json!({
                "address": wallet.address(), "balance": balance.to_string(), "chain_id": ledger.chain_id(),
            });
            output.data(&result, || format!("{}  {balance} coins", wallet.address()));
            Ok(())
        }
        Command::Reclaim { gateway } => {
            let reply = GatewayClient::new(&gateway.url)?.post("/tacit/v1/close", &json!({})).await?;
            output.data(&reply, || {
                let count = reply["channels"].as_array().map_or(0, Vec::len);
                format!("{count} channels are being closed; a running gateway brings the deposits home after 15 minutes of grace")
            });
            Ok(())
        }
        Command::Send { key, to, amount, ledger } => {
            let wallet = load(key)?;
            let amount: Amount =
                amount.parse().failed("bad_amount", format!("{amount:?}"), "an amount looks like 0.25")?;
            let to = to.parse().failed(
                "bad_address",
                format!("{to:?} is no address"),
                "an address is 0x and 40 hex digits",
            )?;
            let ledger = network::ledger(&ledger.url).await?;
            let mined = ledger.transfer(&wallet, to, amount).await.map_err(network::failure)?;
            let result = json!({"transaction": mined.hash, "block": mined.block});
            output.data(&result, || {
                format!("sent {amount} coins to {} in block {}", short(&to.to_string()), mined.block)
            });
            Ok(())
        }
    }
}

fn new(key: &Path, output: Output) -> Result<(), Failure> {
    let wallet =
        Wallet::create(key).failed("key_file", key.display(), "choose a path that does not exist yet")?;
    let result = json!({"address": wallet.address(), "key": key});
    output.data(&result, || {
        format!("{}  (key in {}: whoever has it has the coins)", wallet.address(), key.display())
    });
    Ok(())
}

/// Loads an existing key file.
pub(crate) fn load(key: &Path) -> Result<Wallet, Failure> {
    Wallet::load(key).failed("key_file", key.display(), "make one with `tacit wallet new FILE`")
}
