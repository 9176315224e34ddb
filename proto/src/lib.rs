//! The wire format of Attestune: the messages of `attestune.v1`, generated from `proto/attestune/v1/*.proto`,
//! and, with feature `services`, the gRPC clients and servers.
//!
//! No logic lives here. The comments are those of the `.proto` files.
//!
//! ```
//! use attestune_proto::v1::{Kind, event::Body, RulesActivated};
//! assert_eq!(Kind::RulesActivated as i32, 21);
//! let _body = Body::RulesActivated(RulesActivated { version: 1 });
//! ```

/// The package `attestune.v1`.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/attestune.v1.rs"));
}

/// The compiled `FileDescriptorSet`, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/attestune.bin"));
