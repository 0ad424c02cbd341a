//! The ledger explained, members moved, periods settled.

use oaas_model::{Currency, Money};
use oaas_proto::oaas::channel::v1 as pb;

use super::super::refusal::Refusal;
use super::super::{Levels, Period, Plan, measured_as, wire};
use super::read::{missing, read_day};
use super::{PAGE_MAX, Rebate, ledger_line, page_size};

impl Rebate {
    pub(super) async fn explain_one(
        &self,
        request: pb::ExplainLineRequest,
    ) -> Result<pb::ExplainLineResponse, Refusal> {
        let pb::ExplainLineRequest { plan_id, sequence } = request;
        let lines = self.store.ledger(&plan_id, "", sequence.saturating_sub(1), 1).await?;
        let posted = lines.into_iter().find(|posted| posted.line.entry.sequence == sequence);
        let Some(posted) = posted else {
            // A plan that does not exist is said first.
            self.store.plan(&plan_id, 0).await?;
            return Err(Refusal::LineUnknown { plan_id, sequence });
        };
        let stored = self.store.plan(&plan_id, posted.line.entry.plan_version).await?;
        let line = ledger_line(&posted, stored.plan.currency);
        let steps = steps(&line, posted.detail.as_ref(), &stored.plan);
        Ok(pb::ExplainLineResponse {
            line: Some(line),
            plan_title: stored.wire.title,
            detail: posted.detail,
            steps,
        })
    }

    pub(super) async fn put_move(
        &self,
        request: pb::MoveMemberRequest,
    ) -> Result<pb::MoveMemberResponse, Refusal> {
        let stored = self.store.plan(&request.plan_id, 0).await?;
        let mut reader = wire::Reader::at("");
        let step = reader.step(&request);
        let step = reader.finish(step).map_err(Refusal::Invalid)?;
        if let Some(Levels::Differential { grades, .. }) = &stored.plan.levels
            && !step.grade.is_empty()
            && !grades.iter().any(|(grade, _)| *grade == step.grade)
        {
            return Err(missing("grade", &format!("{:?} is not a grade of the plan", step.grade)));
        }
        let unchanged = self.store.put_move(&request, &step).await?;
        Ok(pb::MoveMemberResponse { unchanged })
    }

    pub(super) async fn chain_on(
        &self,
        request: pb::GetChainRequest,
    ) -> Result<pb::GetChainResponse, Refusal> {
        let day = read_day("on", &request.on)?;
        self.store.plan(&request.plan_id, 0).await?;
        let chain = self.store.chain(&request.plan_id, &request.member_id, day).await?;
        let chain = chain.into_iter().map(|m| pb::ChainMember { member_id: m.member_id, grade: m.grade });
        Ok(pb::GetChainResponse { chain: chain.collect() })
    }

    pub(super) async fn settle(
        &self,
        request: pb::SettlePeriodRequest,
    ) -> Result<pb::SettlePeriodResponse, Refusal> {
        let day = read_day("period_date", &request.period_date)?;
        let now_ms = self.clock.now().unix_ms();
        let (stored, settlement, settled_before) =
            self.store.settle(&request.plan_id, day, self.today(), now_ms).await?;
        let period = stored.plan.period.around(day);
        let statements = self.store.statements(&request.plan_id, period, "", PAGE_MAX).await?;
        let listed = i64::try_from(statements.len()).unwrap_or(i64::MAX);
        let left_off = settlement.statement_count.saturating_sub(listed);
        Ok(pb::SettlePeriodResponse {
            period_start: period.start.to_string(),
            period_end: period.end.to_string(),
            paid_minor: settlement.paid_minor,
            carried_minor: settlement.carried_minor,
            currency: stored.plan.currency.to_string(),
            statements,
            statements_left_off: i32::try_from(left_off).unwrap_or(i32::MAX),
            settled_before,
        })
    }

    pub(super) async fn statement(
        &self,
        request: pb::GetStatementRequest,
    ) -> Result<pb::GetStatementResponse, Refusal> {
        let (period, currency) = self.period_of(&request.plan_id, &request.period_date).await?;
        let (plan_id, member_id) = (&request.plan_id, &request.member_id);
        let (statement, lines, count) = self.store.statement(plan_id, period, member_id, PAGE_MAX).await?;
        let left_off = count.saturating_sub(PAGE_MAX).max(0);
        Ok(pb::GetStatementResponse {
            statement: Some(statement),
            lines: lines.iter().map(|posted| ledger_line(posted, currency)).collect(),
            lines_left_off: i32::try_from(left_off).unwrap_or(i32::MAX),
        })
    }

