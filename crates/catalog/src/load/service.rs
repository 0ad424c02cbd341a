//! A service's file as an entry.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use prost_reflect::{MethodDescriptor, ServiceDescriptor};

use super::descriptors::{Described, Names, upstream};
use super::inherited::Inherited;
use super::plans::Plans;
use super::{Loading, SERVICES_MAX, Tree, dangling, files, method, parallel};
use crate::diagnostic::{Fault, Finding, Findings, same, text};
use crate::service::{AuditMode, MethodEntry, ServiceEntry, Stage, Text, Upstream, Visibility};
use crate::yaml::{Mark, Node};

/// Entries by full service name.
pub(super) type Services = BTreeMap<Arc<str>, Arc<ServiceEntry>>;

/// What can be checked only when all services and plans are known, by number of the file.
#[derive(Default)]
pub(super) struct Late {
    pub checks: Vec<(usize, LateCheck)>,
}

/// One such check.
pub(super) enum LateCheck {
    /// The degraded answer comes from another method.
    DegradedMethod { mark: Mark, target: String, method: MethodDescriptor, audit: AuditMode },
    /// A stake draws on a budget of some plan.
    Budget { mark: Mark, budget: String, currency: oaas_model::Currency },
}

impl LateCheck {
    pub fn run(self, services: &Services, plans: &Plans, names: &Names, findings: &mut Findings) {
        match self {
            Self::DegradedMethod { mark, target, method, audit } => {
                let service = target.trim_start_matches('/').split('/').next().unwrap_or_default();
                if services.contains_key(service) || names.lack(service) {
                    degraded_method(mark, &target, &method, audit, services, findings);
                }
            }
            Self::Budget { mark, budget, currency } => plans.check_budget(mark, &budget, currency, findings),
        }
    }
}

fn degraded_method(
    mark: Mark,
    target: &str,
    method: &MethodDescriptor,
    audit: AuditMode,
    services: &Services,
    findings: &mut Findings,
) {
    let found = target
        .strip_prefix('/')
        .and_then(|rest| rest.split_once('/'))
        .and_then(|(service, name)| services.get(service).and_then(|service| service.methods.get(name)));
    let Some(other) = found else {
        let paths =
            services.values().flat_map(|service| service.methods.values()).map(|method| &*method.path);
        let what = ("the path of a catalogued method", "目录中某个方法的路径");
        findings.push(dangling(mark, target, what, paths));
        return;
    };
    let (entry, other) = (other, &other.descriptor);
    let expected = if other.full_name() == method.full_name() {
        text("another method", "另一个方法")
    } else if other.input() != method.input() || other.output() != method.output() {
        let (input, output) = (method.input(), method.output());
        same(format!("({}) -> {}", input.full_name(), output.full_name()))
    } else if other.is_client_streaming() || other.is_server_streaming() {
        text("a method without streams", "非流式方法")
    } else {
        if let Some(rule) = stricter(entry, audit) {
            let expected = text(
                "a method with no stricter audit, stakes or price: the call runs under its own rules",
                "审计、金额字段和价格都不更严格的方法：调用按原方法的规则执行",
            );
            findings.push(Finding::new(mark, Fault::Conflict, rule, expected));
        }
        return;
    };
    let found = same(format!("({}) -> {}", other.input().full_name(), other.output().full_name()));
    findings.push(Finding::new(mark, Fault::Conflict, found, expected));
}

/// What of `other` a call that is audited as `audit` would get around.
fn stricter(other: &MethodEntry, audit: AuditMode) -> Option<Text> {
    let weight = |audit| match audit {
        AuditMode::Strict => 2,
        AuditMode::Standard => 1,
        AuditMode::Sampled(_) => 0,
    };
    let path = &other.path;
    if weight(other.audit) > weight(audit) {
        return Some(text(format!("{path}, audited more strictly"), format!("{path}，审计更严格")));
    }
    if !other.stakes.is_empty() {
        return Some(text(format!("{path}, with money at stake"), format!("{path}，涉及金额")));
    }
    let priced = other.price.is_some();
    priced.then(|| text(format!("{path}, with a price of its own"), format!("{path}，单独计价")))
}

