//! The server: gRPC over a replica.
