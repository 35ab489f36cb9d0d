//! From nobody to somebody with an alias, a roster, and slots to choose from.

use std::collections::{BTreeMap, BTreeSet};

use api::{google::r#type::Date, v1};
use calendar::{
    Roster, Rules, Shift, ShiftKind, ShiftRules, Span, Unavailable, WorkerRefusal, Zone, unavailable,
};
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, Utc, Weekday};
use client::{Client, Secret, request_id};

use super::booking::refusal;
use super::screen::{BOLD, both_times, count, time};
use super::{Broken, HOME, Stage, there, week};

/// What a tired person types: German, with a typing error.
pub(super) const TYPED: &str = "ich kann nich mehr";

/// The hospital in the roster file, which nobody may find in the database.
pub(super) const PLACE: &str = "St Alban Hospital, Ward 7";

/// The nurse's device.
pub(super) struct Nurse {
    pub(super) secret: Secret,
    pub(super) id: String,
    pub(super) handle: String,
    pub(super) client: Client,
}

/// The week that the story is about.
pub(super) struct Week {
    monday: NaiveDate,
    /// From the first midnight to the last, on the nurse's clock.
    span: Span,
    pub(super) shifts: Vec<Shift>,
    unavailable: Vec<Unavailable>,
}

/// One start that can be held.
pub(super) struct Slot {
    pub(super) therapist_id: String,
    /// The therapist's name.
    therapist: String,
    session_type_id: String,
    session: Span,
    /// The therapist's.
    zone: Zone,
    reasons: Vec<v1::MatchReason>,
}

impl Slot {
    pub(super) fn read(hit: v1::SlotHit, rules: &Rules) -> Option<Self> {
        let v1::SlotHit { slot, therapist_display_name, modalities: _, reasons, warnings: _ } = hit;
        let v1::Slot { therapist_id, session_type_id, session, time_zone } = slot?;
        let (session, zone) = (span(session.as_ref())?, rules.zone(&time_zone)?);
        Some(Self {
            therapist_id,
            therapist: therapist_display_name,
            session_type_id,
            session,
            zone,
            reasons,
        })
    }

    pub(super) fn start(&self) -> DateTime<Utc> {
        self.session.start()
    }

    /// When, on both clocks, and with whom.
    pub(super) fn in_words(&self, home: &Zone) -> String {
        format!("{} with {}", both_times(home, &self.zone, self.start()), self.therapist)
    }

    /// What it takes to hold it.
    pub(super) fn hold_request(&self) -> v1::HoldSlotRequest {
        v1::HoldSlotRequest {
            request_id: request_id(),
            therapist_id: self.therapist_id.clone(),
            session_type_id: self.session_type_id.clone(),
            start_time: Some(timestamp(self.start())),
            modality: v1::Modality::Video.into(),
            roster_use: None,
        }
    }
}

pub(super) async fn directory(stage: &mut Stage) -> Result<(), Broken> {
    let device = stage.device().await?;
    stage.screen.step("The directory");
    let mut everybody = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::SearchTherapistsRequest { page_size: 100, page_token, ..Default::default() };
        let page = device.directory().search_therapists(request).await?.into_inner();
        everybody.extend(page.hits.into_iter().filter_map(|hit| hit.therapist));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let zones: BTreeSet<_> = everybody.iter().map(|therapist| &therapist.time_zone).collect();
    let languages: BTreeSet<_> = everybody.iter().flat_map(|therapist| &therapist.languages).collect();
    stage.screen.say(&format!(
        "{} made-up therapists with verified licences, in {} time zones, speaking {} languages. Anybody may look, \
         without signing in.",
        everybody.len(),
        zones.len(),
        languages.len(),
    ));
    stage.screen.same("the whole directory is found", &(super::THERAPISTS as usize), &everybody.len());

    let asked = v1::ListSpecializationsRequest { language_code: "en".to_owned(), query: TYPED.to_owned() };
    let meant = device.directory().list_specializations(asked).await?.into_inner().specializations;
    let first = there(meant.first(), "specialization like what was typed")?;
    stage.screen.say(&format!(
        "A nurse in London, after too many nights, types in her own language, and not quite right: \
         \"{TYPED}\". It is understood as: {BOLD}{}{BOLD:#}.",
        first.label
    ));
    stage.screen.same("it is understood as burnout", &"burnout", &first.slug.as_str());

    let filter = v1::TherapistFilter {
        specializations: vec![TYPED.to_owned()],
        languages: vec!["de".to_owned()],
        ..Default::default()
    };
    let request = v1::SearchTherapistsRequest {
        filter: Some(filter),
        page_size: 100,
        language_code: "en".to_owned(),
        ..Default::default()
    };
    let found = device.directory().search_therapists(request).await?.into_inner().hits;
    stage.screen.say(&format!("{} of them know it and speak German. The first three, and why:", found.len()));
    for hit in found.iter().take(3) {
        let name = hit.therapist.as_ref().map_or("", |therapist| &therapist.display_name);
        stage.screen.row(name, &in_words(&hit.reasons));
    }
    let reasoned = found.iter().all(|hit| !hit.reasons.is_empty());
    stage.screen.holds(
        "somebody is found, and nobody without a reason",
        reasoned && !found.is_empty(),
        found.len(),
    );
    Ok(())
}

