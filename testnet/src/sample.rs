//! Sample files: incompressible, the same bytes for the same seed on every machine, and written without being held in
//! memory.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Bytes written or compared at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// SplitMix64 (Steele, Lea, Flood 2014): one number after the other from a 64-bit state. Written out here since its
/// numbers must never change between releases of a library; it keeps no secrets.
#[derive(Debug, Clone)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// The sequence of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number of the sequence.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn fill(&mut self, block: &mut [u8]) {
        for word in block.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            word.copy_from_slice(&bytes[..word.len()]);
        }
    }
}

/// Writes a file of `bytes` bytes drawn from `seed`; whatever was at `path` is replaced.
///
/// # Errors
/// Those of creating and writing the file.
pub fn write(path: &Path, bytes: u64, seed: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    // The length goes into the seed, so that a short sample is not the beginning of a long one: the second publish
    // would otherwise find its content placed already.
    let mut source = SplitMix64::new(seed ^ bytes.rotate_left(32));
    let mut block = vec![0; BLOCK_BYTES];
    let mut left = bytes;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK_BYTES);
        source.fill(&mut block[..now]);
        file.write_all(&block[..now])?;
        left -= now as u64;
    }
    file.flush()
}

/// Whether two files hold the same bytes.
///
/// # Errors
/// Those of opening and reading either.
pub fn same(left: &Path, right: &Path) -> io::Result<bool> {
    let (left, right) = (File::open(left)?, File::open(right)?);
    if left.metadata()?.len() != right.metadata()?.len() {
        return Ok(false);
    }
    let mut left = BufReader::with_capacity(BLOCK_BYTES, left);
    let mut right = BufReader::with_capacity(BLOCK_BYTES, right);
    let (mut here, mut there) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    loop {
        let read = fill_from(&mut left, &mut here)?;
        if read != fill_from(&mut right, &mut there)? || here[..read] != there[..read] {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

/// Bytes `from .. from + bytes` of a file.
///
/// # Errors
/// Those of opening and reading it; its end before the range's is [`io::ErrorKind::UnexpectedEof`].
pub fn part(path: &Path, from: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut part = vec![0; bytes];
    file.read_exact(&mut part)?;
    Ok(part)
}

/// Reads until the block is full or the file ends; returns the bytes read.
fn fill_from(file: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::{SplitMix64, part, same, write};

    #[test]
    fn numbers_are_those_of_the_paper() {
        let mut source = SplitMix64::new(1_234_567);
        assert_eq!(source.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(source.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn one_seed_gives_one_file_and_another_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for bytes in [0, 1, 8, 1021, (1 << 20) + 5] {
            write(&path("a"), bytes, 7).unwrap();
            write(&path("b"), bytes, 7).unwrap();
            assert_eq!(std::fs::metadata(path("a")).unwrap().len(), bytes);
            assert!(same(&path("a"), &path("b")).unwrap());
            write(&path("b"), bytes, 8).unwrap();
            assert_eq!(same(&path("a"), &path("b")).unwrap(), bytes == 0);
        }
        write(&path("b"), (1 << 20) + 6, 7).unwrap();
        assert!(!same(&path("a"), &path("b")).unwrap(), "lengths differ");
    }

    #[test]
    fn a_flipped_last_byte_is_seen_and_parts_are_cut_out() {
        let dir = tempfile::tempdir().unwrap();
        let (whole, damaged) = (dir.path().join("whole"), dir.path().join("damaged"));
        write(&whole, 3 << 20, 1).unwrap();
        let mut bytes = std::fs::read(&whole).unwrap();
        assert_eq!(part(&whole, 1000, 64).unwrap(), &bytes[1000..1064]);
        assert!(part(&whole, (3 << 20) - 1, 2).is_err());
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&damaged, bytes).unwrap();
        assert!(!same(&whole, &damaged).unwrap());
    }
}
