//! Where and how to write to an alias, and the code that proves that it arrives (R6).

use api::v1;
use chrono::{DateTime, TimeDelta, Utc};
use notify::{Address, Code, Language};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait,
    IntoActiveModel, QueryFilter, sea_query::OnConflict,
};
use serde::{Deserialize, Serialize};
use store::{AliasId, Instant, ReminderId, contact, reminder};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use vault::{Keyring, Purpose};

use super::plan::replan;
use crate::{
    App,
    error::{Error, LimitReason, Violation},
    field::{self, duration, given, malformed, out_of_range, required},
    once::Once,
    sealed::Safe,
};

/// How long ahead, unless said.
pub(super) const DEFAULT_LEAD: TimeDelta = TimeDelta::hours(24);

const LONGEST_ADDRESS: usize = 120;
const CODE_LASTS: TimeDelta = TimeDelta::hours(1);
const CODE_GUESSES: i32 = 5;
const CODES_A_DAY: i32 = 3;

/// Where and how to write, as it is sealed. It has no `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contact {
    email: String,
    language: String,
    level: Level,
    lead_minutes: i32,
}

/// How much a message says (R3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Update,
    Time,
}

impl Contact {
    pub(super) fn parse(contact: Option<v1::Contact>) -> Result<Self, Error> {
        // Whether it is confirmed is not the caller's to say.
        let v1::Contact { email, language_code, level, lead_time, confirmed: _ } = given(contact, "contact")?;
        let level = match v1::ReminderLevel::try_from(level) {
            Ok(v1::ReminderLevel::Unspecified | v1::ReminderLevel::Update) => Level::Update,
            Ok(v1::ReminderLevel::Time) => Level::Time,
            Err(_) => return Err(malformed("contact.level", "a reminder level")),
        };
        Ok(Self {
            email: address(email)?,
            language: language(language_code)?,
            level,
            lead_minutes: lead_minutes(lead_time)?,
        })
    }

    /// What two operators together may know.
    pub(crate) fn for_emergency(self) -> v1::ReadEmergencyContactResponse {
        v1::ReadEmergencyContactResponse { email: self.email, language_code: self.language }
    }

    pub(super) fn lead(&self) -> TimeDelta {
        TimeDelta::minutes(self.lead_minutes.into())
    }

    pub(super) fn level(&self) -> notify::Level {
        match self.level {
            Level::Update => notify::Level::Update,
            Level::Time => notify::Level::Time,
        }
    }

    pub(super) fn language(&self) -> Language {
        Language::of_tag(&self.language)
    }

    pub(super) fn address(&self) -> Result<Address, Error> {
        self.email.parse().map_err(|_| Error::Sealed("contact.sealed"))
    }

    fn print(self, confirmed: bool) -> v1::Contact {
        let lead_time = Some(duration(self.lead()));
        let Self { email, language, level, lead_minutes: _ } = self;
        let level = match level {
            Level::Update => v1::ReminderLevel::Update,
            Level::Time => v1::ReminderLevel::Time,
        };
        v1::Contact { email, language_code: language, level: level.into(), lead_time, confirmed }
    }
}

/// Keeps the contact, plans a code for it, and the reminders of sessions to come as it says.
pub(super) async fn set(
    once: &Once,
    alias: AliasId,
    contact: Contact,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    use contact::Column as C;

    let today = now.date_naive();
    let before = contact::Entity::find_by_id(alias).one(&once.tx).await?;
    let sent = before.filter(|row| row.codes_sent_on == today).map_or(0, |row| row.codes_sent);
    if sent >= CODES_A_DAY {
        return Err(Error::Limit { reason: LimitReason::Codes, most: CODES_A_DAY.unsigned_abs().into() });
    }
    let row = contact::Model {
        alias_id: alias,
        sealed: Some(once.safe()?.seal_contact(&contact)?),
        confirmed: false,
        code_id: Uuid::new_v4(),
        code_expires_at: (now + CODE_LASTS).into(),
        code_attempts: 0,
        codes_sent_on: today,
        codes_sent: sent + 1,
    };
    let replaced =
        [C::Sealed, C::Confirmed, C::CodeId, C::CodeExpiresAt, C::CodeAttempts, C::CodesSentOn, C::CodesSent];
    contact::Entity::insert(row.into_active_model())
        .on_conflict(OnConflict::column(C::AliasId).update_columns(replaced).to_owned())
        .exec_without_returning(&once.tx)
        .await?;
    forget_codes(&once.tx, alias).await?;
    let code = reminder::Model {
        id: ReminderId::random(),
        alias_id: alias,
        booking_id: None,
        kind: reminder::Kind::ContactCode,
        lead_minutes: 0,
        due_at: now.into(),
        state: reminder::State::Planned,
        attempts: 0,
        next_attempt_at: now.into(),
    };
    code.into_active_model().insert(&once.tx).await?;
    replan(&once.tx, alias, contact.lead(), now).await
}