pub(super) async fn alias(stage: &mut Stage) -> Result<Nurse, Broken> {
    stage.screen.step("An alias");
    let anybody = stage.device().await?;
    let secret = Secret::generate();
    stage.screen.say(
        "No name, no mail address, no staff number. Her phone draws a secret and shows it once, as twelve words to \
         write down. The server never gets them: only a public key made from them, and the proof of a moment's \
         work.",
    );
    let phrase = secret.to_phrase();
    let words: Vec<&str> = phrase.split(' ').collect();
    for four in words.chunks(4) {
        let four: Vec<String> = four.iter().map(|word| format!("{word:<11}")).collect();
        stage.screen.line(format_args!("    {BOLD}{}{BOLD:#}", four.join(" ").trim_end()));
    }
    let created = anybody.create_alias(&secret.login_key()).await?;
    stage.screen.say(&format!(
        "The server calls her {BOLD}{}{BOLD:#}, a name that nobody else sees.",
        created.handle
    ));

    let again = there(Secret::parse(&phrase).ok(), "secret in the twelve words")?;
    let client = anybody.login(again.login_key()).await?;
    let read = client.alias().get_alias(v1::GetAliasRequest {}).await?.into_inner().alias;
    let read = there(read, "alias")?;
    stage.screen.same("the twelve words, typed on another phone, open the same alias", &created.id, &read.id);
    let settings = v1::AliasSettings { time_zone: HOME.to_owned(), ..read.settings.unwrap_or_default() };
    let request = v1::UpdateAliasRequest {
        request_id: request_id(),
        settings: Some(settings),
        update_mask: Some(prost_types::FieldMask { paths: vec!["time_zone".to_owned()] }),
    };
    client.alias().update_alias(request).await?;
    Ok(Nurse { secret, id: created.id, handle: created.handle, client })
}

