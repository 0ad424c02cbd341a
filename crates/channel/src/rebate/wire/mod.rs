//! From the wire to the core and back. What the contract's own rules can't say is checked here, with
//! the path of the field.

mod answer;
mod plan;

use std::collections::BTreeMap;

use jiff::civil::Date;
use oaas_capability::Violation;
use oaas_model::Currency;
use oaas_proto::oaas::channel::v1 as pb;
use pb::Attribute;

pub use answer::{cliff, detail, findings, ledger_line, outcome, simulation, statement};
pub use plan::plan_to_wire;

use super::{
    Base, Baseline, Basis, ChainMember, Expectation, Filter, Levels, Measure, Move, Participation, Parts,
    Pay, PayeeKind, Payment, Payout, PayoutKind, PaysOn, PeriodKind, Plan, Problem, Projection, Rounding,
    Sale, SaleReturn, SameLevel, ThresholdRule, Tier, TierMode, TierSchedule, TierScope,
};

/// Length of a day such as 2026-03-31; the other forms of ISO 8601 are not taken.
const DAY_LEN: usize = 10;

/// Violations found on the way, with the path of the message that is read.
pub struct Reader {
    path: String,
    violations: Vec<Violation>,
}

impl Reader {
    /// A reader of the message at `path`.
    pub fn at(path: &str) -> Self {
        Self { path: path.to_owned(), violations: Vec::new() }
    }

    /// What was read, unless something was not as it must be.
    ///
    /// # Errors
    /// All violations.
    pub fn finish<T>(self, read: Option<T>) -> Result<T, Vec<Violation>> {
        match read {
            Some(read) if self.violations.is_empty() => Ok(read),
            _ if self.violations.is_empty() => Err(vec![Violation::new(self.path, "is missing")]),
            _ => Err(self.violations),
        }
    }

    fn wrong<T>(&mut self, field: &str, description: impl Into<String>) -> Option<T> {
        let separator = if self.path.is_empty() { "" } else { "." };
        self.violations.push(Violation::new(format!("{}{separator}{field}", self.path), description));
        None
    }

    /// A day.
    pub fn day(&mut self, field: &str, text: &str) -> Option<Date> {
        match text.parse() {
            Ok(day) if text.len() == DAY_LEN => Some(day),
            _ => self.wrong(field, format!("{text:?} is not a day such as 2026-03-31")),
        }
    }

    fn currency(&mut self, field: &str, code: &str) -> Option<Currency> {
        Currency::parse(code).map_or_else(|error| self.wrong(field, error.to_string()), Some)
    }

    fn rate(&mut self, field: &str, rate: i32) -> Option<u32> {
        u32::try_from(rate).map_or_else(|_| self.wrong(field, format!("must be 0 to 10000, is {rate}")), Some)
    }

    fn known<T>(&mut self, field: &str, value: Option<T>) -> Option<T> {
        value.or_else(|| self.wrong(field, "must be one of the values that the contract names"))
    }

    /// A plan.
    pub fn plan(&mut self, plan: &pb::Plan) -> Option<Plan> {
        // Each field is read before the first missing one ends the reading: all violations at once.
        let currency = self.currency("currency", &plan.currency);
        let payee = self.known("payee_kind", payee(plan.payee_kind()));
        let basis = self.known("basis", basis(plan.basis()));
        let effective_from = self.day("effective_from", &plan.effective_from);
        let effective_until = match plan.effective_until.as_str() {
            "" => None,
            text => self.day("effective_until", text),
        };
        let period = self.known("period", period(plan.period()));
        let rounding = self.known("rounding", rounding(plan.rounding()));
        let tiers = plan.tiers.as_ref().map(|schedule| self.schedule(schedule));
        let expectation = plan.expectation.as_ref().map(|expectation| self.expectation(expectation));
        let levels = plan.levels.as_ref().map(|levels| self.levels(levels));
        let clawback_days = u32::try_from(plan.clawback_days)
            .map_or_else(|_| self.wrong("clawback_days", "must be 0 to 3650"), Some);
        let filter = self.filter("filter", &plan.filter);
        let cap_margin_bp = plan.cap_margin_bp.map(|rate| self.rate("cap_margin_bp", rate));
        let payout = self.payout(&plan.payout.clone().unwrap_or_default());
        let base = plan.base.unwrap_or_default();
        let demands = plan.participation.unwrap_or_default();
        Some(Plan {
            plan_id: plan.plan_id.clone(),
            currency: currency?,
            jurisdiction: plan.jurisdiction.clone(),
            payee: payee?,
            basis: basis?,
            participation: Participation {
                recruitment_required: demands.recruitment_required,
                entry_fee_required: demands.entry_fee_required,
                direct_selling: demands.direct_selling,
            },
            effective_from: effective_from?,
            effective_until,
            period: period?,
            rounding: rounding?,
            base: Base {
                tax: base.with_tax,
                freight: base.with_freight,
                discounts: base.with_discounts,
                returns: base.with_returns,
            },
            categories: plan.categories.clone(),
            filter: filter?,
            tiers: flat(tiers)?,
            expectation: flat(expectation)?,
            levels: flat(levels)?,
            payout_min_minor: plan.payout_min_minor,
            cap_member_minor: plan.cap_member_minor,
            cap_plan_minor: plan.cap_plan_minor,
            cap_margin_bp: flat(cap_margin_bp)?,
            clawback_days: clawback_days?,
            payout: payout?,
        })
    }

