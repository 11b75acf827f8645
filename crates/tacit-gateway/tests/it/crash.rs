//! `kill -9` at every synchronisation of either disk, before and after it takes effect.
//!
//! What must hold whatever happens: the client has promised exactly the price of the answers it has checked, each
//! answer once; the worker is owed for one job at most, and in the end for none.

use std::sync::Arc;

use alloy_primitives::Address;
use proptest::prelude::*;
use tacit_abi::Evidence;
use tacit_gateway::{AskRequest, Gateway, verify_bundle};
use tacit_wire::{Amount, AuditKey, JobId, SealingKey};

use crate::{
    disk::{Death, Disk},
    support::{
        Ledger, PRICE, RunningWorker, WorkerPlan, encrypted_question, expected_label, gateway_on, honest,
        honest_encrypted, ledger, question, wallet,
    },
};

const TRIES: usize = 12;
const CLIENTS: u8 = 200;

/// A client and a worker whose disks can die, on a ledger that lives.
struct Pair<'a> {
    ledger: &'a Ledger,
    client: u8,
    gateway_disk: Disk,
    gateway: Option<Arc<Gateway>>,
    worker_key: u8,
    worker_disk: Disk,
    keys: tempfile::TempDir,
    worker: Option<RunningWorker>,
    port: u16,
}

impl<'a> Pair<'a> {
    async fn new(ledger: &'a Ledger, client: u8, worker_key: u8) -> Self {
        let mut pair = Self {
            ledger,
            client,
            gateway_disk: Disk::default(),
            gateway: None,
            worker_key,
            worker_disk: Disk::default(),
            keys: tempfile::tempdir().unwrap(),
            worker: None,
            port: 0,
        };
        pair.start_worker().await;
        let running = pair.worker.as_ref().unwrap();
        running.worker.publish_and_ask(&running.server.url).await.unwrap();
        pair.port = running.server.url.rsplit(':').next().unwrap().parse().unwrap();
        pair.gateway = Some(gateway_on(&ledger.client, client, &pair.gateway_disk));
        pair
    }

    async fn start_worker(&mut self) {
        drop(self.worker.take());
        let mut plan = WorkerPlan::honest(self.worker_key);
        plan.disk = self.worker_disk.clone();
        plan.models = vec![honest(), honest_encrypted()];
        plan.sealing = SealingKey::load_or_create(&self.keys.path().join("sealing.key")).unwrap();
        plan.audit = AuditKey::load_or_create(&self.keys.path().join("audit.key")).unwrap();
        plan.port = self.port;
        // Anchoring has tests of its own; here every synchronisation belongs to a job.
        plan.settlement.anchor_delay = core::time::Duration::from_secs(3600);
        plan.settlement.poll = core::time::Duration::from_secs(3600);
        self.worker = Some(plan.start_quietly(&self.ledger.client).await);
    }

    fn gateway(&self) -> &Arc<Gateway> {
        self.gateway.as_ref().unwrap()
    }

    /// Starts again what died.
    async fn revive(&mut self) {
        if self.gateway_disk.is_dead() {
            self.gateway_disk.die(None);
            drop(self.gateway.take());
            self.gateway = Some(gateway_on(&self.ledger.client, self.client, &self.gateway_disk));
        }
        if self.worker_disk.is_dead() {
            self.worker_disk.die(None);
            self.start_worker().await;
        }
    }

    /// Asks until there is an answer, reviving whoever died.
    async fn ask(&mut self, request: &AskRequest) {
        let mut failures = Vec::new();
        for _ in 0..TRIES {
            let result = self.gateway().ask(request.clone()).await;
            let died = self.gateway_disk.is_dead() || self.worker_disk.is_dead();
            self.revive().await;
            self.check_bounds().await;
            match result {
                Ok(answer) => {
                    assert_eq!(answer.label, Some(expected_label(request)));
                    return;
                }
                Err(error) => {
                    assert!(died || !failures.is_empty(), "failed with both alive: {error}");
                    failures.push(error.to_string());
                }
            }
        }
        panic!("no answer: {failures:?}");
    }

    /// The bounds that hold at every moment.
    async fn check_bounds(&self) {
        let status = self.gateway().status().await.unwrap();
        let signed: u128 = status.channels.iter().map(|channel| channel.signed.0).sum();
        let checked = self.gateway().receipts().unwrap().len();
        assert_eq!(signed, checked as u128 * PRICE.0, "promised for {checked} checked answers");
        let earnings = self.worker.as_ref().unwrap().worker.earnings().unwrap();
        assert!(earnings.unpaid_jobs <= 1);
        assert!(earnings.vouchered.0 <= signed);
    }

    /// In the end everything asked is answered and paid once.
    async fn check_end(&mut self, asked: usize) {
        self.gateway_disk.die(None);
        self.worker_disk.die(None);
        self.gateway().resume().await.unwrap();
        self.check_bounds().await;
        let receipts = self.gateway().receipts().unwrap();
        assert_eq!(receipts.len(), asked);
        for receipt in receipts {
            // Whatever opens the answer was kept too.
            let _ = verify_bundle(&self.gateway().bundle(receipt.job_id).unwrap()).unwrap();
        }
        let earnings = self.worker.as_ref().unwrap().worker.earnings().unwrap();
        assert_eq!(earnings.vouchered, Amount(asked as u128 * PRICE.0));
        assert_eq!((earnings.jobs, earnings.unpaid_jobs), (asked as u64, 0));
        assert_eq!(self.gateway().status().await.unwrap().channels.len(), 1);
    }
}

