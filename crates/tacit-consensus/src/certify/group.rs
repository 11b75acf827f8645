//! The key that validators hold together.
//!
//! # Formal definition
//! A polynomial of degree `2f` over the scalars of BLS12-381, for `n = 3f + 1` validators (in general, `n - f - 1` with `f = (n - 1) / 3`): its
//! constant is the secret nobody has, the validator of index `i` (in order of keys) holds its value at `i + 1`. Public are the
//! coefficients times the generator of G2; the constant's is the [`GroupKey`].
//!
//! # Trust
//! Those who begin a network deal the first shares to each other (`ceremony`). Where one person writes everything, one dealer does ([`deal`]), and
//! must forget them: who has `2f + 1` of one epoch forges certificates, though not votes. From then on validators deal to their successors, epoch by epoch (`epochs`); the group key outlives them all.

use crate::block::{EpochRecord, PARTICIPANTS_MAX};
use alloy_primitives::{FixedBytes, hex};
use commonware_codec::{Copying, Encode as _, Read as _, ReadExt as _};
use commonware_consensus::aggregation::scheme::bls12381_threshold;
use commonware_consensus::types::Epoch;
use commonware_cryptography::{
    bls12381::{
        dkg::feldman_desmedt::{self, Output},
        primitives::{
            group::{Private, Share},
            sharing::{Mode, ModeVersion},
            variant::MinSig,
        },
    },
    ed25519::PublicKey,
};
use commonware_glue::dkg::types::EpochOutcome;
use commonware_utils::{
    N3f1, Participant,
    ordered::{Quorum as _, Set},
    sequence::Unit,
};
use core::{fmt, str::FromStr};
use rand_core::CryptoRng;
use tacit_light::GroupKey;
use zeroize::Zeroizing;

/// How the engine signs and checks.
pub(crate) type Scheme = bls12381_threshold::Scheme<PublicKey, MinSig>;

/// What is public of the key that the first validators of a network hold together. Written as hex digits, in the library's encoding
/// of a key generation's outcome.
#[derive(Clone, PartialEq, Eq)]
pub struct Group {
    outcome: Output<MinSig, PublicKey>,
    key: GroupKey,
}

/// Why something is no group of a set of validators, or no share of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// Not hex digits of a group.
    #[error("malformed group")]
    Malformed,
    /// It is of others.
    #[error("the group is not of these validators")]
    Members,
    /// So many of its shares do not make a signature, or fewer do.
    #[error("{got} shares of the group sign, expected {expected}")]
    Threshold {
        /// More than two thirds.
        expected: u32,
        /// The group's.
        got: u32,
    },
    /// The share is another validator's, or another group's.
    #[error("the share is not this validator's")]
    Share,
    /// There are no validators, or too many.
    #[error("{got} validators, 1 to {PARTICIPANTS_MAX} can hold a key")]
    Size {
        /// Given.
        got: usize,
    },
}

impl Group {
    /// The key that light clients know.
    #[must_use]
    pub fn key(&self) -> GroupKey {
        self.key
    }

    /// Who holds the key.
    #[must_use]
    pub fn members(&self) -> &Set<PublicKey> {
        self.outcome.players()
    }

    /// Epoch 0: the members keep it, and, as no message to the ledger counts any sooner, those after it.
    pub(crate) fn first_epoch(&self) -> EpochRecord {
        EpochRecord {
            outcome: EpochOutcome::Success,
            epoch: Epoch::zero(),
            output: self.outcome.clone(),
            players: self.members().clone(),
            next_players: self.members().clone(),
            directory: Unit,
        }
    }

    /// The share as the library has it, once it is clear that the group is one of `validators` and the share that of `me`.
    pub(crate) fn share_of(
        &self,
        validators: &Set<PublicKey>,
        me: &PublicKey,
        share: Option<GroupShare>,
    ) -> Result<Option<Share>, GroupError> {
        self.check(validators)?;
        let Some(GroupShare(private)) = share else { return Ok(None) };
        let index: Participant = validators.index(me).ok_or(GroupError::Share)?;
        let share = Share::new(index, private);
        let expected = self.outcome.public().partial_public(index).map_err(|_| GroupError::Share)?;
        if share.public::<MinSig>() == expected { Ok(Some(share)) } else { Err(GroupError::Share) }
    }

