//! A GPU that has shown what it is, and one that has shown what it runs.

use crate::error::{CompareError, GpuError};
use crate::{Anchors, Fingerprint, Measurement, Report, Rim, chain, pem};

/// What a report shows: the nonce, versions and measurements are those of a GPU that NVIDIA made.
#[must_use = "measurements are worth nothing until they are compared"]
#[derive(Debug, Clone)]
pub struct Gpu {
    nonce: [u8; 32],
    driver: String,
    vbios: String,
    measurements: Vec<(u8, Measurement)>,
    decoder_off: bool,
    certificates: Vec<Fingerprint>,
    device: Fingerprint,
    valid_until: u64,
}

/// Checks a report that answers the nonce, with the chain of the key that signed it (PEM, first certificate first, root last), at
/// `now` in seconds since 1970.
///
/// # Errors
/// [`GpuError`], the first check that fails; no input makes this panic.
pub fn verify(
    report: &[u8],
    chain: &str,
    nonce: &[u8; 32],
    anchors: &Anchors,
    now: u64,
) -> Result<Gpu, GpuError> {
    let report = Report::parse(report)?;
    let chain = chain::verify(&pem::decode(chain).map_err(crate::ChainError::from)?, anchors, now)?;
    let (signed, signature) = report.signed();
    if !chain.leaf().key.signed(signed, signature) {
        return Err(GpuError::Signature);
    }
    if report.nonce() != nonce {
        return Err(GpuError::Nonce);
    }
    let claimed = report.firmware();
    if claimed.is_some() && claimed != chain.leaf().firmware.as_ref().map(<[u8; 48]>::as_slice) {
        return Err(GpuError::Firmware);
    }
    let certificates = chain.fingerprints();
    let device = certificates.get(1).copied().unwrap_or_else(|| chain.leaf().fingerprint());
    Ok(Gpu {
        nonce: *report.nonce(),
        driver: report.driver().to_owned(),
        vbios: report.vbios().to_owned(),
        decoder_off: report.decoder_off(),
        measurements: report.measurements().to_vec(),
        valid_until: chain.valid_until,
        certificates,
        device,
    })
}

/// The one measurement that is left out where its video decoder is off.
const DECODER: u8 = 35;

impl Gpu {
    /// Compares its measurements with the references for its driver and its VBIOS, which must be among those given.
    ///
    /// # Errors
    /// [`CompareError`], the first measurement that is not as it should be, or what is missing to say so.
    pub fn compare(self, references: &[&Rim]) -> Result<Measured, CompareError> {
        // Drivers of one version have a file for each product.
        let drivers: Vec<&Rim> = named(references, &self.driver).collect();
        if drivers.is_empty() {
            return Err(CompareError::Driver);
        }
        let vbios = named(references, &self.vbios).next().ok_or(CompareError::Vbios)?;
        let driver = drivers.iter().find(|rim| rim.product() == vbios.product());
        let driver = driver.ok_or(CompareError::Product)?;
        if let Some((index, _)) =
            driver.measurements().iter().find(|(index, _)| vbios.measurements().contains_key(index))
        {
            return Err(CompareError::Conflict { index: *index });
        }
        for (index, accepted) in driver.measurements().iter().chain(vbios.measurements()) {
            if *index == DECODER && self.decoder_off {
                continue;
            }
            let measured = self.measurements.iter().find(|(it, _)| it == index);
            let (_, measured) = measured.ok_or(CompareError::Missing { index: *index })?;
            if !accepted.contains(measured) {
                return Err(CompareError::Mismatch { index: *index });
            }
        }
        let valid_until = self.valid_until.min(driver.valid_until()).min(vbios.valid_until());
        let references = [driver.fingerprint(), vbios.fingerprint()];
        let product = driver.product().to_owned();
        Ok(Measured { product, references, valid_until, gpu: self })
    }

    /// What it answered.
    #[must_use]
    pub fn nonce(&self) -> &[u8; 32] {
        &self.nonce
    }

    /// The version of its driver, such as `550.90.07`.
    #[must_use]
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// The version of its VBIOS, such as `96.00.9F.00.01`.
    #[must_use]
    pub fn vbios(&self) -> &str {
        &self.vbios
    }

    /// Fingerprints of its chain of certificates, for lists of those that are revoked.
    #[must_use]
    pub fn certificates(&self) -> &[Fingerprint] {
        &self.certificates
    }

    /// The fingerprint of the certificate of the device itself: the same whatever firmware it runs.
    #[must_use]
    pub fn device(&self) -> Fingerprint {
        self.device
    }

    /// When the first of its certificates expires, in seconds since 1970.
    #[must_use]
    pub fn valid_until(&self) -> u64 {
        self.valid_until
    }
}

/// The files for this version.
fn named<'a>(references: &'a [&Rim], version: &'a str) -> impl Iterator<Item = &'a Rim> {
    references.iter().copied().filter(move |rim| rim.version().eq_ignore_ascii_case(version))
}

/// A GPU that measures what NVIDIA's references say.
#[must_use = "the caller decides whether these versions are good enough"]
#[derive(Debug, Clone)]
pub struct Measured {
    gpu: Gpu,
    product: String,
    references: [Fingerprint; 2],
    valid_until: u64,
}

impl Measured {
    /// What the GPU says of itself.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// What kind of chip the references are for, such as `GH100`.
    #[must_use]
    pub fn product(&self) -> &str {
        &self.product
    }

    /// SHA-256 of the files of the driver's and the VBIOS's references.
    #[must_use]
    pub fn references(&self) -> [Fingerprint; 2] {
        self.references
    }

    /// When the first certificate of report or references expires, in seconds since 1970.
    #[must_use]
    pub fn valid_until(&self) -> u64 {
        self.valid_until
    }
}
