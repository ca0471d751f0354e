//! Cuts a byte stream into JSON texts.
//!
//! OVSDB's JSON-RPC has no framing of its own: objects follow each other with or without white space, several in one
//! read or one over many reads. So the end of a text is found by following brackets and strings, nothing more; what
//! is inside is judged when the text is parsed. Every byte is looked at once, however the stream is cut, because the
//! scan goes on where it stopped. Bytes are compared, not characters: no byte of a multi-byte UTF-8 character is an ASCII
//! one, so a character that is split between two reads needs no care.

use crate::error::FrameError;

/// How large and how deep one text may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one text.
    pub size: usize,
    /// Objects and arrays inside each other.
    pub depth: usize,
}

impl Default for Limits {
    /// 256 MiB, as a whole database may come in one reply, and the 1000 levels that ovsdb-server itself allows.
    fn default() -> Self {
        Limits { size: 256 << 20, depth: DEPTH }
    }
}

/// The objects and arrays inside each other that ovsdb-server allows; it closes the connection on more.
pub const DEPTH: usize = 1000;

/// So many bytes of what is no message are told.
const SHOWN: usize = 80;

/// How bytes begin, as printable text in quotes.
pub fn beginning(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let cut = if shown.len() < bytes.len() { "…" } else { "" };
    format!("\"{}\"{cut}", shown.escape_ascii())
}

/// Owns the bytes that were read and hands out whole JSON texts.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Where the current text starts; what is before has been handed out.
    start: usize,
    /// How far the current text has been looked at.
    scanned: usize,
    scan: Scan,
    limits: Limits,
}

/// Read at least this much at a time: a typical reply to one command fits.
const READ_SIZE: usize = 16 * 1024;

/// A larger buffer is given back once it has served.
const KEPT_SIZE: usize = 1024 * 1024;

impl Framer {
    /// A framer with other limits than the default ones.
    pub fn new(limits: Limits) -> Self {
        Framer { limits, ..Framer::default() }
    }

    /// The buffer to append the next bytes to, with room for a read.
    pub fn space(&mut self) -> &mut Vec<u8> {
        // Moving the rest to the front pays off once it is the smaller part; that keeps the cost per byte constant.
        if self.start > 0 && self.start >= self.buffer.len() - self.start {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
            // A whole database may have come, once.
            if self.buffer.capacity() > KEPT_SIZE {
                self.buffer.shrink_to(self.buffer.len() + READ_SIZE);
            }
        }
        self.buffer.reserve(READ_SIZE);
        &mut self.buffer
    }

    /// The next whole text, or `None` when more bytes are needed.
    pub fn next_text(&mut self) -> Result<Option<&[u8]>, FrameError> {
        if self.scan.depth == 0 && !self.find_start()? {
            return Ok(None);
        }
        let end = self.find_end()?;
        // The limit holds for what came at once as well as for what is still coming.
        if end.unwrap_or(self.scanned) - self.start > self.limits.size {
            return Err(FrameError::TooLarge(self.limits.size));
        }
        Ok(end.map(|end| {
            let text = self.start..end;
            self.start = end;
            &self.buffer[text]
        }))
    }

    /// To be asked at the end of the stream: a text that has begun is an error, silence between texts is not.
    pub fn finish(&self) -> Result<(), FrameError> {
        match self.scan.depth {
            0 => Ok(()),
            _ => Err(FrameError::Truncated(self.buffer.len() - self.start)),
        }
    }

    /// Skips white space to the `{` that opens the next text.
    fn find_start(&mut self) -> Result<bool, FrameError> {
        let rest = &self.buffer[self.start..];
        let Some(skip) = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) else {
            self.start = self.buffer.len();
            self.scanned = self.start;
            return Ok(false);
        };
        if rest[skip] != b'{' {
            return Err(FrameError::NotAnObject(beginning(&rest[skip..])));
        }
        self.start += skip;
        self.scanned = self.start + 1;
        self.scan = Scan { depth: 1, ..Scan::default() };
        Ok(true)
    }

    /// Goes on from `scanned` to the bracket that closes the text.
    fn find_end(&mut self) -> Result<Option<usize>, FrameError> {
        let end = self.scan.advance(&self.buffer[self.scanned..], self.limits.depth);
        let end = end.map_err(|TooDeep| FrameError::TooDeep(self.limits.depth))?.map(|length| self.scanned + length);
        self.scanned = end.unwrap_or(self.buffer.len());
        Ok(end)
    }
}

/// Follows brackets and strings, nothing more.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Brackets that are open.
    depth: usize,
    in_string: bool,
    /// The next byte follows a backslash.
    escaped: bool,
}

/// More brackets are open than are allowed.
#[derive(Debug)]
pub(crate) struct TooDeep;

