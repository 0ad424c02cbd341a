//! The name of one call: a UUIDv7, so that it sorts by arrival and names its journal segment.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A call's id. Its first 48 bits are the arrival in Unix milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(Uuid);

impl CallId {
    /// A fresh id for a call that arrives now.
    #[must_use]
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id as 16 bytes, as the journal stores it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Writes the id as text into `buffer`.
    #[must_use]
    pub fn encode<'b>(&self, buffer: &'b mut [u8; 36]) -> &'b str {
        self.0.as_hyphenated().encode_lower(buffer)
    }

    /// Reads the 16 bytes of a journal record; `None` when there are not 16.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self)
    }

    /// Arrival in Unix milliseconds, from the id itself.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        let b = self.0.as_bytes();
        u64::from_be_bytes([0, 0, b[0], b[1], b[2], b[3], b[4], b[5]])
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CallId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_lead_back_to_the_id() {
        let id = CallId::fresh();
        assert_eq!(id.to_string().parse::<CallId>().unwrap(), id);
        assert_eq!(CallId::from_slice(id.as_bytes()), Some(id));
        assert!(id.unix_ms() > 1_700_000_000_000);
        assert_eq!(CallId::from_slice(&[0; 15]), None);
    }
}
