//! What is said in confidence is nowhere but where it has to be, whatever happens to the processes that heard it.
//!
//! Both programs run as they are installed, with a collector and a mail server that keep everything. Whatever is
//! confidential is something that occurs nowhere else; what comes out anywhere is searched for it. A further secret is
//! a row of `canaries`; a place that has to have it is a row of `ALLOWED`.
//!
//! Not searched for: the caller's address, which is this machine's own here, and what a panic says, which the server's
//! own tests provoke.

mod scan;
mod sinks;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::JoinHandle,
    time::Duration,
};

use api::{
    issuer::v1::{IssuePassesRequest, issuer_service_client::IssuerServiceClient},
    v1,
};
use chrono::{TimeDelta, Utc};
use client::{Client, Secret, request_id};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use e2e::{
    Engine, Worker, World, date,
    hospital::{by_pass, key_log, programme},
    sign_in, span, timestamp, with_token,
};
use pass::{BlindSignature, ProgrammeId, PublicKey};
use services::Clock;
use tonic::{Request, Status, client::Grpc, transport::Endpoint};
use tonic_prost::ProstCodec;

use self::{
    scan::{Allowed, Canary, Scanner, Sink},
    sinks::{Collector, MailServer},
};
use crate::{
    crash::{Process, binary, terminate},
    emergency, notes,
    privacy::{data_folder_of, files},
};

const WEEK: &str = "Mon 00:00-00:00, Tue 00:00-00:00, Wed 00:00-00:00, Thu 00:00-00:00, Fri 00:00-00:00, Sat 00:00-00:00, Sun 00:00-00:00";

