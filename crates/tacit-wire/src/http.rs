//! JSON over HTTP with limits: a remote party can neither stall nor flood the reader, nor send it elsewhere.
//!
//! Plain HTTP only. What must not be read on the way is sealed before it comes here ([`crate::sealing`]), and what must
//! not be altered is signed or proved.

use core::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};
use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use reqwest::{Client, Method, StatusCode, redirect};
use serde::{Serialize, de::DeserializeOwned};

use crate::message::{ErrorBody, ErrorReply};

/// Sends JSON and reads JSON.
#[derive(Debug, Clone)]
pub struct JsonClient {
    client: Client,
}

/// An answer that is read as it comes, for as long as parts of it come in time.
#[derive(Debug)]
pub struct Download {
    response: reqwest::Response,
    url: String,
    stall: Duration,
}

/// How an exchange began whose answer is read as it comes, whatever its status.
#[derive(Debug)]
pub struct Relayed {
    /// HTTP status.
    pub status: u16,
    /// As the other side said it; empty where it said nothing readable.
    pub content_type: String,
    /// Its bytes. Dropping it closes the connection.
    pub body: Download,
}

impl Download {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`HttpError::Unreachable`], [`HttpError::Stalled`].
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        let unreachable = |source: reqwest::Error| HttpError::Unreachable {
            url: self.url.clone(),
            source: source.without_url(),
        };
        match tokio::time::timeout(self.stall, self.response.chunk()).await {
            Ok(chunk) => chunk.map(|chunk| chunk.map(|bytes| bytes.to_vec())).map_err(unreachable),
            Err(_) => Err(HttpError::Stalled { url: self.url.clone() }),
        }
    }
}

/// A body that tells when it is taken to be written.
struct Watched<F>(Option<(Bytes, F)>);

impl<F: FnOnce() + Unpin> http_body::Body for Watched<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.get_mut().0.take().map(|(bytes, sent)| {
            sent();
            Ok(Frame::data(bytes))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(
            self.0.as_ref().map_or(0, |(bytes, _)| u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
        )
    }
}

/// What is sent.
struct Request<'a> {
    method: Method,
    headers: &'a [(&'static str, String)],
    body: Vec<u8>,
}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The client could not be set up.
    #[error("HTTP is not available: {0}")]
    Setup(#[source] reqwest::Error),
    /// Not `http://host…` without credentials.
    #[error("not a usable address: {url}")]
    BadUrl {
        /// What was given.
        url: String,
    },
    /// No connection, no answer in time, or a broken one.
    #[error("{url} did not answer: {}", innermost(.source))]
    Unreachable {
        /// Who was asked.
        url: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// The rest of an answer does not come.
    #[error("{url} stopped in the middle of its answer")]
    Stalled {
        /// Who was asked.
        url: String,
    },
    /// The other side refused, and said why in plain words.
    #[error("{url} answered: {text}")]
    Told {
        /// Who was asked.
        url: String,
        /// HTTP status.
        status: u16,
        /// What it said; written by the other side.
        text: String,
    },
    /// A relay did not bring an answer that is the worker's.
    #[error("the relay at {url} brought no answer of the worker's: {detail}")]
    Relay {
        /// Where it is.
        url: String,
        /// What it said, or what is wrong with what it brought.
        detail: String,
    },
    /// The body is longer than its limit.
    #[error("{url} answered with more than {limit_bytes} bytes")]
    TooLong {
        /// Who was asked.
        url: String,
        /// The limit.
        limit_bytes: usize,
    },
    /// The body is not what was asked for.
    #[error("{url} answered with something else than expected")]
    Malformed {
        /// Who was asked.
        url: String,
        /// What the reader missed.
        source: serde_json::Error,
    },
    /// The other side refused, and said why.
    #[error("{}", .body.message)]
    Refused {
        /// HTTP status.
        status: u16,
        /// The refusal; written by the other side.
        body: Box<ErrorBody>,
    },
    /// The other side failed without a reason we can read.
    #[error("{url} answered with status {status}")]
    Status {
        /// Who was asked.
        url: String,
        /// HTTP status.
        status: u16,
    },
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REFUSAL_BYTES_MAX: usize = 16 * 1024;
const REFUSAL_TEXT_MAX: usize = 500;

impl HttpError {
    /// Whether the request may have been acted upon although no answer was read.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Setup(_) | Self::BadUrl { .. } => false,
            Self::Unreachable { source, .. } => !source.is_connect(),
            Self::Refused { status, .. } | Self::Status { status, .. } => *status >= 500,
            Self::Told { status, .. } => *status >= 500,
            Self::TooLong { .. } | Self::Malformed { .. } | Self::Stalled { .. } | Self::Relay { .. } => true,
        }
    }
}

