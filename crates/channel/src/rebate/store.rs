//! Plans, facts and the ledger in tables of their own. Plans and facts are kept as the messages that
//! they came as; the columns beside are what queries look at.

use std::collections::BTreeMap;

use jiff::civil::Date;
use oaas_proto::oaas::channel::v1 as pb;
use oaas_proto::oaas::channel::v1::record_facts_request::Fact;
use oaas_store::{Store, StoreError};
use prost::Message as _;
use sqlx::{Row as _, SqliteConnection};

use super::refusal::Refusal;
use super::wire::Reader;
use super::{
    CalculateError, Detail, Entry, FACTS_MAX, Facts, Hash, LedgerLine, NO_HASH, Outcome, Period, Plan, Sale,
    SaleReturn, calculate, differences, facts_digest,
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

/// Whether a later version may follow: what ledger lines hang on stays as it was.
fn fits(newest: &Plan, first_day: Option<Date>, plan: &Plan) -> Result<(), Refusal> {
    let conflict = |text: String| Err(Refusal::PlanConflict { plan_id: plan.plan_id.clone(), text });
    if plan.currency != newest.currency || plan.period != newest.period {
        return conflict("currency and period are those of its first version; put a new plan".to_owned());
    }
    let from = plan.effective_from;
    let start = plan.period.around(from).start;
    if from != start && Some(from) != first_day {
        return conflict(format!(
            "a later version takes effect on the first day of a period, such as {start}, not on {from}"
        ));
    }
    Ok(())
}

/// The newest version up to `at_most`.
async fn select_plan(
    connection: &mut SqliteConnection,
    plan_id: &str,
    at_most: i64,
) -> Result<Option<Stored>, Refusal> {
    let row = sqlx::query(
        "SELECT version, body FROM channel_plans WHERE plan_id = $1 AND version <= $2
         ORDER BY version DESC LIMIT 1",
    )
    .bind(plan_id)
    .bind(at_most)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(read_plan).transpose()
}

async fn select_plan_on(
    connection: &mut SqliteConnection,
    plan_id: &str,
    day: Date,
) -> Result<Stored, Refusal> {
    let newest = select_plan(connection, plan_id, VERSIONS_MAX).await?;
    let unknown = || Refusal::PlanUnknown { plan_id: plan_id.to_owned(), version: "at all".to_owned() };
    // Every version has the same kind of period, and later ones begin with a period.
    let end = newest.ok_or_else(unknown)?.plan.period.around(day).end;
    let row = sqlx::query(
        "SELECT version, body FROM channel_plans WHERE plan_id = $1 AND effective_from <= $2
         ORDER BY version DESC LIMIT 1",
    )
    .bind(plan_id)
    .bind(end.to_string())
    .fetch_optional(connection)
    .await?;
    let found = row.as_ref().map(read_plan).transpose()?;
    found.ok_or_else(|| Refusal::PlanNotInForce { plan_id: plan_id.to_owned(), day: day.to_string() })
}

fn read_plan(row: &sqlx::sqlite::SqliteRow) -> Result<Stored, Refusal> {
    let unreadable = || Refusal::Unreadable("plan");
    let wire = pb::Plan::decode(row.try_get::<&[u8], _>("body")?).map_err(|_| unreadable())?;
    let mut reader = Reader::at("plan");
    let plan = reader.plan(&wire);
    let plan = reader.finish(plan).map_err(|_| unreadable())?;
    Ok(Stored { version: row.try_get("version")?, wire, plan })
}

/// Records one fact; false when it had been recorded before.
async fn record_one(connection: &mut SqliteConnection, fact: &Recordable) -> Result<bool, Refusal> {
    let plan_id = &fact.wire.plan_id;
    let (event_id, amount, quantity) = match &fact.fact {
        CoreFact::Sale(sale) => (&sale.event_id, sale.amount_minor, sale.quantity),
        CoreFact::Return(fact) => (&fact.event_id, fact.amount_minor, fact.quantity),
    };
    let body = fact.wire.encode_to_vec();
    let before: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT body FROM channel_facts WHERE plan_id = $1 AND event_id = $2")
            .bind(plan_id)
            .bind(event_id)
            .fetch_optional(&mut *connection)
            .await?;
    if let Some(before) = before {
        let same = before == body;
        return if same { Ok(false) } else { Err(Refusal::EventIdReused { event_id: event_id.clone() }) };
    }
    let (sale_event_id, sold_on) = match &fact.fact {
        CoreFact::Sale(sale) => (None, sale.occurred_on.to_string()),
        CoreFact::Return(fact) => {
            let sold_on = allow_return(connection, plan_id, fact).await?;
            (Some(&fact.sale_event_id), sold_on)
        }
    };
    sqlx::query(
        "INSERT INTO channel_facts (plan_id, event_id, sale_event_id, sold_on, amount_minor, quantity, body)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(plan_id)
    .bind(event_id)
    .bind(sale_event_id)
    .bind(sold_on)
    .bind(amount)
    .bind(quantity)
    .bind(body)
    .execute(connection)
    .await?;
    Ok(true)
}

/// The day of the sale, when it can be returned so far.
async fn allow_return(
    connection: &mut SqliteConnection,
    plan_id: &str,
    fact: &SaleReturn,
) -> Result<String, Refusal> {
    let sale = sqlx::query(
        "SELECT s.sold_on AS sold_on,
                s.amount_minor - COALESCE(SUM(r.amount_minor), 0) AS amount_left,
                s.quantity - COALESCE(SUM(r.quantity), 0) AS quantity_left
         FROM channel_facts s
         LEFT JOIN channel_facts r ON r.plan_id = s.plan_id AND r.sale_event_id = s.event_id
         WHERE s.plan_id = $1 AND s.event_id = $2 AND s.sale_event_id IS NULL
         GROUP BY s.plan_id, s.event_id",
    )
    .bind(plan_id)
    .bind(&fact.sale_event_id)
    .fetch_optional(connection)
    .await?;
    let event_id = fact.event_id.clone();
    let Some(sale) = sale else {
        return Err(Refusal::SaleUnknown { event_id, sale_event_id: fact.sale_event_id.clone() });
    };
    let sold_on: String = sale.try_get("sold_on")?;
    let (amount, quantity): (i64, i64) = (sale.try_get("amount_left")?, sale.try_get("quantity_left")?);
    if fact.amount_minor > amount || fact.quantity > quantity {
        let text = format!(
            "takes back {} minor units and {} units, of which {amount} and {quantity} are left",
            fact.amount_minor, fact.quantity
        );
        return Err(Refusal::ReturnRefused { event_id, text });
    }
    if fact.occurred_on.to_string() < sold_on {
        let text = format!("{} is before the sale of {sold_on}", fact.occurred_on);
        return Err(Refusal::ReturnRefused { event_id, text });
    }
    Ok(sold_on)
}

async fn select_facts(
    connection: &mut SqliteConnection,
    plan: &Plan,
    period: Period,
) -> Result<Facts, Refusal> {
    let limit = FACTS_MAX + 1;
    let rows = sqlx::query(
        "SELECT body FROM channel_facts WHERE plan_id = $1 AND sold_on BETWEEN $2 AND $3 LIMIT $4",
    )
    .bind(&plan.plan_id)
    .bind(period.start.to_string())
    .bind(period.end.to_string())
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    if rows.len() >= limit {
        return Err(Refusal::FactsTooMany(rows.len()));
    }
    let mut facts = Facts::default();
    let unreadable = || Refusal::Unreadable("fact");
    for row in rows {
        let wire = pb::RecordFactsRequest::decode(row.try_get::<&[u8], _>("body")?);
        let mut reader = Reader::at("fact");
        match wire.map_err(|_| unreadable())?.fact {
            Some(Fact::Sale(sale)) => {
                let sale = reader.sale(&sale, plan.currency);
                facts.sales.push(reader.finish(sale).map_err(|_| unreadable())?);
            }
            Some(Fact::SaleReturn(fact)) => {
                let fact = reader.sale_return(&fact, plan.currency);
                facts.returns.push(reader.finish(fact).map_err(|_| unreadable())?);
            }
            None => return Err(unreadable()),
        }
    }
    Ok(facts)
}

async fn select_balances(
    connection: &mut SqliteConnection,
    plan_id: &str,
    period: Period,
) -> Result<BTreeMap<String, i64>, Refusal> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT member_id, SUM(amount_minor) FROM channel_ledger
         WHERE plan_id = $1 AND period_start = $2 GROUP BY member_id",
    )
    .bind(plan_id)
    .bind(period.start.to_string())
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().collect())
}

