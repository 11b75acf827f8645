//! HTTP messages as bytes, so that a whole request can be sealed.
//!
//! Source: RFC 9292 (Binary Representation of HTTP Messages), known-length messages, sections 3.1 to 3.8; integers are those of QUIC (RFC 9000, section 16).
//! Deviation: of the header only `content-type` is kept, because everything else in a header may tell who sent it; informational responses and messages of indeterminate
//! length are refused.
//!
//! # Padding
//! A message may be followed by zeros (section 3.8). Those written here are, up to their bucket (Padmé, as in [`crate::sealing`]) of [`BUCKET_BYTES_MIN`] bytes or more.

/// A request.
#[derive(Clone, PartialEq, Eq)]
pub struct BinaryRequest {
    /// `GET` or `POST`, or whatever else it says.
    pub method: String,
    /// From the slash on.
    pub path: String,
    /// Media type of the content; empty where there is none.
    pub content_type: String,
    /// The body.
    pub content: Vec<u8>,
}

/// A response.
#[derive(Clone, PartialEq, Eq)]
pub struct BinaryResponse {
    /// HTTP status, from 200 to 599.
    pub status: u16,
    /// Media type of the content; empty where there is none.
    pub content_type: String,
    /// The body.
    pub content: Vec<u8>,
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BinaryReject {
    /// Neither a request nor a response of known length, as was expected.
    #[error("the message is of another kind")]
    Framing,
    /// A part is longer than what there is.
    #[error("the message ends early")]
    Truncated,
    /// Something else than zeros after the end.
    #[error("there is something after the message")]
    Trailing,
    /// Text that is none, or longer than any method, path or header may be.
    #[error("a method, path or header is malformed")]
    Text,
    /// Not a final status.
    #[error("there is no final status {got}")]
    Status {
        /// What is there.
        got: u64,
    },
}

/// Smallest padded message.
pub const BUCKET_BYTES_MIN: usize = 4096;

const REQUEST: u64 = 0;
const RESPONSE: u64 = 1;
const TEXT_BYTES_MAX: usize = 1024;
/// What the target is, where nobody looks at it: a worker has one address, and answers for itself.
const SCHEME: &[u8] = b"http";
const AUTHORITY: &[u8] = b"worker";
const CONTENT_TYPE: &[u8] = b"content-type";

impl BinaryRequest {
    /// Padded bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_number(&mut bytes, REQUEST);
        for part in [self.method.as_bytes(), SCHEME, AUTHORITY, self.path.as_bytes()] {
            put(&mut bytes, part);
        }
        put_rest(&mut bytes, &self.content_type, &self.content);
        bytes
    }

    /// Reads a request.
    ///
    /// # Errors
    /// [`BinaryReject`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BinaryReject> {
        let mut reader = Reader(bytes);
        if reader.number()? != REQUEST {
            return Err(BinaryReject::Framing);
        }
        let method = reader.text()?;
        let (_scheme, _authority) = (reader.text()?, reader.text()?);
        let path = reader.text()?;
        let (content_type, content) = reader.rest()?;
        Ok(Self { method, path, content_type, content })
    }
}

impl BinaryResponse {
    /// Padded bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_number(&mut bytes, RESPONSE);
        put_number(&mut bytes, u64::from(self.status));
        put_rest(&mut bytes, &self.content_type, &self.content);
        bytes
    }

    /// Reads a response.
    ///
    /// # Errors
    /// [`BinaryReject`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BinaryReject> {
        let mut reader = Reader(bytes);
        if reader.number()? != RESPONSE {
            return Err(BinaryReject::Framing);
        }
        let got = reader.number()?;
        let status = u16::try_from(got).ok().filter(|status| (200..600).contains(status));
        let status = status.ok_or(BinaryReject::Status { got })?;
        let (content_type, content) = reader.rest()?;
        Ok(Self { status, content_type, content })
    }
}

impl core::fmt::Debug for BinaryRequest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "BinaryRequest({} bytes)", self.content.len())
    }
}

impl core::fmt::Debug for BinaryResponse {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "BinaryResponse({}, {} bytes)", self.status, self.content.len())
    }
}

/// Header, content, empty trailer and padding.
fn put_rest(bytes: &mut Vec<u8>, content_type: &str, content: &[u8]) {
    let mut fields = Vec::new();
    if !content_type.is_empty() {
        put(&mut fields, CONTENT_TYPE);
        put(&mut fields, content_type.as_bytes());
    }
    put(bytes, &fields);
    put(bytes, content);
    put(bytes, &[]);
    bytes.resize(crate::sealing::bucket_from(bytes.len(), BUCKET_BYTES_MIN), 0);
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    // No part is anywhere near 2^62 bytes.
    put_number(bytes, u64::try_from(part.len()).unwrap_or(u64::MAX));
    bytes.extend_from_slice(part);
}

