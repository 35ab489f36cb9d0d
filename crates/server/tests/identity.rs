//! The commands by which staff are linked to an identity provider, as a person types them, and what comes of it.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "../../oidc/tests/provider/mod.rs"]
mod provider;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use api::v1;
use api::v1::alias_service_client::AliasServiceClient;
use api::v1::directory_service_client::DirectoryServiceClient;
use client::{Client, Refusal, Secret, request_id};
use data_encoding::HEXLOWER;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use services::Clock;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use provider::Fake;

/// What the command prints, and whether it succeeds.
fn respite(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let done =
        Command::new(env!("CARGO_BIN_EXE_respite")).current_dir(folder).args(arguments).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(said).unwrap())
}

fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let (done, said) = respite(folder, &[&["--config", "respite.toml"], arguments].concat());
    assert!(done, "{arguments:?}: {said}");
    said
}

#[track_caller]
fn fails(folder: &Path, arguments: &[&str], why: &str) {
    let (done, said) = respite(folder, &[&["--config", "respite.toml"], arguments].concat());
    assert!(!done && said.contains(why), "{arguments:?}: {said}");
}

/// The program, serving. It does not outlive a test that fails.
struct Serving {
    running: Child,
    channel: Channel,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}

impl Serving {
    async fn start(folder: &Path) -> Self {
        let mut running = Command::new(env!("CARGO_BIN_EXE_respite"))
            .current_dir(folder)
            .args(["--config", "respite.toml", "serve"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(running.stderr.take().unwrap()).lines();
        let line = said.by_ref().map(Result::unwrap).find(|line| line.contains("listening ")).unwrap();
        let address = line.split("address=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        // The pipe is read to its end, so that the program never waits for a reader.
        std::thread::spawn(move || said.for_each(drop));
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { running, channel }
    }

    /// Signs in as whom the provider calls `subject`, and lists therapists, as operators alone may.
    async fn lists_therapists_as(&self, fake: &Fake, subject: &str) -> Result<(), Refusal> {
        let mut aliases = AliasServiceClient::new(self.channel.clone());
        let begun = aliases.begin_id_token_login(v1::BeginIdTokenLoginRequest {}).await?.into_inner();
        let id_token = fake.token(subject, &begun.nonce, Clock::System.now().timestamp());
        let finish = v1::FinishIdTokenLoginRequest { challenge: begun.challenge, id_token };
        let token = aliases.finish_id_token_login(finish).await?.into_inner().access_token;
        let mut list = tonic::Request::new(v1::ListTherapistsRequest::default());
        list.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        DirectoryServiceClient::new(self.channel.clone()).list_therapists(list).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staff_are_linked_by_commands_and_sign_in_where_the_settings_say() {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path();
    let fake = Fake::start().await;
    let settings = |issuer: &str| {
        let settings = format!(
            "listen = \"127.0.0.1:0\"\n[telemetry]\nlog_format = \"text\"\n\
             [staff.oidc]\nissuer = \"{issuer}\"\nclient_id = \"{}\"\n",
            provider::CLIENT_ID
        );
        fs::write(folder.join("respite.toml"), settings).unwrap();
    };
    settings(&fake.issuer);
    succeeds(folder, &["check-config"]);
    let told = format!("may sign in at {}, which tells its keys", fake.issuer);
    assert!(succeeds(folder, &["doctor"]).contains(&told));

    let create = ["operator", "create", "--label", "olga"];
    fails(folder, &create, "--public-key <HEX>");
    let olga = succeeds(folder, &[&create[..], &["--oidc-subject", "olga"]].concat());
    let olga = olga.split_whitespace().next().unwrap();
    fails(folder, &["operator", "create", "--label", "x", "--oidc-subject", "olga"], "signs in by this name");

    let serving = Serving::start(folder).await;
    serving.lists_therapists_as(&fake, "olga").await.unwrap();
    succeeds(folder, &["identity", "link", "--operator", olga, "--subject", "olga@practice.example"]);
    let refused = serving.lists_therapists_as(&fake, "olga").await.unwrap_err();
    assert_eq!(refused.reason, "LOGIN_REFUSED");
    serving.lists_therapists_as(&fake, "olga@practice.example").await.unwrap();
    succeeds(folder, &["identity", "unlink", "--operator", olga]);
    let refused = serving.lists_therapists_as(&fake, "olga@practice.example").await.unwrap_err();
    assert_eq!(refused.reason, "LOGIN_REFUSED");

    // A key besides, which a client signs in with; but over the wire no operator links another.
    let key = Secret::generate().login_key();
    let hex = HEXLOWER.encode(key.verifying_key().as_bytes());
    let both = ["operator", "create", "--label", "otto", "--public-key", &hex, "--oidc-subject", "otto"];
    succeeds(folder, &both);
    serving.lists_therapists_as(&fake, "otto").await.unwrap();
    let otto = Client::over(serving.channel.clone()).login(key).await.unwrap();
    let link = v1::LinkIdentityRequest {
        request_id: request_id(),
        staff: Some(v1::link_identity_request::Staff::TherapistId(olga.to_owned())),
        subject: "olga".to_owned(),
    };
    let refused = Refusal::from(otto.alias().link_identity(link).await.unwrap_err());
    assert_eq!(refused.reason, "NOT_FOUND");
    succeeds(folder, &["identity", "link", "--operator", olga, "--subject", "olga"]);
    serving.lists_therapists_as(&fake, "olga").await.unwrap();

    // Who is named, and how.
    let nobody = request_id();
    fails(folder, &["identity", "link", "--subject", "ada"], "--therapist <ID>");
    fails(folder, &["identity", "unlink", "--operator", olga, "--therapist", olga], "cannot be used with");
    fails(folder, &["identity", "link", "--operator", olga, "--subject", ""], "--subject is empty");
    fails(folder, &["identity", "link", "--therapist", olga, "--subject", "ada"], "no such therapist");
    fails(folder, &["identity", "unlink", "--programme", &nobody], "no such programme");
    fails(folder, &["therapist", "replace-key", &nobody, "--public-key", &hex], "no such therapist");
    let log = succeeds(folder, &["audit", "list"]);
    assert_eq!(
        (log.matches("unlink_identity").count(), log.matches(" link_identity").count()),
        (1, 4),
        "{log}"
    );

    fake.is_away(true);
    fails(folder, &["doctor"], &format!("cannot sign in at {}: the provider answers 503", fake.issuer));
    settings("http://login.practice.example");
    fails(folder, &["check-config"], "respite.toml:5: issuer: an https address without user");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_provider_hangs_workers_book() {
    let files = tempfile::tempdir().unwrap();
    // The system takes its connections, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = format!(
        "listen = \"127.0.0.1:0\"\n[alias]\nproof_of_work_bits = 1\n[telemetry]\nlog_format = \"text\"\n\
         [limits]\ncalls_at_once = 16\nrequests_per_connection = 100\nstreams_per_connection = 100\n\
         [staff.oidc]\nissuer = \"http://{}\"\nclient_id = \"{}\"\n",
        silent.local_addr().unwrap(),
        provider::CLIENT_ID
    );
    fs::write(files.path().join("respite.toml"), settings).unwrap();
    let serving = Serving::start(files.path()).await;
    let anybody = Client::over(serving.channel.clone());
    let key = Secret::generate().login_key();
    anybody.create_alias(&key).await.unwrap();
    let worker = anybody.login(key).await.unwrap();

    let begun = anybody.alias().begin_id_token_login(v1::BeginIdTokenLoginRequest {}).await.unwrap();
    let v1::BeginIdTokenLoginResponse { challenge, nonce, .. } = begun.into_inner();
    let id_token = Fake::start().await.token("olga", &nonce, Clock::System.now().timestamp());
    let finish = v1::FinishIdTokenLoginRequest { challenge, id_token };
    let mut logins: FuturesUnordered<_> = (0..64)
        .map(|_| {
            let (mut aliases, finish) = (AliasServiceClient::new(serving.channel.clone()), finish.clone());
            async move { aliases.finish_id_token_login(finish).await }
        })
        .collect();
    // All that are refused for those that wait.
    let mut refused = 0;
    while refused < 64 - 16
        && let Some(answer) = logins.next().await
    {
        refused += usize::from(Refusal::from(answer.unwrap_err()).reason == "OVERLOADED");
    }
    assert!(refused > 0);
    let hold = worker.bookings().hold_slot(v1::HoldSlotRequest::default()).await.unwrap_err();
    assert_eq!(hold.code(), Code::InvalidArgument);
}
