//! A day of orders: what a shop asks of the platform, hour by hour.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::ProgressBar;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

use super::caller::{Client, End};
use super::carrier::Carrier;
use crate::cli::Output;

/// Orders of each hour in a thousand: the shape of a real shop's day (Olist, purchases by hour), quietest
/// from four to five at night, busiest at eleven.
const HOURS: [u32; 24] =
    [24, 12, 5, 3, 2, 2, 5, 12, 30, 49, 63, 70, 61, 66, 68, 65, 67, 62, 58, 60, 62, 61, 58, 35];
/// Shop workers, each with one order at a time.
const WORKERS: usize = 16;
/// When the carrier fails.
const OUTAGE: std::ops::Range<usize> = 14..16;
/// Where orders go, and from where goods come.
const COUNTRIES: [&str; 6] = ["CN", "CN", "CN", "DE", "US", "BR"];

/// The plant of the demo: a bicycle of a frame and two wheels, made on one line or bought.
pub fn master_data() -> Value {
    let week: Vec<Value> = (1..=6)
        .map(|weekday| json!({ "weekday": weekday, "hours": { "from_minute": 480, "to_minute": 1200 } }))
        .collect();
    json!({
        "plant": "demo-plant", "currency": "CNY", "time_zone": "Asia/Shanghai",
        "items": [
            { "item_id": "bike-city", "unit": "piece", "unit_cost_minor": "60000",
              "make": { "operations": [{ "work_center_id": "assembly", "setup_minutes": 10, "run_seconds": 120 }],
                        "setup_cost_minor": "8000", "unit_cost_minor": "6000" },
              "buy": { "supplier_id": "complete-bikes", "lead_time_days": 10, "order_cost_minor": "5000",
                       "unit_price_minor": "82000" } },
            { "item_id": "frame", "unit": "piece", "unit_cost_minor": "30000",
              "buy": { "supplier_id": "taicang-steel", "lead_time_days": 4, "order_cost_minor": "2000",
                       "unit_price_minor": "30000" } },
            { "item_id": "wheel-28", "unit": "piece", "unit_cost_minor": "9000",
              "lot": { "policy": "LOT_POLICY_WAGNER_WHITIN", "quantity_multiple": "10" },
              "buy": { "supplier_id": "rim-and-hub", "lead_time_days": 3, "order_cost_minor": "3000",
                       "unit_price_minor": "9000" } },
        ],
        "bills": [{ "item_id": "bike-city", "components": [
            { "item_id": "frame", "quantity": "1" }, { "item_id": "wheel-28", "quantity": "2" } ] }],
        "work_centers": [{ "work_center_id": "assembly", "machines": 4, "shifts": week }],
        "stocks": [{ "item_id": "bike-city", "on_hand": "3000" }, { "item_id": "wheel-28", "on_hand": "400" }],
    })
}

/// Clearances of the weeks before, so that predictions rest on something.
pub fn clearances() -> Vec<Value> {
    let mut random = SmallRng::seed_from_u64(7);
    (0..240)
        .map(|n| {
            let country = COUNTRIES.get(n % COUNTRIES.len()).copied().unwrap_or("CN");
            let hours = match country {
                "DE" => 6.0,
                "US" => 14.0,
                "BR" => 60.0,
                _ => 30.0,
            } * (0.5 + random.random::<f64>() * 1.5);
            let (day, minutes) = (1 + n % 28, (hours * 60.0) as u64);
            let released = format!(
                "2026-{:02}-{:02}T{:02}:{:02}:00Z",
                10,
                day as u64 + (8 * 60 + minutes) / 1440,
                (8 * 60 + minutes) / 60 % 24,
                minutes % 60
            );
            let declared = format!("2026-10-{day:02}T08:00:00Z");
            json!({
                "shipment_id": format!("demo-{n}"),
                "consignment": { "destination_country": country, "office": format!("{country}-1"),
                                 "transport_mode": "TRANSPORT_MODE_SEA" },
                "milestones": { "declared_at": declared, "released_at": clamp(&released) },
                "observed_at": "2026-11-10T00:00:00Z",
            })
        })
        .collect()
}

/// October has no day beyond its 31st.
fn clamp(time: &str) -> String {
    match time.get(8..10).and_then(|day| day.parse::<u32>().ok()) {
        Some(day) if day > 31 => format!("2026-11-{:02}{}", day - 31, time.get(10..).unwrap_or_default()),
        _ => time.to_owned(),
    }
}

