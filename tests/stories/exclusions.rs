//! D5: whom an alias must not meet, it is not offered, and does not meet at the door.

use api::v1;
use client::{Client, Refusal, request_id};
use e2e::{Therapist, Worker, World, date, profile, span, time, timestamp};
use tonic::Code;

use crate::availability::on;

const BERLIN: &str = "Europe/Berlin";
const FRIDAY: &str = "2026-03-20T09:00:00Z";
const MONDAY: &str = "2026-03-23";
const WARD: &str = "Charité – Station 3";

e2e::stories! {
    // D3, D5
    async fn a_therapist_who_carries_a_tag_is_not_offered(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 09:00-12:00").await;
        let ben = world.therapist_like(carrying("Ben", &["Reha Nord", WARD])).await.works("Mon 09:00-15:00").await;
        let (nurse, medic) = (world.worker().await, world.worker().await);
        // What was held and booked before stays.
        let booked = nurse.books(&ben, "2026-03-23T08:00:00Z").await.unwrap();
        let held = nurse.holds(&ben, "2026-03-23T10:00:00Z").await.unwrap();
        assert_eq!(found(&nurse.client, &[]).await, ["Ada", "Ben"]);

        assert_eq!(shuns(&nurse, &["charite  STATION 3", "Reha Süd"]).await.unwrap(), 2);
        assert_eq!(found(&nurse.client, &[]).await, ["Ada"]);
        assert_eq!(therapists(&nurse.client, &[]).await, ["Ada"]);
        assert!(on(&nurse, &ben, MONDAY).await.is_empty());
        let removed = nurse.searches(&ben, "2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z").await.removals;
        let excluded = removed.iter().find(|removal| removal.constraint() == v1::Constraint::Exclusion);
        assert_eq!(excluded.map(|removal| removal.count), Some(1), "they may know, since they said so");
        let watch = v1::WatchSlotsRequest { search: Some(request(&[])) };
        let mut watch = nurse.client.slots().watch_slots(watch).await.unwrap().into_inner();
        let first = watch.message().await.unwrap().unwrap();
        assert!(!first.added.is_empty() && first.added.iter().all(|hit| hit.therapist_display_name == "Ada"));

        let refused = nurse.holds(&ben, "2026-03-23T09:00:00Z").await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "EXCLUDED"));
        nurse.confirms(&held).await.expect("confirming what is held always succeeds");
        let moved = v1::RescheduleBookingRequest {
            request_id: request_id(),
            booking_id: booked.id.clone(),
            start_time: Some(timestamp(time("2026-03-23T09:00:00Z"))),
            roster_use: None,
        };
        let refused = Refusal::from(nurse.client.bookings().reschedule_booking(moved).await.unwrap_err());
        assert_eq!(refused.reason, "EXCLUDED");
        let stays = v1::GetBookingRequest { booking_id: booked.id };
        let stays = nurse.client.bookings().get_booking(stays).await.unwrap().into_inner().booking.unwrap();
        assert_eq!(stays.state(), v1::BookingState::Booked);
        // Nor is anything offered instead where a roster collides.
        let import = v1::ImportRosterRequest {
            request_id: request_id(),
            source: Some(v1::import_roster_request::Source::ShiftList(v1::ShiftList {
                shifts: vec![v1::Shift { span: Some(span("2026-03-23T07:30:00Z", "2026-03-23T08:30:00Z")), ..Default::default() }],
            })),
            time_zone: BERLIN.to_owned(),
            publish_date: Some(date("2026-04-30")),
            on_call: false,
        };
        let collisions = nurse.client.roster().import_roster(import).await.unwrap().into_inner().collisions;
        assert!(!collisions.is_empty() && collisions.iter().all(|one| one.alternative_start_times.is_empty()));

        // Others are offered everybody, and may leave somebody out for one search, which nothing remembers.
        assert_eq!(found(&medic.client, &[]).await, ["Ada", "Ben"]);
        assert_eq!(found(&medic.client, &["reha nord"]).await, ["Ada"]);
        assert_eq!(therapists(&world.anybody().await, &["reha nord"]).await, ["Ada"]);
        assert_eq!(count(&medic).await, 0);
        medic.holds(&ben, "2026-03-23T09:00:00Z").await.unwrap();

        // Whoever changes is found, or is not, at once.
        changes(&ada, &[WARD]).await;
        assert!(found(&nurse.client, &[]).await.is_empty());
        changes(&ben, &[]).await;
        assert_eq!(found(&nurse.client, &[]).await, ["Ben"]);
        assert_eq!(shuns(&nurse, &[]).await.unwrap(), 0);
        assert_eq!(found(&nurse.client, &[]).await, ["Ada", "Ben"]);
    }

    // D5, T5
    async fn half_an_hour_lies_between_those_who_share_a_tag(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 09:00-17:00").await;
        let (nurse, medic, other) = (world.worker().await, world.worker().await, world.worker().await);
        shuns(&medic, &["Reha Nord", WARD]).await.unwrap();
        shuns(&nurse, &["charite station 3"]).await.unwrap();
        shuns(&other, &["Reha Süd"]).await.unwrap();
        medic.books(&ada, "2026-03-23T11:00:00Z").await.unwrap();

        let clock = |half: u32| format!("{:02}:{:02}", half / 2, half % 2 * 30);
        let all: Vec<_> = (16..31).map(clock).collect();
        let without = |gone: &[&str]| all.iter().filter(|start| !gone.contains(&start.as_str())).cloned().collect::<Vec<_>>();
        let taken = ["10:30", "11:00", "11:30"];
        let adjacent = ["10:00", "10:30", "11:00", "11:30", "12:00"];
        assert_eq!(on(&other, &ada, MONDAY).await, without(&taken));
        assert_eq!(on(&nurse, &ada, MONDAY).await, without(&adjacent));
        let offered = on(&nurse, &ada, MONDAY).await;
        for start in &all {
            match nurse.holds(&ada, &format!("{MONDAY}T{start}:00Z")).await {
                Ok(hold) => {
                    assert!(offered.contains(start), "{start} was not offered");
                    let release = v1::ReleaseHoldRequest { request_id: request_id(), booking_id: hold.id };
                    nurse.client.bookings().release_hold(release).await.unwrap();
                }
                // As if anybody had it.
                Err(refused) => {
                    assert!(!offered.contains(start), "{start} was offered: {refused}");
                    assert_eq!((refused.code, refused.reason.as_str()), (Code::AlreadyExists, "SLOT_TAKEN"));
                    assert_eq!(refused.message, "the time is taken");
                }
            }
        }
        // Their own are no hindrance to each other, and a hold counts like a booking.
        let hold = medic.holds(&ada, "2026-03-23T12:00:00Z").await.unwrap();
        assert_eq!(on(&nurse, &ada, MONDAY).await, without(&["10:00", "10:30", "11:00", "11:30", "12:00", "12:30", "13:00"]));
        assert!(on(&medic, &ada, MONDAY).await.contains(&"10:00".to_owned()));
        let release = v1::ReleaseHoldRequest { request_id: request_id(), booking_id: hold.id };
        medic.client.bookings().release_hold(release).await.unwrap();
        assert_eq!(on(&nurse, &ada, MONDAY).await, without(&adjacent));

        // Tags count from the moment they change, for both; what is booked stays.
        shuns(&nurse, &[]).await.unwrap();
        assert_eq!(on(&nurse, &ada, MONDAY).await, without(&taken));
        let near = nurse.books(&ada, "2026-03-23T12:00:00Z").await.unwrap();
        shuns(&nurse, &[WARD]).await.unwrap();
        assert_eq!(near.state(), v1::BookingState::Booked);
        // Whatever they move to must not be adjacent, though they are now.
        let moved = |start: &str| v1::RescheduleBookingRequest {
            request_id: request_id(),
            booking_id: near.id.clone(),
            start_time: Some(timestamp(time(start))),
            roster_use: None,
        };
        let refused = Refusal::from(nurse.client.bookings().reschedule_booking(moved("2026-03-23T10:00:00Z")).await.unwrap_err());
        assert_eq!(refused.reason, "SLOT_TAKEN");
        nurse.client.bookings().reschedule_booking(moved("2026-03-23T12:30:00Z")).await.unwrap();
        shuns(&medic, &["Reha Nord"]).await.unwrap();
        assert!(on(&nurse, &ada, MONDAY).await.contains(&"10:00".to_owned()), "the index is told");
        nurse.client.bookings().reschedule_booking(moved("2026-03-23T10:00:00Z")).await.unwrap();
    }

    // D5: an erased alias leaves no tags, not even with a session that has begun.
    async fn the_erased_leave_no_tags(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 09:00-17:00").await;
        let (nurse, medic) = (world.worker().await, world.worker().await);
        shuns(&medic, &[WARD]).await.unwrap();
        shuns(&nurse, &[WARD]).await.unwrap();
        medic.books(&ada, "2026-03-23T11:00:00Z").await.unwrap();
        world.set_clock("2026-03-23T11:00:00Z");
        let nurse = Worker { client: world.anybody().await.login(nurse.key.clone()).await.unwrap(), ..nurse };
        let medic = Worker { client: world.anybody().await.login(medic.key.clone()).await.unwrap(), ..medic };
        assert_eq!(on(&nurse, &ada, MONDAY).await[0], "12:30");
        medic.client.alias().erase_alias(v1::EraseAliasRequest {}).await.unwrap();
        assert_eq!(world.count("select count(*) from alias").await, 1);
        assert_eq!(on(&nurse, &ada, MONDAY).await[0], "12:00");
        nurse.books(&ada, "2026-03-23T12:00:00Z").await.unwrap();
    }

    // D5: a change is the alias's own, counts once, and is told to nobody.
    async fn tags_are_counted_and_never_told(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let (nurse, medic) = (world.worker().await, world.worker().await);
        let request = v1::SetExclusionTagsRequest { request_id: request_id(), exclusion_tags: vec![WARD.to_owned()] };
        for _ in 0..2 {
            let set = nurse.client.alias().set_exclusion_tags(request.clone()).await.unwrap().into_inner();
            assert_eq!(set.exclusion_tag_count, 1);
        }
        assert_eq!((count(&nurse).await, count(&medic).await), (1, 0));
        let twice = Refusal::from(nurse.client.alias().set_exclusion_tags(v1::SetExclusionTagsRequest {
            request_id: request_id(),
            exclusion_tags: vec![WARD.to_owned(), "CHARITÉ STATION 3".to_owned()],
        }).await.unwrap_err());
        assert_eq!(twice.reason, "DUPLICATE");
        assert_eq!(count(&nurse).await, 1, "what is refused changes nothing");
        // The same tag of two aliases is the same 16 bytes; that is all that can be seen.
        shuns(&medic, &["charite station 3"]).await.unwrap();
        let tags = if engine == e2e::Engine::Sqlite { "hex(exclusion_tags)" } else { "encode(exclusion_tags, 'hex')" };
        let kept = world.texts(&format!("select {tags} from alias")).await;
        assert!(kept.len() == 2 && kept[0] == kept[1] && kept[0].len() == 32, "{kept:?}");
    }
}

