// The main job over any Connect transport, in Node.js and in a browser alike: it knows the generated contract and
// the Web Crypto API. Throws an Error that says what does not hold.

import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";

import { BadRequestSchema, ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { AliasService, CallerKind } from "./gen/respite/v1/alias_pb.js";
import { BookingService, BookingState } from "./gen/respite/v1/booking_pb.js";
import { DirectoryService } from "./gen/respite/v1/directory_pb.js";
import { ReminderLevel, ReminderService } from "./gen/respite/v1/reminder_pb.js";
import { RosterService } from "./gen/respite/v1/roster_pb.js";
import { Constraint, SlotService } from "./gen/respite/v1/slot_pb.js";
import { SpanSchema } from "./gen/respite/v1/time_pb.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
// What an alias has unless it says otherwise (S2).
const [COMMUTE, REST, SLEEP] = [30 * MINUTE, HOUR, 8 * HOUR];

/** Does the main job with `transport(token)`, which makes a transport that sends the token, if there is one. */
export async function mainJob(transport) {
  const anybody = services(transport());

  // Whom to call at once, with no token and before anything else.
  const { crisisResources } = await anybody.directory.listCrisisResources({ countryCode: "DE" });
  check(crisisResources[0]?.countryCode === "DE", "Germany has a crisis line");

  // An alias; made twice with the same key, it is the same one.
  const key = await keyOf(crypto.getRandomValues(new Uint8Array(16)));
  const made = await creation(anybody, key);
  const { alias } = await anybody.alias.createAlias(made);
  const again = await anybody.alias.createAlias(made);
  check(again.alias.id === alias.id && again.alias.handle === alias.handle, "one key, one alias");
  const forged = { ...made, signature: new Uint8Array(64) };
  await refused(Code.Unauthenticated, "SIGNATURE_INVALID", null, anybody.alias.createAlias(forged));
  const signed = await anybody.alias.finishLogin(await signature(anybody, key));
  check(signed.caller === CallerKind.ALIAS, "an alias signed in");
  const worker = services(transport(signed.accessToken));

  // A roster with nights.
  const now = Math.floor(Date.now() / 1000) * 1000;
  const shifts = nightsFrom(now - (now % DAY));
  const lastDay = new Date(now + 14 * DAY);
  const understood = await worker.roster.importRoster({
    requestId: crypto.randomUUID(),
    source: { case: "icalendar", value: icalendar(shifts) },
    timeZone: "Europe/Berlin",
    publishDate: { year: lastDay.getUTCFullYear(), month: lastDay.getUTCMonth() + 1, day: lastDay.getUTCDate() },
  });
  check(understood.shiftCount === shifts.length, `${shifts.length} shifts, not ${understood.shiftCount}`);
  check(understood.nightCount === shifts.length, `all are nights, not ${understood.nightCount}`);

  // Slots for burnout, in German, that leave the nights and the sleep after them alone.
  const wanted = {
    filter: { specializations: ["burnout"], languages: ["de"] },
    window: span(now, now + 10 * DAY),
    pageSize: 100,
    languageCode: "de",
  };
  const found = await worker.slots.searchSlots(wanted);
  check(found.hits.length > 0, "there are slots");
  check(!found.hits.some((hit) => inTheWay(hit, shifts)), "no slot lies in a night, on the way or in the sleep");
  check(found.hits.every((hit) => hit.reasons.length > 0), "every hit says why");
  const starts = found.hits.map((hit) => timestampMs(hit.slot.session.startTime));
  check(starts.every((start, at) => at === 0 || starts[at - 1] <= start), "the earliest slot is first");
  // Asked of the mornings themselves: late at night the first page of the ten days ends before anybody sleeps.
  const mornings = shifts.slice(0, 4).map(([, end]) => span(end, end + COMMUTE + SLEEP));
  const onMornings = (rosterUse) =>
    Promise.all(mornings.map((window) => worker.slots.searchSlots({ ...wanted, window, rosterUse })));
  const asleep = await onMornings({});
  check(asleep.every(({ hits }) => hits.length === 0), "nothing is offered to somebody who sleeps after a night");
  const tookAway = asleep.flatMap(({ removals }) => removals);
  check(tookAway.some(({ constraint, count }) => constraint === Constraint.SLEEP && count > 0), "sleep after a night took slots away");
  const awake = await onMornings({ ignoreShifts: true });
  check(awake.some(({ hits }) => hits.length > 0), "without the roster, there are slots on such a morning");

  // Hold and confirm; a repeated request gives the same answer, another one under its id is refused.
  const { hit, holding, held } = await holdFirstFree(worker, found.hits);
  check(held.state === BookingState.PENDING && held.holdExpireTime, "the slot is held");
  const repeated = await worker.bookings.holdSlot(holding);
  check(same(repeated.booking, held), "the same request gives the same answer");
  const other = { ...holding, startTime: timestampFromMs(timestampMs(holding.startTime) + DAY) };
  await refused(Code.InvalidArgument, "REQUEST_ID_REUSED", null, worker.bookings.holdSlot(other));
  const confirming = { requestId: crypto.randomUUID(), bookingId: held.id };
  const { booking: booked } = await worker.bookings.confirmBooking(confirming);
  check(booked.state === BookingState.BOOKED && booked.id === held.id, "the session is booked");
  check(same((await worker.bookings.confirmBooking(confirming)).booking, booked), "confirming twice is once");
  const { bookings } = await worker.bookings.listBookings({});
  check(bookings.length === 1 && bookings[0].id === booked.id, "the booking is listed, alone");

  // A contact to be reminded at.
  const contact = { email: "nurse@example.org", languageCode: "de", level: ReminderLevel.TIME };
  await worker.reminders.setContact({ requestId: crypto.randomUUID(), contact });
  const kept = await worker.reminders.getContact({});
  check(kept.contact.email === contact.email && !kept.contact.confirmed, "the contact is kept, and not confirmed");

  // Another time with the same therapist.
  const sameTherapist = { ...wanted, filter: { ...wanted.filter, therapistIds: [booked.therapistId] } };
  const { hits } = await worker.slots.searchSlots(sameTherapist);
  const moved = await moveToFirstFree(worker, booked, hits);
  const { history } = await worker.bookings.getBooking({ bookingId: moved.id });
  check(history.some((event) => event.rescheduled), "the history tells of the move");

  // Cancelled, its time is free at once.
  const cancelling = { requestId: crypto.randomUUID(), bookingId: moved.id };
  const cancelled = await worker.bookings.cancelBooking(cancelling);
  check(cancelled.booking.state === BookingState.CANCELLED, "the booking is cancelled");
  const last = await holdFirstFree(worker, found.hits);
  await worker.bookings.confirmBooking({ requestId: crypto.randomUUID(), bookingId: last.held.id });

  await badInputs(anybody, worker, wanted, hit, now);

  // Erased, there is nobody to sign in.
  const erased = await worker.alias.eraseAlias({});
  check(erased.cancelledBookings === 1, "erasing cancels the session to come");
  await refused(Code.Unauthenticated, "TOKEN_INVALID", null, worker.bookings.listBookings({}));
  const gone = await signature(anybody, key);
  await refused(Code.Unauthenticated, "LOGIN_REFUSED", null, anybody.alias.finishLogin(gone));
}

/** Each bad field gets its code, its reason and its path. */
async function badInputs(anybody, worker, search, hit, now) {
  await refused(Code.Unauthenticated, "TOKEN_INVALID", null, anybody.bookings.listBookings({}));
  const agenda = worker.bookings.listAgenda({ span: span(now, now + DAY) });
  await refused(Code.PermissionDenied, "CALLER_NOT_ALLOWED", null, agenda);
  const unknown = worker.bookings.getBooking({ bookingId: crypto.randomUUID() });
  await refused(Code.NotFound, "NOT_FOUND", null, unknown);

  const invalid = (reason, field, answer) => refused(Code.InvalidArgument, reason, field, answer);
  const searched = (change) => worker.slots.searchSlots({ ...search, ...change });
  await invalid("REVERSED_SPAN", "window", searched({ window: span(now + DAY, now) }));
  await invalid("OUT_OF_RANGE", "window", searched({ window: span(now, now + 32 * DAY) }));
  await invalid("PAGE_TOKEN_INVALID", "page_token", searched({ pageToken: "no such page" }));
  const nonsense = { specializations: ["xqzzwvkk"] };
  await invalid("UNKNOWN_TERM", "filter.specializations", searched({ filter: nonsense }));
  const held = (change) => worker.bookings.holdSlot({ ...hold(hit), ...change });
  await invalid("MALFORMED", "therapist_id", held({ therapistId: "a therapist" }));
  await invalid("REQUIRED", "request_id", held({ requestId: "" }));
  const imported = (value, timeZone) =>
    worker.roster.importRoster({ requestId: crypto.randomUUID(), source: { case: "icalendar", value }, timeZone });
  const nothing = new TextEncoder().encode("BEGIN:NOTHING\r\n");
  await invalid("ICALENDAR_MALFORMED", "icalendar", imported(nothing, "Europe/Berlin"));
  await invalid("UNKNOWN_ZONE", "time_zone", imported(nothing, "Europe/Nowhere"));
  const contact = { email: "Nurse <nurse@example.org>", languageCode: "de" };
  const named = worker.reminders.setContact({ requestId: crypto.randomUUID(), contact });
  await invalid("MALFORMED", "contact.email", named);
}

function services(transport) {
  return {
    alias: createClient(AliasService, transport),
    bookings: createClient(BookingService, transport),
    directory: createClient(DirectoryService, transport),
    reminders: createClient(ReminderService, transport),
    roster: createClient(RosterService, transport),
    slots: createClient(SlotService, transport),
  };
}

function check(holds, what) {
  if (!holds) throw new Error(`this does not hold: ${what}`);
}

/** The call is refused in exactly this way; `field` begins the path of the field that is wrong. */
async function refused(code, reason, field, answer) {
  const error = await answer.then(
    () => new Error(`not refused with ${reason}`),
    (error) => ConnectError.from(error),
  );
  if (!(error instanceof ConnectError)) throw error;
  const info = error.findDetails(ErrorInfoSchema)[0];
  const told = `${Code[error.code]} ${info?.domain} ${info?.reason}`;
  check(told === `${Code[code]} respite ${reason}`, `${told} (${error.rawMessage}) instead of ${reason}`);
  if (field === null) return;
  const fields = error.findDetails(BadRequestSchema).flatMap((bad) => bad.fieldViolations.map(({ field }) => field));
  check(fields.some((path) => path.startsWith(field)), `[${fields}] names ${field}`);
}

/** The key of an alias, made from its secret as alias.proto says. */
async function keyOf(secret) {
  const text = new TextEncoder();
  const base = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  const [salt, info] = [text.encode("respite/alias/v1"), text.encode("login-ed25519")];
  const seed = await crypto.subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt, info }, base, 256);
  // Web Crypto takes an Ed25519 seed in PKCS#8 alone (RFC 8410), and gives the public half away as JWK.
  const header = Uint8Array.from([0x30, 46, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 34, 4, 32]);
  const pkcs8 = concat(header, new Uint8Array(seed));
  const signing = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", true, ["sign"]);
  const { x } = await crypto.subtle.exportKey("jwk", signing);
  const binary = atob(x.replaceAll("-", "+").replaceAll("_", "/"));
  return { signing, publicKey: Uint8Array.from(binary, (letter) => letter.charCodeAt(0)) };
}

