//! Lots and policies from the wire to the core and back.

use oaas_capability::{Violation, invalid};
use oaas_proto::oaas::manufacturing::v1 as pb;
use tonic::Status;

use super::distribution::Demand;
use super::dynamic::{Method, parts};
use super::eoq::{Break, Discount, Eoq, Quantity, with_discounts};
use super::grpc::refused;
use super::newsvendor::{Margins, from_margins, newsvendor};
use super::{PolicyError, horizon, joint, min_max, reorder_point, unreliable};
use crate::production::lot::{LotError, LotPlan, Period};

/// Millionths of a minor unit.
const MICROS: i128 = 1_000_000;

fn bad(field: &str, description: impl Into<String>) -> Status {
    invalid(&[Violation::new(field, description)])
}

/// Sizes lots by all methods.
pub fn lots(request: &pb::SizeLotsRequest) -> Result<pb::SizeLotsResponse, Status> {
    let periods: Vec<Period> = request
        .periods
        .iter()
        .map(|period| Period {
            demand: period.demand,
            setup: i128::from(period.setup_cost_minor.unwrap_or(request.setup_cost_minor)) * MICROS,
            unit: i128::from(period.unit_cost_minor.unwrap_or(request.unit_cost_minor)) * MICROS,
            hold: i128::from(period.holding_micros.unwrap_or(request.holding_micros)),
        })
        .collect();
    let wanted = method(request)?;
    let fixed = (request.fixed_quantity > 0).then_some(Method::Fixed(request.fixed_quantity));
    let size = |method: Method| method.size(&periods).map_err(|error| too_large(&error));
    let optimum = size(Method::WagnerWhitin)?.cost;
    let mut plans = Vec::new();
    for method in Method::ALL.into_iter().chain(fixed) {
        plans.push((method, size(method)?));
    }
    // Stable, so that of equals the one that stands first in the list stays first.
    plans.sort_by_key(|(_, plan)| plan.cost);
    let comparisons = plans.iter().map(|(method, plan)| comparison(&periods, *method, plan, optimum));
    let comparisons = comparisons.collect::<Result<Vec<_>, Status>>()?;
    let own = plans.iter().find(|(method, _)| *method == wanted);
    let (_, plan) = own.ok_or_else(|| bad("method", "must be a method of this service"))?;
    let (cost, left_over) = cost(&periods, plan)?;
    let above = above(plan.cost, optimum);
    Ok(pb::SizeLotsResponse {
        method: method_name(wanted).into(),
        lots: lot_lines(plan),
        explanation: Some(explanation(wanted, plan, above)),
        cost: Some(cost),
        left_over,
        comparisons,
    })
}

fn method(request: &pb::SizeLotsRequest) -> Result<Method, Status> {
    Ok(match request.method() {
        pb::LotMethod::Unspecified | pb::LotMethod::WagnerWhitin => Method::WagnerWhitin,
        pb::LotMethod::SilverMeal => Method::SilverMeal,
        pb::LotMethod::PartPeriod => Method::PartPeriod,
        pb::LotMethod::LeastUnitCost => Method::LeastUnitCost,
        pb::LotMethod::LotForLot => Method::LotForLot,
        pb::LotMethod::EconomicQuantity => Method::EconomicQuantity,
        pb::LotMethod::PeriodOrderQuantity => Method::PeriodOrderQuantity,
        pb::LotMethod::FixedQuantity if request.fixed_quantity < 1 => {
            return Err(bad("fixed_quantity", "must be at least 1 with LOT_METHOD_FIXED_QUANTITY"));
        }
        pb::LotMethod::FixedQuantity => Method::Fixed(request.fixed_quantity),
    })
}

