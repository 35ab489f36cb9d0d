//! The product seen from outside: a world of its own per test, with a database, a server on a socket, a clock
//! that stands still until it is moved, and letters in a list.
//!
//! **Invariant:** what a story does, it does through gRPC; the database is looked into only to prove what is,
//! or is not, in it.

pub mod hospital;

use std::{collections::BTreeMap, net::SocketAddr};

use api::{
    google::r#type as gtype,
    v1::{self, alias_service_client::AliasServiceClient},
};
use calendar::Rules;
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};
use client::{Client, Secret, SigningKey, request_id};
use ed25519_dalek::Signer;
use notify::{Letter, Outbox, Post};
use sea_orm::{ActiveModelTrait, ConnectionTrait, DbBackend, IntoActiveModel, Statement};
use services::{
    App, Clock, Rates, Settings,
    feeds::{Canned, Feeds, Refreshed},
    rates::Allowances,
};
use store::{Db, Opaque, OperatorId, operator};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request,
    transport::{Channel, Endpoint, Server},
};

/// Where a world keeps its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file of its own.
    Sqlite,
    /// A database of its own on the server that `RESPITE_TEST_POSTGRES` names.
    Postgres,
}

/// Runs one story on both engines.
#[macro_export]
macro_rules! stories {
    ($($(#[$meta:meta])* async fn $name:ident($engine:ident: Engine) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            #[expect(clippy::wildcard_imports, reason = "the story reads as if it stood in the file")]
            use super::*;

            async fn story($engine: $crate::Engine) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                story($crate::Engine::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                story($crate::Engine::Postgres).await;
            }
        }
    )*};
}

/// One service with everything it needs.
pub struct World {
    /// What the server works with, for looking inside.
    pub app: App,
    /// Where it answers.
    pub address: SocketAddr,
    /// Where its database is.
    pub database: String,
    /// What can be fetched.
    pub calendars: Canned,
    operator_key: SigningKey,
    outbox: Outbox,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
    /// The folder of an embedded database.
    _folder: tempfile::TempDir,
}

impl World {
    /// A world in which it is `now`, such as `2026-03-27T09:00:00Z`.
    pub async fn at(engine: Engine, now: &str) -> Self {
        Self::under(engine, now, Rules::compiled_in()).await
    }

    /// The same by these zone rules.
    pub async fn under(engine: Engine, now: &str, rules: Rules) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let database = match engine {
            Engine::Sqlite => format!("sqlite://{}", folder.path().join("respite.db").display()),
            Engine::Postgres => own_postgres_database().await,
        };
        let db = Db::connect(&database, 12).await.expect("the database answers");
        migrations::up(db.read()).await.expect("the schema is made");

        let outbox = Outbox::default();
        let calendars = Canned::default();
        let app = App {
            db,
            clock: Clock::stopped(time(now)),
            rules,
            keyring: std::sync::Arc::new(vault::Keyring::generate()),
            post: Post::Outbox(outbox.clone()),
            staff_provider: None,
            settings: std::sync::Arc::new(Settings {
                audience: "respite-test".to_owned(),
                proof_of_work_bits: 4,
                join_template: "https://meet.example.org/{room}".to_owned(),
                pass_required: false,
            }),
            listings: std::sync::Arc::default(),
            mirror: std::sync::Arc::default(),
            callers: std::sync::Arc::default(),
            watches: std::sync::Arc::default(),
            keys: std::sync::Arc::default(),
            // Stories are told at once, on a clock of their own.
            rates: std::sync::Arc::new(Rates::new(UNHURRIED)),
            feeds: std::sync::Arc::new(Feeds::Canned(calendars.clone())),
        };
        let operator_key = Secret::generate().login_key();
        operator::Model {
            id: OperatorId::random(),
            public_key: Opaque(operator_key.verifying_key().to_bytes().to_vec()),
            label: "the first".to_owned(),
        }
        .into_active_model()
        .insert(app.db.read())
        .await
        .expect("an operator is there");

