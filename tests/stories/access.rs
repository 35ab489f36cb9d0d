//! Who may call what, what is somebody else's, and how tokens begin and end.

mod matrix;
mod objects;
mod table;
mod visitors;
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use api::v1::{self, alias_service_client::AliasServiceClient};
use chrono::TimeDelta;
use client::{Refusal, Secret, SigningKey, request_id};
use e2e::{Worker, World, channel, finish_login, sign_in, time, timestamp, with_token};
use ed25519_dalek::Signer;
use prost::Message;
use services::{POLICIES, Policy};
use tonic::{Code, Request, Response, Status, client::Grpc, transport::Channel};

const BERLIN: &str = "Europe/Berlin";
const NOW: &str = "2026-03-20T09:00:00Z";

#[test]
fn every_method_has_one_policy_and_no_policy_lacks_a_method() {
    let files = prost_types::FileDescriptorSet::decode(api::DESCRIPTORS).unwrap();
    let mut methods = Vec::new();
    for file in &files.file {
        for service in &file.service {
            let path = |method: &prost_types::MethodDescriptorProto| {
                format!("/{}.{}/{}", file.package(), service.name(), method.name())
            };
            methods.extend(service.method.iter().map(path));
        }
    }
    methods.sort();
    let rows: Vec<_> = POLICIES.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(rows, methods);
}

/// The table is what the contract says: who is let in without a token, and who must be an operator.
#[test]
fn the_contract_says_which_calls_are_open_and_which_are_the_operators() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/respite/v1");
    let mut said = BTreeMap::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let (mut service, mut comment) = ("", String::new());
        for line in text.lines().map(str::trim) {
            if let Some(words) = line.strip_prefix("//") {
                comment.push_str(words);
                continue;
            }
            if let Some(rest) = line.strip_prefix("service ") {
                service = rest.trim_end_matches(" {");
            } else if let Some(rest) = line.strip_prefix("rpc ") {
                let path = format!("/respite.v1.{service}/{}", rest.split('(').next().unwrap());
                said.insert(path, (comment.contains("Needs no token"), comment.contains("Operators.")));
            }
            comment.clear();
        }
    }
    for (path, policy) in POLICIES {
        let open = matches!(policy, Policy::Open | Policy::OpenToStaff | Policy::Public);
        assert_eq!(said.remove(path), Some((open, policy == Policy::Operator)), "{path}");
    }
    assert!(said.is_empty(), "{said:?}");
}

