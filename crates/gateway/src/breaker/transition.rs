//! The words of a breaker: states, modes, causes, and the change from one state to another.

use std::fmt;

use oaas_model::{Lang, Timestamp};

/// State of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// All calls pass.
    Closed,
    /// None does.
    Open,
    /// A few do, as probes.
    HalfOpen,
    /// A growing share does.
    Ramping,
}

impl State {
    /// As metrics, logs and the command line write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::Ramping => "ramping",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a breaker is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// By its evidence.
    #[default]
    Automatic,
    /// Open, until somebody says otherwise.
    ForcedOpen,
    /// Closed, whatever the evidence says; calls are still counted.
    ForcedClosed,
    /// It changes state by its evidence and says so, but lets every call pass.
    Observe,
}

impl Mode {
    /// As metrics, logs and the command line write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
            Self::Observe => "observe",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Too large a share of errors.
    ErrorRate,
    /// Too large a share of timeouts.
    TimeoutRate,
    /// Hard failures in a row.
    HardFailures,
    /// Too many probes failed.
    ProbesFailed,
    /// The probes came to no decision in time.
    ProbesUndecided,
    /// The open time is over.
    OpenElapsed,
    /// The probes fared well.
    ProbesPassed,
    /// All calls pass again.
    RampEnded,
    /// Somebody forced it.
    ByHand,
}

impl Cause {
    /// As refusals, alerts and metrics write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ErrorRate => "ERROR_RATE",
            Self::TimeoutRate => "TIMEOUT_RATE",
            Self::HardFailures => "HARD_FAILURES",
            Self::ProbesFailed => "PROBES_FAILED",
            Self::ProbesUndecided => "PROBES_UNDECIDED",
            Self::OpenElapsed => "OPEN_ELAPSED",
            Self::ProbesPassed => "PROBES_PASSED",
            Self::RampEnded => "RAMP_ENDED",
            Self::ByHand => "BY_HAND",
        }
    }

    /// As people read it.
    #[must_use]
    pub fn text(self, lang: Lang) -> &'static str {
        let (en, zh) = match self {
            Self::ErrorRate => ("the error rate was above its limit", "错误率超过上限"),
            Self::TimeoutRate => ("the timeout rate reached its limit", "超时率达到上限"),
            Self::HardFailures => ("hard failures in a row", "连续发生严重故障"),
            Self::ProbesFailed => ("too many probes failed", "探测调用失败过多"),
            Self::ProbesUndecided => ("the probes came to no decision in time", "探测未能按时得出结论"),
            Self::OpenElapsed => ("the open time is over; probing", "熔断时间已到，开始探测"),
            Self::ProbesPassed => ("the probes fared well; ramping up", "探测通过，逐步恢复流量"),
            Self::RampEnded => ("all calls pass again", "已恢复全部流量"),
            Self::ByHand => ("set by an operator", "由运维人员手动设置"),
        };
        match lang {
            Lang::En => en,
            Lang::Zh => zh,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A change of state, with the numbers that it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition {
    /// State before.
    pub from: State,
    /// State after.
    pub to: State,
    /// How the breaker is run; calls pass all the same when it is `Observe`.
    pub mode: Mode,
    /// Why.
    pub cause: Cause,
    /// Calls in the evidence; where probes decided, the judged probes.
    pub calls: u64,
    /// Errors among them.
    pub errors: u64,
    /// Timeouts among them.
    pub timeouts: u64,
    /// The limit of the error rate. 0 to 1.
    pub error_rate_max: f64,
    /// The limit of the timeout rate. 0 to 1.
    pub timeout_rate_max: f64,
    /// When.
    pub at: Timestamp,
}
