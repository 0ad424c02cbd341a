//! From files to a [`Snapshot`]: read, check against the tables, resolve what refers to what, and report
//! everything that is wrong at once.

mod callers;
mod descriptors;
mod files;
mod inherited;
mod message;
mod method;
mod parallel;
mod pieces;
mod plans;
mod service;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost_reflect::DescriptorPool;
use thiserror::Error;

use crate::diagnostic::{DIAGNOSTICS_MAX, Diagnostics, Fault, Finding, Findings, Lines, same, text};
pub(crate) use files::{Address, counts, files_below, read_bytes};

use crate::form;
use crate::service::{Descriptors, Upstream, UpstreamTls};
use crate::snapshot::Snapshot;
use crate::yaml::{Budget, Mark, Node, read};

/// Services of one catalog at most.
pub const SERVICES_MAX: usize = 20_000;
/// What one file of the catalog may cost.
const FILE_BUDGET: Budget = Budget { nodes_max: 50_000, aliases_max: 256, anchors_max: 64, depth_max: 32 };

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The catalog folder.
    pub catalog: PathBuf,
    /// The callers file; none: nobody may call but anonymously.
    pub callers: Option<PathBuf>,
}

/// The messages that are known before the catalog is read.
#[derive(Clone, Debug, Default)]
pub struct KnownDescriptors {
    /// Those of the program itself.
    pub local: DescriptorPool,
    /// Encoded `FileDescriptorSet`s that were fetched by reflection, by full service name.
    pub reflected: HashMap<String, Vec<u8>>,
}

/// A service whose messages must be fetched from its upstream's reflection before the catalog loads.
#[derive(Clone, Debug, PartialEq)]
pub struct ReflectionNeed {
    /// Full name of the service.
    pub service: Arc<str>,
    /// Where to ask.
    pub endpoints: Vec<http::Uri>,
    /// Certificates; paths are relative to the catalog folder.
    pub tls: Option<UpstreamTls>,
}

/// Why there is no snapshot.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The files are wrong.
    #[error("{0}")]
    Diagnostics(Diagnostics),
    /// The files are good as far as one can tell without these services' messages.
    #[error("{} service(s) must be described by their upstreams first", .0.len())]
    NeedsReflection(Vec<ReflectionNeed>),
}

/// Reads the catalog and the callers into a snapshot.
///
/// # Errors
/// Everything that is wrong with the files, at once and in their order; or, when only that is missing,
/// the services that upstreams must describe first.
pub fn load(sources: &Sources, known: &KnownDescriptors) -> Result<Snapshot, LoadError> {
    let (snapshot, needs) = load_without_reflection(sources, known)?;
    if needs.is_empty() { Ok(snapshot) } else { Err(LoadError::NeedsReflection(needs)) }
}

/// As [`load`], but leaves out the services whose messages are not known yet, and names them. For the
/// command line, which asks no upstream, and for a start while an upstream is away.
///
/// # Errors
/// Everything that is wrong with the files.
pub fn load_without_reflection(
    sources: &Sources,
    known: &KnownDescriptors,
) -> Result<(Snapshot, Vec<ReflectionNeed>), LoadError> {
    let mut report = Report::default();
    let files = files::read_files(sources, &mut report);
    compile(sources, known, &files, report)
}

/// As [`load`], but `None` when the files are those of `current` already: that is found out without reading
/// them as YAML.
///
/// # Errors
/// As [`load`].
pub fn load_if_changed(
    sources: &Sources,
    known: &KnownDescriptors,
    current: &Snapshot,
) -> Result<Option<Snapshot>, LoadError> {
    let mut report = Report::default();
    let files = files::read_files(sources, &mut report);
    if report.diagnostics.is_empty()
        && version_of(&files, sources, current).as_ref() == Some(&current.version)
    {
        return Ok(None);
    }
    let (snapshot, needs) = compile(sources, known, &files, report)?;
    if needs.is_empty() { Ok(Some(snapshot)) } else { Err(LoadError::NeedsReflection(needs)) }
}

fn compile(
    sources: &Sources,
    known: &KnownDescriptors,
    files: &files::Files,
    report: Report,
) -> Result<(Snapshot, Vec<ReflectionNeed>), LoadError> {
    let mut each_file: Vec<&files::SourceFile> = files.catalog.iter().collect();
    let trees: Vec<Tree<'_>> = parallel::each(&mut each_file, |file| Tree::read(file));
    let mut loading = Loading { sources, trees, report };

    let inherited = loading.defaults();
    let described = loading.described(known);
    let mut late = service::Late::default();
    let services = loading.services(&inherited, &described, &mut late);
    let plans = loading.plans(&services, &described);
    loading.resolve(&services, &plans, &described.names, late);

    let Loading { trees, mut report, .. } = loading;
    for tree in trees {
        report.add(tree.file, tree.findings);
    }
    let callers = match &files.callers {
        Some(file) => callers::callers(file, sources, &services, &plans, &described.names, &mut report),
        None => crate::Callers::default(),
    };
    report.into_result()?;
    let version = files::digest(files, &described.contents);
    let methods =
        services.values().flat_map(|s| s.methods.values()).map(|m| (Arc::clone(&m.path), Arc::clone(m)));
    let snapshot = Snapshot {
        version,
        methods: methods.collect(),
        services,
        plans: plans.plans,
        callers: Arc::new(callers),
        descriptors: described.pool,
    };
    Ok((snapshot, described.needs))
}

