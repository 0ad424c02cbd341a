//! Reads one journal file in pieces, also while it grows.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use prost::Message;
use prost::encoding::decode_varint;

use crate::JournalError;
use crate::frame::{self, FRAME_HEAD_BYTES, Parsed, RECORD_BYTES_MAX};
use crate::reader::Entry;
use crate::record::AuditRecord;
use crate::segment::{HEADER_BYTES, Header};

/// Bytes asked for at once: always a whole record, mostly a thousand.
const PIECE_BYTES: usize = RECORD_BYTES_MAX + FRAME_HEAD_BYTES;
/// A record can be seen half written for the time that the system copies it. After so many looks it is
/// not half written but broken.
const LOOKS_MAX: u32 = 5;

/// What comes next in the file.
pub(crate) enum Next {
    /// A whole record with a good checksum, the next in sequence, which is this: [`SegmentReader::body`].
    Record(u64),
    /// Nothing is written there yet, or not all of a record.
    End,
    Broken(JournalError),
}

#[derive(Debug)]
pub(crate) struct SegmentReader {
    file: File,
    path: Arc<Path>,
    limit: Option<u64>,
    next_sequence: u64,
    /// Where the next entry begins in the file.
    offset: u64,
    piece: Vec<u8>,
    /// Where the next entry begins in `piece`.
    at: usize,
    /// Where the last record stands in `piece`.
    body: Range<usize>,
}

impl SegmentReader {
    /// `limit`: the sequence at which the file stops to count, when a later one says so.
    pub fn open(file: File, path: Arc<Path>, limit: Option<u64>) -> Result<Self, JournalError> {
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).map_err(|e| JournalError::io("read", &path, e))?;
        let header = Header::decode(&header, &path)?;
        let offset = u64::try_from(HEADER_BYTES).unwrap_or(u64::MAX);
        let next_sequence = header.first_sequence;
        Ok(Self { file, path, limit, next_sequence, offset, piece: Vec::new(), at: 0, body: 0..0 })
    }

    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    pub fn set_limit(&mut self, limit: Option<u64>) {
        self.limit = limit;
    }

    /// No later record of this file counts.
    pub fn at_limit(&self) -> bool {
        self.limit.is_some_and(|limit| self.next_sequence >= limit)
    }

    /// Goes to the next record.
    pub fn next(&mut self) -> Next {
        if self.at_limit() {
            return Next::End;
        }
        let mut looks = 0;
        loop {
            let bytes = self.piece.get(self.at..).unwrap_or_default();
            let (found, whole) = match frame::parse(bytes) {
                Parsed::Entry(body) => match sequence_of(body) {
                    Some(sequence) if sequence == self.next_sequence => {
                        let length = body.len();
                        self.pass(length);
                        return Next::Record(sequence);
                    }
                    Some(_) => ("a record with another sequence", true),
                    None => ("a record that can't be read", true),
                },
                Parsed::Clear if looks > 0 => return Next::End,
                Parsed::Clear => ("nothing", false),
                Parsed::Short => ("a record that is cut off", false),
                Parsed::Bad(found) => (found, false),
            };
            if looks == LOOKS_MAX {
                // While no later file says where this one ends, its last entry may be under way, or torn by a
                // crash: no later record says that it is on the disk, and no one was told so.
                let last = self.limit.is_none() && !whole && !has_record_behind(bytes);
                return if last { Next::End } else { Next::Broken(self.damaged(found)) };
            }
            if let Err(error) = self.look_again() {
                return Next::Broken(error);
            }
            looks += 1;
        }
    }

    /// The bytes of the record that [`SegmentReader::next`] went to last.
    pub fn body(&self) -> &[u8] {
        self.piece.get(self.body.clone()).unwrap_or_default()
    }

    /// The same, decoded.
    pub fn entry(&self) -> Result<Entry, JournalError> {
        let record = AuditRecord::decode(self.body()).map_err(|_| self.unreadable())?;
        Ok(Entry { record, file: Arc::clone(&self.path), offset: self.body_offset() })
    }

    /// The error for a record whose checksum is good and that is none.
    pub fn unreadable(&self) -> JournalError {
        let (file, offset) = (self.path.to_path_buf(), self.body_offset());
        let sequence = self.next_sequence.saturating_sub(1);
        JournalError::Damaged { file, offset, sequence, found: "a record that can't be read" }
    }

    /// The error for a file that ends before the next one begins.
    pub fn ends_early(&self) -> JournalError {
        self.damaged("the end of the file")
    }

    fn damaged(&self, found: &'static str) -> JournalError {
        let (file, offset, sequence) = (self.path.to_path_buf(), self.offset, self.next_sequence);
        JournalError::Damaged { file, offset, sequence, found }
    }

    fn pass(&mut self, length: usize) {
        let body = self.at + FRAME_HEAD_BYTES;
        self.at = body + length;
        self.body = body..self.at;
        self.offset = self.offset.saturating_add(bytes_of(FRAME_HEAD_BYTES + length));
        self.next_sequence += 1;
    }

    /// Where the last record's entry stands in the file.
    fn body_offset(&self) -> u64 {
        self.offset.saturating_sub(bytes_of(FRAME_HEAD_BYTES + self.body.len()))
    }

    /// Reads the file from the next entry on.
    fn look_again(&mut self) -> Result<(), JournalError> {
        self.piece.resize(PIECE_BYTES, 0);
        self.at = 0;
        self.body = 0..0;
        let mut filled = 0;
        while let Some(rest) = self.piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let from = self.offset.saturating_add(bytes_of(filled));
            match self.file.read_at(rest, from) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(JournalError::io("read", &self.path, error)),
            }
        }
        self.piece.truncate(filled);
        Ok(())
    }
}

/// What a record begins with: the key of its sequence.
const SEQUENCE_KEY: u8 = 0x08;

fn sequence_of(body: &[u8]) -> Option<u64> {
    match body {
        [SEQUENCE_KEY, rest @ ..] => decode_varint(&mut &*rest).ok(),
        _ => frame::peek(body).map(|peek| peek.sequence),
    }
}

/// Whether a whole record stands anywhere behind the first byte. Few places look like the beginning of one and
/// need their checksum computed.
fn has_record_behind(bytes: &[u8]) -> bool {
    let begins = |at: &usize| bytes.get(at + FRAME_HEAD_BYTES) == Some(&SEQUENCE_KEY);
    (1..bytes.len())
        .filter(begins)
        .any(|at| matches!(frame::parse(bytes.get(at..).unwrap_or_default()), Parsed::Entry(_)))
}

fn bytes_of(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