const ALLOWED: &[Allowed] = &[
    Allowed { canary: "e-mail", sink: "envelopes", why: "a letter goes to its address" },
    Allowed { canary: "early e-mail", sink: "envelopes", why: "a reminder goes to its address" },
    Allowed { canary: "refused e-mail", sink: "envelopes", why: "the mail server is asked for it" },
    Allowed { canary: "issuer's key file", sink: "issuer's folder", why: "it is where the key is" },
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
        let (trace, password) = (uuid::Uuid::new_v4().into_bytes(), said("password"));

        // Ten days ago: a programme, a therapist and a worker whose rosters are fetched.
        let now = Clock::System.now();
        let mut world = World::at(engine, &(now - TimeDelta::days(10)).to_rfc3339()).await;
        let hospital = world.hospital(programme()).await;
        let folder = tempfile::tempdir().unwrap();
        let issuer = IssuerHome::make(folder.path(), &hospital.id, &staff_number, &column);
        let day = |days| (now + TimeDelta::days(days)).format("%F").to_string();
        let publish = v1::CreateProgrammeKeyRequest {
            request_id: request_id(),
            public_key: issuer.spki.clone(),
            first_date: Some(date(&day(-10))),
            last_date: Some(date(&day(30))),
        };
        hospital.manager.programmes().create_programme_key(publish).await.unwrap();
        let ada = world.therapist("Ada", "Etc/UTC").await.offers(WEEK, 50, 0, 10, 60).await;
        let secret = Secret::generate();
        let key = secret.login_key();
        let anybody = world.anybody().await;
        let alias = anybody.create_alias(&key).await.unwrap();
        let first = anybody.login(key.clone()).await.unwrap();
        let first = Worker { id: alias.id, handle: alias.handle, key: key.clone(), client: first };
        let began = log_position(&world, engine).await;
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
        // A session whose reminder is due by now, and which the therapist was told something of.
        let a_week_ahead = v1::Contact { email: early_email.clone(), language_code: "en".to_owned(), level: v1::ReminderLevel::Time.into(), lead_time: Some(e2e::minutes(7 * 24 * 60)), confirmed: false };
        first.client.reminders().set_contact(v1::SetContactRequest { request_id: request_id(), contact: Some(a_week_ahead) }).await.unwrap();
        world.deliver().await;
        let code = world.letters().pop().unwrap().body().chars().filter(char::is_ascii_digit).take(6).collect();
        first.client.reminders().confirm_contact(v1::ConfirmContactRequest { request_id: request_id(), code }).await.unwrap();
        let midnight = now.date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
        let told_of = first.books(&ada, &(midnight + TimeDelta::days(2)).to_rfc3339()).await.unwrap();
        notes::tells(&world, &ada, &first, &secret, &told_of).await;
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
        let mut issuing = issuer.serve();
        let mut told = Told::default();
        let anybody = Client::connect(format!("http://{}", process.address)).await.unwrap();
        let nurse = anybody.login(key.clone()).await.unwrap();
        let channel = Endpoint::from_shared(format!("http://{}", process.address)).unwrap().user_agent(agent.clone()).unwrap().connect().await.unwrap();
        let token = sign_in(&channel, &key).await;

        // The reminder leaves; two operators read where it went; the worker takes along what is held about them.
        until("the reminder leaves", || holds(&mail.envelopes, &early_email) && holds(&mail.letters, "\n.\n")).await;
        let mut asking = Vec::new();
        for operator in &operators {
            asking.push(anybody.login(operator.clone()).await.unwrap());
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
        nurse.notes().get_notes(v1::GetNotesRequest { booking_id: told_of.id.clone() }).await.unwrap();

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
        let mut issuer_client = IssuerServiceClient::connect(format!("http://{}", issuing.address)).await.unwrap();
        let signed = issuer_client.issue_passes(ask(&issuer.code)).await.unwrap().into_inner();
        let passes: Vec<_> = pending.iter().zip(&signed.blind_signatures).map(|(pending, signature)| device.finalize(pending, &BlindSignature::try_from(&signature[..]).unwrap()).unwrap()).collect();
        told.refused(issuer_client.issue_passes(ask(&malformed)).await);
        let mut broken = ask(&issuer.code);
        broken.blinded_messages[0] = malformed.clone().into_bytes();
        told.refused(issuer_client.issue_passes(broken).await);
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
        until("the refused letter is asked for", || holds(&mail.envelopes, &refused_email)).await;
        nurse.reminders().set_contact(contact(&email)).await.unwrap();
        until("a letter leaves", || holds(&mail.letters, "\n.\n")).await;
        told.refused(nurse.reminders().confirm_contact(v1::ConfirmContactRequest { request_id: request_id(), code: malformed.clone() }).await);
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
        process.restart().await;
        let again = Client::connect(format!("http://{}", process.address)).await.unwrap().login(key.clone()).await.unwrap();
        again.slots().search_slots(search).await.unwrap();
        process.end();
        drop(issuer_client);
        terminate(&mut issuing.child);

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
            text("user-agent", &agent),
            bytes("traceparent", &trace),
            text("baggage", &baggage),
            text("x-forwarded-for", &forwarded),
            text("path", &path),
            text("malformed message", &malformed),
            text("database password", &password),
            text("key file", file("respite.key").trim().lines().last().unwrap()),
            text("issuer's key file", file("issuer/keys/now.pem").lines().nth(3).unwrap()),
        ];
        let take = |heard: &std::sync::Mutex<Vec<u8>>| std::mem::take(&mut *heard.lock().unwrap());
        let mut sinks = vec![
            Sink { name: "log", bytes: fs::read(&process.log).unwrap() },
            Sink { name: "traces", bytes: take(&collector.traces) },
            Sink { name: "metrics", bytes: take(&collector.metrics) },
            Sink { name: "envelopes", bytes: take(&mail.envelopes) },
            Sink { name: "letters", bytes: take(&mail.letters) },
            Sink { name: "refusals", bytes: told.0 },
            Sink { name: "database", bytes: files(&world, engine) },
            Sink { name: "issuer's log", bytes: issuing.said.take().unwrap().join().unwrap().into_bytes() },
            Sink { name: "issuer's folder", bytes: folder_bytes(&folder.path().join("issuer")) },
        ];
        if let Some(data) = data_folder_of(&world, engine).await {
            sinks.push(Sink { name: "data folder", bytes: folder_bytes(&data) });
        }
        if let Some(log) = write_ahead_log(&world, engine, began).await {
            sinks.push(Sink { name: "write-ahead log", bytes: log });
        }
        // Each of them is what it says.
        for (sink, word) in [("log", "opened"), ("traces", "BookingService/HoldSlot"), ("metrics", "rpc.server.duration"), ("refusals", "PASS_SPENT"), ("database", "PT-4711"), ("issuer's log", "listening"), ("letters", "Subject:")] {
            let sink = sinks.iter().find(|told| told.name == sink).unwrap();
            assert!(sink.bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{} has no {word}", sink.name);
        }
        let scanner = Scanner::new(&canaries);
        let wrong = scanner.check(&sinks, ALLOWED);
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

/// A hospital's issuer with fifty workers, one of whom we know.
struct IssuerHome {
    folder: PathBuf,
    /// The public half of its key.
    spki: Vec<u8>,
    /// Of the worker.
    code: String,
    said: String,
}

/// `respite-issuer serve`.
struct Issuing {
    child: Child,
    address: String,
    said: Option<JoinHandle<String>>,
}

impl IssuerHome {
    fn make(folder: &Path, programme: &str, staff_number: &str, column: &str) -> Self {
        let others: Vec<_> = (0..60).map(|number| format!("N-{number},2026-01-01,,x\n")).collect();
        let others = others.concat();
        let roster = format!(
            "employee_id,active_from,active_until,remark\n{staff_number},2026-01-01,,{column}\n{others}"
        );
        fs::write(folder.join("staff.csv"), roster).unwrap();
        let wrong = format!("employee_id,active_from,active_until,remark\n{staff_number},{column},,\n");
        fs::write(folder.join("wrong.csv"), wrong).unwrap();
        let mut said = String::new();
        let mut run = |arguments: &str, succeeds: bool| {
            let mut command = Command::new(binary("respite-issuer"));
            let output = command.current_dir(folder).args(arguments.split(' ')).output().unwrap();
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.success(), succeeds, "{arguments}: {error}");
            said += &error;
            String::from_utf8(output.stdout).unwrap()
        };
        run(
            &format!("init --programme {programme} --name {programme} --origin respite-test --mode roster"),
            true,
        );
        run("import wrong.csv", false);
        run("import staff.csv", true);
        let codes = run("codes --for-roster staff.csv", true);
        let code =
            codes.lines().find_map(|line| line.strip_prefix(&format!("{staff_number},"))).unwrap().to_owned();
        let day =
            |days| (Clock::System.now() + TimeDelta::days(days)).with_timezone(&Utc).format("%F").to_string();
        let shown =
            run(&format!("key make --period now --passes 2 --first {} --last {}", day(-1), day(30)), true);
        let spki = shown.lines().find_map(|line| line.strip_prefix("public key")).unwrap().trim();
        Self { folder: folder.to_owned(), spki: BASE64.decode(spki.as_bytes()).unwrap(), code, said }
    }

    /// On a port that it chooses.
    fn serve(&self) -> Issuing {
        let mut command = Command::new(binary("respite-issuer"));
        command.current_dir(&self.folder).args(["serve", "--listen", "127.0.0.1:0"]).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        let address = line.split_once("address=").unwrap().1.split_whitespace().next().unwrap().to_owned();
        let mut said = self.said.clone() + &line;
        let said = std::thread::spawn(move || {
            errors.read_to_string(&mut said).unwrap();
            said
        });
        Issuing { child, address, said: Some(said) }
    }
}

impl Drop for Issuing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where PostgreSQL's write-ahead log stands; SQLite's is among the files of the database.
async fn log_position(world: &World, engine: Engine) -> Option<String> {
    match engine {
        Engine::Sqlite => None,
        Engine::Postgres => Some(world.texts("select pg_current_wal_lsn()::text").await.remove(0)),
    }
}

/// What has been written to it since, whoever wrote it, if it can be read.
async fn write_ahead_log(world: &World, engine: Engine, began: Option<String>) -> Option<Vec<u8>> {
    let ended = log_position(world, engine).await?;
    let name = |position: &str| format!("select pg_walfile_name('{position}')");
    let (first, last) =
        (world.texts(&name(&began?)).await.remove(0), world.texts(&name(&ended)).await.remove(0));
    let folder =
        PathBuf::from(world.texts("select current_setting('data_directory') || '/pg_wal'").await.remove(0));
    let files = fs::read_dir(&folder).ok()?.map(|file| file.unwrap().file_name().into_string().unwrap());
    let files = files.filter(|name| name.len() == first.len() && (&first..=&last).contains(&name));
    Some(files.flat_map(|name| fs::read(folder.join(name)).unwrap()).collect())
}

/// Every file in it, at any depth.
fn folder_bytes(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        bytes.extend(if path.is_dir() { folder_bytes(&path) } else { fs::read(&path).unwrap_or_default() });
    }
    bytes
}

fn holds(heard: &std::sync::Mutex<Vec<u8>>, text: &str) -> bool {
    heard.lock().unwrap().windows(text.len()).any(|window| window == text.as_bytes())
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not yet: {what}");
}
