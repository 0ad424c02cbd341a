//! The patterns of names and values: a check by hand, and the same as a regular expression for editors.

use crate::diagnostic::text;
use crate::service::Text;

/// What a text must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Anything that is not only white space.
    Free,
    /// Anything on one line.
    Line,
    /// Lower-case words with dashes.
    Kebab,
    /// A full gRPC service name.
    Service,
    /// A short RPC name.
    Method,
    /// "/" service "/" method.
    MethodPath,
    /// A service name, or "*".
    ServiceOrAll,
    /// Upper-case words with underscores.
    Reason,
    /// Three upper-case letters.
    Currency,
    /// Field names with dots.
    FieldPath,
    /// An amount as text: digits, and a point with up to six more.
    Decimal,
    /// A moment of RFC 3339.
    Moment,
    /// `http://` or `https://`, a host and perhaps a port.
    Endpoint,
    /// `http://` or `https://` and more.
    Address,
    /// Any URI with a scheme.
    Uri,
    /// 64 hexadecimal digits.
    Digest,
    /// First part of an API key.
    KeyPrefix,
}

impl Pattern {
    /// Whether `value` looks so.
    pub fn matches(self, value: &str) -> bool {
        match self {
            Self::Free => !value.trim().is_empty(),
            Self::Line => !value.trim().is_empty() && !value.contains(['\n', '\r']),
            Self::Kebab => {
                value.split('-').all(|word| lower(word, b""))
                    && value.starts_with(|c: char| c.is_ascii_lowercase())
            }
            Self::Service => service(value),
            Self::Method => identifier(value),
            Self::MethodPath => value
                .strip_prefix('/')
                .and_then(|rest| rest.split_once('/'))
                .is_some_and(|(name, method)| service(name) && identifier(method)),
            Self::ServiceOrAll => value == "*" || service(value),
            Self::Reason => {
                value.starts_with(|c: char| c.is_ascii_uppercase())
                    && value.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
            }
            Self::Currency => oaas_model::Currency::parse(value).is_ok(),
            Self::FieldPath => value.split('.').all(identifier),
            Self::Decimal => decimal(value),
            Self::Moment => value.parse::<jiff::Timestamp>().is_ok(),
            Self::Endpoint => endpoint(value),
            Self::Address => web(value).is_some_and(|uri| uri.host().is_some_and(|host| !host.is_empty())),
            Self::Uri => value.split_once(':').is_some_and(|(scheme, rest)| {
                !rest.is_empty()
                    && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                    && !value.contains(char::is_whitespace)
            }),
            Self::Digest => value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit()),
            Self::KeyPrefix => {
                value.strip_prefix("oaas_").is_some_and(|rest| rest.len() == 8 && rest.bytes().all(base32))
            }
        }
    }

    /// The same for editors; `None` where no regular expression says it.
    pub fn regex(self) -> Option<&'static str> {
        match self {
            Self::Free => Some(r"\S"),
            Self::Line => Some(r"^[^\r\n]*\S[^\r\n]*$"),
            Self::Kebab => Some("^[a-z][a-z0-9]*(-[a-z0-9]+)*$"),
            Self::Service => Some(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"),
            Self::Method => Some(r"^[A-Za-z_]\w*$"),
            Self::MethodPath => Some(r"^/[A-Za-z_]\w*(\.[A-Za-z_]\w*)*/[A-Za-z_]\w*$"),
            Self::ServiceOrAll => Some(r"^(\*|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)$"),
            Self::Reason => Some("^[A-Z][A-Z0-9_]*$"),
            Self::Currency => Some("^[A-Z]{3}$"),
            Self::FieldPath => Some(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"),
            Self::Decimal => Some(r"^\d{1,15}(\.\d{1,6})?$"),
            Self::Moment => Some(r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}"),
            Self::Endpoint => Some(r"^https?://[^/?#\s]+/?$"),
            Self::Address => Some(r"^https?://\S+$"),
            Self::Uri => Some(r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$"),
            Self::Digest => Some("^[0-9a-fA-F]{64}$"),
            Self::KeyPrefix => Some("^oaas_[a-z2-7]{8}$"),
        }
    }

    /// What it looks like, with an example.
    pub fn describe(self) -> Text {
        match self {
            Self::Free => text("text", "文本"),
            Self::Line => text("text on one line", "单行文本"),
            Self::Kebab => text(
                "lower-case words with dashes, such as `cross-border`",
                "小写单词加连字符，例如 `cross-border`",
            ),
            Self::Service => text(
                "a full gRPC service name, such as `oaas.channel.v1.RebateService`",
                "完整的 gRPC 服务名，例如 `oaas.channel.v1.RebateService`",
            ),
            Self::Method => {
                text("an RPC name, such as `CalculateRebate`", "RPC 名称，例如 `CalculateRebate`")
            }
            Self::MethodPath => text(
                "a method path, such as `/oaas.channel.v1.RebateService/CalculateRebate`",
                "方法路径，例如 `/oaas.channel.v1.RebateService/CalculateRebate`",
            ),
            Self::ServiceOrAll => text(
                "a full gRPC service name, or `*` for all internal services",
                "完整的 gRPC 服务名，或以 `*` 表示全部内部服务",
            ),
            Self::Reason => text(
                "upper-case words with underscores, such as `PLAN_FORBIDDEN`",
                "大写单词加下划线，例如 `PLAN_FORBIDDEN`",
            ),
            Self::Currency => text("an ISO 4217 code, such as `CNY`", "ISO 4217 货币代码，例如 `CNY`"),
            Self::FieldPath => text(
                "a field of the request, such as `refund.amount_fen`",
                "请求中的字段，例如 `refund.amount_fen`",
            ),
            Self::Decimal => text("an amount in quotes, such as \"0.02\"", "带引号的金额，例如 \"0.02\""),
            Self::Moment => text("a moment, such as 2027-01-01T00:00:00Z", "时刻，例如 2027-01-01T00:00:00Z"),
            Self::Endpoint => {
                text("an address, such as `http://127.0.0.1:50052`", "地址，例如 `http://127.0.0.1:50052`")
            }
            Self::Address => text("an `http://` or `https://` address", "`http://` 或 `https://` 地址"),
            Self::Uri => text(
                "a URI, such as `spiffe://example.com/portal`",
                "URI，例如 `spiffe://example.com/portal`",
            ),
            Self::Digest => text("64 hexadecimal digits", "64 位十六进制数字"),
            Self::KeyPrefix => text(
                "the first part of a key, such as `oaas_k3v5x2ma`",
                "密钥的前一部分，例如 `oaas_k3v5x2ma`",
            ),
        }
    }
}

fn lower(word: &str, also: &[u8]) -> bool {
    !word.is_empty()
        && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || also.contains(&b))
}

fn identifier(word: &str) -> bool {
    word.bytes()
        .enumerate()
        .all(|(n, b)| b.is_ascii_alphabetic() || b == b'_' || (n > 0 && b.is_ascii_digit()))
        && !word.is_empty()
}

fn service(name: &str) -> bool {
    name.split('.').all(identifier)
}

/// Fifteen digits before the point and six behind fit every amount that is ever made of it.
fn decimal(value: &str) -> bool {
    let digits =
        |part: &str, max: usize| (1..=max).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    match value.split_once('.') {
        Some((whole, part)) => digits(whole, 15) && digits(part, 6),
        None => digits(value, 15),
    }
}

fn web(value: &str) -> Option<http::Uri> {
    value.parse::<http::Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
}

fn endpoint(value: &str) -> bool {
    web(value).is_some_and(|uri| {
        uri.host().is_some_and(|host| !host.is_empty())
            && uri.path_and_query().is_none_or(|rest| rest.as_str() == "/")
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    })
}

fn base32(byte: u8) -> bool {
    byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte)
}
