//! The decision: all passes of a period for a worker who is eligible, once.

use std::sync::Arc;
use std::thread::available_parallelism;

use chrono::NaiveDate;
use pass::{BlindSignature, BlindedMessage, IssueError, KeyId, TokenRequest};
use sha2::{Digest, Sha256};
use sqlx::SqliteConnection;
use thiserror::Error;
use tokio::sync::{Mutex, Semaphore};

use crate::{
    App, Error, Mode,
    code::Code,
    login::{Login, Logins},
    pace::{Pace, TooMany},
    period::{self, Period},
    secret::Hash,
};

/// Fewer workers than this hide nobody.
const FEWEST_ELIGIBLE: i64 = 50;

/// An issuer that answers workers.
pub struct Desk {
    pub(crate) app: App,
    pub(crate) logins: Option<Logins>,
    pace: Pace,
    /// As many sign at once as there are cores; the others wait in order.
    signers: Arc<Semaphore>,
    /// The key that signed last.
    key: Mutex<Option<Arc<pass::Issuer>>>,
}

/// A worker's request, in its form.
pub(crate) struct Request {
    pub(crate) shown: Shown,
    pub(crate) key_id: KeyId,
    pub(crate) messages: Vec<BlindedMessage>,
}

/// How a worker shows to be eligible.
pub(crate) enum Shown {
    /// Nothing, if what was typed cannot be a code.
    Code(Option<Code>),
    Login(Login),
}

