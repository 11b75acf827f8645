//! When a role ends: ctrl-c, a termination signal, or the end of the process that started it.

use std::time::Duration;
use tokio::io::AsyncReadExt;

/// Resolves when this process should stop.
pub(crate) async fn ended(with_parent: bool) {
    tokio::select! {
        () = signalled() => {}
        () = parent_gone(), if with_parent => {}
    }
}

/// Opens what a role of a network that was killed a moment ago may still hold: it lets requests end for some seconds.
pub(crate) async fn once_free<T, E>(
    open: impl FnMut() -> Result<T, E>,
    in_use: impl Fn(&E) -> bool,
) -> Result<T, E> {
    retried(TRIES, POLL, open, in_use).await
}

async fn retried<T, E>(
    tries: u32,
    pause: Duration,
    mut open: impl FnMut() -> Result<T, E>,
    in_use: impl Fn(&E) -> bool,
) -> Result<T, E> {
    for _ in 1..tries {
        match open() {
            Err(error) if in_use(&error) => tokio::time::sleep(pause).await,
            done => return done,
        }
    }
    open()
}

/// A parent holds our stdin open and says nothing; the system closes it however the parent ends.
async fn parent_gone() {
    let (mut stdin, mut scratch) = (tokio::io::stdin(), [0_u8; 64]);
    while stdin.read(&mut scratch).await.is_ok_and(|count| count > 0) {}
}

#[cfg(unix)]
async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return interrupted().await;
    };
    tokio::select! {
        () = interrupted() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signalled() {
    interrupted().await;
}

/// Resolves on ctrl-c.
pub(crate) async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Eight seconds, longer than any role takes to end.
const TRIES: u32 = 160;
const POLL: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_in_use_is_tried_until_it_is_free() {
        for (free_after, reason, expected, tried) in [
            (1, "in use", Ok(1), 1),
            (5, "in use", Ok(5), 5),
            (6, "in use", Err("in use"), 5),
            (5, "broken", Err("broken"), 1),
        ] {
            let mut tries = 0;
            let open = || {
                tries += 1;
                if tries < free_after { Err(reason) } else { Ok(tries) }
            };
            let opened = retried(5, Duration::ZERO, open, |error| *error == "in use").await;
            assert_eq!((opened, tries), (expected, tried), "{free_after} {reason}");
        }
    }
}