    /// The group that a ceremony among `members` has made.
    pub(crate) fn of_ceremony(
        outcome: Output<MinSig, PublicKey>,
        members: &Set<PublicKey>,
    ) -> Result<Self, GroupError> {
        let group = Self::new(outcome)?;
        group.check(members)?;
        Ok(group)
    }

    fn new(outcome: Output<MinSig, PublicKey>) -> Result<Self, GroupError> {
        let key = GroupKey::new(FixedBytes::from_slice(&outcome.public().public().encode()));
        let key = key.map_err(|_| GroupError::Malformed)?;
        Ok(Self { outcome, key })
    }

    /// Checks that the group is one of `validators`, of whom more than two thirds must sign.
    fn check(&self, validators: &Set<PublicKey>) -> Result<(), GroupError> {
        let public = self.outcome.public();
        if self.outcome.players() != validators
            || usize::try_from(public.total().get()) != Ok(validators.len())
        {
            return Err(GroupError::Members);
        }
        let (expected, got) = (validators.quorum::<N3f1>(), public.required());
        if got == expected { Ok(()) } else { Err(GroupError::Threshold { expected, got }) }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("key", &self.key).finish_non_exhaustive()
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.outcome.encode()))
    }
}

impl FromStr for Group {
    type Err = GroupError;

    fn from_str(text: &str) -> Result<Self, GroupError> {
        if text.len() > GROUP_DIGITS_MAX {
            return Err(GroupError::Malformed);
        }
        let bytes = hex::decode(text).map_err(|_| GroupError::Malformed)?;
        let mut rest = Copying(&bytes);
        let outcome = Output::read_cfg(&mut rest, &(PARTICIPANTS_MAX, ModeVersion::v0()))
            .map_err(|_| GroupError::Malformed)?;
        let group = Self::new(outcome)?;
        if group.outcome.encode()[..] == bytes[..] { Ok(group) } else { Err(GroupError::Malformed) }
    }
}

/// Why bytes are no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a share of a key")]
pub struct ShareError;

/// A validator's share of the group's secret. Zeroised when dropped; it has no `Debug`, `Clone` or serialised form.
#[expect(missing_debug_implementations, reason = "a secret share must not be printable")]
pub struct GroupShare(Private);

impl GroupShare {
    /// The share that these bytes are: a scalar, big endian.
    ///
    /// # Errors
    /// Zero, or not below the group's order.
    pub fn new(bytes: &[u8; 32]) -> Result<Self, ShareError> {
        Private::read(&mut Copying(&bytes[..])).map(Self).map_err(|_| ShareError)
    }

    /// The share's bytes, for its file.
    #[must_use]
    pub fn bytes(&self) -> Zeroizing<[u8; 32]> {
        let mut bytes = Zeroizing::new([0; 32]);
        self.0.expose(|scalar| {
            let encoded = Zeroizing::new(scalar.encode().to_vec());
            bytes.copy_from_slice(&encoded);
        });
        bytes
    }
}

impl From<Share> for GroupShare {
    fn from(share: Share) -> Self {
        Self(share.private)
    }
}

/// Makes a key for `validators` and deals its shares, in order of the validators' keys. The secret itself is not kept.
///
/// # Errors
/// [`GroupError::Size`].
pub fn deal(
    rng: impl CryptoRng,
    validators: &Set<PublicKey>,
) -> Result<(Group, Vec<(PublicKey, GroupShare)>), GroupError> {
    let size = GroupError::Size { got: validators.len() };
    if u32::try_from(validators.len()).map_or(true, |count| count > PARTICIPANTS_MAX.get()) {
        return Err(size);
    }
    let dealt = feldman_desmedt::deal::<MinSig, _, N3f1>(rng, Mode::NonZeroCounter, validators.clone());
    let (outcome, shares) = dealt.map_err(|_| size)?;
    let shares =
        shares.into_iter().map(|(validator, share)| (validator, GroupShare(share.private))).collect();
    Ok((Group::new(outcome)?, shares))
}

