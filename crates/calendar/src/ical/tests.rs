use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::*;

const EVENT: &str = "DTSTART;TZID=Europe/Berlin:20260112T220000\nDTEND;TZID=Europe/Berlin:20260113T060000";

fn zone(name: &str) -> Zone {
    Rules::compiled_in().zone(name).unwrap()
}

fn span(text: &str) -> Span {
    let (start, end) = text.split_once(' ').unwrap();
    let at = |text: &str| format!("{text}:00Z").parse::<DateTime<Utc>>().unwrap();
    Span::new(at(start), at(end)).unwrap()
}

fn calendar(components: &str) -> String {
    format!("BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:test\n{components}\nEND:VCALENDAR\n").replace('\n', "\r\n")
}

fn event(properties: &str) -> String {
    format!("BEGIN:VEVENT\nUID:1\nDTSTAMP:20260101T000000Z\n{properties}\nEND:VEVENT")
}

fn import(file: &str, window: &str) -> Result<Vec<Shift>, IcalError> {
    shifts(file.as_bytes(), &zone("Europe/Berlin"), &Rules::compiled_in(), span(window), Options::default())
}

/// The shifts that a file with these events has in the window.
#[track_caller]
fn check(events: &[&str], window: &str, expected: &[&str]) {
    let events: Vec<String> = events.iter().map(|properties| event(properties)).collect();
    check_file(&calendar(&events.join("\n")), window, expected);
}

#[track_caller]
fn check_file(file: &str, window: &str, expected: &[&str]) {
    let found: Vec<Span> = import(file, window).unwrap().into_iter().map(|shift| shift.span).collect();
    assert_eq!(found, expected.iter().map(|text| span(text)).collect::<Vec<_>>());
}

#[track_caller]
fn check_refused(file: &str, error: IcalError) {
    assert_eq!(import(file, JANUARY), Err(error));
}

const JANUARY: &str = "2026-01-01T00:00 2026-02-01T00:00";

#[test]
fn s1_times_with_and_without_a_zone() {
    check(
        &["DTSTART:20260112T210000Z\nDTEND:20260113T050000Z"],
        JANUARY,
        &["2026-01-12T21:00 2026-01-13T05:00"],
    );
    check(
        &["DTSTART:20260112T220000\nDTEND:20260113T060000"],
        JANUARY,
        &["2026-01-12T21:00 2026-01-13T05:00"],
    );
    check(&[EVENT], JANUARY, &["2026-01-12T21:00 2026-01-13T05:00"]);
    check(
        &["DTSTART;TZID=America/New_York:20260112T190000\nDTEND;TZID=Europe/London:20260113T080000"],
        JANUARY,
        &["2026-01-13T00:00 2026-01-13T08:00"],
    );
}

#[test]
fn s1_durations() {
    check(&["DTSTART:20260112T220000Z\nDURATION:PT8H30M"], JANUARY, &["2026-01-12T22:00 2026-01-13T06:30"]);
    check(&["DTSTART:20260112T220000Z\nDURATION:P1D"], JANUARY, &["2026-01-12T22:00 2026-01-13T22:00"]);
    check(&["DTSTART:20260112T220000Z"], JANUARY, &[]);
    // A day is a day of the clock, and hours are hours.
    let spring = "2026-03-28T00:00 2026-03-30T00:00";
    check(&["DTSTART:20260328T200000\nDURATION:P1D"], spring, &["2026-03-28T19:00 2026-03-29T18:00"]);
    check(&["DTSTART:20260328T200000\nDURATION:PT24H"], spring, &["2026-03-28T19:00 2026-03-29T19:00"]);
}

#[test]
fn s1_a_whole_day_is_duty_unless_it_is_marked_free() {
    let day = "2026-01-11T23:00 2026-01-12T23:00";
    check(&["DTSTART;VALUE=DATE:20260112\nDTEND;VALUE=DATE:20260113"], JANUARY, &[day]);
    check(&["DTSTART;VALUE=DATE:20260112"], JANUARY, &[day]);
    check(&["DTSTART;VALUE=DATE:20260112\nDTEND;VALUE=DATE:20260112\nTRANSP:OPAQUE"], JANUARY, &[day]);
    check(&["DTSTART;VALUE=DATE:20260112\nTRANSP:TRANSPARENT"], JANUARY, &[]);
    check(&[&format!("{EVENT}\nTRANSP:TRANSPARENT")], JANUARY, &["2026-01-12T21:00 2026-01-13T05:00"]);
    check(&["DTSTART;VALUE=DATE:20260112\nDTEND;VALUE=DATE:20260126"], JANUARY, &[]);
}

