//! Compiles the protocol files with `protox`, so that building needs no `protoc`, and keeps the
//! descriptor set for gRPC reflection.

use std::{env, fs, path::PathBuf};

use prost::Message;

const FILES: [&str; 6] = [
    "proto/chancery/v1/resources.proto",
    "proto/chancery/v1/key_service.proto",
    "proto/chancery/v1/signing_service.proto",
    "proto/chancery/v1/jose_service.proto",
    "proto/chancery/v1/platform_service.proto",
    "proto/chancery/v1/partner_service.proto",
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
        .compile_fds(descriptors)?;
    Ok(())
}
