//! The callers' file: read application by application, so that a hundred thousand of them never stand in
//! memory as a tree; and in pieces, so that all cores read it.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::descriptors::Names;
use super::files::SourceFile;
use super::plans::Plans;
use super::service::{Services, strings};
use super::{Report, Sources, dangling, parallel, pieces};
use crate::callers::{
    ALL_SERVICES, Algorithm, ApiKey, Application, Callers, Issuer, Jwks, Role, Subscription,
    SubscriptionState,
};
use crate::diagnostic::{Fault, Finding, Findings, text};
use crate::form::{self, APPLICATION, APPLICATIONS_MAX, CALLERS, Shape};
use crate::yaml::{Budget, Kind, Mark, Node, Stream, read, read_streaming};

/// What the callers' file may cost.
const CALLERS_BUDGET: Budget =
    Budget { nodes_max: 16_000_000, aliases_max: 1_000, anchors_max: 64, depth_max: 16 };

/// Bytes that are worth a piece of their own.
const PIECE_BYTES_MIN: usize = 64 << 10;

/// Reads the callers: a long file in pieces side by side, and whole when anything in it is not good, for
/// only then does it matter what stands where.
pub(super) fn callers(
    file: &SourceFile,
    sources: &Sources,
    services: &Services,
    plans: &Plans,
    names: &Names,
    report: &mut Report,
) -> Callers {
    let known = Known { services, plans, names };
    let count = parallel::threads().min(file.text.len() / PIECE_BYTES_MIN);
    if let Some(cut) = pieces::pieces(&file.text, count)
        && let Some(callers) = good_pieces(cut, sources, known)
    {
        return callers;
    }
    let (callers, findings) = whole(&file.text, sources, known);
    report.add(file, findings);
    callers
}

/// The callers, and everything that is wrong with them.
fn whole(text: &str, sources: &Sources, known: Known<'_>) -> (Callers, Findings) {
    let mut findings = Findings::default();
    let mut reader = Reader::new(known, Some(HashMap::new()));
    let mut take = |node: Node<'_>, findings: &mut Findings| reader.application(&node, findings);
    let stream = Stream { field: Some(pieces::FIELD), take: &mut take };
    let root = read_streaming(text, &CALLERS_BUDGET, Some(stream), &mut findings);
    if let Some(root) = &root {
        reader.frame(root, sources, &mut findings);
    }
    (reader.into_callers(), findings)
}

/// The callers of a file without any fault; `None` when there is one.
fn good_pieces(cut: pieces::Pieces<'_>, sources: &Sources, known: Known<'_>) -> Option<Callers> {
    let share = u32::try_from(cut.items.len()).ok()?.max(1);
    let budget = Budget {
        nodes_max: CALLERS_BUDGET.nodes_max / u64::from(share),
        aliases_max: CALLERS_BUDGET.aliases_max / share,
        anchors_max: CALLERS_BUDGET.anchors_max / cut.items.len().max(1),
        depth_max: CALLERS_BUDGET.depth_max,
    };
    let mut items = cut.items;
    let readers = parallel::each_of(&mut items, 1, |piece| {
        let mut findings = Findings::default();
        let mut reader = Reader::new(known, None);
        let mut take = |node: Node<'_>, findings: &mut Findings| reader.application(&node, findings);
        let stream = Stream { field: None, take: &mut take };
        let root = read_streaming(piece, &budget, Some(stream), &mut findings)?;
        (findings.count() == 0 && matches!(root.kind, Kind::List(_))).then_some(reader)
    });
    let mut findings = Findings::default();
    let mut whole = Reader::new(known, None);
    for reader in readers {
        whole.join(reader?);
    }
    let root = read(&cut.frame, &CALLERS_BUDGET, &mut findings)?;
    whole.frame(&root, sources, &mut findings);
    let good = findings.count() == 0 && whole.number <= APPLICATIONS_MAX;
    let doubled = &mut whole.doubled;
    whole.applications.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    *doubled |= whole.applications.windows(2).any(|pair| matches!(pair, [one, next] if one.id == next.id));
    (good && !*doubled).then(|| whole.into_callers())
}

/// What the callers refer to.
#[derive(Clone, Copy)]
struct Known<'r> {
    services: &'r Services,
    plans: &'r Plans,
    names: &'r Names,
}

struct Reader<'r> {
    known: Known<'r>,
    applications: Vec<Arc<Application>>,
    callers: Callers,
    /// Where each id and credential stands first; none: it is enough to know that something is doubled.
    first: Option<HashMap<Box<str>, u32>>,
    doubled: bool,
    /// Tokens' issuers and where they are named.
    tokens: Vec<(Mark, String, Box<str>)>,
    number: usize,
    /// The name of all services, once for all that subscribe to it.
    all: Arc<str>,
    /// Lists of subscriptions, for many applications have the same.
    lists: HashSet<crate::Subscriptions>,
}

