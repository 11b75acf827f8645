//! Validators in one simulated network, and what must hold of them at any time.

use crate::{
    liar::Liar,
    peers::Peers,
    people::{CHAIN, COIN, START_S, address, genesis, owner, sign},
    pool::{Journal, Pool, Source},
};
use alloy_consensus::{ReceiptEnvelope, Sealed, transaction::SignerRecoverable as _};
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_sol_types::SolCall as _;
use commonware_cryptography::{Signer as _, ed25519};
use commonware_p2p::simulated::{self, Link, Oracle};
use commonware_runtime::{
    Clock as _, Handle, Quota, Runner as _, Spawner as _, Supervisor as _,
    buffer::paged::CacheRef,
    deterministic::{self, Checkpoint, Context, FaultConfig, Runner},
};
use commonware_utils::{NZU16, NZU32, NZU64, NZUsize, Probability, TestRng, ordered::Set, probability};
use std::{
    collections::BTreeMap,
    future::{Future, pending},
    io::Write as _,
    sync::{Arc, Mutex, atomic::AtomicUsize},
    time::{Duration, UNIX_EPOCH},
};
use tacit_abi::{
    IValidators,
    validators::{ADDRESS as VALIDATORS, JOIN_SUFFIX},
};
use tacit_consensus::{
    Channels, EngineConfig, Group, GroupShare, Pace, Rules, StorageConfig, Timing, Validator, deal,
    max_message_bytes,
    state::{Key, StateDb, writes},
};
use tacit_ledger::{
    Attributes, BLOCKS_PER_SEAT, BlockContext, Change, Founder, Genesis, GenesisAccount, LtHash, MemoryState,
    StateChanges, execute,
};

type Public = ed25519::PublicKey;
type Running = Validator<Context, Source, Journal>;
/// Holds a validator once it has started.
type Cell = Arc<Mutex<Option<Arc<Running>>>>;

/// What outlives a crash of everything: journals, and the pool of those who send.
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
    /// Whether validators run from the beginning; the others are booted later.
    pub(crate) early: Vec<bool>,
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
            genesis: genesis(),
            first: validators,
            shares: vec![true; validators],
            early: vec![true; validators],
        }
    }

    /// So many keys, of which the first have stakes from the beginning; each has an owner with coins. Epochs are of so many blocks.
    pub(crate) fn staked(keys: usize, first: usize, epoch_blocks: u64) -> Self {
        let mut genesis = genesis();
        let parameters = &mut genesis.staking.parameters;
        parameters.epoch_blocks = epoch_blocks;
        parameters.seats = u16::try_from(epoch_blocks / BLOCKS_PER_SEAT).unwrap().min(parameters.seats);
        let stake = parameters.stake_min;
        for (i, key) in sorted_keys(keys).iter().enumerate() {
            let account = GenesisAccount { balance: U256::from(1_000 * COIN), ..GenesisAccount::default() };
            genesis.alloc.insert(address(owner(i)), account);
            if i < first {
                let key = B256::from_slice(key.public_key().as_ref());
                genesis.staking.founders.push(Founder { key, owner: address(owner(i)), stake });
            }
        }
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
                prev_randao: B256::ZERO,
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
            state.apply(&executed.changes);
            burned += U256::from(executed.gas_used) * U256::from(header.base_fee_per_gas.unwrap());
            parent = Some(block.header());
        }
        let held: U256 = state.accounts.values().map(|account| account.balance).sum();
        let staked: U256 =
            self.genesis.staking.founders.iter().map(|founder| U256::from(founder.stake)).sum();
        let alloc: U256 = self.genesis.alloc.values().map(|account| account.balance).sum();
        assert_eq!(held + burned, alloc + staked, "coins appeared or vanished");
        (state, receipts)
    }
}

/// Validators that run now.
pub(crate) struct Network {
    pub(crate) world: World,
    context: Context,
    oracle: Oracle<Public, Context>,
    keys: Vec<ed25519::PrivateKey>,
    running: Vec<Option<(Handle<()>, Cell)>>,
    starts: u64,
    quality: Link,
}

