//! What another version changes, whether it breaks callers, and whom it concerns.

mod facts;
mod messages;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::callers::Role;
use crate::service::{MethodEntry, ServiceEntry, Visibility};
use crate::snapshot::Snapshot;
use facts::{Facts, Rule};

/// Things by name.
type ByName<T> = BTreeMap<Arc<str>, T>;

/// Everything that differs between two versions.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    /// Version before.
    pub old: Arc<str>,
    /// Version after.
    pub new: Arc<str>,
    /// The changes: services, methods, plans, applications, issuers; each sorted by name.
    pub changes: Vec<Change>,
}

impl Diff {
    /// Whether a call that was good may be refused or misread after the change.
    #[must_use]
    pub fn is_breaking(&self) -> bool {
        self.changes.iter().any(|change| change.breaking)
    }

    /// Every application that a change concerns.
    #[must_use]
    pub fn affected(&self) -> BTreeSet<Arc<str>> {
        self.changes.iter().flat_map(|change| change.affected.iter().cloned()).collect()
    }
}

/// What kind of thing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Subject {
    Service,
    Method,
    Plan,
    Application,
    Issuer,
}

/// How it changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// These fields differ.
    Changed(Vec<FieldChange>),
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// Field, with dots. Example: "rate.per_second".
    pub field: String,
    /// Value before; none when it was not there.
    pub old: Option<String>,
    /// Value after; none when it is not there.
    pub new: Option<String>,
    /// Whether the change takes something away from callers.
    pub breaking: bool,
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What kind of thing.
    pub subject: Subject,
    /// Its name: full service name, method path, plan, application or issuer.
    pub name: String,
    /// How it changed.
    pub what: What,
    /// Whether the change takes something away from callers.
    pub breaking: bool,
    /// Applications that it concerns, sorted.
    pub affected: Vec<Arc<str>>,
}

/// Compares two versions.
#[must_use]
pub fn diff(old: &Snapshot, new: &Snapshot) -> Diff {
    let mut changes = Vec::new();
    let subscribers = Subscribers { snapshots: [old, new] };
    compare(
        Subject::Service,
        (&old.services, &new.services),
        |service| facts::service(service),
        |name| subscribers.of_service(name),
        &mut changes,
    );
    let (before, after) = (methods(old), methods(new));
    compare(
        Subject::Method,
        (&before, &after),
        |method| facts::method(method),
        |path| subscribers.of_service(path.trim_start_matches('/').split('/').next().unwrap_or_default()),
        &mut changes,
    );
    wire_changes(&before, &after, &subscribers, &mut changes);
    compare(
        Subject::Plan,
        (&old.plans, &new.plans),
        |plan| facts::plan(plan),
        |name| subscribers.of_plan(name),
        &mut changes,
    );
    let (before, after) = (facts::credentials(&old.callers), facts::credentials(&new.callers));
    compare_facts(
        Subject::Application,
        (&facts::applications(&old.callers, &before), &facts::applications(&new.callers, &after)),
        |id| BTreeSet::from([Arc::from(id)]),
        &mut changes,
    );
    compare(
        Subject::Issuer,
        (&old.callers.issuers, &new.callers.issuers),
        facts::issuer,
        |issuer| subscribers.of_issuer(issuer),
        &mut changes,
    );
    changes.sort_by(|a, b| (a.subject, &a.name).cmp(&(b.subject, &b.name)));
    Diff { old: Arc::clone(&old.version), new: Arc::clone(&new.version), changes }
}

fn methods(snapshot: &Snapshot) -> ByName<Arc<MethodEntry>> {
    snapshot.methods.iter().map(|(path, method)| (Arc::clone(path), Arc::clone(method))).collect()
}

fn compare<T: PartialLike>(
    subject: Subject,
    (old, new): (&ByName<T>, &ByName<T>),
    facts: impl Fn(&T) -> Facts,
    affected: impl Fn(&str) -> BTreeSet<Arc<str>>,
    changes: &mut Vec<Change>,
) {
    let all = |map: &ByName<T>, other: &ByName<T>| -> ByName<Facts> {
        let differs = |name: &Arc<str>, thing: &T| other.get(name).is_none_or(|there| !there.same(thing));
        map.iter()
            .filter(|(name, thing)| differs(name, thing))
            .map(|(n, t)| (Arc::clone(n), facts(t)))
            .collect()
    };
    compare_facts(subject, (&all(old, new), &all(new, old)), affected, changes);
}

