//! Audits of language models: some answers are computed again, in part, by another worker of the model (`specs/0010-streams.md`, *Audits*).
//!
//! Chat completions then ask for log-probabilities (`question`), so that a worker's answer, which its receipt commits to, says how likely it found each token. Once an answer is
//! there, paid and its receipt checked, a coin that nobody could foresee selects it. `answer` checks what it says of itself; `audit` has another worker continue the same text at a few
//! places, or asks it the whole again, so that it cannot tell that it audits, over the ordinary paid way; `compare` compares, with [`tacit_market::likeness`]; `book` remembers which workers of a model answer alike.
//!
//! # What it shows
//! A measurement, by engines that do not agree bit for bit: no stake moves by it. Of two workers that are unlike, nothing shows which is false. One that is unlike more workers that are
//! alike than may be like it is **outvoted**: until the gateway restarts, it asks it nothing more about that model. `docs/market.md` says what is not found.
//!
//! # Limits
//! `audit` keeps few audits at once and each of them short; an answer is read within limits; so many models and workers are remembered.

mod answer;
mod audit;
mod book;
mod compare;
mod question;

pub use book::{LikenessView, ModelLikeness, PairLikeness, WorkerLikeness};

pub(crate) use audit::LanguageAudits;
pub(crate) use question::{COMMITMENT, can_be_audited};
