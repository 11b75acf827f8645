//! How much one address may ask for.

use core::time::Duration;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
};

use tokio::time::Instant;

/// So many requests at once, and one more after each pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests at once.
    pub burst: u32,
    /// For each further one.
    pub pause: Duration,
}

impl Default for Rate {
    /// Thirty, and then two in a second.
    fn default() -> Self {
        Self { burst: 30, pause: Duration::from_millis(500) }
    }
}

/// When each address will have paid for what it asked (the generic cell rate algorithm, ITU-T I.371).
pub(crate) struct Meter {
    rate: Rate,
    due: Mutex<HashMap<IpAddr, Instant>>,
}

/// Addresses that are remembered; those that owe nothing are forgotten first.
const REMEMBERED_MAX: usize = 65_536;

impl Meter {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, due: Mutex::default() }
    }

    /// Whether one more request of this address is within its rate.
    pub(crate) fn admit(&self, address: IpAddr) -> bool {
        self.admit_at(address, Instant::now())
    }

    fn admit_at(&self, address: IpAddr, now: Instant) -> bool {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if due.len() >= REMEMBERED_MAX {
            due.retain(|_, due| *due > now);
            if due.len() >= REMEMBERED_MAX {
                return false;
            }
        }
        let due = due.entry(network(address)).or_insert(now);
        let next = (*due).max(now) + self.rate.pause;
        let admitted = next.duration_since(now) <= self.rate.pause.saturating_mul(self.rate.burst);
        if admitted {
            *due = next;
        }
        admitted
    }
}

/// Of IPv6, the network that one subscriber has.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_after_each_pause() {
        let meter = Meter::new(Rate { burst: 3, pause: Duration::from_secs(1) });
        let (one, other) = ("1.1.1.1".parse().unwrap(), "1.1.1.2".parse().unwrap());
        let start = Instant::now();
        assert_eq!([(); 4].map(|()| meter.admit_at(one, start)), [true, true, true, false]);
        assert!(meter.admit_at(other, start));
        let later = start + Duration::from_secs(1);
        assert_eq!([(); 2].map(|()| meter.admit_at(one, later)), [true, false]);
        let later = start + Duration::from_secs(60);
        assert_eq!([(); 4].map(|()| meter.admit_at(one, later)), [true, true, true, false]);
    }

    #[test]
    fn addresses_of_one_network_share_a_rate() {
        let meter = Meter::new(Rate { burst: 1, pause: Duration::from_secs(1) });
        assert!(meter.admit("2606:4700::1".parse().unwrap()));
        assert!(!meter.admit("2606:4700::2".parse().unwrap()));
        assert!(meter.admit("2606:4700:0:1::1".parse().unwrap()));
    }
}