impl JsonClient {
    /// A client whose requests end after `timeout`.
    ///
    /// # Errors
    /// [`HttpError::Setup`].
    pub fn new(timeout: Duration) -> Result<Self, HttpError> {
        let client = Client::builder()
            .timeout(timeout)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::none())
            .referer(false)
            // An address is where a request goes, whatever the environment says.
            .no_proxy()
            .build()
            .map_err(HttpError::Setup)?;
        Ok(Self { client })
    }

    /// A client for answers that take as long as they take: each read ends for itself ([`Download`]).
    ///
    /// # Errors
    /// [`HttpError::Setup`].
    pub fn unhurried() -> Result<Self, HttpError> {
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .tcp_nodelay(true)
            .build()
            .map_err(HttpError::Setup)?;
        Ok(Self { client })
    }

    /// Sends bytes to `url` and begins to read what comes back, for somebody else to judge, whatever its status; `stall` bounds the wait for the answer's beginning and for
    /// each part of it. A client's timeout ends it too, so it wants [`Self::unhurried`].
    ///
    /// # Errors
    /// [`HttpError::BadUrl`], [`HttpError::Unreachable`], [`HttpError::Stalled`].
    pub async fn relay(
        &self,
        url: &str,
        content_type: &str,
        body: Vec<u8>,
        stall: Duration,
    ) -> Result<Relayed, HttpError> {
        let target = usable(url)?;
        let request = self.client.post(target).header("content-type", content_type).body(body);
        let sent = tokio::time::timeout(stall, request.send()).await;
        let sent = sent.map_err(|_| HttpError::Stalled { url: url.to_owned() })?;
        let response = sent
            .map_err(|source| HttpError::Unreachable { url: url.to_owned(), source: source.without_url() })?;
        let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        Ok(Relayed {
            status: response.status().as_u16(),
            content_type: content_type.unwrap_or_default().to_owned(),
            body: Download { response, url: url.to_owned(), stall },
        })
    }

    /// Reads `url`, at most `limit_bytes`.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn get<R: DeserializeOwned>(&self, url: &str, limit_bytes: usize) -> Result<R, HttpError> {
        self.exchange(Request { method: Method::GET, headers: &[], body: Vec::new() }, url, limit_bytes).await
    }

    /// Sends `body` to `url` and reads at most `limit_bytes` of answer.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn post<B: Serialize + Sync, R: DeserializeOwned>(
        &self,
        url: &str,
        body: &B,
        limit_bytes: usize,
    ) -> Result<R, HttpError> {
        let malformed = |source| HttpError::Malformed { url: url.to_owned(), source };
        let body = serde_json::to_vec(body).map_err(malformed)?;
        let json = [("content-type", "application/json".to_owned())];
        self.exchange(Request { method: Method::POST, headers: &json, body }, url, limit_bytes).await
    }

    /// Sends bytes to `url` under headers of their own and reads at most `limit_bytes` of answer. Whoever refuses by the headers may hang up while
    /// the bytes are still on their way, and what it said is lost then: it is asked once more, without the bytes, for the reason.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn put_bytes<R: DeserializeOwned>(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
        limit_bytes: usize,
    ) -> Result<R, HttpError> {
        let bytes = ("content-type", "application/octet-stream".to_owned());
        let headers = [headers, &[bytes]].concat();
        let request = |body| Request { method: Method::PUT, headers: &headers, body };
        match self.exchange(request(body), url, limit_bytes).await {
            Err(broken @ HttpError::Unreachable { .. }) if broken.outcome_unknown() => {
                match self.exchange::<R>(request(Vec::new()), url, limit_bytes).await {
                    // What is wrong with no bytes at all was not the reason.
                    Err(refused @ HttpError::Refused { status, .. })
                        if status != StatusCode::UNPROCESSABLE_ENTITY.as_u16() =>
                    {
                        Err(refused)
                    }
                    _ => Err(broken),
                }
            }
            done => done,
        }
    }

    /// Begins to read what is at `url`, however long it is; whoever reads bounds that. A client's timeout ends it too, so it
    /// wants one of its own.
    ///
    /// # Errors
    /// [`HttpError`]; a refusal in plain words is [`HttpError::Told`].
    pub async fn download(&self, url: &str, stall: Duration) -> Result<Download, HttpError> {
        let target = usable(url)?;
        let unreachable = |source: reqwest::Error| HttpError::Unreachable {
            url: url.to_owned(),
            source: source.without_url(),
        };
        let stalled = |_| HttpError::Stalled { url: url.to_owned() };
        let sent = tokio::time::timeout(stall, self.client.get(target).send()).await.map_err(stalled)?;
        let mut response = sent.map_err(unreachable)?;
        let status = response.status();
        if status.is_success() {
            return Ok(Download { response, url: url.to_owned(), stall });
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > REFUSAL_BYTES_MAX {
                return Err(HttpError::Status { url: url.to_owned(), status: status.as_u16() });
            }
        }
        let text = printable(&String::from_utf8_lossy(&bytes));
        Err(HttpError::Told { url: url.to_owned(), status: status.as_u16(), text })
    }

    /// Sends bytes to `url` and begins to read the answer, as [`Self::download`] does. Dropping the answer closes its connection, which tells the
    /// other side to stop. `sent` is called when a connection takes the bytes, to write them next.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn stream(
        &self,
        url: &str,
        body: Vec<u8>,
        stall: Duration,
        sent: impl FnOnce() + Send + Sync + Unpin + 'static,
    ) -> Result<Download, HttpError> {
        let target = usable(url)?;
        let unreachable = |source: reqwest::Error| HttpError::Unreachable {
            url: url.to_owned(),
            source: source.without_url(),
        };
        let stalled = |_| HttpError::Stalled { url: url.to_owned() };
        let body = reqwest::Body::wrap(Watched(Some((body.into(), sent))));
        let request = self.client.post(target).header("content-type", "application/octet-stream").body(body);
        let begun = tokio::time::timeout(stall, request.send()).await.map_err(stalled)?;
        let mut response = begun.map_err(unreachable)?;
        let status = response.status();
        if status.is_success() {
            return Ok(Download { response, url: url.to_owned(), stall });
        }
        let mut bytes = Vec::new();
        while let Some(chunk) =
            tokio::time::timeout(stall, response.chunk()).await.map_err(stalled)?.map_err(unreachable)?
        {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > REFUSAL_BYTES_MAX {
                return Err(HttpError::Status { url: url.to_owned(), status: status.as_u16() });
            }
        }
        Err(refusal(url, status, &bytes))
    }

    async fn exchange<R: DeserializeOwned>(
        &self,
        request: Request<'_>,
        url: &str,
        limit_bytes: usize,
    ) -> Result<R, HttpError> {
        let target = usable(url)?;
        let unreachable = |source: reqwest::Error| HttpError::Unreachable {
            url: url.to_owned(),
            source: source.without_url(),
        };
        let Request { method, headers, body } = request;
        let mut request = self.client.request(method, target);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if !body.is_empty() {
            request = request.body(body);
        }
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let limit_bytes = if status.is_success() { limit_bytes } else { REFUSAL_BYTES_MAX };
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if bytes.len().saturating_add(chunk.len()) > limit_bytes {
                // A refusal that long is not the other side's own, but some page on the way.
                return Err(match status.is_success() {
                    true => HttpError::TooLong { url: url.to_owned(), limit_bytes },
                    false => HttpError::Status { url: url.to_owned(), status: status.as_u16() },
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            return Err(refusal(url, status, &bytes));
        }
        serde_json::from_slice(&bytes).map_err(|source| HttpError::Malformed { url: url.to_owned(), source })
    }
}

/// `http://host…` without credentials.
fn usable(url: &str) -> Result<reqwest::Url, HttpError> {
    let parsed = reqwest::Url::parse(url).ok();
    let usable = parsed.filter(|parsed| {
        parsed.scheme() == "http"
            && parsed.has_host()
            && parsed.username().is_empty()
            && parsed.password().is_none()
    });
    usable.ok_or_else(|| HttpError::BadUrl { url: url.to_owned() })
}

/// `http://host:port` of a worker's endpoint as published by strangers. `None` for anything with credentials, a path, a
/// query or a fragment, so that an endpoint can name a machine and nothing on it.
#[must_use]
pub fn origin(endpoint: &str) -> Option<String> {
    let url = reqwest::Url::parse(endpoint).ok()?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    (url.scheme() == "http" && url.has_host() && bare && anonymous)
        .then(|| url.origin().ascii_serialization())
}

/// Whether an address is this machine's own, by its number: a name is whatever resolves it says.
#[must_use]
pub fn is_loopback(url: &str) -> bool {
    let url = reqwest::Url::parse(url).ok();
    let host = url.as_ref().and_then(reqwest::Url::host_str);
    let number = host.map(|host| host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>());
    number.is_some_and(|number| number.is_ok_and(|number| number.is_loopback()))
}

pub(crate) fn refusal(url: &str, status: StatusCode, bytes: &[u8]) -> HttpError {
    let status = status.as_u16();
    match serde_json::from_slice::<ErrorReply>(bytes) {
        Ok(ErrorReply { mut error }) => {
            for text in [&mut error.code, &mut error.message, &mut error.hint] {
                *text = printable(text);
            }
            HttpError::Refused { status, body: Box::new(error) }
        }
        Err(_) => HttpError::Status { url: url.to_owned(), status },
    }
}

/// What all the layers above an error only repeat in their own words.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn core::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// What a remote party wrote, fit for a person's terminal: bounded, without control characters.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(REFUSAL_TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Answers one connection with `reply`, byte for byte.
    async fn serve(reply: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0_u8; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(reply.as_bytes()).await;
        });
        format!("http://{address}/")
    }

    fn reply(status: &str, headers: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}connection: close\r\n\r\n{body}",
            body.len()
        )
    }

    async fn get(url: &str) -> Result<u32, HttpError> {
        JsonClient::new(Duration::from_millis(500)).unwrap().get(url, 100).await
    }

    #[test]
    fn this_machine_is_named_by_a_number_of_its_own() {
        for here in ["http://127.0.0.1:8000", "http://127.9.9.9/v1", "http://[::1]:1", "http://127.1/x"] {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in [
            "http://localhost:8000",
            "http://127.0.0.1.example",
            "http://127.0.0.1@example.org",
            "http://[2001:db8::1]",
            "http://10.0.0.1",
            "127.0.0.1:8000",
            "",
        ] {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn an_endpoint_names_a_machine_and_nothing_on_it() {
        assert_eq!(origin("http://127.0.0.1:8546/").as_deref(), Some("http://127.0.0.1:8546"));
        assert_eq!(origin("http://worker.example").as_deref(), Some("http://worker.example"));
        for bad in [
            "",
            "worker.example",
            "https://worker.example",
            "ftp://worker.example",
            "http://user@worker.example",
            "http://worker.example/admin",
            "http://worker.example/?delete=all",
            "http://worker.example/#a",
        ] {
            assert_eq!(origin(bad), None, "{bad}");
        }
        // What a terminal could obey does not survive.
        assert!(
            origin("http://a\u{1b}[31m.example")
                .is_none_or(|url| url.bytes().all(|byte| byte.is_ascii_graphic()))
        );
    }

    #[tokio::test]
    async fn a_good_answer_is_read() {
        assert_eq!(get(&serve(reply("200 OK", "", "7")).await).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn each_bad_answer_is_named() {
        assert!(matches!(get("ftp://a/").await, Err(HttpError::BadUrl { .. })));
        assert!(matches!(get("http://user:word@a/").await, Err(HttpError::BadUrl { .. })));
        let long = serve(reply("200 OK", "", &"1".repeat(101))).await;
        assert!(matches!(get(&long).await, Err(HttpError::TooLong { .. })));
        let other = serve(reply("200 OK", "", "{}")).await;
        assert!(matches!(get(&other).await, Err(HttpError::Malformed { .. })));
        let moved = serve(reply("302 Found", "location: http://127.0.0.1:1/\r\n", "")).await;
        assert!(matches!(get(&moved).await, Err(HttpError::Status { status: 302, .. })));
        let page = serve(reply("502 Bad Gateway", "", &"x".repeat(REFUSAL_BYTES_MAX + 1))).await;
        assert!(matches!(get(&page).await, Err(HttpError::Status { status: 502, .. })));
        let silent = serve("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1".to_owned()).await;
        assert!(matches!(get(&silent).await, Err(HttpError::Unreachable { .. })));
        let refused = get("http://127.0.0.1:1/").await.unwrap_err();
        assert!(!refused.outcome_unknown());
        let text = refused.to_string();
        assert!(text.starts_with("http://127.0.0.1:1/ did not answer: "), "{text}");
        assert_eq!(text.matches("127.0.0.1").count(), 1, "{text}");
    }

    /// The other side answers to the headers, and is gone before the body is through.
    #[tokio::test]
    async fn the_reason_for_an_early_refusal_is_asked_for_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            // The first connection is reset without a word, as what was written is lost when that happens.
            let (mut first, _) = listener.accept().await.unwrap();
            first.read_exact(&mut [0_u8; 64]).await.unwrap();
            drop(first);
            let (mut second, _) = listener.accept().await.unwrap();
            let mut request = vec![0_u8; 4096];
            let length = second.read(&mut request).await.unwrap();
            assert!(request[..length].ends_with(b"\r\n\r\n"), "no body");
            let body = "{\"error\":{\"code\":\"not_signer\",\"message\":\"\"}}";
            second.write_all(reply("403 No", "", body).as_bytes()).await.unwrap();
        });
        let client = JsonClient::new(Duration::from_secs(5)).unwrap();
        let sent = client.put_bytes::<u32>(&url, &[], vec![7; 8 << 20], 100).await;
        let Err(HttpError::Refused { status: 403, body }) = sent else { panic!("{sent:?}") };
        assert_eq!(body.code, "not_signer");
    }

    #[tokio::test]
    async fn a_download_is_read_as_it_comes_and_its_end_is_told_from_a_stop() {
        let client = JsonClient::new(Duration::from_secs(5)).unwrap();
        let stall = Duration::from_millis(300);
        let read = async |reply: String| {
            let mut download = client.download(&serve(reply).await, stall).await?;
            let mut bytes = Vec::new();
            while let Some(more) = download.next().await? {
                bytes.extend(more);
            }
            Ok::<_, HttpError>(bytes)
        };
        assert_eq!(read(reply("200 OK", "", "seven")).await.unwrap(), b"seven");
        let cut = read("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1".to_owned()).await;
        assert!(matches!(cut, Err(HttpError::Unreachable { .. } | HttpError::Stalled { .. })), "{cut:?}");
        let told = read(reply("404 No", "", "none \u{1b}yet")).await.unwrap_err();
        assert!(told.to_string().ends_with("answered: none yet"), "{told}");
        let page = read(reply("502 No", "", &"x".repeat(REFUSAL_BYTES_MAX + 1))).await;
        assert!(matches!(page, Err(HttpError::Status { status: 502, .. })), "{page:?}");
        // Somebody who takes the connection and says nothing.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = client.download(&format!("http://{}/", listener.local_addr().unwrap()), stall).await;
        assert!(matches!(silent, Err(HttpError::Stalled { .. })), "{silent:?}");
    }

    #[tokio::test]
    async fn an_answer_of_any_status_is_streamed() {
        let client = JsonClient::unhurried().unwrap();
        let stall = Duration::from_millis(300);
        for (status, code) in [("200 OK", 200), ("429 Slow", 429)] {
            let url = serve(reply(status, "content-type: text/event-stream\r\n", "data: 1\n\n")).await;
            let mut answer = client.relay(&url, "application/json", b"{}".to_vec(), stall).await.unwrap();
            assert_eq!((answer.status, answer.content_type.as_str()), (code, "text/event-stream"));
            assert_eq!(answer.body.next().await.unwrap().unwrap(), b"data: 1\n\n");
            assert!(answer.body.next().await.unwrap().is_none());
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = format!("http://{}/", listener.local_addr().unwrap());
        let stalled = client.relay(&silent, "application/json", Vec::new(), stall).await;
        assert!(matches!(stalled, Err(HttpError::Stalled { .. })), "{stalled:?}");
    }

    #[tokio::test]
    async fn a_refusal_is_cleaned_before_it_is_shown() {
        let body = "{\"error\":{\"code\":\"x\",\"message\":\"\\u001b[31mred\"}}";
        let Err(HttpError::Refused { status: 409, body }) =
            get(&serve(reply("409 No", "", body)).await).await
        else {
            panic!("expected a refusal");
        };
        assert_eq!((body.code.as_str(), body.message.as_str()), ("x", "[31mred"));
    }
}
