//! Methods for development: blocks and time on request, and a way back.

use alloy_primitives::U64;
use serde_json::Value;

use super::{
    error::RpcError,
    frame::{Encoded, encode},
    params::{Params, quantity},
    server::Service,
};
use crate::writer::Command;

/// Blocks made by one request.
const BLOCKS_MAX: u64 = 1000;
/// How far one request moves the clock: a hundred years.
const SECONDS_MAX: u64 = 100 * 365 * 86_400;

pub(super) fn is_dev(method: &str) -> bool {
    method.starts_with("evm_") || matches!(method, "anvil_mine" | "hardhat_mine")
}

pub(super) async fn dispatch(service: &Service, method: &str, params: Params) -> Result<Encoded, RpcError> {
    if !service.node.shared().makes_blocks() {
        return Err(RpcError::MethodNotFound(method.to_owned()));
    }
    match method {
        "evm_mine" => mine(service, params).await,
        "anvil_mine" | "hardhat_mine" => mine_many(service, params).await,
        "evm_increaseTime" => increase_time(service, params).await,
        "evm_setNextBlockTimestamp" => set_next_timestamp(service, params).await,
        "evm_setAutomine" => set_automine(service, params).await,
        "evm_snapshot" => snapshot(service, params).await,
        "evm_revert" => revert(service, params).await,
        _ => Err(RpcError::MethodNotFound(method.to_owned())),
    }
}

/// `evm_mine`, with nothing, a timestamp, or `{timestamp, blocks}`.
async fn mine(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let number = |value: &Value| match value.as_u64() {
        Some(number) => Ok(number),
        None => quantity(value).map_err(|why| RpcError::InvalidParams(why.to_owned())),
    };
    let (timestamp, blocks) = match params.next() {
        None => (None, 1),
        Some(Value::Object(options)) => {
            let field =
                |name: &str| options.get(name).filter(|value| !value.is_null()).map(number).transpose();
            (field("timestamp")?, field("blocks")?.unwrap_or(1))
        }
        Some(value) => (Some(number(&value)?), 1),
    };
    params.end()?;
    mine_blocks(service, timestamp, blocks).await?;
    encode("0x0")
}

/// `anvil_mine(blocks)`.
async fn mine_many(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let blocks = match params.next() {
        None => 1,
        Some(value) => match value.as_u64() {
            Some(number) => number,
            None => quantity(&value).map_err(|why| RpcError::InvalidParams(why.to_owned()))?,
        },
    };
    if params.next().is_some_and(|interval| interval != "0x0" && interval != 0) {
        return Err(RpcError::InvalidParams("an interval between blocks is not supported".into()));
    }
    params.end()?;
    mine_blocks(service, None, blocks).await?;
    encode(&())
}

async fn mine_blocks(service: &Service, mut timestamp: Option<u64>, blocks: u64) -> Result<(), RpcError> {
    if blocks > BLOCKS_MAX {
        return Err(RpcError::InvalidParams(format!("at most {BLOCKS_MAX} blocks at a time")));
    }
    for _ in 0..blocks {
        let timestamp = timestamp.take();
        service.node.command(|reply| Command::Mine { timestamp, reply }).await?;
    }
    Ok(())
}

async fn increase_time(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let seconds = params.number()?;
    params.end()?;
    if seconds > SECONDS_MAX {
        return Err(RpcError::InvalidParams(format!("at most {SECONDS_MAX} seconds at a time")));
    }
    encode(&service.node.command(|reply| Command::IncreaseTime { seconds, reply }).await?)
}

async fn set_next_timestamp(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let timestamp = params.number()?;
    params.end()?;
    service.node.command(|reply| Command::SetNextTimestamp { timestamp, reply }).await?;
    encode(&())
}

async fn set_automine(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let on = params.flag()?;
    params.end()?;
    service.node.command(|reply| Command::Automine { on, reply }).await?;
    encode(&())
}

async fn snapshot(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    params.end()?;
    encode(&U64::from(service.node.command(|reply| Command::Snapshot { reply }).await?))
}

async fn revert(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let snapshot = params.number()?;
    params.end()?;
    encode(&service.node.command(|reply| Command::Revert { snapshot, reply }).await?)
}
