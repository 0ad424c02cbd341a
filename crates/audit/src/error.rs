//! What can go wrong with the journal, each case with the thing and its value.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

/// Why a journal could not be opened, or a record not be written. Cheap to clone: many calls wait for
/// one sync.
#[derive(Clone, Debug, Error)]
pub enum JournalError {
    /// Another process writes this journal.
    #[error("journal folder {0} is in use by another process: stop it, or choose another data folder")]
    Locked(PathBuf),
    /// An operation on a file failed.
    #[error("can't {operation} {path}: {cause}")]
    Io {
        /// What was tried. Example: "write".
        operation: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        cause: Arc<io::Error>,
    },
    /// A file of the journal is not as it was written. Nothing is repaired by guessing: put the file back
    /// from a copy, or move it away by hand.
    #[error("journal file {file} is damaged at byte {offset}, record {sequence}: {found}")]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it, bytes from its start.
        offset: u64,
        /// Sequence of the record that should stand there.
        sequence: u64,
        /// What was found instead.
        found: &'static str,
    },
    /// A file was written by a later version of this program.
    #[error("journal file {file} has format {version}, this program knows {known}: start a later version")]
    Format {
        /// The file.
        file: PathBuf,
        /// Its format version.
        version: u32,
        /// The newest that this program reads.
        known: u32,
    },
    /// The name in the file `instance` can't be used.
    #[error("instance name {0:?} must be 1 to 64 of the characters a-z, 0-9 and '-'")]
    Instance(String),
    /// The options ask for files that can't hold a record.
    #[error("segment_bytes {0} is too small: at least {1} are needed")]
    SegmentBytes(u64, u64),
    /// A record is longer than a record may be.
    #[error("record of {bytes} bytes is too large: at most {max} are taken")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The disk does not take records just now.
    #[error("journal can't be written: {0}")]
    Failing(String),
    /// The disk is so slow that as much waits for it as may wait.
    #[error("journal is behind: {bytes} bytes wait for the disk, at most {max} may")]
    Behind {
        /// Bytes that wait.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The journal was closed.
    #[error("journal is closed")]
    Closed,
}

impl JournalError {
    pub(crate) fn io(operation: &'static str, path: &Path, cause: io::Error) -> Self {
        Self::Io { operation, path: path.to_owned(), cause: Arc::new(cause) }
    }
}
