//! The platform's services through the whole stack, called by generated clients.

mod breakers;
mod catalog;
pub mod fixture;
mod health;
mod reflection;
