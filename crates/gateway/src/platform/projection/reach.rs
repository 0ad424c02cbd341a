//! What visible services reach: their methods' messages, what those refer to, and the options of all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use oaas_catalog::ServiceEntry;
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, ExtensionDescriptor, FileDescriptor, Kind,
    MessageDescriptor, ServiceDescriptor, Value,
};

use super::facts::Facts;

/// Folders of files that everybody has: they travel whole, because a client that was built with its own
/// copy refuses another one under the same name.
const EVERYBODYS: [&str; 4] = ["google/protobuf/", "google/api/", "google/rpc/", "buf/validate/"];

/// Full names of what stays, and the imports that it needs.
#[derive(Default)]
pub(super) struct Reach {
    messages: BTreeSet<String>,
    /// Messages that stay only as the name around something nested that stays.
    shells: BTreeSet<String>,
    enums: BTreeSet<String>,
    extensions: BTreeSet<String>,
    /// Short names of the methods that stay, by service.
    services: HashMap<String, BTreeSet<String>>,
    whole: BTreeSet<String>,
    imports: BTreeMap<String, BTreeSet<String>>,
    /// Found, and not yet looked into. Each thing comes here once, so the pool bounds the walk.
    todo: Vec<Found>,
}

enum Found {
    Message(MessageDescriptor),
    Enum(EnumDescriptor),
    Extension(ExtensionDescriptor),
    Whole(FileDescriptor),
}

impl Reach {
    /// What `visible` reaches in the pool.
    pub fn of(pool: &DescriptorPool, visible: &[Arc<ServiceEntry>], facts: &Facts<'_>) -> Self {
        let mut reach = Self::default();
        for entry in visible {
            if let Some(service) = pool.get_service_by_name(&entry.name) {
                reach.service(&service, entry, facts);
            }
        }
        while let Some(found) = reach.todo.pop() {
            match found {
                Found::Message(message) => reach.look_into_message(&message),
                Found::Enum(enumeration) => reach.look_into_enum(&enumeration),
                Found::Extension(extension) => reach.look_into_extension(&extension),
                Found::Whole(file) => {
                    for import in file.dependencies() {
                        reach.whole(&import);
                    }
                }
            }
        }
        reach
    }

    pub fn keeps_file(&self, file: &str) -> bool {
        self.imports.contains_key(file) || self.whole.contains(file)
    }

    /// Whether the file travels as it is.
    pub fn is_whole(&self, file: &str) -> bool {
        self.whole.contains(file)
    }

    pub fn keeps_message(&self, name: &str) -> bool {
        self.messages.contains(name)
    }

    pub fn keeps_shell(&self, name: &str) -> bool {
        self.shells.contains(name)
    }

    pub fn keeps_enum(&self, name: &str) -> bool {
        self.enums.contains(name)
    }

    pub fn keeps_extension(&self, name: &str) -> bool {
        self.extensions.contains(name)
    }

    /// Short names of the methods of a service that stays.
    pub fn methods(&self, service: &str) -> Option<&BTreeSet<String>> {
        self.services.get(service)
    }

    /// Names of the files that what stays of `file` refers to, sorted.
    pub fn imports(&self, file: &str) -> impl Iterator<Item = &str> {
        self.imports.get(file).into_iter().flatten().map(String::as_str)
    }

    fn service(&mut self, service: &ServiceDescriptor, entry: &ServiceEntry, facts: &Facts<'_>) {
        let file = service.parent_file();
        self.keep_file(&file);
        self.options(&file, service.options());
        for option in facts.options() {
            self.extension(&file, option.clone());
        }
        // A method that the catalog doesn't have can't be called and is not shown.
        for method in service.methods().filter(|method| entry.methods.contains_key(method.name())) {
            self.message(&file, method.input());
            self.message(&file, method.output());
            self.options(&file, method.options());
        }
        let methods = entry.methods.keys().map(|name| name.to_string()).collect();
        self.services.insert(service.full_name().to_owned(), methods);
    }

    fn look_into_message(&mut self, message: &MessageDescriptor) {
        let file = message.parent_file();
        self.keep_file(&file);
        self.shells_around(message.parent_message());
        self.options(&file, message.options());
        for field in message.fields() {
            self.kind(&file, field.kind());
            self.options(&file, field.options());
        }
        for oneof in message.oneofs() {
            self.options(&file, oneof.options());
        }
        // Who may see a message may see what its own file adds to it; what others add is theirs.
        for extension in message.extensions().filter(|extension| extension.parent_file() == file) {
            self.extension(&file, extension);
        }
    }

