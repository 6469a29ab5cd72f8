//! Pickles of every kind that PyTorch saves, compared with the values that PyTorch loads (tests/make/pickles.py). The
//! hostile ones are in tests/hostile.rs.

use lora_loupe::analysis::inspect;
use lora_loupe::formats::{Header, read_header};
use lora_loupe_tests::containers::{entries, safetensors};
use lora_loupe_tests::edits::{converted, open};
use lora_loupe_tests::golden;
use pollster::block_on;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Expected {
    dtype: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

fn files() -> BTreeMap<String, BTreeMap<String, Expected>> {
    serde_json::from_str(&golden::text("golden/pickles/expected.json")).expect("the expected tensors")
}

fn bytes(file: &str) -> Vec<u8> {
    golden::bytes(&format!("golden/pickles/{file}"))
}

/// safetensors' name of PyTorch's dtype.
fn dtype(name: &str) -> String {
    let short = match name {
        "float64" | "float32" | "float16" => name.replace("float", "F"),
        "complex64" => "C64".to_owned(),
        "float8_e8m0fnu" => "F8_E8M0".to_owned(),
        "float8_e4m3fn" => "F8_E4M3".to_owned(),
        _ => name.replace("bfloat", "BF").replace("float", "F").replace("uint", "U").replace("int", "I"),
    };
    short.to_uppercase()
}

#[test]
fn tensors_are_those_that_pytorch_loads() {
    for (file, tensors) in files() {
        let bytes = bytes(&file);
        let header = block_on(read_header(&bytes)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let names: Vec<&String> = header.tensors.iter().map(|tensor| &tensor.name).collect();
        assert_eq!(names.len(), tensors.len(), "{file}: {names:?}");
        for (name, expected) in tensors {
            let tensor = header.get(&name).unwrap_or_else(|| panic!("{file}: {name} is not among {names:?}"));
            assert_eq!(
                (&tensor.shape, tensor.dtype.to_string()),
                (&expected.shape, dtype(&expected.dtype)),
                "{file} {name}"
            );
            match block_on(tensor.read(&bytes)) {
                Ok(values) => assert_eq!(values, expected.values, "{file} {name}"),
                Err(error) => assert!(["C64", "F8_E8M0"].contains(&&*dtype(&expected.dtype)), "{file} {name}: {error}"),
            }
        }
    }
}

/// A file cut anywhere is an error or has all of its values.
#[test]
fn every_truncation_of_a_pickle_is_an_error() {
    for file in ["views.pt", "views_legacy.pt", "storage_parts_legacy.pt"] {
        let bytes = bytes(file);
        for len in (4..bytes.len()).step_by(7) {
            let cut = bytes[..len].to_vec();
            assert!(block_on(read_header(&cut)).is_err(), "{len} of {} bytes of {file}", bytes.len());
        }
    }
}

/// Reports, comparisons and rewritten files have the values of a view, not the bytes around it.
#[test]
fn an_adapter_of_views_is_the_same_as_its_contiguous_copy() {
    let file = bytes("adapter_views.pt");
    let header = block_on(read_header(&file)).expect("a header");
    assert!(header.tensors.iter().filter(|tensor| tensor.view.is_some()).count() >= 2);
    let copy = safetensors(&[], &entries(&file));
    let report = block_on(inspect("views.pt", &file, None, None));
    let same = block_on(inspect("copy.safetensors", &copy, None, None));
    assert!(!report.is_refused(), "{:?}", report.problems);
    assert_eq!(report.modules.len(), 1);
    assert_eq!(report.modules[0].norm, same.modules[0].norm);
    assert_eq!((report.modules[0].rank, report.modules[0].scale), (Some(2), 2.0));
    let opened = open("views.pt", &file, None);
    let (out, _) = converted(&opened, &Default::default()).expect("a file");
    assert!(block_on(Header::read(&out)).is_ok());
    let sorted = |file: &Vec<u8>| {
        let mut list = entries(file);
        list.sort_by(|a, b| a.0.cmp(&b.0));
        list
    };
    assert_eq!(sorted(&out), sorted(&copy));
}
