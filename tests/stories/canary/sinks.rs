//! Where a process sends things: a collector of traces and metrics, a mail server, and those who call it.

use std::{
    convert::Infallible,
    fmt::Debug,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use http::{HeaderMap, Uri};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
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
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    body::Body,
    service::Routes,
    transport::{Endpoint, Server},
};
use tower::{Service, ServiceExt, layer::layer_fn, service_fn};

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

/// Stands between one kind of callers and the server, and calls it as their machine would.
#[derive(Clone, Default)]
pub(super) struct Wire {
    /// What is told around each answer: headers and trailers.
    pub(super) around: Heard,
    /// The answers themselves.
    pub(super) answers: Heard,
}

/// Where callers call from: an address of the loopback network that nobody else uses.
pub(super) const CALLER: Ipv4Addr = Ipv4Addr::new(127, 77, 88, 99);

impl Wire {
    /// Serves as long as the story lasts, and says where.
    pub(super) async fn serve(&self, server: SocketAddr, agent: &str) -> String {
        let endpoint = Endpoint::from_shared(format!("http://{server}")).unwrap().user_agent(agent).unwrap();
        let channel = endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| async move {
            let socket = TcpSocket::new_v4()?;
            socket.bind((CALLER, 0).into())?;
            Ok::<_, std::io::Error>(TokioIo::new(socket.connect(server).await?))
        }));
        let wire = self.clone();
        let forward = service_fn(move |request: http::Request<Body>| {
            let (mut channel, wire) = (channel.clone(), wire.clone());
            async move {
                let answer = match channel.ready().await {
                    Ok(channel) => channel.call(request).await,
                    Err(error) => Err(error),
                };
                Ok::<_, Infallible>(match answer {
                    Ok(answer) => wire.hear(answer),
                    Err(error) => Status::from_error(error.into()).into_http(),
                })
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes =
            Server::builder().layer(layer_fn(move |_: Routes| forward.clone())).add_routes(Routes::default());
        tokio::spawn(routes.serve_with_incoming(TcpListenerStream::new(listener)));
        format!("http://{address}")
    }

    fn hear(self, answer: http::Response<Body>) -> http::Response<Body> {
        hear_all(&self.around, answer.headers());
        answer.map(|body| {
            Body::new(body.map_frame(move |frame| {
                if let Some(data) = frame.data_ref() {
                    self.answers.lock().unwrap().extend_from_slice(data);
                }
                if let Some(trailers) = frame.trailers_ref() {
                    hear_all(&self.around, trailers);
                }
                frame
            }))
        })
    }
}

fn hear_all(heard: &Heard, headers: &HeaderMap) {
    let mut heard = heard.lock().unwrap();
    for (name, value) in headers {
        heard.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"].concat());
    }
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
