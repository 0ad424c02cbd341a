//! From the text of a filter to its checked form.

use super::super::law::Text;
use super::{
    Arithmetic, Compare, DEPTH_MAX, FIELDS, FilterError, Kind, NODES_MAX, Node, SOURCE_MAX, TextTest,
};

/// Characters of the text that an error quotes.
const QUOTE_MAX: usize = 30;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Int(i64),
    Text(String),
    Sign(&'static str),
    End,
}

/// Longer signs first, so that `<=` is not read as `<`.
const SIGNS: [&str; 22] = [
    "||", "&&", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", "(", ")", "[", "]",
    ".", ",",
];

/// Reads an expression whose type is Bool.
pub(super) fn condition(source: &str) -> Result<Node, FilterError> {
    if source.len() > SOURCE_MAX {
        let expected = (&*format!("at most {SOURCE_MAX} bytes"), &*format!("不超过 {SOURCE_MAX} 字节"));
        return Err(error(1, expected, alike_in_both(&source.len().to_string())));
    }
    let mut parser = Parser { tokens: lex(source)?, next: 0, nodes: 0, depth: 0 };
    let (node, kind, at) = parser.conditional()?;
    parser.want_end()?;
    expect(kind, Kind::Bool, at, ("a condition that is true or false", "真或假的条件"))?;
    Ok(node)
}

fn lex(source: &str) -> Result<Vec<(Token, usize)>, FilterError> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let mut place = 0;
    while let Some(&first) = chars.get(place) {
        let rest = chars.get(place..).unwrap_or_default();
        let at = place + 1;
        if first.is_whitespace() {
            place += 1;
        } else if first.is_ascii_alphabetic() || first == '_' {
            let name: String = rest.iter().take_while(|c| c.is_ascii_alphanumeric() || **c == '_').collect();
            place += name.len();
            tokens.push((Token::Name(name), at));
        } else if first.is_ascii_digit() {
            let digits: String = rest.iter().take_while(|c| c.is_ascii_digit()).collect();
            place += digits.len();
            if chars.get(place) == Some(&'.') || chars.get(place).is_some_and(|c| c.is_alphabetic()) {
                return Err(error(
                    at,
                    ("a whole number (amounts are minor units)", "整数（金额以最小货币单位计）"),
                    alike_in_both(&quote(rest)),
                ));
            }
            let number = digits
                .parse()
                .map_err(|_| error(at, ("a number of 64 bits", "64 位以内的数"), alike_in_both(&digits)))?;
            tokens.push((Token::Int(number), at));
        } else if first == '"' || first == '\'' {
            let (text, length) = literal(rest, first, at)?;
            place += length;
            tokens.push((Token::Text(text), at));
        } else {
            let sign = SIGNS.iter().find(|sign| sign.chars().eq(rest.iter().copied().take(sign.len())));
            let sign =
                sign.ok_or_else(|| error(at, ("an expression", "表达式"), alike_in_both(&quote(rest))))?;
            place += sign.len();
            tokens.push((Token::Sign(sign), at));
        }
    }
    tokens.push((Token::End, chars.len() + 1));
    Ok(tokens)
}

/// A text in quotes and how many characters it takes.
fn literal(rest: &[char], quote_sign: char, at: usize) -> Result<(String, usize), FilterError> {
    let mut text = String::new();
    let mut chars = rest.iter().enumerate().skip(1);
    while let Some((index, &c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, &escaped @ ('\\' | '"' | '\''))) => text.push(escaped),
                _ => {
                    let expected = ("\\\\, \\\" or \\' after the backslash", "反斜杠后的 \\\\、\\\" 或 \\'");
                    return Err(error(at + index, expected, ("another", "其他字符")));
                }
            },
            c if c == quote_sign => return Ok((text, index + 1)),
            c => text.push(c),
        }
    }
    Err(error(at, ("a closing quote", "结束引号"), THE_END))
}

fn quote(rest: &[char]) -> String {
    format!("{:?}", rest.iter().take(QUOTE_MAX).collect::<String>())
}

/// A phrase in English and Chinese.
type Said<'a> = (&'a str, &'a str);

const THE_END: Said<'static> = ("the end", "末尾");
const MORE: Said<'static> = ("more", "更多");
const A_DAY: Said<'static> = ("a day such as \"2026-03-31\"", "日期，如 \"2026-03-31\"");
const A_TEST: &str = "startsWith, endsWith, contains or size";
const A_TEST_ZH: &str = "startsWith、endsWith、contains 或 size";

