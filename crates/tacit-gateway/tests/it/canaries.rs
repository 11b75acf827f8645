//! Hidden questions: who answers falsely is caught as often as computed, who answers honestly never is, and nobody can tell them apart.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use alloy_primitives::{Address, B256};
use tacit_abi::{Evidence, Privacy};
use tacit_encrypt::Offer;
use tacit_gateway::{
    AnswerReject, AskAnswer, AskRequest, BundleReject, CanaryPolicy, CanaryRate, FraudBundle, FraudReject,
    Gateway, GatewayError,
    canary::{Dice, Place, SeededDice},
    fraud::{FRAUD_BYTES_MAX, FRAUD_VERSION},
    verify_fraud,
    view::ReceiptKind,
};
use tacit_wire::{Amount, AuditKey, JobHeader, JobId, SealingKey};
use tacit_worker::{Engine, EngineAnswer, EngineError, JobInput, OpenedJob};

use crate::{
    disk::{Death, Disk},
    support::{
        FEATURES, Ledger, PRICE, RunningWorker, WorkerPlan, encrypted_engine, encrypted_question,
        expected_label, gateway_on, gateway_with, honest_encrypted, ledger, linear_model, logits,
        other_linear_model, question, served, wallet,
    },
};

/// Answers encrypted jobs, and falsely those whose number (from one) it is told to; proves honestly unless told otherwise.
struct Faulty {
    wrong: fn(u64) -> bool,
    encrypted: AtomicU64,
    fails: AtomicBool,
    proves_falsely: bool,
    headers: Mutex<Vec<(JobHeader, usize)>>,
}

impl Faulty {
    fn new(wrong: fn(u64) -> bool) -> Arc<Self> {
        let (encrypted, fails) = (AtomicU64::new(0), AtomicBool::new(false));
        Arc::new(Self { wrong, encrypted, fails, proves_falsely: false, headers: Mutex::default() })
    }

    /// Encrypted jobs so far.
    fn encrypted(&self) -> u64 {
        self.encrypted.load(Ordering::SeqCst)
    }
}

impl Engine for Faulty {
    fn answer(&self, job: &OpenedJob) -> Result<EngineAnswer, EngineError> {
        let JobInput::Query { bytes, .. } = &job.input else {
            let mut answer = encrypted_engine(&linear_model()).answer(job)?;
            if self.proves_falsely {
                logits(&mut answer.output)[0] += 1;
            }
            return Ok(answer);
        };
        if self.fails.load(Ordering::SeqCst) {
            return Err(EngineError("not now".into()));
        }
        self.headers.lock().unwrap().push((job.header, bytes.len()));
        let number = self.encrypted.fetch_add(1, Ordering::SeqCst) + 1;
        let model = if (self.wrong)(number) { other_linear_model() } else { linear_model() };
        encrypted_engine(&model).answer(job)
    }

    fn offer(&self) -> Option<&Offer> {
        static OFFER: std::sync::OnceLock<Offer> = std::sync::OnceLock::new();
        Some(OFFER.get_or_init(|| encrypted_engine(&linear_model()).offer().unwrap().clone()))
    }
}

/// Shows one number for ever.
struct Always(u64);

impl Dice for Always {
    fn roll(&self) -> u64 {
        self.0
    }
}

fn policy(rate: f64, dice: impl Dice) -> CanaryPolicy {
    CanaryPolicy { rate: CanaryRate::new(rate).unwrap(), rows: 2, dice: Arc::new(dice) }
}

/// A ledger, the audited worker, and maybe another one that proves.
struct Cast {
    ledger: Ledger,
    audited: RunningWorker,
    prover: Option<RunningWorker>,
}

impl Cast {
    /// The audited worker is the only one that proves.
    async fn alone(engine: Arc<dyn Engine>) -> Self {
        let ledger = ledger(&[1, 2, 3].map(|key| wallet(key).address())).await;
        let models = vec![served(&linear_model(), "linear", engine, PRICE)];
        let audited = WorkerPlan { models, ..WorkerPlan::honest(1) }.start(&ledger.client).await;
        Self { ledger, audited, prover: None }
    }

