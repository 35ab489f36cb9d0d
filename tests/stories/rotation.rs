//! The key that wraps is replaced while servers go on, and the old one is worth nothing afterwards.

use std::sync::Arc;

use api::v1;
use client::{Client, Secret, request_id};
use e2e::{World, serves};
use sea_orm::EntityTrait;
use services::{
    App,
    rewrap::{Wrapped, rewrap, wrapped},
};
use store::{Opaque, alias_key};
use vault::Keyring;

const BERLIN: &str = "Europe/Berlin";
const FRIDAY: &str = "2026-03-20T09:00:00Z";
const MAIL: &str = "night.owl@example.org";
const CALENDAR: &str = "https://calendars.example.org/ada.ics";

/// What a key file says.
fn file(keyring: &Keyring) -> String {
    keyring.to_text().to_string()
}

/// Another server of the same data, with this key file.
async fn with_key(world: &World, file: &str) -> App {
    App { keyring: Arc::new(Keyring::parse(file).unwrap()), ..world.another_server().await }
}

async fn mail_of(client: &Client) -> Option<String> {
    let got = client.reminders().get_contact(v1::GetContactRequest {}).await.ok()?.into_inner();
    got.contact.map(|contact| contact.email)
}

/// Whether the server can open what is sealed for the alias.
async fn opens(client: &Client) -> bool {
    client.alias().get_alias(v1::GetAliasRequest {}).await.is_ok()
}

/// Aliases and calendars that each key of the file wraps, the newest first.
async fn counts(app: &App) -> Vec<(u64, u64)> {
    let wrapped = wrapped(&app.keyring, &app.db).await.unwrap();
    wrapped.into_iter().map(|Wrapped { aliases, feeds, .. }| (aliases, feeds)).collect()
}

e2e::stories! {
    async fn the_key_that_wraps_is_replaced_while_servers_go_on(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        nurse.reached_at(&world, MAIL, "en", v1::ReminderLevel::Time).await;
        world.calendars.publish(CALENDAR, "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n");
        let elsewhere = v1::BusyFeed { display_name: "clinic".to_owned(), feed_uri: CALENDAR.to_owned(), ..Default::default() };
        let request = v1::CreateBusyFeedRequest { request_id: request_id(), busy_feed: Some(elsewhere) };
        ada.client.availability().create_busy_feed(request).await.unwrap();
        nurse.books(&ada, "2026-03-23T15:00:00Z").await.unwrap();
        let handle = ada.agenda("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z").await.remove(0).handle;
        assert_eq!(counts(&world.app).await, [(1, 1), (0, 0)]);

        // Every server learns the next key before one of them uses it.
        let old = file(&world.app.keyring);
        let mut keyring = Keyring::parse(&old).unwrap();
        keyring.prepare();
        let prepared = with_key(&world, &file(&keyring)).await;
        keyring.rotate();
        let rotated = with_key(&world, &file(&keyring)).await;
        let (at_prepared, at_rotated) = (serves(&prepared).await, serves(&rotated).await);
        let colleague = Secret::generate().login_key();
        Client::connect(at_rotated.clone()).await.unwrap().create_alias(&colleague).await.unwrap();
        assert_eq!(counts(&rotated).await, [(1, 0), (1, 1), (0, 0)]);
        for server in [&at_prepared, &at_rotated] {
            let client = Client::connect(server.clone()).await.unwrap();
            let nurse = client.login(nurse.key.clone()).await.unwrap();
            assert_eq!(mail_of(&nurse).await.as_deref(), Some(MAIL));
            assert!(opens(&client.login(colleague.clone()).await.unwrap()).await);
        }
        // Who has the old file alone opens what it wrapped, and fails for the rest without harm.
        let behind = Client::connect(serves(&with_key(&world, &old).await).await).await.unwrap();
        assert_eq!(mail_of(&behind.login(nurse.key.clone()).await.unwrap()).await.as_deref(), Some(MAIL));
        assert!(behind.login(colleague.clone()).await.is_err(), "signing in is written down for them, under their key");

        // What the old key wraps is wrapped anew; twice at once does no more.
        let before = alias_key::Entity::find().all(world.app.db.read()).await.unwrap();
        let (one, two) = tokio::join!(rewrap(&rotated.keyring, &rotated.db), rewrap(&rotated.keyring, &prepared.db));
        assert_eq!(one.unwrap() + two.unwrap(), 2, "an alias and a calendar");
        assert_eq!(counts(&rotated).await, [(2, 1), (0, 0), (0, 0)]);
        assert_eq!(rewrap(&rotated.keyring, &rotated.db).await.unwrap(), 0);

        // The old key goes, and opens nothing; everything else is as it was.
        let retired = keyring.kek_ids().nth(1).unwrap();
        keyring.retire(retired).unwrap();
        let after = with_key(&world, &file(&keyring)).await;
        let client = Client::connect(serves(&after).await).await.unwrap();
        assert_eq!(mail_of(&client.login(nurse.key.clone()).await.unwrap()).await.as_deref(), Some(MAIL));
        world.pass(chrono::TimeDelta::hours(2));
        let refreshed = services::feeds::refresh_due(&after).await.unwrap();
        assert_eq!((refreshed.fetched, refreshed.failed), (1, 0));
        let agenda = ada.agenda("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z").await;
        assert_eq!(agenda[0].handle, handle, "handles follow from the first key, which stays");
        let thief = Keyring::parse(&old).unwrap();
        for row in alias_key::Entity::find().all(world.app.db.read()).await.unwrap() {
            assert!(thief.unwrap(&row.wrapped_key.0, row.alias_id.0.into_bytes()).is_err());
        }
        assert!(before.iter().any(|row| thief.unwrap(&row.wrapped_key.0, row.alias_id.0.into_bytes()).is_ok()), "a backup of the keys stays open to it");
    }

    async fn an_alias_that_is_erased_meanwhile_gets_no_key_again(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let mut keyring = Keyring::parse(&file(&world.app.keyring)).unwrap();
        keyring.rotate();
        let row = alias_key::Entity::find().one(world.app.db.read()).await.unwrap().unwrap();
        nurse.client.alias().erase_alias(v1::EraseAliasRequest {}).await.unwrap();
        assert_eq!(rewrap(&keyring, &world.app.db).await.unwrap(), 0);
        assert_eq!(world.count("select count(*) from alias_key").await, 0);
        assert_ne!(row.kek_id, Opaque(keyring.kek_id().to_vec()));
    }
}
