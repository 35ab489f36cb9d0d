//! What the hospital's staff do, and the log of it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use issuer::audit::{self, AuditError, Entry};
use issuer::code;
use issuer::period::{self, PeriodError, Terms};
use issuer::roster::{self, Imported, Roster, RosterError};
use issuer::{App, Clock, Error, Mode, parse_day};

use crate::world::{HEADER, PASSES, World, identity, roster, terms};

async fn actions(app: &App) -> Vec<String> {
    let entries = audit::entries(app).await.unwrap();
    audit::verify(&entries, None).unwrap();
    entries.into_iter().map(|entry| entry.action).collect()
}

/// E3: a file is the whole truth.
#[tokio::test]
async fn an_import_replaces_the_roster() {
    let world = World::without_period(Mode::Roster).await;
    let check = async |csv: &str, dry_run, expected: [usize; 4]| {
        let [workers, eligible_today, added, removed] = expected;
        let imported = roster::import(&world.app, &Roster::parse(csv.as_bytes()).unwrap(), dry_run).await;
        assert_eq!(imported.unwrap(), Imported { workers, eligible_today, added, removed });
    };
    check(&roster(0..3), true, [3, 3, 3, 0]).await;
    check(&roster(0..3), false, [3, 3, 3, 0]).await;
    check(&roster(0..3), false, [3, 3, 0, 0]).await;
    check(HEADER, true, [0, 0, 0, 3]).await;
    check(&roster(2..6), false, [4, 4, 3, 2]).await;
    let changed = "employee_id,active_from,active_until\nN-2,2026-10-02,\nN-3,2026-01-01,2026-09-30\n\
                   N-4,2026-10-01,2026-10-01\nN-5,2026-01-01,\n";
    check(changed, false, [4, 2, 0, 0]).await;
    let lines = actions(&world.app).await;
    assert_eq!(lines.len(), 5, "a dry run is no action");
    assert_eq!(lines[3], "roster imported: 4 workers, 3 of them new, 2 gone");
}

#[tokio::test]
async fn codes_are_made_for_those_who_have_none_and_were_imported() {
    let world = World::without_period(Mode::Roster).await;
    world.import(&roster(0..3)).await.unwrap();
    let make = async |csv: &str, replace| {
        let made = code::make_for_roster(&world.app, &Roster::parse(csv.as_bytes()).unwrap(), replace).await;
        made.map(|made| made.into_iter().map(|made| made.employee_id).collect::<Vec<_>>())
    };
    assert_eq!(make(&roster(0..2), false).await.unwrap(), ["N-0", "N-1"]);
    assert_eq!(make(&roster(0..3), false).await.unwrap(), ["N-2"]);
    assert_eq!(make(&roster(1..2), true).await.unwrap(), ["N-1"]);
    let refused = make(&roster(2..5), true).await.unwrap_err();
    let Error::Roster(RosterError::Rows(problems)) = refused else { panic!("{refused}") };
    let told = problems.to_string();
    assert!(told.contains("line 3 has an employee_id that was not imported"), "{told}");
    assert_eq!(
        actions(&world.app).await[2..],
        [
            "codes made for the roster: 2, of them in place of older ones: 0",
            "codes made for the roster: 1, of them in place of older ones: 0",
            "codes made for the roster: 1, of them in place of older ones: 1",
        ]
    );
}

/// Both at once would give who has both two quotas, and tie cards to a list of names.
#[tokio::test]
async fn an_issuer_has_cards_or_a_roster() {
    let empty = Roster::parse(HEADER.as_bytes()).unwrap();
    let cards = World::without_period(Mode::Cards).await;
    let refused = roster::import(&cards.app, &empty, false).await;
    assert!(matches!(refused, Err(Error::Mode { mode: Mode::Cards })));
    let refused = code::make_for_roster(&cards.app, &empty, false).await;
    assert!(matches!(refused, Err(Error::Mode { mode: Mode::Cards })));
    let day = |day| parse_day(day).unwrap();
    assert!(matches!(code::make_cards(&cards.app, 1, day("2026-09-30")).await, Err(Error::Past { .. })));
    code::make_cards(&cards.app, 2, day("2026-10-01")).await.unwrap();
    assert_eq!(actions(&cards.app).await, ["created for cards", "cards made: 2, good until 2026-10-01"]);

    let roster = World::without_period(Mode::Roster).await;
    let refused = code::make_cards(&roster.app, 1, day("2026-12-31")).await;
    assert!(matches!(refused, Err(Error::Mode { mode: Mode::Roster })));
}