    /// Another worker proves as well.
    async fn beside(engine: Arc<dyn Engine>, prover: Arc<dyn Engine>) -> Self {
        let mut cast = Self::alone(engine).await;
        let models = vec![served(&linear_model(), "linear", prover, PRICE)];
        let prover = WorkerPlan { models, ..WorkerPlan::honest(3) }.start(&cast.ledger.client).await;
        cast.prover = Some(prover);
        cast
    }

    fn gateway(&self, canaries: CanaryPolicy) -> Arc<Gateway> {
        gateway_with(&self.ledger.client, 2, &Disk::default(), canaries)
    }

    fn vouchered(&self) -> u128 {
        self.audited.worker.earnings().unwrap().vouchered.0
    }
}

fn honest_engine() -> Arc<Faulty> {
    Faulty::new(|_| false)
}

fn audited(seed: u64) -> AskRequest {
    AskRequest {
        evidence: Some(Evidence::Audited),
        worker: Some(wallet(1).address()),
        ..encrypted_question(seed)
    }
}

fn kinds(gateway: &Gateway) -> [usize; 3] {
    let receipts = gateway.receipts().unwrap();
    [ReceiptKind::Question, ReceiptKind::Canary, ReceiptKind::KnownRow]
        .map(|kind| receipts.iter().filter(|receipt| receipt.kind == kind).count())
}

