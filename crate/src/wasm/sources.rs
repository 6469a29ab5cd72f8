//! Byte sources in the browser: Blobs and functions that return promises of bytes.

use super::convert::failure_said;
use crate::formats::{ByteSource, ReadFuture};
use crate::num::to_count;
use crate::sentence::sentence;
use js_sys::{Array, Function, Promise, Reflect, Uint8Array};
use std::io;
use std::ops::Range;
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, File, MessageChannel, MessagePort};

pub(super) fn failed(error: JsValue) -> io::Error {
    let message = Reflect::get(&error, &"message".into()).ok().and_then(|message| message.as_string());
    io::Error::other(error.as_string().or(message).unwrap_or_else(|| "the browser reported no reason".into()))
}

thread_local! {
    /// A port whose other end is closed: transferring a buffer to it detaches and frees the buffer.
    static CLOSED_PORT: Option<MessagePort> = MessageChannel::new().ok().map(|channel| {
        channel.port2().close();
        channel.port1()
    });
}

/// Awaits and copies the promised bytes. Their buffer is detached, which frees its memory at once: left to the
/// garbage collector, hundreds of megabytes of buffers pile up while a large file is read.
async fn bytes(promise: Promise) -> io::Result<Vec<u8>> {
    let value = JsFuture::from(promise).await.map_err(failed)?;
    let view = value.dyn_into().unwrap_or_else(|buffer| Uint8Array::new(&buffer));
    let bytes = view.to_vec();
    CLOSED_PORT.with(|port| {
        let buffers = Array::of1(&view.buffer());
        // A buffer that cannot be transferred is left to the garbage collector.
        port.as_ref().map(|port| port.post_message_with_transferable(&JsValue::NULL, &buffers))
    });
    Ok(bytes)
}

fn check_len(bytes: Vec<u8>, range: &Range<u64>) -> io::Result<Vec<u8>> {
    match bytes.len() as u64 == range.end.saturating_sub(range.start) {
        true => Ok(bytes),
        false => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("requested bytes {}..{}, received {} bytes", range.start, range.end, bytes.len()),
        )),
    }
}

/// A dropped file or downloaded blob, read in slices; the browser keeps the rest.
pub struct BlobSource(pub Blob);

impl ByteSource for BlobSource {
    fn len(&self) -> u64 {
        to_count(self.0.size())
    }

    fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
        Box::pin(async move {
            let slice = self.0.slice_with_f64_and_f64(range.start as f64, range.end as f64).map_err(failed)?;
            check_len(bytes(slice.array_buffer()).await?, &range)
        })
    }
}

/// A file that is not a Blob, such as one at a URL: `read(start, end)` returns a promise of its bytes and gives up
/// ownership of their buffer.
pub struct RemoteSource {
    len: u64,
    read: Function,
}

impl ByteSource for RemoteSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
        Box::pin(async move {
            if range.is_empty() {
                return Ok(Vec::new());
            }
            let (start, end) = (JsValue::from(range.start as f64), JsValue::from(range.end as f64));
            let promise = self.read.call2(&JsValue::NULL, &start, &end).map_err(failed)?;
            check_len(bytes(Promise::resolve(&promise)).await?, &range)
        })
    }
}

/// A file argument of a call: `{file, config}` for a local file, or `{name, size, read, config}` for a remote one.
/// `config` is the text of the adapter_config.json next to it.
#[derive(Clone)]
pub struct Place {
    pub name: String,
    pub source: Rc<dyn ByteSource>,
    pub config: Option<String>,
}

impl Place {
    /// Converts the JavaScript object.
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
                Ok(Place { name, source: Rc::new(RemoteSource { len: to_count(size), read }), config })
            }
            _ => Err(failure_said("file", sentence!("edit.file_gone"))),
        }
    }
}
