//! Writes accounts and receipts, many in one transaction.
//!
//! What changed of accounts is written at most ten times a second; an end is written at once, together with all that changed and with the ends that came
//! while the last transaction ran.

use core::time::Duration;
use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::account::Account;
use crate::{store::StreamEnd, worker::Worker};

/// What waits to be written.
#[derive(Default)]
pub(super) struct Journal {
    pending: Mutex<Pending>,
    /// Told when something waits.
    changed: Notify,
    /// Told when something waits that somebody waits for.
    urgent: Notify,
    /// One at a time writes: whoever has written what waited knows that all before is on disk too.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Pending {
    accounts: Vec<Arc<Account>>,
    ends: Vec<(StreamEnd, oneshot::Sender<Written>)>,
}

/// Whether it is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written(pub(super) bool);

/// Shortest time between two writes of what nobody waits for.
const PERIOD: Duration = Duration::from_millis(100);
/// Ends in one transaction.
const ENDS_MAX: usize = 1024;

impl Journal {
    /// Writes an account before long.
    pub(super) fn note(&self, account: &Arc<Account>) {
        let mut pending = self.pending();
        if account.mark() {
            pending.accounts.push(Arc::clone(account));
            self.changed.notify_one();
        }
    }

    /// Writes an end and its account at once; returns when they are on disk, or cannot be put there.
    pub(super) async fn end(&self, account: &Arc<Account>, end: StreamEnd) -> Written {
        let (done, written) = oneshot::channel();
        {
            let mut pending = self.pending();
            if account.mark() {
                pending.accounts.push(Arc::clone(account));
            }
            pending.ends.push((end, done));
        }
        self.changed.notify_one();
        self.urgent.notify_one();
        written.await.unwrap_or(Written(false))
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        // Whole after every operation on it.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    /// Writes what waits until dropped.
    pub(crate) async fn write_forever(self: Arc<Self>) {
        let journal = &self.languages.journal;
        let mut last = Instant::now();
        loop {
            journal.changed.notified().await;
            let urgent = !journal.pending().ends.is_empty();
            if !urgent {
                let due = last + PERIOD;
                let _ = tokio::time::timeout_at(due, journal.urgent.notified()).await;
            }
            Arc::clone(&self).write_pending().await;
            last = Instant::now();
        }
    }

    /// Writes what waits now.
    pub(crate) async fn write_pending(self: Arc<Self>) {
        let _alone = self.languages.journal.writing.lock().await;
        let (accounts, ends) = {
            let mut pending = self.languages.journal.pending();
            let count = pending.ends.len().min(ENDS_MAX);
            let ends: Vec<_> = pending.ends.drain(..count).collect();
            let accounts = mem::take(&mut pending.accounts);
            // What changes from here on is written next time. Marks change under the lock alone: an end whose account is marked finds it
            // in the same list, and so is written no later than with it.
            accounts.iter().for_each(|account| account.unmark());
            (accounts, ends)
        };
        if accounts.is_empty() && ends.is_empty() {
            return;
        }
        let (ends, waiting): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
        let worker = Arc::clone(&self);
        let written = tokio::task::spawn_blocking(move || {
            let records: Vec<_> =
                accounts.iter().map(|account| (account.channel_id(), account.record())).collect();
            let written = worker.store.put_streams(&records, &ends);
            if written.is_err() {
                accounts.iter().for_each(|account| worker.languages.journal.note(account));
            }
            written
        })
        .await;
        let on_disk = match written {
            Ok(Ok(paid)) => {
                // A drained worker settles whatever was promised.
                if paid || self.is_drained() {
                    self.paid.notify_one();
                }
                true
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "accounts cannot be written");
                false
            }
            Err(_) => false,
        };
        for done in waiting {
            // Whoever waited may be gone.
            let _ = done.send(Written(on_disk));
        }
        let journal = &self.languages.journal;
        if !journal.pending().ends.is_empty() {
            journal.changed.notify_one();
        }
    }
}
