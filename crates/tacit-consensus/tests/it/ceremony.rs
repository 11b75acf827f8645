//! Founders make their key together: with crashes, absence, lies and slow links.

use crate::{
    liar::{self, Liar, Lie},
    network::{resume, simulate, simulate_crash},
    peers::Peers,
    world::sorted_keys,
};
use alloy_primitives::{B256, hex, keccak256};
use commonware_codec::{Copying, Read as _};
use commonware_cryptography::{
    Signer as _,
    bls12381::{
        dkg::feldman_desmedt::Output,
        primitives::{
            group::{Private, Share},
            ops::{self, threshold},
            sharing::ModeVersion,
            variant::{MinSig, PartialSignature},
        },
    },
    ed25519,
};
use commonware_p2p::simulated::{self, Link, Oracle};
use commonware_parallel::Sequential;
use commonware_runtime::{
    Clock as _, Handle, Quota, Spawner as _, Supervisor as _,
    buffer::paged::CacheRef,
    deterministic::{Context, FaultConfig},
};
use commonware_utils::{NZU16, NZU32, NZU64, NZUsize, Participant, ordered::Set, probability};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tacit_consensus::{
    Ceremony, CeremonyChannels, CeremonyConfig, CeremonyError, Group, GroupShare, PARTICIPANTS_MAX,
    StorageConfig, ceremony_message_bytes, is_agreed,
};

type Public = ed25519::PublicKey;

/// What one founder has in the end.
#[derive(Clone)]
struct Founded {
    group: Group,
    share: Option<[u8; 32]>,
    revealed: Vec<Public>,
    dealers: usize,
    signers: Vec<Public>,
}

type Ended = Result<Founded, String>;
type Results = Arc<Mutex<Vec<Option<Ended>>>>;

/// Founders on one simulated network.
struct Founders {
    context: Context,
    oracle: Oracle<Public, Context>,
    keys: Vec<ed25519::PrivateKey>,
    patience: Duration,
    /// Who deals badly.
    liar: Option<usize>,
    /// Who has another plan.
    stray: Option<usize>,
    /// Who would have the network be another.
    contrary: Option<usize>,
    running: Vec<Option<Handle<()>>>,
    ended: Results,
    starts: usize,
}

