//! Trees and networks that nobody but the client can read the questions to, through roles as processes.

use super::roles::{Folder, Role};
use super::{ok, refused, repository, tacit, words};
use serde_json::{Value, json};

/// Measurements of a person, by name, in a table.
const COLUMNS: usize = 30;

#[test]
fn trees_are_asked_unseen_by_name_and_the_answer_is_done_again() {
    let folder = Folder::new();
    let path = |name: &str| folder.path(name);
    let [(worker_key, worker_account), (client_key, client_account)] =
        ["worker.key", "client.key"].map(|name| folder.key(name));
    let shipped = |file: &str| repository(&format!("models/breast-cancer-oblivious/{file}"));
    let trees = path("trees.tacit");
    let held_out = shipped("held_out.json");
    let (onnx, calibration, names) =
        (shipped("model.onnx"), shipped("calibration.npy"), shipped("features.json"));
    let import = ["model", "import", words(&onnx), "--calibration", words(&calibration)];
    ok(&[
        &import[..],
        &["--features", words(&names), "--held-out", words(&held_out), "--leaf-bits", "9", "-o", &trees],
    ]
    .concat());
    // Before anything runs: what it costs.
    let plan = &ok(&["model", "show", &trees])["encrypted"];
    assert_eq!(
        (&plan["tier"], &plan["exact"], &plan["bootstraps"]),
        (&json!("look-ups"), &json!(true), &json!(20))
    );

    let ledger = Role::start(&["node", "dev", "--fund", &worker_account, "--fund", &client_account]);
    let data = path("worker");
    let deep = folder.model("deep", &[8, 4, 4, 4, 4, 4, 4, 2]);
    let [served, served_too] = [&trees, &deep].map(|model| format!("{model}=0.0002"));
    let worker =
        ["worker", "--ledger", ledger.url(), "--model", &served, "--key", &worker_key, "--data", &data];
    let worker = Role::start(&[&worker[..], &["--model", &served_too, "--reproducible"]].concat());
    let offer = &worker.ready["encrypted"][0]["offer"];
    assert_eq!((&offer["exact"], &offer["key_bytes"]), (&json!(true), &plan["key_bytes"]));
    let gateway =
        Role::start(&["gateway", "--ledger", ledger.url(), "--key", &client_key, "--data", &path("gateway")]);

    let held_out: Value = serde_json::from_slice(&std::fs::read(held_out).unwrap()).unwrap();
    let names: Vec<String> = serde_json::from_slice(&std::fs::read(names).unwrap()).unwrap();
    let line = |row: &Value| {
        let values: Vec<String> = row.as_array().unwrap().iter().map(ToString::to_string).collect();
        values.join(",")
    };
    let rows: Vec<String> = held_out["rows"].as_array().unwrap().iter().take(2).map(line).collect();
    assert_eq!(names.len(), COLUMNS);
    let table = path("people.csv");
    std::fs::write(&table, format!("{}\n{}\n", names.join(","), rows.join("\n"))).unwrap();
    let ask =
        ["ask", "trees", "--input", &table, "--privacy", "encrypted", "--gateway", gateway.url(), "--row"];
    let mut receipt = String::new();
    for row in ["1", "2"] {
        let answer = ok(&[&ask[..], &[row]].concat());
        let expected = ok(&["run", &trees, "--input", &table, "--row", row])["answers"][0]["label"].clone();
        assert_eq!((&answer["label"], answer.get("approximate")), (&expected, None));
        assert!(answer["margin"].is_number() && answer["bytes_up"].as_u64().unwrap() < 1_000);
        receipt = answer["receipt"].as_str().unwrap().to_owned();
    }
    // What fits in no way is refused with the reason, which only the worker knows.
    let small = path("small.json");
    std::fs::write(&small, json!({"shape": [8], "data": [1, 2, 3, 4, 5, 6, 7, 8]}).to_string()).unwrap();
    let refusal =
        refused(&["ask", "deep", "--input", &small, "--privacy", "encrypted", "--gateway", gateway.url()]);
    assert_eq!(refusal["code"], "does_not_fit");
    assert!(refusal["message"].as_str().unwrap().contains("take fewer layers"), "{refusal}");
    let text = tacit().args(ask).arg("1").output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("sent once") && text.contains("the worker's word"), "{text}");

    // An auditor, from the worker's folder and from what the client gives.
    let [file, saved, opened] = ["audit.json", "receipt.json", "opened.json"].map(path);
    let show = ["receipt", "show", &receipt, "--gateway", gateway.url(), "-o"];
    ok(&[&show[..], &[&file, "--for-audit"]].concat());
    ok(&[&show[..], &[&saved]].concat());
    ok(&[&show[..], &[&opened, "--with-keys"]].concat());
    drop((gateway, worker, ledger));
    let audit = ["receipt", "audit", &file, "--model", &trees, "--data", &data];
    assert_eq!(ok(&audit)["equal"], true);
    std::fs::remove_file(path("audit.json.keys")).unwrap();
    assert_eq!(ok(&audit)["equal"], true);
    let folder_of_keys = std::path::Path::new(&data).join("keys");
    std::fs::remove_dir_all(folder_of_keys).unwrap();
    assert_eq!(refused(&audit)["code"], "no_keys");

    assert_eq!(ok(&["receipt", "verify", &saved])["opened"], false);
    assert_eq!(ok(&["receipt", "verify", &opened])["opened"], true);
}

