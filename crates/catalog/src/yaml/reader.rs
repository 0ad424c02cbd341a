//! From events to the tree, within a budget that is checked while reading.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, StructureStyle, options};

use super::node::{Entry, Kind, Mark, Node, Scalar};
use crate::diagnostic::{Fault, Finding, Findings, same, text};

/// Maps up to this many fields are searched for doubled ones without a set.
const SMALL_MAP: usize = 12;

/// What one file may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Values, counted again for each alias of them.
    pub nodes_max: u64,
    /// Aliases.
    pub aliases_max: u32,
    /// Anchors; what they name is kept until the end.
    pub anchors_max: usize,
    /// Lists and maps within each other.
    pub depth_max: usize,
}

/// Takes the items of one long list of the document as they come, so that they are never all in memory.
pub(crate) struct Stream<'s, 't> {
    /// Field of the document that holds the list; none: the document is the list.
    pub field: Option<&'static str>,
    /// Gets each item.
    pub take: &'t mut dyn FnMut(Node<'s>, &mut Findings),
}

/// Reads one document. Doubled fields are found here, for they are wrong wherever they stand.
///
/// `None` with findings when there is no tree to go on with.
pub(crate) fn read<'s>(source: &'s str, budget: &Budget, findings: &mut Findings) -> Option<Node<'s>> {
    read_streaming(source, budget, None, findings)
}

/// As [`read`]; the items of the stream's list go to it, and the tree has an empty list there.
pub(crate) fn read_streaming<'s>(
    source: &'s str,
    budget: &Budget,
    stream: Option<Stream<'s, '_>>,
    findings: &mut Findings,
) -> Option<Node<'s>> {
    let options = options! { emit_unresolved_aliases: true, disallow_directives: true };
    let mut reader = Reader {
        budget,
        findings,
        stream,
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        aliases: 0,
        root: None,
    };
    let mut parser: Parser<'s, StrInput<'s>> = Parser::new_from_str_with_options(source, options);
    while let Some(next) = parser.next_event() {
        let finding = match next {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => match reader.take(event, span) {
                Ok(()) => continue,
                Err(finding) => *finding,
            },
            Err(error) => {
                let at = error.marker();
                let mark =
                    Mark { line: small(at.line()), column: small(at.col()).saturating_add(1), length: 1 };
                Finding::new(mark, Fault::Syntax, same(error.info()), text("YAML 1.2", "YAML 1.2"))
            }
        };
        reader.findings.push(finding);
        return None;
    }
    let root = reader.root.take();
    if root.is_none() {
        let finding = Finding::new(
            Mark::default(),
            Fault::Blank,
            text("an empty file", "空文件"),
            text("a map", "映射"),
        );
        findings.push(finding);
    }
    root
}

struct Reader<'s, 'f, 't> {
    budget: &'f Budget,
    findings: &'f mut Findings,
    stream: Option<Stream<'s, 't>>,
    open: Vec<Open<'s>>,
    /// Finished anchored values, and how many values each counts for.
    anchors: HashMap<usize, (Arc<Node<'s>>, u64)>,
    nodes: u64,
    aliases: u32,
    root: Option<Node<'s>>,
}

/// A list or map whose end has not come.
struct Open<'s> {
    mark: Mark,
    anchor: usize,
    flow: bool,
    nodes_before: u64,
    body: Body<'s>,
}

enum Body<'s> {
    List(Vec<Node<'s>>),
    Map { entries: Vec<Entry<'s>>, key: Option<(Cow<'s, str>, Mark)> },
}

type Taken = Result<(), Box<Finding>>;

