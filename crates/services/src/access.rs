//! Who calls, and who may make which call: one table, deny by default.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use chrono::{DateTime, Utc};
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use http_body_util::BodyExt;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait};
use sha2::{Digest, Sha256};
use store::{
    AliasId, Instant, Opaque, OperatorId, ProgrammeId, TherapistId, access_token, alias, operator, programme,
    therapist,
};
use tonic::{Code, Status, codegen::Bytes};
use tower::{Layer, Service};
use uuid::Uuid;

use crate::{
    App, MAX_REQUEST, MAX_ROSTER,
    error::{Error, Unauthenticated, Violation},
    rates::{Class, Spot},
};

/// Who calls. Handlers take it from the request's extensions, where the layer put it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody said.
    Anonymous,
    /// A worker.
    Alias(AliasId),
    /// A therapist.
    Therapist(TherapistId),
    /// Somebody who runs the service.
    Operator(OperatorId),
    /// Who manages a hospital's programme.
    Manager(ProgrammeId),
}

/// Who may make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Anybody; a token is not looked at, so that one that has ended stands in nobody's way.
    Open,
    /// The same for those who are about to be staff: whoever gets a token by it is of use at their door alone.
    OpenToStaff,
    /// Anybody; a token is looked at if there is one.
    Public,
    /// Workers.
    Alias,
    /// Therapists.
    Therapist,
    /// Operators.
    Operator,
    /// Managers of programmes.
    Manager,
    /// Workers and therapists.
    AliasOrTherapist,
    /// Therapists and operators.
    TherapistOrOperator,
    /// Whoever has a token.
    Anyone,
}

impl Policy {
    fn admits(self, caller: Caller) -> Result<(), Error> {
        use Caller as C;
        use Policy as P;
        match (self, caller) {
            (P::Open | P::OpenToStaff | P::Public, _)
            | (P::Anyone, C::Alias(_) | C::Therapist(_) | C::Operator(_) | C::Manager(_))
            | (P::Alias, C::Alias(_))
            | (P::Therapist, C::Therapist(_))
            | (P::Operator, C::Operator(_))
            | (P::Manager, C::Manager(_))
            | (P::AliasOrTherapist, C::Alias(_) | C::Therapist(_))
            | (P::TherapistOrOperator, C::Therapist(_) | C::Operator(_)) => Ok(()),
            (_, C::Anonymous) => Err(Unauthenticated::Token.into()),
            _ => Err(Error::CallerNotAllowed),
        }
    }
}

/// Which listener a call came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The only one.
    Every,
    /// The one that the internet reaches, where staff have one of their own.
    Public,
    /// The one of therapists, operators and managers, who had to show a certificate.
    Staff,
}

impl Door {
    /// Whether calls under this policy are answered here at all, whoever makes them.
    fn answers(self, policy: Policy) -> Result<(), Error> {
        use Policy as P;
        match (self, policy) {
            (Self::Every, _)
            | (Self::Public | Self::Staff, P::Open | P::Public | P::AliasOrTherapist | P::Anyone)
            | (Self::Public, P::Alias)
            | (
                Self::Staff,
                P::OpenToStaff | P::Therapist | P::Operator | P::Manager | P::TherapistOrOperator,
            ) => Ok(()),
            (
                Self::Public,
                P::OpenToStaff | P::Therapist | P::Operator | P::Manager | P::TherapistOrOperator,
            )
            | (Self::Staff, P::Alias) => Err(Error::OtherListener),
        }
    }

    /// Whether this caller is answered here, where others may make the same call.
    fn admits(self, caller: Caller) -> Result<(), Error> {
        match (self, caller) {
            (Self::Every, _)
            | (Self::Public, Caller::Anonymous | Caller::Alias(_))
            | (
                Self::Staff,
                Caller::Anonymous | Caller::Therapist(_) | Caller::Operator(_) | Caller::Manager(_),
            ) => Ok(()),
            (Self::Public, Caller::Therapist(_) | Caller::Operator(_) | Caller::Manager(_))
            | (Self::Staff, Caller::Alias(_)) => Err(Error::OtherListener),
        }
    }
}

