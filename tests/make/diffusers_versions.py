"""Loads files of trainers' spellings with versions of diffusers, for `since` in crate/src/analysis/loaders/rules.toml.

    pip install torch transformers peft==0.21.2 safetensors
    pip install --no-deps --target FOLDER/0.37.1 diffusers==0.37.1    (and others)
    python tests/make/diffusers_versions.py FOLDER/0.37.1 [NETWORK ...]

Prints the number of layers of the network that got their factors, and the error, if any. Networks have their published
sizes and no weights.
"""

import sys
import warnings

sys.path.insert(0, sys.argv[1])
warnings.filterwarnings("ignore")

import diffusers  # noqa: E402
import torch  # noqa: E402
from diffusers.loaders import lora_pipeline  # noqa: E402
from peft.tuners.lokr.layer import LoKrLayer  # noqa: E402
from peft.tuners.lora.layer import LoraLayer  # noqa: E402
from peft.tuners.tuners_utils import BaseTunerLayer  # noqa: E402

diffusers.utils.logging.set_verbosity_error()
BaseTunerLayer._move_adapter_to_device_of_base_layer = lambda *_, **__: None
for initial in ("kaiming_uniform_", "uniform_", "normal_"):
    setattr(torch.nn.init, initial, lambda tensor, *_, **__: tensor)

KLEIN = {"num_layers": 5, "num_single_layers": 20, "num_attention_heads": 24, "joint_attention_dim": 7680}
WAN = {"num_attention_heads": 12, "num_layers": 30, "ffn_dim": 8960}
ANIMA = {"in_channels": 16, "num_attention_heads": 16, "extra_pos_embed_type": None}
NETWORKS = {
    "z_image": ("ZImage", "ZImageTransformer2DModel", {}),
    "qwen_image": ("QwenImage", "QwenImageTransformer2DModel", {}),
    "flux2": ("Flux2", "Flux2Transformer2DModel", KLEIN),
    "flux1": ("Flux", "FluxTransformer2DModel", {"guidance_embeds": True}),
    "chroma": ("Flux", "ChromaTransformer2DModel", {}),
    "wan": ("Wan", "WanTransformer3DModel", WAN),
    "anima": ("Anima", "CosmosTransformer3DModel", ANIMA),
    "krea2": ("Krea2", "Krea2Transformer2DModel", {}),
}
PEFT, NAMED, KOHYA = ("lora_A", "lora_B"), ("lora_A.default", "lora_B.default"), ("lora_down", "lora_up", "alpha")


def lora(stored, layers):
    """Returns the tensors of a LoRA of rank 2 of layers (stem, outputs, inputs)."""
    tensors = {}
    for stem, outputs, inputs in layers:
        tensors[f"{stem}.{stored[0]}.weight"] = torch.randn(2, inputs)
        tensors[f"{stem}.{stored[1]}.weight"] = torch.randn(outputs, 2)
        tensors.update({f"{stem}.{alpha}": torch.tensor(2.0) for alpha in stored[2:]})
    return tensors


