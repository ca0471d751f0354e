//! Reads values: tokens, atoms, sets, maps and ranges.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::error::{MAX_RANGE, NearMisses, Problem};
use super::names::nearest;
use crate::print::Word;
use crate::schema::{AtomicType, BaseType, ColumnType};
use crate::value::{Atom, NamedUuid, Value};

fn is_delimiter(c: char) -> bool {
    matches!(c, ':' | '=' | ',' | ' ' | '[' | ']' | '{' | '}' | '!' | '<' | '>')
}

/// What C's `isspace` takes for white space.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

fn skip_space(text: &str) -> &str {
    text.trim_start_matches(is_space)
}

/// Takes one token off the front: up to a delimiter that is neither quoted nor behind a backslash. Quotes stay in the
/// token wherever they stand, and so do the backslashes inside of them.
pub(super) fn token(rest: &mut &str) -> Result<String, Problem> {
    let whole = *rest;
    let mut token = String::new();
    let mut quoted = false;
    let mut chars = whole.chars();
    loop {
        *rest = chars.as_str();
        match chars.next() {
            None => break,
            Some('\\') => {
                if quoted {
                    token.push('\\');
                }
                token.push(chars.next().ok_or_else(|| Problem::BackslashAtEnd(whole.to_owned()))?);
            }
            Some(c) if is_delimiter(c) && !quoted => break,
            Some(c) => {
                token.push(c);
                quoted ^= c == '"';
            }
        }
    }
    if quoted { Err(Problem::OpenQuote(whole.to_owned())) } else { Ok(token) }
}

// ---- values ----

/// Reads the value of a whole column.
pub(super) fn whole(ty: &ColumnType, text: &str) -> Result<Value, Problem> {
    let (open, close) = if ty.is_map() { ('{', '}') } else { ('[', ']') };
    let mut rest = skip_space(text);
    if rest.is_empty() {
        return Err(Problem::Nothing(if ty.is_map() {
            "\"{}\" to specify the empty map"
        } else {
            "\"[]\" to specify the empty set"
        }));
    }
    let inside = rest.strip_prefix(open);
    rest = inside.map_or(rest, skip_space);
    let bracketed = inside.is_some();

    // Duplicates are only complained about when the count is right.
    let mut count = 0u64;
    let mut elements = BTreeSet::new();
    let mut pairs = BTreeMap::new();
    loop {
        match rest.chars().next() {
            None => break,
            Some(c) if bracketed && c == close => break,
            Some(c) if is_delimiter(c) => return Err(Problem::Unexpected(text.to_owned(), c, ty.to_string())),
            Some(_) => {}
        }
        let here = rest;
        let word = token(&mut rest)?;
        let range = range(&ty.key, &word)?;
        match (&ty.value, range) {
            (None, Some((first, last))) => {
                count += last.abs_diff(first) + 1;
                elements.extend((first..=last).map(Atom::Integer));
            }
            (None, None) => {
                count += 1;
                elements.insert(atom(&ty.key, &word)?);
            }
            (Some(value_type), range) => {
                let key = if range.is_none() { Some(atom(&ty.key, &word)?) } else { None };
                let after = skip_space(rest);
                let Some(value) = after.strip_prefix('=') else {
                    let found = after.chars().next().map(String::from).unwrap_or_default();
                    return Err(Problem::NoEquals(here.to_owned(), found));
                };
                rest = skip_space(value);
                let value = atom(value_type, &token(&mut rest)?)?;
                count += 1;
                pairs.insert(key.ok_or(Problem::RangeAsKey(word))?, value);
            }
        }
        rest = skip_space(rest);
        rest = rest.strip_prefix(',').map_or(rest, skip_space);
    }
    if bracketed {
        match rest.strip_prefix(close).map(skip_space) {
            None => return Err(Problem::Unclosed(text.to_owned(), close)),
            Some("") => {}
            Some(_) => return Err(Problem::Trailing(text.to_owned(), close)),
        }
    }

    let noun = if ty.is_map() { "pair(s)" } else { "value(s)" };
    if count < ty.min {
        return Err(Problem::TooFew(text.to_owned(), count, noun, ty.min));
    }
    if let Some(max) = ty.max.filter(|max| count > *max) {
        return Err(Problem::TooMany(text.to_owned(), count, noun, max));
    }
    if count > (elements.len() + pairs.len()) as u64 {
        let what = if ty.is_map() { "map contains duplicate key" } else { "set contains duplicate value" };
        return Err(Problem::Duplicate(text.to_owned(), what));
    }
    Ok(if ty.is_map() { Value::Map(pairs) } else { Value::set(elements) })
}

