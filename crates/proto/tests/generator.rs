//! The generator refuses what it can't keep, and says where it stands.

#[path = "../build/validate/mod.rs"]
mod validate;

use std::path::Path;

use validate::{Roots, generate};

/// What the generator makes of a contract with the message `body`.
fn generated(name: &str, body: &str) -> Result<String, Vec<String>> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("generator");
    std::fs::create_dir_all(&folder).unwrap();
    let file = format!("{name}.proto");
    let text = format!(
        "syntax = \"proto3\";\npackage t.v1;\nimport \"buf/validate/validate.proto\";\n\
         import \"google/protobuf/timestamp.proto\";\nmessage M {{\n{body}\n}}\n"
    );
    std::fs::write(folder.join(&file), text).unwrap();
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let mut compiler = protox::Compiler::new([folder, proto]).unwrap();
    compiler.include_imports(true).open_file(&file).unwrap();
    generate(&compiler.encode_file_descriptor_set(), Roots { messages: "crate", runtime: "crate::validate" })
}

#[test]
fn rules_that_are_not_kept_fail_with_file_and_field() {
    for (name, body, reason) in [
        (
            "format",
            "string a = 1 [(buf.validate.field).string.email = true];",
            "M.a: rule string.email is not supported",
        ),
        ("cel", "string a = 1 [(buf.validate.field).cel = {id: \"x\"}];", "M.a: rule cel is not supported"),
        (
            "type",
            "string a = 1 [(buf.validate.field).int32.gte = 1];",
            "M.a: int32 rules stand on a field that takes string rules",
        ),
        (
            "message",
            "M a = 1 [(buf.validate.field).string.min_len = 1];",
            "M.a: string rules are not supported for this type",
        ),
        (
            "now",
            "google.protobuf.Timestamp a = 1 [(buf.validate.field).timestamp.lt_now = true];",
            "M.a: rule timestamp.lt_now is not supported",
        ),
        (
            "crossed",
            "int32 a = 1 [(buf.validate.field).int32 = {gte: 5, lt: 1}];",
            "M.a: the lower bound is above the upper one",
        ),
        (
            "item",
            "repeated int32 a = 1 [(buf.validate.field).repeated.items.required = true];",
            "M.a: required means nothing for what a list or map holds; use a rule of its type",
        ),
        (
            "scalar",
            "int32 a = 1 [(buf.validate.field).repeated.min_items = 1];",
            "M.a: repeated rules stand on a field that takes int32 rules",
        ),
        (
            "option",
            "option (buf.validate.message).oneof = {fields: [\"a\"]}; int32 a = 1;",
            "M: buf.validate.message rules are not supported",
        ),
    ] {
        assert_eq!(generated(name, body), Err(vec![format!("{name}.proto: t.v1.{reason}")]));
    }
    let errors =
        generated("pattern", "string a = 1 [(buf.validate.field).string.pattern = \"(\"];").unwrap_err();
    assert!(
        errors[0].starts_with("pattern.proto: t.v1.M.a: pattern is not a regular expression"),
        "{errors:?}"
    );
}

#[test]
fn all_errors_are_told_at_once() {
    let body = "string a = 1 [(buf.validate.field).string.ip = true];\nbytes b = 2 [(buf.validate.field).bytes.ip = true];";
    assert_eq!(generated("two", body).unwrap_err().len(), 2);
}

#[test]
fn other_peoples_contracts_are_left_out() {
    let code = generated("ours", "int32 a = 1;").unwrap();
    assert_eq!(code.matches("::Validate for ").count(), 1);
    assert!(code.contains("impl crate::validate::Validate for crate::t::v1::M {"));
}
