//! The commands by which the key that wraps is replaced, as a person types them.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// What the command prints, and whether it succeeds.
fn respite(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let done =
        Command::new(env!("CARGO_BIN_EXE_respite")).current_dir(folder).args(arguments).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(said).unwrap())
}

fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let (done, said) = respite(folder, arguments);
    assert!(done, "{arguments:?}: {said}");
    said
}

#[test]
fn a_key_is_prepared_rotated_and_retired_by_commands() {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path();
    // The embedded database and its key are made.
    let before = succeeds(folder, &["key", "status"]);
    let ids: Vec<_> = before.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    let [old, root] = ids[..] else { panic!("{before}") };
    let next = succeeds(folder, &["key", "next"]);
    let next = next.split_whitespace().next().unwrap();
    assert_eq!(
        succeeds(folder, &["key", "next"]).split_whitespace().next(),
        Some(next),
        "there is one already"
    );
    assert!(succeeds(folder, &["key", "rotate"]).starts_with(next));
    let status = succeeds(folder, &["key", "status"]);
    assert!(
        status.contains(&format!("{next}  wraps")) && status.contains(&format!("{old}  opens")),
        "{status}"
    );
    assert_eq!(succeeds(folder, &["key", "rewrap"]), "0 wrapped anew\n");

    for (id, why) in
        [(root, "it stays"), (next, "wraps"), ("00000000", "no such key"), ("x", "8 hexadecimal digits")]
    {
        let (done, said) = respite(folder, &["key", "retire", id]);
        assert!(!done && said.contains(why), "{id}: {said}");
    }
    succeeds(folder, &["key", "retire", old]);
    assert!(!succeeds(folder, &["key", "status"]).contains(old));
    let key = folder.join("respite.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!folder.join("respite.new").exists());
    assert_eq!(fs::read_to_string(&key).unwrap().lines().count(), 2);
}
