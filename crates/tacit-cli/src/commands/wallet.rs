//! `tacit wallet`: key files, balances, transfers.

use crate::args::{StakeChange, Wallet as Command};
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
        Command::Stake { key, change, ledger } => stake(key, change, &ledger.url, output).await,
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
            let amount = coins(amount)?;
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

async fn stake(key: &Path, change: &StakeChange, url: &str, output: Output) -> Result<(), Failure> {
    let wallet = load(key)?;
    let ledger = network::ledger(url).await?;
    let mined = match change {
        StakeChange { add: Some(amount), .. } => Some(ledger.bond(&wallet, coins(amount)?).await),
        StakeChange { unbond: Some(amount), .. } => Some(ledger.unbond(&wallet, coins(amount)?).await),
        StakeChange { withdraw: true, .. } => Some(ledger.withdraw_stake(&wallet).await),
        StakeChange { .. } => None,
    };
    let block = mined.transpose().map_err(network::failure)?.map(|mined| mined.block);
    let stake = ledger.stake_of(wallet.address()).await.map_err(network::failure)?;
    let (bonded, unbonding) = (Amount(stake.bonded), Amount(stake.unbonding));
    let result = json!({
        "address": wallet.address(), "bonded": bonded.to_string(), "unbonding": unbonding.to_string(),
        "release_at": (stake.releaseAt > 0).then_some(stake.releaseAt), "block": block,
    });
    output.data(&result, || {
        let home = match stake.releaseAt {
            0 => String::new(),
            at => format!(", {unbonding} on the way home until time {at} (seconds since 1970)"),
        };
        format!("{}  {bonded} coins at stake{home}", wallet.address())
    });
    Ok(())
}

fn coins(amount: &str) -> Result<Amount, Failure> {
    amount.parse().failed("bad_amount", format!("{amount:?}"), "an amount looks like 0.25")
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
