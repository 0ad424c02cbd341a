//! The words of the form, and the plan that they make.

use std::collections::BTreeMap;

use oaas_model::Currency;

use super::super::exact::Rounding;
use super::super::filter::Filter;
use super::super::law::Text;
use super::super::period::PeriodKind;
use super::super::plan::{
    Base, Baseline, Basis, Levels, Measure, Participation, Pay, PayeeKind, Payout, PayoutKind, PaysOn, Plan,
    SameLevel, ThresholdRule, Tier, TierMode, TierSchedule, TierScope,
};
use super::tree::{Kind, Mark, Node};
use super::values::{self, Expected};
use super::{Draft, FAULTS_MAX, Fault, both, same};

/// Characters of a title and of a filter, as the contract has them.
const TEXT_MAX: usize = 2_000;
/// Characters of a category, a grade, a SKU, as the contract has them.
const NAME_MAX: usize = 64;

/// Reads the plan of a document.
pub(super) fn draft(root: &Node) -> Result<Draft, Vec<Fault>> {
    let mut reader = Reader::default();
    let read = reader.draft(root);
    match read {
        Some(draft) if reader.faults.is_empty() => {
            reader.problems(&draft.plan, root.mark);
            if reader.faults.is_empty() { Ok(draft) } else { Err(reader.sorted()) }
        }
        _ => Err(reader.sorted()),
    }
}

#[derive(Default)]
struct Reader {
    faults: Vec<Fault>,
    /// Where the file says what the core calls by this path, and how the file calls it.
    marks: BTreeMap<String, (Mark, String)>,
}

/// A word of the form and what it means.
type Word<T> = (&'static str, T);

/// A same-level policy that pays.
type Policy = fn(u32) -> SameLevel;

/// A map with its path.
struct Fields<'n> {
    mark: Mark,
    path: String,
    entries: &'n [(String, Mark, Node)],
}