#[test]
fn s1_only_the_window_counts_and_what_is_cancelled_does_not() {
    check(&[EVENT], "2026-01-13T05:00 2026-02-01T00:00", &[]);
    check(&[EVENT], "2026-01-13T04:59 2026-02-01T00:00", &["2026-01-12T21:00 2026-01-13T05:00"]);
    check(&[&format!("{EVENT}\nSTATUS:CANCELLED")], JANUARY, &[]);
    check(
        &["DTSTART:20100112T220000\nDTEND:20100113T060000", EVENT],
        JANUARY,
        &["2026-01-12T21:00 2026-01-13T05:00"],
    );
}

#[test]
fn s1_the_kind_follows_from_the_times_or_from_the_worker() {
    let file = calendar(&event(EVENT));
    assert_eq!(import(&file, JANUARY).unwrap()[0].kind, ShiftKind::Night);
    let on_call = Options { on_call: true };
    let found =
        shifts(file.as_bytes(), &zone("Europe/Berlin"), &Rules::compiled_in(), span(JANUARY), on_call);
    assert_eq!(found.unwrap()[0].kind, ShiftKind::OnCall);
}

#[test]
fn s1_titles_places_and_people_are_not_even_parsed() {
    let told = "SUMMARY:Oncology night\nLOCATION;X=Y:Oncology\n , ward 7\nATTENDEE:mailto:oncology@example.com\n\
                DESCRIPTION:Oncology\nX-WARD:Oncology\nCATEGORIES:Oncology\nATTACH;ENCODING=BASE64:T25jb2xvZ3k=";
    let file = calendar(&event(&format!("{told}\n{EVENT}")));
    let kept = limits::times(file.as_bytes()).unwrap();
    assert!(!kept.contains("ncology") && !kept.contains("ward") && !kept.contains("T25"), "{kept}");
    check_file(&file, JANUARY, &["2026-01-12T21:00 2026-01-13T05:00"]);
}

/// A file whose VTIMEZONE says nonsense about the clock, so that only its name can be what is used.
fn named_zone(name: &str, more: &str) -> String {
    calendar(&format!(
        "BEGIN:VTIMEZONE\nTZID:{name}\n{more}BEGIN:STANDARD\nDTSTART:16010101T000000\nTZOFFSETFROM:+0700\n\
         TZOFFSETTO:+0700\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\nEND:STANDARD\nEND:VTIMEZONE\n{}",
        event(&format!("DTSTART;TZID=\"{name}\":20260112T220000\nDURATION:PT8H"))
    ))
}

#[test]
fn s1_zones_by_the_names_that_vendors_use() {
    let berlin = ["2026-01-12T21:00 2026-01-13T05:00"];
    check_file(&named_zone("W. Europe Standard Time", ""), JANUARY, &berlin);
    check_file(
        &named_zone("(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna", ""),
        JANUARY,
        &berlin,
    );
    check_file(&named_zone("/freeassociation.sourceforge.net/Europe/Berlin", ""), JANUARY, &berlin);
    check_file(&named_zone("/freeassociation.sourceforge.net/Tzfile/Europe/Berlin", ""), JANUARY, &berlin);
    check_file(&named_zone("/citadel.org/20210210_1/Europe/Berlin", ""), JANUARY, &berlin);
    check_file(&named_zone("Hospital", "X-LIC-LOCATION:Europe/Berlin\n"), JANUARY, &berlin);
    check_file(&named_zone("Customized Time Zone", "X-MICROSOFT-CDO-TZID:4\n"), JANUARY, &berlin);
    let new_york = ["2026-01-13T03:00 2026-01-13T11:00"];
    check_file(&named_zone("Eastern Standard Time", ""), JANUARY, &new_york);
    check_file(&named_zone("UTC", ""), JANUARY, &["2026-01-12T22:00 2026-01-13T06:00"]);
}

#[test]
fn s1_an_unknown_zone_is_refused_rather_than_guessed() {
    check_refused(&named_zone("Ward 7", ""), IcalError::UnknownZone { event: 1 });
    check_refused(&named_zone("(UTC+01:00) Ward 7", ""), IcalError::UnknownZone { event: 1 });
}

