//! E1, E3: what the hospital's issuer gives, to whom, and what it keeps of that, through real gRPC.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod kept;
mod login;
mod process;
#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "../../../oidc/tests/provider/mod.rs"]
mod provider;
mod quota;
mod scim;
mod staff;
mod web;
mod world;

use std::collections::HashSet;

use issuer::code::Code;
use issuer::period::Terms;
use issuer::{Mode, parse_day};
use tonic::Code as Grpc;

use world::{PASSES, PROGRAMME, World, check_refused, roster};

/// E1: what the hospital signs without seeing it, the booking side accepts.
#[tokio::test]
async fn a_batch_becomes_passes_that_the_booking_side_accepts() {
    for mode in [Mode::Cards, Mode::Roster] {
        let world = World::new(mode).await;
        let code = match mode {
            Mode::Cards => world.cards(50, "2026-12-31").await.remove(7),
            Mode::Roster => {
                world.import(&roster(0..50)).await.unwrap();
                world.code("N-7").await
            }
            Mode::Logins { .. } => unreachable!("it has no codes"),
        };
        let issuer = world.serve().await;
        let offer = issuer.offer().await.unwrap();
        assert_eq!(
            (&*offer.programme_id, &*offer.period, offer.passes),
            (&*PROGRAMME.to_string(), "2026-Q4", PASSES)
        );
        let batch = world.batch(&code, &offer);
        world.redeem(&batch.finalize(&issuer.issue(&batch.request).await.unwrap()));
        issuer.stop().await;
    }
}

/// E3: whoever was not told a code that is good today learns nothing, not even why.
#[tokio::test]
async fn a_wrong_code_is_refused_and_never_said_why() {
    let world = World::new(Mode::Roster).await;
    let csv = roster(0..50) + "starts,2026-10-02,\nended,2026-01-01,2026-09-30\nleft,2026-01-01,\n";
    world.import(&csv).await.unwrap();
    let lost = world.code("N-1").await;
    let codes = [
        ("lost and replaced", lost),
        ("not active yet", world.code("starts").await),
        ("not active any more", world.code("ended").await),
        ("not on the roster any more", world.code("left").await),
    ];
    let good = world.code("N-1").await;
    world.import(&csv.replace("left,2026-01-01,\n", "")).await.unwrap();

    let issuer = world.serve().await;
    let offer = issuer.offer().await.unwrap();
    let mut told = HashSet::new();
    for (why, code) in codes {
        let refused = check_refused(
            issuer.issue(&world.batch(&code, &offer).request).await,
            Grpc::Unauthenticated,
            "CODE_REFUSED",
        );
        told.insert((refused.message().to_owned(), refused.details().to_vec()));
        assert_eq!(told.len(), 1, "{why}");
    }
    for typed in ["", "0", "00000-00000-00000-00000", "00000-00000-00000-0000U", &"0".repeat(900)] {
        let mut request = world.batch(&good, &offer).request;
        request.activation_code = typed.to_owned();
        let refused = check_refused(issuer.issue(&request).await, Grpc::Unauthenticated, "CODE_REFUSED");
        told.insert((refused.message().to_owned(), refused.details().to_vec()));
        assert_eq!(told.len(), 1, "{typed}");
    }
    let mut request = world.batch(&good, &offer).request;
    request.activation_code = format!(" {} ", good.to_text().to_lowercase().replace('-', " "));
    issuer.issue(&request).await.unwrap();

    // The day makes them good, and the last day is part of them.
    let starts = world.code("starts").await;
    world.is("2026-10-02");
    issuer.issue(&world.batch(&starts, &offer).request).await.unwrap();
}

#[tokio::test]
async fn a_card_is_good_until_its_last_day() {
    let world = World::new(Mode::Cards).await;
    let cards = world.cards(60, "2026-10-05").await;
    world.cards(50, "2026-12-31").await;
    let issuer = world.serve().await;
    let offer = issuer.offer().await.unwrap();
    world.is("2026-10-05");
    issuer.issue(&world.batch(&cards[0], &offer).request).await.unwrap();
    world.is("2026-10-06");
    let late = issuer.issue(&world.batch(&cards[1], &offer).request).await;
    check_refused(late, Grpc::Unauthenticated, "CODE_REFUSED");
}

/// privacy.md 1.6: among fewer than fifty, nothing is signed, unless somebody said that it shall be.
#[tokio::test]
async fn a_programme_that_is_too_small_signs_nothing() {
    let check = async |world: &World, code: &Code, key_id, enough: bool| {
        let issuer = world.serve().await;
        let request = world.batch_under(code, key_id, PASSES).request;
        if enough {
            issuer.offer().await.unwrap();
            issuer.issue(&request).await.unwrap();
        } else {
            check_refused(issuer.offer().await, Grpc::FailedPrecondition, "PROGRAMME_TOO_SMALL");
            let refused = issuer.issue(&request).await;
            check_refused(refused, Grpc::FailedPrecondition, "PROGRAMME_TOO_SMALL");
        }
    };
    let mut world = World::without_period(Mode::Roster).await;
    let key_id = world.period("2026-Q4", "2026-10-01", "2027-01-01").await.key_id;
    // On the roster, but not today.
    let others = "starts,2026-10-02,\nended,2026-01-01,2026-09-30\n";
    world.import(&(roster(0..49) + others)).await.unwrap();
    let code = world.code("N-0").await;
    check(&world, &code, key_id, false).await;
    world.is("2026-10-02");
    check(&world, &code, key_id, true).await;

    let mut world = World::without_period(Mode::Cards).await;
    let key_id = world.period("2026-Q4", "2026-10-01", "2027-01-01").await.key_id;
    let cards = world.cards(49, "2026-12-31").await;
    check(&world, &cards[0], key_id, false).await;
    world.cards(1, "2026-12-31").await;
    check(&world, &cards[0], key_id, true).await;
}

