//! E4: a hospital is told how much its programme was used, and of nobody.

use api::v1::{self, Modality};
use client::{Refusal, request_id};
use e2e::{
    Engine, Therapist, Worker, World,
    hospital::{Hospital, by_pass, key_log, programme},
};
use pass::Directory;
use services::reports::publish_due;

/// Keys are published, long before the year.
const AUTUMN: &str = "2025-11-03T09:00:00Z";
/// A Monday of each quarter, and what day it is when its sessions are booked.
const MONDAYS: [(&str, &str); 4] = [
    ("2026-01-19", "2026-01-12T09:00:00Z"),
    ("2026-04-20", "2026-04-13T09:00:00Z"),
    ("2026-07-20", "2026-07-13T09:00:00Z"),
    ("2026-10-19", "2026-10-12T09:00:00Z"),
];

/// A hospital that pays for a year, and those who work there.
struct Year {
    world: World,
    hospital: Hospital,
    log: Directory,
    ada: Therapist,
    staff: Vec<Worker>,
}

impl Year {
    async fn of(engine: Engine, staff: usize, programme: v1::Programme) -> Self {
        let world = World::at(engine, AUTUMN).await;
        let hospital = world.hospital(programme).await;
        hospital.publishes("2026-01-01", "2026-12-31").await.unwrap();
        let ada = world.therapist("Ada", "Europe/Berlin").await.works("Mon 00:00-00:00").await;
        let log = key_log(&world.anybody().await).await;
        let mut year = Self { world, hospital, log, ada, staff: Vec::new() };
        for _ in 0..staff {
            year.staff.push(year.world.worker().await);
        }
        year
    }

    /// The first of the staff, so many, have a session each, one after the other.
    async fn uses(
        &self,
        people: usize,
        (monday, today): (&str, &str),
        modality: Modality,
    ) -> Vec<v1::Booking> {
        self.world.set_clock(today);
        let passes = self.hospital.signs(&self.log, today, people);
        let mut booked = Vec::new();
        for (hour, (worker, pass)) in self.staff.iter().zip(passes).enumerate() {
            let start = format!("{monday}T{hour:02}:00:00Z");
            let request =
                v1::HoldSlotRequest { modality: modality.into(), ..Worker::hold_request(&self.ada, &start) };
            let held = worker.client.bookings().hold_slot(request).await.unwrap().into_inner();
            booked.push(worker.pays(&held.booking.unwrap(), by_pass(&pass)).await.unwrap());
        }
        booked
    }

    async fn erases(&self, staff: std::ops::Range<usize>) {
        for worker in &self.staff[staff] {
            worker.client.alias().erase_alias(v1::EraseAliasRequest {}).await.unwrap();
        }
    }

    async fn told(&self) -> v1::ListReportsResponse {
        told(&self.hospital).await
    }

    /// Everything that is told once it is `now`, as CSV.
    async fn told_at(&self, now: &str) -> String {
        self.world.set_clock(now);
        publish_due(&self.world.app).await.unwrap();
        let csv = String::from_utf8(self.told().await.csv).unwrap();
        csv.strip_prefix("quarter,sessions,year_video,year_audio,year_chat\r\n")
            .unwrap()
            .replace("\r\n", "\n")
    }
}

async fn told(hospital: &Hospital) -> v1::ListReportsResponse {
    hospital.manager.programmes().list_reports(v1::ListReportsRequest {}).await.unwrap().into_inner()
}

fn eligible(workers: i32) -> v1::Programme {
    v1::Programme { eligible_workers: workers, ..programme() }
}

