//! Reader of the delivery history of the Supply Chain Management System (USAID, 2006 to 2015): one line a
//! product, several lines a shipment.
//!
//! The scheduled delivery date is not read: it was corrected until it nearly was the result, so a forecast
//! that sees it proves nothing.

use std::collections::HashSet;
use std::io::Read;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::backtest::Case;
use super::file_error::{FileError, LINES_MAX};
use super::{Milestones, Moment, Record, Traits};
use crate::{Country, TransportMode};

/// Longest text that the contract takes for a site or a supplier, bytes.
pub(super) const NAME_BYTES_MAX: usize = 120;
/// What stands in a date's place when it was not written down, when there was none, or never will be.
const NO_DATE: [&str; 3] = ["Date Not Captured", "Pre-PQ Process", ""];
const FROM_STOCK: &str = "N/A - From RDC";
/// Two-digit years from here on are of the last century (POSIX `%y`).
const CENTURY_PIVOT: i16 = 69;

/// A file's shipments, and what was left out of it.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// Each shipment once, in the order of the file.
    pub shipments: Vec<Shipment>,
    /// What was left out.
    pub skipped: Skipped,
}

/// Lines and shipments that were left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Further lines of a shipment that was read already.
    pub repeated_lines: usize,
    /// Shipments from the programme's own stock: no order was sent to a supplier.
    pub from_stock: usize,
    /// Shipments whose order date was not captured.
    pub undated: usize,
    /// Shipments delivered before they were ordered.
    pub reversed: usize,
    /// Shipments ordered and delivered on one day: orders written down after the fact.
    pub same_day: usize,
}

/// A shipment.
#[derive(Clone, Debug)]
pub struct Shipment {
    /// ASN or DN number.
    pub id: String,
    /// The consignment.
    pub traits: Arc<Traits>,
    /// Order sent to the supplier, Unix milliseconds (midnight UTC of the day).
    pub ordered_ms: i64,
    /// Delivered to the client.
    pub delivered_ms: i64,
    /// When the delivery was written down; never before the delivery.
    pub recorded_ms: i64,
}

impl Shipment {
    /// The shipment as it became known: ordered, and later delivered.
    #[must_use]
    pub fn records(&self) -> [Record; 2] {
        let ordered = Milestones::default().with(Moment::Ordered, self.ordered_ms);
        let record = |known_at_ms, milestones| Record {
            shipment_id: self.id.clone(),
            known_at_ms,
            traits: Arc::clone(&self.traits),
            milestones,
        };
        [
            record(self.ordered_ms, ordered),
            record(self.recorded_ms, ordered.with(Moment::Delivered, self.delivered_ms)),
        ]
    }
}

impl Import {
    /// All records in the order in which they became known.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let mut records: Vec<Record> = self.shipments.iter().flat_map(Shipment::records).collect();
        records.sort_by_key(|record| record.known_at_ms);
        records
    }

    /// The shipments as cases of a backtest.
    #[must_use]
    pub fn cases(&self) -> Vec<Case> {
        self.shipments
            .iter()
            .map(|shipment| Case {
                start_ms: shipment.ordered_ms,
                end_ms: shipment.delivered_ms,
                traits: Arc::clone(&shipment.traits),
            })
            .collect()
    }
}

/// Reads a file's shipments; `file` is its name for errors.
///
/// # Errors
/// With file, line and column, when a column is missing or a field is not as it must be.
pub fn read(input: impl Read, file: &str) -> Result<Import, FileError> {
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(input);
    let broken = |source| FileError::Csv { file: file.to_owned(), source };
    let columns = Columns::find(reader.headers().map_err(broken)?, file)?;
    let mut import = Import::default();
    let mut seen = HashSet::new();
    for (count, row) in reader.records().enumerate() {
        if count >= LINES_MAX {
            return Err(FileError::TooLong { file: file.to_owned() });
        }
        let row = row.map_err(broken)?;
        let line = Line { file, columns: &columns, row: &row };
        if !seen.insert(line.text(Column::Asn)?.to_owned()) {
            import.skipped.repeated_lines += 1;
        } else if let Some(shipment) = line.shipment(&mut import.skipped)? {
            import.shipments.push(shipment);
        }
    }
    Ok(import)
}

