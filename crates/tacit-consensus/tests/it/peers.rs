//! The peers that one validator tracks, as its transport would know them: the simulated network keeps one list for all.

use commonware_actor::Feedback;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Manager, PeerSetSubscription, PeerSetUpdate, Provider, TrackedPeers};
use commonware_utils::{channel::mpsc, ordered::Set};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// Peer sets by epoch, the newest [`KEPT`] of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peers(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    sets: BTreeMap<u64, TrackedPeers<PublicKey>>,
    subscribers: Vec<mpsc::UnboundedSender<PeerSetUpdate<PublicKey>>>,
}

impl Known {
    fn update(&self) -> Option<PeerSetUpdate<PublicKey>> {
        let (index, latest) = self.sets.last_key_value()?;
        let primary =
            Set::from_iter_dedup(self.sets.values().flat_map(|peers| peers.primary.iter().cloned()));
        let others = self.sets.values().flat_map(|peers| peers.secondary.iter());
        let secondary = others.filter(|peer| primary.position(peer).is_none()).cloned();
        let all = TrackedPeers::new(primary.clone(), Set::from_iter_dedup(secondary));
        Some(PeerSetUpdate { index: *index, latest: latest.clone(), all })
    }
}

impl Provider for Peers {
    type PublicKey = PublicKey;

    async fn peer_set(&mut self, id: u64) -> Option<TrackedPeers<PublicKey>> {
        self.0.lock().unwrap().sets.get(&id).cloned()
    }

    async fn subscribe(&mut self) -> PeerSetSubscription<PublicKey> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut known = self.0.lock().unwrap();
        if let Some(update) = known.update() {
            let _ = sender.send(update);
        }
        known.subscribers.push(sender);
        receiver
    }
}

impl Manager for Peers {
    fn track<R>(&mut self, id: u64, peers: R) -> Feedback
    where
        R: Into<TrackedPeers<PublicKey>> + Send,
    {
        let mut known = self.0.lock().unwrap();
        if known.sets.last_key_value().is_some_and(|(last, _)| *last >= id) {
            return Feedback::Ok;
        }
        known.sets.insert(id, peers.into());
        while known.sets.len() > KEPT {
            known.sets.pop_first();
        }
        if let Some(update) = known.update() {
            known.subscribers.retain(|subscriber| subscriber.send(update.clone()).is_ok());
        }
        Feedback::Ok
    }
}

/// As the real transport has it.
const KEPT: usize = 4;
