//! In which order workers are asked: what the request wants first, then OpenRouter's rule.
//!
//! Without a wish: workers that failed in the last half minute come last; among the others each next is drawn with a weight of one over the price squared. Prices are compared for what
//! this request may cost, not per token.
//!
//! Source: OpenRouter's documentation of provider routing, whose names the wishes have. Deviations: its price is an average over a provider's requests, ours is this request's; it draws the
//! first and lets the rest follow by price, we draw all. With thousands of small workers the cheapest are busy most of the time, and who is refused by one would be refused by all of them in
//! turn (`examples/day`).

use alloy_primitives::Address;
use serde::Deserialize;
use tacit_abi::{Evidence, Privacy};

use crate::health::Seen;

/// Prices of a language model's tokens, in the coin's smallest units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prices {
    /// Of a request, whatever it takes.
    pub request: u128,
    /// Of each token of a prompt.
    pub prompt: u128,
    /// Of each token of a completion.
    pub completion: u128,
}

/// What the ledger says of a worker's ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Who asks it.
    pub worker: Address,
    /// Who can see the input.
    pub privacy: Privacy,
    /// Why the answer is believed.
    pub evidence: Evidence,
    /// What it costs.
    pub prices: Prices,
    /// What the worker has at stake, shared by all its asks; smallest units.
    pub bonded: u128,
}

/// What a request wants of workers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wishes {
    /// Workers to ask first, in this order.
    pub order: Vec<Address>,
    /// Workers that may be asked.
    pub only: Option<Vec<Address>>,
    /// Workers that may not.
    pub ignore: Vec<Address>,
    /// Whether another worker than the first may be asked; it may if nothing is said.
    pub allow_fallbacks: Option<bool>,
    /// By what to order, instead of drawing the first.
    pub sort: Option<Sort>,
    /// Most that is paid.
    pub max_price: Option<MaxPrice>,
    /// Tokens a second; slower workers are asked after the others.
    pub preferred_min_throughput: Option<f64>,
    /// `signed` if nothing is said.
    pub evidence: Option<Evidence>,
    /// `sealed` if nothing is said.
    pub privacy: Option<Privacy>,
    /// Least stake of a worker, smallest units.
    pub min_stake: Option<u128>,
}

/// By what workers are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Cheapest first.
    Price,
    /// Most tokens a second first.
    Throughput,
    /// Soonest first byte first.
    Latency,
    /// Most reputation first ([`mod@crate::reputation`]).
    Reputation,
}

/// Most that is paid: of a million tokens, and of a request; smallest units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MaxPrice {
    /// Of a million tokens of prompts.
    pub prompt: Option<u128>,
    /// Of a million tokens of completions.
    pub completion: Option<u128>,
    /// Of a request.
    pub request: Option<u128>,
}

/// Somebody to ask, with whatever the caller needs to do so.
#[derive(Debug, Clone)]
pub struct Candidate<T> {
    /// The caller's.
    pub offer: T,
    /// Who it is.
    pub worker: Address,
    /// What the request may cost there, smallest units.
    pub cost: u128,
    /// How it did.
    pub seen: Seen,
    /// What its past is worth, smallest units; nothing where that is not known, and where nobody orders by it.
    pub reputation: u128,
}

/// Tokens per price in [`MaxPrice`].
pub const MILLION: u128 = 1_000_000;

/// Who is left by the wishes, or which wish leaves nobody.
///
/// # Errors
/// The name of the first wish that nobody fits who fits those before it.
pub fn eligible<T: Clone>(
    offers: &[T],
    ask: impl Fn(&T) -> Ask,
    wishes: &Wishes,
) -> Result<Vec<T>, &'static str> {
    let steps: [(&'static str, Keeps<'_>); 7] = [
        (NOBODY, &|_| true),
        ("privacy", &|ask| ask.privacy == wishes.privacy.unwrap_or(Privacy::Sealed)),
        ("evidence", &|ask| ask.evidence == wishes.evidence.unwrap_or(Evidence::Signed)),
        ("only", &|ask| wishes.only.as_ref().is_none_or(|only| only.contains(&ask.worker))),
        ("ignore", &|ask| !wishes.ignore.contains(&ask.worker)),
        ("min_stake", &|ask| wishes.min_stake.is_none_or(|least| ask.bonded >= least)),
        ("max_price", &|ask| within(&ask.prices, wishes)),
    ];
    let (mut left, mut furthest) = (Vec::with_capacity(offers.len()), 0);
    for offer in offers {
        let ask = ask(offer);
        match steps.iter().position(|(_, keeps)| !keeps(&ask)) {
            Some(unfit) => furthest = furthest.max(unfit),
            None => left.push(offer.clone()),
        }
    }
    if left.is_empty() { Err(steps.get(furthest).map_or(NOBODY, |(name, _)| name)) } else { Ok(left) }
}