e2e::stories! {
    async fn a_path_outside_the_table_is_not_answered(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let channel = channel(world.address).await;
        for path in ["/respite.v1.AliasService/Nothing", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/"] {
            let refused = say_nothing(&channel, path, None).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unimplemented, "{path}");
        }
    }

    async fn a_therapist_nobody_verified_is_not_there_for_others(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await;
        let own = v1::GetTherapistRequest { therapist_id: ada.id.clone() };
        let profile = ada.client.directory().get_therapist(own.clone()).await.unwrap().into_inner().therapist.unwrap();
        assert_eq!(profile.credentials[0].licence_number, "PT-4711");
        let public = world.anybody().await.directory().get_therapist(own.clone()).await.unwrap().into_inner().therapist.unwrap();
        assert_eq!(public.credentials[0].licence_number, "");
        assert!(public.exclusion_tags.is_empty());

        let credential_id = profile.credentials[0].id.clone();
        let unverify = v1::VerifyCredentialRequest { request_id: request_id(), credential_id, verified: false };
        world.operator().await.directory().verify_credential(unverify).await.unwrap();
        let (anybody, worker) = (world.anybody().await, world.worker().await);
        for client in [&anybody, &worker.client] {
            hidden("GetTherapist", &ada.id, async |therapist_id| {
                client.directory().get_therapist(v1::GetTherapistRequest { therapist_id }).await
            }).await;
        }
        ada.client.directory().get_therapist(own.clone()).await.unwrap();
        world.operator().await.directory().get_therapist(own).await.unwrap();
    }

    async fn where_a_page_ends_is_told_to_one_caller_of_one_list(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let (nurse, porter) = (world.worker().await, world.worker().await);
        for start in ["2026-03-23T08:00:00Z", "2026-03-23T10:00:00Z"] {
            nurse.books(&ada, start).await.unwrap();
        }
        let list = async |worker: &Worker, page_token: &str, from: Option<&str>| {
            let start_time = from.map(|from| timestamp(time(from)));
            let request = v1::ListBookingsRequest { start_time, page_size: 1, page_token: page_token.to_owned() };
            let listed = worker.client.bookings().list_bookings(request).await;
            listed.map(Response::into_inner).map_err(Refusal::from)
        };
        let token = list(&nurse, "", None).await.unwrap().next_page_token;
        assert_eq!(list(&nurse, &token, None).await.unwrap().bookings.len(), 1);
        let nobodys = list(&nurse, "AAAA", None).await.unwrap_err();
        assert_eq!(nobodys.reason, "PAGE_TOKEN_INVALID");
        assert_eq!(list(&porter, &token, None).await.unwrap_err(), nobodys);
        assert_eq!(list(&nurse, &token, Some(NOW)).await.unwrap_err(), nobodys);
    }

    async fn a_token_lasts_a_quarter_of_an_hour_and_five_hold_at_a_time(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let (channel, key) = (channel(world.address).await, key());
        world.anybody().await.create_alias(&key).await.unwrap();
        let first = sign_in(&channel, &key).await;
        world.pass(TimeDelta::seconds(15 * 60 - 1));
        assert!(holds(&channel, &first).await);
        world.pass(TimeDelta::seconds(1));
        assert!(!holds(&channel, &first).await);

        // Each a second later, so that it is known which would end first.
        let mut tokens = Vec::new();
        for _ in 0..6 {
            tokens.push(sign_in(&channel, &key).await);
            world.pass(TimeDelta::seconds(1));
        }
        let mut held = Vec::new();
        for token in &tokens {
            held.push(holds(&channel, token).await);
        }
        assert_eq!(held, [false, true, true, true, true, true]);

        // Logging out ends the one it is called with.
        let request = with_token(v1::LogoutRequest {}, &tokens[3]);
        AliasServiceClient::new(channel.clone()).logout(request).await.unwrap();
        assert!(!holds(&channel, &tokens[3]).await);
        assert!(holds(&channel, &tokens[4]).await);
    }

    async fn signing_in_is_refused_in_one_way_whatever_is_wrong(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let (channel, key, stranger) = (channel(world.address).await, key(), key());
        world.anybody().await.create_alias(&key).await.unwrap();
        let begin = async |key: &SigningKey| {
            let request = v1::BeginLoginRequest { public_key: public(key) };
            AliasServiceClient::new(channel.clone()).begin_login(request).await.unwrap().into_inner()
        };
        let finish = async |request: v1::FinishLoginRequest| {
            let answer = AliasServiceClient::new(channel.clone()).finish_login(request).await;
            answer.map_err(Refusal::from).map(|_| ())
        };

        let used = finish_login(&key, &begin(&key).await);
        finish(used.clone()).await.unwrap();
        let signed_by_another = finish_login(&stranger, &begin(&key).await);
        let mut of_another_server = begin(&key).await;
        "elsewhere".clone_into(&mut of_another_server.audience);
        let mut garbled = finish_login(&key, &begin(&key).await);
        garbled.signature[10] ^= 1;
        let mut forged = begin(&key).await;
        forged.challenge[0] ^= 1;
        let made = v1::BeginCreateAliasRequest { public_key: public(&key) };
        let made = AliasServiceClient::new(channel.clone()).begin_create_alias(made).await.unwrap().into_inner();
        let of_another_kind = v1::BeginLoginResponse { challenge: made.challenge, audience: "respite-test".to_owned() };
        let expired = finish_login(&key, &begin(&key).await);

        let tokens = world.count("select count(*) from access_token").await;
        let cases = [
            ("unknown key", finish_login(&stranger, &begin(&stranger).await)),
            ("used twice", used),
            ("signed by another", v1::FinishLoginRequest { public_key: public(&key), ..signed_by_another }),
            ("for another key", finish_login(&stranger, &begin(&key).await)),
            ("for another server", finish_login(&key, &of_another_server)),
            ("garbled", garbled),
            ("forged", finish_login(&key, &forged)),
            ("of another kind", finish_login(&key, &of_another_kind)),
        ];
        let mut answers = Vec::new();
        for (case, request) in cases {
            let refused = finish(request).await.expect_err(case);
            assert_eq!((refused.code, refused.reason.as_str()), (Code::Unauthenticated, "LOGIN_REFUSED"), "{case}");
            answers.push((refused.message, refused.metadata.len(), refused.violations.len()));
        }
        world.pass(TimeDelta::minutes(2));
        let late = finish(expired).await.unwrap_err();
        answers.push((late.message, late.metadata.len(), late.violations.len()));
        answers.dedup();
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!(world.count("select count(*) from access_token").await, tokens);
    }

    async fn an_alias_costs_work_and_one_key_is_one_caller(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let channel = channel(world.address).await;
        let begin = async |key: &SigningKey| {
            let request = v1::BeginCreateAliasRequest { public_key: public(key) };
            AliasServiceClient::new(channel.clone()).begin_create_alias(request).await.unwrap().into_inner()
        };
        let create = async |request: v1::CreateAliasRequest| {
            let answer = AliasServiceClient::new(channel.clone()).create_alias(request).await;
            answer.map_err(|status| Refusal::from(status).reason).map(|answer| answer.into_inner().alias.unwrap().id)
        };

        let (lazy, busy, other) = (key(), key(), key());
        let begun = begin(&lazy).await;
        let too_little = (0..=u64::MAX)
            .map(u64::to_be_bytes)
            .find(|nonce| !client::proof_of_work::verify(&begun.challenge, nonce, 4))
            .unwrap();
        assert_eq!(create(answer(&lazy, &begun.challenge, &too_little)).await.unwrap_err(), "PROOF_OF_WORK_INVALID");

        let begun = begin(&busy).await;
        let proof = client::proof_of_work::solve(&begun.challenge, 4).unwrap();
        let right = answer(&busy, &begun.challenge, &proof);
        let signed_by_another = v1::CreateAliasRequest { public_key: public(&busy), ..answer(&other, &begun.challenge, &proof) };
        assert_eq!(create(signed_by_another).await.unwrap_err(), "SIGNATURE_INVALID");
        assert_eq!(create(answer(&other, &begun.challenge, &proof)).await.unwrap_err(), "CHALLENGE_INVALID");
        assert_eq!(world.count("select count(*) from alias").await, 0);
        let made = create(right.clone()).await.unwrap();
        // The key is the request id: again is the same alias.
        assert_eq!(create(right.clone()).await.unwrap(), made);
        let token = sign_in(&channel, &busy).await;
        let erase = with_token(v1::EraseAliasRequest {}, &token);
        AliasServiceClient::new(channel.clone()).erase_alias(erase).await.unwrap();
        // What is erased does not come back by a letter sent twice.
        assert_eq!(create(right).await.unwrap_err(), "CHALLENGE_INVALID");

        let begun = begin(&other).await;
        let proof = client::proof_of_work::solve(&begun.challenge, 4).unwrap();
        world.pass(TimeDelta::minutes(10));
        assert_eq!(create(answer(&other, &begun.challenge, &proof)).await.unwrap_err(), "CHALLENGE_INVALID");

        // Staff cannot be workers by the same key.
        let staff = key();
        let new = v1::CreateTherapistRequest {
            request_id: request_id(),
            therapist: Some(e2e::profile("Ada", BERLIN)),
            public_key: public(&staff),
        };
        world.operator().await.directory().create_therapist(new.clone()).await.unwrap();
        let begun = begin(&staff).await;
        let proof = client::proof_of_work::solve(&begun.challenge, 4).unwrap();
        assert_eq!(create(answer(&staff, &begun.challenge, &proof)).await.unwrap_err(), "KEY_IN_USE");
        let twice = v1::CreateTherapistRequest { request_id: request_id(), ..new };
        let refused = world.operator().await.directory().create_therapist(twice).await.unwrap_err();
        let refused = Refusal::from(refused);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::AlreadyExists, "KEY_IN_USE"));
        assert_eq!(world.count("select count(*) from alias").await, 0);
    }
}

