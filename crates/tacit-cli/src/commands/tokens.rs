//! `tacit tokens`: prepaid tokens of the gateway's wallet.

use crate::args::Tokens;
use crate::client::GatewayClient;
use crate::failure::{Context, Failure};
use crate::output::{Output, short};
use alloy_primitives::Address;
use serde_json::Value;
use tacit_gateway::{BuyTokens, TokensBought, TokensEntry};
use tacit_wire::Amount;

pub(crate) async fn tokens(command: &Tokens, output: Output) -> Result<(), Failure> {
    match command {
        Tokens::Buy { model, count, worker, max_price, gateway } => {
            let worker = worker.as_deref().map(address).transpose()?;
            let max_price = max_price.as_deref().map(amount).transpose()?;
            let request = BuyTokens { model: model.clone(), count: count.get(), worker, max_price };
            let reply = GatewayClient::new(&gateway.url)?.post("/tacit/v1/tokens", &request).await?;
            let bought: TokensBought = read(reply.clone())?;
            output.data(&reply, || {
                let TokensBought { worker, count, token_price, price, .. } = bought;
                format!("{count} tokens of {worker}, each good for {token_price} · paid {price}")
            });
        }
        Tokens::List { gateway } => {
            let reply = GatewayClient::new(&gateway.url)?.get("/tacit/v1/tokens").await?;
            let entries: Vec<TokensEntry> = read(reply.clone())?;
            output.data(&reply, || entries.iter().map(line).collect::<Vec<_>>().join("\n"));
        }
    }
    Ok(())
}

fn line(entry: &TokensEntry) -> String {
    let TokensEntry { worker, key_id, count, shown, token_price, good_until } = entry;
    let worth = token_price.map_or("good no more".to_owned(), |price| format!("each good for {price}"));
    let until = good_until.map_or_else(String::new, |until| format!(" until {until}"));
    let shown = match shown {
        0 => String::new(),
        shown => format!(", {shown} kept for questions that were refused"),
    };
    format!("{worker}  {count} tokens{shown}  {worth}{until}  key {}", short(&key_id.to_string()))
}

fn address(text: &str) -> Result<Address, Failure> {
    text.parse().failed("bad_address", format!("{text:?}"), "an address is 0x and 40 hex digits")
}

fn amount(text: &str) -> Result<Amount, Failure> {
    text.parse().failed("bad_amount", format!("{text:?}"), "an amount looks like 0.0005")
}

fn read<T: serde::de::DeserializeOwned>(reply: Value) -> Result<T, Failure> {
    serde_json::from_value(reply).failed(
        "gateway",
        "the gateway's answer cannot be read",
        "is it another version?",
    )
}
