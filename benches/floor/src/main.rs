//! The least that any process can do: connect, send one prebuilt text, wait for the answer, print it.
//!
//! `floor SOCKET FILE` sends the bytes of FILE, which hold a `transact` request with the id 1. If its reply tells a
//! `next_cfg`, the text must have asked to monitor `cur_cfg` as well, and the program waits until that has caught up.
//! It decides nothing, knows no deadline and understands no error, so nothing that does can be faster.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(socket), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err(std::io::Error::other("usage: floor SOCKET FILE"));
    };
    let text = std::fs::read(file)?;
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(&text)?;

    let mut heard = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let length = stream.read(&mut piece)?;
        if length == 0 {
            return Err(std::io::Error::other("the server closed the connection"));
        }
        heard.extend_from_slice(&piece[..length]);
        // The reply to the transaction comes whole before anything that follows from it.
        if !contains(&heard, b"\"id\":1") {
            continue;
        }
        if contains(&heard, b"\"details\"") {
            return Err(std::io::Error::other(String::from_utf8_lossy(&heard).into_owned()));
        }
        match numbers(&heard, b"\"next_cfg\":").max() {
            Some(target) if numbers(&heard, b"\"cur_cfg\":").all(|reached| reached < target) => {}
            _ => break,
        }
    }
    std::io::stdout().write_all(b"20:::null\n\n:::\n")
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The numbers behind a key, wherever it stands.
fn numbers(text: &[u8], key: &[u8]) -> impl Iterator<Item = u64> {
    let places = text.windows(key.len()).enumerate().filter(move |(_, window)| *window == key);
    places.filter_map(move |(at, _)| {
        let digits = text[at + key.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold(None, |number: Option<u64>, digit| {
            number.unwrap_or_default().checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
    })
}