#[test]
fn t6_the_rules_of_a_zone_are_the_current_ones() {
    check(
        &["DTSTART;TZID=America/Vancouver:20261028T220000\nDTEND;TZID=America/Vancouver:20261029T060000\n\
           RRULE:FREQ=WEEKLY;COUNT=2"],
        "2026-10-01T00:00 2026-12-01T00:00",
        &["2026-10-29T05:00 2026-10-29T13:00", "2026-11-05T05:00 2026-11-05T13:00"],
    );
    check(
        &["DTSTART;TZID=Pacific Standard Time:20261105T220000\nDURATION:PT1H"],
        "2026-10-01T00:00 2026-12-01T00:00",
        &["2026-11-06T06:00 2026-11-06T07:00"],
    );
}

#[test]
fn s1_a_repeated_shift_keeps_its_times_when_the_clock_changes() {
    check(
        &["DTSTART:20260327T220000\nDTEND:20260328T060000\nRRULE:FREQ=DAILY;UNTIL=20260329T200000Z"],
        "2026-03-01T00:00 2026-04-01T00:00",
        &[
            "2026-03-27T21:00 2026-03-28T05:00",
            "2026-03-28T21:00 2026-03-29T04:00",
            "2026-03-29T20:00 2026-03-30T04:00",
        ],
    );
    check(
        &["DTSTART:20261023T023000\nDTEND:20261023T100000\nRRULE:FREQ=DAILY;COUNT=3"],
        "2026-10-01T00:00 2026-11-01T00:00",
        &[
            "2026-10-23T00:30 2026-10-23T08:00",
            "2026-10-24T00:30 2026-10-24T08:00",
            "2026-10-25T00:30 2026-10-25T09:00",
        ],
    );
}

#[test]
fn s1_until_is_inclusive_and_read_as_it_is_written() {
    let daily =
        |until: &str| format!("DTSTART:20260112T060000\nDURATION:PT1H\nRRULE:FREQ=DAILY;UNTIL={until}");
    let two = ["2026-01-12T05:00 2026-01-12T06:00", "2026-01-13T05:00 2026-01-13T06:00"];
    for until in ["20260113", "20260113T060000", "20260113T050000Z"] {
        check(&[&daily(until)], JANUARY, &two);
    }
    for until in ["20260113T055959", "20260113T045959Z", "20260112"] {
        check(&[&daily(until)], JANUARY, &two[..1]);
    }
}

#[test]
fn s1_exceptions_and_extra_dates() {
    let weekly = "DTSTART:20260105T060000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;COUNT=4";
    let shifts = [
        "2026-01-05T05:00 2026-01-05T06:00",
        "2026-01-12T05:00 2026-01-12T06:00",
        "2026-01-19T05:00 2026-01-19T06:00",
        "2026-01-26T05:00 2026-01-26T06:00",
    ];
    check(&[weekly], JANUARY, &shifts);
    for exception in [
        "EXDATE:20260119T060000,20260126T060000",
        "EXDATE:20260119T050000Z\nEXDATE;TZID=America/New_York:20260126T000000",
        "EXDATE;VALUE=DATE:20260119,20260126",
    ] {
        check(&[&format!("{weekly}\n{exception}")], JANUARY, &shifts[..2]);
    }
    let extra = "DTSTART:20260105T060000\nDURATION:PT1H\nRDATE:20260112T060000,20260112T060000\n\
                 RDATE;VALUE=PERIOD:20260119T050000Z/PT2H";
    check(&[extra], JANUARY, &[shifts[0], shifts[1], "2026-01-19T05:00 2026-01-19T07:00"]);
}

#[test]
fn s1_one_occurrence_moved_or_cancelled() {
    let weekly = "DTSTART:20260105T060000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;COUNT=3";
    let moved = "RECURRENCE-ID:20260112T060000\nDTSTART:20260114T060000\nDURATION:PT2H";
    let cancelled = "RECURRENCE-ID:20260119T050000Z\nSTATUS:CANCELLED";
    check(
        &[weekly, moved, cancelled],
        JANUARY,
        &["2026-01-05T05:00 2026-01-05T06:00", "2026-01-14T05:00 2026-01-14T07:00"],
    );
    let moved_again = "SEQUENCE:2\nRECURRENCE-ID:20260112T060000\nDTSTART:20260115T060000\nDURATION:PT2H";
    check(
        &[moved_again, weekly, moved],
        JANUARY,
        &[
            "2026-01-05T05:00 2026-01-05T06:00",
            "2026-01-15T05:00 2026-01-15T07:00",
            "2026-01-19T05:00 2026-01-19T06:00",
        ],
    );
    check(&[moved], JANUARY, &["2026-01-14T05:00 2026-01-14T07:00"]);
    let from_then_on = "RECURRENCE-ID;RANGE=THISANDFUTURE:20260112T060000\nDTSTART:20260112T070000";
    check_refused(
        &calendar(&[event(weekly), event(from_then_on)].join("\n")),
        IcalError::ThisAndFuture { event: 2 },
    );
}

