//! YAML as a tree in which every value knows its line and column, within a budget.

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span};

use super::{Fault, both, same};

/// Bytes of a file: a plan is a page.
pub const SOURCE_MAX: usize = 256 * 1024;
/// Values of a file.
const NODES_MAX: usize = 5_000;
/// Lists and maps within each other.
const DEPTH_MAX: usize = 12;

/// A place in a file, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub mark: Mark,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A value, and whether it stands in quotes.
    Scalar(String, bool),
    List(Vec<Node>),
    Map(Vec<(String, Mark, Node)>),
}

/// Reads one document.
pub(super) fn parse(source: &str) -> Result<Node, Box<Fault>> {
    if source.len() > SOURCE_MAX {
        let expected = both(format!("at most {SOURCE_MAX} bytes"), format!("不超过 {SOURCE_MAX} 字节"));
        return Err(Fault::boxed(Mark { line: 1, column: 1 }, "", expected, same(source.len().to_string())));
    }
    let mut builder = Builder::default();
    for event in Parser::new_from_str(source) {
        match event {
            Ok((event, span)) => builder.take(event, mark(&span))?,
            Err(error) => {
                let at = error.marker();
                let mark = Mark { line: at.line(), column: at.col() + 1 };
                return Err(Fault::boxed(
                    mark,
                    "",
                    same("YAML 1.2".to_owned()),
                    same(error.info().to_owned()),
                ));
            }
        }
    }
    builder.root.ok_or_else(|| {
        let expected = both("a plan".to_owned(), "返利计划".to_owned());
        Fault::boxed(
            Mark { line: 1, column: 1 },
            "",
            expected,
            both("nothing".to_owned(), "空文件".to_owned()),
        )
    })
}

fn mark(span: &Span) -> Mark {
    Mark { line: span.start.line(), column: span.start.col() + 1 }
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    nodes: usize,
    root: Option<Node>,
}

enum Open {
    List(Mark, Vec<Node>),
    Map(Mark, Vec<(String, Mark, Node)>, Option<(String, Mark)>),
}

impl Builder {
    fn take(&mut self, event: Event<'_>, mark: Mark) -> Result<(), Box<Fault>> {
        match event {
            Event::Scalar(text, style, ..) => {
                let quoted = style != ScalarStyle::Plain;
                self.place(Node { mark, kind: Kind::Scalar(text.into_owned(), quoted) })
            }
            Event::SequenceStart(..) => self.enter(Open::List(mark, Vec::new()), mark),
            Event::MappingStart(..) => self.enter(Open::Map(mark, Vec::new(), None), mark),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(mark, items)) => self.place(Node { mark, kind: Kind::List(items) }),
                Some(Open::Map(mark, entries, _)) => self.place(Node { mark, kind: Kind::Map(entries) }),
                None => Ok(()),
            },
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let expected = both("the value itself".to_owned(), "直接写出的值".to_owned());
                Err(Fault::boxed(mark, "", expected, both("an alias".to_owned(), "别名".to_owned())))
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                let expected = both("one plan a file".to_owned(), "每个文件一个计划".to_owned());
                Err(Fault::boxed(
                    mark,
                    "",
                    expected,
                    both("a second document".to_owned(), "第二个文档".to_owned()),
                ))
            }
            _ => Ok(()),
        }
    }

    fn enter(&mut self, open: Open, mark: Mark) -> Result<(), Box<Fault>> {
        if self.open.len() >= DEPTH_MAX {
            let expected = both(format!("at most {DEPTH_MAX} levels"), format!("最多 {DEPTH_MAX} 层"));
            return Err(Fault::boxed(mark, "", expected, both("more".to_owned(), "更多".to_owned())));
        }
        self.open.push(open);
        Ok(())
    }

    fn place(&mut self, node: Node) -> Result<(), Box<Fault>> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let expected = both(format!("at most {NODES_MAX} values"), format!("最多 {NODES_MAX} 个值"));
            return Err(Fault::boxed(node.mark, "", expected, both("more".to_owned(), "更多".to_owned())));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, entries, key)) => match (key.take(), node.kind) {
                (Some((key, key_mark)), kind) => {
                    entries.push((key, key_mark, Node { mark: node.mark, kind }))
                }
                (None, Kind::Scalar(text, _)) => *key = Some((text, node.mark)),
                (None, _) => {
                    let expected = both("a name before the colon".to_owned(), "冒号前的名称".to_owned());
                    let found = both("a list or a map".to_owned(), "列表或映射".to_owned());
                    return Err(Fault::boxed(node.mark, "", expected, found));
                }
            },
        }
        Ok(())
    }
}
