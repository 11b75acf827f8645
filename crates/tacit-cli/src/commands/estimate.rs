//! `tacit worker estimate`: what an engine gives here, and what that would bring at the prices that are asked for it.
//!
//! Nothing in it is made up: tokens are measured, prices are the ledger's or the owner's own, gas is that of the same transactions on a ledger in memory. Nobody knows how many will ask, so the
//! figures are for shares of the time that an owner may choose from.

use crate::args::WorkerEstimate;
use crate::commands::language::{PRICED_TOKENS, Served, price};
use crate::commands::measured::{Figures, Load, measure};
use crate::failure::{Context, Failure};
use crate::network;
use crate::output::{Output, Style};
use crate::tensor_file::read_limited;
use alloy_primitives::{B256, U256};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tacit_abi::asks::{ASK_STAKE, HOUR_S};
use tacit_abi::stakes::UNBONDING_S;
use tacit_abi::{Evidence, IAsks, Privacy};
use tacit_node::{Node, NodeConfig};
use tacit_wire::language::{LanguageManifest, TOKENIZER_BYTES_MAX, TokenCount, TokenPrices};
use tacit_wire::ledger::{Listing, ask_end_s};
use tacit_wire::meter::Meter;
use tacit_wire::{Amount, LedgerClient, LedgerError, RpcClient, Wallet};
use tacit_worker::LanguageEngine;

/// Shares of the time, in percent, for which earnings are told.
const SHARES: [u128; 3] = [10, 50, 100];
const HOUR_US: u128 = 3_600_000_000;
/// For the clock of the ledger in memory.
const CLOCK_TIMEOUT: Duration = Duration::from_secs(10);
const CLOCK_BYTES_MAX: usize = 4096;

/// Prices, and where they are from.
struct Row {
    source: &'static str,
    /// How many ask, where they are the ledger's.
    asks: Option<usize>,
    prices: TokenPrices,
}

/// What is earned with all places taken.
struct Full {
    requests: u32,
    tokens: TokenCount,
    wall: Duration,
}

pub(crate) async fn estimate(arguments: &WorkerEstimate, output: Output) -> Result<(), Failure> {
    let tokenizer = match &arguments.tokenizer {
        Some(tokenizer) => tokenizer.clone(),
        None => arguments.manifest.with_file_name("tokenizer.json"),
    };
    let own = own_prices(arguments)?;
    let cost = arguments.cost_per_hour.as_deref().map(|coins| price(coins, 1)).transpose()?;
    let served = Served {
        url: &arguments.engine,
        engine_model: arguments.engine_model.as_deref(),
        manifest: &arguments.manifest,
        tokenizer: &tokenizer,
        prices: own.unwrap_or_default(),
        capacity: arguments.capacity,
    };
    let model = served.read().await?;
    let (model_id, manifest) = (model.model_id(), model.manifest().clone());
    let hint = "is it running? its address goes to --engine, its name for the model to --engine-model";
    model.check().await.failed("engine", "the engine cannot be used", hint)?;
    let ledger = network::ledger(&arguments.ledger.url).await?;
    let listings = ledger.listings().await.map_err(network::failure)?;
    let WorkerEstimate { capacity, prompt_tokens, completion_tokens, .. } = *arguments;
    output.note(format!(
        "asking {} for {completion_tokens} tokens to prompts of {prompt_tokens}, alone and {capacity} at once …",
        arguments.engine
    ));
    let name = arguments.engine_model.as_ref().unwrap_or(&manifest.name);
    let engine = LanguageEngine::new(&arguments.engine, name).failed("engine", &arguments.engine, hint)?;
    let meter = meter(&tokenizer, &manifest).await?;
    let load = Load { capacity, prompt_tokens, completion_tokens };
    let figures = measure(&engine, &meter, load).await?;
    let (requests, tokens, wall) = figures.full;
    let full = Full { requests, tokens, wall };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let rows = rows(&listings, model_id, own, &full, now)?;
    let published = listings.iter().any(|listing| listing.model.modelId == model_id);
    let gas_price = ledger.gas_price().await.map_err(network::failure)?;
    let Gas { join: gas, beat } = gas_to_join(model_id, &manifest, published).await?;
    let fees = |gas: u64| {
        gas_price.0.checked_mul(gas.into()).map(Amount).ok_or_else(|| {
            let message = "what the ledger says of its gas price is no price";
            Failure::new("bad_amount", message, "name another ledger")
        })
    };
    let rows = rows.iter().map(|row| row.told(&full, cost)).collect::<Result<Vec<_>, _>>()?;
    let result = json!({
        "model": manifest.name, "model_id": model_id,
        "measured": measured(&figures, &load), "prices": rows, "cost_per_hour": cost,
        "to_join": {
            "stake": Amount(ASK_STAKE), "stake_comes_home_after_s": UNBONDING_S, "gas": gas, "gas_price": gas_price, "fees": fees(gas)?,
        },
        "to_stay": { "beats_per_hour": 1, "gas_per_hour": beat, "fees_per_hour": fees(beat)? },
        "demand": "unknown",
    });
    output.data(&result, || text(&result, output));
    Ok(())
}

