//! Sessions held and confirmed, against the rows alone that they leave behind.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use api::v1;
use calendar::{DayWindow, Window};
use chrono::{DateTime, NaiveTime, TimeDelta, Utc, Weekday};
use client::{Client, Secret, request_id};
use e2e::{hospital::by_pass, timestamp};
use pass::{Directory, Issuer, KeyRecord, Schedule, Token, TokenChallenge};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, sea_query::Expr,
};
use store::{
    AliasId, BookingId, Db, Horizon, List, Modality, Opaque, ProgrammeId, ReminderId, RequestId,
    SessionTypeId, TherapistId, access_token, alias, booking, booking_event, key_log, programme, reminder,
    request, schedule, session_type, therapist,
};
use tokio::task::JoinSet;
use vault::{DataKey, Keyring, Padding, Purpose};

use crate::{
    Bench, Failed, Line, Turns, median,
    process::{Home, Process},
    range,
};

const CLIENTS: usize = 16;
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(900);
/// Many more than clients, so that they seldom meet: this measures work, the stories measure races.
const THERAPISTS: usize = 256;
/// As many as the server keeps when nobody says otherwise.
const CONNECTIONS: u32 = 16;

/// On the embedded database.
pub(crate) async fn sqlite(bench: &Bench) -> Result<Line, Failed> {
    hold_confirm("hold_confirm_sqlite", &Home::embedded(bench)?, Way::Bare).await
}

/// On a PostgreSQL database of its own.
pub(crate) async fn postgres(bench: &Bench) -> Result<Line, Failed> {
    let url = own_database(bench).await?;
    hold_confirm("hold_confirm_postgres", &Home::shared(bench, &url)?, Way::Bare).await
}

/// The same against the rows and the questions that have to be asked before they are written.
pub(crate) async fn postgres_asked(bench: &Bench) -> Result<Line, Failed> {
    let url = own_database(bench).await?;
    hold_confirm("hold_confirm_postgres_asked", &Home::shared(bench, &url)?, Way::Asked).await
}

/// A new database, and where it is.
pub(crate) async fn own_database(bench: &Bench) -> Result<String, Failed> {
    let name = format!("respite_{}", uuid::Uuid::new_v4().simple());
    let server = Db::connect(&bench.postgres, 1).await?;
    server.read().execute_unprepared(&format!("create database {name}")).await?;
    server.close().await?;
    Ok(bench.postgres.replacen("/postgres?", &format!("/{name}?"), 1))
}

/// Sessions confirmed that a programme pays for against those that nobody does; all were held before.
pub(crate) async fn paid(bench: &Bench) -> Result<Line, Failed> {
    let home = Home::shared(bench, &own_database(bench).await?)?;
    let (_process, calendar) = open(&home).await?;
    let hospital = Hospital::pays(&calendar.db, services::Clock::System.now()).await?;
    for payer in [None, Some(&hospital)] {
        confirmed_per_second(calendar, payer).await?;
    }
    let mut turns = Turns { ours: Vec::new(), limits: Vec::new() };
    for _ in 0..ROUNDS * 2 {
        turns.ours.push(confirmed_per_second(calendar, Some(&hospital)).await?);
        turns.limits.push(confirmed_per_second(calendar, None).await?);
    }
    Ok(Line {
        name: "redeem_added_to_confirm",
        value: turns.value(),
        unit: "confirms/s",
        limit: turns.limit(),
        ratio: median(&turns.quotients()),
        goal: Some(0.9),
        note: turns.note(),
    })
}

