//! A whole request in memory, for the few policies that must read it; bounded by the method's limit.

use std::io::Read as _;

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;
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
                return Err(Box::new(too_large(limit, frames.len() + data.len())));
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

/// The payload of the first message in `frames`, decompressed when it is gzip.
///
/// # Errors
/// FIELD_INVALID when there is no whole message or it can't be decompressed; REQUEST_TOO_LARGE when it
/// grows beyond `limit`.
pub fn first_message(frames: &Bytes, encoding: Option<&str>, limit: u32) -> Result<Bytes, Box<Rejection>> {
    let torn = || Box::new(Rejection::invalid("quota", "body", "must be one whole gRPC message"));
    let mut rest = frames.clone();
    if rest.len() < PREFIX_BYTES {
        return Err(torn());
    }
    let compressed = rest.get_u8() == 1;
    let length = usize::try_from(rest.get_u32()).unwrap_or(usize::MAX);
    if rest.len() < length {
        return Err(torn());
    }
    let payload = rest.split_to(length);
    match (compressed, encoding) {
        (false, _) => Ok(payload),
        (true, Some("gzip")) => {
            let mut plain = Vec::new();
            let most = u64::from(limit) + 1;
            flate2::read::GzDecoder::new(&payload[..])
                .take(most)
                .read_to_end(&mut plain)
                .map_err(|_| torn())?;
            if plain.len() as u64 >= most {
                return Err(Box::new(too_large(limit, plain.len())));
            }
            Ok(plain.into())
        }
        (true, other) => {
            let name = other.unwrap_or("none");
            let message = format!("{name:?} can't be read here; use gzip or identity for this method");
            Err(Box::new(Rejection::invalid("quota", "grpc-encoding", message)))
        }
    }
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
