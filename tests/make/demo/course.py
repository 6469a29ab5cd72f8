"""Training loop with learning rate schedule, log and resumable checkpoints."""

import json
import math
import pathlib
import random
import time

import numpy as np
import torch

from networks import DEVICE

SAVE = 90


class Course:
    """
    Iterator that sets the optimizer's learning rates and yields once per step. Ends after `steps` or `minutes`,
    whichever comes first. The rates rise for `warm_up` steps, stay at the peak until the fraction `hold` of the
    training is done, then decay with a half cosine. `state` maps names to objects with state_dict and
    load_state_dict; it is saved to FOLDER/NAME.pt every `SAVE` seconds and restored from there on the next start.
    """

    def __init__(self, folder, name, optimiser, state, steps, minutes=math.inf, warm_up=30, hold=0.0, seed=0):
        self.path, self.log_path = pathlib.Path(folder) / f"{name}.pt", pathlib.Path(folder) / f"{name}.jsonl"
        self.optimiser, self.state = optimiser, dict(state, optimiser=optimiser)
        self.steps, self.seconds, self.warm_up, self.hold = steps, minutes * 60, warm_up, hold
        self.step, self.spent, self.losses = 0, 0.0, []
        for group in optimiser.param_groups:
            group["top"] = group["lr"]
        if self.path.exists():
            kept = torch.load(self.path, map_location=DEVICE)
            self.step, self.spent = kept["step"], kept["spent"]
            for key, value in self.state.items():
                value.load_state_dict(kept["state"][key])
        start = seed + self.step
        torch.manual_seed(start), np.random.seed(start), random.seed(start)

    def done(self):
        """Returns the completed fraction of the training."""
        return max(self.step / self.steps, self.spent / self.seconds)

    def rate(self):
        fall = max(0.0, (self.done() - self.hold) / (1 - self.hold))
        return min(1.0, (self.step + 1) / self.warm_up) * (0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * fall)))

    def __iter__(self):
        before, saved = time.monotonic() - self.spent, time.monotonic()
        while self.done() < 1:
            for group in self.optimiser.param_groups:
                group["lr"] = group["top"] * self.rate()
            yield self.step
            self.step += 1
            self.spent = time.monotonic() - before
            if self.step % 25 == 0:
                self.write()
            if time.monotonic() - saved > SAVE:
                self.save()
                saved = time.monotonic()
        self.save()

    def note(self, **losses):
        """Records the losses of a step; the log has their means."""
        self.losses.append({name: value.detach().item() for name, value in losses.items()})

    def means(self):
        recent = self.losses[-100:]
        return {name: round(float(np.mean([row[name] for row in recent])), 5) for name in recent[-1]} if recent else {}

    def write(self):
        line = dict(step=self.step, minutes=round(self.spent / 60, 2), device=DEVICE, rate=round(self.rate(), 3))
        line |= self.means()
        with self.log_path.open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(self.path.stem, line, flush=True)

    def save(self):
        kept = {key: value.state_dict() for key, value in self.state.items()}
        part = self.path.with_suffix(".part")
        torch.save(dict(state=kept, step=self.step, spent=self.spent), part)
        part.replace(self.path)