fn method_name(method: Method) -> pb::LotMethod {
    match method {
        Method::WagnerWhitin => pb::LotMethod::WagnerWhitin,
        Method::SilverMeal => pb::LotMethod::SilverMeal,
        Method::PartPeriod => pb::LotMethod::PartPeriod,
        Method::LeastUnitCost => pb::LotMethod::LeastUnitCost,
        Method::LotForLot => pb::LotMethod::LotForLot,
        Method::EconomicQuantity => pb::LotMethod::EconomicQuantity,
        Method::PeriodOrderQuantity => pb::LotMethod::PeriodOrderQuantity,
        Method::Fixed(_) => pb::LotMethod::FixedQuantity,
    }
}

fn too_large(error: &LotError) -> Status {
    bad("periods", error.to_string())
}

fn lot_lines(plan: &LotPlan) -> Vec<pb::Lot> {
    let numbered = (1u32..).zip(&plan.lots).filter(|(_, lot)| **lot > 0);
    let mut lines: Vec<pb::Lot> = numbered
        .map(|(period, quantity)| pb::Lot { period, quantity: *quantity, covers_until_period: 0 })
        .collect();
    let last = u32::try_from(plan.lots.len()).unwrap_or(u32::MAX);
    let next: Vec<u32> = lines.iter().skip(1).map(|line| line.period - 1).chain([last]).collect();
    for (line, until) in lines.iter_mut().zip(next) {
        line.covers_until_period = until;
    }
    lines
}

/// A plan's cost in minor units, each part rounded to the nearest; and what is left over.
fn cost(periods: &[Period], plan: &LotPlan) -> Result<(pb::LotCost, i64), Status> {
    let parts = parts(periods, &plan.lots);
    let minor = |micros: i128| i64::try_from((micros + MICROS / 2).div_euclid(MICROS)).ok();
    let sum = || {
        let (setup, units, holding) = (minor(parts.setup)?, minor(parts.units)?, minor(parts.holding)?);
        let total = setup.checked_add(units)?.checked_add(holding)?;
        Some(pb::LotCost {
            setup_minor: setup,
            units_minor: units,
            holding_minor: holding,
            total_minor: total,
        })
    };
    let cost = sum().ok_or_else(|| bad("periods", "must not cost more than 64 bits of minor units"))?;
    Ok((cost, parts.left))
}

/// Basis points above the optimum.
fn above(cost: i128, optimum: i128) -> i64 {
    if optimum <= 0 {
        return 0;
    }
    let points = (cost - optimum).saturating_mul(10_000).saturating_add(optimum / 2) / optimum;
    i64::try_from(points).unwrap_or(i64::MAX)
}

fn comparison(
    periods: &[Period],
    method: Method,
    plan: &LotPlan,
    optimum: i128,
) -> Result<pb::MethodComparison, Status> {
    let lots = plan.lots.iter().filter(|lot| **lot > 0).count();
    Ok(pb::MethodComparison {
        method: method_name(method).into(),
        lots: u32::try_from(lots).unwrap_or(u32::MAX),
        cost: Some(cost(periods, plan)?.0),
        above_optimum_basis_points: above(plan.cost, optimum),
    })
}

fn explanation(method: Method, plan: &LotPlan, above: i64) -> pb::Text {
    let lots = plan.lots.iter().filter(|lot| **lot > 0).count();
    let percent = format!("{}.{:02} %", above / 100, above % 100);
    let (en, zh) = match method {
        Method::WagnerWhitin => ("Wagner-Whitin, the optimum", "Wagner-Whitin 最优"),
        Method::SilverMeal => ("Silver-Meal", "Silver-Meal"),
        Method::PartPeriod => ("part-period balancing", "部分周期平衡"),
        Method::LeastUnitCost => ("least unit cost", "最小单位成本"),
        Method::LotForLot => ("lot for lot", "按需定批"),
        Method::EconomicQuantity => ("economic order quantity", "经济订货量"),
        Method::PeriodOrderQuantity => ("period order quantity", "周期订货量"),
        Method::Fixed(_) => ("fixed quantity", "固定批量"),
    };
    pb::Text {
        en: format!("{en}: {lots} lots, {percent} above the optimum"),
        zh: format!("{zh}：{lots} 批，比最优高 {percent}"),
    }
}

