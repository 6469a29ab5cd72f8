//! Prompt syntax compared with the web UI: prompt editing, extra networks, chunks and emphasis.

use lora_loupe::pipeline::Recipe;
use lora_loupe::program::Program;
use lora_loupe::text::{
    CHUNK_LEN, Chunk, ExtraNetwork, NetworkKind, Tokenizer, count, emphasis, extra_networks, level, parse_attention,
    schedule, text_at,
};
use lora_loupe_tests::{compare::rel_rms, golden};
use proptest::prelude::*;
use std::sync::LazyLock;

static CLIP: LazyLock<Tokenizer> = LazyLock::new(Tokenizer::clip);

const START: u32 = 49406;
const END: u32 = 49407;
const COMMA: u32 = 267;
const DOG: u32 = 1929;
const CAT: u32 = 2368;

#[test]
fn schedules_agree_with_the_web_ui() {
    let golden = golden::json("golden/prompt_weights/schedules.json");
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 76);
    for case in cases {
        let expected: Vec<(usize, String)> = serde_json::from_value(case["schedule"].clone()).unwrap();
        let (prompt, steps) = (case["prompt"].as_str().unwrap(), case["steps"].as_u64().unwrap() as usize);
        assert_eq!(schedule(prompt, steps), expected, "{prompt:?} in {steps} steps");
    }
}

#[test]
fn prompts_change_at_the_same_calls_as_in_the_web_ui() {
    let indices = |prompt: &str| (0..6).map(|call| text_at(&schedule(prompt, 6), call)).collect::<Vec<_>>();
    assert_eq!(indices("a"), [0; 6]);
    assert_eq!(indices("[a:b:3]"), [0, 0, 0, 0, 1, 1]);
    assert_eq!(indices("[a|b]"), [0, 0, 1, 2, 3, 4]);
    assert_eq!(text_at(&schedule("[a:b:3]", 6), 99), 0);
}

fn lora(name: &str, text_encoder: f32, unet: f32) -> ExtraNetwork {
    ExtraNetwork { kind: NetworkKind::Lora, name: name.into(), text_encoder, unet, blocks: None, unread: Vec::new() }
}

#[test]
fn lora_tags_are_removed_with_their_strengths() {
    let cases = [
        ("a <lora:ink:0.8> b", "a  b", lora("ink", 0.8, 0.8)),
        ("<lora:ink>", "", lora("ink", 1.0, 1.0)),
        ("<lora:ink:0.2:0.9>", "", lora("ink", 0.2, 0.9)),
        ("<lora:ink:te=0.5:unet=1>", "", lora("ink", 0.5, 1.0)),
        ("<lora:ink:te=0.5>", "", lora("ink", 0.5, 0.5)),
        ("<lora:ink:0.7:unet=-0.1>", "", lora("ink", 0.7, -0.1)),
        ("<lora:ink:0.7:te=0.1>", "", lora("ink", 0.1, 0.1)),
        ("<lyco:ink v1.2, (new): .5 >", "", lora("ink v1.2, (new)", 0.5, 0.5)),
        ("< <lora:a=b:1>>", "< >", lora("a=b", 1.0, 1.0)),
    ];
    for (prompt, clean, network) in cases {
        assert_eq!(extra_networks(prompt), (clean.into(), vec![network]), "{prompt:?}");
    }
}

#[test]
fn unsupported_tags_and_arguments_are_reported() {
    let (clean, networks) = extra_networks("<hypernet:old:0.5>x<lora:ink:0.8:0.6:8:lbw=IN02:nan>");
    let kinds: Vec<&NetworkKind> = networks.iter().map(|network| &network.kind).collect();
    assert_eq!(clean, "x");
    assert_eq!(kinds, [&NetworkKind::Unsupported("hypernet".into()), &NetworkKind::Lora]);
    assert_eq!((networks[1].text_encoder, networks[1].unet), (0.8, 0.6));
    assert_eq!(networks[1].unread, ["8", "nan"]);
    assert_eq!(networks[1].blocks.as_deref(), Some("IN02"));
    for no_strength in ["strong", "nan", "-inf", ""] {
        let (_, networks) = extra_networks(&format!("<lora:ink:{no_strength}>"));
        assert_eq!((networks[0].unet, networks[0].unread.as_slice()), (1.0, [no_strength.to_owned()].as_slice()));
    }
}

#[test]
fn other_angle_brackets_are_kept() {
    for prompt in ["a < b > c", "<lora>", "<lora:>", "<:a>", "<lora:a", "<a b:c>", "<3 <3", ">", "<"] {
        assert_eq!(extra_networks(prompt), (prompt.into(), vec![]), "{prompt:?}");
    }
}

