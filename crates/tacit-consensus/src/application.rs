//! The ledger as consensus drives it: blocks are proposed, checked, and handed on when final.
//!
//! # Check
//! A validator votes for a block only if, on top of its parent,
//! 1. the header keeps every rule that needs no execution ([`Rules::check`]),
//! 2. its clock has come within reach of the timestamp (until then it waits: see [`Rules::wait`]),
//! 3. its sink has executed the block that a checkpoint in the seal is about, and to the same root,
//! 4. every signature recovers, every transaction is included by the executor, none left out,
//! 5. execution gives the very same header, `stateRoot` and the seal's range included.
//!
//! That block and parent are those of the view is checked by the engine's wrapper, before the first vote, and the seal's payload by
//! another, around this application (`epochs`).
//!
//! # Failure
//! A state database that cannot be read, or a sink that cannot take a block, ends the process by a panic: a validator that
//! cannot tell whether a block is valid must not say that it is not. The engine does the same with failures of its own stores.
//! Dropping any future here at any time is harmless: nothing is kept between calls.

use crate::{
    block::{BLOCK_BYTES_MAX, ChainBlock, ConsensusContext, Seal},
    bridge::StateError,
    execution::execute_block,
    ports::{BlockSink, CandidateLimits, TransactionSource},
    rules::{Pace, Rules},
    state::{Key, ReadError, ReadState, StateDb, Value, writes},
};
use alloy_consensus::{
    Header, Sealed, TxEnvelope,
    transaction::{Recovered, SignerRecoverable as _},
};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes};
use commonware_consensus::{
    Heightable as _, marshal::ancestry::Ancestry, simplex::scheme::ed25519, types::Height,
};
use commonware_cryptography::{bls12381::primitives::variant::MinSig, ed25519::PrivateKey, sha256};
use commonware_glue::{
    dkg::reshare,
    stateful::{
        Application, Finality, Input, Proposed,
        db::{DatabaseSet, Merkleized as _, Shared, Unmerkleized as _},
    },
};
use commonware_macros::select;
use commonware_runtime::{Clock, Handle, Spawner};
use commonware_storage::{
    Context as StorageContext,
    merkle::mmr,
    mmr::Location,
    qmdb::{self, sync::Target},
};
use commonware_utils::range::NonEmptyRange;
use core::{fmt, future::pending, time::Duration};
use futures::StreamExt as _;
use std::{sync::Arc, time::UNIX_EPOCH};
use tacit_ledger::{Attributes, ExecuteError, Executed};
use tacit_light::Checkpoint;
use tracing::{info, warn};

/// What a proposal is given besides its place: the payload that belongs into its seal.
pub type ProposalInput = reshare::Input<(), MinSig, PrivateKey>;

type Batch<E> = <Shared<StateDb<E>> as DatabaseSet<E>>::Unmerkleized;
type Applied<E> = <Shared<StateDb<E>> as DatabaseSet<E>>::Merkleized;

/// The application that consensus runs. Clones share source and sink.
#[derive(Clone)]
pub struct Ledger<T, S> {
    rules: Rules,
    pace: Pace,
    beneficiary: Address,
    genesis: Arc<ChainBlock>,
    source: T,
    sink: S,
}

impl<T, S> fmt::Debug for Ledger<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl<T: TransactionSource, S: BlockSink> Ledger<T, S> {
    /// A ledger that starts at `genesis`, whose proposals pay priority fees to `beneficiary`.
    pub fn new(
        rules: Rules,
        pace: Pace,
        beneficiary: Address,
        genesis: Arc<ChainBlock>,
        source: T,
        sink: S,
    ) -> Self {
        Self { rules, pace, beneficiary, genesis, source, sink }
    }

    /// Waits until it is time to propose: not before `busy`, then for a transaction, but not beyond `idle`.
    async fn wait_turn<E: Clock>(&self, context: &E) {
        context.sleep(self.pace.busy).await;
        let rest = self.pace.idle.saturating_sub(self.pace.busy);
        select! {
            () = self.source.ready() => {},
            () = context.sleep(rest) => {},
        }
    }

    /// The checkpoint that is due in a block; waits until the sink knows the state.
    async fn checkpoint(&self, height: Height, number: u64) -> Option<Checkpoint> {
        let number = self.rules.checkpoint(height, number)?;
        match self.sink.state_root(number).await {
            Ok(root) => Some(Checkpoint { number, root }),
            Err(error) => halt(&error),
        }
    }

