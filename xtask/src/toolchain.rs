//! WebAssembly toolchains: rustup's, or Debian's where rustup's servers are unreachable.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Error, cargo, on_path, output, root, run, say};
use crate::setup::debian_packages;

/// A WebAssembly target of this project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The browser: the page's engine.
    Browser,
    /// WASI, with files and a `main`: the 32-bit tests.
    Wasi,
}

impl Target {
    /// Returns the target triple.
    pub fn triple(self) -> &'static str {
        match self {
            Target::Browser => "wasm32-unknown-unknown",
            Target::Wasi => "wasm32-wasip1",
        }
    }

    /// Returns the Debian packages that building for the target needs.
    fn debian_packages(self) -> &'static [&'static str] {
        match self {
            Target::Browser => &["rustc-web", "cargo-web", "rust-web-src", "lld"],
            Target::Wasi => &["rustc-web", "cargo-web", "rust-web-src", "lld", "wasi-libc"],
        }
    }

    /// Returns the `-Z build-std` argument: the standard library crates that Debian's compiler builds from source.
    fn debian_std(self) -> &'static str {
        match self {
            Target::Browser => "build-std=std,panic_abort",
            Target::Wasi => "build-std=std,panic_abort,test",
        }
    }

    /// Returns whether the default toolchain has the target's standard library.
    fn has_std(self) -> bool {
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        let folder = output(rustc.args(["--print", "target-libdir", "--target", self.triple()]));
        let entries = folder.and_then(|folder| Path::new(&folder).read_dir().ok());
        entries.into_iter().flatten().flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
    }

    /// Returns whether all of the target's Debian packages are installed.
    fn has_debian(self) -> bool {
        let mut query = Command::new("dpkg-query");
        query.args(["--show", "--showformat=${db:Status-Status} "]).args(self.debian_packages());
        output(&mut query).is_some_and(|states| states.split(' ').all(|state| state == "installed"))
    }
}

/// A Rust toolchain for a [`Target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Toolchain {
    target: Target,
    /// Use Debian's rustc-web, which builds the standard library from its packaged source, instead of the cargo that
    /// runs this program.
    is_debian: bool,
}

impl Toolchain {
    /// Returns the default toolchain if it has or can install the target, else Debian's, which is installed if needed.
    pub fn get(target: Target) -> Result<Toolchain, Error> {
        let triple = target.triple();
        let (default, debian) = (Toolchain { target, is_debian: false }, Toolchain { target, is_debian: true });
        if target.has_std() {
            return Ok(default);
        }
        if target.has_debian() {
            return Ok(debian);
        }
        if on_path("rustup").is_some() {
            say(&format!("rustup target add {triple}"));
            let added = run(Command::new("rustup").args(["target", "add", triple]));
            if added.is_ok() && target.has_std() {
                return Ok(default);
            }
        }
        let what = format!("Rust's standard library for {triple}");
        debian_packages(&what, target.debian_packages(), || target.has_debian()).map_err(|error| match error {
            Error::Missing { what, by_hand } => {
                Error::Missing { what, by_hand: format!("rustup target add {triple}\n\nor\n\n    {by_hand}") }
            }
            other => other,
        })?;
        Ok(debian)
    }

    /// Returns the target directory. Debian's toolchain has a separate one, so that the two compilers do not invalidate
    /// each other's artifacts.
    pub fn target_dir(self) -> PathBuf {
        let target = root().join("target");
        if self.is_debian { target.join("wasm") } else { target }
    }

    /// Returns this toolchain's cargo with the given subcommand for the target.
    pub fn cargo(self, command: &str) -> Command {
        let mut cargo = if self.is_debian { self.debian_cargo() } else { cargo() };
        cargo.args([command, "--target", self.target.triple(), "--target-dir"]).arg(self.target_dir());
        cargo
    }

    /// Returns Debian's cargo with `-Z build-std`, without the environment variables that rustup's cargo sets.
    fn debian_cargo(self) -> Command {
        let mut command = Command::new("/usr/bin/cargo");
        for name in ["CARGO", "LD_LIBRARY_PATH", "RUSTUP_TOOLCHAIN", "RUSTUP_HOME"] {
            command.env_remove(name);
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(PathBuf::from("/usr/bin")).chain(std::env::split_paths(&path));
        if let Ok(path) = std::env::join_paths(folders) {
            command.env("PATH", path);
        }
        let triple = self.target.triple().to_uppercase().replace('-', "_");
        command
            .env("RUSTC", "/usr/bin/rustc")
            .env("RUSTC_BOOTSTRAP", "1") // -Z on a stable compiler
            .env(format!("CARGO_TARGET_{triple}_LINKER"), "wasm-ld")
            .args(["-Z", self.target.debian_std()]);
        if self.target == Target::Wasi {
            let libc = "/usr/lib/wasm32-wasi";
            let flags = format!("-C link-self-contained=no -L native={libc} -C link-arg={libc}/crt1-command.o");
            command.env(format!("CARGO_TARGET_{triple}_RUSTFLAGS"), flags);
        }
        command
    }
}
