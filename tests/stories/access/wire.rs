//! A call as its bytes, so that one way of calling does for all.

use std::fmt;

use client::Refusal;
use e2e::with_token;
use prost::bytes::{Buf, BufMut};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

/// All that is told of a refusal, apart from when.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Whole {
    code: Code,
    message: String,
    details: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
    /// What was told before it: an answer that breaks off is none that never began.
    before: Vec<Vec<u8>>,
    /// What the details say.
    reason: String,
}

impl Whole {
    fn of(status: Status, before: Vec<Vec<u8>>) -> Self {
        let trailers = status.metadata().clone().into_headers();
        let trailers = trailers.iter().filter(|(name, _)| *name != http::header::DATE);
        let mut trailers: Vec<_> =
            trailers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        trailers.sort();
        let (code, message, details) =
            (status.code(), status.message().to_owned(), status.details().to_vec());
        Self { code, message, details, trailers, before, reason: Refusal::from(status).reason }
    }

    /// What a client goes by.
    pub(super) fn reason(&self) -> (Code, &str) {
        (self.code, &self.reason)
    }
}

/// For whoever reads why a story fails.
impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, message, details, trailers, before, reason } = self;
        let trailers: Vec<_> =
            trailers.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))).collect();
        let details = String::from_utf8_lossy(details);
        write!(f, "{code:?} {reason}, {message:?}, {details:?}, {trailers:?} after {before:?}")
    }
}

/// Calls what is at `path`, and hears what is answered: its end, or the first message if it has none.
pub(super) async fn call(
    channel: &Channel,
    path: &str,
    token: Option<&str>,
    message: Vec<u8>,
    is_endless: bool,
) -> Result<Vec<Vec<u8>>, Whole> {
    let request = match token {
        Some(token) => with_token(message, token),
        None => Request::new(message),
    };
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let answered = grpc.server_streaming(request, path.parse().unwrap(), Bytes).await;
    let mut messages = answered.map_err(|status| Whole::of(status, Vec::new()))?.into_inner();
    let mut heard = Vec::new();
    loop {
        match messages.message().await {
            Ok(Some(message)) => heard.push(message),
            Ok(None) => return Ok(heard),
            Err(status) => return Err(Whole::of(status, heard)),
        }
        if is_endless {
            return Ok(heard);
        }
    }
}

/// Messages as they are sent.
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}