/// Every call, and who may make it. A call without a row is answered `UNIMPLEMENTED`, whatever the router knows.
pub const POLICIES: [(&str, Policy); 88] = [
    ("/respite.v1.AccessService/ApproveEmergencyAccess", Policy::Operator),
    ("/respite.v1.AccessService/ListAccesses", Policy::Alias),
    ("/respite.v1.AccessService/ListEmergencyAccesses", Policy::Operator),
    ("/respite.v1.AccessService/ReadEmergencyContact", Policy::Operator),
    ("/respite.v1.AccessService/RequestEmergencyAccess", Policy::Operator),
    ("/respite.v1.AliasService/BeginCreateAlias", Policy::Open),
    ("/respite.v1.AliasService/BeginIdTokenLogin", Policy::OpenToStaff),
    ("/respite.v1.AliasService/BeginLogin", Policy::Open),
    ("/respite.v1.AliasService/CreateAlias", Policy::Open),
    ("/respite.v1.AliasService/EraseAlias", Policy::Alias),
    ("/respite.v1.AliasService/ExportAlias", Policy::Alias),
    ("/respite.v1.AliasService/FinishIdTokenLogin", Policy::OpenToStaff),
    ("/respite.v1.AliasService/FinishLogin", Policy::Open),
    ("/respite.v1.AliasService/GetAlias", Policy::Alias),
    ("/respite.v1.AliasService/LinkIdentity", Policy::Operator),
    ("/respite.v1.AliasService/Logout", Policy::Anyone),
    ("/respite.v1.AliasService/SetExclusionTags", Policy::Alias),
    ("/respite.v1.AliasService/UpdateAlias", Policy::Alias),
    ("/respite.v1.AuditService/ListAuditEntries", Policy::Operator),
    ("/respite.v1.AvailabilityService/CreateBusyFeed", Policy::Therapist),
    ("/respite.v1.AvailabilityService/CreateCalendarFeed", Policy::Therapist),
    ("/respite.v1.AvailabilityService/CreateDateOverride", Policy::Therapist),
    ("/respite.v1.AvailabilityService/CreateSessionType", Policy::Therapist),
    ("/respite.v1.AvailabilityService/CreateTimeOff", Policy::Therapist),
    ("/respite.v1.AvailabilityService/DeleteBusyFeed", Policy::Therapist),
    ("/respite.v1.AvailabilityService/DeleteCalendarFeed", Policy::Therapist),
    ("/respite.v1.AvailabilityService/DeleteDateOverride", Policy::Therapist),
    ("/respite.v1.AvailabilityService/DeleteSessionType", Policy::Therapist),
    ("/respite.v1.AvailabilityService/DeleteTimeOff", Policy::Therapist),
    ("/respite.v1.AvailabilityService/GetLoad", Policy::Therapist),
    ("/respite.v1.AvailabilityService/GetSchedule", Policy::Therapist),
    ("/respite.v1.AvailabilityService/ListBusyFeeds", Policy::Therapist),
    ("/respite.v1.AvailabilityService/ListDateOverrides", Policy::Therapist),
    ("/respite.v1.AvailabilityService/ListSessionTypes", Policy::Therapist),
    ("/respite.v1.AvailabilityService/ListTimeOff", Policy::Therapist),
    ("/respite.v1.AvailabilityService/PreviewAvailability", Policy::Therapist),
    ("/respite.v1.AvailabilityService/RotateCalendarFeed", Policy::Therapist),
    ("/respite.v1.AvailabilityService/UpdateSchedule", Policy::Therapist),
    ("/respite.v1.AvailabilityService/UpdateSessionType", Policy::Therapist),
    ("/respite.v1.BookingService/CancelBooking", Policy::Alias),
    ("/respite.v1.BookingService/CompleteBooking", Policy::Therapist),
    ("/respite.v1.BookingService/ConfirmBooking", Policy::Alias),
    ("/respite.v1.BookingService/GetBooking", Policy::Alias),
    ("/respite.v1.BookingService/HoldSlot", Policy::Alias),
    ("/respite.v1.BookingService/JoinSession", Policy::AliasOrTherapist),
    ("/respite.v1.BookingService/ListAgenda", Policy::Therapist),
    ("/respite.v1.BookingService/ListBookings", Policy::Alias),
    ("/respite.v1.BookingService/ListZoneChanges", Policy::Operator),
    ("/respite.v1.BookingService/ReleaseHold", Policy::Alias),
    ("/respite.v1.BookingService/RescheduleBooking", Policy::Alias),
    ("/respite.v1.DirectoryService/CreateCredential", Policy::TherapistOrOperator),
    ("/respite.v1.DirectoryService/CreateTherapist", Policy::Operator),
    ("/respite.v1.DirectoryService/DeleteCredential", Policy::TherapistOrOperator),
    ("/respite.v1.DirectoryService/GetTherapist", Policy::Public),
    ("/respite.v1.DirectoryService/ListCrisisResources", Policy::Open),
    ("/respite.v1.DirectoryService/ListSpecializations", Policy::Open),
    ("/respite.v1.DirectoryService/ListTherapists", Policy::Operator),
    ("/respite.v1.DirectoryService/SearchTherapists", Policy::Public),
    ("/respite.v1.DirectoryService/UpdateTherapist", Policy::Therapist),
    ("/respite.v1.DirectoryService/VerifyCredential", Policy::Operator),
    ("/respite.v1.NoteService/CreateDeviceKey", Policy::Therapist),
    ("/respite.v1.NoteService/DeleteDeviceKey", Policy::Therapist),
    ("/respite.v1.NoteService/DeleteNotes", Policy::Alias),
    ("/respite.v1.NoteService/GetDeviceKey", Policy::Alias),
    ("/respite.v1.NoteService/GetNotes", Policy::Alias),
    ("/respite.v1.NoteService/ListDeviceKeys", Policy::Therapist),
    ("/respite.v1.NoteService/ListIntakes", Policy::Therapist),
    ("/respite.v1.NoteService/PutHandover", Policy::Therapist),
    ("/respite.v1.NoteService/PutIntake", Policy::Alias),
    ("/respite.v1.ProgrammeService/CreateProgramme", Policy::Operator),
    ("/respite.v1.ProgrammeService/CreateProgrammeKey", Policy::Manager),
    ("/respite.v1.ProgrammeService/GetProgramme", Policy::Open),
    ("/respite.v1.ProgrammeService/ListCredits", Policy::Alias),
    ("/respite.v1.ProgrammeService/ListKeyLog", Policy::Open),
    ("/respite.v1.ProgrammeService/ListProgrammes", Policy::Operator),
    ("/respite.v1.ProgrammeService/ListReports", Policy::Manager),
    ("/respite.v1.ProgrammeService/RevokeProgrammeKey", Policy::Manager),
    ("/respite.v1.ProgrammeService/UpdateProgrammeManager", Policy::Operator),
    ("/respite.v1.ReminderService/ConfirmContact", Policy::Alias),
    ("/respite.v1.ReminderService/DeleteContact", Policy::Alias),
    ("/respite.v1.ReminderService/GetContact", Policy::Alias),
    ("/respite.v1.ReminderService/ListReminders", Policy::Alias),
    ("/respite.v1.ReminderService/SetContact", Policy::Alias),
    ("/respite.v1.RosterService/DeleteRoster", Policy::Alias),
    ("/respite.v1.RosterService/GetRoster", Policy::Alias),
    ("/respite.v1.RosterService/ImportRoster", Policy::Alias),
    ("/respite.v1.SlotService/SearchSlots", Policy::Alias),
    ("/respite.v1.SlotService/WatchSlots", Policy::Alias),
];

