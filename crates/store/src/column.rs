//! Types of columns.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue, DeriveActiveEnum, EnumIter, FromJsonQueryResult, IntoActiveValue, Value,
    prelude::DeriveValueType,
    sea_query::{ArrayType, ColumnType, Nullable, ValueType, ValueTypeErr},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// An instant as whole seconds since 1970: equal on both engines, and in order there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType)]
pub struct Instant(i64);

impl From<DateTime<Utc>> for Instant {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at.timestamp())
    }
}

impl From<Instant> for DateTime<Utc> {
    /// An instant outside the years chrono knows is read as the nearest one it does.
    fn from(Instant(seconds): Instant) -> Self {
        DateTime::from_timestamp(seconds, 0).unwrap_or(if seconds < 0 {
            DateTime::<Utc>::MIN_UTC
        } else {
            DateTime::<Utc>::MAX_UTC
        })
    }
}

/// Bytes that are never printed: keys, hashes, and whatever is sealed.
#[derive(Clone, PartialEq, Eq, Hash, DeriveValueType)]
pub struct Opaque(pub Vec<u8>);

impl std::fmt::Debug for Opaque {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opaque({} bytes)", self.0.len())
    }
}

// A primary key must say how it would be read from a counter: it never is.
impl sea_orm::TryFromU64 for Opaque {
    fn try_from_u64(_: u64) -> Result<Self, sea_orm::DbErr> {
        Err(sea_orm::DbErr::ConvertFromU64("Opaque"))
    }
}

/// What an alias must not meet (D5): keyed hashes, one after the other. They are never printed, only counted.
#[derive(Clone, Default, PartialEq, Eq, DeriveValueType)]
pub struct Tags(Vec<u8>);

impl Tags {
    /// Of hashes in any order, of which each counts once.
    pub fn new(hashes: impl IntoIterator<Item = [u8; Self::LENGTH]>) -> Self {
        let each: BTreeSet<_> = hashes.into_iter().collect();
        Self(each.into_iter().flatten().collect())
    }

    /// Of one hash.
    pub const LENGTH: usize = 16;

    /// The hashes, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8; Self::LENGTH]> {
        self.0.as_chunks().0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one is also in `other`.
    #[must_use]
    pub fn meet(&self, other: &Self) -> bool {
        self.iter().any(|hash| other.iter().any(|known| known == hash))
    }
}

impl std::fmt::Debug for Tags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tags({})", self.iter().len())
    }
}

/// A short list kept whole in its row, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct List<T>(pub Vec<T>);

// SeaORM derives these for types without parameters alone.
impl<T: DeserializeOwned> sea_orm::TryGetableFromJson for List<T> {}

impl<T: Serialize> From<List<T>> for Value {
    fn from(list: List<T>) -> Self {
        // Fails only for maps whose keys are no strings, and elements here have none.
        Value::Json(serde_json::to_value(list).ok().map(Box::new))
    }
}

impl<T: DeserializeOwned> ValueType for List<T> {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        match value {
            Value::Json(Some(json)) => serde_json::from_value(*json).map_err(|_| ValueTypeErr),
            _ => Err(ValueTypeErr),
        }
    }

    fn type_name() -> String {
        "List".to_owned()
    }

    fn array_type() -> ArrayType {
        ArrayType::Json
    }

    fn column_type() -> ColumnType {
        ColumnType::JsonBinary
    }
}

impl<T> Nullable for List<T> {
    fn null() -> Value {
        Value::Json(None)
    }
}

impl<T: Serialize> IntoActiveValue<List<T>> for List<T> {
    fn into_active_value(self) -> ActiveValue<List<T>> {
        ActiveValue::Set(self)
    }
}

/// How far ahead sessions can be booked, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, FromJsonQueryResult)]
#[serde(transparent)]
pub struct Horizon(pub calendar::Horizon);

/// How much a therapist takes on, as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, FromJsonQueryResult)]
#[serde(transparent)]
pub struct Limits(pub calendar::Limits);

/// How a session is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    /// Picture and sound.
    Video,
    /// Sound alone.
    Audio,
    /// Text.
    Chat,
}
