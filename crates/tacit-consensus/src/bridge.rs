//! A synchronous reader over an asynchronous database, for the time of one execution.
//!
//! The executor reads state by plain calls; the database answers by futures. Here the executor runs on a thread of its
//! own, and whenever it needs a value that was not fetched in advance, it hands over a question and sleeps; the task
//! awaits the database and hands back the answer. Of the two, exactly one runs at any time.
//!
//! # Why this way
//! - While the executor runs, the task **blocks** in its poll rather than returning pending. To the runtime it is as if the
//!   work were done inside the task, so a simulated clock does not jump ahead while the executor works.
//!   Callers therefore run it where blocking is allowed.
//! - No `unsafe`: nothing switches stacks and nothing crosses threads but owned values.
//! - Linear: a miss costs two thread switches, whatever came before. Running again from the start after each miss would be
//!   quadratic in the misses of one hostile transaction.
//! - When the task is dropped, the executor's next question fails and its thread ends. Between questions it is bounded by the block's gas.

use crate::state::{
    Key, Malformed, ReadError, ReadState, Value, account_key, block_hash_key, code_key, code_pieces,
    decode_account, decode_block_hash, decode_code, decode_slot, slot_key,
};
use alloy_primitives::{Address, B256, Bytes, U256};
use std::{
    collections::BTreeMap,
    panic::resume_unwind,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};
use tacit_ledger::{Account, StateReader};

/// Why an execution could not read state.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The database could not answer.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It answered with what no ledger writes.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Nobody waits for this execution any more.
    #[error("execution was abandoned")]
    Abandoned,
    /// The system has no thread to give.
    #[error("no thread for the executor")]
    Thread(#[source] std::io::Error),
}

/// State as the executor's thread sees it.
#[derive(Debug)]
pub(crate) struct RemoteState {
    parent: (u64, B256),
    fetched: BTreeMap<Key, Option<Value>>,
    steps: SyncSender<Vec<Key>>,
    answers: Receiver<Result<Vec<Option<Value>>, ReadError>>,
}

/// Runs `work` on a thread with the state that `source` reads. `parent` is number and hash of the block that state is
/// after; `prefetch` is read at once, before the thread starts.
pub(crate) async fn with_state<S, T, W>(
    source: &S,
    parent: (u64, B256),
    prefetch: Vec<Key>,
    work: W,
) -> Result<T, StateError>
where
    S: ReadState,
    T: Send + 'static,
    W: FnOnce(&RemoteState) -> T + Send + 'static,
{
    let values = source.read(&prefetch).await?;
    let fetched = prefetch.into_iter().zip(values).collect();
    let (step_sender, steps) = sync_channel(1);
    let (answer_sender, answers) = sync_channel(1);
    let state = RemoteState { parent, fetched, steps: step_sender, answers };
    let thread = thread::Builder::new()
        .name("executor".into())
        .stack_size(STACK_BYTES)
        .spawn(move || work(&state))
        .map_err(StateError::Thread)?;
    // The channel closes when `work` has returned or unwound, since it owns the only sender.
    while let Ok(keys) = steps.recv() {
        let answer = source.read(&keys).await;
        // A closed channel means that the thread is gone, which the next turn sees.
        let _ = answer_sender.send(answer);
    }
    thread.join().map_err(|panic| resume_unwind(panic))
}

impl RemoteState {
    fn values(&self, keys: Vec<Key>) -> Result<Vec<Option<Value>>, StateError> {
        self.steps.send(keys).map_err(|_| StateError::Abandoned)?;
        Ok(self.answers.recv().map_err(|_| StateError::Abandoned)??)
    }

    fn value(&self, key: Key) -> Result<Option<Value>, StateError> {
        if let Some(value) = self.fetched.get(&key) {
            return Ok(value.clone());
        }
        Ok(self.values(vec![key])?.into_iter().next().flatten())
    }
}

impl StateReader for RemoteState {
    type Error = StateError;

    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        let value = self.value(account_key(address))?;
        Ok(value.as_ref().map(decode_account).transpose()?)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let value = self.value(slot_key(address, slot))?;
        Ok(value.as_ref().map(decode_slot).transpose()?.unwrap_or_default())
    }

    fn code(&self, hash: B256) -> Result<Bytes, StateError> {
        let first = self.value(code_key(hash, 0))?.ok_or(Malformed("code"))?;
        let rest: Vec<Key> = (1..code_pieces(&first)?).map(|index| code_key(hash, index)).collect();
        let mut pieces = vec![first];
        if !rest.is_empty() {
            let values: Option<Vec<Value>> = self.values(rest)?.into_iter().collect();
            pieces.extend(values.ok_or(Malformed("code"))?);
        }
        Ok(decode_code(&pieces)?)
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        let (parent_number, parent_hash) = self.parent;
        if number == parent_number {
            return Ok(Some(parent_hash));
        }
        let value = self.value(block_hash_key(number))?;
        let stored = value.as_ref().map(decode_block_hash).transpose()?;
        Ok(stored.filter(|(stored, _)| *stored == number).map(|(_, hash)| hash))
    }
}

