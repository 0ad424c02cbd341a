//! Writes `impl Validate` for every message of our contract, from the `buf.validate` options in the
//! descriptor set. A pure function of the descriptors, so that tests can run it on other contracts.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind,
    MessageDescriptor, Syntax, Value,
};

mod names;
mod rules;

use rules::{Ignore, Rules};

/// Packages without `impl Validate`: they are other people's contracts.
const FOREIGN_PACKAGES: [&str; 3] = ["buf", "google", "grpc"];

/// Rust paths that the generated code refers to.
#[derive(Clone, Copy)]
pub struct Roots<'a> {
    /// The module that holds the modules of the packages. Example: "crate".
    pub messages: &'a str,
    /// The module that holds `Validate`, `Path`, `Report` and `rules`. Example: "crate::validate".
    pub runtime: &'a str,
}

/// The Rust source for the messages of an encoded `FileDescriptorSet`.
///
/// # Errors
/// All rules that can't be kept, each with its file, the field's full name and the reason.
pub fn generate(descriptors: &[u8], roots: Roots<'_>) -> Result<String, Vec<String>> {
    let pool = DescriptorPool::decode(descriptors).map_err(|error| vec![error.to_string()])?;
    let options = Options::of(&pool);
    let mut messages: Vec<_> = pool.all_messages().filter(is_ours).collect();
    messages.sort_by(|a, b| a.full_name().cmp(b.full_name()));

    let mut generator = Generator {
        ruled: ruled(&messages, &options),
        options,
        roots,
        out: String::new(),
        errors: Vec::new(),
    };
    for message in &messages {
        generator.message(message);
    }
    if generator.errors.is_empty() { Ok(generator.out) } else { Err(generator.errors) }
}

fn is_ours(message: &MessageDescriptor) -> bool {
    let package = message.package_name();
    !message.is_map_entry() && !FOREIGN_PACKAGES.iter().any(|p| package.split('.').next() == Some(p))
}

/// The custom options that carry rules; absent when no file imports them.
struct Options {
    message: Option<ExtensionDescriptor>,
    oneof: Option<ExtensionDescriptor>,
    field: Option<ExtensionDescriptor>,
}

impl Options {
    fn of(pool: &DescriptorPool) -> Self {
        let find = |name: &str| pool.all_extensions().find(|e| e.full_name() == name);
        Self {
            message: find("buf.validate.message"),
            oneof: find("buf.validate.oneof"),
            field: find("buf.validate.field"),
        }
    }

    fn read(options: &DynamicMessage, extension: Option<&ExtensionDescriptor>) -> Option<DynamicMessage> {
        let extension = extension.filter(|e| options.has_extension(e))?;
        match options.get_extension(extension).into_owned() {
            Value::Message(message) => Some(message),
            _ => None,
        }
    }

    fn of_field(&self, field: &FieldDescriptor) -> Option<DynamicMessage> {
        Self::read(&field.options(), self.field.as_ref())
    }

    /// Whether the message has rules of its own, wherever they stand.
    fn are_on(&self, message: &MessageDescriptor) -> bool {
        message.fields().any(|field| self.of_field(&field).is_some())
            || message.oneofs().any(|oneof| Self::read(&oneof.options(), self.oneof.as_ref()).is_some())
            || Self::read(&message.options(), self.message.as_ref()).is_some()
    }
}

/// Messages that have rules or lead to one that has: the others need no visit.
fn ruled(messages: &[MessageDescriptor], options: &Options) -> BTreeSet<String> {
    let mut ruled: BTreeSet<String> = messages
        .iter()
        .filter(|message| options.are_on(message))
        .map(|message| message.full_name().to_owned())
        .collect();
    loop {
        let more: Vec<_> = messages
            .iter()
            .filter(|message| !ruled.contains(message.full_name()))
            .filter(|message| {
                message.fields().any(|f| target(&f).is_some_and(|t| ruled.contains(t.full_name())))
            })
            .map(|message| message.full_name().to_owned())
            .collect();
        if more.is_empty() {
            return ruled;
        }
        ruled.extend(more);
    }
}

/// The message that the field, its items or its values hold.
fn target(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => match entry.map_entry_value_field().kind() {
            Kind::Message(message) => Some(message),
            _ => None,
        },
        Kind::Message(message) => Some(message),
        _ => None,
    }
}

struct Generator<'a> {
    ruled: BTreeSet<String>,
    options: Options,
    roots: Roots<'a>,
    out: String,
    errors: Vec<String>,
}

