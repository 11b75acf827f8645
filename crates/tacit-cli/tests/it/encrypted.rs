//! A question that nobody but the client can read, through roles as processes.

use super::{ok, refused, tacit, words};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use tacit_graph::{ImportReport, ModelFile, synthetic_mlp};
use tacit_prove::CommittedModel;
use tacit_verify::SecurityBits;

/// A role that ends with its handle.
struct Role {
    child: Child,
    ready: Value,
}

impl Role {
    fn start(arguments: &[&str]) -> Self {
        let mut child = tacit()
            .args(["--json"])
            .args(arguments)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, ready: serde_json::from_str(&line).unwrap() }
    }

    fn url(&self) -> &str {
        self.ready["url"].as_str().unwrap()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A model that was never trained, as a file.
fn model(folder: &Path, name: &str, widths: &[u32]) -> String {
    let model = synthetic_mlp(widths, 7).unwrap();
    let weight_root = CommittedModel::commit(model.clone(), SecurityBits::DEFAULT).unwrap().weight_root();
    let report = ImportReport::unmeasured(&model);
    let file = ModelFile { name: name.to_owned(), weight_root, hiding: None, model, report };
    let path = folder.join(format!("{name}.tacit"));
    std::fs::write(&path, file.encode()).unwrap();
    words(&path).to_owned()
}

#[test]
fn an_encrypted_question_goes_through_the_roles_and_its_receipt_verifies_offline() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| words(&folder.path().join(name)).to_owned();
    let [worker_key, client_key] = [path("worker.key"), path("client.key")];
    let [worker_account, client_account] = [&worker_key, &client_key]
        .map(|key| ok(&["wallet", "new", key])["address"].as_str().unwrap().to_owned());
    let [linear, deep] = [("linear", [12, 4].as_slice()), ("deep", &[12, 8, 4])]
        .map(|(name, widths)| model(folder.path(), name, widths));
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
