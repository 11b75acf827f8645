//! Validators in one simulated network: started, crashed, cut off from each other.

use crate::{
    byzantine::Byzantine,
    liar::{self, Liar, Lie},
    machine::Machine,
    peers::Peers,
    people::{CHAIN, START_S},
    pool::{Journal, Source},
    wire::{DEALINGS, STATE, Tap, Wire},
    world::{changes, sorted_keys},
};
use alloy_primitives::{Address, B256};
use bytes::Bytes;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_cryptography::{Signer as _, ed25519};
use commonware_p2p::simulated::{self, Link, Oracle, Receiver, SplitTarget};
use commonware_runtime::{
    Clock as _, Handle, Quota, Runner as _, Spawner as _, Supervisor as _,
    buffer::paged::CacheRef,
    deterministic::{self, Checkpoint as Disks, Context, FaultConfig, Runner},
};
use commonware_utils::{NZU16, NZU32, NZU64, NZUsize, Probability, TestRng, ordered::Set, probability};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::{Future, pending},
    io::Write as _,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};
use tacit_consensus::{
    Channels, EngineConfig, Group, GroupShare, Pace, Rules, StorageConfig, Timing, Validator, deal,
    max_message_bytes, namespace,
    state::{Key, StateDb, writes},
};
use tacit_ledger::MemoryState;

pub(crate) use crate::world::World;

type Public = ed25519::PublicKey;
type Running = Validator<Machine, Source, Journal>;
/// Holds a validator once it has started.
type Cell = Arc<Mutex<Option<Arc<Running>>>>;

/// A machine's ends of the network, channel by channel.
type Ends = Vec<(Liar<Tap>, Receiver<Public>)>;

/// Validators that run now.
pub(crate) struct Network {
    pub(crate) world: World,
    context: Context,
    oracle: Oracle<Public, Context>,
    keys: Vec<ed25519::PrivateKey>,
    running: Vec<Option<(Handle<()>, Cell)>>,
    starts: u64,
    quality: Link,
    /// The second halves of twins' ends.
    spare: BTreeMap<usize, Ends>,
    /// Ways to the network, by machine.
    wires: BTreeMap<usize, Wire>,
    byzantine: Option<Arc<Mutex<Byzantine>>>,
}

impl Network {
    pub(crate) async fn start(context: Context, world: World) -> Self {
        let (n, machines) = (world.keys(), world.roles.len());
        let keys = sorted_keys(n);
        let peers: Vec<Public> = keys.iter().map(ed25519::PrivateKey::public_key).collect();
        let config = simulated::Config {
            max_size: max_message_bytes(),
            max_peers_per_set: NZUsize!(n),
            disconnect_on_block: world.cut_off,
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
            running: (0..machines).map(|_| None).collect(),
            starts: 0,
            quality: LINK,
            spare: BTreeMap::new(),
            wires: BTreeMap::new(),
            byzantine: None,
        };
        this.byzantine = this.malice();
        this.link(|_, _| true).await;
        for i in 0..machines {
            if this.world.early[i] {
                this.boot(i).await;
            }
        }
        this
    }

    fn malice(&self) -> Option<Arc<Mutex<Byzantine>>> {
        let (i, mischief) = self.world.byzantine?;
        let (keys, key) = (self.validators(), self.keys[i].clone());
        let me = key.public_key();
        let namespace = namespace(&self.world.genesis, &keys).unwrap();
        let scheme = Scheme::signer(namespace.as_slice(), keys.clone(), key).unwrap();
        Some(Arc::new(Mutex::new(Byzantine::new(mischief, scheme, me, keys))))
    }

    /// How often the malicious validator was malicious.
    pub(crate) fn acts(&self) -> usize {
        self.byzantine.as_ref().map_or(0, |byzantine| byzantine.lock().unwrap().acts)
    }

    /// How many honest validators cut this one off.
    pub(crate) async fn cut_off(&self, culprit: &Public) -> usize {
        self.oracle.blocked().await.unwrap().iter().filter(|(_, blocked)| blocked == culprit).count()
    }