async function sign(key, ...parts) {
  return new Uint8Array(await crypto.subtle.sign("Ed25519", key.signing, concat(...parts)));
}

async function creation(anybody, key) {
  const { challenge, proofOfWorkBits } = await anybody.alias.beginCreateAlias({ publicKey: key.publicKey });
  const proofOfWork = await workFor(challenge, proofOfWorkBits);
  const context = new TextEncoder().encode("respite/create-alias/v1\0");
  const signature = await sign(key, context, challenge, proofOfWork);
  return { publicKey: key.publicKey, challenge, proofOfWork, signature };
}

async function signature(anybody, key) {
  const { challenge, audience } = await anybody.alias.beginLogin({ publicKey: key.publicKey });
  const context = new TextEncoder().encode(`respite/login/v1\0${audience}\0`);
  return { publicKey: key.publicKey, challenge, signature: await sign(key, context, challenge) };
}

async function workFor(challenge, bits) {
  for (let first = 0; ; first += 256) {
    // Many at a time, since each is a trip to another thread.
    const works = Array.from({ length: 256 }, (_, further) => {
      const work = new Uint8Array(4);
      new DataView(work.buffer).setUint32(0, first + further);
      return work;
    });
    const digests = await Promise.all(works.map((work) => crypto.subtle.digest("SHA-256", concat(challenge, work))));
    const found = digests.findIndex((digest) => Math.clz32(new DataView(digest).getUint32(0)) >= bits);
    if (found >= 0) return works[found];
  }
}

