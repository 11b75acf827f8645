//! Which requests are audited, and what an auditor is asked.

use core::ops::Range;

use alloy_primitives::B256;
use serde::Deserialize;
use serde_json::{Value, json};
use tacit_wire::splice::{Member, members};

/// Members that a request to be audited has: with them, its answer says how likely its tokens are.
pub(crate) const COMMITMENT: [(&str, &str); 2] = [("logprobs", "true"), ("top_logprobs", "5")];
/// Most likely tokens that an auditor says.
const AGAIN: u32 = 20;
/// Members that do not change what an engine makes of the messages, or its log-probabilities. A request with others is left alone: a template's switches, tools and the like.
const PLAIN: [&str; 19] = [
    "frequency_penalty",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "models",
    "n",
    "presence_penalty",
    "provider",
    "seed",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "top_logprobs",
    "top_p",
    "user",
];

#[derive(Deserialize)]
struct Fields {
    messages: Vec<Message>,
    #[serde(default)]
    logprobs: Value,
    #[serde(default)]
    top_logprobs: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    role: String,
    content: Value,
}

/// What an audit needs of the request that travelled.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    body: Vec<u8>,
    messages: Range<usize>,
    /// At which its tokens were to be drawn, if it says; at 0 the most likely one was to be taken.
    pub(super) temperature: Option<f64>,
}

/// Whether an auditor can be asked the same: a chat of text, without anything that an auditor would have to be told besides, in which nobody refuses log-probabilities.
pub(crate) fn can_be_audited(body: &[u8]) -> bool {
    let Ok(members) = members(body) else { return false };
    if !members.iter().all(|member| PLAIN.contains(&member.key.as_str())) {
        return false;
    }
    let Ok(fields) = serde_json::from_slice::<Fields>(body) else { return false };
    let said = |key: &str| members.iter().any(|member| member.key == key);
    let asks = match (said("logprobs"), said("top_logprobs")) {
        (false, false) => true,
        (true, false) => fields.logprobs == Value::Bool(true),
        (true, true) => {
            fields.logprobs == Value::Bool(true) && fields.top_logprobs.as_u64().is_some_and(|top| top > 0)
        }
        (false, true) => false,
    };
    // What ends with the assistant's words is continued by some engines, and not by others.
    let ends = fields.messages.last().is_some_and(|last| last.role != "assistant");
    asks && ends && fields.messages.iter().all(|message| is_text(&message.content))
}

fn is_text(content: &Value) -> bool {
    match content {
        Value::String(_) => true,
        Value::Array(parts) => parts.iter().all(|part| {
            part.get("type").and_then(Value::as_str) == Some("text")
                && part.get("text").is_some_and(Value::is_string)
        }),
        _ => false,
    }
}

impl Asked {
    /// Reads a request that [`can_be_audited`].
    pub(super) fn read(body: Vec<u8>) -> Option<Self> {
        let members = members(&body).ok()?;
        let find = |key: &str| members.iter().find(|member| member.key == key);
        let value = |member: &Member| body.get(member.value.clone());
        let temperature = find("temperature").and_then(value);
        let temperature = temperature.and_then(|value| serde_json::from_slice::<f64>(value).ok());
        let messages = find("messages")?.value.clone();
        Some(Self { messages, temperature, body })
    }

    /// The request, every byte of it.
    pub(super) fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// The request for so many tokens after `before`, which the assistant has said already.
    ///
    /// Streamed: llama.cpp repeats what it continues in an answer that is not, and all text of an answer is paid for.
    pub(super) fn again(&self, model_id: B256, before: &str, tokens: u32) -> Option<Vec<u8>> {
        let messages = self.body.get(self.messages.clone())?.trim_ascii_end().strip_suffix(b"]")?;
        let (model, before_json) = (json!(model_id).to_string(), json!(before).to_string());
        let mut body = format!("{{\"model\":{model},\"messages\":").into_bytes();
        body.extend_from_slice(messages);
        if !before.is_empty() {
            let said = format!(",{{\"role\":\"assistant\",\"content\":{before_json}}}");
            body.extend_from_slice(said.as_bytes());
        }
        let rest = format!(
            "],\"max_tokens\":{tokens},\"temperature\":0,\"stream\":true,\"logprobs\":true,\"top_logprobs\":{AGAIN}"
        );
        body.extend_from_slice(rest.as_bytes());
        if !before.is_empty() {
            // llama.cpp continues what ends with the assistant's words; vLLM wants to be told; mistral.rs begins anew, whatever it is told.
            body.extend_from_slice(b",\"add_generation_prompt\":false,\"continue_final_message\":true");
        }
        body.push(b'}');
        Some(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn can(body: &str) -> bool {
        can_be_audited(body.as_bytes())
    }

    #[test]
    fn plain_chats_can_be_audited() {
        assert!(can(r#"{"model":"a","messages":[{"role":"user","content":"hi"}]}"#));
        assert!(can(
            r#"{"messages":[{"role":"system","content":"x"},{"role":"user","content":[{"type":"text","text":"hi"}]}],
            "stream":true,"temperature":0.5,"provider":{"sort":"price"},"logprobs":true}"#
        ));
        assert!(can(r#"{"messages":[{"role":"user","content":"hi"}],"logprobs":true,"top_logprobs":2}"#));
    }

    #[test]
    fn what_an_auditor_would_read_otherwise_is_left_alone() {
        for rest in [
            r#","tools":[]"#,
            r#","response_format":{"type":"json_object"}"#,
            r#","chat_template_kwargs":{}"#,
            r#","stop":["x"]"#,
            r#","logprobs":false"#,
            r#","logprobs":null"#,
            r#","top_logprobs":3"#,
            r#","logprobs":true,"top_logprobs":0"#,
        ] {
            let body = format!(r#"{{"messages":[{{"role":"user","content":"hi"}}]{rest}}}"#);
            assert!(!can(&body), "{body}");
        }
        for messages in [
            "[]",
            r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]"#,
            r#"[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]"#,
            r#"[{"role":"user","content":null}]"#,
            r#"[{"role":"user","content":"a","name":"b"}]"#,
        ] {
            assert!(!can(&format!(r#"{{"messages":{messages}}}"#)), "{messages}");
        }
        assert!(!can("[]") && !can("{") && !can("{}"));
    }

    #[test]
    fn an_auditor_is_asked_for_the_next_token_of_the_same_messages() {
        let body = br#"{"messages":[ {"role":"user","content":"h\u0069"} ],"temperature":0.0}"#;
        let asked = Asked::read(body.to_vec()).unwrap();
        assert_eq!(asked.temperature, Some(0.0));
        let again = String::from_utf8(asked.again(B256::ZERO, "so \"x", 1).unwrap()).unwrap();
        assert!(again.contains(
            r#""messages":[ {"role":"user","content":"h\u0069"} ,{"role":"assistant","content":"so \"x"}],"#
        ));
        let value: Value = serde_json::from_str(&again).unwrap();
        assert_eq!((&value["max_tokens"], &value["continue_final_message"]), (&json!(1), &json!(true)));
        let first: Value = serde_json::from_slice(&asked.again(B256::ZERO, "", 8).unwrap()).unwrap();
        assert_eq!(first["messages"].as_array().unwrap().len(), 1);
        assert!(first.get("continue_final_message").is_none());
        assert_eq!(first["max_tokens"], 8);
        let warm = Asked::read(br#"{"messages":[1],"temperature":1}"#.to_vec()).unwrap();
        assert_eq!(warm.temperature, Some(1.0));
        assert_eq!(Asked::read(br#"{"messages":[1]}"#.to_vec()).unwrap().temperature, None);
    }
}