#[test]
fn s1_an_old_endless_recurrence_costs_no_more_than_a_new_one() {
    let since_1970 = "DTSTART:19700101T060000\nDURATION:PT1H\nRRULE:FREQ=DAILY";
    check(
        &[since_1970],
        "2026-01-01T12:00 2026-01-03T12:00",
        &["2026-01-02T05:00 2026-01-02T06:00", "2026-01-03T05:00 2026-01-03T06:00"],
    );
}

/// RFC 5545, 3.3.10: the set that positions count in starts at the beginning of the week, before the first start.
#[test]
fn s1_positions_in_a_week_count_from_its_first_day() {
    let weekly = |rule: &str| format!("DTSTART:20260112T060000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;{rule}");
    check(
        &[&weekly("BYDAY=TU,FR;BYSETPOS=1;COUNT=2")],
        JANUARY,
        &["2026-01-13T05:00 2026-01-13T06:00", "2026-01-20T05:00 2026-01-20T06:00"],
    );
    // The week from Wednesday to the Tuesday after has its Friday before the first start.
    check(
        &[&weekly("BYDAY=TU,FR;BYSETPOS=1;COUNT=2;WKST=WE")],
        JANUARY,
        &["2026-01-16T05:00 2026-01-16T06:00", "2026-01-23T05:00 2026-01-23T06:00"],
    );
    check(
        &[&weekly("BYDAY=TU,FR;BYSETPOS=-1;COUNT=2;WKST=WE")],
        JANUARY,
        &["2026-01-13T05:00 2026-01-13T06:00", "2026-01-20T05:00 2026-01-20T06:00"],
    );
}

/// The busy time that a feed with these components has in January.
#[track_caller]
fn check_busy(components: &[String], expected: &[&str]) {
    let feed = calendar(&components.join("\n"));
    let found = read_busy(feed.as_bytes(), span(JANUARY));
    assert_eq!(found.unwrap(), expected.iter().map(|text| span(text)).collect::<Vec<_>>());
}

fn read_busy(feed: &[u8], window: Span) -> Result<Vec<Span>, IcalError> {
    busy(feed, &zone("Europe/Berlin"), &Rules::compiled_in(), window, &BTreeSet::new())
}

#[test]
fn a1_busy_is_what_is_neither_free_nor_cancelled() {
    let night = "2026-01-12T21:00 2026-01-13T05:00";
    check_busy(&[event(EVENT)], &[night]);
    check_busy(&[event(&format!("{EVENT}\nSTATUS:TENTATIVE\nTRANSP:OPAQUE"))], &[night]);
    check_busy(&[event(&format!("{EVENT}\nSTATUS:CANCELLED"))], &[]);
    check_busy(&[event(&format!("{EVENT}\nTRANSP:TRANSPARENT"))], &[]);
    let day = "DTSTART;VALUE=DATE:20260114";
    check_busy(&[event(EVENT), event(day)], &[night, "2026-01-13T23:00 2026-01-14T23:00"]);
    check_busy(&[event(&format!("{day}\nTRANSP:TRANSPARENT"))], &[]);
    check_busy(&[event("DTSTART:20260112T220000Z")], &[]);
}

