//! Roles of the network as child processes that cannot outlive this one.

use crate::failure::{Context, Failure};
use serde_json::Value;
use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// A running role. Dropping it kills the process; if this process dies first, the child sees its stdin close and stops.
#[derive(Debug)]
pub(crate) struct Role {
    /// What the role said when it was ready.
    pub(crate) ready: Value,
    child: Child,
    /// Held open as long as the role should live; apart from `child`, whose `wait` would close it.
    stdin: Option<ChildStdin>,
}

impl Role {
    /// Starts `tacit <arguments> --json --with-parent` and waits until it says that it is ready.
    pub(crate) async fn start(name: &str, arguments: &[OsString]) -> Result<Self, Failure> {
        Self::start_within(READY_TIMEOUT, name, arguments).await
    }

    /// As [`Self::start`], for a role that may have much to read before it is ready.
    pub(crate) async fn start_within(
        most: Duration,
        name: &str,
        arguments: &[OsString],
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe().failed("no_program", "cannot find this program", "")?;
        let mut child = Command::new(program)
            .args(arguments)
            .args(["--json", "--with-parent"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .failed("cannot_start", format!("cannot start the {name}"), "")?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| Failure::new("cannot_start", format!("the {name} has no output"), ""))?;
        let mut lines = BufReader::new(stdout).lines();
        let first = tokio::time::timeout(most, lines.next_line())
            .await
            .failed(
                "cannot_start",
                format!("the {name} did not get ready"),
                "is the machine very busy? try again",
            )?
            .failed("cannot_start", format!("the {name} cannot be read"), "")?
            .ok_or_else(|| {
                Failure::new(
                    "cannot_start",
                    format!("the {name} ended before it was ready"),
                    "see its message above",
                )
            })?;
        let ready: Value =
            serde_json::from_str(&first).failed("cannot_start", format!("the {name} said {first:?}"), "")?;
        if let Some(error) = ready.get("error") {
            let text = |key| error[key].as_str().unwrap_or_default().to_owned();
            return Err(Failure::new(
                text("code"),
                format!("the {name} did not start: {}", text("message")),
                text("hint"),
            ));
        }
        let stdin = child.stdin.take();
        Ok(Self { ready, child, stdin })
    }

    /// The URL the role listens at.
    pub(crate) fn url(&self) -> String {
        self.ready["url"].as_str().unwrap_or_default().to_owned()
    }

    /// The process, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Resolves when the role has ended by itself.
    pub(crate) async fn ended(&mut self) {
        let _ = self.child.wait().await;
    }

    /// Asks the role to stop and waits until it has.
    pub(crate) async fn stop(mut self) {
        drop(self.stdin.take());
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

pub(crate) const READY_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
