//! Instructions, counted by Callgrind: each benchmark is a process of its own, in which only what the
//! benchmark's function does on its own thread counts.

use gungraun::{Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};

use crate::governed::Governed;
use crate::parts::{Healthy, Records, limit_all, look_up_all};

#[library_benchmark]
#[bench::in_process(Governed::in_process())]
#[bench::remote(Governed::remote())]
fn governed_call(mut governed: Governed) -> Governed {
    governed.call_all();
    governed
}

#[library_benchmark]
#[bench::intent_and_outcome(Records::new())]
fn journal(mut records: Records) -> Records {
    records.append_all();
    records
}

#[library_benchmark]
#[bench::admit_and_record(Healthy::new())]
fn breaker(mut healthy: Healthy) -> Healthy {
    healthy.pass_all();
    healthy
}

#[library_benchmark]
#[bench::rate_and_concurrency(Governed::in_process())]
fn limiter(governed: Governed) -> Governed {
    limit_all(&governed);
    governed
}

#[library_benchmark]
#[bench::method_and_access(Governed::in_process())]
fn catalog(governed: Governed) -> Governed {
    look_up_all(&governed);
    governed
}

library_benchmark_group!(name = guards, benchmarks = [governed_call, journal, breaker, limiter, catalog]);

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = guards
);

/// Has the runner run all benchmarks; in a process that the runner started, the one that it names.
pub fn start() {
    main();
}
