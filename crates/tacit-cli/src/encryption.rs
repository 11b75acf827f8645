//! Whether a model can be asked under encryption, and what that costs.

use crate::output::bytes;
use serde_json::{Value, json};
#[cfg(feature = "pbs")]
use tacit_encrypt::Closeness;
use tacit_encrypt::server::EncryptedModel;
use tacit_encrypt::{Misfit, Offer};
#[cfg(feature = "pbs")]
use tacit_graph::Agreement;
use tacit_graph::ModelFile;

/// A model's way to be asked unseen, for programs and for people.
#[derive(Debug)]
pub(crate) struct Encryption {
    pub(crate) json: Value,
    pub(crate) line: String,
}

impl Encryption {
    pub(crate) fn of(file: &ModelFile) -> Self {
        match EncryptedModel::new(&file.model) {
            Ok(fitting) => {
                #[cfg_attr(
                    not(feature = "pbs"),
                    expect(
                        clippy::infallible_destructuring_match,
                        reason = "there are other offers with pbs"
                    )
                )]
                let sizes = match fitting.offer() {
                    Offer::Linear(sizes) => sizes,
                    #[cfg(feature = "pbs")]
                    Offer::Circuit(_) => return Self::of_circuit(&fitting, file),
                };
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

#[cfg(feature = "pbs")]
impl Encryption {
    fn of_circuit(fitting: &EncryptedModel, file: &ModelFile) -> Self {
        let Some(circuit) = fitting.circuit() else { return Self { json: Value::Null, line: String::new() } };
        let plan = circuit.plan();
        let variant = circuit.offer().variant();
        let seconds = plan.seconds(bootstrap_seconds(plan.parameters.id));
        let mut json = crate::commands::circuit::plan_json(plan, variant);
        if let Closeness::Approximate(near) = circuit.offer().closeness() {
            json["tolerance"] = json!(near.tolerance);
            json["agreement"] = json!(file.report.encrypted);
        }
        json["tier"] = json!("look-ups");
        json["worker_ms"] = json!((seconds * 1000.0).round());
        json["security_bits"] = json!(tacit_encrypt::SECURITY_BITS);
        let kind = match plan.exact {
            true => {
                format!("exact (an answer fails with probability under 2^{:.0})", plan.failure_log2.ceil())
            }
            false => {
                let measured = match file.report.encrypted {
                    Some(Agreement { rows, agreed }) => {
                        format!("{agreed} of {rows} held-out labels as without encryption")
                    }
                    None => "not served until measured: tacit model measure FILE --held-out ROWS".to_owned(),
                };
                let (sums, outputs) = (plan.sum_bits, plan.output_bits);
                format!("approximate ({measured}; {sums:.1} bits of a sum, {outputs:.1} of an output)")
            }
        };
        // Only ensembles of trees come with steps.
        let trees = file.model.graph().features.iter().any(|feature| !feature.steps.is_empty());
        let remedy = if trees && !plan.exact { "; exact if imported with --leaf-bits 9" } else { "" };
        let count = plan.bootstraps;
        Self {
            json,
            line: format!(
                "look-ups, {kind}: {count} bootstraps, about {seconds:.1} s of one core for the worker; {} up, {} down, keys of {} sent once{remedy}",
                bytes(plan.query_bytes),
                bytes(plan.answer_bytes),
                bytes(plan.key_bytes),
            ),
        }
    }
}

/// Seconds of one core for a bootstrap in the fast variant, by parameters, by `tacit bench encrypt` on the machine of docs/performance.md.
#[cfg(feature = "pbs")]
fn bootstrap_seconds(parameters: u8) -> f64 {
    if parameters == 1 { 0.014 } else { 0.019 }
}

/// What would make the model fit, where the misfit does not say it itself.
fn remedy(misfit: &Misfit) -> &'static str {
    match misfit {
        Misfit::NotLinear { .. } => {
            "a linear or logistic regression on the same columns fits, and a build with the feature pbs takes networks and trees"
        }
        Misfit::TooLarge => "take fewer inputs or outputs",
        Misfit::OutputBits { .. } | Misfit::Noise { .. } => "import it with --input-bits 8",
        _ => "",
    }
}

/// Milliseconds of one core for an answer, and for each product of polynomials in it, fitted to `tacit bench encrypt` on the machine of
/// docs/performance.md: mlp:64,10 (one product) to mlp:2048,32 (32 products).
const ANSWER_MS: f64 = 0.17;
const PRODUCT_MS: f64 = 0.26;
