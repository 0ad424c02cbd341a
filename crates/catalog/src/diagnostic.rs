//! What is wrong with a file, where, and what was expected instead; for people and for programs.

use std::fmt::Write as _;

use oaas_model::Lang;
use serde::Serialize;

use crate::service::Text;
use crate::yaml::Mark;

/// Diagnostics that one load reports at most; the rest is counted.
pub const DIAGNOSTICS_MAX: usize = 1_000;
/// Characters of a source line that a diagnostic quotes at most.
const SOURCE_LINE_CHARS_MAX: usize = 160;

/// What kind of fault it is; part of the JSON form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A file or folder can't be read, or isn't one that belongs here.
    Unreadable,
    /// Not YAML, or a part of YAML that the catalog does not use.
    Syntax,
    /// Over a budget: size, depth, number of nodes, aliases, files, services or callers.
    Budget,
    /// A field that nothing reads.
    UnknownField,
    /// A required field is absent.
    MissingField,
    /// A field that is there and says nothing.
    Blank,
    /// The same thing twice.
    Doubled,
    /// Another type than expected.
    WrongType,
    /// The right type, and not a value that is allowed.
    InvalidValue,
    /// It names something that isn't there.
    Dangling,
    /// Two values that don't go together.
    Conflict,
}

impl Fault {
    /// The fault in a few words.
    #[must_use]
    pub fn title(self, lang: Lang) -> &'static str {
        let (en, zh) = match self {
            Self::Unreadable => ("file can't be used", "文件无法使用"),
            Self::Syntax => ("syntax", "语法错误"),
            Self::Budget => ("over the limit", "超出上限"),
            Self::UnknownField => ("unknown field", "未知字段"),
            Self::MissingField => ("missing field", "缺少字段"),
            Self::Blank => ("blank value", "值为空"),
            Self::Doubled => ("said twice", "重复"),
            Self::WrongType => ("wrong type", "类型错误"),
            Self::InvalidValue => ("invalid value", "值无效"),
            Self::Dangling => ("names something that does not exist", "引用不存在"),
            Self::Conflict => ("values contradict each other", "取值矛盾"),
        };
        pick(lang, en, zh)
    }

    /// Its name in the JSON form. Example: "unknown-field".
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Syntax => "syntax",
            Self::Budget => "budget",
            Self::UnknownField => "unknown-field",
            Self::MissingField => "missing-field",
            Self::Blank => "blank",
            Self::Doubled => "doubled",
            Self::WrongType => "wrong-type",
            Self::InvalidValue => "invalid-value",
            Self::Dangling => "dangling",
            Self::Conflict => "conflict",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// File, relative to its folder. Example: "channel/rebate.yaml".
    pub file: String,
    /// Line, from 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// Column in characters, from 1; 0 when the file as a whole is meant.
    pub column: u32,
    /// Characters that are meant, at least 1.
    pub length: u32,
    /// Kind of fault.
    pub fault: Fault,
    /// Field, with dots and indices; empty for the whole file. Example: "methods.Redeem.stakes[0].budget".
    pub field: String,
    /// What stands there.
    pub found: Text,
    /// What was expected.
    pub expected: Text,
    /// What to do about it; often "did you mean".
    pub help: Option<Text>,
    /// The line as it stands in the file, cut where it is very long.
    pub source: String,
}

/// Everything that is wrong, in the order of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    /// The faults: at most [`DIAGNOSTICS_MAX`].
    pub list: Vec<Diagnostic>,
    /// How many more there were.
    pub more: usize,
}

impl Diagnostics {
    /// How many there are in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len().saturating_add(self.more)
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them as rustc would write them, without colours.
    #[must_use]
    pub fn render(&self, lang: Lang) -> String {
        let mut text = String::new();
        for diagnostic in &self.list {
            diagnostic.render(lang, &mut text);
            text.push('\n');
        }
        let files: std::collections::BTreeSet<&str> = self.list.iter().map(|d| d.file.as_str()).collect();
        // Writing to a String can't fail.
        let _ = match lang {
            Lang::En => writeln!(text, "{} error(s) in {} file(s)", self.len(), files.len()),
            Lang::Zh => writeln!(text, "{} 个文件中共有 {} 处错误", files.len(), self.len()),
        };
        text
    }