    fn look_into_enum(&mut self, enumeration: &EnumDescriptor) {
        let file = enumeration.parent_file();
        self.keep_file(&file);
        self.shells_around(enumeration.parent_message());
        self.options(&file, enumeration.options());
        for value in enumeration.values() {
            self.options(&file, value.options());
        }
    }

    fn look_into_extension(&mut self, extension: &ExtensionDescriptor) {
        let file = extension.parent_file();
        self.keep_file(&file);
        self.shells_around(extension.parent_message());
        self.options(&file, extension.options());
        self.message(&file, extension.containing_message());
        self.kind(&file, extension.kind());
    }

    /// A file of which something stays.
    fn keep_file(&mut self, file: &FileDescriptor) {
        if !self.imports.contains_key(file.name()) {
            self.imports.insert(file.name().to_owned(), BTreeSet::new());
            self.options(file, file.options());
        }
    }

    /// A message that something in `from` refers to.
    fn message(&mut self, from: &FileDescriptor, message: MessageDescriptor) {
        let file = message.parent_file();
        self.import(from, &file);
        if everybodys(&file) {
            self.whole(&file);
        } else if self.messages.insert(message.full_name().to_owned()) {
            self.todo.push(Found::Message(message));
        }
    }

    fn extension(&mut self, from: &FileDescriptor, extension: ExtensionDescriptor) {
        let file = extension.parent_file();
        self.import(from, &file);
        if everybodys(&file) {
            self.whole(&file);
        } else if self.extensions.insert(extension.full_name().to_owned()) {
            self.todo.push(Found::Extension(extension));
        }
    }

    fn kind(&mut self, from: &FileDescriptor, kind: Kind) {
        match kind {
            Kind::Message(message) => self.message(from, message),
            Kind::Enum(enumeration) => {
                let file = enumeration.parent_file();
                self.import(from, &file);
                if everybodys(&file) {
                    self.whole(&file);
                } else if self.enums.insert(enumeration.full_name().to_owned()) {
                    self.todo.push(Found::Enum(enumeration));
                }
            }
            _ => {}
        }
    }

    /// The extensions that options use, also within their values (predefined rules of `buf.validate`).
    fn options(&mut self, from: &FileDescriptor, options: DynamicMessage) {
        let mut messages = vec![options];
        while let Some(message) = messages.pop() {
            for (extension, value) in message.extensions() {
                self.extension(from, extension);
                messages_in(value, &mut messages);
            }
            for (_, value) in message.fields() {
                messages_in(value, &mut messages);
            }
        }
    }

    fn shells_around(&mut self, mut parent: Option<MessageDescriptor>) {
        while let Some(message) = parent {
            self.shells.insert(message.full_name().to_owned());
            parent = message.parent_message();
        }
    }

    fn import(&mut self, from: &FileDescriptor, file: &FileDescriptor) {
        if from != file {
            self.imports.entry(from.name().to_owned()).or_default().insert(file.name().to_owned());
        }
    }

    fn whole(&mut self, file: &FileDescriptor) {
        if self.whole.insert(file.name().to_owned()) {
            self.todo.push(Found::Whole(file.clone()));
        }
    }
}

/// Adds the messages in an option's value.
fn messages_in(value: &Value, messages: &mut Vec<DynamicMessage>) {
    match value {
        Value::Message(message) => messages.push(message.clone()),
        Value::List(list) => list.iter().for_each(|value| messages_in(value, messages)),
        Value::Map(map) => map.values().for_each(|value| messages_in(value, messages)),
        _ => {}
    }
}

/// Whether the file is one that everybody has; a file that offers a service or needs one of ours is none,
/// whatever its name.
fn everybodys(file: &FileDescriptor) -> bool {
    let mut todo = vec![file.clone()];
    let mut seen = BTreeSet::new();
    while let Some(file) = todo.pop() {
        if file.services().len() > 0 || !EVERYBODYS.iter().any(|folder| file.name().starts_with(folder)) {
            return false;
        }
        todo.extend(file.dependencies().filter(|import| seen.insert(import.name().to_owned())));
    }
    true
}
