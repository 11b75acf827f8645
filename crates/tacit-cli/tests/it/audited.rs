//! What makes an encrypted answer more than its worker's word, through roles as processes: hidden questions, an auditor, and a quota.

use super::roles::{Folder, Role};
use super::{ok, refused, tacit};
use serde_json::{Value, json};

fn run(arguments: &[String]) -> Value {
    ok(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn refuse(arguments: &[String]) -> Value {
    refused(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn an_audited_question_is_asked_done_again_and_counted() {
    let folder = Folder::new();
    let path = |name: &str| folder.path(name);
    let [(worker_key, worker_account), (client_key, client_account)] =
        ["worker.key", "client.key"].map(|name| folder.key(name));
    let [linear, other] =
        [("linear", 4), ("other", 5)].map(|(name, outputs)| folder.model(name, &[12, outputs]));
    let ledger = Role::start(&["node", "dev", "--fund", &worker_account, "--fund", &client_account]);
    let (data, served) = (path("worker"), format!("{linear}=0.0002"));
    // The first question takes a hidden one and its proof, the second another pair, and no more.
    let start = ["worker", "--ledger", ledger.url(), "--key", &worker_key, "--data", &data];
    let worker = Role::start(&[start.as_slice(), &["--model", &served, "--quota", "6"]].concat());
    assert_eq!(worker.ready["quota"], json!({"per_client": 6, "total": null}));
    let gateway = ["gateway", "--ledger", ledger.url(), "--key", &client_key, "--canary-rate", "1"];
    let gateway = Role::start(&[gateway.as_slice(), &["--data", &path("gateway")]].concat());

    let row: Vec<f64> = (0..12).map(|value| f64::from(value * 9 - 50)).collect();
    let input = path("row.json");
    std::fs::write(&input, json!({"shape": [12], "data": row}).to_string()).unwrap();
    let ask = |more: &[&str]| -> Vec<String> {
        let words =
            ["ask", "linear", "--input", &input, "--privacy", "encrypted", "--gateway", gateway.url()];
        words.iter().chain(&["--evidence", "audited"]).chain(more).map(|&word| word.to_owned()).collect()
    };
    let dear = refuse(&ask(&["--max-price", "0.0009"]));
    assert_eq!(dear["code"], "too_expensive");
    let answer = run(&ask(&["--max-price", "0.001"]));
    let expected = ok(&["run", &linear, "--input", &input])["answers"][0].clone();
    assert_eq!(answer["label"], expected["label"]);
    assert_eq!(
        (&answer["evidence"], &answer["canaries_asked"], &answer["canaries_passed"]),
        (&json!("audited"), &json!(2), &json!(2))
    );
    assert_eq!((&answer["price"], &answer["canary_price"]), (&json!("0.0002"), &json!("0.0008")));

    // Five of six questions are used up: the next is answered, and then no more until midnight.
    let text = tacit().args(ask(&[])).output().unwrap();
    let error = String::from_utf8(text.stderr).unwrap();
    assert!(error.contains("at most 6 of one client's questions") && error.contains("00:00 UTC"), "{error}");
    let over = refuse(&ask(&[]));
    assert!(["quota_exceeded", "not_judged"].contains(&over["code"].as_str().unwrap()), "{over}");

    // Somebody who must not see the row does the answer again.
    let shown = |id: &str, file: &str, more: &[&str]| {
        let words = ["receipt", "show", id, "-o", file, "--gateway", gateway.url()];
        run(&words.iter().chain(more).map(|&word| word.to_owned()).collect::<Vec<_>>())
    };
    let (receipt, audit, whole) =
        (answer["receipt"].as_str().unwrap(), path("audit.json"), path("receipt.json"));
    shown(receipt, &audit, &["--for-audit"]);
    shown(receipt, &whole, &[]);
    let given: Value = serde_json::from_slice(&std::fs::read(&audit).unwrap()).unwrap();
    assert!(
        given["input"].is_null() && given["output"].is_null() && given["encrypted"]["question"].is_null()
    );
    let equal = ok(&["receipt", "audit", &audit, "--model", &linear, "--data", &data, "--give-seed"]);
    assert_eq!((&equal["equal"], &equal["receipt"]), (&json!(true), &json!(receipt)));
    let seed = equal["seed"].as_str().unwrap();
    for file in [&audit, &whole] {
        let again = ok(&["receipt", "audit", file, "--model", &linear, "--seed", seed]);
        assert_eq!((&again["equal"], again.get("seed")), (&json!(true), None));
    }
    let zeros = "0".repeat(64);
    for (model, source, code) in [
        (&other, ["--data", data.as_str()], "wrong_model"),
        (&linear, ["--seed", zeros.as_str()], "wrong_seed"),
        (&linear, ["--data", "nowhere"], "key_file"),
    ] {
        let words = ["receipt", "audit", &audit, "--model", model, source[0], source[1]];
        assert_eq!(refused(&words)["code"], code);
    }
    let other_worker = path("stranger");
    std::fs::create_dir(&other_worker).unwrap();
    let key = folder.join("stranger/audit.key");
    std::fs::copy(&worker_key, &key).unwrap();
    let words = ["receipt", "audit", &audit, "--model", &linear, "--data", &other_worker];
    assert_eq!(refused(&words)["code"], "wrong_key");

    // Receipts say which questions were the user's; nothing convicts anybody.
    let listed = ok(&["receipt", "list", "--gateway", gateway.url()]);
    let kinds: Vec<&str> = listed["receipts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|receipt| receipt["kind"].as_str().unwrap())
        .collect();
    let count = |kind: &str| kinds.iter().filter(|other| **other == kind).count();
    // The dice say whether the last that was answered was hidden or the user's.
    assert_eq!((kinds.len(), count("known_row")), (6, 2), "{kinds:?}");
    assert!((2..=3).contains(&count("canary")), "{kinds:?}");
    let evidence = ok(&["receipt", "evidence", "--gateway", gateway.url()]);
    assert_eq!(evidence, json!({"false_answers": []}));
    assert_eq!(ok(&["receipt", "verify", &whole])["answer"], expected["label"]);
    let convicts_nobody = path("evidence.json");
    std::fs::write(&convicts_nobody, json!({"version": 1, "answer": given, "truth": given}).to_string())
        .unwrap();
    assert_eq!(refused(&["receipt", "verify", &convicts_nobody])["code"], "evidence_rejected");
}

#[test]
fn a_sealed_answer_is_done_again_by_whoever_has_the_model() {
    let folder = Folder::new();
    let path = |name: &str| folder.path(name);
    let [
        (worker_key, worker_account),
        (client_key, client_account),
        (second_key, second_account),
        (plain_key, plain_account),
    ] = ["worker.key", "client.key", "second.key", "plain.key"].map(|name| folder.key(name));
    let [model, other] =
        [("small", 4), ("other", 5)].map(|(name, outputs)| folder.model(name, &[12, 8, outputs]));
    let accounts = [&worker_account, &client_account, &second_account, &plain_account];
    let funded = accounts.iter().flat_map(|account| ["--fund", account.as_str()]);
    let ledger = Role::start(&["node", "dev"].into_iter().chain(funded).collect::<Vec<_>>());
    let served = format!("{model}=0.0002");
    let start = ["worker", "--ledger", ledger.url(), "--key", &worker_key, "--model", &served];
    let data = path("worker");
    let careless = Role::start(&[start.as_slice(), &["--data", &data]].concat());
    let gateway = ["gateway", "--ledger", ledger.url(), "--key", &client_key, "--audit-rate", "1"];
    let models = ["--audit-model", &other, "--audit-model", &model];
    let gateway = Role::start(&[gateway.as_slice(), &models, &["--data", &path("gateway")]].concat());

    let row: Vec<f64> = (0..12).map(|value| f64::from(value * 9 - 50)).collect();
    let input = path("row.json");
    std::fs::write(&input, json!({"shape": [12], "data": row}).to_string()).unwrap();
    let ask = ["ask", "small", "--input", &input, "--evidence", "audited", "--gateway", gateway.url()];
    assert_eq!(refused(&ask)["code"], "not_auditable");
    drop(careless);

    let _worker = Role::start(&[start.as_slice(), &["--data", &data, "--audited"]].concat());
    let answer = ok(&ask);
    let expected = ok(&["run", &model, "--input", &input])["answers"][0].clone();
    assert_eq!(answer["label"], expected["label"]);
    assert_eq!((&answer["evidence"], &answer["privacy"]), (&json!("audited"), &json!("sealed")));
    assert_eq!((&answer["verified"], &answer["audit"]), (&json!(false), &json!({"state": "passed"})));
    let text = tacit().args(ask).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("audited: done again here"), "{text}");
    let shown = ok(&["receipt", "show", answer["receipt"].as_str().unwrap(), "--gateway", gateway.url()]);
    assert_eq!(shown["audit"], json!({"state": "passed"}));

    // A gateway without the model's file asks a second worker, or says that nobody looked.
    let dearer = format!("{model}=0.0003");
    let start = ["worker", "--ledger", ledger.url(), "--key", &second_key, "--model", &dearer];
    let _second = Role::start(&[start.as_slice(), &["--data", &path("second"), "--audited"]].concat());
    let plain = ["gateway", "--ledger", ledger.url(), "--key", &plain_key, "--audit-rate", "1"];
    let plain_data = path("plain");
    let plain = [plain.as_slice(), &["--data", &plain_data]].concat();
    let gateway = Role::start(&plain);
    let ask = ["ask", "small", "--input", &input, "--evidence", "audited", "--gateway", gateway.url()];
    let answer = ok(&ask);
    assert_eq!((&answer["price"], &answer["canary_price"]), (&json!("0.0002"), &json!("0.0003")));
    let with = &answer["audit"]["with"];
    assert_eq!((&answer["audit"]["state"], &with["worker"]), (&json!("agreed"), &json!(second_account)));
    let shown = ok(&["receipt", "show", with["receipt"].as_str().unwrap(), "--gateway", gateway.url()]);
    assert_eq!((&shown["kind"], &shown["audit"]["state"]), (&json!("second"), &json!("agreed")));
    let text = String::from_utf8(tacit().args(ask).output().unwrap().stdout).unwrap();
    assert!(text.contains("did the same run") && text.contains("to a second worker"), "{text}");
    drop(gateway);
    let alone = Role::start(&[plain.as_slice(), &["--audit-alone"]].concat());
    let ask = ["ask", "small", "--input", &input, "--evidence", "audited", "--gateway", alone.url()];
    assert_eq!(ok(&ask)["audit"], json!({"state": "no_weights"}));
}

/// Its stake stands behind answers that it gave for as long as they can be disputed, and somebody has to answer for them.
#[test]
fn a_drained_worker_is_not_to_be_stopped_while_its_answers_may_be_disputed() {
    let folder = Folder::new();
    let [(worker_key, worker), (client_key, client)] =
        ["worker.key", "client.key"].map(|name| folder.key(name));
    let model = folder.model("small", &[12, 8, 4]);
    let ledger = Role::start(&["node", "dev", "--fund", &worker, "--fund", &client]);
    let served = format!("{model}=0.0002");
    let start = ["worker", "--ledger", ledger.url(), "--key", &worker_key, "--model", &served, "--audited"];
    let working = Role::start(&[&start[..], &["--data", &folder.path("worker")]].concat());
    let start = ["gateway", "--ledger", ledger.url(), "--key", &client_key];
    let gateway = Role::start(&[&start[..], &["--data", &folder.path("gateway")]].concat());
    let input = folder.path("row.json");
    std::fs::write(&input, json!({"shape": [12], "data": vec![1.0; 12]}).to_string()).unwrap();
    ok(&["ask", "small", "--input", &input, "--evidence", "audited", "--gateway", gateway.url()]);

    let order =
        |what: &str| ["worker", what, "--key", &worker_key, "--worker", working.url()].map(str::to_owned);
    let drained = run(&order("drain"));
    assert_eq!(drained["safe_to_stop"], false);
    // Everything else comes to an end, and that does not.
    super::validators::wait("only disputes are waited for", || {
        run(&order("status"))["waiting_for"] == json!(["disputes"])
    });
    let report = run(&order("status"));
    let until_s = report["audits"]["until_s"].as_u64().unwrap();
    let left_s = until_s - report["now_s"].as_u64().unwrap();
    assert!(left_s > tacit_abi::audits::CHALLENGE_WINDOW_S - 3_600, "{report}");
    assert_eq!((&report["audits"]["open"], &report["safe_to_stop"]), (&json!(0), &json!(false)));
    let told = tacit().args(order("drain")).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("answers that it gave may be disputed for another"), "{told}");
    let withdraw = ["worker", "withdraw", "--key", &worker_key, "--ledger", ledger.url()];
    assert_eq!(ok(&withdraw)["came_home"], "0");
}
