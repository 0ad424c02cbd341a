//! Multi-level distribution of one sale over its chain: fixed by position, or differential (级差).

use super::exact::{Exact, Rounding, split};
use super::facts::{ChainMember, NetSale};
use super::line::{Line, LineKind};
use super::plan::{Levels, Pay, SameLevel};

/// Why a sale could not be distributed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LevelsError {
    /// A member within the depth has a grade that the plan doesn't know.
    GradeUnknown {
        /// Position in the chain, from 0.
        place: usize,
        /// The grade.
        grade: String,
    },
    /// Beyond 128 bits.
    Overflow,
}

/// What one position of the chain gets.
struct Share<'a> {
    member: &'a ChainMember,
    kind: LineKind,
    rate_bp: u32,
}

/// What makes the line of a share.
pub(super) struct Draft {
    kind: LineKind,
    rate_bp: u32,
    exact: Exact,
}

impl Draft {
    pub(super) fn line(self, net: &NetSale<'_>, amount: i128) -> Line {
        Line {
            kind: self.kind,
            event_id: Some(net.sale.event_id.clone()),
            base: net.amount_minor.into(),
            pay: Some(Pay::Rate(self.rate_bp)),
            exact: Some(self.exact),
            amount,
        }
    }
}

/// Shares, what each is exactly, and what each is rounded.
type Split<'a> = (Vec<Share<'a>>, Vec<(&'a str, Exact)>, Vec<i128>);

impl Levels {
    /// The line of each member that gets something. Their sum is the exact sum rounded once: for a
    /// differential distribution the highest rate on the chain, and the same-level shares on top.
    ///
    /// # Errors
    /// A grade that the plan doesn't know; an amount beyond 128 bits.
    pub fn lines<'a>(&self, net: &NetSale<'a>, rule: Rounding) -> Result<Vec<(&'a str, Line)>, LevelsError> {
        let drafts = self.drafts(net, rule)?;
        Ok(drafts.map(|(member_id, amount, draft)| (member_id, draft.line(net, amount))).collect())
    }

    /// The member, the amount and what makes the line, of each of [`Levels::lines`].
    pub(super) fn drafts<'a>(
        &self,
        net: &NetSale<'a>,
        rule: Rounding,
    ) -> Result<impl Iterator<Item = (&'a str, i128, Draft)> + use<'a>, LevelsError> {
        let (shares, parts, amounts) = self.split(net, rule)?;
        let drafts = shares.into_iter().zip(parts).zip(amounts);
        Ok(drafts.map(|((share, (member_id, exact)), amount)| {
            (member_id, amount, Draft { kind: share.kind, rate_bp: share.rate_bp, exact })
        }))
    }

    /// Only the amounts of [`Levels::lines`].
    ///
    /// # Errors
    /// As [`Levels::lines`].
    pub fn amounts<'a>(
        &self,
        net: &NetSale<'a>,
        rule: Rounding,
    ) -> Result<impl Iterator<Item = (&'a str, i128)> + use<'a>, LevelsError> {
        let (_, parts, amounts) = self.split(net, rule)?;
        Ok(parts.into_iter().zip(amounts).map(|((member_id, _), amount)| (member_id, amount)))
    }

    fn split<'a>(&self, net: &NetSale<'a>, rule: Rounding) -> Result<Split<'a>, LevelsError> {
        let chain: &'a [ChainMember] = &net.sale.chain;
        let shares = match self {
            Self::Fixed(rates) => fixed(chain, rates),
            Self::Differential { grades, depth_max, same_level } => {
                differential(chain, grades, *depth_max, *same_level)?
            }
        };
        let base = i128::from(net.amount_minor);
        let exact = |share: &Share<'a>| Exact::share(base, share.rate_bp).ok_or(LevelsError::Overflow);
        let parts = shares
            .iter()
            .map(|share| Ok((share.member.member_id.as_str(), exact(share)?)))
            .collect::<Result<Vec<_>, _>>()?;
        let amounts = split(&parts, rule).ok_or(LevelsError::Overflow)?;
        Ok((shares, parts, amounts))
    }

    /// The first member within the depth whose grade the plan doesn't know.
    #[must_use]
    pub fn unknown_grade<'a>(&self, chain: &'a [ChainMember]) -> Option<(usize, &'a str)> {
        let Self::Differential { grades, depth_max, .. } = self else { return None };
        let mut within = chain.iter().take(*depth_max).enumerate();
        within.find_map(|(place, member)| {
            let grade = member.grade.as_str();
            rate_of(grades, grade).is_none().then_some((place, grade))
        })
    }
}

fn fixed<'a>(chain: &'a [ChainMember], rates: &[u32]) -> Vec<Share<'a>> {
    let paid = chain.iter().zip(rates).enumerate().filter(|(_, (_, rate))| **rate > 0);
    paid.map(|(place, (member, rate))| Share {
        member,
        kind: LineKind::Level { level: place + 1, own_bp: *rate, below_bp: 0 },
        rate_bp: *rate,
    })
    .collect()
}

fn differential<'a>(
    chain: &'a [ChainMember],
    grades: &[(String, u32)],
    depth_max: usize,
    same_level: SameLevel,
) -> Result<Vec<Share<'a>>, LevelsError> {
    let mut shares = Vec::new();
    let mut highest = 0;
    let mut same_level_paid = false;
    for (place, member) in chain.iter().take(depth_max).enumerate() {
        let rate = rate_of(grades, &member.grade)
            .ok_or_else(|| LevelsError::GradeUnknown { place, grade: member.grade.clone() })?;
        let level = place + 1;
        if rate > highest {
            let kind = LineKind::Level { level, own_bp: rate, below_bp: highest };
            shares.push(Share { member, kind, rate_bp: rate - highest });
            highest = rate;
        } else if rate == highest && rate > 0 {
            let extra = match same_level {
                SameLevel::Every(extra) => extra,
                SameLevel::Once(extra) if !same_level_paid => extra,
                SameLevel::Once(_) | SameLevel::None => 0,
            };
            if extra > 0 {
                same_level_paid = true;
                shares.push(Share { member, kind: LineKind::SameLevel { level }, rate_bp: extra });
            }
        }
    }
    Ok(shares)
}

/// The rate of a grade; zero for no grade, `None` for one that the plan doesn't know.
fn rate_of(grades: &[(String, u32)], grade: &str) -> Option<u32> {
    if grade.is_empty() {
        return Some(0);
    }
    grades.iter().find(|(known, _)| known == grade).map(|(_, rate)| *rate)
}
