//! Guests on hardware of our own vendors: real evidence, bound to the session that is asked for, and signed again.

use std::sync::{
    Arc, LazyLock, Mutex,
    atomic::{AtomicU32, Ordering},
};

use alloy_primitives::B256;
use axum::{
    Json, Router,
    body::to_bytes,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tacit_abi::{
    Evidence as Mode, Privacy,
    policies::{DELAY_MIN_S, QUORUM_MIN, line_id, proposal_id},
};
use tacit_attest::{Evidence, Policy};
use tacit_gateway::{AskRequest, Attestation, Gateway};
use tacit_wire::{
    LedgerClient,
    http::{HttpError, JsonClient},
    message::ErrorReply,
};
use tacit_worker::{AttestError, Attester, Clock, ServedModel};

use crate::{
    disk::Disk,
    files::{AMD_NOW, tdx},
    support::{
        Ledger, PRICE, RunningWorker, Server, WorkerPlan, gateway_judging, honest, ledger, listen, question,
        wallet,
    },
    world::{Either, World},
};

/// A time at which the world's evidence holds.
pub(crate) struct At(pub(crate) u64);

impl Clock for At {
    fn unix_time_s(&self) -> u64 {
        self.0
    }
}

type Change = fn(&mut World);

/// An SEV-SNP guest with two GPUs, made once: its chip's certificate is signed with RSA.
pub(crate) fn amd() -> World {
    static AMD: LazyLock<World> = LazyLock::new(World::amd);
    AMD.clone()
}

/// Hardware that does what it is asked, and then something else.
pub(crate) struct Guest {
    world: World,
    change: Change,
    asked: AtomicU32,
}

impl Guest {
    pub(crate) fn honest(world: &World) -> Arc<Self> {
        Self::that(world, |_| ())
    }

    pub(crate) fn that(world: &World, change: Change) -> Arc<Self> {
        Arc::new(Self { world: world.clone(), change, asked: AtomicU32::new(0) })
    }

    pub(crate) fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Attester for Guest {
    fn attest(&self, report_data: &[u8; 64], gpu_nonce: &[u8; 32]) -> Result<Evidence, AttestError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut world = self.world.clone();
        bind(&mut world, report_data, gpu_nonce);
        (self.change)(&mut world);
        Ok(world.evidence())
    }
}

/// Hardware that answers every session with the evidence of its first.
#[derive(Default)]
pub(crate) struct Replaying(Mutex<Option<Evidence>>);

impl Attester for Replaying {
    fn attest(&self, report_data: &[u8; 64], gpu_nonce: &[u8; 32]) -> Result<Evidence, AttestError> {
        let mut kept = self.0.lock().unwrap();
        if let Some(evidence) = &*kept {
            return Ok(evidence.clone());
        }
        let mut world = amd();
        bind(&mut world, report_data, gpu_nonce);
        Ok(kept.insert(world.evidence()).clone())
    }
}

/// Hardware that has failed.
pub(crate) struct Broken;

impl Attester for Broken {
    fn attest(&self, _: &[u8; 64], _: &[u8; 32]) -> Result<Evidence, AttestError> {
        Err(AttestError::Report)
    }
}

/// Makes a world's evidence answer a session.
pub(crate) fn bind(world: &mut World, report_data: &[u8; 64], gpu_nonce: &[u8; 32]) {
    match &mut world.cpu {
        Either::Intel(intel) => intel.set(520, report_data),
        Either::Amd(amd) => amd.set(0x50, report_data),
    }
    for at in 0..world.nvidia.gpus.len() {
        world.nvidia.edit(at, |report| report[4..36].copy_from_slice(gpu_nonce));
    }
}

/// The world's policy, for the model that is asked.
pub(crate) fn policy(world: &World, model: B256) -> Policy {
    let mut world = world.clone();
    world.rules.models = vec![model];
    world.policy()
}

/// The small model, asked in a guest too.
pub(crate) fn in_guest() -> ServedModel {
    honest().ask(Privacy::Enclave, Mode::Attested, PRICE)
}

/// A worker in a guest.
pub(crate) fn plan(world: &World, attester: Arc<dyn Attester>) -> WorkerPlan {
    WorkerPlan {
        models: vec![in_guest()],
        attester: Some(attester),
        clock: Arc::new(At(world.now())),
        ..WorkerPlan::honest(1)
    }
}

/// A line that begins with a policy.
pub(crate) async fn open_line(ledger: &LedgerClient, policy: &Policy) -> B256 {
    ledger.open_policy_line(&wallet(3), policy.encode().into(), DELAY_MIN_S, QUORUM_MIN).await.unwrap();
    line_id(policy.id(), DELAY_MIN_S, QUORUM_MIN)
}

/// Proposes the next policy of a line, and has the only validator, of wallet 3, approve it: it waits from then on.
pub(crate) async fn accept(ledger: &LedgerClient, line: B256, next: &Policy) -> B256 {
    ledger.propose_policy(&wallet(2), line, next.encode().into()).await.unwrap();
    let proposal = proposal_id(line, 0);
    ledger.approve_policy(&wallet(3), proposal).await.unwrap();
    proposal
}

/// How a gateway judges that believes in a world's vendors.
pub(crate) fn judging(world: &World, policy: B256) -> Attestation {
    let clock: fn() -> u64 = match world.cpu {
        Either::Intel(_) => || tdx().now,
        Either::Amd(_) => || AMD_NOW,
    };
    Attestation::trusting(policy, world.trust(), clock)
}

/// A question to a guest.
pub(crate) fn guest_question(seed: u64) -> AskRequest {
    AskRequest { privacy: Privacy::Enclave, ..question(seed) }
}

/// A ledger with a line, a worker in a guest, and a gateway that follows the line.
pub(crate) struct Scene {
    pub(crate) ledger: Ledger,
    pub(crate) worker: RunningWorker,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) line: B256,
}

