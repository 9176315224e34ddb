//! Typed, versioned tables. The rules read a [`View`] and return [`Effects`].
//!
//! A row's name is `table number (1 byte) ‖ parts`; numbers are 8 or 4 bytes big-endian, texts end in a zero byte, so
//! that no row's name begins with another's. A row is never overwritten: each version is stored under
//! `name ‖ !position`. Values are the messages of `state.proto`.

mod effects;
mod memory;
mod tables;
mod view;

pub use effects::{Effects, Write};
pub use memory::MemoryState;
pub use tables::*;
pub use view::{PolicyCache, ReadFailed, Reader, View};
