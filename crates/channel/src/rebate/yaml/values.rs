//! What a single value may say: money, shares, days, numbers, words.

use jiff::civil::Date;
use oaas_model::Currency;

use super::super::law::Text;
use super::{both, same};

/// Characters of a member, a category, a grade, a SKU, as the contract has them.
pub(super) const NAME_MAX: usize = 64;

/// What was expected where a value is another.
pub(super) type Expected = Text;

/// An amount of money as people write it, in minor units: "1,000.00", "1000", "0.30".
pub(super) fn money(text: &str, currency: Currency) -> Result<i64, Expected> {
    let digits = usize::try_from(currency.minor_digits()).unwrap_or(2);
    let example = if digits == 0 { "1000".to_owned() } else { format!("1000.{:0digits$}", 0) };
    let expected = || {
        both(format!("an amount of {currency} such as {example}"), format!("{currency} 金额，如 {example}"))
    };
    decimal(text, digits).ok_or_else(expected)
}

/// A share in basis points: "3 %", "0.5%".
pub(super) fn share(text: &str) -> Result<u32, Expected> {
    let expected = || both("a share such as 3 % or 0.25 %".to_owned(), "百分比，如 3 % 或 0.25 %".to_owned());
    let number = text.trim().strip_suffix(['%', '％']).ok_or_else(expected)?;
    decimal(number.trim_end(), 2).and_then(|bp| u32::try_from(bp).ok()).ok_or_else(expected)
}

/// A number of days: "90 days", "90 天", "90".
pub(super) fn days(text: &str) -> Result<u32, Expected> {
    let number = ["days", "day", "天"].iter().find_map(|unit| text.trim().strip_suffix(unit)).unwrap_or(text);
    let expected = || both("a number of days such as 90 days".to_owned(), "天数，如 90 天".to_owned());
    number.trim().parse().map_err(|_| expected())
}

/// A whole number: "12", "1,000".
pub(super) fn whole(text: &str) -> Result<i64, Expected> {
    decimal(text, 0).ok_or_else(|| both("a whole number such as 12".to_owned(), "整数，如 12".to_owned()))
}

pub(super) fn date(text: &str) -> Result<Date, Expected> {
    match text.parse() {
        Ok(day) if text.len() == 10 => Ok(day),
        _ => Err(both("a day such as 2026-03-31".to_owned(), "日期，如 2026-03-31".to_owned())),
    }
}

pub(super) fn currency(text: &str) -> Result<Currency, Expected> {
    let expected = || both("an ISO 4217 code such as CNY".to_owned(), "ISO 4217 代码，如 CNY".to_owned());
    Currency::parse(text).map_err(|_| expected())
}

pub(super) fn country(text: &str) -> Result<String, Expected> {
    if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(text.to_owned());
    }
    Err(both("an ISO 3166-1 code such as CN".to_owned(), "ISO 3166-1 代码，如 CN".to_owned()))
}

/// The name of a plan, as the contract has it.
pub(super) fn name(text: &str) -> Result<String, Expected> {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if first && text.len() <= 64 && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err(both(
        "a name of a-z, 0-9, '.', '_' and '-' such as dealer-2026".to_owned(),
        "由 a-z、0-9、'.'、'_'、'-' 组成的名称，如 dealer-2026".to_owned(),
    ))
}

/// One of some words.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Expected> {
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
    found.ok_or_else(|| {
        let list = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        both(format!("one of {list}"), format!("以下之一：{list}"))
    })
}

pub(super) fn truth(text: &str) -> Result<bool, Expected> {
    word(text, &[("yes", true), ("no", false), ("true", true), ("false", false)])
}

pub(super) fn text(value: &str, max: usize) -> Result<String, Expected> {
    let count = value.chars().count();
    if (1..=max).contains(&count) {
        return Ok(value.to_owned());
    }
    Err(both(format!("1 to {max} characters"), format!("1 至 {max} 个字符")))
}

/// A decimal number with at most `digits` after the point, as a whole of its last digit. Between digits a
/// comma, a space or '_' may stand.
fn decimal(text: &str, digits: usize) -> Option<i64> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if fraction.len() > digits
        || (text.contains('.') && fraction.is_empty())
        || !whole.starts_with(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    let grouped = |c: char| matches!(c, ',' | '_' | ' ');
    let mut all: String = whole.chars().filter(|c| !grouped(*c)).collect();
    all.push_str(fraction);
    all.extend(std::iter::repeat_n('0', digits - fraction.len()));
    all.bytes().all(|byte| byte.is_ascii_digit()).then(|| all.parse().ok()).flatten()
}

/// What stands there, cut short.
pub(super) fn found(text: &str) -> Text {
    /// Characters that an error quotes.
    const QUOTE_MAX: usize = 40;
    let cut: String = text.chars().take(QUOTE_MAX).collect();
    let more = if text.chars().nth(QUOTE_MAX).is_some() { "…" } else { "" };
    same(format!("{cut:?}{more}"))
}
