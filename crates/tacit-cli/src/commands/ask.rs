//! `tacit ask`: a question through the gateway.

use crate::args::Ask;
use crate::client::GatewayClient;
use crate::failure::{Context, Failure};
use crate::input_file::InputFile;
use crate::output::{Output, Style, bytes, short};
use crate::question;
use serde_json::{Value, json};
use tacit_abi::{Evidence, Privacy};
use tacit_gateway::{AskAnswer, Audit};
use tacit_wire::{Amount, JobId};

pub(crate) async fn ask(arguments: &Ask, output: Output) -> Result<(), Failure> {
    let input = InputFile::read(&arguments.input)?.one(arguments.row)?.to_json()?;
    let job_id = match &arguments.job_id {
        Some(id) => id.parse().failed("bad_job_id", format!("{id:?}"), "a job id is 0x and 64 hex digits")?,
        None => JobId::random().0,
    };
    let mut request = json!({
        "job_id": job_id, "model": arguments.model, "input": input, "privacy": arguments.privacy,
        "anchor_wait_ms": ANCHOR_WAIT_MS,
    });
    if let Some(evidence) = arguments.evidence {
        request["evidence"] = json!(evidence);
    }
    if arguments.unlinkable {
        request["unlinkable"] = json!(true);
    }
    if let Some(price) = &arguments.max_price {
        let price: tacit_wire::Amount =
            price.parse().failed("bad_amount", format!("{price:?}"), "an amount looks like 0.0005")?;
        request["max_price"] = json!(price);
    }
    let gateway = GatewayClient::new(&arguments.gateway.url)?;
    let reply = gateway.post("/tacit/v1/ask", &request).await.map_err(|mut failure| {
        if ["unreachable", "timeout", "gateway", "ledger_failed", "not_judged"]
            .contains(&failure.code.as_str())
        {
            failure.hint = format!("ask again with --job-id {job_id}: it is the same job, and is paid once");
        }
        failure
    })?;
    let answer = read(reply.clone())?;
    output.data(&reply, || line(&answer, output));
    Ok(())
}

/// Reads the gateway's answer.
pub(crate) fn read(reply: Value) -> Result<AskAnswer, Failure> {
    serde_json::from_value(reply).failed(
        "gateway",
        "the gateway's answer cannot be read",
        "is it another version?",
    )
}

/// An answer as one line.
pub(crate) fn line(answer: &AskAnswer, output: Output) -> String {
    let word = question::word(answer.label.as_deref(), answer.values.as_deref());
    let sure = question::sureness(answer.label.as_deref(), &answer.scores, answer.margin);
    let sure = sure.map_or_else(String::new, |sure| format!("{sure} · "));
    let length = |count: u64| bytes(usize::try_from(count).unwrap_or(usize::MAX));
    let evidence = if answer.verified {
        format!(
            "proved: {:.0} ms, verified: {:.1} ms, {}",
            answer.prove_cpu_ms,
            answer.verify_cpu_ms,
            length(answer.proof_bytes)
        )
    } else if answer.privacy == Privacy::Encrypted {
        let keys = match answer.key_bytes {
            0 => String::new(),
            bytes => format!(", keys {} sent once", length(bytes)),
        };
        let near = answer.approximate.map_or_else(String::new, |near| {
            format!("approximate: {} of {} held-out labels as without encryption; ", near.agreed, near.rows)
        });
        format!(
            "{near}encrypted: {} up, {} down{keys}, worker {:.1} ms · {}",
            length(answer.bytes_up),
            length(answer.bytes_down),
            answer.prove_cpu_ms,
            audited(answer)
        )
    } else if let Some(audit) = &answer.audit {
        format!("audited: {}", audit_words(audit))
    } else {
        "signed: the worker's word".to_owned()
    };
    let place = answer.block.map_or_else(|| "not anchored yet".to_owned(), |block| format!("block {block}"));
    let beside = match answer.canary_price {
        Amount::ZERO => String::new(),
        spent if answer.privacy == Privacy::Encrypted => format!(", and {spent} for hidden questions"),
        spent => format!(", and {spent} to a second worker"),
    };
    format!(
        "{}   ({sure}{evidence} · paid {}{beside} · receipt {}, {place})",
        output.paint(Style::Strong, &word),
        answer.price,
        short(&answer.receipt.to_string()),
    )
}

/// What became of the audit of an answer that was not encrypted.
pub(crate) fn audit_words(audit: &Audit) -> String {
    match audit {
        Audit::Due => "to be done again, on the worker's stake".to_owned(),
        Audit::NoWeights => "not done again here, on the worker's stake".to_owned(),
        Audit::NotDrawn => "not chosen to be done again, on the worker's stake".to_owned(),
        Audit::Passed => "done again here, value for value".to_owned(),
        Audit::Asking { .. } => "a second worker has not answered yet, on the worker's stake".to_owned(),
        Audit::NoSecondWorker { reason } => format!("no second worker, on the worker's stake: {reason}"),
        Audit::Agreed { with } => {
            format!("worker {} did the same run, receipt {}", with.worker, short(&with.receipt.to_string()))
        }
        Audit::Second { of } => format!("being compared with job {of}"),
        Audit::Differs { with, .. } => {
            format!("another run than worker {} did; which is false is being found out", with.worker)
        }
        Audit::Undecided { with, reason } => {
            format!("another run than worker {} did, and nobody knows which is false: {reason}", with.worker)
        }
        Audit::Upheld { against } => {
            format!("worker {} did another run, and that one was false", against.worker)
        }
        Audit::Disputed { .. } => "false, and disputed on the ledger".to_owned(),
        Audit::Convicting => "false, and its worker is being convicted on the ledger".to_owned(),
        Audit::Convicted => "false, and the worker has lost its stake".to_owned(),
        Audit::Unpunished { reason } => format!("false, and no stake was taken: {reason}"),
    }
}

/// Why an encrypted answer is believed.
fn audited(answer: &AskAnswer) -> String {
    let AskAnswer { canaries_asked, canaries_passed, .. } = answer;
    if answer.evidence != Evidence::Audited {
        return "signed: the worker's word".to_owned();
    }
    let questions = if *canaries_asked == 1 { "question" } else { "questions" };
    let near = answer.approximate.map_or_else(String::new, |near| format!(" to within {}", near.tolerance));
    format!("audited: {canaries_passed} of {canaries_asked} hidden {questions} right{near}")
}

/// Long enough for a worker on the same ledger to anchor its batch.
pub(crate) const ANCHOR_WAIT_MS: u64 = 5_000;
