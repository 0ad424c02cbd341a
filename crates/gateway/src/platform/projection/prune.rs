//! Takes out of a file's descriptor what does not stay, and moves its comments along.
//!
//! The file is handled as a dynamic message of its own pool, so that custom options survive. Field numbers
//! are those of google/protobuf/descriptor.proto.

use std::collections::{BTreeMap, BTreeSet};

use prost::{DecodeError, Message as _};
use prost_reflect::{DescriptorPool, DynamicMessage, FileDescriptor, MessageDescriptor, Value};

use super::facts::Facts;
use super::reach::Reach;
use super::within;

/// `name` of every descriptor message but the file's options.
const NAME: u32 = 1;

/// Fields of `FileDescriptorProto`.
mod file_field {
    pub const DEPENDENCY: u32 = 3;
    pub const MESSAGE: u32 = 4;
    pub const ENUM: u32 = 5;
    pub const SERVICE: u32 = 6;
    pub const EXTENSION: u32 = 7;
    pub const SOURCE: u32 = 9;
    pub const PUBLIC_DEPENDENCY: u32 = 10;
    pub const WEAK_DEPENDENCY: u32 = 11;
    pub const OPTION_DEPENDENCY: u32 = 15;
    /// What a comment on the file is attached to: package and syntax. Such a comment may speak of all
    /// that the file once had, so it does not travel; nor do comments on imports.
    pub const HEAD: [u32; 6] = [2, DEPENDENCY, PUBLIC_DEPENDENCY, WEAK_DEPENDENCY, 12, OPTION_DEPENDENCY];
}

/// Fields of `DescriptorProto`.
mod message_field {
    pub const NESTED: u32 = 3;
    pub const ENUM: u32 = 4;
    pub const EXTENSION_RANGE: u32 = 5;
    pub const EXTENSION: u32 = 6;
    /// What a shell has not: fields, extension ranges, options, oneofs, reserved numbers and names.
    pub const OWN: [u32; 6] = [2, EXTENSION_RANGE, 7, 8, 9, 10];
    /// `options` of an extension range: its declarations name extensions that may be hidden.
    pub const RANGE_OPTIONS: u32 = 3;
}

/// Fields of `ServiceDescriptorProto`.
mod service_field {
    pub const METHOD: u32 = 2;
    pub const OPTIONS: u32 = 3;
}

/// `options` of `MethodDescriptorProto`.
const METHOD_OPTIONS: u32 = 4;

/// Fields of `SourceCodeInfo.Location`.
mod location_field {
    pub const PATH: u32 = 1;
    pub const SPAN: u32 = 2;
    pub const LEADING_DETACHED: u32 = 6;
}

/// The file with what stays of it, encoded.
///
/// # Errors
/// When the descriptor doesn't decode.
pub(super) fn pruned(
    pool: &DescriptorPool,
    file: &FileDescriptor,
    reach: &Reach,
    facts: &Facts<'_>,
) -> Result<Vec<u8>, DecodeError> {
    let form = file_form(pool);
    let mut message = DynamicMessage::decode(form, file.encode_to_vec().as_slice())?;
    let pruner = Pruner { reach, facts };
    let mut moves = pruner.file(file, &mut message)?;
    dependencies(&mut message, &mut moves, reach.imports(file.name()).collect());
    comments(&mut message, &moves);
    Ok(message.encode_to_vec())
}

/// The pool's own `FileDescriptorProto`, whose options know the pool's extensions.
fn file_form(pool: &DescriptorPool) -> MessageDescriptor {
    use prost_reflect::ReflectMessage as _;
    pool.get_message_by_name("google.protobuf.FileDescriptorProto")
        .unwrap_or_else(|| prost_reflect::prost_types::FileDescriptorProto::default().descriptor())
}

/// Where the elements of a descriptor went: new index by old one, by the field that lists them.
#[derive(Default)]
struct Moves {
    lists: BTreeMap<u32, Vec<Option<(i32, Moves)>>>,
    /// Whether comments on the element itself stay behind.
    silent: bool,
}

