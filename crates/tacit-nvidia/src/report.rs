//! The report of a GPU: an SPDM 1.1 `GET_MEASUREMENTS` request and the response that was signed with it.
//!
//! # Format
//! Integers are little-endian. The request: version `11`, code `e0`, `01` (signed), `ff` (all measurements), nonce (32), slot (1). The
//! response: version `11`, code `60`, two bytes, number of blocks (1), bytes of blocks (3), blocks, the GPU's nonce (32), bytes of
//! opaque data (2), opaque data, signature (96). A block: index from 1 (1), `01` (DMTF), bytes (2), type (1), bytes of the digest
//! (2), SHA-384 digest (48). Opaque data: fields of type (2), bytes (2), content; each type once.
//!
//! The nonce is the first 32 bytes after the first four: DSP0274, tables 41 and 43.

use crate::error::ReportError;
use crate::signature::SIGNATURE_BYTES;

/// How long a report may be.
pub const REPORT_BYTES_MAX: usize = 32 * 1024;
/// How many measurements a report may have: their number is one byte.
pub const BLOCKS_MAX: usize = 255;
/// How many opaque fields a report may have.
pub const OPAQUE_FIELDS_MAX: usize = 64;

/// SHA-384 of something that the GPU runs or is set to.
pub type Measurement = [u8; 48];

/// A report whose form has been checked, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report<'a> {
    signed: &'a [u8],
    signature: &'a [u8],
    nonce: [u8; 32],
    measurements: Vec<(u8, Measurement)>,
    opaque: Vec<(u16, &'a [u8])>,
    driver: &'a str,
    vbios: String,
}

const SPDM: u8 = 0x11;
const REQUEST: u8 = 0xe0;
const RESPONSE: u8 = 0x60;
const SIGNED: u8 = 1;
const ALL: u8 = 0xff;
const DMTF: u8 = 1;
const DIGEST: u16 = 48;

/// Types of opaque fields that mean something here.
mod field {
    pub(super) const DRIVER: u16 = 3;
    pub(super) const VBIOS: u16 = 6;
    pub(super) const VIDEO_DECODER: u16 = 11;
    pub(super) const FIRMWARE: u16 = 20;
}
/// What the field of the video decoder says when it is off.
const DECODER_OFF: &[u8] = &[0x55];

impl<'a> Report<'a> {
    /// Reads a report.
    ///
    /// # Errors
    /// [`ReportError`], one variant per check; no input makes this panic.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ReportError> {
        if bytes.len() > REPORT_BYTES_MAX {
            return Err(ReportError::Length { max: REPORT_BYTES_MAX, got: bytes.len() });
        }
        let mut reader = Reader(bytes);
        version(&mut reader)?;
        let [code, signed, operation] = reader.array("request")?;
        let nonce = reader.array("request nonce")?;
        let [_slot] = reader.array("slot")?;
        version(&mut reader)?;
        let [response, _, _] = reader.array("response")?;
        if (code, signed, operation, response) != (REQUEST, SIGNED, ALL, RESPONSE) {
            return Err(ReportError::Message);
        }
        let [count] = reader.array("number of blocks")?;
        let [low, middle, high] = reader.array("length of blocks")?;
        let length = usize_from(u32::from_le_bytes([low, middle, high, 0]));
        let measurements = blocks(reader.take(length, "blocks")?, count)?;
        let [..] = reader.array::<32>("the GPU's nonce")?;
        let length = usize::from(u16::from_le_bytes(reader.array("length of opaque data")?));
        let opaque = fields(reader.take(length, "opaque data")?)?;
        let signature = reader.take(SIGNATURE_BYTES, "signature")?;
        if !reader.0.is_empty() {
            return Err(ReportError::Trailing { got: reader.0.len() });
        }
        let signed = bytes.get(..bytes.len().saturating_sub(SIGNATURE_BYTES)).unwrap_or_default();
        let content = |kind: u16| opaque.iter().find(|(it, _)| *it == kind).map(|(_, content)| *content);
        let driver = content(field::DRIVER).and_then(text).ok_or(ReportError::Missing { field: "driver" })?;
        let vbios = content(field::VBIOS).and_then(version_text);
        let vbios = vbios.ok_or(ReportError::Missing { field: "VBIOS" })?;
        Ok(Self { signed, signature, nonce, measurements, opaque, driver, vbios })
    }

    /// What is signed, and the signature, as two integers.
    pub(crate) fn signed(&self) -> (&'a [u8], &'a [u8]) {
        (self.signed, self.signature)
    }

    /// What it answers.
    #[must_use]
    pub fn nonce(&self) -> &[u8; 32] {
        &self.nonce
    }

    /// Its measurements, ascending. Indices count from zero, as reference measurements do; SPDM counts from one.
    #[must_use]
    pub fn measurements(&self) -> &[(u8, Measurement)] {
        &self.measurements
    }

    /// The version of the driver, such as `550.90.07`.
    #[must_use]
    pub fn driver(&self) -> &'a str {
        self.driver
    }

    /// The version of the VBIOS, such as `96.00.9F.00.01`.
    #[must_use]
    pub fn vbios(&self) -> &str {
        &self.vbios
    }

    /// An opaque field by its type.
    #[must_use]
    pub fn opaque(&self, kind: u16) -> Option<&'a [u8]> {
        self.opaque.iter().find(|(it, _)| *it == kind).map(|(_, content)| *content)
    }

    /// The hash of the firmware that the GPU says it runs, where it says so.
    pub(crate) fn firmware(&self) -> Option<&'a [u8]> {
        self.opaque(field::FIRMWARE)
    }

    /// Whether a video decoder that measures itself is off, so that it does not.
    pub(crate) fn decoder_off(&self) -> bool {
        self.opaque(field::VIDEO_DECODER) == Some(DECODER_OFF)
    }
}

