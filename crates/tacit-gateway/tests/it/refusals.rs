//! What is refused before any work, and costs nothing.

use tacit_abi::{Evidence, Privacy};
use tacit_gateway::{AskRequest, Channels, Forgive, GatewayError, Input, InputReject, store::Distrust};
use tacit_wire::{Amount, JobId, SealingKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    FEATURES, PRICE, Server, WorkerPlan, gateway, honest, ledger, listen, model, question, served, wallet,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_question_costs_nothing() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let worker = WorkerPlan::honest(1).start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    let before = ledger.client.balance(wallet(2).address()).await.unwrap();
    let ask = |request: AskRequest| {
        let gateway = std::sync::Arc::clone(&gateway);
        async move { gateway.ask(request).await.unwrap_err() }
    };
    let floats = |shape: &[u64], count: usize| Input::from_floats(shape, &vec![1.0; count]).unwrap();
    let with = |input: Input| AskRequest { input, ..question(1) };

    for model in ["nobody", "No Such Name!", "0x12", &format!("0x{}", "ab".repeat(32))] {
        let error = ask(AskRequest { model: model.to_owned(), ..question(1) }).await;
        assert!(matches!(error, GatewayError::UnknownModel { .. }), "{error:?}");
    }
    let error = ask(with(floats(&[5], 5))).await;
    assert!(matches!(error, GatewayError::Input(InputReject::Features { expected: FEATURES, got: 5 })));
    let error = ask(with(floats(&[2, FEATURES as u64], 2 * FEATURES))).await;
    assert!(matches!(error, GatewayError::Input(InputReject::ManyRows { .. })));
    let error = ask(with(floats(&[9], FEATURES))).await;
    assert!(matches!(error, GatewayError::Input(InputReject::ShapeMismatch { .. })));
    let half = [(Privacy::Shared, None), (Privacy::Enclave, Some(Evidence::Proved))];
    for (privacy, evidence) in half {
        let error = ask(AskRequest { privacy, evidence, ..question(1) }).await;
        assert!(matches!(error, GatewayError::Unsupported { .. }));
    }
    let error = ask(AskRequest { evidence: Some(Evidence::Attested), ..question(1) }).await;
    assert!(matches!(error, GatewayError::Unsupported { .. }));
    let error = ask(AskRequest { max_price: Some(Amount(PRICE.0 - 1)), ..question(1) }).await;
    assert!(matches!(error, GatewayError::TooExpensive { cheapest: PRICE, .. }));
    let error = ask(AskRequest { worker: Some(wallet(9).address()), ..question(1) }).await;
    assert!(matches!(error, GatewayError::NoAsk { .. }));

    assert_eq!(ledger.client.balance(wallet(2).address()).await.unwrap(), before);
    assert!(gateway.status().await.unwrap().channels.is_empty());
    assert_eq!(worker.worker.earnings().unwrap().jobs, 0);
    assert!(matches!(gateway.find_receipt("0x12"), Err(GatewayError::UnknownReceipt { .. })));
    let nothing = gateway.bundle(JobId::random());
    assert!(matches!(nothing, Err(GatewayError::UnknownReceipt { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mode_nobody_serves_is_no_ask() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let engine = std::sync::Arc::new(tacit_worker::GraphEngine::new(model()));
    let only =
        tacit_worker::ServedModel::new("small", model().model().graph(), model().weight_root(), engine)
            .unwrap()
            .ask(Privacy::Clear, Evidence::Signed, PRICE);
    let _worker = WorkerPlan { models: vec![only], ..WorkerPlan::honest(1) }.start(&ledger.client).await;
    let error = gateway(&ledger.client, 2).ask(question(1)).await.unwrap_err();
    assert!(matches!(error, GatewayError::NoAsk { privacy: Privacy::Sealed, evidence: Evidence::Proved }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_wallet_is_told_what_it_needs() {
    let ledger = ledger(&[wallet(1).address()]).await;
    let worker = WorkerPlan::honest(1).start(&ledger.client).await;
    let error = gateway(&ledger.client, 2).ask(question(1)).await.unwrap_err();
    let GatewayError::NoFunds { address, balance, needed } = error else { panic!("{error:?}") };
    assert_eq!((address, balance), (wallet(2).address(), Amount::ZERO));
    assert!(needed > PRICE);
    assert_eq!(worker.worker.earnings().unwrap().jobs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_gone_costs_nothing() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let worker = WorkerPlan::honest(1).start(&ledger.client).await;
    drop(worker);
    let gateway = gateway(&ledger.client, 2);
    let error = gateway.ask(question(1)).await.unwrap_err();
    assert!(matches!(error, GatewayError::Unreachable { job_id: None, .. }), "{error:?}");
    assert!(gateway.status().await.unwrap().channels.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_changed_is_refused_before_work() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let folder = tempfile::tempdir().unwrap();
    let key = || SealingKey::load_or_create(&folder.path().join("key")).unwrap();
    let running = WorkerPlan { sealing: key(), ..WorkerPlan::honest(1) }.start(&ledger.client).await;
    let port = running.server.url.rsplit(':').next().unwrap().parse().unwrap();
    drop(running);
    let engine = std::sync::Arc::new(tacit_worker::GraphEngine::new(model()));
    let models = vec![served(&model(), "small", engine, Amount(PRICE.0 / 2))];
    let plan = WorkerPlan { sealing: key(), models, port, ..WorkerPlan::honest(1) };
    let running = plan.start_quietly(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    let error = gateway.ask(question(1)).await.unwrap_err();
    assert!(matches!(error, GatewayError::StalePrice { .. }), "{error:?}");
    assert_eq!(running.worker.earnings().unwrap().jobs, 0);
    // The worker says its price on the ledger, and the next question pays it.
    running.worker.publish_and_ask(&running.server.url).await.unwrap();
    assert_eq!(gateway.ask(question(1)).await.unwrap().price, Amount(PRICE.0 / 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_sealing_key_is_refused_before_work() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let running = WorkerPlan::honest(1).start(&ledger.client).await;
    let port = running.server.url.rsplit(':').next().unwrap().parse().unwrap();
    drop(running);
    let running = WorkerPlan { port, ..WorkerPlan::honest(1) }.start_quietly(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    match gateway.ask(question(1)).await.unwrap_err() {
        GatewayError::Refused { code, .. } => assert_eq!(code, "bad_payload"),
        error => panic!("{error:?}"),
    }
    assert_eq!(running.worker.earnings().unwrap().jobs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_or_model_of_another_is_not_published_over() {
    let ledger = ledger(&[wallet(1).address(), wallet(3).address()]).await;
    let first = WorkerPlan::honest(1).start(&ledger.client).await;
    // The same model again, by another worker, is one more ask.
    let second = WorkerPlan::honest(3).start(&ledger.client).await;
    let listing = ledger.client.listing(honest().model_id()).await.unwrap();
    assert_eq!(listing.asks.len(), 8);
    // The same name for another model is refused.
    let engine = std::sync::Arc::new(tacit_worker::GraphEngine::new(crate::support::other_model()));
    let other = served(&crate::support::other_model(), "small", engine, PRICE);
    let plan = WorkerPlan { models: vec![other], ..WorkerPlan::honest(3) };
    let running = plan.start_quietly(&ledger.client).await;
    let refused = running.worker.publish_and_ask(&running.server.url).await;
    assert!(matches!(refused, Err(tacit_worker::WorkerError::NameTaken { .. })));
    let refused = first.worker.publish_and_ask("http://127.0.0.1:1/path").await;
    assert!(matches!(refused, Err(tacit_worker::WorkerError::Endpoint { .. })));
    drop((first, second));
}

/// Sends bytes, reads status and body.
async fn raw(url: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let address = url.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut text =
        format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "host") {
        text += &format!("host: {address}\r\n");
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += "\r\n";
    stream.write_all(text.as_bytes()).await.unwrap();
    // The server may refuse and hang up while a long body is still on its way.
    let _ = stream.write_all(body.as_bytes()).await;
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply).await;
    let reply = String::from_utf8(reply).unwrap();
    let status = reply.split(' ').nth(1).unwrap().parse().unwrap();
    (status, reply.split_once("\r\n\r\n").unwrap().1.to_owned())
}

fn code(body: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(body).unwrap();
    assert!(value["error"]["message"].is_string() && value["error"]["hint"].is_string());
    value["error"]["code"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_door_is_local_json_with_limits() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let _worker = WorkerPlan::honest(1).start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    let serving = std::sync::Arc::clone(&gateway);
    let server = Server::spawn(listen(0).await, |listener| async move {
        let _ = serving.serve(listener, core::future::pending()).await;
    });
    let json = ("content-type", "application/json");
    let url = server.url.as_str();
    let good = serde_json::to_string(&question(1)).unwrap();

    let not_a_number = good.replace("31.0", "NaN");
    assert_ne!(not_a_number, good);
    for (method, path, headers, body, status, expected) in [
        ("GET", "/nothing", vec![], String::new(), 404, "not_found"),
        ("GET", "/tacit/v1/ask", vec![], String::new(), 404, "not_found"),
        ("POST", "/tacit/v1/ask", vec![("content-type", "text/plain")], good.clone(), 415, "not_json"),
        ("POST", "/tacit/v1/ask", vec![], good.clone(), 415, "not_json"),
        ("POST", "/tacit/v1/ask", vec![json], "{".to_owned(), 400, "malformed_request"),
        ("POST", "/tacit/v1/ask", vec![json], not_a_number, 400, "malformed_request"),
        (
            "POST",
            "/tacit/v1/ask",
            vec![json],
            good.replace("\"model\"", "\"mode\""),
            400,
            "malformed_request",
        ),
        ("POST", "/tacit/v1/ask", vec![json], "1".repeat(5 << 20), 413, "body_too_long"),
        (
            "POST",
            "/tacit/v1/ask",
            vec![json, ("origin", "http://evil.example")],
            good.clone(),
            403,
            "foreign_origin",
        ),
        ("GET", "/tacit/v1/status", vec![("host", "evil.example")], String::new(), 403, "foreign_origin"),
        ("GET", "/tacit/v1/receipts/0x12", vec![], String::new(), 404, "unknown_receipt"),
        ("GET", "/tacit/v1/close", vec![], String::new(), 404, "not_found"),
        ("POST", "/tacit/v1/close", vec![], "{}".to_owned(), 415, "not_json"),
        ("POST", "/tacit/v1/close", vec![json], "{\"all\":true}".to_owned(), 400, "malformed_request"),
        (
            "POST",
            "/tacit/v1/close",
            vec![json, ("origin", "http://evil.example")],
            "{}".to_owned(),
            403,
            "foreign_origin",
        ),
        ("POST", "/tacit/v1/forgive", vec![], "{}".to_owned(), 415, "not_json"),
        ("POST", "/tacit/v1/forgive", vec![json], "{}".to_owned(), 400, "malformed_request"),
    ] {
        let (got, reply) = raw(url, method, path, &headers, &body).await;
        assert_eq!((got, code(&reply).as_str()), (status, expected), "{method} {path}");
    }
    assert!(gateway.status().await.unwrap().channels.is_empty());

    let (status, reply) =
        raw(url, "POST", "/tacit/v1/ask", &[json, ("origin", "http://localhost:3000")], &good).await;
    assert_eq!(status, 200, "{reply}");
    let answer: tacit_gateway::AskAnswer = serde_json::from_str(&reply).unwrap();
    for path in ["/tacit/v1/status", "/tacit/v1/models", "/tacit/v1/receipts"] {
        assert_eq!(raw(url, "GET", path, &[], "").await.0, 200, "{path}");
    }
    let (status, _) = raw(url, "GET", &format!("/tacit/v1/receipts/{}", answer.receipt), &[], "").await;
    assert_eq!(status, 200);
    let (_, bundle) = raw(url, "GET", &format!("/tacit/v1/receipts/{}/bundle", answer.job_id), &[], "").await;
    let bundle = tacit_gateway::Bundle::from_json(bundle.as_bytes()).unwrap();
    assert_eq!(tacit_gateway::verify_bundle(&bundle).unwrap().hash(), answer.receipt);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_door_closes_and_forgives() {
    let ledger = ledger(&[wallet(1).address(), wallet(2).address()]).await;
    let worker = WorkerPlan::honest(1).start(&ledger.client).await;
    let gateway = gateway(&ledger.client, 2);
    let asked = gateway.ask(AskRequest { evidence: Some(Evidence::Signed), ..question(1) }).await.unwrap();
    let serving = std::sync::Arc::clone(&gateway);
    let server = Server::spawn(listen(0).await, |listener| async move {
        let _ = serving.serve(listener, core::future::pending()).await;
    });
    let json = ("content-type", "application/json");

    for _ in 0..2 {
        let (status, reply) = raw(&server.url, "POST", "/tacit/v1/close", &[json], "{}").await;
        assert_eq!(status, 200, "{reply}");
        let Channels { channels } = serde_json::from_str(&reply).unwrap();
        assert_eq!(channels, gateway.status().await.unwrap().channels);
        assert!(channels.len() == 1 && channels[0].retired);
        assert_ne!(ledger.client.channel(channels[0].channel_id).await.unwrap().closeAt, 0);
    }

    let address = worker.worker.address();
    let distrust = Distrust { code: "x".to_owned(), message: "y".to_owned(), job_id: asked.job_id };
    gateway.store().put_distrusted(address, &distrust).unwrap();
    let body = serde_json::to_string(&Forgive { worker: address }).unwrap();
    let (status, reply) = raw(&server.url, "POST", "/tacit/v1/forgive", &[json], &body).await;
    assert_eq!((status, reply.as_str()), (200, body.as_str()));
    assert_eq!(gateway.store().distrust(address).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workers_door_speaks_typed_json() {
    let ledger = ledger(&[wallet(1).address()]).await;
    let running = WorkerPlan::honest(1).start(&ledger.client).await;
    let url = running.server.url.as_str();
    let json = ("content-type", "application/json");
    for (method, path, headers, body, status, expected) in [
        ("GET", "/nothing", vec![], String::new(), 404, "not_found"),
        ("DELETE", "/v1/jobs", vec![], String::new(), 404, "not_found"),
        ("POST", "/v1/jobs", vec![], "{}".to_owned(), 415, "not_json"),
        ("POST", "/v1/jobs", vec![json], "{}".to_owned(), 400, "malformed_request"),
        ("POST", "/v1/vouchers", vec![json], "[]".to_owned(), 400, "malformed_request"),
        ("POST", "/v1/jobs", vec![json], "1".repeat(2 << 20), 413, "body_too_long"),
        ("GET", "/v1/models/0x12", vec![], String::new(), 404, "not_found"),
    ] {
        let (got, reply) = raw(url, method, path, &headers, &body).await;
        assert_eq!((got, code(&reply).as_str()), (status, expected), "{method} {path}");
    }
    let zero = alloy_primitives::B256::ZERO;
    for (path, expected) in [
        (format!("/v1/models/{zero}"), "unknown_model"),
        (format!("/v1/channels/{zero}"), "unknown_channel"),
        (format!("/v1/receipts/{zero}"), "unknown_job"),
    ] {
        assert_eq!(code(&raw(url, "GET", &path, &[], "").await.1), expected);
    }
    for path in
        ["/v1/status".to_owned(), "/v1/models".to_owned(), format!("/v1/models/{}", honest().model_id())]
    {
        assert_eq!(raw(url, "GET", &path, &[], "").await.0, 200);
    }
}
