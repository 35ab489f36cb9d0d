//! A4: the addresses of a therapist's calendars.
//!
//! A secret is derived under the server's key from a seed that is remembered instead of the answer: neither the database
//! nor the answer has the secret, and the same request is given the same answer again (B3). Once the seed is forgotten,
//! nobody makes that secret again, not even with the same request.

use api::v1;
use data_encoding::BASE64URL_NOPAD;
use sea_orm::{ActiveModelTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, ModelTrait};
use sha2::{Digest, Sha256};
use store::{Opaque, TherapistId, calendar_feed};
use vault::Purpose;

use crate::{App, error::Error, once::Turn};

/// What every address begins with.
const PREFIX: &str = "/calendars/";
const SESSIONS: &str = "/sessions.ics";
const OPEN_TIME: &str = "/open-time.ics";

/// Which of a therapist's calendars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calendar {
    /// Their sessions.
    Sessions,
    /// What is open.
    OpenTime,
}

/// 128 bits that let whoever has them read a therapist's calendars. Those that read open time alone are derived from them,
/// and lead nowhere back: that address is one to hand on.
struct Secret([u8; 16]);

/// How both secrets are known: by the hash of the lesser one.
pub(super) struct Key([u8; 16]);

impl Secret {
    /// The secret that grows from a seed. An answer of a version that remembered something else has none.
    fn of(app: &App, therapist: TherapistId, seed: &[u8]) -> Result<Self, Error> {
        if seed.len() != SEED {
            return Err(Error::RequestIdReused);
        }
        let parts = [therapist.0.as_bytes().as_slice(), seed];
        let mac = app.keyring.mac(Purpose::CalendarFeed, &parts);
        let mut secret = [0; 16];
        secret.copy_from_slice(&mac[..16]);
        Ok(Self(secret))
    }

    fn addresses(&self) -> v1::CalendarFeed {
        let text = |secret: &[u8; 16]| BASE64URL_NOPAD.encode(secret);
        v1::CalendarFeed {
            sessions_path: format!("{PREFIX}{}{SESSIONS}", text(&self.0)),
            open_time_path: format!("{PREFIX}{}{OPEN_TIME}", text(&self.open_time().0)),
        }
    }

    fn open_time(&self) -> Key {
        let digest = Sha256::new().chain_update(b"respite/open-time/v1").chain_update(self.0).finalize();
        let mut secret = [0; 16];
        secret.copy_from_slice(&digest[..16]);
        Key(secret)
    }
}

impl Key {
    /// What an address leads to, if it is one, and which calendar it asks for.
    pub(super) fn parse(path: &str) -> Option<(Self, Calendar)> {
        let (secret, calendar) = path.strip_prefix(PREFIX)?.split_at_checked(22)?;
        let secret = BASE64URL_NOPAD.decode(secret.as_bytes()).ok()?.try_into().ok()?;
        match calendar {
            SESSIONS => Some((Secret(secret).open_time(), Calendar::Sessions)),
            OPEN_TIME => Some((Self(secret), Calendar::OpenTime)),
            _ => None,
        }
    }

    pub(super) fn hash(&self) -> Opaque {
        Opaque(Sha256::digest(self.0).to_vec())
    }
}

/// The length of what a secret grows from.
const SEED: usize = 16;

/// What becomes of the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// There were none.
    Create,
    /// They take the place of others, which end.
    Rotate,
}

/// Writes new addresses down, and tells them; again if the request was carried out already.
pub(super) async fn addresses(
    app: &App,
    turn: Turn<Vec<u8>>,
    therapist: TherapistId,
    write: Write,
) -> Result<v1::CalendarFeed, Error> {
    // What is remembered is the seed alone: the addresses are kept nowhere.
    let seed = match turn {
        Turn::Again(seed) => seed,
        Turn::First(once) => {
            let seed = seed()?;
            let secret = Secret::of(app, therapist, &seed)?;
            match write {
                Write::Create => create(&once.tx, therapist, &secret).await?,
                Write::Rotate => rotate(&once.tx, therapist, &secret).await?,
            }
            once.commit(seed).await?
        }
    };
    Ok(Secret::of(app, therapist, &seed)?.addresses())
}

/// What a secret grows from.
fn seed() -> Result<Vec<u8>, Error> {
    let mut seed = vec![0; SEED];
    getrandom::fill(&mut seed).map_err(|_| Error::Randomness)?;
    Ok(seed)
}

async fn create(tx: &DatabaseTransaction, therapist: TherapistId, secret: &Secret) -> Result<(), Error> {
    if calendar_feed::Entity::find_by_id(therapist).one(tx).await?.is_some() {
        return Err(Error::CalendarFeedExists);
    }
    calendar_feed::Model { therapist_id: therapist, hash: secret.open_time().hash() }
        .into_active_model()
        .insert(tx)
        .await?;
    Ok(())
}

async fn rotate(tx: &DatabaseTransaction, therapist: TherapistId, secret: &Secret) -> Result<(), Error> {
    let mut row = find(tx, therapist).await?;
    row.hash = secret.open_time().hash();
    row.into_active_model().reset_all().update(tx).await?;
    Ok(())
}

pub(super) async fn delete(tx: &DatabaseTransaction, therapist: TherapistId) -> Result<(), Error> {
    find(tx, therapist).await?.delete(tx).await?;
    Ok(())
}

async fn find(tx: &DatabaseTransaction, therapist: TherapistId) -> Result<calendar_feed::Model, Error> {
    let row = calendar_feed::Entity::find_by_id(therapist).one(tx).await?;
    row.ok_or(Error::NotFound("calendar feed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_was_written_and_not_otherwise() {
        let secret = Secret([0xfb; 16]);
        let v1::CalendarFeed { sessions_path, open_time_path } = secret.addresses();
        for (path, calendar) in [(&sessions_path, Calendar::Sessions), (&open_time_path, Calendar::OpenTime)]
        {
            let (read, which) = Key::parse(path).unwrap();
            assert_eq!((read.0, which), (secret.open_time().0, calendar));
        }
        // Whoever was given the one that may be handed on cannot make the other of it.
        let swapped = open_time_path.replace(OPEN_TIME, SESSIONS);
        assert_ne!(Key::parse(&swapped).unwrap().0.0, secret.open_time().0);
        let secret = &sessions_path[PREFIX.len()..PREFIX.len() + 22];
        for wrong in [
            "",
            "/calendars/",
            &sessions_path[1..],
            &sessions_path[..sessions_path.len() - 1],
            &format!("{sessions_path}/"),
            &format!("/calendars/{}{SESSIONS}", &secret[1..]),
            &format!("/calendars/{secret}A{SESSIONS}"),
            &format!("/calendars/{}\u{e9}{SESSIONS}", &secret[1..]),
            &format!("/calendars/{}={SESSIONS}", &secret[1..]),
            &format!("/calendars/{secret}/else.ics"),
        ] {
            assert!(Key::parse(wrong).is_none(), "{wrong}");
        }
    }
}