#[derive(Clone, Copy)]
enum Column {
    Asn,
    Country,
    Mode,
    Incoterm,
    Ordered,
    Delivered,
    Recorded,
    Group,
    Vendor,
    Site,
}

impl Column {
    const ALL: [(Self, &'static str); 10] = [
        (Self::Asn, "ASN/DN #"),
        (Self::Country, "Country"),
        (Self::Mode, "Shipment Mode"),
        (Self::Incoterm, "Vendor INCO Term"),
        (Self::Ordered, "PO Sent to Vendor Date"),
        (Self::Delivered, "Delivered to Client Date"),
        (Self::Recorded, "Delivery Recorded Date"),
        (Self::Group, "Sub Classification"),
        (Self::Vendor, "Vendor"),
        (Self::Site, "Manufacturing Site"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.get(self as usize).map_or("", |(_, name)| name)
    }
}

/// Where each column is, by [`Column`].
struct Columns([usize; 10]);

impl Columns {
    fn find(header: &csv::StringRecord, file: &str) -> Result<Self, FileError> {
        let mut places = [0; 10];
        for (place, (_, column)) in places.iter_mut().zip(Column::ALL) {
            *place = header
                .iter()
                .position(|name| name.trim_start_matches('\u{feff}').trim() == column)
                .ok_or(FileError::Column { file: file.to_owned(), column })?;
        }
        Ok(Self(places))
    }

    fn place(&self, column: Column) -> usize {
        self.0.get(column as usize).copied().unwrap_or_default()
    }
}

struct Line<'a> {
    file: &'a str,
    columns: &'a Columns,
    row: &'a csv::StringRecord,
}

impl Line<'_> {
    fn shipment(&self, skipped: &mut Skipped) -> Result<Option<Shipment>, FileError> {
        if self.get(Column::Ordered) == FROM_STOCK {
            skipped.from_stock += 1;
            return Ok(None);
        }
        let (Some(ordered_ms), Some(delivered_ms)) =
            (self.date(Column::Ordered)?, self.date(Column::Delivered)?)
        else {
            skipped.undated += 1;
            return Ok(None);
        };
        match delivered_ms.cmp(&ordered_ms) {
            std::cmp::Ordering::Less => skipped.reversed += 1,
            std::cmp::Ordering::Equal => skipped.same_day += 1,
            std::cmp::Ordering::Greater => {
                return Ok(Some(Shipment {
                    id: self.text(Column::Asn)?.to_owned(),
                    traits: Arc::new(self.traits()?),
                    ordered_ms,
                    delivered_ms,
                    recorded_ms: self.date(Column::Recorded)?.unwrap_or(delivered_ms).max(delivered_ms),
                }));
            }
        }
        Ok(None)
    }

    fn traits(&self) -> Result<Traits, FileError> {
        let incoterm = self.get(Column::Incoterm);
        let is_term = incoterm.len() == 3 && incoterm.bytes().all(|b| b.is_ascii_uppercase());
        Ok(Traits {
            mode: self.mode()?,
            origin_site: self.name(Column::Site)?.to_owned(),
            supplier: self.name(Column::Vendor)?.to_owned(),
            product_group: self.name(Column::Group)?.to_owned(),
            incoterm: if is_term { incoterm.to_owned() } else { String::new() },
            ..Traits::to(self.country()?)
        })
    }

    fn country(&self) -> Result<Country, FileError> {
        let name = self.text(Column::Country)?;
        let code = COUNTRIES.iter().find(|(known, _)| *known == name).map(|&(_, code)| code);
        code.and_then(|code| Country::parse(code).ok())
            .ok_or_else(|| self.wrong(Column::Country, format!("{name:?} is not a country of the programme")))
    }