    /// All of them for programs: `{"errors": [...], "more": n}`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "errors": self.list.iter().map(Diagnostic::to_json).collect::<Vec<_>>(),
            "more": self.more,
        })
    }
}

impl std::fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render(Lang::En))
    }
}

impl Diagnostic {
    /// Appends the fault as rustc would write it.
    pub fn render(&self, lang: Lang, text: &mut String) {
        let title = self.fault.title(lang);
        let _ = match (lang, self.field.is_empty()) {
            (Lang::En, true) => writeln!(text, "error[{}]: {title}", self.fault.code()),
            (Lang::En, false) => writeln!(text, "error[{}]: {title}: `{}`", self.fault.code(), self.field),
            (Lang::Zh, true) => writeln!(text, "错误[{}]：{title}", self.fault.code()),
            (Lang::Zh, false) => writeln!(text, "错误[{}]：{title}：`{}`", self.fault.code(), self.field),
        };
        let number = if self.line == 0 { String::new() } else { self.line.to_string() };
        let margin = " ".repeat(number.len());
        if self.line == 0 {
            let _ = writeln!(text, "{margin}--> {}", self.file);
        } else {
            let _ = writeln!(text, "{margin}--> {}:{}:{}", self.file, self.line, self.column);
            self.quote(&number, &margin, text);
        }
        let (found, expected, help) = match lang {
            Lang::En => ("found", "expected", "help"),
            Lang::Zh => ("实际", "应为", "提示"),
        };
        for (label, said) in
            [(found, Some(&self.found)), (expected, Some(&self.expected)), (help, self.help.as_ref())]
        {
            if let Some(said) =
                said.map(|said| pick(lang, &said.en, &said.zh)).filter(|said| !said.is_empty())
            {
                let _ = writeln!(text, "{margin} = {label}: {said}");
            }
        }
    }

    /// The fault for programs.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "file": self.file, "line": self.line, "column": self.column, "length": self.length,
            "code": self.fault.code(), "field": self.field,
            "found": self.found.en, "expected": self.expected.en,
            "help": self.help.as_ref().map(|help| help.en.as_str()),
        })
    }

    fn quote(&self, number: &str, margin: &str, text: &mut String) {
        let before: usize = self
            .source
            .chars()
            .take(usize::try_from(self.column.saturating_sub(1)).unwrap_or(0))
            .map(columns)
            .sum();
        let meant: usize = self
            .source
            .chars()
            .skip(usize::try_from(self.column.saturating_sub(1)).unwrap_or(0))
            .take(usize::try_from(self.length).unwrap_or(1))
            .map(columns)
            .sum();
        let _ = writeln!(text, "{margin} |\n{number} | {}", self.source);
        let _ = writeln!(text, "{margin} | {}{}", " ".repeat(before), "^".repeat(meant.max(1)));
    }
}

/// Columns that a character takes on a terminal: two for East Asian wide ones (UAX #11, the blocks that
/// Chinese text uses).
fn columns(c: char) -> usize {
    match c {
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

fn pick<'t>(lang: Lang, en: &'t str, zh: &'t str) -> &'t str {
    match lang {
        Lang::En => en,
        Lang::Zh => zh,
    }
}

/// A text in both languages.
pub(crate) fn text(en: impl Into<String>, zh: impl Into<String>) -> Text {
    Text { en: en.into(), zh: zh.into() }
}

/// A text that is the same in both languages: names and values.
pub(crate) fn same(value: impl Into<String>) -> Text {
    let en = value.into();
    Text { zh: en.clone(), en }
}

/// A fault before it is tied to its file.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub mark: Mark,
    pub fault: Fault,
    pub field: String,
    pub found: Text,
    pub expected: Text,
    pub help: Option<Text>,
}

impl Finding {
    pub fn new(mark: Mark, fault: Fault, found: Text, expected: Text) -> Self {
        Self { mark, fault, field: String::new(), found, expected, help: None }
    }

    pub fn help(mut self, help: Option<Text>) -> Self {
        self.help = help;
        self
    }

    /// Names the field where the place alone does not.
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = field.into();
        self
    }

    /// The fault, tied to its file.
    pub fn locate(self, lines: &Lines<'_>) -> Diagnostic {
        Diagnostic {
            file: lines.file.to_owned(),
            line: self.mark.line,
            column: self.mark.column,
            length: self.mark.length.max(1),
            fault: self.fault,
            field: self.field,
            found: self.found,
            expected: self.expected,
            help: self.help,
            source: lines.get(self.mark.line).chars().take(SOURCE_LINE_CHARS_MAX).collect(),
        }
    }
}

