//! Connections with an end: at most so many at once, and none that lies idle for long.

use core::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use std::{io, net::SocketAddr, sync::Arc};

use axum::serve::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};

/// Accepts a limited number of connections, each of which is dropped once nothing moved on it for `idle`.
///
/// Who finds no place waits for one, and would wait behind connections that others keep for later. So while few are left
/// ([`Places::are_scarce`]) answers should end their connections.
pub(crate) struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    idle: Duration,
}

impl Bounded {
    pub(crate) fn new(listener: TcpListener, connections_max: usize, idle: Duration) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(connections_max)), idle }
    }

    pub(crate) fn places(&self) -> Places {
        let places = Arc::clone(&self.places);
        let few = places.available_permits() / 8;
        Places { places, few }
    }
}

/// Places for connections.
#[derive(Clone)]
pub(crate) struct Places {
    places: Arc<Semaphore>,
    few: usize,
}

impl Places {
    /// Whether less than an eighth is free.
    pub(crate) fn are_scarce(&self) -> bool {
        self.places.available_permits() <= self.few
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed; were it, nothing more would be accepted.
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
            return core::future::pending().await;
        };
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // An answer goes out at once; it is one write.
        let _ = stream.set_nodelay(true);
        let timer = Box::pin(tokio::time::sleep(self.idle));
        (Connection { stream, idle: self.idle, timer, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when it lies idle.
pub(crate) struct Connection {
    stream: TcpStream,
    idle: Duration,
    timer: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// Passes progress on and restarts the timer; gives up when the timer ends first.
    fn watch<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            let end = Instant::now() + self.idle;
            self.timer.as_mut().reset(end);
            return polled;
        }
        ready!(self.timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        let polled = Pin::new(&mut connection.stream).poll_read(cx, buffer);
        connection.watch(cx, polled)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let connection = self.get_mut();
        let polled = Pin::new(&mut connection.stream).poll_write(cx, bytes);
        connection.watch(cx, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let connection = self.get_mut();
        let polled = Pin::new(&mut connection.stream).poll_write_vectored(cx, parts);
        connection.watch(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn server(connections_max: usize, idle: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().fallback(|| async { "here" });
        tokio::spawn(async move { axum::serve(Bounded::new(listener, connections_max, idle), router).await });
        address
    }

    #[tokio::test]
    async fn who_says_nothing_is_hung_up_on() {
        let mut stream = TcpStream::connect(server(8, Duration::from_millis(100)).await).await.unwrap();
        stream.write_all(b"GET / HT").await.unwrap();
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok());
    }

    #[tokio::test]
    async fn nobody_waits_behind_a_connection_that_is_kept_for_later() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bounded = Bounded::new(listener, 1, Duration::from_secs(3600));
        let places = bounded.places();
        let router = axum::Router::new().fallback(|| async { "here" }).layer(axum::middleware::map_response(
            move |reply| core::future::ready(crate::http::end_if_scarce(&places, reply)),
        ));
        tokio::spawn(async move { axum::serve(bounded, router).await });
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            let mut reply = [0; 12];
            tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut reply))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(&reply, b"HTTP/1.1 200");
            held.push(stream);
        }
    }

    #[tokio::test]
    async fn a_place_is_free_again_when_its_holder_is_gone() {
        let address = server(1, Duration::from_millis(300)).await;
        let silent = TcpStream::connect(address).await.unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut reply = String::new();
        tokio::time::timeout(Duration::from_secs(5), stream.read_to_string(&mut reply))
            .await
            .unwrap()
            .unwrap();
        assert!(reply.ends_with("here"));
        drop(silent);
    }
}