    pub(super) async fn statements(
        &self,
        request: pb::ListStatementsRequest,
    ) -> Result<pb::ListStatementsResponse, Refusal> {
        let (period, _) = self.period_of(&request.plan_id, &request.period_date).await?;
        let size = page_size(request.page_size);
        let after = &request.after_member_id;
        let mut statements = self.store.statements(&request.plan_id, period, after, size + 1).await?;
        let more = i64::try_from(statements.len()).unwrap_or(i64::MAX) > size;
        if more {
            statements.pop();
        }
        let last = statements.last().map(|last| last.member_id.clone()).filter(|_| more);
        Ok(pb::ListStatementsResponse { statements, next_after_member_id: last.unwrap_or_default() })
    }

    async fn period_of(&self, plan_id: &str, date: &str) -> Result<(Period, Currency), Refusal> {
        let day = read_day("period_date", date)?;
        let plan = self.store.plan(plan_id, 0).await?.plan;
        Ok((plan.period.around(day), plan.currency))
    }
}

/// How the amount of a ledger line came about, one step a line: what the period pays, what was posted
/// before, the difference, and what of it is the true-up.
fn steps(line: &pb::LedgerLine, detail: Option<&pb::LineDetail>, plan: &Plan) -> Vec<pb::Text> {
    let currency = plan.currency;
    let money = |minor: i64| Money::new(minor.into(), currency).to_string();
    let text = |en: String, zh: String| pb::Text { en, zh };
    let mut steps = Vec::new();
    if let Some(detail) = detail {
        steps.extend(detail.expected.as_ref().and_then(|expected| expected.explanation.clone()));
        steps.extend(detail.lines.iter().filter_map(|line| line.explanation.clone()));
        if detail.lines_left_off > 0 {
            let listed: i64 = detail.lines.iter().fold(0, |sum, line| sum.saturating_add(line.amount_minor));
            let (count, rest) = (detail.lines_left_off, money(detail.amount_minor.saturating_sub(listed)));
            steps.push(text(
                format!("{count} further lines, together {rest}; CalculateRebate lists them"),
                format!("另有 {count} 行，合计 {rest}；可用 CalculateRebate 列出"),
            ));
        }
        let (amount, count) = (money(detail.amount_minor), detail.event_count);
        let (pays, pays_zh) = match detail.expected {
            Some(_) => ("has earned so far", "至今计提"),
            None => ("pays", "应付"),
        };
        steps.push(text(
            format!("so the period from {} {pays} {amount}, from {count} facts", line.period_start),
            format!("因此 {} 起的期间{pays_zh} {amount}，依据 {count} 项事实", line.period_start),
        ));
    }
    let before = line.balance_minor.saturating_sub(line.amount_minor);
    steps.push(text(
        format!(
            "{} less {} posted before = {}",
            money(line.balance_minor),
            money(before),
            money(line.amount_minor)
        ),
        format!("{} 减已入账 {} = {}", money(line.balance_minor), money(before), money(line.amount_minor)),
    ));
    steps.extend(true_up(line, plan));
    steps
}

/// What of the amount is the true-up of earlier sales, and from what to what.
fn true_up(line: &pb::LedgerLine, plan: &Plan) -> Option<pb::Text> {
    let money = |minor: i64| Money::new(minor.into(), plan.currency).to_string();
    let up = Some(line.true_up_minor).filter(|minor| *minor != 0)?;
    if let Some(before) = &line.expected_before {
        let (base, earned) = (measured_as(plan, before.so_far), money(before.earned_minor));
        let (up, now) = (money(up), money(before.earned_minor.saturating_add(up)));
        let (by, by_zh) = match line.expected {
            Some(_) => ("is expected", "预计"),
            None => ("is reached", "实际"),
        };
        return Some(pb::Text {
            en: format!(
                "{up} of it is the true-up of the earlier {base}: they had earned {earned}, and {now} by what {by} now"
            ),
            zh: format!("其中 {up} 为此前 {base} 的补差：原计提 {earned}，按现在{by_zh}为 {now}"),
        });
    }
    if line.expected.is_some() {
        let up = money(up);
        return Some(pb::Text {
            en: format!(
                "{up} of it is the true-up of earlier sales from the tier that was reached to what is expected"
            ),
            zh: format!("其中 {up} 为此前销售由已达档位调整至预计的补差"),
        });
    }
    let (before, now) = (line.tier_before?, line.tier?);
    let base = if now.unit_minor == 0 { money(before.base) } else { before.base.to_string() };
    let (up, rate_before, rate) = (money(up), rate(before, plan.currency), rate(now, plan.currency));
    Some(pb::Text {
        en: format!("{up} of it is the true-up of the earlier {base} from {rate_before} to {rate}"),
        zh: format!("其中 {up} 为此前 {base} 由 {rate_before} 调整至 {rate} 的补差"),
    })
}

fn rate(tier: pb::TierReached, currency: Currency) -> String {
    match tier.unit_minor {
        0 => format!("{}.{:02} %", tier.rate_bp / 100, tier.rate_bp % 100),
        minor => Money::new(minor.into(), currency).to_string(),
    }
}
