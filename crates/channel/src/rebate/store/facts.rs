//! Sales and returns, each once.

use oaas_proto::oaas::channel::v1 as pb;
use oaas_proto::oaas::channel::v1::record_facts_request::Fact;
use prost::Message as _;
use sqlx::{Row as _, SqliteConnection};

use super::super::refusal::Refusal;
use super::super::wire::Reader;
use super::super::{FACTS_MAX, Facts, Period, Plan, SaleReturn};
use super::{CoreFact, Recordable};

/// Records one fact; false when it had been recorded before.
pub(super) async fn record_one(
    connection: &mut SqliteConnection,
    fact: &Recordable,
) -> Result<bool, Refusal> {
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

pub(super) async fn select_facts(
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
