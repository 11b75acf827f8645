//! What needs no network: import, run, prove, verify, and their refusals.

use super::{ok, refused, repository, tacit, text, words};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

struct Digits {
    folder: tempfile::TempDir,
    model: PathBuf,
    question: PathBuf,
}

fn digits() -> Digits {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("digits.tacit");
    let report = ok(&[
        "model",
        "import",
        words(&repository("models/digits/model.onnx")),
        "--calibration",
        words(&repository("models/digits/calibration.npy")),
        "-o",
        words(&model),
    ]);
    assert!(report["params"].as_u64().unwrap() > 2_000);
    Digits { folder, model, question: repository("models/digits/samples/seven.json") }
}

fn write(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

#[test]
fn a_model_is_imported_run_proved_and_verified() {
    let digits = digits();
    let (model, question) = (words(&digits.model), words(&digits.question));
    let shown = ok(&["model", "show", model]);
    let answer = ok(&["run", model, "--input", question]);
    assert_eq!(answer["answers"][0]["label"], "7");
    assert_eq!(answer["model_id"], shown["model_id"]);

    let proof = digits.folder.path().join("proof.json");
    let proved = ok(&["prove", model, "--input", question, "-o", words(&proof)]);
    assert_eq!(proved["answers"][0]["label"], "7");
    let id = shown["model_id"].as_str().unwrap();
    let verified = ok(&["verify", words(&proof), "--model", id]);
    assert_eq!(verified["verified"], true);
    assert_eq!(verified["answers"], proved["answers"]);
    assert!(verified["security_bits"].as_u64().unwrap() >= 100);

    let other = format!("0x{}", "11".repeat(32));
    assert_eq!(refused(&["verify", words(&proof), "--model", &other])["code"], "wrong_model");
}

#[test]
fn a_changed_proof_file_is_refused_whatever_was_changed() {
    let digits = digits();
    let proof = digits.folder.path().join("proof.json");
    ok(&["prove", words(&digits.model), "--input", words(&digits.question), "-o", words(&proof)]);
    let honest: Value = serde_json::from_str(&std::fs::read_to_string(&proof).unwrap()).unwrap();
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 6] = [
        ("outputs", |file| file["outputs"][0][3] = json!(file["outputs"][0][3].as_i64().unwrap() + 1)),
        ("inputs", |file| file["inputs"][0][20] = json!(file["inputs"][0][20].as_i64().unwrap() + (5 << 24))),
        ("proof", |file| file["proof"] = json!("AWRh")),
        ("weight_root", |file| file["weight_root"] = json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")),
        ("graph", |file| file["graph"] = json!("AAAA")),
        ("rows", |file| file["outputs"] = json!([])),
    ];
    for (name, change) in changes {
        let mut file = honest.clone();
        change(&mut file);
        let path = write(digits.folder.path(), "changed.json", &file.to_string());
        let code = refused(&["verify", words(&path)])["code"].as_str().unwrap().to_owned();
        assert!(["proof_rejected", "bad_proof_file"].contains(&code.as_str()), "{name}: {code}");
    }
}

#[test]
fn bad_input_is_refused_with_a_reason() {
    let digits = digits();
    let folder = digits.folder.path();
    let model = words(&digits.model);
    let short = write(folder, "short.json", r#"{"shape":[3],"data":[1,2,3]}"#);
    let words_file = write(folder, "words.json", "seven");
    let huge = write(folder, "huge.json", &format!(r#"{{"shape":[64],"data":[{}1e300]}}"#, "0,".repeat(63)));
    assert_eq!(refused(&["run", model, "--input", words(&short)])["code"], "wrong_shape");
    assert_eq!(refused(&["run", model, "--input", words(&words_file)])["code"], "bad_input");
    assert_eq!(refused(&["run", model, "--input", words(&huge)])["code"], "bad_value");
    assert_eq!(refused(&["run", model, "--input", "nowhere.json"])["code"], "no_file");
    assert_eq!(refused(&["run", words(&short), "--input", words(&short)])["code"], "bad_model");
    let onnx = words(&words_file);
    let calibration = repository("models/digits/calibration.npy");
    let output = folder.join("x.tacit");
    let import = ["model", "import", onnx, "--calibration", words(&calibration), "-o", words(&output)];
    assert_eq!(refused(&import)["code"], "cannot_import");
    assert!(!output.exists());
}

#[test]
fn a_damaged_model_file_is_refused() {
    let digits = digits();
    let mut bytes = std::fs::read(&digits.model).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let damaged = digits.folder.path().join("damaged.tacit");
    std::fs::write(&damaged, bytes).unwrap();
    assert_eq!(refused(&["model", "show", words(&damaged)])["code"], "bad_model");
}

#[test]
fn bad_usage_exits_with_two() {
    for arguments in [&["nonsense"][..], &["run"], &["ask", "digits", "--input", "x", "--privacy", "magic"]] {
        let output = tacit().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(output.stdout.is_empty());
        let json = tacit().arg("--json").args(arguments).output().unwrap();
        assert_eq!(json.status.code(), Some(2));
        let error: Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!(error["error"]["code"], "bad_usage");
    }
    for batch in ["0", "100000000", "many"] {
        let output = tacit().args(["bench", "run", "--batch", batch]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    }
}

#[test]
fn a_key_file_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("me.key");
    let made = ok(&["wallet", "new", words(&key)]);
    assert_eq!(made["address"].as_str().unwrap().len(), 42);
    assert_eq!(refused(&["wallet", "new", words(&key)])["code"], "key_file");
}

#[test]
fn bench_prints_one_object_a_line() {
    let arguments = ["--json", "bench", "prove", "--model", "mlp:16,8,4", "--batch", "2", "--runs", "1"];
    let output = tacit().args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = lines.iter().map(|line| line["bench"].as_str().unwrap()).collect();
    assert_eq!(names, ["import", "prove", "verify"]);
    for key in
        ["model", "batch", "zk", "threads", "user_cpu_ms", "wall_ms", "peak_mib", "bytes", "security_bits"]
    {
        assert!(lines.iter().all(|line| line.get(key).is_some()), "{key}");
    }
}

/// Decision trees: no calibration rows, the same commands.
#[test]
fn trees_are_imported_run_proved_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let trees = repository("crates/tacit-graph/tests/fixtures/trees");
    let expected: Value =
        serde_json::from_str(&std::fs::read_to_string(trees.join("expected.json")).unwrap()).unwrap();
    let (row, label) = (&expected["rows"]["cancer"][3], &expected["ensembles"]["xgb"]["labels"][3]);
    let question = json!({"shape": [1, 30], "data": row}).to_string();
    let question = write(folder.path(), "row.json", &question);
    let (model, proof) = (folder.path().join("trees.tacit"), folder.path().join("proof.json"));
    ok(&["model", "import", words(&trees.join("xgb.onnx")), "-o", words(&model)]);
    let answer = ok(&["run", words(&model), "--input", words(&question)]);
    assert_eq!(answer["answers"][0]["label"], *label);
    let proved = ok(&["prove", words(&model), "--input", words(&question), "-o", words(&proof)]);
    assert_eq!(proved["answers"], answer["answers"]);
    assert_eq!(ok(&["verify", words(&proof)])["answers"], answer["answers"]);
    // A network without calibration rows is refused.
    let network = repository("models/digits/model.onnx");
    let refused = refused(&["model", "import", words(&network), "-o", words(&model)]);
    assert_eq!(refused["code"], "cannot_import");
}
