//! Roles as processes, as a person starts them, and models for them to serve.

use super::{ok, tacit, words};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tacit_graph::{ImportReport, ModelFile, synthetic_mlp};
use tacit_prove::CommittedModel;
use tacit_verify::SecurityBits;

/// A role that ends with its handle.
pub(crate) struct Role {
    child: Child,
    pub(crate) ready: Value,
}

impl Role {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::spawn(tacit(), arguments)
    }

    /// A role that says all it has to say, to a file.
    pub(crate) fn start_logged(arguments: &[&str], log: &Path) -> Self {
        let mut command = tacit();
        command.env("TACIT_LOG", "trace").stderr(File::create(log).unwrap());
        Self::spawn(command, arguments)
    }

    fn spawn(mut command: Command, arguments: &[&str]) -> Self {
        let mut child = command
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

    pub(crate) fn url(&self) -> &str {
        self.ready["url"].as_str().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder for keys, data and files.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> String {
        words(&self.join(name)).to_owned()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A new key file, and its account.
    pub(crate) fn key(&self, name: &str) -> (String, String) {
        let key = self.path(name);
        let account = ok(&["wallet", "new", &key])["address"].as_str().unwrap().to_owned();
        (key, account)
    }

    /// A model that was never trained, as a file.
    pub(crate) fn model(&self, name: &str, widths: &[u32]) -> String {
        let model = synthetic_mlp(widths, 7).unwrap();
        let committed = CommittedModel::commit(model.clone(), SecurityBits::DEFAULT).unwrap();
        let report = ImportReport::unmeasured(&model);
        let weight_root = committed.weight_root();
        let file = ModelFile { name: name.to_owned(), weight_root, hiding: None, model, report };
        let path = self.path(&format!("{name}.tacit"));
        std::fs::write(&path, file.encode()).unwrap();
        path
    }
}
