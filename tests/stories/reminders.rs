//! A discreet word ahead of a session: planned, moved and taken back with it, sent once, and never before the
//! contact is confirmed.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use api::v1;
use chrono::{DateTime, TimeDelta};
use client::{Refusal, request_id};
use e2e::{Worker, World, minutes, time, timestamp};
use notify::{Post, Smtp, SmtpSettings, Tls};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel};
use services::{App, reminders::deliver_due};
use store::{ReminderId, reminder};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tonic::Code;

const BERLIN: &str = "Europe/Berlin";
const FRIDAY: &str = "2026-03-20T09:00:00Z";
/// In Berlin it is 16:00.
const MONDAY: &str = "2026-03-23T15:00:00Z";

e2e::stories! {
    // R1
    async fn a_reminder_comes_moves_and_goes_with_its_session(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00, Tue 08:00-20:00").await;
        let nurse = world.worker().await;
        let held = nurse.holds(&ada, MONDAY).await.unwrap();
        assert!(rows(&world).await.is_empty(), "a hold is not reminded of");
        // A confirmation that is refused leaves no reminder.
        world.pass(TimeDelta::minutes(10));
        nurse.confirms(&held).await.unwrap_err();
        assert!(rows(&world).await.is_empty());

        let booked = nurse.books(&ada, MONDAY).await.unwrap();
        check_planned(&world, MONDAY).await;
        let tuesday = "2026-03-24T10:00:00Z";
        let reschedule = v1::RescheduleBookingRequest {
            request_id: request_id(),
            booking_id: booked.id.clone(),
            start_time: Some(timestamp(time(tuesday))),
            roster_use: None,
        };
        nurse.client.bookings().reschedule_booking(reschedule).await.unwrap();
        check_planned(&world, tuesday).await;
        // A move that is refused moves nothing.
        let nowhere = v1::RescheduleBookingRequest {
            request_id: request_id(),
            booking_id: booked.id.clone(),
            start_time: Some(timestamp(time("2026-03-24T23:00:00Z"))),
            roster_use: None,
        };
        nurse.client.bookings().reschedule_booking(nowhere).await.unwrap_err();
        check_planned(&world, tuesday).await;

        // One per session, kind and lead: the database refuses a second.
        let [row] = rows(&world).await.try_into().unwrap();
        let second = reminder::Model { id: ReminderId::random(), ..row };
        let refused = second.into_active_model().insert(world.app.db.read()).await.map_err(store::Error::from);
        assert!(matches!(refused, Err(store::Error::Duplicate)), "{refused:?}");

        let cancel = v1::CancelBookingRequest { request_id: request_id(), booking_id: booked.id };
        nurse.client.bookings().cancel_booking(cancel).await.unwrap();
        assert!(rows(&world).await.is_empty());
    }

    // R1
    async fn what_is_past_due_when_it_is_booked_is_skipped(engine: Engine) {
        let world = World::at(engine, "2026-03-23T08:00:00Z").await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        nurse.reached_at(&world, "heron@example.com", "en", v1::ReminderLevel::Time).await;
        let letters = world.letters().len();
        nurse.books(&ada, MONDAY).await.unwrap();
        assert_eq!(listed(&nurse).await, [v1::ReminderState::Skipped]);
        for now in ["2026-03-23T08:00:00Z", "2026-03-23T14:00:00Z", "2026-03-23T15:30:00Z"] {
            world.set_clock(now);
            world.deliver().await;
        }
        assert_eq!(world.letters().len(), letters);
    }

    // R2
    async fn without_a_contact_reminders_are_pulled(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        let booked = nurse.books(&ada, MONDAY).await.unwrap();
        let list = nurse.client.reminders().list_reminders(v1::ListRemindersRequest {}).await.unwrap();
        let [planned] = list.into_inner().reminders.try_into().unwrap();
        assert_eq!((planned.booking_id, planned.state), (booked.id, v1::ReminderState::Planned.into()));
        let due = DateTime::from_timestamp(planned.due_time.unwrap().seconds, 0).unwrap();
        let hour = time(MONDAY) - TimeDelta::hours(24);
        assert!((due - hour).abs() <= TimeDelta::minutes(10), "{due}");
        assert!(world.worker().await.client.reminders().list_reminders(v1::ListRemindersRequest {}).await.unwrap().into_inner().reminders.is_empty());

        // It is due, goes nowhere, and is not looked at over and over.
        world.set_clock("2026-03-22T15:11:00Z");
        world.deliver().await;
        assert!(world.letters().is_empty());
        let due_now = format!("select count(*) from reminder where next_attempt_at <= {}", time("2026-03-23T14:59:00Z").timestamp());
        assert_eq!(world.count(&due_now).await, 0);
        assert_eq!(listed(&nurse).await, [v1::ReminderState::Planned]);
        // A contact that is confirmed late still gets it.
        nurse.reached_at(&world, "heron@example.com", "en", v1::ReminderLevel::Update).await;
        world.deliver().await;
        assert_eq!(kinds(&world), ["confirmation"], "what was past due with the new contact is skipped");
        world.set_clock(MONDAY);
        assert!(listed(&nurse).await.is_empty(), "the session has begun");
    }

    // R3
    async fn a_letter_says_what_was_asked_for_and_no_more(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let mut lengths = HashSet::new();
        let mut subjects: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
        for (language, level, hour) in [
            ("en", v1::ReminderLevel::Update, None),
            ("de", v1::ReminderLevel::Update, None),
            ("en", v1::ReminderLevel::Time, Some("16:00")),
            ("de", v1::ReminderLevel::Time, Some("16:00")),
        ] {
            world.set_clock(FRIDAY);
            let ada = world.therapist("Ada Brandt", BERLIN).await.works("Mon 08:00-20:00").await;
            let nurse = world.worker().await;
            lives_in_berlin(&nurse).await;
            nurse.reached_at(&world, &format!("{language}@example.com"), language, level).await;
            nurse.books(&ada, MONDAY).await.unwrap();
            world.set_clock("2026-03-22T15:11:00Z");
            world.deliver().await;
            let letters = world.letters();
            let letter = letters.last().unwrap();
            assert_eq!(letter.to().as_str(), format!("{language}@example.com"));
            let body = letter.body().trim();
            match hour {
                Some(hour) => assert!(body.contains(hour), "{body}"),
                None => assert!(!body.contains(|c: char| c.is_ascii_digit()), "{body}"),
            }
            let said = format!("{} {body}", letter.subject()).to_lowercase();
            for telling in ["ada", "brandt", "burnout", "therap", "session", "sitzung", "respite", "berlin", "video", "@"] {
                assert!(!said.contains(telling), "{telling} in {said}");
            }
            for letter in &letters[letters.len() - 2..] {
                lengths.insert(letter.body().len());
                subjects.entry(language).or_default().insert(letter.subject());
            }
        }
        assert_eq!(kinds(&world), ["confirmation", "update", "confirmation", "update", "confirmation", "time", "confirmation", "time"]);
        assert!(subjects.values().all(|subjects| subjects.len() == 1), "one subject whatever it says: {subjects:?}");
        let (shortest, longest) = (lengths.iter().min().unwrap(), lengths.iter().max().unwrap());
        assert!(longest - shortest <= 16, "bodies are evened out: {lengths:?}");
    }

    // R6
    async fn nothing_is_sent_before_the_code_came_back(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        sets_contact(&nurse, "heron@example.com").await.unwrap();
        nurse.books(&ada, MONDAY).await.unwrap();
        world.deliver().await;
        world.set_clock("2026-03-22T15:11:00Z");
        world.deliver().await;
        world.deliver().await;
        assert_eq!(kinds(&world), ["confirmation"], "one code, and no reminder");
        let read = nurse.client.reminders().get_contact(v1::GetContactRequest {}).await.unwrap().into_inner();
        assert!(!read.contact.unwrap().confirmed);

        // An hour was over long ago: the code has ended, and a wrong one is not told from it.
        let code = code(&world);
        assert_eq!(confirms(&nurse, &code).await.unwrap_err().reason, "CODE_EXPIRED");
        // Deleting stops everything, and twice is fine.
        for _ in 0..2 {
            let delete = v1::DeleteContactRequest { request_id: request_id() };
            nurse.client.reminders().delete_contact(delete).await.unwrap();
        }
        let gone = nurse.client.reminders().get_contact(v1::GetContactRequest {}).await.unwrap_err();
        assert_eq!(gone.code(), Code::NotFound);
        assert_eq!(confirms(&nurse, &code).await.unwrap_err().code, Code::NotFound);
        world.deliver().await;
        assert_eq!(world.letters().len(), 1);
    }

    // R6
    async fn codes_are_few_short_lived_and_hard_to_guess(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let refused = confirms(&nurse, "000000").await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "NOT_FOUND"));

        // Five wrong ones, of which one is sent twice under one id, and the right one opens nothing more.
        sets_contact(&nurse, "heron@example.com").await.unwrap();
        world.deliver().await;
        let right = code(&world);
        let wrong = |n: u32| format!("{:06}", (right.parse::<u32>().unwrap() + n) % 1_000_000);
        let same = v1::ConfirmContactRequest { request_id: request_id(), code: wrong(1) };
        for _ in 0..2 {
            let refused = Refusal::from(nurse.client.reminders().confirm_contact(same.clone()).await.unwrap_err());
            assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "CODE_WRONG"));
        }
        for n in 2..=4 {
            assert_eq!(confirms(&nurse, &wrong(n)).await.unwrap_err().reason, "CODE_WRONG");
        }
        assert_eq!(confirms(&nurse, &right).await.unwrap_err().reason, "CODE_EXPIRED");

        // A new code, which the one before is not.
        sets_contact(&nurse, "heron@example.com").await.unwrap();
        world.deliver().await;
        let newer = code(&world);
        assert_ne!(newer, right);
        assert_eq!(confirms(&nurse, &right).await.unwrap_err().reason, "CODE_WRONG");
        world.pass(TimeDelta::seconds(3_599));
        confirms(&nurse, &newer).await.unwrap();
        let read = nurse.client.reminders().get_contact(v1::GetContactRequest {}).await.unwrap().into_inner();
        assert!(read.contact.unwrap().confirmed);

        // An hour, and not a second more; and three a day, whatever is deleted between.
        sets_contact(&nurse, "other@example.com").await.unwrap();
        world.deliver().await;
        let third = code(&world);
        world.pass(TimeDelta::hours(1));
        assert_eq!(confirms(&nurse, &third).await.unwrap_err().reason, "CODE_EXPIRED");
        let delete = v1::DeleteContactRequest { request_id: request_id() };
        nurse.client.reminders().delete_contact(delete).await.unwrap();
        let refused = sets_contact(&nurse, "heron@example.com").await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "TOO_MANY_CODES"));
        // Somebody else's are their own, and tomorrow is another day.
        sets_contact(&world.worker().await, "heron@example.com").await.unwrap();
        world.set_clock("2026-03-21T00:00:00Z");
        sets_contact(&nurse, "heron@example.com").await.unwrap();
    }

    // R1, R2
    async fn one_bad_recipient_never_stops_the_others(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.offers("Mon 08:00-20:00", 10, 0, 0, 10).await;
        let mut start = time(MONDAY);
        for name in ["bad", "anna", "slow", "ben", "broken", "carla"] {
            let worker = world.worker().await;
            worker.reached_at(&world, &format!("{name}@example.com"), "en", v1::ReminderLevel::Time).await;
            worker.books(&ada, &start.to_rfc3339()).await.unwrap();
            start += TimeDelta::minutes(10);
        }
        let sink = Sink::start().await;
        let app = sink.app(&world);
        world.set_clock("2026-03-22T16:01:00Z");
        let delivered = deliver_due(&app).await.unwrap();
        assert_eq!((delivered.sent, delivered.retried, delivered.dead), (3, 2, 1));
        assert_eq!(sink.taken(), ["anna", "ben", "carla"]);
        // Again at once is nothing: what failed waits its turn.
        assert_eq!(deliver_due(&app).await.unwrap(), services::reminders::Delivered::default());

        // The pauses grow within a minute and an hour, and at the eighth attempt it is given up.
        let mut now = time("2026-03-22T16:01:00Z");
        let mut attempts = 1;
        while world.count("select count(*) from reminder where kind = 'session' and state = 'planned'").await > 0 {
            let next = world.count("select min(next_attempt_at) from reminder where kind = 'session' and state = 'planned'").await;
            let next = DateTime::from_timestamp(next, 0).unwrap();
            assert!(next > now && next <= now + TimeDelta::hours(1), "{now} {next}");
            now = next;
            world.app.clock.set(now);
            deliver_due(&app).await.unwrap();
            attempts += 1;
            assert!(attempts < 40);
        }
        let [slow, broken] = ["slow", "broken"].map(|name| sink.attempts(name));
        assert_eq!((slow.len(), broken.len()), (8, 8));
        // The same Message-ID every time, so that a copy is known as one.
        assert_eq!(slow.iter().collect::<BTreeSet<_>>().len(), 1);
        assert_eq!(world.count("select count(*) from reminder where state = 'dead'").await, 3);
        assert_eq!(sink.taken().len(), 3);
    }

    // R1
    async fn several_servers_send_each_letter_once(engine: Engine) {
        const SESSIONS: i32 = 200;

        let world = World::at(engine, "2026-03-10T09:00:00Z").await;
        let ada = world.therapist("Ada", "Etc/UTC").await.offers("Mon 00:00-00:00", 5, 0, 0, 5).await;
        let nurse = world.worker().await;
        sets_contact_with_lead(&nurse, "heron@example.com", 7 * 1440).await.unwrap();
        world.deliver().await;
        confirms(&nurse, &code(&world)).await.unwrap();
        for session in 0..SESSIONS {
            let start = time("2026-03-23T01:00:00Z") + TimeDelta::minutes(5 * i64::from(session));
            nurse.books(&ada, &start.to_rfc3339()).await.unwrap();
        }
        world.set_clock("2026-03-20T09:00:00Z");
        let [first, second, third] = [world.another_server().await, world.another_server().await, world.another_server().await];
        let (a, b, c) = tokio::join!(deliver_due(&first), deliver_due(&second), deliver_due(&third));
        let sent = [a, b, c].map(|delivered| delivered.unwrap().sent);
        assert_eq!(sent.iter().sum::<u32>(), SESSIONS.unsigned_abs(), "{sent:?}");
        let letters = world.letters();
        let ids: HashSet<_> = letters[1..].iter().map(|letter| letter.message_id().to_owned()).collect();
        assert_eq!((letters.len() - 1, ids.len()), (200, 200), "none twice");
        world.deliver().await;
        assert_eq!(world.letters().len(), 201);
        assert_eq!(world.count("select count(*) from reminder where state = 'sent' and kind = 'session'").await, 200);
    }

    // R1
    async fn what_a_dead_server_claimed_is_taken_over_after_its_lease(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        nurse.reached_at(&world, "heron@example.com", "en", v1::ReminderLevel::Time).await;
        nurse.books(&ada, MONDAY).await.unwrap();
        let now = "2026-03-22T15:11:00Z";
        world.set_clock(now);

        // A server claims, as the delivery does, and is never heard of again.
        let tx = world.app.db.write().await.unwrap();
        let [row] = reminder::Entity::claimable(time(now), 32).all(&tx).await.unwrap().try_into().unwrap();
        let id = row.id.0.simple().to_string();
        let mut claimed = row.into_active_model();
        claimed.attempts = Set(1);
        claimed.next_attempt_at = Set((time(now) + TimeDelta::minutes(5)).into());
        claimed.update(&tx).await.unwrap();
        tx.commit().await.unwrap();

        let other = world.another_server().await;
        let letters = world.letters().len();
        deliver_due(&other).await.unwrap();
        world.pass(TimeDelta::seconds(299));
        deliver_due(&other).await.unwrap();
        assert_eq!(world.letters().len(), letters, "somebody is sending it");
        world.pass(TimeDelta::seconds(1));
        deliver_due(&other).await.unwrap();
        deliver_due(&other).await.unwrap();
        let letters = world.letters().split_off(letters);
        let ids: Vec<_> = letters.iter().map(notify::Letter::message_id).collect();
        assert_eq!(ids, [id], "once, and under the id that the dead server would have used");
    }
}

