//! E2: what pays for a session. A pass is judged before anything is locked, and spent in the booking's transaction.

use std::sync::Arc;

use api::v1::confirm_booking_request::Payment as Means;
use chrono::{DateTime, TimeDelta, Utc};
use pass::{
    KeyState,
    origin::{self, RedeemError, Redemption},
};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, ModelTrait, QueryFilter};
use store::{
    AliasId, CreditId, Opaque, ProgrammeId, Writes, booking, credit, programme,
    spent_pass::{self, Spending},
};

use super::{
    log::{DAMAGED, position},
    period::Period,
    terms::Terms,
};
use crate::{
    App,
    error::{Error, PassRefusal},
    field,
};

/// What a request pays with, if it does; or why that pays for nothing, which is told once the request is known to be
/// new: whoever asks again is given the first answer, whatever became of the pass.
pub(crate) struct Payment(Result<Option<Good>, Error>);

/// Something that pays for sessions of a programme.
struct Good {
    terms: Arc<Terms>,
    kind: Kind,
}

enum Kind {
    Pass(Pass),
    Credit,
}

struct Pass {
    period: Period,
    spent: spent_pass::Model,
    /// How many entries of the log of keys it was judged by.
    judged_by: i32,
}

impl Payment {
    pub(crate) async fn read(app: &App, means: Option<&Means>, now: DateTime<Utc>) -> Result<Self, Error> {
        Ok(Self(match means {
            None => Ok(None),
            Some(Means::Pass(token)) => redeem(app, token, now).await.map(Some),
            Some(Means::Credit(programme)) => of(app, field::id(programme, "credit")?).await.map(Some),
        }))
    }

    /// Spends it for a booking of the alias, whose row is locked. It is last in the transaction: whoever brings the
    /// same pass at the same time waits until the end.
    pub(crate) async fn spend(
        self,
        app: &App,
        tx: &DatabaseTransaction,
        alias: AliasId,
        booking: &mut booking::Model,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let Some(Good { terms, kind }) = self.0? else {
            let required = app.settings.pass_required;
            return if required { Err(PassRefusal::Required.into()) } else { Ok(()) };
        };
        if !terms.cover(booking) {
            return Err(PassRefusal::NotCovering.into());
        }
        let start = DateTime::from(booking.starts_at);
        match kind {
            Kind::Pass(pass) if !pass.period.contains(start) => return Err(PassRefusal::OutOfPeriod.into()),
            Kind::Pass(pass) => pass.spend(app, tx, now).await?,
            Kind::Credit => {
                let credit =
                    credit::Entity::covering(alias, terms.programme, start.date_naive()).one(tx).await?;
                credit.ok_or(PassRefusal::NoCredit)?.delete(tx).await?;
            }
        }
        booking.programme_id = Some(terms.programme);
        Ok(())
    }
}

impl Pass {
    /// Its key may have been revoked since it was judged: then it is judged again.
    async fn spend(mut self, app: &App, tx: &DatabaseTransaction, now: DateTime<Utc>) -> Result<(), Error> {
        loop {
            match self.spent.spend(tx, self.judged_by).await? {
                Spending::Done => return Ok(()),
                Spending::Before => return Err(PassRefusal::Spent.into()),
                Spending::LogGrew => {
                    let directory = app.keys.current(tx).await?;
                    let mut live = directory.records().filter(|key| takes(key.state(now.timestamp())));
                    if !live.any(|key| key.key.id().as_bytes()[..] == self.spent.key_id.0[..]) {
                        return Err(PassRefusal::KeyNotLive.into());
                    }
                    self.judged_by = position(&directory)?;
                }
            }
        }
    }
}

/// Whether passes of a key in this state pay.
fn takes(state: KeyState) -> bool {
    matches!(state, KeyState::Active | KeyState::Grace)
}

