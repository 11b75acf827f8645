//! Polling filters: what happened since the last question.

use std::{collections::BTreeMap, ops::RangeInclusive};

use alloy_primitives::{B256, U64};
use alloy_rpc_types_eth::Filter;

use super::{
    error::RpcError,
    frame::{Encoded, encode},
    logs as query,
    params::Params,
    server::Service,
};

/// What a filter reports.
#[derive(Debug, Clone)]
enum Kind {
    Logs(Box<Filter>),
    Blocks,
    Transactions,
}

#[derive(Debug, Clone)]
struct Entry {
    kind: Kind,
    /// First height not reported yet.
    next: u64,
    used: u64,
}

/// All filters, by id.
#[derive(Debug)]
pub(super) struct Filters {
    limit: usize,
    last_id: u64,
    clock: u64,
    entries: BTreeMap<u64, Entry>,
}

impl Filters {
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, last_id: 0, clock: 0, entries: BTreeMap::new() }
    }

    fn tick(&mut self) -> u64 {
        self.clock = self.clock.saturating_add(1);
        self.clock
    }

    fn insert(&mut self, kind: Kind, next: u64) -> u64 {
        while self.entries.len() >= self.limit.max(1) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(id, _)| *id);
            let Some(oldest) = oldest else { break };
            self.entries.remove(&oldest);
        }
        self.last_id = self.last_id.saturating_add(1);
        let entry = Entry { kind, next, used: self.tick() };
        self.entries.insert(self.last_id, entry);
        self.last_id
    }

    /// The filter with the heights to tell now, at most `span` up to `head`; it then counts as told.
    fn take(&mut self, id: u64, head: u64, span: u64) -> Option<(Kind, RangeInclusive<u64>)> {
        let used = self.tick();
        let entry = self.entries.get_mut(&id)?;
        // After going back to a snapshot the head can be below what was told.
        let from = entry.next.min(head.saturating_add(1));
        let to = head.min(from.saturating_add(span).saturating_sub(1));
        entry.used = used;
        entry.next = to.saturating_add(1);
        Some((entry.kind.clone(), from..=to))
    }
}

pub(super) fn new_logs(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let filter = query::parse(&mut params)?;
    params.end()?;
    install(service, Kind::Logs(Box::new(filter)))
}

pub(super) fn new_blocks(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    params.end()?;
    install(service, Kind::Blocks)
}

/// Transactions are mined at once here, so this reports them when they are.
pub(super) fn new_pending(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    params.flag()?;
    params.end()?;
    install(service, Kind::Transactions)
}

fn install(service: &Service, kind: Kind) -> Result<Encoded, RpcError> {
    let next = service.shared().head().number.saturating_add(1);
    encode(&U64::from(service.filters().insert(kind, next)))
}

pub(super) fn changes(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let id = params.quantity()?;
    params.end()?;
    let view = service.shared().store.view()?;
    let head = view.head()?.1.number;
    let span = service.node.limits().log_blocks_max;
    let taken = service.filters().take(id, head, span);
    let (kind, told) = taken.ok_or(RpcError::NotFound("filter"))?;
    match kind {
        Kind::Logs(filter) => {
            let Some((from, to)) = query::range(view.as_ref(), &open_ended(&filter))? else {
                return encode(&[(); 0]);
            };
            let (from, to) = (from.max(*told.start()), to.min(*told.end()));
            encode(&query::find(view.as_ref(), service.node.limits(), &filter, from, to)?)
        }
        Kind::Blocks => {
            let mut hashes: Vec<B256> = Vec::new();
            for height in told {
                hashes.extend(view.header(height)?.map(|(hash, _)| hash));
            }
            encode(&hashes)
        }
        Kind::Transactions => {
            let mut hashes: Vec<B256> = Vec::new();
            for height in told {
                hashes.extend(view.transactions(height)?.iter().map(|transaction| *transaction.tx_hash()));
            }
            encode(&hashes)
        }
    }
}

/// A filter that begins at `latest` means every later block too: what is new is decided by what was told.
fn open_ended(filter: &Filter) -> Filter {
    let mut filter = filter.clone();
    if filter.get_from_block().is_none()
        && let alloy_rpc_types_eth::FilterBlockOption::Range { from_block, .. } = &mut filter.block_option
    {
        *from_block = Some(0.into());
    }
    filter
}

pub(super) fn logs(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let id = params.quantity()?;
    params.end()?;
    let kind = service.filters().entries.get(&id).map(|entry| entry.kind.clone());
    let Some(Kind::Logs(filter)) = kind else { return Err(RpcError::NotFound("filter")) };
    let view = service.shared().store.view()?;
    let Some((from, to)) = query::range(view.as_ref(), &filter)? else { return encode(&[(); 0]) };
    encode(&query::find(view.as_ref(), service.node.limits(), &filter, from, to)?)
}

pub(super) fn uninstall(service: &Service, mut params: Params) -> Result<Encoded, RpcError> {
    let id = params.quantity()?;
    params.end()?;
    encode(&service.filters().entries.remove(&id).is_some())
}
