//! Compiles the kernels for AMD cards; see compiled/table.rs. WebAssembly has no Vulkan.

#[cfg(not(target_family = "wasm"))]
#[path = "compiled/table.rs"]
mod table;

#[cfg(not(target_family = "wasm"))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    table::main()
}

#[cfg(target_family = "wasm")]
fn main() {}