    fn mode(&self) -> Result<Option<TransportMode>, FileError> {
        match self.get(Column::Mode) {
            "Air" => Ok(Some(TransportMode::Air)),
            "Air Charter" => Ok(Some(TransportMode::AirCharter)),
            "Ocean" => Ok(Some(TransportMode::Sea)),
            "Truck" => Ok(Some(TransportMode::Road)),
            "N/A" | "" => Ok(None),
            other => Err(self
                .wrong(Column::Mode, format!("{other:?} is not one of Air, Air Charter, Ocean, Truck, N/A"))),
        }
    }

    /// Midnight UTC of a date in one of the file's two forms, 8/13/06 (or 8/13/2006) and 13-Aug-06.
    fn date(&self, column: Column) -> Result<Option<i64>, FileError> {
        let text = self.get(column);
        if NO_DATE.contains(&text) {
            return Ok(None);
        }
        date(text).map(Some).ok_or_else(|| {
            self.wrong(
                column,
                format!("{text:?} is not a date such as 8/13/06, 13-Aug-06 or Date Not Captured"),
            )
        })
    }

    fn text(&self, column: Column) -> Result<&str, FileError> {
        let text = self.get(column);
        if text.is_empty() { Err(self.wrong(column, "is empty".to_owned())) } else { Ok(text) }
    }

    fn name(&self, column: Column) -> Result<&str, FileError> {
        let text = self.get(column);
        if text.len() > NAME_BYTES_MAX {
            let problem = format!("is {} bytes long, more than {NAME_BYTES_MAX}", text.len());
            return Err(self.wrong(column, problem));
        }
        Ok(text)
    }

    fn get(&self, column: Column) -> &str {
        self.row.get(self.columns.place(column)).unwrap_or_default().trim()
    }

    fn wrong(&self, column: Column, problem: String) -> FileError {
        FileError::Field {
            file: self.file.to_owned(),
            line: self.row.position().map_or(0, csv::Position::line),
            column: self.columns.place(column) + 1,
            name: column.name(),
            problem,
        }
    }
}

fn date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day) = if let [month, day, year] = *text.split('/').collect::<Vec<_>>() {
        (year, month.parse().ok()?, day)
    } else if let [day, month, year] = *text.split('-').collect::<Vec<_>>() {
        (year, i8::try_from(MONTHS.iter().position(|name| *name == month)? + 1).ok()?, day)
    } else {
        return None;
    };
    let year = match (year.len(), year.parse::<i16>().ok()?) {
        (2, short) => short + if short >= CENTURY_PIVOT { 1900 } else { 2000 },
        (4, full) => full,
        _ => return None,
    };
    let date = Date::new(year, month, day.parse().ok()?).ok()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// The programme's names of countries, and ISO 3166-1 alpha-2.
#[rustfmt::skip]
const COUNTRIES: [(&str, &str); 43] = [
    ("Afghanistan", "AF"), ("Angola", "AO"), ("Belize", "BZ"), ("Benin", "BJ"), ("Botswana", "BW"),
    ("Burkina Faso", "BF"), ("Burundi", "BI"), ("Cameroon", "CM"), ("Congo, DRC", "CD"),
    ("Côte d'Ivoire", "CI"), ("Dominican Republic", "DO"), ("Ethiopia", "ET"), ("Ghana", "GH"),
    ("Guatemala", "GT"), ("Guinea", "GN"), ("Guyana", "GY"), ("Haiti", "HT"), ("Kazakhstan", "KZ"),
    ("Kenya", "KE"), ("Kyrgyzstan", "KG"), ("Lebanon", "LB"), ("Lesotho", "LS"), ("Liberia", "LR"),
    ("Libya", "LY"), ("Malawi", "MW"), ("Mali", "ML"), ("Mozambique", "MZ"), ("Namibia", "NA"),
    ("Nigeria", "NG"), ("Pakistan", "PK"), ("Rwanda", "RW"), ("Senegal", "SN"), ("Sierra Leone", "SL"),
    ("South Africa", "ZA"), ("South Sudan", "SS"), ("Sudan", "SD"), ("Swaziland", "SZ"),
    ("Tanzania", "TZ"), ("Togo", "TG"), ("Uganda", "UG"), ("Vietnam", "VN"), ("Zambia", "ZM"),
    ("Zimbabwe", "ZW"),
];
