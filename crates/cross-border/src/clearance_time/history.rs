//! What was recorded of shipments, by when it was known: the only source of what a model learns.
//!
//! A record never changes; a later one of the same shipment takes its place. What was known at a moment
//! is found by leaving out every record after it.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;

use super::{HOUR_MS, Observation, Stage, Traits};

/// Shipments held in memory; the ones known longest give way to new ones.
pub const SHIPMENTS_MAX: usize = 200_000;
/// How many give way at once, so that the search for them is rare.
const SHIPMENTS_EVICTED: usize = SHIPMENTS_MAX / 10;
/// Records of one shipment; more than its milestones and a few corrections are an error.
pub const RECORDS_PER_SHIPMENT_MAX: usize = 32;
/// A stage open longer than this is taken for lost, not for slow: two years.
const OPEN_MS_MAX: i64 = 730 * 24 * 3_600_000;

/// A point of a shipment's way, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Order sent to the supplier.
    Ordered,
    /// Goods arrived.
    Arrived,
    /// Declaration lodged.
    Declared,
    /// Released by customs.
    Released,
    /// Left the port.
    GatedOut,
    /// Delivered to the client.
    Delivered,
}

impl Moment {
    /// All moments in their order.
    pub const ALL: [Self; 6] =
        [Self::Ordered, Self::Arrived, Self::Declared, Self::Released, Self::GatedOut, Self::Delivered];

    /// The field's name in the contract.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Ordered => "ordered_at",
            Self::Arrived => "arrived_at",
            Self::Declared => "declared_at",
            Self::Released => "released_at",
            Self::GatedOut => "gated_out_at",
            Self::Delivered => "delivered_at",
        }
    }
}

/// When a shipment passed its moments: Unix milliseconds, in the order of [`Moment::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Milestones(pub [Option<i64>; 6]);

impl Milestones {
    /// When `moment` was, if it has been.
    #[must_use]
    pub fn at(&self, moment: Moment) -> Option<i64> {
        self.0.get(moment as usize).copied().flatten()
    }

    /// The same with `moment` at `unix_ms`.
    #[must_use]
    pub fn with(mut self, moment: Moment, unix_ms: i64) -> Self {
        if let Some(slot) = self.0.get_mut(moment as usize) {
            *slot = Some(unix_ms);
        }
        self
    }

    /// Whether there is a milestone at all, none lies before an earlier one, and none after `known_at_ms`.
    ///
    /// # Errors
    /// Which field is wrong and why.
    pub fn check(&self, known_at_ms: i64) -> Result<(), RecordError> {
        let mut last: Option<(Moment, i64)> = None;
        for moment in Moment::ALL {
            let Some(at) = self.at(moment) else { continue };
            if let Some((before, earliest)) = last.filter(|&(_, earliest)| at < earliest) {
                return Err(RecordError::Order {
                    field: moment.field(),
                    before: before.field(),
                    by_ms: earliest - at,
                });
            }
            last = Some((moment, at));
        }
        match last {
            None => Err(RecordError::Empty),
            Some((moment, at)) if at > known_at_ms => {
                Err(RecordError::Future { field: moment.field(), by_ms: at - known_at_ms })
            }
            Some(_) => Ok(()),
        }
    }

    /// The stage as of `as_of`: its start and, when it has ended by then, its end.
    #[must_use]
    pub fn stage(&self, stage: Stage, as_of: i64) -> Option<(i64, Option<i64>)> {
        let (from, to) = stage.ends();
        let start = self.at(from).filter(|&start| start <= as_of)?;
        Some((start, self.at(to).filter(|&end| end <= as_of)))
    }
}

/// What is wrong with a record.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RecordError {
    /// No milestone.
    #[error("a record needs one milestone or more")]
    Empty,
    /// A milestone that lies after the moment at which it was known.
    #[error("{field} is {by_ms} ms after the moment at which it was known")]
    Future {
        /// The field that is too late.
        field: &'static str,
        /// By how much.
        by_ms: i64,
    },
    /// A milestone before one that must come first.
    #[error("{field} is {by_ms} ms before {before}")]
    Order {
        /// The field that is too early.
        field: &'static str,
        /// The one that it must not precede.
        before: &'static str,
        /// By how much.
        by_ms: i64,
    },
    /// Too many records of one shipment.
    #[error("shipment {0:?} has {RECORDS_PER_SHIPMENT_MAX} records already")]
    TooMany(String),
}

impl RecordError {
    /// The milestone that is wrong, when it is one.
    #[must_use]
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Future { field, .. } | Self::Order { field, .. } => Some(field),
            Self::Empty | Self::TooMany(_) => None,
        }
    }
}

/// What was known of a shipment at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The sender's id of the shipment.
    pub shipment_id: String,
    /// When this was known, Unix milliseconds.
    pub known_at_ms: i64,
    /// The consignment.
    pub traits: Arc<Traits>,
    /// What had happened.
    pub milestones: Milestones,
}

/// What a record brought that was not known of its shipment before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Added {
    /// Stages that it ended.
    pub finished: Vec<Observation>,
    /// Stages that it began and did not end.
    pub begun: usize,
}