        tokio::spawn(services::mirror::run(app.clone(), std::future::pending()));
        let (address, stop, serving) = serve(&app).await;
        Self {
            app,
            address,
            database,
            calendars,
            operator_key,
            outbox,
            stop: Some(stop),
            serving: Some(serving),
            _folder: folder,
        }
    }

    /// Nobody in particular.
    pub async fn anybody(&self) -> Client {
        Client::connect(format!("http://{}", self.address)).await.expect("the server answers")
    }

    /// The operator, signed in.
    pub async fn operator(&self) -> Client {
        self.anybody().await.login(self.operator_key.clone()).await.expect("the operator signs in")
    }

    /// A new alias, signed in.
    pub async fn worker(&self) -> Worker {
        let key = Secret::generate().login_key();
        let anybody = self.anybody().await;
        let alias = anybody.create_alias(&key).await.expect("the alias is made");
        let client = anybody.login(key.clone()).await.expect("the alias signs in");
        Worker { id: alias.id, handle: alias.handle, key, client }
    }

    /// A verified therapist for burnout who speaks German and English, in `zone`, without hours yet.
    pub async fn therapist(&self, name: &str, zone: &str) -> Therapist {
        self.therapist_like(profile(name, zone)).await
    }

    /// A therapist with this profile, whose credentials are verified, without hours yet.
    pub async fn therapist_like(&self, profile: v1::Therapist) -> Therapist {
        let (therapist, credentials) = self.newcomer(profile).await;
        let operator = self.operator().await;
        for credential in credentials {
            let request = v1::VerifyCredentialRequest {
                request_id: request_id(),
                credential_id: credential.id,
                verified: true,
            };
            operator.directory().verify_credential(request).await.expect("the credential is verified");
        }
        therapist
    }

    /// A therapist with this profile, whose credentials nobody has verified yet, without hours yet.
    pub async fn newcomer(&self, profile: v1::Therapist) -> (Therapist, Vec<v1::Credential>) {
        let zone = profile.time_zone.clone();
        let key = Secret::generate().login_key();
        let request = v1::CreateTherapistRequest {
            request_id: request_id(),
            therapist: Some(profile),
            public_key: key.verifying_key().to_bytes().to_vec(),
        };
        let created = self.operator().await.directory().create_therapist(request).await;
        let created = created.expect("the therapist is created").into_inner().therapist.expect("a therapist");
        let client = self.anybody().await.login(key.clone()).await.expect("the therapist signs in");
        let therapist = Therapist { id: created.id, zone, key, client, session_type_id: String::new() };
        (therapist, created.credentials)
    }

    /// Moves the clock.
    pub fn set_clock(&self, now: &str) {
        self.app.clock.set(time(now));
    }

    /// Lets time pass.
    pub fn pass(&self, while_: TimeDelta) {
        self.app.clock.set(self.app.clock.now() + while_);
    }

    /// Delivers what is due by the world's clock.
    pub async fn deliver(&self) {
        services::reminders::deliver_due(&self.app).await.expect("letters leave");
    }

    /// Fetches what is due by the world's clock.
    pub async fn refresh(&self) -> Refreshed {
        services::feeds::refresh_due(&self.app).await.expect("feeds are refreshed")
    }

    /// Every letter so far.
    pub fn letters(&self) -> Vec<Letter> {
        self.outbox.letters()
    }

    /// The answer to one SQL question about the data, as a count.
    pub async fn count(&self, sql: &str) -> i64 {
        let db = self.app.db.read();
        let statement = Statement::from_string(db.get_database_backend(), sql);
        let row = db.query_one_raw(statement).await.expect("the question is understood").expect("a row");
        row.try_get_by_index(0).expect("a count")
    }

    /// Everything in every table, in an order of its own, by table: equal before and after what changes nothing.
    pub async fn fingerprint(&self) -> BTreeMap<String, String> {
        let sqlite = self.app.db.read().get_database_backend() == DbBackend::Sqlite;
        let tables = if sqlite {
            "select name from sqlite_master where type = 'table' and name not like 'sqlite%' order by name"
        } else {
            "select tablename::text from pg_tables where schemaname = 'public' order by tablename"
        };
        let mut contents = BTreeMap::new();
        for table in self.texts(tables).await {
            let rows = if sqlite {
                let columns = format!("select name from pragma_table_info('{table}')");
                let columns = self.texts(&columns).await.into_iter().map(|name| format!("quote(\"{name}\")"));
                let row = columns.collect::<Vec<_>>().join(" || '|' || ");
                format!("select {row} as line from \"{table}\" order by line")
            } else {
                format!("select t::text as line from \"{table}\" t order by line")
            };
            contents.insert(table, self.texts(&rows).await.join("\n"));
        }
        contents
    }

    /// The answer to one SQL question about the data: the first column of every row, as text.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let db = self.app.db.read();
        let statement = Statement::from_string(db.get_database_backend(), sql);
        let rows = db.query_all_raw(statement).await.expect("the question is understood");
        rows.iter().map(|row| row.try_get_by_index(0).expect("a text")).collect()
    }

    /// Another server on the same data: its own connections, the same key, clock and letters.
    pub async fn another_server(&self) -> App {
        self.another_server_under(self.app.rules.clone()).await
    }

    /// The same by other zone rules.
    pub async fn another_server_under(&self, rules: Rules) -> App {
        self.server(&self.database, rules).await
    }

    /// The same on other data.
    pub async fn another_server_on(&self, database: &str) -> App {
        self.server(database, self.app.rules.clone()).await
    }

    async fn server(&self, database: &str, rules: Rules) -> App {
        let db = Db::connect(database, 4).await.expect("the database answers");
        let own = App {
            db,
            rules,
            listings: std::sync::Arc::default(),
            mirror: std::sync::Arc::default(),
            callers: std::sync::Arc::default(),
            keys: std::sync::Arc::default(),
            ..self.app.clone()
        };
        tokio::spawn(services::mirror::run(own.clone(), std::future::pending()));
        own
    }

    /// Serves the same data from another server, as long as the story lasts, and says where.
    pub async fn serves_elsewhere(&self) -> String {
        serves(&self.another_server().await).await
    }

    /// Stops the server; the data stays.
    pub async fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _ = serving.await;
        }
    }
}