/// Amounts of the wire as the core's numbers.
#[allow(clippy::cast_precision_loss, reason = "an expectation; amounts are below 2^53 micros")]
fn number(micros: i64) -> f64 {
    micros as f64
}

/// An expected cost as it is answered, millionths of a minor unit.
fn micros(cost: f64) -> Result<i64, Status> {
    #[allow(clippy::cast_possible_truncation, reason = "checked right before")]
    if cost.is_finite() && cost.abs() < 9e18 {
        Ok(cost.round() as i64)
    } else {
        Err(bad("model", "must not cost more than 64 bits of millionths"))
    }
}

type Answer = pb::ChoosePolicyResponse;

/// Chooses a policy.
pub fn policy(request: &pb::ChoosePolicyRequest) -> Result<Answer, Status> {
    use pb::choose_policy_request::Model;
    match &request.model {
        Some(Model::EconomicOrder(model)) => economic(model),
        Some(Model::StockLevel(model)) => stock_level(model),
        Some(Model::ReorderPoint(model)) => {
            let terms = reorder_point::Terms {
                setup: number(model.setup_cost_micros),
                holding: number(model.holding_cost_micros),
                stockout: number(model.stockout_cost_micros),
                demand: demand("reorder_point.demand", model.demand.as_ref())?,
                lead_time: model.lead_time,
            };
            let found = reorder_point::optimum(&terms).map_err(|error| refused("reorder_point", &error))?;
            let (r, q) = (found.reorder_point, found.quantity);
            Ok(Answer {
                reorder_point: Some(r),
                order_quantity: Some(q),
                expected_cost_micros: Some(micros(found.cost)?),
                ..said(
                    "(r,Q), Zheng 1992; Federgruen & Zheng 1992",
                    true,
                    format!("order {q:.2} at {r:.2}"),
                    format!("库存位置降到 {r:.2} 时订 {q:.2}"),
                )
            })
        }
        Some(Model::MinMax(model)) => {
            let terms = min_max::Terms {
                setup: number(model.setup_cost_micros),
                holding: number(model.holding_cost_micros),
                stockout: number(model.stockout_cost_micros),
                demand: demand("min_max.demand", model.demand.as_ref())?,
                lead_time: model.lead_time,
            };
            let found = min_max::min_max(&terms).map_err(|error| refused("min_max", &error))?;
            let exact = found.cost.is_some();
            let method = if exact {
                "(s,S), Zheng & Federgruen 1991"
            } else {
                "(s,S), power approximation, Ehrhardt & Mosier 1984"
            };
            let (s, up_to) = (found.min, found.max);
            Ok(Answer {
                reorder_point: Some(s),
                order_up_to: Some(up_to),
                expected_cost_micros: found.cost.map(micros).transpose()?,
                ..said(
                    method,
                    exact,
                    format!("at or below {s:.2} order up to {up_to:.2}"),
                    format!("不高于 {s:.2} 时补到 {up_to:.2}"),
                )
            })
        }
        Some(Model::JointOrder(model)) => joint_order(model),
        Some(Model::FiniteHorizon(model)) => finite(model),
        None => Err(bad("model", "must be set")),
    }
}

fn said(method: &str, exact: bool, en: String, zh: String) -> Answer {
    Answer { method: method.to_owned(), exact, explanation: Some(pb::Text { en, zh }), ..Answer::default() }
}

