//! Names and headers of journal files. A name is the time of the file's making and its first sequence,
//! so that a call's id (UUIDv7) finds its file from the folder's listing alone.

use std::path::Path;

use crate::JournalError;

/// Bytes of a file's header; records begin behind it.
pub(crate) const HEADER_BYTES: usize = 128;
/// Format that this program writes.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// Longest instance name, bytes.
pub(crate) const INSTANCE_BYTES_MAX: usize = 64;

/// End of the name of a file that is being made.
pub(crate) const UNFINISHED: &str = ".new";

const MAGIC: &[u8; 8] = b"OAASJRNL";
const EXTENSION: &str = ".journal";

/// What a file's name says. Ordered as the files were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    /// When it was made, Unix milliseconds; later than that of all files before.
    pub unix_ms: u64,
    /// Sequence of its first record. A file before this one counts up to here only, even where it has
    /// more: those records were copied into this file when the disk failed to sync them there.
    pub first_sequence: u64,
}

impl SegmentName {
    pub fn parse(name: &str) -> Option<Self> {
        let (unix_ms, first_sequence) = name.strip_suffix(EXTENSION)?.split_once('-')?;
        if unix_ms.len() != 13 || first_sequence.len() != 20 {
            return None;
        }
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?;
        Some(Self { unix_ms: digits(unix_ms)?, first_sequence: digits(first_sequence)? })
    }

    pub fn file_name(&self) -> String {
        format!("{:013}-{:020}{EXTENSION}", self.unix_ms, self.first_sequence)
    }
}

/// The journal files among some names, in order.
pub(crate) fn segments(names: &[String]) -> Vec<SegmentName> {
    let mut found: Vec<_> = names.iter().filter_map(|name| SegmentName::parse(name)).collect();
    found.sort_unstable();
    found
}

/// The first bytes of a file: magic (8), format version (u32), first sequence (u64), time of making
/// (i64, Unix ns), highest durable sequence at that time (u64), length of the instance name (u8), the name (64),
/// zeros, CRC32C of all this (u32). Numbers are little-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub first_sequence: u64,
    pub created_unix_ns: i64,
    pub durable_sequence: u64,
    pub instance: String,
}

impl Header {
    pub fn encode(&self) -> Vec<u8> {
        let instance = self.instance.as_bytes();
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&self.first_sequence.to_le_bytes());
        out.extend_from_slice(&self.created_unix_ns.to_le_bytes());
        out.extend_from_slice(&self.durable_sequence.to_le_bytes());
        out.push(u8::try_from(instance.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(instance);
        out.resize(HEADER_BYTES - 4, 0);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    /// Reads the header of `file` from its first bytes.
    pub fn decode(bytes: &[u8], file: &Path) -> Result<Self, JournalError> {
        let damaged = |found| JournalError::Damaged { file: file.to_owned(), offset: 0, sequence: 0, found };
        let header = bytes.get(..HEADER_BYTES).ok_or_else(|| damaged("less than a header"))?;
        let mut fields = Fields(header);
        if fields.take::<8>() != *MAGIC {
            return Err(damaged("no journal header"));
        }
        let version = u32::from_le_bytes(fields.take());
        if version > FORMAT_VERSION {
            return Err(JournalError::Format { file: file.to_owned(), version, known: FORMAT_VERSION });
        }
        let (summed, crc) = header.split_at(HEADER_BYTES - 4);
        if crc32c::crc32c(summed).to_le_bytes() != crc {
            return Err(damaged("a header whose checksum does not fit"));
        }
        let first_sequence = u64::from_le_bytes(fields.take());
        let created_unix_ns = i64::from_le_bytes(fields.take());
        let durable_sequence = u64::from_le_bytes(fields.take());
        let [length] = fields.take();
        let name = fields.0.get(..usize::from(length).min(INSTANCE_BYTES_MAX)).unwrap_or_default();
        let instance = String::from_utf8_lossy(name).into_owned();
        Ok(Self { first_sequence, created_unix_ns, durable_sequence, instance })
    }
}

/// Takes fields of fixed size from the front; zeros when there are none left.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            None => [0; N],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_sort_as_made() {
        let early = SegmentName { unix_ms: 1_764_000_000_000, first_sequence: 99 };
        let late = SegmentName { unix_ms: 1_764_000_000_001, first_sequence: 99 };
        assert_eq!(SegmentName::parse(&early.file_name()), Some(early));
        assert!(early.file_name() < late.file_name());
        let names = [late.file_name(), "lock".to_owned(), early.file_name(), "x.journal".to_owned()];
        assert_eq!(segments(&names), [early, late]);
    }

    #[test]
    fn a_header_leads_back_and_any_flipped_bit_is_seen() {
        let header = Header {
            first_sequence: 3,
            created_unix_ns: 1,
            durable_sequence: 2,
            instance: "i".repeat(INSTANCE_BYTES_MAX),
        };
        let bytes = header.encode();
        assert_eq!(bytes.len(), HEADER_BYTES);
        assert_eq!(Header::decode(&bytes, Path::new("f")).unwrap(), header);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&flipped, Path::new("f")).is_err(), "bit {bit}");
        }
    }
}