/// There is one reminder, a day before `start` or ten minutes off that.
async fn check_planned(world: &World, start: &str) {
    let [row] = rows(world).await.try_into().unwrap();
    assert_eq!(row.state, reminder::State::Planned);
    let off = DateTime::from(row.due_at) - (time(start) - TimeDelta::hours(24));
    assert!(off.abs() <= TimeDelta::minutes(10), "{off}");
}

async fn rows(world: &World) -> Vec<reminder::Model> {
    reminder::Entity::find().all(world.app.db.read()).await.unwrap()
}

async fn listed(worker: &Worker) -> Vec<v1::ReminderState> {
    let list = worker.client.reminders().list_reminders(v1::ListRemindersRequest {}).await.unwrap();
    list.into_inner().reminders.iter().map(v1::Reminder::state).collect()
}

fn kinds(world: &World) -> Vec<&'static str> {
    world.letters().iter().map(notify::Letter::kind).collect()
}

/// The code in the last letter.
fn code(world: &World) -> String {
    let letters = world.letters();
    letters.last().unwrap().body().chars().filter(char::is_ascii_digit).take(6).collect()
}

async fn confirms(worker: &Worker, code: &str) -> Result<(), Refusal> {
    let request = v1::ConfirmContactRequest { request_id: request_id(), code: code.to_owned() };
    worker.client.reminders().confirm_contact(request).await?;
    Ok(())
}

