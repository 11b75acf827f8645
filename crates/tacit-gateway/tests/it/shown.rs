//! Audits that third parties see: the ledger's beacon selects an answer, a second worker signs that it came to the same, and the ledger counts it.

use std::{sync::Arc, time::Duration};

use tacit_abi::{IAudits, stakes::burned};
use tacit_gateway::{
    AskRequest, Audit, AuditPolicy, CanaryPolicy, DoorConfig, Gateway, Shown, view::ReceiptKind,
};
use tacit_market::{Policy, Ratio};
use tacit_wire::{Amount, JobId, LedgerClient};
use tacit_worker::{Engine, Limits};

use crate::{
    dishonest::{Alter, line},
    disk::Disk,
    disputes::audited_question,
    likeness::talk,
    openai::{client as program, header, hello, open, spending},
    seconds::{LIAR, audited, honest},
    support::{Ledger, PRICE, RunningWorker, WorkerPlan, auditing_gateway, ledger, wallet},
};

const FIRST: u8 = 1;
const CLIENT: u8 = 2;
const SECOND: u8 = 3;
/// A twentieth of a coin.
const DEAR: Amount = Amount(50_000_000_000_000_000);
/// So little behind so dear an answer that the beacon selects it whatever it is.
const STAKE: Amount = Amount(300_000_000_000_000_000);

struct Cast {
    ledger: Ledger,
    first: RunningWorker,
    second: RunningWorker,
    disk: Disk,
    gateway: Arc<Gateway>,
}

/// Tosses no coin of its own: only the beacon says what is audited.
fn client(ledger: &LedgerClient, disk: &Disk) -> Arc<Gateway> {
    let audits = AuditPolicy::default().with_rate(Ratio::ZERO).shown();
    let audits = audits.with_patience(Duration::from_secs(60), Duration::ZERO);
    auditing_gateway(ledger, CLIENT, disk, CanaryPolicy::default(), audits)
}

async fn cast(first: impl Engine, price: Amount, stake_min: Amount) -> Cast {
    let ledger = ledger(&[FIRST, CLIENT, SECOND].map(|key| wallet(key).address())).await;
    let plan = |key, models| WorkerPlan { models, ..WorkerPlan::honest(key) };
    let limits = Limits { stake_min, ..Limits::default() };
    let first = WorkerPlan { limits, ..plan(FIRST, vec![audited(first, price)]) };
    let first = first.start(&ledger.client).await;
    let second = plan(SECOND, vec![audited(honest(), Amount(2 * DEAR.0))]).start(&ledger.client).await;
    let disk = Disk::default();
    let gateway = client(&ledger.client, &disk);
    Cast { ledger, first, second, disk, gateway }
}

impl Cast {
    /// Takes home what is above [`STAKE`].
    async fn weaken(&self) {
        let bonded = self.ledger.client.stake_of(wallet(FIRST).address()).await.unwrap().bonded;
        self.ledger.client.unbond(&wallet(FIRST), Amount(bonded - STAKE.0)).await.unwrap();
        let probability = Policy::NETWORK.probability(burned(STAKE.0), DEAR.0, 0);
        assert_eq!(probability, Ratio::ONE);
    }

    async fn asked(&self) -> JobId {
        let request = AskRequest { max_price: Some(Amount::coins(1)), ..audited_question(1) };
        let answer = self.gateway.ask(request).await.unwrap();
        assert_eq!((answer.worker, answer.audit), (wallet(FIRST).address(), Some(Audit::NotDrawn)));
        assert!(
            self.gateway.wait_for_anchor(answer.job_id, Duration::from_secs(10)).await.unwrap().is_some()
        );
        answer.job_id
    }

    async fn history(&self) -> IAudits::History {
        self.ledger.client.audit_history_of(wallet(FIRST).address()).await.unwrap()
    }

    /// One round of the gateway's housekeeping, after it was killed.
    async fn round(&mut self, job_id: JobId) -> Option<Shown> {
        self.gateway = client(&self.ledger.client, &self.disk);
        self.gateway.show_audits().await.unwrap();
        self.gateway.pursue_audits().await.unwrap();
        self.gateway.receipt(job_id).unwrap().shown
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_beacon_selects_counts_once_it_passed() {
    let mut cast = cast(honest(), DEAR, Amount::ZERO).await;
    cast.weaken().await;
    let job_id = cast.asked().await;
    assert_eq!(cast.history().await.passed, 0);
    // The second worker is asked, and signs.
    assert_eq!(cast.round(job_id).await, Some(Shown::Due));
    let Some(Audit::Agreed { with }) = cast.gateway.receipt(job_id).unwrap().audit else { panic!() };
    assert_eq!(with.worker, wallet(SECOND).address());
    assert_eq!(cast.round(job_id).await, Some(Shown::Passed { by: with.worker }));
    let history = cast.history().await;
    assert_eq!((history.passed, history.convictedAt), (1, 0));
    assert!(history.passedAt > 0);
    // What anybody reads of the worker's past has it.
    let past = cast.ledger.client.history_of(wallet(FIRST).address(), None).await.unwrap();
    assert_eq!(past.facts.passed_at_s, [history.passedAt]);
    // Once.
    assert_eq!(cast.round(job_id).await, Some(Shown::Passed { by: with.worker }));
    assert_eq!(cast.history().await, history);
    assert_eq!(cast.second.worker.earnings().unwrap().jobs, 1);
    // The one that audited has no history of its own by that.
    let auditor = cast.ledger.client.audit_history_of(with.worker).await.unwrap();
    assert_eq!(auditor.passed, 0);
}

/// Nobody is asked about an answer that the beacon does not select.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_selected_costs_nothing() {
    // One in 500,000.
    let mut cast = cast(honest(), PRICE, Amount::coins(800)).await;
    let job_id = cast.asked().await;
    let spent = cast.ledger.client.balance(wallet(CLIENT).address()).await.unwrap();
    assert_eq!(cast.round(job_id).await, Some(Shown::NotSelected));
    assert_eq!(cast.ledger.client.balance(wallet(CLIENT).address()).await.unwrap(), spent);
    assert_eq!(cast.second.worker.earnings().unwrap().jobs, 0);
}

/// A second worker that does the work and will not sign: nothing counts, and it is asked again.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_signature_nothing_counts() {
    let mut cast = cast(honest(), DEAR, Amount::ZERO).await;
    cast.weaken().await;
    let refuse: Alter = |path, value| {
        if path == "/v1/walks" {
            *value =
                serde_json::json!({ "status": 403, "error": { "code": "no", "message": "no", "hint": "" } });
        }
    };
    let silent = line(&cast.second, refuse).await;
    cast.second.worker.publish_and_ask(&silent.url).await.unwrap();
    let job_id = cast.asked().await;
    for _ in 0..3 {
        assert_eq!(cast.round(job_id).await, Some(Shown::Due));
    }
    assert_eq!(cast.history().await.passed, 0);
    cast.second.worker.publish_and_ask(&cast.second.server.url).await.unwrap();
    assert!(matches!(cast.round(job_id).await, Some(Shown::Passed { .. })));
}

