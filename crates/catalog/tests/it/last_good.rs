//! The last applied version on disk.

use oaas_catalog::{KeepLastGood, load, load_last_good, store_last_good};

use crate::folder::{Folder, SERVICE, known};

#[test]
fn a_start_with_a_broken_catalog_serves_the_last_good_one() {
    let folder = Folder::good();
    let data = folder.path("data");
    std::fs::create_dir(&data).unwrap();
    assert!(load_last_good(&data).unwrap().is_none());
    let first = folder.snapshot();
    assert!(store_last_good(&data, &folder.sources, &first).unwrap());
    let kept = load(&load_last_good(&data).unwrap().unwrap(), &known()).unwrap();
    assert_eq!(kept.version, first.version, "the same files under another roof are the same version");
    assert_eq!(kept.callers.applications, first.callers.applications);

    folder.put("platform/breaker.yaml", SERVICE.replace("stage: beta", "stage: ga"));
    let second = folder.snapshot();
    assert_ne!(second.version, first.version);
    assert!(store_last_good(&data, &folder.sources, &second).unwrap());
    assert!(store_last_good(&data, &folder.sources, &second).unwrap(), "again is no harm");
    let folders: Vec<_> = std::fs::read_dir(&data).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(folders.len(), 2, "the first version is gone: {folders:?}");

    folder.put("platform/breaker.yaml", "service: [");
    let start = KeepLastGood::load(&data, &folder.sources, &known()).unwrap();
    assert_eq!(start.snapshot.version, second.version);
    assert!(start.refused.is_some() && start.sources != folder.sources);
    assert!(KeepLastGood::load(&folder.path("nothing"), &folder.sources, &known()).is_err());
}

#[test]
fn files_that_changed_since_are_not_stored() {
    let folder = Folder::good();
    let data = folder.path("data");
    let snapshot = folder.snapshot();
    folder.put("platform/breaker.yaml", SERVICE.replace("stage: beta", "stage: ga"));
    assert!(!store_last_good(&data, &folder.sources, &snapshot).unwrap());
    assert!(load_last_good(&data).unwrap().is_none());
}

#[test]
fn a_store_that_was_cut_short_is_not_seen() {
    let folder = Folder::good();
    let data = folder.path("data");
    let first = folder.snapshot();
    assert!(store_last_good(&data, &folder.sources, &first).unwrap());
    // What a kill in the middle leaves: half a copy, and no new pointer.
    std::fs::create_dir_all(data.join(".c-0123456789ab.new/catalog")).unwrap();
    std::fs::create_dir_all(data.join("c-0123456789ab/catalog")).unwrap();
    let kept = load(&load_last_good(&data).unwrap().unwrap(), &known()).unwrap();
    assert_eq!(kept.version, first.version);
}
