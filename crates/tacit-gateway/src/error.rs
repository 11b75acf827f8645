//! Every reason for which a question gets no answer, with its HTTP status and stable code.

use alloy_primitives::{Address, B256};
use tacit_abi::{Evidence, Privacy};
use tacit_encrypt::{Misfit, OfferReject};
use tacit_wire::{
    Amount, JobId, LedgerError, Revert, http::HttpError, job::PayloadReject, message::ErrorBody,
};

use crate::{
    attested::AttestedReject, canary::WRONG_CANARY, check::AnswerReject, dispute::FALSE_RUN,
    input::InputReject, store::StoreError,
};

/// Why a question gets no answer. Unless the variant says so, nothing was paid and nothing was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
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
    /// A web page of another origin, or a name that is not this machine's.
    #[error("requests from other origins are refused")]
    ForeignOrigin,
    /// The input is refused.
    #[error(transparent)]
    Input(#[from] InputReject),
    /// No such model on the ledger.
    #[error("no model {model:?} is published")]
    UnknownModel {
        /// Name or id asked for.
        model: String,
    },
    /// A mode this build cannot do.
    #[error("{privacy} with {evidence} is not supported")]
    Unsupported {
        /// Asked for.
        privacy: Privacy,
        /// Asked for.
        evidence: Evidence,
    },
    /// A proof is about values, and nobody but the user has them.
    #[error("an encrypted answer cannot be proved: whoever proves has to read what the proof is about")]
    Unprovable,
    /// The model cannot be asked under encryption.
    #[error("this model cannot be asked under encryption: {0}")]
    DoesNotFit(Misfit),
    /// An approximate answer may be as far from the model's as answers to other questions are.
    #[error(
        "worker {worker} says that its answers may be {tolerance} off, and answers to different questions are no further apart: hidden questions would tell nothing"
    )]
    Vague {
        /// Who.
        worker: Address,
        /// What it promises to keep to.
        tolerance: u32,
    },
    /// A worker does not take the evaluation keys that it asked for.
    #[error("worker {worker} does not take the evaluation keys: {source}")]
    KeysNotTaken {
        /// Who.
        worker: Address,
        /// What happened.
        source: Box<HttpError>,
    },
    /// The question is under keys that this build cannot use.
    #[error("this question is under evaluation keys, which this build does not know")]
    NotThisBuild,
    /// Nobody offers the model under encryption, and a worker says why.
    #[error("this model is not asked under encryption, as worker {worker} says: {reason}")]
    NotOffered {
        /// Who.
        worker: Address,
        /// Its words.
        reason: String,
    },
    /// Nothing says which hardware and software to accept.
    #[error("no policy says which hardware and software to accept")]
    NoPolicy,
    /// The ledger keeps no policy or line of this name.
    #[error("the ledger keeps no policy and no line {policy}")]
    UnknownPolicy {
        /// The name.
        policy: B256,
    },
    /// The ledger's node gives something else for a policy than its hash names.
    #[error("what the ledger's node gives for policy {policy} is another one")]
    FalsePolicy {
        /// The name.
        policy: B256,
    },
    /// A worker's hardware does not show what the policy asks for. Nothing was sealed to it.
    #[error("worker {worker} is not asked: {reject}")]
    EvidenceRefused {
        /// Who.
        worker: Address,
        /// What is missing.
        reject: Box<AttestedReject>,
    },
    /// A worker's hardware did not show it lately.
    #[error("worker {worker} is not asked again for now: {reason}")]
    NotAttested {
        /// Who.
        worker: Address,
        /// What was missing.
        reason: String,
    },
    /// A worker asks a price for encrypted jobs, and does not say how they are done.
    #[error("worker {worker} does not say how this model is asked under encryption")]
    NoOffer {
        /// Who.
        worker: Address,
    },
    /// What a worker says about encrypted jobs is not true of the model.
    #[error("worker {worker} says what cannot be about asking this model under encryption: {reject}")]
    BadOffer {
        /// Who.
        worker: Address,
        /// What is wrong with it.
        reject: OfferReject,
    },
    /// A worker's stake does not speak for another audited answer. Nothing was sent.
    #[error(
        "the stake of worker {worker} speaks for {covered} of audited answers on this channel, not for {amount}"
    )]
    NotCovered {
        /// Who.
        worker: Address,
        /// What would be paid in this period.
        amount: Amount,
        /// What the ledger says.
        covered: Amount,
    },
    /// Nobody we would ask serves the model in this mode.
    #[error("nobody serves this model with {privacy} and {evidence}")]
    NoAsk {
        /// Asked for.
        privacy: Privacy,
        /// Asked for.
        evidence: Evidence,
    },
    /// Those who serve it were caught cheating.
    #[error("worker {worker} is not asked again: {reason}")]
    Distrusted {
        /// Who.
        worker: Address,
        /// What it did.
        reason: String,
    },
    /// The cheapest ask costs more than allowed.
    #[error("the cheapest ask is {cheapest}, and at most {max_price} is allowed")]
    TooExpensive {
        /// Cheapest ask.
        cheapest: Amount,
        /// What the request or the configuration allows.
        max_price: Amount,
    },
    /// The wallet cannot pay for the channel.
    #[error("{address} holds {balance}, and the channel needs {needed}")]
    NoFunds {
        /// The wallet.
        address: Address,
        /// What it holds.
        balance: Amount,
        /// Deposit and gas.
        needed: Amount,
    },
    /// With the hidden questions that audit it the answer may cost more than allowed.
    #[error(
        "the answer costs {price}, with the hidden questions that audit it up to {in_all}, and at most {max_price} is allowed"
    )]
    AuditTooExpensive {
        /// The ask.
        price: Amount,
        /// With every hidden question and proof that may be needed.
        in_all: Amount,
        /// What the request or the configuration allows.
        max_price: Amount,
    },
    /// Hidden questions need answers that are known to be true.
    #[error(
        "nobody proves answers of this model, so there is nothing that hidden questions could be compared with"
    )]
    NobodyProves,
    /// A hidden question was answered, and what it is to be compared with cannot be had now. The answer to the user's question, if it was
    /// asked, is kept until then.
    #[error(
        "what worker {worker} answered to a hidden question cannot be compared with a proof yet: {source}"
    )]
    NotJudged {
        /// Whose answer.
        worker: Address,
        /// Why not.
        source: Box<Self>,
    },
    /// A hidden question was answered falsely, and paid before that was known. The user's own question may have been answered and paid as well;
    /// its answer is not given out.
    #[error("worker {worker} answered a hidden question falsely (job {job_id})")]
    WrongCanary {
        /// Who.
        worker: Address,
        /// The hidden question.
        job_id: JobId,
    },
    /// What the worker serves is not the model on the ledger.
    #[error("worker {worker} serves another model than {expected}")]
    ModelMismatch {
        /// Who.
        worker: Address,
        /// Id on the ledger.
        expected: B256,
    },
    /// The worker does not answer. When `job_id` is set the job was sent: ask again with it, and it is paid once.
    #[error("worker {worker} cannot be reached: {source}")]
    Unreachable {
        /// Who.
        worker: Address,
        /// The job, when it was sent.
        job_id: Option<JobId>,
        /// What happened.
        source: Box<HttpError>,
    },
    /// The worker refused the job before working on it.
    #[error("worker {worker} refused: {message}")]
    Refused {
        /// Who.
        worker: Address,
        /// The worker's code.
        code: String,
        /// The worker's words.
        message: String,
        /// The worker's hint.
        hint: String,
        /// From when on it would not, as the worker says, seconds since 1970.
        opens_at: Option<u64>,
    },
    /// The price changed between the ledger and the worker.
    #[error("the price of worker {worker} has changed")]
    StalePrice {
        /// Who.
        worker: Address,
    },
    /// The answer is false or dishonest. It was not paid.
    #[error("the answer of worker {worker} is refused: {reject}")]
    Rejected {
        /// Who.
        worker: Address,
        /// The job.
        job_id: JobId,
        /// What is wrong with it.
        reject: Box<AnswerReject>,
    },
    /// The job was refused or rejected earlier.
    #[error("job {job_id} failed before: {message}")]
    FailedBefore {
        /// The job.
        job_id: JobId,
        /// Code of that failure.
        code: String,
        /// Its words.
        message: String,
    },
    /// Nobody could be held to an audited answer.
    #[error("nobody can be held to an audited answer: the weights of model {model_id} are not registered")]
    NotAuditable {
        /// The model.
        model_id: B256,
    },
    /// A dispute needs weights that are no longer here.
    #[error("the weights of model {model_id}, by which an answer is disputed, are not here")]
    NoAuditModel {
        /// The model.
        model_id: B256,
    },
    /// A worker committed to another run than the model's.
    #[error(
        "worker {worker} answered job {job_id} from another run than the model's; its stake is being taken"
    )]
    FalseRun {
        /// Who.
        worker: Address,
        /// The job.
        job_id: JobId,
    },
    /// Two workers committed to different runs of the same row, and it is not known whose is false.
    #[error(
        "worker {worker} answered job {job_id} from another run than worker {second} did for the same question; which of them is false is being found out"
    )]
    RunsDiffer {
        /// Who was asked.
        worker: Address,
        /// Who was asked the same.
        second: Address,
        /// The job.
        job_id: JobId,
    },
    /// The same id with another question.
    #[error("job {job_id} is another question")]
    JobIdReused {
        /// The id.
        job_id: JobId,
    },
    /// No such receipt or job.
    #[error("there is no receipt {id}")]
    UnknownReceipt {
        /// What was asked for.
        id: String,
    },
    /// What a receipt of a stream is about is not kept any more, or never was.
    #[error("request and answer of receipt {job_id} are not kept")]
    Forgotten {
        /// Of which job.
        job_id: JobId,
    },
    /// The ledger has no such block.
    #[error("there is no block {number}")]
    UnknownBlock {
        /// Its number.
        number: u64,
    },
    /// Too many questions at once.
    #[error("too many questions at once")]
    Busy,
    /// The question took too long. It goes on at the next one, and is paid once.
    #[error("the question took too long")]
    Timeout,
    /// There is no relay to ask through.
    #[error("there is no relay, without which the worker would see who asks")]
    NoRelay,
    /// A mode that takes more than one message, or names the asker.
    #[error("{privacy} with {evidence} cannot be asked unlinkably")]
    NotUnlinkable {
        /// Asked for.
        privacy: Privacy,
        /// Asked for.
        evidence: Evidence,
    },
    /// Not enough tokens of this worker.
    #[error("there are too few tokens of worker {worker}{}", .needed.map_or_else(String::new, |needed| format!(": {needed} pay for this question")))]
    NoTokens {
        /// Whose.
        worker: Address,
        /// As many as the price needs; none where the worker takes none for it.
        needed: Option<usize>,
    },
    /// Nobody who serves the model sells tokens.
    #[error("nobody who serves this model sells tokens")]
    NoTokenSale,
    /// A key that may have been made for this buyer.
    #[error(
        "worker {worker} lists its token key since too short a time: who buys before {opens_at} (seconds since 1970) may be the only one"
    )]
    YoungTokenKey {
        /// Who.
        worker: Address,
        /// From when on it is old enough, seconds since 1970.
        opens_at: u64,
    },
    /// The worker's token key is not the one on the ledger.
    #[error("worker {worker} gives another token key than the ledger lists")]
    TokenKeyMismatch {
        /// Who.
        worker: Address,
    },
    /// No tokens, or more than are sold at once.
    #[error("from 1 to {limit} tokens are bought at once")]
    TokenCount {
        /// The limit.
        limit: usize,
    },
    /// The payload cannot be made: the ask's sealing key is bad.
    #[error("the job cannot be sealed: {0}")]
    Payload(#[from] PayloadReject),
    /// An amount overflows.
    #[error("an amount is too large")]
    Overflow,
    /// The ledger failed or refused.
    #[error(transparent)]
    Ledger(LedgerError),
    /// The disk failed.
    #[error("the gateway cannot use its disk: {0}")]
    Store(#[from] StoreError),
    /// HTTP is not available at all.
    #[error(transparent)]
    Http(HttpError),
    /// The listening socket failed.
    #[error("cannot listen: {0}")]
    Listen(#[source] std::io::Error),
    /// Something that should not happen.
    #[error("the gateway failed")]
    Internal,
}

impl From<LedgerError> for GatewayError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::InsufficientFunds { address, balance, needed } => {
                Self::NoFunds { address, balance, needed }
            }
            error => Self::Ledger(error),
        }
    }
}

