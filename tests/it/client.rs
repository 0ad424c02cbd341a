//! A gRPC client of bare HTTP/2: it sends what it is told and shows what came, bytes and all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::{Buf as _, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use oaas_proto::google::rpc;
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Longest that any single answer may take in these tests.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection.
#[derive(Clone)]
pub struct Client {
    h2: SendRequest<Bytes>,
    connection: Arc<JoinHandle<()>>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), 1 << 20).await
    }

    /// With the protocol's own small windows.
    pub async fn connect_narrow(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), 65_535).await
    }

    /// Drops the connection, with whatever goes on there.
    pub fn disconnect(self) {
        self.connection.abort();
    }

    /// Over TLS, as `localhost`.
    pub async fn connect_tls(
        address: SocketAddr,
        config: Arc<rustls::ClientConfig>,
    ) -> std::io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
        let tls = tokio_rustls::TlsConnector::from(config).connect(name, tcp).await?;
        Ok(Self::over(tls, 1 << 20).await)
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, window: u32) -> Self {
        let (h2, connection) = h2::client::Builder::new()
            .initial_window_size(window)
            .initial_connection_window_size(window.saturating_mul(8))
            .handshake(stream)
            .await
            .unwrap();
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        Self { h2, connection: Arc::new(connection) }
    }

    /// A call of `path`.
    pub fn call(&self, path: &str) -> Ask {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        Ask { client: self.clone(), path: path.to_owned(), headers, frames: Vec::new() }
    }
}

/// A call that is being put together.
pub struct Ask {
    client: Client,
    path: String,
    headers: HeaderMap,
    frames: Vec<Bytes>,
}

impl Ask {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        self
    }

    /// Sends an API key.
    pub fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    /// Tells the test upstream what to do.
    pub fn behave(self, words: &str) -> Self {
        self.header("x-behave", words)
    }

    /// One more message.
    pub fn message(self, payload: &[u8]) -> Self {
        self.frame(frame(0, payload))
    }

    /// One more part of the body, as it is.
    pub fn frame(mut self, bytes: Bytes) -> Self {
        self.frames.push(bytes);
        self
    }

    /// Whether the connection is closed on this call, without an answer.
    pub async fn closes(self) -> bool {
        let Ok(mut h2) = self.client.h2.ready().await else { return true };
        let request = Request::post("http://localhost/").body(()).unwrap();
        match h2.send_request(request, true) {
            Ok((response, _)) => response.await.is_err(),
            Err(_) => true,
        }
    }

    /// Sends everything and waits for the end of the answer.
    pub async fn send(self) -> Answer {
        let path = self.path.clone();
        match tokio::time::timeout(PATIENCE, self.run()).await {
            Ok(answer) => answer,
            Err(_) => panic!("no answer to {path} in {PATIENCE:?}"),
        }
    }

    async fn run(mut self) -> Answer {
        let frames = std::mem::take(&mut self.frames);
        let mut open = self.open().await;
        let mut up = open.up.take().unwrap();
        let sending = tokio::spawn(async move {
            for frame in frames {
                if send_all(&mut up, frame).await.is_err() {
                    // The peer has answered already, and wants no more.
                    return;
                }
            }
            let _ = up.send_data(Bytes::new(), true);
            // Kept until the end: dropping it early would be a cancel.
            std::future::poll_fn(|cx| up.poll_reset(cx)).await.ok();
        });
        let answer = open.finish().await;
        sending.abort();
        answer
    }

    /// Sends the headers alone.
    pub async fn open(self) -> Open {
        let mut h2 = self.client.h2.ready().await.unwrap();
        let uri = format!("http://localhost{}", self.path);
        let mut request = Request::post(uri).version(http::Version::HTTP_2).body(()).unwrap();
        *request.headers_mut() = self.headers;
        let (response, up) = h2.send_request(request, false).unwrap();
        Open { response: Some(response), up: Some(up), answer: Answer::default(), down: None }
    }
}

