//! What the law on multi-level commission says about a plan. Articles are data with dates; here are
//! only the properties of a plan that an article can speak about. Not legal advice.

mod articles;

use jiff::civil::Date;

use super::plan::{Basis, Levels, PayeeKind, Plan};
pub use articles::{ARTICLES, Article};

/// A text in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// English.
    pub en: String,
    /// Chinese.
    pub zh: String,
}

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Ask a lawyer first.
    Warn,
    /// The plan is refused.
    Block,
}

/// A property of plans that an article speaks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Pay by the number of people recruited.
    Headcount,
    /// A fee or a purchase as a condition of taking part.
    EntryFee,
    /// Natural persons are paid this many positions deep or deeper, the seller included.
    DepthFrom(usize),
    /// Natural persons are paid exactly two positions deep.
    Uplines {
        /// Whether members must recruit.
        recruiting: bool,
    },
    /// Direct sellers are paid more than one position deep: from others' sales.
    DirectSellerUpline,
    /// Natural persons may get more than this share of the sales, basis points.
    PayoutOver {
        /// The share.
        share_bp: u32,
        /// Only for direct sellers of a licensed company, or only for others.
        direct_selling: bool,
    },
}

/// A finding about a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How serious.
    pub severity: Severity,
    /// Code for programs.
    pub code: &'static str,
    /// Field of the plan.
    pub field: &'static str,
    /// What is the matter with this plan.
    pub message: Text,
    /// The article; `None` when none is concerned.
    pub article: Option<&'static Article>,
}

/// Findings about `plan` from the articles in force on any day from `first` to `last`, the most
/// serious first.
#[must_use]
pub fn check(plan: &Plan, first: Date, last: Date) -> Vec<Finding> {
    let known = ARTICLES.iter().filter(|article| article.jurisdiction == plan.jurisdiction);
    let in_force: Vec<_> = known.filter(|article| article.in_force_between(first, last)).collect();
    if in_force.is_empty() {
        return vec![Finding {
            severity: Severity::Info,
            code: "NO_ARTICLES",
            field: "jurisdiction",
            message: Text {
                en: format!(
                    "no articles on file for {} on {first}: the law was not checked",
                    plan.jurisdiction
                ),
                zh: format!("{first} 没有 {} 的法规条文：未作合法性检查", plan.jurisdiction),
            },
            article: None,
        }];
    }
    let rules =
        in_force.into_iter().flat_map(|article| article.rules.iter().map(move |rule| (article, rule)));
    let mut findings: Vec<_> = rules
        .filter(|(_, rule)| holds(rule.trigger, plan))
        .map(|(article, rule)| {
            let (field, message) = wording(rule.trigger, plan);
            Finding { severity: rule.severity, code: rule.code, field, message, article: Some(article) }
        })
        .collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// Those of [`check`] that block.
#[must_use]
pub fn blocking(plan: &Plan, first: Date, last: Date) -> Vec<Finding> {
    let mut findings = check(plan, first, last);
    findings.retain(|finding| finding.severity == Severity::Block);
    findings
}

fn depth(plan: &Plan) -> usize {
    plan.levels.as_ref().map_or(0, Levels::depth)
}

fn holds(trigger: Trigger, plan: &Plan) -> bool {
    let persons = plan.payee == PayeeKind::NaturalPerson;
    let demands = plan.participation;
    match trigger {
        Trigger::Headcount => plan.basis == Basis::Headcount,
        Trigger::EntryFee => demands.entry_fee_required,
        Trigger::DepthFrom(least) => persons && depth(plan) >= least,
        Trigger::Uplines { recruiting } => {
            persons && depth(plan) == 2 && demands.recruitment_required == recruiting
        }
        Trigger::DirectSellerUpline => persons && demands.direct_selling && depth(plan) > 1,
        Trigger::PayoutOver { share_bp, direct_selling } => {
            persons && demands.direct_selling == direct_selling && plan.payout_max_bp() > share_bp
        }
    }
}

fn wording(trigger: Trigger, plan: &Plan) -> (&'static str, Text) {
    let depth = depth(plan);
    let percent = |bp: u32| format!("{}.{:02} %", bp / 100, bp % 100);
    let payout = percent(plan.payout_max_bp());
    let (field, en, zh) = match trigger {
        Trigger::Headcount => (
            "basis",
            "the plan pays by the number of people recruited".to_owned(),
            "计划按发展人员的数量计酬".to_owned(),
        ),
        Trigger::EntryFee => (
            "participation.entry_fee_required",
            "taking part demands a fee or a purchase".to_owned(),
            "参加须缴纳费用或者认购商品".to_owned(),
        ),
        Trigger::DepthFrom(_) => (
            "levels",
            format!("natural persons are paid {depth} levels deep, from the sales of members below them"),
            format!("向自然人计酬达 {depth} 级，以下线的销售业绩为依据"),
        ),
        Trigger::Uplines { recruiting: true } => (
            "participation.recruitment_required",
            "members must recruit, and the one above is paid from the sales of the one below".to_owned(),
            "要求成员发展他人加入，并以下线的销售业绩给付上线报酬".to_owned(),
        ),
        Trigger::Uplines { recruiting: false } => (
            "levels",
            "the one above is paid from the sales of the one below; it must stay free of any demand to recruit"
                .to_owned(),
            "上线报酬以下线的销售业绩为依据；不得附带任何发展人员的要求".to_owned(),
        ),
        Trigger::DirectSellerUpline => (
            "levels",
            "a direct seller may be paid from its own sales to consumers only".to_owned(),
            "直销员报酬只能按照本人直接向消费者销售产品的收入计算".to_owned(),
        ),
        Trigger::PayoutOver { share_bp, .. } => (
            "tiers and levels",
            format!("the plan can pay {payout} of the sales, more than {}", percent(share_bp)),
            format!("计划最高可支付销售额的 {payout}，超过 {}", percent(share_bp)),
        ),
    };
    (field, Text { en, zh })
}
