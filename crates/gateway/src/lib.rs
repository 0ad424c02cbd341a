//! placeholder

pub mod edge;
pub mod upstream;