/// The owner's own prices, if any are given.
fn own_prices(arguments: &WorkerEstimate) -> Result<Option<TokenPrices>, Failure> {
    let WorkerEstimate { prompt_price, completion_price, request_price, .. } = arguments;
    if prompt_price.is_none() && completion_price.is_none() && request_price.is_none() {
        return Ok(None);
    }
    let given =
        |coins: &Option<String>, per| coins.as_deref().map_or(Ok(Amount::ZERO), |coins| price(coins, per));
    Ok(Some(TokenPrices {
        request: given(request_price, 1)?,
        prompt: given(prompt_price, PRICED_TOKENS)?,
        completion: given(completion_price, PRICED_TOKENS)?,
    }))
}

async fn meter(tokenizer: &Path, manifest: &LanguageManifest) -> Result<Meter, Failure> {
    let (bytes, message_tokens) =
        (read_limited(tokenizer, TOKENIZER_BYTES_MAX as u64)?, manifest.message_tokens);
    let hint = "give the model's own: --tokenizer FILE";
    let building = tokio::task::spawn_blocking(move || Meter::new(&bytes, message_tokens));
    let built = building.await.failed("bad_tokenizer", tokenizer.display(), hint)?;
    built.failed("bad_tokenizer", tokenizer.display(), hint)
}

