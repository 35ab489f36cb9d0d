//! What searches answer from is never behind what was booked or changed: here, on another server, and for who watches.

use std::time::Duration;

use api::v1::{self, booking_service_client::BookingServiceClient, slot_service_client::SlotServiceClient};
use client::{Client, Refusal, request_id};
use e2e::{
    Engine, Worker, World, channel, date, hours_of, minutes, profile, sign_in, span, time, timestamp,
    with_token,
};
use sea_orm::ConnectionTrait;
use store::change;
use tokio::time::{sleep, timeout};
use tonic::Code;

const NOW: &str = "2026-03-20T09:00:00Z";
const BERLIN: &str = "Europe/Berlin";
/// A Monday.
const FROM: &str = "2026-03-23T07:00:00Z";
const UNTIL: &str = "2026-03-23T19:00:00Z";

fn watched(therapist: &str) -> v1::WatchSlotsRequest {
    let filter = v1::TherapistFilter { therapist_ids: vec![therapist.to_owned()], ..Default::default() };
    let window = Some(span(FROM, UNTIL));
    let search = v1::SearchSlotsRequest { filter: Some(filter), window, page_size: 3, ..Default::default() };
    v1::WatchSlotsRequest { search: Some(search) }
}

/// The hours, in UTC, at which slots start.
fn hours<'a>(slots: impl IntoIterator<Item = &'a v1::Slot>) -> Vec<String> {
    let start = |slot: &v1::Slot| slot.session.unwrap().start_time.unwrap().seconds;
    let hour = |at: i64| format!("{:02}:{:02}", at / 3_600 % 24, at / 60 % 60);
    slots.into_iter().map(|slot| hour(start(slot))).collect()
}

fn added(response: &v1::WatchSlotsResponse) -> Vec<String> {
    hours(response.added.iter().map(|hit| hit.slot.as_ref().unwrap()))
}

async fn next(watch: &mut tonic::Streaming<v1::WatchSlotsResponse>) -> v1::WatchSlotsResponse {
    let message = timeout(Duration::from_secs(20), watch.message()).await.expect("it comes");
    message.expect("it goes on").expect("it has not ended")
}

/// What the server at `client` offers a worker with this therapist, hour by hour.
async fn offered(client: &Client, therapist: &str) -> Vec<String> {
    let request = watched(therapist).search.unwrap();
    let found = client.slots().search_slots(request).await.unwrap().into_inner();
    hours(found.hits.iter().map(|hit| hit.slot.as_ref().unwrap()))
}

