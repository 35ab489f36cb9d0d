//! Whatever is sent, the answer names the field, and nothing is changed.
//!
//! A table per call: the request as it would be taken, and changes of one field each. The last thing asked is
//! the request itself, so that every refusal is due to its change. All cases of a table use one request id, which
//! a refusal does not use up (B3).

#![expect(clippy::assigning_clones, reason = "a case says what is in the field")]

use std::fmt::Write as _;

use api::{
    google::r#type as gtype,
    v1::{self, confirm_booking_request::Payment, link_identity_request::Staff as Named},
};
use client::{Client, Refusal, Secret, request_id};
use e2e::{Worker, World, date, hospital::Hospital, hours_of, minutes, profile, span, time, timestamp};
use prost_types::{Duration, FieldMask, Timestamp};
use tonic::{Code, Response, Status};

use crate::emergency;

const BERLIN: &str = "Europe/Berlin";
const NOW: &str = "2026-03-20T09:00:00Z";

/// One field changed, the reason of the refusal and the path it names.
type Case<R> = (fn(&mut R), &'static str, &'static str);

e2e::stories! {
    async fn aliases(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let (worker, anybody) = (world.worker().await, world.anybody().await);
        let key = || Secret::generate().login_key().verifying_key().to_bytes().to_vec();

        let base = v1::BeginCreateAliasRequest { public_key: key() };
        check(&world, async |request| anybody.alias().begin_create_alias(request).await, base, &[
            (|r| r.public_key.clear(), "REQUIRED", "public_key"),
            (|r| r.public_key.truncate(31), "MALFORMED", "public_key"),
            (|r| r.public_key = vec![7; 60_000], "MALFORMED", "public_key"),
        ]).await;
        let base = v1::BeginLoginRequest { public_key: key() };
        check(&world, async |request| anybody.alias().begin_login(request).await, base, &[
            (|r| r.public_key.clear(), "REQUIRED", "public_key"),
            (|r| r.public_key.push(0), "MALFORMED", "public_key"),
        ]).await;
        // These two cannot end with an answer: nobody signed them. Their shape comes first all the same.
        let base = v1::CreateAliasRequest { public_key: key(), challenge: vec![1; 56], proof_of_work: vec![1; 8], signature: vec![1; 64] };
        refused(&world, &async |request| anybody.alias().create_alias(request).await, &base, &[
            (|r| r.public_key.clear(), "REQUIRED", "public_key"),
            (|r| r.public_key.truncate(5), "MALFORMED", "public_key"),
            (|r| r.challenge.clear(), "REQUIRED", "challenge"),
            (|r| r.proof_of_work.clear(), "MALFORMED", "proof_of_work"),
            (|r| r.proof_of_work = vec![1; 17], "MALFORMED", "proof_of_work"),
            (|r| r.signature.clear(), "REQUIRED", "signature"),
            (|r| r.signature.truncate(63), "MALFORMED", "signature"),
        ]).await;
        for length in [1, 55, 56, 57, 60_000] {
            let request = v1::CreateAliasRequest { challenge: vec![7; length], ..base.clone() };
            let answer = Refusal::from(anybody.alias().create_alias(request).await.unwrap_err());
            assert_eq!((answer.code, answer.reason.as_str()), (Code::Unauthenticated, "CHALLENGE_INVALID"));
            let request = v1::FinishLoginRequest { public_key: key(), challenge: vec![7; length], signature: vec![1; 64] };
            let answer = Refusal::from(anybody.alias().finish_login(request).await.unwrap_err());
            assert_eq!((answer.code, answer.reason.as_str()), (Code::Unauthenticated, "LOGIN_REFUSED"));
        }
        let base = v1::FinishLoginRequest { public_key: key(), challenge: vec![1; 56], signature: vec![1; 64] };
        refused(&world, &async |request| anybody.alias().finish_login(request).await, &base, &[
            (|r| r.public_key.push(1), "MALFORMED", "public_key"),
            (|r| r.challenge.clear(), "REQUIRED", "challenge"),
            (|r| r.signature.push(1), "MALFORMED", "signature"),
        ]).await;

        let base = v1::FinishIdTokenLoginRequest { challenge: vec![1; 56], id_token: "a.b.c".to_owned() };
        refused(&world, &async |request| anybody.alias().finish_id_token_login(request).await, &base, &[
            (|r| r.challenge.clear(), "REQUIRED", "challenge"),
            (|r| r.id_token.clear(), "REQUIRED", "id_token"),
        ]).await;
        // Before anything is said of a provider, of which there is none here.
        let (operator, ada) = (world.operator().await, world.therapist("Ada", BERLIN).await);
        let base = v1::LinkIdentityRequest {
            request_id: request_id(),
            staff: Some(Named::TherapistId(ada.id)),
            subject: String::new(),
        };
        check(&world, async |request| operator.alias().link_identity(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.request_id = "42".to_owned(), "MALFORMED", "request_id"),
            (|r| r.staff = None, "REQUIRED", "staff"),
            (|r| r.staff = Some(Named::TherapistId(String::new())), "REQUIRED", "therapist_id"),
            (|r| r.staff = Some(Named::TherapistId("Ada".to_owned())), "MALFORMED", "therapist_id"),
            (|r| r.staff = Some(Named::ProgrammeId("x".repeat(10_000))), "MALFORMED", "programme_id"),
            (|r| r.subject = " ".to_owned(), "REQUIRED", "subject"),
            (|r| r.subject = "x".repeat(256), "TOO_LONG", "subject"),
            (|r| r.subject = "two\nlines".to_owned(), "MALFORMED", "subject"),
            (|r| r.subject = "ada\u{0}".to_owned(), "MALFORMED", "subject"),
        ]).await;

        let base = v1::SetExclusionTagsRequest {
            request_id: request_id(),
            exclusion_tags: (0..10).map(|n| n.to_string().repeat(60)).collect(),
        };
        check(&world, async |request| worker.client.alias().set_exclusion_tags(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.request_id = "42".to_owned(), "MALFORMED", "request_id"),
            (|r| r.exclusion_tags.push("x".to_owned()), "TOO_MANY", "exclusion_tags"),
            (|r| r.exclusion_tags[1].push('x'), "TOO_LONG", "exclusion_tags[1]"),
            (|r| r.exclusion_tags[1] = " \n ".to_owned(), "REQUIRED", "exclusion_tags[1]"),
            (|r| r.exclusion_tags[1] = "two\nlines".to_owned(), "MALFORMED", "exclusion_tags[1]"),
            (|r| r.exclusion_tags[1] = "ICU\u{1b}".to_owned(), "MALFORMED", "exclusion_tags[1]"),
            (|r| r.exclusion_tags[1] = "***".to_owned(), "MALFORMED", "exclusion_tags[1]"),
            (|r| r.exclusion_tags[1] = r.exclusion_tags[0].clone(), "DUPLICATE", "exclusion_tags[1]"),
        ]).await;

        let base = v1::UpdateAliasRequest {
            request_id: request_id(),
            settings: Some(v1::AliasSettings {
                commute: Some(minutes(6 * 60)),
                rest_before_shift: Some(minutes(0)),
                sleep_after_night: Some(minutes(16 * 60)),
                on_call_blocks: true,
                time_zone: BERLIN.to_owned(),
            }),
            update_mask: Some(FieldMask { paths: vec!["*".to_owned()] }),
        };
        check(&world, async |request| worker.client.alias().update_alias(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.request_id = "42".to_owned(), "MALFORMED", "request_id"),
            (|r| r.request_id = r.request_id.replace('-', ""), "MALFORMED", "request_id"),
            (|r| r.request_id = format!("{{{}}}", r.request_id), "MALFORMED", "request_id"),
            (|r| r.request_id = "x".repeat(10_000), "MALFORMED", "request_id"),
            (|r| r.settings = None, "REQUIRED", "settings"),
            (|r| of(&mut r.settings).commute = Some(minutes(-1)), "MALFORMED", "settings.commute"),
            (|r| of(&mut r.settings).commute = Some(Duration { seconds: 60, nanos: 1 }), "MALFORMED", "settings.commute"),
            (|r| of(&mut r.settings).commute = Some(Duration { seconds: 60, nanos: -60 }), "MALFORMED", "settings.commute"),
            (|r| of(&mut r.settings).commute = Some(Duration { seconds: 61, nanos: 0 }), "MALFORMED", "settings.commute"),
            (|r| of(&mut r.settings).commute = Some(Duration { seconds: i64::MAX, nanos: i32::MAX }), "MALFORMED", "settings.commute"),
            (|r| of(&mut r.settings).commute = Some(Duration { seconds: i64::MIN, nanos: 0 }), "MALFORMED", "settings.commute"),
            (|r| of(&mut r.settings).commute = Some(minutes(6 * 60 + 1)), "OUT_OF_RANGE", "settings.commute"),
            (|r| of(&mut r.settings).rest_before_shift = Some(minutes(6 * 60 + 1)), "OUT_OF_RANGE", "settings.rest_before_shift"),
            (|r| of(&mut r.settings).rest_before_shift = Some(minutes(-60)), "MALFORMED", "settings.rest_before_shift"),
            (|r| of(&mut r.settings).sleep_after_night = Some(minutes(16 * 60 + 1)), "OUT_OF_RANGE", "settings.sleep_after_night"),
            (|r| of(&mut r.settings).sleep_after_night = Some(minutes(i64::from(i32::MAX))), "MALFORMED", "settings.sleep_after_night"),
            (|r| of(&mut r.settings).time_zone = "Mars/Base".to_owned(), "UNKNOWN_ZONE", "settings.time_zone"),
            (|r| of(&mut r.settings).time_zone = "../../etc/passwd".to_owned(), "UNKNOWN_ZONE", "settings.time_zone"),
            (|r| of(&mut r.settings).time_zone = "Europe/Berlin\0".to_owned(), "UNKNOWN_ZONE", "settings.time_zone"),
            (|r| of(&mut r.settings).time_zone = "Europe/".repeat(5_000), "UNKNOWN_ZONE", "settings.time_zone"),
            (|r| of(&mut r.update_mask).paths = vec!["handle".to_owned()], "MALFORMED", "update_mask"),
            (|r| of(&mut r.update_mask).paths = vec!["*".to_owned(), "commute".to_owned()], "MALFORMED", "update_mask"),
            (|r| of(&mut r.update_mask).paths = vec!["settings.commute".to_owned(); 1_000], "TOO_MANY", "update_mask.paths"),
        ]).await;
    }

    async fn the_log_of_what_staff_did(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let operator = world.operator().await;
        check(&world, async |request| operator.audit().list_audit_entries(request).await, v1::ListAuditEntriesRequest::default(), &[
            (|r| r.page_size = -1, "OUT_OF_RANGE", "page_size"),
            (|r| r.page_size = 101, "OUT_OF_RANGE", "page_size"),
            (|r| r.page_token = "AAAA".to_owned(), "PAGE_TOKEN_INVALID", "page_token"),
        ]).await;
    }

    async fn emergencies(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        nurse.reached_at(&world, "heron@example.com", "en", v1::ReminderLevel::Time).await;
        let booking_id = nurse.books(&ada, "2026-03-23T10:00:00Z").await.unwrap().id;
        let (operator, (second, _)) = (world.operator().await, emergency::operator(&world).await);
        let asked = emergency::asks(&operator, &booking_id).await.unwrap();
        let request = v1::RequestEmergencyAccessRequest { request_id: request_id(), booking_id, reason: v1::EmergencyReason::Medical.into() };
        check(&world, async |request| operator.accesses().request_emergency_access(request).await, request, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.booking_id.clear(), "REQUIRED", "booking_id"),
            (|r| r.booking_id = "%".to_owned(), "MALFORMED", "booking_id"),
            (|r| r.reason = 0, "REQUIRED", "reason"),
            (|r| r.reason = 4, "MALFORMED", "reason"),
        ]).await;
        let approve = v1::ApproveEmergencyAccessRequest { request_id: request_id(), emergency_access_id: asked.clone() };
        check(&world, async |request| second.accesses().approve_emergency_access(request).await, approve, &[
            (|r| r.request_id = "1".to_owned(), "MALFORMED", "request_id"),
            (|r| r.emergency_access_id.clear(), "REQUIRED", "emergency_access_id"),
            (|r| r.emergency_access_id.truncate(35), "MALFORMED", "emergency_access_id"),
        ]).await;
        let read = v1::ReadEmergencyContactRequest { emergency_access_id: asked };
        check(&world, async |request| operator.accesses().read_emergency_contact(request).await, read, &[
            (|r| r.emergency_access_id.clear(), "REQUIRED", "emergency_access_id"),
            (|r| r.emergency_access_id = "\u{0}".repeat(36), "MALFORMED", "emergency_access_id"),
        ]).await;
        check(&world, async |request| operator.accesses().list_emergency_accesses(request).await, v1::ListEmergencyAccessesRequest::default(), &[
            (|r| r.page_size = 101, "OUT_OF_RANGE", "page_size"),
            (|r| r.page_token = "AAAA".to_owned(), "PAGE_TOKEN_INVALID", "page_token"),
        ]).await;
    }

    async fn programmes(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let operator = world.operator().await;
        let base = v1::CreateProgrammeRequest {
            request_id: request_id(),
            programme: Some(v1::Programme {
                durations: vec![minutes(20), minutes(480)],
                modalities: vec![v1::Modality::Video.into(), v1::Modality::Chat.into()],
                ..e2e::hospital::programme()
            }),
            public_key: Secret::generate().login_key().verifying_key().to_bytes().to_vec(),
        };
        check(&world, async |request| operator.programmes().create_programme(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.programme = None, "REQUIRED", "programme"),
            (|r| of(&mut r.programme).display_name.clear(), "REQUIRED", "programme.display_name"),
            (|r| of(&mut r.programme).display_name = "x".repeat(101), "TOO_LONG", "programme.display_name"),
            (|r| of(&mut r.programme).display_name = "St.\nAda".to_owned(), "MALFORMED", "programme.display_name"),
            (|r| of(&mut r.programme).sessions_per_period = 0, "OUT_OF_RANGE", "programme.sessions_per_period"),
            (|r| of(&mut r.programme).sessions_per_period = 101, "OUT_OF_RANGE", "programme.sessions_per_period"),
            (|r| of(&mut r.programme).sessions_per_period = i32::MIN, "OUT_OF_RANGE", "programme.sessions_per_period"),
            (|r| of(&mut r.programme).eligible_workers = -1, "OUT_OF_RANGE", "programme.eligible_workers"),
            (|r| of(&mut r.programme).durations[1] = minutes(4), "OUT_OF_RANGE", "programme.durations[1]"),
            (|r| of(&mut r.programme).durations[1] = minutes(481), "OUT_OF_RANGE", "programme.durations[1]"),
            (|r| of(&mut r.programme).durations[1] = minutes(-20), "MALFORMED", "programme.durations[1]"),
            (|r| of(&mut r.programme).durations[1] = minutes(20), "DUPLICATE", "programme.durations[1]"),
            (|r| of(&mut r.programme).durations = vec![minutes(20); 21], "TOO_MANY", "programme.durations"),
            (|r| of(&mut r.programme).modalities[1] = 0, "REQUIRED", "programme.modalities[1]"),
            (|r| of(&mut r.programme).modalities[1] = 17, "MALFORMED", "programme.modalities[1]"),
            (|r| of(&mut r.programme).modalities[1] = r.programme.as_ref().unwrap().modalities[0], "DUPLICATE", "programme.modalities[1]"),
            (|r| of(&mut r.programme).modalities = vec![1; 4], "TOO_MANY", "programme.modalities"),
            (|r| r.public_key.clear(), "REQUIRED", "public_key"),
            (|r| r.public_key = vec![0; 32], "MALFORMED", "public_key"),
            (|r| r.public_key.truncate(31), "MALFORMED", "public_key"),
        ]).await;

        let hospital = world.hospital(e2e::hospital::programme()).await;
        let base = Hospital::key_request(&hospital.issuer, "2026-07-01", "2026-09-30");
        let publish = async |request| hospital.manager.programmes().create_programme_key(request).await;
        check(&world, publish, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.public_key.clear(), "REQUIRED", "public_key"),
            (|r| r.public_key.truncate(341), "MALFORMED", "public_key"),
            (|r| r.public_key.push(0), "MALFORMED", "public_key"),
            // An even modulus, another salt, the exponent 3.
            (|r| r.public_key[336] &= 0xfe, "MALFORMED", "public_key"),
            (|r| r.public_key[66] = 0x20, "MALFORMED", "public_key"),
            (|r| r.public_key[339..].copy_from_slice(&[0, 0, 3]), "MALFORMED", "public_key"),
            (|r| r.first_date = None, "REQUIRED", "first_date"),
            (|r| r.first_date = Some(day(2026, 2, 30)), "MALFORMED", "first_date"),
            (|r| r.last_date = None, "REQUIRED", "last_date"),
            (|r| r.last_date = Some(day(i32::MAX, 1, 1)), "MALFORMED", "last_date"),
            (|r| r.last_date = Some(date("2026-07-27")), "OUT_OF_RANGE", "last_date"),
            (|r| r.last_date = Some(date("2027-07-02")), "OUT_OF_RANGE", "last_date"),
            (|r| r.last_date = Some(date("2025-07-02")), "OUT_OF_RANGE", "last_date"),
        ]).await;

        let key_id = hospital.issuer.public_key().id().as_bytes().to_vec();
        let base = v1::RevokeProgrammeKeyRequest { request_id: request_id(), key_id };
        check(&world, async |request| hospital.manager.programmes().revoke_programme_key(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.key_id.clear(), "REQUIRED", "key_id"),
            (|r| r.key_id.truncate(31), "MALFORMED", "key_id"),
            (|r| r.key_id.push(0), "MALFORMED", "key_id"),
        ]).await;

        let anybody = world.anybody().await;
        let base = v1::GetProgrammeRequest { programme_id: hospital.id.clone() };
        check(&world, async |request| anybody.programmes().get_programme(request).await, base, &[
            (|r| r.programme_id.clear(), "REQUIRED", "programme_id"),
            (|r| r.programme_id = "St. Ada".to_owned(), "MALFORMED", "programme_id"),
        ]).await;
        check(&world, async |request| anybody.programmes().list_key_log(request).await, v1::ListKeyLogRequest::default(), &[
            (|r| r.page_size = 101, "OUT_OF_RANGE", "page_size"),
            (|r| r.page_size = -1, "OUT_OF_RANGE", "page_size"),
            (|r| r.page_token = "AAAA".to_owned(), "PAGE_TOKEN_INVALID", "page_token"),
        ]).await;
        check(&world, async |request| operator.programmes().list_programmes(request).await, v1::ListProgrammesRequest::default(), &[
            (|r| r.page_size = 101, "OUT_OF_RANGE", "page_size"),
            (|r| r.page_token = "AAAA".to_owned(), "PAGE_TOKEN_INVALID", "page_token"),
        ]).await;
        let base = v1::UpdateProgrammeManagerRequest {
            request_id: request_id(),
            programme_id: hospital.id.clone(),
            public_key: Secret::generate().login_key().verifying_key().to_bytes().to_vec(),
        };
        check(&world, async |request| operator.programmes().update_programme_manager(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.request_id = "x".to_owned(), "MALFORMED", "request_id"),
            (|r| r.programme_id.clear(), "REQUIRED", "programme_id"),
            (|r| r.programme_id = "St. Ada".to_owned(), "MALFORMED", "programme_id"),
            (|r| r.public_key.clear(), "REQUIRED", "public_key"),
            (|r| r.public_key.truncate(31), "MALFORMED", "public_key"),
        ]).await;
    }

    async fn rosters(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let worker = world.worker().await;
        let import = async |request| worker.client.roster().import_roster(request).await;
        let base = v1::ImportRosterRequest {
            request_id: request_id(),
            source: Some(v1::import_roster_request::Source::ShiftList(v1::ShiftList { shifts: vec![shift(), shift()] })),
            time_zone: BERLIN.to_owned(),
            publish_date: Some(date("2026-04-30")),
            on_call: false,
        };
        check(&world, import, base.clone(), &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.source = None, "REQUIRED", "source"),
            (|r| r.time_zone.clear(), "REQUIRED", "time_zone"),
            (|r| r.time_zone = "europe/berlin\n".to_owned(), "UNKNOWN_ZONE", "time_zone"),
            (|r| r.publish_date = Some(day(2026, 2, 30)), "MALFORMED", "publish_date"),
            (|r| r.publish_date = Some(day(2026, 0, 0)), "MALFORMED", "publish_date"),
            (|r| r.publish_date = Some(day(i32::MAX, 1, 1)), "MALFORMED", "publish_date"),
            (|r| r.publish_date = Some(day(2026, -1, 1)), "MALFORMED", "publish_date"),
            (|r| r.publish_date = Some(date("2090-01-01")), "OUT_OF_RANGE", "publish_date"),
            (|r| shifts(r)[1].span = None, "REQUIRED", "shift_list.shifts[1].span"),
            (|r| of(&mut shifts(r)[1].span).start_time = None, "REQUIRED", "shift_list.shifts[1].span.start_time"),
            (|r| of(&mut shifts(r)[1].span).end_time = None, "REQUIRED", "shift_list.shifts[1].span.end_time"),
            (|r| shifts(r)[1].span = Some(reversed()), "REVERSED_SPAN", "shift_list.shifts[1].span"),
            (|r| shifts(r)[1].span = Some(empty()), "REVERSED_SPAN", "shift_list.shifts[1].span"),
            (|r| shifts(r)[1].span = Some(span("2026-03-21T00:00:00Z", "2026-03-23T00:00:01Z")), "OUT_OF_RANGE", "shift_list.shifts[1].span"),
            (|r| shifts(r)[1].span = Some(span("2026-03-21T00:00:00Z", "2036-03-21T00:00:00Z")), "OUT_OF_RANGE", "shift_list.shifts[1].span"),
            (|r| shifts(r)[1].span = Some(span("2016-03-21T00:00:00Z", "2016-03-21T08:00:00Z")), "OUT_OF_RANGE", "shift_list.shifts[1].span"),
            (|r| of(&mut shifts(r)[1].span).end_time = Some(Timestamp { seconds: i64::MAX, nanos: 0 }), "MALFORMED", "shift_list.shifts[1].span.end_time"),
            (|r| of(&mut shifts(r)[1].span).start_time = Some(Timestamp { seconds: i64::MIN, nanos: i32::MIN }), "MALFORMED", "shift_list.shifts[1].span.start_time"),
            (|r| of(&mut of(&mut shifts(r)[1].span).start_time).nanos = 500_000_000, "MALFORMED", "shift_list.shifts[1].span.start_time"),
            (|r| shifts(r)[1].kind = 5, "MALFORMED", "shift_list.shifts[1].kind"),
            (|r| shifts(r)[1].kind = -1, "MALFORMED", "shift_list.shifts[1].kind"),
            (|r| *shifts(r) = vec![shift(); 1_001], "TOO_MANY", "shift_list.shifts"),
            (|r| shifts(r)[1].breaks = vec![shifts(r)[0].span.unwrap(); 7], "TOO_MANY", "shift_list.shifts[1].breaks"),
            (|r| shifts(r)[1].breaks = vec![shifts(r)[0].span.unwrap(); 2], "DUPLICATE", "shift_list.shifts[1].breaks[1]"),
            (|r| shifts(r)[1].breaks = vec![reversed()], "REVERSED_SPAN", "shift_list.shifts[1].breaks[0]"),
            (|r| shifts(r)[1].breaks = vec![v1::Span::default()], "REQUIRED", "shift_list.shifts[1].breaks[0].start_time"),
            (|r| shifts(r)[1].breaks = vec![span("2026-03-24T05:20:00Z", "2026-03-24T05:31:00Z")], "OUT_OF_RANGE", "shift_list.shifts[1].breaks[0]"),
            // As many as fit a message.
            (|r| *shifts(r) = vec![v1::Shift::default(); 500_000], "TOO_MANY", "shift_list.shifts"),
        ]).await;
        let cycle_of = v1::ShiftCycle { days: "N -".to_owned(), shifts: vec![v1::NamedShift { name: "N".to_owned(), shift: Some(shift_hours()) }] };
        let repeated = |repetition| v1::ShiftPattern { start_date: Some(date("2026-03-20")), repetition: Some(repetition) };
        let by_cycle = v1::ImportRosterRequest {
            request_id: request_id(),
            source: Some(v1::import_roster_request::Source::Pattern(repeated(v1::shift_pattern::Repetition::Cycle(cycle_of)))),
            ..base.clone()
        };
        check(&world, import, by_cycle, &[
            (|r| r.publish_date = None, "REQUIRED", "publish_date"),
            (|r| r.publish_date = Some(date("2026-03-19")), "OUT_OF_RANGE", "publish_date"),
            (|r| r.publish_date = Some(date("2028-06-19")), "OUT_OF_RANGE", "publish_date"),
            (|r| { r.publish_date = Some(date("2090-01-01")); pattern(r).start_date = Some(date("2089-12-01")); }, "OUT_OF_RANGE", "pattern.start_date"),
            (|r| { r.publish_date = Some(date("2019-03-19")); pattern(r).start_date = Some(date("2019-01-01")); }, "OUT_OF_RANGE", "pattern.start_date"),
            (|r| { r.publish_date = Some(date("2028-04-19")); pattern(r).start_date = Some(date("2027-03-01")); }, "OUT_OF_RANGE", "publish_date"),
            (|r| pattern(r).start_date = None, "REQUIRED", "pattern.start_date"),
            (|r| pattern(r).start_date = Some(day(2026, 2, 30)), "MALFORMED", "pattern.start_date"),
            (|r| pattern(r).repetition = None, "REQUIRED", "pattern.repetition"),
            (|r| cycle(r).days.clear(), "REQUIRED", "pattern.cycle.days"),
            (|r| cycle(r).days = "N X".to_owned(), "PATTERN_UNKNOWN_SHIFT", "pattern.cycle.days"),
            (|r| cycle(r).days = "N\0".to_owned(), "MALFORMED", "pattern.cycle.days"),
            (|r| cycle(r).days = "N ".repeat(367), "TOO_MANY", "pattern.cycle.days"),
            (|r| cycle(r).days = "N ".repeat(100_000), "TOO_LONG", "pattern.cycle.days"),
            (|r| cycle(r).days = "- -".to_owned(), "PATTERN_WITHOUT_SHIFT", "pattern"),
            (|r| cycle(r).shifts[0].name = "-".to_owned(), "MALFORMED", "pattern.cycle.shifts[0].name"),
            (|r| cycle(r).shifts[0].name = "too long a name".to_owned(), "MALFORMED", "pattern.cycle.shifts[0].name"),
            (|r| { let more = v1::NamedShift { name: "n".to_owned(), shift: Some(shift_hours()) }; cycle(r).shifts.push(more); }, "DUPLICATE", "pattern.cycle.shifts[1].name"),
            (|r| cycle(r).shifts = vec![v1::NamedShift::default(); 21], "TOO_MANY", "pattern.cycle.shifts"),
            (|r| cycle(r).shifts[0].shift = None, "REQUIRED", "pattern.cycle.shifts[0].shift"),
            (|r| of(&mut cycle(r).shifts[0].shift).hours = None, "REQUIRED", "pattern.cycle.shifts[0].shift.hours"),
            (|r| of(&mut cycle(r).shifts[0].shift).kind = 9, "MALFORMED", "pattern.cycle.shifts[0].shift.kind"),
        ]).await;
        let rule_of = v1::ShiftRule { rrule: "FREQ=DAILY".to_owned(), shift: Some(shift_hours()) };
        let by_rule = v1::ImportRosterRequest {
            request_id: request_id(),
            source: Some(v1::import_roster_request::Source::Pattern(repeated(v1::shift_pattern::Repetition::Rule(rule_of)))),
            ..base.clone()
        };
        check(&world, import, by_rule, &[
            (|r| rule(r).rrule.clear(), "REQUIRED", "pattern.rule.rrule"),
            (|r| rule(r).rrule = "every day".to_owned(), "RECURRENCE_REFUSED", "pattern.rule.rrule"),
            (|r| rule(r).rrule = "FREQ=SECONDLY".to_owned(), "RECURRENCE_REFUSED", "pattern.rule.rrule"),
            (|r| rule(r).rrule = "FREQ=DAILY;BYHOUR=6,14".to_owned(), "RECURRENCE_REFUSED", "pattern.rule.rrule"),
            (|r| rule(r).rrule = "FREQ=DAILY\nRRULE:FREQ=DAILY".to_owned(), "MALFORMED", "pattern.rule.rrule"),
            (|r| rule(r).rrule = format!("FREQ=DAILY;{}", "BYDAY=MO;".repeat(1_000)), "TOO_LONG", "pattern.rule.rrule"),
            (|r| rule(r).rrule = "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30".to_owned(), "PATTERN_WITHOUT_SHIFT", "pattern"),
            (|r| rule(r).shift = None, "REQUIRED", "pattern.rule.shift"),
            (|r| of(&mut rule(r).shift).breaks = vec![v1::ShiftBreak::default(); 7], "TOO_MANY", "pattern.rule.shift.breaks"),
            (|r| of(&mut rule(r).shift).breaks = vec![v1::ShiftBreak::default()], "OUT_OF_RANGE", "pattern.rule.shift.breaks[0]"),
            (|r| of(&mut rule(r).shift).breaks[0].duration = Some(minutes(21)), "OUT_OF_RANGE", "pattern.rule.shift.breaks[0]"),
            (|r| of(&mut rule(r).shift).breaks[0].offset = Some(minutes(-1)), "MALFORMED", "pattern.rule.shift.breaks[0].offset"),
            (|r| of(&mut rule(r).shift).breaks[0].duration = Some(Duration { seconds: i64::MAX, nanos: 0 }), "MALFORMED", "pattern.rule.shift.breaks[0].duration"),
        ]).await;
        world.calendars.publish("https://rosters.example.org/42.ics", &event("DTSTART:20260322T200000Z\nDTEND:20260323T053000Z"));
        let by_feed = v1::ImportRosterRequest { request_id: request_id(), publish_date: None, ..base.clone() };
        let by_feed = v1::ImportRosterRequest { source: Some(from("https://rosters.example.org/42.ics")), ..by_feed };
        check(&world, import, by_feed, &[
            (|r| r.publish_date = Some(date("2026-04-30")), "OUT_OF_RANGE", "publish_date"),
            (|r| r.source = Some(from("")), "REQUIRED", "feed_uri"),
            (|r| r.source = Some(from("rosters.example.org/42.ics")), "FEED_URI_REFUSED", "feed_uri"),
            (|r| r.source = Some(from("http://rosters.example.org/42.ics")), "FEED_URI_REFUSED", "feed_uri"),
            (|r| r.source = Some(from("file:///etc/passwd")), "FEED_URI_REFUSED", "feed_uri"),
            (|r| r.source = Some(from("https://127.0.0.1/42.ics")), "FEED_URI_REFUSED", "feed_uri"),
            (|r| r.source = Some(from("https://localhost/42.ics")), "FEED_URI_REFUSED", "feed_uri"),
            (|r| r.source = Some(from("https://me:secret@rosters.example.org/42.ics")), "FEED_URI_REFUSED", "feed_uri"),
            (|r| r.source = Some(from("https://rosters.example.org:8443/42.ics")), "FEED_URI_REFUSED", "feed_uri"),
            (|r| r.source = Some(from("https://rosters.example.org/4 2.ics")), "MALFORMED", "feed_uri"),
            (|r| r.source = Some(from(&format!("https://rosters.example.org/{}", "a".repeat(2_000)))), "TOO_LONG", "feed_uri"),
        ]).await;
        let more = v1::ImportRosterRequest { source: Some(v1::import_roster_request::Source::ShiftList(v1::ShiftList { shifts: vec![shift(); 100_000] })), ..base };
        refused_whole(import(more).await, "TOO_LONG");
        let base = v1::DeleteRosterRequest { request_id: request_id() };
        check(&world, async |request| worker.client.roster().delete_roster(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.request_id = "no".to_owned(), "MALFORMED", "request_id"),
        ]).await;
        let nothing = worker.client.roster().get_roster(v1::GetRosterRequest {}).await.unwrap_err();
        assert_eq!(Refusal::from(nothing).reason, "NOT_FOUND");
    }

    // privacy.md, section 8
    async fn calendar_files_that_explode(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let worker = world.worker().await;
        worker.works(BERLIN, &[("2026-03-23T20:00:00Z", "2026-03-24T05:30:00Z")], "2026-04-30").await;
        let before = world.fingerprint().await;
        let rule = |rule: &str| event(&format!("DTSTART:20260323T200000\nDTEND:20260324T053000\nRRULE:{rule}"));
        let since = |start: &str, rule: &str| event(&format!("DTSTART:{start}T000000Z\nDURATION:PT8H\nRRULE:{rule}"));
        let nested = format!("BEGIN:VCALENDAR\n{}{}END:VCALENDAR\n", "BEGIN:VEVENT\n".repeat(40_000), "END:VEVENT\n".repeat(40_000));
        let dates = (0..400).fold(String::from("EXDATE:20260323T200000"), |mut dates, n| {
            let _ = write!(dates, ",202{}0{}01T000000", n % 10, n % 9 + 1);
            dates
        });
        let (malformed, large, recurrence, zone) = ("ICALENDAR_MALFORMED", "ICALENDAR_TOO_LARGE", "ICALENDAR_RECURRENCE_REFUSED", "ICALENDAR_UNKNOWN_ZONE");
        let cases: Vec<(&str, Vec<u8>, &str)> = vec![
            ("nothing", Vec::new(), malformed),
            ("not text", vec![0xff; 100], malformed),
            ("broken text inside", calendar("SUMMARY:\u{fffd}").into_bytes().into_iter().map(|b| if b == 0xbf { 0xff } else { b }).collect(), malformed),
            ("a picture", b"\x89PNG\r\n\x1a\n".repeat(1_000), malformed),
            ("a page", b"<html>".to_vec(), malformed),
            ("unbalanced", b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VCALENDAR\n".to_vec(), malformed),
            ("secondly", rule("FREQ=SECONDLY").into(), recurrence),
            ("minutely since 1970", since("19700101", "FREQ=MINUTELY").into(), recurrence),
            ("hourly since 1970", since("19700101", "FREQ=HOURLY").into(), recurrence),
            ("counted since 1970", since("19700101", "FREQ=DAILY;COUNT=900").into(), recurrence),
            ("dense lists", rule("FREQ=YEARLY;BYHOUR=0,1,2,3;BYMINUTE=0,1,2,3;BYSECOND=0,1,2,3").into(), recurrence),
            ("never", rule("FREQ=DAILY;INTERVAL=0").into(), recurrence),
            ("rarely", rule("FREQ=DAILY;INTERVAL=367").into(), recurrence),
            ("often", rule("FREQ=DAILY;COUNT=1001").into(), recurrence),
            ("very often", rule("FREQ=DAILY;COUNT=99999999999999999999").into(), recurrence),
            ("taken away again", event("DTSTART:20260323T200000Z\nRRULE:FREQ=DAILY\nEXRULE:FREQ=DAILY").into(), recurrence),
            ("two rules", event("DTSTART:20260323T200000Z\nRRULE:FREQ=DAILY\nRRULE:FREQ=WEEKLY").into(), recurrence),
            ("dates without end", event(&format!("DTSTART:20260323T200000\nRRULE:FREQ=DAILY\n{dates}")).into(), large),
            ("100,000 lines", calendar(&"X-A:1\n".repeat(100_000)).into(), ""),
            ("a long line", calendar(&format!("SUMMARY:{}", "x".repeat(9_000))).into(), large),
            ("a folded one", calendar(&format!("SUMMARY:x{}", "\n x".repeat(9_000))).into(), large),
            ("deep", nested.into(), large),
            ("many events", calendar(&"BEGIN:VEVENT\nDTSTART:20260323T200000Z\nEND:VEVENT\n".repeat(2_001)).into(), large),
            ("many rules", calendar(&"BEGIN:VEVENT\nDTSTART:20260323T200000Z\nRRULE:FREQ=DAILY\nEND:VEVENT\n".repeat(201)).into(), large),
            ("a byte too many", vec![b' '; 1024 * 1024 + 1], large),
            ("a zone of nowhere", event("DTSTART;TZID=Mars/Base:20260323T200000\nDURATION:PT8H").into(), zone),
            ("without a start", event("SUMMARY:x").into(), malformed),
            ("backwards", event("DTSTART:20260324T200000Z\nDTEND:20260323T200000Z").into(), malformed),
            ("the 30th of February", event("DTSTART:20260230T200000Z").into(), malformed),
        ];
        for (case, file, reason) in cases {
            let request = v1::ImportRosterRequest {
                request_id: request_id(),
                source: Some(v1::import_roster_request::Source::Icalendar(file)),
                time_zone: BERLIN.to_owned(),
                publish_date: None,
                on_call: false,
            };
            let answer = worker.client.roster().import_roster(request).await.map_err(Refusal::from);
            match answer {
                Ok(answer) => {
                    // Work without harm: it is a calendar, and there is nothing in it.
                    assert_eq!((reason, answer.into_inner().shift_count), ("", 0), "{case}");
                    worker.works(BERLIN, &[("2026-03-23T20:00:00Z", "2026-03-24T05:30:00Z")], "2026-04-30").await;
                }
                Err(refused) => {
                    assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, reason), "{case}: {refused}");
                    assert_eq!(refused.violations[0].field, "icalendar", "{case}");
                }
            }
        }
        // Exactly 1 MiB is read; it is not much of a calendar.
        let whole = v1::ImportRosterRequest {
            request_id: request_id(),
            source: Some(v1::import_roster_request::Source::Icalendar(vec![b'\n'; 1024 * 1024])),
            time_zone: BERLIN.to_owned(),
            ..Default::default()
        };
        let refused = Refusal::from(worker.client.roster().import_roster(whole).await.unwrap_err());
        assert_eq!(refused.reason, malformed);
        let after = world.fingerprint().await;
        let touched: Vec<_> = after.keys().filter(|table| after[*table] != before[*table]).collect();
        assert_eq!(touched, ["change", "request", "roster"], "by the one that was taken and the one put back");
        let kept = worker.client.roster().get_roster(v1::GetRosterRequest {}).await.unwrap().into_inner();
        assert_eq!(kept.roster.unwrap().shifts.len(), 1);
    }

    async fn contacts(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let worker = world.worker().await;
        let base = v1::SetContactRequest {
            request_id: request_id(),
            contact: Some(v1::Contact {
                email: "heron@example.com".to_owned(),
                language_code: "fr-CA".to_owned(),
                level: v1::ReminderLevel::Time.into(),
                lead_time: Some(minutes(15)),
                confirmed: true,
            }),
        };
        check(&world, async |request| worker.client.reminders().set_contact(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.contact = None, "REQUIRED", "contact"),
            (|r| of(&mut r.contact).email.clear(), "REQUIRED", "contact.email"),
            (|r| of(&mut r.contact).email = "heron".to_owned(), "MALFORMED", "contact.email"),
            (|r| of(&mut r.contact).email = "Heron <heron@example.com>".to_owned(), "MALFORMED", "contact.email"),
            (|r| of(&mut r.contact).email = "heron@example.com\r\nBcc: x@example.com".to_owned(), "MALFORMED", "contact.email"),
            (|r| of(&mut r.contact).email = "heron@example.com, x@example.com".to_owned(), "MALFORMED", "contact.email"),
            (|r| of(&mut r.contact).email = "-oQ/tmp@example.com".to_owned(), "MALFORMED", "contact.email"),
            (|r| of(&mut r.contact).email = "|sh@example.com".to_owned(), "MALFORMED", "contact.email"),
            (|r| of(&mut r.contact).email = "héron@example.com".to_owned(), "MALFORMED", "contact.email"),
            (|r| of(&mut r.contact).email = "heron@[127.0.0.1]".to_owned(), "MALFORMED", "contact.email"),
            (|r| of(&mut r.contact).email = "heron@exa\0mple.com".to_owned(), "MALFORMED", "contact.email"),
            (|r| of(&mut r.contact).email = format!("{}@example.com", "a".repeat(120)), "TOO_LONG", "contact.email"),
            (|r| of(&mut r.contact).email = "a".repeat(50_000), "TOO_LONG", "contact.email"),
            (|r| of(&mut r.contact).language_code.clear(), "REQUIRED", "contact.language_code"),
            (|r| of(&mut r.contact).language_code = "pt".to_owned(), "MALFORMED", "contact.language_code"),
            (|r| of(&mut r.contact).language_code = "de-".repeat(100), "MALFORMED", "contact.language_code"),
            (|r| of(&mut r.contact).language_code = "d\u{7}e".to_owned(), "MALFORMED", "contact.language_code"),
            (|r| of(&mut r.contact).level = 3, "MALFORMED", "contact.level"),
            (|r| of(&mut r.contact).lead_time = Some(minutes(14)), "OUT_OF_RANGE", "contact.lead_time"),
            (|r| of(&mut r.contact).lead_time = Some(minutes(7 * 1440 + 1)), "OUT_OF_RANGE", "contact.lead_time"),
            (|r| of(&mut r.contact).lead_time = Some(minutes(-15)), "MALFORMED", "contact.lead_time"),
            (|r| of(&mut r.contact).lead_time = Some(Duration { seconds: 900, nanos: 1 }), "MALFORMED", "contact.lead_time"),
        ]).await;
        let base = v1::ConfirmContactRequest { request_id: request_id(), code: "123456".to_owned() };
        refused(&world, &async |request| worker.client.reminders().confirm_contact(request).await, &base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.code.clear(), "REQUIRED", "code"),
            (|r| r.code = "12345".to_owned(), "MALFORMED", "code"),
            (|r| r.code = "１２３４５６".to_owned(), "MALFORMED", "code"),
            (|r| r.code = "1".repeat(60_000), "MALFORMED", "code"),
        ]).await;
        let base = v1::DeleteContactRequest { request_id: request_id() };
        check(&world, async |request| worker.client.reminders().delete_contact(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
        ]).await;
    }

    async fn notes(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let worker = world.worker().await;
        let booking_id = worker.books(&ada, "2026-03-23T10:00:00Z").await.unwrap().id;
        let (of_worker, of_ada) = (|| worker.client.notes(), || ada.client.notes());
        let device = client::NotesKey::from_seed(&[7; 32]).public();
        let base = v1::CreateDeviceKeyRequest {
            request_id: request_id(),
            device_key: Some(v1::DeviceKey {
                id: String::new(),
                public_key: device.to_bytes().to_vec(),
                expire_time: Some(timestamp(time("2027-03-21T09:00:00Z"))),
                signature: vec![1; 64],
            }),
        };
        check(&world, async |request| of_ada().create_device_key(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.device_key = None, "REQUIRED", "device_key"),
            (|r| of(&mut r.device_key).public_key.clear(), "REQUIRED", "device_key.public_key"),
            (|r| of(&mut r.device_key).public_key.truncate(31), "MALFORMED", "device_key.public_key"),
            (|r| of(&mut r.device_key).signature.clear(), "REQUIRED", "device_key.signature"),
            (|r| of(&mut r.device_key).signature.push(0), "MALFORMED", "device_key.signature"),
            (|r| of(&mut r.device_key).expire_time = None, "REQUIRED", "device_key.expire_time"),
            (|r| of(&mut r.device_key).expire_time = Some(timestamp(time(NOW))), "OUT_OF_RANGE", "device_key.expire_time"),
            (|r| of(&mut r.device_key).expire_time = Some(timestamp(time("2027-03-21T09:00:01Z"))), "OUT_OF_RANGE", "device_key.expire_time"),
            (|r| of(&mut r.device_key).expire_time = Some(Timestamp { seconds: i64::MAX, nanos: 0 }), "MALFORMED", "device_key.expire_time"),
        ]).await;
        let booking: uuid::Uuid = booking_id.parse().unwrap();
        let handover = device.seal_handover(booking.into_bytes(), "text").unwrap();
        let base = v1::PutIntakeRequest { request_id: request_id(), booking_id: booking_id.clone(), intake: handover.clone(), copy: handover.clone() };
        check(&world, async |request| of_worker().put_intake(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.booking_id.clear(), "REQUIRED", "booking_id"),
            (|r| r.booking_id.push('0'), "MALFORMED", "booking_id"),
            (|r| r.intake.clear(), "REQUIRED", "intake"),
            (|r| r.copy.clear(), "REQUIRED", "copy"),
            // Not padded, too little, too much, of another version, under another suite, in the clear.
            (|r| r.intake.push(0), "MALFORMED", "intake"),
            (|r| r.intake.truncate(1086), "MALFORMED", "intake"),
            (|r| r.intake.truncate(63), "MALFORMED", "intake"),
            (|r| r.intake.truncate(5), "MALFORMED", "intake"),
            (|r| r.intake.resize(63 + 17 * 1024, 0), "MALFORMED", "intake"),
            (|r| r.intake[0] = 2, "MALFORMED", "intake"),
            (|r| r.intake[6] = 1, "MALFORMED", "intake"),
            (|r| r.copy = vec![b'x'; 1087], "MALFORMED", "copy"),
        ]).await;
        let base = v1::PutHandoverRequest { request_id: request_id(), booking_id: booking_id.clone(), handover };
        refused(&world, &async |request| of_ada().put_handover(request).await, &base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.booking_id.clear(), "REQUIRED", "booking_id"),
            (|r| r.handover.clear(), "REQUIRED", "handover"),
            (|r| r.handover.push(0), "MALFORMED", "handover"),
        ]).await;
        check(&world, async |request| of_worker().get_device_key(request).await, v1::GetDeviceKeyRequest { booking_id: booking_id.clone() }, &[
            (|r| r.booking_id.clear(), "REQUIRED", "booking_id"),
            (|r| r.booking_id = "x".repeat(36), "MALFORMED", "booking_id"),
        ]).await;
        check(&world, async |request| of_worker().get_notes(request).await, v1::GetNotesRequest { booking_id: booking_id.clone() }, &[
            (|r| r.booking_id.clear(), "REQUIRED", "booking_id"),
            (|r| r.booking_id = "x".repeat(36), "MALFORMED", "booking_id"),
        ]).await;
        check(&world, async |request| of_ada().list_intakes(request).await, v1::ListIntakesRequest::default(), &[
            (|r| r.page_size = -1, "OUT_OF_RANGE", "page_size"),
            (|r| r.page_size = 101, "OUT_OF_RANGE", "page_size"),
            (|r| r.page_token = "AAAA".to_owned(), "PAGE_TOKEN_INVALID", "page_token"),
        ]).await;
        let base = v1::DeleteDeviceKeyRequest { request_id: request_id(), device_key_id: request_id() };
        refused(&world, &async |request| of_ada().delete_device_key(request).await, &base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.device_key_id.clear(), "REQUIRED", "device_key_id"),
            (|r| r.device_key_id = "7".to_owned(), "MALFORMED", "device_key_id"),
        ]).await;
        let base = v1::DeleteNotesRequest { request_id: request_id(), booking_id };
        check(&world, async |request| of_worker().delete_notes(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.booking_id.clear(), "REQUIRED", "booking_id"),
            (|r| r.booking_id = "x".repeat(36), "MALFORMED", "booking_id"),
        ]).await;
    }

    async fn bookings(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let worker = world.worker().await;
        let bookings = || worker.client.bookings();
        let base = Worker::hold_request(&ada, "2026-03-23T10:00:00Z");
        check(&world, async |request| bookings().hold_slot(request).await, base.clone(), &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.request_id.push('0'), "MALFORMED", "request_id"),
            (|r| r.therapist_id.clear(), "REQUIRED", "therapist_id"),
            (|r| r.therapist_id = "' or 1 = 1 --".to_owned(), "MALFORMED", "therapist_id"),
            (|r| r.session_type_id.clear(), "REQUIRED", "session_type_id"),
            (|r| r.session_type_id = "\0".repeat(36), "MALFORMED", "session_type_id"),
            (|r| r.start_time = None, "REQUIRED", "start_time"),
            (|r| of(&mut r.start_time).nanos = 1, "MALFORMED", "start_time"),
            (|r| of(&mut r.start_time).nanos = -1, "MALFORMED", "start_time"),
            (|r| of(&mut r.start_time).seconds = i64::MAX, "MALFORMED", "start_time"),
            (|r| of(&mut r.start_time).seconds = i64::MIN, "MALFORMED", "start_time"),
            (|r| of(&mut r.start_time).seconds = 0, "MALFORMED", "start_time"),
            (|r| r.modality = 0, "REQUIRED", "modality"),
            (|r| r.modality = 99, "MALFORMED", "modality"),
            (|r| r.modality = v1::Modality::Chat.into(), "OUT_OF_RANGE", "modality"),
        ]).await;
        // B3: the same id with another payload, in any field.
        let reused: [fn(&mut v1::HoldSlotRequest); 3] = [
            |r| r.modality = v1::Modality::Audio.into(),
            |r| of(&mut r.start_time).seconds += 1800,
            |r| r.roster_use = Some(v1::RosterUse { ignore_shifts: true, ..Default::default() }),
        ];
        for change in reused {
            let mut request = base.clone();
            change(&mut request);
            let refused = Refusal::from(bookings().hold_slot(request).await.unwrap_err());
            assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "REQUEST_ID_REUSED"));
            assert_eq!(refused.violations[0].field, "request_id");
        }
        // Nor does the id serve for another call.
        let confirm = v1::ConfirmBookingRequest { request_id: base.request_id.clone(), booking_id: request_id(), ..Default::default() };
        assert_eq!(Refusal::from(bookings().confirm_booking(confirm).await.unwrap_err()).reason, "REQUEST_ID_REUSED");

        let held = worker.holds(&ada, "2026-03-23T12:00:00Z").await.unwrap().id;
        let confirm = v1::ConfirmBookingRequest { request_id: request_id(), booking_id: held.clone(), ..Default::default() };
        check(&world, async |request| bookings().confirm_booking(request).await, confirm, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.booking_id.clear(), "REQUIRED", "booking_id"),
            (|r| r.booking_id = r.booking_id.to_uppercase().replace('-', "_"), "MALFORMED", "booking_id"),
            (|r| r.payment = Some(Payment::Credit(String::new())), "REQUIRED", "credit"),
            (|r| r.payment = Some(Payment::Credit("St. Ada".to_owned())), "MALFORMED", "credit"),
        ]).await;
        let reschedule = v1::RescheduleBookingRequest { request_id: request_id(), booking_id: held.clone(), start_time: Some(timestamp(time("2026-03-23T14:00:00Z"))), roster_use: Some(carrying(vec![shift()])) };
        check(&world, async |request| bookings().reschedule_booking(request).await, reschedule, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.booking_id.clear(), "REQUIRED", "booking_id"),
            (|r| r.start_time = None, "REQUIRED", "start_time"),
            (|r| of(&mut r.start_time).seconds = i64::MAX, "MALFORMED", "start_time"),
            (|r| r.roster_use = Some(carrying(vec![shift(); 401])), "TOO_MANY", "roster_use.roster.shifts"),
            (|r| r.roster_use = Some(carrying(vec![v1::Shift { span: Some(empty()), ..shift() }])), "REVERSED_SPAN", "roster_use.roster.shifts[0].span"),
            (|r| r.roster_use = Some(carrying(vec![v1::Shift { breaks: vec![span("2026-03-24T05:00:00Z", "2026-03-24T06:00:00Z")], ..shift() }])), "OUT_OF_RANGE", "roster_use.roster.shifts[0].breaks[0]"),
            (|r| r.roster_use = Some(carrying(vec![v1::Shift { span: Some(ten_years()), ..shift() }])), "OUT_OF_RANGE", "roster_use.roster.shifts[0].span"),
            (|r| of(&mut r.roster_use).roster = Some(v1::Roster { time_zone: "Mars/Base".to_owned(), ..Default::default() }), "UNKNOWN_ZONE", "roster_use.roster.time_zone"),
            (|r| of(&mut r.roster_use).roster = Some(v1::Roster::default()), "REQUIRED", "roster_use.roster.time_zone"),
            (|r| of(&mut of(&mut r.roster_use).roster).publish_date = Some(day(2026, 2, 30)), "MALFORMED", "roster_use.roster.publish_date"),
            (|r| of(&mut of(&mut r.roster_use).roster).publish_date = Some(date("2090-01-01")), "OUT_OF_RANGE", "roster_use.roster.publish_date"),
            (|r| { of(&mut r.roster_use).ignore_shifts = true; of(&mut r.roster_use).breaks_only = true; }, "OUT_OF_RANGE", "roster_use.breaks_only"),
        ]).await;
        let cancel = v1::CancelBookingRequest { request_id: request_id(), booking_id: held.clone() };
        check(&world, async |request| bookings().cancel_booking(request).await, cancel, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.booking_id = "x".to_owned(), "MALFORMED", "booking_id"),
        ]).await;
        let expiring = worker.holds(&ada, "2026-03-23T08:00:00Z").await.unwrap().id;
        let release = v1::ReleaseHoldRequest { request_id: request_id(), booking_id: expiring };
        check(&world, async |request| bookings().release_hold(request).await, release, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.booking_id = "x".to_owned(), "MALFORMED", "booking_id"),
        ]).await;
        let get = v1::GetBookingRequest { booking_id: held.clone() };
        check(&world, async |request| bookings().get_booking(request).await, get, &[
            (|r| r.booking_id.clear(), "REQUIRED", "booking_id"),
            (|r| r.booking_id = "x".repeat(60_000), "MALFORMED", "booking_id"),
        ]).await;
        let join = v1::JoinSessionRequest { booking_id: held.clone() };
        refused(&world, &async |request| bookings().join_session(request).await, &join, &[
            (|r| r.booking_id.clear(), "REQUIRED", "booking_id"),
            (|r| r.booking_id = "../room".to_owned(), "MALFORMED", "booking_id"),
        ]).await;
        let complete = v1::CompleteBookingRequest { request_id: request_id(), booking_id: held, outcome: v1::BookingState::Fulfilled.into() };
        refused(&world, &async |request| ada.client.bookings().complete_booking(request).await, &complete, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.booking_id.clear(), "REQUIRED", "booking_id"),
            (|r| r.outcome = 0, "REQUIRED", "outcome"),
            (|r| r.outcome = v1::BookingState::Cancelled.into(), "OUT_OF_RANGE", "outcome"),
            (|r| r.outcome = 77, "OUT_OF_RANGE", "outcome"),
        ]).await;

        // Lists, their sizes, and tokens of other lists.
        let list = v1::ListBookingsRequest { start_time: Some(timestamp(time(NOW))), page_size: 100, page_token: String::new() };
        check(&world, async |request| bookings().list_bookings(request).await, list, &[
            (|r| of(&mut r.start_time).nanos = 7, "MALFORMED", "start_time"),
            (|r| r.page_size = -1, "OUT_OF_RANGE", "page_size"),
            (|r| r.page_size = 101, "OUT_OF_RANGE", "page_size"),
            (|r| r.page_size = i32::MIN, "OUT_OF_RANGE", "page_size"),
            (|r| r.page_token = "AAAA".to_owned(), "PAGE_TOKEN_INVALID", "page_token"),
            (|r| r.page_token = "A".repeat(60_000), "PAGE_TOKEN_INVALID", "page_token"),
            (|r| r.page_token = "%%%\n".to_owned(), "PAGE_TOKEN_INVALID", "page_token"),
        ]).await;
        let agenda = v1::ListAgendaRequest { span: Some(span("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")), page_size: 1, page_token: String::new() };
        check(&world, async |request| ada.client.bookings().list_agenda(request).await, agenda, &[
            (|r| r.span = None, "REQUIRED", "span"),
            (|r| r.span = Some(reversed()), "REVERSED_SPAN", "span"),
            (|r| r.span = Some(ten_years()), "OUT_OF_RANGE", "span"),
            (|r| r.page_size = 101, "OUT_OF_RANGE", "page_size"),
            (|r| r.page_token = "x".to_owned(), "PAGE_TOKEN_INVALID", "page_token"),
        ]).await;
    }

    // A page token is good for one list of one caller alone.
    async fn page_tokens_of_others(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let (worker, other) = (world.worker().await, world.worker().await);
        for start in ["2026-03-23T08:00:00Z", "2026-03-23T10:00:00Z"] {
            worker.books(&ada, start).await.unwrap();
        }
        let list = v1::ListBookingsRequest { page_size: 1, ..Default::default() };
        let token = worker.client.bookings().list_bookings(list.clone()).await.unwrap().into_inner().next_page_token;
        assert_ne!(token, "");
        let search = v1::SearchSlotsRequest { window: Some(span("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z")), page_size: 1, ..Default::default() };
        let slots = worker.client.slots().search_slots(search.clone()).await.unwrap().into_inner().next_page_token;
        assert_ne!(slots, "");

        let refused = |answer: Result<(), Status>, case: &str| {
            let refused = Refusal::from(answer.expect_err(case));
            assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "PAGE_TOKEN_INVALID"), "{case}");
        };
        let listed = async |client: &Client, request: v1::ListBookingsRequest| client.bookings().list_bookings(request).await.map(drop);
        let with = |page_token: &str| v1::ListBookingsRequest { page_token: page_token.to_owned(), ..list.clone() };
        listed(&worker.client, with(&token)).await.unwrap();
        refused(listed(&other.client, with(&token)).await, "somebody else's");
        refused(listed(&worker.client, with(&slots)).await, "another list's");
        refused(listed(&worker.client, v1::ListBookingsRequest { start_time: Some(timestamp(time(NOW))), ..with(&token) }).await, "another question's");
        let mut forged = token.into_bytes();
        let last = forged.len() - 2;
        forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
        refused(listed(&worker.client, with(std::str::from_utf8(&forged).unwrap())).await, "a forged one");
        let searched = async |client: &Client, request: v1::SearchSlotsRequest| client.slots().search_slots(request).await.map(drop);
        let with = |page_token: &str| v1::SearchSlotsRequest { page_token: page_token.to_owned(), page_size: 7, ..search.clone() };
        searched(&worker.client, with(&slots)).await.unwrap();
        refused(searched(&other.client, with(&slots)).await, "somebody else's search");
        refused(searched(&worker.client, v1::SearchSlotsRequest { language_code: "de".to_owned(), ..with(&slots) }).await, "another search");
    }

    async fn searches(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let worker = world.worker().await;
        let filter = || v1::TherapistFilter {
            specializations: vec!["burnout".to_owned()],
            specialization_match: v1::SpecializationMatch::All.into(),
            languages: vec!["de".to_owned()],
            modalities: vec![v1::Modality::Video.into()],
            jurisdiction: "DE".to_owned(),
            genders: vec![v1::Gender::Female.into()],
            therapist_ids: vec![ada.id.clone()],
            approaches: vec!["cbt".to_owned()],
            cultural_competences: vec!["lgbtq".to_owned()],
            query: "burnout".to_owned(),
            exclusion_tags: vec!["St. Agnes".to_owned()],
        };
        let base = v1::SearchSlotsRequest {
            filter: Some(filter()),
            window: Some(span("2026-03-22T00:00:00Z", "2026-04-22T00:00:00Z")),
            duration: Some(minutes(50)),
            roster_use: Some(v1::RosterUse { ignore_shifts: true, beyond_published: true, ..Default::default() }),
            page_size: 100,
            page_token: String::new(),
            language_code: "de".to_owned(),
            times_of_day: vec![hours_of("08:00-12:00")],
            moving_booking_id: String::new(),
        };
        check(&world, async |request| worker.client.slots().search_slots(request).await, base, &[
            (|r| r.window = None, "REQUIRED", "window"),
            (|r| of(&mut r.window).start_time = None, "REQUIRED", "window.start_time"),
            (|r| of(&mut r.window).end_time = None, "REQUIRED", "window.end_time"),
            (|r| r.window = Some(reversed()), "REVERSED_SPAN", "window"),
            (|r| r.window = Some(empty()), "REVERSED_SPAN", "window"),
            (|r| r.window = Some(ten_years()), "OUT_OF_RANGE", "window"),
            (|r| of(&mut of(&mut r.window).end_time).seconds += 1, "OUT_OF_RANGE", "window"),
            (|r| of(&mut of(&mut r.window).end_time).seconds = i64::MAX, "MALFORMED", "window.end_time"),
            (|r| r.duration = Some(minutes(-50)), "MALFORMED", "duration"),
            (|r| r.duration = Some(Duration { seconds: 3_000, nanos: 999_999_999 }), "MALFORMED", "duration"),
            (|r| r.duration = Some(Duration { seconds: i64::MAX, nanos: 0 }), "MALFORMED", "duration"),
            (|r| r.page_size = -1, "OUT_OF_RANGE", "page_size"),
            (|r| r.page_size = 101, "OUT_OF_RANGE", "page_size"),
            (|r| r.page_token = "x".to_owned(), "PAGE_TOKEN_INVALID", "page_token"),
            (|r| r.language_code = "d".repeat(300), "MALFORMED", "language_code"),
            (|r| r.language_code = "de\u{1b}[0m".to_owned(), "MALFORMED", "language_code"),
            (|r| of(&mut r.filter).specializations = vec![String::new()], "REQUIRED", "filter.specializations[0]"),
            (|r| of(&mut r.filter).specializations.push("qqqqqqqq".to_owned()), "UNKNOWN_TERM", "filter.specializations[1]"),
            (|r| of(&mut r.filter).specializations.push("burnout".repeat(15)), "TOO_LONG", "filter.specializations[1]"),
            (|r| of(&mut r.filter).specializations.push("burn\0out".to_owned()), "MALFORMED", "filter.specializations[1]"),
            (|r| of(&mut r.filter).specializations = vec!["burnout".to_owned(); 21], "TOO_MANY", "filter.specializations"),
            (|r| of(&mut r.filter).specializations = vec![String::new(); 30_000], "TOO_MANY", "filter.specializations"),
            (|r| of(&mut r.filter).specialization_match = 9, "MALFORMED", "filter.specialization_match"),
            (|r| of(&mut r.filter).languages.push("german".to_owned()), "MALFORMED", "filter.languages[1]"),
            (|r| of(&mut r.filter).languages.push("de-".repeat(100)), "MALFORMED", "filter.languages[1]"),
            (|r| of(&mut r.filter).languages.push("de".to_owned()), "DUPLICATE", "filter.languages[1]"),
            (|r| of(&mut r.filter).languages = vec!["de".to_owned(); 11], "TOO_MANY", "filter.languages"),
            (|r| of(&mut r.filter).modalities.push(0), "REQUIRED", "filter.modalities[1]"),
            (|r| of(&mut r.filter).modalities.push(-7), "MALFORMED", "filter.modalities[1]"),
            (|r| of(&mut r.filter).modalities = vec![1; 4], "TOO_MANY", "filter.modalities"),
            (|r| of(&mut r.filter).jurisdiction = "Germany".to_owned(), "MALFORMED", "filter.jurisdiction"),
            (|r| of(&mut r.filter).jurisdiction = "DE-".to_owned(), "MALFORMED", "filter.jurisdiction"),
            (|r| of(&mut r.filter).genders.push(0), "REQUIRED", "filter.genders[1]"),
            (|r| of(&mut r.filter).genders.push(4), "MALFORMED", "filter.genders[1]"),
            (|r| of(&mut r.filter).therapist_ids.push("me".to_owned()), "MALFORMED", "filter.therapist_ids[1]"),
            (|r| of(&mut r.filter).therapist_ids = vec![String::new(); 101], "TOO_MANY", "filter.therapist_ids"),
            (|r| of(&mut r.filter).approaches.push("CBT".to_owned()), "UNKNOWN_TERM", "filter.approaches[1]"),
            (|r| of(&mut r.filter).approaches = vec![String::new(); 21], "TOO_MANY", "filter.approaches"),
            (|r| of(&mut r.filter).cultural_competences.push("lgbtq".to_owned()), "DUPLICATE", "filter.cultural_competences[1]"),
            (|r| of(&mut r.filter).exclusion_tags = vec!["x".to_owned(); 11], "TOO_MANY", "filter.exclusion_tags"),
            (|r| of(&mut r.filter).exclusion_tags.push("x".repeat(61)), "TOO_LONG", "filter.exclusion_tags[1]"),
            (|r| of(&mut r.filter).query = "ü".repeat(101), "TOO_LONG", "filter.query"),
            (|r| of(&mut r.filter).query = "burn\u{1b}out".to_owned(), "MALFORMED", "filter.query"),
            (|r| of(&mut r.filter).query = "qa qb qc qd qe qf qg qh qi qj qk".to_owned(), "TOO_MANY", "filter.query"),
            (|r| r.moving_booking_id = "mine".to_owned(), "MALFORMED", "moving_booking_id"),
            (|r| r.times_of_day.push(v1::LocalHours::default()), "REQUIRED", "times_of_day[1].start"),
            (|r| r.times_of_day.push(hours_of("08:00-23:59")), "END_BEFORE_MIDNIGHT", "times_of_day[1].end"),
            (|r| r.times_of_day = vec![v1::LocalHours::default(); 11], "TOO_MANY", "times_of_day"),
        ]).await;
        let anybody = world.anybody().await;
        let base = v1::SearchTherapistsRequest {
            filter: Some(filter()),
            window: Some(span("2026-03-22T00:00:00Z", "2026-04-22T00:00:00Z")),
            page_size: 100,
            page_token: String::new(),
            language_code: "fr-CA".to_owned(),
        };
        check(&world, async |request| anybody.directory().search_therapists(request).await, base, &[
            (|r| r.window = Some(reversed()), "REVERSED_SPAN", "window"),
            (|r| r.window = Some(v1::Span::default()), "REQUIRED", "window.start_time"),
            (|r| r.window = Some(ten_years()), "OUT_OF_RANGE", "window"),
            (|r| r.page_size = 101, "OUT_OF_RANGE", "page_size"),
            (|r| r.page_token = "x".to_owned(), "PAGE_TOKEN_INVALID", "page_token"),
            (|r| r.language_code = "x".repeat(300), "MALFORMED", "language_code"),
            (|r| of(&mut r.filter).genders = vec![1, 2, 3, 1], "TOO_MANY", "filter.genders"),
        ]).await;
        let base = v1::ListSpecializationsRequest { language_code: "es".to_owned(), query: "q".repeat(100) };
        check(&world, async |request| anybody.directory().list_specializations(request).await, base, &[
            (|r| r.language_code = "e".to_owned(), "MALFORMED", "language_code"),
            (|r| r.query = "q".repeat(101), "TOO_LONG", "query"),
            (|r| r.query = "\u{1F4A5}".repeat(10_000), "TOO_LONG", "query"),
        ]).await;
        let base = v1::GetTherapistRequest { therapist_id: ada.id.clone() };
        check(&world, async |request| anybody.directory().get_therapist(request).await, base, &[
            (|r| r.therapist_id.clear(), "REQUIRED", "therapist_id"),
            (|r| r.therapist_id.truncate(35), "MALFORMED", "therapist_id"),
        ]).await;
        let operator = world.operator().await;
        check(&world, async |request| operator.directory().list_therapists(request).await, v1::ListTherapistsRequest::default(), &[
            (|r| r.page_size = -1, "OUT_OF_RANGE", "page_size"),
            (|r| r.page_token = "x".to_owned(), "PAGE_TOKEN_INVALID", "page_token"),
        ]).await;
        // Whoever is in need is answered whatever they type.
        for country_code in ["x".repeat(60_000), "\0".to_owned(), "🇩🇪".to_owned()] {
            let request = v1::ListCrisisResourcesRequest { country_code };
            let listed = anybody.directory().list_crisis_resources(request).await.unwrap().into_inner();
            assert!(!listed.crisis_resources.is_empty());
        }
    }

    async fn profiles(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let operator = world.operator().await;
        let base = v1::CreateTherapistRequest {
            request_id: request_id(),
            therapist: Some(v1::Therapist {
                approaches: vec!["cbt".to_owned()],
                texts: vec![v1::LocalizedText { language_code: "de".to_owned(), text: "x".repeat(2_000) }],
                exclusion_tags: vec!["Charité".to_owned()],
                ..profile("Ada", BERLIN)
            }),
            public_key: Secret::generate().login_key().verifying_key().to_bytes().to_vec(),
        };
        check(&world, async |request| operator.directory().create_therapist(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.public_key.clear(), "REQUIRED", "public_key"),
            (|r| r.public_key.truncate(16), "MALFORMED", "public_key"),
            // A key of small order signs everything.
            (|r| r.public_key = [&[1][..], &[0; 31]].concat(), "MALFORMED", "public_key"),
            (|r| r.therapist = None, "REQUIRED", "therapist"),
            (|r| of(&mut r.therapist).display_name.clear(), "REQUIRED", "therapist.display_name"),
            (|r| of(&mut r.therapist).display_name = "   ".to_owned(), "REQUIRED", "therapist.display_name"),
            (|r| of(&mut r.therapist).display_name = "x".repeat(101), "TOO_LONG", "therapist.display_name"),
            (|r| of(&mut r.therapist).display_name = "Ada\nBrandt".to_owned(), "MALFORMED", "therapist.display_name"),
            (|r| of(&mut r.therapist).display_name = "Ada\u{202e}\0".to_owned(), "MALFORMED", "therapist.display_name"),
            (|r| of(&mut r.therapist).gender = 9, "MALFORMED", "therapist.gender"),
            (|r| of(&mut r.therapist).specializations[0].slug = "astrology".to_owned(), "UNKNOWN_TERM", "therapist.specializations[0].slug"),
            (|r| of(&mut r.therapist).specializations[1].years = 71, "OUT_OF_RANGE", "therapist.specializations[1].years"),
            (|r| of(&mut r.therapist).specializations[1].years = -1, "OUT_OF_RANGE", "therapist.specializations[1].years"),
            (|r| of(&mut r.therapist).specializations[1].slug = "burnout".to_owned(), "DUPLICATE", "therapist.specializations[1]"),
            (|r| of(&mut r.therapist).specializations = vec![v1::TherapistSpecialization::default(); 31], "TOO_MANY", "therapist.specializations"),
            (|r| of(&mut r.therapist).approaches.push("magic".to_owned()), "UNKNOWN_TERM", "therapist.approaches[1]"),
            (|r| of(&mut r.therapist).approaches = vec!["cbt".to_owned(); 2], "DUPLICATE", "therapist.approaches[1]"),
            (|r| of(&mut r.therapist).cultural_competences.push("none".to_owned()), "UNKNOWN_TERM", "therapist.cultural_competences[0]"),
            (|r| of(&mut r.therapist).languages.clear(), "REQUIRED", "therapist.languages"),
            (|r| of(&mut r.therapist).languages.push("DE".to_owned()), "DUPLICATE", "therapist.languages[2]"),
            (|r| of(&mut r.therapist).languages.push("x".repeat(300)), "MALFORMED", "therapist.languages[2]"),
            (|r| of(&mut r.therapist).languages = vec!["de".to_owned(); 21], "TOO_MANY", "therapist.languages"),
            (|r| of(&mut r.therapist).time_zone.clear(), "REQUIRED", "therapist.time_zone"),
            (|r| of(&mut r.therapist).time_zone = "Berlin".to_owned(), "UNKNOWN_ZONE", "therapist.time_zone"),
            (|r| of(&mut r.therapist).texts[0].text.clear(), "REQUIRED", "therapist.texts[0].text"),
            (|r| of(&mut r.therapist).texts[0].text.push('x'), "TOO_LONG", "therapist.texts[0].text"),
            (|r| of(&mut r.therapist).texts[0].text = "bell\u{7}".to_owned(), "MALFORMED", "therapist.texts[0].text"),
            (|r| of(&mut r.therapist).texts[0].language_code.clear(), "REQUIRED", "therapist.texts[0].language_code"),
            (|r| of(&mut r.therapist).texts = vec![v1::LocalizedText::default(); 11], "TOO_MANY", "therapist.texts"),
            (|r| of(&mut r.therapist).exclusion_tags.push("x".repeat(61)), "TOO_LONG", "therapist.exclusion_tags[1]"),
            (|r| of(&mut r.therapist).exclusion_tags.push(String::new()), "REQUIRED", "therapist.exclusion_tags[1]"),
            (|r| of(&mut r.therapist).exclusion_tags = vec!["x".to_owned(); 21], "TOO_MANY", "therapist.exclusion_tags"),
            (|r| credential(r).taxonomy_code.clear(), "REQUIRED", "therapist.credentials[0].taxonomy_code"),
            (|r| credential(r).taxonomy_code = "103tc0700x".to_owned(), "MALFORMED", "therapist.credentials[0].taxonomy_code"),
            (|r| credential(r).licence_number.clear(), "REQUIRED", "therapist.credentials[0].licence_number"),
            (|r| credential(r).licence_number = "x".repeat(61), "TOO_LONG", "therapist.credentials[0].licence_number"),
            (|r| credential(r).jurisdictions.clear(), "REQUIRED", "therapist.credentials[0].jurisdictions"),
            (|r| credential(r).jurisdictions[1] = "us-ny".to_owned(), "MALFORMED", "therapist.credentials[0].jurisdictions[1]"),
            (|r| credential(r).jurisdictions = vec!["DE".to_owned(); 61], "TOO_MANY", "therapist.credentials[0].jurisdictions"),
            (|r| credential(r).expire_date = None, "REQUIRED", "therapist.credentials[0].expire_date"),
            (|r| credential(r).expire_date = Some(day(2026, 2, 29)), "MALFORMED", "therapist.credentials[0].expire_date"),
            (|r| credential(r).expire_date = Some(day(0, 0, 0)), "MALFORMED", "therapist.credentials[0].expire_date"),
            (|r| of(&mut r.therapist).credentials = vec![v1::Credential::default(); 21], "TOO_MANY", "therapist.credentials"),
        ]).await;

        let ada = world.therapist("Ada", BERLIN).await;
        let base = v1::UpdateTherapistRequest {
            request_id: request_id(),
            therapist: Some(profile("Ada Brandt", BERLIN)),
            update_mask: Some(FieldMask { paths: vec!["display_name".to_owned()] }),
        };
        check(&world, async |request| ada.client.directory().update_therapist(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.therapist = None, "REQUIRED", "therapist"),
            (|r| r.update_mask = None, "FIELD_NOT_CHANGEABLE", "therapist.credentials"),
            (|r| of(&mut r.update_mask).paths = vec!["credentials".to_owned()], "FIELD_NOT_CHANGEABLE", "therapist.credentials"),
            (|r| of(&mut r.update_mask).paths = vec!["id".to_owned()], "FIELD_NOT_CHANGEABLE", "therapist.id"),
            (|r| of(&mut r.update_mask).paths = vec!["modalities".to_owned()], "FIELD_NOT_CHANGEABLE", "therapist.modalities"),
            (|r| of(&mut r.update_mask).paths = vec!["public_key".to_owned()], "MALFORMED", "update_mask"),
            (|r| of(&mut r.update_mask).paths = vec!["display_name".to_owned(), "*".to_owned()], "MALFORMED", "update_mask"),
            (|r| of(&mut r.therapist).display_name = "x".repeat(101), "TOO_LONG", "therapist.display_name"),
        ]).await;
        let base = v1::CreateCredentialRequest { request_id: request_id(), therapist_id: ada.id.clone(), credential: profile("", BERLIN).credentials.pop() };
        check(&world, async |request| operator.directory().create_credential(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.therapist_id.clear(), "REQUIRED", "therapist_id"),
            (|r| r.therapist_id = "x".to_owned(), "MALFORMED", "therapist_id"),
            (|r| r.credential = None, "REQUIRED", "credential"),
            (|r| of(&mut r.credential).taxonomy_code = "1".to_owned(), "MALFORMED", "credential.taxonomy_code"),
        ]).await;
        let read = v1::GetTherapistRequest { therapist_id: ada.id.clone() };
        let read = ada.client.directory().get_therapist(read).await.unwrap().into_inner().therapist.unwrap();
        let base = v1::VerifyCredentialRequest { request_id: request_id(), credential_id: read.credentials[0].id.clone(), verified: true };
        check(&world, async |request| operator.directory().verify_credential(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.credential_id.clear(), "REQUIRED", "credential_id"),
        ]).await;
        let base = v1::DeleteCredentialRequest { request_id: request_id(), credential_id: read.credentials[0].id.clone() };
        check(&world, async |request| ada.client.directory().delete_credential(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.credential_id = "x".to_owned(), "MALFORMED", "credential_id"),
        ]).await;
    }

    async fn availability(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let availability = || ada.client.availability();
        let base = v1::UpdateScheduleRequest {
            request_id: request_id(),
            schedule: Some(v1::Schedule {
                time_zone: BERLIN.to_owned(),
                windows: e2e::weekly_windows("Mon 08:00-20:00, Tue 08:00-20:00"),
                minimum_notice: Some(minutes(60)),
                horizon: Some(v1::schedule::Horizon::HorizonDays(90)),
                travels: vec![v1::Travel { start_date: Some(date("2026-04-01")), end_date: Some(date("2026-04-02")), time_zone: "Asia/Tokyo".to_owned() }],
                day_limits: Some(v1::LoadLimits { max_sessions: 1, max_session_time: Some(minutes(50)), max_load: 1 }),
                week_limits: Some(v1::LoadLimits { max_sessions: 10_000, max_session_time: Some(minutes(7 * 1_440)), max_load: 10_000 }),
                pacing: Some(v1::Pacing { max_sessions_in_a_row: 1, break_duration: Some(minutes(1)) }),
                protected_windows: e2e::weekly_windows("Mon 08:00-20:00"),
                protected_dates: vec![v1::ProtectedDate { date: Some(date("2026-04-06")), kind: v1::DateOverrideKind::Replace.into(), hours: Vec::new() }],
            }),
        };
        check(&world, async |request| availability().update_schedule(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.schedule = None, "REQUIRED", "schedule"),
            (|r| of(&mut r.schedule).time_zone.clear(), "REQUIRED", "schedule.time_zone"),
            (|r| of(&mut r.schedule).time_zone = "UTC+1".to_owned(), "UNKNOWN_ZONE", "schedule.time_zone"),
            (|r| of(&mut r.schedule).minimum_notice = Some(minutes(-60)), "MALFORMED", "schedule.minimum_notice"),
            (|r| of(&mut r.schedule).minimum_notice = Some(Duration { seconds: 60, nanos: 5 }), "MALFORMED", "schedule.minimum_notice"),
            (|r| of(&mut r.schedule).horizon = Some(v1::schedule::Horizon::HorizonDays(-5)), "OUT_OF_RANGE", "schedule.horizon_days"),
            (|r| of(&mut r.schedule).horizon = Some(v1::schedule::Horizon::HorizonDate(day(2026, 13, 1))), "MALFORMED", "schedule.horizon_date"),
            (|r| of(&mut r.schedule).windows[1].day = 0, "REQUIRED", "schedule.windows[1].day"),
            (|r| of(&mut r.schedule).windows[1].day = 8, "MALFORMED", "schedule.windows[1].day"),
            (|r| of(&mut r.schedule).windows[1].hours = None, "REQUIRED", "schedule.windows[1].hours"),
            (|r| hours(r).start = None, "REQUIRED", "schedule.windows[1].hours.start"),
            (|r| hours(r).end = None, "REQUIRED", "schedule.windows[1].hours.end"),
            (|r| hours(r).start = Some(clock(24, 0, 0)), "MALFORMED", "schedule.windows[1].hours.start"),
            (|r| hours(r).start = Some(clock(-1, 0, 0)), "MALFORMED", "schedule.windows[1].hours.start"),
            (|r| hours(r).start = Some(clock(8, 60, 0)), "MALFORMED", "schedule.windows[1].hours.start"),
            (|r| hours(r).start = Some(clock(8, 0, 1)), "MALFORMED", "schedule.windows[1].hours.start"),
            (|r| hours(r).end = Some(clock(23, 59, 0)), "END_BEFORE_MIDNIGHT", "schedule.windows[1].hours.end"),
            (|r| hours(r).end = Some(clock(i32::MAX, i32::MIN, 0)), "MALFORMED", "schedule.windows[1].hours.end"),
            (|r| of(&mut r.schedule).windows = vec![v1::WeeklyWindow::default(); 51], "TOO_MANY", "schedule.windows"),
            (|r| of(&mut r.schedule).windows = vec![v1::WeeklyWindow::default(); 30_000], "TOO_MANY", "schedule.windows"),
            (|r| of(&mut r.schedule).travels[0].start_date = None, "REQUIRED", "schedule.travels[0].start_date"),
            (|r| of(&mut r.schedule).travels[0].end_date = Some(day(2026, 4, 31)), "MALFORMED", "schedule.travels[0].end_date"),
            (|r| of(&mut r.schedule).travels[0].time_zone = "Tokyo".to_owned(), "UNKNOWN_ZONE", "schedule.travels[0].time_zone"),
            (|r| of(&mut r.schedule).travels = vec![v1::Travel::default(); 21], "TOO_MANY", "schedule.travels"),
            (|r| of(&mut of(&mut r.schedule).day_limits).max_sessions = -1, "OUT_OF_RANGE", "schedule.day_limits.max_sessions"),
            (|r| of(&mut of(&mut r.schedule).day_limits).max_load = -1, "OUT_OF_RANGE", "schedule.day_limits.max_load"),
            (|r| of(&mut of(&mut r.schedule).day_limits).max_session_time = Some(minutes(49)), "LIMIT_TOO_LOW", "schedule.day_limits.max_session_time"),
            (|r| of(&mut of(&mut r.schedule).week_limits).max_session_time = Some(minutes(0)), "LIMIT_TOO_LOW", "schedule.week_limits.max_session_time"),
            (|r| of(&mut of(&mut r.schedule).week_limits).max_session_time = Some(minutes(7 * 1_440 + 1)), "OUT_OF_RANGE", "schedule.week_limits.max_session_time"),
            (|r| of(&mut of(&mut r.schedule).week_limits).max_session_time = Some(Duration { seconds: 3_030, nanos: 0 }), "MALFORMED", "schedule.week_limits.max_session_time"),
            (|r| of(&mut of(&mut r.schedule).week_limits).max_sessions = 10_001, "OUT_OF_RANGE", "schedule.week_limits.max_sessions"),
            (|r| of(&mut of(&mut r.schedule).week_limits).max_load = i32::MIN, "OUT_OF_RANGE", "schedule.week_limits.max_load"),
            (|r| of(&mut of(&mut r.schedule).pacing).max_sessions_in_a_row = 0, "OUT_OF_RANGE", "schedule.pacing.max_sessions_in_a_row"),
            (|r| of(&mut of(&mut r.schedule).pacing).max_sessions_in_a_row = -7, "OUT_OF_RANGE", "schedule.pacing.max_sessions_in_a_row"),
            (|r| of(&mut of(&mut r.schedule).pacing).max_sessions_in_a_row = 51, "OUT_OF_RANGE", "schedule.pacing.max_sessions_in_a_row"),
            (|r| of(&mut of(&mut r.schedule).pacing).break_duration = None, "OUT_OF_RANGE", "schedule.pacing.break_duration"),
            (|r| of(&mut of(&mut r.schedule).pacing).break_duration = Some(minutes(8 * 60 + 1)), "OUT_OF_RANGE", "schedule.pacing.break_duration"),
            (|r| of(&mut of(&mut r.schedule).pacing).break_duration = Some(minutes(-1)), "MALFORMED", "schedule.pacing.break_duration"),
            (|r| of(&mut r.schedule).protected_windows = e2e::weekly_windows("Mon 08:00-20:00, Tue 08:00-20:00"), "PROTECTED_TIME_TOO_LONG", "schedule.protected_windows"),
            (|r| of(&mut r.schedule).protected_windows[0].day = 0, "REQUIRED", "schedule.protected_windows[0].day"),
            (|r| of(&mut r.schedule).protected_windows[0].hours = None, "REQUIRED", "schedule.protected_windows[0].hours"),
            (|r| of(&mut r.schedule).protected_windows = vec![v1::WeeklyWindow::default(); 51], "TOO_MANY", "schedule.protected_windows"),
            (|r| of(&mut r.schedule).protected_dates[0].date = None, "REQUIRED", "schedule.protected_dates[0].date"),
            (|r| of(&mut r.schedule).protected_dates[0].kind = 0, "REQUIRED", "schedule.protected_dates[0].kind"),
            (|r| of(&mut r.schedule).protected_dates[0].kind = 2, "REQUIRED", "schedule.protected_dates[0].hours"),
            (|r| of(&mut r.schedule).protected_dates[0].hours = vec![v1::LocalHours::default()], "REQUIRED", "schedule.protected_dates[0].hours[0].start"),
            (|r| { let day = of(&mut r.schedule).protected_dates[0].clone(); of(&mut r.schedule).protected_dates.push(v1::ProtectedDate { kind: 2, hours: vec![hours_of("08:00-09:00")], ..day }); }, "DUPLICATE", "schedule.protected_dates[1].date"),
            (|r| of(&mut r.schedule).protected_dates = vec![v1::ProtectedDate::default(); 101], "TOO_MANY", "schedule.protected_dates"),
        ]).await;

        let base = v1::CreateSessionTypeRequest {
            request_id: request_id(),
            session_type: Some(v1::SessionType {
                id: String::new(),
                display_name: "x".repeat(60),
                duration: Some(minutes(8 * 60)),
                buffer_before: Some(minutes(4 * 60)),
                buffer_after: None,
                modalities: vec![v1::Modality::Chat.into()],
                grid_interval: Some(minutes(1_440)),
                grid_offset: Some(minutes(1_439)),
                load_weight: 0,
            }),
        };
        check(&world, async |request| availability().create_session_type(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.session_type = None, "REQUIRED", "session_type"),
            (|r| of(&mut r.session_type).display_name.clear(), "REQUIRED", "session_type.display_name"),
            (|r| of(&mut r.session_type).display_name.push('x'), "TOO_LONG", "session_type.display_name"),
            (|r| of(&mut r.session_type).display_name = "a\tb".to_owned(), "MALFORMED", "session_type.display_name"),
            (|r| of(&mut r.session_type).duration = None, "OUT_OF_RANGE", "session_type.duration"),
            (|r| of(&mut r.session_type).duration = Some(minutes(4)), "OUT_OF_RANGE", "session_type.duration"),
            (|r| of(&mut r.session_type).duration = Some(minutes(481)), "OUT_OF_RANGE", "session_type.duration"),
            (|r| of(&mut r.session_type).duration = Some(minutes(-50)), "MALFORMED", "session_type.duration"),
            (|r| of(&mut r.session_type).duration = Some(Duration { seconds: 3_030, nanos: 0 }), "MALFORMED", "session_type.duration"),
            (|r| of(&mut r.session_type).duration = Some(Duration { seconds: i64::MAX - 7, nanos: 0 }), "MALFORMED", "session_type.duration"),
            (|r| of(&mut r.session_type).buffer_before = Some(minutes(241)), "OUT_OF_RANGE", "session_type.buffer_before"),
            (|r| of(&mut r.session_type).buffer_after = Some(minutes(241)), "OUT_OF_RANGE", "session_type.buffer_after"),
            (|r| of(&mut r.session_type).buffer_after = Some(minutes(-1)), "MALFORMED", "session_type.buffer_after"),
            (|r| of(&mut r.session_type).modalities.clear(), "REQUIRED", "session_type.modalities"),
            (|r| of(&mut r.session_type).modalities.push(3), "DUPLICATE", "session_type.modalities[1]"),
            (|r| of(&mut r.session_type).modalities.push(4), "MALFORMED", "session_type.modalities[1]"),
            (|r| of(&mut r.session_type).modalities = vec![1, 2, 3, 1], "TOO_MANY", "session_type.modalities"),
            (|r| of(&mut r.session_type).grid_interval = None, "OUT_OF_RANGE", "session_type.grid_interval"),
            (|r| of(&mut r.session_type).grid_interval = Some(minutes(1_441)), "OUT_OF_RANGE", "session_type.grid_interval"),
            (|r| of(&mut r.session_type).grid_offset = Some(minutes(1_440)), "OUT_OF_RANGE", "session_type.grid_offset"),
            (|r| of(&mut r.session_type).load_weight = -1, "OUT_OF_RANGE", "session_type.load_weight"),
            (|r| of(&mut r.session_type).load_weight = 101, "OUT_OF_RANGE", "session_type.load_weight"),
        ]).await;
        let listed = availability().list_session_types(v1::ListSessionTypesRequest {}).await.unwrap().into_inner();
        let base = v1::UpdateSessionTypeRequest { request_id: request_id(), session_type: Some(listed.session_types[0].clone()) };
        check(&world, async |request| availability().update_session_type(request).await, base, &[
            (|r| of(&mut r.session_type).id.clear(), "REQUIRED", "session_type.id"),
            (|r| of(&mut r.session_type).id = "x".to_owned(), "MALFORMED", "session_type.id"),
            (|r| r.session_type = None, "REQUIRED", "session_type"),
        ]).await;
        let base = v1::GetLoadRequest { start_date: Some(date("2026-03-01")), end_date: Some(date("2026-05-31")) };
        check(&world, async |request| availability().get_load(request).await, base, &[
            (|r| r.start_date = None, "REQUIRED", "start_date"),
            (|r| r.end_date = None, "REQUIRED", "end_date"),
            (|r| r.end_date = Some(day(2026, 2, 29)), "MALFORMED", "end_date"),
            (|r| r.end_date = Some(day(2026, 2, 28)), "REVERSED_SPAN", "end_date"),
            (|r| r.end_date = Some(day(2026, 6, 1)), "OUT_OF_RANGE", "end_date"),
        ]).await;
        let base = v1::PreviewAvailabilityRequest {
            session_type_id: listed.session_types[0].id.clone(),
            window: Some(span("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z")),
        };
        check(&world, async |request| availability().preview_availability(request).await, base, &[
            (|r| r.session_type_id.clear(), "REQUIRED", "session_type_id"),
            (|r| r.session_type_id = "x".to_owned(), "MALFORMED", "session_type_id"),
            (|r| r.window = None, "REQUIRED", "window"),
            (|r| r.window = Some(span("2026-03-01T00:00:00Z", "2026-04-01T00:00:01Z")), "OUT_OF_RANGE", "window"),
            (|r| r.window = Some(span("2026-03-02T00:00:00Z", "2026-03-01T00:00:00Z")), "REVERSED_SPAN", "window"),
            (|r| of(&mut r.window).end_time = None, "REQUIRED", "window.end_time"),
        ]).await;
        for bad in ["", "x", "42"] {
            let request_id = || bad.to_owned();
            let answers = [
                availability().create_calendar_feed(v1::CreateCalendarFeedRequest { request_id: request_id() }).await.map(drop),
                availability().rotate_calendar_feed(v1::RotateCalendarFeedRequest { request_id: request_id() }).await.map(drop),
                availability().delete_calendar_feed(v1::DeleteCalendarFeedRequest { request_id: request_id() }).await.map(drop),
            ];
            for answer in answers {
                let refused = Refusal::from(answer.unwrap_err());
                assert_eq!((refused.code, refused.violations[0].field.as_str()), (Code::InvalidArgument, "request_id"));
            }
        }
        let base = v1::DeleteSessionTypeRequest { request_id: request_id(), session_type_id: listed.session_types[0].id.clone() };
        check(&world, async |request| availability().delete_session_type(request).await, base, &[
            (|r| r.session_type_id.clear(), "REQUIRED", "session_type_id"),
            (|r| r.session_type_id = "x".to_owned(), "MALFORMED", "session_type_id"),
        ]).await;

        let base = v1::CreateDateOverrideRequest {
            request_id: request_id(),
            date_override: Some(v1::DateOverride {
                id: String::new(),
                date: Some(date("2026-03-24")),
                kind: v1::DateOverrideKind::Replace.into(),
                hours: vec![hours_of("06:00-22:00")],
            }),
        };
        check(&world, async |request| availability().create_date_override(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.date_override = None, "REQUIRED", "date_override"),
            (|r| of(&mut r.date_override).date = None, "REQUIRED", "date_override.date"),
            (|r| of(&mut r.date_override).date = Some(day(2026, 2, 0)), "MALFORMED", "date_override.date"),
            (|r| of(&mut r.date_override).date = Some(day(1999, 12, 31)), "MALFORMED", "date_override.date"),
            (|r| of(&mut r.date_override).kind = 0, "REQUIRED", "date_override.kind"),
            (|r| of(&mut r.date_override).kind = 3, "MALFORMED", "date_override.kind"),
            (|r| of(&mut r.date_override).hours.push(hours_of("22:00-23:59")), "END_BEFORE_MIDNIGHT", "date_override.hours[1].end"),
            (|r| of(&mut r.date_override).hours.push(v1::LocalHours::default()), "REQUIRED", "date_override.hours[1].start"),
            (|r| of(&mut r.date_override).hours = vec![v1::LocalHours::default(); 11], "TOO_MANY", "date_override.hours"),
        ]).await;
        let base = v1::CreateTimeOffRequest { request_id: request_id(), time_off: Some(v1::TimeOff { id: String::new(), span: Some(span("2026-04-01T00:00:00Z", "2027-04-01T00:00:00Z")) }) };
        check(&world, async |request| availability().create_time_off(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.time_off = None, "REQUIRED", "time_off"),
            (|r| of(&mut r.time_off).span = None, "REQUIRED", "time_off.span"),
            (|r| of(&mut r.time_off).span = Some(reversed()), "REVERSED_SPAN", "time_off.span"),
            (|r| of(&mut r.time_off).span = Some(ten_years()), "OUT_OF_RANGE", "time_off.span"),
        ]).await;
        let address = "https://calendars.example.org/1.ics";
        world.calendars.publish(address, &event("DTSTART:20260322T200000Z\nDTEND:20260323T053000Z"));
        let busy_feed = v1::BusyFeed { display_name: "clinic".to_owned(), feed_uri: address.to_owned(), ..Default::default() };
        let base = v1::CreateBusyFeedRequest { request_id: request_id(), busy_feed: Some(busy_feed) };
        check(&world, async |request| availability().create_busy_feed(request).await, base, &[
            (|r| r.request_id.clear(), "REQUIRED", "request_id"),
            (|r| r.busy_feed = None, "REQUIRED", "busy_feed"),
            (|r| of(&mut r.busy_feed).display_name.clear(), "REQUIRED", "busy_feed.display_name"),
            (|r| of(&mut r.busy_feed).display_name = "x".repeat(61), "TOO_LONG", "busy_feed.display_name"),
            (|r| of(&mut r.busy_feed).display_name = "two\nlines".to_owned(), "MALFORMED", "busy_feed.display_name"),
            (|r| of(&mut r.busy_feed).feed_uri.clear(), "REQUIRED", "busy_feed.feed_uri"),
            (|r| of(&mut r.busy_feed).feed_uri = "https://10.0.0.1/1.ics".to_owned(), "FEED_URI_REFUSED", "busy_feed.feed_uri"),
            (|r| of(&mut r.busy_feed).feed_uri = "https://x.example.org:22/1.ics".to_owned(), "FEED_URI_REFUSED", "busy_feed.feed_uri"),
            (|r| of(&mut r.busy_feed).feed_uri = "https://x.example.org/1 2.ics".to_owned(), "MALFORMED", "busy_feed.feed_uri"),
            (|r| of(&mut r.busy_feed).feed_uri = format!("https://x.example.org/{}", "a".repeat(2_000)), "TOO_LONG", "busy_feed.feed_uri"),
        ]).await;
        for (call, answer) in [
            ("override", availability().delete_date_override(v1::DeleteDateOverrideRequest { request_id: request_id(), date_override_id: String::new() }).await.map(drop)),
            ("busy feed", availability().delete_busy_feed(v1::DeleteBusyFeedRequest { request_id: request_id(), busy_feed_id: "x".to_owned() }).await.map(drop)),
            ("time off", availability().delete_time_off(v1::DeleteTimeOffRequest { request_id: request_id(), time_off_id: "x".to_owned() }).await.map(drop)),
        ] {
            assert_eq!(answer.unwrap_err().code(), Code::InvalidArgument, "{call}");
        }
    }

    // What says that it is text, and is none.
    async fn bytes_that_are_no_text(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let mut grpc = tonic::client::Grpc::new(e2e::channel(world.address).await);
        grpc.ready().await.unwrap();
        let path = "/respite.v1.DirectoryService/ListSpecializations".parse().unwrap();
        let codec = tonic_prost::ProstCodec::<NotText, ()>::default();
        let request = tonic::Request::new(NotText { query: vec![0xff, 0xfe] });
        refused_whole(grpc.unary(request, path, codec).await, "MALFORMED");
    }

    // A message over the limit is not read at all.
    async fn messages_over_the_limit(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let (worker, anybody) = (world.worker().await, world.anybody().await);
        let before = world.fingerprint().await;
        let big = v1::ListSpecializationsRequest { language_code: String::new(), query: "q".repeat(70_000) };
        refused_whole(anybody.directory().list_specializations(big).await, "TOO_LONG");
        let big = v1::ListBookingsRequest { page_token: "A".repeat(5_000_000), ..Default::default() };
        refused_whole(worker.client.bookings().list_bookings(big).await, "TOO_LONG");
        assert!(world.fingerprint().await == before);
    }
}

