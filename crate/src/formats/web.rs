//! Files at URLs, read by HTTP range requests (RFC 9110, 14): only the requested bytes are transferred. The page uses
//! its own reader, since it is subject to the browser's restrictions.

use super::source::{ByteSource, ReadFuture};
use std::io;
use std::ops::Range;
use ureq::http::{Uri, header};
use ureq::{Agent, Body};

/// Error from reading a URL.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum WebError {
    /// Text that is not the URL of a file.
    #[error("{0} is not the URL of a file; use one that starts with https:// and ends with the file name")]
    Address(String),
    /// Server that cannot be reached.
    #[error("cannot reach {host}: {reason}; check the URL and the network connection")]
    Unreachable { host: String, reason: String },
    /// Response with an error status.
    #[error("{host} returned HTTP status {status} for {path}; {}", advice(*.status))]
    Status { host: String, path: String, status: u16 },
    /// Server without support for range requests.
    #[error("{0} does not support HTTP range requests; download the file and pass its path instead")]
    NoRanges(String),
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => "the file requires a login: download it in a browser and pass its path instead",
        404 => "the file does not exist: check the URL",
        _ => "try again later, or download the file and pass its path instead",
    }
}

/// Returns whether a command-line argument is a URL rather than a path.
pub fn is_url(text: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(scheme)))
}

/// A file at a URL.
pub struct WebSource {
    agent: Agent,
    url: Uri,
    len: u64,
}

impl WebSource {
    /// Requests the length of the file at `url`. The URL of a file's page on Hugging Face (`/blob/`) is replaced by
    /// that of the file (`/resolve/`).
    pub fn open(url: &str) -> Result<WebSource, WebError> {
        let url = file_url(url)?;
        let agent: Agent = Agent::config_builder().http_status_as_error(false).build().into();
        let mut source = WebSource { agent, url, len: 0 };
        let (_, total) = source.fetch(0..1)?;
        source.len = total;
        Ok(source)
    }

    /// Returns the file name: the last component of the URL's path.
    pub fn name(&self) -> &str {
        self.url.path().rsplit('/').next().unwrap_or_default()
    }

    /// Reads the text of the file `name` in the same folder. Returns `None` if it cannot be read.
    pub fn read_sibling(&self, name: &str) -> Option<String> {
        let url = self.url.to_string();
        let folder = url.split(['?', '#']).next()?.rsplit_once('/')?.0.to_owned();
        let url = format!("{folder}/{name}");
        let response = self.agent.get(url).call().ok().filter(|response| response.status() == 200)?;
        response.into_body().read_to_string().ok()
    }

    fn host(&self) -> String {
        self.url.authority().map(|host| host.to_string()).unwrap_or_default()
    }

    /// Requests a byte range. Returns the response body and the length of the file.
    fn fetch(&self, range: Range<u64>) -> Result<(Body, u64), WebError> {
        let bytes = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let response = self.agent.get(&self.url).header(header::RANGE, bytes).call();
        let response =
            response.map_err(|error| WebError::Unreachable { host: self.host(), reason: error.to_string() })?;
        match response.status().as_u16() {
            206 => {}
            200 => return Err(WebError::NoRanges(self.host())),
            status => return Err(WebError::Status { host: self.host(), path: self.url.path().into(), status }),
        }
        let total = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
        let total = total.and_then(|value| value.rsplit_once('/')?.1.parse().ok());
        let total = total.ok_or_else(|| WebError::NoRanges(self.host()))?;
        Ok((response.into_body(), total))
    }

    fn read_now(&self, range: &Range<u64>) -> io::Result<Vec<u8>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        if range.end > self.len {
            let message =
                format!("bytes {}..{} are out of range of a file of {} bytes", range.start, range.end, self.len);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        let (mut body, _) = self.fetch(range.clone()).map_err(io::Error::other)?;
        let len = range.end - range.start;
        let bytes = body.with_config().limit(len + 1).read_to_vec().map_err(io::Error::other)?;
        match bytes.len() as u64 == len {
            true => Ok(bytes),
            false => Err(io::Error::other(format!("requested {len} bytes, received {}", bytes.len()))),
        }
    }
}