/// Where there is no ask at all.
const NOBODY: &str = "nobody asks for it by the token";
/// Whether an ask fits a wish.
type Keeps<'a> = &'a dyn Fn(&Ask) -> bool;

/// The order in which to ask; one of them where no fallbacks are allowed. `suffix` goes before the wish for an order; `draw` is 64 uniform bits, fresh for each request.
#[must_use]
pub fn order<T>(
    candidates: Vec<Candidate<T>>,
    wishes: &Wishes,
    suffix: Option<Sort>,
    now_ms: u64,
    draw: u64,
) -> Vec<Candidate<T>> {
    let mut bits = Bits(draw);
    let is_slow = |speed: Option<f64>| {
        speed.zip(wishes.preferred_min_throughput).is_some_and(|(speed, least)| speed < least)
    };
    let mut keys: Vec<(u128, usize)> = Vec::with_capacity(candidates.len());
    for (at, candidate) in candidates.iter().enumerate() {
        let seen = &candidate.seen;
        let rank = match suffix.or(wishes.sort) {
            Some(Sort::Price) => 0.0,
            // Unknown ones after those that are known.
            Some(Sort::Throughput) => -seen.tokens_per_s.unwrap_or(0.0),
            Some(Sort::Latency) => seen.first_byte_ms.unwrap_or(f64::INFINITY),
            Some(Sort::Reputation) => -float(candidate.reputation),
            None if wishes.order.is_empty() => arrival(candidate.cost, bits.next()),
            None => 0.0,
        };
        let place = place(candidate.worker, &wishes.order);
        keys.push((key(place, seen.is_failing(now_ms), is_slow(seen.tokens_per_s), rank), at));
    }
    // Who is alike in all that was wanted follows by price.
    let by_price = |at: usize| candidates.get(at).map(|candidate| (candidate.cost, candidate.worker));
    keys.sort_unstable_by(|(a, a_at), (b, b_at)| {
        a.cmp(b).then_with(|| by_price(*a_at).cmp(&by_price(*b_at))).then(a_at.cmp(b_at))
    });
    let mut candidates: Vec<Option<Candidate<T>>> = candidates.into_iter().map(Some).collect();
    let mut order: Vec<Candidate<T>> =
        keys.into_iter().filter_map(|(_, at)| candidates.get_mut(at)?.take()).collect();
    if wishes.allow_fallbacks == Some(false) {
        let named = wishes.order.len();
        order.retain(|candidate| named == 0 || wishes.order.contains(&candidate.worker));
        order.truncate(named.max(1));
    }
    order
}

/// What an order goes by, as one number: the place that was named, whether it fails, whether it is slow, its rank.
fn key(place: usize, is_failing: bool, is_slow: bool, rank: f64) -> u128 {
    // Bits of a float, changed so that they are ordered as `total_cmp` orders floats.
    let bits = rank.to_bits();
    let rank = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    let place = u128::from(u32::try_from(place).unwrap_or(u32::MAX));
    (place << 66) | (u128::from(is_failing) << 65) | (u128::from(is_slow) << 64) | u128::from(rank)
}

fn place(worker: Address, order: &[Address]) -> usize {
    order.iter().position(|named| *named == worker).unwrap_or(order.len())
}

/// When somebody comes who comes at a rate of one over the price squared: who comes first among all is drawn by weight, and so is each next among those that are left.
///
/// Source: Efraimidis and Spirakis (2006), "Weighted random sampling with a reservoir".
fn arrival(cost: u128, bits: u64) -> f64 {
    let price = float(cost).max(1.0);
    -(1.0 - uniform(bits)).ln() * (price * price)
}

/// More uniform bits from some: SplitMix64 (Steele, Lea and Flood, 2014).
struct Bits(u64);

