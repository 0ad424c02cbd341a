//! The filter of a plan: which sales count, as an expression of CEL.
//!
//! A subset of the Common Expression Language (cel-spec v0.24) that is compiled once, checked for
//! types, and has no loops: the work for one sale is bounded by the nodes of the expression. The
//! subset: `|| && ! == != < <= > >= in + - * / % ?:`, literals, `has`, `size`, `startsWith`,
//! `endsWith`, `contains`. As in CEL, `||` and `&&` absorb an error of one side when the other decides.

mod parse;

use std::cmp::Ordering;
use std::fmt;

use jiff::civil::Date;
use thiserror::Error;

use super::facts::Sale;
use super::law::Text;

/// Bytes of an expression.
pub const SOURCE_MAX: usize = 2_000;
/// Nodes of an expression: the work for one sale.
pub const NODES_MAX: usize = 300;
/// Parentheses and operators within each other.
pub const DEPTH_MAX: usize = 40;

/// The fields of a sale that an expression may name, with their types; `attributes` beside them.
pub const FIELDS: [(&str, Field); 11] = [
    ("event_id", Field::EventId),
    ("occurred_on", Field::OccurredOn),
    ("year", Field::Year),
    ("month", Field::Month),
    ("day", Field::Day),
    ("amount_minor", Field::AmountMinor),
    ("quantity", Field::Quantity),
    ("category", Field::Category),
    ("member_id", Field::MemberId),
    ("grade", Field::Grade),
    ("level_count", Field::LevelCount),
];

/// A compiled filter. Two are equal when their texts are.
#[derive(Clone, Debug)]
pub struct Filter {
    source: String,
    root: Node,
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Filter {}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// Why a text is not a filter.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("at character {at}: expected {}, found {}", .expected.en, .found.en)]
pub struct FilterError {
    /// Character, from 1.
    pub at: usize,
    /// What could stand there.
    pub expected: Text,
    /// What stands there.
    pub found: Text,
}

/// Why a filter says nothing on a sale.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EvaluateError {
    /// The sale has no such attribute.
    #[error("the sale has no attribute {0:?}; `has(attributes.{0})` asks whether it has")]
    NoAttribute(String),
    /// Beyond 64 bits.
    #[error("a number is beyond 64 bits")]
    Overflow,
    /// By zero.
    #[error("a division by zero")]
    Division,
}

/// A field of a sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Name of the event.
    EventId,
    /// Day of the sale.
    OccurredOn,
    /// Its year.
    Year,
    /// Its month, 1 to 12.
    Month,
    /// Its day, 1 to 31.
    Day,
    /// Amount before returns, minor units.
    AmountMinor,
    /// Units before returns.
    Quantity,
    /// Category of the goods.
    Category,
    /// Who sold.
    MemberId,
    /// The seller's grade.
    Grade,
    /// Members of the chain.
    LevelCount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    Int,
    Text,
    Day,
}

