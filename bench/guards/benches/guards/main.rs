//! What the way of a call costs, in figures that don't depend on how busy or fast the machine is. Started
//! by `bench/guards/run`, which compares them with `bench/guards/baseline.json`.

mod allocations;
mod counts;
mod governed;
mod parts;
mod upstream;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// Operations of one measurement: so many that what is done once doesn't show.
pub const OPERATIONS: usize = 1_000;

fn main() {
    match std::env::args().any(|arg| arg == "--allocations") {
        true => allocations::print(),
        false => counts::start(),
    }
}