pub(super) async fn roster(stage: &mut Stage, nurse: &Nurse) -> Result<Week, Broken> {
    stage.screen.step("A roster with a week of nights");
    let home = stage.home();
    let monday = monday(&home, stage.app.clock.now());
    let sunday = monday + Days::new(6);
    let file = calendar_file(monday);
    stage.screen.say(
        "Her hospital gives rosters out as an iCalendar file: four nights and a Sunday. She hands it over as it is; \
         titles, places and colleagues are dropped while it is read.",
    );
    let told = ["SUMMARY", "LOCATION", "DTSTART", "DTEND", "RRULE"];
    let night = file.lines().filter(|line| told.iter().any(|name| line.starts_with(name))).take(5);
    stage.screen.quote(&night.collect::<Vec<_>>().join("\n"));
    let request = v1::ImportRosterRequest {
        request_id: request_id(),
        source: Some(v1::import_roster_request::Source::Icalendar(file.into_bytes())),
        time_zone: HOME.to_owned(),
        publish_date: Some(date(sunday)),
        on_call: false,
    };
    let understood = nurse.client.roster().import_roster(request).await?.into_inner();
    let shifts = format!("{} shifts, {} of them nights", understood.shift_count, understood.night_count);
    stage.screen.same("the file is understood", &"5 shifts, 4 of them nights".to_owned(), &shifts);

    let kept = nurse.client.roster().get_roster(v1::GetRosterRequest {}).await?.into_inner().roster;
    let kept = there(kept, "roster")?;
    let shifts: Vec<Shift> = kept.shifts.iter().filter_map(self::shift).collect();
    let span = there(
        Span::new(midnight(&home, monday), midnight(&home, sunday + Days::new(1))),
        "week of seven days",
    )?;
    let roster = Roster::new(&home, shifts.clone(), Some(sunday), stage.app.clock.now()).ok();
    let roster = there(roster, "roster in what was kept")?;
    let unavailable = unavailable(&roster, &ShiftRules::default(), &home, span, false);
    stage.screen.say("What it leaves her, with the way, rest before and sleep after a night:");
    for line in week::draw(&home, monday, &unavailable, &[]) {
        stage.screen.line(line);
    }
    Ok(Week { monday, span, shifts, unavailable })
}

pub(super) async fn slots(stage: &mut Stage, nurse: &Nurse, week: &Week) -> Result<Vec<Slot>, Broken> {
    stage.screen.step("Slots that fit around it");
    let home = stage.home();
    let rules = stage.app.rules.clone();
    let (offered, removals) = search(&rules, nurse, week, v1::RosterUse::default()).await?;
    stage.screen.say(&format!(
        "Asked for: burnout, German, by video, in that week. {} with {}. The first of each day, and why. In brackets is \
         the therapist's own clock: who is offered in the middle of the night works nights, or where it is day:",
        count(offered.len(), "slot", "slots"),
        count(
            offered.iter().map(|slot| &slot.therapist_id).collect::<BTreeSet<_>>().len(),
            "therapist",
            "therapists"
        ),
    ));
    let (mut day, mut why) = (None, String::new());
    for slot in &offered {
        let date = home.local(slot.start()).date();
        if day.replace(date) == Some(date) {
            continue;
        }
        let (at, minutes) =
            (both_times(&home, &slot.zone, slot.start()), slot.session.duration().num_minutes());
        stage.screen.line(format_args!("{BOLD}{at:<48}{BOLD:#} {}, {minutes} min", slot.therapist));
        let words = in_words(&slot.reasons);
        if words != why {
            stage.screen.detail(&words);
            why = words;
        }
    }
    let starts: Vec<_> = offered.iter().map(Slot::start).collect();
    for line in week::draw(&home, week.monday, &week.unavailable, &starts) {
        stage.screen.line(line);
    }
    let taken_by = |slot: &Slot| week::taken_by(&week.unavailable, slot.session);
    let wrong = offered.iter().filter(|slot| taken_by(slot).is_some()).count();
    stage.screen.holds("something is offered", !offered.is_empty(), "nothing");
    stage.screen.same("no slot lies in a shift, on the way, in the rest or in the sleep", &0, &wrong);

    stage.screen.say(
        "What stood in the way, in hours of therapists who had time, and of the therapists who have other gifts:",
    );
    for (constraint, removed) in &removals {
        let (what, one, many) = constraint_in_words(*constraint);
        stage.screen.row(&count(*removed, one, many), what);
    }
    let all = v1::RosterUse { ignore_shifts: true, beyond_published: true, ..Default::default() };
    let (without_roster, _) = search(&rules, nurse, week, all).await?;
    let by_roster = without_roster.iter().filter(|slot| taken_by(slot).is_some()).count();
    stage.screen.same(
        "with what the roster took, that is every slot of somebody without a roster",
        &without_roster.len(),
        &(offered.len() + by_roster),
    );

    stage.screen.say("Three starts that are not offered; whoever asks for one all the same is told why:");
    for wanted in [WorkerRefusal::Shift, WorkerRefusal::Sleep, WorkerRefusal::Rest] {
        let slot = without_roster.iter().find(|slot| taken_by(slot) == Some(wanted));
        let slot = there(slot, "start that the roster takes")?;
        let refused = refusal(nurse.client.bookings().hold_slot(slot.hold_request()).await);
        let (reason, why) = match wanted {
            WorkerRefusal::Shift => ("COLLIDES_WITH_SHIFT", "she is on shift"),
            WorkerRefusal::Sleep => ("COLLIDES_WITH_SLEEP", "she sleeps after a night"),
            _ => ("COLLIDES_WITH_REST", "she is about to leave for a shift"),
        };
        let claim = format!("{} with {}: {reason}, {why}", time(&home, slot.start()), slot.therapist);
        stage.screen.same(&claim, &reason, &refused.as_str());
    }
    Ok(offered)
}

