//! Hash trees of disks, as Linux checks them (dm-verity).
//!
//! Source: Linux, `Documentation/admin-guide/device-mapper/verity.rst`, version 1 of the format.
//! Deviation: no header on the disk. Where the tree lies, its salt and its root are on the command line, which is measured.
//!
//! # Formal definition
//! Blocks have 4,096 bytes. The hash of a block is SHA-256 of the salt and the block. A level is the hashes of the level below, 128 in a block,
//! zeros behind the last; the lowest is over the content, the highest has one block, whose hash is the root. On the disk the highest comes first.

use sha2::{Digest as _, Sha256};

pub(crate) const BLOCK: usize = 4096;

/// A tree over content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    /// What follows the content on the disk.
    pub(crate) bytes: Vec<u8>,
    pub(crate) root: [u8; 32],
}

/// The tree of content that is whole blocks, at least one.
pub(crate) fn tree(content: &[u8], salt: &[u8; 32]) -> Tree {
    let mut levels: Vec<Vec<u8>> = Vec::new();
    let mut below = content;
    let mut hashes = level(below, salt);
    while below.len() > BLOCK {
        hashes.resize(hashes.len().next_multiple_of(BLOCK), 0);
        let above = level(&hashes, salt);
        levels.push(std::mem::replace(&mut hashes, above));
        below = levels.last().map_or(&[], Vec::as_slice);
    }
    let root = hashes.first_chunk().copied().unwrap_or_default();
    Tree { bytes: levels.into_iter().rev().flatten().collect(), root }
}

fn level(blocks: &[u8], salt: &[u8; 32]) -> Vec<u8> {
    blocks
        .chunks(BLOCK)
        .flat_map(|block| Sha256::new().chain_update(salt).chain_update(block).finalize())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// `for n in 1 2 128 129 16385; do yes tacit | head -c $((4096*n)) > d; veritysetup format --no-superblock --salt SALT d t; sha256sum t; done`
    /// with cryptsetup 2.6.1, where SALT is 000102…1f.
    #[test]
    fn trees_as_another_program_makes_them() {
        let salt: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        for (blocks, root, file) in VECTORS {
            let content: Vec<u8> = b"tacit\n".iter().copied().cycle().take(BLOCK * blocks).collect();
            let tree = tree(&content, &salt);
            assert_eq!(hex(&tree.root), root, "{blocks}");
            assert_eq!(hex(&Sha256::digest(&tree.bytes)), file, "{blocks}");
        }
    }

    const VECTORS: [(usize, &str, &str); 5] = [
        (
            1,
            "03ce8f3229582c9d4081dc9b0ae82aea03e7973e07f880e39ab2a3f3f1ad78a7",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            2,
            "8589b0fabada73f598312f2bac8e76a173eb848846320405ee0e1c64a98887d6",
            "754789b287b119f912c0b32ff619578f4e8c3a19602863d08207d8a709c8bbbc",
        ),
        (
            128,
            "659768a5119bb032e633a0a7f98cf37924920bbd10b1a21c8faefeb5d6dc8711",
            "d5ee959b2b3f859ccd6af41fc9d95ce669923a126fa1cf5da220d2b036dd5266",
        ),
        (
            129,
            "566964767cd8d7a9fc78d590020a0832adaa97effba69164dfc10acd9d9c7e7f",
            "c6d5bc96dc2d876f3f07b00ec4b9504ca3fabeded9060430aaec802e1381a036",
        ),
        (
            16385,
            "556bae22c0190041c301e36921830a49d9128b0bae77e58f68a646e6a6064f43",
            "0e5047de0ddd336117d71024c673c6c8a1761899b0b477edde1fee5844ec86f0",
        ),
    ];
}