impl Founders {
    async fn new(context: Context, count: usize, patience: Duration) -> Self {
        let keys = sorted_keys(count);
        let peers: Vec<Public> = keys.iter().map(ed25519::PrivateKey::public_key).collect();
        let config = simulated::Config {
            max_size: ceremony_message_bytes(),
            max_peers_per_set: NZUsize!(count),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let (network, oracle) =
            simulated::Network::new_with_peers(context.child("network"), config, peers).await;
        network.start();
        let this = Self {
            context,
            oracle,
            keys,
            patience,
            liar: None,
            stray: None,
            contrary: None,
            running: (0..count).map(|_| None).collect(),
            ended: Arc::new(Mutex::new(vec![None; count])),
            starts: 0,
        };
        this.link(LINK).await;
        this
    }

    async fn link(&self, link: Link) {
        for from in &self.keys {
            for to in self.keys.iter().filter(|to| to.public_key() != from.public_key()) {
                let (from, to) = (from.public_key(), to.public_key());
                // Not linked yet, at the start: the same to us.
                let _ = self.oracle.remove_link(from.clone(), to.clone()).await;
                self.oracle.add_link(from, to, link.clone()).await.unwrap();
            }
        }
    }

    fn members(&self) -> Set<Public> {
        Set::from_iter_dedup(self.keys.iter().map(ed25519::PrivateKey::public_key))
    }

    /// Starts founder `i` on whatever its disk holds.
    async fn boot(&mut self, i: usize) {
        self.starts += 1;
        let (key, members) = (self.keys[i].clone(), self.members());
        let control = self.oracle.control(key.public_key());
        let mut ends = Vec::new();
        for channel in 0..7 {
            let (inner, receiver) = control.register(channel, QUOTA).await.unwrap();
            ends.push((
                Liar {
                    inner,
                    lie: (channel == DEALINGS && self.liar == Some(i)).then_some(liar::share as Lie),
                },
                receiver,
            ));
        }
        let mut ends = ends.into_iter();
        let mut next = || ends.next().unwrap();
        let channels = CeremonyChannels {
            votes: next(),
            certificates: next(),
            resolver: next(),
            backfill: next(),
            broadcast: next(),
            dealings: next(),
            roll: next(),
        };
        let id = if self.stray == Some(i) { B256::repeat_byte(2) } else { ID };
        let contrary = self.contrary == Some(i);
        let (patience, ended) = (self.patience, Arc::clone(&self.ended));
        let context =
            self.context.child("founder").with_attribute("index", i).with_attribute("start", self.starts);
        let handle = context.spawn(move |context| async move {
            let storage = StorageConfig {
                partition: format!("founder-{i}"),
                state_cache: CacheRef::new(NZU16!(1024), NZUsize!(8)),
                block_cache: CacheRef::new(NZU16!(1024), NZUsize!(64)),
                state_items_per_blob: NZU64!(16),
                state_blocks_kept: 8,
                archive_items_per_section: NZU64!(64),
                archive_table_size: 64,
                buffer_bytes: NZUsize!(1 << 14),
                index_seed: Some(7),
            };
            let config = CeremonyConfig { key, members, id, patience, storage };
            let held = async {
                let mut ceremony =
                    Ceremony::begin(context.child("ceremony"), config, channels, Peers::default(), control)
                        .await?;
                let dealt = ceremony.dealt().await?;
                let statement = if contrary { B256::ZERO } else { statement(&dealt.group) };
                let signatures = ceremony.agree(statement).await?;
                for (member, signature) in &signatures {
                    assert!(is_agreed(member, statement, signature));
                }
                ceremony.end().await;
                Ok::<_, CeremonyError>(Founded {
                    group: dealt.group,
                    share: dealt.share.map(|share: GroupShare| *share.bytes()),
                    revealed: dealt.revealed.iter().cloned().collect(),
                    dealers: dealt.dealers.len(),
                    signers: signatures.into_iter().map(|(member, _)| member).collect(),
                })
            };
            let held = held.await.map_err(|error| error.to_string());
            ended.lock().unwrap()[i] = Some(held);
        });
        self.running[i] = Some(handle);
    }

    async fn boot_all(&mut self, who: impl IntoIterator<Item = usize>) {
        for i in who {
            self.boot(i).await;
        }
    }

    /// Ends founder `i` at once; what it had not made durable is lost.
    async fn crash(&mut self, i: usize) {
        let handle = self.running[i].take().unwrap();
        handle.abort();
        let _ = handle.await;
    }

    /// What these have in the end, for ten minutes of simulated time at most.
    async fn end(&self, who: impl IntoIterator<Item = usize>) -> Vec<Ended> {
        let who: Vec<usize> = who.into_iter().collect();
        let begun = self.context.current();
        loop {
            let ended: Option<Vec<Ended>> = {
                let all = self.ended.lock().unwrap();
                who.iter().map(|i| all[*i].clone()).collect()
            };
            if let Some(ended) = ended {
                return ended;
            }
            let waited = self.context.current().duration_since(begun).unwrap();
            assert!(waited < Duration::from_secs(600), "the ceremony has no end");
            self.context.sleep(Duration::from_millis(50)).await;
        }
    }

    async fn founded(&self, who: impl IntoIterator<Item = usize>) -> Vec<Founded> {
        self.end(who).await.into_iter().map(Result::unwrap).collect()
    }

    async fn sleep(&self, millis: u64) {
        self.context.sleep(Duration::from_millis(millis)).await;
    }
}

fn statement(group: &Group) -> B256 {
    keccak256(group.to_string())
}

/// All have the same group; any quorum of the shares signs for its key, and one fewer does not.
fn check_key(members: &Set<Public>, founded: &[Founded], with_shares: usize) {
    let group = &founded[0].group;
    assert!(founded.iter().all(|one| one.group == *group), "founders with different groups");
    let bytes = hex::decode(group.to_string()).unwrap();
    let output =
        Output::<MinSig, Public>::read_cfg(&mut Copying(&bytes), &(PARTICIPANTS_MAX, ModeVersion::v0()));
    let output = output.unwrap();
    assert_eq!(output.players(), members);
    let sharing = output.public();
    let mut partials: Vec<PartialSignature<MinSig>> = Vec::new();
    for index in 0..members.len() {
        let mine = |founded: &&Founded| {
            let secret = founded.share.map(|bytes| Private::read_cfg(&mut Copying(&bytes[..]), &()).unwrap());
            let share = Share::new(Participant::new(u32::try_from(index).unwrap()), secret.unwrap());
            let partial = threshold::sign_message::<MinSig>(&share, b"test", b"message");
            threshold::verify_message::<MinSig>(sharing, b"test", b"message", &partial)
                .is_ok()
                .then_some(partial)
        };
        partials.extend(founded.iter().filter(|one| one.share.is_some()).find_map(|one| mine(&one)));
    }
    assert_eq!(partials.len(), with_shares, "shares that sign");
    let quorum = usize::try_from(sharing.required()).unwrap();
    assert_eq!(quorum, members.len() - (members.len() - 1) / 3);
    let of = |partials: &[PartialSignature<MinSig>]| threshold::recover(sharing, partials, &Sequential);
    for some in partials.windows(quorum) {
        let signature = of(some).unwrap();
        ops::verify_message::<MinSig>(sharing.public(), b"test", b"message", &signature).unwrap();
    }
    assert!(of(&partials[..quorum - 1]).is_err(), "fewer than a quorum sign");
}

#[test]
fn founders_make_a_key_that_nobody_dealt() {
    for (seed, count) in [(200, 4), (201, 1), (202, 2), (203, 7)] {
        simulate(seed, |context| async move {
            let mut founders = Founders::new(context, count, PATIENCE).await;
            founders.boot_all(0..count).await;
            let founded = founders.founded(0..count).await;
            check_key(&founders.members(), &founded, count);
            for one in &founded {
                // As many dealings are counted as are needed.
                let needed = count - (count - 1) / 3;
                assert!((needed..=count).contains(&one.dealers), "{} dealers", one.dealers);
                assert_eq!((one.signers.len(), one.revealed.len()), (count, 0));
            }
        });
    }
}

/// Two ceremonies among the same founders have nothing in common.
#[test]
fn each_ceremony_makes_another_key() {
    let key = |seed| {
        simulate(seed, |context| async move {
            let mut founders = Founders::new(context, 4, PATIENCE).await;
            founders.boot_all(0..4).await;
            *founders.founded(0..4).await[0].group.key().bytes()
        })
    };
    assert_ne!(key(210), key(211));
}

/// Nobody waits for ever: the others make the key, with a share that everybody can compute for whoever was away.
#[test]
fn a_founder_who_never_comes_is_done_without() {
    simulate(220, |context| async move {
        let mut founders = Founders::new(context, 4, PATIENCE).await;
        founders.boot_all(0..3).await;
        let founded = founders.founded(0..3).await;
        check_key(&founders.members(), &founded, 3);
        let away = founders.keys[3].public_key();
        for one in &founded {
            assert_eq!((one.signers.len(), one.dealers), (3, 3));
            assert_eq!(one.revealed, std::slice::from_ref(&away));
        }
    });
}

#[test]
fn too_few_founders_are_told_who_is_missing() {
    simulate(221, |context| async move {
        let mut founders = Founders::new(context, 4, PATIENCE).await;
        founders.boot_all(0..2).await;
        for ended in founders.end(0..2).await {
            assert_eq!(ended.map(|_| ()), Err("2 members are there, and 3 are needed".to_owned()));
        }
        // The others come later; the first two are started again.
        *founders.ended.lock().unwrap() = vec![None; 4];
        founders.boot_all(0..4).await;
        let founded = founders.founded(0..4).await;
        check_key(&founders.members(), &founded, 4);
    });
}

/// It comes when the key is made and the others still wait for it: they tell it all.
#[test]
fn a_founder_who_comes_late_is_served() {
    simulate(222, |context| async move {
        let mut founders = Founders::new(context, 4, Duration::from_secs(60)).await;
        founders.boot_all(0..4).await;
        // It was there when the roll was called, and no longer when shares were dealt.
        founders.sleep(600).await;
        founders.crash(3).await;
        founders.sleep(25_000).await;
        assert!(founders.ended.lock().unwrap().iter().all(Option::is_none), "they wait");
        founders.boot(3).await;
        let founded = founders.founded(0..4).await;
        assert_eq!(founded[3].signers.len(), 4);
        let with_share = founded.iter().filter(|one| one.share.is_some()).count();
        check_key(&founders.members(), &founded, with_share);
        assert!(with_share >= 3);
    });
}

/// Whoever gets a share that is none cuts the dealer off; the others' dealings are enough.
#[test]
fn a_founder_who_deals_badly_is_left_out() {
    simulate(223, |context| async move {
        let mut founders = Founders::new(context, 4, PATIENCE).await;
        founders.liar = Some(2);
        founders.boot_all(0..4).await;
        let honest = [0, 1, 3];
        let founded = founders.founded(honest).await;
        check_key(&founders.members(), &founded, 3);
        for one in &founded {
            assert_eq!(one.dealers, 3);
        }
        let liar = founders.keys[2].public_key();
        let mut cut = founders.oracle.blocked().await.unwrap();
        cut.sort();
        let all: Vec<_> = honest.iter().map(|i| (founders.keys[*i].public_key(), liar.clone())).collect();
        assert_eq!(cut, all);
    });
}

/// Another plan, so other votes: it is as if it were not there.
#[test]
fn a_founder_with_another_plan_is_not_heard() {
    simulate(224, |context| async move {
        let mut founders = Founders::new(context, 4, PATIENCE).await;
        founders.stray = Some(0);
        founders.boot_all(0..4).await;
        let founded = founders.founded(1..4).await;
        assert!(founded.iter().all(|one| one.group == founded[0].group && one.dealers == 3));
    });
}

#[test]
fn a_founder_who_signs_another_network_is_not_counted() {
    simulate(225, |context| async move {
        let mut founders = Founders::new(context, 4, PATIENCE).await;
        founders.contrary = Some(1);
        founders.boot_all(0..4).await;
        for one in founders.founded([0, 2, 3]).await {
            let contrary = founders.keys[1].public_key();
            assert!(one.signers.len() == 3 && !one.signers.contains(&contrary));
        }
        let alone = founders.end([1]).await.remove(0).map(|_| ());
        assert_eq!(alone, Err("3 members have signed another network".to_owned()));
    });
}

#[test]
fn links_may_be_slow_and_lose_messages() {
    simulate(226, |context| async move {
        let mut founders = Founders::new(context, 4, Duration::from_secs(120)).await;
        let slow = Link {
            latency: Duration::from_millis(150),
            jitter: Duration::from_millis(100),
            success_rate: probability!(0.95),
        };
        founders.link(slow).await;
        founders.boot_all(0..4).await;
        let founded = founders.founded(0..4).await;
        check_key(&founders.members(), &founded, 4);
    });
}

/// One after the other goes down and comes back, at any instant of the ceremony.
#[test]
fn founders_crash_one_at_a_time_and_go_on() {
    for seed in 230..236 {
        simulate(seed, |context| async move {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut founders = Founders::new(context, 4, Duration::from_secs(30)).await;
            founders.boot_all(0..4).await;
            for _ in 0..4 {
                founders.sleep(rng.random_range(100..2_500)).await;
                let victim = rng.random_range(0..4);
                founders.crash(victim).await;
                founders.sleep(rng.random_range(0..800)).await;
                // Whoever was done is so again.
                founders.ended.lock().unwrap()[victim] = None;
                founders.boot(victim).await;
            }
            let ended = founders.end(0..4).await;
            let founded: Vec<Founded> = ended.into_iter().filter_map(Result::ok).collect();
            assert!(founded.len() >= 3, "{} are done", founded.len());
            let with_share = founded.iter().filter(|one| one.share.is_some()).count();
            assert!(with_share >= 3, "{with_share} have a share");
            check_key(&founders.members(), &founded, with_share);
        });
    }
}

/// All crash at once, again and again; nobody deals a second time, and all end with one key.
#[test]
fn founders_crash_together_and_go_on() {
    for seed in 240..243 {
        let mut rng = StdRng::seed_from_u64(seed);
        let run = |instant: u64| {
            move |context: Context| async move {
                let mut founders = Founders::new(context, 4, PATIENCE).await;
                founders.boot_all(0..4).await;
                founders.sleep(instant).await;
            }
        };
        let ((), mut disks) = simulate_crash(seed, FaultConfig::default(), run(rng.random_range(600..1_500)));
        for _ in 0..4 {
            ((), disks) = resume(seed, disks, run(rng.random_range(600..2_500)));
        }
        resume(seed, disks, |context| async move {
            let mut founders = Founders::new(context, 4, PATIENCE).await;
            founders.boot_all(0..4).await;
            let founded = founders.founded(0..4).await;
            check_key(&founders.members(), &founded, 4);
        });
    }
}

const ID: B256 = B256::repeat_byte(1);
const DEALINGS: u64 = 5;
const PATIENCE: Duration = Duration::from_secs(5);
const QUOTA: Quota = Quota::per_second(NZU32!(100_000));
const LINK: Link = Link {
    latency: Duration::from_millis(10),
    jitter: Duration::from_millis(5),
    success_rate: probability!(1.0),
};