impl Moves {
    /// Where the element at `path` is now; none when it is gone.
    fn of(&self, path: &[i32]) -> Option<Vec<i32>> {
        let (mut here, mut rest) = (self, path);
        let mut moved = Vec::with_capacity(path.len());
        loop {
            match rest {
                [] => return (!here.silent).then_some(moved),
                [field, behind @ ..] => {
                    let list = u32::try_from(*field).ok().and_then(|field| here.lists.get(&field));
                    let Some(list) = list else {
                        moved.extend_from_slice(rest);
                        return Some(moved);
                    };
                    moved.push(*field);
                    let [index, behind @ ..] = behind else {
                        return list.iter().any(Option::is_some).then_some(moved);
                    };
                    let (index, next) = list.get(usize::try_from(*index).ok()?)?.as_ref()?;
                    moved.push(*index);
                    (here, rest) = (next, behind);
                }
            }
        }
    }
}

type Kept = Result<Option<Moves>, DecodeError>;

struct Pruner<'p> {
    reach: &'p Reach,
    facts: &'p Facts<'p>,
}

impl Pruner<'_> {
    fn file(&self, file: &FileDescriptor, message: &mut DynamicMessage) -> Result<Moves, DecodeError> {
        let (package, mut moves) = (file.package_name(), Moves::default());
        retain(message, file_field::MESSAGE, &mut moves, |nested| self.message(package, nested))?;
        retain(message, file_field::ENUM, &mut moves, |nested| Ok(self.enumeration(package, nested)))?;
        retain(message, file_field::SERVICE, &mut moves, |service| self.service(package, service))?;
        retain(message, file_field::EXTENSION, &mut moves, |nested| Ok(self.extension(package, nested)))?;
        Ok(moves)
    }

    /// Messages are nested no deeper than their decoder allows (100).
    fn message(&self, scope: &str, message: &mut DynamicMessage) -> Kept {
        use message_field as field;
        let full = within(scope, &text(message, NAME));
        let whole = self.reach.keeps_message(&full);
        if !whole && !self.reach.keeps_shell(&full) {
            return Ok(None);
        }
        let mut moves = Moves { silent: !whole, ..Moves::default() };
        if whole {
            each(message, field::EXTENSION_RANGE, |range| range.clear_field_by_number(field::RANGE_OPTIONS));
        } else {
            for own in field::OWN {
                message.clear_field_by_number(own);
                moves.lists.insert(own, Vec::new());
            }
        }
        retain(message, field::NESTED, &mut moves, |nested| self.message(&full, nested))?;
        retain(message, field::ENUM, &mut moves, |nested| Ok(self.enumeration(&full, nested)))?;
        retain(message, field::EXTENSION, &mut moves, |nested| Ok(self.extension(&full, nested)))?;
        Ok(Some(moves))
    }

    fn enumeration(&self, scope: &str, message: &DynamicMessage) -> Option<Moves> {
        self.reach.keeps_enum(&within(scope, &text(message, NAME))).then(Moves::default)
    }

    fn extension(&self, scope: &str, message: &DynamicMessage) -> Option<Moves> {
        self.reach.keeps_extension(&within(scope, &text(message, NAME))).then(Moves::default)
    }

    fn service(&self, package: &str, message: &mut DynamicMessage) -> Kept {
        let full = within(package, &text(message, NAME));
        let Some(methods) = self.reach.methods(&full) else { return Ok(None) };
        let mut moves = Moves::default();
        retain(message, service_field::METHOD, &mut moves, |method| {
            let name = text(method, NAME);
            if !methods.contains(&name) {
                return Ok(None);
            }
            if let Some(options) = inner(method, METHOD_OPTIONS) {
                self.facts.set_method(&full, &name, options)?;
            }
            Ok(Some(Moves::default()))
        })?;
        if let Some(options) = inner(message, service_field::OPTIONS) {
            self.facts.set_service(&full, options)?;
        }
        Ok(Some(moves))
    }
}

