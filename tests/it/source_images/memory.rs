//! How much memory large trees and layers take.

use std::io::Write;
use std::process::Command;

use source_images::{Error, Layers};

use super::habits::client;
use crate::support::crafted::{distribution, gzip};
use crate::support::fake_registry::{FakeRegistry, Profile};
use crate::support::git_repo::GitRepo;
use crate::support::measured::{Measured, run};

/// The most memory that anything here may use, in KiB.
const MOST: u64 = 300 << 10;

fn source(arguments: &[&str]) -> Measured {
    run(Command::new(env!("CARGO_BIN_EXE_patchset"))
        .arg("source")
        .args(arguments))
}

/// Makes a file without storing it.
fn sparse(path: &std::path::Path, size: u64) {
    std::fs::File::create(path).unwrap().set_len(size).unwrap();
}

#[test]
fn a_file_that_is_too_large_is_refused_before_it_is_read() {
    let root = tempfile::tempdir().unwrap();
    let repo = GitRepo::create(root.path(), "large");
    std::fs::create_dir_all(repo.work().join("data")).unwrap();
    sparse(&repo.work().join("data/model.bin"), 400 << 20);
    repo.commit(&[], "large");
    let git = repo.dir.to_str().unwrap();
    let work = repo.work();
    for arguments in [
        ["--repo", git, "--ref", "main"].as_slice(),
        &[work.to_str().unwrap()],
    ] {
        let refused = source(arguments);
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(
            refused
                .stderr
                .contains("\"data/model.bin\" with 419430400 bytes is more than"),
            "{}",
            refused.stderr
        );
        assert!(refused.peak < MOST, "{arguments:?}: {} KiB", refused.peak);
    }
}

#[test]
fn the_largest_files_are_taken_one_after_the_other() {
    let root = tempfile::tempdir().unwrap();
    let repo = GitRepo::create(root.path(), "large");
    // Incompressible data, so that its pack is as large; the second file is the first with another
    // end, for a delta.
    let mut noise = vec![0; 64 << 20];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut noise).unwrap();
    for (name, end) in [("a", b'a'), ("b", b'b')] {
        *noise.last_mut().unwrap() = end;
        let mut file = std::fs::File::create(repo.work().join(name)).unwrap();
        file.write_all(&noise).unwrap();
    }
    repo.commit(&[], "large");
    repo.git(&["repack", "-a", "-d", "-q", "--window=2"]);
    let taken = source(&["--repo", repo.dir.to_str().unwrap(), "--ref", "main"]);
    assert_eq!(taken.code, Some(0), "{}", taken.stderr);
    assert!(taken.peak < MOST, "{} KiB", taken.peak);
}

/// Tells the test below that it runs in a separate process.
const ALONE: &str = "PATCHSET_TEST_ALONE";

/// The test runs itself in another process, whose memory no other test uses.
#[test]
fn a_long_name_in_a_layer_is_not_kept() {
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        return runtime.block_on(read_long_names());
    }
    let name = "source_images::memory::a_long_name_in_a_layer_is_not_kept";
    let test = std::env::current_exe().unwrap();
    let alone = run(Command::new(test).args(["--exact", name]).env(ALONE, "1"));
    assert_eq!(alone.code, Some(0), "{}{}", alone.stdout, alone.stderr);
    assert!(alone.stdout.contains("1 passed"), "{}", alone.stdout);
    assert!(alone.peak < MOST, "{} KiB", alone.peak);
}

async fn read_long_names() {
    let registry = FakeRegistry::start(Profile::default());
    let zeros = gzip(&vec![0; 32 << 20]);
    for kind in [
        tar::EntryType::GNULongName,
        tar::EntryType::GNULongLink,
        tar::EntryType::XHeader,
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(512 << 20);
        header.set_cksum();
        let mut layer = gzip(header.as_bytes());
        for _ in 0..16 {
            layer.extend_from_slice(&zeros);
        }
        layer.extend_from_slice(&gzip(&distribution("x", "1", true)));
        let image = registry.image("a", None, "x", &layer);
        let reference = format!("{}/a@{image}", registry.host);
        let read = client(&registry.host)
            .installed_distributions(&super::image_reference(&reference), &Layers::default())
            .await;
        let error = read.unwrap_err();
        assert!(matches!(error, Error::Unreadable { .. }), "{error}");
        assert!(error.to_string().contains("larger than what is read"), "{error}");
    }
}
