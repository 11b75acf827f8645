//! Who is there, and what they sign.
//!
//! Each member says every [`TICK`] to all that it is there (`0`), or, once it has something to sign, `1 ‖ statement (32) ‖ signature (64)`.
//! Connections are authenticated, so that nobody speaks for another. Whoever says anything else, or signs two statements, is cut off.

use super::{CeremonyError, is_agreed};
use alloy_primitives::B256;
use commonware_codec::{DecodeFixed as _, Encode as _};
use commonware_cryptography::ed25519::{PublicKey, Signature};
use commonware_macros::select;
use commonware_p2p::{Blocker, Receiver, Recipients, Sender};
use commonware_runtime::Clock;
use commonware_utils::{
    N3f1,
    ordered::{Quorum as _, Set},
};
use core::time::Duration;
use std::{collections::BTreeMap, time::SystemTime};
use tracing::warn;

/// What a member has said.
struct Said {
    last: SystemTime,
    signed: Option<(B256, Signature)>,
}

/// One member's list of all.
pub(super) struct Roll<S, R, B> {
    me: PublicKey,
    members: Set<PublicKey>,
    sender: S,
    receiver: R,
    blocker: B,
    heard: BTreeMap<PublicKey, Said>,
    own: Option<(B256, Signature)>,
    next_word: SystemTime,
    next_warning: SystemTime,
}