    /// An expression; empty means none.
    fn filter(&mut self, field: &str, source: &str) -> Option<Option<Filter>> {
        if source.is_empty() {
            return Some(None);
        }
        match Filter::compile(source) {
            Ok(filter) => Some(Some(filter)),
            Err(error) => self.wrong(field, format!("is not a filter: {error}")),
        }
    }

    fn payout(&mut self, payout: &pb::Payout) -> Option<Payout> {
        let goods = payout.kind() == pb::PayoutKind::Goods;
        if !goods && (!payout.goods_sku.is_empty() || payout.goods_unit_value_minor != 0) {
            return self.wrong("payout.kind", "must be PAYOUT_KIND_GOODS when goods are named");
        }
        let kind = match payout.kind() {
            pb::PayoutKind::Unspecified | pb::PayoutKind::Credit => PayoutKind::Credit,
            pb::PayoutKind::Cash => PayoutKind::Cash,
            pb::PayoutKind::Goods => PayoutKind::Goods {
                sku: payout.goods_sku.clone(),
                unit_value_minor: payout.goods_unit_value_minor,
            },
        };
        Some(Payout { kind, carry_under_minor: payout.carry_under_minor })
    }

    fn schedule(&mut self, schedule: &pb::TierSchedule) -> Option<TierSchedule> {
        let measure = self.known("tiers.measure", measure(schedule.measure()));
        let scope = self.known("tiers.scope", scope(schedule.scope()));
        let mode = self.known("tiers.mode", mode(schedule.mode()));
        let rule = self.known("tiers.threshold_rule", threshold_rule(schedule.threshold_rule()));
        let tiers: Vec<_> =
            schedule.tiers.iter().enumerate().map(|(index, tier)| self.tier(index, tier)).collect();
        let window_days = u32::try_from(schedule.window_days)
            .map_or_else(|_| self.wrong("tiers.window_days", "must be 0 to 1096"), Some);
        let mix = self.filter("tiers.mix_filter", &schedule.mix_filter);
        let baseline = match schedule.baseline() {
            pb::Baseline::Fixed => Some(Baseline::Fixed(schedule.baseline_minor)),
            _ if schedule.baseline_minor != 0 => {
                self.wrong("tiers.baseline_minor", "is for BASELINE_FIXED only")
            }
            pb::Baseline::SamePeriodLastYear => Some(Baseline::SamePeriodLastYear),
            pb::Baseline::Unspecified | pb::Baseline::PreviousPeriod => Some(Baseline::PreviousPeriod),
        };
        Some(TierSchedule {
            measure: measure?,
            scope: scope?,
            mode: mode?,
            threshold_rule: rule?,
            tiers: tiers.into_iter().collect::<Option<_>>()?,
            floor_minor: schedule.floor_minor,
            window_days: window_days?,
            baseline: baseline?,
            mix: mix?,
            pays_on: match schedule.pays_on() {
                pb::PaysOn::Part => PaysOn::Part,
                pb::PaysOn::Unspecified | pb::PaysOn::Everything => PaysOn::Everything,
            },
        })
    }

    fn expectation(&mut self, expectation: &pb::Expectation) -> Option<Expectation> {
        let less_bp = self.rate("expectation.less_bp", expectation.less_bp);
        let tiers_up = u32::try_from(expectation.tiers_up)
            .map_or_else(|_| self.wrong("expectation.tiers_up", "must be 0 to 50"), Some);
        let mut members = BTreeMap::new();
        for (index, stated) in expectation.members.iter().enumerate() {
            if members.insert(stated.member_id.clone(), stated.total).is_some() {
                let field = format!("expectation.members[{index}].member_id");
                return self.wrong(&field, format!("{:?} stands twice", stated.member_id));
            }
        }
        Some(Expectation {
            projection: match expectation.projection() {
                pb::Projection::Unspecified => None,
                pb::Projection::RunRate => Some(Projection::RunRate),
                pb::Projection::PreviousPeriod => Some(Projection::PreviousPeriod),
                pb::Projection::SamePeriodLastYear => Some(Projection::SamePeriodLastYear),
            },
            less_bp: less_bp?,
            each: (expectation.each_total != 0).then_some(expectation.each_total),
            members,
            tiers_up: Some(tiers_up?).filter(|up| *up > 0),
        })
    }