/// Plays the day: `orders` of them, spread over the hours.
///
/// # Errors
/// When a request does not fit its method.
pub async fn play(
    shop: &Client,
    supplier: &Client,
    carrier: &Carrier,
    orders: usize,
    bar: &ProgressBar,
    output: Output,
) -> anyhow::Result<()> {
    let total: u32 = HOURS.iter().sum();
    let mut first = 0;
    for (hour, weight) in HOURS.iter().enumerate() {
        carrier.fail(OUTAGE.contains(&hour));
        let what = if OUTAGE.contains(&hour) {
            output.say("the carrier fails", "承运商故障")
        } else {
            output.say("orders come in", "订单到达")
        };
        bar.set_message(format!("{hour:02}:00  {what}"));
        let count = orders * *weight as usize / total as usize;
        play_hour(shop, supplier, first, count, bar).await?;
        first += count;
    }
    carrier.fail(false);
    Ok(())
}

async fn play_hour(
    shop: &Client,
    supplier: &Client,
    first: usize,
    count: usize,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = tokio::task::JoinSet::<anyhow::Result<()>>::new();
    for _ in 0..WORKERS.min(count) {
        let (shop, supplier, next, bar) = (shop.clone(), supplier.clone(), Arc::clone(&next), bar.clone());
        workers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return Ok(());
                }
                order(&shop, &supplier, first + n).await?;
                bar.inc(1);
            }
        });
    }
    while let Some(done) = workers.join_next().await {
        done??;
    }
    Ok(())
}

/// What one order asks for.
async fn order(shop: &Client, supplier: &Client, n: usize) -> anyhow::Result<()> {
    let mut random = SmallRng::seed_from_u64(n as u64);
    let country = COUNTRIES.get(random.random_range(0..COUNTRIES.len())).copied().unwrap_or("CN");
    let weight = random.random_range(200..20_000);
    let quote = json!({ "country": country, "weight_grams": weight });
    shop.call("oaas.demo.v1.CarrierService/QuoteFreight", vec![quote], n).await?;
    let consignment = json!({ "destination_country": country, "transport_mode": "TRANSPORT_MODE_SEA" });
    let predict = json!({ "consignment": consignment, "stages": ["CLEARANCE_STAGE_DECLARATION_TO_RELEASE"] });
    let predicted = "oaas.cross_border.v1.ClearanceTimeService/PredictClearanceTime";
    if country != "CN" {
        shop.call(predicted, vec![predict.clone()], n).await?;
    }
    let amount = random.random_range(9_900..990_000);
    shop.call("oaas.channel.v1.RebateService/CalculateRebate", vec![rebate(n, amount)], n).await?;
    let demand = json!({ "plant": "demo-plant", "item_id": "bike-city",
                         "deliveries": [{ "quantity": random.random_range(1..4).to_string(), "due_in_days": 21 }] });
    if n.is_multiple_of(4) {
        shop.call(
            "oaas.manufacturing.v1.ProductionService/PlanProduction",
            vec![json!({ "demand": demand })],
            n,
        )
        .await?;
    }
    if n.is_multiple_of(25) {
        let trigger = json!({ "idempotency_key": format!("demo-order-{n}"), "demand": demand });
        shop.call("oaas.manufacturing.v1.ProductionService/TriggerProduction", vec![trigger], n).await?;
    }
    // A supplier looks at clearance times too, more often than its plan allows; and asks where it may not.
    if n.is_multiple_of(10) {
        supplier.call(predicted, vec![predict], n).await?;
    }
    if n.is_multiple_of(200) {
        supplier.call("oaas.channel.v1.RebateService/CalculateRebate", vec![rebate(n, amount)], n).await?;
        let unknown = json!({ "consignment": { "destination_country": "Germany" } });
        shop.call(predicted, vec![unknown], n).await?;
    }
    Ok(())
}

