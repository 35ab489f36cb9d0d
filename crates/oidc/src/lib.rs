//! Somebody signs in at a provider that their employer runs, and shows here what it says of them (OpenID Connect
//! Core 1.0).
//!
//! **Invariant:** it knows nothing of whom it is for. The hospital's issuer and the booking side both name it, each with
//! a provider and a process of its own, and nothing is shared between them but this code. It connects to the provider
//! that the settings name and to where that one says its keys are; no user chooses an address. No token and no claim is
//! in any `Debug` or `Display`, and the clock is an argument.

#[cfg(feature = "device")]
mod device;
mod http;
mod jwk;
mod provider;
mod token;

#[cfg(feature = "device")]
pub use device::{Authorization, DeviceError};
pub use http::HttpError;
pub use provider::{Provider, ProviderError, ProviderSettings};
pub use token::{Claims, Refused};
