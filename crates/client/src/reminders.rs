//! Reminders that a device shows by itself, so that nothing has to be sent anywhere (R2).

use api::v1::{ListRemindersRequest, Reminder, ReminderState};

use crate::{Client, Error};

impl Client {
    /// What is due at `now`, in Unix seconds, and was not sent: a word about each is to be shown once.
    ///
    /// A device asks when it is unlocked, and remembers the bookings that it has spoken of. What it shows says no more
    /// than the letters do: that there is something to see.
    pub async fn due_reminders(&self, now: i64) -> Result<Vec<Reminder>, Error> {
        let listed = self.reminders().list_reminders(ListRemindersRequest {}).await?.into_inner();
        let is_due = |reminder: &Reminder| {
            reminder.state() == ReminderState::Planned
                && reminder.due_time.as_ref().is_some_and(|due| due.seconds <= now)
        };
        Ok(listed.reminders.into_iter().filter(is_due).collect())
    }
}
