//! When a worker is on duty; sealed (S1).

mod carried;
mod feed;
mod import;
mod pattern;
mod shifts;

use api::v1;
use calendar::{Roster, ShiftKind};
use chrono::{DateTime, Utc};
use sea_orm::EntityTrait;
use store::{AliasId, roster};
use tonic::{Request, Response, Status};

use self::import::{Imported, Said};
use crate::{
    App,
    access::Called,
    booking::{collisions, hold_alternatives},
    error::Error,
    feeds,
    field::{to_date, to_span},
    once::{Once, Turn},
    sealed::Safe,
};

pub(crate) use carried::carried;
pub(crate) use feed::{Feed, News, fetch, renew};
pub(crate) use import::end_feed;

#[tonic::async_trait]
impl v1::roster_service_server::RosterService for App {
    async fn import_roster(
        &self,
        request: Request<v1::ImportRosterRequest>,
    ) -> Result<Response<v1::ImportRosterResponse>, Status> {
        let now = self.clock.now();
        let (caller, alias) = (request.caller(), request.alias()?);
        let request = request.into_inner();
        // Before anything is locked, since a file can take a while, and so can a fetch.
        let imported = match import::parse(self, request.clone(), now).await? {
            Said::Roster(roster) => Imported { roster, feed: None },
            Said::Feed(feed) => {
                // What was fetched before may not be there to be fetched again, and the answer is the same all the same.
                match Once::begin(self, caller, "ImportRoster", &request, &request.request_id, now).await? {
                    Turn::Again(response) => return with_holds(self, alias, &request, response, now).await,
                    Turn::First(once) => feeds::take_turn(once, now).await?,
                }
                let News { feed, roster } = fetch(self, feed, now).await?;
                Imported { roster: roster.ok_or(Error::FeedUnavailable)?, feed: Some(feed) }
            }
        };
        let begun = Once::begin(self, caller, "ImportRoster", &request, &request.request_id, now).await?;
        let response = match begun {
            Turn::Again(response) => response,
            Turn::First(once) => {
                import::keep(self, &once, alias, &imported, now).await?;
                let collisions = collisions(self, &once.tx, once.safe()?, &imported.roster, now).await?;
                once.commit(import::summary(&imported.roster, collisions)).await?
            }
        };
        with_holds(self, alias, &request, response, now).await
    }

    async fn get_roster(
        &self,
        request: Request<v1::GetRosterRequest>,
    ) -> Result<Response<v1::GetRosterResponse>, Status> {
        let (now, alias, db) = (self.clock.now(), request.alias()?, self.db.read());
        let safe = Safe::open(self, db, alias).await?;
        let roster = safe.roster()?.ok_or(Error::NotFound("roster"))?;
        let feed = store::feed::Entity::of_roster(alias).one(db).await.map_err(Error::from)?;
        Ok(Response::new(v1::GetRosterResponse {
            roster: Some(print(&roster)),
            feed: feed.as_ref().map(feeds::state),
            collisions: collisions(self, db, &safe, &roster, now).await?,
        }))
    }

    async fn delete_roster(
        &self,
        request: Request<v1::DeleteRosterRequest>,
    ) -> Result<Response<v1::DeleteRosterResponse>, Status> {
        let now = self.clock.now();
        let (caller, alias) = (request.caller(), request.alias()?);
        let request = request.into_inner();
        let once = match Once::begin(self, caller, "DeleteRoster", &request, &request.request_id, now).await?
        {
            Turn::Again(response) => return Ok(Response::new(response)),
            Turn::First(once) => once,
        };
        roster::Entity::delete_by_id(alias).exec(&once.tx).await.map_err(Error::from)?;
        end_feed(&once.tx, alias).await?;
        Ok(Response::new(once.commit(v1::DeleteRosterResponse {}).await?))
    }
}

/// S8: the roster is in force; what it collides with is told with what is kept instead.
async fn with_holds(
    app: &App,
    alias: AliasId,
    request: &v1::ImportRosterRequest,
    mut response: v1::ImportRosterResponse,
    now: DateTime<Utc>,
) -> Result<Response<v1::ImportRosterResponse>, Status> {
    hold_alternatives(app, alias, &request.request_id, &mut response.collisions, now).await?;
    Ok(Response::new(response))
}

fn print(roster: &Roster) -> v1::Roster {
    let shift = |shift: &calendar::Shift| {
        let calendar::Shift { span, kind } = *shift;
        let kind = match kind {
            ShiftKind::Day => v1::ShiftKind::Day,
            ShiftKind::Evening => v1::ShiftKind::Evening,
            ShiftKind::Night => v1::ShiftKind::Night,
            ShiftKind::OnCall => v1::ShiftKind::OnCall,
        };
        let breaks = &roster.breaks()[roster.breaks().partition_point(|pause| pause.end() <= span.start())..];
        let breaks = breaks.iter().map_while(|pause| pause.intersection(span)).map(to_span).collect();
        v1::Shift { span: Some(to_span(span)), kind: kind.into(), breaks }
    };
    v1::Roster {
        shifts: roster.shifts().iter().map(shift).collect(),
        publish_date: roster.published_until().map(to_date),
        time_zone: roster.zone().to_owned(),
    }
}
