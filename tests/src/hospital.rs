//! A hospital that pays for sessions, and what its workers' devices do with its passes.

use api::v1::{self, confirm_booking_request::Payment};
use client::{Client, Refusal, Secret, SigningKey, request_id};
use pass::{Directory, Head, Issuer, ProgrammeId, Token};

use crate::{Worker, World, date};

/// A hospital, as those who run its programme know it.
pub struct Hospital {
    /// The programme's id.
    pub id: String,
    /// The manager's.
    pub key: SigningKey,
    /// The manager, signed in.
    pub manager: Client,
    /// Signs passes for whoever works there.
    pub issuer: Issuer,
}

/// Covers everything, and lets nobody pay for a late cancellation.
pub fn programme() -> v1::Programme {
    v1::Programme { display_name: "St. Ada".to_owned(), sessions_per_period: 6, ..Default::default() }
}

impl World {
    /// A hospital with a programme, and with a key that nobody has been told of yet.
    pub async fn hospital(&self, programme: v1::Programme) -> Hospital {
        let key = Secret::generate().login_key();
        let request = v1::CreateProgrammeRequest {
            request_id: request_id(),
            programme: Some(programme),
            public_key: key.verifying_key().to_bytes().to_vec(),
        };
        let created = self.operator().await.programmes().create_programme(request).await;
        let programme = created.expect("the programme is made").into_inner().programme.expect("a programme");
        let manager = self.anybody().await.login(key.clone()).await.expect("the manager signs in");
        Hospital { id: programme.id, key, manager, issuer: Issuer::generate() }
    }
}

impl Hospital {
    /// What it takes to publish the issuer's key for these days.
    pub fn key_request(issuer: &Issuer, first: &str, last: &str) -> v1::CreateProgrammeKeyRequest {
        v1::CreateProgrammeKeyRequest {
            request_id: request_id(),
            public_key: issuer.public_key().to_spki().to_vec(),
            first_date: Some(date(first)),
            last_date: Some(date(last)),
        }
    }

    /// Publishes the issuer's key for these days.
    pub async fn publishes(&self, first: &str, last: &str) -> Result<v1::ProgrammeKey, Refusal> {
        let request = Self::key_request(&self.issuer, first, last);
        let published = self.manager.programmes().create_programme_key(request).await?;
        Ok(published.into_inner().key.expect("a key"))
    }

    /// Passes as workers' devices make them: under a key that the log lists, blinded, and signed unseen. To the devices
    /// and the hospital it is `now`.
    pub fn signs(&self, log: &Directory, now: &str, passes: usize) -> Vec<Token> {
        let id: uuid::Uuid = self.id.parse().expect("a UUID");
        let key_id = self.issuer.public_key().id();
        let device =
            pass::Client::new(log, ProgrammeId(id.into_bytes()), key_id, crate::time(now).timestamp());
        let device = device.expect("the key signs now");
        let sign = |_| {
            let pending = device.blind();
            let signature = self.issuer.issue(&pending.request()).expect("what a device asks is signed");
            device.finalize(&pending, &signature).expect("a pass comes of it")
        };
        (0..passes).map(sign).collect()
    }
}

/// The log as anybody reads and checks it, page by page.
pub async fn key_log(anybody: &Client) -> Directory {
    Directory::read(entries(anybody, 2).await.iter().map(Vec::as_slice), Head::default())
        .expect("the log holds")
}

/// The entries of the log, so many at a time.
pub async fn entries(anybody: &Client, page_size: i32) -> Vec<Vec<u8>> {
    let (mut entries, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListKeyLogRequest { page_size, page_token };
        let page = anybody.programmes().list_key_log(request).await.expect("the log").into_inner();
        assert!(page.entries.len() <= usize::try_from(page_size).expect("a size"));
        entries.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return entries;
        }
    }
}

/// A pass as a request carries it.
pub fn by_pass(token: &Token) -> Payment {
    Payment::Pass(token.to_bytes().to_vec())
}

impl Worker {
    /// Confirms a hold and pays for it.
    pub async fn pays(
        &self,
        held: &v1::Booking,
        payment: impl Into<Option<Payment>>,
    ) -> Result<v1::Booking, Refusal> {
        let payment = payment.into();
        let request = v1::ConfirmBookingRequest { payment, ..Self::confirm_request(held) };
        let confirmed = self.client.bookings().confirm_booking(request).await?;
        Ok(confirmed.into_inner().booking.expect("a booking"))
    }

    /// What the worker may book without a pass: the programme, the last day and how many.
    pub async fn credits(&self) -> Vec<(String, String, i32)> {
        let listed = self.client.programmes().list_credits(v1::ListCreditsRequest {}).await.expect("credits");
        let show = |credit: v1::Credit| {
            let last = credit.last_date.expect("a date");
            (credit.programme_id, format!("{}-{:02}-{:02}", last.year, last.month, last.day), credit.sessions)
        };
        listed.into_inner().credits.into_iter().map(show).collect()
    }

    /// Cancels a booking.
    pub async fn cancels(&self, booking: &v1::Booking) {
        let request = v1::CancelBookingRequest { request_id: request_id(), booking_id: booking.id.clone() };
        self.client.bookings().cancel_booking(request).await.expect("what is booked is cancelled");
    }
}
