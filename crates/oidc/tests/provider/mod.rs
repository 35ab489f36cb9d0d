//! Providers to sign in at: one that says whatever a test wants, and a real one, the certified `oidc-provider`.
//!
//! The stories of the booking side and of the issuer take this file in by its path: between those two there is no edge.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use data_encoding::BASE64URL_NOPAD;
use oidc::{Authorization, Provider, ProviderSettings};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

pub(crate) const CLIENT_ID: &str = "respite";
const PROVIDER: &str = include_str!("../../../../tests/clients/web/provider.mjs");

/// A provider on this machine whose keys and answers a test makes.
pub(crate) struct Fake {
    pub(crate) issuer: String,
    pub(crate) key: Key,
    answers: Arc<Mutex<Answers>>,
}

/// A key of its own kind, made for a test.
pub(crate) struct Key {
    pub(crate) id: String,
    pair: EcdsaKeyPair,
}

#[derive(Default)]
struct Answers {
    keys: Vec<Value>,
    away: bool,
    asked: usize,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let key = Key::generate("first");
        let answers = Arc::new(Mutex::new(Answers { keys: vec![key.jwk()], ..Default::default() }));
        let (serving, own) = (answers.clone(), issuer.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let length = stream.read(&mut head).await.unwrap_or_default();
                let path = String::from_utf8_lossy(&head[..length]).split(' ').nth(1).map(str::to_owned);
                let (status, body) =
                    serving.lock().unwrap().answer(&own, path.as_deref().unwrap_or_default());
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { issuer, key, answers }
    }

    pub(crate) fn settings(&self) -> ProviderSettings {
        let (issuer, client_id) = (self.issuer.clone(), CLIENT_ID.to_owned());
        ProviderSettings { issuer, client_id, ca_file: None }
    }

    /// What a provider says of `subject`, who signed in a moment before `now`.
    pub(crate) fn claims(&self, subject: &str, nonce: &str, now: i64) -> Value {
        json!({
            "iss": self.issuer, "sub": subject, "aud": CLIENT_ID, "nonce": nonce,
            "iat": now - 5, "exp": now + 300,
        })
    }

    /// The same, signed.
    pub(crate) fn token(&self, subject: &str, nonce: &str, now: i64) -> String {
        self.key.sign(&self.claims(subject, nonce, now))
    }

    /// Publishes these keys and no others.
    pub(crate) fn publish(&self, keys: Vec<Value>) {
        self.answers.lock().unwrap().keys = keys;
    }

    /// Whether it answers nothing but errors.
    pub(crate) fn is_away(&self, away: bool) {
        self.answers.lock().unwrap().away = away;
    }

    /// How often it was asked for its keys.
    pub(crate) fn asked(&self) -> usize {
        self.answers.lock().unwrap().asked
    }
}

impl Answers {
    fn answer(&mut self, issuer: &str, path: &str) -> (&'static str, String) {
        match path {
            _ if self.away => ("503 Service Unavailable", String::new()),
            "/.well-known/openid-configuration" => {
                let metadata = json!({
                    "issuer": issuer,
                    "jwks_uri": format!("{issuer}/keys"),
                    "authorization_endpoint": format!("{issuer}/authorize"),
                    "token_endpoint": format!("{issuer}/token"),
                });
                ("200 OK", metadata.to_string())
            }
            "/keys" => {
                self.asked += 1;
                ("200 OK", json!({ "keys": self.keys }).to_string())
            }
            _ => ("302 Found\r\nlocation: /keys", String::new()),
        }
    }
}

impl Key {
    pub(crate) fn generate(id: &str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Self { id: id.to_owned(), pair }
    }

    pub(crate) fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|half| BASE64URL_NOPAD.encode(half));
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id, "x": x, "y": y })
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_under(&json!({ "alg": "ES256", "kid": self.id }), claims)
    }

    /// Signs under whatever header.
    pub(crate) fn sign_under(&self, header: &Value, claims: &Value) -> String {
        let signed = signed(header, claims);
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }
}

/// What a signature is over.
pub(crate) fn signed(header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
    format!("{}.{}", encode(header), encode(claims))
}

/// The certified provider, and a browser, in a process of their own that ends with this.
pub(crate) struct Real {
    pub(crate) issuer: String,
    said: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Real {
    pub(crate) async fn start() -> Self {
        let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let tools = folders
            .map(|folder| folder.join("target/tools/web"))
            .find(|tools| tools.join("node_modules/oidc-provider").is_dir())
            .expect(
                "this needs the provider that tests/tools.sh installs into target/tools: run tests/run tools",
            );
        // Modules of a script without a file are found from where it runs.
        let mut process = Command::new("node")
            .args(["--input-type=module", "--eval", PROVIDER])
            .current_dir(tools)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("this needs Node.js, as the web clients do");
        let said = process.stdin.take().unwrap();
        let mut answers = BufReader::new(process.stdout.take().unwrap()).lines();
        let issuer = answers.next_line().await.unwrap().expect("the provider starts");
        Self { issuer, said, answers, _process: process }
    }

    pub(crate) fn settings(&self) -> ProviderSettings {
        let (issuer, client_id) = (self.issuer.clone(), CLIENT_ID.to_owned());
        ProviderSettings { issuer, client_id, ca_file: None }
    }

    /// An ID token for somebody, as their device gets it through the browser.
    pub(crate) async fn sign_in(&mut self, subject: &str, nonce: &str) -> String {
        let provider = Provider::new(&self.settings()).unwrap();
        let authorization = Authorization::begin(&provider, "http://127.0.0.1/back", nonce).await.unwrap();
        self.said.write_all(format!("{subject} {}\n", authorization.url).as_bytes()).await.unwrap();
        let returned = self.answers.next_line().await.unwrap().expect("the browser comes back");
        authorization.finish(&provider, &returned.parse().unwrap()).await.unwrap()
    }
}