/// More than any story asks for.
const UNHURRIED: Allowances =
    Allowances { anonymous: 1_000_000, searches: 1_000_000, holds: 1_000_000, imports: 1_000_000 };

/// Serves what `app` has as long as the story lasts, and says where.
pub async fn serves(app: &App) -> String {
    let (address, stop, _) = serve(app).await;
    std::mem::forget(stop);
    format!("http://{address}")
}

async fn serve(app: &App) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = listener.local_addr().expect("its address");
    let (stop, stopped) = oneshot::channel::<()>();
    let routes = services::routes(app, services::Door::Every);
    let serving = tokio::spawn(async move {
        Server::builder()
            .add_routes(routes)
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
                let _ = stopped.await;
            })
            .await
            .expect("the server serves");
    });
    (address, stop, serving)
}

/// A database that nobody else uses, on the test server.
async fn own_postgres_database() -> String {
    #[expect(clippy::disallowed_methods, reason = "tests are told by tests/run where the server is")]
    let server = std::env::var("RESPITE_TEST_POSTGRES").expect(
        "RESPITE_TEST_POSTGRES is not set: run tests/run, or name a server whose databases may be made and lost",
    );
    let name = format!("respite_{}", uuid::Uuid::new_v4().simple());
    let db = Db::connect(&server, 1).await.expect("the test server answers");
    db.read().execute_unprepared(&format!("create database {name}")).await.expect("a database is made");
    db.close().await.expect("the connection closes");
    let (base, query) = server.split_once('?').unwrap_or((&server, ""));
    let base = base.rsplit_once('/').map_or(base, |(base, _)| base);
    format!("{base}/{name}?{query}")
}