impl GatewayError {
    /// Stable name, HTTP status and hint.
    #[must_use]
    pub fn describe(&self) -> (&str, u16, &str) {
        match self {
            Self::Malformed { .. } => ("malformed_request", 400, "see the interface's documentation"),
            Self::NotJson => ("not_json", 415, "send content-type: application/json"),
            Self::Body => ("body_too_long", 413, "send a smaller request"),
            Self::NotFound => ("not_found", 404, ""),
            Self::ForeignOrigin => (
                "foreign_origin",
                403,
                "a gateway can spend money: talk to it from this machine, at localhost",
            ),
            Self::Input(reject) => ("bad_input", 422, reject.hint()),
            Self::UnknownModel { .. } => ("unknown_model", 404, "list the models: tacit model list"),
            Self::Unsupported { .. } => (
                "unsupported",
                422,
                "this version does clear and sealed with signed, audited and proved, encrypted with signed and audited, and enclave with attested",
            ),
            Self::Unprovable => (
                "unprovable",
                422,
                "ask with --evidence audited or signed, or with --privacy sealed, which only the worker can read",
            ),
            Self::DoesNotFit(_) | Self::NotOffered { .. } => {
                ("does_not_fit", 422, "ask with --privacy sealed, which only the worker can read")
            }
            Self::Vague { .. } => {
                ("vague", 502, "ask another worker, or with --evidence signed, or sealed and proved")
            }
            Self::KeysNotTaken { .. } => ("keys_not_taken", 502, "ask again, or ask another worker"),
            Self::NotThisBuild => ("not_this_build", 501, "build tacit with the feature pbs"),
            Self::NoPolicy => ("no_policy", 422, "start the gateway with --policy LINE, or --policy ID"),
            Self::UnknownPolicy { .. } => ("unknown_policy", 404, "see the line: tacit policy show LINE"),
            Self::FalsePolicy { .. } => ("false_policy", 502, "use another ledger node: this one is wrong"),
            Self::EvidenceRefused { reject, .. } => (reject.code(), 502, reject.hint()),
            Self::NotAttested { .. } => ("not_attested", 502, "ask another worker, or try again later"),
            Self::NoOffer { .. } => ("no_offer", 502, "ask another worker"),
            Self::BadOffer { .. } => ("bad_offer", 502, "ask another worker"),
            Self::NoAsk { .. } => ("no_ask", 404, "see who serves what: tacit model list"),
            Self::Distrusted { .. } => ("distrusted", 403, "ask another worker"),
            Self::TooExpensive { .. } => {
                ("too_expensive", 402, "raise --max-price, or wait for a cheaper ask")
            }
            Self::AuditTooExpensive { .. } => {
                ("too_expensive", 402, "raise --max-price, or ask with --evidence signed")
            }
            Self::NobodyProves => {
                ("nobody_proves", 404, "ask with --evidence signed: the worker's word is all there is then")
            }
            Self::NotJudged { .. } => ("not_judged", 503, "ask again with the same job id: it is paid once"),
            Self::WrongCanary { .. } => {
                (WRONG_CANARY, 502, "it is not asked again; what convicts it: tacit receipt evidence")
            }
            Self::NoFunds { .. } => ("no_funds", 402, "send coins to this address: tacit wallet send"),
            Self::ModelMismatch { .. } => ("model_mismatch", 502, "ask another worker"),
            Self::Unreachable { job_id: None, .. } => ("unreachable", 502, "is the worker running?"),
            Self::Unreachable { .. } => {
                ("unreachable", 502, "ask again with the same job id: it is paid once")
            }
            Self::Refused { code, hint, .. } if code == "quota_exceeded" => ("quota_exceeded", 429, hint),
            Self::Refused { code, hint, .. } if code == "no_room" => ("no_room", 429, hint),
            Self::Refused { hint, .. } => ("refused", 502, hint),
            Self::NotCovered { .. } => ("not_covered", 502, "ask another worker"),
            Self::StalePrice { .. } => {
                ("stale_price", 409, "ask again to accept the new price, if it is allowed")
            }
            Self::Rejected { reject, .. } => {
                (reject.code(), 502, "it was not paid, and this worker is not asked again")
            }
            Self::FailedBefore { code, .. } => (code, 502, "ask again under a new job id"),
            Self::NotAuditable { .. } => (
                "not_auditable",
                422,
                "ask with --evidence proved; the model's owner registers weights with: tacit worker --audited",
            ),
            Self::NoAuditModel { .. } => ("no_audit_model", 500, "start the gateway with --audit-model FILE"),
            Self::FalseRun { .. } => (
                FALSE_RUN,
                502,
                "the worker is not asked again; how the dispute stands: tacit receipt show ID",
            ),
            Self::RunsDiffer { .. } => {
                ("runs_differ", 502, "ask again with the same job id once it is known: tacit receipt show ID")
            }
            Self::JobIdReused { .. } => {
                ("job_id_reused", 409, "leave the job id out, or choose a random one")
            }
            Self::UnknownReceipt { .. } => ("unknown_receipt", 404, "list the receipts: tacit receipt list"),
            Self::Forgotten { .. } => (
                "forgotten",
                410,
                "tacit gateway --keep-answers MIB says how much is kept; the oldest go first",
            ),
            Self::UnknownBlock { .. } => ("unknown_block", 404, "see the newest ones: GET /tacit/v1/blocks"),
            Self::Busy => ("busy", 503, "try again in a moment"),
            Self::Timeout => ("timeout", 504, "ask again with the same job id: it is paid once"),
            Self::NoRelay => ("no_relay", 422, "start the gateway with --relay URL"),
            Self::NotUnlinkable { .. } => {
                ("not_unlinkable", 422, "ask with --privacy sealed or clear, and --evidence signed or proved")
            }
            Self::NoTokens { .. } => ("no_tokens", 402, "buy some, and ask later: tacit tokens buy"),
            Self::NoTokenSale => ("no_token_sale", 404, "ask without --unlinkable, or ask another model"),
            Self::YoungTokenKey { .. } => {
                ("young_token_key", 403, "buy later, or of another worker: --worker")
            }
            Self::TokenKeyMismatch { .. } => ("token_key_mismatch", 502, "buy of another worker: --worker"),
            Self::TokenCount { .. } => ("token_count", 422, "buy fewer, more often"),
            Self::Payload(_) => ("bad_sealing_key", 502, "ask another worker"),
            Self::Overflow => ("overflow", 422, ""),
            Self::Ledger(LedgerError::Reverted(Revert::Other(_))) | Self::Ledger(LedgerError::Http(_)) => {
                ("ledger_failed", 503, "is the ledger running?")
            }
            Self::Ledger(_) => ("ledger_refused", 502, ""),
            Self::Store(_) => ("store_failed", 500, "is the disk full?"),
            Self::Http(_) | Self::Listen(_) | Self::Internal => ("internal", 500, ""),
        }
    }

