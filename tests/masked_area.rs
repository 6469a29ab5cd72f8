//! Inpainting of the masked area alone, compared with what Pillow and OpenCV make of the same images.

use lora_loupe::pipeline::{DecodedImage, MaskedArea, MaskedAreaSettings, decode_png};
use lora_loupe_tests::golden;

fn image(name: &str, what: &str) -> DecodedImage {
    decode_png(&golden::bytes(&format!("golden/masked_area/{name}.{what}.png"))).expect("an image")
}

/// Returns the largest difference of two images of the same size, and the share of values that differ.
fn difference(got: &DecodedImage, wanted: &DecodedImage) -> (u8, f64) {
    assert_eq!((got.width, got.height), (wanted.width, wanted.height));
    let differences: Vec<u8> = got.rgb.iter().zip(&wanted.rgb).map(|(a, b)| a.abs_diff(*b)).collect();
    let differing = differences.iter().filter(|&&difference| difference > 0).count();
    (differences.iter().copied().max().unwrap_or(0), differing as f64 / differences.len() as f64)
}

#[test]
fn the_area_is_cut_out_and_pasted_back_as_the_web_ui_does_it() {
    let cases = golden::json("golden/masked_area/cases.json");
    for case in cases.as_array().expect("a list") {
        let name = case["name"].as_str().expect("a name");
        let number = |value: &serde_json::Value| usize::try_from(value.as_u64().expect("a number")).expect("a number");
        let padding = (!case["padding"].is_null()).then(|| number(&case["padding"]));
        let settings = MaskedAreaSettings { padding, blur: number(&case["blur"]) };
        let size = (number(&case["size"][0]), number(&case["size"][1]));
        let area = MaskedArea::new(image(name, "image"), &image(name, "mask"), settings, size).expect("an area");

        // The crop region is right if this is: Pillow's filter is computed bit by bit.
        assert_eq!(difference(&area.start(), &image(name, "start")).0, 0, "{name}");

        let wanted = image(name, "latent_mask");
        let mask = area.start_mask(8);
        let differing = (0..wanted.width * wanted.height).filter(|at| {
            let pixel = at / wanted.width * 8 * size.0 + at % wanted.width * 8;
            (mask[pixel] >= 0.5) != (wanted.rgb[3 * at] > 127)
        });
        assert_eq!(differing.count(), 0, "{name}: positions of the latents");

        // OpenCV blurs with weights of 8 bits, and Pillow rounds products of alpha: by a level or two along the edge.
        let got = area.finished(image(name, "generated"));
        let (most, share) = difference(&got, &image(name, "pasted"));
        println!("{name}: {most} levels, {share:.4} of the values differ");
        assert!(most <= 2 && share < 0.25, "{name}: {most} levels, {share}");
        let black = DecodedImage { rgb: vec![0; got.rgb.len()], ..image(name, "mask") };
        assert!(MaskedArea::new(got, &black, settings, size).is_err(), "{name}: a black mask");
    }
}