/// Returns the token ids of each chunk without start, end and padding.
fn contents(prompt: &str) -> Vec<Vec<u32>> {
    let inside = |chunk: &Chunk| {
        assert_eq!((chunk.ids[0], chunk.ids[CHUNK_LEN - 1]), (START, END));
        chunk.ids[1..].iter().copied().take_while(|id| *id != END).collect()
    };
    Chunk::weighted(&CLIP, prompt, &[]).iter().map(inside).collect()
}

#[test]
fn a_chunk_holds_75_ids() {
    assert_eq!(contents(""), [[0; 0]]);
    assert_eq!(contents("dog cat"), [[DOG, CAT]]);
    assert_eq!(contents(&"dog ".repeat(75)), [[DOG; 75]]);
    assert_eq!(contents(&"dog ".repeat(76)), [vec![DOG; 75], vec![DOG]]);
    let chunk = &Chunk::weighted(&CLIP, "a (red:1.5) [cat]", &[])[0];
    assert_eq!(chunk.ids[..5], [START, 320, 736, CAT, END]);
    assert_eq!(chunk.weights[..5], [1.0, 1.0, 1.5, (1.0 / 1.1f64) as f32, 1.0]);
    assert!(chunk.weights[5..].iter().all(|weight| *weight == 1.0));
}

#[test]
fn break_starts_a_chunk() {
    assert_eq!(contents("dog BREAK cat"), [[DOG], [CAT]]);
    assert_eq!(contents("BREAK cat"), [vec![], vec![CAT]]);
    assert_eq!(contents("dog BREAK"), [[DOG]]);
    assert_eq!(contents("(dog BREAK cat:1.0)"), [[DOG], [CAT]]);
    assert_eq!(contents("dog (BREAK) cat").len(), 1, "in parentheses it is a word with weight -1.1");
}

#[test]
fn a_full_chunk_is_split_after_a_recent_comma() {
    let words = |before: usize, after: usize| format!("{}, {}", "dog ".repeat(before), "cat ".repeat(after));
    let dogs_and_comma = |dogs: usize| [vec![DOG; dogs], vec![COMMA]].concat();
    // The comma is the 20th token from the end, then the 21st.
    assert_eq!(contents(&words(55, 20)), [dogs_and_comma(55), vec![CAT; 20]]);
    assert_eq!(contents(&words(54, 21)), [[dogs_and_comma(54), vec![CAT; 20]].concat(), vec![CAT]]);
    // Everything fits, so nothing moves.
    assert_eq!(contents(&words(55, 19)), [[dogs_and_comma(55), vec![CAT; 19]].concat()]);
    // The comma is the last token, or the first of the next chunk.
    assert_eq!(contents(&words(74, 1)), [dogs_and_comma(74), vec![CAT]]);
    assert_eq!(contents(&words(75, 1)), [vec![DOG; 75], vec![COMMA, CAT]]);
    // A comma that does not fit does not move the tokens after the previous comma.
    let commas = contents(&format!("{}, {}, dog", "dog ".repeat(70), "cat ".repeat(4)));
    assert_eq!(commas, [[dogs_and_comma(70), vec![CAT; 4]].concat(), vec![COMMA, DOG]]);
    // A chunk without a comma is split at 75 tokens.
    let long = contents(&words(60, 120));
    assert_eq!(long, [dogs_and_comma(60), vec![CAT; 75], vec![CAT; 45]]);
    // Weights move with their tokens.
    let moved = Chunk::weighted(&CLIP, &format!("{}, (cat:1.5) {}", "dog ".repeat(60), "cat ".repeat(20)), &[]);
    assert_eq!(moved[1].weights[1..3], [1.5, 1.0]);
    assert!(moved[0].weights.iter().all(|weight| *weight == 1.0));
}

#[test]
fn padding_depends_on_the_model() {
    let sd2 = Tokenizer::clip().padded_with_zero();
    let chunk = &Chunk::weighted(&sd2, "dog", &[])[0];
    assert_eq!(chunk.ids[..4], [START, DOG, END, 0]);
    assert_eq!(chunk.ids[CHUNK_LEN - 1], 0);
    assert_eq!(Chunk::empty(&sd2).ids[..3], [START, END, 0]);
    assert_eq!(Chunk::empty(&CLIP).ids[1..], [END; CHUNK_LEN - 1]);
    assert_eq!(Chunk::weighted(&sd2, "dog <|endoftext|> cat", &[])[0].ids[..5], [START, DOG, END, 0, 0]);
    let full = &Chunk::weighted(&sd2, &"dog ".repeat(75), &[])[0];
    assert_eq!(full.ids[75..], [DOG, END]);
}

