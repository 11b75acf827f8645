//! In which order workers are asked: what the request wants first, then OpenRouter's rule.
//!
//! Without a wish: workers that failed in the last half minute come last; among the others the first is drawn with a weight of one over the price squared, and the rest follow,
//! cheapest first. Prices are compared for what this request may cost, not per token.

use std::time::Instant;

use alloy_primitives::Address;
use rand::Rng;
use tacit_abi::{Evidence, Privacy};
use tacit_wire::{Amount, language::TokenPrices};

use super::{
    health::Seen,
    market::TokenAsk,
    request::{MILLION, Preferences, Sort},
};

/// Somebody to ask.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) ask: TokenAsk,
    pub(crate) seen: Seen,
    /// What the request may cost there.
    pub(crate) cost: Amount,
}

/// Whether an ask fits a wish.
type Keeps<'a> = &'a dyn Fn(&TokenAsk) -> bool;

/// Who is left by the wishes, or which wish leaves nobody.
pub(crate) fn eligible(asks: &[TokenAsk], wishes: &Preferences) -> Result<Vec<TokenAsk>, &'static str> {
    let mut left: Vec<TokenAsk> = asks.to_vec();
    let steps: [(&'static str, Keeps<'_>); 7] = [
        ("nobody asks for it by the token", &|_| true),
        ("privacy", &|ask| ask.privacy == wishes.privacy.unwrap_or(Privacy::Sealed)),
        ("evidence", &|ask| ask.evidence == wishes.evidence.unwrap_or(Evidence::Signed)),
        ("only", &|ask| wishes.only.as_ref().is_none_or(|only| only.contains(&ask.worker))),
        ("ignore", &|ask| !wishes.ignore.contains(&ask.worker)),
        ("min_stake", &|ask| wishes.min_stake.is_none_or(|least| ask.bonded >= least)),
        ("max_price", &|ask| within(&ask.prices, wishes)),
    ];
    for (name, keeps) in steps {
        left.retain(|ask| keeps(ask));
        if left.is_empty() {
            return Err(name);
        }
    }
    Ok(left)
}

/// The order in which to ask; one of them where no fallbacks are allowed.
pub(crate) fn order(
    mut candidates: Vec<Candidate>,
    wishes: &Preferences,
    suffix: Option<Sort>,
    now: Instant,
    random: &mut impl Rng,
) -> Vec<Candidate> {
    candidates.sort_by_key(|candidate| (candidate.cost, candidate.ask.worker));
    match suffix.or(wishes.sort) {
        Some(Sort::Price) => {}
        Some(Sort::Throughput) => {
            candidates.sort_by(|a, b| speed(b).total_cmp(&speed(a)));
        }
        Some(Sort::Latency) => {
            candidates.sort_by(|a, b| wait(a).total_cmp(&wait(b)));
        }
        None if wishes.order.is_empty() => draw_first(&mut candidates, now, random),
        None => {}
    }
    // Each of these keeps the order of those that it does not tell apart.
    if let Some(least) = wishes.preferred_min_throughput {
        candidates.sort_by_key(|candidate| candidate.seen.tokens_per_s.is_some_and(|speed| speed < least));
    }
    candidates.sort_by_key(|candidate| candidate.seen.is_failing(now));
    candidates.sort_by_key(|candidate| place(candidate.ask.worker, &wishes.order));
    if wishes.allow_fallbacks == Some(false) {
        let named = wishes.order.len();
        candidates.retain(|candidate| named == 0 || wishes.order.contains(&candidate.ask.worker));
        candidates.truncate(named.max(1));
    }
    candidates
}

fn place(worker: Address, order: &[Address]) -> usize {
    order.iter().position(|named| *named == worker).unwrap_or(order.len())
}

/// Draws who comes first among those that do not fail, by one over the price squared.
fn draw_first(candidates: &mut [Candidate], now: Instant, random: &mut impl Rng) {
    let weight = |candidate: &Candidate| {
        let price = float(candidate.cost).max(1.0);
        if candidate.seen.is_failing(now) { 0.0 } else { 1.0 / (price * price) }
    };
    let total: f64 = candidates.iter().map(weight).sum();
    if total <= 0.0 {
        return;
    }
    let mut drawn = random.random::<f64>() * total;
    let chosen = candidates.iter().position(|candidate| {
        drawn -= weight(candidate);
        drawn < 0.0
    });
    if let Some(chosen) = chosen
        && let Some(front) = candidates.get_mut(..=chosen)
    {
        front.rotate_right(1);
    }
}

fn within(prices: &TokenPrices, wishes: &Preferences) -> bool {
    let Some(most) = wishes.max_price else { return true };
    let of_million = |price: Amount, most: Option<Amount>| {
        most.is_none_or(|most| price.0.checked_mul(MILLION).is_some_and(|price| price <= most.0))
    };
    of_million(prices.prompt, most.prompt)
        && of_million(prices.completion, most.completion)
        && most.request.is_none_or(|most| prices.request <= most)
}

/// Fastest first; unknown ones after those that are known.
fn speed(candidate: &Candidate) -> f64 {
    candidate.seen.tokens_per_s.unwrap_or(0.0)
}

fn wait(candidate: &Candidate) -> f64 {
    candidate.seen.first_byte_ms.unwrap_or(f64::INFINITY)
}

