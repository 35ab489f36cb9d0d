//! Keys and everything else are backed up apart, as `deploy/README.md` says: what is erased stays erased, whatever
//! backup comes back, as soon as the keys are newer.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use api::v1;
use client::{Client, request_id};
use e2e::{Engine, Worker, World, serves};
use sea_orm::{ConnectionTrait, EntityTrait, Statement};
use services::App;
use store::{Db, alias_key};

use crate::{
    emergency, notes,
    privacy::{postgres_program, search},
};

const BERLIN: &str = "Europe/Berlin";
/// Erases again whoever was erased since the backup.
const ERASE_AGAIN: &str = include_str!("../../deploy/erase-again.sql");

e2e::stories! {
    async fn what_was_erased_is_not_in_an_old_backup(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let ((heron, secret), wren) = (notes::worker(&world).await, world.worker().await);
        for (worker, email, start) in [
            (&heron, "heron@example.com", "2026-03-23T15:00:00Z"),
            (&wren, "wren@example.com", "2026-03-23T17:00:00Z"),
        ] {
            worker.works(BERLIN, &[("2026-03-24T20:00:00Z", "2026-03-25T05:30:00Z")], "2026-04-30").await;
            worker.reached_at(&world, email, "en", v1::ReminderLevel::Time).await;
            let booking = worker.books(&ada, start).await.unwrap();
            if worker.id == heron.id {
                notes::tells(&world, &ada, &heron, &secret, &booking).await;
                emergency::asks(&world.operator().await, &booking.id).await.unwrap();
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let [main, old_keys, new_keys] = ["main", "old", "new"].map(|name| folder.path().join(name));
        back_up(&world.database, engine, &main).await;
        back_up_keys(&world.database, engine, &old_keys).await;
        let keys = alias_key::Entity::find().all(world.app.db.read()).await.unwrap();
        let wrapped: Vec<_> = keys.into_iter().map(|key| ("wrapped key", key.wrapped_key.0)).collect();
        assert_eq!(search(&std::fs::read(&main).unwrap(), &wrapped), [""; 0]);
        assert_eq!(search(&std::fs::read(&old_keys).unwrap(), &wrapped), ["wrapped key"; 2]);
        heron.client.alias().erase_alias(v1::EraseAliasRequest {}).await.unwrap();
        // Whoever came after the backup has a key, and nothing in it.
        world.worker().await;
        back_up_keys(&world.database, engine, &new_keys).await;

        // The old keys open it: else the new ones would prove nothing.
        let server = restored(&world, engine, &main, &old_keys).await;
        assert_eq!(read(&server, &heron).await.as_deref(), Ok("heron@example.com"));
        assert_eq!(read(&server, &wren).await.as_deref(), Ok("wren@example.com"));

        let server = restored(&world, engine, &main, &new_keys).await;
        assert_eq!(read(&server, &heron).await, Err("NOT_FOUND".to_owned()));
        assert_eq!(read(&server, &wren).await.as_deref(), Ok("wren@example.com"));
        server.db.read().execute_unprepared(ERASE_AGAIN).await.unwrap();
        assert_eq!(read(&server, &heron).await, Err("LOGIN_REFUSED".to_owned()));
        // Nor is anything left that was theirs, or that names them.
        let nobodys = |table: &str, of: &str| format!("select count(*) from {table} where {of}");
        let staff = "caller_id not in (select id from therapist) and caller_id not in (select id from operator)";
        for of_nobody in [
            nobodys("note", "true"),
            nobodys("emergency_access", "true"),
            nobodys("request", &format!("caller_id not in (select id from alias) and {staff}")),
            nobodys("access_token", "caller_kind = 'alias' and caller_id not in (select id from alias)"),
            nobodys("change", &format!("caller_id not in (select id from alias) and {staff}")),
        ] {
            let db = server.db.read();
            let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), &of_nobody)).await.unwrap().unwrap();
            assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), 0, "{of_nobody}");
        }
        let wren = at(&server, &wren).await.unwrap();
        let booked = wren.bookings().list_bookings(v1::ListBookingsRequest::default()).await.unwrap().into_inner();
        assert_eq!(booked.bookings.len(), 1);
        let cancel = v1::CancelBookingRequest { request_id: request_id(), booking_id: booked.bookings[0].id.clone() };
        wren.bookings().cancel_booking(cancel).await.unwrap();
    }
}

