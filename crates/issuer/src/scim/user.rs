//! The users of the identity provider: kept by keyed hashes, and eligible while they are active.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};
use thiserror::Error;
use uuid::Uuid;

use super::message::{Change, Filter, Listing, MessageError};
use super::source::{self, Source, StaffNumber};
use crate::{App, Error, roster::is_employee_id, secret::Hash};

/// A user, with what this request itself said of them: nothing else can be told.
pub(super) struct User {
    pub(super) id: Uuid,
    pub(super) active: bool,
    pub(super) said: Change,
}

/// A page, and how many there are on all of them.
pub(super) struct Page {
    pub(super) users: Vec<User>,
    pub(super) total: i64,
    pub(super) start: usize,
}

/// Why a request is not carried out.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    #[error("the token is not the one that was made for this issuer")]
    Token,
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error(
        "{0}, the staff number, has 1 to 64 letters, digits and - _ . / @, and begins with a letter or digit"
    )]
    StaffNumber(&'static str),
    #[error("another user has this userName or staff number")]
    Taken,
    #[error("there is nothing here")]
    NotFound,
    #[error("more than any user has")]
    TooLarge,
    #[error("more is asked than is answered at a time")]
    Overloaded,
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<sqlx::Error> for Refusal {
    /// The unique columns are the last judges of who is there.
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(judged) if judged.is_unique_violation() => Self::Taken,
            _ => Self::Failed(error.into()),
        }
    }
}

/// Adds a user; who was on the roster of old and has a code can use it again.
pub(super) async fn create(app: &App, source: Source, change: Change) -> Result<User, Refusal> {
    let user_name = change.user_name.as_deref().ok_or(Refusal::Missing("userName"))?;
    let worker = worker(app, source.staff_number, &change)?
        .ok_or(Refusal::Missing(source.staff_number.attribute()))?;
    let (id, now) = (Uuid::new_v4(), app.clock.now());
    let mut transaction = app.db.write().await?;
    sqlx::query("insert into scim_user (id, worker, user_name, external_id) values (?, ?, ?, ?)")
        .bind(&id.as_bytes()[..])
        .bind(&worker[..])
        .bind(&app.secret.user_name(user_name)[..])
        .bind(external_id(app, &change))
        .execute(&mut *transaction)
        .await?;
    let active = change.active.unwrap_or(true);
    if active {
        admit(&mut transaction, &worker, now).await?;
    }
    transaction.commit().await?;
    Ok(User { id, active, said: change })
}

/// Changes what is said, and leaves the rest.
pub(super) async fn change(app: &App, source: Source, id: Uuid, mut change: Change) -> Result<User, Refusal> {
    // Of a user whose name was not asked for, the id is told in its place; and what was read may be written back.
    if change.user_name.as_deref() == Some(&id.to_string()) {
        change.user_name = None;
    }
    let now = app.clock.now();
    let mut transaction = app.db.write().await?;
    let (before, was_active) = find(&mut transaction, id).await?;
    let worker = worker(app, source.staff_number, &change)?.unwrap_or(before);
    let user_name = change.user_name.as_deref().map(|name| app.secret.user_name(name).to_vec());
    sqlx::query(
        "update scim_user set worker = ?, user_name = coalesce(?, user_name), external_id = coalesce(?, external_id)
         where id = ?",
    )
    .bind(&worker[..])
    .bind(user_name)
    .bind(external_id(app, &change))
    .bind(&id.as_bytes()[..])
    .execute(&mut *transaction)
    .await?;
    let active = change.active.unwrap_or(was_active);
    // A new staff number is a new worker, as in a file.
    if was_active && (!active || worker != before) {
        dismiss(&mut transaction, &before, now).await?;
    }
    if active && (!was_active || worker != before) {
        admit(&mut transaction, &worker, now).await?;
    }
    transaction.commit().await?;
    Ok(User { id, active, said: change })
}

/// Forgets a user, who is not eligible any more.
pub(super) async fn remove(app: &App, id: Uuid) -> Result<(), Refusal> {
    let now = app.clock.now();
    let mut transaction = app.db.write().await?;
    let (worker, was_active) = find(&mut transaction, id).await?;
    sqlx::query("delete from scim_user where id = ?")
        .bind(&id.as_bytes()[..])
        .execute(&mut *transaction)
        .await?;
    if was_active {
        dismiss(&mut transaction, &worker, now).await?;
    }
    Ok(transaction.commit().await?)
}