/// More than the digits of a group of [`PARTICIPANTS_MAX`].
const GROUP_DIGITS_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use commonware_cryptography::{Signer as _, ed25519::PrivateKey};
    use commonware_utils::TestRng;

    fn validators(count: u64) -> Set<PublicKey> {
        Set::from_iter_dedup((0..count).map(|seed| PrivateKey::from_seed(seed).public_key()))
    }

    #[test]
    fn what_was_dealt_fits() {
        for count in [1, 2, 3, 4, 7] {
            let set = validators(count);
            let (group, shares) = deal(TestRng::new(count), &set).unwrap();
            assert_eq!(group.to_string().parse(), Ok(group.clone()));
            assert_eq!(
                shares.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(),
                set.iter().cloned().collect::<Vec<_>>()
            );
            for (key, share) in shares {
                let again = GroupShare::new(&share.bytes()).unwrap();
                assert!(group.share_of(&set, &key, Some(again)).unwrap().is_some());
                assert!(group.share_of(&set, &key, None).unwrap().is_none());
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let set = validators(4);
        let (group, shares) = deal(TestRng::new(1), &set).unwrap();
        let (other, others) = deal(TestRng::new(2), &set).unwrap();
        let me = &shares[0].0;
        let again = |share: &GroupShare| Some(GroupShare::new(&share.bytes()).unwrap());
        let with =
            |set: &Set<PublicKey>, me, group: &Group, share| group.share_of(set, me, share).unwrap_err();
        assert_eq!(with(&set, me, &group, again(&shares[1].1)), GroupError::Share);
        assert_eq!(with(&set, me, &group, again(&others[0].1)), GroupError::Share);
        assert_eq!(with(&set, me, &other, again(&shares[0].1)), GroupError::Share);
        assert_eq!(with(&validators(5), me, &group, None), GroupError::Members);
        let stranger = PrivateKey::from_seed(9).public_key();
        assert_eq!(with(&set, &stranger, &group, again(&shares[0].1)), GroupError::Share);
        assert_eq!(deal(TestRng::new(1), &validators(0)).err(), Some(GroupError::Size { got: 0 }));
        assert_eq!(deal(TestRng::new(1), &validators(129)).err(), Some(GroupError::Size { got: 129 }));
    }

    /// Fewer shares than the ledger wants would sign for a group that says so of itself.
    #[test]
    fn a_group_of_another_threshold_is_refused() {
        let set = validators(4);
        let weak = feldman_desmedt::deal::<MinSig, _, commonware_utils::N5f1>(
            TestRng::new(1),
            Mode::NonZeroCounter,
            set.clone(),
        );
        let group = Group::new(weak.unwrap().0).unwrap();
        let me = set.iter().next().unwrap();
        assert_eq!(
            group.share_of(&set, me, None).unwrap_err(),
            GroupError::Threshold { expected: 3, got: 4 }
        );
    }

    #[test]
    fn malformed_text_is_refused() {
        let text = deal(TestRng::new(1), &validators(4)).unwrap().0.to_string();
        for wrong in [
            "",
            "zz",
            &text[2..],
            &text[..text.len() - 2],
            &format!("{text}00"),
            &"0".repeat(GROUP_DIGITS_MAX + 2),
        ] {
            assert_eq!(wrong.parse::<Group>(), Err(GroupError::Malformed));
        }
        let mut bytes = hex::decode(&text).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 0x55;
            // A summary of the dealing may be any; a changed point is no point, or another group's.
            let changed = hex::encode(&bytes).parse::<Group>();
            assert!(changed.is_err() || changed.unwrap().to_string() != text);
            bytes[at] ^= 0x55;
        }
        assert_eq!(GroupShare::new(&[0; 32]).err(), Some(ShareError));
        assert_eq!(GroupShare::new(&[0xff; 32]).err(), Some(ShareError));
    }
}
