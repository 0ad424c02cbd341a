//! Compiles every `.proto` of the repository with protox, so that nobody needs `protoc`.

use std::path::{Path, PathBuf};

/// Only options of other files refer to these, so no Rust code is made for them.
const OPTIONS_ONLY: [&str; 2] = ["google/api/", "buf/validate/"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
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

    let mut generated = compiler.file_descriptor_set();
    generated.file.retain(|file| !OPTIONS_ONLY.iter().any(|prefix| file.name().starts_with(prefix)));
    tonic_prost_build::configure().build_transport(false).include_file("mod.rs").compile_fds(generated)?;
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
