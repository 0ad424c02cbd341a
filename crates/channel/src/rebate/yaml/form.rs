//! The words of the form, and the plan that they make.

use oaas_model::Currency;

use super::super::exact::Rounding;
use super::super::filter::Filter;
use super::super::law::Text;
use super::super::period::PeriodKind;
use super::super::plan::{Base, Basis, Participation, PayeeKind, Payout, PayoutKind, Plan};
use super::reader::{Fields, Reader, TEXT_MAX, describe};
use super::tree::{Kind, Node};
use super::{Draft, Fault, Word, both, same, values};

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

impl Reader {
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
            "accrue",
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
        let measure = tiers.as_ref().and_then(|tiers| tiers.as_ref()).map(|tiers| tiers.measure);
        let expectation = top.get("accrue").map(|node| self.accrue(node, measure, money));
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
                expectation: there(expectation)?.flatten(),
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
                categories
                    .extend(self.scalar(item, &path, &path, |text| values::text(text, values::NAME_MAX)));
            }
        }
        (categories, self.filter(&fields, "only", "filter"))
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
                let sku = self
                    .must(&fields, "sku", "payout.goods_sku", |text| values::text(text, values::NAME_MAX));
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
