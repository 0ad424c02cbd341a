//! Where there is no Linux, no file is written as memory; see `mapped.rs`.

use std::fs::File;

/// There is none.
#[derive(Debug)]
pub(crate) enum Mapped {}

impl Mapped {
    pub fn of(_: &File, _: u64) -> Option<Self> {
        None
    }

    pub fn write(&mut self, _: &File, _: &[u8], _: u64) -> bool {
        match *self {}
    }
}
