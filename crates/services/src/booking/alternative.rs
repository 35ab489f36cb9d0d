//! S8: of the times a booking could move to when a roster collides with it, one is kept for the worker.

use api::v1;
use chrono::{DateTime, Utc};
use store::{AliasId, BookingId, booking::State, booking_event::Actor};
use uuid::Uuid;
use vault::Purpose;

use super::{
    admission::{self, Wanted},
    hold::{MOST, keep},
    lock_owned,
};
use crate::{
    App, Caller,
    error::Error,
    field,
    once::{Once, Turn},
    programme::payment,
    slots::RosterUse,
};

/// Holds one alternative of each booking that the roster of request `import` collides with, the earliest first.
///
/// Each is a transaction and a request of its own, whose id follows from the import's: whoever asks again, even after
/// a crash between two of them, is told the same, and gets what was still to be held.
pub(crate) async fn hold_alternatives(
    app: &App,
    alias: AliasId,
    import: &str,
    collisions: &mut [v1::RosterCollision],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    for collision in collisions.iter_mut().filter(|one| !one.alternative_start_times.is_empty()) {
        let request_id = request_id(app, import, &collision.booking_id);
        let caller = Caller::Alias(alias);
        let turn = Once::begin(app, caller, "HoldAlternative", collision, &request_id, now).await?;
        let held: v1::HeldAlternative = match turn {
            Turn::Again(held) => held,
            Turn::First(mut once) => {
                let held = hold(app, &mut once, alias, collision, now).await?;
                // That there was none to be had is an answer that stays, too.
                once.commit(held.unwrap_or_default()).await?
            }
        };
        collision.held_alternative = Some(held).filter(|held| !held.booking_id.is_empty());
    }
    Ok(())
}

fn request_id(app: &App, import: &str, booking_id: &str) -> String {
    let parts = [b"HoldAlternative".as_slice(), import.as_bytes(), booking_id.as_bytes()];
    let mut id = [0; 16];
    id.copy_from_slice(&app.keyring.mac(Purpose::RequestPayload, &parts)[..16]);
    Uuid::from_bytes(id).to_string()
}

/// Holds the nearest that can be had, unless the alias holds enough.
async fn hold(
    app: &App,
    once: &mut Once,
    alias: AliasId,
    collision: &v1::RosterCollision,
    now: DateTime<Utc>,
) -> Result<Option<v1::HeldAlternative>, Error> {
    let booking_id: BookingId = field::id(&collision.booking_id, "booking_id")?;
    let (booking, listing) = match lock_owned(app, &once.tx, booking_id, alias).await {
        // A hold that was swept meanwhile.
        Err(Error::NotFound(_)) => return Ok(None),
        found => found?,
    };
    let session_type = listing.session_type(booking.session_type_id).filter(|_| listing.licensed(now));
    let Some(session_type) = session_type.filter(|_| booking.state == State::Booked) else { return Ok(None) };
    let starts = collision.alternative_start_times.iter();
    let starts = starts.map(|at| field::instant(*at, "alternative_start_times"));
    let mut starts = starts.collect::<Result<Vec<_>, _>>()?;
    let was: DateTime<Utc> = booking.starts_at.into();
    starts.sort_by_key(|start| ((*start - was).abs(), *start));

    let roster_use = RosterUse::read(app, None, now)?;
    for start in starts {
        match payment::check_move(app, &once.tx, &booking, start).await {
            Err(Error::Pass(_)) => continue,
            checked => checked?,
        }
        // Nothing moves yet: until the worker decides, both times are taken.
        let wanted =
            Wanted { alias, listing: &listing, session_type, start, roster_use: &roster_use, moving: None };
        let decided = match admission::admit(app, &once.tx, once.safe()?, &wanted, now).await {
            // Somebody was faster, or it overlaps the booking itself.
            Err(Error::Slot(_)) => continue,
            // The worker named whom they must not meet since.
            Err(Error::Excluded) => return Ok(None),
            decided => decided?,
        };
        if decided.holds >= MOST {
            return Ok(None);
        }
        let hold = keep(&mut once.writes, &wanted, booking.modality, &decided, Actor::System, now);
        return Ok(Some(v1::HeldAlternative {
            booking_id: hold.id.to_string(),
            start_time: Some(field::timestamp(hold.starts_at)),
            hold_expire_time: hold.hold_expires_at.map(field::timestamp),
        }));
    }
    Ok(None)
}