    async fn candidates(&self, parent: &Header) -> Vec<Recovered<TxEnvelope>> {
        let limits = CandidateLimits {
            gas_max: self.rules.chain.gas_limit,
            bytes_max: BLOCK_BYTES_MAX - HEADER_BYTES_MAX,
            base_fee: self.rules.chain.next_base_fee(parent),
        };
        let mut candidates = self.source.candidates(parent, limits).await;
        let mut left = limits.bytes_max;
        let fit = candidates.iter().take_while(|candidate| {
            let bytes = candidate.inner().encode_2718_len().saturating_add(ITEM_BYTES_MAX);
            let rest = left.checked_sub(bytes);
            left = rest.unwrap_or_default();
            rest.is_some()
        });
        let fit = fit.count();
        candidates.truncate(fit);
        candidates
    }
}

impl<E, T, S> Application<E> for Ledger<T, S>
where
    E: Spawner + StorageContext + Clock,
    T: TransactionSource,
    S: BlockSink,
{
    type SigningScheme = ed25519::Scheme;
    type Context = ConsensusContext;
    type Block = ChainBlock;
    type Databases = Shared<StateDb<E>>;
    type Captured = ();
    type Provider = ();
    type Input = ProposalInput;

    fn sync_targets(block: &ChainBlock) -> Target<mmr::Family, sha256::Digest> {
        Target::new(sha256::Digest(block.block().header.state_root.0), block.seal().range.clone())
    }

    async fn genesis(&mut self) -> ChainBlock {
        (*self.genesis).clone()
    }

    async fn propose(
        &mut self,
        (context, position): (E, ConsensusContext),
        mut ancestry: impl Ancestry<ChainBlock>,
        batches: Batch<E>,
        input: Input<ProposalInput, ()>,
    ) -> Option<Proposed<Self, E>> {
        let above = ancestry.next().await?.inner_shared();
        let (parent, height) = (above.header(), above.height().next());
        let number = parent.number.checked_add(1)?;
        // Where nothing has become final for so long that the root is not there, blocks go on without it.
        let checkpoint = select! {
            checkpoint = self.checkpoint(height, number) => checkpoint,
            () = context.sleep(self.pace.busy) => None,
        };
        self.wait_turn(&context).await;
        let candidates = self.candidates(&parent).await;
        let mut attributes = Attributes {
            timestamp: self.rules.timestamp(&parent, now(&context).as_secs()),
            beneficiary: self.beneficiary,
            prev_randao: Rules::mix_hash(&above),
            extra_data: Bytes::new(),
        };
        let job = Job { rules: self.rules, parent: parent.clone(), attributes: attributes.clone() };
        let (executed, applied) = run(&context, job, batches, move || Some(candidates)).await?;
        let payload = input.upstream.payload;
        let seal = Seal { context: position, height, range: range(&applied)?, checkpoint, payload };
        attributes.extra_data = Bytes::copy_from_slice(seal.commitment().as_slice());
        let block = executed.seal(&parent, &attributes, B256::new(applied.root().0)).into_inner();
        match ChainBlock::new(seal, block) {
            Ok(block) => Some(Proposed { block, merkleized: applied }),
            Err(error) => {
                warn!(%error, "proposal dropped");
                None
            }
        }
    }

    async fn process(
        &mut self,
        (context, _): (E, ConsensusContext),
        mut ancestry: impl Ancestry<ChainBlock>,
        batches: Batch<E>,
        finality: Finality,
    ) -> Option<Applied<E>> {
        // An ancestry ends early where heights contradict each other, which no valid block's do, and when the engine stops.
        let block = ancestry.next().await?.inner_shared();
        let parent = ancestry.next().await?.inner_shared();
        let header = &block.block().header;
        if let Err(violation) = self.rules.check(&parent, &block) {
            info!(hash = %block.hash(), %violation, "block refused");
            return None;
        }
        if finality == Finality::Candidate {
            let wait = self.rules.wait(header.timestamp, now(&context));
            if !wait.is_zero() {
                warn!(hash = %block.hash(), ?wait, "the vote waits for this validator's clock: it is behind, or the leader's ahead");
                context.sleep(wait).await;
            }
        }
        // Where one is due, the rules have it that it is of this block.
        if let Some(got) = block.seal().checkpoint
            && self.checkpoint(block.height(), header.number).await != Some(got)
        {
            info!(hash = %block.hash(), "block refused: its checkpoint is of another state");
            return None;
        }
        let attributes = Attributes {
            timestamp: header.timestamp,
            beneficiary: header.beneficiary,
            prev_randao: header.mix_hash,
            extra_data: header.extra_data.clone(),
        };
        let (source, body) = (self.source.clone(), Arc::clone(&block));
        let recover = move || {
            let recovered = recover(&source, &body.block().body.transactions)?;
            source.seen(body.block().header.number, &recovered);
            Some(recovered)
        };
        let job = Job { rules: self.rules, parent: parent.header(), attributes: attributes.clone() };
        let (executed, applied) = run(&context, job, batches, recover).await?;
        if let Some(rejected) = executed.rejected.first() {
            info!(hash = %block.hash(), index = rejected.index, reason = %rejected.reason, "block refused");
            return None;
        }
        let expected = executed.seal(&parent.header(), &attributes, B256::new(applied.root().0));
        if expected.hash() != block.hash() || range(&applied).as_ref() != Some(&block.seal().range) {
            info!(hash = %block.hash(), expected = %expected.hash(), "block refused: execution gives another header");
            return None;
        }
        Some(applied)
    }

    async fn capture(
        &mut self,
        _: (E, ConsensusContext),
        _: &ChainBlock,
        _: &Applied<E>,
        _: <Self::Databases as DatabaseSet<E>>::Readers,
    ) {
    }

    async fn finalized(
        &mut self,
        _: (E, ConsensusContext),
        block: &ChainBlock,
        (): (),
        _: <Self::Databases as DatabaseSet<E>>::Readers,
    ) {
        if let Err(error) = self.sink.finalized(block).await {
            halt(&error);
        }
    }
}

