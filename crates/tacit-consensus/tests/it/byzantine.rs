//! One of four is malicious, in each of many ways: the others go on, agree, and show who it was where votes can show it.
//!
//! The malicious validator is an honest one whose messages are altered on their way out: it follows the protocol well enough to be
//! believed, and signs what it sends instead.

use crate::{
    check::lie,
    network::{Network, World, simulate},
    people::{COIN, address, pay},
    wire::{BROADCAST, Ballot, DEALINGS, VOTES},
};
use alloy_primitives::B256;
use bytes::Bytes;
use commonware_codec::{DecodeExt as _, Encode as _};
use commonware_consensus::{
    Epochable as _, Viewable as _,
    simplex::{
        elector::{Config as _, Elector as _, RoundRobin, RoundRobinElector},
        scheme::ed25519::Scheme,
        types::{Finalize, Notarize, Nullify, Proposal, Vote},
    },
    types::{Participant, Round},
};
use commonware_cryptography::{Digestible as _, Sha256, ed25519, keccak256};
use commonware_utils::ordered::Set;
use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};
use std::{collections::BTreeMap, time::Duration};
use tacit_consensus::{BLOCK_BYTES_MAX, BlockHash, ChainBlock, namespace};

type Public = ed25519::PublicKey;
/// Channel, recipients, message.
pub(crate) type Sent = (u64, Vec<Public>, Bytes);

/// What a malicious validator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// As leader, two valid blocks in one view, to different peers.
    TwoBlocks,
    /// As leader, a block whose state root is another.
    StateRoot,
    /// As leader, a block with a transaction that cannot be executed.
    Transaction,
    /// As leader, a block that is too long.
    Oversized,
    /// As leader, a vote for a block that nobody gets.
    Withheld,
    /// As leader, a timestamp almost as far ahead as the rules allow.
    Future,
    /// Nothing, ever.
    Silent,
    /// Beside each notarization one of another block.
    TwoNotarizes,
    /// Beside each finalization one of another block.
    TwoFinalizes,
    /// Gives up each view that it finalizes.
    NullifyToo,
}

/// A malicious validator's way to the network.
pub(crate) struct Byzantine {
    mischief: Mischief,
    scheme: Scheme,
    me: Public,
    keys: Set<Public>,
    leaders: RoundRobinElector<Scheme>,
    /// Votes for its own blocks, until the blocks go out: recipients and vote.
    held: BTreeMap<BlockHash, (Vec<Public>, Bytes)>,
    /// Its own blocks that went out, and what went out instead.
    instead: BTreeMap<BlockHash, BlockHash>,
    /// How often it was malicious.
    pub(crate) acts: usize,
}

impl Byzantine {
    pub(crate) fn new(mischief: Mischief, scheme: Scheme, me: Public, keys: Set<Public>) -> Self {
        let leaders = RoundRobin::<Sha256>::default().build(&keys);
        let (held, instead) = (BTreeMap::new(), BTreeMap::new());
        Self { mischief, scheme, me, keys, leaders, held, instead, acts: 0 }
    }

    fn leads(&self, round: Round) -> bool {
        let leader: Participant = self.leaders.elect(round, ());
        self.keys.get(usize::from(leader)) == Some(&self.me)
    }

    /// What goes out in place of a message.
    pub(crate) fn send(&mut self, channel: u64, to: Vec<Public>, message: Bytes) -> Vec<Sent> {
        match (self.mischief, channel) {
            (Mischief::Silent, _) => {
                self.acts += 1;
                Vec::new()
            }
            (_, BROADCAST) => self.block(to, message),
            (_, VOTES) => self.vote(to, message),
            _ => vec![(channel, to, message)],
        }
    }

    fn block(&mut self, to: Vec<Public>, message: Bytes) -> Vec<Sent> {
        let block = ChainBlock::decode(message.clone()).unwrap();
        if block.seal().context.leader != self.me {
            return vec![(BROADCAST, to, message)];
        }
        let instead = match self.mischief {
            Mischief::StateRoot => lie(&block, |_, block| block.header.state_root.0[0] ^= 1),
            Mischief::Transaction => lie(&block, |_, block| {
                block.body.transactions.push(pay(1, 999_999, address(2), COIN).into_inner());
            }),
            Mischief::Future => lie(&block, |_, block| block.header.timestamp += 25),
            Mischief::TwoBlocks => lie(&block, |_, block| block.header.timestamp += 1),
            _ => block.clone(),
        };
        if instead != block {
            self.acts += 1;
        }
        self.instead.insert(block.digest(), instead.digest());
        let mut out = match self.mischief {
            Mischief::Withheld => {
                self.acts += 1;
                Vec::new()
            }
            Mischief::Oversized => {
                self.acts += 1;
                let long = Bytes::from(vec![0xc0; BLOCK_BYTES_MAX + 1]);
                vec![(BROADCAST, to, (1_u8, block.seal().clone(), long).encode())]
            }
            _ => self.split(BROADCAST, to, message, instead.encode()),
        };
        if let Some((to, vote)) = self.held.remove(&block.digest()) {
            out.extend(self.vote(to, vote));
        }
        out
    }