/// What a main thread usually has; pages are only taken when touched.
const STACK_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::writes;
    use futures::{FutureExt as _, executor::block_on};
    use std::{
        future::{pending, poll_fn},
        mem::take,
        sync::atomic::{AtomicUsize, Ordering},
        task::Poll,
    };
    use tacit_ledger::{Change, StateChanges};

    /// Answers from memory, at the second poll of each read.
    struct Slow {
        values: BTreeMap<Key, Option<Value>>,
        reads: AtomicUsize,
        polls: AtomicUsize,
    }

    impl Slow {
        fn new(changes: &StateChanges, parent: Option<(u64, B256)>) -> Self {
            Self {
                values: writes(changes, parent).into_iter().collect(),
                reads: AtomicUsize::new(0),
                polls: AtomicUsize::new(0),
            }
        }
    }

    impl ReadState for Slow {
        async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Value>>, ReadError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            suspend_once(&self.polls).await;
            Ok(keys.iter().map(|key| self.values.get(key).cloned().flatten()).collect())
        }
    }

    /// Pending once, woken at once; counts its polls.
    async fn suspend_once(polls: &AtomicUsize) {
        let mut first = true;
        poll_fn(|context| {
            polls.fetch_add(1, Ordering::Relaxed);
            if take(&mut first) {
                context.waker().wake_by_ref();
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    struct Never;

    impl ReadState for Never {
        async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Value>>, ReadError> {
            if keys.is_empty() { Ok(Vec::new()) } else { pending().await }
        }
    }

    struct Failing;

    impl ReadState for Failing {
        async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Value>>, ReadError> {
            if keys.is_empty() { Ok(Vec::new()) } else { Err(ReadError::Stale) }
        }
    }

    fn state() -> StateChanges {
        let mut changes = StateChanges::default();
        let account = Account { nonce: 1, balance: U256::from(2), code_hash: B256::repeat_byte(3) };
        changes.accounts.insert(Address::repeat_byte(1), Change { before: None, after: Some(account) });
        for slot in 0..50_u64 {
            let change = Change { before: U256::ZERO, after: U256::from(slot + 1) };
            changes.storage.insert((Address::repeat_byte(1), U256::from(slot)), change);
        }
        changes.code.insert(B256::repeat_byte(3), vec![7; 1000].into());
        changes
    }

    #[test]
    fn every_kind_of_read_is_answered_through_suspensions() {
        let source = Slow::new(&state(), Some((9, B256::repeat_byte(9))));
        let prefetch = vec![account_key(Address::repeat_byte(1)), account_key(Address::repeat_byte(2))];
        let sum = block_on(with_state(&source, (10, B256::repeat_byte(10)), prefetch, |state| {
            let address = Address::repeat_byte(1);
            assert_eq!(state.account(address).unwrap().unwrap().nonce, 1);
            assert_eq!(state.account(Address::repeat_byte(2)).unwrap(), None);
            assert_eq!(state.code(B256::repeat_byte(3)).unwrap(), Bytes::from(vec![7; 1000]));
            assert!(matches!(
                state.code(B256::repeat_byte(4)),
                Err(StateError::Malformed(Malformed("code")))
            ));
            assert_eq!(state.block_hash(10).unwrap(), Some(B256::repeat_byte(10)));
            assert_eq!(state.block_hash(9).unwrap(), Some(B256::repeat_byte(9)));
            assert_eq!(state.block_hash(9 + 256).unwrap(), None, "the place holds another block's hash");
            assert_eq!(state.block_hash(8).unwrap(), None);
            (0..60_u64).map(|slot| state.storage(address, U256::from(slot)).unwrap()).sum::<U256>()
        }));
        assert_eq!(sum.unwrap(), U256::from(1275));
        // Accounts were fetched in advance, 60 slots one by one, a code in two steps, one that is absent, three block hashes.
        assert_eq!(source.reads.load(Ordering::Relaxed), 1 + 60 + 2 + 1 + 3);
        assert_eq!(source.polls.load(Ordering::Relaxed), 2 * (1 + 60 + 2 + 1 + 3));
    }

    #[test]
    fn a_failed_read_reaches_the_reader() {
        let read = block_on(with_state(&Failing, (0, B256::ZERO), Vec::new(), |state| {
            state.storage(Address::ZERO, U256::ZERO)
        }));
        assert!(matches!(read, Ok(Err(StateError::Read(ReadError::Stale)))));
        let read = block_on(with_state(&Failing, (0, B256::ZERO), vec![block_hash_key(0)], |_| ()));
        assert!(matches!(read, Err(StateError::Read(ReadError::Stale))));
    }

    #[test]
    fn an_execution_that_nobody_waits_for_ends() {
        let (sender, outcome) = sync_channel(1);
        let waiting = with_state(&Never, (0, B256::ZERO), Vec::new(), move |state| {
            sender.send(state.storage(Address::ZERO, U256::ZERO)).unwrap();
        });
        assert!(waiting.now_or_never().is_none());
        assert!(matches!(outcome.recv().unwrap(), Err(StateError::Abandoned)));
    }

    #[test]
    fn a_panic_of_the_work_is_the_task_s_own() {
        let task = || block_on(with_state(&Never, (0, B256::ZERO), Vec::new(), |_| -> () { panic!("boom") }));
        let panic = std::panic::catch_unwind(task).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"boom"));
    }
}
