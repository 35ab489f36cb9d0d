//! A worker's week as a picture: one line a day, one character for each half hour.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use calendar::{Span, Unavailable, WorkerRefusal, Zone};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::screen::DIM;

/// The lines of the picture: hours above, then seven days from `monday`, then what the signs mean.
///
/// `offered` are starts that can be held.
pub(super) fn draw(
    zone: &Zone,
    monday: NaiveDate,
    unavailable: &[Unavailable],
    offered: &[DateTime<Utc>],
) -> Vec<String> {
    let hours = (0..24).step_by(3).fold(" ".repeat(8), |mut line, hour| {
        let _ = write!(line, "{hour:<6}");
        line
    });
    let mut lines = vec![format!("{DIM}{}{DIM:#}", hours.trim_end())];
    for date in monday.iter_days().take(7) {
        let mut line = format!("{:<8}", date.format("%a %-d").to_string());
        for half_hour in 0..48 {
            let at = zone
                .resolve_start(date.and_time(chrono::NaiveTime::MIN) + TimeDelta::minutes(30 * half_hour));
            let sign = if offered.iter().any(|start| (at..at + TimeDelta::minutes(30)).contains(start)) {
                OFFERED
            } else {
                unavailable
                    .iter()
                    .find(|time| time.span.contains_instant(at))
                    .map_or(FREE, |time| sign(time.reason))
            };
            let Sign { glyph, style, .. } = sign;
            let _ = write!(line, "{style}{glyph}{style:#}");
        }
        lines.push(line);
    }
    let known =
        [FREE, SHIFT, COMMUTE, REST, SLEEP].into_iter().chain((!offered.is_empty()).then_some(OFFERED));
    let known = known.map(|Sign { glyph, style, meaning }| format!("{style}{glyph}{style:#} {meaning}"));
    lines.push(format!("{}{}", " ".repeat(8), known.collect::<Vec<_>>().join("   ")));
    lines
}

/// What takes some of `session` from the worker, in words.
pub(super) fn taken_by(unavailable: &[Unavailable], session: Span) -> Option<WorkerRefusal> {
    unavailable.iter().find(|time| time.span.overlaps(session)).map(|time| time.reason)
}

struct Sign {
    glyph: char,
    style: Style,
    meaning: &'static str,
}

const FREE: Sign = Sign { glyph: '·', style: Style::new(), meaning: "free" };
const SHIFT: Sign = Sign { glyph: '█', style: AnsiColor::Red.on_default(), meaning: "on shift" };
const COMMUTE: Sign = Sign { glyph: '▒', style: AnsiColor::Yellow.on_default(), meaning: "on the way" };
const REST: Sign = Sign { glyph: '░', style: AnsiColor::Yellow.on_default(), meaning: "rest" };
const SLEEP: Sign = Sign { glyph: 'z', style: AnsiColor::Blue.on_default(), meaning: "sleep" };
const UNKNOWN: Sign = Sign { glyph: '?', style: Style::new().dimmed(), meaning: "not published" };
const OFFERED: Sign = Sign { glyph: 'o', style: AnsiColor::Green.on_default().bold(), meaning: "offered" };

fn sign(reason: WorkerRefusal) -> Sign {
    match reason {
        WorkerRefusal::Shift | WorkerRefusal::Break => SHIFT,
        WorkerRefusal::Commute => COMMUTE,
        WorkerRefusal::Rest => REST,
        WorkerRefusal::Sleep => SLEEP,
        WorkerRefusal::BeyondRoster | WorkerRefusal::OffDuty => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use calendar::{Roster, Rules, Shift, ShiftRules, Span, classify, unavailable};
    use chrono::{DateTime, NaiveDate, Utc};

    use super::draw;

    #[test]
    fn s2_a_night_takes_its_way_its_rest_and_its_sleep() {
        let zone = Rules::compiled_in().zone("Europe/London").unwrap();
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let span = Span::new(at("2026-11-30T20:30:00Z"), at("2026-12-01T07:30:00Z")).unwrap();
        let night = Shift { span, kind: classify(span, &zone) };
        let roster = Roster::new(
            &zone,
            vec![night],
            NaiveDate::from_ymd_opt(2026, 12, 31),
            at("2026-11-23T00:00:00Z"),
        );
        let range = Span::new(at("2026-11-30T00:00:00Z"), at("2026-12-07T00:00:00Z")).unwrap();
        let taken = unavailable(&roster.unwrap(), &ShiftRules::default(), &zone, range, false);
        let monday = NaiveDate::from_ymd_opt(2026, 11, 30).unwrap();
        let picture = draw(&zone, monday, &taken, &[at("2026-12-01T16:30:00Z")]);
        let plain: Vec<String> =
            picture.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
        assert_eq!(
            plain[..3],
            [
                "        0     3     6     9     12    15    18    21",
                "Mon 30  ·······································░▒███████",
                "Tue 1   ███████████████▒zzzzzzzzzzzzzzzz·o··············",
            ]
        );
    }
}
