//! Who calls, and when they have time, kept in memory from one search to the next.
//!
//! The database writes down whatever changes of a caller, and the mirror that reads it has this forgotten; so only a
//! server whose mirror is current may believe it. An opened roster is personal data: what nobody has asked for lately
//! goes, and a server keeps only so much.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use calendar::Roster;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::ExprTrait};
use store::{AliasId, Instant, Opaque, Tags, TherapistId, access_token, booking, booking::State};
use tokio::time::Instant as Moment;
use uuid::Uuid;

use crate::{
    App,
    alias::AliasSettings,
    error::{Error, Unauthenticated},
    sealed::Safe,
};

/// How long it is kept after it was asked for.
const KEPT: Duration = Duration::from_mins(1);
/// How much of each kind.
const MOST: usize = 4_000;

/// After which a session keeps nobody busy, whatever its buffers.
const OVER: TimeDelta = TimeDelta::days(1);

/// What is kept.
#[derive(Default)]
pub struct Callers {
    tokens: Mutex<Kept<Opaque, Arc<access_token::Model>>>,
    aliases: Mutex<Kept<AliasId, Arc<Own>>>,
}

/// What a search needs to know of the alias that asks.
pub(crate) struct Own {
    pub(crate) settings: AliasSettings,
    pub(crate) roster: Option<Arc<Roster>>,
    /// Whom they must not meet (D5).
    pub(crate) tags: Tags,
    /// What keeps them busy and is not long over, holds that expired among it.
    pub(crate) bookings: Vec<booking::Model>,
    /// Whom they have had a session with (D4).
    pub(crate) seen: Vec<TherapistId>,
}

impl Callers {
    /// The token with this hash, if it holds.
    pub(crate) async fn token(
        &self,
        app: &App,
        hash: &Opaque,
        now: DateTime<Utc>,
    ) -> Result<Arc<access_token::Model>, Error> {
        let kept = lock(&self.tokens).get(hash);
        let token = match kept {
            Ok(token) => token,
            Err(reading) => {
                let row = access_token::Entity::find_by_id(hash.clone()).one(app.db.read()).await;
                let Ok(Some(row)) = row else {
                    // A token that is nobody's takes nobody's place.
                    lock(&self.tokens).give_up(&reading);
                    row?;
                    return Err(Unauthenticated::Token.into());
                };
                let token = Arc::new(row);
                lock(&self.tokens).keep(&reading, token.clone());
                token
            }
        };
        if token.expires_at > Instant::from(now) { Ok(token) } else { Err(Unauthenticated::Token.into()) }
    }

    /// Forgets a token that does not hold any more.
    pub(crate) fn forget_token(&self, hash: &Opaque) {
        lock(&self.tokens).0.remove(hash);
    }

    /// What is known of the alias, once the mirror has caught up, from memory if that may be believed.
    pub(crate) async fn own(&self, app: &App, alias: AliasId, now: DateTime<Utc>) -> Result<Arc<Own>, Error> {
        if !app.mirror.catch_up(now).await? {
            return Ok(Arc::new(Own::read(app, alias, now).await?));
        }
        let reading = match lock(&self.aliases).get(&alias) {
            Ok(own) => return Ok(own),
            Err(reading) => reading,
        };
        let own = Arc::new(Own::read(app, alias, now).await?);
        lock(&self.aliases).keep(&reading, own.clone());
        Ok(own)
    }

    /// Forgets these callers, of these aliases their time alone, and whatever nobody has asked for lately.
    pub(crate) fn forget(&self, callers: &HashSet<Uuid>, aliases: &HashSet<AliasId>) {
        let now = Moment::now();
        // Whose a token is that is being read, nobody knows yet.
        let holds = |token: Option<&Arc<access_token::Model>>| {
            token.is_some_and(|token| !callers.contains(&token.caller_id))
        };
        lock(&self.tokens).retain(now, |_, token| holds(token));
        lock(&self.aliases).retain(now, |id, _| !callers.contains(&id.0) && !aliases.contains(id));
    }

    /// Forgets everything.
    pub(crate) fn forget_all(&self) {
        lock(&self.tokens).0.clear();
        lock(&self.aliases).0.clear();
    }
}

impl Own {
    async fn read(app: &App, alias: AliasId, now: DateTime<Utc>) -> Result<Self, Error> {
        let db = app.db.read();
        let safe = Safe::open(app, db, alias).await?;
        let over = Instant::from(now - OVER);
        let busy = booking::COLUMN.occupies.eq(true).and(booking::COLUMN.ends_at.gt(over));
        let met = booking::COLUMN.state.is_in([State::Arrived, State::Fulfilled]);
        let mut bookings = booking::Entity::find()
            .filter(booking::COLUMN.alias_id.eq(alias))
            .filter(busy.or(met))
            .all(db)
            .await?;
        let met = bookings.iter().filter(|row| matches!(row.state, State::Arrived | State::Fulfilled));
        let mut seen: Vec<_> = met.map(|row| row.therapist_id).collect();
        seen.sort_unstable();
        seen.dedup();
        bookings.retain(|row| row.occupies && row.ends_at > over);
        Ok(Self {
            settings: safe.settings()?,
            roster: safe.roster()?.map(Arc::new),
            tags: safe.exclusion_tags().clone(),
            bookings,
            seen,
        })
    }
}

