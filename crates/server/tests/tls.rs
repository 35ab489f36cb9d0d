//! The program as clients meet it over TLS: which versions it speaks, whom it asks for a certificate, and who is
//! answered by which of its two listeners.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use api::v1;
use client::{Client, Refusal, Secret, SigningKey};
use data_encoding::{BASE64, HEXLOWER};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    AlertDescription, ClientConfig, Error, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

type Authority = CertifiedIssuer<'static, KeyPair>;

/// The program, serving on two addresses, and those who vouch for it and for its staff.
struct Process {
    running: Child,
    everybody: SocketAddr,
    staff: SocketAddr,
    of_server: Authority,
    of_staff: Authority,
    operator: SigningKey,
    _folder: TempDir,
}

/// It does not outlive a test that fails.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}

impl Process {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (of_server, of_staff) = (authority("server"), authority("staff"));
        let (certificate, key) = certificate(&of_server);
        for (file, text) in
            [("server.pem", certificate), ("server.key", key), ("staff-ca.pem", of(&of_staff))]
        {
            fs::write(folder.path().join(file), text).unwrap();
        }
        let settings = r#"
            listen = "127.0.0.1:0"
            [tls]
            certificate = "server.pem"
            key = "server.key"
            [staff]
            listen = "127.0.0.2:0"
            certificate = "server.pem"
            key = "server.key"
            client_ca = "staff-ca.pem"
            [staff.oidc]
            issuer = "https://login.practice.example"
            client_id = "respite"
            [telemetry]
            log_format = "text"
        "#;
        fs::write(folder.path().join("respite.toml"), settings).unwrap();
        let operator = Secret::generate().login_key();
        let public_key = HEXLOWER.encode(operator.verifying_key().as_bytes());
        let made = command(folder.path())
            .args(["operator", "create", "--label", "the first", "--public-key", &public_key])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");

        let mut running = command(folder.path()).arg("serve").stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(running.stderr.take().unwrap()).lines();
        let mut address = |of: &str| -> SocketAddr {
            let line = said.by_ref().map(Result::unwrap).find(|line| line.contains(of)).unwrap();
            line.split("address=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
        };
        let everybody = address("listening ");
        let staff = address("listening for staff ");
        // The pipe is read to its end, so that the program never waits for a reader.
        std::thread::spawn(move || said.for_each(drop));
        Self { running, everybody, staff, of_server, of_staff, operator, _folder: folder }
    }

