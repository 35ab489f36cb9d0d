//! The program itself: its commands, what it says, and what it survives.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use api::issuer::v1::{GetOfferRequest, issuer_service_client::IssuerServiceClient};
use chrono::{Days, NaiveDate, NaiveTime};
use data_encoding::{BASE64, HEXLOWER};
use issuer::Clock;
use issuer::period::Terms;
use pass::origin::{self, RedeemError};
use pass::{Directory, KeyState, PublicKey, Token, TokenChallenge};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    self, AlertDescription, ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
};
use tonic::Code as Grpc;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::world::{Batch, PROGRAMME, check_refused, publish, roster};

/// A hospital that has nothing but the program, and workers who have nothing but what it printed.
pub(crate) struct Hospital {
    pub(crate) folder: TempDir,
    log: Directory,
    key: PublicKey,
    pub(crate) codes: Vec<(String, String)>,
    said: String,
}

pub(crate) struct Process {
    running: Running,
    said: JoinHandle<String>,
    pub(crate) client: IssuerServiceClient<Channel>,
    pub(crate) scim: Option<String>,
}

/// It does not outlive a test that fails.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Hospital {
    pub(crate) fn new(csv: &str, passes: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("staff.csv"), csv).unwrap();
        let mut said = String::new();
        let mut succeed = |arguments: &[&str]| {
            let Output { status, stdout, stderr } = run(folder.path(), arguments);
            let [out, error] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
            assert!(status.success(), "{arguments:?}: {error}");
            said += &error;
            out
        };
        let today = Clock::System.today();
        let [first, last] = [today - Days::new(1), today + Days::new(90)];
        let days = [first, last].map(|day| day.to_string());
        let passes = passes.to_string();
        let programme = PROGRAMME.to_string();
        succeed(&[
            "init",
            "--programme",
            &programme,
            "--name",
            "issuer.example",
            "--origin",
            "respite.example",
            "--mode",
            "roster",
        ]);
        succeed(&["import", "staff.csv"]);
        let codes = succeed(&["codes", "--for-roster", "staff.csv"]);
        let shown = succeed(&[
            "key", "make", "--period", "now", "--passes", &passes, "--first", &days[0], "--last", &days[1],
        ]);
        assert_eq!(succeed(&["key", "show"]), shown);

        let shown = fields(&shown);
        let key = public_key(&shown);
        assert_eq!(shown["key id"], HEXLOWER.encode(key.id().as_bytes()));
        assert_eq!(shown["programme"], programme);
        let challenge = TokenChallenge::new(shown["issuer"], shown["origin"]).unwrap();
        let mut log = Directory::default();
        let made = Terms { passes: shown["passes"].parse().unwrap(), first, last, small: false };
        let told =
            ["first day", "last day", "publish by", "signs from", "signs until"].map(|name| shown[name]);
        let weeks = |weeks: u64, day: NaiveDate| day - Days::new(7 * weeks);
        let expected = [first, last, weeks(3, first), weeks(2, first), weeks(2, last + Days::new(1))];
        assert_eq!(told, expected.map(|day| day.to_string()));
        publish(&mut log, shown["period"], challenge, made, made.publish_by(), key.clone());
        let codes = codes.lines().skip(1).map(|line| line.split_once(',').unwrap());
        let codes = codes.map(|(id, code)| (id.to_owned(), code.to_owned())).collect();
        Self { folder, log, key, codes, said }
    }

    pub(crate) fn batch(&self, code: &str, passes: u32) -> Batch {
        Batch::new(&self.log, code, self.key.id(), passes, Clock::System.now().timestamp())
    }

    async fn serve(&self) -> Process {
        self.serve_with(&[]).await
    }

    pub(crate) async fn serve_with(&self, arguments: &[&str]) -> Process {
        let (running, said, addresses) = self.spawn(arguments);
        let client = IssuerServiceClient::connect(format!("http://{}", addresses[0])).await.unwrap();
        Process { running, said, client, scim: addresses.get(1).cloned() }
    }

    /// Listening by itself on a port that it chose.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> (Running, JoinHandle<String>, Vec<String>) {
        let mut child = command(self.folder.path())
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let sockets = 1 + usize::from(arguments.contains(&"--scim-listen"));
        for _ in 0..sockets {
            errors.read_line(&mut said).unwrap();
        }
        let address = |line: &str| line.split_whitespace().next().unwrap().to_owned();
        let addresses: Vec<_> = said.split("address=").skip(1).map(address).collect();
        assert_eq!(addresses.len(), sockets, "{said}");
        // Whatever it says is taken from it at once: it must not wait for us to listen.
        let said = thread::spawn(move || {
            errors.read_to_string(&mut said).unwrap();
            said
        });
        (Running(child), said, addresses)
    }
}