/// The findings of one file: at most [`DIAGNOSTICS_MAX`], the rest counted.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub list: Vec<Finding>,
    pub more: usize,
}

impl Findings {
    pub fn push(&mut self, finding: Finding) {
        if self.list.len() < DIAGNOSTICS_MAX {
            self.list.push(finding);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// How many there are; names the place from which [`Self::name_fields`] goes on.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Names the fields of the findings from number `from` on, where they have no name yet.
    pub fn name_fields(&mut self, from: usize, prefix: &str, root: &crate::yaml::Node<'_>) {
        for finding in self.list.iter_mut().skip(from).filter(|finding| finding.field.is_empty()) {
            let path = root.path_at(finding.mark);
            let dot = if prefix.is_empty() || path.is_empty() || path.starts_with('[') { "" } else { "." };
            finding.field = format!("{prefix}{dot}{path}");
        }
    }
}

/// The lines of one file, found once.
#[derive(Debug)]
pub(crate) struct Lines<'s> {
    file: &'s str,
    lines: Vec<&'s str>,
}

impl<'s> Lines<'s> {
    pub fn new(file: &'s str, source: &'s str) -> Self {
        Self { file, lines: source.lines().collect() }
    }

    fn get(&self, line: u32) -> &'s str {
        let number = usize::try_from(line).unwrap_or(0);
        number.checked_sub(1).and_then(|n| self.lines.get(n)).copied().unwrap_or_default()
    }
}

/// "did you mean", when one of `candidates` is close to `word` (optimal string alignment distance).
pub(crate) fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<Text> {
    let allowed = (word.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= allowed.saturating_mul(4))
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| {
            text(format!("did you mean `{candidate}`?"), format!("是否想写 `{candidate}`？"))
        })
}

/// Optimal string alignment distance, on at most [`DISTANCE_CHARS_MAX`] characters.
fn distance(left: &str, right: &str) -> usize {
    /// Characters compared at most, so that one look-up stays cheap.
    const DISTANCE_CHARS_MAX: usize = 96;
    let left: Vec<char> = left.chars().flat_map(char::to_lowercase).take(DISTANCE_CHARS_MAX).collect();
    let right: Vec<char> = right.chars().flat_map(char::to_lowercase).take(DISTANCE_CHARS_MAX).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.iter().enumerate() {
        let mut row = vec![i.saturating_add(1)];
        for (j, r) in right.iter().enumerate() {
            let at = |row: &[usize], k: usize| row.get(k).copied().unwrap_or(usize::MAX / 2);
            let mut cost = at(&last, j).saturating_add(usize::from(l != r));
            cost = cost.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && left.get(i - 1) == Some(r) && right.get(j - 1) == Some(l);
            if swapped {
                cost = cost.min(at(&before, j - 1) + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_names_are_offered_and_far_ones_are_not() {
        let fields = ["deadline_ms", "p99_ms", "availability_percent"];
        assert_eq!(did_you_mean("dealine_ms", fields).unwrap().en, "did you mean `deadline_ms`?");
        assert_eq!(did_you_mean("p99", ["p99_ms", "x"]), None);
        assert_eq!(did_you_mean("colour", fields), None);
        assert_eq!(distance("ab", "ba"), 1, "neighbours that changed places are one step");
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn the_caret_stands_under_the_word_also_behind_chinese() {
        let finding = Finding::new(
            Mark { line: 1, column: 4, length: 2 },
            Fault::InvalidValue,
            same("甲乙"),
            text("a pear", "梨"),
        );
        let diagnostics =
            Diagnostics { list: vec![finding.locate(&Lines::new("a.yaml", "标题：甲乙 x"))], more: 0 };
        let expected = "错误[invalid-value]：值无效\n --> a.yaml:1:4\n  |\n1 | 标题：甲乙 x\n  |       ^^^^\n  \
                        = 实际: 甲乙\n  = 应为: 梨\n\n1 个文件中共有 1 处错误\n";
        assert_eq!(diagnostics.render(Lang::Zh), expected);
    }
}