impl<'r> Reader<'r> {
    fn new(known: Known<'r>, first: Option<HashMap<Box<str>, u32>>) -> Self {
        Self {
            known,
            applications: Vec::new(),
            callers: Callers::default(),
            first,
            doubled: false,
            tokens: Vec::new(),
            number: 0,
            all: Arc::from(ALL_SERVICES),
            lists: HashSet::new(),
        }
    }

    /// Adds what another has read.
    fn join(&mut self, other: Self) {
        self.doubled |= other.doubled;
        self.number = self.number.saturating_add(other.number);
        self.applications.extend(other.applications);
        self.tokens.extend(other.tokens);
        let (here, there) = (&mut self.callers, other.callers);
        let before = here.keys.len() + there.keys.len();
        here.keys.join(there.keys);
        self.doubled |= here.keys.len() != before;
        for (uri, application) in there.san_uris {
            self.doubled |= here.san_uris.insert(uri, application).is_some();
        }
        for (subject, application) in there.subjects {
            self.doubled |= here.subjects.insert(subject, application).is_some();
        }
    }

    /// The document around the applications.
    fn frame(&mut self, root: &Node<'_>, sources: &Sources, findings: &mut Findings) {
        let from = findings.count();
        form::check(root, &Shape::Record(&CALLERS), findings);
        self.issuers(root, sources, findings);
        findings.name_fields(from, "", root);
        self.check_tokens(findings);
    }

    fn into_callers(self) -> Callers {
        let applications = self.applications.into_iter().map(|one| (Arc::clone(&one.id), one));
        Callers { applications: applications.collect(), ..self.callers }
    }
}