fn version(reader: &mut Reader<'_>) -> Result<(), ReportError> {
    match reader.array("version")? {
        [SPDM] => Ok(()),
        [got] => Err(ReportError::Version { got }),
    }
}

fn blocks(bytes: &[u8], count: u8) -> Result<Vec<(u8, Measurement)>, ReportError> {
    let mut reader = Reader(bytes);
    let mut blocks: Vec<(u8, Measurement)> = Vec::with_capacity(usize::from(count));
    for at in 0..usize::from(count) {
        let [index, specification] = reader.array("block")?;
        let size = u16::from_le_bytes(reader.array("block")?);
        let [_kind] = reader.array("block")?;
        let digest = u16::from_le_bytes(reader.array("block")?);
        let value = reader.array("block")?;
        let index = index.checked_sub(1).ok_or(ReportError::Block { at })?;
        let ascending = blocks.last().is_none_or(|(last, _)| *last < index);
        if specification != DMTF || digest != DIGEST || size != DIGEST.saturating_add(3) || !ascending {
            return Err(ReportError::Block { at });
        }
        blocks.push((index, value));
    }
    if reader.0.is_empty() { Ok(blocks) } else { Err(ReportError::Record) }
}

fn fields(bytes: &[u8]) -> Result<Vec<(u16, &[u8])>, ReportError> {
    let mut reader = Reader(bytes);
    let mut fields: Vec<(u16, &[u8])> = Vec::new();
    while !reader.0.is_empty() {
        let at = fields.len();
        let kind = u16::from_le_bytes(reader.array("opaque field")?);
        let length = usize::from(u16::from_le_bytes(reader.array("opaque field")?));
        let content = reader.take(length, "opaque field")?;
        if at >= OPAQUE_FIELDS_MAX || fields.iter().any(|(other, _)| *other == kind) {
            return Err(ReportError::Opaque { at });
        }
        fields.push((kind, content));
    }
    Ok(fields)
}

/// Printable characters, then one zero.
fn text(content: &[u8]) -> Option<&str> {
    let (end, text) = content.split_last()?;
    let printable = !text.is_empty() && text.iter().all(u8::is_ascii_graphic);
    if *end == 0 && printable { core::str::from_utf8(text).ok() } else { None }
}

/// Eight bytes, little-endian: four of the version and one more of it, above them.
fn version_text(content: &[u8]) -> Option<String> {
    let [a, b, c, d, e, ..] = *<&[u8; 8]>::try_from(content).ok()?;
    Some([d, c, b, a, e].map(|byte| format!("{byte:02X}")).join("."))
}

fn usize_from(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], ReportError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ReportError::Short { field })?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ReportError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(ReportError::Short { field })?;
        self.0 = rest;
        Ok(*taken)
    }
}
