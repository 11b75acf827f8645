//! A synchronous reader over an asynchronous database, for the time of one execution.
//!
//! The executor reads state by plain calls; the database answers by futures. Here the executor runs on a stack of its own
//! (a fibre, `corosensei`). When it needs a value that was not fetched in advance, it is suspended with a question; the task
//! awaits the database like any other, and resumes it with the answer.
//!
//! # Why this way
//! - Linear: a miss costs two switches of stacks, whatever came before. Running again from the start after each miss would be
//!   quadratic in the misses of one hostile transaction; a thread for the executor costs seven times as much per miss
//!   (50 µs of processor time against 7, unoptimised; `cargo bench`).
//! - To a simulated clock it is as if the work were done inside the task.
//!
//! # Why it is safe
//! A fibre must stay on its thread, as what runs on it may hold on to the thread, so it is not `Send`, while futures here must be. So fibres
//! lie in a thread-local table, and the future holds a ticket. No `unsafe` is needed: a future that is polled on another thread finds no fibre
//! there, and gets [`StateError::Moved`]. **Callers run it in a task that stays on one thread**, which blocking and dedicated tasks do.
//!
//! When the future is dropped, so is the fibre, and its stack is unwound: this crate needs `panic = "unwind"`. Dropped on another thread, it
//! leaves the fibre to the end of its own.

use crate::state::{
    Key, Malformed, ReadError, ReadState, Value, account_key, block_hash_key, code_key, code_pieces,
    decode_account, decode_block_hash, decode_code, decode_slot, slot_key,
};
use alloy_primitives::{Address, B256, Bytes, U256};
use corosensei::{Coroutine, CoroutineResult, Yielder, stack::DefaultStack};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
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
    /// The task went on on another thread than it began on: a bug of whoever spawned it.
    #[error("execution moved to another thread")]
    Moved,
    /// The system has no memory for another stack.
    #[error("no stack for the executor")]
    Stack(#[source] std::io::Error),
}

type Question = Vec<Key>;
type Answer = Result<Vec<Option<Value>>, ReadError>;
type Fibre = Coroutine<Answer, Question, ()>;

/// State as the executor sees it from its fibre.
pub(crate) struct RemoteState<'a> {
    parent: (u64, B256),
    fetched: BTreeMap<Key, Option<Value>>,
    line: &'a Yielder<Answer, Question>,
}

