//! web/engine/types.d.ts, which is generated from the engine's Rust types.
//! `UPDATE=1 cargo test -p lora-loupe-tests --test types` updates it.

#[test]
fn the_pages_types_are_up_to_date() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/engine/types.d.ts");
    let generated = lora_loupe::wasm::types::typescript();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &generated).expect("a writable types.d.ts");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == generated, "types.d.ts differs from the Rust types: run this test with UPDATE=1");
}
