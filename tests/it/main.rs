//! The platform in one process, driven from outside: a real port, raw HTTP/2 on both sides, so that the
//! tests see every header, trailer and reset as it is on the wire.

mod audit;
mod authentication;
mod breaker;
mod client;
mod denial;
mod discovery;
mod drain;
mod examples;
mod limits;
mod platform;
mod reload;
mod rules;
mod telemetry;
mod upstream;
