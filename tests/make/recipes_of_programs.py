"""Images with the metadata of the programs that generate images, and beside each the draft that is expected of it.

    pip install pillow piexif
    python tests/make/recipes_of_programs.py

Writes to tests/recipes/. The structures follow the programs' sources and documentation; all names and texts are made
up. The expected JSON is written by hand here, not computed: fields that it leaves out must be empty.
"""

import json
from pathlib import Path
from xml.sax.saxutils import escape

import piexif
import piexif.helper
from PIL import Image
from PIL.PngImagePlugin import PngInfo

OUT = Path(__file__).parent.parent / "recipes"
PIXELS = Image.new("RGB", (8, 8), (90, 120, 60))


def expect(name, **draft):
    (OUT / f"{name}.json").write_text(json.dumps(draft, indent=1, ensure_ascii=False) + "\n")


def png(name, texts, compressed=(), international=()):
    info = PngInfo()
    for keyword, text in texts.items():
        text = text if isinstance(text, str) else json.dumps(text)
        if keyword in international:
            info.add_itxt(keyword, text, zip=keyword in compressed)
        else:
            info.add_text(keyword, text, zip=keyword in compressed)
    PIXELS.save(OUT / f"{name}.png", pnginfo=info)


def user_comment(text):
    """UNICODE and UTF-16 in big-endian order, as piexif writes it and web UIs with it."""
    return piexif.dump({"Exif": {piexif.ExifIFD.UserComment: piexif.helper.UserComment.dump(text, "unicode")}})


def with_exif(name, exif, **options):
    PIXELS.save(OUT / name, exif=exif, **options)


def mention(name, unet, text_encoder=None, hash=None, civitai_version=None):
    text_encoder = unet if text_encoder is None else text_encoder
    return dict(name=name, unet=unet, text_encoder=text_encoder, blocks=None, hash=hash, civitai_version=civitai_version)


def leftover(name, value, reason):
    return dict(name=name, value=value, reason=reason)


UNSUPPORTED = "unsupported setting"


def a1111():
    text = (
        "a (lighthouse:1.2), storm <lora:ink:0.65>\n"
        "Negative prompt: lowres, tiredneg\n"
        "Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5.5, Seed: 3735928559, Size: 832x1216, "
        "Model hash: 31e35c80fc, Model: tide_v2, Denoising strength: 0.4, Clip skip: 2, Hires resize: 1248x1824, "
        "Hires steps: 10, Hires upscaler: R-ESRGAN 4x+, "
        'Lora hashes: "ink: 0f1e2d3c4b5a", TI hashes: "tiredneg: 5e40d722fc3d", Version: v1.10.1'
    )
    draft = dict(
        origin="AUTOMATIC1111", program="a1111", prompt="a (lighthouse:1.2), storm", negative="lowres, tiredneg",
        adapters=[mention("ink", 0.65, hash="0f1e2d3c4b5a")],
        embeddings=[dict(name="tiredneg", hash="5e40d722fc3d")],
        steps=28, sampler="dpmpp_2m", schedule="karras", guidance=5.5, seed=3735928559, size=[832, 1216],
        model="tide_v2", model_hash="31e35c80fc", clip_skip=2, rng="philox", version="v1.10.1",
        hires=dict(scale=1.5, denoise=0.4, steps=10, upscaler="pixels", network="RealESRGAN_x4plus"),
    )
    png("a1111", {"parameters": text})
    with_exif("a1111_jpeg.jpg", user_comment(text))
    with_exif("a1111_webp.webp", user_comment(text))
    with_exif("a1111_avif.avif", user_comment(text), quality=30)
    for name in ["a1111", "a1111_jpeg", "a1111_webp", "a1111_avif"]:
        expect(name, **draft)


