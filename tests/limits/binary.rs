//! The binary as a file.

use std::fs;

use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Endianness, Object, elf};

use crate::shipped;

/// It is loaded from the container's image, which is fetched over the network.
const SIZE: usize = 9_000_000;

#[test]
fn the_binary_is_small_stripped_and_static() {
    let path = shipped::binary();
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.len() <= SIZE, "{} has {} bytes, more than {SIZE}", path.display(), bytes.len());
    let file = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
    for section in [".symtab", ".strtab", ".debug_info"] {
        assert!(file.section_by_name(section).is_none(), "{} has {section}: it is not stripped", path.display());
    }
    let has = |kind| file.elf_program_headers().iter().any(|header| header.p_type(file.endian()) == kind);
    assert!(has(elf::PT_LOAD), "{} has no segments", path.display());
    assert!(!has(elf::PT_INTERP), "{} has an interpreter: it is not static", path.display());
}