function concat(...parts) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function span(start, end) {
  return create(SpanSchema, { startTime: timestampFromMs(start), endTime: timestampFromMs(end) });
}

/** Two nights, two days off, over two weeks; 22:00 to 06:00 of a German winter, an hour later in summer. */
function nightsFrom(midnight) {
  const days = Array.from({ length: 14 }, (_, day) => day).filter((day) => day % 4 < 2);
  return days.map((day) => [midnight + day * DAY + 21 * HOUR, midnight + day * DAY + 29 * HOUR]);
}

function icalendar(shifts) {
  const utc = (instant) => new Date(instant).toISOString().replace(/[-:]|\.000/g, "");
  const events = shifts.flatMap(([start, end], number) => [
    "BEGIN:VEVENT",
    `UID:night-${number}@example.org`,
    `DTSTAMP:${utc(start)}`,
    `DTSTART:${utc(start)}`,
    `DTEND:${utc(end)}`,
    "SUMMARY:Night\\, ward 7",
    "END:VEVENT",
  ]);
  const lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//example//roster//EN", ...events, "END:VCALENDAR", ""];
  return new TextEncoder().encode(lines.join("\r\n"));
}

/** Whether the slot lies in a shift, on the way to or from it, in the rest before or the sleep after (S2). */
function inTheWay(hit, shifts) {
  const start = timestampMs(hit.slot.session.startTime);
  const end = timestampMs(hit.slot.session.endTime);
  return shifts.some(([begin, finish]) => start < finish + COMMUTE + SLEEP && end > begin - Math.max(COMMUTE, REST));
}