impl Network {
    pub(crate) async fn start(context: Context, world: World) -> Self {
        let n = world.journals.len();
        let keys = sorted_keys(n);
        let peers: Vec<Public> = keys.iter().map(ed25519::PrivateKey::public_key).collect();
        let config = simulated::Config {
            max_size: max_message_bytes(),
            max_peers_per_set: NZUsize!(n),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let (network, oracle) =
            simulated::Network::new_with_peers(context.child("network"), config, peers).await;
        network.start();
        let mut this = Self {
            world,
            context,
            oracle,
            keys,
            running: (0..n).map(|_| None).collect(),
            starts: 0,
            quality: LINK,
        };
        this.link(|_, _| true).await;
        for i in 0..n {
            if this.world.early[i] {
                this.boot(i).await;
            }
        }
        this
    }

    /// Starts validator `i` on whatever its disk holds.
    pub(crate) async fn boot(&mut self, i: usize) {
        assert!(self.running[i].is_none());
        self.starts += 1;
        let context =
            self.context.child("validator").with_attribute("index", i).with_attribute("start", self.starts);
        let key = self.keys[i].clone();
        let public = key.public_key();
        let control = self.oracle.control(public.clone());
        let mut ends = Vec::new();
        for channel in 0..8 {
            let (inner, receiver) = control.register(channel, QUOTA).await.unwrap();
            let lies = channel == DEALINGS && self.world.liar == Some(i);
            ends.push((Liar { inner, lies }, receiver));
        }
        let mut ends = ends.into_iter();
        let mut next = || ends.next().unwrap();
        let channels = Channels {
            votes: next(),
            certificates: next(),
            resolver: next(),
            backfill: next(),
            broadcast: next(),
            state: next(),
            signatures: next(),
            dealings: next(),
        };
        let (group, mut shares) = self.group();
        let has_share = i < self.world.first && self.world.shares[i];
        let config = EngineConfig {
            key,
            genesis: self.world.genesis.clone(),
            group,
            share: has_share.then(|| shares.swap_remove(i)),
            rules: RULES,
            beneficiary: Address::repeat_byte(0xb0 + u8::try_from(i).unwrap()),
            timing: TIMING,
            storage: StorageConfig {
                partition: format!("validator-{i}"),
                state_cache: CacheRef::new(NZU16!(1024), NZUsize!(64)),
                block_cache: CacheRef::new(NZU16!(1024), NZUsize!(64)),
                state_items_per_blob: NZU64!(16),
                state_blocks_kept: STATE_BLOCKS_KEPT,
                archive_items_per_section: NZU64!(64),
                archive_table_size: 64,
                buffer_bytes: NZUsize!(1 << 14),
                index_seed: Some(7),
            },
        };
        let source = Source {
            pool: self.world.pool.clone(),
            checked: Arc::clone(&self.world.checked[i]),
            forged: self.world.thief.filter(|(thief, _)| *thief == i).map(|(_, victim)| victim),
        };
        let journal = self.world.journals[i].clone();
        let peers = Peers::default();
        let cell = Cell::default();
        let shared = Arc::clone(&cell);
        let handle = context.spawn(move |context| async move {
            let validator =
                Validator::start(context.child("engine"), config, channels, peers, control, source, journal)
                    .await
                    .unwrap();
            *shared.lock().unwrap() = Some(Arc::new(validator));
            pending().await
        });
        self.running[i] = Some((handle, cell));
    }

    /// Ends validator `i` at once; what it had not made durable is lost.
    pub(crate) async fn crash(&mut self, i: usize) {
        let (handle, cell) = self.running[i].take().unwrap();
        handle.abort();
        let _ = handle.await;
        cell.lock().unwrap().take();
    }

    /// The running validator `i`, once it has started.
    pub(crate) async fn validator(&self, i: usize) -> Arc<Running> {
        let cell = Arc::clone(&self.running[i].as_ref().unwrap().1);
        loop {
            if let Some(validator) = cell.lock().unwrap().clone() {
                return validator;
            }
            self.context.sleep(Duration::from_millis(10)).await;
        }
    }

    /// Who was cut off, and by whom.
    pub(crate) async fn blocked(&self) -> Vec<(Public, Public)> {
        self.oracle.blocked().await.unwrap()
    }

    /// A validator that runs.
    pub(crate) async fn someone(&self) -> Arc<Running> {
        self.validator(self.running.iter().position(Option::is_some).unwrap()).await
    }

    /// From now on, this part of all messages arrives.
    pub(crate) async fn lose(&mut self, success_rate: Probability) {
        self.quality = Link { success_rate, ..LINK };
        self.link(|_, _| true).await;
    }

    /// Public keys of the first validators, in order.
    pub(crate) fn validators(&self) -> Set<Public> {
        Set::from_iter_dedup(self.keys[..self.world.first].iter().map(ed25519::PrivateKey::public_key))
    }

    /// Public key of validator `i`.
    pub(crate) fn key(&self, i: usize) -> Public {
        self.keys[i].public_key()
    }

    /// The group of the first validators, and their shares in order.
    pub(crate) fn group(&self) -> (Group, Vec<GroupShare>) {
        let (group, shares) = deal(TestRng::new(7), &self.validators()).unwrap();
        (group, shares.into_iter().map(|(_, share)| share).collect())
    }

    /// Connects those pairs, and no others, for which `linked` holds.
    pub(crate) async fn link(&mut self, linked: impl Fn(usize, usize) -> bool) {
        for (a, from) in self.keys.iter().enumerate() {
            for (b, to) in self.keys.iter().enumerate().filter(|(b, _)| *b != a) {
                let (from, to) = (from.public_key(), to.public_key());
                // Not linked yet, at the start: the same to us.
                let _ = self.oracle.remove_link(from.clone(), to.clone()).await;
                if linked(a, b) {
                    self.oracle.add_link(from, to, self.quality.clone()).await.unwrap();
                }
            }
        }
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        self.context.sleep(time).await;
    }

    /// Waits until `done`, for five minutes of simulated time at most.
    pub(crate) async fn until(&self, what: &str, done: impl Fn(&World) -> bool) {
        let started = self.context.current();
        while !done(&self.world) {
            let waited = self.context.current().duration_since(started).unwrap();
            let heights: Vec<u64> = self.world.journals.iter().map(Journal::height).collect();
            assert!(waited < Duration::from_secs(300), "{what}: not in five minutes, heights {heights:?}");
            self.context.sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until everything sent is final at every validator in `who`, and so are `more` blocks beyond.
    pub(crate) async fn settle(&self, who: impl IntoIterator<Item = usize>, more: u64) {
        self.until("pool empties", |world| world.pool.is_empty()).await;
        let tip = self.world.journals.iter().map(Journal::height).max().unwrap() + more;
        let who: Vec<usize> = who.into_iter().collect();
        self.until("heights", |world| who.iter().all(|i| world.journals[*i].height() >= tip)).await;
    }

    /// First operation that the state log of validator `i` still holds.
    pub(crate) async fn oldest_operation(&self, i: usize) -> u64 {
        let database = self.validator(i).await.state().await;
        let bounds = database.read().await.bounds();
        *bounds.start
    }

    /// The database of validator `i` holds exactly the accounts, slots and code of `state`, and its root is a header's.
    ///
    /// Nobody was cut off either: an honest validator that voted twice would have been.
    pub(crate) async fn check_database(&self, i: usize, state: &MemoryState) {
        assert_eq!(self.oracle.blocked().await.unwrap(), [], "somebody was cut off");
        let validator = self.validator(i).await;
        let database = validator.state().await;
        let database = database.read().await;
        let root = B256::new(database.root().0);
        let chain = self.world.chain();
        let found = chain.values().any(|block| block.block().header.state_root == root);
        assert!(found, "the root of validator {i} is in no header");
        for (key, value) in writes(&changes(state), None) {
            assert_eq!(StateDb::<Context>::get(&database, &key).await.unwrap(), value, "validator {i}");
        }
        let absent: Key = tacit_consensus::state::account_key(Address::repeat_byte(0xdd));
        assert_eq!(database.get(&absent).await.unwrap(), None);
    }
}

/// Keys of so many validators, in order of their public halves.
fn sorted_keys(count: usize) -> Vec<ed25519::PrivateKey> {
    let keys = (0..count).map(|i| ed25519::PrivateKey::from_seed(u64::try_from(i).unwrap()));
    let mut keys: Vec<_> = keys.collect();
    keys.sort_by_key(ed25519::PrivateKey::public_key);
    keys
}

/// All of a state, as changes from nothing.
fn changes(state: &MemoryState) -> StateChanges {
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

/// Runs a simulation from `seed`; the seed is printed if it fails.
pub(crate) fn simulate<F, Fut, T>(seed: u64, run: F) -> T
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = T>,
{
    simulate_late(seed, 0, run)
}

/// Like [`simulate`], `late` seconds after the time that the first block names.
pub(crate) fn simulate_late<F, Fut, T>(seed: u64, late: u64, run: F) -> T
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = T>,
{
    let _printer = SeedPrinter(seed);
    let start = UNIX_EPOCH + Duration::from_secs(START_S + late);
    Runner::new(config(seed).with_start_time(start)).start(run)
}

/// Like [`simulate`], but everything crashes at the end and the disks are kept.
pub(crate) fn simulate_crash<F, Fut, T>(seed: u64, faults: FaultConfig, run: F) -> (T, Checkpoint)
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = T>,
{
    let _printer = SeedPrinter(seed);
    Runner::new(config(seed).with_storage_fault_config(faults)).start_and_recover(run)
}

/// Goes on from the disks of [`simulate_crash`].
pub(crate) fn resume<F, Fut, T>(seed: u64, checkpoint: Checkpoint, run: F) -> (T, Checkpoint)
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = T>,
{
    let _printer = SeedPrinter(seed);
    Runner::from(checkpoint).start_and_recover(run)
}

struct SeedPrinter(u64);

impl Drop for SeedPrinter {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Nothing is left to do if even this fails.
            let _ = writeln!(std::io::stderr(), "seed {}", self.0);
        }
    }
}

fn config(seed: u64) -> deterministic::Config {
    deterministic::Config::new().with_seed(seed).with_start_time(UNIX_EPOCH + Duration::from_secs(START_S))
}

pub(crate) const RULES: Rules = Rules { chain: CHAIN, timestamp_step_s_max: 30, clock_ahead_s_max: 2 };

pub(crate) const TIMING: Timing = Timing {
    pace: Pace { busy: Duration::from_millis(50), idle: Duration::from_millis(200) },
    leader_timeout: Duration::from_millis(700),
    certification_timeout: Duration::from_millis(1_400),
    retry: Duration::from_millis(500),
    fetch_timeout: Duration::from_millis(500),
};

/// Few, so that simulations outlive them.
pub(crate) const STATE_BLOCKS_KEPT: usize = 8;

/// Number of the channel.
const DEALINGS: u64 = 7;
const QUOTA: Quota = Quota::per_second(NZU32!(100_000));

const LINK: Link = Link {
    latency: Duration::from_millis(10),
    jitter: Duration::from_millis(5),
    success_rate: probability!(1.0),
};
