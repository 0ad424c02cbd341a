//! Drafts simulated on given or recorded facts.

use jiff::ToSpan as _;
use jiff::civil::Date;
use oaas_proto::oaas::channel::v1 as pb;
use oaas_proto::oaas::channel::v1::simulate_plan_request::{Against, Facts as Source};

use super::super::refusal::Refusal;
use super::super::{CalculateError, PERIODS_MAX, Period, Plan, law, simulate, wire};
use super::Rebate;
use super::read::{missing, read_day, read_facts, read_plan, well_formed};

impl Rebate {
    pub(super) async fn simulate(
        &self,
        request: pb::SimulatePlanRequest,
    ) -> Result<pb::SimulatePlanResponse, Refusal> {
        let day = read_day("period_date", &request.period_date)?;
        let count = usize::try_from(request.period_count).unwrap_or(1).clamp(1, PERIODS_MAX);
        let draft = read(request.draft.as_ref(), "draft")?;
        let against = match &request.against {
            Some(Against::Stored(stored)) => {
                Some(self.store.plan(&stored.plan_id, stored.version).await?.plan)
            }
            Some(Against::Plan(plan)) => Some(read(Some(plan), "plan")?),
            None => None,
        };
        let facts = match &request.facts {
            Some(Source::Given(given)) => {
                let lists = (&*given.sales, &*given.returns, &*given.payments);
                read_facts("given", lists, draft.currency)?
            }
            Some(Source::Recorded(recorded)) => {
                let plan = self.store.plan(&recorded.plan_id, 0).await?.plan;
                if plan.currency != draft.currency {
                    let text = format!("must be {}, as the recorded facts are", plan.currency);
                    return Err(missing("draft.currency", &text));
                }
                let days = looked_at(&draft, against.as_ref(), day, count);
                self.store.facts_on(&plan, &days).await?
            }
            None => return Err(missing("facts", "must be given or recorded")),
        };
        if against.as_ref().is_some_and(|plan| plan.currency != draft.currency) {
            return Err(missing("draft.currency", "must be that of the plan beside it"));
        }
        let plan_id = draft.plan_id.clone();
        let given = matches!(request.facts, Some(Source::Given(_)));
        let findings = wire::findings(&law::check(&draft, draft.effective_from, draft.effective_from));
        let work = move || {
            let simulation = simulate(&draft, against.as_ref(), day, count, &facts);
            simulation.map(|simulation| wire::simulation(&draft, &simulation))
        };
        let done = tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::BrokenOff)?;
        let answer = done.map_err(|error| match (given, error) {
            (true, CalculateError::FactsInvalid(found)) => {
                Refusal::Invalid(wire::violations("given.", &found))
            }
            (_, error) => Refusal::of_recorded(&plan_id, error),
        })?;
        Ok(pb::SimulatePlanResponse { findings, ..answer.ok_or(Refusal::AmountTooLarge)? })
    }
}

fn read(plan: Option<&pb::Plan>, field: &str) -> Result<Plan, Refusal> {
    let plan = read_plan(plan, field)?;
    well_formed(&plan, field)?;
    Ok(plan)
}

/// All days that either plan looks at in the simulated periods, as ranges that do not overlap.
fn looked_at(draft: &Plan, against: Option<&Plan>, day: Date, count: usize) -> Vec<Period> {
    let mut ranges = Vec::new();
    let mut period = draft.period.around(day);
    for _ in 0..count {
        ranges.extend(draft.looks_at(period));
        if let Some(plan) = against {
            ranges.extend(plan.looks_at(plan.period.around(period.start)));
            ranges.extend(plan.looks_at(plan.period.around(period.end)));
        }
        period = draft.period.around(period.end.checked_add(1.day()).unwrap_or(period.end));
    }
    ranges.sort_unstable();
    let mut merged: Vec<Period> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}
