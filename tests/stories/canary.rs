//! What is said in confidence is nowhere but where it has to be, whatever happens to the processes that heard it.
//!
//! Both programs run as they are installed, with a collector and a mail server that keep everything; so does what stands
//! between them and whoever calls. Whatever is confidential is something that occurs nowhere else; what comes out
//! anywhere is searched for it. A further secret is a row of `canaries`; a place that has to have it is a row of
//! `ALLOWED`. A place that cannot be searched fails the story, and so does one in which nothing is found that the programs
//! are known to put there: so the search is tried, in every place, on what came there in the programs' own way.
//!
//! What a panic says is not provoked here: `server::a_panic_tells_its_place_alone` does, with the same telemetry and layers.

mod issuer;
mod kept;
mod scan;
mod sinks;

use std::{fs, time::Duration};

use api::{
    issuer::v1::{
        BeginLoginRequest, GetOfferRequest, IdTokenLogin, IssuePassesRequest,
        issuer_service_client::IssuerServiceClient,
    },
    v1,
};
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use client::{Client, Notes, Refusal, Secret, request_id};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use e2e::{
    Engine, Worker, World, date,
    hospital::{by_pass, key_log, programme},
    sign_in, span, time, timestamp, with_token,
};
use pass::{BlindSignature, ProgrammeId, PublicKey};
use sea_orm::ConnectionTrait;
use serde_json::json;
use services::Clock;
use tonic::{Request, Status, client::Grpc, transport::Endpoint};
use tonic_prost::ProstCodec;

use self::{
    issuer::{IssuerHome, scim},
    kept::folder_bytes,
    scan::{Allowed, Canary, Scanner, Sink, says_number},
    sinks::{CALLER, Collector, MailServer, Wire},
};
use crate::{
    crash::Process,
    emergency, notes,
    provider::{CLIENT_ID, Fake},
};

const WEEK: &str = "Mon 00:00-00:00, Tue 00:00-00:00, Wed 00:00-00:00, Thu 00:00-00:00, Fri 00:00-00:00, Sat 00:00-00:00, Sun 00:00-00:00";

const ALLOWED: &[Allowed] = &[
    Allowed { canary: "e-mail", sink: "envelopes", why: "a letter goes to its address" },
    Allowed { canary: "early e-mail", sink: "envelopes", why: "a reminder goes to its address" },
    Allowed { canary: "refused e-mail", sink: "envelopes", why: "the mail server is asked for it" },
    Allowed { canary: "early e-mail", sink: "answers to the worker", why: "it is in the export" },
    Allowed {
        canary: "early e-mail",
        sink: "answers to operators",
        why: "two of them read it in an emergency",
    },
    Allowed { canary: "feed", sink: "answers to the worker", why: "it is in the export" },
    Allowed { canary: "access token", sink: "answers to the worker", why: "it is how they sign in" },
    Allowed { canary: "access token's bytes", sink: "answers to the worker", why: "they are the token" },
    Allowed { canary: "issuer's key file", sink: "issuer's folder", why: "it is where the key is" },
    Allowed { canary: "zone rules", sink: "log", why: "the process says what it goes by" },
    Allowed { canary: "method", sink: "traces", why: "a trace is of a method" },
    Allowed { canary: "method", sink: "metrics", why: "so is what is measured" },
    Allowed { canary: "reason", sink: "refusals", why: "who is refused is told why" },
    Allowed { canary: "reason", sink: "headers and trailers", why: "that is where it is told" },
    Allowed { canary: "letter", sink: "letters", why: "it is what a letter says" },
    Allowed { canary: "therapist's handle", sink: "answers to the therapist", why: "it is whom they meet" },
    Allowed { canary: "report", sink: "answers to the hospital", why: "it is what they are told" },
    Allowed { canary: "issuer's address", sink: "issuer's log", why: "the process says where it listens" },
    Allowed { canary: "login's nonce", sink: "answers of the issuer", why: "the provider has to say it" },
    Allowed { canary: "user name", sink: "answers to the identity provider", why: "it said so" },
    Allowed { canary: "external id", sink: "answers to the identity provider", why: "it said so" },
    Allowed {
        canary: "provisioned staff number",
        sink: "answers to the identity provider",
        why: "it said so",
    },
    Allowed { canary: "alias id", sink: "answers to the worker", why: "alias.id" },
    Allowed { canary: "alias id", sink: "database", why: "alias.id" },
    Allowed { canary: "alias id", sink: "data folder", why: "alias.id" },
    Allowed { canary: "handle", sink: "answers to the worker", why: "alias.handle" },
    Allowed { canary: "handle", sink: "database", why: "alias.handle" },
    Allowed { canary: "handle", sink: "data folder", why: "alias.handle" },
];

