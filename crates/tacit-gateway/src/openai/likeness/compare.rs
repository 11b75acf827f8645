//! Two workers' answers, token by token.

use std::collections::HashMap;

use tacit_market::likeness::{Likely, Step, distance_tempered, likeness, likeness_beside};

use super::{
    answer::{Candidate, Token, is_nameless},
    book::Compared,
};

/// Compares what two workers say of one place of an answer that was asked for at a temperature; none where the auditor names nothing.
///
/// Some engines say log-probabilities as they draw, at the temperature; either reading counts.
pub(super) fn at_place(said: &Token, again: &Token, temperature: Option<f64>) -> Option<Compared> {
    let step = step(said, again);
    if step.again.is_empty() {
        return None;
    }
    let found = likeness(core::slice::from_ref(&step))?;
    let tempered = temperature.and_then(|temperature| distance_tempered(&step, temperature));
    let distance = tempered.map_or(found.distance, |tempered| tempered.min(found.distance));
    Some(Compared { distance, gap: (temperature == Some(0.0)).then_some(found.gap) })
}

/// Compares two answers to one request at each place up to the first at which they part: until then both were computed after the same text.
pub(super) fn beside(one: &[Token], other: &[Token], temperature: Option<f64>) -> Vec<Compared> {
    let part = one.iter().zip(other).position(|(one, other)| one.bytes != other.bytes);
    let together = part.map_or(usize::MAX, |part| part.saturating_add(1));
    let places = one.iter().zip(other).take(together);
    let comparable = places.filter(|(one, other)| one.is_comparable() && other.is_comparable());
    let compared = comparable.filter_map(|(one, other)| {
        let found = likeness_beside(&step(one, other), temperature.unwrap_or(0.0))?;
        Some(Compared { distance: found.distance, gap: (temperature == Some(0.0)).then_some(found.gap) })
    });
    compared.collect()
}

fn step(said: &Token, again: &Token) -> Step {
    let mut names = Names::default();
    Step {
        token: names.number(&said.bytes),
        committed: names.likely(&said.likely),
        again: names.likely(&again.likely),
    }
}

/// Tokens by number, as the comparison has them.
#[derive(Default)]
struct Names<'a>(HashMap<&'a [u8], u32>);

impl<'a> Names<'a> {
    fn number(&mut self, bytes: &'a [u8]) -> u32 {
        // Two lists of one place: far fewer than there are numbers.
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        *self.0.entry(bytes).or_insert(next)
    }

    /// Those that engines call by the same name.
    fn likely(&mut self, listed: &'a [Candidate]) -> Vec<Likely> {
        let named = listed.iter().filter(|(bytes, _)| !is_nameless(bytes));
        named.map(|(bytes, logprob)| (self.number(bytes), *logprob)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str, likely: &[(&str, f64)]) -> Token {
        let likely = likely.iter().map(|(text, logprob)| (text.as_bytes().to_vec(), *logprob)).collect();
        Token { bytes: text.as_bytes().to_vec(), likely }
    }

    #[test]
    fn two_are_compared_by_the_text_of_tokens() {
        let said = token("a", &[("a", -0.5), ("b", -1.0), ("<|end|>", -2.0), ("\u{fffd}", -3.0)]);
        let again = token("b", &[("b", -0.75), ("a", -1.0), ("", -1.5), ("c", -2.0)]);
        let found = at_place(&said, &again, Some(0.0)).unwrap();
        assert_eq!((found.distance, found.gap), (0.375, Some(0.25)));
        assert_eq!(at_place(&said, &again, None).unwrap().gap, None);
        assert_eq!(at_place(&said, &token("", &[("", -0.1)]), Some(0.0)), None);
        // A worker that names nothing is as unlike as can be.
        assert!(at_place(&token("a", &[("", -0.5)]), &again, Some(0.5)).unwrap().distance >= 10.0);
        // As mistral.rs says it at temperature 0.5: twice the differences.
        let tempered = token("b", &[("b", -0.25), ("a", -0.75), ("c", -2.75)]);
        assert_eq!(at_place(&tempered, &again, Some(0.5)).unwrap().distance, 0.0);
        assert_eq!(at_place(&tempered, &again, Some(0.0)).unwrap().distance, 0.5);
    }

    #[test]
    fn answers_are_compared_until_they_part() {
        let same = token("a", &[("a", -0.5), ("b", -1.0)]);
        let parts = token("b", &[("b", -0.5), ("a", -0.75)]);
        let smile = token("\u{1f600}", &[("\u{fffd}", -0.1)]);
        let one = [same.clone(), smile.clone(), same.clone(), same.clone()];
        let other = [same.clone(), smile, parts, same.clone()];
        let found = beside(&one, &other, Some(0.0));
        // The second is not comparable, and what is after the third was computed after other text.
        assert_eq!(found.iter().map(|one| one.gap).collect::<Vec<_>>(), [Some(0.0), Some(0.25)]);
        assert_eq!((found[0].distance, found[1].distance), (0.0, 0.375));
        assert_eq!(beside(&one, &other, None)[1].gap, None);
        assert_eq!(beside(&one[..1], &other, Some(0.0)).len(), 1);
        assert_eq!(beside(&one, &[], Some(0.0)), []);
    }
}