fn right(answer: &AskAnswer, seed: u64) {
    assert_eq!(answer.label, Some(expected_label(&audited(seed))));
    assert_eq!((answer.evidence, answer.verified), (Evidence::Audited, false));
    assert_eq!(answer.canaries_passed, answer.canaries_asked);
    assert!(answer.canaries_passed > 0, "nothing audits it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_worker_passes_every_hidden_question_and_is_paid_for_each() {
    for with_prover in [false, true] {
        let engine = honest_engine();
        let cast = if with_prover {
            Cast::beside(Arc::<Faulty>::clone(&engine) as _, honest_engine()).await
        } else {
            Cast::alone(Arc::<Faulty>::clone(&engine) as _).await
        };
        let gateway = cast.gateway(policy(0.5, SeededDice::new(3)));
        let (mut spent, asked) = (0, 14);
        for seed in 0..asked {
            let answer = gateway.ask(audited(seed)).await.unwrap();
            right(&answer, seed);
            assert!(answer.paid);
            spent += answer.canary_price.0;
        }
        let [questions, canaries, proofs] = kinds(&gateway);
        assert_eq!((questions as u64, (questions + canaries) as u64), (asked, engine.encrypted()));
        assert!((3..12).contains(&canaries), "{canaries}");
        // A row that its worker has proved itself is not used again; others' rows are, once there are two.
        assert_eq!(proofs, if with_prover { 2 } else { canaries });
        assert_eq!(spent, PRICE.0 * (canaries + proofs) as u128);
        let prover = cast.prover.as_ref().map_or(0, |prover| prover.worker.earnings().unwrap().vouchered.0);
        assert_eq!(cast.vouchered() + prover, PRICE.0 * (questions + canaries + proofs) as u128);
        let counted = gateway.store().canaries(wallet(1).address(), linear_id()).unwrap();
        assert_eq!((counted.right, counted.wrong, counted.spent), (canaries as u64, 0, Amount(spent)));
        assert!(gateway.false_answers().unwrap().is_empty());
    }
}

fn linear_id() -> B256 {
    honest_encrypted().model_id()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_sees_no_difference_between_questions_and_canaries() {
    let engine = honest_engine();
    let cast = Cast::alone(Arc::<Faulty>::clone(&engine) as _).await;
    let gateway = cast.gateway(policy(1.0, SeededDice::new(5)));
    for seed in 0..6 {
        gateway.ask(audited(seed)).await.unwrap();
    }
    let seen = engine.headers.lock().unwrap();
    let (first, length) = seen[0];
    let mut ids = Vec::new();
    for (number, (header, query)) in seen.iter().enumerate() {
        let JobHeader { job_id, cumulative, .. } = *header;
        assert_eq!(*header, JobHeader { job_id, cumulative, ..first }, "{number}");
        assert_eq!(
            (header.privacy, header.evidence, *query),
            (Privacy::Encrypted, Evidence::Audited, length)
        );
        // Proofs, which the worker can read, come between; each job costs one price.
        assert_eq!(cumulative.0 % PRICE.0, 0);
        ids.push(job_id);
    }
    let [questions, canaries, _] = kinds(&gateway);
    assert_eq!((questions, canaries, ids.len()), (6, 7, 13));
    // What came back is as long for each, and each was paid alike.
    let lengths: Vec<(u64, Amount)> = ids
        .iter()
        .map(|job_id| {
            let answer = gateway.store().answer(*job_id).unwrap().unwrap();
            (answer.answer_bytes, gateway.receipt(*job_id).unwrap().price)
        })
        .collect();
    assert!(lengths.iter().all(|one| *one == lengths[0]), "{lengths:?}");
    // A canary is at the first place of a question as well as at the second.
    let kind = |job_id: &JobId| gateway.receipt(*job_id).unwrap().kind;
    let pairs: Vec<_> = ids[1..].chunks(2).map(|pair| [kind(&pair[0]), kind(&pair[1])]).collect();
    for order in [[ReceiptKind::Canary, ReceiptKind::Question], [ReceiptKind::Question, ReceiptKind::Canary]]
    {
        assert!(pairs.contains(&order), "{pairs:?}");
    }
}

fn convicts(gateway: &Gateway, worker: Address) -> FraudBundle {
    let listed = gateway.false_answers().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].worker, listed[0].model_id), (worker, linear_id()));
    let bundle = gateway.false_answer(listed[0].job_id).unwrap();
    let file = serde_json::to_vec(&bundle).unwrap();
    let fraud = verify_fraud(&FraudBundle::from_json(&file).unwrap()).unwrap();
    assert_eq!((fraud.worker, fraud.model_id, fraud.security_bits), (worker, linear_id(), 100));
    assert_ne!(bundle.answer.output, bundle.truth.output);
    bundle
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_always_answers_falsely_is_caught_at_once_and_paid_nothing() {
    let engine = Faulty::new(|_| true);
    let cast = Cast::beside(Arc::<Faulty>::clone(&engine) as _, honest_engine()).await;
    let gateway = cast.gateway(CanaryPolicy::default());
    let caught = gateway.ask(audited(1)).await.unwrap_err();
    let GatewayError::Rejected { worker, reject, .. } = &caught else { panic!("{caught:?}") };
    assert_eq!((*worker, &**reject), (wallet(1).address(), &AnswerReject::WrongCanary));
    assert_eq!(caught.body().code, "wrong_canary");
    // The user's row never left.
    assert_eq!((engine.encrypted(), cast.vouchered()), (1, 0));
    assert_eq!(kinds(&gateway), [0, 0, 1]);
    assert!(matches!(gateway.ask(audited(2)).await, Err(GatewayError::Distrusted { .. })));
    assert!(gateway.channels().unwrap().iter().any(|channel| channel.retired && channel.signed.0 == 0));
    convicts(&gateway, wallet(1).address());
    // Somebody honest answers.
    let honest = gateway.ask(AskRequest { worker: None, ..audited(3) }).await.unwrap();
    assert_eq!(honest.worker, wallet(3).address());
    // Forgiven, it is tried again before it is asked anything.
    gateway.forgive(wallet(1).address()).unwrap();
    assert!(matches!(gateway.ask(audited(4)).await, Err(GatewayError::Rejected { .. })));
    assert_eq!((engine.encrypted(), cast.vouchered()), (2, 0));
    let counted = gateway.store().canaries(wallet(1).address(), linear_id()).unwrap();
    assert_eq!((counted.right, counted.wrong), (0, 2));
}

/// Where nobody else proves, a worker that proved its canaries beforehand would know them. So it is asked first, and proves afterwards: a
/// wrong answer then costs one price.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_the_only_one_to_prove_is_asked_first_and_caught_afterwards() {
    let engine = Faulty::new(|_| true);
    let cast = Cast::alone(Arc::<Faulty>::clone(&engine) as _).await;
    let gateway = cast.gateway(CanaryPolicy::default());
    let caught = gateway.ask(audited(1)).await.unwrap_err();
    let GatewayError::WrongCanary { worker, job_id } = &caught else { panic!("{caught:?}") };
    assert_eq!((*worker, caught.body().code.as_str()), (wallet(1).address(), "wrong_canary"));
    assert_eq!(engine.encrypted(), 1);
    // The canary, and the proof that convicts.
    assert_eq!((cast.vouchered(), kinds(&gateway)), (2 * PRICE.0, [0, 1, 1]));
    assert!(matches!(gateway.ask(audited(2)).await, Err(GatewayError::Distrusted { .. })));
    let bundle = convicts(&gateway, wallet(1).address());
    assert_eq!(bundle.answer.receipt.receipt.jobId, job_id.0);
    assert_eq!(bundle.truth.receipt.receipt.worker, wallet(1).address());
}

