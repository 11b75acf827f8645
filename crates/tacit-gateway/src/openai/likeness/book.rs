//! What audits found: which workers of a model answer alike, and who is outvoted. In memory: a restart forgets it.
//!
//! # Who is outvoted
//! A worker whose figures differ from those of others that are alike among themselves, if those are more than itself, those alike to it and those of which it is not known yet. So of
//! two that differ neither is; and a few that agree on another model outvote nobody as long as more may agree on the right one.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use tacit_market::likeness::{Likeness, Thresholds};

use crate::{
    openai::market::{Offered, TokenAsk},
    store::{StreamAudit, Verdict},
};

/// What audits of language models found since the gateway started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LikenessView {
    /// Share of the answers that is audited, 0 to 1.
    pub rate: f64,
    /// Answers that were selected.
    pub selected: u64,
    /// Answers that were compared with another worker.
    pub compared: u64,
    /// Audits that came to nothing: no other worker, one that did not answer, a cap.
    pub failed: u64,
    /// Answers that were selected while as many were audited as may be at once.
    pub dropped: u64,
    /// Each model.
    pub models: Vec<ModelLikeness>,
}

/// What was found of one model's workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelLikeness {
    /// Its name.
    pub model: String,
    /// Its id.
    pub model_id: B256,
    /// Workers that were compared with each other.
    pub pairs: Vec<PairLikeness>,
    /// What is to be said of each by itself.
    pub workers: Vec<WorkerLikeness>,
}

/// How two workers compare.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairLikeness {
    /// Who.
    pub workers: [Address; 2],
    /// Tokens that both said the log-probabilities of, of the newest.
    pub steps: usize,
    /// [`Likeness::distance`] over them.
    pub distance: f64,
    /// [`Likeness::gap`] over those of answers that were asked for at temperature 0; none without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<f64>,
    /// What follows.
    pub verdict: Verdict,
}

/// What a worker's own answers show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerLikeness {
    /// Who.
    pub worker: Address,
    /// Its answers that were selected.
    pub selected: u64,
    /// Of those, without log-probabilities that could be compared, as honest engines' may be.
    pub unsupported: u64,
    /// Of those, with log-probabilities that are false whatever others say.
    pub unlike: u64,
    /// Why the last of them was not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether its engine goes on where a text ends, so that it can audit others; none before it was asked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<bool>,
    /// Its engine refuses requests that ask for log-probabilities: its answers are asked for without, and cannot be audited.
    #[serde(default)]
    pub refuses: bool,
    /// It is not asked about the model any more.
    pub outvoted: bool,
}

/// One step of an answer, compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Compared {
    pub(super) distance: f64,
    /// Of an answer that was asked for at temperature 0.
    pub(super) gap: Option<f64>,
}

/// Who newly differs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct News {
    /// These two.
    pub(super) unlike: Option<[Address; 2]>,
    /// These are not asked any more.
    pub(super) outvoted: Vec<Address>,
}

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) selected: u64,
    pub(super) compared: u64,
    pub(super) failed: u64,
    pub(super) dropped: u64,
    models: BTreeMap<B256, Model>,
}

#[derive(Debug, Default)]
struct Model {
    name: String,
    workers: BTreeMap<Address, Own>,
    /// By the lesser address first.
    pairs: BTreeMap<[Address; 2], VecDeque<Compared>>,
    outvoted: BTreeSet<Address>,
}

#[derive(Debug, Default)]
struct Own {
    selected: u64,
    unsupported: u64,
    unlike: u64,
    reason: Option<String>,
    continues: Option<bool>,
    refuses: bool,
}

/// Steps from which on two workers are judged.
const STEPS_MIN: usize = 24;
/// The newest steps of two workers, which count.
const STEPS_MAX: usize = 64;
/// Thresholds of `docs/market.md` (*Float engines*) for answers of 32 tokens, distance 0.164 and gap 0.024, with a margin for fewer steps: a quarter more, and twice as much.
const THRESHOLDS: Thresholds = Thresholds { distance_max: 0.205, gap_max: 0.048 };
const MODELS_MAX: usize = 64;
const WORKERS_MAX: usize = 64;

impl Book {
    /// A worker's answer was selected: nothing beyond the limits is remembered.
    pub(super) fn select(&mut self, model_id: B256, name: &str, worker: Address) {
        self.selected = self.selected.saturating_add(1);
        if let Some(own) = self.own(model_id, name, worker) {
            own.selected = own.selected.saturating_add(1);
        }
    }

