//! The page's types are those of the engine: web/engine/types.d.ts is what Rust generates.
//! `UPDATE=1 cargo test -p lora-loupe-tests --test types` writes it anew.

#[test]
fn the_pages_types_are_up_to_date() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/engine/types.d.ts");
    let generated = lora_loupe::wasm::types::typescript();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &generated).expect("types.d.ts can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == generated, "types.d.ts is not what the Rust types generate: run this test with UPDATE=1");
}