#[derive(Clone, Debug)]
enum Node {
    Bool(bool),
    Int(i64),
    Text(Box<str>),
    Day(Date),
    Field(Field),
    Attribute(Box<str>),
    Has(Box<str>),
    Not(Box<Node>),
    Negative(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Compare(Compare, Box<Node>, Box<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    In(Box<Node>, Vec<Node>),
    Text2(TextTest, Box<Node>, Box<Node>),
    Size(Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
}

#[derive(Clone, Copy, Debug)]
enum Compare {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

#[derive(Clone, Copy, Debug)]
enum Arithmetic {
    Plus,
    Minus,
    Times,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug)]
enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value<'a> {
    Bool(bool),
    Int(i64),
    Text(&'a str),
    Day(Date),
}

impl Filter {
    /// Compiles an expression that is true or false.
    ///
    /// # Errors
    /// Where it is no such expression, and what was expected there.
    pub fn compile(source: &str) -> Result<Self, FilterError> {
        Ok(Self { source: source.to_owned(), root: parse::condition(source)? })
    }

    /// As it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether `sale` passes.
    ///
    /// # Errors
    /// An attribute that the sale doesn't have; arithmetic that has no result.
    pub fn passes(&self, sale: &Sale) -> Result<bool, EvaluateError> {
        truth(&self.root, sale)
    }
}

/// The truth of a node whose type is Bool; the types were checked when it was compiled.
fn truth(node: &Node, sale: &Sale) -> Result<bool, EvaluateError> {
    Ok(value(node, sale)? == Value::Bool(true))
}

fn number(node: &Node, sale: &Sale) -> Result<i64, EvaluateError> {
    match value(node, sale)? {
        Value::Int(number) => Ok(number),
        _ => Ok(0),
    }
}

fn value<'a>(node: &'a Node, sale: &'a Sale) -> Result<Value<'a>, EvaluateError> {
    Ok(match node {
        Node::Bool(value) => Value::Bool(*value),
        Node::Int(value) => Value::Int(*value),
        Node::Text(value) => Value::Text(value),
        Node::Day(value) => Value::Day(*value),
        Node::Field(field) => of_field(*field, sale),
        Node::Attribute(name) => match sale.attributes.get(&**name) {
            Some(value) => Value::Text(value),
            None => return Err(EvaluateError::NoAttribute(name.to_string())),
        },
        Node::Has(name) => Value::Bool(sale.attributes.contains_key(&**name)),
        Node::Not(inner) => Value::Bool(!truth(inner, sale)?),
        Node::Negative(inner) => {
            Value::Int(number(inner, sale)?.checked_neg().ok_or(EvaluateError::Overflow)?)
        }
        Node::And(left, right) => Value::Bool(decided(left, right, sale, false)?),
        Node::Or(left, right) => Value::Bool(decided(left, right, sale, true)?),
        Node::Compare(how, left, right) => {
            Value::Bool(compared(*how, value(left, sale)?.cmp(&value(right, sale)?)))
        }
        Node::Arithmetic(how, left, right) => {
            Value::Int(calculated(*how, number(left, sale)?, number(right, sale)?)?)
        }
        Node::In(inner, list) => {
            let wanted = value(inner, sale)?;
            let mut found = false;
            for item in list {
                found |= value(item, sale)? == wanted;
            }
            Value::Bool(found)
        }
        Node::Text2(test, left, right) => match (value(left, sale)?, value(right, sale)?) {
            (Value::Text(text), Value::Text(part)) => Value::Bool(match test {
                TextTest::StartsWith => text.starts_with(part),
                TextTest::EndsWith => text.ends_with(part),
                TextTest::Contains => text.contains(part),
            }),
            _ => Value::Bool(false),
        },
        Node::Size(inner) => match value(inner, sale)? {
            Value::Text(text) => Value::Int(i64::try_from(text.chars().count()).unwrap_or(i64::MAX)),
            _ => Value::Int(0),
        },
        Node::If(condition, yes, no) => {
            if truth(condition, sale)? {
                value(yes, sale)?
            } else {
                value(no, sale)?
            }
        }
    })
}

/// `||` with `deciding` true, `&&` with false: the deciding value wins over an error of the other side.
fn decided(left: &Node, right: &Node, sale: &Sale, deciding: bool) -> Result<bool, EvaluateError> {
    let first = truth(left, sale);
    if first == Ok(deciding) {
        return Ok(deciding);
    }
    let second = truth(right, sale);
    if second == Ok(deciding) {
        return Ok(deciding);
    }
    first?;
    second
}

fn compared(how: Compare, order: Ordering) -> bool {
    match how {
        Compare::Equal => order.is_eq(),
        Compare::NotEqual => order.is_ne(),
        Compare::Less => order.is_lt(),
        Compare::AtMost => order.is_le(),
        Compare::Greater => order.is_gt(),
        Compare::AtLeast => order.is_ge(),
    }
}

fn calculated(how: Arithmetic, left: i64, right: i64) -> Result<i64, EvaluateError> {
    if right == 0 && matches!(how, Arithmetic::Divide | Arithmetic::Remainder) {
        return Err(EvaluateError::Division);
    }
    let result = match how {
        Arithmetic::Plus => left.checked_add(right),
        Arithmetic::Minus => left.checked_sub(right),
        Arithmetic::Times => left.checked_mul(right),
        Arithmetic::Divide => left.checked_div(right),
        Arithmetic::Remainder => left.checked_rem(right),
    };
    result.ok_or(EvaluateError::Overflow)
}

fn of_field(field: Field, sale: &Sale) -> Value<'_> {
    let seller = sale.chain.first();
    match field {
        Field::EventId => Value::Text(&sale.event_id),
        Field::OccurredOn => Value::Day(sale.occurred_on),
        Field::Year => Value::Int(sale.occurred_on.year().into()),
        Field::Month => Value::Int(sale.occurred_on.month().into()),
        Field::Day => Value::Int(sale.occurred_on.day().into()),
        Field::AmountMinor => Value::Int(sale.amount_minor),
        Field::Quantity => Value::Int(sale.quantity),
        Field::Category => Value::Text(&sale.category),
        Field::MemberId => Value::Text(seller.map_or("", |member| &member.member_id)),
        Field::Grade => Value::Text(seller.map_or("", |member| &member.grade)),
        Field::LevelCount => Value::Int(i64::try_from(sale.chain.len()).unwrap_or(i64::MAX)),
    }
}

impl Field {
    fn kind(self) -> Kind {
        match self {
            Self::EventId | Self::Category | Self::MemberId | Self::Grade => Kind::Text,
            Self::OccurredOn => Kind::Day,
            _ => Kind::Int,
        }
    }
}
