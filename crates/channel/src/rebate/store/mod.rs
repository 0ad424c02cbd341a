//! Plans, facts and the ledger in tables of their own. Plans and facts are kept as the messages that
//! they came as; the columns beside are what queries look at.

mod facts;
mod ledger;
mod moves;
mod plans;
mod settlements;

use std::collections::BTreeSet;

use jiff::civil::Date;
use oaas_proto::oaas::channel::v1 as pb;
use oaas_store::{Store, StoreError};
use prost::Message as _;

use sqlx::SqliteConnection;

use facts::{record_one, select_facts};
use ledger::{
    COLUMNS, Summed, digest, insert_line, read_line, select_balances, select_last, select_standing,
    select_summed,
};
use moves::{insert_move, select_tree};
use plans::{fits, select_first, select_plan, select_plan_on};
pub use settlements::Settlement;
use settlements::{
    insert_settlement, select_accounts, select_after, select_before, select_settlement, select_statement,
    select_statements,
};

use super::refusal::Refusal;
use super::{
    Accrued, CalculateError, ChainMember, Detail, Difference, Entry, Facts, LedgerLine, MemberOutcome, Move,
    Outcome, Payment, Period, Plan, REASON_LINES_MAX, Reason, Sale, SaleReturn, calculate, differences,
    facts_digest, facts_of, settle, wire,
};

/// Versions of one plan.
const VERSIONS_MAX: i64 = 10_000;

const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE channel_plans (
        plan_id TEXT NOT NULL, version INTEGER NOT NULL, effective_from TEXT NOT NULL,
        body BLOB NOT NULL, put_at_ms INTEGER NOT NULL,
        PRIMARY KEY (plan_id, version)) WITHOUT ROWID;
    CREATE TABLE channel_facts (
        plan_id TEXT NOT NULL, event_id TEXT NOT NULL, sale_event_id TEXT, sold_on TEXT NOT NULL,
        amount_minor INTEGER NOT NULL, quantity INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (plan_id, event_id)) WITHOUT ROWID;
    CREATE INDEX channel_facts_by_day ON channel_facts (plan_id, sold_on);
    CREATE INDEX channel_facts_by_sale ON channel_facts (plan_id, sale_event_id)
        WHERE sale_event_id IS NOT NULL;
    CREATE TABLE channel_ledger (
        plan_id TEXT NOT NULL, sequence INTEGER NOT NULL, plan_version INTEGER NOT NULL,
        period_start TEXT NOT NULL, member_id TEXT NOT NULL, amount_minor INTEGER NOT NULL,
        balance_minor INTEGER NOT NULL, posted_at_ms INTEGER NOT NULL, facts_sha256 BLOB NOT NULL,
        previous_sha256 BLOB NOT NULL, line_sha256 BLOB NOT NULL,
        PRIMARY KEY (plan_id, sequence)) WITHOUT ROWID;
    CREATE INDEX channel_ledger_by_member ON channel_ledger (plan_id, period_start, member_id);
",
    "
    ALTER TABLE channel_facts ADD COLUMN payment INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE channel_ledger ADD COLUMN detail BLOB;
    CREATE TABLE channel_moves (
        plan_id TEXT NOT NULL, member_id TEXT NOT NULL, effective_on TEXT NOT NULL,
        parent_id TEXT NOT NULL, grade TEXT NOT NULL,
        PRIMARY KEY (plan_id, member_id, effective_on)) WITHOUT ROWID;
    CREATE TABLE channel_settlements (
        plan_id TEXT NOT NULL, period_start TEXT NOT NULL, through_sequence INTEGER NOT NULL,
        paid_minor INTEGER NOT NULL, carried_minor INTEGER NOT NULL, statement_count INTEGER NOT NULL,
        settled_at_ms INTEGER NOT NULL,
        PRIMARY KEY (plan_id, period_start)) WITHOUT ROWID;
    CREATE TABLE channel_statements (
        plan_id TEXT NOT NULL, period_start TEXT NOT NULL, member_id TEXT NOT NULL,
        carried_minor INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (plan_id, period_start, member_id)) WITHOUT ROWID;
