//! The same question to a directory of ten thousand.

use std::sync::Arc;
use std::time::Instant;

use api::v1;
use client::{Client, Secret, request_id};
use futures_util::FutureExt;
use services::App;
use store::Db;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::finding::{self, Week};
use super::{Broken, HOME, Stage};
use crate::config::Limits;
use crate::seed;
use crate::serve::{Front, serve};

const THERAPISTS: u32 = 10_000;
/// How often it is asked.
const TIMES: usize = 101;

/// Asks for the first twenty slots of the nurse's week among ten thousand therapists, and tells how long it took.
pub(super) async fn ask(stage: &mut Stage, week: &Week) -> Result<(), Broken> {
    let database = format!("sqlite://{}", stage.folder.join("national.db").display());
    let db = Db::connect(&database, 4).await.map_err(services::Error::from)?;
    migrations::up(db.read()).await?;
    seed::seed(&db, THERAPISTS, stage.app.clock.now(), |_| {}).await?;
    let app = App {
        db,
        mirror: Arc::default(),
        listings: Arc::default(),
        callers: Arc::default(),
        ..stage.app.clone()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let (end, ended) = oneshot::channel::<()>();
    let front = Front {
        app: app.clone(),
        tls: None,
        staff: None,
        origins: Vec::new(),
        limits: Limits::default(),
        behind_proxy: false,
    };
    let asking = async {
        let asked = questions(&app, &address, week).await;
        let _ = end.send(());
        asked
    };
    let (served, asked) = tokio::join!(serve(front, listener, ended.map(|_| ())), asking);
    served?;
    let (told, times) = asked?;
    app.db.close().await.map_err(services::Error::from)?;

    stage.screen.say(&format!(
        "The same question in a national directory, ten thousand therapists: the first {told} slots that fit her week, \
         from question to answer through gRPC, in {} µs ({} to {}).",
        times[TIMES / 2],
        times[0],
        times[TIMES - 1],
    ));
    stage.screen.same("a page is full", &20, &told);
    Ok(())
}

/// How many slots the page has, and how many microseconds it took each time, in ascending order.
async fn questions(app: &App, address: &str, week: &Week) -> Result<(usize, Vec<u128>), Broken> {
    app.mirror.until_loaded().await;
    let anybody = Client::connect(address.to_owned()).await?;
    let key = Secret::generate().login_key();
    anybody.create_alias(&key).await?;
    let nurse = anybody.login(key).await?;
    let shifts = week.shifts.iter().map(|shift| v1::Shift {
        span: Some(v1::Span {
            start_time: Some(finding::timestamp(shift.span.start())),
            end_time: Some(finding::timestamp(shift.span.end())),
        }),
        ..v1::Shift::default()
    });
    let shifts = v1::ShiftList { shifts: shifts.collect() };
    let roster = v1::ImportRosterRequest {
        request_id: request_id(),
        source: Some(v1::import_roster_request::Source::ShiftList(shifts)),
        time_zone: HOME.to_owned(),
        ..v1::ImportRosterRequest::default()
    };
    nurse.roster().import_roster(roster).await?;
    let question =
        finding::question(week, v1::RosterUse { beyond_published: true, ..Default::default() }, 20);
    let (mut found, mut times) = (0, Vec::with_capacity(TIMES));
    for _ in 0..TIMES {
        let asked = Instant::now();
        found = nurse.slots().search_slots(question.clone()).await?.into_inner().hits.len();
        times.push(asked.elapsed().as_micros());
    }
    times.sort_unstable();
    Ok((found, times))
}
