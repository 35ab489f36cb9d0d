//! Licences to practise, checked by an operator.

use sea_orm::{Select, entity::prelude::*};

use crate::{CredentialId, List, TherapistId};

/// A credential.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credential")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: CredentialId,
    /// Whose.
    pub therapist_id: TherapistId,
    /// NUCC code of the profession.
    pub taxonomy_code: String,
    /// For the therapist and the operator alone.
    pub licence_number: String,
    /// ISO 3166-2 subdivisions, or countries.
    #[sea_orm(column_type = "JsonBinary")]
    pub jurisdictions: List<String>,
    /// The last day on which it holds.
    pub expires_on: Date,
    /// Checked against its register.
    pub verified: bool,
}

impl ActiveModelBehavior for ActiveModel {}

impl Entity {
    /// Credentials that make a therapist findable on `today` (D1).
    pub fn holding(today: Date) -> Select<Self> {
        Self::find().filter(COLUMN.verified.eq(true)).filter(COLUMN.expires_on.gte(today))
    }
}
