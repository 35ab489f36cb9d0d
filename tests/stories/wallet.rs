//! E1: what a worker's wallet keeps, says and refuses.

use std::ops::Range;

use api::v1;
use chrono::{DateTime, TimeDelta, Utc};
use client::{PassError, Wallet, WalletError};
use e2e::{
    Worker,
    hospital::{Hospital, by_pass, programme},
    minutes, time,
};
use pass::{Issuer, KeyRecord, LogError, Schedule};
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel, QueryFilter};
use store::Opaque;

use crate::programmes::{BERLIN, MONDAY, Quarter, WINTER};

const VIDEO: v1::Modality = v1::Modality::Video;

/// A session as ada's are.
fn fifty_minutes(start: &str) -> Range<DateTime<Utc>> {
    time(start)..time(start) + TimeDelta::minutes(50)
}

/// A wallet as it was kept before it said when it had read the log, and when it asks next.
fn in_the_first_form(kept: &[u8]) -> Vec<u8> {
    [b"respite/wallet/v1", &kept[17..73], &kept[153..]].concat()
}

e2e::stories! {
    // E1: what the worker's device does, from the log to the booking, and what it refuses.
    async fn a_wallet_keeps_passes_and_trusts_one_log(engine: Engine) {
        let quarter = Quarter::of(engine, programme()).await;
        let Quarter { world, hospital, ada, nurse, .. } = &quarter;
        let (anybody, id) = (world.anybody().await, hospital.id.parse().unwrap());
        let (monday, winter) = (fifty_minutes(MONDAY), time(WINTER));
        let mut wallet = Wallet::new(&anybody, id, time(WINTER)).await.unwrap();
        assert!(matches!(wallet.request(3, time("2025-12-17T23:59:59Z")), Err(PassError::NoKey)));
        let requests = wallet.request(3, winter).unwrap();
        assert_eq!(requests.len(), 3);
        // Switched off before there was an answer: it asks for the same.
        let mut wallet = Wallet::open(&anybody, &wallet.to_bytes(), time(WINTER)).await.unwrap();
        assert_eq!(wallet.request(3, winter).unwrap(), requests);
        let mut answers: Vec<_> = requests.iter().map(|request| hospital.issuer.issue(request).unwrap()).collect();
        assert!(matches!(wallet.receive(&answers[..2], winter), Err(PassError::Answers { expected: 3, found: 2 })));
        answers.swap(0, 1);
        assert!(matches!(wallet.receive(&answers, winter), Err(PassError::Answer(_))));
        answers.swap(0, 1);
        wallet.receive(&answers, winter).unwrap();

        // They rest, and pay for their period alone.
        assert!(wallet.pass_for(&monday, VIDEO, winter + TimeDelta::minutes(59)).is_none());
        let mut wallet = Wallet::open(&anybody, &wallet.to_bytes(), time(WINTER)).await.unwrap();
        assert!(wallet.pass_for(&monday, VIDEO, winter + TimeDelta::minutes(59)).is_none());
        let rested = winter + TimeDelta::days(1);
        assert!(wallet.pass_for(&fifty_minutes("2026-04-01T00:00:00Z"), VIDEO, rested).is_none());
        for hour in ["10", "12", "14"] {
            let pass = wallet.pass_for(&monday, VIDEO, rested).unwrap().clone();
            let held = nurse.holds(ada, &format!("2026-01-19T{hour}:00:00Z")).await.unwrap();
            nurse.pays(&held, by_pass(&pass)).await.unwrap();
            wallet.remove(&pass);
        }
        assert!(wallet.pass_for(&monday, VIDEO, rested).is_none());

        // Under a key that everybody has, or none: a hospital that signs with another one is asked for nothing.
        let other = Issuer::generate();
        assert!(requests.iter().all(|request| other.issue(request).is_err()));
        // A log that lost an entry is not the one that was seen, and a server that was made to forget is found out.
        let kept = wallet.to_bytes();
        let forget = "delete from key_log";
        sea_orm::ConnectionTrait::execute_unprepared(world.app.db.read(), forget).await.unwrap();
        assert!(matches!(Wallet::open(&anybody, &kept, time(WINTER)).await, Err(WalletError::Log(LogError::Forked { seen: 1 }))));
        assert!(matches!(Wallet::open(&anybody, &kept[1..], time(WINTER)).await, Err(WalletError::Form)));
    }

    // E1: a device knows what its passes pay for before it shows one, and what it says is what the server does.
    async fn a_wallet_lists_what_its_passes_cover(engine: Engine) {
        let narrow = v1::Programme { durations: vec![minutes(20), minutes(50)], modalities: vec![VIDEO.into()], ..programme() };
        let quarter = Quarter::of(engine, narrow).await;
        let Quarter { world, hospital, ada, nurse, .. } = &quarter;
        let ben = world.therapist("Ben", BERLIN).await.offers("Mon 08:00-20:00", 30, 0, 0, 30).await;
        let mut wallet = Wallet::new(&world.anybody().await, hospital.id.parse().unwrap(), time(WINTER)).await.unwrap();
        let winter = time(WINTER);
        let requests = wallet.request(4, winter).unwrap();
        let answers: Vec<_> = requests.iter().map(|request| hospital.issuer.issue(request).unwrap()).collect();
        wallet.receive(&answers, winter).unwrap();

        let terms = wallet.programme();
        assert_eq!((&terms.id, &terms.durations, terms.modalities().collect::<Vec<_>>()), (&hospital.id, &vec![minutes(20), minutes(50)], vec![VIDEO]));
        let quarter_days = "2026-01-01".parse().unwrap().."2026-03-31".parse().unwrap();
        assert_eq!(wallet.days_left(winter), vec![quarter_days.start..=quarter_days.end; 4]);
        assert!(wallet.days_left(time("2026-04-01T00:00:00Z")).is_empty());

        let rested = winter + TimeDelta::days(1);
        let any = wallet.pass_for(&fifty_minutes(MONDAY), VIDEO, rested).unwrap().clone();
        let mut check = async |therapist, hour, modality: v1::Modality| {
            let wanted = v1::HoldSlotRequest { modality: modality.into(), ..Worker::hold_request(therapist, &format!("2026-01-19T{hour}:00:00Z")) };
            let held = nurse.client.bookings().hold_slot(wanted).await.unwrap().into_inner().booking.unwrap();
            let v1::Span { start_time, end_time } = held.session.unwrap();
            let at = |at: Option<prost_types::Timestamp>| DateTime::from_timestamp_secs(at.unwrap().seconds).unwrap();
            let session = at(start_time)..at(end_time);
            let covered = wallet.covers(&session, modality);
            let pass = wallet.pass_for(&session, modality, rested).cloned();
            assert_eq!(pass.is_some(), covered);
            let paid = nurse.pays(&held, by_pass(pass.as_ref().unwrap_or(&any))).await;
            assert_eq!(paid.is_ok(), covered, "{hour} {modality:?}");
            if let Some(pass) = pass {
                wallet.remove(&pass);
            } else {
                assert_eq!(paid.unwrap_err().reason, "PASS_NOT_COVERING");
            }
            covered
        };
        assert!(!check(&ben, "10", VIDEO).await);
        assert!(!check(ada, "12", v1::Modality::Audio).await);
        assert!(check(ada, "14", VIDEO).await);
        assert_eq!(wallet.days_left(rested).len(), 3);
    }

    // E1: what a device was shown can be compared with what others were.
    async fn heads_of_the_log_are_compared(engine: Engine) {
        let quarter = Quarter::of(engine, programme()).await;
        let Quarter { world, hospital, log, .. } = &quarter;
        let (anybody, id) = (world.anybody().await, hospital.id.parse().unwrap());
        let served = async |entries| services::operators::log_head(&world.app, entries).await.map(|head| head.to_string());
        let early = Wallet::new(&anybody, id, time(WINTER)).await.unwrap().head().to_string();
        assert_eq!(early, log.head().to_string());
        assert_eq!(early, served(None).await.unwrap());
        assert!(early.starts_with("1:") && early.len() == 66, "{early}");

        let second = Hospital::key_request(&Issuer::generate(), "2026-04-01", "2026-06-30");
        hospital.manager.programmes().create_programme_key(second).await.unwrap();
        let late = Wallet::new(&anybody, id, time(WINTER)).await.unwrap().head().to_string();
        assert!(late.starts_with("2:"), "{late}");
        assert_eq!(late, served(None).await.unwrap());
        // Who looked earlier compares with what it was then.
        assert_eq!(early, served(Some(1)).await.unwrap());
        assert!(served(Some(3)).await.is_err());
    }

    // E1: a key that skips its week of notice by a date of its own making is found out by who looked before.
    async fn a_key_that_says_it_was_there_before_is_refused(engine: Engine) {
        let quarter = Quarter::of(engine, programme()).await;
        let Quarter { world, hospital, log, .. } = &quarter;
        let anybody = world.anybody().await;
        let seen = time(WINTER);
        let looked = async |at| Wallet::new(&anybody, hospital.id.parse().unwrap(), at).await.unwrap().to_bytes();
        let (kept, ahead) = (looked(seen).await, looked(seen + TimeDelta::days(800)).await);
        let honest = log.records().next().unwrap().clone();
        // The server replaces the key that signs by one for this worker alone, and claims that it was listed long ago.
        let opens = async |published: DateTime<Utc>, kept: &[u8], now: DateTime<Utc>| {
            let mut forged = log.clone();
            let published = published.timestamp();
            let active_from = published + Schedule::NOTICE;
            let revoked = forged.revoke(honest.key.id(), active_from).unwrap();
            let schedule = Schedule { published, active_from, ..honest.schedule };
            let key = Issuer::generate().public_key().clone();
            let added = forged.publish(&KeyRecord { schedule, key: key.clone(), ..honest.clone() }).unwrap();
            let tx = world.app.db.write().await.unwrap();
            store::key_log::Entity::delete_many().filter(store::key_log::COLUMN.position.gte(1)).exec(&tx).await.unwrap();
            for (position, entry) in (1..).zip([revoked, added]) {
                let row = store::key_log::Model { position, entry: Opaque(entry) };
                row.into_active_model().insert(&tx).await.unwrap();
            }
            tx.commit().await.unwrap();
            match Wallet::open(&anybody, kept, now).await {
                Ok(wallet) => {
                    assert_eq!(wallet.head().length, 3);
                    true
                }
                Err(WalletError::BackDated { key_id }) => {
                    assert_eq!(key_id, key.id());
                    false
                }
                Err(other) => panic!("{other}"),
            }
        };
        let later = seen + TimeDelta::days(3);
        assert!(!opens(seen - TimeDelta::days(8), &kept, later).await);
        assert!(!opens(seen - TimeDelta::hours(25), &kept, later).await);
        // Clocks differ; and what is new may be new.
        assert!(opens(seen - TimeDelta::hours(24), &kept, later).await);
        assert!(opens(seen + TimeDelta::hours(1), &kept, later).await);
        // A device whose clock was years ahead, and was put right, goes on.
        assert!(opens(seen + TimeDelta::hours(1), &ahead, later).await);
        // As wallets were kept before they noted when they looked.
        let old = in_the_first_form(&kept);
        assert!(opens(seen - TimeDelta::days(8), &old, later).await);
    }

    // E1: each device asks once in a period, by itself, at a moment that chance gives it.
    async fn a_wallet_says_when_to_fetch(engine: Engine) {
        let quarter = Quarter::of(engine, programme()).await;
        let Quarter { world, hospital, .. } = &quarter;
        let next = Issuer::generate();
        hospital.manager.programmes().create_programme_key(Hospital::key_request(&next, "2026-04-01", "2026-06-30")).await.unwrap();
        let (anybody, id, seen) = (world.anybody().await, hospital.id.parse().unwrap(), time(WINTER));
        // Two weeks before each of the two quarters, and until two weeks before its end.
        let (begin, end) = (time("2025-12-18T00:00:00Z"), time("2026-03-18T00:00:00Z"));
        let second = TimeDelta::seconds(1);

        // As the key begins to sign, and when somebody has the app from the middle of a quarter on.
        let mut wallets = Vec::new();
        for made in [seen, begin] {
            wallets.clear();
            for _ in 0..40 {
                wallets.push(Wallet::new(&anybody, id, made).await.unwrap());
            }
            let wanting = |at| wallets.iter().filter(|wallet| wallet.wants_passes(at)).count();
            assert_eq!((wanting(begin - second), wanting(made - second)), (0, 0));
            let after_a_day = wanting(made + TimeDelta::days(1));
            assert!((1..40).contains(&after_a_day), "{after_a_day}");
            assert_eq!(wanting(made + TimeDelta::days(2)), 40);
            assert_eq!(wanting(end - second), 40);
        }
        // Who was there before, and opens it much later, does not fetch then either.
        let before = Wallet::new(&anybody, id, begin - second).await.unwrap();
        assert!(!before.wants_passes(seen));
        let later = Wallet::open(&anybody, &before.to_bytes(), seen).await.unwrap();
        assert!(!later.wants_passes(seen - second) && later.wants_passes(seen + TimeDelta::days(2)));

        // It stays that moment, in whatever form it is kept, until the passes are there.
        let moments = |wallet: &Wallet| (0..=48 * 60).map(|minutes| wallet.wants_passes(begin + TimeDelta::minutes(minutes))).collect::<Vec<_>>();
        let late = |wallet: &Wallet| !wallet.wants_passes(begin + TimeDelta::days(1));
        let mut wallet = wallets.into_iter().find(late).unwrap();
        let again = Wallet::open(&anybody, &wallet.to_bytes(), seen).await.unwrap();
        assert_eq!(moments(&again), moments(&wallet));
        // What was asked for once is asked for again.
        let requests = wallet.request(3, begin).unwrap();
        assert!(wallet.wants_passes(begin));
        let mut old = Wallet::open(&anybody, &in_the_first_form(&wallet.to_bytes()), seen).await.unwrap();
        assert!(old.wants_passes(begin));
        assert_eq!(old.request(3, begin).unwrap(), requests);
        let answers: Vec<_> = requests.iter().map(|request| hospital.issuer.issue(request).unwrap()).collect();
        wallet.receive(&answers, begin).unwrap();

        // There are no more of this quarter, spent or not; of the next there are.
        let mut old = Wallet::open(&anybody, &in_the_first_form(&wallet.to_bytes()), seen).await.unwrap();
        let mut spent = Wallet::open(&anybody, &wallet.to_bytes(), seen).await.unwrap();
        while let Some(pass) = spent.pass_for(&fifty_minutes(MONDAY), VIDEO, seen).cloned() {
            spent.remove(&pass);
        }
        assert!(spent.days_left(seen).is_empty());
        for wallet in [&mut wallet, &mut old, &mut spent] {
            assert!(!wallet.wants_passes(begin + TimeDelta::days(2)) && !wallet.wants_passes(end - second));
            *wallet = Wallet::open(&anybody, &wallet.to_bytes(), end).await.unwrap();
            assert!(wallet.wants_passes(end + TimeDelta::days(2)));
            let requests = wallet.request(3, end).unwrap();
            let answers: Vec<_> = requests.iter().map(|request| next.issue(request).unwrap()).collect();
            wallet.receive(&answers, end).unwrap();
            assert!(!wallet.wants_passes(end + TimeDelta::days(2)));
        }
        assert_eq!((old.days_left(seen).len(), spent.days_left(seen).len()), (3, 0));
    }
}
