//! Changes single members of a JSON object and leaves every other byte as it is.
//!
//! A request is signed for, committed to and counted as bytes, so that nobody on its way writes it anew. What has to be another value for the next reader (the name that an
//! engine gives its model) is put in the place of the old one.

use core::ops::Range;

use serde::de::IgnoredAny;

/// A member of a JSON object: where its key and its value lie in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The key, without escapes.
    pub key: String,
    /// From the key's first quotation mark on.
    pub key_at: usize,
    /// The value, without white space around it.
    pub value: Range<usize>,
}

/// Why bytes cannot be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpliceReject {
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Another value than an object.
    #[error("not a JSON object")]
    NotAnObject,
    /// More members than are looked through.
    #[error("a request has at most {MEMBERS_MAX} members")]
    TooMany,
    /// The same key twice: readers would differ on which one counts.
    #[error("the member {key:?} is there twice")]
    Repeated {
        /// Which.
        key: String,
    },
}

/// Most members of an object.
pub const MEMBERS_MAX: usize = 256;

/// Members of the object that these bytes are, in their order.
///
/// # Errors
/// [`SpliceReject`].
pub fn members(json: &[u8]) -> Result<Vec<Member>, SpliceReject> {
    // What follows walks over JSON that is known to be well formed.
    serde_json::from_slice::<IgnoredAny>(json)?;
    let mut walk = Walk { json, at: 0 };
    walk.space();
    if !walk.take(b'{') {
        return Err(SpliceReject::NotAnObject);
    }
    let mut found: Vec<Member> = Vec::new();
    loop {
        walk.space();
        if walk.take(b'}') || walk.at >= json.len() {
            return Ok(found);
        }
        if walk.take(b',') {
            continue;
        }
        let key_at = walk.at;
        walk.value();
        let key: String = serde_json::from_slice(json.get(key_at..walk.at).unwrap_or_default())?;
        walk.space();
        walk.take(b':');
        walk.space();
        let from = walk.at;
        walk.value();
        if found.iter().any(|member| member.key == key) {
            return Err(SpliceReject::Repeated { key });
        }
        if found.len() >= MEMBERS_MAX {
            return Err(SpliceReject::TooMany);
        }
        found.push(Member { key, key_at, value: from..walk.at });
    }
}

/// The object with the string `model` as the value of its member `model`, and without the members `dropped`. Without such a member, none is added.
///
/// # Errors
/// [`SpliceReject`].
pub fn with_model(json: &[u8], model: &str, dropped: &[&str]) -> Result<Vec<u8>, SpliceReject> {
    let members = members(json)?;
    let mut out = Vec::with_capacity(json.len().saturating_add(model.len()));
    let mut copied = 0;
    let mut copy = |out: &mut Vec<u8>, to: usize, next: usize| {
        out.extend_from_slice(json.get(copied..to).unwrap_or_default());
        copied = next;
    };
    let last = members.len().saturating_sub(1);
    // Whether a member was kept that a comma may follow.
    let mut kept_any = false;
    for (at, member) in members.iter().enumerate() {
        if dropped.contains(&member.key.as_str()) {
            let following = members.get(at.saturating_add(1));
            match following {
                Some(next) => copy(&mut out, member.key_at, next.key_at),
                None => copy(&mut out, member.key_at, member.value.end),
            }
            // The comma before it goes when nothing is left to come after it.
            if at == last && kept_any {
                while out.last().is_some_and(u8::is_ascii_whitespace) {
                    out.pop();
                }
                if out.last() == Some(&b',') {
                    out.pop();
                }
            }
            continue;
        }
        kept_any = true;
        if member.key == "model" {
            let named = serde_json::to_vec(model)?;
            if json.get(member.value.clone()) != Some(named.as_slice()) {
                copy(&mut out, member.value.start, member.value.end);
                out.extend_from_slice(&named);
            }
        }
    }
    copy(&mut out, json.len(), json.len());
    Ok(out)
}

/// The object with more members at its end: names, and values as JSON text, which must be well formed. A member that is there already stays as it is.
///
/// # Errors
/// [`SpliceReject`].
pub fn with_added(json: &[u8], added: &[(&str, &str)]) -> Result<Vec<u8>, SpliceReject> {
    let members = members(json)?;
    // Only white space follows the object's end.
    let end = json.iter().rposition(|byte| *byte == b'}').unwrap_or(json.len());
    let (head, tail) = json.split_at(end);
    let mut out = head.to_vec();
    let mut is_empty = members.is_empty();
    for (key, value) in added {
        if members.iter().any(|member| member.key == *key) {
            continue;
        }
        if !core::mem::take(&mut is_empty) {
            out.push(b',');
        }
        out.extend_from_slice(&serde_json::to_vec(key)?);
        out.push(b':');
        out.extend_from_slice(value.as_bytes());
    }
    out.extend_from_slice(tail);
    Ok(out)
}

