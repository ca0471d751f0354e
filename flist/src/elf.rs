//! What an ELF file tells its loader, read as the loader does: from the program headers (elf(5)).

use anyhow::{Context, Result, bail};
use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn, ElfFile64, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol, ReadRef};

/// The part of an ELF file that matters to what has to be beside it.
#[derive(Debug)]
pub struct Elf {
    /// The processor.
    pub machine: elf::Machine,
    /// The loader that it asks for. Shared libraries and static programs have none.
    pub interpreter: Option<String>,
    /// The names of the shared libraries that it needs.
    pub needed: Vec<String>,
    /// Where these are searched first, also for what they need in turn. Without effect beside a `runpath`.
    pub rpath: Vec<String>,
    /// Where these are searched first.
    pub runpath: Vec<String>,
    /// The functions and variables that it expects from others.
    pub imports: Vec<String>,
}

/// Whether a file looks like an ELF file.
pub fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(&elf::ELFMAG)
}

impl Elf {
    /// Reads one. The error does not name the file.
    pub fn parse(bytes: &[u8]) -> Result<Elf> {
        let file = ElfFile64::<Endianness>::parse(bytes).context("not a 64-bit ELF file")?;
        let endian = file.endian();
        let segments = file.elf_program_headers();

        let mut interpreter = None;
        let mut entries: &[elf::Dyn64<Endianness>] = &[];
        for segment in segments {
            if let Some(path) = segment.interpreter(endian, bytes)? {
                interpreter = Some(text(path)?);
            }
            if let Some(found) = segment.dynamic(endian, bytes)? {
                entries = found;
            }
        }
        // What follows the null entry is room for tools that add entries later.
        let entries: Vec<_> = entries.iter().take_while(|entry| entry.tag(endian) != elf::DT_NULL).collect();
        let value = |tag| entries.iter().find(|entry| entry.tag(endian) == tag).map(|entry| entry.val(endian));
        let strings = match (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) {
            (Some(address), Some(size)) => at_address(segments, endian, bytes, address, size)?,
            _ => &[],
        };
        let strings_of = |tag| -> Result<Vec<String>> {
            let offsets = entries.iter().filter(|entry| entry.tag(endian) == tag).map(|entry| entry.val(endian));
            offsets.map(|offset| string_at(strings, offset)).collect()
        };
        let directories_of = |tag| -> Result<Vec<String>> {
            let lists = strings_of(tag)?;
            Ok(lists.iter().flat_map(|list| list.split(':')).filter(|dir| !dir.is_empty()).map(str::to_owned).collect())
        };

        let imports = file.dynamic_symbols().filter(|symbol| symbol.is_undefined());
        let imports = imports.filter_map(|symbol| symbol.name().ok()).map(str::to_owned).collect();
        Ok(Elf {
            machine: file.elf_header().e_machine.get(endian),
            interpreter,
            needed: strings_of(elf::DT_NEEDED)?,
            rpath: directories_of(elf::DT_RPATH)?,
            runpath: directories_of(elf::DT_RUNPATH)?,
            imports,
        })
    }

    /// Whether it runs with nothing beside it.
    pub fn is_static(&self) -> bool {
        self.interpreter.is_none() && self.needed.is_empty()
    }
}

/// The bytes that the loader will have at an address.
fn at_address<'data>(
    segments: &[<FileHeader64<Endianness> as object::read::elf::FileHeader>::ProgramHeader],
    endian: Endianness,
    bytes: &'data [u8],
    address: u64,
    size: u64,
) -> Result<&'data [u8]> {
    for segment in segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD) {
        let (start, length) = (segment.p_vaddr(endian), segment.p_filesz(endian));
        if let Some(inside) = address.checked_sub(start).filter(|inside| *inside < length) {
            let found = bytes.read_bytes_at(segment.p_offset(endian).saturating_add(inside), size);
            return found.ok().context("the string table is cut short");
        }
    }
    bail!("the string table is in no segment")
}

fn string_at(strings: &[u8], offset: u64) -> Result<String> {
    let rest = usize::try_from(offset).ok().and_then(|offset| strings.get(offset..)).context("a name is missing")?;
    let end = rest.iter().position(|byte| *byte == 0).context("a name does not end")?;
    text(&rest[..end])
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).context("a name is not UTF-8")
}
