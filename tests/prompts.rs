//! Prompt syntax compared with the web UI: prompt editing, extra networks, chunks and emphasis.

use lora_loupe::pipeline::Recipe;
use lora_loupe::program::Program;
use lora_loupe::text::{
    ActiveSteps, CHUNK_LEN, Chunk, Emphasis, ExtraNetwork, NetworkKind, Pass, StrengthCurve, Tokenizer, WeightedStates,
    Word, comfyui_chunks, comfyui_pieces, compose, count, extra_networks, interpolate, missing_embeddings,
    parse_attention, schedule, schedule_of_pass, strip_comments, text_at,
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

fn lora(tag: &str, name: &str, text_encoder: f32, unet: f32) -> ExtraNetwork {
    ExtraNetwork {
        kind: NetworkKind::Lora,
        tag: tag.into(),
        name: name.into(),
        text_encoder: text_encoder.into(),
        unet: unet.into(),
        second_pass: (None, None),
        active: ActiveSteps::default(),
        blocks: None,
        unread: Vec::new(),
    }
}

#[test]
fn lora_tags_are_removed_with_their_strengths() {
    let cases = [
        ("a ", "<lora:ink:0.8>", " b", "ink", 0.8, 0.8),
        ("", "<lora:ink>", "", "ink", 1.0, 1.0),
        ("", "<lora:ink:0.2:0.9>", "", "ink", 0.2, 0.9),
        ("", "<lora:ink:te=0.5:unet=1>", "", "ink", 0.5, 1.0),
        ("", "<lora:ink:te=0.5>", "", "ink", 0.5, 0.5),
        ("", "<lora:ink:0.7:unet=-0.1>", "", "ink", 0.7, -0.1),
        ("", "<lora:ink:0.7:te=0.1>", "", "ink", 0.1, 0.1),
        ("", "<lyco:ink v1.2, (new): .5 >", "", "ink v1.2, (new)", 0.5, 0.5),
        ("< ", "<lora:a=b:1>", ">", "a=b", 1.0, 1.0),
    ];
    for (before, tag, after, name, text_encoder, unet) in cases {
        let expected = (format!("{before}{after}"), vec![lora(tag, name, text_encoder, unet)]);
        assert_eq!(extra_networks(&format!("{before}{tag}{after}")), expected, "{tag:?}");
    }
}

#[test]
fn unsupported_tags_and_arguments_are_reported() {
    let (clean, networks) = extra_networks("<hypernet:old:0.5>x<lora:ink:0.8:0.6:8:lbw=IN02:nan>");
    let kinds: Vec<&NetworkKind> = networks.iter().map(|network| &network.kind).collect();
    assert_eq!(clean, "x");
    assert_eq!(kinds, [&NetworkKind::Unsupported("hypernet".into()), &NetworkKind::Lora]);
    assert_eq!(networks[1].constant(), Some((0.8, 0.6)));
    assert_eq!(networks[1].unread, ["8", "nan"]);
    assert_eq!(networks[1].blocks.as_deref(), Some("IN02"));
    for unread in ["strong", "nan", "-inf", "", "0,8", "0. 6", "dyn=8", "in=0", "te=x", "start=-1", "step=5", "hr=1@x"]
    {
        let (_, networks) = extra_networks(&format!("<lora:ink:{unread}>"));
        assert_eq!(
            (networks[0].constant(), networks[0].unread.as_slice()),
            (Some((1.0, 1.0)), [unread.to_owned()].as_slice())
        );
    }
    // Before `lbw=`, block weights were the third argument.
    for blocks in ["1,0,0,0,0,0,0,0,0,0,0,0", "MIDD"] {
        assert_eq!(extra_networks(&format!("<lora:ink:0.5:{blocks}>")).1[0].blocks.as_deref(), Some(blocks));
    }
}

#[test]
fn strengths_change_with_the_steps_as_in_the_extensions() {
    let network = |tag: &str| extra_networks(tag).1.remove(0);
    let at = |curve: &StrengthCurve, steps: usize| (0..steps).map(|step| curve.at(step, steps + 2)).collect::<Vec<_>>();
    let curve = network("<lora:ink:0.0@0.5,0.8@1>").unet;
    assert_eq!(at(&curve, 5), [0.0, 0.0, 0.0, 0.16, 0.48]);
    assert_eq!(curve.at(5, 7), 0.8, "the last step");
    // Steps instead of fractions; the strength before the first point is that of the first point.
    let by_steps = network("<lora:ink:1:1@3;0@1>");
    assert_eq!(at(&by_steps.unet, 5), [0.0, 0.0, 0.5, 1.0, 1.0]);
    assert_eq!((by_steps.text_encoder.at(0, 9), by_steps.constant()), (1.0, None));
    let second = network("<lora:ink:0.5:hr=1:hrte=0.2>");
    assert_eq!(second.second_pass, (Some(0.2.into()), Some(1.0.into())));
    assert!(second.unet.is_constant() && second.constant().is_none());

    let active = |tag: &str| {
        let active = network(tag).active;
        (0..10).filter(|step| active.contains(*step, 10)).collect::<Vec<_>>()
    };
    assert_eq!(active("<lora:ink:1>"), (0..10).collect::<Vec<_>>());
    assert_eq!(active("<lora:ink:1:start=5>"), (4..10).collect::<Vec<_>>());
    assert_eq!(active("<lora:ink:1:stop=5>"), (0..4).collect::<Vec<_>>());
    assert_eq!(active("<lora:ink:1:step=3-6>"), [2, 3, 4]);
    assert_eq!(active("<lora:ink:1:stop=0.4>"), [0, 1, 2]);
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
    Chunk::weighted(&CLIP, prompt, Emphasis::Original, &[]).iter().map(inside).collect()
}

#[test]
fn a_chunk_holds_75_ids() {
    assert_eq!(contents(""), [[0; 0]]);
    assert_eq!(contents("dog cat"), [[DOG, CAT]]);
    assert_eq!(contents(&"dog ".repeat(75)), [[DOG; 75]]);
    assert_eq!(contents(&"dog ".repeat(76)), [vec![DOG; 75], vec![DOG]]);
    let chunk = &Chunk::weighted(&CLIP, "a (red:1.5) [cat]", Emphasis::Original, &[])[0];
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
    let moved = Chunk::weighted(
        &CLIP,
        &format!("{}, (cat:1.5) {}", "dog ".repeat(60), "cat ".repeat(20)),
        Emphasis::Original,
        &[],
    );
    assert_eq!(moved[1].weights[1..3], [1.5, 1.0]);
    assert!(moved[0].weights.iter().all(|weight| *weight == 1.0));
}

#[test]
fn padding_depends_on_the_model() {
    let sd2 = Tokenizer::clip().padded_with_zero();
    let chunk = &Chunk::weighted(&sd2, "dog", Emphasis::Original, &[])[0];
    assert_eq!(chunk.ids[..4], [START, DOG, END, 0]);
    assert_eq!(chunk.ids[CHUNK_LEN - 1], 0);
    assert_eq!(Chunk::empty(&sd2).ids[..3], [START, END, 0]);
    assert_eq!(Chunk::empty(&CLIP).ids[1..], [END; CHUNK_LEN - 1]);
    assert_eq!(
        Chunk::weighted(&sd2, "dog <|endoftext|> cat", Emphasis::Original, &[])[0].ids[..5],
        [START, DOG, END, 0, 0]
    );
    let full = &Chunk::weighted(&sd2, &"dog ".repeat(75), Emphasis::Original, &[])[0];
    assert_eq!(full.ids[75..], [DOG, END]);
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
    assert_eq!(shown("a cat :1.2 AND an old dog # and more"), (3, 75), "the longest part");
    assert_eq!(count(&CLIP, "(a:1.2) cat # b", Program::Comfyui, 20), (4, 75));
    assert_eq!(count(&CLIP, &"dog ".repeat(76), Program::Comfyui, 20), (76, 150));
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
    let applied = |mode: Emphasis, weights: &[f32]| {
        let mut chunks = [WeightedStates { states: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], weights, count: 1 }];
        mode.apply(&mut chunks);
        let [chunk] = chunks;
        chunk.states
    };
    // Mean 3.5; weighted 1 2 6 8 15 18, mean 25 / 3; factor 0.42.
    let expected = [0.42, 0.84, 2.52, 3.36, 6.3, 7.56];
    assert!(rel_rms(&applied(Emphasis::Original, &[1.0, 2.0, 3.0]), &expected) < 1e-6);
    assert!(rel_rms(&applied(Emphasis::Original, &[1.0, 2.0, 2.9]), &expected) > 1e-3);
    assert_eq!(applied(Emphasis::NoNorm, &[1.0, 2.0, 3.0]), [1.0, 2.0, 6.0, 8.0, 15.0, 18.0]);
    assert_eq!(applied(Emphasis::Ignore, &[1.0, 2.0, 3.0]), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(applied(Emphasis::Original, &[1.0, 1.0, 1.0]), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(applied(Emphasis::Original, &[0.0, 0.0, 0.0]), [0.0; 6], "a mean of 0 cannot be restored");
    Emphasis::Original.apply(&mut []);
}

#[test]
fn emphasis_restores_the_mean_over_all_texts_of_a_schedule() {
    // The first text stands twice: mean (1 + 1 + 4) / 3 = 2, weighted (2 + 2 + 4) / 3, factor 0.75.
    let weighted = |states, weights, count| WeightedStates { states: vec![states], weights, count };
    let mut chunks = [weighted(1.0, &[2.0], 2), weighted(4.0, &[1.0], 1)];
    Emphasis::Original.apply(&mut chunks);
    assert_eq!(chunks.map(|chunk| chunk.states[0]), [1.5, 3.0]);
}

#[test]
fn without_emphasis_brackets_are_text() {
    assert_eq!(Emphasis::None.pieces("(a:1.2) BREAK"), [("(a:1.2) BREAK".to_owned(), 1.0)]);
    assert_eq!(Emphasis::Ignore.pieces("(a:1.2)"), parse_attention("(a:1.2)"));
    for (mode, label) in Emphasis::ALL {
        assert_eq!((label.parse(), mode.label()), (Ok(mode), label));
    }
    assert_eq!("no_norm".parse(), Ok(Emphasis::NoNorm));
    assert!("loud".parse::<Emphasis>().is_err());
}

#[test]
fn comments_are_removed_as_in_the_web_ui() {
    for (prompt, clean) in [
        ("a cat # in a hat\nred", "a cat \nred"),
        ("#1 hat", "\n"),
        ("a\n# b\nc", "a\nc"),
        ("a\n#b\n#c\nd", "a\n\nd"),
        ("\n#b", "\n"),
        ("a #b # c", "a \n"),
        ("a\n", "a\n"),
        ("", ""),
    ] {
        assert_eq!(strip_comments(prompt), clean, "{prompt:?}");
    }
}

#[test]
fn prompts_are_composed_as_in_the_web_ui() {
    let parts = |prompt: &str| compose(prompt).into_iter().collect::<Vec<_>>();
    let expected =
        |parts: &[(&str, f32)]| parts.iter().map(|(text, weight)| ((*text).to_owned(), *weight)).collect::<Vec<_>>();
    for (prompt, wanted) in [
        ("a cat", &[("a cat", 1.0)][..]),
        ("", &[("", 1.0)]),
        ("a cat  ", &[("a cat", 1.0)]),
        ("a cat :1.2 AND a red hat:.6 AND night : -2.", &[("a cat", 1.2), (" a red hat", 0.6), (" night", -2.0)]),
        ("a AND b AND a", &[("a", 1.0), (" b", 1.0), (" a", 1.0)]),
        ("a AND a :2 AND a", &[("a", 1.0), (" a", 3.0)]),
        ("SAND AND1 _AND and", &[("SAND AND1 _AND and", 1.0)]),
        ("AND", &[("", 2.0)]),
        ("(a AND b:1.2)", &[("(a", 1.0), (" b:1.2)", 1.0)]),
        ("4:3", &[("4", 3.0)]),
        ("a:1.2.3 AND b:1e3 AND c:+ AND d:.", &[("a:1.2.3", 1.0), (" b:1e3", 1.0), (" c:+", 1.0), (" d:.", 1.0)]),
    ] {
        assert_eq!(parts(prompt), expected(wanted), "{prompt:?}");
    }
}

#[test]
fn choices_above_1_belong_to_the_second_pass() {
    let passes = |prompt: &str| {
        let second = Pass { steps: 8, before: Some(6) };
        (schedule(prompt, 6), schedule_of_pass(prompt, second))
    };
    let texts =
        |list: &[(usize, &str)]| list.iter().map(|(until, text)| (*until, (*text).to_owned())).collect::<Vec<_>>();
    assert_eq!(passes("[a:b:0.5]"), (texts(&[(3, "a"), (6, "b")]), texts(&[(8, "b")])));
    assert_eq!(passes("[a:b:1.5]"), (texts(&[(6, "a")]), texts(&[(4, "a"), (8, "b")])));
    assert_eq!(passes("[a:b:9]"), (texts(&[(6, "a")]), texts(&[(3, "a"), (8, "b")])));
    assert_eq!(passes("[a:b:2]"), (texts(&[(2, "a"), (6, "b")]), texts(&[(8, "b")])));
}

#[test]
fn comfyui_weights_are_nested_by_replacement() {
    let expected =
        |pieces: &[(&str, f64)]| pieces.iter().map(|(text, weight)| ((*text).to_owned(), *weight)).collect::<Vec<_>>();
    for (prompt, wanted) in [
        ("a cat", &[("a cat", 1.0)][..]),
        ("", &[]),
        ("a (b) c", &[("a ", 1.0), ("b", 1.1), (" c", 1.0)]),
        ("((b))", &[("b", 1.1 * 1.1)]),
        ("(a (b:0.5):1.4)", &[("a ", 1.4), ("b", 0.5)]),
        ("((a:2))", &[("a", 2.0)]),
        ("((a):2)", &[("a", 2.0 * 1.1)]),
        ("[a] BREAK <lora:x:1>", &[("[a] BREAK <lora:x:1>", 1.0)]),
        ("a \\(b\\) \\[c\\]", &[("a (b) \\[c\\]", 1.0)]),
        ("(a:1.2", &[("(a:1.2", 1.0)]),
        ("a:1.2)", &[("a:1.2)", 1.0)]),
        ("(:1.2)", &[(":1.2", 1.1)]),
        ("(a:1.2.3)", &[("a:1.2.3", 1.1)]),
        ("(a: 1.2 )", &[("a", 1.2)]),
        ("(a:nan)", &[("a:nan", 1.1)]),
        ("a) (b) c", &[("a) (b) c", 1.0)]),
        ("()", &[]),
    ] {
        assert_eq!(comfyui_pieces(prompt), expected(wanted), "{prompt:?}");
    }
}

#[test]
fn comfyui_splits_only_long_pieces_between_chunks() {
    let lens = |prompt: &str| {
        let chunks = comfyui_chunks(&CLIP, prompt, &[]);
        chunks.iter().map(|chunk| chunk.ids[1..].iter().take_while(|id| **id != END).count()).collect::<Vec<_>>()
    };
    assert_eq!(lens(""), [0]);
    assert_eq!(lens(&"dog ".repeat(75)), [75]);
    assert_eq!(lens(&format!("{}, cat", "dog ".repeat(75))), [75, 2], "no rule for commas");
    assert_eq!(lens(&format!("{}(cat cat cat:1.2)", "dog ".repeat(73))), [73, 3], "a short piece moves as a whole");
    assert_eq!(lens(&format!("{}({}:1.2)", "dog ".repeat(73), "cat ".repeat(8))), [75, 6]);
    let sd2 = Tokenizer::clip().padded_with_zero();
    let chunk = &comfyui_chunks(&sd2, "dog <|endoftext|> (cat:0.5)", &[])[0];
    assert_eq!((&chunk.ids[..6], chunk.ids[76]), (&[START, DOG, END, CAT, END, 0][..], 0));
    assert_eq!(chunk.weights[..5], [1.0, 1.0, 1.0, 0.5, 1.0]);
    assert_eq!(comfyui_chunks(&sd2, "", &[]), [Chunk::empty(&sd2)]);
}

#[test]
fn comfyui_finds_embeddings_by_their_prefix() {
    let first = Word::FIRST;
    let words = [Word { name: "myemb".into(), ids: first..first + 2 }];
    let ids = |prompt: &str| {
        let chunk = &comfyui_chunks(&CLIP, prompt, &words)[0];
        chunk.ids[1..].iter().copied().take_while(|id| *id != END).collect::<Vec<_>>()
    };
    assert_eq!(ids("dog embedding:myemb cat"), [DOG, first, first + 1, CAT]);
    assert_eq!(ids("embedding:folder/MyEmb.pt, cat"), [first, first + 1, COMMA, CAT]);
    assert_eq!(ids("(embedding:myemb:1.2)"), [first, first + 1]);
    assert_eq!(ids("embedding:myemb embedding:myemb").len(), 4);
    assert_eq!(ids("dog myemb"), CLIP.encode("dog myemb"));
    assert_eq!(missing_embeddings("a embedding:other, embedding:myemb (embedding:x:1.1)", &words), ["other", "x"]);
    assert!(missing_embeddings("embedding: , embedding", &words).is_empty());
}

#[test]
fn comfyui_weights_interpolate_from_the_empty_prompt() {
    let mut states = [1.0, 2.0, 3.0, 4.0];
    interpolate(&mut states, &[0.0, 1.0, 1.0, 1.0], &[1.0, 0.5]);
    assert_eq!(states, [1.0, 2.0, 2.0, 2.5]);
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
    let chunks = [Chunk::weighted(&CLIP, prompt, Emphasis::Original, &[]), comfyui_chunks(&CLIP, prompt, &[])];
    for chunk in chunks.iter().flatten() {
        assert_eq!(chunk.ids[0], START);
        assert!(chunk.ids.contains(&END));
    }
    assert!(!compose(prompt).is_empty() && strip_comments(prompt).len() <= prompt.len() + 1);
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
    fn any_syntax_is_parsed_without_a_panic(prompt in r"([ab ,\n\[\]():|\\<>=.]|:0\.5\]|:3\]|<lora:|te=|BREAK|AND|#|embedding:|@|-1|é|目){0,60}", steps in 0usize..30) {
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
        let tag = format!("<lora:n:{text_encoder}:{unet}>");
        let (clean, networks) = extra_networks(&format!("a{tag}"));
        prop_assert_eq!((clean.as_str(), networks), ("a", vec![lora(&tag, "n", text_encoder, unet)]));
    }
}