/// A message in which something is no text.
#[derive(Clone, PartialEq, prost::Message)]
struct NotText {
    /// Where `ListSpecializationsRequest` has its query.
    #[prost(bytes = "vec", tag = "2")]
    query: Vec<u8>,
}

/// The message as a whole is wrong.
fn refused_whole<A>(answer: Result<Response<A>, Status>, reason: &str) {
    let refusal = Refusal::from(answer.err().expect("a refusal"));
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::InvalidArgument, reason));
    assert_eq!(refusal.violations[0].field, "request");
}

/// Every case is refused with its reason and its path, nothing changes, and then the request itself is taken.
async fn check<R: Clone, A>(
    world: &World,
    call: impl AsyncFn(R) -> Result<Response<A>, Status>,
    base: R,
    cases: &[Case<R>],
) {
    refused(world, &call, &base, cases).await;
    if let Err(status) = call(base).await {
        panic!("the request itself is refused: {}", Refusal::from(status));
    }
}

async fn refused<R: Clone, A>(
    world: &World,
    call: &impl AsyncFn(R) -> Result<Response<A>, Status>,
    base: &R,
    cases: &[Case<R>],
) {
    let what = std::any::type_name::<R>();
    let before = world.fingerprint().await;
    for (index, (change, reason, field)) in cases.iter().enumerate() {
        let mut request = base.clone();
        change(&mut request);
        let case = format!("{what} {index}, {reason} at {field}");
        let Err(status) = call(request).await else { panic!("{case} is answered") };
        let refusal = Refusal::from(status);
        assert_eq!((refusal.code, refusal.reason.as_str()), (Code::InvalidArgument, *reason), "{case}");
        let fields: Vec<_> = refusal.violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, [*field], "{case}");
        assert!(refusal.message.len() < 300, "{case}: what was sent is not sent back");
    }
    assert!(world.fingerprint().await == before, "{what}: a refused call changed something");
}

