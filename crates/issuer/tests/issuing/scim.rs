//! E3: who is eligible as the identity provider says, by the requests that Entra ID and Okta publish.

use std::sync::Arc;

use api::issuer::v1::issuer_service_client::IssuerServiceClient;
use data_encoding::BASE64;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use issuer::scim::{self, StaffNumber};
use issuer::{Mode, audit};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tonic::Code as Grpc;
use tonic::transport::Channel;

use crate::process::{Hospital, run};
use crate::world::{HEADER, World, check_refused, roster};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// An identity provider, which speaks HTTP/1.1.
pub(crate) struct Provider {
    address: String,
    token: String,
    tls: Option<Arc<ClientConfig>>,
}

impl Provider {
    pub(crate) fn new(address: &str, token: &str) -> Self {
        Self { address: address.to_owned(), token: token.to_owned(), tls: None }
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, HeaderMap, Value) {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        match &self.tls {
            None => self.ask(stream, method, path, body).await,
            Some(tls) => {
                let name = ServerName::try_from("localhost").unwrap();
                let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.unwrap();
                self.ask(stream, method, path, body).await
            }
        }
    }

    async fn ask(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, HeaderMap, Value) {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("/scim/v2{path}"))
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/scim+json; charset=utf-8")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        (head.status, head.headers, body)
    }

    async fn succeed(&self, method: Method, path: &str, body: Option<Value>, status: u16) -> Value {
        let (found, headers, body) = self.send(method, path, body).await;
        assert_eq!(found.as_u16(), status, "{path}: {body}");
        if status != 204 {
            assert_eq!(headers["content-type"], "application/scim+json");
        }
        body
    }

    async fn refused(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        status: u16,
        kind: Option<&str>,
    ) {
        let (found, _, body) = self.send(method, path, body.clone()).await;
        assert_eq!(found.as_u16(), status, "{path}: {body}");
        assert_eq!(body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
        assert_eq!(body["status"], status.to_string());
        assert_eq!(body["scimType"].as_str(), kind, "{body}");
    }

    async fn create(&self, user: Value) -> String {
        self.succeed(Method::POST, "/Users", Some(user), 201).await["id"].as_str().unwrap().to_owned()
    }

    async fn patch(&self, id: &str, operations: Value) -> Value {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": operations,
        });
        self.succeed(Method::PATCH, &format!("/Users/{id}"), Some(body), 200).await
    }

    async fn find(&self, filter: &str) -> Value {
        let query: String = url_encode(filter);
        self.succeed(Method::GET, &format!("/Users?filter={query}&startIndex=1&count=100"), None, 200).await
    }
}

fn url_encode(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}

/// As Entra ID sends it with its default mappings, and a staff number.
fn entra_user(number: usize) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
        "externalId": format!("canary-external-{number}"),
        "userName": format!("Canary.User.{number}@hospital.example"),
        "active": true,
        "displayName": "canary display",
        "emails": [{"primary": true, "type": "work", "value": "canary@hospital.example"}],
        "meta": {"resourceType": "User"},
        "name": {"formatted": "canary given family", "familyName": "canary family", "givenName": "canary given"},
        "roles": [],
        ENTERPRISE: {"employeeNumber": format!("N-{number}"), "department": "canary ward"},
    })
}

/// As Okta sends it with its default mappings.
fn okta_user(name: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": name,
        "name": {"givenName": "Given", "familyName": "Family"},
        "emails": [{"primary": true, "value": name, "type": "work"}],
        "displayName": "Given Family",
        "locale": "en-US",
        "externalId": "00u1dhhb1fkIGP7RL1d8",
        "groups": [],
        "password": "1mz050nq",
        "active": true,
    })
}

