//! A disk in memory that fails at chosen operations, forgets what was not synced, and knows what a kernel
//! knows: after a failed fsync the pages are clean and not on the disk.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::disk::{Disk, DiskFile};

/// What a power cut keeps or loses as a whole.
const PAGE_BYTES: usize = 256;

#[derive(Clone)]
pub(super) struct SimDisk(Arc<Mutex<State>>);

struct State {
    names: BTreeMap<PathBuf, Node>,
    durable_names: BTreeMap<PathBuf, Node>,
    operations: u64,
    faults: Range<u64>,
    random: SmallRng,
    /// Somebody synced a file again whose sync had failed.
    pub abused: bool,
}

type Node = Arc<Mutex<Data>>;

#[derive(Clone, Default)]
struct Data {
    /// What a reader sees.
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// Pages that differ.
    dirty: Vec<usize>,
    sync_failed: bool,
}

impl SimDisk {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            operations: 0,
            faults: 0..0,
            random: SmallRng::seed_from_u64(seed),
            abused: false,
        })))
    }

    /// The operations with these numbers fail.
    pub fn fail(&self, operations: Range<u64>) {
        self.0.lock().faults = operations;
    }

    /// The next so many operations fail.
    pub fn fail_next(&self, count: u64) {
        let mut state = self.0.lock();
        state.faults = state.operations..state.operations + count;
    }

    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    pub fn abused(&self) -> bool {
        self.0.lock().abused
    }

    /// The process is gone, the machine is not.
    pub fn kill(&self) {
        let mut state = self.0.lock();
        state.faults = 0..0;
        // Descriptors are new after a kill; what their files hold is not.
        state.names.values().for_each(|node| node.lock().sync_failed = false);
    }

    /// The machine is gone: names as of the last sync of the folder, of each dirty page either version.
    pub fn power_cut(&self) {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        state.faults = 0..0;
        let mut names = BTreeMap::new();
        for (path, node) in &state.durable_names {
            let mut data = node.lock().clone();
            for page in std::mem::take(&mut data.dirty) {
                if state.random.random_bool(0.5) {
                    copy_page(&data.cached, &mut data.durable, page);
                }
            }
            data.cached = data.durable.clone();
            data.sync_failed = false;
            names.insert(path.clone(), Arc::new(Mutex::new(data)));
        }
        state.durable_names = names.clone();
        state.names = names;
    }

    /// Changes a file behind everybody's back.
    pub fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let state = self.0.lock();
        let mut data = state.names[path].lock();
        change(&mut data.cached);
        data.durable = data.cached.clone();
        data.dirty.clear();
    }

    pub fn journal_files(&self) -> Vec<PathBuf> {
        let state = self.0.lock();
        state.names.keys().filter(|p| p.extension().is_some_and(|e| e == "journal")).cloned().collect()
    }

    /// An independent copy.
    pub fn fork(&self) -> Self {
        let state = self.0.lock();
        let copy = Self::new(7);
        for (path, node) in &state.names {
            let node = Arc::new(Mutex::new(node.lock().clone()));
            copy.0.lock().names.insert(path.clone(), Arc::clone(&node));
            copy.0.lock().durable_names.insert(path.clone(), node);
        }
        copy
    }

    /// Writes the files to a real folder.
    pub fn dump(&self, to: &Path) {
        for (path, node) in &self.0.lock().names {
            std::fs::write(to.join(path.file_name().unwrap()), &node.lock().cached).unwrap();
        }
    }

    fn operation(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        let number = state.operations;
        state.operations += 1;
        if state.faults.contains(&number) { Err(io::Error::other("injected")) } else { Ok(()) }
    }

    fn node(&self, path: &Path) -> io::Result<Node> {
        self.0.lock().names.get(path).cloned().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

fn copy_page(from: &[u8], to: &mut Vec<u8>, page: usize) {
    let (start, end) = (page * PAGE_BYTES, ((page + 1) * PAGE_BYTES).min(from.len()));
    if start < end {
        to.resize(to.len().max(end), 0);
        to[start..end].copy_from_slice(&from[start..end]);
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        self.operation()
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.operation()?;
        Ok(Box::new(()))
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        self.operation()?;
        let state = self.0.lock();
        Ok(state.names.keys().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.operation()?;
        Ok(self.node(path)?.lock().cached.clone())
    }

    fn open(&self, path: &Path, new: bool) -> io::Result<Arc<dyn DiskFile>> {
        self.operation()?;
        if new {
            self.0.lock().names.insert(path.to_owned(), Node::default());
        }
        Ok(Arc::new(SimFile { disk: self.clone(), node: self.node(path)? }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operation()?;
        let mut state = self.0.lock();
        let node = state.names.remove(from).ok_or(ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), node);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operation()?;
        self.0.lock().names.remove(path).map(|_| ()).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.operation()?;
        let mut state = self.0.lock();
        state.durable_names = state.names.clone();
        Ok(())
    }
}

struct SimFile {
    disk: SimDisk,
    node: Node,
}

impl DiskFile for SimFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let result = self.disk.operation();
        // A failing write may have written a part, or all.
        let written = match &result {
            Ok(()) => bytes.len(),
            Err(_) => self.disk.0.lock().random.random_range(0..=bytes.len()),
        };
        let mut data = self.node.lock();
        let (start, end) = (usize::try_from(offset).unwrap(), usize::try_from(offset).unwrap() + written);
        let length = data.cached.len().max(end);
        data.cached.resize(length, 0);
        data.cached[start..end].copy_from_slice(&bytes[..written]);
        data.dirty.extend(start / PAGE_BYTES..end.div_ceil(PAGE_BYTES));
        data.dirty.sort_unstable();
        data.dirty.dedup();
        result
    }

    fn sync(&self) -> io::Result<()> {
        let result = self.disk.operation();
        let mut data = self.node.lock();
        if data.sync_failed {
            self.disk.0.lock().abused = true;
        }
        let dirty = std::mem::take(&mut data.dirty);
        if result.is_err() {
            data.sync_failed = true;
            return result;
        }
        let Data { cached, durable, .. } = &mut *data;
        durable.resize(cached.len(), 0);
        dirty.into_iter().for_each(|page| copy_page(cached, durable, page));
        Ok(())
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        self.disk.operation()?;
        let mut data = self.node.lock();
        data.cached.resize(usize::try_from(length).unwrap(), 0);
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.disk.operation()?;
        let length = usize::try_from(length).unwrap();
        let mut data = self.node.lock();
        data.cached.truncate(length);
        data.durable.truncate(length);
        data.dirty.retain(|page| page * PAGE_BYTES < length);
        Ok(())
    }
}
