//! Whoever has not said for hours that it is there is not asked, and is again once it does.

use tacit_abi::{Evidence, IAsks, Privacy};
use tacit_gateway::GatewayError;
use tacit_wire::{
    Amount, SealingKey,
    ledger::{ask_end_s, unix_time_s},
};

use crate::support::{PRICE, WorkerPlan, expected_label, gateway, honest, ledger, question, wallet};

/// More than an ask lives without a beat.
const SILENCE_S: u64 = 4 * 3600;

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_worker_is_not_asked_until_it_beats() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let (client, owner) = (&ledger.client, wallet(1));
    let sealing = SealingKey::random();
    let terms = IAsks::Terms {
        privacy: Privacy::Sealed as u8,
        evidence: Evidence::Signed as u8,
        price: PRICE.0,
        promptPrice: 0,
        completionPrice: 0,
        capacity: 1,
        validUntil: ask_end_s() - SILENCE_S,
        sealingKey: sealing.public(),
        endpoint: String::new(),
    };
    // It serves, and has no asks of its own by which it would beat.
    let worker = WorkerPlan { sealing, ..WorkerPlan::honest(1) }.start_quietly(client).await;
    let terms = IAsks::Terms { endpoint: worker.server.url.clone(), ..terms };
    let small = honest();
    let info = small.info();
    // All of this was hours ago.
    let then = unix_time_s() - SILENCE_S;
    ledger.next_block_at(then).await;
    client.publish(&owner, info.model_id, info.weight_root, &info.name).await.unwrap();
    ledger.next_block_at(then).await;
    client.bond(&owner, Amount::coins(1)).await.unwrap();
    ledger.next_block_at(then).await;
    client.set_ask(&owner, info.model_id, terms).await.unwrap();
    let every = client.every_ask(info.model_id).await.unwrap();
    assert_eq!((every.len(), every[0].lastBeat), (1, then));

    let gateway = gateway(client, 2);
    let request = tacit_gateway::AskRequest { evidence: Some(Evidence::Signed), ..question(1) };
    let refused = gateway.ask(request.clone()).await;
    assert!(matches!(refused, Err(GatewayError::NoAsk { .. })), "{refused:?}");
    assert!(gateway.market_view().await.unwrap().is_empty());

    client.beat(&owner).await.unwrap();
    let answer = gateway.ask(request.clone()).await.unwrap();
    assert_eq!(answer.label, Some(expected_label(&request)));
    let market = gateway.market_view().await.unwrap();
    assert_eq!((market.len(), market[0].last_beat_s >= then + SILENCE_S), (1, true));
}
