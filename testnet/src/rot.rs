//! Bits that flip on nodes' disks.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use palimpsest_proto::params::SHARD_BYTES;

use crate::process::Fraction;
use crate::sample::SplitMix64;

/// A slot file's first page; the slots follow (`docs/protocol.md`).
const HEADER_BYTES: usize = 4096;
/// Slots of a file.
const SLOTS: usize = 63;

/// Flips one bit in each of a share of all slots below these nodes' folders, used or not. The same seed hits the same slots.
///
/// # Errors
/// Those of reading and writing.
pub fn flip(folders: impl Iterator<Item = PathBuf>, fraction: Fraction, seed: u64) -> io::Result<()> {
    let mut dice = SplitMix64::new(seed);
    for folder in folders {
        let shards = folder.join("store").join("shards");
        // A node that never held anything has none.
        let Ok(entries) = std::fs::read_dir(&shards) else { continue };
        let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        files.sort();
        for path in files {
            let file = File::options().read(true).write(true).open(path)?;
            for slot in 0..SLOTS {
                let bit = dice.next_u64() % (SHARD_BYTES as u64 * 8);
                if (dice.next_u64() >> 11) as f64 / (1_u64 << 53) as f64 >= fraction.share() {
                    continue;
                }
                let at = (HEADER_BYTES + slot * SHARD_BYTES) as u64 + bit / 8;
                let mut byte = [0];
                file.read_exact_at(&mut byte, at)?;
                byte[0] ^= 1 << (bit % 8);
                file.write_all_at(&byte, at)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{HEADER_BYTES, SHARD_BYTES, SLOTS, flip};
    use crate::process::Fraction;

    #[test]
    fn the_share_is_hit_and_headers_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let shards = dir.path().join("store").join("shards");
        std::fs::create_dir_all(&shards).unwrap();
        std::fs::write(shards.join("0"), vec![0; HEADER_BYTES + SLOTS * SHARD_BYTES]).unwrap();
        let folders = || [dir.path().to_owned(), dir.path().join("no node")].into_iter();
        let bits = || {
            let bytes = std::fs::read(shards.join("0")).unwrap();
            assert!(bytes[..HEADER_BYTES].iter().all(|&byte| byte == 0));
            bytes.iter().map(|byte| byte.count_ones()).sum::<u32>()
        };
        flip(folders(), Fraction::new(0.0).unwrap(), 1).unwrap();
        assert_eq!(bits(), 0);
        flip(folders(), Fraction::new(1.0).unwrap(), 1).unwrap();
        assert_eq!(bits() as usize, SLOTS);
        // The same ones again are as they were.
        flip(folders(), Fraction::new(1.0).unwrap(), 1).unwrap();
        assert_eq!(bits(), 0);
    }
}