    /// The body to send.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        let (code, _, hint) = self.describe();
        let demand = match self {
            Self::TooExpensive { cheapest, .. } => Some(*cheapest),
            Self::AuditTooExpensive { in_all, .. } => Some(*in_all),
            _ => None,
        };
        let opens_at = match self {
            Self::Refused { opens_at, .. } => *opens_at,
            Self::YoungTokenKey { opens_at, .. } => Some(*opens_at),
            _ => None,
        };
        let (code, hint) = (code.to_owned(), hint.to_owned());
        ErrorBody { code, message: self.to_string(), hint, demand, opens_at }
    }

    /// Whether another worker may be asked instead: nothing was sent to this one that it could answer later.
    pub(crate) fn may_ask_another(&self) -> bool {
        matches!(
            self,
            Self::ModelMismatch { .. }
                | Self::NoOffer { .. }
                | Self::EvidenceRefused { .. }
                | Self::NotAttested { .. }
                | Self::BadOffer { .. }
                | Self::Vague { .. }
                | Self::KeysNotTaken { .. }
                | Self::Unreachable { job_id: None, .. }
                | Self::Refused { .. }
                | Self::StalePrice { .. }
                | Self::NotCovered { .. }
                | Self::Distrusted { .. }
                | Self::Payload(_)
                | Self::NoTokens { .. }
        )
    }
}