impl Process {
    /// Ends it by a signal, and gives all that it said.
    pub(crate) fn end(mut self, signal: &str) -> String {
        drop(self.client);
        let id = self.running.0.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        self.running.0.wait().unwrap();
        self.said.join().unwrap()
    }
}

/// What a command printed of a key, by name.
fn fields(shown: &str) -> HashMap<&str, &str> {
    let fields = shown.lines().filter_map(|line| line.split_once("  "));
    fields.map(|(name, value)| (name, value.trim())).collect()
}

fn public_key(shown: &HashMap<&str, &str>) -> PublicKey {
    let spki = BASE64.decode(shown["public key"].as_bytes()).unwrap();
    PublicKey::try_from(&spki[..]).unwrap()
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(PathBuf::from(env!("CARGO_BIN_EXE_respite-issuer")));
    command.current_dir(folder);
    command
}

pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder).args(arguments).output().unwrap()
}

/// Killed at any moment, between signing and answering too: whoever asks again has what was promised, and nobody more.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_asked_when_it_was_killed_asks_again_and_gets_the_same() {
    const PASSES: u32 = 8;
    /// What one connection may ask for at a time: more would be refused, which is not to be cut off.
    const TOGETHER: usize = 4;
    const MOMENTS: u32 = 12;
    let hospital = Hospital::new(&roster(0..60), PASSES);
    let batches: Vec<_> = hospital.codes.iter().map(|(_, code)| hospital.batch(code, PASSES)).collect();
    let mut batches = batches.chunks_exact(TOGETHER);
    let ask = |process: &Process, batches: &[Batch]| {
        let asking = batches.iter().map(|batch| {
            let (mut client, request) = (process.client.clone(), batch.request.clone());
            async move { client.issue_passes(request).await }
        });
        asking.map(tokio::spawn).collect::<Vec<_>>()
    };

    // How long as many take as are asked for at once.
    let process = hospital.serve().await;
    let begun = Instant::now();
    for asked in ask(&process, batches.next().unwrap()) {
        asked.await.unwrap().unwrap();
    }
    let whole = begun.elapsed();
    process.end("-TERM");

    let (mut answered, mut cut_off) = (0, 0);
    for moment in 0..MOMENTS {
        let batches = batches.next().unwrap();
        let process = hospital.serve().await;
        let asking = ask(&process, batches);
        tokio::time::sleep(whole * (2 * moment + 1) / (2 * MOMENTS)).await;
        process.end("-KILL");
        let mut answers = Vec::new();
        for asked in asking {
            answers.push(asked.await.unwrap());
        }
        answered += answers.iter().filter(|answer| answer.is_ok()).count();
        cut_off += answers.iter().filter(|answer| answer.is_err()).count();

        let process = hospital.serve().await;
        for (batch, before) in batches.iter().zip(answers) {
            let mut client = process.client.clone();
            let other = hospital.batch(&batch.request.activation_code, PASSES).request;
            if before.is_ok() {
                let refused = client.issue_passes(other.clone()).await;
                check_refused(refused, Grpc::AlreadyExists, "OTHER_BATCH_ISSUED");
            }
            let again = client.issue_passes(batch.request.clone()).await.unwrap().into_inner();
            assert!(before.is_err() || before.unwrap().into_inner() == again);
            batch.finalize(&again.blind_signatures);
            check_refused(client.issue_passes(other).await, Grpc::AlreadyExists, "OTHER_BATCH_ISSUED");
        }
        process.end("-TERM");
    }
    assert!(answered > 0 && cut_off > 0, "{answered} were answered and {cut_off} cut off");
}