/// The call whose token a server may remember: it is made more often than all others, and tells of its caller no more
/// than when they have time. A token that another server ends is believed for the moment until this one has heard.
const FROM_MEMORY: &str = "/respite.v1.SlotService/SearchSlots";

/// Calls whose transaction asks whether the token holds, with what it asks anyway: whose it is, a server may have known
/// for a while. Of all that write, they are made most often.
const ASKED_AGAIN: [&str; 2] =
    ["/respite.v1.BookingService/ConfirmBooking", "/respite.v1.BookingService/HoldSlot"];

/// How whoever calls is made out.
#[derive(Clone, Copy)]
enum Known {
    /// The database says.
    Asked,
    /// This server remembers, and says so only while it hears of every change.
    Believed,
    /// This server remembers; the call's own transaction asks again.
    AskedAgain,
}

impl Known {
    fn at(path: &str) -> Self {
        match path {
            FROM_MEMORY => Self::Believed,
            _ if ASKED_AGAIN.contains(&path) => Self::AskedAgain,
            _ => Self::Asked,
        }
    }
}

/// An alias, and the token that it has still to be asked about. It is no [`Caller`]: a call that does not ask is told that
/// nobody calls.
#[derive(Clone)]
pub(crate) struct Bearer {
    pub(crate) alias: AliasId,
    pub(crate) token: Opaque,
}