async fn comes_to(client: &Client, therapist: &str, expected: &[&str]) {
    for _ in 0..200 {
        if offered(client, therapist).await == expected {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(offered(client, therapist).await, expected);
}

/// A worker's own words to another server.
async fn signed_in_at(worker: &Worker, server: &str) -> Client {
    Client::connect(server.to_owned()).await.unwrap().login(worker.key.clone()).await.unwrap()
}

e2e::stories! {
    // S7
    async fn who_watches_sees_what_others_take_and_give_back(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let (nurse, other) = (world.worker().await, world.worker().await);
        let mut watch = nurse.client.slots().watch_slots(watched(&ada.id)).await.unwrap().into_inner();
        let first = next(&mut watch).await;
        assert_eq!((added(&first), first.removed.len()), (vec!["07:00".into(), "07:30".into(), "08:00".into()], 0));

        let held = other.holds(&ada, "2026-03-23T08:00:00Z").await.unwrap();
        let change = next(&mut watch).await;
        assert_eq!((added(&change), hours(&change.removed)), (vec!["09:00".into(), "09:30".into()], vec!["07:30".into(), "08:00".into()]));

        let request = v1::ReleaseHoldRequest { request_id: request_id(), booking_id: held.id };
        other.client.bookings().release_hold(request).await.unwrap();
        let change = next(&mut watch).await;
        assert_eq!((added(&change), hours(&change.removed)), (vec!["07:30".into(), "08:00".into()], vec!["09:00".into(), "09:30".into()]));

        // Whoever is erased watches no more.
        nurse.client.alias().erase_alias(v1::EraseAliasRequest {}).await.unwrap();
        other.holds(&ada, "2026-03-23T07:00:00Z").await.unwrap();
        let ended = async {
            loop {
                if let Err(ended) = watch.message().await {
                    return ended;
                }
            }
        };
        let ended = timeout(Duration::from_secs(30), ended).await.unwrap();
        assert_eq!(ended.code(), Code::Unauthenticated);
    }

    // S7: bad questions are refused before anything is watched.
    async fn what_cannot_be_searched_is_not_watched(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let nurse = world.worker().await;
        let refused = async |request| nurse.client.slots().watch_slots(request).await.unwrap_err().code();
        assert_eq!(refused(v1::WatchSlotsRequest::default()).await, Code::InvalidArgument);
        let mut paged = watched(&request_id());
        "x".clone_into(&mut paged.search.as_mut().unwrap().page_token);
        assert_eq!(refused(paged).await, Code::InvalidArgument);
        let mut long = watched(&request_id());
        long.search.as_mut().unwrap().window = Some(span(FROM, "2026-04-24T00:00:00Z"));
        assert_eq!(refused(long).await, Code::InvalidArgument);
    }

    // A caller finds what was changed a moment before, by whomever: nothing is offered that was seen to go.
    async fn a_search_knows_what_was_answered_before_it(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        for hour in 7..17 {
            let start = format!("2026-03-23T{hour:02}:00:00Z");
            let first = offered(&nurse.client, &ada.id).await;
            assert_eq!(first[0], format!("{hour:02}:00"));
            world.worker().await.holds(&ada, &start).await.unwrap();
        }
        // All of them expire by themselves, without a word from anybody (B1).
        world.pass(chrono::TimeDelta::minutes(10));
        assert_eq!(offered(&nurse.client, &ada.id).await, ["07:00", "07:30", "08:00"]);
    }

    // A server that hears of a change, one whose line to the database was cut, and one that was told nothing, all know
    // it soon.
    async fn another_server_follows(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let (nurse, other) = (world.worker().await, world.worker().await);
        let elsewhere = signed_in_at(&nurse, &world.serves_elsewhere().await).await;
        comes_to(&elsewhere, &ada.id, &["07:00", "07:30", "08:00"]).await;

        other.holds(&ada, "2026-03-23T07:00:00Z").await.unwrap();
        comes_to(&elsewhere, &ada.id, &["08:00", "08:30", "09:00"]).await;

        if engine == Engine::Postgres {
            let cut = "select pg_terminate_backend(pid) from pg_stat_activity
                where datname = current_database() and query ilike 'listen%'";
            world.app.db.read().execute_unprepared(cut).await.unwrap();
        }
        let off = v1::TimeOff { span: Some(span("2026-03-23T07:00:00Z", "2026-03-23T10:00:00Z")), ..Default::default() };
        let request = v1::CreateTimeOffRequest { request_id: request_id(), time_off: Some(off) };
        ada.client.availability().create_time_off(request).await.unwrap();
        comes_to(&elsewhere, &ada.id, &["10:00", "10:30", "11:00"]).await;

        // An operator's own hands in the database are seen, too.
        world.app.db.read().execute_unprepared("delete from time_off").await.unwrap();
        comes_to(&elsewhere, &ada.id, &["08:00", "08:30", "09:00"]).await;
    }

    // A server that was away until the log forgot what it had not read cannot know what that was.
    async fn who_missed_something_reads_everything(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        assert_eq!(offered(&nurse.client, &ada.id).await, ["07:00", "07:30", "08:00"]);
        for statements in [
            ["update schedule set notice_minutes = 4320", "select 1"],
            // Something later, of nobody; what was before it has been there for long enough.
            [
                "insert into change (caller_id) select id from therapist",
                "delete from change where position < (select max(position) from change)",
            ],
        ] {
            let tx = world.app.db.write().await.unwrap();
            for statement in statements {
                tx.execute_unprepared(statement).await.unwrap();
            }
            tx.commit().await.unwrap();
        }
        comes_to(&nurse.client, &ada.id, &["09:00", "09:30", "10:00"]).await;
    }

    // The database itself raises the revision and writes the change down, whatever changes.
    async fn nothing_changes_without_a_trace(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        let booking = nurse.books(&ada, "2026-03-23T08:00:00Z").await.unwrap();
        let off = v1::TimeOff { span: Some(span("2026-04-06T00:00:00Z", "2026-04-07T00:00:00Z")), ..Default::default() };
        let request = v1::CreateTimeOffRequest { request_id: request_id(), time_off: Some(off) };
        ada.client.availability().create_time_off(request).await.unwrap();
        let change = v1::DateOverride { date: Some(date("2026-04-08")), kind: v1::DateOverrideKind::Replace.into(), ..Default::default() };
        let request = v1::CreateDateOverrideRequest { request_id: request_id(), date_override: Some(change) };
        ada.client.availability().create_date_override(request).await.unwrap();
        world.calendars.publish("https://calendars.example.org/1.ics", "BEGIN:VCALENDAR\nEND:VCALENDAR\n");
        let elsewhere = v1::BusyFeed {
            display_name: "clinic".to_owned(),
            feed_uri: "https://calendars.example.org/1.ics".to_owned(),
            ..Default::default()
        };
        let request = v1::CreateBusyFeedRequest { request_id: request_id(), busy_feed: Some(elsewhere) };
        ada.client.availability().create_busy_feed(request).await.unwrap();
        let db = world.app.db.read();
        for (statement, revised) in [
            ("update therapist set accepts_new_clients = accepts_new_clients", true),
            ("update schedule set notice_minutes = notice_minutes + 1", true),
            ("update session_type set display_name = 'x'", true),
            ("update credential set licence_number = 'x'", true),
            ("update time_off set ends_at = ends_at + 60", true),
            ("delete from time_off", true),
            ("insert into time_off (id, therapist_id, starts_at, ends_at)
              select id, id, 1900000000, 1900003600 from therapist", true),
            ("update date_override set date = date", true),
            ("delete from date_override", true),
            ("update busy_feed set busy = '[[1900000000,1900003600]]'", true),
            ("insert into feed (id, sealed, failures, next_attempt_at) select therapist_id, sealed, 0, 0 from busy_feed, feed;
              insert into busy_feed (id, therapist_id, display_name, busy) select therapist_id, therapist_id, '', '[]' from busy_feed", true),
            ("delete from feed", true),
            ("update booking set occupies = false", false),
            ("update booking set occupies = true", false),
            ("update booking set busy_until = busy_until + 60", false),
            ("delete from booking", false),
        ] {
            let revision = world.count("select max(revision) from therapist").await;
            db.execute_unprepared("delete from change").await.unwrap();
            db.execute_unprepared(statement).await.unwrap();
            let raised = world.count("select max(revision) from therapist").await > revision;
            assert_eq!(raised, revised, "{statement}");
            let traces = "select count(*) from change where (busy_from is null) = ";
            let of_the_kind = world.count(&format!("{traces}{}", if revised { "true" } else { "false" })).await;
            assert!(of_the_kind > 0, "{statement}");
        }
        assert!(!booking.id.is_empty());
        // Of callers, what servers remember of them.
        nurse.works(BERLIN, &[("2026-03-23T20:00:00Z", "2026-03-24T05:30:00Z")], "2026-04-30").await;
        for statement in [
            "update access_token set expires_at = expires_at - 1",
            "delete from access_token",
            "update alias set settings = settings",
            "update roster set sealed = sealed",
            "delete from roster",
            "insert into roster (alias_id, sealed) select id, settings from alias",
        ] {
            db.execute_unprepared("delete from change").await.unwrap();
            db.execute_unprepared(statement).await.unwrap();
            let traces = "select count(*) from change where caller_id is not null and therapist_id is null";
            assert!(world.count(traces).await > 0, "{statement}");
        }
    }

    // A server remembers who asked it a moment ago, and forgets it the moment that something of it changes, wherever.
    async fn what_is_remembered_of_a_caller_is_not_believed_for_long(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let bea = world.therapist("Bea", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        let elsewhere = signed_in_at(&nurse, &world.serves_elsewhere().await).await;
        comes_to(&elsewhere, &ada.id, &["07:00", "07:30", "08:00"]).await;
        assert_eq!(offered(&nurse.client, &ada.id).await, ["07:00", "07:30", "08:00"]);

        nurse.holds(&bea, FROM).await.unwrap();
        assert_eq!(offered(&nurse.client, &ada.id).await, ["08:00", "08:30", "09:00"]);
        comes_to(&elsewhere, &ada.id, &["08:00", "08:30", "09:00"]).await;

        nurse.works(BERLIN, &[("2026-03-23T08:30:00Z", "2026-03-23T11:00:00Z")], "2026-04-30").await;
        assert_eq!(offered(&nurse.client, &ada.id).await, ["11:30", "12:00", "12:30"]);
        comes_to(&elsewhere, &ada.id, &["11:30", "12:00", "12:30"]).await;

        let request = v1::UpdateAliasRequest {
            request_id: request_id(),
            settings: Some(v1::AliasSettings { commute: Some(minutes(90)), ..Default::default() }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["commute".to_owned()] }),
        };
        nurse.client.alias().update_alias(request).await.unwrap();
        assert_eq!(offered(&nurse.client, &ada.id).await, ["12:30", "13:00", "13:30"]);
        comes_to(&elsewhere, &ada.id, &["12:30", "13:00", "13:30"]).await;
    }

    // Neither whose token it is nor when they have time nor who is free: until it has been behind for too long.
    async fn a_search_asks_no_database(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        nurse.works(BERLIN, &[("2026-03-23T08:30:00Z", "2026-03-23T11:00:00Z")], "2026-04-30").await;
        assert_eq!(offered(&nurse.client, &ada.id).await, ["11:30", "12:00", "12:30"]);
        let request = || watched(&ada.id).search.unwrap();
        // What the mirror reads is there; who calls and when they have time is not. Another database of the cluster can
        // make it read a change once more, and then it has to be asked for.
        let db = world.app.db.read();
        let mut found = None;
        for _ in 0..200 {
            for table in ["access_token", "alias", "roster"] {
                db.execute_unprepared(&format!("alter table {table} rename to {table}_gone")).await.unwrap();
            }
            found = nurse.client.slots().search_slots(request()).await.ok();
            for table in ["access_token", "alias", "roster"] {
                db.execute_unprepared(&format!("alter table {table}_gone rename to {table}")).await.unwrap();
            }
            if found.is_some() {
                break;
            }
            sleep(Duration::from_millis(50)).await;
            assert_eq!(offered(&nurse.client, &ada.id).await, ["11:30", "12:00", "12:30"]);
        }
        let found = found.expect("it asks none").into_inner();
        assert_eq!(hours(found.hits.iter().map(|hit| hit.slot.as_ref().unwrap())), ["11:30", "12:00", "12:30"]);

        db.clone().close().await.unwrap();
        for _ in 0..200 {
            if let Err(refused) = nurse.client.slots().search_slots(request()).await {
                assert_eq!(refused.code(), Code::Unavailable);
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("what nobody can check any more is still believed");
    }

    // Every server knows by itself when a token ends: sweeping many is no reason to read everything anew.
    async fn a_token_that_ends_by_itself_is_no_news(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let nurse = world.worker().await;
        nurse.works(BERLIN, &[], "2026-04-30").await;
        world.pass(chrono::TimeDelta::minutes(16));
        let before = world.count("select count(*) from change").await;
        assert!(before > 0 && world.count("select count(*) from access_token").await > 0);
        services::retention::sweep(&world.app).await.unwrap();
        assert_eq!(world.count("select count(*) from access_token").await, 0);
        assert_eq!(world.count("select count(*) from change").await, before);
    }

    // Whoever is erased is forgotten by every server, though none is told whom to forget.
    async fn an_erased_alias_searches_no_more_anywhere(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let (nurse, other) = (world.worker().await, world.worker().await);
        let there = channel(world.serves_elsewhere().await.trim_start_matches("http://").parse().unwrap()).await;
        let token = sign_in(&there, &nurse.key).await;
        let search = async || {
            let search = with_token(watched(&other.id).search.unwrap(), &token);
            v1::slot_service_client::SlotServiceClient::new(there.clone()).search_slots(search).await
        };
        search().await.unwrap();
        search().await.unwrap();
        nurse.client.alias().erase_alias(v1::EraseAliasRequest {}).await.unwrap();
        for _ in 0..200 {
            if let Err(refused) = search().await {
                assert_eq!(refused.code(), Code::Unauthenticated);
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("another server still believes the token");
    }

    // Signed out is signed out: at once where it was said, and everywhere else as soon as it is heard.
    async fn a_token_that_was_given_back_searches_no_more(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let nurse = world.worker().await;
        let there = channel(world.serves_elsewhere().await.trim_start_matches("http://").parse().unwrap()).await;
        let here = channel(world.address).await;
        let token = sign_in(&here, &nurse.key).await;
        let search = async |channel: &tonic::transport::Channel| {
            let search = with_token(watched(&nurse.id).search.unwrap(), &token);
            let found = v1::slot_service_client::SlotServiceClient::new(channel.clone()).search_slots(search).await;
            found.map_or_else(|refusal| refusal.code(), |_| Code::Ok)
        };
        // Both remember it.
        for channel in [&here, &there, &here, &there] {
            assert_eq!(search(channel).await, Code::Ok);
        }
        let mut aliases = v1::alias_service_client::AliasServiceClient::new(here.clone());
        aliases.logout(with_token(v1::LogoutRequest {}, &token)).await.unwrap();
        assert_eq!(search(&here).await, Code::Unauthenticated);
        for _ in 0..200 {
            if search(&there).await == Code::Unauthenticated {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("another server still believes the token");
    }

    // What is remembered would be forgotten at every look, and everybody who watches woken up.
    async fn that_nothing_changed_is_no_change(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let db = world.app.db.read();
        let nurse = world.worker().await;
        let stood = change::position(db).await.unwrap();
        assert_eq!(change::since(db, stood).await.unwrap().changes, []);
        nurse.client.alias().erase_alias(v1::EraseAliasRequest {}).await.unwrap();
        assert!(change::since(db, stood).await.unwrap().changes.contains(&change::Change::Erased));
    }

    // Whoever books is asked about in the booking's own transaction, whatever the server remembers of them.
    async fn a_token_that_ended_unheard_of_books_nothing(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        let held = nurse.holds(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        let untold = match engine {
            Engine::Sqlite => "drop trigger access_token_changed_delete",
            Engine::Postgres => "alter table access_token disable trigger all",
        };
        world.app.db.read().execute_unprepared(untold).await.unwrap();
        let channel = channel(world.address).await;
        let mut bookings = BookingServiceClient::new(channel.clone());
        // What is read while something changes, as while all this was made, is not remembered.
        for _ in 0..200 {
            let token = sign_in(&channel, &nurse.key).await;
            let search = async || {
                let search = with_token(watched(&ada.id).search.unwrap(), &token);
                SlotServiceClient::new(channel.clone()).search_slots(search).await.is_ok()
            };
            assert!(search().await);
            world.app.db.read().execute_unprepared("delete from access_token").await.unwrap();
            // It is from memory that this server believes it, unless something changed while it was read.
            let believed = search().await;
            let before = world.fingerprint().await;
            let hold = with_token(Worker::hold_request(&ada, "2026-03-23T12:00:00Z"), &token);
            let confirm = with_token(Worker::confirm_request(&held), &token);
            for refused in [bookings.hold_slot(hold).await.map(drop), bookings.confirm_booking(confirm).await.map(drop)] {
                let refused = Refusal::from(refused.unwrap_err());
                assert_eq!((refused.code, refused.reason.as_str()), (Code::Unauthenticated, "TOKEN_INVALID"));
            }
            assert!(world.fingerprint().await == before);
            // Having learned it, the server believes it no more.
            assert!(!search().await);
            if believed {
                return;
            }
        }
        panic!("no token is ever remembered");
    }

    // D3, D4
    async fn hours_of_the_day_and_who_is_known_count(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let bea = world.therapist("Bea", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        let settings = v1::AliasSettings { time_zone: BERLIN.to_owned(), ..Default::default() };
        let update_mask = Some(prost_types::FieldMask { paths: vec!["time_zone".to_owned()] });
        let request = v1::UpdateAliasRequest { request_id: request_id(), settings: Some(settings), update_mask };
        nurse.client.alias().update_alias(request).await.unwrap();
        let search = async |window, times: &[&str]| {
            let request = v1::SearchSlotsRequest {
                window: Some(window),
                times_of_day: times.iter().map(|hours| hours_of(hours)).collect(),
                duration: Some(minutes(50)),
                page_size: 100,
                ..Default::default()
            };
            nurse.client.slots().search_slots(request).await.unwrap().into_inner().hits
        };
        let day = || span("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z");
        let starts = |hits: &[v1::SlotHit]| {
            let mut starts = hours(hits.iter().map(|hit| hit.slot.as_ref().unwrap()));
            starts.dedup();
            starts
        };
        // Berlin is an hour ahead: its lunch time, and its evening that runs into the night.
        assert_eq!(starts(&search(day(), &["12:00-14:00", "18:30-01:00"]).await), ["11:00", "11:30", "12:00", "17:30", "18:00"]);
        assert!(search(day(), &["02:00-06:00"]).await.is_empty());

        // Somebody who had a session with Bea is offered her first at one time, and told why.
        nurse.books(&bea, "2026-03-23T08:00:00Z").await.unwrap();
        world.set_clock("2026-03-23T08:01:00Z");
        let booked = nurse.client.bookings().list_bookings(v1::ListBookingsRequest::default()).await.unwrap().into_inner();
        let request = v1::JoinSessionRequest { booking_id: booked.bookings[0].id.clone() };
        nurse.client.bookings().join_session(request).await.unwrap();
        let hits = search(span("2026-03-30T00:00:00Z", "2026-03-31T00:00:00Z"), &[]).await;
        assert_eq!(hits[0].therapist_display_name, "Bea");
        let known = |hit: &v1::SlotHit| hit.reasons.iter().any(|reason| reason.criterion() == v1::Criterion::Continuity);
        assert!(known(&hits[0]) && !known(&hits[1]));
        assert!(!ada.id.is_empty());
    }

    // D3
    async fn free_text_finds_who_says_or_means_it(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let text = |text: &str| vec![v1::LocalizedText { language_code: "de".to_owned(), text: text.to_owned() }];
        let like = |name: &str, slug: &str, texts| v1::Therapist {
            specializations: vec![v1::TherapistSpecialization { slug: slug.to_owned(), years: 3 }],
            texts,
            ..profile(name, BERLIN)
        };
        world.therapist_like(like("Änne Müller", "burnout", text("Ich habe selbst nachts gearbeitet."))).await;
        world.therapist_like(like("Bo Lindner", "grief", text("Trauer braucht Zeit; Gärtnern hilft."))).await;
        let anybody = world.anybody().await;
        let found = async |query: &str| {
            let filter = v1::TherapistFilter { query: query.to_owned(), ..Default::default() };
            let request = v1::SearchTherapistsRequest { filter: Some(filter), ..Default::default() };
            let hits = anybody.directory().search_therapists(request).await.unwrap().into_inner().hits;
            hits.into_iter()
                .map(|hit| {
                    let reasons = hit.reasons.into_iter().filter(|reason| reason.criterion() == v1::Criterion::Query);
                    let values: Vec<_> = reasons.map(|reason| reason.value).collect();
                    format!("{}: {}", hit.therapist.unwrap().display_name, values.join(", "))
                })
                .collect::<Vec<_>>()
        };
        for (query, expected) in [
            ("müller", vec!["Änne Müller: muller"]),
            ("Mueller", vec!["Änne Müller: mueller"]),
            ("muler", vec!["Änne Müller: muller"]),
            ("ann gearb", vec!["Änne Müller: anne, gearbeitet"]),
            ("gartnern", vec!["Bo Lindner: gartnern"]),
            // What a specialization is called, in whichever language, and what people call it.
            ("deuil", vec!["Bo Lindner: grief"]),
            ("exhausted gearbietet", vec!["Änne Müller: burnout, gearbeitet"]),
            // Every word has to be answered.
            ("müller trauer", vec![]),
            ("qwertz", vec![]),
        ] {
            assert_eq!(found(query).await, expected, "{query}");
        }
        // A changed text is found at once, and the old one no more.
        let cleo = world.therapist_like(like("Cleo", "anxiety", text("Schlaf und Schicht"))).await;
        assert_eq!(found("schicht").await, ["Cleo: schicht"]);
        let request = v1::UpdateTherapistRequest {
            request_id: request_id(),
            therapist: Some(v1::Therapist { texts: text("Ruhe"), ..Default::default() }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["texts".to_owned()] }),
        };
        cleo.client.directory().update_therapist(request).await.unwrap();
        assert!(found("schicht").await.is_empty());
        assert_eq!(found("ruhe").await, ["Cleo: ruhe"]);
    }

    // B4, T5: what is offered to whoever moves a booking is what moving it accepts.
    async fn a_booking_does_not_stand_in_its_own_way(engine: Engine) {
        let world = World::at(engine, NOW).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let (nurse, other) = (world.worker().await, world.worker().await);
        let booked = nurse.books(&ada, "2026-03-23T07:30:00Z").await.unwrap();
        let ask = async |worker: &Worker, moving: &str| {
            let request = v1::SearchSlotsRequest { moving_booking_id: moving.to_owned(), ..watched(&ada.id).search.unwrap() };
            worker.client.slots().search_slots(request).await.map(|found| {
                hours(found.into_inner().hits.iter().map(|hit| hit.slot.as_ref().unwrap()))
            })
        };
        assert_eq!(ask(&nurse, "").await.unwrap(), ["08:30", "09:00", "09:30"]);
        assert_eq!(ask(&nurse, &booked.id).await.unwrap(), ["07:00", "07:30", "08:00"]);
        assert_eq!(ask(&other, &booked.id).await.unwrap_err().code(), Code::NotFound);
        let request = v1::RescheduleBookingRequest {
            request_id: request_id(),
            booking_id: booked.id.clone(),
            start_time: Some(timestamp(time("2026-03-23T08:00:00Z"))),
            roster_use: None,
        };
        nurse.client.bookings().reschedule_booking(request).await.unwrap();
        assert_eq!(ask(&nurse, &booked.id).await.unwrap(), ["07:00", "07:30", "08:00"]);
        assert_eq!(ask(&other, "").await.unwrap(), ["07:00", "09:00", "09:30"]);
    }
}