/// A worker, as their device knows them.
pub struct Worker {
    /// The alias's id.
    pub id: String,
    /// What the server calls it.
    pub handle: String,
    /// What the device keeps.
    pub key: SigningKey,
    /// Signed in.
    pub client: Client,
}

impl Worker {
    /// Says when the worker is on duty: spans such as `("2026-03-27T20:00:00Z", "2026-03-28T06:00:00Z")`.
    pub async fn works(&self, zone: &str, shifts: &[(&str, &str)], publish_date: &str) {
        let shifts = shifts
            .iter()
            .map(|(start, end)| v1::Shift {
                span: Some(span(start, end)),
                kind: v1::ShiftKind::Unspecified.into(),
                breaks: Vec::new(),
            })
            .collect();
        let request = v1::ImportRosterRequest {
            request_id: request_id(),
            source: Some(v1::import_roster_request::Source::ShiftList(v1::ShiftList { shifts })),
            time_zone: zone.to_owned(),
            publish_date: Some(date(publish_date)),
            on_call: false,
        };
        self.client.roster().import_roster(request).await.expect("the roster is taken");
    }

    /// Searches slots of one therapist in a window.
    pub async fn searches(&self, therapist: &Therapist, start: &str, end: &str) -> v1::SearchSlotsResponse {
        let request = v1::SearchSlotsRequest {
            filter: Some(v1::TherapistFilter {
                therapist_ids: vec![therapist.id.clone()],
                ..Default::default()
            }),
            window: Some(span(start, end)),
            page_size: 100,
            ..Default::default()
        };
        self.client.slots().search_slots(request).await.expect("the search answers").into_inner()
    }

    /// What it would take to hold a slot.
    pub fn hold_request(therapist: &Therapist, start: &str) -> v1::HoldSlotRequest {
        v1::HoldSlotRequest {
            request_id: request_id(),
            therapist_id: therapist.id.clone(),
            session_type_id: therapist.session_type_id.clone(),
            start_time: Some(timestamp(time(start))),
            modality: v1::Modality::Video.into(),
            roster_use: None,
        }
    }

    /// Holds a slot.
    pub async fn holds(&self, therapist: &Therapist, start: &str) -> Result<v1::Booking, client::Refusal> {
        let held = self.client.bookings().hold_slot(Self::hold_request(therapist, start)).await?;
        Ok(held.into_inner().booking.expect("a booking"))
    }

    /// What it takes to confirm a hold that nobody pays for.
    pub fn confirm_request(booking: &v1::Booking) -> v1::ConfirmBookingRequest {
        v1::ConfirmBookingRequest {
            request_id: request_id(),
            booking_id: booking.id.clone(),
            ..Default::default()
        }
    }

    /// Confirms a hold.
    pub async fn confirms(&self, booking: &v1::Booking) -> Result<v1::Booking, client::Refusal> {
        let confirmed = self.client.bookings().confirm_booking(Self::confirm_request(booking)).await?;
        Ok(confirmed.into_inner().booking.expect("a booking"))
    }

    /// Holds and confirms.
    pub async fn books(&self, therapist: &Therapist, start: &str) -> Result<v1::Booking, client::Refusal> {
        let held = self.holds(therapist, start).await?;
        self.confirms(&held).await
    }

    /// Sets a contact, and confirms it by the code in the letter.
    pub async fn reached_at(&self, world: &World, email: &str, language: &str, level: v1::ReminderLevel) {
        let request = v1::SetContactRequest {
            request_id: request_id(),
            contact: Some(v1::Contact {
                email: email.to_owned(),
                language_code: language.to_owned(),
                level: level.into(),
                lead_time: None,
                confirmed: false,
            }),
        };
        self.client.reminders().set_contact(request).await.expect("the contact is taken");
        world.deliver().await;
        let letter = world.letters().pop().expect("a letter with a code");
        let code: String = letter.body().chars().filter(char::is_ascii_digit).take(6).collect();
        let request = v1::ConfirmContactRequest { request_id: request_id(), code };
        self.client.reminders().confirm_contact(request).await.expect("the code is right");
    }
}

