//! How the host agent reads what a plugin prints: its rules, written anew from what was observed of it.
//!
//! The agent reads each of the plugin's two pipes at most 32 KiB at a time and looks at every piece by itself. All it
//! remembers from one read to the next is an open block, which is how an answer gets lost.

/// The most that the agent takes in one read.
pub const READ_MAX: usize = 32 * 1024;

/// What pipes hand out whole, except for the last piece of what was written.
pub const PAGE: usize = 4096;

const TERMINATOR: &[u8] = b"\n:::\n";

/// Levels that make a message the result: JSON, YAML, TOML, HRD, job.
const RESULT_LEVELS: [u64; 5] = [20, 21, 22, 23, 30];

/// A piece of output as the agent understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub level: u64,
    pub data: Vec<u8>,
}

/// The agent's end of one pipe.
pub struct Reader {
    default_level: u64,
    open: Option<Message>,
    messages: Vec<Message>,
}

impl Reader {
    /// `default_level` is that of text without a header: 1 for stdout, 2 for stderr.
    pub fn new(default_level: u64) -> Reader {
        Reader { default_level, open: None, messages: Vec::new() }
    }

    /// Takes what one read gave.
    pub fn read(&mut self, piece: &[u8]) {
        assert!(piece.len() <= READ_MAX, "the agent does not read {} bytes at once", piece.len());
        let mut rest = piece;
        // To the agent, a read begins like a line: the line end of a terminator may have been in the read before.
        if let Some(block) = self.open.take() {
            rest = match rest.strip_prefix(&TERMINATOR[1..]) {
                Some(behind) => self.close(block, behind),
                None => self.continue_block(block, rest),
            };
        }
        while !rest.is_empty() {
            rest = match header(rest) {
                Some((level, true, data)) => self.continue_block(Message { level, data: Vec::new() }, data),
                Some((level, false, text)) => self.line(level, text),
                None => self.line(self.default_level, rest),
            };
        }
    }

    /// The pipe has ended: an open block is dropped.
    pub fn finish(self) -> Vec<Message> {
        self.messages
    }

    /// Reads on inside of a block, and gives what is left behind its end.
    fn continue_block<'a>(&mut self, mut block: Message, rest: &'a [u8]) -> &'a [u8] {
        match rest.windows(TERMINATOR.len()).position(|window| window == TERMINATOR) {
            Some(end) => {
                block.data.extend_from_slice(&rest[..end]);
                self.close(block, &rest[end + TERMINATOR.len()..])
            }
            None => {
                block.data.extend_from_slice(rest);
                self.open = Some(block);
                &[]
            }
        }
    }

    /// Ends a block. One character behind it is no longer looked at.
    fn close<'a>(&mut self, block: Message, behind: &'a [u8]) -> &'a [u8] {
        self.messages.push(block);
        match behind {
            [] => &[],
            [skipped, rest @ ..] => {
                self.messages.push(Message { level: self.default_level, data: vec![*skipped] });
                rest
            }
        }
    }

    /// Takes a message up to the end of the line, or of the read.
    fn line<'a>(&mut self, level: u64, text: &'a [u8]) -> &'a [u8] {
        let end = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |end| end + 1);
        self.messages.push(Message { level, data: text[..end].to_vec() });
        &text[end..]
    }
}

/// The level, whether a block begins, and what comes after the header.
fn header(text: &[u8]) -> Option<(u64, bool, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let level = std::str::from_utf8(&text[..digits]).unwrap();
    // What has more digits than a number holds is over any level there is.
    let level = if digits == 0 { return None } else { level.parse().unwrap_or(u64::MAX) };
    let rest = text[digits..].strip_prefix(b"::")?;
    match rest.strip_prefix(b":") {
        Some(data) => Some((level, true, data)),
        None => Some((level, false, rest)),
    }
}

/// What the agent takes for the command's result, from the messages of both pipes.
pub fn result(messages: &[Message]) -> Option<&Message> {
    messages.iter().rev().find(|message| RESULT_LEVELS.contains(&message.level))
}

/// The result of what came from stdout in these pieces, and nothing from stderr.
pub fn result_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<Message> {
    let mut reader = Reader::new(1);
    for piece in pieces {
        reader.read(piece);
    }
    result(&reader.finish()).cloned()
}

/// What was written in one piece, as reads that end at the given places (or sooner, at the most that one read takes).
pub fn cut<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for end in places.iter().copied().chain([bytes.len()]) {
        pieces.extend(bytes[start..end].chunks(READ_MAX));
        start = end;
    }
    pieces
}
