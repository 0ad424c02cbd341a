//! Sales, returns and payments, each once.

use oaas_proto::oaas::channel::v1 as pb;
use oaas_proto::oaas::channel::v1::record_facts_request::Fact;
use prost::Message as _;
use sqlx::{Row as _, SqliteConnection};

use super::super::refusal::Refusal;
use super::super::wire::Reader;
use super::super::{FACTS_MAX, Facts, Parts, Payment, Period, Plan, SaleReturn};
use super::moves::select_tree;
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
        CoreFact::Payment(fact) => (&fact.event_id, 0, 0),
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
        CoreFact::Payment(fact) => {
            let sold_on = allow_payment(connection, plan_id, fact).await?;
            (Some(&fact.sale_event_id), sold_on)
        }
    };
    let payment = i64::from(matches!(fact.fact, CoreFact::Payment(_)));
    sqlx::query(
        "INSERT INTO channel_facts (plan_id, event_id, sale_event_id, sold_on, amount_minor, quantity, body, payment)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(plan_id)
    .bind(event_id)
    .bind(sale_event_id)
    .bind(sold_on)
    .bind(amount)
    .bind(quantity)
    .bind(body)
    .bind(payment)
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
    let event_id = fact.event_id.clone();
    allow_parts(connection, plan_id, fact).await?;
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

/// Whether the sale has as much tax, freight and discount left as comes back.
async fn allow_parts(
    connection: &mut SqliteConnection,
    plan_id: &str,
    fact: &SaleReturn,
) -> Result<(), Refusal> {
    if fact.parts == Parts::default() {
        return Ok(());
    }
    let bodies: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT body FROM channel_facts WHERE plan_id = $1 AND (event_id = $2 OR sale_event_id = $2)",
    )
    .bind(plan_id)
    .bind(&fact.sale_event_id)
    .fetch_all(connection)
    .await?;
    let mut left = [0i128; 3];
    let back = fact.parts;
    let mut add = |parts: Option<pb::Parts>, sign: i128| {
        let parts = parts.unwrap_or_default();
        for (left, minor) in left.iter_mut().zip([parts.tax_minor, parts.freight_minor, parts.discount_minor])
        {
            *left += sign * i128::from(minor);
        }
    };
    for body in bodies {
        let wire = pb::RecordFactsRequest::decode(&*body).map_err(|_| Refusal::Unreadable("fact"))?;
        match wire.fact {
            Some(Fact::Sale(sale)) => add(sale.parts, 1),
            Some(Fact::SaleReturn(earlier)) => add(earlier.parts, -1),
            Some(Fact::Payment(_)) | None => {}
        }
    }
    let back = [back.tax_minor, back.freight_minor, back.discount_minor];
    let named = ["tax", "freight", "discount"].into_iter().zip(back).zip(left);
    for ((name, back), left) in named {
        if i128::from(back) > left {
            let text = format!("takes back {back} minor units of {name}, of which {left} are left");
            return Err(Refusal::ReturnRefused { event_id: fact.event_id.clone(), text });
        }
    }
    Ok(())
}

/// The day of the sale, when it exists and no other payment is of it.
async fn allow_payment(
    connection: &mut SqliteConnection,
    plan_id: &str,
    fact: &Payment,
) -> Result<String, Refusal> {
    let event_id = fact.event_id.clone();
    let sold_on: Option<String> = sqlx::query_scalar(
        "SELECT sold_on FROM channel_facts WHERE plan_id = $1 AND event_id = $2 AND sale_event_id IS NULL",
    )
    .bind(plan_id)
    .bind(&fact.sale_event_id)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(sold_on) = sold_on else {
        return Err(Refusal::SaleUnknown { event_id, sale_event_id: fact.sale_event_id.clone() });
    };
    let other: Option<String> = sqlx::query_scalar(
        "SELECT event_id FROM channel_facts WHERE plan_id = $1 AND sale_event_id = $2 AND payment = 1",
    )
    .bind(plan_id)
    .bind(&fact.sale_event_id)
    .fetch_optional(connection)
    .await?;
    match other {
        Some(other) => Err(Refusal::PaymentRefused { event_id, other }),
        None => Ok(sold_on),
    }
}

/// The facts of the days in `ranges`, which do not overlap; sales without a chain get that of their day.
pub(super) async fn select_facts(
    connection: &mut SqliteConnection,
    plan: &Plan,
    ranges: &[Period],
) -> Result<Facts, Refusal> {
    let mut facts = Facts::default();
    for days in ranges {
        let limit = (FACTS_MAX + 1).saturating_sub(facts.count());
        let rows = sqlx::query(
            "SELECT body FROM channel_facts WHERE plan_id = $1 AND sold_on BETWEEN $2 AND $3
             ORDER BY sold_on, event_id LIMIT $4",
        )
        .bind(&plan.plan_id)
        .bind(days.start.to_string())
        .bind(days.end.to_string())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *connection)
        .await?;
        if rows.len() >= limit {
            return Err(Refusal::FactsTooMany(FACTS_MAX + 1));
        }
        for row in rows {
            read_fact(row.try_get::<&[u8], _>("body")?, plan, &mut facts)?;
        }
    }
    if facts.sales.iter().any(|sale| sale.chain_open) {
        select_tree(connection, &plan.plan_id).await?.complete(&mut facts);
    }
    Ok(facts)
}

fn read_fact(body: &[u8], plan: &Plan, facts: &mut Facts) -> Result<(), Refusal> {
    let unreadable = || Refusal::Unreadable("fact");
    let mut reader = Reader::at("fact");
    match pb::RecordFactsRequest::decode(body).map_err(|_| unreadable())?.fact {
        Some(Fact::Sale(sale)) => {
            let sale = reader.sale(&sale, plan.currency);
            facts.sales.push(reader.finish(sale).map_err(|_| unreadable())?);
        }
        Some(Fact::SaleReturn(fact)) => {
            let fact = reader.sale_return(&fact, plan.currency);
            facts.returns.push(reader.finish(fact).map_err(|_| unreadable())?);
        }
        Some(Fact::Payment(fact)) => {
            let fact = reader.payment(&fact);
            facts.payments.push(reader.finish(fact).map_err(|_| unreadable())?);
        }
        None => return Err(unreadable()),
    }
    Ok(())
}
