//! What outlives the processes of a simulated network, and what must hold of it at any time: one chain, which a plain replay gives again.

use crate::{
    byzantine::Mischief,
    machine::Disk,
    people::{CHAIN, COIN, address, genesis, owner, sign},
    pool::{Court, Journal, Pool},
    wire::{Ballots, Sight},
};
use alloy_consensus::{ReceiptEnvelope, Sealed, transaction::SignerRecoverable as _};
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_sol_types::SolCall as _;
use commonware_cryptography::{Signer as _, ed25519};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};
use tacit_abi::{
    IValidators,
    validators::{ADDRESS as VALIDATORS, JOIN_SUFFIX},
};
use tacit_consensus::Anchor;
use tacit_ledger::{
    Attributes, BLOCKS_PER_SEAT, BlockContext, Change, Founder, Genesis, GenesisAccount, LtHash, MemoryState,
    StateChanges, StateCommitment as _, execute,
};
use tacit_light::Checkpoint;

/// What outlives a crash of everything: journals, and the pool of those who send. Most lists are by machine; each of the first
/// machines has the key of the same index.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) pool: Pool,
    pub(crate) journals: Vec<Journal>,
    pub(crate) checked: Vec<Arc<AtomicUsize>>,
    pub(crate) thief: Option<(usize, Address)>,
    /// Who deals badly.
    pub(crate) liar: Option<usize>,
    pub(crate) genesis: Genesis,
    /// How many are validators from the beginning.
    pub(crate) first: usize,
    /// Who of them has a share of the group's key.
    pub(crate) shares: Vec<bool>,
    /// A validator that is malicious, and how.
    pub(crate) byzantine: Option<(usize, Mischief)>,
    /// Which key each machine has. Two with one key are twins.
    pub(crate) roles: Vec<usize>,
    /// Whether every message is sent twice.
    pub(crate) echo: bool,
    /// Whether those who are caught are disconnected.
    pub(crate) cut_off: bool,
    /// Whom a machine reaches, where not everybody.
    pub(crate) sight: Sight,
    /// Milliseconds by which each clock is ahead; negative ones in two's complement.
    pub(crate) ahead_ms: Vec<Arc<AtomicU64>>,
    pub(crate) disks: Vec<Disk>,
    /// Where evidence goes.
    pub(crate) courts: Vec<Court>,
    /// Every vote that honest machines ever sent.
    pub(crate) ballots: Ballots,
    /// Whether validators run from the beginning; the others are booted later.
    pub(crate) early: Vec<bool>,
    /// Where machines begin that have nothing yet, if not with the first block.
    pub(crate) anchors: Vec<Option<Anchor>>,
    /// How often each machine has lost everything but its journal.
    pub(crate) lives: Vec<u32>,
    /// Who serves false state.
    pub(crate) forger: Option<usize>,
}

impl World {
    pub(crate) fn new(validators: usize) -> Self {
        let pool = Pool::default();
        Self {
            journals: (0..validators).map(|_| Journal::new(pool.clone())).collect(),
            checked: (0..validators).map(|_| Arc::default()).collect(),
            pool,
            thief: None,
            liar: None,
            genesis: founded(genesis(), &sorted_keys(validators)),
            first: validators,
            shares: vec![true; validators],
            byzantine: None,
            roles: (0..validators).collect(),
            echo: false,
            cut_off: true,
            sight: Sight::default(),
            ahead_ms: (0..validators).map(|_| Arc::default()).collect(),
            disks: (0..validators).map(|_| Disk::default()).collect(),
            courts: (0..validators).map(|_| Court::default()).collect(),
            ballots: Ballots::default(),
            early: vec![true; validators],
            anchors: vec![None; validators],
            lives: vec![0; validators],
            forger: None,
        }
    }

    /// As many validators, and one machine more for each of these keys.
    pub(crate) fn with_twins(validators: usize, twins: &[usize]) -> Self {
        let mut world = Self::new(validators + twins.len());
        world.first = validators;
        world.genesis = founded(genesis(), &sorted_keys(validators));
        world.roles.truncate(validators);
        world.roles.extend(twins);
        world
    }