/// Reads `A-B`, if it is that: both ends in what the column allows.
fn range(base: &BaseType, text: &str) -> Result<Option<(i64, i64)>, Problem> {
    if base.atomic != AtomicType::Integer {
        return Ok(None);
    }
    let Some((first, tail)) = leading_integer(text) else {
        return Ok(None);
    };
    let Some((last, "")) = tail.strip_prefix('-').and_then(leading_integer) else {
        return Ok(None);
    };
    if last < first {
        return Err(Problem::RangeBackwards(text.to_owned()));
    }
    check(base, &Atom::Integer(first))?;
    check(base, &Atom::Integer(last))?;
    if last.abs_diff(first) >= MAX_RANGE {
        return Err(Problem::RangeTooBig(first, last));
    }
    Ok(Some((first, last)))
}

/// Reads one atom, that is all of `text`.
pub(super) fn atom(base: &BaseType, text: &str) -> Result<Atom, Problem> {
    let owned = || text.to_owned();
    let atom = match base.atomic {
        AtomicType::Integer => match leading_integer(text) {
            Some((number, "")) => Atom::Integer(number),
            _ => return Err(Problem::NotAnInteger(owned())),
        },
        AtomicType::Real => match skip_space(text).parse::<f64>() {
            // Adding zero turns -0, which JSON does not know in OVSDB, into 0.
            Ok(number) if number.is_finite() => Atom::Real(number + 0.0),
            _ => return Err(Problem::NotAReal(owned())),
        },
        AtomicType::Boolean => match text {
            "true" | "yes" | "on" | "1" => Atom::Boolean(true),
            "false" | "no" | "off" | "0" => Atom::Boolean(false),
            _ => return Err(Problem::NotABoolean(owned())),
        },
        AtomicType::String => Atom::String(string(text)?),
        AtomicType::Uuid => match text.parse() {
            Ok(uuid) => Atom::Uuid(uuid),
            Err(_) if text.starts_with('@') => Atom::NamedUuid(NamedUuid(owned().into())),
            Err(_) => return Err(Problem::NotAUuid(owned())),
        },
    };
    check(base, &atom)?;
    Ok(atom)
}

/// What C's `strtoll` takes for a decimal number, and what follows it.
fn leading_integer(text: &str) -> Option<(i64, &str)> {
    let text = skip_space(text);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let tail = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = text.strip_suffix(tail)?.parse().ok()?;
    Some((number, tail))
}

fn string(text: &str) -> Result<String, Problem> {
    let text_is = |problem: String| Problem::Quoting(text.to_owned(), problem);
    if text.is_empty() {
        return Err(Problem::EmptyString);
    }
    if text.contains('\0') {
        return Err(Problem::NullByte);
    }
    let Some(inside) = text.strip_prefix('"') else {
        return Ok(text.to_owned());
    };
    let Some(inside) = inside.strip_suffix('"') else {
        return Err(text_is("missing quote at end of quoted string".to_owned()));
    };

    let mut string = String::new();
    let mut lone_surrogate = None;
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '"' => return Err(text_is("quoted string may not include unescaped \"".to_owned())),
            '\\' => match chars.next() {
                None => return Err(text_is("quoted string may not end with backslash".to_owned())),
                Some('u') => match escaped_utf16(&mut chars).map_err(|problem| text_is(problem.to_owned()))? {
                    Ok(c) => c,
                    Err(surrogate) => {
                        lone_surrogate.get_or_insert(surrogate);
                        continue;
                    }
                },
                Some('b') => '\x08',
                Some('f') => '\x0c',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(c @ ('"' | '\\' | '/')) => c,
                Some(c) => return Err(text_is(format!("bad escape \\{c}"))),
            },
            c => c,
        };
        string.push(c);
    }
    match lone_surrogate {
        // The second of the bytes that ovs-vsctl would have stored for it; the first is always 0xed.
        Some(surrogate) => Err(Problem::NotUtf8(0x80 | (surrogate >> 6) & 0x3f)),
        None => Ok(string),
    }
}

