//! Words that this domain shares: countries and ways of transport.

use std::fmt;

use thiserror::Error;

/// What is not a word of customs.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CustomsError {
    /// Not two upper-case letters.
    #[error("country {0:?} is not an ISO 3166-1 alpha-2 code of two upper-case letters")]
    Country(String),
}

/// A country: ISO 3166-1 alpha-2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

impl Country {
    /// Reads two upper-case letters; whether such a country exists is not asked.
    ///
    /// # Errors
    /// [`CustomsError::Country`] when `code` is anything else.
    pub fn parse(code: &str) -> Result<Self, CustomsError> {
        match code.as_bytes() {
            &[a, b] if a.is_ascii_uppercase() && b.is_ascii_uppercase() => Ok(Self([a, b])),
            _ => Err(CustomsError::Country(code.to_owned())),
        }
    }

    /// The code. Example: "CN".
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("ZZ")
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// How goods travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TransportMode {
    /// Scheduled air freight.
    Air,
    /// Chartered aircraft.
    AirCharter,
    /// Sea.
    Sea,
    /// Road.
    Road,
    /// Rail.
    Rail,
    /// Post and courier.
    Post,
}

impl TransportMode {
    /// All modes.
    pub const ALL: [Self; 6] = [Self::Air, Self::AirCharter, Self::Sea, Self::Road, Self::Rail, Self::Post];

    /// The mode's name. Example: "air charter".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Air => "air",
            Self::AirCharter => "air charter",
            Self::Sea => "sea",
            Self::Road => "road",
            Self::Rail => "rail",
            Self::Post => "post",
        }
    }
}
