//! placeholder

pub mod alert;
pub mod breaker;
pub mod degrade;