#[test]
fn a1_busy_time_of_the_window_is_one_list_without_overlaps() {
    let on = |start: &str, end: &str| event(&format!("DTSTART:202601{start}00Z\nDTEND:202601{end}00Z"));
    check_busy(
        &[on("05T1200", "05T1300"), on("05T0900", "05T1030"), on("05T1000", "05T1200")],
        &["2026-01-05T09:00 2026-01-05T13:00"],
    );
    // Longer than any shift, into the window and out of it.
    check_busy(
        &[
            event("DTSTART;VALUE=DATE:20251220\nDTEND;VALUE=DATE:20260107"),
            event("DTSTART:20260131T000000Z\nDURATION:P2W"),
        ],
        &["2026-01-01T00:00 2026-01-06T23:00", "2026-01-31T00:00 2026-02-01T00:00"],
    );
    let yearly = "DTSTART;VALUE=DATE:20201220\nDTEND;VALUE=DATE:20210107\nRRULE:FREQ=YEARLY";
    check_busy(&[event(yearly)], &["2026-01-01T00:00 2026-01-06T23:00"]);
    let too_long = recurring("20200101T000000", "FREQ=YEARLY").replace("PT1H", "P367D");
    let refused = read_busy(too_long.as_bytes(), span(JANUARY));
    assert_eq!(refused, Err(IcalError::MalformedTime { event: 1 }));
    check_file(&too_long, JANUARY, &[]);
    let endless = event("DTSTART:20260131T000000Z\nDURATION:P4294967295W");
    check_busy(&[endless], &["2026-01-31T00:00 2026-02-01T00:00"]);
}

#[test]
fn a1_what_comes_back_of_ones_own_is_not_busy() {
    let on = |uid: &str, start: &str| {
        event(&format!("DTSTART:202601{start}00Z\nDURATION:PT1H")).replace("UID:1", &format!("UID:{uid}"))
    };
    let moved = on("own", "06T1500").replace("DTSTART", "RECURRENCE-ID:20260106T120000Z\nDTSTART");
    let feed = [on("own", "05T1200"), moved, on("Own", "07T1200"), on("other", "08T1200")];
    let feed = calendar(&feed.join("\n"));
    let own = BTreeSet::from(["own".to_owned()]);
    let found = busy(feed.as_bytes(), &zone("Europe/Berlin"), &Rules::compiled_in(), span(JANUARY), &own);
    let expected = ["2026-01-07T12:00 2026-01-07T13:00", "2026-01-08T12:00 2026-01-08T13:00"];
    assert_eq!(found.unwrap(), expected.map(span));
}

#[test]
fn a1_busy_time_told_without_events() {
    let told = |lines: &str| vec![format!("BEGIN:VFREEBUSY\nUID:1\n{lines}\nEND:VFREEBUSY")];
    check_busy(
        &told(
            "FREEBUSY:20260105T090000Z/20260105T100000Z,20260106T090000Z/PT2H\n\
             FREEBUSY;FBTYPE=FREE:20260107T090000Z/PT1H\nFREEBUSY;FBTYPE=BUSY:20260108T090000Z/PT1H\n\
             FREEBUSY;FBTYPE=BUSY-UNAVAILABLE:20260109T090000Z/PT1H\n\
             FREEBUSY;FBTYPE=BUSY-TENTATIVE:20260110T090000Z/PT1H\nFREEBUSY;FBTYPE=X-LUNCH:20260111T090000Z/PT1H",
        ),
        &[
            "2026-01-05T09:00 2026-01-05T10:00",
            "2026-01-06T09:00 2026-01-06T11:00",
            "2026-01-08T09:00 2026-01-08T10:00",
            "2026-01-09T09:00 2026-01-09T10:00",
            "2026-01-10T09:00 2026-01-10T10:00",
            "2026-01-11T09:00 2026-01-11T10:00",
        ],
    );
    for malformed in ["20260105T090000Z", "20260105T090000Z/20260105T080000Z", "20260105/20260106", "never"] {
        let feed = calendar(&told(&format!("FREEBUSY:{malformed}")).join(""));
        let refused = read_busy(feed.as_bytes(), span(JANUARY));
        assert_eq!(refused, Err(IcalError::MalformedFreeBusy), "{malformed}");
        check_file(&feed, JANUARY, &[]);
    }
    let period = "20260105T090000Z/PT1S";
    let line = format!("FREEBUSY:{}", vec![period; 300].join(","));
    let feed = calendar(&told(&vec![line; 20].join("\n")).join(""));
    let refused = read_busy(feed.as_bytes(), span(JANUARY));
    assert_eq!(refused, Err(IcalError::TooManyShifts));
}

#[test]
fn s1_an_empty_line_does_not_end_what_is_continued() {
    let old = calendar("BEGIN:VEVENT\nUID\n\n :1\nDTSTART\n\n ;VALUE=DATE\n :20260112\nEND:VEVENT");
    check_file(&old, JANUARY, &["2026-01-11T23:00 2026-01-12T23:00"]);
}

fn recurring(start: &str, rule: &str) -> String {
    calendar(&event(&format!("DTSTART:{start}\nDURATION:PT1H\nRRULE:{rule}")))
}

