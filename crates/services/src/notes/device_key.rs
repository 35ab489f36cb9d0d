//! Keys of therapists' devices. Nobody here says that one is a therapist's: the practice signed it.

use api::v1;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, ModelTrait,
    PaginatorTrait, QueryOrder, Select,
};
use store::{AliasId, BookingId, DeviceKeyId, Opaque, TherapistId, booking, device_key};

use crate::{
    error::{Error, LimitReason},
    field,
};

/// How many of a therapist's live at most.
const MOST: u64 = 5;
/// How far ahead one may expire.
const LONGEST: TimeDelta = TimeDelta::days(366);

/// What a device says.
pub(super) struct Claim {
    public_key: Vec<u8>,
    signature: Vec<u8>,
    expires_at: DateTime<Utc>,
}

impl Claim {
    pub(super) fn parse(message: Option<v1::DeviceKey>, now: DateTime<Utc>) -> Result<Self, Error> {
        let v1::DeviceKey { id: _, public_key, expire_time, signature } =
            field::given(message, "device_key")?;
        let exactly = |bytes: Vec<u8>, length: usize, field, expected| match bytes.len() {
            0 => Err(field::required(field)),
            found if found == length => Ok(bytes),
            _ => Err(field::malformed(field, expected)),
        };
        let expires = "device_key.expire_time";
        let expires_at = field::instant(field::given(expire_time, expires)?, expires)?;
        if expires_at <= now || expires_at > now + LONGEST {
            return Err(field::out_of_range(expires, "in the 366 days to come"));
        }
        Ok(Self {
            public_key: exactly(
                public_key,
                32,
                "device_key.public_key",
                "the 32 bytes of an X25519 public key",
            )?,
            signature: exactly(
                signature,
                64,
                "device_key.signature",
                "the 64 bytes of an Ed25519 signature",
            )?,
            expires_at,
        })
    }
}

/// Adds a key. The therapist's row is locked.
pub(super) async fn create(
    tx: &DatabaseTransaction,
    therapist: TherapistId,
    claim: Claim,
    now: DateTime<Utc>,
) -> Result<v1::DeviceKey, Error> {
    if device_key::Entity::live(therapist, now.into()).count(tx).await? >= MOST {
        return Err(Error::Limit { reason: LimitReason::DeviceKeys, most: MOST });
    }
    let Claim { public_key, signature, expires_at } = claim;
    let row = device_key::Model {
        id: DeviceKeyId::random(),
        therapist_id: therapist,
        public_key: Opaque(public_key),
        signature: Opaque(signature),
        expires_at: expires_at.into(),
    };
    Ok(print(row.into_active_model().insert(tx).await?))
}

pub(super) async fn list(
    db: &impl ConnectionTrait,
    therapist: TherapistId,
    now: DateTime<Utc>,
) -> Result<Vec<v1::DeviceKey>, Error> {
    Ok(last_first(therapist, now).all(db).await?.into_iter().map(print).collect())
}

pub(super) async fn delete(
    tx: &DatabaseTransaction,
    therapist: TherapistId,
    device_key_id: &str,
) -> Result<(), Error> {
    let id: DeviceKeyId = field::id(device_key_id, "device_key_id")?;
    let row = device_key::Entity::find_by_id(id).one(tx).await?.filter(|row| row.therapist_id == therapist);
    row.ok_or(Error::NotFound("device key"))?.delete(tx).await?;
    Ok(())
}

/// The key to seal to for one of the alias's bookings.
pub(super) async fn of_booking(
    db: &impl ConnectionTrait,
    alias: AliasId,
    booking_id: &str,
    now: DateTime<Utc>,
) -> Result<v1::DeviceKey, Error> {
    let id: BookingId = field::id(booking_id, "booking_id")?;
    let booking = booking::Entity::owned(id, alias).one(db).await?.ok_or(Error::NotFound("booking"))?;
    let key = last_first(booking.therapist_id, now).one(db).await?;
    key.map(print).ok_or(Error::NotFound("device key"))
}

fn last_first(therapist: TherapistId, now: DateTime<Utc>) -> Select<device_key::Entity> {
    device_key::Entity::live(therapist, now.into())
        .order_by_desc(device_key::Column::ExpiresAt)
        .order_by_asc(device_key::Column::Id)
}

fn print(row: device_key::Model) -> v1::DeviceKey {
    let device_key::Model { id, therapist_id: _, public_key, signature, expires_at } = row;
    v1::DeviceKey {
        id: id.to_string(),
        public_key: public_key.0,
        expire_time: Some(field::timestamp(expires_at)),
        signature: signature.0,
    }
}