def web_ui_family():
    base = "Steps: 9, Sampler: Euler a, {schedule}CFG scale: 7, Seed: 1, Size: 512x512, Model: tide_v2, {rest}"
    draft = dict(
        program="a1111", sampler="euler_a", steps=9, guidance=7, seed=1, size=[512, 512], model="tide_v2", rng="philox",
    )
    text = "一只猫\n" + base.format(schedule="Schedule type: Normal, ", rest="Version: f2.0.1v1.10.1-previous-669-gdfdcbab6")
    png("forge", {"parameters": text}, international=["parameters"], compressed=["parameters"])
    expect(
        "forge", **draft, origin="Forge", web_ui=dict(quantize=True), prompt="一只猫", schedule="timesteps",
        version="f2.0.1v1.10.1-previous-669-gdfdcbab6",
    )
    text = "a cat\n" + base.format(schedule="", rest="App: SD.Next, Version: 6846f4e, Pipeline: StableDiffusionPipeline")
    # Little-endian order without a mark, which some writers use.
    comment = b"UNICODE\0" + text.encode("utf-16-le")
    with_exif("sdnext.jpg", piexif.dump({"Exif": {piexif.ExifIFD.UserComment: comment}}))
    expect(
        "sdnext", **draft, origin="SD.Next", prompt="a cat", version="6846f4e",
        leftovers=[leftover("Pipeline", "StableDiffusionPipeline", UNSUPPORTED)],
    )
    png("sdcpp", {"parameters": (
        "a cat<lora:ink:0.5>\nNegative prompt: blur\n"
        "Steps: 20, CFG scale: 7.000000, Guidance: 3.500000, Eta: 0.000000, Seed: 42, Size: 512x512, "
        "Model: tide.gguf, RNG: cuda, Sampler: dpm++2m karras, Version: stable-diffusion.cpp"
    )})
    expect(
        "sdcpp", origin="stable-diffusion.cpp", program="a1111", prompt="a cat", negative="blur",
        adapters=[mention("ink", 0.5)], steps=20, guidance=7, eta=0, seed=42, size=[512, 512], model="tide.gguf",
        rng="philox", sampler="dpmpp_2m", schedule="karras", version="stable-diffusion.cpp",
        leftovers=[leftover("Guidance", "3.500000", UNSUPPORTED)],
    )


