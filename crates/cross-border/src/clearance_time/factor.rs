//! The traits of a consignment, and the factors that the model makes of them.

use std::borrow::Cow;

use super::Stage;
use crate::{Country, TransportMode};

/// What is known of a consignment before it is cleared; an empty text means not known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Traits {
    /// Whose customs clears the goods.
    pub destination: Country,
    /// Where they come from.
    pub origin: Option<Country>,
    /// Place of dispatch, in the sender's own names.
    pub origin_site: String,
    /// Customs office.
    pub office: String,
    /// How they travel.
    pub mode: Option<TransportMode>,
    /// Harmonised System code, 2 to 12 digits.
    pub hs_code: String,
    /// Customs regime.
    pub regime: String,
    /// The importer's standing with customs.
    pub importer_tier: String,
    /// Supplier.
    pub supplier: String,
    /// Class of the goods in the sender's own words.
    pub product_group: String,
    /// Incoterm.
    pub incoterm: String,
    /// Whether customs inspects the goods; `None` when it is not known, or not yet.
    pub inspected: Option<bool>,
}

impl Traits {
    /// A consignment of which only the destination is known.
    #[must_use]
    pub fn to(destination: Country) -> Self {
        Self {
            destination,
            origin: None,
            origin_site: String::new(),
            office: String::new(),
            mode: None,
            hs_code: String::new(),
            regime: String::new(),
            importer_tier: String::new(),
            supplier: String::new(),
            product_group: String::new(),
            incoterm: String::new(),
            inspected: None,
        }
    }

    /// The same before it is known whether it is inspected.
    pub(super) fn before_inspection(&self) -> Cow<'_, Self> {
        match self.inspected {
            Some(_) => Cow::Owned(Self { inspected: None, ..self.clone() }),
            None => Cow::Borrowed(self),
        }
    }
}

/// Between the parts of a combination; not a character that any part has.
const JOIN: &str = " / ";

/// A trait, or a combination of traits, whose values have an effect each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Factor {
    /// Country that clears.
    Country,
    /// Transport mode.
    Mode,
    /// Customs office.
    Office,
    /// First two digits of the HS code.
    HsChapter,
    /// Customs regime.
    Regime,
    /// Importer's standing.
    ImporterTier,
    /// Supplier.
    Supplier,
    /// Class of the goods.
    ProductGroup,
    /// Incoterm.
    Incoterm,
    /// Whether customs inspects: of the release alone.
    Inspection,
    /// Where the goods come from: the site, or else the country.
    Origin,
    /// Office and mode.
    OfficeMode,
    /// HS chapter and office.
    HsOffice,
    /// Origin, destination (the office, or else the country) and mode.
    Lane,
}

impl Factor {
    /// All factors in the order in which the model fits them: broad before narrow, so that the narrow
    /// ones explain what the broad ones left.
    pub const ALL: [Self; 14] = [
        Self::Country,
        Self::Mode,
        Self::Office,
        Self::HsChapter,
        Self::Regime,
        Self::ImporterTier,
        Self::Supplier,
        Self::ProductGroup,
        Self::Incoterm,
        Self::Inspection,
        Self::Origin,
        Self::OfficeMode,
        Self::HsOffice,
        Self::Lane,
    ];
    /// Number of factors.
    pub const COUNT: usize = Self::ALL.len();

    /// Position in [`Factor::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// Name for people and programs. Example: "hs_chapter".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Country => "country",
            Self::Mode => "mode",
            Self::Office => "office",
            Self::HsChapter => "hs_chapter",
            Self::Regime => "regime",
            Self::ImporterTier => "importer_tier",
            Self::Supplier => "supplier",
            Self::ProductGroup => "product_group",
            Self::Incoterm => "incoterm",
            Self::Inspection => "inspection",
            Self::Origin => "origin",
            Self::OfficeMode => "office_mode",
            Self::HsOffice => "hs_office",
            Self::Lane => "lane",
        }
    }

    /// The same of a factor that this stage has; an inspection belongs to the release.
    pub(super) fn level_of(self, stage: Stage, traits: &Traits) -> Option<Cow<'_, str>> {
        if self == Self::Inspection && stage != Stage::DeclarationToRelease {
            None
        } else {
            self.level(traits)
        }
    }

    /// The consignment's value of this factor; `None` when a needed trait is not known.
    #[must_use]
    pub fn level(self, traits: &Traits) -> Option<Cow<'_, str>> {
        let mode = traits.mode.map(TransportMode::name);
        match self {
            Self::Country => Some(traits.destination.code().into()),
            Self::Mode => mode.map(Into::into),
            Self::Office => known(&traits.office).map(Into::into),
            Self::HsChapter => traits.hs_code.get(..2).map(Into::into),
            Self::Regime => known(&traits.regime).map(Into::into),
            Self::ImporterTier => known(&traits.importer_tier).map(Into::into),
            Self::Supplier => known(&traits.supplier).map(Into::into),
            Self::ProductGroup => known(&traits.product_group).map(Into::into),
            Self::Incoterm => known(&traits.incoterm).map(Into::into),
            Self::Inspection => {
                traits.inspected.map(|yes| if yes { "inspected" } else { "not inspected" }.into())
            }
            Self::Origin => origin(traits).map(Into::into),
            Self::OfficeMode => joined(&[known(&traits.office)?, mode?]),
            Self::HsOffice => joined(&[traits.hs_code.get(..2)?, known(&traits.office)?]),
            Self::Lane => {
                let to = known(&traits.office).unwrap_or(traits.destination.code());
                joined(&[origin(traits)?, to, mode.unwrap_or("any mode")])
            }
        }
    }
}

fn known(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn origin(traits: &Traits) -> Option<&str> {
    known(&traits.origin_site).or_else(|| traits.origin.as_ref().map(Country::code))
}

fn joined(parts: &[&str]) -> Option<Cow<'static, str>> {
    Some(parts.join(JOIN).into())
}