fn economic(model: &pb::EconomicOrder) -> Result<Answer, Status> {
    use pb::economic_order::Variant;
    let field = "economic_order";
    let no = |error: PolicyError| refused(field, &error);
    let eoq = Eoq {
        setup: number(model.setup_cost_micros),
        holding: number(model.holding_cost_micros),
        rate: model.demand_rate,
    };
    let mut share = None;
    let (method, found): (&str, Quantity) = match &model.variant {
        None => ("economic order quantity, Harris 1913", eoq.plain().map_err(no)?),
        Some(Variant::BackorderCostMicros(cost)) => {
            let (found, waits) = eoq.with_backorders(number(*cost)).map_err(no)?;
            share = Some(waits);
            ("economic order quantity with backorders", found)
        }
        Some(Variant::ProductionRate(rate)) => {
            ("economic production quantity, Taft 1918", eoq.with_production_rate(*rate).map_err(no)?)
        }
        Some(Variant::PriceBreaks(prices)) => {
            let discount = if prices.incremental { Discount::Incremental } else { Discount::AllUnits };
            let breaks: Vec<Break> = prices
                .breaks
                .iter()
                .map(|row| Break { from: row.quantity_from, price: number(row.unit_price_micros) })
                .collect();
            let found = with_discounts(eoq.setup, prices.holding_share, eoq.rate, discount, &breaks);
            ("economic order quantity with price breaks, Hadley & Whitin 1963", found.map_err(no)?)
        }
        Some(Variant::Disruption(down)) => {
            let disruption = unreliable::Disruption { rate: down.rate, recovery: down.recovery_rate };
            let cost = number(down.lost_unit_cost_micros);
            let found = unreliable::eoq_with_disruptions(eoq, cost, disruption).map_err(no)?;
            ("economic order quantity with disruptions, Berk & Arreola-Risa 1994", found)
        }
        Some(Variant::RandomYield(random)) => {
            let (mean, sd) = (random.mean, random.standard_deviation);
            let yields = if random.multiplicative {
                unreliable::Yield::Multiplicative { mean, sd }
            } else {
                unreliable::Yield::Additive { mean, sd }
            };
            (
                "economic order quantity with random yield",
                unreliable::eoq_with_yield(eoq, yields).map_err(no)?,
            )
        }
    };
    let quantity = found.quantity;
    Ok(Answer {
        order_quantity: Some(quantity),
        backorder_share: share,
        cycle_time: Some(quantity / model.demand_rate),
        expected_cost_micros: Some(micros(found.cost)?),
        ..said(method, true, format!("order {quantity:.2} at a time"), format!("每次订 {quantity:.2}"))
    })
}

fn stock_level(model: &pb::StockLevel) -> Result<Answer, Status> {
    use pb::stock_level::Uncertainty;
    let no = |error: PolicyError| refused("stock_level", &error);
    let (holding, stockout) = (number(model.holding_cost_micros), number(model.stockout_cost_micros));
    if model.margins.is_some() && !matches!(model.uncertainty, Some(Uncertainty::Demand(_))) {
        return Err(bad("stock_level.margins", "must be with a random demand"));
    }
    let mut profit = None;
    let (method, found) = match &model.uncertainty {
        Some(Uncertainty::Demand(random)) => {
            let demand = demand("stock_level.demand", Some(random))?;
            let found = match &model.margins {
                Some(margins) if model.lead_time == 0.0 => {
                    let margins = Margins {
                        revenue: number(margins.revenue_micros),
                        purchase: number(margins.purchase_cost_micros),
                        salvage: number(margins.salvage_value_micros),
                    };
                    let (level, expected) = from_margins(margins, demand).map_err(no)?;
                    profit = Some(micros(expected)?);
                    level
                }
                Some(_) => return Err(bad("stock_level.lead_time", "must be 0 with margins")),
                None => newsvendor(holding, stockout, demand, model.lead_time).map_err(no)?,
            };
            ("newsvendor, Arrow, Harris & Marschak 1951", found)
        }
        Some(Uncertainty::Disruption(down)) => {
            let (fails, back) = (down.failure_probability, down.recovery_probability);
            let found = unreliable::stock_with_disruptions(holding, stockout, down.demand, fails, back);
            ("stock against disruptions, Tomlin 2006", found.map_err(no)?)
        }
        Some(Uncertainty::UniformYield(yields)) => {
            let range = (yields.low, yields.high);
            let found = unreliable::order_with_yield(holding, stockout, yields.demand, range);
            ("order with additive yield, Yano & Lee 1995", found.map_err(no)?)
        }
        None => return Err(bad("stock_level", "must say what is uncertain")),
    };
    let level = found.level;
    Ok(Answer {
        order_up_to: Some(level),
        expected_cost_micros: Some(micros(found.cost)?),
        expected_profit_micros: profit,
        ..said(method, true, format!("have {level:.2}"), format!("备货 {level:.2}"))
    })
}

