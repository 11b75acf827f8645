//! Turns: who computes next, and which jobs one proof answers.
//!
//! Every admitted job enters the queue of its model and asks for one of the worker's places. Whoever gets a place takes
//! its own job and those that wait for the same proof, oldest first, up to the engine's limit, and computes them all.
//! So a lone job waits for nobody, and the longer a proof takes the more jobs the next one answers.
//!
//! # Invariants
//! A job leaves the queue once, with its own turn or with another's. It gives its turn up only after its answer has
//! come, so that a job in the queue always has a turn to come.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use alloy_primitives::B256;
use tacit_abi::Evidence;
use tacit_wire::EngineTime;
use tokio::sync::oneshot;

use crate::{
    engine::{Engine, EngineAnswer, EngineError, OpenedJob},
    reject::JobReject,
    served::ServedModel,
    worker::Worker,
};

/// An answer, and what it took.
pub(crate) type Computed = Result<(EngineAnswer, EngineTime), JobReject>;

/// Jobs that wait, by model.
#[derive(Default)]
pub(crate) struct Queues(Mutex<HashMap<B256, VecDeque<Waiting>>>);

struct Waiting {
    job: Arc<OpenedJob>,
    reply: oneshot::Sender<Computed>,
}

impl Queues {
    fn enter(&self, job: &Arc<OpenedJob>) -> oneshot::Receiver<Computed> {
        let (reply, computed) = oneshot::channel();
        let waiting = Waiting { job: Arc::clone(job), reply };
        self.lock().entry(job.header.model_id).or_default().push_back(waiting);
        computed
    }

    /// Takes a job and up to `most - 1` others that one proof may answer with it; nothing if the job is gone.
    fn take(&self, job: &Arc<OpenedJob>, most: usize) -> Vec<Waiting> {
        let mut queues = self.lock();
        let Some(queue) = queues.get_mut(&job.header.model_id) else { return Vec::new() };
        let own = queue.iter().position(|waiting| Arc::ptr_eq(&waiting.job, job));
        let Some(own) = own.and_then(|own| queue.remove(own)) else { return Vec::new() };
        let proved = |job: &OpenedJob| job.header.evidence == Evidence::Proved;
        let mut taken = vec![own];
        let mut left = VecDeque::new();
        for waiting in core::mem::take(queue) {
            if taken.len() < most && proved(job) && proved(&waiting.job) {
                taken.push(waiting);
            } else {
                left.push_back(waiting);
            }
        }
        *queue = left;
        if queue.is_empty() {
            queues.remove(&job.header.model_id);
        }
        taken
    }

    fn len(&self) -> usize {
        self.lock().values().map(VecDeque::len).sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<B256, VecDeque<Waiting>>> {
        // Whole after every operation, so a panic elsewhere leaves nothing to repair.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    /// Jobs that are admitted and not begun.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queues.len()
    }

    /// A job's answer, computed in its own turn or in another's.
    pub(crate) async fn computed(&self, model: &ServedModel, job: &Arc<OpenedJob>) -> Computed {
        let mut computed = self.queues.enter(job);
        let turn = tokio::select! {
            biased;
            computed = &mut computed => return computed.map_err(|_| JobReject::Internal)?,
            turn = self.running.acquire() => turn.map_err(|_| JobReject::Internal)?,
        };
        let engine = model.engine();
        run(engine, self.queues.take(job, engine.together_max())).await;
        drop(turn);
        computed.await.map_err(|_| JobReject::Internal)?
    }
}

/// Answers jobs by one proof; where that fails, each alone, so that no job costs another its answer.
async fn run(engine: &Arc<dyn Engine>, taken: Vec<Waiting>) {
    let jobs: Arc<[Arc<OpenedJob>]> = taken.iter().map(|waiting| Arc::clone(&waiting.job)).collect();
    let together = if jobs.len() > 1 { attempt(engine, jobs).await } else { None };
    let mut together = together.into_iter().flatten();
    for Waiting { job, reply } in taken {
        let computed = match together.next() {
            Some(answer) => Ok(answer),
            None => alone(engine, job).await,
        };
        // Nobody is left to hear of it only when the worker ends.
        let _ = reply.send(computed);
    }
}

/// One answer for each job, or none.
async fn attempt(
    engine: &Arc<dyn Engine>,
    jobs: Arc<[Arc<OpenedJob>]>,
) -> Option<Vec<(EngineAnswer, EngineTime)>> {
    let (count, engine) = (jobs.len(), Arc::clone(engine));
    let blocking = tokio::task::spawn_blocking(move || {
        let jobs: Vec<&OpenedJob> = jobs.iter().map(AsRef::as_ref).collect();
        timed(|| engine.answer_together(&jobs))
    });
    let (answers, time) = match blocking.await {
        Ok((Ok(answers), time)) if answers.len() == count => (answers, time),
        Ok((Ok(_), _)) | Err(_) => {
            tracing::error!(jobs = count, "the engine did not answer all jobs together");
            return None;
        }
        Ok((Err(error), _)) => {
            tracing::error!(%error, jobs = count, "the engine failed on jobs together");
            return None;
        }
    };
    let share = u64::try_from(count).unwrap_or(u64::MAX).max(1);
    let time = EngineTime { cpu_us: time.cpu_us / share, ..time };
    Some(answers.into_iter().map(|answer| (answer, time)).collect())
}

async fn alone(engine: &Arc<dyn Engine>, job: Arc<OpenedJob>) -> Computed {
    let engine = Arc::clone(engine);
    let blocking = tokio::task::spawn_blocking(move || timed(|| engine.answer(&job)));
    let (answer, time) = blocking.await.map_err(|_| JobReject::Internal)?;
    let answer = answer.inspect_err(|error: &EngineError| tracing::error!(%error, "the engine failed"))?;
    Ok((answer, time))
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, EngineTime) {
    let (wall, cpu) = (Instant::now(), cpu_us());
    let made = work();
    let wall_us = u64::try_from(wall.elapsed().as_micros()).unwrap_or(u64::MAX);
    (made, EngineTime { wall_us, cpu_us: cpu_us().saturating_sub(cpu) })
}

/// Processor time of this process so far, microseconds.
fn cpu_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0).saturating_mul(1_000_000).saturating_add(nanos.unwrap_or(0) / 1_000)
}
