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
use serde_json::Value;
use services::Clock;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::crash::{binary, terminate};

/// A hospital's issuer with fifty workers, one of whom we know.
pub(super) struct IssuerHome {
    folder: PathBuf,
    /// The public half of its key.
    pub(super) spki: Vec<u8>,
    /// Of the worker.
    pub(super) code: String,
    /// What its commands said.
    pub(super) said: String,
}

/// `respite-issuer serve`.
pub(super) struct Issuing {
    child: Child,
    pub(super) address: SocketAddr,
    /// For the identity provider.
    pub(super) scim: Option<SocketAddr>,
    said: JoinHandle<String>,
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
        let mut run = |arguments: &str, succeeds| run(folder, arguments, succeeds, &mut said);
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

    /// From now on the identity provider says who works here, and proves that it is one by this token.
    pub(super) fn scim_token(&mut self) -> String {
        let token = run(&self.folder, "scim token --staff-number employee-number", true, &mut self.said);
        token.trim().to_owned()
    }

    /// On ports that it chooses: one, and another if SCIM is asked for.
    pub(super) fn serve(&self, more: &[&str]) -> Issuing {
        let mut command = Command::new(binary("respite-issuer"));
        command.current_dir(&self.folder).args(["serve", "--listen", "127.0.0.1:0"]).args(more);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let mut listens = || {
            errors.read_line(&mut said).unwrap();
            let (_, address) = said.rsplit_once("address=").unwrap();
            address.split_whitespace().next().unwrap().parse().unwrap()
        };
        let address = listens();
        let scim = more.contains(&"--scim-listen").then(&mut listens);
        let said = std::thread::spawn(move || {
            errors.read_to_string(&mut said).unwrap();
            said
        });
        Issuing { child, address, scim, said }
    }
}

impl Issuing {
    /// Ends it, and gives all that it said.
    pub(super) fn end(mut self) -> String {
        terminate(&mut self.child);
        self.said.join().unwrap()
    }
}

/// One request of an identity provider, and the whole answer, with its headers.
pub(super) async fn scim(to: SocketAddr, token: &str, start: &str, user: &Value) -> String {
    let (method, path) = start.split_once(' ').unwrap();
    let (user, mut stream) = (user.to_string(), TcpStream::connect(to).await.unwrap());
    let request = format!(
        "{method} /scim/v2{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-type: application/scim+json\r\ncontent-length: {}\r\n\r\n{user}",
        user.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A command in an issuer's folder: what it prints, while `said` gets what it says beside that.
fn run(folder: &Path, arguments: &str, succeeds: bool, said: &mut String) -> String {
    let mut command = Command::new(binary("respite-issuer"));
    let output = command.current_dir(folder).args(arguments.split(' ')).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.success(), succeeds, "{arguments}: {error}");
    *said += &error;
    String::from_utf8(output.stdout).unwrap()
}