/// A call under way.
pub struct Open {
    response: Option<ResponseFuture>,
    pub up: Option<SendStream<Bytes>>,
    down: Option<RecvStream>,
    answer: Answer,
}

impl Open {
    pub async fn send(&mut self, payload: &[u8]) {
        send_all(self.up.as_mut().unwrap(), frame(0, payload)).await.unwrap();
    }

    /// Half-closes.
    pub fn end(&mut self) {
        self.up.as_mut().unwrap().send_data(Bytes::new(), true).unwrap();
    }

    pub fn cancel(mut self) {
        self.up.as_mut().unwrap().send_reset(h2::Reason::CANCEL);
    }

    /// The next part of the answer, or none at its end.
    pub async fn part(&mut self) -> Option<Bytes> {
        tokio::time::timeout(PATIENCE, self.next_part()).await.expect("no part of the answer came")
    }

    async fn next_part(&mut self) -> Option<Bytes> {
        if let Some(response) = self.response.take() {
            match response.await {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    self.answer.http = head.status.as_u16();
                    self.answer.headers = head.headers;
                    self.answer.trailers_only = body.is_end_stream();
                    self.down = Some(body);
                }
                Err(error) => {
                    self.answer.error = Some(error);
                    return None;
                }
            }
        }
        let down = self.down.as_mut()?;
        match down.data().await {
            Some(Ok(data)) => {
                let _ = down.flow_control().release_capacity(data.len());
                self.answer.body.extend_from_slice(&data);
                Some(data)
            }
            Some(Err(error)) => {
                self.answer.error = Some(error);
                self.down = None;
                None
            }
            None => {
                match down.trailers().await {
                    Ok(trailers) => self.answer.trailers = trailers,
                    Err(error) => self.answer.error = Some(error),
                }
                self.down = None;
                None
            }
        }
    }

    /// Waits for the end.
    pub async fn finish(mut self) -> Answer {
        while self.part().await.is_some() {}
        self.answer
    }
}

async fn send_all(up: &mut SendStream<Bytes>, mut data: Bytes) -> Result<(), h2::Error> {
    if data.is_empty() {
        return up.send_data(data, false);
    }
    while !data.is_empty() {
        up.reserve_capacity(data.len());
        match std::future::poll_fn(|cx| up.poll_capacity(cx)).await {
            Some(capacity) => {
                let part = data.split_to(capacity?.min(data.len()));
                up.send_data(part, false)?;
            }
            None => return Err(h2::Error::from(h2::Reason::STREAM_CLOSED)),
        }
    }
    Ok(())
}

/// A gRPC message with its prefix.
pub fn frame(flag: u8, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + payload.len());
    frame.extend_from_slice(&[flag]);
    frame.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(payload);
    frame.freeze()
}

/// What came back.
#[derive(Debug, Default)]
pub struct Answer {
    pub http: u16,
    pub headers: HeaderMap,
    /// The head was the end.
    pub trailers_only: bool,
    pub body: BytesMut,
    pub trailers: Option<HeaderMap>,
    /// The stream broke off.
    pub error: Option<h2::Error>,
}

impl Answer {
    /// Where the status is: the head, or the trailers.
    pub fn ending(&self) -> &HeaderMap {
        if self.trailers_only { &self.headers } else { self.trailers.as_ref().unwrap_or(&self.headers) }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.ending().get(name).and_then(|value| value.to_str().ok())
    }

    /// `grpc-status`.
    pub fn status(&self) -> i32 {
        match self.text("grpc-status") {
            Some(status) => status.parse().unwrap(),
            None => panic!("no grpc-status: {self:?}"),
        }
    }

    pub fn message(&self) -> &str {
        self.text("grpc-message").unwrap_or_default()
    }

    pub fn call_id(&self) -> &str {
        self.headers.get("oaas-call-id").map(|id| id.to_str().unwrap()).unwrap_or_default()
    }