/// A network fits nearly, and says so before it is asked; what fits in no way is refused with a way out.
#[test]
fn models_say_whether_and_how_they_fit() {
    let folder = Folder::new();
    let plan = |name: &str, widths: &[u32]| {
        let model = folder.model(name, widths);
        ok(&["model", "show", &model])["encrypted"].clone()
    };
    let near = plan("near", &[64, 16, 10]);
    assert_eq!((&near["exact"], &near["bootstraps"]), (&json!(false), &json!(16)));
    assert!(near["worker_ms"].as_f64().unwrap() > 100.0 && near["key_bytes"].as_u64().unwrap() < 31_000_000);
    assert_eq!(plan("linear", &[64, 10])["tier"], "linear");
    assert_eq!(near["agreement"], Value::Null);
    let wide = plan("wide", &[64, 5000, 10]);
    assert!(wide["misfit"].as_str().unwrap().contains("fewer"), "{wide}");
}

/// Nobody is asked whose answers are approximate and were not measured; then the worker says how often they are the model's, and hidden
/// questions are answered as nearly as it promises.
#[test]
fn an_approximate_model_is_served_once_it_is_measured() {
    let folder = Folder::new();
    let path = |name: &str| folder.path(name);
    let [(worker_key, worker_account), (client_key, client_account)] =
        ["worker.key", "client.key"].map(|name| folder.key(name));
    let model = folder.model("near", &[12, 6, 3]);
    let row = |number: i64| (0..12).map(|index| (number * 31 + index * 17) % 200 - 100).collect::<Vec<_>>();
    let rows: Vec<Vec<i64>> = (0..6).map(row).collect();
    let (held_out, question) = (path("rows.json"), path("question.json"));
    std::fs::write(&held_out, json!({"rows": rows, "labels": []}).to_string()).unwrap();
    std::fs::write(&question, json!({"shape": [12], "data": rows[0]}).to_string()).unwrap();

    let ledger = Role::start(&["node", "dev", "--fund", &worker_account, "--fund", &client_account]);
    let served = format!("{model}=0.0002");
    let data = path("worker");
    let start = || {
        Role::start(&[
            "worker",
            "--ledger",
            ledger.url(),
            "--model",
            &served,
            "--key",
            &worker_key,
            "--data",
            &data,
        ])
    };
    let worker = start();
    let reason = worker.ready["encrypted"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("tacit model measure"), "{reason}");
    drop(worker);
    let measured = ok(&["model", "measure", &model, "--held-out", &held_out]);
    assert_eq!((&measured["rows"], &measured["right"]), (&json!(6), &Value::Null));
    assert!(measured["furthest"].as_f64().unwrap() <= measured["tolerance"].as_f64().unwrap(), "{measured}");
    let agreement = json!({"rows": 6, "agreed": measured["agreed"]});
    assert_eq!(ok(&["model", "show", &model])["encrypted"]["agreement"], agreement);

    let worker = start();
    assert_eq!(worker.ready["encrypted"][0]["offer"]["agreement"], agreement);
    let gateway =
        Role::start(&["gateway", "--ledger", ledger.url(), "--key", &client_key, "--data", &path("gateway")]);
    let ask = [
        "ask",
        "near",
        "--input",
        &question,
        "--privacy",
        "encrypted",
        "--evidence",
        "audited",
        "--max-price",
        "0.01",
        "--gateway",
        gateway.url(),
    ];
    let answer = ok(&ask);
    let near = &answer["approximate"];
    assert_eq!((&near["rows"], &near["agreed"]), (&json!(6), &measured["agreed"]));
    assert_eq!(near["tolerance"], measured["tolerance"]);
    assert!(answer["canaries_passed"].as_u64().unwrap() >= 1);
    assert_eq!(answer["canaries_asked"], answer["canaries_passed"]);
    let text = String::from_utf8(tacit().args(ask).output().unwrap().stdout).unwrap();
    assert!(text.contains("held-out labels as without encryption") && text.contains("to within"), "{text}");

    // Nothing to measure where answers are exact; no rows, or not a label for each.
    let linear = folder.model("linear", &[12, 3]);
    assert_eq!(refused(&["model", "measure", &linear, "--held-out", &held_out])["code"], "exact");
    for (rows, labels) in [(json!([]), json!([])), (json!(rows), json!(["1"]))] {
        std::fs::write(&held_out, json!({"rows": rows, "labels": labels}).to_string()).unwrap();
        assert_eq!(refused(&["model", "measure", &model, "--held-out", &held_out])["code"], "bad_input");
    }
}
