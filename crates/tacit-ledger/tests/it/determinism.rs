//! One state, one root: by any path, in any order, however often.

use crate::support::{COIN, Draft, Net, PEOPLE, address, bytecode, genesis};
use alloy_consensus::{Header, Transaction as _, TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, b256};
use alloy_sol_types::SolCall;
use core::cell::Cell;
use proptest::prelude::*;
use revm::inspector::NoOpInspector;
use tacit_abi::{IChannels, IReceipts, channels, receipts};
use tacit_ledger::{
    Account, AccountOverride, CallError, Change, Checks, ExecuteError, LtHash, MemoryState, Overrides,
    Simulation, StateChanges, StateCommitment, StateReader, build, next_context,
};

/// The commitment to a whole state, folded in at once.
fn from_scratch(state: &MemoryState) -> LtHash {
    let mut changes = StateChanges::default();
    for (address, account) in &state.accounts {
        changes.accounts.insert(*address, Change { before: None, after: Some(*account) });
    }
    for (key, value) in &state.storage {
        changes.storage.insert(*key, Change { before: U256::ZERO, after: *value });
    }
    let mut commitment = LtHash::default();
    commitment.apply(&changes);
    commitment
}

#[derive(Debug, Clone)]
enum Action {
    Transfer { from: u8, to: u8, value: u64 },
    Deploy { from: u8 },
    OpenChannel { from: u8, worker: u8, salt: u8 },
    Anchor { from: u8, root: u8 },
    Destroy { from: u8 },
}

fn action() -> impl Strategy<Value = Action> {
    let person = 1..=PEOPLE;
    prop_oneof![
        4 => (person.clone(), 1..=9_u8, 0..1_000_u64)
            .prop_map(|(from, to, value)| Action::Transfer { from, to, value }),
        1 => person.clone().prop_map(|from| Action::Deploy { from }),
        2 => (person.clone(), 1..=PEOPLE, 0..3_u8)
            .prop_map(|(from, worker, salt)| Action::OpenChannel { from, worker, salt }),
        2 => (person.clone(), 0..4_u8).prop_map(|(from, root)| Action::Anchor { from, root }),
        1 => person.prop_map(|from| Action::Destroy { from }),
    ]
}

