//! The carrier of the demo: a gRPC server of its own on its own port, that can be told to fail.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use oaas_proto::oaas::demo::v1::carrier_service_server::{CarrierService, CarrierServiceServer};
use oaas_proto::oaas::demo::v1::{QuoteFreightRequest, QuoteFreightResponse};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status};

/// A running carrier.
pub struct Carrier {
    /// Where it listens.
    pub address: SocketAddr,
    failing: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

struct Quotes {
    failing: Arc<AtomicBool>,
    served: AtomicU64,
}

impl Carrier {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let failing = Arc::new(AtomicBool::new(false));
        let quotes = Quotes { failing: Arc::clone(&failing), served: AtomicU64::new(0) };
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let server = tonic::transport::Server::builder().add_service(CarrierServiceServer::new(quotes));
        let task = tokio::spawn(async move {
            if let Err(error) = server.serve_with_incoming(incoming).await {
                tracing::error!(%error, "the demo's carrier stopped");
            }
        });
        Ok(Self { address, failing, task })
    }

    /// Makes it fail one call in four, or makes it well.
    pub fn fail(&self, failing: bool) {
        self.failing.store(failing, Ordering::Release);
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tonic::async_trait]
impl CarrierService for Quotes {
    async fn quote_freight(
        &self,
        request: Request<QuoteFreightRequest>,
    ) -> Result<Response<QuoteFreightResponse>, Status> {
        let request = request.into_inner();
        let turn = self.served.fetch_add(1, Ordering::Relaxed);
        // A partner across a network: one to three milliseconds.
        tokio::time::sleep(Duration::from_micros(1_000 + turn * 379 % 2_000)).await;
        if self.failing.load(Ordering::Acquire) && turn.is_multiple_of(4) {
            return Err(Status::internal("the carrier's tariff engine is down"));
        }
        let domestic = request.country == "CN";
        let (base_fen, kilogram_fen, days) = if domestic { (800, 200, 2) } else { (3_000, 4_500, 7) };
        let kilograms = i64::from(request.weight_grams.div_ceil(1_000));
        let source = "carrier".to_owned();
        let freight_fen = base_fen + kilograms * kilogram_fen;
        Ok(Response::new(QuoteFreightResponse { freight_fen, days, source }))
    }
}
