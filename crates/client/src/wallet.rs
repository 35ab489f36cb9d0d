//! Passes of a hospital's programme, on the worker's device alone.
//!
//! They are asked for all at once, when everybody asks, and not because somebody wants a session. They rest for some
//! hours, and are spent one by one. What is asked of the hospital goes another way than what is asked of the server:
//! over another connection, without a token, and at another time.
//!
//! ```no_run
//! # async fn example(anybody: client::Client, programme: uuid::Uuid, hospital: tonic::transport::Channel, kept: &[u8])
//! # -> Result<(), Box<dyn std::error::Error>> {
//! # use chrono::{DateTime, Utc};
//! # use std::io::Write;
//! # let mut storage = Vec::new();
//! # let (now, session) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MIN_UTC..DateTime::<Utc>::MIN_UTC);
//! use client::Wallet;
//!
//! let mut wallet = Wallet::new(&anybody, programme, now).await?;
//! if wallet.wants_passes(now) {
//!     // Kept before anything is sent: an answer that is lost can be asked for again.
//!     wallet.fetch(hospital, "7KQ2 M4XT 9RWB C3HD VN5P", now, |bytes| storage.write_all(bytes)).await?;
//! }
//! storage.write_all(&wallet.to_bytes())?;
//!
//! // Another day:
//! let mut wallet = Wallet::open(&anybody, kept, now).await?;
//! println!("{} passes, of {}", wallet.days_left(now).len(), wallet.programme().display_name);
//! if let Some(pass) = wallet.pass_for(&session, api::v1::Modality::Video, now).cloned() {
//!     // Confirm the booking with `pass.to_bytes()`; once it is booked, or was spent before:
//!     wallet.remove(&pass);
//! }
//! # Ok(())
//! # }
//! ```

use std::{
    fmt,
    ops::{Range, RangeInclusive},
};

use api::{
    issuer::v1::{
        BeginLoginRequest, BeginLoginResponse, GetOfferRequest, IdTokenLogin, IssuePassesRequest,
        issuer_service_client::IssuerServiceClient,
    },
    v1,
};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use pass::{
    BlindSignature, Directory, FinalizeError, Head, KeyId, KeyRecord, KeyState, LogError, NotIssuing,
    PendingToken, Period, ProgrammeId, Token, TokenRequest,
};
use thiserror::Error;
use tonic::transport::Channel;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{Client, Session};

/// The passes of one programme.
pub struct Wallet {
    id: ProgrammeId,
    /// What it pays for, which never changes.
    programme: v1::Programme,
    /// Every key there is, as everybody sees them.
    log: Directory,
    /// When that was read, in Unix seconds.
    read_at: i64,
    kept: Kept,
}

/// What a wallet knows of the log when it opens.
#[derive(Clone, Copy)]
struct Seen {
    head: Head,
    /// In Unix seconds; long ago if nobody wrote it down.
    at: i64,
}

/// What the log does not say.
struct Kept {
    /// The key under which there is nothing more to ask for, since the passes of its period were signed; or zeros.
    signed: KeyId,
    /// The key that signed when this wallet was last opened; or zeros.
    seen: KeyId,
    /// When to ask for passes under that key, in Unix seconds.
    wants_from: i64,
    /// Asked for and not answered, all under one key.
    pending: Vec<PendingToken>,
    passes: Vec<Token>,
    /// Until when none is spent, in Unix seconds.
    rests_until: i64,
}

