//! Amounts by member while they are added up, and the lines that were asked for.

use std::collections::{BTreeMap, HashMap};

use super::calculate::{CalculateError, Detail, LINES_MAX, MemberOutcome};
use super::exact::Rounding;
use super::line::{Line, LineKind};
use super::plan::TierSchedule;
use super::tiers::Volume;

/// Amounts by member while they are added up, and the lines that were asked for.
pub(super) struct Book<'f, 'd> {
    places: HashMap<&'f str, usize>,
    members: Vec<(&'f str, MemberOutcome)>,
    detail: Detail<'d>,
    lines: usize,
    left_off: usize,
}

impl<'f, 'd> Book<'f, 'd> {
    pub(super) fn new(detail: Detail<'d>) -> Self {
        Self { places: HashMap::new(), members: Vec::new(), detail, lines: 0, left_off: 0 }
    }

    /// Whether nobody's lines are wanted.
    pub(super) fn is_bare(&self) -> bool {
        self.detail == Detail::Nobody
    }

    pub(super) fn left_off(&self) -> usize {
        self.left_off
    }

    fn wants(&self, member_id: &str) -> bool {
        match self.detail {
            Detail::Nobody => false,
            Detail::Everybody | Detail::Each(_) => true,
            Detail::Member(wanted) => wanted == member_id,
        }
    }

    pub(super) fn post_tiers(
        &mut self,
        member_id: &'f str,
        schedule: &TierSchedule,
        volume: Volume,
        event_id: Option<&str>,
        rule: Rounding,
    ) -> Result<(), CalculateError> {
        if self.wants(member_id) && self.is_full(member_id) {
            let (amount, lines) = schedule.amount_of(volume, rule).ok_or(CalculateError::Overflow)?;
            if lines > 0 {
                self.add(member_id, amount)?.lines_left_off += lines;
                self.left_off += lines;
            }
            return Ok(());
        }
        if self.wants(member_id) {
            for line in schedule.lines(volume, event_id, rule).ok_or(CalculateError::Overflow)? {
                self.post(member_id, line)?;
            }
            return Ok(());
        }
        let amount = schedule.amount(volume, rule).ok_or(CalculateError::Overflow)?;
        if amount == 0 { Ok(()) } else { self.add(member_id, amount).map(|_| ()) }
    }

    /// Whether a member has all the lines that are kept of it.
    fn is_full(&self, member_id: &str) -> bool {
        let Detail::Each(most) = self.detail else { return false };
        let member = self.places.get(member_id).and_then(|place| self.members.get(*place));
        member.is_some_and(|(_, member)| member.lines.len() >= most)
    }

    pub(super) fn post(&mut self, member_id: &'f str, line: Line) -> Result<(), CalculateError> {
        let keep = line.pay.is_none() || matches!(line.kind, LineKind::Expected { .. });
        self.post_line(member_id, line.amount, keep, || line)
    }

    /// Posts a line that is only made when it is kept.
    pub(super) fn post_with(
        &mut self,
        member_id: &'f str,
        amount: i128,
        line: impl FnOnce() -> Line,
    ) -> Result<(), CalculateError> {
        self.post_line(member_id, amount, false, line)
    }

    fn post_line(
        &mut self,
        member_id: &'f str,
        amount: i128,
        keep: bool,
        line: impl FnOnce() -> Line,
    ) -> Result<(), CalculateError> {
        let wanted = self.wants(member_id);
        let (detail, lines) = (self.detail, self.lines);
        let member = self.add(member_id, amount)?;
        let room = match detail {
            Detail::Each(most) => keep || member.lines.len() < most,
            _ => lines < LINES_MAX,
        };
        if wanted && room {
            member.lines.push(line());
            self.lines += 1;
        } else if wanted {
            member.lines_left_off += 1;
            self.left_off += 1;
        }
        Ok(())
    }

    pub(super) fn add(
        &mut self,
        member_id: &'f str,
        amount: i128,
    ) -> Result<&mut MemberOutcome, CalculateError> {
        let members = &mut self.members;
        let place = *self.places.entry(member_id).or_insert_with(|| {
            members.push((member_id, MemberOutcome::default()));
            members.len() - 1
        });
        let (_, member) = self.members.get_mut(place).ok_or(CalculateError::Overflow)?;
        member.amount = member.amount.checked_add(amount).ok_or(CalculateError::Overflow)?;
        Ok(member)
    }

    /// By id.
    pub(super) fn amounts(&self) -> Vec<(&'f str, i128)> {
        let mut amounts: Vec<_> = self.members.iter().map(|(id, member)| (*id, member.amount)).collect();
        amounts.sort_unstable();
        amounts
    }

    pub(super) fn total(&self) -> Result<i128, CalculateError> {
        let mut amounts = self.members.iter().map(|(_, member)| member.amount);
        amounts.try_fold(0i128, i128::checked_add).ok_or(CalculateError::Overflow)
    }

    pub(super) fn into_members(self) -> BTreeMap<String, MemberOutcome> {
        self.members.into_iter().map(|(id, member)| (id.to_owned(), member)).collect()
    }
}