    /// A worker's answer says nothing that could be compared; `is_blamed` if its own bytes show that it is false.
    pub(super) fn refuse(
        &mut self,
        model_id: B256,
        name: &str,
        worker: Address,
        reason: String,
        is_blamed: bool,
    ) -> News {
        let Some(own) = self.own(model_id, name, worker) else { return News::default() };
        let count = if is_blamed { &mut own.unlike } else { &mut own.unsupported };
        *count = count.saturating_add(1);
        own.reason = Some(reason);
        let model = self.models.get_mut(&model_id);
        News { unlike: None, outvoted: model.map(Model::vote).unwrap_or_default() }
    }

    /// Whether a worker's engine goes on where a text ends.
    pub(super) fn mark_continues(&mut self, model_id: B256, name: &str, worker: Address, continues: bool) {
        if let Some(own) = self.own(model_id, name, worker) {
            own.continues = Some(continues);
        }
    }

    /// A worker's engine refused a request that asks for log-probabilities, and answered the same without.
    pub(super) fn mark_refuses(&mut self, model_id: B256, name: &str, worker: Address) {
        if let Some(own) = self.own(model_id, name, worker) {
            own.refuses = true;
        }
    }

    /// Whether that is so.
    pub(super) fn refuses(&self, model_id: B256, worker: Address) -> bool {
        self.known(model_id, worker).is_some_and(|own| own.refuses)
    }

    /// Whether it is known to go on; none before it was asked to.
    pub(super) fn continues(&self, model_id: B256, worker: Address) -> Option<bool> {
        self.known(model_id, worker)?.continues
    }

    /// Workers of a model that cannot audit others; of `whole` answers can who does not go on where a text ends.
    pub(super) fn no_auditors(&self, model_id: B256, whole: bool) -> Vec<Address> {
        let workers = self.models.get(&model_id).into_iter().flat_map(|model| &model.workers);
        let unfit = workers.filter(|(_, own)| own.refuses || !whole && own.continues == Some(false));
        unfit.map(|(worker, _)| *worker).collect()
    }

    fn known(&self, model_id: B256, worker: Address) -> Option<&Own> {
        self.models.get(&model_id)?.workers.get(&worker)
    }

    /// Two workers were compared.
    pub(super) fn compare(
        &mut self,
        model_id: B256,
        name: &str,
        workers: [Address; 2],
        steps: &[Compared],
    ) -> News {
        self.compared = self.compared.saturating_add(1);
        for worker in workers {
            if self.own(model_id, name, worker).is_none() {
                return News::default();
            }
        }
        let Some(model) = self.models.get_mut(&model_id) else { return News::default() };
        let pair = ordered(workers);
        let before = model.verdict(pair);
        let kept = model.pairs.entry(pair).or_default();
        kept.extend(steps);
        let extra = kept.len().saturating_sub(STEPS_MAX);
        kept.drain(..extra);
        let is_new = before != Verdict::Unlike && model.verdict(pair) == Verdict::Unlike;
        News { unlike: is_new.then_some(pair), outvoted: model.vote() }
    }

    /// What an audit says of the answer that it is about, whose steps were compared with another worker's.
    pub(super) fn compared_with(
        &self,
        model_id: B256,
        workers: [Address; 2],
        with: Address,
        whole: bool,
        steps: &[Compared],
    ) -> Option<StreamAudit> {
        let verdict = self.models.get(&model_id).map(|model| model.verdict(ordered(workers)));
        Some(StreamAudit::Compared {
            with,
            whole,
            places: steps.len(),
            distance: mean(steps.iter().map(|step| step.distance))?,
            gap: mean(steps.iter().filter_map(|step| step.gap)),
            verdict: verdict.unwrap_or(Verdict::Undecided),
        })
    }

    /// The asks of workers that are not outvoted.
    pub(super) fn asked<'a>(&self, offered: &'a Offered) -> Cow<'a, [TokenAsk]> {
        match self.models.get(&offered.model_id) {
            Some(model) if !model.outvoted.is_empty() => {
                let stays = |ask: &&TokenAsk| !model.outvoted.contains(&ask.worker);
                Cow::Owned(offered.asks.iter().filter(stays).cloned().collect())
            }
            _ => Cow::Borrowed(&offered.asks),
        }
    }

    /// Names of models that a worker is not asked about.
    pub(super) fn outvoted(&self, worker: Address) -> Vec<&str> {
        let models = self.models.values().filter(|model| model.outvoted.contains(&worker));
        models.map(|model| model.name.as_str()).collect()
    }

    pub(super) fn view(&self, rate: f64) -> LikenessView {
        let models = self.models.iter().map(|(model_id, model)| model.view(*model_id)).collect();
        let Self { selected, compared, failed, dropped, .. } = *self;
        LikenessView { rate, selected, compared, failed, dropped, models }
    }

    fn own(&mut self, model_id: B256, name: &str, worker: Address) -> Option<&mut Own> {
        if self.models.len() >= MODELS_MAX && !self.models.contains_key(&model_id) {
            return None;
        }
        let model = self.models.entry(model_id).or_default();
        if model.workers.len() >= WORKERS_MAX && !model.workers.contains_key(&worker) {
            return None;
        }
        name.clone_into(&mut model.name);
        Some(model.workers.entry(worker).or_default())
    }
}