/// What is open in the database is in the logs of one that has some.
const ALLOWED_BY_POSTGRES: &[Allowed] = &[
    Allowed { canary: "alias id", sink: "write-ahead log", why: "alias.id" },
    Allowed { canary: "alias id", sink: "PostgreSQL's log", why: "alias.id" },
    Allowed { canary: "handle", sink: "write-ahead log", why: "alias.handle" },
    Allowed { canary: "handle", sink: "PostgreSQL's log", why: "alias.handle" },
];

e2e::stories! {
    // G5, E1, R3, A1
    async fn what_is_said_in_confidence_is_where_it_has_to_be_and_nowhere_else(engine: Engine) {
        let said = |what: &str| format!("{what}-zq{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let (email, refused_email) = (said("heron") + "@example.org", said("refused") + "@example.org");
        let early_email = said("egret") + "@example.org";
        let (mistyped, place, tag) = (said("typo") + "@@example.org", said("Wing Nine"), said("ward"));
        let [feed, lost_feed, busy_feed] = ["roster", "lost", "busy"].map(|name| format!("https://{name}.invalid/{}.ics", said("feed")));
        let (staff_number, column) = (said("staff"), said("column"));
        let (agent, baggage, forwarded, path, malformed) = (said("agent"), said("baggage"), said("forwarded"), said("path"), said("malformed"));
        let (user_name, external_id, person, mail_at_work) = (said("user"), said("external"), said("Given"), said("work") + "@hospital.example");
        let (provisioned, subject) = (said("number"), said("subject"));
        let (trace, password) = (uuid::Uuid::new_v4().into_bytes(), said("password"));

        // A quarter that is over: a hospital, a therapist, and enough workers that there is something to report.
        let now = Clock::System.now();
        let quarter = last_quarter(now);
        let at = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc().to_rfc3339();
        let mut world = World::at(engine, &at(quarter)).await;
        let recording = kept::record(&world, engine).await;
        let hospital = world.hospital(v1::Programme { eligible_workers: 50, ..programme() }).await;
        hospital.publishes(&quarter.to_string(), &(quarter + Days::new(80)).to_string()).await.unwrap();
        let ada = world.therapist("Ada", "Etc/UTC").await.offers(WEEK, 50, 0, 10, 60).await;
        // By a server that connected when all was logged already.
        let (secret, elsewhere) = (Secret::generate(), Client::connect(world.serves_elsewhere().await).await.unwrap());
        let key = secret.login_key();
        let alias = elsewhere.create_alias(&key).await.unwrap();
        let client = world.anybody().await.login(key.clone()).await.unwrap();
        let first = Worker { id: alias.id, handle: alias.handle, key: key.clone(), client };
        // Devices let a new key rest for a while.
        let signs = at(quarter + Days::new(10));
        world.set_clock(&signs);
        let log = key_log(&world.anybody().await).await;
        for (hour, pass) in (0..).zip(hospital.signs(&log, &signs, 12)) {
            let colleague = if hour == 0 { None } else { Some(world.worker().await) };
            let worker = colleague.as_ref().unwrap_or(&first);
            let start = time(&at(quarter + Days::new(20))) + TimeDelta::hours(hour);
            let held = worker.holds(&ada, &start.to_rfc3339()).await.unwrap();
            worker.pays(&held, by_pass(&pass)).await.unwrap();
        }

        // Ten days ago: passes of the program, and a worker and a therapist whose calendars are fetched.
        world.set_clock(&(now - TimeDelta::days(10)).to_rfc3339());
        let folder = tempfile::tempdir().unwrap();
        let mut issuer = IssuerHome::make(folder.path(), &hospital.id, &staff_number, &column);
        let day = |days| (now + TimeDelta::days(days)).format("%F").to_string();
        let publish = v1::CreateProgrammeKeyRequest {
            request_id: request_id(),
            public_key: issuer.spki.clone(),
            first_date: Some(date(&day(-10))),
            last_date: Some(date(&day(30))),
        };
        hospital.manager.programmes().create_programme_key(publish).await.unwrap();
        let shift = (now + TimeDelta::days(20)).format("%Y%m%dT").to_string();
        let calendar = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:{place}\r\nDTSTART:{shift}201700Z\r\nDTEND:{shift}223000Z\r\n\
             SUMMARY:{place}\r\nLOCATION:{place}\r\nATTENDEE:mailto:{email}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        );
        world.calendars.publish(&feed, &calendar);
        world.calendars.publish(&busy_feed, &calendar);
        let import = |source| v1::ImportRosterRequest { request_id: request_id(), source: Some(source), time_zone: "Etc/UTC".to_owned(), publish_date: None, on_call: false };
        let from_feed = |address: &str| import(v1::import_roster_request::Source::FeedUri(address.to_owned()));
        first.client.roster().import_roster(from_feed(&feed)).await.unwrap();
        let elsewhere = v1::BusyFeed { display_name: "clinic".to_owned(), feed_uri: busy_feed.clone(), ..Default::default() };
        ada.client.availability().create_busy_feed(v1::CreateBusyFeedRequest { request_id: request_id(), busy_feed: Some(elsewhere) }).await.unwrap();
        // A session whose reminder is due by now, and an earlier one, which both wrote something about.
        let a_week_ahead = v1::Contact { email: early_email.clone(), language_code: "en".to_owned(), level: v1::ReminderLevel::Time.into(), lead_time: Some(e2e::minutes(7 * 24 * 60)), confirmed: false };
        first.client.reminders().set_contact(v1::SetContactRequest { request_id: request_id(), contact: Some(a_week_ahead) }).await.unwrap();
        world.deliver().await;
        let code = world.letters().pop().unwrap().body().chars().filter(char::is_ascii_digit).take(6).collect();
        first.client.reminders().confirm_contact(v1::ConfirmContactRequest { request_id: request_id(), code }).await.unwrap();
        let midnight = now.date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
        let told_of = first.books(&ada, &(midnight + TimeDelta::days(2)).to_rfc3339()).await.unwrap();
        let (midnight_before, id) = (midnight - TimeDelta::days(5), |booking: &v1::Booking| booking.id.parse().unwrap());
        let talked = first.books(&ada, &midnight_before.to_rfc3339()).await.unwrap();
        let device = notes::tells(&world, &ada, &first, &secret, &talked).await;
        world.set_clock(&midnight_before.to_rfc3339());
        let [(_, intake)] = device.intakes().await.unwrap().try_into().ok().unwrap();
        device.hand_over(id(&talked), &intake.reply_key, notes::HANDOVER).await.unwrap();
        let operators = [Secret::generate().login_key(), Secret::generate().login_key()];
        for operator in &operators {
            services::operators::create(&world.app, "one of two", &operator.verifying_key().to_bytes()).await.unwrap();
        }
        world.stop().await;

        // From here on, the programs.
        let (collector, mail) = (Collector::default(), MailServer::default());
        let (otlp, smtp) = (collector.serve().await, mail.serve().await);
        let settings = format!(
            "otlp_endpoint = \"http://{otlp}\"\n[mail]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nsender = \"Calendar <no-reply@example.org>\"\n",
            smtp.port()
        );
        world.database = world.database.replacen("respite@", &format!("respite:{password}@"), 1);
        let mut process = Process::start(&world, &world.database, folder.path(), &settings).await;
        let issuing = issuer.serve(&[]);
        let mut told = Told::default();
        let [to_worker, to_therapist, to_hospital, to_operators, from_issuer] = std::array::from_fn(|_| Wire::default());
        let worker_calls = to_worker.serve(process.address, &agent).await;
        let anybody = Client::connect(&*worker_calls).await.unwrap();
        let nurse = anybody.login(key.clone()).await.unwrap();
        let channel = Endpoint::from_shared(worker_calls.clone()).unwrap().connect().await.unwrap();
        let token = sign_in(&channel, &key).await;

        // The reminder leaves; two operators read where it went; the worker takes along what is held about them.
        until("the reminder leaves", async || holds(&mail.envelopes, &early_email) && holds(&mail.letters, "\n.\n")).await;
        let mut asking = Vec::new();
        let nobody = Client::connect(to_operators.serve(process.address, &agent).await).await.unwrap();
        for operator in &operators {
            asking.push(nobody.login(operator.clone()).await.unwrap());
        }
        let emergency = emergency::asks(&asking[0], &told_of.id).await.unwrap();
        told.refused(asking[0].accesses().read_emergency_contact(v1::ReadEmergencyContactRequest { emergency_access_id: emergency.clone() }).await);
        emergency::agrees(&asking[1], &emergency).await.unwrap();
        assert_eq!(emergency::reads(&asking[0], &emergency).await.unwrap().email, early_email);
        let mut export = nurse.alias().export_alias(v1::ExportAliasRequest {}).await.unwrap().into_inner();
        let mut exported = Vec::new();
        while let Some(piece) = export.message().await.unwrap() {
            exported.extend(piece.chunk);
        }
        assert!(String::from_utf8(exported).unwrap().contains(&early_email));
        let read = Notes::new(nurse.clone(), &secret, Vec::new()).read(id(&talked)).await.unwrap();
        assert_eq!(*read.handover.unwrap(), notes::HANDOVER);

        // The therapist reads what is to be read, and the hospital is told of its quarter.
        let therapist = Client::connect(to_therapist.serve(process.address, &agent).await).await.unwrap().login(ada.key.clone()).await.unwrap();
        let agenda = v1::ListAgendaRequest { span: Some(span(&now.to_rfc3339(), &(now + TimeDelta::days(20)).to_rfc3339())), page_size: 100, ..Default::default() };
        let [meeting] = therapist.bookings().list_agenda(agenda).await.unwrap().into_inner().entries.try_into().ok().unwrap();
        assert_eq!(therapist.notes().list_intakes(v1::ListIntakesRequest::default()).await.unwrap().into_inner().intakes.len(), 1);
        let manager = Client::connect(to_hospital.serve(process.address, &agent).await).await.unwrap().login(hospital.key.clone()).await.unwrap();
        until("a quarter is reported", async || !manager.programmes().list_reports(v1::ListReportsRequest {}).await.unwrap().into_inner().reports.is_empty()).await;
        let report = String::from_utf8(manager.programmes().list_reports(v1::ListReportsRequest {}).await.unwrap().into_inner().csv).unwrap();
        let report = report.lines().nth(1).unwrap().to_owned();
        assert!(report.ends_with(",10,,,"), "{report}");

        // The hospital signs, and a worker pays with what it signed.
        let log = key_log(&anybody).await;
        let programme = ProgrammeId(hospital.id.parse::<uuid::Uuid>().unwrap().into_bytes());
        let signing = PublicKey::try_from(&issuer.spki[..]).unwrap().id();
        let device = pass::Client::new(&log, programme, signing, now.timestamp()).unwrap();
        let pending: Vec<_> = (0..2).map(|_| device.blind()).collect();
        let ask = |activation_code: &str| IssuePassesRequest {
            activation_code: activation_code.to_owned(),
            key_id: signing.as_bytes().to_vec(),
            blinded_messages: pending.iter().map(|pending| pending.request().blinded_message.as_bytes().to_vec()).collect(),
            login: None,
        };
        let mut issuer_client = IssuerServiceClient::connect(from_issuer.serve(issuing.address, &agent).await).await.unwrap();
        issuer_client.get_offer(GetOfferRequest {}).await.unwrap();
        let signed = issuer_client.issue_passes(ask(&issuer.code)).await.unwrap().into_inner();
        let passes: Vec<_> = pending.iter().zip(&signed.blind_signatures).map(|(pending, signature)| device.finalize(pending, &BlindSignature::try_from(&signature[..]).unwrap()).unwrap()).collect();
        told.refused(issuer_client.issue_passes(ask(&malformed)).await);
        let mut broken = ask(&issuer.code);
        broken.blinded_messages[0] = malformed.clone().into_bytes();
        told.refused(issuer_client.issue_passes(broken).await);
        drop(issuer_client);

        // The hospital has its identity provider say who works there, and somebody signs in by it.
        let mut issuer_said = issuing.end();
        let (scim_token, provider) = (issuer.scim_token(), Fake::start().await);
        let arguments = format!("--scim-listen 127.0.0.1:0 --oidc-issuer {} --oidc-client-id {CLIENT_ID} --oidc-claim employee_number", provider.issuer);
        let issuing = issuer.serve(&arguments.split(' ').collect::<Vec<_>>());
        let issuing_at = issuing.address;
        let (scim_at, mut scim_told) = (issuing.scim.unwrap(), String::new());
        let user = |number: &str, user_name: &str| json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": user_name, "externalId": format!("{external_id}{number}"), "active": true,
            "name": { "givenName": person, "familyName": person }, "displayName": person, "emails": [{ "value": mail_at_work }],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "employeeNumber": number, "department": column },
        });
        for number in 0..50 {
            let (number, name) = (format!("N-{number}"), format!("colleague-{number}"));
            scim_told += &scim(scim_at, &scim_token, "POST /Users", &user(&number, &name)).await;
        }
        for (token, start, user, status) in [
            (&scim_token, "POST /Users", user(&provisioned, &user_name), "201"),
            (&scim_token, "POST /Users", user(&provisioned, &user_name), "409"),
            (&scim_token, "POST /Users", user(&format!("{provisioned} {person}"), &person), "400"),
            (&scim_token, "POST /Users", json!({ "userName": [&user_name], "name": &person }), "400"),
            (&scim_token, &*format!("PUT /Users/{provisioned}"), user(&provisioned, &user_name), "404"),
            (&scim_token, &*format!("GET /Users?filter=userName%20eq%20%22{user_name}%22"), json!({}), "200"),
            (&malformed, "POST /Users", user(&provisioned, &user_name), "401"),
        ] {
            let answer = scim(scim_at, token, start, &user).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{start}: {answer}");
            if status.starts_with('2') { scim_told += &answer; } else { told.0.extend(answer.into_bytes()); }
        }
        let mut issuer_client = IssuerServiceClient::connect(from_issuer.serve(issuing.address, &agent).await).await.unwrap();
        let nonce = issuer_client.begin_login(BeginLoginRequest {}).await.unwrap().into_inner().nonce;
        let mut id_tokens = Vec::new();
        for expires_in in [-3_600, 300] {
            let mut claims = provider.claims(&subject, &nonce, Clock::System.now().timestamp());
            for (name, value) in [("employee_number", json!(provisioned)), ("name", json!(person)), ("email", json!(mail_at_work))] {
                claims[name] = value;
            }
            claims["exp"] = json!(Clock::System.now().timestamp() + expires_in);
            let id_token = provider.key.sign(&claims);
            let login = IdTokenLogin { nonce: nonce.clone(), id_token: id_token.clone() };
            let answer = issuer_client.issue_passes(IssuePassesRequest { login: Some(login), ..ask("") }).await;
            if expires_in > 0 { answer.unwrap(); } else { told.refused(answer); }
            id_tokens.push(id_token);
        }
        drop(issuer_client);
        issuer_said += &issuing.end();
        let start = |days, hours| timestamp(chrono::DateTime::from_timestamp(now.timestamp().div_euclid(86_400) * 86_400, 0).unwrap() + TimeDelta::days(days) + TimeDelta::hours(hours));
        let hold = |days, hours| v1::HoldSlotRequest { start_time: Some(start(days, hours)), ..Worker::hold_request(&ada, &now.to_rfc3339()) };
        for (hours, pass, taken) in [(9, &passes[0], true), (11, &passes[0], false)] {
            let held = nurse.bookings().hold_slot(hold(3, hours)).await.unwrap().into_inner().booking.unwrap();
            let confirm = v1::ConfirmBookingRequest { request_id: request_id(), booking_id: held.id, payment: Some(by_pass(pass)), ..Default::default() };
            let answer = nurse.bookings().confirm_booking(confirm).await;
            if taken { answer.unwrap(); } else { told.refused(answer); }
        }
        let unpaid = v1::ConfirmBookingRequest { request_id: request_id(), booking_id: uuid::Uuid::new_v4().to_string(), payment: Some(by_pass(&passes[1])), ..Default::default() };
        told.refused(nurse.bookings().confirm_booking(unpaid).await);

        // What is said, and what is said wrongly.
        let contact = |email: &str| v1::SetContactRequest {
            request_id: request_id(),
            contact: Some(v1::Contact { email: email.to_owned(), language_code: "en".to_owned(), level: v1::ReminderLevel::Time.into(), ..Default::default() }),
        };
        told.refused(nurse.reminders().set_contact(contact(&mistyped)).await);
        nurse.reminders().set_contact(contact(&refused_email)).await.unwrap();
        until("the refused letter is asked for", async || holds(&mail.envelopes, &refused_email)).await;
        nurse.reminders().set_contact(contact(&email)).await.unwrap();
        let asked_for = "Your code is ";
        until("a code leaves", async || holds(&mail.letters, asked_for)).await;
        let letters = String::from_utf8(mail.letters.lock().unwrap().clone()).unwrap();
        let confirmation_code = letters.rsplit_once(asked_for).unwrap().1[..6].to_owned();
        for (code, right) in [(&malformed, false), (&confirmation_code, true)] {
            let answer = nurse.reminders().confirm_contact(v1::ConfirmContactRequest { request_id: request_id(), code: code.clone() }).await;
            if right { answer.unwrap(); } else { told.refused(answer); }
        }
        let file = |file: &str| import(v1::import_roster_request::Source::Icalendar(file.as_bytes().to_vec()));
        told.refused(nurse.roster().import_roster(file(&calendar.replace("END:VEVENT", &place))).await);
        for address in [lost_feed.clone(), lost_feed.replace("https", "ftp")] {
            told.refused(nurse.roster().import_roster(from_feed(&address)).await);
        }
        let tags = |tags: &[&String]| v1::SetExclusionTagsRequest { request_id: request_id(), exclusion_tags: tags.iter().map(|tag| (*tag).clone()).collect() };
        nurse.alias().set_exclusion_tags(tags(&[&tag])).await.unwrap();
        told.refused(nurse.alias().set_exclusion_tags(tags(&[&tag, &tag])).await);
        told.refused(nurse.bookings().get_booking(v1::GetBookingRequest { booking_id: malformed.clone() }).await);

        // Headers, a path and bytes that nobody should have sent.
        let mut bad = with_token(v1::ListBookingsRequest { page_token: malformed.clone(), ..Default::default() }, &token);
        for (name, value) in [("traceparent", format!("00-{}-00f067aa0ba902b7-01", HEXLOWER.encode(&trace))), ("baggage", format!("user={baggage}")), ("x-forwarded-for", forwarded.clone())] {
            bad.metadata_mut().insert(name, value.parse().unwrap());
        }
        told.refused(v1::booking_service_client::BookingServiceClient::new(channel.clone()).list_bookings(bad).await);
        let not_text = [b"\xff", malformed.as_bytes()].concat();
        for path in [format!("/respite.v1.{path}/HoldSlot"), "/respite.v1.BookingService/GetBooking".to_owned()] {
            let mut grpc = Grpc::new(channel.clone());
            grpc.ready().await.unwrap();
            told.refused(grpc.unary::<_, (), _>(with_token(not_text.clone(), &token), path.parse().unwrap(), ProstCodec::default()).await);
        }
        told.refused(nurse.bookings().get_booking(Request::new(v1::GetBookingRequest { booking_id: format!("{malformed}{}", "x".repeat(70_000)) })).await);
        // Given up by who asked; and a database that goes away.
        let search = v1::SearchSlotsRequest {
            filter: Some(v1::TherapistFilter { exclusion_tags: vec![tag.clone()], ..Default::default() }),
            window: Some(span(&now.to_rfc3339(), &(now + TimeDelta::days(20)).to_rfc3339())),
            page_size: 10,
            ..Default::default()
        };
        let _ = tokio::time::timeout(Duration::from_millis(1), nurse.slots().search_slots(search.clone())).await;
        if engine == Engine::Postgres {
            world.count("select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()").await;
        }
        for _ in 0..3 {
            match nurse.bookings().hold_slot(hold(5, 9)).await {
                Ok(_) => break,
                refused => told.refused(refused),
            }
        }
        process.end();
        // A process that waits for less long than its database does, and a call that waits for somebody else's lock.
        let settings = folder.path().join("respite.toml");
        let hurried = fs::read_to_string(&settings).unwrap() + "[limits]\nrequest_seconds = 4\n";
        fs::write(settings, hurried).unwrap();
        process.restart().await;
        let again = Client::connect(worker_calls).await.unwrap().login(key.clone()).await.unwrap();
        again.slots().search_slots(search).await.unwrap();
        let lock = world.app.db.write().await.unwrap();
        if engine == Engine::Postgres {
            lock.execute_unprepared("lock table alias, contact in access exclusive mode").await.unwrap();
        }
        let (mut tags_client, mut contacts) = (again.alias(), again.reminders());
        let (one, other) = tokio::join!(tags_client.set_exclusion_tags(tags(&[&tag])), contacts.set_contact(contact(&refused_email)));
        lock.rollback().await.unwrap();
        for late in [one.map(drop), other.map(drop)] {
            assert_eq!(late.as_ref().map_err(|late| Refusal::from(late.clone()).reason), Err("TIMEOUT".to_owned()));
            told.refused(late);
        }
        process.end();

        let phrase = secret.to_phrase();
        let text = |name, text: &str| Canary { name, bytes: text.into() };
        let bytes = |name, bytes: &[u8]| Canary { name, bytes: bytes.to_vec() };
        let file = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let code = issuer.code.replace('-', "");
        let [spent, unspent] = [&passes[0], &passes[1]].map(pass::Token::to_bytes);
        let canaries = [
            text("phrase", &phrase.split_whitespace().take(4).collect::<Vec<_>>().join(" ")),
            bytes("secret key", &key.to_bytes()),
            text("access token", &token),
            bytes("access token's bytes", &BASE64URL_NOPAD.decode(&token.as_bytes()[4..]).unwrap()),
            text("e-mail", &email),
            text("refused e-mail", &refused_email),
            text("early e-mail", &early_email),
            text("mistyped e-mail", &mistyped),
            text("intake", notes::INTAKE),
            text("handover", notes::HANDOVER),
            text("alias id", &first.id),
            bytes("alias id", uuid::Uuid::parse_str(&first.id).unwrap().as_bytes()),
            text("handle", &first.handle),
            bytes("therapist's key", &ada.key.to_bytes()),
            bytes("manager's key", &hospital.key.to_bytes()),
            bytes("operator's key", &operators[0].to_bytes()),
            text("SCIM token", &scim_token),
            text("user name", &user_name),
            text("external id", &external_id),
            text("name", &person),
            text("e-mail at work", &mail_at_work),
            text("provisioned staff number", &provisioned),
            text("subject", &subject),
            text("login's nonce", &nonce),
            text("ID token that is over", id_tokens[0].rsplit_once('.').unwrap().1),
            text("ID token", id_tokens[1].rsplit_once('.').unwrap().1),
            text("place", &place),
            text("shift", &format!("{shift}2017")),
            text("feed", &feed["https://roster.invalid/".len()..]),
            text("lost feed", &lost_feed["https://lost.invalid/".len()..]),
            text("busy feed", &busy_feed["https://busy.invalid/".len()..]),
            text("exclusion tag", &tag),
            bytes("spent nonce", &spent[2..34]),
            bytes("spent pass", &spent[98..]),
            bytes("unspent nonce", &unspent[2..34]),
            bytes("unspent pass", &unspent[98..]),
            text("activation code", &issuer.code),
            text("activation code's letters", &code),
            text("staff number", &staff_number),
            text("roster's other column", &column),
            text("caller's address", &CALLER.to_string()),
            text("user-agent", &agent),
            bytes("traceparent", &trace),
            text("baggage", &baggage),
            text("x-forwarded-for", &forwarded),
            text("path", &path),
            text("malformed message", &malformed),
            text("database password", &password),
            text("key file", file("respite.key").trim().lines().last().unwrap()),
            // What is no secret, and shows that a place is what it is called.
            text("zone rules", &format!("zones.version={:?}", world.app.rules.version())),
            text("method", "respite.v1.NoteService/GetNotes"),
            text("reason", "PASS_SPENT"),
            text("letter", asked_for),
            text("therapist's handle", &meeting.handle),
            text("report", &report),
            text("issuer's address", &issuing_at.to_string()),
            text("issuer's key file", file("issuer/keys/now.pem").lines().nth(3).unwrap()),
        ];
        let take = |heard: &std::sync::Mutex<Vec<u8>>| std::mem::take(&mut *heard.lock().unwrap());
        let wires = [&to_worker, &to_therapist, &to_hospital, &to_operators, &from_issuer];
        let mut sinks = vec![
            Sink { name: "log", bytes: fs::read(&process.log).unwrap() },
            Sink { name: "traces", bytes: take(&collector.traces) },
            Sink { name: "metrics", bytes: take(&collector.metrics) },
            Sink { name: "envelopes", bytes: take(&mail.envelopes) },
            Sink { name: "letters", bytes: take(&mail.letters) },
            Sink { name: "refusals", bytes: told.0 },
            Sink { name: "headers and trailers", bytes: wires.map(|wire| take(&wire.around)).concat() },
            Sink { name: "answers to the worker", bytes: take(&to_worker.answers) },
            Sink { name: "answers to the therapist", bytes: take(&to_therapist.answers) },
            Sink { name: "answers to the hospital", bytes: take(&to_hospital.answers) },
            Sink { name: "answers to operators", bytes: take(&to_operators.answers) },
            Sink { name: "answers of the issuer", bytes: take(&from_issuer.answers) },
            Sink { name: "answers to the identity provider", bytes: scim_told.into_bytes() },
            Sink { name: "issuer's log", bytes: (issuer.said + &issuer_said).into_bytes() },
            Sink { name: "issuer's folder", bytes: folder_bytes(&folder.path().join("issuer")) },
        ];
        sinks.extend(kept::sinks(&world, engine, recording).await);
        let scanner = Scanner::new(&canaries);
        let by_postgres = ALLOWED_BY_POSTGRES.iter().filter(|_| engine == Engine::Postgres);
        let allowed: Vec<_> = ALLOWED.iter().chain(by_postgres).collect();
        let mut wrong = scanner.check(&sinks, &allowed);
        // Whoever is asked to confirm an address is told the code, and nobody else.
        let says_code = |sink: &&Sink| says_number(&sink.bytes, &confirmation_code);
        assert!(sinks.iter().find(|sink| sink.name == "letters").is_some_and(|sink| says_code(&sink)));
        let told_code = sinks.iter().filter(says_code).filter(|sink| sink.name != "letters");
        wrong.extend(told_code.map(|sink| format!("confirmation code in {}", sink.name)));
        assert!(wrong.is_empty(), "{wrong:#?}");
        for sink in &sinks {
            scanner.prove_in(sink);
        }
    }
}

/// What callers were told when they were refused, with trailers and details.
#[derive(Default)]
struct Told(Vec<u8>);

impl Told {
    #[track_caller]
    fn refused<T>(&mut self, answer: Result<T, Status>) {
        let Err(status) = answer else { panic!("that should have been refused") };
        self.0.extend(format!("{status:?} {status}\n").into_bytes());
        self.0.extend(status.details());
    }
}

/// The first day of the last quarter of a year that ended twelve days ago or earlier.
fn last_quarter(now: DateTime<Utc>) -> NaiveDate {
    let quarter_of =
        |day: NaiveDate| day.with_day(1).and_then(|day| day.with_month0(day.month0() / 3 * 3)).unwrap();
    quarter_of(quarter_of((now - TimeDelta::days(12)).date_naive()) - Days::new(1))
}

fn holds(heard: &std::sync::Mutex<Vec<u8>>, text: &str) -> bool {
    heard.lock().unwrap().windows(text.len()).any(|window| window == text.as_bytes())
}

async fn until(what: &str, done: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not yet: {what}");
}
