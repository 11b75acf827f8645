//! What went wrong, in one sentence, and what to do about it.

use serde_json::{Value, json};
use std::error::Error;
use std::fmt::Display;

/// A refused or failed action: exit code 1.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// Stable snake_case word for programs.
    pub(crate) code: String,
    /// One lower-case sentence without a full stop.
    pub(crate) message: String,
    /// What the user can do; may be empty.
    pub(crate) hint: String,
    /// What programs may want to know besides; nothing mostly.
    pub(crate) figures: Option<Value>,
}

impl Failure {
    pub(crate) fn new(code: impl Into<String>, message: impl Display, hint: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.to_string(), hint: hint.into(), figures: None }
    }

    /// With figures for programs.
    pub(crate) fn with(self, figures: Value) -> Self {
        Self { figures: Some(figures), ..self }
    }

    /// 2 for what the command line got wrong, 1 for what was refused or failed.
    pub(crate) fn exit_code(&self) -> u8 {
        let usage =
            ["bad_usage", "bad_amount", "bad_address", "bad_model_id", "bad_receipt_id", "bad_job_id"];
        if usage.contains(&self.code.as_str()) { 2 } else { 1 }
    }

    pub(crate) fn to_json(&self) -> String {
        let mut error = json!({"code": self.code, "message": self.message, "hint": self.hint});
        if let Some(figures) = &self.figures {
            error["figures"] = figures.clone();
        }
        json!({ "error": error }).to_string()
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

/// Names what was being done when an error came up.
pub(crate) trait Context<T> {
    fn failed(self, code: &str, doing: impl Display, hint: &str) -> Result<T, Failure>;
}

impl<T, E: Error> Context<T> for Result<T, E> {
    fn failed(self, code: &str, doing: impl Display, hint: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(code, format!("{doing}: {}", sentence(&error)), hint))
    }
}

/// An error with its causes, leaving out those whose words it says already.
pub(crate) fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let words = next.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = next.source();
    }
    text
}