/// Walks over well-formed JSON.
struct Walk<'a> {
    json: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    fn peek(&self) -> Option<u8> {
        self.json.get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        if taken {
            self.step();
        }
        taken
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.step();
        }
    }

    /// Past one value.
    fn value(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => self.string(),
                b'{' | b'[' => {
                    depth = depth.saturating_add(1);
                    self.step();
                }
                b'}' | b']' => {
                    if depth == 0 {
                        return;
                    }
                    depth = depth.saturating_sub(1);
                    self.step();
                }
                b',' | b':' if depth == 0 => return,
                byte if depth == 0 && byte.is_ascii_whitespace() => return,
                _ => {
                    self.step();
                    continue;
                }
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.step();
        while let Some(byte) = self.peek() {
            self.step();
            match byte {
                b'"' => return,
                b'\\' => self.step(),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn with(json: &str, model: &str) -> String {
        let spliced = with_model(json.as_bytes(), model, &["provider", "models"]).unwrap();
        String::from_utf8(spliced).unwrap()
    }

    #[test]
    fn only_what_is_named_changes() {
        let body = "{ \"model\" : \"a:floor\",\n \"x\": 1.50, \"messages\":[{\"model\":\"no\"}] }";
        assert_eq!(
            with(body, "a"),
            "{ \"model\" : \"a\",\n \"x\": 1.50, \"messages\":[{\"model\":\"no\"}] }"
        );
        assert_eq!(with(r#"{"mod\u0065l":"b"}"#, "a"), r#"{"mod\u0065l":"a"}"#);
        assert_eq!(with(r#"{"model":"a"}"#, "a"), r#"{"model":"a"}"#);
        assert_eq!(with(r#"{"model":"b"}"#, "\"\\"), r#"{"model":"\"\\"}"#);
        assert_eq!(with(r#"{"x":1}"#, "a"), r#"{"x":1}"#);
    }

    #[test]
    fn dropped_members_take_their_comma_along() {
        assert_eq!(with(r#"{"provider":{"a":[1,"}"]},"model":"b"}"#, "a"), r#"{"model":"a"}"#);
        assert_eq!(with(r#"{"model":"b","provider":{}}"#, "a"), r#"{"model":"a"}"#);
        assert_eq!(with(r#"{"model":"b" , "models":["c"] }"#, "a"), r#"{"model":"a"  }"#);
        assert_eq!(with(r#"{"models":[],"provider":{}}"#, "a"), "{}");
        assert_eq!(with(r#"{"x":1,"models":[],"y":2,"provider":{}}"#, "a"), r#"{"x":1,"y":2}"#);
        assert_eq!(with(r#"{"x":1,"models":[],"provider":{}}"#, "a"), r#"{"x":1}"#);
    }

    #[test]
    fn members_are_added_where_they_are_missing() {
        let added = |json: &str| {
            let added = with_added(json.as_bytes(), &[("x", "true"), ("y", "5")]).unwrap();
            String::from_utf8(added).unwrap()
        };
        assert_eq!(added(r#"{"a":1.50}"#), r#"{"a":1.50,"x":true,"y":5}"#);
        assert_eq!(added("{ \"a\":\"}\" }\n"), "{ \"a\":\"}\" ,\"x\":true,\"y\":5}\n");
        assert_eq!(added(r#"{"\u0078":false}"#), r#"{"\u0078":false,"y":5}"#);
        assert_eq!(added("{}"), r#"{"x":true,"y":5}"#);
        assert_eq!(added(r#"{"y":1,"x":2}"#), r#"{"y":1,"x":2}"#);
    }

    #[test]
    fn what_cannot_be_changed_is_refused() {
        assert!(matches!(with_added(b"[]", &[]), Err(SpliceReject::NotAnObject)));
        assert!(matches!(members(b"{"), Err(SpliceReject::Json(_))));
        assert!(matches!(members(b"[1]"), Err(SpliceReject::NotAnObject)));
        let twice = br#"{"a":1,"\u0061":2}"#;
        assert!(matches!(members(twice), Err(SpliceReject::Repeated { key }) if key == "a"));
        let many: Map<String, Value> = (0..=MEMBERS_MAX).map(|at| (at.to_string(), Value::Null)).collect();
        let many = serde_json::to_vec(&many).unwrap();
        assert!(matches!(members(&many), Err(SpliceReject::TooMany)));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[ -~\\n\u{e9}]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"\\\\{},:]{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_is_what_writing_it_anew_would_say(
            fields in prop::collection::btree_map("[a-z\"{},]{0,3}|model|models|provider", value(), 0..8),
            pretty in any::<bool>(),
        ) {
            let object: Map<String, Value> = fields.into_iter().collect();
            let value = Value::Object(object.clone());
            let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
            let spliced = with_model(&text, "new", &["provider", "models"]).unwrap();
            let mut expected = object;
            expected.remove("provider");
            expected.remove("models");
            if let Some(model) = expected.get_mut("model") {
                *model = json!("new");
            }
            prop_assert_eq!(serde_json::from_slice::<Value>(&spliced).unwrap(), Value::Object(expected));
        }
    }
}