/// Why nothing is signed.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    #[error("no period has begun, or the last one has ended")]
    NotIssuing,
    #[error("fewer than {FEWEST_ELIGIBLE} workers are eligible")]
    ProgrammeTooSmall,
    #[error("more is asked than is answered at a time")]
    Overloaded,
    #[error("the key is not the one that is offered")]
    KeyNotSigning,
    #[error("must have exactly {expected} elements")]
    Count { expected: u32 },
    #[error("the code is not accepted")]
    Code,
    #[error("only codes are accepted")]
    CodesOnly,
    #[error("the login is not accepted")]
    Login,
    #[error("the identity provider does not answer")]
    Provider(#[source] oidc::HttpError),
    #[error("other passes were signed for this worker or card in this period")]
    OtherBatch,
    #[error("must be a number below the key")]
    OutOfRange { index: usize },
    #[error("signing failed")]
    Signing(#[source] IssueError),
    #[error(transparent)]
    Failed(#[from] Error),
}

impl Desk {
    /// Opens a desk for workers. Cards have no logins beside them: a card is to be nobody's.
    pub fn new(app: App, logins: Option<Logins>) -> Result<Self, Error> {
        match (app.identity().mode, &logins) {
            (Mode::Cards, None) | (Mode::Roster, _) | (Mode::Logins { .. }, Some(_)) => {}
            (mode @ Mode::Cards, Some(_)) => return Err(Error::Mode { mode }),
            (Mode::Logins { .. }, None) => return Err(Error::NoProvider),
        }
        let cores = available_parallelism().map_or(1, usize::from);
        let signers = Arc::new(Semaphore::new(cores));
        Ok(Self { app, logins, pace: Pace::new(), signers, key: Mutex::default() })
    }

    /// Closes the database, waiting for what is being written.
    pub async fn close(&self) {
        self.app.close().await;
    }

    /// What every worker is offered today.
    pub(crate) async fn offer(&self) -> Result<Period, Refusal> {
        let today = self.app.clock.today();
        let mut connection = self.app.db.read().await?;
        let period = period::on(&mut connection, today).await?.ok_or(Refusal::NotIssuing)?;
        expect_enough(&mut connection, self.app.identity().mode, &period, today).await?;
        Ok(period)
    }

    /// Signs, and writes down that it did before anybody sees what.
    pub(crate) async fn issue(&self, request: Request) -> Result<Vec<BlindSignature>, Refusal> {
        let Request { shown, key_id, messages } = request;
        self.pace.turn().await?;
        let now = self.app.clock.now();
        let today = now.date_naive();
        let period = period::on(&mut *self.app.db.read().await?, today).await?.ok_or(Refusal::NotIssuing)?;
        if key_id != period.key_id {
            return Err(Refusal::KeyNotSigning);
        }
        let expected = period.terms.passes;
        if u32::try_from(messages.len()) != Ok(expected) {
            return Err(Refusal::Count { expected });
        }
        let secret = &self.app.secret;
        let asking = match shown {
            Shown::Code(code) => Asking::Code(secret.code(&code.ok_or(Refusal::Code)?)),
            Shown::Login(login) => {
                let logins = self.logins.as_ref().ok_or(Refusal::CodesOnly)?;
                Asking::Worker(logins.worker(secret, &login, now).await?)
            }
        };
        let mode = self.app.identity().mode;
        let claim = Claim { asking, batch: digest(&messages), mode, period: &period, today };

        // Asked twice: here, so that no stranger makes the issuer sign; and in the transaction, which decides.
        claim.standing(&mut *self.app.db.read().await?).await?;
        let signatures = self.sign(&period, messages).await?;
        let mut transaction = self.app.db.write().await?;
        if let Standing::Eligible { holder } = claim.standing(&mut transaction).await? {
            claim.write(&mut transaction, &holder).await?;
        }
        transaction.commit().await?;
        Ok(signatures)
    }

    async fn sign(
        &self,
        period: &Period,
        messages: Vec<BlindedMessage>,
    ) -> Result<Vec<BlindSignature>, Refusal> {
        let key = self.key(period).await?;
        let turn = Arc::clone(&self.signers).acquire_owned().await.expect("the semaphore is never closed");
        let key_id = period.key_id;
        let signing = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let sign = |(index, blinded_message)| {
                key.issue(&TokenRequest { key_id, blinded_message }).map_err(|error| match error {
                    IssueError::OutOfRange => Refusal::OutOfRange { index },
                    IssueError::OtherKey { .. } | IssueError::Fault => Refusal::Signing(error),
                })
            };
            messages.into_iter().enumerate().map(sign).collect()
        });
        signing.await.map_err(|_| Error::Interrupted)?
    }

    async fn key(&self, period: &Period) -> Result<Arc<pass::Issuer>, Error> {
        let mut last = self.key.lock().await;
        match &*last {
            Some(key) if key.public_key().id() == period.key_id => Ok(Arc::clone(key)),
            _ => Ok(Arc::clone(last.insert(Arc::new(period::key(&self.app, period)?)))),
        }
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<TooMany> for Refusal {
    fn from(TooMany: TooMany) -> Self {
        Self::Overloaded
    }
}

/// What somebody wants to have signed.
struct Claim<'a> {
    asking: Asking,
    batch: Hash,
    mode: Mode,
    period: &'a Period,
    today: NaiveDate,
}

/// Who wants it.
enum Asking {
    /// Whoever has the code with this hash.
    Code(Hash),
    /// Who has this hash on the roster, if anybody; or who signed in.
    Worker(Hash),
}

/// Where who asks stands in this period.
enum Standing {
    /// Nothing was signed yet.
    Eligible { holder: Vec<u8> },
    /// The same was signed before, and its answer may be lost. That holds for who has left since, too, and if too few are
    /// left to be given new passes.
    Again,
}

impl Claim<'_> {
    async fn standing(&self, connection: &mut SqliteConnection) -> Result<Standing, Refusal> {
        // The staff may have withdrawn it since.
        if period::on(connection, self.today).await?.as_ref() != Some(self.period) {
            return Err(Refusal::KeyNotSigning);
        }
        let (held, hash, refused) = match (&self.asking, self.mode) {
            (Asking::Code(hash), _) => (
                "select coalesce(code.worker, code.code), coalesce(code.last_day >= ?1, worker.active_from <= ?1
                     and coalesce(worker.active_until >= ?1, true), false)
                 from code left join worker on worker.worker = code.worker
                 where code.code = ?2",
                hash,
                Refusal::Code,
            ),
            // The provider has said so.
            (Asking::Worker(hash), Mode::Logins { .. }) => ("select ?2, ?1 is not null", hash, Refusal::Login),
            // Who has left is a row, too: what was signed for them is.
            (Asking::Worker(hash), Mode::Cards | Mode::Roster) => (
                "select ?2, exists (select 1 from worker where worker = ?2 and active_from <= ?1
                     and coalesce(active_until >= ?1, true))",
                hash,
                Refusal::Login,
            ),
        };
        let held: Option<(Vec<u8>, bool)> =
            sqlx::query_as(held).bind(self.today).bind(&hash[..]).fetch_optional(&mut *connection).await?;
        let Some((holder, eligible)) = held else { return Err(refused) };
        let signed: Option<Vec<u8>> = sqlx::query_scalar(
            "select batch from issuance where period = ? and holder = ? and batch <> zeroblob(32)",
        )
        .bind(self.period.name.as_str())
        .bind(&holder)
        .fetch_optional(&mut *connection)
        .await?;
        match signed {
            Some(batch) if batch == self.batch => Ok(Standing::Again),
            Some(_) => Err(Refusal::OtherBatch),
            None if eligible => {
                expect_enough(connection, self.mode, self.period, self.today).await?;
                Ok(Standing::Eligible { holder })
            }
            None => Err(refused),
        }
    }

    /// Who was here in periods that have ended is forgotten in the same breath.
    ///
    /// Where a row lies in the file says nothing of when its holder came: all who may come have a row beforehand, and the
    /// batch is written over zeros where it is. A row is missing with the first batch of a period, of who is new on the
    /// roster, and of whoever signs in where there is none.
    async fn write(&self, transaction: &mut SqliteConnection, holder: &[u8]) -> Result<(), Refusal> {
        period::forget(&mut *transaction, self.today).await?;
        if !self.fill(&mut *transaction, holder).await? {
            self.make_rows(&mut *transaction, holder).await?;
            self.fill(transaction, holder).await?;
        }
        Ok(())
    }

    /// Writes the batch into the holder's row, if there is one.
    async fn fill(&self, transaction: &mut SqliteConnection, holder: &[u8]) -> Result<bool, Refusal> {
        let filled = sqlx::query("update issuance set batch = ? where period = ? and holder = ?")
            .bind(&self.batch[..])
            .bind(self.period.name.as_str())
            .bind(holder)
            .execute(transaction)
            .await?;
        Ok(filled.rows_affected() > 0)
    }

    /// Makes rows for the holder and for everybody who is known and has none. Then all rows are laid anew in the order of
    /// hashes, since SQLite puts a new one where there is room: how they lie follows from whose they are alone.
    async fn make_rows(&self, transaction: &mut SqliteConnection, holder: &[u8]) -> Result<(), Refusal> {
        let rows = match self.mode {
            Mode::Cards => {
                "insert or ignore into issuance
                 select ?1, ?2, zeroblob(32) union select ?1, code, zeroblob(32) from code"
            }
            Mode::Roster => {
                "insert or ignore into issuance
                 select ?1, ?2, zeroblob(32) union select ?1, worker, zeroblob(32) from worker"
            }
            Mode::Logins { .. } => "insert into issuance values (?1, ?2, zeroblob(32))",
        };
        sqlx::query(rows).bind(self.period.name.as_str()).bind(holder).execute(&mut *transaction).await?;
        sqlx::raw_sql(
            "create temp table laid as select * from issuance;
             delete from issuance;
             insert into issuance select * from laid order by period, holder;
             drop table laid",
        )
        .execute(transaction)
        .await?;
        Ok(())
    }
}

