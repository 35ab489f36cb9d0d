//! The map of `crates/README.md` is the house as it is.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Who may name whom. A new edge is a decision: it is argued in a commit, drawn in `crates/README.md`, and
/// written here.
const EDGES: [(&str, &[&str]); 15] = [
    ("api", &[]),
    ("calendar", &[]),
    ("client", &["api", "pass"]),
    (
        "e2e",
        &[
            "api",
            "calendar",
            "client",
            "migrations",
            "notify",
            "pass",
            "search",
            "services",
            "store",
            "vault",
        ],
    ),
    ("fetch", &[]),
    ("issuer", &["api", "oidc", "pass"]),
    ("migrations", &[]),
    ("notify", &[]),
    ("oidc", &[]),
    ("pass", &[]),
    ("search", &["calendar"]),
    ("server", &["api", "calendar", "client", "migrations", "notify", "services", "store", "vault"]),
    ("services", &["api", "calendar", "fetch", "notify", "pass", "search", "store", "vault"]),
    ("store", &["calendar"]),
    ("vault", &[]),
];

fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata answers");
    let members: BTreeSet<_> = metadata.packages.iter().map(|package| package.name.to_string()).collect();
    metadata
        .packages
        .iter()
        .map(|package| {
            let named = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind == DependencyKind::Normal)
                .map(|dependency| dependency.name.clone())
                .filter(|name| members.contains(name))
                .collect();
            (package.name.to_string(), named)
        })
        .collect()
}

#[test]
fn crates_name_each_other_as_the_map_says() {
    let expected: BTreeMap<String, BTreeSet<String>> = EDGES
        .iter()
        .map(|(name, named)| ((*name).to_owned(), named.iter().map(|name| (*name).to_owned()).collect()))
        .collect();
    assert_eq!(edges(), expected);
}

#[test]
fn the_map_draws_every_crate_with_its_edges() {
    let map = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/README.md")).unwrap();
    for (name, named) in edges() {
        let row = map
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}`")))
            .unwrap_or_else(|| panic!("crates/README.md has no row for {name}"));
        let names = row.split('|').nth(3).expect("a column of names");
        let drawn: BTreeSet<_> = names
            .split(',')
            .map(|name| name.trim().trim_matches('`').to_owned())
            .filter(|name| !name.is_empty())
            .collect();
        assert_eq!(drawn, named, "the row of {name}");
    }
}
