//! Reader of the orders of Olist, a marketplace in Brazil (2016 to 2018): one line an order. The section
//! that is timed goes from the hand-over to the carrier to the delivery.

use std::io::Read;
use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::backtest::Case;
use super::file_error::{FileError, LINES_MAX};
use super::{Traits, scms};
use crate::{Country, TransportMode};

/// A file's orders, and how many were left out of it.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// Delivered orders, in the order of the file.
    pub cases: Vec<Case>,
    /// Orders without hand-over or delivery.
    pub undated: usize,
    /// Orders delivered before they were handed over.
    pub reversed: usize,
}

#[derive(Clone, Copy)]
enum Column {
    Carrier,
    Delivered,
    CustomerState,
    SellerState,
    Seller,
    Category,
}

impl Column {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Carrier, "carrier"),
        (Self::Delivered, "delivered"),
        (Self::CustomerState, "customer_state"),
        (Self::SellerState, "seller_state"),
        (Self::Seller, "seller_id"),
        (Self::Category, "category"),
    ];
}

/// Whether a file's first line is that of this form.
#[must_use]
pub fn is_header(line: &str) -> bool {
    let names: Vec<&str> = line.trim_start_matches('\u{feff}').trim().split(',').collect();
    Column::ALL.iter().all(|(_, name)| names.contains(name))
}

/// Reads a file's orders; `file` is its name for errors. Wall-clock times are taken as they stand.
///
/// # Errors
/// With file, line and column, when a column is missing or a field is not as it must be.
pub fn read(input: impl Read, file: &str) -> Result<Import, FileError> {
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(input);
    let broken = |source| FileError::Csv { file: file.to_owned(), source };
    let header = reader.headers().map_err(broken)?;
    let mut places = [0; Column::ALL.len()];
    for (place, (_, column)) in places.iter_mut().zip(Column::ALL) {
        let found = header.iter().position(|name| name.trim_start_matches('\u{feff}').trim() == column);
        *place = found.ok_or(FileError::Column { file: file.to_owned(), column })?;
    }
    let country =
        Country::parse("BR").map_err(|_| FileError::Column { file: file.to_owned(), column: "" })?;
    let mut import = Import::default();
    for (count, row) in reader.records().enumerate() {
        if count >= LINES_MAX {
            return Err(FileError::TooLong { file: file.to_owned() });
        }
        let row = row.map_err(broken)?;
        let line = Line { file, places, row: &row };
        let (Some(start_ms), Some(end_ms)) = (line.time(Column::Carrier)?, line.time(Column::Delivered)?)
        else {
            import.undated += 1;
            continue;
        };
        if end_ms < start_ms {
            import.reversed += 1;
            continue;
        }
        let traits = Traits {
            origin_site: line.text(Column::SellerState)?,
            // The state of delivery stands where a customs office would.
            office: line.text(Column::CustomerState)?,
            mode: Some(TransportMode::Road),
            supplier: line.text(Column::Seller)?,
            product_group: line.text(Column::Category)?,
            ..Traits::to(country)
        };
        import.cases.push(Case { start_ms, end_ms, traits: Arc::new(traits) });
    }
    Ok(import)
}

struct Line<'a> {
    file: &'a str,
    places: [usize; Column::ALL.len()],
    row: &'a csv::StringRecord,
}

impl Line<'_> {
    fn time(&self, column: Column) -> Result<Option<i64>, FileError> {
        let text = self.get(column);
        if text.is_empty() {
            return Ok(None);
        }
        let time = DateTime::strptime("%Y-%m-%d %H:%M:%S", text)
            .and_then(|time| time.to_zoned(TimeZone::UTC))
            .map(|at| at.timestamp().as_millisecond());
        time.map(Some)
            .map_err(|_| self.wrong(column, format!("{text:?} is not a time such as 2017-10-02 10:56:33")))
    }

    fn text(&self, column: Column) -> Result<String, FileError> {
        let text = self.get(column);
        if text.len() > scms::NAME_BYTES_MAX {
            let problem = format!("is {} bytes long, more than {}", text.len(), scms::NAME_BYTES_MAX);
            return Err(self.wrong(column, problem));
        }
        Ok(text.to_owned())
    }

    fn get(&self, column: Column) -> &str {
        let place = self.places.get(column as usize).copied().unwrap_or_default();
        self.row.get(place).unwrap_or_default().trim()
    }

    fn wrong(&self, column: Column, problem: String) -> FileError {
        FileError::Field {
            file: self.file.to_owned(),
            line: self.row.position().map_or(0, csv::Position::line),
            column: self.places.get(column as usize).copied().unwrap_or_default() + 1,
            name: Column::ALL.get(column as usize).map_or("", |(_, name)| name),
            problem,
        }
    }
}