impl<'s> Loading<'s> {
    /// Compiles every service whose messages are known.
    pub(super) fn services(
        &mut self,
        inherited: &Inherited,
        described: &Described,
        late: &mut Late,
    ) -> Services {
        let folder = self.sources.catalog.as_path();
        let mut first: HashMap<String, &'s str> = HashMap::new();
        let mut wanted: Vec<(usize, &mut Tree<'s>)> = Vec::with_capacity(self.trees.len());
        for (number, tree) in self.trees.iter_mut().enumerate() {
            let Some(root) = tree.root.as_ref().filter(|_| tree.file.kind == files::FileKind::Service) else {
                continue;
            };
            let from = tree.findings.count();
            let Some((at, name)) = root.get("service").and_then(|at| Some((at, at.text()?))) else {
                continue;
            };
            if let Some(place) = first.get(name) {
                tree.findings.push(doubled(at, place));
            } else if first.len() >= SERVICES_MAX {
                tree.findings.push(too_many(at.mark));
            } else {
                first.insert(name.to_owned(), &tree.file.name);
                wanted.push((number, tree));
                continue;
            }
            tree.findings.name_fields(from, "", root);
        }
        let compiled = parallel::each(&mut wanted, |(number, tree)| {
            let Tree { file, root: Some(root), findings } = &mut **tree else { return (None, Vec::new()) };
            let mut compiler = Compiler { inherited, described, late: Vec::new(), number: *number };
            let from = findings.count();
            let entry = compiler.service(root, file, folder, findings);
            findings.name_fields(from, "", root);
            (entry, compiler.late)
        });
        let mut services = Vec::with_capacity(compiled.len());
        let mut methods = 0usize;
        for (entry, checks) in compiled {
            late.checks.extend(checks);
            let Some(mut entry) = entry else { continue };
            for method in entry.methods.values_mut().filter_map(Arc::get_mut) {
                method.index = methods;
                methods = methods.saturating_add(1);
            }
            services.push((Arc::clone(&entry.name), Arc::new(entry)));
        }
        services.into_iter().collect()
    }
}

fn doubled(name: &Node<'_>, place: &str) -> Finding {
    let expected = text(
        format!("one file a service; {place} has it already"),
        format!("每个服务一个文件；{place} 已有"),
    );
    Finding::new(name.mark, Fault::Doubled, name.describe(), expected)
}

fn too_many(mark: Mark) -> Finding {
    let expected = text(format!("at most {SERVICES_MAX} services"), format!("最多 {SERVICES_MAX} 个服务"));
    Finding::new(mark, Fault::Budget, text("more", "更多"), expected)
}

/// Compiles one file.
struct Compiler<'c> {
    inherited: &'c Inherited,
    described: &'c Described,
    late: Vec<(usize, LateCheck)>,
    /// Number of the file.
    number: usize,
}

