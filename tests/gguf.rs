//! GGUF files: every block type against the values of the gguf package (tests/make/gguf_blocks.py), and base models in
//! GGUF files under the names of stable-diffusion.cpp and of ComfyUI-GGUF.

use lora_loupe::formats::{ByteSource, read_header};
use lora_loupe_tests::golden;

#[test]
fn blocks_are_decoded_as_by_the_gguf_package() {
    let file = std::fs::read(golden::path("golden/gguf/blocks.gguf")).expect("a file");
    let header = pollster::block_on(read_header(&file)).expect("a header");
    let expected = golden::tensors("golden/gguf/blocks.safetensors");
    assert_eq!((header.tensors.len(), expected.len()), (11, 11));
    for tensor in &header.tensors {
        let expected = &expected[&tensor.name];
        assert_eq!(tensor.shape, expected.shape, "{}", tensor.name);
        let values = pollster::block_on(tensor.read(&file)).expect("values");
        assert_eq!(values, expected.data, "{}", tensor.name);
        // In blocks of any length, and by rows.
        for len in [1, 100, 2000] {
            let mut blocks = tensor.blocks(&file as &dyn ByteSource, len);
            let mut bytes = Vec::new();
            while let Some(block) = pollster::block_on(blocks.next()).expect("a block") {
                bytes.extend(block);
            }
            let decoded: Vec<f32> =
                bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect();
            assert_eq!(decoded, values, "{} in blocks of {len}", tensor.name);
        }
        if tensor.has_whole_rows() {
            let row = pollster::block_on(tensor.rows(1..2).read(&file)).expect("a row");
            assert_eq!(row, values[512..1024], "{}", tensor.name);
        }
    }
    assert!(header.get("kernel").is_some_and(|kernel| !kernel.has_whole_rows()));
}