/// A profile with exclusion tags.
fn carrying(name: &str, tags: &[&str]) -> v1::Therapist {
    let exclusion_tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    v1::Therapist { exclusion_tags, ..profile(name, BERLIN) }
}

async fn changes(therapist: &Therapist, tags: &[&str]) {
    let request = v1::UpdateTherapistRequest {
        request_id: request_id(),
        therapist: Some(carrying("", tags)),
        update_mask: Some(prost_types::FieldMask { paths: vec!["exclusion_tags".to_owned()] }),
    };
    therapist.client.directory().update_therapist(request).await.unwrap();
}

/// Says whom the worker must not meet; answers with how many tags are kept.
pub(super) async fn shuns(worker: &Worker, tags: &[&str]) -> Result<i32, Refusal> {
    let exclusion_tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    let request = v1::SetExclusionTagsRequest { request_id: request_id(), exclusion_tags };
    let set = worker.client.alias().set_exclusion_tags(request).await?;
    Ok(set.into_inner().exclusion_tag_count)
}

async fn count(worker: &Worker) -> i32 {
    let read = worker.client.alias().get_alias(v1::GetAliasRequest {}).await.unwrap();
    read.into_inner().alias.unwrap().exclusion_tag_count
}

fn request(tags: &[&str]) -> v1::SearchSlotsRequest {
    v1::SearchSlotsRequest {
        filter: Some(filter(tags)),
        window: Some(span("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z")),
        page_size: 100,
        ..Default::default()
    }
}

fn filter(tags: &[&str]) -> v1::TherapistFilter {
    let exclusion_tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    v1::TherapistFilter { exclusion_tags, ..Default::default() }
}

/// Whose slots are offered.
async fn found(client: &Client, tags: &[&str]) -> Vec<String> {
    let hits = client.slots().search_slots(request(tags)).await.unwrap().into_inner().hits;
    named(hits.into_iter().map(|hit| hit.therapist_display_name))
}

/// Who is found.
async fn therapists(client: &Client, tags: &[&str]) -> Vec<String> {
    let request = v1::SearchTherapistsRequest { filter: Some(filter(tags)), ..Default::default() };
    let hits = client.directory().search_therapists(request).await.unwrap().into_inner().hits;
    named(hits.into_iter().map(|hit| hit.therapist.unwrap().display_name))
}

fn named(names: impl Iterator<Item = String>) -> Vec<String> {
    let names: std::collections::BTreeSet<_> = names.collect();
    names.into_iter().collect()
}
