//! Who is free when, over every therapist at once, in memory.
//!
//! **Invariant:** nothing here awaits, opens anything or asks what time it is, and nothing is found that
//! `calendar` would not admit: the index is exact, [`calendar::admit`] has the last word on every answer (T5).
//!
//! Times inside are whole minutes since the Unix epoch. Sessions start and last whole minutes (T1, A3), so a
//! session touches busy time exactly if it touches the minutes that busy time touches, and it fits into open time
//! exactly if it fits into the minutes that are wholly open: busy time is rounded outward, open time inward, and
//! no answer changes. Offsets from UTC are whole minutes wherever sessions can still be held.
//!
//! An [`Index`] keeps three things. For each therapist a record: open time laid out from the schedule, sessions
//! and holds, packed small. For each hour a set of who may have a start in it: all who have, and perhaps a few whose
//! holds are in the way. For each term, who carries it. A [`Query`] intersects sets of terms to candidates, walks the
//! hours the worker has time in, and asks the records of those in both, the most promising first, until its page is
//! full. Where that does not pay, it reads every candidate's record once.

mod clock;
mod index;
mod kept;
mod load;
mod members;
mod query;
mod record;
mod removal;
mod rooms;
mod rows;
mod search;
mod taken;
mod terms;
mod words;
mod worker;

pub use index::{Booked, Credential, Hold, Index, SLACK_DAYS, SessionType, Therapist};
pub use query::{Criterion, Hit, Matched, Met, Opening, Page, Place, Query, Wanted};
pub use removal::Constraint;
pub use taken::Tag;
pub use terms::{Facet, Term};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A therapist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TherapistId(pub Uuid);

/// A session type of one therapist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionTypeId(pub Uuid);