    fn vote(&mut self, to: Vec<Public>, message: Bytes) -> Vec<Sent> {
        let (vote, scheme) = (Ballot::decode(message.clone()).unwrap(), &self.scheme);
        let round = Round::new(vote.epoch(), vote.view());
        let of = |parent, block: BlockHash| Proposal::new(round, parent, block);
        let more = match (&vote, self.mischief) {
            (Vote::Notarize(vote), Mischief::TwoNotarizes) => {
                let other = of(vote.proposal.parent, keccak256::Digest([7; 32]));
                Ballot::Notarize(Notarize::sign(scheme, other).unwrap())
            }
            (Vote::Finalize(vote), Mischief::TwoFinalizes) => {
                let other = of(vote.proposal.parent, keccak256::Digest([7; 32]));
                Ballot::Finalize(Finalize::sign(scheme, other).unwrap())
            }
            (Vote::Finalize(_), Mischief::NullifyToo) => {
                Ballot::Nullify(Nullify::sign::<BlockHash>(scheme, round).unwrap())
            }
            (Vote::Notarize(vote), _) if self.leads(round) => {
                // The vote may be ready before the block is.
                let Some(instead) = self.instead.get(&vote.proposal.payload) else {
                    self.held.insert(vote.proposal.payload, (to, message));
                    return Vec::new();
                };
                let other = of(vote.proposal.parent, *instead);
                let other = Ballot::Notarize(Notarize::sign(scheme, other).unwrap());
                return self.split(VOTES, to, message, other.encode());
            }
            _ => return vec![(VOTES, to, message)],
        };
        self.acts += 1;
        vec![(VOTES, to.clone(), message), (VOTES, to, more.encode())]
    }

    /// Some get the one and some the other, if it is that; else all the other.
    fn split(&self, channel: u64, to: Vec<Public>, one: Bytes, other: Bytes) -> Vec<Sent> {
        if self.mischief != Mischief::TwoBlocks {
            return vec![(channel, to, other)];
        }
        let even = |peer: &Public| self.keys.position(peer).unwrap().is_multiple_of(2);
        let (evens, odds) = to.into_iter().partition(even);
        vec![(channel, evens, one), (channel, odds, other)]
    }
}

/// Who is malicious.
const CULPRIT: usize = 1;
const HONEST: [usize; 3] = [0, 2, 3];

/// Four validators without certificates for light clients, which take no part in this.
fn small() -> World {
    World { shares: vec![false; 4], ..World::new(4) }
}

/// How a run with a malicious validator went.
struct Outcome {
    /// Who was reported by the honest ones.
    reported: Vec<B256>,
    culprit: B256,
    /// Honest validators that cut the malicious one off.
    cut_off: usize,
    /// Blocks of the malicious leader that became final.
    blocks: usize,
}

async fn run(mut network: Network) -> Outcome {
    for nonce in 0..30 {
        network.world.pool.add(pay(1, nonce, address(2), COIN));
    }
    network.settle(HONEST, 24).await;
    // A malicious validator's own journal is its own affair.
    network.world.journals.remove(CULPRIT);
    let state = network.world.replay();
    assert_eq!(state.accounts[&address(1)].nonce, 30);
    for i in HONEST {
        network.check_database(i, &state).await;
    }
    assert!(network.acts() > 0, "it was never malicious");
    let culprit = network.validators().iter().nth(CULPRIT).unwrap().clone();
    let namespace = namespace(&network.world.genesis, &network.validators()).unwrap();
    assert!(HONEST.iter().all(|i| network.world.courts[*i].holds(namespace)));
    let reported = HONEST.iter().flat_map(|i| network.world.courts[*i].accused());
    let chain = network.world.chain();
    Outcome {
        reported: reported.collect(),
        culprit: B256::from_slice(&culprit),
        cut_off: network.cut_off(&culprit).await,
        blocks: chain.values().filter(|block| block.seal().context.leader == culprit).count(),
    }
}

fn with(seed: u64, mischief: Mischief) -> Outcome {
    simulate(seed, |context| async move {
        let world = World { byzantine: Some((CULPRIT, mischief)), ..small() };
        run(Network::start(context, world).await).await
    })
}

