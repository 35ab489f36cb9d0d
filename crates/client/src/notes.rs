//! Sealed notes: what a worker writes before a session, and what a therapist hands over after it (G5).
//!
//! The server carries them and can open none. What a device has to know from elsewhere, since the server could lie
//! about it: the practice's key, which comes with the app, and the id of the therapist whom the worker chose.
//!
//! ```no_run
//! # async fn example(worker: client::Client, secret: client::Secret, practice: client::PracticePublicKey,
//! #     booking: uuid::Uuid, therapist: uuid::Uuid, next: (uuid::Uuid, uuid::Uuid), now: i64) -> Result<(), client::NotesError> {
//! let notes = client::Notes::new(worker, &secret, vec![practice]);
//! let device = notes.device_key(booking, therapist, now).await?;
//! println!("Your therapist sees the same: {}", device.public().fingerprint());
//! notes.write(booking, &device, "I have not slept since the night shifts began.").await?;
//!
//! // After the session; another therapist is told only if the worker wants it:
//! if let Some(handover) = notes.read(booking).await?.handover {
//!     let (booking, therapist) = next;
//!     let device = notes.device_key(booking, therapist, now).await?;
//!     notes.write(booking, &device, &handover).await?;
//! }
//! # Ok(())
//! # }
//! ```

use std::fmt;

use api::v1;
use notes::{
    Certificate, CertificateError, DeviceKey, Intake, NotesKey, OpenError, PracticePublicKey, PublicKey,
    SealError,
};
use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{Client, Secret, request_id};

/// A worker's notes, on the worker's device.
pub struct Notes {
    client: Client,
    key: NotesKey,
    practices: Vec<PracticePublicKey>,
}

/// What a worker can read of a booking.
#[derive(Default)]
pub struct Readable {
    /// What they wrote.
    pub copy: Option<Zeroizing<String>>,
    /// What the therapist wrote.
    pub handover: Option<Zeroizing<String>>,
}

/// Why a note was not written or read.
#[derive(Debug, Error)]
pub enum NotesError {
    /// The call gave no answer.
    #[error(transparent)]
    Call(#[from] crate::Error),
    /// The key is not the therapist's: nothing is sealed to it.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Nothing was sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// What came is not what was sealed.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Notes {
    /// Of a worker who is signed in, with the phrase's secret and the practices that this device knows.
    pub fn new(worker: Client, secret: &Secret, practices: Vec<PracticePublicKey>) -> Self {
        Self { client: worker, key: secret.notes_key(), practices }
    }

    /// The key of the device of the therapist whom the worker has booked, if a practice has signed it.
    ///
    /// Its fingerprint is shown, and remembered with the therapist's id: if it is another one the next time, the worker
    /// is told before anything is sealed, since a new device is news that the therapist can confirm.
    pub async fn device_key(
        &self,
        booking: Uuid,
        therapist: Uuid,
        now: i64,
    ) -> Result<DeviceKey, NotesError> {
        let request = v1::GetDeviceKeyRequest { booking_id: booking.to_string() };
        let told = self.client.notes().get_device_key(request).await.map_err(crate::Error::from)?;
        let key =
            certificate(told.into_inner().device_key).map_err(|field| crate::Error::Incomplete { field })?;
        Ok(key.verify(&self.practices, therapist.into_bytes(), now)?)
    }

    /// Puts an intake, and a copy for the worker's other devices, in the place of those before.
    pub async fn write(&self, booking: Uuid, to: &DeviceKey, text: &str) -> Result<(), NotesError> {
        let id = booking.into_bytes();
        let request = v1::PutIntakeRequest {
            request_id: request_id(),
            booking_id: booking.to_string(),
            intake: to.seal_intake(id, text, &self.key.public())?,
            copy: self.key.seal_copy(id, text)?,
        };
        self.client.notes().put_intake(request).await.map_err(crate::Error::from)?;
        Ok(())
    }

    /// Reads what there is of a booking.
    pub async fn read(&self, booking: Uuid) -> Result<Readable, NotesError> {
        let request = v1::GetNotesRequest { booking_id: booking.to_string() };
        let told = self.client.notes().get_notes(request).await.map_err(crate::Error::from)?;
        let (id, v1::GetNotesResponse { copy, handover }) = (booking.into_bytes(), told.into_inner());
        let mut readable = Readable::default();
        if !copy.is_empty() {
            readable.copy = Some(self.key.open_copy(id, &copy)?);
        }
        if !handover.is_empty() {
            readable.handover = Some(self.key.open_handover(id, &handover)?);
        }
        Ok(readable)
    }

    /// Deletes all notes of a booking, also those of the therapist.
    pub async fn delete(&self, booking: Uuid) -> Result<(), NotesError> {
        let request = v1::DeleteNotesRequest { request_id: request_id(), booking_id: booking.to_string() };
        self.client.notes().delete_notes(request).await.map_err(crate::Error::from)?;
        Ok(())
    }
}

/// A therapist's notes, on one of the therapist's devices.
pub struct DeviceNotes {
    client: Client,
    key: NotesKey,
}

impl DeviceNotes {
    /// Of a therapist who is signed in, with the key that this device made.
    pub fn new(therapist: Client, key: NotesKey) -> Self {
        Self { client: therapist, key }
    }

