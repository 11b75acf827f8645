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

/// The credit model, as it is shipped.
fn credit(folder: &Path) -> PathBuf {
    let model = folder.join("german-credit.tacit");
    let file = |name: &str| repository(&format!("models/german-credit/{name}"));
    let (onnx, rows) = (file("model.onnx"), file("calibration.npy"));
    let (names, held_out) = (file("features.json"), file("held_out.json"));
    let import = ["model", "import", words(&onnx), "--calibration", words(&rows), "--input-bits", "8"];
    let more = ["--features", words(&names), "--held-out", words(&held_out), "-o", words(&model)];
    ok(&[&import[..], &more].concat());
    model
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
fn a_row_with_names_is_run_and_proved() {
    let folder = tempfile::tempdir().unwrap();
    let model = credit(folder.path());
    let model = words(&model);
    let sample = |name: &str| repository(&format!("models/german-credit/samples/{name}"));
    for label in ["good", "bad"] {
        let row = sample(&format!("{label}.json"));
        let answers = ok(&["run", model, "--input", words(&row)])["answers"].clone();
        assert_eq!(answers[0]["label"], label);
        let (score, margin) = (&answers[0]["scores"][0], answers[0]["margin"].as_f64().unwrap());
        assert_eq!(score["label"], "good");
        assert_eq!(score["score"], if label == "good" { margin } else { -margin });
    }
    let people = sample("applicants.csv");
    let all = ok(&["run", model, "--input", words(&people)])["answers"].clone();
    assert_eq!(all.as_array().unwrap().len(), 5);
    let third = ok(&["run", model, "--input", words(&people), "--row", "3"])["answers"].clone();
    assert_eq!((third.as_array().unwrap().len(), &third[0]), (1, &all[2]));

    let proof = folder.path().join("proof.json");
    let proved = ok(&["prove", model, "--input", words(&people), "--row", "3", "-o", words(&proof)]);
    assert_eq!(proved["answers"], third);
    assert_eq!(ok(&["verify", words(&proof)])["answers"], third);

    let text =
        |arguments: &[&str]| String::from_utf8(tacit().args(arguments).output().unwrap().stdout).unwrap();
    let line = text(&["run", model, "--input", words(&people), "--row", "3"]);
    let margin = third[0]["margin"].as_f64().unwrap();
    assert_eq!(line, format!("{}   (margin {margin:.2})\n", third[0]["label"].as_str().unwrap()));
}

/// What a person reads who got a row wrong.
#[test]
fn a_wrong_row_is_told_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let model = credit(folder.path());
    let person: Value =
        serde_json::from_slice(&std::fs::read(repository("models/german-credit/samples/good.json")).unwrap())
            .unwrap();
    let told = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let mut row = person.as_object().unwrap().clone();
        change(&mut row);
        let path = write(folder.path(), "person.json", &Value::Object(row).to_string());
        let output = tacit().arg("run").arg(&model).arg("--input").arg(path).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(
        told(&|row| {
            row.remove("age");
            row.remove("purpose");
        }),
        "error: the row lacks \"purpose\" and \"age\"\n\nhint: give every column of the model by its name\n"
    );
    assert_eq!(
        told(&|row| {
            let age = row.remove("age").unwrap();
            row.insert("Age:".to_owned(), age);
        }),
        "error: there is no column \"Age:\": is it \"age\"?\n\nhint: give every column of the model by its name\n"
    );
    assert_eq!(
        told(&|row| {
            row.insert("purpose".to_owned(), json!("a new car"));
        }),
        "error: \"purpose\" is \"a new car\", which is none of \"new car\", \"used car\", \"furniture\", \"radio or television\", \
         \"appliances\", \"repairs\", \"education\", \"retraining\", \"business\" and \"other\"\n\nhint: write the kind as the model does\n"
    );
    assert_eq!(
        told(&|row| {
            row.insert("amount".to_owned(), json!("3.000,00"));
        }),
        "error: \"amount\" is \"3.000,00\": the text is not a decimal number\n\nhint: write digits with a point, such as 12.5\n"
    );
}

#[test]
#[cfg_attr(feature = "pbs", ignore = "models with look-ups can be asked in this build")]
fn a_model_is_shown_with_its_columns_and_its_way_to_be_asked_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let model = credit(folder.path());
    let shown = ok(&["model", "show", words(&model)]);
    let columns = shown["columns"].as_array().unwrap();
    assert_eq!((columns.len(), &columns[1]["name"]), (20, &json!("months")));
    assert_eq!(columns[14], json!({"name": "housing", "kinds": ["rent", "own", "free"]}));
    let encrypted = &shown["encrypted"];
    assert_eq!((&encrypted["tier"], &encrypted["bootstraps"]), (&json!("linear"), &json!(0)));
    assert!(encrypted["query_bytes"].as_u64().unwrap() > 10_000);
    assert!(encrypted["answer_bytes"].as_u64().unwrap() > 5_000);
    assert!(encrypted["worker_ms"].as_f64().unwrap() > 0.0);

    // A network with tables between its layers does not fit, and is told why.
    let digits = digits();
    let misfit = ok(&["model", "show", words(&digits.model)])["encrypted"].clone();
    assert!(misfit["misfit"].as_str().unwrap().contains("a look-up in a table"), "{misfit}");
    assert!(!misfit["hint"].as_str().unwrap().is_empty());
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
