//! Hidden questions: what makes an encrypted answer more than its worker's word.
//!
//! A canary is a question with a row of the gateway's own ([`random_row`]), and nothing of the user's. It is a real,
//! paid job in every respect, under encryption like the user's, so that its worker cannot tell it from them. Its true answer comes from a
//! proof: the same row is asked in another job, `sealed` and `proved`, of any worker that does that. An answer that is not the proved one is a false
//! answer under its worker's signature ([`crate::fraud`]).
//!
//! # Which row
//! Whoever proves a row sees it, and a worker that knows the rows it will be compared on can answer those rightly and all others wrongly,
//! encrypted or not. So a row is used with a worker only as long as that worker has not seen it:
//!
//! - where another worker proves, a row that it proved before: the answer is compared at once, and paid only if it is right;
//! - otherwise a fresh row: answered and paid as any question is, and only then proved and compared (an *open* canary). A wrong answer has
//!   cost one price then.
//!
//! # When
//! A worker's first question about a model is a canary, judged before the user's row leaves this machine. From then on a canary goes along with a question
//! at the chosen rate `r`, before it with probability `1 / (1 + r)`, otherwise after it: so the first job of a question and the second, if there is one,
//! are canaries with the same probability `r / (1 + r)`, whatever the worker sees. Open canaries are proved once both are answered, since
//! the proof tells that there was one. The user is given no answer before its canary is judged.
//!
//! # Soundness
//! A worker that answers a job wrongly without knowing what it is is caught with probability `r / (1 + r)` each time. Not so if it is in
//! league with whoever proved the row before. Exact encryption fails with the probability that `specs/0004-encrypted.md` states; so rarely is an honest
//! worker taken for a false one.
//!
//! An *approximate* answer is right if it is as near to the proved one as the worker's offer promises (`specs/0005-circuits.md`): a worker that keeps
//! within that is not caught, whatever it does. An offer that promises so little that proved answers to different rows would pass for each other is
//! refused before the user's row is sent.

use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::Address;
use rand::RngCore;
use tacit_abi::{Evidence, Privacy};
use tacit_encrypt::{Approximation, Closeness};
use tacit_graph::{Columns, Feature, Graph, RawValue, columns::Content};
use tacit_verify::VerifyingModel;
use tacit_wire::{Amount, JobId};

use crate::{
    ask::{Asked, Question, WORKERS_TRIED_MAX, fingerprint},
    error::GatewayError,
    gateway::Gateway,
    input::Input,
    keys::EncryptedTerms,
    market::Offer,
    store::{Canaries, JobRecord, JobState, KnownRow, Purpose},
};

/// How questions are hidden among a user's.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "what decides about hidden questions is nobody's business")]
pub struct CanaryPolicy {
    /// How many go along with a question.
    pub rate: CanaryRate,
    /// Proved rows that a worker has not seen, to choose among; more are proved, one for each canary, until there are so many.
    pub rows: usize,
    /// Decides. Whoever foresees it foresees canaries.
    pub dice: Arc<dyn Dice>,
}

/// Canaries for each question, from none to one.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct CanaryRate(f64);

/// A source of randomness.
pub trait Dice: Send + Sync + 'static {
    /// A number, uniform and unforeseeable.
    fn roll(&self) -> u64;
}

/// Randomness from the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDice;

/// Randomness that can be had again; for tests.
#[derive(Debug)]
pub struct SeededDice(Mutex<rand::rngs::StdRng>);

/// Where a canary goes that accompanies a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// There is none.
    Nowhere,
    /// Before the question.
    Before,
    /// After it.
    After,
}

/// Rate when nobody says which: one canary for four questions.
pub const RATE_DEFAULT: CanaryRate = CanaryRate(0.25);
/// Rows when nobody says how many.
pub const ROWS_DEFAULT: usize = 4;

