//! `.github/DATA.md` says what is stored, and what is stored is what it says.

use std::collections::{BTreeMap, BTreeSet};

use api::v1;
use client::request_id;
use data_encoding::HEXLOWER;
use e2e::{
    Engine, Worker, World,
    hospital::{by_pass, key_log},
};
use sea_orm::ConnectionTrait;
use vault::DataKey;

use crate::{busy, emergency, exclusions, id_token, notes, roster};

const BERLIN: &str = "Europe/Berlin";
const FEED: &str = "https://rosters.example.org/heron.ics";
const ELSEWHERE: &str = "https://calendars.example.org/ada.ics";

/// What is sealed: the column, and the columns of the owner and of the row that it is bound to.
const SEALED: [(&str, &str, &str); 6] = [
    ("access_log.sealed", "alias_id", "alias_id"),
    ("alias.settings", "id", "id"),
    ("contact.sealed", "alias_id", "alias_id"),
    ("feed.sealed", "alias_id", "alias_id"),
    ("request.response", "caller_id", "request_id"),
    ("roster.sealed", "alias_id", "alias_id"),
];
const KEPT: [&str; 5] = ["open", "sealed", "wrapped", "hash", "keyed hash"];
const SEEN_BY: [&str; 7] =
    ["everybody", "every caller", "worker", "therapist", "operator", "manager", "nobody"];

e2e::stories! {
    async fn every_column_has_a_row_and_every_row_a_column(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let said: BTreeSet<String> = Inventory::read().columns.into_keys().collect();
        let stored = columns(&world, engine).await;
        let unsaid: Vec<_> = stored.difference(&said).collect();
        let gone: Vec<_> = said.difference(&stored).collect();
        assert!(unsaid.is_empty() && gone.is_empty(), "without a row: {unsaid:?}; without a column: {gone:?}");
    }

    // privacy.md 3: sealed is what its owner's key opens, as this column of this row; a hash has a hash's length.
    async fn what_is_said_to_be_sealed_is(engine: Engine) {
        let world = World::at(engine, "2026-03-02T09:00:00Z").await;
        fill(&world).await;
        let inventory = Inventory::read();
        let by_alias = SEALED.iter().map(|(column, ..)| *column).chain(["note.sealed"]);
        assert_eq!(inventory.kept("sealed"), by_alias.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());

        let wrapped = world.texts(&triples(engine, "alias_key", ["alias_id", "alias_id", "wrapped_key"], "true")).await;
        assert_eq!((wrapped.len(), inventory.kept("wrapped")), (2, vec!["alias_key.wrapped_key"]));
        let keys: BTreeMap<[u8; 16], DataKey> = wrapped
            .iter()
            .map(|row| {
                let (alias, _, wrapped) = parts(row);
                (alias, world.app.keyring.unwrap(&wrapped, alias).unwrap())
            })
            .collect();
        for (column, owner, row) in SEALED {
            let (table, sealed) = column.split_once('.').unwrap();
            let by_a_worker = format!("{owner} in (select id from alias)");
            let rows = world.texts(&triples(engine, table, [owner, row, sealed], &by_a_worker)).await;
            assert!(!rows.is_empty(), "{column} is tried on nothing");
            for (owner, row, value) in rows.iter().map(|row| parts(row)) {
                keys[&owner].open(column, row, &value).unwrap_or_else(|error| panic!("{column}: {error}"));
                for other in keys.iter().filter(|(alias, _)| **alias != owner) {
                    assert!(other.1.open(column, row, &value).is_err(), "{column} opens to another alias");
                }
            }
        }
        // A note is the alias's whose booking it is.
        let noted = "note n join booking b on b.id = n.booking_id where n.kind = 'intake'";
        let hex = |column: &str| match engine {
            Engine::Sqlite => format!("hex({column})"),
            Engine::Postgres if column == "n.sealed" => format!("encode({column}, 'hex')"),
            Engine::Postgres => format!("{column}::text"),
        };
        let [owner, row, value] = ["b.alias_id", "n.booking_id", "n.sealed"].map(hex);
        let [note] = world.texts(&format!("select lower({owner} || '|' || {row} || '|' || {value}) from {noted}")).await.try_into().unwrap();
        let (owner, row, value) = parts(&note);
        keys[&owner].open("note.intake", row, &value).unwrap();
        assert!(keys.iter().filter(|(alias, _)| **alias != owner).all(|(_, key)| key.open("note.intake", row, &value).is_err()));
        // What a therapist says in confidence opens with the server's key for it.
        let theirs = world.texts(&triples(engine, "feed", ["id", "id", "sealed"], "alias_id is null")).await;
        let [theirs] = theirs.try_into().unwrap();
        let (_, row, value) = parts(&theirs);
        world.app.keyring.therapists_key().open("feed.sealed", row, &value).unwrap();

        for column in [inventory.kept("hash"), inventory.kept("keyed hash")].concat() {
            let (table, hash) = column.split_once('.').unwrap();
            let some = world.count(&format!("select count(*) from \"{table}\" where length({hash}) > 0")).await;
            let long = if column == "alias.exclusion_tags" { 16 } else { 32 };
            let others = format!("select count(*) from \"{table}\" where length({hash}) not in (0, {long})");
            assert!(some > 0, "{column} is tried on nothing");
            assert_eq!(world.count(&others).await, 0, "{column}");
        }
    }
}

