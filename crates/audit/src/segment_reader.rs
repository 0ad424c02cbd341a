//! Reads one journal file in pieces, also while it grows.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use prost::Message;

use crate::JournalError;
use crate::frame::{self, FRAME_HEAD_BYTES, Parsed, Peek, RECORD_BYTES_MAX};
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
    Entry(Box<Entry>),
    /// A record that is not wanted; its checksum and its sequence are good.
    Skipped(Peek),
    /// Nothing is written there yet.
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
}

impl SegmentReader {
    /// `limit`: the sequence at which the file stops to count, when a later one says so.
    pub fn open(file: File, path: Arc<Path>, limit: Option<u64>) -> Result<Self, JournalError> {
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).map_err(|e| JournalError::io("read", &path, e))?;
        let header = Header::decode(&header, &path)?;
        let offset = u64::try_from(HEADER_BYTES).unwrap_or(u64::MAX);
        let next_sequence = header.first_sequence;
        Ok(Self { file, path, limit, next_sequence, offset, piece: Vec::new(), at: 0 })
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

    /// The next record, decoded when it is wanted.
    pub fn next(&mut self, wanted: impl Fn(&Peek, &[u8]) -> bool) -> Next {
        if self.at_limit() {
            return Next::End;
        }
        let mut looks = 0;
        loop {
            let found = match frame::parse(self.piece.get(self.at..).unwrap_or_default()) {
                Parsed::Entry(body) => match frame::peek(body) {
                    Some(peek) if peek.sequence != self.next_sequence => "a record with another sequence",
                    Some(peek) if !wanted(&peek, body) => {
                        let length = frame::framed(body);
                        self.advance(length);
                        return Next::Skipped(peek);
                    }
                    Some(_) => match AuditRecord::decode(body) {
                        Ok(record) => {
                            let length = frame::framed(body);
                            let entry = Entry { record, file: Arc::clone(&self.path), offset: self.offset };
                            self.advance(length);
                            return Next::Entry(Box::new(entry));
                        }
                        Err(_) => "a record that can't be read",
                    },
                    None => "a record that can't be read",
                },
                Parsed::Clear if looks > 0 => return Next::End,
                Parsed::Clear => "nothing",
                Parsed::Short => "a record that is cut off",
                Parsed::Bad(found) => found,
            };
            if looks == LOOKS_MAX {
                return Next::Broken(self.damaged(found));
            }
            if let Err(error) = self.look_again() {
                return Next::Broken(error);
            }
            looks += 1;
        }
    }

    /// The error for a file that ends before the next one begins.
    pub fn ends_early(&self) -> JournalError {
        self.damaged("the end of the file")
    }

    fn damaged(&self, found: &'static str) -> JournalError {
        let (file, offset, sequence) = (self.path.to_path_buf(), self.offset, self.next_sequence);
        JournalError::Damaged { file, offset, sequence, found }
    }

    fn advance(&mut self, length: usize) {
        self.at += length;
        self.offset = self.offset.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        self.next_sequence += 1;
    }

    /// Reads the file from the next entry on.
    fn look_again(&mut self) -> Result<(), JournalError> {
        self.piece.resize(PIECE_BYTES, 0);
        self.at = 0;
        let mut filled = 0;
        while let Some(rest) = self.piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let from = self.offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
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