/// Holds two sessions for everybody, has them paid, and says how many a second are confirmed.
async fn confirmed_per_second(calendar: &'static Calendar, payer: Option<&Hospital>) -> Result<f64, Failed> {
    let share = 2 * calendar.aliases.len() / CLIENTS;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(async move {
            let mut held = Vec::new();
            for _ in 0..share {
                let wanted = calendar.next()?;
                held.push((wanted.client, wanted.hold().await?));
            }
            Ok::<_, Failed>(held)
        });
    }
    // Passes are made between: whoever signs them has a machine of their own.
    let mut shares = Vec::new();
    while let Some(held) = clients.join_next().await {
        let paid = held??.into_iter().map(|(client, booking)| {
            let pass = payer.map(Hospital::pass).transpose()?;
            Ok::<_, Failed>((client, booking, pass))
        });
        shares.push(paid.collect::<Result<Vec<_>, _>>()?);
    }
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for share in shares {
        clients.spawn(async move {
            for (client, booking, pass) in share {
                confirm(client, booking, pass.as_ref()).await?;
            }
            Ok::<_, Failed>(())
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(f64::from(u32::try_from(share * CLIENTS)?) / started.elapsed().as_secs_f64())
}

/// What it takes to know who calls and whether they may, and to open and seal what is kept of them, in the course of one
/// held and confirmed session: a session without it against a whole one.
pub(crate) async fn guarded(bench: &Bench) -> Result<Line, Failed> {
    let home = Home::shared(bench, &own_database(bench).await?)?;
    let (_process, calendar) = open(&home).await?;
    let safe = Safe::new();
    pairs_per_second(calendar, Way::Served, ROUND).await?;
    let mut turns = Turns { ours: Vec::new(), limits: Vec::new() };
    let mut unsealing = Vec::new();
    for _ in 0..ROUNDS * 10 {
        // One at a time, so that nobody waits for anybody else.
        let started = Instant::now();
        let wanted = calendar.next()?;
        wanted.hold_and_confirm().await?;
        let whole = started.elapsed().as_secs_f64() * 1e6;
        let started = Instant::now();
        for call in ["HoldSlot", "ConfirmBooking"] {
            may(call)?;
        }
        let asked =
            started.elapsed().as_secs_f64() * 1e6 + 2.0 * wanted.token_in_the_question(&calendar.db).await?;
        let started = Instant::now();
        for _call in 0..2 {
            safe.open_and_answer()?;
        }
        let opened = started.elapsed().as_secs_f64() * 1e6;
        unsealing.push(opened / whole);
        turns.ours.push(whole - asked - opened);
        turns.limits.push(whole);
    }
    let (value, limit) = (turns.value(), turns.limit());
    Ok(Line {
        name: "policy_added_to_booking",
        value,
        unit: "us",
        limit,
        ratio: median(&turns.quotients()),
        goal: Some(0.95),
        note: format!(
            "{}; of which unsealing {:.3} of a session, the rest is that the alias's row is asked for by its token",
            turns.note(),
            median(&unsealing)
        ),
    })
}

/// What the layer in front of every call does once it knows who calls.
fn may(call: &str) -> Result<(), Failed> {
    let path = format!("/respite.v1.BookingService/{call}");
    let found = services::POLICIES.binary_search_by_key(&path.as_str(), |(known, _)| known);
    found.map(drop).map_err(|_| "no such call".into())
}

/// What is kept of an alias, as the server keeps it.
struct Safe {
    keyring: Keyring,
    wrapped: Vec<u8>,
    settings: Vec<u8>,
    roster: Vec<u8>,
    contact: Vec<u8>,
}

const OWN: [u8; 16] = [7; 16];

impl Safe {
    fn new() -> Self {
        let (keyring, key) = (Keyring::generate(), DataKey::generate());
        Self {
            wrapped: keyring.wrap(&key, OWN),
            settings: key.seal("alias.settings", OWN, &[0; 120], Padding::to(256)),
            roster: key.seal("roster.sealed", OWN, &[0; 3_000], Padding::ROSTER),
            contact: key.seal("contact.sealed", OWN, &[0; 120], Padding::to(256)),
            keyring,
        }
    }

    /// What one call does: it opens everything there is, and seals the answer to be remembered.
    fn open_and_answer(&self) -> Result<(), Failed> {
        let broken = |_| "what was sealed does not open";
        let key = self.keyring.unwrap(&self.wrapped, OWN).map_err(broken)?;
        for (column, sealed) in [
            ("alias.settings", &self.settings),
            ("roster.sealed", &self.roster),
            ("contact.sealed", &self.contact),
        ] {
            std::hint::black_box(key.open(column, OWN, sealed).map_err(broken)?);
        }
        std::hint::black_box(self.keyring.mac(Purpose::RequestPayload, &[&[0; 100]]));
        std::hint::black_box(key.seal("request.response", OWN, &[0; 200], Padding::to(128)));
        Ok(())
    }
}

/// A server with therapists who are always there and aliases who have signed in.
async fn open(home: &Home) -> Result<(Process, &'static Calendar), Failed> {
    home.run(&["seed", "--therapists", &THERAPISTS.to_string()])?;
    let db = Db::connect(&home.database, CONNECTIONS).await?;
    let from = services::Clock::System.now() + TimeDelta::days(2);
    let offers = always_open(&db).await?;
    let process = home.serve().await?;
    let aliases = sign_up(&process, offers.len()).await?;
    let calendar = Calendar { db, offers, aliases, from, next: AtomicUsize::new(0) };
    Ok((process, Box::leak(Box::new(calendar))))
}

async fn hold_confirm(name: &'static str, home: &Home, limit: Way) -> Result<Line, Failed> {
    let (process, calendar) = open(home).await?;
    let disk_before = fsync_ms(home.path())?;
    pairs_per_second(calendar, Way::Served, ROUND * 2).await?;
    pairs_per_second(calendar, limit, ROUND * 2).await?;
    let mut turns = Turns { ours: Vec::new(), limits: Vec::new() };
    let mut cpu = Vec::new();
    for _ in 0..ROUNDS {
        let before = process.cpu()?;
        let (done, rate) = pairs_per_second(calendar, Way::Served, ROUND).await?;
        cpu.push((process.cpu()? - before) * 1e3 / done);
        turns.ours.push(rate);
        turns.limits.push(pairs_per_second(calendar, limit, ROUND).await?.1);
    }
    let disk_after = fsync_ms(home.path())?;
    Ok(Line {
        name,
        value: turns.value(),
        unit: "pairs/s",
        limit: turns.limit(),
        ratio: median(&turns.quotients()),
        goal: Some(0.6),
        note: format!(
            "{}; server's processor time {} ms a pair; one fsync {disk_before:.2} and {disk_after:.2} ms",
            turns.note(),
            range(&cpu, 2)
        ),
    })
}

/// What is booked, by whom, with whom; every time in it is taken once.
struct Calendar {
    db: Db,
    offers: Vec<(TherapistId, SessionTypeId)>,
    aliases: Vec<(AliasId, Client)>,
    from: DateTime<Utc>,
    next: AtomicUsize,
}

#[derive(Clone, Copy)]
enum Way {
    /// By gRPC.
    Served,
    /// The same rows, written by the same driver with the same pool, in two transactions as well.
    Bare,
    /// And before: whose token it is, the locks, what was answered before, and what else is booked around then.
    Asked,
}

impl Calendar {
    /// The next free time: in each round everybody has one session, each time with somebody else; rounds are
    /// three hours apart, so that every day is a third full.
    fn next(&self) -> Result<Wanted<'_>, Failed> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (round, who) = (number / self.aliases.len(), number % self.aliases.len());
        let (therapist, session_type) = self.offers[(who + round) % self.offers.len()];
        let start = self.from + TimeDelta::hours(3 * i64::try_from(round)?);
        let start = DateTime::from_timestamp(start.timestamp() / 3_600 * 3_600, 0).ok_or("a time too far")?;
        let (alias, client) = &self.aliases[who];
        Ok(Wanted { alias: *alias, client, therapist, session_type, start })
    }
}

struct Wanted<'a> {
    alias: AliasId,
    client: &'a Client,
    therapist: TherapistId,
    session_type: SessionTypeId,
    start: DateTime<Utc>,
}