/// Runs `work` on a fibre with the state that `source` reads. `parent` is number and hash of the block that state is after;
/// `prefetch` is read at once, before the fibre starts.
pub(crate) async fn with_state<S, T, W>(
    source: &S,
    parent: (u64, B256),
    prefetch: Vec<Key>,
    work: W,
) -> Result<T, StateError>
where
    S: ReadState,
    T: Send + 'static,
    W: FnOnce(&RemoteState<'_>) -> T + Send + 'static,
{
    let values = source.read(&prefetch).await?;
    let fetched = prefetch.into_iter().zip(values).collect();
    let outcome = Arc::new(Mutex::new(None));
    let ticket = {
        let stack = DefaultStack::new(STACK_BYTES).map_err(StateError::Stack)?;
        let outcome = Arc::clone(&outcome);
        Ticket::new(Coroutine::with_stack(stack, move |line: &Yielder<Answer, Question>, _: Answer| {
            let done = work(&RemoteState { parent, fetched, line });
            *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        }))
    };
    // The first answer is to no question, and starts it.
    let mut answer = Ok(Vec::new());
    while let Some(question) = ticket.resume(answer)? {
        answer = source.read(&question).await;
    }
    // The fibre has returned, so it has left an outcome; a missing one would be a fibre that was not this one's.
    let done = outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
    done.ok_or(StateError::Moved)
}

thread_local! {
    static FIBRES: RefCell<BTreeMap<u64, Fibre>> = const { RefCell::new(BTreeMap::new()) };
    static TICKETS: Cell<u64> = const { Cell::new(0) };
}

/// Stands for a fibre of the thread it was made on, and ends it when dropped there.
struct Ticket(u64, std::thread::ThreadId);

impl Ticket {
    fn new(fibre: Fibre) -> Self {
        let number = TICKETS.get();
        TICKETS.set(number.wrapping_add(1));
        FIBRES.with_borrow_mut(|fibres| fibres.insert(number, fibre));
        Self(number, std::thread::current().id())
    }

    /// Goes on until the next question, or (`None`) to the end. A panic on the fibre goes on here.
    fn resume(&self, answer: Answer) -> Result<Option<Question>, StateError> {
        let mut fibre = self.take().ok_or(StateError::Moved)?;
        match fibre.resume(answer) {
            CoroutineResult::Return(()) => Ok(None),
            CoroutineResult::Yield(question) => {
                FIBRES.with_borrow_mut(|fibres| fibres.insert(self.0, fibre));
                Ok(Some(question))
            }
        }
    }

    /// The fibre out of its table, which is not borrowed while the fibre runs or unwinds.
    fn take(&self) -> Option<Fibre> {
        if self.1 != std::thread::current().id() {
            return None;
        }
        FIBRES.try_with(|fibres| fibres.borrow_mut().remove(&self.0)).ok().flatten()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl RemoteState<'_> {
    fn values(&self, keys: Vec<Key>) -> Result<Vec<Option<Value>>, StateError> {
        Ok(self.line.suspend(keys)?)
    }

    fn value(&self, key: Key) -> Result<Option<Value>, StateError> {
        if let Some(value) = self.fetched.get(&key) {
            return Ok(value.clone());
        }
        Ok(self.values(vec![key])?.into_iter().next().flatten())
    }
}

impl StateReader for RemoteState<'_> {
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

    /// Tells when it is dropped.
    struct Flag(Arc<AtomicUsize>);

    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn an_execution_that_nobody_waits_for_is_unwound() {
        let dropped = Arc::new(AtomicUsize::new(0));
        let flag = Flag(Arc::clone(&dropped));
        let waiting = with_state(&Never, (0, B256::ZERO), Vec::new(), move |state| {
            let _flag = flag;
            state.storage(Address::ZERO, U256::ZERO)
        });
        assert!(waiting.now_or_never().is_none());
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
        assert!(FIBRES.with_borrow(BTreeMap::is_empty));
    }

    #[test]
    fn executions_on_one_thread_take_turns() {
        let source = Slow::new(&state(), None);
        let sum = |first: u64| {
            with_state(&source, (0, B256::ZERO), Vec::new(), move |state| {
                let slots = first..first + 25;
                slots
                    .map(|slot| state.storage(Address::repeat_byte(1), U256::from(slot)).unwrap())
                    .sum::<U256>()
            })
        };
        let (low, high) = block_on(async { ::futures::join!(sum(0), sum(25)) });
        assert_eq!((low.unwrap(), high.unwrap()), (U256::from(325), U256::from(950)));
    }

    #[test]
    fn an_execution_that_moves_to_another_thread_fails() {
        let source = Arc::new(Slow::new(&state(), None));
        let mine = Arc::clone(&source);
        let mut moving = Box::pin(async move {
            with_state(&*mine, (0, B256::ZERO), Vec::new(), |state| {
                state.storage(Address::repeat_byte(1), U256::ZERO)
            })
            .await
        });
        // Polled here until the executor waits for its slot, then elsewhere.
        let mut polls = 0;
        while source.reads.load(Ordering::Relaxed) < 2 {
            assert!((&mut moving).now_or_never().is_none());
            polls += 1;
            assert!(polls < 10);
        }
        let outcome = std::thread::spawn(move || block_on(moving)).join().unwrap();
        assert!(matches!(outcome, Err(StateError::Moved)));
    }

    #[test]
    fn a_panic_of_the_work_is_the_task_s_own() {
        let task = || block_on(with_state(&Never, (0, B256::ZERO), Vec::new(), |_| -> () { panic!("boom") }));
        let panic = std::panic::catch_unwind(task).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"boom"));
    }
}