#[test]
fn every_row_says_what_it_should() {
    let inventory = Inventory::read();
    for (column, row) in &inventory.columns {
        // What is about a worker says where the export has it, or why it does not.
        let (table, name) = column.split_once('.').unwrap();
        let about = &inventory.tables[table][0];
        let workers = about.contains("worker") || about == "every caller";
        assert!(
            workers || !["alias_id", "caller_id", "booking_id"].contains(&name),
            "{table} is about workers"
        );
        let cells = if workers { 4 } else { 3 };
        assert!(row.len() == cells && row.iter().all(|cell| !cell.is_empty()), "{column}: {row:?}");
        assert!(KEPT.contains(&row[1].as_str()), "{column} is kept {}", row[1]);
        for seen_by in row[2].split(", ") {
            assert!(SEEN_BY.contains(&seen_by), "{column} is seen by {seen_by}");
        }
    }
    let described: BTreeSet<_> =
        inventory.columns.keys().filter_map(|column| Some(column.split_once('.')?.0)).collect();
    assert_eq!(described, inventory.tables.keys().map(String::as_str).collect(), "the list of tables");
    for (table, row) in &inventory.tables {
        let [about, until, proof] = row.as_slice() else { panic!("{table}: {row:?}") };
        assert!(!about.is_empty() && !until.is_empty(), "{table} says for how long");
        if proof == "–" {
            // Kept until somebody deletes it, and about nobody who came for help.
            assert!(!about.contains("worker"), "{table} is about workers, and nothing proves that it ends");
            continue;
        }
        let (file, story) =
            proof.split_once("::").unwrap_or_else(|| panic!("{table} names the story {proof}"));
        let stories = std::fs::read_to_string(format!("{}/stories/{file}.rs", env!("CARGO_MANIFEST_DIR")));
        let told = stories.is_ok_and(|stories| stories.contains(&format!("async fn {story}(")));
        assert!(told, "{table} names {proof}, which is not there");
    }
}

/// The page, without its words.
pub(crate) struct Inventory {
    /// About whom, until when, and the story that proves it, by table.
    tables: BTreeMap<String, Vec<String>>,
    /// What it is, how it is kept, who sees it, and what else is said, by `table.column`.
    columns: BTreeMap<String, Vec<String>>,
}

impl Inventory {
    pub(crate) fn read() -> Self {
        let page =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../.github/DATA.md")).unwrap();
        let (mut tables, mut columns) = (BTreeMap::new(), BTreeMap::new());
        let mut section = None;
        for line in page.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                section = heading.strip_prefix('`').map(|table| table.trim_end_matches('`'));
            }
            let Some(row) = line.strip_prefix("| `") else { continue };
            let mut cells =
                row.trim_end_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned());
            let name = cells.next().unwrap();
            let before = match section {
                Some(table) => columns.insert(format!("{table}.{name}"), cells.collect()),
                None => tables.insert(name.clone(), cells.collect()),
            };
            assert_eq!(before, None, "{name} is said twice");
        }
        Self { tables, columns }
    }

    /// Where the export says what is in the columns that it says.
    pub(crate) fn exported(&self) -> BTreeSet<&str> {
        let places = self.columns.values().filter_map(|row| row.get(3));
        places.map(String::as_str).filter(|place| !place.starts_with("no: ")).collect()
    }

    /// The columns that are kept so, in the order of the alphabet.
    fn kept(&self, how: &str) -> Vec<&str> {
        self.columns.iter().filter(|(_, row)| row[1] == how).map(|(column, _)| column.as_str()).collect()
    }
}