impl Scan {
    /// Follows the bytes until all brackets are closed, and tells how many bytes that takes; or to their end.
    pub(crate) fn advance(&mut self, bytes: &[u8], most: usize) -> Result<Option<usize>, TooDeep> {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'"' => self.in_string = !self.in_string,
                b'\\' if self.in_string => self.escaped = true,
                b'{' | b'[' if !self.in_string => {
                    self.depth += 1;
                    if self.depth > most {
                        return Err(TooDeep);
                    }
                }
                b'}' | b']' if !self.in_string => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok(Some(at + 1));
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(pieces: &[&[u8]], limits: Limits) -> Result<Vec<String>, FrameError> {
        let mut framer = Framer::new(limits);
        let mut texts = Vec::new();
        for piece in pieces {
            framer.space().extend_from_slice(piece);
            while let Some(text) = framer.next_text()? {
                texts.push(String::from_utf8_lossy(text).into_owned());
            }
        }
        framer.finish().map(|()| texts)
    }

    #[test]
    fn several_texts_in_one_read() {
        let texts = cut(&[b"{\"a\":1}{\"b\":[{}]}\n \t{}"], Limits::default()).unwrap();
        assert_eq!(texts, ["{\"a\":1}", "{\"b\":[{}]}", "{}"]);
    }

    #[test]
    fn brackets_quotes_and_backslashes_inside_strings_are_text() {
        let tricky = r#"{"a":"}{][\"","b\\":"\\","c":"\u007b"}"#;
        assert_eq!(cut(&[tricky.as_bytes(), b"{}"], Limits::default()).unwrap(), [tricky, "{}"]);
    }

    #[test]
    fn a_message_cut_at_every_place_is_the_same_message() {
        let stream = "{\"a\":\"\\\"}é😀\\\\\",\"b\":[1,{\"c\":\"{\"}]} {\"d\":\"\\\\\\\"\"}".as_bytes();
        let whole = cut(&[stream], Limits::default()).unwrap();
        assert_eq!(whole.len(), 2);
        for first in 0..stream.len() {
            for second in first..stream.len() {
                let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
                assert_eq!(cut(&pieces, Limits::default()).unwrap(), whole, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn anything_but_an_object_is_refused() {
        let begins = |how: &str| Err(FrameError::NotAnObject(how.into()));
        assert_eq!(cut(&[b"  [1]"], Limits::default()), begins("\"[1]\""));
        assert_eq!(cut(&[b"{} HTTP/1.1 400\r\n"], Limits::default()), begins(r#""HTTP/1.1 400\r\n""#));
        assert_eq!(cut(&[b"\x16\x03\x1b\xff"], Limits::default()), begins(r#""\x16\x03\x1b\xff""#));
        assert_eq!(cut(&[&[b'x'; 1000]], Limits::default()), begins(&format!("\"{}\"…", "x".repeat(SHOWN))));
    }

    #[test]
    fn a_text_beyond_the_limits_is_refused() {
        let limits = Limits { size: 20, depth: 3 };
        assert!(cut(&[b"{\"a\":[{}]}"], limits).is_ok());
        assert_eq!(cut(&[b"{\"a\":[{\"b\":[]}]}"], limits), Err(FrameError::TooDeep(3)));
        assert_eq!(cut(&[b"{\"a\":\"123456789012\"}"], limits).unwrap().len(), 1, "exactly 20 bytes");
        assert_eq!(cut(&[b"{\"a\":\"1234567890123\"}"], limits), Err(FrameError::TooLarge(20)));
        assert_eq!(cut(&[b"{\"a\":\"", b"123456789012345"], limits), Err(FrameError::TooLarge(20)), "before its end");
    }

    #[test]
    fn a_stream_that_ends_inside_a_text_says_so() {
        assert_eq!(cut(&[b"{} {\"a\":"], Limits::default()), Err(FrameError::Truncated(5)));
        assert!(cut(&[b"{} \n"], Limits::default()).is_ok());
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![any::<String>().prop_map(Into::into), any::<i64>().prop_map(Into::into)];
        let tree = leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::hash_map(any::<String>(), inner, 0..4)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        });
        prop::collection::hash_map(any::<String>(), tree, 0..4)
            .prop_map(|members| serde_json::Value::Object(members.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn any_messages_cut_anywhere_come_out_whole(
            messages in prop::collection::vec((any_json(), "[ \t\r\n]{0,3}"), 1..5),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let stream: String = messages.iter().map(|(json, gap)| format!("{json}{gap}")).collect();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            places.extend([0, stream.len()]);
            places.sort_unstable();
            let pieces: Vec<&[u8]> = places.windows(2).map(|w| &stream.as_bytes()[w[0]..w[1]]).collect();
            let texts = cut(&pieces, Limits::default()).unwrap();
            let expected: Vec<String> = messages.iter().map(|(json, _)| json.to_string()).collect();
            prop_assert_eq!(texts, expected);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = cut(&[&bytes], Limits { size: 64, depth: 4 }).is_ok();
        }
    }
}