/// Proved rows looked at for one canary.
const ROWS_MAX: usize = 4096;
/// Proved answers that are compared with each other before an approximate offer is trusted to tell answers apart, at least and at most.
const COMPARED_MIN: usize = 3;
const COMPARED_MAX: usize = 16;

impl Default for CanaryPolicy {
    fn default() -> Self {
        Self { rate: RATE_DEFAULT, rows: ROWS_DEFAULT, dice: Arc::new(SystemDice) }
    }
}

impl CanaryRate {
    /// A rate from 0 to 1; nothing else is one.
    #[must_use]
    pub fn new(rate: f64) -> Option<Self> {
        (0.0..=1.0).contains(&rate).then_some(Self(rate))
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Where a roll of the dice puts the canary of one question (see *When* in the module header).
    #[must_use]
    pub fn place(self, roll: u64) -> Place {
        // 53 bits: every such number is a float.
        let uniform = (roll >> 11) as f64 / (1u64 << 53) as f64;
        if uniform < self.0 / (1.0 + self.0) {
            Place::Before
        } else if uniform < self.0 {
            Place::After
        } else {
            Place::Nowhere
        }
    }
}

impl Dice for SystemDice {
    fn roll(&self) -> u64 {
        rand::rng().next_u64()
    }
}

impl SeededDice {
    /// The same dice for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(rand::SeedableRng::seed_from_u64(seed)))
    }
}

impl Dice for SeededDice {
    fn roll(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }
}

/// A row of raw values whose encoding is uniform in what each feature's encoder gives; of a column that has kinds, it is of one kind.
pub fn random_row(graph: &Graph, dice: &dyn Dice) -> Vec<i64> {
    let value = |feature| random_value(feature, graph.input_bits, dice);
    let mut row: Vec<i64> = graph.features.iter().map(value).collect();
    let columns = Columns::new(&graph.features);
    for column in columns.iter().flat_map(Columns::as_slice) {
        let Content::Kinds(kinds) = &column.content else { continue };
        let chosen = usize::try_from(dice.roll()).unwrap_or(0).checked_rem(kinds.len());
        for (number, (_, feature)) in kinds.iter().enumerate() {
            if let Some(value) = row.get_mut(*feature) {
                *value = RawValue::from(i32::from(chosen == Some(number))).get();
            }
        }
    }
    row
}

fn random_value(feature: &Feature, bits: u8, dice: &dyn Dice) -> i64 {
    let encode = |raw: i64| feature.encode(raw, bits);
    let (first, last) = (encode(i64::MIN), encode(i64::MAX));
    let (lowest, highest) = (first.min(last), first.max(last));
    let count = u64::try_from(i64::from(highest) - i64::from(lowest)).unwrap_or(0) + 1;
    // At most 2^16 values: the bias of a remainder of 64 random bits is under 2^-48.
    let target = i64::from(lowest) + i64::try_from(dice.roll() % count).unwrap_or(0);
    // Encoders are monotonic: the first raw value that has reached the target, or, for the end where it begins, the last one before the next.
    let reached = |goal: i64| {
        first_where(|raw| {
            let encoded = i64::from(encode(raw));
            if first <= last { encoded >= goal } else { encoded <= goal }
        })
    };
    if lowest == highest {
        0
    } else if target == i64::from(first) {
        reached(target + if first <= last { 1 } else { -1 }).saturating_sub(1)
    } else {
        reached(target)
    }
}

