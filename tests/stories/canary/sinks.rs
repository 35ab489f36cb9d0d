//! Where a process sends things: a collector of traces and metrics, and a mail server.

use std::{
    fmt::Debug,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::collector::{
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use prost::Message;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// Bytes that came in, in their order.
type Heard = Arc<Mutex<Vec<u8>>>;

/// Takes what OTLP brings.
#[derive(Clone, Default)]
pub(super) struct Collector {
    pub(super) traces: Heard,
    pub(super) metrics: Heard,
}

impl Collector {
    /// Serves as long as the story lasts.
    pub(super) async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder()
            .add_service(TraceServiceServer::new(self.clone()))
            .add_service(MetricsServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        address
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        keep(&self.traces, &request);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        keep(&self.metrics, &request);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// With its headers, as bytes and as somebody would print it.
fn keep(heard: &Heard, request: &Request<impl Message + Debug>) {
    let mut heard = heard.lock().unwrap();
    heard.extend(request.get_ref().encode_to_vec());
    heard.extend(format!("{request:?}\n").into_bytes());
}

/// A mail server that repeats the address of whom it refuses.
#[derive(Clone, Default)]
pub(super) struct MailServer {
    /// Whom letters are for: the commands before a letter, and its `To`.
    pub(super) envelopes: Heard,
    /// Everything else.
    pub(super) letters: Heard,
}

impl MailServer {
    /// Serves as long as the story lasts.
    pub(super) async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.talk(stream).await });
            }
        });
        address
    }

    async fn talk(&self, stream: TcpStream) -> std::io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"220 mail.example.org\r\n").await?;
        while let Some(line) = lines.next_line().await? {
            let command = line.split([' ', ':']).next().unwrap().to_ascii_uppercase();
            let addressed = ["MAIL", "RCPT"].contains(&&*command);
            hear(if addressed { &self.envelopes } else { &self.letters }, &line);
            let answer = match &*command {
                "RCPT" if line.contains("refused") => format!("550 5.1.1 {line} is nobody here"),
                "DATA" => {
                    write.write_all(b"354 go on\r\n").await?;
                    while let Some(line) = lines.next_line().await?.filter(|line| line != ".") {
                        let addressed = line.starts_with("To:");
                        hear(if addressed { &self.envelopes } else { &self.letters }, &line);
                    }
                    hear(&self.letters, ".");
                    "250 taken".to_owned()
                }
                "QUIT" => "221 bye".to_owned(),
                _ => "250 mail.example.org".to_owned(),
            };
            write.write_all(format!("{answer}\r\n").as_bytes()).await?;
        }
        Ok(())
    }
}

fn hear(heard: &Heard, line: &str) {
    heard.lock().unwrap().extend(format!("{line}\n").into_bytes());
}
