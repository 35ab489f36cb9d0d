//! Everything that each party can see of one session that a hospital paid for.

use std::collections::{BTreeMap, BTreeSet};

use api::v1;
use chrono::TimeDelta;
use data_encoding::HEXLOWER_PERMISSIVE;
use prost::Message;
use sea_orm::{Database, DatabaseConnection};

use super::finding::{instant, span};
use super::hospital::{self, Hospital, NAME, Visit, WORKERS};
use super::inside::{self, Files, Row};
use super::screen::{BOLD, count, time};
use super::{Broken, Stage, there};

pub(super) async fn show(stage: &mut Stage, hospital: &Hospital, visit: &Visit) -> Result<(), Broken> {
    stage.screen.step("Everything that each of them can see");
    let issuer = Side::of_hospital(hospital).await?;
    let respite = Side::of_respite(stage).await?;
    of_hospital(stage, hospital, visit, &issuer, &respite).await?;
    of_operator(stage, hospital, visit, &issuer, &respite).await?;
    of_therapist(stage, hospital, visit).await?;
    of_thief(stage, &issuer, &respite);
    of_colleague(stage, visit).await?;
    issuer.db.close().await?;
    Ok(())
}

/// What one of the two has stored.
struct Side {
    db: DatabaseConnection,
    /// By `table.column`.
    values: Values,
    files: Files,
}

type Values = BTreeMap<String, BTreeSet<Vec<u8>>>;

impl Side {
    async fn of_hospital(hospital: &Hospital) -> Result<Self, Broken> {
        let audit = hospital.run(&["audit"]).await?;
        std::fs::write(hospital.folder.join("audit.txt"), audit)?;
        let database = hospital.folder.join("issuer/issuer.db");
        let db = Database::connect(format!("sqlite://{}?mode=ro", database.display())).await?;
        let mut paths = Vec::new();
        for folder in ["issuer", "issuer/keys", ""] {
            for entry in std::fs::read_dir(hospital.folder.join(folder))? {
                paths.push(entry?.path());
            }
        }
        paths.retain(|path| path.is_file());
        paths.sort();
        let files = Files::read_all(paths)?;
        Ok(Self { values: inside::values(&db).await?, db, files })
    }

    async fn of_respite(stage: &Stage) -> Result<Self, Broken> {
        let db = stage.app.db.read().clone();
        let files = Files::read(&stage.folder.join("respite.db"))?;
        Ok(Self { values: inside::values(&db).await?, db, files })
    }

    fn values(&self, column: &str) -> BTreeSet<Vec<u8>> {
        self.values.get(column).cloned().unwrap_or_default()
    }
}

async fn of_hospital(
    stage: &mut Stage,
    hospital: &Hospital,
    visit: &Visit,
    issuer: &Side,
    respite: &Side,
) -> Result<(), Broken> {
    stage.screen.part("The hospital");
    stage.screen.say(
        "Its database, whose first rows these are. It knows whom it gave a card, if it watched the box. Every card \
         has fetched:",
    );
    for table in ["issuer", "period", "code", "issuance", "worker", "audit"] {
        rows(stage, issuer, table).await?;
    }
    stage.screen.say("All that its program logged, and what it wrote down of its staff:");
    for file in ["issuer.log", "audit.txt"] {
        let text = std::fs::read_to_string(hospital.folder.join(file))?;
        // What is indented are the hashes by which the log of the staff holds together.
        text.lines().filter(|line| !line.starts_with(' ')).for_each(|line| stage.screen.detail(line));
    }

    let about_workers = issuer.values.iter().filter(|(column, _)| {
        ["code.", "issuance.", "worker.", "scim_user."].iter().any(|table| column.starts_with(table))
    });
    let telling: Vec<&str> = about_workers
        .filter(|(_, values)| values.len() > 1 && values.iter().any(|value| value.len() != 32))
        .map(|(column, _)| column.as_str())
        .collect();
    stage.screen.holds(
        "about workers it keeps hashes, and else what is the same for all: no time, no place",
        telling.is_empty(),
        telling.join(", "),
    );
    stage.screen.same("all sixty have fetched, so that fetching tells nothing", &WORKERS, &fetched(issuer));
    stage.screen.holds(
        "when one of them booked, no byte of it changed",
        visit.issuer_before == visit.issuer_after,
        "another database",
    );
    let booked: BTreeSet<Vec<u8>> = [&visit.booking.id, &visit.booking.therapist_id, &visit.nurse.id]
        .into_iter()
        .flat_map(|id| [uuid(id), id.clone().into_bytes()])
        .chain([
            visit.nurse.handle.clone().into_bytes(),
            visit.nurse.secret.login_key().verifying_key().to_bytes().to_vec(),
        ])
        .collect();
    // What chance made of a pass: its nonce, its signature, and what Respite keeps of them.
    let pass = [visit.pass[2..34].to_vec(), visit.pass[98..].to_vec()];
    let spent: BTreeSet<Vec<u8>> = pass.into_iter().chain(respite.values("spent_pass.nullifier")).collect();
    stage
        .screen
        .say(&format!("Now what it has on disk, {}, searched as in step 9:", issuer.files.names.join(", ")));
    stage.screen.same(
        "not found: the pass that was spent, or what Respite keeps of it",
        &0,
        &issuer.files.count(&spent),
    );
    stage.screen.same("not found: the booking, the therapist, the alias", &0, &issuer.files.count(&booked));
    let key = respite.values("spent_pass.key_id");
    stage.screen.same(
        "found by the same search: the key that signed it, as all of them",
        &1,
        &issuer.files.count(&key),
    );
    Ok(())
}

