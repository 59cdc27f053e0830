// SPDX-License-Identifier: MIT
//! Compiled code on disk: found again, never believed when it is not what was written.

use std::ffi::{CStr, CString};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fake::*;
use super::wat::plain;
use rusm_engine::*;

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A folder name that is nobody else's, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let name = format!("rusm-engine-{}-cache-{number}", std::process::id());
        Folder(std::env::temp_dir().join(name))
    }

    fn engine(&self) -> TestEngine {
        self.engine_with(|_| {})
    }

    fn engine_with(&self, change: impl FnOnce(&mut EngineConfig)) -> TestEngine {
        let path = CString::new(self.0.to_str().unwrap()).unwrap();
        TestEngine::with(|config| {
            config.cache_dir = path.as_ptr();
            change(config);
        })
    }

    fn entries(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(&self.0)
            .unwrap()
            .map(|file| file.unwrap().path());
        let mut files: Vec<PathBuf> = files.collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn guest(number: u32) -> String {
    plain(&format!(
        r#"(func (export "run") (drop (i32.const {number})))"#
    ))
}

/// Whether the cache had it. It must run in any case.
fn cached(engine: &TestEngine, text: &str) -> bool {
    let artifact = engine.artifact(text).expect("it compiles");
    let mut guest = artifact.prepare(0, "run", ptr::null()).unwrap().start();
    assert_eq!(guest.resume(), DONE);
    artifact.cached
}

fn problem(engine: &TestEngine) -> String {
    // SAFETY: a text that lives as long as the engine, or null.
    unsafe {
        let text = rusm_engine_cache_problem(engine.raw);
        if text.is_null() {
            String::new()
        } else {
            CStr::from_ptr(text).to_str().unwrap().into()
        }
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn code_is_found_again_by_the_next_engine() {
    let folder = Folder::new();
    let engine = folder.engine();
    assert_eq!(problem(&engine), "");
    assert!(!cached(&engine, &guest(1)));
    assert!(cached(&engine, &guest(1)));
    assert!(!cached(&engine, &guest(2)));
    assert!(!cached(&engine, r#"(module (func (export "run")))"#));
    drop(engine);
    let engine = folder.engine();
    assert!(cached(&engine, &guest(1)) && cached(&engine, &guest(2)));
    assert!(cached(&engine, r#"(module (func (export "run")))"#));
    assert_eq!(mode(&folder.0), 0o700);
    assert_eq!(folder.entries().len(), 3);
    assert!(folder.entries().iter().all(|file| mode(file) == 0o600));
}

#[test]
fn another_class_is_another_entry() {
    let folder = Folder::new();
    assert!(!cached(&folder.engine(), &guest(1)));
    let small = |config: &mut EngineConfig| config.max_memory_bytes = 1 << 20;
    assert!(!cached(&folder.engine_with(small), &guest(1)));
    assert!(cached(&folder.engine_with(small), &guest(1)));
    // The number of slots changes nothing about the code.
    assert!(cached(
        &folder.engine_with(|config| config.max_instances = 3),
        &guest(1)
    ));
}

#[test]
fn a_damaged_entry_is_made_anew() {
    let folder = Folder::new();
    let engine = folder.engine();
    assert!(!cached(&engine, &guest(1)));
    let entry = folder.entries().remove(0);
    let good = fs::read(&entry).unwrap();
    let mut damages: Vec<Vec<u8>> = vec![Vec::new(), good[..10].to_vec(), good[..80].to_vec()];
    damages.push(good[..good.len() - 1].to_vec());
    damages.push([&good[..], b"more"].concat());
    for place in [0, 20, 60, 80, 200, good.len() / 2, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        damages.push(bytes);
    }
    for damaged in damages {
        fs::write(&entry, damaged).unwrap();
        assert!(!cached(&engine, &guest(1)));
        assert_eq!(fs::read(&entry).unwrap().len(), good.len());
        assert!(cached(&engine, &guest(1)));
    }
}

#[test]
fn an_entry_under_the_name_of_another_is_not_believed() {
    let folder = Folder::new();
    let engine = folder.engine();
    assert!(!cached(&engine, &guest(1)));
    let first = folder.entries().remove(0);
    assert!(!cached(&engine, &guest(2)));
    let second = folder
        .entries()
        .into_iter()
        .find(|entry| *entry != first)
        .unwrap();
    fs::copy(&first, &second).unwrap();
    assert!(!cached(&engine, &guest(2)));
}

#[test]
fn an_entry_that_others_can_write_is_not_believed() {
    let folder = Folder::new();
    let engine = folder.engine();
    assert!(!cached(&engine, &guest(1)));
    let entry = folder.entries().remove(0);
    fs::set_permissions(&entry, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(!cached(&engine, &guest(1)));
    assert_eq!(mode(&entry), 0o600);
    // Nor a link, wherever it leads, nor anything that is not a file.
    let elsewhere = folder.0.join("elsewhere");
    fs::rename(&entry, &elsewhere).unwrap();
    symlink(&elsewhere, &entry).unwrap();
    assert!(!cached(&engine, &guest(1)));
    assert!(cached(&engine, &guest(1)));
    fs::remove_file(&entry).unwrap();
    fs::create_dir(&entry).unwrap();
    assert!(!cached(&engine, &guest(1)));
}

#[test]
fn a_folder_that_others_can_enter_stays_unused() {
    let folder = Folder::new();
    fs::create_dir(&folder.0).unwrap();
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o750)).unwrap();
    let engine = folder.engine();
    let text = problem(&engine);
    assert!(text.starts_with("compiled code is not kept: "), "{text}");
    assert!(
        text.ends_with("it must belong to this user and have mode 0700"),
        "{text}"
    );
    assert!(!cached(&engine, &guest(1)) && !cached(&engine, &guest(1)));
    assert!(folder.entries().is_empty());
}

#[test]
fn a_folder_of_another_user_stays_unused() {
    let folder = Folder::new();
    fs::create_dir(&folder.0).unwrap();
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o700)).unwrap();
    // Only root can give a folder away; elsewhere there is nothing to test with.
    if std::os::unix::fs::chown(&folder.0, Some(12345), None).is_err() {
        eprintln!("not run: giving a folder away needs root");
        return;
    }
    let engine = folder.engine();
    assert!(problem(&engine).ends_with("it must belong to this user and have mode 0700"));
    assert!(!cached(&engine, &guest(1)));
    assert!(folder.entries().is_empty());
}

#[test]
fn a_link_or_a_file_in_place_of_the_folder_stays_unused() {
    let (real, folder) = (Folder::new(), Folder::new());
    fs::create_dir(&real.0).unwrap();
    fs::set_permissions(&real.0, fs::Permissions::from_mode(0o700)).unwrap();
    symlink(&real.0, &folder.0).unwrap();
    assert_ne!(problem(&folder.engine()), "");
    fs::remove_file(&folder.0).unwrap();
    fs::write(&folder.0, "not a folder").unwrap();
    let engine = folder.engine();
    assert_ne!(problem(&engine), "");
    assert!(!cached(&engine, &guest(1)));
    fs::remove_file(&folder.0).unwrap();
}

#[test]
fn the_least_used_entries_make_room() {
    let folder = Folder::new();
    assert!(!cached(&folder.engine(), &guest(1)));
    let size = fs::metadata(&folder.entries()[0]).unwrap().len();
    let engine = folder.engine_with(|config| config.cache_max_bytes = size * 3 + 100);
    let settle = || std::thread::sleep(std::time::Duration::from_millis(20));
    for number in [2, 3] {
        settle();
        assert!(!cached(&engine, &guest(number)));
    }
    settle();
    assert!(cached(&engine, &guest(1)));
    settle();
    // The fourth: the second, which was not used since, has to go.
    assert!(!cached(&engine, &guest(4)));
    assert_eq!(folder.entries().len(), 3);
    assert!(cached(&engine, &guest(1)) && cached(&engine, &guest(3)) && cached(&engine, &guest(4)));
    assert!(!cached(&engine, &guest(2)));
    // What is larger than the whole cache is not kept and displaces nothing.
    let engine = folder.engine_with(|config| config.cache_max_bytes = size - 1);
    assert!(!cached(&engine, &guest(5)) && !cached(&engine, &guest(5)));
    assert_eq!(folder.entries().len(), 3);
}

#[test]
fn what_a_crash_left_behind_is_cleared_away() {
    let folder = Folder::new();
    let engine = folder.engine();
    assert!(!cached(&engine, &guest(1)));
    let (old, new) = (folder.0.join(".old-1-1"), folder.0.join(".new-1-1"));
    fs::write(&old, "half").unwrap();
    fs::write(&new, "half").unwrap();
    let hours = std::time::Duration::from_secs(7200);
    let long_ago = std::time::SystemTime::now() - hours;
    fs::File::options()
        .write(true)
        .open(&old)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    assert!(!cached(&engine, &guest(2)));
    assert!(!old.exists() && new.exists());
}

#[test]
fn two_nodes_may_start_at_once() {
    let folder = Folder::new();
    let engines: Vec<TestEngine> = (0..4).map(|_| folder.engine()).collect();
    struct Shared<'a>(&'a TestEngine);
    // SAFETY: engines may be used from any thread.
    unsafe impl Send for Shared<'_> {}
    std::thread::scope(|scope| {
        for engine in &engines {
            let engine = Shared(engine);
            scope.spawn(move || {
                let Shared(engine) = { engine };
                for number in 0..10 {
                    cached(engine, &guest(number));
                }
            });
        }
    });
    assert_eq!(folder.entries().len(), 10);
    assert!((0..10).all(|number| cached(&engines[0], &guest(number))));
}

#[test]
fn no_folder_means_no_cache_and_no_problem() {
    let engine = TestEngine::new();
    assert_eq!(problem(&engine), "");
    assert!(!cached(&engine, &guest(1)) && !cached(&engine, &guest(1)));
}
