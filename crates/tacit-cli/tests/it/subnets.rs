//! A subnet from its beginning to what it pays: two workers of the market, one of which serves the same network badly quantised, and a validator that finds out.

use super::roles::{Folder, Role};
use super::validators::post;
use super::{ok, refused, repository, tacit, words};
use serde_json::{Value, json};

/// Rows on which each worker is scored: enough that nine right of ten and few of ten are never taken for each other.
const ROWS: usize = 24;
/// Time passes at a word; what the test itself takes is a small part of this.
const EPOCH_S: u64 = 600;

/// The digits network as it is shipped, and once more with scales chosen for a tenth of its inputs, so that whatever is larger saturates.
fn models(folder: &Folder) -> [String; 2] {
    let file = |name: &str| repository(&format!("models/digits/{name}"));
    let rows: Value = serde_json::from_slice(&std::fs::read(file("held_out.json")).unwrap()).unwrap();
    let rows = rows["rows"].as_array().unwrap();
    let small: Vec<f64> = rows[..32]
        .iter()
        .flat_map(|row| row.as_array().unwrap().iter().map(|value| value.as_f64().unwrap() / 10.0))
        .collect();
    let calibration = folder.join("small.json");
    std::fs::write(&calibration, json!({"shape": [32, 64], "data": small}).to_string()).unwrap();
    let import = |name: &str, calibration: &str| {
        let path = folder.path(&format!("{name}.tacit"));
        let (onnx, held_out) = (file("model.onnx"), file("held_out.json"));
        let from = ["model", "import", words(&onnx), "--calibration", calibration, "--plain"];
        let report = ok(&[&from[..], &["--held-out", words(&held_out), "-o", &path]].concat());
        (path, report["integer_score"].as_f64().unwrap())
    };
    let (good, best) = import("digits", words(&file("calibration.npy")));
    let (poor, worst) = import("digits-poor", words(&calibration));
    assert!(best > 0.95 && worst < 0.7, "{best} {worst}");
    [good, poor]
}

fn pass(ledger: &Role, seconds: u64) {
    post(ledger.url(), "evm_increaseTime", json!([seconds]));
    post(ledger.url(), "evm_mine", json!([]));
}

#[test]
fn the_better_worker_earns_more() {
    let folder = Folder::new();
    let names = ["good.key", "poor.key", "validator.key", "client.key", "absent.key"];
    let keys = names.map(|name| folder.key(name));
    let [good, poor, validator, client, absent] = &keys;
    let funded = keys.iter().flat_map(|(_, account)| ["--fund", account.as_str()]);
    let ledger = Role::start(&["node", "dev"].into_iter().chain(funded).collect::<Vec<_>>());
    let [good_model, poor_model] = models(&folder);
    let serve = |(key, _): &(String, String), model: &str, data: &str| {
        let served = format!("{model}=0.0002");
        let data = folder.path(data);
        let start = ["worker", "--ledger", ledger.url(), "--key", key, "--model", &served, "--data", &data];
        Role::start(&start)
    };
    let _workers = [serve(good, &good_model, "good"), serve(poor, &poor_model, "poor")];
    let data = folder.path("gateway");
    let gateway = Role::start(&["gateway", "--ledger", ledger.url(), "--key", &client.0, "--data", &data]);

    let held_out = repository("models/digits/held_out.json");
    let held_out = words(&held_out);
    let act = |words: &[&str], who: &(String, String)| {
        ok(&[&["subnet"], words, &["--key", &who.0, "--ledger", ledger.url()]].concat())
    };
    let terms =
        ["create", "--kind", "digits", "--held-out", held_out, "--epoch-s", "600", "--reveal-s", "300"];
    let created = act(&[&terms[..], &["--payout-millionths", "100000", "--workers", "8"]].concat(), client);
    assert_eq!((&created["subnet"], &created["text"]), (&json!(0), &json!("digits: 360 held-out rows")));
    act(&["deposit", "0", "10"], client);
    for who in [good, poor, absent] {
        act(&["register", "0"], who);
    }
    act(&["bond", "0", "5"], validator);
    pass(&ledger, EPOCH_S);

    let (scores, rows) = (folder.path("scores"), ROWS.to_string());
    let score = |file: &str| {
        let words = ["subnet", "score", "0", "--held-out", file, "--rows", &rows, "--scores", &scores];
        let more = ["--gateway", gateway.url(), "--key", &validator.0, "--ledger", ledger.url()];
        [&words[..], &more[..]].concat().into_iter().map(str::to_owned).collect::<Vec<String>>()
    };
    let other = repository("models/breast-cancer/held_out.json");
    assert_eq!(refused(&borrowed(&score(words(&other))))["code"], "wrong_task");
    let scored = ok(&borrowed(&score(held_out)));
    let found = scored["scores"].as_array().unwrap();
    let right: Vec<u64> = found.iter().map(|score| score["right"].as_u64().unwrap()).collect();
    assert!(right[0] > right[1] && right[2] == 0, "{scored}");
    assert_eq!((&found[0]["answered"], &found[2]["answered"]), (&json!(ROWS), &json!(0)));
    assert!(found[2]["refusal"].is_string());

    let reveal = ["reveal", "0", "--scores", &scores];
    let early = [&["subnet"], &reveal[..], &["--key", &validator.0, "--ledger", ledger.url()]].concat();
    assert_eq!(refused(&early)["code"], "no_scores");
    pass(&ledger, EPOCH_S);
    let revealed = act(&reveal, validator);
    assert_eq!(revealed["weights"][0], json!(right[0] * 65_535 / ROWS as u64));
    let close = ["subnet", "close", "0", "--key", &absent.0, "--ledger", ledger.url()];
    // The first epoch, in which nobody said anything, is next; the second is still being revealed.
    ok(&close);
    assert_eq!(refused(&close)["code"], "ledger_refused");
    pass(&ledger, EPOCH_S / 2);
    ok(&close);

    let shown = ok(&["subnet", "show", "0", "--ledger", ledger.url()]);
    let workers = shown["workers"].as_array().unwrap();
    let reward = |worker: &Value| worker["reward"].as_str().unwrap().parse::<f64>().unwrap();
    assert!(reward(&workers[0]) > reward(&workers[1]), "{shown}");
    assert_eq!(reward(&workers[2]), 0.0);
    let incentive = |number: usize| workers[number]["incentive"].as_f64().unwrap();
    let expected = right[0] as f64 / (right[0] + right[1]) as f64;
    assert!((incentive(0) - expected).abs() < 1e-3, "{shown}");
    assert_eq!(shown["validators"][0]["dividends"], json!(1.0));
    // A tenth of ten coins and three fees, half of it to workers.
    assert!((reward(&workers[0]) + reward(&workers[1]) - 0.5015).abs() < 1e-6, "{shown}");
    assert!((reward(&shown["validators"][0]) - 0.5015).abs() < 1e-6, "{shown}");
    let told = tacit().args(["subnet", "show", "0", "--ledger", ledger.url()]).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("incentive") && told.contains("dividends") && told.contains("digits"), "{told}");

    let claimed = ok(&["subnet", "claim", "--key", &good.0, "--ledger", ledger.url()]);
    assert_eq!(claimed["claimed"], workers[0]["reward"]);
    assert_eq!(
        refused(&["subnet", "claim", "--key", &good.0, "--ledger", ledger.url()])["code"],
        "ledger_refused"
    );
    let listed = ok(&["subnet", "list", "--ledger", ledger.url()]);
    assert_eq!((&listed["count"], &listed["subnets"][0]["text"]), (&json!(1), &created["text"]));
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}
