//! The layers of the stack, one file each, in the order of the request. None imports another.

pub mod trace;
pub mod audit;
pub mod rescue;
pub mod shed;
pub mod authenticate;
pub mod admit;
pub mod rate_limit;
pub mod breaker;
pub mod quota;
pub mod deadline;
pub mod intent;
pub mod upstream;