fn token(hospital: &Hospital, staff_number: &str) -> String {
    let made = run(hospital.folder.path(), &["scim", "token", "--staff-number", staff_number]);
    assert!(made.status.success());
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

async fn issue(
    client: &IssuerServiceClient<Channel>,
    hospital: &Hospital,
    employee_id: &str,
) -> Result<(), tonic::Status> {
    let (_, code) = hospital.codes.iter().find(|(id, _)| id == employee_id).unwrap();
    client.clone().issue_passes(hospital.batch(code, 2).request).await.map(drop)
}

/// Entra ID's published requests, from the test of the connection until somebody has left.
#[tokio::test(flavor = "multi_thread")]
async fn entra_id_provisions_changes_and_disables() {
    let hospital = Hospital::new(&roster(0..60), 2);
    let token = token(&hospital, "employee-number");
    let process = hospital.serve_with(&["--scim-listen", "127.0.0.1:0"]).await;
    let entra = Provider::new(process.scim.as_ref().unwrap(), &token);

    let none = entra.find(r#"userName eq "non-existent user""#).await;
    assert_eq!((&none["totalResults"], &none["Resources"]), (&json!(0), &json!([])));
    assert_eq!(none["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:ListResponse"]));
    entra.succeed(Method::GET, "/Groups?excludedAttributes=members", None, 200).await;
    // The file that was imported before says nothing any more.
    check_refused(issue(&process.client, &hospital, "N-1").await, Grpc::Unauthenticated, "CODE_REFUSED");

    let mut ids = Vec::new();
    for number in 0..55 {
        ids.push(entra.create(entra_user(number)).await);
    }
    issue(&process.client, &hospital, "N-1").await.unwrap();
    check_refused(issue(&process.client, &hospital, "N-55").await, Grpc::Unauthenticated, "CODE_REFUSED");

    let created = entra.succeed(Method::POST, "/Users", Some(entra_user(55)), 201).await;
    assert_eq!(created["userName"], "Canary.User.55@hospital.example");
    assert_eq!(created["externalId"], "canary-external-55");
    assert_eq!((&created["active"], &created[ENTERPRISE]["employeeNumber"]), (&json!(true), &json!("N-55")));
    assert_eq!(created["meta"]["resourceType"], "User");
    let id = created["id"].as_str().unwrap();
    issue(&process.client, &hospital, "N-55").await.unwrap();
    entra.refused(Method::POST, "/Users", Some(entra_user(55)), 409, Some("uniqueness")).await;

    for filter in [
        r#"userName eq "canary.user.55@HOSPITAL.example""#.to_owned(),
        r#"externalId eq "canary-external-55""#.to_owned(),
        format!(r#"{ENTERPRISE}:employeeNumber eq "N-55""#),
    ] {
        let found = entra.find(&filter).await;
        assert_eq!(
            (&found["totalResults"], &found["Resources"][0]["id"]),
            (&json!(1), &json!(id)),
            "{filter}"
        );
    }
    let read = entra.succeed(Method::GET, &format!("/Users/{id}"), None, 200).await;
    assert_eq!((&read["id"], &read["userName"], &read["active"]), (&json!(id), &json!(id), &json!(true)));

    // What is about names changes nothing; a new name of the account is known by it.
    entra
        .patch(
            id,
            json!([
                {"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "canary2@hospital.example"},
                {"op": "Replace", "path": "name.familyName", "value": "canary second"},
            ]),
        )
        .await;
    let renamed =
        entra.patch(id, json!([{"op": "Replace", "path": "userName", "value": "canary.new@x.example"}]));
    assert_eq!(renamed.await["userName"], "canary.new@x.example");
    assert_eq!(entra.find(r#"userName eq "canary.new@x.example""#).await["Resources"][0]["id"], id);
    assert_eq!(entra.find(r#"userName eq "Canary.User.55@hospital.example""#).await["totalResults"], 0);

    // Disabled in each of the ways that are sent, and enabled again.
    let client = &process.client;
    for (number, value, path) in
        [(2, json!(false), true), (3, json!("False"), true), (4, json!({"active": "False"}), false)]
    {
        let operation = if path {
            json!({"op": "Replace", "path": "active", "value": value})
        } else {
            json!({"op": "Replace", "value": value})
        };
        assert_eq!(entra.patch(&ids[number], json!([operation])).await["active"], false);
        let found = entra.find(&format!(r#"userName eq "Canary.User.{number}@hospital.example""#)).await;
        assert_eq!(found["Resources"][0]["active"], false);
        let name = format!("N-{number}");
        check_refused(issue(client, &hospital, &name).await, Grpc::Unauthenticated, "CODE_REFUSED");
    }
    entra.patch(&ids[2], json!([{"op": "Replace", "path": "active", "value": "True"}])).await;
    issue(client, &hospital, "N-2").await.unwrap();

    // Who asked has asked, whatever becomes of the account.
    entra.succeed(Method::DELETE, &format!("/Users/{}", ids[1]), None, 204).await;
    entra.refused(Method::GET, &format!("/Users/{}", ids[1]), None, 404, None).await;
    entra.refused(Method::DELETE, &format!("/Users/{}", ids[1]), None, 404, None).await;
    entra.create(entra_user(1)).await;
    check_refused(issue(client, &hospital, "N-1").await, Grpc::AlreadyExists, "OTHER_BATCH_ISSUED");

    let said = process.end("-TERM");
    assert!(
        !said.to_lowercase().contains("canary") && !said.contains("N-1") && !said.contains(&token),
        "{said}"
    );
    let database = std::fs::read(hospital.folder.path().join("issuer/issuer.db")).unwrap();
    for canary in [&b"anary"[..], b"hospital.example", token.as_bytes(), b"N-5"] {
        assert!(!database.windows(canary.len()).any(|window| window == canary));
    }
}

/// Okta's published requests, those of its test of an integration among them.
#[tokio::test(flavor = "multi_thread")]
async fn okta_provisions_pages_and_deactivates() {
    let hospital = Hospital::new(&roster(0..50), 2);
    let token = token(&hospital, "user-name");
    let process = hospital.serve_with(&["--scim-listen", "127.0.0.1:0"]).await;
    let okta = Provider::new(process.scim.as_ref().unwrap(), &token);
    let name = "test.user@okta.local";
    assert_eq!(okta.find(&format!("userName eq \"{name}\"")).await["totalResults"], 0);
    let created = okta.succeed(Method::POST, "/Users", Some(okta_user(name)), 201).await;
    let id = created["id"].as_str().unwrap();
    assert_eq!((&created["userName"], &created["active"]), (&json!(name), &json!(true)));
    assert_eq!(created["password"], Value::Null);
    okta.refused(Method::POST, "/Users", Some(okta_user(name)), 409, Some("uniqueness")).await;
    for number in 0..4 {
        let mut user = okta_user(&format!("other.{number}@okta.local"));
        user["externalId"] = json!(format!("00u{number}"));
        okta.create(user).await;
    }

    let mut seen = std::collections::HashSet::new();
    for (start, length) in [(1, 2), (3, 2), (5, 1), (7, 0)] {
        let page = okta.succeed(Method::GET, &format!("/Users?startIndex={start}&count=2"), None, 200).await;
        assert_eq!((&page["totalResults"], &page["startIndex"]), (&json!(5), &json!(start)));
        assert_eq!(page["itemsPerPage"], length);
        let users = page["Resources"].as_array().unwrap();
        assert!(users.iter().all(|user| seen.insert(user["id"].as_str().unwrap().to_owned())));
    }
    assert!(seen.len() == 5 && seen.contains(id));

    // It reads, changes what it knows better, and writes the whole of it back.
    let mut read = okta.succeed(Method::GET, &format!("/Users/{id}"), None, 200).await;
    read["active"] = json!(false);
    let put = okta.succeed(Method::PUT, &format!("/Users/{id}"), Some(read), 200).await;
    assert_eq!((&put["id"], &put["active"]), (&json!(id), &json!(false)));
    assert_eq!(okta.find(&format!("userName eq \"{name}\"")).await["Resources"][0]["active"], false);
    let put = okta.succeed(Method::PUT, &format!("/Users/{id}"), Some(okta_user(name)), 200).await;
    assert_eq!((&put["userName"], &put["active"]), (&json!(name), &json!(true)));
    let gone = okta.patch(id, json!([{"op": "replace", "value": {"active": false}}])).await;
    assert_eq!((&gone["id"], &gone["active"]), (&json!(id), &json!(false)));
    okta.refused(Method::GET, "/Users/010101001010101011001010101011", None, 404, None).await;
    process.end("-TERM");
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_by_its_kind() {
    let world = World::without_period(Mode::Roster).await;
    let issuer = world.serve().await;
    let provider = issuer.provider(&world, StaffNumber::ExternalId).await;
    let id = provider.create(okta_user("a@x")).await;
    let user = format!("/Users/{id}");
    let check = async |method: Method, path: &str, body: Value, status, kind| {
        provider.refused(method, path, Some(body), status, kind).await;
    };
    let patch = |operation: Value| json!({"Operations": [operation]});
    check(Method::POST, "/Users", json!([]), 400, Some("invalidSyntax")).await;
    check(Method::POST, "/Users", json!({"externalId": "b"}), 400, Some("invalidValue")).await;
    check(Method::POST, "/Users", json!({"userName": "b"}), 400, Some("invalidValue")).await;
    check(Method::POST, "/Users", json!({"userName": "b", "externalId": "=1"}), 400, Some("invalidValue"))
        .await;
    check(Method::POST, "/Users", json!({"userName": "A@X", "externalId": "b"}), 409, Some("uniqueness"))
        .await;
    check(Method::PUT, &user, json!({"active": 1}), 400, Some("invalidValue")).await;
    check(Method::PUT, "/Users/7", json!({}), 404, None).await;
    check(Method::PATCH, &user, patch(json!({"op": "remove"})), 400, Some("noTarget")).await;
    check(Method::PATCH, &user, patch(json!({"op": "remove", "path": "userName"})), 400, Some("mutability"))
        .await;
    check(Method::PATCH, &user, patch(json!({"op": "rename"})), 400, Some("invalidSyntax")).await;
    check(Method::GET, "/Users?filter=title%20pr", json!({}), 400, Some("invalidFilter")).await;
    check(Method::GET, "/Bulk", json!({}), 404, None).await;
    let number = format!("/Users?filter={}", url_encode(&format!("{ENTERPRISE}:employeeNumber eq \"7\"")));
    check(Method::GET, &number, json!({}), 400, Some("invalidFilter")).await;
    let large = json!({"userName": "b", "externalId": "b", "title": "x".repeat(70_000)});
    check(Method::POST, "/Users", large, 413, None).await;

    // Who has another token, or one that was replaced, sees no address at all.
    let second = issuer.provider(&world, StaffNumber::ExternalId).await;
    provider.refused(Method::GET, &user, None, 401, None).await;
    provider.refused(Method::GET, "/Nothing", None, 401, None).await;
    let (_, headers, _) = provider.send(Method::GET, "/Schemas", None).await;
    assert_eq!(headers["www-authenticate"], "Bearer");
    second.succeed(Method::GET, &user, None, 200).await;
    for path in ["/ServiceProviderConfig", "/ResourceTypes", "/ResourceTypes/User", "/Schemas"] {
        second.succeed(Method::GET, path, None, 200).await;
    }
    let schemas = second.succeed(Method::GET, "/Schemas", None, 200).await;
    assert_eq!(schemas["totalResults"], 2);
}

/// One source at a time says who is eligible, and the audit log says how much, by days and never of whom.
#[tokio::test]
async fn a_roster_comes_from_one_source_and_its_days_are_audited() {
    let world = World::without_period(Mode::Roster).await;
    world.import(&roster(0..3)).await.unwrap();
    let issuer = world.serve().await;
    let provider = issuer.provider(&world, StaffNumber::EmployeeNumber).await;
    let refused = world.import(&roster(0..3)).await.unwrap_err();
    assert!(matches!(refused, issuer::Error::ComesByScim));
    let other = scim::make_token(&world.app, StaffNumber::UserName).await.unwrap_err();
    assert!(matches!(other, issuer::Error::OtherStaffNumber));

    let id = provider.create(entra_user(1)).await;
    provider.create(entra_user(2)).await;
    world.code("N-1").await;
    world.is("2026-10-02");
    // A new staff number is another worker.
    provider
        .patch(
            &id,
            json!([{"op": "Replace", "path": format!("{ENTERPRISE}:employeeNumber"), "value": "N-9"}]),
        )
        .await;
    world.code("N-9").await;
    provider.patch(&id, json!([{"op": "Replace", "path": "active", "value": "False"}])).await;
    provider.patch(&id, json!([{"op": "Replace", "path": "active", "value": "False"}])).await;
    scim::turn_off(&world.app).await.unwrap();
    provider.refused(Method::GET, "/Users", None, 401, None).await;
    world.import(HEADER).await.unwrap();

    let entries = audit::entries(&world.app).await.unwrap();
    audit::verify(&entries, None).unwrap();
    let actions: Vec<_> = entries.iter().map(|entry| &*entry.action).collect();
    assert_eq!(
        actions,
        [
            "created for roster",
            "roster imported: 3 workers, 3 of them new, 0 gone",
            "token made for SCIM, with employee-number as the staff number",
            "codes made for the roster: 1, of them in place of older ones: 0",
            "by SCIM, on 2026-10-01: 2 added, 0 removed",
            "codes made for the roster: 1, of them in place of older ones: 0",
            "by SCIM, on 2026-10-02: 1 added, 2 removed",
            "SCIM turned off",
            "roster imported: 0 workers, 0 of them new, 1 gone",
        ]
    );
}

/// Many identity providers offer HTTP/1.1 alone, also under TLS.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_certificate_an_identity_provider_needs_no_http_2() {
    let hospital = Hospital::new(&roster(0..50), 2);
    let token = token(&hospital, "user-name");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem =
        |label, der| format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64.encode(der));
    let file = |name| hospital.folder.path().join(name);
    std::fs::write(file("cert.pem"), pem("CERTIFICATE", made.cert.der())).unwrap();
    std::fs::write(file("cert.key"), pem("PRIVATE KEY", made.signing_key.serialized_der())).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let arguments =
        ["--scim-listen", "127.0.0.1:0", "--tls-certificate", "cert.pem", "--tls-key", "cert.key"];
    let (_running, _said, addresses) = hospital.spawn(&arguments);
    let provider = Provider { address: addresses[1].clone(), token, tls: Some(Arc::new(tls)) };
    provider.create(okta_user("a@x")).await;
    assert_eq!(provider.find("userName eq \"a@x\"").await["totalResults"], 1);
}
