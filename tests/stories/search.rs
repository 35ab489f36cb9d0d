//! What is asked for is found, in an order that explains itself, and what is offered can be had.

use std::collections::{BTreeSet, HashSet};

use api::v1::{self, Constraint as C};
use chrono::{DateTime, TimeDelta, Utc};
use client::{Client, Refusal, request_id};
use e2e::{Therapist, Worker, World, date, minutes, profile, span, start_of, starts, time};
use tonic::Code;

use crate::{
    availability::{override_day, set},
    exclusions::shuns,
};

const BERLIN: &str = "Europe/Berlin";
const FRIDAY: &str = "2026-03-20T09:00:00Z";

/// What is asked for, and who is found, in order.
type Ask<'a> = (&'a str, fn(&mut v1::TherapistFilter, &[String; 3]), &'a [&'a str]);

e2e::stories! {
    // D2, D3, D4
    async fn what_is_asked_finds_who_is_meant(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ids = three(&world).await;
        let anybody = world.anybody().await;
        let cases: [Ask<'_>; 31] = [
            ("nothing", |_, _| {}, &["Ben", "Ada", "Cas"]),
            ("a slug", |f, _| f.specializations = list(&["burnout"]), &["Ada", "Cas"]),
            ("a broader one", |f, _| f.specializations = list(&["trauma"]), &["Ada"]),
            ("broader still", |f, _| f.specializations = list(&["work-stress"]), &["Ada", "Cas"]),
            ("English", |f, _| f.specializations = list(&["flashbacks"]), &["Ada"]),
            ("German", |f, _| f.specializations = list(&["PTBS"]), &["Ada"]),
            ("Spanish", |f, _| f.specializations = list(&["TEPT"]), &["Ada"]),
            ("French", |f, _| f.specializations = list(&["état de stress post-traumatique"]), &["Ada"]),
            ("without accents", |f, _| f.specializations = list(&["etat de stress post traumatique"]), &["Ada"]),
            ("with an error", |f, _| f.specializations = list(&["bournout"]), &["Ada", "Cas"]),
            ("with another", |f, _| f.specializations = list(&["anxeity"]), &["Cas"]),
            ("loudly", |f, _| f.specializations = list(&["BURNOUT"]), &["Ada", "Cas"]),
            ("any", |f, _| f.specializations = list(&["grief", "burnout", "anxiety"]), &["Cas", "Ben", "Ada"]),
            ("all", |f, _| (f.specializations, f.specialization_match) = (list(&["burnout", "anxiety"]), v1::SpecializationMatch::All.into()), &["Cas"]),
            ("grief", |f, _| f.specializations = list(&["grief"]), &["Ben"]),
            ("German speakers", |f, _| f.languages = list(&["de"]), &["Ada", "Cas"]),
            ("Austrians", |f, _| f.languages = list(&["de-AT"]), &["Cas"]),
            ("one of two languages", |f, _| f.languages = list(&["fr", "de-at"]), &["Ben", "Cas"]),
            ("no such language", |f, _| f.languages = list(&["ja"]), &[]),
            ("New York", |f, _| f.jurisdiction.push_str("US-NY"), &["Ben", "Ada"]),
            ("all of the US", |f, _| f.jurisdiction.push_str("US"), &["Ben"]),
            ("Germany", |f, _| f.jurisdiction.push_str("DE"), &["Ada", "Cas"]),
            ("Bavaria", |f, _| f.jurisdiction.push_str("DE-BY"), &["Ada", "Cas"]),
            ("nowhere", |f, _| f.jurisdiction.push_str("FR"), &[]),
            ("chat", |f, _| f.modalities = vec![v1::Modality::Chat.into()], &["Cas"]),
            ("chat or video", |f, _| f.modalities = vec![v1::Modality::Chat.into(), v1::Modality::Video.into()], &["Ben", "Ada", "Cas"]),
            ("men", |f, _| f.genders = vec![v1::Gender::Male.into()], &["Ben"]),
            ("not men", |f, _| f.genders = vec![v1::Gender::Female.into(), v1::Gender::NonBinary.into()], &["Ada", "Cas"]),
            ("by id", |f, ids| f.therapist_ids = vec![ids[2].clone(), ids[0].clone()], &["Ada", "Cas"]),
            ("an unknown id", |f, _| f.therapist_ids = vec![request_id()], &[]),
            ("several at once", |f, _| (f.languages, f.jurisdiction, f.genders) = (list(&["en"]), "US-NY".to_owned(), vec![v1::Gender::Female.into()]), &["Ada"]),
        ];
        for (case, ask, expected) in cases {
            let mut filter = v1::TherapistFilter::default();
            ask(&mut filter, &ids);
            let request = v1::SearchTherapistsRequest { filter: Some(filter), ..Default::default() };
            let found = therapists(&anybody, request.clone()).await;
            assert_eq!(names(&found), expected, "{case}");
            assert!(found.hits.iter().all(|hit| !hit.reasons.is_empty()), "{case}: no hit without reasons");
            assert_eq!(found.crisis_resources.is_empty(), !expected.is_empty(), "{case}: nobody is left alone");
            assert!(therapists(&anybody, request).await == found, "{case}: the same again");
        }
        // A reason says by which way somebody was found.
        let filter = v1::TherapistFilter { specializations: list(&["trauma"]), ..Default::default() };
        let request = v1::SearchTherapistsRequest { filter: Some(filter), language_code: "fr".to_owned(), ..Default::default() };
        let reason = &therapists(&anybody, request).await.hits[0].reasons[0];
        assert_eq!((reason.value.as_str(), reason.asked.as_str()), ("ptsd", "trauma"));
        assert_eq!(reason.label, "Trouble de stress post-traumatique");
        // Nobody is shown what is for the therapist alone.
        let everybody = therapists(&anybody, v1::SearchTherapistsRequest::default()).await;
        for hit in everybody.hits {
            let therapist = hit.therapist.unwrap();
            assert!(therapist.exclusion_tags.is_empty());
            assert!(therapist.credentials.iter().all(|credential| credential.licence_number.is_empty()));
        }
    }

    // D1
    async fn who_is_not_verified_today_or_takes_nobody_is_never_found(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let mut expiring = profile("Eve", BERLIN);
        expiring.credentials[0].expire_date = Some(date("2026-03-22"));
        let eve = world.therapist_like(expiring).await.works("Mon 08:00-20:00").await;
        let full = v1::Therapist { accepts_new_clients: false, ..profile("Flo", BERLIN) };
        let flo = world.therapist_like(full).await.works("Mon 08:00-20:00").await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let (anybody, nurse) = (world.anybody().await, world.worker().await);
        let found = async || {
            let found = therapists(&anybody, v1::SearchTherapistsRequest::default()).await;
            let mut names = names(&found);
            names.sort();
            names
        };
        assert_eq!(found().await, ["Ada", "Eve"]);

        // A licence lasts until the end of its last day in UTC.
        world.set_clock("2026-03-22T23:59:59Z");
        assert_eq!(found().await, ["Ada", "Eve"]);
        world.set_clock("2026-03-23T00:00:00Z");
        assert_eq!(found().await, ["Ada"]);
        for therapist in [&eve, &flo] {
            assert!(nurse.searches(therapist, "2026-03-23T00:00:00Z", "2026-03-31T00:00:00Z").await.hits.is_empty());
            let refused = nurse.holds(therapist, "2026-03-23T12:00:00Z").await.unwrap_err();
            let unknown = Therapist { id: request_id(), zone: String::new(), key: eve.key.clone(), client: anybody.clone(), session_type_id: request_id() };
            let missing = nurse.holds(&unknown, "2026-03-23T12:00:00Z").await.unwrap_err();
            assert_eq!(refused.code, Code::NotFound);
            assert_eq!((refused.reason, refused.message), (missing.reason, missing.message));
        }
        nurse.holds(&ada, "2026-03-23T12:00:00Z").await.unwrap();

        // A check that fails takes away at once what it gave.
        let read = v1::GetTherapistRequest { therapist_id: ada.id.clone() };
        let credential = ada.client.directory().get_therapist(read).await.unwrap().into_inner().therapist.unwrap().credentials[0].id.clone();
        let verify = |verified| v1::VerifyCredentialRequest { request_id: request_id(), credential_id: credential.clone(), verified };
        world.operator().await.directory().verify_credential(verify(false)).await.unwrap();
        assert!(found().await.is_empty());
        world.operator().await.directory().verify_credential(verify(true)).await.unwrap();
        assert_eq!(found().await, ["Ada"]);
    }

    // S5, B9
    async fn an_empty_answer_says_what_took_everything_and_whom_to_call(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        three(&world).await;
        let nurse = world.worker().await;
        let window = Some(span("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z"));
        let ask = async |filter: v1::TherapistFilter| {
            let request = v1::SearchSlotsRequest { filter: Some(filter), window, ..Default::default() };
            nurse.client.slots().search_slots(request).await.unwrap().into_inner()
        };
        let removed = |found: &v1::SearchSlotsResponse| {
            found.removals.iter().map(|removal| (removal.constraint(), removal.count)).collect::<Vec<_>>()
        };
        let japanese = v1::TherapistFilter { languages: list(&["ja"]), jurisdiction: "DE".to_owned(), ..Default::default() };
        let found = ask(japanese).await;
        assert_eq!(removed(&found), [(C::Language, 3)], "each is counted once, at what removed them first");
        assert_eq!(found.crisis_resources[0].country_code, "DE");
        assert!(found.crisis_resources.iter().any(|resource| resource.country_code.is_empty()));
        let grief = v1::TherapistFilter { specializations: list(&["grief"]), genders: vec![v1::Gender::Female.into()], jurisdiction: "US-NY".to_owned(), ..Default::default() };
        let found = ask(grief).await;
        assert_eq!(removed(&found), [(C::Specialization, 2), (C::Gender, 1)]);
        assert_eq!(found.crisis_resources[0].country_code, "US");
        let nowhere = ask(v1::TherapistFilter { therapist_ids: vec![request_id()], ..Default::default() }).await;
        assert!(nowhere.hits.is_empty() && !nowhere.crisis_resources.is_empty());
        assert!(nowhere.crisis_resources.iter().all(|resource| resource.country_code.is_empty()));

        // Whoever may be in danger is told whom to call, whatever else is found.
        let urgent = v1::Therapist {
            specializations: vec![v1::TherapistSpecialization { slug: "suicidal-thoughts".to_owned(), years: 5 }],
            ..profile("Gil", BERLIN)
        };
        let _gil = world.therapist_like(urgent).await.works("Mon 08:00-20:00").await;
        let asked = v1::TherapistFilter { specializations: list(&["suizidgedanken"]), jurisdiction: "DE".to_owned(), ..Default::default() };
        let found = ask(asked).await;
        assert!(!found.hits.is_empty());
        assert_eq!(found.crisis_resources[0].country_code, "DE");

        // One call away, with or without a token, for a country that there is and one that there is not.
        for (country, first) in [("US", "US"), ("us", "US"), ("AT", "AT"), ("", ""), ("Atlantis", "")] {
            let request = v1::ListCrisisResourcesRequest { country_code: country.to_owned() };
            let listed = world.anybody().await.directory().list_crisis_resources(request).await.unwrap().into_inner();
            assert_eq!(listed.crisis_resources[0].country_code, first, "{country}");
        }
    }

    // S4, S5
    async fn pages_joined_are_one_answer(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        three(&world).await;
        let nurse = world.worker().await;
        let request = v1::SearchSlotsRequest {
            window: Some(span("2026-03-22T00:00:00Z", "2026-04-02T00:00:00Z")),
            page_size: 100,
            ..Default::default()
        };
        let whole = nurse.client.slots().search_slots(request.clone()).await.unwrap().into_inner();
        assert!((30..100).contains(&whole.hits.len()) && whole.next_page_token.is_empty(), "{}", whole.hits.len());
        let instants = starts(&whole);
        assert!(instants.is_sorted(), "the earliest first");
        for page_size in [1, 7, 29] {
            let (mut joined, mut removed) = (Vec::new(), 0);
            let mut page = v1::SearchSlotsRequest { page_size, ..request.clone() };
            loop {
                let found = nurse.client.slots().search_slots(page.clone()).await.unwrap().into_inner();
                removed += found.removals.iter().map(|removal| removal.count).sum::<i32>();
                joined.extend(found.hits);
                assert!(joined.len() <= whole.hits.len(), "the pages of {page_size} do not end");
                if found.next_page_token.is_empty() {
                    break;
                }
                page.page_token = found.next_page_token;
            }
            assert!(joined == whole.hits, "pages of {page_size}");
            let all: i32 = whole.removals.iter().map(|removal| removal.count).sum();
            assert_eq!(removed, all, "pages of {page_size} count what the whole search removed");
        }
        // At one time the better match comes first: more of what was asked for, then more years.
        let asked = v1::SearchSlotsRequest {
            filter: Some(v1::TherapistFilter { specializations: list(&["burnout", "anxiety"]), ..Default::default() }),
            ..request
        };
        let found = nurse.client.slots().search_slots(asked).await.unwrap().into_inner();
        let at = |hit: &v1::SlotHit| start_of(hit.slot.as_ref().unwrap().session.as_ref());
        let together = found.hits.windows(2).filter(|pair| at(&pair[0]) == at(&pair[1]));
        let together: Vec<_> = together.map(|pair| [pair[0].therapist_display_name.as_str(), pair[1].therapist_display_name.as_str()]).collect();
        assert!(!together.is_empty() && together.iter().all(|pair| *pair == ["Cas", "Ada"]), "{together:?}");
    }

    // S5
    async fn what_is_booked_between_pages_makes_no_slot_come_twice(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00, Tue 08:00-20:00").await;
        let nurse = world.worker().await;
        let before: BTreeSet<_> = starts(&nurse.searches(&ada, "2026-03-23T00:00:00Z", "2026-03-25T00:00:00Z").await).into_iter().collect();
        let mut page = v1::SearchSlotsRequest {
            window: Some(span("2026-03-23T00:00:00Z", "2026-03-25T00:00:00Z")),
            page_size: 5,
            ..Default::default()
        };
        let mut seen: Vec<String> = Vec::new();
        loop {
            let found = nurse.client.slots().search_slots(page.clone()).await.unwrap().into_inner();
            seen.extend(starts(&found));
            assert!(seen.len() <= before.len(), "the pages do not end");
            if found.next_page_token.is_empty() {
                break;
            }
            page.page_token = found.next_page_token;
            // What was just shown is gone for the next page, and so may be what follows it.
            world.worker().await.books(&ada, seen.last().unwrap()).await.unwrap();
        }
        assert!(seen.is_sorted() && seen.iter().collect::<HashSet<_>>().len() == seen.len(), "{seen:?}");
        let seen: BTreeSet<_> = seen.into_iter().collect();
        let after: BTreeSet<_> = starts(&nurse.searches(&ada, "2026-03-23T00:00:00Z", "2026-03-25T00:00:00Z").await).into_iter().collect();
        assert!(seen.is_subset(&before) && after.is_subset(&seen), "nothing that stayed free was left out");
    }

    // D3, D4
    async fn therapists_with_an_opening_are_ranked_by_it(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        three(&world).await;
        let anybody = world.anybody().await;
        let request = |start: &str, end: &str| v1::SearchTherapistsRequest { window: Some(span(start, end)), ..Default::default() };
        let found = therapists(&anybody, request("2026-03-23T00:00:00Z", "2026-03-25T00:00:00Z")).await;
        // Berlin opens at 07:00 UTC, New York at 13:00.
        let openings: Vec<_> = found.hits.iter().map(|hit| hit.earliest_opening_time.unwrap().seconds).collect();
        assert_eq!(names(&found), ["Ada", "Cas", "Ben"]);
        assert!(openings.is_sorted());
        assert_eq!(openings[2], time("2026-03-23T13:00:00Z").timestamp());
        assert!(found.hits.iter().all(|hit| hit.reasons.iter().any(|reason| reason.criterion() == v1::Criterion::Opening)));
        let nobody = therapists(&anybody, request("2026-03-21T00:00:00Z", "2026-03-22T00:00:00Z")).await;
        assert!(nobody.hits.is_empty() && !nobody.crisis_resources.is_empty());

        // Page by page it is the same list, for everybody's search and the operator's list.
        let mut page = v1::SearchTherapistsRequest { page_size: 1, ..request("2026-03-23T00:00:00Z", "2026-03-25T00:00:00Z") };
        let mut joined = Vec::new();
        loop {
            let found = therapists(&anybody, page.clone()).await;
            joined.extend(found.hits);
            assert!(joined.len() <= 3, "the pages do not end");
            if found.next_page_token.is_empty() {
                break;
            }
            page.page_token = found.next_page_token;
        }
        assert!(joined == found.hits);
        let operator = world.operator().await;
        let list = async |page_size, page_token| {
            let request = v1::ListTherapistsRequest { page_size, page_token };
            operator.directory().list_therapists(request).await.unwrap().into_inner()
        };
        let whole = list(100, String::new()).await.therapists;
        let (mut token, mut joined) = (String::new(), Vec::new());
        loop {
            let page = list(2, token).await;
            joined.extend(page.therapists);
            assert!(joined.len() <= whole.len(), "the pages do not end");
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert!(joined == whole && whole.len() == 3);
    }

    // A2, D4
    async fn at_one_time_who_has_more_of_the_week_left_comes_first(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 09:00-17:00").await;
        let ben = world.therapist("Ben", BERLIN).await.works("Mon 09:00-17:00").await;
        let nurse = world.worker().await;
        let request = |page_size| v1::SearchSlotsRequest {
            window: Some(span("2026-03-23T14:00:00Z", "2026-03-23T14:30:00Z")),
            page_size,
            ..Default::default()
        };
        let found = async || nurse.client.slots().search_slots(request(100)).await.unwrap().into_inner().hits;
        let order = async || found().await.into_iter().map(|hit| hit.therapist_display_name).collect::<Vec<_>>();
        // Nobody has anything to do: the ids decide.
        let [first, second] = if ada.id < ben.id { [("Ada", &ada), ("Ben", &ben)] } else { [("Ben", &ben), ("Ada", &ada)] };
        let (as_before, turned) = ([first.0, second.0], [second.0, first.0]);
        assert_eq!(order().await, as_before);
        // A quarter of eight hours makes a difference, and an hour does not.
        world.worker().await.books(first.1, "2026-03-23T08:00:00Z").await.unwrap();
        assert_eq!(order().await, as_before);
        world.worker().await.books(first.1, "2026-03-23T09:00:00Z").await.unwrap();
        assert_eq!(order().await, turned);
        for start in ["2026-03-23T08:00:00Z", "2026-03-23T09:00:00Z"] {
            world.worker().await.books(second.1, start).await.unwrap();
        }
        assert_eq!(order().await, as_before);
        // Two of the four that a week may have are half of them.
        let limits = v1::LoadLimits { max_sessions: 4, ..Default::default() };
        set(first.1, |schedule| schedule.week_limits = Some(limits)).await.unwrap();
        assert_eq!(order().await, turned);

        // Nothing tells how much anybody has to do: every slot has the same reason, and a page's end is sealed.
        let said = |hit: &v1::SlotHit| hit.reasons.iter().find(|reason| reason.criterion() == v1::Criterion::Load).cloned();
        let expected = v1::MatchReason { criterion: v1::Criterion::Load.into(), label: "Has openings".to_owned(), ..Default::default() };
        assert!(found().await.iter().all(|hit| said(hit).as_ref() == Some(&expected)));
        let token = nurse.client.slots().search_slots(request(1)).await.unwrap().into_inner().next_page_token;
        let token = data_encoding::BASE64URL_NOPAD.decode(token.as_bytes()).unwrap();
        for told in ["load", "start", "2026", &ada.id, &ben.id] {
            assert!(!token.windows(told.len()).any(|window| window == told.as_bytes()), "{told}");
        }
    }

    // T5, with limits, breaks, overrides, time off and tags of others in the way.
    async fn what_is_offered_can_be_held_and_nothing_else(engine: Engine) {
        const THERAPISTS: u64 = 10;
        const WORKERS: u64 = 10;

        // Spring forward is inside the window in Europe, and autumn back in New Zealand a week later.
        let world = World::at(engine, "2026-03-26T09:00:00Z").await;
        let mut dice = Dice(match engine { e2e::Engine::Sqlite => 20_260_326, e2e::Engine::Postgres => 20_260_327 });
        let mut therapists = Vec::new();
        for number in 0..THERAPISTS {
            therapists.push(random_therapist(&world, &mut dice, number).await);
        }
        let (mut held, mut refused) = (0, 0);
        let mut booked: BTreeSet<DateTime<Utc>> = BTreeSet::new();
        for _ in 0..WORKERS {
            let worker = random_worker(&world, &mut dice).await;
            for therapist in &therapists {
                let from = time("2026-03-28T00:00:00Z") + TimeDelta::hours(dice.below(24 * 9));
                let until = from + TimeDelta::hours(30);
                let found = worker.searches(therapist, &from.to_rfc3339(), &until.to_rfc3339()).await;
                let offered: BTreeSet<DateTime<Utc>> = starts(&found).iter().map(|start| time(start)).collect();
                assert!(found.next_page_token.is_empty() || offered.len() == 100);
                let horizon = if found.next_page_token.is_empty() { until } else { *offered.last().unwrap() };
                for start in dice.some(&offered, 3) {
                    let booking = worker.holds(therapist, &start.to_rfc3339()).await.unwrap_or_else(|refusal| panic!("{start} was offered: {refusal}"));
                    let release = v1::ReleaseHoldRequest { request_id: request_id(), booking_id: booking.id };
                    worker.client.bookings().release_hold(release).await.unwrap();
                    held += 1;
                }
                for _ in 0..20 {
                    let minutes = (horizon - from).num_minutes();
                    let anywhere = from + TimeDelta::minutes(5 * dice.below(minutes / 5));
                    // Most that may go wrong does so next to a session.
                    let near: BTreeSet<_> = booked.range(from..horizon).copied().collect();
                    let near = dice.some(&near, 1).first().map(|start| *start + TimeDelta::minutes(5 * (dice.below(49) - 24)));
                    let start = near.filter(|start| (from..horizon).contains(start) && dice.below(2) == 0).unwrap_or(anywhere);
                    if !offered.contains(&start) {
                        let answer = worker.holds(therapist, &start.to_rfc3339()).await;
                        assert!(answer.is_err(), "{start} was not offered by {}", therapist.zone);
                        refused += 1;
                    }
                }
                // A day's sessions change what the others are offered.
                if let Some(start) = dice.some(&offered, 1).first() {
                    worker.books(therapist, &start.to_rfc3339()).await.unwrap();
                    booked.insert(*start);
                }
            }
        }
        assert!(held > 50 && refused > 50, "{held} {refused}");
    }
}

/// Ada in Berlin, Ben in New York, Cas in Berlin, and their ids.
async fn three(world: &World) -> [String; 3] {
    let versed = |slugs: &[(&str, i32)]| {
        slugs
            .iter()
            .map(|(slug, years)| v1::TherapistSpecialization { slug: (*slug).to_owned(), years: *years })
            .collect()
    };
    let licensed = |places: &[&str]| {
        let mut credential = profile("", BERLIN).credentials.remove(0);
        credential.jurisdictions = list(places);
        vec![credential]
    };
    let week = "Mon 08:00-12:00, Tue 10:00-12:00";
    let mut ada = profile("Ada", BERLIN);
    ada.exclusion_tags = list(&["Charité"]);
    let ben = v1::Therapist {
        gender: v1::Gender::Male.into(),
        credentials: licensed(&["US"]),
        specializations: versed(&[("grief", 10)]),
        languages: list(&["fr", "en"]),
        ..profile("Ben", "America/New_York")
    };
    let cas = v1::Therapist {
        gender: v1::Gender::NonBinary.into(),
        specializations: versed(&[("burnout", 2), ("anxiety", 7)]),
        languages: list(&["de-AT"]),
        credentials: licensed(&["DE"]),
        ..profile("Cas", BERLIN)
    };
    let ada = world.therapist_like(ada).await.works(week).await;
    let ben = world.therapist_like(ben).await.works("Mon 09:00-12:00").await;
    let cas = world.therapist_like(cas).await.works(week).await;
    let types = cas.client.availability().list_session_types(v1::ListSessionTypesRequest {}).await.unwrap();
    let mut kind = types.into_inner().session_types.remove(0);
    kind.modalities.push(v1::Modality::Chat.into());
    let update = v1::UpdateSessionTypeRequest { request_id: request_id(), session_type: Some(kind) };
    cas.client.availability().update_session_type(update).await.unwrap();
    [ada.id, ben.id, cas.id]
}

fn list(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

async fn therapists(client: &Client, request: v1::SearchTherapistsRequest) -> v1::SearchTherapistsResponse {
    let answer = client.directory().search_therapists(request).await;
    answer.map_err(Refusal::from).unwrap().into_inner()
}

fn names(found: &v1::SearchTherapistsResponse) -> Vec<String> {
    found.hits.iter().map(|hit| hit.therapist.as_ref().unwrap().display_name.clone()).collect()
}

async fn random_therapist(world: &World, dice: &mut Dice, number: u64) -> Therapist {
    const ZONES: [&str; 8] = [
        BERLIN,
        "America/New_York",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Auckland",
        "America/Santiago",
        "Pacific/Chatham",
        "Africa/Casablanca",
    ];
    let zone = ZONES[usize::try_from(number).unwrap() % ZONES.len()];
    let week: Vec<_> = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
        .iter()
        .map(|day| {
            // Never into the next day's, which begins at six at the earliest.
            let (start, length) = (6 + dice.below(18), 4 + dice.below(3));
            let end = (start + length) % 24;
            format!(
                "{day} {start:02}:{:02}-{:02}:00",
                15 * dice.below(4),
                if start + length > 29 { 5 } else { end }
            )
        })
        .collect();
    let (length, before, after) = (5 * (5 + dice.below(7)), 5 * dice.below(3), 5 * dice.below(4));
    let interval = [5, 15, 20, 30, 45, 60][usize::try_from(dice.below(6)).unwrap()];
    let therapist = world.therapist(&format!("T{number}"), zone).await;
    let therapist = therapist.offers(&week.join(", "), length, before, after, interval).await;
    restrict(&therapist, dice).await;
    therapist
}

/// Says at random how much the therapist takes on (A1, A2), and which of the days in question are not like the others.
async fn restrict(therapist: &Therapist, dice: &mut Dice) {
    let mut sessions = |least: i64| {
        let max_sessions = i32::try_from(least + dice.below(3)).unwrap();
        (dice.below(2) == 0).then(|| v1::LoadLimits { max_sessions, ..Default::default() })
    };
    let (day, week) = (sessions(1), sessions(3));
    let in_a_row = i32::try_from(1 + dice.below(2)).unwrap();
    let break_minutes = 15 * (1 + dice.below(4));
    let pacing = (dice.below(2) == 0).then(|| v1::Pacing {
        max_sessions_in_a_row: in_a_row,
        break_duration: Some(minutes(break_minutes)),
    });
    set(therapist, |schedule| {
        (schedule.day_limits, schedule.week_limits, schedule.pacing) = (day, week, pacing);
    })
    .await
    .unwrap();
    for (first, hours) in [(28, &["10:10-13:00"][..]), (30, &[])] {
        let date = format!("2026-03-{}", first + dice.below(2));
        override_day(therapist, &date, v1::DateOverrideKind::Replace, hours).await.unwrap();
    }
    let start = time("2026-03-28T00:00:00Z") + TimeDelta::minutes(dice.below(9 * 1_440));
    let end = start + TimeDelta::minutes(60 + dice.below(600));
    let span = Some(span(&start.to_rfc3339(), &end.to_rfc3339()));
    let time_off = Some(v1::TimeOff { id: String::new(), span });
    let off = v1::CreateTimeOffRequest { request_id: request_id(), time_off };
    therapist.client.availability().create_time_off(off).await.unwrap();
}

/// Somebody with a roster of nights and days; some live elsewhere, and some must not meet each other (D5).
async fn random_worker(world: &World, dice: &mut Dice) -> Worker {
    let worker = world.worker().await;
    let mut shifts = Vec::new();
    let mut start = time("2026-03-27T00:00:00Z") + TimeDelta::minutes(15 * dice.below(96));
    while start < time("2026-04-08T00:00:00Z") {
        let end = start + TimeDelta::minutes(15 * (16 + dice.below(33)));
        shifts.push((start.to_rfc3339(), end.to_rfc3339()));
        start = end + TimeDelta::minutes(15 * (24 + dice.below(200)));
    }
    let shifts: Vec<_> = shifts.iter().map(|(start, end)| (start.as_str(), end.as_str())).collect();
    let zone = [BERLIN, "America/New_York", "Australia/Lord_Howe"][usize::try_from(dice.below(3)).unwrap()];
    worker.works(zone, &shifts, "2026-04-06").await;
    if dice.below(2) == 0 {
        shuns(&worker, &["Ward 3"]).await.unwrap();
    }
    worker
}

/// Random numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    /// At least 0 and less than `limit`.
    fn below(&mut self, limit: i64) -> i64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let limit = u64::try_from(limit.max(1)).unwrap();
        (self.0 % limit).cast_signed()
    }

    fn some<T: Copy + Ord>(&mut self, from: &BTreeSet<T>, most: usize) -> Vec<T> {
        let all: Vec<_> = from.iter().copied().collect();
        let pick =
            |dice: &mut Self| all[usize::try_from(dice.below(all.len().cast_signed() as i64)).unwrap()];
        if all.is_empty() { Vec::new() } else { (0..most).map(|_| pick(self)).collect() }
    }
}
