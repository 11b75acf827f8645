//! Connections, so many at a time: whoever floods the port costs neither memory nor file descriptors without limit, which a
//! validator's disk needs as well.
//!
//! When all places are taken, a connection that has not said anything for [`SILENCE_GRACE`] gives up its place, the oldest first; then the one
//! that has been still for longest. What does not take its answer for [`WRITE_MAX`] is closed.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{Instant, Sleep, sleep},
};

/// A listener whose connections have limits.
pub(super) struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    begun: Instant,
    lines: Vec<Line>,
    /// How many lines there may be before those that have ended are forgotten.
    prune_at: usize,
}

/// A connection, seen from here.
struct Line {
    activity: Arc<Activity>,
    close: oneshot::Sender<()>,
}

#[derive(Default)]
struct Activity {
    heard: AtomicBool,
    /// When something last passed, since the listener began.
    last_us: AtomicU64,
}

impl Bounded {
    pub(super) fn new(listener: TcpListener, connections_max: usize) -> Self {
        let places = Arc::new(Semaphore::new(connections_max));
        Self { listener, places, begun: Instant::now(), lines: Vec::new(), prune_at: LINES_MIN }
    }

    /// Waits for a place, and makes one if there is none. `None` never comes: nobody closes the semaphore.
    async fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        self.lines.retain(|line| !line.close.is_closed());
        let now_us = micros(self.begun.elapsed());
        let least = self.lines.iter().enumerate().min_by_key(|(_, line)| {
            let last_us = line.activity.last_us.load(Ordering::Relaxed);
            let silent = !line.activity.heard.load(Ordering::Relaxed)
                && now_us.saturating_sub(last_us) > micros(SILENCE_GRACE);
            (!silent, last_us)
        });
        if let Some((index, _)) = least {
            // It may have ended by itself meanwhile.
            let _ = self.lines.swap_remove(index).close.send(());
        }
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

impl Listener for Bounded {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            let Some(place) = self.place().await else { continue };
            let (close, closed) = oneshot::channel();
            let activity = Arc::<Activity>::default();
            if self.lines.len() >= self.prune_at {
                self.lines.retain(|line| !line.close.is_closed());
                self.prune_at = self.lines.len().saturating_mul(2).max(LINES_MIN);
            }
            self.lines.push(Line { activity: Arc::clone(&activity), close });
            let (begun, closed) = (self.begun, Some(closed));
            let stream = Stream { stream, activity, begun, closed, stuck: None, _place: place };
            stream.touch();
            return (stream, address);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection with a place.
pub(super) struct Stream {
    stream: TcpStream,
    activity: Arc<Activity>,
    begun: Instant,
    /// Says that the place is wanted; gone once the listener is.
    closed: Option<oneshot::Receiver<()>>,
    /// Runs while the client takes nothing.
    stuck: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    fn touch(&self) {
        self.activity.last_us.store(micros(self.begun.elapsed()), Ordering::Relaxed);
    }

    /// Whether somebody else gets the place.
    fn is_closed(&mut self, context: &mut Context<'_>) -> bool {
        let Some(closed) = &mut self.closed else { return false };
        match Pin::new(closed).poll(context) {
            Poll::Pending => false,
            Poll::Ready(told) => {
                self.closed = None;
                told.is_ok()
            }
        }
    }

    /// What a write came to, with an end to waiting.
    fn written<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stuck = None;
            self.touch();
            return result;
        }
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(WRITE_MAX)));
        ready!(stuck.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_closed(context) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.activity.heard.store(true, Ordering::Relaxed);
            self.touch();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// How long a new connection may take to say something.
const SILENCE_GRACE: Duration = Duration::from_secs(1);
/// Lines that are kept whether they have ended or not.
const LINES_MIN: usize = 64;
/// Longest wait for a client to take a part of its answer.
const WRITE_MAX: Duration = Duration::from_secs(30);