/// A dealer's month: marginal tiers over one sale.
fn rebate(n: usize, amount: u32) -> Value {
    json!({
        "period_date": "2026-11-30",
        "inline": {
            "plan": {
                "plan_id": "dealer-2026", "currency": "CNY", "jurisdiction": "CN",
                "payee_kind": "PAYEE_KIND_COMPANY", "basis": "BASIS_SALES", "effective_from": "2026-01-01",
                "period": "PERIOD_KIND_MONTH", "rounding": "ROUNDING_HALF_UP",
                "tiers": { "measure": "MEASURE_AMOUNT", "scope": "TIER_SCOPE_PERIOD",
                           "mode": "TIER_MODE_MARGINAL", "threshold_rule": "THRESHOLD_RULE_REACHED",
                           "tiers": [{ "threshold": "0", "rate_bp": 100 }, { "threshold": "100000", "rate_bp": 300 }] },
            },
            "sales": [{ "event_id": format!("order-{n}"), "occurred_on": "2026-11-22",
                        "amount_minor": amount.to_string(), "currency": "CNY", "quantity": "1",
                        "chain": [{ "member_id": "dealer-7" }] }],
        },
    })
}

/// What became of the abuse.
pub struct Abuse {
    /// Redemptions that were tried.
    pub tried: u64,
    /// Redemptions that went through.
    pub redeemed: u64,
    /// Refused because the budget was used up.
    pub stopped: u64,
}

/// Face value of the coupons, fen.
pub const FACE_VALUE_FEN: u64 = 5_000;
/// Coupons that are issued for the abuse: more than the budget lets through.
const ISSUED: usize = 480;

/// Redeems coupons worth 2.37 million yuan, each call legal.
///
/// # Errors
/// When a request does not fit its method, or the coupons can't be issued.
pub async fn abuse(shop: &Client, app: &Client, tries: u64, bar: &ProgressBar) -> anyhow::Result<Abuse> {
    let batch = json!({ "batch": { "batch_id": "double-11", "face_value_fen": FACE_VALUE_FEN.to_string(),
        "total_count": "100000", "per_member_max": "1", "valid_from_ms": "1700000000000",
        "valid_until_ms": "4070908800000" } });
    shop.call("oaas.channel.v1.CouponService/OpenBatch", vec![batch], 0).await?;
    let coupons = Arc::new(issue(shop).await?);
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..WORKERS * 2 {
        let (app, next, bar, coupons) = (app.clone(), Arc::clone(&next), bar.clone(), Arc::clone(&coupons));
        workers.spawn(async move {
            let (mut redeemed, mut stopped) = (0u64, 0u64);
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n as u64 >= tries {
                    return anyhow::Ok((redeemed, stopped));
                }
                let Some((coupon, member)) = coupons.get(n % coupons.len()) else {
                    return Ok((redeemed, stopped));
                };
                let redeem = json!({ "coupon_id": coupon, "batch_id": "double-11",
                    "face_value_fen": FACE_VALUE_FEN.to_string(), "member_id": member,
                    "order_id": format!("o-{n}"), "idempotency_key": format!("redeem-{n:08}") });
                match app.call("oaas.channel.v1.CouponService/RedeemCoupon", vec![redeem], n).await?.0 {
                    End::Good => redeemed += 1,
                    End::Refused(reason) if reason == "BUDGET_EXHAUSTED" => stopped += 1,
                    _ => {}
                }
                bar.inc(1);
            }
        });
    }
    let mut abuse = Abuse { tried: tries, redeemed: 0, stopped: 0 };
    while let Some(done) = workers.join_next().await {
        let (redeemed, stopped) = done??;
        abuse.redeemed += redeemed;
        abuse.stopped += stopped;
    }
    Ok(abuse)
}

async fn issue(shop: &Client) -> anyhow::Result<Vec<(Value, String)>> {
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..WORKERS {
        let shop = shop.clone();
        workers.spawn(async move {
            let mut coupons = Vec::new();
            for n in (worker..ISSUED).step_by(WORKERS) {
                let member = format!("member-{n}");
                let issue = json!({ "batch_id": "double-11", "member_id": member, "idempotency_key": format!("issue-{n:08}") });
                let (end, answer) = shop.call("oaas.channel.v1.CouponService/IssueCoupon", vec![issue], n).await?;
                let coupon = answer.as_ref().and_then(|a| a.pointer("/coupon/couponId")).cloned();
                let Some(coupon) = coupon else { anyhow::bail!("no coupon was issued: {end:?}") };
                coupons.push((coupon, member));
            }
            anyhow::Ok(coupons)
        });
    }
    let mut all = Vec::new();
    while let Some(done) = workers.join_next().await {
        all.extend(done??);
    }
    Ok(all)
}
