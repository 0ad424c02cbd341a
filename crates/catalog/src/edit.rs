//! Adds a key to the text of a callers file, leaving every other byte as it is.

use thiserror::Error;

use crate::callers::ApiKey;
use crate::diagnostic::{Diagnostics, Fault, Findings, Lines};
use crate::yaml::{Budget, Node, read};

/// What an edit may cost: as much as the loader allows.
const EDIT_BUDGET: Budget =
    Budget { nodes_max: 16_000_000, aliases_max: 1_000, anchors_max: 64, depth_max: 16 };

/// A key and whose it is.
#[derive(Clone, Debug)]
pub struct NewKey<'k> {
    /// Id of the application; it is made when it isn't there.
    pub application: &'k str,
    /// Who answers for it; needed for a new application.
    pub owner: Option<&'k str>,
    /// Services (or "*") and plans to subscribe to, beside what it has.
    pub subscriptions: &'k [(String, String)],
    /// The key as it will be stored.
    pub key: &'k ApiKey,
}

/// Why a callers file can't be edited.
#[derive(Debug, Error)]
pub enum EditError {
    /// It is not YAML.
    #[error("{0}")]
    Broken(Diagnostics),
    /// The place is written with brackets, or otherwise so that text can't be inserted line by line.
    #[error("line {line}: write {what} in lines of its own first (`- ` before each item, no brackets)")]
    Flow {
        /// Line, from 1.
        line: u32,
        /// What must be rewritten.
        what: &'static str,
    },
    /// A new application needs an owner.
    #[error("application {0:?} is new: say who answers for it with --owner")]
    OwnerNeeded(String),
    /// The expiry is out of range.
    #[error("expiry {0} ms is out of range")]
    Expiry(i64),
}

/// The file's text with the key in it.
///
/// # Errors
/// When the text is broken, or written so that nothing can be inserted. The result must still be loaded
/// before it is used, for names in it may be wrong.
pub fn add_key(text: &str, new: &NewKey<'_>) -> Result<String, EditError> {
    let mut findings = Findings::default();
    let root = read(text, &EDIT_BUDGET, &mut findings);
    let empty = findings.list.iter().all(|finding| finding.fault == Fault::Blank);
    if root.is_none() && !empty {
        let lines = Lines::new("callers", text);
        let list = findings.list.into_iter().map(|finding| finding.locate(&lines)).collect();
        return Err(EditError::Broken(Diagnostics { list, more: findings.more }));
    }
    let mut edit = Edit { lines: text.split_inclusive('\n').map(str::to_owned).collect() };
    let applications = root.as_ref().and_then(|root| root.get("applications"));
    let there = applications
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .find(|item| item.get("id").and_then(Node::text) == Some(new.application));
    let credential = credential(new)?;
    match there {
        Some(application) => {
            // From the end to the start, so that the lines above keep their numbers; what is appended to
            // the application comes before what stands in its last line.
            let mut parts = vec![
                ("subscriptions", missing_subscriptions(application, new)),
                ("credentials", vec![credential]),
            ];
            parts.retain(|(_, items)| !items.is_empty());
            parts.sort_by_key(|(name, _)| {
                let place = application.get(name).map_or((application.end, true), |node| (node.end, false));
                std::cmp::Reverse(place)
            });
            for (field, items) in parts {
                edit.add_items(application, field, &items)?;
            }
        }
        None => edit.add_application(root.as_ref(), applications, new, &credential)?,
    }
    Ok(edit.lines.concat())
}

fn credential(new: &NewKey<'_>) -> Result<String, EditError> {
    let digest = blake3::Hash::from_bytes(new.key.digest).to_hex();
    let expires = match new.key.expires_unix_ms {
        Some(ms) => {
            let moment = jiff::Timestamp::from_millisecond(ms).map_err(|_| EditError::Expiry(ms))?;
            format!(", expires: {moment}")
        }
        None => String::new(),
    };
    Ok(format!("api_key: {{ prefix: {}, digest: \"{digest}\"{expires} }}", new.key.prefix))
}

fn subscription(service: &str, plan: &str) -> String {
    format!("{{ service: {}, plan: {} }}", quoted(service), quoted(plan))
}

fn missing_subscriptions(application: &Node<'_>, new: &NewKey<'_>) -> Vec<String> {
    let there = application.get("subscriptions").map(Node::items).unwrap_or_default();
    let has =
        |service: &str| there.iter().any(|item| item.get("service").and_then(Node::text) == Some(service));
    new.subscriptions.iter().filter(|(service, _)| !has(service)).map(|(s, p)| subscription(s, p)).collect()
}