#[test]
fn bombs_that_recur_too_often_are_refused() {
    let event = 1;
    check_refused(&recurring("19700101T000000", "FREQ=HOURLY"), IcalError::Frequency { event });
    check_refused(&recurring("19700101T000000", "FREQ=MINUTELY"), IcalError::Frequency { event });
    check_refused(&recurring("20260101T000000", "FREQ=SECONDLY"), IcalError::Frequency { event });
    let dense = "FREQ=YEARLY;BYHOUR=0,1,2,3;BYMINUTE=0,1,2,3;BYSECOND=0,1,2,3";
    check_refused(&recurring("20260101T000000", dense), IcalError::TimesOfDay { event });
    check_refused(&recurring("20260101T000000", "FREQ=DAILY;INTERVAL=0"), IcalError::Interval { event });
    check_refused(&recurring("20260101T000000", "FREQ=DAILY;INTERVAL=65537"), IcalError::Interval { event });
    check_refused(&recurring("20260101T000000", "FREQ=DAILY;COUNT=1001"), IcalError::Count { event });
    check_refused(&recurring("20260101T000000", "FREQ=DAILY;COUNT=0"), IcalError::Count { event });
    check_refused(
        &recurring("20260101T000000", "FREQ=DAILY\nEXRULE:FREQ=DAILY"),
        IcalError::ExceptionRule { event },
    );
    check_refused(
        &recurring("20260101T000000", "FREQ=DAILY\nRRULE:FREQ=DAILY"),
        IcalError::SeveralRules { event },
    );
    check_refused(&recurring("20100101T000000", "FREQ=DAILY;COUNT=9"), IcalError::StartOutOfReach { event });
    for malformed in [
        "",
        "COUNT=3",
        "FREQ=DAILY;BYDAY",
        "FREQ=MONTHLY;BYMONTHDAY=257",
        "FREQ=MONTHLY;BYMONTHDAY=0",
        "FREQ=WEEKLY;BYDAY=1MO",
        "FREQ=WEEKLY;BYDAY=XX",
        "FREQ=YEARLY;RSCALE=HEBREW",
        &format!("FREQ=WEEKLY;BYDAY={}", ["MO"; 63].join(",")),
    ] {
        check_refused(&recurring("20260101T000000", malformed), IcalError::MalformedRule { event });
    }
}

/// How many days a window of one week makes the expansion look at.
#[track_caller]
fn check_cost(start: &str, rule: &str, most: u32) {
    let file = recurring(start, rule);
    let calendars = parse(&limits::times(file.as_bytes()).unwrap()).unwrap();
    let (zone, rules) = (zone("Europe/Berlin"), Rules::compiled_in());
    let clocks = Clocks { floating: &zone, rules: &rules, explained: HashMap::new() };
    let event = Event::read(&calendars[0].components[1], 1, &clocks).unwrap();
    let mut budget = Budget(MAX_DAYS_EXAMINED);
    event
        .occurrences(
            Sought::Shifts,
            span("2026-01-05T00:00 2026-01-12T00:00"),
            &Changes::default(),
            &mut budget,
        )
        .unwrap();
    let cost = MAX_DAYS_EXAMINED - budget.0;
    assert!(cost <= most, "{cost} days");
}