    /// Keys that may be cut off, and may cut off whom they like.
    fn culprits(&self) -> BTreeSet<Public> {
        let twins = self.world.roles.iter().skip(self.keys.len());
        let byzantine = self.world.byzantine.map(|(i, _)| i);
        twins.copied().chain(byzantine).map(|key| self.keys[key].public_key()).collect()
    }

    /// Sends a message in the name of machine `i`, to all others.
    pub(crate) fn inject(&self, i: usize, channel: u64, message: Bytes) {
        let me = self.keys[self.world.roles[i]].public_key();
        let to = self.validators().iter().filter(|key| **key != me).cloned().collect();
        self.wires[&i].put((channel, to, message));
    }

    /// Connects machine `i`, and with it the twin that shares its key.
    async fn plug(&mut self, i: usize) -> Ends {
        if let Some(ends) = self.spare.remove(&i) {
            return ends;
        }
        let key = self.keys[self.world.roles[i]].public_key();
        let control = self.oracle.control(key);
        let twin = (0..self.world.roles.len())
            .find(|other| *other != i && self.world.roles[*other] == self.world.roles[i]);
        let keys = Arc::new(self.validators().iter().cloned().collect::<Vec<_>>());
        let wire = |machine: usize, lines| Wire {
            lines,
            machine,
            keys: Arc::clone(&keys),
            ballots: self.world.ballots.clone(),
            echo: self.world.echo,
            sight: Arc::clone(&self.world.sight),
            byzantine: self
                .byzantine
                .clone()
                .filter(|_| self.world.byzantine.is_some_and(|(byzantine, _)| byzantine == machine)),
        };
        let lines = Arc::default();
        let mine = wire(i, Arc::clone(&lines));
        let its = wire(twin.unwrap_or(i), Arc::clone(&lines));
        let (mut ends, mut others) = (Vec::new(), Vec::new());
        let lies = |machine| self.world.liar == Some(machine);
        for channel in 0..8 {
            let (sender, receiver) = control.register(channel, QUOTA).await.unwrap();
            lines.lock().unwrap().insert(channel, sender);
            let tap = |wire: &Wire| {
                let forges = self.world.forger == Some(wire.machine);
                let lie = match channel {
                    DEALINGS => lies(wire.machine).then_some(liar::share as Lie),
                    STATE => forges.then_some(liar::state as Lie),
                    _ => None,
                };
                Liar { inner: Tap { channel, wire: wire.clone() }, lie }
            };
            if twin.is_none() {
                ends.push((tap(&mine), receiver));
                continue;
            }
            let (one, other) = (mine.clone(), its.clone());
            let context = self.context.child("twins").with_attribute("channel", channel);
            let (receiver, second) =
                receiver.split_with(context, move |(from, _)| match (one.sees(from), other.sees(from)) {
                    (true, true) => SplitTarget::Both,
                    (true, false) => SplitTarget::Primary,
                    (false, true) => SplitTarget::Secondary,
                    (false, false) => SplitTarget::None,
                });
            ends.push((tap(&mine), receiver));
            others.push((tap(&its), second));
        }
        self.wires.insert(i, mine);
        if let Some(twin) = twin {
            self.wires.insert(twin, its);
            self.spare.insert(twin, others);
        }
        ends
    }

