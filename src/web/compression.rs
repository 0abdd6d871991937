//! Answers as gzip: a page of many cells repeats itself.

use std::io::Write;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;

/// The shortest answer that is compressed, in bytes.
const LEAST: usize = 1 << 10;

/// Whether the client takes gzip.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight
            .trim()
            .strip_prefix("q=")
            .and_then(|weight| weight.parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_some_and(|weight| weight > 0.0)
    })
}

/// Whether another site made the browser ask. It gets uncompressed answers: from the length of a
/// compressed one it could guess what stands next to words of its own.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    matches!(site, Some(b"cross-site" | b"same-site"))
}

/// Compresses pages, styles and scripts for clients that accept it. Leaves streams alone.
pub(super) async fn compress(request: Request, next: Next) -> Response {
    let is_wanted = takes_gzip(request.headers()) && !is_from_elsewhere(request.headers());
    let mut response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_text = kind.is_some_and(|kind| {
        let kind = kind.as_bytes();
        [&b"text/html"[..], b"text/css", b"text/javascript"]
            .iter()
            .any(|known| kind.starts_with(known))
    });
    if !is_text {
        return response;
    }
    response
        .headers_mut()
        .append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if !is_wanted {
        return response;
    }
    let (mut head, body) = response.into_parts();
    // The body was made here, and is in memory.
    let Ok(plain) = to_bytes(body, usize::MAX).await else {
        return Response::from_parts(head, Body::empty());
    };
    if plain.len() < LEAST {
        return Response::from_parts(head, Body::from(plain));
    }
    let bytes = plain.clone();
    let compressed = tokio::task::spawn_blocking(move || gzip(&bytes)).await;
    let body = match compressed {
        Ok(Ok(compressed)) => {
            head.headers.remove(header::CONTENT_LENGTH);
            head.headers
                .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            Body::from(compressed)
        }
        Ok(Err(_)) | Err(_) => Body::from(plain),
    };
    Response::from_parts(head, body)
}

fn gzip(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 8), Compression::fast());
    encoder.write_all(plain)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_who_takes_it() {
        for (value, expected) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("br", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
            assert_eq!(takes_gzip(&headers), expected, "{value}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
