//! Following a network without a vote: blocks, state, receipts and indices of one's own, believing nobody.
//!
//! # Life of a block
//! 1. A [`Source`] says how far it is, and gives the certificate of a block some way ahead; the certificate is checked under what is
//!    known of the network ([`Trust`]).
//! 2. It gives the blocks up to the certified one. They must be a chain of parent hashes from the head here to there, with the
//!    transactions and seals that their headers name. Until that is checked, nothing of them is used.
//! 3. Each is executed ([`Node::append`]) and kept with its seal, the last with its certificate, from which others can be served.
//!
//! # Sources
//! They are asked in turn. One that does not answer rests, longer each time; one that served something that does not verify is
//! named in a log line and not asked for [`FollowTiming::shunned`]. As long as one of them is honest and can be reached, the
//! follower goes on; without any it stays where it is. A source can say less than it knows, never what is not so.
//!
//! # Transactions
//! What clients send here goes to a source at once, and again, to the next one, until a block has it.
//!
//! # Checkpoints
//! [`begin`] fills an empty directory with the state after a certified checkpoint (see [`crate::snapshot`]); the follower goes on
//! from there.

mod batch;
mod source;

use std::{path::Path, sync::Arc, time::Duration};

use alloy_consensus::{TxEnvelope, transaction::Recovered};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::Bytes;
use tacit_ledger::Genesis;
use tacit_light::{Finality, LightError, Trust};
use thiserror::Error;
use tokio::time::{interval, sleep, timeout};

use self::source::Sources;
pub use self::{
    batch::{Lie, check_blocks, check_certificate},
    source::{Answer, Chunks, Source, Unanswered},
};
use crate::{
    follow::{RawBlock, Taken},
    node::Node,
    snapshot::{Refused, Taking},
    store::StoreError,
    writer::WriteError,
};

/// How long things take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowTiming {
    /// Between two questions whether there is a new block.
    pub poll: Duration,
    /// How long a source that gave no answer rests, the first time.
    pub rest: Duration,
    /// How long it rests at most.
    pub rest_max: Duration,
    /// How long a source that lied is not asked.
    pub shunned: Duration,
    /// How long a source may take to say how far it is: while it is asked, the others are not.
    pub head_max: Duration,
    /// How long it may take for all blocks of one certificate.
    pub blocks_max: Duration,
    /// How long transactions wait for a block before they are sent again.
    pub resend: Duration,
}

impl Default for FollowTiming {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(200),
            rest: Duration::from_millis(500),
            rest_max: Duration::from_secs(30),
            shunned: Duration::from_secs(600),
            head_max: Duration::from_secs(3),
            blocks_max: Duration::from_secs(60),
            resend: Duration::from_secs(3),
        }
    }
}

/// A node that follows its network over others.
pub struct Follower {
    node: Node,
    trust: Trust,
    sources: Arc<Sources>,
    timing: FollowTiming,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("node", &self.node).finish_non_exhaustive()
    }
}

/// What asking a source came to.
enum Step {
    /// Blocks were taken, and it has more.
    More,
    /// All that it has and that has a certificate is here.
    Newest,
}

/// Why nothing was taken from a source.
enum Fault {
    Unanswered(Unanswered),
    Lie(Lie),
    /// The node takes nothing more.
    Stop(WriteError),
}

impl From<Unanswered> for Fault {
    fn from(why: Unanswered) -> Self {
        Self::Unanswered(why)
    }
}

impl From<Lie> for Fault {
    fn from(lie: Lie) -> Self {
        Self::Lie(lie)
    }
}

impl Follower {
    /// Follows the network that `trust` knows, over `sources`, with `node`, which was opened for that network.
    #[must_use]
    pub fn new(node: Node, trust: Trust, sources: Vec<Arc<dyn Source>>, timing: FollowTiming) -> Self {
        Self { node, trust, sources: Arc::new(Sources::new(sources)), timing }
    }

    /// Follows for as long as it is awaited. It ends by itself only when the node takes nothing more; that is why.
    pub async fn run(self) -> WriteError {
        let taken = self.node.taken();
        tokio::select! {
            why = self.follow() => why,
            () = self.pass_on(taken) => WriteError::Closing,
        }
    }

