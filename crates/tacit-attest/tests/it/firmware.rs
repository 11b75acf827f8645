//! Firmware and kernels that are made for tests: as small as they can be, with descriptions that tests choose.

use sha2::{Digest as _, Sha256};

pub(crate) const PAGE: usize = 4096;

/// A section for TDX: place and length in the file, address, length, kind, attributes.
pub(crate) type TdxSection = (u32, u32, u64, u64, u32, u32);

/// What firmware is made of.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    /// Everything before the two pages of code.
    pub(crate) front: Vec<u8>,
    /// Sections for SEV-SNP: address, length, kind.
    pub(crate) snp: Option<Vec<[u32; 3]>>,
    /// Sections for TDX.
    pub(crate) tdx: Option<Vec<TdxSection>>,
    /// Where hashes of a kernel go.
    pub(crate) hashes: Option<u32>,
    /// Where processors but the first start.
    pub(crate) reset: Option<u32>,
}

impl Parts {
    /// For SEV-SNP, with a place for hashes.
    pub(crate) fn snp() -> Self {
        let sections = vec![
            [0x80_0000, 0x9000, 1],
            [0x80_d000, 0x1000, 2],
            [0x80_e000, 0x1000, 3],
            [0x80_f000, 0x1000, 4],
            [0x81_0000, 0x1000, 0x10],
        ];
        Self {
            front: Vec::new(),
            snp: Some(sections),
            tdx: None,
            hashes: Some(0x81_0c00),
            reset: Some(0x80_b004),
        }
    }

    /// For TDX, with sections and variables of firmware that ran on hardware (`tdx-dstack.events.json`).
    pub(crate) fn tdx() -> Self {
        Self::tdx_with(variables())
    }

    /// The same with another volume of variables.
    pub(crate) fn tdx_with(front: Vec<u8>) -> Self {
        let (volume, base) = (front.len() as u64, (1_u64 << 32) - (front.len() + 2 * PAGE) as u64);
        let bytes = u32::try_from(front.len()).unwrap();
        let sections = vec![
            (bytes, 0x2000, base + volume, 0x2000, 0, 1),
            (0, bytes, base, volume, 1, 0),
            (0, 0, 0x81_0000, 0x1_0000, 3, 0),
            (0, 0, 0x80_b000, 0x2000, 3, 0),
            (0, 0, 0x80_9000, 0x2000, 2, 0),
            (0, 0, 0x80_0000, 0x6000, 3, 0),
        ];
        Self { front, snp: None, tdx: Some(sections), hashes: None, reset: None }
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let code = (0..2 * PAGE).map(|at| u8::try_from(at * at % 251).unwrap());
        let mut bytes: Vec<u8> = self.front.iter().copied().chain(code).collect();
        let end = bytes.len();
        let mut table = Vec::new();
        let mut add = |guid: [u8; 16], number: u32| entry(&mut table, guid, &number.to_le_bytes());
        if let Some(reset) = self.reset {
            add(*b"\xde\x71\xf7\x00\x7e\x1a\xcb\x4f\x89\x0e\x68\xc7\x7e\x2f\xb4\x4e", reset);
        }
        if let Some(hashes) = self.hashes {
            add(*b"\x1f\x37\x55\x72\x3b\x3a\x04\x4b\x92\x7b\x1d\xa6\xef\xa8\xd4\x54", hashes);
        }
        if let Some(sections) = &self.snp {
            add(*b"\x66\x65\x88\xdc\x4a\x98\x98\x47\xa7\x5e\x55\x85\xa7\xbf\x67\xcc", SNP_BACK);
            let list = sections.iter().flatten().flat_map(|number| number.to_le_bytes()).collect();
            put(&mut bytes, end - SNP_BACK as usize, &description(b"ASEV", sections.len(), list));
        }
        if let Some(sections) = &self.tdx {
            add(*b"\x35\x65\x7a\xe4\x4a\x98\x98\x47\x86\x5e\x46\x85\xa7\xbf\x8e\xc2", TDX_BACK);
            let list = sections.iter().flat_map(|(from, size, start, length, kind, attributes)| {
                let halves = [from.to_le_bytes(), size.to_le_bytes()].concat();
                let places = [start.to_le_bytes(), length.to_le_bytes()].concat();
                [halves, places, [kind.to_le_bytes(), attributes.to_le_bytes()].concat()].concat()
            });
            put(&mut bytes, end - TDX_BACK as usize, &description(b"TDVF", sections.len(), list.collect()));
        }
        let length = u16::try_from(table.len() + 18).unwrap();
        table.extend_from_slice(&length.to_le_bytes());
        table.extend_from_slice(b"\xde\x82\xb5\x96\xb2\x1f\xf7\x45\xba\xea\xa3\x66\xc5\x5a\x08\x2d");
        put(&mut bytes, end - 32 - table.len(), &table);
        bytes
    }
}