/// How many, and how many a second; each client begins the next when one is done.
async fn pairs_per_second(
    calendar: &'static Calendar,
    way: Way,
    while_: Duration,
) -> Result<(f64, f64), Failed> {
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(async move {
            let mut done = 0_u32;
            while started.elapsed() < while_ {
                let wanted = calendar.next()?;
                match way {
                    Way::Served => wanted.hold_and_confirm().await?,
                    Way::Bare => wanted.write_rows(&calendar.db, false).await?,
                    Way::Asked => wanted.write_rows(&calendar.db, true).await?,
                }
                done += 1;
            }
            Ok::<_, Failed>(done)
        });
    }
    let mut done = 0.0;
    while let Some(ended) = clients.join_next().await {
        done += f64::from(ended??);
    }
    Ok((done, done / started.elapsed().as_secs_f64()))
}

async fn confirm(client: &Client, booking_id: String, pass: Option<&Token>) -> Result<(), Failed> {
    let request = v1::ConfirmBookingRequest {
        request_id: request_id(),
        booking_id,
        payment: pass.map(by_pass),
        ..Default::default()
    };
    client.bookings().confirm_booking(request).await?;
    Ok(())
}

impl Wanted<'_> {
    async fn hold_and_confirm(&self) -> Result<(), Failed> {
        let booking = self.hold().await?;
        confirm(self.client, booking, None).await
    }

    /// Which booking it is.
    async fn hold(&self) -> Result<String, Failed> {
        let request = v1::HoldSlotRequest {
            request_id: request_id(),
            therapist_id: self.therapist.to_string(),
            session_type_id: self.session_type.to_string(),
            start_time: Some(timestamp(self.start)),
            modality: v1::Modality::Video.into(),
            roster_use: None,
        };
        let held = self.client.bookings().hold_slot(request).await?.into_inner();
        Ok(held.booking.ok_or("no booking")?.id)
    }

    async fn write_rows(&self, db: &Db, asked: bool) -> Result<(), Failed> {
        let held = booking::Model {
            id: BookingId::random(),
            therapist_id: self.therapist,
            alias_id: Some(self.alias),
            session_type_id: self.session_type,
            state: booking::State::Pending,
            occupies: true,
            starts_at: self.start.into(),
            ends_at: (self.start + TimeDelta::minutes(50)).into(),
            busy_from: self.start.into(),
            busy_until: (self.start + TimeDelta::minutes(60)).into(),
            local_start: "2026-03-27T09:00".to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
            modality: Modality::Video,
            hold_expires_at: Some(self.start.into()),
            late_cancellation: false,
            programme_id: None,
        };
        let id = held.id;
        if asked {
            self.ask_whose_token_it_is(db).await?;
        }
        let tx = db.write().await?;
        if asked {
            alias::Kept::lock(&tx, self.alias, Some(RequestId::random()), None).await?.ok_or("no alias")?;
            therapist::Entity::lock(self.therapist).into_tuple::<i64>().one(&tx).await?;
            booking::Occupied::bearing_on(&tx, self.therapist, self.alias, self.start).await?;
        }
        booking::Entity::insert(held.into_active_model()).exec_without_returning(&tx).await?;
        self.write_event(&tx, id, 1, booking::State::Pending).await?;
        self.write_answer(&tx).await?;
        tx.commit().await?;

        if asked {
            self.ask_whose_token_it_is(db).await?;
        }
        let tx = db.write().await?;
        if asked {
            alias::Kept::lock(&tx, self.alias, Some(RequestId::random()), None).await?.ok_or("no alias")?;
            booking::Entity::lock_owned(id, self.alias).one(&tx).await?.ok_or("no booking")?;
        }
        booking::Entity::update_many()
            .col_expr(booking::Column::State, Expr::value(booking::State::Booked))
            .col_expr(booking::Column::HoldExpiresAt, Expr::value(None::<i64>))
            .filter(booking::COLUMN.id.eq(id))
            .exec(&tx)
            .await?;
        self.write_event(&tx, id, 2, booking::State::Booked).await?;
        let reminder = reminder::Model {
            id: ReminderId::random(),
            alias_id: self.alias,
            booking_id: Some(id),
            kind: reminder::Kind::Session,
            lead_minutes: 1_440,
            due_at: self.start.into(),
            state: reminder::State::Planned,
            attempts: 0,
            next_attempt_at: self.start.into(),
        };
        reminder::Entity::insert(reminder.into_active_model()).exec_without_returning(&tx).await?;
        self.write_answer(&tx).await?;
        Ok(tx.commit().await?)
    }

    /// How much longer an alias's row is locked and read if it is asked for by its token, in microseconds.
    async fn token_in_the_question(&self, db: &Db) -> Result<f64, Failed> {
        let theirs = access_token::Entity::find().filter(access_token::COLUMN.caller_id.eq(self.alias.0));
        let token = theirs.one(db.read()).await?.ok_or("no token")?.hash;
        let (mut with, mut without) = (0.0, 0.0);
        for token in [None, Some(&token), Some(&token), None] {
            let tx = db.write().await?;
            let started = Instant::now();
            let kept = alias::Kept::lock(&tx, self.alias, Some(RequestId::random()), token).await?;
            let took = started.elapsed().as_secs_f64() * 1e6 / 2.0;
            kept.ok_or("no alias")?;
            *if token.is_some() { &mut with } else { &mut without } += took;
            tx.commit().await?;
        }
        Ok(with - without)
    }

    /// There is none, which is as quickly found out.
    async fn ask_whose_token_it_is(&self, db: &Db) -> Result<(), Failed> {
        let hash = Opaque([self.alias.0.into_bytes(); 2].concat());
        access_token::Entity::find_by_id(hash).one(db.read()).await?;
        Ok(())
    }

    async fn write_event(
        &self,
        tx: &impl ConnectionTrait,
        booking_id: BookingId,
        sequence: i32,
        state: booking::State,
    ) -> Result<(), Failed> {
        let event = booking_event::Model {
            booking_id,
            sequence,
            at: self.start.into(),
            state,
            actor: booking_event::Actor::Alias,
            rescheduled: false,
        };
        booking_event::Entity::insert(event.into_active_model()).exec_without_returning(tx).await?;
        Ok(())
    }

    async fn write_answer(&self, tx: &impl ConnectionTrait) -> Result<(), Failed> {
        let answer = request::Model {
            caller_id: self.alias.0,
            request_id: RequestId::random(),
            payload_mac: Opaque(vec![0; 32]),
            // What an answer takes once it is padded and sealed.
            response: Opaque(vec![0; 300]),
            expires_at: self.start.into(),
        };
        request::Entity::insert(answer.into_active_model()).exec_without_returning(tx).await?;
        Ok(())
    }
}

