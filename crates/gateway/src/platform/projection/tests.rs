//! Projections of the real contract, held against a walk of their own; and of a contract made to leak.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use oaas_catalog::{Application, ServiceEntry, Snapshot, Visibility};
use oaas_proto::oaas::catalog::v1 as wire;
use prost::Message as _;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto,
    ServiceDescriptorProto, SourceCodeInfo, source_code_info::Location,
};
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor, Value};

use super::{PROJECTIONS_MAX, Projection, Projections, within};
use crate::platform::tests::fixture::{COUPON, REBATE, snapshot};

const CALLERS: [&str; 4] = ["", "shop", "partner", "operator"];
const EVERYBODYS: [&str; 4] = ["google/protobuf/", "google/api/", "google/rpc/", "buf/validate/"];
/// What reflection adds of its own accord.
const FACTS: &str = "oaas/catalog/v1/options.proto";

fn caller<'s>(snapshot: &'s Snapshot, name: &str) -> Option<&'s Application> {
    snapshot.callers.applications.get(name).map(|application| &**application)
}

fn visible(snapshot: &Snapshot, caller: Option<&Application>) -> Vec<Arc<ServiceEntry>> {
    snapshot.services.values().filter(|service| snapshot.visible(service, caller)).cloned().collect()
}

fn projected(snapshot: &Snapshot, name: &str) -> (Projection, Vec<Arc<ServiceEntry>>) {
    let visible = visible(snapshot, caller(snapshot, name));
    (Projection::of(&snapshot.descriptors, &visible).unwrap(), visible)
}

fn encoded(projection: &Projection) -> BTreeMap<String, Vec<u8>> {
    projection.files.iter().map(|(name, file)| (name.to_string(), file.encoded.to_vec())).collect()
}

