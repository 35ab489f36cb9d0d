//! What a file may hold before anything in it is read: small enough, nested as calendars are, and with
//! recurrences from the allow-list. The parser behind forgives, so numbers it would cut are refused here.
//!
//! What tells no time goes no further: titles, places and people are never parsed.

use super::IcalError;

const MAX_BYTES: usize = 1024 * 1024;
pub(super) const MAX_LINE: usize = 8 * 1024;
const MAX_DEPTH: usize = 3;
const MAX_EVENTS: usize = 2_000;
const MAX_RECURRING: usize = 200;
const MAX_LIST: usize = 62;

/// The properties that tell when, and of which occurrence of what.
const TIMES: [&str; 17] = [
    "BEGIN",
    "END",
    "DTSTART",
    "DTEND",
    "DURATION",
    "RRULE",
    "RDATE",
    "EXDATE",
    "FREEBUSY",
    "RECURRENCE-ID",
    "SEQUENCE",
    "STATUS",
    "TRANSP",
    "UID",
    "TZID",
    "X-LIC-LOCATION",
    "X-MICROSOFT-CDO-TZID",
];

/// The lines that tell times, unfolded, of a file that keeps within every limit.
pub(super) fn times(bytes: &[u8]) -> Result<String, IcalError> {
    if bytes.len() > MAX_BYTES {
        return Err(IcalError::TooLarge { bytes: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        IcalError::NotUtf8 { line: before.split(|byte| *byte == b'\n').count() }
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);

    let mut open: Vec<String> = Vec::new();
    let (mut event, mut recurring) = (0, 0);
    let mut times = String::new();
    for (line, content) in unfolded(text) {
        if content.len() > MAX_LINE {
            return Err(IcalError::LineTooLong { line });
        }
        let Some(end_of_name) = content.find([':', ';']) else { continue };
        let value = content.split_once(':').map_or("", |(_, value)| value.trim());
        let name = content[..end_of_name].to_ascii_uppercase();
        if TIMES.contains(&name.as_str()) {
            times.push_str(&content);
            times.push('\n');
        }
        match name.as_str() {
            "BEGIN" => {
                let component = value.to_ascii_uppercase();
                if component == "VEVENT" {
                    event += 1;
                }
                open.push(component);
                if open.len() > MAX_DEPTH {
                    return Err(IcalError::NestedTooDeep { line });
                }
                if event > MAX_EVENTS {
                    return Err(IcalError::TooManyEvents);
                }
            }
            "END" if open.pop().is_none_or(|component| !component.eq_ignore_ascii_case(value)) => {
                return Err(IcalError::Unbalanced { line });
            }
            "RRULE" if open.last().is_some_and(|component| component == "VEVENT") => {
                recurring += 1;
                if recurring > MAX_RECURRING {
                    return Err(IcalError::TooManyRecurring);
                }
                check_rule(value).map_err(|error| error.of(event))?;
            }
            "EXRULE" => return Err(IcalError::ExceptionRule { event }),
            _ => {}
        }
    }
    if open.is_empty() { Ok(times) } else { Err(IcalError::Unbalanced { line: text.lines().count() }) }
}

/// Content lines with the number of the line each starts on. A line that is empty ends none: old files have them
/// between a name and what continues it.
fn unfolded(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(rest), Some((_, content))) => content.push_str(rest),
            _ => lines.push((index + 1, line.to_owned())),
        }
    }
    lines
}

/// Why a recurrence rule is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Hourly or finer, or no frequency known.
    #[error("recurs more often than daily")]
    Frequency,
    /// An interval of nothing, or over 366.
    #[error("recurs at an interval that is not 1 to 366")]
    Interval,
    /// A count of nothing, or over 1,000.
    #[error("recurs a number of times that is not 1 to 1,000")]
    Count,
    /// A rule with BYHOUR, BYMINUTE or BYSECOND.
    #[error("recurs several times a day")]
    TimesOfDay,
    /// A rule that RFC 5545 does not know.
    #[error("cannot be read as a recurrence rule")]
    Malformed,
}

impl RuleError {
    fn of(self, event: usize) -> IcalError {
        match self {
            Self::Frequency => IcalError::Frequency { event },
            Self::Interval => IcalError::Interval { event },
            Self::Count => IcalError::Count { event },
            Self::TimesOfDay => IcalError::TimesOfDay { event },
            Self::Malformed => IcalError::MalformedRule { event },
        }
    }
}

pub(super) fn check_rule(rule: &str) -> Result<(), RuleError> {
    let malformed = RuleError::Malformed;
    let mut has_frequency = false;
    for part in rule.split(';').filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').ok_or(malformed)?;
        if value.split(',').count() > MAX_LIST {
            return Err(malformed);
        }
        let all_within = |bound: i32| {
            let mut numbers = value.split(',').map(|number| number.trim().parse::<i32>());
            numbers.all(|number| number.is_ok_and(|number| number != 0 && number.abs() <= bound))
        };
        let one_within = |bound: u32| value.parse().is_ok_and(|number: u32| number >= 1 && number <= bound);
        let sound = match key.to_ascii_uppercase().as_str() {
            "FREQ" => {
                has_frequency = true;
                if !["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(value))
                {
                    return Err(RuleError::Frequency);
                }
                true
            }
            "INTERVAL" if !one_within(366) => return Err(RuleError::Interval),
            "COUNT" if !one_within(1_000) => return Err(RuleError::Count),
            "BYHOUR" | "BYMINUTE" | "BYSECOND" => return Err(RuleError::TimesOfDay),
            "INTERVAL" | "COUNT" | "UNTIL" | "WKST" | "BYDAY" => true,
            "BYMONTH" => all_within(12) && !value.contains('-'),
            "BYMONTHDAY" => all_within(31),
            "BYWEEKNO" => all_within(53),
            "BYYEARDAY" | "BYSETPOS" => all_within(366),
            _ => false,
        };
        if !sound {
            return Err(malformed);
        }
    }
    if has_frequency { Ok(()) } else { Err(malformed) }
}