    async fn follow(&self) -> WriteError {
        let mut turn = 0;
        loop {
            let usable = self.sources.usable(turn);
            let Some(index) = usable.first().copied() else {
                sleep(self.timing.poll).await;
                continue;
            };
            match self.step(index).await {
                Ok(Step::More) => {
                    self.sources.answered(index, false);
                    turn = index;
                    continue;
                }
                Ok(Step::Newest) => self.sources.answered(index, true),
                Err(Fault::Unanswered(why)) => {
                    tracing::info!(source = self.name(index), %why, "a source does not answer");
                    self.sources.rests(index, self.timing.rest, self.timing.rest_max);
                }
                Err(Fault::Lie(lie)) => {
                    let source = self.name(index);
                    tracing::warn!(%source, %lie, "what a source serves does not verify; it is not asked for a while");
                    self.sources.rests(index, self.timing.shunned, self.timing.shunned);
                }
                Err(Fault::Stop(why)) => return why,
            }
            if !self.node.has_caught_up() && self.sources.have_no_more() {
                self.node.catch_up();
            }
            turn = index.saturating_add(1);
            sleep(self.timing.poll).await;
        }
    }

    fn name(&self, index: usize) -> String {
        self.sources.get(index).map(|source| source.name().to_owned()).unwrap_or_default()
    }

    /// Takes the next blocks of a source.
    async fn step(&self, index: usize) -> Result<Step, Fault> {
        let Some(source) = self.sources.get(index) else { return Ok(Step::Newest) };
        let slow = |_| Unanswered("it takes too long".into());
        let theirs = timeout(self.timing.head_max, source.head()).await.map_err(slow)??;
        self.node.shared().hear_of(theirs);
        let head = self.node.head();
        if theirs <= head.number {
            return Ok(Step::Newest);
        }
        let asked = timeout(self.timing.blocks_max, self.ask(source, head.number, theirs));
        let Some((finality, blocks)) = asked.await.map_err(slow)?? else {
            // The newest ones get theirs in a moment.
            return match theirs.saturating_sub(head.number) {
                ..=BATCH => Ok(Step::Newest),
                _ => {
                    Err(Unanswered(format!("it says that it has block {theirs}, and has no certificate"))
                        .into())
                }
            };
        };
        let checked = tokio::task::spawn_blocking(move || check_blocks(&head, finality, blocks));
        let blocks = checked.await.map_err(|_| Fault::Stop(WriteError::Closing))??;
        for block in blocks {
            self.node.append(block).await.map_err(Fault::Stop)?;
        }
        Ok(if self.node.head().number < theirs { Step::More } else { Step::Newest })
    }

    /// A certificate of a block beyond `head`, and the blocks up to it, which are not checked yet.
    async fn ask(
        &self,
        source: &Arc<dyn Source>,
        head: u64,
        theirs: u64,
    ) -> Result<Option<(Finality, Vec<RawBlock>)>, Fault> {
        let first = head.saturating_add(1);
        let target = head.saturating_add(BATCH).min(theirs);
        // The nearer one where the farther has no certificate: a block is final for some time before it has one.
        let mut found = None;
        for asked in [target, first] {
            found = self.certificate(source, asked).await?;
            if found.is_some() {
                break;
            }
        }
        let Some(finality) = found else { return Ok(None) };
        let certified = finality.headers.last().map_or(head, |header| header.number);
        let blocks = fetch(source, first, certified).await?;
        Ok(Some((finality, blocks)))
    }

    async fn certificate(&self, source: &Arc<dyn Source>, asked: u64) -> Result<Option<Finality>, Fault> {
        let Some(bytes) = source.finality(asked).await? else { return Ok(None) };
        match check_certificate(&self.trust, asked, &bytes) {
            Ok(finality) => Ok(Some(finality)),
            // Of the kind that is not known here: true perhaps, and of no use.
            Err(Lie::Final { error: LightError::NoValidators | LightError::NoGroup, .. }) => Ok(None),
            Err(lie) => Err(lie.into()),
        }
    }

    /// Passes on what clients send here, until the node closes.
    async fn pass_on(&self, mut taken: Taken) {
        let mut turn = 0_usize;
        let mut again = interval(self.timing.resend);
        loop {
            let (first, batch) = tokio::select! {
                batch = taken.next() => match batch {
                    Some(batch) => (turn, encoded(&batch)),
                    None => return,
                },
                _ = again.tick() => (turn.saturating_add(1), encoded(&self.node.waiting(RESENT))),
            };
            turn = self.send(first, batch).await;
        }
    }

