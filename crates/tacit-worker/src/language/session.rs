//! Sessions: who may ask without signing, for how long, and which numbers were used.
//!
//! They live in memory only. A worker may forget any; the client opens another.

use core::time::Duration;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::B256;
use tacit_abi::{Evidence, Privacy};
use tacit_wire::{
    language::{GUEST_MODE, MODE},
    session::SessionSecret,
};

use super::{account::Account, refusal::StreamRefusal};

/// Sessions that are open, and names that were used lately.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Table>);

#[derive(Default)]
struct Table {
    open: HashMap<B256, Arc<Session>>,
    /// Names that were used, by channel, and when they may be forgotten, in seconds since 1970.
    used: HashMap<B256, HashMap<B256, u64>>,
}

/// The guest's session that a session is within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Guest {
    /// How its key is named.
    pub(super) key: B256,
    /// Id of what vouches for it.
    pub(super) evidence: B256,
    /// What it is about.
    pub(super) model: B256,
    /// When it ends, seconds since 1970.
    pub(super) until_s: u64,
}

/// One session.
pub(super) struct Session {
    pub(super) account: Arc<Account>,
    pub(super) secret: SessionSecret,
    pub(super) guest: Option<Guest>,
    opened_at: u64,
    expires_at: u64,
    numbers: Mutex<Numbers>,
}

/// The numbers of a session's requests that were used: a window that ends with the highest.
struct Numbers {
    /// One above the highest used; 0 where none was.
    end: u64,
    /// Bit `n % WINDOW` for each number in the window.
    used: Box<[u64; WORDS]>,
}

/// How far below the highest number one may be.
pub(super) const WINDOW: u64 = 4096;
/// How far a client's clock may be from ours.
pub(super) const CLOCK_SKEW: Duration = Duration::from_secs(300);
/// How long a session lives.
pub(super) const SESSION_LIFE: Duration = Duration::from_secs(12 * 3600);

const WORDS: usize = 4096 / 64;
/// Sessions on a channel: the programs of one client, and some that broke off.
const CHANNEL_SESSIONS_MAX: usize = 16;
const SESSIONS_MAX: usize = 16 * 1024;
/// Sessions that a channel may open within the time in which a name is kept against a second use.
const CHANNEL_NAMES_MAX: usize = 256;

impl Sessions {
    /// Keeps a session that was opened now, no longer than the guest's that it is within. The oldest of its channel makes room, or the oldest of all.
    pub(super) fn insert(
        &self,
        session_id: B256,
        account: Arc<Account>,
        secret: SessionSecret,
        guest: Option<Guest>,
        now_s: u64,
    ) -> Result<u64, StreamRefusal> {
        let mut table = self.table();
        let channel_id = account.channel_id();
        table.used.retain(|_, names| {
            names.retain(|_, until| *until > now_s);
            !names.is_empty()
        });
        if table.open.contains_key(&session_id) {
            return Err(StreamRefusal::SessionReused);
        }
        let names = table.used.entry(channel_id).or_default();
        if names.contains_key(&session_id) {
            return Err(StreamRefusal::SessionReused);
        }
        if names.len() >= CHANNEL_NAMES_MAX {
            return Err(StreamRefusal::Busy);
        }
        // Within this time the signature could be used again.
        names.insert(session_id, now_s.saturating_add(CLOCK_SKEW.as_secs().saturating_mul(2)));
        let of_channel = |session: &Session| session.account.channel_id() == channel_id;
        table.open.retain(|_, session| session.expires_at > now_s);
        while table.open.values().filter(|session| of_channel(session)).count() >= CHANNEL_SESSIONS_MAX {
            table.drop_oldest(of_channel);
        }
        if table.open.len() >= SESSIONS_MAX {
            table.drop_oldest(|_| true);
        }
        let latest = now_s.saturating_add(SESSION_LIFE.as_secs());
        let expires_at = guest.map_or(latest, |guest| latest.min(guest.until_s));
        let numbers = Mutex::new(Numbers::default());
        let session = Session { account, secret, guest, opened_at: now_s, expires_at, numbers };
        table.open.insert(session_id, Arc::new(session));
        Ok(expires_at)
    }

