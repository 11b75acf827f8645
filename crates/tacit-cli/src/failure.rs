//! What went wrong, in one sentence, and what to do about it.

use serde_json::json;
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
}

impl Failure {
    pub(crate) fn new(code: impl Into<String>, message: impl Display, hint: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.to_string(), hint: hint.into() }
    }

    pub(crate) fn to_json(&self) -> String {
        json!({"error": {"code": self.code, "message": self.message, "hint": self.hint}}).to_string()
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Names what was being done when an error came up.
pub(crate) trait Context<T> {
    fn failed(self, code: &str, doing: impl Display, hint: &str) -> Result<T, Failure>;
}

impl<T, E: Display> Context<T> for Result<T, E> {
    fn failed(self, code: &str, doing: impl Display, hint: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(code, format!("{doing}: {error}"), hint))
    }
}
