//! What a request says, as the core reads it, or every field that is not as it must be.

use jiff::civil::Date;
use oaas_capability::Violation;
use oaas_model::Currency;
use oaas_proto::oaas::channel::v1 as pb;

use super::super::refusal::Refusal;
use super::super::store::CoreFact;
use super::super::{Facts, PROBLEMS_MAX, Plan, Problem, wire};

pub(super) fn missing(field: &str, description: &str) -> Refusal {
    Refusal::Invalid(vec![Violation::new(field, description)])
}

pub(super) fn read_day(field: &str, text: &str) -> Result<Date, Refusal> {
    let mut reader = wire::Reader::at("");
    let day = reader.day(field, text);
    reader.finish(day).map_err(Refusal::Invalid)
}

pub(super) fn read_plan(plan: Option<&pb::Plan>, field: &str) -> Result<Plan, Refusal> {
    let plan = plan.ok_or_else(|| missing(field, "must be there"))?;
    let mut reader = wire::Reader::at(field);
    let read = reader.plan(plan);
    reader.finish(read).map_err(Refusal::Invalid)
}

pub(super) fn well_formed(plan: &Plan, field: &str) -> Result<(), Refusal> {
    let problems = plan.problems();
    if problems.is_empty() {
        return Ok(());
    }
    Err(Refusal::Invalid(wire::violations(&format!("{field}."), &problems)))
}

pub(super) fn read_inline(inline: &pb::InlineSource) -> Result<(Plan, Facts), Refusal> {
    let mut reader = wire::Reader::at("inline.plan");
    let plan = inline.plan.as_ref().and_then(|plan| reader.plan(plan));
    let plan = reader.finish(plan).map_err(Refusal::Invalid)?;
    let lists = (&*inline.sales, &*inline.returns, &*inline.payments);
    let facts = read_facts("inline", lists, plan.currency)?;
    Ok((plan, facts))
}

/// Sales, returns and payments of a request.
type Lists<'a> = (&'a [pb::Sale], &'a [pb::SaleReturn], &'a [pb::Payment]);

pub(super) fn read_facts(path: &str, lists: Lists<'_>, currency: Currency) -> Result<Facts, Refusal> {
    let mut violations = Vec::new();
    let sales = each(lists.0, path, "sales", &mut violations, |reader, sale| reader.sale(sale, currency));
    let returns =
        each(lists.1, path, "returns", &mut violations, |reader, fact| reader.sale_return(fact, currency));
    let payments = each(lists.2, path, "payments", &mut violations, wire::Reader::payment);
    violations.truncate(PROBLEMS_MAX);
    if violations.is_empty() {
        Ok(Facts { sales, returns, payments })
    } else {
        Err(Refusal::Invalid(violations))
    }
}

fn each<W, C>(
    list: &[W],
    path: &str,
    name: &str,
    violations: &mut Vec<Violation>,
    read: impl Fn(&mut wire::Reader, &W) -> Option<C>,
) -> Vec<C> {
    let mut facts = Vec::with_capacity(list.len());
    for (index, fact) in list.iter().enumerate() {
        let mut reader = wire::Reader::at(&format!("{path}.{name}[{index}]"));
        let found = read(&mut reader, fact);
        match reader.finish(found) {
            Ok(fact) => facts.push(fact),
            Err(found) => violations.extend(found),
        }
    }
    facts
}

/// What can be said about a fact without the others: its numbers, its chain, its grades.
pub(super) fn check_alone(path: &str, plan: &Plan, fact: &CoreFact) -> Result<(), Refusal> {
    let mut problems = match fact {
        CoreFact::Sale(sale) => sale.problems(),
        CoreFact::Return(fact) => fact.problems(),
        CoreFact::Payment(_) => Vec::new(),
    };
    if let CoreFact::Sale(sale) = fact {
        let mix = plan.tiers.as_ref().and_then(|schedule| schedule.mix.as_ref());
        for said in [plan.selects(sale), mix.map_or(Ok(true), |mix| mix.passes(sale))] {
            problems.extend(
                said.err().map(|error| Problem::new("attributes", format!("the filter stops: {error}"))),
            );
        }
    }
    if let (CoreFact::Sale(sale), Some(levels)) = (fact, &plan.levels)
        && let Some((place, grade)) = levels.unknown_grade(&sale.chain)
    {
        let text = format!("{grade:?} is not a grade of the plan");
        problems.push(Problem::new(format!("chain[{place}].grade"), text));
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Refusal::Invalid(wire::violations(&format!("{path}."), &problems)))
}
