"""Writes runs of samplers and schedules that only the web UIs have, with a mock model: golden/webui/samplers.json.

DPM fast, DPM adaptive, churn and "Sigma noise" are k-diffusion's own code. ComfyUI's own samplers and CFG++ are written here
from their formulas, in double precision; so are the schedules that k-diffusion lacks.

    pip install torch numpy scipy
    pip install --no-deps k-diffusion
    python tests/make/web_ui_samplers.py
"""

import importlib.util
import json
import math
import pathlib
import sys
import types

import numpy as np
import torch
from scipy import integrate, stats

OUT = pathlib.Path(__file__).resolve().parent.parent / "golden" / "webui" / "samplers.json"
BAR = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
TABLE = np.sqrt((1 - BAR) / BAR)
LOGS = np.log(TABLE)
MIN, MAX = float(TABLE[0]), float(TABLE[-1])
START = torch.randn(16, generator=torch.Generator().manual_seed(1)).double()


def k_sampling():
    """Imports only k-diffusion's sampling.py: the package has many unneeded dependencies."""
    package = pathlib.Path(importlib.util.find_spec("k_diffusion").submodule_search_locations[0])
    for name in ["k_diffusion", "k_diffusion.utils", "torchsde", "torchdiffeq"]:
        sys.modules[name] = types.ModuleType(name)
    utils = sys.modules["k_diffusion.utils"]
    utils.append_dims = lambda x, dims: x[(...,) + (None,) * (dims - x.ndim)]
    sys.modules["k_diffusion"].utils = utils
    sys.modules["torchdiffeq"].odeint = None
    spec = importlib.util.spec_from_file_location("k_diffusion.sampling", package / "sampling.py")
    module = importlib.util.module_from_spec(spec)
    module.__package__ = "k_diffusion"
    spec.loader.exec_module(module)
    return module


K = k_sampling()