/// The contract's span as the calendar's.
pub(super) fn span(span: Option<&v1::Span>) -> Option<Span> {
    let v1::Span { start_time, end_time } = span?;
    Span::new(instant(start_time.as_ref())?, instant(end_time.as_ref())?)
}

/// The contract's instant as chrono's.
pub(super) fn instant(at: Option<&prost_types::Timestamp>) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(at?.seconds, 0)
}

/// Chrono's instant as the contract's.
pub(super) fn timestamp(at: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.timestamp(), nanos: 0 }
}

/// Burnout, in German, by video, in that week.
pub(super) fn question(week: &Week, roster_use: v1::RosterUse, page_size: i32) -> v1::SearchSlotsRequest {
    v1::SearchSlotsRequest {
        filter: Some(v1::TherapistFilter {
            specializations: vec![TYPED.to_owned()],
            languages: vec!["de".to_owned()],
            modalities: vec![v1::Modality::Video.into()],
            ..Default::default()
        }),
        window: Some(v1::Span {
            start_time: Some(timestamp(week.span.start())),
            end_time: Some(timestamp(week.span.end())),
        }),
        roster_use: Some(roster_use),
        page_size,
        language_code: "en".to_owned(),
        ..Default::default()
    }
}

type Removals = BTreeMap<v1::Constraint, usize>;

async fn search(
    rules: &Rules,
    nurse: &Nurse,
    week: &Week,
    roster_use: v1::RosterUse,
) -> Result<(Vec<Slot>, Removals), Broken> {
    let (mut slots, mut removals) = (Vec::new(), Removals::new());
    let mut request = question(week, roster_use, 100);
    loop {
        let page = nurse.client.slots().search_slots(request.clone()).await?.into_inner();
        for hit in page.hits {
            slots.push(there(Slot::read(hit, rules), "span or known zone in a slot")?);
        }
        for removal in &page.removals {
            let count = usize::try_from(removal.count).unwrap_or_default();
            let sum = removals.entry(removal.constraint()).or_default();
            // Therapists are left out of every page, hours of one.
            *sum = if is_of_therapists(removal.constraint()) { count } else { *sum + count };
        }
        if page.next_page_token.is_empty() {
            return Ok((slots, removals));
        }
        request.page_token = page.next_page_token;
    }
}

