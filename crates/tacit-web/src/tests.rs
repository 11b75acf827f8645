//! The router over real HTTP, and what the files may not contain.

use std::collections::BTreeSet;

use reqwest::{
    Client, Response,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
    },
};
use tokio::net::TcpListener;

use super::*;

/// All files together stay below this.
const PAGE_BYTES_MAX: usize = 100_000;

async fn serving() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router::<()>().with_state(())).await });
    url
}

fn header(response: &Response, name: impl reqwest::header::AsHeaderName) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn the_page_and_each_file_come_with_their_type_and_policy() {
    let url = serving().await;
    let page = reqwest::get(&url).await.unwrap();
    assert_eq!(page.status(), 200);
    assert_eq!(header(&page, CONTENT_TYPE), "text/html; charset=utf-8");
    assert_eq!(header(&page, CACHE_CONTROL), "no-cache");
    let tag = header(&page, ETAG);
    assert!(tag.len() > 8, "{tag}");
    let html = page.text().await.unwrap();
    assert!(!html.contains(PLACE));

    let mut responses = vec![reqwest::get(&url).await.unwrap()];
    for file in FILES {
        let response = reqwest::get(format!("{url}/page/{}/{}", hash(), file.name)).await.unwrap();
        assert_eq!(response.status(), 200, "{}", file.name);
        assert_eq!(header(&response, CONTENT_TYPE), file.content_type, "{}", file.name);
        assert_eq!(header(&response, CACHE_CONTROL), "public, max-age=31536000, immutable", "{}", file.name);
        responses.push(response);
    }
    responses.push(reqwest::get(format!("{url}/page/{}/none.js", hash())).await.unwrap());
    for response in &responses {
        let policy = header(response, CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'self'; "), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(header(response, X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert_eq!(header(response, "referrer-policy"), "no-referrer");
        assert_eq!(header(response, "cross-origin-resource-policy"), "same-origin");
    }

    let client = Client::new();
    for (sent, status) in
        [(tag.clone(), 304), (format!("\"other\", W/{tag}"), 304), ("\"other\"".to_owned(), 200)]
    {
        let response = client.get(&url).header(IF_NONE_MATCH, &sent).send().await.unwrap();
        assert_eq!(response.status(), status, "{sent}");
        assert_eq!(header(&response, ETAG), tag);
    }
}

#[tokio::test]
async fn what_is_no_file_is_not_found() {
    let url = serving().await;
    for path in [
        format!("/page/{}/none.js", hash()),
        format!("/page/{}/index.html", hash()),
        "/page/0000000000000000/main.js".to_owned(),
        format!("/page/{}/..%2Fmain.js", hash()),
        "/page/".to_owned(),
        "/main.js".to_owned(),
    ] {
        assert_eq!(reqwest::get(format!("{url}{path}")).await.unwrap().status(), 404, "{path}");
    }
    let response = Client::new().post(&url).send().await.unwrap();
    assert_eq!(response.status(), 405);
}

#[test]
fn the_page_is_small() {
    let bytes: usize = FILES.iter().map(|file| file.bytes.len()).sum::<usize>() + INDEX.len();
    assert!(bytes < PAGE_BYTES_MAX, "{bytes}");
}

/// What the policy forbids would fail in a browser, silently for whoever wrote it: here it fails loudly.
#[test]
fn files_keep_to_the_policy() {
    let texts = FILES.iter().map(|file| (file.name, core::str::from_utf8(file.bytes).unwrap()));
    for (name, text) in texts.chain([("index.html", INDEX)]) {
        let names = text.replace("http://www.w3.org/2000/svg", "").replace("http://127.0.0.1", "");
        for elsewhere in ["https://", "http://", "//cdn", "@import", "@font-face", "url("] {
            assert!(!names.contains(elsewhere), "{name}: {elsewhere}");
        }
        for unsafe_way in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"]
        {
            assert!(!text.contains(unsafe_way), "{name}: {unsafe_way}");
        }
    }
    for inline in [" onclick", " onload", " onerror", " style=", "<style", "javascript:"] {
        assert!(!INDEX.contains(inline), "{inline}");
    }
    for script in INDEX.split("<script").skip(1) {
        assert!(script.starts_with(" type=\"module\" src=\"/page/") && script.contains("></script>"));
    }
}

/// A module that is written and not listed is not found by a browser.
#[test]
fn every_file_that_is_imported_is_served() {
    let served: BTreeSet<&str> = FILES.iter().map(|file| file.name).collect();
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/page")).unwrap();
    let kept: BTreeSet<String> =
        folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let listed: BTreeSet<String> =
        served.iter().map(|name| (*name).to_owned()).chain(["index.html".to_owned()]).collect();
    assert_eq!(kept, listed);
    for file in FILES.iter().filter(|file| file.content_type == SCRIPT) {
        let text = core::str::from_utf8(file.bytes).unwrap();
        for import in text.split("from \"./").skip(1) {
            let name = import.split('"').next().unwrap();
            assert!(served.contains(name), "{}: {name}", file.name);
        }
    }
}

#[test]
fn samples_are_rows() {
    let file = FILES.iter().find(|file| file.name == "samples.json").unwrap();
    let samples: serde_json::Value = serde_json::from_slice(file.bytes).unwrap();
    for (model, rows) in samples.as_object().unwrap() {
        for (name, input) in rows.as_object().unwrap() {
            let is_row = input["row"].is_object();
            let is_tensor = input["data"].as_array().is_some_and(|data| {
                let cells: u64 =
                    input["shape"].as_array().unwrap().iter().map(|axis| axis.as_u64().unwrap()).product();
                u64::try_from(data.len()).unwrap() == cells
            });
            assert!(is_row || is_tensor, "{model} {name}");
        }
    }
}
