//! The one place where blocks are made, or taken from validators.
//!
//! A thread owns the head, the state commitment and the clock, and takes [`Command`]s from a bounded queue. What has
//! gathered in the queue while the last block was being stored is taken together, so that under load one block, and one
//! synchronisation of the disk, serves many transactions, and without load each transaction has its block at once.
//! A sender of a transaction hears back when its block is durable, or when it waits, for a gap to close or for validators to
//! agree, and is durable itself.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::SystemTime,
};

use alloy_consensus::{
    Header, Sealed, TxEnvelope,
    transaction::{Recovered, SignerRecoverable as _},
};
use alloy_eips::eip7702::constants::EIP7702_DELEGATION_DESIGNATOR;
use alloy_primitives::{Address, B256, Bytes};
use tacit_ledger::{
    Attributes, Built, ExecuteError, LtHash, StateCommitment as _, StateReader, build, execute, next_context,
};
use tacit_light::{Certificate, Checkpoint, SealError};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::{
    admission,
    pool::Rejected,
    shared::Shared,
    store::{At, FromConsensus, NewBlock, State, StoreError, StoredReceipt, View},
};

/// Why a command was not carried out.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The transaction was refused.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The node does not have its network's blocks yet.
    #[error("the node is catching up with its network; ask another one, or again in a moment")]
    CatchingUp,
    /// A timestamp before the head's.
    #[error("timestamp {got} is before that of the head, {head}")]
    Timestamp {
        /// The head's.
        head: u64,
        /// Asked for.
        got: u64,
    },
    /// A final block that does not follow the head.
    #[error("final block {got} does not follow the head {head}")]
    Gap {
        /// The head's number.
        head: u64,
        /// The block's.
        got: u64,
    },
    /// A final block that this node executes to another result, or knows under another hash. One of the two is broken:
    /// nothing more is accepted.
    #[error("final block {number} is {got}, here it is {expected}")]
    Differs {
        /// Its number.
        number: u64,
        /// Its hash here.
        expected: B256,
        /// Its hash.
        got: B256,
    },
    /// A seal that is not the block's.
    #[error("final block {number}: {error}")]
    Seal {
        /// The block's number.
        number: u64,
        /// Why.
        error: SealError,
    },
    /// The validators had another state after a block than this node. One of the two is broken: nothing more is accepted.
    #[error("state after block {number} has root {got} for the validators, here it has {expected}")]
    Checkpoint {
        /// The block's number.
        number: u64,
        /// The root here.
        expected: B256,
        /// The validators'.
        got: B256,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A block could not be executed.
    #[error("execution failed: {0}")]
    Execution(String),
    /// A block could not be stored; nothing more is accepted until the node is started again.
    #[error("the node has stopped because its store failed")]
    Halted,
    /// The node is closing.
    #[error("the node is shutting down")]
    Closing,
}

type Reply<T> = oneshot::Sender<Result<T, WriteError>>;

/// What the writer can be asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Take a decoded transaction.
    Submit { transaction: Box<Recovered<TxEnvelope>>, reply: Reply<()> },
    /// Take transactions that another node has taken; nobody waits, and that node keeps them.
    Hear { transactions: Vec<Recovered<TxEnvelope>> },
    /// Take a block that validators made final.
    Append { block: Box<FinalBlock>, reply: Reply<()> },
    /// Make a block even if nothing waits, at `timestamp` if given.
    Mine { timestamp: Option<u64>, reply: Reply<()> },
    /// Whether transactions get a block at once.
    Automine { on: bool, reply: Reply<()> },
    /// Move the clock; tells the sum of all moves.
    IncreaseTime { seconds: u64, reply: Reply<u64> },
    /// Fix the next block's timestamp.
    SetNextTimestamp { timestamp: u64, reply: Reply<()> },
    /// Remember the head.
    Snapshot { reply: Reply<u64> },
    /// Go back to a remembered head.
    Revert { snapshot: u64, reply: Reply<bool> },
}