pub(crate) fn policy(path: &str) -> Option<Policy> {
    let index = POLICIES.binary_search_by_key(&path, |(known, _)| known).ok()?;
    Some(POLICIES[index].1)
}

/// An access token, from the day it is made to the day it is sent; only its hash is kept.
pub(crate) struct Token([u8; 32]);

/// What a token starts with, so that scanners find one that leaked.
const PREFIX: &str = "ct1_";

impl Token {
    pub(crate) fn generate() -> Result<Self, Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| Error::Randomness)?;
        Ok(Self(bytes))
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.strip_prefix(PREFIX)?.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn to_text(&self) -> String {
        format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&self.0))
    }

    pub(crate) fn hash(&self) -> Opaque {
        Opaque(Sha256::digest(self.0).to_vec())
    }
}

/// The hash of the token a request came with, for the call that ends it.
#[derive(Clone)]
pub(crate) struct TokenHash(pub(crate) Opaque);

/// What became of writing a key that [`key_in_use`] did not find: somebody else may have taken it since.
pub(crate) fn key_taken(error: DbErr) -> Error {
    match store::Error::from(error) {
        store::Error::Duplicate => Error::KeyInUse,
        other => other.into(),
    }
}

/// Whether somebody signs in with this key, as whatever kind of caller: one key is one caller.
pub(crate) async fn key_in_use(db: &impl ConnectionTrait, key: &Opaque) -> Result<bool, Error> {
    let alias = alias::Entity::find_by_public_key(key.clone());
    let therapist = therapist::Entity::find_by_public_key(key.clone());
    let operator = operator::Entity::find_by_public_key(key.clone());
    let manager = programme::Entity::find_by_public_key(key.clone());
    Ok(alias.one(db).await?.is_some()
        || therapist.one(db).await?.is_some()
        || operator.one(db).await?.is_some()
        || manager.one(db).await?.is_some())
}

/// Finds out who calls, and refuses who may not.
#[derive(Clone)]
pub(crate) struct AccessLayer {
    app: App,
    door: Door,
}

impl AccessLayer {
    pub(crate) fn new(app: App, door: Door) -> Self {
        Self { app, door }
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Access<S> {
        Access { app: self.app.clone(), door: self.door, inner }
    }
}

/// See [`AccessLayer`].
#[derive(Clone)]
pub(crate) struct Access<S> {
    app: App,
    door: Door,
    inner: S,
}

impl<S, Sent, Answered> Service<Request<Sent>> for Access<S>
where
    S: Service<Request<Sent>, Response = Response<Answered>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    Sent: BodyExt<Data = Bytes> + Send + Unpin + 'static,
    Answered: Default,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Sent>) -> Self::Future {
        let (app, door) = (self.app.clone(), self.door);
        let clone = self.inner.clone();
        // The one that is ready goes with this call.
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let Some(policy) = policy(request.uri().path()) else {
                return Ok(Status::unimplemented("there is no such call").into_http());
            };
            let header = match policy {
                Policy::Open | Policy::OpenToStaff => None,
                _ => request.headers().get(AUTHORIZATION).cloned(),
            };
            let known = Known::at(request.uri().path());
            let class = Class::of(request.uri().path());
            let network = request.extensions().get::<Spot>().copied();
            let admitted = async {
                door.answers(policy)?;
                if header.is_none() {
                    app.rates.anonymous(class, network)?;
                }
                let identified = identify(&app, known, header, app.clock.now()).await;
                if let Err(Error::Unauthenticated(_)) = &identified {
                    // A token that does not hold makes nobody better known than none.
                    app.rates.anonymous(class, network)?;
                }
                let (caller, token) = identified?;
                door.admits(caller)?;
                policy.admits(caller)?;
                app.rates.known(class, caller)?;
                Ok::<_, Error>((caller, token))
            };
            match admitted.await {
                Ok((caller, token)) => {
                    let most = largest(request.uri().path());
                    let extensions = request.extensions_mut();
                    match (known, caller, token) {
                        (Known::AskedAgain, Caller::Alias(alias), Some(TokenHash(token))) => {
                            extensions.insert(Bearer { alias, token });
                        }
                        (_, caller, token) => {
                            extensions.insert(caller);
                            token.map(|token| extensions.insert(token));
                        }
                    }
                    inner.call(request).await.map(|response| explain(response, most))
                }
                Err(error) => {
                    read_away(request.into_body()).await;
                    Ok(Status::from(error).into_http())
                }
            }
        })
    }
}

