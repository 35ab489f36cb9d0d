//! What each command does; results go to standard output, everything else to standard error.

pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod identity;
pub(crate) mod key;
pub(crate) mod migrate;
pub(crate) mod operator;
pub(crate) mod programme;
pub(crate) mod seed;
pub(crate) mod serve;
pub(crate) mod therapist;
pub(crate) mod zones;

use std::error::Error;
use std::process::ExitCode;

/// How the process ends, or the sentence that says why it failed.
pub(crate) type Outcome = Result<ExitCode, Box<dyn Error>>;

/// An error with its causes, except those it tells itself.
pub(crate) fn sentence(error: &dyn Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !sentence.contains(&told) {
            sentence = format!("{sentence}: {told}");
        }
        cause = error.source();
    }
    sentence
}