/// Whatever the mischief: the others agree and go on, and accuse nobody else.
pub(crate) fn any(seed: u64, mischief: Mischief) {
    let outcome = with(seed, mischief);
    assert!(outcome.reported.iter().all(|key| *key == outcome.culprit));
}

#[test]
fn a_leader_of_two_blocks_is_shown_to_be_one() {
    for seed in 200..203 {
        let outcome = with(seed, Mischief::TwoBlocks);
        assert!(outcome.reported.contains(&outcome.culprit), "nobody saw both votes");
        assert!(outcome.reported.iter().all(|key| *key == outcome.culprit));
    }
}

#[test]
fn two_votes_of_one_view_are_shown_and_cut_off() {
    for (seed, mischief) in
        [(210, Mischief::TwoNotarizes), (211, Mischief::TwoFinalizes), (212, Mischief::NullifyToo)]
    {
        let outcome = with(seed, mischief);
        assert_eq!(outcome.cut_off, HONEST.len(), "{mischief:?}");
        assert!(outcome.reported.contains(&outcome.culprit), "{mischief:?}");
        assert!(outcome.reported.iter().all(|key| *key == outcome.culprit), "{mischief:?}");
    }
}

/// Whether a block is valid is not in the votes: there is nothing to show to those who were not there, and nothing is lost.
#[test]
fn blocks_that_nobody_may_have_never_become_final() {
    for (seed, mischief) in [
        (220, Mischief::StateRoot),
        (221, Mischief::Transaction),
        (222, Mischief::Oversized),
        (223, Mischief::Withheld),
        (224, Mischief::Silent),
    ] {
        let outcome = with(seed, mischief);
        assert_eq!(outcome.blocks, 0, "{mischief:?}");
        assert!(outcome.reported.is_empty(), "{mischief:?}");
    }
}

const SIGNATURES: u64 = 6;
/// Channels whose messages begin with the number of an epoch.
const BY_EPOCH: [u64; 4] = [VOTES, 1, 2, DEALINGS];

#[test]
fn bytes_that_mean_nothing_harm_nobody_on_any_channel() {
    for channel in 0..8 {
        simulate(230 + channel, |context| async move {
            let network = Network::start(context, small()).await;
            network.until("first blocks", |world| world.height() >= 2).await;
            let culprit = network.validators().iter().nth(CULPRIT).unwrap().clone();
            let mut rng = StdRng::seed_from_u64(channel);
            for length in [0, 1, 2, 40, 200, 5_000] {
                let mut garbage = vec![0; length];
                rng.fill_bytes(&mut garbage);
                if BY_EPOCH.contains(&channel) {
                    garbage.insert(0, 0);
                }
                network.inject(CULPRIT, channel, garbage.into());
                network.sleep(Duration::from_millis(50)).await;
            }
            let tip = network.world.journals[0].height();
            let on = |world: &World| HONEST.iter().all(|i| world.journals[*i].height() > tip + 8);
            network.until("blocks go on", on).await;
            network.world.replay();
            // Votes, certificates, signatures and dealings that cannot be read cut their sender off; elsewhere they are passed over.
            let by = if [VOTES, 1, SIGNATURES, DEALINGS].contains(&channel) { HONEST.len() } else { 0 };
            assert_eq!(network.cut_off(&culprit).await, by, "channel {channel}");
            for i in HONEST {
                let key = network.validators().iter().nth(i).unwrap().clone();
                assert_eq!(network.cut_off(&key).await, 0, "channel {channel}, validator {i}");
            }
        });
    }
}

/// Honest voters wait for their clocks; what ends the wait is the timeout of the view, not the clock.
#[test]
fn a_leader_of_far_timestamps_costs_its_own_views_only() {
    simulate(240, |context| async move {
        let world = World { byzantine: Some((CULPRIT, Mischief::Future)), ..small() };
        let network = Network::start(context, world).await;
        network.sleep(Duration::from_secs(40)).await;
        let height = network.world.journals[0].height();
        let (now, chain) = (network.now_s(), network.world.chain());
        let newest = chain.values().next_back().unwrap().block().header.timestamp;
        let outcome = run(network).await;
        assert!(outcome.blocks == 0, "{} blocks from the future are final", outcome.blocks);
        // Three blocks in a second, then its view: less than two, where the timestamps are 25 seconds ahead.
        assert!(height > 45, "{height} blocks in 40 s");
        let last = newest.saturating_sub(now);
        assert!(last <= 3, "the chain's time is {last} s ahead");
    });
}