/// Reads what follows `\u`, the second half of a surrogate pair included. A second half without a first one is no
/// error of the escape but of the string as a whole.
fn escaped_utf16(chars: &mut std::str::Chars<'_>) -> Result<Result<char, u32>, &'static str> {
    let unit = |chars: &mut std::str::Chars<'_>| {
        let rest = chars.as_str();
        if rest.len() < 4 {
            return Err("quoted string ends within \\u escape");
        }
        // All four have to be digits: the library would also take a sign.
        let digits = rest.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
            None => Err("malformed \\u escape"),
            Some(0) => Err("null bytes not supported in quoted strings"),
            Some(unit) => {
                *chars = rest[4..].chars();
                Ok(unit)
            }
        }
    };
    let first = unit(chars)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Ok(char::from_u32(first.into()).ok_or(first.into()));
    }
    if chars.next() != Some('\\') || chars.next() != Some('u') {
        return Err("malformed escaped surrogate pair");
    }
    let second = unit(chars)?;
    match char::decode_utf16([first, second]).next() {
        Some(Ok(c)) => Ok(Ok(c)),
        _ => Err("second half of escaped surrogate pair is not trailing surrogate"),
    }
}

/// Checks an atom against what its column allows.
fn check(base: &BaseType, atom: &Atom) -> Result<(), Problem> {
    if let Some(allowed) = &base.allowed
        && !allowed.contains(atom)
    {
        let words: Vec<String> = allowed.iter().map(|atom| Word(atom).to_string()).collect();
        let nearest = match atom {
            Atom::String(text) => nearest(text, &words),
            _ => NearMisses::default(),
        };
        return Err(Problem::NotAllowed(Word(atom).to_string(), words.join(", "), nearest));
    }
    let outside = match atom {
        Atom::Integer(number) => outside(number, &base.min_integer, &base.max_integer),
        Atom::Real(number) => outside(number, &base.min_real, &base.max_real),
        Atom::String(text) => {
            let length = text.chars().count() as u64;
            match (base.min_length, base.max_length) {
                (Some(min), _) if length < min => {
                    Some(format!("\"{text}\" length {length} is less than minimum allowed length {min}"))
                }
                (_, Some(max)) if length > max => {
                    Some(format!("\"{text}\" length {length} is greater than maximum allowed length {max}"))
                }
                _ => None,
            }
        }
        Atom::Boolean(_) | Atom::Uuid(_) | Atom::NamedUuid(_) => None,
    };
    outside.map_or(Ok(()), |text| Err(Problem::OutOfBounds(text)))
}

fn outside<T: PartialOrd + fmt::Display>(number: &T, min: &Option<T>, max: &Option<T>) -> Option<String> {
    if min.as_ref().is_none_or(|min| number >= min) && max.as_ref().is_none_or(|max| number <= max) {
        return None;
    }
    match (min, max) {
        (Some(min), Some(max)) => Some(format!("{number} is not in the valid range {min} to {max} (inclusive)")),
        (Some(min), None) => Some(format!("{number} is less than minimum allowed value {min}")),
        (None, Some(max)) => Some(format!("{number} is greater than maximum allowed value {max}")),
        (None, None) => None,
    }
}

// ---- errors ----
