//! Why files give no measurement: one variant per check.

/// Which hardware a description inside firmware is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hardware {
    /// AMD SEV-SNP.
    Snp,
    /// Intel TDX.
    Tdx,
}

/// The first thing that is wrong with what a guest would be started from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// Firmware that is empty, no whole number of pages, or too long.
    #[error("firmware of {got} bytes: whole pages, at most {max} bytes")]
    FirmwareSize {
        /// How long it may be.
        max: usize,
        /// How long it is.
        got: usize,
    },
    /// The firmware does not end in a table of its entries.
    #[error("no table of entries at the end of the firmware")]
    Footer,
    /// The table of entries does not add up.
    #[error("the firmware's table of entries is malformed")]
    Table,
    /// Two entries of one name.
    #[error("an entry of the firmware is there twice")]
    EntryTwice,
    /// An entry that is needed is not there, or is too short.
    #[error("the firmware has no entry of its {what}")]
    Entry {
        /// Of what.
        what: &'static str,
    },
    /// The description does not lie within the firmware, or is of another form.
    #[error("the firmware's description for {hardware:?} is malformed")]
    Description {
        /// For which hardware.
        hardware: Hardware,
    },
    /// Too many sections, or none.
    #[error("{got} sections, at least one and at most {max}")]
    SectionCount {
        /// How many there may be.
        max: u32,
        /// How many there are.
        got: u32,
    },
    /// A section of a kind that is not known, or with attributes that are not.
    #[error("section {at} of kind {got:#x}, which is not known here")]
    SectionKind {
        /// Which.
        at: usize,
        /// What it says.
        got: u32,
    },
    /// A section that is empty, not of whole pages, or has another size than its kind has.
    #[error("section {at} has a size or an address that its kind cannot have")]
    SectionPlace {
        /// Which.
        at: usize,
    },
    /// A section whose content does not lie within the firmware, or is longer than the section.
    #[error("section {at} has its content from where nothing is")]
    SectionContent {
        /// Which.
        at: usize,
    },
    /// All sections together are too long.
    #[error("sections of more than {max} bytes together")]
    SectionBytes {
        /// How long they may be.
        max: u64,
    },
    /// Two sections at the same address, or one where the firmware is.
    #[error("section {at} lies where something else lies")]
    Overlap {
        /// The one that comes later in memory.
        at: usize,
    },
    /// A section that there must be one of is there several times, or not at all.
    #[error("the firmware has {got} sections of its {what}, not one")]
    SectionSingle {
        /// Of what.
        what: &'static str,
        /// How many there are.
        got: usize,
    },
    /// More processors than a guest can have, or none.
    #[error("{got} processors, at least one and at most {max}")]
    Processors {
        /// How many there may be.
        max: u32,
        /// How many there are.
        got: u32,
    },
    /// The firmware checks no kernel that it is given: whoever starts the guest could give it any.
    #[error("the firmware has no place for hashes of a kernel")]
    NoKernelHashes,
    /// The place for hashes of a kernel does not lie within its section.
    #[error("the firmware's place for hashes of a kernel lies outside of its section")]
    KernelHashes,
    /// A command line that is too long, or has other than printable ASCII.
    #[error("a command line of more than {max} bytes, or of other than printable ASCII")]
    CommandLine {
        /// How long it may be.
        max: usize,
    },
    /// A kernel that is too short or too long.
    #[error("a kernel of {got} bytes, at most {max}")]
    KernelSize {
        /// How long it may be.
        max: usize,
        /// How long it is.
        got: usize,
    },
    /// No Linux kernel, or one from before version 2.12 of the boot protocol.
    #[error("no Linux kernel of boot protocol 2.12 or later")]
    BootProtocol,
    /// A kernel that is not, or is not well, in the form that firmware starts programs in.
    #[error("the kernel is no program of firmware: {what}")]
    Program {
        /// What is wrong.
        what: &'static str,
    },
    /// An initial file system that does not fit into memory, or is too long.
    #[error("an initial file system of {got} bytes, at most {max}")]
    InitrdSize {
        /// How long it may be.
        max: u64,
        /// How long it is.
        got: u64,
    },
    /// Memory that is no whole number of pages, too little, or too much.
    #[error("{got} bytes of memory: whole pages, at least {min} and at most {max} bytes")]
    Memory {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
        /// How much it is.
        got: u64,
    },
}
