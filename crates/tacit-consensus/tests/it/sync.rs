//! Validators that begin without old blocks.

use crate::{
    epochs::{check_key, committee, leaders, over},
    light::{certified, check_certificates},
    machine::Fault,
    network::{Network, World, simulate},
    people::{CHAIN, COIN, address, pay},
};
use alloy_primitives::{B256, Bytes, FixedBytes};
use commonware_codec::Encode as _;
use std::time::Duration;
use tacit_consensus::{Anchor, AnchorError, Served};
use tacit_light::{Certificate, CertificateKind, Finality, LightError, SealError, Trust};

const BLOCKS: u64 = 24;

/// What is known of the network beforehand.
async fn trust(network: &Network) -> Trust {
    let genesis = network.someone().await.genesis().hash();
    Trust::new(CHAIN.chain_id, genesis).with_group(network.group().0.key())
}

/// What validator `i` serves of a block.
async fn serve(network: &Network, i: usize, number: u64) -> Served {
    let validator = network.validator(i).await;
    let floor = validator.finality(number, Some(CertificateKind::Votes)).await.unwrap();
    let blocks = network.world.epoch_blocks();
    let epoch = floor.headers.last().unwrap().number / blocks;
    let mut boundary = None;
    if let Some(began) = (epoch * blocks).checked_sub(1) {
        certified(network, i, began).await;
        let finality = validator.finality(began, Some(CertificateKind::Threshold)).await.unwrap();
        let seal = network.world.chain()[&began].seal().encode();
        boundary = Some((finality, Bytes::from(seal)));
    }
    Served { boundary, floor }
}

async fn check(network: &Network, served: &Served) -> Result<Anchor, AnchorError> {
    Anchor::check(&network.world.genesis, &network.group().0, &trust(network).await, served)
}

/// Machine `i` has all blocks up to the newest that validator 0 has, as one that follows; it is to begin there.
async fn follow(network: &mut Network, i: usize) -> u64 {
    let number = network.world.journals[0].height();
    let anchor = check(network, &serve(network, 0, number).await).await.unwrap();
    let floor = anchor.header().number;
    network.until("the floor", |world| world.journals[0].height() >= floor).await;
    let journal = network.world.journals[i].clone().begun(&network.world.genesis);
    journal.follow(&network.world.journals[0], floor);
    network.world.anchors[i] = Some(anchor);
    floor
}

/// It begins epochs behind, while blocks flow, is dealt to, votes, leads, and is needed for every block once a founder is gone.
#[test]
fn a_fifth_begins_without_old_blocks_votes_and_leads() {
    simulate(131, |context| async move {
        let mut network = Network::start(context, World::staked(5, 4, BLOCKS)).await;
        network.world.join(4, 0);
        for nonce in 0..40 {
            network.world.pool.add(pay(1, nonce, address(2), COIN));
        }
        network.until("the third epoch", |world| world.journals[0].height() >= 2 * BLOCKS + 4).await;
        let floor = follow(&mut network, 4).await;
        for nonce in 40..60 {
            network.world.pool.add(pay(1, nonce, address(2), COIN));
        }
        network.boot(4).await;
        over(&network, 0..5, 3).await;
        assert_eq!(committee(&network, 4), (0..5).collect());
        over(&network, 0..5, 4).await;
        assert!(leaders(&network, 4).contains(&4), "{:?}", leaders(&network, 4));
        network.crash(0).await;
        over(&network, 1..5, 5).await;
        check_key(&network, 6);
        check_certificates(&network, 4).await;
        let joined = network.validator(4).await;
        for old in [1, BLOCKS, floor - 1] {
            assert!(joined.block(old).await.is_none(), "block {old} was fetched");
        }
        assert!(joined.block(floor).await.is_some());
        assert!(network.oldest_operation(4).await > 0, "state was not synced but made");
        let state = network.world.replay();
        network.check_database(4, &state).await;
        // It goes on without the anchor, and from its own disk.
        network.world.anchors[4] = None;
        network.crash(4).await;
        network.boot(4).await;
        over(&network, 1..5, 6).await;
        assert!(network.validator(4).await.block(floor - 1).await.is_none());
        let state = network.world.replay();
        network.check_database(4, &state).await;
    });
}