pub(super) async fn get(app: &App, id: Uuid) -> Result<User, Refusal> {
    let (_, active) = find(&mut *app.db.read().await?, id).await?;
    Ok(User { id, active, said: Change::default() })
}

/// In the order of ids, which are random.
pub(super) async fn list(app: &App, source: Source, listing: Listing) -> Result<Page, Refusal> {
    let Listing { filter, start, count } = listing;
    let (column, hash, said) = match filter {
        None => ("id", None, Change::default()),
        Some(Filter::UserName(name)) => {
            let hash = app.secret.user_name(&name);
            ("user_name", Some(hash), Change { user_name: Some(name), ..Change::default() })
        }
        Some(Filter::ExternalId(id)) => {
            let hash = app.secret.external_id(&id);
            ("external_id", Some(hash), Change { external_id: Some(id), ..Change::default() })
        }
        Some(Filter::EmployeeNumber(number)) if source.staff_number == StaffNumber::EmployeeNumber => {
            let hash = app.secret.worker(&number);
            ("worker", Some(hash), Change { employee_number: Some(number), ..Change::default() })
        }
        Some(Filter::EmployeeNumber(_)) => return Err(MessageError::Filter.into()),
    };
    let hash = hash.map(|hash| hash.to_vec());
    let mut connection = app.db.read().await?;
    let found = format!("from scim_user where ?1 is null or {column} = ?1");
    let total = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) {found}")))
        .bind(&hash)
        .fetch_one(&mut *connection)
        .await?;
    let page =
        format!("select id, worker in (select worker from worker) {found} order by id limit ?2 offset ?3");
    let rows = sqlx::query(sqlx::AssertSqlSafe(page))
        .bind(&hash)
        .bind(i64::try_from(count).unwrap_or(i64::MAX))
        .bind(i64::try_from(start - 1).unwrap_or(i64::MAX))
        .fetch_all(&mut *connection)
        .await?;
    let user = |row: SqliteRow| {
        let id = Uuid::from_slice(row.get(0)).map_err(|_| Error::Damaged("scim_user"))?;
        Ok(User { id, active: row.get(1), said: said.clone() })
    };
    Ok(Page { users: rows.into_iter().map(user).collect::<Result<_, Error>>()?, total, start })
}

/// Whose id this is, and whether they are active.
async fn find(connection: &mut SqliteConnection, id: Uuid) -> Result<(Hash, bool), Refusal> {
    let found: Option<(Vec<u8>, bool)> =
        sqlx::query_as("select worker, worker in (select worker from worker) from scim_user where id = ?")
            .bind(&id.as_bytes()[..])
            .fetch_optional(connection)
            .await?;
    let (worker, active) = found.ok_or(Refusal::NotFound)?;
    Ok((worker.try_into().map_err(|_| Error::Damaged("scim_user"))?, active))
}

/// Makes a worker eligible from today on.
async fn admit(transaction: &mut SqliteConnection, worker: &Hash, now: DateTime<Utc>) -> Result<(), Refusal> {
    let today: NaiveDate = now.date_naive();
    sqlx::query("insert into worker (worker, active_from) values (?, ?)")
        .bind(&worker[..])
        .bind(today)
        .execute(&mut *transaction)
        .await?;
    Ok(source::count(transaction, now, 1, 0).await?)
}

/// Not eligible from this moment on.
async fn dismiss(
    transaction: &mut SqliteConnection,
    worker: &Hash,
    now: DateTime<Utc>,
) -> Result<(), Refusal> {
    sqlx::query("delete from worker where worker = ?").bind(&worker[..]).execute(&mut *transaction).await?;
    Ok(source::count(transaction, now, 0, 1).await?)
}

/// Under the same hash as in a file, so that codes are made from one for them.
fn worker(app: &App, staff_number: StaffNumber, change: &Change) -> Result<Option<Hash>, Refusal> {
    let number = match staff_number {
        StaffNumber::UserName => &change.user_name,
        StaffNumber::ExternalId => &change.external_id,
        StaffNumber::EmployeeNumber => &change.employee_number,
    };
    match number {
        Some(number) if is_employee_id(number) => Ok(Some(app.secret.worker(number))),
        Some(_) => Err(Refusal::StaffNumber(staff_number.attribute())),
        None => Ok(None),
    }
}

