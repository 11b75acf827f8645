//! Whether a model can be asked under encryption, and what that costs.

use crate::output::bytes;
use serde_json::{Value, json};
use tacit_encrypt::server::EncryptedModel;
use tacit_encrypt::{Misfit, Offer};
use tacit_graph::Model;

/// A model's way to be asked unseen, for programs and for people.
#[derive(Debug)]
pub(crate) struct Encryption {
    pub(crate) json: Value,
    pub(crate) line: String,
}

impl Encryption {
    pub(crate) fn of(model: &Model) -> Self {
        match EncryptedModel::new(model) {
            Ok(fitting) => {
                let Offer::Linear(sizes) = fitting.offer();
                let (up, down) = (sizes.query_bytes(), sizes.answer_bytes());
                let worker_ms = ANSWER_MS + PRODUCT_MS * sizes.products() as f64;
                Self {
                    json: json!({
                        "tier": "linear", "exact": true, "query_bytes": up, "answer_bytes": down, "key_bytes": 0,
                        "bootstraps": 0, "worker_ms": (worker_ms * 100.0).round() / 100.0,
                        "security_bits": tacit_encrypt::SECURITY_BITS,
                    }),
                    line: format!(
                        "linear, exact, without keys: {} up, {} down, 0 bootstraps, about {worker_ms:.1} ms for the worker",
                        bytes(up),
                        bytes(down),
                    ),
                }
            }
            Err(misfit) => {
                let hint = remedy(&misfit);
                let line =
                    if hint.is_empty() { format!("no: {misfit}") } else { format!("no: {misfit}; {hint}") };
                Self { json: json!({"misfit": misfit.to_string(), "hint": hint}), line }
            }
        }
    }
}

/// What would make the model fit, where the misfit does not say it itself.
fn remedy(misfit: &Misfit) -> &'static str {
    match misfit {
        Misfit::NotLinear { .. } => "a linear or logistic regression on the same columns fits",
        Misfit::TooLarge => "take fewer inputs or outputs",
        Misfit::OutputBits { .. } | Misfit::Noise { .. } => "import it with --input-bits 8",
        _ => "",
    }
}

/// Milliseconds of one core for an answer, and for each product of polynomials in it, fitted to `tacit bench encrypt` on the machine of
/// docs/performance.md: mlp:64,10 (one product) to mlp:2048,32 (32 products).
const ANSWER_MS: f64 = 0.17;
const PRODUCT_MS: f64 = 0.26;
