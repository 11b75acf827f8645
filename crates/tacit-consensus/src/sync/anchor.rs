//! The place in the chain where a validator begins, as others serve it, and its check.
//!
//! # Formal definition
//! An anchor is a block of epoch `e`, the floor, with the votes of that epoch's committee that made it final, and the record of the
//! epoch: who its committee is. The record is the payload of the last block of epoch `e - 1`, for epoch 0 it follows from the group.
//!
//! # Soundness
//! The last block of the epoch before has a certificate under the group's key, its header names its seal, the seal holds the record:
//! the record is what validators made final. The floor has votes of more than two thirds of the record's committee, bound to
//! the network and naming the epoch: it is as final as for those who voted. Whether it is the newest, no check can tell.

use crate::{
    block::{BlockHash, EpochRecord, Payload, Seal},
    certify::Group,
    engine::{StartError, namespace},
};
use alloy_consensus::{Header, Sealed};
use alloy_primitives::{B256, Bytes};
use commonware_codec::{Copying, DecodeExt as _, DecodeFixed as _, types::lazy::Lazy};
use commonware_consensus::{
    simplex::{
        scheme::ed25519::Scheme,
        types::{Finalization, Proposal},
    },
    types::{Epoch, Round, View},
};
use commonware_cryptography::{
    certificate::Signers,
    ed25519::{Signature, certificate::Certificate as VotesCertificate},
    keccak256,
};
use commonware_utils::Participant;
use core::fmt;
use tacit_ledger::Genesis;
use tacit_light::{
    Certificate, CertificateKind, Finality, KeyError, LightError, SealError, Trust, ValidatorKey, Votes,
    checkpoint,
};

/// What somebody serves for an [`Anchor`]; nothing of it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Of the last block of the epoch before the floor's: that it is final, by the group's certificate, and its seal. Nothing in epoch 0.
    pub boundary: Option<(Finality, Bytes)>,
    /// Votes for the floor, which is the last of these headers.
    pub floor: Finality,
}

/// Where a validator can begin. Only [`Anchor::check`] makes one.
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct Anchor {
    pub(crate) record: EpochRecord,
    pub(crate) floor: Finalization<Scheme, BlockHash>,
    pub(super) header: Sealed<Header>,
}

impl fmt::Debug for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anchor").field("epoch", &self.record.epoch).field("floor", &self.header).finish()
    }
}

