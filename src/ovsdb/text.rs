//! The `COLUMN[:KEY]=VALUE` notation of ovs-vsctl(8), typed by the server's own schema.
//!
//! People and scripts know this notation with all its corners, so it is followed to the letter, and so are the texts
//! of its errors: each of ours begins with what ovs-vsctl would say, and goes on to say where and what is accepted.
//! `tests/notation_oracle.rs` compares both with the installed ovs-vsctl.
//!
//! Three things differ. A range as a key of a map is refused (ovs-vsctl crashes), `@NAME` is always refused (there is
//! no command that would create such a row), and hexadecimal, infinite and undefined reals are (JSON can't hold the
//! latter two, and no column of Open vSwitch is real).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::operation::Row;
use super::schema::{AtomicType, BaseType, ColumnSchema, ColumnType, DatabaseSchema, TableSchema};
use super::value::{Atom, NamedUuid, Value};

/// The most numbers that `A-B` may stand for.
const MAX_RANGE: u64 = 4096;

/// Longer names are not looked at for near misses.
const MAX_NEAR_MISS: usize = 64;

/// One `COLUMN[:KEY]=VALUE`, understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment<'s> {
    /// The column, as the schema spells it.
    pub column: &'s str,
    /// Its schema; whether it may be written at all depends on whether the row is new, so that is for the caller.
    pub schema: &'s ColumnSchema,
    /// The key of a map that is added or overwritten; without it, the whole column is replaced.
    pub key: Option<Atom>,
    /// The value of the key or of the column.
    pub value: Value,
}

/// Finds a table by the name a person gave it: in any case, with `-` for `_`, or abbreviated.
pub fn table<'s>(schema: &'s DatabaseSchema, name: &str) -> Result<(&'s str, &'s TableSchema), TextError> {
    find(&schema.tables, name).map_err(|matches| match matches.is_empty() {
        true => TextError::UnknownTable { name: name.to_owned(), nearest: nearest(name, schema.tables.keys()) },
        false => TextError::AmbiguousTable { name: name.to_owned(), matches },
    })
}

/// Finds a column in the same way; `table_name` is for the error.
pub fn column<'s>(
    table_name: &str,
    table: &'s TableSchema,
    name: &str,
) -> Result<(&'s str, &'s ColumnSchema), TextError> {
    find(&table.columns, name).map_err(|matches| {
        let (table_name, name) = (table_name.to_owned(), name.to_owned());
        match matches.is_empty() {
            true => {
                let nearest = nearest(&name, table.columns.keys());
                TextError::UnknownColumn { table: table_name, name, nearest }
            }
            false => TextError::AmbiguousColumn { table: table_name, name, matches },
        }
    })
}

/// Reads one `COLUMN[:KEY]=VALUE`.
pub fn assignment<'s>(table_name: &str, table: &'s TableSchema, argument: &str) -> Result<Assignment<'s>, TextError> {
    let malformed = |problem| TextError::Argument { table: table_name.to_owned(), problem };
    let mut rest = argument;
    let name = token(&mut rest).map_err(malformed)?;
    if name.is_empty() {
        return Err(malformed(Problem::NoColumn(argument.to_owned())));
    }
    let (name, schema) = column(table_name, table, &name)?;
    let mut place = Place { table: table_name, column: name, key: None, value: None };
    let expectation = schema.ty.expectation();

    let key = match rest.strip_prefix(':') {
        None => None,
        Some(after) => {
            rest = after;
            Some(token(&mut rest).map_err(|problem| place.refuse(problem, expectation))?)
        }
    };
    place.key = key.as_deref();
    let Some(text) = rest.strip_prefix('=').filter(|text| !text.is_empty()) else {
        return Err(place.refuse(Problem::NoValue(argument.to_owned()), expectation));
    };
    place.value = Some(text);

    let (key, value) = match (&key, &schema.ty.value) {
        (None, _) => {
            let value = whole(&schema.ty, text).map_err(|problem| place.refuse_column(problem, &schema.ty))?;
            (None, value)
        }
        (Some(_), None) => {
            let expected = format_args!("no key and {expectation}").to_string();
            return Err(place.refuse(Problem::NotAMap(name.to_owned()), expected));
        }
        (Some(key), Some(value_type)) => {
            let key_type = &schema.ty.key;
            let key = atom(key_type, key).map_err(|problem| place.refuse(problem, format!("{key_type} as key")))?;
            // Not split into tokens: whatever follows the first "=" is the value, down to the last blank.
            let value = atom(value_type, text).map_err(|problem| place.refuse(problem, value_type))?;
            (Some(key), Value::Atom(value))
        }
    };

    // Last, as ovs-vsctl only finds out when all else is in order.
    let unknown = |atom: &Atom| match atom {
        Atom::NamedUuid(name) => Some(Problem::NeverCreated(name.0.clone().into_owned())),
        _ => None,
    };
    let pairs = value.as_map().into_iter().flatten().flat_map(|(key, value)| [key, value]);
    if let Some(problem) = key.iter().chain(value.atoms()).chain(pairs).find_map(unknown) {
        return Err(place.refuse(problem, expectation));
    }
    Ok(Assignment { column: name, schema, key, value })
}

/// The new values of the columns that are assigned to, from left to right; `current` holds what the row has, and a
/// column missing in it has its default.
pub fn apply<'s>(current: &Row, assignments: impl IntoIterator<Item = Assignment<'s>>) -> BTreeMap<&'s str, Value> {
    let mut changed = BTreeMap::new();
    for Assignment { column, schema, key, value } in assignments {
        let (Some(key), Value::Atom(value)) = (key, &value) else {
            changed.insert(column, value);
            continue;
        };
        let old = || current.get(column).cloned().unwrap_or_else(|| schema.ty.default_value());
        if let Value::Map(pairs) = changed.entry(column).or_insert_with(old) {
            pairs.insert(key, value.clone());
        }
    }
    changed
}

/// A value as `ovs-vsctl get` prints it, which is also how it can be given to `COLUMN=VALUE`.
pub fn to_text(value: &Value) -> String {
    struct Text<'a>(&'a Value);

    impl fmt::Display for Text<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.0 {
                Value::Atom(atom) => Word(atom).fmt(f),
                Value::Set(atoms) => {
                    f.write_str("[")?;
                    write_list(f, atoms)?;
                    f.write_str("]")
                }
                Value::Map(pairs) => {
                    f.write_str("{")?;
                    for (place, (key, value)) in pairs.iter().enumerate() {
                        let comma = if place > 0 { ", " } else { "" };
                        write!(f, "{comma}{}={}", Word(key), Word(value))?;
                    }
                    f.write_str("}")
                }
            }
        }
    }

    Text(value).to_string()
}

/// Atoms, with commas between them.
pub(super) fn write_list<'a>(f: &mut fmt::Formatter<'_>, atoms: impl IntoIterator<Item = &'a Atom>) -> fmt::Result {
    for (place, atom) in atoms.into_iter().enumerate() {
        let comma = if place > 0 { ", " } else { "" };
        write!(f, "{comma}{}", Word(atom))?;
    }
    Ok(())
}

