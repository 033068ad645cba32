"""Small models whose networks have any weights, as ONNX under onnxruntime."""

import json

import onnxruntime
import torch

from gatecast.edge.onnx.export import export_onnx
from gatecast.forecast.plan import Recipe
from gatecast.train.settings import Training
from models import network, prices

BATCHES = 1, 2, 7, 64
"""What N is tried."""
ONCE = Training(epochs=1, patience=None)


def runtime(model, folder, **options):
    return onnxruntime.InferenceSession(export_onnx(model, folder / "m.onnx", **options))


def facts_of(session):
    return json.loads(session.get_modelmeta().custom_metadata_map["gatecast"])


def stirred(networks, seed=0):
    """No weight is zero, as some are before much was learned."""
    generator = torch.Generator().manual_seed(seed)
    for each in networks:
        for weight in each.state_dict().values():
            weight += torch.empty_like(weight).normal_(0, 0.2, generator=generator)


def window_model(spec, panel=None, **options):
    recipe = Recipe(options.pop("transform", "standard"), training=ONCE, **options.pop("recipe", {}))
    model = network(spec, recipe=recipe, **options).fit(prices(90) if panel is None else panel)
    stirred(model.networks_)
    return model