class Noise:
    """Draws the noise of the steps, and replaces torch.randn_like in k-diffusion."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(2)

    def __call__(self, *_):
        return torch.randn(16, generator=self.generator).double()


class Hijack:
    def __init__(self, noise):
        self.noise = noise

    def __getattr__(self, name):
        return getattr(torch, name)

    def randn_like(self, x):
        return self.noise()


class Model:
    """The mock model with the timesteps of a program: interpolated (A1111) or the nearest (ComfyUI)."""

    def __init__(self, program):
        self.program, self.timesteps, self.negative = program, [], None

    def timestep(self, sigma):
        if self.program == "a1111":
            return float(np.interp(math.log(sigma), LOGS, np.arange(1000)))
        return float(np.abs(LOGS - math.log(sigma)).argmin())

    def outputs(self, x, t):
        """Returns the guided output and that for the negative prompt of a sample of unit variance."""
        self.timesteps.append(t)
        guided = 0.8 * x / (1 + 0.2 * x * x) + 0.15 * (t / 1000 - 0.5)
        return guided, 0.9 * guided + 0.05

    def __call__(self, x, sigma):
        sigma = float(sigma.reshape(-1)[0]) if torch.is_tensor(sigma) else sigma
        guided, negative = self.outputs(x / (sigma**2 + 1) ** 0.5, self.timestep(sigma))
        self.negative = x - sigma * negative
        return x - sigma * guided


def normal(steps):
    return torch.tensor(np.append(np.exp(np.interp(np.linspace(999, 0, steps), np.arange(1000), LOGS)), 0.0))


def karras(steps, rho=7.0, low=MIN, high=MAX):
    return K.get_sigmas_karras(steps, low, high, rho).double()


def start_scale(program, sigma):
    """Returns the deviation of the initial noise."""
    return sigma if program == "a1111" else (1 + sigma**2) ** 0.5


def k_run(program, function, sigmas, ranged=False, **options):
    """Runs a sampler of k-diffusion."""
    model, noise = Model(program), Noise()
    K.torch = Hijack(noise)
    if "eta" in options or "noise_sampler" in options:
        options["noise_sampler"] = noise
    x = START * start_scale(program, float(sigmas[0]))
    if ranged:
        low = MIN if program == "a1111" else float(sigmas[-2])
        given = (low, float(sigmas[0]), len(sigmas) - 1) if "fast" in function else (low, float(sigmas[0]))
        end = getattr(K, function)(model, x, *given, disable=True, **options)
    else:
        end = getattr(K, function)(model, x, sigmas, disable=True, **options)
    return model.timesteps, end


def ancestral(start, end, eta):
    up = min(end, eta * (end**2 * (start**2 - end**2) / start**2) ** 0.5)
    return (end**2 - up**2) ** 0.5, up


def ddpm(model, x, sigmas, noise):
    for start, end in zip(sigmas, sigmas[1:]):
        slope = (x - model(x, start)) / start
        bar, bar_end = 1 / (start**2 + 1), 1 / (end**2 + 1)
        alpha, x = bar / bar_end, x * bar**0.5
        x = (x - (1 - alpha) * slope / (1 - bar) ** 0.5) / alpha**0.5
        if end > 0:
            x = (x + ((1 - alpha) * (1 - bar_end) / (1 - bar)) ** 0.5 * noise()) / bar_end**0.5
    return x


def euler_cfg_pp(eta):
    def run(model, x, sigmas, noise):
        for start, end in zip(sigmas, sigmas[1:]):
            clean = model(x, start)
            down, up = ancestral(start, end, eta)
            x = clean + down * (x - model.negative) / start if end > 0 else clean
            if end > 0 and eta > 0:
                x = x + up * noise()
        return x

    return run


def dpmpp_2s_a_cfg_pp(model, x, sigmas, noise):
    for start, end in zip(sigmas, sigmas[1:]):
        clean = model(x, start)
        if end == 0:
            return clean
        down, up = ancestral(start, end, 1.0)
        middle = (start * down) ** 0.5
        inner = middle / start * (x + clean - model.negative) + (1 - middle / start) * clean
        second = model(inner, middle)
        x = down / start * (x + clean - model.negative) + (1 - down / start) * second + up * noise()


def dpmpp_2m_cfg_pp(model, x, sigmas, noise):
    last = None
    for i, (start, end) in enumerate(zip(sigmas, sigmas[1:])):
        clean = model(x, start)
        if end == 0:
            return clean
        ratio, h = end / start, math.log(start / end)
        change = 0
        if last is not None:
            change = (1 - ratio) * (clean - last) * h / (2 * math.log(sigmas[i - 1] / start))
        x, last = clean + ratio * (x - model.negative) + change, model.negative


def ipndm(model, x, sigmas, noise):
    weights = [[1], [3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24]]
    slopes = []
    for start, end in zip(sigmas, sigmas[1:]):
        clean = model(x, start)
        slopes = [(x - clean) / start, *slopes][:4]
        total = sum(weight * slope for weight, slope in zip(weights[len(slopes) - 1], slopes))
        x = x + (end - start) * total if end > 0 else clean
    return x


def ipndm_v(model, x, sigmas, noise):
    slopes = []
    for i, (start, end) in enumerate(zip(sigmas, sigmas[1:])):
        clean = model(x, start)
        if end == 0:
            return clean
        slopes = [(x - clean) / start, *slopes][:4]
        h, h1, h2, h3 = [sigmas[i + 1 - k] - sigmas[i - k] if k <= i else None for k in range(4)]
        weights = np.array([1.0, 0, 0, 0])
        if i >= 1:
            weights += np.array([1, -1, 0, 0]) * h / h1 / 2
        if i >= 2:
            third = (1 - h / (3 * (h + h1)) * (h * (h + h1)) / (h1 * (h1 + h2))) / 2
            weights += np.array([1, -1 - h1 / h2, h1 / h2, 0]) * third
        if i >= 3:
            q = h1 * (h1 + h2) / (h2 * (h2 + h3))
            fourth = (1 - h / (3 * (h + h1))) / 2 + (1 - h / (2 * (h + h1))) * h / (6 * (h + h1 + h2))
            fourth *= h * (h + h1) * (h + h1 + h2) / (h1 * (h1 + h2) * (h1 + h2 + h3))
            weights += np.array([1, -1 - h1 / h2 - q, h1 / h2 + q * (1 + h2 / h3), -q * h1 / h2]) * fourth
        x = x + (end - start) * sum(weight * slope for weight, slope in zip(weights, slopes))


def deis(model, x, sigmas, noise):
    log = lambda sigma: math.log(sigma**2 + 1)
    growth = 2 * (log(0.002) / 1e-3 - log(80)) / (1e-3 - 1)
    first = log(80) - growth / 2
    time = lambda sigma: (math.sqrt(first**2 + 2 * growth * log(sigma)) - first) / growth
    slopes = []
    for i, (start, end) in enumerate(zip(sigmas, sigmas[1:])):
        clean = model(x, start)
        if end == 0:
            return clean
        slopes = [(x - clean) / start, *slopes][:3]
        if i == 0:
            x = x + (end - start) * slopes[0]
            continue
        times = [time(sigma) for sigma in sigmas[i::-1][:3]]
        at = np.linspace(times[0], time(end), 10000)
        alpha = np.exp(-0.5 * growth * at**2 - first * at)
        speed = 0.5 * (growth * at + first) / np.sqrt(alpha * (1 - alpha))
        for node, slope in zip(times, slopes):
            basis = np.prod([(at - other) / (node - other) for other in times if other != node], axis=0)
            x = x + (speed * basis).sum() * (time(end) - times[0]) / 10000 * slope


def seeds(positions, weights, eta):
    """SEEDS and the exponential Heun method: the share of the step that each call leads to, and the weights of x0."""

    def run(model, x, sigmas, noise):
        for start, end in zip(sigmas, sigmas[1:]):
            clean = model(x, start)
            if end == 0:
                return clean
            h = math.log(start / end)
            cleans, shared, before, sigma = [clean], 0, 0, start
            for i, share in enumerate(positions):
                if i > 0:
                    cleans.append(model(inner, sigma))
                sigma = start ** (1 - share) * end**share
                inner = sigma / start * math.exp(-share * h * eta) * x
                inner = inner + sum(weight * clean for weight, clean in zip(weights(i, h * (1 + eta)), cleans))
                if eta > 0:
                    part = (before - share) * h * eta
                    shared = shared * math.exp(part) + math.sqrt(-math.expm1(2 * part)) * noise()
                    inner = inner + shared * sigma
                before = share
            x = inner

    return run


def gain(h):
    return -math.expm1(-h)


def second(h):
    return 1 - gain(h) / h


SEEDS_2 = [0.5, 1], lambda call, h: [[gain(h / 2)], [0, gain(h)]][call]
EXP_HEUN = [1, 1], lambda call, h: [[gain(h)], [gain(h) - second(h), second(h)]][call]
SEEDS_3 = [1 / 3, 2 / 3, 1], lambda call, h: [
    [gain(h / 3)],
    [gain(2 * h / 3) - 2 * second(2 * h / 3), 2 * second(2 * h / 3)],
    [gain(h) - 1.5 * second(h), 0, 1.5 * second(h)],
][call]


def sa_solver(is_pece):
    def weights(nodes, start, end, tau):
        rate = 1 + tau**2
        values = []
        for node in nodes:
            others = [other for other in nodes if other != node]
            basis = lambda at: np.prod([(at - other) / (node - other) for other in others], axis=0)
            values.append(integrate.quad(lambda at: rate * math.exp(rate * (at - end)) * basis(at), start, end)[0])
        return values

    def run(model, x, sigmas, noise):
        lambdas = [-math.log(sigma) for sigma in sigmas if sigma > 0]
        low, high = [math.exp(np.interp(share * 999, np.arange(1000), LOGS)) for share in (0.2, 0.8)]
        steps, cleans, tau, drawn, last = len(sigmas) - 1, [], 0, 0, None

        def advanced(x, to, newest, order):
            h = lambdas[to] - lambdas[to - 1]
            b = weights(lambdas[newest + 1 - order : newest + 1], lambdas[to - 1], lambdas[to], tau)
            x = sigmas[to] / sigmas[to - 1] * math.exp(-(tau**2) * h) * x
            x = x + sum(weight * clean for weight, clean in zip(b, cleans[-order:]))
            return x + sigmas[to] * math.sqrt(-math.expm1(-2 * tau**2 * h)) * drawn

        for i in range(steps):
            cleans.append(model(x, sigmas[i]))
            if i > 0 and (sigmas[i + 1] > 0 or is_pece):
                x = advanced(last, i, i, min(4, len(cleans), steps - i))
                if is_pece:
                    cleans[-1] = model(x, sigmas[i])
            if sigmas[i + 1] == 0:
                return cleans[-1]
            tau = 1 if high >= sigmas[i + 1] > low else 0
            drawn = noise() if tau else 0
            last, x = x, advanced(x, i + 1, i, min(3, len(cleans), steps - 1 - i))

    return run


def heunpp2(model, x, sigmas, noise):
    for i, (start, end) in enumerate(zip(sigmas, sigmas[1:])):
        inner = [sigma for sigma in sigmas[i : i + 3] if sigma > 0]
        at, slopes = x, []
        for j, sigma in enumerate(inner):
            slopes.append((at - model(at, sigma)) / sigma)
            if j + 1 < len(inner):
                at = at + (inner[j + 1] - sigma) * slopes[-1]
        weights = [sigma / (len(inner) * sigmas[0]) for sigma in inner[1:]]
        x = x + (end - start) * sum(w * slope for w, slope in zip([1 - sum(weights), *weights], slopes))
    return x


def res_multistep(eta, is_cfg_pp):
    def run(model, x, sigmas, noise):
        last = None
        for i, (start, end) in enumerate(zip(sigmas, sigmas[1:])):
            clean = model(x, start)
            if end == 0:
                return clean
            target = model.negative if is_cfg_pp else clean
            down, up = ancestral(start, end, eta)
            if last is None:
                x = clean + down * (x - target) / start
            else:
                h = math.log(start / down)
                c2 = (math.log(last[1]) - math.log(sigmas[i - 1])) / h
                phi_1 = math.expm1(-h) / -h
                phi_2 = (phi_1 - 1) / -h
                x = math.exp(-h) * (x + clean - target) + h * ((phi_1 - phi_2 / c2) * target + phi_2 / c2 * last[0])
            x = x + up * noise()
            last = target, down

    return run


def gradient_estimation(is_cfg_pp):
    def run(model, x, sigmas, noise):
        last = None
        for start, end in zip(sigmas, sigmas[1:]):
            clean = model(x, start)
            if end == 0:
                return clean
            slope = (x - (model.negative if is_cfg_pp else clean)) / start
            x = clean + slope * end if is_cfg_pp else x + slope * (end - start)
            if last is not None:
                x = x + (slope - last) * (end - start)
            last = slope

    return run


def er_sde(model, x, sigmas, noise):
    scale = lambda sigma: sigma * (np.exp(sigma**0.3) + 10)
    last = last_slope = None
    for i, (start, end) in enumerate(zip(sigmas, sigmas[1:])):
        clean = model(x, start)
        if end == 0:
            return clean
        ratio = scale(end) / scale(start)
        x = ratio * x + (1 - ratio) * clean
        width = (start - end) / 200
        at = end + np.arange(200) * width
        if i >= 1:
            slope = (clean - last) / (start - sigmas[i - 1])
            x = x + (end - start + (width / scale(at)).sum() * scale(end)) * slope
            if i >= 2:
                second = (slope - last_slope) / ((start - sigmas[i - 2]) / 2)
                x = x + ((end - start) ** 2 / 2 + ((at - start) * width / scale(at)).sum() * scale(end)) * second
            last_slope = slope
        x = x + noise() * max(end**2 - (start * ratio) ** 2, 0) ** 0.5
        last = clean


def ddim_cfg_pp(steps):
    model, x = Model("a1111"), START
    times = [min(t + 1, 999) for t in range(0, 1000, 1000 // steps)]
    for t, before in zip(times[:0:-1], times[-2::-1]):
        guided, negative = model.outputs(x, float(t))
        clean = (x - (1 - BAR[t]) ** 0.5 * guided) / BAR[t] ** 0.5
        x = BAR[before] ** 0.5 * clean + (1 - BAR[before]) ** 0.5 * negative
    return model.timesteps, x


def own_run(solver, steps):
    model = Model("comfyui")
    sigmas = normal(steps).tolist()
    return model.timesteps, solver(model, START * start_scale("comfyui", sigmas[0]), sigmas, Noise())


def published(levels, n):
    positions = np.linspace(0, 1, n)
    return np.exp(np.interp(positions, np.linspace(0, 1, len(levels)), np.log(levels[::-1])))[::-1]


def schedules():
    """σ of A1111's schedule types and settings, of its forks' and of ComfyUI's."""
    log_sigmas = lambda places: np.exp(np.interp(places, np.arange(1000), LOGS))
    angles = lambda n, divisions: np.tan(np.arctan(MAX) + np.arange(n) / divisions * (np.arctan(MIN) - np.arctan(MAX)))
    yield "sgm_uniform", 7, {}, log_sigmas(np.linspace(999, 0, 8)[:-1])
    yield "simple", 7, {}, [TABLE[-(1 + int(i * 1000 / 7))] for i in range(7)]
    yield "ddim_uniform", 7, {}, TABLE[1 :: 1000 // 7][::-1]
    yield "kl_optimal", 7, {}, angles(7, 7)
    yield "ays", 8, {}, published([14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029], 8)
    for n in [8, 9]:
        places = np.rint(stats.beta.ppf(1 - np.linspace(0, 1, n, endpoint=False), 0.6, 0.6) * 999).astype(int)
        yield "beta", n, None, TABLE[places]
    yield "kl_optimal", 7, None, angles(7, 6)
    linear, n = 3, 7
    difference = linear - 0.025 * n
    square, slope = difference / (linear * (n - linear) ** 2), 0.025 / linear - 2 * difference / (n - linear) ** 2
    rise = [i * 0.025 / linear for i in range(linear)]
    rise += [square * i * i + slope * i + square * linear**2 for i in range(linear, n)]
    yield "linear_quadratic", 7, None, (1 - np.array(rise)) * MAX
    gits = [14.615, 4.617, 2.507, 1.236, 0.702, 0.402, 0.240, 0.156, 0.104, 0.094, 0.029]
    turbo = [TABLE[min(999, int(np.float32(step) * np.float32(1000 / 7) - 1 + 0.5))] for step in range(7, 0, -1)]
    beta = stats.beta.ppf(1 - np.linspace(0, 1, 9), 0.5, 0.8) * (MAX - MIN) + MIN
    poly = np.exp(np.linspace(1, 0, 6) ** 2.0 * (math.log(MAX) - math.log(MIN)) + math.log(MIN))
    yield "turbo", 7, {}, turbo
    yield "ays_gits", 6, {}, published(gits, 6)
    yield "beta", 9, {"beta_alpha": 0.5, "beta_beta": 0.8}, beta
    yield "polyexponential", 6, {"rho": 2.0}, poly
    yield "karras", 6, {"rho": 5.0, "sigma_min": 0.1, "sigma_max": 10.0}, karras(6, 5.0, 0.1, 10.0)[:-1]
    yield "exponential", 5, {"sigma_min": 0.1, "sigma_max": 10.0}, np.geomspace(10.0, 0.1, 5)


def main():
    cases = []

    def add(sampler, program, steps, made, schedule="timesteps", **more):
        timesteps, end = made
        end = [round(float(value), 7) for value in end]
        case = {"sampler": sampler, "program": program, "schedule": schedule, "steps": steps, **more}
        cases.append({**case, "timesteps": [round(t, 3) for t in timesteps], "end": end})

    for steps in [1, 2, 3, 4, 6, 8]:
        add("dpm_fast", "a1111", steps, k_run("a1111", "sample_dpm_fast", normal(steps), True, eta=1.0))
        if steps > 1:
            add("dpm_fast", "comfyui", steps, k_run("comfyui", "sample_dpm_fast", normal(steps), True))
    add("dpm_fast", "a1111", 5, k_run("a1111", "sample_dpm_fast", normal(5), True, eta=0.5, s_noise=0.9), eta=0.5, settings={"s_noise": 0.9})
    add("dpm_adaptive", "a1111", 20, k_run("a1111", "sample_dpm_adaptive", normal(20), True, eta=1.0))
    add("dpm_adaptive", "comfyui", 20, k_run("comfyui", "sample_dpm_adaptive", normal(20), True))
    settings = {"s_churn": 3.0, "s_tmin": 0.2, "s_tmax": 8.0, "s_noise": 1.01}
    for name, function in [("euler", "sample_euler"), ("heun", "sample_heun")]:
        add(name, "a1111", 7, k_run("a1111", function, karras(7), **settings), "karras", settings=settings)
    discarded = karras(8)[[0, 1, 2, 3, 4, 5, 6, 8]]
    add("dpm2", "a1111", 7, k_run("a1111", "sample_dpm_2", discarded, **settings), "karras", settings=settings)
    noisy = {"s_noise": 0.9}
    add("dpm2_a", "a1111", 7, k_run("a1111", "sample_dpm_2_ancestral", discarded, eta=1.0, **noisy), "karras", settings=noisy)
    add("dpmpp_2s_a", "a1111", 7, k_run("a1111", "sample_dpmpp_2s_ancestral", karras(7), eta=1.0, **noisy), "karras", settings=noisy)
    add("ddpm", "comfyui", 8, own_run(ddpm, 8))
    add("euler_cfg_pp", "comfyui", 8, own_run(euler_cfg_pp(0.0), 8))
    add("euler_a_cfg_pp", "comfyui", 8, own_run(euler_cfg_pp(1.0), 8))
    add("dpmpp_2s_a_cfg_pp", "comfyui", 8, own_run(dpmpp_2s_a_cfg_pp, 8))
    add("dpmpp_2m_cfg_pp", "comfyui", 8, own_run(dpmpp_2m_cfg_pp, 8))
    for name, solver in [("ipndm", ipndm), ("heunpp2", heunpp2), ("er_sde", er_sde), ("ipndm_v", ipndm_v), ("deis", deis)]:
        add(name, "comfyui", 8, own_run(solver, 8))
    for name, method, eta in [("seeds_2", SEEDS_2, 1), ("seeds_3", SEEDS_3, 1), ("exp_heun_2_x0", EXP_HEUN, 0), ("exp_heun_2_x0_sde", EXP_HEUN, 1)]:
        add(name, "comfyui", 8, own_run(seeds(*method, eta), 8))
    for name, is_pece in [("sa_solver", False), ("sa_solver_pece", True)]:
        for steps in [1, 2, 8]:
            add(name, "comfyui", steps, own_run(sa_solver(is_pece), steps))
    for suffix, is_cfg_pp in [("", False), ("_cfg_pp", True)]:
        add("res_multistep" + suffix, "comfyui", 8, own_run(res_multistep(0.0, is_cfg_pp), 8))
        add("res_multistep_a" + suffix, "comfyui", 8, own_run(res_multistep(1.0, is_cfg_pp), 8))
        add("gradient_estimation" + suffix, "comfyui", 8, own_run(gradient_estimation(is_cfg_pp), 8))
    add("ddim_cfg_pp", "a1111", 7, ddim_cfg_pp(7))
    for schedule, steps, settings, sigmas in schedules():
        program = "comfyui" if settings is None else "a1111"
        # A1111's last level of this type is the smallest one.
        end = MIN if schedule == "kl_optimal" and program == "a1111" else 0.0
        sigmas = [round(float(sigma), 6) for sigma in [*sigmas, end]]
        cases.append({"sampler": "euler", "program": program, "schedule": schedule, "steps": steps, "settings": settings, "sigmas": sigmas})
    OUT.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    print(len(cases), "cases")


if __name__ == "__main__":
    main()
