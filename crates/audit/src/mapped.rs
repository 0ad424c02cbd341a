//! The part of a file that is being written, as memory: a store into a shared mapping survives `kill -9`
//! like a `pwrite` does, and needs no system call. Where that is sound, and why not elsewhere:
//! `docs/decisions/journal-as-memory.md`.

use std::fs::File;
use std::sync::atomic::{Ordering, fence};

use memmap2::{Advice, MmapMut, MmapOptions};
use rustix::io::Errno;

/// Bytes mapped at once: so much is resident at most, and the window moves every thousand calls or so.
const WINDOW_BYTES: u64 = 1024 * 1024;
/// Pages are fetched so many bytes ahead, in one go. What a sync finds of them it writes as zeros, so
/// they are few.
const AHEAD_BYTES: u64 = 32 * 1024;
/// Bytes that become visible last: the length of a journal entry.
const LENGTH_BYTES: usize = 4;
/// Windows begin at multiples of this: the largest page of the machines that we know.
const ALIGNMENT: u64 = 64 * 1024;

/// Writes into the reserved room of a file.
#[derive(Debug)]
pub(crate) struct Mapped {
    /// Bytes from the start of the file that are reserved.
    reserved: u64,
    window: Option<Window>,
}

#[derive(Debug)]
struct Window {
    /// Where it begins in the file.
    start: u64,
    memory: MmapMut,
    /// Up to here, from the window's start, pages were fetched.
    fetched: u64,
}

impl Mapped {
    /// `None` where a store into reserved room could fail: on file systems that copy on write, whose
    /// reservation is no promise, or that lie elsewhere.
    pub fn of(file: &File, reserved: u64) -> Option<Self> {
        // From linux/magic.h. XFS is not among them: a copy by reflink takes its reservation away.
        const EXT4_SUPER_MAGIC: u64 = 0xef53;
        const TMPFS_MAGIC: u64 = 0x0102_1994;
        let kind = u64::try_from(rustix::fs::fstatfs(file).ok()?.f_type).ok()?;
        [EXT4_SUPER_MAGIC, TMPFS_MAGIC].contains(&kind).then(|| Self::anywhere(reserved))
    }

    /// On any file system, for whoever knows that it is sound there.
    pub fn anywhere(reserved: u64) -> Self {
        Self { reserved, window: None }
    }

    /// Writes all bytes, the first four last. `false` when this place can't be written as memory; then
    /// nothing is written.
    pub fn write(&mut self, file: &File, bytes: &[u8], offset: u64) -> bool {
        let Some(end) = u64::try_from(bytes.len()).ok().and_then(|length| offset.checked_add(length)) else {
            return false;
        };
        if end > self.reserved {
            return false;
        }
        if !self.window.as_ref().is_some_and(|window| window.covers(offset, end)) {
            self.window = None;
            self.window =
                Window::open(file, offset, self.reserved).filter(|window| window.covers(offset, end));
        }
        self.window.as_mut().is_some_and(|window| window.write(bytes, offset, end))
    }
}

impl Window {
    /// A window that begins at or shortly before an offset, within the reserved room.
    #[allow(unsafe_code, reason = "a file is mapped; see below")]
    fn open(file: &File, offset: u64, reserved: u64) -> Option<Self> {
        let start = offset - offset % ALIGNMENT;
        let length = usize::try_from(WINDOW_BYTES.min(reserved.checked_sub(start)?)).ok()?;
        // SAFETY: what makes a mapped file unsafe is that its bytes can change while Rust holds a
        // reference to them. Here they are only stored, never read, and by one process at a time, which
        // has the folder's lock. Should somebody cut the file below the window all the same, or the file
        // system die, a store ends the process by SIGBUS; it never reaches other memory.
        let memory = unsafe { MmapOptions::new().offset(start).len(length).map_mut(file) }.ok()?;
        // Else a fault brings a folio of many pages, and each of its pages dirties all of them again: twice
        // the time in the system (ext4 of Linux 6.18). Only speed is at stake.
        let _ = memory.advise(Advice::Random);
        Some(Self { start, memory, fetched: 0 })
    }

    fn covers(&self, offset: u64, end: u64) -> bool {
        let length = u64::try_from(self.memory.len()).unwrap_or(0);
        self.start <= offset && end <= self.start.saturating_add(length)
    }

    fn write(&mut self, bytes: &[u8], offset: u64, end: u64) -> bool {
        let (from, to) = (offset.saturating_sub(self.start), end.saturating_sub(self.start));
        if to > self.fetched && !self.fetch(from, to) {
            return false;
        }
        let (Ok(from), Ok(to)) = (usize::try_from(from), usize::try_from(to)) else { return false };
        let Some(place) = self.memory.get_mut(from..to) else { return false };
        match (place.split_first_chunk_mut::<LENGTH_BYTES>(), bytes.split_first_chunk::<LENGTH_BYTES>()) {
            (Some((place_of_length, place)), Some((length, rest))) => {
                place.copy_from_slice(rest);
                // Who sees the length sees all of which it is the length.
                fence(Ordering::Release);
                *place_of_length = *length;
            }
            _ => place.copy_from_slice(bytes),
        }
        true
    }

    /// Has the pages there, and some behind them, ready for stores. The system says here what it would
    /// else say by SIGBUS. `false` when it says no.
    fn fetch(&mut self, from: u64, to: u64) -> bool {
        let length = u64::try_from(self.memory.len()).unwrap_or(0);
        let until = to.saturating_add(AHEAD_BYTES).min(length);
        let from = self.fetched.max(from);
        let (Ok(at), Ok(bytes)) = (usize::try_from(from), usize::try_from(until.saturating_sub(from))) else {
            return false;
        };
        let fetched = self.memory.advise_range(Advice::PopulateWrite, at, bytes);
        let unknown = Some(Errno::INVAL.raw_os_error());
        match fetched {
            Ok(()) => {}
            // Before Linux 5.14 there is no such request; pages then come one by one.
            Err(error) if error.raw_os_error() == unknown => {}
            Err(_) => return false,
        }
        self.fetched = until;
        true
    }
}
