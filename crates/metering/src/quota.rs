//! Calls in a calendar period: who may make how many, and how many are left.

use std::fmt;

use oaas_model::Timestamp;
use thiserror::Error;

use crate::calendar::{DAY_MS, MINUTE_MS, Span, floor};

/// A month and a margin: older counts are in no running period.
pub(crate) const KEPT_MS: i64 = 40 * DAY_MS;
/// Moments with a count of their own that one key keeps: a month of days, and the minutes of a replay
/// before the key's offset was known. Beyond it the oldest two become one.
const POINTS_MAX: usize = 1024;

/// A calendar period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// From midnight.
    Day,
    /// From Monday's midnight (ISO 8601).
    Week,
    /// From the first day's midnight.
    Month,
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        })
    }
}

/// Whose calls of what are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QuotaKey<'a> {
    /// Application. Example: "sales-portal".
    pub application: &'a str,
    /// gRPC service. Example: "oaas.channel.v1.RebateService".
    pub service: &'a str,
}

/// How many calls a plan allows. It may change between two calls: what was counted stays counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaLimit {
    /// Calls in the period.
    pub calls: u64,
    /// The period.
    pub period: Period,
    /// Minutes by which the calendar's clock is ahead of UTC. Example: 480 for Shanghai. When it changes,
    /// past calls count for the new day, week or month in which their old day began.
    pub utc_offset_minutes: i32,
}

/// A call that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaTaken {
    /// Calls left in the period.
    pub remaining: u64,
    /// When the next period begins, Unix milliseconds.
    pub resets_at_unix_ms: i64,
}

/// A call that was not counted, because it would be one too many.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{}", match .cause {
    QuotaCause::Used => format!("{used} of {limit} calls are used"),
    QuotaCause::TooManyKeys => "too many applications or services are counted at once".to_owned(),
})]
pub struct QuotaExhausted {
    /// Calls in the period.
    pub limit: u64,
    /// Calls made in it.
    pub used: u64,
    /// When the next period begins, Unix milliseconds.
    pub resets_at_unix_ms: i64,
    /// What there is too little of.
    pub cause: QuotaCause,
}

/// What there is too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaCause {
    /// Calls.
    Used,
    /// Room for keys: what can't be counted is not allowed.
    TooManyKeys,
}

/// The calls of one key, counted at the starts of local days, so that each period is a sum of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    /// Start of the day (or minute) in Unix milliseconds, and calls; sorted. A count can be
    /// negative where a call was given back after the key's offset had changed.
    points: Vec<(i64, i64)>,
    /// The period that was asked for last, with its sum.
    current: Option<Current>,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    limit: QuotaLimit,
    span: Span,
    used: i64,
}

impl Calls {
    /// Counts a call, if there is one left.
    pub fn take(&mut self, limit: &QuotaLimit, now: Timestamp) -> Result<QuotaTaken, QuotaExhausted> {
        let now_ms = now.unix_ms();
        let (used, span) = self.turn_to(limit, now_ms);
        if used >= limit.calls {
            let resets_at_unix_ms = span.end;
            return Err(QuotaExhausted {
                limit: limit.calls,
                used,
                resets_at_unix_ms,
                cause: QuotaCause::Used,
            });
        }
        self.add(Span::of_day(limit.utc_offset_minutes, now_ms).start, 1);
        Ok(QuotaTaken { remaining: limit.calls - used - 1, resets_at_unix_ms: span.end })
    }

    /// Takes back the count of a call that was taken at `taken_at`.
    pub fn give_back(&mut self, limit: &QuotaLimit, taken_at: Timestamp) {
        self.add(Span::of_day(limit.utc_offset_minutes, taken_at.unix_ms()).start, -1);
    }

    /// Adds calls of a moment that the journal or the store tells of: to its local day, or while the offset
    /// is not known to its minute, which lies in one day whatever the offset will be.
    pub fn count_at(&mut self, unix_ms: i64, calls: i64) {
        self.add(self.day_of(unix_ms).unwrap_or_else(|| floor(unix_ms, MINUTE_MS)), calls);
    }

    /// Start of the local day with `unix_ms` in it; `None` while the offset is not known.
    pub fn day_of(&self, unix_ms: i64) -> Option<i64> {
        self.current.map(|current| Span::of_day(current.limit.utc_offset_minutes, unix_ms).start)
    }

    /// Minutes ahead of UTC that were asked for last.
    pub fn offset(&self) -> Option<i32> {
        self.current.map(|current| current.limit.utc_offset_minutes)
    }

    /// The limit that was asked for last, calls used in its period, and when that ends; for listings.
    pub fn usage(&self, now_ms: i64) -> Option<(QuotaLimit, u64, i64)> {
        let limit = self.current?.limit;
        let span = Span::of(limit.period, limit.utc_offset_minutes, now_ms);
        Some((limit, not_negative(self.sum(span)), span.end))
    }

    /// Whether no period that contains `now_ms` has a call.
    pub fn is_idle(&self, now_ms: i64) -> bool {
        self.points.iter().all(|(start, calls)| *calls == 0 || start.saturating_add(KEPT_MS) < now_ms)
    }

    /// Makes the period of `now_ms` the current one; calls used in it, and its span.
    fn turn_to(&mut self, limit: &QuotaLimit, now_ms: i64) -> (u64, Span) {
        if let Some(current) = &mut self.current
            && current.span.contains(now_ms)
            && current.limit.period == limit.period
            && current.limit.utc_offset_minutes == limit.utc_offset_minutes
        {
            current.limit.calls = limit.calls;
            return (not_negative(current.used), current.span);
        }
        self.points.retain(|(start, _)| start.saturating_add(KEPT_MS) >= now_ms);
        let span = Span::of(limit.period, limit.utc_offset_minutes, now_ms);
        let used = self.sum(span);
        self.current = Some(Current { limit: *limit, span, used });
        (not_negative(used), span)
    }

    fn sum(&self, span: Span) -> i64 {
        let within = self.points.iter().filter(|(start, _)| span.contains(*start));
        within.fold(0, |sum, (_, calls)| sum.saturating_add(*calls))
    }

    fn add(&mut self, start: i64, calls: i64) {
        match self.points.binary_search_by_key(&start, |(at, _)| *at) {
            Ok(index) => {
                if let Some((_, count)) = self.points.get_mut(index) {
                    *count = count.saturating_add(calls);
                }
            }
            Err(index) => self.points.insert(index, (start, calls)),
        }
        if self.points.len() > POINTS_MAX {
            self.merge_oldest();
        } else if let Some(current) = self.current.as_mut().filter(|current| current.span.contains(start)) {
            current.used = current.used.saturating_add(calls);
        }
    }

    /// Merges the oldest two points into the later one: a call may then count longer, never shorter.
    fn merge_oldest(&mut self) {
        let (_, calls) = self.points.remove(0);
        if let Some((_, next)) = self.points.first_mut() {
            *next = next.saturating_add(calls);
        }
        if let Some(span) = self.current.map(|current| current.span) {
            let used = self.sum(span);
            self.current = self.current.map(|current| Current { used, ..current });
        }
    }
}

fn not_negative(calls: i64) -> u64 {
    u64::try_from(calls).unwrap_or(0)
}