impl ByteSource for WebSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> ReadFuture<'_> {
        Box::pin(std::future::ready(self.read_now(&range)))
    }
}

/// Parses the URL of a file, without its fragment.
fn file_url(text: &str) -> Result<Uri, WebError> {
    let invalid = || WebError::Address(text.into());
    let mut url = text.split('#').next().unwrap_or_default().to_owned();
    let uri: Uri = url.parse().map_err(|_| invalid())?;
    if matches!(uri.host(), Some("huggingface.co" | "hf.co"))
        && let Some(at) = url.find("/blob/")
    {
        url.replace_range(at..at + "/blob/".len(), "/resolve/");
    }
    let uri: Uri = url.parse().map_err(|_| invalid())?;
    let is_file = uri.host().is_some() && !uri.path().ends_with('/');
    if is_file { Ok(uri) } else { Err(invalid()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    /// Serves one file under /file.bin, with or without support for ranges. Returns the server's URL.
    fn serve(file: Vec<u8>, ranges: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a client");
                let lines: Vec<String> = BufReader::new(&stream)
                    .lines()
                    .map(|line| line.expect("text"))
                    .take_while(|line| !line.is_empty())
                    .collect();
                let range =
                    lines.iter().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
                let (status, extra, body) = match range.as_deref().and_then(|range| range.split_once('-')) {
                    _ if !lines[0].contains(" /file.bin ") => ("404 Not Found", String::new(), &[][..]),
                    Some((start, end)) if ranges => {
                        let (start, end): (usize, usize) =
                            (start.parse().expect("a number"), end.parse().expect("a number"));
                        let extra = format!("content-range: bytes {start}-{end}/{}\r\n", file.len());
                        ("206 Partial Content", extra, &file[start..=end])
                    }
                    _ => ("200 OK", String::new(), &file[..]),
                };
                let head =
                    format!("HTTP/1.1 {status}\r\n{extra}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
                stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("the client reads");
            }
        });
        url
    }

    #[test]
    fn a_file_is_read_by_ranges() {
        let file: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let url = serve(file.clone(), true);
        let source = WebSource::open(&format!("{url}/file.bin")).expect("the file");
        assert_eq!((source.len(), source.name()), (1000, "file.bin"));
        for range in [0..8, 990..1000, 7..7] {
            let bytes = pollster::block_on(source.read(range.clone())).expect("inside the file");
            assert_eq!(bytes, file[range.start as usize..range.end as usize]);
        }
        assert!(pollster::block_on(source.read(999..1001)).is_err());
        assert_eq!(source.read_sibling("adapter_config.json"), None);
        let missing = WebSource::open(&format!("{url}/other.bin")).err().expect("no such file");
        assert!(matches!(missing, WebError::Status { status: 404, .. }), "{missing}");
    }

    #[test]
    fn a_server_without_ranges_is_an_error() {
        let url = serve(vec![1; 10], false);
        let error = WebSource::open(&format!("{url}/file.bin")).err().expect("no ranges");
        assert!(matches!(error, WebError::NoRanges(_)), "{error}");
    }

    #[test]
    fn hugging_face_page_urls_become_file_urls() {
        let url = file_url("https://huggingface.co/a/b/blob/main/c.safetensors?download=true").expect("a URL");
        assert_eq!(url, "https://huggingface.co/a/b/resolve/main/c.safetensors?download=true");
        assert_eq!(file_url("https://example.org/blob/c.bin").expect("a URL"), "https://example.org/blob/c.bin");
        assert!(file_url("https://example.org/").is_err() && file_url("https:///x").is_err());
        assert!(is_url("HTTPS://a/b") && !is_url("a/b") && !is_url("ö"));
    }
}
