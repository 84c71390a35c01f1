"""`mms.utils.mxnet.ndarray` of the old server."""

import importlib
from typing import Any, Dict, List, Sequence

mx: Any = importlib.import_module("mxnet")


def top_probability(data: Any, labels: Sequence[str], top: int = 5) -> List[Dict[str, Any]]:
    """The most probable classes of the first row, best first, as `{"probability", "class"}`."""
    if len(data.shape) > 2:
        data = mx.nd.array(data.asnumpy().squeeze(axis=tuple(range(2, len(data.shape)))))
    order = mx.nd.argsort(data[0], is_ascend=False)
    best = [int(place.asscalar()) for place in order[0:top]]
    return [{"probability": float(data[0, place].asscalar()), "class": labels[place]} for place in best]
