//! `respite audit`, as somebody meets it who has to find out whether the log can be believed.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::process::{Command, Output};

use client::Secret;
use data_encoding::HEXLOWER;
use sea_orm::{ConnectionTrait, Database};
use tempfile::TempDir;

/// Where the program has its settings and its database.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("respite.toml"), "").unwrap();
        Self(folder)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_respite"));
        command.current_dir(&self.0).args(["--config", "respite.toml"]).args(arguments).output().unwrap()
    }

    /// What a command that succeeds prints.
    fn print(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert!(ended.status.success(), "{ended:?}");
        String::from_utf8(ended.stdout).unwrap()
    }

    fn check_refused(&self, arguments: &[&str], why: &str) {
        let ended = self.run(arguments);
        assert!(!ended.status.success(), "{ended:?}");
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(said.contains(why), "{said}");
    }

    /// As whoever owns the database's file can, whatever its triggers say.
    async fn tamper(&self, statements: &str) {
        let file = self.0.path().join("respite.db");
        let database = Database::connect(format!("sqlite://{}", file.display())).await.unwrap();
        database.execute_unprepared(statements).await.unwrap();
        database.close().await.unwrap();
    }
}

#[tokio::test]
async fn what_was_done_at_the_terminal_is_listed_and_a_change_of_that_is_found() {
    let home = Home::new();
    assert_eq!(home.print(&["audit", "verify"]), "0 entries  \n");

    let public_key = HEXLOWER.encode(Secret::generate().login_key().verifying_key().as_bytes());
    let made = home.print(&["operator", "create", "--label", "the first", "--public-key", &public_key]);
    let operator = made.split(' ').next().unwrap();
    home.print(&["operator", "delete", operator]);

    let listed = home.print(&["audit", "list"]);
    let lines: Vec<&str> = listed.lines().collect();
    let [created, _, deleted, head] = lines[..] else { panic!("{listed}") };
    let head = head.trim();
    for (entry, action) in [(created, "create_operator"), (deleted, "delete_operator")] {
        assert!(entry.ends_with(&format!("  terminal  {action} {operator}")), "{entry}");
    }
    assert_eq!(home.print(&["audit", "verify"]), format!("2 entries  {head}\n"));
    home.print(&["audit", "verify", "--seen", head]);
    home.check_refused(&["audit", "verify", "--seen", &"0".repeat(64)], "no entry has the hash");
    home.check_refused(&["audit", "verify", "--seen", "0"], "64 hexadecimal digits");

    // An end that was cut off is seen by whoever noted the head, and by nobody else.
    home.tamper("drop trigger audit_is_not_deleted; delete from audit where position = 2").await;
    home.print(&["audit", "verify"]);
    home.check_refused(&["audit", "verify", "--seen", head], "cut off or written anew");

    home.tamper("drop trigger audit_is_not_changed; update audit set object = 'another'").await;
    home.check_refused(&["audit", "verify"], "entry 1 does not follow");
}