fn signed(seed: u64) -> AskRequest {
    AskRequest { evidence: Some(Evidence::Signed), job_id: Some(JobId::random()), ..question(seed) }
}

fn encrypted(seed: u64) -> AskRequest {
    AskRequest { job_id: Some(JobId::random()), ..encrypted_question(seed) }
}

/// Every kind of question that waits for no proof.
const KINDS: [fn(u64) -> AskRequest; 2] = [signed, encrypted];

fn everyone() -> Vec<Address> {
    (1..=CLIENTS).map(|key| wallet(key).address()).collect()
}

fn deaths(syncs: u64) -> impl Iterator<Item = Death> {
    (1..=syncs).flat_map(|at| [Death::Before(at), Death::After(at)])
}

/// Asks two questions with one death on the way.
async fn two_questions(pair: &mut Pair<'_>, kind: fn(u64) -> AskRequest) {
    let worker = Some(wallet(pair.worker_key).address());
    for seed in [1, 2] {
        pair.ask(&AskRequest { worker, ..kind(seed) }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_anywhere_pays_once_for_each_answer() {
    for kind in KINDS {
        let ledger = ledger(&everyone()).await;
        let mut pair = Pair::new(&ledger, 10, 1).await;
        let start = pair.gateway_disk.syncs();
        two_questions(&mut pair, kind).await;
        let syncs = pair.gateway_disk.syncs() - start;
        pair.check_end(2).await;
        assert!(syncs >= 8, "the gateway synchronises before each step that matters");
        for (client, death) in (11..).zip(deaths(syncs)) {
            assert!(client < CLIENTS, "more deaths than clients");
            let mut pair = Pair::new(&ledger, client, 1).await;
            pair.gateway_disk.die(Some(death));
            two_questions(&mut pair, kind).await;
            pair.check_end(2).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_anywhere_is_paid_for_each_answer() {
    for kind in KINDS {
        let ledger = ledger(&everyone()).await;
        let mut pair = Pair::new(&ledger, 10, 1).await;
        let start = pair.worker_disk.syncs();
        two_questions(&mut pair, kind).await;
        let syncs = pair.worker_disk.syncs() - start;
        pair.check_end(2).await;
        assert!(syncs >= 4, "the worker synchronises before each step that matters");
        for (client, death) in (11..).zip(deaths(syncs)) {
            let mut pair = Pair::new(&ledger, client, 1).await;
            pair.worker_disk.die(Some(death));
            two_questions(&mut pair, kind).await;
            pair.check_end(2).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_anchored_wherever_the_worker_is_killed() {
    let ledger = ledger(&everyone()).await;
    for (client, death) in (10..).zip(deaths(4)) {
        let mut pair = Pair::new(&ledger, client, 1).await;
        two_questions(&mut pair, signed).await;
        pair.worker_disk.die(Some(death));
        let _ = pair.worker.as_ref().unwrap().worker.anchor_receipts().await;
        pair.revive().await;
        pair.worker_disk.die(None);
        pair.worker.as_ref().unwrap().worker.anchor_receipts().await.unwrap();
        let receipts = pair.gateway().receipts().unwrap();
        assert_eq!(receipts.len(), 2);
        for receipt in receipts {
            assert!(pair.gateway().fetch_anchor(receipt.job_id).await.unwrap().is_some(), "{death:?}");
        }
        assert_eq!(pair.worker.as_ref().unwrap().worker.earnings().unwrap().unanchored, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn coins_are_settled_once_wherever_the_worker_is_killed() {
    let ledger = ledger(&everyone()).await;
    for (client, death) in (10..).zip(deaths(2)) {
        let mut pair = Pair::new(&ledger, client, 1).await;
        two_questions(&mut pair, signed).await;
        pair.worker_disk.die(Some(death));
        let _ = pair.worker.as_ref().unwrap().worker.settle_all().await;
        pair.revive().await;
        pair.worker_disk.die(None);
        pair.worker.as_ref().unwrap().worker.settle_all().await.unwrap();
        let channel_id = pair.gateway().status().await.unwrap().channels[0].channel_id;
        assert_eq!(ledger.client.channel(channel_id).await.unwrap().settled, 2 * PRICE.0, "{death:?}");
        assert_eq!(pair.worker.as_ref().unwrap().worker.earnings().unwrap().settled, Amount(2 * PRICE.0));
    }
}

fn any_death() -> impl Strategy<Value = Option<Death>> {
    prop_oneof![
        2 => Just(None),
        1 => (1_u64..6).prop_map(|at| Some(Death::Before(at))),
        1 => (1_u64..6).prop_map(|at| Some(Death::After(at))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_mixture_of_deaths_and_repetitions_keeps_the_accounts(
        steps in proptest::collection::vec((any_death(), any_death(), any::<bool>(), 0..KINDS.len()), 1..5)
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
            let mut pair = Pair::new(&ledger, 2, 1).await;
            let mut asked = 0;
            let mut last: Option<AskRequest> = None;
            for (gateway_death, worker_death, repeat, kind) in &steps {
                pair.gateway_disk.die(*gateway_death);
                pair.worker_disk.die(*worker_death);
                let request = match last.take() {
                    Some(request) if *repeat => request,
                    _ => {
                        asked += 1;
                        KINDS[*kind](asked)
                    }
                };
                pair.ask(&request).await;
                last = Some(request);
            }
            pair.check_end(usize::try_from(asked).unwrap()).await;
        });
    }
}