#[test]
fn shorter_prompts_are_padded_with_empty_chunks() {
    let mut prompts = [Chunk::weighted(&CLIP, "dog", &[]), Chunk::weighted(&CLIP, &"cat ".repeat(160), &[]), vec![]];
    level(&CLIP, &mut prompts);
    assert_eq!(prompts.each_ref().map(Vec::len), [3, 3, 3]);
    assert_eq!(prompts[0][0].ids[1], DOG);
    assert_eq!(prompts[0][1..], [Chunk::empty(&CLIP), Chunk::empty(&CLIP)]);
}

#[test]
fn plain_syntax_agrees_with_diffusers_and_reports_truncation() {
    for prompt in ["", "a (red:1.5) <lora:x:1> [cat|dog] BREAK", &"dog ".repeat(75)] {
        let (chunk, cut) = Chunk::plain(&CLIP, prompt, &[]);
        assert_eq!(chunk.ids.to_vec(), CLIP.encode_padded(prompt), "{prompt:?}");
        assert_eq!((chunk.weights, cut), ([1.0; CHUNK_LEN], vec![]), "{prompt:?}");
    }
    let long = format!("{}Extraordinarilyx, Cat", "dog ".repeat(74));
    let (chunk, cut) = Chunk::plain(&CLIP, &long, &[]);
    assert_eq!(chunk.ids.to_vec(), CLIP.encode_padded(&long));
    assert_eq!(cut, ["extraordinarilyx", ",", "cat"]);
    let sd2 = Tokenizer::clip().padded_with_zero();
    assert_eq!(Chunk::plain(&sd2, "dog", &[]).0.ids.to_vec(), sd2.encode_padded("dog"));
}

#[test]
fn token_counts_agree_with_the_web_ui() {
    let shown = |prompt: &str| count(&CLIP, prompt, Program::A1111, 20);
    assert_eq!(shown(""), (0, 75));
    assert_eq!(shown("a red cat, sitting"), (5, 75));
    assert_eq!(shown("(a (red:1.3) cat) <lora:ink:0.8>"), (3, 75));
    assert_eq!(shown(&"dog ".repeat(75)), (75, 75));
    assert_eq!(shown(&"dog ".repeat(76)), (76, 150));
    assert_eq!(shown("dog BREAK cat"), (76, 150));
    assert_eq!(shown("dog BREAK"), (75, 75));
    assert_eq!(shown(&format!("{}, {}", "dog ".repeat(55), "cat ".repeat(20))), (95, 150));
    assert_eq!(shown("[a cat:an old dog:0.5]"), (3, 75), "the longest of the scheduled prompts");
    assert_eq!(count(&CLIP, "[a cat|an old dog]", Program::A1111, 1), (2, 75));
    assert_eq!(count(&CLIP, &"dog ".repeat(80), Program::Diffusers, 20), (80, 75));
    assert_eq!(count(&CLIP, "(a)", Program::Diffusers, 20), (3, 75));
}

#[test]
fn programs_are_parsed_by_name() {
    let named = [("diffusers", Program::Diffusers), ("a1111", Program::A1111), ("comfyui", Program::Comfyui)];
    for (name, program) in named {
        assert_eq!(name.parse::<Program>().unwrap(), program);
        assert_eq!(serde_json::to_value(program).unwrap(), name);
    }
    let error = "comfy".parse::<Program>().unwrap_err().to_string();
    assert!(error.contains("comfy") && error.contains("a1111"), "{error}");
}

#[test]
fn recipes_with_a_prompt_syntax_name_a_program() {
    assert_eq!("plain".parse::<Program>().unwrap(), Program::Diffusers);
    for (syntax, program) in [("plain", Program::Diffusers), ("a1111", Program::A1111)] {
        let recipe = serde_json::json!({
            "version": 1, "model": "", "adapters": [], "prompt": "", "seed": 0, "steps": 1, "guidance": 1.0,
            "sampler": "ddim", "width": 8, "height": 8, "syntax": syntax
        });
        assert_eq!(serde_json::from_value::<Recipe>(recipe).unwrap().program, program);
    }
}

