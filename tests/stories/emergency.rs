//! HIPAA 164.312(a)(2)(ii): a contact is read by two operators together, by neither alone, and never behind the worker's back.

use api::v1;
use chrono::TimeDelta;
use client::{Client, Refusal, Secret, request_id};
use e2e::{Engine, Therapist, Worker, World};
use sea_orm::ConnectionTrait;
use services::audit;
use store::OperatorId;
use tokio::task::JoinSet;
use tonic::Code;

use crate::{notes, privacy};

const BERLIN: &str = "Europe/Berlin";
const FRIDAY: &str = "2026-03-20T09:00:00Z";
const MONDAY: &str = "2026-03-23T10:00:00Z";
const EMAIL: &str = "heron@example.com";

/// A booking whose therapist fears for somebody, and two operators.
struct Emergency {
    world: World,
    ada: Therapist,
    nurse: Worker,
    booking: v1::Booking,
    first: Client,
    second: Client,
    second_id: OperatorId,
}

/// One more operator, signed in.
pub(crate) async fn operator(world: &World) -> (Client, OperatorId) {
    let key = Secret::generate().login_key();
    let public_key = key.verifying_key().to_bytes();
    let id = services::operators::create(&world.app, "one more", &public_key).await.unwrap();
    (world.anybody().await.login(key).await.unwrap(), id)
}

pub(crate) async fn asks(operator: &Client, booking_id: &str) -> Result<String, Refusal> {
    let request = v1::RequestEmergencyAccessRequest {
        request_id: request_id(),
        booking_id: booking_id.to_owned(),
        reason: v1::EmergencyReason::DangerToSelf.into(),
    };
    Ok(operator.accesses().request_emergency_access(request).await?.into_inner().emergency_access_id)
}

pub(crate) async fn agrees(operator: &Client, id: &str) -> Result<(), Refusal> {
    let request =
        v1::ApproveEmergencyAccessRequest { request_id: request_id(), emergency_access_id: id.to_owned() };
    operator.accesses().approve_emergency_access(request).await?;
    Ok(())
}

pub(crate) async fn reads(operator: &Client, id: &str) -> Result<v1::ReadEmergencyContactResponse, Refusal> {
    let request = v1::ReadEmergencyContactRequest { emergency_access_id: id.to_owned() };
    Ok(operator.accesses().read_emergency_contact(request).await?.into_inner())
}

/// What the worker's own log says, the newest first, without times and ids.
async fn log(worker: &Worker) -> Vec<(v1::CallerKind, v1::AccessAction)> {
    let log = worker.client.accesses().list_accesses(v1::ListAccessesRequest {}).await.unwrap().into_inner();
    log.accesses.iter().map(|access| (access.caller(), access.action())).collect()
}

#[track_caller]
fn refused<T>(answer: Result<T, Refusal>, code: Code, reason: &str) {
    let refusal = answer.err().expect("it is refused");
    assert_eq!((refusal.code, refusal.reason.as_str()), (code, reason));
}

impl Emergency {
    async fn at(engine: Engine) -> Self {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        nurse.reached_at(&world, EMAIL, "de", v1::ReminderLevel::Time).await;
        let booking = nurse.books(&ada, MONDAY).await.unwrap();
        let first = world.operator().await;
        let (second, second_id) = operator(&world).await;
        Self { world, ada, nurse, booking, first, second, second_id }
    }

    async fn asked(&self) -> String {
        asks(&self.first, &self.booking.id).await.unwrap()
    }

    async fn agreed(&self) -> String {
        let id = self.asked().await;
        agrees(&self.second, &id).await.unwrap();
        id
    }

    async fn rows(&self) -> i64 {
        self.world.count("select count(*) from emergency_access").await
    }
}

