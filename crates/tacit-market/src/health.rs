//! How a worker did, as its client saw it: means weighted towards what was last.

/// What is known of one worker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// From a request to the first byte of its answer, milliseconds; none before the first answer.
    pub first_byte_ms: Option<f64>,
    /// Tokens of a completion a second, of one answer.
    pub tokens_per_s: Option<f64>,
    /// Share of requests that were answered, 0 to 1, those of late first.
    pub uptime: f64,
    /// When it last failed, on the client's clock of milliseconds, if it has not answered since.
    pub failed_at_ms: Option<u64>,
    /// Requests that were counted.
    pub requests: u64,
}

/// A worker that failed is the last to be asked for so long.
pub const FAILED_FOR_MS: u64 = 30_000;
/// Weight of the latest observation.
const WEIGHT: f64 = 0.2;
/// Answers shorter than this say nothing of speed.
const TOKENS_MIN: u64 = 8;

impl Default for Seen {
    fn default() -> Self {
        Self { first_byte_ms: None, tokens_per_s: None, uptime: 1.0, failed_at_ms: None, requests: 0 }
    }
}

impl Seen {
    /// An answer began so long after its request.
    pub fn began(&mut self, after_ms: f64) {
        mix(&mut self.first_byte_ms, after_ms);
        self.uptime += WEIGHT * (1.0 - self.uptime);
        self.failed_at_ms = None;
        self.requests = self.requests.saturating_add(1);
    }

    /// An answer of so many tokens took so long from its beginning to its end.
    pub fn ended(&mut self, tokens: u64, took_s: f64) {
        if tokens < TOKENS_MIN || took_s <= 0.0 {
            return;
        }
        // Counts of one answer are exact in a double.
        let tokens = u32::try_from(tokens).map_or(f64::from(u32::MAX), f64::from);
        mix(&mut self.tokens_per_s, tokens / took_s);
    }

    /// It did not answer.
    pub fn failed(&mut self, now_ms: u64) {
        self.uptime -= WEIGHT * self.uptime;
        self.failed_at_ms = Some(now_ms);
        self.requests = self.requests.saturating_add(1);
    }

    /// Whether it failed a moment ago, and has not answered since.
    #[must_use]
    pub fn is_failing(&self, now_ms: u64) -> bool {
        self.failed_at_ms.is_some_and(|at| now_ms.saturating_sub(at) < FAILED_FOR_MS)
    }
}

fn mix(mean: &mut Option<f64>, latest: f64) {
    *mean = Some(mean.map_or(latest, |mean| mean + WEIGHT * (latest - mean)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_counts_for_half_a_minute_or_until_an_answer() {
        let mut seen = Seen::default();
        seen.failed(1_000);
        assert!(seen.is_failing(1_000) && seen.is_failing(30_999) && !seen.is_failing(31_000));
        assert_eq!((seen.uptime, seen.requests), (0.8, 1));
        seen.began(40.0);
        assert!(!seen.is_failing(1_001));
        assert_eq!((seen.first_byte_ms, seen.requests), (Some(40.0), 2));
    }

    #[test]
    fn speed_is_a_mean_of_answers_long_enough_to_tell() {
        let mut seen = Seen::default();
        seen.ended(7, 1.0);
        seen.ended(100, 0.0);
        assert_eq!(seen.tokens_per_s, None);
        seen.ended(100, 2.0);
        seen.ended(100, 1.0);
        assert_eq!(seen.tokens_per_s, Some(60.0));
    }
}