/// Whether a code confirmed the contact.
pub(super) enum Confirmation {
    /// It did.
    Right,
    /// It did not. The guess is counted in the transaction, which the caller commits without an answer: the
    /// request is refused and its id stays free, but a guess is a guess.
    Wrong,
}

/// Compares the code, in time that does not depend on how much of it is right.
pub(super) async fn confirm(
    app: &App,
    tx: &DatabaseTransaction,
    alias: AliasId,
    code: &str,
    now: DateTime<Utc>,
) -> Result<Confirmation, Error> {
    let row = contact::Entity::find_by_id(alias)
        .one(tx)
        .await?
        .filter(|row| row.sealed.is_some())
        .ok_or(Error::NotFound("contact"))?;
    if row.code_expires_at <= Instant::from(now) || row.code_attempts >= CODE_GUESSES {
        return Err(Error::CodeExpired);
    }
    let right = self::code(&app.keyring, alias, row.code_id).to_string();
    let right: bool = right.as_bytes().ct_eq(code.as_bytes()).into();
    let guesses = row.code_attempts;
    let mut row = row.into_active_model();
    if !right {
        row.code_attempts = Set(guesses + 1);
        row.update(tx).await?;
        return Ok(Confirmation::Wrong);
    }
    row.confirmed = Set(true);
    row.update(tx).await?;
    // What fell due while nothing could be sent leaves now.
    reminder::Entity::update_many()
        .col_expr(reminder::Column::NextAttemptAt, reminder::COLUMN.due_at.into_expr())
        .filter(reminder::COLUMN.alias_id.eq(alias))
        .filter(reminder::COLUMN.kind.ne(reminder::Kind::ContactCode))
        .filter(reminder::COLUMN.state.eq(reminder::State::Planned))
        .exec(tx)
        .await?;
    Ok(Confirmation::Right)
}

/// The caller's own contact.
pub(super) async fn get(
    db: &impl ConnectionTrait,
    safe: &Safe,
    alias: AliasId,
) -> Result<v1::Contact, Error> {
    let row = contact::Entity::find_by_id(alias).one(db).await?.ok_or(Error::NotFound("contact"))?;
    let contact = safe.contact()?.ok_or(Error::NotFound("contact"))?;
    Ok(contact.print(row.confirmed))
}

/// Forgets the contact; the row stays, since it counts the codes of the day.
pub(super) async fn delete(tx: &DatabaseTransaction, alias: AliasId) -> Result<(), Error> {
    if let Some(row) = contact::Entity::find_by_id(alias).one(tx).await? {
        let mut row = row.into_active_model();
        row.sealed = Set(None);
        row.confirmed = Set(false);
        row.update(tx).await?;
    }
    forget_codes(tx, alias).await
}

/// The six digits that belong to a `code_id`; they are stored nowhere.
pub(super) fn code(keyring: &Keyring, alias: AliasId, code_id: Uuid) -> Code {
    let mac = keyring.mac(Purpose::ContactCode, &[alias.0.as_bytes(), code_id.as_bytes()]);
    let number = mac[..8].iter().fold(0, |number: u32, byte| (number * 256 + u32::from(*byte)) % 1_000_000);
    Code::new(number).expect("a remainder of a million has at most six digits")
}

/// The six digits as they were typed.
pub(super) fn parse_code(code: &str) -> Result<&str, Error> {
    if code.is_empty() {
        return Err(required("code"));
    }
    if code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(code)
    } else {
        Err(malformed("code", "six digits"))
    }
}

async fn forget_codes(tx: &DatabaseTransaction, alias: AliasId) -> Result<(), Error> {
    reminder::Entity::delete_many()
        .filter(reminder::COLUMN.alias_id.eq(alias))
        .filter(reminder::COLUMN.kind.eq(reminder::Kind::ContactCode))
        .exec(tx)
        .await?;
    Ok(())
}

fn address(email: String) -> Result<String, Error> {
    const FIELD: &str = "contact.email";
    if email.is_empty() {
        return Err(required(FIELD));
    }
    if email.chars().count() > LONGEST_ADDRESS {
        return Err(Error::invalid(FIELD, Violation::TooLong { most: LONGEST_ADDRESS, unit: "characters" }));
    }
    match email.parse::<Address>() {
        Ok(_) => Ok(email),
        Err(_) => Err(malformed(FIELD, "an e-mail address in ASCII, without a display name")),
    }
}