/// What an execution needs besides transactions and state.
struct Job {
    rules: Rules,
    parent: Sealed<Header>,
    attributes: Attributes,
}

/// Executes and merkleizes in a task of its own, which stays on one thread and keeps no other task waiting. `None`: the transactions are not to be had, a rule is broken, or the
/// branch has lost.
async fn run<E, C>(context: &E, job: Job, batch: Batch<E>, transactions: C) -> Option<(Executed, Applied<E>)>
where
    E: Spawner + StorageContext + Clock,
    C: FnOnce() -> Option<Vec<Recovered<TxEnvelope>>> + Send + 'static,
{
    let work = context.child("execute").shared(true).spawn(move |_| async move {
        let transactions = transactions()?;
        let state = BatchState(&batch);
        let executed =
            execute_block(job.rules.chain, &job.parent, &job.attributes, &state, transactions).await;
        let executed = settle(executed)?;
        let parent = (job.parent.number, job.parent.hash());
        let batch = writes(&executed.changes, Some(parent))
            .into_iter()
            .fold(batch, |batch, (key, value)| batch.write(key, value));
        match batch.merkleize().await {
            Ok(applied) => Some((executed, applied)),
            Err(qmdb::Error::StaleBatch | qmdb::Error::StaleRead) => None,
            Err(error) => halt(&error),
        }
    });
    match (&mut AbortOnDrop(work).0).await {
        Ok(outcome) => outcome,
        // The runtime is stopping.
        Err(_) => pending().await,
    }
}

/// Tells what is the block's fault from what is this validator's.
fn settle(executed: Result<Executed, ExecuteError<StateError>>) -> Option<Executed> {
    match executed {
        Ok(executed) => Some(executed),
        Err(ExecuteError::State(StateError::Read(ReadError::Stale))) => None,
        Err(error @ (ExecuteError::State(_) | ExecuteError::Corrupt)) => halt(&error),
        Err(error) => {
            info!(%error, "block refused");
            None
        }
    }
}

fn recover<T: TransactionSource>(
    source: &T,
    transactions: &[TxEnvelope],
) -> Option<Vec<Recovered<TxEnvelope>>> {
    let recovered = transactions.iter().map(|transaction| {
        let sender = source.sender(transaction.tx_hash()).or_else(|| transaction.recover_signer().ok())?;
        Some(Recovered::new_unchecked(transaction.clone(), sender))
    });
    recovered.collect()
}

fn range<E>(applied: &Applied<E>) -> Option<NonEmptyRange<Location>>
where
    E: Spawner + StorageContext,
{
    let bounds = applied.bounds();
    NonEmptyRange::new(bounds.inactivity_floor..bounds.tip.size).ok()
}

fn now<E: Clock>(context: &E) -> Duration {
    context.current().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[expect(
    clippy::panic,
    reason = "a validator that cannot read or keep its state must stop before it signs anything"
)]
pub(crate) fn halt(error: &dyn core::error::Error) -> ! {
    panic!("validator halts: {}", chain(error))
}

/// An error with its causes.
fn chain(error: &dyn core::error::Error) -> String {
    core::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// State as a batch of the database sees it: its own writes, those of pending ancestors, then what is applied.
struct BatchState<'a, E: Spawner + StorageContext>(&'a Batch<E>);

impl<E: Spawner + StorageContext> ReadState for BatchState<'_, E> {
    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Value>>, ReadError> {
        let keys: Vec<&Key> = keys.iter().collect();
        self.0.get_many(&keys).await.map_err(|error| match error {
            qmdb::Error::StaleRead => ReadError::Stale,
            error => ReadError::Database(error),
        })
    }
}

/// A task that ends with whoever waits for it.
struct AbortOnDrop<T: Send + 'static>(Handle<T>);

impl<T: Send + 'static> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// More than header, empty lists and prefixes of a block take.
const HEADER_BYTES_MAX: usize = 4096;
/// More than the prefix of a transaction in a block takes.
const ITEM_BYTES_MAX: usize = 9;
