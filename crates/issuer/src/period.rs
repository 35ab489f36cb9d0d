//! A programme's periods, each with a key of its own.
//!
//! The period is in the key alone: a pass carries no date, and is good for as long as
//! the log of keys says that its key is.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta};
use pass::{KeyId, Schedule};
use sqlx::SqliteConnection;
use thiserror::Error;

use crate::{
    App, Error,
    audit::{self, Action},
};

/// A period's name, such as `2026-Q4`, and the name of its key's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodName(String);

/// Not a name of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a period has 1 to 32 letters, digits and hyphens, such as 2026-Q4")]
pub struct PeriodNameError;

/// A period, and what there is in it for each worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its name.
    pub name: PeriodName,
    /// Which key signs its passes.
    pub key_id: KeyId,
    /// How it is to be.
    pub terms: Terms,
}

/// What a new period is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How many passes each worker gets: all, or none.
    pub passes: u32,
    /// The first day whose sessions its passes pay.
    pub first: NaiveDate,
    /// The last one.
    pub last: NaiveDate,
    /// Passes are signed although fewer than fifty workers are eligible.
    pub small: bool,
}

/// Why there can be no such period.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PeriodError {
    /// None, or more than anybody gets.
    #[error("a period has 1 to {} passes for each worker", pass::Period::MOST_PASSES)]
    Passes,
    /// The log of keys would not take its key.
    #[error("{} to {} days lie between a period's first day and its last", Schedule::LENGTH.start(), Schedule::LENGTH.end())]
    Length,
    /// Two keys would sign on one day, and tell workers apart.
    #[error("some of these days are in the period {}", .other.as_str())]
    Overlap {
        /// The period that is there.
        other: PeriodName,
    },
    /// There is one of this name, or there was.
    #[error("there is a period of this name")]
    Exists,
    /// There is none of this name.
    #[error("there is no period of this name")]
    Unknown,
}

impl Terms {
    /// From the first day on which its key signs to before the second: the days on which the log of keys has it so.
    pub fn signing(&self) -> Range<NaiveDate> {
        let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc().timestamp();
        let signing = Schedule::signing(midnight(self.first)..midnight(self.last + Days::new(1)));
        let day = |seconds| DateTime::from_timestamp(seconds, 0).map_or(NaiveDate::MAX, |at| at.date_naive());
        day(signing.start)..day(signing.end)
    }

    /// The day by which its key must be in the log, so that it can sign from the first day on.
    pub fn publish_by(&self) -> NaiveDate {
        self.signing().start - TimeDelta::seconds(Schedule::NOTICE)
    }

    fn check(&self, today: NaiveDate) -> Result<(), Error> {
        let Self { passes, first, last, small: _ } = self;
        if !(1..=pass::Period::MOST_PASSES).contains(passes) {
            return Err(PeriodError::Passes.into());
        }
        if !Schedule::LENGTH.contains(&(*last - *first).num_days()) {
            return Err(PeriodError::Length.into());
        }
        let end = self.signing().end;
        if end <= today {
            return Err(Error::Past { day: end });
        }
        Ok(())
    }
}

/// Makes a period with a fresh key. Codes that have ended, and those of workers who are not on the roster any more, go
/// with the old one, unless an answer may still be asked for.
pub async fn make(app: &App, name: PeriodName, terms: Terms) -> Result<Period, Error> {
    let now = app.clock.now();
    terms.check(now.date_naive())?;
    let key = tokio::task::spawn_blocking(pass::Issuer::generate).await.map_err(|_| Error::Interrupted)?;
    let period = Period { name, key_id: key.public_key().id(), terms };
    let Period { name, key_id, terms: Terms { passes, first, last, small } } = &period;

    let mut transaction = app.db.write().await?;
    if of_name(&mut transaction, name).await?.is_some() {
        return Err(PeriodError::Exists.into());
    }
    for other in all(&mut transaction).await? {
        if *first <= other.terms.last && other.terms.first <= *last {
            return Err(PeriodError::Overlap { other: other.name }.into());
        }
    }
    sqlx::query("insert into period (name, key_id, passes, first, last, small) values (?, ?, ?, ?, ?, ?)")
        .bind(name.as_str())
        .bind(&key_id.as_bytes()[..])
        .bind(passes)
        .bind(first)
        .bind(last)
        .bind(small)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "delete from code
         where (last_day < ? or worker is not null and worker not in (select worker from worker))
         and coalesce(worker, code) not in (select holder from issuance where batch <> zeroblob(32))",
    )
    .bind(now.date_naive())
    .execute(&mut *transaction)
    .await?;
    let action = Action::KeyMade { period: name.clone(), key_id: *key_id, passes: *passes, small: *small };
    audit::append(&mut transaction, now, &action).await?;
    // A key without a period is of no use, a period without its key stops the issuer: the key is on disk first.
    app.home.write_key(name, &key.to_pkcs8_pem())?;
    transaction.commit().await?;
    Ok(period)
}