impl Model {
    fn verdict(&self, pair: [Address; 2]) -> Verdict {
        self.pairs.get(&pair).map_or(Verdict::Undecided, judge)
    }

    /// Those who are outvoted now and were not.
    fn vote(&mut self) -> Vec<Address> {
        let standing: Vec<Address> =
            self.workers.keys().filter(|worker| !self.outvoted.contains(*worker)).copied().collect();
        let found: Vec<Address> =
            standing.iter().filter(|worker| self.is_outvoted(**worker, &standing)).copied().collect();
        self.outvoted.extend(&found);
        found
    }

    fn is_outvoted(&self, worker: Address, standing: &[Address]) -> bool {
        let is_false = self.workers.get(&worker).is_some_and(|own| own.unlike > 0);
        let verdict = |other: Address| self.verdict(ordered([worker, other]));
        let others = || standing.iter().copied().filter(move |other| *other != worker);
        // Its own answers show that it is false: it is unlike everybody.
        let unlike: Vec<Address> =
            others().filter(|other| is_false || verdict(*other) == Verdict::Unlike).collect();
        let alike = |one: &Address| {
            let among = unlike.iter().filter(|other| *other != one);
            among.filter(|other| self.verdict(ordered([*one, **other])) == Verdict::Alike).count()
        };
        let against = unlike.iter().map(alike).max().unwrap_or(0);
        let known = |other: &Address| self.pairs.contains_key(&ordered([worker, *other]));
        let for_it = others().filter(|other| !unlike.contains(other) && known(other)).count();
        // Both counts leave out one: whom the others are alike to, and the worker itself.
        against > 0 && against > for_it
    }

    fn view(&self, model_id: B256) -> ModelLikeness {
        let pairs = self.pairs.iter().filter_map(|(workers, steps)| {
            let Likeness { distance, .. } = means(steps)?;
            let (workers, verdict) = (*workers, judge(steps));
            Some(PairLikeness { workers, steps: steps.len(), distance, gap: gap(steps), verdict })
        });
        let workers = self.workers.iter().map(|(worker, own)| WorkerLikeness {
            worker: *worker,
            selected: own.selected,
            unsupported: own.unsupported,
            unlike: own.unlike,
            reason: own.reason.clone(),
            continues: own.continues,
            refuses: own.refuses,
            outvoted: self.outvoted.contains(worker),
        });
        ModelLikeness {
            model: self.name.clone(),
            model_id,
            pairs: pairs.collect(),
            workers: workers.collect(),
        }
    }
}

fn ordered([one, other]: [Address; 2]) -> [Address; 2] {
    if one <= other { [one, other] } else { [other, one] }
}

fn judge(steps: &VecDeque<Compared>) -> Verdict {
    match means(steps) {
        Some(likeness) if steps.len() >= STEPS_MIN => match likeness.passes(THRESHOLDS) {
            true => Verdict::Alike,
            false => Verdict::Unlike,
        },
        _ => Verdict::Undecided,
    }
}

/// Both means; a gap over too few steps of temperature 0 counts for nothing.
fn means(steps: &VecDeque<Compared>) -> Option<Likeness> {
    let distance = mean(steps.iter().map(|step| step.distance))?;
    let is_enough = steps.iter().filter(|step| step.gap.is_some()).count() >= STEPS_MIN;
    Some(Likeness { distance, gap: gap(steps).filter(|_| is_enough).unwrap_or(0.0) })
}