/// An atom in the notation: text that is not a plain word stands in quotes.
struct Word<'a>(&'a Atom);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Atom::Integer(number) => number.fmt(f),
            Atom::Real(number) => number.fmt(f),
            Atom::Boolean(truth) => truth.fmt(f),
            Atom::Uuid(uuid) => uuid.fmt(f),
            Atom::NamedUuid(name) => f.write_str(&name.0),
            Atom::String(text) if is_word(text) => f.write_str(text),
            Atom::String(text) => serde_json::Value::from(text.as_str()).fmt(f),
        }
    }
}

fn is_word(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let goes_on_well = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    starts_well && goes_on_well && text != "true" && text != "false"
}

// ---- names ----

/// The one entry that a name stands for: the exact one, else one that differs in case and `-` for `_`, else the only
/// one that begins with it. The error lists all that begin with it.
fn find<'s, T>(entries: &'s BTreeMap<String, T>, name: &str) -> Result<(&'s str, &'s T), Vec<String>> {
    if let Some((name, entry)) = entries.get_key_value(name) {
        return Ok((name, entry));
    }
    let wanted = fold(name);
    let mut found = Vec::new();
    for (name, entry) in entries {
        let name_folded = fold(name);
        if name_folded == wanted {
            return Ok((name, entry));
        }
        if !wanted.is_empty() && name_folded.starts_with(&wanted) {
            found.push((name.as_str(), entry));
        }
    }
    match found[..] {
        [only] => Ok(only),
        _ => Err(found.into_iter().map(|(name, _)| name.to_owned()).collect()),
    }
}

fn fold(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

/// The names that someone may have meant: a slip of the keyboard away, else containing the word or contained in it.
fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a String>) -> NearMisses {
    let wanted = fold(name.trim_matches('"'));
    let mut best = (usize::MAX, Vec::new());
    if wanted.len() <= MAX_NEAR_MISS {
        let slips = (wanted.len() / 3).min(2);
        for candidate in candidates {
            let folded = fold(candidate);
            let contained = |short: &str, long: &str| short.len() >= 3 && long.contains(short);
            let rank = match strsim::osa_distance(&wanted, &folded) {
                distance if distance <= slips => distance,
                _ if contained(&wanted, &folded) || contained(&folded, &wanted) => slips + 1,
                _ => continue,
            };
            if rank < best.0 {
                best = (rank, Vec::new());
            }
            if rank == best.0 {
                best.1.push(candidate.clone());
            }
        }
    }
    // A long list helps nobody.
    best.1.truncate(4);
    NearMisses(best.1)
}