#[tokio::test]
async fn each_period_has_its_own_key_and_its_own_days() {
    let mut world = World::with_roster(50).await;
    world.period("2027-Q1", "2027-01-01", "2027-04-01").await;
    let code = world.code("N-0").await;
    let issuer = world.serve().await;
    let mut keys = HashSet::new();
    for (day, expected) in [
        ("2026-09-30", None),
        ("2026-10-01", Some("2026-Q4")),
        ("2026-12-31", Some("2026-Q4")),
        ("2027-01-01", Some("2027-Q1")),
        ("2027-03-31", Some("2027-Q1")),
        ("2027-04-01", None),
    ] {
        world.is(day);
        match expected {
            None => {
                check_refused(issuer.offer().await, Grpc::FailedPrecondition, "NOT_ISSUING");
            }
            Some(period) => {
                let offer = issuer.offer().await.unwrap();
                assert_eq!(offer.period, period, "{day}");
                if keys.insert(offer.key_id.clone()) {
                    let batch = world.batch(&code, &offer);
                    world.redeem(&batch.finalize(&issuer.issue(&batch.request).await.unwrap()));
                }
            }
        }
    }
    assert_eq!(keys.len(), 2);
}

/// E2: two weeks before a period the next key takes over, and at no moment do the log and the issuer name two.
#[tokio::test]
async fn the_log_and_the_issuer_hand_over_at_the_same_moment() {
    let mut world = World::without_period(Mode::Roster).await;
    world.import(&roster(0..50)).await.unwrap();
    let code = world.code("N-0").await;
    for (name, first, last) in
        [("2026-Q4", "2026-10-01", "2026-12-31"), ("2027-Q1", "2027-01-01", "2027-03-31")]
    {
        let [first, last] = [first, last].map(|day| parse_day(day).unwrap());
        world.make(name, Terms { passes: PASSES, first, last, small: false }).await;
    }
    let issuer = world.serve().await;
    for (at, expected) in [
        ("2026-09-16T23:59:59Z", None),
        ("2026-09-17T00:00:00Z", Some("2026-Q4")),
        ("2026-10-01T00:00:00Z", Some("2026-Q4")),
        ("2026-12-17T23:59:59Z", Some("2026-Q4")),
        ("2026-12-18T00:00:00Z", Some("2027-Q1")),
        ("2026-12-31T23:59:59Z", Some("2027-Q1")),
        ("2027-01-01T00:00:00Z", Some("2027-Q1")),
        ("2027-03-17T23:59:59Z", Some("2027-Q1")),
        ("2027-03-18T00:00:00Z", None),
    ] {
        world.is_at(at);
        let offer = issuer.offer().await.ok();
        assert_eq!(offer.as_ref().map(|offer| &*offer.period), expected, "{at}");
        let listed = world.listed().map(|key| key.as_bytes().to_vec());
        assert_eq!(offer.as_ref().map(|offer| offer.key_id.clone()), listed, "{at}");
        if at.ends_with("00:00:00Z")
            && let Some(offer) = offer
        {
            // Once in a period; the batch of a period that has begun before is another one.
            let first = !at.contains("-01T");
            let batch = world.batch(&code, &offer);
            let signed = issuer.issue(&batch.request).await;
            assert_eq!(signed.is_ok(), first, "{at}");
            if let Ok(signatures) = signed {
                world.redeem(&batch.finalize(&signatures));
            }
        }
    }
}

/// Twenty keys are enough to share the last byte of an id: all of it counts.
#[tokio::test]
async fn no_other_key_is_signed_with() {
    let mut world = World::with_roster(50).await;
    world.period("2027-Q1", "2027-01-01", "2027-04-01").await;
    let issuer = world.serve().await;
    world.is("2027-01-01");
    let next = issuer.offer().await.unwrap().key_id;
    world.is("2026-10-01");
    let offer = issuer.offer().await.unwrap();
    let request = world.batch(&world.code("N-0").await, &offer).request;
    let check = async |change: &dyn Fn(&mut Vec<u8>), code, reason| {
        let mut request = request.clone();
        change(&mut request.key_id);
        check_refused(issuer.issue(&request).await, code, reason);
    };
    check(&|id| id[0] ^= 1, Grpc::FailedPrecondition, "KEY_NOT_SIGNING").await;
    check(&|id| id[31] ^= 1, Grpc::FailedPrecondition, "KEY_NOT_SIGNING").await;
    check(&|id| id.clone_from(&next), Grpc::FailedPrecondition, "KEY_NOT_SIGNING").await;
    check(&|id| id.truncate(31), Grpc::InvalidArgument, "MALFORMED").await;
    check(&|id| id.push(0), Grpc::InvalidArgument, "MALFORMED").await;
    check(&Vec::clear, Grpc::InvalidArgument, "MALFORMED").await;
    issuer.issue(&request).await.unwrap();
}
