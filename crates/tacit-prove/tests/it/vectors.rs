//! The format of proofs is pinned: a small proof, byte for byte, with its root and its model id.
//!
//! Written anew by `TACIT_WRITE_VECTORS=1 cargo test -p tacit-prove --test it vectors`.

use std::{fmt::Write as _, fs, path::PathBuf};

use tacit_graph::{decode_graph, encode_graph, synthetic_mlp};
use tacit_prove::{CommittedModel, Hiding, Seed, prove, prove_zk};
use tacit_verify::{SecurityBits, Statement, VerifyingModel, verify};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn the_small_proof_is_what_it_was() {
    let model = synthetic_mlp(&[6, 5, 4, 3], 1).unwrap();
    let committed = CommittedModel::commit(model, SecurityBits::DEFAULT).unwrap();
    let inputs: Vec<Vec<i64>> =
        (0..3).map(|row| (0..6).map(|i| (row * 40 + i * 7) << 24).collect()).collect();
    let proved = prove(&committed, &inputs).unwrap();
    let root = hex(&committed.weight_root());
    let names = format!("root {root}\nmodel {}\noutputs {:?}\n", committed.model_id(), proved.outputs);
    let graph = encode_graph(committed.model().graph());
    if std::env::var_os("TACIT_WRITE_VECTORS").is_some() {
        fs::write(path("small.txt"), &names).unwrap();
        fs::write(path("small.graph"), &graph).unwrap();
        fs::write(path("small.proof"), &proved.proof).unwrap();
    }
    assert_eq!(fs::read_to_string(path("small.txt")).unwrap(), names);
    assert!(fs::read(path("small.proof")).unwrap() == proved.proof, "the bytes of the proof changed");

    // The files alone are enough for a verifier.
    let graph = decode_graph(&fs::read(path("small.graph")).unwrap()).unwrap();
    let model = VerifyingModel::new(graph, committed.weight_root()).unwrap();
    let statement = Statement { inputs, outputs: proved.outputs };
    let verified = verify(&model, &statement, &fs::read(path("small.proof")).unwrap()).unwrap();
    assert_eq!(verified.model(), committed.model_id());
}

#[test]
fn the_small_proof_in_zero_knowledge_is_what_it_was() {
    let model = synthetic_mlp(&[6, 5, 4, 3], 1).unwrap();
    let hiding = Hiding { openings_max: 3, openings_used: 1, seed: Seed::new([1; 32]) };
    let committed = CommittedModel::commit_hiding(model, SecurityBits::DEFAULT, hiding).unwrap();
    let inputs: Vec<Vec<i64>> =
        (0..3).map(|row| (0..6).map(|i| (row * 40 + i * 7) << 24).collect()).collect();
    let proved = prove_zk(&committed, &inputs, &Seed::new([2; 32])).unwrap();
    let text = format!(
        "root {}\nmodel {}\nbytes {}\nblake3 {}\n",
        hex(&committed.weight_root()),
        committed.model_id(),
        proved.proof.len(),
        hex(blake3::hash(&proved.proof).as_bytes())
    );
    if std::env::var_os("TACIT_WRITE_VECTORS").is_some() {
        fs::write(path("small-zk.txt"), &text).unwrap();
    }
    assert_eq!(fs::read_to_string(path("small-zk.txt")).unwrap(), text);
    let statement = Statement { inputs, outputs: proved.outputs };
    assert!(verify(committed.verifying_model(), &statement, &proved.proof).unwrap().zero_knowledge());
}
