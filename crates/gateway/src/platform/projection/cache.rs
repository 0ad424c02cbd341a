//! Projections that were made before: callers that may see the same services of the same catalog version
//! share one.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use oaas_catalog::{Application, ServiceEntry, Snapshot};
use parking_lot::Mutex;

use super::{Projection, ProjectionError};

/// Projections that are kept; the one that was asked for least recently makes room. There are as many
/// different ones as sets of subscriptions to private services among those who use reflection.
pub const PROJECTIONS_MAX: usize = 64;

type Made = Arc<OnceLock<Result<Arc<Projection>, ProjectionError>>>;

/// The projections of a process.
#[derive(Debug, Default)]
pub struct Projections {
    /// By (version, visible services); the one asked for last is at the end.
    made: Mutex<VecDeque<([u8; 32], Made)>>,
}

impl Projections {
    /// The descriptors of `snapshot` as `caller` (none: anonymous) may see them.
    ///
    /// # Errors
    /// When they can't be projected; that is remembered, too.
    pub fn of(
        &self,
        snapshot: &Snapshot,
        caller: Option<&Application>,
    ) -> Result<Arc<Projection>, ProjectionError> {
        let visible: Vec<Arc<ServiceEntry>> =
            snapshot.services.values().filter(|service| snapshot.visible(service, caller)).cloned().collect();
        // Made outside the lock, so that others' answers don't wait; and once, because all wait for one.
        let made = self.slot(key(&snapshot.version, &visible));
        made.get_or_init(|| Projection::of(&snapshot.descriptors, &visible).map(Arc::new)).clone()
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.made.lock().len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn slot(&self, key: [u8; 32]) -> Made {
        let mut made = self.made.lock();
        let found = made.iter().position(|(there, _)| *there == key).and_then(|at| made.remove(at));
        let (key, slot) = found.unwrap_or_else(|| (key, Made::default()));
        if made.len() >= PROJECTIONS_MAX {
            made.pop_front();
        }
        made.push_back((key, Arc::clone(&slot)));
        slot
    }
}

fn key(version: &str, visible: &[Arc<ServiceEntry>]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in std::iter::once(version).chain(visible.iter().map(|service| &*service.name)) {
        // No name has a zero byte, so no two lists read the same.
        hasher.update(part.as_bytes()).update(&[0]);
    }
    *hasher.finalize().as_bytes()
}
