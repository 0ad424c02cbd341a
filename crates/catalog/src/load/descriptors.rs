//! Which messages the catalogued services have: the program's own, and those of descriptor sets that
//! entries name or upstreams gave. All of them in one pool, for reflection shows one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use prost_reflect::DescriptorPool;
use prost_reflect::prost_types::FileDescriptorProto;

use super::{KnownDescriptors, Loading, ReflectionNeed, files};
use crate::diagnostic::{Fault, Finding, Findings, same, text};
use crate::service::{Descriptors, Upstream};
use crate::yaml::Node;

/// Files that every set may bring along; the one that came first holds, for their types are fixed.
const WELL_KNOWN: [&str; 4] = ["google/protobuf/", "google/api/", "google/rpc/", "buf/validate/"];

/// A `FileDescriptorSet` whose files stay encoded, so that no custom option is lost.
#[derive(Clone, PartialEq, prost::Message)]
struct RawSet {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

/// What tells whether a file is known already, without decoding the rest of it.
#[derive(Clone, PartialEq, prost::Message)]
struct FileName {
    #[prost(string, tag = "1")]
    name: String,
}

/// The messages of all services.
pub(super) struct Described {
    pub pool: DescriptorPool,
    /// Those of the program itself, for `upstream: local`.
    pub local: DescriptorPool,
    /// Descriptor sets that were read from files, by path, for the content address.
    pub contents: BTreeMap<String, Vec<u8>>,
    /// Services that wait for their upstream's reflection.
    pub needs: Vec<ReflectionNeed>,
    /// The names of those.
    waiting: HashSet<Arc<str>>,
    /// Services whose descriptors are broken, which is reported already.
    pub broken: HashSet<String>,
    /// The services that files are for.
    pub names: Names,
}

/// The services that files are for, whether or not they compile.
#[derive(Debug, Default)]
pub(super) struct Names {
    named: HashSet<String>,
    /// Some file's service is not known, which is reported already.
    incomplete: bool,
}

impl Names {
    /// Whether there is surely no such service; otherwise it waits for its messages, or is reported already.
    pub fn lack(&self, service: &str) -> bool {
        !self.incomplete && !self.named.contains(service)
    }
}

impl Described {
    /// Whether the service's messages are missing for a reason that is known already.
    pub fn waits(&self, service: &str) -> bool {
        self.broken.contains(service) || self.waiting.contains(service)
    }
}

impl Loading<'_> {
    /// Collects the messages of every service.
    pub(super) fn described(&mut self, known: &KnownDescriptors) -> Described {
        let mut described = Described {
            pool: known.local.clone(),
            local: known.local.clone(),
            contents: BTreeMap::new(),
            needs: Vec::new(),
            waiting: HashSet::new(),
            broken: HashSet::new(),
            names: Names::default(),
        };
        let mut merged: HashMap<PathBuf, bool> = HashMap::new();
        for tree in self.trees.iter_mut().filter(|tree| tree.file.kind == files::FileKind::Service) {
            let name = tree.root.as_ref().and_then(|root| root.get("service")).and_then(Node::text);
            let (Some(root), Some(name)) = (&tree.root, name) else {
                described.names.incomplete = true;
                continue;
            };
            described.names.named.insert(name.to_owned());
            let Some(at) = root.at(&["upstream", "descriptors"]) else { continue };
            let good = match upstream(root, &mut Findings::default(), None) {
                Upstream::Remote { descriptors: Descriptors::File(file), .. } => *merged
                    .entry(file.clone())
                    .or_insert_with(|| described.merge_file(self.sources, &file, at, &mut tree.findings)),
                Upstream::Remote { descriptors: Descriptors::Reflection, endpoints, tls } => {
                    match known.reflected.get(name) {
                        Some(set) => {
                            described.merge(&format!("reflection of {name}"), set, at, &mut tree.findings)
                        }
                        None => {
                            let service: Arc<str> = Arc::from(name);
                            described.waiting.insert(Arc::clone(&service));
                            described.needs.push(ReflectionNeed { service, endpoints, tls });
                            true
                        }
                    }
                }
                Upstream::Local => true,
            };
            if !good {
                described.broken.insert(name.to_owned());
            }
        }
        described
    }
}

impl Described {
    fn merge_file(
        &mut self,
        sources: &super::Sources,
        file: &Path,
        at: &Node<'_>,
        findings: &mut Findings,
    ) -> bool {
        let at = at.get("file").unwrap_or(at);
        match files::read_descriptors(sources, file) {
            Ok(set) => {
                let name = file.display().to_string();
                let good = self.merge(&name, &set, at, findings);
                self.contents.insert(name, set);
                good
            }
            Err(error) => {
                let found = same(format!("{}: {error}", file.display()));
                let expected = text(
                    "an encoded FileDescriptorSet, relative to the catalog folder",
                    "已编码的 FileDescriptorSet，路径相对于目录文件夹",
                );
                findings.push(Finding::new(at.mark, Fault::Dangling, found, expected));
                false
            }
        }
    }