/// The least number for which a condition holds that holds for all after it; the greatest there is if it holds for none.
fn first_where(holds: impl Fn(i64) -> bool) -> i64 {
    let (mut low, mut high) = (i64::MIN, i64::MAX);
    while low < high {
        // The mean, rounded down, without overflow.
        let middle = (low & high) + ((low ^ high) >> 1);
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// A row to ask about, and the job that proved its answer, if one did.
struct Row {
    values: Vec<i64>,
    known: Option<JobId>,
}

/// The hidden questions that go with one question to one worker.
struct Audit<'a> {
    gateway: &'a Gateway,
    question: &'a Question<'a>,
    offer: &'a Offer,
    model: &'a VerifyingModel,
    encrypted: &'a EncryptedTerms,
    /// Whoever proves the model: the worker itself last, the others cheapest first.
    provers: Vec<Offer>,
    left: Amount,
    spent: Amount,
}

impl Gateway {
    /// Asks a question whose answer is audited, with the canaries that belong to it.
    pub(crate) async fn ask_audited(
        &self,
        question: &Question<'_>,
        offer: &Offer,
        model: &VerifyingModel,
        values: &[i64],
        encrypted: &EncryptedTerms,
    ) -> Result<Asked, GatewayError> {
        // One at a time: which canary belongs to which question, and whether the last was right, is known before the next is asked.
        let turn = self.audit_turn(offer.worker);
        let _alone = turn.lock().await;
        let mut audit = Audit::begin(self, question, offer, model, encrypted).await?;
        let place = self.canaries.rate.place(self.canaries.dice.roll());
        let canaries = audit.state()?;
        audit.check_budget(&canaries, true)?;
        audit.settle(&canaries).await?;
        if audit.state()?.right_in_row == 0 {
            audit.ask_canary().await?;
            audit.judge_open().await?;
        }
        if place == Place::Before {
            audit.ask_canary().await?;
        }
        audit.check_telling().await?;
        let purpose = Purpose::Question { then_canary: place == Place::After };
        let question = Question { purpose, ..*question };
        let delivery = self.ask_over_channel(&question, offer, model, values, Some(encrypted)).await?;
        audit.conclude(place).await.map_err(|error| kept_back(offer.worker, error))?;
        Ok(Asked { delivery, spent: audit.spent })
    }

    /// Before the answer to a question that was asked earlier is given out: asks and judges what belongs to it. What was spent on that.
    pub(crate) async fn settle_audit(
        &self,
        question: &Question<'_>,
        job: &JobRecord,
    ) -> Result<Amount, GatewayError> {
        let worker = job.request.header.worker;
        let turn = self.audit_turn(worker);
        let _alone = turn.lock().await;
        if let Some(distrust) = self.store.distrust(worker)? {
            return Err(GatewayError::Distrusted { worker, reason: distrust.message });
        }
        let canaries = self.store.canaries(worker, question.model_id)?;
        if canaries.due.is_none() && canaries.open.is_empty() {
            return Ok(Amount::ZERO);
        }
        let (privacy, evidence) = (question.privacy, question.evidence);
        let (_, offers) = self.offers(question.model, question.model_id, privacy, evidence).await?;
        let offer = offers.into_iter().find(|offer| offer.worker == worker);
        let offer = offer.ok_or(GatewayError::NoAsk { privacy, evidence })?;
        let model = self.known_model(question.model_id, &offer).await?;
        let terms = self.encrypted_terms(question.model_id, &model, &offer).await?;
        let mut audit = Audit::begin(self, question, &offer, &model, &terms).await?;
        let canaries = audit.state()?;
        audit.check_budget(&canaries, false)?;
        audit.settle(&canaries).await.map_err(|error| kept_back(worker, error))?;
        Ok(audit.spent)
    }
}

/// Why the answer to a question that was asked is kept back. It is not asked of anybody else.
fn kept_back(worker: Address, error: GatewayError) -> GatewayError {
    match error {
        caught @ (GatewayError::Rejected { .. }
        | GatewayError::WrongCanary { .. }
        | GatewayError::Distrusted { .. }
        | GatewayError::NotJudged { .. }) => caught,
        error => GatewayError::NotJudged { worker, source: Box::new(error) },
    }
}

impl<'a> Audit<'a> {
    async fn begin(
        gateway: &'a Gateway,
        question: &'a Question<'a>,
        offer: &'a Offer,
        model: &'a VerifyingModel,
        encrypted: &'a EncryptedTerms,
    ) -> Result<Self, GatewayError> {
        // What a crash interrupted may be a canary.
        gateway.finish_with(offer.worker).await?;
        if let Some(distrust) = gateway.store.distrust(offer.worker)? {
            return Err(GatewayError::Distrusted { worker: offer.worker, reason: distrust.message });
        }
        let mode = (Privacy::Sealed, Evidence::Proved);
        let (_, offers) = gateway.offers(question.model, question.model_id, mode.0, mode.1).await?;
        let mut provers = Vec::new();
        for prover in offers {
            if gateway.store.distrust(prover.worker)?.is_none() && prover.price <= question.max_price {
                provers.push(prover);
            }
        }
        provers.sort_by_key(|prover| prover.worker == offer.worker);
        if provers.is_empty() {
            return Err(GatewayError::NobodyProves);
        }
        let left = question.max_price.checked_sub(offer.price).unwrap_or(Amount::ZERO);
        let spent = Amount::ZERO;
        Ok(Self { gateway, question, offer, model, encrypted, provers, left, spent })
    }

    fn state(&self) -> Result<Canaries, GatewayError> {
        Ok(self.gateway.store.canaries(self.offer.worker, self.question.model_id)?)
    }

    /// Refuses, before anything is sent, what could cost more than the user allows once every canary is asked that may have to be.
    fn check_budget(&self, canaries: &Canaries, asking: bool) -> Result<(), GatewayError> {
        let first = canaries.right_in_row == 0 || canaries.due.is_some();
        let along = asking && self.gateway.canaries.rate.get() > 0.0;
        let asked = u128::from(first) + u128::from(along);
        let open = canaries.open.len().saturating_add(if asking { self.rows_to_compare()? } else { 0 });
        let open = u128::try_from(open).unwrap_or(u128::MAX);
        let proof = self.provers.iter().map(|prover| prover.price).min().unwrap_or(Amount::ZERO);
        let total = || {
            let canaries = self.offer.price.0.checked_mul(asked)?;
            let proofs = proof.0.checked_mul(asked.checked_add(open)?)?;
            self.offer.price.0.checked_add(canaries)?.checked_add(proofs).map(Amount)
        };
        let (price, max_price) = (self.offer.price, self.question.max_price);
        let in_all = total().ok_or(GatewayError::Overflow)?;
        if in_all > max_price {
            return Err(GatewayError::AuditTooExpensive { price, in_all, max_price });
        }
        Ok(())
    }

    fn spend(&mut self, price: Amount) {
        self.left = self.left.checked_sub(price).unwrap_or(Amount::ZERO);
        self.spent = self.spent.checked_add(price).unwrap_or(self.spent);
    }

    fn may_spend(&self, price: Amount) -> Result<(), GatewayError> {
        if price <= self.left {
            return Ok(());
        }
        let (max_price, spent) = (self.question.max_price, self.spent);
        let in_all = [self.offer.price, spent, price].into_iter().try_fold(Amount::ZERO, Amount::checked_add);
        let in_all = in_all.ok_or(GatewayError::Overflow)?;
        Err(GatewayError::AuditTooExpensive { price: self.offer.price, in_all, max_price })
    }

    /// Asks and judges what an earlier question left behind.
    async fn settle(&mut self, canaries: &Canaries) -> Result<(), GatewayError> {
        self.judge_open().await?;
        if canaries.due.is_some() {
            self.ask_canary().await?;
            self.judge_open().await?;
        }
        Ok(())
    }

    /// What comes after the question.
    async fn conclude(&mut self, place: Place) -> Result<(), GatewayError> {
        if place == Place::After {
            self.ask_canary().await?;
        }
        self.judge_open().await
    }

    /// Rows that have to be proved until it can be said whether the tolerance of an approximate offer tells answers apart.
    fn rows_to_compare(&self) -> Result<usize, GatewayError> {
        if self.encrypted.offer.closeness() == Closeness::Exact {
            return Ok(0);
        }
        let known = self.gateway.store.known_rows(self.question.model_id, COMPARED_MIN)?.len();
        Ok(COMPARED_MIN.saturating_sub(known))
    }

    /// Refuses an approximate offer with a tolerance so wide that proved answers to different rows pass for each other.
    async fn check_telling(&mut self) -> Result<(), GatewayError> {
        let closeness = self.encrypted.offer.closeness();
        let Closeness::Approximate(Approximation { tolerance, .. }) = closeness else { return Ok(()) };
        for _ in 0..self.rows_to_compare()? {
            let fresh = random_row(self.model.graph(), self.gateway.canaries.dice.as_ref());
            let first = JobId::random();
            self.prove_row(&fresh, None, |attempt| nth(first, attempt)).await?;
        }
        let store = &self.gateway.store;
        let mut outputs: Vec<Vec<i32>> = Vec::new();
        for row in store.known_rows(self.question.model_id, COMPARED_MAX)? {
            outputs.extend(store.answer(row.job_id)?.map(|answer| answer.output));
        }
        let (mut pairs, mut alike) = (0_usize, 0_usize);
        for (index, one) in outputs.iter().enumerate() {
            for other in outputs.iter().skip(index + 1) {
                pairs += 1;
                alike += usize::from(closeness.admits(one, other));
            }
        }
        // Some rows have nearly the same answer.
        if alike * 4 > pairs * 3 {
            return Err(GatewayError::Vague { worker: self.offer.worker, tolerance });
        }
        Ok(())
    }

    /// Asks one canary. One with a known row is judged with that.
    async fn ask_canary(&mut self) -> Result<(), GatewayError> {
        self.may_spend(self.offer.price)?;
        let Row { values, known } = self.choose_row().await?;
        let (privacy, evidence) = (self.question.privacy, self.question.evidence);
        let canary = Question {
            fingerprint: fingerprint(self.question.model, privacy, evidence, &Input::from_raw(&values)),
            job_id: JobId::random(),
            purpose: Purpose::Canary { known },
            ..*self.question
        };
        let encrypted = Some(self.encrypted);
        self.gateway.ask_over_channel(&canary, self.offer, self.model, &values, encrypted).await?;
        self.spend(self.offer.price);
        Ok(())
    }

    /// A row that the worker has not seen: one that was proved by others, or a fresh one.
    async fn choose_row(&mut self) -> Result<Row, GatewayError> {
        let CanaryPolicy { rows, dice, .. } = &self.gateway.canaries;
        let mut unseen = self.unseen()?;
        let others = self.provers.first().is_some_and(|prover| prover.worker != self.offer.worker);
        if unseen.len() < *rows && others {
            let fresh = random_row(self.model.graph(), dice.as_ref());
            let first = JobId::random();
            match self.prove_row(&fresh, Some(self.offer.worker), |attempt| nth(first, attempt)).await {
                Ok(_) => unseen = self.unseen()?,
                // There are other rows, and if there are none, the worker itself proves one afterwards.
                Err(error) => tracing::warn!(%error, "a row for hidden questions is not proved"),
            }
        }
        if unseen.is_empty() {
            return Ok(Row { values: random_row(self.model.graph(), dice.as_ref()), known: None });
        }
        let index = usize::try_from(dice.roll()).unwrap_or(0).checked_rem(unseen.len()).unwrap_or(0);
        let KnownRow { job_id, .. } = *unseen.get(index).ok_or(GatewayError::Internal)?;
        let proved = self.gateway.store.job(job_id)?.ok_or(GatewayError::Internal)?;
        Ok(Row { values: proved.values, known: Some(job_id) })
    }

    fn unseen(&self) -> Result<Vec<KnownRow>, GatewayError> {
        let mut rows = self.gateway.store.known_rows(self.question.model_id, ROWS_MAX)?;
        rows.retain(|row| row.prover != self.offer.worker);
        Ok(rows)
    }

    /// Has the rows of open canaries proved, and compares.
    async fn judge_open(&mut self) -> Result<(), GatewayError> {
        for canary in self.state()?.open {
            self.judge(canary).await?;
        }
        Ok(())
    }

    async fn judge(&mut self, canary: JobId) -> Result<(), GatewayError> {
        let store = &self.gateway.store;
        let job = store.job(canary)?.ok_or(GatewayError::Internal)?;
        let answered = store.answer(canary)?.ok_or(GatewayError::Internal)?;
        let question = job.encrypted.as_ref().ok_or(GatewayError::Internal)?;
        let worker = self.offer.worker;
        let not_judged = |source| GatewayError::NotJudged { worker, source: Box::new(source) };
        // Ids that follow from the canary's secret: a proof that a crash interrupted is found again and not paid twice.
        let proof = self.prove_row(&job.values, None, |attempt| question.proof_job(attempt)).await;
        let proof = proof.map_err(not_judged)?;
        let truth = store.answer(proof)?.ok_or(GatewayError::Internal)?;
        let agrees = question.agrees(self.model.graph(), &truth.output, &answered.output);
        if agrees.map_err(|_| GatewayError::Internal)? {
            store.put_judged_right(&job)?;
            return Ok(());
        }
        let caught = GatewayError::WrongCanary { worker, job_id: canary };
        store.put_judged_wrong(&job, proof, WRONG_CANARY, &caught.to_string())?;
        Err(caught)
    }

    /// A job that proved the answer to a row. `avoid` is not asked; the ids are tried in their order.
    async fn prove_row(
        &mut self,
        row: &[i64],
        avoid: Option<Address>,
        job_id: impl Fn(u32) -> JobId,
    ) -> Result<JobId, GatewayError> {
        let mut failure = GatewayError::NobodyProves;
        let (privacy, evidence) = (Privacy::Sealed, Evidence::Proved);
        let ids = (0..).map(job_id).take(WORKERS_TRIED_MAX);
        for job_id in ids {
            let proof = Question {
                privacy,
                evidence,
                fingerprint: fingerprint(self.question.model, privacy, evidence, &Input::from_raw(row)),
                job_id,
                purpose: Purpose::KnownRow { audited: self.offer.worker },
                ..*self.question
            };
            let trusted = |prover: &&Offer| {
                Some(prover.worker) != avoid && matches!(self.gateway.store.distrust(prover.worker), Ok(None))
            };
            let provers: Vec<Offer> = self.provers.iter().filter(trusted).cloned().collect();
            let before = self.gateway.store.job(job_id)?.map(|job| job.state);
            if before != Some(JobState::Signed)
                && let Some(cheapest) = provers.iter().map(|prover| prover.price).min()
            {
                self.may_spend(cheapest)?;
            }
            let affordable: Vec<Offer> =
                provers.into_iter().filter(|prover| prover.price <= self.left).collect();
            match self.gateway.ask_plainly(&proof, row, &affordable).await {
                Ok(_) => {
                    let job = self.gateway.store.job(job_id)?.ok_or(GatewayError::Internal)?;
                    if before != Some(JobState::Signed) {
                        self.spend(job.request.header.price);
                    }
                    return Ok(job_id);
                }
                // That prover is caught, and the id is spent.
                Err(error @ (GatewayError::Rejected { .. } | GatewayError::FailedBefore { .. })) => {
                    failure = error;
                }
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }
}

/// Stable code of a false answer to a canary.
pub(crate) const WRONG_CANARY: &str = "wrong_canary";

fn nth(first: JobId, attempt: u32) -> JobId {
    if attempt == 0 { first } else { JobId::random() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(offset: i64, multiplier: i32, shift: u8, steps: Vec<i64>) -> Feature {
        Feature { name: String::new(), offset, multiplier, shift, steps }
    }

    /// Shows each number once.
    struct Counter(Mutex<u64>);

    impl Dice for Counter {
        fn roll(&self) -> u64 {
            let mut next = self.0.lock().unwrap();
            *next += 1;
            *next - 1
        }
    }

    #[test]
    fn a_random_row_reaches_everything_that_an_encoder_gives_and_nothing_twice() {
        let steps: Vec<i64> = vec![-70 << 24, -5, 0, 3 << 24, i64::MAX];
        for (feature, bits, values) in [
            (feature(0, 1, 24, vec![]), 8, 256),
            (feature(-3 << 24, 77, 27, vec![]), 8, 256),
            (feature(12, -77, 27, vec![]), 5, 32),
            (feature(i64::MAX, i32::MAX, 0, vec![]), 2, 4),
            (feature(0, 0, 0, vec![]), 8, 1),
            (feature(0, 0, 0, steps.clone()), 8, 6),
            (feature(0, 0, 0, vec![7]), 4, 2),
        ] {
            let dice = Counter(Mutex::new(0));
            let mut reached: Vec<i16> =
                (0..values).map(|_| feature.encode(random_value(&feature, bits, &dice), bits)).collect();
            reached.sort_unstable();
            reached.dedup();
            let expected = if feature.multiplier == i32::MAX { 2..=4 } else { values..=values };
            assert!(expected.contains(&reached.len()), "{feature:?}: {} of {values}", reached.len());
        }
    }

    #[test]
    fn a_random_row_is_of_one_kind_in_each_column() {
        let mut graph = tacit_graph::synthetic_mlp(&[6, 2], 1).unwrap().graph().clone();
        for (feature, name) in graph.features.iter_mut().zip(["age", "a=x", "a=y", "b=x", "a=z", "b=y"]) {
            feature.name = name.to_owned();
        }
        let dice = SeededDice::new(7);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..64 {
            let row = random_row(&graph, &dice);
            let one = 1 << 24;
            for kinds in [[1, 2, 4].as_slice(), &[3, 5]] {
                let hot: Vec<_> = kinds.iter().filter(|feature| row[**feature] == one).collect();
                assert!(hot.len() == 1 && kinds.iter().all(|feature| [0, one].contains(&row[*feature])));
                seen.insert(*hot[0]);
            }
        }
        assert_eq!(seen.len(), 5);
    }

    /// A worker that cheats on the first job that it sees, or on the second, gains nothing by choosing.
    #[test]
    fn whatever_job_it_is_the_canary_is_as_likely() {
        let dice = SeededDice::new(1);
        for rate in [0.1, 0.25, 0.5, 1.0] {
            let rate = CanaryRate::new(rate).unwrap();
            let questions = 200_000_u32;
            let places: Vec<Place> = (0..questions).map(|_| rate.place(dice.roll())).collect();
            let count = |place| places.iter().filter(|other| **other == place).count() as f64;
            let (before, after) = (count(Place::Before), count(Place::After));
            let expected = rate.get() / (1.0 + rate.get());
            let (first, second) = (before / f64::from(questions), after / (before + after));
            // Over five deviations of the rarest case.
            assert!((first - expected).abs() < 0.01, "{first} is not {expected}");
            assert!((second - expected).abs() < 0.02, "{second} is not {expected}");
            assert!(((before + after) / f64::from(questions) - rate.get()).abs() < 0.01);
        }
        let never = CanaryRate::new(0.0).unwrap();
        assert!([0, 1, u64::MAX].into_iter().all(|roll| never.place(roll) == Place::Nowhere));
        let always = CanaryRate::new(1.0).unwrap();
        assert_eq!((always.place(0), always.place(u64::MAX)), (Place::Before, Place::After));
        for none in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(CanaryRate::new(none), None);
        }
    }
}