/// How many bytes a request may have.
fn largest(path: &str) -> usize {
    if path == "/respite.v1.RosterService/ImportRoster" { MAX_ROSTER } else { MAX_REQUEST }
}

/// Gives what the transport refused by itself a reason and a field, too: a message that cannot be decoded, and one
/// that is too large. Whatever we refuse has its details already.
fn explain<Answered: Default>(response: Response<Answered>, most: usize) -> Response<Answered> {
    let status = Status::from_header_map(response.headers()).filter(|status| status.details().is_empty());
    let violation = match status.map(|status| status.code()) {
        Some(Code::Internal) => Violation::Malformed { expected: "a message of the contract" },
        Some(Code::OutOfRange) => Violation::TooLong { most, unit: "bytes" },
        _ => return response,
    };
    Status::from(Error::invalid("request", violation)).into_http()
}

/// Reads what a small request still sends. Over HTTP/1.1, which gRPC-Web uses, a connection with an unread request
/// is closed, and the client may fail to write before it reads why it was refused.
async fn read_away(mut body: impl BodyExt<Data = Bytes> + Unpin) {
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        length += frame.data_ref().map_or(0, Bytes::len);
        if length > MAX_REQUEST {
            return;
        }
    }
}

async fn identify(
    app: &App,
    known: Known,
    header: Option<HeaderValue>,
    now: DateTime<Utc>,
) -> Result<(Caller, Option<TokenHash>), Error> {
    let Some(header) = header else {
        return Ok((Caller::Anonymous, None));
    };
    let token = header
        .to_str()
        .ok()
        .and_then(|text| text.strip_prefix("Bearer "))
        .and_then(Token::parse)
        .ok_or(Unauthenticated::Token)?;
    let token = TokenHash(token.hash());
    let caller = match known {
        Known::Asked => admit(app, &token, now).await?,
        Known::Believed => recall(app, &token, now).await?,
        Known::AskedAgain => {
            let row = app.callers.token(app, &token.0, now).await?;
            caller(row.caller_kind, row.caller_id)
        }
    };
    Ok((caller, Some(token)))
}

/// Whose token it is, from memory while that may be believed.
pub(crate) async fn recall(app: &App, token: &TokenHash, now: DateTime<Utc>) -> Result<Caller, Error> {
    if !app.mirror.catch_up(now).await? {
        return admit(app, token, now).await;
    }
    let row = app.callers.token(app, &token.0, now).await?;
    Ok(caller(row.caller_kind, row.caller_id))
}

/// Whose token it is, unless it has ended or was given back.
async fn admit(app: &App, token: &TokenHash, now: DateTime<Utc>) -> Result<Caller, Error> {
    let row = access_token::Entity::find_by_id(token.0.clone())
        .one(app.db.read())
        .await?
        .filter(|row| row.expires_at > Instant::from(now))
        .ok_or(Unauthenticated::Token)?;
    Ok(caller(row.caller_kind, row.caller_id))
}

fn caller(kind: access_token::CallerKind, id: Uuid) -> Caller {
    match kind {
        access_token::CallerKind::Alias => Caller::Alias(AliasId(id)),
        access_token::CallerKind::Therapist => Caller::Therapist(TherapistId(id)),
        access_token::CallerKind::Operator => Caller::Operator(OperatorId(id)),
        access_token::CallerKind::Manager => Caller::Manager(ProgrammeId(id)),
    }
}

/// Reads who calls off a request, as the layer left it there.
pub(crate) trait Called {
    fn caller(&self) -> Caller;

    /// Who calls one of [`ASKED_AGAIN`].
    fn bearer(&self) -> Result<Bearer, Error>;