    fn tier(&mut self, index: usize, tier: &pb::Tier) -> Option<Tier> {
        let field = format!("tiers.tiers[{index}]");
        let pay = match tier.pay {
            Some(pb::tier::Pay::RateBp(rate)) => Pay::Rate(self.rate(&format!("{field}.rate_bp"), rate)?),
            Some(pb::tier::Pay::UnitMinor(minor)) => Pay::PerUnit(minor),
            None => return self.wrong(&field, "must have rate_bp or unit_minor"),
        };
        Some(Tier { threshold: tier.threshold, pay })
    }

    fn levels(&mut self, levels: &pb::plan::Levels) -> Option<Levels> {
        match levels {
            pb::plan::Levels::Fixed(fixed) => {
                let rates = fixed.rates_bp.iter().enumerate();
                let read = rates.map(|(index, rate)| self.rate(&format!("fixed.rates_bp[{index}]"), *rate));
                read.collect::<Option<_>>().map(Levels::Fixed)
            }
            pb::plan::Levels::Differential(levels) => self.differential(levels),
        }
    }

    fn differential(&mut self, levels: &pb::DifferentialLevels) -> Option<Levels> {
        let grades = levels.grades.iter().enumerate().map(|(index, grade)| {
            let rate = self.rate(&format!("differential.grades[{index}].rate_bp"), grade.rate_bp)?;
            Some((grade.grade.clone(), rate))
        });
        let grades = grades.collect::<Option<Vec<_>>>()?;
        let extra = self.rate("differential.same_level_rate_bp", levels.same_level_rate_bp)?;
        let depth_max = usize::try_from(levels.depth_max).unwrap_or(0);
        let same_level = match levels.same_level() {
            pb::SameLevelRule::Unspecified | pb::SameLevelRule::None if extra > 0 => {
                return self.wrong("differential.same_level_rate_bp", "is not paid: same_level says none");
            }
            pb::SameLevelRule::Unspecified | pb::SameLevelRule::None => SameLevel::None,
            pb::SameLevelRule::Every => SameLevel::Every(extra),
            pb::SameLevelRule::Once => SameLevel::Once(extra),
        };
        Some(Levels::Differential { grades, depth_max, same_level })
    }

    /// A sale in the currency of the plan.
    pub fn sale(&mut self, sale: &pb::Sale, plan_currency: Currency) -> Option<Sale> {
        let occurred_on = self.day("occurred_on", &sale.occurred_on);
        let due_on = match sale.due_on.as_str() {
            "" => Some(None),
            text => self.day("due_on", text).map(Some),
        };
        self.same_currency(&sale.currency, plan_currency);
        let chain = self.chain(sale);
        let mut attributes = BTreeMap::new();
        for Attribute { name, value } in &sale.attributes {
            if attributes.insert(name.clone(), value.clone()).is_some() {
                let _: Option<()> = self.wrong("attributes", format!("{name:?} stands twice"));
            }
        }
        Some(Sale {
            event_id: sale.event_id.clone(),
            occurred_on: occurred_on?,
            amount_minor: sale.amount_minor,
            quantity: sale.quantity,
            category: sale.category.clone(),
            chain: chain?,
            chain_open: sale.chain.is_empty(),
            parts: parts(sale.parts),
            due_on: due_on?,
            attributes,
        })
    }

    fn chain(&mut self, sale: &pb::Sale) -> Option<Vec<ChainMember>> {
        match (sale.chain.is_empty(), sale.seller_id.is_empty()) {
            (true, true) => self.wrong("chain", "must name who sold, or seller_id must"),
            (false, false) => self.wrong("seller_id", "must be empty beside a chain, which names who sold"),
            (true, false) => {
                Some(vec![ChainMember { member_id: sale.seller_id.clone(), grade: String::new() }])
            }
            (false, true) => {
                for (place, member) in sale.chain.iter().enumerate() {
                    if member.member_id.is_empty() {
                        let field = format!("chain[{place}].member_id");
                        return self.wrong(&field, "must name the member");
                    }
                }
                let members = sale.chain.iter().map(|member| ChainMember {
                    member_id: member.member_id.clone(),
                    grade: member.grade.clone(),
                });
                Some(members.collect())
            }
        }
    }