def lokr(layers):
    tensors = {}
    for stem, outputs, inputs in layers:
        tensors[f"{stem}.lokr_w1"] = torch.randn(4, 4)
        tensors[f"{stem}.lokr_w2"] = torch.randn(outputs // 4, inputs // 4)
        tensors[f"{stem}.alpha"] = torch.tensor(1e10)
    return tensors


def blocks(count, stem, outputs, inputs=None):
    return [(stem.replace("#", str(at)), outputs, inputs or outputs) for at in range(count)]


def z_image(prefix, dot):
    return sum((blocks(30, f"{prefix}layers{dot}#{dot}attention{dot}to_{part}", 3840) for part in "qkv"), [])


def wan(prefix, dot):
    block = f"{prefix}blocks{dot}#{dot}"
    attention = [f"{block}{which}{dot}{part}" for which in ("self_attn", "cross_attn") for part in "qkvo"]
    layers = sum((blocks(30, stem, 1536) for stem in attention), [])
    return layers + blocks(30, f"{block}ffn{dot}0", 8960, 1536) + blocks(30, f"{block}ffn{dot}2", 1536, 8960)


def cases():
    """Yields network, spelling and tensors."""
    yield "z_image", "lora_unet_", lora(KOHYA, z_image("lora_unet_", "_"))
    yield "z_image", "diffusion_model. of PEFT", lora(PEFT, z_image("diffusion_model.", "."))
    yield "z_image", "diffusion_model. with alphas", lora(KOHYA, z_image("diffusion_model.", "."))
    yield "z_image", "transformer.", lora(PEFT, z_image("transformer.", "."))
    yield "z_image", "bare, .default", lora(NAMED, z_image("", "."))
    yield "z_image", "diffusion_model. LoKr", lokr(z_image("diffusion_model.", ".")[:6])
    qwen = "transformer_blocks.#.attn.to_q"
    yield "qwen_image", "lora_unet_", lora(KOHYA, blocks(60, f"lora_unet_{qwen.replace('.', '_')}", 3072))
    yield "qwen_image", "diffusion_model.", lora(PEFT, blocks(60, f"diffusion_model.{qwen}", 3072))
    yield "qwen_image", "bare", lora(PEFT, blocks(60, qwen, 3072))
    yield "qwen_image", "bare, .default", lora(NAMED, blocks(60, qwen, 3072))
    double = "double_blocks.#.img_attn.proj"
    yield "flux2", "lora_unet_", lora(KOHYA, blocks(5, f"lora_unet_{double.replace('.', '_')}", 3072))
    yield "flux2", "diffusion_model.", lora(PEFT, blocks(5, f"diffusion_model.{double}", 3072))
    yield "flux2", "base_model.model.", lora(PEFT, blocks(5, f"base_model.model.{double}", 3072))
    yield "flux2", "diffusion_model. LoKr", lokr(blocks(5, f"diffusion_model.{double}", 3072))
    yield "flux2", "lycoris_ LoKr", lokr(blocks(5, "lycoris_transformer_blocks_#_attn_to_q", 3072))
    yield "flux1", "lora_unet_", lora(KOHYA, blocks(19, f"lora_unet_{double.replace('.', '_')}", 3072))
    yield "flux1", "transformer. of OneTrainer", lora(KOHYA, blocks(19, f"transformer.{qwen}", 3072))
    yield "flux1", "lora_transformer_", lora(KOHYA, blocks(19, f"lora_transformer_{qwen.replace('.', '_')}", 3072))
    yield "chroma", "lora_unet_", lora(KOHYA, blocks(19, f"lora_unet_{double.replace('.', '_')}", 3072))
    yield "wan", "lora_unet_", lora(KOHYA, wan("lora_unet_", "_"))
    yield "wan", "diffusion_model.", lora(PEFT, wan("diffusion_model.", "."))
    yield "anima", "diffusion_model.", lora(PEFT, blocks(28, "diffusion_model.blocks.#.self_attn.q_proj", 2048))
    yield "krea2", "diffusion_model.", lora(PEFT, blocks(28, "diffusion_model.blocks.#.attn.wq", 6144))


def loaded(network, tensors):
    """Returns how many layers got their factors, and the error."""
    loader, name, config = NETWORKS[network]
    mixin, model = getattr(lora_pipeline, f"{loader}LoraLoaderMixin", None), getattr(diffusers, name, None)
    if mixin is None or model is None:
        return 0, "no loader"
    with torch.device("meta"):
        model = model(**config)
    pipeline = type("Pipeline", (mixin,), {"components": {}, "hf_device_map": None})()
    pipeline.transformer = model
    pipeline.text_encoder = pipeline.text_encoder_2 = pipeline.text_conditioner = None
    try:
        pipeline.load_lora_weights(dict(tensors), adapter_name="a")
    except Exception as error:  # what is to be found
        return 0, f"{type(error).__name__}: {str(error)[:80]}".replace("\n", " ")
    layers = 0
    for module in model.modules():
        factors = module.lora_B if isinstance(module, LoraLayer) else getattr(module, "lokr_w2", {})
        for factor in factors.values() if isinstance(module, (LoraLayer, LoKrLayer)) else ():
            weight = getattr(factor, "weight", factor)
            layers += not weight.is_meta and bool(weight.any())
    return layers, ""


def main():
    wanted = sys.argv[2:]
    for network, spelling, tensors in cases():
        if not wanted or network in wanted:
            layers, error = loaded(network, tensors)
            what = f"diffusers {diffusers.__version__}, {network}, {spelling}"
            print(f"{what}: {layers} layers {error}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
