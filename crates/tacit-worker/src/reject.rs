//! Every reason for which a worker refuses, with its HTTP status and stable code.

use alloy_primitives::{Address, B256};
use tacit_abi::{Evidence, Privacy};
use tacit_wire::{
    Amount, JobId, LedgerError, SignatureReject, job::PayloadReject, message::ErrorBody,
    oblivious::ObliviousReject, token::TokenReject,
};

use crate::{
    attest::AttestError,
    engine::EngineError,
    keys::KeyError,
    quota::{Counted, Day},
    store::StoreError,
};

/// Why a request is refused. Nothing was computed or charged, save where the variant says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobReject {
    /// The body is not the JSON expected.
    #[error("the request is malformed: {detail}")]
    Malformed {
        /// What the reader missed.
        detail: String,
    },
    /// The content type is not JSON.
    #[error("the request is not JSON")]
    NotJson,
    /// Longer than any request may be.
    #[error("the request is too long or broken")]
    Body,
    /// Not an address of this interface.
    #[error("there is nothing here")]
    NotFound,
    /// Another ledger.
    #[error("this worker is on chain {expected}, not {got}")]
    WrongChain {
        /// Ours.
        expected: u64,
        /// The header's.
        got: u64,
    },
    /// Another worker.
    #[error("this worker is {expected}, not {got}")]
    WrongWorker {
        /// Us.
        expected: Address,
        /// The header's.
        got: Address,
    },
    /// A model we do not serve.
    #[error("this worker does not serve model {model_id}")]
    UnknownModel {
        /// The header's.
        model_id: B256,
    },
    /// A mode we do not serve for this model.
    #[error("this worker does not serve {privacy} with {evidence} for this model")]
    UnsupportedMode {
        /// The header's privacy.
        privacy: Privacy,
        /// The header's evidence.
        evidence: Evidence,
    },
    /// Not the current ask.
    #[error("the price is {expected}, not {got}")]
    StalePrice {
        /// The ask.
        expected: Amount,
        /// The header's.
        got: Amount,
    },
    /// The same id with another body.
    #[error("job {job_id} is another job")]
    JobIdReused {
        /// The id.
        job_id: JobId,
    },
    /// The same job is being computed.
    #[error("job {job_id} is being computed")]
    InProgress {
        /// The id.
        job_id: JobId,
    },
    /// The answer was dropped after it was paid and many others were.
    #[error("the answer to job {job_id} is no longer kept")]
    AnswerExpired {
        /// The id.
        job_id: JobId,
    },
    /// The channel is computing another job.
    #[error("channel {channel_id} is busy with another job")]
    ChannelBusy {
        /// The channel.
        channel_id: B256,
    },
    /// Not a channel on the ledger.
    #[error("there is no channel {channel_id}")]
    UnknownChannel {
        /// The header's.
        channel_id: B256,
    },
    /// The channel pays someone else, or belongs to someone else.
    #[error("channel {channel_id} is not between {client} and this worker")]
    NotOurChannel {
        /// The header's.
        channel_id: B256,
        /// The header's.
        client: Address,
    },
    /// The channel pays for streams.
    #[error("channel {channel_id} pays for streams, and cannot pay for jobs")]
    ChannelForStreams {
        /// The channel.
        channel_id: B256,
    },
    /// The channel is closed or closing.
    #[error("channel {channel_id} is closed or closing")]
    ChannelClosing {
        /// The header's.
        channel_id: B256,
    },
    /// The signature is none.
    #[error("the signature is refused: {0}")]
    Signature(#[from] SignatureReject),
    /// The signature is somebody else's.
    #[error("signed by {got}, not by the channel's signer {expected}")]
    NotSigner {
        /// The channel's signer.
        expected: Address,
        /// Who signed.
        got: Address,
    },
    /// The last answer is not paid.
    #[error("job {job_id} is not paid: a voucher for {demand} is missing")]
    PaymentRequired {
        /// The unpaid job.
        job_id: JobId,
        /// Cumulative amount that pays it.
        demand: Amount,
    },
    /// The client counts from another amount than we hold.
    #[error("the channel owes {expected} after this job, not {got}")]
    WrongCumulative {
        /// What we hold plus the price.
        expected: Amount,
        /// The header's.
        got: Amount,
    },
    /// The deposit does not cover the job.
    #[error("the deposit of {deposit} does not cover {cumulative}")]
    DepositTooSmall {
        /// On the ledger.
        deposit: Amount,
        /// The header's.
        cumulative: Amount,
    },
    /// The payload does not open or decode.
    #[error(transparent)]
    Payload(#[from] PayloadReject),
    /// The payload is no query for this model.
    #[error("the query is refused: {0}")]
    Query(#[from] tacit_encrypt::WireError),
    /// The query is under keys that this worker does not have.
    #[error("this worker does not have the evaluation keys {key_id}")]
    UnknownKeys {
        /// Which.
        key_id: B256,
    },
    /// Keys that are none, or others than their id names.
    #[error("the evaluation keys are refused: {0}")]
    Keys(#[source] KeyError),
    /// No session has this key, or not any more.
    #[error("there is no session with the key {key}")]
    NoSession {
        /// The payload's.
        key: B256,
    },
    /// Our hardware gives no evidence.
    #[error("the worker's hardware gives no evidence now")]
    Attest(#[source] AttestError),
    /// Another number of values than the model takes.
    #[error("the model takes {expected} values, not {got}")]
    WrongShape {
        /// Features of the model.
        expected: usize,
        /// Values in the payload.
        got: usize,
    },
    /// The model's owner lets no more questions be answered today.
    #[error("at most {limit} of {} questions about this model are answered in a day; the next from {opens} 00:00 UTC", scope(*counted))]
    QuotaExceeded {
        /// Whose questions were counted.
        counted: Counted,
        /// Most in a day.
        limit: u64,
        /// The day on which it opens again.
        opens: Day,
    },
    /// A cover beyond what a channel of so little business gets.
    #[error("this channel is covered for {allowed} until more was paid over it")]
    NotEarned {
        /// Most in this period, so far.
        allowed: Amount,
    },
    /// The stake speaks for other answers already.
    #[error("this worker's stake speaks for audited answers up to {room} more")]
    NoRoom {
        /// What is left.
        room: Amount,
        /// When the period ends, seconds since 1970; in the next one there may be more.
        ends_at: u64,
    },
    /// Too much work is waiting.
    #[error("the worker is busy")]
    Busy,
    /// The owner drains the worker.
    #[error("the worker is closing down")]
    Draining,
    /// An order of somebody else's.
    #[error("the order is signed by {got}, who does not own this worker")]
    NotOwner {
        /// Who signed.
        got: Address,
    },
    /// An order of another time.
    #[error("the order was signed at {issued_at_ms}, and it is {now_ms} here")]
    OrderTime {
        /// By the owner's clock, milliseconds since 1970.
        issued_at_ms: u64,
        /// By ours.
        now_ms: u64,
    },
    /// An order that is not later than the last one.
    #[error("a later order was given already")]
    OrderReplayed,
    /// A job we never answered.
    #[error("there is no job {job_id}")]
    UnknownJob {
        /// The id.
        job_id: JobId,
    },
    /// No run that may be disputed, or the question is not from whoever knows its receipt's salt.
    #[error("there is no run that this question opens")]
    NoSuchRun,
    /// A verdict was asked for about a receipt that is of another run, or of this worker's own.
    #[error("the receipt is not another worker's of the same run")]
    OtherRun,
    /// The run was asked about often enough.
    #[error("this run was asked about as often as is answered, or about another element before")]
    WalkedEnough,
    /// The voucher pays less than its job costs.
    #[error("the voucher is for {got}, and {demand} is owed")]
    Underpaid {
        /// Cumulative amount owed.
        demand: Amount,
        /// The voucher's.
        got: Amount,
    },
    /// The voucher names another channel than its job.
    #[error("the voucher is for another channel than the job")]
    WrongChannel,
    /// No tokens are taken, here or for this model at this price.
    #[error("this worker takes no tokens for this")]
    NoTokens,
    /// A token, or a request for one, is none.
    #[error(transparent)]
    Token(#[from] TokenReject),
    /// A token paid for another job, or stands there twice.
    #[error("a token was spent before")]
    TokenSpent,
    /// The header is about other tokens than those that came.
    #[error("the job is about other tokens than these")]
    OtherPayment,
    /// More or fewer tokens than the price needs.
    #[error("{expected} tokens pay for this, not {got}")]
    WrongPayment {
        /// As many as the price needs.
        expected: usize,
        /// As many came.
        got: usize,
    },
    /// An encapsulated request that is none.
    #[error(transparent)]
    Oblivious(#[from] ObliviousReject),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The request took too long.
    #[error("the request took too long")]
    Timeout,
    /// Our own disk failed.
    #[error("the worker cannot write to its disk")]
    Store(#[source] StoreError),
    /// Our own ledger failed.
    #[error("the worker cannot reach its ledger")]
    Ledger(#[source] LedgerError),
    /// Something that should not happen, without detail for strangers.
    #[error("the worker failed")]
    Internal,
}

impl JobReject {
    /// Stable name, HTTP status and hint.
    #[must_use]
    pub fn describe(&self) -> (&'static str, u16, &'static str) {
        match self {
            Self::Malformed { .. } => ("malformed_request", 400, "see the interface's documentation"),
            Self::NotJson => ("not_json", 415, "send content-type: application/json"),
            Self::Body => ("body_too_long", 413, "send a smaller request"),
            Self::NotFound => ("not_found", 404, ""),
            Self::WrongChain { .. } => ("wrong_chain", 421, "use the ledger that the worker published on"),
            Self::WrongWorker { .. } => ("wrong_worker", 421, "read the worker's address from its ask"),
            Self::UnknownModel { .. } => ("unknown_model", 404, "read the asks on the ledger again"),
            Self::UnsupportedMode { .. } => ("unsupported_mode", 422, "read the asks on the ledger again"),
            Self::StalePrice { .. } => ("stale_price", 409, "read the asks on the ledger again"),
            Self::JobIdReused { .. } => ("job_id_reused", 409, "choose a random job id"),
            Self::InProgress { .. } => ("in_progress", 409, "ask again in a moment"),
            Self::AnswerExpired { .. } => ("answer_expired", 410, "ask again under a new job id"),
            Self::ChannelBusy { .. } => ("channel_busy", 409, "send one job at a time on a channel"),
            Self::UnknownChannel { .. } => ("unknown_channel", 402, "open a channel to this worker"),
            Self::NotOurChannel { .. } => ("not_our_channel", 402, "open a channel to this worker"),
            Self::ChannelForStreams { .. } => ("channel_for_streams", 409, "open another channel for jobs"),
            Self::ChannelClosing { .. } => ("channel_closing", 402, "open another channel"),
            Self::Signature(_) => ("bad_signature", 401, "sign the job with the channel's signer"),
            Self::NotSigner { .. } => ("not_signer", 401, "sign the job with the channel's signer"),
            Self::PaymentRequired { .. } => ("payment_required", 402, "send the voucher for the last job"),
            Self::WrongCumulative { .. } => {
                ("wrong_cumulative", 409, "compare with GET /v1/channels/{id} and send the missing voucher")
            }
            Self::DepositTooSmall { .. } => ("deposit_too_small", 402, "top up the channel"),
            Self::Payload(_) => ("bad_payload", 422, "seal the job to the key in the worker's current ask"),
            Self::Query(_) => ("bad_query", 422, "encrypt the row for the offer that comes with the model"),
            Self::UnknownKeys { .. } => ("unknown_keys", 409, "send the keys: PUT /v1/keys/{id}"),
            Self::Keys(_) => ("bad_keys", 422, "make keys for the parameters in the model's offer"),
            Self::NoSession { .. } => ("no_session", 409, "begin another one: POST /v1/attest"),
            Self::Attest(_) => ("attest_failed", 503, "ask another worker"),
            Self::WrongShape { .. } => ("wrong_shape", 422, "send one row with one value per feature"),
            Self::QuotaExceeded { .. } => {
                ("quota_exceeded", 429, "ask again when it opens, or ask another worker")
            }
            Self::NotEarned { .. } => ("not_earned", 429, "ask for less, and pay for it first"),
            Self::NoRoom { .. } => ("no_room", 429, "ask another worker, or with other evidence"),
            Self::Busy => ("busy", 503, "try again, or ask another worker"),
            Self::Draining => ("draining", 503, "ask another worker"),
            Self::NotOwner { .. } => ("not_owner", 403, "sign with the worker's own key: --key"),
            Self::OrderTime { .. } => ("wrong_clock", 409, "set the clock and try again"),
            Self::OrderReplayed => ("order_replayed", 409, "give the order again"),
            Self::UnknownJob { .. } => ("unknown_job", 404, ""),
            Self::NoSuchRun => {
                ("no_such_run", 404, "seal the question with the salt of the receipt's evidence")
            }
            Self::OtherRun => ("other_run", 409, "walk to where the two part, or dispute one of them"),
            Self::WalkedEnough => ("walked_enough", 429, "dispute the receipt on the ledger"),
            Self::Underpaid { .. } => ("underpaid", 402, "sign a voucher for the amount on the receipt"),
            Self::WrongChannel => ("wrong_channel", 409, "send the voucher of the job's channel"),
            Self::NoTokens => ("no_tokens", 422, "pay over a channel, or ask another worker"),
            Self::Token(_) => ("bad_token", 402, "buy tokens under the key that the ledger lists"),
            Self::TokenSpent => ("token_spent", 402, "pay with tokens that were not shown before"),
            Self::OtherPayment => {
                ("other_payment", 402, "sign the job with the id of its tokens as its channel")
            }
            Self::WrongPayment { .. } => {
                ("wrong_payment", 402, "read the price and the tokens' on the ledger")
            }
            Self::Oblivious(_) => {
                ("bad_encapsulation", 400, "encapsulate to the key in the worker's current ask")
            }
            Self::Engine(_) => ("engine_failed", 500, "ask another worker"),
            Self::Timeout => ("timeout", 503, "try again"),
            Self::Store(_) => ("store_failed", 500, "try again later"),
            Self::Ledger(_) => ("ledger_failed", 503, "try again later"),
            Self::Internal => ("internal", 500, "try again later"),
        }
    }

    /// The body to send.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        let (code, _, hint) = self.describe();
        let demand = match self {
            Self::StalePrice { expected, .. } | Self::WrongCumulative { expected, .. } => Some(*expected),
            Self::PaymentRequired { demand, .. } | Self::Underpaid { demand, .. } => Some(*demand),
            _ => None,
        };
        let opens_at = match self {
            Self::QuotaExceeded { opens, .. } => Some(opens.start_s()),
            Self::NoRoom { ends_at, .. } => Some(*ends_at),
            _ => None,
        };
        let (code, hint) = (code.to_owned(), hint.to_owned());
        ErrorBody { code, message: self.to_string(), hint, demand, opens_at }
    }
}

fn scope(counted: Counted) -> &'static str {
    match counted {
        Counted::Client => "one client's",
        Counted::All => "all clients'",
    }
}

impl From<StoreError> for JobReject {
    fn from(error: StoreError) -> Self {
        match error {
            // A job that ended after its channel was given to streams.
            StoreError::OtherUse { channel_id } => Self::ChannelForStreams { channel_id },
            StoreError::TokenSpent => Self::TokenSpent,
            error => Self::Store(error),
        }
    }
}
