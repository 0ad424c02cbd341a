//! The sums that go to the store at once, keyed by the names that the batch keeps.

use std::collections::HashSet;

use crate::Mark;
use crate::names::{Hasher, Map, Name, Names};
use crate::usage::Sum;

pub(crate) type CallKey = [u8; 16];

/// Calls of an application to a service, counted under a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CallsKey {
    pub application: Name,
    pub service: Name,
    pub point_ms: i64,
}

/// Money of a budget's key, spent at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MoneyKey {
    pub application: Name,
    pub budget: Name,
    pub key: Name,
    pub point_ms: i64,
}

/// Calls by who, what, how and minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MinuteKey {
    pub application: Name,
    pub method: Name,
    pub currency: Name,
    pub status: u32,
    /// Minute counted from 1970.
    pub minute: i64,
}

/// What an open call is stored as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenRow {
    pub application: Name,
    pub service: Name,
    pub at_ms: i64,
    pub point_ms: i64,
    /// Budget, key, minor units.
    pub stakes: Vec<(Name, Name, i64)>,
}

/// What is added to the store at once.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Counts batches, so that one whose commit was reported as failed is not stored twice.
    pub number: u64,
    /// Last record in it.
    pub mark: Mark,
    /// Those of all keys here.
    pub names: Names,
    pub calls: Map<CallsKey, i64>,
    /// Minor units, and when they leave their window.
    pub money: Map<MoneyKey, (i64, i64)>,
    pub minutes: Map<MinuteKey, Sum>,
    /// Calls under way at its end that are new, or have changed.
    pub opened: Vec<(CallKey, OpenRow)>,
    pub closed: HashSet<CallKey, Hasher>,
}

impl Batch {
    /// How many sums and changes there are.
    pub fn len(&self) -> usize {
        self.calls.len() + self.money.len() + self.minutes.len() + self.opened.len() + self.closed.len()
    }

    /// The same and the names.
    pub fn size(&self) -> usize {
        self.len() + self.names.len()
    }
}
