//! NVIDIA GPUs in confidential-computing mode: what a GPU says of itself, checked without a network.
//!
//! # What is checked
//! A [`Report`] is what a GPU signs when it is asked for its measurements: an SPDM 1.1 `GET_MEASUREMENTS` request with a nonce,
//! and the response to it. [`verify`] checks, in this order, its form, the chain of certificates from the key that signed it
//! to NVIDIA's device identity root, the signature over request and response, the nonce, and that the firmware that the key
//! was made for (its FWID) is the firmware that the report names. The result is a [`Gpu`].
//!
//! [`Rim`] is a file of reference measurements that NVIDIA signs, one for each version of the driver and one for each
//! version of the VBIOS. [`Gpu::compare`] says whether a GPU measures what the files for its own versions say: a [`Measured`] GPU.
//!
//! # What is left to the caller
//! - The nonce: it must be fresh, and bound to whatever the answer is about.
//! - That the GPU sits in the machine that is talked to: a report does not say so. Software on that machine has to see to it,
//!   over the encrypted session that it has with the GPU.
//! - Which versions are good enough: NVIDIA's signature on a file of an old driver stays valid for as long as its certificate.
//! - Revocation: NVIDIA answers that online. [`Gpu::certificates`] gives the fingerprints to compare with a list.
//!
//! # Sources
//! DMTF DSP0274 (SPDM) 1.1, section 10.11; TCG DICE Attestation Architecture 1.0, section 6.1 (FWID); TCG Reference Integrity Manifest
//! Information Model 1.01; ISO/IEC 19770-2:2015; W3C XML Signature 1.1 and Canonical XML 1.1. NVIDIA documents its opaque
//! fields by the verifier that it publishes (`nvtrust`); the layout here was read from there and from reports.
//!
//! # Examples
//! ```no_run
//! use tacit_nvidia::{Anchors, Rim, verify};
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! # let (report, chain, driver, vbios, nonce, now) = ([0_u8; 0], "", "", "", [0; 32], 0);
//! let gpu = verify(&report, chain, &nonce, &Anchors::device_identity()?, now)?;
//! let roots = Anchors::reference_values()?;
//! let measured = gpu.compare(&[&Rim::verify(driver, &roots, now)?, &Rim::verify(vbios, &roots, now)?])?;
//! println!("driver {}, VBIOS {}", measured.gpu().driver(), measured.gpu().vbios());
//! # Ok(()) }
//! ```

#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::panic_in_result_fn,
    clippy::unreachable
)]

mod canonical;
mod certificate;
mod chain;
mod error;
mod pem;
mod report;
mod rim;
mod signature;
mod verify;
mod xml;

pub use certificate::Fingerprint;
pub use chain::{Anchors, CHAIN_MAX};
pub use error::{ChainError, CompareError, GpuError, PemError, ReportError, RimError, XmlError};
pub use pem::{PEM_BYTES_MAX, decode as decode_pem};
pub use report::{BLOCKS_MAX, Measurement, OPAQUE_FIELDS_MAX, REPORT_BYTES_MAX, Report};
pub use rim::{ALTERNATIVES_MAX, RIM_BYTES_MAX, Rim};
pub use verify::{Gpu, Measured, verify};