async fn of_operator(
    stage: &mut Stage,
    hospital: &Hospital,
    visit: &Visit,
    issuer: &Side,
    respite: &Side,
) -> Result<(), Broken> {
    stage.screen.part("Respite's operator");
    stage.screen.say("The rows that say something of the hospital, of passes, and of her session:");
    for table in ["programme", "key_log", "spent_pass", "credit"] {
        rows(stage, respite, table).await?;
    }
    stage.screen.line(format_args!("{BOLD}booking{BOLD:#}, hers"));
    detail(stage, &inside::booking(&respite.db, &visit.booking.id).await?);
    stage.screen.line(format_args!("{BOLD}booking_event{BOLD:#}, hers, of booking"));
    detail(stage, &inside::booked(&respite.db, &visit.booking.id).await?);
    stage.screen.say("So it is known when somebody booked. When who fetched passes, neither side has:");
    let spent: Vec<&str> =
        respite.values.keys().filter_map(|column| column.strip_prefix("spent_pass.")).collect();
    stage.screen.same(
        "of a spent pass it keeps a hash and the key, and neither when nor for what",
        &"key_id, nullifier".to_owned(),
        &spent.join(", "),
    );
    let nullifiers = respite.values("spent_pass.nullifier");
    let elsewhere: Vec<&str> = respite
        .values
        .iter()
        .filter(|(column, values)| *column != "spent_pass.nullifier" && !values.is_disjoint(&nullifiers))
        .map(|(column, _)| column.as_str())
        .collect();
    stage.screen.holds("that hash is in no other table", elsewhere.is_empty(), elsewhere.join(", "));
    let cards = hospital.codes.iter().flat_map(|code| {
        [code.clone().into_bytes(), code.replace(|letter: char| !letter.is_alphanumeric(), "").into_bytes()]
    });
    let cards: BTreeSet<Vec<u8>> = cards
        .chain(issuer.values("code.code"))
        .chain(issuer.values("issuance.holder"))
        .chain(issuer.values("issuance.batch"))
        .collect();
    stage.screen.same(
        &format!("not found: any of the hospital's {} codes, hashes and batches", cards.len()),
        &0,
        &respite.files.count(&cards),
    );
    stage.screen.same(
        "found by the same search: the name of the programme",
        &1,
        &respite.files.count(&[NAME.as_bytes().to_vec()].into()),
    );
    Ok(())
}

async fn of_therapist(stage: &mut Stage, hospital: &Hospital, visit: &Visit) -> Result<(), Broken> {
    stage.screen.part(&format!("The therapist, {}", visit.booking.therapist_display_name));
    let entry = hospital::agenda(stage, visit).await?;
    let zone = there(stage.app.rules.zone(&entry.time_zone), "zone")?;
    let at = there(span(entry.session.as_ref()), "session in the agenda")?.start();
    stage.screen.row("when", &time(&zone, at));
    stage.screen.row("who", &entry.handle);
    let bytes = entry.encode_to_vec();
    let told = [hospital.programme.id.as_bytes(), &uuid(&hospital.programme.id), NAME.as_bytes()]
        .iter()
        .filter(|name| bytes.windows(name.len()).any(|window| window == **name))
        .count();
    stage.screen.same("nothing in the answer says that a hospital pays, or which", &0, &told);
    stage.screen.holds(
        "and the name is one that the worker bears here alone",
        !entry.handle.is_empty() && entry.handle != visit.nurse.handle,
        &entry.handle,
    );
    Ok(())
}