/// A therapist, as their own client knows them.
pub struct Therapist {
    /// Its id.
    pub id: String,
    /// IANA name.
    pub zone: String,
    /// What the device keeps.
    pub key: SigningKey,
    /// Signed in.
    pub client: Client,
    /// What can be booked, once hours are set.
    pub session_type_id: String,
}

impl Therapist {
    /// Sets weekly hours such as `Mon 09:00-17:00, Tue 22:00-02:00`, and offers 50 minutes every half hour with
    /// ten minutes after.
    #[must_use]
    pub async fn works(self, week: &str) -> Self {
        self.offers(week, 50, 0, 10, 30).await
    }

    /// The same with a session type of one's own, in minutes.
    #[must_use]
    pub async fn offers(mut self, week: &str, length: i64, before: i64, after: i64, interval: i64) -> Self {
        let request = v1::UpdateScheduleRequest {
            request_id: request_id(),
            schedule: Some(v1::Schedule {
                time_zone: self.zone.clone(),
                windows: weekly_windows(week),
                minimum_notice: Some(minutes(60)),
                horizon: Some(v1::schedule::Horizon::HorizonDays(90)),
                ..Default::default()
            }),
        };
        self.client.availability().update_schedule(request).await.expect("the schedule is taken");
        let request = v1::CreateSessionTypeRequest {
            request_id: request_id(),
            session_type: Some(v1::SessionType {
                id: String::new(),
                display_name: "session".to_owned(),
                duration: Some(minutes(length)),
                buffer_before: Some(minutes(before)),
                buffer_after: Some(minutes(after)),
                modalities: vec![v1::Modality::Video.into(), v1::Modality::Audio.into()],
                grid_interval: Some(minutes(interval)),
                ..Default::default()
            }),
        };
        let created = self.client.availability().create_session_type(request).await.expect("a session type");
        self.session_type_id = created.into_inner().session_type.expect("a session type").id;
        self
    }

    /// What the therapist sees of a span.
    pub async fn agenda(&self, start: &str, end: &str) -> Vec<v1::AgendaEntry> {
        let request =
            v1::ListAgendaRequest { span: Some(span(start, end)), page_size: 100, page_token: String::new() };
        self.client.bookings().list_agenda(request).await.expect("the agenda").into_inner().entries
    }
}

/// A profile with a credential for Germany and New York, and burnout and trauma as specializations.
pub fn profile(name: &str, zone: &str) -> v1::Therapist {
    v1::Therapist {
        display_name: name.to_owned(),
        gender: v1::Gender::Female.into(),
        credentials: vec![v1::Credential {
            taxonomy_code: "103TC0700X".to_owned(),
            licence_number: "PT-4711".to_owned(),
            jurisdictions: vec!["DE".to_owned(), "US-NY".to_owned()],
            expire_date: Some(date("2099-12-31")),
            ..Default::default()
        }],
        specializations: vec![
            v1::TherapistSpecialization { slug: "burnout".to_owned(), years: 8 },
            v1::TherapistSpecialization { slug: "ptsd".to_owned(), years: 3 },
        ],
        languages: vec!["de".to_owned(), "en".to_owned()],
        time_zone: zone.to_owned(),
        accepts_new_clients: true,
        ..Default::default()
    }
}

/// A connection without a client that signs in anew and asks again by itself.
pub async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    endpoint.connect().await.expect("the server answers")
}