/// What is quoted from the filter itself.
fn alike_in_both(text: &str) -> Said<'_> {
    (text, text)
}

fn error(at: usize, expected: Said<'_>, found: Said<'_>) -> FilterError {
    let text = |(en, zh): Said<'_>| Text { en: en.to_owned(), zh: zh.to_owned() };
    FilterError { at, expected: text(expected), found: text(found) }
}

type Typed = (Node, Kind, usize);

struct Parser {
    tokens: Vec<(Token, usize)>,
    next: usize,
    nodes: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> (&Token, usize) {
        match self.tokens.get(self.next).or_else(|| self.tokens.last()) {
            Some((token, at)) => (token, *at),
            None => (&Token::End, 1),
        }
    }

    fn wrong(&self, expected: Said<'_>) -> FilterError {
        let found = match self.peek().0 {
            Token::Name(name) => format!("`{name}`"),
            Token::Int(number) => number.to_string(),
            Token::Text(text) => format!("{text:?}"),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::End => return error(self.peek().1, expected, THE_END),
        };
        error(self.peek().1, expected, alike_in_both(&found))
    }

    fn takes(&mut self, sign: &str) -> bool {
        let there = matches!(self.peek().0, Token::Sign(found) if *found == sign);
        self.next += usize::from(there);
        there
    }

    fn want(&mut self, sign: &str) -> Result<(), FilterError> {
        if self.takes(sign) { Ok(()) } else { Err(self.wrong(alike_in_both(&format!("`{sign}`")))) }
    }

    fn want_end(&self) -> Result<(), FilterError> {
        if *self.peek().0 == Token::End {
            Ok(())
        } else {
            Err(self.wrong(("an operator or the end", "运算符或末尾")))
        }
    }

    fn any_of<T: Copy>(&mut self, signs: &[(&str, T)]) -> Option<T> {
        signs.iter().find(|(sign, _)| self.takes(sign)).map(|(_, meaning)| *meaning)
    }

