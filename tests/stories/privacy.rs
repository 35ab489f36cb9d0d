//! What an alias says about itself is in no file, no letter and no answer that is not its own.
//!
//! Things that occur nowhere else are said in the course of the main job and of calls that fail; then everything
//! is searched for them, in every spelling that a file might use. The search itself is tried on one that was put
//! there.

use std::{path::PathBuf, process::Command};

use api::v1;
use client::{Secret, request_id};
use data_encoding::{BASE64, HEXLOWER};
use e2e::{
    Engine, World, channel, date,
    hospital::{by_pass, key_log},
    sign_in, span, time, timestamp,
};
use prost::Message;
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel};
use store::{Opaque, OperatorId, alias, alias_key, contact, operator, request, roster, spent_pass};

const BERLIN: &str = "Europe/Berlin";
const FRIDAY: &str = "2026-03-20T09:00:00Z";
const EMAIL: &str = "zq7canary@kestrel-lake.example";
const MISTYPED: &str = "zq8canary@@kestrel-lake.example";
const FEED: &str = "https://rosters.example.org/zq9canary/kestrel.ics";
const ELSEWHERE: &str = "https://calendars.example.org/zq6canary/ada.ics";
const GONE: &str = "https://rosters.example.org/zq5canary/gone.ics";
const PLACE: &str = "Wing Zeta Nine Canary";
/// Of an alias alone, in spellings of its own.
const WARD: &str = "Zq4canary Ward";
const UNIT: &str = "ZQ4CANARY ÜNIT";
/// No therapist is free and no other shift begins at this minute.
const SHIFT: &str = "2026-03-22T20:17:00Z";
/// Nor at this one.
const CARRIED: &str = "2026-04-05T20:23:00Z";