fn external_id(app: &App, change: &Change) -> Option<Vec<u8>> {
    change.external_id.as_deref().map(|id| app.secret.external_id(id).to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::runtime::Runtime;

    use super::*;
    use crate::{Clock, Identity, Mode};

    #[derive(Clone, Debug)]
    enum Step {
        Create { name: u8, number: u8, active: Option<bool> },
        Change { whose: usize, name: Option<u8>, number: Option<u8>, active: Option<bool> },
        Remove { whose: usize },
    }

    fn step() -> impl Strategy<Value = Step> {
        let (few, active) = (0_u8..4, any::<Option<bool>>());
        prop_oneof![
            (few.clone(), few.clone(), active.clone()).prop_map(|(name, number, active)| Step::Create {
                name,
                number,
                active
            }),
            (0_usize..4, prop::option::of(few.clone()), prop::option::of(few), active)
                .prop_map(|(whose, name, number, active)| Step::Change { whose, name, number, active }),
            (0_usize..4).prop_map(|whose| Step::Remove { whose }),
        ]
    }

    fn said(name: Option<u8>, number: Option<u8>, active: Option<bool>) -> Change {
        let [user_name, employee_number] =
            [name.map(|name| format!("Name{name}")), number.map(|number| format!("N-{number}"))];
        Change { user_name, external_id: None, employee_number, active }
    }

    /// A user as a list of all of them would have it.
    struct Known {
        id: Uuid,
        name: u8,
        number: u8,
        active: bool,
    }

    async fn check(steps: Vec<Step>) {
        let folder = tempfile::tempdir().unwrap();
        let [name, origin] = ["issuer.example", "respite.example"].map(str::to_owned);
        let identity = Identity { programme: Uuid::nil(), name, origin, mode: Mode::Roster };
        let app = App::create(&folder.path().join("issuer"), &identity, Clock::System).await.unwrap();
        source::make_token(&app, StaffNumber::EmployeeNumber).await.unwrap();
        let source = Source { staff_number: StaffNumber::EmployeeNumber };
        let mut model: Vec<Known> = Vec::new();
        for step in steps {
            let taken = |model: &[Known], except: Option<Uuid>, name, number| {
                model
                    .iter()
                    .any(|known| Some(known.id) != except && (known.name == name || known.number == number))
            };
            match step {
                Step::Create { name, number, active } => {
                    let created = create(&app, source, said(Some(name), Some(number), active)).await;
                    if taken(&model, None, name, number) {
                        assert!(matches!(created, Err(Refusal::Taken)));
                    } else {
                        let id = created.unwrap_or_else(|refusal| panic!("{refusal}")).id;
                        model.push(Known { id, name, number, active: active.unwrap_or(true) });
                    }
                }
                Step::Change { whose, name, number, active } => {
                    let Some(known) = model.get(whose) else { continue };
                    let id = known.id;
                    let (new_name, new_number) = (name.unwrap_or(known.name), number.unwrap_or(known.number));
                    let changed = change(&app, source, id, said(name, number, active)).await;
                    if taken(&model, Some(id), new_name, new_number) {
                        assert!(matches!(changed, Err(Refusal::Taken)));
                    } else {
                        let active = active.unwrap_or(known.active);
                        assert_eq!(changed.unwrap_or_else(|refusal| panic!("{refusal}")).active, active);
                        model[whose] = Known { id, name: new_name, number: new_number, active };
                    }
                }
                Step::Remove { whose } => {
                    if whose < model.len() {
                        assert!(remove(&app, model.remove(whose).id).await.is_ok());
                    }
                }
            }
            let mut eligible: Vec<Hash> = model
                .iter()
                .filter(|known| known.active)
                .map(|known| app.secret.worker(&format!("N-{}", known.number)))
                .collect();
            eligible.sort_unstable();
            let workers: Vec<Vec<u8>> = sqlx::query_scalar("select worker from worker order by worker")
                .fetch_all(&mut *app.db.read().await.unwrap())
                .await
                .unwrap();
            assert_eq!(workers, eligible);
            for Known { id, name, active, .. } in &model {
                let filter = Some(Filter::UserName(format!("NAME{name}")));
                let Ok(page) = list(&app, source, Listing { filter, start: 1, count: 9 }).await else {
                    panic!()
                };
                assert_eq!(page.total, 1);
                assert_eq!((page.users[0].id, page.users[0].active), (*id, *active));
            }
        }
        app.close().await;
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16) })]

        /// Who is eligible after any requests is who a plain list of users would say.
        #[test]
        fn any_requests_leave_those_eligible_who_are_active(steps in prop::collection::vec(step(), 1..16)) {
            Runtime::new().unwrap().block_on(check(steps));
        }
    }
}
