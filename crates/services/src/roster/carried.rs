//! A roster that travels in a request and is not stored (S1).

use api::v1;
use calendar::Roster;
use chrono::{DateTime, Utc};

use super::{import, shifts};
use crate::{App, error::Error, field};

/// How many shifts fit a request, each with as many breaks as it may have.
const SHIFTS: usize = 400;

/// Reads the roster in a field.
pub(crate) fn carried(
    app: &App,
    roster: v1::Roster,
    field: &str,
    now: DateTime<Utc>,
) -> Result<Roster, Error> {
    let v1::Roster { shifts, publish_date, time_zone } = roster;
    let zone = field::zone(app, &time_zone, &format!("{field}.time_zone"))?;
    let date = format!("{field}.publish_date");
    let published = publish_date.map(|day| field::date(day, &date)).transpose()?;
    let planned = shifts::read(shifts, SHIFTS, &zone, &format!("{field}.shifts"))?;
    import::kept(&zone, planned, published, now).map_err(|error| import::refusal(error, field, &date))
}
