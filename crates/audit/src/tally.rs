//! Counts instead of records: floods of equal refusals, and `sampled` calls without a record of their
//! own. Exact, and bounded however many names a caller invents.

use std::collections::HashMap;

use oaas_model::Timestamp;

use crate::record::{Gap, Refusal, RefusalSum};

/// Most (application, service, reason) that are told apart in a minute; the rest are one service, "*".
pub(crate) const FLOOD_KEYS_MAX: usize = 4096;
/// Most methods with a gap that are told apart between two flushes; the rest are one method, "*".
pub(crate) const GAP_METHODS_MAX: usize = 4096;

const OTHERS: &str = "*";
const MINUTE_NS: i64 = 60_000_000_000;

/// A count with the time of its first and last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    count: u64,
    first_unix_ns: i64,
    last_unix_ns: i64,
}

impl Span {
    const EMPTY: Self = Self { count: 0, first_unix_ns: i64::MAX, last_unix_ns: i64::MIN };

    fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.first_unix_ns = self.first_unix_ns.min(other.first_unix_ns);
        self.last_unix_ns = self.last_unix_ns.max(other.last_unix_ns);
    }

    fn one(now: Timestamp) -> Self {
        Self { count: 1, first_unix_ns: now.unix_ns, last_unix_ns: now.unix_ns }
    }
}

struct Flood {
    key: FloodKey,
    /// Refusals of this minute that got a record of their own.
    written: u32,
    summed: Span,
}

#[derive(Clone)]
struct FloodKey {
    application: String,
    service: String,
    reason: String,
}

/// Refusals of the current minute by application, service and reason.
pub(crate) struct FloodTally {
    before_sum: u32,
    minute: i64,
    floods: HashMap<String, Flood>,
    name: String,
}

impl FloodTally {
    pub fn new(before_sum: u32) -> Self {
        Self { before_sum, minute: i64::MIN, floods: HashMap::new(), name: String::new() }
    }

    /// Takes note of a refusal. `true`: it gets a record of its own; else it is in the sum.
    pub fn note(&mut self, refusal: &Refusal, now: Timestamp) -> bool {
        let minute = now.unix_ns.div_euclid(MINUTE_NS);
        if minute != self.minute {
            self.minute = minute;
            self.floods.retain(|_, flood| flood.summed.count > 0);
            self.floods.values_mut().for_each(|flood| flood.written = 0);
        }
        let before_sum = self.before_sum;
        let flood = self.flood(refusal);
        if flood.written < before_sum {
            flood.written += 1;
            return true;
        }
        flood.summed.add(Span::one(now));
        false
    }

    /// A refusal that should have got a record and could not: into the sum.
    pub fn note_unwritten(&mut self, refusal: &Refusal, now: Timestamp) {
        self.flood(refusal).summed.add(Span::one(now));
    }

    /// Takes the sums out, to be written.
    pub fn take(&mut self) -> Vec<RefusalSum> {
        let summed = self.floods.values_mut().filter(|flood| flood.summed.count > 0);
        summed
            .map(|flood| {
                let Span { count, first_unix_ns, last_unix_ns } =
                    std::mem::replace(&mut flood.summed, Span::EMPTY);
                RefusalSum {
                    application: flood.key.application.clone(),
                    service: flood.key.service.clone(),
                    reason: flood.key.reason.clone(),
                    count,
                    first_time_unix_ns: first_unix_ns,
                    last_time_unix_ns: last_unix_ns,
                }
            })
            .collect()
    }

    /// Puts a sum back that could not be written.
    pub fn put_back(&mut self, sum: RefusalSum) {
        let span = Span {
            count: sum.count,
            first_unix_ns: sum.first_time_unix_ns,
            last_unix_ns: sum.last_time_unix_ns,
        };
        let key = FloodKey { application: sum.application, service: sum.service, reason: sum.reason };
        write_name(&mut self.name, &key.application, &key.service, &key.reason);
        let name = self.name.clone();
        let flood = self.floods.entry(name).or_insert(Flood { key, written: 0, summed: Span::EMPTY });
        flood.summed.add(span);
    }

    fn flood(&mut self, refusal: &Refusal) -> &mut Flood {
        let (application, service) = refusal
            .head
            .as_ref()
            .map_or(("", ""), |head| (head.application.as_str(), service_of(&head.method)));
        write_name(&mut self.name, application, service, &refusal.reason);
        let (mut application, mut service) = (application, service);
        if self.floods.len() >= FLOOD_KEYS_MAX && !self.floods.contains_key(&self.name) {
            // Applications are those of the callers' file and reasons a closed set; what can be invented
            // is the service. Beyond twice the limit the application is dropped too.
            service = OTHERS;
            if self.floods.len() >= 2 * FLOOD_KEYS_MAX {
                application = OTHERS;
            }
            write_name(&mut self.name, application, service, &refusal.reason);
        }
        let make = || Flood {
            key: FloodKey {
                application: application.to_owned(),
                service: service.to_owned(),
                reason: refusal.reason.clone(),
            },
            written: 0,
            summed: Span::EMPTY,
        };
        self.floods.entry(self.name.clone()).or_insert_with(make)
    }
}

fn write_name(name: &mut String, application: &str, service: &str, reason: &str) {
    name.clear();
    for part in [application, "\0", service, "\0", reason] {
        name.push_str(part);
    }
}

/// "/pkg.Service/Method" to "pkg.Service".
pub(crate) fn service_of(method: &str) -> &str {
    let path = method.strip_prefix('/').unwrap_or(method);
    path.split_once('/').map_or(path, |(service, _)| service)
}

/// Calls of `sampled` methods without a record.
#[derive(Default)]
pub(crate) struct GapTally {
    gaps: HashMap<String, Span>,
}

impl GapTally {
    pub fn note(&mut self, method: &str, now: Timestamp) {
        if let Some(span) = self.gaps.get_mut(method) {
            span.add(Span::one(now));
            return;
        }
        let name = if self.gaps.len() < GAP_METHODS_MAX { method } else { OTHERS };
        self.gaps.entry(name.to_owned()).or_insert(Span::EMPTY).add(Span::one(now));
    }

    pub fn take(&mut self) -> Vec<Gap> {
        let gaps = self.gaps.drain();
        gaps.map(|(method, span)| Gap {
            method,
            count: span.count,
            first_time_unix_ns: span.first_unix_ns,
            last_time_unix_ns: span.last_unix_ns,
        })
        .collect()
    }

    pub fn put_back(&mut self, gap: Gap) {
        let span = Span {
            count: gap.count,
            first_unix_ns: gap.first_time_unix_ns,
            last_unix_ns: gap.last_time_unix_ns,
        };
        self.gaps.entry(gap.method).or_insert(Span::EMPTY).add(span);
    }
}
