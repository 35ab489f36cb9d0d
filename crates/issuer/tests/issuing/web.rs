//! gRPC-Web: workers' web pages, and no others.

use api::issuer::v1::GetOfferResponse;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::net::TcpStream;

use crate::world::{PASSES, World};

#[tokio::test]
async fn a_page_that_is_allowed_reads_the_offer_and_another_may_not() {
    let world = World::with_roster(50).await;
    let issuer = world.serve().await;
    for (origin, allowed) in [("https://app.example.org", true), ("https://elsewhere.example", false)] {
        let call = |method, body: &'static [u8]| {
            Request::builder()
                .method(method)
                .uri("/respite.issuer.v1.IssuerService/GetOffer")
                .header("host", "localhost")
                .header("origin", origin)
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "content-type,x-grpc-web")
                .header("content-type", "application/grpc-web+proto")
                .header("x-grpc-web", "1")
                .body(Full::new(Bytes::from_static(body)))
                .unwrap()
        };
        // No message's length, and none.
        for (method, body) in [(Method::OPTIONS, &b""[..]), (Method::POST, &[0; 5][..])] {
            let stream = TcpStream::connect(&issuer.address).await.unwrap();
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let answer = sender.send_request(call(method.clone(), body)).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            let told = answer.headers().get("access-control-allow-origin").map(|told| told.to_str().unwrap());
            assert_eq!(told, allowed.then_some(origin), "{method}");
            if method == Method::POST {
                let body = answer.into_body().collect().await.unwrap().to_bytes();
                let length = usize::try_from(u32::from_be_bytes(body[1..5].try_into().unwrap())).unwrap();
                let offer = GetOfferResponse::decode(&body[5..5 + length]).unwrap();
                assert_eq!(offer.passes, PASSES);
            }
        }
    }
    issuer.stop().await;
}