/// Gives the alias a credit for a booking that it cancelled, if a programme paid and does not let it cost the session.
pub(crate) async fn refund(
    app: &App,
    tx: &DatabaseTransaction,
    writes: &mut Writes,
    alias: AliasId,
    booking: &booking::Model,
) -> Result<(), Error> {
    let Some(programme) = booking.programme_id else { return Ok(()) };
    if booking.late_cancellation {
        let terms = programme::Entity::find_by_id(programme).one(tx).await?;
        if terms.is_none_or(|terms| terms.late_cancellation_costs) {
            return Ok(());
        }
    }
    let period = period(app, tx, programme, booking.starts_at.into()).await?;
    writes.insert(credit::Model {
        id: CreditId::random(),
        alias_id: alias,
        programme_id: programme,
        first_date: period.first(),
        last_date: period.last(),
    });
    Ok(())
}

/// What a programme pays for stays within its period when it moves to `start`.
pub(crate) async fn check_move(
    app: &App,
    tx: &DatabaseTransaction,
    booking: &booking::Model,
    start: DateTime<Utc>,
) -> Result<(), Error> {
    let Some(programme) = booking.programme_id else { return Ok(()) };
    let period = period(app, tx, programme, booking.starts_at.into()).await?;
    if period.contains(start) { Ok(()) } else { Err(PassRefusal::OutOfPeriod.into()) }
}

/// Forgets the credits of periods that are over, and the passes that were spent under keys that are retired: no such
/// pass is taken again. A day later, so that a clock that is set right brings none back.
pub(crate) async fn forget(app: &App, tx: &DatabaseTransaction, now: DateTime<Utc>) -> Result<(), Error> {
    let yesterday = now - TimeDelta::days(1);
    let over = credit::COLUMN.last_date.lt(yesterday.date_naive());
    credit::Entity::delete_many().filter(over).exec(tx).await?;
    let directory = app.keys.current(tx).await?;
    let retired = directory.records().filter(|key| key.state(yesterday.timestamp()) == KeyState::Retired);
    let retired: Vec<_> = retired.map(|key| Opaque(key.key.id().as_bytes().to_vec())).collect();
    spent_pass::Entity::delete_many().filter(spent_pass::COLUMN.key_id.is_in(retired)).exec(tx).await?;
    Ok(())
}

async fn redeem(app: &App, token: &[u8], now: DateTime<Utc>) -> Result<Good, Error> {
    let mut directory = app.keys.known();
    let mut redeemed = origin::redeem(&directory, token, now.timestamp());
    if matches!(redeemed, Err(RedeemError::UnknownKey { .. })) {
        directory = app.keys.current(app.db.read()).await?;
        redeemed = origin::redeem(&directory, token, now.timestamp());
    }
    let Redemption { key, nullifier } = redeemed.map_err(|error| match error {
        RedeemError::UnknownKey { .. } | RedeemError::KeyState { .. } => PassRefusal::KeyNotLive,
        RedeemError::Wire(_) | RedeemError::Challenge | RedeemError::Signature => PassRefusal::Invalid,
    })?;
    let spent = spent_pass::Model {
        nullifier: Opaque(nullifier.as_bytes().to_vec()),
        key_id: Opaque(key.key.id().as_bytes().to_vec()),
    };
    let programme = ProgrammeId(uuid::Uuid::from_bytes(key.programme.0));
    let terms = app.keys.terms(app.db.read(), programme).await?.ok_or(DAMAGED)?;
    let period = Period::of(key).ok_or(DAMAGED)?;
    Ok(Good { terms, kind: Kind::Pass(Pass { period, spent, judged_by: position(&directory)? }) })
}

async fn of(app: &App, programme: ProgrammeId) -> Result<Good, Error> {
    let terms = app.keys.terms(app.db.read(), programme).await?.ok_or(PassRefusal::NoCredit)?;
    Ok(Good { terms, kind: Kind::Credit })
}

/// The programme's period at an instant that it pays for; its periods do not overlap.
async fn period(
    app: &App,
    db: &impl ConnectionTrait,
    programme: ProgrammeId,
    at: DateTime<Utc>,
) -> Result<Period, Error> {
    let directory = app.keys.current(db).await?;
    let id = pass::ProgrammeId(programme.0.into_bytes());
    let of_programme = directory.records().filter(|record| record.programme == id);
    of_programme.filter_map(Period::of).find(|period| period.contains(at)).ok_or(DAMAGED)
}
