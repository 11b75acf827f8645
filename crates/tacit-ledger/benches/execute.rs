//! CPU time of building and verifying blocks, single thread, state in memory.
//!
//! `cargo bench -p tacit-ledger` prints one JSON object a line. Time is what the scheduler gave this thread, so that a busy
//! machine does not distort it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that cannot go on must stop")]

use alloy_consensus::{
    Header, Sealed, SignableTransaction, TxEip1559, TxEnvelope,
    crypto::secp256k1::{recover_signer_unchecked, sign_message},
    transaction::Recovered,
};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_sol_types::{SolCall, SolStruct};
use std::{io::Write, time::Duration};
use tacit_abi::{
    IChannels, Voucher,
    channels::{self, channel_id},
};
use tacit_ledger::{
    Attributes, Built, Chain, Genesis, GenesisAccount, LtHash, MemoryState, StateCommitment, build, verify,
};

const CHAIN_ID: u64 = 1337;
const COIN: u128 = 1_000_000_000_000_000_000;
const TRANSACTIONS: usize = 1_000;
const ROUNDS: usize = 5;

fn main() {
    let mut net = Net::new();
    net.measure("ledger::transfer", |net, round| {
        (0..TRANSACTIONS)
            .map(|n| net.sign(n, round, net.people[(n + 1) % TRANSACTIONS].1, 1, Bytes::new()))
            .collect()
    });
    let mut net = Net::new();
    let opens = (0..TRANSACTIONS).map(|n| {
        let open = IChannels::openCall { worker: net.worker(n), signer: Address::ZERO, salt: B256::ZERO };
        net.sign(n, 0, channels::ADDRESS, COIN, open.abi_encode().into())
    });
    let opens = opens.collect();
    let built = net.build(opens);
    assert!(built.executed.rejected.is_empty());
    net.adopt(&built);
    net.first_nonce = 1;
    net.measure("ledger::channel_settle", |net, round| {
        (0..TRANSACTIONS)
            .map(|n| {
                let (secret, client) = net.people[n];
                let id = channel_id(CHAIN_ID, client, net.worker(n), client, B256::ZERO);
                let voucher = Voucher { channelId: id, cumulative: 1 + round as u128 };
                let digest = voucher.eip712_signing_hash(&channels::domain(CHAIN_ID));
                let signature = sign_message(secret, digest).unwrap().as_bytes().into();
                let settle =
                    IChannels::settleCall { channelId: id, cumulative: voucher.cumulative, signature };
                net.sign(n, 1 + round, channels::ADDRESS, 0, settle.abi_encode().into())
            })
            .collect()
    });
}

struct Net {
    chain: Chain,
    people: Vec<(B256, Address)>,
    state: MemoryState,
    commitment: LtHash,
    head: Sealed<Header>,
    first_nonce: usize,
}

impl Net {
    fn new() -> Self {
        let people: Vec<_> = (0..TRANSACTIONS)
            .map(|n| {
                let secret = keccak256(n.to_be_bytes());
                let signature = sign_message(secret, B256::ZERO).unwrap();
                (secret, recover_signer_unchecked(&signature, B256::ZERO).unwrap())
            })
            .collect();
        let account = GenesisAccount { balance: U256::from(1_000 * COIN), ..GenesisAccount::default() };
        let genesis = Genesis {
            chain: Chain { chain_id: CHAIN_ID, gas_limit: 200_000_000, base_fee_floor: 0, certifier: None },
            timestamp: 1_800_000_000,
            base_fee: 1_000,
            extra_data: Bytes::new(),
            alloc: people.iter().map(|(_, address)| (*address, account.clone())).collect(),
            first_state: None,
            origin: None,
            staking: tacit_ledger::Staking::default(),
        };
        let first = genesis.build(LtHash::default()).unwrap();
        let mut state = MemoryState::default();
        state.apply(&first.changes);
        let head = Sealed::new_unchecked(first.block.header.clone(), first.block.hash());
        Self { chain: genesis.chain, people, state, commitment: first.commitment, head, first_nonce: 0 }
    }

    fn worker(&self, n: usize) -> Address {
        self.people[(n + 7) % TRANSACTIONS].1
    }

    fn sign(&self, n: usize, nonce: usize, to: Address, value: u128, input: Bytes) -> Recovered<TxEnvelope> {
        let (secret, address) = self.people[n];
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: nonce as u64,
            gas_limit: if input.is_empty() { 21_000 } else { 190_000 },
            max_fee_per_gas: 100_000,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(to),
            value: U256::from(value),
            access_list: Default::default(),
            input,
        };
        let signature = sign_message(secret, transaction.signature_hash()).unwrap();
        Recovered::new_unchecked(transaction.into_signed(signature).into(), address)
    }

    fn build(&self, candidates: Vec<Recovered<TxEnvelope>>) -> Built<LtHash> {
        let attributes = Attributes { timestamp: self.head.timestamp, ..Attributes::default() };
        build(&self.chain, &self.head, &attributes, &self.state, &self.commitment, candidates).unwrap()
    }

    fn adopt(&mut self, built: &Built<LtHash>) {
        self.state.apply(&built.executed.changes);
        self.commitment = built.commitment.clone();
        self.head = Sealed::new_unchecked(built.block.header.clone(), built.block.hash());
    }

    /// Builds and verifies one block a round; prints the median CPU time for each transaction.
    fn measure(&mut self, name: &str, make: impl Fn(&Self, usize) -> Vec<Recovered<TxEnvelope>>) {
        let (mut built_us, mut verified_us, mut root_us, mut gas) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for round in 0..ROUNDS {
            let candidates = make(self, round);
            let start = cpu_time();
            let built = self.build(candidates);
            built_us.push(since(start));
            assert!(built.executed.rejected.is_empty(), "{:?}", built.executed.rejected[0].reason);
            assert!(built.executed.outcomes.iter().all(|outcome| outcome.halt.is_none()));
            gas = built.block.header.gas_used / TRANSACTIONS as u64;
            let start = cpu_time();
            let again = verify(&self.chain, &self.head, &built.block, &self.state, &self.commitment).unwrap();
            verified_us.push(since(start));
            let mut commitment = self.commitment.clone();
            let start = cpu_time();
            commitment.apply(&built.executed.changes);
            root_us.push(since(start));
            assert_eq!(commitment.root(), again.block.header.state_root);
            self.adopt(&built);
        }
        let median = |mut times: Vec<f64>| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        };
        let _ = writeln!(
            std::io::stdout(),
            "{{\"bench\":\"{name}\",\"transactions\":{TRANSACTIONS},\"gas_each\":{gas},\"build_cpu_us_each\":{:.2},\
             \"verify_cpu_us_each\":{:.2},\"of_which_state_root_us\":{:.2}}}",
            median(built_us),
            median(verified_us),
            median(root_us),
        );
    }
}

/// Microseconds for each transaction since `start`.
fn since(start: Duration) -> f64 {
    (cpu_time() - start).as_secs_f64() * 1e6 / TRANSACTIONS as f64
}

/// Time this process was running, from the scheduler.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("needs Linux");
    Duration::from_nanos(text.split(' ').next().and_then(|field| field.parse().ok()).expect("schedstat"))
}
