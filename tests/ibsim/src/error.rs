//! Refusals of the API.

use serde_json::{json, Value};

use crate::guesses::Refusal;

/// An error as the envelope carries it.
#[derive(Debug, Clone)]
pub struct ApiError {
    pub status: u16,
    pub code: String,
    pub message: String,
    pub reasons: Vec<String>,
}

impl ApiError {
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into(), reasons: Vec::new() }
    }

    pub fn guess(refusal: &Refusal, message: impl Into<String>) -> Self {
        Self::new(refusal.status, &refusal.code, message)
    }

    /// Clients read reasons as objects and die of plain strings.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reasons.push(reason.into());
        self
    }

    pub fn not_found(kind: &str, what: impl std::fmt::Display) -> Self {
        let name = kind.to_lowercase().replace('_', " ");
        Self::new(404, &format!("{kind}_NOT_FOUND"), format!("{name} {what} does not exist"))
    }

    pub fn bad(code: &str, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    pub fn unauthorized(message: &str) -> Self {
        Self::new(401, "UNAUTHORIZED", message)
    }

    /// The member `error` of the envelope.
    pub fn body(&self) -> Value {
        let severity = if self.status >= 500 { "CRITICAL" } else { "ERROR" };
        let reasons: Vec<Value> =
            self.reasons.iter().map(|r| json!({"message": r, "affected_entities": []})).collect();
        json!({
            "code": self.code, "message": self.message, "severity": severity,
            "reasons": reasons, "is_remote": false, "data": null,
        })
    }
}

pub type Answer<T> = std::result::Result<T, ApiError>;