impl<'n> Fields<'n> {
    fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(name, _, _)| name == key).map(|(_, _, node)| node)
    }

    fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl Reader {
    fn sorted(mut self) -> Vec<Fault> {
        if self.faults.is_empty() {
            let nothing = both("a plan".to_owned(), "返利计划".to_owned());
            self.faults.push(Fault::new(Mark::default(), "", nothing, same(String::new())));
        }
        self.faults.sort_by_key(|fault| fault.mark);
        self.faults.truncate(FAULTS_MAX);
        self.faults
    }

    fn fault<T>(&mut self, mark: Mark, path: &str, expected: Expected, found: Text) -> Option<T> {
        self.faults.push(Fault::new(mark, path, expected, found));
        None
    }

    /// What the fields say together, at the place of the field that the core names.
    fn problems(&mut self, plan: &Plan, root: Mark) {
        for problem in plan.problems() {
            let mut field = problem.field.split(' ').next().unwrap_or_default();
            let (mark, path) = loop {
                match self.marks.get(field) {
                    Some((mark, path)) => break (*mark, path.clone()),
                    None => match field.rfind(['.', '[']) {
                        Some(cut) => field = field.get(..cut).unwrap_or_default(),
                        None => break (root, String::new()),
                    },
                }
            };
            self.faults.push(Fault::new(mark, &path, same(problem.text), same(String::new())));
        }
    }

    fn fields<'n>(&mut self, node: &'n Node, path: &str, known: &[&str]) -> Option<Fields<'n>> {
        let Kind::Map(entries) = &node.kind else {
            let list = known.join(", ");
            let expected = both(format!("a map with {list}"), format!("含 {list} 的映射"));
            return self.fault(node.mark, path, expected, describe(node));
        };
        let fields = Fields { mark: node.mark, path: path.to_owned(), entries };
        for (index, (key, mark, _)) in entries.iter().enumerate() {
            if !known.contains(&key.as_str()) {
                let list = known.join(", ");
                let expected = both(format!("one of {list}"), format!("以下之一：{list}"));
                self.faults.push(Fault::new(*mark, &fields.path(key), expected, values::found(key)));
            }
            if entries.iter().take(index).any(|(before, _, _)| before == key) {
                let expected = both("each field once".to_owned(), "每个字段一次".to_owned());
                self.faults.push(Fault::new(*mark, &fields.path(key), expected, values::found(key)));
            }
        }
        Some(fields)
    }

    fn list<'n>(&mut self, node: &'n Node, path: &str) -> &'n [Node] {
        if let Kind::List(items) = &node.kind {
            return items;
        }
        let expected = both("a list".to_owned(), "列表".to_owned());
        let _: Option<()> = self.fault(node.mark, path, expected, describe(node));
        &[]
    }

    fn scalar<T>(
        &mut self,
        node: &Node,
        path: &str,
        core: &str,
        read: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        self.marks.insert(core.to_owned(), (node.mark, path.to_owned()));
        let Kind::Scalar(text, _) = &node.kind else {
            let expected = read("").err().unwrap_or_else(|| both("a value".to_owned(), "值".to_owned()));
            return self.fault(node.mark, path, expected, describe(node));
        };
        match read(text) {
            Ok(value) => Some(value),
            Err(expected) => self.fault(node.mark, path, expected, values::found(text)),
        }
    }

    /// A field that may be absent: `None` when it is, or when it is wrong and the fault is kept.
    fn may<T>(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        core: &str,
        read: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        let node = fields.get(key)?;
        self.scalar(node, &fields.path(key), core, read)
    }

    /// A field that must be there.
    fn must<T>(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        core: &str,
        read: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        if fields.get(key).is_some() {
            return self.may(fields, key, core, read);
        }
        let expected = read("").err().unwrap_or_else(|| both("a value".to_owned(), "值".to_owned()));
        let found = both("no such field".to_owned(), "缺少该字段".to_owned());
        self.fault(fields.mark, &fields.path(key), expected, found)
    }

    /// An expression; a fault in it is shown where it stands when it is on one line.
    fn filter(&mut self, fields: &Fields<'_>, key: &str, core: &str) -> Option<Filter> {
        let node = fields.get(key)?;
        let source = self.scalar(node, &fields.path(key), core, |text| values::text(text, TEXT_MAX))?;
        match Filter::compile(&source) {
            Ok(filter) => Some(filter),
            Err(error) => {
                let quoted = usize::from(matches!(node.kind, Kind::Scalar(_, true)));
                let mark = if source.contains('\n') {
                    node.mark
                } else {
                    Mark { column: node.mark.column + quoted + error.at - 1, ..node.mark }
                };
                self.fault(mark, &fields.path(key), same(error.expected), same(error.found))
            }
        }
    }

    fn draft(&mut self, root: &Node) -> Option<Draft> {
        let known = [
            "plan",
            "title",
            "currency",
            "country",
            "paid to",
            "counts",
            "demands",
            "from",
            "until",
            "each",
            "rounding",
            "base",
            "sales",
            "tiers",
            "levels",
            "limits",
            "returns within",
            "payout",
        ];
        let top = self.fields(root, "", &known)?;
        let plan_id = self.must(&top, "plan", "plan_id", values::name);
        let title = self.title(&top);
        let currency = self.must(&top, "currency", "currency", values::currency);
        let jurisdiction = self.must(&top, "country", "jurisdiction", values::country);
        let payees = [("companies", PayeeKind::Company), ("persons", PayeeKind::NaturalPerson)];
        let payee = self.must(&top, "paid to", "payee_kind", |text| values::word(text, &payees));
        let bases = [("sales", Basis::Sales), ("headcount", Basis::Headcount)];
        let basis = self.may(&top, "counts", "basis", |text| values::word(text, &bases));
        let effective_from = self.must(&top, "from", "effective_from", values::date);
        let effective_until = self.may(&top, "until", "effective_until", values::date);
        let periods =
            [("month", PeriodKind::Month), ("quarter", PeriodKind::Quarter), ("year", PeriodKind::Year)];
        let period = self.must(&top, "each", "period", |text| values::word(text, &periods));
        let rules = [
            ("half up", Rounding::HalfUp),
            ("half even", Rounding::HalfEven),
            ("down", Rounding::Down),
            ("up", Rounding::Up),
        ];
        let rounding = self.must(&top, "rounding", "rounding", |text| values::word(text, &rules));
        let participation = self.participation(&top);
        let base = self.base(&top);
        let (categories, filter) = self.sales(&top);
        // Amounts can be read in any currency when this one is wrong: the file is refused anyway.
        let money = currency.unwrap_or(Currency::CNY);
        let tiers = top.get("tiers").map(|node| self.tiers(node, money));
        let levels = top.get("levels").map(|node| self.levels(node));
        let limits = self.limits(&top, money);
        let clawback_days = self.may(&top, "returns within", "clawback_days", values::days);
        let payout = self.payout(&top, money);
        Some(Draft {
            plan: Plan {
                plan_id: plan_id?,
                currency: currency?,
                jurisdiction: jurisdiction?,
                payee: payee?,
                basis: basis.unwrap_or(Basis::Sales),
                participation,
                effective_from: effective_from?,
                effective_until,
                period: period?,
                rounding: rounding?,
                base,
                categories,
                filter,
                tiers: there(tiers)?,
                levels: there(levels)?,
                payout_min_minor: limits.smallest,
                cap_member_minor: limits.member,
                cap_plan_minor: limits.plan,
                cap_margin_bp: limits.margin,
                clawback_days: clawback_days.unwrap_or(0),
                payout,
            },
            title: title?,
        })
    }

    /// One text for both languages, or one for each.
    fn title(&mut self, top: &Fields<'_>) -> Option<Text> {
        let read = |text: &str| values::text(text, TEXT_MAX);
        match top.get("title") {
            Some(node @ Node { kind: Kind::Map(_), .. }) => {
                let fields = self.fields(node, "title", &["en", "zh"])?;
                let en = self.must(&fields, "en", "title.en", read);
                let zh = self.must(&fields, "zh", "title.zh", read);
                Some(Text { en: en?, zh: zh? })
            }
            _ => self.must(top, "title", "title", read).map(same),
        }
    }

    fn participation(&mut self, top: &Fields<'_>) -> Participation {
        let known = ["recruiting", "fee", "direct selling"];
        let fields = top.get("demands").and_then(|node| self.fields(node, "demands", &known));
        let Some(fields) = fields else { return Participation::default() };
        let mut says = |key: &str, core: &str| self.may(&fields, key, core, values::truth).unwrap_or(false);
        Participation {
            recruitment_required: says("recruiting", "participation.recruitment_required"),
            entry_fee_required: says("fee", "participation.entry_fee_required"),
            direct_selling: says("direct selling", "participation.direct_selling"),
        }
    }

    fn base(&mut self, top: &Fields<'_>) -> Base {
        let mut base = Base::default();
        let fields = top.get("base").and_then(|node| self.fields(node, "base", &["with"]));
        let Some(node) = fields.and_then(|fields| fields.get("with")) else { return base };
        let parts: [Word<fn(&mut Base)>; 4] = [
            ("tax", |base| base.tax = true),
            ("freight", |base| base.freight = true),
            ("discounts", |base| base.discounts = true),
            ("returns", |base| base.returns = true),
        ];
        for (index, item) in self.list(node, "base.with").iter().enumerate() {
            let path = format!("base.with[{index}]");
            if let Some(add) = self.scalar(item, &path, &path, |text| values::word(text, &parts)) {
                add(&mut base);
            }
        }
        base
    }

    fn sales(&mut self, top: &Fields<'_>) -> (Vec<String>, Option<Filter>) {
        let fields = top.get("sales").and_then(|node| self.fields(node, "sales", &["categories", "only"]));
        let Some(fields) = fields else { return (Vec::new(), None) };
        let mut categories = Vec::new();
        if let Some(node) = fields.get("categories") {
            for (index, item) in self.list(node, "sales.categories").iter().enumerate() {
                let path = format!("sales.categories[{index}]");
                categories.extend(self.scalar(item, &path, &path, |text| values::text(text, NAME_MAX)));
            }
        }
        (categories, self.filter(&fields, "only", "filter"))
    }

    fn tiers(&mut self, node: &Node, currency: Currency) -> Option<TierSchedule> {
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

    fn levels(&mut self, node: &Node) -> Option<Levels> {
        let fields = self.fields(node, "levels", &["fixed", "by grade", "deep", "same level"])?;
        self.marks.insert("differential".to_owned(), (node.mark, "levels".to_owned()));
        match (fields.get("fixed"), fields.get("by grade")) {
            (Some(fixed), None) => {
                self.marks.insert("fixed".to_owned(), (fixed.mark, "levels.fixed".to_owned()));
                let mut rates = Vec::new();
                for (index, item) in self.list(fixed, "levels.fixed").iter().enumerate() {
                    let (path, core) = (format!("levels.fixed[{index}]"), format!("fixed.rates_bp[{index}]"));
                    rates.extend(self.scalar(item, &path, &core, values::share));
                }
                Some(Levels::Fixed(rates))
            }
            (None, Some(grades)) => self.differential(&fields, grades),
            _ => {
                let expected = both(
                    "either fixed, a list of shares, or by grade, a map of shares".to_owned(),
                    "fixed（比例列表）或 by grade（等级与比例）之一".to_owned(),
                );
                self.fault(
                    node.mark,
                    "levels",
                    expected,
                    both("both or none".to_owned(), "两者或皆无".to_owned()),
                )
            }
        }
    }

    fn differential(&mut self, fields: &Fields<'_>, node: &Node) -> Option<Levels> {
        let Kind::Map(entries) = &node.kind else {
            let expected = both("grades with their shares".to_owned(), "等级与比例".to_owned());
            return self.fault(node.mark, "levels.by grade", expected, describe(node));
        };
        let mut grades = Vec::new();
        for (index, (grade, _, rate)) in entries.iter().enumerate() {
            let (path, core) =
                (format!("levels.by grade.{grade}"), format!("differential.grades[{index}].rate_bp"));
            self.marks.insert(format!("differential.grades[{index}]"), (rate.mark, path.clone()));
            grades.extend(self.scalar(rate, &path, &core, values::share).map(|rate| (grade.clone(), rate)));
        }
        let depth = self.must(fields, "deep", "differential.depth_max", |text| {
            values::whole(text).map(|depth| usize::try_from(depth).unwrap_or(usize::MAX))
        });
        let same_level = match fields.get("same level") {
            None => SameLevel::None,
            Some(node) => {
                let same = self.fields(node, "levels.same level", &["pays", "to"])?;
                let pays = self.must(&same, "pays", "differential.same_level_rate_bp", values::share);
                let words: [Word<Policy>; 2] = [("every", SameLevel::Every), ("nearest", SameLevel::Once)];
                let to = self.must(&same, "to", "differential.same_level", |text| values::word(text, &words));
                to?(pays?)
            }
        };
        Some(Levels::Differential { grades, depth_max: depth?, same_level })
    }

    fn limits(&mut self, top: &Fields<'_>, currency: Currency) -> Limits {
        let known = ["smallest payout", "per member", "per plan", "share of margin"];
        let fields = top.get("limits").and_then(|node| self.fields(node, "limits", &known));
        let Some(fields) = fields else { return Limits::default() };
        let money = |text: &str| values::money(text, currency);
        Limits {
            smallest: self.may(&fields, "smallest payout", "payout_min_minor", money).unwrap_or(0),
            member: self.may(&fields, "per member", "cap_member_minor", money),
            plan: self.may(&fields, "per plan", "cap_plan_minor", money),
            margin: self.may(&fields, "share of margin", "cap_margin_bp", values::share),
        }
    }

    fn payout(&mut self, top: &Fields<'_>, currency: Currency) -> Payout {
        let known = ["as", "carry under", "sku", "worth"];
        let fields = top.get("payout").and_then(|node| self.fields(node, "payout", &known));
        let Some(fields) = fields else { return Payout::default() };
        let money = |text: &str| values::money(text, currency);
        let carry = self.may(&fields, "carry under", "payout.carry_under_minor", money);
        let words = [("credit", 0), ("cash", 1), ("goods", 2)];
        let kind = match self.must(&fields, "as", "payout.kind", |text| values::word(text, &words)) {
            Some(2) => {
                let sku = self.must(&fields, "sku", "payout.goods_sku", |text| values::text(text, NAME_MAX));
                let worth = self.must(&fields, "worth", "payout.goods_unit_value_minor", money);
                PayoutKind::Goods { sku: sku.unwrap_or_default(), unit_value_minor: worth.unwrap_or(1) }
            }
            Some(1) => PayoutKind::Cash,
            _ => PayoutKind::Credit,
        };
        if !matches!(kind, PayoutKind::Goods { .. }) {
            for key in ["sku", "worth"] {
                if let Some(node) = fields.get(key) {
                    let expected = both("as: goods beside it".to_owned(), "须与 as: goods 同用".to_owned());
                    self.faults.push(Fault::new(node.mark, &fields.path(key), expected, describe(node)));
                }
            }
        }
        Payout { kind, carry_under_minor: carry.unwrap_or(0) }
    }
}

#[derive(Default)]
struct Limits {
    smallest: i64,
    member: Option<i64>,
    plan: Option<i64>,
    margin: Option<u32>,
}

/// Absent stays absent; what was there and could not be read ends the reading.
fn there<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

fn describe(node: &Node) -> Text {
    match &node.kind {
        Kind::Scalar(text, _) => values::found(text),
        Kind::List(_) => both("a list".to_owned(), "列表".to_owned()),
        Kind::Map(_) => both("a map".to_owned(), "映射".to_owned()),
    }
}