/// How many have fetched: a batch is zeros until then.
fn fetched(issuer: &Side) -> usize {
    issuer.values("issuance.batch").iter().filter(|batch| batch.iter().any(|byte| *byte != 0)).count()
}

/// With the hospital's secret, the thief can tell each card's row: all sixty have one.
fn of_thief(stage: &mut Stage, issuer: &Side, respite: &Side) {
    stage.screen.part("A thief of both databases, with the hospital's secret and its key");
    stage.screen.say("Every value of the hospital's, searched for in Respite's files. What is in both:");
    let shared: Vec<(&String, &BTreeSet<Vec<u8>>)> = issuer
        .values
        .iter()
        .filter(|(_, values)| {
            let long = values.iter().filter(|value| value.len() >= 8).cloned().collect();
            respite.files.count(&long) > 0
        })
        .collect();
    for (column, values) in &shared {
        stage.screen.row(column, &count(values.len(), "value", "values"));
    }
    let joining: Vec<&str> =
        shared.iter().filter(|(_, values)| values.len() > 1).map(|(column, _)| column.as_str()).collect();
    stage.screen.holds(
        "no more than the programme and its key: whatever differs among workers is in one of them alone",
        joining.is_empty() && !shared.is_empty(),
        joining.join(", "),
    );
    let signed = issuer.values("period.key_id") == respite.values("spent_pass.key_id");
    let candidates = if signed { fetched(issuer) } else { 0 };
    stage.screen.same(
        "so whoever got passes of that key may have booked, and these are all sixty",
        &WORKERS,
        &candidates,
    );
}

async fn of_colleague(stage: &mut Stage, visit: &Visit) -> Result<(), Broken> {
    stage.screen.part("A colleague who sees the phone on the table");
    let session = there(span(visit.booking.session.as_ref()), "session in the booking")?;
    let letters = stage.outbox.letters().len();
    stage.move_clock(session.start() - TimeDelta::hours(23), "less than a day to go");
    services::reminders::deliver_due(&stage.app).await?;
    let due = visit.nurse.client.due_reminders(stage.app.clock.now().timestamp()).await?;
    let hers = there(due.iter().find(|reminder| reminder.booking_id == visit.booking.id), "reminder")?;
    stage
        .screen
        .say("She gave no address. Her phone asks by itself what is due, is told this, and shows one line:");
    let v1::Reminder { booking_id, due_time, state: _ } = hers;
    let due = there(instant(due_time.as_ref()), "time of the reminder")?;
    stage.screen.row("what it is told", &format!("{booking_id}, {}", time(&stage.home(), due)));
    stage.screen.quote("There is something to see.");
    let bytes = hers.encode_to_vec();
    let telling = visit.booking.therapist_display_name.split(' ').chain(NAME.split(' '));
    let telling: Vec<&str> =
        telling.filter(|word| bytes.windows(word.len()).any(|window| window == word.as_bytes())).collect();
    stage.screen.holds(
        "the answer names neither the therapist nor the hospital, so the line cannot",
        telling.is_empty(),
        telling.join(", "),
    );
    stage.screen.same("and no letter was sent to anybody", &letters, &stage.outbox.letters().len());
    stage.screen.say("Whoever has the phone unlocked in their hands sees all that she sees.");
    Ok(())
}

/// The table's first row, and how many more there are.
async fn rows(stage: &mut Stage, side: &Side, table: &str) -> Result<(), Broken> {
    let (number, first) = inside::sample(&side.db, table).await?;
    stage.screen.line(format_args!("{BOLD}{table}{BOLD:#}, {}", count(number, "row", "rows")));
    if number > 0 {
        detail(stage, &first);
    }
    Ok(())
}

fn detail(stage: &mut Stage, row: &Row) {
    let columns = row.iter().map(|(name, value)| format!("{name}: {value}"));
    stage.screen.detail(&columns.collect::<Vec<_>>().join(" · "));
}

/// A UUID as SQLite keeps it.
fn uuid(id: &str) -> Vec<u8> {
    HEXLOWER_PERMISSIVE.decode(id.replace('-', "").as_bytes()).unwrap_or_default()
}
