//! A lasting local network: asked, mistreated, killed, started again.

use super::owner::{Engine, describe};
use super::roles::Folder;
use super::{ok, refused, repository, tacit, words};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

/// A running `tacit up` on free ports.
struct Up {
    child: Child,
    ready: Value,
}

impl Up {
    fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    fn start_with(data: &Path, more: &[&str]) -> Self {
        let free = "127.0.0.1:0";
        let listen = ["ledger", "worker", "gateway", "relay"].map(|role| format!("--{role}-listen={free}"));
        let mut child = tacit()
            .args(["--json", "up", "--data"])
            .arg(data)
            .args(listen)
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert!(ready["gateway"].is_string(), "{ready}");
        Self { child, ready }
    }

    fn url(&self, role: &str) -> &str {
        self.ready[role].as_str().unwrap()
    }

    fn ask(&self, model: &str, input: &Path, more: &[&str]) -> Vec<String> {
        let arguments = ["ask", model, "--input", words(input), "--gateway", self.url("gateway")];
        arguments.iter().chain(more).map(|&word| word.to_owned()).collect()
    }

    /// Sum of everything promised by vouchers.
    fn signed(&self) -> f64 {
        let status = get(self.url("gateway"), "/tacit/v1/status");
        let channels = status["channels"].as_array().unwrap();
        channels.iter().map(|channel| channel["signed"].as_str().unwrap().parse::<f64>().unwrap()).sum()
    }

    fn receipts(&self) -> Vec<Value> {
        ok(&["receipt", "list", "--gateway", self.url("gateway")])["receipts"].as_array().unwrap().clone()
    }

    /// Kills it as a power cut would; its roles see their stdin close.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A GET without a library: one request, one connection.
fn get(url: &str, path: &str) -> Value {
    use std::io::{Read, Write};
    let authority = url.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(authority).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let body = reply.split_once("\r\n\r\n").unwrap().1;
    let json = &body[body.find('{').unwrap()..=body.rfind('}').unwrap()];
    serde_json::from_str(json).unwrap()
}

fn as_words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[test]
fn questions_are_answered_paid_and_receipted_and_bad_ones_cost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder.path().join("data"));
    let seven = repository("models/digits/samples/seven.json");
    let answer = ok(&as_words(&up.ask("digits", &seven, &[])));
    assert_eq!(answer["label"], "7");
    assert_eq!(answer["verified"], true);
    assert_eq!(answer["paid"], true);
    let by_id =
        ok(&as_words(&up.ask(answer["model_id"].as_str().unwrap(), &seven, &["--evidence", "signed"])));
    assert_eq!((&by_id["label"], &by_id["verified"]), (&answer["label"], &Value::Bool(false)));

    let scores = answer["scores"].as_array().unwrap();
    assert_eq!((scores.len(), &scores[7]["label"]), (10, &Value::from("7")));
    let most = scores.iter().map(|entry| entry["score"].as_f64().unwrap()).fold(f64::MIN, f64::max);
    assert_eq!(scores[7]["score"], most);

    // Rows with names, of an object and of a table.
    let person = repository("models/german-credit/samples/good.json");
    let named = ok(&as_words(&up.ask("german-credit", &person, &["--evidence", "signed"])));
    assert_eq!(named["label"], "good");
    assert_eq!(named["margin"], named["scores"][0]["score"]);
    let unseen = ok(&as_words(&up.ask("german-credit", &person, &["--privacy", "encrypted"])));
    assert_eq!((&unseen["label"], &unseen["margin"]), (&named["label"], &named["margin"]));
    let people = repository("models/german-credit/samples/applicants.csv");
    let second = ok(&as_words(&up.ask("german-credit", &people, &["--row", "2", "--evidence", "signed"])));
    assert!(["good", "bad"].contains(&second["label"].as_str().unwrap()));
    let nameless = folder.path().join("nameless.json");
    std::fs::write(&nameless, r#"{"pixel":1}"#).unwrap();

    // Bought ahead, asked later through the relay; what was asked over the channel is still there.
    let bought = ok(&["tokens", "buy", "digits", "--count", "4", "--gateway", up.url("gateway")]);
    assert_eq!((&bought["count"], &bought["price"]), (&Value::from(4), &Value::from("0.0004")));
    let unlinkable = ok(&as_words(&up.ask("digits", &seven, &["--unlinkable"])));
    assert_eq!((&unlinkable["label"], &unlinkable["verified"]), (&answer["label"], &Value::Bool(true)));
    let spent = ["ask", "german-credit", "--input", words(&person), "--unlinkable"];
    let spent = [&spent[..], &["--gateway", up.url("gateway")]].concat();
    assert_eq!(refused(&spent)["code"], "no_tokens");

    let paid = up.signed();
    let short = folder.path().join("short.json");
    std::fs::write(&short, r#"{"shape":[2],"data":[1,2]}"#).unwrap();
    let npy_nan = folder.path().join("nan.npy");
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{:<117}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (64,), }").bytes());
    bytes.extend([0, 0, 192, 127].repeat(64));
    std::fs::write(&npy_nan, bytes).unwrap();
    for (model, input, more, code) in [
        ("digits", &short, &[][..], "bad_input"),
        ("digits", &npy_nan, &[], "bad_value"),
        ("digits", &nameless, &[], "bad_input"),
        ("german-credit", &nameless, &[], "bad_input"),
        ("german-credit", &people, &[], "many_rows"),
        ("german-credit", &people, &["--row", "6"], "no_row"),
        ("nobody-made-this", &seven, &[], "unknown_model"),
        ("digits", &seven, &["--max-price", "0.0000001"], "too_expensive"),
        ("digits", &seven, &["--evidence", "attested"], "unsupported"),
        ("digits", &seven, &["--privacy", "encrypted"], "does_not_fit"),
        ("digits", &seven, &["--privacy", "encrypted", "--evidence", "proved"], "unprovable"),
        ("digits", &seven, &["--privacy", "encrypted", "--evidence", "audited"], "does_not_fit"),
    ] {
        assert_eq!(refused(&as_words(&up.ask(model, input, more)))["code"], code, "{model} {more:?}");
    }
    assert_eq!(up.signed(), paid, "a refused question cost something");

    let receipt = answer["receipt"].as_str().unwrap();
    let file = folder.path().join("receipt.json");
    ok(&["receipt", "show", receipt, "-o", words(&file), "--gateway", up.url("gateway")]);
    let ledger = up.url("ledger").to_owned();
    let anchored = ok(&["receipt", "verify", words(&file), "--ledger", &ledger]);
    assert_eq!(anchored["block"], answer["block"]);
    assert_eq!(ok(&["model", "list", "--ledger", &ledger])["models"].as_array().unwrap().len(), MODELS);
    drop(up);

    // Years later: no network at all.
    assert_eq!(ok(&["receipt", "verify", words(&file)])["answer"], "7");
    let saved: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let mut forged = saved.clone();
    forged["output"][0] = Value::from(forged["output"][0].as_i64().unwrap() + 1);
    std::fs::write(&file, forged.to_string()).unwrap();
    assert_eq!(refused(&["receipt", "verify", words(&file)])["code"], "receipt_rejected");
}

