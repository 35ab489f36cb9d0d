//! Data keys wrapped anew once another key wraps, and which key still wraps what.

use sea_orm::{
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait},
};
use store::{AliasId, Db, Opaque, alias_key, feed};
use vault::{KeyId, Keyring};

use crate::{availability::busy_feed, error::Error};

/// What a key still wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// Which key.
    pub kek_id: KeyId,
    /// The keys of so many aliases.
    pub aliases: u64,
    /// So many addresses of calendars that keep therapists busy.
    pub feeds: u64,
}

/// What each key of the file wraps: the one that does now, older ones, and the next.
pub async fn wrapped(keyring: &Keyring, db: &Db) -> Result<Vec<Wrapped>, Error> {
    let aliases: Vec<(Opaque, i64)> = alias_key::Entity::find()
        .select_only()
        .column(alias_key::Column::KekId)
        .column_as(Expr::col(alias_key::Column::KekId).count(), "aliases")
        .group_by(alias_key::Column::KekId)
        .into_tuple()
        .all(db.read())
        .await?;
    let feeds = of_therapists(db).await?;
    let of_key = |kek_id: KeyId| {
        let aliases = aliases.iter().find(|(id, _)| id.0 == kek_id).map_or(0, |(_, aliases)| *aliases);
        let own = |feed: &&feed::Model| {
            keyring.therapists_key_of(&feed.sealed.0).is_some_and(|(id, _)| id == kek_id)
        };
        Wrapped { kek_id, aliases: aliases.unsigned_abs(), feeds: feeds.iter().filter(own).count() as u64 }
    };
    Ok(keyring.kek_ids().map(of_key).collect())
}

/// Wraps under the key that wraps whatever another still does, and says how much that was.
///
/// Servers may go on meanwhile, and it may be stopped and begun again at any point: every row opens before it and after
/// it. What is sealed under a data key stays as it is; what therapists say in confidence is sealed anew.
pub async fn rewrap(keyring: &Keyring, db: &Db) -> Result<u64, Error> {
    let current = Opaque(keyring.kek_id().to_vec());
    let (mut wrapped, mut after) = (0, None::<AliasId>);
    loop {
        let mut page = alias_key::Entity::find()
            .filter(alias_key::COLUMN.kek_id.ne(current.clone()))
            .order_by_asc(alias_key::Column::AliasId)
            .limit(BATCH);
        if let Some(after) = after {
            page = page.filter(alias_key::COLUMN.alias_id.gt(after));
        }
        let rows = page.all(db.read()).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.alias_id);
        let tx = db.write().await?;
        for row in rows {
            let alias = row.alias_id.0.into_bytes();
            let key = keyring.unwrap(&row.wrapped_key.0, alias);
            let key = key.map_err(|_| Error::Sealed("alias_key.wrapped_key"))?;
            // An alias that was erased since has no row, and gets none.
            let written = alias_key::Entity::update_many()
                .col_expr(alias_key::Column::WrappedKey, Expr::value(Opaque(keyring.wrap(&key, alias))))
                .col_expr(alias_key::Column::KekId, Expr::value(current.clone()))
                .filter(alias_key::COLUMN.alias_id.eq(row.alias_id))
                .filter(alias_key::COLUMN.wrapped_key.eq(row.wrapped_key))
                .exec(&tx)
                .await?;
            wrapped += written.rows_affected;
        }
        tx.commit().await?;
    }
    let tx = db.write().await?;
    for row in of_therapists(db).await? {
        let other = keyring.therapists_key_of(&row.sealed.0).is_none_or(|(id, _)| id != keyring.kek_id());
        if !other {
            continue;
        }
        let anew = busy_feed::reseal(keyring, &row)?;
        let written = feed::Entity::update_many()
            .col_expr(feed::Column::Sealed, Expr::value(anew))
            .filter(feed::COLUMN.id.eq(row.id))
            .filter(feed::COLUMN.sealed.eq(row.sealed))
            .exec(&tx)
            .await?;
        wrapped += written.rows_affected;
    }
    tx.commit().await?;
    // What the old key wrapped is in no file of an embedded database any more.
    db.scrub().await?;
    Ok(wrapped)
}

/// Rows in one transaction: an embedded database has one writer, whom others wait for.
const BATCH: u64 = 500;

async fn of_therapists(db: &Db) -> Result<Vec<feed::Model>, Error> {
    Ok(feed::Entity::find().filter(feed::Column::AliasId.is_null()).all(db.read()).await?)
}