/// What the dice decide, worked out without a network: the question at which a worker is caught that answers every third job falsely, with
/// the number of its false answers up to there, or neither.
fn foreseen(dice: &dyn Dice, rate: CanaryRate, questions: u64) -> Option<(u64, u64)> {
    let mut jobs = 0;
    for question in 0..questions {
        let place = rate.place(dice.roll());
        // A fresh row takes a roll for each feature.
        let row = || {
            (0..FEATURES).for_each(|_| {
                dice.roll();
            });
        };
        let kinds: &[bool] = match place {
            Place::Nowhere => &[false],
            Place::Before => &[true, false],
            Place::After => &[false, true],
        };
        if question == 0 {
            row();
            jobs += 1;
        }
        for canary in kinds {
            if *canary {
                row();
            }
            jobs += 1;
            if *canary && jobs % 3 == 0 {
                return Some((question, jobs / 3));
            }
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_answers_every_third_job_falsely_is_caught_when_the_dice_say_so() {
    let rate = 0.5;
    for seed in 0..8 {
        let engine = Faulty::new(|number| number % 3 == 0);
        let cast = Cast::alone(Arc::<Faulty>::clone(&engine) as _).await;
        let gateway = cast.gateway(policy(rate, SeededDice::new(seed)));
        let expected = foreseen(&SeededDice::new(seed), CanaryRate::new(rate).unwrap(), 24);
        let mut found = None;
        for question in 0..24 {
            match gateway.ask(audited(question)).await {
                Ok(_) => {}
                Err(GatewayError::WrongCanary { .. }) => {
                    found = Some((question, engine.encrypted() / 3));
                    break;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(found, expected, "seed {seed}");
        assert!(found.is_some(), "seed {seed}: 24 questions, and not caught");
        convicts(&gateway, wallet(1).address());
    }
}

/// Each false answer is found with probability `r / (1 + r)`: of many workers, so many false answers are given for each that is caught.
#[test]
fn false_answers_are_found_as_often_as_computed() {
    for rate in [0.25, 0.5, 1.0] {
        let rate = CanaryRate::new(rate).unwrap();
        let workers = 20_000_u32;
        let false_answers: u64 = (0..u64::from(workers))
            .map(|seed| foreseen(&SeededDice::new(seed), rate, 100_000).unwrap().1)
            .sum();
        let found = f64::from(workers) / false_answers as f64;
        let computed = rate.get() / (1.0 + rate.get());
        assert!((found - computed).abs() < 0.02 * computed + 0.005, "{found} of {computed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn canaries_are_paid_from_what_the_question_may_cost() {
    let engine = honest_engine();
    let cast = Cast::alone(Arc::<Faulty>::clone(&engine) as _).await;
    let gateway = cast.gateway(policy(1.0, Always(0)));
    let capped =
        |seed: u64, prices: u128| AskRequest { max_price: Some(Amount(PRICE.0 * prices)), ..audited(seed) };
    // The question, the first canary and the one along with it, and a proof of each.
    let dear = gateway.ask(capped(1, 4)).await.unwrap_err();
    let GatewayError::AuditTooExpensive { price, in_all, max_price } = &dear else { panic!("{dear:?}") };
    assert_eq!((price.0, in_all.0, max_price.0), (PRICE.0, 5 * PRICE.0, 4 * PRICE.0));
    assert_eq!((dear.body().code.as_str(), dear.body().demand), ("too_expensive", Some(*in_all)));
    assert_eq!((engine.encrypted(), cast.vouchered()), (0, 0));
    let first = gateway.ask(capped(1, 5)).await.unwrap();
    assert_eq!((first.price, first.canary_price), (PRICE, Amount(4 * PRICE.0)));
    assert_eq!(first.canaries_passed, 2);
    // Afterwards one canary may go along.
    assert!(matches!(gateway.ask(capped(2, 2)).await, Err(GatewayError::AuditTooExpensive { .. })));
    let next = gateway.ask(capped(2, 3)).await.unwrap();
    assert_eq!((next.canary_price, next.canaries_passed), (Amount(2 * PRICE.0), 3));
    // Without canaries along it costs what it costs.
    let alone = gateway_with(&cast.ledger.client, 3, &Disk::default(), policy(0.0, Always(0)));
    assert_eq!(alone.ask(capped(3, 3)).await.unwrap().canary_price, Amount(2 * PRICE.0));
    assert_eq!(alone.ask(capped(4, 1)).await.unwrap().canary_price, Amount::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_anybody_who_proves_nothing_is_asked() {
    let ledger = ledger(&[1, 2].map(|key| wallet(key).address())).await;
    let engine = honest_engine();
    let model = linear_model();
    let only_encrypted = tacit_worker::ServedModel::new(
        "linear",
        model.model().graph(),
        model.weight_root(),
        Arc::<Faulty>::clone(&engine),
    );
    let models = vec![only_encrypted.unwrap().ask(Privacy::Encrypted, Evidence::Audited, PRICE)];
    let worker = WorkerPlan { models, ..WorkerPlan::honest(1) }.start(&ledger.client).await;
    let gateway = gateway_on(&ledger.client, 2, &Disk::default());
    let refused = gateway.ask(audited(1)).await.unwrap_err();
    assert!(matches!(refused, GatewayError::NobodyProves), "{refused:?}");
    let body = refused.body();
    assert!(body.code == "nobody_proves" && body.hint.contains("signed"), "{body:?}");
    assert_eq!((engine.encrypted(), worker.worker.earnings().unwrap().jobs), (0, 0));
    // Signed answers are not asked for by that worker's terms.
    let signed = AskRequest { evidence: Some(Evidence::Signed), ..audited(1) };
    assert!(matches!(gateway.ask(signed).await, Err(GatewayError::NoAsk { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prover_that_lies_convicts_nobody_but_itself() {
    let mut liar = Arc::into_inner(honest_engine()).unwrap();
    liar.proves_falsely = true;
    let engine = honest_engine();
    let cast = Cast::beside(Arc::<Faulty>::clone(&engine) as _, Arc::new(liar)).await;
    let gateway = cast.gateway(policy(0.0, Always(0)));
    right(&gateway.ask(audited(1)).await.unwrap(), 1);
    assert!(gateway.store().distrust(wallet(3).address()).unwrap().is_some());
    assert!(gateway.store().distrust(wallet(1).address()).unwrap().is_none());
    assert_eq!(cast.prover.unwrap().worker.earnings().unwrap().vouchered, Amount::ZERO);
    // The worker proved its own canary, after it had answered it.
    assert_eq!(kinds(&gateway), [1, 1, 1]);
}

/// A worker that takes no second job may have been asked the question first: its answer is kept back until a canary is answered.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_not_given_out_before_its_canary_is_judged() {
    let engine = honest_engine();
    let cast = Cast::alone(Arc::<Faulty>::clone(&engine) as _).await;
    let disk = Disk::default();
    let start =
        |rate: f64, roll: u64| gateway_with(&cast.ledger.client, 2, &disk, policy(rate, Always(roll)));
    right(&start(0.0, 0).ask(audited(1)).await.unwrap(), 1);
    struct Stop(Arc<Faulty>);
    impl Dice for Stop {
        /// The canary goes after the question; once its row is drawn, the worker answers no more.
        fn roll(&self) -> u64 {
            if self.0.encrypted() == 3 {
                self.0.fails.store(true, Ordering::SeqCst);
            }
            u64::MAX
        }
    }
    let stopping = policy(1.0, Stop(Arc::clone(&engine)));
    let gateway = gateway_with(&cast.ledger.client, 2, &disk, stopping);
    let request = AskRequest { job_id: Some(JobId::random()), ..audited(2) };
    let kept = gateway.ask(request.clone()).await.unwrap_err();
    assert!(matches!(kept, GatewayError::NotJudged { .. }), "{kept:?}");
    assert_eq!((kept.body().code.as_str(), engine.encrypted()), ("not_judged", 3));
    drop(gateway);
    // Nor after a restart, nor by other dice.
    let gateway = start(0.0, 0);
    assert!(matches!(gateway.ask(request.clone()).await, Err(GatewayError::NotJudged { .. })));
    // The worker's terms changed meanwhile: what is owed to the first question comes before another one.
    assert!(gateway.ask(audited(3)).await.is_err());
    engine.fails.store(false, Ordering::SeqCst);
    let answer = gateway.ask(request.clone()).await.unwrap();
    right(&answer, 2);
    assert_eq!((answer.canaries_passed, answer.canary_price), (2, Amount(2 * PRICE.0)));
    assert_eq!(gateway.ask(request).await.unwrap().canary_price, Amount::ZERO);
    assert_eq!(engine.encrypted(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_canary_was_wrong_is_never_given_out() {
    // Jobs: the first canary, the question, the canary after it.
    let engine = Faulty::new(|number| number == 3);
    let cast = Cast::alone(Arc::<Faulty>::clone(&engine) as _).await;
    let gateway = cast.gateway(policy(1.0, Always(u64::MAX)));
    let request = AskRequest { job_id: Some(JobId::random()), ..audited(1) };
    let caught = gateway.ask(request.clone()).await.unwrap_err();
    assert!(matches!(caught, GatewayError::WrongCanary { .. }), "{caught:?}");
    assert_eq!(engine.encrypted(), 3);
    assert!(matches!(gateway.ask(request).await, Err(GatewayError::Distrusted { .. })));
    convicts(&gateway, wallet(1).address());
}

/// The audited worker, and a gateway whose disk dies.
struct Mortal {
    cast: Cast,
    disk: Disk,
    dice: u64,
    gateway: Option<Arc<Gateway>>,
}

impl Mortal {
    fn start(&mut self) {
        self.disk.die(None);
        drop(self.gateway.take());
        self.gateway =
            Some(gateway_with(&self.cast.ledger.client, 2, &self.disk, policy(1.0, Always(self.dice))));
    }

    fn gateway(&self) -> &Arc<Gateway> {
        self.gateway.as_ref().unwrap()
    }

    /// Promised for every checked answer, and for nothing else.
    fn check(&self) -> u128 {
        let signed: u128 = self.gateway().channels().unwrap().iter().map(|channel| channel.signed.0).sum();
        let checked = self.gateway().receipts().unwrap().len() as u128;
        assert_eq!(signed, checked * PRICE.0);
        checked
    }

    /// Asks one question over whatever happens.
    async fn ask(&mut self, request: &AskRequest) -> AskAnswer {
        for _ in 0..4 {
            let result = self.gateway().ask(request.clone()).await;
            if self.disk.is_dead() {
                self.start();
            }
            self.check();
            match result {
                Ok(answer) => return answer,
                Err(error) => assert!(!matches!(error, GatewayError::WrongCanary { .. }), "{error:?}"),
            }
        }
        panic!("no answer");
    }
}

/// The gateway's disk dies before and after each synchronisation of an audited question: with the first canary in flight, its proof, the
/// question and the canary that goes along, on either side.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_anywhere_pays_each_canary_once_and_skips_none() {
    for (with_prover, dice) in [(false, 0), (false, u64::MAX), (true, 0), (true, u64::MAX)] {
        let mut deaths = vec![None];
        let mut at = 0;
        while let Some(death) = deaths.get(at).copied() {
            at += 1;
            let engine = honest_engine();
            let cast = if with_prover {
                Cast::beside(Arc::<Faulty>::clone(&engine) as _, honest_engine()).await
            } else {
                Cast::alone(Arc::<Faulty>::clone(&engine) as _).await
            };
            let mut mortal = Mortal { cast, disk: Disk::default(), dice, gateway: None };
            mortal.start();
            let start = mortal.disk.syncs();
            mortal.disk.die(death);
            let request = AskRequest { job_id: Some(JobId::random()), ..audited(1) };
            let answer = mortal.ask(&request).await;
            let syncs = mortal.disk.syncs() - start;
            assert_eq!(answer.label, Some(expected_label(&request)), "{death:?}");
            // Everything in flight comes to its end, and nothing is left to judge.
            mortal.disk.die(None);
            mortal.gateway().resume().await.unwrap();
            let checked = mortal.check();
            let counted = mortal.gateway().store().canaries(wallet(1).address(), linear_id()).unwrap();
            assert!(counted.due.is_none() && counted.open.is_empty() && counted.wrong == 0, "{counted:?}");
            let [questions, canaries, proofs] = kinds(mortal.gateway());
            assert_eq!(questions, 1);
            assert_eq!(counted.right, canaries as u64, "{death:?}");
            assert_eq!(counted.spent.0, PRICE.0 * (canaries + proofs) as u128, "{death:?}");
            // One canary goes ahead and one along; a gateway that died may have asked another.
            assert!((2..=3).contains(&canaries), "{death:?}: {canaries} canaries");
            let paid = mortal.cast.vouchered()
                + mortal.cast.prover.as_ref().map_or(0, |p| p.worker.earnings().unwrap().vouchered.0);
            assert_eq!(paid, checked * PRICE.0, "{death:?}");
            for worker in [Some(&mortal.cast.audited), mortal.cast.prover.as_ref()].into_iter().flatten() {
                assert_eq!(worker.worker.earnings().unwrap().unpaid_jobs, 0, "{death:?}");
            }
            if death.is_none() {
                assert!(syncs >= 15, "{syncs} synchronisations of five jobs");
                deaths.extend((1..=syncs).flat_map(|at| [Some(Death::Before(at)), Some(Death::After(at))]));
            }
        }
    }
}

/// A worker that is killed keeps its keys and its disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_anywhere_answers_each_canary_once() {
    let keys = tempfile::tempdir().unwrap();
    for death in (1..=10).flat_map(|at| [Death::Before(at), Death::After(at)]) {
        let ledger = ledger(&[1, 2].map(|key| wallet(key).address())).await;
        let disk = Disk::default();
        let plan = |port: u16| {
            let mut plan = WorkerPlan { models: vec![honest_encrypted()], ..WorkerPlan::honest(1) };
            plan.disk = disk.clone();
            plan.sealing = SealingKey::load_or_create(&keys.path().join("sealing.key")).unwrap();
            plan.audit = AuditKey::load_or_create(&keys.path().join("audit.key")).unwrap();
            plan.port = port;
            plan.settlement.anchor_delay = core::time::Duration::from_secs(3600);
            plan.settlement.poll = core::time::Duration::from_secs(3600);
            plan
        };
        let mut running = plan(0).start(&ledger.client).await;
        let port = running.server.url.rsplit(':').next().unwrap().parse().unwrap();
        let gateway = gateway_with(&ledger.client, 2, &Disk::default(), policy(1.0, Always(0)));
        disk.die(Some(death));
        let request = AskRequest { job_id: Some(JobId::random()), ..audited(1) };
        let mut answer = gateway.ask(request.clone()).await;
        for _ in 0..3 {
            if disk.is_dead() {
                disk.die(None);
                drop(running);
                running = plan(port).start_quietly(&ledger.client).await;
            }
            if answer.is_ok() {
                break;
            }
            answer = gateway.ask(request.clone()).await;
        }
        assert_eq!(answer.unwrap().label, Some(expected_label(&request)), "{death:?}");
        disk.die(None);
        gateway.resume().await.unwrap();
        let earnings = running.worker.earnings().unwrap();
        let receipts = gateway.receipts().unwrap().len();
        assert_eq!((earnings.jobs, earnings.unpaid_jobs), (receipts as u64, 0), "{death:?}");
        assert_eq!(earnings.vouchered.0, PRICE.0 * receipts as u128, "{death:?}");
        assert!((5..=7).contains(&receipts), "{death:?}: {receipts}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_contradicts_nothing_convicts_nobody() {
    let engine = Faulty::new(|_| true);
    let cast = Cast::alone(Arc::<Faulty>::clone(&engine) as _).await;
    let gateway = cast.gateway(CanaryPolicy::default());
    gateway.ask(audited(1)).await.unwrap_err();
    let good = convicts(&gateway, wallet(1).address());
    let (answer, truth) = (good.answer.clone(), good.truth.clone());

    // Honest answers, to the same question and to another.
    let other = Cast::alone(honest_engine()).await;
    let honest = other.gateway(policy(0.0, Always(0)));
    honest.ask(audited(1)).await.unwrap();
    let [canary, proof] = [ReceiptKind::Canary, ReceiptKind::KnownRow].map(|kind| {
        let receipt = honest.receipts().unwrap().into_iter().find(|receipt| receipt.kind == kind).unwrap();
        honest.bundle(receipt.job_id).unwrap()
    });
    let signed = AskRequest { evidence: Some(Evidence::Signed), ..encrypted_question(1) };
    let sealed = AskRequest {
        model: "linear".to_owned(),
        evidence: Some(Evidence::Signed),
        privacy: Privacy::Sealed,
        ..question(1)
    };
    let signed = honest.bundle(honest.ask(signed).await.unwrap().job_id).unwrap();
    let sealed = honest.bundle(honest.ask(sealed).await.unwrap().job_id).unwrap();
    let refused = |answer: &tacit_gateway::Bundle, truth: &tacit_gateway::Bundle| {
        let (answer, truth) = (answer.clone(), truth.clone());
        verify_fraud(&FraudBundle { version: FRAUD_VERSION, answer, truth }).unwrap_err()
    };
    assert!(matches!(refused(&canary, &proof), FraudReject::Right));
    assert!(matches!(refused(&signed, &proof), FraudReject::Row));
    assert!(matches!(refused(&answer, &proof), FraudReject::Row));
    assert!(matches!(refused(&sealed, &proof), FraudReject::NotEncrypted));
    assert!(matches!(refused(&truth, &truth), FraudReject::NotEncrypted));
    assert!(matches!(refused(&answer, &sealed), FraudReject::NotProved));
    assert!(matches!(refused(&answer, &answer), FraudReject::NotProved));
    // The proof of another model's answer to the same row.
    let model = WorkerPlan::honest(1);
    let third = ledger(&[1, 2].map(|key| wallet(key).address())).await;
    let _running = model.start(&third.client).await;
    let gateway = gateway_on(&third.client, 2, &Disk::default());
    let small = gateway.bundle(gateway.ask(question(1)).await.unwrap().job_id).unwrap();
    assert!(matches!(refused(&answer, &small), FraudReject::Model { .. }));

    // Altered files.
    let with = |change: &dyn Fn(&mut FraudBundle)| {
        let mut bundle = good.clone();
        change(&mut bundle);
        verify_fraud(&bundle).unwrap_err()
    };
    assert!(matches!(with(&|bundle| bundle.version = 2), FraudReject::Version { expected: 1, got: 2 }));
    assert!(matches!(
        with(&|bundle| bundle.answer.output[0] += 1),
        FraudReject::Answer(BundleReject::Decrypted)
    ));
    let row = with(&|bundle| bundle.answer.input[0] = -bundle.answer.input[0].signum() * (90 << 24));
    assert!(matches!(row, FraudReject::Answer(BundleReject::Query)), "{row:?}");
    assert!(matches!(with(&|bundle| bundle.answer.receipt.receipt.completedAt += 1), FraudReject::Answer(_)));
    assert!(matches!(with(&|bundle| bundle.truth.output[0] += 1), FraudReject::Truth(_)));
    assert!(matches!(with(&|bundle| bundle.truth.proof = None), FraudReject::Truth(_)));
    let offer = with(&|bundle| {
        // Output bits that the worker did not offer.
        *bundle.answer.encrypted.as_mut().unwrap().question.offer.last_mut().unwrap() -= 1;
    });
    assert!(matches!(offer, FraudReject::Answer(_)), "{offer:?}");
    let mut file = serde_json::to_value(&good).unwrap();
    file["version"] = serde_json::json!(3);
    let read = |file: &serde_json::Value| FraudBundle::from_json(&serde_json::to_vec(file).unwrap());
    assert!(matches!(read(&file), Err(FraudReject::Version { got: 3, .. })));
    file["more"] = serde_json::json!(1);
    assert!(matches!(read(&file), Err(FraudReject::Json(_))));
    let long = vec![b' '; FRAUD_BYTES_MAX + 1];
    assert!(matches!(FraudBundle::from_json(&long), Err(FraudReject::TooLong { .. })));
    assert!(matches!(gateway.false_answer(JobId::random()), Err(GatewayError::UnknownReceipt { .. })));
}
