//! Compiles the protocol files with `protox`, so that building needs no `protoc`, and keeps the
//! descriptor set for gRPC reflection. Lists the scheme files that become part of the program.

use std::{
    env,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use prost::Message;

const FILES: [&str; 8] = [
    "proto/chancery/v1/resources.proto",
    "proto/chancery/v1/key_service.proto",
    "proto/chancery/v1/approval_service.proto",
    "proto/chancery/v1/signing_service.proto",
    "proto/chancery/v1/jose_service.proto",
    "proto/chancery/v1/platform_service.proto",
    "proto/chancery/v1/partner_service.proto",
    "proto/chancery/v1/audit_service.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    // A macro reads this folder; a file that is new in it must be noticed.
    println!("cargo:rerun-if-changed=migrations");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let directory = PathBuf::from(env::var("OUT_DIR")?);
    // `compile_fds` does not write this file itself.
    fs::write(
        directory.join("descriptors.bin"),
        descriptors.encode_to_vec(),
    )?;
    tonic_prost_build::configure()
        .bytes(".")
        // In one order, so that the same request is the same bytes.
        .btree_map(".chancery.v1.Key.labels")
        .compile_fds(descriptors)?;
    list_schemes(&directory)
}

/// An expression for `src/scheme/built_in.rs`: every file of `config/schemes`, with its text.
fn list_schemes(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=config/schemes");
    let folder = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("config/schemes");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let name = entry?
            .file_name()
            .into_string()
            .map_err(|_| "a name that is not UTF-8")?;
        if name.ends_with(".toml") {
            names.push(name);
        }
    }
    names.sort();
    let mut list = "&[\n".to_owned();
    for name in names {
        let path = folder.join(&name);
        writeln!(
            list,
            "BuiltIn {{ file: {name:?}, text: include_str!({:?}) }},",
            path.to_str().ok_or("a path that is not UTF-8")?
        )?;
    }
    list.push(']');
    fs::write(directory.join("built_in_schemes.rs"), list)?;
    Ok(())
}