",
];

/// A stored version of a plan.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its number, from 1.
    pub version: i64,
    /// As it came.
    pub wire: pb::Plan,
    /// As the core reads it.
    pub plan: Plan,
}

/// A fact that is to be recorded.
#[derive(Clone, Debug)]
pub struct Recordable {
    /// Plan and fact as they came.
    pub wire: pb::RecordFactsRequest,
    /// As the core reads it.
    pub fact: CoreFact,
}

/// A sale or a return.
#[derive(Clone, Debug)]
pub enum CoreFact {
    /// A sale.
    Sale(Sale),
    /// A return.
    Return(SaleReturn),
    /// A payment.
    Payment(Payment),
}

/// A ledger line and what it rests on.
#[derive(Clone, Debug)]
pub struct Posted {
    /// The line.
    pub line: LedgerLine,
    /// What it rests on; `None` for lines of before this was kept.
    pub detail: Option<pb::LineDetail>,
}

/// Whose lines a calculation is asked for.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Everybody's.
    Everybody,
    /// One member's.
    Member(String),
}

/// How many facts were new, and how many had been recorded before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recorded {
    /// New.
    pub new: i64,
    /// Recorded before.
    pub duplicates: i64,
}

/// What an accrual did.
#[derive(Clone, Debug)]
pub struct Accrual {
    /// The plan that was in force.
    pub stored: Stored,
    /// The lines that were posted.
    pub posted: Vec<Posted>,
    /// What the period now amounts to.
    pub outcome: Outcome,
}

/// The tables.
#[derive(Clone, Debug)]
pub struct RebateStore {
    store: Store,
}