/// Its client had no reason to doubt; the beacon chose it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_lie_that_the_beacon_selects_is_convicted() {
    let mut cast = cast(LIAR, DEAR, Amount::ZERO).await;
    cast.weaken().await;
    let job_id = cast.asked().await;
    for _ in 0..40 {
        let _ = cast.first.worker.answer_challenges().await;
        if !matches!(cast.round(job_id).await, Some(Shown::Due)) {
            break;
        }
    }
    assert_eq!(cast.gateway.receipt(job_id).unwrap().audit, Some(Audit::Convicted));
    assert!(matches!(cast.gateway.receipt(job_id).unwrap().shown, Some(Shown::Not { .. })));
    let history = cast.history().await;
    assert!(history.passed == 0 && history.convictedAt > 0);
    let receipts = cast.gateway.receipts().unwrap();
    assert!(receipts.iter().any(|receipt| receipt.kind == ReceiptKind::Second));
}

/// Whoever did not say so shows nothing: the receipt says who asked.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shown_unasked() {
    let cast = cast(honest(), DEAR, Amount::ZERO).await;
    cast.weaken().await;
    let audits = AuditPolicy::default().with_rate(Ratio::ZERO);
    let quiet =
        auditing_gateway(&cast.ledger.client, CLIENT, &Disk::default(), CanaryPolicy::default(), audits);
    let request = AskRequest { max_price: Some(Amount::coins(1)), ..audited_question(1) };
    let answer = quiet.ask(request).await.unwrap();
    quiet.wait_for_anchor(answer.job_id, Duration::from_secs(10)).await.unwrap();
    quiet.show_audits().await.unwrap();
    assert_eq!(quiet.receipt(answer.job_id).unwrap().shown, None);
    assert_eq!(cast.history().await.passed, 0);
}

/// Both talk at one price; of the first the ledger shows a trade, an audit that somebody else did, and that it is there.
#[tokio::test(flavor = "multi_thread")]
async fn programs_are_answered_by_whom_the_ledger_speaks_for() {
    let ledger = ledger(&[FIRST, CLIENT, SECOND].map(|key| wallet(key).address())).await;
    let (first_engine, second_engine) = (talk().await, talk().await);
    let plan = |key, price, language| WorkerPlan {
        models: vec![audited(honest(), price)],
        languages: vec![language],
        limits: Limits { stake_min: Amount::ZERO, ..Limits::default() },
        ..WorkerPlan::honest(key)
    };
    let first = plan(FIRST, DEAR, first_engine.1).start(&ledger.client).await;
    let second = plan(SECOND, Amount(2 * DEAR.0), second_engine.1).start(&ledger.client).await;
    let disk = Disk::default();
    let gateway = client(&ledger.client, &disk);
    let mut cast = Cast { ledger, first, second, disk, gateway };
    cast.weaken().await;
    let job_id = cast.asked().await;
    cast.round(job_id).await;
    assert!(matches!(cast.round(job_id).await, Some(Shown::Passed { .. })));
    cast.first.worker.settle_all().await.unwrap();
    let address = wallet(FIRST).address();
    for _ in 0..2 {
        cast.ledger.wait_s(3600).await;
        cast.ledger.client.beat(&wallet(FIRST)).await.unwrap();
    }
    let past = cast.ledger.client.history_of(address, None).await.unwrap();
    assert!(past.reputation().coins > 0, "{past:?}");

    let (gateway, server) =
        open(&cast.ledger.client, &Disk::default(), spending(), DoorConfig::default()).await;
    let standing = async || {
        let market = gateway.market_view().await.unwrap();
        let worker = market.into_iter().find(|view| view.worker == address).unwrap();
        worker.standing
    };
    // Read in the background for whoever looked.
    let started = std::time::Instant::now();
    while standing().await.is_none() {
        assert!(started.elapsed() < Duration::from_secs(60), "the worker's past is not read");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let url = format!("{}/v1/chat/completions", server.url);
    for number in 0..12 {
        let body = hello(serde_json::json!({"provider": {"sort": "reputation"}, "user": number.to_string()}));
        let answer = program().post(&url).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "x-tacit-worker"), address.to_string());
        answer.bytes().await.unwrap();
    }
}
