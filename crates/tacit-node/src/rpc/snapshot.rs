//! `GET /snapshot`: the flat state after the newest checkpoint, for a node that begins. See [`crate::snapshot`].

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream::poll_fn;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};

use super::server::Service;
use crate::{
    snapshot::{Snapshot, produce},
    store::{StoreError, View},
};

pub(super) async fn snapshot(State(service): State<Arc<Service>>) -> Response {
    let limit = service.node.limits().snapshots_max;
    if limit == 0 {
        return refused(StatusCode::NOT_FOUND, "this node serves no snapshots".into());
    }
    let Ok(permit) = Arc::clone(&service.snapshots).try_acquire_owned() else {
        let why =
            format!("{limit} snapshots are being served already; ask another node, or again in a while");
        return refused(StatusCode::SERVICE_UNAVAILABLE, why);
    };
    match found(&service).await {
        Ok(Some((snapshot, begin))) => stream(&service, permit, snapshot, begin),
        Ok(None) => refused(
            StatusCode::NOT_FOUND,
            "this node has no certified checkpoint yet; ask again once the network has made one".into(),
        ),
        Err(error) => {
            tracing::error!(%error, "a snapshot could not be read");
            refused(StatusCode::INTERNAL_SERVER_ERROR, "the store failed".into())
        }
    }
}

/// The newest checkpoint of which there is a certificate: the block that it is of, and the first bytes of its snapshot.
async fn found(service: &Arc<Service>) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
    let mut below = u64::MAX;
    for _ in 0..CHECKPOINTS_TRIED {
        let reading = Arc::clone(service);
        let task = tokio::task::spawn_blocking(move || {
            let view = reading.shared().store.view()?;
            Snapshot::below(view.as_ref(), reading.node.genesis_hash(), below)
        });
        let Some(snapshot) = task.await.unwrap_or(Ok(None))? else { return Ok(None) };
        below = snapshot.block;
        let finality = service.node.finality(snapshot.block).await?;
        if let Some(finality) = finality {
            return Ok(Some((snapshot.of, snapshot.begin(&finality))));
        }
    }
    Ok(None)
}

fn stream(service: &Service, permit: OwnedSemaphorePermit, of: u64, begin: Vec<u8>) -> Response {
    let view = match service.shared().store.view() {
        Ok(view) => view,
        Err(_) => return refused(StatusCode::INTERNAL_SERVER_ERROR, "the store failed".into()),
    };
    let (sender, mut receiver) = mpsc::channel(PARTS_AHEAD);
    let handle = Handle::current();
    tokio::task::spawn_blocking(move || give(view, of, begin, &sender, &handle, permit));
    let parts = poll_fn(move |context| {
        receiver.poll_recv(context).map(|part| part.map(|part| Ok::<_, Infallible>(Bytes::from(part))))
    });
    let headers = [(header::CONTENT_TYPE, "application/octet-stream")];
    (StatusCode::OK, headers, Body::from_stream(parts)).into_response()
}

/// Writes all of it. Whoever reads too slowly, or not at all, is left: a view keeps the store from using its space again.
fn give(
    view: Box<dyn View>,
    of: u64,
    begin: Vec<u8>,
    sender: &mpsc::Sender<Vec<u8>>,
    handle: &Handle,
    permit: OwnedSemaphorePermit,
) {
    let send = |part: Vec<u8>| {
        let sent = handle.block_on(timeout(STALL_MAX, sender.send(part)));
        matches!(sent, Ok(Ok(())))
    };
    let given = if send(begin) { produce(view.as_ref(), of, send) } else { Ok(()) };
    if let Err(error) = given {
        // The stream ends before its end, which its reader notices.
        tracing::error!(%error, "a snapshot could not be read");
    }
    drop(permit);
}

fn refused(status: StatusCode, why: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain")], why).into_response()
}

/// Parts that wait for the reader.
const PARTS_AHEAD: usize = 2;
/// How long a reader may take for one.
const STALL_MAX: Duration = Duration::from_secs(30);
/// Checkpoints without a certificate that are passed over: a node that was away may lack those of some blocks.
const CHECKPOINTS_TRIED: usize = 8;
