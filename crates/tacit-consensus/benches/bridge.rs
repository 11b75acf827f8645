//! What it costs to read state across the bridge: processor time and wall time of one block whose single transaction reads
//! many slots that were not fetched in advance, against the plain executor on the same state in memory.
//!
//! `cargo bench -p tacit-consensus` prints one JSON object a line.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on must stop")]

use alloy_consensus::{
    Sealed, SignableTransaction as _, TxEip1559, TxEnvelope,
    crypto::secp256k1::{recover_signer_unchecked, sign_message},
    transaction::Recovered,
};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use futures::executor::block_on;
use rustix::time::{ClockId, clock_gettime};
use std::{
    collections::BTreeMap,
    io::Write as _,
    time::{Duration, Instant},
};
use tacit_consensus::{
    execution::execute_block,
    state::{Key, ReadError, ReadState, Value, writes},
};
use tacit_ledger::{
    Attributes, Chain, Executed, Genesis, GenesisAccount, LtHash, MemoryState, execute, next_context,
};

const CHAIN: Chain = Chain { chain_id: 1337, gas_limit: 60_000_000, base_fee_floor: 0, certifier: None };
const ROUNDS: u32 = 20;
const READER: Address = Address::repeat_byte(0xcc);

fn main() {
    for misses in [0_u16, 100, 500, 2_000] {
        measure(misses);
    }
}

/// State that is there at once.
struct Ready(BTreeMap<Key, Value>);

impl ReadState for Ready {
    async fn read(&self, keys: &[Key]) -> Result<Vec<Option<Value>>, ReadError> {
        Ok(keys.iter().map(|key| self.0.get(key).cloned()).collect())
    }
}

fn measure(misses: u16) {
    let secret = B256::with_last_byte(1);
    let sender = recover_signer_unchecked(&sign_message(secret, B256::ZERO).unwrap(), B256::ZERO).unwrap();
    // `sload(1) .. sload(n)`, one after another.
    let code: Bytes = (1..=misses)
        .flat_map(|slot| {
            let [high, low] = slot.to_be_bytes();
            [0x61, high, low, 0x54, 0x50]
        })
        .chain([0])
        .collect();
    let storage = (1..=misses).map(|slot| (B256::from(U256::from(slot)), B256::repeat_byte(1))).collect();
    let reader = GenesisAccount { nonce: 1, code, storage, ..GenesisAccount::default() };
    let rich = GenesisAccount { balance: U256::MAX >> 1, ..GenesisAccount::default() };
    let genesis = Genesis {
        chain: CHAIN,
        timestamp: 0,
        base_fee: 0,
        extra_data: Bytes::new(),
        alloc: [(sender, rich), (READER, reader)].into(),
        first_state: None,
        origin: None,
        staking: tacit_ledger::Staking::default(),
    };
    let first = genesis.build(LtHash::default()).unwrap();
    let parent = Sealed::new_unchecked(first.block.header.clone(), first.block.hash());
    let mut plain = MemoryState::default();
    plain.apply(&first.changes);
    let source = Ready(
        writes(&first.changes, None).into_iter().filter_map(|(key, value)| Some((key, value?))).collect(),
    );
    let draft = TxEip1559 {
        chain_id: CHAIN.chain_id,
        gas_limit: 10_000_000,
        to: TxKind::Call(READER),
        ..TxEip1559::default()
    };
    let signature = sign_message(secret, draft.signature_hash()).unwrap();
    let sent: Recovered<TxEnvelope> = Recovered::new_unchecked(draft.into_signed(signature).into(), sender);

    let attributes = Attributes::default();
    let across = || -> Executed {
        block_on(execute_block(CHAIN, &parent, &attributes, &source, vec![sent.clone()])).unwrap()
    };
    let beside = || -> Executed {
        let context = next_context::<tacit_ledger::NoCode>(&CHAIN, &parent, &attributes).unwrap();
        execute(&CHAIN, context, &plain, [sent.clone()]).unwrap()
    };
    assert_eq!(across(), beside());
    let (bridge_cpu, bridge_wall) = time(across);
    let (plain_cpu, plain_wall) = time(beside);
    let line = format!(
        "{{\"bench\":\"consensus::bridge/misses={misses}\",\"cpu_us\":{},\"wall_us\":{},\"plain_cpu_us\":{},\"plain_wall_us\":{}}}\n",
        bridge_cpu.as_micros(),
        bridge_wall.as_micros(),
        plain_cpu.as_micros(),
        plain_wall.as_micros(),
    );
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

/// Processor time of all threads, and wall time, of one run.
fn time(run: impl Fn() -> Executed) -> (Duration, Duration) {
    let (cpu, wall) = (processor(), Instant::now());
    for _ in 0..ROUNDS {
        std::hint::black_box(run());
    }
    ((processor() - cpu) / ROUNDS, wall.elapsed() / ROUNDS)
}

fn processor() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}