impl Scene {
    pub(crate) async fn new(world: &World, attester: Arc<dyn Attester>) -> Self {
        Self::under(world, plan(world, attester), &policy(world, in_guest().model_id())).await
    }

    pub(crate) async fn under(world: &World, plan: WorkerPlan, policy: &Policy) -> Self {
        let ledger = ledger(&[1, 2, 3].map(|number| wallet(number).address())).await;
        let line = open_line(&ledger.client, policy).await;
        let worker = plan.start(&ledger.client).await;
        let gateway = gateway_judging(&ledger.client, 2, &Disk::default(), judging(world, line));
        Self { ledger, worker, gateway, line }
    }

    /// The same, over a door that alters what is asked and what comes back.
    pub(crate) async fn over(self, door: Door) -> (Self, Server) {
        let server = door.before(&self.worker.server.url).await;
        self.worker.worker.publish_and_ask(&server.url).await.unwrap();
        (self, server)
    }
}

/// What stands before a worker: alters requests, and replies.
#[derive(Clone, Copy)]
pub(crate) struct Door {
    pub(crate) request: fn(&str, &mut Value),
    pub(crate) reply: fn(&str, &mut Value),
}

impl Door {
    /// Stands before whatever is at this address.
    pub(crate) async fn before(self, url: &str) -> Server {
        let router = Router::new().fallback(pass).with_state((url.trim_end_matches('/').to_owned(), self));
        Server::spawn(listen(0).await, |listener| async move {
            let _ = axum::serve(listener, router).await;
        })
    }
}

async fn pass(State((target, door)): State<(String, Door)>, request: Request) -> Response {
    const LIMIT: usize = 64 << 20;
    let client = JsonClient::new(core::time::Duration::from_secs(60)).unwrap();
    let path = request.uri().path().to_owned();
    let url = format!("{target}{path}");
    let body = to_bytes(request.into_body(), LIMIT).await.unwrap();
    let reply = if body.is_empty() {
        client.get::<Value>(&url, LIMIT).await
    } else {
        let mut asked = serde_json::from_slice(&body).unwrap();
        (door.request)(&path, &mut asked);
        client.post::<Value, Value>(&url, &asked, LIMIT).await
    };
    let (status, mut value) = match reply {
        Ok(value) => (200, value),
        Err(HttpError::Refused { status, body }) => {
            (status, serde_json::to_value(ErrorReply { error: *body }).unwrap())
        }
        Err(error) => panic!("{error}"),
    };
    (door.reply)(&path, &mut value);
    (StatusCode::from_u16(status).unwrap(), Json(value)).into_response()
}