/// The value as YAML text, in quotes where it could be read as something else.
fn quoted(value: &str) -> String {
    let plain = value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@'))
        && !matches!(
            value.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if plain { value.to_owned() } else { serde_json::Value::from(value).to_string() }
}

struct Edit {
    /// With their ends.
    lines: Vec<String>,
}

impl Edit {
    /// Adds items to the list `field` of a map that is written in lines.
    fn add_items(&mut self, map: &Node<'_>, field: &str, items: &[String]) -> Result<(), EditError> {
        if self.is_flow(map) {
            return Err(EditError::Flow { line: map.mark.line, what: "the application" });
        }
        let indent = column(map);
        let node = map.get(field);
        let (after, item_indent, head) = match node {
            Some(list) if !list.items().is_empty() => (list.end, self.dash(list, "the list")?, None),
            // `field: []`, `field:` or nothing: the line is written anew, with its comment.
            Some(empty) => {
                self.clear_value(empty.mark.line, field);
                (empty.mark.line, indent + 2, None)
            }
            None => (map.end, indent + 2, Some(format!("{field}:"))),
        };
        let mut fresh: Vec<String> = head.map(|head| format!("{:indent$}{head}\n", "")).into_iter().collect();
        fresh.extend(items.iter().map(|item| format!("{:item_indent$}- {item}\n", "")));
        self.insert(after, fresh);
        Ok(())
    }

    fn add_application(
        &mut self,
        root: Option<&Node<'_>>,
        list: Option<&Node<'_>>,
        new: &NewKey<'_>,
        credential: &str,
    ) -> Result<(), EditError> {
        let owner = new.owner.ok_or_else(|| EditError::OwnerNeeded(new.application.to_owned()))?;
        let (after, indent) = match list {
            Some(list) if !list.items().is_empty() => (list.end, self.dash(list, "the applications")?),
            Some(empty) => {
                self.clear_value(empty.mark.line, "applications");
                (empty.mark.line, 2)
            }
            None => {
                if let Some(root) = root.filter(|root| self.is_flow(root)) {
                    return Err(EditError::Flow { line: root.mark.line, what: "the file" });
                }
                let end = u32::try_from(self.lines.len()).unwrap_or(u32::MAX);
                self.insert(end, vec!["applications:\n".to_owned()]);
                (end.saturating_add(1), 2)
            }
        };
        let mut text = format!("- id: {}\n  owner: {}\n", quoted(new.application), quoted(owner));
        text.push_str(&format!("  credentials:\n    - {credential}\n"));
        if !new.subscriptions.is_empty() {
            text.push_str("  subscriptions:\n");
        }
        for (service, plan) in new.subscriptions {
            text.push_str(&format!("    - {}\n", subscription(service, plan)));
        }
        let fresh = text.lines().map(|line| format!("{:indent$}{line}\n", "")).collect();
        self.insert(after, fresh);
        Ok(())
    }

    /// Whether the value is written with brackets.
    fn is_flow(&self, node: &Node<'_>) -> bool {
        let line = index(node.mark.line).and_then(|n| self.lines.get(n));
        line.and_then(|line| line.chars().nth(column(node))).is_some_and(|c| matches!(c, '[' | '{'))
    }

    /// Column of the dashes of a list that is written in lines, from 0.
    fn dash(&self, list: &Node<'_>, what: &'static str) -> Result<usize, EditError> {
        let last = list.items().last().map_or(list.mark, |item| item.mark);
        let line = index(last.line).and_then(|n| self.lines.get(n)).map_or("", String::as_str);
        let indent = line.len().saturating_sub(line.trim_start_matches(' ').len());
        let dashed = line.get(indent..).is_some_and(|rest| rest.starts_with("- "));
        if self.is_flow(list) || !dashed {
            return Err(EditError::Flow { line: list.mark.line, what });
        }
        Ok(indent)
    }

    /// Takes the value of `field` out of its line, and leaves what stands around it.
    fn clear_value(&mut self, line: u32, field: &str) {
        let Some(line) = index(line).and_then(|n| self.lines.get_mut(n)) else { return };
        let key = format!("{field}:");
        if let Some(at) = line.find(&key) {
            let (head, rest) = line.split_at(at.saturating_add(key.len()));
            let rest = rest.trim_start_matches([' ', '[', ']', '~']);
            let gap = if rest.trim().is_empty() { "" } else { " " };
            *line = format!("{head}{gap}{rest}");
            if !line.ends_with('\n') {
                line.push('\n');
            }
        }
    }

    /// Inserts lines behind line number `after`.
    fn insert(&mut self, after: u32, fresh: Vec<String>) {
        let at = usize::try_from(after).unwrap_or(usize::MAX).min(self.lines.len());
        if let Some(line) = at.checked_sub(1).and_then(|n| self.lines.get_mut(n))
            && !line.ends_with('\n')
        {
            line.push('\n');
        }
        self.lines.splice(at..at, fresh);
    }
}

/// Column of the value, from 0.
fn column(node: &Node<'_>) -> usize {
    usize::try_from(node.mark.column.saturating_sub(1)).unwrap_or(0)
}

fn index(line: u32) -> Option<usize> {
    usize::try_from(line).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ApiKey {
        ApiKey { prefix: "oaas_k3v5x2ma".into(), digest: [7; 32], expires_unix_ms: None, revoked: false }
    }

    fn check(text: &str, application: &str, subscriptions: &[(&str, &str)], expected: &str) {
        let key = key();
        let subscriptions: Vec<(String, String)> =
            subscriptions.iter().map(|(s, p)| ((*s).to_owned(), (*p).to_owned())).collect();
        let new =
            NewKey { application, owner: Some("team@example.com"), subscriptions: &subscriptions, key: &key };
        let digest = "07".repeat(32);
        let edited = add_key(text, &new).unwrap().replace(&digest, "D");
        assert_eq!(edited, expected, "--- edited:\n{edited}\n--- of:\n{text}");
    }

    #[test]
    fn a_new_application_stands_behind_the_last_one() {
        let text = "# who\napplications:\n  # one\n  - id: a\n    owner: x\n    subscriptions: [ { service: b,\n      plan: c } ]  # why\n\n# end\nissuers: []\n";
        let expected = "# who\napplications:\n  # one\n  - id: a\n    owner: x\n    subscriptions: [ { service: b,\n      plan: c } ]  # why\n  \
                        - id: new\n    owner: team@example.com\n    credentials:\n      - api_key: { prefix: oaas_k3v5x2ma, digest: \"D\" }\n    \
                        subscriptions:\n      - { service: \"*\", plan: standard }\n\n# end\nissuers: []\n";
        check(text, "new", &[("*", "standard")], expected);
    }

    #[test]
    fn an_empty_list_and_an_empty_file_take_one_too() {
        let item = "  - id: new\n    owner: team@example.com\n    credentials:\n      - api_key: { prefix: oaas_k3v5x2ma, digest: \"D\" }\n";
        check("applications: []  # none yet\n", "new", &[], &format!("applications: # none yet\n{item}"));
        check("applications: []", "new", &[], &format!("applications:\n{item}"));
        check("", "new", &[], &format!("applications:\n{item}"));
        check("# nobody\n", "new", &[], &format!("# nobody\napplications:\n{item}"));
        check("issuers: []\n", "new", &[], &format!("issuers: []\napplications:\n{item}"));
    }

    #[test]
    fn an_application_that_is_there_gets_a_further_key() {
        let head = "applications:\n- id: a # the first\n  owner: x\n";
        let fresh = "api_key: { prefix: oaas_k3v5x2ma, digest: \"D\" }\n";
        check(
            &format!("{head}  credentials: []   # none\n  roles: [operator]\n"),
            "a",
            &[],
            &format!("{head}  credentials: # none\n    - {fresh}  roles: [operator]\n"),
        );
        check(
            &format!("{head}  credentials:\n  - mtls: {{ san_uri: a:b }}\n  # last\n- id: b\n  owner: y\n"),
            "a",
            &[],
            &format!(
                "{head}  credentials:\n  - mtls: {{ san_uri: a:b }}\n  - {fresh}  # last\n- id: b\n  owner: y\n"
            ),
        );
        check(
            head,
            "a",
            &[("s.S", "p")],
            &format!(
                "{head}  credentials:\n    - {fresh}  subscriptions:\n    - {{ service: s.S, plan: p }}\n"
            ),
        );
        check(
            &format!("{head}  subscriptions:\n    - {{ service: s.S, plan: p }}"),
            "a",
            &[("t.T", "p")],
            &format!(
                "{head}  subscriptions:\n    - {{ service: s.S, plan: p }}\n    - {{ service: t.T, plan: p }}\n  credentials:\n    - {fresh}"
            ),
        );
    }

    #[test]
    fn brackets_are_refused_with_their_line() {
        let key = key();
        let new = NewKey { application: "a", owner: None, subscriptions: &[], key: &key };
        let error = add_key("applications:\n  - { id: a, owner: x }\n", &new).unwrap_err();
        assert!(matches!(error, EditError::Flow { line: 2, .. }), "{error}");
        let error = add_key("applications: [", &new).unwrap_err();
        assert!(matches!(error, EditError::Broken(_)), "{error}");
        let error = add_key("applications: []\n", &new).unwrap_err();
        assert!(matches!(error, EditError::OwnerNeeded(_)), "{error}");
    }
}
