//! Where members stand, and since when: moves with their day. A sale's chain is read as it stood on the
//! day of the sale, so a move changes the sales from its day on and no earlier one.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use thiserror::Error;

use super::facts::{CHAIN_MAX, ChainMember, Facts};

/// Moves of one plan.
pub const MOVES_MAX: usize = 50_000;

/// A member's place from a day on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Member.
    pub member_id: String,
    /// First day.
    pub effective_on: Date,
    /// Who stands above it; empty for nobody.
    pub parent_id: String,
    /// Its grade; empty for none.
    pub grade: String,
}

/// Why a member can't be moved.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MoveError {
    /// Another place was said for this day.
    #[error("member {member_id:?} was put elsewhere for {effective_on} already; move it on another day")]
    Conflict {
        /// Member.
        member_id: String,
        /// The day.
        effective_on: Date,
    },
    /// The member would stand above itself.
    #[error("member {member_id:?} would stand above itself on {day}, through {through:?}")]
    Cycle {
        /// Member.
        member_id: String,
        /// First day on which it would.
        day: Date,
        /// Who stands between.
        through: String,
    },
    /// Too many.
    #[error("a plan has at most {MOVES_MAX} moves")]
    TooMany,
}

/// All places of all members over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// Parent and grade by member and first day.
    places: BTreeMap<String, BTreeMap<Date, Place>>,
    moves: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    parent_id: String,
    grade: String,
}

impl Tree {
    /// Puts a member; true when the same had been said before.
    ///
    /// # Errors
    /// Another place for the same day, a member above itself on any day from then on, too many moves. The
    /// tree is then as it was.
    pub fn put(&mut self, step: Move) -> Result<bool, MoveError> {
        let Move { member_id, effective_on, parent_id, grade } = step;
        let place = Place { parent_id, grade };
        match self.places.get(&member_id).and_then(|days| days.get(&effective_on)) {
            Some(known) if *known == place => return Ok(true),
            Some(_) => return Err(MoveError::Conflict { member_id, effective_on }),
            None if self.moves >= MOVES_MAX => return Err(MoveError::TooMany),
            None => {}
        }
        self.places.entry(member_id.clone()).or_default().insert(effective_on, place);
        if let Some((day, through)) = self.cycle(&member_id, effective_on) {
            if let Some(days) = self.places.get_mut(&member_id) {
                days.remove(&effective_on);
            }
            self.places.retain(|_, days| !days.is_empty());
            return Err(MoveError::Cycle { member_id, day, through });
        }
        self.moves += 1;
        Ok(false)
    }

    /// Puts a member where it was put before, without looking again whether it may stand there.
    pub fn put_known(&mut self, step: Move) {
        let Move { member_id, effective_on, parent_id, grade } = step;
        let place = Place { parent_id, grade };
        if self.places.entry(member_id).or_default().insert(effective_on, place).is_none() {
            self.moves += 1;
        }
    }

    /// The first day on which the new place of `member_id` closes a circle. Only days on which somebody
    /// moves can be the first, and only until the member moves again.
    fn cycle(&self, member_id: &str, from: Date) -> Option<(Date, String)> {
        let until = self.places.get(member_id)?.range(from..).nth(1).map(|(day, _)| *day);
        let in_time = |day: &&Date| until.is_none_or(|until| **day < until);
        let later = self.places.values().flat_map(|days| days.range(from..).map(|(day, _)| day));
        let days: BTreeSet<Date> = later.filter(in_time).copied().collect();
        days.into_iter().find_map(|day| {
            let mut below = member_id;
            // A way up without a circle passes no member twice, so it is no longer than there are members.
            for _ in 0..=self.places.len() {
                let parent = &self.place(below, day)?.parent_id;
                if parent == member_id {
                    return Some((day, below.to_owned()));
                }
                below = parent;
            }
            None
        })
    }

    fn place(&self, member_id: &str, day: Date) -> Option<&Place> {
        self.places.get(member_id)?.range(..=day).next_back().map(|(_, place)| place)
    }

    /// `member_id` and who stands above it on `day`, nearest first; at most [`CHAIN_MAX`] members.
    #[must_use]
    pub fn chain(&self, member_id: &str, day: Date) -> Vec<ChainMember> {
        let mut chain: Vec<ChainMember> = Vec::new();
        let mut member_id = member_id;
        while chain.len() < CHAIN_MAX && !member_id.is_empty() {
            let place = self.place(member_id, day);
            let grade = place.map_or(String::new(), |place| place.grade.clone());
            chain.push(ChainMember { member_id: member_id.to_owned(), grade });
            member_id = place.map_or("", |place| &place.parent_id);
        }
        chain
    }

    /// Gives each sale that names only its seller the chain of its day.
    pub fn complete(&self, facts: &mut Facts) {
        for sale in facts.sales.iter_mut().filter(|sale| sale.chain_open) {
            if let Some(seller) = sale.chain.first() {
                sale.chain = self.chain(&seller.member_id, sale.occurred_on);
            }
        }
    }
}