/// Its passes are good for nothing any more, and everybody has as many again under the key in its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_key_is_replaced_within_its_period() {
    const PASSES: u32 = 3;
    let mut hospital = Hospital::new(&roster(0..50), PASSES);
    let process = hospital.serve().await;
    let mut client = process.client.clone();
    let [early, late] = [0, 1].map(|worker| hospital.codes[worker].1.clone());
    let before = hospital.batch(&early, PASSES);
    let signed = client.issue_passes(before.request.clone()).await.unwrap().into_inner();
    let stolen = before.finalize(&signed.blind_signatures);
    let pays = |hospital: &Hospital, token: &Token| {
        origin::redeem(&hospital.log, &token.to_bytes(), Clock::System.now().timestamp()).map(|_| ())
    };
    assert_eq!(pays(&hospital, &stolen[0]), Ok(()));

    // It prints what is to be revoked, and for which days another one is made; and does so again, if that was lost.
    let command = |arguments: &[&str]| {
        let Output { status, stdout, stderr } = run(hospital.folder.path(), arguments);
        if status.success() { Ok(stdout) } else { Err(stderr) }.map(|told| String::from_utf8(told).unwrap())
    };
    let told = command(&["key", "withdraw", "--period", "now"]).unwrap();
    assert_eq!(command(&["key", "withdraw", "--period", "now"]), Ok(told.clone()));
    let told = fields(&told);
    assert_eq!(told["key id"], HEXLOWER.encode(hospital.key.id().as_bytes()));
    // The program that serves signs nothing more by it, also what it had signed before.
    check_refused(client.get_offer(GetOfferRequest {}).await, Grpc::FailedPrecondition, "NOT_ISSUING");
    for request in [&before.request, &hospital.batch(&late, PASSES).request] {
        let refused = client.issue_passes(request.clone()).await;
        check_refused(refused, Grpc::FailedPrecondition, "NOT_ISSUING");
    }
    assert_eq!(command(&["key", "show"]), Ok(String::new()));
    let make = |name| {
        let days = ["--first", told["first day"], "--last", told["last day"]];
        command(&[&["key", "make", "--period", name, "--passes", told["passes"]], &days[..]].concat())
    };
    let refused = run(hospital.folder.path(), &["key", "withdraw", "--period", "none"]);
    assert!(String::from_utf8(refused.stderr).unwrap().contains("there is no period of this name"));
    assert!(make("now").is_err(), "its name is taken");
    let shown = make("now-2").unwrap();
    assert_eq!(command(&["key", "show"]), Ok(shown.clone()));

    // The manager revokes the one, and publishes the other: a week and a day ago, so that it signs by now.
    let days = ["first day", "last day"].map(|name| told[name].parse::<NaiveDate>().unwrap());
    let [first, last] = days;
    let terms = Terms { passes: PASSES, first, last, small: false };
    let on = Clock::System.today() - Days::new(8);
    let key = public_key(&fields(&shown));
    let from = on.and_time(NaiveTime::MIN).and_utc().timestamp();
    let challenge = hospital.log.record(hospital.key.id()).unwrap().challenge.clone();
    hospital.log.revoke(hospital.key.id(), from).unwrap();
    publish(&mut hospital.log, "now-2", challenge, terms, on, key.clone());
    hospital.key = key;

    let offer = client.get_offer(GetOfferRequest {}).await.unwrap().into_inner();
    assert_eq!(offer.key_id, hospital.key.id().as_bytes());
    let refused = client.issue_passes(before.request.clone()).await;
    check_refused(refused, Grpc::FailedPrecondition, "KEY_NOT_SIGNING");
    for code in [&early, &late] {
        let batch = hospital.batch(code, PASSES);
        let signed = client.issue_passes(batch.request.clone()).await.unwrap().into_inner();
        assert_eq!(client.issue_passes(batch.request.clone()).await.unwrap().into_inner(), signed);
        let other = client.issue_passes(hospital.batch(code, PASSES).request).await;
        check_refused(other, Grpc::AlreadyExists, "OTHER_BATCH_ISSUED");
        for token in batch.finalize(&signed.blind_signatures) {
            assert_eq!(pays(&hospital, &token), Ok(()));
        }
    }
    let retired = RedeemError::KeyState { state: KeyState::Retired };
    assert!(stolen.iter().all(|token| pays(&hospital, token) == Err(retired)));
    process.end("-TERM");
    let audit = String::from_utf8(run(hospital.folder.path(), &["audit"]).stdout).unwrap();
    assert_eq!(audit.matches(&format!("key {} of now withdrawn", told["key id"])).count(), 1, "{audit}");
}

