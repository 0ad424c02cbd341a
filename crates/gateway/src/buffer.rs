//! A whole request in memory, for the few policies that must read it; bounded by the method's
//! limit, and all of them together.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use oaas_model::Reason;

use crate::Body;
use crate::frames::PREFIX_BYTES;
use crate::header;
use crate::rejection::{Executed, Rejection, Retry};

/// Bytes of whole requests that the process holds at once.
const HELD_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long a client should wait that came when they were held.
const PUSHBACK: Duration = Duration::from_millis(200);

/// Counts the bytes of the whole requests in memory.
#[derive(Clone, Debug, Default)]
pub struct Room(Arc<AtomicUsize>);

/// Bytes that are counted until the last of their slices is dropped.
struct Held {
    frames: BytesMut,
    room: Room,
}

impl Held {
    /// Adds `data`; false when there is no room.
    fn add(&mut self, data: &[u8]) -> bool {
        let before = self.room.0.fetch_add(data.len(), Ordering::AcqRel);
        if before.saturating_add(data.len()) > HELD_BYTES_MAX {
            self.room.0.fetch_sub(data.len(), Ordering::AcqRel);
            return false;
        }
        self.frames.extend_from_slice(data);
        true
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.frames
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.frames.len(), Ordering::AcqRel);
    }
}

/// All frames of `body`, at most one message of `limit` bytes; they count in `room` as long as they live.
///
/// # Errors
/// REQUEST_TOO_LARGE; CALLER_CANCELLED when the client broke off; OVERLOADED when the room is full.
pub async fn whole(
    mut body: Body,
    limit: u32,
    room: &Room,
) -> Result<(Bytes, Option<HeaderMap>), Box<Rejection>> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(PREFIX_BYTES);
    let mut held = Held { frames: BytesMut::new(), room: room.clone() };
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Box::new(broken_off()))?;
        match frame.into_data() {
            Ok(data) if held.frames.len() + data.len() > most => {
                let size = held.frames.len() + data.len();
                return Err(Box::new(too_large(limit, size).executed(Executed::False)));
            }
            Ok(data) => {
                if !held.add(&data) {
                    return Err(Box::new(no_room()));
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((Bytes::from_owner(held), trailers))
}

fn no_room() -> Rejection {
    let message = format!("{HELD_BYTES_MAX} bytes of requests are held, as many as this process takes");
    Rejection::new(Reason::Overloaded, "shed", message)
        .retry(Retry::After(PUSHBACK))
        .fact("limit", HELD_BYTES_MAX)
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
    let mut encodings = headers.get_all(header::GRPC_ENCODING).iter();
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

    #[tokio::test]
    async fn requests_are_held_up_to_a_limit_and_given_back() {
        let room = Room::default();
        let held = || room.0.load(Ordering::Acquire);
        let (frames, _) = whole(again(encode(b"one"), None), 64, &room).await.unwrap();
        let slice = frames.slice(5..);
        drop(frames);
        assert_eq!((held(), &*slice), (8, &b"one"[..]));
        drop(slice);
        assert_eq!(held(), 0);
        let refused = whole(again(encode(&[7; 65]), None), 64, &room).await.unwrap_err();
        assert_eq!((refused.reason, refused.executed, held()), (Reason::RequestTooLarge, Executed::False, 0));
        room.0.store(HELD_BYTES_MAX - 7, Ordering::Release);
        let refused = whole(again(encode(b"one"), None), 64, &room).await.unwrap_err();
        assert_eq!((refused.reason, held()), (Reason::Overloaded, HELD_BYTES_MAX - 7));
    }
}
