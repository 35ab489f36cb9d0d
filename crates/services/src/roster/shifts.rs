//! Shifts as a request says them, one by one.

use api::v1;
use calendar::{Shift, ShiftKind, Zone, classify, pattern::Planned};

use crate::{
    error::{Error, Violation},
    field::{self, malformed, out_of_range},
};

/// S3: how many breaks a shift may declare.
pub(super) const BREAKS: usize = 6;

/// At most `most` shifts; those whose kind is not said are told by the clock of `zone`.
pub(super) fn read(shifts: Vec<v1::Shift>, most: usize, zone: &Zone, field: &str) -> Result<Planned, Error> {
    if shifts.len() > most {
        return Err(Error::invalid(field, Violation::TooMany { most }));
    }
    let mut planned = Planned::default();
    for (index, v1::Shift { span, kind: number, breaks }) in shifts.into_iter().enumerate() {
        let path = format!("{field}[{index}]");
        let span = field::span(span, &format!("{path}.span"))?;
        let kind = kind(number, &format!("{path}.kind"))?.unwrap_or_else(|| classify(span, zone));
        let breaks = field::list(breaks, BREAKS, &format!("{path}.breaks"), |pause, path| {
            let pause = field::span(Some(pause), path)?;
            if span.contains(pause) { Ok(pause) } else { Err(out_of_range(path, "inside its shift")) }
        })?;
        planned.shifts.push(Shift { span, kind });
        planned.breaks.extend(breaks);
    }
    Ok(planned)
}

/// What kind of duty, if it is said.
pub(super) fn kind(number: i32, field: &str) -> Result<Option<ShiftKind>, Error> {
    Ok(Some(match v1::ShiftKind::try_from(number) {
        Ok(v1::ShiftKind::Unspecified) => return Ok(None),
        Ok(v1::ShiftKind::Day) => ShiftKind::Day,
        Ok(v1::ShiftKind::Evening) => ShiftKind::Evening,
        Ok(v1::ShiftKind::Night) => ShiftKind::Night,
        Ok(v1::ShiftKind::OnCall) => ShiftKind::OnCall,
        Err(_) => return Err(malformed(field, "a kind of shift")),
    }))
}