/// Sequence and hash of the last line; zeros before the first.
async fn select_last(connection: &mut SqliteConnection, plan_id: &str) -> Result<(i64, Hash), Refusal> {
    let row = sqlx::query(
        "SELECT sequence, line_sha256 FROM channel_ledger WHERE plan_id = $1 ORDER BY sequence DESC LIMIT 1",
    )
    .bind(plan_id)
    .fetch_optional(connection)
    .await?;
    match row {
        Some(row) => Ok((row.try_get("sequence")?, read_hash(&row, "line_sha256")?)),
        None => Ok((0, NO_HASH)),
    }
}

async fn insert_line(connection: &mut SqliteConnection, line: &LedgerLine) -> Result<(), Refusal> {
    let entry = &line.entry;
    sqlx::query(
        "INSERT INTO channel_ledger (plan_id, sequence, plan_version, period_start, member_id, amount_minor,
             balance_minor, posted_at_ms, facts_sha256, previous_sha256, line_sha256)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(&entry.plan_id)
    .bind(entry.sequence)
    .bind(entry.plan_version)
    .bind(entry.period_start.to_string())
    .bind(&entry.member_id)
    .bind(entry.amount_minor)
    .bind(entry.balance_minor)
    .bind(entry.posted_at_ms)
    .bind(entry.facts.as_slice())
    .bind(line.previous.as_slice())
    .bind(line.hash.as_slice())
    .execute(connection)
    .await?;
    Ok(())
}

fn read_line(row: &sqlx::sqlite::SqliteRow) -> Result<LedgerLine, Refusal> {
    let period_start: &str = row.try_get("period_start")?;
    Ok(LedgerLine {
        entry: Entry {
            sequence: row.try_get("sequence")?,
            plan_id: row.try_get("plan_id")?,
            plan_version: row.try_get("plan_version")?,
            period_start: period_start.parse().map_err(|_| Refusal::Unreadable("ledger line"))?,
            member_id: row.try_get("member_id")?,
            amount_minor: row.try_get("amount_minor")?,
            balance_minor: row.try_get("balance_minor")?,
            posted_at_ms: row.try_get("posted_at_ms")?,
            facts: read_hash(row, "facts_sha256")?,
        },
        previous: read_hash(row, "previous_sha256")?,
        hash: read_hash(row, "line_sha256")?,
    })
}

fn read_hash(row: &sqlx::sqlite::SqliteRow, column: &str) -> Result<Hash, Refusal> {
    row.try_get::<&[u8], _>(column)?.try_into().map_err(|_| Refusal::Unreadable("hash"))
}