def civitai():
    resources = [
        dict(type="checkpoint", modelVersionId=290640, modelName="Tide XL", modelVersionName="V6"),
        dict(type="lora", weight=0.4, modelVersionId=123456, modelName="Duotone", modelVersionName="v1.0"),
        dict(type="embed", weight=1.0, modelVersionId=5637, modelName="tiredneg", modelVersionName="75T"),
    ]
    # The generator leaves the line of an empty negative prompt open.
    with_exif("civitai.jpg", user_comment(
        "a fox in the snow\nNegative prompt: Steps: 25, Sampler: Euler, CFG scale: 4.0, Seed: 648312782957426, "
        "Size: 832x1216, Clip skip: 2, Created Date: 2026-01-28T09:18:43.5Z, "
        f"Civitai resources: {json.dumps(resources)}, Civitai metadata: {{}}"
    ))
    expect(
        "civitai", origin="Civitai", program="comfyui", prompt="a fox in the snow", steps=25, sampler="euler",
        guidance=4, seed=648312782957426, size=[832, 1216], clip_skip=2, model="Tide XL V6", rng="torch",
        adapters=[mention("Duotone v1.0", 0.4, civitai_version=123456)],
        embeddings=[dict(name="tiredneg 75T", hash=None)],
        leftovers=[leftover("Created Date", "2026-01-28T09:18:43.5Z", UNSUPPORTED)],
    )


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def comfyui():
    graph = {
        "3": node(
            "KSampler", seed=648312782957426, steps=20, cfg=7.0, sampler_name="dpmpp_2m", scheduler="karras", denoise=1,
            model=["11", 0], positive=["6", 0], negative=["7", 0], latent_image=["5", 0],
        ),
        "4": node("CheckpointLoaderSimple", ckpt_name="sdxl/tide_v2.safetensors"),
        "5": node("EmptyLatentImage", width=832, height=1216, batch_size=1),
        "6": node("CLIPTextEncode", text=["20", 0], clip=["12", 0]),
        "7": node("CLIPTextEncode", text="blurry, embedding:tiredneg", clip=["12", 0]),
        "8": node("VAEDecode", samples=["16", 0], vae=["4", 2]),
        "9": node("SaveImage", filename_prefix="ComfyUI", images=["8", 0]),
        "10": node(
            "LoraLoader", lora_name="style/ink.safetensors", strength_model=0.8, strength_clip=0.5, model=["4", 0],
            clip=["4", 1],
        ),
        "11": node("LoraLoaderModelOnly", lora_name="detail.safetensors", strength_model=0.7, model=["13", 0]),
        "12": node("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=["13", 1]),
        "13": node(
            "Power Lora Loader (rgthree)", model=["10", 0], clip=["10", 1],
            lora_1=dict(on=True, lora="moss.safetensors", strength=1.0),
            lora_2=dict(on=False, lora="off.safetensors", strength=1.0),
            **{"➕ Add Lora": ""},
        ),
        "14": node("FreeU_V2", b1=1.3, b2=1.4, s1=0.9, s2=0.2, model=["11", 0]),
        "15": node("LatentUpscaleBy", upscale_method="nearest-exact", scale_by=1.5, samples=["3", 0]),
        "16": node(
            "KSampler", seed=648312782957426, steps=12, cfg=7.0, sampler_name="dpmpp_2m", scheduler="karras",
            denoise=0.55, model=["11", 0], positive=["6", 0], negative=["7", 0], latent_image=["15", 0],
        ),
        "20": node("StringConcatenate", string_a="a (red:1.2) fox", string_b=["21", 0], delimiter=", "),
        "21": node("PrimitiveStringMultiline", value="in the snow"),
    }
    draft = dict(
        origin="ComfyUI", program="comfyui", prompt="a (red:1.2) fox, in the snow", negative="blurry, embedding:tiredneg",
        adapters=[mention("ink", 0.8, 0.5), mention("moss", 1), mention("detail", 0.7, 0)],
        embeddings=[dict(name="tiredneg", hash=None)], steps=20, sampler="dpmpp_2m", schedule="karras", guidance=7,
        seed=648312782957426, size=[832, 1216], model="tide_v2", clip_skip=2, rng="torch",
        hires=dict(scale=1.5, denoise=0.55, steps=12, upscaler="latent"),
    )
    png("comfyui", {"prompt": graph, "workflow": {"nodes": [], "links": []}})
    expect("comfyui", **draft)
    # The second sampler starts from pixels that a network enlarged.
    pixels = {
        **graph,
        "15": node("VAEEncode", pixels=["30", 0], vae=["4", 2]),
        "30": node("ImageScale", upscale_method="lanczos", width=1248, height=1824, crop="disabled", image=["31", 0]),
        "31": node("ImageUpscaleWithModel", upscale_model=["32", 0], image=["33", 0]),
        "32": node("UpscaleModelLoader", model_name="4x-UltraSharp.pth"),
        "33": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
    }
    png("comfyui_upscaler", {"prompt": pixels})
    hires = {**draft["hires"], "upscaler": "pixels", "network": "4x-UltraSharp"}
    expect("comfyui_upscaler", **{**draft, "hires": hires})
    # The image of the first sampler, through a node that is not supported.
    graph["3"]["inputs"]["model"] = ["14", 0]
    graph["8"]["inputs"]["samples"] = ["3", 0]
    png("comfyui_freeu", {"prompt": graph}, compressed=["prompt"])
    unsupported = "this node is not supported, and its effect is left out"
    expect("comfyui_freeu", **{**draft, "hires": None}, leftovers=[leftover("node 14", "FreeU_V2", unsupported)])


def comfyui_custom():
    """SamplerCustomAdvanced, in an animated WebP's EXIF tags, as ComfyUI saves it."""
    graph = {
        "1": node("UNETLoader", unet_name="tide_v2.safetensors", weight_dtype="default"),
        "2": node("DualCLIPLoader", clip_name1="a.safetensors", clip_name2="b.safetensors", type="sdxl"),
        "3": node("CLIPTextEncode", text="a fox", clip=["2", 0]),
        "4": node("CLIPTextEncode", text="", clip=["2", 0]),
        "5": node("CFGGuider", cfg=6.5, model=["1", 0], positive=["3", 0], negative=["4", 0]),
        "6": node("RandomNoise", noise_seed=18446744073709551615),
        "7": node("KSamplerSelect", sampler_name="euler_ancestral"),
        "8": node("BasicScheduler", scheduler="sgm_uniform", steps=["13", 0], denoise=0.6, model=["1", 0]),
        "9": node(
            "SamplerCustomAdvanced", noise=["6", 0], guider=["5", 0], sampler=["7", 0], sigmas=["8", 0],
            latent_image=["10", 0],
        ),
        "10": node("VAEEncode", pixels=["11", 0], vae=["14", 0]),
        "11": node("LoadImage", image="start.png"),
        "12": node("SaveAnimatedWEBP", images=["15", 0]),
        "13": node("PrimitiveInt", value=14),
        "14": node("VAELoader", vae_name="vae.safetensors"),
        "15": node("VAEDecode", samples=["9", 0], vae=["14", 0]),
    }
    exif = Image.Exif()
    exif[0x0110] = "prompt:" + json.dumps(graph)
    exif[0x010F] = "workflow:" + json.dumps({"nodes": [], "links": []})
    with_exif("comfyui_custom.webp", exif)
    expect(
        "comfyui_custom", origin="ComfyUI", program="comfyui", prompt="a fox", steps=14, sampler="euler_a",
        schedule="sgm_uniform", guidance=6.5, seed="18446744073709551615", denoise=0.6, model="tide_v2", rng="torch_philox",
        leftovers=[
            leftover("node 2", "DualCLIPLoader", "this node is not supported, and its effect is left out"),
        ],
    )


def comfyui_workflow():
    """Only the editor's graph: links by number, widgets by position, one node bypassed and one muted."""

    def ui(id, kind, inputs, widgets, mode=0):
        inputs = [dict(name=name, type=kind, link=link) for name, kind, link in inputs]
        return {"id": id, "type": kind, "mode": mode, "inputs": inputs, "widgets_values": widgets}

    workflow = {
        "nodes": [
            ui(1, "CheckpointLoaderSimple", [], ["tide_v2.safetensors"]),
            ui(2, "LoraLoader", [("model", "MODEL", 1), ("clip", "CLIP", 2)], ["ink.safetensors", 0.8, 0.8]),
            ui(3, "LoraLoader", [("model", "MODEL", 3), ("clip", "CLIP", 4)], ["off.safetensors", 1, 1], mode=4),
            ui(4, "CLIPTextEncode", [("clip", "CLIP", 6)], ["a fox"]),
            ui(5, "CLIPTextEncode", [("clip", "CLIP", 7)], ["blurry"]),
            ui(6, "EmptyLatentImage", [], [512, 768, 1]),
            ui(7, "KSampler", [
                ("model", "MODEL", 5), ("positive", "CONDITIONING", 8), ("negative", "CONDITIONING", 9),
                ("latent_image", "LATENT", 10),
            ], [42, "randomize", 25, 6.5, "euler", "normal", 1]),
            ui(8, "VAEDecode", [("samples", "LATENT", 11), ("vae", "VAE", 12)], []),
            ui(9, "SaveImage", [("images", "IMAGE", 13)], ["ComfyUI"]),
            ui(10, "PreviewImage", [("images", "IMAGE", 13)], [], mode=2),
        ],
        "links": [
            [1, 1, 0, 2, 0, "MODEL"], [2, 1, 1, 2, 1, "CLIP"], [3, 2, 0, 3, 0, "MODEL"], [4, 2, 1, 3, 1, "CLIP"],
            [5, 3, 0, 7, 0, "MODEL"], [6, 3, 1, 4, 0, "CLIP"], [7, 3, 1, 5, 0, "CLIP"],
            [8, 4, 0, 7, 1, "CONDITIONING"], [9, 5, 0, 7, 2, "CONDITIONING"], [10, 6, 0, 7, 3, "LATENT"],
            [11, 7, 0, 8, 0, "LATENT"], [12, 1, 2, 8, 1, "VAE"], [13, 8, 0, 9, 0, "IMAGE"],
        ],
        "version": 0.4,
    }
    png("comfyui_workflow", {"workflow": workflow})
    expect(
        "comfyui_workflow", origin="ComfyUI", program="comfyui", prompt="a fox", negative="blurry",
        adapters=[mention("ink", 0.8)], steps=25, sampler="euler", schedule="timesteps", guidance=6.5, seed=42,
        size=[512, 768], model="tide_v2", rng="torch",
    )


def comfyui_packs():
    """Nodes of packs: an efficient loader with a LoRA stack, and a saver that writes an infotext beside the graph."""
    graph = {
        "1": node(
            "Efficient Loader", ckpt_name="tide_v2.safetensors", vae_name="Baked VAE", clip_skip=-2, lora_name="None",
            lora_model_strength=1, lora_clip_strength=1, positive=["4", 0], negative="blurry",
            token_normalization="none", weight_interpretation="comfy", empty_latent_width=512, empty_latent_height=640,
            batch_size=1, lora_stack=["2", 0],
        ),
        "2": node(
            "LoRA Stacker", input_mode="simple", lora_count=2, lora_name_1="ink.safetensors", lora_wt_1=0.6,
            model_str_1=1.0, clip_str_1=1.0, lora_name_2="moss.safetensors", lora_wt_2=0.3, lora_name_3="no.safetensors",
            lora_wt_3=1.0,
        ),
        "3": node(
            "KSampler (Efficient)", seed=["5", 0], steps=18, cfg=5, sampler_name="uni_pc", scheduler="simple", denoise=1,
            preview_method="auto", vae_decode="true", model=["1", 0], positive=["1", 1], negative=["1", 2],
            latent_image=["1", 3], optional_vae=["1", 4],
        ),
        "4": node("DPRandomGenerator", text="a {fox|cat}", seed=5, autorefresh="No"),
        "5": node("Seed (rgthree)", seed=77),
        "6": node("Image Saver", filename="x", images=["3", 5]),
    }
    info = (
        "a cat\nNegative prompt: blurry\nSteps: 18, Sampler: UniPC, CFG scale: 5.0, Seed: 77, Size: 512x640, "
        "Model hash: 31e35c80fc, Model: tide_v2, Hashes: "
        '{"model": "31e35c80fc", "lora:ink": "0f1e2d3c4b"}, Version: ComfyUI'
    )
    png("comfyui_packs", {"parameters": info, "prompt": graph})
    expect(
        "comfyui_packs", origin="ComfyUI", program="comfyui", prompt="a cat", negative="blurry",
        adapters=[mention("ink", 0.6, hash="0f1e2d3c4b"), mention("moss", 0.3)], steps=18, sampler="unipc", schedule="simple", guidance=5, seed=77,
        size=[512, 640], model="tide_v2", model_hash="31e35c80fc", clip_skip=2, rng="torch",
        leftovers=[
            leftover("node 4", "DPRandomGenerator", "the text that it makes is not in the image"),
        ],
    )


def swarmui():
    data = {
        "sui_image_params": {
            "prompt": "a fox <lora:moss:0.5>, embedding:tiredneg", "negativeprompt": "blurry", "model": "SDXL/tide_v2",
            "images": 1, "steps": 20, "cfgscale": 7.0, "aspectratio": "1:1", "width": 1024, "height": 1024,
            "sampler": "dpmpp_2m_sde", "scheduler": "karras", "seed": 1234567890123, "loras": ["style/ink"],
            "loraweights": ["0.7"], "automaticvae": True, "clipstopatlayer": -2, "refinerupscale": 1.5,
            "swarm_version": "0.9.3.1",
        },
        "sui_extra_data": {"date": "2026-01-25", "generation_time": "4.84 sec"},
        "sui_models": [
            {"name": "tide_v2.safetensors", "param": "model", "hash": "0x31E35C80FC4829D1"},
            {"name": "style/ink.safetensors", "param": "loras", "hash": "0x0f1e2d3c4b5a6978"},
        ],
    }
    draft = dict(
        origin="SwarmUI", program="comfyui", prompt="a fox , embedding:tiredneg", negative="blurry",
        adapters=[mention("moss", 0.5), mention("ink", 0.7, hash="0f1e2d3c4b5a6978")],
        embeddings=[dict(name="tiredneg", hash=None)], steps=20, sampler="dpmpp_2m_sde", schedule="karras", guidance=7,
        seed=1234567890123, size=[1024, 1024], model="tide_v2", model_hash="31e35c80fc", clip_skip=2, rng="torch",
        version="SwarmUI 0.9.3.1", leftovers=[leftover("refinerupscale", "1.5", UNSUPPORTED)],
    )
    png("swarmui", {"parameters": json.dumps(data, indent=4)})
    expect("swarmui", **draft)
    with_exif("swarmui_jpeg.jpg", user_comment(json.dumps(data)))
    expect("swarmui_jpeg", **draft)


def fooocus():
    data = {
        "adm_guidance": "(1.5, 0.8, 0.3)", "base_model": "tide_v2", "base_model_hash": "31e35c80fc", "clip_skip": 2,
        "created_by": "", "full_negative_prompt": ["blurry"], "full_prompt": ["cinematic still a fox", "a fox, sharp"],
        "guidance_scale": 4.0, "lora_combined_1": "ink : 0.1", "loras": [["ink", 0.1, "4852686128"]],
        "metadata_scheme": "fooocus", "negative_prompt": "", "performance": "Speed", "prompt": "a fox",
        "prompt_expansion": "a fox, sharp", "refiner_model": "None", "refiner_switch": 0.5, "resolution": "(1152, 896)",
        "sampler": "dpmpp_2m_sde_gpu", "scheduler": "karras", "seed": "8472635410987654321", "sharpness": 2.0, "steps": 30,
        "styles": "['Fooocus V2']", "vae": "Default (model)", "version": "Fooocus v2.5.5",
    }
    draft = dict(
        origin="Fooocus", program="comfyui", prompt="cinematic still a fox\na fox, sharp", negative="blurry",
        adapters=[mention("ink", 0.1, hash="4852686128")], steps=30, sampler="dpmpp_2m_sde", schedule="karras",
        guidance=4, seed="8472635410987654321", size=[1152, 896], model="tide_v2", model_hash="31e35c80fc", clip_skip=2,
        rng="torch_philox", version="Fooocus v2.5.5",
        leftovers=[
            leftover("full_prompt", "2 texts", "these texts are encoded each by itself there and as one here, so the image differs"),
            leftover("adm_guidance", "(1.5, 0.8, 0.3)", UNSUPPORTED),
            leftover("sharpness", "2.0", UNSUPPORTED),
        ],
    )
    png("fooocus", {"parameters": data, "fooocus_scheme": "fooocus"})
    expect("fooocus", **draft)
    # All in the first directory, and without a name of the encoding.
    exif = Image.Exif()
    exif[0x9286] = json.dumps(data)
    exif[0x0131] = "Fooocus v2.5.5"
    exif[0x927C] = "fooocus"
    with_exif("fooocus_jpeg.jpg", exif)
    expect("fooocus_jpeg", **draft)


def invokeai():
    png("invokeai", {"invokeai_metadata": {
        "app_version": "5.4.0", "generation_mode": "sdxl_txt2img", "positive_prompt": "a (red)1.3 fox",
        "negative_prompt": "blurry", "positive_style_prompt": "", "negative_style_prompt": "", "width": 1024,
        "height": 768, "seed": 2147483646, "rand_device": "cpu", "cfg_scale": 7.5, "cfg_rescale_multiplier": 0,
        "steps": 30, "scheduler": "dpmpp_2m_k", "clip_skip": 0,
        "model": {"key": "f1", "hash": "blake3:0a0b", "name": "Tide XL", "base": "sdxl", "type": "main"},
        "loras": [{"model": {"key": "f2", "name": "ink", "base": "sdxl", "type": "lora"}, "weight": 0.75}],
        "hrf_enabled": False, "seamless_x": True,
    }, "invokeai_graph": {"nodes": {}}})
    weights = "InvokeAI's weights (`word++`, `(word)1.2`) are not supported and read as text"
    expect(
        "invokeai", origin="InvokeAI", program="diffusers", prompt="a (red)1.3 fox", negative="blurry",
        adapters=[mention("ink", 0.75)], steps=30, sampler="dpmpp_2m", schedule="karras", guidance=7.5, seed=2147483646,
        size=[1024, 768], model="Tide XL", clip_skip=1, rng="torch", version="InvokeAI 5.4.0",
        leftovers=[leftover("seamless_x", "true", UNSUPPORTED), leftover("positive_prompt", "", weights)],
    )
    png("invokeai_2", {"sd-metadata": {
        "model": "stable diffusion", "model_weights": "stable-diffusion-1.5", "model_hash": "cc6c", "app_version": "2.3.5",
        "image": {
            "prompt": [{"prompt": "a fox [blurry, dark]", "weight": 1.0}], "steps": 50, "cfg_scale": 7.5, "threshold": 0,
            "perlin": 0, "height": 512, "width": 512, "seed": 3200, "sampler": "k_euler_a", "type": "txt2img",
            "postprocessing": None,
        },
    }, "Dream": '"a fox [blurry, dark]" -s 50 -S 3200'})
    expect(
        "invokeai_2", origin="InvokeAI", program="diffusers", prompt="a fox", negative="blurry, dark", steps=50,
        sampler="euler_a", guidance=7.5, seed=3200, size=[512, 512], model="stable-diffusion-1.5", rng="torch",
        version="InvokeAI 2.3.5",
    )


def novelai():
    comment = {
        "prompt": "{{fox}}, [snow] (wide)", "steps": 28, "height": 1216, "width": 832, "scale": 5.0, "uncond_scale": 1.0,
        "cfg_rescale": 0.0, "seed": 1022336483, "n_samples": 1, "hide_debug_overlay": False, "noise_schedule": "karras",
        "sampler": "k_euler_ancestral", "sm": True, "sm_dyn": False, "uc": "lowres", "request_type": "PromptGenerateRequest",
        "signed_hash": "x",
    }
    png("novelai", {
        "Title": "AI generated image", "Description": comment["prompt"], "Software": "NovelAI",
        "Source": "Stable Diffusion XL 9CC2F394", "Generation time": "4.1", "Comment": comment,
    })
    own = "NovelAI's models and noise are its own: the image cannot be drawn again, only one like it"
    expect(
        "novelai", origin="NovelAI", program="a1111", prompt="((fox:1.05):1.05), (snow:0.952) \\(wide\\)",
        negative="lowres", steps=28, sampler="euler_a", schedule="karras", guidance=5, seed=1022336483, size=[832, 1216],
        leftovers=[leftover("model", "NovelAI", own), leftover("sm", "true", UNSUPPORTED)],
    )


def draw_things():
    data = {
        "c": "a fox & \"snow\" <wide>", "uc": "blurry", "model": "tide_v2_f16.ckpt", "sampler": "DPM++ 2M Karras",
        "scale": 7.5, "seed": 2781936472, "seed_mode": "Torch CPU Compatible", "size": "512x768", "steps": 20,
        "strength": 1, "lora": [{"model": "ink_lora_f16.ckpt", "weight": 0.6}], "control": [], "mask_blur": 1.5,
        "v2": {"steps": 20},
    }
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/">'
        f'<exif:UserComment><rdf:Alt><rdf:li xml:lang="x-default">{escape(json.dumps(data))}</rdf:li></rdf:Alt>'
        "</exif:UserComment><xmp:CreatorTool>Draw Things</xmp:CreatorTool></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    png("draw_things", {"XML:com.adobe.xmp": xmp}, international=["XML:com.adobe.xmp"])
    expect(
        "draw_things", origin="Draw Things", program="a1111", prompt='a fox & "snow" <wide>', negative="blurry",
        adapters=[mention("ink", 0.6)], steps=20, sampler="dpmpp_2m", schedule="karras", guidance=7.5, seed=2781936472,
        size=[512, 768], model="tide_v2", rng="torch", version="Draw Things",
    )


def foreign():
    """Texts that are none of these programs': they are quoted, not taken for prompts."""
    png("foreign_cooking", {"parameters": "Bread\nSteps: 3, Time: 20 min, Serves: 4", "Software": "GIMP"})
    expect("foreign_cooking", unknown=[dict(name="parameters", start="Bread Steps: 3, Time: 20 min, Serves: 4")])
    png("foreign_json", {"Comment": '{"prompt": "a fox", "mood": "calm"}'})
    expect("foreign_json", unknown=[dict(name="Comment", start='{"prompt": "a fox", "mood": "calm"}')])
    with_exif("foreign_camera.jpg", piexif.dump({"0th": {piexif.ImageIFD.Make: b"Camera", piexif.ImageIFD.Model: b"One"}}))
    expect("foreign_camera", unknown=[])


OUT.mkdir(exist_ok=True)
for make in [
    a1111, web_ui_family, civitai, comfyui, comfyui_custom, comfyui_workflow, comfyui_packs, swarmui, fooocus, invokeai,
    novelai, draw_things, foreign,
]:
    make()
