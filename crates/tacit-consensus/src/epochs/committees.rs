//! Signing schemes by epoch.

use crate::certify;
use commonware_consensus::{simplex::scheme::ed25519, types::Epoch};
use commonware_cryptography::{
    bls12381::primitives::variant::MinSig,
    certificate::{Provider, Scoped},
    ed25519::{PrivateKey, PublicKey},
};
use commonware_glue::dkg::{Registrar, types::SchemeInfo};
use commonware_utils::sync::Mutex;
use core::fmt;
use futures::channel::mpsc;
use std::{collections::BTreeMap, sync::Arc};
use tracing::error;

/// Who votes and who certifies, by epoch. Clones are one.
#[derive(Clone)]
pub(crate) struct Committees(Arc<Inner>);

struct Inner {
    key: PrivateKey,
    votes: Vec<u8>,
    certificates: Vec<u8>,
    known: Mutex<BTreeMap<Epoch, Committee>>,
    listeners: Vec<mpsc::UnboundedSender<Epoch>>,
}

struct Committee {
    votes: Arc<ed25519::Scheme>,
    shares: Arc<certify::Scheme>,
}

impl Committees {
    /// None so far. `votes` and `certificates` are the namespaces of what the validator with this key signs. Listeners are told
    /// each epoch that becomes known: one message an epoch.
    pub(crate) fn new(
        key: PrivateKey,
        votes: Vec<u8>,
        certificates: Vec<u8>,
        listeners: Vec<mpsc::UnboundedSender<Epoch>>,
    ) -> Self {
        Self(Arc::new(Inner { key, votes, certificates, known: Mutex::default(), listeners }))
    }

    fn make(&self, info: SchemeInfo<MinSig, PublicKey>) -> Option<Committee> {
        let Inner { key, votes, certificates, .. } = &*self.0;
        let (members, shares) = match info {
            SchemeInfo::Verifier { participants, sharing } => {
                let scheme = certify::Scheme::verifier(certificates, participants.clone(), sharing);
                (participants, scheme)
            }
            SchemeInfo::Member { participants, sharing, public_key } => {
                let scheme =
                    certify::Scheme::member(certificates, participants.clone(), sharing, &public_key)?;
                (participants, scheme)
            }
            SchemeInfo::Signer { participants, sharing, share } => {
                let scheme = certify::Scheme::signer(certificates, participants.clone(), sharing, share)?;
                (participants, scheme)
            }
        };
        // Votes need no share: a member whose share was lost keeps its vote.
        let votes = ed25519::Scheme::signer(votes, members.clone(), key.clone())
            .unwrap_or_else(|| ed25519::Scheme::verifier(votes, members));
        Some(Committee { votes: Arc::new(votes), shares: Arc::new(shares) })
    }
}

impl Registrar for Committees {
    type Variant = MinSig;
    type PublicKey = PublicKey;

    async fn register(&self, epoch: Epoch, info: SchemeInfo<MinSig, PublicKey>) {
        // The library gives a share with the committee that it is of; the engine stops where a committee is missing.
        let Some(committee) = self.make(info) else {
            return error!(%epoch, "the share is not one of the epoch's committee");
        };
        let mut known = self.0.known.lock();
        known.insert(epoch, committee);
        while known.len() > COMMITTEES_KEPT {
            known.pop_first();
        }
        drop(known);
        for listener in &self.0.listeners {
            // When nobody listens any more, the validator is ending.
            let _ = listener.unbounded_send(epoch);
        }
    }
}

/// The schemes of votes.
#[derive(Clone)]
pub(crate) struct VoteSchemes(pub(crate) Committees);

impl fmt::Debug for VoteSchemes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VoteSchemes").finish_non_exhaustive()
    }
}

impl Provider for VoteSchemes {
    type Scope = Epoch;
    type Scheme = ed25519::Scheme;

    fn scoped(&self, epoch: Epoch) -> Option<Scoped<ed25519::Scheme>> {
        self.scheme(epoch).map(Scoped::scheme)
    }

    fn scheme(&self, epoch: Epoch) -> Option<Arc<ed25519::Scheme>> {
        self.0.0.known.lock().get(&epoch).map(|committee| Arc::clone(&committee.votes))
    }
}

/// The schemes of certificates.
#[derive(Clone)]
pub(crate) struct ShareSchemes(pub(crate) Committees);

impl fmt::Debug for ShareSchemes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShareSchemes").finish_non_exhaustive()
    }
}

impl Provider for ShareSchemes {
    type Scope = Epoch;
    type Scheme = certify::Scheme;

    fn scoped(&self, epoch: Epoch) -> Option<Scoped<certify::Scheme>> {
        self.scheme(epoch).map(Scoped::scheme)
    }

    fn scheme(&self, epoch: Epoch) -> Option<Arc<certify::Scheme>> {
        self.0.0.known.lock().get(&epoch).map(|committee| Arc::clone(&committee.shares))
    }
}

/// The newest committees; what is on its way is of these.
const COMMITTEES_KEPT: usize = 8;