/// Everything that the schema has, as `table.column`.
async fn columns(world: &World, engine: Engine) -> BTreeSet<String> {
    let sql = match engine {
        Engine::Sqlite => {
            "select t.name || '.' || c.name from sqlite_master t, pragma_table_info(t.name) c
             where t.type = 'table' and t.name not like 'sqlite%'"
        }
        Engine::Postgres => {
            "select table_name || '.' || column_name from information_schema.columns where table_schema = 'public'"
        }
    };
    world.texts(sql).await.into_iter().collect()
}

/// Whoever told.
pub(crate) struct Told {
    /// All that can be told.
    pub(crate) nurse: Worker,
    /// Little.
    pub(crate) other: Worker,
    /// By `other`.
    pub(crate) booked_by_other: v1::Booking,
}

/// A world in which something is in every table.
pub(crate) async fn fill(world: &World) -> Told {
    let hospital = world.hospital(e2e::hospital::programme()).await;
    hospital.publishes("2026-03-01", "2026-05-31").await.unwrap();
    world.set_clock("2026-03-20T09:00:00Z");
    let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
    id_token::links(world, &ada).await;
    let published = v1::CreateCalendarFeedRequest { request_id: request_id() };
    ada.client.availability().create_calendar_feed(published).await.unwrap();
    let calendar = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART:20260323T200000Z\r\nDTEND:20260324T053000Z\r\n\
                    END:VEVENT\r\nEND:VCALENDAR\r\n";
    for address in [FEED, ELSEWHERE] {
        world.calendars.publish(address, calendar);
    }
    busy::create(&ada, ELSEWHERE).await.unwrap();
    let (nurse, secret) = notes::worker(world).await;
    exclusions::shuns(&nurse, &["Reha Nord"]).await.unwrap();
    nurse.client.roster().import_roster(roster::feed(FEED)).await.unwrap();
    nurse.reached_at(world, "heron@example.com", "en", v1::ReminderLevel::Time).await;
    let log = key_log(&world.anybody().await).await;
    let passes = hospital.signs(&log, "2026-03-20T09:00:00Z", 2);
    for (start, pass) in ["2026-03-23T09:00:00Z", "2026-03-23T15:00:00Z"].into_iter().zip(&passes) {
        let held = nurse.holds(&ada, start).await.unwrap();
        let booked = nurse.pays(&held, by_pass(pass)).await.unwrap();
        if start == "2026-03-23T09:00:00Z" {
            nurse.cancels(&booked).await;
        } else {
            let (second, _) = emergency::operator(world).await;
            let asked = emergency::asks(&world.operator().await, &booked.id).await.unwrap();
            emergency::agrees(&second, &asked).await.unwrap();
            notes::tells(world, &ada, &nurse, &secret, &booked).await;
        }
    }
    let changed = "insert into zone_change
                   select id, '2025b', time_zone, starts_at - 3600, starts_at, 'moved' from booking where occupies";
    world.app.db.read().execute_unprepared(changed).await.unwrap();
    let other = world.worker().await;
    let booked_by_other = other.books(&ada, "2026-03-23T17:00:00Z").await.unwrap();
    Told { nurse, other, booked_by_other }
}

/// The question for three columns of a table, in hexadecimal digits: two ids, and bytes that are there.
fn triples(engine: Engine, table: &str, [owner, row, value]: [&str; 3], which: &str) -> String {
    let (owner, row, bytes) = match engine {
        Engine::Sqlite => (format!("hex({owner})"), format!("hex({row})"), format!("hex({value})")),
        Engine::Postgres => {
            (format!("{owner}::text"), format!("{row}::text"), format!("encode({value}, 'hex')"))
        }
    };
    format!(
        "select lower({owner} || '|' || {row} || '|' || {bytes}) from \"{table}\" where {value} is not null and {which}"
    )
}

fn parts(line: &str) -> ([u8; 16], [u8; 16], Vec<u8>) {
    let parts: Vec<_> =
        line.split('|').map(|part| HEXLOWER.decode(part.replace('-', "").as_bytes()).unwrap()).collect();
    let [owner, row, value] = parts.try_into().unwrap();
    (owner.try_into().unwrap(), row.try_into().unwrap(), value)
}