fn key() -> SigningKey {
    Secret::generate().login_key()
}

fn public(key: &SigningKey) -> Vec<u8> {
    key.verifying_key().to_bytes().to_vec()
}

fn answer(key: &SigningKey, challenge: &[u8], proof_of_work: &[u8]) -> v1::CreateAliasRequest {
    let signed = [b"respite/create-alias/v1\0", challenge, proof_of_work].concat();
    v1::CreateAliasRequest {
        public_key: public(key),
        challenge: challenge.to_vec(),
        proof_of_work: proof_of_work.to_vec(),
        signature: key.sign(&signed).to_bytes().to_vec(),
    }
}

async fn holds(channel: &Channel, token: &str) -> bool {
    let request = with_token(v1::GetAliasRequest {}, token);
    AliasServiceClient::new(channel.clone()).get_alias(request).await.is_ok()
}

/// Calls whatever is at `path` with an empty message.
async fn say_nothing(channel: &Channel, path: &str, token: Option<&str>) -> Result<Response<()>, Status> {
    let mut request = Request::new(());
    if let Some(token) = token {
        request = with_token((), token);
    }
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    grpc.unary(request, path.parse().unwrap(), tonic_prost::ProstCodec::<(), ()>::default()).await
}

/// The call says the same of `id`, which is somebody else's, as of an id that nobody has.
async fn hidden<T>(call: &str, id: &str, attempt: impl AsyncFn(String) -> Result<Response<T>, Status>) {
    let mut answers = BTreeSet::new();
    for id in [id.to_owned(), request_id()] {
        let Err(refused) = attempt(id).await else { panic!("{call} answers") };
        let Refusal { code, reason, message, metadata, violations } = refused.into();
        assert_eq!((code, reason.as_str()), (Code::NotFound, "NOT_FOUND"), "{call}");
        assert!(metadata.is_empty() && violations.is_empty(), "{call}");
        answers.insert(message);
    }
    assert_eq!(answers.len(), 1, "{call}: {answers:?}");
}
