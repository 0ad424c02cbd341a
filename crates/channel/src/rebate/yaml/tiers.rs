//! The tiers of the form.

use oaas_model::Currency;

use super::super::plan::{
    Baseline, Measure, Pay, PaysOn, ThresholdRule, Tier, TierMode, TierSchedule, TierScope,
};
use super::reader::{Fields, Reader};
use super::tree::Node;
use super::{both, values};

impl Reader {
    pub(super) fn tiers(&mut self, node: &Node, currency: Currency) -> Option<TierSchedule> {
        let known = ["by", "over", "rate on", "reached", "steps", "at least", "rolling", "baseline", "mix"];
        let fields = self.fields(node, "tiers", &known)?;
        self.marks.insert("tiers".to_owned(), (node.mark, "tiers".to_owned()));
        let measures = [
            ("amount", Measure::Amount),
            ("quantity", Measure::Quantity),
            ("growth", Measure::Growth),
            ("mix", Measure::Mix),
            ("early payment", Measure::EarlyPayment),
        ];
        let measure = self.must(&fields, "by", "tiers.measure", |text| values::word(text, &measures));
        let scopes = [("the period", TierScope::Period), ("each sale", TierScope::Sale)];
        let scope = self.must(&fields, "over", "tiers.scope", |text| values::word(text, &scopes));
        let modes = [
            ("each slice", (TierMode::Marginal, PaysOn::Everything)),
            ("everything", (TierMode::Retroactive, PaysOn::Everything)),
            ("the part", (TierMode::Retroactive, PaysOn::Part)),
        ];
        let mode = self.must(&fields, "rate on", "tiers.mode", |text| values::word(text, &modes));
        let rules = [("at", ThresholdRule::Reached), ("above", ThresholdRule::Exceeded)];
        let rule = self.may(&fields, "reached", "tiers.threshold_rule", |text| values::word(text, &rules));
        let floor = self.may(&fields, "at least", "tiers.floor_minor", |text| values::money(text, currency));
        let window_days = self.may(&fields, "rolling", "tiers.window_days", values::days);
        let baseline = self.may(&fields, "baseline", "tiers.baseline", |text| match text {
            "previous period" => Ok(Baseline::PreviousPeriod),
            "last year" => Ok(Baseline::SamePeriodLastYear),
            text => values::money(text, currency).map(Baseline::Fixed).map_err(|amount| {
                both(
                    format!("previous period, last year or {}", amount.en),
                    format!("previous period、last year 或 {}", amount.zh),
                )
            }),
        });
        let mix = self.filter(&fields, "mix", "tiers.mix_filter");
        let steps = self.steps(&fields, measure, currency);
        let (mode, pays_on) = mode?;
        Some(TierSchedule {
            measure: measure?,
            scope: scope?,
            mode,
            threshold_rule: rule.unwrap_or(ThresholdRule::Reached),
            tiers: steps?,
            floor_minor: floor.unwrap_or(0),
            window_days: window_days.unwrap_or(0),
            baseline: baseline.unwrap_or_default(),
            mix,
            pays_on,
        })
    }

    fn steps(
        &mut self,
        fields: &Fields<'_>,
        measure: Option<Measure>,
        currency: Currency,
    ) -> Option<Vec<Tier>> {
        let Some(node) = fields.get("steps") else {
            let expected = both("a list of steps".to_owned(), "档位列表".to_owned());
            let found = both("no such field".to_owned(), "缺少该字段".to_owned());
            return self.fault(fields.mark, "tiers.steps", expected, found);
        };
        let mut tiers = Vec::new();
        for (index, item) in self.list(node, "tiers.steps").iter().enumerate() {
            let (path, core) = (format!("tiers.steps[{index}]"), format!("tiers.tiers[{index}]"));
            self.marks.insert(core.clone(), (item.mark, path.clone()));
            let Some(step) = self.fields(item, &path, &["from", "pays"]) else { continue };
            let threshold = self.must(&step, "from", &format!("{core}.threshold"), |text| match measure {
                Some(Measure::Amount) => values::money(text, currency),
                Some(Measure::Growth | Measure::Mix) => values::share(text).map(i64::from),
                Some(Measure::EarlyPayment) => values::days(text).map(i64::from),
                Some(Measure::Quantity) | None => values::whole(text),
            });
            let pay = self.must(&step, "pays", &format!("{core}.rate_bp"), |text| {
                let each = ["each", "每件"].iter().find_map(|unit| text.trim().strip_suffix(unit));
                match each {
                    Some(amount) => values::money(amount, currency).map(Pay::PerUnit),
                    None => values::share(text).map(Pay::Rate).map_err(|share| {
                        both(format!("{}, or 1.50 each", share.en), format!("{}，或 1.50 每件", share.zh))
                    }),
                }
            });
            if let Some(pays) = step.get("pays") {
                self.marks.insert(format!("{core}.unit_minor"), (pays.mark, step.path("pays")));
            }
            tiers.extend(threshold.zip(pay).map(|(threshold, pay)| Tier { threshold, pay }));
        }
        Some(tiers)
    }
}
