//! Black-box tests; see `it/` and `tidy.rs`.
