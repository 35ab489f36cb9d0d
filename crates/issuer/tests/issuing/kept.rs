//! What the issuer keeps: nothing by which a pass, or a moment, could be found again.

use std::collections::HashSet;

use issuer::{Mode, period};
use sqlx::Row;

use crate::world::{World, roster};

/// Every column there is: a new one is a decision, and this is where it is taken. Days are the finest times but in the
/// audit log, which is about staff, and nothing has the 256 bytes of a blinded message.
#[tokio::test]
async fn no_column_could_hold_a_message_an_address_or_a_time() {
    let world = World::without_period(Mode::Cards).await;
    let columns = sqlx::query(
        "select t.name || '.' || c.name, c.type from sqlite_schema t, pragma_table_info(t.name) c
         where t.type = 'table' order by 1",
    )
    .fetch_all(&mut world.database().await)
    .await
    .unwrap();
    let columns: Vec<_> = columns
        .iter()
        .map(|row| format!("{} {}", row.get::<String, _>(0), row.get::<String, _>(1)))
        .collect();
    assert_eq!(
        columns,
        [
            "audit.action TEXT",
            "audit.at INTEGER",
            "audit.hash BLOB",
            "audit.position INTEGER",
            "code.code BLOB",
            "code.last_day TEXT",
            "code.worker BLOB",
            "issuance.batch BLOB",
            "issuance.holder BLOB",
            "issuance.period TEXT",
            "issuer.eligible INTEGER",
            "issuer.mode TEXT",
            "issuer.name TEXT",
            "issuer.one INTEGER",
            "issuer.origin TEXT",
            "issuer.programme BLOB",
            "issuer.secret_id BLOB",
            "period.first TEXT",
            "period.key_id BLOB",
            "period.last TEXT",
            "period.name TEXT",
            "period.passes INTEGER",
            "period.small INTEGER",
            "period.withdrawn INTEGER",
            "scim.added INTEGER",
            "scim.day TEXT",
            "scim.one INTEGER",
            "scim.removed INTEGER",
            "scim.staff_number TEXT",
            "scim.token BLOB",
            "scim_user.external_id BLOB",
            "scim_user.id BLOB",
            "scim_user.user_name BLOB",
            "scim_user.worker BLOB",
            "worker.active_from TEXT",
            "worker.active_until TEXT",
            "worker.worker BLOB",
        ]
    );
    let wide = sqlx::query("insert into issuance values ('2026-Q4', zeroblob(32), zeroblob(256))")
        .execute(&mut world.database().await)
        .await;
    assert!(wide.unwrap_err().to_string().contains("CHECK constraint"), "a batch has 32 bytes");
    // Rows without a number are not kept in the order in which they came.
    let numbered: Vec<String> =
        sqlx::query_scalar("select name from pragma_table_list where schema = 'main' and type = 'table' and wr = 0 order by name")
            .fetch_all(&mut world.database().await)
            .await
            .unwrap();
    assert_eq!(numbered, ["audit", "issuer", "scim", "sqlite_schema"]);
}

/// privacy.md 9: who takes the database, its log included, finds no staff number, no code, and nothing that is in a pass.
#[tokio::test]
async fn a_stolen_database_shares_nothing_with_a_pass() {
    let world = World::new(Mode::Roster).await;
    world.import(&(roster(0..50) + "canary-4711,2026-01-01,\n")).await.unwrap();
    let code = world.code("canary-4711").await;
    let issuer = world.serve().await;
    let batch = world.batch(&code, &issuer.offer().await.unwrap());
    let signatures = issuer.issue(&batch.request).await.unwrap();
    let tokens = batch.finalize(&signatures);

    let stolen = world.bytes_on_disk();
    let stolen: HashSet<&[u8]> = stolen.windows(8).collect();
    let finds = |bytes: &[u8]| bytes.windows(8).any(|window| stolen.contains(window));
    // It is the right database, and what is in it is found.
    assert!(finds(b"roster imported"));
    let typed = code.to_text();
    for secret in [b"canary-4711", typed.as_bytes(), typed.replace('-', "").as_bytes()] {
        assert!(!finds(secret));
    }
    assert!(!batch.request.blinded_messages.iter().chain(&signatures).any(|message| finds(message)));
    let key_id = &batch.request.key_id;
    for token in tokens {
        let token = token.to_bytes();
        let at = token.windows(32).position(|window| window == key_id).unwrap();
        assert!(!finds(&token[..at]) && !finds(&token[at + 32..]));
    }
}

