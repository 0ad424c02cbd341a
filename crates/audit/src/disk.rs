//! The few things that the journal asks of a disk, as a trait: tests put a disk behind it that fails at
//! a chosen operation, or forgets what was not synced.

use std::any::Any;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::mapped::Mapped;

/// A folder's files.
pub trait Disk: Send + Sync + 'static {
    /// Makes the folder and those above it.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the exclusive lock of the folder until the answer is dropped.
    /// [`ErrorKind::WouldBlock`] when another process has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;
    /// Names of the files in the folder, in any order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// The whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Opens a file for writing; with `new`, makes it empty first.
    fn open(&self, path: &Path, new: bool) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name in the same folder, over what had it before.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Brings the folder's names to the disk.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// A file that is being written.
pub trait DiskFile: Send + Sync + 'static {
    /// Writes all bytes at an offset. Where they are stored as memory, the first four become visible last.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Brings data (and the length) to the disk: fdatasync.
    fn sync(&self) -> io::Result<()>;
    /// Reserves room for `length` bytes, zeros, so that a later write needs no new blocks.
    fn preallocate(&self, length: u64) -> io::Result<()>;
    /// Cuts the file.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Has the writes from now on go through memory, where that is sound. Nothing else changes.
    fn map(&self) {}
}

/// The machine's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn open(&self, path: &Path, new: bool) -> io::Result<Arc<dyn DiskFile>> {
        // A file that is mapped must be open for reading as well.
        let file = OpenOptions::new().read(true).write(true).create(new).truncate(new).open(path)?;
        Ok(Arc::new(SystemFile { file, reserved: AtomicU64::new(0), mapped: Mutex::new(None) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

struct SystemFile {
    file: File,
    /// Bytes from its start whose room the file system has promised.
    reserved: AtomicU64,
    mapped: Mutex<Option<Mapped>>,
}

impl DiskFile for SystemFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.mapped.lock().as_mut().is_some_and(|mapped| mapped.write(&self.file, bytes, offset)) {
            return Ok(());
        }
        self.file.write_all_at(bytes, offset)
    }

    /// Mapped pages that were stored to are written as well, and a failed writing of them is told.
    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    #[cfg(target_os = "linux")]
    fn preallocate(&self, length: u64) -> io::Result<()> {
        use rustix::fs::FallocateFlags;
        use rustix::io::Errno;
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, length) {
            // Some file systems can't reserve room; a sparse file works there, only without the promise.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.file.set_len(length),
            other => {
                other?;
                self.reserved.store(length, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn preallocate(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        *self.mapped.lock() = None;
        self.reserved.store(0, Ordering::Relaxed);
        self.file.set_len(length)
    }

    fn map(&self) {
        *self.mapped.lock() = Mapped::of(&self.file, self.reserved.load(Ordering::Relaxed));
    }
}