/// A `FileDescriptorSet` whose files stay encoded.
#[derive(Clone, PartialEq, prost::Message)]
struct RawSet {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

fn pool(files: impl IntoIterator<Item = Vec<u8>>) -> DescriptorPool {
    let set = RawSet { file: files.into_iter().collect() };
    DescriptorPool::decode(set.encode_to_vec().as_slice()).unwrap()
}

fn whole_pool(projection: &Projection) -> DescriptorPool {
    pool(encoded(projection).into_values())
}

fn is_everybodys(file: &str) -> bool {
    EVERYBODYS.iter().any(|folder| file.starts_with(folder))
}

/// Messages and enums that the methods of `visible` reach, by nothing but their fields.
fn reached(pool: &DescriptorPool, visible: &[Arc<ServiceEntry>]) -> BTreeSet<String> {
    fn walk(message: &MessageDescriptor, names: &mut BTreeSet<String>) {
        if names.insert(message.full_name().to_owned()) {
            for field in message.fields() {
                match field.kind() {
                    Kind::Message(message) => walk(&message, names),
                    Kind::Enum(enumeration) => drop(names.insert(enumeration.full_name().to_owned())),
                    _ => {}
                }
            }
        }
    }
    let mut names = BTreeSet::new();
    for service in visible.iter().filter_map(|entry| pool.get_service_by_name(&entry.name)) {
        for method in service.methods() {
            walk(&method.input(), &mut names);
            walk(&method.output(), &mut names);
        }
    }
    names
}

/// Messages and enums of a pool that are ours, outside the file of the facts.
fn ours(pool: &DescriptorPool) -> BTreeSet<String> {
    let mine = |file: &str| !is_everybodys(file) && file != FACTS;
    let messages =
        pool.all_messages().filter(|m| mine(m.parent_file().name())).map(|m| m.full_name().to_owned());
    let enums = pool.all_enums().filter(|e| mine(e.parent_file().name())).map(|e| e.full_name().to_owned());
    messages.chain(enums).collect()
}

#[test]
fn each_caller_gets_what_its_services_reach_and_nothing_else() {
    let snapshot = snapshot();
    let mut hidden_by_caller = Vec::new();
    for name in CALLERS {
        let (projection, visible) = projected(&snapshot, name);
        let pool = whole_pool(&projection);
        let services: Vec<String> = visible.iter().map(|service| service.name.to_string()).collect();
        assert_eq!(projection.services(), services, "{name}");

        let expected = reached(&snapshot.descriptors, &visible);
        let there: BTreeSet<String> = pool
            .all_messages()
            .map(|m| m.full_name().to_owned())
            .chain(pool.all_enums().map(|e| e.full_name().to_owned()))
            .collect();
        assert_eq!(expected.difference(&there).count(), 0, "{name} misses some");
        // Around something nested stands its message, as a name.
        let around: BTreeSet<String> = expected
            .iter()
            .flat_map(|name| name.match_indices('.').map(|(at, _)| name[..at].to_owned()))
            .filter(|name| snapshot.descriptors.get_message_by_name(name).is_some())
            .collect();
        let leaked: Vec<String> = ours(&pool)
            .into_iter()
            .filter(|name| !expected.contains(name) && !around.contains(name))
            .collect();
        assert_eq!(leaked, [""; 0], "{name}");
        for shell in around.difference(&expected) {
            assert_eq!(pool.get_message_by_name(shell).unwrap().fields().len(), 0, "{shell}");
        }
        let hidden =
            ours(&snapshot.descriptors).into_iter().filter(|name| !there.contains(name)).collect::<Vec<_>>();
        for name in &hidden {
            assert_eq!(projection.file_of_symbol(name), None);
            assert_eq!(projection.extension_numbers(name), None);
        }
        hidden_by_caller.push(hidden.len());
    }
    // Each of these callers sees less than the next.
    assert!(hidden_by_caller.is_sorted_by(|one, other| one > other), "{hidden_by_caller:?}");
}

#[test]
fn no_hidden_name_is_in_any_byte_but_in_comments_of_what_is_shown() {
    let snapshot = snapshot();
    for name in CALLERS {
        let (projection, visible) = projected(&snapshot, name);
        let shown = ours(&whole_pool(&projection));
        let mut hidden: BTreeSet<String> =
            ours(&snapshot.descriptors).into_iter().filter(|name| !shown.contains(name)).collect();
        for service in snapshot.descriptors.services() {
            if !visible.iter().any(|entry| *entry.name == *service.full_name()) {
                hidden.insert(service.full_name().to_owned());
                hidden.extend(service.methods().map(|method| method.name().to_owned()));
            }
        }
        // Short names that something visible has, too, say nothing.
        let said: BTreeSet<&str> = projection.symbols.keys().map(|name| last(name)).collect();
        hidden.retain(|name| !said.contains(last(name)));
        assert!(name == "operator" || hidden.len() > 10, "{name}: {hidden:?}");
        for (file, bytes) in encoded(&projection) {
            let mut proto = FileDescriptorProto::decode(bytes.as_slice()).unwrap();
            proto.source_code_info = None;
            let said = format!("{proto:?}");
            for name in &hidden {
                assert!(!said.contains(&format!("\"{}\"", last(name))), "{file} has {name}");
                assert!(
                    !bytes_without_comments(&bytes)
                        .windows(name.len())
                        .any(|w| w == name.as_bytes() && name.contains('.')),
                    "{file} has {name}"
                );
            }
        }
    }
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap()
}

fn bytes_without_comments(file: &[u8]) -> Vec<u8> {
    let mut file = FileDescriptorProto::decode(file).unwrap();
    file.source_code_info = None;
    file.encode_to_vec()
}

#[test]
fn every_answer_is_complete_by_itself() {
    let snapshot = snapshot();
    for name in CALLERS {
        let (projection, _) = projected(&snapshot, name);
        for file in projection.files() {
            let mut sent = HashSet::new();
            let files = projection.with_imports(file, &mut sent).unwrap();
            assert_eq!(files.len(), sent.len());
            let pool = pool(files.iter().map(|file| file.to_vec()));
            assert!(pool.get_file_by_name(file).is_some());
        }
    }
}

/// Comments of a file by the full name that they stand at.
fn comments(file: &FileDescriptorProto) -> HashMap<String, (String, String)> {
    fn message(scope: &str, path: &[i32], m: &DescriptorProto, names: &mut HashMap<Vec<i32>, String>) {
        let full = within(scope, m.name());
        names.insert(path.to_vec(), full.clone());
        for (at, field) in (0..).zip(&m.field) {
            names.insert([path, &[2, at]].concat(), within(&full, field.name()));
        }
        for (at, nested) in (0..).zip(&m.nested_type) {
            message(&full, &[path, &[3, at]].concat(), nested, names);
        }
        for (at, e) in (0..).zip(&m.enum_type) {
            enumeration(&full, &[path, &[4, at]].concat(), e, names);
        }
    }
    fn enumeration(
        scope: &str,
        path: &[i32],
        e: &prost_reflect::prost_types::EnumDescriptorProto,
        names: &mut HashMap<Vec<i32>, String>,
    ) {
        names.insert(path.to_vec(), within(scope, e.name()));
        for (at, value) in (0..).zip(&e.value) {
            names.insert([path, &[2, at]].concat(), within(scope, value.name()));
        }
    }
    let mut names = HashMap::new();
    for (at, m) in (0..).zip(&file.message_type) {
        message(file.package(), &[4, at], m, &mut names);
    }
    for (at, e) in (0..).zip(&file.enum_type) {
        enumeration(file.package(), &[5, at], e, &mut names);
    }
    for (at, service) in (0..).zip(&file.service) {
        let full = within(file.package(), service.name());
        names.insert(vec![6, at], full.clone());
        for (of, method) in (0..).zip(&service.method) {
            names.insert(vec![6, at, 2, of], within(&full, method.name()));
        }
    }
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    locations
        .filter_map(|l| {
            let said = (l.leading_comments().to_owned(), l.trailing_comments().to_owned());
            Some((names.get(&l.path)?.clone(), said))
        })
        .collect()
}

#[test]
fn comments_stay_with_what_they_describe() {
    let snapshot = snapshot();
    for name in CALLERS {
        let (projection, visible) = projected(&snapshot, name);
        let mut said = 0;
        for (file, bytes) in encoded(&projection) {
            let now = comments(&FileDescriptorProto::decode(bytes.as_slice()).unwrap());
            let original = snapshot.descriptors.get_file_by_name(&file).unwrap();
            let before = comments(original.file_descriptor_proto());
            for (symbol, comment) in &now {
                assert_eq!(Some(comment), before.get(symbol), "{file}: {symbol}");
                said += usize::from(!comment.0.is_empty());
            }
            // Whatever stays and had a comment has it still.
            for (symbol, comment) in before.iter().filter(|(_, comment)| !comment.0.is_empty()) {
                if projection.symbols.get(symbol).is_some_and(|there| **there == *file) {
                    assert_eq!(now.get(symbol), Some(comment), "{file}: {symbol}");
                }
            }
        }
        assert!(said > 10 * visible.len(), "{name}: {said}");
    }
}

#[test]
fn options_travel_and_say_what_the_catalog_says() {
    let snapshot = snapshot();
    let (projection, visible) = projected(&snapshot, "shop");
    let pool = whole_pool(&projection);
    let http = pool.get_extension_by_name("google.api.http").unwrap();
    let rules = pool.get_extension_by_name("buf.validate.field").unwrap();
    let (of_service, of_method) = (
        pool.get_extension_by_name("oaas.catalog.v1.service").unwrap(),
        pool.get_extension_by_name("oaas.catalog.v1.method").unwrap(),
    );
    let original = &snapshot.descriptors;
    let rules_before = original.get_extension_by_name("buf.validate.field").unwrap();
    let http_before = original.get_extension_by_name("google.api.http").unwrap();
    let (mut ruled, mut routed) = (0, 0);
    for message in pool.all_messages().filter(|m| !is_everybodys(m.parent_file().name())) {
        let before = original.get_message_by_name(message.full_name()).unwrap();
        for field in message.fields() {
            let same = before.get_field(field.number()).unwrap().options();
            assert_eq!(field.options().has_extension(&rules), same.has_extension(&rules_before));
            ruled += usize::from(field.options().has_extension(&rules));
        }
    }
    for entry in &visible {
        let service = pool.get_service_by_name(&entry.name).unwrap();
        let facts = service.options().get_extension(&of_service).into_owned();
        let facts: wire::ServiceFacts = facts.as_message().unwrap().transcode_to().unwrap();
        assert_eq!((facts.domain.as_str(), facts.owner.as_str()), (&*entry.domain, entry.owner.as_str()));
        assert_eq!((facts.tags, facts.title_zh), (entry.tags.clone(), entry.title.zh.clone()));
        for method in service.methods() {
            let catalogued = &entry.methods[method.name()];
            let options = method.options();
            let facts: wire::MethodFacts =
                options.get_extension(&of_method).as_message().unwrap().transcode_to().unwrap();
            assert_eq!(facts.error_reasons, catalogued.error_reasons);
            assert_eq!(
                facts.price.map(|p| p.amount),
                catalogued.price.as_ref().map(|p| p.amount.to_string())
            );
            assert_eq!(facts.deadline.is_none(), catalogued.is_streaming());
            assert_eq!(facts.request_bytes_max, catalogued.request_bytes_max);
            assert_eq!(
                options.has_extension(&http),
                catalogued.descriptor.options().has_extension(&http_before)
            );
            routed += usize::from(options.has_extension(&http));
        }
    }
    assert!(ruled > 5 && routed > 5, "{ruled} {routed}");
}

#[test]
fn files_that_everybody_has_are_left_as_they_are() {
    let snapshot = snapshot();
    let (projection, _) = projected(&snapshot, "");
    let mut seen = 0;
    for (name, bytes) in encoded(&projection).into_iter().filter(|(name, _)| is_everybodys(name)) {
        assert!(bytes == snapshot.descriptors.get_file_by_name(&name).unwrap().encode_to_vec(), "{name}");
        seen += 1;
    }
    assert!(seen >= 4, "{seen}");
}

#[test]
fn callers_with_the_same_services_share_a_projection_and_few_are_kept() {
    let (mut snapshot, projections) = (snapshot(), Projections::default());
    let shop = projections.of(&snapshot, caller(&snapshot, "shop")).unwrap();
    assert!(Arc::ptr_eq(&shop, &projections.of(&snapshot, caller(&snapshot, "shop")).unwrap()));
    assert!(!Arc::ptr_eq(&shop, &projections.of(&snapshot, caller(&snapshot, "operator")).unwrap()));
    assert_eq!(projections.len(), 2);
    // Versions with no service but health, for speed.
    snapshot.services.retain(|name, _| &**name == "grpc.health.v1.Health");
    for version in 0..2 * PROJECTIONS_MAX {
        snapshot.version = format!("c-{version:012}").into();
        projections.of(&snapshot, None).unwrap();
    }
    assert_eq!(projections.len(), PROJECTIONS_MAX);
}

/// A file where a visible service uses a message nested in one that is not its own, and half of a file's
/// elements are somebody else's.
fn leaky() -> FileDescriptorProto {
    let field = |name: &str, of: &str| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(1),
        label: Some(Label::Optional.into()),
        r#type: Some(Type::Message.into()),
        type_name: Some(of.to_owned()),
        ..Default::default()
    };
    let message = |name: &str, field: Vec<FieldDescriptorProto>, nested_type: Vec<DescriptorProto>| {
        let reserved_name = vec![format!("{name}_was_here")];
        DescriptorProto {
            name: Some(name.to_owned()),
            field,
            nested_type,
            reserved_name,
            ..Default::default()
        }
    };
    let method = |name: &str, of: &str| MethodDescriptorProto {
        name: Some(name.to_owned()),
        input_type: Some(of.to_owned()),
        output_type: Some(of.to_owned()),
        ..Default::default()
    };
    let service =
        |name: &str, method| ServiceDescriptorProto { name: Some(name.to_owned()), method, options: None };
    let said = |path: &[i32], comment: &str| Location {
        path: path.to_vec(),
        span: vec![path.len() as i32 * 10, 0, 1],
        leading_comments: Some(comment.to_owned()),
        leading_detached_comments: vec!["secret between".to_owned()],
        ..Default::default()
    };
    FileDescriptorProto {
        name: Some("leaky.proto".to_owned()),
        package: Some("leaky".to_owned()),
        message_type: vec![
            message("Secret", vec![], vec![]),
            message(
                "Outer",
                vec![field("secret", ".leaky.Secret")],
                vec![
                    message("Hidden", vec![], vec![]),
                    message("Inner", vec![field("again", ".leaky.Outer.Inner")], vec![]),
                ],
            ),
        ],
        service: vec![
            service("Secrets", vec![method("Keep", ".leaky.Outer")]),
            service(
                "Open",
                vec![method("Uncatalogued", ".leaky.Secret"), method("Look", ".leaky.Outer.Inner")],
            ),
        ],
        source_code_info: Some(SourceCodeInfo {
            location: vec![
                said(&[12], "secret head"),
                said(&[4, 0], "secret message"),
                said(&[4, 1], "secret outer"),
                said(&[4, 1, 2, 0], "secret field"),
                said(&[4, 1, 3, 0], "secret nested"),
                said(&[4, 1, 3, 1], "inner"),
                said(&[4, 1, 3, 1, 2, 0], "again"),
                said(&[6, 0], "secret service"),
                said(&[6, 0, 2, 0], "secret method"),
                said(&[6, 1], "open"),
                said(&[6, 1, 2, 0], "secret uncatalogued"),
                said(&[6, 1, 2, 1], "look"),
            ],
        }),
        syntax: Some("proto3".to_owned()),
        ..Default::default()
    }
}

