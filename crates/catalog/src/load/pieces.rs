//! A long callers' file in pieces that can be read side by side.
//!
//! Each piece must stand by itself: what reaches over its end (a quoted text, an anchor, a second document)
//! makes a piece that can't be read, and then the file is read whole. So pieces decide how fast a good file
//! is read, never what is in it, and places in a piece are never shown to anybody.

use std::ops::Range;

/// The field whose items are shared out.
pub(super) const FIELD: &str = "applications";
/// Bytes in front of the list at most; further down it is not looked for.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A file in pieces.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pieces<'s> {
    /// The document with an empty list in the place of its items.
    pub frame: String,
    /// The items: each a document that is a list.
    pub items: Vec<&'s str>,
}

/// The file in at most `count` pieces; `None` when it is not written as one expects.
pub(super) fn pieces(text: &str, count: usize) -> Option<Pieces<'_>> {
    if count < 2 {
        return None;
    }
    let head = head(text)?;
    let list = text.get(head.end..)?;
    let start = item_start(list)?;
    let mut cuts = vec![0];
    for n in 1..count {
        let from = list.len() / count * n;
        // The mark of an item, at the start of a line.
        let at = list.get(boundary(list, from)..)?.find(&format!("\n{start}"))?;
        cuts.push(boundary(list, from) + at + 1);
    }
    cuts.dedup();
    let ends = cuts.iter().skip(1).copied().chain([list.len()]);
    let mut items: Vec<&str> =
        cuts.iter().zip(ends).map(|(from, to)| list.get(*from..to)).collect::<Option<_>>()?;
    // What stands behind the list belongs to the document.
    let last = items.pop()?;
    let end = outside(last).unwrap_or(last.len());
    let tail = last.get(end..)?;
    items.push(last.get(..end)?);
    if items.iter().any(|piece| outside(piece).is_some()) {
        return None;
    }
    let frame = format!("{}{FIELD}: []\n{tail}", text.get(..head.start)?);
    Some(Pieces { frame, items })
}

/// The line with the field.
fn head(text: &str) -> Option<Range<usize>> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        if line
            .strip_prefix(FIELD)
            .and_then(|rest| rest.strip_prefix(':'))
            .is_some_and(|rest| rest.trim().is_empty())
        {
            return Some(at..end);
        }
        if at > HEAD_BYTES_MAX {
            return None;
        }
        at = end;
    }
    None
}

/// What each item's first line begins with, to the end of its dash.
fn item_start(list: &str) -> Option<&str> {
    let first = list
        .lines()
        .take(1_000)
        .find(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))?;
    let indent = first.len() - first.trim_start_matches(' ').len();
    first.get(indent..)?.starts_with("- ").then(|| first.get(..indent + 2)).flatten()
}

/// Where the first line begins that is outside of an indented list.
fn outside(piece: &str) -> Option<usize> {
    let inside = |first: u8| matches!(first, b' ' | b'-' | b'#' | b'\n' | b'\r');
    let bytes = piece.as_bytes();
    if bytes.first().is_some_and(|first| !inside(*first)) {
        return Some(0);
    }
    bytes.windows(2).position(|pair| matches!(pair, [b'\n', next] if !inside(*next))).map(|at| at + 1)
}

/// The next place that is between two characters.
fn boundary(text: &str, from: usize) -> usize {
    (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(indent: &str, behind: &str) -> String {
        let mut text = "# Callers\napplications:\n  # the first\n".to_owned();
        for n in 0..10_000 {
            text.push_str(&format!("{indent}- id: app-{n}\n{indent}  owner: 所有者\n"));
        }
        text + behind
    }

    #[test]
    fn every_item_is_in_one_piece_and_the_rest_in_the_frame() {
        for indent in ["", "  ", "    "] {
            let text = file(indent, "issuers:\n  - issuer: x\n");
            let cut = pieces(&text, 4).unwrap();
            assert_eq!(cut.items.len(), 4);
            assert_eq!(cut.frame, "# Callers\napplications: []\nissuers:\n  - issuer: x\n");
            let whole: String = cut.items.concat();
            assert_eq!(format!("# Callers\napplications:\n{whole}issuers:\n  - issuer: x\n"), text);
            for piece in &cut.items[1..] {
                assert!(piece.starts_with(&format!("{indent}- id: app-")), "{:?}", piece.get(..20));
            }
        }
    }

    #[test]
    fn what_is_odd_is_read_whole() {
        assert_eq!(pieces("applications:\n", 4), None);
        let good = file("  ", "");
        assert!(pieces(&good, 2).is_some());
        assert_eq!(pieces(&good, 1), None);
        for odd in [
            good.replace("applications:\n", "applications: &all\n"),
            good.replace("applications:\n", "{ applications:\n"),
            good.replace("  # the first\n", "  nothing\n"),
            good.replace("app-10\n", "app-10\nother: 1\n"),
        ] {
            assert_eq!(pieces(&odd, 4), None);
        }
    }
}
