//! Signing schemes by epoch.

use crate::{
    block::EpochRecord,
    certify::{self, Marshal},
};
use alloy_primitives::B256;
use commonware_consensus::{
    simplex::scheme::ed25519,
    types::{Epoch, Height, Participant},
};
use commonware_cryptography::{
    bls12381::primitives::variant::MinSig,
    certificate::{Provider, Scheme as _, Scoped},
    ed25519::{PrivateKey, PublicKey},
};
use commonware_glue::dkg::{Registrar, types::SchemeInfo};
use commonware_utils::sync::Mutex;
use core::{fmt, num::NonZeroU64};
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
    /// The newest epoch that listeners know.
    told: Mutex<Option<Epoch>>,
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
        Self(Arc::new(Inner {
            key,
            votes,
            certificates,
            known: Mutex::default(),
            told: Mutex::default(),
            listeners,
        }))
    }

    /// The committee of an epoch that has not begun here: certificates of it can be checked from now on.
    pub(crate) fn expect(&self, record: &EpochRecord) {
        let (participants, sharing) = (record.output.players().clone(), record.output.public().clone());
        if let Some(committee) = self.make(SchemeInfo::Verifier { participants, sharing }, false) {
            self.0.known.lock().entry(record.epoch).or_insert(committee);
        }
    }

    /// An epoch begins, with this committee. Its votes are signed here only if this validator `speaks`.
    fn begin(&self, epoch: Epoch, info: SchemeInfo<MinSig, PublicKey>, speaks: bool) {
        // The library gives a share with the committee that it is of; the engine stops where a committee is missing.
        let Some(committee) = self.make(info, speaks) else {
            return error!(%epoch, "the share is not one of the epoch's committee");
        };
        let mut known = self.0.known.lock();
        known.insert(epoch, committee);
        while known.len() > COMMITTEES_KEPT {
            known.pop_first();
        }
        drop(known);
        // The epoch that a state sync begins in is told twice.
        if self.0.told.lock().replace(epoch).is_some_and(|told| told >= epoch) {
            return;
        }
        for listener in &self.0.listeners {
            // When nobody listens any more, the validator is ending.
            let _ = listener.unbounded_send(epoch);
        }
    }

    fn make(&self, info: SchemeInfo<MinSig, PublicKey>, speaks: bool) -> Option<Committee> {
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
        let signer = speaks.then(|| ed25519::Scheme::signer(votes, members.clone(), key.clone())).flatten();
        let votes = signer.unwrap_or_else(|| ed25519::Scheme::verifier(votes, members));
        Some(Committee { votes: Arc::new(votes), shares: Arc::new(shares) })
    }
}

/// Begins epochs, and decides whether this validator votes in them.
///
/// A validator whose state came from others may be one that lost its memory: with the same key it may have voted before, in any epoch
/// that had begun by then. So it votes in none whose first block follows one that is not younger than its beginning. Timestamps
/// of final blocks are ahead of the clocks of those who voted for them by `clock_ahead_s_max` at most.
#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) committees: Committees,
    pub(crate) marshal: Marshal,
    pub(crate) epoch_blocks: NonZeroU64,
    /// An epoch is voted in if the last block before it is younger; in seconds since 1970. Nothing where nothing is forgotten.
    pub(crate) begins_s: Option<u64>,
}

impl Memory {
    async fn speaks(&self, epoch: Epoch) -> bool {
        let Some(begins_s) = self.begins_s else { return true };
        let last = epoch.get().checked_mul(self.epoch_blocks.get()).and_then(|first| first.checked_sub(1));
        let Some(last) = last else { return false };
        // The block from before the floor of a state sync is not here, and is older.
        let block = self.marshal.get_block(Height::new(last)).await;
        block.is_some_and(|block| block.inner().block().header.timestamp > begins_s)
    }
}

impl Registrar for Memory {
    type Variant = MinSig;
    type PublicKey = PublicKey;

    async fn register(&self, epoch: Epoch, info: SchemeInfo<MinSig, PublicKey>) {
        let speaks = self.speaks(epoch).await;
        self.committees.begin(epoch, info, speaks);
    }
}

/// The schemes of votes.
#[derive(Clone)]
pub(crate) struct VoteSchemes(pub(crate) Committees);

impl VoteSchemes {
    /// The key of a member of an epoch's committee, where that is known.
    pub(crate) fn member(&self, epoch: Epoch, member: Participant) -> Option<B256> {
        let scheme = self.scheme(epoch)?;
        scheme.participants().get(usize::from(member)).map(|key| B256::from_slice(key))
    }
}

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