    /// How many validators there are, whatever the machines.
    pub(crate) fn keys(&self) -> usize {
        self.roles.iter().max().map_or(0, |last| last + 1)
    }

    /// Sets the clock of machine `i` so far ahead.
    pub(crate) fn set_clock(&self, i: usize, ahead_ms: i64) {
        self.ahead_ms[i].store(ahead_ms.cast_unsigned(), Ordering::Relaxed);
    }

    /// So many keys, of which the first have stakes from the beginning; each has an owner with coins. Epochs are of so many blocks.
    pub(crate) fn staked(keys: usize, first: usize, epoch_blocks: u64) -> Self {
        let mut genesis = genesis();
        let parameters = &mut genesis.staking.parameters;
        parameters.epoch_blocks = epoch_blocks;
        parameters.seats = u16::try_from(epoch_blocks / BLOCKS_PER_SEAT).unwrap().min(parameters.seats);
        for i in 0..keys {
            let account = GenesisAccount { balance: U256::from(1_000 * COIN), ..GenesisAccount::default() };
            genesis.alloc.held().unwrap().insert(address(owner(i)), account);
        }
        let genesis = founded(genesis, &sorted_keys(keys)[..first]);
        Self { genesis, first, early: (0..keys).map(|i| i < first).collect(), ..Self::new(keys) }
    }

    pub(crate) fn epoch_blocks(&self) -> u64 {
        self.genesis.staking.parameters.epoch_blocks
    }

    /// The owner of validator `i` bonds its key.
    pub(crate) fn join(&self, i: usize, nonce: u64) {
        let key = sorted_keys(self.journals.len()).swap_remove(i);
        let (person, stake) = (owner(i), self.genesis.staking.parameters.stake_min);
        let namespace = [self.genesis.namespace().unwrap().as_slice(), JOIN_SUFFIX].concat();
        let proof = key.sign(&namespace, address(person).as_slice());
        let key = B256::from_slice(key.public_key().as_ref());
        let call = IValidators::joinCall { key, proof: proof.as_ref().to_vec().into() };
        self.pool.add(sign(person, nonce, TxKind::Call(VALIDATORS), stake, call.abi_encode()));
    }

    /// The owner of validator `i` ends it.
    pub(crate) fn leave(&self, i: usize, nonce: u64) {
        let call = IValidators::leaveCall {};
        self.pool.add(sign(owner(i), nonce, TxKind::Call(VALIDATORS), 0, call.abi_encode()));
    }

    /// The owner of validator `i` asks for its stake.
    pub(crate) fn withdraw(&self, i: usize, nonce: u64) {
        let call = IValidators::withdrawCall {};
        self.pool.add(sign(owner(i), nonce, TxKind::Call(VALIDATORS), 0, call.abi_encode()));
    }

    pub(crate) fn height(&self) -> u64 {
        self.journals.iter().map(Journal::height).min().unwrap()
    }

    /// One final block per height, everywhere. Gives the longest chain.
    pub(crate) fn chain(&self) -> BTreeMap<u64, tacit_consensus::ChainBlock> {
        let mut chain = BTreeMap::new();
        for journal in &self.journals {
            for (number, block) in journal.blocks() {
                let known = chain.entry(number).or_insert_with(|| block.clone());
                assert_eq!(known.hash(), block.hash(), "a fork at {number}");
            }
        }
        chain
    }

    /// Executes the whole chain again, plainly, over state in memory: same headers, money conserved. Gives the state.
    pub(crate) fn replay(&self) -> MemoryState {
        self.execute().0
    }