    /// Payloads of the messages.
    pub fn messages(&self) -> Vec<Bytes> {
        let mut rest = self.body.clone().freeze();
        let mut messages = Vec::new();
        while !rest.is_empty() {
            let _flag = rest.get_u8();
            let length = rest.get_u32() as usize;
            messages.push(rest.split_to(length));
        }
        messages
    }

    /// The details of a refusal.
    pub fn denial(&self) -> Denial {
        let Some(text) = self.text("grpc-status-details-bin") else { panic!("no details: {self:?}") };
        Denial::of(self.status(), text)
    }

    /// The reason of a refusal, by the gateway or a capability; empty when there is none.
    pub fn reason(&self) -> String {
        let Some(text) = self.text("grpc-status-details-bin") else { return String::new() };
        let denial = Denial::of(self.status(), text);
        match denial.bad_request {
            Some(bad) if denial.info.reason.is_empty() => bad.field_violations[0].reason.clone(),
            _ => denial.info.reason,
        }
    }
}

/// A decoded `google.rpc.Status`.
#[derive(Debug, Default)]
pub struct Denial {
    /// Short names of the details, in their order.
    pub order: Vec<String>,
    pub info: rpc::ErrorInfo,
    pub request: Option<rpc::RequestInfo>,
    pub localized: Option<rpc::LocalizedMessage>,
    pub help: Option<rpc::Help>,
    pub retry: Option<Duration>,
    pub quota: Option<rpc::QuotaFailure>,
    pub resource: Option<rpc::ResourceInfo>,
    pub bad_request: Option<rpc::BadRequest>,
}

impl Denial {
    fn of(code: i32, text: &str) -> Self {
        let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let bytes = GeneralPurpose::new(&STANDARD, lenient).decode(text).unwrap();
        let status = rpc::Status::decode(&*bytes).unwrap();
        assert_eq!(status.code, code, "the details name another status than grpc-status");
        let mut denial = Self::default();
        for any in status.details {
            let name = any.type_url.strip_prefix("type.googleapis.com/google.rpc.").unwrap().to_owned();
            let value = &*any.value;
            match name.as_str() {
                "ErrorInfo" => denial.info = rpc::ErrorInfo::decode(value).unwrap(),
                "RequestInfo" => denial.request = Some(rpc::RequestInfo::decode(value).unwrap()),
                "LocalizedMessage" => denial.localized = Some(rpc::LocalizedMessage::decode(value).unwrap()),
                "Help" => denial.help = Some(rpc::Help::decode(value).unwrap()),
                "RetryInfo" => {
                    let delay = rpc::RetryInfo::decode(value).unwrap().retry_delay.unwrap();
                    denial.retry = Some(Duration::new(
                        u64::try_from(delay.seconds).unwrap(),
                        u32::try_from(delay.nanos).unwrap(),
                    ));
                }
                "QuotaFailure" => denial.quota = Some(rpc::QuotaFailure::decode(value).unwrap()),
                "ResourceInfo" => denial.resource = Some(rpc::ResourceInfo::decode(value).unwrap()),
                "BadRequest" => denial.bad_request = Some(rpc::BadRequest::decode(value).unwrap()),
                other => panic!("a detail that the contract does not have: {other}"),
            }
            denial.order.push(name);
        }
        denial
    }

    pub fn fact(&self, name: &str) -> &str {
        self.info.metadata.get(name).map_or("", String::as_str)
    }
}

impl Ask {
    /// Sends one message of a contract and reads the one that comes back.
    ///
    /// # Errors
    /// The whole answer, when it is a refusal.
    pub async fn typed<A: prost::Message + Default>(
        self,
        request: &impl prost::Message,
    ) -> Result<A, Answer> {
        let answer = self.message(&request.encode_to_vec()).send().await;
        if answer.status() != 0 {
            return Err(answer);
        }
        Ok(A::decode(&*answer.messages()[0]).unwrap())
    }
}
