//! Templates of prompts against the library of sd-dynamic-prompts (tests/make/templates.py), and styles.

use lora_loupe::text::{Style, TemplateError, Wildcards, fill, read_styles};
use lora_loupe_tests::golden;
use proptest::prelude::*;
use serde_json::Value;

/// Returns wildcards with these files.
fn wildcards(files: &[(&str, &str)]) -> Wildcards {
    let mut wildcards = Wildcards::default();
    files.iter().for_each(|(name, text)| wildcards.add(name, text));
    wildcards
}

#[test]
fn seeds_choose_as_in_sd_dynamic_prompts() {
    let recorded = golden::json("golden/templates.json");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut files = Wildcards::default();
    recorded["files"].as_object().expect("files").iter().for_each(|(name, lines)| files.add(name, &text(lines)));
    let seeds: Vec<u64> =
        recorded["seeds"].as_array().expect("seeds").iter().map(|seed| seed.as_u64().expect("a seed")).collect();
    let mut count = 0;
    for case in recorded["templates"].as_array().expect("templates") {
        let template = text(&case[0]);
        for (seed, expected) in seeds.iter().zip(case[1].as_array().expect("prompts")) {
            assert_eq!(fill(&template, *seed, &files), Ok(text(expected)), "{template} with seed {seed}");
            count += 1;
        }
    }
    assert!(count > 200, "{count} prompts");
}

#[test]
fn templates_that_cannot_be_filled_say_why() {
    let files = wildcards(&[("loop.txt", "a __loop__"), ("empty", "# only a comment\n")]);
    let failed = |template: &str| fill(template, 1, &files).expect_err("an error");
    assert_eq!(failed("a __hat__"), TemplateError::Missing("hat".into()));
    assert!(failed("a __hat__").to_string().contains("open hat.txt"));
    assert_eq!(failed("__empty__"), TemplateError::Missing("empty".into()));
    assert_eq!(failed("{a|b"), TemplateError::Open);
    assert_eq!(failed("__loop__"), TemplateError::Deep);
    assert_eq!(failed(&"{a|".repeat(1000)), TemplateError::Deep);
    for unsupported in ["${x=red} ${x}", "%{a$$b}", "{@a|b}", "{!a|b}", "__@loop__"] {
        assert!(matches!(failed(unsupported), TemplateError::Unsupported(_)), "{unsupported}");
    }
    for text in ["50% off, $5 __", "a } b | c", "x__\n__y", ""] {
        assert_eq!(fill(text, 1, &files).as_deref(), Ok(text));
    }
}

#[test]
fn styles_are_added_as_in_the_web_ui() {
    let csv = "\u{feff}name,prompt,negative_prompt\r\n\
               Ink,\"{prompt}, \"\"ink\"\" drawing\",photo\r\n\
               -----,,\r\n\
               \"Old, soft\",\"soft\nlight\",\r\n";
    let styles = read_styles(csv);
    let style = |name: &str, prompt: &str, negative: &str| Style {
        name: name.into(),
        prompt: prompt.into(),
        negative: negative.into(),
    };
    assert_eq!(styles, [style("Ink", "{prompt}, \"ink\" drawing", "photo"), style("Old, soft", "soft\nlight", ""),]);
    assert_eq!(styles[0].apply("a cat ", "blurry"), ("a cat , \"ink\" drawing".into(), "blurry, photo".into()));
    assert_eq!(styles[1].apply(" a cat ", ""), ("a cat, soft\nlight".into(), String::new()));
    assert_eq!(styles[1].apply("", ""), ("soft\nlight".into(), String::new()));
    assert_eq!(read_styles("name,text\nold,words")[0], style("old", "words", ""), "the column's former name");
    assert_eq!(read_styles(""), []);
}

proptest! {
    #[test]
    fn any_template_is_filled_or_refused(
        template in "([{}|$_a-c0-2:~ ]|__a__|\\$\\$|::|é){0,40}",
        seed in any::<u64>(),
    ) {
        let files = wildcards(&[("a", "x\n{y|z}\n__a__")]);
        if let Ok(filled) = fill(&template, seed, &files) {
            prop_assert_eq!(fill(&template, seed, &files), Ok(filled));
        }
    }

    #[test]
    fn any_csv_is_read(csv in "([a-c\",\n\r]|name|prompt){0,60}") {
        read_styles(&csv);
    }
}
