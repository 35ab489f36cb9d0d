//! Between any two steps of a call: what it was to do is done once or not at all, and whoever asks again has it once.
//!
//! On PostgreSQL the process is killed at every statement of the call's transaction, before and after. On SQLite nothing
//! reaches the file before the transaction is committed, and then it is appended to the write-ahead log: whatever a kill
//! leaves is the beginning of what the log would have been, and every beginning is tried.

use std::{fs, net::SocketAddr, time::Duration};

use api::v1::{self, booking_service_client::BookingServiceClient};
use chrono::TimeDelta;
use client::{Refusal, request_id};
use e2e::{Engine, Therapist, Worker, World, channel, hospital::by_pass, serves, sign_in, with_token};
use pass::Token;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use store::{AliasId, Db, booking, booking::State, booking_event, credit, reminder, spent_pass};
use tonic::transport::Channel;

use super::{
    ALWAYS, Process, first_day, paid_for,
    proxy::{Proxy, Side, still_there},
};

/// A worker holds a slot, pays for it by a pass, and cancels it, each by a call of its own.
const CALLS: usize = 3;
/// What each of them alone writes.
const WRITTEN: [&str; CALLS] = ["booking", "spent_pass", "credit"];
/// More than there are moments to try.
const PASSES: usize = 200;

e2e::stories! {
    // B1, B3, B4, E2
    async fn between_any_two_steps_no_pass_is_lost_and_none_doubled(engine: Engine) {
        let (world, passes) = paid_for(engine, PASSES).await;
        let ada = world.therapist("Ada", "Etc/UTC").await.offers(ALWAYS, 20, 0, 10, 10).await;
        match engine {
            Engine::Postgres => at_every_statement(&world, &ada, passes).await,
            Engine::Sqlite => at_every_page(&world, &ada, passes).await,
        }
    }
}

async fn at_every_statement(world: &World, ada: &Therapist, passes: Vec<Token>) {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::before(&world.database).await;
    let mut process = Process::start(world, &proxy.database, folder.path(), "").await;
    let db = &world.app.db;
    let mut passes = passes.into_iter().enumerate();
    // What the process keeps in memory decides what it asks: from here on it keeps the therapist and the keys.
    let course = Course::begin(world, process.address, ada, passes.next().unwrap()).await;
    course.go_on(db, 0, "", None).await;

    for (stopped, table) in WRITTEN.into_iter().enumerate() {
        let mut runs: Vec<Vec<String>> = Vec::new();
        // Before each statement and after it, until the call is through before it comes so far.
        for step in 0.. {
            let (at, side) = (1 + step / 2, [Side::Before, Side::After][step % 2]);
            let mut course = Course::begin(world, process.address, ada, passes.next().unwrap()).await;
            let id = course.arrive(stopped).await;
            let call = course.call(stopped, &id);
            let reached = proxy.stop(course.alias.0, at, side);
            let mut asking = tokio::spawn({
                let (course, call) = (course.clone(), call.clone());
                async move { course.ask(&call).await }
            });
            let answer = tokio::select! {
                answer = &mut asking => Some(answer.unwrap().unwrap()),
                reached = reached => {
                    reached.unwrap();
                    None
                }
            };
            let statements = proxy.seen();
            if let Some(answer) = answer {
                assert_eq!(statements.len(), at, "it was stopped at each of them");
                assert!(runs.iter().all(|run| statements.starts_with(run)), "{runs:?} {statements:?}");
                let write = format!("INSERT INTO \"{table}\"");
                assert!(statements.iter().any(|statement| statement.contains(&write)), "{statements:?}");
                assert_eq!(statements.last().unwrap(), "COMMIT");
                course.go_on(db, stopped, &id, Some(&answer)).await;
                break;
            }
            assert_eq!(statements.len(), at + 1);
            process.kill();
            assert_eq!(asking.await.unwrap().unwrap_err().reason, "");
            while world.count(&still_there()).await > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let committed = side == Side::After && statements.last().unwrap() == "COMMIT";
            course.check(db, stopped + usize::from(committed)).await;
            runs.push(statements);
            process.restart().await;
            course.connect(process.address).await;
            course.go_on(db, stopped, &id, None).await;
        }
    }
}

async fn at_every_page(world: &World, ada: &Therapist, passes: Vec<Token>) {
    let file = world.database.strip_prefix("sqlite://").unwrap();
    for (stopped, pass) in passes.into_iter().enumerate().take(CALLS) {
        let course = Course::begin(world, world.address, ada, (stopped, pass)).await;
        let id = course.arrive(stopped).await;
        while !world.app.db.scrub().await.unwrap() {}
        let before = fs::read(file).unwrap();
        let answer = course.ask(&course.call(stopped, &id)).await.unwrap();
        let log = fs::read(format!("{file}-wal")).unwrap();
        // A head, and pages of one size with a head each.
        let page = 24 + u32::from_be_bytes(log[8..12].try_into().unwrap()) as usize;
        assert_eq!(log.len() % page, 32);
        assert!(log.len() > 32 + 2 * page, "one page is written at once");

        // Whole pages and halves of them.
        for end in [0].into_iter().chain((32..=log.len()).step_by(page / 2)) {
            let folder = tempfile::tempdir().unwrap();
            let copy = folder.path().join("respite.db");
            fs::write(&copy, &before).unwrap();
            fs::write(folder.path().join("respite.db-wal"), &log[..end]).unwrap();
            let server = world.another_server_on(&format!("sqlite://{}", copy.display())).await;
            let committed = end == log.len();
            course.check(&server.db, stopped + usize::from(committed)).await;
            let mut course = course.clone();
            course.connect(serves(&server).await.strip_prefix("http://").unwrap().parse().unwrap()).await;
            course.go_on(&server.db, stopped, &id, committed.then_some(&answer)).await;
            server.db.close().await.unwrap();
        }
    }
}

