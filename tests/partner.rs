//! Images whose guided calls are shared with a partner: bit by bit those of one session.

use lora_loupe::gpu::{KernelConfig, WeightChoice};
use lora_loupe::pipeline::{GenerateInputs, Half, LocalFuture, Partner, PipelineError, Recipe, Session, WeightStorage};
use lora_loupe::program::Program;
use lora_loupe::weights::LoadedAdapter;
use lora_loupe_tests::cases::{case, recipe};
use lora_loupe_tests::draw::{adapter, draw, latents, with};
use lora_loupe_tests::mini::{halves, on_cpu, storing};
use safetensors::Dtype;
use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;

/// A partner in the same thread.
struct Other {
    session: Rc<Cell<Option<Session>>>,
    adapters: Rc<Vec<LoadedAdapter>>,
    /// Calls that it computed.
    calls: Rc<Cell<usize>>,
    /// Call from which on it fails.
    fails_from: usize,
    is_cancelled: bool,
}

impl Partner for Other {
    fn start(&self, half: Half) -> LocalFuture<'static, Result<Vec<f32>, PipelineError>> {
        let (session, adapters, calls) = (self.session.clone(), self.adapters.clone(), self.calls.clone());
        let (fails_from, is_cancelled) = (self.fails_from, self.is_cancelled);
        Box::pin(async move {
            calls.set(calls.get() + usize::from(!half.call.is_empty()));
            if calls.get() > fails_from {
                return Err(PipelineError::MissingFile("weights".into()));
            }
            let find = |id: &String| adapters.iter().find(|adapter| adapter.id == *id).expect("an adapter");
            let adapters: Vec<&LoadedAdapter> = half.of.adapters.iter().map(|(id, _)| find(id)).collect();
            let on_progress = &mut || if is_cancelled { Err(PipelineError::Cancelled) } else { Ok(()) };
            let mut other = session.take().expect("one half at a time");
            let predictions = other.compute_half(&half, &adapters, on_progress).await;
            session.set(Some(other));
            predictions
        })
    }
}

/// Returns a session on the CPU with f16 weights, and the golden LoRAs.
async fn session() -> (Session, Vec<LoadedAdapter>) {
    let session = on_cpu(storing(|_, values| (Dtype::F16, halves(&values)))).await;
    let mut loaded = Vec::new();
    for name in ["lora_a", "lora_b", "lora_c_kohya"] {
        loaded.push(adapter(&session, name).await);
    }
    (session, loaded)
}

/// Returns a session with a partner, and the number of calls that this one computed.
async fn shared(fails_from: usize, is_cancelled: bool) -> (Session, Rc<Cell<usize>>) {
    let ((mut first, _), (second, adapters)) = (session().await, session().await);
    let calls = Rc::new(Cell::new(0));
    let (session, adapters) = (Rc::new(Cell::new(Some(second))), Rc::new(adapters));
    first.partner = Some(Rc::new(Other { session, adapters, calls: calls.clone(), fails_from, is_cancelled }));
    (first, calls)
}

#[test]
fn shared_images_are_those_of_one_session() {
    pollster::block_on(async {
        let ((mut alone, loaded), (mut first, calls)) = (session().await, shared(usize::MAX, false).await);
        let all: Vec<&LoadedAdapter> = loaded.iter().collect();
        let names = ["ddim", "lora_a_1.0", "lora_a_-0.5", "lora_a_0.7_plus_b_0.4", "ddim", "lora_c_kohya_0.8"];
        for name in names.into_iter().chain(["euler_othersize", "euler_nocfg", "ddim"]) {
            let wanted = draw(&mut alone, &case(name), &all).await;
            let before = calls.get();
            assert_eq!(draw(&mut first, &case(name), &all).await.image, wanted.image, "{name}");
            assert_eq!(calls.get() > before, name != "euler_nocfg", "{name}");
        }
        let plain = recipe(&case("lora_a_1.0"));
        let prompt = "a [red:blue:0.5] ball <lora:lora_b:0.5>".to_owned();
        let program = Program::A1111;
        for recipe in [
            Recipe { batch: 2, ..plain.clone() },
            // Another text and other strengths during the image.
            Recipe { prompt: prompt.clone(), program, ..plain.clone() },
            Recipe { prompt: "a ball AND a cube AND a cone".into(), program, ..plain.clone() },
        ] {
            let wanted = latents(&mut alone, &recipe, &with(&all)).await;
            assert_eq!(latents(&mut first, &recipe, &with(&all)).await, wanted, "{}", recipe.prompt);
        }
    });
}

#[test]
fn a_partner_that_fails_is_left_and_the_image_goes_on() {
    pollster::block_on(async {
        let (mut alone, _) = session().await;
        let recipe = recipe(&case("ddim"));
        let wanted = latents(&mut alone, &recipe, &GenerateInputs::default()).await;
        for fails_from in [0, 2] {
            let (mut first, calls) = shared(fails_from, false).await;
            assert_eq!(latents(&mut first, &recipe, &GenerateInputs::default()).await, wanted);
            assert!(first.partner.is_none());
            assert_eq!(calls.get(), fails_from + 1);
        }
    });
}

#[test]
fn a_cancelled_half_cancels_the_image() {
    pollster::block_on(async {
        let (mut first, _) = shared(usize::MAX, true).await;
        let recipe = recipe(&case("ddim"));
        let result = first.generate(&recipe, &GenerateInputs::default(), &mut |_| ControlFlow::Continue(())).await;
        assert!(matches!(result, Err(PipelineError::Cancelled)));
        assert!(first.partner.is_some());
    });
}

#[test]
fn a_partner_needs_room_for_its_own_weights() {
    pollster::block_on(async {
        let (session, _) = session().await;
        let (model, config) = (&session.model, &session.config);
        let mut partners = Vec::new();
        for chosen in [WeightChoice::Auto, WeightChoice::F16, WeightChoice::Q8] {
            let storage = WeightStorage::choose(model, config, chosen, None).expect("plans");
            let own = storage.needs.iter().find(|need| need.weights == chosen).expect("a need").bytes;
            let partner = model.partner_memory(&KernelConfig { weights: chosen, ..config.clone() }).expect("plans");
            let leaves_room = |memory| storage.leaves_room_for_partner(model, config, memory).expect("plans");
            assert!(leaves_room(own + partner) && !leaves_room(own + partner - 1), "{chosen:?}");
            partners.push(partner);
        }
        // `Auto` keeps copies of what LoRAs change.
        assert!(partners[0] > partners[1] && partners[1] >= partners[2], "{partners:?}");
        let streamed = WeightStorage::choose(model, config, WeightChoice::Streamed, None).expect("plans");
        assert!(!streamed.leaves_room_for_partner(model, config, u64::MAX).expect("plans"));
    });
}
