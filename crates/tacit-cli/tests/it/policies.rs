//! Policies of hardware evidence at the command line, and a machine that has no such hardware.

use super::roles::{Folder, Role};
use super::{ok, refused};
use serde_json::json;

#[test]
fn a_line_of_policies_is_opened_shown_and_proposed_for() {
    let folder = Folder::new();
    let path = |name: &str| folder.path(name);
    let (key, account) = folder.key("owner.key");
    let ledger = Role::start(&["node", "dev", "--fund", &account]);
    let hash = |byte: &str| format!("0x{}", byte.repeat(32));
    let form = json!({
        "images": [hash("01"), hash("02")], "models": [hash("03")],
        "amd": {"platform_required": "0x20", "platform_refused": "0x0", "vmpl_max": 0, "versions_min": {"Milan": [0, 4, 0, 23, 213]}},
    });
    let write = |name: &str, form: &serde_json::Value| {
        let (text, policy) = (path(&format!("{name}.json")), path(name));
        std::fs::write(&text, form.to_string()).unwrap();
        let made = ok(&["policy", "make", &text, "-o", &policy]);
        (policy, made["policy"].as_str().unwrap().to_owned())
    };
    let (first, id) = write("first", &form);
    assert_eq!(ok(&["policy", "show", &first])["id"], json!(id));
    let sent = ["--key", &key, "--ledger", ledger.url()];
    let opened = ok(&[["policy", "open", first.as_str()].as_slice(), &sent].concat());
    let line = opened["line"].as_str().unwrap();
    let shown = ok(&["policy", "show", line, "--ledger", ledger.url()]);
    assert_eq!(
        (&shown["id"], &shown["line"]["in_force"], &shown["line"]["version"]),
        (&json!(id), &json!(id), &json!(1))
    );
    let by_id = ok(&["policy", "show", &id, "--ledger", ledger.url()]);
    assert_eq!((&by_id["policy"], &by_id["line"]), (&shown["policy"], &json!(null)));

    let mut narrower = form.clone();
    narrower["images"] = json!([hash("02")]);
    let (next, next_id) = write("next", &narrower);
    let proposed = ok(&[["policy", "propose", line, next.as_str()].as_slice(), &sent].concat());
    let shown = ok(&["policy", "show", line, "--ledger", ledger.url()]);
    let proposal = &shown["line"]["proposals"][0];
    assert_eq!(proposal["proposal"], proposed["proposal"]);
    assert_eq!(
        (&proposal["policy"], &proposal["status"], &proposal["narrows"]),
        (&json!(next_id), &json!("open"), &json!(true))
    );
    // Nobody has stake here, so nobody decides.
    let id = proposed["proposal"].as_str().unwrap();
    let error = refused(&[["policy", "approve", id].as_slice(), &sent].concat());
    assert!(error["message"].as_str().unwrap().contains("has no validator that votes"), "{error}");
    let error = refused(&[["policy", "settle", id].as_slice(), &sent].concat());
    assert!(error["message"].as_str().unwrap().contains("it waits until time"), "{error}");
    let bad = path("bad.json");
    std::fs::write(&bad, json!({"images": [], "models": []}).to_string()).unwrap();
    assert_eq!(refused(&["policy", "make", &bad, "-o", &path("none")])["code"], "bad_policy");
}

#[test]
fn a_worker_without_such_hardware_does_not_start() {
    let folder = Folder::new();
    let (key, account) = folder.key("worker.key");
    let model = folder.model("linear", &[12, 4]);
    let ledger = Role::start(&["node", "dev", "--fund", &account]);
    let (data, served, collateral) =
        (folder.path("worker"), format!("{model}=0.0002"), folder.path("collateral"));
    std::fs::create_dir(&collateral).unwrap();
    let start = ["worker", "--ledger", ledger.url(), "--key", &key, "--data", &data, "--model", &served];
    let attested = ["--attested", "--collateral", &collateral, "--listen", "127.0.0.1:0"];
    let error = refused(&[start.as_slice(), &attested].concat());
    assert_eq!(error["code"], "not_attested");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("this machine cannot show that it is a guest on TDX or SEV-SNP"), "{message}");
}
