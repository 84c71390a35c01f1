"""The stacked bidirectional LSTM of the PaddlePaddle book's "Understand Sentiment", built from the framework's classic operators.

PaddlePaddle 3 still has the operators but no longer their Python wrappers, and only its older program form takes them. Import this module
before anything imports `paddle`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

# paddle reads it once, when it is imported; the newer program form refuses `lstm` and ragged input
os.environ["FLAGS_enable_pir_api"] = "0"  # noqa: SIM112  paddle's own spelling

import numpy as np
import paddle
from paddle import static
from paddle.base import core

CLASSES = 2


@dataclass(frozen=True)
class Size:
    """How wide and how deep the network is. `hidden` is four times the width of one LSTM."""

    embedding: int
    hidden: int
    depth: int


def build(words: static.Variable, vocabulary: int, size: Size) -> static.Variable:
    """The probabilities (negative, positive) of each ragged row of `words`; every second LSTM reads backwards."""
    embedded = static.nn.embedding(words, size=[vocabulary, size.embedding])
    layer = static.nn.fc(paddle.reshape(embedded, [-1, size.embedding]), size.hidden)
    inputs = [layer, _lstm(layer, size.hidden, backwards=False)]
    for level in range(2, size.depth + 1):
        layer = static.nn.fc(inputs, size.hidden)
        inputs = [layer, _lstm(layer, size.hidden, backwards=level % 2 == 0)]
    pooled = [_max_over_words(inputs[0], size.hidden), _max_over_words(inputs[1], size.hidden // 4)]
    return static.nn.fc(pooled, CLASSES, activation="softmax")


def _lstm(gates: static.Variable, width: int, *, backwards: bool) -> static.Variable:
    name = paddle.utils.unique_name.generate("lstm")
    cells = width // 4
    weight = static.create_parameter([cells, width], "float32", name=name + ".w_0")
    bias = static.create_parameter([1, 7 * cells], "float32", name=name + ".b_0", is_bias=True)  # four gates and three peepholes
    block = static.default_main_program().current_block()
    outputs = {slot: block.create_var(name=f"{name}.{slot}", dtype="float32") for slot in ("Hidden", "Cell", "BatchGate", "BatchCellPreAct")}
    activations = {"gate_activation": "sigmoid", "cell_activation": "tanh", "candidate_activation": "tanh"}
    block.append_op(
        type="lstm",
        inputs={"Input": gates, "Weight": weight, "Bias": bias},
        outputs=outputs,
        attrs={"use_peepholes": True, "is_reverse": backwards, **activations},
    )
    outputs["Hidden"].desc.set_shape([-1, cells])
    return outputs["Hidden"]


def _max_over_words(layer: static.Variable, width: int) -> static.Variable:
    block = static.default_main_program().current_block()
    name = paddle.utils.unique_name.generate("sequence_pool")
    pooled, positions = (block.create_var(name=f"{name}.{slot}", dtype=kind) for slot, kind in (("out", "float32"), ("at", "int32")))
    attributes = {"pooltype": "MAX", "is_test": False, "pad_value": 0.0}
    block.append_op(type="sequence_pool", inputs={"X": layer}, outputs={"Out": pooled, "MaxIndex": positions}, attrs=attributes)
    pooled.desc.set_shape([-1, width])
    return pooled


def cross_entropy(probabilities: static.Variable, label: static.Variable) -> static.Variable:
    """The mean loss of a batch."""
    block = static.default_main_program().global_block()
    each = block.create_var(name="cross_entropy", dtype="float32", shape=[-1, 1])
    block.append_op(type="cross_entropy", inputs={"X": probabilities, "Label": label}, outputs={"Y": each}, attrs={"soft_label": False})
    mean = block.create_var(name="mean_loss", dtype="float32", shape=[])
    block.append_op(type="mean", inputs={"X": each}, outputs={"Out": mean})
    return mean


def ragged(rows: Sequence[Sequence[int]]) -> core.DenseTensor:
    """Rows of word numbers, none of them empty, as one tensor that knows where each row ends."""
    tensor = core.DenseTensor()
    tensor.set(np.concatenate([np.asarray(row, "int64") for row in rows]).reshape(-1, 1), paddle.CPUPlace())
    tensor.set_recursive_sequence_lengths([[len(row) for row in rows]])
    return tensor