/// The content address of `files`, with the descriptor sets that `snapshot` names; `None` when one can't be
/// read.
fn version_of(files: &files::Files, sources: &Sources, snapshot: &Snapshot) -> Option<Arc<str>> {
    let mut contents = BTreeMap::new();
    for (name, file) in descriptor_files(snapshot) {
        contents.insert(name, files::read_descriptors(sources, file).ok()?);
    }
    Some(files::digest(files, &contents))
}

/// The descriptor sets that the services of `snapshot` name, by the name that counts in the content address.
pub(crate) fn descriptor_files(snapshot: &Snapshot) -> BTreeMap<String, &Path> {
    let files = snapshot.services.values().filter_map(|service| match &service.upstream {
        Upstream::Remote { descriptors: Descriptors::File(file), .. } => Some(file.as_path()),
        _ => None,
    });
    // Thousands of services often share one.
    let once: HashSet<&Path> = files.collect();
    once.into_iter().map(|file| (file.display().to_string(), file)).collect()
}

/// One file, its tree, and what is wrong with it so far.
struct Tree<'s> {
    file: &'s files::SourceFile,
    root: Option<Node<'s>>,
    findings: Findings,
}

impl<'s> Tree<'s> {
    fn read(file: &'s files::SourceFile) -> Self {
        let mut findings = Findings::default();
        let root = read(&file.text, &FILE_BUDGET, &mut findings);
        if let Some(root) = &root {
            form::check(root, file.kind.record(), &mut findings);
            findings.name_fields(0, "", root);
        }
        Self { file, root, findings }
    }
}

struct Loading<'s> {
    sources: &'s Sources,
    trees: Vec<Tree<'s>>,
    report: Report,
}

/// What is wrong with all files.
#[derive(Default)]
pub(crate) struct Report {
    diagnostics: Diagnostics,
}

impl Report {
    fn add(&mut self, file: &files::SourceFile, mut findings: Findings) {
        if findings.list.is_empty() {
            return;
        }
        findings.list.sort_by_key(|finding| finding.mark);
        let lines = Lines::new(&file.name, &file.text);
        let room = DIAGNOSTICS_MAX.saturating_sub(self.diagnostics.list.len());
        let over = findings.list.len().saturating_sub(room);
        self.diagnostics.more = self.diagnostics.more.saturating_add(findings.more).saturating_add(over);
        self.diagnostics
            .list
            .extend(findings.list.into_iter().take(room).map(|finding| finding.locate(&lines)));
    }

    /// A fault of a file that could not even be read.
    fn unreadable(&mut self, file: &str, fault: Fault, found: impl Into<String>, expected: crate::Text) {
        if self.diagnostics.list.len() >= DIAGNOSTICS_MAX {
            self.diagnostics.more = self.diagnostics.more.saturating_add(1);
            return;
        }
        let finding = Finding::new(Mark::default(), fault, same(found), expected);
        self.diagnostics.list.push(finding.locate(&Lines::new(file, "")));
    }

    fn into_result(mut self) -> Result<(), LoadError> {
        if self.diagnostics.is_empty() {
            return Ok(());
        }
        // The callers' faults come last; those of the catalog in the order of their files and lines.
        let last = |file: &str| file.starts_with(files::CALLERS_PREFIX);
        self.diagnostics.list.sort_by(|a, b| {
            let (left, right) =
                ((last(&a.file), &a.file, a.line, a.column), (last(&b.file), &b.file, b.line, b.column));
            left.cmp(&right)
        });
        Err(LoadError::Diagnostics(self.diagnostics))
    }
}

impl<'s> Loading<'s> {
    fn defaults(&mut self) -> inherited::Inherited {
        let built_in = inherited::Inherited::built_in();
        let Some(tree) = self.trees.iter_mut().find(|tree| tree.file.kind == files::FileKind::Defaults)
        else {
            return built_in;
        };
        let Some(root) = &tree.root else { return built_in };
        built_in.refined(root, &mut tree.findings)
    }

    fn plans(&mut self, services: &service::Services, described: &descriptors::Described) -> plans::Plans {
        let Some(tree) = self.trees.iter_mut().find(|tree| tree.file.kind == files::FileKind::Plans) else {
            return plans::Plans::default();
        };
        let Some(root) = &tree.root else { return plans::Plans { incomplete: true, ..Default::default() } };
        plans::plans(root, services, &described.names, &mut tree.findings)
    }

    /// What could only be checked when everything was there.
    fn resolve(
        &mut self,
        services: &service::Services,
        plans: &plans::Plans,
        names: &descriptors::Names,
        late: service::Late,
    ) {
        for (file, check) in late.checks {
            let Some(tree) = self.trees.get_mut(file) else { continue };
            let from = tree.findings.count();
            check.run(services, plans, names, &mut tree.findings);
            if let Some(root) = &tree.root {
                tree.findings.name_fields(from, "", root);
            }
        }
    }
}

/// A finding: a name that isn't there, with what comes close.
fn dangling<'c>(
    mark: Mark,
    name: &str,
    (en, zh): (&str, &str),
    candidates: impl IntoIterator<Item = &'c str>,
) -> Finding {
    let help = crate::diagnostic::did_you_mean(name, candidates);
    let mut shown: String = name.chars().take(120).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    Finding::new(mark, Fault::Dangling, same(format!("`{shown}`")), text(en, zh)).help(help)
}
