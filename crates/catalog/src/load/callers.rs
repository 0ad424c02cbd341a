//! The callers' file: read application by application, so that a hundred thousand of them never stand in
//! memory as a tree.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::descriptors::Names;
use super::files::SourceFile;
use super::plans::Plans;
use super::service::{Services, strings};
use super::{Report, Sources, dangling};
use crate::callers::{
    ALL_SERVICES, Algorithm, ApiKey, Application, Callers, Issuer, Jwks, Role, Subscription,
    SubscriptionState,
};
use crate::diagnostic::{Fault, Finding, Findings, text};
use crate::form::{self, APPLICATION, APPLICATIONS_MAX, CALLERS, Shape};
use crate::yaml::{Budget, Mark, Node, Stream, read_streaming};

/// What the callers' file may cost.
const CALLERS_BUDGET: Budget =
    Budget { nodes_max: 16_000_000, aliases_max: 1_000, anchors_max: 64, depth_max: 16 };

/// Reads the callers.
pub(super) fn callers(
    file: &SourceFile,
    sources: &Sources,
    services: &Services,
    plans: &Plans,
    names: &Names,
    report: &mut Report,
) -> Callers {
    let mut findings = Findings::default();
    let mut reader = Reader {
        services,
        plans,
        names,
        callers: Callers::default(),
        first: HashMap::new(),
        tokens: Vec::new(),
        number: 0,
    };
    let mut take = |node: Node<'_>, findings: &mut Findings| reader.application(&node, findings);
    let stream = Stream { field: "applications", take: &mut take };
    let root = read_streaming(&file.text, &CALLERS_BUDGET, Some(stream), &mut findings);
    if let Some(root) = &root {
        let from = findings.count();
        form::check(root, &Shape::Record(&CALLERS), &mut findings);
        reader.issuers(root, sources, &mut findings);
        findings.name_fields(from, "", root);
        reader.check_tokens(&mut findings);
    }
    report.add(file, findings);
    reader.callers
}

struct Reader<'r> {
    services: &'r Services,
    plans: &'r Plans,
    names: &'r Names,
    callers: Callers,
    /// Where each id and credential stands first.
    first: HashMap<Box<str>, u32>,
    /// Tokens' issuers and where they are named.
    tokens: Vec<(Mark, String, Box<str>)>,
    number: usize,
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
        if !self.once(&format!("id {id}"), at, findings) {
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
        self.callers.applications.insert(Arc::clone(&application.id), application);
    }

    fn subscriptions(&mut self, node: &Node<'_>, findings: &mut Findings) -> crate::Subscriptions {
        let mut list: Vec<(Arc<str>, Subscription)> = Vec::new();
        for item in node.get("subscriptions").map(Node::items).unwrap_or_default() {
            let (Some(at), Some(plan)) = (item.get("service"), item.get("plan")) else { continue };
            let (Some(service), Some(plan_name)) = (at.text(), plan.text()) else { continue };
            let service = match self.services.get_key_value(service) {
                Some((name, _)) => Arc::clone(name),
                None if service == ALL_SERVICES => Arc::from(ALL_SERVICES),
                None => {
                    if self.names.lack(service) {
                        let names = self.services.keys().map(|name| &**name);
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
            let Some((plan_name, _)) = self.plans.plans.get_key_value(plan_name) else {
                if !self.plans.incomplete {
                    let names = self.plans.plans.keys().map(|name| &**name);
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
        list.into_iter().collect()
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
            if self.once(&format!("key {prefix}"), at, findings) {
                let expires_unix_ms = key.get("expires").and_then(moment);
                let revoked = key.get("revoked").and_then(Node::flag).unwrap_or(false);
                let key = ApiKey { prefix: prefix.into(), digest, expires_unix_ms, revoked };
                self.callers.keys.insert(prefix.into(), (Arc::clone(application), key));
            }
        } else if let Some(at) = node.at(&["mtls", "san_uri"]) {
            let Some(uri) = at.text() else { return };
            if self.once(&format!("san {uri}"), at, findings) {
                self.callers.san_uris.insert(uri.into(), Arc::clone(application));
            }
        } else if let Some((issuer, at)) =
            node.get("jwt").and_then(|jwt| Some((jwt.get("issuer")?, jwt.get("subject")?)))
        {
            let (Some(name), Some(subject)) = (issuer.text(), at.text()) else { return };
            self.tokens.push((issuer.mark, format!("applications[{number}]"), name.into()));
            if self.once(&format!("jwt {name} {subject}"), at, findings) {
                self.callers.subjects.insert((name.into(), subject.into()), Arc::clone(application));
            }
        }
    }

    /// Whether the thing stands here for the first time; reported when not.
    fn once(&mut self, thing: &str, at: &Node<'_>, findings: &mut Findings) -> bool {
        let Some(line) = self.first.get(thing) else {
            self.first.insert(thing.into(), at.mark.line);
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
            if !self.once(&format!("issuer {name}"), at, findings) {
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
            self.callers.issuers.insert(issuer, entry);
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