/// The shortest form of a number: its two highest bits say how long it is.
fn put_number(bytes: &mut Vec<u8>, number: u64) {
    let [b0, b1, b2, b3, b4, b5, b6, b7] = number.to_be_bytes();
    match number {
        0..=0x3f => bytes.push(b7),
        0x40..=0x3fff => bytes.extend_from_slice(&[b6 | 0x40, b7]),
        0x4000..=0x3fff_ffff => bytes.extend_from_slice(&[b4 | 0x80, b5, b6, b7]),
        _ => bytes.extend_from_slice(&[b0 | 0xc0, b1, b2, b3, b4, b5, b6, b7]),
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], BinaryReject> {
        let length = usize::try_from(length).map_err(|_| BinaryReject::Truncated)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(BinaryReject::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, BinaryReject> {
        let first = *self.0.first().ok_or(BinaryReject::Truncated)?;
        let bytes = self.take(1 << (first >> 6))?;
        let number = bytes.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        // Without the two bits that say the length.
        let bits = 8 * u64::try_from(bytes.len()).unwrap_or(8) - 2;
        Ok(number & ((1 << bits) - 1))
    }

    fn part(&mut self) -> Result<&'a [u8], BinaryReject> {
        let length = self.number()?;
        self.take(length)
    }

    /// A part at the end, which may be left out with all that follows where it is empty (section 3.8).
    fn part_or_nothing(&mut self) -> Result<&'a [u8], BinaryReject> {
        if self.0.is_empty() { Ok(&[]) } else { self.part() }
    }

    fn text(&mut self) -> Result<String, BinaryReject> {
        let part = self.part()?;
        let printable = part.len() <= TEXT_BYTES_MAX && part.iter().all(|byte| (0x20..0x7f).contains(byte));
        if printable {
            Ok(part.iter().map(|byte| char::from(*byte)).collect())
        } else {
            Err(BinaryReject::Text)
        }
    }

    fn rest(&mut self) -> Result<(String, Vec<u8>), BinaryReject> {
        let mut fields = Self(self.part_or_nothing()?);
        let mut content_type = String::new();
        while !fields.0.is_empty() {
            let (name, value) = (fields.text()?, fields.text()?);
            if name.as_bytes() == CONTENT_TYPE {
                content_type = value;
            }
        }
        let content = self.part_or_nothing()?.to_vec();
        let _trailer = self.part_or_nothing()?;
        if self.0.iter().any(|byte| *byte != 0) {
            return Err(BinaryReject::Trailing);
        }
        Ok((content_type, content))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(content: Vec<u8>) -> BinaryRequest {
        let (method, path) = ("POST".to_owned(), "/v1/prepaid".to_owned());
        BinaryRequest { method, path, content_type: "application/json".to_owned(), content }
    }

    /// The request and the response of RFC 9458, appendix A, which leave empty ends out.
    #[test]
    fn the_messages_of_the_rfc_are_read() {
        let get = alloy_primitives::hex!("00034745540568747470730b6578616d706c652e636f6d012f");
        let read = BinaryRequest::decode(&get).unwrap();
        assert_eq!((read.method.as_str(), read.path.as_str()), ("GET", "/"));
        assert!(read.content_type.is_empty() && read.content.is_empty());
        let read = BinaryResponse::decode(&alloy_primitives::hex!("0140c8")).unwrap();
        assert_eq!((read.status, read.content.len()), (200, 0));
    }

    #[test]
    fn messages_survive_and_are_padded() {
        let sent = request(b"{}".to_vec());
        assert_eq!(sent.encode().len(), BUCKET_BYTES_MIN);
        assert_eq!(request(vec![7; 2000]).encode().len(), BUCKET_BYTES_MIN);
        assert_eq!(BinaryRequest::decode(&sent.encode()).unwrap(), sent);
        let (status, content) = (599, vec![3; 70_000]);
        let reply = BinaryResponse { status, content_type: String::new(), content };
        assert_eq!(BinaryResponse::decode(&reply.encode()).unwrap(), reply);
    }

    #[test]
    fn malformed_messages_are_refused() {
        let good = request(b"{}".to_vec());
        let reply = BinaryResponse { status: 200, content_type: String::new(), content: Vec::new() };
        assert_eq!(BinaryRequest::decode(&reply.encode()), Err(BinaryReject::Framing));
        assert_eq!(BinaryResponse::decode(&good.encode()), Err(BinaryReject::Framing));
        for status in [100, 199, 600, 65_000] {
            let bad = BinaryResponse { status, ..reply.clone() };
            let refused = BinaryResponse::decode(&bad.encode());
            assert_eq!(refused, Err(BinaryReject::Status { got: u64::from(status) }));
        }
        let mut trailing = good.encode();
        *trailing.last_mut().unwrap() = 1;
        assert_eq!(BinaryRequest::decode(&trailing), Err(BinaryReject::Trailing));
        for path in ["line\nbreak".to_owned(), "p".repeat(TEXT_BYTES_MAX + 1)] {
            let bad = BinaryRequest { path, ..good.clone() };
            assert_eq!(BinaryRequest::decode(&bad.encode()), Err(BinaryReject::Text));
        }
        assert_eq!(BinaryRequest::decode(&[]), Err(BinaryReject::Truncated));
        // A part that claims 2^62 - 1 bytes.
        let huge = [&[0], [0xff; 8].as_slice()].concat();
        assert_eq!(BinaryRequest::decode(&huge), Err(BinaryReject::Truncated));
    }

    proptest! {
        #[test]
        fn any_content_survives(content in proptest::collection::vec(any::<u8>(), 0..9000)) {
            let sent = request(content);
            prop_assert_eq!(BinaryRequest::decode(&sent.encode()).unwrap(), sent);
        }

        #[test]
        fn numbers_survive(number in 0_u64..1 << 62) {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            prop_assert_eq!(Reader(&bytes).number(), Ok(number));
        }

        #[test]
        fn no_bytes_make_the_decoders_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = BinaryRequest::decode(&bytes);
            let _ = BinaryResponse::decode(&bytes);
        }
    }
}