/// Why there is no wallet.
#[derive(Debug, Error)]
pub enum WalletError {
    /// The programme or the log could not be read.
    #[error(transparent)]
    Call(#[from] crate::Error),
    /// The log breaks its rules, or is not the one that this device saw before: nothing is asked for under its keys.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A key came into the log since this device read it, and says that it had been there before: so it has skipped the
    /// week in which it could be seen, and might be this worker's alone.
    #[error("key {key_id:?} is new in the log, and says that it had been there before")]
    BackDated {
        /// The key.
        key_id: KeyId,
    },
    /// These bytes are no wallet.
    #[error("not a wallet")]
    Form,
}

/// Why there are no passes.
#[derive(Debug, Error)]
pub enum PassError {
    /// No key of the programme signs now.
    #[error("no key of the programme signs now")]
    NoKey,
    /// The key cannot be used.
    #[error(transparent)]
    NotIssuing(#[from] NotIssuing),
    /// The hospital answered another number of requests than it was asked.
    #[error("{found} answers to {expected} requests")]
    Answers {
        /// How many were asked for.
        expected: usize,
        /// How many came.
        found: usize,
    },
    /// An answer is not what was asked for.
    #[error(transparent)]
    Answer(#[from] FinalizeError),
}

/// How a worker shows the hospital that they are eligible.
pub enum Shown {
    /// By the code on a card or in a letter, as it was typed.
    Code(String),
    /// By having signed in at the hospital's identity provider.
    Login {
        /// Of the [`ProviderLogin`] that they signed in for.
        nonce: String,
        /// What the provider answered, which names the nonce.
        id_token: String,
    },
}

impl From<&str> for Shown {
    fn from(code: &str) -> Self {
        Self::Code(code.to_owned())
    }
}

/// Where to sign in: OpenID Connect's authorization code flow with PKCE, in the system's browser (RFC 8252).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderLogin {
    /// To be in the ID token; it holds for ten minutes.
    pub nonce: String,
    /// The provider's own address, from which its discovery document is read.
    pub provider_uri: String,
    /// What the provider calls this app.
    pub client_id: String,
}

/// Why no passes were fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The hospital refused, or could not be reached; what is pending is asked for again the next time.
    #[error(transparent)]
    Call(#[from] crate::Error),
    /// No passes are to be had, or those that came are none.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// The hospital offers passes of another programme.
    #[error("passes of another programme are offered")]
    OtherProgramme,
    /// The hospital offers to sign with a key that is not the one that everybody sees; it might be this worker's alone.
    #[error("the key that is offered is not the one in the log")]
    OtherKey,
    /// The hospital offers another number than the programme says, which everybody is offered: whoever spends one more than
    /// others have would be known by it.
    #[error("{offered} passes are offered, which is not what the programme says")]
    Number {
        /// How many.
        offered: u32,
    },
    /// The device could not keep what it is about to send.
    #[error("what is asked for could not be kept")]
    NotKept(#[source] std::io::Error),
}

/// How long passes rest at least: who asks the hospital now and books in a minute is known by the time.
const REST: TimeDelta = TimeDelta::hours(1);
/// How much longer at most, by chance.
const REST_MORE: TimeDelta = TimeDelta::hours(23);

/// Within which time of seeing a key sign all devices ask, each when chance says: so that whoever asks says nothing by when,
/// and the hospital is not asked by everybody at once.
const SPREAD: TimeDelta = TimeDelta::days(2);

/// How far the server's clock and the device's may be apart.
const SKEW: i64 = 24 * 60 * 60;
const LONG_AGO: i64 = i64::MIN;

const CONTEXT: &[u8] = b"respite/wallet/v2";
/// It did not say when the log was read, nor anything of the next fetching.
const FIRST_CONTEXT: &[u8] = b"respite/wallet/v1";
const ADDED_LENGTH: usize = 8 + 32 + 8 + 32;
const PENDING_LENGTH: usize = 610;
const PASS_LENGTH: usize = 354;

impl Wallet {
    /// Without passes. Whoever reads the log signs in for nothing: `anybody` had better not.
    pub async fn new(anybody: &Client, programme: Uuid, now: DateTime<Utc>) -> Result<Self, WalletError> {
        let nothing = Seen { head: Head::default(), at: LONG_AGO };
        Self::read(anybody, ProgrammeId(programme.into_bytes()), nothing, Kept::empty(), now).await
    }

    /// As [`Self::to_bytes`] wrote it. A log that does not go on from the one it had seen is refused, and so is one with
    /// a new key that says it is older. The more often a wallet is opened and stored, the more that is worth: who does so
    /// each week sees every key before it signs.
    pub async fn open(anybody: &Client, bytes: &[u8], now: DateTime<Utc>) -> Result<Self, WalletError> {
        let (id, seen, kept) = parse(bytes).ok_or(WalletError::Form)?;
        Self::read(anybody, id, seen, kept, now).await
    }

    async fn read(
        anybody: &Client,
        id: ProgrammeId,
        seen: Seen,
        kept: Kept,
        now: DateTime<Utc>,
    ) -> Result<Self, WalletError> {
        let programme = read_programme(anybody, Uuid::from_bytes(id.0)).await?;
        let read_at = now.timestamp();
        let log = read_log(anybody, seen, read_at).await?;
        let mut wallet = Self { id, programme, log, read_at, kept };
        let signing = wallet.signing(now).map(|key| key.key.id());
        if let Some(key_id) = signing.filter(|key_id| *key_id != wallet.kept.seen) {
            (wallet.kept.seen, wallet.kept.wants_from) = (key_id, read_at + chance(SPREAD));
        }
        Ok(wallet)
    }

    /// What a pass pays for, to be shown before one is spent.
    pub fn programme(&self) -> &v1::Programme {
        &self.programme
    }

    /// What the log of keys that this device was shown comes to. Where it is the same as another's, nobody was shown a
    /// key of their own; a device alone cannot tell.
    pub fn head(&self) -> Head {
        self.log.head()
    }

    /// Whether to fetch: the passes of the period were not, and the moment has come that chance gave this device when it
    /// was first opened while their key signs. So whoever opens it since they need somebody does not fetch then. It asks for
    /// nothing, so that an app may look whenever it runs.
    pub fn wants_passes(&self, now: DateTime<Utc>) -> bool {
        let Kept { signed, seen, wants_from, pending, .. } = &self.kept;
        let Some(key) = self.signing(now) else { return false };
        let key_id = key.key.id();
        let begun = pending.first().is_some_and(|pending| pending.request().key_id == key_id);
        *signed != key_id && (begun || *seen == key_id && now.timestamp() >= *wants_from)
    }

    /// Begins a login at the hospital's identity provider, if it takes any in place of codes.
    pub async fn begin_login(hospital: Channel) -> Result<ProviderLogin, FetchError> {
        let mut issuer = IssuerServiceClient::new(Session::anonymous(hospital));
        let begun = issuer.begin_login(BeginLoginRequest {}).await.map_err(crate::Error::from)?.into_inner();
        let BeginLoginResponse { nonce, provider_uri, client_id } = begun;
        Ok(ProviderLogin { nonce, provider_uri, client_id })
    }

    /// Fetches the passes of the period from the hospital, over a connection of its own.
    ///
    /// `keep` stores the wallet before anything is sent. If it fails after that, or there is no answer, the same passes
    /// are asked for the next time, as they are when the hospital is not there for a moment. If it says that it signed
    /// others for this worker, a wallet that was lost has them, and no more are wanted before the next period.
    pub async fn fetch(
        &mut self,
        hospital: Channel,
        shown: impl Into<Shown>,
        now: DateTime<Utc>,
        keep: impl FnOnce(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), FetchError> {
        let mut issuer = IssuerServiceClient::new(Session::anonymous(hospital));
        let offer = issuer.get_offer(GetOfferRequest {}).await.map_err(crate::Error::from)?.into_inner();
        if offer.programme_id != Uuid::from_bytes(self.id.0).to_string() {
            return Err(FetchError::OtherProgramme);
        }
        let agreed = usize::try_from(self.programme.sessions_per_period).unwrap_or_default();
        let known = 1..=Period::MOST_PASSES as usize;
        if offer.passes as usize != agreed || !known.contains(&agreed) {
            return Err(FetchError::Number { offered: offer.passes });
        }
        let requests = self.request(agreed, now)?;
        if requests.iter().any(|request| request.key_id.as_bytes()[..] != offer.key_id) {
            return Err(FetchError::OtherKey);
        }
        keep(&self.to_bytes()).map_err(FetchError::NotKept)?;
        let blinded = requests.iter().map(|request| request.blinded_message.as_bytes().to_vec());
        let (activation_code, login) = match shown.into() {
            Shown::Code(code) => (code, None),
            Shown::Login { nonce, id_token } => (String::new(), Some(IdTokenLogin { nonce, id_token })),
        };
        let request = IssuePassesRequest {
            activation_code,
            key_id: offer.key_id,
            blinded_messages: blinded.collect(),
            login,
        };
        let signed = match issuer.issue_passes(request).await.map_err(crate::Error::from) {
            Ok(signed) => signed.into_inner(),
            Err(error) => {
                if error.refusal().is_some_and(|refusal| refusal.reason == "OTHER_BATCH_ISSUED") {
                    self.kept.signed = requests[0].key_id;
                }
                return Err(error.into());
            }
        };
        let answers = signed.blind_signatures.iter().map(|answer| BlindSignature::try_from(&answer[..]));
        let answers = answers.collect::<Result<Vec<_>, _>>();
        let answers = answers.map_err(|_| crate::Error::Incomplete { field: "blind_signatures" })?;
        Ok(self.receive(&answers, now)?)
    }

    /// What to ask the hospital for, under the one key of the programme that signs `now`. As long as there is no
    /// answer, it is the same again.
    pub fn request(&mut self, passes: usize, now: DateTime<Utc>) -> Result<Vec<TokenRequest>, PassError> {
        let key_id = self.signing(now).ok_or(PassError::NoKey)?.key.id();
        let pending = &mut self.kept.pending;
        if pending.iter().any(|pending| pending.request().key_id != key_id) {
            pending.clear();
        }
        if pending.is_empty() {
            let device = pass::Client::new(&self.log, self.id, key_id, now.timestamp())?;
            pending.extend((0..passes).map(|_| device.blind()));
        }
        Ok(pending.iter().map(PendingToken::request).collect())
    }

    /// Takes the hospital's answers, in the order of the requests; all of them or none.
    pub fn receive(&mut self, answers: &[BlindSignature], now: DateTime<Utc>) -> Result<(), PassError> {
        let Kept { signed, pending, passes, rests_until, .. } = &mut self.kept;
        if answers.len() != pending.len() {
            return Err(PassError::Answers { expected: pending.len(), found: answers.len() });
        }
        let Some(first) = pending.first() else { return Ok(()) };
        let key_id = first.request().key_id;
        let key = self.log.record(key_id).ok_or(NotIssuing::Unlisted { key_id })?;
        // It signed when it was asked; its answer may be late.
        let device = pass::Client::new(&self.log, self.id, key_id, key.schedule.active_from)?;
        let pairs = pending.iter().zip(answers);
        let received: Vec<Token> =
            pairs.map(|(pending, answer)| device.finalize(pending, answer)).collect::<Result<_, _>>()?;
        passes.extend(received);
        pending.clear();
        *signed = key_id;
        *rests_until = (now + REST).timestamp() + chance(REST_MORE);
        Ok(())
    }

    /// The one key of the programme that signs.
    fn signing(&self, now: DateTime<Utc>) -> Option<&KeyRecord> {
        let mut keys = self.log.records().filter(|key| key.programme == self.id);
        keys.find(|key| key.state(now.timestamp()) == KeyState::Active)
    }

    /// For which days each pass pays that is left, those that still rest among them.
    pub fn days_left(&self, now: DateTime<Utc>) -> Vec<RangeInclusive<NaiveDate>> {
        self.kept.passes.iter().filter_map(|pass| self.days(pass, now)).collect()
    }

    /// Whether passes of this programme pay for such a session at all; a hold or a slot says what it is.
    pub fn covers(&self, session: &Range<DateTime<Utc>>, modality: v1::Modality) -> bool {
        let v1::Programme { durations, modalities, .. } = &self.programme;
        let seconds = (session.end - session.start).num_seconds();
        (durations.is_empty() || durations.iter().any(|duration| duration.seconds == seconds))
            && (modalities.is_empty() || modalities.contains(&modality.into()))
    }

    /// A pass that pays for this session. It stays until it is removed, so that one whose booking failed is not lost.
    pub fn pass_for(
        &self,
        session: &Range<DateTime<Utc>>,
        modality: v1::Modality,
        now: DateTime<Utc>,
    ) -> Option<&Token> {
        if now.timestamp() < self.kept.rests_until || !self.covers(session, modality) {
            return None;
        }
        let day = session.start.date_naive();
        self.kept.passes.iter().find(|pass| self.days(pass, now).is_some_and(|days| days.contains(&day)))
    }

    /// The days that a pass pays for, if it pays at all: the log names its key's period as an interval of ISO 8601.
    fn days(&self, pass: &Token, now: DateTime<Utc>) -> Option<RangeInclusive<NaiveDate>> {
        let key = self.log.record(pass.key_id())?;
        let live = matches!(key.state(now.timestamp()), KeyState::Active | KeyState::Grace);
        let (first, last) = key.period.as_str().split_once('/').filter(|_| live)?;
        Some(first.parse().ok()?..=last.parse().ok()?)
    }

    /// Forgets a pass that is spent.
    pub fn remove(&mut self, pass: &Token) {
        self.kept.passes.retain(|kept| kept != pass);
    }

    /// For the device's own storage. Whoever has these bytes can spend the passes, and link those that are pending.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let Kept { signed, seen, wants_from, pending, passes, rests_until } = &self.kept;
        let Head { length, hash } = self.log.head();
        let size =
            CONTEXT.len() + 72 + ADDED_LENGTH + pending.len() * PENDING_LENGTH + passes.len() * PASS_LENGTH;
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        bytes.extend_from_slice(CONTEXT);
        bytes.extend_from_slice(&self.id.0);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&hash);
        bytes.extend_from_slice(&self.read_at.to_be_bytes());
        bytes.extend_from_slice(seen.as_bytes());
        bytes.extend_from_slice(&wants_from.to_be_bytes());
        bytes.extend_from_slice(signed.as_bytes());
        bytes.extend_from_slice(&rests_until.to_be_bytes());
        bytes.extend_from_slice(&(pending.len() as u64).to_be_bytes());
        for pending in pending {
            bytes.extend_from_slice(&pending.to_bytes());
        }
        for pass in passes {
            bytes.extend_from_slice(&pass.to_bytes());
        }
        bytes
    }
}

impl Kept {
    fn empty() -> Self {
        let none = KeyId::from([0; 32]);
        let (pending, passes) = (Vec::new(), Vec::new());
        Self { signed: none, seen: none, wants_from: 0, pending, passes, rests_until: 0 }
    }
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wallet").finish_non_exhaustive()
    }
}

fn parse(bytes: &[u8]) -> Option<(ProgrammeId, Seen, Kept)> {
    let first = bytes.strip_prefix(FIRST_CONTEXT);
    let rest = first.or_else(|| bytes.strip_prefix(CONTEXT))?;
    let (programme, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (hash, rest) = rest.split_first_chunk()?;
    let (added, rest) = if first.is_some() {
        (None, rest)
    } else {
        let (at, rest) = rest.split_first_chunk()?;
        let (seen, rest) = rest.split_first_chunk::<32>()?;
        let (wants_from, rest) = rest.split_first_chunk()?;
        let (signed, rest) = rest.split_first_chunk::<32>()?;
        let wants = (KeyId::from(*seen), i64::from_be_bytes(*wants_from));
        (Some((i64::from_be_bytes(*at), wants, KeyId::from(*signed))), rest)
    };
    let (rests_until, rest) = rest.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    let number = usize::try_from(u64::from_be_bytes(*number)).ok()?;
    let (pending, passes) = rest.split_at_checked(number.checked_mul(PENDING_LENGTH)?)?;
    let (passes, []) = passes.as_chunks::<PASS_LENGTH>() else { return None };
    let pending =
        pending.chunks(PENDING_LENGTH).map(PendingToken::try_from).collect::<Result<_, _>>().ok()?;
    let passes: Vec<Token> =
        passes.iter().map(|pass| Token::try_from(&pass[..])).collect::<Result<_, _>>().ok()?;
    let (at, (key_id, wants_from), signed) = added.unwrap_or_else(|| {
        let Kept { signed, seen, wants_from, .. } = Kept::empty();
        (LONG_AGO, (seen, wants_from), passes.last().map_or(signed, Token::key_id))
    });
    let seen = Seen { head: Head { length: u64::from_be_bytes(*length), hash: *hash }, at };
    let rests_until = i64::from_be_bytes(*rests_until);
    let kept = Kept { signed, seen: key_id, wants_from, pending, passes, rests_until };
    Some((ProgrammeId(*programme), seen, kept))
}

async fn read_programme(anybody: &Client, id: Uuid) -> Result<v1::Programme, crate::Error> {
    let request = v1::GetProgrammeRequest { programme_id: id.to_string() };
    let read = anybody.programmes().get_programme(request).await?.into_inner();
    read.programme.ok_or(crate::Error::Incomplete { field: "programme" })
}

/// The whole log, if it goes on from what was seen of it with keys that are as new as they say.
async fn read_log(anybody: &Client, seen: Seen, now: i64) -> Result<Directory, WalletError> {
    let Seen { head, at } = seen;
    let entries = read_entries(anybody).await?;
    let split = usize::try_from(head.length).ok().and_then(|length| entries.split_at_checked(length));
    let (before, since) = split.ok_or(LogError::Forked { seen: head.length })?;
    let before = Directory::read(before.iter().map(Vec::as_slice), head)?;
    let mut log = before.clone();
    for entry in since {
        log.append(entry)?;
    }
    // A clock that was put back does not say when that was.
    let at = if at > now + SKEW { LONG_AGO } else { at };
    for new in log.records().filter(|record| before.record(record.key.id()).is_none()) {
        if new.schedule.published < at.saturating_sub(SKEW) {
            return Err(WalletError::BackDated { key_id: new.key.id() });
        }
    }
    Ok(log)
}

async fn read_entries(anybody: &Client) -> Result<Vec<Vec<u8>>, crate::Error> {
    let (mut entries, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListKeyLogRequest { page_size: 100, page_token };
        let page = anybody.programmes().list_key_log(request).await?.into_inner();
        entries.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(entries);
        }
    }
}

/// A number of seconds up to `most`, each nearly as likely.
fn chance(most: TimeDelta) -> i64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system has randomness to give");
    i64::try_from(u64::from_be_bytes(bytes) >> 1).unwrap_or_default() % (most.num_seconds() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_wallet_is_refused() {
        for (context, length) in [(FIRST_CONTEXT, 72), (CONTEXT, 72 + ADDED_LENGTH)] {
            let empty = [context, &vec![0; length]].concat();
            assert!(parse(&empty).is_some());
            for length in 0..empty.len() {
                assert!(parse(&empty[..length]).is_none(), "{length} bytes");
            }
            for more in [1, PENDING_LENGTH, PASS_LENGTH] {
                // A pass, and what is pending, begin with a type, which zeros are not.
                assert!(parse(&[&empty[..], &vec![0; more]].concat()).is_none(), "{more} more");
            }
            for byte in 0..CONTEXT.len() {
                let mut changed = empty.clone();
                changed[byte] ^= 4;
                assert!(parse(&changed).is_none(), "byte {byte}");
            }
            // More pending than there can be.
            let many = [&empty[..empty.len() - 8], &[0xff; 8]].concat();
            assert!(parse(&many).is_none());
        }
    }

    #[test]
    fn passes_rest_an_hour_to_a_day() {
        let chances: Vec<_> = (0..1_000).map(|_| chance(REST_MORE)).collect();
        assert!(chances.iter().all(|more| (0..=REST_MORE.num_seconds()).contains(more)));
        assert!(chances.iter().any(|more| *more > REST_MORE.num_seconds() / 2));
        assert!(chances.iter().any(|more| *more < REST_MORE.num_seconds() / 2));
    }
}
