//! Arbitrary bytes and arbitrarily damaged files: no reader panics, and safetensors headers are read as by the
//! safetensors crate.

use lora_loupe::analysis::inspect;
use lora_loupe::formats::{Dtype, Header, TensorInfo, View, read_header, widen::widen};
use lora_loupe::num::{host_len, numel};
use lora_loupe_tests::containers::zip;
use pollster::block_on;
use proptest::prelude::*;
use safetensors::SafeTensors;

/// Generates well-formed files of small tensors with adapter keys.
fn valid_file() -> impl Strategy<Value = Vec<u8>> {
    let stem = prop_oneof![
        Just("lora_unet_mid_block_attentions_0_proj_in"),
        Just("lora_unet_conv_in"),
        Just("lora_te_text_model_encoder_layers_0_mlp_fc1"),
        Just("unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"),
        Just("unrelated"),
    ];
    let suffix = prop_oneof![
        Just("lora_up.weight"),
        Just("lora_down.weight"),
        Just("lora_mid.weight"),
        Just("alpha"),
        Just("lora_A.weight"),
        Just("lora_B.weight"),
        Just("hada_w1_a"),
        Just("lokr_w1"),
        Just("diff"),
        Just("dora_scale"),
        Just("oft_blocks"),
        Just("weight"),
    ];
    let dtype =
        prop_oneof![Just(("F32", 4)), Just(("F16", 2)), Just(("BF16", 2)), Just(("F8_E4M3", 1)), Just(("I64", 8))];
    let shape = prop::collection::vec(0usize..5, 0..5);
    let entry = (stem, suffix, dtype, shape, any::<u8>());
    prop::collection::vec(entry, 0..12).prop_map(|entries| {
        let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
        for (stem, suffix, (dtype, width), shape, fill) in entries {
            let name = format!("{stem}.{suffix}");
            if header.contains_key(&name) {
                continue;
            }
            let start = data.len();
            data.resize(start + width * host_len(numel(&shape)), fill);
            let info = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [start, data.len()]});
            header.insert(name, info);
        }
        let text = serde_json::to_vec(&header).expect("a header");
        [&(text.len() as u64).to_le_bytes()[..], &text, &data].concat()
    })
}

/// Reads a file with every reader.
fn read_all(bytes: &Vec<u8>) {
    let report = block_on(inspect("any", bytes, None, None));
    assert!(!report.verdict.is_empty());
    if let Ok(header) = block_on(read_header(bytes)) {
        for tensor in &header.tensors {
            let _ = block_on(tensor.read(bytes));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read_all(&bytes);
    }

    #[test]
    fn arbitrary_pickles_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read_all(&[&[0x80, 2][..], &bytes].concat());
    }

    #[test]
    fn arbitrary_gguf_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), count in 0u64..5) {
        let head = [&b"GGUF\x03\0\0\0"[..], &count.to_le_bytes(), &count.to_le_bytes()].concat();
        read_all(&[head, bytes].concat());
    }

    #[test]
    fn arbitrary_archives_do_not_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..600), deflate in any::<bool>(), claim in any::<Option<u32>>(),
        at in any::<prop::sample::Index>(), to in any::<u8>()
    ) {
        let mut archive = zip(&[("a.safetensors", &bytes), ("b.pt", b"\x80\x02].")], deflate, claim);
        let at = at.index(archive.len());
        archive[at] = to;
        read_all(&archive);
    }

    #[test]
    fn valid_files_are_read_as_by_the_safetensors_crate(bytes in valid_file()) {
        let header = block_on(Header::read(&bytes)).expect("a valid header");
        let reference = SafeTensors::deserialize(&bytes).expect("a valid file");
        prop_assert_eq!(header.tensors.len(), reference.len());
        for tensor in &header.tensors {
            let view = reference.tensor(&tensor.name).expect("the same tensor");
            prop_assert_eq!(view.shape(), tensor.shape.as_slice());
            prop_assert_eq!(view.data(), &bytes[tensor.bytes.start as usize..tensor.bytes.end as usize]);
            prop_assert_eq!(widen(tensor.dtype, view.data()).expect("numbers").len() as u64, tensor.elements());
        }
        read_all(&bytes);
    }

    /// Overlapping or far apart, in any order of the axes, and in blocks of any length.
    #[test]
    fn views_have_the_elements_at_their_strides(
        axes in prop::collection::vec((0usize..5, prop::sample::select(vec![0u64, 1, 2, 3, 7, 60, 300, 5000])), 0..5),
        start in 0u64..9, is_big_endian in any::<bool>(), len in 1u64..70
    ) {
        let (shape, strides): (Vec<usize>, Vec<u64>) = axes.into_iter().unzip();
        let mut offsets = vec![0u64];
        for (&axis, stride) in shape.iter().zip(&strides) {
            offsets = offsets.iter().flat_map(|offset| (0..axis as u64).map(move |at| offset + at * stride)).collect();
        }
        let end = offsets.iter().max().map_or(start, |last| start + 2 * last + 2);
        let file: Vec<u8> = (0..end).map(|at| (at * at % 251) as u8).collect();
        let view = Some(View { strides, is_big_endian });
        let tensor = TensorInfo { name: "a".into(), dtype: Dtype::U16, shape, bytes: start..end, view, blocks: None };
        let element = |offset: &u64| {
            let at = (start + 2 * offset) as usize;
            if is_big_endian { [file[at + 1], file[at]] } else { [file[at], file[at + 1]] }
        };
        let expect: Vec<u8> = offsets.iter().flat_map(element).collect();
        prop_assert_eq!(&block_on(tensor.read_bytes(&file)).expect("inside the file"), &expect);
        prop_assert_eq!(block_on(tensor.read(&file)).expect("numbers"), widen(Dtype::U16, &expect).expect("numbers"));
        let (mut blocks, mut joined) = (tensor.blocks(&file, len), Vec::new());
        while let Some(block) = block_on(blocks.next()).expect("inside the file") {
            joined.extend(block);
        }
        prop_assert_eq!(&joined, &expect);
        if let Some(&rows) = tensor.shape.first() {
            let parts = (0..rows).flat_map(|row| block_on(tensor.rows(row..row + 1).read_bytes(&file)).expect("a row"));
            prop_assert_eq!(parts.collect::<Vec<u8>>(), expect);
        }
    }

    #[test]
    fn accepted_corrupted_files_are_accepted_by_the_safetensors_crate(
        bytes in valid_file(), at in any::<prop::sample::Index>(), to in any::<u8>(), cut in 0usize..4
    ) {
        let mut bytes = bytes;
        let at = at.index(bytes.len());
        bytes[at] = to;
        bytes.truncate(bytes.len() - cut.min(bytes.len()));
        if block_on(Header::read(&bytes)).is_ok() {
            prop_assert!(SafeTensors::deserialize(&bytes).is_ok());
        }
        read_all(&bytes);
    }
}
