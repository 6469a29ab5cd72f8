"""Deltas beside those that peft computes."""

import lora_loupe
import numpy as np
import pytest
import torch
from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model


class Attention(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q_proj = torch.nn.Linear(48, 64, bias=False)
        self.v_proj = torch.nn.Linear(48, 32, bias=False)


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(Attention() for _ in range(2))


@pytest.mark.parametrize("config", [LoraConfig, LoHaConfig, LoKrConfig])
def test_deltas_are_those_of_peft(config, tmp_path):
    torch.manual_seed(0)
    options = {"lora_alpha": 6} if config is LoraConfig else {"alpha": 6}
    model = get_peft_model(Model(), config(r=4, target_modules=["q_proj", "v_proj"], **options))
    for name, parameter in model.named_parameters():
        if "lora_" in name or "hada_" in name or "lokr_" in name:
            parameter.data.normal_()
    model.save_pretrained(tmp_path)
    layers = lora_loupe.layers(tmp_path)
    assert len(layers) == 4
    for name, module in model.named_modules():
        if hasattr(module, "get_delta_weight"):
            expected = module.get_delta_weight("default").detach().numpy()
            [layer] = [layer for layer in layers if name.split("layers.")[1] in layer]
            np.testing.assert_allclose(lora_loupe.delta(tmp_path, layer), expected, rtol=1e-4, atol=1e-4)
