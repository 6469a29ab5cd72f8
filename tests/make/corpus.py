"""Creates the subset of the adapter test set in the repository.

    python tests/make/corpus.py PATH_TO_THE_SET

The set was made with sd-scripts, LyCORIS, peft and diffusers (see its README) and has a base model of
3.7 MB and adapters of 15 MB. The subset has one adapter of each kind with all its results, all shapes
of the base but only the weights whose changes are sampled, and only the headers of adapters for other
models. tests/hostile has every damaged file.
"""

import json
import pathlib
import shutil
import struct
import sys

VALID = """
kohya_te_only_r4a2_fp16 kohya_fp8_e4m3_r4a4 kohya_with_unmatched_keys_fp16 kohya_alpha_gt_rank_r3a16_fp32
comfy_ldm_dotted_r3a3_fp16 diffusers_lora_AB_metadata_r6a3_fp32 diffusers_lora_te_v5_names_r3_fp32
peft_plain_patterns_rslora/adapter_model peft_plain_text_encoder/adapter_model
old_diffusers_attn_procs_legacy_pickle lycoris_lora_norm_r2a1_fp16 lycoris_locon_tucker_r3a2_fp16
lycoris_loha_tucker_r3a2_fp32 lycoris_lokr_full_bf16 lycoris_lokr_t2_r2a1_fp16
lycoris_lokr_both_factored_r1a1_fp16 lycoris_glora_r3a2_fp16 lycoris_ia3_fp16 lycoris_diag_oft_b4_fp16
lycoris_boft_fp16 lycoris_dora_in_axis_r4a2_fp16
cloneofsimo_lora_weight cloneofsimo_lora_weight.text_encoder cloneofsimo_safeloras
""".split()
# Biases that peft_types.py needs besides the sampled weights.
BIASES = [
    "unet.conv_in.bias", "unet.down_blocks.1.attentions.0.transformer_blocks.0.ff.net.0.proj.bias",
    "unet.up_blocks.1.attentions.1.proj_in.bias",
]
FIELDS = """file kind algorithms naming_convention base_family n_modules_unet n_modules_te ranks alphas dtypes
unmatched_keys companion positional_targets expected""".split()
HOSTILE = "acceptable_verdicts severity reason bad_modules hint danger".split()
TESTS = pathlib.Path(__file__).resolve().parent.parent


def header(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(length)), 8 + length


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def corpus(source, target, files):
    sampled, cases = set(BIASES), []
    for case in files:
        name = case["file"].removeprefix("files/").rsplit(".", 1)[0]
        if case["kind"] == "valid" and name in VALID:
            copy(source / case["file"], target / case["file"])
            if "companion" in case:
                copy(source / case["companion"], target / case["companion"])
            case["expected"] = [result for result in case["expected"] if result["primary"]]
            for result in case["expected"]:
                copy(source / result["file"], target / result["file"])
                norms = json.loads((source / result["norms"]).read_text())
                write(target / result["norms"], json.dumps({key: float(f"{norm:.7g}") for key, norm in norms.items()}))
                sampled |= set(header(source / result["file"])[0]) - {"__metadata__"}
        elif case["kind"] == "detect_only":
            content, _ = header(source / case["file"])
            case["file"] += ".header.json"
            write(target / case["file"], json.dumps(content))
        else:
            continue
        cases.append({field: case[field] for field in FIELDS if field in case})
    write(target / "manifest.json", json.dumps({"files": cases}, indent=1))
    base, start = header(source / "base/mini_sd15_diffusers.safetensors")
    write(target / "base/shapes.json", json.dumps({name: info["shape"] for name, info in base.items() if name != "__metadata__"}))
    copy(source / "base/config.json", target / "base/config.json")
    data = (source / "base/mini_sd15_diffusers.safetensors").read_bytes()[start:]
    kept, parts, at = {}, [], 0
    for name in sorted(sampled):
        begin, end = base[name]["data_offsets"]
        kept[name] = {**base[name], "data_offsets": [at, at + end - begin]}
        parts.append(data[begin:end])
        at += end - begin
    text = json.dumps(kept).encode()
    (target / "base/sample.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def hostile(source, target, files):
    cases = []
    for case in files:
        if case["kind"] == "broken":
            name = case["file"].rsplit("/", 1)[1]
            copy(source / case["file"], target / name)
            cases.append({"file": name, **{field: case[field] for field in HOSTILE if field in case}})
    write(target / "manifest.json", json.dumps({"files": cases}, indent=1))


def main():
    source = pathlib.Path(sys.argv[1])
    read = lambda: json.loads((source / "manifest.json").read_text())["files"]
    corpus(source, TESTS / "corpus", read())
    hostile(source, TESTS / "hostile", read())


main()