fn lock<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was read, by what it is of.
struct Kept<K, V>(HashMap<K, Entry<V>>);

struct Entry<V> {
    asked: Moment,
    /// Nothing while it is read.
    value: Result<V, Uuid>,
}

/// The right to say what was read, unless it was forgotten meanwhile: then it may be what was there before.
struct Reading<K> {
    key: K,
    id: Uuid,
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Kept<K, V> {
    fn get(&mut self, key: &K) -> Result<V, Reading<K>> {
        let asked = Moment::now();
        if let Some(entry) = self.0.get_mut(key) {
            entry.asked = asked;
            // Whoever of those who read it at once is the first to know says it to all.
            return entry.value.clone().map_err(|id| Reading { key: key.clone(), id });
        }
        if self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(_, entry)| entry.asked).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| self.0.remove(&oldest));
        }
        let id = Uuid::new_v4();
        self.0.insert(key.clone(), Entry { asked, value: Err(id) });
        Err(Reading { key: key.clone(), id })
    }

    fn keep(&mut self, reading: &Reading<K>, value: V) {
        if let Some(entry) = self.0.get_mut(&reading.key)
            && matches!(entry.value, Err(id) if id == reading.id)
        {
            entry.value = Ok(value);
        }
    }

    /// There is nothing to be kept.
    fn give_up(&mut self, reading: &Reading<K>) {
        if self.0.get(&reading.key).is_some_and(|entry| matches!(entry.value, Err(id) if id == reading.id)) {
            self.0.remove(&reading.key);
        }
    }

    /// Keeps what was asked for lately and `holds`; there is no value while it is read.
    fn retain(&mut self, now: Moment, holds: impl Fn(&K, Option<&V>) -> bool) {
        self.0.retain(|key, entry| {
            let lately = now.saturating_duration_since(entry.asked) < KEPT;
            lately && holds(key, entry.value.as_ref().ok())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kept: &mut Kept<u32, u32>, key: u32) -> Reading<u32> {
        kept.get(&key).expect_err("it has to be read")
    }

    #[test]
    fn what_was_forgotten_while_it_was_read_is_not_kept() {
        let mut kept = Kept::default();
        let reading = read(&mut kept, 1);
        kept.retain(Moment::now(), |_, _| false);
        kept.keep(&reading, 10);
        let again = read(&mut kept, 1);
        // Nor when somebody else has begun to read it since.
        kept.keep(&reading, 10);
        kept.keep(&again, 11);
        assert_eq!(kept.get(&1).ok(), Some(11));
    }

    #[test]
    fn what_is_not_there_takes_no_place() {
        let mut kept = Kept::default();
        for key in 0..2 * u32::try_from(MOST).unwrap() {
            let reading = read(&mut kept, key);
            kept.give_up(&reading);
        }
        assert!(kept.0.is_empty());
        let (first, second) = (read(&mut kept, 1), read(&mut kept, 1));
        kept.keep(&first, 10);
        kept.give_up(&second);
        assert_eq!(kept.get(&1).ok(), Some(10));
    }

    #[test]
    fn of_many_who_read_at_once_the_first_to_know_says_it() {
        let mut kept = Kept::default();
        let readings = [read(&mut kept, 1), read(&mut kept, 1), read(&mut kept, 1)];
        kept.keep(&readings[0], 10);
        kept.keep(&readings[2], 12);
        assert_eq!(kept.get(&1).ok(), Some(10));
    }

    #[test]
    fn it_stays_while_it_is_asked_for_and_there_is_room() {
        let mut kept = Kept::default();
        let reading = read(&mut kept, 1);
        kept.keep(&reading, 10);
        let (soon, later) = (Moment::now() + KEPT / 2, Moment::now() + KEPT * 2);
        kept.retain(soon, |_, _| true);
        assert_eq!(kept.get(&1).ok(), Some(10));
        kept.retain(later, |_, _| true);
        read(&mut kept, 1);
        for key in 2..2 * u32::try_from(MOST).unwrap() {
            let _ = kept.get(&key);
        }
        assert_eq!(kept.0.len(), MOST);
        // Whoever asks now has room, and whoever asked first has none.
        assert!(!kept.0.contains_key(&1));
    }
}
