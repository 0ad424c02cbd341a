//! A whole request in memory, for the few policies that must read it; bounded by the method's limit.

use std::io::Read as _;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use oaas_model::Reason;

use crate::Body;
use crate::frames::PREFIX_BYTES;
use crate::rejection::{Executed, Rejection, Retry};

/// All frames of `body`, at most one message of `limit` bytes.
///
/// # Errors
/// REQUEST_TOO_LARGE, or CALLER_CANCELLED when the client broke off.
pub async fn whole(mut body: Body, limit: u32) -> Result<(Bytes, Option<HeaderMap>), Box<Rejection>> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(PREFIX_BYTES);
    let mut frames = BytesMut::new();
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Box::new(broken_off()))?;
        match frame.into_data() {
            Ok(data) if frames.len() + data.len() > most => {
                return Err(Box::new(too_large(limit, frames.len() + data.len()).executed(Executed::False)));
            }
            Ok(data) => frames.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((frames.freeze(), trailers))
}

/// The same body once more.
#[must_use]
pub fn again(frames: Bytes, trailers: Option<HeaderMap>) -> Body {
    let frames = (!frames.is_empty()).then(|| Ok(Frame::data(frames)));
    let trailers = trailers.map(|trailers| Ok(Frame::trailers(trailers)));
    let parts = frames.into_iter().chain(trailers);
    StreamBody::new(futures_util::stream::iter(parts.collect::<Vec<_>>())).boxed_unsync()
}

/// The payload of the one message in `frames`, decompressed when it is gzip.
///
/// What is read here must be what the capability reads, or a caller could show one amount and spend
/// another. So whatever some servers read and others don't is refused: a second message, a second gzip
/// member, an unknown flag, more than one `grpc-encoding`.
///
/// # Errors
/// FIELD_INVALID when there is not exactly one whole message or it can't be decompressed;
/// REQUEST_TOO_LARGE when it grows beyond `limit`.
pub fn only_message(frames: &Bytes, headers: &HeaderMap, limit: u32) -> Result<Bytes, Box<Rejection>> {
    let mut rest = frames.clone();
    if rest.len() < PREFIX_BYTES {
        return Err(not_one());
    }
    let (flag, length) = (rest.get_u8(), rest.get_u32());
    if usize::try_from(length).ok() != Some(rest.len()) {
        return Err(not_one());
    }
    let mut encodings = headers.get_all("grpc-encoding").iter();
    match (flag, encodings.next().map(HeaderValue::as_bytes), encodings.next()) {
        (0, _, None) => Ok(rest),
        (1, Some(b"gzip"), None) => gunzip(&rest, limit),
        (0 | 1, ..) => {
            let why = "can't be read here; use gzip or identity for this method";
            Err(Box::new(Rejection::invalid("quota", "grpc-encoding", why)))
        }
        _ => Err(not_one()),
    }
}

fn gunzip(payload: &[u8], limit: u32) -> Result<Bytes, Box<Rejection>> {
    let most = u64::from(limit) + 1;
    let mut plain = Vec::new();
    let mut decoder = flate2::bufread::GzDecoder::new(payload);
    decoder.by_ref().take(most).read_to_end(&mut plain).map_err(|_| not_one())?;
    if plain.len() as u64 >= most {
        return Err(Box::new(too_large(limit, plain.len()).executed(Executed::False)));
    }
    if !decoder.into_inner().is_empty() {
        return Err(not_one());
    }
    Ok(plain.into())
}

fn not_one() -> Box<Rejection> {
    Box::new(Rejection::invalid("quota", "body", "must be exactly one whole gRPC message"))
}

/// A request that its caller did not finish.
#[must_use]
pub fn broken_off() -> Rejection {
    Rejection::new(Reason::CallerCancelled, "edge", "the caller broke the request off")
}

/// A request message over its limit.
#[must_use]
pub fn too_large(limit: u32, size: usize) -> Rejection {
    let message = format!("a request message of {size} bytes is over the limit of {limit}");
    Rejection::new(Reason::RequestTooLarge, "upstream", message)
        .executed(Executed::Unknown)
        .retry(Retry::Never)
        .fact("limit", limit)
        .fact("size", size)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::frames::encode;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn flagged(flag: u8, payload: &[u8]) -> Bytes {
        let mut frame = encode(payload).to_vec();
        frame[0] = flag;
        frame.into()
    }

    fn read(frames: &Bytes, encodings: &[&'static str]) -> Result<Bytes, Reason> {
        let mut headers = HeaderMap::new();
        for name in encodings {
            headers.append("grpc-encoding", HeaderValue::from_static(name));
        }
        only_message(frames, &headers, 64).map_err(|rejection| {
            assert_eq!(rejection.executed, Executed::False);
            rejection.reason
        })
    }

    #[test]
    fn one_message_is_read_as_the_capability_reads_it() {
        assert_eq!(read(&encode(b"one"), &[]).unwrap(), "one");
        assert_eq!(read(&encode(b""), &[]).unwrap(), "");
        assert_eq!(read(&encode(b"one"), &["gzip"]).unwrap(), "one");
        assert_eq!(read(&flagged(1, &gzip(b"one")), &["gzip"]).unwrap(), "one");
        assert_eq!(read(&flagged(1, &gzip(&[7; 65])), &["gzip"]), Err(Reason::RequestTooLarge));
        assert_eq!(read(&flagged(1, &gzip(&[7; 64])), &["gzip"]).unwrap(), [7; 64].as_slice());
    }

    #[test]
    fn nothing_can_be_hidden_behind_the_message_that_is_read() {
        let second = [encode(b"one"), encode(b"two")].concat();
        let member = [gzip(b"one"), gzip(b"two")].concat();
        let tail = [gzip(b"one"), vec![0]].concat();
        for (frames, encodings) in [
            (Bytes::from(second), &[] as &[_]),
            (flagged(1, &member), &["gzip"]),
            (flagged(1, &tail), &["gzip"]),
            (flagged(1, &gzip(b"one")[..12]), &["gzip"]),
            (flagged(2, b"one"), &[]),
            (flagged(1, b"one"), &[]),
            (flagged(1, b"one"), &["snappy"]),
            (flagged(1, &gzip(b"one")), &["gzip", "snappy"]),
            (encode(b"one").slice(..7), &[]),
            (Bytes::new(), &[]),
        ] {
            assert_eq!(read(&frames, encodings), Err(Reason::FieldInvalid), "{frames:?} {encodings:?}");
        }
    }
}
