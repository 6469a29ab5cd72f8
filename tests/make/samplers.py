"""Writes trajectories of k-diffusion and diffusers for sampler and schedule settings:
golden/schedulers/k_diffusion.json and .safetensors.

The mock model, its inputs and the noise are those of golden/schedulers/schedulers.safetensors.
The sigmas of a schedule are computed here from its definition: sgm (Stability AI's generative-models)
for sgm_uniform, the table of sigmas for simple, NVIDIA's published sigmas for ays, diffusers for beta.

    pip install torch numpy scipy safetensors diffusers
    pip install --no-deps k-diffusion torchdiffeq torchsde trampoline
    python tests/make/samplers.py
"""

import importlib.util
import json
import pathlib
import sys
import types

import numpy as np
import torch
from diffusers import EulerDiscreteScheduler
from safetensors.torch import load_file, save_file
from scipy import stats

torch.set_num_threads(1)
HERE = pathlib.Path(__file__).resolve().parent.parent / "golden" / "schedulers"
COMMON = load_file(HERE / "schedulers.safetensors")
START, PATTERN, BANK = (COMMON[f"common.{name}"] for name in ["initial_noise", "pattern", "noise_bank"])
CONFIG = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
BAR = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0).double()
TABLE = ((1 - BAR) / BAR).sqrt()
AYS = {
    "ays": [14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092, 0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582],
    "ays_xl": [14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141, 0.5550693289, 0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582],
}


def k_sampling():
    """Imports only k-diffusion's sampling.py: the package has many unneeded dependencies."""
    package = pathlib.Path(importlib.util.find_spec("k_diffusion").submodule_search_locations[0])
    sys.modules["k_diffusion"] = types.ModuleType("k_diffusion")
    utils = types.ModuleType("k_diffusion.utils")
    utils.append_dims = lambda x, dims: x[(...,) + (None,) * (dims - x.ndim)]
    sys.modules["k_diffusion"].utils = sys.modules["k_diffusion.utils"] = utils
    spec = importlib.util.spec_from_file_location("k_diffusion.sampling", package / "sampling.py")
    module = importlib.util.module_from_spec(spec)
    module.__package__ = "k_diffusion"
    spec.loader.exec_module(module)
    return module


K = k_sampling()


def stand_in(x, t):
    return 0.8 * x / (1 + 0.2 * x * x) + 0.15 * (t / 1000 - 0.5) + 0.2 * PATTERN


def place(sigma):
    """Returns the timestep of a sigma, interpolated in log sigma."""
    return float(np.interp(np.log(float(sigma)), TABLE.log().numpy(), np.arange(1000)))


def levels(spacing, steps):
    if spacing == "karras":
        return K.get_sigmas_karras(steps, float(TABLE[0]), float(TABLE[-1]))[:-1]
    if spacing == "sgm_uniform":
        places = np.linspace(999, 0, steps + 1)[:-1]
        return torch.tensor(np.exp(np.interp(places, np.arange(1000), TABLE.log().numpy())))
    if spacing == "simple":
        return torch.stack([TABLE[-(1 + int(i * 1000 / steps))] for i in range(steps)])
    if spacing == "beta":
        shares = stats.beta.ppf(1 - np.linspace(0, 1, steps), 0.6, 0.6)
        return torch.tensor(shares) * (TABLE[-1] - TABLE[0]) + TABLE[0]
    known = np.log(AYS[spacing][::-1])
    return torch.tensor(np.exp(np.interp(np.linspace(0, 1, steps + 1), np.linspace(0, 1, 11), known))[::-1][:-1].copy())


class Drawn:
    """Yields the stored noise tensors in order and counts them."""

    def __init__(self):
        self.count = 0

    def __call__(self, *_):
        self.count += 1
        return BANK[self.count - 1]


def k_case(sampler, spacing, steps, eta):
    sigmas = torch.cat([levels(spacing, steps), torch.zeros(1, dtype=torch.float64)]).float()
    timesteps, noise = [], Drawn()

    def denoise(x, sigma):
        t = place(sigma)
        timesteps.append(t)
        return x - sigma * stand_in(x / (sigma**2 + 1).sqrt(), t)

    extra = {} if sampler in ("sample_euler", "sample_dpmpp_2m") else {"noise_sampler": noise, "eta": eta if eta is not None else 1.0}
    end = getattr(K, sampler)(denoise, START * sigmas[0], sigmas, disable=True, **extra)
    return timesteps, sigmas, end, noise.count


def d_case(cls, steps):
    scheduler = cls(**CONFIG, use_beta_sigmas=True)
    scheduler.set_timesteps(steps)
    x = START * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        x = scheduler.step(stand_in(scheduler.scale_model_input(x, t), float(t)), t, x).prev_sample
    return scheduler.timesteps.tolist(), scheduler.sigmas, x, 0


def main():
    listed, tensors = [], {}

    def add(sampler, spacing, steps, eta, made):
        timesteps, sigmas, end, noises = made
        key = str(len(listed))
        listed.append({"sampler": sampler, "schedule": spacing.removesuffix("_xl"), "xl": spacing.endswith("_xl"), "steps": steps, "eta": eta, "noises": noises})
        tensors[f"{key}.timesteps"] = torch.tensor(timesteps, dtype=torch.float32)
        tensors[f"{key}.sigmas"] = sigmas.float().clone()
        tensors[f"{key}.end"] = end.float().contiguous()

    for name, function in [("euler", "sample_euler"), ("dpmpp_2m", "sample_dpmpp_2m"), ("dpmpp_2s_a", "sample_dpmpp_2s_ancestral"), ("euler_a", "sample_euler_ancestral")]:
        for spacing in ["sgm_uniform", "simple", "ays", "ays_xl"] + (["karras"] if name[-2:] == "_a" else []):
            for steps in [1, 4, 10, 13]:
                add(name, spacing, steps, None, k_case(function, spacing, steps, None))
    for name, function in [("dpmpp_2s_a", "sample_dpmpp_2s_ancestral"), ("euler_a", "sample_euler_ancestral"), ("dpm2_a", "sample_dpm_2_ancestral")]:
        for eta in [0.0, 0.4]:
            add(name, "simple", 7, eta, k_case(function, "simple", 7, eta))
    for steps in [2, 4, 10, 25]:
        add("euler", "beta", steps, None, d_case(EulerDiscreteScheduler, steps))
        # diffusers truncates DPM++ 2M's timesteps to integers; the web UIs, which introduced "Beta", do not.
        add("dpmpp_2m", "beta", steps, None, k_case("sample_dpmpp_2m", "beta", steps, None))
    save_file(tensors, HERE / "k_diffusion.safetensors")
    (HERE / "k_diffusion.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in listed) + "\n]\n")
    print(len(listed), "cases", sum(t.nbytes for t in tensors.values()), "bytes")


if __name__ == "__main__":
    main()