    /// Like [`Self::replay`]; gives the receipts of each block, too.
    pub(crate) fn execute(&self) -> (MemoryState, BTreeMap<u64, Vec<ReceiptEnvelope>>) {
        let mut receipts = BTreeMap::new();
        let first = self.genesis.build(LtHash::default()).unwrap();
        let mut state = MemoryState::default();
        state.apply(&first.changes);
        let mut burned = U256::ZERO;
        let mut roots = BTreeMap::from([(first.block.header.number, first.commitment.root())]);
        let mut parent: Option<Sealed<alloy_consensus::Header>> = None;
        for (number, block) in self.chain() {
            let header = &block.block().header;
            let above = parent.unwrap_or_else(|| {
                assert_eq!(number, 1);
                Sealed::new_unchecked(first.block.header.clone(), header.parent_hash)
            });
            state.block_hashes.insert(above.number, above.hash());
            let attributes = Attributes {
                timestamp: header.timestamp,
                beneficiary: header.beneficiary,
                prev_randao: header.mix_hash,
                extra_data: header.extra_data.clone(),
            };
            let body = &block.block().body.transactions;
            let sent = body.iter().map(|sent| sent.clone().try_into_recovered().unwrap());
            let executed = execute(&CHAIN, BlockContext::of(header), &state, sent).unwrap();
            assert!(executed.rejected.is_empty());
            let sealed = executed.seal(&above, &attributes, header.state_root);
            assert_eq!(sealed.hash(), block.hash(), "replay of {number} gives another header");
            receipts
                .insert(number, executed.outcomes.iter().map(|outcome| outcome.receipt.clone()).collect());
            let due = number.is_multiple_of(4).then(|| number - 2);
            let due = due.map(|number| Checkpoint { number, root: roots[&number] });
            let said = block.seal().checkpoint;
            assert!(said.is_none() || said == due, "block {number}");
            state.apply(&executed.changes);
            // From nothing but the state: not as validators and journals get it, change by change.
            let mut commitment = LtHash::default();
            commitment.apply(&changes(&state));
            roots.insert(number, commitment.root());
            burned += U256::from(executed.gas_used) * U256::from(header.base_fee_per_gas.unwrap());
            parent = Some(block.header());
        }
        let held: U256 = state.accounts.values().map(|account| account.balance).sum();
        let staked: U256 =
            self.genesis.staking.founders.iter().map(|founder| U256::from(founder.stake)).sum();
        let mut alloc = self.genesis.alloc.clone();
        let alloc: U256 = alloc.held().unwrap().values().map(|account| account.balance).sum();
        assert_eq!(held + burned, alloc + staked, "coins appeared or vanished");
        (state, receipts)
    }
}

/// The genesis with these keys as founders, the least that they may stake each.
fn founded(mut genesis: Genesis, keys: &[ed25519::PrivateKey]) -> Genesis {
    let stake = genesis.staking.parameters.stake_min;
    let founder = |(i, key): (usize, &ed25519::PrivateKey)| {
        let key = B256::from_slice(key.public_key().as_ref());
        Founder { key, owner: address(owner(i)), stake, payer: None }
    };
    genesis.staking.founders = keys.iter().enumerate().map(founder).collect();
    genesis
}

/// Keys of so many validators, in order of their public halves.
pub(crate) fn sorted_keys(count: usize) -> Vec<ed25519::PrivateKey> {
    let keys = (0..count).map(|i| ed25519::PrivateKey::from_seed(u64::try_from(i).unwrap()));
    let mut keys: Vec<_> = keys.collect();
    keys.sort_by_key(ed25519::PrivateKey::public_key);
    keys
}

/// All of a state, as changes from nothing.
pub(crate) fn changes(state: &MemoryState) -> StateChanges {
    let mut changes = StateChanges::default();
    for (address, account) in &state.accounts {
        changes.accounts.insert(*address, Change { before: None, after: Some(*account) });
    }
    for (place, value) in &state.storage {
        changes.storage.insert(*place, Change { before: U256::ZERO, after: *value });
    }
    changes.code.extend(state.code.iter().map(|(hash, code)| (*hash, code.clone())));
    changes
}