/// A hospital whose key has been signing for a while.
struct Hospital {
    issuer: Issuer,
    device: pass::Client,
}

impl Hospital {
    /// Writes what an operator and a manager would have: no key may be used in the week that it is published.
    async fn pays(db: &Db, now: DateTime<Utc>) -> Result<Self, Failed> {
        let id = ProgrammeId::random();
        let programme = programme::Model {
            id,
            public_key: Opaque(vec![0; 32]),
            display_name: "St. Ada".to_owned(),
            sessions_per_period: 100,
            durations: List(Vec::new()),
            modalities: List(Vec::new()),
            late_cancellation_costs: false,
            eligible_workers: 0,
        };
        let day = |days| (now + TimeDelta::days(days)).date_naive();
        let at = |days| (now + TimeDelta::days(days)).timestamp();
        let issuer = Issuer::generate();
        let record = KeyRecord {
            programme: pass::ProgrammeId(id.0.into_bytes()),
            period: pass::Period::new(format!("{}/{}", day(-30), day(300)))?,
            challenge: TokenChallenge::new("St. Ada", "bench")?,
            schedule: Schedule {
                published: at(-30),
                active_from: at(-20),
                grace_from: at(290),
                retired_from: at(300),
            },
            key: issuer.public_key().clone(),
        };
        let mut log = Directory::default();
        let entry = key_log::Model { position: 0, entry: Opaque(log.publish(&record)?) };
        let tx = db.write().await?;
        programme::Entity::insert(programme.into_active_model()).exec_without_returning(&tx).await?;
        key_log::Entity::insert(entry.into_active_model()).exec_without_returning(&tx).await?;
        tx.commit().await?;
        let device = pass::Client::new(&log, record.programme, record.key.id(), now.timestamp())?;
        Ok(Self { issuer, device })
    }

