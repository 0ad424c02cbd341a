//! Exact money: integer minor units and an ISO 4217 currency, never a float.

use std::fmt;

use thiserror::Error;

/// An ISO 4217 currency code with its number of minor digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Chinese yuan; its minor unit is the fen.
    pub const CNY: Self = Self(*b"CNY");
    /// US dollar.
    pub const USD: Self = Self(*b"USD");
    /// Euro.
    pub const EUR: Self = Self(*b"EUR");

    /// Reads three upper-case letters.
    ///
    /// # Errors
    /// [`MoneyError::Currency`] when `code` is anything else.
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        match code.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(MoneyError::Currency(code.to_owned())),
        }
    }

    /// The code. Example: "CNY".
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// Digits after the point, by ISO 4217 (list one, 2024): 2 for most.
    #[must_use]
    pub fn minor_digits(&self) -> u32 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF"
            | b"UGX" | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            b"CLF" | b"UYW" => 4,
            _ => 2,
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    /// Minor units (fen, cents); negative amounts are owed back.
    pub minor: i128,
    /// Their currency.
    pub currency: Currency,
}

/// Why an amount is not one.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MoneyError {
    /// Not three upper-case letters.
    #[error("currency {0:?} is not an ISO 4217 code of three upper-case letters")]
    Currency(String),
    /// Two currencies met.
    #[error("{0} and {1} don't add up: convert one first")]
    Mixed(Currency, Currency),
    /// Beyond what 128 bits hold.
    #[error("amount is too large")]
    Overflow,
}

impl Money {
    /// `minor` units of `currency`.
    #[must_use]
    pub const fn new(minor: i128, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// The sum.
    ///
    /// # Errors
    /// When the currencies differ or the sum overflows.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Mixed(self.currency, other.currency));
        }
        let minor = self.minor.checked_add(other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// The difference.
    ///
    /// # Errors
    /// When the currencies differ or the difference overflows.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        let minor = other.minor.checked_neg().ok_or(MoneyError::Overflow)?;
        self.checked_add(Self { minor, ..other })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.currency.minor_digits();
        let unit = 10u128.pow(digits);
        let (sign, magnitude) = (if self.minor < 0 { "-" } else { "" }, self.minor.unsigned_abs());
        let (whole, rest) = (magnitude / unit, magnitude % unit);
        if digits == 0 {
            write!(f, "{sign}{whole} {}", self.currency)
        } else {
            let width = usize::try_from(digits).unwrap_or(2);
            write!(f, "{sign}{whole}.{rest:0width$} {}", self.currency)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_with_their_minor_digits() {
        let yen = Currency::parse("JPY").unwrap();
        assert_eq!(Money::new(-5, Currency::CNY).to_string(), "-0.05 CNY");
        assert_eq!(Money::new(123_456, Currency::USD).to_string(), "1234.56 USD");
        assert_eq!(Money::new(7, yen).to_string(), "7 JPY");
    }

    #[test]
    fn currencies_do_not_mix() {
        let sum = Money::new(1, Currency::CNY).checked_add(Money::new(1, Currency::USD));
        assert_eq!(sum, Err(MoneyError::Mixed(Currency::CNY, Currency::USD)));
        assert!(Currency::parse("rmb").is_err());
    }
}