e2e::stories! {
    // Nothing that is booked, cancelled, asked or erased afterwards changes what was told, and few look as none.
    async fn e4_a_quarter_is_told_once(engine: Engine) {
        let year = Year::of(engine, 16, eligible(50)).await;
        let booked = year.uses(15, MONDAYS[0], Modality::Video).await;
        // With what was cancelled, or paid by nobody, it would be fifteen.
        year.staff[14].cancels(&booked[14]).await;
        year.staff[15].books(&year.ada, "2026-01-19T15:00:00Z").await.unwrap();

        assert_eq!(year.told_at("2026-04-01T23:59:59Z").await, "");
        assert_eq!(year.told_at("2026-04-02T00:00:00Z").await, "2026-Q1,10,,,\n");
        year.erases(3..9).await;
        assert_eq!(year.told_at("2026-04-03T00:00:00Z").await, "2026-Q1,10,,,\n");

        // Of the second quarter there is little to tell, and of the third nothing.
        year.uses(3, MONDAYS[1], Modality::Video).await;
        year.world.set_clock("2026-10-02T00:00:00Z");
        let other = year.world.another_server().await;
        let (one, two) = tokio::join!(publish_due(&year.world.app), publish_due(&other));
        one.and(two).unwrap();
        let told = year.told_at("2026-10-02T00:00:00Z").await;
        assert_eq!(told, "2026-Q3,not enough activity,,,\n2026-Q2,not enough activity,,,\n2026-Q1,10,,,\n");
        let mut reports = year.told().await.reports;
        assert_eq!(reports.len(), 3);
        reports[0].quarter = 2;
        assert!(reports[0] == reports[1], "few and none are told apart");
        assert!(reports[2] == v1::Report { year: 2026, quarter: 1, sessions: 10, ..Default::default() });
    }

    // What ways sessions are held in, only when each quarter is told.
    async fn e4_a_year_is_told_by_its_parts(engine: Engine) {
        let both = vec![Modality::Video.into(), Modality::Audio.into()];
        let year = Year::of(engine, 12, v1::Programme { modalities: both, ..eligible(200) }).await;
        for (quarter, modality) in MONDAYS.into_iter().zip([Modality::Video, Modality::Video, Modality::Audio, Modality::Audio]) {
            year.uses(12, quarter, modality).await;
        }
        // A server that was away says at once what it would have said in time.
        let told = year.told_at("2027-01-02T00:00:00Z").await;
        assert_eq!(told, "2026-Q4,10,20,20,\n2026-Q3,10,,,\n2026-Q2,10,,,\n2026-Q1,10,,,\n");
        let part = |modality: Modality| v1::ModalitySessions { modality: modality.into(), sessions: 20 };
        let reports = year.told().await.reports;
        assert!(reports[0].year_by_modality == [part(Modality::Video), part(Modality::Audio)]);
        assert!(reports[1..].iter().all(|report| report.year_by_modality.is_empty()));
    }

    // Whoever is erased before there is a report is nobody in it: what is left must be enough by itself.
    async fn e4_whoever_is_erased_hides_nobody(engine: Engine) {
        let year = Year::of(engine, 12, eligible(200)).await;
        year.uses(12, MONDAYS[0], Modality::Video).await;
        year.world.set_clock("2026-02-01T00:00:00Z");
        year.erases(0..2).await;
        assert_eq!(year.told_at("2026-04-02T00:00:00Z").await, "2026-Q1,not enough activity,,,\n");
    }

    // One more is eleven; a hospital whose contract is for fewer people, or for nobody knows how many, is told nothing.
    async fn e4_a_small_hospital_is_told_nothing(engine: Engine) {
        for (workers, told) in [(50, "2026-Q1,10,,,\n"), (49, "2026-Q1,not enough activity,,,\n"), (0, "2026-Q1,not enough activity,,,\n")] {
            let year = Year::of(engine, 12, eligible(workers)).await;
            // Another one's sessions are none of its own.
            year.world.set_clock(AUTUMN);
            let other = year.world.hospital(eligible(200)).await;
            other.publishes("2026-01-01", "2026-12-31").await.unwrap();
            year.uses(12, MONDAYS[0], Modality::Video).await;
            year.world.set_clock("2026-02-01T00:00:00Z");
            year.erases(0..1).await;
            assert_eq!(year.told_at("2026-04-02T00:00:00Z").await, told, "{workers}");
            let others = self::told(&other).await.reports;
            assert!(others == [v1::Report { year: 2026, quarter: 1, ..Default::default() }]);
        }
    }

    // A manager who lost the key, or left: the new one manages, and the old one is out at once.
    async fn e1_another_key_manages_a_programme(engine: Engine) {
        let world = World::at(engine, AUTUMN).await;
        let (hospital, other) = (world.hospital(programme()).await, world.hospital(programme()).await);
        let operator = world.operator().await;
        let replace = async |public_key: Vec<u8>, programme_id: &str| {
            let programme_id = programme_id.to_owned();
            let request = v1::UpdateProgrammeManagerRequest { request_id: request_id(), programme_id, public_key };
            operator.programmes().update_programme_manager(request.clone()).await?;
            // Asked again, it is answered again.
            operator.programmes().update_programme_manager(request).await.map_err(Refusal::from)
        };
        let key = client::Secret::generate().login_key();
        let public = |key: &client::SigningKey| key.verifying_key().to_bytes().to_vec();
        let before = world.fingerprint().await;
        for (used, id, reason) in [
            (&other.key, &hospital.id, "KEY_IN_USE"),
            (&hospital.key, &hospital.id, "KEY_IN_USE"),
            (&key, &request_id(), "NOT_FOUND"),
        ] {
            assert_eq!(replace(public(used), id).await.unwrap_err().reason, reason);
        }
        assert!(world.fingerprint().await == before, "a refused key changed something");
        hospital.manager.programmes().list_reports(v1::ListReportsRequest {}).await.unwrap();

        let replaced = replace(public(&key), &hospital.id).await.unwrap().into_inner().programme.unwrap();
        assert!(replaced == v1::Programme { id: hospital.id.clone(), ..programme() });
        let out = hospital.manager.programmes().list_reports(v1::ListReportsRequest {}).await.unwrap_err();
        assert_eq!(Refusal::from(out).reason, "LOGIN_REFUSED", "neither the token holds nor the key");
        other.manager.programmes().list_reports(v1::ListReportsRequest {}).await.unwrap();
        let manager = world.anybody().await.login(key).await.unwrap();
        let hospital = Hospital { manager, ..hospital };
        assert_eq!(hospital.publishes("2026-01-01", "2026-03-31").await.unwrap().programme_id, hospital.id);
    }
}
