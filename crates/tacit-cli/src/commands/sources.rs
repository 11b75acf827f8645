//! Other nodes over HTTP, of which a follower or a new validator believes none.

use crate::failure::{Context, Failure};
use crate::output::Output;
use alloy_primitives::{Bytes, U256};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tacit_ledger::Genesis;
use tacit_light::Trust;
use tacit_node::follower::{self, Answer, BeginError, Chunks, Source, Unanswered};
use tacit_node::{RawBlock, StoreError};
use tacit_wire::RpcClient;
use tacit_wire::http::{Download, JsonClient};

/// Fills an empty folder with the state at the newest checkpoint, of at most so many GiB.
pub(crate) async fn begin(
    data: &Path,
    (genesis, trust): (&Genesis, &Trust),
    sources: &[Arc<dyn Source>],
    gib_max: u32,
    output: Output,
) -> Result<(), Failure> {
    let bytes_max = u64::from(gib_max) << 30;
    let started = Instant::now();
    let begun = follower::begin(data, genesis, trust, sources, bytes_max).await;
    let number = begun.map_err(|error| {
        let hint = match &error {
            BeginError::NoSnapshot { .. } => {
                "ask another node, or leave --from-checkpoint out: every block is executed then"
            }
            BeginError::Store(StoreError::Locked { .. }) => "another process uses this folder; stop it",
            _ => "",
        };
        Failure::new("no_checkpoint", crate::failure::sentence(&error), hint)
    })?;
    output.note(format!(
        "the state after block {number} is here, as the validators certified it ({:.1} s)",
        started.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// A node over HTTP.
struct HttpSource {
    rpc: RpcClient,
    http: JsonClient,
}

/// The nodes at these addresses.
pub(crate) fn sources(urls: &[String]) -> Result<Vec<Arc<dyn Source>>, Failure> {
    urls.iter().map(|url| source(url)).collect()
}

fn source(url: &str) -> Result<Arc<dyn Source>, Failure> {
    let url = url.trim_end_matches('/');
    let rpc = RpcClient::new(url, ANSWER_MAX).failed("http", "no HTTP here", "")?;
    let http = JsonClient::new(SNAPSHOT_MAX).failed("http", "no HTTP here", "")?;
    Ok(Arc::new(HttpSource { rpc, http }))
}

fn unanswered(error: impl std::error::Error) -> Unanswered {
    Unanswered(crate::failure::sentence(&error))
}

impl Source for HttpSource {
    fn name(&self) -> &str {
        self.rpc.url()
    }

    fn head(&self) -> Answer<'_, u64> {
        Box::pin(async {
            let head: Option<U256> =
                self.rpc.ask("eth_blockNumber", json!([]), SHORT_BYTES_MAX).await.map_err(unanswered)?;
            let head = head.and_then(|head| u64::try_from(head).ok());
            head.ok_or_else(|| Unanswered("its newest block has no number".into()))
        })
    }

    fn blocks(&self, first: u64, count: u64) -> Answer<'_, Vec<RawBlock>> {
        Box::pin(async move {
            let params = json!([format!("{first:#x}"), format!("{count:#x}")]);
            let blocks =
                self.rpc.ask("tacit_getBlocks", params, BLOCKS_BYTES_MAX).await.map_err(unanswered)?;
            Ok(blocks.unwrap_or_default())
        })
    }

    fn finality(&self, number: u64) -> Answer<'_, Option<Bytes>> {
        Box::pin(async move {
            let params = json!([format!("{number:#x}")]);
            self.rpc.ask("tacit_getFinality", params, SHORT_BYTES_MAX).await.map_err(unanswered)
        })
    }

    fn votes(&self, number: u64) -> Answer<'_, Option<Bytes>> {
        Box::pin(async move {
            let params = json!([format!("{number:#x}")]);
            self.rpc.ask("tacit_getVotes", params, SHORT_BYTES_MAX).await.map_err(unanswered)
        })
    }

    fn send(&self, transactions: Vec<Bytes>) -> Answer<'_, ()> {
        Box::pin(async move {
            let params = transactions.iter().map(|bytes| json!([bytes]));
            self.rpc.tell("eth_sendRawTransaction", params, SHORT_BYTES_MAX).await.map_err(unanswered)
        })
    }

    fn snapshot(&self) -> Answer<'_, Box<dyn Chunks>> {
        Box::pin(async {
            let url = format!("{}/snapshot", self.rpc.url());
            let download = self.http.download(&url, STALL_MAX).await.map_err(unanswered)?;
            Ok(Box::new(HttpChunks(download)) as Box<dyn Chunks>)
        })
    }
}

struct HttpChunks(Download);

impl Chunks for HttpChunks {
    fn next(&mut self) -> Answer<'_, Option<Bytes>> {
        Box::pin(async { Ok(self.0.next().await.map_err(unanswered)?.map(Bytes::from)) })
    }
}

/// How long a source may take for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// How long it may take for a snapshot, as long as parts of it come.
const SNAPSHOT_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long it may take for the next part.
const STALL_MAX: Duration = Duration::from_secs(60);
/// Longest answer without blocks: a certificate, or what became of a batch of transactions.
const SHORT_BYTES_MAX: usize = 1 << 20;
/// Longest answer with blocks: one may be longer than all others together are allowed to be, and hex digits double it.
const BLOCKS_BYTES_MAX: usize = 8 << 20;
