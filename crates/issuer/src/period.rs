//! A programme's periods, each with a key of its own.
//!
//! The period is in the key alone: a pass carries no date, and is good for as long as
//! the log of keys says that its key is.

use std::fmt;
use std::str::FromStr;

use chrono::{NaiveDate, TimeDelta};
use pass::{KeyId, Schedule};
use sqlx::SqliteConnection;
use thiserror::Error;

use crate::{
    App, Error,
    audit::{self, Action},
};

/// As many passes as a worker gets in one period.
pub const MOST_PASSES: u32 = 50;

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
    /// The first day on which its key signs.
    pub active_from: NaiveDate,
    /// The first day on which it signs no more.
    pub grace_from: NaiveDate,
    /// Passes are signed although fewer than fifty workers are eligible.
    pub small: bool,
}

/// Why there can be no such period.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PeriodError {
    /// None, or more than [`MOST_PASSES`].
    #[error("a period has 1 to {MOST_PASSES} passes for each worker")]
    Passes,
    /// It ends before it begins.
    #[error("a period ends after it begins")]
    Reversed,
    /// Two keys would sign on one day, and tell workers apart.
    #[error("on some of these days, the key of {} signs", .other.as_str())]
    Overlap {
        /// The period that is there.
        other: PeriodName,
    },
    /// There is one of this name.
    #[error("there is a period of this name")]
    Exists,
}

impl Terms {
    /// Whether the log of keys will not take its key on its first day: a week must lie between.
    pub fn is_short_notice(&self, today: NaiveDate) -> bool {
        self.active_from < today + TimeDelta::seconds(Schedule::NOTICE)
    }

    fn check(&self, today: NaiveDate) -> Result<(), Error> {
        let Self { passes, active_from, grace_from, small: _ } = self;
        if !(1..=MOST_PASSES).contains(passes) {
            return Err(PeriodError::Passes.into());
        }
        if active_from >= grace_from {
            return Err(PeriodError::Reversed.into());
        }
        if *grace_from <= today {
            return Err(Error::Past { day: *grace_from });
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
    let Period { name, key_id, terms: Terms { passes, active_from, grace_from, small } } = &period;

    let mut transaction = app.db.write().await?;
    for other in all(&mut transaction).await? {
        if other.name == *name {
            return Err(PeriodError::Exists.into());
        }
        if *active_from < other.terms.grace_from && other.terms.active_from < *grace_from {
            return Err(PeriodError::Overlap { other: other.name }.into());
        }
    }
    sqlx::query(
        "insert into period (name, key_id, passes, active_from, grace_from, small) values (?, ?, ?, ?, ?, ?)",
    )
    .bind(name.as_str())
    .bind(&key_id.as_bytes()[..])
    .bind(passes)
    .bind(active_from)
    .bind(grace_from)
    .bind(small)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "delete from code
         where (last_day < ? or worker is not null and worker not in (select worker from worker))
         and coalesce(worker, code) not in (select holder from issuance)",
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

/// The periods that have not ended, by name. The keys of others are not needed any more, and may be gone.
pub async fn list(app: &App) -> Result<Vec<Period>, Error> {
    let today = app.clock.today();
    let mut periods = all(&mut *app.db.read().await?).await?;
    periods.retain(|period| today < period.terms.grace_from);
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
    let row: Option<Row> = sqlx::query_as(
        "select name, key_id, passes, active_from, grace_from, small from period
         where active_from <= ?1 and ?1 < grace_from",
    )
    .bind(day)
    .fetch_optional(connection)
    .await?;
    row.map(read).transpose()
}

type Row = (String, Vec<u8>, u32, NaiveDate, NaiveDate, bool);

async fn all(connection: &mut SqliteConnection) -> Result<Vec<Period>, Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "select name, key_id, passes, active_from, grace_from, small from period order by name",
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(read).collect()
}

fn read((name, key_id, passes, active_from, grace_from, small): Row) -> Result<Period, Error> {
    let name = name.parse().map_err(|_| Error::Damaged("period"))?;
    let key_id: [u8; 32] = key_id.try_into().map_err(|_| Error::Damaged("period"))?;
    Ok(Period { name, key_id: key_id.into(), terms: Terms { passes, active_from, grace_from, small } })
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