#[test]
fn bombs_that_reach_far_cost_a_few_days_of_looking() {
    check_cost("20250101T000000", "FREQ=WEEKLY", 40);
    check_cost("19700101T000000", "FREQ=DAILY", 20);
    check_cost("00010101T000000", "FREQ=DAILY", 20);
    // 30 February, which never comes.
    check_cost("20250101T000000", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", 800);
    check_cost("20250101T000000", "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=366", 100);
    check_cost("20220101T000000", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=1000", 2_000);
    check_cost("20220101T000000", "FREQ=DAILY;COUNT=1000", 2_000);
}

#[test]
fn the_work_on_a_whole_file_is_bounded() {
    let long = "2026-01-01T00:00 2060-01-01T00:00";
    let yearly = event("DTSTART:20250101T000000\nDURATION:PT1H\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30");
    assert_eq!(import(&calendar(&vec![yearly; 200].join("\n")), long), Err(IcalError::TooMuchWork));
    let daily = event("DTSTART:20250101T000000\nDURATION:PT1H\nRRULE:FREQ=DAILY");
    assert_eq!(import(&calendar(&daily), long), Err(IcalError::TooManyShifts));
}

#[test]
fn files_that_are_too_much_are_refused() {
    let bytes = 1024 * 1024 + 1;
    check_refused(&" ".repeat(bytes), IcalError::TooLarge { bytes });
    check_refused(&calendar(&vec![event(EVENT); 2_001].join("\n")), IcalError::TooManyEvents);
    let daily = event(&format!("{EVENT}\nRRULE:FREQ=DAILY"));
    check_refused(&calendar(&vec![daily; 201].join("\n")), IcalError::TooManyRecurring);
    let dates = vec!["20260112T060000"; 367].join(",");
    let mut folded = format!("{EVENT}\nEXDATE:{dates}");
    check_refused(&calendar(&event(&folded)), IcalError::TooManyDates { event: 1 });
    folded = folded.replace("EXDATE", "RDATE");
    check_refused(&calendar(&event(&folded)), IcalError::TooManyDates { event: 1 });
    let long = format!("SUMMARY:{}", vec!["x".repeat(70); 120].join("\n "));
    check_refused(&calendar(&event(&long)), IcalError::LineTooLong { line: 7 });
    let deep = event("BEGIN:VALARM\nBEGIN:VALARM\nEND:VALARM\nEND:VALARM");
    check_refused(&calendar(&deep), IcalError::NestedTooDeep { line: 8 });
    check_refused("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nEND:VCALENDAR\r\n", IcalError::Unbalanced { line: 3 });
    check_refused("BEGIN:VCALENDAR\r\n", IcalError::Unbalanced { line: 1 });
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    check_refused("", IcalError::NotACalendar);
    check_refused("hello", IcalError::NotACalendar);
    check_refused("BEGIN:VCARD\r\nEND:VCARD\r\n", IcalError::NotACalendar);
    let bytes = b"BEGIN:VCALENDAR\r\nSUMMARY:\xff\r\nEND:VCALENDAR\r\n";
    let found = shifts(bytes, &zone("UTC"), &Rules::compiled_in(), span(JANUARY), Options::default());
    assert_eq!(found, Err(IcalError::NotUtf8 { line: 2 }));
    let second = |properties: &str| calendar(&[event(EVENT), event(properties)].join("\n"));
    let number = 2;
    check_refused(&second("DTEND:20260112T060000"), IcalError::NoStart { event: number });
    check_refused(&second("DTSTART:20261312T060000"), IcalError::MalformedTime { event: number });
    check_refused(
        &second("DTSTART:20260112T060000\nDURATION:8 hours"),
        IcalError::MalformedTime { event: number },
    );
    check_refused(
        &second("DTSTART:20260112T060000\nDURATION:-PT8H"),
        IcalError::MalformedTime { event: number },
    );
    check_refused(
        &second("DTSTART:20260112T060000\nDTEND:20260112T050000"),
        IcalError::EndsBeforeStart { event: number },
    );
}

#[test]
fn a_byte_order_mark_and_bare_line_feeds_are_fine() {
    let file = format!("\u{feff}{}", calendar(&event(EVENT)).replace("\r\n", "\n"));
    check_file(&file, JANUARY, &["2026-01-12T21:00 2026-01-13T05:00"]);
}

fn rules_text() -> impl Strategy<Value = String> {
    let list = |values: &'static [&'static str]| prop::sample::subsequence(values, 0..=2);
    let frequency = prop::sample::select(vec!["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]);
    let days = list(&["MO", "TU", "FR", "SU"]);
    let numbered = list(&["1MO", "-1FR", "2TU", "5SU"]);
    let month_days = list(&["1", "13", "31", "-1", "-30"]);
    let months = list(&["1", "2", "6", "12"]);
    let numbers = (list(&["1", "20", "-1", "53"]), list(&["1", "60", "-1", "366"]));
    let positions = list(&["1", "-1", "3"]);
    let end = prop::option::of(prop_oneof![
        (1_u32..40).prop_map(|count| format!("COUNT={count}")),
        (1_u32..28).prop_map(|day| format!("UNTIL=202607{day:02}T120000Z")),
    ]);
    let week_start = prop::option::of(prop::sample::select(vec!["SU", "MO", "WE"]));
    (frequency, 1_u32..5, (days, numbered, month_days, months, positions), numbers, end, week_start).prop_map(
        |(frequency, interval, (days, numbered, month_days, months, positions), numbers, end, week_start)| {
            let mut rule = format!("FREQ={frequency};INTERVAL={interval}");
            let wide = frequency == "MONTHLY" || frequency == "YEARLY";
            let weekdays = if wide && days.is_empty() { numbered } else { days.clone() };
            let bound = !weekdays.is_empty() || !month_days.is_empty() || !months.is_empty();
            let yearly = frequency == "YEARLY" && !days.is_empty();
            // The other implementation counts the positions of the first week from the first start.
            let positions = if bound && frequency != "WEEKLY" { positions } else { vec![] };
            let (weeks, year_days) = if yearly { numbers } else { (vec![], vec![]) };
            // Where years are skipped it shows that the other one counts the days of a week across New Year to both.
            let mut weeks = if interval == 1 { weeks } else { vec![] };
            // It asks the wrong year whether the days before the first week are in a week 53, which 2026 has by Mondays
            // and not by Sundays.
            weeks.retain(|week| *week != "53" || week_start.is_none_or(|day| day == "MO"));
            let parts = [
                ("BYWEEKNO", weeks),
                ("BYYEARDAY", year_days),
                ("BYDAY", weekdays),
                ("BYMONTHDAY", if frequency == "WEEKLY" { vec![] } else { month_days }),
                ("BYMONTH", months),
                ("BYSETPOS", positions),
            ];
            for (key, values) in parts {
                if !values.is_empty() {
                    rule.push_str(&[";", key, "=", &values.join(",")].concat());
                }
            }
            rule + &end.map_or(String::new(), |end| format!(";{end}"))
                + &week_start.map_or(String::new(), |day| format!(";WKST={day}"))
        },
    )
}

/// What another implementation makes of the rule, on a clock that never changes.
fn expanded_elsewhere(start: &str, rule: &str, window: Span) -> Vec<DateTime<Utc>> {
    let set: rrule::RRuleSet = format!("DTSTART:{start}Z\nRRULE:{rule}").parse().unwrap();
    let utc = |at: DateTime<Utc>| at.with_timezone(&rrule::Tz::UTC);
    let dates =
        set.after(utc(window.start())).before(utc(window.end() - TimeDelta::seconds(1))).all(5_000).dates;
    dates.into_iter().map(|date| date.with_timezone(&Utc)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn s1_recurrences_are_what_another_implementation_says(
        rule in rules_text(),
        start in prop::sample::select(vec!["20240229T060000", "20250131T230000", "20251229T000000"]),
    ) {
        let window = span("2026-01-01T00:00 2027-06-01T00:00");
        let file = recurring(&format!("{start}Z"), &rule);
        let found = shifts(file.as_bytes(), &zone("Europe/Berlin"), &Rules::compiled_in(), window, Options::default());
        let starts: Vec<_> = found.unwrap().into_iter().map(|shift| shift.span.start()).collect();
        let expected: Vec<_> =
            expanded_elsewhere(start, &rule, window).into_iter().filter(|start| *start >= window.start()).collect();
        prop_assert_eq!(starts, expected, "{}", rule);
    }

    #[test]
    fn no_file_makes_the_import_panic(
        cut in 0_usize..400,
        put in prop::collection::vec(any::<u8>(), 0..6),
        lines in prop::collection::vec(prop::sample::select(vec![
            "RRULE:FREQ=YEARLY;BYWEEKNO=1,-1", "EXDATE:99991231T235959Z", "DTSTART:00000101T000000",
            "DTEND;VALUE=DATE:99991231", "DURATION:P4294967295W", "RECURRENCE-ID:20260112", "RDATE:20260112",
            "DTSTART;TZID=Pacific/Apia:20111230T120000",
            "END:VEVENT\nBEGIN:VFREEBUSY\nFREEBUSY:19970101T180000Z/P9W\nEND:VFREEBUSY\nBEGIN:VEVENT",
            "RRULE:FREQ=DAILY;UNTIL=1", "STATUS:CANCELLED",
        ]), 0..4),
    ) {
        let text = calendar(&event(&[lines.join("\n"), EVENT.into()].join("\n")));
        let mut bytes = text.into_bytes();
        let cut = cut.min(bytes.len());
        bytes.splice(cut..(cut + put.len() / 2).min(bytes.len()), put);
        let _ = shifts(&bytes, &zone("Europe/Berlin"), &Rules::compiled_in(), span(JANUARY), Options::default());
        let window = Span::new(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC).unwrap();
        let _ = shifts(&bytes, &zone("Europe/Berlin"), &Rules::compiled_in(), window, Options::default());
        let _ = read_busy(&bytes, window);
    }
}
