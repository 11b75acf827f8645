//! What those believe who have the network's file and no node.

use super::owner::{Engine, describe};
use super::roles::{Folder, Role};
use super::validators::{PAYEE, Validator, network, post, wait};
use super::{ok, refused, tacit, text};
use serde_json::{Value, json};

/// Saves the proof of a transaction's receipt, once a certificate is there.
fn prove(url: &str, transaction: &str, file: &str) -> Vec<u8> {
    wait("a certificate", || post(url, "tacit_getReceiptProof", json!([transaction])).is_string());
    ok(&["receipt", "prove", transaction, "--ledger", url, "-o", file]);
    std::fs::read(file).unwrap()
}

#[test]
fn a_receipt_is_proved_to_whoever_has_no_node() {
    let folder = Folder::new();
    let (_, account) = folder.key("payer.key");
    let (written, configs) = network(&folder, 4, &["--fund", &account]);
    let validators = Validator::start_all(&configs);
    let url = validators[1].url();
    let paid = ok(&["wallet", "send", &folder.path("payer.key"), PAYEE, "1", "--ledger", url]);
    let transaction = paid["transaction"].as_str().unwrap();
    let (file, known) = (folder.path("proof"), folder.path("network/network.toml"));
    let bytes = prove(url, transaction, &file);
    assert!(bytes.len() < 3_000, "{} bytes", bytes.len());
    let absent = alloy_primitives::B256::repeat_byte(1).to_string();
    assert_eq!(refused(&["receipt", "prove", &absent, "--ledger", url, "-o", &file])["code"], "no_proof");
    drop(validators);

    let check = |file: &str| ["receipt", "verify", "--light", file, "--network", &known].map(str::to_owned);
    let checked = |file: &str| ok(&check(file).each_ref().map(String::as_str));
    let verified = checked(&file);
    assert_eq!((&verified["transaction"], &verified["succeeded"]), (&json!(transaction), &json!(true)));
    assert_eq!((&verified["chain_id"], &verified["block"]), (&json!(82_249), &paid["block"]));
    let digits = folder.path("proof.hex");
    std::fs::write(&digits, format!("{}\n", alloy_primitives::hex::encode_prefixed(&bytes))).unwrap();
    assert_eq!(checked(&digits), verified);
    let told = tacit().args(check(&file)).output().unwrap();
    assert!(
        text(&told).contains(&format!("transaction {transaction} succeeded in block")),
        "{}",
        text(&told)
    );

    let refuse = |file: &str| refused(&check(file).each_ref().map(String::as_str))["code"].clone();
    for place in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        let mut forged = bytes.clone();
        forged[place] ^= 1;
        std::fs::write(&digits, &forged).unwrap();
        let code = refuse(&digits);
        assert!(["bad_proof", "proof_rejected"].contains(&code.as_str().unwrap()), "byte {place}: {code}");
    }
    std::fs::write(&digits, b"").unwrap();
    assert_eq!(refuse(&digits), "bad_proof");
    assert_eq!(refuse(&folder.path("nothing")), "no_file");

    // The same bytes prove nothing of another network, though it has the same accounts.
    let other = Folder::new();
    network(&other, 4, &["--fund", &account]);
    let foreign = other.path("network/network.toml");
    let error = refused(&["receipt", "verify", "--light", &file, "--network", &foreign]);
    assert_eq!(error["code"], "proof_rejected");
    let error = refused(&["receipt", "verify", "--light", &file, "--network", &configs[0]]);
    assert_eq!(error["code"], "bad_config");
    assert_eq!(written["first_block"], 0);
}

#[test]
fn an_anchored_job_is_proved_to_whoever_has_no_node() {
    let folder = Folder::new();
    let [(worker_key, worker), (client_key, client)] =
        ["worker.key", "client.key"].map(|name| folder.key(name));
    let (_, configs) = network(&folder, 1, &["--fund", &worker, "--fund", &client]);
    let validator = Validator::start(&configs[0]);
    let served = format!("{}=0.0002", folder.model("linear", &[4, 2]));
    let start = ["worker", "--ledger", validator.url(), "--key", &worker_key, "--model", &served];
    let working = Role::start(&[&start[..], &["--data", &folder.path("worker")]].concat());
    let start = ["gateway", "--ledger", validator.url(), "--key", &client_key];
    let gateway = Role::start(&[&start[..], &["--data", &folder.path("gateway")]].concat());
    let input = folder.path("row.json");
    let mut saved = Vec::new();
    for (name, row) in [("one", [1, 2, 3, 4]), ("two", [5, 6, 7, 8])] {
        std::fs::write(&input, json!({"shape": [4], "data": row}).to_string()).unwrap();
        let ask = ["ask", "linear", "--input", &input, "--evidence", "signed", "--gateway", gateway.url()];
        let answer = ok(&ask);
        let receipt = answer["receipt"].as_str().unwrap().to_owned();
        let file = folder.path(name);
        wait("it is anchored", || {
            ok(&["receipt", "show", &receipt, "-o", &file, "--gateway", gateway.url()]);
            let bundle: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            bundle["anchor"].is_object()
        });
        let bundle: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let block = format!("{:#x}", bundle["anchor"]["block"].as_u64().unwrap());
        let logs = json!([{"fromBlock": block, "toBlock": block, "address": tacit_abi::receipts::ADDRESS}]);
        let logs = post(validator.url(), "eth_getLogs", logs);
        let transaction = logs[0]["transactionHash"].as_str().unwrap().to_owned();
        let proof = folder.path(&format!("{name}.proof"));
        prove(validator.url(), &transaction, &proof);
        saved.push((receipt, file, proof));
    }
    drop((working, gateway, validator));

    let known = folder.path("network/network.toml");
    for (receipt, file, proof) in &saved {
        let verified = ok(&["receipt", "verify", file, "--light", proof, "--network", &known]);
        assert_eq!(verified["receipt"], receipt.as_str());
        assert_eq!(verified["anchored"][0]["worker"], worker.to_lowercase().as_str());
    }
    // Each transaction anchored its own job only.
    let crossed = refused(&["receipt", "verify", &saved[0].1, "--light", &saved[1].2, "--network", &known]);
    assert_eq!(crossed["code"], "proof_rejected");
    let crossed = refused(&["receipt", "verify", &saved[0].2, "--light", &saved[0].2, "--network", &known]);
    assert_eq!(crossed["code"], "receipt_rejected");
}

