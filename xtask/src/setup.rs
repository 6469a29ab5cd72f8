//! Installation of what builds and tests need beyond git, cargo and Node.
//!
//! Every step does nothing if its dependency is already installed. A step that lacks permission or a package manager
//! fails with the exact command to run by hand.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Error, on_path, output, root, run, say};

/// Oldest Node version that Vite supports, as (major, minor).
const NODE_VERSION: (u32, u32) = (20, 19);

/// Debian's packages of the Vulkan loader and drivers.
const VULKAN_PACKAGES: [&str; 2] = ["mesa-vulkan-drivers", "libvulkan1"];
/// Folders in which the Vulkan loader looks for drivers' manifests.
const VULKAN_FOLDERS: [&str; 3] = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];

/// Installs the npm packages of package-lock.json in node_modules/.
pub fn npm_packages() -> Result<(), Error> {
    node()?;
    let modified = |file: &str| root().join(file).metadata().and_then(|data| data.modified()).ok();
    // npm writes this file last, so an interrupted install does not look complete.
    let installed = modified("node_modules/.package-lock.json");
    if installed.is_some() && installed >= modified("package-lock.json") {
        return Ok(());
    }
    say("npm ci");
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    run(Command::new(npm).args(["ci", "--no-audit", "--no-fund"]))
}

/// Installs a Chromium with WebGPU if needed and returns the path of its executable.
pub fn chromium() -> Result<PathBuf, Error> {
    if let Some(path) = std::env::var_os("CHROME_PATH").map(PathBuf::from) {
        let missing = || Error::Missing {
            what: format!("Chromium at {} (from CHROME_PATH)", path.display()),
            by_hand: "unset CHROME_PATH".into(),
        };
        return if path.is_file() { Ok(path) } else { Err(missing()) };
    }
    debian_packages("Chromium", &["chromium"], || find_chromium().is_some())?;
    find_chromium()
        .ok_or_else(|| Error::Missing { what: "Chromium".into(), by_hand: "export CHROME_PATH=/path/to/chrome".into() })
}

/// Installs Firefox if needed and returns the path of its executable.
pub fn firefox() -> Result<PathBuf, Error> {
    if let Some(path) = std::env::var_os("FIREFOX_PATH").map(PathBuf::from).filter(|path| path.is_file()) {
        return Ok(path);
    }
    debian_packages("Firefox", &["firefox-esr"], || find_firefox().is_some())?;
    find_firefox().ok_or_else(|| Error::Missing {
        what: "Firefox".into(),
        by_hand: "export FIREFOX_PATH=/path/to/firefox".into(),
    })
}

/// Installs WebKit's driver with its browser, and a virtual screen for it, on Linux.
pub fn webkit() -> Result<(), Error> {
    let is_installed = || on_path("WebKitWebDriver").is_some() && on_path("Xvfb").is_some();
    debian_packages("WebKit and a virtual screen", &["webkit2gtk-driver", "xvfb"], is_installed)
}

/// Installs the rustup component that provides `program`.
pub fn rust_component(component: &str, program: &str) -> Result<(), Error> {
    let is_installed = || output(Command::new(program).arg("--version")).is_some();
    if is_installed() {
        return Ok(());
    }
    if on_path("rustup").is_some() {
        say(&format!("rustup component add {component}"));
        run(Command::new("rustup").args(["component", "add", component]))?;
    }
    if is_installed() {
        Ok(())
    } else {
        Err(Error::Missing { what: program.into(), by_hand: format!("rustup component add {component}") })
    }
}

/// Installs a Vulkan loader and driver on Linux; Mesa's packages include a software rasterizer.
pub fn vulkan() -> Result<(), Error> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    debian_packages("a Vulkan driver", &VULKAN_PACKAGES, || vulkan_loader() && vulkan_driver())
}

/// Installs Mesa's driver of AMD cards, which compiles for cards that are not there; Debian has it in the same package
/// as the software rasterizer.
pub fn radv() -> Result<(), Error> {
    let has_manifest = || {
        let folders = VULKAN_FOLDERS.iter().map(Path::new);
        folders.into_iter().any(|folder| has_entry(folder, |name| name.starts_with("radeon_icd")))
    };
    debian_packages("AMD's Vulkan driver in Mesa (RADV)", &VULKAN_PACKAGES, || vulkan_loader() && has_manifest())
}

/// Checks that `node` is installed and recent enough.
pub fn node() -> Result<(), Error> {
    let (major, minor) = NODE_VERSION;
    let version = output(Command::new("node").arg("--version")).unwrap_or_default();
    let mut numbers = version.trim_start_matches('v').split('.').map_while(|n| n.parse().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found >= NODE_VERSION {
        return Ok(());
    }
    let found = if version.is_empty() { "node is not on PATH".into() } else { format!("found {version}") };
    Err(Error::Missing {
        what: format!("Node {major}.{minor} or newer ({found})"),
        by_hand: "open https://nodejs.org/en/download".into(),
    })
}

/// Searches the usual names and install paths for Chromium or Chrome.
fn find_chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
    let paths = [
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "C:/Program Files/Google/Chrome/Application/chrome.exe",
    ];
    let named = names.iter().find_map(|name| on_path(name));
    named.or_else(|| paths.iter().map(PathBuf::from).find(|path| path.is_file()))
}

/// Searches the usual names and install paths for Firefox.
fn find_firefox() -> Option<PathBuf> {
    let paths = ["/Applications/Firefox.app/Contents/MacOS/firefox", "C:/Program Files/Mozilla Firefox/firefox.exe"];
    let named = ["firefox-esr", "firefox"].iter().find_map(|name| on_path(name));
    named.or_else(|| paths.iter().map(PathBuf::from).find(|path| path.is_file()))
}

/// Returns whether the Vulkan loader, libvulkan.so.1, is in a system library folder.
fn vulkan_loader() -> bool {
    let arch = std::env::consts::ARCH;
    let folders = [format!("/usr/lib/{arch}-linux-gnu"), "/usr/lib64".into(), "/usr/lib".into()];
    folders.iter().any(|folder| Path::new(folder).join("libvulkan.so.1").exists())
}

/// Returns whether a Vulkan driver is installed, by manifests in the loader's folders or environment variables.
fn vulkan_driver() -> bool {
    let named = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].iter().any(|name| std::env::var_os(name).is_some());
    named || VULKAN_FOLDERS.iter().any(|folder| has_entry(Path::new(folder), |name| name.ends_with(".json")))
}

fn has_entry(folder: &Path, wanted: impl Fn(&str) -> bool) -> bool {
    let Ok(entries) = folder.read_dir() else { return false };
    entries.flatten().any(|entry| wanted(&entry.file_name().to_string_lossy()))
}

/// Installs Debian packages unless `is_installed`. Needs root; otherwise the error gives the command.
pub fn debian_packages(what: &str, packages: &[&str], is_installed: impl Fn() -> bool) -> Result<(), Error> {
    if is_installed() {
        return Ok(());
    }
    let install = format!("apt-get update && apt-get install -y {}", packages.join(" "));
    let is_root = output(Command::new("id").arg("-u")).is_some_and(|id| id == "0");
    if is_root && on_path("apt-get").is_some() {
        say(&install);
        run(Command::new("sh").args(["-c", &install]).env("DEBIAN_FRONTEND", "noninteractive"))?;
        if is_installed() {
            return Ok(());
        }
    }
    Err(Error::Missing { what: what.into(), by_hand: format!("sudo sh -c '{install}'") })
}