async fn at(server: &App, worker: &Worker) -> Result<Client, client::Error> {
    Client::connect(serves(server).await).await?.login(worker.key.clone()).await
}

/// The contact, with settings and roster behind it; or why none of them can be read.
async fn read(server: &App, worker: &Worker) -> Result<String, String> {
    let client = match at(server, worker).await {
        Ok(client) => client,
        Err(client::Error::Refused(refusal)) => return Err(refusal.reason),
        Err(error) => panic!("{error}"),
    };
    let reason = |status| client::Refusal::from(status).reason;
    let contact = client.reminders().get_contact(v1::GetContactRequest {}).await.map_err(reason);
    let roster = client.roster().get_roster(v1::GetRosterRequest {}).await.map_err(reason);
    let settings = client.alias().get_alias(v1::GetAliasRequest {}).await.map_err(reason);
    assert_eq!((contact.is_ok(), roster.is_ok()), (settings.is_ok(), settings.is_ok()));
    Ok(contact?.into_inner().contact.unwrap().email)
}

/// Everything but the keys.
async fn back_up(database: &str, engine: Engine, to: &Path) {
    match engine {
        Engine::Sqlite => {
            let db = Db::connect(database, 1).await.unwrap();
            db.read().execute_unprepared(&format!("vacuum into '{}'", to.display())).await.unwrap();
            db.close().await.unwrap();
            let copy = Db::connect(&sqlite(to), 1).await.unwrap();
            copy.read().execute_unprepared("delete from alias_key; vacuum").await.unwrap();
            copy.close().await.unwrap();
        }
        Engine::Postgres => {
            let mut dump = Command::new(postgres_program("pg_dump"));
            run(dump.args(["--exclude-table-data=alias_key", "--file"]).arg(to).arg(database));
        }
    }
}

/// The keys alone.
async fn back_up_keys(database: &str, engine: Engine, to: &Path) {
    match engine {
        Engine::Sqlite => {
            let db = Db::connect(database, 1).await.unwrap();
            let copy = format!(
                "attach '{}' as kept; create table kept.alias_key as select * from main.alias_key; detach kept",
                to.display()
            );
            db.read().execute_unprepared(&copy).await.unwrap();
            db.close().await.unwrap();
        }
        Engine::Postgres => {
            let copy = format!("\\copy alias_key to '{}'", to.display());
            run(Command::new(postgres_program("psql")).arg(database).args(["--command", &copy]));
        }
    }
}

/// A server on what the two backups say, with the same secret.
async fn restored(world: &World, engine: Engine, main: &Path, keys: &Path) -> App {
    let name = format!("respite_{}", uuid::Uuid::new_v4().simple());
    let database = match engine {
        Engine::Sqlite => {
            let copy = main.with_file_name(name);
            std::fs::copy(main, &copy).unwrap();
            sqlite(&copy)
        }
        Engine::Postgres => {
            world.app.db.read().execute_unprepared(&format!("create database {name}")).await.unwrap();
            let (base, query) = world.database.split_once('?').unwrap_or((&world.database, ""));
            format!("{}/{name}?{query}", base.rsplit_once('/').unwrap().0)
        }
    };
    match engine {
        Engine::Sqlite => {
            let restore = format!(
                "attach '{}' as kept;
                 insert into main.alias_key select * from kept.alias_key where alias_id in (select id from alias);
                 detach kept",
                keys.display()
            );
            let db = Db::connect(&database, 1).await.unwrap();
            db.read().execute_unprepared(&restore).await.unwrap();
            db.close().await.unwrap();
        }
        Engine::Postgres => {
            let psql = || {
                let mut psql = Command::new(postgres_program("psql"));
                psql.arg(&database).arg("--set=ON_ERROR_STOP=1");
                psql
            };
            run(psql().arg("--file").arg(main));
            run(psql().args([
                "--command",
                "create temporary table kept (like alias_key)",
                "--command",
                &format!("\\copy kept from '{}'", keys.display()),
                "--command",
                "insert into alias_key select * from kept where alias_id in (select id from alias)",
            ]));
        }
    }
    world.another_server_on(&database).await
}

fn sqlite(file: &Path) -> String {
    format!("sqlite://{}", file.display())
}

fn run(command: &mut Command) {
    let done = command.stdout(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