    /// Adds a set to the pool. `false` when it can't be added, which is then reported.
    fn merge(&mut self, name: &str, set: &[u8], at: &Node<'_>, findings: &mut Findings) -> bool {
        match self.add(set) {
            Ok(()) => true,
            Err(problem) => {
                let found = same(format!("{name}: {problem}"));
                let expected = text(
                    "a FileDescriptorSet with all imports, such as `buf build -o x.binpb` makes",
                    "包含全部依赖的 FileDescriptorSet，例如由 `buf build -o x.binpb` 生成",
                );
                findings.push(Finding::new(at.mark, Fault::InvalidValue, found, expected));
                false
            }
        }
    }

    fn add(&mut self, set: &[u8]) -> Result<(), String> {
        let set = RawSet::decode(set).map_err(|error| error.to_string())?;
        let mut fresh = RawSet::default();
        for raw in set.file {
            let FileName { name } = FileName::decode(raw.clone()).map_err(|error| error.to_string())?;
            let Some(there) = self.pool.get_file_by_name(&name) else {
                fresh.file.push(raw);
                continue;
            };
            if WELL_KNOWN.iter().any(|prefix| name.starts_with(prefix)) {
                continue;
            }
            let file = FileDescriptorProto::decode(raw).map_err(|error| error.to_string())?;
            if !same_types(there.file_descriptor_proto(), &file) {
                return Err(format!("another set describes {name} in another way"));
            }
        }
        if fresh.file.is_empty() {
            return Ok(());
        }
        let encoded = fresh.encode_to_vec();
        self.pool.decode_file_descriptor_set(encoded.as_slice()).map_err(|error| error.to_string())
    }
}

/// Whether two descriptions of a file say the same, comments aside.
fn same_types(one: &FileDescriptorProto, other: &FileDescriptorProto) -> bool {
    let bare = |file: &FileDescriptorProto| FileDescriptorProto { source_code_info: None, ..file.clone() };
    bare(one) == bare(other)
}

/// Where the service runs. With a folder, the files that it names must be there.
pub(super) fn upstream(root: &Node<'_>, findings: &mut Findings, folder: Option<&Path>) -> Upstream {
    let Some(node) = root.get("upstream").filter(|node| !node.entries().is_empty()) else {
        return Upstream::Local;
    };
    let endpoints: Vec<http::Uri> = node
        .get("endpoints")
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .filter_map(|item| item.text().and_then(|text| text.parse().ok()))
        .collect();
    let tls = node.get("tls").map(|tls| upstream_tls(tls, &endpoints, findings, folder));
    let descriptors = match node.at(&["descriptors", "file"]).and_then(Node::text) {
        Some(file) => Descriptors::File(PathBuf::from(file)),
        None => {
            if let Some(node) =
                node.at(&["descriptors", "reflection"]).filter(|node| node.flag() == Some(false))
            {
                let finding = Finding::new(node.mark, Fault::InvalidValue, node.describe(), same("true"));
                findings.push(finding);
            }
            Descriptors::Reflection
        }
    };
    Upstream::Remote { endpoints, tls, descriptors }
}

fn upstream_tls(
    node: &Node<'_>,
    endpoints: &[http::Uri],
    findings: &mut Findings,
    folder: Option<&Path>,
) -> crate::UpstreamTls {
    let path = |name| node.get(name).and_then(Node::text).map(PathBuf::from);
    for name in ["ca", "cert", "key"] {
        if let (Some(file), Some(folder), Some(at)) = (path(name), folder, node.get(name))
            && !folder.join(&file).is_file()
        {
            let expected =
                text("a PEM file, relative to the catalog folder", "PEM 文件，路径相对于目录文件夹");
            findings.push(Finding::new(at.mark, Fault::Dangling, same(file.display().to_string()), expected));
        }
    }
    let identity = path("cert").zip(path("key"));
    if identity.is_none() && (node.get("cert").is_some() || node.get("key").is_some()) {
        let found = text("one of `cert` and `key`", "`cert` 与 `key` 只有其一");
        findings.push(Finding::new(
            node.mark,
            Fault::Conflict,
            found,
            text("both or none", "同时提供或都不提供"),
        ));
    }
    if !endpoints.is_empty() && endpoints.iter().all(|uri| uri.scheme_str() == Some("http")) {
        let found = text("certificates, and only http:// addresses", "有证书，但地址均为 http://");
        findings.push(Finding::new(
            node.mark,
            Fault::Conflict,
            found,
            text("an https:// address", "https:// 地址"),
        ));
    }
    let server_name = node.get("server_name").and_then(Node::text).map(str::to_owned);
    crate::UpstreamTls { ca: path("ca"), identity, server_name }
}