/// Its disk dies at one change after the other, from the first on; at last it comes through.
#[test]
fn a_beginning_survives_crashes_at_any_instant() {
    simulate(132, |context| async move {
        let mut network = Network::start(context, World::staked(5, 4, BLOCKS)).await;
        network.world.join(4, 0);
        network.until("an epoch", |world| world.journals[0].height() >= BLOCKS + 2).await;
        let floor = follow(&mut network, 4).await;
        let disk = network.world.disks[4].clone();
        let (mut k, mut deaths) = (1, 0);
        while network.world.journals[4].height() < floor + 2 {
            let fault = if k % 2 == 0 { Fault::Tears } else { Fault::Dies };
            disk.plan(fault, k);
            network.boot(4).await;
            let journal = network.world.journals[4].clone();
            let struck = disk.clone();
            network.until("a death, or blocks", |_| struck.struck() || journal.height() >= floor + 2).await;
            deaths += usize::from(disk.struck());
            // What was under way beside the dead disk.
            network.sleep(Duration::from_millis(50)).await;
            network.crash(4).await;
            k += 1 + k / 6;
        }
        assert!(deaths > 10, "{deaths} deaths");
        disk.mend();
        network.world.anchors[4] = None;
        network.boot(4).await;
        let now = network.world.journals[0].height() / BLOCKS;
        over(&network, 0..5, now + 4).await;
        assert!(leaders(&network, now + 4).contains(&4), "{:?}", leaders(&network, now + 4));
        let state = network.world.replay();
        network.check_database(4, &state).await;
        check_certificates(&network, 4).await;
    });
}

/// A validator loses its disk, and the record of its votes with it. It may have voted in the epoch that it finds, and in none that begins
/// later. That it contradicts no vote of its earlier life, the harness checks with every vote that is sent.
#[test]
fn whoever_lost_its_memory_is_silent_until_the_next_epoch() {
    simulate(133, |context| async move {
        let mut network = Network::start(context, World::staked(4, 4, BLOCKS)).await;
        network.until("the second epoch", |world| world.journals[0].height() >= BLOCKS + 6).await;
        network.crash(3).await;
        network.world.lives[3] += 1;
        let floor = follow(&mut network, 3).await;
        let epoch = floor / BLOCKS;
        let before = network.world.ballots.views(3, epoch);
        assert!(before > 0);
        network.boot(3).await;
        network.until("it follows", |world| world.journals[3].height() > floor + 4).await;
        // Again: what it decided at first still holds.
        network.crash(3).await;
        network.world.anchors[3] = None;
        network.boot(3).await;
        over(&network, 0..4, epoch).await;
        assert_eq!(network.world.ballots.views(3, epoch), before, "it voted where it may have voted before");
        over(&network, 0..4, epoch + 2).await;
        assert!(network.world.ballots.views(3, epoch + 1) > 0);
        assert!(leaders(&network, epoch + 2).contains(&3));
        network.crash(0).await;
        over(&network, 1..4, epoch + 3).await;
        let state = network.world.replay();
        network.check_database(3, &state).await;
    });
}

/// An old anchor, of an epoch long over, gives no voice in those since, in which it may have voted as well.
#[test]
fn an_old_anchor_gives_no_voice_in_epochs_that_have_begun() {
    simulate(134, |context| async move {
        let mut network = Network::start(context, World::staked(4, 4, BLOCKS)).await;
        network.until("the first epoch", |world| world.journals[0].height() >= 4).await;
        let served = serve(&network, 0, 4).await;
        network.until("the third epoch", |world| world.journals[3].height() >= 2 * BLOCKS + 6).await;
        network.crash(3).await;
        network.world.lives[3] += 1;
        let anchor = check(&network, &served).await.unwrap();
        assert!(anchor.header().number < BLOCKS);
        network.world.anchors[3] = Some(anchor);
        let views = |network: &Network| [0, 1, 2].map(|epoch| network.world.ballots.views(3, epoch));
        let before = views(&network);
        network.boot(3).await;
        over(&network, 0..4, 2).await;
        assert_eq!(views(&network), before);
        over(&network, 0..4, 4).await;
        assert!(leaders(&network, 4).contains(&3));
    });
}

