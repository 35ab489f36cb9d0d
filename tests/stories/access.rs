//! Who may call what, what is somebody else's, and how tokens begin and end.

use std::collections::{BTreeMap, BTreeSet};

use api::v1::{self, alias_service_client::AliasServiceClient};
use chrono::TimeDelta;
use client::{Refusal, Secret, SigningKey, request_id};
use e2e::{
    Therapist, World, channel, finish_login, hours_of, minutes, sign_in, span, time, timestamp, with_token,
};
use ed25519_dalek::Signer;
use prost::Message;
use services::{POLICIES, Policy};
use tonic::{Code, Request, Response, Status, client::Grpc, transport::Channel};

const BERLIN: &str = "Europe/Berlin";
const NOW: &str = "2026-03-20T09:00:00Z";

/// Somebody at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visitor {
    Anonymous,
    Alias,
    Therapist,
    Operator,
    Manager,
    /// With a token that nobody was ever given.
    Garbage,
    /// With a token whose quarter of an hour is over.
    Expired,
    /// With a token of an alias that is no more.
    Erased,
}

impl Visitor {
    const ALL: [Self; 8] = [
        Self::Anonymous,
        Self::Alias,
        Self::Therapist,
        Self::Operator,
        Self::Manager,
        Self::Garbage,
        Self::Expired,
        Self::Erased,
    ];

    /// How the policy turns them away, if it does.
    fn refused_by(self, policy: Policy) -> Option<(Code, &'static str)> {
        use Policy as P;
        let stranger = Some((Code::Unauthenticated, "TOKEN_INVALID"));
        let admitted = match (policy, self) {
            (P::Open, _) => true,
            (_, Self::Garbage | Self::Expired | Self::Erased) => return stranger,
            (P::Public, _) => true,
            (_, Self::Anonymous) => return stranger,
            (P::Alias, _) => self == Self::Alias,
            (P::Therapist, _) => self == Self::Therapist,
            (P::Operator, _) => self == Self::Operator,
            (P::Manager, _) => self == Self::Manager,
            (P::AliasOrTherapist, _) => matches!(self, Self::Alias | Self::Therapist),
            (P::TherapistOrOperator, _) => matches!(self, Self::Therapist | Self::Operator),
            (P::Anyone, _) => true,
        };
        if admitted { None } else { Some((Code::PermissionDenied, "CALLER_NOT_ALLOWED")) }
    }
}

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
    let (mut open, mut operators) = (BTreeSet::new(), BTreeSet::new());
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
                if comment.contains("Needs no token") {
                    open.insert(path);
                } else if comment.contains("Operators.") {
                    operators.insert(path);
                }
            }
            comment.clear();
        }
    }
    let of = |wanted: &[Policy]| -> BTreeSet<String> {
        let rows = POLICIES.iter().filter(|(_, policy)| wanted.contains(policy));
        rows.map(|(path, _)| (*path).to_owned()).collect()
    };
    assert_eq!((open.len(), operators.len()), (12, 13));
    assert_eq!(open, of(&[Policy::Open, Policy::Public]));
    assert_eq!(operators, of(&[Policy::Operator]));
}

