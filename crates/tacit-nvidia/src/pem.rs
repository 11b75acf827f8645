//! Certificates in PEM, in one form only: lines of 64, canonical base64, nothing between them. So no bit of a
//! chain can change unseen.

use crate::error::PemError;
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// How long a chain in PEM may be.
pub const PEM_BYTES_MAX: usize = 32 * 1024;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
const LINE: usize = 64;

/// The certificates of a text, in DER, in the order in which they are there. Nothing of them is checked.
///
/// # Errors
/// [`PemError`] for a text that is not their one form.
pub fn decode(text: &str) -> Result<Vec<Vec<u8>>, PemError> {
    if text.len() > PEM_BYTES_MAX {
        return Err(PemError::Length { max: PEM_BYTES_MAX, got: text.len() });
    }
    let mut certificates = Vec::new();
    let mut body: Option<String> = None;
    let mut lines = text.split('\n').enumerate().peekable();
    while let Some((line, content)) = lines.next() {
        match body.as_mut() {
            None if content == BEGIN => body = Some(String::new()),
            // What is behind the end of the last line.
            None if content.is_empty() && line > 0 && lines.peek().is_none() => {}
            None => return Err(PemError::Boundary { line }),
            Some(base64) if content == END => {
                certificates.push(STANDARD.decode(base64).map_err(|_| PemError::Base64 { line })?);
                body = None;
            }
            Some(base64) => {
                let last = lines.peek().is_some_and(|(_, next)| *next == END);
                if content.is_empty() || content.len() > LINE || (content.len() < LINE && !last) {
                    return Err(PemError::Base64 { line });
                }
                base64.push_str(content);
            }
        }
    }
    if body.is_some() {
        return Err(PemError::Boundary { line: text.split('\n').count() });
    }
    Ok(certificates)
}

/// One certificate as signed XML has it: the same lines, each ended, without boundaries.
pub(crate) fn decode_lines(text: &str) -> Option<Vec<u8>> {
    let body = text.strip_suffix('\n')?;
    let mut base64 = String::with_capacity(body.len());
    let mut lines = body.split('\n').peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() || line.len() > LINE || (line.len() < LINE && lines.peek().is_some()) {
            return None;
        }
        base64.push_str(line);
    }
    STANDARD.decode(base64).ok()
}
