//! `tacit demo`, and what it leaves behind.

use super::{tacit, text};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn the_demo_answers_its_questions_and_catches_four_cheats() {
    let output = tacit().args(["--json", "demo"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let demo: Value = serde_json::from_slice(&output.stdout).unwrap();

    let questions = demo["questions"].as_array().unwrap();
    let models: Vec<_> = questions.iter().map(|question| question["model"].as_str().unwrap()).collect();
    assert_eq!(models, ["digits", "breast-cancer"]);
    for question in questions {
        assert_eq!(question["label"], question["expected"], "{question}");
        assert_eq!(question["privacy"], "sealed");
        assert_eq!(question["evidence"], "proved");
        assert_eq!(question["verified"], true);
        assert!(question["proof_bytes"].as_u64().unwrap() > 10_000);
        assert!(question["prove_cpu_ms"].as_f64().unwrap() > 0.0);
        assert!(question["verify_cpu_ms"].as_f64().unwrap() > 0.0);
        assert!(question["block"].as_u64().unwrap() > 0);
        assert_eq!(question["receipt"].as_str().unwrap().len(), 66);
    }
    let encrypted = demo["encrypted"].as_array().unwrap();
    let models: Vec<_> = encrypted.iter().map(|question| question["model"].as_str().unwrap()).collect();
    assert_eq!(
        models,
        [
            "breast-cancer-linear",
            "german-credit",
            #[cfg(feature = "pbs")]
            "breast-cancer-oblivious"
        ]
    );
    for question in encrypted {
        assert_eq!(question["label"], question["expected"], "{question}");
        assert_eq!((&question["privacy"], &question["evidence"]), (&json!("encrypted"), &json!("signed")));
        assert_eq!((&question["exact"], &question["opened"]), (&json!(true), &json!(true)), "{question}");
        // Trees: a short question, under keys that were sent once.
        let trees = question["model"] == "breast-cancer-oblivious";
        let (up, keys) = (&question["bytes_up"], question["key_bytes"].as_u64().unwrap());
        assert!(if trees { keys > 15_000_000 } else { (up, keys) == (&json!(24_610), 0) }, "{question}");
        assert!(question["bytes_down"].as_u64().unwrap() > 5_000);
        assert!(question["worker_cpu_ms"].as_f64().unwrap() > 0.0);
        assert!(question["margin"].as_f64().unwrap() > 0.0);
    }
    let dishonest = demo["dishonest"].as_array().unwrap();
    let cases: Vec<_> = dishonest.iter().map(|case| case["case"].as_str().unwrap()).collect();
    assert_eq!(cases, ["output_changed", "proof_of_another_model", "replayed_proof", "overcharge"]);
    for case in dishonest {
        assert_eq!(case["caught"], true, "{case}");
        assert_eq!(case["paid"], "0", "{case}");
        assert!(!case["reason"].as_str().unwrap().is_empty());
    }
    assert!(demo["wall_ms"].as_u64().unwrap() > 0);
}

/// However the demo ends, its processes end with it: they watch their stdin, which the system closes.
#[cfg(unix)]
#[test]
fn a_killed_demo_leaves_nothing_running() {
    let data = tempfile::tempdir().unwrap();
    let mut demo =
        tacit().args(["--json", "demo", "--data"]).arg(data.path()).stdout(Stdio::null()).spawn().unwrap();
    let needle = data.path().to_str().unwrap();
    let until = |wanted: bool| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while roles(needle).is_empty() == wanted {
            assert!(Instant::now() < deadline, "roles: {:?}", roles(needle));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until(true);
    demo.kill().unwrap();
    demo.wait().unwrap();
    until(false);
}

/// Command lines of running roles that use `folder`.
#[cfg(unix)]
fn roles(folder: &str) -> Vec<String> {
    let output = std::process::Command::new("ps").args(["-eo", "args"]).output().unwrap();
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines
        .lines()
        .filter(|line| line.contains(folder) && line.contains("--with-parent"))
        .map(str::to_owned)
        .collect()
}
