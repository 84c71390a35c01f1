"""`mms.utils.mxnet.nlp` of the old server: sentences as numbers."""

import bisect
import importlib
from typing import Any, Dict, List, Optional, Sequence, Tuple

mx: Any = importlib.import_module("mxnet")


def encode_sentences(
    sentences: Sequence[Sequence[str]],
    vocab: Optional[Dict[str, int]] = None,
    invalid_label: int = -1,
    invalid_key: str = "\n",
    start_label: int = 0,
) -> Tuple[List[List[int]], Dict[str, int]]:
    """Each word as its number in the vocabulary. Without a vocabulary one is made; with one, unknown words become `invalid_label`."""
    grows = vocab is None
    known: Dict[str, int] = {invalid_key: invalid_label} if vocab is None else vocab
    following = start_label
    coded: List[List[int]] = []
    for sentence in sentences:
        numbers = []
        for word in sentence:
            if grows and word not in known:
                following += following == invalid_label
                known[word] = following
                following += 1
            numbers.append(known.get(word, invalid_label))
        coded.append(numbers)
    return coded, known


def pad_sentence(sentence: Sequence[int], buckets: Sequence[int], invalid_label: int = -1, data_name: str = "data", layout: str = "NT") -> Any:
    """A batch of one sentence, filled up to the next larger of the sorted bucket sizes. Raises IndexError when it is longer than all."""
    size = buckets[bisect.bisect_left(buckets, len(sentence))]
    row = [float(number) for number in sentence] + [float(invalid_label)] * (size - len(sentence))
    shape = (1, size) if layout == "NT" else (size, 1)
    describe = mx.io.DataDesc(name=data_name, shape=shape, layout=layout)
    return mx.io.DataBatch([mx.nd.array([row], dtype="float32")], pad=0, bucket_key=size, provide_data=[describe])