    /// A connection to one of its addresses, with a certificate that `authority` signed.
    async fn connect(&self, address: SocketAddr, authority: Option<&Authority>) -> Channel {
        let trusted = Certificate::from_pem(of(&self.of_server));
        let mut tls = ClientTlsConfig::new().ca_certificate(trusted).domain_name("localhost");
        if let Some(authority) = authority {
            let (certificate, key) = certificate(authority);
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
        endpoint.tls_config(tls).unwrap().connect().await.unwrap()
    }

    /// What comes of a handshake: the version and the protocol, or why the server ended it.
    async fn handshake(
        &self,
        address: SocketAddr,
        version: &'static SupportedProtocolVersion,
        alpn: &str,
        authority: Option<&Authority>,
    ) -> Result<(ProtocolVersion, Vec<u8>), AlertDescription> {
        let mut roots = RootCertStore::empty();
        roots.add(self.of_server.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match authority {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let (certificate, key) = certificate(authority);
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = PemObject::from_pem_slice(key.as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let alert = |error: std::io::Error| match error.get_ref().unwrap().downcast_ref() {
            Some(Error::AlertReceived(alert)) => *alert,
            other => panic!("{other:?}"),
        };
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(alert)?;
        let spoken = stream.get_ref().1;
        let spoken =
            (spoken.protocol_version().unwrap(), spoken.alpn_protocol().unwrap_or_default().to_vec());
        // A client of TLS 1.3 is done before the server has looked at its certificate: the verdict comes after, in
        // place of the first answer.
        if alpn == "h2" {
            // The preface of HTTP/2, and settings that change nothing.
            let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
            stream.read_u8().await.map_err(alert)?;
        }
        Ok(spoken)
    }
}

#[tokio::test]
async fn nothing_older_than_tls_1_3_is_spoken() {
    let process = Process::start();
    let staff = Some(&process.of_staff);
    for (address, authority) in [(process.everybody, None), (process.staff, staff)] {
        let old = process.handshake(address, &TLS12, "h2", authority).await;
        assert_eq!(old.unwrap_err(), AlertDescription::ProtocolVersion);
        let (version, alpn) = process.handshake(address, &TLS13, "h2", authority).await.unwrap();
        assert_eq!((version, alpn.as_slice()), (ProtocolVersion::TLSv1_3, &b"h2"[..]));
    }
    let (_, alpn) = process.handshake(process.everybody, &TLS13, "http/1.1", None).await.unwrap();
    assert_eq!(alpn, b"http/1.1");
    let other = process.handshake(process.everybody, &TLS13, "spdy/3", None).await;
    assert_eq!(other.unwrap_err(), AlertDescription::NoApplicationProtocol);
}

#[tokio::test]
async fn staff_are_let_in_by_a_certificate_of_their_own_authority_alone() {
    let process = Process::start();
    let (stranger, namesake) = (authority("stranger"), authority("staff"));
    for (authority, alert) in [
        (None, AlertDescription::CertificateRequired),
        (Some(&stranger), AlertDescription::UnknownCA),
        (Some(&process.of_server), AlertDescription::UnknownCA),
        (Some(&namesake), AlertDescription::DecryptError),
    ] {
        let refused = process.handshake(process.staff, &TLS13, "h2", authority).await;
        assert_eq!(refused.unwrap_err(), alert);
    }
    process.handshake(process.staff, &TLS13, "h2", Some(&process.of_staff)).await.unwrap();
}

#[tokio::test]
async fn a_handshake_that_never_ends_keeps_nobody_waiting() {
    let process = Process::start();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(process.everybody).await.unwrap());
    }
    process.handshake(process.everybody, &TLS13, "h2", None).await.unwrap();
    // The last one learns that it was given up, by an end and not by a word.
    let mut last = silent.pop().unwrap();
    assert_eq!(last.read(&mut [0; 16]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn each_listener_answers_its_own_callers() {
    let process = Process::start();
    let everybody = process.connect(process.everybody, None).await;
    let staff = process.connect(process.staff, Some(&process.of_staff)).await;
    let worker = Secret::generate().login_key();
    let client = Client::over(everybody);
    client.create_alias(&worker).await.unwrap();

    // Whoever signs in by the word of a provider is staff.
    let begin = v1::BeginIdTokenLoginRequest {};
    Client::over(staff.clone()).alias().begin_id_token_login(begin).await.unwrap();
    check_refused(client.alias().begin_id_token_login(begin).await.map(drop), "OTHER_LISTENER");
    let finish = v1::FinishIdTokenLoginRequest::default();
    check_refused(client.alias().finish_id_token_login(finish).await.map(drop), "OTHER_LISTENER");
    // Whoever has a key may sign in by either, and is told by the calls that follow where they belong.
    let operator_outside = client.login(process.operator.clone()).await.unwrap();
    let worker_inside = Client::over(staff.clone()).login(worker.clone()).await.unwrap();
    let operator = Client::over(staff).login(process.operator.clone()).await.unwrap();
    let worker = client.login(worker).await.unwrap();

    list_therapists(&operator).await.unwrap();
    search(&operator).await.unwrap();
    read_alias(&worker).await.unwrap();
    search(&worker).await.unwrap();

    check_refused(list_therapists(&operator_outside).await, "OTHER_LISTENER");
    check_refused(read_alias(&worker_inside).await, "OTHER_LISTENER");
    let link = v1::LinkIdentityRequest::default();
    check_refused(operator_outside.alias().link_identity(link).await.map(drop), "OTHER_LISTENER");
    // Calls that both may make are no way around it.
    check_refused(search(&operator_outside).await, "OTHER_LISTENER");
    check_refused(search(&worker_inside).await, "OTHER_LISTENER");
    check_refused(complete_nothing(&operator).await, "CALLER_NOT_ALLOWED");
}

#[track_caller]
fn check_refused(answer: Result<(), Status>, reason: &str) {
    let refused = Refusal::from(answer.unwrap_err());
    assert_eq!((refused.code, refused.reason.as_str()), (Code::PermissionDenied, reason));
}

async fn list_therapists(client: &Client) -> Result<(), Status> {
    client.directory().list_therapists(v1::ListTherapistsRequest::default()).await.map(drop)
}

async fn search(client: &Client) -> Result<(), Status> {
    client.directory().search_therapists(v1::SearchTherapistsRequest::default()).await.map(drop)
}

async fn read_alias(client: &Client) -> Result<(), Status> {
    client.alias().get_alias(v1::GetAliasRequest {}).await.map(drop)
}

async fn complete_nothing(client: &Client) -> Result<(), Status> {
    client.bookings().complete_booking(v1::CompleteBookingRequest::default()).await.map(drop)
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_respite"));
    command.current_dir(folder).args(["--config", "respite.toml"]).stdout(Stdio::piped());
    command
}

fn authority(name: &str) -> Authority {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for `localhost`, and its key.
fn certificate(authority: &Authority) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = parameters.signed_by(&key, authority).unwrap();
    (pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der()))
}

fn of(authority: &Authority) -> String {
    pem("CERTIFICATE", authority.der())
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64.encode(der))
}
