//! The map of `crates/README.md` is the house as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Who may name whom. A new edge is a decision: it is argued in a commit, drawn in `crates/README.md`, and
/// written here.
const EDGES: [(&str, &[&str]); 17] = [
    ("api", &[]),
    ("calendar", &[]),
    ("client", &["api", "notes", "pass"]),
    (
        "e2e",
        &[
            "api",
            "calendar",
            "client",
            "migrations",
            "notes",
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
    ("notes", &[]),
    ("notify", &[]),
    ("oidc", &[]),
    ("pass", &[]),
    ("practice", &["notes"]),
    ("search", &["calendar"]),
    ("server", &["api", "calendar", "client", "migrations", "notify", "oidc", "services", "store", "vault"]),
    ("services", &["api", "calendar", "fetch", "notify", "oidc", "pass", "search", "store", "vault"]),
    ("store", &["calendar"]),
    ("vault", &[]),
];

/// Who may name whom in tests alone: the side that answers them, or their own other side.
const IN_TESTS: [(&str, &[&str]); 5] = [
    ("e2e", &["oidc"]),
    ("issuer", &["oidc", "pass"]),
    ("oidc", &["oidc"]),
    ("pass", &["pass"]),
    ("server", &["oidc"]),
];

/// What crates that have several sides are built with, in each program and in what answers callers: the booking side
/// signs no pass, what answers calls makes none, and the hospital's program blinds nothing.
const FEATURES: [(&str, &[(&str, &str)]); 3] = [
    ("issuer", &[("oidc", ""), ("pass", "issuer")]),
    ("server", &[("client", "wallet"), ("oidc", ""), ("pass", "client"), ("server", "")]),
    ("services", &[("oidc", ""), ("pass", "")]),
];

fn edges(kind: DependencyKind) -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata answers");
    let members: BTreeSet<_> = metadata.packages.iter().map(|package| package.name.to_string()).collect();
    metadata
        .packages
        .iter()
        .map(|package| {
            let named = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind == kind)
                .map(|dependency| dependency.name.clone())
                .filter(|name| members.contains(name))
                .collect();
            (package.name.to_string(), named)
        })
        .collect()
}

#[test]
fn crates_name_each_other_as_the_map_says() {
    let table = |table: &[(&str, &[&str])]| -> BTreeMap<String, BTreeSet<String>> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        table.iter().map(|(name, named)| ((*name).to_owned(), owned(named))).collect()
    };
    assert_eq!(edges(DependencyKind::Normal), table(&EDGES));
    let drawn = |kind| {
        let mut edges = edges(kind);
        edges.retain(|_, named| !named.is_empty());
        edges
    };
    assert_eq!(drawn(DependencyKind::Development), table(&IN_TESTS));
    assert_eq!(drawn(DependencyKind::Build), table(&[]));
}

/// As cargo resolves each program that is built for itself, which is how it is delivered.
#[test]
fn programs_are_built_with_the_sides_they_need() {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata answers");
    let with_sides = metadata.packages.iter().filter(|package| !package.features.is_empty());
    let with_sides: BTreeSet<_> = with_sides.map(|package| package.name.to_string()).collect();
    for (root, expected) in FEATURES {
        let asked = ["tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--no-dedupe"];
        let tree = Command::new(env!("CARGO"))
            .args(asked)
            .args(["--format", "{p}|{f}", "--package", root])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo tree answers");
        assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
        let tree = String::from_utf8(tree.stdout).expect("names are text");
        // A crate of ours, unlike one from elsewhere, is followed by where it is.
        let ours =
            tree.lines().filter_map(|line| line.split_once('|')).filter(|(package, _)| package.contains('/'));
        let built: BTreeSet<_> = ours
            .map(|(package, features)| (package.split(' ').next().unwrap_or_default(), features))
            .filter(|(name, _)| with_sides.contains(*name))
            .collect();
        assert_eq!(built, expected.iter().copied().collect(), "{root}");
    }
}

#[test]
fn the_map_draws_every_crate_with_its_edges() {
    let map = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/README.md")).unwrap();
    for (name, named) in edges(DependencyKind::Normal) {
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

/// `.github/SECURITY.md` names a test for each threat, and none that is not there.
#[test]
fn every_threat_has_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let model = fs::read_to_string(root.join(".github/SECURITY.md")).expect("the threat model");
    let table =
        model.split("| proven by |").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a table");
    let mut rows = 0;
    for row in table.lines().filter(|line| line.starts_with("| ")) {
        let proofs: Vec<_> =
            row.rsplit(" | ").next().unwrap_or_default().split('`').skip(1).step_by(2).collect();
        assert!(!proofs.is_empty(), "nothing proves: {row}");
        for proof in proofs {
            let (place, name) = proof.split_once("::").expect("a crate or a story, and a test");
            let places = [format!("tests/stories/{place}.rs"), format!("crates/{place}")];
            let found =
                places.iter().map(|place| root.join(place)).any(|place| place.exists() && says(&place, name));
            assert!(found, "there is no test {proof}");
        }
        rows += 1;
    }
    assert!(rows > 15, "{rows} threats");
}

/// Whether a test of this name is in a file, or in any file of a folder.
fn says(path: &Path, name: &str) -> bool {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a folder of ours");
        return entries.filter_map(Result::ok).any(|entry| says(&entry.path(), name));
    }
    path.extension().is_some_and(|ending| ending == "rs")
        && fs::read_to_string(path).is_ok_and(|text| text.contains(&format!("fn {name}(")))
}
