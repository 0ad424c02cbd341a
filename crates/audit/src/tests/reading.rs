//! The reader: one call's records across files, filters, and a journal that grows meanwhile.

use oaas_model::CallId;

use super::*;
use crate::record::Refusal;
use crate::{Filter, Journal};

fn open(dir: &Path, clock: &Arc<ManualClock>) -> Journal {
    let options = JournalOptions { dir: dir.into(), ..options() };
    Journal::open(options, Arc::<ManualClock>::clone(clock)).unwrap().0
}

/// A UUIDv7 of the clock's time.
fn call(clock: &ManualClock, number: u8) -> CallId {
    let mut bytes = [number; 16];
    let unix_ms = u64::try_from(clock.now().unix_ms()).unwrap();
    bytes[..6].copy_from_slice(&unix_ms.to_be_bytes()[2..]);
    CallId::from_slice(&bytes).unwrap()
}

fn with_id(mut event: Event, id: CallId) -> Event {
    match &mut event {
        Event::Intent(it) => it.head.as_mut().unwrap().call_id = id.as_bytes().to_vec(),
        Event::Outcome(it) => it.head.as_mut().unwrap().call_id = id.as_bytes().to_vec(),
        _ => {}
    }
    event
}

#[test]
fn a_call_is_found_by_its_id_across_files() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let journal = open(folder.path(), &clock);
    let mut calls = Vec::new();
    for number in 0..60 {
        clock.advance(Duration::from_millis(37));
        let id = call(&clock, number);
        journal.append(with_id(intent(0), id)).unwrap();
        calls.push(id);
        journal.append(note(250)).unwrap();
        if let Some(earlier) = calls.len().checked_sub(20).map(|at| calls[at]) {
            journal.append(with_id(outcome(0), earlier)).unwrap();
        }
    }
    let reader = Reader::open(folder.path()).unwrap();
    for (index, id) in calls.iter().enumerate() {
        let found = reader.find(*id).unwrap();
        let outcomes = usize::from(index <= 40);
        assert_eq!(found.len(), 1 + outcomes, "call {index}");
        assert!(matches!(found[0].event, Some(Event::Intent(_))));
    }
    clock.advance(Duration::from_millis(1));
    assert!(reader.find(call(&clock, 99)).unwrap().is_empty());
    drop(journal);
    drop(open(folder.path(), &clock));
    let open_at_the_end = reader.find(calls[59]).unwrap();
    assert!(matches!(open_at_the_end[1].event, Some(Event::WrittenOff(_))), "{open_at_the_end:?}");
}

#[test]
fn a_follower_sees_each_record_once_while_files_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let mut journal = open(folder.path(), &clock);
    let reader = Reader::open(folder.path()).unwrap();
    let (mut all, mut new) = (reader.records(), reader.follow().unwrap());
    let (mut seen, mut followed) = (Vec::new(), Vec::new());
    for number in 0..100 {
        journal.append(note(number)).unwrap();
        if number % 7 == 0 {
            seen.extend(all.by_ref().filter_map(|entry| noted(&entry.unwrap().record)));
        }
        if number % 11 == 0 {
            followed.extend(new.by_ref().filter_map(|entry| noted(&entry.unwrap().record)));
        }
        if number == 50 {
            drop(journal);
            journal = open(folder.path(), &clock);
        }
    }
    seen.extend(all.by_ref().filter_map(|entry| noted(&entry.unwrap().record)));
    followed.extend(new.by_ref().filter_map(|entry| noted(&entry.unwrap().record)));
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    assert_eq!(followed, seen);
}

#[test]
fn the_last_records_pass_the_filter() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let journal = open(folder.path(), &clock);
    for number in 0..90 {
        let application = if number % 2 == 0 { "even" } else { "odd" };
        let head = Some(head(number, application, "/a.B/C"));
        let reason = if number % 3 == 0 { "RATE_LIMITED" } else { "OVERLOADED" };
        journal.refuse(Refusal { head, reason: reason.into(), ..Refusal::default() });
    }
    let reader = Reader::open(folder.path()).unwrap();
    let ids = |count, filter: &Filter| {
        let found = reader.last(count, filter).unwrap().into_iter();
        found
            .map(|entry| match entry.record.event {
                Some(Event::Refusal(it)) => it.head.unwrap().call_id[0],
                other => panic!("{other:?}"),
            })
            .collect::<Vec<_>>()
    };
    let even = Filter { application: Some("even".into()), ..Filter::default() };
    assert_eq!(ids(3, &even), [84, 86, 88]);
    let both = Filter { reason: Some("RATE_LIMITED".into()), method: Some("a.B".into()), ..even.clone() };
    assert_eq!(ids(2, &both), [78, 84]);
    assert_eq!(ids(1000, &both).len(), 15);
    let elsewhere = Filter { method: Some("/a.B/D".into()), ..Filter::default() };
    assert!(ids(5, &elsewhere).is_empty());
    let early = Filter { until_unix_ns: Some(START_UNIX_NS), ..even };
    assert!(ids(5, &early).is_empty());
}

#[test]
fn damage_is_named_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), &clock());
    for number in 0..60 {
        journal.append(note(number + 100)).unwrap();
    }
    drop(journal);
    let first = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path());
    let first = first.filter(|path| path.extension().is_some_and(|e| e == "journal")).min().unwrap();
    let mut bytes = std::fs::read(&first).unwrap();
    bytes[2000] ^= 1;
    std::fs::write(&first, bytes).unwrap();
    let reader = Reader::open(folder.path()).unwrap();
    let error = reader.records().find_map(Result::err).expect("damage is seen");
    assert!(
        matches!(&error, JournalError::Damaged { file, offset: 1..2000, .. } if *file == first),
        "{error}"
    );
}
