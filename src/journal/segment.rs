//! Segments: how a file is named, what its first bytes say, and under which label its frames are sealed.

use std::path::{Path, PathBuf};

use crate::journal::frame::checksum;

/// The newest format this version reads. In every format to come, the header is as long as this and
/// ends with its checksum.
pub(super) const FORMAT: u16 = 1;

/// magic, format, node, number, boot, unused, checksum
pub(super) const HEADER_LEN: usize = 8 + 2 + 16 + 8 + 16 + 6 + 8;

const MAGIC: [u8; 8] = *b"tkhvjrn\n";
const EXTENSION: &str = ".journal";
const DIGITS: usize = 10;

/// What the first bytes of a segment say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Who wrote it.
    pub(super) node: u128,
    /// The same as in the file's name.
    pub(super) number: u64,
    /// The run of the machine it was written in; `None` where that has no name.
    pub(super) boot: Option<u128>,
}

/// Why a header cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    Damaged,
    Newer { found: u16 },
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.node.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.boot.unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(&[0; 6]);
        bytes.extend_from_slice(&checksum(&[&bytes]));
        bytes.try_into().expect("the parts add up to the header's length")
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let header: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(HeaderFault::Damaged)?;
        let (content, sum) = header.split_at(HEADER_LEN - 8);
        let rest = content.strip_prefix(&MAGIC).ok_or(HeaderFault::Damaged)?;
        if checksum(&[content]) != sum {
            return Err(HeaderFault::Damaged);
        }
        let (format, rest) = rest.split_first_chunk().expect("the header is long enough");
        let (node, rest) = rest.split_first_chunk().expect("the header is long enough");
        let (number, rest) = rest.split_first_chunk().expect("the header is long enough");
        let boot = rest.first_chunk().expect("the header is long enough");
        match u16::from_le_bytes(*format) {
            FORMAT => Ok(Self {
                node: u128::from_le_bytes(*node),
                number: u64::from_le_bytes(*number),
                boot: Some(u128::from_le_bytes(*boot)).filter(|boot| *boot != 0),
            }),
            found => Err(HeaderFault::Newer { found }),
        }
    }
}

/// The label of a segment's frames. Each segment has a key of its own by it, and with its number going up
/// no key seals more than a segment holds.
pub(super) fn label(node: u128, number: u64) -> String {
    format!("{node:032x}/{number}")
}

/// The file of a segment.
pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:0DIGITS$}{EXTENSION}"))
}

/// The number of the segment with this file name; `None` for any other file.
pub(super) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(EXTENSION)?;
    let plain = digits.len() >= DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

/// The name of this run of the machine; `None` where it has none.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn this_boot() -> Option<u128> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    u128::from_str_radix(&text.trim().replace('-', ""), 16).ok()
}

/// The name of this run of the machine; `None` where it has none.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn this_boot() -> Option<u128> {
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{HEADER_LEN, Header, HeaderFault, number, path};

    const HEADER: Header = Header { node: 7, number: 3, boot: Some(9) };

    #[test]
    fn headers_read_back_and_no_byte_can_be_changed() {
        let bytes = HEADER.encode();

        assert_eq!(Header::decode(&bytes), Ok(HEADER));
        for at in 0..HEADER_LEN {
            let mut changed = bytes;
            changed[at] ^= 1;
            assert_eq!(Header::decode(&changed), Err(HeaderFault::Damaged), "byte {at}");
            assert_eq!(Header::decode(&bytes[..at]), Err(HeaderFault::Damaged), "length {at}");
        }
    }

    #[test]
    fn only_segments_have_a_number() {
        let name = path(Path::new(""), 12);

        assert_eq!(name, Path::new("0000000012.journal"));
        assert_eq!(number("0000000012.journal"), Some(12));
        assert_eq!(number("99999999999.journal"), Some(99_999_999_999));
        for other in ["LOCK", "12.journal", "+000000012.journal", "0000000012.journal.bak"] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
