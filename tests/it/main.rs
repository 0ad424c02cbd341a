//! The platform in one process, driven from outside: a real port, raw HTTP/2 on both sides, so that the
//! tests see every header, trailer and reset as it is on the wire.

mod breaker;
mod client;
mod denial;
mod examples;
mod limits;
mod platform;
mod rules;
mod upstream;