async fn sets_contact(worker: &Worker, email: &str) -> Result<(), Refusal> {
    sets_contact_with_lead(worker, email, 1440).await
}

async fn sets_contact_with_lead(worker: &Worker, email: &str, lead: i64) -> Result<(), Refusal> {
    let request = v1::SetContactRequest {
        request_id: request_id(),
        contact: Some(v1::Contact {
            email: email.to_owned(),
            language_code: "en".to_owned(),
            level: v1::ReminderLevel::Update.into(),
            lead_time: Some(minutes(lead)),
            confirmed: false,
        }),
    };
    worker.client.reminders().set_contact(request).await?;
    Ok(())
}

async fn lives_in_berlin(worker: &Worker) {
    let request = v1::UpdateAliasRequest {
        request_id: request_id(),
        settings: Some(v1::AliasSettings { time_zone: BERLIN.to_owned(), ..Default::default() }),
        update_mask: None,
    };
    worker.client.alias().update_alias(request).await.unwrap();
}

/// A mail server that refuses `bad` for good, puts `slow` off, and hangs up on `broken`.
#[derive(Clone)]
struct Sink {
    address: SocketAddr,
    /// Whom a letter was for, its Message-ID if it came so far, and whether it was taken.
    seen: Arc<Mutex<Vec<(String, String, bool)>>>,
}

