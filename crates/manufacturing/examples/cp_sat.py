"""CP-SAT on the instances of the example `jobshop`, one worker, as a reference beside it.

    python3 -m venv target/cp-sat && target/cp-sat/bin/pip install ortools
    target/cp-sat/bin/python crates/manufacturing/examples/cp_sat.py \
        --data ../shared/data/jobshop [--seconds 10] [--only ta0,ft]

The search ends after so many seconds of processor time of this process, as `jobshop --clock cpu` does,
so that both may run on a machine that others use.
"""

import argparse
import json
import pathlib
import threading
import time

from ortools.sat.python import cp_model


def solve(instance, seconds):
    model = cp_model.CpModel()
    durations, machines = instance["duration_matrix"], instance["machines_matrix"]
    horizon = sum(map(sum, durations))
    by_machine, ends = {}, []
    for row, order in zip(durations, machines):
        previous = None
        for duration, machine in zip(row, order):
            start = model.new_int_var(0, horizon, "")
            interval = model.new_fixed_size_interval_var(start, duration, "")
            by_machine.setdefault(machine, []).append(interval)
            if previous is not None:
                model.add(start >= previous)
            previous = start + duration
        ends.append(previous)
    for intervals in by_machine.values():
        model.add_no_overlap(intervals)
    makespan = model.new_int_var(0, horizon, "makespan")
    model.add_max_equality(makespan, ends)
    model.minimize(makespan)

    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    begin, over = time.process_time(), threading.Event()

    def watch():
        while not over.wait(0.02):
            if time.process_time() - begin >= seconds:
                solver.stop_search()

    watcher = threading.Thread(target=watch)
    watcher.start()
    status = solver.solve(model)
    over.set()
    watcher.join()
    found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    value = round(solver.objective_value) if found else None
    return value, round(solver.best_objective_bound), time.process_time() - begin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="../shared/data/jobshop")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    folder = pathlib.Path(args.data)
    instances = json.loads((folder / "instances.json").read_text())
    known = json.loads((folder / "bks_normalised.json").read_text())
    only = [part for part in args.only.split(",") if part]
    gaps = {}
    for name, instance in instances.items():
        if only and not any(name.startswith(part) for part in only):
            continue
        value, bound, took = solve(instance, args.seconds)
        best = known[name]["ub"]
        if value is None:
            print(f"{name:<8} no schedule {best:>6} bound {bound:>6} {took:5.1f} s", flush=True)
            continue
        gap = 100 * (value - best) / best
        family = name.rstrip("0123456789")
        if family == "ta":
            first = (int(name[2:]) - 1) // 10 * 10 + 1
            family = f"ta{first:02}-{first + 9:02}"
        gaps.setdefault(family, []).append(gap)
        print(f"{name:<8} {value:>6} {best:>6} gap {gap:>6.2f} bound {bound:>6} {took:5.1f} s", flush=True)
    for family, found in gaps.items():
        mean = sum(found) / len(found)
        print(f"{family:<9} {len(found):>3} instances, mean gap {mean:>5.2f} %, largest {max(found):>5.2f} %")


if __name__ == "__main__":
    main()
