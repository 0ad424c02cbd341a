//! How an open period is accrued, as the form says it.

use oaas_model::Currency;

use super::super::expectation::{Expectation, Projection};
use super::super::plan::Measure;
use super::reader::{Reader, describe};
use super::tree::{Kind, Node};
use super::{both, values};

/// What is accrued when nothing is expected.
const AS_REACHED: &str = "as reached";

impl Reader {
    /// `None` inside for an accrual at the tier that is reached.
    pub(super) fn accrue(
        &mut self,
        node: &Node,
        measure: Option<Measure>,
        currency: Currency,
    ) -> Option<Option<Expectation>> {
        self.marks.insert("expectation".to_owned(), (node.mark, "accrue".to_owned()));
        if matches!(&node.kind, Kind::Scalar(text, _) if text == AS_REACHED) {
            return Some(None);
        }
        if !matches!(node.kind, Kind::Map(_)) {
            let expected = both(
                format!("{AS_REACHED}, or a map with project, less, tiers up, each, members"),
                format!("{AS_REACHED}，或含 project, less, tiers up, each, members 的映射"),
            );
            return self.fault(node.mark, "accrue", expected, describe(node));
        }
        let fields = self.fields(node, "accrue", &["project", "less", "tiers up", "each", "members"])?;
        let total = |text: &str| match measure {
            Some(Measure::Quantity) => values::whole(text),
            _ => values::money(text, currency),
        };
        let methods = [
            ("run rate", Projection::RunRate),
            ("previous period", Projection::PreviousPeriod),
            ("last year", Projection::SamePeriodLastYear),
        ];
        let core = "expectation.projection";
        let projection = self.may(&fields, "project", core, |text| values::word(text, &methods));
        let less = self.may(&fields, "less", "expectation.less_bp", values::share);
        let tiers_up = self.may(&fields, "tiers up", "expectation.tiers_up", |text| {
            values::whole(text).map(|up| u32::try_from(up).unwrap_or(u32::MAX))
        });
        let each = self.may(&fields, "each", "expectation.each_total", total);
        let mut expectation =
            Expectation { projection, less_bp: less.unwrap_or(0), each, tiers_up, ..Expectation::default() };
        if let Some(node) = fields.get("members") {
            self.marks.insert("expectation.members".to_owned(), (node.mark, "accrue.members".to_owned()));
            let Kind::Map(members) = &node.kind else {
                let expected = both("members with their totals".to_owned(), "成员与合计".to_owned());
                return self.fault(node.mark, "accrue.members", expected, describe(node));
            };
            for (member_id, mark, node) in members {
                let (path, core) =
                    (format!("accrue.members.{member_id}"), format!("expectation.members.{member_id}"));
                let stated = self.scalar(node, &path, &core, total);
                if let Err(expected) = values::text(member_id, values::NAME_MAX) {
                    return self.fault(*mark, &path, expected, values::found(member_id));
                }
                if stated.and_then(|total| expectation.members.insert(member_id.clone(), total)).is_some() {
                    let expected = both("each member once".to_owned(), "每个成员一次".to_owned());
                    return self.fault(*mark, &path, expected, values::found(member_id));
                }
            }
        }
        Some(Some(expectation))
    }
}