    /// Hands transactions to the first source that takes them; gives its place.
    async fn send(&self, turn: usize, transactions: Vec<Bytes>) -> usize {
        let usable = self.sources.usable(turn);
        if transactions.is_empty() {
            return usable.first().copied().unwrap_or_default();
        }
        for index in usable {
            let Some(source) = self.sources.get(index) else { continue };
            match source.send(transactions.clone()).await {
                Ok(()) => return index,
                Err(why) => tracing::debug!(source = source.name(), %why, "a source takes no transactions"),
            }
        }
        0
    }
}

fn encoded(transactions: &[Recovered<TxEnvelope>]) -> Vec<Bytes> {
    transactions.iter().map(|transaction| transaction.encoded_2718().into()).collect()
}

/// Blocks `first..=last`, in as many answers as it takes.
async fn fetch(source: &Arc<dyn Source>, first: u64, last: u64) -> Result<Vec<RawBlock>, Fault> {
    let mut blocks = Vec::new();
    let mut next = first;
    while next <= last {
        let expected = last.saturating_sub(next).saturating_add(1);
        let more = source.blocks(next, expected).await?;
        let got = more.len();
        if u64::try_from(got).is_ok_and(|got| got > expected) {
            return Err(Lie::TooMany { expected, got }.into());
        }
        if more.is_empty() {
            return Err(Unanswered(format!(
                "it does not have block {next}, of which it says that it is final"
            ))
            .into());
        }
        next = next.saturating_add(u64::try_from(got).unwrap_or(u64::MAX));
        blocks.extend(more);
    }
    Ok(blocks)
}

/// Why a node did not begin with a checkpoint.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BeginError {
    /// No source had a snapshot that is true.
    #[error("no source gave a checkpoint; {source_name}: {why}")]
    NoSnapshot {
        /// The last one asked.
        source_name: String,
        /// Why its snapshot was not taken.
        why: String,
    },
    /// There is nobody to ask.
    #[error("there are no sources")]
    NoSources,
    /// The directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Fills the empty `data_dir` with the state after the newest checkpoint that one of `sources` has, at most `bytes_max` of it.
/// Gives the number of the checkpoint's block. What an interrupted attempt left is thrown away.
///
/// # Errors
/// [`BeginError`]; the directory holds no chain then.
pub async fn begin(
    data_dir: &Path,
    genesis: &Genesis,
    trust: &Trust,
    sources: &[Arc<dyn Source>],
    bytes_max: u64,
) -> Result<u64, BeginError> {
    let mut last = Err(BeginError::NoSources);
    for source in sources {
        let why = match take(data_dir, genesis, trust, source, bytes_max).await {
            Ok(number) => return Ok(number),
            Err(Begun::Store(error)) => return Err(error.into()),
            Err(Begun::Unanswered(why)) => why.to_string(),
            Err(Begun::Lie(lie)) => {
                tracing::warn!(source = source.name(), %lie, "a source serves a snapshot that does not verify");
                lie.to_string()
            }
        };
        last = Err(BeginError::NoSnapshot { source_name: source.name().to_owned(), why });
    }
    last
}

enum Begun {
    Store(StoreError),
    Unanswered(Unanswered),
    Lie(Lie),
}

impl From<Refused> for Begun {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Store(error) => Self::Store(error),
            Refused::Snapshot(reject) => Self::Lie(reject.into()),
        }
    }
}

async fn take(
    data_dir: &Path,
    genesis: &Genesis,
    trust: &Trust,
    source: &Arc<dyn Source>,
    bytes_max: u64,
) -> Result<u64, Begun> {
    let mut chunks = source.snapshot().await.map_err(Begun::Unanswered)?;
    let mut taking = Taking::begin(data_dir, genesis, trust.clone(), bytes_max).map_err(Begun::Store)?;
    while let Some(bytes) = chunks.next().await.map_err(Begun::Unanswered)? {
        let taken = tokio::task::spawn_blocking(move || taking.take(&bytes).map(|()| taking));
        taking = taken.await.map_err(|_| Begun::Unanswered(Unanswered("the task ended early".into())))??;
    }
    let finished = tokio::task::spawn_blocking(move || taking.finish());
    Ok(finished.await.map_err(|_| Begun::Unanswered(Unanswered("the task ended early".into())))??)
}

/// Blocks taken together: no more than headers of one certificate reach back, so that each can be proved from here.
const BATCH: u64 = tacit_light::HEADERS_MAX as u64;
/// Transactions sent again together.
const RESENT: usize = 1000;
