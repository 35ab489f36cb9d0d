//! Notes that a worker and a therapist write to each other, sealed on one device and opened on another.
//!
//! **Invariant:** nothing here awaits, stores or asks what time it is, and no server compiles it: a server carries
//! bytes, and has no key.
//!
//! Sealing is HPKE (RFC 9180) in base mode with X25519, HKDF-SHA256 and ChaCha20Poly1305. It does not say who sealed:
//! that is known from the booking alone. So a server that lies can put a note of its own in the place of another, but
//! it reads none; whether what a therapist reads is what the worker wrote is heard in the session.
//!
//! | note | sealed to | for |
//! |---|---|---|
//! | intake | the key of the therapist's device, which the practice signed | the therapist, before the session |
//! | copy | the worker's own key | the worker, on any device with the phrase, to release it again |
//! | handover | the worker's key, which came inside the intake | the worker, to release it to the next therapist |
//!
//! ```
//! use notes::{Certificate, NotesKey, PracticeKey};
//! # let (booking, therapist, now) = ([1; 16], [2; 16], 1_800_000_000);
//! # let practice = PracticeKey::from_bytes(&[3; 32]);
//! // The therapist's device makes a key, and the practice, which is offline, signs it for a year.
//! let device = NotesKey::generate();
//! let certificate = Certificate::sign(&practice, therapist, &device.public(), now + 31_536_000);
//!
//! // The worker's device knows the practice's key since it was installed.
//! let worker = NotesKey::from_seed(&[4; 32]);
//! let to = certificate.verify(&[practice.verifying_key()], therapist, now)?;
//! let sealed = to.seal_intake(booking, "I have not slept since the night shifts began.", &worker.public())?;
//!
//! let intake = device.open_intake(booking, &sealed)?;
//! let sealed = intake.reply_key.seal_handover(booking, "We worked on rest after night shifts.")?;
//! assert_eq!(*worker.open_handover(booking, &sealed)?, "We worked on rest after night shifts.");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod certificate;
mod key;
mod seal;

pub use certificate::{Certificate, CertificateError, DeviceKey, PracticeKey, PracticePublicKey};
pub use key::{NotesKey, PublicKey};
pub use seal::{Intake, MAX_TEXT, OpenError, SealError};
