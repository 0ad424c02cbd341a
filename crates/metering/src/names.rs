//! Names as small numbers. Most records of a second have the same few applications, methods and
//! currencies: each is kept once, and the sums are keyed by numbers, which are copied and hashed in no time.

use std::collections::HashMap;

/// Hasher of what is looked up for each record: names (applications, services, methods, currencies, budgets)
/// and call ids. It is no match for someone who can see its hashes. But its seed is chosen anew by each
/// process and shown to nobody, names come from the catalog and the callers' file or, of refused calls and
/// stakes, from requests whose number per flush is limited, and the gateway makes the call ids by chance.
pub(crate) type Hasher = foldhash::fast::RandomState;
pub(crate) type Map<K, V> = HashMap<K, V, Hasher>;

/// A name of one [`Names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name(u32);

/// The names of a batch. How many there may be is limited where its sums are.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// By the bytes as they come: they are validated when they are new, not each time.
    numbers: Map<Box<[u8]>, Name>,
    texts: Vec<Text>,
}

#[derive(Debug)]
struct Text {
    text: Box<str>,
    /// The service in it, once it was asked for.
    service: Option<Name>,
}

impl Names {
    /// The number of a name; the same for the same text.
    pub fn name(&mut self, text: &[u8]) -> Name {
        if let Some(name) = self.numbers.get(text) {
            return *name;
        }
        let name = Name(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        self.numbers.insert(text.into(), name);
        self.texts.push(Text { text: String::from_utf8_lossy(text).into(), service: None });
        name
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// What was named.
    pub fn text(&self, name: Name) -> &str {
        self.get(name).map_or("", |known| &known.text)
    }

    /// The service in a canonical path: "/oaas.channel.v1.RebateService/CalculateRebate".
    pub fn service_of(&mut self, method: Name) -> Name {
        if let Some(service) = self.get(method).and_then(|known| known.service) {
            return service;
        }
        let text = self.text(method);
        let path = text.strip_prefix('/').unwrap_or(text);
        let service = path.split_once('/').map_or(path, |(service, _)| service).to_owned();
        let service = self.name(service.as_bytes());
        if let Some(known) = self.texts.get_mut(method.index()) {
            known.service = Some(service);
        }
        service
    }

    fn get(&self, name: Name) -> Option<&Text> {
        self.texts.get(name.index())
    }
}

impl Name {
    fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_text() {
        let mut names = Names::default();
        let texts: Vec<String> = (0..2000).map(|number| format!("name-{}", number % 1000)).collect();
        let numbers: Vec<Name> = texts.iter().map(|text| names.name(text.as_bytes())).collect();
        for (text, name) in texts.iter().zip(&numbers) {
            assert_eq!(names.text(*name), text);
            assert_eq!(names.name(text.as_bytes()), *name);
        }
        assert_eq!(numbers[..1000], numbers[1000..]);
        assert_eq!(names.texts.len(), 1000);
    }

    #[test]
    fn a_method_leads_to_its_service() {
        let mut names = Names::default();
        for (method, service) in
            [("/a.B/C", "a.B"), ("/a.B/D", "a.B"), ("a.B/C", "a.B"), ("/x", "x"), ("", "")]
        {
            let method = names.name(method.as_bytes());
            for _ in 0..2 {
                let found = names.service_of(method);
                assert_eq!(names.text(found), service);
            }
        }
        let (c, d) = (names.name(b"/a.B/C"), names.name(b"/a.B/D"));
        assert_eq!(names.service_of(c), names.service_of(d));
    }
}