/// A second program on the same home is of no use, and does no harm: each worker has one batch, whichever is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_programs_on_one_home_give_each_worker_one_batch() {
    const PASSES: u32 = 2;
    let hospital = Hospital::new(&roster(0..50), PASSES);
    let processes = [hospital.serve().await, hospital.serve().await];
    let ask = |code: &str| {
        processes.each_ref().map(|process| {
            let (mut client, request) = (process.client.clone(), hospital.batch(code, PASSES).request);
            tokio::spawn(async move {
                loop {
                    // Who writes waits for the other program, but not for ever.
                    match client.issue_passes(request.clone()).await {
                        Err(busy) if busy.code() == Grpc::Unavailable => {}
                        answer => return answer,
                    }
                }
            })
        })
    };
    let asking: Vec<_> = hospital.codes.iter().map(|(_, code)| ask(code)).collect();
    let mut answers = Vec::new();
    for [one, other] in asking {
        answers.push([one.await.unwrap(), other.await.unwrap()]);
    }
    let said = processes.map(|process| process.end("-TERM"));
    for answer in answers {
        let ([Ok(_), refused] | [refused, Ok(_)]) = answer else {
            panic!("nobody is given: {answer:?}, {said:?}")
        };
        check_refused(refused, Grpc::AlreadyExists, "OTHER_BATCH_ISSUED");
    }
}

/// privacy.md 10: whatever happens, what is logged tells neither who nor what.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_it_says_is_about_anybody() {
    let hospital = Hospital::new(&(roster(0..50) + "canary-id,2026-01-01,\n"), 2);
    let code = hospital.codes.iter().find(|(id, _)| id == "canary-id").unwrap().1.clone();
    let process = hospital.serve().await;
    let batch = hospital.batch(&code, 2);
    let mut client = process.client.clone();
    client.issue_passes(batch.request.clone()).await.unwrap();
    client.issue_passes(batch.request.clone()).await.unwrap();
    client.issue_passes(hospital.batch(&code, 2).request).await.unwrap_err();
    client.issue_passes(hospital.batch("canary-code", 2).request).await.unwrap_err();
    let mut malformed = batch.request.clone();
    malformed.blinded_messages[0] = b"canary-message".to_vec();
    client.issue_passes(malformed).await.unwrap_err();
    let mut large = batch.request.clone();
    large.activation_code = "canary-code".repeat(9000);
    client.issue_passes(large).await.unwrap_err();
    // A key that is gone is the staff's mistake, and the log's business.
    let lost = hospital.folder.path().join("issuer/keys/now.pem");
    let mut said = process.end("-TERM");
    let pem = fs::read_to_string(&lost).unwrap();
    fs::write(&lost, "canary-key").unwrap();
    let process = hospital.serve().await;
    let failed = process.client.clone().issue_passes(batch.request.clone()).await.unwrap_err();
    assert_eq!((failed.code(), failed.message()), (Grpc::Internal, "internal error"));
    said += &process.end("-TERM");
    fs::write(&lost, pem).unwrap();

    // Files that are refused, too.
    fs::write(hospital.folder.path().join("wrong.csv"), roster(0..1) + "canary-id,canary-date,\n").unwrap();
    for arguments in [&["import", "wrong.csv"][..], &["codes", "--for-roster", "wrong.csv"]] {
        let output = run(hospital.folder.path(), arguments);
        assert!(!output.status.success());
        said += str::from_utf8(&output.stderr).unwrap();
    }
    said += &hospital.said;

    assert_eq!(said.matches("listening").count(), 2, "{said}");
    assert!(said.contains("cannot sign") && said.contains("line 3 has no date"), "{said}");
    let log: String = said.lines().filter(|line| !line.contains("listening")).collect();
    let message = &batch.request.blinded_messages[0];
    for canary in ["canary", "N-0", "127.0.0.1", &code, &code.replace('-', "")] {
        assert!(!log.contains(canary), "{log}");
    }
    for message in [HEXLOWER.encode(message), BASE64.encode(message), format!("{message:?}")] {
        assert!(!log.contains(&message[8..40]), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_certificate_it_speaks_to_nobody_in_plain_text_or_by_an_older_tls() {
    let hospital = Hospital::new(&roster(0..50), 2);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem =
        |label, der| format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64.encode(der));
    let certificate = pem("CERTIFICATE", made.cert.der());
    fs::write(hospital.folder.path().join("cert.pem"), &certificate).unwrap();
    fs::write(hospital.folder.path().join("cert.key"), pem("PRIVATE KEY", made.signing_key.serialized_der()))
        .unwrap();
    let (running, said, addresses) = hospital.spawn(&[
        "--tls-certificate",
        "cert.pem",
        "--tls-key",
        "cert.key",
        "--scim-listen",
        "127.0.0.1:0",
    ]);
    let address = &addresses[0];
    let trust =
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificate)).domain_name("localhost");
    let channel =
        Endpoint::new(format!("https://{address}")).unwrap().tls_config(trust).unwrap().connect().await;
    let mut client = IssuerServiceClient::new(channel.unwrap());
    let (_, code) = &hospital.codes[0];
    client.issue_passes(hospital.batch(code, 2).request).await.unwrap();
    let plain = async {
        let mut client = IssuerServiceClient::connect(format!("http://{address}")).await?;
        client.get_offer(GetOfferRequest {}).await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    assert!(plain.await.is_err());
    // Workers and the identity provider alike.
    for address in &addresses {
        let spoken = async |version| handshake(address, version, made.cert.der()).await;
        assert_eq!(spoken(&TLS12).await, Err(AlertDescription::ProtocolVersion));
        assert_eq!(spoken(&TLS13).await, Ok(ProtocolVersion::TLSv1_3));
    }
    Process { running, said, client, scim: None }.end("-TERM");
}