/// All records, by shipment.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Each shipment's records in the order in which they were known.
    shipments: HashMap<String, Vec<Record>>,
    /// Number of all records, and their digests taken together (exclusive or, so that order is nothing).
    records: usize,
    digest: u64,
}

impl History {
    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Adds a record, and says which stages it began and ended. A record older than the newest of its
    /// shipment brings nothing new for now, only for the past.
    pub fn add(&mut self, record: Record) -> Added {
        self.make_room();
        let records = self.shipments.entry(record.shipment_id.clone()).or_default();
        let at = records.partition_point(|other| other.known_at_ms <= record.known_at_ms);
        let added = if at == records.len() {
            news(records.last().map(|last| &last.milestones), &record)
        } else {
            Added::default()
        };
        self.records += 1;
        self.digest ^= record.digest();
        records.insert(at, record);
        added
    }

    /// The stage as it was known at `as_of`: finished and still under way, without the lost.
    /// In the order of shipment ids, so that a fit doesn't depend on the order of arrival.
    #[must_use]
    pub fn observations(&self, stage: Stage, as_of: i64) -> Vec<Observation> {
        let mut found: Vec<(&str, Observation)> = self
            .shipments
            .values()
            .filter_map(|records| {
                let known = records.partition_point(|record| record.known_at_ms <= as_of);
                let record = records.get(known.checked_sub(1)?)?;
                Some((record.shipment_id.as_str(), observed(record, stage, as_of)?))
            })
            .collect();
        found.sort_unstable_by_key(|&(id, _)| id);
        found.into_iter().map(|(_, observation)| observation).collect()
    }

    /// Number of all records, and an order-free digest of them.
    #[must_use]
    pub fn version(&self) -> (usize, u64) {
        (self.records, self.digest)
    }

    /// The same of those that were known at `as_of`.
    #[must_use]
    pub fn version_at(&self, as_of: i64) -> (usize, u64) {
        let known = self.shipments.values().flatten().filter(|record| record.known_at_ms <= as_of);
        known.fold((0, 0), |(n, digest), record| (n + 1, digest ^ record.digest()))
    }

    fn make_room(&mut self) {
        if self.shipments.len() < SHIPMENTS_MAX {
            return;
        }
        let mut known: Vec<i64> =
            self.shipments.values().filter_map(|r| Some(r.last()?.known_at_ms)).collect();
        let (_, &mut until, _) = known.select_nth_unstable(SHIPMENTS_EVICTED);
        self.shipments.retain(|_, records| records.last().is_some_and(|r| r.known_at_ms > until));
        (self.records, self.digest) = self.version_at(i64::MAX);
    }
}

impl Record {
    /// A digest of the whole record, the same on every machine (FNV-1a, 64 bits).
    #[must_use]
    pub fn digest(&self) -> u64 {
        let traits = &self.traits;
        let texts = [
            self.shipment_id.as_str(),
            traits.destination.code(),
            traits.origin.as_ref().map_or("", |country| country.code()),
            &traits.origin_site,
            &traits.office,
            traits.mode.map_or("", |mode| mode.name()),
            &traits.hs_code,
            &traits.regime,
            &traits.importer_tier,
            &traits.supplier,
            &traits.product_group,
            &traits.incoterm,
        ];
        let mut digest = Fnv::new();
        for text in texts {
            digest.eat(text.as_bytes());
            digest.eat(&[0xff]);
        }
        // Records of before there was the trait keep their digest.
        if let Some(inspected) = traits.inspected {
            digest.eat(&[0xfe, u8::from(inspected)]);
        }
        digest.eat(&self.known_at_ms.to_be_bytes());
        for at in self.milestones.0 {
            digest.eat(&at.unwrap_or(i64::MIN).to_be_bytes());
        }
        digest.0
    }
}

/// FNV-1a, 64 bits: the same on every machine.
pub(super) struct Fnv(pub(super) u64);

impl Fnv {
    pub(super) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(super) fn eat(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn observed(record: &Record, stage: Stage, as_of: i64) -> Option<Observation> {
    let (start_ms, end) = record.milestones.stage(stage, as_of)?;
    if end.is_none() && as_of - start_ms > OPEN_MS_MAX {
        return None;
    }
    let hours = (end.unwrap_or(as_of) - start_ms) as f64 / HOUR_MS;
    Some(Observation { stage, start_ms, hours, finished: end.is_some(), traits: Arc::clone(&record.traits) })
}

fn news(before: Option<&Milestones>, record: &Record) -> Added {
    let mut added = Added::default();
    for stage in Stage::ALL {
        let (from, to) = stage.ends();
        let had = |moment| before.is_some_and(|milestones| milestones.at(moment).is_some());
        match observed(record, stage, record.known_at_ms) {
            Some(observation) if observation.finished && !(had(from) && had(to)) => {
                added.finished.push(observation);
            }
            Some(observation) if !observation.finished && !had(from) => added.begun += 1,
            _ => {}
        }
    }
    added
}
