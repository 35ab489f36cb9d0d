//! What staff did; `services::audit` says what the hash covers.

use sea_orm::{
    DatabaseTransaction, DbBackend, DeriveActiveEnum, EnumIter, QueryOrder, Select, entity::prelude::*,
};
use uuid::Uuid;

use crate::{Instant, Opaque};

/// An entry. The database lets none be changed or deleted.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit")]
pub struct Model {
    /// From 1 on, without gaps.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i32,
    /// When.
    pub at: Instant,
    /// Who, by kind.
    pub actor: Actor,
    /// Who, unless it was whoever sat at the server's terminal.
    pub actor_id: Option<Uuid>,
    /// What they did.
    pub action: Action,
    /// To what: the id of no worker, and of nothing that is a worker's.
    pub object: String,
    /// It covers all entries before.
    pub hash: Opaque,
}

impl ActiveModelBehavior for ActiveModel {}

/// Who did something. A worker is none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
pub enum Actor {
    /// A therapist.
    Therapist,
    /// Somebody who runs the service.
    Operator,
    /// Who manages a hospital's programme.
    Manager,
    /// Whoever may run commands where the server is.
    Terminal,
}

/// What was done; each kind of action has one kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
pub enum Action {
    /// Somebody may sign in as an operator.
    CreateOperator,
    /// Somebody may not any more.
    DeleteOperator,
    /// Somebody may be signed in by the identity provider, by another name than before if by one.
    LinkIdentity,
    /// Somebody may not any more.
    UnlinkIdentity,
    /// A therapist was added.
    CreateTherapist,
    /// A therapist signs in with another key.
    ReplaceTherapistKey,
    /// A credential was added.
    CreateCredential,
    /// A credential was found in its register.
    VerifyCredential,
    /// A credential does not hold, or no longer.
    RefuseCredential,
    /// A credential was removed.
    DeleteCredential,
    /// A hospital's programme was added.
    CreateProgramme,
    /// Somebody else manages a programme, or the same by another key.
    UpdateProgrammeManager,
    /// A key of a programme was published.
    CreateProgrammeKey,
    /// A key of a programme was retired.
    RevokeProgrammeKey,
    /// A worker's contact was asked for in an emergency; the object is the emergency access.
    RequestEmergencyAccess,
    /// Somebody else agreed.
    ApproveEmergencyAccess,
    /// The contact was read.
    ReadEmergencyContact,
}

impl Entity {
    /// What comes after the first `read` entries, in order.
    pub fn after(read: i32) -> Select<Self> {
        Self::find().filter(COLUMN.position.gt(read)).order_by_asc(Column::Position)
    }

    /// What this actor did of one kind since then.
    pub fn done_since(actor: Uuid, action: Action, since: Instant) -> Select<Self> {
        Self::find()
            .filter(COLUMN.actor_id.eq(actor))
            .filter(COLUMN.action.eq(action))
            .filter(COLUMN.at.gt(since))
    }

    /// The last entry, after which nobody else writes one until this transaction ends.
    pub async fn last(tx: &DatabaseTransaction) -> Result<Option<Model>, DbErr> {
        if tx.get_database_backend() == DbBackend::Postgres {
            tx.execute_unprepared(TURN).await?;
        }
        Self::find().order_by_desc(Column::Position).one(tx).await
    }
}

/// Any number that no other lock takes on this database; SQLite lets one transaction write at a time.
const TURN: &str = "select pg_advisory_xact_lock(7246338)";
