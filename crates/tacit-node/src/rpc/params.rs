//! Positional parameters, parsed strictly: quantities are canonical hex, data is prefixed, nothing is guessed.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::RpcError;

/// The parameters of one request, taken from the left.
#[derive(Debug)]
pub(super) struct Params {
    values: std::vec::IntoIter<Value>,
    taken: usize,
}

impl Params {
    /// Wraps the `params` member of a request.
    ///
    /// # Errors
    /// Refuses named parameters: no Ethereum method has them.
    pub(super) fn new(params: Option<Value>) -> Result<Self, RpcError> {
        let values = match params {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(values)) => values,
            Some(_) => return Err(RpcError::InvalidParams("parameters must be a list".into())),
        };
        Ok(Self { values: values.into_iter(), taken: 0 })
    }

    /// The next parameter, unless it is absent or null.
    pub(super) fn next(&mut self) -> Option<Value> {
        self.taken = self.taken.saturating_add(1);
        self.values.next().filter(|value| !value.is_null())
    }

    fn required(&mut self) -> Result<Value, RpcError> {
        self.next().ok_or_else(|| self.wrong("missing value"))
    }

    fn wrong(&self, why: &str) -> RpcError {
        RpcError::InvalidParams(format!("argument {}: {why}", self.taken.saturating_sub(1)))
    }

    /// Ends the list.
    ///
    /// # Errors
    /// Refuses parameters that the method does not take.
    pub(super) fn end(&mut self) -> Result<(), RpcError> {
        match self.values.next() {
            None => Ok(()),
            Some(_) => {
                Err(RpcError::InvalidParams(format!("too many arguments, want at most {}", self.taken)))
            }
        }
    }

    /// An address.
    ///
    /// # Errors
    /// Refuses anything but `0x` and 40 hex digits.
    pub(super) fn address(&mut self) -> Result<Address, RpcError> {
        let value = self.required()?;
        fixed::<20>(&value).map(Address::from).map_err(|why| self.wrong(why))
    }

    /// A 32-byte hash.
    ///
    /// # Errors
    /// Refuses anything but `0x` and 64 hex digits.
    pub(super) fn hash(&mut self) -> Result<B256, RpcError> {
        let value = self.required()?;
        fixed::<32>(&value).map(B256::from).map_err(|why| self.wrong(why))
    }

    /// A storage slot: up to 32 bytes of hex, with leading zeros or without, as existing clients accept.
    ///
    /// # Errors
    /// Refuses what is not prefixed hex of at most 32 bytes.
    pub(super) fn slot(&mut self) -> Result<U256, RpcError> {
        let value = self.required()?;
        slot(&value).map_err(|why| self.wrong(why))
    }

    /// Bytes of any length.
    ///
    /// # Errors
    /// Refuses what is not prefixed hex with whole bytes.
    pub(super) fn bytes(&mut self) -> Result<Bytes, RpcError> {
        let value = self.required()?;
        let digits = prefixed(&value).map_err(|why| self.wrong(why))?;
        hex::decode(digits).map(Bytes::from).map_err(|_| self.wrong("invalid hex"))
    }

    /// A number below 2^64 in canonical hex.
    ///
    /// # Errors
    /// Refuses decimals, leading zeros and larger numbers.
    pub(super) fn quantity(&mut self) -> Result<u64, RpcError> {
        let value = self.required()?;
        quantity(&value).map_err(|why| self.wrong(why))
    }

    /// A number below 2^64, hex or JSON number: some development methods are called with either.
    ///
    /// # Errors
    /// Refuses fractions, negative and larger numbers.
    pub(super) fn number(&mut self) -> Result<u64, RpcError> {
        let value = self.required()?;
        match value.as_u64() {
            Some(number) => Ok(number),
            None => quantity(&value).map_err(|why| self.wrong(why)),
        }
    }

    /// A truth value, false when absent.
    ///
    /// # Errors
    /// Refuses anything but `true` and `false`.
    pub(super) fn flag(&mut self) -> Result<bool, RpcError> {
        match self.next() {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(self.wrong("want true or false")),
        }
    }

    /// A time in milliseconds, `default` when absent and never above `most`.
    ///
    /// # Errors
    /// Refuses what is no number.
    pub(super) fn timeout(&mut self, default: Duration, most: Duration) -> Result<Duration, RpcError> {
        let Some(value) = self.next() else { return Ok(default) };
        let milliseconds = match value.as_u64() {
            Some(number) => number,
            None => quantity(&value).map_err(|why| self.wrong(why))?,
        };
        Ok(Duration::from_millis(milliseconds).min(most))
    }

    /// A structured value.
    ///
    /// # Errors
    /// Says what the decoder found wrong.
    pub(super) fn object<T: DeserializeOwned>(&mut self) -> Result<T, RpcError> {
        let value = self.required()?;
        serde_json::from_value(value).map_err(|why| self.wrong(&why.to_string()))
    }

    /// A structured value that may be absent.
    ///
    /// # Errors
    /// Says what the decoder found wrong.
    pub(super) fn optional_object<T: DeserializeOwned>(&mut self) -> Result<Option<T>, RpcError> {
        match self.next() {
            None => Ok(None),
            Some(value) => {
                serde_json::from_value(value).map(Some).map_err(|why| self.wrong(&why.to_string()))
            }
        }
    }

    /// A block by number, tag or hash; `latest` when absent.
    ///
    /// # Errors
    /// Refuses unknown tags and malformed numbers or hashes.
    pub(super) fn block(&mut self) -> Result<BlockRef, RpcError> {
        self.block_or(BlockRef::Latest)
    }

    /// A block by number, tag or hash that must be given.
    ///
    /// # Errors
    /// Refuses unknown tags and malformed numbers or hashes.
    pub(super) fn required_block(&mut self) -> Result<BlockRef, RpcError> {
        let value = self.required()?;
        BlockRef::parse(&value).map_err(|why| self.wrong(why))
    }

    /// A block by number, tag or hash; `default` when absent.
    ///
    /// # Errors
    /// Refuses unknown tags and malformed numbers or hashes.
    pub(super) fn block_or(&mut self, default: BlockRef) -> Result<BlockRef, RpcError> {
        match self.next() {
            None => Ok(default),
            Some(value) => BlockRef::parse(&value).map_err(|why| self.wrong(why)),
        }
    }
}