/// Near enough to weigh by.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a weight needs no exact price")]
fn float(amount: Amount) -> f64 {
    amount.0 as f64
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn candidate(number: u8, cost: u128) -> Candidate {
        let prices = TokenPrices { completion: Amount(cost), ..TokenPrices::default() };
        let ask = TokenAsk {
            worker: Address::repeat_byte(number),
            endpoint: String::new(),
            privacy: Privacy::Sealed,
            evidence: Evidence::Signed,
            prices,
            session_key_hash: B256::ZERO,
            bonded: Amount(u128::from(number)),
        };
        Candidate { ask, seen: Seen::default(), cost: Amount(cost) }
    }

    fn ordered(candidates: Vec<Candidate>, wishes: &Preferences, suffix: Option<Sort>) -> Vec<u8> {
        let order = order(candidates, wishes, suffix, Instant::now(), &mut StdRng::seed_from_u64(1));
        order.iter().map(|candidate| candidate.ask.worker.0[0]).collect()
    }

    fn wishes(json: &str) -> Preferences {
        serde_json::from_str(json).unwrap()
    }

    fn address(number: u8) -> Address {
        Address::repeat_byte(number)
    }

    #[test]
    fn the_first_is_drawn_by_one_over_the_price_squared() {
        let mut random = StdRng::seed_from_u64(7);
        let mut firsts = [0_u32; 3];
        for _ in 0..10_000 {
            let candidates = vec![candidate(0, 1), candidate(1, 2), candidate(2, 3)];
            let order = order(candidates, &Preferences::default(), None, Instant::now(), &mut random);
            firsts[usize::from(order[0].ask.worker.0[0])] += 1;
            assert!(order[1].cost <= order[2].cost);
        }
        // 36 : 9 : 4.
        assert!((7_200..7_500).contains(&firsts[0]), "{firsts:?}");
        assert!((1_700..2_000).contains(&firsts[1]), "{firsts:?}");
    }

    #[test]
    fn who_failed_a_moment_ago_comes_last() {
        let mut failed = candidate(1, 1);
        failed.seen.failed_at = Some(Instant::now());
        for _ in 0..100 {
            let candidates = vec![failed.clone(), candidate(2, 100)];
            assert_eq!(ordered(candidates, &Preferences::default(), None), [2, 1]);
        }
        assert_eq!(ordered(vec![failed], &Preferences::default(), None), [1], "better than nobody");
    }

    #[test]
    fn wishes_order_and_limit() {
        let mut fast = candidate(1, 30);
        fast.seen.tokens_per_s = Some(90.0);
        fast.seen.first_byte_ms = Some(500.0);
        let mut near = candidate(2, 20);
        near.seen.tokens_per_s = Some(10.0);
        near.seen.first_byte_ms = Some(5.0);
        let all = || vec![fast.clone(), near.clone(), candidate(3, 10)];
        let by = |json: &str| ordered(all(), &wishes(json), None);
        assert_eq!(by(r#"{"sort":"price"}"#), [3, 2, 1]);
        assert_eq!(by(r#"{"sort":"throughput"}"#), [1, 2, 3]);
        assert_eq!(by(r#"{"sort":"latency"}"#), [2, 1, 3]);
        assert_eq!(by(r#"{"sort":"price","preferred_min_throughput":50}"#), [3, 1, 2]);
        assert_eq!(ordered(all(), &Preferences::default(), Some(Sort::Throughput)), [1, 2, 3]);
        let second = address(2);
        assert_eq!(by(&format!(r#"{{"order":["{second}"]}}"#)), [2, 3, 1]);
        assert_eq!(by(&format!(r#"{{"order":["{second}"],"allow_fallbacks":false}}"#)), [2]);
        assert_eq!(by(r#"{"sort":"price","allow_fallbacks":false}"#), [3]);
    }

    #[test]
    fn each_wish_leaves_those_that_fit_it() {
        let asks: Vec<TokenAsk> = (1..4).map(|number| candidate(number, u128::from(number)).ask).collect();
        let left = |json: &str| {
            eligible(&asks, &wishes(json))
                .map(|asks| asks.iter().map(|ask| ask.worker.0[0]).collect::<Vec<_>>())
        };
        assert_eq!(left("{}").unwrap(), [1, 2, 3]);
        assert_eq!(left(&format!(r#"{{"only":["{}"]}}"#, address(2))).unwrap(), [2]);
        assert_eq!(left(&format!(r#"{{"ignore":["{}"]}}"#, address(2))).unwrap(), [1, 3]);
        assert_eq!(left(r#"{"min_stake":"0.000000000000000003"}"#).unwrap(), [3]);
        // Two units a token are 0.000000000002 of a coin for a million.
        assert_eq!(left(r#"{"max_price":{"completion":"0.000000000002"}}"#).unwrap(), [1, 2]);
        assert_eq!(left(r#"{"max_price":{"prompt":0}}"#).unwrap(), [1, 2, 3]);
        assert_eq!(left(r#"{"evidence":"proved"}"#), Err("evidence"));
        assert_eq!(left(r#"{"privacy":"clear"}"#), Err("privacy"));
        assert_eq!(eligible(&[], &Preferences::default()), Err("nobody asks for it by the token"));
    }
}
