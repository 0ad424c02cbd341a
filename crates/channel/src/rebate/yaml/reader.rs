//! Reading a tree into values: each with its place, each fault kept, none ends the reading.

use std::collections::BTreeMap;

use super::super::filter::Filter;
use super::super::law::Text;
use super::super::plan::Plan;
use super::tree::{Kind, Mark, Node};
use super::values::{self, Expected};
use super::{FAULTS_MAX, Fault, both, same};

/// Characters of a title and of a filter, as the contract has them.
pub(super) const TEXT_MAX: usize = 2_000;

#[derive(Default)]
pub(super) struct Reader {
    pub faults: Vec<Fault>,
    /// Where the file says what the core calls by this path, and how the file calls it.
    pub marks: BTreeMap<String, (Mark, String)>,
}

/// A map with its path.
pub(super) struct Fields<'n> {
    pub mark: Mark,
    pub path: String,
    pub entries: &'n [(String, Mark, Node)],
}

impl<'n> Fields<'n> {
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(name, _, _)| name == key).map(|(_, _, node)| node)
    }

    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl Reader {
    pub(super) fn sorted(mut self) -> Vec<Fault> {
        if self.faults.is_empty() {
            let nothing = both("a plan".to_owned(), "返利计划".to_owned());
            self.faults.push(Fault::new(Mark::default(), "", nothing, same(String::new())));
        }
        self.faults.sort_by_key(|fault| fault.mark);
        self.faults.truncate(FAULTS_MAX);
        self.faults
    }

    pub(super) fn fault<T>(&mut self, mark: Mark, path: &str, expected: Expected, found: Text) -> Option<T> {
        self.faults.push(Fault::new(mark, path, expected, found));
        None
    }

    /// What the fields say together, at the place of the field that the core names.
    pub(super) fn problems(&mut self, plan: &Plan, root: Mark) {
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
            self.faults.push(Fault::new(mark, &path, problem.text, same(String::new())));
        }
    }

    pub(super) fn fields<'n>(&mut self, node: &'n Node, path: &str, known: &[&str]) -> Option<Fields<'n>> {
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

    pub(super) fn list<'n>(&mut self, node: &'n Node, path: &str) -> &'n [Node] {
        if let Kind::List(items) = &node.kind {
            return items;
        }
        let expected = both("a list".to_owned(), "列表".to_owned());
        let _: Option<()> = self.fault(node.mark, path, expected, describe(node));
        &[]
    }

    pub(super) fn scalar<T>(
        &mut self,
        node: &Node,
        path: &str,
        core: &str,
        read: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        self.marks.insert(core.to_owned(), (node.mark, path.to_owned()));
        let Kind::Scalar(text, _) = &node.kind else {
            let expected = expected_by(read);
            return self.fault(node.mark, path, expected, describe(node));
        };
        match read(text) {
            Ok(value) => Some(value),
            Err(expected) => self.fault(node.mark, path, expected, values::found(text)),
        }
    }

    /// A field that may be absent: `None` when it is, or when it is wrong and the fault is kept.
    pub(super) fn may<T>(
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
    pub(super) fn must<T>(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        core: &str,
        read: impl Fn(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        if fields.get(key).is_some() {
            return self.may(fields, key, core, read);
        }
        let expected = expected_by(read);
        let found = both("no such field".to_owned(), "缺少该字段".to_owned());
        self.fault(fields.mark, &fields.path(key), expected, found)
    }

    /// An expression; a fault in it is shown where it stands when it is on one line.
    pub(super) fn filter(&mut self, fields: &Fields<'_>, key: &str, core: &str) -> Option<Filter> {
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
                self.fault(mark, &fields.path(key), error.expected, error.found)
            }
        }
    }
}

/// What a value must be, where there is none to read.
fn expected_by<T>(read: impl Fn(&str) -> Result<T, Expected>) -> Expected {
    read("").err().unwrap_or_else(|| both("a value".to_owned(), "值".to_owned()))
}

pub(super) fn describe(node: &Node) -> Text {
    match &node.kind {
        Kind::Scalar(text, _) => values::found(text),
        Kind::List(_) => both("a list".to_owned(), "列表".to_owned()),
        Kind::Map(_) => both("a map".to_owned(), "映射".to_owned()),
    }
}