/// A power cut in the middle of questions: what was paid is receipted, what was receipted is there, and it goes on.
#[test]
fn a_killed_network_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let three = repository("models/digits/samples/three.json");
    let mut known = Vec::new();
    for round in 0..3 {
        let up = Up::start(&data);
        let here: Vec<String> =
            up.receipts().iter().map(|entry| entry["receipt"].as_str().unwrap().to_owned()).collect();
        for receipt in &known {
            assert!(here.contains(receipt), "round {round}: {receipt} was acknowledged and is gone");
        }
        let answer = ok(&as_words(&up.ask("digits", &three, &[])));
        assert_eq!(answer["label"], "3");
        known.push(answer["receipt"].as_str().unwrap().to_owned());
        let asked: Vec<Child> = (0..3)
            .map(|_| {
                tacit()
                    .arg("--json")
                    .args(up.ask("digits", &three, &[]))
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        std::thread::sleep(std::time::Duration::from_millis(15 * (round + 1)));
        up.kill();
        for mut child in asked {
            let _ = child.wait();
        }
    }
    let up = Up::start(&data);
    let answer = ok(&as_words(&up.ask("digits", &three, &[])));
    assert_eq!(answer["label"], "3");
    let receipts = up.receipts();
    let prices: f64 =
        receipts.iter().map(|entry| entry["price"].as_str().unwrap().parse::<f64>().unwrap()).sum();
    assert!((prices - up.signed()).abs() < 1e-12, "promised {} for receipts worth {prices}", up.signed());
}

/// The demo used to fail on a folder it had played in before: its cheats were distrusted already, so the honest worker was
/// asked instead, and `tacit up` refused the folder because the cheats had coins at genesis.
#[test]
fn the_demo_can_be_played_twice_in_one_folder_and_then_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for _ in 0..2 {
        let demo = ok(&["demo", "--data", words(&data)]);
        assert!(demo["dishonest"].as_array().unwrap().iter().all(|case| case["caught"] == true), "{demo}");
    }
    let up = Up::start(&data);
    assert!(up.receipts().len() >= 4);
}

#[test]
fn a_job_asked_twice_is_paid_once() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder.path().join("data"));
    let seven = repository("models/digits/samples/seven.json");
    let job = format!("0x{}", "5a".repeat(32));
    let first = ok(&as_words(&up.ask("digits", &seven, &["--job-id", &job])));
    let paid = up.signed();
    let second = ok(&as_words(&up.ask("digits", &seven, &["--job-id", &job])));
    assert_eq!(first["receipt"], second["receipt"]);
    assert_eq!(up.signed(), paid);
}

/// Shipped models.
const MODELS: usize = if cfg!(feature = "pbs") { 6 } else { 5 };

#[test]
fn a_network_serves_the_language_models_of_a_file_too() {
    let (folder, engine) = (Folder::new(), Engine::start());
    describe(&folder, "small");
    let models = folder.path("models.toml");
    let entry =
        "[[model]]\nengine = \"ENGINE\"\nmanifest = \"small/manifest.json\"\ncompletion_price = 0.08\n";
    std::fs::write(&models, entry.replace("ENGINE", &engine.url)).unwrap();
    let up = Up::start_with(&folder.join("data"), &["--models", &models]);
    let (status, body) = engine.ask(up.url("gateway"));
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("Hello") && body.contains("\"completion_tokens\":11"), "{body}");
    let listed = get(up.url("gateway"), "/v1/models");
    let names: Vec<&str> =
        listed["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["small"]);
}