impl RebateStore {
    /// The tables in `store`, made where they are missing.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn open(store: Store) -> Result<Self, StoreError> {
        store.migrate("channel.rebate", MIGRATIONS).await?;
        Ok(Self { store })
    }

    /// Stores a plan as a new version; gives the version, and whether the newest had this content.
    pub async fn put_plan(&self, wire: &pb::Plan, plan: &Plan, now_ms: i64) -> Result<(i64, bool), Refusal> {
        let mut tx = self.store.write().await?;
        let newest = select_plan(&mut tx, &plan.plan_id, VERSIONS_MAX).await?;
        let version = match newest {
            Some(newest) if newest.wire == *wire => return Ok((newest.version, true)),
            Some(newest) => {
                let first = select_plan(&mut tx, &plan.plan_id, 1).await?;
                fits(&newest.plan, first.as_ref().map(|first| first.plan.effective_from), plan)?;
                newest.version + 1
            }
            None => 1,
        };
        if version > VERSIONS_MAX {
            let text = format!("has {VERSIONS_MAX} versions, which is all that one plan may have");
            return Err(Refusal::PlanConflict { plan_id: plan.plan_id.clone(), text });
        }
        sqlx::query(
            "INSERT INTO channel_plans (plan_id, version, effective_from, body, put_at_ms)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&plan.plan_id)
        .bind(version)
        .bind(plan.effective_from.to_string())
        .bind(wire.encode_to_vec())
        .bind(now_ms)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok((version, false))
    }

    /// A version of a plan; 0 means the newest.
    pub async fn plan(&self, plan_id: &str, version: i64) -> Result<Stored, Refusal> {
        let mut connection = self.store.pool().acquire().await?;
        let at_most = if version == 0 { VERSIONS_MAX } else { version };
        let found = select_plan(&mut connection, plan_id, at_most).await?;
        found.filter(|found| version == 0 || found.version == version).ok_or_else(|| Refusal::PlanUnknown {
            plan_id: plan_id.to_owned(),
            version: if version == 0 { "at all".to_owned() } else { version.to_string() },
        })
    }

    /// The version of a plan that a fact of `day` is read by: the one in force, or the first one when
    /// it looks back to days before itself.
    pub async fn plan_for_fact(&self, plan_id: &str, day: Date) -> Result<Stored, Refusal> {
        let mut connection = self.store.pool().acquire().await?;
        match select_plan_on(&mut connection, plan_id, day).await {
            Err(refusal @ Refusal::PlanNotInForce { .. }) => {
                let first = select_first(&mut connection, plan_id).await?;
                let looks_back = |stored: &Stored| {
                    let plan = &stored.plan;
                    let period = plan.period.around(plan.effective_from);
                    plan.looks_at(period)
                        .into_iter()
                        .chain(plan.projects_from(period))
                        .any(|days| days.start <= day)
                };
                first.filter(looks_back).ok_or(refusal)
            }
            other => other,
        }
    }

    /// Records facts, all of them or none.
    pub async fn record(&self, facts: &[Recordable]) -> Result<Recorded, Refusal> {
        let mut tx = self.store.write().await?;
        let mut recorded = Recorded::default();
        for fact in facts {
            if record_one(&mut tx, fact).await? {
                recorded.new += 1;
            } else {
                recorded.duplicates += 1;
            }
        }
        tx.commit().await?;
        Ok(recorded)
    }

    /// The plan in force on `day`, and the facts of its period.
    pub async fn period_facts(&self, plan_id: &str, day: Date) -> Result<(Stored, Facts), Refusal> {
        // One transaction, so that plan and facts are of the same moment.
        let mut tx = self.store.pool().begin().await?;
        let stored = select_plan_on(&mut tx, plan_id, day).await?;
        let ranges = stored.plan.looks_at(stored.plan.period.around(day));
        let facts = select_facts(&mut tx, &stored.plan, &ranges).await?;
        Ok((stored, facts))
    }

    /// The facts recorded under a plan on the days of `ranges`, which do not overlap.
    pub async fn facts_on(&self, plan: &Plan, ranges: &[Period]) -> Result<Facts, Refusal> {
        let mut tx = self.store.pool().begin().await?;
        select_facts(&mut tx, plan, ranges).await
    }

    /// Computes the period of `day` anew, as seen `today`, and posts what changed.
    pub async fn accrue(
        &self,
        plan_id: &str,
        day: Date,
        today: Date,
        now_ms: i64,
    ) -> Result<Accrual, Refusal> {
        let mut tx = self.store.write().await?;
        let accrual = post(&mut tx, plan_id, day, Some(today), now_ms).await?;
        tx.commit().await?;
        Ok(accrual)
    }

    /// Keeps a move; true when it was known.
    pub async fn put_move(&self, request: &pb::MoveMemberRequest, step: &Move) -> Result<bool, Refusal> {
        let mut tx = self.store.write().await?;
        let known = insert_move(&mut tx, request, step).await?;
        tx.commit().await?;
        Ok(known)
    }

    /// Who stands above a member on a day.
    pub async fn chain(&self, plan_id: &str, member: &str, day: Date) -> Result<Vec<ChainMember>, Refusal> {
        let mut connection = self.store.pool().acquire().await?;
        Ok(select_tree(&mut connection, plan_id).await?.chain(member, day))
    }

    /// Settles the period of `day`; true when it had been settled before.
    pub async fn settle(
        &self,
        plan_id: &str,
        day: Date,
        today: Date,
        now_ms: i64,
    ) -> Result<(Stored, Settlement, bool), Refusal> {
        let mut tx = self.store.write().await?;
        let stored = select_plan_on(&mut tx, plan_id, day).await?;
        let period = stored.plan.period.around(day);
        if let Some(settled) = select_settlement(&mut tx, plan_id, period).await? {
            return Ok((stored, settled, true));
        }
        if today <= period.end {
            return Err(Refusal::PeriodOpen { plan_id: plan_id.to_owned(), end: period.end });
        }
        if let Some(later) = select_after(&mut tx, plan_id, period).await? {
            return Err(Refusal::PeriodOrder { plan_id: plan_id.to_owned(), settled: later.period_start });
        }
        // What was expected is over: what is there decides.
        post(&mut tx, plan_id, day, None, now_ms).await?;
        let before = select_before(&mut tx, plan_id, period).await?;
        let accounts = select_accounts(&mut tx, plan_id, period, before.as_ref()).await?;
        let mut statements = Vec::with_capacity(accounts.len());
        let (mut paid, mut carried) = (0i64, 0i64);
        for (member, account) in accounts {
            let settled = settle(account, &stored.plan.payout).ok_or(Refusal::AmountTooLarge)?;
            paid = paid.checked_add(settled.paid).ok_or(Refusal::AmountTooLarge)?;
            carried = carried.checked_add(settled.carried).ok_or(Refusal::AmountTooLarge)?;
            statements.push(wire::statement(&stored.plan, period, &member, &settled, now_ms));
        }
        let settlement = Settlement {
            period_start: period.start.to_string(),
            through_sequence: select_last(&mut tx, plan_id).await?.0,
            paid_minor: paid,
            carried_minor: carried,
            statement_count: i64::try_from(statements.len()).unwrap_or(i64::MAX),
            settled_at_ms: now_ms,
        };
        insert_settlement(&mut tx, plan_id, &settlement, &statements).await?;
        tx.commit().await?;
        Ok((stored, settlement, false))
    }

    /// At most `limit` statements of a settled period, of members after `after`.
    pub async fn statements(
        &self,
        plan_id: &str,
        period: Period,
        after: &str,
        limit: i64,
    ) -> Result<Vec<pb::Statement>, Refusal> {
        let mut connection = self.store.pool().acquire().await?;
        if select_settlement(&mut connection, plan_id, period).await?.is_none() {
            return Err(Refusal::NotSettled { plan_id: plan_id.to_owned(), period_start: period.start });
        }
        select_statements(&mut connection, plan_id, period, after, limit).await
    }

    /// One member's statement of a settled period, at most `limit` of the lines that it sums, and how many
    /// these are.
    pub async fn statement(
        &self,
        plan_id: &str,
        period: Period,
        member_id: &str,
        limit: i64,
    ) -> Result<(pb::Statement, Vec<Posted>, i64), Refusal> {
        let mut tx = self.store.pool().begin().await?;
        let Some(settled) = select_settlement(&mut tx, plan_id, period).await? else {
            return Err(Refusal::NotSettled { plan_id: plan_id.to_owned(), period_start: period.start });
        };
        let Some(statement) = select_statement(&mut tx, plan_id, period, member_id).await? else {
            return Err(Refusal::NoStatement {
                plan_id: plan_id.to_owned(),
                member_id: member_id.to_owned(),
            });
        };
        let before = select_before(&mut tx, plan_id, period).await?;
        let summed = Summed { plan_id, member_id, period, settled: &settled, before: before.as_ref() };
        let (lines, count) = select_summed(&mut tx, summed, limit).await?;
        Ok((statement, lines, count))
    }

    /// At most `limit` lines after `after`, of one member or, when it is empty, of all.
    pub async fn ledger(
        &self,
        plan_id: &str,
        member_id: &str,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Posted>, Refusal> {
        let query = format!(
            "SELECT {COLUMNS} FROM channel_ledger
             WHERE plan_id = $1 AND sequence > $2 AND ($3 = '' OR member_id = $3)
             ORDER BY sequence LIMIT $4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(plan_id)
            .bind(after)
            .bind(member_id)
            .bind(limit)
            .fetch_all(self.store.pool())
            .await?;
        rows.iter().map(read_line).collect()
    }
}

/// Computes the period of `day` anew and posts what changed. An open period is accrued as it is expected
/// on `as_of`.
async fn post(
    tx: &mut SqliteConnection,
    plan_id: &str,
    day: Date,
    as_of: Option<Date>,
    now_ms: i64,
) -> Result<Accrual, Refusal> {
    let stored = select_plan_on(tx, plan_id, day).await?;
    let period = stored.plan.period.around(day);
    let settled = select_settlement(tx, plan_id, period).await?.is_some();
    let as_of = as_of.filter(|as_of| *as_of <= period.end && !settled);
    let mut ranges = stored.plan.looks_at(period);
    ranges.extend(as_of.and_then(|_| stored.plan.projects_from(period)));
    let facts = select_facts(tx, &stored.plan, &ranges).await?;
    let facts_sha256 = facts_digest(&facts);
    let plan = stored.plan.clone();
    let work = move || {
        let accrued = super::accrue(&plan, day, &facts, as_of, Detail::Each(REASON_LINES_MAX));
        (facts, accrued)
    };
    let (facts, accrued) = tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::BrokenOff)?;
    let Accrued { outcome, standings } = accrued.map_err(|error| Refusal::of_recorded(plan_id, error))?;
    let balances = select_balances(tx, plan_id, period).await?;
    let changes = differences(&balances, &outcome).ok_or(Refusal::AmountTooLarge)?;
    let changed: BTreeSet<&str> = changes.iter().map(|change| change.member_id.as_str()).collect();
    let mut events = facts_of(&stored.plan, period, &facts, &changed);
    let (mut sequence, mut previous) = select_last(tx, plan_id).await?;
    let mut posted = Vec::with_capacity(changes.len());
    let nothing = MemberOutcome::default();
    for change in &changes {
        sequence += 1;
        let Difference { member_id, amount_minor, balance_minor } = change;
        let member = outcome.members.get(member_id).unwrap_or(&nothing);
        let (before, expected_before) = select_standing(tx, plan_id, period, member_id).await?;
        let standing = standings.get(member_id).cloned();
        let (event_ids, event_count) = events.remove(member_id.as_str()).unwrap_or_default();
        let reason = Reason {
            lines: member.lines.clone(),
            lines_left_off: member.lines_left_off,
            amount: member.amount,
            event_ids: event_ids.into_iter().map(str::to_owned).collect(),
            event_count,
            tier_before: before.tier,
            true_up: before.true_up(&stored.plan, standing.as_ref()),
            standing,
        };
        let detail = wire::detail(&stored.plan, &reason, expected_before).ok_or(Refusal::AmountTooLarge)?;
        let entry = Entry {
            sequence,
            plan_id: plan_id.to_owned(),
            plan_version: stored.version,
            period_start: period.start,
            member_id: member_id.clone(),
            amount_minor: *amount_minor,
            balance_minor: *balance_minor,
            posted_at_ms: now_ms,
            facts: facts_sha256,
            detail: Some(digest(&detail.encode_to_vec())),
        };
        let line = Posted { line: entry.seal(previous), detail: Some(detail) };
        previous = line.line.hash;
        insert_line(tx, &line).await?;
        posted.push(line);
    }
    Ok(Accrual { stored, posted, outcome })
}

/// Runs the calculation where it doesn't hold up other calls, and gives the facts back.
///
/// # Errors
/// Only when it was broken off; what it says about plan and facts is inside.
pub async fn compute(
    plan: Plan,
    day: Date,
    facts: Facts,
    wanted: Wanted,
) -> Result<(Facts, Result<Outcome, CalculateError>), Refusal> {
    let work = move || {
        let detail = match &wanted {
            Wanted::Everybody => Detail::Everybody,
            Wanted::Member(member_id) => Detail::Member(member_id),
        };
        let outcome = calculate(&plan, day, &facts, detail);
        (facts, outcome)
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::BrokenOff)
}