/// Whether new passes may be signed, among so many.
async fn expect_enough(
    connection: &mut SqliteConnection,
    mode: Mode,
    period: &Period,
    today: NaiveDate,
) -> Result<(), Refusal> {
    if period.terms.small {
        return Ok(());
    }
    let counted = match mode {
        // No further than has to be counted: whoever asks for an offer, who may be anybody, has it read some pages.
        Mode::Cards => Ok("select count(*) from (select 1 from code where last_day >= ?1 limit ?2)"),
        Mode::Roster => Ok("select count(*) from (select 1 from worker
            where active_from <= ?1 and coalesce(active_until >= ?1, true) limit ?2)"),
        Mode::Logins { eligible } => Err(i64::from(eligible)),
    };
    let eligible = match counted {
        Ok(count) => {
            sqlx::query_scalar(count).bind(today).bind(FEWEST_ELIGIBLE).fetch_one(connection).await?
        }
        Err(said) => said,
    };
    if eligible < FEWEST_ELIGIBLE { Err(Refusal::ProgrammeTooSmall) } else { Ok(()) }
}

/// Messages have one length, so that no two batches are the same bytes.
fn digest(messages: &[BlindedMessage]) -> Hash {
    let mut hash = Sha256::new().chain_update(b"respite-issuer/batch/v1");
    for message in messages {
        hash.update(message.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::Days;
    use tempfile::TempDir;
    use tokio::time::Instant;
    use uuid::Uuid;

    use super::*;
    use crate::{Clock, Identity, period::Terms};

    /// When all turns of the next seconds are taken, nobody's code is even looked at.
    #[tokio::test]
    async fn guesses_wait_for_their_turn() {
        let (_folder, app) = issuer(Mode::Cards).await;
        let desk = Desk::new(app, None).unwrap();
        let guess = || Request { shown: Shown::Code(None), key_id: KeyId::from([0; 32]), messages: vec![] };
        assert!(matches!(desk.issue(guess()).await, Err(Refusal::NotIssuing)));
        let now = Instant::now();
        while desk.pace.reserve(now).is_ok() {}
        assert!(matches!(desk.issue(guess()).await, Err(Refusal::Overloaded)));
    }

    /// A batch that is being signed when the key is withdrawn is not given out.
    #[tokio::test]
    async fn what_is_withdrawn_meanwhile_is_not_signed_with() {
        let (_folder, app) = issuer(Mode::Logins { eligible: 60 }).await;
        let today = app.clock.today();
        let period = period(&app).await;
        let mode = app.identity().mode;
        let claim = Claim { asking: Asking::Worker([1; 32]), batch: [2; 32], mode, period: &period, today };
        let standing = async || claim.standing(&mut app.db.read().await.unwrap()).await;
        assert!(matches!(standing().await, Ok(Standing::Eligible { .. })));
        period::withdraw(&app, &period.name).await.unwrap();
        assert!(matches!(standing().await, Err(Refusal::KeyNotSigning)));
    }

    /// In whatever order they come, and whoever of them is new on the roster meanwhile.
    #[tokio::test]
    async fn no_place_in_the_file_tells_who_came_when() {
        let holders = (0_u32..300).map(|number| Sha256::digest(number.to_be_bytes()).into());
        let mut holders: Vec<Hash> = holders.collect();
        for mode in [Mode::Cards, Mode::Roster, Mode::Logins { eligible: 60 }] {
            let first = lie(mode, &holders).await;
            assert_eq!(first.iter().map(Vec::len).sum::<usize>(), holders.len());
            assert!(first.len() > 3, "pages");
            holders.reverse();
            assert_eq!(first, lie(mode, &holders).await, "{mode}");
        }
    }

    /// How holders lie in the pages of the file who came in this order, a third of them known at a time.
    async fn lie(mode: Mode, holders: &[Hash]) -> BTreeSet<Vec<Vec<u8>>> {
        let (folder, app) = issuer(mode).await;
        let today = app.clock.today();
        let period = period(&app).await;
        let mut transaction = app.db.write().await.unwrap();
        for (number, holder) in holders.iter().enumerate() {
            if number % 100 == 0 {
                for known in &holders[number..number + 100] {
                    let row = match mode {
                        Mode::Cards => "insert into code values (?1, null, ?2)",
                        Mode::Roster => "insert into worker values (?1, ?2, null)",
                        Mode::Logins { .. } => break,
                    };
                    let row = sqlx::query(row).bind(&known[..]).bind(today);
                    row.execute(&mut *transaction).await.unwrap();
                }
            }
            let asking = Asking::Worker(*holder);
            let claim = Claim { asking, batch: [2; 32], mode, period: &period, today };
            claim.write(&mut transaction, holder).await.unwrap();
        }
        transaction.commit().await.unwrap();
        let file = std::fs::read(folder.path().join("issuer/issuer.db")).unwrap();
        let pages: Vec<(u32, u32)> =
            sqlx::query_as("select pgoffset, pgsize from dbstat where name = 'issuance'")
                .fetch_all(&mut *app.db.read().await.unwrap())
                .await
                .unwrap();
        let page = |(start, size): (u32, u32)| -> Vec<Vec<u8>> {
            let page = file[start as usize..(start + size) as usize].windows(32);
            page.filter(|part| holders.iter().any(|holder| holder == part)).map(<[u8]>::to_vec).collect()
        };
        pages.into_iter().map(page).collect()
    }

    async fn issuer(mode: Mode) -> (TempDir, App) {
        let folder = tempfile::tempdir().unwrap();
        let [name, origin] = ["issuer.example", "respite.example"].map(str::to_owned);
        let identity = Identity { programme: Uuid::nil(), name, origin, mode };
        let app = App::create(&folder.path().join("issuer"), &identity, Clock::System).await.unwrap();
        (folder, app)
    }

    async fn period(app: &App) -> Period {
        let first = app.clock.today();
        let terms = Terms { passes: 3, first, last: first + Days::new(90), small: false };
        period::make(app, "now".parse().unwrap(), terms).await.unwrap()
    }
}
