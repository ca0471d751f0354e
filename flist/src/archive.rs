//! The archive that a hub takes, the same bytes for the same image: sorted, one time, no owners, no time of packing.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use crate::image::{Image, Kind};

/// The image as a tar archive with entries like `./usr/bin`.
pub fn of_image(image: &Image, time: u64) -> Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    for (path, entry) in image.entries() {
        let relative = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
        let (kind, bytes): (_, &[u8]) = match &entry.kind {
            Kind::Directory => (EntryType::Directory, &[]),
            Kind::File(bytes) => (EntryType::Regular, bytes),
            Kind::Link(_) => (EntryType::Symlink, &[]),
        };
        let slash = if kind == EntryType::Directory && relative != "/" { "/" } else { "" };
        let mut header = header(&format!(".{relative}{slash}"), kind, entry.mode, bytes, time)?;
        if let Kind::Link(target) = &entry.kind {
            header.set_link_name_literal(target).with_context(|| path.display().to_string())?;
            header.set_cksum();
        }
        archive.append(&header, bytes)?;
    }
    Ok(archive.into_inner()?)
}

/// Plain files as a tar archive, in the order given.
pub fn of_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>, time: u64) -> Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    for (path, bytes) in files {
        archive.append(&header(path, EntryType::Regular, 0o644, bytes, time)?, bytes)?;
    }
    Ok(archive.into_inner()?)
}

fn header(path: &str, kind: EntryType, mode: u32, bytes: &[u8], time: u64) -> Result<Header> {
    let mut header = Header::new_ustar();
    // Not with set_path(), which takes "./" away.
    let name = &mut header.as_old_mut().name;
    ensure!(path.len() <= name.len(), "{path} is too long for an archive that every tool can read");
    name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(time);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    Ok(header)
}

/// Compresses, without name and time. The part after each step is told, for a progress display.
pub fn gzip(bytes: &[u8], mut done: impl FnMut(u64)) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    for piece in bytes.chunks(1 << 18) {
        encoder.write_all(piece)?;
        done(piece.len() as u64);
    }
    Ok(encoder.finish()?)
}

/// Unpacks an archive of the image into an empty directory.
pub fn unpack(archive: &[u8], directory: &Path) -> Result<()> {
    let mut archive = tar::Archive::new(archive);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(false);
    archive.unpack(directory).with_context(|| format!("unpacking into {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::image::Origin;

    fn image(reverse: bool) -> Image {
        let mut files = vec![("/etc/b", 0o644, "b"), ("/etc/a", 0o600, "a"), ("/usr/bin/c", 0o755, "c")];
        if reverse {
            files.reverse();
        }
        let mut image = Image::new();
        for (path, mode, text) in files {
            image.add_file(Path::new(path), mode, text.into(), path, Origin::Project).unwrap();
        }
        image.add_directory(Path::new("/tmp"), 0o1777, "").unwrap();
        image.add_link(Path::new("/bin"), "usr/bin", "").unwrap();
        image
    }

    #[test]
    fn the_same_image_makes_the_same_archive_however_it_was_put_together() {
        let pack = |reverse| gzip(&of_image(&image(reverse), 1_700_000_000).unwrap(), |_| ()).unwrap();
        let packed = pack(false);
        assert_eq!(packed, pack(true));
        // RFC 1952: bytes 4 to 7 are the time, byte 3 tells of a name.
        assert_eq!((packed[3], &packed[4..8]), (0, &[0; 4][..]));
    }

    #[test]
    fn tar_lists_the_archive_sorted_and_owned_by_nobody_in_particular() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ovs.tar.gz");
        std::fs::write(&file, gzip(&of_image(&image(false), 1_700_000_000).unwrap(), |_| ()).unwrap()).unwrap();
        let list = Command::new("tar").env("TZ", "UTC").args(["--full-time", "-tvzf"]).arg(&file).output().unwrap();
        let list = String::from_utf8(list.stdout).unwrap();
        let words: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
        let column = |number: usize| words.iter().map(|words| words[number]).collect::<Vec<_>>();
        assert_eq!(
            column(5),
            ["./", "./bin", "./etc/", "./etc/a", "./etc/b", "./tmp/", "./usr/", "./usr/bin/", "./usr/bin/c"]
        );
        assert_eq!(
            column(0),
            [
                "drwxr-xr-x",
                "lrwxrwxrwx",
                "drwxr-xr-x",
                "-rw-------",
                "-rw-r--r--",
                "drwxrwxrwt",
                "drwxr-xr-x",
                "drwxr-xr-x",
                "-rwxr-xr-x"
            ]
        );
        assert!(
            words.iter().all(|words| words[1] == "0/0" && words[3] == "2023-11-14" && words[4] == "22:13:20"),
            "{list}"
        );
    }

    #[test]
    fn what_is_unpacked_is_what_was_packed() {
        let directory = tempfile::tempdir().unwrap();
        unpack(&of_image(&image(false), 0).unwrap(), directory.path()).unwrap();
        assert_eq!(std::fs::read_to_string(directory.path().join("bin/c")).unwrap(), "c");
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&directory.path().join("tmp").metadata().unwrap().permissions());
        assert_eq!(mode & 0o7777, 0o1777);
    }

    #[test]
    fn compressing_loses_nothing_and_tells_how_far_it_is() {
        let bytes: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut told = 0;
        let packed = gzip(&bytes, |part| told += part).unwrap();
        assert_eq!(told, bytes.len() as u64);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, bytes);
    }

    #[test]
    fn a_path_that_old_tools_could_not_read_is_refused() {
        let mut image = Image::new();
        image.add_directory(Path::new(&format!("/{}", "x".repeat(120))), 0o755, "").unwrap();
        assert!(of_image(&image, 0).unwrap_err().to_string().contains("too long"));
    }
}