    /// A return in the currency of the plan.
    pub fn sale_return(&mut self, fact: &pb::SaleReturn, plan_currency: Currency) -> Option<SaleReturn> {
        let occurred_on = self.day("occurred_on", &fact.occurred_on);
        self.same_currency(&fact.currency, plan_currency);
        Some(SaleReturn {
            event_id: fact.event_id.clone(),
            sale_event_id: fact.sale_event_id.clone(),
            occurred_on: occurred_on?,
            amount_minor: fact.amount_minor,
            quantity: fact.quantity,
            parts: parts(fact.parts),
        })
    }

    /// A payment.
    pub fn payment(&mut self, fact: &pb::Payment) -> Option<Payment> {
        Some(Payment {
            event_id: fact.event_id.clone(),
            sale_event_id: fact.sale_event_id.clone(),
            occurred_on: self.day("occurred_on", &fact.occurred_on)?,
        })
    }

    /// A move.
    pub fn step(&mut self, request: &pb::MoveMemberRequest) -> Option<Move> {
        Some(Move {
            member_id: request.member_id.clone(),
            effective_on: self.day("effective_on", &request.effective_on)?,
            parent_id: request.parent_id.clone(),
            grade: request.grade.clone(),
        })
    }

    fn same_currency(&mut self, code: &str, plan_currency: Currency) {
        if code != plan_currency.code() {
            let _: Option<()> =
                self.wrong("currency", format!("must be the plan's, {plan_currency}, is {code:?}"));
        }
    }
}

fn parts(parts: Option<pb::Parts>) -> Parts {
    let parts = parts.unwrap_or_default();
    Parts {
        tax_minor: parts.tax_minor,
        freight_minor: parts.freight_minor,
        discount_minor: parts.discount_minor,
        margin_minor: parts.margin_minor,
    }
}

/// Absent stays absent; what was there and could not be read ends the reading.
fn flat<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

/// The core's problems as violations below `prefix`.
pub fn violations(prefix: &str, problems: &[Problem]) -> Vec<Violation> {
    problems.iter().map(|p| Violation::new(format!("{prefix}{}", p.field), p.text.en.clone())).collect()
}

fn payee(kind: pb::PayeeKind) -> Option<PayeeKind> {
    match kind {
        pb::PayeeKind::Unspecified => None,
        pb::PayeeKind::Company => Some(PayeeKind::Company),
        pb::PayeeKind::NaturalPerson => Some(PayeeKind::NaturalPerson),
    }
}

fn basis(basis: pb::Basis) -> Option<Basis> {
    match basis {
        pb::Basis::Unspecified => None,
        pb::Basis::Sales => Some(Basis::Sales),
        pb::Basis::Headcount => Some(Basis::Headcount),
    }
}

fn period(kind: pb::PeriodKind) -> Option<PeriodKind> {
    match kind {
        pb::PeriodKind::Unspecified => None,
        pb::PeriodKind::Month => Some(PeriodKind::Month),
        pb::PeriodKind::Quarter => Some(PeriodKind::Quarter),
        pb::PeriodKind::Year => Some(PeriodKind::Year),
    }
}

fn rounding(rule: pb::Rounding) -> Option<Rounding> {
    match rule {
        pb::Rounding::Unspecified => None,
        pb::Rounding::HalfUp => Some(Rounding::HalfUp),
        pb::Rounding::HalfEven => Some(Rounding::HalfEven),
        pb::Rounding::Down => Some(Rounding::Down),
        pb::Rounding::Up => Some(Rounding::Up),
    }
}

fn measure(measure: pb::Measure) -> Option<Measure> {
    match measure {
        pb::Measure::Unspecified => None,
        pb::Measure::Amount => Some(Measure::Amount),
        pb::Measure::Quantity => Some(Measure::Quantity),
        pb::Measure::Growth => Some(Measure::Growth),
        pb::Measure::Mix => Some(Measure::Mix),
        pb::Measure::EarlyPayment => Some(Measure::EarlyPayment),
    }
}

fn scope(scope: pb::TierScope) -> Option<TierScope> {
    match scope {
        pb::TierScope::Unspecified => None,
        pb::TierScope::Period => Some(TierScope::Period),
        pb::TierScope::Sale => Some(TierScope::Sale),
    }
}

fn mode(mode: pb::TierMode) -> Option<TierMode> {
    match mode {
        pb::TierMode::Unspecified => None,
        pb::TierMode::Marginal => Some(TierMode::Marginal),
        pb::TierMode::Retroactive => Some(TierMode::Retroactive),
    }
}

fn threshold_rule(rule: pb::ThresholdRule) -> Option<ThresholdRule> {
    match rule {
        pb::ThresholdRule::Unspecified => None,
        pb::ThresholdRule::Reached => Some(ThresholdRule::Reached),
        pb::ThresholdRule::Exceeded => Some(ThresholdRule::Exceeded),
    }
}
