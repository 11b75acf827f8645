//! What a validator sends, on its way out: every vote is written down, for good, and a malicious validator's messages are altered.

use crate::byzantine::{Byzantine, Sent};
use bytes::Bytes;
use commonware_actor::{Feedback, Unreliable};
use commonware_codec::{DecodeExt as _, Encode as _, ReadExt as _, varint::UInt};
use commonware_consensus::{
    Epochable as _, Viewable as _,
    simplex::{
        scheme::ed25519::Scheme,
        types::{Proposal, Vote},
    },
};
use commonware_cryptography::ed25519;
use commonware_p2p::{CheckedSender, LimitedSender, Recipients, Sender as _, simulated};
use commonware_runtime::{IoBufs, deterministic::Context};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::SystemTime,
};
use tacit_consensus::BlockHash;

type Public = ed25519::PublicKey;
pub(crate) type SimulatedSender = simulated::Sender<Public, Context>;
pub(crate) type Ballot = Vote<Scheme, BlockHash>;

pub(crate) const VOTES: u64 = 0;
pub(crate) const BROADCAST: u64 = 4;
pub(crate) const STATE: u64 = 5;
pub(crate) const DEALINGS: u64 = 7;

/// Everything that one validator has ever signed in a view.
#[derive(Default)]
struct Signed {
    notarized: Option<Proposal<BlockHash>>,
    finalized: Option<Proposal<BlockHash>>,
    nullified: bool,
}

/// Machine, epoch and view.
type Slot = (usize, u64, u64);

/// Votes sent, by slot. It outlives every crash.
#[derive(Clone, Default)]
pub(crate) struct Ballots(Arc<Mutex<BTreeMap<Slot, Signed>>>);

impl Ballots {
    /// In how many views of an epoch a machine has signed something.
    pub(crate) fn views(&self, machine: usize, epoch: u64) -> usize {
        self.0.lock().unwrap().range((machine, epoch, 0)..=(machine, epoch, u64::MAX)).count()
    }

    /// Writes a vote down, and fails if an earlier one of that machine contradicts it.
    fn record(&self, machine: usize, vote: &Ballot) {
        let mut ballots = self.0.lock().unwrap();
        let signed = ballots.entry((machine, vote.epoch().get(), vote.view().get())).or_default();
        let view = vote.view();
        match vote {
            Vote::Notarize(vote) => {
                let first = signed.notarized.get_or_insert_with(|| vote.proposal.clone());
                assert_eq!(*first, vote.proposal, "validator {machine} notarizes two blocks in view {view}");
            }
            Vote::Finalize(vote) => {
                let first = signed.finalized.get_or_insert_with(|| vote.proposal.clone());
                assert_eq!(*first, vote.proposal, "validator {machine} finalizes two blocks in view {view}");
                assert!(!signed.nullified, "validator {machine} finalizes view {view}, which it gave up");
            }
            Vote::Nullify(_) => {
                assert!(
                    signed.finalized.is_none(),
                    "validator {machine} gives up view {view}, which it finalized"
                );
                signed.nullified = true;
            }
        }
    }
}

/// A message without the number of the epoch that it is for.
fn of_epoch(message: &Bytes) -> Bytes {
    let mut rest = message.clone();
    UInt::<u64>::read(&mut rest).unwrap();
    rest
}

/// Whom a machine can reach, where not everybody: keys by index.
pub(crate) type Sight = Arc<Mutex<BTreeMap<usize, BTreeSet<usize>>>>;

/// A machine's way to the network.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) machine: usize,
    /// Public keys of all, in order.
    pub(crate) keys: Arc<Vec<Public>>,
    pub(crate) ballots: Ballots,
    pub(crate) sight: Sight,
    pub(crate) byzantine: Option<Arc<Mutex<Byzantine>>>,
    /// Whether it says everything twice.
    pub(crate) echo: bool,
    /// Its ends, by channel.
    pub(crate) lines: Arc<Mutex<BTreeMap<u64, SimulatedSender>>>,
}

impl Wire {
    /// Whether this machine and that peer reach each other.
    pub(crate) fn sees(&self, peer: &Public) -> bool {
        let sight = self.sight.lock().unwrap();
        sight.get(&self.machine).is_none_or(|seen| {
            self.keys.iter().position(|key| key == peer).is_some_and(|index| seen.contains(&index))
        })
    }

    fn out(&self, channel: u64, to: Vec<Public>, message: Bytes) -> Vec<Sent> {
        let message = if channel == VOTES { of_epoch(&message) } else { message };
        let mut sent = if let Some(byzantine) = &self.byzantine {
            byzantine.lock().unwrap().send(channel, to, message)
        } else {
            if channel == VOTES {
                self.ballots.record(self.machine, &Ballot::decode(message.clone()).unwrap());
            }
            let once = (channel, to, message);
            if self.echo { vec![once.clone(), once] } else { vec![once] }
        };
        for (channel, _, message) in &mut sent {
            if *channel == VOTES {
                let epoch = Ballot::decode(message.clone()).unwrap().epoch();
                *message = [&UInt(epoch.get()).encode()[..], message].concat().into();
            }
        }
        sent
    }

    /// Sends as it is.
    pub(crate) fn put(&self, (channel, to, message): Sent) {
        let mut lines = self.lines.lock().unwrap();
        lines.get_mut(&channel).unwrap().send(Recipients::Some(to), message, true);
    }
}

/// One channel of it.
#[derive(Clone)]
pub(crate) struct Tap {
    pub(crate) channel: u64,
    pub(crate) wire: Wire,
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tap").field("machine", &self.wire.machine).finish_non_exhaustive()
    }
}

impl LimitedSender for Tap {
    type PublicKey = Public;
    type Checked<'a> = Checked<'a>;

    fn check(&mut self, recipients: Recipients<Public>) -> Result<Checked<'_>, SystemTime> {
        let mut lines = self.wire.lines.lock().unwrap();
        let mut to = lines.get_mut(&self.channel).unwrap().check(recipients)?.recipients();
        drop(lines);
        to.retain(|peer| self.wire.sees(peer));
        Ok(Checked { tap: self, to })
    }
}

pub(crate) struct Checked<'a> {
    tap: &'a mut Tap,
    to: Vec<Public>,
}

impl CheckedSender for Checked<'_> {
    type PublicKey = Public;

    fn recipients(&self) -> Vec<Public> {
        self.to.clone()
    }

    fn send(self, message: impl Into<IoBufs> + Send, _: bool) -> Unreliable<Feedback> {
        let message = Bytes::copy_from_slice(message.into().coalesce().as_ref());
        for sent in self.tap.wire.out(self.tap.channel, self.to, message) {
            self.tap.wire.put(sent);
        }
        Unreliable::new(Feedback::Ok)
    }
}
