//! The files in `tests/data`; `ORIGIN.md` there says where they come from.

/// What a test of a GPU takes.
pub(crate) struct Sample {
    pub(crate) report: Vec<u8>,
    pub(crate) chain: &'static str,
}

impl Sample {
    fn new(report: &str, chain: &'static str) -> Self {
        let report = report.trim_end().as_bytes();
        let digit = |c: u8| u8::try_from(char::from(c).to_digit(16).unwrap()).unwrap();
        let report = report.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
        Self { report, chain }
    }

    /// The nonce that it answers.
    pub(crate) fn nonce(&self) -> [u8; 32] {
        self.report[4..36].try_into().unwrap()
    }
}

/// An H100 whose VBIOS is that of [`VBIOS`].
pub(crate) fn h100() -> Sample {
    Sample::new(include_str!("../data/h100-535.86.09.hex"), include_str!("../data/h100-535.86.09.pem"))
}

/// Another H100, whose report names its firmware.
pub(crate) fn other_h100() -> Sample {
    Sample::new(include_str!("../data/h100-550.90.07.hex"), include_str!("../data/h100-550.90.07.pem"))
}

pub(crate) fn blackwell() -> Sample {
    Sample::new(include_str!("../data/b100-575.32.hex"), include_str!("../data/b100-575.32.pem"))
}

pub(crate) const VBIOS: &str = include_str!("../data/vbios-96.00.5E.00.01.swidtag");
pub(crate) const DRIVER: &str = include_str!("../data/driver-550.144.03.swidtag");

/// A day in January 2025, at which certificates of both files are valid.
pub(crate) const NOW: u64 = 1_737_000_000;