/// Why what was served is no anchor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// What is known of the network contradicts itself.
    #[error("the network's description")]
    Network(#[from] Box<StartError>),
    /// There is no certificate of the last block of the epoch before, or it is another block's.
    #[error("the epoch began after {}, served is the certificate of {}", named(*expected), named(*got))]
    Boundary {
        /// Number of the last block of the epoch before; nothing in epoch 0.
        expected: Option<u64>,
        /// Of the block that was served.
        got: Option<u64>,
    },
    /// The last block of the epoch before is not certified by the group.
    #[error("block that began the epoch: {0}")]
    Group(LightError),
    /// Its seal is another one.
    #[error("block that began the epoch: {0}")]
    Seal(#[from] SealError),
    /// It does not say who keeps the epoch.
    #[error("block {number} does not say who keeps epoch {epoch}")]
    NoRecord {
        /// Number of the block.
        number: u64,
        /// The epoch.
        epoch: u64,
    },
    /// The record's committee has a key that is none.
    #[error("a member of the committee: {0}")]
    Member(#[from] KeyError),
    /// The floor is none of the network's blocks.
    #[error("block {got} is before the network's first, {first}")]
    BeforeFirst {
        /// Number of the network's first block.
        first: u64,
        /// The floor's.
        got: u64,
    },
    /// The floor's certificate is not made of votes.
    #[error("the newest block comes without votes")]
    NoVotes,
    /// The votes are of another epoch than the block.
    #[error("votes of epoch {got}, for a block of epoch {expected}")]
    Epoch {
        /// The block's.
        expected: u64,
        /// Of the votes.
        got: u64,
    },
    /// The votes are not those of the epoch's committee for this block.
    #[error("votes for the newest block: {0}")]
    Votes(LightError),
}

impl Anchor {
    /// Checks what was served, for the network of this genesis and group. `trust` is what is known of it beforehand: chain id, first
    /// block, and the group's key.
    ///
    /// # Errors
    /// [`AnchorError`] names the first thing that is wrong. No input makes this panic.
    pub fn check(
        genesis: &Genesis,
        group: &Group,
        trust: &Trust,
        served: &Served,
    ) -> Result<Self, AnchorError> {
        let namespace = namespace(genesis, group.members()).map_err(Box::new)?;
        let epoch_blocks = genesis.staking.parameters.epoch_blocks;
        let Some(header) = served.floor.headers.last() else {
            return Err(AnchorError::Votes(LightError::Headers { limit: tacit_light::HEADERS_MAX, got: 0 }));
        };
        let (first, number) = (trust.first_number(), header.number);
        let before = AnchorError::BeforeFirst { first, got: number };
        let Some(height) = number.checked_sub(first) else { return Err(before) };
        let epoch = height.checked_div(epoch_blocks).ok_or_else(|| Box::new(StartError::Epoch))?;
        // No more than the floor's own number.
        let began =
            epoch.checked_mul(epoch_blocks).and_then(|blocks| first.checked_add(blocks)?.checked_sub(1));
        let began = began.filter(|_| epoch > 0);
        let record = match (&served.boundary, began) {
            (None, None) => group.first_epoch(),
            (Some((finality, seal)), Some(began)) => boundary(trust, finality, seal, began, epoch)?,
            (served, expected) => {
                return Err(AnchorError::Boundary {
                    expected,
                    got: served.as_ref().and_then(|(finality, _)| number_of(finality)),
                });
            }
        };
        let Certificate::Votes(votes) = &served.floor.certificate else { return Err(AnchorError::NoVotes) };
        if votes.epoch != epoch {
            return Err(AnchorError::Epoch { expected: epoch, got: votes.epoch });
        }
        let members = record.output.players();
        let keys = members.iter().map(|key| ValidatorKey::new(B256::from_slice(key.as_ref())));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let trust = Trust::new(trust.chain_id(), trust.genesis()).with_validators(namespace, keys);
        served.floor.verify(&trust).map_err(AnchorError::Votes)?;
        let header = Sealed::new(header.clone());
        // What has been verified is whole.
        let malformed = AnchorError::Votes(LightError::SignersPadding);
        let floor = finalization(votes, members.len(), header.hash()).ok_or(malformed)?;
        Ok(Self { record, floor, header })
    }

    /// The floor. A validator's sink must have it before it begins there.
    #[must_use]
    pub fn header(&self) -> &Sealed<Header> {
        &self.header
    }
}

/// The record in the last block of the epoch before `epoch`, whose number is `began`.
fn boundary(
    trust: &Trust,
    finality: &Finality,
    seal: &[u8],
    began: u64,
    epoch: u64,
) -> Result<EpochRecord, AnchorError> {
    let got = number_of(finality);
    if got != Some(began) {
        return Err(AnchorError::Boundary { expected: Some(began), got });
    }
    if finality.certificate.kind() != CertificateKind::Threshold {
        return Err(AnchorError::Group(LightError::NoValidators));
    }
    let header = finality.verify(trust).map_err(AnchorError::Group)?;
    checkpoint(&header, seal)?;
    let none = AnchorError::NoRecord { number: began, epoch };
    match Seal::decode(Copying(seal)).map(|seal| seal.payload) {
        Ok(Some(Payload::EpochInfo(record))) if record.epoch == Epoch::new(epoch) => Ok(record),
        _ => Err(none),
    }
}

fn named(number: Option<u64>) -> String {
    number.map_or_else(|| "no block".to_owned(), |number| format!("block {number}"))
}

fn number_of(finality: &Finality) -> Option<u64> {
    finality.headers.first().map(|header| header.number)
}

/// Votes as the engine reads them; nothing where they are none of so many members.
fn finalization(votes: &Votes, members: usize, hash: B256) -> Option<Finalization<Scheme, BlockHash>> {
    let total = u32::try_from(members).ok()?;
    let signed = |index: &u32| {
        let byte = usize::try_from(index / 8).ok().and_then(|byte| votes.signers.get(byte));
        byte.is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    };
    let signers = Signers::new(total, (0..total).filter(signed).map(Participant::new)).ok()?;
    let signatures = votes.signatures.iter().map(|bytes| Signature::decode_fixed(bytes.0).map(Lazy::from));
    let signatures = signatures.collect::<Result<Vec<_>, _>>().ok()?;
    let round = Round::new(Epoch::new(votes.epoch), View::new(votes.view));
    let proposal = Proposal::new(round, View::new(votes.parent_view), keccak256::Digest(hash.0));
    Some(Finalization { proposal, certificate: VotesCertificate { signers, signatures } })
}