impl<S, R, B> Roll<S, R, B>
where
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
    B: Blocker<PublicKey = PublicKey>,
{
    pub(super) fn new(
        me: PublicKey,
        members: Set<PublicKey>,
        (sender, receiver): (S, R),
        blocker: B,
        now: SystemTime,
    ) -> Self {
        let (heard, own) = (BTreeMap::new(), None);
        let next_warning = now.checked_add(WARNING).unwrap_or(now);
        Self { me, members, sender, receiver, blocker, heard, own, next_word: now, next_warning }
    }

    /// Waits for all members, or for more than two thirds of them once patience is over.
    pub(super) async fn gather(
        &mut self,
        clock: &impl Clock,
        patience: Duration,
    ) -> Result<(), CeremonyError> {
        let begun = clock.current();
        loop {
            let now = clock.current();
            if self.absent(now).is_empty() {
                // Others may not have heard this one yet.
                self.say();
                return Ok(());
            }
            if now.duration_since(begun).unwrap_or_default() >= patience {
                return if self.has_quorum(now) { Ok(()) } else { Err(self.missing(now)) };
            }
            self.step(clock).await?;
            self.warn(clock.current());
        }
    }

    /// Signs, and collects signatures of the same.
    pub(super) async fn collect(
        &mut self,
        clock: &impl Clock,
        statement: B256,
        signature: Signature,
        patience: Duration,
    ) -> Result<Vec<(PublicKey, Signature)>, CeremonyError> {
        self.own = Some((statement, signature));
        self.say();
        let begun = clock.current();
        while self.signed(statement).len() < self.members.len() {
            let now = clock.current();
            if now.duration_since(begun).unwrap_or_default() >= patience {
                break;
            }
            self.step(clock).await?;
            self.warn(clock.current());
        }
        // What this member said last may be the last that others wait for.
        let until = clock.current().checked_add(FAREWELL).unwrap_or(begun);
        while clock.current() < until {
            self.step(clock).await?;
        }
        let signed = self.signed(statement);
        if signed.len() >= self.quorum() {
            return Ok(signed);
        }
        let others = self
            .heard
            .iter()
            .filter(|(_, said)| said.signed.as_ref().is_some_and(|(other, _)| *other != statement));
        let others: Vec<PublicKey> = others.map(|(member, _)| member.clone()).collect();
        if others.is_empty() {
            let missing =
                self.members.iter().filter(|member| signed.iter().all(|(signer, _)| signer != *member));
            return Err(CeremonyError::Missing {
                needed: self.quorum(),
                here: signed.len(),
                missing: missing.cloned().collect(),
            });
        }
        Err(CeremonyError::Contradiction { others })
    }

    /// Waits for a word of somebody's, or until it is time to say one.
    pub(super) async fn step(&mut self, clock: &impl Clock) -> Result<(), CeremonyError> {
        select! {
            message = self.receiver.recv() => {
                let (member, message) = message.map_err(|_| CeremonyError::Stopped)?;
                self.hear(member, message.as_ref(), clock.current());
            },
            () = clock.sleep_until(self.next_word) => {
                self.say();
                let now = clock.current();
                self.next_word = now.checked_add(TICK).unwrap_or(now);
            },
        }
        Ok(())
    }

    fn say(&mut self) {
        let message = match &self.own {
            None => vec![HERE],
            Some((statement, signature)) => [&[SIGNED], statement.as_slice(), &signature.encode()].concat(),
        };
        self.sender.send(Recipients::All, message, true);
    }

    fn hear(&mut self, member: PublicKey, message: &[u8], now: SystemTime) {
        let signed = match message.split_first() {
            Some((&HERE, [])) => None,
            Some((&SIGNED, rest)) => match decode(&member, rest) {
                Some(signed) => Some(signed),
                None => return self.cut_off(member),
            },
            _ => return self.cut_off(member),
        };
        let said = self.heard.entry(member.clone()).or_insert(Said { last: now, signed: None });
        said.last = now;
        match (&said.signed, signed) {
            (Some((before, _)), Some((after, _))) if *before != after => self.cut_off(member),
            (None, Some(signed)) => said.signed = Some(signed),
            _ => {}
        }
    }

    fn cut_off(&mut self, member: PublicKey) {
        warn!(%member, "a member said what no member says, and is cut off");
        self.blocker.block(member);
    }

    /// Who has signed this, in order.
    fn signed(&self, statement: B256) -> Vec<(PublicKey, Signature)> {
        let own = self.own.iter().map(|own| (&self.me, own));
        let others = self.heard.iter().filter_map(|(member, said)| Some((member, said.signed.as_ref()?)));
        let mut signed: Vec<_> = own
            .chain(others)
            .filter(|(_, (signed, _))| *signed == statement)
            .map(|(member, (_, signature))| (member.clone(), signature.clone()))
            .collect();
        signed.sort_by(|(a, _), (b, _)| a.cmp(b));
        signed
    }

    fn quorum(&self) -> usize {
        usize::try_from(self.members.quorum::<N3f1>()).unwrap_or(usize::MAX)
    }

    /// Who has not been heard lately.
    fn absent(&self, now: SystemTime) -> Vec<PublicKey> {
        let lately = |said: &Said| now.duration_since(said.last).unwrap_or_default() <= LATELY;
        let here = |member: &PublicKey| *member == self.me || self.heard.get(member).is_some_and(lately);
        self.members.iter().filter(|member| !here(member)).cloned().collect()
    }

    /// Whether more than two thirds of the members are there, this one counted.
    pub(super) fn has_quorum(&self, now: SystemTime) -> bool {
        self.members.len().saturating_sub(self.absent(now).len()) >= self.quorum()
    }

    /// That too few are there.
    pub(super) fn missing(&self, now: SystemTime) -> CeremonyError {
        let missing = self.absent(now);
        let here = self.members.len().saturating_sub(missing.len());
        CeremonyError::Missing { needed: self.quorum(), here, missing }
    }

    /// Says now and then for whom it waits.
    fn warn(&mut self, now: SystemTime) {
        if now < self.next_warning {
            return;
        }
        self.next_warning = now.checked_add(WARNING).unwrap_or(now);
        for member in self.absent(now) {
            warn!(%member, "waiting for a member");
        }
    }
}

fn decode(member: &PublicKey, bytes: &[u8]) -> Option<(B256, Signature)> {
    let (statement, signature) = bytes.split_at_checked(B256::len_bytes())?;
    let (statement, signature) =
        (B256::from_slice(statement), Signature::decode_fixed::<64>(signature.try_into().ok()?).ok()?);
    is_agreed(member, statement, &signature).then_some((statement, signature))
}

/// A statement and its signature.
pub(super) const MESSAGE_BYTES_MAX: usize = 97;
const HERE: u8 = 0;
const SIGNED: u8 = 1;
/// From one word to the next.
const TICK: Duration = Duration::from_millis(500);
/// Whoever said nothing for so long is not there.
const LATELY: Duration = Duration::from_secs(10);
/// How long a member stays when it has everything.
const FAREWELL: Duration = Duration::from_secs(2);
/// From one warning of who is missing to the next.
const WARNING: Duration = Duration::from_secs(10);