pub(crate) const SNP_BACK: u32 = 2048;
pub(crate) const TDX_BACK: u32 = 1024;

pub(crate) fn put(bytes: &mut [u8], at: usize, content: &[u8]) {
    bytes[at..at + content.len()].copy_from_slice(content);
}

fn entry(table: &mut Vec<u8>, guid: [u8; 16], data: &[u8]) {
    table.extend_from_slice(data);
    table.extend_from_slice(&u16::try_from(data.len() + 18).unwrap().to_le_bytes());
    table.extend_from_slice(&guid);
}

fn description(name: &[u8; 4], count: usize, list: Vec<u8>) -> Vec<u8> {
    let numbers = [16 + list.len(), 1, count].map(|number| u32::try_from(number).unwrap().to_le_bytes());
    [name.to_vec(), numbers.concat(), list].concat()
}

/// The volume of variables of OVMF as it is built, without any variable: two headers in memory that was erased.
pub(crate) fn variables() -> Vec<u8> {
    let mut volume = vec![0xff; 0x8_4000];
    let head = b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x8d\x2b\xf1\xff\x96\x76\x8b\x4c\xa9\x85\x27\x47\x07\x5b\x4f\x50\
        \0\x40\x08\0\0\0\0\0\x5f\x46\x56\x48\xff\xfe\x04\0\x48\0\xaf\xb8\0\0\0\x02\x84\0\0\0\0\x10\0\0\
        \0\0\0\0\0\0\0\0\x78\x2c\xf3\xaa\x7b\x94\x9a\x43\xa1\x80\x2e\x14\x4e\xc3\x77\x92\xb8\xff\x03\0\x5a\xfe\0\0\
        \0\0\0\0";
    let spare = b"\x2b\x29\x58\x9e\x68\x7c\x7d\x49\xa0\xce\x65\0\xfd\x9f\x1b\x95\x2c\xaf\x2c\x64\xfe\xff\xff\xff\xe0\x0f\0\0\0\0\0\0";
    put(&mut volume, 0, head);
    put(&mut volume, 0x4_1000, spare);
    volume
}

/// A kernel of boot protocol 2.15 that is a program with two sections and a signature.
pub(crate) fn kernel() -> Vec<u8> {
    let mut file: Vec<u8> = (0..0x1c08_u32).map(|at| (at % 13) as u8).collect();
    put(&mut file, 0, b"MZ");
    put(&mut file, 0x3c, &0x80_u32.to_le_bytes());
    put(&mut file, 0x80, b"PE\0\0");
    // Two sections; headers that follow have 0xa0 bytes.
    put(&mut file, 0x86, &2_u16.to_le_bytes());
    put(&mut file, 0x94, &0xa0_u16.to_le_bytes());
    put(&mut file, OPTIONAL, &0x20b_u16.to_le_bytes());
    put(&mut file, OPTIONAL + 60, &0x400_u32.to_le_bytes());
    put(&mut file, OPTIONAL + 108, &6_u32.to_le_bytes());
    put(&mut file, CERTIFICATE, &[0x1c00_u32.to_le_bytes(), 8_u32.to_le_bytes()].concat());
    // The second section of the file is listed first.
    for (at, (size, from)) in [(0x0c00_u32, 0x1000_u32), (0x0c00, 0x400)].into_iter().enumerate() {
        let entry = OPTIONAL + 0xa0 + 40 * at;
        put(&mut file, entry + 16, &[size.to_le_bytes(), from.to_le_bytes()].concat());
    }
    put(&mut file, 0x202, b"HdrS\x0f\x02");
    put(&mut file, 0x211, &[1]);
    put(&mut file, 0x236, &0x7f_u16.to_le_bytes());
    file
}

pub(crate) const OPTIONAL: usize = 0x98;
/// Where a program says where its signature is.
pub(crate) const CERTIFICATE: usize = OPTIONAL + 112 + 32;

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