/// One of four serves operations that are none: it is cut off, the others' are taken.
#[test]
fn a_peer_that_serves_false_state_is_cut_off() {
    let mut caught = 0;
    // Few pieces make up a small state, and each is asked of one of four: until the liar's turn comes.
    for seed in 1350..1374 {
        if caught > 0 {
            break;
        }
        caught += simulate(seed, |context| async move {
            let mut world = World::staked(5, 4, BLOCKS);
            world.forger = Some(2);
            let mut network = Network::start(context, world).await;
            network.until("blocks", |world| world.journals[0].height() >= BLOCKS + 2).await;
            let floor = follow(&mut network, 4).await;
            network.boot(4).await;
            network.until("it has state", |world| world.journals[4].height() >= floor + 4).await;
            let state = network.validator(4).await.state().await;
            assert!(*state.read().await.bounds().start > 0);
            let blocked = network.blocked().await;
            assert!(blocked.iter().all(|cut| *cut == (network.key(4), network.key(2))), "{blocked:?}");
            network.world.replay();
            blocked.len()
        });
    }
    assert!(caught > 0, "nobody asked the liar");
}

/// Everything about an anchor that can be false, one at a time.
#[test]
fn false_anchors_are_refused() {
    simulate(139, |context| async move {
        let network = Network::start(context, World::staked(4, 4, BLOCKS)).await;
        over(&network, 0..4, 1).await;
        network.until("an epoch more", |world| world.height() > 2 * BLOCKS + 4).await;
        let first = serve(&network, 0, 5).await;
        let second = serve(&network, 0, BLOCKS + 5).await;
        let third = serve(&network, 0, 2 * BLOCKS + 3).await;
        for served in [&first, &second, &third] {
            let anchor = check(&network, served).await.unwrap();
            assert_eq!(anchor.header().inner(), served.floor.headers.last().unwrap());
        }
        let refused = async |served: Served| check(&network, &served).await.unwrap_err();
        let votes = |served: &Served| match served.floor.certificate.clone() {
            Certificate::Votes(votes) => Some(votes),
            Certificate::Threshold(_) => None,
        };
        let with = |change: &dyn Fn(&mut tacit_light::Votes)| {
            let mut changed = votes(&second).unwrap();
            change(&mut changed);
            let certificate = Certificate::Votes(changed);
            Served { floor: Finality { certificate, ..second.floor.clone() }, ..second.clone() }
        };
        let error = refused(with(&|votes| votes.signatures[0].0[5] ^= 1)).await;
        assert!(matches!(error, AnchorError::Votes(LightError::Vote { .. })), "{error}");
        let error = refused(with(&|votes| votes.view += 1)).await;
        assert!(matches!(error, AnchorError::Votes(LightError::Vote { .. })), "{error}");
        let error = refused(with(&|votes| {
            votes.signatures.truncate(2);
            votes.signers = Bytes::from_static(&[0b11]);
        }))
        .await;
        assert!(matches!(error, AnchorError::Votes(LightError::Quorum { .. })), "{error}");
        let error = refused(with(&|votes| votes.epoch += 1)).await;
        assert!(matches!(error, AnchorError::Epoch { expected: 1, got: 2 }), "{error}");
        // Votes that are true, for another block than the one beside them.
        let mut other = first.floor.clone();
        other.headers =
            network.world.chain().get(&9).map(|block| block.block().header.clone()).into_iter().collect();
        let error = refused(Served { floor: other, boundary: None }).await;
        assert!(matches!(error, AnchorError::Votes(LightError::Vote { .. })), "{error}");
        let none = Finality { headers: Vec::new(), ..first.floor.clone() };
        let error = refused(Served { floor: none, boundary: None }).await;
        assert!(matches!(error, AnchorError::Votes(LightError::Headers { .. })), "{error}");
        let group = Finality { certificate: Certificate::Threshold(FixedBytes::ZERO), ..first.floor.clone() };
        let error = refused(Served { floor: group, boundary: None }).await;
        assert!(matches!(error, AnchorError::NoVotes), "{error}");

        // The block that began the epoch: none, one too many, another epoch's.
        let error = refused(Served { boundary: None, ..second.clone() }).await;
        assert!(matches!(error, AnchorError::Boundary { expected: Some(23), got: None }), "{error}");
        let error = refused(Served { boundary: second.boundary.clone(), ..first.clone() }).await;
        assert!(matches!(error, AnchorError::Boundary { expected: None, got: Some(23) }), "{error}");
        let error = refused(Served { boundary: third.boundary.clone(), ..second.clone() }).await;
        assert!(matches!(error, AnchorError::Boundary { expected: Some(23), got: Some(47) }), "{error}");
        let (finality, seal) = second.boundary.clone().unwrap();
        let began = |finality: Finality, seal: &Bytes| Served {
            boundary: Some((finality, seal.clone())),
            ..second.clone()
        };
        let mut signature = finality.clone();
        signature.certificate = third.boundary.clone().unwrap().0.certificate;
        let error = refused(began(signature, &seal)).await;
        assert!(matches!(error, AnchorError::Group(LightError::GroupSignature)), "{error}");
        let mut by_votes = finality.clone();
        by_votes.certificate = second.floor.certificate.clone();
        let error = refused(began(by_votes, &seal)).await;
        assert!(matches!(error, AnchorError::Group(LightError::NoValidators)), "{error}");
        let other = third.boundary.clone().unwrap().1;
        let error = refused(began(finality.clone(), &other)).await;
        assert!(matches!(error, AnchorError::Seal(SealError::Commitment)), "{error}");
        let mut changed = seal.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        let error = refused(began(finality.clone(), &changed.into())).await;
        assert!(matches!(error, AnchorError::Seal(SealError::Commitment)), "{error}");

        // Another network: of another first block, group, or genesis.
        let (genesis, group, known) = (&network.world.genesis, network.group().0, trust(&network).await);
        let elsewhere = Trust::new(CHAIN.chain_id, B256::ZERO).with_group(group.key());
        let error = Anchor::check(genesis, &group, &elsewhere, &second).unwrap_err();
        assert!(matches!(error, AnchorError::Group(LightError::GroupSignature)), "{error}");
        let error =
            Anchor::check(genesis, &group, &known.clone().with_first_number(100), &second).unwrap_err();
        assert!(matches!(error, AnchorError::BeforeFirst { first: 100, .. }), "{error}");
        let mut richer = genesis.clone();
        richer.alloc.held().unwrap().entry(address(1)).or_default().balance += alloy_primitives::U256::ONE;
        let error = Anchor::check(&richer, &group, &known, &second).unwrap_err();
        assert!(matches!(error, AnchorError::Votes(LightError::Vote { .. })), "{error}");
        let mut fewer = genesis.clone();
        fewer.staking.founders.pop();
        let error = Anchor::check(&fewer, &group, &known, &second).unwrap_err();
        assert!(matches!(error, AnchorError::Network(_)), "{error}");
    });
}