/// Keeps the elements of a list that `keep` keeps, and notes where they went.
fn retain(
    message: &mut DynamicMessage,
    field: u32,
    moves: &mut Moves,
    mut keep: impl FnMut(&mut DynamicMessage) -> Kept,
) -> Result<(), DecodeError> {
    if !message.has_field_by_number(field) {
        return Ok(());
    }
    let Some(list) = message.get_field_by_number_mut(field).and_then(Value::as_list_mut) else {
        return Ok(());
    };
    let mut noted = Vec::with_capacity(list.len());
    let mut kept = Vec::with_capacity(list.len());
    for mut value in std::mem::take(list) {
        let moves = match value.as_message_mut() {
            Some(element) => keep(element)?,
            None => None,
        };
        let index = i32::try_from(kept.len()).unwrap_or(i32::MAX);
        if moves.is_some() {
            kept.push(value);
        }
        noted.push(moves.map(|moves| (index, moves)));
    }
    *list = kept;
    moves.lists.insert(field, noted);
    Ok(())
}

/// Imports what is needed: in the order of the file, and behind that what came through public imports.
fn dependencies(message: &mut DynamicMessage, moves: &mut Moves, needed: BTreeSet<&str>) {
    let before: Vec<String> = message
        .get_field_by_number(file_field::DEPENDENCY)
        .and_then(|list| Some(list.as_list()?.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()))
        .unwrap_or_default();
    let known: BTreeSet<&str> = before.iter().map(String::as_str).collect();
    let imports = before.iter().map(String::as_str).filter(|name| needed.contains(name));
    let imports = imports.chain(needed.iter().copied().filter(|name| !known.contains(name)));
    let imports = imports.map(|name| Value::String(name.to_owned())).collect();
    message.set_field_by_number(file_field::DEPENDENCY, Value::List(imports));
    for field in file_field::HEAD {
        moves.lists.insert(field, Vec::new());
    }
    for field in [file_field::PUBLIC_DEPENDENCY, file_field::WEAK_DEPENDENCY, file_field::OPTION_DEPENDENCY] {
        message.clear_field_by_number(field);
    }
}

/// Moves comments to where their elements are now. Lines are numbered anew, one an element: their gaps
/// would show that something is missing. Comments between elements belong to none and stay behind.
fn comments(message: &mut DynamicMessage, moves: &Moves) {
    use location_field as field;
    let mut line = 0i32;
    let Some(source) = message
        .has_field_by_number(file_field::SOURCE)
        .then_some(())
        .and_then(|()| message.get_field_by_number_mut(file_field::SOURCE).and_then(Value::as_message_mut))
    else {
        return;
    };
    let Some(list) = source.get_field_by_number_mut(1).and_then(Value::as_list_mut) else { return };
    list.retain_mut(|value| {
        let Some(location) = value.as_message_mut() else { return false };
        let path: Vec<i32> = location
            .get_field_by_number(field::PATH)
            .and_then(|path| Some(path.as_list()?.iter().filter_map(Value::as_i32).collect()))
            .unwrap_or_default();
        let Some(path) = moves.of(&path) else { return false };
        let list = |numbers: Vec<i32>| Value::List(numbers.into_iter().map(Value::I32).collect());
        location.set_field_by_number(field::PATH, list(path));
        location.set_field_by_number(field::SPAN, list(vec![line, 0, 0]));
        location.clear_field_by_number(field::LEADING_DETACHED);
        line = line.saturating_add(1);
        true
    });
}

fn text(message: &DynamicMessage, field: u32) -> String {
    message.get_field_by_number(field).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The message in a field, made where there is none.
fn inner(message: &mut DynamicMessage, field: u32) -> Option<&mut DynamicMessage> {
    message.get_field_by_number_mut(field).and_then(Value::as_message_mut)
}

fn each(message: &mut DynamicMessage, field: u32, mut change: impl FnMut(&mut DynamicMessage)) {
    if message.has_field_by_number(field)
        && let Some(list) = message.get_field_by_number_mut(field).and_then(Value::as_list_mut)
    {
        list.iter_mut().filter_map(Value::as_message_mut).for_each(&mut change);
    }
}
