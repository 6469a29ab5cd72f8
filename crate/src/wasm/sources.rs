//! Turns a Blob, or whatever promises bytes, into a file that is read piece by piece.

use super::convert::failure;
use crate::formats::{ByteSource, Reading};
use js_sys::{Array, Function, Promise, Reflect, Uint8Array};
use std::io;
use std::ops::Range;
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, File, MessageChannel, MessagePort};

pub(super) fn failed(error: JsValue) -> io::Error {
    let message = Reflect::get(&error, &"message".into()).ok().and_then(|message| message.as_string());
    io::Error::other(error.as_string().or(message).unwrap_or_else(|| "the browser gave no reason".into()))
}

thread_local! {
    /// A port without another end: what is transferred through it is gone.
    static NOWHERE: Option<MessagePort> = MessageChannel::new().ok().map(|channel| {
        channel.port2().close();
        channel.port1()
    });
}

/// The promised bytes, copied. Their buffer is given away, which frees its memory at once: left to the garbage
/// collector, buffers worth hundreds of megabytes pile up while a large file is read.
async fn bytes(promise: Promise) -> io::Result<Vec<u8>> {
    let promised = JsFuture::from(promise).await.map_err(failed)?;
    let view = promised.dyn_into().unwrap_or_else(|buffer| Uint8Array::new(&buffer));
    let bytes = view.to_vec();
    NOWHERE.with(|port| {
        let buffers = Array::of1(&view.buffer());
        // A buffer that cannot be given away waits for the collector.
        port.as_ref().map(|port| port.post_message_with_transferable(&JsValue::NULL, &buffers))
    });
    Ok(bytes)
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

/// A file that lies elsewhere, such as at a web address: `read(start, end)` promises its bytes, and gives their buffer
/// away.
pub struct RemoteSource {
    len: u64,
    read: Function,
}

impl ByteSource for RemoteSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> Reading<'_> {
        Box::pin(async move {
            if range.is_empty() {
                return Ok(Vec::new());
            }
            let (start, end) = (JsValue::from(range.start as f64), JsValue::from(range.end as f64));
            let promise = self.read.call2(&JsValue::NULL, &start, &end).map_err(failed)?;
            exactly(bytes(Promise::resolve(&promise)).await?, &range)
        })
    }
}

/// What a call of the page says of a file: `{file, config}` of one that is here, or `{name, size, read, config}` of one
/// that lies elsewhere. `config` is the text of the adapter_config.json beside it.
#[derive(Clone)]
pub struct Place {
    pub name: String,
    pub source: Rc<dyn ByteSource>,
    pub config: Option<String>,
}

impl Place {
    /// The file that `place` speaks of.
    pub fn of(place: &JsValue) -> Result<Place, JsValue> {
        let field = |name: &str| Reflect::get(place, &name.into());
        let config = field("config")?.as_string();
        if let Ok(blob) = field("file")?.dyn_into::<Blob>() {
            let name = blob.dyn_ref::<File>().map(File::name).unwrap_or_default();
            return Ok(Place { name, source: Rc::new(BlobSource(blob)), config });
        }
        let (name, size, read) = (field("name")?, field("size")?, field("read")?);
        match (name.as_string(), size.as_f64(), read.dyn_into::<Function>()) {
            (Some(name), Some(size), Ok(read)) => {
                Ok(Place { name, source: Rc::new(RemoteSource { len: size as u64, read }), config })
            }
            _ => Err(failure("file", "the file is not there any more: drop it again")),
        }
    }
}