e2e::stories! {
    async fn the_data_holds_nothing_that_was_said_in_confidence(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let secret = Secret::generate();
        let key = secret.login_key();
        let anybody = world.anybody().await;
        let alias = anybody.create_alias(&key).await.unwrap();
        let client = anybody.login(key.clone()).await.unwrap();
        let nurse = e2e::Worker { id: alias.id, handle: alias.handle, key: key.clone(), client };
        let token = sign_in(&channel(world.address).await, &key).await;

        // The main job, and what goes wrong on the way.
        let file = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:{PLACE}\r\nDTSTART:20260322T201700Z\r\nDTEND:20260323T053000Z\r\n\
             SUMMARY:{PLACE}\r\nLOCATION:{PLACE}\r\nATTENDEE:mailto:{EMAIL}\r\nDESCRIPTION:{PLACE}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        );
        let import = |file: &str| v1::ImportRosterRequest {
            request_id: request_id(),
            source: Some(v1::import_roster_request::Source::Icalendar(file.as_bytes().to_vec())),
            time_zone: BERLIN.to_owned(),
            publish_date: Some(date("2026-04-30")),
            on_call: false,
        };
        let mut answers = Vec::new();
        let broken = nurse.client.roster().import_roster(import(&file.replace("END:VEVENT", PLACE))).await.unwrap_err();
        answers.push(format!("{broken:?} {}", broken.message()));
        let taken = nurse.client.roster().import_roster(import(&file)).await.unwrap().into_inner();
        assert_eq!((taken.shift_count, taken.night_count), (1, 1));
        let mistyped = v1::SetContactRequest {
            request_id: request_id(),
            contact: Some(v1::Contact { email: MISTYPED.to_owned(), language_code: "en".to_owned(), ..Default::default() }),
        };
        let refused = nurse.client.reminders().set_contact(mistyped.clone()).await.unwrap_err();
        answers.push(format!("{refused:?} {mistyped:?}"));
        nurse.reached_at(&world, EMAIL, "en", v1::ReminderLevel::Time).await;
        let asleep = nurse.holds(&ada, "2026-03-23T10:00:00Z").await.unwrap_err();
        assert_eq!(asleep.reason, "COLLIDES_WITH_SLEEP");
        answers.push(format!("{asleep:?}"));
        let booked = nurse.books(&ada, "2026-03-23T15:00:00Z").await.unwrap();
        world.set_clock("2026-03-22T15:11:00Z");
        world.deliver().await;
        assert_eq!(world.letters().len(), 2, "a code and a reminder");
        world.calendars.publish(FEED, &file);
        let feed = |address: &str| v1::ImportRosterRequest {
            source: Some(v1::import_roster_request::Source::FeedUri(address.to_owned())),
            publish_date: None,
            ..import("")
        };
        nurse.client.roster().import_roster(feed(FEED)).await.unwrap();
        for address in [GONE, &GONE.replace("https", "ftp")] {
            let refused = nurse.client.roster().import_roster(feed(address)).await.unwrap_err();
            answers.push(format!("{refused:?} {} {:?}", refused.message(), feed(address)));
        }
        let elsewhere = v1::BusyFeed { display_name: "clinic".to_owned(), feed_uri: ELSEWHERE.to_owned(), ..Default::default() };
        let request = v1::CreateBusyFeedRequest { request_id: request_id(), busy_feed: Some(elsewhere) };
        world.calendars.publish(ELSEWHERE, &file.replace("T201700Z", "T191100Z"));
        let created = ada.client.availability().create_busy_feed(request.clone()).await.unwrap().into_inner();
        let listed = ada.client.availability().list_busy_feeds(v1::ListBusyFeedsRequest {}).await.unwrap().into_inner();
        answers.extend([created.encode_to_vec(), listed.encode_to_vec()].map(|told| HEXLOWER.encode(&told)));
        let gone = v1::CreateBusyFeedRequest { request_id: request_id(), busy_feed: Some(v1::BusyFeed { feed_uri: GONE.to_owned(), ..request.busy_feed.clone().unwrap() }) };
        let refused = ada.client.availability().create_busy_feed(gone.clone()).await.unwrap_err();
        answers.push(format!("{refused:?} {} {gone:?} {request:?} {created:?}", refused.message()));
        let tags = |tags: &[&str]| v1::SetExclusionTagsRequest { request_id: request_id(), exclusion_tags: tags.iter().map(|tag| (*tag).to_owned()).collect() };
        let set = nurse.client.alias().set_exclusion_tags(tags(&[WARD, UNIT])).await.unwrap().into_inner();
        let refused = nurse.client.alias().set_exclusion_tags(tags(&[WARD, WARD])).await.unwrap_err();
        answers.push(format!("{set:?} {refused:?} {}", refused.message()));
        let filter = v1::TherapistFilter { exclusion_tags: vec![WARD.to_owned()], ..Default::default() };
        let asked = v1::SearchSlotsRequest { filter: Some(filter), window: Some(span("2026-03-23T00:00:00Z", "2026-03-31T00:00:00Z")), page_size: 1, ..Default::default() };
        let found = nurse.client.slots().search_slots(asked).await.unwrap().into_inner();
        assert!(!found.next_page_token.is_empty());
        answers.push(format!("{found:?}"));
        let roster = v1::Roster { shifts: vec![v1::Shift { span: Some(span(CARRIED, "2026-04-06T05:30:00Z")), ..Default::default() }], time_zone: BERLIN.to_owned(), ..Default::default() };
        let carrying = v1::HoldSlotRequest {
            roster_use: Some(v1::RosterUse { roster: Some(roster), ..Default::default() }),
            ..e2e::Worker::hold_request(&ada, "2026-03-30T15:00:00Z")
        };
        nurse.client.bookings().hold_slot(carrying).await.unwrap();
        world.calendars.withdraw(FEED);
        world.pass(chrono::TimeDelta::hours(2));
        answers.push(format!("{:?} {:?} {:?}", world.refresh().await, world.app.feeds, store::feed::Entity::find().all(world.app.db.read()).await.unwrap()));

        let phrase = secret.to_phrase();
        let phrase: Vec<&str> = phrase.split_whitespace().collect();
        let seed = key.to_bytes();
        let db = world.app.db.read();
        let canaries: Vec<(&str, Vec<u8>)> = vec![
            ("e-mail", EMAIL.into()),
            ("mistyped e-mail", MISTYPED.into()),
            ("place", PLACE.into()),
            ("feed", FEED.into()),
            ("feed's path", b"zq9canary".to_vec()),
            ("calendar elsewhere", ELSEWHERE.into()),
            ("its path", b"zq6canary".to_vec()),
            ("feed that is gone", b"zq5canary".to_vec()),
            ("carried shift", CARRIED[..16].into()),
            ("carried shift in seconds", time(CARRIED).timestamp().to_string().into()),
            ("shift as text", SHIFT[..16].into()),
            ("shift on the clock", b"20260322T2017".to_vec()),
            ("shift in seconds", time(SHIFT).timestamp().to_string().into()),
            ("tag", WARD.into()),
            ("tag, folded", b"zq4canary ward".to_vec()),
            ("tag, without accents", b"zq4canary unit".to_vec()),
            ("token", token.clone().into()),
            ("token's bytes", data_encoding::BASE64URL_NOPAD.decode(&token.as_bytes()[4..]).unwrap()),
            ("key", seed.to_vec()),
            ("phrase", phrase[..3].join(" ").into()),
        ];
        let found = search(&files(&world, engine), &canaries);
        assert!(found.is_empty(), "{found:?}");
        for answer in answers {
            let found = search(answer.as_bytes(), &canaries);
            assert!(found.is_empty(), "{found:?} in an answer");
        }

        // A letter names its address on the envelope and nowhere else.
        for letter in world.letters() {
            assert_eq!(letter.to().as_str(), EMAIL);
            let said = format!("{} {} {} {letter:?}", letter.subject(), letter.body(), letter.message_id());
            for told in [EMAIL, PLACE, "canary", &nurse.id, &nurse.handle, &booked.id] {
                assert!(!said.to_lowercase().contains(&told.to_lowercase()), "{told}");
            }
        }

        // What the server prints of its own rows is counts of bytes.
        let [alias] = alias::Entity::find().all(db).await.unwrap().try_into().unwrap();
        let [key] = alias_key::Entity::find().all(db).await.unwrap().try_into().unwrap();
        let [contact] = contact::Entity::find().all(db).await.unwrap().try_into().unwrap();
        let [roster] = roster::Entity::find().all(db).await.unwrap().try_into().unwrap();
        let request = request::Entity::find().all(db).await.unwrap().remove(0);
        for (printed, sealed) in [
            (format!("{alias:?}"), alias.settings.0),
            (format!("{key:?}"), key.wrapped_key.0),
            (format!("{contact:?}"), contact.sealed.unwrap().0),
            (format!("{roster:?}"), roster.sealed.0),
            (format!("{request:?}"), request.response.0),
        ] {
            let bytes = format!("{:?}", &sealed[..6]);
            assert!(!printed.contains(bytes.trim_matches(['[', ']'])), "{printed}");
            assert!(search(printed.as_bytes(), &[("sealed", sealed)]).is_empty(), "{printed}");
        }

        // The search is one: what is put there is found, as text and as bytes.
        let label = operator::Model { id: OperatorId::random(), public_key: Opaque(vec![7; 32]), label: format!("x{EMAIL}y") };
        label.into_active_model().insert(world.app.db.read()).await.unwrap();
        assert_eq!(search(&files(&world, engine), &canaries), ["e-mail"]);
        let bytes = operator::Model { id: OperatorId::random(), public_key: Opaque(seed.to_vec()), label: String::new() };
        bytes.into_active_model().insert(world.app.db.read()).await.unwrap();
        assert_eq!(search(&files(&world, engine), &canaries), ["e-mail", "key"]);
        for spelling in [HEXLOWER.encode(EMAIL.as_bytes()).to_uppercase(), BASE64.encode(format!("ab{EMAIL}").as_bytes())] {
            assert_eq!(search(spelling.as_bytes(), &canaries), ["e-mail"], "{spelling}");
        }
    }

    // E1: neither what pays nor anything made of it but the nullifier, whether it is taken or not.
    async fn a_pass_is_in_no_file(engine: Engine) {
        let world = World::at(engine, "2026-03-02T09:00:00Z").await;
        let hospital = world.hospital(e2e::hospital::programme()).await;
        hospital.publishes("2026-03-01", "2026-05-31").await.unwrap();
        world.set_clock(FRIDAY);
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        let log = key_log(&world.anybody().await).await;
        let [spent, refused] = hospital.signs(&log, FRIDAY, 2).try_into().unwrap();
        let held = nurse.holds(&ada, "2026-03-23T15:00:00Z").await.unwrap();
        nurse.pays(&held, by_pass(&spent)).await.unwrap();
        let mut answers = Vec::new();
        for (start, token) in [("2026-03-23T17:00:00Z", &spent), ("2026-06-01T15:00:00Z", &refused)] {
            let held = nurse.holds(&ada, start).await.unwrap();
            let refused = nurse.pays(&held, by_pass(token)).await.unwrap_err();
            assert!(["PASS_SPENT", "PASS_OUT_OF_PERIOD"].contains(&refused.reason.as_str()), "{refused}");
            answers.push(format!("{refused:?} {:?}", by_pass(token)));
        }
        let parts = |token: &pass::Token| {
            let token = token.to_bytes();
            [("nonce", token[2..34].to_vec()), ("authenticator", token[98..].to_vec()), ("its end", token[322..].to_vec())]
        };
        let canaries = [parts(&spent), parts(&refused)].concat();
        let mut files = files(&world, engine);
        assert!(search(&files, &canaries).is_empty());
        assert!(search(answers.concat().as_bytes(), &canaries).is_empty());
        let [row] = spent_pass::Entity::find().all(world.app.db.read()).await.unwrap().try_into().unwrap();
        assert_eq!(search(&files, &[("nullifier", row.nullifier.0)]), ["nullifier"]);
        files.extend(HEXLOWER.encode(&spent.to_bytes()).into_bytes());
        assert_eq!(search(&files, &canaries), ["nonce", "authenticator", "its end"]);
        // The therapist is told what they are told of any session.
        let told: Vec<u8> = ada.agenda("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z").await.iter().flat_map(Message::encode_to_vec).collect();
        let programme: uuid::Uuid = hospital.id.parse().unwrap();
        let names = [("programme", hospital.id.clone().into_bytes()), ("its bytes", programme.into_bytes().to_vec()), ("hospital", b"St. Ada".to_vec())];
        assert!(search(&told, &names).is_empty());
    }

    // What a therapist is told of a session: these fields, and nothing in them says who.
    async fn a_therapist_is_told_a_handle_of_their_own(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let ben = world.therapist("Ben", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        nurse.works(BERLIN, &[("2026-03-22T20:17:00Z", "2026-03-23T05:30:00Z")], "2026-04-30").await;
        nurse.reached_at(&world, EMAIL, "en", v1::ReminderLevel::Time).await;
        let first = nurse.books(&ada, "2026-03-23T15:00:00Z").await.unwrap();
        nurse.books(&ada, "2026-03-23T17:00:00Z").await.unwrap();
        nurse.books(&ben, "2026-03-23T16:00:00Z").await.unwrap();

        let entries = ada.agenda("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z").await;
        // Without `..`: a field more is a decision.
        let v1::AgendaEntry { booking_id, handle, session_type_id, state, session, time_zone, modality, zone_change } = entries[0].clone();
        assert_eq!(zone_change, None);
        assert_eq!((booking_id, session_type_id), (first.id.clone(), ada.session_type_id.clone()));
        assert_eq!((state, modality), (v1::BookingState::Booked.into(), v1::Modality::Video.into()));
        assert_eq!((session, time_zone.as_str()), (first.session, BERLIN));
        assert_eq!(entries[1].handle, handle, "the same person is the same to her");
        let other = ben.agenda("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z").await;
        assert_ne!(other[0].handle, handle, "and another to him");
        assert_ne!(other[0].handle, nurse.handle);
        assert_ne!(handle, nurse.handle);

        world.set_clock("2026-03-23T15:00:00Z");
        let join = v1::JoinSessionRequest { booking_id: first.id.clone() };
        let joined = ada.client.bookings().join_session(join).await.unwrap().into_inner();
        let complete = v1::CompleteBookingRequest {
            request_id: request_id(),
            booking_id: first.id,
            outcome: v1::BookingState::Fulfilled.into(),
        };
        let completed = ada.client.bookings().complete_booking(complete).await.unwrap().into_inner();
        let off = v1::CreateTimeOffRequest {
            request_id: request_id(),
            time_off: Some(v1::TimeOff { id: String::new(), span: Some(span("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z")) }),
        };
        let off = ada.client.availability().create_time_off(off).await.unwrap().into_inner();
        let mut told: Vec<u8> = entries.iter().flat_map(Message::encode_to_vec).collect();
        told.extend(joined.encode_to_vec());
        told.extend(completed.encode_to_vec());
        told.extend(off.encode_to_vec());
        let names: Vec<(&str, Vec<u8>)> = vec![
            ("e-mail", EMAIL.into()),
            ("alias", nurse.id.clone().into()),
            ("alias in bytes", uuid::Uuid::parse_str(&nurse.id).unwrap().into_bytes().to_vec()),
            ("handle", nurse.handle.clone().into()),
            ("key", nurse.key.verifying_key().to_bytes().to_vec()),
            ("shift", timestamp(time(SHIFT)).encode_to_vec()),
        ];
        let found = search(&told, &names);
        assert!(found.is_empty(), "{found:?}");
    }

    // The key of an erased alias is in no page that a thief could read: else what was sealed could be opened again.
    async fn an_erased_key_is_gone_from_the_files(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        nurse.reached_at(&world, EMAIL, "en", v1::ReminderLevel::Time).await;
        nurse.works(BERLIN, &[("2026-03-22T20:17:00Z", "2026-03-23T05:30:00Z")], "2026-04-30").await;
        let [key] = alias_key::Entity::find().all(world.app.db.read()).await.unwrap().try_into().unwrap();
        let [row] = contact::Entity::find().all(world.app.db.read()).await.unwrap().try_into().unwrap();
        let canaries = [
            ("wrapped key", key.wrapped_key.0),
            ("sealed contact", row.sealed.unwrap().0),
            ("public key", nurse.key.verifying_key().to_bytes().to_vec()),
        ];
        assert_eq!(search(&files(&world, engine), &canaries), ["wrapped key", "sealed contact", "public key"]);
        nurse.client.alias().erase_alias(v1::EraseAliasRequest {}).await.unwrap();
        let found = search(&files(&world, engine), &canaries);
        assert!(found.is_empty(), "{found:?}");
    }

    // What changed is written down for a while, and no longer by whom once they are erased.
    async fn the_log_of_changes_forgets_an_erased_alias(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        nurse.books(&ada, "2026-03-23T08:00:00Z").await.unwrap();
        let linked = "select count(*) from change where caller_id is not null and therapist_id is not null";
        assert!(world.count(linked).await > 0);
        nurse.client.alias().erase_alias(v1::EraseAliasRequest {}).await.unwrap();
        assert_eq!(world.count(linked).await, 0);
        assert_eq!(world.count("select count(*) from change where caller_id is not null").await, 0);
    }
}

