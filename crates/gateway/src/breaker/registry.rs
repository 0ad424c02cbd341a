//! All breakers of a gateway, by service and by (service, application).

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use oaas_model::Timestamp;
use parking_lot::RwLock;

use super::{Breaker, BreakerPolicy, Gates, gates};

/// Breakers of applications that are kept at a time. Beyond it the longest idle ones make room;
/// where none is idle, a call gets a breaker of its own that nobody remembers, and only the
/// service's protects.
pub const APPLICATION_BREAKERS_MAX: usize = 16_384;

/// Parts of the map that are locked apart.
const SHARDS: usize = 16;
/// Of a full shard, so much is freed at once (one part in this many), so that the search for idle
/// breakers is not made for each new one.
const FREED_PART: usize = 8;

/// All breakers. The services' are as many as the catalog has services and are never dropped.
#[derive(Debug)]
pub struct Breakers {
    shards: [RwLock<Shard>; SHARDS],
    seed: u64,
}

/// By names of the catalog and the callers' file, which nobody can choose to collide.
type Map<V> = HashMap<Box<str>, V, foldhash::fast::RandomState>;

#[derive(Debug, Default)]
struct Shard {
    services: Map<Keys>,
    /// Breakers of applications in all of `services`.
    applications: usize,
}

#[derive(Debug, Default)]
struct Keys {
    service: Option<Arc<Breaker>>,
    applications: Map<Arc<Breaker>>,
}

impl Keys {
    fn get(&self, application: Option<&str>) -> Option<Arc<Breaker>> {
        match application {
            None => self.service.clone(),
            Some(name) => self.applications.get(name).cloned(),
        }
    }
}

impl Breakers {
    /// No breakers yet; `seed` makes the jitter of their open times.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { shards: std::array::from_fn(|_| RwLock::default()), seed }
    }

    /// The breaker of `service` (the name holds the major version), or of `application` at it; a
    /// closed one is made where there is none.
    #[must_use]
    pub fn get(&self, service: &str, application: Option<&str>) -> Arc<Breaker> {
        let digest = self.digest(service, application);
        let Some(shard) = self.shard(digest) else { return Arc::new(Breaker::new(digest)) };
        if let Some(breaker) = shard.read().services.get(service).and_then(|keys| keys.get(application)) {
            return breaker;
        }
        let mut shard = shard.write();
        if let Some(breaker) = shard.services.get(service).and_then(|keys| keys.get(application)) {
            return breaker;
        }
        let breaker = Arc::new(Breaker::new(digest));
        if application.is_some() {
            if shard.applications >= APPLICATION_BREAKERS_MAX / SHARDS {
                shard.free();
            }
            if shard.applications >= APPLICATION_BREAKERS_MAX / SHARDS {
                return breaker;
            }
            shard.applications += 1;
        }
        let keys = shard.services.entry(service.into()).or_default();
        match application {
            None => keys.service = Some(Arc::clone(&breaker)),
            Some(name) => {
                keys.applications.insert(name.into(), Arc::clone(&breaker));
            }
        }
        breaker
    }

    /// Both breakers that a call of `application` (none: anonymous) to `service` passes.
    #[must_use]
    pub fn gates(&self, service: &str, application: Option<&str>) -> Gates {
        Gates {
            service: self.get(service, None),
            application: application.map(|name| self.get(service, Some(name))),
            caller: gates::caller(application.unwrap_or_default()),
        }
    }

    /// The breaker of `service`, if a call or an operator has asked for it before.
    #[must_use]
    pub fn find(&self, service: &str) -> Option<Arc<Breaker>> {
        let shard = self.shard(self.digest(service, None))?;
        shard.read().services.get(service).and_then(|keys| keys.get(None))
    }

    /// All breakers, by service and then application.
    #[must_use]
    pub fn list(&self) -> Vec<(String, Option<String>, Arc<Breaker>)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            for (service, keys) in &shard.read().services {
                if let Some(breaker) = &keys.service {
                    all.push((service.to_string(), None, Arc::clone(breaker)));
                }
                for (application, breaker) in &keys.applications {
                    all.push((service.to_string(), Some(application.to_string()), Arc::clone(breaker)));
                }
            }
        }
        all.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        all
    }

    /// Forgets the applications' breakers that hold no evidence any more: closed, automatic, and
    /// without a call for `age_max`. Says how many. To be called every few minutes.
    pub fn sweep(&self, policy: &BreakerPolicy, now: Timestamp) -> usize {
        let age_max_ns = u64::try_from(policy.age_max.as_nanos()).unwrap_or(u64::MAX);
        let before_ns = now.steady_ns.saturating_sub(age_max_ns);
        self.shards.iter().map(|shard| shard.write().drop_idle(before_ns, usize::MAX)).sum()
    }

    fn shard(&self, digest: u64) -> Option<&RwLock<Shard>> {
        // The high bits: the low ones seed the breaker.
        self.shards.get(usize::try_from(digest >> 32).unwrap_or_default() % SHARDS)
    }

    fn digest(&self, service: &str, application: Option<&str>) -> u64 {
        foldhash::quality::FixedState::with_seed(self.seed).hash_one((service, application))
    }
}

impl Shard {
    /// Makes room in a full shard: of the idle breakers the longest idle.
    fn free(&mut self) {
        let mut idle: Vec<u64> = self
            .services
            .values()
            .flat_map(|keys| keys.applications.values())
            .filter_map(|breaker| breaker.idle_since(u64::MAX))
            .collect();
        let count = (self.applications / FREED_PART).max(1).min(idle.len());
        idle.sort_unstable();
        if let Some(last) = count.checked_sub(1).and_then(|index| idle.get(index)) {
            self.drop_idle(last.saturating_add(1), count);
        }
    }

    /// Drops up to `count` breakers that are idle since before `before_ns` and in nobody's hands.
    fn drop_idle(&mut self, before_ns: u64, count: usize) -> usize {
        let mut dropped = 0;
        for keys in self.services.values_mut() {
            keys.applications.retain(|_, breaker| {
                let idle = dropped < count
                    && Arc::strong_count(breaker) == 1
                    && breaker.idle_since(before_ns).is_some();
                dropped += usize::from(idle);
                !idle
            });
        }
        self.services.retain(|_, keys| keys.service.is_some() || !keys.applications.is_empty());
        self.applications = self.applications.saturating_sub(dropped);
        dropped
    }
}