/// The owner's prices, and the lowest and the median of those that live asks have, of this model and of others, by what the measured requests cost.
fn rows(
    listings: &[Listing],
    model_id: B256,
    own: Option<TokenPrices>,
    full: &Full,
    now: u64,
) -> Result<Vec<Row>, Failure> {
    let mut rows: Vec<Row> =
        own.map(|prices| Row { source: "yours", asks: None, prices }).into_iter().collect();
    let sources = [
        (true, "lowest of this model", "median of this model"),
        (false, "lowest of other models", "median of other models"),
    ];
    for (same, lowest, median) in sources {
        let chosen = listings.iter().filter(|listing| (listing.model.modelId == model_id) == same);
        let mut prices: Vec<TokenPrices> = chosen
            .flat_map(|listing| &listing.asks)
            .filter(|ask| ask.is_live(now))
            .filter_map(token_prices)
            .collect();
        let mut failure = None;
        prices.sort_by_key(|prices| {
            full.bill(prices).unwrap_or_else(|error| {
                failure = Some(error);
                Amount(u128::MAX)
            })
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
        let asks = Some(prices.len());
        // Of an even number the lower of the two in the middle: one that is asked.
        let middle = prices.len().saturating_sub(1) / 2;
        for (source, at) in [(lowest, 0), (median, middle)] {
            rows.extend(prices.get(at).map(|prices| Row { source, asks, prices: *prices }));
        }
    }
    Ok(rows)
}

/// The prices of an ask for a language model.
fn token_prices(ask: &IAsks::Ask) -> Option<TokenPrices> {
    let IAsks::Terms { price, promptPrice, completionPrice, .. } = ask.terms;
    (promptPrice > 0 || completionPrice > 0).then_some(TokenPrices {
        request: Amount(price),
        prompt: Amount(promptPrice),
        completion: Amount(completionPrice),
    })
}

impl Full {
    /// What the requests that were measured would have cost.
    fn bill(&self, prices: &TokenPrices) -> Result<Amount, Failure> {
        let tokens = prices.cost(self.tokens).map(|cost| cost.0);
        // One of the prices of a request is in it.
        let others = prices.request.0.checked_mul(u128::from(self.requests.saturating_sub(1)));
        let sum = tokens.zip(others).and_then(|(tokens, others)| tokens.checked_add(others));
        sum.map(Amount).ok_or_else(too_much)
    }

    /// What is earned in an hour, `percent` of which all places are taken; rounded down.
    fn hourly(&self, prices: &TokenPrices, percent: u128) -> Result<Amount, Failure> {
        let bill = self.bill(prices)?.0;
        let wall_us = self.wall.as_micros().max(1).saturating_mul(100);
        let earned = bill.checked_mul(HOUR_US).and_then(|earned| earned.checked_mul(percent));
        earned.and_then(|earned| earned.checked_div(wall_us)).map(Amount).ok_or_else(too_much)
    }
}

impl Row {
    fn told(&self, full: &Full, cost: Option<Amount>) -> Result<Value, Failure> {
        let TokenPrices { request, prompt, completion } = self.prices;
        let million = |price: Amount| price.0.checked_mul(PRICED_TOKENS).map(Amount).ok_or_else(too_much);
        let mut hourly = serde_json::Map::new();
        for share in SHARES {
            hourly.insert(share.to_string(), json!(full.hourly(&self.prices, share)?));
        }
        let most = full.hourly(&self.prices, 100)?;
        // Tenths of a percent, rounded up: below that it does not pay.
        let share = cost.and_then(|cost| {
            cost.0.checked_mul(1000)?.checked_add(most.0.saturating_sub(1))?.checked_div(most.0)
        });
        Ok(json!({
            "source": self.source, "asks": self.asks,
            "prompt_price": million(prompt)?, "completion_price": million(completion)?, "request_price": request,
            "coins_per_hour": hourly,
            "break_even_percent": share.map(|share| format!("{}.{}", share / 10, share % 10)),
            "pays": cost.map(|cost| most >= cost),
        }))
    }
}

fn too_much() -> Failure {
    Failure::new("bad_amount", "these prices are more than any amount", "is the ledger the right one?")
}

/// Gas of what a worker sends.
struct Gas {
    /// To join, for one model.
    join: u64,
    /// Each hour, to say that it is there.
    beat: u64,
}

/// Gas of what a new worker sends for one model, and then each hour: measured on a ledger of its own, in memory.
async fn gas_to_join(model_id: B256, manifest: &LanguageManifest, published: bool) -> Result<Gas, Failure> {
    let failed = |error: LedgerError| Failure::new("ledger", format!("a ledger in memory: {error}"), "");
    let wallet = Wallet::random();
    let coins = U256::from(Amount::coins(1).0);
    let node = Node::open(NodeConfig::dev([(wallet.address(), coins)])).failed("ledger", "in memory", "")?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.failed("ledger", "in memory", "")?;
    let address = listener.local_addr().failed("ledger", "in memory", "")?;
    let serving = tokio::spawn(async move { node.serve(listener, std::future::pending()).await });
    let gas = async {
        let ledger = LedgerClient::connect(&format!("http://{address}")).await?;
        let publish = ledger.publish(&wallet, model_id, manifest.weights, &manifest.name).await?.gas_used;
        let bond = ledger.bond(&wallet, Amount(ASK_STAKE)).await?.gas_used;
        let terms = IAsks::Terms {
            privacy: Privacy::Sealed as u8,
            evidence: Evidence::Signed as u8,
            price: 1,
            promptPrice: 1,
            completionPrice: 1,
            capacity: 1,
            validUntil: ask_end_s(),
            sealingKey: B256::repeat_byte(1),
            endpoint: "http://255.255.255.255:65535".to_owned(),
        };
        let ask = ledger.set_ask(&wallet, model_id, terms).await?.gas_used;
        // Whoever has an ask has beaten, and beats again in the next hour.
        let clock = RpcClient::new(ledger.url(), CLOCK_TIMEOUT)?;
        clock.tell("evm_increaseTime", [json!([HOUR_S])], CLOCK_BYTES_MAX).await?;
        let beat = ledger.beat(&wallet).await?.gas_used;
        let join = bond.saturating_add(ask).saturating_add(if published { 0 } else { publish });
        Ok(Gas { join, beat })
    };
    let gas = gas.await.map_err(failed);
    serving.abort();
    gas
}

/// Tokens in a second, to a tenth.
fn rate(tokens: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64().max(1e-6);
    let tokens = tokens as f64;
    (tokens / seconds * 10.0).round() / 10.0
}

fn measured(figures: &Figures, load: &Load) -> Value {
    let (prompt, first) = figures.prompt;
    let (alone, alone_time) = figures.alone;
    let (requests, TokenCount { prompt: all_prompt, completion: all_completion }, wall) = figures.full;
    json!({
        "prompt_tokens_per_s": rate(prompt, first), "completion_tokens_per_s": rate(alone, alone_time),
        "full": {
            "requests_at_once": requests, "prompt_tokens": all_prompt, "completion_tokens": all_completion,
            "wall_us": u64::try_from(wall.as_micros()).unwrap_or(u64::MAX),
            "prompt_tokens_per_s": rate(all_prompt, wall), "completion_tokens_per_s": rate(all_completion, wall),
        },
        "asked": { "prompt_tokens": load.prompt_tokens, "completion_tokens_max": load.completion_tokens },
    })
}

fn text(result: &Value, output: Output) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let (measured, join) = (&result["measured"], &result["to_join"]);
    let full = &measured["full"];
    let mut lines = vec![
        format!("{} {}", word(&result["model"]), word(&result["model_id"])),
        format!(
            "alone: {} tokens of a prompt a second, {} tokens of a completion a second",
            measured["prompt_tokens_per_s"], measured["completion_tokens_per_s"]
        ),
        format!(
            "{} at once: {} and {} a second in all, measured together ({} and {} tokens)",
            full["requests_at_once"],
            full["prompt_tokens_per_s"],
            full["completion_tokens_per_s"],
            full["prompt_tokens"],
            full["completion_tokens"]
        ),
        String::new(),
    ];
    let shares = SHARES.map(|share| format!("{share} %"));
    let head = format!(
        "{:<24} {:>12} {:>12} {:>16} {:>16} {:>16}  break-even",
        "coins an hour, busy", "a million in", "out", shares[0], shares[1], shares[2]
    );
    lines.push(output.paint(Style::Dim, &head));
    let rows = result["prices"].as_array().map(Vec::as_slice).unwrap_or_default();
    for row in rows {
        let asks = row["asks"].as_u64().map_or_else(String::new, |asks| format!(" ({asks})"));
        let hourly = SHARES.map(|share| word(&row["coins_per_hour"][share.to_string()]));
        let pays = match (row["pays"].as_bool(), row["break_even_percent"].as_str()) {
            (Some(true), Some(share)) => format!("{share} % busy"),
            (Some(false), _) => "never at these prices".to_owned(),
            _ => "-".to_owned(),
        };
        lines.push(format!(
            "{:<24} {:>12} {:>12} {:>16} {:>16} {:>16}  {pays}",
            word(&row["source"]) + &asks,
            word(&row["prompt_price"]),
            word(&row["completion_price"]),
            hourly[0],
            hourly[1],
            hourly[2]
        ));
    }
    let has = |what: &str| rows.iter().any(|row| row["source"] == what);
    if !has("lowest of this model") {
        lines
            .push("nobody asks for this model on the ledger: what it is worth there is not known".to_owned());
    }
    if !has("lowest of other models") {
        lines.push("nobody asks for any other language model there".to_owned());
    }
    lines.push(String::new());
    lines.push(format!(
        "to join: a stake of {} coins, which comes home four days after it is asked back, and {} coins for {} gas",
        word(&join["stake"]),
        word(&join["fees"]),
        join["gas"]
    ));
    let stay = &result["to_stay"];
    lines.push(format!(
        "to stay: {} coins an hour for {} gas, by which the worker says on the ledger that it is there",
        word(&stay["fees_per_hour"]),
        stay["gas_per_hour"]
    ));
    lines.push(
        "how much is asked is not known: a price is what others want, not what anybody pays".to_owned(),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hours_coins_are_those_of_the_measured_requests() {
        let tokens = TokenCount { prompt: 1_000, completion: 500 };
        let full = Full { requests: 4, tokens, wall: Duration::from_secs(36) };
        let prices = TokenPrices { request: Amount(10), prompt: Amount(2), completion: Amount(3) };
        assert_eq!(full.bill(&prices).unwrap(), Amount(4 * 10 + 2_000 + 1_500));
        assert_eq!(full.hourly(&prices, 100).unwrap(), Amount(354_000));
        assert_eq!(full.hourly(&prices, 10).unwrap(), Amount(35_400));
        let row = Row { source: "yours", asks: None, prices };
        let told = |cost| row.told(&full, cost).unwrap();
        assert_eq!(told(None)["pays"], Value::Null);
        assert_eq!(told(Some(Amount(177_000)))["break_even_percent"], "50.0");
        assert_eq!(told(Some(Amount(177_001)))["break_even_percent"], "50.1");
        assert_eq!(
            (&told(Some(Amount(354_001)))["pays"], &told(Some(Amount(1)))["pays"]),
            (&json!(false), &json!(true))
        );
        let free = Row { prices: TokenPrices::default(), ..row };
        let told = free.told(&full, Some(Amount(1))).unwrap();
        assert_eq!((&told["break_even_percent"], &told["pays"]), (&Value::Null, &json!(false)));
        let dear = TokenPrices { prompt: Amount(u128::MAX / 10), ..prices };
        assert_eq!(full.hourly(&dear, 1).unwrap_err().code, "bad_amount");
    }
}
