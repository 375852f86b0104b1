//! A `curl` command as people paste it, read as the request that it sends; what a shell would expand is refused.

use crate::schemes::shell;

/// The request that a command line describes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) method: String,
    pub(crate) scheme: String,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What has been read of the options so far.
#[derive(Default)]
struct Options {
    method: Option<String>,
    url: Option<String>,
    headers: Vec<(String, String)>,
    /// Headers that curl is told not to send.
    removed: Vec<String>,
    data: Vec<Vec<u8>>,
    json: bool,
}

impl Command {
    /// Reads one command.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let mut words = shell::words(text)?.into_iter();
        match words.next() {
            Some(word) if word == b"curl" || word == b"curl.exe" => {}
            Some(word) => {
                let found = word.escape_ascii();
                return Err(format!(
                    "expected a command that begins with curl, found \"{found}\""
                ));
            }
            None => return Err("expected a curl command, found nothing".to_owned()),
        }
        let mut options = Options::default();
        let mut only_urls = false;
        while let Some(word) = words.next() {
            let word = text_of(word)?;
            if only_urls || !word.starts_with('-') || word == "-" {
                options.url(word)?;
            } else if word == "--" {
                only_urls = true;
            } else {
                options.option(&word, &mut words)?;
            }
        }
        options.finish()
    }
}

impl Options {
    fn option(
        &mut self,
        word: &str,
        words: &mut impl Iterator<Item = Vec<u8>>,
    ) -> Result<(), String> {
        if SILENT.contains(&word) {
            return Ok(());
        }
        // A value may stand right behind a letter: -XPOST.
        let (name, attached) = match word.as_bytes() {
            [b'-', b'-', ..] => (word, None),
            // Flags without values may stand together: -sSL.
            [b'-', letters @ ..] if letters.iter().all(|one| b"sSLkiv".contains(one)) => {
                return Ok(());
            }
            _ => match word.char_indices().nth(2) {
                Some((at, _)) => (&word[..at], Some(word.as_bytes()[at..].to_vec())),
                None => (word, None),
            },
        };
        let mut value = || {
            attached
                .clone()
                .or_else(|| words.next())
                .ok_or_else(|| format!("{name} needs a value"))
        };
        match name {
            "-X" | "--request" => self.method = Some(text_of(value()?)?),
            "--url" => {
                let url = text_of(value()?)?;
                self.url(url)?;
            }
            "-H" | "--header" => {
                let header = text_of(value()?)?;
                self.header(&header)?;
            }
            "-A" | "--user-agent" => self
                .headers
                .push(("User-Agent".to_owned(), text_of(value()?)?)),
            "-e" | "--referer" => self
                .headers
                .push(("Referer".to_owned(), text_of(value()?)?)),
            "-b" | "--cookie" => {
                let cookie = text_of(value()?)?;
                if !cookie.contains('=') {
                    return Err(format!(
                        "{name} {cookie:?} names a file; expected name=value"
                    ));
                }
                self.headers.push(("Cookie".to_owned(), cookie));
            }
            "-d" | "--data" | "--data-ascii" | "--data-binary" | "--json" => {
                let data = value()?;
                if data.starts_with(b"@") {
                    let what = data.escape_ascii();
                    return Err(format!(
                        "{name} {what} reads a file; write what is in it, with --data-raw"
                    ));
                }
                self.json |= name == "--json";
                self.data.push(data);
            }
            "--data-raw" => self.data.push(value()?),
            other => {
                return Err(format!(
                    "the option {other} is not understood; expected -X, -H, --url, --data-raw, --data, --data-binary, --json, -A, -b, -e"
                ));
            }
        }
        Ok(())
    }

    fn url(&mut self, url: String) -> Result<(), String> {
        match &self.url {
            None => self.url = Some(url),
            Some(first) => {
                return Err(format!(
                    "there are two addresses, {first:?} and {url:?}; expected one"
                ));
            }
        }
        Ok(())
    }

