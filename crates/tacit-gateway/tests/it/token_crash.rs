//! `kill -9` at every synchronisation of either disk, while tokens are bought and a question is asked with them.
//!
//! What must hold whatever happens: the client has promised exactly the price of the tokens that it holds or showed; each token pays for one answer; what was asked is answered; and the
//! worker has been promised what it signed.

use std::sync::Arc;

use tacit_gateway::{AskRequest, Gateway, verify_bundle};
use tacit_wire::Amount;

use crate::{
    disk::{Death, Disk},
    support::{Ledger, RunningWorker, Server, expected_label, ledger, unlinkable_gateway, wallet},
    unlinkable::{TOKEN_PRICE, policy, selling, some_tokens, start_relay, unlinkable},
};

const TRIES: usize = 12;
/// Bought at once; two pay for the question.
const BOUGHT: u32 = 3;

struct Pair<'a> {
    ledger: &'a Ledger,
    relay: &'a Server,
    keys: &'a Arc<tempfile::TempDir>,
    client: u8,
    gateway_disk: Disk,
    gateway: Option<Arc<Gateway>>,
    worker_disk: Disk,
    worker: Option<RunningWorker>,
    port: u16,
}

impl<'a> Pair<'a> {
    async fn new(
        ledger: &'a Ledger,
        relay: &'a Server,
        keys: &'a Arc<tempfile::TempDir>,
        client: u8,
    ) -> Self {
        let (gateway_disk, worker_disk) = (Disk::default(), Disk::default());
        let mut pair = Self {
            ledger,
            relay,
            keys,
            client,
            gateway_disk,
            gateway: None,
            worker_disk,
            worker: None,
            port: 0,
        };
        pair.start_worker().await;
        let running = pair.worker.as_ref().unwrap();
        running.worker.publish_and_ask(&running.server.url).await.unwrap();
        pair.port = running.server.url.rsplit(':').next().unwrap().parse().unwrap();
        pair.start_gateway();
        pair
    }

    fn start_gateway(&mut self) {
        drop(self.gateway.take());
        let policy = policy(&self.relay.url);
        self.gateway = Some(unlinkable_gateway(&self.ledger.client, self.client, &self.gateway_disk, policy));
    }

    async fn start_worker(&mut self) {
        drop(self.worker.take());
        let mut plan = selling(self.keys);
        plan.disk = self.worker_disk.clone();
        plan.port = self.port;
        plan.settlement.anchor_delay = core::time::Duration::from_secs(3600);
        plan.settlement.poll = core::time::Duration::from_secs(3600);
        self.worker = Some(plan.start_quietly(&self.ledger.client).await);
    }

    async fn revive(&mut self) {
        if self.gateway_disk.is_dead() {
            self.gateway_disk.die(None);
            self.start_gateway();
        }
        if self.worker_disk.is_dead() {
            self.worker_disk.die(None);
            self.start_worker().await;
        }
    }

    async fn held(&self) -> u64 {
        self.gateway
            .as_ref()
            .unwrap()
            .tokens()
            .await
            .unwrap()
            .iter()
            .map(|entry| entry.count + entry.shown)
            .sum()
    }

    /// Buys until there are tokens: a purchase that a crash interrupted is finished by the next.
    async fn buy(&mut self) {
        for _ in 0..TRIES {
            let gateway = Arc::clone(self.gateway.as_ref().unwrap());
            let bought = gateway.buy_tokens(some_tokens(BOUGHT)).await;
            drop(gateway);
            let died = self.gateway_disk.is_dead() || self.worker_disk.is_dead();
            self.revive().await;
            match bought {
                Ok(_) => return,
                Err(error) => assert!(died, "failed with both alive: {error}"),
            }
            // As the gateway does now and then.
            let gateway = Arc::clone(self.gateway.as_ref().unwrap());
            let _ = gateway.resume().await;
            drop(gateway);
            self.revive().await;
            if self.held().await > 0 {
                return;
            }
        }
        panic!("no tokens");
    }

    async fn ask(&mut self, request: &AskRequest) {
        let mut failures = Vec::new();
        for _ in 0..TRIES {
            let gateway = Arc::clone(self.gateway.as_ref().unwrap());
            let result = gateway.ask(request.clone()).await;
            drop(gateway);
            let died = self.gateway_disk.is_dead() || self.worker_disk.is_dead();
            self.revive().await;
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

    /// In the end every token that was paid for is held or paid for an answer, and everything that was signed is promised.
    async fn check_end(&mut self) {
        self.gateway_disk.die(None);
        self.worker_disk.die(None);
        let gateway = Arc::clone(self.gateway.as_ref().unwrap());
        gateway.resume().await.unwrap();
        let receipts = gateway.receipts().unwrap();
        assert_eq!(receipts.len(), 1);
        let _ = verify_bundle(&gateway.bundle(receipts[0].job_id).unwrap()).unwrap();
        let tokens = u128::from(self.held().await) + 2;
        // A purchase that was finished only after it was given up is one more, paid and held.
        assert_eq!(tokens % u128::from(BOUGHT), 0);
        let signed: u128 = gateway.channels().unwrap().iter().map(|channel| channel.signed.0).sum();
        assert_eq!(signed, tokens * TOKEN_PRICE.0);
        let earnings = self.worker.as_ref().unwrap().worker.earnings().unwrap();
        assert_eq!(earnings.vouchered, Amount(signed));
        assert_eq!(earnings.unpaid_jobs, 0);
        assert_eq!(u128::from(earnings.jobs), tokens / u128::from(BOUGHT) + 1);
        assert!(gateway.store().prepaid_in_flight().unwrap().is_empty());
    }
}

fn deaths(syncs: u64) -> impl Iterator<Item = Death> {
    (1..=syncs).flat_map(|at| [Death::Before(at), Death::After(at)])
}

async fn buy_and_ask(pair: &mut Pair<'_>) {
    pair.buy().await;
    pair.ask(&unlinkable(1)).await;
}

/// Both sides in turn, at each of their synchronisations.
async fn killed_everywhere(disk: fn(&Pair<'_>) -> Disk, syncs_min: u64) {
    let everyone: Vec<_> = (1..=200).map(|key| wallet(key).address()).collect();
    let ledger = ledger(&everyone).await;
    let relay = start_relay(&ledger.client).await;
    let keys = Arc::new(tempfile::tempdir().unwrap());
    let mut pair = Pair::new(&ledger, &relay, &keys, 10).await;
    let start = disk(&pair).syncs();
    buy_and_ask(&mut pair).await;
    let syncs = disk(&pair).syncs() - start;
    pair.check_end().await;
    assert!(syncs >= syncs_min, "it synchronises before each step that matters: {syncs}");
    for (client, death) in (11..).zip(deaths(syncs)) {
        assert!(client < 200, "more deaths than clients");
        drop(pair);
        pair = Pair::new(&ledger, &relay, &keys, client).await;
        disk(&pair).die(Some(death));
        buy_and_ask(&mut pair).await;
        pair.check_end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_anywhere_loses_no_token_and_shows_none_twice() {
    killed_everywhere(|pair| pair.gateway_disk.clone(), 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_anywhere_is_paid_for_its_tokens_and_takes_each_once() {
    killed_everywhere(|pair| pair.worker_disk.clone(), 3).await;
}