/// Which version a client that offers one alone ends up with, or why the program refuses.
async fn handshake(
    address: &str,
    version: &'static SupportedProtocolVersion,
    trusted: &CertificateDer<'static>,
) -> Result<ProtocolVersion, AlertDescription> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(stream) => Ok(stream.get_ref().1.protocol_version().unwrap()),
        Err(error) => match error.get_ref().unwrap().downcast_ref() {
            Some(rustls::Error::AlertReceived(alert)) => Err(*alert),
            other => panic!("{other:?}"),
        },
    }
}

#[test]
fn the_audit_names_commands_and_is_checked_against_what_was_seen() {
    let hospital = Hospital::new(&roster(0..50), 2);
    let audit = |arguments: &[&str]| {
        let output = run(hospital.folder.path(), &[&["audit"], arguments].concat());
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (whole, told) = audit(&[]);
    assert!(whole);
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 8, "{told}");
    assert!(lines[0].ends_with("created for roster"), "{told}");
    assert!(lines[2].ends_with("roster imported: 50 workers, 50 of them new, 0 gone"), "{told}");
    assert!(lines[4].ends_with("codes made for the roster: 50, of them in place of older ones: 0"), "{told}");
    assert!(lines[6].ends_with("made for now, 2 passes for each worker"), "{told}");
    let head = lines[7].trim();
    assert!(audit(&["--seen", head]).0);
    assert!(!audit(&["--seen", &"0".repeat(64)]).0);
    assert!(!audit(&["--seen", "0"]).0);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let check = |arguments: &[&str], told: &str| {
        let Output { status, stderr, .. } = run(folder.path(), arguments);
        let stderr = String::from_utf8(stderr).unwrap();
        assert!(!status.success() && stderr.contains(told), "{arguments:?}: {stderr}");
    };
    let programme = PROGRAMME.to_string();
    let named = ["init", "--name", "i", "--origin", "o"];
    let init = ["init", "--programme", &programme, "--name", "i", "--origin", "o", "--mode", "cards"];
    check(&["import", "staff.csv"], "issuer.secret");
    let by_logins = ["init", "--programme", &programme, "--name", "i", "--origin", "o", "--mode", "logins"];
    check(&by_logins, "--eligible <N>");
    check(&[&init[..], &["--eligible", "60"]].concat(), "--eligible goes with --mode logins");
    check(&["serve", "--listen", "0.0.0.0:0"], "without a certificate");
    check(&["serve", "--scim-listen", "0.0.0.0:0"], "without a certificate");
    check(&["serve", "--allow-origin", "*"], "expected an origin");
    check(&["scim", "token"], "--staff-number");
    check(&named, "--mode");
    assert!(run(folder.path(), &init).status.success());
    check(&init, "issuer: File exists");
    check(&["scim", "token", "--staff-number", "user-name"], "this issuer was made for cards");
    check(&["codes"], "--for-roster");
    check(&["codes", "--count", "5"], "--until");
    check(&["codes", "--count", "0", "--until", "2999-01-01"], "0 is not in");
    check(&["codes", "--count", "5", "--until", "2999-1-1"], "not a date such as");
    check(&["codes", "--count", "5", "--until", "2999-01-01", "--replace"], "cannot be used");
    check(&["codes", "--count", "5", "--until", "2999-01-01", "--for-roster", "x"], "cannot be used");
    check(&["import", "none.csv"], "none.csv: No such file");
    check(&["serve", "--tls-key", "x"], "--tls-certificate");
    check(&["audit", "--seen", "xyz"], "respite-issuer:");
}
