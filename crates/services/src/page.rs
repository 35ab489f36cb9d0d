//! Page tokens: where the next page begins, good for one caller and one list alone. They are sealed: a place says how
//! somebody was ranked, and so how much they have to do (D4).

use data_encoding::BASE64URL_NOPAD;
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};
use vault::Purpose;

use crate::{
    App, Caller,
    error::{Error, Violation},
    field,
};

/// How many elements a page has unless asked.
const DEFAULT: u32 = 20;
/// How many it has at most.
const MOST: u32 = 100;

/// Which list a token is for: the call, who makes it, and everything asked but page size and token.
pub(crate) struct List<'a> {
    app: &'a App,
    /// Of caller, call and question.
    digest: [u8; 16],
}

impl<'a> List<'a> {
    /// `question` is the request with its `page_size` and `page_token` cleared.
    pub(crate) fn new(app: &'a App, caller: Caller, call: &'static str, question: &impl Message) -> Self {
        let caller = match caller {
            Caller::Anonymous => [0; 16],
            Caller::Alias(id) => id.0.into_bytes(),
            Caller::Therapist(id) => id.0.into_bytes(),
            Caller::Operator(id) => id.0.into_bytes(),
            Caller::Manager(id) => id.0.into_bytes(),
        };
        let question = question.encode_to_vec();
        let mac = app.keyring.mac(Purpose::PageToken, &[call.as_bytes(), &caller, &question]);
        let mut digest = [0; 16];
        digest.copy_from_slice(&mac[..16]);
        Self { app, digest }
    }

    /// Where the page begins; nothing for the first.
    pub(crate) fn position<T: DeserializeOwned>(&self, page_token: &str) -> Result<Option<T>, Error> {
        if page_token.is_empty() {
            return Ok(None);
        }
        let refused = || Error::invalid("page_token", Violation::PageToken);
        let sealed = BASE64URL_NOPAD.decode(page_token.as_bytes()).map_err(|_| refused())?;
        let position = self.app.keyring.open_page(self.digest, &sealed).map_err(|_| refused())?;
        serde_json::from_slice(&position).map(Some).map_err(|_| refused())
    }

    /// The token of the page that begins after `position`.
    pub(crate) fn token(&self, position: &impl Serialize) -> Result<String, Error> {
        let position = serde_json::to_vec(position).map_err(|_| Error::Sealed("page_token"))?;
        Ok(BASE64URL_NOPAD.encode(&self.app.keyring.seal_page(self.digest, &position)))
    }
}

/// How many elements the page has.
pub(crate) fn size(page_size: i32) -> Result<usize, Error> {
    match u32::try_from(page_size) {
        Ok(0) => Ok(DEFAULT as usize),
        Ok(size @ 1..=MOST) => Ok(size as usize),
        _ => Err(field::out_of_range("page_size", "0 to 100")),
    }
}