/// No byte of what is served can be changed unnoticed.
#[test]
fn every_byte_of_an_anchor_counts() {
    simulate(140, |context| async move {
        let network = Network::start(context, World::staked(4, 4, BLOCKS)).await;
        network.until("the second epoch", |world| world.height() > BLOCKS + 4).await;
        let served = serve(&network, 0, BLOCKS + 2).await;
        let (finality, seal) = served.boundary.clone().unwrap();
        let (genesis, group, known) = (&network.world.genesis, network.group().0, trust(&network).await);
        let taken = |served: &Served| Anchor::check(genesis, &group, &known, served).is_ok();
        assert!(taken(&served));
        for place in 0..seal.len() {
            let mut changed = seal.to_vec();
            changed[place] ^= 1;
            let boundary = Some((finality.clone(), changed.into()));
            assert!(!taken(&Served { boundary, ..served.clone() }), "byte {place} of the seal");
        }
        for (name, bytes) in [("record's block", finality.encode()), ("floor", served.floor.encode())] {
            for place in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[place] ^= 1;
                let Ok(changed) = Finality::decode(&changed) else { continue };
                let changed = match name {
                    "floor" => Served { floor: changed, ..served.clone() },
                    _ => Served { boundary: Some((changed, seal.clone())), ..served.clone() },
                };
                assert!(!taken(&changed), "byte {place} of the {name}");
            }
        }
    });
}
