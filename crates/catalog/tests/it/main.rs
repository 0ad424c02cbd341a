//! The catalog as its users see it: files in, snapshot or diagnostics out.

mod diagnostics;
mod folder;
mod last_good;
mod mutations;
mod remote;
mod shipped;
mod size;
mod versions;