fn gap(steps: &VecDeque<Compared>) -> Option<f64> {
    mean(steps.iter().filter_map(|step| step.gap))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: B256 = B256::repeat_byte(7);

    fn who(number: u8) -> Address {
        Address::repeat_byte(number)
    }

    fn steps(distance: f64, gap: Option<f64>, count: usize) -> Vec<Compared> {
        vec![Compared { distance, gap }; count]
    }

    fn compare(book: &mut Book, one: u8, other: u8, distance: f64) -> News {
        book.compare(MODEL, "talk", [who(one), who(other)], &steps(distance, None, STEPS_MIN))
    }

    #[test]
    fn two_are_judged_from_so_many_steps_on_and_by_the_newest() {
        let mut book = Book::default();
        let mut add = |distance, gap, count| {
            book.compare(MODEL, "talk", [who(2), who(1)], &steps(distance, gap, count));
            let pair = book.view(0.0).models[0].pairs[0];
            assert_eq!(pair.workers, [who(1), who(2)]);
            (pair.steps, pair.verdict)
        };
        assert_eq!(add(9.0, None, STEPS_MIN - 1), (23, Verdict::Undecided));
        assert_eq!(add(9.0, None, 1), (24, Verdict::Unlike));
        assert_eq!(add(0.1, None, STEPS_MAX), (64, Verdict::Alike));
        // What was drawn has no gap, and too few steps of the others none that counts.
        assert_eq!(add(0.1, Some(1.0), STEPS_MIN - 1), (64, Verdict::Alike));
        assert_eq!(add(0.1, Some(1.0), 1), (64, Verdict::Unlike));
    }

    #[test]
    fn of_two_that_differ_neither_is_outvoted() {
        let mut book = Book::default();
        let news = compare(&mut book, 1, 2, 2.0);
        assert_eq!(news, News { unlike: Some([who(1), who(2)]), outvoted: Vec::new() });
        assert_eq!(compare(&mut book, 1, 2, 2.0), News::default());
    }

    #[test]
    fn one_that_differs_from_two_that_are_alike_is_outvoted() {
        let mut book = Book::default();
        compare(&mut book, 1, 2, 0.1);
        assert!(compare(&mut book, 1, 3, 2.0).outvoted.is_empty());
        assert_eq!(compare(&mut book, 2, 3, 2.0).outvoted, [who(3)]);
        assert_eq!(book.outvoted(who(3)), ["talk"]);
        assert!(book.outvoted(who(1)).is_empty());
        assert_eq!(book.view(0.0).models[0].workers.iter().filter(|own| own.outvoted).count(), 1);
    }

    #[test]
    fn two_that_agree_do_not_outvote_who_has_friends() {
        let mut book = Book::default();
        // 4 and 5 run something else.
        compare(&mut book, 4, 5, 0.1);
        // Of 2 it is not known yet whether it is like 1.
        book.compare(MODEL, "talk", [who(1), who(2)], &steps(0.1, None, 1));
        for honest in 1..=3 {
            for other in 4..=5 {
                let news = compare(&mut book, honest, other, 2.0);
                let is_alone = honest == 3 && other == 5;
                assert_eq!(news.outvoted.len(), usize::from(is_alone), "{honest} {other}");
            }
        }
    }

    #[test]
    fn most_of_those_that_were_compared_decide() {
        let mut book = Book::default();
        for (one, other) in [(1, 2), (1, 3), (2, 3), (4, 5)] {
            compare(&mut book, one, other, 0.1);
        }
        let mut outvoted = Vec::new();
        for honest in 1..=3 {
            for other in 4..=5 {
                outvoted.extend(compare(&mut book, honest, other, 2.0).outvoted);
            }
        }
        outvoted.sort();
        assert_eq!(outvoted, [who(4), who(5)]);
    }

    #[test]
    fn who_is_false_by_its_own_words_is_outvoted_by_any_two_that_are_alike() {
        let mut book = Book::default();
        let refuse = |book: &mut Book, is_blamed| {
            book.refuse(MODEL, "talk", who(3), "why".to_owned(), is_blamed).outvoted
        };
        assert!(refuse(&mut book, true).is_empty());
        compare(&mut book, 4, 5, 1.0);
        assert_eq!(compare(&mut book, 1, 2, 0.1).outvoted, [who(3)]);
        let mut book = Book::default();
        compare(&mut book, 1, 2, 0.1);
        assert!(refuse(&mut book, false).is_empty());
        let own = book.view(0.0).models[0].workers[2].clone();
        assert_eq!((own.unsupported, own.unlike, own.reason.as_deref()), (1, 0, Some("why")));
    }

    #[test]
    fn who_cannot_audit_others_is_remembered() {
        let mut book = Book::default();
        assert_eq!((book.continues(MODEL, who(1)), book.refuses(MODEL, who(1))), (None, false));
        book.mark_continues(MODEL, "talk", who(1), false);
        book.mark_continues(MODEL, "talk", who(2), true);
        book.mark_refuses(MODEL, "talk", who(3));
        assert_eq!(book.no_auditors(MODEL, false), [who(1), who(3)]);
        assert_eq!(book.no_auditors(MODEL, true), [who(3)]);
        assert_eq!((book.continues(MODEL, who(2)), book.refuses(MODEL, who(3))), (Some(true), true));
        assert!(book.no_auditors(B256::ZERO, false).is_empty());
    }

    #[test]
    fn what_is_remembered_has_limits() {
        let mut book = Book::default();
        for model in 0..200_u8 {
            for worker in 0..100 {
                book.select(B256::repeat_byte(model), "talk", who(worker));
            }
        }
        compare(&mut book, 200, 201, 0.1);
        let view = book.view(0.0);
        assert_eq!(view.models.len(), MODELS_MAX);
        assert!(view.models.iter().all(|model| model.workers.len() == WORKERS_MAX && model.pairs.is_empty()));
        assert_eq!(view.selected, 20_000);
    }
}