fn language(tag: String) -> Result<String, Error> {
    const FIELD: &str = "contact.language_code";
    let tag = field::language(tag, FIELD)?;
    let primary = tag.split('-').next().unwrap_or_default();
    let shipped = Language::ALL.iter().any(|language| language.tag().eq_ignore_ascii_case(primary));
    if shipped { Ok(tag) } else { Err(malformed(FIELD, "a tag of English, German, Spanish or French")) }
}

fn lead_minutes(lead: Option<prost_types::Duration>) -> Result<i32, Error> {
    const FIELD: &str = "contact.lead_time";
    let minutes = match lead {
        Some(lead) => field::minutes(Some(lead), FIELD)?,
        None => DEFAULT_LEAD,
    };
    i32::try_from(minutes.num_minutes())
        .ok()
        .filter(|minutes| (15..=7 * 24 * 60).contains(minutes))
        .ok_or_else(|| out_of_range(FIELD, "15 minutes to 7 days"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn r6_a_code_belongs_to_one_alias_one_request_and_one_server() {
        let keyring = Keyring::generate();
        let (alias, code_id) = (AliasId::random(), Uuid::new_v4());
        let six = |keyring: &Keyring, alias, code_id| code(keyring, alias, code_id).to_string();
        let right = six(&keyring, alias, code_id);
        assert_eq!(six(&keyring, alias, code_id), right);
        assert!(parse_code(&right).is_ok());
        // Two of them may be alike by chance; all of them are not.
        let others: HashSet<_> = (0..8)
            .flat_map(|_| {
                [
                    six(&keyring, AliasId::random(), code_id),
                    six(&keyring, alias, Uuid::new_v4()),
                    six(&Keyring::generate(), alias, code_id),
                ]
            })
            .collect();
        assert!(others.len() > 20, "{others:?}");
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut v1::Contact), refused: Option<&str>) {
        let mut contact = v1::Contact {
            email: "heron@example.com".to_owned(),
            language_code: "de".to_owned(),
            level: 0,
            lead_time: None,
            confirmed: true,
        };
        change(&mut contact);
        match (Contact::parse(Some(contact)), refused) {
            (Ok(_), None) => {}
            (Err(Error::Invalid { field, .. }), Some(refused)) => assert_eq!(field, refused),
            (parsed, _) => panic!("{:?}", parsed.err()),
        }
    }

    fn lead(seconds: i64) -> prost_types::Duration {
        prost_types::Duration { seconds, nanos: 0 }
    }

    #[test]
    fn contacts_that_are_taken_and_that_are_not() {
        check(|_| {}, None);
        check(|contact| contact.email = format!("{}@example.com", "a".repeat(64)), None);
        check(|contact| contact.email = format!("heron@{}info", "a.".repeat(56)), Some("contact.email"));
        check(|contact| contact.email = "Heron <heron@example.com>".to_owned(), Some("contact.email"));
        check(|contact| contact.email = "heron@example.com\r\nBcc: x@y.zz".to_owned(), Some("contact.email"));
        check(|contact| contact.email.clear(), Some("contact.email"));
        check(|contact| contact.language_code = "fr-CA".to_owned(), None);
        check(|contact| contact.language_code = "pt".to_owned(), Some("contact.language_code"));
        check(|contact| contact.language_code.clear(), Some("contact.language_code"));
        check(|contact| contact.level = 2, None);
        check(|contact| contact.level = 3, Some("contact.level"));
        check(|contact| contact.lead_time = Some(lead(15 * 60)), None);
        check(|contact| contact.lead_time = Some(lead(7 * 86_400)), None);
        check(|contact| contact.lead_time = Some(lead(14 * 60)), Some("contact.lead_time"));
        check(|contact| contact.lead_time = Some(lead(7 * 86_400 + 60)), Some("contact.lead_time"));
        check(|contact| contact.lead_time = Some(lead(0)), Some("contact.lead_time"));
        check(|contact| contact.lead_time = Some(lead(15 * 60 + 1)), Some("contact.lead_time"));
    }

    #[test]
    fn a_code_is_six_digits() {
        for wrong in ["", "12345", "1234567", "12345a", "１２３４５６", " 12345"] {
            assert!(parse_code(wrong).is_err(), "{wrong}");
        }
        assert!(parse_code("000000").is_ok());
    }
}