/// A block that is final. Whoever hands it on has checked that.
#[derive(Debug, Clone)]
pub struct FinalBlock {
    /// Its header.
    pub header: Sealed<Header>,
    /// Its transactions.
    pub transactions: Vec<TxEnvelope>,
    /// Its seal, where it is known: bytes to whose hash the header commits.
    pub seal: Option<Bytes>,
    /// Its certificate, where nobody else keeps it.
    pub certificate: Option<Certificate>,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    head: Arc<Sealed<Header>>,
    commitment: LtHash,
    automine: bool,
    waiting: HashMap<B256, Reply<()>>,
    /// Transactions that left the pool without a block, and may still lie in the store.
    dropped: Vec<B256>,
    /// The state at the head, once somebody asked for it.
    view: Option<Box<dyn View>>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, commitment: LtHash) -> Self {
        let head = shared.head();
        let automine = shared.makes_blocks();
        shared.pool().pass_time(head.timestamp);
        Self { shared, head, commitment, automine, waiting: HashMap::new(), dropped: Vec::new(), view: None }
    }

    /// Serves until every sender of commands is gone.
    pub(crate) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(first) = commands.blocking_recv() {
            self.handle(first);
            for _ in 1..BURST_MAX {
                match commands.try_recv() {
                    Ok(command) => self.handle(command),
                    Err(_) => break,
                }
            }
            self.settle();
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Submit { transaction, reply } => {
                if !self.shared.has_caught_up() {
                    return send(reply, Err(WriteError::CatchingUp));
                }
                let hash = *transaction.tx_hash();
                match self.admit(*transaction, self.shared.chain.next_base_fee(&self.head)) {
                    Ok(()) => {
                        self.waiting.insert(hash, reply);
                    }
                    Err(why) => send(reply, Err(why)),
                }
            }
            Command::Hear { transactions } => {
                let base_fee = self.shared.chain.next_base_fee(&self.head);
                for transaction in transactions {
                    if let Err(why) = self.admit(transaction, base_fee) {
                        tracing::trace!(%why, "a transaction of another node is not taken");
                    }
                }
            }
            Command::Append { block, reply } => {
                let result = self.append(*block);
                send(reply, result);
            }
            Command::Mine { timestamp, reply } => {
                self.settle();
                let result = self.mine_one(timestamp);
                send(reply, result);
            }
            Command::Automine { on, reply } => {
                self.settle();
                self.automine = on;
                self.settle();
                send(reply, Ok(()));
            }
            Command::IncreaseTime { seconds, reply } => {
                self.settle();
                send(reply, Ok(self.shared.clock().advance(seconds)));
            }
            Command::SetNextTimestamp { timestamp, reply } => {
                self.settle();
                let head = self.head.timestamp;
                let result = if timestamp < head {
                    Err(WriteError::Timestamp { head, got: timestamp })
                } else {
                    self.shared.clock().fix_next(timestamp);
                    Ok(())
                };
                send(reply, result);
            }
            Command::Snapshot { reply } => {
                self.settle();
                send(reply, self.shared.store.snapshot().map_err(WriteError::from));
            }
            Command::Revert { snapshot, reply } => {
                self.settle();
                let result = self.revert(snapshot);
                send(reply, result);
            }
        }
    }

    /// Takes back into the pool what waited when the node ended.
    pub(crate) fn reload(&mut self) -> Result<(), StoreError> {
        let waiting = self.shared.store.view()?.waiting()?;
        let refused = waiting.into_iter().filter_map(|transaction| {
            let hash = *transaction.tx_hash();
            // The fee may fall again: what was acknowledged stays.
            let why = self.admit(transaction, self.shared.chain.base_fee_floor).err()?;
            tracing::debug!(%hash, %why, "a waiting transaction is dropped");
            Some(hash)
        });
        let refused: Vec<B256> = refused.collect();
        self.view = None;
        if refused.is_empty() { Ok(()) } else { self.shared.store.set_waiting(&[], &refused) }
    }

    fn admit(&mut self, transaction: Recovered<TxEnvelope>, base_fee: u64) -> Result<(), WriteError> {
        if self.shared.is_halted() {
            return Err(WriteError::Halted);
        }
        // Opening a view costs as much as several reads, and a burst reads one state.
        let view = match self.view.take() {
            Some(view) => view,
            None => self.shared.store.view()?,
        };
        let view = self.view.insert(view);
        let state = State::new(view.as_ref(), At::Head);
        let account = state.account(transaction.signer())?.unwrap_or_default();
        let delegates =
            account.has_code() && state.code(account.code_hash)?.starts_with(&EIP7702_DELEGATION_DESIGNATOR);
        admission::check(&transaction, &account, delegates, base_fee)?;
        let hash = *transaction.tx_hash();
        self.shared.pool().insert(transaction, &account, base_fee)?;
        self.shared.tell_admitted(hash);
        Ok(())
    }

    /// Mines what can be mined and answers everyone who waits.
    fn settle(&mut self) {
        while self.automine && !self.shared.is_halted() {
            let candidates = self.candidates();
            if candidates.is_empty() {
                break;
            }
            if let Err(why) = self.make_block(candidates, None, false) {
                tracing::error!(error = %why, "a block could not be made");
                for (hash, reply) in self.waiting.drain() {
                    self.shared.pool().remove(&hash);
                    send(reply, Err(WriteError::Execution(why.to_string())));
                }
                return;
            }
        }
        self.keep_waiting();
    }

    /// Makes durable what waits from now on, forgets what can never be in a block, and answers those who sent.
    fn keep_waiting(&mut self) {
        // A view that is kept while nothing comes would keep the pages that it sees.
        self.view = None;
        let added: Vec<Recovered<TxEnvelope>> = {
            let pool = self.shared.pool();
            self.waiting.keys().filter_map(|hash| pool.transaction(hash).cloned()).collect()
        };
        self.dropped.extend(self.shared.pool().take_gone());
        if !(added.is_empty() && self.dropped.is_empty())
            && let Err(why) = self.shared.store.set_waiting(&added, &std::mem::take(&mut self.dropped))
        {
            tracing::error!(error = %why, "the store failed");
            self.shared.halt();
            for (_, reply) in self.waiting.drain() {
                send(reply, Err(WriteError::Halted));
            }
            return;
        }
        if !added.is_empty() {
            self.shared.tell_taken(added.into());
        }
        for (_, reply) in self.waiting.drain() {
            send(reply, Ok(()));
        }
    }

    fn append(&mut self, block: FinalBlock) -> Result<(), WriteError> {
        if self.shared.is_halted() {
            return Err(WriteError::Halted);
        }
        let (number, got) = (block.header.number, block.header.hash());
        if number <= self.head.number {
            // The last blocks come again after a crash. Nothing is known of those before the first.
            let known = self.shared.store.view()?.block_hash(number)?;
            return match known.filter(|known| *known != got) {
                None => Ok(()),
                Some(expected) => {
                    self.shared.halt();
                    Err(WriteError::Differs { number, expected, got })
                }
            };
        }
        if number != self.head.number.saturating_add(1) {
            return Err(WriteError::Gap { head: self.head.number, got: number });
        }
        let (seal, certificate) = (block.seal.clone(), block.certificate.clone());
        let checkpoint = self.check_seal(&block)?;
        let built = self.execute_final(block)?;
        let expected = built.block.hash();
        if expected != got {
            self.shared.halt();
            return Err(WriteError::Differs { number, expected, got });
        }
        let consensus = FromConsensus {
            seal: seal.as_ref().map(|seal| &seal[..]),
            checkpoint: checkpoint.map(|checkpoint| checkpoint.number),
            certificate: certificate.as_ref(),
        };
        self.store(&built, consensus).inspect_err(|_| self.shared.halt())?;
        self.adopt(built);
        Ok(())
    }

    /// The checkpoint in a final block's seal; what it says of the state must be so here.
    fn check_seal(&self, block: &FinalBlock) -> Result<Option<Checkpoint>, WriteError> {
        let Some(seal) = &block.seal else { return Ok(None) };
        let of_block = |error| WriteError::Seal { number: block.header.number, error };
        let Some(checkpoint) = tacit_light::checkpoint(&block.header, seal).map_err(of_block)? else {
            return Ok(None);
        };
        let Checkpoint { number, root: got } = checkpoint;
        // A store that began later does not know.
        match self.shared.store.view()?.root(number)?.filter(|expected| *expected != got) {
            None => Ok(Some(checkpoint)),
            Some(expected) => {
                self.shared.halt();
                Err(WriteError::Checkpoint { number, expected, got })
            }
        }
    }

    fn execute_final(&self, block: FinalBlock) -> Result<Built<LtHash>, WriteError> {
        let header = block.header;
        let attributes = Attributes {
            timestamp: header.timestamp,
            beneficiary: header.beneficiary,
            prev_randao: header.mix_hash,
            extra_data: header.extra_data.clone(),
        };
        let failed = |why: &dyn std::error::Error| WriteError::Execution(why.to_string());
        let mut transactions = Vec::with_capacity(block.transactions.len());
        for transaction in block.transactions {
            let sender = self.shared.sender(transaction.tx_hash());
            let sender =
                sender.map_or_else(|| transaction.recover_signer(), Ok).map_err(|why| failed(&why))?;
            transactions.push(Recovered::new_unchecked(transaction, sender));
        }
        let view = self.shared.store.view()?;
        let state = State::new(view.as_ref(), At::Head);
        let context = next_context(&self.shared.chain, &self.head, &attributes)
            .map_err(|why: ExecuteError<StoreError>| failed(&why))?;
        let executed =
            execute(&self.shared.chain, context, &state, transactions).map_err(|why| failed(&why))?;
        let mut commitment = self.commitment.clone();
        commitment.apply(&executed.changes);
        let block = executed.seal(&self.head, &attributes, header.state_root);
        Ok(Built { block, executed, commitment })
    }

    fn mine_one(&mut self, timestamp: Option<u64>) -> Result<(), WriteError> {
        if self.shared.is_halted() {
            return Err(WriteError::Halted);
        }
        let head = self.head.timestamp;
        if let Some(got) = timestamp.filter(|timestamp| *timestamp < head) {
            return Err(WriteError::Timestamp { head, got });
        }
        let candidates = self.candidates();
        self.make_block(candidates, timestamp, true)
    }

    fn candidates(&self) -> Vec<Recovered<TxEnvelope>> {
        let chain = &self.shared.chain;
        self.shared.pool().ready(chain.next_base_fee(&self.head), chain.gas_limit)
    }

    fn make_block(
        &mut self,
        candidates: Vec<Recovered<TxEnvelope>>,
        timestamp: Option<u64>,
        even_empty: bool,
    ) -> Result<(), WriteError> {
        let timestamp = timestamp.unwrap_or_else(|| self.shared.clock().next(self.head.timestamp));
        // Nobody deals here: of a ledger that validators kept, the count of failed dealings stays.
        let (beneficiary, prev_randao) = (self.shared.beneficiary, self.head.mix_hash);
        let attributes = Attributes { timestamp, beneficiary, prev_randao, ..Attributes::default() };
        let built = {
            let view = self.shared.store.view()?;
            let state = State::new(view.as_ref(), At::Head);
            build(&self.shared.chain, &self.head, &attributes, &state, &self.commitment, candidates)
                .map_err(|why| WriteError::Execution(why.to_string()))?
        };
        for rejected in &built.executed.rejected {
            let hash = rejected.transaction.tx_hash();
            self.shared.pool().remove(hash);
            if let Some(reply) = self.waiting.remove(hash) {
                send(reply, Err(admission::refused(rejected.reason.clone()).into()));
            }
        }
        if built.executed.transactions.is_empty() && !even_empty {
            return Ok(());
        }
        self.store(&built, FromConsensus::default()).inspect_err(|_| self.shared.halt())?;
        self.shared.clock().used();
        self.adopt(built);
        Ok(())
    }

    fn store(&mut self, built: &Built<LtHash>, consensus: FromConsensus<'_>) -> Result<(), WriteError> {
        self.view = None;
        let mut first_log_index = 0_u64;
        let mut receipts = Vec::with_capacity(built.executed.outcomes.len());
        for outcome in &built.executed.outcomes {
            let logs = outcome.receipt.logs().to_vec();
            let next = first_log_index.saturating_add(logs.len() as u64);
            receipts.push(StoredReceipt {
                succeeded: outcome.receipt.status(),
                gas_used: outcome.gas_used,
                cumulative_gas_used: outcome.receipt.cumulative_gas_used(),
                first_log_index,
                logs,
            });
            first_log_index = next;
        }
        self.shared.store.commit(&NewBlock {
            hash: built.block.hash(),
            header: &built.block.header,
            transactions: &built.executed.transactions,
            receipts: &receipts,
            changes: &built.executed.changes,
            accumulator: &built.commitment,
            consensus,
        })?;
        Ok(())
    }

    /// The block is durable: let everyone see it.
    fn adopt(&mut self, built: Built<LtHash>) {
        let hash = built.block.hash();
        let header = Sealed::new_unchecked(built.block.into_inner().header, hash);
        tracing::debug!(height = header.number, transactions = built.executed.transactions.len(), %hash, "block");
        self.commitment = built.commitment;
        self.set_head(header);
        {
            let mut pool = self.shared.pool();
            for (address, change) in &built.executed.changes.accounts {
                pool.set_account(*address, &change.after.unwrap_or_default());
            }
            if !self.shared.makes_blocks() {
                // In development time goes as its user likes.
                pool.pass_time(self.head.timestamp);
            }
            // What the block has left the store with it.
            let transactions = &built.executed.transactions;
            let included: HashSet<&B256> =
                transactions.iter().map(|transaction| transaction.tx_hash()).collect();
            self.dropped.extend(pool.take_gone().into_iter().filter(|hash| !included.contains(hash)));
        }
        for transaction in &built.executed.transactions {
            if let Some(reply) = self.waiting.remove(transaction.tx_hash()) {
                send(reply, Ok(()));
            }
        }
    }

    fn set_head(&mut self, header: Sealed<Header>) {
        self.head = Arc::new(header);
        self.shared.set_head(Arc::clone(&self.head));
    }

    fn revert(&mut self, snapshot: u64) -> Result<bool, WriteError> {
        if self.shared.is_halted() {
            return Err(WriteError::Halted);
        }
        self.view = None;
        if !self.shared.store.revert(snapshot)? {
            return Ok(false);
        }
        let view = self.shared.store.view()?;
        let (hash, header) = view.head()?;
        self.commitment = view.accumulator()?;
        self.set_head(Sealed::new_unchecked(header, hash));
        let state = State::new(view.as_ref(), At::Head);
        let mut pool = self.shared.pool();
        let senders: Vec<Address> = pool.senders().collect();
        for sender in senders {
            pool.set_account(sender, &state.account(sender)?.unwrap_or_default());
        }
        Ok(true)
    }
}

fn send<T>(reply: Reply<T>, result: Result<T, WriteError>) {
    // Whoever asked may have gone; what was asked for has happened all the same.
    drop(reply.send(result));
}

/// The node's clock: the system's, moved forward on request.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    offset_s: u64,
    next: Option<u64>,
}

impl Clock {
    /// Timestamp of a block made now on top of one at `parent`; never before it.
    pub(crate) fn next(&self, parent: u64) -> u64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
        self.next.unwrap_or_else(|| now.saturating_add(self.offset_s)).max(parent)
    }

    fn advance(&mut self, seconds: u64) -> u64 {
        self.offset_s = self.offset_s.saturating_add(seconds);
        self.offset_s
    }

    fn fix_next(&mut self, timestamp: u64) {
        self.next = Some(timestamp);
    }

    /// A block was made; a fixed timestamp serves once, and time goes on from there.
    fn used(&mut self) {
        if let Some(fixed) = self.next.take() {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
            self.offset_s = self.offset_s.max(fixed.saturating_sub(now));
        }
    }
}

/// Commands taken together.
const BURST_MAX: usize = 4096;