impl Bits {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn within(prices: &Prices, wishes: &Wishes) -> bool {
    let Some(most) = wishes.max_price else { return true };
    let of_million = |price: u128, most: Option<u128>| {
        most.is_none_or(|most| price.checked_mul(MILLION).is_some_and(|price| price <= most))
    };
    of_million(prices.prompt, most.prompt)
        && of_million(prices.completion, most.completion)
        && most.request.is_none_or(|most| prices.request <= most)
}

/// Near enough to weigh by.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a weight needs no exact price")]
fn float(amount: u128) -> f64 {
    amount as f64
}

/// From 0 to 1, not 1: the upper 53 bits.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "53 bits are exact in a double")]
fn uniform(draw: u64) -> f64 {
    const SCALE: f64 = (1_u64 << 53) as f64;
    (draw >> 11) as f64 / SCALE
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{RngCore, SeedableRng, rngs::StdRng};

    fn candidate(number: u8, cost: u128) -> Candidate<()> {
        let worker = Address::repeat_byte(number);
        Candidate { offer: (), worker, cost, seen: Seen::default(), reputation: 0 }
    }

    fn ask(number: u8) -> Ask {
        Ask {
            worker: Address::repeat_byte(number),
            privacy: Privacy::Sealed,
            evidence: Evidence::Signed,
            prices: Prices { completion: u128::from(number), ..Prices::default() },
            bonded: u128::from(number),
        }
    }

    fn ordered(candidates: Vec<Candidate<()>>, wishes: &Wishes, suffix: Option<Sort>) -> Vec<u8> {
        order(candidates, wishes, suffix, 1_000, 1 << 62).iter().map(|one| one.worker.0[0]).collect()
    }

    fn address(number: u8) -> Address {
        Address::repeat_byte(number)
    }

    #[test]
    fn each_next_is_drawn_by_one_over_the_price_squared() {
        let mut random = StdRng::seed_from_u64(7);
        let (mut firsts, mut seconds) = ([0_u32; 3], [0_u32; 3]);
        for _ in 0..10_000 {
            let candidates = vec![candidate(0, 1), candidate(1, 2), candidate(2, 3)];
            let order = order(candidates, &Wishes::default(), None, 0, random.next_u64());
            firsts[usize::from(order[0].worker.0[0])] += 1;
            if order[0].worker.0[0] == 0 {
                seconds[usize::from(order[1].worker.0[0])] += 1;
            }
        }
        // 36 : 9 : 4.
        assert!((7_200..7_500).contains(&firsts[0]), "{firsts:?}");
        assert!((1_700..2_000).contains(&firsts[1]), "{firsts:?}");
        // 9 : 4 of those.
        let share = f64::from(seconds[1]) / f64::from(firsts[0]);
        assert!((share - 9.0 / 13.0).abs() < 0.02, "{share}");
    }

    #[test]
    fn every_draw_gives_an_order_of_all() {
        for draw in [0, 1, u64::MAX - 1, u64::MAX] {
            let candidates = vec![candidate(0, 0), candidate(1, u128::MAX), candidate(2, 3)];
            assert_eq!(order(candidates, &Wishes::default(), None, 0, draw).len(), 3);
        }
    }

    #[test]
    fn who_failed_a_moment_ago_comes_last() {
        let mut failed = candidate(1, 1);
        failed.seen.failed(999);
        let mut random = StdRng::seed_from_u64(7);
        for _ in 0..100 {
            let candidates = vec![failed.clone(), candidate(2, 100)];
            let order = order(candidates, &Wishes::default(), None, 1_000, random.next_u64());
            assert_eq!([order[0].worker, order[1].worker], [address(2), address(1)]);
        }
        assert_eq!(ordered(vec![failed], &Wishes::default(), None), [1], "better than nobody");
    }

    #[test]
    fn wishes_order_and_limit() {
        let mut fast = candidate(1, 30);
        fast.seen.tokens_per_s = Some(90.0);
        fast.seen.first_byte_ms = Some(500.0);
        let mut near = candidate(2, 20);
        near.seen.tokens_per_s = Some(10.0);
        near.seen.first_byte_ms = Some(5.0);
        near.reputation = 7;
        let by = |wishes: Wishes, suffix| {
            ordered(vec![fast.clone(), near.clone(), candidate(3, 10)], &wishes, suffix)
        };
        let none = Wishes::default;
        let price = || Wishes { sort: Some(Sort::Price), ..none() };
        assert_eq!(by(price(), None), [3, 2, 1]);
        assert_eq!(by(Wishes { sort: Some(Sort::Throughput), ..none() }, None), [1, 2, 3]);
        assert_eq!(by(Wishes { sort: Some(Sort::Latency), ..none() }, None), [2, 1, 3]);
        // Those of whom nothing is known come after, by price.
        assert_eq!(by(Wishes { sort: Some(Sort::Reputation), ..none() }, None), [2, 3, 1]);
        assert_eq!(by(Wishes { preferred_min_throughput: Some(50.0), ..price() }, None), [3, 1, 2]);
        assert_eq!(by(none(), Some(Sort::Throughput)), [1, 2, 3]);
        assert_eq!(by(Wishes { order: vec![address(2)], ..none() }, None), [2, 3, 1]);
        let only_second = Wishes { order: vec![address(2)], allow_fallbacks: Some(false), ..none() };
        assert_eq!(by(only_second, None), [2]);
        assert_eq!(by(Wishes { allow_fallbacks: Some(false), ..price() }, None), [3]);
    }

    proptest! {
        /// One key orders as the rules do one after another, each keeping the order of those that it does not tell apart.
        #[test]
        fn an_order_is_that_of_the_rules(
            all in prop::collection::vec((any::<u8>(), 0_u128..4, prop::option::of(0_u8..3), prop::option::of(0_u8..3), any::<bool>()), 0..20),
            named in prop::collection::vec(any::<u8>(), 0..3), least in prop::option::of(0_u8..3), sort in 0_usize..4,
        ) {
            let candidates: Vec<Candidate<()>> = all
                .into_iter()
                .map(|(number, cost, first, speed, fails)| {
                    let failed_at_ms = fails.then_some(1_000);
                    let (first_byte_ms, tokens_per_s) = (first.map(f64::from), speed.map(f64::from));
                    let seen = Seen { first_byte_ms, tokens_per_s, failed_at_ms, ..Seen::default() };
                    Candidate { seen, reputation: u128::from(number) % 3, ..candidate(number, cost) }
                })
                .collect();
            let sort = [Sort::Price, Sort::Throughput, Sort::Latency, Sort::Reputation][sort];
            let wishes = Wishes {
                order: named.into_iter().map(address).collect(),
                preferred_min_throughput: least.map(f64::from),
                sort: Some(sort),
                ..Wishes::default()
            };
            let mut expected = candidates.clone();
            expected.sort_by_key(|one| (one.cost, one.worker));
            let speed = |one: &Candidate<()>| one.seen.tokens_per_s.unwrap_or(0.0);
            let wait = |one: &Candidate<()>| one.seen.first_byte_ms.unwrap_or(f64::INFINITY);
            match sort {
                Sort::Price => {}
                Sort::Throughput => expected.sort_by(|a, b| speed(b).total_cmp(&speed(a))),
                Sort::Latency => expected.sort_by(|a, b| wait(a).total_cmp(&wait(b))),
                Sort::Reputation => expected.sort_by_key(|one| core::cmp::Reverse(one.reputation)),
            }
            if let Some(least) = wishes.preferred_min_throughput {
                expected.sort_by_key(|one| one.seen.tokens_per_s.is_some_and(|speed| speed < least));
            }
            expected.sort_by_key(|one| one.seen.is_failing(1_000));
            expected.sort_by_key(|one| place(one.worker, &wishes.order));
            let key = |one: &Candidate<()>| (one.worker, one.cost, one.seen);
            let got = order(candidates, &wishes, None, 1_000, 5);
            prop_assert_eq!(got.iter().map(key).collect::<Vec<_>>(), expected.iter().map(key).collect::<Vec<_>>());
        }
    }

    #[test]
    fn each_wish_leaves_those_that_fit_it() {
        let asks: Vec<Ask> = (1..4).map(ask).collect();
        let left = |wishes: Wishes| {
            eligible(&asks, |ask| *ask, &wishes)
                .map(|asks| asks.iter().map(|ask| ask.worker.0[0]).collect::<Vec<_>>())
        };
        let none = Wishes::default;
        let most = |most: MaxPrice| Wishes { max_price: Some(most), ..none() };
        assert_eq!(left(none()).unwrap(), [1, 2, 3]);
        assert_eq!(left(Wishes { only: Some(vec![address(2)]), ..none() }).unwrap(), [2]);
        assert_eq!(left(Wishes { ignore: vec![address(2)], ..none() }).unwrap(), [1, 3]);
        assert_eq!(left(Wishes { min_stake: Some(3), ..none() }).unwrap(), [3]);
        assert_eq!(
            left(most(MaxPrice { completion: Some(2 * MILLION), ..MaxPrice::default() })).unwrap(),
            [1, 2]
        );
        assert_eq!(left(most(MaxPrice { prompt: Some(0), ..MaxPrice::default() })).unwrap(), [1, 2, 3]);
        assert_eq!(left(Wishes { evidence: Some(Evidence::Proved), ..none() }), Err("evidence"));
        assert_eq!(left(Wishes { privacy: Some(Privacy::Clear), ..none() }), Err("privacy"));
        // Each is left out by something else: the name is that of the wish that the furthest of them does not fit.
        let several = Wishes { ignore: vec![address(1), address(2)], min_stake: Some(4), ..none() };
        assert_eq!(left(several), Err("min_stake"));
        let nobody = eligible(&[], |ask: &Ask| *ask, &none());
        assert_eq!(nobody, Err("nobody asks for it by the token"));
    }
}
