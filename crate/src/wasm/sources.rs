//! Turns a Blob or a web address into a file that is read piece by piece.

use crate::formats::ByteSource;
use crate::formats::source::Reading;
use js_sys::{ArrayBuffer, Uint8Array};
use std::io;
use std::ops::Range;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, Request, RequestInit, Response, WorkerGlobalScope};

fn failed(error: JsValue) -> io::Error {
    let text =
        error.as_string().or_else(|| error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message())));
    io::Error::other(text.unwrap_or_else(|| "the browser gave no reason".into()))
}

async fn bytes(promise: js_sys::Promise) -> io::Result<Vec<u8>> {
    let buffer: ArrayBuffer = JsFuture::from(promise).await.map_err(failed)?.unchecked_into();
    Ok(Uint8Array::new(&buffer).to_vec())
}

fn exactly(got: Vec<u8>, range: &Range<u64>) -> io::Result<Vec<u8>> {
    match got.len() as u64 == range.end.saturating_sub(range.start) {
        true => Ok(got),
        false => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("asked for bytes {}..{}, got {}", range.start, range.end, got.len()),
        )),
    }
}

/// A dropped file or downloaded blob: bytes come slice by slice, the rest stays with the browser.
pub struct BlobSource(pub Blob);

impl ByteSource for BlobSource {
    fn len(&self) -> u64 {
        self.0.size() as u64
    }

    fn read(&self, range: Range<u64>) -> Reading<'_> {
        Box::pin(async move {
            let slice = self.0.slice_with_f64_and_f64(range.start as f64, range.end as f64).map_err(failed)?;
            exactly(bytes(slice.array_buffer()).await?, &range)
        })
    }
}

/// A file at an address whose server answers to byte ranges.
pub struct HttpSource {
    address: String,
    len: u64,
}

impl HttpSource {
    /// Asks for the first byte, and so for the length.
    pub async fn open(address: &str) -> io::Result<HttpSource> {
        let response = fetch(address, 0..1).await?;
        let total = response.headers().get("content-range").ok().flatten();
        let total = total.and_then(|range| range.rsplit('/').next().and_then(|total| total.parse().ok()));
        match total {
            Some(len) => Ok(HttpSource { address: address.into(), len }),
            None => Err(io::Error::other(format!(
                "{address}: the server does not tell the file's length; download the file and drop it"
            ))),
        }
    }
}

impl ByteSource for HttpSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> Reading<'_> {
        Box::pin(async move {
            if range.is_empty() {
                return Ok(Vec::new());
            }
            let response = fetch(&self.address, range.clone()).await?;
            exactly(bytes(response.array_buffer().map_err(failed)?).await?, &range)
        })
    }
}

async fn fetch(address: &str, range: Range<u64>) -> io::Result<Response> {
    let request = Request::new_with_str_and_init(address, &RequestInit::new()).map_err(failed)?;
    let wanted = format!("bytes={}-{}", range.start, range.end - 1);
    request.headers().set("range", &wanted).map_err(failed)?;
    let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
    let response: Response = JsFuture::from(scope.fetch_with_request(&request)).await.map_err(failed)?.unchecked_into();
    match response.status() {
        206 => Ok(response),
        200 => {
            Err(io::Error::other(format!("{address}: the server ignores byte ranges; download the file and drop it")))
        }
        status => Err(io::Error::other(format!("{address}: the server answered {status}"))),
    }
}
