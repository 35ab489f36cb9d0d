//! What the database knows about the nurse, and what is left when she goes.

use api::v1;

use super::booking::{Booked, EMAIL, agenda_entry, as_therapist};
use super::finding::{Nurse, PLACE, Week, instant};
use super::inside::{self, Files, Marks};
use super::screen::{BOLD, count};
use super::{Broken, Stage, there};

/// What must be gone after she has gone.
pub(super) struct Traces {
    wrapped_key: Vec<u8>,
}

pub(super) async fn show(
    stage: &mut Stage,
    nurse: &Nurse,
    week: &Week,
    booked: &Booked,
) -> Result<Traces, Broken> {
    stage.screen.step("What the database knows about her");
    let db = stage.app.db.clone();
    let tables = inside::tables(db.read(), &marks(nurse)).await?;
    stage
        .screen
        .say("Every table that says something about her, with one of its rows as a thief would read it:");
    for table in tables.iter().filter(|table| table.hers > 0) {
        stage.screen.line(format_args!(
            "{BOLD}{}{BOLD:#}, {} of {} hers",
            table.name,
            table.hers,
            count(table.rows, "row", "rows")
        ));
        let columns = table.columns.iter().map(|(name, value)| format!("{name}: {value}"));
        stage.screen.detail(&columns.collect::<Vec<_>>().join(" · "));
    }
    let nothing: Vec<&str> =
        tables.iter().filter(|table| table.hers == 0).map(|table| table.name.as_str()).collect();
    stage.screen.say(&format!(
        "Neither her id nor her public key nor her handle is in any column of {}.",
        nothing.join(", ")
    ));

    let files = Files::read(&stage.folder.join("respite.db"))?;
    stage.screen.say(&format!(
        "Now the files themselves, {} with {} bytes, searched for what must not be in them: as it is, in \
         hexadecimal and in base64, and for times as the numbers that SQLite keeps.",
        files.names.join(", "),
        files.bytes
    ));
    let phrase = nurse.secret.to_phrase();
    let words: Vec<&str> = phrase.split(' ').collect();
    let in_sequence: Vec<String> = words.windows(2).map(|pair| pair.join(" ")).collect();
    let times: Vec<_> = week.shifts.iter().flat_map(|shift| [shift.span.start(), shift.span.end()]).collect();
    let written = times.iter().flat_map(|at| {
        [
            at.timestamp().to_string(),
            at.format("%Y%m%dT%H%M%S").to_string(),
            at.format("%Y-%m-%dT%H:%M:%S").to_string(),
        ]
    });
    let local = EMAIL.split('@').next().unwrap_or(EMAIL);
    for (what, canaries) in [
        ("her mail address, or the part before the @", vec![EMAIL.to_owned(), local.to_owned()]),
        ("any two words of her phrase in sequence", in_sequence),
        ("any start or end of her shifts, in digits", written.collect()),
        ("the hospital's name", vec![PLACE.to_owned(), "St Alban".to_owned()]),
    ] {
        let found = canaries.iter().filter(|canary| files.hold(canary.as_bytes())).count();
        stage.screen.holds(
            &format!("not found: {what}"),
            found == 0,
            format_args!("{found} of {}", canaries.len()),
        );
    }
    let found = times.iter().filter(|at| files.hold_number(**at)).count();
    stage.screen.holds(
        "not found: any start or end of her shifts, as a number",
        found == 0,
        format_args!("{found} of {}", times.len()),
    );
    let booked_at =
        there(instant(booked.first.session.as_ref().and_then(|span| span.start_time.as_ref())), "time")?;
    stage.screen.holds(
        "found by the same search: when her session starts, which the database must know",
        files.hold_number(booked_at),
        "nothing",
    );
    let seed = nurse.secret.login_key().to_bytes();
    stage.screen.holds("not found: the key she signs in with", !files.hold(&seed), "the key");
    stage.screen.holds(
        "found by the same search: her therapist's public name, so the search can find",
        files.hold(booked.first.therapist_display_name.as_bytes()),
        "nothing",
    );
    let wrapped_key = inside::wrapped_key(db.read(), &nurse.id).await?;
    stage.screen.holds("and her wrapped key, for now", files.hold(&wrapped_key), "nothing");
    Ok(Traces { wrapped_key })
}

/// By what the database could know her.
fn marks(nurse: &Nurse) -> Marks {
    Marks {
        id: nurse.id.clone(),
        public_key: nurse.secret.login_key().verifying_key().to_bytes().to_vec(),
        handle: nurse.handle.clone(),
    }
}

pub(super) async fn erase(
    stage: &mut Stage,
    nurse: &Nurse,
    booked: &Booked,
    traces: &Traces,
) -> Result<(), Broken> {
    stage.screen.step("She goes");
    stage.move_clock(booked.session()?.end(), "the session is over, and another is to come");
    let erased = nurse.client.alias().erase_alias(v1::EraseAliasRequest {}).await?.into_inner();
    stage.screen.say("One call, no questions. The key to everything sealed goes first.");
    stage.screen.same("the session to come is cancelled", &1, &erased.cancelled_bookings);

    let db = stage.app.db.clone();
    let tables = inside::tables(db.read(), &marks(nurse)).await?;
    let left: Vec<&str> =
        tables.iter().filter(|table| table.hers > 0).map(|table| table.name.as_str()).collect();
    stage.screen.holds(
        "neither her id nor her public key nor her handle is in any column of any table",
        left.is_empty(),
        left.join(", "),
    );
    let signed_in = stage.device().await?.login(nurse.secret.login_key()).await;
    let refused = signed_in.err().and_then(|error| error.refusal().map(|refusal| refusal.reason.clone()));
    let refused = refused.unwrap_or_default();
    stage.screen.same("her twelve words open nothing", &"LOGIN_REFUSED", &refused.as_str());

    let row = inside::booking(db.read(), &booked.first.id).await?;
    let row = row.iter().map(|(name, value)| format!("{name}: {value}"));
    stage.screen.say("What is left is time that was taken, by nobody:");
    stage.screen.detail(&row.collect::<Vec<_>>().join(" · "));
    let therapist = as_therapist(stage, &booked.first.therapist_id).await?;
    let entry = agenda_entry(stage, &therapist, &booked.first).await?;
    let handle = entry.map(|entry| entry.handle);
    stage.screen.holds(
        "the therapist's agenda keeps the hour, and no handle",
        handle.as_deref() == Some(""),
        handle.as_deref().unwrap_or("nothing"),
    );
    let files = Files::read(&stage.folder.join("respite.db"))?;
    stage.screen.holds(
        "her wrapped key is in no file any more: whatever copy of the sealed bytes there is stays sealed",
        !files.hold(&traces.wrapped_key),
        "the wrapped key, in a page that was freed and not written over",
    );
    Ok(())
}