impl Generator<'_> {
    fn message(&mut self, message: &MessageDescriptor) {
        let mut body = String::new();
        if let Err(reason) = self.message_rules(message) {
            self.error(message.parent_file().name(), message.full_name(), &reason);
        }
        for field in message.fields() {
            match self.field(&field) {
                Ok(code) => body.push_str(&code),
                Err(reason) => self.error(field.parent_file().name(), field.full_name(), &reason),
            }
        }
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let required = Options::read(&oneof.options(), self.options.oneof.as_ref())
                .is_some_and(|rules| rules::flag(&rules, "required"));
            if required {
                let _ = writeln!(
                    body,
                    "if self.{}.is_none() {{ rules::absent(&at.field({:?}), report); }}",
                    names::field(oneof.name()),
                    oneof.name()
                );
            }
        }
        let unused = if body.is_empty() { "let _ = (at, report);\n" } else { "" };
        let runtime = self.roots.runtime;
        let _ = write!(
            self.out,
            "#[allow(deprecated, unused_imports)]\n\
             impl {runtime}::Validate for {} {{\n\
             fn check(&self, at: &{runtime}::Path<'_>, report: &mut {runtime}::Report) {{\n\
             use {runtime}::rules;\n{unused}{body}}}\n}}\n",
            names::message(self.roots.messages, message)
        );
    }

    fn error(&mut self, file: &str, name: &str, reason: &str) {
        self.errors.push(format!("{file}: {name}: {reason}"));
    }

    fn message_rules(&self, message: &MessageDescriptor) -> Result<(), String> {
        if message.parent_file().syntax() != Syntax::Proto3 {
            return Err("only proto3 is supported, because rules depend on presence".to_owned());
        }
        match Options::read(&message.options(), self.options.message.as_ref()) {
            Some(_) => Err("buf.validate.message rules are not supported".to_owned()),
            None => Ok(()),
        }
    }

    /// The code that checks one field; empty when it has nothing to keep.
    fn field(&self, field: &FieldDescriptor) -> Result<String, String> {
        let rules = Rules::read(self.options.of_field(field))?;
        if rules.ignore == Ignore::Always {
            return Ok(String::new());
        }
        let inner = if field.is_map() {
            self.map(field, &rules)?
        } else if field.is_list() {
            self.list(field, &rules)?
        } else {
            let checks = self.value(&field.kind(), &rules)?;
            rules.unless_zero(&field.kind(), checks)
        };
        if inner.is_empty() && !rules.required {
            return Ok(String::new());
        }
        let at = format!("let at = &at.field({:?});\n", field.name());
        Ok(format!("{{\n{at}{}}}\n", self.presence(field, &rules, &inner)))
    }

    /// Binds the field as `value` around `inner` and keeps `required`.
    fn presence(&self, field: &FieldDescriptor, rules: &Rules, inner: &str) -> String {
        let own = names::field(field.name());
        let absent = if rules.required { " else { rules::absent(at, report); }" } else { "" };
        if let Some(oneof) = field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
            let variant = names::variant(self.roots.messages, &oneof, field);
            let slot = names::field(oneof.name());
            return format!(
                "if let Some({variant}(value)) = &self.{slot} {{\nlet _ = value;\n{inner}}}{absent}\n"
            );
        }
        if field.supports_presence() {
            return format!("if let Some(value) = &self.{own} {{\nlet _ = value;\n{inner}}}{absent}\n");
        }
        let bind = format!("let value = &self.{own};\n");
        if rules.required {
            let zero = if field.cardinality() == Cardinality::Repeated {
                "value.is_empty()".to_owned()
            } else {
                rules::is_zero(&field.kind())
            };
            format!("{bind}if {zero} {{ rules::absent(at, report); }} else {{\n{inner}}}\n")
        } else {
            format!("{bind}{inner}")
        }
    }

    fn list(&self, field: &FieldDescriptor, rules: &Rules) -> Result<String, String> {
        let list = rules.of_list(&field.kind())?;
        let items = Rules::read(list.items)?;
        let each = self.element(&field.kind(), &items)?;
        let mut code = list.checks;
        if !each.is_empty() {
            let _ = write!(
                code,
                "for (index, value) in value.iter().enumerate() {{\n\
                 if report.is_full() {{ break; }}\nlet at = &at.index(index);\n{each}}}\n"
            );
        }
        Ok(rules.unless_empty(code))
    }

    fn map(&self, field: &FieldDescriptor, rules: &Rules) -> Result<String, String> {
        let Kind::Message(entry) = field.kind() else { return Err("is a map without entries".to_owned()) };
        let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let map = rules.of_map()?;
        let of_key = self.element(&key, &Rules::read(map.keys)?)?;
        let of_value = self.element(&value, &Rules::read(map.values)?)?;
        let mut code = map.checks;
        if !of_key.is_empty() || !of_value.is_empty() {
            let step = if key == Kind::String { "text_key" } else { "plain_key" };
            let of_key = match of_key.as_str() {
                "" => String::new(),
                checks => format!("{{\nlet at = &at.its_key();\nlet value = key;\n{checks}}}\n"),
            };
            let _ = write!(
                code,
                "let start = report.len();\nfor (key, value) in value {{\n\
                 if report.is_full() {{ break; }}\nlet at = &at.{step}(key);\n\
                 let _ = value;\n{of_key}{of_value}}}\nreport.sort_from(start);\n"
            );
        }
        Ok(rules.unless_empty(code))
    }

    /// Checks of a list's item, a map's key or a map's value: they are always there.
    fn element(&self, kind: &Kind, rules: &Rules) -> Result<String, String> {
        if rules.ignore == Ignore::Always {
            return Ok(String::new());
        }
        if rules.required {
            return Err(
                "required means nothing for what a list or map holds; use a rule of its type".to_owned()
            );
        }
        Ok(rules.unless_zero(kind, self.value(kind, rules)?))
    }

    /// Checks of one value: its type's rules, then what it holds.
    fn value(&self, kind: &Kind, rules: &Rules) -> Result<String, String> {
        let mut code = rules.of_value(kind)?;
        if let Kind::Message(message) = kind
            && self.ruled.contains(message.full_name())
        {
            // The argument's type is spelled out, so that a boxed message is taken out of its box.
            let path = names::message(self.roots.messages, message);
            let _ = writeln!(code, "<{path} as {}::Validate>::check(value, at, report);", self.roots.runtime);
        }
        Ok(code)
    }
}