    /// Starts validator `i` on whatever its disk holds.
    pub(crate) async fn boot(&mut self, i: usize) {
        assert!(self.running[i].is_none());
        self.starts += 1;
        let context =
            self.context.child("validator").with_attribute("index", i).with_attribute("start", self.starts);
        let context = Machine::new(context, Arc::clone(&self.world.ahead_ms[i]), self.world.disks[i].clone());
        let role = self.world.roles[i];
        let key = self.keys[role].clone();
        let control = self.oracle.control(key.public_key());
        let mut ends = self.plug(i).await.into_iter();
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
        let has_share = role < self.world.first && self.world.shares[i];
        let config = EngineConfig {
            key,
            genesis: self.world.genesis.clone(),
            group,
            share: has_share.then(|| shares.swap_remove(i)),
            anchor: self.world.anchors[i].clone(),
            rules: RULES,
            beneficiary: Address::repeat_byte(0xb0 + u8::try_from(i).unwrap()),
            timing: TIMING,
            storage: StorageConfig {
                partition: format!("validator-{i}-{}", self.world.lives[i]),
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
        let journal = self.world.journals[i].clone().begun(&self.world.genesis);
        let court = self.world.courts[i].clone();
        let peers = Peers::default();
        let cell = Cell::default();
        let shared = Arc::clone(&cell);
        let handle = context.spawn(move |context| async move {
            let engine = context.child("engine");
            let validator =
                Validator::start(engine, config, channels, peers, control, source, journal, court)
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

    /// From now on, links are like this, and only between those for whom `linked` holds.
    pub(crate) async fn shape(&mut self, quality: Link, linked: impl Fn(usize, usize) -> bool) {
        self.quality = quality;
        self.link(linked).await;
    }

    /// Links as they are at the start.
    pub(crate) const GOOD: Link = LINK;

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

    /// Seconds since 1970, by a clock that is right.
    pub(crate) fn now_s(&self) -> u64 {
        self.context.current().duration_since(UNIX_EPOCH).unwrap().as_secs()
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
    /// No honest validator was cut off either: one that voted twice would have been.
    pub(crate) async fn check_database(&self, i: usize, state: &MemoryState) {
        let (culprits, mut blocked) = (self.culprits(), self.oracle.blocked().await.unwrap());
        blocked.retain(|(by, whom)| !culprits.contains(by) && !culprits.contains(whom));
        assert_eq!(blocked, [], "somebody was cut off");
        let validator = self.validator(i).await;
        let database = validator.state().await;
        let database = database.read().await;
        let root = B256::new(database.root().0);
        let chain = self.world.chain();
        let found = chain.values().any(|block| block.block().header.state_root == root);
        assert!(found, "the root of validator {i} is in no header");
        for (key, value) in writes(&changes(state), None) {
            assert_eq!(StateDb::<Machine>::get(&database, &key).await.unwrap(), value, "validator {i}");
        }
        let absent: Key = tacit_consensus::state::account_key(Address::repeat_byte(0xdd));
        assert_eq!(database.get(&absent).await.unwrap(), None);
    }
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
pub(crate) fn simulate_crash<F, Fut, T>(seed: u64, faults: FaultConfig, run: F) -> (T, Disks)
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = T>,
{
    let _printer = SeedPrinter(seed);
    Runner::new(config(seed).with_storage_fault_config(faults)).start_and_recover(run)
}

/// Goes on from the disks of [`simulate_crash`].
pub(crate) fn resume<F, Fut, T>(seed: u64, checkpoint: Disks, run: F) -> (T, Disks)
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = T>,
{
    let _printer = SeedPrinter(seed);
    Runner::from(checkpoint).start_and_recover(run)
}

/// Like [`simulate`]; a task that panics ends alone.
pub(crate) fn simulate_to_the_end<F, Fut, T>(seed: u64, run: F) -> T
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = T>,
{
    let _printer = SeedPrinter(seed);
    Runner::new(config(seed).with_catch_panics(true)).start(run)
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

/// With checkpoints so often that every simulation meets some.
pub(crate) const RULES: Rules =
    Rules { chain: CHAIN, timestamp_step_s_max: 30, clock_ahead_s_max: 2, checkpoint_blocks: NZU64!(4) };

pub(crate) const TIMING: Timing = Timing {
    pace: Pace { busy: Duration::from_millis(50), idle: Duration::from_millis(200) },
    leader_timeout: Duration::from_millis(700),
    certification_timeout: Duration::from_millis(1_400),
    retry: Duration::from_millis(500),
    fetch_timeout: Duration::from_millis(500),
};

/// Few, so that simulations outlive them.
pub(crate) const STATE_BLOCKS_KEPT: usize = 8;

const QUOTA: Quota = Quota::per_second(NZU32!(100_000));

const LINK: Link = Link {
    latency: Duration::from_millis(10),
    jitter: Duration::from_millis(5),
    success_rate: probability!(1.0),
};
