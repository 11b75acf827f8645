//! Hardware as policies speak of it: generations of processors, versions of their firmware, and what their makers say of it.

/// What Intel says of a platform's firmware, the quoting enclave's included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TcbStatus {
    /// Nothing is known against it.
    UpToDate,
    /// Software on it has to do something against a known weakness.
    SoftwareHardeningNeeded,
    /// It is to be configured otherwise.
    ConfigurationNeeded,
    /// Both.
    ConfigurationAndSoftwareHardeningNeeded,
    /// It is older than known weaknesses.
    OutOfDate,
    /// It is older than known weaknesses, and to be configured otherwise.
    OutOfDateConfigurationNeeded,
    /// It is up to date, and was not when the guest was started.
    RelaunchAdvised,
    /// Likewise, and to be configured otherwise.
    RelaunchAdvisedConfigurationNeeded,
    /// Its keys may be known to others.
    Revoked,
}

impl TcbStatus {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::UpToDate,
        Self::SoftwareHardeningNeeded,
        Self::ConfigurationNeeded,
        Self::ConfigurationAndSoftwareHardeningNeeded,
        Self::OutOfDate,
        Self::OutOfDateConfigurationNeeded,
        Self::RelaunchAdvised,
        Self::RelaunchAdvisedConfigurationNeeded,
        Self::Revoked,
    ];

    /// Its bit in encoded policies.
    #[must_use]
    pub fn bit(self) -> u16 {
        match self {
            Self::UpToDate => 1,
            Self::SoftwareHardeningNeeded => 1 << 1,
            Self::ConfigurationNeeded => 1 << 2,
            Self::ConfigurationAndSoftwareHardeningNeeded => 1 << 3,
            Self::OutOfDate => 1 << 4,
            Self::OutOfDateConfigurationNeeded => 1 << 5,
            Self::RelaunchAdvised => 1 << 6,
            Self::RelaunchAdvisedConfigurationNeeded => 1 << 7,
            Self::Revoked => 1 << 8,
        }
    }
}

/// A generation of processors, each with keys of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Product {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004, 8004.
    Genoa,
    /// EPYC 9005.
    Turin,
}

impl Product {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];
}

/// Security versions of the parts of a chip's firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Versions {
    /// Of the part that is there since Turin; zero before.
    pub fmc: u8,
    /// Of the boot loader.
    pub bootloader: u8,
    /// Of the operating system of the security processor.
    pub tee: u8,
    /// Of the firmware that makes reports.
    pub snp: u8,
    /// Of the cores.
    pub microcode: u8,
}

/// A part of a chip's firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VersionField {
    /// See [`Versions::fmc`].
    Fmc,
    /// See [`Versions::bootloader`].
    Bootloader,
    /// See [`Versions::tee`].
    Tee,
    /// See [`Versions::snp`].
    Snp,
    /// See [`Versions::microcode`].
    Microcode,
}

impl Versions {
    /// In the order of the fields.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 5] {
        let Self { fmc, bootloader, tee, snp, microcode } = self;
        [fmc, bootloader, tee, snp, microcode]
    }

    /// From bytes in the order of the fields.
    #[must_use]
    pub fn from_bytes([fmc, bootloader, tee, snp, microcode]: [u8; 5]) -> Self {
        Self { fmc, bootloader, tee, snp, microcode }
    }

    /// The first part that is older than it should be: the version it should have, and the version it has.
    #[must_use]
    pub fn below(self, min: Self) -> Option<(VersionField, u8, u8)> {
        use VersionField::{Bootloader, Fmc, Microcode, Snp, Tee};
        let fields = [Fmc, Bootloader, Tee, Snp, Microcode];
        let both = min.to_bytes().into_iter().zip(self.to_bytes());
        fields
            .into_iter()
            .zip(both)
            .find(|(_, (min, got))| got < min)
            .map(|(field, (min, got))| (field, min, got))
    }
}