/// Of a language model's answer: its receipt is checked, with the tokenizer beside it counted again, and its anchor is proved, with the network's file alone.
#[test]
fn an_anchored_stream_is_proved_to_whoever_has_no_node() {
    let (folder, engine) = (Folder::new(), Engine::start());
    let [(worker_key, worker), (client_key, client)] =
        ["worker.key", "client.key"].map(|name| folder.key(name));
    let (_, configs) = network(&folder, 1, &["--fund", &worker, "--fund", &client]);
    let validator = Validator::start(&configs[0]);
    let (manifest, tokenizer) = (describe(&folder, "small"), folder.path("small/tokenizer.json"));
    let start = ["worker", "--ledger", validator.url(), "--key", &worker_key, "--engine", &engine.url];
    let served = ["--manifest", &manifest, "--tokenizer", &tokenizer, "--completion-price", "0.08"];
    let data = folder.path("worker");
    let working = Role::start(&[&start[..], &served, &["--data", &data]].concat());
    let start = ["gateway", "--ledger", validator.url(), "--key", &client_key];
    let gateway = Role::start(&[&start[..], &["--data", &folder.path("gateway")]].concat());
    let mut saved = Vec::new();
    for (name, other) in [("one", None), ("two", Some(0))] {
        assert_eq!(engine.ask(gateway.url()).0, 200);
        let listed = || ok(&["receipt", "list", "--gateway", gateway.url()])["receipts"].clone();
        let before = other.map(|at: usize| Value::clone(&saved[at]));
        let is_new = |entry: &&Value| before.as_ref().is_none_or(|before| before[0] != entry["receipt"]);
        wait("its receipt is kept", || listed().as_array().unwrap().iter().any(|entry| is_new(&entry)));
        let entry = listed().as_array().unwrap().iter().find(is_new).unwrap().clone();
        let (receipt, file) = (entry["receipt"].as_str().unwrap(), folder.path(name));
        let show = ["receipt", "show", receipt, "--gateway", gateway.url()];
        wait("it is anchored", || ok(&show)["block"].is_u64());
        ok(&[&show[..], &["-o", &file]].concat());
        let block = format!("{:#x}", ok(&show)["block"].as_u64().unwrap());
        let logs = json!([{"fromBlock": block, "toBlock": block, "address": tacit_abi::receipts::ADDRESS}]);
        let logs = post(validator.url(), "eth_getLogs", logs);
        let transaction = logs[0]["transactionHash"].as_str().unwrap().to_owned();
        let proof = folder.path(&format!("{name}.proof"));
        prove(validator.url(), &transaction, &proof);
        saved.push(json!([receipt, file, proof]));
    }
    drop((working, gateway, validator));

    let known = folder.path("network/network.toml");
    let text = |saved: &Value, at: usize| saved[at].as_str().unwrap().to_owned();
    for one in &saved {
        let words = ["receipt", "verify", &text(one, 1), "--light", &text(one, 2), "--network", &known];
        let verified = ok(&words);
        assert_eq!((&verified["receipt"], &verified["succeeded"]), (&one[0], &json!(true)));
        assert_eq!(verified["anchored"][0]["worker"], worker.to_lowercase().as_str());
    }
    let crossed =
        ["receipt", "verify", &text(&saved[0], 1), "--light", &text(&saved[1], 2), "--network", &known];
    assert_eq!(refused(&crossed)["code"], "proof_rejected");
    // Whoever changes what was answered has nothing.
    let mut changed: Value = serde_json::from_slice(&std::fs::read(text(&saved[0], 1)).unwrap()).unwrap();
    changed["answer"] = json!("");
    let other = folder.path("changed");
    std::fs::write(&other, changed.to_string()).unwrap();
    let words = ["receipt", "verify", &other, "--light", &text(&saved[0], 2), "--network", &known];
    assert_eq!(refused(&words)["code"], "receipt_rejected");
}
