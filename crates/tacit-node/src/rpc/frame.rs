//! JSON-RPC 2.0 framing: bodies to requests, results to bodies.

use serde::Serialize;
use serde_json::{Value, value::RawValue};

use super::{error::RpcError, params::Params};

/// One well-formed request.
#[derive(Debug)]
pub(super) struct Request {
    /// Absent for a notification, which gets no answer.
    pub(super) id: Option<Value>,
    /// The method's name.
    pub(super) method: String,
    /// Its parameters.
    pub(super) params: Params,
}

/// A member of a body: a request, or what to answer in its place.
pub(super) type Member = Result<Request, Box<(Value, RpcError)>>;

/// What a body asks for.
#[derive(Debug)]
pub(super) enum Body {
    /// One request; its answer is an object.
    Single(Member),
    /// Several; their answers come as a list, in order.
    Batch(Vec<Member>),
}

/// Reads a body.
///
/// # Errors
/// Refuses what is not JSON, and batches that are empty or longer than `batch_requests_max`.
pub(super) fn parse(body: &[u8], batch_requests_max: usize) -> Result<Body, RpcError> {
    let value: Value = serde_json::from_slice(body).map_err(|why| RpcError::Parse(why.to_string()))?;
    match value {
        Value::Array(members) if members.is_empty() => Err(RpcError::InvalidRequest("empty batch")),
        Value::Array(members) if members.len() > batch_requests_max => {
            Err(RpcError::BatchTooLarge { got: members.len(), limit: batch_requests_max })
        }
        Value::Array(members) => Ok(Body::Batch(members.into_iter().map(member).collect())),
        value => Ok(Body::Single(member(value))),
    }
}

fn member(value: Value) -> Member {
    let Value::Object(mut object) = value else {
        return Err(Box::new((Value::Null, RpcError::InvalidRequest("a request is an object"))));
    };
    let id = object.remove("id");
    let answer_to = match &id {
        None => Value::Null,
        Some(id @ (Value::String(_) | Value::Number(_) | Value::Null)) => id.clone(),
        Some(_) => {
            let why = RpcError::InvalidRequest("id must be a string or a number");
            return Err(Box::new((Value::Null, why)));
        }
    };
    if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(Box::new((answer_to, RpcError::InvalidRequest("jsonrpc must be \"2.0\""))));
    }
    let Some(Value::String(method)) = object.remove("method") else {
        return Err(Box::new((answer_to, RpcError::InvalidRequest("method must be a string"))));
    };
    match Params::new(object.remove("params")) {
        Ok(params) => Ok(Request { id, method, params }),
        Err(why) => Err(Box::new((answer_to, why))),
    }
}

/// An encoded result.
pub(super) type Encoded = Box<RawValue>;

/// Encodes a result.
///
/// # Errors
/// Fails only for values that JSON cannot hold.
pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Encoded, RpcError> {
    serde_json::value::to_raw_value(value).map_err(|_| RpcError::Internal("a result could not be encoded"))
}

/// Writes one response object.
#[must_use]
pub(super) fn response(id: &Value, result: &Result<Encoded, RpcError>) -> String {
    match result {
        Ok(result) => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{}}}"#, result.get()),
        Err(error) => format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{}}}"#, error.object()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn single(value: &Value) -> Member {
        match parse(value.to_string().as_bytes(), 10) {
            Ok(Body::Single(member)) => member,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn requests_are_read() {
        let request = single(&json!({ "jsonrpc": "2.0", "id": 1, "method": "a", "params": [] })).unwrap();
        assert_eq!((request.id, request.method.as_str()), (Some(json!(1)), "a"));
        assert!(single(&json!({ "jsonrpc": "2.0", "method": "a" })).unwrap().id.is_none());
    }

    #[test]
    fn malformed_requests_keep_their_id() {
        for (value, id) in [
            (json!(1), Value::Null),
            (json!({ "id": 7, "method": "a" }), json!(7)),
            (json!({ "jsonrpc": "1.0", "id": 7, "method": "a" }), json!(7)),
            (json!({ "jsonrpc": "2.0", "id": "x" }), json!("x")),
            (json!({ "jsonrpc": "2.0", "id": 7, "method": 3 }), json!(7)),
            (json!({ "jsonrpc": "2.0", "id": [7], "method": "a" }), Value::Null),
            (json!({ "jsonrpc": "2.0", "id": 7, "method": "a", "params": {} }), json!(7)),
        ] {
            assert_eq!(single(&value).unwrap_err().0, id, "{value}");
        }
    }

    #[test]
    fn bodies_are_bounded() {
        assert!(matches!(parse(b"{", 10), Err(RpcError::Parse(_))));
        assert!(matches!(parse(b"[]", 10), Err(RpcError::InvalidRequest(_))));
        assert!(matches!(parse(b"[1,2,3]", 2), Err(RpcError::BatchTooLarge { got: 3, limit: 2 })));
        let deep = "[".repeat(100_000);
        assert!(matches!(parse(deep.as_bytes(), 10), Err(RpcError::Parse(_))));
    }
}
