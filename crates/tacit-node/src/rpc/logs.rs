//! Log queries: by index where the filter names an address or a first topic, by bloom otherwise.

use std::collections::BTreeSet;

use alloy_consensus::Header;
use alloy_primitives::B256;
use alloy_rpc_types_eth::{BlockNumberOrTag, Filter, FilterBlockOption, Log};

use super::{
    error::RpcError,
    frame::{Encoded, encode},
    params::{BlockRef, Params},
    read,
    server::Service,
    shape::{self, Place},
};
use crate::{
    config::RpcLimits,
    store::{Location, LogKey, StoredReceipt, View},
};

/// Addresses, or topics in one position, of a filter.
const ALTERNATIVES_MAX: usize = 1000;

pub(super) fn get(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let filter = parse(&mut params)?;
    params.end()?;
    let view = service.shared().store.view()?;
    let head = view.head()?.1.number;
    // An answer would look complete and could not be.
    if filter.get_to_block().is_some_and(|to| to > head) {
        return Err(RpcError::InvalidParams(format!("block range extends beyond the head, {head}")));
    }
    let Some((from, to)) = range(view.as_ref(), &filter)? else { return encode(&[(); 0]) };
    encode(&find(view.as_ref(), service.node.limits(), &filter, from, to)?)
}

/// Reads a filter.
pub(super) fn parse(params: &mut Params) -> Result<Filter, RpcError> {
    bounded(params.object()?)
}

/// Reads a filter; where there is none, all logs are meant.
pub(super) fn parse_or_all(params: &mut Params) -> Result<Filter, RpcError> {
    bounded(params.optional_object()?.unwrap_or_default())
}

fn bounded(filter: Filter) -> Result<Filter, RpcError> {
    let topics = filter.topics.iter().map(|topic| topic.len()).max().unwrap_or_default();
    if filter.address.len().max(topics) > ALTERNATIVES_MAX {
        return Err(RpcError::LimitExceeded(format!(
            "at most {ALTERNATIVES_MAX} addresses or topics in a position"
        )));
    }
    Ok(filter)
}

/// The heights that a filter spans, none when it spans nothing.
pub(super) fn range(view: &dyn View, filter: &Filter) -> Result<Option<(u64, u64)>, RpcError> {
    let head = view.head()?.1.number;
    match &filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let found = read::resolve(view, BlockRef::Hash(*hash))?.ok_or(RpcError::UnknownBlock)?;
            Ok(Some((found.header.number, found.header.number)))
        }
        FilterBlockOption::Range { from_block, to_block } => {
            let height = |tag: &Option<BlockNumberOrTag>| match tag {
                Some(BlockNumberOrTag::Number(height)) => Some(*height),
                Some(BlockNumberOrTag::Earliest) => Some(0),
                _ => None,
            };
            let (from, to) = (height(from_block), height(to_block));
            if from.zip(to).is_some_and(|(from, to)| from > to) {
                return Err(RpcError::InvalidParams(
                    "invalid block range: fromBlock is after toBlock".into(),
                ));
            }
            let (from, to) = (from.unwrap_or(head), to.unwrap_or(head));
            // An answer would look complete and could not be.
            if let Some(began) = view.began()?.filter(|began| from <= *began) {
                return Err(RpcError::Before { began });
            }
            Ok((from <= head).then_some((from, to.min(head))))
        }
    }
}

/// Logs that match, in order.
pub(super) fn find(
    view: &dyn View,
    limits: &RpcLimits,
    filter: &Filter,
    from: u64,
    to: u64,
) -> Result<Vec<Log>, RpcError> {
    let [first_topic, ..] = &filter.topics;
    let keys: Vec<LogKey> = if filter.address.is_empty() {
        first_topic.iter().map(|topic| LogKey::Topic(*topic)).collect()
    } else {
        filter.address.iter().map(|address| LogKey::Address(*address)).collect()
    };
    let mut search = Search { view, limits, filter, block: None, found: Vec::new() };
    if keys.is_empty() {
        search.scan(from, to)?;
    } else {
        let mut candidates = BTreeSet::new();
        for key in keys {
            let room = limits.log_candidates_max.saturating_sub(candidates.len());
            let located = view.logged(key, from, to, room.saturating_add(1))?;
            if located.len() > room {
                return Err(RpcError::LimitExceeded(format!(
                    "query looks at more than {} transactions; narrow the block range",
                    limits.log_candidates_max
                )));
            }
            candidates.extend(located);
        }
        for location in candidates {
            if let Some(receipt) = view.receipt(location)? {
                search.collect(location, &receipt)?;
            }
        }
    }
    Ok(search.found)
}

struct Search<'a> {
    view: &'a dyn View,
    limits: &'a RpcLimits,
    filter: &'a Filter,
    block: Option<(B256, Header)>,
    found: Vec<Log>,
}

impl Search<'_> {
    fn scan(&mut self, from: u64, to: u64) -> Result<(), RpcError> {
        let limit = self.limits.log_blocks_max;
        if to.saturating_sub(from) >= limit {
            return Err(RpcError::LimitExceeded(format!(
                "query without address or first topic may span at most {limit} blocks"
            )));
        }
        for height in from..=to {
            let Some((_, header)) = self.view.header(height)? else { continue };
            if !self.filter.matches_bloom(header.logs_bloom) || header.logs_bloom.is_zero() {
                continue;
            }
            for (index, receipt) in (0_u32..).zip(self.view.receipts(height)?) {
                self.collect(Location { height, index }, &receipt)?;
            }
        }
        Ok(())
    }

    fn collect(&mut self, location: Location, receipt: &StoredReceipt) -> Result<(), RpcError> {
        if !receipt.logs.iter().any(|log| self.filter.matches(log)) {
            return Ok(());
        }
        let Some(transaction) = self.view.transaction(location)? else { return Ok(()) };
        if self.block.as_ref().is_none_or(|(_, header)| header.number != location.height) {
            self.block = self.view.header(location.height)?;
        }
        let Some((hash, header)) = &self.block else { return Ok(()) };
        let place = Place { hash: *hash, header, index: location.index };
        let logs = shape::logs(receipt, *transaction.tx_hash(), place);
        self.found.extend(logs.into_iter().filter(|log| self.filter.matches(&log.inner)));
        if self.found.len() > self.limits.log_results_max {
            return Err(RpcError::LimitExceeded(format!(
                "query returned more than {} results",
                self.limits.log_results_max
            )));
        }
        Ok(())
    }
}