/// The data as a thief has it: SQLite's files as they are, or PostgreSQL's dump.
pub(crate) fn files(world: &World, engine: Engine) -> Vec<u8> {
    match engine {
        Engine::Sqlite => {
            let path = world.database.strip_prefix("sqlite://").unwrap();
            let wal = std::fs::read(format!("{path}-wal")).unwrap_or_default();
            [std::fs::read(path).unwrap(), wal].concat()
        }
        Engine::Postgres => {
            let dump = Command::new(postgres_program("pg_dump")).arg(&world.database).output().unwrap();
            assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
            dump.stdout
        }
    }
}

/// PostgreSQL's own, where its packages put it.
pub(crate) fn postgres_program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("tests/run tools installs PostgreSQL");
    let mut programs: Vec<_> =
        versions.map(|version| version.unwrap().path().join("bin").join(name)).collect();
    programs.sort();
    programs.pop().expect("tests/run tools installs PostgreSQL")
}

/// Which of the canaries are in `haystack`: as they are, in hexadecimal digits or in either base64.
pub(crate) fn search<'a>(haystack: &[u8], canaries: &[(&'a str, Vec<u8>)]) -> Vec<&'a str> {
    let contains = |needle: &[u8]| haystack.windows(needle.len()).any(|window| window == needle);
    let found = |canary: &[u8]| {
        let hex = HEXLOWER.encode(canary);
        // What stands before decides how base64 cuts it; the ends may be shared with neighbours.
        let base64 = (0..3).flat_map(|before| {
            let encoded = BASE64.encode(&[&vec![0; before], canary].concat());
            let inner = encoded[4..encoded.len() - 4].to_owned();
            [inner.replace('+', "-").replace('/', "_"), inner]
        });
        contains(canary)
            || contains(hex.as_bytes())
            || contains(hex.to_uppercase().as_bytes())
            // A few letters would be found anywhere.
            || base64.into_iter().filter(|spelling| spelling.len() >= 8).any(|spelling| contains(spelling.as_bytes()))
    };
    canaries.iter().filter(|(_, canary)| found(canary)).map(|(name, _)| *name).collect()
}
