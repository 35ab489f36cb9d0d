//! `respite programme`, as an operator types it.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_respite")).current_dir(folder).args(arguments).output().unwrap()
}

/// What it prints.
fn respite(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What it says when it refuses.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_programme_is_made_shown_and_given_to_another_manager() {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path();
    let key = |file| respite(folder, &["key", "staff", file]).trim().to_owned();
    let (manager, successor) = (key("manager.key"), key("successor.key"));

    // The example of the help is a programme.
    let help = respite(folder, &["programme", "create", "--help"]);
    let example = help.split_once("A programme:").unwrap().1;
    fs::write(folder.join("agnes.toml"), example).unwrap();
    let create = |file, key| ["programme", "create", "--file", file, "--public-key", key];
    let created = respite(folder, &create("agnes.toml", &manager));
    let (id, name) = created.trim().split_once("  ").unwrap();
    assert_eq!(name, "St. Agnes Hospital");
    assert_eq!(respite(folder, &["programme", "list"]), created);
    let terms = "  sessions for a period: 6
  minutes: 50, 20
  modalities: video, audio
  a late cancellation costs nothing
  for 1200 people, by the contract
";
    assert_eq!(respite(folder, &["programme", "show", id]), format!("{created}{terms}"));

    let replace = |key| ["programme", "replace-key", id, "--public-key", key];
    assert!(refused(folder, &replace(&manager)).contains("another caller signs in with this key"));
    assert_eq!(respite(folder, &replace(&successor)), created);
    assert!(
        refused(folder, &create("agnes.toml", &successor)).contains("another caller signs in with this key")
    );

    // The least there is to say, and what is not understood.
    fs::write(folder.join("least.toml"), "display_name = \"St. Ada\"\nsessions_per_period = 4\n").unwrap();
    let least = respite(folder, &create("least.toml", &manager));
    let shown = respite(folder, &["programme", "show", least.split_once("  ").unwrap().0]);
    assert!(shown.contains("minutes: any") && shown.contains("modalities: any"), "{shown}");
    assert!(shown.contains("nothing is reported"), "{shown}");
    let mut listed = [created.clone(), least].concat().lines().map(str::to_owned).collect::<Vec<_>>();
    listed.sort();
    assert_eq!(respite(folder, &["programme", "list"]).lines().collect::<Vec<_>>(), listed);
    fs::write(folder.join("typo.toml"), "display_name = \"St. Ada\"\nsessions_per_perod = 4\n").unwrap();
    assert!(refused(folder, &create("typo.toml", &manager)).contains("sessions_per_perod"));
    let nobody = "00000000-0000-4000-8000-000000000000";
    assert!(refused(folder, &["programme", "show", nobody]).contains("there is no such programme"));

    // Nobody has published a key yet.
    let head = ["programme", "log-head"];
    assert_eq!(respite(folder, &head), format!("0:{}\n", "0".repeat(64)));
    assert_eq!(respite(folder, &[&head[..], &["--entries", "0"]].concat()), respite(folder, &head));
    let ahead = refused(folder, &[&head[..], &["--entries", "1"]].concat());
    assert!(ahead.contains("there is no such entry of the log"), "{ahead}");
}
