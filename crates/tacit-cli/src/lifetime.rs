//! When a role ends: ctrl-c, a termination signal, or the end of the process that started it.

use tokio::io::AsyncReadExt;

/// Resolves when this process should stop.
pub(crate) async fn ended(with_parent: bool) {
    tokio::select! {
        () = signalled() => {}
        () = parent_gone(), if with_parent => {}
    }
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
