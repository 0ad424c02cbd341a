//! The descriptors of the catalog as one caller may see them: pure, from the services that it may see to
//! the files that reflection sends.
//!
//! What stays: the visible services with their catalogued methods, the messages and enums that these
//! reach, the extensions that their options use, and the files of all of these. Everything else is absent,
//! by every name. How: [`reach`] says what stays, [`prune`] takes the rest out of each file, [`facts`]
//! adds what the catalog says.

mod cache;
mod facts;
mod prune;
mod reach;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use oaas_catalog::ServiceEntry;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};
use thiserror::Error;

pub use cache::{PROJECTIONS_MAX, Projections};
pub(super) use facts::{audit, duration};

/// Why descriptors can't be projected.
#[derive(Clone, Debug, Error)]
#[error("descriptors of {file} can't be projected: {why}")]
pub struct ProjectionError {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub why: String,
}

/// The files that one caller may see, and what is in them.
#[derive(Debug, Default)]
pub struct Projection {
    services: Vec<String>,
    files: BTreeMap<Arc<str>, ProjectedFile>,
    /// File of each full name: service, method, message, enum, field, oneof, enum value, extension.
    symbols: HashMap<String, Arc<str>>,
    /// Files of extensions by number, by the message that they extend; each message has an entry.
    extensions: HashMap<String, BTreeMap<i32, Arc<str>>>,
}

#[derive(Debug)]
struct ProjectedFile {
    encoded: Bytes,
    imports: Vec<Arc<str>>,
}

impl Projection {
    /// The descriptors in `pool` for somebody who may see the services `visible`. A service that the pool
    /// doesn't have is left out.
    ///
    /// # Errors
    /// When a file of the pool doesn't decode as one.
    pub fn of(pool: &DescriptorPool, visible: &[Arc<ServiceEntry>]) -> Result<Self, ProjectionError> {
        let facts = facts::Facts::of(pool, visible);
        let reach = reach::Reach::of(pool, visible, &facts);
        let mut projection = Self::default();
        for file in pool.files().filter(|file| reach.keeps_file(file.name())) {
            let failed = |why: &dyn std::fmt::Display| ProjectionError {
                file: file.name().to_owned(),
                why: why.to_string(),
            };
            let encoded = match reach.is_whole(file.name()) {
                true => file.encode_to_vec(),
                false => prune::pruned(pool, &file, &reach, &facts).map_err(|why| failed(&why))?,
            };
            // Indexed is what is sent, nothing else.
            let sent = FileDescriptorProto::decode(encoded.as_slice()).map_err(|why| failed(&why))?;
            projection.add(&sent, encoded.into());
        }
        projection.services.sort_unstable();
        Ok(projection)
    }

    /// Full names of the services, sorted.
    #[must_use]
    pub fn services(&self) -> &[String] {
        &self.services
    }

    /// Names of the files, sorted.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(|name| &**name)
    }

    /// The file, encoded, and behind it the files that it needs and that are not in `sent` yet; they are
    /// then. None when there is no such file.
    pub fn with_imports(&self, file: &str, sent: &mut HashSet<Arc<str>>) -> Option<Vec<Bytes>> {
        let (name, first) = self.files.get_key_value(file)?;
        sent.insert(Arc::clone(name));
        let mut encoded = vec![first.encoded.clone()];
        let mut todo: VecDeque<&Arc<str>> = first.imports.iter().collect();
        while let Some(import) = todo.pop_front() {
            if let Some(file) = self.files.get(import)
                && sent.insert(Arc::clone(import))
            {
                encoded.push(file.encoded.clone());
                todo.extend(&file.imports);
            }
        }
        Some(encoded)
    }

    /// The file that defines this full name.
    #[must_use]
    pub fn file_of_symbol(&self, symbol: &str) -> Option<&str> {
        self.symbols.get(symbol).map(|file| &**file)
    }

    /// The file that defines this extension of a message.
    #[must_use]
    pub fn file_of_extension(&self, message: &str, number: i32) -> Option<&str> {
        self.extensions.get(message)?.get(&number).map(|file| &**file)
    }

    /// Numbers of all extensions of a message, sorted. None when there is no such message.
    #[must_use]
    pub fn extension_numbers(&self, message: &str) -> Option<Vec<i32>> {
        self.extensions.get(message).map(|numbers| numbers.keys().copied().collect())
    }

    fn add(&mut self, file: &FileDescriptorProto, encoded: Bytes) {
        let name: Arc<str> = Arc::from(file.name());
        let imports = file.dependency.iter().map(|import| Arc::from(import.as_str())).collect();
        let package = file.package();
        for message in &file.message_type {
            self.add_message(package, message, &name);
        }
        for enumeration in &file.enum_type {
            self.add_enum(package, enumeration, &name);
        }
        for extension in &file.extension {
            self.add_extension(package, extension, &name);
        }
        for service in &file.service {
            let full = within(package, service.name());
            for method in &service.method {
                self.symbols.insert(within(&full, method.name()), Arc::clone(&name));
            }
            self.symbols.insert(full.clone(), Arc::clone(&name));
            self.services.push(full);
        }
        self.files.insert(name, ProjectedFile { encoded, imports });
    }

    /// Messages are nested no deeper than their decoder allows (100).
    fn add_message(&mut self, scope: &str, message: &DescriptorProto, file: &Arc<str>) {
        let full = within(scope, message.name());
        let members = message.field.iter().map(FieldDescriptorProto::name);
        for member in members.chain(message.oneof_decl.iter().map(|oneof| oneof.name())) {
            self.symbols.insert(within(&full, member), Arc::clone(file));
        }
        for nested in &message.nested_type {
            self.add_message(&full, nested, file);
        }
        for enumeration in &message.enum_type {
            self.add_enum(&full, enumeration, file);
        }
        for extension in &message.extension {
            self.add_extension(&full, extension, file);
        }
        self.extensions.entry(full.clone()).or_default();
        self.symbols.insert(full, Arc::clone(file));
    }

    /// Values of an enum are named beside it, not within it (C++ scoping).
    fn add_enum(&mut self, scope: &str, enumeration: &EnumDescriptorProto, file: &Arc<str>) {
        for value in &enumeration.value {
            self.symbols.insert(within(scope, value.name()), Arc::clone(file));
        }
        self.symbols.insert(within(scope, enumeration.name()), Arc::clone(file));
    }

    fn add_extension(&mut self, scope: &str, extension: &FieldDescriptorProto, file: &Arc<str>) {
        let extended = extension.extendee().trim_start_matches('.').to_owned();
        self.extensions.entry(extended).or_default().insert(extension.number(), Arc::clone(file));
        self.symbols.insert(within(scope, extension.name()), Arc::clone(file));
    }
}

/// The full name of `name` within a package or a message.
fn within(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}
