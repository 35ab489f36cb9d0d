//! A hospital's issuer: the program itself, in a folder of its own.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::JoinHandle,
};

use chrono::{TimeDelta, Utc};
use data_encoding::BASE64;
use services::Clock;

use crate::crash::binary;

/// A hospital's issuer with fifty workers, one of whom we know.
pub(super) struct IssuerHome {
    folder: PathBuf,
    /// The public half of its key.
    pub(super) spki: Vec<u8>,
    /// Of the worker.
    pub(super) code: String,
    said: String,
}

/// `respite-issuer serve`.
pub(super) struct Issuing {
    pub(super) child: Child,
    pub(super) address: SocketAddr,
    pub(super) said: Option<JoinHandle<String>>,
}

impl IssuerHome {
    pub(super) fn make(folder: &Path, programme: &str, staff_number: &str, column: &str) -> Self {
        let others: Vec<_> = (0..60).map(|number| format!("N-{number},2026-01-01,,x\n")).collect();
        let others = others.concat();
        let roster = format!(
            "employee_id,active_from,active_until,remark\n{staff_number},2026-01-01,,{column}\n{others}"
        );
        fs::write(folder.join("staff.csv"), roster).unwrap();
        let wrong = format!("employee_id,active_from,active_until,remark\n{staff_number},{column},,\n");
        fs::write(folder.join("wrong.csv"), wrong).unwrap();
        let mut said = String::new();
        let mut run = |arguments: &str, succeeds: bool| {
            let mut command = Command::new(binary("respite-issuer"));
            let output = command.current_dir(folder).args(arguments.split(' ')).output().unwrap();
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.success(), succeeds, "{arguments}: {error}");
            said += &error;
            String::from_utf8(output.stdout).unwrap()
        };
        run(
            &format!("init --programme {programme} --name {programme} --origin respite-test --mode roster"),
            true,
        );
        run("import wrong.csv", false);
        run("import staff.csv", true);
        let codes = run("codes --for-roster staff.csv", true);
        let code =
            codes.lines().find_map(|line| line.strip_prefix(&format!("{staff_number},"))).unwrap().to_owned();
        let day =
            |days| (Clock::System.now() + TimeDelta::days(days)).with_timezone(&Utc).format("%F").to_string();
        let shown =
            run(&format!("key make --period now --passes 2 --first {} --last {}", day(-1), day(30)), true);
        let spki = shown.lines().find_map(|line| line.strip_prefix("public key")).unwrap().trim();
        Self { folder: folder.to_owned(), spki: BASE64.decode(spki.as_bytes()).unwrap(), code, said }
    }

    /// On a port that it chooses.
    pub(super) fn serve(&self) -> Issuing {
        let mut command = Command::new(binary("respite-issuer"));
        command.current_dir(&self.folder).args(["serve", "--listen", "127.0.0.1:0"]).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        let address =
            line.split_once("address=").unwrap().1.split_whitespace().next().unwrap().parse().unwrap();
        let mut said = self.said.clone() + &line;
        let said = std::thread::spawn(move || {
            errors.read_to_string(&mut said).unwrap();
            said
        });
        Issuing { child, address, said: Some(said) }
    }
}

impl Drop for Issuing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