fn in_words(reasons: &[v1::MatchReason]) -> String {
    let words = reasons.iter().map(|reason| {
        let v1::MatchReason { criterion: _, value, label, asked: _ } = reason;
        let label = if label.is_empty() { value } else { label };
        match reason.criterion() {
            v1::Criterion::Specialization => format!("knows {}", label.to_lowercase()),
            v1::Criterion::Language => format!("speaks {label}"),
            v1::Criterion::Modality => format!("by {}", label.to_lowercase()),
            v1::Criterion::Jurisdiction => format!("licensed in {label}"),
            v1::Criterion::Gender => format!("is {}", label.to_lowercase()),
            v1::Criterion::Therapist => "asked for".to_owned(),
            v1::Criterion::Opening => "has an opening".to_owned(),
            v1::Criterion::Roster => "fits between the shifts".to_owned(),
            v1::Criterion::Verified => "verified".to_owned(),
            v1::Criterion::Query => format!("says {label}"),
            v1::Criterion::Continuity => "known to her".to_owned(),
            v1::Criterion::Load => "has openings".to_owned(),
            v1::Criterion::Approach => format!("works by {label}"),
            v1::Criterion::CulturalCompetence => format!("understands {label}"),
            v1::Criterion::Unspecified => label.clone(),
        }
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Why, and what is counted, as one and as many.
fn constraint_in_words(constraint: v1::Constraint) -> (&'static str, &'static str, &'static str) {
    use v1::Constraint as C;
    let why = match constraint {
        C::Unspecified => "for no reason",
        C::Shift => "she is on shift",
        C::Commute => "she is on the way to or from a shift",
        C::Rest => "she rests before a shift",
        C::Sleep => "she sleeps after a night",
        C::BeyondRoster => "her roster is not published so far",
        C::OwnBooking => "she has another session",
        C::Notice => "too soon for the therapist",
        C::Horizon => "later than the therapist plans",
        C::Specialization => "know other things than burnout",
        C::Language => "do not speak German",
        C::Modality => "do not offer video",
        C::Jurisdiction => "are not licensed there",
        C::Gender => "are of another gender",
        C::Duration => "have no session of that length",
        C::Query => "say other things",
        C::Approach => "work by other approaches",
        C::CulturalCompetence => "have other competences",
        C::Exclusion => "work where she must not meet anybody",
        C::TimeOfDay => "she asks for other times of day",
        C::Break => "it does not fit into a break",
    };
    if is_of_therapists(constraint) { (why, "therapist", "therapists") } else { (why, "hour", "hours") }
}

/// Whether the filter removes by it, not the calendar.
fn is_of_therapists(constraint: v1::Constraint) -> bool {
    use v1::Constraint as C;
    matches!(
        constraint,
        C::Specialization
            | C::Language
            | C::Modality
            | C::Jurisdiction
            | C::Gender
            | C::Duration
            | C::Query
            | C::Approach
            | C::CulturalCompetence
            | C::Exclusion
    )
}

fn shift(shift: &v1::Shift) -> Option<Shift> {
    let kind = match shift.kind() {
        v1::ShiftKind::Unspecified | v1::ShiftKind::Day => ShiftKind::Day,
        v1::ShiftKind::Evening => ShiftKind::Evening,
        v1::ShiftKind::Night => ShiftKind::Night,
        v1::ShiftKind::OnCall => ShiftKind::OnCall,
    };
    Some(Shift { span: span(shift.span.as_ref())?, kind })
}

/// The first Monday that leaves time for a reminder a day ahead.
fn monday(home: &Zone, now: DateTime<Utc>) -> NaiveDate {
    let mut date = home.local(now).date() + Days::new(2);
    while date.weekday() != Weekday::Mon {
        date = date + Days::new(1);
    }
    date
}

fn midnight(zone: &Zone, date: NaiveDate) -> DateTime<Utc> {
    zone.resolve_start(date.and_time(NaiveTime::MIN))
}

/// Chrono's date as the contract's.
pub(super) fn date(date: NaiveDate) -> Date {
    Date { year: date.year(), month: date.month().cast_signed(), day: date.day().cast_signed() }
}

/// Four nights from Monday on and a Sunday, as a hospital's planning would write them.
fn calendar_file(monday: NaiveDate) -> String {
    let day = |days: u64| (monday + Days::new(days)).format("%Y%m%d");
    let event = |uid: &str, title: &str, start: String, end: String, rule: &str| {
        format!(
            "BEGIN:VEVENT\r\nUID:{uid}@planning.example\r\nDTSTAMP:{}T000000Z\r\nSUMMARY:{title}\r\nLOCATION:{PLACE}\r\n\
             DTSTART;TZID={HOME}:{start}\r\nDTEND;TZID={HOME}:{end}\r\n{rule}END:VEVENT\r\n",
            day(0)
        )
    };
    let nights = event(
        "nights",
        "Night duty",
        format!("{}T203000", day(0)),
        format!("{}T073000", day(1)),
        "RRULE:FREQ=DAILY;COUNT=4\r\n",
    );
    let sunday = event("sunday", "Day duty", format!("{}T073000", day(6)), format!("{}T153000", day(6)), "");
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//planning//EN\r\n{nights}{sunday}END:VCALENDAR\r\n")
}