#[test]
fn a_file_shared_with_hidden_services_shows_its_own_part_alone() {
    let pool = DescriptorPool::from_file_descriptor_set(FileDescriptorSet { file: vec![leaky()] }).unwrap();
    let like = snapshot();
    let mut entry = ServiceEntry::clone(like.service(REBATE).unwrap());
    let method = Arc::clone(entry.methods.values().next().unwrap());
    entry.name = "leaky.Open".into();
    entry.methods = [(Arc::from("Look"), method)].into();
    let projection = Projection::of(&pool, &[Arc::new(entry)]).unwrap();

    let bytes = &encoded(&projection)["leaky.proto"];
    let file = FileDescriptorProto::decode(bytes.as_slice()).unwrap();
    let text = format!("{file:?}").to_lowercase();
    for hidden in ["secret", "hidden", "uncatalogued", "outer_was_here"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    let outer = &file.message_type[0];
    assert_eq!((outer.name(), outer.field.len(), outer.nested_type.len()), ("Outer", 0, 1));
    assert_eq!(outer.nested_type[0].reserved_name, ["Inner_was_here"], "what is reached is whole");
    let comments: Vec<(Vec<i32>, &str)> = file
        .source_code_info
        .as_ref()
        .unwrap()
        .location
        .iter()
        .map(|l| (l.path.clone(), l.leading_comments()))
        .collect();
    assert_eq!(
        comments,
        [
            (vec![4, 0, 3, 0], "inner"),
            (vec![4, 0, 3, 0, 2, 0], "again"),
            (vec![6, 0], "open"),
            (vec![6, 0, 2, 0], "look"),
        ]
    );
    // Lines run on without a gap.
    let lines: Vec<i32> = file.source_code_info.unwrap().location.iter().map(|l| l.span[0]).collect();
    assert_eq!(lines, [0, 1, 2, 3]);
    for (symbol, there) in [
        ("leaky.Open.Look", true),
        ("leaky.Outer.Inner.again", true),
        ("leaky.Outer", true),
        ("leaky.Outer.secret", false),
        ("leaky.Open.Uncatalogued", false),
        ("leaky.Secrets", false),
        ("leaky.Secret", false),
    ] {
        assert_eq!(projection.file_of_symbol(symbol).is_some(), there, "{symbol}");
    }
}

#[test]
fn whoever_sees_nothing_gets_no_file() {
    let snapshot = snapshot();
    let projection = Projection::of(&snapshot.descriptors, &[]).unwrap();
    assert_eq!((projection.files().count(), projection.services().len()), (0, 0));
    assert_eq!(projection.file_of_symbol("google.protobuf.Timestamp"), None);
}

#[test]
fn the_private_service_is_private_and_the_facts_are_options() {
    // What the tests above rest on.
    let snapshot = snapshot();
    assert_eq!(snapshot.service(COUPON).unwrap().visibility, Visibility::Private);
    assert_eq!(snapshot.service(REBATE).unwrap().visibility, Visibility::Internal);
    let option = snapshot.descriptors.get_extension_by_name("oaas.catalog.v1.method").unwrap();
    assert!(matches!(Value::default_value_for_extension(&option), Value::Message(_)));
    assert!((50_000..100_000).contains(&option.number()));
}