/// What the request has in any case.
fn of<T>(field: &mut Option<T>) -> &mut T {
    field.as_mut().unwrap()
}

fn shifts(request: &mut v1::ImportRosterRequest) -> &mut Vec<v1::Shift> {
    match of(&mut request.source) {
        v1::import_roster_request::Source::ShiftList(list) => &mut list.shifts,
        _ => panic!("the request has a list"),
    }
}

fn shift() -> v1::Shift {
    v1::Shift {
        span: Some(span("2026-03-23T20:00:00Z", "2026-03-24T05:30:00Z")),
        kind: v1::ShiftKind::Night.into(),
        breaks: Vec::new(),
    }
}

fn carrying(shifts: Vec<v1::Shift>) -> v1::RosterUse {
    let roster = v1::Roster { shifts, publish_date: None, time_zone: BERLIN.to_owned() };
    v1::RosterUse { roster: Some(roster), beyond_published: true, ..Default::default() }
}

fn from(address: &str) -> v1::import_roster_request::Source {
    v1::import_roster_request::Source::FeedUri(address.to_owned())
}

fn cycle(request: &mut v1::ImportRosterRequest) -> &mut v1::ShiftCycle {
    match pattern(request).repetition.as_mut() {
        Some(v1::shift_pattern::Repetition::Cycle(cycle)) => cycle,
        _ => panic!("the request has a cycle"),
    }
}