impl Reader<'_> {
    fn application(&mut self, node: &Node<'_>, findings: &mut Findings) {
        let number = self.number;
        self.number = number.saturating_add(1);
        if number >= APPLICATIONS_MAX {
            if number == APPLICATIONS_MAX {
                let expected = text(
                    format!("at most {APPLICATIONS_MAX} applications"),
                    format!("最多 {APPLICATIONS_MAX} 个应用"),
                );
                findings.push(Finding::new(node.mark, Fault::Budget, text("more", "更多"), expected));
            }
            return;
        }
        let from = findings.count();
        form::check(node, &Shape::Record(&APPLICATION), findings);
        self.compile(node, number, findings);
        if findings.count() > from {
            findings.name_fields(from, &format!("applications[{number}]"), node);
        }
    }

    fn compile(&mut self, node: &Node<'_>, number: usize, findings: &mut Findings) {
        let Some(at) = node.get("id") else { return };
        let Some(id) = at.text() else { return };
        if !self.once(&["id", id], at, findings) {
            return;
        }
        let owner = node.get("owner").and_then(Node::text).unwrap_or_default().to_owned();
        let roles = strings(node.get("roles"));
        let application = Arc::new(Application {
            id: Arc::from(id),
            owner,
            roles: roles.iter().filter(|role| *role == "operator").map(|_| Role::Operator).collect(),
            subscriptions: self.subscriptions(node, findings),
        });
        for credential in node.get("credentials").map(Node::items).unwrap_or_default() {
            self.credential(credential, &application, number, findings);
        }
        self.applications.push(application);
    }

    fn subscriptions(&mut self, node: &Node<'_>, findings: &mut Findings) -> crate::Subscriptions {
        let mut list: Vec<(Arc<str>, Subscription)> = Vec::new();
        for item in node.get("subscriptions").map(Node::items).unwrap_or_default() {
            let (Some(at), Some(plan)) = (item.get("service"), item.get("plan")) else { continue };
            let (Some(service), Some(plan_name)) = (at.text(), plan.text()) else { continue };
            let service = match self.known.services.get_key_value(service) {
                Some((name, _)) => Arc::clone(name),
                None if service == ALL_SERVICES => Arc::clone(&self.all),
                None => {
                    if self.known.names.lack(service) {
                        let names = self.known.services.keys().map(|name| &**name);
                        findings.push(dangling(
                            at.mark,
                            service,
                            ("a catalogued service, or `*`", "目录中的服务，或 `*`"),
                            names,
                        ));
                    }
                    continue;
                }
            };
            let Some((plan_name, _)) = self.known.plans.plans.get_key_value(plan_name) else {
                if !self.known.plans.incomplete {
                    let names = self.known.plans.plans.keys().map(|name| &**name);
                    findings.push(dangling(
                        plan.mark,
                        plan_name,
                        ("a plan of plans.yaml", "plans.yaml 中的套餐"),
                        names,
                    ));
                }
                continue;
            };
            if list.iter().any(|(there, _)| *there == service) {
                let expected = text("each service once", "每个服务只出现一次");
                findings.push(Finding::new(at.mark, Fault::Doubled, at.describe(), expected));
                continue;
            }
            let state = match item.get("state").and_then(Node::text) {
                Some("pending") => SubscriptionState::Pending,
                Some("suspended") => SubscriptionState::Suspended,
                _ => SubscriptionState::Active,
            };
            let expires_unix_ms = item.get("expires").and_then(moment);
            list.push((service, Subscription { plan: Arc::clone(plan_name), state, expires_unix_ms }));
        }
        let list: crate::Subscriptions = list.into_iter().collect();
        if let Some(same) = self.lists.get(&list) {
            return same.clone();
        }
        self.lists.insert(list.clone());
        list
    }

    fn credential(
        &mut self,
        node: &Node<'_>,
        application: &Arc<Application>,
        number: usize,
        findings: &mut Findings,
    ) {
        if let Some((key, at)) = node.get("api_key").and_then(|key| Some((key, key.get("prefix")?))) {
            let (Some(prefix), Some(digest)) =
                (at.text(), key.get("digest").and_then(Node::text).and_then(digest))
            else {
                return;
            };
            if self.once(&["key", prefix], at, findings) {
                let expires_unix_ms = key.get("expires").and_then(moment);
                let revoked = key.get("revoked").and_then(Node::flag).unwrap_or(false);
                let key = ApiKey { prefix: Box::default(), digest, expires_unix_ms, revoked };
                let held = (Arc::clone(application), key);
                self.doubled |= self.callers.keys.insert(prefix.into(), held).is_some();
            }
        } else if let Some(at) = node.at(&["mtls", "san_uri"]) {
            let Some(uri) = at.text() else { return };
            if self.once(&["san", uri], at, findings) {
                self.doubled |= self.callers.san_uris.insert(uri.into(), Arc::clone(application)).is_some();
            }
        } else if let Some((issuer, at)) =
            node.get("jwt").and_then(|jwt| Some((jwt.get("issuer")?, jwt.get("subject")?)))
        {
            let (Some(name), Some(subject)) = (issuer.text(), at.text()) else { return };
            self.tokens.push((issuer.mark, format!("applications[{number}]"), name.into()));
            if self.once(&["jwt", name, subject], at, findings) {
                let subjects = &mut self.callers.subjects;
                self.doubled |=
                    subjects.insert((name.into(), subject.into()), Arc::clone(application)).is_some();
            }
        }
    }

    /// Whether the thing stands here for the first time, as far as that is looked at; reported when not.
    fn once(&mut self, thing: &[&str], at: &Node<'_>, findings: &mut Findings) -> bool {
        let Some(first) = &mut self.first else { return true };
        let thing = thing.join(" ");
        let Some(line) = first.get(&*thing) else {
            first.insert(thing.into(), at.mark.line);
            return true;
        };
        let expected =
            text(format!("once; it stands in line {line}"), format!("只出现一次；第 {line} 行已有"));
        findings.push(Finding::new(at.mark, Fault::Doubled, at.describe(), expected));
        false
    }

    fn issuers(&mut self, root: &Node<'_>, sources: &Sources, findings: &mut Findings) {
        for node in root.get("issuers").map(Node::items).unwrap_or_default() {
            let Some((at, name)) = node.get("issuer").and_then(|at| Some((at, at.text()?))) else { continue };
            if !self.once(&["issuer", name], at, findings) {
                continue;
            }
            let file = node.at(&["jwks", "file"]);
            let folder = sources.callers.as_ref().and_then(|file| file.parent());
            if let (Some(file), Some(folder)) = (file, folder)
                && file.text().is_some_and(|path| !folder.join(path).is_file())
            {
                let expected =
                    text("a JWKS file, relative to the callers file", "JWKS 文件，路径相对于 callers 文件");
                findings.push(Finding::new(file.mark, Fault::Dangling, file.describe(), expected));
            }
            let jwks = match (file.and_then(Node::text), node.at(&["jwks", "url"]).and_then(Node::text)) {
                (Some(file), _) => Jwks::File(PathBuf::from(file)),
                (None, url) => Jwks::Url(url.unwrap_or_default().to_owned()),
            };
            let issuer: Arc<str> = Arc::from(name);
            let algorithms = strings(node.get("algorithms"));
            let entry = Issuer {
                issuer: Arc::clone(&issuer),
                audience: node.get("audience").and_then(Node::text).unwrap_or_default().to_owned(),
                algorithms: algorithms.iter().filter_map(|name| algorithm(name)).collect(),
                jwks,
            };
            self.doubled |= self.callers.issuers.insert(issuer, entry).is_some();
        }
    }

    /// Tokens may stand before their issuers, so they are compared at the end.
    fn check_tokens(&mut self, findings: &mut Findings) {
        for (mark, field, issuer) in std::mem::take(&mut self.tokens) {
            if !self.callers.issuers.contains_key(&*issuer) {
                let names = self.callers.issuers.keys().map(|name| &**name);
                let finding =
                    dangling(mark, &issuer, ("one of the file's `issuers`", "本文件 `issuers` 之一"), names);
                findings.push(finding.field(field));
            }
        }
    }
}

fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" => Algorithm::EdDSA,
        "RS256" => Algorithm::RS256,
        "PS256" => Algorithm::PS256,
        _ => return None,
    })
}

/// A moment in Unix milliseconds.
fn moment(node: &Node<'_>) -> Option<i64> {
    node.text()?.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

fn digest(hex: &str) -> Option<[u8; 32]> {
    blake3::Hash::from_hex(hex).ok().map(|hash| *hash.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Characters and words that mean something to YAML, or to the pieces.
    const PARTS: [&str; 24] = [
        "\n",
        " ",
        "  ",
        "- ",
        ":",
        ": ",
        "\"",
        "'",
        "#",
        " #",
        "&a",
        "*a",
        "[",
        "]",
        "{",
        "}",
        "|",
        ">",
        "?",
        "!",
        "---\n",
        "...\n",
        "\n  - ",
        "applications:\n",
    ];

    /// Numbers that look like chance, the same each time (Knuth, MMIX).
    fn dice(state: &mut u64, sides: usize) -> usize {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*state >> 33).unwrap() % sides
    }

    fn text(indent: &str) -> String {
        let mut text = "applications:\n".to_owned();
        for n in 0..12 {
            let letter = char::from(b'a' + u8::try_from(n).unwrap());
            text.push_str(&format!(
                "{indent}- id: app-{n}\n{indent}  owner: \"{letter} x\"\n{indent}  credentials:\n{indent}    - api_key: \
                 {{ prefix: oaas_k3v5x2m{letter}, digest: \"{n:064x}\" }}\n{indent}  # more\n"
            ));
        }
        text + "issuers:\n  - issuer: https://id.example\n    audience: oaas\n    algorithms: [ES256]\n    jwks: { url: \"https://id.example/keys\" }\n"
    }

    #[test]
    fn pieces_never_take_what_the_whole_file_does_not() {
        let (services, plans, names) = (Services::new(), Plans::default(), Names::default());
        let known = Known { services: &services, plans: &plans, names: &names };
        let sources = Sources { catalog: PathBuf::new(), callers: None };
        let (mut state, mut taken, mut faults) = (1, 0, 0);
        for round in 0..6_000 {
            let good = text(["", "  "][round % 2]);
            let mut lines: Vec<String> = good.split_inclusive('\n').map(str::to_owned).collect();
            for _ in 0..dice(&mut state, 3) {
                let at = dice(&mut state, lines.len());
                match dice(&mut state, 4) {
                    0 => drop(lines.remove(at)),
                    1 => lines.insert(at, lines[dice(&mut state, lines.len())].clone()),
                    2 => lines.insert(at, PARTS[dice(&mut state, PARTS.len())].to_owned()),
                    _ => {
                        let inside = dice(&mut state, lines[at].len());
                        lines[at].insert_str(inside, PARTS[dice(&mut state, PARTS.len())]);
                    }
                }
            }
            let text: String = lines.concat();
            let count = 2 + dice(&mut state, 3);
            let (expected, findings) = whole(&text, &sources, known);
            faults += usize::from(findings.count() > 0);
            let Some(cut) = pieces::pieces(&text, count) else { continue };
            let Some(seen) = good_pieces(cut, &sources, known) else { continue };
            taken += 1;
            assert_eq!(findings.count(), 0, "taken in pieces, refused whole:\n{text}");
            assert_eq!(seen.applications, expected.applications, "{text}");
            let keys = |callers: &Callers| {
                let mut keys: Vec<_> =
                    callers.keys.values().map(|(one, key)| (one.id.clone(), key.digest)).collect();
                keys.sort();
                keys
            };
            assert_eq!(keys(&seen), keys(&expected), "{text}");
            assert_eq!(seen.issuers, expected.issuers, "{text}");
        }
        assert!(taken > 1_000 && faults > 1_000, "{taken} taken, {faults} with faults: says nothing");
    }
}
