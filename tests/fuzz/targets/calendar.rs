//! A calendar from elsewhere: read as shifts and as busy time (S1, A1).

#![no_main]

use std::{collections::BTreeSet, sync::LazyLock};

use calendar::{Rules, Span, Zone, ical};
use chrono::{TimeZone, Utc};
use libfuzzer_sys::fuzz_target;

static RULES: LazyLock<Rules> = LazyLock::new(Rules::compiled_in);
static BERLIN: LazyLock<Zone> = LazyLock::new(|| RULES.zone("Europe/Berlin").expect("Berlin has a clock"));

fuzz_target!(|file: &[u8]| {
    let day = |year| Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).single().expect("a year begins once");
    let window = Span::new(day(2026), day(2027)).expect("one year is before the next");

    let own = BTreeSet::from(["own@respite".to_owned()]);
    if let Ok(busy) = ical::busy(file, &BERLIN, &RULES, window, &own) {
        assert!(busy.iter().all(|span| window.contains(*span)));
        assert!(busy.is_sorted_by(|a, b| a.end() < b.start()));
        // What is sent out as open time can be read, and says the same.
        let written = ical::write::open_time("open@respite", day(2026), window, &busy);
        ical::busy(written.as_bytes(), &BERLIN, &RULES, window, &own).expect("our own calendar is one");
    }
    for on_call in [false, true] {
        if let Ok(shifts) = ical::shifts(file, &BERLIN, &RULES, window, ical::Options { on_call }) {
            assert!(shifts.iter().all(|shift| shift.span.overlaps(window)));
            assert!(shifts.is_sorted_by_key(|shift| (shift.span.start(), shift.span.end())));
        }
    }
});