fn rule(request: &mut v1::ImportRosterRequest) -> &mut v1::ShiftRule {
    match pattern(request).repetition.as_mut() {
        Some(v1::shift_pattern::Repetition::Rule(rule)) => rule,
        _ => panic!("the request has a rule"),
    }
}

fn pattern(request: &mut v1::ImportRosterRequest) -> &mut v1::ShiftPattern {
    match of(&mut request.source) {
        v1::import_roster_request::Source::Pattern(pattern) => pattern,
        _ => panic!("the request has a pattern"),
    }
}

fn shift_hours() -> v1::ShiftHours {
    v1::ShiftHours {
        hours: Some(hours_of("19:00-07:00")),
        kind: v1::ShiftKind::Unspecified.into(),
        breaks: vec![v1::ShiftBreak { offset: Some(minutes(700)), duration: Some(minutes(20)) }],
    }
}

fn credential(request: &mut v1::CreateTherapistRequest) -> &mut v1::Credential {
    &mut of(&mut request.therapist).credentials[0]
}

fn hours(request: &mut v1::UpdateScheduleRequest) -> &mut v1::LocalHours {
    of(&mut of(&mut request.schedule).windows[1].hours)
}

fn clock(hours: i32, minutes: i32, seconds: i32) -> gtype::TimeOfDay {
    gtype::TimeOfDay { hours, minutes, seconds, nanos: 0 }
}

fn day(year: i32, month: i32, day: i32) -> gtype::Date {
    gtype::Date { year, month, day }
}

fn reversed() -> v1::Span {
    span("2026-03-24T00:00:00Z", "2026-03-23T00:00:00Z")
}

fn empty() -> v1::Span {
    span("2026-03-24T00:00:00Z", "2026-03-24T00:00:00Z")
}

fn ten_years() -> v1::Span {
    span("2026-03-24T00:00:00Z", "2036-03-24T00:00:00Z")
}

fn calendar(lines: &str) -> String {
    format!("BEGIN:VCALENDAR\nVERSION:2.0\n{lines}\nEND:VCALENDAR\n")
}

fn event(lines: &str) -> String {
    calendar(&format!("BEGIN:VEVENT\n{lines}\nEND:VEVENT"))
}