    /// A session that has not ended.
    pub(super) fn find(&self, session_id: B256, now_s: u64) -> Result<Arc<Session>, StreamRefusal> {
        let table = self.table();
        let session = table.open.get(&session_id).filter(|session| session.expires_at > now_s);
        session.cloned().ok_or(StreamRefusal::UnknownSession)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Whole after every operation on it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn drop_oldest(&mut self, among: impl Fn(&Session) -> bool) {
        let candidates = self.open.iter().filter(|(_, session)| among(session));
        let oldest = candidates.min_by_key(|(_, session)| session.opened_at).map(|(id, _)| *id);
        if let Some(id) = oldest {
            self.open.remove(&id);
        }
    }
}

impl Session {
    /// How what comes over it is asked and answered.
    pub(super) fn mode(&self) -> (Privacy, Evidence) {
        if self.guest.is_some() { GUEST_MODE } else { MODE }
    }

    /// Whether the number may still be used. It is not used up by asking: whoever cannot seal cannot use up numbers.
    pub(super) fn check_number(&self, number: u64) -> Result<(), StreamRefusal> {
        if self.numbers().is_free(number) { Ok(()) } else { Err(StreamRefusal::NumberUsed { number }) }
    }

    /// Uses a number up.
    pub(super) fn take_number(&self, number: u64) -> Result<(), StreamRefusal> {
        if self.numbers().take(number) { Ok(()) } else { Err(StreamRefusal::NumberUsed { number }) }
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Numbers {
    fn default() -> Self {
        Self { end: 0, used: Box::new([0; WORDS]) }
    }
}

impl Numbers {
    fn is_free(&self, number: u64) -> bool {
        // The last number has none above it, and is not used.
        let Some(above) = number.checked_add(1) else { return false };
        if above > self.end {
            return true;
        }
        self.end.saturating_sub(above) < WINDOW && !self.bit(number)
    }

    fn take(&mut self, number: u64) -> bool {
        if !self.is_free(number) {
            return false;
        }
        let above = number.saturating_add(1);
        if above > self.end {
            // What falls out of the window makes place for what comes in.
            if above.saturating_sub(self.end) >= WINDOW {
                self.used.fill(0);
            } else {
                for entering in self.end..above {
                    self.set(entering, false);
                }
            }
            self.end = above;
        }
        self.set(number, true);
        true
    }

    fn bit(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.used.get(word).is_some_and(|word| word & bit != 0)
    }

    fn set(&mut self, number: u64, used: bool) {
        let (word, bit) = place(number);
        if let Some(word) = self.used.get_mut(word) {
            *word = if used { *word | bit } else { *word & !bit };
        }
    }
}

/// Word and bit of a number in the window.
fn place(number: u64) -> (usize, u64) {
    let at = number % WINDOW;
    (usize::try_from(at / 64).unwrap_or_default(), 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Compared with a set of all numbers that were taken.
        #[test]
        fn each_number_is_taken_once_and_none_far_below_the_highest(
            steps in prop::collection::vec(prop_oneof![0_u64..20, 0_u64..3 * WINDOW, Just(u64::MAX), Just(u64::MAX - 1)], 1..300)
        ) {
            let (mut numbers, mut taken) = (Numbers::default(), BTreeSet::new());
            for number in steps {
                let below = taken.last().is_some_and(|highest: &u64| *highest >= WINDOW && number <= highest - WINDOW);
                let expected = number != u64::MAX && !below && !taken.contains(&number);
                prop_assert_eq!(numbers.is_free(number), expected);
                prop_assert_eq!(numbers.take(number), expected);
                if expected {
                    taken.insert(number);
                }
            }
        }
    }
}
