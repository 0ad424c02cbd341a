//! Plans, facts and the ledger in tables of their own. Plans and facts are kept as the messages that
//! they came as; the columns beside are what queries look at.

mod facts;
mod ledger;
mod plans;

use jiff::civil::Date;
use oaas_proto::oaas::channel::v1 as pb;
use oaas_store::{Store, StoreError};
use prost::Message as _;

use facts::{record_one, select_facts};
use ledger::{insert_line, read_line, select_balances, select_last};
use plans::{fits, select_plan, select_plan_on};

use super::refusal::Refusal;
use super::{
    CalculateError, Detail, Entry, Facts, LedgerLine, Outcome, Plan, Sale, SaleReturn, calculate,
    differences, facts_digest,
};

/// Versions of one plan.
const VERSIONS_MAX: i64 = 10_000;

const MIGRATIONS: &[&str] = &["
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
"];

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
    pub posted: Vec<LedgerLine>,
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

    /// The version of a plan that is in force in the period that holds `day`.
    pub async fn plan_on(&self, plan_id: &str, day: Date) -> Result<Stored, Refusal> {
        let mut connection = self.store.pool().acquire().await?;
        select_plan_on(&mut connection, plan_id, day).await
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
        let facts = select_facts(&mut tx, &stored.plan, stored.plan.period.around(day)).await?;
        Ok((stored, facts))
    }

    /// Computes the period of `day` anew and posts what changed.
    pub async fn accrue(&self, plan_id: &str, day: Date, now_ms: i64) -> Result<Accrual, Refusal> {
        let mut tx = self.store.write().await?;
        let stored = select_plan_on(&mut tx, plan_id, day).await?;
        let period = stored.plan.period.around(day);
        let facts = select_facts(&mut tx, &stored.plan, period).await?;
        let digest = facts_digest(&facts);
        let outcome = compute(stored.plan.clone(), day, facts, None)
            .await?
            .map_err(|error| Refusal::of_recorded(plan_id, error))?;
        let balances = select_balances(&mut tx, plan_id, period).await?;
        let changes = differences(&balances, &outcome).ok_or(Refusal::AmountTooLarge)?;
        let (mut sequence, mut previous) = select_last(&mut tx, plan_id).await?;
        let mut posted = Vec::with_capacity(changes.len());
        for change in changes {
            sequence += 1;
            let entry = Entry {
                sequence,
                plan_id: plan_id.to_owned(),
                plan_version: stored.version,
                period_start: period.start,
                member_id: change.member_id,
                amount_minor: change.amount_minor,
                balance_minor: change.balance_minor,
                posted_at_ms: now_ms,
                facts: digest,
            };
            let line = entry.seal(previous);
            previous = line.hash;
            insert_line(&mut tx, &line).await?;
            posted.push(line);
        }
        tx.commit().await?;
        Ok(Accrual { stored, posted, outcome })
    }

    /// At most `limit` lines after `after`, of one member or, when it is empty, of all.
    pub async fn ledger(
        &self,
        plan_id: &str,
        member_id: &str,
        after: i64,
        limit: i64,
    ) -> Result<Vec<LedgerLine>, Refusal> {
        let rows = sqlx::query(
            "SELECT sequence, plan_id, plan_version, period_start, member_id, amount_minor, balance_minor,
                    posted_at_ms, facts_sha256, previous_sha256, line_sha256
             FROM channel_ledger
             WHERE plan_id = $1 AND sequence > $2 AND ($3 = '' OR member_id = $3)
             ORDER BY sequence LIMIT $4",
        )
        .bind(plan_id)
        .bind(after)
        .bind(member_id)
        .bind(limit)
        .fetch_all(self.store.pool())
        .await?;
        rows.iter().map(read_line).collect()
    }
}

/// Runs the calculation where it doesn't hold up other calls.
///
/// # Errors
/// Only when it was broken off; what it says about plan and facts is inside.
pub async fn compute(
    plan: Plan,
    day: Date,
    facts: Facts,
    detail: Option<String>,
) -> Result<Result<Outcome, CalculateError>, Refusal> {
    let work = move || {
        let detail = match detail.as_deref() {
            None => Detail::Nobody,
            Some("") => Detail::Everybody,
            Some(member_id) => Detail::Member(member_id),
        };
        calculate(&plan, day, &facts, detail)
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::BrokenOff)
}
