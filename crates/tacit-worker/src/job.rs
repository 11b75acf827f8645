//! The life of one job on the worker's side: check everything, compute, sign, keep, answer.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use tacit_abi::{
    IChannels::{Channel, IChannelsErrors},
    Receipt,
};
use tacit_encrypt::{KeyId, Variant, server::EvaluationKeys};
use tacit_wire::{
    Amount, Answer, AnswerEvidence, EngineTime, JobHeader, JobId, LedgerError, Output, Revert, Salts,
    job::{Contents, PAYLOAD_BYTES_MAX, Payload, PayloadReject, ReturnPath},
    keys::{KeyGrant, KeyReply},
    ledger::receipt_digest,
    message::{JobRequest, JobResponse},
    sealing::SealReject,
};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    disputes::KEEP_S,
    engine::{EngineAnswer, JobInput, OpenedJob},
    keys::KeyError,
    prepaid::Spent,
    quota::Counting,
    reject::JobReject,
    served::{ServedModel, may_be_disputed},
    store::{ChannelRecord, JobRecord, RunRecord},
    worker::{Worker, WorkerError},
};

/// A job that passed every check. Only [`Worker::admit`] makes one, and only an admitted job is computed.
pub(crate) struct Admitted {
    opened: Arc<OpenedJob>,
    digest: B256,
    model: ServedModel,
    payment: Payment,
    path: ReturnPath,
    /// Id of the evidence of the session that it came over.
    attested: Option<B256>,
    reservation: Reservation,
    counting: Counting,
    _place: OwnedSemaphorePermit,
}

/// What pays for a job.
pub(crate) enum Payment {
    /// A voucher, later.
    Channel(ChannelRecord),
    /// Tokens, as soon as there is an answer.
    Tokens(Vec<Spent>),
}

/// Holds a channel, or tokens, for one job; gives them back when dropped.
pub(crate) struct Reservation {
    worker: Arc<Worker>,
    held: Vec<B256>,
}

impl Reservation {
    pub(crate) fn of(worker: Arc<Worker>, held: Vec<B256>) -> Self {
        Self { worker, held }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut busy = self.worker.busy();
        for held in &self.held {
            busy.remove(held);
        }
    }
}

impl Admitted {
    pub(crate) fn new(
        (opened, path, attested): (OpenedJob, ReturnPath, Option<B256>),
        digest: B256,
        model: ServedModel,
        payment: Payment,
        reservation: Reservation,
        counting: Counting,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let opened = Arc::new(opened);
        Self { opened, digest, model, payment, path, attested, reservation, counting, _place: place }
    }
}

impl Worker {
    /// Answers a job, or says why not. Asking again with the same request gives the same bytes.
    ///
    /// # Errors
    /// [`JobReject`].
    pub async fn answer(self: &Arc<Self>, request: JobRequest) -> Result<JobResponse, JobReject> {
        let job_id = request.header.job_id;
        if let Some(body) = self.answered(&request)? {
            return Ok(JobResponse { job_id, body });
        }
        if self.sale(&request.header).is_some() {
            return self.sell(request).await;
        }
        let admitted = self.admit(request).await?;
        self.compute_beside(job_id, admitted).await
    }

    /// On its own task: a client that hangs up does not stop work that it will ask for again.
    pub(crate) async fn compute_beside(
        self: &Arc<Self>,
        job_id: JobId,
        admitted: Admitted,
    ) -> Result<JobResponse, JobReject> {
        let worker = Arc::clone(self);
        let computing = tokio::spawn(async move { worker.compute(admitted).await });
        let body = computing.await.map_err(|_| JobReject::Internal)??;
        Ok(JobResponse { job_id, body })
    }

    pub(crate) fn answered(&self, request: &JobRequest) -> Result<Option<Vec<u8>>, JobReject> {
        self.answered_as(request.header.job_id, request.header.digest(&request.payload))
    }

    /// The answer to the request of this name and digest, if it was given.
    pub(crate) fn answered_as(&self, job_id: JobId, digest: B256) -> Result<Option<Vec<u8>>, JobReject> {
        let Some(job) = self.store.job(job_id)? else { return Ok(None) };
        if job.digest != digest {
            return Err(JobReject::JobIdReused { job_id });
        }
        self.store.answer(job_id)?.map(Some).ok_or(JobReject::AnswerExpired { job_id })
    }