function hold(hit) {
  const { therapistId, sessionTypeId, session } = hit.slot;
  const [modality] = hit.modalities;
  return { requestId: crypto.randomUUID(), therapistId, sessionTypeId, startTime: session.startTime, modality };
}

/** Holds the first slot that nobody took meanwhile. */
async function holdFirstFree(worker, hits) {
  for (const hit of hits) {
    const holding = hold(hit);
    const answer = await unlessTaken(worker.bookings.holdSlot(holding));
    if (answer) return { hit, holding, held: answer.booking };
  }
  throw new Error("every slot on offer is taken");
}

/** Moves the booking to the first other slot that nobody took meanwhile. */
async function moveToFirstFree(worker, booked, hits) {
  for (const { slot } of hits) {
    if (slot.sessionTypeId !== booked.sessionTypeId || same(slot.session, booked.session)) continue;
    const moving = { requestId: crypto.randomUUID(), bookingId: booked.id, startTime: slot.session.startTime };
    const answer = await unlessTaken(worker.bookings.rescheduleBooking(moving));
    if (!answer) continue;
    check(answer.booking.id === booked.id && same(answer.booking.session, slot.session), "the booking moved");
    return answer.booking;
  }
  throw new Error("the therapist has no other slot");
}

async function unlessTaken(answer) {
  return answer.catch((error) => {
    const [info] = ConnectError.from(error).findDetails(ErrorInfoSchema);
    if (info?.reason === "SLOT_TAKEN") return null;
    throw error;
  });
}

/** Whether two messages of one type say the same. */
function same(one, other) {
  const text = (message) => JSON.stringify(message, (_, value) => (typeof value === "bigint" ? `${value}` : value));
  return text(one) === text(other);
}