impl Sink {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let accepting = sink.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sink = accepting.clone();
                tokio::spawn(async move { sink.converse(stream).await });
            }
        });
        sink
    }

    /// The world's server with its letters going here.
    fn app(&self, world: &World) -> App {
        let settings = SmtpSettings {
            host: self.address.ip().to_string(),
            port: Some(self.address.port()),
            tls: Tls::None,
            ca_file: None,
            username: None,
            password_file: None,
            sender: "Calendar <no-reply@example.org>".parse().unwrap(),
            hello_name: None,
            timeout_seconds: 10.try_into().unwrap(),
        };
        App { post: Post::Smtp(Smtp::new(&settings, None).unwrap()), ..world.app.clone() }
    }

    async fn converse(&self, stream: TcpStream) -> Option<()> {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"220 sink\r\n").await.ok()?;
        let mut recipient = String::new();
        while let Some(line) = lines.next_line().await.ok()? {
            let answer: &[u8] = match line.split([' ', ':']).next()? {
                "RCPT" => {
                    recipient = line.split(['<', '@']).nth(1)?.to_owned();
                    if recipient == "bad" { b"550 nobody\r\n" } else { b"250 ok\r\n" }
                }
                "DATA" => {
                    write.write_all(b"354 go on\r\n").await.ok()?;
                    let mut id = String::new();
                    loop {
                        let line = lines.next_line().await.ok()??;
                        if let Some(found) = line.strip_prefix("Message-ID: ") {
                            found.clone_into(&mut id);
                        }
                        if line == "." {
                            break;
                        }
                    }
                    let taken = recipient != "slow" && recipient != "broken";
                    self.seen.lock().unwrap().push((recipient.clone(), id, taken));
                    match recipient.as_str() {
                        "broken" => return None,
                        "slow" => b"451 later\r\n",
                        _ => b"250 taken\r\n",
                    }
                }
                "QUIT" => b"221 bye\r\n",
                _ => b"250 ok\r\n",
            };
            write.write_all(answer).await.ok()?;
        }
        Some(())
    }

    /// Who got a letter.
    fn taken(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let mut taken: Vec<_> =
            seen.iter().filter(|(.., taken)| *taken).map(|(name, ..)| name.clone()).collect();
        taken.sort();
        taken
    }

    /// The Message-IDs of every attempt at somebody.
    fn attempts(&self, name: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(to, ..)| to == name).map(|(_, id, _)| id.clone()).collect()
    }
}
