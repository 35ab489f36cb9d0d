//! Whether the roster comes by SCIM, from whom, and how much.

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use data_encoding::BASE64URL_NOPAD;
use sqlx::SqliteConnection;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::user::Refusal;
use crate::{
    App, Error, Mode,
    audit::{self, Action},
};

/// Which attribute of a user is the staff number, by which codes are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaffNumber {
    /// The name that a user signs in with.
    UserName,
    /// What the identity provider itself calls the user.
    ExternalId,
    /// The `employeeNumber` of the enterprise extension.
    EmployeeNumber,
}

/// An identity provider that showed its token.
#[derive(Clone, Copy)]
pub(super) struct Source {
    pub(super) staff_number: StaffNumber,
}

/// Makes the token of the identity provider, in place of an older one, and gives it this once. With the first one the
/// roster becomes empty: from then on it is what the identity provider says, and no file is taken.
pub async fn make_token(app: &App, staff_number: StaffNumber) -> Result<Zeroizing<String>, Error> {
    app.expect_mode(Mode::Roster)?;
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut()).expect("the operating system has randomness to give");
    let token = Zeroizing::new(BASE64URL_NOPAD.encode(bytes.as_ref()));
    let now = app.clock.now();
    let mut transaction = app.db.write().await?;
    let before: Option<String> =
        sqlx::query_scalar("select staff_number from scim").fetch_optional(&mut *transaction).await?;
    match before {
        Some(before) if before != staff_number.to_string() => return Err(Error::OtherStaffNumber),
        Some(_) => {}
        None => {
            sqlx::query("delete from worker").execute(&mut *transaction).await?;
        }
    }
    sqlx::query(
        "insert into scim (one, token, staff_number, day) values (1, ?, ?, ?)
         on conflict (one) do update set token = excluded.token",
    )
    .bind(&app.secret.scim_token(&token)[..])
    .bind(staff_number.to_string())
    .bind(now.date_naive())
    .execute(&mut *transaction)
    .await?;
    audit::append(&mut transaction, now, &Action::ScimTokenMade { staff_number }).await?;
    transaction.commit().await?;
    Ok(token)
}

/// Takes no more from the identity provider. The roster stays as it is until a file is imported.
pub async fn turn_off(app: &App) -> Result<(), Error> {
    let now = app.clock.now();
    let mut transaction = app.db.write().await?;
    settle(&mut transaction, now, None).await?;
    sqlx::query("delete from scim").execute(&mut *transaction).await?;
    sqlx::query("delete from scim_user").execute(&mut *transaction).await?;
    audit::append(&mut transaction, now, &Action::ScimTurnedOff).await?;
    Ok(transaction.commit().await?)
}

/// Refuses while the roster comes by SCIM: what two sources say at once is what neither says.
pub(crate) async fn expect_off(connection: &mut SqliteConnection) -> Result<(), Error> {
    let on: bool = sqlx::query_scalar("select exists (select 1 from scim)").fetch_one(connection).await?;
    if on { Err(Error::ComesByScim) } else { Ok(()) }
}

/// Whose token this is. It is asked for each time, so that one that was replaced is of no use at once.
pub(super) async fn authenticate(app: &App, token: Option<&str>) -> Result<Source, Refusal> {
    let found: Option<(Vec<u8>, String)> = sqlx::query_as("select token, staff_number from scim")
        .fetch_optional(&mut *app.db.read().await?)
        .await?;
    let (Some(token), Some((expected, staff_number))) = (token, found) else { return Err(Refusal::Token) };
    if !bool::from(app.secret.scim_token(token).ct_eq(&expected[..])) {
        return Err(Refusal::Token);
    }
    let staff_number = StaffNumber::parse(&staff_number).ok_or(Error::Damaged("scim"))?;
    Ok(Source { staff_number })
}

/// Counts what a change did. A day's numbers become one entry of the audit log, with the first change of a later day: an
/// entry for each would say when somebody in particular came or went.
pub(super) async fn count(
    transaction: &mut SqliteConnection,
    now: DateTime<Utc>,
    added: u32,
    removed: u32,
) -> Result<(), Error> {
    let today = now.date_naive();
    settle(transaction, now, Some(today)).await?;
    sqlx::query("update scim set day = ?, added = added + ?, removed = removed + ?")
        .bind(today)
        .bind(added)
        .bind(removed)
        .execute(transaction)
        .await?;
    Ok(())
}

/// Writes the numbers of a day into the audit log, but those of the day that goes on.
async fn settle(
    transaction: &mut SqliteConnection,
    now: DateTime<Utc>,
    unless: Option<NaiveDate>,
) -> Result<(), Error> {
    let counted: Option<(NaiveDate, u32, u32)> =
        sqlx::query_as("select day, added, removed from scim where added + removed > 0")
            .fetch_optional(&mut *transaction)
            .await?;
    let Some((day, added, removed)) = counted.filter(|(day, ..)| Some(*day) != unless) else { return Ok(()) };
    sqlx::query("update scim set added = 0, removed = 0").execute(&mut *transaction).await?;
    audit::append(transaction, now, &Action::Provisioned { day, added, removed }).await
}

impl StaffNumber {
    const ALL: [Self; 3] = [Self::UserName, Self::ExternalId, Self::EmployeeNumber];

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|staff_number| staff_number.to_string() == text)
    }

    pub(super) fn attribute(self) -> &'static str {
        match self {
            Self::UserName => "userName",
            Self::ExternalId => "externalId",
            Self::EmployeeNumber => "employeeNumber",
        }
    }
}

impl fmt::Display for StaffNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserName => "user-name",
            Self::ExternalId => "external-id",
            Self::EmployeeNumber => "employee-number",
        })
    }
}
