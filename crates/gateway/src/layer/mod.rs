//! The layers of the stack, one file each, in the order of the request. None imports another.

pub mod admit;
pub mod audit;
pub mod authenticate;
pub mod breaker;
pub mod deadline;
pub mod idempotency;
pub mod intent;
pub mod quota;
pub mod rate_limit;
pub mod rescue;
pub mod shed;
pub mod trace;
pub mod upstream;