/// Which block a request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockRef {
    /// The head: `latest`, `safe` and `finalized`, as a block here is final at once.
    Latest,
    /// The block that would come next.
    Pending,
    /// By height; `earliest` is zero.
    Number(u64),
    /// By hash.
    Hash(B256),
}

impl BlockRef {
    /// Reads a tag, a quantity, a hash or an EIP-1898 object.
    ///
    /// # Errors
    /// Says what is malformed.
    pub(super) fn parse(value: &Value) -> Result<Self, &'static str> {
        match value {
            Value::String(text) => match text.as_str() {
                "latest" | "safe" | "finalized" => Ok(Self::Latest),
                "pending" => Ok(Self::Pending),
                "earliest" => Ok(Self::Number(0)),
                text if text.len() == 66 => fixed::<32>(value).map(|hash| Self::Hash(hash.into())),
                _ => quantity(value).map(Self::Number),
            },
            Value::Object(object) => {
                let known =
                    |key: &String| matches!(key.as_str(), "blockHash" | "blockNumber" | "requireCanonical");
                if !object.keys().all(known) {
                    return Err("unknown member in block identifier");
                }
                match (object.get("blockHash"), object.get("blockNumber")) {
                    (Some(hash), None) => fixed::<32>(hash).map(|hash| Self::Hash(hash.into())),
                    (None, Some(number)) => Self::parse_number(number),
                    _ => Err("want either blockHash or blockNumber"),
                }
            }
            _ => Err("want a block number, tag or hash"),
        }
    }

    fn parse_number(value: &Value) -> Result<Self, &'static str> {
        match Self::parse(value)? {
            Self::Hash(_) => Err("want a block number or tag"),
            other => Ok(other),
        }
    }
}

fn prefixed(value: &Value) -> Result<&str, &'static str> {
    value.as_str().ok_or("want a hex string")?.strip_prefix("0x").ok_or("hex string without 0x prefix")
}

fn fixed<const N: usize>(value: &Value) -> Result<[u8; N], &'static str> {
    let digits = prefixed(value)?;
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes)
        .map_err(|_| "hex string of the wrong length or with invalid digits")?;
    Ok(bytes)
}

/// Reads a storage slot: up to 32 bytes of hex, with leading zeros or without.
///
/// # Errors
/// Says what is malformed.
pub(super) fn slot(value: &Value) -> Result<U256, &'static str> {
    let digits = prefixed(value)?;
    if digits.is_empty() || digits.len() > 64 {
        return Err("want 1 to 64 hex digits");
    }
    U256::from_str_radix(digits, 16).map_err(|_| "invalid hex digit")
}

/// Reads a canonical hex quantity below 2^64.
///
/// # Errors
/// Says what is malformed.
pub(super) fn quantity(value: &Value) -> Result<u64, &'static str> {
    let digits = prefixed(value)?;
    if digits.is_empty() {
        return Err("empty hex number");
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return Err("hex number with leading zero digits");
    }
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err("invalid hex digit");
    }
    u64::from_str_radix(digits, 16).map_err(|_| "hex number larger than 64 bits")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_canonical() {
        for (text, want) in [("0x0", Some(0)), ("0xff", Some(255)), ("0xffffffffffffffff", Some(u64::MAX))] {
            assert_eq!(quantity(&json!(text)).ok(), want, "{text}");
        }
        for text in ["", "0x", "0x01", "10", "0x+1", "0x-1", "0xg", "0x10000000000000000", "0X1"] {
            assert!(quantity(&json!(text)).is_err(), "{text}");
        }
        assert!(quantity(&json!(1)).is_err());
    }

    #[test]
    fn blocks_are_named_by_tag_number_or_hash() {
        let hash = B256::repeat_byte(7);
        assert_eq!(BlockRef::parse(&json!("finalized")), Ok(BlockRef::Latest));
        assert_eq!(BlockRef::parse(&json!("earliest")), Ok(BlockRef::Number(0)));
        assert_eq!(BlockRef::parse(&json!("0x10")), Ok(BlockRef::Number(16)));
        assert_eq!(BlockRef::parse(&json!(hash)), Ok(BlockRef::Hash(hash)));
        assert_eq!(BlockRef::parse(&json!({ "blockHash": hash })), Ok(BlockRef::Hash(hash)));
        assert_eq!(BlockRef::parse(&json!({ "blockNumber": "latest" })), Ok(BlockRef::Latest));
        for wrong in
            [json!("newest"), json!(5), json!({}), json!({ "blockNumber": hash }), json!({ "number": "0x1" })]
        {
            assert!(BlockRef::parse(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists_end_where_the_method_says() {
        let mut params = Params::new(Some(json!(["0x1", "0x2"]))).unwrap();
        assert_eq!(params.quantity().unwrap(), 1);
        assert!(matches!(params.end(), Err(RpcError::InvalidParams(_))));
        assert!(matches!(Params::new(Some(json!({}))), Err(RpcError::InvalidParams(_))));
        assert!(matches!(Params::new(None).unwrap().address(), Err(RpcError::InvalidParams(_))));
    }
}
