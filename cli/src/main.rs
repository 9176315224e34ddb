//! The binary attestune: a thin shell over gRPC.
fn main() {}