/// Whether two things are surely the same, so that their facts need not be written out.
trait PartialLike {
    fn same(&self, other: &Self) -> bool;
}

impl<T> PartialLike for Arc<T> {
    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(self, other)
    }
}

impl PartialLike for crate::Issuer {
    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

fn compare_facts(
    subject: Subject,
    (old, new): (&ByName<Facts>, &ByName<Facts>),
    affected: impl Fn(&str) -> BTreeSet<Arc<str>>,
    changes: &mut Vec<Change>,
) {
    let names: BTreeSet<&Arc<str>> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (what, breaking) = match (old.get(name), new.get(name)) {
            (None, _) => (What::Added, false),
            (_, None) => (What::Removed, true),
            (Some(old), Some(new)) => {
                let fields = field_changes(old, new);
                if fields.is_empty() {
                    continue;
                }
                let breaking = fields.iter().any(|field| field.breaking);
                (What::Changed(fields), breaking)
            }
        };
        let affected = affected(name).into_iter().collect();
        changes.push(Change { subject, name: name.to_string(), what, breaking, affected });
    }
}

fn field_changes(old: &Facts, new: &Facts) -> Vec<FieldChange> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        let (before, after) = (old.get(name), new.get(name));
        let value = |fact: Option<&facts::Fact>| fact.map(|fact| fact.text.clone());
        if value(before) == value(after) {
            continue;
        }
        let rule = before.or(after).map_or(Rule::Free, |fact| fact.rule);
        let breaking = rule.breaks(before, after);
        changes.push(FieldChange { field: name.clone(), old: value(before), new: value(after), breaking });
    }
    changes
}

/// Messages that old clients would misread; they belong to the methods that carry them.
fn wire_changes(
    old: &ByName<Arc<MethodEntry>>,
    new: &ByName<Arc<MethodEntry>>,
    subscribers: &Subscribers<'_>,
    changes: &mut Vec<Change>,
) {
    for (path, before) in old {
        let Some(after) = new.get(path) else { continue };
        let fields = messages::changes(&before.descriptor, &after.descriptor);
        if fields.is_empty() {
            continue;
        }
        let breaking = fields.iter().any(|field| field.breaking);
        let there = changes.iter_mut().find(|c| c.subject == Subject::Method && c.name == **path);
        if let Some(Change { what: What::Changed(known), breaking: known_breaking, .. }) = there {
            known.extend(fields);
            *known_breaking |= breaking;
        } else {
            let affected = subscribers.of_service(&before.service).into_iter().collect();
            let what = What::Changed(fields);
            changes.push(Change {
                subject: Subject::Method,
                name: path.to_string(),
                what,
                breaking,
                affected,
            });
        }
    }
}

/// Who subscribes to what, before or after.
struct Subscribers<'s> {
    snapshots: [&'s Snapshot; 2],
}

impl Subscribers<'_> {
    fn select(&self, which: impl Fn(&Snapshot, &crate::Application) -> bool) -> BTreeSet<Arc<str>> {
        let mut ids = BTreeSet::new();
        for snapshot in &self.snapshots {
            let all = snapshot.callers.applications.values();
            ids.extend(all.filter(|caller| which(snapshot, caller)).map(|caller| Arc::clone(&caller.id)));
        }
        ids
    }

    fn of_service(&self, name: &str) -> BTreeSet<Arc<str>> {
        let entries: Vec<&Arc<ServiceEntry>> =
            self.snapshots.iter().filter_map(|s| s.service(name)).collect();
        self.select(|_, caller| {
            let operates = |service: &ServiceEntry| {
                service.visibility == Visibility::Operators && caller.roles.contains(&Role::Operator)
            };
            entries.iter().any(|service| operates(service) || caller.subscription(service).is_some())
        })
    }

    fn of_plan(&self, name: &str) -> BTreeSet<Arc<str>> {
        self.select(|_, caller| {
            caller.subscriptions.iter().any(|(_, subscription)| *subscription.plan == *name)
        })
    }

    fn of_issuer(&self, issuer: &str) -> BTreeSet<Arc<str>> {
        let mut ids = BTreeSet::new();
        for snapshot in &self.snapshots {
            let subjects = snapshot.callers.subjects.iter().filter(|((there, _), _)| **there == *issuer);
            ids.extend(subjects.map(|(_, caller)| Arc::clone(&caller.id)));
        }
        ids
    }
}