    /// Adds what the practice signed. It is judged here as workers' devices will, so that a mistake is found before
    /// they find it.
    pub async fn register(
        &self,
        signed: &Certificate,
        practices: &[PracticePublicKey],
        therapist: Uuid,
        now: i64,
    ) -> Result<(), NotesError> {
        let key = signed.verify(practices, therapist.into_bytes(), now)?;
        if key.public() != self.key.public() {
            return Err(CertificateError::Signature.into());
        }
        let Certificate { public_key, expires_at, signature } = signed;
        let mut device_key = v1::DeviceKey {
            public_key: public_key.to_vec(),
            signature: signature.to_vec(),
            ..Default::default()
        };
        device_key.expire_time.get_or_insert_default().seconds = *expires_at;
        let request = v1::CreateDeviceKeyRequest { request_id: request_id(), device_key: Some(device_key) };
        self.client.notes().create_device_key(request).await.map_err(crate::Error::from)?;
        Ok(())
    }

    /// Every intake that was sealed to this device, by when its session begins; those for other devices are left out.
    pub async fn intakes(&self) -> Result<Vec<(Uuid, Intake)>, NotesError> {
        let (mut opened, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = v1::ListIntakesRequest { page_token, ..Default::default() };
            let page = self.client.notes().list_intakes(request).await.map_err(crate::Error::from)?;
            let v1::ListIntakesResponse { intakes, next_page_token } = page.into_inner();
            for v1::Intake { booking_id, intake } in intakes {
                let booking: Uuid = booking_id
                    .parse()
                    .map_err(|_| crate::Error::Incomplete { field: "intakes.booking_id" })?;
                match self.key.open_intake(booking.into_bytes(), &intake) {
                    Ok(intake) => opened.push((booking, intake)),
                    Err(OpenError::OtherKey) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if next_page_token.is_empty() {
                return Ok(opened);
            }
            page_token = next_page_token;
        }
    }

    /// Puts a handover in the place of the one before; `to` came with the intake.
    pub async fn hand_over(&self, booking: Uuid, to: &PublicKey, text: &str) -> Result<(), NotesError> {
        let request = v1::PutHandoverRequest {
            request_id: request_id(),
            booking_id: booking.to_string(),
            handover: to.seal_handover(booking.into_bytes(), text)?,
        };
        self.client.notes().put_handover(request).await.map_err(crate::Error::from)?;
        Ok(())
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notes").finish_non_exhaustive()
    }
}

impl fmt::Debug for DeviceNotes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceNotes").finish_non_exhaustive()
    }
}

/// What is told of a key, or the field that it lacks.
fn certificate(key: Option<v1::DeviceKey>) -> Result<Certificate, &'static str> {
    let v1::DeviceKey { id: _, public_key, expire_time, signature } = key.ok_or("device_key")?;
    Ok(Certificate {
        public_key: public_key.try_into().map_err(|_| "device_key.public_key")?,
        expires_at: expire_time.ok_or("device_key.expire_time")?.seconds,
        signature: signature.try_into().map_err(|_| "device_key.signature")?,
    })
}
