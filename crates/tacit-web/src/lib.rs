//! The page a person sees: its files, embedded, and how they are served.
//!
//! The page is HTML, CSS and JavaScript modules as they are written, without a build step, and holds no rules of its own: everything it shows
//! comes from the gateway that serves it. [`router`] is merged below the gateway's `/`, behind the same guard as all that it serves.
//!
//! # Nothing from elsewhere
//! [`POLICY`] allows scripts, styles, pictures and requests of the page's own origin only: no inline script, no inline style, no frames, no forms
//! that leave. A browser that is shown somebody's words as markup would run none of it; the page writes texts as texts besides.
//!
//! # Caching
//! Files are served under `/page/{hash}/`, where `hash` is of all of them, so that they never change and are kept for good; the page itself, which
//! names the hash, is asked for again each time by its tag.

use std::sync::LazyLock;

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::{IntoResponse, Response},
    routing::get,
};

/// A file of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Its name below `/page/{hash}/`.
    pub name: &'static str,
    /// What it is.
    pub content_type: &'static str,
    /// Its bytes.
    pub bytes: &'static [u8],
}

/// What a browser may load and run for the page.
pub const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json";
const SVG: &str = "image/svg+xml";

/// Stands in the page where the hash of the files belongs.
const PLACE: &str = "{{hash}}";
/// Hexadecimal digits of the hash in addresses.
const HASH_DIGITS: usize = 16;
const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

macro_rules! files {
    ($($name:literal $content_type:ident),* $(,)?) => {
        &[$(File {
            name: $name,
            content_type: $content_type,
            bytes: include_bytes!(concat!("../page/", $name)),
        }),*]
    };
}

/// The files that the page loads.
pub const FILES: &[File] = files![
    "style.css" CSS,
    "main.js" SCRIPT,
    "ask.js" SCRIPT,
    "canvas.js" SCRIPT,
    "chat.js" SCRIPT,
    "dom.js" SCRIPT,
    "format.js" SCRIPT,
    "gateway.js" SCRIPT,
    "ledger.js" SCRIPT,
    "market.js" SCRIPT,
    "money.js" SCRIPT,
    "plot.js" SCRIPT,
    "receipts.js" SCRIPT,
    "words.js" SCRIPT,
    "samples.json" JSON,
    "icon.svg" SVG,
];

const INDEX: &str = include_str!("../page/index.html");

/// The page with the addresses of its files.
static PAGE: LazyLock<Page> = LazyLock::new(Page::make);

struct Page {
    hash: String,
    html: String,
    tag: String,
}

impl Page {
    fn make() -> Self {
        let mut hasher = blake3::Hasher::new();
        for file in FILES {
            hasher.update(file.name.as_bytes()).update(&[0]).update(blake3::hash(file.bytes).as_bytes());
        }
        let hash: String = hasher.finalize().to_hex().chars().take(HASH_DIGITS).collect();
        let html = INDEX.replace(PLACE, &hash);
        let tag: String = blake3::hash(html.as_bytes()).to_hex().chars().take(HASH_DIGITS).collect();
        Self { hash, html, tag: format!("\"{tag}\"") }
    }
}

/// The hash under which the files are served.
#[must_use]
pub fn hash() -> &'static str {
    &PAGE.hash
}

/// The page at `/` and its files below `/page/`.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/", get(index)).route("/page/{hash}/{name}", get(file))
}

async fn index(headers: HeaderMap) -> Response {
    let page = &*PAGE;
    let known = headers.get(IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == page.tag))
    {
        return serve(StatusCode::NOT_MODIFIED, HTML, ASK_AGAIN, Some(&page.tag), Body::empty());
    }
    serve(StatusCode::OK, HTML, ASK_AGAIN, Some(&page.tag), Body::from(page.html.as_str()))
}

async fn file(Path((hash, name)): Path<(String, String)>) -> Response {
    let found = FILES.iter().find(|file| file.name == name);
    match found.filter(|_| hash == PAGE.hash) {
        Some(file) => serve(StatusCode::OK, file.content_type, FOR_GOOD, None, Body::from(file.bytes)),
        // A page that was kept from before asks for files that are gone: it must load itself again.
        None => serve(StatusCode::NOT_FOUND, JSON, ASK_AGAIN, None, Body::from(NOT_FOUND)),
    }
}

const NOT_FOUND: &str =
    r#"{"error":{"code":"not_found","message":"the page has no such file","hint":"load the page again"}}"#;

fn serve(
    status: StatusCode,
    content_type: &'static str,
    caching: HeaderValue,
    tag: Option<&str>,
    body: Body,
) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, caching);
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    if let Some(tag) = tag.and_then(|tag| HeaderValue::from_str(tag).ok()) {
        headers.insert(ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests;
