//! Turns a web address into a file that is read by ranges (RFC 9110, 14): the header's bytes first, and
//! only what is asked for. The page has its own reader, which the browser's rules bind.

use super::source::{ByteSource, Reading};
use std::io;
use std::ops::Range;
use ureq::http::{Uri, header};
use ureq::{Agent, Body};

/// Why an address cannot be read. Each message says what to do.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
pub enum WebError {
    /// It is no address of a file.
    #[error("{0} is no web address of a file; give one that begins with https:// and ends in the file's name")]
    Address(String),
    /// The server cannot be reached.
    #[error("{host} cannot be reached: {why}; check the address and the network")]
    Unreachable { host: String, why: String },
    /// The server refuses.
    #[error("{host} answers {status} for {path}; {}", advice(*.status))]
    Status { host: String, path: String, status: u16 },
    /// The server gives no parts.
    #[error("{0} gives whole files only, no parts of them; download the file and name it instead")]
    NoRanges(String),
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => "it gives this file to people who are logged in only: download it there and name the file instead",
        404 => "it has no such file: check the address",
        _ => "try again later, or download the file and name it instead",
    }
}

/// Whether a word of the command line is a web address and no path.
pub fn is_address(text: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|it| it.eq_ignore_ascii_case(scheme)))
}

/// A file at a web address.
pub struct WebSource {
    agent: Agent,
    address: Uri,
    len: u64,
}

impl WebSource {
    /// Asks how long the file at `address` is. Hugging Face's address of a page about a file
    /// (`/blob/`) means the file (`/resolve/`).
    pub fn open(address: &str) -> Result<WebSource, WebError> {
        let address = file_address(address)?;
        let agent: Agent = Agent::config_builder().http_status_as_error(false).build().into();
        let mut source = WebSource { agent, address, len: 0 };
        let (_, total) = source.fetch(0..1)?;
        source.len = total;
        Ok(source)
    }

    /// The file's name: the last part of the address.
    pub fn name(&self) -> &str {
        self.address.path().rsplit('/').next().unwrap_or_default()
    }

    /// The text of the file `name` beside this one; none where there is none.
    pub fn beside(&self, name: &str) -> Option<String> {
        let address = self.address.to_string();
        let folder = address.split(['?', '#']).next()?.rsplit_once('/')?.0.to_owned();
        let answer = self.agent.get(format!("{folder}/{name}")).call().ok().filter(|answer| answer.status() == 200)?;
        answer.into_body().read_to_string().ok()
    }

    fn host(&self) -> String {
        self.address.authority().map(|host| host.to_string()).unwrap_or_default()
    }

    /// The bytes of a range, and how many the file has.
    fn fetch(&self, range: Range<u64>) -> Result<(Body, u64), WebError> {
        let wanted = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let answer = self.agent.get(&self.address).header(header::RANGE, wanted).call();
        let answer = answer.map_err(|why| WebError::Unreachable { host: self.host(), why: why.to_string() })?;
        match answer.status().as_u16() {
            206 => {}
            200 => return Err(WebError::NoRanges(self.host())),
            status => return Err(WebError::Status { host: self.host(), path: self.address.path().into(), status }),
        }
        let total = answer.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
        let total = total.and_then(|value| value.rsplit_once('/')?.1.parse().ok());
        let total = total.ok_or_else(|| WebError::NoRanges(self.host()))?;
        Ok((answer.into_body(), total))
    }

    fn read_now(&self, range: &Range<u64>) -> io::Result<Vec<u8>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        if range.end > self.len {
            let text = format!("bytes {}..{} of a file of {}", range.start, range.end, self.len);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        let (mut body, _) = self.fetch(range.clone()).map_err(io::Error::other)?;
        let wanted = range.end - range.start;
        let bytes = body.with_config().limit(wanted + 1).read_to_vec().map_err(io::Error::other)?;
        match bytes.len() as u64 == wanted {
            true => Ok(bytes),
            false => Err(io::Error::other(format!("asked for {wanted} bytes, got {}", bytes.len()))),
        }
    }
}

impl ByteSource for WebSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> Reading<'_> {
        Box::pin(std::future::ready(self.read_now(&range)))
    }
}

fn file_address(text: &str) -> Result<Uri, WebError> {
    let wrong = || WebError::Address(text.into());
    let mut address = text.split('#').next().unwrap_or_default().to_owned();
    let uri: Uri = address.parse().map_err(|_| wrong())?;
    if matches!(uri.host(), Some("huggingface.co" | "hf.co"))
        && let Some(at) = address.find("/blob/")
    {
        address.replace_range(at..at + "/blob/".len(), "/resolve/");
    }
    let uri: Uri = address.parse().map_err(|_| wrong())?;
    let is_file = uri.host().is_some() && !uri.path().ends_with('/');
    if is_file { Ok(uri) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    /// A server of one file under /file.bin, with or without ranges; returns its address.
    fn serve(file: Vec<u8>, ranges: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("its address"));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a caller");
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
                stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("the caller listens");
            }
        });
        address
    }

    #[test]
    fn a_file_is_read_by_ranges() {
        let file: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let address = serve(file.clone(), true);
        let source = WebSource::open(&format!("{address}/file.bin")).expect("the file");
        assert_eq!((source.len(), source.name()), (1000, "file.bin"));
        for range in [0..8, 990..1000, 7..7] {
            let bytes = pollster::block_on(source.read(range.clone())).expect("inside the file");
            assert_eq!(bytes, file[range.start as usize..range.end as usize]);
        }
        assert!(pollster::block_on(source.read(999..1001)).is_err());
        assert_eq!(source.beside("adapter_config.json"), None);
        let missing = WebSource::open(&format!("{address}/other.bin")).err().expect("no such file");
        assert!(matches!(missing, WebError::Status { status: 404, .. }), "{missing}");
    }

    #[test]
    fn a_server_of_whole_files_is_told() {
        let address = serve(vec![1; 10], false);
        let error = WebSource::open(&format!("{address}/file.bin")).err().expect("no ranges");
        assert!(matches!(error, WebError::NoRanges(_)), "{error}");
    }

    #[test]
    fn pages_about_files_mean_the_files() {
        let address =
            file_address("https://huggingface.co/a/b/blob/main/c.safetensors?download=true").expect("an address");
        assert_eq!(address, "https://huggingface.co/a/b/resolve/main/c.safetensors?download=true");
        assert_eq!(
            file_address("https://example.org/blob/c.bin").expect("an address"),
            "https://example.org/blob/c.bin"
        );
        assert!(file_address("https://example.org/").is_err() && file_address("https:///x").is_err());
        assert!(is_address("HTTPS://a/b") && !is_address("a/b") && !is_address("ö"));
    }
}
