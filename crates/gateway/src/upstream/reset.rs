//! HTTP/2 stream errors in the words of gRPC (grpc/grpc, doc/PROTOCOL-HTTP2.md, "Errors").

use h2::Reason;
use oaas_capability::BoxError;
use oaas_model::Code;

use super::error::{Executed, Phase};

/// A stream that was reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// HTTP/2 error code (RFC 9113 §7).
    pub http2_code: u32,
    /// The gRPC status that it stands for.
    pub code: Code,
    /// REFUSED_STREAM alone proves that nothing was executed (RFC 9113 §8.7).
    pub executed: Executed,
    /// The peer said it; otherwise this side did.
    pub remote: bool,
}

/// Finds the reset behind an error of a body or a connection, however deep it lies.
///
/// Nothing when the error is not of HTTP/2, or is the loss of the whole connection.
#[must_use]
pub fn reset_code(error: &BoxError) -> Option<Reset> {
    let found = find(&**error)?;
    if found.is_go_away() {
        return None;
    }
    let reason = found.reason()?;
    Some(Reset {
        http2_code: u32::from(reason),
        code: status(reason),
        executed: if reason == Reason::REFUSED_STREAM { Executed::False } else { Executed::Unknown },
        remote: found.is_remote(),
    })
}

/// The HTTP/2 error in a chain of causes.
pub(crate) fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a h2::Error> {
    /// No chain of causes is longer in practice; a cycle ends here.
    const DEPTH_MAX: usize = 16;
    let next =
        |error: &&'a (dyn std::error::Error + 'static)| -> Option<&'a (dyn std::error::Error + 'static)> {
            // An I/O error names the cause of what it holds, and hides what it holds.
            let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            held.map_or_else(|| error.source(), |held| Some(held))
        };
    std::iter::successors(Some(error), next)
        .take(DEPTH_MAX)
        .find_map(|error| error.downcast_ref::<h2::Error>())
}

/// What an error of a stream says about the call.
pub(super) fn phase(error: &h2::Error) -> (Phase, Executed) {
    match error.reason() {
        // h2 gives the peer's GOAWAY to the streams above its last stream id alone, which the peer did not
        // and will not take up (RFC 9113 §6.8).
        Some(_) if error.is_go_away() && error.is_remote() => (Phase::Goaway, Executed::False),
        Some(_) if error.is_go_away() => (Phase::Lost, Executed::Unknown),
        Some(Reason::REFUSED_STREAM) if error.is_remote() => {
            (Phase::Reset(u32::from(Reason::REFUSED_STREAM)), Executed::False)
        }
        Some(reason) => (Phase::Reset(u32::from(reason)), Executed::Unknown),
        None => (Phase::Lost, Executed::Unknown),
    }
}

fn status(reason: Reason) -> Code {
    match reason {
        Reason::REFUSED_STREAM => Code::Unavailable,
        Reason::CANCEL => Code::Cancelled,
        Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_map_as_the_protocol_says() {
        let check = |reason: Reason, code: Code, executed: Executed| {
            let error: BoxError = Box::new(std::io::Error::other(h2::Error::from(reason)));
            let reset = reset_code(&error).unwrap();
            assert_eq!((reset.code, reset.executed), (code, executed), "{reason:?}");
        };
        check(Reason::REFUSED_STREAM, Code::Unavailable, Executed::False);
        check(Reason::CANCEL, Code::Cancelled, Executed::Unknown);
        check(Reason::ENHANCE_YOUR_CALM, Code::ResourceExhausted, Executed::Unknown);
        check(Reason::NO_ERROR, Code::Internal, Executed::Unknown);
        check(Reason::PROTOCOL_ERROR, Code::Internal, Executed::Unknown);
        check(Reason::INTERNAL_ERROR, Code::Internal, Executed::Unknown);
        assert!(reset_code(&"a plain error".into()).is_none());
    }
}
