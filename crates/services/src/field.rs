//! Reads the fields of requests into values that cannot be wrong; nothing below looks again.

use std::str::FromStr;

use api::{google::r#type as gtype, v1};
use calendar::{DayWindow, Span, WindowError, Zone};
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};
use prost_types::{Duration, Timestamp};
use store::Modality;

use crate::{
    App,
    error::{Error, Violation},
};

pub(crate) fn required(field: &str) -> Error {
    Error::invalid(field, Violation::Required)
}

pub(crate) fn malformed(field: &str, expected: &'static str) -> Error {
    Error::invalid(field, Violation::Malformed { expected })
}

pub(crate) fn out_of_range(field: &str, allowed: &'static str) -> Error {
    Error::invalid(field, Violation::OutOfRange { allowed })
}

/// A message that must be there.
pub(crate) fn given<T>(message: Option<T>, field: &str) -> Result<T, Error> {
    message.ok_or_else(|| required(field))
}

/// A UUID in its usual form of 36 characters.
pub(crate) fn id<T: FromStr>(text: &str, field: &str) -> Result<T, Error> {
    if text.is_empty() {
        return Err(required(field));
    }
    match text.parse() {
        Ok(id) if text.len() == 36 => Ok(id),
        _ => Err(malformed(field, "a UUID")),
    }
}

/// 1 to `most` characters, none of them a control character but line breaks.
pub(crate) fn text(text: String, most: usize, field: &str) -> Result<String, Error> {
    if text.trim().is_empty() {
        return Err(required(field));
    }
    if text.chars().count() > most {
        return Err(Error::invalid(field, Violation::TooLong { most, unit: "characters" }));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(malformed(field, "text without control characters"));
    }
    Ok(text)
}

/// The same on one line.
pub(crate) fn line(line: String, most: usize, field: &str) -> Result<String, Error> {
    let line = text(line, most, field)?;
    if line.contains('\n') { Err(malformed(field, "text on one line")) } else { Ok(line) }
}

/// At most `most` elements, each read by `read` with its own path, none twice.
pub(crate) fn list<T, U: PartialEq>(
    elements: Vec<T>,
    most: usize,
    field: &str,
    mut read: impl FnMut(T, &str) -> Result<U, Error>,
) -> Result<Vec<U>, Error> {
    if elements.len() > most {
        return Err(Error::invalid(field, Violation::TooMany { most }));
    }
    let mut values = Vec::with_capacity(elements.len());
    for (index, element) in elements.into_iter().enumerate() {
        let path = format!("{field}[{index}]");
        let value = read(element, &path)?;
        if values.contains(&value) {
            return Err(Error::invalid(path, Violation::Duplicate));
        }
        values.push(value);
    }
    Ok(values)
}

/// The paths of an update mask (AIP-134): few, and none twice.
pub(crate) fn mask(paths: &[String]) -> Result<Vec<&str>, Error> {
    list(paths.iter().map(String::as_str).collect(), 20, "update_mask.paths", |path, _| Ok(path))
}

/// A BCP 47 tag by its shape: a language of two or three letters and subtags of up to eight letters and digits.
pub(crate) fn language(tag: String, field: &str) -> Result<String, Error> {
    if tag.is_empty() {
        return Err(required(field));
    }
    let mut subtags = tag.split('-');
    let language = subtags.next().unwrap_or_default();
    let well_formed = tag.len() <= 35
        && (2..=3).contains(&language.len())
        && language.bytes().all(|b| b.is_ascii_alphabetic())
        && subtags.all(|s| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric()));
    if well_formed { Ok(tag) } else { Err(malformed(field, "a BCP 47 language tag")) }
}

/// An ISO 3166-2 subdivision such as `US-NY`, or an ISO 3166-1 country such as `DE`.
pub(crate) fn jurisdiction(code: String, field: &str) -> Result<String, Error> {
    if code.is_empty() {
        return Err(required(field));
    }
    let (country, subdivision) = code.split_once('-').unwrap_or((&code, "-"));
    let well_formed = country.len() == 2
        && country.bytes().all(|b| b.is_ascii_uppercase())
        && (subdivision == "-"
            || (1..=3).contains(&subdivision.len())
                && subdivision.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()));
    if well_formed && !code.ends_with('-') {
        Ok(code)
    } else {
        Err(malformed(field, "an ISO 3166 code such as US-NY or DE"))
    }
}

/// An instant of whole seconds between 2000 and 2100.
pub(crate) fn instant(at: Timestamp, field: &str) -> Result<DateTime<Utc>, Error> {
    DateTime::from_timestamp(at.seconds, 0)
        .filter(|instant| at.nanos == 0 && (2000..2100).contains(&instant.year()))
        .ok_or_else(|| malformed(field, "an instant of whole seconds between the years 2000 and 2100"))
}

/// A span that is not empty.
pub(crate) fn span(span: Option<v1::Span>, field: &str) -> Result<Span, Error> {
    let v1::Span { start_time, end_time } = given(span, field)?;
    let (start_field, end_field) = (format!("{field}.start_time"), format!("{field}.end_time"));
    let start = instant(given(start_time, &start_field)?, &start_field)?;
    let end = instant(given(end_time, &end_field)?, &end_field)?;
    Span::new(start, end).ok_or_else(|| Error::invalid(field, Violation::ReversedSpan))
}

