//! Compiles the contract with protox: no protoc needed.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use prost::Message;
use prost_types::FileDescriptorSet;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);

    let services = [
        "access",
        "alias",
        "audit",
        "availability",
        "booking",
        "directory",
        "note",
        "programme",
        "reminder",
        "roster",
        "slot",
    ];
    let files = services.map(|name| root.join(format!("respite/v1/{name}.proto")));
    compile(&protox::compile(files, [&root])?, "respite.v1", &out)?;
    compile(
        &protox::compile([root.join("respite/issuer/v1/issuer.proto")], [&root])?,
        "respite.issuer.v1",
        &out,
    )
}

/// Each package apart, so that who serves one of them does not describe the other.
fn compile(
    descriptors: &FileDescriptorSet,
    package: &str,
    out: &Path,
) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::write(out.join(format!("{package}.bin")), descriptors.encode_to_vec())?;

    // A derived Debug would print contacts, tokens and rosters: ours says the type and nothing else.
    let mut debug = String::new();
    let mut skip = Vec::new();
    for file in descriptors.file.iter().filter(|file| file.package() == package) {
        for message in &file.message_type {
            skip.push(format!(".{package}.{}", message.name()));
            write_debug(&mut debug, message.name())?;
            let module = snake_case(message.name());
            for oneof in &message.oneof_decl {
                write_debug(&mut debug, &format!("{module}::{}", pascal_case(oneof.name())))?;
            }
        }
    }
    std::fs::write(out.join(format!("{package}.debug.rs")), debug)?;
    tonic_prost_build::configure().skip_debug(skip).compile_fds(descriptors.clone())?;
    Ok(())
}

fn write_debug(out: &mut String, path: &str) -> std::fmt::Result {
    let name = path.rsplit("::").next().unwrap_or(path);
    writeln!(
        out,
        "impl ::core::fmt::Debug for {path} {{
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{
                f.write_str(\"{name}(..)\")
            }}
        }}"
    )
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (index, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn pascal_case(name: &str) -> String {
    name.split('_')
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters)
        })
        .collect()
}