fn transactions(net: &Net, actions: &[Action]) -> Vec<Recovered<TxEnvelope>> {
    let mut nonces: Vec<u64> = (0..=PEOPLE).map(|n| if n == 0 { 0 } else { net.nonce(n) }).collect();
    let mut next = |from: u8| {
        let nonce = nonces[usize::from(from)];
        nonces[usize::from(from)] += 1;
        Draft { gas: 1_500_000, ..Draft::new(from, nonce) }
    };
    actions
        .iter()
        .map(|action| match action {
            Action::Transfer { from, to, value } => {
                Draft { to: TxKind::Call(address(*to)), value: (*value).into(), ..next(*from) }
            }
            Action::Deploy { from } => {
                Draft { to: TxKind::Create, input: bytecode("Caller").into(), ..next(*from) }
            }
            Action::OpenChannel { from, worker, salt } => {
                let call = IChannels::openCall {
                    worker: address(*worker),
                    signer: Address::ZERO,
                    salt: B256::repeat_byte(*salt),
                };
                let to = TxKind::Call(channels::ADDRESS);
                Draft { to, value: COIN / 100, input: call.abi_encode().into(), ..next(*from) }
            }
            Action::Anchor { from, root } => {
                let call = IReceipts::anchorCall { root: B256::repeat_byte(*root), count: 1 };
                let to = TxKind::Call(receipts::ADDRESS);
                Draft { to, input: call.abi_encode().into(), ..next(*from) }
            }
            Action::Destroy { from } => {
                let input = alloy_primitives::bytes!("600160005533ff");
                Draft { to: TxKind::Create, value: 3, input, ..next(*from) }
            }
        })
        .map(Draft::sign)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Twice executed gives one hash; the incremental root is the root from scratch; undoing comes back; coin only burns.
    #[test]
    fn random_chains_agree_with_themselves(blocks in prop::collection::vec(prop::collection::vec(action(), 0..8), 1..5)) {
        let mut net = Net::new();
        let supply = |net: &Net| net.state.accounts.values().map(|account| account.balance).sum::<U256>();
        for actions in &blocks {
            let candidates = transactions(&net, actions);
            let before = (net.state.clone(), net.commitment.clone(), supply(&net));
            let first = build(&net.chain, &net.head, &net.attributes(), &net.state, &net.commitment, candidates.clone()).unwrap();
            let built = net.mine(candidates);
            prop_assert_eq!(first.block.hash(), built.block.hash());
            prop_assert!(built.executed.rejected.is_empty());

            prop_assert_eq!(from_scratch(&net.state).root(), net.head.state_root);

            let mut back = net.commitment.clone();
            back.apply(&built.executed.changes.inverse());
            prop_assert_eq!(back.root(), before.1.root());
            let mut state = net.state.clone();
            state.apply(&built.executed.changes.inverse());
            prop_assert_eq!(&state.accounts, &before.0.accounts);
            prop_assert_eq!(&state.storage, &before.0.storage);

            let burned = U256::from(built.executed.gas_used) * U256::from(built.block.header.base_fee_per_gas.unwrap());
            prop_assert_eq!(supply(&net) + burned, before.2);
        }
    }

    /// Blocks that are simulated with a block's checks, one on top of the other, do what they do when they are made.
    #[test]
    fn a_simulation_does_what_blocks_do(blocks in prop::collection::vec(prop::collection::vec(action(), 0..6), 1..4)) {
        let mut net = Net::new();
        let base = net.state.clone();
        let mut simulation = Simulation::new(net.chain, &base, Checks::Block);
        for actions in &blocks {
            let candidates = transactions(&net, actions);
            let context = next_context::<Outage>(&net.chain, &net.head, &net.attributes()).unwrap();
            let parent = net.head.hash();
            let built = net.mine(candidates.clone());
            let mut open = simulation.begin(context, &Overrides::new(), NoOpInspector).unwrap();
            for (candidate, outcome) in candidates.into_iter().zip(&built.executed.outcomes) {
                prop_assert_eq!(open.nonce(candidate.signer()).unwrap(), candidate.nonce());
                prop_assert_eq!(open.gas_for(Some(1_500_000)).unwrap(), 1_500_000);
                let done = open.execute(candidate).unwrap();
                prop_assert_eq!(&done.outcome, outcome);
                prop_assert!(done.gas_peak >= outcome.gas_used);
            }
            let (block, executed) = open.seal(parent);
            prop_assert_eq!(executed.gas_used, built.executed.gas_used);
            let same = Header { state_root: built.block.header.state_root, ..block.header.clone() };
            prop_assert_eq!(same, built.block.header.clone());
        }
    }

    /// The root depends on the set of entries alone, not on how it came about.
    #[test]
    fn the_root_does_not_depend_on_the_path(
        accounts in prop::collection::btree_map(any::<[u8; 20]>(), (any::<u64>(), any::<u128>()), 1..20),
        detours in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 0..10),
        split in any::<prop::sample::Index>(),
    ) {
        let entries: Vec<(Address, Account)> = accounts
            .into_iter()
            .map(|(address, (nonce, balance))| {
                let account = Account { nonce: nonce | 1, balance: U256::from(balance), ..Account::default() };
                (Address::from(address), account)
            })
            .collect();
        let single = |address: Address, before: Option<Account>, after: Option<Account>| {
            let mut changes = StateChanges::default();
            changes.accounts.insert(address, Change { before, after });
            changes
        };
        let mut forward = LtHash::default();
        for (address, account) in &entries {
            forward.apply(&single(*address, None, Some(*account)));
        }
        let mut other = LtHash::default();
        let middle = split.index(entries.len());
        for (address, account) in entries[middle..].iter().chain(&entries[..middle]).rev() {
            other.apply(&single(*address, None, Some(*account)));
        }
        for (index, nonce) in detours {
            let (address, account) = entries[index.index(entries.len())];
            let elsewhere = Account { nonce, ..account };
            other.apply(&single(address, Some(account), Some(elsewhere)));
            other.apply(&single(address, Some(elsewhere), Some(account)));
        }
        prop_assert_eq!(forward.root(), other.root());
        prop_assert_eq!(LtHash::from_bytes(&other.to_bytes()), other);
    }
}

/// A state whose reads begin to fail after a while.
struct Failing<'a> {
    state: &'a MemoryState,
    left: Cell<usize>,
}

impl Failing<'_> {
    fn next(&self) -> Result<(), Outage> {
        let left = self.left.get().checked_sub(1).ok_or(Outage)?;
        self.left.set(left);
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Outage;

impl core::fmt::Display for Outage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("outage")
    }
}

impl core::error::Error for Outage {}