    fn count(&mut self) -> Result<(), FilterError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let (en, zh) = (format!("at most {NODES_MAX} parts"), format!("最多 {NODES_MAX} 个部分"));
            return Err(error(self.peek().1, (&en, &zh), MORE));
        }
        Ok(())
    }

    fn conditional(&mut self) -> Result<Typed, FilterError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let (en, zh) = (format!("at most {DEPTH_MAX} levels"), format!("最多 {DEPTH_MAX} 层"));
            return Err(error(self.peek().1, (&en, &zh), MORE));
        }
        let (condition, kind, at) = self.or()?;
        let typed = if self.takes("?") {
            expect(kind, Kind::Bool, at, ("a condition before `?`", "`?` 前的条件"))?;
            let (yes, yes_kind, _) = self.conditional()?;
            self.want(":")?;
            let (no, no_kind, no_at) = self.conditional()?;
            expect(no_kind, yes_kind, no_at, ("the same type on both sides of `:`", "`:` 两侧类型相同"))?;
            (Node::If(Box::new(condition), Box::new(yes), Box::new(no)), yes_kind, at)
        } else {
            (condition, kind, at)
        };
        self.depth -= 1;
        Ok(typed)
    }

    fn or(&mut self) -> Result<Typed, FilterError> {
        let mut left = self.and()?;
        while self.takes("||") {
            let right = self.and()?;
            left = both(left, right, Node::Or)?;
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Typed, FilterError> {
        let mut left = self.relation()?;
        while self.takes("&&") {
            let right = self.relation()?;
            left = both(left, right, Node::And)?;
        }
        Ok(left)
    }

    fn relation(&mut self) -> Result<Typed, FilterError> {
        let left = self.sum()?;
        if matches!(self.peek().0, Token::Name(name) if name == "in") {
            self.next += 1;
            return self.list(left);
        }
        let signs = [
            ("==", Compare::Equal),
            ("!=", Compare::NotEqual),
            ("<=", Compare::AtMost),
            (">=", Compare::AtLeast),
            ("<", Compare::Less),
            (">", Compare::Greater),
        ];
        let Some(how) = self.any_of(&signs) else { return Ok(left) };
        let right = self.sum()?;
        let (left, right) = alike(left, right)?;
        let at = left.2;
        Ok((Node::Compare(how, Box::new(left.0), Box::new(right.0)), Kind::Bool, at))
    }

    /// What stands after `in`: a list of literals, or the attributes.
    fn list(&mut self, left: Typed) -> Result<Typed, FilterError> {
        let at = left.2;
        if matches!(self.peek().0, Token::Name(name) if name == "attributes") {
            self.next += 1;
            return match left.0 {
                Node::Text(name) => Ok((Node::Has(name), Kind::Bool, at)),
                _ => {
                    let expected =
                        ("a name in quotes before `in attributes`", "`in attributes` 前带引号的名称");
                    Err(error(at, expected, ("an expression", "表达式")))
                }
            };
        }
        self.want("[")?;
        let mut items = Vec::new();
        let mut left = left;
        while !self.takes("]") {
            if !items.is_empty() {
                self.want(",")?;
            }
            let item = self.sum()?;
            let (typed, item) = alike(left, item)?;
            left = typed;
            items.push(item.0);
        }
        Ok((Node::In(Box::new(left.0), items), Kind::Bool, at))
    }

    fn sum(&mut self) -> Result<Typed, FilterError> {
        let mut left = self.product()?;
        while let Some(how) = self.any_of(&[("+", Arithmetic::Plus), ("-", Arithmetic::Minus)]) {
            let right = self.product()?;
            left = reckoned(how, left, right)?;
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Typed, FilterError> {
        let mut left = self.unary()?;
        let signs = [("*", Arithmetic::Times), ("/", Arithmetic::Divide), ("%", Arithmetic::Remainder)];
        while let Some(how) = self.any_of(&signs) {
            let right = self.unary()?;
            left = reckoned(how, left, right)?;
        }
        Ok(left)
    }

    /// Signs before a value are counted rather than nested: each is a node of the budget.
    fn unary(&mut self) -> Result<Typed, FilterError> {
        let at = self.peek().1;
        let mut signs = Vec::new();
        while let Some(negation) = self.any_of(&[("!", true), ("-", false)]) {
            self.count()?;
            signs.push(negation);
            if signs.len() > DEPTH_MAX {
                let (en, zh) = (format!("at most {DEPTH_MAX} signs"), format!("最多 {DEPTH_MAX} 个符号"));
                return Err(self.wrong((&en, &zh)));
            }
        }
        let (mut node, kind, _) = self.member()?;
        for negation in signs.into_iter().rev() {
            let (wanted, text) = if negation {
                (Kind::Bool, ("a condition after `!`", "`!` 后的条件"))
            } else {
                (Kind::Int, ("a number after `-`", "`-` 后的数"))
            };
            expect(kind, wanted, at, text)?;
            node = if negation { Node::Not(Box::new(node)) } else { Node::Negative(Box::new(node)) };
        }
        Ok((node, kind, at))
    }

    fn member(&mut self) -> Result<Typed, FilterError> {
        let mut value = self.primary()?;
        while self.takes(".") {
            let tests = [
                ("startsWith", TextTest::StartsWith),
                ("endsWith", TextTest::EndsWith),
                ("contains", TextTest::Contains),
            ];
            let at = self.peek().1;
            let name = self.name((A_TEST, A_TEST_ZH))?;
            self.want("(")?;
            expect(value.1, Kind::Text, value.2, ("a text before the dot", "点号前的文本"))?;
            self.count()?;
            if name == "size" {
                self.want(")")?;
                value = (Node::Size(Box::new(value.0)), Kind::Int, value.2);
                continue;
            }
            let test = tests.iter().find(|(known, _)| *known == name);
            let Some((_, test)) = test else {
                return Err(error(at, (A_TEST, A_TEST_ZH), alike_in_both(&format!("`{name}`"))));
            };
            let (part, kind, part_at) = self.conditional()?;
            expect(kind, Kind::Text, part_at, Kind::Text.name())?;
            self.want(")")?;
            value = (Node::Text2(*test, Box::new(value.0), Box::new(part)), Kind::Bool, value.2);
        }
        Ok(value)
    }

    fn name(&mut self, expected: Said<'_>) -> Result<String, FilterError> {
        let Token::Name(name) = self.peek().0 else { return Err(self.wrong(expected)) };
        let name = name.clone();
        self.next += 1;
        Ok(name)
    }

    fn primary(&mut self) -> Result<Typed, FilterError> {
        self.count()?;
        let at = self.peek().1;
        if self.takes("(") {
            let inner = self.conditional()?;
            self.want(")")?;
            return Ok((inner.0, inner.1, at));
        }
        let (node, kind) = match self.peek().0.clone() {
            Token::Int(number) => (Node::Int(number), Kind::Int),
            Token::Text(text) => (Node::Text(text.into()), Kind::Text),
            Token::Name(name) => {
                self.next += 1;
                return self.named(&name, at);
            }
            Token::Sign(_) | Token::End => {
                return Err(self.wrong(("a field, a number or a text", "字段、数或文本")));
            }
        };
        self.next += 1;
        Ok((node, kind, at))
    }

    fn named(&mut self, name: &str, at: usize) -> Result<Typed, FilterError> {
        match name {
            "true" | "false" => Ok((Node::Bool(name == "true"), Kind::Bool, at)),
            "attributes" => Ok((Node::Attribute(self.attribute()?), Kind::Text, at)),
            "has" => {
                self.want("(")?;
                let inner = self.name(alike_in_both("attributes.<name>"))?;
                if inner != "attributes" {
                    return Err(error(
                        at,
                        alike_in_both("has(attributes.<name>)"),
                        alike_in_both(&format!("has({inner})")),
                    ));
                }
                let attribute = self.attribute()?;
                self.want(")")?;
                Ok((Node::Has(attribute), Kind::Bool, at))
            }
            "size" => {
                self.want("(")?;
                let (inner, kind, inner_at) = self.conditional()?;
                expect(kind, Kind::Text, inner_at, Kind::Text.name())?;
                self.want(")")?;
                Ok((Node::Size(Box::new(inner)), Kind::Int, at))
            }
            _ => match FIELDS.iter().find(|(known, _)| *known == name) {
                Some((_, field)) => Ok((Node::Field(*field), field.kind(), at)),
                None => {
                    let known: Vec<_> = FIELDS.iter().map(|(known, _)| *known).collect();
                    let known = known.join(", ");
                    let en = format!("a field of a sale ({known}, attributes)");
                    let zh = format!("销售的字段（{known}, attributes）");
                    Err(error(at, (&en, &zh), alike_in_both(&format!("`{name}`"))))
                }
            },
        }
    }

    /// `.name` or `["name"]` after `attributes`.
    fn attribute(&mut self) -> Result<Box<str>, FilterError> {
        if self.takes(".") {
            return Ok(self.name(("the name of an attribute", "属性名"))?.into());
        }
        if !self.takes("[") {
            return Err(self.wrong((
                "attributes.<name> or attributes[\"<name>\"]",
                "attributes.<name> 或 attributes[\"<name>\"]",
            )));
        }
        let Token::Text(name) = self.peek().0.clone() else {
            return Err(self.wrong(("a name in quotes", "带引号的名称")));
        };
        self.next += 1;
        self.want("]")?;
        Ok(name.into())
    }
}

fn both(left: Typed, right: Typed, node: fn(Box<Node>, Box<Node>) -> Node) -> Result<Typed, FilterError> {
    for (kind, at) in [(left.1, left.2), (right.1, right.2)] {
        expect(kind, Kind::Bool, at, Kind::Bool.name())?;
    }
    Ok((node(Box::new(left.0), Box::new(right.0)), Kind::Bool, left.2))
}

fn reckoned(how: Arithmetic, left: Typed, right: Typed) -> Result<Typed, FilterError> {
    for (kind, at) in [(left.1, left.2), (right.1, right.2)] {
        expect(kind, Kind::Int, at, Kind::Int.name())?;
    }
    Ok((Node::Arithmetic(how, Box::new(left.0), Box::new(right.0)), Kind::Int, left.2))
}

/// Two sides of one type; a text beside a day is read as a day.
fn alike(left: Typed, right: Typed) -> Result<(Typed, Typed), FilterError> {
    let day = |typed: Typed| match typed {
        (Node::Text(text), _, at) => match text.parse() {
            Ok(day) => Ok((Node::Day(day), Kind::Day, at)),
            Err(_) => Err(error(at, A_DAY, alike_in_both(&format!("{text:?}")))),
        },
        (_, kind, at) => Err(error(at, A_DAY, kind.name())),
    };
    match (left.1, right.1) {
        (Kind::Day, Kind::Text) => Ok((left, day(right)?)),
        (Kind::Text, Kind::Day) => Ok((day(left)?, right)),
        (a, b) if a == b => Ok((left, right)),
        (wanted, found) => Err(error(right.2, wanted.name(), found.name())),
    }
}

fn expect(found: Kind, wanted: Kind, at: usize, expected: Said<'_>) -> Result<(), FilterError> {
    if found == wanted { Ok(()) } else { Err(error(at, expected, found.name())) }
}

impl Kind {
    fn name(self) -> Said<'static> {
        match self {
            Self::Bool => ("a condition", "条件"),
            Self::Int => ("a number", "数"),
            Self::Text => ("a text", "文本"),
            Self::Day => ("a day", "日期"),
        }
    }
}