    fn header(&mut self, header: &str) -> Result<(), String> {
        if header.starts_with('@') {
            return Err(format!("-H {header} reads a file; write the headers"));
        }
        // `Name;` is a header without a value, `Name:` is one that curl is not to send.
        if let Some(name) = header.strip_suffix(';')
            && !name.contains(':')
        {
            self.headers.push((name.to_owned(), String::new()));
            return Ok(());
        }
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| format!("the header {header:?} has no colon"))?;
        match value.trim() {
            "" => self.removed.push(name.to_owned()),
            value => self.headers.push((name.to_owned(), value.to_owned())),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Command, String> {
        let url = self.url.take().ok_or("there is no address")?;
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", &url));
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.is_empty() || authority.contains('@') {
            return Err(format!(
                "the address {url:?} has no host, or a user and a password"
            ));
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        let sends = !self.data.is_empty();
        if self.json {
            self.default_header("Content-Type", "application/json");
            self.default_header("Accept", "application/json");
        } else if sends {
            self.default_header("Content-Type", "application/x-www-form-urlencoded");
        }
        let separator: &[u8] = if self.json { b"" } else { b"&" };
        let method = if sends { "POST" } else { "GET" };
        Ok(Command {
            method: self.method.unwrap_or_else(|| method.to_owned()),
            scheme: scheme.to_owned(),
            authority: authority.to_owned(),
            path: path.to_owned(),
            query,
            headers: self.headers,
            body: self.data.join(separator),
        })
    }

    fn default_header(&mut self, name: &str, value: &str) {
        let mut names = self.headers.iter().map(|(name, _)| name);
        let mut removed = self.removed.iter();
        if !names.any(|one| one.eq_ignore_ascii_case(name))
            && !removed.any(|one| one.eq_ignore_ascii_case(name))
        {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
    }
}

fn text_of(word: Vec<u8>) -> Result<String, String> {
    String::from_utf8(word)
        .map_err(|error| format!("\"{}\" is not UTF-8", error.as_bytes().escape_ascii()))
}

/// Options that do not change what is sent, or not what can be signed.
const SILENT: [&str; 16] = [
    "--compressed",
    "--location",
    "--silent",
    "--show-error",
    "--include",
    "--insecure",
    "--verbose",
    "--globoff",
    "--fail",
    "--path-as-is",
    "--http1.1",
    "--http2",
    "--no-buffer",
    "-g",
    "-f",
    "-N",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Command {
        Command::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_request_as_browsers_copy_it() {
        let command = parsed(
            "curl 'https://api.example.com:8443/v1/pay?a=1&b=%20#top' \\\n  -X 'PUT' \\\n  -H 'accept: */*' \\\n  \
             -H $'x-name: it\\'s \\u00e9' \\\n  --data-raw $'{\"a\":\"\\u0021\\n\"}' \\\n  --compressed\n",
        );
        assert_eq!(command.method, "PUT");
        assert_eq!(command.scheme, "https");
        assert_eq!(command.authority, "api.example.com:8443");
        assert_eq!(command.path, "/v1/pay");
        assert_eq!(command.query.as_deref(), Some("a=1&b=%20"));
        let headers = [
            ("accept", "*/*"),
            ("x-name", "it's é"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(command.headers, headers);
        assert_eq!(command.body, b"{\"a\":\"!\n\"}");
    }

    #[test]
    fn what_curl_adds_by_itself() {
        let command = parsed("curl -sS example.com -d a=1 --data 'b=2' -H 'Content-Type:'");
        assert_eq!((&*command.method, &*command.path), ("POST", "/"));
        assert_eq!(command.scheme, "http");
        assert_eq!(command.body, b"a=1&b=2");
        assert!(command.headers.is_empty());
        let command = parsed(
            "curl -XGET --json '{}' --url https://example.com?x -H 'Accept: text/html' -H 'X-Empty;'",
        );
        assert_eq!((&*command.method, &*command.path), ("GET", "/"));
        assert_eq!(command.query.as_deref(), Some("x"));
        let names: Vec<_> = command.headers.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["Accept", "X-Empty", "Content-Type"]);
        // An at sign means a file to --data, and is text to --data-raw.
        assert_eq!(parsed("curl x --data-raw @a").body, b"@a");
        assert_eq!(parsed("curl -- https://x/y").path, "/y");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (text, says) in [
            ("", "found nothing"),
            ("wget https://x", "begins with curl"),
            ("curl", "no address"),
            ("curl https://x https://y", "two addresses"),
            ("curl https://x -F a=b", "-F is not understood"),
            ("curl https://x -G -d a=b", "-G is not understood"),
            ("curl https://x -u me:secret", "-u is not understood"),
            ("curl https://x -d @body.json", "reads a file"),
            ("curl https://x -H", "-H needs a value"),
            ("curl https://x -H 'no colon'", "has no colon"),
            ("curl https://me:secret@x/", "a user and a password"),
            ("curl https:///x", "has no host"),
            ("curl https://x -b jar.txt", "names a file"),
            ("curl $'\\xff'", "not UTF-8"),
        ] {
            let error = Command::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