// ---- tokens ----

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
fn token(rest: &mut &str) -> Result<String, Problem> {
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
fn whole(ty: &ColumnType, text: &str) -> Result<Value, Problem> {
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
fn atom(base: &BaseType, text: &str) -> Result<Atom, Problem> {
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

/// Why a text is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// No table is called that.
    #[error("unknown table \"{name}\"{nearest}")]
    UnknownTable {
        /// The name that was given.
        name: String,
        /// Names like it.
        nearest: NearMisses,
    },
    /// Several tables begin with it.
    #[error("\"{name}\" matches multiple table names: {}", matches.join(", "))]
    AmbiguousTable {
        /// The name that was given.
        name: String,
        /// The tables.
        matches: Vec<String>,
    },
    /// No column of the table is called that.
    #[error("{table} does not contain a column whose name matches \"{name}\"{nearest}")]
    UnknownColumn {
        /// The table.
        table: String,
        /// The name that was given.
        name: String,
        /// Names like it.
        nearest: NearMisses,
    },
    /// Several columns begin with it.
    #[error("{table} contains more than one column whose name matches \"{name}\": {}", matches.join(", "))]
    AmbiguousColumn {
        /// The table.
        table: String,
        /// The name that was given.
        name: String,
        /// The columns.
        matches: Vec<String>,
    },
    /// The column can only be set while its row is new.
    #[error("cannot modify read-only column {column} in table {table}")]
    ReadOnly {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The text breaks off before it names a column.
    #[error("{problem} (table {table}: expected COLUMN=VALUE or COLUMN:KEY=VALUE)")]
    Argument {
        /// The table.
        table: String,
        /// What is wrong.
        problem: Problem,
    },
    /// The column does not take that value.
    #[error(transparent)]
    Value(Box<ValueError>),
}

/// Why a column does not take a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} ({table}.{column}{}: expected {expected})", key.as_ref().map(|key| format!(":{key}")).unwrap_or_default())]
pub struct ValueError {
    /// The table.
    pub table: String,
    /// The column, as the schema spells it.
    pub column: String,
    /// The key that was given.
    pub key: Option<String>,
    /// The value that was given, in full.
    pub value: Option<String>,
    /// What is wrong, in ovs-vsctl's words.
    pub problem: Problem,
    /// What would have been accepted.
    pub expected: String,
}

/// What is wrong with a text, as ovs-vsctl(8) says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It begins with a delimiter.
    #[error("{0}: missing column name")]
    NoColumn(String),
    /// Something stands between the column and `=`, or nothing after it.
    #[error("{0}: argument does not end in \"=\" followed by a value.")]
    NoValue(String),
    /// A quote is not closed.
    #[error("{0}: quoted string extends past end of argument")]
    OpenQuote(String),
    /// A backslash has nothing to protect.
    #[error("{0}: backslash at end of argument")]
    BackslashAtEnd(String),
    /// A key for a column without keys.
    #[error("cannot specify key to set for non-map column {0}")]
    NotAMap(String),
    /// Only white space.
    #[error("use {0}")]
    Nothing(&'static str),
    /// A delimiter where an element should begin.
    #[error("{0}: unexpected \"{1}\" parsing {2}")]
    Unexpected(String, char, String),
    /// A key without its value.
    #[error("{0}: syntax error at \"{1}\" expecting \"=\"")]
    NoEquals(String, String),
    /// A bracket is not closed.
    #[error("{0}: missing \"{1}\" at end of data")]
    Unclosed(String, char),
    /// Something follows the closing bracket.
    #[error("{0}: trailing garbage after \"{1}\"")]
    Trailing(String, char),
    /// Fewer elements than the column has at least.
    #[error("{0}: {1} {2} specified but the minimum number is {3}")]
    TooFew(String, u64, &'static str, u64),
    /// More elements than the column has at most.
    #[error("{0}: {1} {2} specified but the maximum number is {3}")]
    TooMany(String, u64, &'static str, u64),
    /// The same element or key twice.
    #[error("{0}: {1}")]
    Duplicate(String, &'static str),
    /// No integer.
    #[error("\"{0}\" is not a valid integer or range")]
    NotAnInteger(String),
    /// A range that ends before it begins.
    #[error("\"{0}\" is not a valid range. Range end cannot be before start.")]
    RangeBackwards(String),
    /// A range of too many numbers.
    #[error("constraint violation: Range \"{0}-{1}\" is too big. Maximum allowed size is {MAX_RANGE}.")]
    RangeTooBig(i64, i64),
    /// A range of keys; here ovs-vsctl crashes.
    #[error("\"{0}\" is a range, which cannot be the key of a map")]
    RangeAsKey(String),
    /// No real number.
    #[error("\"{0}\" is not a valid real number")]
    NotAReal(String),
    /// No boolean.
    #[error("\"{0}\" is not a valid boolean (use \"true\" or \"false\")")]
    NotABoolean(String),
    /// No UUID.
    #[error("\"{0}\" is not a valid UUID")]
    NotAUuid(String),
    /// `@NAME`, which stands for a row that another command creates.
    #[error("row id \"{0}\" is referenced but never created (e.g. with \"-- --id={0} create ...\")")]
    NeverCreated(String),
    /// No text at all where a string is needed.
    #[error("An empty string is not valid as input; use \"\" to represent the empty string")]
    EmptyString,
    /// Quotes or escapes that make no sense.
    #[error("{0}: {1}")]
    Quoting(String, String),
    /// A null character, which OVSDB can't hold (and which no argument of ovs-vsctl can contain).
    #[error("null bytes not supported in strings")]
    NullByte,
    /// The second half of a surrogate pair on its own.
    #[error("constraint violation: not a valid UTF-8 string: invalid UTF-8 sequence 0xed {0:#x}")]
    NotUtf8(u32),
    /// Not one of the few values that the column takes.
    #[error("constraint violation: {0} is not one of the allowed values ([{1}]){2}")]
    NotAllowed(String, String, NearMisses),
    /// A number too small or too great, a string too short or too long.
    #[error("constraint violation: {0}")]
    OutOfBounds(String),
}

/// Names that may have been meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NearMisses(pub Vec<String>);

impl fmt::Display for NearMisses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [] => Ok(()),
            [only] => write!(f, " (did you mean {only}?)"),
            [others @ .., last] => write!(f, " (did you mean {} or {last}?)", others.join(", ")),
        }
    }
}

impl TextError {
    /// The caller's row exists, and the column can't be changed any more.
    pub fn read_only(table: &str, column: &str) -> Self {
        TextError::ReadOnly { table: table.to_owned(), column: column.to_owned() }
    }

    /// The table at fault, or in which the fault is.
    pub fn table(&self) -> &str {
        match self {
            TextError::UnknownTable { name: table, .. } | TextError::AmbiguousTable { name: table, .. } => table,
            TextError::UnknownColumn { table, .. }
            | TextError::AmbiguousColumn { table, .. }
            | TextError::ReadOnly { table, .. }
            | TextError::Argument { table, .. } => table,
            TextError::Value(error) => &error.table,
        }
    }

    /// The column at fault, or in which the fault is.
    pub fn column(&self) -> Option<&str> {
        match self {
            TextError::UnknownTable { .. } | TextError::AmbiguousTable { .. } | TextError::Argument { .. } => None,
            TextError::UnknownColumn { name: column, .. } | TextError::AmbiguousColumn { name: column, .. } => {
                Some(column)
            }
            TextError::ReadOnly { column, .. } => Some(column),
            TextError::Value(error) => Some(&error.column),
        }
    }

    /// The key that the text names.
    pub fn key(&self) -> Option<&str> {
        self.value_error()?.key.as_deref()
    }

    /// The value in the text.
    pub fn value(&self) -> Option<&str> {
        self.value_error()?.value.as_deref()
    }

    fn value_error(&self) -> Option<&ValueError> {
        match self {
            TextError::Value(error) => Some(error),
            _ => None,
        }
    }
}

/// Where in a text we are, for its errors.
struct Place<'a> {
    table: &'a str,
    column: &'a str,
    key: Option<&'a str>,
    value: Option<&'a str>,
}

impl Place<'_> {
    fn refuse(&self, problem: Problem, expected: impl fmt::Display) -> TextError {
        TextError::Value(Box::new(ValueError {
            table: self.table.to_owned(),
            column: self.column.to_owned(),
            key: self.key.map(str::to_owned),
            value: self.value.map(str::to_owned),
            problem,
            expected: expected.to_string(),
        }))
    }

    /// For the value of a whole column, where the commonest mistake with strings is worth an explanation.
    fn refuse_column(&self, problem: Problem, ty: &ColumnType) -> TextError {
        let holds_strings =
            [Some(&ty.key), ty.value.as_ref()].into_iter().flatten().any(|base| base.atomic == AtomicType::String);
        let expectation = ty.expectation();
        match problem {
            Problem::Unexpected(..) | Problem::NoEquals(..) if holds_strings => self.refuse(
                problem,
                format_args!("{expectation}; a string with any of :=, []{{}}!<> in it must be \"quoted\""),
            ),
            problem => self.refuse(problem, expectation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const ID: &str = "11111111-2222-3333-4444-555555555555";

    fn schema() -> DatabaseSchema {
        serde_json::from_str(include_str!("../../tests/data/vswitch-8.3.1.ovsschema")).unwrap()
    }

    fn read(json: serde_json::Value) -> Value {
        serde_json::from_value(json).unwrap()
    }

    /// What becomes of a row in which `before` is all there is.
    fn set(
        schema: &DatabaseSchema,
        table: &str,
        before: &[(&str, serde_json::Value)],
        settings: &[&str],
    ) -> Result<BTreeMap<String, Value>, TextError> {
        let (name, table) = super::table(schema, table)?;
        let assignments: Result<Vec<_>, _> = settings.iter().map(|text| assignment(name, table, text)).collect();
        let before = before.iter().map(|(column, json)| (column.to_string().into(), read(json.clone()))).collect();
        Ok(apply(&before, assignments?).into_iter().map(|(column, value)| (column.to_owned(), value)).collect())
    }

    /// Table, settings that all do the same, the column that they write, and what it then holds.
    type Accepted = (&'static str, &'static [&'static str], &'static str, serde_json::Value);

    fn accepted(cases: Vec<Accepted>) {
        accepted_after(&[], cases);
    }

    fn accepted_after(before: &[(&str, serde_json::Value)], cases: Vec<Accepted>) {
        let schema = schema();
        for (table, settings, column, result) in cases {
            for setting in settings {
                let written = set(&schema, table, before, &[setting]);
                let expected = BTreeMap::from([(column.to_owned(), read(result.clone()))]);
                assert_eq!(written.as_ref(), Ok(&expected), "{table} {setting}");
            }
        }
    }

    /// Settings that are refused, with the words of ovs-vsctl.
    fn refused(table: &str, cases: &[(&str, &str)]) {
        let schema = schema();
        for (setting, words) in cases {
            match set(&schema, table, &[], &[setting]) {
                Ok(written) => panic!("{table} {setting} was accepted: {written:?}"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains(words), "{table} {setting}: {text:?} does not contain {words:?}");
                    assert!(text.contains(table), "{text:?} does not name the table");
                    let names_column = error.column().is_none_or(|column| text.contains(column));
                    assert!(names_column, "{text:?} does not name the column");
                }
            }
        }
    }

    fn map<const N: usize>(pairs: [(&str, &str); N]) -> serde_json::Value {
        json!(["map", pairs.as_slice()])
    }

    #[test]
    fn integers_may_be_written_in_all_the_ways_of_ovs_vsctl() {
        accepted(vec![
            (
                "Port",
                &["tag=5", "ta=5", "TAG=5", "tag=[5]", "tag= 5", "tag=5 ", "tag=5,", "tag=+5", "tag=5-5", "t\\ag=5"],
                "tag",
                json!(5),
            ),
            ("Port", &["tag=010"], "tag", json!(10)),
            ("Port", &["bond-updelay=100"], "bond_updelay", json!(100)),
            ("Port", &["bond_updelay=-1"], "bond_updelay", json!(-1)),
            ("Interface", &["mtu_request=1450"], "mtu_request", json!(1450)),
            ("Interface", &["mtu_request=70000"], "mtu_request", json!(70000)),
            ("Interface", &["mtu_request=[]"], "mtu_request", json!(["set", []])),
            ("Interface", &["cfm_mpid=9223372036854775807"], "cfm_mpid", json!(i64::MAX)),
            ("Interface", &["cfm_mpid=-9223372036854775808"], "cfm_mpid", json!(i64::MIN)),
            ("Interface", &["ifindex=5"], "ifindex", json!(5)),
            ("Interface", &["ofport=7"], "ofport", json!(7)),
            ("Queue", &["dscp=63"], "dscp", json!(63)),
            ("Queue", &["dscp=[]"], "dscp", json!(["set", []])),
            ("Controller", &["inactivity_probe=5000"], "inactivity_probe", json!(5000)),
        ]);
        accepted_after(&[("tag", json!(7))], vec![("Port", &["tag=[]"], "tag", json!(["set", []]))]);
        refused(
            "Port",
            &[
                ("tag", "tag: argument does not end in \"=\" followed by a value."),
                ("tag=", "tag=: argument does not end in \"=\" followed by a value."),
                ("tag!=5", "tag!=5: argument does not end in \"=\" followed by a value."),
                ("tag<5", "tag<5: argument does not end in \"=\" followed by a value."),
                ("tag[]=5", "tag[]=5: argument does not end in \"=\" followed by a value."),
                ("tag =5", "tag =5: argument does not end in \"=\" followed by a value."),
                ("tag:x=5", "cannot specify key to set for non-map column tag"),
                ("tag==5", "=5: unexpected \"=\" parsing set of up to 1 integers"),
                ("tag=5000", "constraint violation: 5000 is not in the valid range 0 to 4095 (inclusive)"),
                ("tag=4096", "constraint violation: 4096 is not in the valid range 0 to 4095 (inclusive)"),
                ("tag=-1", "constraint violation: -1 is not in the valid range 0 to 4095 (inclusive)"),
                ("tag=0x10", "\"0x10\" is not a valid integer or range"),
                ("tag=5.0", "\"5.0\" is not a valid integer or range"),
                ("tag=\"5\"", "\"\"5\"\" is not a valid integer or range"),
                ("tag=99999999999999999999", "\"99999999999999999999\" is not a valid integer or range"),
                ("tag=5,6", "5,6: 2 value(s) specified but the maximum number is 1"),
                ("tag=5,5", "5,5: 2 value(s) specified but the maximum number is 1"),
                ("tag=5-6", "5-6: 2 value(s) specified but the maximum number is 1"),
                ("tag=,5", ",5: unexpected \",\" parsing set of up to 1 integers"),
                ("tag=[5", "[5: missing \"]\" at end of data"),
                ("tag=[5]x", "[5]x: trailing garbage after \"]\""),
                ("bond_updelay=[]", "[]: 0 value(s) specified but the minimum number is 1"),
            ],
        );
        refused(
            "Interface",
            &[
                ("mtu_request=0", "constraint violation: 0 is less than minimum allowed value 1"),
                (
                    "ofport_request=65280",
                    "constraint violation: 65280 is not in the valid range 1 to 65279 (inclusive)",
                ),
                ("ingress_policing_rate=-1", "constraint violation: -1 is less than minimum allowed value 0"),
                ("cfm_mpid=9223372036854775808", "\"9223372036854775808\" is not a valid integer or range"),
            ],
        );
        refused("Queue", &[("dscp=64", "constraint violation: 64 is not in the valid range 0 to 63 (inclusive)")]);
        refused(
            "Mirror",
            &[
                ("output_vlan=0", "constraint violation: 0 is not in the valid range 1 to 4095 (inclusive)"),
                ("snaplen=13", "constraint violation: 13 is not in the valid range 14 to 65535 (inclusive)"),
            ],
        );
        refused(
            "Controller",
            &[("max_backoff=999", "constraint violation: 999 is less than minimum allowed value 1000")],
        );
        refused("Open_vSwitch", &[("cur_cfg=1,2", "1,2: 2 value(s) specified but the maximum number is 1")]);
    }

    #[test]
    fn sets_of_integers_take_lists_and_ranges() {
        accepted(vec![
            ("Port", &["trunks=1,2,3", "trunks=3,1,2", "trunks=1 2 3"], "trunks", json!(["set", [1, 2, 3]])),
            ("Port", &["trunks=[1,2]", "trunks=[1 2]", "trunks= [ 1 , 2 ] "], "trunks", json!(["set", [1, 2]])),
            ("Port", &["trunks=7"], "trunks", json!(7)),
            ("Port", &["trunks=1-3,7,9-10"], "trunks", json!(["set", [1, 2, 3, 7, 9, 10]])),
            ("Port", &["trunks=0-4095"], "trunks", json!(["set", (0..4096).collect::<Vec<_>>()])),
            ("Port", &["cvlans=10,20-22"], "cvlans", json!(["set", [10, 20, 21, 22]])),
            ("Bridge", &["flood_vlans=1-3"], "flood_vlans", json!(["set", [1, 2, 3]])),
            ("Bridge", &["flood_vlans=1,2,10-12"], "flood_vlans", json!(["set", [1, 2, 10, 11, 12]])),
            ("Interface", &["cfm_remote_mpids=-3--1"], "cfm_remote_mpids", json!(["set", [-3, -2, -1]])),
            ("Mirror", &["select_vlan=10,20-22"], "select_vlan", json!(["set", [10, 20, 21, 22]])),
        ]);
        let before = [("trunks", json!(["set", [1, 2]]))];
        accepted_after(&before, vec![("Port", &["trunks=[]"], "trunks", json!(["set", []]))]);
        refused(
            "Port",
            &[
                ("trunks=0-4096", "constraint violation: 4096 is not in the valid range 0 to 4095 (inclusive)"),
                ("trunks=1,1", "1,1: set contains duplicate value"),
                ("trunks=1-3,2", "1-3,2: set contains duplicate value"),
                ("trunks=1,,2", "1,,2: unexpected \",\" parsing set of up to 4096 integers"),
                ("trunks=1:2", "1:2: unexpected \":\" parsing set of up to 4096 integers"),
                ("trunks=1]", "1]: unexpected \"]\" parsing set of up to 4096 integers"),
                ("trunks=1\t2", "\"1\t2\" is not a valid integer or range"),
                ("trunks=007-06", "\"007-06\" is not a valid range. Range end cannot be before start."),
            ],
        );
        let too_big =
            |range| format!("constraint violation: Range \"{range}\" is too big. Maximum allowed size is 4096.");
        refused(
            "Interface",
            &[
                ("cfm_remote_mpids=1-5000", &too_big("1-5000")),
                ("cfm_remote_mpids=0001-99999", &too_big("1-99999")),
                (
                    "cfm_remote_mpids=-9223372036854775808-9223372036854775807",
                    &too_big("-9223372036854775808-9223372036854775807"),
                ),
            ],
        );
    }

    #[test]
    fn words_of_an_enumeration_and_booleans_are_taken_exactly() {
        accepted(vec![
            ("Port", &["vlan_mode=access", "VLAN-Mode=access"], "vlan_mode", json!("access")),
            ("Port", &["bond_mode=balance-tcp"], "bond_mode", json!("balance-tcp")),
            ("Port", &["lacp=active"], "lacp", json!("active")),
            ("Port", &["protected=on"], "protected", json!(true)),
            (
                "Bridge",
                &["stp_enable=true", "stp_enable=yes", "stp_enable=on", "stp_enable=1", "stp_enable=[true]"],
                "stp_enable",
                json!(true),
            ),
            ("Bridge", &["mcast=true"], "mcast_snooping_enable", json!(true)),
            (
                "Bridge",
                &["protocols=OpenFlow10,OpenFlow13", "protocols=[OpenFlow10,OpenFlow13]"],
                "protocols",
                json!(["set", ["OpenFlow10", "OpenFlow13"]]),
            ),
            ("Bridge", &["protocols=[OpenFlow13]"], "protocols", json!("OpenFlow13")),
            ("Bridge", &["fail_mode=secure"], "fail_mode", json!("secure")),
            ("Interface", &["admin_state=up"], "admin_state", json!("up")),
            ("Controller", &["role=master"], "role", json!("master")),
        ]);
        let before = [("fail_mode", json!("secure"))];
        accepted_after(&before, vec![("Bridge", &["fail_mode=[]"], "fail_mode", json!(["set", []]))]);
        refused(
            "Port",
            &[
                (
                    "vlan_mode=Access",
                    "constraint violation: Access is not one of the allowed values ([access, dot1q-tunnel, \
                     native-tagged, native-untagged, trunk])",
                ),
                (
                    "vlan_mode=1a",
                    "constraint violation: \"1a\" is not one of the allowed values ([access, dot1q-tunnel, \
                     native-tagged, native-untagged, trunk])",
                ),
                (
                    "bond_mode=foo",
                    "constraint violation: foo is not one of the allowed values ([active-backup, balance-slb, \
                     balance-tcp])",
                ),
                ("lacp=on", "constraint violation: on is not one of the allowed values ([active, off, passive])"),
                ("fake_bridge=maybe", "\"maybe\" is not a valid boolean (use \"true\" or \"false\")"),
            ],
        );
        refused(
            "Bridge",
            &[
                ("stp_enable=True", "\"True\" is not a valid boolean (use \"true\" or \"false\")"),
                ("stp_enable=\"true\"", "\"\"true\"\" is not a valid boolean (use \"true\" or \"false\")"),
                ("stp_enable=2", "\"2\" is not a valid boolean (use \"true\" or \"false\")"),
                ("stp_enable=[]", "[]: 0 value(s) specified but the minimum number is 1"),
                ("stp_enable=true,false", "true,false: 2 value(s) specified but the maximum number is 1"),
                (
                    "protocols=OpenFlow99",
                    "constraint violation: OpenFlow99 is not one of the allowed values ([OpenFlow10, OpenFlow11, \
                     OpenFlow12, OpenFlow13, OpenFlow14, OpenFlow15])",
                ),
                (
                    "fail_mode=safe",
                    "constraint violation: safe is not one of the allowed values ([secure, standalone])",
                ),
            ],
        );
        refused(
            "Interface",
            &[("link_state=middle", "constraint violation: middle is not one of the allowed values ([down, up])")],
        );
    }

    #[test]
    fn strings_are_words_or_stand_in_quotes() {
        accepted(vec![
            ("Bridge", &["datapath_type=netdev"], "datapath_type", json!("netdev")),
            ("Bridge", &["datapath_type=foo"], "datapath_type", json!("foo")),
            ("Bridge", &["datapath_type=\"\""], "datapath_type", json!("")),
            (
                "Bridge",
                &["datapath_id=\"0000000000000001\"", "datapath_id=0000000000000001"],
                "datapath_id",
                json!("0000000000000001"),
            ),
            ("Interface", &["type=patch", "type=[patch]", "type= patch ", "type=patch,"], "type", json!("patch")),
            ("Interface", &["type=\"a b\"", "type=a\\ b"], "type", json!("a b")),
            ("Interface", &["type='patch'"], "type", json!("'patch'")),
            ("Interface", &["type=@x"], "type", json!("@x")),
            ("Interface", &["type=a\"b c\"d"], "type", json!("a\"b c\"d")),
            ("Interface", &["type=\"a\\\\\""], "type", json!("a\\")),
            (
                "Interface",
                &["mac=\"00:11:22:33:44:55\"", "mac=00\\:11\\:22\\:33\\:44\\:55"],
                "mac",
                json!("00:11:22:33:44:55"),
            ),
            ("Interface", &["error=boom"], "error", json!("boom")),
            ("Open_vSwitch", &["db=3.1"], "db_version", json!("3.1")),
            ("Open_vSwitch", &["ovs_version=3.1"], "ovs_version", json!("3.1")),
            ("Mirror", &["name=mm"], "name", json!("mm")),
            ("QoS", &["type=foo"], "type", json!("foo")),
            ("Controller", &["target=\"tcp:10.0.0.1:6653\""], "target", json!("tcp:10.0.0.1:6653")),
            ("Controller", &["target=tcp\\:10.0.0.2"], "target", json!("tcp:10.0.0.2")),
        ]);
        accepted_after(&[("type", json!("patch"))], vec![("Interface", &["type=\"\""], "type", json!(""))]);
        refused(
            "Interface",
            &[
                ("type=[]", "[]: 0 value(s) specified but the minimum number is 1"),
                ("type= ", "use \"[]\" to specify the empty set"),
                ("type=a b", "a b: 2 value(s) specified but the maximum number is 1"),
                ("type=a,b", "a,b: 2 value(s) specified but the maximum number is 1"),
                ("type=a:b", "a:b: unexpected \":\" parsing string"),
                ("type=a=b", "a=b: unexpected \"=\" parsing string"),
                ("type=!x", "!x: unexpected \"!\" parsing string"),
                ("type=\"a\"b", "\"a\"b: missing quote at end of quoted string"),
                ("type=a\"b", "a\"b: quoted string extends past end of argument"),
                ("type=a\\", "a\\: backslash at end of argument"),
                ("type=", "type=: argument does not end in \"=\" followed by a value."),
                ("mac=00:11:22:33:44:55", "00:11:22:33:44:55: unexpected \":\" parsing set of up to 1 strings"),
            ],
        );
        refused("Controller", &[("target=tcp:10.0.0.1:6653", "tcp:10.0.0.1:6653: unexpected \":\" parsing string")]);
        // Not in ovs-vsctl, whose arguments can't contain it.
        refused("Interface", &[("type=a\0b", "null bytes not supported")]);
    }

    #[test]
    fn a_whole_map_is_replaced() {
        let before = [("options", json!(["map", [["old", "1"], ["peer", "was"]]]))];
        accepted_after(
            &before,
            vec![
                ("Interface", &["options=peer=x", "options={peer=x}"], "options", map([("peer", "x")])),
                ("Interface", &["options=remote_ip=1.2.3.4"], "options", map([("remote_ip", "1.2.3.4")])),
                ("Interface", &["options={}", "options={ }"], "options", map([])),
                (
                    "Interface",
                    &["options=a=b,c=d", "options=a=b c=d", "options={a=b, c=d}", "options= a = b , c = d "],
                    "options",
                    map([("a", "b"), ("c", "d")]),
                ),
                ("Interface", &["options=a=\"\""], "options", map([("a", "")])),
                ("Interface", &["options=a=\"b,c\"", "options=a=b\\,c"], "options", map([("a", "b,c")])),
            ],
        );
        accepted(vec![
            ("Open_vSwitch", &["other_config={a=1,b=\"x y\"}"], "other_config", map([("a", "1"), ("b", "x y")])),
            ("Bridge", &["other_config=hwaddr=\"00:11\""], "other_config", map([("hwaddr", "00:11")])),
        ]);
        refused(
            "Interface",
            &[
                ("options=[]", "[]: unexpected \"[\" parsing map of (string, string) pairs"),
                ("options=[a=b]", "[a=b]: unexpected \"[\" parsing map of (string, string) pairs"),
                ("options= ", "use \"{}\" to specify the empty map"),
                ("options=a", "a: syntax error at \""),
                ("options={a}", "a}: syntax error at \"}\" expecting \"=\""),
                ("options={\"a\":\"b\"}", "\"a\":\"b\"}: syntax error at \":\" expecting \"=\""),
                ("options=a=", "An empty string is not valid as input; use \"\" to represent the empty string"),
                ("options=a=b,a=b", "a=b,a=b: map contains duplicate key"),
                ("options=a=b=c", "a=b=c: unexpected \"=\" parsing map of (string, string) pairs"),
                ("options=a=b:c", "a=b:c: unexpected \":\" parsing map of (string, string) pairs"),
                ("options=a:b=c", "a:b=c: syntax error at \":\" expecting \"=\""),
                (
                    "options=local_ip=fe80::1",
                    "local_ip=fe80::1: unexpected \":\" parsing map of (string, string) pairs",
                ),
                ("options=a=b;c=d", "a=b;c=d: unexpected \"=\" parsing map of (string, string) pairs"),
            ],
        );
        refused(
            "Bridge",
            &[
                ("other=x", "x: syntax error at \""),
                (
                    "other_config=hwaddr=00:11:22",
                    "hwaddr=00:11:22: unexpected \":\" parsing map of (string, string) pairs",
                ),
            ],
        );
    }

    #[test]
    fn one_key_is_added_or_overwritten_and_its_value_taken_verbatim() {
        let before = [("options", json!(["map", [["old", "1"], ["peer", "was"]]]))];
        accepted_after(
            &before,
            vec![("Interface", &["options:peer=x"], "options", map([("old", "1"), ("peer", "x")]))],
        );
        accepted(vec![
            ("Port", &["external_ids:a/b.c-d=x y;z"], "external_ids", map([("a/b.c-d", "x y;z")])),
            ("Port", &["external_ids:\"k=1\"=\"v:2, 3\""], "external_ids", map([("k=1", "v:2, 3")])),
            ("Bridge", &["other_config:disable-in-band=true"], "other_config", map([("disable-in-band", "true")])),
            ("Bridge", &["Other_Config:A=b"], "other_config", map([("A", "b")])),
            ("Bridge", &["other_config:hwaddr=00\\:11"], "other_config", map([("hwaddr", "00\\:11")])),
            (
                "Bridge",
                &["other_config:hwaddr=00:11:22:33:44:55", "other_config:hwaddr=\"00:11:22:33:44:55\""],
                "other_config",
                map([("hwaddr", "00:11:22:33:44:55")]),
            ),
            ("Bridge", &["o:x=1"], "other_config", map([("x", "1")])),
            ("Interface", &["statistics:rx=5", "statistics:rx= 5"], "statistics", json!(["map", [["rx", 5]]])),
            ("Interface", &["status:driver=x"], "status", map([("driver", "x")])),
            ("Interface", &["options:remote_ip=1.2.3.4"], "options", map([("remote_ip", "1.2.3.4")])),
            ("Interface", &["options:a=\"\""], "options", map([("a", "")])),
            ("Interface", &["options:\"\"=a"], "options", map([("", "a")])),
            ("Interface", &["options:a=b=c"], "options", map([("a", "b=c")])),
            ("Interface", &["options:a=b,c=d"], "options", map([("a", "b,c=d")])),
            ("Interface", &["options:a= b "], "options", map([("a", " b ")])),
            ("Interface", &["options:a={}"], "options", map([("a", "{}")])),
            ("Interface", &["options:a=[]"], "options", map([("a", "[]")])),
            ("Interface", &["options:\"a:b\"=c", "options:a\\:b=c"], "options", map([("a:b", "c")])),
            ("Interface", &["options:a=\"b,c\""], "options", map([("a", "b,c")])),
            ("Interface", &["options:a=b\""], "options", map([("a", "b\"")])),
            ("Interface", &["options:a=b\\nc"], "options", map([("a", "b\\nc")])),
            ("Interface", &["options:a=\"b\\nc\""], "options", map([("a", "b\nc")])),
            ("Interface", &["options:a=\"\\ud83d\\ude00\""], "options", map([("a", "\u{1f600}")])),
            ("Interface", &["options:local_ip=fe80::1"], "options", map([("local_ip", "fe80::1")])),
            ("Open_vSwitch", &["other_config:hw-offload=true"], "other_config", map([("hw-offload", "true")])),
            ("Open_vSwitch", &["external_ids:system-id=x"], "external_ids", map([("system-id", "x")])),
            ("QoS", &["other-config:max-rate=1000000"], "other_config", map([("max-rate", "1000000")])),
            ("Queue", &["other-config:max-rate=5"], "other_config", map([("max-rate", "5")])),
        ]);
        let no_value = |setting| (setting, format!("{setting}: argument does not end in \"=\" followed by a value."));
        for (setting, words) in ["options:a", "options:a=", "options:a:b=c", "options:a b=c"].map(no_value) {
            refused("Interface", &[(setting, &words)]);
        }
        refused(
            "Interface",
            &[
                ("options:=a", "An empty string is not valid as input; use \"\" to represent the empty string"),
                ("options:a=\"b", "\"b: missing quote at end of quoted string"),
                ("options:a=\"b\"c\"", "\"b\"c\": quoted string may not include unescaped \""),
                ("options:a=\"b\\\"", "\"b\\\": quoted string may not end with backslash"),
                ("options:a=\"\\x\"", "\"\\x\": bad escape \\x"),
                ("options:a=\"\\u0000\"", "\"\\u0000\": null bytes not supported in quoted strings"),
                ("options:a=\"\\u12\"", "\"\\u12\": quoted string ends within \\u escape"),
                ("options:a=\"\\u+123\"", "\"\\u+123\": malformed \\u escape"),
                ("options:a=\"\\ud83d\"", "\"\\ud83d\": malformed escaped surrogate pair"),
                (
                    "options:a=\"\\ud83d\\u0041\"",
                    "\"\\ud83d\\u0041\": second half of escaped surrogate pair is not trailing surrogate",
                ),
                (
                    "options:a=\"\\udc00\"",
                    "constraint violation: not a valid UTF-8 string: invalid UTF-8 sequence 0xed 0xb0",
                ),
                ("statistics:a=1-3", "\"1-3\" is not a valid integer or range"),
                ("statistics:a=5 ", "\"5 \" is not a valid integer or range"),
                ("statistics:a=x", "\"x\" is not a valid integer or range"),
            ],
        );
    }

    #[test]
    fn references_are_uuids_and_nothing_else() {
        let upper = ID.replace('1', "A");
        let setting = format!("qos={upper}");
        let written = set(&schema(), "Port", &[], &[&setting]).unwrap();
        assert_eq!(written["qos"], read(json!(["uuid", upper.to_lowercase()])));

        accepted(vec![
            ("Port", &["qos=11111111-2222-3333-4444-555555555555"], "qos", json!(["uuid", ID])),
            ("Bridge", &["ports=[]"], "ports", json!(["set", []])),
            ("Open_vSwitch", &["bridges=[]"], "bridges", json!(["set", []])),
            (
                "Mirror",
                &["select_dst_port=11111111-2222-3333-4444-555555555555"],
                "select_dst_port",
                json!(["uuid", ID]),
            ),
            (
                "QoS",
                &["queues:7=11111111-2222-3333-4444-555555555555", "queues={7=11111111-2222-3333-4444-555555555555}"],
                "queues",
                json!(["map", [[7, ["uuid", ID]]]]),
            ),
        ]);
        let never_created = "row id \"@q\" is referenced but never created (e.g. with \"-- --id=@q create ...\")";
        refused(
            "Port",
            &[
                ("interfaces=[]", "[]: 0 value(s) specified but the minimum number is 1"),
                ("interfaces=abc", "\"abc\" is not a valid UUID"),
                ("interfaces=\"11111111-2222-3333-4444-555555555555\"", "\" is not a valid UUID"),
                ("qos=@q", never_created),
                ("qos=@q,@q", "@q,@q: 2 value(s) specified but the maximum number is 1"),
            ],
        );
        refused("Mirror", &[("select_dst_port=p1", "\"p1\" is not a valid UUID")]);
        let out_of_range = "constraint violation: 255 is not in the valid range 0 to 254 (inclusive)";
        refused(
            "Bridge",
            &[
                (&format!("flow_tables:255={ID}"), out_of_range),
                (&format!("flow_tables:1-2={ID}"), "\"1-2\" is not a valid integer or range"),
                ("flow_tables:0=b", "\"b\" is not a valid UUID"),
                ("flow_tables:0=@q", never_created),
                ("flow_tables=0=@q", never_created),
            ],
        );
        refused(
            "QoS",
            &[(
                &format!("queues:4294967296={ID}"),
                "constraint violation: 4294967296 is not in the valid range 0 to 4294967295 (inclusive)",
            )],
        );
    }

    #[test]
    fn a_range_of_map_keys_is_refused_where_ovs_vsctl_crashes() {
        refused("QoS", &[(&format!("queues=0-2={ID}"), "\"0-2\" is a range, which cannot be the key of a map")]);
        refused("AutoAttach", &[("mappings=10-12=7", "\"10-12\" is a range, which cannot be the key of a map")]);
    }

    #[test]
    fn columns_are_found_by_case_dashes_and_prefixes_and_by_nothing_else() {
        refused(
            "Port",
            &[
                ("t=5", "Port contains more than one column whose name matches \"t\": tag, trunks"),
                (
                    "bond=1",
                    "Port contains more than one column whose name matches \"bond\": bond_active_slave, \
                     bond_downdelay, bond_fake_iface, bond_mode, bond_updelay",
                ),
                ("nosuch=1", "Port does not contain a column whose name matches \"nosuch\""),
                ("updelay=2000", "Port does not contain a column whose name matches \"updelay\""),
                ("_uuid=1", "Port does not contain a column whose name matches \"_uuid\""),
                ("tag+=5", "Port does not contain a column whose name matches \"tag+\""),
                ("\"tag\"=5", "Port does not contain a column whose name matches \"\"tag\"\""),
                ("=5", "=5: missing column name"),
                (":5", ":5: missing column name"),
                (" tag=5", " tag=5: missing column name"),
                ("", ": missing column name"),
                ("tag\"=5", "tag\"=5: quoted string extends past end of argument"),
                ("tag:\"x=5", "\"x=5: quoted string extends past end of argument"),
                ("tag\\", "tag\\: backslash at end of argument"),
            ],
        );
        let name = TextError::read_only("Bridge", "name");
        assert_eq!(name.to_string(), "cannot modify read-only column name in table Bridge");
        let schema = schema();
        let (table, bridge) = table(&schema, "br").unwrap();
        assert!(!assignment(table, bridge, "name=foo").unwrap().schema.mutable);
    }

    #[test]
    fn tables_are_found_by_case_dashes_and_prefixes_and_by_nothing_else() {
        let schema = schema();
        for (name, found) in [
            ("br", "Bridge"),
            ("p", "Port"),
            ("int", "Interface"),
            ("o", "Open_vSwitch"),
            ("open-vswitch", "Open_vSwitch"),
            ("a", "AutoAttach"),
            ("d", "Datapath"),
            ("PORT", "Port"),
            ("sFlow", "sFlow"),
            ("SFLOW", "sFlow"),
        ] {
            assert_eq!(table(&schema, name).map(|found| found.0), Ok(found), "{name}");
        }
        for (name, words) in [
            ("i", "\"i\" matches multiple table names: IPFIX, Interface"),
            ("m", "\"m\" matches multiple table names: Manager, Mirror"),
            ("c", "\"c\" matches multiple table names: CT_Timeout_Policy, CT_Zone, Controller"),
            ("s", "\"s\" matches multiple table names: SSL, sFlow"),
            ("f", "\"f\" matches multiple table names: Flow_Sample_Collector_Set, Flow_Table"),
            ("q", "\"q\" matches multiple table names: QoS, Queue"),
            ("x", "unknown table \"x\""),
            ("", "unknown table \"\""),
            ("Brigde", "unknown table \"Brigde\" (did you mean Bridge?)"),
        ] {
            assert_eq!(table(&schema, name).unwrap_err().to_string(), words);
        }
    }

    #[test]
    fn settings_apply_from_left_to_right() {
        let schema = schema();
        let before = [("options", map([("old", "1")]))];
        for (settings, column, result) in [
            (&["tag=1", "tag=2"][..], "tag", json!(2)),
            (&["external_ids:a=1", "external_ids:a=2"], "external_ids", map([("a", "2")])),
            (&["external_ids:x=1", "external_ids={y=2}"], "external_ids", map([("y", "2")])),
            (&["external_ids={y=2}", "external_ids:x=1"], "external_ids", map([("x", "1"), ("y", "2")])),
        ] {
            let written = set(&schema, "Port", &before, settings).unwrap();
            assert_eq!(written, BTreeMap::from([(column.to_owned(), read(result))]), "{settings:?}");
        }
        let settings = ["type=patch", "options:peer=x", "options:old=2", "mtu_request=9000"];
        let written = set(&schema, "Interface", &before, &settings).unwrap();
        assert_eq!(written["options"], read(map([("old", "2"), ("peer", "x")])));
        assert_eq!((&written["type"], &written["mtu_request"]), (&"patch".into(), &9000i64.into()));
    }

    #[test]
    fn an_error_tells_where_it_is_and_what_would_have_been_right() {
        let schema = schema();
        for (table, setting, text) in [
            (
                "Port",
                "tag=5000",
                "constraint violation: 5000 is not in the valid range 0 to 4095 (inclusive) (Port.tag: expected an \
                 integer from 0 to 4095, or [] for none)",
            ),
            (
                "int",
                "statistics:rx=x",
                "\"x\" is not a valid integer or range (Interface.statistics:rx: expected an integer)",
            ),
            (
                "Bridge",
                "flow_tables:255=x",
                "constraint violation: 255 is not in the valid range 0 to 254 (inclusive) (Bridge.flow_tables:255: \
                 expected an integer from 0 to 254 as key)",
            ),
            (
                "Interface",
                "mac=00:11",
                "00:11: unexpected \":\" parsing set of up to 1 strings (Interface.mac: expected a string, or [] for \
                 none; a string with any of :=, []{}!<> in it must be \"quoted\")",
            ),
            (
                "Port",
                "lacp=activ",
                "constraint violation: activ is not one of the allowed values ([active, off, passive]) (did you mean \
                 active?) (Port.lacp: expected one of active, off, passive, or [] for none)",
            ),
            (
                "Port",
                "tag:x=5",
                "cannot specify key to set for non-map column tag (Port.tag:x: expected no key and an integer from 0 \
                 to 4095, or [] for none)",
            ),
            ("Port", "=5", "=5: missing column name (table Port: expected COLUMN=VALUE or COLUMN:KEY=VALUE)"),
        ] {
            assert_eq!(set(&schema, table, &[], &[setting]).unwrap_err().to_string(), text);
        }
        let error = set(&schema, "Interface", &[], &["statistics:rx=many"]).unwrap_err();
        assert_eq!(
            (error.table(), error.column(), error.key(), error.value()),
            ("Interface", Some("statistics"), Some("rx"), Some("many"))
        );
    }

    #[test]
    fn names_that_almost_match_are_suggested() {
        let schema = schema();
        for (table, name, hint) in [
            ("Port", "updelay", " (did you mean bond_updelay?)"),
            ("Port", "delay", " (did you mean bond_downdelay or bond_updelay?)"),
            ("Port", "tga", " (did you mean tag?)"),
            ("Port", "\"tag\"", " (did you mean tag?)"),
            ("Port", "tag+", " (did you mean tag?)"),
            ("Port", "trunk_vlans", ""),
            ("Port", "vlan-tag", " (did you mean tag?)"),
            ("Port", "bondmode", " (did you mean bond_mode?)"),
            ("Interface", "optoins", " (did you mean options?)"),
            ("Bridge", "protocol_versions", ""),
            ("Bridge", "_uuid", ""),
        ] {
            let error = column(table, &schema.tables[table], name).unwrap_err().to_string();
            assert_eq!(error, format!("{table} does not contain a column whose name matches \"{name}\"{hint}"));
        }
    }

    #[test]
    fn reals_of_other_databases_are_read_too() {
        let ty = |json| serde_json::from_value::<ColumnType>(json).unwrap();
        let real = ty(json!({"key": {"type": "real", "minReal": -1, "maxReal": 2.5}, "min": 0, "max": "unlimited"}));
        let reals = |numbers: &[f64]| Ok(Value::set(numbers.iter().copied().map(Atom::Real)));
        assert_eq!(whole(&real, "1.5, -1e-3 -0"), reals(&[1.5, -0.001, 0.0]));
        let text = |problem: Result<Value, Problem>| problem.unwrap_err().to_string();
        assert_eq!(text(whole(&real, "3")), "constraint violation: 3 is not in the valid range -1 to 2.5 (inclusive)");
        for wrong in ["x", "inf", "nan", "1e999"] {
            assert_eq!(text(whole(&real, wrong)), format!("\"{wrong}\" is not a valid real number"));
        }
        let word = ty(json!({"key": {"type": "string", "minLength": 2, "maxLength": 3}}));
        assert_eq!(whole(&word, "äöü"), Ok("äöü".into()));
        assert_eq!(
            text(whole(&word, "ä")),
            "constraint violation: \"ä\" length 1 is less than minimum allowed length 2"
        );
        assert_eq!(
            text(whole(&word, "abcd")),
            "constraint violation: \"abcd\" length 4 is greater than maximum allowed length 3"
        );
    }

    fn any_atom(base: &'static str) -> BoxedStrategy<Atom> {
        match base {
            "integer" => any::<i64>().prop_map(Atom::Integer).boxed(),
            "real" => any::<f64>().prop_filter("finite", |r| r.is_finite()).prop_map(|r| Atom::Real(r + 0.0)).boxed(),
            "boolean" => any::<bool>().prop_map(Atom::Boolean).boxed(),
            "uuid" => {
                any::<u128>().prop_map(|n| Atom::Uuid(crate::ovsdb::value::Uuid(uuid::Uuid::from_u128(n)))).boxed()
            }
            _ => "[^\0]{0,12}".prop_map(Atom::String).boxed(),
        }
    }

    const KINDS: [&str; 5] = ["integer", "real", "boolean", "string", "uuid"];

    fn typed_value() -> impl Strategy<Value = (ColumnType, Value)> {
        let kind = || prop::sample::select(&KINDS[..]);
        let set = kind().prop_flat_map(|base| {
            let ty = json!({"key": base, "min": 0, "max": "unlimited"});
            (Just(ty), prop::collection::vec(any_atom(base), 0..5).prop_map(Value::set))
        });
        let map = (kind(), kind()).prop_flat_map(|(key, value)| {
            let ty = json!({"key": key, "value": value, "min": 0, "max": "unlimited"});
            (Just(ty), prop::collection::btree_map(any_atom(key), any_atom(value), 0..5).prop_map(Value::Map))
        });
        prop_oneof![set, map].prop_map(|(ty, value)| (serde_json::from_value(ty).unwrap(), value))
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back((ty, value) in typed_value()) {
            let text = to_text(&value);
            prop_assert_eq!(whole(&ty, &text), Ok(value), "{}", text);
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(
            table in "[A-Za-z_-]{0,4}",
            argument in prop_oneof!["\\PC*", "[a-z_]{0,3}[:=\"\\\\,{}\\[\\] 0-9u@äx-]{0,30}"],
        ) {
            let schema = schema();
            let _ = super::table(&schema, &table);
            for (name, table) in &schema.tables {
                if let Err(error) = assignment(name, table, &argument) {
                    error.to_string();
                }
                for (column, schema) in &table.columns {
                    let _ = whole(&schema.ty, &argument);
                    if let Err(error) = assignment(name, table, &format!("{column}:{argument}")) {
                        error.to_string();
                    }
                }
            }
        }
    }
}
