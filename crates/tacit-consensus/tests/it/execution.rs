//! One block over suspended reads, against the plain executor.

use crate::people::{CHAIN, COIN, HISTORIAN, START_S, address, genesis, pay, sign};
use alloy_consensus::Sealed;
use alloy_primitives::{Address, TxKind};
use futures::executor::block_on;
use std::{
    collections::BTreeMap,
    future::poll_fn,
    mem::take,
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
};
use tacit_consensus::{
    execution::execute_block,
    state::{Key, ReadError, ReadState, Value, writes},
};
use tacit_ledger::{Attributes, LtHash, MemoryState, build};

/// State that is never there at the first poll.
struct Suspending {
    values: BTreeMap<Key, Value>,
    reads: AtomicUsize,
}

impl ReadState for Suspending {
    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Value>>, ReadError> {
        let mut first = true;
        poll_fn(|context| {
            if take(&mut first) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(keys.iter().map(|key| self.values.get(key).cloned()).collect())
    }
}

#[test]
fn suspended_reads_give_what_plain_reads_give() {
    let first = genesis().build(LtHash::default()).unwrap();
    let mut state = MemoryState::default();
    state.apply(&first.changes);
    let mut parent = Sealed::new_unchecked(first.block.header.clone(), first.block.hash());
    state.block_hashes.insert(0, parent.hash());
    let mut commitment = first.commitment.clone();
    let mut values: BTreeMap<Key, Value> = BTreeMap::new();
    let mut keep = |writes: Vec<(Key, Option<Value>)>| {
        for (key, value) in writes {
            match value {
                Some(value) => values.insert(key, value),
                None => values.remove(&key),
            };
        }
        values.clone()
    };
    let mut values = keep(writes(&first.changes, None));
    let contract = address(4).create(0);
    for round in 0..8_u64 {
        let candidates = vec![
            pay(1, round, address(2), COIN),
            pay(2, round + 1, address(3), COIN),
            if round == 0 {
                sign(4, 0, TxKind::Create, 0, HISTORIAN)
            } else {
                sign(4, round, TxKind::Call(contract), 0, [])
            },
            pay(3, round, Address::repeat_byte(9), 1),
        ];
        let attributes = Attributes {
            timestamp: START_S + round,
            beneficiary: Address::repeat_byte(0xfe),
            ..Attributes::default()
        };
        let built = build(&CHAIN, &parent, &attributes, &state, &commitment, candidates.clone()).unwrap();
        let source = Suspending { values: values.clone(), reads: AtomicUsize::new(0) };
        let run = |source: &Suspending| {
            block_on(execute_block(CHAIN, &parent, &attributes, source, candidates.clone())).unwrap()
        };
        let executed = run(&source);
        assert_eq!(executed, built.executed);
        assert_eq!(executed.rejected.len(), 1, "a nonce that is too high is left out");
        // One read in advance; then the contract's code, its slots, and hashes of blocks that are not the parent.
        let reads = source.reads.load(Ordering::Relaxed);
        assert!(if round == 0 { reads >= 1 } else { reads >= 4 }, "{reads} reads in round {round}");

        // Once more, and by several threads at once, each over state that nobody has read yet.
        assert_eq!(run(&source), executed);
        std::thread::scope(|scope| {
            let fresh = || run(&Suspending { values: values.clone(), reads: AtomicUsize::new(0) });
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(fresh)).collect();
            for thread in threads {
                assert_eq!(thread.join().unwrap(), executed);
            }
        });

        values = keep(writes(&executed.changes, Some((parent.number, parent.hash()))));
        state.apply(&executed.changes);
        commitment = built.commitment;
        parent = Sealed::new_unchecked(built.block.header.clone(), built.block.hash());
        state.block_hashes.insert(parent.number, parent.hash());
    }
}