#[tokio::test]
async fn a_period_that_would_tell_workers_apart_is_not_made() {
    let world = World::new(Mode::Cards).await;
    let check = async |name: &str, terms: Terms, expected: Result<(), &str>| {
        let made = period::make(&world.app, name.parse().unwrap(), terms).await;
        assert_eq!(made.map(|_| ()).map_err(|error| error.to_string()), expected.map_err(str::to_owned));
    };
    let exists = PeriodError::Exists.to_string();
    let overlap = PeriodError::Overlap { other: "2026-Q4".parse().unwrap() }.to_string();
    let passes = |passes| Terms { passes, ..terms("2027-01-01", "2027-04-01") };
    check("2026-Q4", terms("2027-01-01", "2027-04-01"), Err(&exists)).await;
    check("other", terms("2026-10-01", "2027-01-01"), Err(&overlap)).await;
    check("other", terms("2026-12-31", "2027-03-01"), Err(&overlap)).await;
    check("other", terms("2026-09-01", "2026-10-02"), Err(&overlap)).await;
    check("other", terms("2026-09-01", "2027-02-01"), Err(&overlap)).await;
    check("other", terms("2027-01-01", "2027-01-28"), Err(&PeriodError::Length.to_string())).await;
    check("other", terms("2026-07-01", "2026-10-01"), Err("2026-10-01 is over")).await;
    check("other", passes(0), Err(&PeriodError::Passes.to_string())).await;
    check("other", passes(101), Err(&PeriodError::Passes.to_string())).await;
    // Once it was cut off before it was on record.
    fs::write(world.home().join("keys/2027-Q1.pem"), "half a key").unwrap();
    check("2027-Q1", passes(100), Ok(())).await;
    assert!(fs::read_to_string(world.home().join("keys/2027-Q1.pem")).unwrap().starts_with("-----BEGIN"));
    // What was refused has left no key behind, and took none away.
    let mut keys: Vec<_> =
        fs::read_dir(world.home().join("keys")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    keys.sort();
    assert_eq!(keys, ["2026-Q4.pem", "2027-Q1.pem"]);
}

#[tokio::test]
async fn a_small_programme_is_on_record() {
    let world = World::without_period(Mode::Cards).await;
    let small = Terms { small: true, ..terms("2026-10-01", "2027-01-01") };
    let period = period::make(&world.app, "2026-Q4".parse().unwrap(), small).await.unwrap();
    assert_eq!(
        actions(&world.app).await[1],
        format!(
            "key {:?} made for 2026-Q4, {PASSES} passes for each worker, although fewer than 50 may be eligible",
            period.key_id
        )
    );
    assert_eq!(period::list(&world.app).await.unwrap(), [period]);
    world.serve().await.offer().await.unwrap();
}

/// So that a key can be deleted on the day on which it is not needed any more.
#[tokio::test]
async fn a_period_that_has_ended_needs_no_key() {
    let mut world = World::new(Mode::Cards).await;
    let next = world.period("2027-Q1", "2027-01-01", "2027-04-01").await;
    let names = async || -> Vec<String> {
        let periods = period::list(&world.app).await.unwrap();
        periods.iter().map(|period| period.name.to_string()).collect()
    };
    world.is("2026-12-31");
    assert_eq!(names().await, ["2026-Q4", "2027-Q1"]);
    world.is("2027-01-01");
    assert_eq!(names().await, ["2027-Q1"]);
    fs::remove_file(world.home().join("keys/2026-Q4.pem")).unwrap();
    world.cards(50, "2027-03-31").await;
    assert_eq!(world.serve().await.offer().await.unwrap().key_id, next.key_id.as_bytes());
}

#[tokio::test]
async fn the_log_of_what_staff_did_is_only_added_to() {
    let world = World::with_roster(50).await;
    let entries = audit::entries(&world.app).await.unwrap();
    let mut database = world.database().await;
    for tamper in ["update audit set at = 1 where position = 2", "delete from audit where position = 2"] {
        let refused = sqlx::query(tamper).execute(&mut database).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
        assert_eq!(audit::entries(&world.app).await.unwrap(), entries);
    }
    // Who takes the guard away is found out by the chain.
    sqlx::query("drop trigger audit_is_not_changed").execute(&mut database).await.unwrap();
    sqlx::query("update audit set at = 1 where position = 2").execute(&mut database).await.unwrap();
    let changed: Vec<Entry> = audit::entries(&world.app).await.unwrap();
    assert_eq!(audit::verify(&changed, None), Err(AuditError::Broken { position: 2 }));
}

#[tokio::test]
async fn secrets_are_for_the_owner_alone() {
    let world = World::new(Mode::Cards).await;
    let home = world.home();
    let mode = |name: &str| fs::metadata(home.join(name)).unwrap().permissions().mode() & 0o777;
    for directory in ["", "keys"] {
        assert_eq!(mode(directory), 0o700);
    }
    for file in ["issuer.db", "issuer.secret", "keys/2026-Q4.pem"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    let key = home.join("keys/2026-Q4.pem");
    let period = &period::list(&world.app).await.unwrap()[0];
    assert!(fs::read_to_string(&key).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(period::key(&world.app, period), Err(Error::OpenToOthers { .. })));
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    period::key(&world.app, period).unwrap();
}

/// Another secret would know nobody, another key would sign what nobody accepts.
#[tokio::test]
async fn a_folder_whose_parts_do_not_belong_together_is_not_opened() {
    let [world, other] = [World::new(Mode::Cards).await, World::new(Mode::Cards).await];
    let open = async |world: &World| App::open(&world.home(), Clock::System).await.map(|_| ());
    let refused = App::create(&world.home(), &identity(Mode::Cards), Clock::System).await;
    assert!(matches!(refused.map(|_| ()), Err(Error::File { .. })));

    let key = "keys/2026-Q4.pem";
    fs::copy(other.home().join(key), world.home().join(key)).unwrap();
    let period = &period::list(&world.app).await.unwrap()[0];
    assert!(matches!(period::key(&world.app, period), Err(Error::OtherKey { .. })));
    fs::write(world.home().join(key), "canary").unwrap();
    let refused = period::key(&world.app, period).map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::Key { .. }) && !format!("{refused} {refused:?}").contains("canary"));

    open(&world).await.unwrap();
    fs::copy(other.home().join("issuer.secret"), world.home().join("issuer.secret")).unwrap();
    assert!(matches!(open(&world).await, Err(Error::OtherSecret { .. })));
    fs::remove_file(world.home().join("issuer.secret")).unwrap();
    assert!(matches!(open(&world).await, Err(Error::File { .. })));
    fs::remove_file(other.home().join("issuer.db")).unwrap();
    assert!(matches!(open(&other).await, Err(Error::File { .. })));

    let world = World::without_period(Mode::Cards).await;
    let mut database = world.database().await;
    sqlx::query("pragma user_version = 99").execute(&mut database).await.unwrap();
    assert!(matches!(open(&world).await, Err(Error::NewerSchema { step: 99 })));
}

#[tokio::test]
async fn names_that_go_into_passes_are_plain() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in ["", "a b", "é", "a\n", &"a".repeat(256)] {
        let mut identity = identity(Mode::Cards);
        wrong.clone_into(&mut identity.name);
        let refused = App::create(&folder.path().join("issuer"), &identity, Clock::System).await;
        assert!(matches!(refused.map(|_| ()), Err(Error::Name)), "{wrong}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