impl Compiler<'_> {
    fn service(
        &mut self,
        root: &Node<'_>,
        file: &files::SourceFile,
        folder: &std::path::Path,
        findings: &mut Findings,
    ) -> Option<ServiceEntry> {
        let name = root.get("service").and_then(Node::text)?;
        let inherited = self.inherited.refined(root, findings);
        let domain = root.get("domain").and_then(Node::text).unwrap_or_default();
        if let Some(node) = root.get("domain").filter(|_| domain != file.folder()) {
            let expected = text(
                format!("`{}`, the folder of the file", file.folder()),
                format!("文件所在文件夹 `{}`", file.folder()),
            );
            findings.push(Finding::new(node.mark, Fault::Conflict, node.describe(), expected));
        }
        let anonymous = root.get("anonymous").and_then(Node::flag).unwrap_or(false);
        if let Some(node) =
            root.get("anonymous").filter(|_| anonymous && inherited.visibility != Visibility::Public)
        {
            let expected = text("`visibility: public` beside it", "同时设置 `visibility: public`");
            findings.push(Finding::new(node.mark, Fault::Conflict, node.describe(), expected));
        }
        let upstream = upstream(root, findings, Some(folder));
        let descriptor = self.descriptor(name, root, &upstream, findings)?;
        let name: Arc<str> = Arc::from(name);
        Some(ServiceEntry {
            domain: Arc::from(domain),
            title: words(root.get("title")),
            summary: words(root.get("summary")),
            owner: root.get("owner").and_then(Node::text).unwrap_or_default().to_owned(),
            tags: strings(root.get("tags")),
            stage: stage(root.get("stage").and_then(Node::text).unwrap_or_default()),
            visibility: inherited.visibility,
            anonymous,
            upstream,
            methods: self.methods(&name, root, &descriptor, &inherited, findings),
            sla: inherited.sla,
            file: PathBuf::from(&file.name),
            name,
        })
    }

    fn descriptor(
        &self,
        name: &str,
        root: &Node<'_>,
        upstream: &Upstream,
        findings: &mut Findings,
    ) -> Option<ServiceDescriptor> {
        let pool = &self.described.pool;
        let known = match upstream {
            Upstream::Local => self.described.local.get_service_by_name(name).is_some(),
            Upstream::Remote { .. } => true,
        };
        let descriptor = pool.get_service_by_name(name).filter(|_| known);
        if descriptor.is_none() && !self.described.waits(name) {
            let mark = root.get("service").map_or(root.mark, |node| node.mark);
            let what = match upstream {
                Upstream::Local => (
                    "a service of this program (or an `upstream` with endpoints)",
                    "本程序内的服务（或带 endpoints 的 `upstream`）",
                ),
                Upstream::Remote { .. } => ("a service of its descriptor set", "其描述符集中的服务"),
            };
            let names: Vec<ServiceDescriptor> = pool.services().collect();
            findings.push(dangling(mark, name, what, names.iter().map(ServiceDescriptor::full_name)));
        }
        descriptor
    }

    fn methods(
        &mut self,
        service: &Arc<str>,
        root: &Node<'_>,
        descriptor: &ServiceDescriptor,
        inherited: &Inherited,
        findings: &mut Findings,
    ) -> BTreeMap<Arc<str>, Arc<MethodEntry>> {
        let rpcs: Vec<MethodDescriptor> = descriptor.methods().collect();
        let Some(node) = root.get("methods") else { return BTreeMap::new() };
        let mut methods = BTreeMap::new();
        for entry in node.entries() {
            let Some(rpc) = rpcs.iter().find(|rpc| rpc.name() == entry.key) else {
                let what = ("an RPC of the service", "该服务的 RPC");
                findings.push(dangling(
                    entry.key_mark,
                    &entry.key,
                    what,
                    rpcs.iter().map(MethodDescriptor::name),
                ));
                continue;
            };
            let mut build = method::Build { inherited, late: &mut self.late, number: self.number, findings };
            let method = build.method(service, rpc, &entry.value);
            methods.insert(Arc::clone(&method.name), Arc::new(method));
        }
        for rpc in rpcs.iter().filter(|rpc| !node.entries().iter().any(|entry| entry.key == rpc.name())) {
            let found =
                text(format!("no entry for `{}`", rpc.name()), format!("没有 `{}` 的条目", rpc.name()));
            let expected = text("an entry for each RPC of the service", "该服务的每个 RPC 都有条目");
            let finding = Finding::new(node.mark, Fault::MissingField, found, expected);
            findings.push(finding.field(format!("methods.{}", rpc.name())));
        }
        methods
    }
}

/// A text in both languages.
pub(super) fn words(node: Option<&Node<'_>>) -> Text {
    let word = |name| {
        node.and_then(|node| node.get(name)).and_then(Node::text).unwrap_or_default().trim().to_owned()
    };
    Text { en: word("en"), zh: word("zh") }
}

/// The texts of a list.
pub(super) fn strings(node: Option<&Node<'_>>) -> Vec<String> {
    node.map(Node::items).unwrap_or_default().iter().filter_map(Node::text).map(str::to_owned).collect()
}

fn stage(word: &str) -> Stage {
    match word {
        "ga" => Stage::Ga,
        "beta" => Stage::Beta,
        "deprecated" => Stage::Deprecated,
        _ => Stage::Alpha,
    }
}