fn joint_order(model: &pb::JointOrder) -> Result<Answer, Status> {
    let items: Vec<joint::Item> = model
        .items
        .iter()
        .map(|item| joint::Item {
            setup: number(item.setup_cost_micros),
            holding: number(item.holding_cost_micros),
            rate: item.demand_rate,
        })
        .collect();
    let found = joint::joint_replenishment(number(model.shared_cost_micros), &items);
    let found = found.map_err(|error| refused("joint_order", &error))?;
    let rows = model.items.iter().zip(&found.multiples).map(|(item, every)| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to a million")]
        let every_nth_order = *every as u32;
        let quantity = item.demand_rate * found.cycle * every;
        pb::JointQuantity { item_id: item.item_id.clone(), every_nth_order, quantity }
    });
    let cycle = found.cycle;
    Ok(Answer {
        cycle_time: Some(cycle),
        expected_cost_micros: Some(micros(found.cost)?),
        joint_quantities: rows.collect(),
        ..said(
            "joint replenishment, Silver 1976",
            false,
            format!("order every {cycle:.4}"),
            format!("每 {cycle:.4} 订一次"),
        )
    })
}

fn finite(model: &pb::FiniteHorizon) -> Result<Answer, Status> {
    let demand = model.demand.unwrap_or_default();
    let terms = horizon::Terms {
        periods: usize::try_from(model.periods).unwrap_or(usize::MAX),
        setup: number(model.setup_cost_micros),
        purchase: number(model.unit_price_micros),
        holding: number(model.holding_cost_micros),
        stockout: number(model.stockout_cost_micros),
        terminal: (number(model.terminal_holding_cost_micros), number(model.terminal_stockout_cost_micros)),
        demand: (demand.mean, demand.standard_deviation),
        discount: if model.discount_factor == 0.0 { 1.0 } else { model.discount_factor },
        stock: model.stock,
    };
    let plan = horizon::optimum(&terms).map_err(|error| refused("finite_horizon", &error))?;
    let levels = plan.levels.iter().map(|levels| pb::PeriodLevels {
        reorder_point: levels.reorder_point,
        order_up_to: levels.order_up_to,
    });
    let first = plan.levels.first().map_or((0, 0), |levels| (levels.reorder_point, levels.order_up_to));
    Ok(Answer {
        expected_cost_micros: Some(micros(plan.cost)?),
        period_levels: levels.collect(),
        ..said(
            "finite horizon, Scarf 1960",
            true,
            format!("now: at or below {} order up to {}", first.0, first.1),
            format!("现在：不高于 {} 时补到 {}", first.0, first.1),
        )
    })
}

fn demand(field: &str, demand: Option<&pb::RandomDemand>) -> Result<Demand, Status> {
    use pb::random_demand::Distribution;
    let distribution = demand.and_then(|demand| demand.distribution.as_ref());
    let demand = match distribution.ok_or_else(|| bad(field, "must be set"))? {
        Distribution::Normal(normal) => Demand::Normal { mean: normal.mean, sd: normal.standard_deviation },
        Distribution::PoissonMean(mean) => Demand::Poisson { mean: *mean },
        Distribution::LogNormal(log) => Demand::LogNormal { mu: log.mu, sigma: log.sigma },
        Distribution::Discrete(discrete) => {
            Demand::Discrete(discrete.values.iter().map(|value| (value.units, value.probability)).collect())
        }
    };
    demand.checked().map_err(|error| refused(field, &error))
}
