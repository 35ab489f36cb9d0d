//! A roster from an address (S1).

use calendar::Roster;
use chrono::{DateTime, Utc};
use fetch::{FeedUrl, Fetched};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, sea_query::Expr};
use serde::{Deserialize, Serialize};
use store::AliasId;

use super::import;
use crate::{
    App,
    error::Error,
    feeds::{self, Read},
    sealed::Safe,
};

/// Where a roster comes from and how it is read; kept sealed.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Feed {
    url: String,
    time_zone: String,
    on_call: bool,
    /// Nothing before the first fetch.
    read: Option<Read>,
}

/// What a fetch brought.
pub(crate) struct News {
    /// With what the other side calls it.
    pub(crate) feed: Feed,
    /// Nothing if it says what it said before.
    pub(crate) roster: Option<Roster>,
}

impl Feed {
    /// Reads the field `feed_uri`.
    pub(super) fn read(address: &str, time_zone: &str, on_call: bool) -> Result<Self, Error> {
        let url = feeds::address(address, "feed_uri")?.expose();
        Ok(Self { url, time_zone: time_zone.to_owned(), on_call, read: None })
    }
}

/// Fetches and reads it. Whoever gave the address learns only that this failed, so that nobody maps a network
/// through it.
pub(crate) async fn fetch(app: &App, feed: Feed, now: DateTime<Utc>) -> Result<News, Error> {
    let unreadable = || Error::Sealed("feed.sealed");
    let url: FeedUrl = feed.url.parse().map_err(|_| unreadable())?;
    let zone = app.rules.zone(&feed.time_zone).ok_or_else(unreadable)?;
    let known = feed.read.as_ref().and_then(|read| read.known(app, &zone, now));
    match app.feeds.get(&url, known.as_ref()).await.map_err(|_| Error::FeedUnavailable)? {
        Fetched::Unchanged => Ok(News { feed, roster: None }),
        Fetched::Calendar { bytes, validator } => {
            let read = import::of_file(app, bytes, &zone, None, feed.on_call, now).await;
            let roster = read.map_err(|_| Error::FeedUnavailable)?;
            let read = Some(Read::now(app, &zone, validator, now));
            Ok(News { feed: Feed { read, ..feed }, roster: Some(roster) })
        }
    }
}

/// Keeps what a fetch brought.
pub(crate) async fn renew(
    app: &App,
    tx: &DatabaseTransaction,
    alias: AliasId,
    news: News,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let News { feed, roster } = news;
    let safe = Safe::open(app, tx, alias).await?;
    store::feed::Entity::update_many()
        .filter(store::feed::COLUMN.alias_id.eq(alias))
        .col_expr(store::feed::Column::Sealed, Expr::value(safe.seal_feed(&feed)?))
        .exec(tx)
        .await?;
    match roster {
        Some(roster) => import::replace(app, tx, &safe, &roster, now).await,
        None => Ok(()),
    }
}