/// A zone that the rules in force know.
pub(crate) fn zone(app: &App, name: &str, field: &str) -> Result<Zone, Error> {
    if name.is_empty() {
        return Err(required(field));
    }
    app.rules.zone(name).ok_or_else(|| Error::invalid(field, Violation::UnknownZone))
}

/// Whole minutes, not negative; what is empty is nothing. Bounds are for the caller.
pub(crate) fn minutes(duration: Option<Duration>, field: &str) -> Result<TimeDelta, Error> {
    let Duration { seconds, nanos } = duration.unwrap_or_default();
    let refused = || malformed(field, "a duration of whole minutes, not negative and under ten years");
    if nanos != 0 || seconds % 60 != 0 || !(0..=10 * 366 * 86_400).contains(&seconds) {
        return Err(refused());
    }
    TimeDelta::try_seconds(seconds).ok_or_else(refused)
}

/// A calendar date.
pub(crate) fn date(date: gtype::Date, field: &str) -> Result<NaiveDate, Error> {
    let gtype::Date { year, month, day } = date;
    u32::try_from(month)
        .ok()
        .zip(u32::try_from(day).ok())
        .and_then(|(month, day)| NaiveDate::from_ymd_opt(year, month, day))
        .filter(|date| (2000..2100).contains(&date.year()))
        .ok_or_else(|| malformed(field, "a date between the years 2000 and 2100"))
}

/// Hours on the local clock (T2).
pub(crate) fn hours(hours: Option<v1::LocalHours>, field: &str) -> Result<DayWindow, Error> {
    let v1::LocalHours { start, end } = given(hours, field)?;
    let time = |time: Option<gtype::TimeOfDay>, name| {
        let path = format!("{field}.{name}");
        let gtype::TimeOfDay { hours, minutes, seconds, nanos } = given(time, &path)?;
        u32::try_from(hours)
            .ok()
            .zip(u32::try_from(minutes).ok())
            .filter(|_| seconds == 0 && nanos == 0)
            .and_then(|(hours, minutes)| NaiveTime::from_hms_opt(hours, minutes, 0))
            .ok_or_else(|| malformed(&path, "a time of day of whole minutes, 00:00 to 23:59"))
    };
    DayWindow::new(time(start, "start")?, time(end, "end")?).map_err(|error| {
        let violation = match error {
            WindowError::EndsBeforeMidnight => Violation::EndBeforeMidnight,
            _ => Violation::Malformed { expected: "hours of whole minutes" },
        };
        Error::invalid(format!("{field}.end"), violation)
    })
}

/// How a session is held.
pub(crate) fn modality(number: i32, field: &str) -> Result<Modality, Error> {
    match v1::Modality::try_from(number) {
        Ok(v1::Modality::Video) => Ok(Modality::Video),
        Ok(v1::Modality::Audio) => Ok(Modality::Audio),
        Ok(v1::Modality::Chat) => Ok(Modality::Chat),
        Ok(v1::Modality::Unspecified) => Err(required(field)),
        Err(_) => Err(malformed(field, "a modality")),
    }
}

/// The 32 bytes of an Ed25519 public key.
pub(crate) fn public_key(bytes: &[u8], field: &str) -> Result<[u8; 32], Error> {
    if bytes.is_empty() {
        return Err(required(field));
    }
    bytes.try_into().map_err(|_| malformed(field, "the 32 bytes of an Ed25519 public key"))
}

pub(crate) fn timestamp(at: impl Into<DateTime<Utc>>) -> Timestamp {
    Timestamp { seconds: at.into().timestamp(), nanos: 0 }
}

pub(crate) fn duration(time: TimeDelta) -> Duration {
    Duration { seconds: time.num_seconds(), nanos: 0 }
}

/// A number of something; more than the contract can say is as much as it can.
pub(crate) fn count(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

pub(crate) fn to_span(span: Span) -> v1::Span {
    v1::Span { start_time: Some(timestamp(span.start())), end_time: Some(timestamp(span.end())) }
}

pub(crate) fn to_date(date: NaiveDate) -> gtype::Date {
    let small = |number: u32| i32::try_from(number).unwrap_or_default();
    gtype::Date { year: date.year(), month: small(date.month()), day: small(date.day()) }
}

pub(crate) fn to_hours(window: DayWindow) -> v1::LocalHours {
    let small = |number: u32| i32::try_from(number).unwrap_or_default();
    let time = |time: NaiveTime| gtype::TimeOfDay {
        hours: small(time.hour()),
        minutes: small(time.minute()),
        seconds: 0,
        nanos: 0,
    };
    v1::LocalHours { start: Some(time(window.start())), end: Some(time(window.end())) }
}

pub(crate) fn to_modality(modality: Modality) -> v1::Modality {
    match modality {
        Modality::Video => v1::Modality::Video,
        Modality::Audio => v1::Modality::Audio,
        Modality::Chat => v1::Modality::Chat,
    }
}