    fn alias(&self) -> Result<AliasId, Error> {
        match self.caller() {
            Caller::Alias(id) => Ok(id),
            Caller::Anonymous | Caller::Therapist(_) | Caller::Operator(_) | Caller::Manager(_) => {
                Err(Error::CallerNotAllowed)
            }
        }
    }

    fn therapist(&self) -> Result<TherapistId, Error> {
        match self.caller() {
            Caller::Therapist(id) => Ok(id),
            Caller::Anonymous | Caller::Alias(_) | Caller::Operator(_) | Caller::Manager(_) => {
                Err(Error::CallerNotAllowed)
            }
        }
    }

    fn operator(&self) -> Result<OperatorId, Error> {
        match self.caller() {
            Caller::Operator(id) => Ok(id),
            Caller::Anonymous | Caller::Alias(_) | Caller::Therapist(_) | Caller::Manager(_) => {
                Err(Error::CallerNotAllowed)
            }
        }
    }

    fn manager(&self) -> Result<ProgrammeId, Error> {
        match self.caller() {
            Caller::Manager(id) => Ok(id),
            Caller::Anonymous | Caller::Alias(_) | Caller::Therapist(_) | Caller::Operator(_) => {
                Err(Error::CallerNotAllowed)
            }
        }
    }
}

impl<T> Called for tonic::Request<T> {
    fn bearer(&self) -> Result<Bearer, Error> {
        Ok(self.extensions().get().cloned().ok_or(Unauthenticated::Token)?)
    }

    fn caller(&self) -> Caller {
        self.extensions().get().copied().unwrap_or(Caller::Anonymous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_it_can_be_searched() {
        assert!(POLICIES.is_sorted_by(|(a, _), (b, _)| a < b));
    }

    /// One letter for each caller: anonymous, alias, therapist, operator, manager. They are answered (`y`), asked for a
    /// token (`t`), told that the call is not theirs (`n`) or told to use the other listener (`o`).
    #[test]
    fn each_door_answers_each_caller_as_the_table_says() {
        let check = |policy: Policy, expected: [&str; 3]| {
            for (door, expected) in [Door::Every, Door::Public, Door::Staff].into_iter().zip(expected) {
                assert_eq!(answers(door, policy), expected, "{door:?} {policy:?}");
            }
        };
        check(Policy::Open, ["yyyyy", "yyooo", "yoyyy"]);
        check(Policy::OpenToStaff, ["yyyyy", "ooooo", "yoyyy"]);
        check(Policy::Public, ["yyyyy", "yyooo", "yoyyy"]);
        check(Policy::Alias, ["tynnn", "tyooo", "ooooo"]);
        check(Policy::Therapist, ["tnynn", "ooooo", "toynn"]);
        check(Policy::Operator, ["tnnyn", "ooooo", "tonyn"]);
        check(Policy::Manager, ["tnnny", "ooooo", "tonny"]);
        check(Policy::AliasOrTherapist, ["tyynn", "tyooo", "toynn"]);
        check(Policy::TherapistOrOperator, ["tnyyn", "ooooo", "toyyn"]);
        check(Policy::Anyone, ["tyyyy", "tyooo", "toyyy"]);
    }

    fn answers(door: Door, policy: Policy) -> String {
        let callers = [
            Caller::Anonymous,
            Caller::Alias(AliasId(Uuid::nil())),
            Caller::Therapist(TherapistId(Uuid::nil())),
            Caller::Operator(OperatorId(Uuid::nil())),
            Caller::Manager(ProgrammeId(Uuid::nil())),
        ];
        let answer = |caller| {
            let door = door.answers(policy).and_then(|()| door.admits(caller));
            match door.and_then(|()| policy.admits(caller)) {
                Ok(()) => 'y',
                Err(Error::Unauthenticated(_)) => 't',
                Err(Error::CallerNotAllowed) => 'n',
                Err(Error::OtherListener) => 'o',
                Err(other) => panic!("{other}"),
            }
        };
        callers.into_iter().map(answer).collect()
    }

    #[test]
    fn a_token_is_read_as_it_was_written_and_not_otherwise() {
        let token = Token::generate().unwrap();
        let text = token.to_text();
        assert_eq!(Token::parse(&text).unwrap().0, token.0);
        for wrong in [&text[4..], &text[..text.len() - 1], "ct1_", "", &format!("{text}A")] {
            assert!(Token::parse(wrong).is_none(), "{wrong}");
        }
    }
}