/// An access token for whoever has the key.
pub async fn sign_in(channel: &Channel, key: &SigningKey) -> String {
    let mut service = AliasServiceClient::new(channel.clone());
    let public_key = key.verifying_key().to_bytes().to_vec();
    let begun = service.begin_login(v1::BeginLoginRequest { public_key }).await.expect("a challenge");
    let finished = service.finish_login(finish_login(key, &begun.into_inner())).await.expect("a token");
    finished.into_inner().access_token
}

/// A signed challenge.
pub fn finish_login(key: &SigningKey, begun: &v1::BeginLoginResponse) -> v1::FinishLoginRequest {
    let v1::BeginLoginResponse { challenge, audience } = begun;
    let signed = [b"respite/login/v1\0", audience.as_bytes(), b"\0", challenge].concat();
    v1::FinishLoginRequest {
        public_key: key.verifying_key().to_bytes().to_vec(),
        challenge: challenge.clone(),
        signature: key.sign(&signed).to_bytes().to_vec(),
    }
}

/// A request that brings a token.
pub fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let token = format!("Bearer {token}").parse().expect("a token is ASCII");
    request.metadata_mut().insert("authorization", token);
    request
}

/// `2026-03-27T09:00:00Z`, or with an offset.
pub fn time(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect("an instant").to_utc()
}

/// An instant as the contract says it.
pub fn timestamp(at: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.timestamp(), nanos: 0 }
}

/// A span as the contract says it.
pub fn span(start: &str, end: &str) -> v1::Span {
    v1::Span { start_time: Some(timestamp(time(start))), end_time: Some(timestamp(time(end))) }
}

/// The start of a slot or booking as text, in UTC.
pub fn start_of(session: Option<&v1::Span>) -> String {
    let start = session.and_then(|span| span.start_time.as_ref()).expect("a start");
    let start = DateTime::from_timestamp(start.seconds, 0).expect("an instant");
    start.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// The starts of all slots found.
pub fn starts(found: &v1::SearchSlotsResponse) -> Vec<String> {
    found.hits.iter().map(|hit| start_of(hit.slot.as_ref().and_then(|slot| slot.session.as_ref()))).collect()
}

/// A date as the contract says it.
pub fn date(text: &str) -> gtype::Date {
    let date: NaiveDate = text.parse().expect("a date");
    gtype::Date { year: date.year(), month: date.month().cast_signed(), day: date.day().cast_signed() }
}

/// Whole minutes as the contract says them.
pub fn minutes(minutes: i64) -> prost_types::Duration {
    prost_types::Duration { seconds: minutes * 60, nanos: 0 }
}

/// `Mon 09:00-17:00, Tue 22:00-02:00` as the contract says it.
pub fn weekly_windows(week: &str) -> Vec<v1::WeeklyWindow> {
    week.split(", ")
        .map(|window| {
            let (day, hours) = window.split_once(' ').expect("a day and hours");
            let day = match day {
                "Mon" => gtype::DayOfWeek::Monday,
                "Tue" => gtype::DayOfWeek::Tuesday,
                "Wed" => gtype::DayOfWeek::Wednesday,
                "Thu" => gtype::DayOfWeek::Thursday,
                "Fri" => gtype::DayOfWeek::Friday,
                "Sat" => gtype::DayOfWeek::Saturday,
                "Sun" => gtype::DayOfWeek::Sunday,
                other => panic!("{other} is no day"),
            };
            v1::WeeklyWindow { day: day.into(), hours: Some(hours_of(hours)) }
        })
        .collect()
}

/// `09:00-17:00` as the contract says it.
pub fn hours_of(hours: &str) -> v1::LocalHours {
    let (start, end) = hours.split_once('-').expect("a start and an end");
    let time = |text: &str| {
        let time: NaiveTime = format!("{text}:00").parse().expect("a time of day");
        gtype::TimeOfDay {
            hours: time.hour().cast_signed(),
            minutes: time.minute().cast_signed(),
            ..Default::default()
        }
    };
    v1::LocalHours { start: Some(time(start)), end: Some(time(end)) }
}