impl StateReader for Failing<'_> {
    type Error = Outage;

    fn account(&self, address: Address) -> Result<Option<Account>, Outage> {
        self.next()?;
        self.state.account(address).map_err(|_| Outage)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, Outage> {
        self.next()?;
        self.state.storage(address, slot).map_err(|_| Outage)
    }

    fn code(&self, hash: B256) -> Result<Bytes, Outage> {
        self.next()?;
        self.state.code(hash).map_err(|_| Outage)
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, Outage> {
        self.next()?;
        self.state.block_hash(number).map_err(|_| Outage)
    }
}

/// Wherever the store fails, in a transfer, in bytecode or in a module, there is an error and never another block.
#[test]
fn a_failing_read_never_gives_another_block() {
    let mut net = Net::new();
    let caller = net.deploy(1, &bytecode("Caller"));
    alloy_sol_types::sol! {
        function open(address channels, address worker, address signer, bytes32 salt) external payable returns (bytes32);
    }
    let nested =
        openCall { channels: channels::ADDRESS, worker: address(2), signer: address(3), salt: B256::ZERO };
    let mut candidates = transactions(
        &net,
        &[
            Action::Transfer { from: 2, to: 9, value: 1 },
            Action::OpenChannel { from: 2, worker: 3, salt: 0 },
            Action::Anchor { from: 3, root: 1 },
            Action::Destroy { from: 3 },
        ],
    );
    let input = nested.abi_encode().into();
    candidates
        .push(Draft { to: TxKind::Call(caller), value: COIN, input, ..Draft::new(1, net.nonce(1)) }.sign());
    let attempt = |left: usize| {
        let reader = Failing { state: &net.state, left: Cell::new(left) };
        let attributes = net.attributes();
        build(&net.chain, &net.head, &attributes, &reader, &net.commitment, candidates.clone())
            .map(|built| (built.block.hash(), reader.left.get()))
    };
    let (hash, unused) = attempt(10_000).unwrap();
    let reads = 10_000 - unused;
    assert!(reads > 20);
    for left in 0..reads {
        match attempt(left) {
            Err(ExecuteError::State(Outage)) => {}
            other => panic!("after {left} reads: {other:?}"),
        }
    }
    assert_eq!(attempt(reads).unwrap(), (hash, 0));
}

/// The same of a simulation: no read that fails is taken for an empty account or a refusal.
#[test]
fn a_failing_read_never_gives_another_simulation() {
    let net = Net::new();
    let actions = [
        Action::Transfer { from: 2, to: 9, value: 1 },
        Action::OpenChannel { from: 2, worker: 3, salt: 0 },
        Action::Destroy { from: 3 },
    ];
    let candidates = transactions(&net, &actions);
    let context = next_context::<Outage>(&net.chain, &net.head, &net.attributes()).unwrap();
    let change = AccountOverride { balance: Some(U256::ONE), ..AccountOverride::default() };
    let overrides = [(address(9), change)].into();
    let attempt = |left: usize| -> Result<_, CallError<Outage>> {
        let reader = Failing { state: &net.state, left: Cell::new(left) };
        let mut simulation = Simulation::new(net.chain, &reader, Checks::Call);
        let mut open = simulation.begin(context, &overrides, NoOpInspector)?;
        open.nonce(address(1))?;
        for candidate in &candidates {
            open.execute(candidate.clone())?;
        }
        let (block, _) = open.seal(net.head.hash());
        Ok((block.hash(), reader.left.get()))
    };
    let (hash, unused) = attempt(10_000).unwrap();
    let reads = 10_000 - unused;
    assert!(reads > 10);
    for left in 0..reads {
        match attempt(left) {
            Err(CallError::Execute(ExecuteError::State(Outage))) => {}
            other => panic!("after {left} reads: {other:?}"),
        }
    }
    assert_eq!(attempt(reads).unwrap(), (hash, 0));
}

#[test]
fn every_part_of_an_entry_moves_the_root() {
    let account = Account { nonce: 1, balance: U256::from(2), code_hash: B256::repeat_byte(3) };
    let root = |address: Address, account: Account, slot: u64, value: u64| {
        let mut changes = StateChanges::default();
        changes.accounts.insert(address, Change { before: None, after: Some(account) });
        let change = Change { before: U256::ZERO, after: U256::from(value) };
        changes.storage.insert((address, U256::from(slot)), change);
        let mut commitment = LtHash::default();
        commitment.apply(&changes);
        commitment.root()
    };
    let at = Address::repeat_byte(1);
    let roots = [
        LtHash::default().root(),
        root(at, account, 4, 5),
        root(Address::repeat_byte(2), account, 4, 5),
        root(at, Account { nonce: 2, ..account }, 4, 5),
        root(at, Account { balance: U256::from(3), ..account }, 4, 5),
        root(at, Account { code_hash: B256::ZERO, ..account }, 4, 5),
        root(at, account, 5, 5),
        root(at, account, 4, 6),
        root(at, account, 4, 0),
    ];
    for (index, root) in roots.iter().enumerate() {
        assert!(roots[..index].iter().all(|other| other != root), "{index}");
    }
}

/// A change of this hash is a change of every chain: entries, contexts, header and genesis in one figure.
#[test]
fn the_first_block_has_its_golden_hash() {
    let first = genesis().build(LtHash::default()).unwrap();
    let found = (first.block.header.state_root, first.block.hash());
    assert_eq!(found, (GOLDEN_STATE_ROOT, GOLDEN_HASH));
}

const GOLDEN_STATE_ROOT: B256 = b256!("fdfbd813529a7d209575f9172fe8b1a421cd48461b3b112326f8e8455d400661");
const GOLDEN_HASH: B256 = b256!("288c4644c01aa542743c1380bc6fa845f334d23397c7f9cb80773b44fbb75cde");
