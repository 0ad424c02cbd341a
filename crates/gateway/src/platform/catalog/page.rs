//! One page of a list, and the token that leads to the next. Pure.
//!
//! A token holds where the page ended: a digest of the last service's name, and its place for the case that
//! a reload took that service away. So a reload between two pages neither repeats nor skips the others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oaas_catalog::Hit;
use oaas_proto::oaas::catalog::v1::ListServicesRequest;

/// A page.
pub(super) struct Page<'h> {
    pub hits: &'h [Hit],
    /// Empty at the end.
    pub next_token: String,
}

/// The page of `hits` that `asked` asks for. None when its token is none of this question's.
pub(super) fn page<'h>(hits: &'h [Hit], asked: &ListServicesRequest, size: usize) -> Option<Page<'h>> {
    let question = question(asked);
    let start = match asked.page_token.as_str() {
        "" => 0,
        token => Token::parse(token).filter(|token| token.question == question)?.start(hits),
    };
    let rest = hits.get(start..).unwrap_or_default();
    let on_page = rest.get(..size).unwrap_or(rest);
    let next_token = match on_page.last() {
        Some(last) if on_page.len() < rest.len() => {
            let place = u32::try_from(start.saturating_add(on_page.len())).unwrap_or(u32::MAX);
            Token { question, last: digest(&[&last.service.name]), place }.write()
        }
        _ => String::new(),
    };
    Some(Page { hits: on_page, next_token })
}

struct Token {
    question: [u8; 8],
    last: [u8; 8],
    place: u32,
}

impl Token {
    fn start(&self, hits: &[Hit]) -> usize {
        match hits.iter().position(|hit| digest(&[&hit.service.name]) == self.last) {
            Some(last) => last.saturating_add(1),
            // The last one is gone, so what followed it is one place further up.
            None => usize::try_from(self.place).unwrap_or(usize::MAX).saturating_sub(1).min(hits.len()),
        }
    }

    fn write(&self) -> String {
        URL_SAFE_NO_PAD.encode([&self.question[..], &self.last, &self.place.to_be_bytes()].concat())
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (question, rest) = bytes.split_first_chunk()?;
        let (last, rest) = rest.split_first_chunk()?;
        let place = u32::from_be_bytes(rest.try_into().ok()?);
        Some(Self { question: *question, last: *last, place })
    }
}

/// What is asked, without how much of it.
fn question(asked: &ListServicesRequest) -> [u8; 8] {
    digest(&[&asked.domain, &asked.query, &asked.tag, &asked.stage.to_string()])
}

fn digest(parts: &[&str]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part.as_bytes());
    }
    let mut digest = [0; 8];
    hasher.finalize_xof().fill(&mut digest);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::tests::fixture::snapshot;

    fn names(page: &Page<'_>) -> Vec<String> {
        page.hits.iter().map(|hit| hit.service.name.to_string()).collect()
    }

    #[test]
    fn a_reload_between_two_pages_neither_repeats_nor_skips() {
        let mut hits = oaas_catalog::search(
            &snapshot(),
            &oaas_catalog::Query { viewer: oaas_catalog::Viewer::Everything, ..Default::default() },
        );
        let all: Vec<String> = hits.iter().map(|hit| hit.service.name.to_string()).collect();
        let mut asked = ListServicesRequest::default();
        let first = page(&hits, &asked, 3).unwrap();
        assert_eq!(names(&first), all[..3]);
        asked.page_token = first.next_token;
        assert!(asked.page_token.len() <= 256, "the contract's limit");
        assert_eq!(names(&page(&hits, &asked, 100).unwrap()), all[3..]);
        // One of the first page goes, not its last: the others move up.
        let gone = hits.remove(0);
        assert_eq!(names(&page(&hits, &asked, 100).unwrap()), all[3..]);
        // Its last one goes: what followed it is one place further up.
        hits.insert(0, gone);
        hits.remove(2);
        assert_eq!(names(&page(&hits, &asked, 100).unwrap()), all[3..]);
    }

    #[test]
    fn a_token_is_of_one_question() {
        let hits = oaas_catalog::search(
            &snapshot(),
            &oaas_catalog::Query { viewer: oaas_catalog::Viewer::Everything, ..Default::default() },
        );
        let mut asked = ListServicesRequest::default();
        asked.page_token = page(&hits, &asked, 2).unwrap().next_token;
        asked.page_size = 7;
        assert!(page(&hits, &asked, 7).is_some(), "another size is the same question");
        asked.domain = "channel".to_owned();
        assert!(page(&hits, &asked, 7).is_none());
        for token in ["?", "AAAA", &"A".repeat(256)] {
            let asked = ListServicesRequest { page_token: token.to_owned(), ..Default::default() };
            assert!(page(&hits, &asked, 7).is_none(), "{token}");
        }
    }
}