    fn pass(&self) -> Result<Token, Failed> {
        let pending = self.device.blind();
        Ok(self.device.finalize(&pending, &self.issuer.issue(&pending.request())?)?)
    }
}

/// Opens everybody's calendar around the clock for two years; one session type of each, which lasts an hour
/// with its buffers.
async fn always_open(db: &Db) -> Result<Vec<(TherapistId, SessionTypeId)>, Failed> {
    let hours = DayWindow::new(NaiveTime::MIN, NaiveTime::MIN)?;
    let days =
        [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];
    let windows = days.map(|weekday| Window { weekday, hours });
    let tx = db.write().await?;
    schedule::Entity::update_many()
        .col_expr(schedule::Column::TimeZone, Expr::value("Europe/Berlin"))
        .col_expr(schedule::Column::Windows, Expr::value(List(windows.to_vec())))
        .col_expr(schedule::Column::NoticeMinutes, Expr::value(60))
        .col_expr(schedule::Column::Horizon, Expr::value(Horizon(calendar::Horizon::Days(730))))
        .exec(&tx)
        .await?;
    tx.commit().await?;
    let offers = session_type::Entity::find()
        .select_only()
        .column(session_type::Column::TherapistId)
        .column(session_type::Column::Id)
        .filter(session_type::COLUMN.duration_minutes.eq(50))
        .into_tuple()
        .all(db.read())
        .await?;
    Ok(offers)
}

/// New aliases, signed in, over as many connections as there are clients.
async fn sign_up(process: &Process, aliases: usize) -> Result<Vec<(AliasId, Client)>, Failed> {
    let mut connections = Vec::new();
    for _ in 0..CLIENTS {
        connections.push(Client::connect(format!("http://{}", process.address)).await?);
    }
    let mut all = Vec::new();
    for number in 0..aliases {
        let anybody = &connections[number % CLIENTS];
        let key = Secret::generate().login_key();
        let alias = anybody.create_alias(&key).await?.id.parse()?;
        all.push((alias, anybody.login(key).await?));
    }
    Ok(all)
}

/// Milliseconds until 4 KiB more of a file are on the disk that holds `folder`.
fn fsync_ms(folder: &Path) -> Result<f64, Failed> {
    use std::io::Write;

    let mut file = tempfile::tempfile_in(folder)?;
    let mut times = Vec::new();
    for _ in 0..100 {
        let started = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(&times))
}
