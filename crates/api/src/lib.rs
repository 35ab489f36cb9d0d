//! The contract: messages, clients, service traits and the descriptor set, generated from `proto/`.
//!
//! **Invariant:** no rule lives here. A message's `Debug` says its type and nothing else, since most of them
//! carry what nobody but the caller may read.

pub use respite::{issuer, v1};

/// The contract's packages.
pub mod respite {
    /// Version 1 of the contract.
    pub mod v1 {
        tonic::include_proto!("respite.v1");
        include!(concat!(env!("OUT_DIR"), "/respite.v1.debug.rs"));
    }

    /// Between workers and the hospital's own program, which no server of Respite speaks to.
    pub mod issuer {
        /// Version 1 of the contract.
        pub mod v1 {
            tonic::include_proto!("respite.issuer.v1");
            include!(concat!(env!("OUT_DIR"), "/respite.issuer.v1.debug.rs"));
        }
    }
}

/// The published shapes of `google.type`.
pub mod google {
    /// Dates, times of day and days of the week.
    pub mod r#type {
        tonic::include_proto!("google.r#type");
    }
}

/// Every message and method of `respite.v1`, as an encoded `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/respite.v1.bin"));
