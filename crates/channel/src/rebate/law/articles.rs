//! The articles, as data with the days on which they were in force.
//!
//! Sources: State Council decrees 443 and 444 of 2005 as published (lawinfochina.com, gmw.cn
//! 2005-09-03), opinion 公通字〔2013〕37号, and the platform notice of August 2016. Both decrees have
//! been on the State Council's list of revisions since 2024: when the new text comes, the old entry
//! gets its last day and the new one stands beside it.

use jiff::civil::{Date, date};

use super::{Severity, Trigger};

/// An article of a law or of a platform's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Article {
    /// ISO 3166-1 code of the country.
    pub jurisdiction: &'static str,
    /// Title, English.
    pub title_en: &'static str,
    /// Title, Chinese.
    pub title_zh: &'static str,
    /// What it says in short, English.
    pub summary_en: &'static str,
    /// What it says in short, Chinese.
    pub summary_zh: &'static str,
    /// Where it was published.
    pub source: &'static str,
    /// First day in force.
    pub from: Date,
    /// Last day in force; `None` while it is.
    pub until: Option<Date>,
    /// What it means for a plan.
    pub rules: &'static [Rule],
}

/// What an article means for a plan that has a property.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// The property.
    pub trigger: Trigger,
    /// How serious.
    pub severity: Severity,
    /// Code for programs.
    pub code: &'static str,
}

impl Article {
    /// Whether it was in force on any day from `first` to `last`.
    #[must_use]
    pub fn in_force_between(&self, first: Date, last: Date) -> bool {
        self.from <= last && self.until.is_none_or(|until| first <= until)
    }
}

const fn rule(trigger: Trigger, severity: Severity, code: &'static str) -> Rule {
    Rule { trigger, severity, code }
}

/// Every article on file.
pub static ARTICLES: &[Article] = &[
    Article {
        jurisdiction: "CN",
        title_en: "Regulation on the Prohibition of Pyramid Selling, article 7 (1)",
        title_zh: "《禁止传销条例》第七条第（一）项",
        summary_en: "To have members recruit others and to pay by the number of people recruited, directly \
                     or indirectly, is pyramid selling.",
        summary_zh: "要求被发展人员发展其他人员加入，以直接或者间接滚动发展的人员数量为依据计算和给付报酬的，属于传销行为。",
        source: "State Council Decree 444 (国务院令第444号), 2005-08-23",
        from: date(2005, 11, 1),
        until: None,
        rules: &[rule(Trigger::Headcount, Severity::Block, "HEADCOUNT")],
    },
    Article {
        jurisdiction: "CN",
        title_en: "Regulation on the Prohibition of Pyramid Selling, article 7 (2)",
        title_zh: "《禁止传销条例》第七条第（二）项",
        summary_en: "To demand a fee, or a purchase in place of one, for the right to take part or to \
                     recruit is pyramid selling.",
        summary_zh: "要求被发展人员交纳费用或者以认购商品等方式变相交纳费用，取得加入或者发展其他人员加入的资格的，属于传销行为。",
        source: "State Council Decree 444 (国务院令第444号), 2005-08-23",
        from: date(2005, 11, 1),
        until: None,
        rules: &[rule(Trigger::EntryFee, Severity::Block, "ENTRY_FEE")],
    },
    Article {
        jurisdiction: "CN",
        title_en: "Regulation on the Prohibition of Pyramid Selling, article 7 (3)",
        title_zh: "《禁止传销条例》第七条第（三）项",
        summary_en: "To have members recruit others so that lines of uplines and downlines form, and to pay \
                     the upline by the sales of the downline, is pyramid selling, at any depth.",
        summary_zh: "要求被发展人员发展其他人员加入，形成上下线关系，并以下线的销售业绩为依据计算和给付上线报酬的，属于传销行为。",
        source: "State Council Decree 444 (国务院令第444号), 2005-08-23",
        from: date(2005, 11, 1),
        until: None,
        rules: &[
            rule(Trigger::DepthFrom(3), Severity::Block, "UPLINE_DEPTH"),
            rule(Trigger::Uplines { recruiting: true }, Severity::Warn, "UPLINE_RECRUITMENT"),
            rule(Trigger::Uplines { recruiting: false }, Severity::Info, "UPLINE_PAY"),
        ],
    },
    Article {
        jurisdiction: "CN",
        title_en: "Opinions on criminal cases of organizing and leading pyramid selling, sections 1 and 5",
        title_zh: "《关于办理组织领导传销活动刑事案件适用法律若干问题的意见》第一条、第五条",
        summary_en: "Thirty people and three levels, paid by headcount, are the threshold of a criminal \
                     case. Pure pay by team sales is not treated as a crime; it stays an administrative \
                     offence.",
        summary_zh: "参与人员在三十人以上且层级在三级以上的，应当追究组织者、领导者的刑事责任；单纯的“团队计酬”不作为犯罪处理，仍依行政法规处理。",
        source: "公通字〔2013〕37号, 2013-11-14",
        from: date(2013, 11, 14),
        until: None,
        rules: &[
            rule(Trigger::Headcount, Severity::Warn, "CRIMINAL_THRESHOLD"),
            rule(Trigger::DepthFrom(3), Severity::Warn, "TEAM_PAY"),
        ],
    },
    Article {
        jurisdiction: "CN",
        title_en: "Regulation on Direct Selling, article 24",
        title_zh: "《直销管理条例》第二十四条",
        summary_en: "A direct seller is paid at least monthly, from its own sales to consumers only, and in \
                     all at most 30 % of these.",
        summary_zh: "至少应当按月支付直销员报酬；报酬只能按照直销员本人直接向消费者销售产品的收入计算，总额不得超过该收入的30%。",
        source: "State Council Decree 443 (国务院令第443号), 2005-08-23",
        from: date(2005, 12, 1),
        until: None,
        rules: &[
            rule(Trigger::DirectSellerUpline, Severity::Block, "DIRECT_SELLER_UPLINE"),
            rule(
                Trigger::PayoutOver { share_bp: 3_000, direct_selling: true },
                Severity::Block,
                "DIRECT_SELLER_PAYOUT",
            ),
            rule(
                Trigger::PayoutOver { share_bp: 3_000, direct_selling: false },
                Severity::Warn,
                "PAYOUT_SHARE",
            ),
        ],
    },
    Article {
        jurisdiction: "CN",
        title_en: "WeChat notice on illegal distribution, August 2016 (rules of a platform, not law)",
        title_zh: "微信公众平台关于整顿非法分销模式行为的公告（2016年8月，平台规则）",
        summary_en: "Distribution of three or more levels closes payment and account; two levels, the \
                     promoter included, are accepted.",
        summary_zh: "三级及以上分销将关闭支付权限并封停帐号；仅接受含推广者在内的两级。",
        source: "cnbeta.com, 2016-08-22",
        from: date(2016, 8, 22),
        until: None,
        rules: &[rule(Trigger::DepthFrom(3), Severity::Warn, "PLATFORM_DEPTH")],
    },
];