/// Withdraws a period's key, which was stolen or lost: from now on it is offered no more, and signs nothing. Who was here
/// is forgotten, since nothing can be asked for again. The key in its place is another period's, in which everybody has as
/// many passes. One that was withdrawn before stays so.
pub async fn withdraw(app: &App, name: &PeriodName) -> Result<Period, Error> {
    let mut transaction = app.db.write().await?;
    let period = of_name(&mut transaction, name).await?.ok_or(PeriodError::Unknown)?;
    let withdrawn = sqlx::query("update period set withdrawn = 1 where name = ? and not withdrawn")
        .bind(name.as_str())
        .execute(&mut *transaction)
        .await?;
    if withdrawn.rows_affected() > 0 {
        forget_issuances(&mut transaction, name).await?;
        let action = Action::KeyWithdrawn { period: name.clone(), key_id: period.key_id };
        audit::append(&mut transaction, app.clock.now(), &action).await?;
    }
    transaction.commit().await?;
    Ok(period)
}

/// The periods whose keys sign or will, by name. The keys of others are not needed any more, and may be gone.
pub async fn list(app: &App) -> Result<Vec<Period>, Error> {
    let today = app.clock.today();
    let mut periods = all(&mut *app.db.read().await?).await?;
    periods.retain(|period| today < period.terms.signing().end);
    Ok(periods)
}

/// The key of a period, which is the one that was made for it.
pub fn key(app: &App, period: &Period) -> Result<pass::Issuer, Error> {
    let key = app.home.read_key(&period.name)?;
    if key.public_key().id() == period.key_id {
        Ok(key)
    } else {
        Err(Error::OtherKey { period: period.name.clone() })
    }
}

/// The period whose key signs on `day`.
pub(crate) async fn on(connection: &mut SqliteConnection, day: NaiveDate) -> Result<Option<Period>, Error> {
    Ok(all(connection).await?.into_iter().find(|period| period.terms.signing().contains(&day)))
}

/// Forgets who was here in periods whose keys sign no more on `day`.
pub(crate) async fn forget(connection: &mut SqliteConnection, day: NaiveDate) -> Result<(), Error> {
    for period in all(connection).await?.iter().filter(|period| period.terms.signing().end <= day) {
        forget_issuances(&mut *connection, &period.name).await?;
    }
    Ok(())
}

async fn forget_issuances(connection: &mut SqliteConnection, period: &PeriodName) -> Result<(), Error> {
    sqlx::query("delete from issuance where period = ?").bind(period.as_str()).execute(connection).await?;
    Ok(())
}

type Row = (String, Vec<u8>, u32, NaiveDate, NaiveDate, bool);

/// Those whose keys were not withdrawn.
async fn all(connection: &mut SqliteConnection) -> Result<Vec<Period>, Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "select name, key_id, passes, first, last, small from period where not withdrawn order by name",
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(read).collect()
}

/// The one of this name, withdrawn or not.
async fn of_name(connection: &mut SqliteConnection, name: &PeriodName) -> Result<Option<Period>, Error> {
    let row: Option<Row> =
        sqlx::query_as("select name, key_id, passes, first, last, small from period where name = ?")
            .bind(name.as_str())
            .fetch_optional(connection)
            .await?;
    row.map(read).transpose()
}

fn read((name, key_id, passes, first, last, small): Row) -> Result<Period, Error> {
    let name = name.parse().map_err(|_| Error::Damaged("period"))?;
    let key_id: [u8; 32] = key_id.try_into().map_err(|_| Error::Damaged("period"))?;
    Ok(Period { name, key_id: key_id.into(), terms: Terms { passes, first, last, small } })
}

impl PeriodName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PeriodName {
    type Err = PeriodNameError;

    fn from_str(text: &str) -> Result<Self, PeriodNameError> {
        let sound =
            (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if sound { Ok(Self(text.to_owned())) } else { Err(PeriodNameError) }
    }
}

impl fmt::Display for PeriodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::PeriodName;

    #[test]
    fn a_name_is_also_a_file_name() {
        let check = |text: &str, sound| assert_eq!(text.parse::<PeriodName>().is_ok(), sound, "{text}");
        check("2026-Q4", true);
        check(&"a".repeat(32), true);
        check(&"a".repeat(33), false);
        for wrong in ["", ".", "..", "2026/Q4", "../key", "2026.Q4", "2026 Q4", "é", "a\0", "a\n"] {
            check(wrong, false);
        }
    }
}