/// Who asked is kept as long as an answer may be asked for again, and no longer.
#[tokio::test]
async fn who_asked_is_forgotten_when_the_next_period_begins() {
    let mut world = World::with_roster(50).await;
    world.period("2027-Q1", "2027-01-01", "2027-04-01").await;
    let issuer = world.serve().await;
    let issue = async |employee_id| -> Vec<(String, Vec<u8>)> {
        let code = world.code(employee_id).await;
        issuer.issue(&world.batch(&code, &issuer.offer().await.unwrap()).request).await.unwrap();
        sqlx::query_as("select period, batch from issuance where batch <> zeroblob(32)")
            .fetch_all(&mut world.database().await)
            .await
            .unwrap()
    };
    issue("N-1").await;
    issue("N-2").await;
    let old = issue("N-3").await;
    assert_eq!(old.len(), 3);
    world.is("2027-01-01");
    let new = issue("N-4").await;
    assert_eq!((new.len(), &*new[0].0), (1, "2027-Q1"));
    let finds =
        |batch: &[u8]| world.bytes_on_disk().windows(8).any(|window| batch.windows(8).any(|b| b == window));
    assert!(finds(&new[0].1) && !old.iter().any(|(_, batch)| finds(batch)));
}

/// privacy.md 9: a batch is written into the place that was kept for it, and nothing else in the file moves: so there is no
/// order in which workers came.
#[tokio::test]
async fn a_batch_leaves_everything_else_in_its_place() {
    for mode in [Mode::Cards, Mode::Roster] {
        let world = World::new(mode).await;
        let codes = if mode == Mode::Cards {
            world.cards(60, "2026-12-31").await
        } else {
            world.import(&roster(0..60)).await.unwrap();
            vec![world.code("N-7").await, world.code("N-8").await, world.code("N-9").await]
        };
        let issuer = world.serve().await;
        let offer = issuer.offer().await.unwrap();
        issuer.issue(&world.batch(&codes[0], &offer).request).await.unwrap();
        for code in &codes[1..3] {
            let before = world.bytes_on_disk();
            issuer.issue(&world.batch(code, &offer).request).await.unwrap();
            let after = world.bytes_on_disk();
            assert_eq!(before.len(), after.len());
            let changed: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
            // A file counts its transactions, and says for which of them its size is right.
            let (counters, batch): (Vec<usize>, Vec<usize>) =
                changed.into_iter().partition(|at| (24..28).contains(at) || (92..96).contains(at));
            assert!(!counters.is_empty());
            assert!(batch.last().unwrap() - batch[0] < 32, "{mode}: {batch:?}");
            assert!(before[batch[0]..=*batch.last().unwrap()].iter().all(|byte| *byte == 0));
        }
    }
}

/// Nothing can be asked for again under a key that was withdrawn.
#[tokio::test]
async fn who_asked_is_forgotten_when_the_key_is_withdrawn() {
    let world = World::with_roster(50).await;
    let issuer = world.serve().await;
    let code = world.code("N-1").await;
    issuer.issue(&world.batch(&code, &issuer.offer().await.unwrap()).request).await.unwrap();
    let batch = "select batch from issuance where batch <> zeroblob(32)";
    let batch: Vec<u8> = sqlx::query_scalar(batch).fetch_one(&mut world.database().await).await.unwrap();
    let kept = || world.bytes_on_disk().windows(32).any(|window| window == batch);
    assert!(kept());
    period::withdraw(&world.app, &"2026-Q4".parse().unwrap()).await.unwrap();
    assert!(!kept());
}

/// A code that has ended goes when the next period is made, unless an answer may still be asked for.
#[tokio::test]
async fn codes_that_have_ended_go_when_the_next_period_is_made() {
    let mut world = World::with_roster(60).await;
    let [asked, silent, stays] = [world.code("N-1").await, world.code("N-2").await, world.code("N-3").await];
    let issuer = world.serve().await;
    let offer = issuer.offer().await.unwrap();
    let batch = world.batch(&asked, &offer);
    let first = issuer.issue(&batch.request).await.unwrap();
    world.import(&roster(3..60)).await.unwrap();
    assert_eq!(codes(&world).await, 3);
    world.period("2027-Q1", "2027-01-01", "2027-04-01").await;
    assert_eq!(codes(&world).await, 2);
    assert_eq!(issuer.issue(&batch.request).await.unwrap(), first);
    issuer.issue(&world.batch(&stays, &offer).request).await.unwrap();
    issuer.issue(&world.batch(&silent, &offer).request).await.unwrap_err();

    let mut world = World::new(Mode::Cards).await;
    world.cards(50, "2026-12-31").await;
    let cards = world.cards(2, "2026-10-01").await;
    let issuer = world.serve().await;
    let batch = world.batch(&cards[0], &issuer.offer().await.unwrap());
    let first = issuer.issue(&batch.request).await.unwrap();
    world.is("2026-10-02");
    world.period("2027-Q1", "2027-01-01", "2027-04-01").await;
    assert_eq!(codes(&world).await, 51);
    assert_eq!(issuer.issue(&batch.request).await.unwrap(), first);
}

async fn codes(world: &World) -> i64 {
    sqlx::query_scalar("select count(*) from code").fetch_one(&mut world.database().await).await.unwrap()
}