/// One worker's calls about one booking.
#[derive(Clone)]
struct Course {
    alias: AliasId,
    service: BookingServiceClient<Channel>,
    token: String,
    hold: v1::HoldSlotRequest,
    confirm_id: String,
    cancel_id: String,
    pass: Token,
    /// How many passes others have spent.
    spent: u64,
}

#[derive(Clone)]
enum Call {
    Hold(v1::HoldSlotRequest),
    Confirm(v1::ConfirmBookingRequest),
    Cancel(v1::CancelBookingRequest),
}

impl Course {
    /// Of a new worker, at a time of their own.
    async fn begin(
        world: &World,
        address: SocketAddr,
        ada: &Therapist,
        (number, pass): (usize, Token),
    ) -> Self {
        let worker = world.worker().await;
        let start = first_day() + TimeDelta::minutes(30 * i64::try_from(number).unwrap());
        let channel = channel(address).await;
        Self {
            alias: AliasId(worker.id.parse().unwrap()),
            token: sign_in(&channel, &worker.key).await,
            service: BookingServiceClient::new(channel),
            hold: Worker::hold_request(ada, &start.to_rfc3339()),
            confirm_id: request_id(),
            cancel_id: request_id(),
            pass,
            spent: spent_pass::Entity::find().count(world.app.db.read()).await.unwrap(),
        }
    }

    /// The process came back, or there is another.
    async fn connect(&mut self, address: SocketAddr) {
        self.service = BookingServiceClient::new(channel(address).await);
    }

    /// The call after so many others. It is the same one however often it is made.
    fn call(&self, done: usize, booking_id: &str) -> Call {
        let booking_id = booking_id.to_owned();
        match done {
            0 => Call::Hold(self.hold.clone()),
            1 => Call::Confirm(v1::ConfirmBookingRequest {
                request_id: self.confirm_id.clone(),
                booking_id,
                payment: Some(by_pass(&self.pass)),
                ..Default::default()
            }),
            _ => Call::Cancel(v1::CancelBookingRequest { request_id: self.cancel_id.clone(), booking_id }),
        }
    }

    async fn ask(&self, call: &Call) -> Result<v1::Booking, Refusal> {
        let mut service = self.service.clone();
        let booking = match call.clone() {
            Call::Hold(request) => {
                service.hold_slot(with_token(request, &self.token)).await?.into_inner().booking
            }
            Call::Confirm(request) => {
                service.confirm_booking(with_token(request, &self.token)).await?.into_inner().booking
            }
            Call::Cancel(request) => {
                service.cancel_booking(with_token(request, &self.token)).await?.into_inner().booking
            }
        };
        Ok(booking.unwrap())
    }

    /// Makes so many calls, and tells the booking's id if there is one.
    async fn arrive(&self, calls: usize) -> String {
        let mut id = String::new();
        for done in 0..calls {
            id = self.ask(&self.call(done, &id)).await.unwrap().id;
        }
        id
    }

    /// Asks for what it does not know the end of, and for all that is left. The first answer is the one that it was
    /// given already, if it was.
    async fn go_on(&self, db: &Db, from: usize, booking_id: &str, told: Option<&v1::Booking>) {
        let (mut id, mut told) = (booking_id.to_owned(), told);
        for done in from..CALLS {
            let call = self.call(done, &id);
            let answer = self.ask(&call).await.unwrap();
            assert!(told.take().is_none_or(|told| *told == answer), "one request id had two answers");
            assert_eq!(self.ask(&call).await.unwrap(), answer, "one request id had two answers");
            id = answer.id;
            self.check(db, done + 1).await;
        }
        // What was given back is a credit: the pass pays for nothing more.
        let another = v1::HoldSlotRequest { request_id: request_id(), ..self.hold.clone() };
        let held = self.ask(&Call::Hold(another)).await.unwrap();
        let again = v1::ConfirmBookingRequest {
            request_id: request_id(),
            booking_id: held.id,
            payment: Some(by_pass(&self.pass)),
            ..Default::default()
        };
        assert_eq!(self.ask(&Call::Confirm(again)).await.unwrap_err().reason, "PASS_SPENT");
    }

    /// All that there is of it after so many calls, and nothing that is between two of them.
    async fn check(&self, db: &Db, calls: usize) {
        let bookings = booking::Entity::find().filter(booking::COLUMN.alias_id.eq(self.alias));
        let bookings = bookings.all(db.read()).await.unwrap();
        let states: Vec<_> = bookings.iter().map(|row| (row.state, row.programme_id.is_some())).collect();
        let ids = || bookings.iter().map(|row| row.id);
        let history = booking_event::Entity::find().filter(booking_event::Column::BookingId.is_in(ids()));
        let reminders = reminder::Entity::find().filter(reminder::Column::BookingId.is_in(ids()));
        let spent = spent_pass::Entity::find();
        let credits = credit::Entity::find().filter(credit::COLUMN.alias_id.eq(self.alias));
        let found = (
            &states[..],
            history.count(db.read()).await.unwrap(),
            reminders.count(db.read()).await.unwrap(),
            spent.count(db.read()).await.unwrap() - self.spent,
            credits.count(db.read()).await.unwrap(),
        );
        let expected = match calls {
            0 => (&[][..], 0, 0, 0, 0),
            1 => (&[(State::Pending, false)][..], 1, 0, 0, 0),
            2 => (&[(State::Booked, true)][..], 2, 1, 1, 0),
            _ => (&[(State::Cancelled, true)][..], 3, 0, 1, 1),
        };
        assert_eq!(found, expected);
    }
}