impl<'s> Reader<'s, '_, '_> {
    fn take(&mut self, event: Event<'s>, span: Span) -> Taken {
        let (mark, end) = (mark(&span), end(&span));
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                untagged(tag.is_some(), mark)?;
                self.count(1, mark)?;
                let plain = style == ScalarStyle::Plain;
                self.place(Node { mark, end, kind: Kind::Scalar(Scalar { text: value, plain }) }, anchor, 1)
            }
            Event::SequenceStart(style, anchor, tag) => {
                untagged(tag.is_some(), mark)?;
                self.enter(mark, anchor, style, Body::List(Vec::new()))
            }
            Event::MappingStart(style, anchor, tag) => {
                untagged(tag.is_some(), mark)?;
                self.enter(mark, anchor, style, Body::Map { entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(end),
            Event::Alias(anchor) => self.alias(anchor, mark),
            Event::UnresolvedAlias(name) => {
                let found = same(format!("*{name}"));
                let expected = text("an anchor that stands before it", "此前定义过的锚点");
                Err(Box::new(Finding::new(mark, Fault::Dangling, found, expected)))
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                let found = text("a second document", "第二个文档");
                Err(Box::new(Finding::new(
                    mark,
                    Fault::Syntax,
                    found,
                    text("one document a file", "每个文件一个文档"),
                )))
            }
            _ => Ok(()),
        }
    }

    fn enter(&mut self, mark: Mark, anchor: usize, style: StructureStyle, body: Body<'s>) -> Taken {
        if self.open.len() >= self.budget.depth_max {
            let limit = self.budget.depth_max;
            return over(mark, text("more", "更多"), format!("{limit} levels"), format!("{limit} 层"));
        }
        let nodes_before = self.nodes;
        self.count(1, mark)?;
        self.open.push(Open { mark, anchor, flow: style == StructureStyle::Flow, nodes_before, body });
        Ok(())
    }

    fn leave(&mut self, end: u32) -> Taken {
        let Some(open) = self.open.pop() else { return Ok(()) };
        // A block has no sign of its end: it ends where its last part does.
        let (last, kind) = match open.body {
            Body::List(items) => (items.last().map(|item| item.end), Kind::List(items)),
            Body::Map { entries, .. } => {
                self.doubled(&entries);
                (entries.last().map(|entry| entry.value.end), Kind::Map(entries))
            }
        };
        let end = if open.flow { end } else { last.unwrap_or(open.mark.line) };
        let counted = self.nodes.saturating_sub(open.nodes_before);
        self.place(Node { mark: open.mark, end, kind }, open.anchor, counted)
    }

    fn alias(&mut self, anchor: usize, mark: Mark) -> Taken {
        self.aliases = self.aliases.saturating_add(1);
        if self.aliases > self.budget.aliases_max {
            let limit = self.budget.aliases_max;
            return over(mark, text("more", "更多"), format!("{limit} aliases"), format!("{limit} 个别名"));
        }
        let Some((node, counted)) = self.anchors.get(&anchor) else {
            let found = text("an alias of what it stands in", "引用自身的别名");
            let expected = text("an anchor that ended before it", "此前已结束的锚点");
            return Err(Box::new(Finding::new(mark, Fault::Syntax, found, expected)));
        };
        let (node, counted) = (Arc::clone(node), *counted);
        self.count(counted, mark)?;
        self.place(Node { mark, end: mark.line, kind: Kind::Shared(node) }, 0, counted)
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, mut node: Node<'s>, anchor: usize, counted: u64) -> Taken {
        if anchor != 0 {
            let shared = Arc::new(node);
            node = Node { mark: shared.mark, end: shared.end, kind: Kind::Shared(Arc::clone(&shared)) };
            if self.anchors.len() >= self.budget.anchors_max {
                let limit = self.budget.anchors_max;
                return over(
                    node.mark,
                    text("more", "更多"),
                    format!("{limit} anchors"),
                    format!("{limit} 个锚点"),
                );
            }
            self.anchors.insert(anchor, (shared, counted));
        }
        let in_stream = self.stream.as_ref().is_some_and(|stream| is_item_of(stream.field, &self.open));
        if let (Some(stream), true) = (&mut self.stream, in_stream) {
            (stream.take)(node, self.findings);
            return Ok(());
        }
        match self.open.last_mut().map(|open| &mut open.body) {
            None => self.root = Some(node),
            Some(Body::List(items)) => items.push(node),
            Some(Body::Map { entries, key }) => match key.take() {
                Some((key, key_mark)) => entries.push(Entry { key, key_mark, value: node }),
                None => *key = Some(key_of(&node)?),
            },
        }
        Ok(())
    }

    fn count(&mut self, nodes: u64, mark: Mark) -> Taken {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > self.budget.nodes_max {
            let limit = self.budget.nodes_max;
            return over(mark, text("more", "更多"), format!("{limit} values"), format!("{limit} 个值"));
        }
        Ok(())
    }

    fn doubled(&mut self, entries: &[Entry<'s>]) {
        let mut seen = HashSet::new();
        for (n, entry) in entries.iter().enumerate() {
            let again = if entries.len() <= SMALL_MAP {
                entries.iter().take(n).any(|earlier| earlier.key == entry.key)
            } else {
                !seen.insert(entry.key.as_ref())
            };
            if again {
                let first = entries.iter().find(|e| e.key == entry.key).map_or(0, |e| e.key_mark.line);
                self.findings.push(Finding::new(
                    entry.key_mark,
                    Fault::Doubled,
                    text(format!("`{}` again", entry.key), format!("再次出现 `{}`", entry.key)),
                    text(
                        format!("once; it stands in line {first}"),
                        format!("只出现一次；第 {first} 行已有"),
                    ),
                ));
            }
        }
    }
}

/// Whether what is finished now is an item of the list in the document's field `field`, or of the document.
fn is_item_of(field: Option<&str>, open: &[Open<'_>]) -> bool {
    match open {
        [Open { body: Body::List(_), .. }] => field.is_none(),
        [Open { body: Body::Map { key: Some((key, _)), .. }, .. }, Open { body: Body::List(_), .. }] => {
            field.is_some_and(|field| key == field)
        }
        _ => false,
    }
}

fn key_of<'s>(node: &Node<'s>) -> Result<(Cow<'s, str>, Mark), Box<Finding>> {
    match node.resolved() {
        Kind::Scalar(scalar) => Ok((scalar.text.clone(), node.mark)),
        _ => Err(Box::new(Finding::new(
            node.mark,
            Fault::Syntax,
            node.describe(),
            text("a name before the colon", "冒号前的名称"),
        ))),
    }
}

fn untagged(tagged: bool, mark: Mark) -> Taken {
    if !tagged {
        return Ok(());
    }
    let found = text("a tag", "标签");
    Err(Box::new(Finding::new(mark, Fault::Syntax, found, text("a value without `!`", "不带 `!` 的值"))))
}

fn over(mark: Mark, found: crate::service::Text, en: String, zh: String) -> Taken {
    let expected = text(format!("at most {en}"), format!("最多 {zh}"));
    Err(Box::new(Finding::new(mark, Fault::Budget, found, expected)))
}

fn mark(span: &Span) -> Mark {
    let same_line = span.start.line() == span.end.line();
    let length = if same_line { span.end.col().saturating_sub(span.start.col()) } else { 1 };
    Mark {
        line: small(span.start.line()),
        column: small(span.start.col()).saturating_add(1),
        length: small(length).max(1),
    }
}

/// The last line that has something of it.
fn end(span: &Span) -> u32 {
    let at_line_start = span.end.col() == 0 && span.end.line() > span.start.line();
    small(span.end.line()).saturating_sub(u32::from(at_line_start))
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