    async fn admit(self: &Arc<Self>, request: JobRequest) -> Result<Admitted, JobReject> {
        if self.is_drained() {
            return Err(JobReject::Draining);
        }
        let model = self.check_terms(&request.header, &request.payload)?.clone();
        self.check_disputable(&request.header, &model).await?;
        let (channel, reservation) = self.admit_channel(&request).await?;
        let JobRequest { header, payload, .. } = request;
        let counting = self.count(&header, &model)?;
        let place = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| JobReject::Busy)?;
        let opened = self.open_payload(header, &payload, &model).await?;
        let (digest, payment) = (header.digest(&payload), Payment::Channel(channel));
        Ok(Admitted::new(opened, digest, model, payment, reservation, counting, place))
    }

    /// The channel that pays for a job, kept for it.
    pub(crate) async fn admit_channel(
        self: &Arc<Self>,
        request: &JobRequest,
    ) -> Result<(ChannelRecord, Reservation), JobReject> {
        let JobRequest { header, payload, signature } = request;
        let signer = header.signer(payload, signature)?;
        let listed = self.check_channel(header).await?;
        if signer != listed.signer {
            return Err(JobReject::NotSigner { expected: listed.signer, got: signer });
        }
        // Only the channel's signer comes this far, so that a stranger cannot keep a channel busy. What we hold of the
        // channel is read once nobody else can change it.
        let reservation = self.reserve_channel(header.channel_id, header.job_id)?;
        if self.store.account(header.channel_id)?.is_some() {
            return Err(JobReject::ChannelForStreams { channel_id: header.channel_id });
        }
        if self.store.job(header.job_id)?.is_some() {
            return Err(JobReject::InProgress { job_id: header.job_id });
        }
        let channel = self.held_channel(header, &listed)?;
        self.check_balance(header, &channel)?;
        Ok((channel, reservation))
    }

    /// What there is to compute on, once its shape is the model's.
    pub(crate) async fn open_payload(
        &self,
        header: JobHeader,
        payload: &Payload,
        model: &ServedModel,
    ) -> Result<(OpenedJob, ReturnPath, Option<B256>), JobReject> {
        let session = payload.session().map(|key| self.session_for_job(key, header.model_id)).transpose()?;
        let key = session.as_ref().map_or(&self.sealing, |(key, _)| &**key);
        let (contents, path) = payload.open(&header, key)?;
        let input = match contents {
            Contents::Values(values) => {
                let (expected, got) = (model.features(), values.len());
                if expected != got {
                    return Err(JobReject::WrongShape { expected, got });
                }
                JobInput::Values(values)
            }
            Contents::Query(bytes) => {
                let JobHeader { job_id, model_id, privacy, evidence, .. } = header;
                let offer = model.offer().ok_or(JobReject::UnsupportedMode { privacy, evidence })?;
                let keys = match offer.check_query(&bytes)? {
                    Some(id) => Some(self.expanded(header.client, id, offer.variant()).await?),
                    None => None,
                };
                JobInput::Query { bytes, keys, seed: self.audit.seed(job_id, model_id, payload.hash()) }
            }
        };
        Ok((OpenedJob { header, input }, path, session.map(|(_, evidence)| evidence)))
    }

    /// A client's keys, ready to compute with.
    async fn expanded(
        &self,
        client: Address,
        id: KeyId,
        variant: Variant,
    ) -> Result<Arc<EvaluationKeys>, JobReject> {
        let key_id = B256::from(id.0);
        if !self.keys.has(client, key_id) {
            return Err(JobReject::UnknownKeys { key_id });
        }
        let shelf = Arc::clone(&self.keys);
        let expanding = tokio::task::spawn_blocking(move || shelf.expanded(client, id, variant));
        expanding.await.map_err(|_| JobReject::Internal)?.map_err(|error| match error {
            // Whoever changed the file, the client has the keys.
            KeyError::Unknown { key_id } | KeyError::OtherId { expected: key_id } => {
                JobReject::UnknownKeys { key_id }
            }
            error => key_reject(error),
        })
    }

    /// Whose keys come under a grant: known before they are read.
    pub(crate) async fn key_client(&self, grant: &KeyGrant, signature: &Bytes) -> Result<Address, JobReject> {
        let signer = grant.signer(signature, self.ledger.chain_id())?;
        let listed = self.listed_channel(grant.channel_id).await?;
        if listed.worker != self.address() {
            return Err(JobReject::NotOurChannel { channel_id: grant.channel_id, client: listed.client });
        }
        if !listed.open || listed.closeAt != 0 {
            return Err(JobReject::ChannelClosing { channel_id: grant.channel_id });
        }
        if signer != listed.signer {
            return Err(JobReject::NotSigner { expected: listed.signer, got: signer });
        }
        Ok(listed.client)
    }

    /// Keeps a client's evaluation keys, durably, before it says so.
    pub(crate) async fn keep_keys(
        &self,
        client: Address,
        key_id: B256,
        bytes: Vec<u8>,
    ) -> Result<KeyReply, JobReject> {
        let shelf = Arc::clone(&self.keys);
        let keeping = tokio::task::spawn_blocking(move || {
            shelf.keep(client, key_id, &bytes)?;
            Ok(KeyReply { key_id, bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX) })
        });
        keeping.await.map_err(|_| JobReject::Internal)?.map_err(key_reject)
    }

    /// Whether a job is for this worker, on its ledger.
    pub(crate) fn check_addressed(&self, chain_id: u64, worker: Address) -> Result<(), JobReject> {
        let expected = self.ledger.chain_id();
        if chain_id != expected {
            return Err(JobReject::WrongChain { expected, got: chain_id });
        }
        if worker != self.address() {
            return Err(JobReject::WrongWorker { expected: self.address(), got: worker });
        }
        Ok(())
    }

    pub(crate) fn check_terms(
        &self,
        header: &JobHeader,
        payload: &Payload,
    ) -> Result<&ServedModel, JobReject> {
        self.check_addressed(header.chain_id, header.worker)?;
        let unknown = JobReject::UnknownModel { model_id: header.model_id };
        let model = self.models.get(&header.model_id).ok_or(unknown)?;
        let (privacy, evidence) = (header.privacy, header.evidence);
        let expected =
            model.price(privacy, evidence).ok_or(JobReject::UnsupportedMode { privacy, evidence })?;
        if header.price != expected {
            return Err(JobReject::StalePrice { expected, got: header.price });
        }
        if payload.body().len() > PAYLOAD_BYTES_MAX {
            return Err(PayloadReject::Seal(SealReject::TooLong).into());
        }
        Ok(model)
    }

    /// Whether a run with this header could be defended on the ledger.
    async fn check_disputable(&self, header: &JobHeader, model: &ServedModel) -> Result<(), JobReject> {
        let (privacy, evidence) = (header.privacy, header.evidence);
        if !may_be_disputed(privacy, evidence) {
            return Ok(());
        }
        match self.is_disputable(model).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(JobReject::UnsupportedMode { privacy, evidence }),
            Err(WorkerError::Ledger(error)) => Err(JobReject::Ledger(error)),
            Err(WorkerError::Store(error)) => Err(JobReject::Store(error)),
            Err(_) => Err(JobReject::Internal),
        }
    }

    /// Keeps a channel for one job, or for the moment in which it becomes one that pays for streams.
    pub(crate) fn reserve_channel(
        self: &Arc<Self>,
        channel_id: B256,
        job_id: JobId,
    ) -> Result<Reservation, JobReject> {
        let mut busy = self.busy();
        // Ids are the clients' choice: one that names another's job must not come between it and its answer.
        if busy.iter().any(|(other, running)| *running == job_id && *other != channel_id) {
            return Err(JobReject::InProgress { job_id });
        }
        match busy.entry(channel_id) {
            std::collections::hash_map::Entry::Occupied(running) => Err(if *running.get() == job_id {
                JobReject::InProgress { job_id }
            } else {
                JobReject::ChannelBusy { channel_id }
            }),
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(job_id);
                Ok(Reservation::of(Arc::clone(self), vec![channel_id]))
            }
        }
    }

    /// The channel as the ledger has it now, if it can pay for this job.
    async fn check_channel(&self, header: &JobHeader) -> Result<Channel, JobReject> {
        let JobHeader { channel_id, client, cumulative, .. } = *header;
        let listed = self.listed_channel(channel_id).await?;
        if listed.worker != self.address() || listed.client != client {
            return Err(JobReject::NotOurChannel { channel_id, client });
        }
        if !listed.open || listed.closeAt != 0 {
            return Err(JobReject::ChannelClosing { channel_id });
        }
        let deposit = Amount(listed.deposit);
        if deposit < cumulative {
            return Err(JobReject::DepositTooSmall { deposit, cumulative });
        }
        Ok(listed)
    }

    fn held_channel(&self, header: &JobHeader, listed: &Channel) -> Result<ChannelRecord, JobReject> {
        let mut channel = self.store.channel(header.channel_id)?.unwrap_or(ChannelRecord {
            client: header.client,
            signer: listed.signer,
            voucher: None,
            settled: Amount::ZERO,
            unpaid: None,
        });
        channel.settled = channel.settled.max(Amount(listed.settled));
        Ok(channel)
    }

    pub(crate) async fn listed_channel(&self, channel_id: B256) -> Result<Channel, JobReject> {
        match self.ledger.channel(channel_id).await {
            Ok(channel) => Ok(channel),
            Err(LedgerError::Reverted(Revert::Channels(IChannelsErrors::UnknownChannel(_)))) => {
                Err(JobReject::UnknownChannel { channel_id })
            }
            Err(error) => Err(JobReject::Ledger(error)),
        }
    }

    fn check_balance(&self, header: &JobHeader, channel: &ChannelRecord) -> Result<(), JobReject> {
        if let Some(job_id) = channel.unpaid {
            let owed = self.store.job(job_id)?.map(|job| Amount(job.receipt.receipt.cumulative));
            return Err(JobReject::PaymentRequired { job_id, demand: owed.unwrap_or(header.cumulative) });
        }
        let expected = channel.promised().checked_add(header.price);
        if expected != Some(header.cumulative) {
            let expected = expected.unwrap_or(Amount(u128::MAX));
            return Err(JobReject::WrongCumulative { expected, got: header.cumulative });
        }
        Ok(())
    }

    async fn compute(self: Arc<Self>, admitted: Admitted) -> Result<Vec<u8>, JobReject> {
        let Admitted { opened, digest, model, payment, path, attested, reservation, counting, _place } =
            admitted;
        let (answered, time) = self.computed(&model, &opened).await?;
        let root = answered.trace.as_ref().map(|trace| trace.root);
        let (job, body, salt) = self.finish(&opened, digest, answered, time, (&path, attested))?;
        let (job_id, day) = (opened.header.job_id, counting.day());
        match payment {
            Payment::Channel(channel) => {
                let run = self.run_of(&opened, &job, salt, root);
                self.store.put_answer(job_id, &job, &body, channel, day, run.as_ref())?;
            }
            Payment::Tokens(spent) => {
                self.store.put_prepaid(job_id, &job, &body, &spent, day)?;
                // It is paid: its receipt waits for no voucher.
                self.paid.notify_one();
            }
        }
        drop((reservation, counting));
        Ok(body)
    }

    /// What it takes to do a run again that may be disputed.
    fn run_of(
        &self,
        opened: &OpenedJob,
        job: &JobRecord,
        salt: B256,
        root: Option<B256>,
    ) -> Option<RunRecord> {
        let OpenedJob { header, input: JobInput::Values(values) } = opened else { return None };
        may_be_disputed(header.privacy, header.evidence).then(|| RunRecord {
            receipt: receipt_digest(&job.receipt.receipt, header.chain_id),
            model_id: header.model_id,
            values: values.to_vec(),
            salt: Some(salt),
            root,
            until_s: job.receipt.receipt.completedAt.saturating_add(KEEP_S),
        })
    }

    /// Signs the receipt and wraps the answer; the salt of its commitment to evidence comes with them.
    fn finish(
        &self,
        opened: &OpenedJob,
        digest: B256,
        answered: EngineAnswer,
        time: EngineTime,
        (path, attested): (&ReturnPath, Option<B256>),
    ) -> Result<(JobRecord, Vec<u8>, B256), JobReject> {
        let salts = Salts::random();
        let EngineAnswer { output, proof, trace } = answered;
        let (input_commitment, evidence) = match &opened.input {
            JobInput::Values(values) => {
                let proof = proof.map(AnswerEvidence::Proof);
                let attested = attested.map(AnswerEvidence::Attested);
                let evidence = attested.or(proof).or(trace.map(AnswerEvidence::Trace));
                let evidence = evidence.unwrap_or(AnswerEvidence::None);
                (salts.commit_input(values), evidence)
            }
            JobInput::Query { bytes, seed, .. } => {
                (salts.commit_query(bytes), AnswerEvidence::Seed(seed.commitment()))
            }
        };
        self.sign_answer(&opened.header, digest, input_commitment, (output, evidence, salts), time, path)
    }

    /// Signs the receipt for an output and what there is besides, and wraps them.
    pub(crate) fn sign_answer(
        &self,
        header: &JobHeader,
        digest: B256,
        input_commitment: B256,
        (output, evidence, salts): (Output, AnswerEvidence, Salts),
        time: EngineTime,
        path: &ReturnPath,
    ) -> Result<(JobRecord, Vec<u8>, B256), JobReject> {
        let bill = self.billing.bill(header);
        let salt = B256::from(salts.evidence);
        let receipt = Receipt {
            jobId: header.job_id.0,
            modelId: header.model_id,
            channelId: header.channel_id,
            client: header.client,
            worker: header.worker,
            privacy: header.privacy as u8,
            evidence: header.evidence as u8,
            inputCommitment: input_commitment,
            outputCommitment: salts.commit_output(&output),
            evidenceHash: salts.commit_evidence(&evidence.committed()),
            price: bill.price.0,
            cumulative: bill.cumulative.0,
            completedAt: self.clock.unix_time_s(),
        };
        let receipt = self.wallet.sign_receipt(receipt, header.chain_id);
        let answer = Answer { output, salts, time, evidence, receipt: receipt.clone() };
        let encoded = answer.encode().map_err(|_| JobReject::Internal)?;
        let body = path.wrap(encoded).map_err(|_| JobReject::Internal)?;
        Ok((JobRecord { digest, receipt, paid: false, batch: None }, body, salt))
    }

    /// What the worker knows about a channel.
    ///
    /// # Errors
    /// [`JobReject::UnknownChannel`] when no job or voucher came over it.
    pub fn channel(&self, channel_id: B256) -> Result<tacit_wire::message::ChannelInfo, JobReject> {
        let record = self.store.channel(channel_id)?.ok_or(JobReject::UnknownChannel { channel_id })?;
        Ok(tacit_wire::message::ChannelInfo { channel_id, voucher: record.voucher, unpaid: record.unpaid })
    }

    /// A receipt, with its inclusion proof once it is anchored.
    ///
    /// # Errors
    /// [`JobReject::UnknownJob`].
    pub fn receipt(&self, job_id: JobId) -> Result<tacit_wire::message::ReceiptInfo, JobReject> {
        let job = self.store.job(job_id)?.ok_or(JobReject::UnknownJob { job_id })?;
        let anchor = match job.batch {
            Some(root) => self.store.batch(root)?.and_then(|batch| {
                let index = batch.jobs.iter().position(|other| *other == job_id)?;
                let siblings = tacit_abi::receipts::proof(&batch.leaves, index)?;
                Some(tacit_wire::message::AnchorProof { root, block: batch.block?, siblings })
            }),
            None => None,
        };
        Ok(tacit_wire::message::ReceiptInfo { receipt: job.receipt, anchor })
    }
}

fn key_reject(error: KeyError) -> JobReject {
    match error {
        KeyError::Io(error) => JobReject::Store(error.into()),
        error => JobReject::Keys(error),
    }
}
