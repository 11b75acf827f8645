//! When a worker said that it was there, in storage: one slot.

use crate::{
    host::{Host, HostError},
    storage::{Packed, address_key, mapping},
};
use alloy_primitives::{Address, U256, uint};
use tacit_abi::{
    IAsks,
    asks::{HOUR_S, LIVENESS_HOURS},
};

/// A worker's beats. All zero: it never beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Beats {
    /// When the last one came that counts, Unix seconds.
    pub(super) last: u64,
    /// Hour of the first one, since 1970.
    first_hour: u32,
    /// A bit for each of the last [`LIVENESS_HOURS`] hours up to that of the last beat, which is the lowest.
    hours: U256,
}

impl Beats {
    pub(super) fn load(host: &mut dyn Host, worker: Address) -> Result<Self, HostError> {
        let slot = mapping(host, BEATS, address_key(worker))?;
        let word = Packed(host.sload(slot)?);
        Ok(Self { last: word.u64(LAST), first_hour: word.u32(FIRST_HOUR), hours: word.get(HOURS, KEPT) })
    }

    pub(super) fn store(self, host: &mut dyn Host, worker: Address) -> Result<(), HostError> {
        let slot = mapping(host, BEATS, address_key(worker))?;
        let mut word = Packed::default();
        word.set(LAST, 64, U256::from(self.last));
        word.set(FIRST_HOUR, 32, U256::from(self.first_hour));
        word.set(HOURS, KEPT, self.hours);
        host.sstore(slot, word.0)
    }

    /// The same with a beat at `now`; `None` when its hour, or a later one, has one.
    pub(super) fn with(self, now: u64) -> Option<Self> {
        let hour = hour_of(now);
        if self.hours.is_zero() {
            let first_hour = u32::try_from(hour).unwrap_or(u32::MAX);
            return Some(Self { last: now, first_hour, hours: U256::ONE });
        }
        let passed = hour.checked_sub(hour_of(self.last)).filter(|passed| *passed > 0)?;
        Some(Self { last: now, hours: later(self.hours, passed) | U256::ONE, ..self })
    }

    /// When the next beat counts: with the hour after that of the last one.
    pub(super) fn earliest(self) -> u64 {
        hour_of(self.last).saturating_add(1).saturating_mul(HOUR_S)
    }

    /// What a reader is told at `now`. The hour that runs is covered once it was beaten in.
    pub(super) fn told(self, now: u64) -> IAsks::Liveness {
        if self.hours.is_zero() {
            return IAsks::Liveness { since: 0, lastBeat: 0, covered: 0, beaten: 0 };
        }
        let (last_hour, first_hour) = (hour_of(self.last), u64::from(self.first_hour));
        let until = hour_of(now).saturating_sub(1).max(last_hour);
        let covered = until.saturating_sub(first_hour).saturating_add(1).min(LIVENESS_HOURS.into());
        let beaten = later(self.hours, until.saturating_sub(last_hour)).count_ones();
        IAsks::Liveness {
            since: first_hour.saturating_mul(HOUR_S),
            lastBeat: self.last,
            covered: u32::try_from(covered).unwrap_or(LIVENESS_HOURS),
            beaten: u32::try_from(beaten).unwrap_or(LIVENESS_HOURS),
        }
    }
}

/// Counts a beat of a worker at `now`, unless its hour has one.
pub(super) fn touch(host: &mut dyn Host, worker: Address, now: u64) -> Result<(), HostError> {
    match Beats::load(host, worker)?.with(now) {
        Some(beats) => beats.store(host, worker),
        None => Ok(()),
    }
}

/// The hours as they are seen so many hours later.
fn later(hours: U256, passed: u64) -> U256 {
    let passed = usize::try_from(passed).unwrap_or(KEPT).min(KEPT);
    Packed(hours.wrapping_shl(passed)).get(0, KEPT)
}

fn hour_of(time_s: u64) -> u64 {
    time_s.checked_div(HOUR_S).unwrap_or_default()
}

/// Slot of the module's field.
const BEATS: U256 = uint!(4_U256);
/// Bit positions in a worker's slot.
const LAST: usize = 0;
const FIRST_HOUR: usize = 64;
const HOURS: usize = 96;
/// Bits of the hours: what the other fields leave.
const KEPT: usize = 256 - HOURS;
const _: () = assert!(LIVENESS_HOURS == 160 && KEPT == 160);
