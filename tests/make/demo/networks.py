"""The demo's networks: a miniature of SD 1.x, from a diffusers folder or with random weights."""

import contextlib
from types import SimpleNamespace

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

WIDTH = 192
"""Width of the text features, the input of cross-attention."""

SCALING = 0.18215
"""Scaling factor from VAE latents to unit standard deviation, as in SD 1.x."""

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def bf16():
    """Autocast to bf16 with f32 accumulation, on CPU or GPU."""
    return torch.autocast(DEVICE, torch.bfloat16)


def plain_attention(network):
    """Unfused attention: on CPUs it is faster than the fused one for heads of 8 and 16 channels."""
    for module in network.modules():
        if hasattr(module, "set_processor"):
            module.set_processor(AttnProcessor())
    return network


def new_vae():
    network = AutoencoderKL(
        block_out_channels=(32, 64, 64), layers_per_block=1, latent_channels=4, sample_size=64, scaling_factor=SCALING,
        norm_num_groups=8,  # with SD's 32 groups, each group would have a single channel, and training stalls
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
    )
    return plain_attention(network)


def new_unet():
    network = UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, block_out_channels=(64, 128, 128), layers_per_block=1,
        cross_attention_dim=WIDTH, attention_head_dim=8, norm_num_groups=16,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    )
    return plain_attention(network)


def new_text_encoder(tokenizer):
    return CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=4 * WIDTH, projection_dim=WIDTH,
        num_hidden_layers=3, num_attention_heads=3, max_position_embeddings=77, hidden_act="quick_gelu",
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    ))


def opened(folders):
    """Loads the networks, frozen in f32, and the tokenizer from the subfolders of a model folder."""
    networks = SimpleNamespace(
        vae=plain_attention(AutoencoderKL.from_pretrained(folders["vae"])),
        unet=plain_attention(UNet2DConditionModel.from_pretrained(folders["unet"])),
        text_encoder=CLIPTextModel.from_pretrained(folders["text_encoder"]),
        tokenizer=CLIPTokenizer.from_pretrained(folders["tokenizer"]),
    )
    return settled(networks)


def fresh(folder):
    """Returns a UNet and a text encoder with random weights (seed 0), and the VAE and the tokenizer of a folder."""
    torch.manual_seed(0)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    vae = plain_attention(AutoencoderKL.from_pretrained(folder / "vae"))
    text_encoder, unet = new_text_encoder(tokenizer), new_unet()
    return settled(SimpleNamespace(vae=vae, text_encoder=text_encoder, unet=unet, tokenizer=tokenizer))


def settled(networks):
    for network in (networks.vae, networks.unet, networks.text_encoder):
        network.to(DEVICE, torch.float32).requires_grad_(False).eval()
    return networks


def token_ids(tokenizer, captions):
    """Returns token ids of shape (captions, 77)."""
    padded = tokenizer(captions, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    return padded.input_ids.to(DEVICE)


def text_features(networks, captions, train=False):
    """Returns text features of shape (captions, 77, WIDTH)."""
    with contextlib.nullcontext() if train else torch.no_grad():
        return networks.text_encoder(token_ids(networks.tokenizer, captions))[0]


@torch.no_grad()
def encoded(vae, pictures):
    """Encodes images (n, 3, 64, 64) in -1..1 as latents (n, 4, 16, 16) of about unit standard deviation."""
    return torch.cat([vae.encode(part.to(DEVICE)).latent_dist.mean for part in pictures.split(32)]).cpu() * SCALING
