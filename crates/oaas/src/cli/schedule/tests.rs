//! Charts and files: what is drawn, and where errors are.

use oaas_model::Lang;
use oaas_proto::oaas::manufacturing::v1 as pb;

use super::chart::Chart;
use super::{file, svg, terminal};

/// Two jobs on two machines with a setup of 2 on the first.
fn schedule() -> pb::Schedule {
    let operation = |machine, start, end, setup, critical| pb::ScheduledOperation {
        machine,
        start,
        end,
        setup,
        critical,
    };
    let first = pb::ScheduledJob {
        job_id: "a<b>&\"c\u{1b}".into(),
        operations: vec![operation(0, 0, 4, 0, true), operation(1, 4, 7, 0, false)],
        ..Default::default()
    };
    let second = pb::ScheduledJob {
        job_id: "轴".into(),
        operations: vec![operation(0, 6, 10, 2, true)],
        due: Some(9),
        tardiness: 1,
    };
    pb::Schedule {
        jobs: vec![first, second],
        machines: 2,
        objective: pb::ScheduleObjective::Makespan.into(),
        objective_value: 10,
        makespan: 10,
        bound: Some(pb::ScheduleBound { value: 8, ..Default::default() }),
        gap: 0.2,
        ..Default::default()
    }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn the_terminal_shows_each_machine_in_time() {
    let chart = Chart::of(&schedule()).unwrap();
    let text = plain(&terminal::draw(&chart, Lang::En, 80));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "makespan 10, bound 8, gap at most 20.0 %");
    assert_eq!(&lines[1..3], ["M0 │aaaa~~bbbb│", "M1 │····aaa···│"]);
    assert!(lines[4].contains("轴 1 late"), "{text}");
    assert!(plain(&terminal::draw(&chart, Lang::Zh, 80)).contains("迟 1"));
}

#[test]
fn the_picture_is_well_formed_and_escapes_names() {
    let picture = svg::draw(&Chart::of(&schedule()).unwrap(), Lang::En);
    assert!(picture.contains("a&lt;b&gt;&amp;&quot;c, step 1, machine 0, 0 to 4"), "{picture}");
    assert!(!picture.contains('\u{1b}') && !picture.contains("a<b>"));
    assert_eq!(picture.matches("url(#setup)").count(), 2, "one bar and the legend");
    assert_eq!(picture.matches("<title>").count(), 3);
    assert_eq!(picture.matches("<svg").count(), picture.matches("</svg>").count());
}

#[test]
fn what_can_not_be_drawn_is_named() {
    type Spoil = fn(&mut pb::Schedule);
    let cases: [(&str, Spoil); 5] = [
        ("machines: ", |s| s.machines = 0),
        ("machines: ", |s| s.machines = u32::MAX),
        ("jobs[1].operations[0].machine: ", |s| s.jobs[1].operations[0].machine = 2),
        ("jobs[0].operations[1]: ", |s| s.jobs[0].operations[1].end = 3),
        ("jobs[1].operations[0].setup: ", |s| s.jobs[1].operations[0].setup = 7),
    ];
    for (start, spoil) in cases {
        let mut schedule = schedule();
        spoil(&mut schedule);
        let error = Chart::of(&schedule).unwrap_err().to_string();
        assert!(error.starts_with(start), "{error}");
    }
    assert!(
        Chart::of(&pb::Schedule { machines: 1, ..Default::default() }).is_ok(),
        "nothing to draw is fine"
    );
}

#[test]
fn answers_come_back_from_their_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answer.json");
    let name = path.to_str().unwrap();
    let answer = pb::SolveScheduleResponse { schedule: Some(schedule()) };
    let json = file::json(&answer, "oaas.manufacturing.v1.SolveScheduleResponse").unwrap();
    std::fs::write(&path, json).unwrap();
    assert_eq!(file::schedule(name).unwrap(), schedule());
    let json = file::json(&schedule(), "oaas.manufacturing.v1.Schedule").unwrap();
    std::fs::write(&path, json).unwrap();
    assert_eq!(file::schedule(name).unwrap(), schedule());

    std::fs::write(&path, "{\n \"machines\": 2,\n \"jibs\": []\n}").unwrap();
    let error = file::schedule(name).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{name}:3:")), "{error}");
    std::fs::write(&path, "{\n \"machines\": 2,").unwrap();
    assert!(file::schedule(name).unwrap_err().to_string().starts_with(&format!("{name}:2:")));
}

#[test]
fn problems_come_from_text_and_from_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("problem");
    let name = path.to_str().unwrap();
    std::fs::write(&path, "1 2\n1 3 0 4\n").unwrap();
    let problem = file::problem(name).unwrap();
    assert_eq!((problem.machines, problem.jobs[0].operations[1].duration), (2, 4));
    let json = file::json(&problem, "oaas.manufacturing.v1.ShopProblem").unwrap();
    std::fs::write(&path, &json).unwrap();
    assert_eq!(file::problem(name).unwrap(), problem);
    std::fs::write(&path, format!("{{\"problem\": {json}}}")).unwrap();
    assert_eq!(file::problem(name).unwrap(), problem);
    std::fs::write(&path, "1 2\n1 3 9 4\n").unwrap();
    assert!(file::problem(name).unwrap_err().to_string().starts_with(&format!("{name}:2:5: ")));
}
