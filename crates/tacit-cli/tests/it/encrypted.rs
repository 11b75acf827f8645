//! A question that nobody but the client can read, through roles as processes.

use super::roles::{Folder, Role};
use super::{ok, refused, tacit};
use serde_json::{Value, json};

#[test]
#[cfg_attr(feature = "pbs", ignore = "models with look-ups can be asked in this build")]
fn an_encrypted_question_goes_through_the_roles_and_its_receipt_verifies_offline() {
    let folder = Folder::new();
    let path = |name: &str| folder.path(name);
    let [(worker_key, worker_account), (client_key, client_account)] =
        ["worker.key", "client.key"].map(|name| folder.key(name));
    let [linear, deep] = [("linear", [12, 4].as_slice()), ("deep", &[12, 8, 4])]
        .map(|(name, widths)| folder.model(name, widths));
    let ledger = Role::start(&["node", "dev", "--fund", &worker_account, "--fund", &client_account]);
    let worker = Role::start(&[
        "worker",
        "--ledger",
        ledger.url(),
        "--model",
        &format!("{linear}=0.0002"),
        "--model",
        &format!("{deep}=0.0002"),
        "--key",
        &worker_key,
        "--data",
        &path("worker"),
    ]);
    // The worker says what it offers under encryption, and why not.
    let [offered, misfit] = [0, 1].map(|index| &worker.ready["encrypted"][index]);
    assert_eq!((&offered["model"], &offered["offer"]["query_bytes"]), (&json!("linear"), &json!(24_610)));
    assert!(misfit["offer"].is_null() && misfit["reason"].as_str().unwrap().contains("look-up in a table"));
    let gateway =
        Role::start(&["gateway", "--ledger", ledger.url(), "--key", &client_key, "--data", &path("gateway")]);

    let row: Vec<f64> = (0..12).map(|value| f64::from(value * 9 - 50)).collect();
    let input = path("row.json");
    std::fs::write(&input, json!({"shape": [12], "data": row}).to_string()).unwrap();
    let ask = |model: &str, more: &[&str]| -> Vec<String> {
        let words = ["ask", model, "--input", &input, "--privacy", "encrypted", "--gateway", gateway.url()];
        words.iter().chain(more).map(|&word| word.to_owned()).collect()
    };
    let run = |arguments: Vec<String>| ok(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let refuse = |arguments: Vec<String>| refused(&arguments.iter().map(String::as_str).collect::<Vec<_>>());

    let answer = run(ask("linear", &[]));
    let expected = ok(&["run", &linear, "--input", &input])["answers"][0].clone();
    assert_eq!(answer["label"], expected["label"]);
    assert_eq!(
        (&answer["privacy"], &answer["evidence"], &answer["verified"], &answer["paid"]),
        (&json!("encrypted"), &json!("signed"), &json!(false), &json!(true))
    );
    assert_eq!(answer["bytes_up"], 24_610);
    assert_eq!(refuse(ask("deep", &[]))["code"], "does_not_fit");
    assert_eq!(refuse(ask("linear", &["--evidence", "proved"]))["code"], "unprovable");

    let text = tacit().args(ask("linear", &[])).output().unwrap();
    let line = String::from_utf8(text.stdout).unwrap();
    assert!(line.contains("encrypted: 24.6 kB up, ") && line.contains("the worker's word"), "{line}");

    let file = path("receipt.json");
    let receipt = answer["receipt"].as_str().unwrap();
    ok(&["receipt", "show", receipt, "-o", &file, "--gateway", gateway.url()]);
    let anchored = ok(&["receipt", "verify", &file, "--ledger", ledger.url()]);
    assert_eq!(anchored["block"], answer["block"]);
    drop((gateway, worker, ledger));
    let verified = ok(&["receipt", "verify", &file]);
    assert_eq!((&verified["answer"], &verified["security_bits"]), (&expected["label"], &Value::Null));
    // Another input does not give the query that was sent.
    let mut forged: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    forged["input"][3] = json!(forged["input"][3].as_i64().unwrap() + (20 << 24));
    std::fs::write(&file, forged.to_string()).unwrap();
    let refused = refused(&["receipt", "verify", &file]);
    assert_eq!(refused["code"], "receipt_rejected");
    assert!(refused["message"].as_str().unwrap().contains("not about the input"));
}
