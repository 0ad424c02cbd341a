//! kill -9 at any time: what `append` has answered is in the journal, in order, without holes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use oaas_audit::record::Administration;
use oaas_audit::record::audit_record::Event;
use oaas_audit::{Journal, JournalOptions, Reader};
use oaas_model::SystemClock;

const FOLDER: &str = "OAAS_TEST_JOURNAL";
/// There when records are to be written by system calls, not as memory.
const CALLS: &str = "OAAS_TEST_JOURNAL_CALLS";
const CYCLES: u64 = 8;

/// Not a test: the process that is killed. Says each number after its record was taken.
#[test]
#[ignore = "started by the test below"]
fn child() {
    let Ok(dir) = std::env::var(FOLDER) else { return };
    let mapped = std::env::var(CALLS).is_err();
    let options =
        JournalOptions { dir: dir.into(), segment_bytes: 16 * 1024, mapped, ..JournalOptions::default() };
    let (journal, recovery) = Journal::open(options, SystemClock::shared()).unwrap();
    let mut out = std::io::stdout().lock();
    for number in recovery.last_sequence + 1.. {
        let subject = number.to_string();
        let event = Event::Administration(Administration {
            actor: "child".into(),
            subject: subject.clone(),
            ..Default::default()
        });
        let sequence = journal.append(event).unwrap();
        writeln!(out, "took {sequence} {subject}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn a_killed_process_has_lost_nothing_that_it_took() {
    let folder = tempfile::tempdir().unwrap();
    let mut taken = Vec::new();
    for cycle in 0..CYCLES {
        let mut command = Command::new(std::env::current_exe().unwrap());
        if cycle % 4 == 3 {
            command.env(CALLS, "1");
        }
        let mut child = command
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut note = |line: String| {
            if let Some((sequence, subject)) = line.split_once("took ").and_then(|(_, it)| it.split_once(' '))
            {
                taken.push((sequence.parse::<u64>().unwrap(), subject.to_owned()));
            }
        };
        lines.by_ref().take(usize::try_from(200 + cycle * 173).unwrap()).for_each(|line| note(line.unwrap()));
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said before the signal came.
        lines.map_while(Result::ok).for_each(&mut note);
    }
    let options = JournalOptions { dir: folder.path().into(), ..JournalOptions::default() };
    drop(Journal::open(options, SystemClock::shared()).unwrap());
    let records: Vec<_> = Reader::open(folder.path()).unwrap().records().map(|e| e.unwrap().record).collect();
    assert!(taken.len() > 1000, "{} records", taken.len());
    for (sequence, subject) in taken {
        let record = &records[usize::try_from(sequence).unwrap() - 1];
        let Some(Event::Administration(found)) = &record.event else {
            panic!("record {sequence}: {record:?}")
        };
        assert_eq!((record.sequence, &found.subject), (sequence, &subject));
    }
}
