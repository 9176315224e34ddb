//! The wire format of Attestune: .proto files and the code generated from them.