e2e::stories! {
    async fn every_call_is_for_those_its_policy_names_and_for_nobody_else(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let channel = channel(world.address).await;
        let (alias, therapist, operator, manager) = (key(), key(), key(), key());
        world.anybody().await.create_alias(&alias).await.unwrap();
        let new = v1::CreateTherapistRequest {
            request_id: request_id(),
            therapist: Some(e2e::profile("Ada", BERLIN)),
            public_key: therapist.verifying_key().to_bytes().to_vec(),
        };
        world.operator().await.directory().create_therapist(new).await.unwrap();
        let public_key = operator.verifying_key().to_bytes();
        services::operators::create(&world.app, "the second", &public_key).await.unwrap();
        let new = v1::CreateProgrammeRequest {
            request_id: request_id(),
            programme: Some(e2e::hospital::programme()),
            public_key: public(&manager),
        };
        world.operator().await.programmes().create_programme(new).await.unwrap();

        let expired = sign_in(&channel, &alias).await;
        world.pass(TimeDelta::minutes(15));
        let (gone, erased) = (key(), key());
        world.anybody().await.create_alias(&gone).await.unwrap();
        world.anybody().await.create_alias(&erased).await.unwrap();
        let of_erased = sign_in(&channel, &erased).await;
        AliasServiceClient::new(channel.clone()).erase_alias(with_token(v1::EraseAliasRequest {}, &of_erased)).await.unwrap();

        let mut seen = BTreeMap::new();
        for visitor in Visitor::ALL {
            for (path, policy) in POLICIES {
                // A token of its own for each call: some calls end theirs.
                let token = match visitor {
                    Visitor::Anonymous => None,
                    Visitor::Alias if path.ends_with("/EraseAlias") => Some(sign_in(&channel, &gone).await),
                    Visitor::Alias => Some(sign_in(&channel, &alias).await),
                    Visitor::Therapist => Some(sign_in(&channel, &therapist).await),
                    Visitor::Operator => Some(sign_in(&channel, &operator).await),
                    Visitor::Manager => Some(sign_in(&channel, &manager).await),
                    Visitor::Garbage => Some("ct1_".to_owned() + &"A".repeat(43)),
                    Visitor::Expired => Some(expired.clone()),
                    Visitor::Erased => Some(of_erased.clone()),
                };
                let answer = say_nothing(&channel, path, token.as_deref()).await.err().map(Refusal::from);
                let answer = answer.map(|refusal| (refusal.code, refusal.reason));
                let expected = visitor.refused_by(policy).map(|(code, reason)| (code, reason.to_owned()));
                if expected.is_some() {
                    assert_eq!(answer, expected, "{visitor:?} at {path}");
                } else {
                    let turned_away = answer.as_ref().is_some_and(|(_, reason)| {
                        reason.is_empty() || reason == "TOKEN_INVALID" || reason == "CALLER_NOT_ALLOWED"
                    });
                    assert!(!turned_away, "{visitor:?} at {path}: {answer:?}");
                }
                *seen.entry(format!("{visitor:?}")).or_insert(0) += i32::from(expected.is_none());
            }
        }
        // Nobody is let in everywhere, and nobody nowhere.
        assert!(seen.values().all(|admitted| (1..49).contains(admitted)), "{seen:?}");
    }

    async fn a_path_outside_the_table_is_not_answered(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let channel = channel(world.address).await;
        for path in ["/respite.v1.AliasService/Nothing", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/"] {
            let refused = say_nothing(&channel, path, None).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unimplemented, "{path}");
        }
    }

    // What is somebody else's and what never was are one answer, word for word.
    async fn what_belongs_to_another_alias_is_not_there(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let (owner, other) = (world.worker().await, world.worker().await);
        let held = owner.holds(&ada, "2026-03-23T08:00:00Z").await.unwrap().id;
        let booked = owner.books(&ada, "2026-03-23T10:00:00Z").await.unwrap().id;
        let before = world.fingerprint().await;
        for id in [&held, &booked] {
            let bookings = || other.client.bookings();
            hidden("ConfirmBooking", id, async |booking_id| {
                bookings().confirm_booking(v1::ConfirmBookingRequest { request_id: request_id(), booking_id, ..Default::default() }).await
            }).await;
            hidden("ReleaseHold", id, async |booking_id| {
                bookings().release_hold(v1::ReleaseHoldRequest { request_id: request_id(), booking_id }).await
            }).await;
            hidden("RescheduleBooking", id, async |booking_id| {
                let start_time = Some(timestamp(time("2026-03-23T12:00:00Z")));
                bookings().reschedule_booking(v1::RescheduleBookingRequest { request_id: request_id(), booking_id, start_time, roster_use: None }).await
            }).await;
            hidden("CancelBooking", id, async |booking_id| {
                bookings().cancel_booking(v1::CancelBookingRequest { request_id: request_id(), booking_id }).await
            }).await;
            hidden("GetBooking", id, async |booking_id| {
                bookings().get_booking(v1::GetBookingRequest { booking_id }).await
            }).await;
            hidden("JoinSession", id, async |booking_id| {
                bookings().join_session(v1::JoinSessionRequest { booking_id }).await
            }).await;
        }
        assert!(world.fingerprint().await == before, "a refused call changed something");
        let mine = other.client.bookings().list_bookings(v1::ListBookingsRequest::default()).await.unwrap();
        assert!(mine.into_inner().bookings.is_empty());
    }

    async fn what_belongs_to_another_therapist_is_not_there(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let ben = world.therapist("Ben", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        let held = nurse.holds(&ada, "2026-03-23T08:00:00Z").await.unwrap().id;
        let booked = nurse.books(&ada, "2026-03-23T10:00:00Z").await.unwrap().id;
        let day = v1::CreateDateOverrideRequest {
            request_id: request_id(),
            date_override: Some(v1::DateOverride {
                id: String::new(),
                date: Some(e2e::date("2026-03-24")),
                kind: v1::DateOverrideKind::Add.into(),
                hours: vec![hours_of("10:00-12:00")],
            }),
        };
        let day = ada.client.availability().create_date_override(day).await.unwrap().into_inner();
        let off = v1::CreateTimeOffRequest {
            request_id: request_id(),
            time_off: Some(v1::TimeOff { id: String::new(), span: Some(span("2026-03-30T06:00:00Z", "2026-03-31T06:00:00Z")) }),
        };
        let off = ada.client.availability().create_time_off(off).await.unwrap().into_inner();
        world.calendars.publish("https://calendars.example.org/1.ics", "BEGIN:VCALENDAR\nEND:VCALENDAR\n");
        let busy = v1::CreateBusyFeedRequest {
            request_id: request_id(),
            busy_feed: Some(v1::BusyFeed {
                display_name: "clinic".to_owned(),
                feed_uri: "https://calendars.example.org/1.ics".to_owned(),
                ..Default::default()
            }),
        };
        let busy = ada.client.availability().create_busy_feed(busy).await.unwrap().into_inner();
        let own = |therapist: &Therapist| v1::GetTherapistRequest { therapist_id: therapist.id.clone() };
        let profile = ada.client.directory().get_therapist(own(&ada)).await.unwrap().into_inner().therapist.unwrap();
        let before = world.fingerprint().await;

        let (bookings, directory) = (|| ben.client.bookings(), || ben.client.directory());
        for id in [&held, &booked] {
            hidden("CompleteBooking", id, async |booking_id| {
                let outcome = v1::BookingState::Noshow.into();
                bookings().complete_booking(v1::CompleteBookingRequest { request_id: request_id(), booking_id, outcome }).await
            }).await;
            hidden("JoinSession", id, async |booking_id| {
                bookings().join_session(v1::JoinSessionRequest { booking_id }).await
            }).await;
        }
        // A hold is the worker's alone: not even its own therapist is told.
        hidden("CompleteBooking", &held, async |booking_id| {
            let outcome = v1::BookingState::Noshow.into();
            ada.client.bookings().complete_booking(v1::CompleteBookingRequest { request_id: request_id(), booking_id, outcome }).await
        }).await;
        let availability = || ben.client.availability();
        hidden("UpdateSessionType", &ada.session_type_id, async |id| {
            let session_type = Some(v1::SessionType { id, ..fifty_minutes() });
            availability().update_session_type(v1::UpdateSessionTypeRequest { request_id: request_id(), session_type }).await
        }).await;
        hidden("DeleteSessionType", &ada.session_type_id, async |session_type_id| {
            availability().delete_session_type(v1::DeleteSessionTypeRequest { request_id: request_id(), session_type_id }).await
        }).await;
        hidden("PreviewAvailability", &ada.session_type_id, async |session_type_id| {
            let window = Some(span("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z"));
            availability().preview_availability(v1::PreviewAvailabilityRequest { session_type_id, window }).await
        }).await;
        hidden("DeleteDateOverride", &day.date_override.unwrap().id, async |date_override_id| {
            availability().delete_date_override(v1::DeleteDateOverrideRequest { request_id: request_id(), date_override_id }).await
        }).await;
        hidden("DeleteTimeOff", &off.time_off.unwrap().id, async |time_off_id| {
            availability().delete_time_off(v1::DeleteTimeOffRequest { request_id: request_id(), time_off_id }).await
        }).await;
        hidden("DeleteBusyFeed", &busy.busy_feed.unwrap().id, async |busy_feed_id| {
            availability().delete_busy_feed(v1::DeleteBusyFeedRequest { request_id: request_id(), busy_feed_id }).await
        }).await;
        let others = availability().list_busy_feeds(v1::ListBusyFeedsRequest {}).await.unwrap().into_inner();
        assert!(others.busy_feeds.is_empty());
        hidden("DeleteCredential", &profile.credentials[0].id, async |credential_id| {
            directory().delete_credential(v1::DeleteCredentialRequest { request_id: request_id(), credential_id }).await
        }).await;
        hidden("CreateCredential", &ada.id, async |therapist_id| {
            let credential = e2e::profile("Ben", BERLIN).credentials.pop();
            directory().create_credential(v1::CreateCredentialRequest { request_id: request_id(), therapist_id, credential }).await
        }).await;
        // A session type is its therapist's: with another one there is none.
        hidden("HoldSlot", &ben.session_type_id, async |session_type_id| {
            let mut request = e2e::Worker::hold_request(&ada, "2026-03-23T14:00:00Z");
            request.session_type_id = session_type_id;
            nurse.client.bookings().hold_slot(request).await
        }).await;
        assert!(world.fingerprint().await == before, "a refused call changed something");
        assert!(ben.agenda("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z").await.is_empty());
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

fn fifty_minutes() -> v1::SessionType {
    v1::SessionType {
        id: String::new(),
        display_name: "session".to_owned(),
        duration: Some(minutes(50)),
        buffer_before: None,
        buffer_after: None,
        modalities: vec![v1::Modality::Video.into()],
        grid_interval: Some(minutes(30)),
        grid_offset: None,
        load_weight: 1,
    }
}
