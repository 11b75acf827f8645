//! What a worker counts, as text for Prometheus (exposition format 0.0.4), on a listener of its own: strangers that may ask for models are not told.

use core::fmt::Write as _;
use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use crate::{
    store::StoreError,
    worker::{Worker, WorkerError},
};

/// Every fourth bound of the worker's own is told: each twice the one before.
const BUCKET_STEP: usize = 4;

impl Worker {
    /// Serves `GET /metrics` until dropped. The caller chooses the listener's address: who reaches it reads what the worker earns.
    ///
    /// # Errors
    /// [`WorkerError::Listen`].
    pub async fn serve_metrics(self: Arc<Self>, listener: TcpListener) -> Result<(), WorkerError> {
        let router = Router::new().route("/metrics", get(metrics)).with_state(self);
        axum::serve(listener, router).await.map_err(WorkerError::Listen)
    }

    /// All that is counted, without asking the ledger.
    fn exposition(&self) -> Result<String, StoreError> {
        let mut text = Text::default();
        let models = self.languages.models();
        let of_models = |pick: fn(&crate::counters::Used, u32) -> f64| {
            models.iter().map(move |model| {
                (label("model", &model.manifest().name), pick(&model.usage.used(), model.capacity()))
            })
        };
        text.family("tacit_worker_requests_total", "counter", "Requests to language models that were begun.");
        text.all("tacit_worker_requests_total", of_models(|used, _| number(used.requests.into())));
        text.family("tacit_worker_places", "gauge", "Requests that the engine is given at once.");
        text.all("tacit_worker_places", of_models(|_, capacity| capacity.into()));
        text.family("tacit_worker_places_taken", "gauge", "Requests that the engine has now.");
        text.all("tacit_worker_places_taken", of_models(|used, _| used.taken.into()));
        text.family("tacit_worker_busy_seconds_total", "counter", "Time of places that were taken.");
        text.all("tacit_worker_busy_seconds_total", of_models(|used, _| number(used.busy_us) / 1e6));
        text.family("tacit_worker_engine_available", "gauge", "Whether the engine answers.");
        let available = models.iter().map(|model| {
            let status = model.status();
            (label("model", &status.name), f64::from(u8::from(status.available)))
        });
        text.all("tacit_worker_engine_available", available);
        text.family("tacit_worker_first_byte_seconds", "histogram", "Time from a request to its first byte.");
        for model in &models {
            let (used, name) = (model.usage.used(), &model.manifest().name);
            for (bound_us, sum) in used.waits.iter().step_by(BUCKET_STEP) {
                let labels = format!("{},{}", label("model", name), label("le", &seconds(*bound_us)));
                text.one("tacit_worker_first_byte_seconds_bucket", &labels, number((*sum).into()));
            }
            let all = used.waits.last().map_or(0, |(_, all)| *all);
            let labels = format!("{},{}", label("model", name), label("le", "+Inf"));
            text.one("tacit_worker_first_byte_seconds_bucket", &labels, number(all.into()));
            let labels = label("model", name);
            text.one("tacit_worker_first_byte_seconds_sum", &labels, number(used.waited_us.into()) / 1e6);
            text.one("tacit_worker_first_byte_seconds_count", &labels, number(all.into()));
        }
        text.family("tacit_worker_refused_total", "counter", "Requests refused, by reason.");
        let refused = self.refused.all();
        text.all(
            "tacit_worker_refused_total",
            refused.iter().map(|(reason, count)| (label("reason", reason), number((*count).into()))),
        );
        let money = self.money()?;
        for (name, help, amount) in [
            ("tacit_worker_promised_coins", "Promised by vouchers.", money.promised),
            ("tacit_worker_settled_coins", "Paid out by the ledger.", money.settled),
            ("tacit_worker_unsettled_coins", "Promised and not paid out.", money.unsettled),
            ("tacit_worker_unpromised_coins", "Given and promised by nobody.", money.unpromised),
        ] {
            text.family(name, "gauge", help);
            text.line(name, "", &amount.to_string());
        }
        let most = self.limits.running_max.saturating_add(self.limits.waiting_max);
        let jobs = most.saturating_sub(self.admitted.available_permits());
        for (name, help, count) in [
            ("tacit_worker_unanchored_receipts", "Paid receipts that are not anchored.", money.unanchored),
            ("tacit_worker_jobs", "Jobs that run or wait.", u64::try_from(jobs).unwrap_or(u64::MAX)),
            ("tacit_worker_challenges_open", "Challenges that have not ended.", self.open_challenges()?),
            ("tacit_worker_drained", "Whether the owner drains it.", self.is_drained().into()),
        ] {
            text.family(name, "gauge", help);
            text.one(name, "", number(count.into()));
        }
        Ok(text.0)
    }

    fn open_challenges(&self) -> Result<u64, StoreError> {
        Ok(u64::try_from(self.store.challenges()?.len()).unwrap_or(u64::MAX))
    }
}

async fn metrics(State(worker): State<Arc<Worker>>) -> Response {
    match worker.exposition() {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn all(&mut self, name: &str, values: impl Iterator<Item = (String, f64)>) {
        for (labels, value) in values {
            self.one(name, &labels, value);
        }
    }

    fn one(&mut self, name: &str, labels: &str, value: f64) {
        self.line(name, labels, &value.to_string());
    }

    fn line(&mut self, name: &str, labels: &str, value: &str) {
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

/// Names of models and reasons have no character that would have to be escaped.
fn label(name: &str, value: &str) -> String {
    format!("{name}=\"{value}\"")
}

fn seconds(us: u64) -> String {
    core::time::Duration::from_micros(us).as_secs_f64().to_string()
}

fn number(count: u128) -> f64 {
    count as f64
}
