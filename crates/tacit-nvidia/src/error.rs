//! Why evidence of a GPU is refused: one variant per check.

/// Why a text is no list of certificates in PEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// Longer than any chain.
    #[error("{got} bytes of certificates, at most {max}")]
    Length {
        /// How long it may be.
        max: usize,
        /// How long it is.
        got: usize,
    },
    /// A line that says neither where a certificate begins nor where it ends where it should.
    #[error("line {line} is no boundary of a certificate")]
    Boundary {
        /// Counted from zero.
        line: usize,
    },
    /// Base64 that is not the one form that these bytes have, in lines of 64.
    #[error("line {line} is not canonical base64")]
    Base64 {
        /// Counted from zero.
        line: usize,
    },
}

/// Why a chain of certificates is refused. `at` counts from the certificate at the end that signs no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// Not PEM.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// Too few certificates, or too many.
    #[error("a chain of {got} certificates, from 2 to {max}")]
    Length {
        /// How many there may be.
        max: usize,
        /// How many there are.
        got: usize,
    },
    /// No X.509 certificate in its one encoding.
    #[error("certificate {at} is malformed")]
    Malformed {
        /// Which.
        at: usize,
    },
    /// Another algorithm than ECDSA on P-384 with SHA-384.
    #[error("certificate {at} has another algorithm than ECDSA on P-384 with SHA-384")]
    Algorithm {
        /// Which.
        at: usize,
    },
    /// A critical extension whose meaning is not known here.
    #[error("certificate {at} has a critical extension that is not known")]
    Extension {
        /// Which.
        at: usize,
    },
    /// Its time has not begun.
    #[error("certificate {at} is not yet valid")]
    NotYetValid {
        /// Which.
        at: usize,
    },
    /// Its time is over.
    #[error("certificate {at} has expired")]
    Expired {
        /// Which.
        at: usize,
    },
    /// It signs another and is not meant to, or not this far down.
    #[error("certificate {at} may not sign the one before it")]
    NotAuthority {
        /// Which.
        at: usize,
    },
    /// The first certificate's key is not meant for signatures.
    #[error("the first certificate's key may not sign")]
    KeyUsage,
    /// It names another issuer than the next certificate.
    #[error("certificate {at} names another issuer")]
    Issuer {
        /// Which.
        at: usize,
    },
    /// The next certificate's key did not sign it.
    #[error("certificate {at} is not signed by the next one")]
    Signature {
        /// Which.
        at: usize,
    },
    /// The last certificate is not the root that is believed.
    #[error("the chain leads to another root")]
    Root,
}

/// Why bytes are no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Longer than any report.
    #[error("{got} bytes, a report has at most {max}")]
    Length {
        /// How long it may be.
        max: usize,
        /// How long it is.
        got: usize,
    },
    /// It ends too early.
    #[error("the report ends within {field}")]
    Short {
        /// Where.
        field: &'static str,
    },
    /// It goes on behind its signature.
    #[error("{got} bytes behind the signature")]
    Trailing {
        /// How many.
        got: usize,
    },
    /// A message of another version than SPDM 1.1.
    #[error("SPDM version {got:#04x}, not 0x11")]
    Version {
        /// What it says.
        got: u8,
    },
    /// Another message than the measurements and the request for them, all of them and signed.
    #[error("no signed request for all measurements, or no answer to one")]
    Message,
    /// A block of measurements that is not in order, or not of the form that GPUs have.
    #[error("measurement block {at} is malformed")]
    Block {
        /// Which, counted from zero.
        at: usize,
    },
    /// Blocks are fewer or more than announced.
    #[error("blocks are not as many bytes as the record has")]
    Record,
    /// Opaque data that is not a list of distinct fields.
    #[error("opaque field {at} is malformed")]
    Opaque {
        /// Which, counted from zero.
        at: usize,
    },
    /// A field that each report has is not there.
    #[error("the report does not name its {field}")]
    Missing {
        /// Which.
        field: &'static str,
    },
}

/// Why a report is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// Not a report.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The chain of certificates does not hold.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The key of the first certificate did not sign it.
    #[error("the report is not signed by the GPU's key")]
    Signature,
    /// It answers another request.
    #[error("the report is about another nonce")]
    Nonce,
    /// The key was made for other firmware than the report names.
    #[error("the report's firmware is not the one that its key was made for")]
    Firmware,
}

/// Why a text is no document of the small part of XML that signed reference measurements are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XmlError {
    /// A character that may not be where it is, or the end.
    #[error("malformed XML at byte {at}")]
    Syntax {
        /// Where.
        at: usize,
    },
    /// Declarations of types, comments, instructions, character data sections.
    #[error("a kind of markup at byte {at} that signed measurements do not need")]
    Markup {
        /// Where.
        at: usize,
    },
    /// Elements within elements within elements.
    #[error("elements nest deeper than {max}")]
    Depth {
        /// How deep they may.
        max: usize,
    },
    /// More elements or attributes than any file has.
    #[error("more than {max} elements, or attributes of one")]
    Count {
        /// How many there may be.
        max: usize,
    },
    /// A prefix that was not declared, or an attribute that is there twice.
    #[error("a name at byte {at} that means nothing, or the same as another")]
    Name {
        /// Where.
        at: usize,
    },
}

/// Why a file of reference measurements is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RimError {
    /// Longer than any file.
    #[error("{got} bytes, a file of reference measurements has at most {max}")]
    Length {
        /// How long it may be.
        max: usize,
        /// How long it is.
        got: usize,
    },
    /// Not XML as it is used here.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// No signature over the whole file, in the one form that NVIDIA's files have.
    #[error("no signature of the form that such files have")]
    SignatureForm,
    /// The file is not what was signed.
    #[error("the file is not what was signed")]
    Digest,
    /// The chain of certificates does not hold.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The key of the first certificate did not sign it.
    #[error("the file is not signed by the key of its certificate")]
    Signature,
    /// What was signed is no description of reference measurements.
    #[error("the file does not describe measurements: {field}")]
    Content {
        /// What is missing or malformed.
        field: &'static str,
    },
}

/// Why a GPU does not measure what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// No file for the driver that the GPU reports.
    #[error("no reference measurements for the GPU's driver")]
    Driver,
    /// No file for the VBIOS that the GPU reports.
    #[error("no reference measurements for the GPU's VBIOS")]
    Vbios,
    /// There are files for its driver and for its VBIOS, and not for one product.
    #[error("reference measurements of different products")]
    Product,
    /// Driver and VBIOS files both speak of one measurement.
    #[error("measurement {index} has two references")]
    Conflict {
        /// Which.
        index: u8,
    },
    /// The GPU does not report a measurement that it should.
    #[error("measurement {index} is missing")]
    Missing {
        /// Which.
        index: u8,
    },
    /// The GPU measures something else.
    #[error("measurement {index} is not what it should be")]
    Mismatch {
        /// Which.
        index: u8,
    },
}
