//! Compiles every `.proto` of the repository with protox, so that nobody needs `protoc`, and writes
//! the code that keeps its `buf.validate` rules.

use std::error::Error;
use std::path::{Path, PathBuf};

#[path = "build/validate/mod.rs"]
mod validate;

use validate::Roots;

/// Only options of other files refer to these, so no Rust code is made for them.
const OPTIONS_ONLY: [&str; 2] = ["google/api/", "buf/validate/"];

/// A contract of the tests alone, which has every rule; it goes to a folder of its own.
const TEST_CONTRACT: &str = "tests/data";

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    proto_files(&root, &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_source_info(true).include_imports(true);
    for file in &files {
        compiler.open_file(file)?;
    }
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // Encoded by the compiler itself: prost's own descriptor types would lose the custom options.
    let descriptors = compiler.encode_file_descriptor_set();
    std::fs::write(out.join("descriptors.bin"), &descriptors)?;

    let roots = Roots { messages: "crate", runtime: "crate::validate" };
    write_rules(&descriptors, roots, &out.join("validate.rs"))?;

    let mut generated = compiler.file_descriptor_set();
    generated.file.retain(|file| !OPTIONS_ONLY.iter().any(|prefix| file.name().starts_with(prefix)));
    tonic_prost_build::configure()
        .build_transport(false)
        // Written for every call: without a hasher, and in one order.
        .btree_map(".oaas.audit.v1.Decision.numbers")
        .include_file("mod.rs")
        .compile_fds(generated)?;
    test_contract(&root, &out.join("test_contract"))
}

/// Writes the code that keeps the rules; each rule that can't be kept fails the build.
fn write_rules(descriptors: &[u8], roots: Roots<'_>, to: &Path) -> Result<(), Box<dyn Error>> {
    match validate::generate(descriptors, roots) {
        Ok(code) => Ok(std::fs::write(to, code)?),
        Err(errors) => {
            for error in &errors {
                println!("cargo::error={}", error.replace('\n', " "));
            }
            Err(format!("{} buf.validate rules can't be kept", errors.len()).into())
        }
    }
}

fn test_contract(root: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(TEST_CONTRACT);
    println!("cargo::rerun-if-changed={}", folder.display());
    std::fs::create_dir_all(out)?;
    let mut compiler = protox::Compiler::new([folder.as_path(), root])?;
    compiler.include_imports(true).open_file(folder.join("rules/v1/rules.proto"))?;
    let roots = Roots { messages: "crate", runtime: "::oaas_proto::validate" };
    write_rules(&compiler.encode_file_descriptor_set(), roots, &out.join("validate.rs"))?;
    let mut generated = compiler.file_descriptor_set();
    generated.file.retain(|file| !OPTIONS_ONLY.iter().any(|prefix| file.name().starts_with(prefix)));
    tonic_prost_build::configure().out_dir(out).include_file("mod.rs").compile_fds(generated)?;
    Ok(())
}

fn proto_files(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            proto_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
