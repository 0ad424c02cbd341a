//! Services behind addresses: descriptors from a file or from the upstream's reflection.

use oaas_catalog::{Descriptors, LoadError, Upstream, load, load_without_reflection};
use prost::Message as _;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto,
    ServiceDescriptorProto,
};

use crate::folder::{CALLERS, Folder, PLANS, SERVICE, known};

pub const GREETER: &str = r#"service: hello.v1.Greeter
title: { en: Greeter, zh: 问候 }
summary: { en: Says hello., zh: 打招呼。 }
owner: team@example.com
domain: hello
stage: alpha
visibility: private
upstream:
  endpoints: ["http://127.0.0.1:50052", "http://localhost:50053/"]
  descriptors: { file: greeter.binpb }
methods:
  SayHello:
    effect: read
    examples:
      - name: by name
        request: { name: Li }
        response: { name: Li }
"#;

/// A file with one service of one method on one message.
pub fn file(name: &str, package: &str, service: &str, number: i32) -> FileDescriptorProto {
    let field = FieldDescriptorProto {
        name: Some("name".to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(Type::String.into()),
        json_name: Some("name".to_owned()),
        ..Default::default()
    };
    let message =
        DescriptorProto { name: Some(format!("{service}Hello")), field: vec![field], ..Default::default() };
    let carried = Some(format!(".{package}.{service}Hello"));
    let method = MethodDescriptorProto {
        name: Some("SayHello".to_owned()),
        input_type: carried.clone(),
        output_type: carried,
        ..Default::default()
    };
    FileDescriptorProto {
        name: Some(name.to_owned()),
        package: Some(package.to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![message],
        service: vec![ServiceDescriptorProto {
            name: Some(service.to_owned()),
            method: vec![method],
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub fn set(files: Vec<FileDescriptorProto>) -> Vec<u8> {
    FileDescriptorSet { file: files }.encode_to_vec()
}

fn folder(greeter: &str) -> Folder {
    let folder = Folder::new(&[("hello/greeter.yaml", greeter)], None);
    folder.put("greeter.binpb", set(vec![file("hello.proto", "hello.v1", "Greeter", 1)]));
    folder
}

#[test]
fn any_service_is_catalogued_by_a_file_and_its_descriptors() {
    let folder = folder(GREETER);
    let snapshot = folder.snapshot();
    let method = snapshot.method("/hello.v1.Greeter/SayHello").unwrap();
    assert_eq!(method.descriptor.input().full_name(), "hello.v1.GreeterHello");
    assert!(snapshot.descriptors.get_service_by_name("hello.v1.Greeter").is_some(), "reflection shows it");
    let Upstream::Remote { endpoints, tls: None, descriptors: Descriptors::File(_) } =
        &snapshot.service("hello.v1.Greeter").unwrap().upstream
    else {
        panic!("remote")
    };
    assert_eq!(endpoints.len(), 2);
    // The descriptors are a part of the version.
    folder.put("greeter.binpb", set(vec![file("hello.proto", "hello.v1", "Greeter", 2)]));
    assert_ne!(folder.snapshot().version, snapshot.version);
}

#[test]
fn descriptors_that_do_not_fit_are_reported_at_their_place() {
    let check = |set: Option<Vec<u8>>, text: &str, place: (u32, u32), what: &str| {
        let folder = Folder::new(&[("hello/greeter.yaml", text)], None);
        set.into_iter().for_each(|set| folder.put("greeter.binpb", set));
        let faults = folder.faults();
        let fault = &faults.list[0];
        assert_eq!((fault.line, fault.column), place, "{faults}");
        assert!(fault.found.en.contains(what) || fault.expected.en.contains(what), "{faults}");
        assert_eq!(faults.len(), 1, "{faults}");
    };
    check(None, GREETER, (10, 24), "greeter.binpb");
    check(Some(b"no set".to_vec()), GREETER, (10, 24), "greeter.binpb");
    let mut unfinished = file("hello.proto", "hello.v1", "Greeter", 1);
    unfinished.dependency.push("other.proto".to_owned());
    check(Some(set(vec![unfinished])), GREETER, (10, 24), "other.proto");
    let other = set(vec![file("hello.proto", "hello.v1", "Greater", 1)]);
    check(Some(other), GREETER, (1, 10), "hello.v1.Greeter");
    let taken = set(vec![file("oaas/gateway/v1/breaker.proto", "hello.v1", "Greeter", 1)]);
    check(Some(taken), GREETER, (10, 24), "in another way");
    let good = || Some(set(vec![file("hello.proto", "hello.v1", "Greeter", 1)]));
    check(good(), &GREETER.replace("http://127.0.0.1:50052", "ftp://127.0.0.1"), (9, 15), "http://");
    check(
        good(),
        &GREETER
            .replace("  descriptors:", "  tls: { ca: ca.pem }\n  descriptors:")
            .replace("http://l", "https://l"),
        (10, 14),
        "PEM",
    );
    check(good(), &GREETER.replace("  descriptors:", "  tls: {}\n  descriptors:"), (10, 8), "https://");
}

#[test]
fn a_set_may_bring_what_another_brought() {
    let folder = folder(GREETER);
    let shared = file("shared.proto", "shared.v1", "Shared", 1);
    let mut greeter = file("hello.proto", "hello.v1", "Greeter", 1);
    greeter.dependency.push("shared.proto".to_owned());
    // In the wrong order, as some reflections give them.
    folder.put("greeter.binpb", set(vec![greeter, shared.clone()]));
    folder.put("other.binpb", set(vec![shared]));
    let other =
        GREETER.replace("hello.v1.Greeter", "shared.v1.Shared").replace("greeter.binpb", "other.binpb");
    folder.put("hello/shared.yaml", other);
    assert_eq!(folder.snapshot().services.len(), 2);
}

#[test]
fn reflection_is_asked_for_and_then_used() {
    let text = GREETER.replace("{ file: greeter.binpb }", "{ reflection: true }");
    let callers = CALLERS.replace("service: oaas.gateway.v1.BreakerService", "service: hello.v1.Greeter");
    let folder = Folder::new(
        &[("hello/greeter.yaml", &text), ("platform/breaker.yaml", SERVICE), ("plans.yaml", PLANS)],
        Some(&callers),
    );
    let Err(LoadError::NeedsReflection(needs)) = folder.load() else { panic!("needs reflection") };
    assert_eq!(needs.iter().map(|need| &*need.service).collect::<Vec<_>>(), ["hello.v1.Greeter"]);
    assert_eq!(needs[0].endpoints[0].port_u16(), Some(50052));
    let (partial, needs) = load_without_reflection(&folder.sources, &known()).unwrap();
    assert_eq!((partial.services.len(), needs.len()), (1, 1));

    let mut described = known();
    let reflected = set(vec![file("hello.proto", "hello.v1", "Greeter", 1)]);
    described.reflected.insert("hello.v1.Greeter".to_owned(), reflected);
    let snapshot = load(&folder.sources, &described).unwrap();
    assert_eq!(snapshot.services.len(), 2);
    let portal = &snapshot.callers.applications["portal"];
    assert!(portal.subscription(snapshot.service("hello.v1.Greeter").unwrap()).is_some());
}
