//! Many small files as one: ten thousand of them are on disk only after ten thousand syncs, one after one.
//!
//! Layout: [`MAGIC`]; for each file the length of its name (u32, little endian), its name, the length of its
//! content (u64), its content; a length of zero; the BLAKE3 digest of all that.

use std::fs::File;
use std::io::{BufReader, BufWriter, Error, ErrorKind, Read, Result, Write};
use std::path::{Component, Path};

/// First bytes of a pack.
const MAGIC: &[u8; 16] = b"oaas-files-v1\r\n\0";
/// Bytes of a name at most: what Linux lets a path have.
const NAME_BYTES_MAX: u32 = 4096;
/// Bytes of one file at most.
pub(crate) const CONTENT_BYTES_MAX: u64 = 128 << 20;
/// Bytes of the digest.
const DIGEST_BYTES: usize = 32;

/// Writes a pack.
pub(crate) struct Packer {
    file: BufWriter<File>,
    hasher: blake3::Hasher,
}

impl Packer {
    /// A fresh pack, which only its owner may read: there may be keys among the files.
    pub fn create(path: &Path) -> Result<Self> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut packer = Self { file: BufWriter::new(options.open(path)?), hasher: blake3::Hasher::new() };
        packer.write(MAGIC)?;
        Ok(packer)
    }

    /// Adds a file.
    pub fn add(&mut self, name: &Path, content: &[u8]) -> Result<()> {
        let name = name.to_str().ok_or_else(|| broken(format!("{} is not UTF-8", name.display())))?;
        let length = u32::try_from(name.len()).ok().filter(|n| (1..=NAME_BYTES_MAX).contains(n));
        let length = length.ok_or_else(|| broken(format!("the name {name:?} is empty or too long")))?;
        self.write(&length.to_le_bytes())?;
        self.write(name.as_bytes())?;
        self.write(&u64::try_from(content.len()).unwrap_or(u64::MAX).to_le_bytes())?;
        self.write(content)
    }

    /// Ends the pack; it is on disk then.
    pub fn finish(mut self) -> Result<()> {
        self.write(&0u32.to_le_bytes())?;
        let digest = self.hasher.finalize();
        self.file.write_all(digest.as_bytes())?;
        self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.file.write_all(bytes)
    }
}

/// Writes the files of the pack at `path` below `folder`. When this fails, what is there is not to be used.
pub(crate) fn unpack(path: &Path, folder: &Path) -> Result<()> {
    let mut pack = Unpacker { file: BufReader::new(File::open(path)?), hasher: blake3::Hasher::new() };
    if pack.read::<16>()? != *MAGIC {
        return Err(broken(format!("{} does not begin as a pack", path.display())));
    }
    loop {
        let length = u32::from_le_bytes(pack.read()?);
        if length == 0 {
            break;
        }
        if length > NAME_BYTES_MAX {
            return Err(broken(format!("{} has a name of {length} bytes", path.display())));
        }
        let name = String::from_utf8(pack.bytes(u64::from(length))?).map_err(|e| broken(e.to_string()))?;
        let content = u64::from_le_bytes(pack.read()?);
        if content > CONTENT_BYTES_MAX || !is_inside(Path::new(&name)) {
            return Err(broken(format!("{}: {name:?} of {content} bytes can't be", path.display())));
        }
        let content = pack.bytes(content)?;
        let target = folder.join(name);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(target, content)?;
    }
    let computed = pack.hasher.finalize();
    let mut stored = [0; DIGEST_BYTES];
    pack.file.read_exact(&mut stored)?;
    if computed != stored {
        return Err(broken(format!("{} is damaged", path.display())));
    }
    Ok(())
}

struct Unpacker {
    file: BufReader<File>,
    hasher: blake3::Hasher,
}

impl Unpacker {
    fn read<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    fn bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        // Grows as it reads: a length that is not true takes no memory.
        let mut bytes = Vec::new();
        self.file.by_ref().take(count).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).ok() != Some(count) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.hasher.update(&bytes);
        Ok(bytes)
    }
}

/// Whether a relative path stays in its folder.
pub(crate) fn is_inside(path: &Path) -> bool {
    path.components().all(|component| matches!(component, Component::Normal(_) | Component::CurDir))
}

fn broken(why: String) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(path: &Path) {
        let mut packer = Packer::create(path).unwrap();
        packer.add(Path::new("a.yaml"), b"one").unwrap();
        packer.add(Path::new("folder/b.yaml"), b"").unwrap();
        packer.finish().unwrap();
    }

    #[test]
    fn what_was_packed_comes_out() {
        let folder = tempfile::tempdir().unwrap();
        let pack = folder.path().join("pack");
        packed(&pack);
        unpack(&pack, &folder.path().join("out")).unwrap();
        assert_eq!(std::fs::read(folder.path().join("out/a.yaml")).unwrap(), b"one");
        assert_eq!(std::fs::read(folder.path().join("out/folder/b.yaml")).unwrap(), b"");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&pack).unwrap().permissions().mode() & 0o077, 0);
        }
    }

    #[test]
    fn a_pack_with_any_bit_changed_or_cut_anywhere_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pack = folder.path().join("pack");
        packed(&pack);
        let whole = std::fs::read(&pack).unwrap();
        for at in 0..whole.len() {
            std::fs::write(&pack, &whole[..at]).unwrap();
            assert!(unpack(&pack, &folder.path().join("cut")).is_err(), "cut at {at}");
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&pack, changed).unwrap();
            assert!(unpack(&pack, &folder.path().join("changed")).is_err(), "changed at {at}");
        }
    }

    #[test]
    fn nothing_is_written_outside_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let pack = folder.path().join("pack");
        for name in ["../outside", "/tmp/outside-of-the-pack", "a/../../outside"] {
            let mut packer = Packer::create(&pack).unwrap();
            packer.add(Path::new(name), b"x").unwrap();
            packer.finish().unwrap();
            assert!(unpack(&pack, &folder.path().join("in")).is_err(), "{name}");
            assert!(!folder.path().join("outside").exists());
        }
    }
}