e2e::stories! {
    async fn two_operators_read_a_contact_once_and_the_worker_sees_it(engine: Engine) {
        use v1::{AccessAction as A, CallerKind as K};
        let emergency = Emergency::at(engine).await;
        let Emergency { world, nurse, booking, first, second, second_id, .. } = &emergency;
        let id = asks(first, &booking.id).await.unwrap();
        // The second sees what it is that the first asks for.
        let open = async || {
            let list = v1::ListEmergencyAccessesRequest::default();
            let [open] = second.accesses().list_emergency_accesses(list).await.unwrap().into_inner().emergency_accesses.try_into().unwrap();
            open
        };
        let asked: v1::EmergencyAccess = open().await;
        assert_eq!((&asked.id, &asked.booking_id, asked.approver_id.as_str()), (&id, &booking.id, ""));
        world.pass(TimeDelta::minutes(5));
        agrees(second, &id).await.unwrap();
        let agreed = open().await;
        assert_eq!((agreed.approver_id, &agreed.requester_id), (second_id.to_string(), &asked.requester_id));
        let read = reads(first, &id).await.unwrap();
        assert_eq!(read, v1::ReadEmergencyContactResponse { email: EMAIL.to_owned(), language_code: "de".to_owned() });
        refused(reads(first, &asked.id).await, Code::FailedPrecondition, "EMERGENCY_ACCESS_READ");

        let told = nurse.client.accesses().list_accesses(v1::ListAccessesRequest {}).await.unwrap().into_inner().accesses;
        let seen: Vec<_> = told.iter().map(|access| (access.caller(), access.action())).collect();
        assert_eq!(seen, [
            (K::Operator, A::ReadEmergencyContact),
            (K::Operator, A::ApproveEmergencyAccess),
            (K::Operator, A::RequestEmergencyAccess),
            (K::Alias, A::SignIn),
        ]);
        for access in &told[..3] {
            assert_eq!((&access.booking_id, &access.emergency_access_id), (&booking.id, &asked.id));
        }
        assert_eq!(told[2].reason(), v1::EmergencyReason::DangerToSelf);
        // Nowhere else: whoever has the database does not read what somebody feared.
        let files = privacy::files(world, engine);
        assert_eq!(privacy::search(&files, &[("a reason", b"danger".to_vec())]), [""; 0]);
        let times: Vec<_> = told.iter().map(|access| access.create_time.unwrap().seconds).collect();
        assert_eq!(times, [300, 300, 0, 0].map(|second| e2e::time(FRIDAY).timestamp() + second));

        // Whoever answers for it finds who it was, and nothing of the worker.
        let entries = audit::entries(&world.app).await.unwrap();
        let entries: Vec<_> = entries.iter().rev().take(3).map(|entry| (entry.actor_id.unwrap().to_string(), entry.object.clone())).collect();
        let by = |id: &String| (id.clone(), asked.id.clone());
        assert_eq!(entries, [by(&asked.requester_id), by(&second_id.to_string()), by(&asked.requester_id)]);
        for id in [&booking.id, &nurse.id] {
            assert_eq!(world.count(&format!("select count(*) from audit where object like '%{id}%'")).await, 0);
        }
    }

    async fn nobody_does_it_alone(engine: Engine) {
        let emergency = Emergency::at(engine).await;
        let Emergency { world, nurse, booking, first, second, .. } = &emergency;
        let id = emergency.asked().await;
        let before = world.fingerprint().await;
        refused(agrees(first, &id).await, Code::PermissionDenied, "SECOND_OPERATOR_NEEDED");
        refused(reads(first, &id).await, Code::FailedPrecondition, "EMERGENCY_ACCESS_NOT_APPROVED");
        refused(reads(second, &id).await, Code::PermissionDenied, "OTHER_OPERATOR");
        assert!(world.fingerprint().await == before, "what is refused is not done");
        agrees(second, &id).await.unwrap();
        // Who agreed has not asked, and a third has done neither.
        refused(reads(second, &id).await, Code::PermissionDenied, "OTHER_OPERATOR");
        let (third, _) = operator(world).await;
        refused(reads(&third, &id).await, Code::PermissionDenied, "OTHER_OPERATOR");
        refused(agrees(&third, &id).await, Code::FailedPrecondition, "EMERGENCY_ACCESS_APPROVED");
        // An approval is for what was asked, not for what is asked next.
        let next = asks(first, &booking.id).await.unwrap();
        refused(reads(first, &next).await, Code::FailedPrecondition, "EMERGENCY_ACCESS_NOT_APPROVED");
        assert_eq!(log(nurse).await.len(), 4, "three steps and signing in");
    }

    // Not even a server that was tampered with.
    async fn the_database_refuses_one_who_does_both(engine: Engine) {
        let emergency = Emergency::at(engine).await;
        emergency.asked().await;
        let before = emergency.world.fingerprint().await;
        for attempt in [
            "update emergency_access set approved_by = requested_by",
            "update emergency_access set read_at = 0",
            "insert into emergency_access select booking_id, booking_id, requested_by, 0, requested_by, 9000000000, null from emergency_access",
        ] {
            let refused = emergency.world.app.db.read().execute_unprepared(attempt).await.expect_err(attempt);
            assert!(refused.to_string().to_lowercase().contains("check constraint"), "{refused}");
        }
        assert!(emergency.world.fingerprint().await == before);
    }

    // Who writes the second one's name into the row leaves nothing in the log that nobody changes: that is looked at.
    async fn what_nobody_is_on_record_to_have_approved_is_not_read(engine: Engine) {
        let emergency = Emergency::at(engine).await;
        let Emergency { world, first, second, .. } = &emergency;
        let id = emergency.asked().await;
        let forged = "update emergency_access set approved_by = (select id from operator where id <> requested_by)";
        assert_eq!(world.app.db.read().execute_unprepared(forged).await.unwrap().rows_affected(), 1);
        refused(reads(first, &id).await, Code::FailedPrecondition, "EMERGENCY_ACCESS_NOT_APPROVED");
        // Nor is the approval of another one.
        let other = emergency.asked().await;
        agrees(second, &other).await.unwrap();
        refused(reads(first, &id).await, Code::FailedPrecondition, "EMERGENCY_ACCESS_NOT_APPROVED");
        reads(first, &other).await.unwrap();
    }

    // However often they ask afterwards: what was read stays in the worker's log.
    async fn a_contact_that_was_read_is_not_driven_out_of_the_log(engine: Engine) {
        let emergency = Emergency::at(engine).await;
        let Emergency { world, nurse, booking, first, second, .. } = &emergency;
        let read = emergency.agreed().await;
        reads(first, &read).await.unwrap();
        for _ in 0..2 {
            for (one, other) in [(first, second), (second, first)] {
                for _ in 0..4 {
                    let id = asks(one, &booking.id).await.unwrap();
                    agrees(other, &id).await.unwrap();
                }
            }
            world.pass(TimeDelta::days(1));
        }
        for _ in 0..40 {
            world.anybody().await.login(nurse.key.clone()).await.unwrap();
        }
        let log = nurse.client.accesses().list_accesses(v1::ListAccessesRequest {}).await.unwrap().into_inner().accesses;
        assert!(log.iter().any(|access| access.action() == v1::AccessAction::ReadEmergencyContact && access.emergency_access_id == read));
        assert_eq!(log.iter().filter(|access| access.action() == v1::AccessAction::SignIn).count(), 30);
    }

    // Whose a session was is forgotten after a year, in the log as everywhere else.
    async fn the_log_lets_go_of_a_session_with_whose_it_was(engine: Engine) {
        let emergency = Emergency::at(engine).await;
        let Emergency { world, nurse, booking, first, .. } = &emergency;
        world.set_clock("2026-04-20T10:00:00Z");
        let id = asks(first, &booking.id).await.unwrap();
        let named = async || {
            let nurse = world.anybody().await.login(nurse.key.clone()).await.unwrap();
            let log = nurse.accesses().list_accesses(v1::ListAccessesRequest {}).await.unwrap().into_inner().accesses;
            let asked: Vec<_> = log.into_iter().filter(|access| access.emergency_access_id == id).collect();
            asked.into_iter().map(|access| access.booking_id).collect::<Vec<_>>()
        };
        for (now, left) in [("2027-03-26T09:59:59Z", booking.id.as_str()), ("2027-03-26T10:00:00Z", "")] {
            world.set_clock(now);
            services::retention::sweep(&world.app).await.unwrap();
            assert_eq!(named().await, [left], "{now}");
        }
    }

    async fn it_lasts_a_quarter_of_an_hour_and_another(engine: Engine) {
        let emergency = Emergency::at(engine).await;
        let Emergency { world, first, second, .. } = &emergency;
        let (late, in_time, unread) = (emergency.asked().await, emergency.asked().await, emergency.asked().await);
        world.pass(TimeDelta::seconds(15 * 60 - 1));
        agrees(second, &in_time).await.unwrap();
        agrees(second, &unread).await.unwrap();
        world.pass(TimeDelta::seconds(1));
        refused(agrees(second, &late).await, Code::FailedPrecondition, "EMERGENCY_ACCESS_EXPIRED");
        refused(reads(first, &late).await, Code::FailedPrecondition, "EMERGENCY_ACCESS_EXPIRED");
        world.pass(TimeDelta::seconds(15 * 60 - 2));
        assert_eq!(reads(first, &in_time).await.unwrap().email, EMAIL);
        world.pass(TimeDelta::seconds(1));
        refused(reads(first, &unread).await, Code::FailedPrecondition, "EMERGENCY_ACCESS_EXPIRED");
        let open = first.accesses().list_emergency_accesses(v1::ListEmergencyAccessesRequest::default()).await.unwrap().into_inner();
        assert_eq!(open.emergency_accesses, []);
        for (passed, left) in [(86_400 - 900, 3), (1, 2), (898, 2), (1, 0)] {
            world.pass(TimeDelta::seconds(passed));
            services::retention::sweep(&world.app).await.unwrap();
            assert_eq!(emergency.rows().await, left);
        }
    }

    async fn who_acts_at_once_does_it_once(engine: Engine) {
        let emergency = Emergency::at(engine).await;
        let Emergency { world, nurse, first, second, .. } = &emergency;
        let id = emergency.asked().await;
        let (third, _) = operator(world).await;
        let mut together = JoinSet::new();
        for operator in [second, &third].into_iter().cycle().take(8) {
            let (operator, id) = (operator.clone(), id.clone());
            together.spawn(async move { agrees(&operator, &id).await });
        }
        let agreed = together.join_all().await;
        assert_eq!(agreed.iter().filter(|agreed| agreed.is_ok()).count(), 1);
        for refusal in agreed.into_iter().filter_map(Result::err) {
            assert_eq!(refusal.reason, "EMERGENCY_ACCESS_APPROVED");
        }
        let mut together = JoinSet::new();
        for _ in 0..8 {
            let (first, id) = (first.clone(), id.clone());
            together.spawn(async move { reads(&first, &id).await });
        }
        let read = together.join_all().await;
        assert_eq!(read.iter().filter(|read| read.is_ok()).count(), 1);
        assert_eq!(log(nurse).await.len(), 4);
    }

    async fn of_an_erased_alias_there_is_nothing(engine: Engine) {
        let emergency = Emergency::at(engine).await;
        let Emergency { world, nurse, booking, first, second, .. } = &emergency;
        let (asked, agreed) = (emergency.asked().await, emergency.agreed().await);
        nurse.client.alias().erase_alias(v1::EraseAliasRequest {}).await.unwrap();
        assert_eq!(emergency.rows().await, 0);
        assert_eq!(world.count("select count(*) from access_log").await, 0);
        refused(asks(first, &booking.id).await, Code::NotFound, "NOT_FOUND");
        refused(agrees(second, &asked).await, Code::NotFound, "NOT_FOUND");
        refused(reads(first, &agreed).await, Code::NotFound, "NOT_FOUND");
        // Nor in what was answered and is remembered.
        let hex = match engine {
            Engine::Sqlite => "select lower(hex(response)) from request",
            Engine::Postgres => "select encode(response, 'hex') from request",
        };
        let booking_id = data_encoding::HEXLOWER.encode(booking.id.as_bytes());
        let remembered = world.texts(hex).await;
        assert!(!remembered.is_empty() && remembered.iter().all(|answer| !answer.contains(&booking_id)));
    }

    // Of a session that is cancelled, or long over, nobody fears anything now.
    async fn a_session_long_over_opens_no_door(engine: Engine) {
        let emergency = Emergency::at(engine).await;
        let Emergency { world, ada, nurse, booking, first, second, .. } = &emergency;
        let cancelled = nurse.books(ada, "2026-03-23T14:00:00Z").await.unwrap();
        let asked = asks(first, &cancelled.id).await.unwrap();
        nurse.cancels(&cancelled).await;
        refused(asks(first, &cancelled.id).await, Code::NotFound, "NOT_FOUND");
        refused(agrees(second, &asked).await, Code::NotFound, "NOT_FOUND");
        world.set_clock("2026-04-22T10:49:59Z");
        asks(first, &booking.id).await.unwrap();
        world.set_clock("2026-04-22T10:50:00Z");
        refused(asks(first, &booking.id).await, Code::NotFound, "NOT_FOUND");
    }

    async fn whose_contact_there_is_none_of_cannot_be_reached(engine: Engine) {
        let emergency = Emergency::at(engine).await;
        let Emergency { world, ada, nurse, first, second, .. } = &emergency;
        // A hold is nothing that a therapist knows of, nor is what never was.
        let held = nurse.holds(ada, "2026-03-23T12:00:00Z").await.unwrap().id;
        for id in [&held, &request_id()] {
            refused(asks(first, id).await, Code::NotFound, "NOT_FOUND");
            refused(agrees(second, id).await, Code::NotFound, "NOT_FOUND");
            refused(reads(first, id).await, Code::NotFound, "NOT_FOUND");
        }
        let id = emergency.agreed().await;
        // An address that nobody confirmed may be a stranger's.
        let contact = v1::Contact { email: "stranger@example.com".to_owned(), language_code: "en".to_owned(), ..Default::default() };
        let set = v1::SetContactRequest { request_id: request_id(), contact: Some(contact) };
        nurse.client.reminders().set_contact(set).await.unwrap();
        let before = world.fingerprint().await;
        refused(reads(first, &id).await, Code::FailedPrecondition, "NO_CONTACT");
        assert!(world.fingerprint().await == before, "it is not used up");
        nurse.reached_at(world, "egret@example.com", "en", v1::ReminderLevel::Time).await;
        assert_eq!(reads(first, &id).await.unwrap().email, "egret@example.com");
    }

    async fn an_operator_asks_five_times_a_day(engine: Engine) {
        let emergency = Emergency::at(engine).await;
        let Emergency { world, booking, first, second, .. } = &emergency;
        let request = v1::RequestEmergencyAccessRequest {
            request_id: request_id(),
            booking_id: booking.id.clone(),
            reason: v1::EmergencyReason::Medical.into(),
        };
        let once = first.accesses().request_emergency_access(request.clone()).await.unwrap().into_inner();
        assert_eq!(first.accesses().request_emergency_access(request).await.unwrap().into_inner(), once, "B3");
        for _ in 0..4 {
            emergency.asked().await;
        }
        refused(asks(first, &booking.id).await, Code::ResourceExhausted, "TOO_MANY_EMERGENCIES");
        // What is gone counts, too.
        world.app.db.read().execute_unprepared("delete from emergency_access").await.unwrap();
        refused(asks(first, &booking.id).await, Code::ResourceExhausted, "TOO_MANY_EMERGENCIES");
        for _ in 0..5 {
            asks(second, &booking.id).await.unwrap();
        }
        // The first reads of all five, two at a time.
        let (mut seen, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = v1::ListEmergencyAccessesRequest { page_size: 2, page_token };
            let page = first.accesses().list_emergency_accesses(request).await.unwrap().into_inner();
            seen.extend(page.emergency_accesses.into_iter().map(|access| access.id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 5);
        world.pass(TimeDelta::days(1));
        services::retention::sweep(&world.app).await.unwrap();
        asks(first, &booking.id).await.unwrap();
    }

    // As of somebody who turned out not to be one.
    async fn what_a_removed_operator_agreed_to_holds_no_more(engine: Engine) {
        let emergency = Emergency::at(engine).await;
        let id = emergency.agreed().await;
        services::operators::delete(&emergency.world.app, emergency.second_id).await.unwrap();
        refused(reads(&emergency.first, &id).await, Code::NotFound, "NOT_FOUND");
    }

    async fn the_log_tells_what_a_worker_and_their_therapist_did(engine: Engine) {
        use v1::{AccessAction as A, CallerKind as K};
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let (nurse, secret) = notes::worker(&world).await;
        let booking = nurse.books(&ada, MONDAY).await.unwrap();
        notes::tells(&world, &ada, &nurse, &secret, &booking).await;
        let before = world.count(LENGTHS).await;
        for _ in 0..3 {
            ada.client.notes().list_intakes(v1::ListIntakesRequest::default()).await.unwrap();
        }
        world.set_clock("2026-03-23T09:55:00Z");
        for _ in 0..3 {
            ada.client.bookings().join_session(v1::JoinSessionRequest { booking_id: booking.id.clone() }).await.unwrap();
        }
        let client = world.anybody().await.login(nurse.key.clone()).await.unwrap();
        client.bookings().join_session(v1::JoinSessionRequest { booking_id: booking.id.clone() }).await.unwrap();
        let mut export = client.alias().export_alias(v1::ExportAliasRequest {}).await.unwrap().into_inner();
        while export.message().await.unwrap().is_some() {}
        let nurse = Worker { client, ..nurse };
        assert_eq!(log(&nurse).await, [
            (K::Alias, A::Export),
            (K::Alias, A::SignIn),
            (K::Therapist, A::JoinSession),
            (K::Therapist, A::ReadIntake),
            (K::Alias, A::SignIn),
        ]);
        // Nothing of it shows in how much is kept, and nobody else is told.
        assert_eq!(world.count(LENGTHS).await, before);
        assert_eq!(log(&world.worker().await).await, [(K::Alias, A::SignIn)]);
    }
}

/// Of each log the same, and of this one before and after.
const LENGTHS: &str = "select count(distinct length(sealed)) * max(length(sealed)) from access_log";