#[test]
fn emphasis_multiplies_and_restores_the_mean() {
    // Mean 3.5; weighted 1 2 6 8 15 18, mean 25 / 3; factor 0.42.
    let states = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let expected = [0.42, 0.84, 2.52, 3.36, 6.3, 7.56];
    assert!(rel_rms(&emphasis(&states, &[1.0, 2.0, 3.0]), &expected) < 1e-6);
    assert!(rel_rms(&emphasis(&states, &[1.0, 2.0, 2.9]), &expected) > 1e-3);
    assert_eq!(emphasis(&states, &[1.0, 1.0, 1.0]), states);
    assert_eq!(emphasis(&states, &[0.0, 0.0, 0.0]), [0.0; 6], "a mean of 0 cannot be restored");
    assert_eq!(emphasis(&[], &[]), [] as [f32; 0]);
}

#[test]
fn brackets_deeper_than_256_do_not_change_the_weight() {
    let deep = |levels: usize| parse_attention(&format!("{}a", "(a:".repeat(levels).replace("a:", "")))[0].1;
    assert!((deep(256) / 1.1f64.powi(256) - 1.0).abs() < 1e-12);
    assert_eq!(deep(5000), deep(256));
}

/// Runs everything that parses a prompt.
fn parse_all(prompt: &str, steps: usize) {
    for (until, text) in schedule(prompt, steps) {
        assert!(until <= steps && text.len() <= prompt.len());
    }
    let (clean, networks) = extra_networks(prompt);
    assert!(clean.len() <= prompt.len() && (networks.is_empty() || clean != prompt));
    let ids = CLIP.encode(prompt);
    assert!(ids.len() <= prompt.len().max(1) * 3);
    let (used, of) = count(&CLIP, prompt, Program::A1111, steps);
    assert!(used <= of && of % 75 == 0 && of > 0);
    for chunk in Chunk::weighted(&CLIP, prompt, &[]) {
        assert_eq!(chunk.ids[0], START);
        assert!(chunk.ids.contains(&END));
    }
    assert_eq!(Chunk::plain(&CLIP, prompt, &[]).0.ids.to_vec(), CLIP.encode_padded(prompt));
}

/// Quadratic time for any of these would take minutes.
#[test]
fn prompts_of_100_000_characters_are_parsed_quickly() {
    let fill = |part: &str| part.repeat(100_000 / part.len());
    let nested = |open: &str, close: &str| {
        let levels = 100_000 / (open.len() + close.len());
        open.repeat(levels) + &close.repeat(levels)
    };
    let parts = ["a", "!", "(", "(a", "[", "[a:", "[a|", ":", ":1", "|", "\\", "<", "<a:", "<a:>", "😀", " "];
    let others = ["<|startoftext|>", "BREAK ", "dog, ", "e\u{301}\u{316}", "<lora:a:1>", "漢", "(a:1.1)[b:c:0.5]"];
    let word: String = (0..100_000u64).map(|i| char::from(b'a' + (i * i % 7919 % 26) as u8)).collect();
    let pairs = [nested("(a", ")"), nested("[a:", ":3]"), nested("[", "]"), nested("[a|", "]"), nested("<a:", ">")];
    let all = parts.iter().chain(&others).map(|part| fill(part)).chain(pairs).chain([word]);
    all.for_each(|prompt| parse_all(&prompt, 20));
}

proptest! {
    #[test]
    fn any_text_is_parsed_without_a_panic(prompt in any::<String>(), steps in 0usize..200) {
        parse_all(&prompt, steps);
    }

    #[test]
    fn any_syntax_is_parsed_without_a_panic(prompt in r"([ab ,\n\[\]():|\\<>=.]|:0\.5\]|:3\]|<lora:|te=|BREAK|-1|é|目){0,60}", steps in 0usize..30) {
        parse_all(&prompt, steps);
    }

    #[test]
    fn prompt_editing_switches_after_the_given_step(step in 1usize..30, steps in 1usize..30, before in "[a-z ]{0,5}", after in "[a-z ]{0,5}") {
        let prompt = format!("x [{before}:{after}:{step}] y");
        let got = schedule(&prompt, steps);
        for at in 1..=steps {
            let text = &got.iter().find(|(until, _)| at <= *until).unwrap().1;
            let expected = if at <= step { &before } else { &after };
            prop_assert_eq!(text, &format!("x {expected} y"));
        }
    }

    #[test]
    fn strengths_round_trip(text_encoder in -9f32..9.0, unet in -9f32..9.0) {
        let (clean, networks) = extra_networks(&format!("a<lora:n:{text_encoder}:{unet}>"));
        prop_assert_eq!((clean.as_str(), networks), ("a", vec![lora("n", text_encoder, unet)]));
    }
}
