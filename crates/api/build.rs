//! Compiles the contract with protox: no protoc needed.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());

    let services = ["alias", "availability", "booking", "directory", "reminder", "roster", "slot"];
    let files = services.map(|name| root.join(format!("respite/v1/{name}.proto")));
    let descriptors = protox::compile(files, [&root])?;

    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let mut bytes = Vec::new();
    prost::Message::encode(&descriptors, &mut bytes)?;
    std::fs::write(out.join("descriptors.bin"), bytes)?;

    tonic_prost_build::configure()
        // A derived Debug would print contacts, tokens and rosters.
        .skip_debug(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
