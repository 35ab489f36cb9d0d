//! B2: whoever comes first, one session at a time.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use e2e::{World, time};
use sea_orm::{
    ActiveModelTrait, ConnectOptions, Database, DatabaseConnection, EntityTrait, IntoActiveModel,
    TransactionTrait,
};
use store::{AliasId, BookingId, Modality, SessionTypeId, TherapistId, booking};
use tokio::{sync::Barrier, task::JoinSet};

const CLIENTS: usize = 16;

e2e::stories! {
    async fn sixteen_clients_race_for_one_slot_and_one_gets_it(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = Arc::new(world.therapist("Ada", "Europe/Berlin").await.works("Mon 08:00-20:00").await);
        let start = Arc::new(Barrier::new(CLIENTS));
        let mut race = JoinSet::new();
        for runner in 0..CLIENTS {
            let worker = world.worker().await;
            let (ada, start) = (ada.clone(), start.clone());
            race.spawn(async move {
                // Overlapping, not equal: an index on the start alone would not see it.
                let wanted = if runner % 2 == 0 { "2026-03-23T10:00:00Z" } else { "2026-03-23T10:30:00Z" };
                start.wait().await;
                worker.books(&ada, wanted).await
            });
        }
        let results = race.join_all().await;
        let won = results.iter().filter(|result| result.is_ok()).count();
        let taken = results.iter().filter_map(|result| result.as_ref().err()).filter(|r| r.reason == "SLOT_TAKEN").count();
        assert_eq!((won, taken), (1, CLIENTS - 1), "{results:?}", results = results.iter().filter_map(|r| r.as_ref().err()).collect::<Vec<_>>());
        assert_eq!(world.count(OVERLAPS).await, 0);
    }

    // The control: no lock, and a pause between looking and writing. The database refuses every overlap.
    async fn without_the_lock_the_database_still_refuses(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = world.therapist("Ada", "Europe/Berlin").await.works("Mon 08:00-20:00").await;
        let mut aliases = Vec::new();
        for _ in 0..CLIENTS {
            aliases.push(world.worker().await.id.parse::<AliasId>().unwrap());
        }
        let (therapist, kind) = (ada.id.parse().unwrap(), ada.session_type_id.parse().unwrap());
        let saw_free = race_around_the_lock(&world.database, therapist, kind, aliases).await;

        // The race was one: without the guard there would have been as many bookings as saw the slot free.
        assert!(saw_free > 1, "only {saw_free} saw the slot free");
        assert_eq!(world.count("select count(*) from booking where occupies").await, 1);
        assert_eq!(world.count(OVERLAPS).await, 0);
    }

    // The same for one alias at two therapists, whose locks do not meet.
    async fn an_alias_cannot_be_in_two_places(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = world.therapist("Ada", "Europe/Berlin").await.works("Mon 08:00-20:00").await;
        let ben = world.therapist("Ben", "Europe/Berlin").await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        nurse.books(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        let refused = nurse.holds(&ben, "2026-03-23T10:30:00Z").await.unwrap_err();
        assert_eq!(refused.reason, "OWN_BOOKING_OVERLAPS");

        let wanted = row(ben.id.parse().unwrap(), ben.session_type_id.parse().unwrap(), nurse.id.parse().unwrap());
        let around = wanted.into_active_model().insert(world.app.db.read()).await.map_err(store::Error::from);
        assert!(matches!(around, Err(store::Error::AliasOverlap)), "{around:?}");
    }
}

/// Pairs that keep one therapist, or one alias, busy twice.
const OVERLAPS: &str =
    "select count(*) from booking a join booking b on a.id < b.id and a.occupies and b.occupies
    and (a.therapist_id = b.therapist_id or a.alias_id = b.alias_id)
    and a.busy_from < b.busy_until and b.busy_from < a.busy_until";

/// Sixteen connections look, wait 60 ms, and insert, with no lock; how many saw the slot free.
async fn race_around_the_lock(
    database: &str,
    therapist: TherapistId,
    kind: SessionTypeId,
    aliases: Vec<AliasId>,
) -> usize {
    let start = Arc::new(Barrier::new(aliases.len()));
    let mut race = JoinSet::new();
    for alias in aliases {
        let db = connect(database).await;
        let start = start.clone();
        let row = row(therapist, kind, alias);
        race.spawn(async move {
            start.wait().await;
            let span = row.busy().unwrap();
            let free = booking::Entity::keeping(therapist, span, time("2026-03-20T09:00:00Z"))
                .all(&db)
                .await
                .unwrap()
                .is_empty();
            tokio::time::sleep(Duration::from_millis(60)).await;
            if free {
                let tx = db.begin().await.unwrap();
                let inserted = row.into_active_model().insert(&tx).await.map_err(store::Error::from);
                match inserted {
                    Ok(_) => tx.commit().await.unwrap(),
                    Err(store::Error::TherapistOverlap | store::Error::Unavailable(_)) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            db.close().await.unwrap();
            free
        });
    }
    race.join_all().await.into_iter().filter(|free| *free).count()
}

/// A connection of its own, warm, that waits its turn where there is one writer.
async fn connect(database: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(database);
    options
        .max_connections(1)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(|sqlite| sqlite.busy_timeout(Duration::from_secs(10)));
    let db = Database::connect(options).await.unwrap();
    booking::Entity::find_by_id(BookingId::random()).one(&db).await.unwrap();
    db
}

fn row(therapist_id: TherapistId, session_type_id: SessionTypeId, alias_id: AliasId) -> booking::Model {
    let start = time("2026-03-23T10:00:00Z");
    let end = start + TimeDelta::minutes(50);
    booking::Model {
        id: BookingId::random(),
        therapist_id,
        alias_id: Some(alias_id),
        session_type_id,
        state: booking::State::Booked,
        occupies: true,
        starts_at: start.into(),
        ends_at: end.into(),
        busy_from: start.into(),
        busy_until: (end + TimeDelta::minutes(10)).into(),
        local_start: "2026-03-23T11:00".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        modality: Modality::Video,
        hold_expires_at: None,
        late_cancellation: false,
        programme_id: None,
    }
}
